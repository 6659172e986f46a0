//! A sliding window over a file that is read sequentially, with bounded memory.

use super::bytes::len_to_u64;
use std::io::{ErrorKind, Read};

/// A read-ahead buffer.
#[derive(Debug)]
pub(crate) struct SlidingBuffer<R> {
    source: R,
    /// `buffer[start..]` is read but not consumed.
    buffer: Vec<u8>,
    start: usize,
    /// Whether `source` has ended.
    is_ended: bool,
    /// Bytes to buffer, if the file has that many.
    min_bytes: usize,
    offset: u64,
}

impl<R: Read> SlidingBuffer<R> {
    /// Starts at the beginning of `source`. After `fill_buffer`, at least `want` bytes are
    /// buffered.
    pub fn new(source: R, want: usize) -> SlidingBuffer<R> {
        // Double the size, so that remaining bytes are rarely moved to the front.
        let buffer = Vec::with_capacity(2 * want);
        SlidingBuffer { source, buffer, start: 0, is_ended: false, min_bytes: want, offset: 0 }
    }

    /// Reads until enough bytes are buffered or the file ends.
    pub fn fill_buffer(&mut self) -> Result<(), ErrorKind> {
        if self.is_ended || self.buffered().len() >= self.min_bytes {
            return Ok(());
        }
        self.buffer.drain(..self.start);
        self.start = 0;
        while self.buffer.len() < 2 * self.min_bytes && !self.is_ended {
            let have = self.buffer.len();
            self.buffer.resize(2 * self.min_bytes, 0);
            let read = self.source.read(&mut self.buffer[have..]);
            let got = *read.as_ref().unwrap_or(&0);
            self.buffer.truncate(have + got.min(2 * self.min_bytes - have));
            match read {
                Ok(0) => self.is_ended = true,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.kind()),
            }
        }
        Ok(())
    }

    /// Returns the buffered bytes.
    pub fn buffered(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// Consumes `count` buffered bytes.
    pub fn consume(&mut self, count: usize) {
        assert!(count <= self.buffered().len());
        self.start += count;
        self.offset += len_to_u64(count);
    }

    /// Returns the file offset of the first buffered byte.
    pub fn offset(&self) -> u64 {
        self.offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Returns one byte at a time, interrupted before each.
    struct Drip<'a>(&'a [u8], bool);

    impl Read for Drip<'_> {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                return Err(ErrorKind::Interrupted.into());
            }
            let count = self.0.len().min(1);
            into[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    #[test]
    fn every_byte_is_buffered_once_in_order() {
        let file: Vec<u8> = (0..=255).collect();
        for step in 1..=10 {
            let mut window = SlidingBuffer::new(Drip(&file, false), 10);
            let mut seen = Vec::new();
            loop {
                window.fill_buffer().expect("reads");
                let count = window.buffered().len().min(step);
                assert!(window.buffered().len() >= 10.min(file.len() - seen.len()));
                if count == 0 {
                    break;
                }
                seen.extend_from_slice(&window.buffered()[..count]);
                window.consume(count);
                assert_eq!(window.offset(), len_to_u64(seen.len()));
            }
            assert_eq!(seen, file, "step {step}");
        }
    }
}
