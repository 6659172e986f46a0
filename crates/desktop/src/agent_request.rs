//! What an agent asks for, whether by the tray's menu, a key, a window or a script.
//!
//! An `AgentRequest` is the only type of such a request: every source makes one, and `core` takes
//! it. An `AgentCommand` is a command of the line protocol without arguments. The texts are those
//! of the line protocol. The box decides whether a request is permitted.

use protocol::{Ability, AgentState, Command, reply};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// A command of the line protocol without arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AgentCommand {
    RecordStart,
    RecordStop,
    ScreenStart,
    ScreenStop,
    BlackoutStart,
    BlackoutStop,
}

impl AgentCommand {
    /// Every command.
    pub const ALL: [AgentCommand; 6] = [
        AgentCommand::RecordStart,
        AgentCommand::RecordStop,
        AgentCommand::ScreenStart,
        AgentCommand::ScreenStop,
        AgentCommand::BlackoutStart,
        AgentCommand::BlackoutStop,
    ];

    /// The line that the box reads.
    #[must_use]
    pub fn as_line(self) -> &'static str {
        match self {
            AgentCommand::RecordStart => "record start",
            AgentCommand::RecordStop => "record stop",
            AgentCommand::ScreenStart => "screen start",
            AgentCommand::ScreenStop => "screen stop",
            AgentCommand::BlackoutStart => "blackout start",
            AgentCommand::BlackoutStop => "blackout stop",
        }
    }

    /// The line that the box reads for a press in this call. A recording names the call that the
    /// agent sees, so that the box refuses a press that comes after it.
    #[must_use]
    pub fn to_line(self, call: Option<&str>) -> String {
        let names_call = matches!(self, AgentCommand::RecordStart | AgentCommand::RecordStop);
        let Some(call) = call.filter(|_| names_call) else { return self.as_line().to_owned() };
        let mut bytes = Vec::new();
        reply::begin_line(&mut bytes, self.as_line()).pair("call", call).end();
        bytes.pop();
        String::from_utf8(bytes).unwrap_or_else(|_| self.as_line().to_owned())
    }

    /// The ability that the box must list in `can` to permit this command.
    #[must_use]
    pub fn required_ability(self) -> Ability {
        match self {
            AgentCommand::RecordStart => Ability::RecordStart,
            AgentCommand::RecordStop => Ability::RecordStop,
            AgentCommand::ScreenStart => Ability::ScreenStart,
            AgentCommand::ScreenStop => Ability::ScreenStop,
            AgentCommand::BlackoutStart => Ability::BlackoutStart,
            AgentCommand::BlackoutStop => Ability::BlackoutStop,
        }
    }
}

/// What an agent asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AgentRequest {
    Command(AgentCommand),
    /// The blackout key: starts a blackout, or stops the active one.
    ToggleBlackout,
    /// The recording key: starts a recording, or stops the running one.
    ToggleRecording,
    /// Set a field of the call record.
    Update {
        field: u8,
        value: String,
        /// The id of the call that the value belongs to.
        #[serde(default)]
        call: Option<String>,
        /// The box's number of that call.
        #[serde(default)]
        call_number: Option<u64>,
    },
    /// Connect to the box now.
    Reconnect,
    /// The agent has seen that a blackout came late.
    Acknowledge,
}

impl AgentRequest {
    /// Reads the argument of `--command`.
    pub fn parse(text: &str) -> Result<AgentRequest, AgentRequestError> {
        let text = text.trim();
        match text {
            "reconnect" => return Ok(AgentRequest::Reconnect),
            "acknowledge" => return Ok(AgentRequest::Acknowledge),
            "toggle blackout" => return Ok(AgentRequest::ToggleBlackout),
            "toggle recording" => return Ok(AgentRequest::ToggleRecording),
            _ => {}
        }
        if let Some(command) = AgentCommand::ALL.into_iter().find(|c| c.as_line() == text) {
            return Ok(AgentRequest::Command(command));
        }
        match Command::parse(text) {
            Ok(Command::Update { field, value, call, call_number }) => {
                let (value, call) = (value.into_owned(), call.map(Cow::into_owned));
                Ok(AgentRequest::Update { field, value, call, call_number })
            }
            Err(refusal) if text.starts_with("update ") => {
                Err(AgentRequestError::InvalidUpdate(refusal.text))
            }
            Ok(_) | Err(_) => Err(AgentRequestError::NotAllowed),
        }
    }

    /// Replaces a toggle by the command that it means in this state. The blackout key stops a
    /// blackout only while the box reports one: in doubt it starts one.
    #[must_use]
    pub fn resolve_toggle(self, state: Option<&AgentState>) -> AgentRequest {
        let command = match self {
            AgentRequest::ToggleBlackout if state.is_some_and(|state| state.blackout) => {
                AgentCommand::BlackoutStop
            }
            AgentRequest::ToggleBlackout => AgentCommand::BlackoutStart,
            AgentRequest::ToggleRecording
                if state.is_some_and(|s| s.recording && s.can.contains(Ability::RecordStop)) =>
            {
                AgentCommand::RecordStop
            }
            AgentRequest::ToggleRecording => AgentCommand::RecordStart,
            other => return other,
        };
        AgentRequest::Command(command)
    }

    /// The request without any field's value, for the log.
    #[must_use]
    pub fn name_without_value(&self) -> String {
        match self {
            AgentRequest::Command(command) => command.as_line().to_owned(),
            AgentRequest::ToggleBlackout => "toggle blackout".to_owned(),
            AgentRequest::ToggleRecording => "toggle recording".to_owned(),
            AgentRequest::Update { field, .. } => format!("update {field}"),
            AgentRequest::Reconnect => "reconnect".to_owned(),
            AgentRequest::Acknowledge => "acknowledge".to_owned(),
        }
    }
}

/// Why a text is not a request of an agent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AgentRequestError {
    #[error("{0}")]
    InvalidUpdate(String),
    #[error(
        "not a command for this client; use one of: record start, record stop, screen start, \
         screen stop, blackout start, blackout stop, update N \"VALUE\", toggle blackout, toggle \
         recording, reconnect, acknowledge"
    )]
    NotAllowed,
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::AbilitySet;

    #[test]
    fn a_script_asks_in_the_words_of_the_protocol() {
        for command in AgentCommand::ALL {
            let parsed = AgentRequest::parse(command.as_line());
            assert_eq!(parsed, Ok(AgentRequest::Command(command)));
            assert!(Command::parse(command.as_line()).is_ok(), "{command:?}");
        }
        let update = |call_number| AgentRequest::Update {
            field: 3,
            value: "a \"b\"".to_owned(),
            call: None,
            call_number,
        };
        assert_eq!(AgentRequest::parse(r#" update 3 "a \"b\"" "#), Ok(update(None)));
        let numbered = AgentRequest::parse(r#"update 3 "a \"b\"" call_number=17"#);
        assert_eq!(numbered, Ok(update(Some(17))));
        assert_eq!(AgentRequest::parse("reconnect"), Ok(AgentRequest::Reconnect));
        for text in ["", "shutdown", "record start device=1001", "x", "hello agent user=x"] {
            assert_eq!(AgentRequest::parse(text), Err(AgentRequestError::NotAllowed), "{text}");
        }
        let invalid = AgentRequest::parse("update x y");
        assert!(matches!(invalid, Err(AgentRequestError::InvalidUpdate(_))));
    }

    #[test]
    fn g5_in_doubt_the_blackout_key_asks_for_a_blackout() {
        let start = AgentRequest::Command(AgentCommand::BlackoutStart);
        let toggle = AgentRequest::ToggleBlackout;
        assert_eq!(toggle.clone().resolve_toggle(None), start);
        let mut state =
            AgentState { can: AbilitySet::parse("blackout.stop"), ..AgentState::default() };
        assert_eq!(toggle.clone().resolve_toggle(Some(&state)), start);
        state.blackout = true;
        let stop = AgentRequest::Command(AgentCommand::BlackoutStop);
        assert_eq!(toggle.resolve_toggle(Some(&state)), stop);
    }

    #[test]
    fn the_recording_key_stops_only_what_may_be_stopped() {
        let start = AgentRequest::Command(AgentCommand::RecordStart);
        let stop = AgentRequest::Command(AgentCommand::RecordStop);
        let toggle = AgentRequest::ToggleRecording;
        let mut state = AgentState { recording: true, ..AgentState::default() };
        assert_eq!(toggle.clone().resolve_toggle(Some(&state)), start);
        state.can = AbilitySet::parse("record.stop");
        assert_eq!(toggle.clone().resolve_toggle(Some(&state)), stop);
        assert_eq!(toggle.resolve_toggle(None), start);
    }
}
