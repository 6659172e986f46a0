//! `setup` in `hushbox console`: a dialog for a recorder's first settings.
//!
//! Each answer is sent as a command (`config set`, `config listen`, `config pin`), which the
//! recorder checks and applies. An empty answer changes nothing. PINs are not echoed.

use crate::output::escape::{escape_text, print_message};
use crate::output::reply_format;
use crate::terminal::meters::SessionError;
use crate::terminal::stdin;
use crate::terminal::stdin::{StdinEvent, StdinReader};
use client::Connection;
use protocol::client::Reply;
use protocol::reply;
use std::time::Duration;

/// Interval and number of keep-alives: 15 minutes in total.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEP_ALIVES_MAX: u32 = 30;

/// Runs the dialog.
pub fn run(connection: &mut Connection) -> Result<(), SessionError> {
    let mut input = StdinReader::default();
    print_message("Setup. Press Enter to keep a setting, Ctrl-D to end.\n");
    let about = connection.request("status")?;
    let of = |key: &str| {
        let row = about.rows.iter().find(|row| row.get("what") == Some("box"));
        escape_text(row.and_then(|row| row.get(key)).unwrap_or("-"))
    };
    let mut restart = false;
    let questions = [
        (format!("Recorder name [{}]: ", of("name")), "config set box.name"),
        (format!("Time zone [{}]: ", of("time_zone")), "config set box.time_zone"),
    ];
    for (question, verb) in questions {
        restart |= ask_until_accepted(
            connection,
            &mut input,
            (&question, |answer| format_command(verb, &[answer])),
        )?;
    }
    let question = "TLS address for workstations, for example 0.0.0.0:7441: ";
    let listen = |answer: &str| format_command("config listen", &[answer, "tls"]);
    restart |= ask_until_accepted(connection, &mut input, (question, listen))?;
    let question = "Technician to set a new PIN for: ";
    while let Some(name) = ask_question((connection, &mut input), question)? {
        let first = input.read_secret("PIN: ")?;
        let second = input.read_secret("Repeat PIN: ")?;
        if first != second {
            print_message("The two PINs differ.\n");
            continue;
        }
        let reply = connection.request(&format_pin_command(&name, &first, false))?;
        print_outcome(&reply);
        let is_unknown = matches!(&reply.outcome, Err(refusal) if refusal.text.contains("new=yes"));
        let question = format!("Create the technician {name}? (yes/no): ");
        if is_unknown
            && ask_question((connection, &mut input), &question)?.as_deref() == Some("yes")
        {
            print_outcome(&connection.request(&format_pin_command(&name, &first, true))?);
        }
    }
    if restart {
        print_message("Some settings take effect after a restart: use shutdown or reboot.\n");
    }
    Ok(())
}

/// Repeats a question until the recorder accepts the answer or it is empty. Returns whether the
/// change needs a restart.
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
        Ok(_) => print_message("  saved\n"),
        Err(_) => print_message(&format!("  {}", reply_format::format_outcome(&reply.outcome))),
    }
}

/// Reads an answer; `None` if it is empty. Keeps the session open in the meantime.
fn ask_question(
    (connection, input): (&mut Connection, &mut StdinReader),
    question: &str,
) -> Result<Option<String>, SessionError> {
    stdin::print_question(question);
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

/// Formats a command with quoting where needed.
fn format_command(verb: &str, words: &[&str]) -> String {
    let mut bytes = Vec::new();
    let mut line = reply::begin_line(&mut bytes, verb);
    for word in words {
        line = line.word(word);
    }
    line.end();
    String::from_utf8_lossy(&bytes).trim_end().to_owned()
}

fn format_pin_command(name: &str, pin: &str, is_new: bool) -> String {
    let mut bytes = Vec::new();
    let line = reply::begin_line(&mut bytes, "config pin").word(name).pair("pin", pin);
    if is_new {
        line.pair("new", "yes").end()
    } else {
        line.end()
    }
    String::from_utf8_lossy(&bytes).trim_end().to_owned()
}
