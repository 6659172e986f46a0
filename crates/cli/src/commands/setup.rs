//! `setup` in `hushbox console`: the first settings of a box, asked one by one.
//!
//! Each answer is a command of the box (`config set`, `config listen`, `config pin`), which checks
//! and writes it; an empty answer leaves things as they are. PINs are not echoed. Nothing here
//! touches a file.

use crate::output::reply_format;
use crate::terminal::meters::SessionError;
use crate::terminal::stdin;
use crate::terminal::stdin::{StdinEvent, StdinReader};
use client::Connection;
use protocol::client::Reply;
use protocol::reply;
use std::time::Duration;

/// The session is kept open so often, and so long: a quarter of an hour in all.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEP_ALIVES_MAX: u32 = 30;

/// Asks everything.
pub fn run(connection: &mut Connection) -> Result<(), SessionError> {
    let mut input = StdinReader::default();
    eprintln!("Set-up. Enter alone leaves a thing as it is; ^D ends.");
    let about = connection.request("status")?;
    let of = |key: &str| {
        let row = about.rows.iter().find(|row| row.get("what") == Some("box"));
        row.and_then(|row| row.get(key)).unwrap_or("-").to_owned()
    };
    let mut restart = false;
    let questions = [
        (format!("Name of the box [{}]: ", of("name")), "config set box.name"),
        (format!("Time zone of the site [{}]: ", of("time_zone")), "config set box.time_zone"),
    ];
    for (question, verb) in questions {
        restart |= ask_until_accepted(
            connection,
            &mut input,
            (&question, |answer| format_command(verb, &[answer])),
        )?;
    }
    let question = "Address for the workstations, with TLS (as 0.0.0.0:7441): ";
    let listen = |answer: &str| format_command("config listen", &[answer, "tls"]);
    restart |= ask_until_accepted(connection, &mut input, (question, listen))?;
    let question = "Technician who gets a new PIN: ";
    while let Some(name) = ask_question((connection, &mut input), question)? {
        let first = input.read_secret("PIN: ")?;
        let second = input.read_secret("The same again: ")?;
        if first != second {
            eprintln!("The two are not the same.");
            continue;
        }
        let reply = connection.request(&format_pin_command(&name, &first))?;
        print_outcome(&reply);
    }
    if restart {
        eprintln!("Name and addresses count after a restart of the box: shutdown, or reboot.");
    }
    Ok(())
}

/// Asks until the box takes the answer, or there is none; whether it takes a restart.
fn ask_until_accepted(
    connection: &mut Connection,
    input: &mut StdinReader,
    (question, line): (&str, impl Fn(&str) -> String),
) -> Result<bool, SessionError> {
    while let Some(answer) = ask_question((connection, input), question)? {
        let reply = connection.request(&line(&answer))?;
        print_outcome(&reply);
        if let Ok(pairs) = &reply.outcome {
            return Ok(pairs.get("restart") == Some("yes"));
        }
    }
    Ok(false)
}

fn print_outcome(reply: &Reply) {
    match &reply.outcome {
        Ok(_) => eprintln!("  written"),
        Err(_) => eprint!("  {}", reply_format::format_outcome(&reply.outcome)),
    }
}

/// What is typed; `None`: nothing. Whoever thinks about it is not logged out meanwhile.
fn ask_question(
    (connection, input): (&mut Connection, &mut StdinReader),
    question: &str,
) -> Result<Option<String>, SessionError> {
    stdin::write_question(question)?;
    for _ in 0..KEEP_ALIVES_MAX {
        if !input.wait_ready(None, KEEP_ALIVE_INTERVAL)?.stdin {
            connection.request("ping")?;
            continue;
        }
        match input.try_read_line()? {
            None => {}
            Some(StdinEvent::Line(line)) if !line.trim().is_empty() => {
                return Ok(Some(line.trim().to_owned()));
            }
            Some(StdinEvent::Line(_) | StdinEvent::Eof) => break,
        }
    }
    Ok(None)
}

/// A command, quoted where that is needed.
fn format_command(verb: &str, words: &[&str]) -> String {
    let mut bytes = Vec::new();
    let mut line = reply::begin_line(&mut bytes, verb);
    for word in words {
        line = line.word(word);
    }
    line.end();
    String::from_utf8_lossy(&bytes).trim_end().to_owned()
}

fn format_pin_command(name: &str, pin: &str) -> String {
    let mut bytes = Vec::new();
    reply::begin_line(&mut bytes, "config pin").word(name).pair("pin", pin).end();
    String::from_utf8_lossy(&bytes).trim_end().to_owned()
}
