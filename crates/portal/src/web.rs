//! Pages, forms and live state.
//!
//! `extract` authenticates requests and rejects cross-site forms; every other submodule serves the
//! pages or streams of one topic. Pages are rendered on the server and work without scripts where
//! practical.
//!
//! Every response carries the same security headers: no external resources, no inline scripts, no
//! caching. The recorder decides what a user may do, not a page.

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
mod passwords;
mod records;
mod session_watch;
mod timeline;
mod waveform;

use crate::accounts::audit_log::AuditEvent;
use crate::accounts::hasher::Hasher;
use crate::accounts::sessions::Session;
use crate::accounts::throttle::Throttle;
use crate::accounts::{lockout, sessions, throttle, token};
use crate::box_client::agent_sessions::AgentSessions;
use crate::box_client::client::{BoxClient, Rights};
use crate::box_client::connection::ConnectionError;
use crate::box_client::events::BoxEvents;
use crate::clock;
use crate::config::Config;
use crate::db::{Db, DbError};
use crate::mail::Mailer;
use crate::media::decode_service::DecodeService;
use crate::serve::ServeError;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use error::AppError;
use session_watch::{SessionStatus, SessionWatch};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Size limit of a form in bytes.
const FORM_BYTES_MAX: usize = 16 << 10;
/// How long a user's rights are cached for rendering pages.
const RIGHTS_TTL: Duration = Duration::from_secs(10);
/// Interval at which streams and transfers check that they may continue.
const RECHECK_INTERVAL: Duration = Duration::from_secs(10);
/// Number of users whose rights are cached.
const CACHED_RIGHTS_MAX: usize = 4096;

/// Counters for `/metrics`.
#[derive(Debug, Default)]
pub struct Counters {
    pub requests: AtomicU64,
    pub requests_refused: AtomicU64,
    pub log_ins: AtomicU64,
    pub log_ins_failed: AtomicU64,
    pub streams: AtomicU64,
}

/// State shared by all request handlers.
#[derive(Debug)]
pub struct AppState {
    pub config: Config,
    pub db: Db,
    pub agent_sessions: AgentSessions,
    pub box_client: BoxClient,
    pub decode_service: DecodeService,
    pub hasher: Hasher,
    pub mailer: Option<Mailer>,
    pub counters: Counters,
    pub box_events: BoxEvents,
    guess_throttle: Mutex<Throttle<IpAddr>>,
    mail_throttle: Mutex<Throttle<String>>,
    rights_cache: Mutex<BTreeMap<String, (Rights, Instant)>>,
    /// Key that binds login forms to browsers without a session.
    form_key: String,
    session_watch: SessionWatch,
    /// Streams end when it is true.
    shutdown: watch::Sender<bool>,
    live_view: watch::Sender<Arc<live_view::LiveView>>,
}

impl AppState {
    pub fn new(config: Config, db: Db) -> Result<AppState, ServeError> {
        let socket = config.portal.r#box.clone();
        let mailer = config.mail.as_ref().map(Mailer::new).transpose()?;
        Ok(AppState {
            db,
            agent_sessions: AgentSessions::new(socket.clone()),
            decode_service: DecodeService::new(
                BoxClient::new(socket.clone()),
                config.unseal.clone(),
            ),
            box_client: BoxClient::new(socket),
            hasher: Hasher::start()?,
            mailer,
            config,
            counters: Counters::default(),
            box_events: BoxEvents::default(),
            guess_throttle: Mutex::new(Throttle::new(throttle::GUESS_LIMIT)),
            mail_throttle: Mutex::new(Throttle::new(throttle::MAIL_LIMIT)),
            rights_cache: Mutex::default(),
            form_key: token::new()?,
            session_watch: SessionWatch::new(),
            shutdown: watch::Sender::new(false),
            live_view: watch::Sender::new(Arc::default()),
        })
    }

    #[must_use]
    pub fn session_policy(&self) -> sessions::SessionPolicy {
        let login = &self.config.login;
        let (idle, age) = (i64::from(login.idle_seconds), i64::from(login.session_hours));
        sessions::SessionPolicy { idle_s: idle, age_s: age * 3600 }
    }

    fn lockout_policy(&self) -> lockout::LockoutPolicy {
        let login = &self.config.login;
        lockout::LockoutPolicy { failures_max: login.tries, lock_s: i64::from(login.lock_seconds) }
    }

    /// Ends all live streams, so that the server can stop.
    pub fn close_streams(&self) {
        self.shutdown.send_replace(true);
    }

    pub fn spawn_background_tasks(self: &Arc<AppState>) {
        tokio::spawn(session_watch::check_forever(Arc::clone(self)));
        tokio::spawn(live_view::update_live_view(Arc::clone(self), self.live_view.clone()));
        let portal = Arc::clone(self);
        tokio::spawn(async move { portal.box_events.watch_forever(&portal.box_client).await });
        let portal = Arc::clone(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(RECHECK_INTERVAL).await;
                portal.decode_service.recheck_access().await;
            }
        });
    }

    /// Registers a stream or transfer of a session that was just found alive.
    fn open_stream(&self, session: &Session) -> Result<watch::Receiver<SessionStatus>, AppError> {
        let remaining_s = session.remaining_s(clock::unix_seconds(), self.session_policy());
        self.session_watch.open_stream(&session.key, remaining_s)
    }

    /// Tells streams that sessions may have ended.
    fn notify_sessions_changed(&self) {
        self.session_watch.request_check();
    }

    /// Applies the rate limit of an address.
    fn check_attempt_limit(&self, address: IpAddr) -> Result<(), AppError> {
        let mut guesses = self.guess_throttle.lock().unwrap_or_else(PoisonError::into_inner);
        if guesses.try_acquire(throttle::counted_address(address), clock::unix_seconds()) {
            Ok(())
        } else {
            Err(AppError::TooManyAttempts)
        }
    }

    /// Applies the e-mail rate limit of an account.
    fn may_receive_mail(&self, user: &str) -> bool {
        let mut letters = self.mail_throttle.lock().unwrap_or_else(PoisonError::into_inner);
        letters.try_acquire(protocol::name::fold_name(user), clock::unix_seconds())
    }

    /// Returns a user's cached rights, for rendering a page.
    async fn cached_rights(&self, user: &str) -> Result<Rights, ConnectionError> {
        let key = protocol::name::fold_name(user);
        let known = {
            let all = self.rights_cache.lock().unwrap_or_else(PoisonError::into_inner);
            all.get(&key).filter(|(_, at)| at.elapsed() < RIGHTS_TTL).cloned()
        };
        match known {
            Some((rights, _)) => Ok(rights),
            None => self.query_rights(user).await,
        }
    }

    async fn query_rights(&self, user: &str) -> Result<Rights, ConnectionError> {
        let rights = self.box_client.query_rights_of(user).await?;
        let mut all = self.rights_cache.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= CACHED_RIGHTS_MAX {
            all.clear();
        }
        all.insert(protocol::name::fold_name(user), (rights.clone(), clock::now()));
        Ok(rights)
    }

    /// Appends an event to the audit log.
    async fn append_audit_event(
        &self,
        user: &str,
        what: &str,
        address: &str,
    ) -> Result<(), DbError> {
        log::info!("{user}: {what} ({address})");
        let (user, what, address) = (user.to_owned(), what.to_owned(), address.to_owned());
        let event = AuditEvent { at: clock::unix_seconds(), user, action: what, address };
        self.db.call(move |db| crate::accounts::audit_log::append_event(db, &event)).await
    }
}

pub fn build_router(portal: Arc<AppState>) -> Router {
    Router::new()
        .route("/", get(login::redirect_home))
        .route("/login", get(login::login_page).post(login::log_in))
        .route("/logout", post(login::log_out))
        .route("/logout/everywhere", post(login::log_out_everywhere))
        .route("/session/stay", post(login::extend_session))
        .route("/forgot", get(passwords::forgot_page).post(passwords::request_link))
        .route("/reset", get(passwords::reset_page).post(passwords::reset_password))
        .route("/password", get(passwords::password_page).post(passwords::change_password))
        .route("/agent", get(agent::agent_page))
        .route("/agent/do", post(agent::run_action))
        .route("/agent/field", post(agent::set_field))
        .route("/agent/events", get(events::stream_agent_state))
        .route("/session/events", get(events::stream_session_state))
        .route("/records", get(records::records_page))
        .route("/records/{id}", get(records::record_page))
        .route("/records/{id}/sound", get(audio::get_audio))
        .route("/records/{id}/wave", get(records::get_waveform))
        .route("/records/{id}/export", post(audio::export_recording))
        .route("/records/{id}/protect", post(records::set_legal_hold))
        .route("/records/{id}/redact", post(records::redact_range))
        .route("/records/{id}/identity", post(records::add_identity))
        .route("/board", get(live_view::live_view_page))
        .route("/board/events", get(live_view::live_view_events))
        .route("/admin", get(admin::admin_page))
        .route("/admin/account", post(admin::change_account))
        .route("/assets/{version}/{name}", get(assets::get_asset))
        .route("/healthz", get(health::get_health))
        .route("/metrics", get(health::get_metrics))
        .fallback(|| async { AppError::NotFound })
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
        .layer(from_fn_with_state(Arc::clone(&portal), apply_middleware))
        .with_state(portal)
}

/// Checks every request and sets headers on every response.
async fn apply_middleware(
    State(portal): State<Arc<AppState>>,
    request: Request,
    next: Next,
) -> Response {
    portal.counters.requests.fetch_add(1, Ordering::Relaxed);
    let mut answer = match extract::reject_cross_site(&portal, &request) {
        Some(fault) => fault.into_response(),
        None => next.run(request).await,
    };
    if answer.status().is_client_error() {
        portal.counters.requests_refused.fetch_add(1, Ordering::Relaxed);
    }
    let headers = answer.headers_mut();
    for (name, value) in SECURITY_HEADERS {
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

/// Blocks external resources, inline scripts, framing and caching.
const SECURITY_HEADERS: [(HeaderName, &str); 8] = [
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
impl AppState {
    /// Creates a portal with its files in `folder` and no tasks running.
    fn new_for_tests(folder: &std::path::Path, socket: &std::path::Path) -> Arc<AppState> {
        let text = format!(
            "[portal]\naddress = \"127.0.0.1:0\"\nurl = \"http://127.0.0.1:0\"\n\
             data = \"data\"\nbox = {socket:?}\ntls = \"none\"\n"
        );
        let path = folder.join("portal.toml");
        std::fs::write(&path, text).expect("a configuration");
        let config = Config::read_config(&path).expect("a configuration");
        let db = Db::open(&folder.join("db")).expect("a database");
        Arc::new(AppState::new(config, db).expect("a portal"))
    }
}
