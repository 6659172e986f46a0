//! Request extractors: client, session and form.
//!
//! A session token is in a cookie that scripts cannot read and other sites cannot send. A form is
//! accepted only from the portal's own origin and with a CSRF token. The token belongs to the
//! session or, before login, to the browser.
//!
//! A user's request extends the session; a stream's does not (`PassiveSession`). Rights are not
//! checked here.

use super::{AppError, AppState};
use crate::accounts::sessions;
use crate::accounts::sessions::Session;
use crate::accounts::token;
use crate::clock;
use crate::config::TlsMode;
use axum::extract::{ConnectInfo, Form, FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use time::Duration;

/// Browser and address of a request.
#[derive(Clone, Debug)]
pub struct ClientInfo {
    pub address: IpAddr,
    pub browser: String,
    /// Whether the request comes from a portal script, which expects JSON.
    pub is_script: bool,
    cookies: CookieJar,
}

/// Logged-in user; extends the session.
#[derive(Clone, Debug)]
pub struct CurrentUser {
    pub session: Session,
    pub client: ClientInfo,
}

/// Logged-in user; does not extend the session.
#[derive(Clone, Debug)]
pub struct PassiveSession(pub Session);

/// Form of a logged-in user.
#[derive(Debug)]
pub struct AuthedForm {
    pub current_user: CurrentUser,
    pub fields: FormFields,
}

/// Form of a user who may not be logged in.
#[derive(Debug)]
pub struct AnonForm {
    pub client: ClientInfo,
    pub fields: FormFields,
}

/// Form fields; a missing field is empty.
#[derive(Debug, Default)]
pub struct FormFields(BTreeMap<String, String>);

impl FormFields {
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    pub fn take_field(&mut self, name: &str) -> String {
        self.0.remove(name).unwrap_or_default()
    }
}

/// Wipes the fields, which may hold passwords.
impl Drop for FormFields {
    fn drop(&mut self) {
        self.0.values_mut().for_each(zeroize::Zeroize::zeroize);
    }
}

/// Name of a cookie; with the prefix `__Host-` browsers reject one that another host set.
fn cookie_name(portal: &AppState, name: &str) -> String {
    if portal.config.is_secure() { format!("__Host-{name}") } else { name.to_owned() }
}

/// Time limit for the body of a form.
const FORM_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(15);

const SESSION_COOKIE: &str = "hushbox";
const FORM_COOKIE: &str = "hushbox-form";
const NAME_COOKIE: &str = "hushbox-name";
const NAME_COOKIE_AGE: Duration = Duration::days(365);

/// Builds a cookie; an empty value deletes it.
fn build_cookie(portal: &AppState, name: &str, value: String) -> Cookie<'static> {
    let gone = value.is_empty();
    let mut cookie = Cookie::new(cookie_name(portal, name), value);
    cookie.set_path("/");
    cookie.set_http_only(true);
    cookie.set_same_site(SameSite::Strict);
    cookie.set_secure(portal.config.is_secure());
    cookie.set_max_age(gone.then_some(Duration::ZERO));
    cookie
}

/// Session cookie; an empty token deletes it.
pub fn session_cookie(portal: &AppState, secret: &str) -> Cookie<'static> {
    build_cookie(portal, SESSION_COOKIE, secret.to_owned())
}

/// Cookie that remembers a username; an empty name deletes it.
pub fn name_cookie(portal: &AppState, name: &str) -> Cookie<'static> {
    let value = data_encoding::BASE64URL_NOPAD.encode(name.as_bytes());
    let mut cookie = build_cookie(portal, NAME_COOKIE, value);
    if !name.is_empty() {
        cookie.set_max_age(NAME_COOKIE_AGE);
    }
    cookie
}

/// Cookie that binds login forms to the browser.
pub fn form_cookie(portal: &AppState, secret: &str) -> Cookie<'static> {
    build_cookie(portal, FORM_COOKIE, secret.to_owned())
}

/// CSRF token for a login form.
pub fn form_token(portal: &AppState, secret: &str) -> String {
    blake3::hash(format!("{}{secret}", portal.form_key).as_bytes()).to_hex().to_string()
}

impl ClientInfo {
    fn from_parts(portal: &AppState, parts: &Parts) -> ClientInfo {
        let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let browser = text(header::USER_AGENT).unwrap_or_default();
        let browser = browser.chars().filter(|c| !c.is_control()).collect();
        ClientInfo {
            address: client_address(portal, parts),
            browser,
            is_script: text(header::ACCEPT).is_some_and(|types| types == "application/json"),
            cookies: CookieJar::from_headers(&parts.headers),
        }
    }

    fn cookie_value(&self, portal: &AppState, name: &str) -> Option<&str> {
        self.cookies.get(&cookie_name(portal, name)).map(Cookie::value)
    }

    /// Session token, if the cookie has the form of one.
    pub fn session_token(&self, portal: &AppState) -> Option<&str> {
        self.cookie_value(portal, SESSION_COOKIE).filter(|secret| token::is_well_formed(secret))
    }

    /// Remembered username.
    pub fn remembered_name(&self, portal: &AppState) -> String {
        let value = self.cookie_value(portal, NAME_COOKIE).unwrap_or_default();
        let bytes = data_encoding::BASE64URL_NOPAD.decode(value.as_bytes()).unwrap_or_default();
        let name = String::from_utf8(bytes).unwrap_or_default();
        if crate::accounts::is_valid_username(&name) { name } else { String::new() }
    }

    /// Secret that binds forms to the browser, and the cookie to set if it is new.
    pub fn form_secret(
        &self,
        portal: &AppState,
    ) -> Result<(String, Option<Cookie<'static>>), AppError> {
        if let Some(known) =
            self.cookie_value(portal, FORM_COOKIE).filter(|secret| token::is_well_formed(secret))
        {
            return Ok((known.to_owned(), None));
        }
        let secret = token::new()?;
        let cookie = form_cookie(portal, &secret);
        Ok((secret, Some(cookie)))
    }
}

/// Client address; behind a local proxy, the last entry of its header.
fn client_address(portal: &AppState, parts: &Parts) -> IpAddr {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(peer)| peer.ip());
    if portal.config.portal.tls != TlsMode::Proxy || !peer.is_loopback() {
        return peer;
    }
    let forwarded = parts.headers.get_all("x-forwarded-for").iter().next_back();
    let forwarded =
        forwarded.and_then(|value| value.to_str().ok()?.rsplit(',').next()?.trim().parse().ok());
    forwarded.unwrap_or(peer)
}

/// Whether the client may read the portal's metrics.
pub fn is_monitor(portal: &AppState, visitor: &ClientInfo) -> bool {
    portal.config.portal.monitors.contains(&visitor.address)
}

/// Rejects requests for another host name and forms from another site. Monitors may use an address
/// instead of the name.
pub fn reject_cross_site(portal: &AppState, request: &Request) -> Option<AppError> {
    let headers = request.headers();
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let host = request.uri().authority().map(|host| host.as_str()).or(text(header::HOST));
    let by_address = matches!(request.uri().path(), "/healthz" | "/metrics")
        && host.is_some_and(is_address_or_localhost);
    if !by_address && host != Some(portal.config.host()) {
        return Some(AppError::Misdirected);
    }
    let safe = [Method::GET, Method::HEAD].contains(request.method());
    (!safe && !is_same_origin(portal, headers)).then_some(AppError::CsrfRejected)
}

/// Whether the host is an address or `localhost`, with or without a port. A monitor on this machine
/// names it so. Another site's script in a browser here cannot: its requests carry a name of its
/// own, even if that name resolves to this machine.
fn is_address_or_localhost(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => name,
        _ => host,
    };
    name == "localhost" || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
}

/// Whether the headers state the portal's own origin. Current browsers send at least one of them.
fn is_same_origin(portal: &AppState, headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let origin = text("origin").is_none_or(|origin| origin == portal.config.portal.url);
    let site = text("sec-fetch-site").is_none_or(|site| site == "same-origin");
    let is_stated = headers.contains_key("origin") || headers.contains_key("sec-fetch-site");
    is_stated && origin && site
}

async fn load_session(portal: &Arc<AppState>, visitor: &ClientInfo) -> Result<Session, AppError> {
    let was_in =
        visitor.cookie_value(portal, SESSION_COOKIE).is_some_and(|secret| !secret.is_empty());
    let Some(secret) = visitor.session_token(portal).map(str::to_owned) else {
        return Err(AppError::LoggedOut { was_in });
    };
    let (now, rule) = (clock::unix_seconds(), portal.session_policy());
    let found = portal.db.call(move |db| sessions::find_session(db, &secret, now, rule)).await?;
    found.ok_or(AppError::LoggedOut { was_in })
}

impl FromRequestParts<Arc<AppState>> for ClientInfo {
    type Rejection = AppError;

    async fn from_request_parts(
        parts: &mut Parts,
        portal: &Arc<AppState>,
    ) -> Result<Self, AppError> {
        Ok(ClientInfo::from_parts(portal, parts))
    }
}

impl FromRequestParts<Arc<AppState>> for CurrentUser {
    type Rejection = AppError;

    async fn from_request_parts(
        parts: &mut Parts,
        portal: &Arc<AppState>,
    ) -> Result<Self, AppError> {
        let visitor = ClientInfo::from_parts(portal, parts);
        let session = load_session(portal, &visitor).await?;
        let seen = session.clone();
        portal.db.call(move |db| sessions::mark_seen(db, &seen, clock::unix_seconds())).await?;
        Ok(CurrentUser { session, client: visitor })
    }
}

impl FromRequestParts<Arc<AppState>> for PassiveSession {
    type Rejection = AppError;

    async fn from_request_parts(
        parts: &mut Parts,
        portal: &Arc<AppState>,
    ) -> Result<Self, AppError> {
        let visitor = ClientInfo::from_parts(portal, parts);
        load_session(portal, &visitor).await.map(PassiveSession)
    }
}

async fn read_form(request: Request, portal: &Arc<AppState>) -> Result<FormFields, AppError> {
    let form = Form::<BTreeMap<String, String>>::from_request(request, portal);
    let form = tokio::time::timeout(FORM_TIMEOUT, form).await.map_err(|_| AppError::TimedOut)?;
    form.map(|Form(fields)| FormFields(fields)).map_err(|error| {
        AppError::BadRequest(format!("This form cannot be read: {}.", error.body_text()))
    })
}

impl FromRequest<Arc<AppState>> for AuthedForm {
    type Rejection = AppError;

    async fn from_request(request: Request, portal: &Arc<AppState>) -> Result<Self, AppError> {
        let (mut parts, body) = request.into_parts();
        let member = CurrentUser::from_request_parts(&mut parts, portal).await?;
        let fields = read_form(Request::from_parts(parts, body), portal).await?;
        if !token::ct_eq(fields.get("csrf"), &member.session.csrf) {
            return Err(AppError::CsrfRejected);
        }
        Ok(AuthedForm { current_user: member, fields })
    }
}

impl FromRequest<Arc<AppState>> for AnonForm {
    type Rejection = AppError;

    async fn from_request(request: Request, portal: &Arc<AppState>) -> Result<Self, AppError> {
        let (parts, body) = request.into_parts();
        let visitor = ClientInfo::from_parts(portal, &parts);
        let fields = read_form(Request::from_parts(parts, body), portal).await?;
        let secret = visitor
            .cookie_value(portal, FORM_COOKIE)
            .filter(|secret| token::is_well_formed(secret));
        let word = secret.map(|secret| form_token(portal, secret));
        if !word.is_some_and(|word| token::ct_eq(fields.get("csrf"), &word)) {
            return Err(AppError::CsrfRejected);
        }
        Ok(AnonForm { client: visitor, fields })
    }
}
