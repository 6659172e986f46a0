//! WAV export: 16-bit PCM, decoded chunk by chunk.
//!
//! `finish` completes the header, so the writer must seek. A file holds at most 4 GiB (37 hours
//! of two sides at 8 kHz); a longer recording is an error.

use super::{AudioFormat, ExportError};
use crate::audio::codec::Decoder;
use crate::audio::span::Run;
use std::io::{Seek, Write};

/// Sizes in the header are 32 bits and include up to 36 bytes of the header.
const DATA_BYTES_MAX: u32 = u32::MAX - 64;

pub struct WavWriter<W: Write + Seek> {
    out: hound::WavWriter<W>,
    decoder: Decoder,
    /// Samples of one chunk.
    samples: Vec<i16>,
    data_bytes: u64,
    data_bytes_max: u32,
}

impl<W: Write + Seek> WavWriter<W> {
    /// Writes the header.
    pub fn new(out: W, sound: &AudioFormat) -> Result<WavWriter<W>, ExportError> {
        let decoder = sound.new_decoder()?;
        let spec = hound::WavSpec {
            channels: u16::from(sound.sides),
            sample_rate: sound.rate,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let out = hound::WavWriter::new(out, spec)?;
        let (samples, data_bytes) = (Vec::new(), 0);
        Ok(WavWriter { out, decoder, samples, data_bytes, data_bytes_max: DATA_BYTES_MAX })
    }

    /// Writes the frames of the next chunk; Opus delays some of them until the following chunk.
    pub fn write_chunk(&mut self, runs: &[Run], payload: &[u8]) -> Result<(), ExportError> {
        self.decoder.decode_chunk(runs, payload, &mut self.samples)?;
        self.write_samples()
    }

    /// Completes the file and its header. The last frames of an interrupted recording are silent.
    pub fn finish(mut self) -> Result<(), ExportError> {
        self.decoder.finish(&mut self.samples);
        self.write_samples()?;
        Ok(self.out.finalize()?)
    }

    fn write_samples(&mut self) -> Result<(), ExportError> {
        let (bytes, limit) = (self.data_bytes + self.samples.len() as u64 * 2, self.data_bytes_max);
        if bytes > u64::from(limit) {
            return Err(ExportError::WavTooLarge { bytes, limit });
        }
        for sample in self.samples.drain(..) {
            self.out.write_sample(sample)?;
        }
        self.data_bytes = bytes;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::span::Fate;
    use crate::config::CodecKind;
    use std::io::Cursor;

    const SOUND: AudioFormat =
        AudioFormat { codec: CodecKind::Pcm, rate: 8_000, sides: 2, delay_frames: 0 };

    #[test]
    fn h7_the_header_tells_rate_sides_and_length() {
        let mut file = Cursor::new(Vec::new());
        let mut writer = WavWriter::new(&mut file, &SOUND).unwrap();
        let runs = [Fate::Stored, Fate::Masked].map(|fate| Run { fate, frames: 1 });
        writer.write_chunk(&runs, &[1, 2, 3, 4]).unwrap();
        writer.finish().unwrap();
        let bytes = file.into_inner();
        assert_eq!(bytes.len(), 44 + 8);
        assert_eq!((&bytes[..4], &bytes[8..16]), (&b"RIFF"[..], &b"WAVEfmt "[..]));
        let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let (format_and_sides, bits) = (1 | 2 << 16, 4 | 16 << 16);
        let header = [4, 16, 20, 24, 28, 32, 40].map(number);
        assert_eq!(header, [44, 16, format_and_sides, 8_000, 32_000, bits, 8]);
        assert_eq!(bytes[44..], [1, 2, 3, 4, 0, 0, 0, 0]);
    }

    #[test]
    fn a_file_never_wraps_around_its_size() {
        let mut writer = WavWriter::new(Cursor::new(Vec::new()), &SOUND).unwrap();
        writer.data_bytes_max = 640;
        let run = Run { fate: Fate::Masked, frames: 160 };
        writer.write_chunk(&[run], &[]).unwrap();
        let full = writer.write_chunk(&[run], &[]);
        assert!(
            matches!(full, Err(ExportError::WavTooLarge { bytes: 1_280, limit: 640 })),
            "{full:?}"
        );
    }
}
