//! Bytes of a stream, taken line by line, with a bound.

use super::ParseError;

/// Collects bytes until a line is complete.
#[derive(Clone, Default)]
pub struct LineBuffer {
    bytes: Vec<u8>,
    /// Bytes before this one were taken.
    start: usize,
}

impl LineBuffer {
    /// Adds bytes from the stream.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.start);
        self.start = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// Takes the next line without its end, or `None` if it is not complete. A line that is not
    /// UTF-8 is read with replacement characters.
    ///
    /// # Errors
    ///
    /// When a line has more than `most` bytes.
    pub fn next_line(&mut self, most: usize) -> Result<Option<String>, ParseError> {
        let rest = &self.bytes[self.start..];
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
            let too_long = rest.len() > most;
            return if too_long { Err(ParseError::LineTooLong { most }) } else { Ok(None) };
        };
        if end > most {
            return Err(ParseError::LineTooLong { most });
        }
        let line = String::from_utf8_lossy(&rest[..end]).trim_end_matches('\r').to_owned();
        self.start += end + 1;
        Ok(Some(line))
    }

    /// Takes exactly `count` bytes, or `None` if fewer are there.
    pub fn next_block(&mut self, count: usize) -> Option<Vec<u8>> {
        let block = self.bytes.get(self.start..self.start.checked_add(count)?)?.to_vec();
        self.start += count;
        Some(block)
    }

    /// Takes what is left, as a last line without an end.
    pub fn take_rest(&mut self) -> String {
        let rest = String::from_utf8_lossy(&self.bytes[self.start..]).trim_end().to_owned();
        self.bytes.clear();
        self.start = 0;
        rest
    }

    /// Bytes held.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.bytes.len() - self.start
    }
}
