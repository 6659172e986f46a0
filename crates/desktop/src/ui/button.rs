//! The texts and actions of the two buttons of the button bar.
//!
//! The box's `can` enables the buttons (requirement A13). The blackout button stays enabled while
//! no blackout is active: a request that fails shows a warning, a disabled button shows nothing.
//! A screen recording without a call is shown as clearly as a call recording. Without a connection
//! the buttons say that the state is unknown.

use crate::agent_request::AgentCommand;
use crate::ipc::Snapshot;
use crate::ui::text::format_minutes;

/// The colours of a button.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Plain,
    Recording,
    Blackout,
    Alarm,
}

/// A button of the bar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BarButton {
    /// Two lines: the state, and what a press does.
    pub text: String,
    pub command: AgentCommand,
    pub enabled: bool,
    pub tone: Tone,
}

fn is_permitted(snapshot: &Snapshot, command: AgentCommand) -> bool {
    let ability = command.required_ability().to_string();
    snapshot.can.split(',').any(|can| can == ability)
}

/// Builds the recording button.
#[must_use]
pub fn recording_button(snapshot: &Snapshot) -> BarButton {
    let can = |command| is_permitted(snapshot, command);
    let (start, stop) = (AgentCommand::RecordStart, AgentCommand::RecordStop);
    let (text, command, enabled, tone) = if !snapshot.connected {
        ("Not connected\nrecording unknown", start, false, Tone::Plain)
    } else if snapshot.recording && can(stop) {
        ("RECORDING\npress to stop", stop, true, Tone::Recording)
    } else if snapshot.recording {
        ("RECORDING\nstarted by others", start, can(start), Tone::Recording)
    } else if snapshot.screen && can(start) {
        ("SCREEN RECORDING\npress to record the call", start, true, Tone::Recording)
    } else if snapshot.screen {
        let enabled = can(AgentCommand::ScreenStop);
        let text = if enabled { "SCREEN RECORDING\npress to stop" } else { "SCREEN RECORDING" };
        (text, AgentCommand::ScreenStop, enabled, Tone::Recording)
    } else if can(start) {
        ("Not recording\npress to start", start, true, Tone::Plain)
    } else {
        let text = if snapshot.call { "Not recording\nnot permitted now" } else { "No call" };
        (text, start, false, Tone::Plain)
    };
    BarButton { text: text.to_owned(), command, enabled, tone }
}

/// Builds the blackout button. `active_ms`: how long the blackout has been active.
#[must_use]
pub fn blackout_button(snapshot: &Snapshot, active_ms: u64) -> BarButton {
    let (start, stop) = (AgentCommand::BlackoutStart, AgentCommand::BlackoutStop);
    let button = |text: &str, command, enabled, tone| {
        let text = text.to_owned();
        BarButton { text, command, enabled, tone }
    };
    if snapshot.unmasked.is_some() {
        return button("NOT MASKED\nstop the customer", start, true, Tone::Alarm);
    }
    if snapshot.carried {
        let text = "STILL BLACKED OUT\nfrom the call before: press to stop";
        return button(text, stop, is_permitted(snapshot, stop), Tone::Alarm);
    }
    if snapshot.blackout {
        let text = format!("BLACKOUT {}\npress to stop", format_minutes(active_ms));
        return button(&text, stop, is_permitted(snapshot, stop), Tone::Blackout);
    }
    let text = match (snapshot.connected, snapshot.recording, snapshot.call) {
        (false, ..) => "Not connected\nblackout unknown",
        (_, true, _) => "Recording\npress for blackout",
        (.., true) => "No blackout\npress for blackout",
        _ => "No blackout\nno call",
    };
    button(text, start, true, Tone::Plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connected(can: &str) -> Snapshot {
        Snapshot { connected: true, can: can.to_owned(), ..Snapshot::default() }
    }

    #[test]
    fn a2_screen_recording_without_a_call_can_be_stopped() {
        let screen = Snapshot { screen: true, ..connected("screen.start,screen.stop") };
        let button = recording_button(&screen);
        assert!(button.text.starts_with("SCREEN RECORDING") && button.enabled, "{button:?}");
        assert_eq!((button.command, button.tone), (AgentCommand::ScreenStop, Tone::Recording));
        let call = Snapshot { call: true, screen: true, ..connected("record.start,screen.stop") };
        assert_eq!(
            recording_button(&call).command,
            AgentCommand::RecordStart,
            "the call comes first"
        );
        let both = Snapshot { recording: true, screen: true, ..connected("record.stop") };
        assert_eq!(recording_button(&both).text, "RECORDING\npress to stop");
    }

    #[test]
    fn a13_only_can_enables_a_start_and_a_stop() {
        let call = Snapshot { call: true, ..connected("record.start") };
        assert!(recording_button(&call).enabled);
        assert!(!recording_button(&Snapshot { can: String::new(), ..call.clone() }).enabled);
        let recorded = Snapshot { recording: true, ..connected("record.start") };
        let button = recording_button(&recorded);
        assert_eq!((button.text.as_str(), button.enabled), ("RECORDING\nstarted by others", true));
        let dark = Snapshot { blackout: true, ..connected("") };
        assert!(!blackout_button(&dark, 65_000).enabled);
        assert_eq!(blackout_button(&dark, 65_000).text, "BLACKOUT 1:05\npress to stop");
    }

    #[test]
    fn a10_offline_buttons_say_unknown_and_offer_a_blackout() {
        let button = recording_button(&Snapshot::default());
        assert!(!button.enabled && button.text.starts_with("Not connected"), "{button:?}");
        let button = blackout_button(&Snapshot::default(), 0);
        assert!(button.enabled && button.text.starts_with("Not connected"), "{button:?}");
        let unmasked = Some("recorder unreachable".to_owned());
        let warning = blackout_button(&Snapshot { unmasked, ..Snapshot::default() }, 0);
        assert_eq!((warning.command, warning.tone), (AgentCommand::BlackoutStart, Tone::Alarm));
        assert!(warning.enabled && warning.text.contains("NOT MASKED"));
    }
}
