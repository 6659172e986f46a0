//! Decoders of RTP payloads, at the rate of the board.
//!
//! G.711 has no memory, so its packets can be decoded in any order. The other codecs have; their
//! packets must be decoded in the order of their sequence numbers. G.711 and G.729 sample at
//! 8 kHz, G.722 at 16 kHz, Opus at any of both. At 8 kHz only the lower band of G.722 is decoded:
//! the codec itself is the filter. At 16 kHz what samples at 8 kHz is interpolated.

use super::leg_config::RtpCodec;
use super::upsample::Upsampler;
use audio_codec::Decoder as _;
use audio_codec::g722::{Bitrate, G722Decoder};
use audio_codec::g729::G729Decoder;
use audio_codec::pcma::PcmaDecoder;
use audio_codec::pcmu::PcmuDecoder;
use zeroize::Zeroize;

/// Frames that one packet may have: 240 ms at 16 kHz. Opus packets have at most 120 ms.
pub(crate) const PACKET_FRAMES_MAX: usize = 3840;

/// Opus packets of at most this length carry no audio (RFC 7587, 3.1.3).
const OPUS_DTX_BYTES: usize = 2;

/// Frame of G.729: 10 ms.
const G729_FRAME_BYTES: usize = 10;
/// Silence descriptor of G.729 Annex B, behind the last frame.
const G729_SID_BYTES: usize = 2;

/// What a payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decoded {
    /// This many frames of audio. `is_silent_after`: the sender says that silence follows.
    Audio { frames: usize, is_silent_after: bool },
    /// The sender says that silence begins.
    Silence,
    /// Not decodable.
    Malformed,
}

/// Decoder of one codec.
pub(crate) struct PayloadDecoder {
    kind: Kind,
    /// At 16 kHz.
    is_wide: bool,
    /// Interpolates 8 kHz to 16 kHz.
    upsampler: Option<Upsampler>,
}

enum Kind {
    Pcmu,
    Pcma,
    G722(Box<G722Decoder>),
    G729(Box<G729Decoder>),
    Opus(opusic_c::Decoder),
}

impl PayloadDecoder {
    /// Creates a decoder; `None` for comfort noise, which needs none.
    ///
    /// # Errors
    /// The reason of libopus.
    pub fn new(codec: RtpCodec, rate: u32) -> Result<Option<PayloadDecoder>, &'static str> {
        let is_wide = rate == 16_000;
        let kind = match codec {
            RtpCodec::Pcmu => Kind::Pcmu,
            RtpCodec::Pcma => Kind::Pcma,
            RtpCodec::G722 => Kind::G722(Box::new(create_g722(is_wide))),
            RtpCodec::G729 => Kind::G729(Box::default()),
            RtpCodec::Opus { .. } => Kind::Opus(create_opus(is_wide)?),
            RtpCodec::ComfortNoise => return Ok(None),
        };
        let is_narrow = matches!(kind, Kind::Pcmu | Kind::Pcma | Kind::G729(_));
        let upsampler = (is_wide && is_narrow).then(Upsampler::new);
        Ok(Some(PayloadDecoder { kind, is_wide, upsampler }))
    }

    /// Whether packets may be decoded in any order.
    pub fn is_stateless(&self) -> bool {
        matches!(self.kind, Kind::Pcmu | Kind::Pcma) && self.upsampler.is_none()
    }

    /// Forgets what was decoded.
    pub fn reset(&mut self) {
        match &mut self.kind {
            Kind::Pcmu | Kind::Pcma => {}
            Kind::G722(g722) => **g722 = create_g722(self.is_wide),
            Kind::G729(g729) => **g729 = G729Decoder::new(),
            // A decoder that cannot be reset keeps its memory of earlier audio: a click.
            Kind::Opus(opus) => opus.reset().unwrap_or_default(),
        }
        if let Some(upsampler) = &mut self.upsampler {
            *upsampler = Upsampler::new();
        }
    }

    /// Frames of a payload, without decoding it; `None` if it is none of this codec.
    pub fn frames_of(&self, payload: &[u8]) -> Option<u64> {
        let frames = match &self.kind {
            Kind::Pcmu | Kind::Pcma => payload.len(),
            Kind::G722(_) if self.is_wide => payload.len() * 2,
            Kind::G722(_) => payload.len(),
            Kind::G729(_) => payload.len() / G729_FRAME_BYTES * 80,
            Kind::Opus(opus) => opus.get_nb_samples(payload).ok()?,
        };
        let factor = if self.upsampler.is_some() { 2 } else { 1 };
        Some(crate::to_count(frames * factor))
    }

    /// Decodes one payload into `scratch`, which must have `PACKET_FRAMES_MAX` samples.
    pub fn decode(&mut self, payload: &[u8], scratch: &mut [i16]) -> Decoded {
        if payload.is_empty() {
            return Decoded::Silence;
        }
        let (coded, is_silent_after) = match &self.kind {
            Kind::G729(_) => {
                let frames = payload.len() / G729_FRAME_BYTES * G729_FRAME_BYTES;
                match payload.len() - frames {
                    0 => (payload, false),
                    G729_SID_BYTES => (&payload[..frames], true),
                    _ => return Decoded::Malformed,
                }
            }
            Kind::Opus(_) if payload.len() <= OPUS_DTX_BYTES => (&payload[..0], true),
            _ => (payload, false),
        };
        if coded.is_empty() {
            return Decoded::Silence;
        }
        let room = scratch.len().min(PACKET_FRAMES_MAX);
        let narrow_room = if self.upsampler.is_some() { room / 2 } else { room };
        let decoded = match &mut self.kind {
            Kind::Pcmu => PcmuDecoder::new().decode_into(coded, &mut scratch[..narrow_room]).ok(),
            Kind::Pcma => PcmaDecoder::new().decode_into(coded, &mut scratch[..narrow_room]).ok(),
            Kind::G722(g722) => g722.decode_frame_into(coded, &mut scratch[..room]).ok(),
            Kind::G729(g729) => g729.decode_into(coded, &mut scratch[..narrow_room]).ok(),
            Kind::Opus(opus) => decode_opus(opus, coded, &mut scratch[..room]),
        };
        match decoded {
            Some(narrow) if narrow > 0 => {
                let frames = match &mut self.upsampler {
                    Some(upsampler) => upsampler.double_in_place(scratch, narrow),
                    None => narrow,
                };
                Decoded::Audio { frames, is_silent_after }
            }
            _ => Decoded::Malformed,
        }
    }
}

fn create_g722(is_wide: bool) -> G722Decoder {
    G722Decoder::with_options(Bitrate::Mode1_64000, false, !is_wide)
}

fn create_opus(is_wide: bool) -> Result<opusic_c::Decoder, &'static str> {
    let rate = if is_wide { opusic_c::SampleRate::Hz16000 } else { opusic_c::SampleRate::Hz8000 };
    opusic_c::Decoder::new(opusic_c::Channels::Mono, rate).map_err(|error| error.message())
}

/// Decodes an Opus packet. The binding has samples as `u16`, so a buffer of that type is between.
fn decode_opus(opus: &mut opusic_c::Decoder, packet: &[u8], out: &mut [i16]) -> Option<usize> {
    let mut words = [0_u16; PACKET_FRAMES_MAX];
    let frames = opus.decode_to_slice(packet, &mut words[..out.len()], false).ok();
    let decoded = &words[..frames.unwrap_or(0).min(out.len())];
    out.iter_mut().zip(decoded).for_each(|(sample, word)| *sample = word.cast_signed());
    words.zeroize();
    frames
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode_all(codec: RtpCodec, rate: u32, packets: &[Vec<u8>]) -> Vec<i16> {
        let mut decoder = PayloadDecoder::new(codec, rate).unwrap().unwrap();
        let mut scratch = vec![0; PACKET_FRAMES_MAX];
        let mut all = Vec::new();
        for packet in packets {
            match decoder.decode(packet, &mut scratch) {
                Decoded::Audio { frames, .. } => all.extend_from_slice(&scratch[..frames]),
                other => panic!("{other:?}"),
            }
        }
        all
    }

    /// A tone of 1000 Hz.
    fn tone(rate: u32, frames: usize) -> Vec<i16> {
        let step = 1000.0 * std::f64::consts::TAU / f64::from(rate);
        #[allow(clippy::cast_possible_truncation, reason = "within ±8000")]
        let sample =
            |n: usize| ((f64::from(u32::try_from(n).unwrap()) * step).sin() * 8000.0) as i16;
        (0..frames).map(sample).collect()
    }

    /// Level of 1000 Hz in `samples` behind the codec's delay, and of all the rest.
    fn level_of_tone(rate: u32, samples: &[i16]) -> (f64, f64) {
        let samples = &samples[samples.len() / 4..];
        let step = 1000.0 * std::f64::consts::TAU / f64::from(rate);
        let (mut sine, mut cosine, mut power) = (0.0, 0.0, 0.0);
        for (n, sample) in samples.iter().enumerate() {
            let angle = f64::from(u32::try_from(n).unwrap()) * step;
            sine += f64::from(*sample) * angle.sin();
            cosine += f64::from(*sample) * angle.cos();
            power += f64::from(*sample).powi(2);
        }
        let count = f64::from(u32::try_from(samples.len()).unwrap());
        let tone = 2.0 * (sine.powi(2) + cosine.powi(2)) / count;
        ((tone / count * 2.0).sqrt(), ((power - tone).max(0.0) / count).sqrt())
    }

    #[test]
    fn every_g711_byte_becomes_the_sample_of_the_standard() {
        // ITU-T G.711: the µ-law code 0x80 is the largest positive value, 0x00 the largest
        // negative; A-law 0xD5 is the smallest positive.
        let bytes: Vec<u8> = (0..=255).collect();
        let mu = decode_all(RtpCodec::Pcmu, 8000, std::slice::from_ref(&bytes));
        for (byte, sample) in bytes.iter().zip(&mu) {
            let code = !byte;
            let magnitude = ((i32::from(code & 15) * 2 + 33) << ((code >> 4) & 7)) - 33;
            let expected = if code & 0x80 == 0 { magnitude * 4 } else { -magnitude * 4 };
            assert_eq!(i32::from(*sample), expected, "µ-law {byte:#x}");
        }
        let a = decode_all(RtpCodec::Pcma, 8000, std::slice::from_ref(&bytes));
        for (byte, sample) in bytes.iter().zip(&a) {
            let code = byte ^ 0x55;
            let (segment, step) = ((code >> 4) & 7, i32::from(code & 15) * 2 + 1);
            let magnitude = match segment {
                0 => step * 8,
                segment => (step + 32) << (segment + 2),
            };
            let expected = if code & 0x80 == 0 { -magnitude } else { magnitude };
            assert_eq!(i32::from(*sample), expected, "A-law {byte:#x}");
        }
    }

    #[test]
    fn a_tone_survives_every_codec_at_both_rates() {
        let narrow = tone(8000, 8000);
        let wide = tone(16_000, 16_000);
        let encode = |encoder: &mut dyn audio_codec::Encoder, samples: &[i16], frames: usize| {
            samples.chunks(frames).map(|chunk| encoder.encode(chunk)).collect::<Vec<_>>()
        };
        let mut mu = audio_codec::pcmu::PcmuEncoder::new();
        let mut a = audio_codec::pcma::PcmaEncoder::new();
        let mut g722 = audio_codec::g722::G722Encoder::new();
        let mut g729 = audio_codec::g729::G729Encoder::new();
        let opus = encode_opus(&wide);
        let cases = [
            (RtpCodec::Pcmu, encode(&mut mu, &narrow, 160)),
            (RtpCodec::Pcma, encode(&mut a, &narrow, 160)),
            (RtpCodec::G722, encode(&mut g722, &wide, 320)),
            (RtpCodec::G729, encode(&mut g729, &narrow, 160)),
            (RtpCodec::Opus { channels: 2 }, opus),
        ];
        for (codec, packets) in cases {
            for rate in [8000, 16_000] {
                let decoded = decode_all(codec, rate, &packets);
                assert_eq!(decoded.len(), usize::try_from(rate).unwrap(), "{codec:?}");
                let (level, rest) = level_of_tone(rate, &decoded);
                assert!((6500.0..9500.0).contains(&level), "{codec:?} {rate}: {level}");
                assert!(rest < level / 5.0, "{codec:?} {rate}: {level} with {rest} of noise");
            }
        }
    }

    fn encode_opus(samples: &[i16]) -> Vec<Vec<u8>> {
        let rate = opusic_c::SampleRate::Hz16000;
        let application = opusic_c::Application::Voip;
        let mut encoder =
            opusic_c::Encoder::new(opusic_c::Channels::Mono, rate, application).unwrap();
        let words: Vec<u16> = samples.iter().map(|sample| sample.cast_unsigned()).collect();
        let encode = |chunk: &[u16]| {
            let mut packet = vec![0; 400];
            let length = encoder.encode_to_slice(chunk, &mut packet).unwrap();
            packet.truncate(length);
            packet
        };
        words.chunks(320).map(encode).collect()
    }

    #[test]
    fn silence_and_garbage_are_told_apart() {
        let mut scratch = vec![0; PACKET_FRAMES_MAX];
        let mut g729 = PayloadDecoder::new(RtpCodec::G729, 8000).unwrap().unwrap();
        assert_eq!(g729.decode(&[0; 2], &mut scratch), Decoded::Silence, "a SID frame alone");
        let both = Decoded::Audio { frames: 160, is_silent_after: true };
        assert_eq!(g729.decode(&[0; 22], &mut scratch), both, "20 ms, then a SID frame");
        assert_eq!(g729.decode(&[0; 7], &mut scratch), Decoded::Malformed);
        let codec = RtpCodec::Opus { channels: 1 };
        let mut opus = PayloadDecoder::new(codec, 8000).unwrap().unwrap();
        assert_eq!(opus.decode(&[0x78], &mut scratch), Decoded::Silence, "DTX");
        assert_eq!(opus.decode(&[0xff; 9], &mut scratch), Decoded::Malformed);
        let mut mu = PayloadDecoder::new(RtpCodec::Pcmu, 8000).unwrap().unwrap();
        assert_eq!(mu.decode(&[], &mut scratch), Decoded::Silence);
        assert_eq!(mu.decode(&[0; 4000], &mut scratch), Decoded::Malformed, "500 ms");
    }
}
