//! What the bar's two buttons say and do.
//!
//! The box's `can` enables (requirement A13). Blackout is never greyed while it is off: asking in
//! vain is shouted, a dead button is silent. A screen that is recorded by itself is said as loudly
//! as a call, and so is that nothing is known without a connection. Nothing here draws.

use crate::action::Action;
use crate::ipc::Snapshot;

/// How a button stands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Plain,
    Recording,
    Blackout,
    Alarm,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Button {
    /// Two lines: how it is, and what a press does.
    pub text: String,
    pub does: Action,
    pub enabled: bool,
    pub tone: Tone,
}

fn can(snapshot: &Snapshot, action: Action) -> bool {
    let word = action.ability().to_string();
    snapshot.can.split(',').any(|can| can == word)
}

/// The button for recording.
#[must_use]
pub fn recording(snapshot: &Snapshot) -> Button {
    let has = |action| can(snapshot, action);
    let (start, stop) = (has(Action::RecordStart), has(Action::RecordStop));
    let (text, does, enabled, tone) = if !snapshot.connected {
        ("Not connected\nrecording not known", Action::RecordStart, false, Tone::Plain)
    } else if snapshot.recording && stop {
        ("RECORDING\npress to stop", Action::RecordStop, true, Tone::Recording)
    } else if snapshot.recording {
        ("RECORDING\nby others", Action::RecordStart, start, Tone::Recording)
    } else if snapshot.screen && start {
        ("SCREEN RECORDED\npress to record the call", Action::RecordStart, true, Tone::Recording)
    } else if snapshot.screen {
        let stop = has(Action::ScreenStop);
        let text = if stop { "SCREEN RECORDED\npress to stop" } else { "SCREEN RECORDED\n" };
        (text, Action::ScreenStop, stop, Tone::Recording)
    } else if start {
        ("Not recording\npress to start", Action::RecordStart, true, Tone::Plain)
    } else {
        let why = if snapshot.call { "Not recording\nnot possible now" } else { "No call\n" };
        (why, Action::RecordStart, false, Tone::Plain)
    };
    Button { text: text.trim_end().to_owned(), does, enabled, tone }
}

/// The button for blackouts. `on_ms`: how long one has been on.
#[must_use]
pub fn blackout(snapshot: &Snapshot, on_ms: u64) -> Button {
    let (start, stop) = (Action::BlackoutStart, Action::BlackoutStop);
    let button = |text: &str, does, enabled, tone| {
        let text = text.to_owned();
        Button { text, does, enabled, tone }
    };
    if snapshot.unmasked.is_some() {
        return button("! NOT masked\nstop the customer", start, true, Tone::Alarm);
    }
    if snapshot.blackout {
        let text = format!("BLACKOUT {}\npress to end", minutes(on_ms));
        return button(&text, stop, can(snapshot, stop), Tone::Blackout);
    }
    let text = match (snapshot.connected, snapshot.recording, snapshot.call) {
        (false, ..) => "Not connected\nblackout not known",
        (_, true, _) => "Being recorded\npress for blackout",
        (.., true) => "No blackout\npress for blackout",
        _ => "No blackout\nno call",
    };
    button(text, start, true, Tone::Plain)
}

/// `1:05`
#[must_use]
pub fn minutes(ms: u64) -> String {
    format!("{}:{:02}", ms / 60_000, ms / 1000 % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connected(can: &str) -> Snapshot {
        Snapshot { connected: true, can: can.to_owned(), ..Snapshot::default() }
    }

    #[test]
    fn a2_a_screen_by_itself_is_said_and_can_be_stopped() {
        let screen = Snapshot { screen: true, ..connected("screen.start,screen.stop") };
        let button = recording(&screen);
        assert!(button.text.starts_with("SCREEN RECORDED") && button.enabled, "{button:?}");
        assert_eq!((button.does, button.tone), (Action::ScreenStop, Tone::Recording));
        let call = Snapshot { call: true, screen: true, ..connected("record.start,screen.stop") };
        assert_eq!(recording(&call).does, Action::RecordStart, "the call comes first");
        let both = Snapshot { recording: true, screen: true, ..connected("record.stop") };
        assert_eq!(recording(&both).text, "RECORDING\npress to stop");
    }

    #[test]
    fn a13_only_can_enables_a_start_and_a_stop() {
        let call = Snapshot { call: true, ..connected("record.start") };
        assert!(recording(&call).enabled);
        assert!(!recording(&Snapshot { can: String::new(), ..call.clone() }).enabled);
        let recorded = Snapshot { recording: true, ..connected("record.start") };
        let button = recording(&recorded);
        assert_eq!((button.text.as_str(), button.enabled), ("RECORDING\nby others", true));
        let dark = Snapshot { blackout: true, ..connected("") };
        assert!(!blackout(&dark, 65_000).enabled);
        assert_eq!(blackout(&dark, 65_000).text, "BLACKOUT 1:05\npress to end");
    }

    #[test]
    fn a10_without_a_connection_nothing_is_claimed_and_a_blackout_can_be_asked_for() {
        let button = recording(&Snapshot::default());
        assert!(!button.enabled && button.text.starts_with("Not connected"), "{button:?}");
        let button = blackout(&Snapshot::default(), 0);
        assert!(button.enabled && button.text.starts_with("Not connected"), "{button:?}");
        let unmasked = Some("the box cannot be reached".to_owned());
        let shouted = blackout(&Snapshot { unmasked, ..Snapshot::default() }, 0);
        assert_eq!((shouted.does, shouted.tone), (Action::BlackoutStart, Tone::Alarm));
        assert!(shouted.enabled && shouted.text.contains("NOT masked"));
    }
}
