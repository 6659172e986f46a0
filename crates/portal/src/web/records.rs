//! Record search and record details.
//!
//! The recorder decides which records a user sees, and journals every access. If it cannot open a
//! record's numbers and fields, the portal opens them with an available identity. Audio is opened
//! only when the user presses *Listen*.
//!
//! A field search queries each record that matches the other criteria. Records whose fields are
//! sealed to the recorder are counted and reported. Audio is served by `audio`.

use super::pages::{PageContext, RecordPage, RecordsPage, render_html, render_zeroizing};
use super::timeline::{RecordInfo, parse_position, removable_ranges, timeline_events};
use super::{AppError, AppState};
use crate::box_client::connection::{BoxConnection, ConnectionError};
use crate::media::decode_service::{DecodedRecording, MediaError, Requester, Span, Waveform};
use crate::media::playback::PlaybackRequest;
use crate::media::sealed_facts::{RecordRows, SealedFacts};
use crate::site_time::{Bound, SiteZone, after_ms};
use crate::web::extract::{AuthedForm, CurrentUser};
use crate::web::waveform;
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::{Html, IntoResponse, Redirect, Response};
use jiff::Timestamp;
use protocol::Code;
use protocol::client::Pairs;
use protocol::text::format_duration;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

type SharedState = State<Arc<AppState>>;

/// Text in place of a sealed value.
pub const SEALED_TEXT: &str = "sealed";
/// Records per page.
const PAGE_RECORDS: usize = 100;
/// Number of records searched for a field value.
const FIELD_SEARCH_RECORDS: usize = 200;
/// Time limit of a number search. The recorder opens about 2000 records per second and sends
/// nothing until one matches.
const NUMBER_SEARCH_TIMEOUT: Duration = Duration::from_secs(300);
/// Time limit of a removal: the box writes the whole file again.
const REMOVAL_TIMEOUT: Duration = Duration::from_secs(300);
/// Form fields passed to the recorder unchanged.
const FILTER_KEYS: [&str; 5] = ["agent", "device", "call", "ani", "dnis"];

/// A row of the list.
pub struct RecordRow {
    pub id: String,
    pub start: String,
    pub length: String,
    pub agent: String,
    pub device: String,
    pub call: String,
    pub direction: String,
    pub blackouts: String,
    pub lost: String,
    pub protected: bool,
}

pub fn value_or_empty(pairs: &Pairs, key: &str) -> String {
    let value = pairs.get(key).unwrap_or("-");
    if value == "-" { String::new() } else { value.to_owned() }
}

fn record_row(pairs: &Pairs, zone: &SiteZone) -> RecordRow {
    RecordRow {
        id: value_or_empty(pairs, "recording"),
        start: zone.format_text(&value_or_empty(pairs, "start")),
        length: format_duration(value_or_empty(pairs, "duration_ms").parse().unwrap_or(0)),
        agent: value_or_empty(pairs, "agent"),
        device: value_or_empty(pairs, "device"),
        call: value_or_empty(pairs, "call"),
        direction: value_or_empty(pairs, "direction"),
        blackouts: value_or_empty(pairs, "blackouts"),
        lost: value_or_empty(pairs, "lost"),
        protected: pairs.get("protected") == Some("on"),
    }
}

/// Builds the `records` command of a search.
fn records_command(query: &BTreeMap<String, String>, zone: &SiteZone, limit: usize) -> String {
    let given = |key: &str| query.get(key).map(|v| v.trim()).filter(|v| !v.is_empty());
    let mut bytes = Vec::new();
    let mut line = protocol::reply::begin_line(&mut bytes, "records");
    if let Some(value) = given("from") {
        line = line.pair("from", zone.to_rfc3339(value, Bound::First));
    }
    // The cursor where the previous page ended.
    if let Some(value) = given("before").or(given("to")) {
        line = line.pair("to", zone.to_rfc3339(value, Bound::Last));
    }
    for key in FILTER_KEYS {
        if let Some(value) = given(key) {
            line = line.pair(key, value);
        }
    }
    line.pair("limit", limit).end();
    String::from_utf8_lossy(&bytes).trim_end().to_owned()
}

/// Builds a command about one recording.
pub fn record_command(verb: &str, id: &str) -> Result<String, AppError> {
    let formed = !id.is_empty() && id.len() <= 32 && id.bytes().all(|b| b.is_ascii_alphanumeric());
    if formed { Ok(format!("{verb} {id}")) } else { Err(AppError::NotFound) }
}

pub async fn records_page(
    State(portal): SharedState,
    member: CurrentUser,
    Query(query): Query<BTreeMap<String, String>>,
) -> Result<Html<String>, AppError> {
    let frame = PageContext::for_user(&portal, &member, "Records").await;
    let field = query.get("field").map(|v| v.trim().to_lowercase()).unwrap_or_default();
    let limit = if field.is_empty() { PAGE_RECORDS } else { FIELD_SEARCH_RECORDS };
    let mut connection = portal.box_client.connect_supervisor(&member.session.user).await?;
    let by_number =
        ["ani", "dnis"].iter().any(|key| query.get(*key).is_some_and(|v| !v.is_empty()));
    let zone = frame.rights.zone.clone();
    let asked = records_command(&query, &zone, limit);
    let reply = match by_number {
        true => connection.request_within(&asked, NUMBER_SEARCH_TIMEOUT).await?,
        false => connection.request(&asked).await?,
    };
    let (found, sealed, message) = match reply.outcome {
        Ok(ok) => (reply.rows, count_or_zero(&ok, "sealed"), String::new()),
        Err(failure) => (Vec::new(), 0, failure.text),
    };
    let all = found.len();
    let before = found.last().filter(|_| all == limit).and_then(page_cursor);
    let (found, unread) = match field.is_empty() {
        true => (found, 0),
        false => filter_by_field(&mut connection, found, &field).await?,
    };
    let rows = found.iter().map(|row| record_row(row, &zone)).collect();
    let value = |key: &str| query.get(key).cloned().unwrap_or_default();
    let asked = ["from", "to", "agent", "device", "call", "ani", "dnis", "field"].map(value);
    let later = query.contains_key("before");
    let sealed = sealed + unread;
    render_html(&RecordsPage { frame, rows, asked, message, before, later, limit, sealed })
}

fn count_or_zero(pairs: &Pairs, key: &str) -> usize {
    pairs.get(key).and_then(|value| value.parse().ok()).unwrap_or(0)
}

/// Cursor one millisecond after a record's start. Records with the same start appear on both pages
/// rather than on neither.
fn page_cursor(row: &Pairs) -> Option<String> {
    let start: Timestamp = row.get("start")?.parse().ok()?;
    Some(after_ms(start, 1).to_string())
}

/// Keeps the records of which a field contains the text. Also returns how many could not be
/// searched.
async fn filter_by_field(
    connection: &mut BoxConnection,
    all: Vec<Pairs>,
    text: &str,
) -> Result<(Vec<Pairs>, usize), AppError> {
    let (mut found, mut sealed) = (Vec::new(), 0);
    for one in all {
        let reply = connection
            .request(&record_command("show", one.get("recording").unwrap_or_default())?)
            .await?;
        match reply.outcome {
            Ok(_) => {}
            Err(failure) if failure.code() == Some(Code::NoSuchRecord) => continue,
            // A record that cannot be read from disk does not fail the others.
            Err(failure) if failure.code() == Some(Code::Storage) => {
                sealed += 1;
                continue;
            }
            // An unsearched record must not count as a non-match.
            Err(failure) => return Err(ConnectionError::Refused(failure).into()),
        }
        let holds = |row: &Pairs| {
            row.get("what") == Some("field")
                && row.get("value").is_some_and(|value| value.to_lowercase().contains(text))
        };
        sealed += usize::from(reply.rows.iter().any(|row| row.get("sealed") == Some("yes")));
        if reply.rows.iter().any(holds) {
            found.push(one);
        }
    }
    Ok((found, sealed))
}

/// Masked, held and lost spans in frames of the recording.
fn silent_spans(info: &RecordInfo, rows: &[Pairs]) -> Vec<Span> {
    let spans = rows.iter().filter(|row| row.get("what") == Some("span"));
    let place = |row: &Pairs, key| parse_position(row, key).unwrap_or(0).saturating_sub(info.from);
    spans
        .map(|row| Span {
            fate: value_or_empty(row, "fate"),
            side: row.get("side").map(str::to_owned),
            from: place(row, "from"),
            to: place(row, "to"),
        })
        .collect()
}

/// Facts at the head of the page, in order.
const FACT_TITLES: [(&str, &str); 12] = [
    ("agent", "Agent"),
    ("device", "Device"),
    ("call", "Call"),
    ("direction", "Direction"),
    ("ani", "Calling number"),
    ("dnis", "Called number"),
    ("group", "Group"),
    ("gate", "Gate"),
    ("schedule", "Schedule"),
    ("reasons", "Reasons"),
    ("why", "Why it is kept"),
    ("retain_until", "Kept until"),
];

/// Loads all rows of `show`. Also returns why the available identity leaves numbers and fields
/// sealed.
async fn load_rows(
    portal: &AppState,
    who: &Requester,
    question: &str,
) -> Result<(RecordRows, String), AppError> {
    let mut connection = portal.box_client.connect_supervisor(&who.user).await?;
    let (rows, _) = connection.request_ok(question).await?;
    let rows = RecordRows::new(rows);
    if !rows.is_sealed() || !portal.decode_service.can_open(&who.session_key) {
        return Ok((rows, String::new()));
    }
    match load_opened_rows(portal, who, (&mut connection, question)).await {
        Ok(opened) => Ok((opened, String::new())),
        Err(error) => Ok((rows, error.to_string())),
    }
}

/// Loads the rows with numbers and fields opened. The recorder journals the access.
async fn load_opened_rows(
    portal: &AppState,
    who: &Requester,
    (connection, question): (&mut BoxConnection, &str),
) -> Result<RecordRows, MediaError> {
    let (rows, _) = connection.request_ok(&format!("{question} sealed=on")).await?;
    let mut rows = RecordRows::new(rows);
    if rows.is_sealed() {
        let letter = portal.decode_service.open_facts(who, &SealedFacts::from_rows(&rows)?).await?;
        rows.merge_opened(&letter)?;
    }
    Ok(rows)
}

/// Opens a recording for playback and, if `drawn`, computes its waveform.
async fn open_for_playback(
    portal: &AppState,
    who: &Requester,
    (id, drawn): (&str, bool),
) -> Result<Arc<DecodedRecording>, MediaError> {
    let opened = portal.decode_service.open_recording(who, id, |_| PlaybackRequest::Listen).await?;
    // Playback works without a waveform.
    if drawn && let Err(error) = portal.decode_service.load_waveform(who, id).await {
        log::warn!("recording {id} is not drawn: {error}");
    }
    Ok(opened)
}

/// The facts of a recording under their titles. Numbers of a sealed record are not shown.
fn fact_rows(info: &RecordInfo, sealed: bool) -> Vec<(&'static str, String)> {
    let fact = |(key, label): (&'static str, &'static str)| {
        let value = value_or_empty(&info.record, key);
        if sealed && ["ani", "dnis"].contains(&key) {
            return (label, SEALED_TEXT.to_owned());
        }
        let value = if key == "retain_until" { info.zone.format_text(&value) } else { value };
        (label, if value.is_empty() { "–".to_owned() } else { value })
    };
    FACT_TITLES.into_iter().map(fact).collect()
}

pub async fn record_page(
    State(portal): SharedState,
    member: CurrentUser,
    Path(id): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Result<Response, AppError> {
    let frame = PageContext::for_user(&portal, &member, "Record").await;
    let question = record_command("show", &id)?;
    let opener =
        Requester { session_key: member.session.key.clone(), user: member.session.user.clone() };
    // Opened first, so that the page lists the play.
    let opened = match query.contains_key("listen") {
        true => Some(open_for_playback(&portal, &opener, (&id, query.contains_key("drawn"))).await),
        false => None,
    };
    let (rows, closed) = load_rows(&portal, &opener, &question).await?;
    let info = RecordInfo::from_rows(&rows, &frame.rights.zone)
        .ok_or_else(|| AppError::Internal("show without a record".to_owned()))?;
    let (opened, message) = match opened {
        Some(Ok(opened)) => (Some(opened), String::new()),
        Some(Err(error)) => (None, error.to_string()),
        None => (None, String::new()),
    };
    let drawn = || Waveform {
        frames: info.frames,
        spans: silent_spans(&info, &rows),
        ..Waveform::default()
    };
    let known = opened.as_ref().and_then(|opened| opened.known_waveform().cloned());
    let later = opened.is_some() && known.is_none();
    let shape = known.unwrap_or_else(drawn);
    let has = |film: &dyn Fn(&DecodedRecording) -> bool| opened.as_deref().is_some_and(film);
    let sealed = info.record.get("sealed") == Some("yes");
    let field = |row: &Pairs| {
        let value = if sealed { SEALED_TEXT.to_owned() } else { value_or_empty(row, "value") };
        (format!("Field {}", value_or_empty(row, "n")), value)
    };
    let fields = rows.iter().filter(|row| row.get("what") == Some("field")).map(field);
    let screen = rows.iter().any(|row| row.get("what") == Some("screen"))
        || info.record.get("codec") == Some("screen");
    // An identity that did not open this record may be replaced.
    let opens = message.is_empty() && closed.is_empty();
    let given = portal.decode_service.has_session_identity(&opener.session_key) && opens;
    let key = !portal.decode_service.has_identity() && !given;
    let (running, hold) = (info.is_running(), info.is_under_legal_hold());
    let may_remove = frame.rights.has("redact") && !running && !hold;
    render_zeroizing(&RecordPage {
        removable: removable_ranges(&info, &rows, may_remove),
        facts: fact_rows(&info, sealed),
        fields: fields.collect(),
        steps: timeline_events(&info, &rows),
        start: info.time_at(info.from),
        length: format_duration(info.duration_ms()),
        running,
        hold,
        sealed,
        closed,
        wave: waveform::render_svg(&shape),
        frame,
        id,
        later,
        open: opened.is_some(),
        film: has(&|opened| opened.has_video),
        dark: opened.as_ref().and_then(|opened| opened.screen_error.clone()).unwrap_or_default(),
        screen,
        key,
        message,
    })
}

/// Serves the waveform of an opened recording. A long one takes seconds to compute.
pub async fn get_waveform(
    State(portal): SharedState,
    member: CurrentUser,
    Path(id): Path<String>,
) -> Result<Json<Vec<waveform::PeakPath>>, AppError> {
    record_command("show", &id)?;
    let opener =
        Requester { session_key: member.session.key.clone(), user: member.session.user.clone() };
    let shape =
        portal.decode_service.load_waveform(&opener, &id).await?.ok_or(AppError::NotFound)?;
    Ok(Json(waveform::peak_paths(&shape)))
}

pub async fn set_legal_hold(
    State(portal): SharedState,
    Path(id): Path<String>,
    posted: AuthedForm,
) -> Result<Redirect, AppError> {
    let on = if posted.fields.get("on") == "on" { "on" } else { "off" };
    let mut connection =
        portal.box_client.connect_supervisor(&posted.current_user.session.user).await?;
    connection.request_ok(&format!("{} {on}", record_command("protect", &id)?)).await?;
    Ok(Redirect::to(&format!("/records/{id}")))
}

/// Removes a range of a recording for good. The form asks for a reason and a confirmation.
pub async fn redact_range(
    State(portal): SharedState,
    Path(id): Path<String>,
    posted: AuthedForm,
) -> Result<Redirect, AppError> {
    record_command("redact", &id)?;
    if posted.fields.get("confirm") != "yes" {
        let message = "Nothing was removed: confirm that the seconds are to be removed for good.";
        return Err(AppError::BadRequest(message.to_owned()));
    }
    let user = &posted.current_user.session.user;
    let mut bytes = Vec::new();
    let line = protocol::reply::begin_line(&mut bytes, "redact").word(&id);
    let line = line.pair("from_ms", posted.fields.get("from_ms"));
    let line = line.pair("to_ms", posted.fields.get("to_ms"));
    line.pair("reason", posted.fields.get("reason").trim()).end();
    let line = String::from_utf8_lossy(&bytes).trim_end().to_owned();
    let mut connection = portal.box_client.connect_supervisor(user).await?;
    let reply = connection.request_within(&line, REMOVAL_TIMEOUT).await?;
    portal.decode_service.forget_recording(&id);
    reply.outcome.map_err(ConnectionError::Refused)?;
    let address = posted.current_user.client.address.to_string();
    portal.append_audit_event(user, &format!("removed a range of {id}"), &address).await?;
    Ok(Redirect::to(&format!("/records/{id}")))
}

/// Stores an identity that a supervisor supplied, until logout.
pub async fn add_identity(
    State(portal): SharedState,
    Path(id): Path<String>,
    posted: AuthedForm,
) -> Result<Response, AppError> {
    record_command("show", &id)?;
    if !portal
        .decode_service
        .add_session_identity(&posted.current_user.session.key, posted.fields.get("identity"))
    {
        let message = "This is not a complete identity. Paste the line that begins with \
                    AGE-SECRET-KEY-1, all of it."
            .to_owned();
        return Err(AppError::BadRequest(message));
    }
    let then = if posted.fields.get("then") == "read" { "" } else { "?listen=yes" };
    Ok(Redirect::to(&format!("/records/{id}{then}")).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::box_client::fake_box::FakeBox;

    #[tokio::test]
    async fn search_that_a_busy_box_cut_short_is_no_short_list() {
        let socket = FakeBox::spawn_answering(|line| {
            let text = match line {
                "show one" => "row what=field n=1 value=Miller\nok\n",
                "show gone" => "err no-such-record \"deleted\"\n",
                "show torn" => "err storage \"damaged\"\n",
                _ => "err busy \"later\"\n",
            };
            text.to_owned()
        });
        let mut connection = BoxConnection::connect(&socket).await.unwrap();
        let rows = |ids: &[&str]| {
            let row = |id: &&str| Pairs(vec![("recording".to_owned(), (*id).to_owned())]);
            ids.iter().map(row).collect::<Vec<_>>()
        };
        let found = filter_by_field(&mut connection, rows(&["gone", "torn", "one"]), "miller")
            .await
            .unwrap();
        assert_eq!((found.0.len(), found.1), (1, 1));
        assert!(filter_by_field(&mut connection, rows(&["one", "two"]), "miller").await.is_err());
    }

    #[test]
    fn a_search_becomes_one_line_whatever_is_typed() {
        let asked =
            [("from", "2026-11-22T10:00"), ("agent", "j doe\nquit"), ("ani", " "), ("x", "y")];
        let query = asked.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let zone = SiteZone::from_name("Europe/Berlin");
        let line = records_command(&query, &zone, 100);
        assert_eq!(line, "records from=2026-11-22T09:00:00Z agent=\"j doe quit\" limit=100");
        assert!(record_command("show", "abc123").is_ok());
        for bad in ["", "a b", "../x", "a\nb", &"a".repeat(33)] {
            assert!(record_command("show", bad).is_err(), "{bad}");
        }
        assert_eq!(format_duration(3_723_000), "1:02:03");
    }
}
