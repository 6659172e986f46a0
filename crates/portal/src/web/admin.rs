//! Administration: the box's health, accounts, sessions, what happened lately.
//!
//! For who has the permission `admin`, which the box is asked for each time. The box's figures are
//! what a read-only session is told. Passwords are set here, and never shown.

use super::pages::{AccountRow, AdminPage, Frame, Table, html};
use super::{Fault, Portal};
use crate::accounts::audit_log::Event;
use crate::accounts::sessions::Session;
use crate::accounts::{self, Account};
use crate::accounts::{audit_log, password, sessions, users};
use crate::box_client::connection::TalkError;
use crate::clock;
use crate::web::extract::{Member, Posted};
use axum::extract::{Query, State};
use axum::response::{Html, Redirect};
use protocol::client::Pairs;
use std::collections::BTreeMap;
use std::sync::Arc;
use zeroize::Zeroizing;

type Shared = State<Arc<Portal>>;

/// Events of a page.
const EVENTS: u32 = 50;
const BOX_EVENTS: usize = 50;

/// What a form comes back with.
const SAID: [(&str, &str); 7] = [
    ("done", "Done."),
    ("exists", "There is an account of this name already."),
    ("unknown", "There is no account of this name."),
    ("name", "This is no username: 1 to 32 bytes without control characters."),
    ("email", "This is no e-mail address."),
    ("password", "A password has at least 12 characters, and is not the username."),
    ("self", "You cannot disable your own account."),
];

/// Only who may; asked anew each time.
async fn need(portal: &Portal, member: &Member) -> Result<(), Fault> {
    let rights = portal.desk.rights(&member.session.user).await?;
    if rights.has("admin") { Ok(()) } else { Err(Fault::Denied) }
}

fn pairs_text(pairs: &Pairs) -> String {
    let shown = pairs.0.iter().filter(|(key, _)| key != "what" && key != "code");
    shown.map(|(key, value)| format!("{key} {value}")).collect::<Vec<_>>().join(", ")
}

/// What the box says of itself.
async fn health(portal: &Portal) -> Result<Table, TalkError> {
    let mut talk = portal.desk.monitor().await?;
    let (rows, _) = talk.need("status").await?;
    let (_, disk) = talk.need("disk").await?;
    let mut told: Vec<Vec<String>> = rows
        .iter()
        .map(|row| vec![row.get("what").unwrap_or("-").to_owned(), pairs_text(row)])
        .collect();
    told.push(vec!["disk".to_owned(), pairs_text(&disk)]);
    Ok(Table { id: "health", title: "The box", keys: vec!["What", "How"], rows: told })
}

fn sessions_table(all: &[Session]) -> Table {
    let row = |one: &Session| {
        let (began, seen) = (clock::text(one.began), clock::text(one.seen));
        vec![one.user.clone(), began, seen, one.address.clone(), one.browser.clone()]
    };
    let keys = vec!["User", "Since (UTC)", "Seen (UTC)", "From", "Browser"];
    Table { id: "sessions", title: "Sessions", keys, rows: all.iter().map(row).collect() }
}

/// What the box's events are called.
const HAPPENED: [(&str, &str); 11] = [
    ("log-in", "Log-in"),
    ("log-out", "Log-out"),
    ("call-began", "Call began"),
    ("call-ended", "Call ended"),
    ("recording-began", "Recording began"),
    ("recording-ended", "Recording ended"),
    ("fetched", "Recording opened"),
    ("blackout", "Blackout"),
    ("alarm", "Alarm"),
    ("alarm-over", "Alarm is over"),
    ("lost", "Audio lost"),
];

/// The box's own events.
fn box_table(portal: &Portal) -> Table {
    let (all, lost) = portal.happened.newest(BOX_EVENTS);
    let named = |what: &str| {
        let known = HAPPENED.iter().find(|(word, _)| *word == what);
        known.map_or(what, |(_, text)| *text).to_owned()
    };
    let row = |event: &Pairs| {
        let shown = event.0.iter().filter(|(key, _)| !["seq", "what", "time"].contains(&&**key));
        let how: Vec<String> = shown.map(|(key, value)| format!("{key} {value}")).collect();
        let at = super::records::moment(event.get("time").unwrap_or_default());
        vec![at, named(event.get("what").unwrap_or_default()), how.join(", ")]
    };
    let lost = lost.map(|why| vec![String::new(), "Nothing newer is known".to_owned(), why]);
    let rows = lost.into_iter().chain(all.iter().map(row)).collect();
    let keys = vec!["When (UTC)", "What", "How"];
    Table { id: "happened", title: "At the box lately", keys, rows }
}

fn events_table(all: &[Event]) -> Table {
    let row = |one: &Event| {
        vec![clock::text(one.at), one.user.clone(), one.what.clone(), one.address.clone()]
    };
    let keys = vec!["When (UTC)", "Who", "What", "From"];
    Table { id: "events", title: "At the portal lately", keys, rows: all.iter().map(row).collect() }
}

pub async fn page(
    State(portal): Shared,
    member: Member,
    Query(query): Query<BTreeMap<String, String>>,
) -> Result<Html<String>, Fault> {
    need(&portal, &member).await?;
    let frame = Frame::of(&portal, &member, "Administration").await;
    let (now, rule) = (clock::seconds(), portal.session_rule());
    let question = move |db: &rusqlite::Connection| {
        let sessions = sessions::list(db, now, rule)?;
        Ok((accounts::list(db)?, sessions, audit_log::newest(db, EVENTS)?))
    };
    let (all, alive, lately) = portal.db.call(question).await?;
    let lately = events_table(&lately);
    let tables = vec![health(&portal).await?, box_table(&portal), sessions_table(&alive), lately];
    let account = |account: &Account| AccountRow {
        name: account.name.clone(),
        email: account.email.clone(),
        disabled: account.disabled,
        sessions: alive.iter().filter(|s| s.user.eq_ignore_ascii_case(&account.name)).count(),
    };
    let accounts = all.iter().map(account).collect();
    let word = query.get("said").map(String::as_str).unwrap_or_default();
    let said = SAID.iter().find(|(known, _)| *known == word).map_or("", |(_, text)| text);
    let bad = !said.is_empty() && word != "done";
    html(&AdminPage { frame, said, bad, tables, accounts })
}

pub async fn account(State(portal): Shared, mut posted: Posted) -> Result<Redirect, Fault> {
    need(&portal, &posted.member).await?;
    let name = posted.fields.take("name").trim().to_owned();
    let wanted = posted.fields.take("do");
    let own = posted.member.session.user.eq_ignore_ascii_case(&name);
    let word = match wanted.as_str() {
        "disable" if own => "self",
        "disable" | "enable" => {
            let (name, off) = (name.clone(), wanted == "disable");
            known(portal.db.call(move |db| accounts::set_disabled(db, &name, off)).await?)
        }
        "log-out" => {
            let name = name.clone();
            portal.db.call(move |db| sessions::end_all(db, &name)).await?;
            "done"
        }
        "add" | "password" => set(&portal, &name, &mut posted, wanted == "add").await?,
        _ => return Err(Fault::Bad("There is no such button.".to_owned())),
    };
    portal.poke();
    if word == "done" {
        let what = format!("{wanted}: account {name}");
        let address = posted.member.visitor.address.to_string();
        portal.note(&posted.member.session.user, &what, &address).await?;
    }
    Ok(Redirect::to(&format!("/admin?said={word}")))
}

fn known(found: bool) -> &'static str {
    if found { "done" } else { "unknown" }
}

/// Makes an account, or sets its password.
async fn set(
    portal: &Portal,
    name: &str,
    posted: &mut Posted,
    new: bool,
) -> Result<&'static str, Fault> {
    let email = posted.fields.take("email").trim().to_owned();
    let secret = Zeroizing::new(posted.fields.take("password"));
    if !users::is_name(name) {
        return Ok("name");
    }
    if !users::is_email(&email) {
        return Ok("email");
    }
    if password::judge(&secret, name).is_err() {
        return Ok("password");
    }
    let hash = portal.hasher.hash(secret).await;
    let hash = hash.map_err(|error| Fault::Inside(error.to_string()))?;
    let name = name.to_owned();
    if !new {
        return Ok(known(portal.db.call(move |db| accounts::set_hash(db, &name, &hash)).await?));
    }
    let made = clock::seconds();
    let account = Account { name, hash, email, disabled: false, made };
    let added = portal.db.call(move |db| accounts::add(db, &account)).await?;
    Ok(if added { "done" } else { "exists" })
}
