//! What is wrong with a configuration file, and where it stands.
//!
//! While a file is read, everything that is found wrong becomes a `Diagnostic` at a byte of the text.
//! `Diagnostics::verdict` turns them into `ConfigError`s, sorted by place. Where the text is not even
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
#[error("line {line}, column {column}: {}{text}", key_prefix(.key))]
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

fn key_prefix(key: &str) -> String {
    if key.is_empty() { String::new() } else { format!("{key}: ") }
}

/// How a note counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DiagnosticKind {
    /// The text is not TOML here.
    Syntax,
    /// A value is wrong by itself.
    Value,
    /// Something does not fit to something else; may follow from a syntax error.
    Conflict,
    /// The box can run so, but hardly as somebody meant it.
    Warning,
}

/// Something found wrong at byte `at`.
#[derive(Clone, Debug)]
pub(super) struct Diagnostic {
    pub offset: usize,
    pub kind: DiagnosticKind,
    pub key: String,
    pub text: String,
}

/// All notes of one file, and its lines.
pub(super) struct Diagnostics {
    lines: LineIndex,
    list: Vec<Diagnostic>,
}

impl Diagnostics {
    pub fn new(text: &str) -> Diagnostics {
        Diagnostics { lines: LineIndex::new(text), list: Vec::new() }
    }

    pub fn push(&mut self, note: Diagnostic) {
        self.list.push(note);
    }

    pub fn push_conflict(&mut self, at: usize, key: &str, text: String) {
        self.push(Diagnostic {
            offset: at,
            kind: DiagnosticKind::Conflict,
            key: key.to_owned(),
            text,
        });
    }

    pub fn push_warning(&mut self, at: usize, key: &str, text: String) {
        self.push(Diagnostic {
            offset: at,
            kind: DiagnosticKind::Warning,
            key: key.to_owned(),
            text,
        });
    }

    /// Whether no more notes will be shown, so that hints are not worth their time.
    pub fn is_full(&self) -> bool {
        self.list.len() >= ERRORS_MAX
    }

    /// The line, from 1, that byte `at` is on.
    pub fn line_number(&self, at: usize) -> u32 {
        u32::try_from(self.lines.line_start(at).0).unwrap_or(u32::MAX)
    }

    /// The warnings if there is no error, else the errors; both sorted by place.
    pub fn into_result(mut self) -> Result<Vec<ConfigError>, Vec<ConfigError>> {
        self.list.sort_by_key(|note| note.offset);
        let syntax = self.list.iter().filter(|note| note.kind == DiagnosticKind::Syntax);
        let broken: BTreeSet<u32> = syntax.map(|note| self.line_number(note.offset)).collect();
        let bad = self.collect_errors(|note| match note.kind {
            DiagnosticKind::Syntax => true,
            DiagnosticKind::Value => !broken.contains(&self.line_number(note.offset)),
            DiagnosticKind::Conflict => broken.is_empty(),
            DiagnosticKind::Warning => false,
        });
        if bad.is_empty() {
            return Ok(self.collect_errors(|note| note.kind == DiagnosticKind::Warning));
        }
        Err(bad)
    }

    /// The first `ERRORS_MAX` wanted, and a last one that says how many more there are.
    fn collect_errors(&self, wanted: impl Fn(&Diagnostic) -> bool) -> Vec<ConfigError> {
        let mut notes = self.list.iter().filter(|note| wanted(note));
        let mut errors: Vec<ConfigError> =
            notes.by_ref().take(ERRORS_MAX).map(|note| self.to_error(note)).collect();
        let more = notes.count();
        if let Some(last) = errors.last().filter(|_| more > 0).cloned() {
            let text = format!("found {more} more after this one");
            errors.push(ConfigError { key: String::new(), text, ..last });
        }
        errors
    }

    fn to_error(&self, note: &Diagnostic) -> ConfigError {
        let (line, column) = self.lines.line_and_column(note.offset);
        ConfigError { line, column, key: note.key.clone(), text: note.text.clone() }
    }
}

/// Where lines begin, to tell a byte's line and column.
struct LineIndex {
    text: String,
    /// Byte of the first character of each line; the first is 0.
    starts: Vec<usize>,
}

impl LineIndex {
    fn new(text: &str) -> LineIndex {
        let after = text.match_indices('\n').map(|(at, _)| at + 1);
        LineIndex { text: text.to_owned(), starts: std::iter::once(0).chain(after).collect() }
    }

    /// Line, from 1, of byte `at`, and the byte it begins at.
    fn line_start(&self, at: usize) -> (usize, usize) {
        let line = self.starts.partition_point(|start| *start <= at);
        (line, self.starts[line - 1])
    }

    /// Line and column, both from 1, of byte `at`; the end of the text for what lies beyond.
    fn line_and_column(&self, at: usize) -> (u32, u32) {
        let (line, start) = self.line_start(at);
        // A line begins after a newline, so `start` is never inside a character.
        let mut end = (start..=at.min(self.text.len())).rev();
        let end = end.find(|end| self.text.is_char_boundary(*end)).unwrap_or(start);
        let column = self.text[start..end].chars().count() + 1;
        (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
    }
}

/// The first characters of a text, so that no error is longer than a line of the protocol.
pub(super) fn shorten_text(text: &str) -> String {
    let mut chars = text.chars();
    let start: String = chars.by_ref().take(SHOWN_CHARS_MAX).collect();
    if chars.next().is_some() { format!("{start}…") } else { start }
}

/// A text for people: short, in quotes, without control characters.
pub(super) fn quote_text(text: &str) -> String {
    format!("{:?}", shorten_text(text))
}

/// ` (did you mean holdback_ms?)`, or nothing.
pub(super) fn spelling_hint(word: &str, known: &[&str]) -> String {
    let near =
        nearest_word(word, known).map(|known| shorten_text(known).escape_debug().to_string());
    near.map(|near| format!(" (did you mean {near}?)")).unwrap_or_default()
}

/// The known word that somebody probably meant, if one is near enough.
fn nearest_word<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
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
        let lines = LineIndex::new("a\nä = 1\r\n\nlast");
        assert_eq!(lines.line_and_column(0), (1, 1));
        assert_eq!(lines.line_and_column(1), (1, 2));
        assert_eq!(lines.line_and_column(2), (2, 1));
        assert_eq!(lines.line_and_column(7), (2, 5), "after a letter of two bytes");
        assert_eq!(lines.line_and_column(10), (3, 1));
        assert_eq!(lines.line_and_column(999), (4, 5));
        assert_eq!(LineIndex::new("").line_and_column(0), (1, 1));
    }

    #[test]
    fn a_slip_of_the_pen_is_understood() {
        let known = ["holdback_ms", "codec", "bitrate"];
        assert_eq!(nearest_word("holdbak_ms", &known), Some("holdback_ms"));
        assert_eq!(nearest_word("Codec", &known), Some("codec"));
        assert_eq!(nearest_word("kodek", &known), None, "two of five letters are another word");
        assert_eq!(nearest_word("x", &[]), None);
    }

    #[test]
    fn a_broken_text_hides_what_follows_from_it() {
        let note = |at, weight| Diagnostic {
            offset: at,
            kind: weight,
            key: String::new(),
            text: String::new(),
        };
        let mut notes = Diagnostics::new("a\nb\nc\nd");
        for (at, weight) in [
            (6, DiagnosticKind::Value),
            (2, DiagnosticKind::Syntax),
            (2, DiagnosticKind::Value),
            (4, DiagnosticKind::Conflict),
        ] {
            notes.push(note(at, weight));
        }
        let lines: Vec<u32> =
            notes.into_result().unwrap_err().iter().map(|error| error.line).collect();
        assert_eq!(lines, [2, 4]);
    }

    #[test]
    fn a_flood_of_errors_is_cut() {
        let mut notes = Diagnostics::new("");
        for _ in 0..ERRORS_MAX + 7 {
            notes.push_conflict(0, "key", "text".to_owned());
        }
        let errors = notes.into_result().unwrap_err();
        assert_eq!(errors.len(), ERRORS_MAX + 1);
        assert_eq!(errors[0].to_string(), "line 1, column 1: key: text");
        assert_eq!(errors[ERRORS_MAX].to_string(), "line 1, column 1: found 7 more after this one");
    }
}
