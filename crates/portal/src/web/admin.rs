//! Administration: recorder health, accounts, sessions and the audit log.
//!
//! Requires the permission `admin`, which the recorder is asked for on each request. Recorder
//! figures come from a read-only session. Passwords can be set here and are never shown.

use super::pages::{AccountRow, AdminPage, PageContext, Table, render_html};
use super::{AppError, AppState};
use crate::accounts::audit_log::AuditEvent;
use crate::accounts::sessions::Session;
use crate::accounts::{self, Account};
use crate::accounts::{audit_log, password, sessions};
use crate::box_client::connection::ConnectionError;
use crate::clock;
use crate::site_time::SiteZone;
use crate::web::extract::{AuthedForm, CurrentUser};
use axum::extract::{Query, State};
use axum::response::{Html, Redirect};
use protocol::client::Pairs;
use protocol::name::is_same_name;
use std::collections::BTreeMap;
use std::sync::Arc;
use zeroize::Zeroizing;

type SharedState = State<Arc<AppState>>;

/// Audit events on a page.
const AUDIT_EVENTS_MAX: u32 = 50;
const BOX_EVENTS_MAX: usize = 50;

/// Messages shown after a form, by result code.
const RESULT_TEXTS: [(&str, &str); 7] = [
    ("done", "Done."),
    ("exists", "There is an account of this name already."),
    ("unknown", "There is no account of this name."),
    ("name", "A username has 1 to 32 bytes, all of them visible characters."),
    ("email", "This is no e-mail address."),
    ("password", "A password has at least 12 characters, and is not the username."),
    ("self", "You cannot disable your own account."),
];

/// Rejects users without the permission `admin`; asks the recorder each time.
async fn require_admin(portal: &AppState, member: &CurrentUser) -> Result<(), AppError> {
    let rights = portal.box_client.query_rights_of(&member.session.user).await?;
    if rights.has("admin") { Ok(()) } else { Err(AppError::Forbidden) }
}

fn format_pairs(pairs: &Pairs) -> String {
    let shown = pairs.0.iter().filter(|(key, _)| key != "what" && key != "code");
    shown.map(|(key, value)| format!("{key} {value}")).collect::<Vec<_>>().join(", ")
}

/// Table of the recorder's health figures.
async fn health_table(portal: &AppState) -> Result<Table, ConnectionError> {
    let mut connection = portal.box_client.connect_monitor().await?;
    let (rows, _) = connection.request_ok("status").await?;
    let (_, disk) = connection.request_ok("disk").await?;
    let mut table_rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| vec![row.get("what").unwrap_or("-").to_owned(), format_pairs(row)])
        .collect();
    table_rows.push(vec!["disk".to_owned(), format_pairs(&disk)]);
    Ok(Table { id: "health", title: "The box", keys: vec!["What", "How"], rows: table_rows })
}

fn sessions_table(all: &[Session], zone: &SiteZone) -> Table {
    let row = |one: &Session| {
        let (began, seen) = (zone.format_seconds(one.created_at), zone.format_seconds(one.seen_at));
        vec![one.user.clone(), began, seen, one.address.clone(), one.browser.clone()]
    };
    let keys = vec!["User", "Since", "Seen", "From", "Browser"];
    Table { id: "sessions", title: "Sessions", keys, rows: all.iter().map(row).collect() }
}

const EVENT_TITLES: [(&str, &str); 11] = [
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

/// Table of the recorder's recent events.
fn box_events_table(portal: &AppState, zone: &SiteZone) -> Table {
    let (all, lost) = portal.box_events.newest_events(BOX_EVENTS_MAX);
    let named = |what: &str| {
        let known = EVENT_TITLES.iter().find(|(word, _)| *word == what);
        known.map_or(what, |(_, text)| *text).to_owned()
    };
    let row = |event: &Pairs| {
        let shown = event.0.iter().filter(|(key, _)| !["seq", "what", "time"].contains(&&**key));
        let how: Vec<String> = shown.map(|(key, value)| format!("{key} {value}")).collect();
        let at = zone.format_text(event.get("time").unwrap_or_default());
        vec![at, named(event.get("what").unwrap_or_default()), how.join(", ")]
    };
    let lost = lost.map(|why| vec![String::new(), "Nothing newer is known".to_owned(), why]);
    let rows = lost.into_iter().chain(all.iter().map(row)).collect();
    let keys = vec!["When", "What", "How"];
    Table { id: "happened", title: "At the box lately", keys, rows }
}

fn audit_events_table(all: &[AuditEvent], zone: &SiteZone) -> Table {
    let row = |one: &AuditEvent| {
        vec![zone.format_seconds(one.at), one.user.clone(), one.action.clone(), one.address.clone()]
    };
    let keys = vec!["When", "Who", "What", "From"];
    Table { id: "events", title: "At the portal lately", keys, rows: all.iter().map(row).collect() }
}

pub async fn admin_page(
    State(portal): SharedState,
    member: CurrentUser,
    Query(query): Query<BTreeMap<String, String>>,
) -> Result<Html<String>, AppError> {
    require_admin(&portal, &member).await?;
    let frame = PageContext::for_user(&portal, &member, "Administration").await;
    let (now, rule) = (clock::unix_seconds(), portal.session_policy());
    let question = move |db: &rusqlite::Connection| {
        let sessions = sessions::list_sessions(db, now, rule)?;
        Ok((
            accounts::list_accounts(db)?,
            sessions,
            audit_log::newest_events(db, AUDIT_EVENTS_MAX)?,
        ))
    };
    let (all, alive, lately) = portal.db.call(question).await?;
    let zone = frame.rights.zone.clone();
    let lately = audit_events_table(&lately, &zone);
    let tables = vec![
        health_table(&portal).await?,
        box_events_table(&portal, &zone),
        sessions_table(&alive, &zone),
        lately,
    ];
    let account = |account: &Account| AccountRow {
        name: account.name.clone(),
        email: account.email.clone(),
        disabled: account.is_disabled,
        sessions: alive.iter().filter(|s| is_same_name(&s.user, &account.name)).count(),
    };
    let accounts = all.iter().map(account).collect();
    let word = query.get("said").map(String::as_str).unwrap_or_default();
    let message =
        RESULT_TEXTS.iter().find(|(known, _)| *known == word).map_or("", |(_, text)| text);
    let bad = !message.is_empty() && word != "done";
    render_html(&AdminPage { frame, message, bad, tables, accounts })
}

pub async fn change_account(
    State(portal): SharedState,
    mut posted: AuthedForm,
) -> Result<Redirect, AppError> {
    require_admin(&portal, &posted.current_user).await?;
    let name = posted.fields.take_field("name").trim().to_owned();
    let wanted = posted.fields.take_field("do");
    let own = is_same_name(&posted.current_user.session.user, &name);
    let word = match wanted.as_str() {
        "disable" if own => "self",
        "disable" | "enable" => {
            let (name, off) = (name.clone(), wanted == "disable");
            result_code(portal.db.call(move |db| accounts::set_disabled(db, &name, off)).await?)
        }
        "log-out" => {
            let name = name.clone();
            portal.db.call(move |db| sessions::end_sessions_of(db, &name)).await?;
            "done"
        }
        "add" | "password" => save_account(&portal, &name, &mut posted, wanted == "add").await?,
        _ => return Err(AppError::BadRequest("There is no such button.".to_owned())),
    };
    portal.notify_sessions_changed();
    if word == "done" {
        let what = format!("{wanted}: account {name}");
        let address = posted.current_user.client.address.to_string();
        portal.append_audit_event(&posted.current_user.session.user, &what, &address).await?;
    }
    Ok(Redirect::to(&format!("/admin?said={word}")))
}

fn result_code(found: bool) -> &'static str {
    if found { "done" } else { "unknown" }
}

/// Creates an account or sets its password.
async fn save_account(
    portal: &AppState,
    name: &str,
    posted: &mut AuthedForm,
    new: bool,
) -> Result<&'static str, AppError> {
    let email = posted.fields.take_field("email").trim().to_owned();
    let secret = Zeroizing::new(posted.fields.take_field("password"));
    if !accounts::is_valid_username(name) {
        return Ok("name");
    }
    if !accounts::is_valid_email(&email) {
        return Ok("email");
    }
    if password::check_policy(&secret, name).is_err() {
        return Ok("password");
    }
    let hash = portal.hasher.hash(secret).await?;
    let name = name.to_owned();
    if !new {
        return Ok(result_code(
            portal.db.transact(move |db| accounts::set_hash(db, &name, &hash)).await?,
        ));
    }
    let made = clock::unix_seconds();
    let account = Account { name, hash, email, is_disabled: false, created_at: made };
    let added = portal.db.call(move |db| accounts::add_account(db, &account)).await?;
    Ok(if added { "done" } else { "exists" })
}
