//! What is wrong with a configuration file, and where it stands.
//!
//! While a file is read, everything that is found wrong becomes a `Note` at a byte of the text.
//! `Notes::verdict` turns them into `ConfigError`s, sorted by place. Where the text is not even
//! TOML, only what cannot be a consequence of that is kept: a broken heading makes the keys below
//! it unknown, and nobody wants to read about those.
//!
//! Nothing here knows a key, and no error quotes a secret.

use std::cmp::Reverse;
use std::collections::BTreeSet;

/// At most so many errors are given; more would help nobody, and a reload must stay small.
const ERRORS_MAX: usize = 1000;

/// Characters of a text from the file that an error quotes.
const SHOWN_CHARS_MAX: usize = 40;

/// One thing that is wrong: `line 12, column 7: [audio] holdback_ms: found …, allowed …`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {}{text}", colon(.key))]
pub struct ConfigError {
    /// Counted from 1.
    pub line: u32,
    /// In characters, counted from 1.
    pub column: u32,
    /// `[audio] holdback_ms`; empty where the text is not TOML.
    pub key: String,
    /// What was found, and what is allowed.
    pub text: String,
}

fn colon(key: &str) -> String {
    if key.is_empty() { String::new() } else { format!("{key}: ") }
}

/// How a note counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    /// The text is not TOML here.
    Syntax,
    /// A value is wrong by itself.
    Value,
    /// Something does not fit to something else; may follow from a syntax error.
    Relation,
    /// The box can run so, but hardly as somebody meant it.
    Warning,
}

/// Something found wrong at byte `at`.
#[derive(Clone, Debug)]
pub(super) struct Note {
    pub at: usize,
    pub weight: Weight,
    pub key: String,
    pub text: String,
}

/// All notes of one file, and its lines.
pub(super) struct Notes {
    lines: Lines,
    list: Vec<Note>,
}

impl Notes {
    pub fn new(text: &str) -> Notes {
        Notes { lines: Lines::new(text), list: Vec::new() }
    }

    pub fn push(&mut self, note: Note) {
        self.list.push(note);
    }

    pub fn relation(&mut self, at: usize, key: &str, text: String) {
        self.push(Note { at, weight: Weight::Relation, key: key.to_owned(), text });
    }

    pub fn warning(&mut self, at: usize, key: &str, text: String) {
        self.push(Note { at, weight: Weight::Warning, key: key.to_owned(), text });
    }

    /// Whether no more notes will be shown, so that hints are not worth their time.
    pub fn is_full(&self) -> bool {
        self.list.len() >= ERRORS_MAX
    }

    /// The line, from 1, that byte `at` is on.
    pub fn line(&self, at: usize) -> u32 {
        u32::try_from(self.lines.line(at).0).unwrap_or(u32::MAX)
    }

    /// The warnings if there is no error, else the errors; both sorted by place.
    pub fn verdict(mut self) -> Result<Vec<ConfigError>, Vec<ConfigError>> {
        self.list.sort_by_key(|note| note.at);
        let syntax = self.list.iter().filter(|note| note.weight == Weight::Syntax);
        let broken: BTreeSet<u32> = syntax.map(|note| self.line(note.at)).collect();
        let bad = self.errors(|note| match note.weight {
            Weight::Syntax => true,
            Weight::Value => !broken.contains(&self.line(note.at)),
            Weight::Relation => broken.is_empty(),
            Weight::Warning => false,
        });
        if bad.is_empty() {
            return Ok(self.errors(|note| note.weight == Weight::Warning));
        }
        Err(bad)
    }

    /// The first `ERRORS_MAX` wanted, and a last one that says how many more there are.
    fn errors(&self, wanted: impl Fn(&Note) -> bool) -> Vec<ConfigError> {
        let mut notes = self.list.iter().filter(|note| wanted(note));
        let mut errors: Vec<ConfigError> =
            notes.by_ref().take(ERRORS_MAX).map(|note| self.error(note)).collect();
        let more = notes.count();
        if let Some(last) = errors.last().filter(|_| more > 0).cloned() {
            let text = format!("found {more} more after this one");
            errors.push(ConfigError { key: String::new(), text, ..last });
        }
        errors
    }

    fn error(&self, note: &Note) -> ConfigError {
        let (line, column) = self.lines.place(note.at);
        ConfigError { line, column, key: note.key.clone(), text: note.text.clone() }
    }
}

/// Where lines begin, to tell a byte's line and column.
struct Lines {
    text: String,
    /// Byte of the first character of each line; the first is 0.
    starts: Vec<usize>,
}

impl Lines {
    fn new(text: &str) -> Lines {
        let after = text.match_indices('\n').map(|(at, _)| at + 1);
        Lines { text: text.to_owned(), starts: std::iter::once(0).chain(after).collect() }
    }

    /// Line, from 1, of byte `at`, and the byte it begins at.
    fn line(&self, at: usize) -> (usize, usize) {
        let line = self.starts.partition_point(|start| *start <= at);
        (line, self.starts[line - 1])
    }

    /// Line and column, both from 1, of byte `at`; the end of the text for what lies beyond.
    fn place(&self, at: usize) -> (u32, u32) {
        let (line, start) = self.line(at);
        // A line begins after a newline, so `start` is never inside a character.
        let mut end = (start..=at.min(self.text.len())).rev();
        let end = end.find(|end| self.text.is_char_boundary(*end)).unwrap_or(start);
        let column = self.text[start..end].chars().count() + 1;
        (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
    }
}

/// The first characters of a text, so that no error is longer than a line of the protocol.
pub(super) fn short(text: &str) -> String {
    let mut chars = text.chars();
    let start: String = chars.by_ref().take(SHOWN_CHARS_MAX).collect();
    if chars.next().is_some() { format!("{start}…") } else { start }
}

/// A text for people: short, in quotes, without control characters.
pub(super) fn quote(text: &str) -> String {
    format!("{:?}", short(text))
}

/// ` (did you mean holdback_ms?)`, or nothing.
pub(super) fn hint(word: &str, known: &[&str]) -> String {
    let near = nearest(word, known).map(|known| short(known).escape_debug().to_string());
    near.map(|near| format!(" (did you mean {near}?)")).unwrap_or_default()
}

/// The known word that somebody probably meant, if one is near enough.
fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    if word.len() > 64 {
        return None;
    }
    let far = (word.chars().count() / 3).clamp(1, 4);
    let score = |name: &&str| strsim::damerau_levenshtein(&word.to_lowercase(), name);
    let best = known.iter().copied().max_by_key(|name| Reverse(score(name)))?;
    (score(&best) <= far).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_counts_characters_not_bytes() {
        let lines = Lines::new("a\nä = 1\r\n\nlast");
        assert_eq!(lines.place(0), (1, 1));
        assert_eq!(lines.place(1), (1, 2));
        assert_eq!(lines.place(2), (2, 1));
        assert_eq!(lines.place(7), (2, 5), "after a letter of two bytes");
        assert_eq!(lines.place(10), (3, 1));
        assert_eq!(lines.place(999), (4, 5));
        assert_eq!(Lines::new("").place(0), (1, 1));
    }

    #[test]
    fn a_slip_of_the_pen_is_understood() {
        let known = ["holdback_ms", "codec", "bitrate"];
        assert_eq!(nearest("holdbak_ms", &known), Some("holdback_ms"));
        assert_eq!(nearest("Codec", &known), Some("codec"));
        assert_eq!(nearest("kodek", &known), None, "two of five letters are another word");
        assert_eq!(nearest("x", &[]), None);
    }

    #[test]
    fn a_broken_text_hides_what_follows_from_it() {
        let note = |at, weight| Note { at, weight, key: String::new(), text: String::new() };
        let mut notes = Notes::new("a\nb\nc\nd");
        for (at, weight) in
            [(6, Weight::Value), (2, Weight::Syntax), (2, Weight::Value), (4, Weight::Relation)]
        {
            notes.push(note(at, weight));
        }
        let lines: Vec<u32> = notes.verdict().unwrap_err().iter().map(|error| error.line).collect();
        assert_eq!(lines, [2, 4]);
    }

    #[test]
    fn a_flood_of_errors_is_cut() {
        let mut notes = Notes::new("");
        for _ in 0..ERRORS_MAX + 7 {
            notes.relation(0, "key", "text".to_owned());
        }
        let errors = notes.verdict().unwrap_err();
        assert_eq!(errors.len(), ERRORS_MAX + 1);
        assert_eq!(errors[0].to_string(), "line 1, column 1: key: text");
        assert_eq!(errors[ERRORS_MAX].to_string(), "line 1, column 1: found 7 more after this one");
    }
}
