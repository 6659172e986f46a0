//! `hushbox send`: a one-shot client for scripts and for hands.
//!
//! Answers are printed as the box wrote them. News are not: they are for clients that stay.

use crate::Outcome;
use crate::cli::SendArgs;
use crate::error::Failure;
use crate::output::lines;
use crate::server::{self, Entry, Servers};
use crate::terminal::input::Input;
use client::{Connection, Login};
use protocol::Kind;
use protocol::client::Reply;
use std::fs::File;
use std::io::{IsTerminal, Write};

/// What becomes of data.
enum Data<'a> {
    /// It is counted.
    Announce,
    Stdout,
    File(&'a std::path::Path, File),
}

pub fn run(args: &SendArgs) -> Result<Outcome, Failure> {
    let servers = Servers::find(&args.server)?;
    let mut data = Data::of(args)?;
    let mut connection: Option<Connection> = None;
    let mut greeted = args.commands.iter().any(|command| verb(command) == "hello");
    let wanted = args.kind.is_some() || args.user.user.is_some();
    for command in &args.commands {
        let before_hello = !wanted && matches!(verb(command), "help" | "ping" | "quit");
        if !greeted && !before_hello {
            greeted = true;
            match servers.enter(&login(args)?)? {
                Entry::In(fresh, _) => connection = Some(*fresh),
                Entry::Refused(reply) => {
                    print(&reply, &mut data)?;
                    return Ok(Outcome::Unclean);
                }
            }
        }
        let connection = match &mut connection {
            Some(connection) => connection,
            none => none.insert(servers.open()?),
        };
        let reply = server::ask(connection, command)?;
        print(&reply, &mut data)?;
        if reply.outcome.is_err() {
            return Ok(Outcome::Unclean);
        }
    }
    // A call feed that takes its leave is not missed; whether the box still answers matters not.
    if let Some(mut connection) = connection.filter(|_| args.kind == Some(Kind::Cti)) {
        drop(connection.ask("quit"));
    }
    data.close()?;
    Ok(Outcome::Done)
}

fn verb(command: &str) -> &str {
    command.split_whitespace().next().unwrap_or_default()
}

fn login(args: &SendArgs) -> Result<Login, Failure> {
    let kind = args.kind.unwrap_or(Kind::Agent);
    let mut login = server::login(kind, &args.user)?;
    login.via_portal = args.via.is_some();
    login.pin = args.pin.clone();
    if kind == Kind::Technician && login.pin.is_none() && std::io::stdin().is_terminal() {
        login.pin = Some(Input::default().secret("PIN: ")?.to_string());
    }
    Ok(login)
}

fn print(reply: &Reply, data: &mut Data<'_>) -> Result<(), Failure> {
    let mut text = lines::rows(reply);
    if !reply.data.is_empty() {
        data.take(&reply.data)?;
    }
    text.push_str(&lines::outcome(&reply.outcome));
    // Raw data has stdout to itself.
    let written = match data {
        Data::Stdout => std::io::stderr().write_all(text.as_bytes()),
        Data::Announce | Data::File(..) => std::io::stdout().write_all(text.as_bytes()),
    };
    written.map_err(Failure::Output)
}

impl<'a> Data<'a> {
    fn of(args: &'a SendArgs) -> Result<Data<'a>, Failure> {
        match &args.out {
            None if args.raw => Ok(Data::Stdout),
            None => Ok(Data::Announce),
            Some(path) => {
                let failed = |error| Failure::Write { path: path.clone(), error };
                Ok(Data::File(path, File::create(path).map_err(failed)?))
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        match self {
            Data::Announce => {
                eprintln!("hushbox: {} bytes of data; --out FILE keeps them", bytes.len());
                Ok(())
            }
            Data::Stdout => std::io::stdout().write_all(bytes).map_err(Failure::Output),
            Data::File(path, file) => {
                let failed = |error| Failure::Write { path: path.to_path_buf(), error };
                file.write_all(bytes).map_err(failed)
            }
        }
    }

    fn close(self) -> Result<(), Failure> {
        match self {
            Data::File(path, file) => {
                let failed = |error| Failure::Write { path: path.to_path_buf(), error };
                file.sync_all().map_err(failed)
            }
            Data::Announce | Data::Stdout => Ok(()),
        }
    }
}
