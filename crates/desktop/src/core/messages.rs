//! The words of the balloons and of answers to scripts.
//!
//! Each function makes one text from what is known. No value of a field of the call record is ever
//! in one. Nothing here decides whether a text is shown.

use super::Act;
use crate::action::Action;
use crate::ui::model::{Place, SCREEN_NOTE, sentence};
use crate::ui::notification::{Balloon, Topic};
use protocol::client::{Failure, Pairs};
use protocol::{AgentState, ScreenMode, reply};

const STOP: &str = "NOT masked: stop the customer";

pub(super) fn connecting(servers: &[String]) -> Balloon {
    let body = format!("Trying {}.", servers.join(", then "));
    Balloon::new(Topic::Link, "Connecting", body).low()
}

pub(super) fn connected(place: &Place) -> Balloon {
    let title = format!("Connected to {}", place.name);
    Balloon::new(Topic::Link, title, format!("{} at {}.", place.agent, place.server))
}

pub(super) fn retrying(
    why: &str,
    (retry, in_ms): (u32, u64),
    lost: bool,
    was_dark: bool,
) -> Balloon {
    let title = if lost { "Connection lost" } else { "Not connected" };
    let dark = if was_dark { " The blackout stays on at the box." } else { "" };
    let pause = if in_ms < 1000 { format!("{in_ms} ms") } else { format!("{} s", in_ms / 1000) };
    let plan = format!("Retry {retry} of {} in {pause}.", client::RETRIES);
    Balloon::new(Topic::Link, title, format!("{}{dark} {plan}", sentence(why)))
}

pub(super) fn standby(why: &str, probing: bool) -> Balloon {
    let plan = if probing {
        "The box is tried now and then; Reconnect tries now."
    } else {
        "Choose Reconnect to try again."
    };
    Balloon::new(Topic::Link, "Standby", format!("{} {plan}", sentence(why)))
}

pub(super) fn not_masked(why: &str) -> Balloon {
    Balloon::new(Topic::Blackout, STOP, sentence(why)).urgent()
}

pub(super) fn masked(pairs: &Pairs, rows: &[Pairs]) -> Balloon {
    Balloon::new(Topic::Blackout, "Blackout on", receipt(pairs, rows))
}

/// `late_ms`: since it was asked for.
pub(super) fn masked_late(late_ms: u64) -> Balloon {
    let seconds = late_ms.div_ceil(1000);
    let body = format!(
        "The mask is on now, {seconds} s after you asked. What was said in between may have been \
         kept: tell your supervisor."
    );
    Balloon::new(Topic::Blackout, "Blackout on at last", body).urgent()
}

pub(super) fn masked_not_stored(text: &str) -> Balloon {
    let body = format!("Nothing of what is said is kept, but {text}");
    Balloon::new(Topic::Blackout, "Blackout on, with a fault", sentence(&body)).urgent()
}

/// What was really masked, in the box's own positions.
fn receipt(pairs: &Pairs, rows: &[Pairs]) -> String {
    let word = |key| pairs.get(key).unwrap_or("-");
    let mut text = match (word("at"), word("channels")) {
        ("-", _) => String::new(),
        (at, channels) => {
            let back: Option<u64> = at
                .parse::<u64>()
                .ok()
                .zip(word("from").parse::<u64>().ok())
                .and_then(|(at, from)| at.checked_sub(from));
            let back = back.map_or(String::new(), |n| format!(", {n} samples before the press"));
            let plural = if channels.contains(',') { "s" } else { "" };
            format!("Masked from sample {}{back}, on channel{plural} {channels}.", word("from"))
        }
    };
    for row in rows {
        let part = |key| row.get(key).unwrap_or("-");
        text.push_str(&format!(" Channel {} from sample {}.", part("channel"), part("from")));
    }
    text
}

/// A command that worked and has no balloon of its own through the state. `waits`: somebody is told
/// the answer anyhow.
pub(super) fn done(act: Act, pairs: &Pairs, rows: &[Pairs], waits: bool) -> Option<Balloon> {
    match act {
        Act::Do(Action::BlackoutStop) => Some(unmasked(pairs, rows)),
        Act::Update(_) if !waits => {
            Some(Balloon::new(Topic::Answer, "Call record updated", "The box has taken it."))
        }
        Act::Do(_) | Act::Update(_) => None,
    }
}

fn unmasked(pairs: &Pairs, rows: &[Pairs]) -> Balloon {
    let word = |key| pairs.get(key).unwrap_or("-");
    let mut text = match (word("from"), word("to")) {
        ("-", _) | (_, "-") => "None was open.".to_owned(),
        (from, to) => format!("Masked from sample {from} to {to}."),
    };
    for row in rows {
        let part = |key| row.get(key).unwrap_or("-");
        text.push_str(&format!(
            " Channel {}: {} to {}.",
            part("channel"),
            part("from"),
            part("to")
        ));
    }
    Balloon::new(Topic::Blackout, "Blackout off: the box hears again", text)
}

pub(super) fn refused(act: Act, failure: &Failure) -> Balloon {
    let stays = failure.masked() && act == Act::Do(Action::BlackoutStop);
    if stays {
        let body = sentence(&failure.text);
        return Balloon::new(Topic::Blackout, "The blackout stays on", body).urgent();
    }
    let title = format!("Refused: {}", name(act));
    Balloon::new(Topic::Answer, title, sentence(&failure.text))
}

pub(super) fn nobody_hears(act: Act) -> Balloon {
    let title = format!("Not done: {}", name(act));
    let body = "There is no connection to the box. Do it again when there is.";
    Balloon::new(Topic::Answer, title, body)
}

pub(super) fn name(act: Act) -> String {
    match act {
        Act::Do(action) => action.line().to_owned(),
        Act::Update(field) => format!("update of field {field}"),
    }
}

/// The line that sets a field, or why its value is not taken (requirement F4).
pub(super) fn update(field: u8, value: &str) -> Result<String, String> {
    crate::ui::fields::check(value).map_err(|why| why.to_string())?;
    let mut bytes = Vec::new();
    reply::line(&mut bytes, "update").word(field).word(value).end();
    bytes.pop();
    String::from_utf8(bytes).map_err(|error| error.to_string())
}

/// Without the number that the system gives an error besides its words.
pub(super) fn plain(why: &str) -> String {
    let mut text = why.to_owned();
    while let Some(from) = text.find(" (os error ") {
        let length = text[from..].find(')').map_or(text.len() - from, |at| at + 1);
        text.replace_range(from..from + length, "");
    }
    text
}

/// That the blackout will end by itself (G4). A note may be about the screen instead.
fn warning(state: &AgentState) -> Option<Balloon> {
    let note = state.note.as_ref().filter(|note| !note.starts_with(SCREEN_NOTE))?;
    let balloon = Balloon::new(Topic::Blackout, "The blackout ends soon", sentence(note));
    state.blackout.then(|| balloon.urgent())
}

/// What changed, as balloons.
pub(super) fn changes(old: Option<&AgentState>, new: &AgentState) -> Vec<Balloon> {
    let mut all = Vec::new();
    let Some(old) = old else {
        if new.blackout {
            let body = "It went on while there was no connection: nothing said is kept.";
            all.push(Balloon::new(Topic::Blackout, "The blackout is on", body));
        }
        all.extend(warning(new));
        return all;
    };
    match (old.recording, new.recording) {
        (false, true) => {
            let body = match new.reasons.as_str() {
                "" => "This call is being recorded.".to_owned(),
                reasons => format!("This call is being recorded, for: {reasons}."),
            };
            all.push(Balloon::new(Topic::Recording, "Recording started", body));
        }
        (true, false) => {
            let body = if new.call.is_some() { "The call goes on." } else { "The call is over." };
            all.push(Balloon::new(Topic::Recording, "Recording stopped", body));
        }
        _ => {}
    }
    match (old.blackout, new.blackout) {
        (false, true) => {
            let body = "What is said now is not kept.";
            all.push(Balloon::new(Topic::Blackout, "Blackout on", body));
        }
        (true, false) => {
            let body = "What is said now is heard by the box.";
            all.push(Balloon::new(Topic::Blackout, "Blackout off", body));
        }
        _ => {}
    }
    if warning(old).is_none() {
        all.extend(warning(new));
    }
    match (old.screen == ScreenMode::On, new.screen == ScreenMode::On) {
        (false, true) => {
            let body = "The pictures of this screen are kept.";
            all.push(Balloon::new(Topic::Screen, "Screen recording started", body));
        }
        (true, false) => {
            let body = "The screen is no longer recorded.";
            all.push(Balloon::new(Topic::Screen, "Screen recording stopped", body));
        }
        _ => {}
    }
    all
}

/// An answer for a script: the pairs of the box's `ok`, or that it is done.
pub(super) fn words(pairs: &Pairs) -> String {
    let mut bytes = Vec::new();
    let line = reply::ok(&mut bytes);
    pairs.0.iter().fold(line, |line, (key, value)| line.pair(key, value)).end();
    bytes.pop();
    String::from_utf8_lossy(&bytes).into_owned()
}
