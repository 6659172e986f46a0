//! Passwords: forgotten, set anew through a link, and changed (requirement C4).
//!
//! Whoever asks for a link gets the same answer at once, whether or not the name is known, may have
//! one, got one a moment ago, or has an address; what is done about it is done afterwards. The box
//! says who has the right `password`. Links begin with the configured address, never with what the
//! browser calls us.

use super::pages::{ForgotPage, Frame, PasswordPage, ResetPage, html};
use super::{Fault, Portal, login};
use crate::accounts::{password, resets, token};
use crate::web::extract;
use crate::web::extract::{Guest, Member, Posted, Visitor};
use crate::{accounts, clock};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use std::collections::BTreeMap;
use std::sync::Arc;
use zeroize::Zeroizing;

/// The one answer.
const SENT: &str = "If this account can get a new password by e-mail, a link is on its way. It \
                    works once. If nothing comes, ask your administrator.";

type Shared = State<Arc<Portal>>;

pub async fn forgot_page(State(portal): Shared, visitor: Visitor) -> Result<Response, Fault> {
    forgot_form(&portal, &visitor, "")
}

fn forgot_form(portal: &Portal, visitor: &Visitor, said: &'static str) -> Result<Response, Fault> {
    let (secret, cookie) = visitor.form_secret(portal)?;
    let csrf = extract::form_word(portal, &secret);
    let frame = Frame { csrf, ..Frame::bare("Forgot your password?") };
    Ok((login::cookies(cookie), html(&ForgotPage { frame, said })?).into_response())
}

pub async fn forgot(State(portal): Shared, mut guest: Guest) -> Result<Response, Fault> {
    portal.may_try(guest.visitor.address)?;
    let name = guest.fields.take("username").trim().to_owned();
    let address = guest.visitor.address.to_string();
    let shared = Arc::clone(&portal);
    tokio::spawn(async move {
        if let Err(error) = send(&shared, &name, &address).await {
            log::error!("no link was sent: {error}");
        }
    });
    forgot_form(&portal, &guest.visitor, SENT)
}

/// Sends a link, if there is somebody who may have one.
async fn send(portal: &Portal, name: &str, address: &str) -> Result<(), Fault> {
    let asked = name.to_owned();
    let account = portal.db.call(move |db| accounts::find(db, &asked)).await?;
    let able = account.filter(|account| !account.disabled && !account.email.is_empty());
    let (Some(account), Some(mailer)) = (able, &portal.mailer) else { return Ok(()) };
    if !portal.may_get_letter(&account.name) {
        log::info!("{}: asked for a link again within a minute ({address})", account.name);
        return Ok(());
    }
    if !portal.desk.rights(&account.name).await?.has("password") {
        return portal
            .note(&account.name, "asked for a link without the right", address)
            .await
            .map_err(Fault::from);
    }
    let minutes = portal.config.login.reset_minutes;
    let (secret, user) = (token::new()?, account.name.clone());
    let link = format!("{}/reset?token={secret}", portal.config.portal.url);
    let until = clock::seconds() + i64::from(minutes) * 60;
    portal.db.call(move |db| resets::make(db, &user, &secret, until)).await?;
    let sent = mailer.send_link(&account.email, &link, minutes).await;
    sent.map_err(|error| Fault::Inside(error.to_string()))?;
    Ok(portal.note(&account.name, "a link was sent", address).await?)
}

/// The account that a link is for, while it is good.
async fn whose(portal: &Portal, secret: &str) -> Result<Option<String>, Fault> {
    if !token::is_formed(secret) {
        return Ok(None);
    }
    let (secret, now) = (secret.to_owned(), clock::seconds());
    Ok(portal.db.call(move |db| resets::find(db, &secret, now)).await?)
}

pub async fn page(
    State(portal): Shared,
    visitor: Visitor,
    Query(query): Query<BTreeMap<String, String>>,
) -> Result<Response, Fault> {
    portal.may_try(visitor.address)?;
    let secret = query.get("token").map(String::as_str).unwrap_or_default();
    let good = whose(&portal, secret).await?.is_some();
    form(&portal, &visitor, if good { secret } else { "" }, String::new())
}

fn form(portal: &Portal, visitor: &Visitor, secret: &str, said: String) -> Result<Response, Fault> {
    let (tied, cookie) = visitor.form_secret(portal)?;
    let csrf = extract::form_word(portal, &tied);
    let frame = Frame { csrf, ..Frame::bare("Set a new password") };
    let bad = secret.is_empty() || !said.is_empty();
    let status = if bad { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    let page = html(&ResetPage { frame, secret: secret.to_owned(), said })?;
    Ok((status, login::cookies(cookie), page).into_response())
}

pub async fn set(State(portal): Shared, mut guest: Guest) -> Result<Response, Fault> {
    portal.may_try(guest.visitor.address)?;
    let secret = guest.fields.take("token");
    let wanted = Zeroizing::new(guest.fields.take("password"));
    let again = Zeroizing::new(guest.fields.take("again"));
    let Some(user) = whose(&portal, &secret).await? else {
        return form(&portal, &guest.visitor, "", String::new());
    };
    if let Err(said) = judge(&wanted, &again, &user) {
        return form(&portal, &guest.visitor, &secret, said);
    }
    let hash = portal.hasher.hash(wanted).await;
    let hash = hash.map_err(|error| Fault::Inside(error.to_string()))?;
    let name = user.clone();
    let taken = move |db: &rusqlite::Connection| {
        let good = resets::take(db, &secret, clock::seconds())?;
        Ok(good && accounts::set_hash(db, &name, &hash)?)
    };
    if !portal.db.call(taken).await? {
        return form(&portal, &guest.visitor, "", String::new());
    }
    portal.poke();
    let address = guest.visitor.address.to_string();
    portal.note(&user, "set a new password through a link", &address).await?;
    let gone = login::cookies([extract::session_cookie(&portal, "")]);
    Ok((gone, Redirect::to("/login?why=set")).into_response())
}

fn judge(wanted: &str, again: &str, user: &str) -> Result<(), String> {
    if wanted != again {
        return Err("The two passwords are not the same.".to_owned());
    }
    password::judge(wanted, user).map_err(|error| format!("{error}."))
}

pub async fn own_page(State(portal): Shared, member: Member) -> Result<Response, Fault> {
    own_form(&portal, &member, String::new()).await
}

async fn own_form(portal: &Portal, member: &Member, said: String) -> Result<Response, Fault> {
    let frame = Frame::of(portal, member, "Change your password").await;
    if !frame.rights.has("password") {
        return Err(Fault::Denied);
    }
    let status = if said.is_empty() { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    Ok((status, html(&PasswordPage { frame, said })?).into_response())
}

pub async fn own(State(portal): Shared, mut posted: Posted) -> Result<Response, Fault> {
    let visitor = &posted.member.visitor;
    portal.may_try(visitor.address)?;
    let user = posted.member.session.user.clone();
    if !portal.rights(&user).await?.has("password") {
        return Err(Fault::Denied);
    }
    let old = Zeroizing::new(posted.fields.take("old"));
    let wanted = Zeroizing::new(posted.fields.take("password"));
    let again = Zeroizing::new(posted.fields.take("again"));
    if login::check(&portal, visitor, user.clone(), old).await?.is_none() {
        let said = "The old password is wrong, or this account is locked for a while.";
        return own_form(&portal, &posted.member, said.to_owned()).await;
    }
    if let Err(said) = judge(&wanted, &again, &user) {
        return own_form(&portal, &posted.member, said).await;
    }
    let hash = portal.hasher.hash(wanted).await;
    let hash = hash.map_err(|error| Fault::Inside(error.to_string()))?;
    let name = user.clone();
    portal.db.call(move |db| accounts::set_hash(db, &name, &hash)).await?;
    portal.poke();
    portal.note(&user, "changed the password", &visitor.address.to_string()).await?;
    let gone = login::cookies([extract::session_cookie(&portal, "")]);
    Ok((gone, Redirect::to("/login?why=set")).into_response())
}
