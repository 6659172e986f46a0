//! Records: searching, and one with all that is known of it.
//!
//! The box decides which records somebody sees. A record's page tells what the box can open; where
//! it cannot and an identity is at hand, numbers and fields are opened here. Only who presses
//! *Listen* opens the sound. The box journals both. Fields are searched by asking the box
//! for each record that fits the rest; what is sealed to the box itself is counted, and said. Where
//! a page ends the next one goes on. Nothing here holds sound: see `sound`.

use super::pages::{Frame, RecordPage, RecordsPage, html, html_wiped};
use super::{Fault, Portal};
use crate::box_client::connection::{Talk, TalkError};
use crate::media::decode::{Opened, Opener, Shape, Stretch, VaultError};
use crate::media::facts;
use crate::media::facts::{Envelope, Rows};
use crate::media::playback::Request;
use crate::web::extract::{Member, Posted};
use crate::web::waveform;
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::{Html, IntoResponse, Redirect, Response};
use protocol::Code;
use protocol::client::Pairs;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

type Shared = State<Arc<Portal>>;

/// What stands in place of what is not opened here.
const SEALED: &str = "sealed";
/// Records of a page.
const LIMIT: usize = 100;
/// Records that are looked into for a field.
const LOOKED: usize = 200;
/// Numbers are sealed: the box opens record after record, some 2000 a second, and says nothing
/// until one fits.
const NUMBERS: Duration = Duration::from_secs(300);
/// What a form may ask of the box, as it is.
const KEYS: [&str; 5] = ["agent", "device", "call", "ani", "dnis"];

/// One line of the list.
pub struct Row {
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

/// Something that happened to a recording, and when.
pub struct Step {
    pub at: String,
    pub by: String,
    pub what: String,
}

fn get(pairs: &Pairs, key: &str) -> String {
    let value = pairs.get(key).unwrap_or("-");
    if value == "-" { String::new() } else { value.to_owned() }
}

/// Milliseconds as people write lengths.
pub fn length(ms: u64) -> String {
    let s = ms / 1000;
    format!("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
}

/// A moment of the box without its fraction and its letters.
pub fn moment(text: &str) -> String {
    text.get(..19).unwrap_or(text).replace('T', " ")
}

fn row(pairs: &Pairs) -> Row {
    Row {
        id: get(pairs, "recording"),
        start: moment(&get(pairs, "start")),
        length: length(get(pairs, "duration_ms").parse().unwrap_or(0)),
        agent: get(pairs, "agent"),
        device: get(pairs, "device"),
        call: get(pairs, "call"),
        direction: get(pairs, "direction"),
        blackouts: get(pairs, "blackouts"),
        lost: get(pairs, "lost"),
        protected: pairs.get("protected") == Some("on"),
    }
}

/// A day or a moment as forms give it, in UTC.
fn rfc3339(text: &str) -> String {
    match text.len() {
        10 => format!("{text}T00:00:00Z"),
        16 => format!("{text}:00Z"),
        19 => format!("{text}Z"),
        _ => text.to_owned(),
    }
}

/// The command that a search comes to.
fn question(query: &BTreeMap<String, String>, limit: usize) -> String {
    let given = |key: &str| query.get(key).map(|v| v.trim()).filter(|v| !v.is_empty());
    let mut bytes = Vec::new();
    let mut line = protocol::reply::line(&mut bytes, "records");
    if let Some(value) = given("from") {
        line = line.pair("from", rfc3339(value));
    }
    // Where the page before ended.
    if let Some(value) = given("before").or(given("to")) {
        line = line.pair("to", rfc3339(value));
    }
    for key in KEYS {
        if let Some(value) = given(key) {
            line = line.pair(key, value);
        }
    }
    line.pair("limit", limit).end();
    String::from_utf8_lossy(&bytes).trim_end().to_owned()
}

/// A command about one recording.
pub fn about(verb: &str, id: &str) -> Result<String, Fault> {
    let formed = !id.is_empty() && id.len() <= 32 && id.bytes().all(|b| b.is_ascii_alphanumeric());
    if formed { Ok(format!("{verb} {id}")) } else { Err(Fault::NotFound) }
}

pub async fn list(
    State(portal): Shared,
    member: Member,
    Query(query): Query<BTreeMap<String, String>>,
) -> Result<Html<String>, Fault> {
    let frame = Frame::of(&portal, &member, "Records").await;
    let field = query.get("field").map(|v| v.trim().to_lowercase()).unwrap_or_default();
    let limit = if field.is_empty() { LIMIT } else { LOOKED };
    let mut talk = portal.desk.supervisor(&member.session.user).await?;
    let by_number =
        ["ani", "dnis"].iter().any(|key| query.get(*key).is_some_and(|v| !v.is_empty()));
    let asked = question(&query, limit);
    let reply = match by_number {
        true => talk.ask_within(&asked, NUMBERS).await?,
        false => talk.ask(&asked).await?,
    };
    let (found, sealed, said) = match reply.outcome {
        Ok(ok) => (reply.rows, count(&ok, "sealed"), String::new()),
        Err(failure) => (Vec::new(), 0, failure.text),
    };
    let all = found.len();
    let before = found.last().filter(|_| all == limit).and_then(just_after);
    let (found, unread) = match field.is_empty() {
        true => (found, 0),
        false => holding(&mut talk, found, &field).await?,
    };
    let rows = found.iter().map(row).collect();
    let value = |key: &str| query.get(key).cloned().unwrap_or_default();
    let asked = ["from", "to", "agent", "device", "call", "ani", "dnis", "field"].map(value);
    let later = query.contains_key("before");
    let sealed = sealed + unread;
    html(&RecordsPage { frame, rows, asked, said, before, later, limit, sealed })
}

fn count(pairs: &Pairs, key: &str) -> usize {
    pairs.get(key).and_then(|value| value.parse().ok()).unwrap_or(0)
}

/// The moment after a record began: what began at the same one is on the next page once more,
/// rather than on none.
fn just_after(row: &Pairs) -> Option<String> {
    let start: jiff::Timestamp = row.get("start")?.parse().ok()?;
    start.checked_add(jiff::SignedDuration::from_millis(1)).ok().map(|at| at.to_string())
}

/// Those of which a field holds this text, and how many could not be looked into.
async fn holding(
    talk: &mut Talk,
    all: Vec<Pairs>,
    text: &str,
) -> Result<(Vec<Pairs>, usize), Fault> {
    let (mut found, mut sealed) = (Vec::new(), 0);
    for one in all {
        let reply = talk.ask(&about("show", one.get("recording").unwrap_or_default())?).await?;
        match reply.outcome {
            Ok(_) => {}
            Err(failure) if failure.code() == Some(Code::NoSuchRecord) => continue,
            // One that the disk does not give takes nothing from the others.
            Err(failure) if failure.code() == Some(Code::Storage) => {
                sealed += 1;
                continue;
            }
            // Not to have looked is not to have found nothing.
            Err(failure) => return Err(TalkError::Refused(failure).into()),
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

/// What `show` says, put in order.
struct Told {
    record: Pairs,
    rate: u64,
    from: u64,
    frames: u64,
    start_ms: i64,
}

impl Drop for Told {
    fn drop(&mut self) {
        facts::wipe(&mut self.record);
    }
}

impl Told {
    fn of(rows: &[Pairs]) -> Option<Told> {
        let record = rows.iter().find(|row| row.get("what") == Some("record"))?.clone();
        let number = |key| record.get(key).and_then(|v| v.parse::<u64>().ok());
        let (rate, from) = (number("rate")?.max(1), number("from")?);
        let start: jiff::Timestamp = record.get("start")?.parse().ok()?;
        let frames = number("to").unwrap_or(from).saturating_sub(from);
        Some(Told { rate, from, frames, start_ms: start.as_millisecond(), record })
    }

    /// When a position was, on the recording's own clock.
    fn at(&self, position: u64) -> String {
        let ms = position.saturating_sub(self.from) * 1000 / self.rate;
        let ms = self.start_ms.saturating_add(i64::try_from(ms).unwrap_or(i64::MAX));
        let at = jiff::Timestamp::from_millisecond(ms).unwrap_or_default();
        at.strftime("%Y-%m-%d %H:%M:%S").to_string()
    }

    fn length_ms(&self) -> u64 {
        self.frames * 1000 / self.rate
    }
}

fn position(row: &Pairs, key: &str) -> Option<u64> {
    row.get(key).and_then(|value| value.parse().ok())
}

fn steps(told: &Told, rows: &[Pairs]) -> Vec<Step> {
    let mut steps = vec![Step {
        at: told.at(told.from),
        by: get(&told.record, "reasons"),
        what: "Recording began".to_owned(),
    }];
    for row in rows {
        let by = get(row, "by");
        match row.get("what") {
            Some("blackout") => {
                let (from, to) = (position(row, "from"), position(row, "to"));
                let holder = get(row, "holder");
                let what = format!("Blackout began ({holder})");
                steps.push(Step { at: told.at(from.unwrap_or(0)), by: by.clone(), what });
                if let Some(to) = to {
                    let what = format!("Blackout ended ({})", get(row, "ended"));
                    steps.push(Step { at: told.at(to), by, what });
                }
            }
            Some("fetched") => {
                let what = match row.get("for") {
                    Some("play") => "Listened to",
                    Some("export") => "Exported",
                    Some("play-screen") => "Screen watched",
                    Some("export-screen") => "Screen exported",
                    Some("facts") => "Given numbers and fields, sealed",
                    _ => "Fetched",
                };
                steps.push(Step { at: moment(&get(row, "time")), by, what: what.to_owned() });
            }
            Some("history") => {
                let sealed = told.record.get("sealed") == Some("yes");
                let value = if sealed { SEALED.to_owned() } else { get(row, "value") };
                let what = format!("Field {}: {value}", get(row, "n"));
                steps.push(Step { at: moment(&get(row, "time")), by, what });
            }
            Some("span") if row.get("fate") != Some("masked") => {
                let at = told.at(position(row, "from").unwrap_or(0));
                let what = format!("{}: {}", get(row, "fate"), get(row, "why"));
                steps.push(Step { at, by: String::new(), what });
            }
            _ => {}
        }
    }
    let ended = get(&told.record, "ended");
    if !ended.is_empty() {
        let at = told.at(told.from + told.frames);
        steps.push(Step { at, by: String::new(), what: format!("Recording ended ({ended})") });
    }
    steps.sort_by(|a, b| a.at.cmp(&b.at));
    if let Some(more) = rows.iter().find(|row| row.get("what") == Some("more")) {
        let what = format!("{} more, which `hushbox show` on the box tells", get(more, "rows"));
        steps.push(Step { at: String::new(), by: String::new(), what });
    }
    steps
}

/// Where it is silent on purpose, as the box says, in frames of the recording.
fn spans(told: &Told, rows: &[Pairs]) -> Vec<Stretch> {
    let spans = rows.iter().filter(|row| row.get("what") == Some("span"));
    let place = |row: &Pairs, key| position(row, key).unwrap_or(0).saturating_sub(told.from);
    spans
        .map(|row| Stretch {
            fate: get(row, "fate"),
            from: place(row, "from"),
            to: place(row, "to"),
        })
        .collect()
}

/// Facts of the head, in the order of the page.
const FACTS: [(&str, &str); 12] = [
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

/// All that `show` says, and why numbers and fields stay sealed although there is something here
/// that should open them.
async fn shown(portal: &Portal, who: &Opener, question: &str) -> Result<(Rows, String), Fault> {
    let mut talk = portal.desk.supervisor(&who.user).await?;
    let (rows, _) = talk.need(question).await?;
    let rows = Rows::new(rows);
    if !rows.is_sealed() || !portal.vault.can_open(&who.key) {
        return Ok((rows, String::new()));
    }
    match opened(portal, who, (&mut talk, question)).await {
        Ok(opened) => Ok((opened, String::new())),
        Err(error) => Ok((rows, error.to_string())),
    }
}

/// The same, opened here. The box journals who asked.
async fn opened(
    portal: &Portal,
    who: &Opener,
    (talk, question): (&mut Talk, &str),
) -> Result<Rows, VaultError> {
    let (rows, _) = talk.need(&format!("{question} sealed=on")).await?;
    let mut rows = Rows::new(rows);
    if rows.is_sealed() {
        let letter = portal.vault.letter(who, &Envelope::of(&rows)?).await?;
        rows.put(&letter)?;
    }
    Ok(rows)
}

/// Opened, and looked at to its end if that is wanted.
async fn listened(
    portal: &Portal,
    who: &Opener,
    (id, drawn): (&str, bool),
) -> Result<Arc<Opened>, VaultError> {
    let opened = portal.vault.open(who, id, |_| Request::Listen).await?;
    // Without a drawing it plays all the same.
    if drawn && let Err(error) = portal.vault.shape(who, id).await {
        log::warn!("recording {id} is not drawn: {error}");
    }
    Ok(opened)
}

pub async fn page(
    State(portal): Shared,
    member: Member,
    Path(id): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Result<Response, Fault> {
    let frame = Frame::of(&portal, &member, "Record").await;
    let question = about("show", &id)?;
    let opener = Opener { key: member.session.key.clone(), user: member.session.user.clone() };
    // Opened first, so that the page tells of it.
    let opened = match query.contains_key("listen") {
        true => Some(listened(&portal, &opener, (&id, query.contains_key("drawn"))).await),
        false => None,
    };
    let (rows, closed) = shown(&portal, &opener, &question).await?;
    let told = Told::of(&rows).ok_or_else(|| Fault::Inside("show without a record".to_owned()))?;
    let (opened, said) = match opened {
        Some(Ok(opened)) => (Some(opened), String::new()),
        Some(Err(error)) => (None, error.to_string()),
        None => (None, String::new()),
    };
    let drawn = || Shape { frames: told.frames, spans: spans(&told, &rows), ..Shape::default() };
    let known = opened.as_ref().and_then(|opened| opened.shape().cloned());
    let later = opened.is_some() && known.is_none();
    let shape = known.unwrap_or_else(drawn);
    let has = |film: &dyn Fn(&Opened) -> bool| opened.as_deref().is_some_and(film);
    let sealed = told.record.get("sealed") == Some("yes");
    let fact = |(key, label): (&'static str, &'static str)| {
        let value = get(&told.record, key);
        if sealed && ["ani", "dnis"].contains(&key) {
            return (label, SEALED.to_owned());
        }
        let value = if key == "retain_until" { moment(&value) } else { value };
        (label, if value.is_empty() { "–".to_owned() } else { value })
    };
    let field = |row: &Pairs| {
        let value = if sealed { SEALED.to_owned() } else { get(row, "value") };
        (format!("Field {}", get(row, "n")), value)
    };
    let fields = rows.iter().filter(|row| row.get("what") == Some("field")).map(field);
    let screen = rows.iter().any(|row| row.get("what") == Some("screen"))
        || told.record.get("codec") == Some("screen");
    // One that did not open this can be replaced by another.
    let opens = said.is_empty() && closed.is_empty();
    let given = portal.vault.is_given(&opener.key) && opens;
    let key = !portal.vault.has_identity() && !given;
    html_wiped(&RecordPage {
        facts: FACTS.into_iter().map(fact).collect(),
        fields: fields.collect(),
        steps: steps(&told, &rows),
        start: told.at(told.from),
        length: length(told.length_ms()),
        running: get(&told.record, "ended").is_empty(),
        hold: told.record.get("protected") == Some("on"),
        sealed,
        closed,
        wave: waveform::draw(&shape),
        frame,
        id,
        later,
        open: opened.is_some(),
        film: has(&|opened| opened.film),
        dark: opened.as_ref().and_then(|opened| opened.dark.clone()).unwrap_or_default(),
        screen,
        key,
        said,
    })
}

/// How loud an opened recording is, which takes seconds to find of a long one.
pub async fn picture(
    State(portal): Shared,
    member: Member,
    Path(id): Path<String>,
) -> Result<Json<Vec<waveform::Loud>>, Fault> {
    about("show", &id)?;
    let opener = Opener { key: member.session.key.clone(), user: member.session.user.clone() };
    let shape = portal.vault.shape(&opener, &id).await?.ok_or(Fault::NotFound)?;
    Ok(Json(waveform::loud(&shape)))
}

pub async fn protect(
    State(portal): Shared,
    Path(id): Path<String>,
    posted: Posted,
) -> Result<Redirect, Fault> {
    let on = if posted.fields.get("on") == "on" { "on" } else { "off" };
    let mut talk = portal.desk.supervisor(&posted.member.session.user).await?;
    talk.need(&format!("{} {on}", about("protect", &id)?)).await?;
    Ok(Redirect::to(&format!("/records/{id}")))
}

/// An identity that a supervisor brought along, for as long as he is logged in.
pub async fn identity(
    State(portal): Shared,
    Path(id): Path<String>,
    posted: Posted,
) -> Result<Response, Fault> {
    about("show", &id)?;
    if !portal.vault.give(&posted.member.session.key, posted.fields.get("identity")) {
        let said = "This is no identity: it begins with AGE-SECRET-KEY-1.".to_owned();
        return Err(Fault::Bad(said));
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
        let socket = FakeBox::answering(|line| {
            let text = match line {
                "show one" => "row what=field n=1 value=Miller\nok\n",
                "show gone" => "err no-such-record \"deleted\"\n",
                "show torn" => "err storage \"damaged\"\n",
                _ => "err busy \"later\"\n",
            };
            text.to_owned()
        });
        let mut talk = Talk::open(&socket).await.unwrap();
        let rows = |ids: &[&str]| {
            let row = |id: &&str| Pairs(vec![("recording".to_owned(), (*id).to_owned())]);
            ids.iter().map(row).collect::<Vec<_>>()
        };
        let found = holding(&mut talk, rows(&["gone", "torn", "one"]), "miller").await.unwrap();
        assert_eq!((found.0.len(), found.1), (1, 1));
        assert!(holding(&mut talk, rows(&["one", "two"]), "miller").await.is_err());
    }

    #[test]
    fn a_search_becomes_one_line_whatever_is_typed() {
        let asked =
            [("from", "2026-11-22T10:00"), ("agent", "j doe\nquit"), ("ani", " "), ("x", "y")];
        let query = asked.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let line = question(&query, 100);
        assert_eq!(line, "records from=2026-11-22T10:00:00Z agent=\"j doe quit\" limit=100");
        assert!(about("show", "abc123").is_ok());
        for bad in ["", "a b", "../x", "a\nb", &"a".repeat(33)] {
            assert!(about("show", bad).is_err(), "{bad}");
        }
        assert_eq!(
            (length(3_723_000), rfc3339("2026-11-22")),
            ("1:02:03".into(), "2026-11-22T00:00:00Z".into())
        );
    }
}
