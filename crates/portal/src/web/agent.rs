//! The agent's page: state, recording, blackout, fields (requirements C1, C2, A13, B2, F2).
//!
//! Every button is a form that works without scripts; with scripts the page updates itself
//! (`events`). The recorder's `can` decides which buttons are enabled. Desktop-only recording is
//! not offered. Field values are never shown, not even one that was just set.

use super::pages::{ActionButton, AgentPage, FieldRow, PageContext, render_html};
use super::{AppError, AppState};
use crate::box_client::agent_session::{CommandError, LinkState};
use crate::clock;
use crate::web::extract::{AuthedForm, CurrentUser};
use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use protocol::client::{Pairs, Reply};
use protocol::{Ability, AgentState, Code};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

type SharedState = State<Arc<AppState>>;

/// Size limit of a field's value in bytes, as in the protocol.
const VALUE_BYTES_MAX: usize = protocol::arg::VALUE_BYTES;
const MINUTE_MS: u64 = 60_000;

const MASKED_TEXT: &str =
    "The blackout is on, but the box could not store that yet. Tell a technician.";
const LATE_TEXT: &str = "What was said before may be kept. Tell your supervisor.";
const OTHER_CALL_TEXT: &str = "Not saved: you typed this for an earlier call, and the time to \
                               describe that call is over.";

/// Actions: form value and command. All but the last have a button whose form value is an ability.
/// The last one confirms, for this call, a blackout that began before it.
const ACTIONS: [(&str, &str); 5] = [
    ("record.start", "record start"),
    ("record.stop", "record stop"),
    ("blackout.start", "blackout start"),
    ("blackout.stop", "blackout stop"),
    ("blackout.keep", "blackout start"),
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
    /// Masked time of the blackout.
    pub blackout_ms: u64,
    /// Whether the call is masked now, so that `blackout_ms` grows.
    pub masked: bool,
    /// Whether the blackout is left from the call before.
    pub carried: bool,
    pub held: bool,
    /// Number of the call whose record a field would be stored in.
    pub update_call: Option<u64>,
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
                let grown = if state.masked { since } else { 0 };
                let on_for = state.blackout_ms.saturating_add(grown);
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
            masked: state.masked,
            carried: state.blackout && state.carried,
            held: state.held,
            update_call: state.update_call,
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
        match (self.recording, self.masked) {
            (true, true) => "Recording, blacked out",
            (true, false) => "Recording",
            (false, _) => "Not recording",
        }
    }

    /// Headline of the call.
    pub fn call_text(&self) -> String {
        match (self.call.as_str(), self.direction) {
            ("", _) => "No call".to_owned(),
            _ if self.held => "Call on hold".to_owned(),
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

fn action_buttons(view: &AgentView) -> [ActionButton; 4] {
    let texts = ["Start Recording", "Stop Recording", "Start Blackout", "Stop Blackout"];
    let keys = ["F9", "Shift+F9", "F8", "Shift+F8"];
    let button = |at: usize| {
        let act = ACTIONS[at].0;
        ActionButton { act, text: texts[at], key: keys[at], open: view.can(act) }
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
    let view = AgentView::from_link_state(&*link.wait_until_known().await);
    let [start, stop, black, white] = action_buttons(&view);
    let row = |(number, label): &(u8, String)| {
        let open = view.can(&format!("update.{number}"));
        FieldRow { number: *number, label: label.clone(), open }
    };
    let fields = view.fields.iter().map(row).collect();
    // A redirect after a form carries a result code, never free text.
    let message = query.get("said").and_then(|word| result_of_code(word));
    let (record, blackout) = ([start, stop], [black, white]);
    Ok(render_html(&AgentPage { frame, view, record, blackout, fields, message })?.into_response())
}

/// Message for a result code.
fn result_of_code(word: &str) -> Option<ActionResult> {
    let unanswered =
        [CommandError::NotSent, CommandError::NoAnswer, CommandError::Busy].map(result_of_error);
    if let Some((result, _)) = unanswered.into_iter().find(|(_, known)| *known == word) {
        return Some(result);
    }
    let (ok, text) = match word {
        "done" => (true, "Done."),
        "saved" => (true, "Saved."),
        "no" => (false, "The box refused this. The buttons show what can be done now."),
        "masked" => (false, MASKED_TEXT),
        "late" => (false, LATE_TEXT),
        "other-call" => (false, OTHER_CALL_TEXT),
        "characters" => (false, "Not saved. Leave out < > ! = + % and control characters."),
        _ => return None,
    };
    Some(ActionResult { ok, text: text.to_owned() })
}

pub async fn run_action(
    State(portal): SharedState,
    posted: AuthedForm,
) -> Result<Response, AppError> {
    let wanted = posted.fields.get("act");
    let known = ACTIONS.iter().find(|(word, _)| *word == wanted);
    let Some((word, command)) = known else {
        return Err(AppError::BadRequest("There is no such button.".to_owned()));
    };
    let link = portal.agent_sessions.get_or_start(&posted.current_user.session.user);
    let before = AgentView::from_link_state(&*link.wait_until_known().await);
    let reply = link.send_command((*command).to_owned()).await;
    let result = match reply {
        Ok(Reply { outcome: Ok(pairs), .. }) if *word == "blackout.start" && !before.blackout => {
            blackout_receipt(&pairs, &clock::format_local_time_of_day())
        }
        Ok(reply) => result_of_reply(word, &reply),
        Err(error) => result_of_error(error),
    };
    Ok(action_response(&posted.current_user, result))
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
fn action_response(member: &CurrentUser, (result, word): (ActionResult, &'static str)) -> Response {
    if !member.client.is_script {
        return Redirect::to(&format!("/agent?said={word}")).into_response();
    }
    let status = if result.ok { StatusCode::OK } else { StatusCode::CONFLICT };
    (status, Json(result)).into_response()
}

/// Message and result code for the recorder's reply.
fn result_of_reply(act: &str, reply: &Reply) -> (ActionResult, &'static str) {
    match &reply.outcome {
        Ok(pairs) => (ActionResult { ok: true, text: success_text(act, pairs) }, "done"),
        Err(failure) if failure.is_masked() => {
            (ActionResult { ok: false, text: MASKED_TEXT.to_owned() }, "masked")
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
    let text = match act {
        "record.start" => "Recording. The box keeps it.",
        "record.stop" if get("state") == "on" => {
            "You stopped your recording, but the box still records this call for another reason."
        }
        "record.stop" => "The recording is stopped and kept.",
        "blackout.start" => "The blackout is on. Nothing of the call is kept.",
        "blackout.keep" => "The blackout stays on. Nothing of this call is kept.",
        "blackout.stop" if get("blackout") == "on" => {
            "You ended your blackout, but a supervisor or the telephone system still blacks out \
             this call."
        }
        _ => "The blackout is over. Nothing that was said during it is kept.",
    };
    text.to_owned()
}

/// Message and result code of a blackout that has just begun at `now`: how much before the press is
/// masked too, or how much after it is not.
fn blackout_receipt(pairs: &Pairs, now: &str) -> (ActionResult, &'static str) {
    let number = |key| pairs.get(key).and_then(|value| value.parse::<u64>().ok());
    let late_ms = number("late_ms").unwrap_or(0);
    if late_ms > 0 {
        let late = format_seconds(late_ms);
        let text = format!("Masked since {now}, {late} too late. {LATE_TEXT}");
        return (ActionResult { ok: false, text }, "late");
    }
    let samples = number("at").zip(number("from")).map(|(at, from)| at.saturating_sub(from));
    let before_ms = samples.zip(number("rate").filter(|rate| *rate > 0));
    let before_ms = before_ms.map_or(0, |(samples, rate)| samples.saturating_mul(1000) / rate);
    let text = match before_ms {
        0..1000 => format!("Masked since {now}."),
        _ => {
            let before = format_seconds(before_ms);
            format!("Masked since {now}, including the {before} before you pressed.")
        }
    };
    (ActionResult { ok: true, text }, "done")
}

/// A duration in whole seconds, at least one.
fn format_seconds(ms: u64) -> String {
    match ms.saturating_add(500) / 1000 {
        0 | 1 => "1 second".to_owned(),
        seconds => format!("{seconds} seconds"),
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
    let call = posted.fields.get("call").parse::<u64>().ok();
    let line = update_line(number, value, call);
    let link = portal.agent_sessions.get_or_start(&posted.current_user.session.user);
    link.wait_until_known().await;
    let result = match link.send_command(line).await {
        Ok(Reply { outcome: Ok(_), .. }) => {
            (ActionResult { ok: true, text: "Saved.".to_owned() }, "saved")
        }
        Ok(Reply { outcome: Err(failure), .. })
            if call.is_some() && failure.code() == Some(Code::NotRecording) =>
        {
            (ActionResult { ok: false, text: OTHER_CALL_TEXT.to_owned() }, "other-call")
        }
        Ok(reply) => result_of_reply("update", &reply),
        Err(error) => result_of_error(error),
    };
    Ok(action_response(&posted.current_user, result))
}

/// The command that sets a field. `call` is the number of the call that the page showed, so that
/// the box refuses a value that was typed for another call.
fn update_line(number: u8, value: &str, call: Option<u64>) -> String {
    let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
    let call = call.map_or(String::new(), |call| format!(" call_number={call}"));
    format!("update {number} \"{quoted}\"{call}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c2_no_button_starts_a_desktop_only_recording() {
        assert!(
            ACTIONS
                .iter()
                .all(|(word, command)| { !word.contains("screen") && !command.contains("screen") })
        );
    }

    fn parse_pairs(text: &str) -> Pairs {
        let pairs = text.split(' ').map(|pair| pair.split_once('=').expect("a pair"));
        Pairs(pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
    }

    #[test]
    fn a3_receipt_speaks_of_seconds_and_the_time_of_day_not_of_samples() {
        let receipt = |text| blackout_receipt(&parse_pairs(text), "14:02:11 (CET)").0;
        let early = receipt("blackout=on at=176000 from=160000 took_us=210 late_ms=0 rate=8000");
        let text = "Masked since 14:02:11 (CET), including the 2 seconds before you pressed.";
        assert!(early.ok && early.text == text, "{early:?}");
        let late = receipt("blackout=on at=176000 from=176000 took_us=210 late_ms=6200 rate=8000");
        assert!(!late.ok && late.text.contains(", 6 seconds too late. What was said"), "{late:?}");
        for plain in ["blackout=on at=5 from=5 rate=8000", "blackout=on at=9 from=1", "at=- rate=0"]
        {
            assert_eq!(receipt(plain).text, "Masked since 14:02:11 (CET).", "{plain}");
        }
        assert_eq!(to_sentence("no call is on."), "No call is on.");
    }

    #[test]
    fn f1_field_command_names_the_call_that_the_page_showed() {
        let named = update_line(3, "a \"b\" \\", Some(17));
        assert_eq!(named, r#"update 3 "a \"b\" \\" call_number=17"#);
        assert_eq!(update_line(3, "a", None), "update 3 \"a\"", "an older box names none");
    }

    #[test]
    fn g5_black_band_is_there_only_for_a_blackout_of_the_call_before() {
        let page = |state: AgentState| {
            let since = clock::now();
            let person = crate::box_client::agent_session::AgentInfo::default();
            let view = AgentView::from_link_state(&LinkState::Up { person, state, since });
            let [start, stop, black, white] = action_buttons(&view);
            let (frame, fields) = (PageContext::anonymous("On demand"), Vec::new());
            let (record, blackout) = ([start, stop], [black, white]);
            render_html(&AgentPage { frame, view, record, blackout, fields, message: None })
                .expect("a page")
                .0
        };
        let state = |blackout, carried| AgentState {
            blackout,
            carried,
            recording: true,
            masked: blackout,
            call: Some("c2".to_owned()),
            ..AgentState::default()
        };
        let band = "aria-labelledby=\"carried-title\">";
        let carried = page(state(true, true));
        assert!(carried.contains(band) && carried.contains("Nothing of this call is kept"));
        assert!(carried.contains("value=\"blackout.keep\"") && carried.contains("End blackout"));
        assert!(carried.contains("Recording, blacked out"), "not just that it records");
        for other in [state(true, false), state(false, true), state(false, false)] {
            assert!(!page(other).contains(band));
        }
    }

    #[test]
    fn g6_timer_counts_masked_seconds_only() {
        let state = |masked, call: Option<&str>| AgentState {
            blackout: true,
            blackout_ms: 4000,
            masked,
            call: call.map(str::to_owned),
            ..AgentState::default()
        };
        let view = |state| {
            let since = clock::now() - std::time::Duration::from_secs(60);
            let person = crate::box_client::agent_session::AgentInfo::default();
            AgentView::from_link_state(&LinkState::Up { person, state, since })
        };
        assert_eq!(view(state(true, Some("c1"))).timer(), "1:04");
        assert_eq!(view(state(false, None)).timer(), "0:04", "no call is masked");
    }

    #[test]
    fn agent_form_without_a_reply_says_whether_it_was_sent() {
        for (error, wanted) in [
            (CommandError::NotSent, "what you did was not done"),
            (CommandError::NoAnswer, "the box did not answer"),
            (CommandError::Busy, "too much at once"),
        ] {
            let (result, word) = result_of_error(error);
            let page = result_of_code(word).expect("a word of ours");
            assert!(!page.ok && page.text.to_lowercase().contains(wanted), "{}", page.text);
            assert_eq!(page.text, result.text);
        }
    }
}
