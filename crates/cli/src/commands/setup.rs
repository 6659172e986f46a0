//! `setup` in `hushbox console`: the first settings of a box, asked one by one.
//!
//! Each answer is a command of the box (`config set`, `config listen`, `config pin`), which checks
//! and writes it; an empty answer leaves things as they are. PINs are not echoed. Nothing here
//! touches a file.

use crate::output::lines;
use crate::terminal::input;
use crate::terminal::input::{Input, Typed};
use crate::terminal::meters::Trouble;
use client::Connection;
use protocol::client::Reply;
use protocol::reply;
use std::time::Duration;

/// The session is kept open so often, and so long: a quarter of an hour in all.
const THINKS_FOR: Duration = Duration::from_secs(30);
const LOOKS: u32 = 30;

/// Asks everything.
pub fn run(connection: &mut Connection) -> Result<(), Trouble> {
    let mut input = Input::default();
    eprintln!("Set-up. Enter alone leaves a thing as it is; ^D ends.");
    let about = connection.ask("status")?;
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
        restart |=
            until_taken(connection, &mut input, (&question, |answer| said(verb, &[answer])))?;
    }
    let question = "Address for the workstations, with TLS (as 0.0.0.0:7441): ";
    let listen = |answer: &str| said("config listen", &[answer, "tls"]);
    restart |= until_taken(connection, &mut input, (question, listen))?;
    let question = "Technician who gets a new PIN: ";
    while let Some(name) = ask((connection, &mut input), question)? {
        let first = input.secret("PIN: ")?;
        let second = input.secret("The same again: ")?;
        if first != second {
            eprintln!("The two are not the same.");
            continue;
        }
        let reply = connection.ask(&pin_line(&name, &first))?;
        tell(&reply);
    }
    if restart {
        eprintln!("Name and addresses count after a restart of the box: shutdown, or reboot.");
    }
    Ok(())
}

/// Asks until the box takes the answer, or there is none; whether it takes a restart.
fn until_taken(
    connection: &mut Connection,
    input: &mut Input,
    (question, line): (&str, impl Fn(&str) -> String),
) -> Result<bool, Trouble> {
    while let Some(answer) = ask((connection, input), question)? {
        let reply = connection.ask(&line(&answer))?;
        tell(&reply);
        if let Ok(pairs) = &reply.outcome {
            return Ok(pairs.get("restart") == Some("yes"));
        }
    }
    Ok(false)
}

fn tell(reply: &Reply) {
    match &reply.outcome {
        Ok(_) => eprintln!("  written"),
        Err(_) => eprint!("  {}", lines::outcome(&reply.outcome)),
    }
}

/// What is typed; `None`: nothing. Whoever thinks about it is not logged out meanwhile.
fn ask(
    (connection, input): (&mut Connection, &mut Input),
    question: &str,
) -> Result<Option<String>, Trouble> {
    input::ask(question)?;
    for _ in 0..LOOKS {
        if !input.wait(None, THINKS_FOR)?.stdin {
            connection.ask("ping")?;
            continue;
        }
        match input.take()? {
            None => {}
            Some(Typed::Line(line)) if !line.trim().is_empty() => {
                return Ok(Some(line.trim().to_owned()));
            }
            Some(Typed::Line(_) | Typed::End) => break,
        }
    }
    Ok(None)
}

/// A command, quoted where that is needed.
fn said(verb: &str, words: &[&str]) -> String {
    let mut bytes = Vec::new();
    let mut line = reply::line(&mut bytes, verb);
    for word in words {
        line = line.word(word);
    }
    line.end();
    String::from_utf8_lossy(&bytes).trim_end().to_owned()
}

fn pin_line(name: &str, pin: &str) -> String {
    let mut bytes = Vec::new();
    reply::line(&mut bytes, "config pin").word(name).pair("pin", pin).end();
    String::from_utf8_lossy(&bytes).trim_end().to_owned()
}
