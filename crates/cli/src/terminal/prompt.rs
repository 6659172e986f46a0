//! A line editor in front of a session: history, Tab, and news above the line being typed.
//!
//! While somebody types, a keeper looks after the connection: it shows what the box says unasked,
//! and keeps the session open; after a quarter of an hour without a command it stops doing so, and
//! the box logs the technician out. History stays in memory. Nothing here knows a command.

use crate::error::Failure;
use crate::output::event_format;
use crate::terminal::completion::complete;
use client::{Connection, LinkError, News};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustyline::error::ReadlineError;
use rustyline::history::MemHistory;
use rustyline::{Config, Context, Editor, ExternalPrinter, Helper};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The box closes a session that is silent for 90 s, if not sooner.
const PING_EVERY: Duration = Duration::from_secs(30);
/// 30 × 30 s: then the technician has gone for lunch.
const PINGS: u32 = 30;
const REMEMBERED: usize = 500;
const PROMPT: &str = "hushbox> ";

/// The connection, shared with the keeper.
#[derive(Clone)]
pub struct Link(Arc<Mutex<Kept>>);

pub struct Kept {
    pub connection: Box<Connection>,
    /// So often the keeper may still keep the session open.
    pings: u32,
    /// Why it is over.
    over: Option<LinkError>,
}

impl Link {
    pub fn new(connection: Box<Connection>) -> Link {
        Link(Arc::new(Mutex::new(Kept { connection, pings: PINGS, over: None })))
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection, for a command.
    pub fn take(&self) -> Result<MutexGuard<'_, Kept>, LinkError> {
        let mut kept = self.lock();
        if let Some(error) = kept.over.take() {
            return Err(error);
        }
        kept.pings = PINGS;
        Ok(kept)
    }
}

/// What the editor asks: only Tab has answers.
struct Words {
    own: &'static [&'static str],
}

impl rustyline::completion::Completer for Words {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        at: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(complete(line.get(..at).unwrap_or_default(), self.own))
    }
}

impl rustyline::hint::Hinter for Words {
    type Hint = String;
}

impl rustyline::highlight::Highlighter for Words {}

impl rustyline::validate::Validator for Words {}

impl Helper for Words {}

/// The editor.
pub struct Prompt(Editor<Words, MemHistory>);

fn failed(error: ReadlineError) -> Failure {
    Failure::Input(std::io::Error::other(error.to_string()))
}

impl Prompt {
    /// An editor that offers these words besides the box's, and its keeper.
    pub fn start(link: &Link, own: &'static [&'static str]) -> Result<Prompt, Failure> {
        let config = Config::builder().auto_add_history(false).history_ignore_space(true);
        let config = config.completion_type(rustyline::CompletionType::List);
        let config = config.max_history_size(REMEMBERED).map_err(failed)?.build();
        let history = MemHistory::with_config(&config);
        let mut editor = Editor::with_history(config, history).map_err(failed)?;
        editor.set_helper(Some(Words { own }));
        let descriptor = link.lock().connection.as_fd().try_clone_to_owned();
        let descriptor = descriptor.map_err(Failure::Input)?;
        if let Ok(printer) = editor.create_external_printer() {
            let link = link.clone();
            let keeper = std::thread::Builder::new().name("keeper".to_owned());
            let keeper = keeper.spawn(move || keep(&link, &descriptor, printer));
            keeper.map_err(Failure::Input)?;
        }
        Ok(Prompt(editor))
    }

    /// The next line; `None` at the end.
    pub fn line(&mut self) -> Result<Option<String>, Failure> {
        loop {
            match self.0.readline(PROMPT) {
                Ok(line) => {
                    // A PIN is not remembered, not even here.
                    if !line.contains("pin=") {
                        self.0.add_history_entry(&line).map_err(failed)?;
                    }
                    return Ok(Some(line));
                }
                Err(ReadlineError::Eof) => return Ok(None),
                // ^C gives up the line, not the session.
                Err(ReadlineError::Interrupted | ReadlineError::Signal(_)) => {}
                Err(error) => return Err(failed(error)),
            }
        }
    }

    /// Columns and rows.
    pub fn size(&mut self) -> (usize, usize) {
        let size = self.0.dimensions().unwrap_or((80, 24));
        (usize::from(size.0), usize::from(size.1))
    }
}

fn keep(link: &Link, descriptor: &OwnedFd, mut printer: impl ExternalPrinter) {
    let timeout = PollTimeout::try_from(PING_EVERY).unwrap_or(PollTimeout::MAX);
    loop {
        let mut wanted = [PollFd::new(descriptor.as_fd(), PollFlags::POLLIN)];
        let silent = poll(&mut wanted, timeout) == Ok(0);
        let mut text = String::new();
        let over = {
            let mut kept = link.lock();
            let result = serve(&mut kept, silent, &mut text);
            if let Err(error) = &result {
                text.push_str(&format!("{error}; Enter ends the console\n"));
            }
            kept.over = result.err();
            kept.over.is_some()
        };
        // Without the lock: printing may wait for the editor, which may wait for the lock.
        let printed = text.is_empty() || printer.print(text).is_ok();
        if over || !printed {
            return;
        }
    }
}

/// Shows what came; keeps the session open, if it is to be.
fn serve(kept: &mut Kept, silent: bool, text: &mut String) -> Result<(), LinkError> {
    if silent && kept.pings > 0 {
        kept.pings -= 1;
        kept.connection.ask("ping")?;
    }
    while let Some(news) = kept.connection.next_event(Duration::ZERO)? {
        if let News::Event(pairs) = news
            && event_format::is_told(&pairs)
        {
            text.push_str(&event_format::line(&pairs));
        }
    }
    Ok(())
}
