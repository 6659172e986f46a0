//! Forgotten passwords, reset links and password changes (requirement C4).
//!
//! Every request for a link gets the same immediate answer, whether or not the name is known,
//! permitted, rate limited or has an address. The work happens afterwards. The recorder decides who
//! has the right `password`. Links start with the configured address, never with the request's
//! `Host`.

use super::pages::{ForgotPage, PageContext, PasswordPage, ResetPage, render_html};
use super::{AppError, AppState, login};
use crate::accounts::{password, reset_links, token};
use crate::web::extract;
use crate::web::extract::{AnonForm, AuthedForm, ClientInfo, CurrentUser};
use crate::{accounts, clock};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use std::collections::BTreeMap;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Answer to every request for a link.
const LINK_SENT_TEXT: &str = "If this account can get a new password by e-mail, a link is on its \
                              way. It works once. If nothing comes, ask your administrator.";

type SharedState = State<Arc<AppState>>;

pub async fn forgot_page(
    State(portal): SharedState,
    visitor: ClientInfo,
) -> Result<Response, AppError> {
    forgot_form(&portal, &visitor, "")
}

fn forgot_form(
    portal: &AppState,
    visitor: &ClientInfo,
    message: &'static str,
) -> Result<Response, AppError> {
    let (secret, cookie) = visitor.form_secret(portal)?;
    let csrf = extract::form_token(portal, &secret);
    let frame = PageContext { csrf, ..PageContext::anonymous("Forgot your password?") };
    Ok((login::set_cookies(cookie), render_html(&ForgotPage { frame, message })?).into_response())
}

pub async fn request_link(
    State(portal): SharedState,
    mut guest: AnonForm,
) -> Result<Response, AppError> {
    portal.check_attempt_limit(guest.client.address)?;
    let name = guest.fields.take_field("username").trim().to_owned();
    let address = guest.client.address.to_string();
    let shared = Arc::clone(&portal);
    tokio::spawn(async move {
        if let Err(error) = send_reset_link(&shared, &name, &address).await {
            log::error!("no link was sent: {error}");
        }
    });
    forgot_form(&portal, &guest.client, LINK_SENT_TEXT)
}

/// Sends a link, if the account exists and may have one.
async fn send_reset_link(portal: &AppState, name: &str, address: &str) -> Result<(), AppError> {
    let asked = name.to_owned();
    let account = portal.db.call(move |db| accounts::find_account(db, &asked)).await?;
    let able = account.filter(|account| !account.is_disabled && !account.email.is_empty());
    let (Some(account), Some(mailer)) = (able, &portal.mailer) else { return Ok(()) };
    if !portal.may_receive_mail(&account.name) {
        log::info!("{}: asked for a link again within a minute ({address})", account.name);
        return Ok(());
    }
    if !portal.box_client.query_rights_of(&account.name).await?.has("password") {
        return portal
            .append_audit_event(&account.name, "asked for a link without the right", address)
            .await
            .map_err(AppError::from);
    }
    let minutes = portal.config.login.reset_minutes;
    let (secret, user) = (token::new()?, account.name.clone());
    let link = format!("{}/reset?token={secret}", portal.config.portal.url);
    let until = clock::unix_seconds() + i64::from(minutes) * 60;
    portal.db.call(move |db| reset_links::create_link(db, &user, &secret, until)).await?;
    let sent = mailer.send_link(&account.email, &link, minutes).await;
    sent.map_err(|error| AppError::Internal(error.to_string()))?;
    Ok(portal.append_audit_event(&account.name, "a link was sent", address).await?)
}

/// Returns the user of a valid link.
async fn user_of_link(portal: &AppState, secret: &str) -> Result<Option<String>, AppError> {
    if !token::is_well_formed(secret) {
        return Ok(None);
    }
    let (secret, now) = (secret.to_owned(), clock::unix_seconds());
    Ok(portal.db.call(move |db| reset_links::find_link_user(db, &secret, now)).await?)
}

pub async fn reset_page(
    State(portal): SharedState,
    visitor: ClientInfo,
    Query(query): Query<BTreeMap<String, String>>,
) -> Result<Response, AppError> {
    portal.check_attempt_limit(visitor.address)?;
    let secret = query.get("token").map(String::as_str).unwrap_or_default();
    let good = user_of_link(&portal, secret).await?.is_some();
    reset_form(&portal, &visitor, if good { secret } else { "" }, String::new())
}

fn reset_form(
    portal: &AppState,
    visitor: &ClientInfo,
    secret: &str,
    message: String,
) -> Result<Response, AppError> {
    let (tied, cookie) = visitor.form_secret(portal)?;
    let csrf = extract::form_token(portal, &tied);
    let frame = PageContext { csrf, ..PageContext::anonymous("Set a new password") };
    let bad = secret.is_empty() || !message.is_empty();
    let status = if bad { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    let page = render_html(&ResetPage { frame, secret: secret.to_owned(), message })?;
    Ok((status, login::set_cookies(cookie), page).into_response())
}

pub async fn reset_password(
    State(portal): SharedState,
    mut guest: AnonForm,
) -> Result<Response, AppError> {
    portal.check_attempt_limit(guest.client.address)?;
    let secret = guest.fields.take_field("token");
    let wanted = Zeroizing::new(guest.fields.take_field("password"));
    let again = Zeroizing::new(guest.fields.take_field("again"));
    let Some(user) = user_of_link(&portal, &secret).await? else {
        return reset_form(&portal, &guest.client, "", String::new());
    };
    if let Err(message) = check_new_password(&wanted, &again, &user) {
        return reset_form(&portal, &guest.client, &secret, message);
    }
    let hash = portal.hasher.hash(wanted).await?;
    let name = user.clone();
    let taken = move |db: &rusqlite::Connection| {
        let good = reset_links::consume_link(db, &secret, clock::unix_seconds())?;
        Ok(good && accounts::set_hash(db, &name, &hash)?)
    };
    if !portal.db.transact(taken).await? {
        return reset_form(&portal, &guest.client, "", String::new());
    }
    portal.notify_sessions_changed();
    let address = guest.client.address.to_string();
    portal.append_audit_event(&user, "set a new password through a link", &address).await?;
    let gone = login::set_cookies([extract::session_cookie(&portal, "")]);
    Ok((gone, Redirect::to("/login?why=set")).into_response())
}

fn check_new_password(wanted: &str, again: &str, user: &str) -> Result<(), String> {
    if wanted != again {
        return Err("The two passwords are not the same.".to_owned());
    }
    password::check_policy(wanted, user).map_err(|error| format!("{error}."))
}

pub async fn password_page(
    State(portal): SharedState,
    member: CurrentUser,
) -> Result<Response, AppError> {
    password_form(&portal, &member, String::new()).await
}

async fn password_form(
    portal: &AppState,
    member: &CurrentUser,
    message: String,
) -> Result<Response, AppError> {
    let frame = PageContext::for_user(portal, member, "Change your password").await;
    if !frame.rights.has("password") {
        return Err(AppError::Forbidden);
    }
    let status = if message.is_empty() { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    Ok((status, render_html(&PasswordPage { frame, message })?).into_response())
}

pub async fn change_password(
    State(portal): SharedState,
    mut posted: AuthedForm,
) -> Result<Response, AppError> {
    let visitor = &posted.current_user.client;
    portal.check_attempt_limit(visitor.address)?;
    let user = posted.current_user.session.user.clone();
    if !portal.cached_rights(&user).await?.has("password") {
        return Err(AppError::Forbidden);
    }
    let old = Zeroizing::new(posted.fields.take_field("old"));
    let wanted = Zeroizing::new(posted.fields.take_field("password"));
    let again = Zeroizing::new(posted.fields.take_field("again"));
    let Some(account) = login::verify_credentials(&portal, visitor, user, old).await? else {
        let message = "The old password is wrong, or this account is locked for a while.";
        return password_form(&portal, &posted.current_user, message.to_owned()).await;
    };
    let user = account.name;
    if let Err(message) = check_new_password(&wanted, &again, &user) {
        return password_form(&portal, &posted.current_user, message).await;
    }
    let hash = portal.hasher.hash(wanted).await?;
    let (name, old) = (user.clone(), account.hash);
    let change = move |db: &rusqlite::Connection| {
        Ok(accounts::is_current(db, &name, &old)? && accounts::set_hash(db, &name, &hash)?)
    };
    if !portal.db.transact(change).await? {
        let message = "The account was changed meanwhile. Your password was not changed.";
        return password_form(&portal, &posted.current_user, message.to_owned()).await;
    }
    portal.notify_sessions_changed();
    portal.append_audit_event(&user, "changed the password", &visitor.address.to_string()).await?;
    let gone = login::set_cookies([extract::session_cookie(&portal, "")]);
    Ok((gone, Redirect::to("/login?why=set")).into_response())
}
