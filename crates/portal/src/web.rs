//! Pages, forms and live state: what a browser sees.
//!
//! `guard` knows who asks and whether a form is one of ours; everything else is a page or a stream
//! of one noun. Pages are made here, on the server, and work without scripts where that makes
//! sense. Every answer carries the same headers: nothing is loaded from elsewhere, nothing inline
//! is run, nothing is kept by the browser. No page decides what somebody may do: the box does.

mod admin;
mod agent;
mod assets;
mod audio;
mod error;
mod events;
mod extract;
mod health;
mod live_view;
mod login;
mod pages;
mod records;
mod reset;
mod waveform;

use crate::accounts::audit_log::Event;
use crate::accounts::password::Hasher;
use crate::accounts::sessions::Session;
use crate::accounts::throttle::Throttle;
use crate::accounts::{lockout, sessions, throttle, token};
use crate::box_client::agent_sessions::Hub;
use crate::box_client::client::{Desk, Rights};
use crate::box_client::connection::TalkError;
use crate::box_client::events::Happened;
use crate::clock;
use crate::config::Config;
use crate::db::{Db, DbError};
use crate::mail::Mailer;
use crate::media::decode::Vault;
use crate::serve::ServeError;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use error::Fault;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// The most bytes of a form.
const FORM_BYTES: usize = 16 << 10;
/// How long the box's word on somebody's rights is good for the look of pages.
const RIGHTS: Duration = Duration::from_secs(10);
/// How often it is looked whether what goes on may still go on: a stream, a playing recording.
const LOOK: Duration = Duration::from_secs(10);
/// Users whose rights are remembered.
const RIGHTS_MAX: usize = 4096;

/// What is counted, for `/metrics`.
#[derive(Debug, Default)]
pub struct Counters {
    pub requests: AtomicU64,
    pub refused: AtomicU64,
    pub log_ins: AtomicU64,
    pub log_ins_failed: AtomicU64,
    pub streams: AtomicU64,
}

/// Everything that pages share.
#[derive(Debug)]
pub struct Portal {
    pub config: Config,
    pub db: Db,
    pub hub: Hub,
    pub desk: Desk,
    pub vault: Vault,
    pub hasher: Hasher,
    pub mailer: Option<Mailer>,
    pub counters: Counters,
    pub happened: Happened,
    guesses: Mutex<Throttle<IpAddr>>,
    letters: Mutex<Throttle<String>>,
    rights: Mutex<BTreeMap<String, (Rights, Instant)>>,
    /// Ties forms of people who are not logged in to their browsers.
    secret: String,
    /// Moves when sessions may have ended: live state looks again. At its end so does live state.
    ended: watch::Sender<u64>,
    stopping: watch::Sender<bool>,
    board: watch::Sender<Arc<live_view::Board>>,
}

impl Portal {
    pub fn new(config: Config, db: Db) -> Result<Portal, ServeError> {
        let socket = config.portal.r#box.clone();
        let mailer = config.mail.as_ref().map(Mailer::new).transpose()?;
        Ok(Portal {
            db,
            hub: Hub::new(socket.clone()),
            vault: Vault::new(Desk::new(socket.clone()), config.unseal.clone()),
            desk: Desk::new(socket),
            hasher: Hasher::new()?,
            mailer,
            config,
            counters: Counters::default(),
            happened: Happened::default(),
            guesses: Mutex::new(Throttle::new(throttle::GUESSES)),
            letters: Mutex::new(Throttle::new(throttle::LETTERS)),
            rights: Mutex::default(),
            secret: token::new()?,
            ended: watch::Sender::new(0),
            stopping: watch::Sender::new(false),
            board: watch::Sender::new(Arc::default()),
        })
    }

    #[must_use]
    pub fn session_rule(&self) -> sessions::Rule {
        let login = &self.config.login;
        let (idle, age) = (i64::from(login.idle_seconds), i64::from(login.session_hours));
        sessions::Rule { idle_s: idle, age_s: age * 3600 }
    }

    /// A session while it is alive, by what is kept of its token.
    async fn session(&self, key: &[u8]) -> Result<Option<Session>, DbError> {
        let (key, now, rule) = (key.to_vec(), clock::seconds(), self.session_rule());
        self.db.call(move |db| sessions::of_key(db, &key, now, rule)).await
    }

    fn lock_rule(&self) -> lockout::Rule {
        let login = &self.config.login;
        lockout::Rule { tries: login.tries, lock_s: i64::from(login.lock_seconds) }
    }

    /// Live state ends, so that the server can.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Work that goes on beside the pages.
    pub fn begin(self: &Arc<Portal>) {
        tokio::spawn(live_view::look(Arc::clone(self), self.board.clone()));
        let portal = Arc::clone(self);
        tokio::spawn(async move { portal.happened.listen(&portal.desk).await });
        let portal = Arc::clone(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(LOOK).await;
                portal.vault.recheck().await;
            }
        });
    }

    /// Sessions may have ended.
    fn poke(&self) {
        self.ended.send_modify(|count| *count += 1);
    }

    /// Whether this address may try something that could be guessed.
    fn may_try(&self, address: IpAddr) -> Result<(), Fault> {
        let mut guesses = self.guesses.lock().unwrap_or_else(PoisonError::into_inner);
        if guesses.take(address, clock::seconds()) { Ok(()) } else { Err(Fault::TooMany) }
    }

    /// Whether this account may be sent another letter now.
    fn may_get_letter(&self, user: &str) -> bool {
        let mut letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        letters.take(user.to_lowercase(), clock::seconds())
    }

    /// What somebody may do, for the look of a page; the box is asked again soon.
    async fn rights(&self, user: &str) -> Result<Rights, TalkError> {
        let key = user.to_lowercase();
        let known = {
            let all = self.rights.lock().unwrap_or_else(PoisonError::into_inner);
            all.get(&key).filter(|(_, at)| at.elapsed() < RIGHTS).cloned()
        };
        match known {
            Some((rights, _)) => Ok(rights),
            None => self.rights_now(user).await,
        }
    }

    /// What somebody may do at this moment.
    async fn rights_now(&self, user: &str) -> Result<Rights, TalkError> {
        let rights = self.desk.rights(user).await?;
        let mut all = self.rights.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= RIGHTS_MAX {
            all.clear();
        }
        all.insert(user.to_lowercase(), (rights.clone(), clock::now()));
        Ok(rights)
    }

    /// Remembers what happened, for administrators.
    async fn note(&self, user: &str, what: &str, address: &str) -> Result<(), DbError> {
        log::info!("{user}: {what} ({address})");
        let (user, what, address) = (user.to_owned(), what.to_owned(), address.to_owned());
        let event = Event { at: clock::seconds(), user, what, address };
        self.db.call(move |db| crate::accounts::audit_log::note(db, &event)).await
    }
}

/// Every page there is.
pub fn router(portal: Arc<Portal>) -> Router {
    Router::new()
        .route("/", get(login::home))
        .route("/login", get(login::page).post(login::log_in))
        .route("/logout", post(login::log_out))
        .route("/logout/everywhere", post(login::log_out_everywhere))
        .route("/session/stay", post(login::stay))
        .route("/forgot", get(reset::forgot_page).post(reset::forgot))
        .route("/reset", get(reset::page).post(reset::set))
        .route("/password", get(reset::own_page).post(reset::own))
        .route("/agent", get(agent::page))
        .route("/agent/do", post(agent::act))
        .route("/agent/field", post(agent::field))
        .route("/agent/events", get(events::agent))
        .route("/session/events", get(events::session))
        .route("/records", get(records::list))
        .route("/records/{id}", get(records::page))
        .route("/records/{id}/sound", get(audio::get))
        .route("/records/{id}/wave", get(records::picture))
        .route("/records/{id}/export", post(audio::export))
        .route("/records/{id}/protect", post(records::protect))
        .route("/records/{id}/identity", post(records::identity))
        .route("/board", get(live_view::page))
        .route("/board/events", get(live_view::stream))
        .route("/admin", get(admin::page))
        .route("/admin/account", post(admin::account))
        .route("/assets/{version}/{name}", get(assets::get))
        .route("/healthz", get(health::healthz))
        .route("/metrics", get(health::metrics))
        .fallback(|| async { Fault::NotFound })
        .layer(DefaultBodyLimit::max(FORM_BYTES))
        .layer(from_fn_with_state(Arc::clone(&portal), around))
        .with_state(portal)
}

/// What is true of every request and every answer.
async fn around(State(portal): State<Arc<Portal>>, request: Request, next: Next) -> Response {
    portal.counters.requests.fetch_add(1, Ordering::Relaxed);
    let mut answer = match extract::foreign(&portal, &request) {
        Some(fault) => fault.into_response(),
        None => next.run(request).await,
    };
    if answer.status().is_client_error() {
        portal.counters.refused.fetch_add(1, Ordering::Relaxed);
    }
    let headers = answer.headers_mut();
    for (name, value) in HEADERS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if portal.config.is_secure() {
        headers.insert(
            header::STRICT_TRANSPORT_SECURITY,
            HeaderValue::from_static("max-age=31536000"),
        );
    }
    answer
}

/// Nothing from elsewhere, nothing inline, no frame around us, nothing kept.
const HEADERS: [(HeaderName, &str); 8] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
         media-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; \
         base-uri 'none'; require-trusted-types-for 'script'",
    ),
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), microphone=(), geolocation=(), usb=(), payment=()",
    ),
];

#[cfg(test)]
impl Portal {
    /// A portal of which nothing runs yet, with its files in `folder`.
    fn for_tests(folder: &std::path::Path, socket: &std::path::Path) -> Arc<Portal> {
        let text = format!(
            "[portal]\naddress = \"127.0.0.1:0\"\nurl = \"http://127.0.0.1:0\"\n\
             data = \"data\"\nbox = {socket:?}\ntls = \"none\"\n"
        );
        let path = folder.join("portal.toml");
        std::fs::write(&path, text).expect("a configuration");
        let config = Config::read(&path).expect("a configuration");
        let db = Db::open(&folder.join("db")).expect("a database");
        Arc::new(Portal::new(config, db).expect("a portal"))
    }
}
