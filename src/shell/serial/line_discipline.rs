//! Line discipline of a serial console: passes a program's bytes through and gives a person line
//! editing.
//!
//! A program ends its lines with LF or CR LF, a terminal with a lone CR. The first line decides,
//! by its bytes and never by timing. In raw mode bytes pass unchanged, so that data blocks
//! survive. In interactive mode a person gets echo, backspace, a history on the arrow keys and CR
//! LF line ends. Text after `pin=` is echoed as stars and kept out of the history. Noise and line
//! ends before the first word are dropped.

use protocol::line::LINE_BYTES;
use std::collections::VecDeque;
use zeroize::Zeroize;

const HISTORY_LINES_MAX: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LineMode {
    /// No input yet; whether the last byte was a lone CR.
    Idle {
        returned: bool,
    },
    /// Reading the first line; whether the last byte was a CR.
    FirstLine {
        returned: bool,
    },
    Raw,
    /// Whether the last byte was a CR, so that a following LF is dropped.
    Interactive {
        returned: bool,
    },
}

/// Position within an escape sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EscapeState {
    None,
    Escape,
    Sequence,
}

#[derive(Debug)]
pub struct LineDiscipline {
    mode: LineMode,
    escape_state: EscapeState,
    line: Vec<u8>,
    history: VecDeque<Vec<u8>>,
    /// History line shown, counted from the newest; 0 means none.
    history_index: usize,
}

impl Default for LineDiscipline {
    fn default() -> LineDiscipline {
        let (line, before) = (Vec::with_capacity(LINE_BYTES), VecDeque::new());
        LineDiscipline {
            mode: LineMode::Idle { returned: false },
            escape_state: EscapeState::None,
            line,
            history: before,
            history_index: 0,
        }
    }
}

impl Drop for LineDiscipline {
    fn drop(&mut self) {
        self.line.zeroize();
    }
}

/// Output buffers: input for the assembler, and echo for the terminal.
pub struct TtyBuffers<'a> {
    pub input: &'a mut Vec<u8>,
    pub echo: &'a mut Vec<u8>,
}

impl LineDiscipline {
    /// Processes received bytes. Each byte adds at most one line to `input`.
    pub fn process_input(&mut self, bytes: &[u8], ends: &mut TtyBuffers<'_>) {
        for byte in bytes {
            self.process_byte(*byte, ends);
        }
    }

    #[must_use]
    pub fn is_raw(&self) -> bool {
        self.mode == LineMode::Raw
    }

    /// Appends output with the line ends that the peer expects.
    pub fn process_output(&self, bytes: &[u8], output: &mut Vec<u8>) {
        if !matches!(self.mode, LineMode::Interactive { .. }) {
            output.extend_from_slice(bytes);
            return;
        }
        for byte in bytes {
            if *byte == b'\n' {
                output.push(b'\r');
            }
            output.push(*byte);
        }
    }

    fn process_byte(&mut self, byte: u8, ends: &mut TtyBuffers<'_>) {
        match self.mode {
            LineMode::Idle { returned } => match byte {
                b'!'..=b'~' if returned => {
                    self.mode = LineMode::Interactive { returned: false };
                    self.process_key(byte, ends);
                }
                b'!'..=b'~' => {
                    self.mode = LineMode::FirstLine { returned: false };
                    ends.input.push(byte);
                }
                // Line ends before the first word do not identify the peer.
                b'\r' | b'\n' => self.mode = LineMode::Idle { returned: byte == b'\r' },
                _ => {}
            },
            LineMode::FirstLine { returned: true } if byte != b'\n' => {
                ends.input.push(b'\n');
                ends.echo.extend_from_slice(b"\r\n");
                self.mode = LineMode::Interactive { returned: byte == b'\r' };
                self.process_key(byte, ends);
            }
            LineMode::FirstLine { .. } => match byte {
                b'\r' => self.mode = LineMode::FirstLine { returned: true },
                b'\n' => {
                    self.mode = LineMode::Raw;
                    ends.input.push(byte);
                }
                _ => ends.input.push(byte),
            },
            LineMode::Raw => ends.input.push(byte),
            LineMode::Interactive { returned } => {
                self.mode = LineMode::Interactive { returned: byte == b'\r' };
                if !(returned && byte == b'\n') {
                    self.process_key(byte, ends);
                }
            }
        }
    }

    fn process_key(&mut self, byte: u8, ends: &mut TtyBuffers<'_>) {
        match (self.escape_state, byte) {
            (EscapeState::None, 0x1b) => self.escape_state = EscapeState::Escape,
            (EscapeState::Escape, b'[' | b'O') => self.escape_state = EscapeState::Sequence,
            (EscapeState::Escape, _) => self.escape_state = EscapeState::None,
            (EscapeState::Sequence, 0x40..=0x7e) => {
                self.escape_state = EscapeState::None;
                match byte {
                    b'A' => self.recall_history(self.history_index + 1, ends),
                    b'B' => self.recall_history(self.history_index.saturating_sub(1), ends),
                    _ => {}
                }
            }
            (EscapeState::Sequence, _) => {}
            (EscapeState::None, b'\r' | b'\n') => self.submit_line(ends),
            (EscapeState::None, 0x08 | 0x7f) => self.erase_char(ends),
            // ^C and ^U discard the line.
            (EscapeState::None, 0x03 | 0x15) => self.kill_line(ends),
            (EscapeState::None, 0..=0x1f) => {}
            (EscapeState::None, _) if self.line.len() + 2 > LINE_BYTES => ends.echo.push(0x07),
            (EscapeState::None, _) => {
                let hidden = is_secret(&self.line);
                self.line.push(byte);
                match hidden && byte != b' ' {
                    true if is_char_start(byte) => ends.echo.push(b'*'),
                    true => {}
                    false => ends.echo.push(byte),
                }
            }
        }
    }

    fn submit_line(&mut self, ends: &mut TtyBuffers<'_>) {
        ends.echo.extend_from_slice(b"\r\n");
        self.history_index = 0;
        if self.line.is_empty() {
            return;
        }
        ends.input.extend_from_slice(&self.line);
        ends.input.push(b'\n');
        let secret = self.line.windows(4).any(|four| four == b"pin=");
        if !secret && self.history.back() != Some(&self.line) {
            if self.history.len() == HISTORY_LINES_MAX {
                self.history.pop_front();
            }
            self.history.push_back(self.line.clone());
        }
        self.line.zeroize();
    }

    /// Erases the last character, on the screen too.
    fn erase_char(&mut self, ends: &mut TtyBuffers<'_>) {
        while self.line.last().is_some_and(|byte| !is_char_start(*byte)) {
            self.line.pop();
        }
        if self.line.pop().is_some() {
            ends.echo.extend_from_slice(b"\x08 \x08");
        }
    }

    fn kill_line(&mut self, ends: &mut TtyBuffers<'_>) {
        ends.echo.extend_from_slice(b"\r\x1b[K");
        self.line.zeroize();
    }

    fn recall_history(&mut self, back: usize, ends: &mut TtyBuffers<'_>) {
        let line = match back {
            0 => Vec::new(),
            back => match self.history.len().checked_sub(back) {
                Some(index) => self.history[index].clone(),
                None => return,
            },
        };
        self.kill_line(ends);
        self.history_index = back;
        ends.echo.extend_from_slice(&line);
        self.line.extend_from_slice(&line);
    }
}

/// Whether a byte starts a UTF-8 character.
fn is_char_start(byte: u8) -> bool {
    byte & 0xc0 != 0x80
}

/// Whether the next input belongs to a PIN.
fn is_secret(line: &[u8]) -> bool {
    let word = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    word.starts_with(b"pin=")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds the bytes singly; returns input and echo.
    fn process_bytewise(typist: &mut LineDiscipline, bytes: &[u8]) -> (String, String) {
        let (mut input, mut echo) = (Vec::new(), Vec::new());
        for byte in bytes {
            typist.process_input(&[*byte], &mut TtyBuffers { input: &mut input, echo: &mut echo });
        }
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        (text(input), text(echo))
    }

    #[test]
    fn h2_a_programs_bytes_are_left_alone_after_its_first_word() {
        let mut typist = LineDiscipline::default();
        let bytes = b"\0\xff\r\n\n hello technician\r\ndata 4\n\r\r\x08\x03\n\n";
        let (input, echo) = process_bytewise(&mut typist, bytes);
        assert_eq!(input, "hello technician\ndata 4\n\r\r\u{8}\u{3}\n\n");
        assert_eq!(echo, "");
        let mut output = Vec::new();
        typist.process_output(b"ok\n", &mut output);
        assert_eq!(output, b"ok\n");
    }

    #[test]
    fn h2_a_person_has_an_echo_and_can_take_letters_back() {
        let mut typist = LineDiscipline::default();
        assert_eq!(process_bytewise(&mut typist, b"\r"), (String::new(), String::new()));
        let (input, echo) = process_bytewise(&mut typist, "hä\x7felx\x08p\r\n\r".as_bytes());
        assert_eq!(input, "help\n");
        assert_eq!(echo, "hä\x08 \x08elx\x08 \x08p\r\n\r\n");
        let mut output = Vec::new();
        typist.process_output(b"ok\n", &mut output);
        assert_eq!(output, b"ok\r\n");
        // A second Enter identifies a terminal whose first line was ambiguous.
        assert_eq!(process_bytewise(&mut LineDiscipline::default(), b"help\r\rx").0, "help\n");
    }

    #[test]
    fn h2_a_pin_is_neither_shown_nor_remembered() {
        let mut typist = LineDiscipline::default();
        let (input, echo) =
            process_bytewise(&mut typist, "\rhello technician pin=1ä3 user=x\r".as_bytes());
        assert_eq!(input, "hello technician pin=1ä3 user=x\n");
        assert_eq!(echo, "hello technician pin=*** user=x\r\n");
        process_bytewise(&mut typist, b"disk\rcalls\r");
        let (input, echo) = process_bytewise(&mut typist, b"\x1b[A\x1b[A\x1b[A\r");
        assert_eq!(input, "disk\n");
        assert!(!echo.contains("hello"), "{echo}");
        assert_eq!(process_bytewise(&mut typist, b"\x1bOA\x1b[Bping\x15status\r").0, "status\n");
    }

    #[test]
    fn h2_a_line_without_an_end_takes_no_more_than_its_room() {
        let mut typist = LineDiscipline::default();
        process_bytewise(&mut typist, b"\r");
        let (input, _) = process_bytewise(&mut typist, &[b'x'; 5000]);
        assert_eq!(input, "");
        assert_eq!(process_bytewise(&mut typist, b"\r").0.len(), LINE_BYTES);
    }
}
