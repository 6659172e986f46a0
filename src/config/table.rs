//! Reader for a TOML table, key by key, which reports all errors in one pass.
//!
//! The caller reads each key it knows. A value of the wrong type or out of bounds is reported,
//! and reading continues with the nearest allowed value. `finish` reports every key that was not
//! read, so the caller must read all known keys in every case.

use crate::config::bounds::TextRule;
use crate::config::error::{
    Diagnostic, DiagnosticKind, Diagnostics, quote_text, shorten_text, spelling_hint,
};
use std::fmt::Display;
use std::ops::RangeInclusive;
use toml::Spanned;
use toml::de::{DeArray, DeInteger, DeTable, DeValue};

/// Maximum number of unknown keys reported per table.
const UNKNOWN_MAX: usize = 10_000;

/// A value and its byte offset in the file.
#[derive(Clone, Debug)]
pub(super) struct Located<T> {
    pub offset: usize,
    pub value: T,
}

/// One table being read.
pub(super) struct TableReader<'i> {
    entries: DeTable<'i>,
    /// Prefix of keys in errors: nothing, `[audio] `, `[[board]] channels.`
    prefix: String,
    /// Offset of its heading; 0 if the section is absent.
    pub offset: usize,
    asked_keys: Vec<&'static str>,
    notes: Vec<Diagnostic>,
}

impl<'i> TableReader<'i> {
    /// Creates a reader for the whole file.
    pub fn from_root(entries: DeTable<'i>) -> TableReader<'i> {
        TableReader::new(entries, String::new(), 0)
    }

    fn new(entries: DeTable<'i>, prefix: String, at: usize) -> TableReader<'i> {
        TableReader { entries, prefix, offset: at, asked_keys: Vec::new(), notes: Vec::new() }
    }

    /// Returns the key as errors name it.
    pub fn key_path(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    fn take_value(&mut self, key: &'static str) -> Option<Spanned<DeValue<'i>>> {
        self.asked_keys.push(key);
        self.entries.remove(key)
    }

    /// Whether `key` is present; does not mark it as read.
    pub fn has_key(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// Offset of the value of `key`, if it is present and was not read.
    pub fn value_offset(&self, key: &str) -> Option<usize> {
        self.entries.get(key).map(|value| value.span().start)
    }

    fn report(&mut self, at: usize, key: &str, weight: DiagnosticKind, text: String) {
        let key = self.key_path(key);
        self.notes.push(Diagnostic { offset: at, kind: weight, key, text });
    }

    /// Reports a value that is invalid on its own.
    pub fn report_invalid(&mut self, at: usize, key: &str, text: String) {
        self.report(at, key, DiagnosticKind::Value, text);
    }

    /// Reports a value that conflicts with another.
    pub fn report_conflict(&mut self, at: usize, key: &str, text: String) {
        self.report(at, key, DiagnosticKind::Conflict, text);
    }

    /// Reports a probably unintended value.
    pub fn report_warning(&mut self, at: usize, key: &str, text: String) {
        self.report(at, key, DiagnosticKind::Warning, text);
    }

    fn report_wrong_type(&mut self, key: &str, value: &Spanned<DeValue<'_>>, allowed: &str) {
        let text = format!("found {}, allowed {allowed}", display_value(value.get_ref()));
        self.report_invalid(value.span().start, key, text);
    }

    /// Reports that `key` is missing.
    pub fn report_missing(&mut self, key: &str, allowed: &str) {
        self.report_conflict(self.offset, key, format!("found nothing, allowed {allowed}"));
    }

    /// Reads an integer; out of `range`, it is reported and clamped.
    pub fn read_number<N>(
        &mut self,
        key: &'static str,
        range: RangeInclusive<N>,
    ) -> Option<Located<N>>
    where
        N: Copy + Display + Into<i128> + TryFrom<i128>,
    {
        let value = self.take_value(key)?;
        self.parse_number(key, &value, &range)
    }

    fn parse_number<N>(
        &mut self,
        key: &'static str,
        value: &Spanned<DeValue<'_>>,
        range: &RangeInclusive<N>,
    ) -> Option<Located<N>>
    where
        N: Copy + Display + Into<i128> + TryFrom<i128>,
    {
        let (least, most) = (*range.start(), *range.end());
        let at = value.span().start;
        let DeValue::Integer(integer) = value.get_ref() else {
            self.report_wrong_type(key, value, &format!("a whole number, {least} to {most}"));
            return None;
        };
        let number = parse_integer(integer);
        if number < least.into() || number > most.into() {
            self.report_invalid(
                at,
                key,
                format!("found {}, allowed {least} to {most}", shorten_text(&integer.to_string())),
            );
        }
        let near = number.clamp(least.into(), most.into());
        N::try_from(near).ok().map(|value| Located { offset: at, value })
    }

    /// Reads a required integer.
    pub fn require_number<N>(
        &mut self,
        key: &'static str,
        range: RangeInclusive<N>,
    ) -> Option<Located<N>>
    where
        N: Copy + Display + Into<i128> + TryFrom<i128>,
    {
        if !self.has_key(key) {
            self.report_missing(
                key,
                &format!("a whole number, {} to {}", range.start(), range.end()),
            );
        }
        self.read_number(key, range)
    }

    /// Reads an integer or returns its default.
    pub fn read_number_or<N>(
        &mut self,
        key: &'static str,
        range: RangeInclusive<N>,
        default: N,
    ) -> N
    where
        N: Copy + Display + Into<i128> + TryFrom<i128>,
    {
        self.read_number(key, range).map_or(default, |found| found.value)
    }

    /// Reads a list of integers.
    pub fn read_numbers(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u16>,
    ) -> Option<Located<Vec<Located<u16>>>> {
        let value = self.take_value(key)?;
        let at = value.span().start;
        let DeValue::Array(list) = value.get_ref() else {
            self.report_wrong_type(key, &value, "a list of numbers");
            return None;
        };
        let numbers = list.iter().filter_map(|item| self.parse_number(key, item, &range)).collect();
        Some(Located { offset: at, value: numbers })
    }

    /// Reads a boolean.
    pub fn read_flag(&mut self, key: &'static str) -> Option<Located<bool>> {
        let value = self.take_value(key)?;
        let DeValue::Boolean(flag) = value.get_ref() else {
            self.report_wrong_type(key, &value, "true or false");
            return None;
        };
        Some(Located { offset: value.span().start, value: *flag })
    }

    /// Reads a boolean or returns its default.
    pub fn read_flag_or(&mut self, key: &'static str, default: bool) -> bool {
        self.read_flag(key).map_or(default, |found| found.value)
    }

    /// Reads a text. An invalid one is reported but still returned, so that references to it are
    /// not reported as unknown.
    pub fn read_text(&mut self, key: &'static str, rule: &TextRule) -> Option<Located<String>> {
        let value = self.take_value(key)?;
        self.parse_text(key, &value, rule)
    }

    fn parse_text(
        &mut self,
        key: &'static str,
        value: &Spanned<DeValue<'_>>,
        rule: &TextRule,
    ) -> Option<Located<String>> {
        let at = value.span().start;
        let text = value.get_ref().as_str();
        if !text.is_some_and(|text| (rule.is_valid)(text)) {
            let found = match rule.is_secret {
                true => format!("something else ({})", value.get_ref().type_str()),
                false => display_value(value.get_ref()),
            };
            self.report_invalid(at, key, format!("found {found}, allowed {}", rule.allowed));
        }
        text.map(|text| Located { offset: at, value: text.to_owned() })
    }

    /// Reads a required text; if missing, returns an empty one at the table's offset.
    pub fn require_text(&mut self, key: &'static str, rule: &TextRule) -> Located<String> {
        if !self.has_key(key) {
            self.report_missing(key, rule.allowed);
        }
        self.read_text(key, rule).unwrap_or(Located { offset: self.offset, value: String::new() })
    }

    /// Reads a list of at most `most` texts; a duplicate is a warning.
    pub fn read_texts(
        &mut self,
        key: &'static str,
        rule: &TextRule,
        most: usize,
    ) -> Vec<Located<String>> {
        let Some(value) = self.take_value(key) else { return Vec::new() };
        let at = value.span().start;
        let DeValue::Array(list) = value.get_ref() else {
            self.report_wrong_type(key, &value, &format!("a list of texts, each {}", rule.allowed));
            return Vec::new();
        };
        self.check_length(key, list, at, most);
        let mut texts: Vec<Located<String>> = Vec::new();
        let mut seen = std::collections::BTreeSet::new();
        for item in list.iter().take(most) {
            let Some(found) = self.parse_text(key, item, rule) else { continue };
            if seen.insert(found.value.clone()) {
                texts.push(found);
            } else {
                let text = format!("found {} twice in one list", quote_text(&found.value));
                self.report_warning(found.offset, key, text);
            }
        }
        texts
    }

    fn check_length(&mut self, key: &'static str, list: &DeArray<'_>, at: usize, most: usize) {
        if list.len() > most {
            let at = list.get(most).map_or(at, |item| item.span().start);
            let text = format!("found {} entries, allowed at most {most}", list.len());
            self.report_invalid(at, key, text);
        }
    }

    /// Reads one of a fixed set of words.
    pub fn read_word<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&str, T)],
    ) -> Option<Located<T>> {
        let value = self.take_value(key)?;
        let found = value.get_ref().as_str();
        let Some((_, meaning)) = words.iter().find(|(word, _)| Some(*word) == found) else {
            self.report_wrong_type(key, &value, &quote_words(words));
            return None;
        };
        Some(Located { offset: value.span().start, value: *meaning })
    }

    /// Reads a required word.
    pub fn require_word<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&str, T)],
    ) -> Option<Located<T>> {
        if !self.has_key(key) {
            self.report_missing(key, &quote_words(words));
        }
        self.read_word(key, words)
    }

    /// Reads an RFC 3339 date-time, as a string or a TOML date-time.
    pub fn read_timestamp(&mut self, key: &'static str) -> Option<Located<crate::time::WallTime>> {
        let value = self.take_value(key)?;
        let wall = match value.get_ref() {
            DeValue::String(text) => crate::time::WallTime::parse(text),
            DeValue::Datetime(moment) => crate::time::WallTime::parse(&moment.to_string()),
            _ => None,
        };
        if wall.is_none() {
            self.report_wrong_type(
                key,
                &value,
                "RFC 3339 with an offset, like 2026-11-22T08:00:00Z",
            );
        }
        wall.map(|wall| Located { offset: value.span().start, value: wall })
    }

    /// Reads a sub-table; an empty one if it is absent.
    pub fn read_section(&mut self, key: &'static str) -> TableReader<'i> {
        let prefix = self.nested_prefix(key, "[", "] ");
        let Some(value) = self.take_value(key) else {
            return TableReader::new(DeTable::new(), prefix, self.offset);
        };
        let at = value.span().start;
        if !value.get_ref().is_table() {
            self.report_wrong_type(key, &value, "a table");
        }
        match value.into_inner() {
            DeValue::Table(entries) => TableReader::new(entries, prefix, at),
            _ => TableReader::new(DeTable::new(), prefix, at),
        }
    }

    /// Reads an array of at most `most` tables.
    pub fn read_rows(&mut self, key: &'static str, most: usize) -> Vec<TableReader<'i>> {
        let prefix = self.nested_prefix(key, "[[", "]] ");
        let Some(value) = self.take_value(key) else { return Vec::new() };
        let at = value.span().start;
        if !value.get_ref().is_array() {
            self.report_wrong_type(key, &value, &format!("a list of tables, [[{key}]]"));
        }
        let DeValue::Array(list) = value.into_inner() else { return Vec::new() };
        self.check_length(key, &list, at, most);
        let mut tables = Vec::new();
        for item in list.into_iter().take(most) {
            let at = item.span().start;
            if !item.get_ref().is_table() {
                self.report_wrong_type(key, &item, "a table");
            }
            if let DeValue::Table(entries) = item.into_inner() {
                tables.push(TableReader::new(entries, prefix.clone(), at));
            }
        }
        tables
    }

    fn nested_prefix(&self, key: &str, open: &str, close: &str) -> String {
        match self.prefix.is_empty() {
            true => format!("{open}{key}{close}"),
            false => format!("{}{key}.", self.prefix),
        }
    }

    /// Reports unread keys and passes all diagnostics on.
    pub fn finish(mut self, notes: &mut Diagnostics) {
        self.asked_keys.sort_unstable();
        for (key, _) in std::mem::take(&mut self.entries).into_iter().take(UNKNOWN_MAX) {
            let name = key.get_ref().as_ref();
            let hint =
                if notes.is_full() { String::new() } else { spelling_hint(name, &self.asked_keys) };
            let text =
                format!("found an unknown key{hint}, allowed {}", self.asked_keys.join(", "));
            self.report_conflict(
                key.span().start,
                &shorten_text(name).escape_debug().to_string(),
                text,
            );
        }
        self.notes.into_iter().for_each(|note| notes.push(note));
    }
}

fn parse_integer(integer: &DeInteger<'_>) -> i128 {
    let text = integer.as_str();
    let beyond = if text.starts_with('-') { i128::MIN } else { i128::MAX };
    i128::from_str_radix(text, integer.radix()).unwrap_or(beyond)
}

fn quote_words<T>(words: &[(&str, T)]) -> String {
    let words: Vec<String> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
    words.join(", ")
}

/// Formats a value briefly for people.
fn display_value(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => quote_text(text),
        DeValue::Integer(integer) => shorten_text(&integer.to_string()),
        DeValue::Float(float) => shorten_text(&float.to_string()),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(moment) => moment.to_string(),
        DeValue::Array(list) => format!("a list of {}", list.len()),
        DeValue::Table(_) => "a table".to_owned(),
    }
}
