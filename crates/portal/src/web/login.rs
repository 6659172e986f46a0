//! Logging in and out (requirements C3 and C5).
//!
//! There is one message for every log-in that fails: wrong name, wrong password, locked, disabled.
//! A log-in always begins a new session, so that nobody can lay one out for somebody else. The
//! username is remembered in a cookie, if wanted; passwords are remembered by nobody.

use super::pages::{Frame, LoginPage, html};
use super::{Fault, Portal};
use crate::accounts::sessions;
use crate::accounts::sessions::Origin;
use crate::accounts::{lockout, token};
use crate::web::extract;
use crate::web::extract::{Guest, Member, Posted, Visitor};
use crate::{accounts, clock};
use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum_extra::extract::cookie::{Cookie, CookieJar};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use zeroize::Zeroizing;

/// The one message.
const FAILED: &str = "This username and password do not let you in. After several wrong attempts \
                      an account is locked for a while.";

type Shared = State<Arc<Portal>>;

/// Leads to the first page that somebody has.
pub async fn home(State(portal): Shared, member: Member) -> Redirect {
    match portal.rights(&member.session.user).await {
        Ok(rights) if !rights.agent && rights.lists() => Redirect::to("/records"),
        Ok(rights) if !rights.agent && rights.has("monitor") => Redirect::to("/board"),
        Ok(rights) if !rights.agent && rights.has("admin") => Redirect::to("/admin"),
        _ => Redirect::to("/agent"),
    }
}

pub async fn page(
    State(portal): Shared,
    visitor: Visitor,
    Query(query): Query<BTreeMap<String, String>>,
) -> Result<Response, Fault> {
    let said = match query.get("why").map(String::as_str) {
        Some("over") => "You were logged out because nothing was done for a while.",
        Some("out") => "You are logged out.",
        Some("set") => "Your new password is set. Log in with it.",
        _ => "",
    };
    form(&portal, &visitor, said, StatusCode::OK)
}

/// The form, with what is to be said above it.
fn form(
    portal: &Portal,
    visitor: &Visitor,
    said: &'static str,
    status: StatusCode,
) -> Result<Response, Fault> {
    let (secret, cookie) = visitor.form_secret(portal)?;
    let csrf = extract::form_word(portal, &secret);
    let frame = Frame { csrf, ..Frame::bare("Log in") };
    let name = visitor.name(portal);
    let page = html(&LoginPage { frame, name, said, failed: status != StatusCode::OK })?;
    Ok((status, cookies(cookie), page).into_response())
}

/// Headers that set cookies.
pub fn cookies(all: impl IntoIterator<Item = Cookie<'static>>) -> CookieJar {
    all.into_iter().fold(CookieJar::new(), CookieJar::add)
}

pub async fn log_in(State(portal): Shared, mut guest: Guest) -> Result<Response, Fault> {
    portal.may_try(guest.visitor.address)?;
    let name = guest.fields.take("username").trim().to_owned();
    let password = Zeroizing::new(guest.fields.take("password"));
    let Some(user) = check(&portal, &guest.visitor, name, password).await? else {
        portal.counters.log_ins_failed.fetch_add(1, Ordering::Relaxed);
        return form(&portal, &guest.visitor, FAILED, StatusCode::UNAUTHORIZED);
    };
    portal.counters.log_ins.fetch_add(1, Ordering::Relaxed);
    let (secret, csrf) = (token::new()?, token::new()?);
    let origin = Origin {
        address: guest.visitor.address.to_string(),
        browser: guest.visitor.browser.clone(),
    };
    let old = guest.visitor.secret(&portal).map(token::hash);
    let (key, who) = (secret.clone(), user.clone());
    let begin = move |db: &rusqlite::Connection| {
        if let Some(old) = old {
            sessions::end(db, &old)?;
        }
        sessions::begin(db, &who, (&key, &csrf), &origin, clock::seconds())
    };
    portal.db.call(begin).await?;
    portal.note(&user, "logged in", &guest.visitor.address.to_string()).await?;
    let remember = if guest.fields.get("remember").is_empty() { "" } else { &user };
    let cookies = cookies([
        extract::session_cookie(&portal, &secret),
        extract::name_cookie(&portal, remember),
    ]);
    Ok((cookies, Redirect::to("/")).into_response())
}

/// Whose name and password these are; `None`: nobody's, whatever is wrong.
pub async fn check(
    portal: &Portal,
    visitor: &Visitor,
    name: String,
    password: Zeroizing<String>,
) -> Result<Option<String>, Fault> {
    let asked = name.clone();
    let now = clock::seconds();
    let question = move |db: &rusqlite::Connection| {
        Ok((accounts::find(db, &asked)?, lockout::is_locked(db, &asked, now)?))
    };
    let (account, locked) = portal.db.call(question).await?;
    let account = account.filter(|account| !account.disabled);
    let hash = account.as_ref().filter(|_| !locked).map(|account| account.hash.clone());
    let right = portal.hasher.verify(hash, password).await;
    let user = account.map(|account| account.name);
    if right {
        portal.db.call(move |db| lockout::forgive(db, &name)).await?;
        return Ok(user);
    }
    if !locked {
        let rule = portal.lock_rule();
        let locks = portal.db.call(move |db| lockout::failed(db, &name, now, rule)).await?;
        if let Some(user) = user {
            let what = if locks { "locked after wrong passwords" } else { "wrong password" };
            portal.note(&user, what, &visitor.address.to_string()).await?;
        }
    }
    Ok(None)
}

pub async fn log_out(State(portal): Shared, posted: Posted) -> Result<Response, Fault> {
    let key = posted.member.session.key.clone();
    portal.db.call(move |db| sessions::end(db, &key)).await?;
    left(&portal, &posted.member, "logged out").await
}

pub async fn log_out_everywhere(State(portal): Shared, posted: Posted) -> Result<Response, Fault> {
    let user = posted.member.session.user.clone();
    portal.db.call(move |db| sessions::end_all(db, &user)).await?;
    left(&portal, &posted.member, "logged out everywhere").await
}

async fn left(portal: &Portal, member: &Member, what: &str) -> Result<Response, Fault> {
    portal.vault.forget(&member.session.key);
    portal.poke();
    portal.note(&member.session.user, what, &member.visitor.address.to_string()).await?;
    let gone = cookies([extract::session_cookie(portal, "")]);
    Ok((gone, Redirect::to("/login?why=out")).into_response())
}

/// Somebody is still there; the form itself has said so.
pub async fn stay(State(portal): Shared, posted: Posted) -> Response {
    portal.poke();
    if posted.member.visitor.script {
        return Json(serde_json::json!({ "ok": true })).into_response();
    }
    Redirect::to("/").into_response()
}
