//! Messages between the resident process and its windows and scripts, one JSON text a line.
//!
//! The resident process replies to each `Request` with one `Message::Reply` of the same number. A
//! client that watches also gets a `Message::Snapshot` at once and after every change. A snapshot
//! holds everything that a window shows, so a window stores nothing.
//!
//! This module opens no socket: see `shell::instance` and `shell::ipc_peer`.

use crate::agent_request::AgentRequest;
use crate::settings::Settings;
use serde::{Deserialize, Serialize};

/// The most bytes of a line.
pub const LINE_BYTES: u64 = 64 << 10;

/// A request with the number that its reply will have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    pub id: u64,
    pub kind: RequestKind,
}

/// What a window or a script asks the resident process for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RequestKind {
    /// A snapshot now and after every change, for the window of this name.
    Watch { window: String },
    /// One snapshot.
    Status,
    /// What the agent asks of the box.
    Agent(AgentRequest),
    /// Open this window, or bring it to the front.
    Open { window: String },
    /// Save these settings, and whether to start at login.
    Settings { settings: Box<Settings>, autostart: bool },
    /// Quit the resident process.
    Quit,
}

/// What the resident process sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Message {
    Snapshot(Box<Snapshot>),
    Reply {
        id: u64,
        ok: bool,
        text: String,
    },
    /// Bring the window to the front.
    Present,
}

/// Everything that a window can show.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The name of the icon, as `Icon::as_str` writes it.
    pub icon: String,
    pub headline: String,
    /// The rows of *Check status*: headings and texts.
    pub status: Vec<(String, String)>,
    pub connected: bool,
    /// The agent's abilities as the box writes them; empty without a connection.
    pub can: String,
    /// Whether there is a call.
    pub call: bool,
    pub recording: bool,
    /// Whether the screen is recorded.
    pub screen: bool,
    pub blackout: bool,
    /// How long the blackout has been active.
    pub blackout_ms: u64,
    /// Whether the time of the blackout grows.
    pub blackout_counts: bool,
    /// Whether the blackout was on before this call began, and the agent has not confirmed it.
    pub carried: bool,
    /// Why a requested blackout is not active.
    pub unmasked: Option<String>,
    /// What the agent must know of a blackout that came late.
    pub late: Option<String>,
    /// The box's number of the call whose fields may be set now.
    pub update_call: Option<u64>,
    /// The fields that may be set now, with their labels; never their values.
    pub fields: Vec<(u8, String)>,
    /// Each timeline row: its heading, and its active spans in milliseconds ago, from and to.
    pub timeline: Vec<(String, Vec<(u64, u64)>)>,
    pub settings: Option<Settings>,
    pub autostart: bool,
    /// Which global hotkeys work.
    pub hotkeys: String,
    /// Whether windows are dark.
    pub dark: bool,
    /// Whether windows have high contrast.
    pub contrast: bool,
    /// The text size beyond what the toolkit applies by itself, in per cent; 0 means 100.
    pub text_percent: u16,
    /// The rows of *About*: headings and texts.
    pub about: Vec<(String, String)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_is_one_line_and_reads_back() {
        let update = AgentRequest::Update {
            field: 1,
            value: "a\nb".to_owned(),
            call: None,
            call_number: Some(7),
        };
        let request = Request { id: 7, kind: RequestKind::Agent(update) };
        let line = serde_json::to_string(&request).expect("JSON");
        assert!(!line.contains('\n'));
        assert_eq!(serde_json::from_str::<Request>(&line).ok(), Some(request));
        let snapshot = Snapshot { connected: true, ..Snapshot::default() };
        let message = Message::Snapshot(Box::new(snapshot));
        let line = serde_json::to_string(&message).expect("JSON");
        assert_eq!(serde_json::from_str::<Message>(&line).ok(), Some(message));
    }
}
