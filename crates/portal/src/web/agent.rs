//! The agent's page: state, recording, blackout, fields (requirements C1, C2, A13, B2, F2).
//!
//! Every button is a form that works without scripts; with scripts the page updates itself
//! (`events`). The recorder's `can` decides which buttons are enabled. Desktop-only recording is
//! not offered. Field values are never shown, not even one that was just set.

use super::pages::{ActionButton, AgentPage, FieldRow, PageContext, render_html};
use super::{AppError, AppState};
use crate::box_client::agent_session::{CommandError, LinkState};
use crate::web::extract::{AuthedForm, CurrentUser};
use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use protocol::client::{Pairs, Reply};
use protocol::{Ability, AgentState};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

type SharedState = State<Arc<AppState>>;

/// Size limit of a field's value in bytes, as in the protocol.
const VALUE_BYTES_MAX: usize = protocol::arg::VALUE_BYTES;
const MINUTE_MS: u64 = 60_000;

/// Actions: form value, command, and ability in `can`.
const ACTIONS: [(&str, &str, Ability); 4] = [
    ("record.start", "record start", Ability::RecordStart),
    ("record.stop", "record stop", Ability::RecordStop),
    ("blackout.start", "blackout start", Ability::BlackoutStart),
    ("blackout.stop", "blackout stop", Ability::BlackoutStop),
];

/// State shown by the page and sent to scripts.
#[derive(Clone, Debug, Default, Serialize)]
pub struct AgentView {
    /// `up`, `lost` or `refused`.
    pub link: &'static str,
    /// Reason when the link is not up.
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
    /// Abilities the agent has now.
    pub can: Vec<String>,
    /// Fields on offer; a script reloads the page when they change.
    pub fields: Vec<(u8, String)>,
}

#[derive(Clone, Debug, Serialize)]
pub struct ActionResult {
    pub ok: bool,
    pub text: String,
}

impl AgentView {
    /// Converts a link state for display.
    pub fn from_link_state(view: &LinkState) -> AgentView {
        let down =
            |link, why: &str| AgentView { link, why: why.to_owned(), ..AgentView::default() };
        match view {
            LinkState::Connecting => down("lost", "Connecting to the recorder."),
            LinkState::Disconnected { why } => down("lost", why),
            LinkState::Refused { why, .. } => down("refused", why),
            LinkState::Up { person, state, since } => {
                let since = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
                let on_for = state.blackout_ms.saturating_add(since);
                AgentView {
                    link: "up",
                    name: person.name.clone(),
                    device: person.device.clone(),
                    fields: person.fields.clone(),
                    blackout_ms: if state.blackout { on_for } else { 0 },
                    ..AgentView::from_agent_state(state)
                }
            }
        }
    }

    fn from_agent_state(state: &AgentState) -> AgentView {
        AgentView {
            call: state.call.clone().unwrap_or_default(),
            direction: state.direction.map_or("", protocol::Direction::as_str),
            recording: state.recording,
            reasons: state.reasons.clone(),
            blackout: state.blackout,
            screen: state.screen.as_str(),
            note: state.note.clone().unwrap_or_default(),
            can: Ability::all()
                .filter(|can| state.can.contains(*can))
                .map(|c| c.to_string())
                .collect(),
            ..AgentView::default()
        }
    }

    /// Whether the agent has this ability now.
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

    /// Text of the blackout timer.
    pub fn timer(&self) -> String {
        let (minutes, rest) = (self.blackout_ms / MINUTE_MS, self.blackout_ms % MINUTE_MS);
        format!("{minutes}:{:02}", rest / 1000)
    }
}

fn action_buttons(face: &AgentView) -> [ActionButton; 4] {
    let texts = ["Start Recording", "Stop Recording", "Start Blackout", "Stop Blackout"];
    let keys = ["F9", "Shift+F9", "F8", "Shift+F8"];
    let button = |at: usize| {
        let act = ACTIONS[at].0;
        ActionButton { act, text: texts[at], key: keys[at], open: face.can(act) }
    };
    [button(0), button(1), button(2), button(3)]
}

pub async fn agent_page(
    State(portal): SharedState,
    member: CurrentUser,
    Query(query): Query<BTreeMap<String, String>>,
) -> Result<Response, AppError> {
    let frame = PageContext::for_user(&portal, &member, "On demand").await;
    let link = portal.agent_sessions.get_or_start(&member.session.user);
    let face = AgentView::from_link_state(&*link.wait_until_known().await);
    let [start, stop, black, white] = action_buttons(&face);
    let row = |(number, label): &(u8, String)| {
        let open = face.can(&format!("update.{number}"));
        FieldRow { number: *number, label: label.clone(), open }
    };
    let fields = face.fields.iter().map(row).collect();
    // A redirect after a form carries a result code, never free text.
    let said = query.get("said").and_then(|word| result_of_code(word));
    let (record, blackout) = ([start, stop], [black, white]);
    Ok(render_html(&AgentPage { frame, face, record, blackout, fields, said })?.into_response())
}

/// Message for a result code.
fn result_of_code(word: &str) -> Option<ActionResult> {
    let unanswered =
        [CommandError::NotSent, CommandError::NoAnswer, CommandError::Busy].map(result_of_error);
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
    Some(ActionResult { ok, text: text.to_owned() })
}

pub async fn run_action(
    State(portal): SharedState,
    posted: AuthedForm,
) -> Result<Response, AppError> {
    let wanted = posted.fields.get("act");
    let known = ACTIONS.iter().find(|(word, ..)| *word == wanted);
    let Some((word, command, _)) = known else {
        return Err(AppError::BadRequest("There is no such button.".to_owned()));
    };
    let link = portal.agent_sessions.get_or_start(&posted.current_user.session.user);
    link.wait_until_known().await;
    let reply = link.send_command((*command).to_owned()).await;
    let said = match reply {
        Ok(reply) => result_of_reply(word, &reply),
        Err(error) => result_of_error(error),
    };
    Ok(action_response(&posted.current_user, said))
}

/// Message and result code for a command that got no reply.
fn result_of_error(error: CommandError) -> (ActionResult, &'static str) {
    let word = match error {
        CommandError::NotSent => "not-sent",
        CommandError::NoAnswer => "no-answer",
        CommandError::Busy => "busy",
    };
    (ActionResult { ok: false, text: to_sentence(&error.to_string()) }, word)
}

/// Sends a script the result as JSON and redirects a form to the page.
fn action_response(member: &CurrentUser, (said, word): (ActionResult, &'static str)) -> Response {
    if !member.client.is_script {
        return Redirect::to(&format!("/agent?said={word}")).into_response();
    }
    let status = if said.ok { StatusCode::OK } else { StatusCode::CONFLICT };
    (status, Json(said)).into_response()
}

/// Message and result code for the recorder's reply.
fn result_of_reply(act: &str, reply: &Reply) -> (ActionResult, &'static str) {
    match &reply.outcome {
        Ok(pairs) => (ActionResult { ok: true, text: success_text(act, pairs) }, "done"),
        Err(failure) if failure.is_masked() => {
            let text = "The blackout is on, but the box could not store that yet: tell a \
                        technician.";
            (ActionResult { ok: false, text: text.to_owned() }, "masked")
        }
        Err(failure) => {
            let word = if failure.word == "bad-characters" { "characters" } else { "no" };
            (ActionResult { ok: false, text: to_sentence(&failure.text) }, word)
        }
    }
}

fn to_sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().collect::<String>());
    format!("{}{}.", first.unwrap_or_default(), letters.as_str().trim_end_matches('.'))
}

fn success_text(act: &str, pairs: &Pairs) -> String {
    let get = |key| pairs.get(key).unwrap_or("-");
    match act {
        "record.start" => "Recording. The box keeps it.".to_owned(),
        "record.stop" if get("state") == "on" => {
            "Your recording is stopped; others still record this call.".to_owned()
        }
        "record.stop" => "The recording is stopped and kept.".to_owned(),
        "blackout.start" => blackout_receipt(pairs),
        "blackout.stop" if get("blackout") == "on" => {
            "Your blackout is off. Another person keeps the call blacked out.".to_owned()
        }
        "blackout.stop" if get("recording") == "-" => "The blackout is over.".to_owned(),
        _ => format!(
            "The blackout is over: nothing is kept from sample {} to {}.",
            get("from"),
            get("to")
        ),
    }
}

/// Text of a blackout receipt.
fn blackout_receipt(pairs: &Pairs) -> String {
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

pub async fn set_field(
    State(portal): SharedState,
    posted: AuthedForm,
) -> Result<Response, AppError> {
    let number = posted.fields.get("n").parse::<u8>().ok().filter(|n| (1..=15).contains(n));
    let Some(number) = number else {
        return Err(AppError::BadRequest("There is no such field.".to_owned()));
    };
    let value = posted.fields.get("value");
    if value.len() > VALUE_BYTES_MAX {
        let text = format!("At most {VALUE_BYTES_MAX} bytes fit; this has {}.", value.len());
        return Ok(action_response(&posted.current_user, (ActionResult { ok: false, text }, "no")));
    }
    // The recorder would refuse control characters too, but they must not end the line.
    if value.chars().any(char::is_control) {
        let text = "Control characters cannot be stored.".to_owned();
        return Ok(action_response(
            &posted.current_user,
            (ActionResult { ok: false, text }, "characters"),
        ));
    }
    let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
    let link = portal.agent_sessions.get_or_start(&posted.current_user.session.user);
    link.wait_until_known().await;
    let said = match link.send_command(format!("update {number} \"{quoted}\"")).await {
        Ok(Reply { outcome: Ok(_), .. }) => {
            (ActionResult { ok: true, text: "Saved.".to_owned() }, "saved")
        }
        Ok(reply) => result_of_reply("update", &reply),
        Err(error) => result_of_error(error),
    };
    Ok(action_response(&posted.current_user, said))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c2_no_button_starts_a_desktop_only_recording() {
        assert!(
            ACTIONS.iter().all(|(word, command, _)| {
                !word.contains("screen") && !command.contains("screen")
            })
        );
    }

    #[test]
    fn a_receipt_says_from_where_on_nothing_is_kept() {
        let pairs = ["blackout=on", "at=176000", "from=160000", "channels=1", "took_us=210"];
        let pairs = pairs.map(|pair| pair.split_once('=').expect("a pair"));
        let pairs = pairs.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let text = blackout_receipt(&Pairs(pairs.to_vec()));
        assert!(text.contains("sample 160000 on, 16000 samples before") && text.contains("210 µs"));
        assert_eq!(to_sentence("no call is on."), "No call is on.");
    }

    #[test]
    fn agent_form_without_a_reply_says_whether_it_was_sent() {
        for (error, wanted) in [
            (CommandError::NotSent, "what you did was not done"),
            (CommandError::NoAnswer, "the box did not answer"),
            (CommandError::Busy, "too much at once"),
        ] {
            let (told, word) = result_of_error(error);
            let page = result_of_code(word).expect("a word of ours");
            assert!(!page.ok && page.text.to_lowercase().contains(wanted), "{}", page.text);
            assert_eq!(page.text, told.text);
        }
    }
}
