//! From a line of a client to a `Command`, or to a `Request` with the entry of the table.
//!
//! The checks apply in the order of refusals that the contract defines: `bad-command`,
//! `hello-first`, `bad-argument`, and `denied` if the command is not for this kind of session.

use crate::arg::Args;
use crate::code::Refusal;
use crate::command::{Command, Request};
use crate::kind::Kind;
use crate::line::Line;
use crate::table;

impl<'a> Command<'a> {
    /// Parses one line without its end. Refuses with `bad-command` or `bad-argument`.
    pub fn parse(line: &'a str) -> Result<Command<'a>, Refusal> {
        let line = Line::parse(line)?;
        let (entry, verb_words) = table::find_entry(&line)?;
        let words = line.into_words().into_iter().skip(verb_words);
        (entry.parser)(Args::bind(entry.usage(), words)?)
    }

    /// Parses one line of a session of this kind; `None`: before `hello`. Refuses with
    /// `bad-command`, `hello-first`, `bad-argument` or `denied`.
    pub fn parse_for(line: &'a str, kind: Option<Kind>) -> Result<Command<'a>, Refusal> {
        Request::parse(line, kind).map(|request| request.command)
    }
}

impl<'a> Request<'a> {
    /// Parses one line of a session of this kind; see `Command::parse_for`.
    ///
    /// # Errors
    /// What the text and the kind of session refuse. `check_permissions` still has to check what
    /// the entry requires of the user.
    pub fn parse(line: &'a str, kind: Option<Kind>) -> Result<Request<'a>, Refusal> {
        let line = Line::parse(line)?;
        let (entry, verb_words) = table::find_entry(&line)?;
        if kind.is_none() {
            entry.check_kind(kind)?;
        }
        let words = line.into_words().into_iter().skip(verb_words);
        let command = (entry.parser)(Args::bind(entry.usage(), words)?)?;
        entry.check_kind(kind)?;
        Ok(Request { command, entry })
    }
}
