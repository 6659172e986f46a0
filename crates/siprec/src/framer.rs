//! Cuts a byte stream (TCP, TLS) into SIP messages by `Content-Length` (RFC 3261 §18.3).
//!
//! One framer serves one connection. It holds one incomplete message at most, so its memory is
//! bounded. It does not judge messages: `Server::handle_message` does.

use crate::limits::{HEAD_BYTES_MAX, MESSAGE_BYTES_MAX};
use crate::message::{MessageError, content_length, find_head_end};
use std::ops::Range;

/// Why the rest of a stream cannot be read. The host closes the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FramerError {
    #[error(
        "the head of a SIP message has no end within {HEAD_BYTES_MAX} bytes: close the \
         connection; the peer may not speak SIP"
    )]
    HeadTooLong,
    #[error(
        "a SIP message announces a body of {body_bytes} bytes after a head of {head_bytes}; the \
         sum may be {MESSAGE_BYTES_MAX} at most: close the connection"
    )]
    MessageTooLong { head_bytes: usize, body_bytes: usize },
    #[error("the length of a SIP message on a stream cannot be read ({0}): close the connection")]
    Length(MessageError),
    #[error(
        "{waiting} bytes wait and {pushed} more were pushed; take the messages after each push of \
         {MESSAGE_BYTES_MAX} bytes at most"
    )]
    Overflow { waiting: usize, pushed: usize },
}

/// Collects bytes and gives back whole messages.
#[derive(Debug, Default)]
pub struct StreamFramer {
    buffer: Vec<u8>,
    /// Bytes at the front that were given back already.
    taken: usize,
    /// Where the search for the end of the head goes on.
    searched: usize,
}

impl StreamFramer {
    pub fn new() -> StreamFramer {
        StreamFramer::default()
    }

    /// Bytes that wait for the rest of their message.
    pub fn waiting_bytes(&self) -> usize {
        self.buffer.len() - self.taken
    }

    /// Appends what came from the stream: 64 KiB at most. Take the messages after each push.
    ///
    /// # Errors
    ///
    /// `Overflow` if the messages of earlier pushes were not taken.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), FramerError> {
        self.discard_taken();
        let waiting = self.buffer.len();
        if waiting + bytes.len() > 2 * MESSAGE_BYTES_MAX {
            return Err(FramerError::Overflow { waiting, pushed: bytes.len() });
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// The next whole message, or a keep-alive of two line ends (RFC 5626 §4.4.1) as it came.
    /// `None`: more bytes are needed.
    ///
    /// # Errors
    ///
    /// The stream cannot be cut further.
    pub fn next_message(&mut self) -> Result<Option<&[u8]>, FramerError> {
        Ok(self.next_range()?.map(|range| &self.buffer[range]))
    }

    fn next_range(&mut self) -> Result<Option<Range<usize>>, FramerError> {
        let waiting = &self.buffer[self.taken..];
        if waiting.starts_with(b"\r\n\r\n") {
            return Ok(Some(self.advance(4)));
        }
        // A lone line end before a message is skipped (RFC 3261 §7.5).
        let skipped = waiting.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        if skipped > 0 {
            if skipped == waiting.len() && skipped < 4 {
                return Ok(None);
            }
            self.advance(skipped);
        }
        let waiting = &self.buffer[self.taken..];
        let from = self.searched.saturating_sub(self.taken).saturating_sub(3);
        let Some(head_bytes) = find_head_end(waiting, from) else {
            if waiting.len() > HEAD_BYTES_MAX {
                return Err(FramerError::HeadTooLong);
            }
            self.searched = self.buffer.len();
            return Ok(None);
        };
        if head_bytes > HEAD_BYTES_MAX {
            return Err(FramerError::HeadTooLong);
        }
        let head = &waiting[..head_bytes];
        // Without a length there is no body: the next message follows at once.
        let body_bytes = content_length(head).map_err(FramerError::Length)?.unwrap_or(0);
        let length = head_bytes.saturating_add(body_bytes);
        if length > MESSAGE_BYTES_MAX {
            return Err(FramerError::MessageTooLong { head_bytes, body_bytes });
        }
        if waiting.len() < length {
            self.searched = self.taken + head_bytes;
            return Ok(None);
        }
        Ok(Some(self.advance(length)))
    }

    fn advance(&mut self, length: usize) -> Range<usize> {
        let range = self.taken..self.taken + length;
        self.taken = range.end;
        self.searched = self.taken;
        range
    }

    fn discard_taken(&mut self) {
        self.buffer.drain(..self.taken);
        self.searched = self.searched.saturating_sub(self.taken);
        self.taken = 0;
    }
}
