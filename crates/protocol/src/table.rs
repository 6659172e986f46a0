//! The table of commands: lookup, kinds of session, arguments, help and the manual come from it.
//!
//! A verb is one or two words. A command with two forms for different kinds of session
//! (`record start`, `record start device=D`) has one `Entry` per form; the key `by` distinguishes
//! them. `rows` holds the entries in order; this module finds and prints them.
//!
//! An entry also defines who may use the command: the kinds of session, and the permissions that
//! each kind requires of its user (`access`). The box knows which permissions a user has.

mod parse_args;
mod rows;

pub use crate::arg::Usage;
pub use rows::TABLE;

use crate::access::{Access, Requires};
use crate::arg::{Arg, Args};
use crate::code::{Code, Refusal};
use crate::command::Command;
use crate::kind::Kind;
use crate::line::Line;
use crate::reply;
use crate::text::excerpt;

/// Parses checked arguments into the typed command.
pub(crate) type Parser = for<'a> fn(Args<'a>) -> Result<Command<'a>, Refusal>;

/// One form of one command.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// One or two words, lower case.
    pub verb: &'static str,
    /// The key that selects this form among those with the same verb.
    pub by: Option<&'static str>,
    /// The kinds of session that may use it, each with what it requires; empty: only sessions
    /// before `hello`.
    pub access: &'static [Access],
    /// Whether sessions before `hello` may use it.
    pub before_hello: bool,
    pub args: &'static [Arg],
    /// Whether `data BYTES` and a block follow the line.
    pub data: bool,
    /// The form of the reply.
    pub reply: &'static str,
    /// What it does, in one line.
    pub help: &'static str,
    pub(crate) parser: Parser,
}

impl Entry {
    /// The usage line, `VERB ARGS…`.
    #[must_use]
    pub fn usage(&self) -> Usage {
        Usage { verb: self.verb, args: self.args }
    }

    /// Whether a session of this kind may use it; `None`: before `hello`.
    #[must_use]
    pub fn is_for(&self, kind: Option<Kind>) -> bool {
        kind.map_or(self.before_hello, |kind| self.requires(kind).is_some())
    }

    /// What it requires of a session of this kind; `None`: that kind may not use it.
    #[must_use]
    pub fn requires(&self, kind: Kind) -> Option<Requires> {
        let access = self.access.iter().find(|access| access.kind == kind);
        access.map(|access| access.requires)
    }

    /// The kinds as words, comma separated; `-` if it works only before `hello`.
    #[must_use]
    pub fn kind_words(&self) -> String {
        let words: Vec<&str> = self.access.iter().map(|access| access.kind.as_str()).collect();
        if words.is_empty() { "-".to_owned() } else { words.join(",") }
    }

    /// The permissions that it requires, for users; `-` if none. Where the kinds differ,
    /// each requirement names its kinds: `record.others (supervisor)`.
    #[must_use]
    pub fn right_words(&self) -> String {
        let mut groups: Vec<(Requires, Vec<&str>)> = Vec::new();
        for Access { kind, requires } in self.access {
            match groups.iter_mut().find(|(known, _)| known == requires) {
                Some((_, kinds)) => kinds.push(kind.as_str()),
                None => groups.push((*requires, vec![kind.as_str()])),
            }
        }
        let alone = groups.len() == 1;
        groups.retain(|(requires, _)| *requires != Requires::KindOnly);
        let words = groups.iter().map(|(requires, kinds)| match alone {
            true => requires.to_string(),
            false => format!("{requires} ({})", kinds.join(", ")),
        });
        let words: Vec<String> = words.collect();
        if words.is_empty() { "-".to_owned() } else { words.join("; ") }
    }

    /// Refuses with `hello-first` or `denied` if a session of this kind may not use this form.
    pub fn check_kind(&self, kind: Option<Kind>) -> Result<(), Refusal> {
        if self.is_for(kind) {
            return Ok(());
        }
        let Some(kind) = kind else { return Err(Code::HelloFirst.into()) };
        let mut others = TABLE.iter().filter(|e| e.verb == self.verb && e.is_for(Some(kind)));
        let text = match others.next() {
            Some(other) => format!("this session is {kind}; use: {}", other.usage()),
            None if self.access.is_empty() => {
                format!("{} works only before hello; connect again", self.usage())
            }
            None => format!("{} is for {}; this session is {kind}", self.verb, self.kind_words()),
        };
        Err(Refusal::new(Code::Denied, text))
    }
}

/// Finds the form of a verb that sessions of this kind use; there is at most one.
#[must_use]
pub fn form_for(verb: &str, kind: Kind) -> Option<&'static Entry> {
    TABLE.iter().find(|entry| entry.verb == verb && entry.is_for(Some(kind)))
}

/// Finds the entry of a line, and how many words its verb has. Refuses with `bad-command`.
pub(crate) fn find_entry(line: &Line<'_>) -> Result<(&'static Entry, usize), Refusal> {
    let Some(first) = line.bare(0) else { return Err(refuse_missing_verb(line)) };
    let second = line.bare(1);
    let has_verb = |entry: &&Entry| match entry.verb.split_once(' ') {
        Some((one, two)) => one == first && Some(two) == second,
        None => entry.verb == first,
    };
    let mut chosen: Option<&'static Entry> = None;
    for entry in TABLE.iter().filter(has_verb) {
        let named = entry.by.is_some_and(|key| line.get(key).is_some());
        if named || chosen.is_none() {
            chosen = Some(entry);
        }
    }
    match chosen {
        Some(entry) => Ok((entry, entry.verb.split(' ').count())),
        None => Err(refuse_unknown_verb(first, second)),
    }
}

fn refuse_missing_verb(line: &Line<'_>) -> Refusal {
    let text = match line.words().first() {
        None => "the line is empty; send help for a list of commands",
        Some(_) => "a line begins with a command without quotes; send help for a list",
    };
    Refusal::new(Code::BadCommand, text)
}

fn refuse_unknown_verb(first: &str, second: Option<&str>) -> Refusal {
    let near = find_similar_verbs(first, second);
    let two = near.iter().any(|verb| verb.contains(' '));
    let (first, second) = (excerpt(first), second.filter(|_| two).map(excerpt));
    let gap = if second.is_some() { " " } else { "" };
    let hint = if near.is_empty() { String::new() } else { format!("; near: {}", near.join(", ")) };
    let found = second.as_deref().unwrap_or_default();
    let text = format!("no command \"{first}{gap}{found}\"{hint}. Send help for a list");
    Refusal::new(Code::BadCommand, text)
}

/// Finds at most four verbs that the client may have meant, the most similar first.
fn find_similar_verbs(first: &str, second: Option<&str>) -> Vec<&'static str> {
    const SHOWN_MAX: usize = 4;
    const DISTANCE_MAX: usize = 2;
    let first = first.to_ascii_lowercase();
    let both = second.map(|second| format!("{first} {}", second.to_ascii_lowercase()));
    let mut near: Vec<(bool, usize, &'static str)> = TABLE
        .iter()
        .filter_map(|entry| {
            let family = entry.verb.split_once(' ').is_some_and(|(one, _)| one == first);
            let distance = both.iter().fold(edit_distance(&first, entry.verb), |least, both| {
                least.min(edit_distance(both, entry.verb))
            });
            (family || distance <= DISTANCE_MAX).then_some((!family, distance, entry.verb))
        })
        .collect();
    near.sort_unstable();
    near.dedup();
    near.into_iter().take(SHOWN_MAX).map(|(_, _, verb)| verb).collect()
}

/// Counts the letters to insert, remove or change between two words (Levenshtein).
fn edit_distance(a: &str, b: &str) -> usize {
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

/// Writes the rows of `help [verb]`. Without a verb these are the commands for this kind of
/// session, with one every form of the verbs that begin with these words. The caller writes the
/// `ok`.
pub fn write_help(
    kind: Option<Kind>,
    verb: Option<&str>,
    out: &mut Vec<u8>,
) -> Result<(), Refusal> {
    let begins = |entry: &&Entry, verb: &str| {
        entry.verb.strip_prefix(verb).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    };
    let mut found = false;
    for entry in TABLE.iter().filter(|entry| match verb {
        Some(verb) => begins(entry, verb),
        None => entry.is_for(kind),
    }) {
        found = true;
        let mut row = reply::begin_row(out).pair("usage", entry.usage()).pair("help", entry.help);
        if verb.is_some() {
            row = row.pair("who", entry.kind_words());
            row = row.pair("right", entry.right_words());
            row = row.pair("reply", entry.reply);
        }
        row.end();
    }
    match verb {
        Some(verb) if !found => {
            let (first, second) = verb.split_once(' ').map_or((verb, None), |(a, b)| (a, Some(b)));
            Err(Refusal { code: Code::BadArgument, ..refuse_unknown_verb(first, second) })
        }
        _ => Ok(()),
    }
}

/// Formats the list of commands in `docs/protocol.md` as Markdown.
#[must_use]
pub fn format_markdown() -> String {
    let mut text = String::new();
    for entry in TABLE {
        let who = match (entry.access.len() == Kind::ALL.len(), entry.before_hello) {
            (true, true) => "all sessions, also before `hello`".to_owned(),
            (true, false) => "all sessions".to_owned(),
            (false, true) => "sessions before `hello`".to_owned(),
            (false, false) => entry.kind_words().replace(',', ", "),
        };
        text.push_str(&format!("### `{}`\n\n{}\n\n", entry.usage(), to_sentence(entry.help)));
        text.push_str(&format!("- For: {who}\n"));
        let right = entry.right_words();
        if right != "-" {
            text.push_str(&format!("- Permission: {right}\n"));
        }
        if entry.data {
            text.push_str("- Followed by: `data BYTES`, the bytes, LF\n");
        }
        text.push_str(&format!("- Answer: `{}`\n", entry.reply));
        for arg in entry.args {
            let optional = if arg.required { "" } else { ", optional" };
            text.push_str(&format!("- `{}`: {}{optional}\n", arg.name, arg.value_type.allowed()));
        }
        text.push('\n');
    }
    text
}

fn to_sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(letters).chain(['.']).collect()
}
