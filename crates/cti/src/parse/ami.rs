//! The Asterisk Manager Interface: a greeting line, then messages of header lines, each ended by an
//! empty line.

use super::line_buffer::LineBuffer;
use super::{Headers, ParseError};

/// The most bytes of a line. Asterisk cuts its own lines well below.
pub const LINE_BYTES_MAX: usize = 16 << 10;

/// The most header lines of a message.
pub const MESSAGE_LINES_MAX: usize = 1024;

/// Parses the bytes of one connection.
#[derive(Clone, Default)]
pub struct AmiParser {
    buffer: LineBuffer,
    message: Headers,
    lines: usize,
    greeted: bool,
}

impl AmiParser {
    /// Adds bytes from the connection.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.buffer.extend(bytes);
    }

    /// Takes the next complete message. The greeting is skipped.
    ///
    /// # Errors
    ///
    /// When a line or a message exceeds its limit.
    pub fn next_message(&mut self) -> Result<Option<Headers>, ParseError> {
        while let Some(line) = self.buffer.next_line(LINE_BYTES_MAX)? {
            if !self.greeted {
                self.greeted = true;
                if line.starts_with("Asterisk Call Manager") {
                    continue;
                }
            }
            if !line.is_empty() {
                self.lines += 1;
                if self.lines > MESSAGE_LINES_MAX {
                    return Err(ParseError::TooManyLines { most: MESSAGE_LINES_MAX });
                }
                self.message.push_line(&line);
                continue;
            }
            self.lines = 0;
            let message = std::mem::take(&mut self.message);
            if !message.is_empty() {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }

    /// Bytes and header lines held, for tests of the bound.
    #[must_use]
    pub fn held(&self) -> (usize, usize) {
        (self.buffer.held_bytes(), self.message.count())
    }
}

/// Formats an action as header lines. Line ends in values would begin another header, so they
/// become spaces.
#[must_use]
pub fn format_action(pairs: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in pairs {
        let value = value.replace(['\r', '\n'], " ");
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text + "\r\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_whole_however_the_bytes_are_cut() {
        let text = "Asterisk Call Manager/7.0.3\r\nEvent: Hangup\r\nUniqueid: 1.2\r\n\r\n\
                    Response: Success\r\nMessage: a: b\r\n\r\n";
        for size in 1..text.len() {
            let mut parser = AmiParser::default();
            let mut found = Vec::new();
            for piece in text.as_bytes().chunks(size) {
                parser.receive(piece);
                while let Some(message) = parser.next_message().unwrap() {
                    found.push(message);
                }
            }
            assert_eq!(found.len(), 2, "pieces of {size}");
            assert_eq!((found[0].get("event"), found[0].get("UNIQUEID")), ("Hangup", "1.2"));
            assert_eq!((found[1].get("Message"), found[1].get("none")), ("a: b", ""));
        }
    }

    #[test]
    fn what_has_no_end_is_refused() {
        let mut parser = AmiParser::default();
        parser.receive(&vec![b'x'; LINE_BYTES_MAX + 1]);
        assert_eq!(parser.next_message(), Err(ParseError::LineTooLong { most: LINE_BYTES_MAX }));
        let mut parser = AmiParser::default();
        parser.receive("a: b\n".repeat(MESSAGE_LINES_MAX + 2).as_bytes());
        let error = ParseError::TooManyLines { most: MESSAGE_LINES_MAX };
        assert_eq!(parser.next_message(), Err(error));
    }

    #[test]
    fn a_value_cannot_begin_another_header() {
        let text = format_action(&[("Action", "Login"), ("Secret", "a\r\nAction: Originate")]);
        assert_eq!(text, "Action: Login\r\nSecret: a  Action: Originate\r\n\r\n");
    }

    #[test]
    fn a_message_is_shown_without_its_values() {
        let mut message = Headers::default();
        message.push_line("CallerIDNum: 5551234");
        assert_eq!(format!("{message:?}"), r#"["CallerIDNum"]"#);
    }
}
