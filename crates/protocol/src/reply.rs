//! Writers of lines into a byte buffer: replies and notifications of a box, commands of a client.
//!
//! A caller begins a line (`begin_ok`, `begin_row`, …), adds words and pairs, and calls `end`. A
//! value is formatted in place and then quoted if it is not a bare word. Only the caller's buffer
//! allocates memory. Control characters in a value become spaces, so that no value can break a line
//! or reach a terminal.
//!
//! A line never exceeds `LINE_BYTES`. A value that is too long is truncated between characters, and
//! a pair without any room is left out. The limits on names keep the lines of a box far below; the
//! truncation is a last resort.

use crate::VERSION;
use crate::assembler::DATA_BYTES;
use crate::code::Refusal;
use crate::line::{LINE_BYTES, is_bare};
use std::fmt::{self, Display, Write};

/// The most bytes of a refusal's text in a line, so that the pairs after it have room.
pub const TEXT_BYTES: usize = 512;

/// An unfinished line.
#[must_use = "a line is not complete without `end`"]
#[derive(Debug)]
pub struct LineWriter<'a> {
    out: &'a mut Vec<u8>,
    /// Where this line begins in `out`.
    start: usize,
}

/// Begins an `ok` line.
pub fn begin_ok(out: &mut Vec<u8>) -> LineWriter<'_> {
    begin_line(out, "ok")
}

/// Begins a `row` line.
pub fn begin_row(out: &mut Vec<u8>) -> LineWriter<'_> {
    begin_line(out, "row")
}

/// Begins a `state` line.
pub fn begin_state(out: &mut Vec<u8>) -> LineWriter<'_> {
    begin_line(out, "state")
}

/// Begins an `event` line.
pub fn begin_event(out: &mut Vec<u8>) -> LineWriter<'_> {
    begin_line(out, "event")
}

/// Begins an `err CODE "text"` line, with `masked=yes` if the call is masked although the command
/// failed.
pub fn begin_err<'a>(out: &'a mut Vec<u8>, refusal: &Refusal) -> LineWriter<'a> {
    let mut writer = begin_line(out, "err");
    writer.out.push(b' ');
    writer.out.extend_from_slice(refusal.code.as_str().as_bytes());
    writer.out.push(b' ');
    let room = writer.room().min(TEXT_BYTES);
    writer.value(&refusal.text, room, true);
    if refusal.masked { writer.pair("masked", "yes") } else { writer }
}

/// Writes the greeting. `name` is the name of the box, `boot` how many times it has started.
pub fn write_greeting(out: &mut Vec<u8>, name: &str, boot: u32) {
    begin_line(out, "hushbox").word(VERSION).pair("box", name).pair("boot", boot).end();
}

/// Writes a data block: the line `data N`, the bytes, LF. At most `assembler::DATA_BYTES`.
pub fn write_data(out: &mut Vec<u8>, bytes: &[u8]) {
    assert!(bytes.len() <= DATA_BYTES, "{} bytes of data", bytes.len());
    begin_line(out, "data").word(bytes.len()).end();
    out.extend_from_slice(bytes);
    out.push(b'\n');
}

/// Begins a line with constant words, such as the verb of a command.
pub fn begin_line<'a>(out: &'a mut Vec<u8>, words: &str) -> LineWriter<'a> {
    debug_assert!(
        words.bytes().all(|byte| is_bare(byte) || byte == b' '),
        "{words:?} are not bare words"
    );
    let start = out.len();
    out.extend_from_slice(words.as_bytes());
    LineWriter { out, start }
}

/// Continues the last line in `out`, whose LF the caller has removed.
pub fn resume_line(out: &mut Vec<u8>) -> LineWriter<'_> {
    let start = out.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    LineWriter { out, start }
}

impl LineWriter<'_> {
    /// Adds a positional word.
    pub fn word(mut self, value: impl Display) -> Self {
        let room = self.room();
        if room >= 3 {
            self.out.push(b' ');
            self.value(&value, room - 1, false);
        }
        self
    }

    /// Adds `key=value`.
    pub fn pair(mut self, key: &str, value: impl Display) -> Self {
        debug_assert!(!key.is_empty() && key.bytes().all(is_bare), "{key:?} is not a key");
        let (room, taken) = (self.room(), key.len() + 2);
        if room >= taken + 2 {
            self.out.push(b' ');
            self.out.extend_from_slice(key.as_bytes());
            self.out.push(b'=');
            self.value(&value, room - taken, false);
        }
        self
    }

    /// Ends the line.
    pub fn end(self) {
        self.out.push(b'\n');
        debug_assert!(self.out.len() - self.start <= LINE_BYTES, "a line is too long");
        debug_assert!(!self.out[self.start..self.out.len() - 1].contains(&b'\n'));
    }

    /// The number of bytes that still fit before the LF.
    fn room(&self) -> usize {
        (LINE_BYTES - 1).saturating_sub(self.out.len() - self.start)
    }

    /// Writes a value in at most `room` bytes, quoted if `quoted` or if it is not a bare word.
    fn value(&mut self, value: &dyn Display, room: usize, quoted: bool) {
        debug_assert!(room >= 2);
        let start = self.out.len();
        let mut bounded = Bounded { out: self.out, end: start + LINE_BYTES };
        // The writer itself never fails. A value whose `Display` fails ends where it failed.
        let _ = write!(bounded, "{value}");
        replace_controls(&mut self.out[start..]);
        let bytes = &self.out[start..];
        let bare = !quoted && !bytes.is_empty() && bytes.iter().all(|byte| is_bare(*byte));
        if bare {
            self.out.truncate(start + room);
        } else {
            quote_in_place(self.out, start, room);
        }
    }
}

/// Accepts no more text than could ever fit into a line.
struct Bounded<'a> {
    out: &'a mut Vec<u8>,
    end: usize,
}

impl Write for Bounded<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut taken = text.len().min(self.end - self.out.len());
        while !text.is_char_boundary(taken) {
            taken -= 1;
        }
        self.out.extend_from_slice(&text.as_bytes()[..taken]);
        if taken < text.len() {
            self.end = self.out.len();
        }
        Ok(())
    }
}

/// Replaces control characters by spaces, byte for byte: C0 and DEL are one byte, C1 are two.
fn replace_controls(bytes: &mut [u8]) {
    for byte in bytes.iter_mut().filter(|byte| byte.is_ascii_control()) {
        *byte = b' ';
    }
    for at in 1..bytes.len() {
        if bytes[at - 1] == 0xc2 && (0x80..0xa0).contains(&bytes[at]) {
            bytes[at - 1..=at].fill(b' ');
        }
    }
}

/// Quotes the bytes from `start` to the end in place, truncated to at most `room` bytes.
fn quote_in_place(out: &mut Vec<u8>, start: usize, room: usize) {
    let escaped = |byte: u8| matches!(byte, b'"' | b'\\');
    let (mut end, mut length) = (start, 2);
    for (at, byte) in out.iter().enumerate().skip(start) {
        length += 1 + usize::from(escaped(*byte));
        if length > room {
            break;
        }
        end = at + 1;
    }
    while end < out.len() && out[end] & 0xc0 == 0x80 {
        end -= 1;
    }
    out.truncate(end);
    let escapes = out[start..].iter().filter(|byte| escaped(**byte)).count();
    let mut to = end + escapes + 2;
    out.resize(to, b'"');
    to -= 1;
    for from in (start..end).rev() {
        let byte = out[from];
        to -= 1;
        out[to] = byte;
        if escaped(byte) {
            to -= 1;
            out[to] = b'\\';
        }
    }
    debug_assert_eq!(to, start + 1);
    out[start] = b'"';
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::Code;
    use crate::line::Line;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = b"before\n".to_vec();
        write(&mut out);
        String::from_utf8(out.split_off(7)).expect("UTF-8")
    }

    #[test]
    fn values_are_quoted_if_they_are_not_bare() {
        let line = text(|out| {
            let writer =
                begin_ok(out).pair("a", 5).pair("b", "Jane Doe").pair("c", "").pair("d", "x.y,z");
            writer.pair("e", r#"a"b\"#).pair("f", "é").pair("g", "a=b").end();
        });
        assert_eq!(
            line,
            "ok a=5 b=\"Jane Doe\" c=\"\" d=x.y,z e=\"a\\\"b\\\\\" f=\"é\" g=\"a=b\"\n"
        );
    }

    #[test]
    fn every_kind_of_line_begins_with_its_word() {
        assert_eq!(text(|out| write_greeting(out, "box-01", 37)), "hushbox 1 box=box-01 boot=37\n");
        assert_eq!(text(|out| begin_row(out).pair("k", "v").end()), "row k=v\n");
        assert_eq!(text(|out| begin_state(out).end()), "state\n");
        assert_eq!(text(|out| begin_event(out).pair("seq", 1).end()), "event seq=1\n");
        assert_eq!(text(|out| write_data(out, b"a\nb")), "data 3\na\nb\n");
        let refusal = Refusal::new(Code::Storage, "no").with_masked();
        assert_eq!(text(|out| begin_err(out, &refusal).end()), "err storage \"no\" masked=yes\n");
        let update = text(|out| begin_line(out, "update 1").word("a b").end());
        assert_eq!(update, "update 1 \"a b\"\n");
    }

    #[test]
    fn control_characters_become_spaces() {
        let line =
            text(|out| begin_ok(out).pair("k", "a\nb\r\0\u{1b}[2J\u{7f}\u{9b}x\u{a0}").end());
        assert_eq!(line, "ok k=\"a b   [2J   x\u{a0}\"\n");
    }

    #[test]
    fn long_values_are_truncated_to_fit_the_line() {
        for (value, last) in
            [("x", "x"), ("é", "é\""), ("\"", "\\\"\""), ("a ", "\""), ("€", "€\"")]
        {
            let long = value.repeat(2000);
            let line = text(|out| begin_row(out).pair("key", &long).pair("more", 1).end());
            assert!((LINE_BYTES - 3..=LINE_BYTES).contains(&line.len()), "{value} {}", line.len());
            let line = line.trim_end_matches('\n').trim_end_matches(" more=1");
            assert!(line.ends_with(last), "{value}: {line}");
            let parsed = Line::parse(line).expect("still a line");
            assert!(long.starts_with(parsed.get("key").expect("still there")), "{value}");
        }
    }

    #[test]
    fn long_refusals_keep_masked() {
        let refusal = Refusal::new(Code::Storage, "\\".repeat(3000)).with_masked();
        let line = text(|out| begin_err(out, &refusal).end());
        assert!(line.ends_with("\\\" masked=yes\n") && line.len() < 600, "{line}");
    }

    #[test]
    fn pairs_without_room_are_left_out() {
        let line = text(|out| {
            let mut writer = begin_row(out);
            for n in 0..1000 {
                writer = writer.pair("k", n).word(n);
            }
            writer.end();
        });
        assert!(line.len() <= LINE_BYTES && line.len() > LINE_BYTES - 8, "{}", line.len());
    }

    #[test]
    fn written_values_parse_to_the_same() {
        for value in ["", "a", "a b", "\"", "\\", "\\\"\\\"", "k=v", "é€😀", "-", "  ", "a\\"]
        {
            let line = text(|out| begin_ok(out).word(value).pair("k", value).end());
            let parsed = Line::parse(line.trim_end_matches('\n')).expect("a line");
            assert_eq!(parsed.get("k"), Some(value), "{line}");
            assert_eq!(parsed.words().len(), 3, "{line}");
        }
    }
}
