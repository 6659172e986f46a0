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
const REMEMBERED: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Nothing has been said; whether a lone CR came last.
    Quiet {
        returned: bool,
    },
    /// The first line is under way; whether a CR came last.
    FirstLine {
        returned: bool,
    },
    Program,
    /// Whether a CR came last, so that its LF is dropped.
    Person {
        returned: bool,
    },
}

/// Where a key of several bytes is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    None,
    Escape,
    Sequence,
}

/// One side of a serial line.
#[derive(Debug)]
pub struct Typist {
    mode: Mode,
    key: Key,
    line: Vec<u8>,
    before: VecDeque<Vec<u8>>,
    /// Which of `before` is shown, counted from the newest; 0: none.
    back: usize,
}

impl Default for Typist {
    fn default() -> Typist {
        let (line, before) = (Vec::with_capacity(LINE_BYTES), VecDeque::new());
        Typist { mode: Mode::Quiet { returned: false }, key: Key::None, line, before, back: 0 }
    }
}

impl Drop for Typist {
    fn drop(&mut self) {
        self.line.zeroize();
    }
}

/// Where bytes go: to the assembler, and back to the screen.
pub struct Ends<'a> {
    pub input: &'a mut Vec<u8>,
    pub echo: &'a mut Vec<u8>,
}

impl Typist {
    /// Takes what came over the line. What goes to `input` is never longer than a line more.
    pub fn take(&mut self, bytes: &[u8], ends: &mut Ends<'_>) {
        for byte in bytes {
            self.byte(*byte, ends);
        }
    }

    /// Whether bytes pass as they come.
    #[must_use]
    pub fn is_program(&self) -> bool {
        self.mode == Mode::Program
    }

    /// What is sent, as the other end wants it.
    pub fn send(&self, bytes: &[u8], output: &mut Vec<u8>) {
        if !matches!(self.mode, Mode::Person { .. }) {
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

    fn byte(&mut self, byte: u8, ends: &mut Ends<'_>) {
        match self.mode {
            Mode::Quiet { returned } => match byte {
                b'!'..=b'~' if returned => {
                    self.mode = Mode::Person { returned: false };
                    self.typed(byte, ends);
                }
                b'!'..=b'~' => {
                    self.mode = Mode::FirstLine { returned: false };
                    ends.input.push(byte);
                }
                // Noise does not tell who is there.
                b'\r' | b'\n' => self.mode = Mode::Quiet { returned: byte == b'\r' },
                _ => {}
            },
            Mode::FirstLine { returned: true } if byte != b'\n' => {
                ends.input.push(b'\n');
                ends.echo.extend_from_slice(b"\r\n");
                self.mode = Mode::Person { returned: byte == b'\r' };
                self.typed(byte, ends);
            }
            Mode::FirstLine { .. } => match byte {
                b'\r' => self.mode = Mode::FirstLine { returned: true },
                b'\n' => {
                    self.mode = Mode::Program;
                    ends.input.push(byte);
                }
                _ => ends.input.push(byte),
            },
            Mode::Program => ends.input.push(byte),
            Mode::Person { returned } => {
                self.mode = Mode::Person { returned: byte == b'\r' };
                if !(returned && byte == b'\n') {
                    self.typed(byte, ends);
                }
            }
        }
    }

    fn typed(&mut self, byte: u8, ends: &mut Ends<'_>) {
        match (self.key, byte) {
            (Key::None, 0x1b) => self.key = Key::Escape,
            (Key::Escape, b'[' | b'O') => self.key = Key::Sequence,
            (Key::Escape, _) => self.key = Key::None,
            (Key::Sequence, 0x40..=0x7e) => {
                self.key = Key::None;
                match byte {
                    b'A' => self.recall(self.back + 1, ends),
                    b'B' => self.recall(self.back.saturating_sub(1), ends),
                    _ => {}
                }
            }
            (Key::Sequence, _) => {}
            (Key::None, b'\r' | b'\n') => self.enter(ends),
            (Key::None, 0x08 | 0x7f) => self.erase(ends),
            // ^C and ^U: the line is given up.
            (Key::None, 0x03 | 0x15) => self.give_up(ends),
            (Key::None, 0..=0x1f) => {}
            (Key::None, _) if self.line.len() + 2 > LINE_BYTES => ends.echo.push(0x07),
            (Key::None, _) => {
                let hidden = is_hidden(&self.line);
                self.line.push(byte);
                match hidden && byte != b' ' {
                    true if is_letter(byte) => ends.echo.push(b'*'),
                    true => {}
                    false => ends.echo.push(byte),
                }
            }
        }
    }

    fn enter(&mut self, ends: &mut Ends<'_>) {
        ends.echo.extend_from_slice(b"\r\n");
        self.back = 0;
        if self.line.is_empty() {
            return;
        }
        ends.input.extend_from_slice(&self.line);
        ends.input.push(b'\n');
        let secret = self.line.windows(4).any(|four| four == b"pin=");
        if !secret && self.before.back() != Some(&self.line) {
            if self.before.len() == REMEMBERED {
                self.before.pop_front();
            }
            self.before.push_back(self.line.clone());
        }
        self.line.zeroize();
    }

    /// Takes the last letter back, on the screen too.
    fn erase(&mut self, ends: &mut Ends<'_>) {
        while self.line.last().is_some_and(|byte| !is_letter(*byte)) {
            self.line.pop();
        }
        if self.line.pop().is_some() {
            ends.echo.extend_from_slice(b"\x08 \x08");
        }
    }

    fn give_up(&mut self, ends: &mut Ends<'_>) {
        ends.echo.extend_from_slice(b"\r\x1b[K");
        self.line.zeroize();
    }

    fn recall(&mut self, back: usize, ends: &mut Ends<'_>) {
        let line = match back {
            0 => Vec::new(),
            back => match self.before.len().checked_sub(back) {
                Some(index) => self.before[index].clone(),
                None => return,
            },
        };
        self.give_up(ends);
        self.back = back;
        ends.echo.extend_from_slice(&line);
        self.line.extend_from_slice(&line);
    }
}

/// Whether a byte begins a letter (UTF-8).
fn is_letter(byte: u8) -> bool {
    byte & 0xc0 != 0x80
}

/// Whether what is typed next belongs to a PIN.
fn is_hidden(line: &[u8]) -> bool {
    let word = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    word.starts_with(b"pin=")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What goes in and what is echoed, however the bytes are cut.
    fn both(typist: &mut Typist, bytes: &[u8]) -> (String, String) {
        let (mut input, mut echo) = (Vec::new(), Vec::new());
        for byte in bytes {
            typist.take(&[*byte], &mut Ends { input: &mut input, echo: &mut echo });
        }
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        (text(input), text(echo))
    }

    #[test]
    fn h2_a_programs_bytes_are_left_alone_after_its_first_word() {
        let mut typist = Typist::default();
        let bytes = b"\0\xff\r\n\n hello technician\r\ndata 4\n\r\r\x08\x03\n\n";
        let (input, echo) = both(&mut typist, bytes);
        assert_eq!(input, "hello technician\ndata 4\n\r\r\u{8}\u{3}\n\n");
        assert_eq!(echo, "");
        let mut output = Vec::new();
        typist.send(b"ok\n", &mut output);
        assert_eq!(output, b"ok\n");
    }

    #[test]
    fn h2_a_person_has_an_echo_and_can_take_letters_back() {
        let mut typist = Typist::default();
        assert_eq!(both(&mut typist, b"\r"), (String::new(), String::new()));
        let (input, echo) = both(&mut typist, "hä\x7felx\x08p\r\n\r".as_bytes());
        assert_eq!(input, "help\n");
        assert_eq!(echo, "hä\x08 \x08elx\x08 \x08p\r\n\r\n");
        let mut output = Vec::new();
        typist.send(b"ok\n", &mut output);
        assert_eq!(output, b"ok\r\n");
        // Who does not press Enter first is known by the second Enter.
        assert_eq!(both(&mut Typist::default(), b"help\r\rx").0, "help\n");
    }

    #[test]
    fn h2_a_pin_is_neither_shown_nor_remembered() {
        let mut typist = Typist::default();
        let (input, echo) = both(&mut typist, "\rhello technician pin=1ä3 user=x\r".as_bytes());
        assert_eq!(input, "hello technician pin=1ä3 user=x\n");
        assert_eq!(echo, "hello technician pin=*** user=x\r\n");
        both(&mut typist, b"disk\rcalls\r");
        let (input, echo) = both(&mut typist, b"\x1b[A\x1b[A\x1b[A\r");
        assert_eq!(input, "disk\n");
        assert!(!echo.contains("hello"), "{echo}");
        assert_eq!(both(&mut typist, b"\x1bOA\x1b[Bping\x15status\r").0, "status\n");
    }

    #[test]
    fn h2_a_line_without_an_end_takes_no_more_than_its_room() {
        let mut typist = Typist::default();
        both(&mut typist, b"\r");
        let (input, _) = both(&mut typist, &[b'x'; 5000]);
        assert_eq!(input, "");
        assert_eq!(both(&mut typist, b"\r").0.len(), LINE_BYTES);
    }
}
