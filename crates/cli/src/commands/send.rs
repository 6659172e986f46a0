//! `hushbox send`: a one-shot client for scripts and manual use.
//!
//! Replies are printed as protocol lines; events are not printed.

use crate::Outcome;
use crate::cli::SendArgs;
use crate::clock::now;
use crate::error::Error;
use crate::output::escape::{print_message, write_lines};
use crate::output::reply_format;
use crate::server::{self, LoginOutcome, ServerList};
use crate::terminal::stdin::StdinReader;
use client::{Connection, Login};
use protocol::Kind;
use protocol::client::Reply;
use std::fs::File;
use std::io::{IsTerminal, Write};

/// The destination of reply data.
enum DataSink<'a> {
    /// Data is discarded, and its size is printed.
    CountOnly,
    Stdout,
    File(&'a std::path::Path, File),
}

pub fn run(args: &SendArgs) -> Result<Outcome, Error> {
    let servers = ServerList::from_args(&args.server)?;
    let mut data = DataSink::from_args(args)?;
    let mut connection: Option<Connection> = None;
    let mut greeted = args.commands.iter().any(|command| first_word(command) == "hello");
    let mut pressed = now();
    let wanted = args.kind.is_some() || args.user.user.is_some();
    for command in &args.commands {
        let before_hello = !wanted && matches!(first_word(command), "help" | "ping" | "quit");
        if !greeted && !before_hello {
            greeted = true;
            match servers.log_in(&build_login(args)?)? {
                LoginOutcome::Accepted(fresh, _) => connection = Some(*fresh),
                LoginOutcome::Refused(reply) => {
                    print_reply(&reply, &mut data)?;
                    return Ok(Outcome::Unclean);
                }
            }
        }
        let connection = match &mut connection {
            Some(connection) => connection,
            none => none.insert(servers.connect()?),
        };
        let age = u64::try_from(now().duration_since(pressed).as_millis()).unwrap_or(u64::MAX);
        let reply = server::send_request(connection, &client::add_press_age(command, age))?;
        pressed = now();
        print_reply(&reply, &mut data)?;
        if reply.outcome.is_err() {
            return Ok(Outcome::Unclean);
        }
    }
    // A call feed should log out; the reply does not matter.
    if let Some(mut connection) = connection.filter(|_| args.kind == Some(Kind::Cti)) {
        drop(connection.request("quit"));
    }
    data.close()?;
    Ok(Outcome::Done)
}

fn first_word(command: &str) -> &str {
    command.split_whitespace().next().unwrap_or_default()
}

fn build_login(args: &SendArgs) -> Result<Login, Error> {
    let kind = args.kind.unwrap_or(Kind::Agent);
    let mut login = server::build_login(kind, &args.user)?;
    login.via_portal = args.via.is_some();
    login.pin = args.pin.clone();
    if kind == Kind::Technician && login.pin.is_none() && std::io::stdin().is_terminal() {
        login.pin = Some(StdinReader::default().read_secret("PIN: ")?.to_string());
    }
    Ok(login)
}

fn print_reply(reply: &Reply, data: &mut DataSink<'_>) -> Result<(), Error> {
    let mut text = reply_format::format_rows(reply);
    if !reply.data.is_empty() {
        data.write_data(&reply.data)?;
    }
    text.push_str(&reply_format::format_outcome(&reply.outcome));
    // Raw data must not be mixed with other output on stdout.
    match data {
        DataSink::Stdout => print_message(&text),
        DataSink::CountOnly | DataSink::File(..) => {
            write_lines(&mut std::io::stdout(), &text).map_err(Error::Stdout)?;
        }
    }
    Ok(())
}

impl<'a> DataSink<'a> {
    fn from_args(args: &'a SendArgs) -> Result<DataSink<'a>, Error> {
        match &args.out {
            None if args.raw => Ok(DataSink::Stdout),
            None => Ok(DataSink::CountOnly),
            Some(path) => {
                let failed = |error| Error::Write { path: path.clone(), error };
                Ok(DataSink::File(path, File::create(path).map_err(failed)?))
            }
        }
    }

    fn write_data(&mut self, bytes: &[u8]) -> Result<(), Error> {
        match self {
            DataSink::CountOnly => {
                print_message(&format!(
                    "hushbox: {} bytes of data discarded; --out FILE saves it\n",
                    bytes.len()
                ));
                Ok(())
            }
            DataSink::Stdout => std::io::stdout().write_all(bytes).map_err(Error::Stdout),
            DataSink::File(path, file) => {
                let failed = |error| Error::Write { path: path.to_path_buf(), error };
                file.write_all(bytes).map_err(failed)
            }
        }
    }

    fn close(self) -> Result<(), Error> {
        match self {
            DataSink::File(path, file) => {
                let failed = |error| Error::Write { path: path.to_path_buf(), error };
                file.sync_all().map_err(failed)
            }
            DataSink::CountOnly | DataSink::Stdout => Ok(()),
        }
    }
}
