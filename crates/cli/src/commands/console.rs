//! `hushbox console`: a technician's session, over a socket or a serial cable.
//!
//! Asks for user and PIN, then takes commands. On a terminal there is a line editor, and answers
//! are tables that fit; elsewhere the box's lines, so that a script sees what it would see with
//! `nc`. Commands are the box's: only how an answer is shown is decided here.

use crate::Outcome;
use crate::cli::{ConsoleArgs, MetersArgs};
use crate::commands::setup;
use crate::error::Failure;
use crate::output::lines;
use crate::server::{self, Entry, Servers};
use crate::terminal::input;
use crate::terminal::input::{Input, Typed};
use crate::terminal::meters;
use crate::terminal::pager::Screen;
use crate::terminal::prompt::{Link, Prompt};
use crate::terminal::raw;
use crate::terminal::serial;
use client::{Address, Connection, LinkError, Login, News};
use protocol::client::Reply;
use protocol::{Code, Kind};
use std::io::{IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The box hears a session three times, then closes it.
const LOGINS: u32 = 3;
/// The box closes a session that is silent for 90 s.
const PING_EVERY: Duration = Duration::from_secs(30);
/// For a greeting that is on its way already.
const GREETS: Duration = Duration::from_secs(5);
/// Words that are ours, not the box's.
const OWN: &[&str] = &["exit", "setup"];

pub fn run(args: &ConsoleArgs) -> Result<Outcome, Failure> {
    let mut input = Input::default();
    let mut door = Door::of(args)?;
    let Some((connection, reply)) = log_in(args, &mut door, &mut input)? else {
        return Ok(Outcome::Unclean);
    };
    let place = connection.address().to_string();
    let looks = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let ended = match looks {
        true => {
            let name = connection.greeting().name.clone();
            say(&format!("connected to {name} at {place}\nhelp lists the commands, Tab helps\n"))?;
            converse(connection, link_rate(args))
        }
        false => {
            say(&lines::outcome(&reply.outcome))?;
            let terminal = std::io::stdout().is_terminal();
            Session { connection, terminal, refused: false }.talk(&mut input)
        }
    };
    ended.map_err(|stop| stop.into_failure(place))
}

/// `hushbox meters`: logs in, and shows nothing else.
pub fn meters(args: &MetersArgs) -> Result<Outcome, Failure> {
    let args = &args.console;
    let mut door = Door::of(args)?;
    let Some((mut connection, _)) = log_in(args, &mut door, &mut Input::default())? else {
        return Ok(Outcome::Unclean);
    };
    let place = connection.address().to_string();
    let shown = show_meters(&mut connection, link_rate(args));
    shown.map_err(|stop| stop.into_failure(place))
}

/// Logs in, asks one thing, and leaves; none: nobody was let in.
pub fn ask_once(args: &ConsoleArgs, command: &str) -> Result<Option<Reply>, Failure> {
    let mut door = Door::of(args)?;
    let Some((mut connection, _)) = log_in(args, &mut door, &mut Input::default())? else {
        return Ok(None);
    };
    let reply = server::ask(&mut connection, command)?;
    // Whoever is next on a cable finds it free; if it broke meanwhile, it is free as well.
    drop(connection.ask("quit"));
    Ok(Some(reply))
}

/// Live where that can be, else once.
fn show_meters(connection: &mut Connection, link_rate: u64) -> Result<Outcome, Stop> {
    if raw::paints() {
        let closed = meters::run(connection, link_rate).map_err(Stop::from)?;
        if let Some(text) = closed.text() {
            eprint!("{text}");
        }
        return Ok(if closed.is_refused() { Outcome::Unclean } else { Outcome::Done });
    }
    match meters::once(connection)? {
        Ok(text) => {
            say(&text)?;
            Ok(Outcome::Done)
        }
        Err(reply) => {
            eprint!("{}", lines::outcome(&reply.outcome));
            Ok(Outcome::Unclean)
        }
    }
}

/// Bits a second between here and the box.
fn link_rate(args: &ConsoleArgs) -> u64 {
    let named = args.server.servers.iter().any(|address| match address {
        Address::Unix(path) => path.starts_with("/dev/"),
        _ => false,
    });
    if args.tty.is_some() || named { args.rate.into() } else { u64::MAX }
}

/// The way to the box.
enum Door {
    Servers(Servers),
    /// A cable has one session; it is taken by the log-in that succeeds.
    Cable(Option<Box<Connection>>),
}

impl Door {
    fn of(args: &ConsoleArgs) -> Result<Door, Failure> {
        let named = args.server.servers.iter().find_map(|address| match address {
            Address::Unix(path) if path.starts_with("/dev/") => Some(path.clone()),
            _ => None,
        });
        let Some(path) = args.tty.clone().or(named) else {
            return Ok(Door::Servers(Servers::find(&args.server)?));
        };
        let socket = serial::attach(&path, args.rate);
        let socket = socket.map_err(|error| Failure::Tty { path: path.clone(), error })?;
        let address = Address::Unix(path.clone());
        let connection = Connection::over(socket, &address, GREETS);
        Ok(Door::Cable(Some(Box::new(connection.map_err(|error| broke(&path, error))?))))
    }

    fn enter(&mut self, login: &Login) -> Result<(Option<Box<Connection>>, Reply), Failure> {
        match self {
            Door::Servers(servers) => Ok(match servers.enter(login)? {
                Entry::In(connection, pairs) => {
                    let reply = Reply { rows: Vec::new(), data: Vec::new(), outcome: Ok(pairs) };
                    (Some(connection), reply)
                }
                Entry::Refused(reply) => (None, reply),
            }),
            Door::Cable(connection) => {
                let Some(open) = connection else { return Err(Failure::NoInput) };
                let reply = server::ask(open, &login.line())?;
                Ok((connection.take_if(|_| reply.outcome.is_ok()), reply))
            }
        }
    }
}

fn broke(path: &Path, error: LinkError) -> Failure {
    Failure::Link { address: PathBuf::from(path).display().to_string(), error }
}

/// Asks for user and PIN until the box is content, three times at most.
fn log_in(
    args: &ConsoleArgs,
    door: &mut Door,
    input: &mut Input,
) -> Result<Option<(Box<Connection>, Reply)>, Failure> {
    for _ in 0..LOGINS {
        let user = match &args.user {
            Some(user) => user.clone(),
            None => ask(input, "User: ")?,
        };
        let pin = input.secret("PIN: ")?;
        let login = Login {
            user: Some(user),
            pin: Some(pin.to_string()),
            client: Some(concat!("hushbox/", env!("CARGO_PKG_VERSION")).to_owned()),
            ..Login::new(Kind::Technician)
        };
        match door.enter(&login)? {
            (Some(connection), reply) => return Ok(Some((connection, reply))),
            (None, Reply { outcome, .. }) => {
                let code = outcome.as_ref().err().and_then(|failure| failure.code());
                eprint!("{}", lines::outcome(&outcome));
                let again = matches!(code, Some(Code::Denied | Code::UnknownUser));
                if !again || !std::io::stdin().is_terminal() {
                    return Ok(None);
                }
            }
        }
    }
    Ok(None)
}

fn ask(input: &mut Input, question: &str) -> Result<String, Failure> {
    input::ask(question)?;
    match input.line()? {
        Typed::Line(line) => Ok(line),
        Typed::End => Err(Failure::NoInput),
    }
}

/// With a line editor, for a person.
fn converse(connection: Box<Connection>, link_rate: u64) -> Result<Outcome, Stop> {
    let link = Link::new(connection);
    let mut prompt = Prompt::start(&link, OWN)?;
    while let Some(line) = prompt.line()? {
        let line = if line.trim() == "exit" { "quit" } else { line.trim() };
        let mut kept = link.take()?;
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
        let screen = Screen::of(prompt.size());
        match kept.connection.ask(line) {
            Ok(reply) => {
                // Whoever reads is not logged out meanwhile.
                screen.show((line, &reply), &mut || -> Result<(), Stop> {
                    kept.connection.ask("ping")?;
                    Ok(())
                })?;
                if line == "quit" && reply.outcome.is_ok() {
                    return Ok(Outcome::Done);
                }
            }
            Err(error @ LinkError::Send(_)) => eprintln!("{error}"),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Outcome::Done)
}

/// Why talking stopped.
enum Stop {
    Tool(Failure),
    Link(LinkError),
}

impl Stop {
    fn into_failure(self, address: String) -> Failure {
        match self {
            Stop::Tool(failure) => failure,
            Stop::Link(error) => Failure::Link { address, error },
        }
    }
}

impl From<meters::Trouble> for Stop {
    fn from(trouble: meters::Trouble) -> Stop {
        match trouble {
            meters::Trouble::Tool(failure) => Stop::Tool(failure),
            meters::Trouble::Link(error) => Stop::Link(error),
        }
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Stop {
        Stop::Tool(failure)
    }
}

impl From<LinkError> for Stop {
    fn from(error: LinkError) -> Stop {
        Stop::Link(error)
    }
}

struct Session {
    connection: Box<Connection>,
    /// Somebody looks.
    terminal: bool,
    /// A command was: a script hears of it by the exit status.
    refused: bool,
}

impl Session {
    fn talk(&mut self, input: &mut Input) -> Result<Outcome, Stop> {
        loop {
            self.news()?;
            if self.terminal {
                say("hushbox> ")?;
            }
            let ready = loop {
                let ready = input.wait(Some(self.connection.as_fd()), PING_EVERY)?;
                if ready.stdin || ready.link {
                    break ready;
                }
                self.connection.ask("ping")?;
            };
            if !ready.stdin {
                if self.terminal {
                    say("\r")?;
                }
                continue;
            }
            match input.take()? {
                None => {}
                Some(Typed::End) => return Ok(self.outcome()),
                Some(Typed::Line(line)) => {
                    let over = self.obey(line.trim())?;
                    if over {
                        return Ok(self.outcome());
                    }
                }
            }
        }
    }

    /// Sends a command and shows the answer; whether the session is over.
    fn obey(&mut self, line: &str) -> Result<bool, Stop> {
        let line = if line == "exit" { "quit" } else { line };
        if line.is_empty() {
            return Ok(false);
        }
        let reply = match self.connection.ask(line) {
            Ok(reply) => reply,
            Err(error @ LinkError::Send(_)) => {
                eprintln!("{error}");
                self.refused = true;
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        };
        self.refused |= reply.outcome.is_err();
        let rows = if self.terminal { lines::tables(&reply) } else { lines::rows(&reply) };
        say(&(rows + &lines::outcome(&reply.outcome)))?;
        Ok(line == "quit" && reply.outcome.is_ok())
    }

    fn outcome(&self) -> Outcome {
        if self.refused { Outcome::Unclean } else { Outcome::Done }
    }

    fn news(&mut self) -> Result<(), Stop> {
        while let Some(news) = self.connection.next_event(Duration::ZERO)? {
            if let News::Event(pairs) = news {
                say(&lines::line("event", &pairs))?;
            }
        }
        Ok(())
    }
}

fn say(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Failure::Output)
}
