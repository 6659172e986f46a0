//! Who asks, and whether what is asked was meant.
//!
//! A session is a random word in a cookie that scripts cannot read and other sites cannot send. A
//! form counts only if it comes from our own address and carries the word that was put into it: the
//! session's, or, before log-in, one that is tied to the browser. Being asked by a person keeps a
//! session alive; live state does not (`Watcher`). Nothing here knows what a user may do.

use super::{Fault, Portal};
use crate::accounts::sessions;
use crate::accounts::sessions::Session;
use crate::accounts::token;
use crate::clock;
use crate::config::Tls;
use axum::extract::{ConnectInfo, Form, FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use time::Duration;

/// A browser and where it is.
#[derive(Clone, Debug)]
pub struct Visitor {
    pub address: IpAddr,
    pub browser: String,
    /// Asked by one of our scripts, which wants JSON.
    pub script: bool,
    cookies: CookieJar,
}

/// Somebody who is logged in, and did something.
#[derive(Clone, Debug)]
pub struct Member {
    pub session: Session,
    pub visitor: Visitor,
}

/// Somebody who is logged in; whether he is there is not known.
#[derive(Clone, Debug)]
pub struct Watcher(pub Session);

/// A form of somebody who is logged in.
#[derive(Debug)]
pub struct Posted {
    pub member: Member,
    pub fields: Fields,
}

/// A form of anybody.
#[derive(Debug)]
pub struct Guest {
    pub visitor: Visitor,
    pub fields: Fields,
}

/// What stands in a form; a field that is not there is empty.
#[derive(Debug, Default)]
pub struct Fields(BTreeMap<String, String>);

impl Fields {
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    pub fn take(&mut self, name: &str) -> String {
        self.0.remove(name).unwrap_or_default()
    }
}

/// Passwords may be among them.
impl Drop for Fields {
    fn drop(&mut self) {
        self.0.values_mut().for_each(zeroize::Zeroize::zeroize);
    }
}

/// The name of a cookie; `__Host-` makes browsers refuse one that another host set.
fn cookie_name(portal: &Portal, name: &str) -> String {
    if portal.config.is_secure() { format!("__Host-{name}") } else { name.to_owned() }
}

const SESSION: &str = "hushbox";
const FORM: &str = "hushbox-form";
const NAME: &str = "hushbox-name";
const YEAR: Duration = Duration::days(365);

/// A cookie of ours; an empty value takes it away.
fn cookie(portal: &Portal, name: &str, value: String) -> Cookie<'static> {
    let gone = value.is_empty();
    let mut cookie = Cookie::new(cookie_name(portal, name), value);
    cookie.set_path("/");
    cookie.set_http_only(true);
    cookie.set_same_site(SameSite::Strict);
    cookie.set_secure(portal.config.is_secure());
    cookie.set_max_age(gone.then_some(Duration::ZERO));
    cookie
}

/// Sets, or with an empty token takes away, the session's cookie.
pub fn session_cookie(portal: &Portal, secret: &str) -> Cookie<'static> {
    cookie(portal, SESSION, secret.to_owned())
}

/// Remembers a username, or forgets it.
pub fn name_cookie(portal: &Portal, name: &str) -> Cookie<'static> {
    let value = data_encoding::BASE64URL_NOPAD.encode(name.as_bytes());
    let mut cookie = cookie(portal, NAME, value);
    if !name.is_empty() {
        cookie.set_max_age(YEAR);
    }
    cookie
}

/// Ties a form to the browser that is about to get it.
pub fn form_cookie(portal: &Portal, secret: &str) -> Cookie<'static> {
    cookie(portal, FORM, secret.to_owned())
}

/// The word that such a form carries.
pub fn form_word(portal: &Portal, secret: &str) -> String {
    blake3::hash(format!("{}{secret}", portal.secret).as_bytes()).to_hex().to_string()
}

impl Visitor {
    fn of(portal: &Portal, parts: &Parts) -> Visitor {
        let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let browser = text(header::USER_AGENT).unwrap_or_default();
        let browser = browser.chars().filter(|c| !c.is_control()).collect();
        Visitor {
            address: address(portal, parts),
            browser,
            script: text(header::ACCEPT).is_some_and(|types| types == "application/json"),
            cookies: CookieJar::from_headers(&parts.headers),
        }
    }

    fn cookie(&self, portal: &Portal, name: &str) -> Option<&str> {
        self.cookies.get(&cookie_name(portal, name)).map(Cookie::value)
    }

    /// The token of its session, if it has the form of one.
    pub fn secret(&self, portal: &Portal) -> Option<&str> {
        self.cookie(portal, SESSION).filter(|secret| token::is_formed(secret))
    }

    /// The username that it remembers.
    pub fn name(&self, portal: &Portal) -> String {
        let value = self.cookie(portal, NAME).unwrap_or_default();
        let bytes = data_encoding::BASE64URL_NOPAD.decode(value.as_bytes()).unwrap_or_default();
        let name = String::from_utf8(bytes).unwrap_or_default();
        if crate::accounts::users::is_name(&name) { name } else { String::new() }
    }

    /// What ties its forms to it, and the cookie to set if there was none.
    pub fn form_secret(&self, portal: &Portal) -> Result<(String, Option<Cookie<'static>>), Fault> {
        if let Some(known) = self.cookie(portal, FORM).filter(|secret| token::is_formed(secret)) {
            return Ok((known.to_owned(), None));
        }
        let secret = token::new()?;
        let cookie = form_cookie(portal, &secret);
        Ok((secret, Some(cookie)))
    }
}

/// Where a request comes from: behind a proxy on this machine, what that says last.
fn address(portal: &Portal, parts: &Parts) -> IpAddr {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(peer)| peer.ip());
    if portal.config.portal.tls != Tls::Proxy || !peer.is_loopback() {
        return peer;
    }
    let said = parts.headers.get_all("x-forwarded-for").iter().next_back();
    let said = said.and_then(|value| value.to_str().ok()?.rsplit(',').next()?.trim().parse().ok());
    said.unwrap_or(peer)
}

/// Who reads figures of the portal.
pub fn is_monitor(portal: &Portal, visitor: &Visitor) -> bool {
    portal.config.portal.monitors.contains(&visitor.address)
}

/// What is not meant for us: another server's name, or a form of another site.
pub fn foreign(portal: &Portal, request: &Request) -> Option<Fault> {
    let headers = request.headers();
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let host = request.uri().authority().map(|host| host.as_str()).or(text(header::HOST));
    let machine = matches!(request.uri().path(), "/healthz" | "/metrics");
    if !machine && host != Some(portal.config.host()) {
        return Some(Fault::Misdirected);
    }
    let safe = [Method::GET, Method::HEAD].contains(request.method());
    (!safe && !is_own(portal, headers)).then_some(Fault::Forged)
}

/// Whether a form says that it comes from our own pages. Every browser of today says one or both.
fn is_own(portal: &Portal, headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let origin = text("origin").is_none_or(|origin| origin == portal.config.portal.url);
    let site = text("sec-fetch-site").is_none_or(|site| site == "same-origin");
    let said = headers.contains_key("origin") || headers.contains_key("sec-fetch-site");
    said && origin && site
}

async fn session(portal: &Arc<Portal>, visitor: &Visitor) -> Result<Session, Fault> {
    let was_in = visitor.cookie(portal, SESSION).is_some_and(|secret| !secret.is_empty());
    let Some(secret) = visitor.secret(portal).map(str::to_owned) else {
        return Err(Fault::LoggedOut { was_in });
    };
    let (now, rule) = (clock::seconds(), portal.session_rule());
    let found = portal.db.call(move |db| sessions::find(db, &secret, now, rule)).await?;
    found.ok_or(Fault::LoggedOut { was_in })
}

impl FromRequestParts<Arc<Portal>> for Visitor {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, portal: &Arc<Portal>) -> Result<Self, Fault> {
        Ok(Visitor::of(portal, parts))
    }
}

impl FromRequestParts<Arc<Portal>> for Member {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, portal: &Arc<Portal>) -> Result<Self, Fault> {
        let visitor = Visitor::of(portal, parts);
        let session = session(portal, &visitor).await?;
        let seen = session.clone();
        portal.db.call(move |db| sessions::touch(db, &seen, clock::seconds())).await?;
        Ok(Member { session, visitor })
    }
}

impl FromRequestParts<Arc<Portal>> for Watcher {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, portal: &Arc<Portal>) -> Result<Self, Fault> {
        let visitor = Visitor::of(portal, parts);
        session(portal, &visitor).await.map(Watcher)
    }
}

async fn fields(request: Request, portal: &Arc<Portal>) -> Result<Fields, Fault> {
    let form = Form::<BTreeMap<String, String>>::from_request(request, portal).await;
    form.map(|Form(fields)| Fields(fields))
        .map_err(|error| Fault::Bad(format!("This form cannot be read: {}.", error.body_text())))
}

impl FromRequest<Arc<Portal>> for Posted {
    type Rejection = Fault;

    async fn from_request(request: Request, portal: &Arc<Portal>) -> Result<Self, Fault> {
        let (mut parts, body) = request.into_parts();
        let member = Member::from_request_parts(&mut parts, portal).await?;
        let fields = fields(Request::from_parts(parts, body), portal).await?;
        if !token::same(fields.get("csrf"), &member.session.csrf) {
            return Err(Fault::Forged);
        }
        Ok(Posted { member, fields })
    }
}

impl FromRequest<Arc<Portal>> for Guest {
    type Rejection = Fault;

    async fn from_request(request: Request, portal: &Arc<Portal>) -> Result<Self, Fault> {
        let (parts, body) = request.into_parts();
        let visitor = Visitor::of(portal, &parts);
        let fields = fields(Request::from_parts(parts, body), portal).await?;
        let secret = visitor.cookie(portal, FORM).filter(|secret| token::is_formed(secret));
        let word = secret.map(|secret| form_word(portal, secret));
        if !word.is_some_and(|word| token::same(fields.get("csrf"), &word)) {
            return Err(Fault::Forged);
        }
        Ok(Guest { visitor, fields })
    }
}
