//! Lines: words separated by spaces. A word is bare, quoted, or `key=value`.
//!
//! `Line::parse` splits one line without its end into words and removes quotes and escapes. A word
//! is borrowed from the line unless it has escapes. Only the form of words is checked here. NUL, CR
//! and LF are always refused. Other control characters are refused outside quotes only, because the
//! box checks field values later (`bad-characters`).
//!
//! This module knows no command and no key.

use crate::code::{Code, Refusal};
use std::borrow::Cow;

/// The most bytes of a line, with its end.
pub const LINE_BYTES: usize = 1024;
/// The most words of a line. The longest line of a box, the `ok` of `hello` with 15 labels, has 20.
pub const WORDS: usize = 40;

/// Whether a byte may be part of a bare word.
#[must_use]
pub const fn is_bare(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'.' | b'_' | b':' | b'/' | b'@' | b',' | b'*' | b'+' | b'-')
}

/// One word of a line, without quotes and escapes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word<'a> {
    Bare(&'a str),
    Quoted(Cow<'a, str>),
    Pair { key: &'a str, value: Cow<'a, str> },
}

/// The words of one line, at most `WORDS`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line<'a> {
    words: Vec<Word<'a>>,
}

impl<'a> Line<'a> {
    /// Splits a line into words. Refuses a malformed line with `bad-command`.
    pub fn parse(text: &'a str) -> Result<Line<'a>, Refusal> {
        let mut words = Vec::new();
        let mut at = 0;
        loop {
            at += text[at..].bytes().take_while(|byte| *byte == b' ').count();
            if at == text.len() {
                return Ok(Line { words });
            }
            if words.len() == WORDS {
                return Err(refuse_at(at, &format!("too many words; a line has at most {WORDS}")));
            }
            let (word, length) = parse_word(text, at)?;
            words.push(word);
            at += length;
            if !matches!(text.as_bytes().get(at), None | Some(b' ')) {
                return Err(refuse_at(at, &describe_unexpected(text, at)));
            }
        }
    }

    /// The words in order.
    #[must_use]
    pub fn words(&self) -> &[Word<'a>] {
        &self.words
    }

    /// Converts the line into its words, in order.
    #[must_use]
    pub fn into_words(self) -> Vec<Word<'a>> {
        self.words
    }

    /// The bare word at `index`, if there is one.
    #[must_use]
    pub fn bare(&self, index: usize) -> Option<&'a str> {
        match self.words.get(index) {
            Some(Word::Bare(word)) => Some(word),
            _ => None,
        }
    }

    /// The value of the first pair with this key.
    #[must_use]
    pub fn get(&self, wanted: &str) -> Option<&str> {
        self.pairs().find(|(key, _)| *key == wanted).map(|(_, value)| value)
    }

    /// All pairs in order.
    pub fn pairs(&self) -> impl Iterator<Item = (&'a str, &str)> {
        self.words.iter().filter_map(|word| match word {
            Word::Pair { key, value } => Some((*key, value.as_ref())),
            Word::Bare(_) | Word::Quoted(_) => None,
        })
    }
}

/// Parses the word that begins at `at`; returns the word and its length in bytes as written.
fn parse_word(text: &str, at: usize) -> Result<(Word<'_>, usize), Refusal> {
    let rest = &text[at..];
    if rest.starts_with('"') {
        return parse_quoted(text, at).map(|(value, length)| (Word::Quoted(value), length));
    }
    let key = bare_prefix(rest);
    match rest.as_bytes().get(key.len()) {
        None | Some(b' ') => Ok((Word::Bare(key), key.len())),
        Some(b'=') if !key.is_empty() => {
            let begin = key.len() + 1;
            let (value, length) = match rest.as_bytes().get(begin) {
                Some(b'"') => parse_quoted(text, at + begin)?,
                _ => {
                    (Cow::Borrowed(bare_prefix(&rest[begin..])), bare_prefix(&rest[begin..]).len())
                }
            };
            Ok((Word::Pair { key, value }, begin + length))
        }
        Some(_) => Err(refuse_at(at + key.len(), &describe_unexpected(text, at + key.len()))),
    }
}

fn bare_prefix(text: &str) -> &str {
    &text[..text.bytes().take_while(|byte| is_bare(*byte)).count()]
}

/// Parses the quoted text that begins with the quote at `at`; returns the text and its length in
/// bytes as written.
fn parse_quoted(text: &str, at: usize) -> Result<(Cow<'_, str>, usize), Refusal> {
    let inside = &text[at + 1..];
    let mut value = String::new();
    let mut copied = 0;
    let mut bytes = inside.bytes().enumerate();
    while let Some((index, byte)) = bytes.next() {
        match byte {
            b'"' if copied == 0 => return Ok((Cow::Borrowed(&inside[..index]), index + 2)),
            b'"' => {
                value.push_str(&inside[copied..index]);
                return Ok((Cow::Owned(value), index + 2));
            }
            b'\\' => {
                let Some((next, b'"' | b'\\')) = bytes.next() else {
                    return Err(refuse_at(at + 1 + index, "the only escapes are \\\" and \\\\"));
                };
                value.push_str(&inside[copied..index]);
                value.push_str(&inside[next..=next]);
                copied = next + 1;
            }
            0 | b'\r' | b'\n' => {
                return Err(refuse_at(at + 1 + index, "a control character; remove it"));
            }
            _ => {}
        }
    }
    Err(refuse_at(at, "the closing quote is missing"))
}

fn describe_unexpected(text: &str, at: usize) -> String {
    match text[at..].chars().next() {
        Some(c) if c.is_control() => format!("control character U+{:04X}; remove it", u32::from(c)),
        Some(c) => format!("unexpected {c}; put text in \"quotes\""),
        None => "the line ends inside a word".to_owned(),
    }
}

fn refuse_at(at: usize, why: &str) -> Refusal {
    Refusal::new(Code::BadCommand, format!("column {}: {why}", at + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<Word<'_>> {
        Line::parse(text).expect(text).into_words()
    }

    fn pair<'a>(key: &'a str, value: &'a str) -> Word<'a> {
        Word::Pair { key, value: Cow::Borrowed(value) }
    }

    #[test]
    fn words_are_bare_quoted_or_pairs() {
        assert_eq!(words("  record   start "), [Word::Bare("record"), Word::Bare("start")]);
        assert_eq!(
            words(r#"update 3 "a \"b\" \\ c" k="v w" x=y.1:/@,*+-_"#)[1..],
            [
                Word::Bare("3"),
                Word::Quoted(Cow::Borrowed(r#"a "b" \ c"#)),
                pair("k", "v w"),
                pair("x", "y.1:/@,*+-_"),
            ]
        );
        assert_eq!(words(r#""a=b" c= d="" "é""#)[1..3], [pair("c", ""), pair("d", "")]);
        assert_eq!(words(""), []);
        assert!(matches!(&words(r#""plain""#)[0], Word::Quoted(Cow::Borrowed("plain"))));
    }

    #[test]
    fn malformed_words_are_refused_with_their_column() {
        let cases = [
            ("a=b=c", 4),
            ("=x", 1),
            ("a\"b\"", 2),
            ("\"a\"b", 4),
            ("\"a\"=b", 4),
            ("\"open", 1),
            (r#""a\n""#, 3),
            (r#""a\"#, 3),
            ("a\tb", 2),
            ("a;b", 2),
            ("é", 1),
            ("k=é", 3),
            ("k=\"v\"w", 6),
            ("k=v\"w\"", 4),
            ("\"a\0\"", 3),
            ("\"a\r\"", 3),
            ("a\rb", 2),
            ("a<b", 2),
        ];
        for (text, column) in cases {
            let refusal = Line::parse(text).expect_err(text);
            assert_eq!(refusal.code, Code::BadCommand, "{text:?}");
            assert!(refusal.text.starts_with(&format!("column {column}:")), "{text:?} {refusal}");
        }
    }

    #[test]
    fn control_characters_are_accepted_inside_quotes_only() {
        assert_eq!(words("\"a\u{7}\t\"")[0], Word::Quoted(Cow::Borrowed("a\u{7}\t")));
        assert!(Line::parse("a \u{7}").is_err());
    }

    #[test]
    fn a_line_has_at_most_forty_words() {
        assert_eq!(words(&"a ".repeat(WORDS)).len(), WORDS);
        assert!(Line::parse(&"a ".repeat(WORDS + 1)).is_err());
    }

    #[test]
    fn pairs_are_found_by_their_key() {
        let line = Line::parse(r#"row a=1 "a=2" b="x y" a=3"#).expect("a line");
        assert_eq!((line.get("a"), line.get("b"), line.get("c")), (Some("1"), Some("x y"), None));
        assert_eq!((line.bare(0), line.bare(1), line.bare(9)), (Some("row"), None, None));
        assert_eq!(line.pairs().count(), 3);
    }
}
