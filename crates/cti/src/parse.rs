//! Parsers of what exchanges send. Pure: bytes go in, messages come out.
//!
//! Every buffer has a bound. Input beyond it is an error that ends the connection to the exchange,
//! because the parser cannot know where the next message begins. No error repeats the input, which
//! may hold telephone numbers.

pub mod ami;
pub mod csv;
pub mod esl;

mod headers;
mod line_buffer;

pub use headers::Headers;

/// Why the bytes of an exchange cannot be parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// A line has no end.
    #[error("a line has more than {most} bytes; check that this is the right port and exchange")]
    LineTooLong {
        /// The limit in bytes.
        most: usize,
    },
    /// A message has no end.
    #[error("a message has more than {most} lines; check that this is the right port and exchange")]
    TooManyLines {
        /// The limit in lines.
        most: usize,
    },
    /// The body of a message is announced with too many bytes.
    #[error("a message announces a body of more than {most} bytes; the exchange is not supported")]
    BodyTooLong {
        /// The limit in bytes.
        most: usize,
    },
    /// The length of a body is not a number.
    #[error("Content-Length is not a number; check that this is the event socket of FreeSWITCH")]
    BadLength,
    /// A list is not the JSON that was expected.
    #[error("the list of channels is not valid JSON (line {line}, column {column})")]
    BadJson {
        /// Line in the list, from 1.
        line: usize,
        /// Column in the line, from 1.
        column: usize,
    },
}
