//! A window on a file that is read from front to back: enough bytes to see a whole element.
//!
//! Bounded memory whatever the file's length. Nothing here knows a layout.

use super::bytes::wide;
use std::io::{ErrorKind, Read};

/// Reads ahead of where one stands.
#[derive(Debug)]
pub(crate) struct Window<R> {
    source: R,
    /// Read and not yet passed: `buffer[start..]`.
    buffer: Vec<u8>,
    start: usize,
    /// `source` has no more.
    ended: bool,
    /// Bytes to have in sight, if the file has so many.
    want: usize,
    offset: u64,
}

impl<R: Read> Window<R> {
    /// At the start of `source`; `want` bytes are to be in sight after every `refill`.
    pub fn new(source: R, want: usize) -> Window<R> {
        // As much again, so that moving what is left to the front is rare.
        let buffer = Vec::with_capacity(2 * want);
        Window { source, buffer, start: 0, ended: false, want, offset: 0 }
    }

    /// Reads until enough is in sight, or the file has ended.
    pub fn refill(&mut self) -> Result<(), ErrorKind> {
        if self.ended || self.bytes().len() >= self.want {
            return Ok(());
        }
        self.buffer.drain(..self.start);
        self.start = 0;
        while self.buffer.len() < 2 * self.want && !self.ended {
            let have = self.buffer.len();
            self.buffer.resize(2 * self.want, 0);
            let read = self.source.read(&mut self.buffer[have..]);
            let got = *read.as_ref().unwrap_or(&0);
            self.buffer.truncate(have + got.min(2 * self.want - have));
            match read {
                Ok(0) => self.ended = true,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.kind()),
            }
        }
        Ok(())
    }

    /// What is in sight.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// Goes past `count` bytes of what is in sight.
    pub fn pass(&mut self, count: usize) {
        assert!(count <= self.bytes().len());
        self.start += count;
        self.offset += wide(count);
    }

    /// Bytes of the file before what is in sight.
    pub fn offset(&self) -> u64 {
        self.offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte at a time, interrupted before each.
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
    fn everything_is_seen_once_in_order() {
        let file: Vec<u8> = (0..=255).collect();
        for step in 1..=10 {
            let mut window = Window::new(Drip(&file, false), 10);
            let mut seen = Vec::new();
            loop {
                window.refill().expect("reads");
                let count = window.bytes().len().min(step);
                assert!(window.bytes().len() >= 10.min(file.len() - seen.len()));
                if count == 0 {
                    break;
                }
                seen.extend_from_slice(&window.bytes()[..count]);
                window.pass(count);
                assert_eq!(window.offset(), wide(seen.len()));
            }
            assert_eq!(seen, file, "step {step}");
        }
    }
}
