//! What the client knows: its connection, the agent's state, and whether a blackout is missing.
//!
//! `core` makes a `ClientState`; the tray, *Check status* and the timeline are functions of it. It
//! holds no value of a field of the call record (requirement F2).

use super::text::to_sentence;
use protocol::{AgentState, ScreenMode};

/// The prefix of a note that says why the screen cannot be recorded.
pub const SCREEN_NOTE: &str = "screen: ";

/// The box that the client is connected to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// The name of the box.
    pub name: String,
    /// The address of the box.
    pub server: String,
    /// The agent's name, as the box knows it.
    pub agent: String,
}

/// The state of the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// An attempt is running.
    Connecting,
    /// The box accepted the agent's login.
    Connected(Endpoint),
    /// The last attempt failed, or the connection was lost; a retry is scheduled.
    Retrying {
        reason: String,
        /// The number of the next retry, of `client::RETRIES_MAX`.
        retry: u32,
    },
    /// All retries failed. `probing`: the client still tries, at growing intervals.
    Standby { reason: String, probing: bool },
}

/// Everything that the agent's view depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientState {
    pub link: LinkState,
    /// The newest state from the box; `None` without a connection.
    pub agent_state: Option<AgentState>,
    /// Why a requested blackout is not active.
    pub unmasked: Option<String>,
    /// What the agent must know of a blackout that came late.
    pub late: Option<String>,
    /// Whether the box answered, and refused the login.
    pub refused: bool,
    /// Whether the button bar is open.
    pub bar_open: bool,
}

impl ClientState {
    /// The most important fact, in a few words.
    #[must_use]
    pub fn headline(&self) -> String {
        if let Some(reason) = &self.unmasked {
            return format_not_masked(reason);
        }
        if let Some(late) = &self.late {
            return late.clone();
        }
        match (&self.link, &self.agent_state) {
            (LinkState::Connecting, _) => "connecting to the recorder".to_owned(),
            (LinkState::Retrying { .. } | LinkState::Standby { .. }, _) if self.refused => {
                "refused by the recorder".to_owned()
            }
            (LinkState::Retrying { retry, .. }, _) => {
                format!("not connected, retry {retry} of {}", client::RETRIES_MAX)
            }
            (LinkState::Standby { .. }, _) => "not connected (standby)".to_owned(),
            (LinkState::Connected(_), Some(state)) => describe_activity(state).to_owned(),
            (LinkState::Connected(endpoint), None) => format!("connected to {}", endpoint.name),
        }
    }
}

/// The warning that the customer's words are being stored.
#[must_use]
pub fn format_not_masked(reason: &str) -> String {
    format!("NOT MASKED. {} Ask the customer to stop speaking.", to_sentence(reason))
}

fn describe_activity(state: &AgentState) -> &'static str {
    let screen = state.screen == ScreenMode::On;
    match (state.blackout, state.recording, state.call.is_some()) {
        (true, ..) if state.carried => "still blacked out from the call before",
        (false, ..) if state.masked => "masked by another person or program",
        (_, true, _) if state.held && !state.blackout => "recording, call on hold",
        (true, ..) => "blackout, speech is not stored",
        (_, true, _) => "recording",
        (..) if screen => "recording the screen",
        (.., true) => "in a call, not recording",
        _ => "ready, no call",
    }
}
