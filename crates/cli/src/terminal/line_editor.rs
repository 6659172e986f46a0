//! A line editor in front of a session: history, Tab, and news above the line being typed.
//!
//! While somebody types, a keeper looks after the connection: it shows what the box says unasked,
//! and keeps the session open; after a quarter of an hour without a command it stops doing so, and
//! the box logs the technician out. History stays in memory. Nothing here knows a command.

use crate::error::Error;
use crate::output::event_format;
use crate::terminal::completion::complete_word;
use client::{Connection, ConnectionError, Notification};
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
const PINGS_MAX: u32 = 30;
const HISTORY_LINES_MAX: usize = 500;
const PROMPT: &str = "hushbox> ";

/// The connection, shared with the keeper.
#[derive(Clone)]
pub struct SharedConnection(Arc<Mutex<SharedState>>);

pub struct SharedState {
    pub connection: Box<Connection>,
    /// So often the keeper may still keep the session open.
    pings_left: u32,
    /// Why it is over.
    error: Option<ConnectionError>,
}

impl SharedConnection {
    pub fn new(connection: Box<Connection>) -> SharedConnection {
        SharedConnection(Arc::new(Mutex::new(SharedState {
            connection,
            pings_left: PINGS_MAX,
            error: None,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, SharedState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection, for a command.
    pub fn lock_for_command(&self) -> Result<MutexGuard<'_, SharedState>, ConnectionError> {
        let mut kept = self.lock();
        if let Some(error) = kept.error.take() {
            return Err(error);
        }
        kept.pings_left = PINGS_MAX;
        Ok(kept)
    }
}

/// What the editor asks: only Tab has answers.
struct CommandCompleter {
    console_commands: &'static [&'static str],
}

impl rustyline::completion::Completer for CommandCompleter {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        at: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(complete_word(line.get(..at).unwrap_or_default(), self.console_commands))
    }
}

impl rustyline::hint::Hinter for CommandCompleter {
    type Hint = String;
}

impl rustyline::highlight::Highlighter for CommandCompleter {}

impl rustyline::validate::Validator for CommandCompleter {}

impl Helper for CommandCompleter {}

/// The editor.
pub struct LineEditor(Editor<CommandCompleter, MemHistory>);

fn input_error(error: ReadlineError) -> Error {
    Error::Stdin(std::io::Error::other(error.to_string()))
}

impl LineEditor {
    /// An editor that offers these words besides the box's, and its keeper.
    pub fn start(
        link: &SharedConnection,
        own: &'static [&'static str],
    ) -> Result<LineEditor, Error> {
        let config = Config::builder().auto_add_history(false).history_ignore_space(true);
        let config = config.completion_type(rustyline::CompletionType::List);
        let config = config.max_history_size(HISTORY_LINES_MAX).map_err(input_error)?.build();
        let history = MemHistory::with_config(&config);
        let mut editor = Editor::with_history(config, history).map_err(input_error)?;
        editor.set_helper(Some(CommandCompleter { console_commands: own }));
        let descriptor = link.lock().connection.as_fd().try_clone_to_owned();
        let descriptor = descriptor.map_err(Error::Stdin)?;
        if let Ok(printer) = editor.create_external_printer() {
            let link = link.clone();
            let keeper = std::thread::Builder::new().name("keeper".to_owned());
            let keeper = keeper.spawn(move || run_keep_alive(&link, &descriptor, printer));
            keeper.map_err(Error::Stdin)?;
        }
        Ok(LineEditor(editor))
    }

    /// The next line; `None` at the end.
    pub fn read_line(&mut self) -> Result<Option<String>, Error> {
        loop {
            match self.0.readline(PROMPT) {
                Ok(line) => {
                    // A PIN is not remembered, not even here.
                    if !line.contains("pin=") {
                        self.0.add_history_entry(&line).map_err(input_error)?;
                    }
                    return Ok(Some(line));
                }
                Err(ReadlineError::Eof) => return Ok(None),
                // ^C gives up the line, not the session.
                Err(ReadlineError::Interrupted | ReadlineError::Signal(_)) => {}
                Err(error) => return Err(input_error(error)),
            }
        }
    }

    /// Columns and rows.
    pub fn size(&mut self) -> (usize, usize) {
        let size = self.0.dimensions().unwrap_or((80, 24));
        (usize::from(size.0), usize::from(size.1))
    }
}

fn run_keep_alive(
    link: &SharedConnection,
    descriptor: &OwnedFd,
    mut printer: impl ExternalPrinter,
) {
    let timeout = PollTimeout::try_from(PING_EVERY).unwrap_or(PollTimeout::MAX);
    loop {
        let mut wanted = [PollFd::new(descriptor.as_fd(), PollFlags::POLLIN)];
        let silent = poll(&mut wanted, timeout) == Ok(0);
        let mut text = String::new();
        let over = {
            let mut kept = link.lock();
            let result = poll_connection(&mut kept, silent, &mut text);
            if let Err(error) = &result {
                text.push_str(&format!("{error}; Enter ends the console\n"));
            }
            kept.error = result.err();
            kept.error.is_some()
        };
        // Without the lock: printing may wait for the editor, which may wait for the lock.
        let printed = text.is_empty() || printer.print(text).is_ok();
        if over || !printed {
            return;
        }
    }
}

/// Shows what came; keeps the session open, if it is to be.
fn poll_connection(
    kept: &mut SharedState,
    silent: bool,
    text: &mut String,
) -> Result<(), ConnectionError> {
    if silent && kept.pings_left > 0 {
        kept.pings_left -= 1;
        kept.connection.request("ping")?;
    }
    while let Some(news) = kept.connection.next_notification(Duration::ZERO)? {
        if let Notification::Event(pairs) = news
            && event_format::is_shown(&pairs)
        {
            text.push_str(&event_format::format_event(&pairs));
        }
    }
    Ok(())
}
