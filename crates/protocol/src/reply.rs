//! Writing lines: replies and news of the box, commands of a client, straight into a byte buffer.
//!
//! A line is begun (`ok`, `row`, `event`, …), gets words and pairs, and must be ended with `end`.
//! Values are formatted in place, then looked at: what is not bare is quoted. Nothing is allocated
//! but the room in the caller's buffer. Control characters in a value become spaces, so that no
//! value can break a line or reach a terminal.
//!
//! A line never exceeds `LINE_BYTES`: a value that is too long is cut at a character, and a pair
//! for which there is no room at all is left out. The bounds on names keep our own lines far from
//! that; it is the last resort, not a way to write.

use crate::VERSION;
use crate::assembler::DATA_BYTES;
use crate::code::Refusal;
use crate::line::{LINE_BYTES, is_bare};
use std::fmt::{self, Display, Write};

/// The most bytes of a refusal's text on the wire, so that the pairs after it have room.
pub const TEXT_BYTES: usize = 512;

/// A line that is being written.
#[must_use = "a line is not complete without `end`"]
#[derive(Debug)]
pub struct LineWriter<'a> {
    out: &'a mut Vec<u8>,
    /// Where this line begins in `out`.
    start: usize,
}

/// Begins `ok`.
pub fn ok(out: &mut Vec<u8>) -> LineWriter<'_> {
    line(out, "ok")
}

/// Begins `row`.
pub fn row(out: &mut Vec<u8>) -> LineWriter<'_> {
    line(out, "row")
}

/// Begins `state`.
pub fn state(out: &mut Vec<u8>) -> LineWriter<'_> {
    line(out, "state")
}

/// Begins `event`.
pub fn event(out: &mut Vec<u8>) -> LineWriter<'_> {
    line(out, "event")
}

/// Begins `err CODE "text"`, with `masked=yes` where the mask is in force all the same.
pub fn err<'a>(out: &'a mut Vec<u8>, refusal: &Refusal) -> LineWriter<'a> {
    let mut writer = line(out, "err");
    writer.out.push(b' ');
    writer.out.extend_from_slice(refusal.code.word().as_bytes());
    writer.out.push(b' ');
    let room = writer.room().min(TEXT_BYTES);
    writer.value(&refusal.text, room, true);
    if refusal.masked { writer.pair("masked", "yes") } else { writer }
}

/// Writes the greeting. `name`: of the box; `boot`: how many times it has started.
pub fn greeting(out: &mut Vec<u8>, name: &str, boot: u32) {
    line(out, "hushbox").word(VERSION).pair("box", name).pair("boot", boot).end();
}

/// Writes a data block: its announcement, the bytes, LF. At most `assembler::DATA_BYTES`.
pub fn data(out: &mut Vec<u8>, bytes: &[u8]) {
    assert!(bytes.len() <= DATA_BYTES, "{} bytes of data", bytes.len());
    line(out, "data").word(bytes.len()).end();
    out.extend_from_slice(bytes);
    out.push(b'\n');
}

/// Begins any line with these words of ours, such as the verb of a command.
pub fn line<'a>(out: &'a mut Vec<u8>, words: &str) -> LineWriter<'a> {
    debug_assert!(words.bytes().all(|byte| is_bare(byte) || byte == b' '), "{words:?} is not bare");
    let start = out.len();
    out.extend_from_slice(words.as_bytes());
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
        debug_assert!(!key.is_empty() && key.bytes().all(is_bare), "{key:?} is no key");
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

    /// How many bytes more fit before the LF.
    fn room(&self) -> usize {
        (LINE_BYTES - 1).saturating_sub(self.out.len() - self.start)
    }

    /// Writes a value in at most `room` bytes, quoted where it must or shall be.
    fn value(&mut self, value: &dyn Display, room: usize, quoted: bool) {
        debug_assert!(room >= 2);
        let start = self.out.len();
        let mut bounded = Bounded { out: self.out, end: start + LINE_BYTES };
        // The writer itself never fails; a value that says it cannot be printed ends where it is.
        let _ = write!(bounded, "{value}");
        blank_controls(&mut self.out[start..]);
        let bytes = &self.out[start..];
        let bare = !quoted && !bytes.is_empty() && bytes.iter().all(|byte| is_bare(*byte));
        if bare {
            self.out.truncate(start + room);
        } else {
            quote(self.out, start, room);
        }
    }
}

/// Takes no more text than could ever fit, whatever is printed.
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

/// Control characters become spaces, byte for byte: C0 and DEL are one, C1 two.
fn blank_controls(bytes: &mut [u8]) {
    for byte in bytes.iter_mut().filter(|byte| byte.is_ascii_control()) {
        *byte = b' ';
    }
    for at in 1..bytes.len() {
        if bytes[at - 1] == 0xc2 && (0x80..0xa0).contains(&bytes[at]) {
            bytes[at - 1..=at].fill(b' ');
        }
    }
}

/// Quotes what lies from `start` to the end, in place, cut so that it takes at most `room` bytes.
fn quote(out: &mut Vec<u8>, start: usize, room: usize) {
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
    fn values_are_quoted_where_they_are_not_bare() {
        let line = text(|out| {
            let writer =
                ok(out).pair("a", 5).pair("b", "Jane Doe").pair("c", "").pair("d", "x.y,z");
            writer.pair("e", r#"a"b\"#).pair("f", "é").pair("g", "a=b").end();
        });
        assert_eq!(
            line,
            "ok a=5 b=\"Jane Doe\" c=\"\" d=x.y,z e=\"a\\\"b\\\\\" f=\"é\" g=\"a=b\"\n"
        );
    }

    #[test]
    fn every_kind_of_line_has_its_first_word() {
        assert_eq!(text(|out| greeting(out, "box-01", 37)), "hushbox 1 box=box-01 boot=37\n");
        assert_eq!(text(|out| row(out).pair("k", "v").end()), "row k=v\n");
        assert_eq!(text(|out| state(out).end()), "state\n");
        assert_eq!(text(|out| event(out).pair("seq", 1).end()), "event seq=1\n");
        assert_eq!(text(|out| data(out, b"a\nb")), "data 3\na\nb\n");
        let refusal = Refusal::new(Code::Storage, "no").masked();
        assert_eq!(text(|out| err(out, &refusal).end()), "err storage \"no\" masked=yes\n");
        let update = text(|out| line(out, "update 1").word("a b").end());
        assert_eq!(update, "update 1 \"a b\"\n");
    }

    #[test]
    fn control_characters_cannot_leave_the_box() {
        let line = text(|out| ok(out).pair("k", "a\nb\r\0\u{1b}[2J\u{7f}\u{9b}x\u{a0}").end());
        assert_eq!(line, "ok k=\"a b   [2J   x\u{a0}\"\n");
    }

    #[test]
    fn too_long_a_value_is_cut_so_that_the_line_fits() {
        for (value, last) in
            [("x", "x"), ("é", "é\""), ("\"", "\\\"\""), ("a ", "\""), ("€", "€\"")]
        {
            let long = value.repeat(2000);
            let line = text(|out| row(out).pair("key", &long).pair("more", 1).end());
            assert!((LINE_BYTES - 3..=LINE_BYTES).contains(&line.len()), "{value} {}", line.len());
            let line = line.trim_end_matches('\n').trim_end_matches(" more=1");
            assert!(line.ends_with(last), "{value}: {line}");
            let parsed = Line::parse(line).expect("still a line");
            assert!(long.starts_with(parsed.get("key").expect("still there")), "{value}");
        }
    }

    #[test]
    fn a_long_refusal_keeps_its_masked() {
        let refusal = Refusal::new(Code::Storage, "\\".repeat(3000)).masked();
        let line = text(|out| err(out, &refusal).end());
        assert!(line.ends_with("\\\" masked=yes\n") && line.len() < 600, "{line}");
    }

    #[test]
    fn a_full_line_leaves_out_what_has_no_room() {
        let line = text(|out| {
            let mut writer = row(out);
            for n in 0..1000 {
                writer = writer.pair("k", n).word(n);
            }
            writer.end();
        });
        assert!(line.len() <= LINE_BYTES && line.len() > LINE_BYTES - 8, "{}", line.len());
    }

    #[test]
    fn what_is_written_reads_back() {
        for value in ["", "a", "a b", "\"", "\\", "\\\"\\\"", "k=v", "é€😀", "-", "  ", "a\\"]
        {
            let line = text(|out| ok(out).word(value).pair("k", value).end());
            let parsed = Line::parse(line.trim_end_matches('\n')).expect("a line");
            assert_eq!(parsed.get("k"), Some(value), "{line}");
            assert_eq!(parsed.words().len(), 3, "{line}");
        }
    }
}
