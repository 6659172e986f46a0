//! Login and logout (requirements C3 and C5).
//!
//! Every failed login gets the same message: unknown name, wrong password, locked or disabled. Each
//! login creates a new session, which prevents session fixation. A cookie may remember the
//! username, never the password.

use super::pages::{LoginPage, PageContext, render_html};
use super::{AppError, AppState};
use crate::accounts::lockout::Attempt;
use crate::accounts::sessions;
use crate::accounts::sessions::LoginOrigin;
use crate::accounts::{Account, lockout, token};
use crate::web::extract;
use crate::web::extract::{AnonForm, AuthedForm, ClientInfo, CurrentUser};
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

/// Message for every failed login.
const LOGIN_FAILED_TEXT: &str = "Incorrect username or password. After several failed attempts \
                                 the account is locked temporarily.";

type SharedState = State<Arc<AppState>>;

/// Redirects to the user's first page.
pub async fn redirect_home(State(portal): SharedState, member: CurrentUser) -> Redirect {
    match portal.cached_rights(&member.session.user).await {
        Ok(rights) if !rights.agent && rights.lists() => Redirect::to("/records"),
        Ok(rights) if !rights.agent && rights.has("monitor") => Redirect::to("/board"),
        Ok(rights) if !rights.agent && rights.has("admin") => Redirect::to("/admin"),
        _ => Redirect::to("/agent"),
    }
}

pub async fn login_page(
    State(portal): SharedState,
    visitor: ClientInfo,
    Query(query): Query<BTreeMap<String, String>>,
) -> Result<Response, AppError> {
    let message = match query.get("why").map(String::as_str) {
        Some("over") => "You were logged out after a time without activity.",
        Some("out") => "You are logged out.",
        Some("set") => "Your new password is set. Log in with it.",
        _ => "",
    };
    login_form(&portal, &visitor, message, StatusCode::OK)
}

/// Renders the login form with a message.
fn login_form(
    portal: &AppState,
    visitor: &ClientInfo,
    message: &'static str,
    status: StatusCode,
) -> Result<Response, AppError> {
    let (secret, cookie) = visitor.form_secret(portal)?;
    let csrf = extract::form_token(portal, &secret);
    let frame = PageContext { csrf, ..PageContext::anonymous("Log in") };
    let name = visitor.remembered_name(portal);
    let page = render_html(&LoginPage { frame, name, message, failed: status != StatusCode::OK })?;
    Ok((status, set_cookies(cookie), page).into_response())
}

/// Headers that set cookies.
pub fn set_cookies(all: impl IntoIterator<Item = Cookie<'static>>) -> CookieJar {
    all.into_iter().fold(CookieJar::new(), CookieJar::add)
}

pub async fn log_in(State(portal): SharedState, mut guest: AnonForm) -> Result<Response, AppError> {
    portal.check_attempt_limit(guest.client.address)?;
    let name = guest.fields.take_field("username").trim().to_owned();
    let password = Zeroizing::new(guest.fields.take_field("password"));
    let Some(account) = verify_credentials(&portal, &guest.client, name, password).await? else {
        portal.counters.log_ins_failed.fetch_add(1, Ordering::Relaxed);
        return login_form(&portal, &guest.client, LOGIN_FAILED_TEXT, StatusCode::UNAUTHORIZED);
    };
    let (secret, csrf) = (token::new()?, token::new()?);
    let origin = LoginOrigin {
        address: guest.client.address.to_string(),
        browser: guest.client.browser.clone(),
    };
    let old = guest.client.session_token(&portal).map(token::hash);
    let (key, user) = (secret.clone(), account.name.clone());
    let begin = move |db: &rusqlite::Connection| {
        if !accounts::is_current(db, &account.name, &account.hash)? {
            return Ok(false);
        }
        if let Some(old) = old {
            sessions::end_session(db, &old)?;
        }
        let now = clock::unix_seconds();
        sessions::create_session(db, &account.name, (&key, &csrf), &origin, now)?;
        Ok(true)
    };
    if !portal.db.transact(begin).await? {
        // Disabled, or given another password, while this one was checked.
        return login_form(&portal, &guest.client, LOGIN_FAILED_TEXT, StatusCode::UNAUTHORIZED);
    }
    portal.counters.log_ins.fetch_add(1, Ordering::Relaxed);
    portal.append_audit_event(&user, "logged in", &guest.client.address.to_string()).await?;
    let remember = if guest.fields.get("remember").is_empty() { "" } else { &user };
    let cookies = set_cookies([
        extract::session_cookie(&portal, &secret),
        extract::name_cookie(&portal, remember),
    ]);
    Ok((cookies, Redirect::to("/")).into_response())
}

/// Verifies credentials and returns the account, or `None` for any failure. The attempt is counted
/// first, so guesses at the same time do not pass the lockout.
pub async fn verify_credentials(
    portal: &AppState,
    visitor: &ClientInfo,
    name: String,
    password: Zeroizing<String>,
) -> Result<Option<Account>, AppError> {
    let (asked, now, rule) = (name.clone(), clock::unix_seconds(), portal.lockout_policy());
    let begin = move |db: &rusqlite::Connection| {
        let attempt = lockout::begin_attempt(db, &asked, now, rule)?;
        Ok((accounts::find_account(db, &asked)?, attempt))
    };
    let (account, attempt) = portal.db.transact(begin).await?;
    let account = account.filter(|account| !account.is_disabled);
    let is_checked = attempt != Attempt::Refused;
    let hash = account.as_ref().filter(|_| is_checked).map(|account| account.hash.clone());
    match portal.hasher.verify(hash, password).await {
        Ok(true) => {
            portal.db.call(move |db| lockout::clear_failures(db, &name)).await?;
            return Ok(account);
        }
        Ok(false) => {}
        Err(error) => {
            let cancel =
                move |db: &rusqlite::Connection| lockout::cancel_attempt(db, &name, attempt, rule);
            portal.db.transact(cancel).await?;
            return Err(error.into());
        }
    }
    let what = match attempt {
        Attempt::Refused => return Ok(None),
        Attempt::Allowed => "wrong password",
        Attempt::Last => "locked after wrong passwords",
    };
    if let Some(account) = account {
        portal.append_audit_event(&account.name, what, &visitor.address.to_string()).await?;
    }
    Ok(None)
}

pub async fn log_out(State(portal): SharedState, posted: AuthedForm) -> Result<Response, AppError> {
    let key = posted.current_user.session.key.clone();
    portal.db.call(move |db| sessions::end_session(db, &key)).await?;
    finish_log_out(&portal, &posted.current_user, "logged out").await
}

pub async fn log_out_everywhere(
    State(portal): SharedState,
    posted: AuthedForm,
) -> Result<Response, AppError> {
    let user = posted.current_user.session.user.clone();
    portal.db.call(move |db| sessions::end_sessions_of(db, &user)).await?;
    finish_log_out(&portal, &posted.current_user, "logged out everywhere").await
}

async fn finish_log_out(
    portal: &AppState,
    member: &CurrentUser,
    what: &str,
) -> Result<Response, AppError> {
    portal.decode_service.forget_session(&member.session.key);
    portal.notify_sessions_changed();
    portal
        .append_audit_event(&member.session.user, what, &member.client.address.to_string())
        .await?;
    let gone = set_cookies([extract::session_cookie(portal, "")]);
    Ok((gone, Redirect::to("/login?why=out")).into_response())
}

/// Extends the session; extracting the form has already done so.
pub async fn extend_session(State(portal): SharedState, posted: AuthedForm) -> Response {
    portal.notify_sessions_changed();
    if posted.current_user.client.is_script {
        return Json(serde_json::json!({ "ok": true })).into_response();
    }
    Redirect::to("/").into_response()
}
