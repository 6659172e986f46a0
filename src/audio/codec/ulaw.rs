//! G.711 µ-law (ITU-T G.711, table 2): one byte per sample, with quantisation error that grows
//! with level.
//!
//! G.711 uses 14-bit samples; ours have 16 bits, so the two lowest are below its finest step. A
//! byte is sign, segment (3 bits) and step (4 bits), all inverted. Receives stored samples only
//! and has no state.

/// Added before encoding, so that each segment is twice as long as the previous one (16-bit
/// scale).
const BIAS: i32 = 0x84;
/// Largest magnitude with its own code (16-bit scale).
const CLIP: i32 = 32635;

/// Appends one byte per sample.
pub(super) fn encode(samples: &[i16], payload: &mut Vec<u8>) {
    payload.extend(samples.iter().map(|sample| encode_sample(*sample)));
}

/// Appends one sample per byte.
pub(super) fn decode(payload: &[u8], samples: &mut Vec<i16>) {
    samples.extend(payload.iter().map(|byte| decode_byte(*byte)));
}

fn encode_sample(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = i32::from(sample).abs().min(CLIP) + BIAS;
    let segment = magnitude.ilog2() - 7;
    let step = (magnitude >> (segment + 3)) & 0x0f;
    let [code, ..] = ((segment << 4) | step.cast_unsigned()).to_le_bytes();
    assert!(segment < 8 && code < 0x80);
    !(sign | code)
}

/// Decodes a byte to the middle of its step.
fn decode_byte(byte: u8) -> i16 {
    let code = !byte;
    let (segment, step) = ((code >> 4) & 7, i16::from(code & 0x0f));
    let magnitude = (((step << 3) + 0x84) << segment) - 0x84;
    if code & 0x80 == 0 { magnitude } else { -magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// G.711 table 2a/2b: decision values and outputs on its 14-bit scale (a quarter of ours).
    const KNOWN: [(i16, u8, i16); 12] = [
        (0, 0xff, 0),
        (1, 0xfe, 2),
        (3, 0xfd, 4),
        (31, 0xef, 33),
        (35, 0xee, 37),
        (95, 0xdf, 99),
        (223, 0xcf, 231),
        (479, 0xbf, 495),
        (991, 0xaf, 1023),
        (2015, 0x9f, 2079),
        (4063, 0x8f, 4191),
        (8031, 0x80, 8031),
    ];

    #[test]
    fn the_values_of_the_standard() {
        for (value, byte, back) in KNOWN {
            assert_eq!(encode_sample(value * 4), byte, "{value}");
            assert_eq!(decode_byte(byte), back * 4, "{byte:#x}");
            if value > 0 {
                assert_eq!(encode_sample(-value * 4), byte & 0x7f, "-{value}");
                assert_eq!(decode_byte(byte & 0x7f), -back * 4, "{byte:#x}");
            }
        }
        assert_eq!((encode_sample(i16::MAX), encode_sample(i16::MIN)), (0x80, 0x00));
    }

    #[test]
    fn the_error_is_at_most_half_a_step() {
        for sample in i16::MIN..=i16::MAX {
            let mut payload = vec![];
            encode(&[sample], &mut payload);
            let mut back = vec![];
            decode(&payload, &mut back);
            let (was, is) = (i32::from(sample), i32::from(back[0]));
            let clipped = was.clamp(-CLIP, CLIP);
            let half_step = 4 << ((clipped.abs() + BIAS).ilog2() - 7);
            assert!((clipped - is).abs() <= half_step, "{was} became {is}");
            assert!(was == 0 || is == 0 || was.signum() == is.signum(), "{was} became {is}");
        }
    }

    #[test]
    fn every_byte_is_its_own_code() {
        for byte in 0..=u8::MAX {
            let back = encode_sample(decode_byte(byte));
            // Zero has two codes; the encoder uses the positive one.
            assert!(back == byte || (byte == 0x7f && back == 0xff), "{byte:#x} became {back:#x}");
        }
    }
}
