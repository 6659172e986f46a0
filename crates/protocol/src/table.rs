//! The one table of commands: look-up, who may, arguments, help and documentation come from it.
//!
//! A verb is one or two words. Where a command has two forms for different people
//! (`record start`, `record start device=D`), each is an `Entry` of its own, told apart by the key
//! `by`. `rows` holds the entries in order; this module finds and prints them.
//!
//! The table says which *kinds* of session a command is for. Whether this very user may do it is
//! decided by the box, from the permission named in `right`.

mod rows;

pub use rows::TABLE;

use crate::arg::{Arg, Args};
use crate::code::{Code, Refusal, shorten};
use crate::command::Command;
use crate::kind::Kind;
use crate::line::Line;
use crate::reply;
use std::fmt;

/// What builds the typed command out of checked arguments.
pub(crate) type Make = for<'a> fn(Args<'a>) -> Result<Command<'a>, Refusal>;

/// One form of one command.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// One or two words, lower case.
    pub verb: &'static str,
    /// The key whose presence chooses this form among those with the same verb.
    pub by: Option<&'static str>,
    /// The kinds of session it is for; none: only before `hello`.
    pub who: &'static [Kind],
    /// Whether it works before `hello`.
    pub before_hello: bool,
    pub args: &'static [Arg],
    /// Whether `data BYTES` and a block follow the line.
    pub data: bool,
    /// The permission it takes besides, or nothing.
    pub right: &'static str,
    /// What it is answered with.
    pub reply: &'static str,
    /// What it does, in one line.
    pub help: &'static str,
    pub(crate) make: Make,
}

impl Entry {
    /// `VERB ARGS…` as people write it.
    #[must_use]
    pub fn usage(&self) -> Usage<'_> {
        Usage(self)
    }

    /// Whether a session of this kind may use it; `None`: one that has not said hello.
    #[must_use]
    pub fn is_for(&self, kind: Option<Kind>) -> bool {
        kind.map_or(self.before_hello, |kind| self.who.contains(&kind))
    }

    pub(crate) fn key(&self, name: &str) -> Option<&'static Arg> {
        self.args.iter().find(|arg| arg.keyed && arg.name == name)
    }

    /// The kinds as words, comma separated; `-` when it is for nobody who has said hello.
    #[must_use]
    pub fn who_words(&self) -> String {
        let words: Vec<&str> = self.who.iter().map(|kind| kind.word()).collect();
        if words.is_empty() { "-".to_owned() } else { words.join(",") }
    }

    /// `hello-first` or `denied` where this form is not for such a session.
    pub fn check_kind(&self, kind: Option<Kind>) -> Result<(), Refusal> {
        if self.is_for(kind) {
            return Ok(());
        }
        let Some(kind) = kind else { return Err(Code::HelloFirst.into()) };
        let mut others = TABLE.iter().filter(|e| e.verb == self.verb && e.is_for(Some(kind)));
        let text = match others.next() {
            Some(other) => format!("as {kind}, use: {}", other.usage()),
            None if self.who.is_empty() => format!("{} is for before hello", self.usage()),
            None => format!("{} is for {}; this session is {kind}", self.verb, self.who_words()),
        };
        Err(Refusal::new(Code::Denied, text))
    }
}

/// Prints an entry's usage.
#[derive(Clone, Copy, Debug)]
pub struct Usage<'a>(&'a Entry);

impl fmt::Display for Usage<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.0.verb)?;
        self.0.args.iter().try_for_each(|arg| write!(out, " {arg}"))
    }
}

/// The entry a line is for, and how many of its words are the verb; else `bad-command`.
pub(crate) fn find(line: &Line<'_>) -> Result<(&'static Entry, usize), Refusal> {
    let Some(first) = line.bare(0) else { return Err(no_verb(line)) };
    let second = line.bare(1);
    let is_it = |entry: &&Entry| match entry.verb.split_once(' ') {
        Some((one, two)) => one == first && Some(two) == second,
        None => entry.verb == first,
    };
    let mut chosen: Option<&'static Entry> = None;
    for entry in TABLE.iter().filter(is_it) {
        let named = entry.by.is_some_and(|key| line.get(key).is_some());
        if named || chosen.is_none() {
            chosen = Some(entry);
        }
    }
    match chosen {
        Some(entry) => Ok((entry, entry.verb.split(' ').count())),
        None => Err(unknown(first, second)),
    }
}

fn no_verb(line: &Line<'_>) -> Refusal {
    let text = match line.words().first() {
        None => "an empty line; send help for a list of commands",
        Some(_) => "a line begins with a command, bare; send help for a list",
    };
    Refusal::new(Code::BadCommand, text)
}

fn unknown(first: &str, second: Option<&str>) -> Refusal {
    let near = nearest(first, second);
    let two = near.iter().any(|verb| verb.contains(' '));
    let (first, second) = (shorten(first), second.filter(|_| two).map(shorten));
    let gap = if second.is_some() { " " } else { "" };
    let hint = if near.is_empty() { String::new() } else { format!("; near: {}", near.join(", ")) };
    let found = second.unwrap_or_default();
    let text = format!("no command \"{first}{gap}{found}\"{hint}. Send help for a list");
    Refusal::new(Code::BadCommand, text)
}

/// At most four verbs that somebody who wrote this may have meant, the likeliest first.
fn nearest(first: &str, second: Option<&str>) -> Vec<&'static str> {
    const AT_MOST: usize = 4;
    const APART: usize = 2;
    let first = first.to_ascii_lowercase();
    let both = second.map(|second| format!("{first} {}", second.to_ascii_lowercase()));
    let mut near: Vec<(bool, usize, &'static str)> = TABLE
        .iter()
        .filter_map(|entry| {
            let family = entry.verb.split_once(' ').is_some_and(|(one, _)| one == first);
            let apart = both.iter().fold(distance(&first, entry.verb), |least, both| {
                least.min(distance(both, entry.verb))
            });
            (family || apart <= APART).then_some((!family, apart, entry.verb))
        })
        .collect();
    near.sort_unstable();
    near.dedup();
    near.into_iter().take(AT_MOST).map(|(_, _, verb)| verb).collect()
}

/// How many letters to insert, leave out or change between two words (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let changed = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// Writes the rows of `help [verb]`: without a verb what such a session may use, with one every
/// form of the verbs that begin with these words. The `ok` is left to the caller.
pub fn help(kind: Option<Kind>, verb: Option<&str>, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let begins = |entry: &&Entry, verb: &str| {
        entry.verb.strip_prefix(verb).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    };
    let mut found = false;
    for entry in TABLE.iter().filter(|entry| match verb {
        Some(verb) => begins(entry, verb),
        None => entry.is_for(kind),
    }) {
        found = true;
        let mut row = reply::row(out).pair("usage", entry.usage()).pair("help", entry.help);
        if verb.is_some() {
            row = row.pair("who", entry.who_words());
            row = row.pair("right", if entry.right.is_empty() { "-" } else { entry.right });
            row = row.pair("reply", entry.reply);
        }
        row.end();
    }
    match verb {
        Some(verb) if !found => {
            let (first, second) = verb.split_once(' ').map_or((verb, None), |(a, b)| (a, Some(b)));
            Err(Refusal { code: Code::BadArgument, ..unknown(first, second) })
        }
        _ => Ok(()),
    }
}

/// The list of commands of `docs/protocol.md`, in Markdown.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::new();
    for entry in TABLE {
        let who = match (entry.who.len() == Kind::ALL.len(), entry.before_hello) {
            (true, true) => "everybody, before `hello` too".to_owned(),
            (true, false) => "everybody".to_owned(),
            (false, true) => "whoever has not said `hello`".to_owned(),
            (false, false) => entry.who_words().replace(',', ", "),
        };
        text.push_str(&format!("### `{}`\n\n{}\n\n", entry.usage(), sentence(entry.help)));
        text.push_str(&format!("- For: {who}\n"));
        if !entry.right.is_empty() {
            text.push_str(&format!("- Permission: {}\n", entry.right));
        }
        if entry.data {
            text.push_str("- Followed by: `data BYTES`, the bytes, LF\n");
        }
        text.push_str(&format!("- Answer: `{}`\n", entry.reply));
        for arg in entry.args {
            let may = if arg.required { "" } else { ", optional" };
            text.push_str(&format!("- `{}`: {}{may}\n", arg.name, arg.of.allowed()));
        }
        text.push('\n');
    }
    text
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(letters).chain(['.']).collect()
}
