//! The agent's page: state, recording, blackout, fields (requirements C1, C2, A13, B2, F2).
//!
//! Every button is a form that works without scripts; with them the page follows the box by itself
//! (`events`). What is enabled is what the box's `can` says. There is no desktop-only recording
//! here, and no field's value is ever shown, not even the one that was just set.

use super::pages::{AgentPage, Button, FieldRow, Frame, html};
use super::{Fault, Portal};
use crate::box_client::agent_session::{NoReply, View};
use crate::web::extract::{Member, Posted};
use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use protocol::client::{Pairs, Reply};
use protocol::{Ability, AgentState};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

type Shared = State<Arc<Portal>>;

/// The most bytes of a field's value, as the box has it.
const VALUE_BYTES: usize = protocol::arg::VALUE_BYTES;
/// Milliseconds of a minute.
const MINUTE_MS: u64 = 60_000;

/// What a button may ask for: its word in a form, the command, the word in `can`.
const ACTS: [(&str, &str, Ability); 4] = [
    ("record.start", "record start", Ability::RecordStart),
    ("record.stop", "record stop", Ability::RecordStop),
    ("blackout.start", "blackout start", Ability::BlackoutStart),
    ("blackout.stop", "blackout stop", Ability::BlackoutStop),
];

/// The state as the page shows it, and as scripts get it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Face {
    /// `up`, `lost` or `refused`.
    pub link: &'static str,
    /// Why, when it is not up.
    pub why: String,
    pub name: String,
    pub device: String,
    pub call: String,
    pub direction: &'static str,
    pub recording: bool,
    pub reasons: String,
    pub blackout: bool,
    pub blackout_ms: u64,
    pub screen: &'static str,
    pub note: String,
    /// What may be done right now.
    pub can: Vec<String>,
    /// The fields there are: a page that shows others is made anew.
    pub fields: Vec<(u8, String)>,
}

/// What came of a button.
#[derive(Clone, Debug, Serialize)]
pub struct Said {
    pub ok: bool,
    pub text: String,
}

impl Face {
    /// What is to be shown of this view.
    pub fn of(view: &View) -> Face {
        let down = |link, why: &str| Face { link, why: why.to_owned(), ..Face::default() };
        match view {
            View::Connecting => down("lost", "The box is being called."),
            View::Lost { why } => down("lost", why),
            View::Refused { why, .. } => down("refused", why),
            View::Up { person, state, since } => {
                let since = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
                let on_for = state.blackout_ms.saturating_add(since);
                Face {
                    link: "up",
                    name: person.name.clone(),
                    device: person.device.clone(),
                    fields: person.fields.clone(),
                    blackout_ms: if state.blackout { on_for } else { 0 },
                    ..Face::of_state(state)
                }
            }
        }
    }

    fn of_state(state: &AgentState) -> Face {
        Face {
            call: state.call.clone().unwrap_or_default(),
            direction: state.direction.map_or("", protocol::Direction::word),
            recording: state.recording,
            reasons: state.reasons.clone(),
            blackout: state.blackout,
            screen: state.screen.word(),
            note: state.note.clone().unwrap_or_default(),
            can: Ability::all().filter(|can| state.can.has(*can)).map(|c| c.to_string()).collect(),
            ..Face::default()
        }
    }

    /// Whether this may be done now.
    pub fn can(&self, word: &str) -> bool {
        self.can.iter().any(|can| can == word)
    }

    /// Headline of the recording.
    pub fn recording_text(&self) -> &'static str {
        if self.recording { "Recording" } else { "Not recording" }
    }

    /// Headline of the call.
    pub fn call_text(&self) -> String {
        match (self.call.as_str(), self.direction) {
            ("", _) => "No call".to_owned(),
            (_, "in") => "Incoming call".to_owned(),
            (_, "out") => "Outgoing call".to_owned(),
            _ => "Call".to_owned(),
        }
    }

    /// The blackout's timer.
    pub fn timer(&self) -> String {
        let (minutes, rest) = (self.blackout_ms / MINUTE_MS, self.blackout_ms % MINUTE_MS);
        format!("{minutes}:{:02}", rest / 1000)
    }
}

fn buttons(face: &Face) -> [Button; 4] {
    let texts = ["Start Recording", "Stop Recording", "Start Blackout", "Stop Blackout"];
    let keys = ["F9", "Shift+F9", "F8", "Shift+F8"];
    let button = |at: usize| {
        let act = ACTS[at].0;
        Button { act, text: texts[at], key: keys[at], open: face.can(act) }
    };
    [button(0), button(1), button(2), button(3)]
}

pub async fn page(
    State(portal): Shared,
    member: Member,
    Query(query): Query<BTreeMap<String, String>>,
) -> Result<Response, Fault> {
    let frame = Frame::of(&portal, &member, "On demand").await;
    let link = portal.hub.link(&member.session.user);
    let face = Face::of(&*link.settled().await);
    let [start, stop, black, white] = buttons(&face);
    let row = |(number, label): &(u8, String)| {
        let open = face.can(&format!("update.{number}"));
        FieldRow { number: *number, label: label.clone(), open }
    };
    let fields = face.fields.iter().map(row).collect();
    // What a form without scripts has to say comes back as a word of ours, never as free text.
    let said = query.get("said").and_then(|word| done_text(word));
    let (record, blackout) = ([start, stop], [black, white]);
    Ok(html(&AgentPage { frame, face, record, blackout, fields, said })?.into_response())
}

/// What a page without scripts says after a form.
fn done_text(word: &str) -> Option<Said> {
    let unanswered = [NoReply::NotSent, NoReply::NoAnswer, NoReply::Busy].map(unanswered);
    if let Some((said, _)) = unanswered.into_iter().find(|(_, known)| *known == word) {
        return Some(said);
    }
    let (ok, text) = match word {
        "done" => (true, "Done."),
        "saved" => (true, "Saved."),
        "no" => (false, "The box refused this. The buttons show what can be done now."),
        "masked" => (false, "The blackout is on, but the box could not store that yet."),
        "characters" => (false, "Use no < > ! = + % and no control characters."),
        _ => return None,
    };
    Some(Said { ok, text: text.to_owned() })
}

pub async fn act(State(portal): Shared, posted: Posted) -> Result<Response, Fault> {
    let wanted = posted.fields.get("act");
    let known = ACTS.iter().find(|(word, ..)| *word == wanted);
    let Some((word, command, _)) = known else {
        return Err(Fault::Bad("There is no such button.".to_owned()));
    };
    let link = portal.hub.link(&posted.member.session.user);
    link.settled().await;
    let reply = link.ask((*command).to_owned()).await;
    let said = match reply {
        Ok(reply) => told(word, &reply),
        Err(error) => unanswered(error),
    };
    Ok(answer(&posted.member, said))
}

/// What there is to say where the box gave no reply.
fn unanswered(error: NoReply) -> (Said, &'static str) {
    let word = match error {
        NoReply::NotSent => "not-sent",
        NoReply::NoAnswer => "no-answer",
        NoReply::Busy => "busy",
    };
    (Said { ok: false, text: sentence(&error.to_string()) }, word)
}

/// To a script the whole, to a form the way back to the page.
fn answer(member: &Member, (said, word): (Said, &'static str)) -> Response {
    if !member.visitor.script {
        return Redirect::to(&format!("/agent?said={word}")).into_response();
    }
    let status = if said.ok { StatusCode::OK } else { StatusCode::CONFLICT };
    (status, Json(said)).into_response()
}

/// What the box answered, in words.
fn told(act: &str, reply: &Reply) -> (Said, &'static str) {
    match &reply.outcome {
        Ok(pairs) => (Said { ok: true, text: done(act, pairs) }, "done"),
        Err(failure) if failure.masked() => {
            let text = "The blackout is on, but the box could not store that yet: tell a \
                        technician.";
            (Said { ok: false, text: text.to_owned() }, "masked")
        }
        Err(failure) => {
            let word = if failure.word == "bad-characters" { "characters" } else { "no" };
            (Said { ok: false, text: sentence(&failure.text) }, word)
        }
    }
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().collect::<String>());
    format!("{}{}.", first.unwrap_or_default(), letters.as_str().trim_end_matches('.'))
}

fn done(act: &str, pairs: &Pairs) -> String {
    let get = |key| pairs.get(key).unwrap_or("-");
    match act {
        "record.start" => "Recording. The box keeps it.".to_owned(),
        "record.stop" if get("state") == "on" => {
            "Your recording is stopped; others still record this call.".to_owned()
        }
        "record.stop" => "The recording is stopped and kept.".to_owned(),
        "blackout.start" => receipt(pairs),
        "blackout.stop" if get("blackout") == "on" => {
            "Your blackout is taken back; somebody else holds one.".to_owned()
        }
        "blackout.stop" if get("recording") == "-" => "The blackout is over.".to_owned(),
        _ => format!(
            "The blackout is over: nothing is kept from sample {} to {}.",
            get("from"),
            get("to")
        ),
    }
}

/// What the box vouches for.
fn receipt(pairs: &Pairs) -> String {
    let number = |key| pairs.get(key).and_then(|value| value.parse::<u64>().ok());
    let took = number("took_us").map_or_else(String::new, |us| format!(" It took {us} µs."));
    match (number("at"), number("from")) {
        (Some(at), Some(from)) => format!(
            "Nothing is kept from sample {from} on, {} samples before you pressed \
             (channel {}).{took}",
            at.saturating_sub(from),
            pairs.get("channels").unwrap_or("-"),
        ),
        _ => format!("The blackout is on: nothing is kept.{took}"),
    }
}

pub async fn field(State(portal): Shared, posted: Posted) -> Result<Response, Fault> {
    let number = posted.fields.get("n").parse::<u8>().ok().filter(|n| (1..=15).contains(n));
    let Some(number) = number else {
        return Err(Fault::Bad("There is no such field.".to_owned()));
    };
    let value = posted.fields.get("value");
    if value.len() > VALUE_BYTES {
        let text = format!("At most {VALUE_BYTES} bytes fit; this has {}.", value.len());
        return Ok(answer(&posted.member, (Said { ok: false, text }, "no")));
    }
    // Characters that would end the line never reach the box, which would refuse them all the same.
    if value.chars().any(char::is_control) {
        let text = "Control characters cannot be stored.".to_owned();
        return Ok(answer(&posted.member, (Said { ok: false, text }, "characters")));
    }
    let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
    let link = portal.hub.link(&posted.member.session.user);
    link.settled().await;
    let said = match link.ask(format!("update {number} \"{quoted}\"")).await {
        Ok(Reply { outcome: Ok(_), .. }) => (Said { ok: true, text: "Saved.".to_owned() }, "saved"),
        Ok(reply) => told("update", &reply),
        Err(error) => unanswered(error),
    };
    Ok(answer(&posted.member, said))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c2_no_button_starts_a_desktop_only_recording() {
        assert!(
            ACTS.iter().all(|(word, command, _)| {
                !word.contains("screen") && !command.contains("screen")
            })
        );
    }

    #[test]
    fn a_receipt_says_from_where_on_nothing_is_kept() {
        let pairs = ["blackout=on", "at=176000", "from=160000", "channels=1", "took_us=210"];
        let pairs = pairs.map(|pair| pair.split_once('=').expect("a pair"));
        let pairs = pairs.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let text = receipt(&Pairs(pairs.to_vec()));
        assert!(text.contains("sample 160000 on, 16000 samples before") && text.contains("210 µs"));
        assert_eq!(sentence("no call is on."), "No call is on.");
    }

    #[test]
    fn agent_form_without_a_reply_says_whether_it_was_sent() {
        for (error, wanted) in [
            (NoReply::NotSent, "what you did was not done"),
            (NoReply::NoAnswer, "the box did not answer"),
            (NoReply::Busy, "too much at once"),
        ] {
            let (told, word) = unanswered(error);
            let page = done_text(word).expect("a word of ours");
            assert!(!page.ok && page.text.to_lowercase().contains(wanted), "{}", page.text);
            assert_eq!(page.text, told.text);
        }
    }
}
