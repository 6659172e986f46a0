//! `hushbox console`: a technician's session over a socket or a serial cable.
//!
//! Prompts for user and PIN, then accepts commands. On a terminal there is a line editor, and
//! replies are shown as tables. Otherwise replies are printed as protocol lines, as with `nc`.

use crate::Outcome;
use crate::cli::{ConsoleArgs, MetersArgs};
use crate::commands::setup;
use crate::error::Error;
use crate::output::escape::{print_message, write_lines};
use crate::output::reply_format;
use crate::server::{self, LoginOutcome, ServerList};
use crate::terminal::line_editor::{LineEditor, SharedConnection};
use crate::terminal::meters;
use crate::terminal::pager::Pager;
use crate::terminal::raw_mode;
use crate::terminal::serial;
use crate::terminal::stdin;
use crate::terminal::stdin::{StdinEvent, StdinReader};
use client::{Address, Connection, ConnectionError, Login, Notification};
use protocol::client::Reply;
use protocol::{Code, Kind};
use std::io::{IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Login attempts; the recorder closes the connection after the third.
const LOGIN_ATTEMPTS_MAX: u32 = 3;
/// Keep-alive interval; the recorder closes a session after 90 s of silence.
const PING_EVERY: Duration = Duration::from_secs(30);
/// Timeout for a greeting that has been requested already.
const GREETING_TIMEOUT: Duration = Duration::from_secs(5);
/// Commands handled by the console itself.
const CONSOLE_COMMANDS: &[&str] = &["exit", "setup"];

pub fn run(args: &ConsoleArgs) -> Result<Outcome, Error> {
    let mut input = StdinReader::default();
    let mut target = ConsoleTarget::from_args(args)?;
    let Some((connection, reply)) = log_in(args, &mut target, &mut input)? else {
        return Ok(Outcome::Unclean);
    };
    let place = connection.address().to_string();
    let interactive = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let ended = match interactive {
        true => {
            let name = connection.greeting().name.clone();
            print_text(&format!(
                "connected to {name} at {place}\nType help for a list of commands; Tab completes.\n"
            ))?;
            run_interactive(connection, link_rate(args))
        }
        false => {
            print_text(&reply_format::format_outcome(&reply.outcome))?;
            let terminal = std::io::stdout().is_terminal();
            ConsoleSession { connection, is_terminal: terminal, has_refusal: false }
                .run_until_end(&mut input)
        }
    };
    ended.map_err(|stop| stop.into_error(place))
}

/// Runs `hushbox meters`: logs in and shows the meters.
pub fn run_meters(args: &MetersArgs) -> Result<Outcome, Error> {
    let args = &args.console;
    let mut target = ConsoleTarget::from_args(args)?;
    let Some((mut connection, _)) = log_in(args, &mut target, &mut StdinReader::default())? else {
        return Ok(Outcome::Unclean);
    };
    let place = connection.address().to_string();
    let shown = show_meters(&mut connection, link_rate(args));
    shown.map_err(|stop| stop.into_error(place))
}

/// Logs in, sends one command and logs out. Returns `None` if the login was rejected.
pub fn request_once(args: &ConsoleArgs, command: &str) -> Result<Option<Reply>, Error> {
    let mut target = ConsoleTarget::from_args(args)?;
    let Some((mut connection, _)) = log_in(args, &mut target, &mut StdinReader::default())? else {
        return Ok(None);
    };
    let reply = server::send_request(&mut connection, command)?;
    // Frees a serial line for the next session. A broken connection is free already.
    drop(connection.request("quit"));
    Ok(Some(reply))
}

/// Shows live meters if the terminal allows, else a table once.
fn show_meters(connection: &mut Connection, link_rate: u64) -> Result<Outcome, ConsoleError> {
    if raw_mode::can_paint() {
        let closed = meters::run_live(connection, link_rate).map_err(ConsoleError::from)?;
        if let Some(text) = closed.message() {
            print_message(&text);
        }
        return Ok(if closed.is_refused() { Outcome::Unclean } else { Outcome::Done });
    }
    match meters::query_table(connection)? {
        Ok(text) => {
            print_text(&text)?;
            Ok(Outcome::Done)
        }
        Err(reply) => {
            print_message(&reply_format::format_outcome(&reply.outcome));
            Ok(Outcome::Unclean)
        }
    }
}

/// Returns the bit rate of the connection; unlimited for sockets.
fn link_rate(args: &ConsoleArgs) -> u64 {
    let named = args.server.servers.iter().any(|address| match address {
        Address::Unix(path) => path.starts_with("/dev/"),
        _ => false,
    });
    if args.tty.is_some() || named { args.rate.into() } else { u64::MAX }
}

/// The connection target.
enum ConsoleTarget {
    Servers(ServerList),
    /// A serial line carries one session, which a successful login takes.
    Serial(Option<Box<Connection>>),
}

impl ConsoleTarget {
    fn from_args(args: &ConsoleArgs) -> Result<ConsoleTarget, Error> {
        let named = args.server.servers.iter().find_map(|address| match address {
            Address::Unix(path) if path.starts_with("/dev/") => Some(path.clone()),
            _ => None,
        });
        let Some(path) = args.tty.clone().or(named) else {
            return Ok(ConsoleTarget::Servers(ServerList::from_args(&args.server)?));
        };
        let socket = serial::connect_serial(&path, args.rate);
        let socket = socket.map_err(|error| Error::Serial { path: path.clone(), error })?;
        let address = Address::Unix(path.clone());
        let connection = Connection::from_stream(socket, &address, GREETING_TIMEOUT);
        Ok(ConsoleTarget::Serial(Some(Box::new(
            connection.map_err(|error| connection_error(&path, error))?,
        ))))
    }

    fn send_login(&mut self, login: &Login) -> Result<(Option<Box<Connection>>, Reply), Error> {
        match self {
            ConsoleTarget::Servers(servers) => Ok(match servers.log_in(login)? {
                LoginOutcome::Accepted(connection, pairs) => {
                    let reply = Reply { rows: Vec::new(), data: Vec::new(), outcome: Ok(pairs) };
                    (Some(connection), reply)
                }
                LoginOutcome::Refused(reply) => (None, reply),
            }),
            ConsoleTarget::Serial(connection) => {
                let Some(open) = connection else { return Err(Error::NoInput) };
                let reply = server::send_request(open, &login.to_line())?;
                Ok((connection.take_if(|_| reply.outcome.is_ok()), reply))
            }
        }
    }
}

fn connection_error(path: &Path, error: ConnectionError) -> Error {
    Error::Connection { address: PathBuf::from(path).display().to_string(), error }
}

/// Prompts for user and PIN until the recorder accepts them, up to three times.
fn log_in(
    args: &ConsoleArgs,
    target: &mut ConsoleTarget,
    input: &mut StdinReader,
) -> Result<Option<(Box<Connection>, Reply)>, Error> {
    for _ in 0..LOGIN_ATTEMPTS_MAX {
        let user = match &args.user {
            Some(user) => user.clone(),
            None => read_answer(input, "User: ")?,
        };
        let pin = input.read_secret("PIN: ")?;
        let login = Login {
            user: Some(user),
            pin: Some(pin.to_string()),
            client: Some(concat!("hushbox/", env!("CARGO_PKG_VERSION")).to_owned()),
            ..Login::new(Kind::Technician)
        };
        match target.send_login(&login)? {
            (Some(connection), reply) => return Ok(Some((connection, reply))),
            (None, Reply { outcome, .. }) => {
                let code = outcome.as_ref().err().and_then(|failure| failure.code());
                print_message(&reply_format::format_outcome(&outcome));
                let again = matches!(code, Some(Code::Denied | Code::UnknownUser));
                if !again || !std::io::stdin().is_terminal() {
                    return Ok(None);
                }
            }
        }
    }
    Ok(None)
}

fn read_answer(input: &mut StdinReader, question: &str) -> Result<String, Error> {
    stdin::print_question(question);
    match input.read_line()? {
        StdinEvent::Line(line) => Ok(line),
        StdinEvent::Eof => Err(Error::NoInput),
    }
}

/// Runs an interactive session with a line editor.
fn run_interactive(connection: Box<Connection>, link_rate: u64) -> Result<Outcome, ConsoleError> {
    let link = SharedConnection::new(connection);
    let mut prompt = LineEditor::start(&link, CONSOLE_COMMANDS)?;
    while let Some(line) = prompt.read_line()? {
        let line = if line.trim() == "exit" { "quit" } else { line.trim() };
        let mut kept = link.lock_for_command()?;
        if line.is_empty() {
            continue;
        }
        if line == "meters" {
            show_meters(&mut kept.connection, link_rate)?;
            continue;
        }
        if line == "setup" {
            setup::run(&mut kept.connection)?;
            continue;
        }
        let screen = Pager::with_size(prompt.size());
        match kept.connection.request(line) {
            Ok(reply) => {
                // Keeps the session open while the user reads.
                screen.show_reply((line, &reply), &mut || -> Result<(), ConsoleError> {
                    kept.connection.request("ping")?;
                    Ok(())
                })?;
                if line == "quit" && reply.outcome.is_ok() {
                    return Ok(Outcome::Done);
                }
            }
            Err(error @ ConnectionError::Send(_)) => print_message(&format!("{error}\n")),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Outcome::Done)
}

/// The reason why a session failed.
enum ConsoleError {
    Local(Error),
    Connection(ConnectionError),
}

impl ConsoleError {
    fn into_error(self, address: String) -> Error {
        match self {
            ConsoleError::Local(failure) => failure,
            ConsoleError::Connection(error) => Error::Connection { address, error },
        }
    }
}

impl From<meters::SessionError> for ConsoleError {
    fn from(error: meters::SessionError) -> ConsoleError {
        match error {
            meters::SessionError::Local(failure) => ConsoleError::Local(failure),
            meters::SessionError::Connection(error) => ConsoleError::Connection(error),
        }
    }
}

impl From<Error> for ConsoleError {
    fn from(failure: Error) -> ConsoleError {
        ConsoleError::Local(failure)
    }
}

impl From<ConnectionError> for ConsoleError {
    fn from(error: ConnectionError) -> ConsoleError {
        ConsoleError::Connection(error)
    }
}

struct ConsoleSession {
    connection: Box<Connection>,
    /// Whether stdout is a terminal.
    is_terminal: bool,
    /// Whether a command was rejected; reported in the exit status.
    has_refusal: bool,
}

impl ConsoleSession {
    fn run_until_end(&mut self, input: &mut StdinReader) -> Result<Outcome, ConsoleError> {
        loop {
            self.print_events()?;
            if self.is_terminal {
                print_text("hushbox> ")?;
            }
            let ready = loop {
                let ready = input.wait_ready(Some(self.connection.as_fd()), PING_EVERY)?;
                if ready.stdin || ready.connection {
                    break ready;
                }
                self.connection.request("ping")?;
            };
            if !ready.stdin {
                if self.is_terminal {
                    std::io::stdout().write_all(b"\r").map_err(Error::Stdout)?;
                }
                continue;
            }
            match input.try_read_line()? {
                None => {}
                Some(StdinEvent::Eof) => return Ok(self.final_outcome()),
                Some(StdinEvent::Line(line)) => {
                    let over = self.execute_line(line.trim())?;
                    if over {
                        return Ok(self.final_outcome());
                    }
                }
            }
        }
    }

    /// Sends a command and prints the reply. Returns whether the session is over.
    fn execute_line(&mut self, line: &str) -> Result<bool, ConsoleError> {
        let line = if line == "exit" { "quit" } else { line };
        if line.is_empty() {
            return Ok(false);
        }
        let reply = match self.connection.request(line) {
            Ok(reply) => reply,
            Err(error @ ConnectionError::Send(_)) => {
                print_message(&format!("{error}\n"));
                self.has_refusal = true;
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        };
        self.has_refusal |= reply.outcome.is_err();
        let rows = if self.is_terminal {
            reply_format::format_tables(&reply)
        } else {
            reply_format::format_rows(&reply)
        };
        print_text(&(rows + &reply_format::format_outcome(&reply.outcome)))?;
        Ok(line == "quit" && reply.outcome.is_ok())
    }

    fn final_outcome(&self) -> Outcome {
        if self.has_refusal { Outcome::Unclean } else { Outcome::Done }
    }

    fn print_events(&mut self) -> Result<(), ConsoleError> {
        while let Some(news) = self.connection.next_notification(Duration::ZERO)? {
            if let Notification::Event(pairs) = news {
                print_text(&reply_format::format_line("event", &pairs))?;
            }
        }
        Ok(())
    }
}

fn print_text(text: &str) -> Result<(), Error> {
    write_lines(&mut std::io::stdout(), text).map_err(Error::Stdout)
}
