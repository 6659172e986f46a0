//! WAV export: 16-bit PCM, decoded chunk by chunk.
//!
//! The sizes in the header of a WAV file have 32 bits, which is 37 hours of two sides at 8 kHz. A
//! longer recording becomes an RF64 file (EBU Tech 3306), whose chunk `ds64` has sizes of 64 bits.
//! The header is written for the expected length, and corrected at the end if that was wrong.

use super::{AudioFormat, ExportError};
use crate::audio::codec::Decoder;
use crate::audio::span::Run;
use std::io::{Seek, SeekFrom, Write};

/// Most bytes of samples in a WAV file: its size includes up to 36 bytes of the header.
const RIFF_BYTES_MAX: u64 = u32::MAX as u64 - 64;
const SAMPLE_BYTES: u64 = 2;

pub struct WavWriter<W: Write + Seek> {
    out: W,
    header: WavHeader,
    decoder: Decoder,
    /// Samples of one chunk.
    samples: Vec<i16>,
    data_bytes: u64,
}

/// What the header says.
#[derive(Clone, Copy, Debug)]
struct WavHeader {
    rate: u32,
    sides: u8,
    is_rf64: bool,
}

impl WavHeader {
    /// Returns the header of a file with this many bytes of samples.
    fn to_bytes(self, data_bytes: u64) -> Vec<u8> {
        let frame_bytes = u64::from(self.sides) * SAMPLE_BYTES;
        let mut format = Vec::new();
        format.extend(1_u16.to_le_bytes());
        format.extend(u16::from(self.sides).to_le_bytes());
        format.extend(self.rate.to_le_bytes());
        format.extend((self.rate * u32::from(self.sides) * 2).to_le_bytes());
        format.extend((u16::from(self.sides) * 2).to_le_bytes());
        format.extend(16_u16.to_le_bytes());
        let mut after = b"WAVE".to_vec();
        if self.is_rf64 {
            // This chunk, `fmt `, the head of `data`, and `WAVE` itself.
            let riff_bytes = 4 + 36 + 24 + 8 + data_bytes;
            let sizes = [riff_bytes, data_bytes, data_bytes / frame_bytes];
            let mut body: Vec<u8> = sizes.into_iter().flat_map(u64::to_le_bytes).collect();
            // No table of other long chunks.
            body.extend([0; 4]);
            put_chunk(&mut after, *b"ds64", &body);
        }
        put_chunk(&mut after, *b"fmt ", &format);
        // In an RF64 file, the sizes of 32 bits are all ones.
        let size = |bytes: u64| match self.is_rf64 {
            true => u32::MAX,
            false => u32::try_from(bytes).unwrap_or(u32::MAX),
        };
        let id = if self.is_rf64 { b"RF64" } else { b"RIFF" };
        let head = [&id[..], &size(data_bytes + 36).to_le_bytes()].concat();
        [head, after, b"data".to_vec(), size(data_bytes).to_le_bytes().to_vec()].concat()
    }
}

fn put_chunk(out: &mut Vec<u8>, id: [u8; 4], body: &[u8]) {
    out.extend(id);
    out.extend(u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend(body);
}

impl<W: Write + Seek> WavWriter<W> {
    /// Writes the header for the expected number of frames.
    pub fn new(mut out: W, sound: &AudioFormat, frames: u64) -> Result<WavWriter<W>, ExportError> {
        let decoder = sound.new_decoder()?;
        let expected = frames.saturating_mul(u64::from(sound.sides) * SAMPLE_BYTES);
        let is_rf64 = expected > RIFF_BYTES_MAX;
        let header = WavHeader { rate: sound.rate, sides: sound.sides, is_rf64 };
        out.write_all(&header.to_bytes(expected))?;
        Ok(WavWriter { out, header, decoder, samples: Vec::new(), data_bytes: 0 })
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
        self.out.seek(SeekFrom::Start(0))?;
        self.out.write_all(&self.header.to_bytes(self.data_bytes))?;
        Ok(self.out.flush()?)
    }

    fn write_samples(&mut self) -> Result<(), ExportError> {
        let bytes: Vec<u8> = self.samples.drain(..).flat_map(i16::to_le_bytes).collect();
        self.data_bytes += bytes.len() as u64;
        if !self.header.is_rf64 && self.data_bytes > RIFF_BYTES_MAX {
            return Err(ExportError::WavTooLarge { limit: RIFF_BYTES_MAX });
        }
        Ok(self.out.write_all(&bytes)?)
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

    fn written(expected: u64) -> Vec<u8> {
        let mut file = Cursor::new(Vec::new());
        let mut writer = WavWriter::new(&mut file, &SOUND, expected).unwrap();
        let runs = [Fate::Stored, Fate::Masked].map(|fate| Run { fate, frames: 1 });
        writer.write_chunk(&runs, &[1, 2, 3, 4]).unwrap();
        writer.finish().unwrap();
        file.into_inner()
    }

    #[test]
    fn h7_the_header_tells_rate_sides_and_length() {
        for expected in [2, 0, 99] {
            let bytes = written(expected);
            assert_eq!(bytes.len(), 44 + 8);
            assert_eq!((&bytes[..4], &bytes[8..16]), (&b"RIFF"[..], &b"WAVEfmt "[..]));
            let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
            let (format_and_sides, bits) = (1 | 2 << 16, 4 | 16 << 16);
            let header = [4, 16, 20, 24, 28, 32, 40].map(number);
            assert_eq!(header, [44, 16, format_and_sides, 8_000, 32_000, bits, 8]);
            assert_eq!(bytes[44..], [1, 2, 3, 4, 0, 0, 0, 0]);
        }
    }

    #[test]
    fn h7_a_file_above_4_gb_is_rf64_with_sizes_of_64_bits() {
        let limit = RIFF_BYTES_MAX / 4;
        assert_eq!(written(limit)[..4], *b"RIFF");
        let bytes = written(limit + 1);
        assert_eq!((&bytes[..4], &bytes[8..16]), (&b"RF64"[..], &b"WAVEds64"[..]));
        assert_eq!(bytes[4..8], [0xff; 4]);
        let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        // All bytes after the first 8; the samples; the frames.
        let sizes = [20, 28, 36].map(number);
        assert_eq!(sizes, [bytes.len() as u64 - 8, 8, 2]);
        assert_eq!((&bytes[44..48], &bytes[48..52]), (&[0; 4][..], &b"fmt "[..]));
        assert_eq!((&bytes[72..76], &bytes[76..80]), (&b"data"[..], &[0xff; 4][..]));
        assert_eq!(bytes[80..], [1, 2, 3, 4, 0, 0, 0, 0]);
        // 100 hours of two sides at 48 kHz.
        let header = WavHeader { rate: 48_000, sides: 2, is_rf64: true }.to_bytes(69_120_000_000);
        assert_eq!(header[20..28], (69_120_000_000 + 72_u64).to_le_bytes());
        assert_eq!(header[28..36], 69_120_000_000_u64.to_le_bytes());
    }

    #[test]
    fn a_file_never_wraps_around_its_size() {
        let mut writer = WavWriter::new(Cursor::new(Vec::new()), &SOUND, 1).unwrap();
        let run = Run { fate: Fate::Masked, frames: 160 };
        writer.data_bytes = RIFF_BYTES_MAX - 640;
        writer.write_chunk(&[run], &[]).unwrap();
        let full = writer.write_chunk(&[run], &[]);
        assert!(matches!(full, Err(ExportError::WavTooLarge { .. })), "{full:?}");
    }
}
