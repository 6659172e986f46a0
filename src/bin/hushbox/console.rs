//! `hushbox console`: a technician's session over the box's socket.
//!
//! Asks for user and PIN, then takes commands. Answers are tables on a terminal, the box's lines
//! elsewhere, so that a script sees what it would see with `nc`. A serial line is refused for now.

use crate::Outcome;
use crate::cli::ConsoleArgs;
use crate::failure::Failure;
use crate::input::{self, Input, Typed};
use crate::lines;
use crate::server::{Entry, Servers};
use client::{Address, Connection, LinkError, Login, News};
use protocol::client::{Pairs, Reply};
use protocol::{Code, Kind};
use std::io::{IsTerminal, Write};
use std::os::fd::AsFd;
use std::time::Duration;

/// The box hears a session three times, then closes it.
const LOGINS: u32 = 3;
/// The box closes a session that is silent for 90 s.
const PING_EVERY: Duration = Duration::from_secs(30);

pub fn run(args: &ConsoleArgs) -> Result<Outcome, Failure> {
    let tty = args.server.servers.iter().find_map(|address| match address {
        Address::Unix(path) if path.starts_with("/dev/") => Some(path.clone()),
        Address::Unix(_) | Address::Tcp { .. } | Address::Tls { .. } => None,
    });
    if let Some(path) = tty {
        return Err(Failure::Tty { path });
    }
    let servers = Servers::find(&args.server)?;
    let mut input = Input::default();
    let Some((connection, pairs)) = log_in(args, &servers, &mut input)? else {
        return Ok(Outcome::Unclean);
    };
    let terminal = std::io::stdout().is_terminal();
    let place = connection.address().to_string();
    let mut session = Session { connection, terminal };
    if terminal {
        let name = session.connection.greeting().name.clone();
        say(&format!("connected to {name} at {place}; help lists the commands\n"))?;
    } else {
        say(&lines::line("ok", &pairs))?;
    }
    let ended = session.talk(&mut input);
    ended.map_err(|failure| match failure {
        Stop::Tool(failure) => failure,
        Stop::Link(error) => Failure::Link { address: place, error },
    })
}

/// Asks for user and PIN until the box is content, three times at most.
fn log_in(
    args: &ConsoleArgs,
    servers: &Servers,
    input: &mut Input,
) -> Result<Option<(Box<Connection>, Pairs)>, Failure> {
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
        match servers.enter(&login)? {
            Entry::In(connection, pairs) => return Ok(Some((connection, pairs))),
            Entry::Refused(Reply { outcome, .. }) => {
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

/// Why talking stopped.
enum Stop {
    Tool(Failure),
    Link(LinkError),
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
                Some(Typed::End) => return Ok(Outcome::Done),
                Some(Typed::Line(line)) => {
                    let over = self.obey(line.trim())?;
                    if over {
                        return Ok(Outcome::Done);
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
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        };
        let rows = if self.terminal { lines::tables(&reply) } else { lines::rows(&reply) };
        say(&(rows + &lines::outcome(&reply.outcome)))?;
        Ok(line == "quit" && reply.outcome.is_ok())
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
