//! From a stream of bytes to whole lines and data blocks, in fixed memory.
//!
//! Each side has one `Assembler` per connection. It assembles a line in a buffer of `LINE_BYTES`. A
//! longer line is refused once and skipped up to its LF. A line `data N` always starts a data
//! block, even if no command expects one: a client may have sent the block before it received a
//! refusal, and the bytes must not be parsed as commands. Data is not buffered but passed on as it
//! comes.
//!
//! This module sends no answer and does not know which command a block belongs to.

use crate::code::{Code, Refusal};
use crate::line::LINE_BYTES;

/// The most bytes of one data block.
pub const DATA_BYTES: usize = 1 << 20;

/// A line that is too long or not UTF-8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidLine<'a> {
    /// The answer to the command.
    pub refusal: Refusal,
    /// The line without its end; of a line that is too long, as much as fits.
    pub bytes: &'a [u8],
}

/// A part of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A line without its end.
    Line(&'a str),
    /// An invalid line (`too-long`, `not-utf8`). It counts as a command.
    Refused(InvalidLine<'a>),
    /// A block of this many bytes begins. `Data` pieces follow, then `DataEnd` or `DataRefused`.
    DataBegin(usize),
    /// One or more bytes of the block.
    Data(&'a [u8]),
    /// The block is complete, with its LF.
    DataEnd,
    /// The block is too large or is not followed by LF. This is the answer to the command that
    /// expects the block; if no command does, drop it. No `DataEnd` follows.
    DataRefused(Refusal),
}

/// A script that an editor on Windows saved may begin with it.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Line,
    /// Skips everything up to the next LF, after a refused line or block.
    Skip,
    /// `left` bytes of a block are still to come; `keep` is false for a refused block.
    Data {
        left: usize,
        keep: bool,
    },
}

/// Assembles lines and data blocks. Holds at most one line.
#[derive(Clone, Debug)]
pub struct Assembler {
    buffer: [u8; LINE_BYTES],
    length: usize,
    mode: Mode,
    /// Whether no line is complete yet: the first may begin with a byte order mark.
    is_first: bool,
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
        Assembler { buffer: [0; LINE_BYTES], length: 0, mode: Mode::Line, is_first: true }
    }

    /// Consumes `input` up to the end of the next piece; `None` when all of `input` is consumed.
    pub fn next_piece<'a, 'i: 'a>(&'a mut self, input: &mut &'i [u8]) -> Option<Piece<'a>> {
        if self.mode == Mode::Skip {
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
            Mode::Line => self.next_line(input),
            Mode::Data { left, keep } => self.next_data(input, left, keep),
            Mode::Skip => None,
        }
    }

    /// Forgets the unfinished line, which may contain personal data.
    pub fn reset(&mut self) {
        *self = Assembler::new();
    }

    fn next_line<'a>(&'a mut self, input: &mut &[u8]) -> Option<Piece<'a>> {
        let end = end_of_line(input);
        let taken = end.unwrap_or(input.len());
        let (bytes, rest) = input.split_at(taken);
        *input = rest.get(1..).unwrap_or(&[]);
        if self.length + taken + 1 > LINE_BYTES {
            let (start, room) = (std::mem::take(&mut self.length), LINE_BYTES - 1);
            self.mode = if end.is_some() { Mode::Line } else { Mode::Skip };
            self.buffer[start..room].copy_from_slice(&bytes[..room - start]);
            let bytes = &self.buffer[..room];
            return Some(Piece::Refused(InvalidLine { refusal: Code::TooLong.into(), bytes }));
        }
        self.buffer[self.length..self.length + taken].copy_from_slice(bytes);
        self.length += taken;
        end?;
        let whole = std::mem::take(&mut self.length);
        let line = &self.buffer[..whole];
        let mark = if std::mem::take(&mut self.is_first) { BYTE_ORDER_MARK } else { &[] };
        let line = line.strip_prefix(mark).unwrap_or(line);
        let bytes = line.strip_suffix(b"\r").unwrap_or(line);
        match std::str::from_utf8(bytes) {
            Err(error) => {
                let refusal = refuse_encoding(error.valid_up_to());
                Some(Piece::Refused(InvalidLine { refusal, bytes }))
            }
            Ok(text) => match parse_data_size(text) {
                None => Some(Piece::Line(text)),
                Some(bytes) => {
                    let keep = bytes <= DATA_BYTES;
                    self.mode = Mode::Data { left: bytes, keep };
                    Some(if keep { Piece::DataBegin(bytes) } else { refuse_size(bytes) })
                }
            },
        }
    }

    fn next_data<'a, 'i: 'a>(
        &'a mut self,
        input: &mut &'i [u8],
        left: usize,
        keep: bool,
    ) -> Option<Piece<'a>> {
        if left == 0 {
            let lf = input.first() == Some(&b'\n');
            self.mode = if lf { Mode::Line } else { Mode::Skip };
            *input = if lf { &input[1..] } else { input };
            return match (keep, lf) {
                (true, true) => Some(Piece::DataEnd),
                (true, false) => Some(refuse_end()),
                (false, _) => self.next_piece(input),
            };
        }
        let (bytes, rest) = input.split_at(left.min(input.len()));
        *input = rest;
        self.mode = Mode::Data { left: left - bytes.len(), keep };
        if keep { Some(Piece::Data(bytes)) } else { self.next_piece(input) }
    }
}

fn end_of_line(input: &[u8]) -> Option<usize> {
    input.iter().position(|byte| *byte == b'\n')
}

/// Parses the size in a line `data N`. A number beyond `usize` becomes `usize::MAX`.
fn parse_data_size(text: &str) -> Option<usize> {
    let mut words = text.split(' ').filter(|word| !word.is_empty());
    let number = words.next().filter(|word| *word == "data").and(words.next())?;
    let plain = number.bytes().all(|byte| byte.is_ascii_digit());
    (plain && words.next().is_none()).then(|| number.parse().unwrap_or(usize::MAX))
}

fn refuse_encoding(at: usize) -> Refusal {
    let text = format!("byte {} is not UTF-8; check the client's encoding", at + 1);
    Refusal::new(Code::NotUtf8, text)
}

fn refuse_size(bytes: usize) -> Piece<'static> {
    let text = format!("the data block has {bytes} bytes; send at most {DATA_BYTES} at once");
    Piece::DataRefused(Refusal::new(Code::BadArgument, text))
}

fn refuse_end() -> Piece<'static> {
    let text = "the data block is not followed by a line end; check its size";
    Piece::DataRefused(Refusal::new(Code::BadArgument, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All pieces of `bytes`, received in parts of `step` bytes. Data pieces are joined.
    fn pieces(bytes: &[u8], step: usize) -> Vec<String> {
        let mut assembler = Assembler::new();
        let (mut out, mut data) = (Vec::new(), Vec::new());
        for mut input in bytes.chunks(step) {
            while let Some(piece) = assembler.next_piece(&mut input) {
                match piece {
                    Piece::Line(text) => out.push(format!("line {text}")),
                    Piece::Refused(line) => out.push(format!("refused {}", line.refusal.code)),
                    Piece::DataBegin(size) => out.push(format!("begin {size}")),
                    Piece::Data(bytes) => data.extend_from_slice(bytes),
                    Piece::DataEnd => out.push(format!("end {:?}", std::mem::take(&mut data))),
                    Piece::DataRefused(refusal) => out.push(format!("data {}", refusal.code)),
                }
            }
            assert!(input.is_empty(), "all input is consumed");
        }
        out
    }

    fn assert_at_any_split(bytes: &[u8], expected: &[&str]) {
        for step in 1..=bytes.len().max(1) {
            assert_eq!(pieces(bytes, step), expected, "in steps of {step}");
        }
    }

    #[test]
    fn lines_end_with_lf_or_cr_lf() {
        assert_at_any_split(
            b"ping\nquit\r\n\n a \r\r\nrest",
            &["line ping", "line quit", "line ", "line  a \r"],
        );
    }

    #[test]
    fn a_byte_order_mark_is_skipped_at_the_start_of_a_connection_only() {
        assert_at_any_split("\u{feff}ping\nquit\n".as_bytes(), &["line ping", "line quit"]);
        let data = "\u{feff}data 1\nx\nping\n";
        assert_at_any_split(data.as_bytes(), &["begin 1", "end [120]", "line ping"]);
        assert_at_any_split("ping\n\u{feff}\n".as_bytes(), &["line ping", "line \u{feff}"]);
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
    fn lines_that_are_not_utf8_are_refused_once() {
        assert_at_any_split(
            b"a\xff\nping\n\xc3\n",
            &["refused not-utf8", "line ping", "refused not-utf8"],
        );
    }

    #[test]
    fn data_blocks_are_raw_bytes_of_the_announced_size() {
        assert_at_any_split(
            b"data 5\na\n\0\xffb\nping\n",
            &["begin 5", "end [97, 10, 0, 255, 98]", "line ping"],
        );
        assert_at_any_split(b"data 0\n\nping\n", &["begin 0", "end []", "line ping"]);
        assert_at_any_split(
            b"data 2\nabcd\nping\n",
            &["begin 2", "data bad-argument", "line ping"],
        );
        assert_at_any_split(
            b"data x\ndata\ndata 1 2\ndata +1\n\"data\" 1\n",
            &["line data x", "line data", "line data 1 2", "line data +1", "line \"data\" 1"],
        );
    }

    #[test]
    fn blocks_that_are_too_large_are_refused_and_skipped() {
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
