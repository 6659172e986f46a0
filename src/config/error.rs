//! Errors in a configuration file, with their location.
//!
//! While a file is read, each problem becomes a `Diagnostic` at a byte offset.
//! `Diagnostics::into_result` turns them into `ConfigError`s, sorted by location. If the text is
//! not valid TOML, errors that may follow from that are dropped: a broken heading makes the keys
//! below it unknown.
//!
//! No error quotes a secret.

use std::cmp::Reverse;
use std::collections::BTreeSet;

/// Maximum number of errors returned; also bounds the size of a reload.
const ERRORS_MAX: usize = 1000;

/// One error: `line 12, column 7: [audio] holdback_ms: found …, allowed …`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {}{text}", key_prefix(.key))]
pub struct ConfigError {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// Key path such as `[audio] holdback_ms`; empty for a syntax error.
    pub key: String,
    /// What was found, and what is allowed.
    pub text: String,
}

fn key_prefix(key: &str) -> String {
    if key.is_empty() { String::new() } else { format!("{key}: ") }
}

/// Kind of a diagnostic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DiagnosticKind {
    /// The text is not valid TOML here.
    Syntax,
    /// A value is invalid on its own.
    Value,
    /// A value conflicts with another; may follow from a syntax error.
    Conflict,
    /// The configuration works but is probably unintended.
    Warning,
}

/// A problem found at byte `at`.
#[derive(Clone, Debug)]
pub(super) struct Diagnostic {
    pub offset: usize,
    pub kind: DiagnosticKind,
    pub key: String,
    pub text: String,
}

/// All diagnostics of one file, and its line index.
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

    /// Whether further diagnostics would be dropped, so that spelling hints are not worth
    /// computing.
    pub fn is_full(&self) -> bool {
        self.list.len() >= ERRORS_MAX
    }

    /// Returns the line, from 1, of byte `at`.
    pub fn line_number(&self, at: usize) -> u32 {
        u32::try_from(self.lines.line_start(at).0).unwrap_or(u32::MAX)
    }

    /// Returns the errors, or the warnings if there are no errors, sorted by location.
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

    /// Collects the first `ERRORS_MAX` matching errors, and one that counts the rest.
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

/// Line starts, for converting offsets to line and column.
struct LineIndex {
    text: String,
    /// Byte offset of each line start; the first is 0.
    starts: Vec<usize>,
}

impl LineIndex {
    fn new(text: &str) -> LineIndex {
        let after = text.match_indices('\n').map(|(at, _)| at + 1);
        LineIndex { text: text.to_owned(), starts: std::iter::once(0).chain(after).collect() }
    }

    /// Returns the line of byte `at`, from 1, and the line's offset.
    fn line_start(&self, at: usize) -> (usize, usize) {
        let line = self.starts.partition_point(|start| *start <= at);
        (line, self.starts[line - 1])
    }

    /// Returns line and column of byte `at`, both from 1. Offsets past the end map to the end.
    fn line_and_column(&self, at: usize) -> (u32, u32) {
        let (line, start) = self.line_start(at);
        // A line starts after a newline, so `start` is a character boundary.
        let mut end = (start..=at.min(self.text.len())).rev();
        let end = end.find(|end| self.text.is_char_boundary(*end)).unwrap_or(start);
        let column = self.text[start..end].chars().count() + 1;
        (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
    }
}

/// Shortens a text so that an error fits a protocol line.
pub(super) fn shorten_text(text: &str) -> String {
    protocol::text::excerpt(text).into_owned()
}

/// Quotes a text for people: shortened, with control characters and unseen ones escaped.
pub(super) fn quote_text(text: &str) -> String {
    let mut quoted = String::new();
    for c in format!("{:?}", shorten_text(text)).chars() {
        match protocol::text::is_invisible(c) {
            true => quoted.extend(c.escape_unicode()),
            false => quoted.push(c),
        }
    }
    quoted
}

/// Returns ` (did you mean holdback_ms?)`, or an empty string.
#[must_use]
pub fn spelling_hint(word: &str, known: &[&str]) -> String {
    let near =
        nearest_word(word, known).map(|known| shorten_text(known).escape_debug().to_string());
    near.map(|near| format!(" (did you mean {near}?)")).unwrap_or_default()
}

/// Returns the known word with the smallest edit distance, if close enough.
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
