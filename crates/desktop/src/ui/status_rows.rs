//! The rows of *Check status*: headings and texts (requirement A12).
//!
//! The box decides what an agent may know (B2); a row shows only what the box has sent.

use super::client_state::{ClientState, LinkState, SCREEN_NOTE, format_not_masked};
use super::text::{format_reasons, to_sentence};
use protocol::{Ability, AgentState, Direction, ScreenMode};

/// Builds the rows of *Check status*.
#[must_use]
pub fn build_status_rows(client_state: &ClientState) -> Vec<(&'static str, String)> {
    let (connection, server) = describe_connection(&client_state.link);
    let mut rows = vec![("Connection", connection), ("Server", server)];
    if let Some(reason) = &client_state.unmasked {
        rows.push(("Warning", format_not_masked(reason)));
    }
    if let Some(late) = &client_state.late {
        rows.push(("Warning", late.clone()));
    }
    let Some(state) = &client_state.agent_state else { return rows };
    rows.push(("Call", describe_call(state)));
    rows.push(("Recording", describe_recording(state)));
    rows.push(("Blackout", describe_blackout(state).to_owned()));
    rows.push(("Screen", describe_screen(state)));
    if let Some(note) = state.note.as_ref().filter(|note| !note.starts_with(SCREEN_NOTE)) {
        rows.push(("Note", to_sentence(note)));
    }
    rows.push(("You may", describe_abilities(state)));
    rows
}

/// The texts of the connection and of the server.
fn describe_connection(link: &LinkState) -> (String, String) {
    let connection = match link {
        LinkState::Connecting => "connecting".to_owned(),
        LinkState::Retrying { reason, retry } => {
            format!("not connected: {reason} (retry {retry} of {})", client::RETRIES_MAX)
        }
        LinkState::Standby { reason, probing: true } => {
            format!("standby: {reason}; retries automatically, Reconnect retries now")
        }
        LinkState::Standby { reason, probing: false } => {
            format!("standby: {reason}; choose Reconnect to retry")
        }
        LinkState::Connected(endpoint) => {
            let server = format!("{} at {}", endpoint.name, endpoint.server);
            return (format!("connected as {}", endpoint.agent), server);
        }
    };
    (connection, "none".to_owned())
}

fn describe_call(state: &AgentState) -> String {
    let Some(call) = &state.call else { return "none".to_owned() };
    let hold = if state.held { ", on hold" } else { "" };
    match state.direction {
        Some(Direction::In) => format!("{call}, incoming{hold}"),
        Some(Direction::Out) => format!("{call}, outgoing{hold}"),
        None => format!("{call}{hold}"),
    }
}

fn describe_blackout(state: &AgentState) -> &'static str {
    match (state.blackout, state.masked) {
        (true, _) if state.carried => "on, from the call before",
        (true, _) => "on",
        (false, true) => "off, but another person or program masks this call",
        (false, false) => "off",
    }
}

fn describe_recording(state: &AgentState) -> String {
    if !state.recording {
        return "off".to_owned();
    }
    let id = state.recording_id.as_deref().unwrap_or("-");
    if state.reasons.is_empty() {
        format!("on (recording {id})")
    } else {
        format!("on, requested by {} (recording {id})", format_reasons(&state.reasons))
    }
}

fn describe_screen(state: &AgentState) -> String {
    match state.screen {
        ScreenMode::On => "recording".to_owned(),
        ScreenMode::Off => "not recording".to_owned(),
        ScreenMode::Disabled => {
            let reason = state.note.as_ref().and_then(|note| note.strip_prefix(SCREEN_NOTE));
            reason.map_or("cannot be recorded".to_owned(), |r| format!("cannot be recorded: {r}"))
        }
    }
}

fn describe_abilities(state: &AgentState) -> String {
    if state.can.is_empty() {
        return "nothing at the moment".to_owned();
    }
    let texts =
        Ability::all().filter(|ability| state.can.contains(*ability)).map(
            |ability| match ability {
                Ability::RecordStart => "start recording".to_owned(),
                Ability::RecordStop => "stop recording".to_owned(),
                Ability::BlackoutStart => "start a blackout".to_owned(),
                Ability::BlackoutStop => "stop a blackout".to_owned(),
                Ability::ScreenStart => "start screen recording".to_owned(),
                Ability::ScreenStop => "stop screen recording".to_owned(),
                Ability::Update(field) => format!("update field {field}"),
            },
        );
    texts.collect::<Vec<_>>().join(", ")
}
