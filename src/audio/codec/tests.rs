//! Tests of all codecs: exact lengths, exact zeros, and no leaks across masked frames.
//!
//! Signals are synthetic: a chirp with a slow envelope and some noise, different for each seed.
//! Fates are set by hand or by proptest.

use super::{CodecError, Decoder, Encoder, total_frames};
use crate::audio::ring::Cleared;
use crate::audio::span::{Fate, LossReason, Run, Side};
use crate::config::CodecKind;
use proptest::prelude::*;

const KINDS: [CodecKind; 3] = [CodecKind::Pcm, CodecKind::Ulaw, CodecKind::Opus];

fn stored_run(frames: u32) -> Run {
    Run { fate: Fate::Stored, frames }
}

fn masked_run(frames: u32) -> Run {
    Run { fate: Fate::Masked, frames }
}

/// Generates `frames` frames of a voice-like signal, interleaved.
fn voice_signal(seed: u32, frames: usize, rate: u32, sides: usize) -> Vec<i16> {
    let mut noise = seed.wrapping_mul(2_654_435_761) | 1;
    let mut samples = Vec::new();
    for n in 0..frames {
        let t = n as f64 / f64::from(rate);
        for side in 0..sides {
            noise ^= noise << 13;
            noise ^= noise >> 17;
            noise ^= noise << 5;
            let base = 300.0 + 20.0 * f64::from(seed % 17) + 60.0 * side as f64;
            let glide = base * t + 40.0 * (2.1 * t + f64::from(seed)).sin();
            let tone: f64 = (1..6)
                .map(|h| (std::f64::consts::TAU * glide * f64::from(h)).sin() / f64::from(h))
                .sum();
            let level = 3000.0 * (1.2 + (7.0 * t + f64::from(seed)).sin());
            let hiss = f64::from(noise % 201) - 100.0;
            samples.push((tone * level + hiss).clamp(-32000.0, 32000.0) as i16);
        }
    }
    samples
}

/// Returns the runs of `frames` frames from `from` on.
fn slice_runs(runs: &[Run], from: usize, frames: usize) -> Vec<Run> {
    let (mut at, mut found) = (0, Vec::new());
    for run in runs {
        let (start, end) = (at.max(from), (at + run.frames as usize).min(from + frames));
        if start < end {
            found.push(Run { fate: run.fate, frames: u32::try_from(end - start).unwrap() });
        }
        at += run.frames as usize;
    }
    found
}

/// A recording as stored: chunks of runs and payload.
type Chunks = Vec<(Vec<Run>, Vec<u8>)>;

/// Encodes a recording, with a new chunk after every `per_chunk` grid frames.
fn encode_all(coder: &mut Encoder, samples: &[i16], runs: &[Run], per_chunk: usize) -> Chunks {
    let (frames, grid) = (total_frames(runs), coder.grid_frames());
    let sides = samples.len() / frames.max(1);
    let mut chunks = Chunks::new();
    for (index, from) in (0..frames).step_by(grid).enumerate() {
        if index % per_chunk == 0 {
            chunks.push((Vec::new(), Vec::new()));
        }
        let here = slice_runs(runs, from, grid);
        let mut piece = samples[from * sides..(from + total_frames(&here)) * sides].to_vec();
        let (all, payload) = chunks.last_mut().unwrap();
        payload.reserve(coder.grid_bytes_max());
        let room = payload.capacity();
        coder.encode_frame(&Cleared::for_tests(&mut piece, sides, &here), payload);
        assert_eq!(payload.capacity(), room, "no memory is taken");
        all.extend(here);
    }
    let mut tail = Vec::new();
    coder.finish(&mut tail);
    match chunks.last_mut() {
        Some((_, payload)) if per_chunk > 1 => payload.extend(tail),
        _ => chunks.push((Vec::new(), tail)),
    }
    coder.reset();
    chunks
}

fn decode_all(decoder: &mut Decoder, chunks: &Chunks) -> Result<Vec<i16>, CodecError> {
    let mut out = Vec::new();
    for (runs, payload) in chunks {
        decoder.decode_chunk(runs, payload, &mut out)?;
    }
    decoder.finish(&mut out);
    Ok(out)
}

fn codec_pair(kind: CodecKind, rate: u32, sides: u8, bitrate: u32) -> (Encoder, Decoder) {
    let encoder = Encoder::new(kind, rate, sides, bitrate).unwrap();
    let decoder = Decoder::new(kind, rate, sides, encoder.delay_frames()).unwrap();
    (encoder, decoder)
}

/// Correlation, 0 to 1, of `decoded` with `samples` delayed by `shift` samples.
fn correlation_at(samples: &[i16], decoded: &[i16], shift: isize) -> f64 {
    let (mut both, mut one, mut two) = (0.0, 1e-9, 1e-9);
    for (n, sample) in samples.iter().enumerate() {
        let Some(m) = n.checked_add_signed(shift) else { continue };
        let Some(other) = decoded.get(m) else { continue };
        let (a, b) = (f64::from(*sample), f64::from(*other));
        (both, one, two) = (both + a * b, one + a * a, two + b * b);
    }
    both / f64::sqrt(one * two)
}

fn snr_db(samples: &[i16], decoded: &[i16]) -> f64 {
    let energy: f64 = samples.iter().map(|s| f64::from(*s).powi(2)).sum();
    let error: f64 =
        samples.iter().zip(decoded).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
    10.0 * (energy / error.max(1e-9)).log10()
}

#[test]
fn opus_is_aligned_to_the_sample_at_every_rate() {
    for rate in [8_000, 12_000, 16_000, 24_000, 48_000] {
        for sides in [1_u8, 2] {
            let (mut encoder, mut decoder) = codec_pair(CodecKind::Opus, rate, sides, 48_000);
            let delay = usize::from(encoder.delay_frames());
            assert_eq!(delay * 10_000, rate as usize * 65, "6.5 ms");
            let frames = rate as usize + 77;
            let width = usize::from(sides);
            let samples = voice_signal(5, frames, rate, width);
            let runs = [stored_run(rate + 77)];
            let chunks = encode_all(&mut encoder, &samples, &runs, 25);
            let decoded = decode_all(&mut decoder, &chunks).unwrap();
            assert_eq!(decoded.len(), samples.len());
            assert_eq!(decoder.missing_frames(), 0);
            let at = |shift: isize| correlation_at(&samples, &decoded, shift * width as isize);
            let best = (-70..=70).max_by(|a, b| at(*a).total_cmp(&at(*b))).unwrap();
            let snr = snr_db(&samples, &decoded);
            eprintln!("{rate} {sides}: best {best}, likeness {:.4}, {snr:.1} dB", at(best));
            // The last frames come from the flush packet, so they are compared too.
            let end = samples.len() - delay * width * 3;
            assert!(correlation_at(&samples[end..], &decoded[end..], 0) > 0.9);
            // Above 16 kHz libopus resamples and may be up to 1/8 ms early.
            let (slack, least) = if rate <= 16_000 { (0, 15.0) } else { (rate / 8_000, 5.0) };
            assert!(best.unsigned_abs() <= slack as usize, "{best} at {rate} Hz, {sides} sides");
            assert!(snr > least, "{snr} dB at {rate} Hz, {sides} sides");
        }
    }
}

/// Returns for each frame whether it is stored.
fn stored_flags(runs: &[Run]) -> Vec<bool> {
    let one = |run: &Run| std::iter::repeat_n(run.fate == Fate::Stored, run.frames as usize);
    runs.iter().flat_map(one).collect()
}

/// Checks that the length is exact and that every frame not stored is zero.
fn check_silence(runs: &[Run], sides: usize, decoded: &[i16]) {
    let keeps = stored_flags(runs);
    assert_eq!(decoded.len(), keeps.len() * sides, "length");
    for (n, (frame, keep)) in decoded.chunks_exact(sides).zip(&keeps).enumerate() {
        assert!(*keep || frame.iter().all(|sample| *sample == 0), "frame {n} is not silent");
    }
}

/// Returns the Opus packets of a recording in order.
fn opus_packets(chunks: &Chunks) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for (_, payload) in chunks {
        let mut rest = payload.as_slice();
        while !rest.is_empty() {
            found.push(super::opus::take_entry(&mut rest).unwrap().to_vec());
        }
    }
    found
}

#[test]
fn g1_a_mask_at_every_offset_and_of_every_length_is_silence() {
    for kind in KINDS {
        let (mut encoder, _) = codec_pair(kind, 8_000, 1, 16_000);
        let delay = encoder.delay_frames();
        for from in [0, 1, 52, 107, 108, 109, 159, 160, 161, 320, 1000] {
            for long in [1, 51, 53, 108, 159, 160, 161, 212, 319, 320, 700, 2000] {
                let runs = [stored_run(from), masked_run(long), stored_run(410)];
                let samples = voice_signal(3, total_frames(&runs), 8_000, 1);
                let chunks = encode_all(&mut encoder, &samples, &runs, 3);
                let mut decoder = Decoder::new(kind, 8_000, 1, delay).unwrap();
                let decoded = decode_all(&mut decoder, &chunks).unwrap();
                check_silence(&runs, 1, &decoded);
                assert_eq!(decoder.missing_frames(), 0);
                let end = decoded.len() - 300;
                let good = correlation_at(&samples[end..], &decoded[end..], 0);
                assert!(good > 0.8, "{kind:?} after {from}+{long}: {good}");
                if from >= 320 {
                    // The last frames before the mask come from the flush.
                    let to = from as usize;
                    let good = correlation_at(&samples[to - 52..to], &decoded[to - 52..to], 0);
                    assert!(good > 0.8, "{kind:?} before {from}+{long}: {good}");
                }
            }
        }
    }
}

#[test]
fn g1_what_was_masked_leaves_no_trace_in_the_payload() {
    for (rate, sides, bitrate) in [(8_000, 1_u8, 16_000), (16_000, 2, 24_000), (48_000, 1, 128_000)]
    {
        let grid = rate / 50;
        let (mut encoder, _) = codec_pair(CodecKind::Opus, rate, sides, bitrate);
        for long in [1, grid / 2, grid - 1, grid, 3 * grid + 7] {
            let runs = [stored_run(2 * grid + 30), masked_run(long), stored_run(3 * grid)];
            let width = usize::from(sides);
            let open = voice_signal(1, total_frames(&runs), rate, width);
            let mut secret = open.clone();
            let other = voice_signal(9, total_frames(&runs), rate, width);
            let span = (2 * grid + 30) as usize * width..(2 * grid + 30 + long) as usize * width;
            secret[span.clone()].copy_from_slice(&other[span]);
            assert_ne!(open, secret);
            let one = encode_all(&mut encoder, &open, &runs, 4);
            assert_eq!(one, encode_all(&mut encoder, &secret, &runs, 4), "{long} at {rate}");
        }
    }
}

#[test]
fn g1_nothing_bleeds_across_a_mask_or_into_the_next_recording() {
    for (rate, sides, bitrate) in [
        (8_000, 1_u8, 16_000),
        (8_000, 2, 16_000),
        (16_000, 1, 64_000),
        (24_000, 2, 32_000),
        (48_000, 1, 32_000),
        (48_000, 2, 128_000),
    ] {
        let (grid, width) = (rate / 50, usize::from(sides));
        // Both span a whole grid frame, so the encoder is reset; the second case needs a flush.
        for before in [30, grid - 3] {
            let rest = [masked_run(5), stored_run(20 * grid)];
            let runs =
                [stored_run(20 * grid + before), masked_run(2 * grid - before), rest[0], rest[1]];
            let after = total_frames(&runs[..2]) * width;
            let common = voice_signal(4, total_frames(&runs), rate, width);
            let (mut used, _) = codec_pair(CodecKind::Opus, rate, sides, bitrate);
            let (mut fresh, mut decoder) = codec_pair(CodecKind::Opus, rate, sides, bitrate);
            let alone = encode_all(&mut fresh, &common[after..], &rest, 1000);
            let (wanted, heard) = (opus_packets(&alone), decode_all(&mut decoder, &alone).unwrap());
            for seed in [1, 2, 11, 16] {
                let mut samples = voice_signal(seed, total_frames(&runs), rate, width);
                samples[after..].copy_from_slice(&common[after..]);
                let chunks = encode_all(&mut used, &samples, &runs, 1000);
                let (_, mut decoder) = codec_pair(CodecKind::Opus, rate, sides, bitrate);
                let decoded = decode_all(&mut decoder, &chunks).unwrap();
                assert!(decoded[after..] == heard, "{rate} Hz, {sides} sides, seed {seed}");
                let all = opus_packets(&chunks);
                assert_eq!(all[21].is_empty(), before == 30, "a flush where it is owed");
                assert!(all[22..] == wanted, "{rate} Hz, {sides} sides, seed {seed}");
            }
        }
    }
}

#[test]
fn a_player_that_knows_no_resets_goes_on_well_after_a_mask() {
    for (rate, sides, bitrate) in
        [(8_000, 1_u8, 16_000), (16_000, 2, 24_000), (48_000, 1, 32_000), (48_000, 2, 128_000)]
    {
        let (grid, width) = (rate / 50, usize::from(sides));
        let runs = [stored_run(20 * grid), masked_run(10 * grid), stored_run(20 * grid)];
        let samples = voice_signal(7, total_frames(&runs), rate, width);
        let (mut encoder, mut decoder) = codec_pair(CodecKind::Opus, rate, sides, bitrate);
        let chunks = encode_all(&mut encoder, &samples, &runs, 1000);
        let own = decode_all(&mut decoder, &chunks).unwrap();
        let (_, mut player) = codec_pair(CodecKind::Opus, rate, sides, bitrate);
        let mut silent = Encoder::new(CodecKind::Opus, rate, sides, 24_000).unwrap();
        let hush =
            encode_all(&mut silent, &vec![0; grid as usize * width], &[stored_run(grid)], 1000);
        let silence = opus_packets(&hush).remove(0);
        // Decodes all packets as if every frame were stored, as a player does with a remuxed
        // file.
        let mut payload = Vec::new();
        for packet in opus_packets(&chunks) {
            super::opus::push_entry(
                if packet.is_empty() { &silence } else { &packet },
                &mut payload,
            );
        }
        let all = vec![(vec![stored_run(50 * grid)], payload)];
        let played = decode_all(&mut player, &all).unwrap();
        for k in 30..36 {
            let at = k * encoder.grid_frames() * width..(k + 1) * encoder.grid_frames() * width;
            let snr = snr_db(&own[at.clone()], &played[at]);
            assert!(snr > 40.0, "{snr} dB, {rate} Hz, {sides} sides, grid frame {k}");
        }
    }
}

#[test]
fn a_cut_recording_keeps_its_length() {
    let (mut encoder, mut decoder) = codec_pair(CodecKind::Opus, 8_000, 1, 16_000);
    let samples = voice_signal(8, 16_000, 8_000, 1);
    let mut chunks = encode_all(&mut encoder, &samples, &[stored_run(16_000)], 25);
    chunks.truncate(2);
    let decoded = decode_all(&mut decoder, &chunks).unwrap();
    assert_eq!((decoded.len(), decoder.missing_frames()), (8_000, 52));
    assert!(decoded[7_948..].iter().all(|sample| *sample == 0));
    assert!(correlation_at(&samples[7_600..7_948], &decoded[7_600..7_948], 0) > 0.8);
    // Recovery may also have marked these frames as lost.
    let lost = Run { fate: Fate::Lost(LossReason::Power), frames: 52 };
    chunks[1].0 = vec![stored_run(3_948), lost];
    let mut decoder = Decoder::new(CodecKind::Opus, 8_000, 1, 52).unwrap();
    assert_eq!(decode_all(&mut decoder, &chunks).unwrap(), decoded);
    assert_eq!(decoder.missing_frames(), 0);
}

#[test]
fn impossible_settings_are_refused_by_name() {
    let new = |kind, rate, sides, bitrate| Encoder::new(kind, rate, sides, bitrate).err();
    let (pcm, opus) = (CodecKind::Pcm, CodecKind::Opus);
    assert_eq!(new(pcm, 11_025, 1, 0), None, "a grid frame of 220 frames");
    assert_eq!(new(pcm, 192_001, 1, 0), Some(CodecError::Grid { rate: 192_001 }));
    assert_eq!(new(pcm, 0, 1, 0), Some(CodecError::Grid { rate: 0 }));
    assert_eq!(new(pcm, 44_100, 2, 0), None);
    assert_eq!(new(pcm, 8_000, 3, 0), Some(CodecError::Sides { sides: 3 }));
    assert_eq!(new(opus, 44_100, 1, 16_000), Some(CodecError::Rate { rate: 44_100 }));
    assert!(matches!(new(opus, 8_000, 1, 5_999), Some(CodecError::Bitrate { .. })));
    assert_eq!(new(opus, 8_000, 2, 255_000), None);
    let late = Decoder::new(opus, 8_000, 1, 160).err();
    assert_eq!(late, Some(CodecError::Delay { delay_frames: 160, grid_frames: 160 }));
}

#[test]
fn a_payload_that_does_not_fit_its_runs_is_refused() {
    for kind in KINDS {
        let runs = [stored_run(200), masked_run(300), stored_run(140)];
        let samples = voice_signal(2, 640, 8_000, 1);
        let (mut encoder, _) = codec_pair(kind, 8_000, 1, 16_000);
        let chunks = encode_all(&mut encoder, &samples, &runs, 1000);
        let read = |runs: &[Run], payload: &[u8]| {
            let mut decoder = Decoder::new(kind, 8_000, 1, encoder.delay_frames()).unwrap();
            decoder.decode_chunk(runs, payload, &mut Vec::new())
        };
        let (runs, payload) = &chunks[0];
        assert_eq!(read(runs, payload), Ok(()));
        let longer = [payload.as_slice(), &[1, 2]].concat();
        assert!(matches!(read(runs, &longer), Err(CodecError::TrailingBytes { .. })), "{kind:?}");
        let shorter = &payload[..payload.len() / 2];
        assert!(matches!(read(runs, shorter), Err(CodecError::Truncated { .. })), "{kind:?}");
    }
    let mut decoder = Decoder::new(CodecKind::Opus, 8_000, 1, 52).unwrap();
    let none = decoder.decode_chunk(&[stored_run(160)], &[0], &mut Vec::new());
    assert_eq!(none, Err(CodecError::MissingPacket { grid_frame: 0 }));
    let mut decoder = Decoder::new(CodecKind::Pcm, 8_000, 1, 0).unwrap();
    assert_eq!(decoder.decode_chunk(&[masked_run(7)], &[], &mut Vec::new()), Ok(()));
    let more = decoder.decode_chunk(&[masked_run(7)], &[], &mut Vec::new());
    assert_eq!(more, Err(CodecError::AfterEnd { grid_frames: 160 }));
}

fn any_run() -> impl Strategy<Value = Run> {
    let fate = prop_oneof![
        3 => Just(Fate::Stored),
        2 => Just(Fate::Masked),
        1 => Just(Fate::Held),
        1 => Just(Fate::Lost(LossReason::Overrun)),
    ];
    let frames = prop_oneof![1..60_u32, 100..230_u32, Just(160), Just(320), 300..2_000_u32];
    (fate, frames).prop_map(|(fate, frames)| Run { fate, frames })
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None, ..ProptestConfig::with_cases(96)
    })]

    #[test]
    fn whatever_became_of_it_the_timeline_is_exact(
        runs in prop::collection::vec(any_run(), 1..9), sides in 1..=2_u8, per_chunk in 1..30_usize,
    ) {
        let width = usize::from(sides);
        let samples = voice_signal(6, total_frames(&runs), 8_000, width);
        for kind in KINDS {
            let (mut encoder, mut decoder) = codec_pair(kind, 8_000, sides, 16_000);
            let chunks = encode_all(&mut encoder, &samples, &runs, per_chunk);
            let decoded = decode_all(&mut decoder, &chunks).unwrap();
            check_silence(&runs, width, &decoded);
            prop_assert_eq!(decoder.missing_frames(), 0);
            if kind == CodecKind::Pcm {
                let keeps = stored_flags(&runs);
                let same = |(n, sample): (usize, &i16)| {
                    *sample == if keeps[n / width] { samples[n] } else { 0 }
                };
                prop_assert!(decoded.iter().enumerate().all(same));
            }
            let whole = encode_all(&mut encoder, &samples, &runs, 1_000_000);
            let bytes = |chunks: &Chunks| -> Vec<u8> {
                chunks.iter().flat_map(|(_, payload)| payload.clone()).collect()
            };
            prop_assert_eq!(bytes(&whole), bytes(&chunks), "a chunk may be cut anywhere");
            let mut decoder = Decoder::new(kind, 8_000, sides, encoder.delay_frames()).unwrap();
            prop_assert!(decode_all(&mut decoder, &whole).unwrap() == decoded);
        }
    }

    #[test]
    fn garbage_is_refused_or_read_but_never_believed_too_long(
        runs in prop::collection::vec(any_run(), 0..4),
        payload in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        for kind in KINDS {
            let delay = if kind == CodecKind::Opus { 52 } else { 0 };
            let mut decoder = Decoder::new(kind, 8_000, 1, delay).unwrap();
            let mut out = Vec::new();
            let read = decoder.decode_chunk(&runs, &payload, &mut out);
            decoder.finish(&mut out);
            prop_assert!(out.len() <= total_frames(&runs));
            prop_assert!(read.is_err() || out.len() == total_frames(&runs));
        }
    }
}

#[test]
fn i3_lost_side_decodes_to_exact_zeros_and_the_other_to_its_audio() {
    let lost = |side, frames| Run { fate: Fate::SideLost(side, LossReason::Network), frames };
    let runs = [
        stored_run(400),
        lost(Side::Customer, 330),
        stored_run(100),
        lost(Side::Agent, 700),
        masked_run(50),
        lost(Side::Customer, 340),
        stored_run(480),
    ];
    let frames = total_frames(&runs);
    let samples = voice_signal(5, frames, 8000, 2);
    for kind in [CodecKind::Pcm, CodecKind::Ulaw, CodecKind::Opus] {
        let (mut coder, mut decoder) = codec_pair(kind, 8000, 2, 24_000);
        let chunks = encode_all(&mut coder, &samples, &runs, 3);
        let decoded = decode_all(&mut decoder, &chunks).unwrap();
        assert_eq!(decoded.len(), samples.len(), "{kind:?}");
        let fates = runs.iter().flat_map(|run| std::iter::repeat_n(run.fate, run.frames as usize));
        let mut loud = [0_u32; 2];
        for (n, (fate, frame)) in fates.zip(decoded.chunks_exact(2)).enumerate() {
            for side in Side::ALL {
                let (found, heard) = (frame[side.index()], samples[2 * n + side.index()]);
                let silent = !fate.is_stored() || fate.lost_side() == Some(side);
                assert!(!silent || found == 0, "{kind:?}, frame {n}, {side:?}: {found}");
                assert!(silent || kind != CodecKind::Pcm || found == heard, "frame {n}");
                let lost = fate.lost_side().is_some();
                loud[side.index()] += u32::from(lost && found.unsigned_abs() > 500);
            }
        }
        assert!(loud.iter().all(|count| *count > 100), "{kind:?}: {loud:?}");
    }
}
