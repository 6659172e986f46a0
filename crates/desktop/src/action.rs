//! What an agent can ask for: the menu, a key, a script or a window all end here.
//!
//! An `Action` is one command without arguments; a `Press` is whatever somebody did. Words are
//! those of the line protocol. Nothing here decides whether the box will do it.

use protocol::{Ability, AgentState, Command};

/// One command of an agent that needs no arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    RecordStart,
    RecordStop,
    ScreenStart,
    ScreenStop,
    BlackoutStart,
    BlackoutStop,
}

impl Action {
    /// Each of them.
    pub const ALL: [Action; 6] = [
        Action::RecordStart,
        Action::RecordStop,
        Action::ScreenStart,
        Action::ScreenStop,
        Action::BlackoutStart,
        Action::BlackoutStop,
    ];

    /// The command as the box reads it.
    #[must_use]
    pub fn line(self) -> &'static str {
        match self {
            Action::RecordStart => "record start",
            Action::RecordStop => "record stop",
            Action::ScreenStart => "screen start",
            Action::ScreenStop => "screen stop",
            Action::BlackoutStart => "blackout start",
            Action::BlackoutStop => "blackout stop",
        }
    }

    /// What the box must list in `can` for this to be offered.
    #[must_use]
    pub fn ability(self) -> Ability {
        match self {
            Action::RecordStart => Ability::RecordStart,
            Action::RecordStop => Ability::RecordStop,
            Action::ScreenStart => Ability::ScreenStart,
            Action::ScreenStop => Ability::ScreenStop,
            Action::BlackoutStart => Ability::BlackoutStart,
            Action::BlackoutStop => Ability::BlackoutStop,
        }
    }
}

/// What somebody did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Press {
    /// Chose this very command.
    Do(Action),
    /// Pressed the key for blackouts.
    ToggleBlackout,
    /// Pressed the key for recording.
    ToggleRecording,
    /// Sent a field's new value.
    Update { field: u8, value: String },
    /// Wants the box to be tried again now.
    Reconnect,
}

impl Press {
    /// The command that a key means in this state. A blackout key ends a blackout only while the
    /// box says that one is on: in doubt it asks for one.
    #[must_use]
    pub fn resolved(self, state: Option<&AgentState>) -> Press {
        match self {
            Press::ToggleBlackout if state.is_some_and(|state| state.blackout) => {
                Press::Do(Action::BlackoutStop)
            }
            Press::ToggleBlackout => Press::Do(Action::BlackoutStart),
            Press::ToggleRecording => {
                let stops = state.is_some_and(|s| s.recording && s.can.has(Ability::RecordStop));
                Press::Do(if stops { Action::RecordStop } else { Action::RecordStart })
            }
            other => other,
        }
    }
}

/// Why a text is no command for this client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PressError {
    #[error("{0}")]
    Line(String),
    #[error(
        "only these can be asked for: record start, record stop, screen start, screen stop, \
         blackout start, blackout stop, update N \"value\", reconnect, toggle blackout, toggle \
         recording"
    )]
    NotOurs,
}

/// Reads what a script asks for with `--command`.
pub fn parse(text: &str) -> Result<Press, PressError> {
    let text = text.trim();
    match text {
        "reconnect" => return Ok(Press::Reconnect),
        "toggle blackout" => return Ok(Press::ToggleBlackout),
        "toggle recording" => return Ok(Press::ToggleRecording),
        _ => {}
    }
    if let Some(action) = Action::ALL.into_iter().find(|action| action.line() == text) {
        return Ok(Press::Do(action));
    }
    match Command::parse(text) {
        Ok(Command::Update { field, value }) => {
            Ok(Press::Update { field, value: value.into_owned() })
        }
        Ok(_) => Err(PressError::NotOurs),
        Err(refusal) if text.starts_with("update ") => Err(PressError::Line(refusal.text)),
        Err(_) => Err(PressError::NotOurs),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::Can;

    #[test]
    fn a_script_asks_in_the_words_of_the_protocol() {
        for action in Action::ALL {
            assert_eq!(parse(action.line()), Ok(Press::Do(action)));
            assert!(Command::parse(action.line()).is_ok(), "{action:?}");
        }
        let update = Press::Update { field: 3, value: "a \"b\"".to_owned() };
        assert_eq!(parse(r#" update 3 "a \"b\"" "#), Ok(update));
        assert_eq!(parse("reconnect"), Ok(Press::Reconnect));
        for foreign in ["", "shutdown", "record start device=1001", "x", "hello agent user=x"] {
            assert_eq!(parse(foreign), Err(PressError::NotOurs), "{foreign}");
        }
        assert!(matches!(parse("update x y"), Err(PressError::Line(_))));
    }

    #[test]
    fn g5_in_doubt_the_blackout_key_asks_for_a_blackout() {
        let start = Press::Do(Action::BlackoutStart);
        assert_eq!(Press::ToggleBlackout.resolved(None), start);
        let mut state = AgentState { can: Can::parse("blackout.stop"), ..AgentState::default() };
        assert_eq!(Press::ToggleBlackout.resolved(Some(&state)), start);
        state.blackout = true;
        let stop = Press::Do(Action::BlackoutStop);
        assert_eq!(Press::ToggleBlackout.resolved(Some(&state)), stop);
    }

    #[test]
    fn the_recording_key_stops_only_what_may_be_stopped() {
        let (start, stop) = (Press::Do(Action::RecordStart), Press::Do(Action::RecordStop));
        let mut state = AgentState { recording: true, ..AgentState::default() };
        assert_eq!(Press::ToggleRecording.resolved(Some(&state)), start);
        state.can = Can::parse("record.stop");
        assert_eq!(Press::ToggleRecording.resolved(Some(&state)), stop);
        assert_eq!(Press::ToggleRecording.resolved(None), start);
    }
}
