//! The texts of the notifications, and of the replies to scripts.
//!
//! Each function builds one text from its arguments. No text holds a value of a field of the call
//! record. Agents read these texts, so they hold no sample numbers and no words of the protocol.

use crate::ui::client_state::{Endpoint, SCREEN_NOTE};
use crate::ui::field_form::check_value;
use crate::ui::notification::{Notification, NotificationAction, Topic, Urgency};
use crate::ui::text::{format_minutes, format_reasons, to_sentence};
use protocol::client::{Failure, Pairs};
use protocol::{Ability, AgentState, ScreenMode, reply};

pub(super) fn connecting_notification(servers: &[String]) -> Notification {
    let body = format!("Trying {}.", servers.join(", then "));
    Notification::new(Topic::Link, "Connecting", body).with_urgency(Urgency::Low)
}

pub(super) fn connected_notification(endpoint: &Endpoint) -> Notification {
    let title = format!("Connected to {}", endpoint.name);
    let body = format!("Logged in as {} at {}.", endpoint.agent, endpoint.server);
    Notification::new(Topic::Link, title, body)
}

/// What is known about a connection that failed.
#[derive(Clone, Copy)]
pub(super) struct LinkFailure {
    /// Whether there was a session.
    pub lost: bool,
    /// Whether the box answered, and refused the login.
    pub refused: bool,
    /// Whether a blackout was on.
    pub had_blackout: bool,
}

pub(super) fn retrying_notification(
    reason: &str,
    (retry, in_ms): (u32, u64),
    failure: LinkFailure,
) -> Notification {
    let title = match failure {
        LinkFailure { lost: true, .. } => "Connection lost",
        LinkFailure { refused: true, .. } => "Refused by the recorder",
        _ => "Not connected",
    };
    let blackout = if failure.had_blackout { " The recorder keeps the blackout on." } else { "" };
    let pause = if in_ms < 1000 { format!("{in_ms} ms") } else { format!("{} s", in_ms / 1000) };
    let plan = format!("Retry {retry} of {} in {pause}.", client::RETRIES_MAX);
    Notification::new(Topic::Link, title, format!("{}{blackout} {plan}", to_sentence(reason)))
}

pub(super) fn standby_notification(reason: &str, probing: bool) -> Notification {
    let plan = if probing {
        "Retries automatically; choose Reconnect to retry now."
    } else {
        "Choose Reconnect to retry."
    };
    Notification::new(Topic::Link, "Standby", format!("{} {plan}", to_sentence(reason)))
}

pub(super) fn not_masked_notification(reason: &str) -> Notification {
    let body = format!("{} Ask the customer to stop speaking.", to_sentence(reason));
    Notification::new(Topic::Blackout, "NOT MASKED", body).with_urgency(Urgency::Urgent)
}

/// The box's receipt of a blackout. `before_ms`: how much before the press is masked.
pub(super) fn masked_notification(before_ms: u64, pairs: &Pairs, rows: &[Pairs]) -> Notification {
    let start = match before_ms {
        0..500 => "from the moment".to_owned(),
        500..1500 => "including the second before".to_owned(),
        ms => format!("including the {} seconds before", (ms + 500) / 1000),
    };
    let mut body = format!("Masked, {start} you pressed.");
    let others = rows.iter().filter_map(|row| row.get("channel")).map(str::to_owned);
    let own = pairs.get("channels").into_iter().flat_map(|list| list.split(','));
    let mut channels: Vec<String> = own.map(str::to_owned).chain(others).collect();
    channels.dedup();
    if channels.len() > 1 {
        body.push_str(&format!(" Channels {}.", channels.join(", ")));
    }
    Notification::new(Topic::Blackout, "Blackout on", body)
}

/// The box's receipt of a press during a blackout.
pub(super) fn masked_still_notification() -> Notification {
    Notification::new(Topic::Blackout, "The blackout stays on", "Speech is not stored.")
}

/// `late_ms`: how much of what the press should have masked is stored.
pub(super) fn masked_late_notification(late_ms: u64) -> Notification {
    let body = format!(
        "The blackout began {} s late. What was said in these seconds is stored: tell your \
         supervisor.",
        late_ms.div_ceil(1000)
    );
    Notification::new(Topic::LateBlackout, "Blackout on, but late", body)
        .with_urgency(Urgency::Urgent)
        .with_actions(&[NotificationAction::Acknowledge])
}

/// A blackout was on already when this call began.
fn carried_notification() -> Notification {
    let body = "You are still blacked out from the call before. Nothing of this call is kept.";
    Notification::new(Topic::CarriedBlackout, "Still blacked out", body)
        .with_urgency(Urgency::Urgent)
        .with_actions(&[NotificationAction::EndBlackout, NotificationAction::KeepBlackout])
}

pub(super) fn masked_not_stored_notification(text: &str) -> Notification {
    let body = to_sentence(&format!("Speech is masked, but {text}"));
    Notification::new(Topic::Blackout, "Blackout on, with an error", body)
        .with_urgency(Urgency::Urgent)
}

/// The box's receipt of the end of a blackout. `length_ms`: how long the blackout was active.
pub(super) fn unmasked_notification(pairs: &Pairs, length_ms: Option<u64>) -> Notification {
    if pairs.get("blackout") == Some("on") {
        let body = "Your blackout ended, but another person or program keeps the call masked.";
        return Notification::new(Topic::Blackout, "Blackout stays on", body);
    }
    let body = match (pairs.get("to"), length_ms) {
        (None | Some("-"), _) => "No blackout was active.".to_owned(),
        (_, None) => "Speech is no longer masked.".to_owned(),
        (_, Some(ms)) => {
            format!("Masked for {} minutes. Speech is no longer masked.", format_minutes(ms))
        }
    };
    Notification::new(Topic::Blackout, "Blackout off", body)
}

pub(super) fn updated_notification() -> Notification {
    Notification::new(Topic::Answer, "Call record updated", "The recorder has saved the value.")
}

pub(super) fn refused_notification(command: Ability, failure: &Failure) -> Notification {
    let body = to_sentence(&failure.text);
    if failure.is_masked() && command == Ability::BlackoutStop {
        return Notification::new(Topic::Blackout, "Blackout stays on", body)
            .with_urgency(Urgency::Urgent);
    }
    Notification::new(Topic::Answer, format!("Could not {}", describe_command(command)), body)
}

pub(super) fn not_sent_notification(command: Ability) -> Notification {
    let title = format!("Could not {}", describe_command(command));
    let body = "Not connected to the recorder. Try again when the client is connected.";
    Notification::new(Topic::Answer, title, body)
}

fn describe_command(command: Ability) -> String {
    match command {
        Ability::RecordStart => "start the recording".to_owned(),
        Ability::RecordStop => "stop the recording".to_owned(),
        Ability::ScreenStart => "start the screen recording".to_owned(),
        Ability::ScreenStop => "stop the screen recording".to_owned(),
        Ability::BlackoutStart => "start the blackout".to_owned(),
        Ability::BlackoutStop => "stop the blackout".to_owned(),
        Ability::Update(field) => format!("update field {field}"),
    }
}

/// Formats the line that sets a field of a call, or says why the value is refused (requirement F4).
pub(super) fn format_update_line(
    field: u8,
    value: &str,
    (call, call_number): (Option<String>, Option<u64>),
) -> Result<String, String> {
    check_value(value).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    let mut line = reply::begin_line(&mut bytes, "update").word(field).word(value);
    if let Some(call) = call {
        line = line.pair("call", call);
    }
    if let Some(number) = call_number {
        line = line.pair("call_number", number);
    }
    line.end();
    bytes.pop();
    String::from_utf8(bytes).map_err(|error| error.to_string())
}

/// Removes the error numbers that the operating system adds to its texts.
pub(super) fn strip_os_error(reason: &str) -> String {
    let mut text = reason.to_owned();
    while let Some(from) = text.find(" (os error ") {
        let length = text[from..].find(')').map_or(text.len() - from, |at| at + 1);
        text.replace_range(from..from + length, "");
    }
    text
}

/// The warning that the blackout ends by itself (G4). Other notes concern the screen.
fn blackout_ending_notification(state: &AgentState) -> Option<Notification> {
    let note = state.note.as_ref().filter(|note| !note.starts_with(SCREEN_NOTE))?;
    let notification =
        Notification::new(Topic::Blackout, "The blackout ends soon", to_sentence(note));
    state.blackout.then(|| notification.with_urgency(Urgency::Urgent))
}

/// The notifications for the changes from one state to the next.
pub(super) fn state_change_notifications(
    old: Option<&AgentState>,
    new: &AgentState,
) -> Vec<Notification> {
    let mut all = Vec::new();
    let Some(old) = old else {
        if new.blackout {
            let body = "It stayed on while the client was not connected. Speech is not stored.";
            all.push(Notification::new(Topic::Blackout, "The blackout is on", body));
        }
        all.extend(new.carried.then(carried_notification));
        all.extend(blackout_ending_notification(new));
        return all;
    };
    let carried = new.carried && (!old.carried || old.call != new.call);
    all.extend(carried.then(carried_notification));
    all.extend(recording_notification(old, new));
    let blackout = match (old.blackout, new.blackout) {
        (false, true) => Some(("Blackout on", "Speech is not stored.")),
        (true, false) => Some(("Blackout off", "Speech is no longer masked.")),
        _ => None,
    };
    all.extend(blackout.map(|(title, body)| Notification::new(Topic::Blackout, title, body)));
    if blackout_ending_notification(old).is_none() {
        all.extend(blackout_ending_notification(new));
    }
    let screen = match (old.screen == ScreenMode::On, new.screen == ScreenMode::On) {
        (false, true) => Some(("Screen recording started", "Your screen is now recorded.")),
        (true, false) => Some(("Screen recording stopped", "Your screen is no longer recorded.")),
        _ => None,
    };
    all.extend(screen.map(|(title, body)| Notification::new(Topic::Screen, title, body)));
    all
}

fn recording_notification(old: &AgentState, new: &AgentState) -> Option<Notification> {
    let (title, body) = match (old.recording, new.recording) {
        // Its audio is masked, and the notification about the mask says so.
        (false, true) if new.carried => return None,
        (false, true) if new.reasons.is_empty() => {
            ("Recording started", "This call is now recorded.".to_owned())
        }
        (false, true) => {
            let reasons = format_reasons(&new.reasons);
            ("Recording started", format!("This call is now recorded, requested by {reasons}."))
        }
        (true, false) if new.call.is_some() => {
            ("Recording stopped", "The call continues without a recording.".to_owned())
        }
        (true, false) => ("Recording stopped", "The call has ended.".to_owned()),
        _ => return None,
    };
    Some(Notification::new(Topic::Recording, title, body))
}

/// Formats the reply for a script: the pairs of the box's `ok`.
pub(super) fn format_pairs(pairs: &Pairs) -> String {
    let mut bytes = Vec::new();
    let line = reply::begin_ok(&mut bytes);
    pairs.0.iter().fold(line, |line, (key, value)| line.pair(key, value)).end();
    bytes.pop();
    String::from_utf8_lossy(&bytes).into_owned()
}
