//! Exported files, checked with independent tools (H7): `opusinfo` warns of nothing, `ffprobe`
//! reports the right length, and `ffmpeg` plays all frames of the recording in their place, with
//! silence where nothing was stored.
//!
//! `opusdec` agrees. Needs opus-tools and ffmpeg (`make setup`); without them these tests fail.

#![allow(clippy::cast_possible_truncation, clippy::expect_used, clippy::unwrap_used)]

use hushbox::audio::codec::{Decoder, Encoder};
use hushbox::audio::ring::Cleared;
use hushbox::audio::span::{Fate, LossReason, Run};
use hushbox::config::CodecKind;
use hushbox::export::AudioFormat;
use hushbox::export::ogg::OggWriter;
use hushbox::export::wav::WavWriter;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A recording as the store gives it: how it is coded, and its chunks.
struct Recording {
    sound: AudioFormat,
    chunks: Vec<(Vec<Run>, Vec<u8>)>,
    frames: u64,
}

/// Three tones a side, loud and soft in turn; all of it in the band of a telephone.
fn signal(frames: usize, rate: u32, sides: usize) -> Vec<i16> {
    let wave = |n: usize, side: usize| {
        let t = n as f64 / f64::from(rate) * std::f64::consts::TAU;
        let level = 2500.0 * (1.5 + (0.9 * t).sin());
        let high = 90.0 * side as f64;
        let tones = [330.0, 710.0, 1370.0].map(|f| ((f + high) * t + 3.0 * (1.3 * t).sin()).sin());
        (tones.iter().sum::<f64>() * level) as i16
    };
    (0..frames).flat_map(|n| (0..sides).map(move |side| wave(n, side))).collect()
}

/// Encodes `runs` of the signal, 25 grid frames a chunk, and ends it.
fn record(codec: CodecKind, rate: u32, sides: u8, runs: &[Run]) -> Recording {
    let bitrate = if rate > 16_000 { 32_000 } else { 16_000 };
    let mut encoder = Encoder::new(codec, rate, sides, bitrate).unwrap();
    let sound = AudioFormat { codec, rate, sides, delay_frames: encoder.delay_frames() };
    let fates: Vec<Fate> =
        runs.iter().flat_map(|run| std::iter::repeat_n(run.fate, run.frames as usize)).collect();
    let width = usize::from(sides);
    let samples = signal(fates.len(), rate, width);
    let grid = encoder.grid_frames();
    let mut chunks = Vec::new();
    for (n, fates) in fates.chunks(grid).enumerate() {
        let runs: Vec<Run> = fates
            .chunk_by(|a, b| a == b)
            .map(|same| Run { fate: same[0], frames: u32::try_from(same.len()).unwrap() })
            .collect();
        let from = n * grid * width;
        let mut piece = samples[from..from + fates.len() * width].to_vec();
        if n % 25 == 0 {
            chunks.push((Vec::new(), Vec::new()));
        }
        let (all, payload) = chunks.last_mut().unwrap();
        encoder.encode_frame(&Cleared::for_tests(&mut piece, width, &runs), payload);
        all.extend(runs);
    }
    let mut tail = Vec::new();
    encoder.finish(&mut tail);
    chunks.push((Vec::new(), tail));
    Recording { sound, chunks, frames: fates.len() as u64 }
}

impl Recording {
    fn decode(&self) -> Vec<i16> {
        let AudioFormat { codec, rate, sides, delay_frames } = self.sound;
        let mut decoder = Decoder::new(codec, rate, sides, delay_frames).unwrap();
        let mut samples = Vec::new();
        for (runs, payload) in &self.chunks {
            decoder.decode_chunk(runs, payload, &mut samples).unwrap();
        }
        decoder.finish(&mut samples);
        samples
    }

    fn to_ogg(&self, folder: &Path) -> PathBuf {
        let path = folder.join("recording.opus");
        let tags = [("ENCODER", "hushbox"), ("TITLE", "aaaaaaaaaaaaaaaa"), ("DATE", "2026-11-22")];
        let mut writer = OggWriter::new(File::create(&path).unwrap(), &self.sound, &tags).unwrap();
        for (runs, payload) in &self.chunks {
            writer.write_chunk(runs, payload).unwrap();
        }
        writer.finish().unwrap();
        path
    }

    fn to_wav(&self, folder: &Path) -> PathBuf {
        let path = folder.join("recording.wav");
        let file = File::create(&path).unwrap();
        let mut writer = WavWriter::new(file, &self.sound, self.frames).unwrap();
        for (runs, payload) in &self.chunks {
            writer.write_chunk(runs, payload).unwrap();
        }
        writer.finish().unwrap();
        path
    }
}

/// Runs a tool on a file; its words and what it wrote.
fn tool(name: &str, before: &[&str], path: &Path, after: &[&str]) -> (String, Vec<u8>) {
    let ran = Command::new(name).args(before).arg(path).args(after).output();
    let ran = ran.unwrap_or_else(|error| panic!("{name}: {error}; `make setup` installs it"));
    let words = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(ran.status.success(), "{name}: {words}");
    (words, ran.stdout)
}

/// Every sample of the file, at `rate` Hz.
fn play(path: &Path, rate: u32) -> Vec<i16> {
    let rate = rate.to_string();
    let after = ["-f", "s16le", "-ar", &rate, "-"];
    let (words, bytes) = tool("ffmpeg", &["-v", "error", "-i"], path, &after);
    assert_eq!(words, "", "ffmpeg has something to say");
    bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}

/// What `ffprobe` tells without decoding.
fn probe(path: &Path, entry: &str) -> String {
    let before = ["-v", "error", "-of", "csv=p=0", "-show_entries", entry];
    let (words, out) = tool("ffprobe", &before, path, &[]);
    assert_eq!(words, "", "ffprobe has something to say");
    String::from_utf8(out).unwrap().trim().to_owned()
}

fn runs(fates: &[(Fate, u32)]) -> Vec<Run> {
    fates.iter().map(|(fate, frames)| Run { fate: *fate, frames: *frames }).collect()
}

/// A call of some seconds, with everything that can become of audio.
fn story(rate: u32) -> Vec<Run> {
    runs(&[
        (Fate::Stored, rate + 7),
        (Fate::Masked, 2 * rate + 3),
        (Fate::Stored, rate / 2),
        (Fate::Held, rate / 25),
        (Fate::Stored, rate / 100),
        (Fate::Lost(LossReason::Overrun), 11),
        (Fate::Stored, rate + 1),
    ])
}

/// The length of the Opus file: whole frames of the lowest rate of Opus that keeps the audio.
fn frames_at_48_khz(recording: &Recording) -> u64 {
    let from = u64::from(recording.sound.rate);
    let to = [8_000, 12_000, 16_000, 24_000, 48_000].into_iter().find(|to| *to >= from).unwrap();
    (recording.frames * to).div_ceil(from) * (48_000 / to)
}

/// `opusinfo` is content, and all others give exactly the frames of the recording; these.
fn check_ogg(recording: &Recording) -> Vec<i16> {
    let folder = tempfile::tempdir().unwrap();
    let path = recording.to_ogg(folder.path());
    let (words, out) = tool("opusinfo", &[], &path, &[]);
    let said = words + String::from_utf8_lossy(&out).as_ref();
    assert!(!said.to_lowercase().contains("warning"), "{said}");
    assert!(!said.to_lowercase().contains("error"), "{said}");
    let AudioFormat { rate, sides, .. } = recording.sound;
    assert!(said.contains(&format!("Original sample rate: {rate} Hz")), "{said}");
    assert!(said.contains("TITLE=aaaaaaaaaaaaaaaa"), "{said}");
    let frames = frames_at_48_khz(recording);
    let what = format!("{} frames, {rate} Hz, {sides} sides", recording.frames);
    // ffprobe counts the pre-skip in, 6.5 ms.
    assert_eq!(probe(&path, "stream=duration_ts"), (frames + 312).to_string(), "{what}");
    let raw = folder.path().join("recording.raw");
    let to = ["--quiet", "--rate", "48000", &raw.to_string_lossy()];
    tool("opusdec", &to[..3], &path, &to[3..]);
    let opusdec = std::fs::metadata(raw).unwrap().len();
    assert_eq!(opusdec, frames * u64::from(sides) * 2, "opusdec: {what}");
    let samples = play(&path, 48_000);
    // This ffmpeg does not cut a lone packet at both of its ends.
    if recording.frames > 100 {
        assert_eq!(samples.len() as u64, frames * u64::from(sides), "ffmpeg: {what}");
    }
    samples
}

fn likeness(one: &[i16], two: &[i16]) -> f64 {
    let dot = |a: &[i16], b: &[i16]| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    dot(one, two) / (dot(one, one) * dot(two, two)).sqrt()
}

/// One side of what was played at 48 kHz, `shift` frames late, at the rate of the recording.
fn thin(played: &[i16], sides: usize, step: usize, shift: isize) -> Vec<i16> {
    let at = |n: usize| n.checked_add_signed(shift).and_then(|n| played.get(n * sides));
    (0..played.len() / sides).step_by(step).map(|n| at(n).copied().unwrap_or(0)).collect()
}

#[test]
fn h7_ogg_decodes_to_stored_frames_in_place() {
    for codec in [CodecKind::Opus, CodecKind::Ulaw, CodecKind::Pcm] {
        for rate in [8_000, 12_000, 16_000, 24_000, 48_000] {
            for sides in [1_u8, 2] {
                let recording = record(codec, rate, sides, &story(rate));
                let played = check_ogg(&recording);
                let own = recording.decode();
                let (width, step) = (usize::from(sides), 48_000 / rate as usize);
                let own: Vec<i16> = own.iter().step_by(width).copied().collect();
                let like = |shift| likeness(&thin(&played, width, step, shift), &own);
                let best = (-12..=12).max_by(|a, b| like(*a).total_cmp(&like(*b))).unwrap();
                let what = format!("{codec:?} {rate} Hz, {sides} sides: {best}, {}", like(best));
                eprintln!("{what}");
                assert!(best.abs() <= 6 && like(best) > 0.95, "{what}");
                // Inside the mask, 40 ms after it began: nothing to hear.
                let (from, to) = (rate as usize * 27 / 25, rate as usize * 149 / 50);
                let hidden = &played[from * step * width..to * step * width];
                let loudest = hidden.iter().map(|sample| sample.unsigned_abs()).max();
                assert!(loudest < Some(40), "{what}: {loudest:?} inside the mask");
            }
        }
    }
}

/// At 11.025 kHz, 20 ms are 220.5 frames.
#[test]
fn h7_recordings_at_rates_that_opus_lacks_are_exported_whole_and_in_tune() {
    for codec in [CodecKind::Ulaw, CodecKind::Pcm] {
        for (rate, sides) in [11_025, 22_050, 44_100].into_iter().flat_map(|r| [(r, 1_u8), (r, 2)])
        {
            let what = format!("{codec:?} {rate} Hz, {sides} sides");
            let recording = record(codec, rate, sides, &story(rate));
            let (folder, width) = (tempfile::tempdir().unwrap(), usize::from(sides));
            let own = recording.decode();
            assert_eq!(own.len() as u64, recording.frames * u64::from(sides), "{what}");
            assert!(play(&recording.to_wav(folder.path()), rate) == own, "{what}");
            check_ogg(&recording);
            let played = play(&recording.to_ogg(folder.path()), rate);
            let first: Vec<i16> = own.iter().step_by(width).copied().collect();
            let like =
                |shift| likeness(&thin(&played, width, 1, shift), &first[..first.len() - 12]);
            let best = (-12..=12).max_by(|a, b| like(*a).total_cmp(&like(*b))).unwrap();
            assert!(best.abs() <= 6 && like(best) > 0.95, "{what}: {best}, {}", like(best));
            let (from, to) = (rate as usize * 27 / 25, rate as usize * 147 / 50);
            let hidden = &played[from * width..to * width];
            let loudest = hidden.iter().map(|sample| sample.unsigned_abs()).max();
            assert!(loudest < Some(40), "{what}: {loudest:?} inside the mask");
        }
    }
}

#[test]
fn h7_ogg_length_equals_the_recording() {
    let stored = |frames| runs(&[(Fate::Stored, frames)]);
    let masked = |frames| runs(&[(Fate::Stored, 200), (Fate::Masked, frames)]);
    for codec in [CodecKind::Opus, CodecKind::Pcm] {
        for frames in [1, 107, 108, 109, 159, 160, 161, 8_000, 8_108, 80_051] {
            check_ogg(&record(codec, 8_000, 1, &stored(frames)));
            check_ogg(&record(codec, 8_000, 1, &masked(frames)));
            check_ogg(&record(codec, 8_000, 1, &runs(&[(Fate::Masked, frames)])));
        }
    }
    let mut cut = record(CodecKind::Opus, 8_000, 1, &stored(12_000));
    cut.chunks.truncate(2);
    cut.frames = 8_000;
    check_ogg(&cut);
    assert!(check_ogg(&record(CodecKind::Opus, 8_000, 1, &[])).len() < 960);
}

#[test]
fn h7_wav_equals_decoder_output() {
    for codec in [CodecKind::Opus, CodecKind::Ulaw, CodecKind::Pcm] {
        for (rate, sides) in [(8_000, 2_u8), (16_000, 1)] {
            let recording = record(codec, rate, sides, &story(rate));
            let folder = tempfile::tempdir().unwrap();
            let path = recording.to_wav(folder.path());
            assert!(play(&path, rate) == recording.decode(), "{codec:?} {rate} Hz");
            let told = probe(&path, "stream=codec_name,sample_rate,channels,duration_ts");
            assert_eq!(told, format!("pcm_s16le,{rate},{sides},{}", recording.frames));
        }
    }
}

#[test]
fn h7_repeated_export_gives_the_same_file() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let recording = record(CodecKind::Pcm, 8_000, 1, &story(8_000));
    let read = |folder: &Path| std::fs::read(recording.to_ogg(folder)).unwrap();
    assert!(read(one.path()) == read(two.path()));
    assert!(read(one.path()).starts_with(b"OggS"));
}
