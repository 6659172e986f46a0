//! Tolerant reading of a call feed's lines: a detail that is invalid does not cost the command.
//!
//! A feed is a program that acts on no `err`. So the box reads a line that `Request::parse` refused
//! once more: by its keys alone, whatever is between them. A value that is too long is shortened
//! and marked with `…`. An unknown key, a repeated key or an invalid value is left out. A line that
//! is not UTF-8 is read as Latin-1. Each change is reported as an `Alteration`. The command stays
//! refused without a key that it requires.
//!
//! Two long call ids that differ anywhere stay different: the mark of an id has a hash of the whole
//! id.

use crate::arg::{Arg, ArgType, Args, CALL_BYTES, DETAIL_BYTES, Usage};
use crate::assembler::InvalidLine;
use crate::code::{Code, Refusal};
use crate::command::{Command, Request};
use crate::kind::Kind;
use crate::line::is_bare;
use crate::table;
use crate::text::{ELLIPSIS, shorten_text};
use std::borrow::Cow;
use std::fmt;

/// The most bytes of a key in an alteration.
const KEY_BYTES: usize = 32;

/// What happened to a detail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlterationKind {
    Shortened,
    LeftOut,
    /// It was not quoted, or had characters that are not allowed.
    Corrected,
}

/// A detail of a line that was changed or left out. It holds no value, which may be personal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alteration {
    pub key: String,
    pub kind: AlterationKind,
}

impl fmt::Display for Alteration {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            AlterationKind::Shortened => "shortened",
            AlterationKind::LeftOut => "left out",
            AlterationKind::Corrected => "corrected",
        };
        write!(out, "{} {what}", self.key)
    }
}

/// A word of a line: a value with its key, or a word without a key.
struct LooseWord<'a> {
    key: Option<&'a str>,
    value: Cow<'a, str>,
    /// Whether it has the form of `line::Word`.
    well_formed: bool,
}

/// Reads a line of a feed that was refused with `refusal`. `text` is the line, or for `too-long`
/// its beginning. `None`: the refusal stands.
#[must_use]
pub fn parse<'a>(
    text: &'a str,
    refusal: &Refusal,
    kind: Kind,
) -> Option<(Request<'a>, Vec<Alteration>)> {
    use Code::{BadArgument, BadCommand, NotUtf8, TooLong};
    if !matches!(refusal.code, BadArgument | BadCommand | NotUtf8 | TooLong) {
        return None;
    }
    let mut words = split_words(text);
    let mut verb = words.iter().map_while(|word| word.key.is_none().then_some(word.value.as_ref()));
    let verb = format!("{} {}", verb.next()?, verb.next()?);
    let entry = table::form_for(&verb, kind)?;
    words.drain(..2);
    let (usage, is_latin1) = (entry.usage(), refusal.code == NotUtf8);
    let mut reader = Reader { usage, is_latin1, values: Vec::new(), altered: Vec::new() };
    if refusal.code == TooLong {
        reader.mark_cut(&mut words);
    }
    join_words(reader.usage, &mut words);
    words.into_iter().for_each(|word| reader.take_word(word));
    let Reader { values, altered, .. } = reader;
    let args = Args::from_values(usage, values)?;
    let mut command = (entry.parser)(args).ok()?;
    if let Command::CallStart(call) | Command::CallUpdate(call) = &mut command {
        call.altered.clone_from(&altered);
    }
    Some((Request { command, entry }, altered))
}

/// The text of a line that is too long or not UTF-8.
#[must_use]
pub fn decode<'a>(line: &InvalidLine<'a>) -> Cow<'a, str> {
    let is_cut = line.refusal.code == Code::TooLong;
    let latin1 = || Cow::Owned(line.bytes.iter().map(|byte| char::from(*byte)).collect());
    match std::str::from_utf8(line.bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(error) if is_cut && error.error_len().is_none() => {
            // The line was cut inside a character.
            let whole = std::str::from_utf8(&line.bytes[..error.valid_up_to()]);
            whole.map_or_else(|_| latin1(), Cow::Borrowed)
        }
        Err(_) => latin1(),
    }
}

/// Splits a line at its spaces. A quoted value ends at its quote or at the end of the line.
fn split_words(text: &str) -> Vec<LooseWord<'_>> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let bare = rest.bytes().take_while(|byte| is_bare(*byte)).count();
        let key = (bare > 0 && rest[bare..].starts_with('=')).then(|| &rest[..bare]);
        let value = key.map_or(rest, |key| &rest[key.len() + 1..]);
        let (word, after) = match value.strip_prefix('"') {
            Some(quoted) => read_quoted(quoted),
            None => read_bare(value),
        };
        words.push(LooseWord { key, ..word });
        rest = after.trim_start();
    }
    words
}

/// Reads up to the next space; returns the word and the rest of the line.
fn read_bare(text: &str) -> (LooseWord<'_>, &str) {
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    let well_formed = word.bytes().all(is_bare);
    (LooseWord { key: None, value: Cow::Borrowed(word), well_formed }, rest)
}

/// Reads up to the closing quote; returns the word and the rest of the line.
fn read_quoted(text: &str) -> (LooseWord<'_>, &str) {
    let (mut value, mut well_formed) = (String::new(), true);
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => {
                let rest = &text[at + 1..];
                well_formed &= rest.is_empty() || rest.starts_with(' ');
                return (LooseWord { key: None, value: Cow::Owned(value), well_formed }, rest);
            }
            '\\' => {
                let next = letters.next().map(|(_, letter)| letter);
                if !matches!(next, Some('"' | '\\')) {
                    value.push('\\');
                    well_formed = false;
                }
                value.extend(next);
            }
            other => value.push(other),
        }
    }
    (LooseWord { key: None, value: Cow::Owned(value), well_formed: false }, "")
}

/// Joins words without a key to the text before them, whose quotes are missing.
fn join_words(usage: Usage, words: &mut Vec<LooseWord<'_>>) {
    let takes_text = |key: Option<&str>| {
        let arg = key.and_then(|key| usage.find_key(key));
        arg.is_some_and(is_text)
    };
    let mut joined: Vec<LooseWord<'_>> = Vec::with_capacity(words.len());
    for word in words.drain(..) {
        match joined.last_mut() {
            Some(last) if word.key.is_none() && takes_text(last.key) => {
                last.value = Cow::Owned(format!("{} {}", last.value, word.value));
                last.well_formed = false;
            }
            _ => joined.push(word),
        }
    }
    *words = joined;
}

/// Takes the words of a line as arguments of a command.
struct Reader<'a> {
    usage: Usage,
    /// Whether the line was not UTF-8.
    is_latin1: bool,
    values: Vec<(&'static Arg, Cow<'a, str>)>,
    altered: Vec<Alteration>,
}

impl<'a> Reader<'a> {
    fn note(&mut self, key: &str, kind: AlterationKind) {
        let key = shorten_text(key, KEY_BYTES).into_owned();
        let alteration = Alteration { key, kind };
        if !self.altered.contains(&alteration) {
            self.altered.push(alteration);
        }
    }

    /// The last word of a cut line is incomplete: a text is marked, anything else is left out.
    fn mark_cut(&mut self, words: &mut Vec<LooseWord<'a>>) {
        self.note("line", AlterationKind::Shortened);
        let arg = words.last().and_then(|word| self.usage.find_key(word.key?));
        match (words.last_mut(), arg.map(|arg| arg.value_type)) {
            (Some(last), Some(ArgType::NameOrUnknown)) => last.value.to_mut().push(ELLIPSIS),
            _ => drop(words.pop()),
        }
    }

    fn take_word(&mut self, word: LooseWord<'a>) {
        // A word without a key may be part of a number.
        let Some(key) = word.key else { return self.note("word", AlterationKind::LeftOut) };
        let Some(arg) = self.usage.find_key(key) else {
            return self.note(key, AlterationKind::LeftOut);
        };
        if self.values.iter().any(|(given, _)| given.name == arg.name) {
            return self.note(key, AlterationKind::LeftOut);
        }
        if !arg.required && matches!(word.value.as_ref(), "" | "-") && !is_text(arg) {
            return; // not known, as for a text
        }
        let guessed = self.is_latin1 && !word.value.is_ascii();
        let (value, kind) = fit_value(arg, word.value);
        let kind = kind.or((guessed || !word.well_formed).then_some(AlterationKind::Corrected));
        if let Some(kind) = kind {
            self.note(key, kind);
        }
        self.values.extend(value.map(|value| (arg, value)));
    }
}

fn is_text(arg: &Arg) -> bool {
    arg.value_type == ArgType::NameOrUnknown
}

/// Alters a value so that the argument accepts it, if possible; also returns what was altered.
fn fit_value<'a>(arg: &Arg, value: Cow<'a, str>) -> (Option<Cow<'a, str>>, Option<AlterationKind>) {
    if arg.value_type.accepts(&value) {
        return (Some(value), None);
    }
    let plain = value.replace(char::is_control, "\u{fffd}");
    let fitted = match arg.value_type {
        ArgType::Call => shorten_call_id(&plain).into_owned(),
        ArgType::NameOrUnknown => shorten_text(&plain, DETAIL_BYTES).into_owned(),
        ArgType::Direction => plain.to_ascii_lowercase(),
        // A longer name exists nowhere, and the command says so.
        ArgType::Name if arg.required && plain.len() > 1 => return (Some(Cow::Owned(plain)), None),
        _ => plain,
    };
    if !arg.value_type.accepts(&fitted) {
        return (None, Some(AlterationKind::LeftOut));
    }
    let shortened = fitted.ends_with(ELLIPSIS) || fitted.len() < value.len();
    let kind = if shortened { AlterationKind::Shortened } else { AlterationKind::Corrected };
    (Some(Cow::Owned(fitted)), Some(kind))
}

/// Shortens a call id to `CALL_BYTES`, with a mark and a hash of the whole id.
#[must_use]
pub fn shorten_call_id(id: &str) -> Cow<'_, str> {
    if id.len() <= CALL_BYTES {
        return Cow::Borrowed(id);
    }
    let hash = format!("{:016x}", hash_bytes(id.as_bytes()));
    Cow::Owned(shorten_text(id, CALL_BYTES - hash.len()).into_owned() + &hash)
}

/// FNV-1a with 64 bits. A PBX does not attack it, and its value may be in a journal for years.
fn hash_bytes(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}
