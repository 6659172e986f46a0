//! A TOML table that is read key by key, so that one look finds everything wrong with it.
//!
//! A reader asks for each key it knows; a value of the wrong type or beyond its bounds becomes a
//! note, and the reading goes on with the nearest value that is allowed. `finish` then notes every
//! key that nobody asked for. Every key must be asked for in every case, or it would be "unknown".
//!
//! This module knows no key and no bound by name (see `parse`, `bounds`).

use crate::config::bounds::Rule;
use crate::config::error::{Note, Notes, Weight, hint, quote, short};
use std::fmt::Display;
use std::ops::RangeInclusive;
use toml::Spanned;
use toml::de::{DeArray, DeInteger, DeTable, DeValue};

/// At most so many unknown keys of one table are noted.
const UNKNOWN_MAX: usize = 10_000;

/// A value and the byte of the file it stands at.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    pub at: usize,
    pub value: T,
}

/// One table being read.
pub(super) struct Table<'i> {
    entries: DeTable<'i>,
    /// What stands before a key in an error: nothing, `[audio] `, `[[board]] channels.`
    prefix: String,
    /// Byte of its heading, 0 for a section that is not in the file.
    pub at: usize,
    known: Vec<&'static str>,
    notes: Vec<Note>,
}

impl<'i> Table<'i> {
    /// The whole file.
    pub fn root(entries: DeTable<'i>) -> Table<'i> {
        Table::new(entries, String::new(), 0)
    }

    fn new(entries: DeTable<'i>, prefix: String, at: usize) -> Table<'i> {
        Table { entries, prefix, at, known: Vec::new(), notes: Vec::new() }
    }

    /// The key as errors name it.
    pub fn path(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    fn take(&mut self, key: &'static str) -> Option<Spanned<DeValue<'i>>> {
        self.known.push(key);
        self.entries.remove(key)
    }

    /// Whether `key` is there; does not ask for it.
    pub fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    fn note(&mut self, at: usize, key: &str, weight: Weight, text: String) {
        let key = self.path(key);
        self.notes.push(Note { at, weight, key, text });
    }

    /// Notes that a value is wrong by itself.
    pub fn wrong(&mut self, at: usize, key: &str, text: String) {
        self.note(at, key, Weight::Value, text);
    }

    /// Notes that a value does not fit to another.
    pub fn unfit(&mut self, at: usize, key: &str, text: String) {
        self.note(at, key, Weight::Relation, text);
    }

    /// Notes what is probably not meant.
    pub fn warn(&mut self, at: usize, key: &str, text: String) {
        self.note(at, key, Weight::Warning, text);
    }

    fn mistyped(&mut self, key: &str, value: &Spanned<DeValue<'_>>, allowed: &str) {
        let text = format!("found {}, allowed {allowed}", shown(value.get_ref()));
        self.wrong(value.span().start, key, text);
    }

    /// Notes that `key` is missing.
    pub fn missing(&mut self, key: &str, allowed: &str) {
        self.unfit(self.at, key, format!("found nothing, allowed {allowed}"));
    }

    /// A whole number within `range`; the nearest bound if it is beyond.
    pub fn number<N>(&mut self, key: &'static str, range: RangeInclusive<N>) -> Option<At<N>>
    where
        N: Copy + Display + Into<i128> + TryFrom<i128>,
    {
        let value = self.take(key)?;
        self.number_of(key, &value, &range)
    }

    fn number_of<N>(
        &mut self,
        key: &'static str,
        value: &Spanned<DeValue<'_>>,
        range: &RangeInclusive<N>,
    ) -> Option<At<N>>
    where
        N: Copy + Display + Into<i128> + TryFrom<i128>,
    {
        let (least, most) = (*range.start(), *range.end());
        let at = value.span().start;
        let DeValue::Integer(integer) = value.get_ref() else {
            self.mistyped(key, value, &format!("a whole number, {least} to {most}"));
            return None;
        };
        let number = number_in(integer);
        if number < least.into() || number > most.into() {
            self.wrong(
                at,
                key,
                format!("found {}, allowed {least} to {most}", short(&integer.to_string())),
            );
        }
        let near = number.clamp(least.into(), most.into());
        N::try_from(near).ok().map(|value| At { at, value })
    }

    /// A number that must be there.
    pub fn need_number<N>(&mut self, key: &'static str, range: RangeInclusive<N>) -> Option<At<N>>
    where
        N: Copy + Display + Into<i128> + TryFrom<i128>,
    {
        if !self.has(key) {
            self.missing(key, &format!("a whole number, {} to {}", range.start(), range.end()));
        }
        self.number(key, range)
    }

    /// A number, or its default.
    pub fn number_or<N>(&mut self, key: &'static str, range: RangeInclusive<N>, default: N) -> N
    where
        N: Copy + Display + Into<i128> + TryFrom<i128>,
    {
        self.number(key, range).map_or(default, |found| found.value)
    }

    /// A list of numbers.
    pub fn numbers(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u16>,
    ) -> Option<At<Vec<At<u16>>>> {
        let value = self.take(key)?;
        let at = value.span().start;
        let DeValue::Array(list) = value.get_ref() else {
            self.mistyped(key, &value, "a list of numbers");
            return None;
        };
        let numbers = list.iter().filter_map(|item| self.number_of(key, item, &range)).collect();
        Some(At { at, value: numbers })
    }

    /// `true` or `false`.
    pub fn flag(&mut self, key: &'static str) -> Option<At<bool>> {
        let value = self.take(key)?;
        let DeValue::Boolean(flag) = value.get_ref() else {
            self.mistyped(key, &value, "true or false");
            return None;
        };
        Some(At { at: value.span().start, value: *flag })
    }

    /// A flag, or its default.
    pub fn flag_or(&mut self, key: &'static str, default: bool) -> bool {
        self.flag(key).map_or(default, |found| found.value)
    }

    /// A text. One that breaks the rule is noted and given all the same, so that what refers to
    /// it is not called unknown besides.
    pub fn text(&mut self, key: &'static str, rule: &Rule) -> Option<At<String>> {
        let value = self.take(key)?;
        self.text_of(key, &value, rule)
    }

    fn text_of(
        &mut self,
        key: &'static str,
        value: &Spanned<DeValue<'_>>,
        rule: &Rule,
    ) -> Option<At<String>> {
        let at = value.span().start;
        let text = value.get_ref().as_str();
        if !text.is_some_and(|text| (rule.fits)(text)) {
            let found = match rule.secret {
                true => format!("something else ({})", value.get_ref().type_str()),
                false => shown(value.get_ref()),
            };
            self.wrong(at, key, format!("found {found}, allowed {}", rule.allowed));
        }
        text.map(|text| At { at, value: text.to_owned() })
    }

    /// A text that must be there; empty, at the table's place, if it is not.
    pub fn need_text(&mut self, key: &'static str, rule: &Rule) -> At<String> {
        if !self.has(key) {
            self.missing(key, rule.allowed);
        }
        self.text(key, rule).unwrap_or(At { at: self.at, value: String::new() })
    }

    /// A list of texts, at most `most`; one that stands in it twice is a warning.
    pub fn texts(&mut self, key: &'static str, rule: &Rule, most: usize) -> Vec<At<String>> {
        let Some(value) = self.take(key) else { return Vec::new() };
        let at = value.span().start;
        let DeValue::Array(list) = value.get_ref() else {
            self.mistyped(key, &value, &format!("a list of texts, each {}", rule.allowed));
            return Vec::new();
        };
        self.crowded(key, list, at, most);
        let mut texts: Vec<At<String>> = Vec::new();
        let mut seen = std::collections::BTreeSet::new();
        for item in list.iter().take(most) {
            let Some(found) = self.text_of(key, item, rule) else { continue };
            if seen.insert(found.value.clone()) {
                texts.push(found);
            } else {
                let text = format!("found {} twice in one list", quote(&found.value));
                self.warn(found.at, key, text);
            }
        }
        texts
    }

    fn crowded(&mut self, key: &'static str, list: &DeArray<'_>, at: usize, most: usize) {
        if list.len() > most {
            let at = list.get(most).map_or(at, |item| item.span().start);
            let text = format!("found {} entries, allowed at most {most}", list.len());
            self.wrong(at, key, text);
        }
    }

    /// One of a few words.
    pub fn word<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)]) -> Option<At<T>> {
        let value = self.take(key)?;
        let found = value.get_ref().as_str();
        let Some((_, meaning)) = words.iter().find(|(word, _)| Some(*word) == found) else {
            self.mistyped(key, &value, &quoted(words));
            return None;
        };
        Some(At { at: value.span().start, value: *meaning })
    }

    /// A word that must be there.
    pub fn need_word<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)]) -> Option<At<T>> {
        if !self.has(key) {
            self.missing(key, &quoted(words));
        }
        self.word(key, words)
    }

    /// A date-time, RFC 3339, as a text or as TOML's own.
    pub fn moment(&mut self, key: &'static str) -> Option<At<crate::time::Wall>> {
        let value = self.take(key)?;
        let wall = match value.get_ref() {
            DeValue::String(text) => crate::time::Wall::parse(text),
            DeValue::Datetime(moment) => crate::time::Wall::parse(&moment.to_string()),
            _ => None,
        };
        if wall.is_none() {
            self.mistyped(key, &value, "RFC 3339 with an offset, like 2026-11-22T08:00:00Z");
        }
        wall.map(|wall| At { at: value.span().start, value: wall })
    }

    /// A table in this one; an empty one if it is not there.
    pub fn section(&mut self, key: &'static str) -> Table<'i> {
        let prefix = self.prefix_of(key, "[", "] ");
        let Some(value) = self.take(key) else {
            return Table::new(DeTable::new(), prefix, self.at);
        };
        let at = value.span().start;
        if !value.get_ref().is_table() {
            self.mistyped(key, &value, "a table");
        }
        match value.into_inner() {
            DeValue::Table(entries) => Table::new(entries, prefix, at),
            _ => Table::new(DeTable::new(), prefix, at),
        }
    }

    /// The tables of a list, at most `most`.
    pub fn rows(&mut self, key: &'static str, most: usize) -> Vec<Table<'i>> {
        let prefix = self.prefix_of(key, "[[", "]] ");
        let Some(value) = self.take(key) else { return Vec::new() };
        let at = value.span().start;
        if !value.get_ref().is_array() {
            self.mistyped(key, &value, &format!("a list of tables, [[{key}]]"));
        }
        let DeValue::Array(list) = value.into_inner() else { return Vec::new() };
        self.crowded(key, &list, at, most);
        let mut tables = Vec::new();
        for item in list.into_iter().take(most) {
            let at = item.span().start;
            if !item.get_ref().is_table() {
                self.mistyped(key, &item, "a table");
            }
            if let DeValue::Table(entries) = item.into_inner() {
                tables.push(Table::new(entries, prefix.clone(), at));
            }
        }
        tables
    }

    fn prefix_of(&self, key: &str, open: &str, close: &str) -> String {
        match self.prefix.is_empty() {
            true => format!("{open}{key}{close}"),
            false => format!("{}{key}.", self.prefix),
        }
    }

    /// Notes the keys nobody asked for, and hands all notes over.
    pub fn finish(mut self, notes: &mut Notes) {
        self.known.sort_unstable();
        for (key, _) in std::mem::take(&mut self.entries).into_iter().take(UNKNOWN_MAX) {
            let name = key.get_ref().as_ref();
            let hint = if notes.is_full() { String::new() } else { hint(name, &self.known) };
            let text = format!("found an unknown key{hint}, allowed {}", self.known.join(", "));
            self.unfit(key.span().start, &short(name).escape_debug().to_string(), text);
        }
        self.notes.into_iter().for_each(|note| notes.push(note));
    }
}

fn number_in(integer: &DeInteger<'_>) -> i128 {
    let text = integer.as_str();
    let beyond = if text.starts_with('-') { i128::MIN } else { i128::MAX };
    i128::from_str_radix(text, integer.radix()).unwrap_or(beyond)
}

fn quoted<T>(words: &[(&str, T)]) -> String {
    let words: Vec<String> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
    words.join(", ")
}

/// A value for people, short.
fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => quote(text),
        DeValue::Integer(integer) => short(&integer.to_string()),
        DeValue::Float(float) => short(&float.to_string()),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(moment) => moment.to_string(),
        DeValue::Array(list) => format!("a list of {}", list.len()),
        DeValue::Table(_) => "a table".to_owned(),
    }
}
