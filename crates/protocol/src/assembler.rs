//! From a stream of bytes to whole lines and data blocks, in fixed memory.
//!
//! One `Assembler` per connection, for either side. A line is put together in a buffer of
//! `LINE_BYTES`; a longer one is refused once and swallowed up to its LF. A line `data N` switches
//! to raw bytes by itself, whether or not anybody asked for the block, so that what a client sent
//! ahead of a refusal is never taken for commands. Data is not buffered but passed on as it comes.
//!
//! This module answers nothing and does not know which command a block belongs to.

use crate::code::{Code, Refusal};
use crate::line::LINE_BYTES;

/// The most bytes of one data block.
pub const DATA_BYTES: usize = 1 << 20;

/// What came out of the stream next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A line without its end.
    Line(&'a str),
    /// A line that is none (`too-long`, `not-utf8`): it counts as a command and gets this answer.
    Refused(Refusal),
    /// A block of so many bytes begins; `Data` pieces and a `DataEnd` or a `DataRefused` follow.
    DataBegin(usize),
    /// Some of the block's bytes, never none.
    Data(&'a [u8]),
    /// The block is complete, its LF seen.
    DataEnd,
    /// The block is too large or is not followed by LF. Answers the command that waits for the
    /// block; where none waits it is dropped. No `DataEnd` follows.
    DataRefused(Refusal),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Line,
    /// Everything up to the next LF belongs to something refused.
    Swallow,
    /// Bytes of a block still to come; `keep` is off for a block that was refused.
    Data {
        left: usize,
        keep: bool,
    },
}

/// Puts lines together. Holds at most one line.
#[derive(Clone, Debug)]
pub struct Assembler {
    buffer: [u8; LINE_BYTES],
    length: usize,
    mode: Mode,
}

impl Default for Assembler {
    fn default() -> Assembler {
        Assembler::new()
    }
}

impl Assembler {
    /// An assembler at the start of a connection.
    #[must_use]
    pub const fn new() -> Assembler {
        Assembler { buffer: [0; LINE_BYTES], length: 0, mode: Mode::Line }
    }

    /// Takes from `input` until one piece is there; `None` when all of `input` is used up.
    pub fn take<'a, 'i: 'a>(&'a mut self, input: &mut &'i [u8]) -> Option<Piece<'a>> {
        if self.mode == Mode::Swallow {
            match end_of_line(input) {
                None => *input = &[],
                Some(end) => {
                    *input = &input[end + 1..];
                    self.mode = Mode::Line;
                }
            }
        }
        if input.is_empty() {
            return None;
        }
        match self.mode {
            Mode::Line => self.line(input),
            Mode::Data { left, keep } => self.data(input, left, keep),
            Mode::Swallow => None,
        }
    }

    /// Forgets the unfinished line, with whatever personal facts are in it.
    pub fn reset(&mut self) {
        *self = Assembler::new();
    }

    fn line<'a>(&'a mut self, input: &mut &[u8]) -> Option<Piece<'a>> {
        let end = end_of_line(input);
        let taken = end.unwrap_or(input.len());
        let (bytes, rest) = input.split_at(taken);
        *input = rest.get(1..).unwrap_or(&[]);
        if self.length + taken + 1 > LINE_BYTES {
            self.length = 0;
            self.mode = if end.is_some() { Mode::Line } else { Mode::Swallow };
            return Some(Piece::Refused(Code::TooLong.into()));
        }
        self.buffer[self.length..self.length + taken].copy_from_slice(bytes);
        self.length += taken;
        end?;
        let whole = std::mem::take(&mut self.length);
        let line = &self.buffer[..whole];
        match std::str::from_utf8(line.strip_suffix(b"\r").unwrap_or(line)) {
            Err(error) => Some(Piece::Refused(not_utf8(error.valid_up_to()))),
            Ok(text) => match data_bytes(text) {
                None => Some(Piece::Line(text)),
                Some(bytes) => {
                    let keep = bytes <= DATA_BYTES;
                    self.mode = Mode::Data { left: bytes, keep };
                    Some(if keep { Piece::DataBegin(bytes) } else { too_large(bytes) })
                }
            },
        }
    }

    fn data<'a, 'i: 'a>(
        &'a mut self,
        input: &mut &'i [u8],
        left: usize,
        keep: bool,
    ) -> Option<Piece<'a>> {
        if left == 0 {
            let lf = input.first() == Some(&b'\n');
            self.mode = if lf { Mode::Line } else { Mode::Swallow };
            *input = if lf { &input[1..] } else { input };
            return match (keep, lf) {
                (true, true) => Some(Piece::DataEnd),
                (true, false) => Some(no_line_end()),
                (false, _) => self.take(input),
            };
        }
        let (bytes, rest) = input.split_at(left.min(input.len()));
        *input = rest;
        self.mode = Mode::Data { left: left - bytes.len(), keep };
        if keep { Some(Piece::Data(bytes)) } else { self.take(input) }
    }
}

fn end_of_line(input: &[u8]) -> Option<usize> {
    input.iter().position(|byte| *byte == b'\n')
}

/// The size announced by a line `data N`; a number beyond all measure is a very large one.
fn data_bytes(text: &str) -> Option<usize> {
    let mut words = text.split(' ').filter(|word| !word.is_empty());
    let number = words.next().filter(|word| *word == "data").and(words.next())?;
    let plain = number.bytes().all(|byte| byte.is_ascii_digit());
    (plain && words.next().is_none()).then(|| number.parse().unwrap_or(usize::MAX))
}

fn not_utf8(at: usize) -> Refusal {
    let text = format!("byte {} is not UTF-8; check the client's encoding", at + 1);
    Refusal::new(Code::NotUtf8, text)
}

fn too_large(bytes: usize) -> Piece<'static> {
    let text = format!("a data block of {bytes} bytes; at most {DATA_BYTES}, send it in pieces");
    Piece::DataRefused(Refusal::new(Code::BadArgument, text))
}

fn no_line_end() -> Piece<'static> {
    let text = "the data block is not followed by a line end; is its size right?";
    Piece::DataRefused(Refusal::new(Code::BadArgument, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything that comes out of `bytes`, fed in pieces of `step`; data runs together.
    fn pieces(bytes: &[u8], step: usize) -> Vec<String> {
        let mut assembler = Assembler::new();
        let (mut out, mut data) = (Vec::new(), Vec::new());
        for mut input in bytes.chunks(step) {
            while let Some(piece) = assembler.take(&mut input) {
                match piece {
                    Piece::Line(text) => out.push(format!("line {text}")),
                    Piece::Refused(refusal) => out.push(format!("refused {}", refusal.code)),
                    Piece::DataBegin(size) => out.push(format!("begin {size}")),
                    Piece::Data(bytes) => data.extend_from_slice(bytes),
                    Piece::DataEnd => out.push(format!("end {:?}", std::mem::take(&mut data))),
                    Piece::DataRefused(refusal) => out.push(format!("data {}", refusal.code)),
                }
            }
            assert!(input.is_empty(), "all input is taken");
        }
        out
    }

    fn same_at_any_split(bytes: &[u8], expected: &[&str]) {
        for step in 1..=bytes.len().max(1) {
            assert_eq!(pieces(bytes, step), expected, "in steps of {step}");
        }
    }

    #[test]
    fn lines_end_with_lf_or_cr_lf() {
        same_at_any_split(
            b"ping\nquit\r\n\n a \r\r\nrest",
            &["line ping", "line quit", "line ", "line  a \r"],
        );
    }

    #[test]
    fn a_line_of_1024_bytes_passes_and_one_more_is_refused_once() {
        let fits = [vec![b'a'; 1023], b"\nping\n".to_vec()].concat();
        assert_eq!(pieces(&fits, 7)[1], "line ping");
        assert!(pieces(&fits, 4096)[0].len() == 5 + 1023);
        for length in [1024, 1025, 5000] {
            let long = [vec![b'a'; length], b"\nping\n".to_vec()].concat();
            for step in [1, 100, 1023, 1024, 1025, 9000] {
                assert_eq!(
                    pieces(&long, step),
                    ["refused too-long", "line ping"],
                    "{length} {step}"
                );
            }
        }
        let crlf = [vec![b'a'; 1023], b"\r\nping\n".to_vec()].concat();
        assert_eq!(pieces(&crlf, 3), ["refused too-long", "line ping"]);
    }

    #[test]
    fn what_is_not_utf8_is_refused_and_the_next_line_is_read() {
        same_at_any_split(
            b"a\xff\nping\n\xc3\n",
            &["refused not-utf8", "line ping", "refused not-utf8"],
        );
    }

    #[test]
    fn data_blocks_are_raw_bytes_of_the_announced_size() {
        same_at_any_split(
            b"data 5\na\n\0\xffb\nping\n",
            &["begin 5", "end [97, 10, 0, 255, 98]", "line ping"],
        );
        same_at_any_split(b"data 0\n\nping\n", &["begin 0", "end []", "line ping"]);
        same_at_any_split(b"data 2\nabcd\nping\n", &["begin 2", "data bad-argument", "line ping"]);
        same_at_any_split(
            b"data x\ndata\ndata 1 2\ndata +1\n\"data\" 1\n",
            &["line data x", "line data", "line data 1 2", "line data +1", "line \"data\" 1"],
        );
    }

    #[test]
    fn too_large_a_block_is_refused_and_skipped() {
        let size = DATA_BYTES + 1;
        let block =
            [format!("data {size}\n").into_bytes(), vec![b'\n'; size], b"\nping\n".to_vec()];
        for step in [4096, 1 << 22] {
            assert_eq!(pieces(&block.concat(), step), ["data bad-argument", "line ping"]);
        }
        let endless = b"data 99999999999999999999999\nping\nping\n";
        assert_eq!(pieces(endless, 5), ["data bad-argument"]);
    }
}
