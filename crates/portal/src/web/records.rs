//! Record search and record details.
//!
//! The recorder decides which records a user sees, and journals every access. If it cannot open a
//! record's numbers and fields, the portal opens them with an available identity. Audio is opened
//! only when the user presses *Listen*.
//!
//! A field search queries each record that matches the other criteria. Records whose fields are
//! sealed to the recorder are counted and reported. Audio is served by `audio`.

use super::pages::{PageContext, RecordPage, RecordsPage, render_html, render_zeroizing};
use super::{AppError, AppState};
use crate::box_client::connection::{BoxConnection, ConnectionError};
use crate::media::decode_service::{DecodedRecording, MediaError, Requester, Span, Waveform};
use crate::media::playback::PlaybackRequest;
use crate::media::sealed_facts;
use crate::media::sealed_facts::{RecordRows, SealedFacts};
use crate::web::extract::{AuthedForm, CurrentUser};
use crate::web::waveform;
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::{Html, IntoResponse, Redirect, Response};
use protocol::Code;
use protocol::client::Pairs;
use protocol::text::format_duration;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

type SharedState = State<Arc<AppState>>;

/// Text in place of a sealed value.
const SEALED_TEXT: &str = "sealed";
/// Records per page.
const PAGE_RECORDS: usize = 100;
/// Number of records searched for a field value.
const FIELD_SEARCH_RECORDS: usize = 200;
/// Time limit of a number search. The recorder opens about 2000 records per second and sends
/// nothing until one matches.
const NUMBER_SEARCH_TIMEOUT: Duration = Duration::from_secs(300);
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

/// An event of a recording, with its time.
pub struct TimelineEvent {
    pub at: String,
    pub by: String,
    pub what: String,
}

fn value_or_empty(pairs: &Pairs, key: &str) -> String {
    let value = pairs.get(key).unwrap_or("-");
    if value == "-" { String::new() } else { value.to_owned() }
}

/// Formats a recorder timestamp without fraction, `T` and `Z`.
pub fn format_time(text: &str) -> String {
    text.get(..19).unwrap_or(text).replace('T', " ")
}

fn record_row(pairs: &Pairs) -> RecordRow {
    RecordRow {
        id: value_or_empty(pairs, "recording"),
        start: format_time(&value_or_empty(pairs, "start")),
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

/// Converts a date or time from a form, in UTC.
fn to_rfc3339(text: &str) -> String {
    match text.len() {
        10 => format!("{text}T00:00:00Z"),
        16 => format!("{text}:00Z"),
        19 => format!("{text}Z"),
        _ => text.to_owned(),
    }
}

/// Builds the `records` command of a search.
fn records_command(query: &BTreeMap<String, String>, limit: usize) -> String {
    let given = |key: &str| query.get(key).map(|v| v.trim()).filter(|v| !v.is_empty());
    let mut bytes = Vec::new();
    let mut line = protocol::reply::begin_line(&mut bytes, "records");
    if let Some(value) = given("from") {
        line = line.pair("from", to_rfc3339(value));
    }
    // The cursor where the previous page ended.
    if let Some(value) = given("before").or(given("to")) {
        line = line.pair("to", to_rfc3339(value));
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
    let asked = records_command(&query, limit);
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
    let rows = found.iter().map(record_row).collect();
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
    let start: jiff::Timestamp = row.get("start")?.parse().ok()?;
    start.checked_add(jiff::SignedDuration::from_millis(1)).ok().map(|at| at.to_string())
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

/// Sorted rows of a `show` reply.
struct RecordInfo {
    record: Pairs,
    rate: u64,
    from: u64,
    frames: u64,
    start_ms: i64,
}

impl Drop for RecordInfo {
    fn drop(&mut self) {
        sealed_facts::zeroize_row(&mut self.record);
    }
}

impl RecordInfo {
    fn from_rows(rows: &[Pairs]) -> Option<RecordInfo> {
        let mut record = rows.iter().find(|row| row.get("what") == Some("record"))?.clone();
        // A detail that is too long for the row of the record has a row of its own.
        for row in rows.iter().filter(|row| row.get("what") == Some("detail")) {
            let place = record.0.iter_mut().find(|(key, _)| row.get("key") == Some(key.as_str()));
            if let (Some((_, value)), Some(whole)) = (place, row.get("value")) {
                whole.clone_into(value);
            }
        }
        let number = |key| record.get(key).and_then(|v| v.parse::<u64>().ok());
        let (rate, from) = (number("rate")?.max(1), number("from")?);
        let start: jiff::Timestamp = record.get("start")?.parse().ok()?;
        let frames = number("to").unwrap_or(from).saturating_sub(from);
        Some(RecordInfo { rate, from, frames, start_ms: start.as_millisecond(), record })
    }

    /// Time of a position on the recording's own clock.
    fn time_at(&self, position: u64) -> String {
        let ms = position.saturating_sub(self.from) * 1000 / self.rate;
        let ms = self.start_ms.saturating_add(i64::try_from(ms).unwrap_or(i64::MAX));
        let at = jiff::Timestamp::from_millisecond(ms).unwrap_or_default();
        at.strftime("%Y-%m-%d %H:%M:%S").to_string()
    }

    fn duration_ms(&self) -> u64 {
        self.frames * 1000 / self.rate
    }
}

fn parse_position(row: &Pairs, key: &str) -> Option<u64> {
    row.get(key).and_then(|value| value.parse().ok())
}

/// Describes a fetch by its journalled purpose.
fn describe_fetch(purpose: Option<&str>) -> &'static str {
    match purpose {
        Some("play") => "Listened to",
        Some("export") => "Exported",
        Some("play-screen") => "Screen watched",
        Some("export-screen") => "Screen exported",
        Some("facts") => "Given numbers and fields, sealed",
        _ => "Fetched",
    }
}

/// A press for a blackout that came too late to mask a range.
fn unmasked_event(info: &RecordInfo, row: &Pairs) -> TimelineEvent {
    let at = |key| info.time_at(parse_position(row, key).unwrap_or(0));
    let what = format!("NOT MASKED until {}: a press for a blackout came too late", at("to"));
    TimelineEvent { at: at("from"), by: value_or_empty(row, "by"), what }
}

fn timeline_events(info: &RecordInfo, rows: &[Pairs]) -> Vec<TimelineEvent> {
    let mut steps = vec![TimelineEvent {
        at: info.time_at(info.from),
        by: value_or_empty(&info.record, "reasons"),
        what: "Recording began".to_owned(),
    }];
    for row in rows {
        let by = value_or_empty(row, "by");
        match row.get("what") {
            Some("blackout") => {
                let (from, to) = (parse_position(row, "from"), parse_position(row, "to"));
                let holder = value_or_empty(row, "holder");
                let what = format!("Blackout began ({holder})");
                steps.push(TimelineEvent {
                    at: info.time_at(from.unwrap_or(0)),
                    by: by.clone(),
                    what,
                });
                if let Some(to) = to {
                    let what = format!("Blackout ended ({})", value_or_empty(row, "ended"));
                    steps.push(TimelineEvent { at: info.time_at(to), by, what });
                }
            }
            Some("unmasked") => steps.push(unmasked_event(info, row)),
            Some("fetched") => {
                let what = describe_fetch(row.get("for"));
                steps.push(TimelineEvent {
                    at: format_time(&value_or_empty(row, "time")),
                    by,
                    what: what.to_owned(),
                });
            }
            Some("history") => {
                let sealed = info.record.get("sealed") == Some("yes");
                let value =
                    if sealed { SEALED_TEXT.to_owned() } else { value_or_empty(row, "value") };
                let what = format!("Field {}: {value}", value_or_empty(row, "n"));
                steps.push(TimelineEvent {
                    at: format_time(&value_or_empty(row, "time")),
                    by,
                    what,
                });
            }
            Some("span") if row.get("fate") != Some("masked") => {
                let at = info.time_at(parse_position(row, "from").unwrap_or(0));
                let what = waveform::describe_span(row, info.rate);
                steps.push(TimelineEvent { at, by: String::new(), what });
            }
            _ => {}
        }
    }
    let ended = value_or_empty(&info.record, "ended");
    if !ended.is_empty() {
        let at = info.time_at(info.from + info.frames);
        steps.push(TimelineEvent {
            at,
            by: String::new(),
            what: format!("Recording ended ({ended})"),
        });
    }
    steps.sort_by(|a, b| a.at.cmp(&b.at));
    if let Some(more) = rows.iter().find(|row| row.get("what") == Some("more")) {
        let what =
            format!("{} more, which `hushbox show` on the box tells", value_or_empty(more, "rows"));
        steps.push(TimelineEvent { at: String::new(), by: String::new(), what });
    }
    steps
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
    let info = RecordInfo::from_rows(&rows)
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
    let fact = |(key, label): (&'static str, &'static str)| {
        let value = value_or_empty(&info.record, key);
        if sealed && ["ani", "dnis"].contains(&key) {
            return (label, SEALED_TEXT.to_owned());
        }
        let value = if key == "retain_until" { format_time(&value) } else { value };
        (label, if value.is_empty() { "–".to_owned() } else { value })
    };
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
    render_zeroizing(&RecordPage {
        facts: FACT_TITLES.into_iter().map(fact).collect(),
        fields: fields.collect(),
        steps: timeline_events(&info, &rows),
        start: info.time_at(info.from),
        length: format_duration(info.duration_ms()),
        running: value_or_empty(&info.record, "ended").is_empty(),
        hold: info.record.get("protected") == Some("on"),
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
        let line = records_command(&query, 100);
        assert_eq!(line, "records from=2026-11-22T10:00:00Z agent=\"j doe quit\" limit=100");
        assert!(record_command("show", "abc123").is_ok());
        for bad in ["", "a b", "../x", "a\nb", &"a".repeat(33)] {
            assert!(record_command("show", bad).is_err(), "{bad}");
        }
        assert_eq!(
            (format_duration(3_723_000), to_rfc3339("2026-11-22")),
            ("1:02:03".into(), "2026-11-22T00:00:00Z".into())
        );
    }
}
