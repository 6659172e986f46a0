//! `hushbox agent`: an agent's client for the terminal.
//!
//! Typed lines are sent as commands. The prompt shows the state, and each change is printed as one
//! line. `client::RetryPolicy` schedules reconnection. The recorder decides what the agent may do
//! and sends it in `can`.

use crate::Outcome;
use crate::cli::AgentArgs;
use crate::clock::now;
use crate::error::Error;
use crate::output::escape::write_lines;
use crate::output::reply_format;
use crate::server::{self, LoginOutcome, ServerList};
use crate::terminal::stdin::{StdinEvent, StdinReader};
use client::{
    Connection, ConnectionError, Login, Notification, RETRIES_MAX, RetryAction, RetryMode,
    RetryPolicy,
};
use protocol::{AgentState, Code, Direction, Kind, ScreenMode};
use std::fmt::Write as _;
use std::io::Write as _;
use std::os::fd::AsFd;
use std::time::Duration;

/// Keep-alive interval; the recorder closes a session after 90 s of silence.
const PING_EVERY: Duration = Duration::from_secs(30);

/// The reason why a session ended.
enum SessionEnd {
    /// The agent quit.
    Quit,
    /// The connection was lost.
    Disconnected(ConnectionError),
    /// The recorder rejected the login.
    Refused,
}

pub fn run(args: &AgentArgs) -> Result<Outcome, Error> {
    let servers = ServerList::from_args(&args.server)?;
    let login = server::build_login(Kind::Agent, &args.user)?;
    let mode = if args.strict { RetryMode::Strict } else { RetryMode::SelfHealing };
    let mut retry = RetryPolicy::new(mode);
    let mut input = StdinReader::default();
    loop {
        match run_session(&servers, &login, &mut retry, &mut input)? {
            SessionEnd::Quit => return Ok(Outcome::Done),
            SessionEnd::Refused => return Ok(Outcome::Unclean),
            SessionEnd::Disconnected(error) => print_text(&format!("not connected: {error}\n"))?,
        }
        if !wait_for_retry(&mut retry, &mut input)? {
            return Ok(Outcome::Done);
        }
    }
}

/// Runs one session, from connecting to its end.
fn run_session(
    servers: &ServerList,
    login: &Login,
    retry: &mut RetryPolicy,
    input: &mut StdinReader,
) -> Result<SessionEnd, Error> {
    match servers.log_in(login) {
        Ok(LoginOutcome::Accepted(connection, pairs)) => {
            retry.record_success();
            let name = pairs.get("agent").or(login.user.as_deref()).unwrap_or("?").to_owned();
            let (place, greeting) = (connection.address(), connection.greeting());
            print_text(&format!("connected to {} at {place} as {name}\n", greeting.name))?;
            for (key, label) in pairs.0.iter().filter(|(key, _)| key.starts_with("field.")) {
                print_text(&format!("  update {} \"…\" sets {label}\n", &key["field.".len()..]))?;
            }
            AgentSession { connection, state: None }.run_until_end(input)
        }
        Ok(LoginOutcome::Refused(reply)) => {
            print_text(&reply_format::format_outcome(&reply.outcome))?;
            let code = reply.outcome.err().and_then(|failure| failure.code());
            // Temporary conditions are retried.
            let temporary = [Code::Busy, Code::TooMany, Code::ShuttingDown, Code::Storage];
            let temporary = code.is_some_and(|code| temporary.contains(&code));
            Ok(if temporary {
                SessionEnd::Disconnected(ConnectionError::Closed)
            } else {
                SessionEnd::Refused
            })
        }
        Err(Error::Connection { error, .. }) => Ok(SessionEnd::Disconnected(error)),
        Err(Error::NoBox(error)) => {
            let io = std::io::Error::other(error.to_string());
            Ok(SessionEnd::Disconnected(ConnectionError::Io(io)))
        }
        Err(other) => Err(other),
    }
}

/// Waits until the next attempt is due. Returns false if there is to be none.
fn wait_for_retry(retry: &mut RetryPolicy, input: &mut StdinReader) -> Result<bool, Error> {
    let mut bits = [0; 4];
    // Without random bits every pause is the shortest, which does no harm.
    let _ = getrandom::fill(&mut bits);
    let pause = match retry.record_failure(u32::from_le_bytes(bits)) {
        RetryAction::Retry { retry, in_ms } => {
            print_text(&format!("retry {retry} of {RETRIES_MAX} in {} s\n", in_ms / 1000))?;
            Some(Duration::from_millis(in_ms))
        }
        RetryAction::Probe { in_ms } => {
            print_text("standby; type reconnect to try now\n")?;
            Some(Duration::from_millis(in_ms))
        }
        RetryAction::Standby => {
            print_text("standby; type reconnect to try again\n")?;
            None
        }
    };
    let deadline = pause.map(|pause| now() + pause);
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(now()));
        if left.is_some_and(|left| left.is_zero()) {
            return Ok(true);
        }
        if !input.wait_ready(None, left.unwrap_or(Duration::from_secs(60)))?.stdin {
            continue;
        }
        match input.try_read_line()? {
            Some(StdinEvent::Eof) => return Ok(false),
            Some(StdinEvent::Line(line)) => match line.trim() {
                "reconnect" => {
                    retry.restart();
                    return Ok(true);
                }
                "quit" | "exit" => return Ok(false),
                "" => {}
                _ => print_text("not connected; only reconnect and quit are available\n")?,
            },
            None => {}
        }
    }
}

/// A session that is logged in.
struct AgentSession {
    connection: Box<Connection>,
    state: Option<AgentState>,
}

impl AgentSession {
    fn run_until_end(mut self, input: &mut StdinReader) -> Result<SessionEnd, Error> {
        let mut pinged = now();
        loop {
            if let Err(error) = self.print_state_changes() {
                return Ok(SessionEnd::Disconnected(error));
            }
            print_text(&prompt_text(self.state.as_ref()))?;
            let left = PING_EVERY.saturating_sub(now().duration_since(pinged));
            let ready = input.wait_ready(Some(self.connection.as_fd()), left)?;
            if ready.stdin {
                match input.try_read_line()? {
                    Some(StdinEvent::Eof) => return Ok(SessionEnd::Quit),
                    Some(StdinEvent::Line(line)) => match self.send_line(line.trim())? {
                        None => {}
                        Some(end) => return Ok(end),
                    },
                    None => {}
                }
            } else {
                print_return()?;
            }
            if now().duration_since(pinged) >= PING_EVERY {
                pinged = now();
                if let Err(error) = self.connection.request("ping") {
                    return Ok(SessionEnd::Disconnected(error));
                }
            }
        }
    }

    /// Sends a typed line and prints the reply.
    fn send_line(&mut self, line: &str) -> Result<Option<SessionEnd>, Error> {
        if line.is_empty() {
            return Ok(None);
        }
        match self.connection.request(line) {
            Ok(reply) => {
                print_text(&reply_format::format_rows(&reply))?;
                print_text(&reply_format::format_outcome(&reply.outcome))?;
                let quit = matches!(line, "quit") && reply.outcome.is_ok();
                Ok(quit.then_some(SessionEnd::Quit))
            }
            Err(error @ ConnectionError::Send(_)) => {
                print_text(&format!("{error}\n")).map(|()| None)
            }
            Err(error) => Ok(Some(SessionEnd::Disconnected(error))),
        }
    }

    /// Prints all pending state changes.
    fn print_state_changes(&mut self) -> Result<(), ConnectionError> {
        while let Some(news) = self.connection.next_notification(Duration::ZERO)? {
            let Notification::State(state) = news else { continue };
            let text = describe_state(&state);
            let unchanged = self.state.as_ref().is_some_and(|old| describe_state(old) == text);
            self.state = Some(state);
            if !unchanged {
                print_return()
                    .and_then(|()| print_text(&format!("{text}\n")))
                    .map_err(|_| ConnectionError::Closed)?;
            }
        }
        Ok(())
    }
}

fn print_text(text: &str) -> Result<(), Error> {
    write_lines(&mut std::io::stdout(), text).map_err(Error::Stdout)
}

/// Goes back to the start of the line, over the prompt.
fn print_return() -> Result<(), Error> {
    std::io::stdout().write_all(b"\r").map_err(Error::Stdout)
}

/// Formats a duration as `1:05`.
fn format_minutes(ms: u64) -> String {
    format!("{}:{:02}", ms / 60_000, ms / 1000 % 60)
}

fn prompt_text(state: Option<&AgentState>) -> String {
    let Some(state) = state else { return "> ".to_owned() };
    let mut text = match (&state.call, state.recording) {
        (None, false) => "idle".to_owned(),
        (Some(_), false) => "call".to_owned(),
        (_, true) => "recording".to_owned(),
    };
    if state.blackout {
        let _ = write!(text, ", blackout {}", format_minutes(state.blackout_ms));
    }
    text + "> "
}

/// Describes the state in one line.
fn describe_state(state: &AgentState) -> String {
    let mut parts = vec![match (&state.call, state.direction) {
        (None, _) => "no call".to_owned(),
        (Some(call), Some(Direction::In)) => format!("call {call} (incoming)"),
        (Some(call), Some(Direction::Out)) => format!("call {call} (outgoing)"),
        (Some(call), None) => format!("call {call}"),
    }];
    parts.push(match &state.recording_id {
        Some(id) if state.recording && !state.reasons.is_empty() => {
            format!("recording {id} for {}", state.reasons)
        }
        Some(id) if state.recording => format!("recording {id}"),
        _ if state.recording => "recording".to_owned(),
        _ => "not recording".to_owned(),
    });
    if state.blackout {
        parts.push(format!("blackout for {}", format_minutes(state.blackout_ms)));
    }
    match state.screen {
        ScreenMode::On => parts.push("screen recorded".to_owned()),
        ScreenMode::Off | ScreenMode::Disabled => {}
    }
    if let Some(note) = &state.note {
        parts.push(note.clone());
    }
    let can = if state.can.is_empty() { "nothing now".to_owned() } else { state.can.to_string() };
    parts.push(format!("you may: {can}"));
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::{Ability, AbilitySet};

    #[test]
    fn a12_state_is_one_readable_line() {
        let mut state = AgentState::default();
        assert_eq!(describe_state(&state), "no call; not recording; you may: nothing now");
        assert_eq!(prompt_text(Some(&state)), "idle> ");
        state.call = Some("c1".to_owned());
        state.direction = Some(Direction::In);
        state.recording = true;
        state.recording_id = Some("abc".to_owned());
        state.reasons = "agent,schedule".to_owned();
        state.blackout = true;
        state.blackout_ms = 65_999;
        state.can = AbilitySet::from_iter([Ability::BlackoutStop]);
        let wanted = "call c1 (incoming); recording abc for agent,schedule; \
            blackout for 1:05; you may: blackout.stop";
        assert_eq!(describe_state(&state), wanted);
        assert_eq!(prompt_text(Some(&state)), "recording, blackout 1:05> ");
        assert_eq!(prompt_text(None), "> ");
    }
}
