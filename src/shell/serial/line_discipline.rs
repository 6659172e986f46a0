//! What stands between a serial line and the protocol: a program's bytes pass, a person is helped.
//!
//! A program ends its lines with LF (or CR LF), a person's terminal with a lone CR; the first line
//! tells which of them it is, by its bytes and never by time. A program's bytes are left alone from
//! then on, so that data blocks pass. A person gets an echo, back-space, the last lines with the
//! arrow keys, and CR LF at the end of lines; what follows `pin=` is shown as stars and is not
//! remembered. Until the first word, noise and line ends are dropped. Nothing here knows a command.

use protocol::line::LINE_BYTES;
use std::collections::VecDeque;
use zeroize::Zeroize;

/// Lines that the arrow keys bring back.
const HISTORY_LINES_MAX: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LineMode {
    /// Nothing has been said; whether a lone CR came last.
    Idle {
        returned: bool,
    },
    /// The first line is under way; whether a CR came last.
    FirstLine {
        returned: bool,
    },
    Raw,
    /// Whether a CR came last, so that its LF is dropped.
    Interactive {
        returned: bool,
    },
}

/// Where a key of several bytes is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EscapeState {
    None,
    Escape,
    Sequence,
}

/// One side of a serial line.
#[derive(Debug)]
pub struct LineDiscipline {
    mode: LineMode,
    escape_state: EscapeState,
    line: Vec<u8>,
    history: VecDeque<Vec<u8>>,
    /// Which of `before` is shown, counted from the newest; 0: none.
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

/// Where bytes go: to the assembler, and back to the screen.
pub struct TtyBuffers<'a> {
    pub input: &'a mut Vec<u8>,
    pub echo: &'a mut Vec<u8>,
}

impl LineDiscipline {
    /// Takes what came over the line. What goes to `input` is never longer than a line more.
    pub fn process_input(&mut self, bytes: &[u8], ends: &mut TtyBuffers<'_>) {
        for byte in bytes {
            self.process_byte(*byte, ends);
        }
    }

    /// Whether bytes pass as they come.
    #[must_use]
    pub fn is_raw(&self) -> bool {
        self.mode == LineMode::Raw
    }

    /// What is sent, as the other end wants it.
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
                // Noise does not tell who is there.
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
            // ^C and ^U: the line is given up.
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

    /// Takes the last letter back, on the screen too.
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

/// Whether a byte begins a letter (UTF-8).
fn is_char_start(byte: u8) -> bool {
    byte & 0xc0 != 0x80
}

/// Whether what is typed next belongs to a PIN.
fn is_secret(line: &[u8]) -> bool {
    let word = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    word.starts_with(b"pin=")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What goes in and what is echoed, however the bytes are cut.
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
        // Who does not press Enter first is known by the second Enter.
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
