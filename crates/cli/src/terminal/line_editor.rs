//! Line editor for a session: history, Tab completion, and events printed above the input line.
//!
//! While the user types, the keep-alive thread prints events and keeps the session open. After 15
//! minutes without a command it stops, and the recorder logs the technician out. History stays in
//! memory.

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

/// Keep-alive interval; the recorder closes a session after 90 s of silence.
const PING_EVERY: Duration = Duration::from_secs(30);
/// Maximum keep-alives without a command: 30 × 30 s = 15 minutes.
const PINGS_MAX: u32 = 30;
const HISTORY_LINES_MAX: usize = 500;
const PROMPT: &str = "hushbox> ";

/// The connection, shared with the keep-alive thread.
#[derive(Clone)]
pub struct SharedConnection(Arc<Mutex<SharedState>>);

pub struct SharedState {
    pub connection: Box<Connection>,
    /// Number of keep-alives left.
    pings_left: u32,
    /// The reason why the session ended.
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

    /// Locks the connection for a command.
    pub fn lock_for_command(&self) -> Result<MutexGuard<'_, SharedState>, ConnectionError> {
        let mut kept = self.lock();
        if let Some(error) = kept.error.take() {
            return Err(error);
        }
        kept.pings_left = PINGS_MAX;
        Ok(kept)
    }
}

/// The editor's helper; only completion is implemented.
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

/// The line editor.
pub struct LineEditor(Editor<CommandCompleter, MemHistory>);

fn input_error(error: ReadlineError) -> Error {
    Error::Stdin(std::io::Error::other(error.to_string()))
}

impl LineEditor {
    /// Starts an editor that also completes `own` commands, and its keep-alive thread.
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
            let keep_alive = std::thread::Builder::new().name("keep-alive".to_owned());
            let keep_alive = keep_alive.spawn(move || run_keep_alive(&link, &descriptor, printer));
            keep_alive.map_err(Error::Stdin)?;
        }
        Ok(LineEditor(editor))
    }

    /// Returns the next line; `None` at the end of input.
    pub fn read_line(&mut self) -> Result<Option<String>, Error> {
        loop {
            match self.0.readline(PROMPT) {
                Ok(line) => {
                    // PINs are not kept in the history.
                    if !line.contains("pin=") {
                        self.0.add_history_entry(&line).map_err(input_error)?;
                    }
                    return Ok(Some(line));
                }
                Err(ReadlineError::Eof) => return Ok(None),
                // Ctrl-C discards the line, not the session.
                Err(ReadlineError::Interrupted | ReadlineError::Signal(_)) => {}
                Err(error) => return Err(input_error(error)),
            }
        }
    }

    /// Returns columns and rows.
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
                text.push_str(&format!("{error}; press Enter to end the console\n"));
            }
            kept.error = result.err();
            kept.error.is_some()
        };
        // Print without the lock: the printer may wait for the editor, which may wait for the lock.
        let printed = text.is_empty() || printer.print(text).is_ok();
        if over || !printed {
            return;
        }
    }
}

/// Reads pending events into `text`, and sends a keep-alive if the line was silent.
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
