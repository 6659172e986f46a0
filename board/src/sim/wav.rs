//! A WAV file that is played in a loop, read in pieces.
//!
//! `hound` reads the header from the file without a buffer that could keep samples. Audio is read
//! into the caller's scratch buffer, which is wiped before `read` returns. Only 16-bit PCM in
//! exactly the expected format is accepted; there is no conversion.

use crate::error::{ExpectedFormat, WavError};
use crate::{to_count, to_index};
use std::fs::File;
use std::io::{Cursor, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;
use zeroize::Zeroize;

/// Two sides of two bytes.
pub(super) const FRAME_BYTES_MAX: usize = 4;

/// Longest description of a format; a longer one is no WAV file.
const FORMAT_BYTES_MAX: u32 = 64;

/// An open WAV file in the expected format.
pub(super) struct WavFile {
    file: File,
    expected: ExpectedFormat,
    /// Byte offset of frame 0.
    data_at: u64,
    /// Frames in the file, at least 1.
    frames: u64,
}

impl WavFile {
    pub(super) fn open(path: &Path, wanted: ExpectedFormat) -> Result<WavFile, WavError> {
        let file = File::open(path).map_err(WavError::Read)?;
        let present = file.metadata().map_err(WavError::Read)?.len();
        let (header, data_at) = read_header(&file).unwrap_or_default();
        (&file).seek(SeekFrom::Start(data_at)).map_err(WavError::Read)?;
        let mut reader = hound::WavReader::new(header.chain(&file))
            .map_err(|error| WavError::Header { reason: error.to_string(), wanted })?;
        let (spec, frames) = (reader.spec(), u64::from(reader.duration()));
        let wrong = spec.channels != u16::from(wanted.sides)
            || spec.sample_rate != wanted.rate
            || spec.bits_per_sample != 16
            || spec.sample_format != hound::SampleFormat::Int;
        if wrong {
            return Err(WavError::WrongFormat { found: describe_format(spec), wanted });
        }
        if frames == 0 {
            return Err(WavError::Empty { wanted });
        }
        // A sample may use more bytes than its bit depth; only a read shows that. A file that
        // ends before its first sample is detected below.
        match reader.samples::<i16>().next() {
            None | Some(Ok(_) | Err(hound::Error::IoError(_))) => {}
            Some(Err(_)) => {
                let found = "16 bits in wider containers".to_owned();
                return Err(WavError::WrongFormat { found, wanted });
            }
        }
        let wav = WavFile { file, expected: wanted, data_at, frames };
        let promised = frames * to_count(wav.frame_bytes());
        if present < data_at + promised {
            return Err(WavError::Truncated {
                promised,
                present: present.saturating_sub(data_at),
                wanted,
            });
        }
        Ok(wav)
    }

    /// Samples per frame.
    pub(super) fn sides(&self) -> usize {
        usize::from(self.expected.sides)
    }

    /// Format that the file was opened with.
    pub(super) fn wanted(&self) -> ExpectedFormat {
        self.expected
    }

    /// Fills `samples` with the frames from `position` on, wrapping at the end of the file.
    /// `bytes` is scratch, at least as long as the samples in bytes; it is zeroed afterwards.
    pub(super) fn read(
        &self,
        position: u64,
        bytes: &mut [u8],
        samples: &mut [i16],
    ) -> std::io::Result<()> {
        assert_eq!(samples.len() % self.sides(), 0, "whole frames only");
        let mut at = position % self.frames;
        let mut rest = samples;
        while !rest.is_empty() {
            let frames = (rest.len() / self.sides()).min(to_index(self.frames - at));
            let (piece, after) = rest.split_at_mut(frames * self.sides());
            let raw = &mut bytes[..frames * self.frame_bytes()];
            let offset = self.data_at + at * to_count(self.frame_bytes());
            let done = self.file.read_exact_at(raw, offset);
            for (sample, pair) in piece.iter_mut().zip(raw.chunks_exact(2)) {
                *sample = i16::from_le_bytes([pair[0], pair[1]]);
            }
            raw.zeroize();
            done?;
            rest = after;
            at = 0;
        }
        Ok(())
    }

    fn frame_bytes(&self) -> usize {
        self.sides() * 2
    }
}

/// Returns the chunks of the header that `hound` needs, and the offset of the samples. `hound` does
/// not skip the byte that pads a chunk of odd length.
fn read_header(file: &File) -> std::io::Result<(Cursor<Vec<u8>>, u64)> {
    let mut header = vec![0; 12];
    file.read_exact_at(&mut header, 0)?;
    let mut at = to_count(header.len());
    loop {
        let mut head = [0; 8];
        file.read_exact_at(&mut head, at)?;
        let [a, b, c, d, length @ ..] = head;
        let (id, length) = ([a, b, c, d], u32::from_le_bytes(length));
        at += to_count(head.len());
        if [*b"fmt ", *b"data"].contains(&id) {
            header.extend(head);
        }
        if id == *b"data" {
            return Ok((Cursor::new(header), at));
        }
        if id == *b"fmt " && length <= FORMAT_BYTES_MAX {
            let mut format = vec![0; to_index(length.into())];
            file.read_exact_at(&mut format, at)?;
            header.extend(format);
        }
        at += u64::from(length) + u64::from(length % 2);
    }
}

fn describe_format(spec: hound::WavSpec) -> String {
    let kind = match spec.sample_format {
        hound::SampleFormat::Int => "PCM",
        hound::SampleFormat::Float => "float",
    };
    let (bits, channels, rate) = (spec.bits_per_sample, spec.channels, spec.sample_rate);
    format!("{bits}-bit {kind}, {channels} channel(s), {rate} Hz")
}
