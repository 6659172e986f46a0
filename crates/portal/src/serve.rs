//! The portal's HTTP server, from configuration to shutdown.
//!
//! It listens, prints one line to stdout, and serves until SIGTERM or ctrl-c. Requests in progress
//! are finished, live streams end at once. Expired data is deleted once a minute.
//!
//! What a stranger can hold is bounded: time and bytes of a request's head, time of its body
//! (`web::extract`), streams of a connection, threads.

use crate::accounts::password::PasswordError;
use crate::accounts::sessions;
use crate::clock;
use crate::config::{Config, TlsMode};
use crate::db::{Db, DbError};
use crate::mail::MailError;
use crate::tls::TlsError;
use crate::web::{self, AppState};
use axum_server::Server;
use axum_server::tls_rustls::RustlsConfig;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// Time limit for requests in progress at shutdown.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);
/// Time limit for the head of a request, from the end of the one before.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// Bytes of a request's head.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Requests and streams of an HTTP/2 connection at a time.
const CONCURRENT_REQUESTS_MAX: u32 = 64;
/// A silent HTTP/2 connection is asked this often whether the browser is still there.
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// Threads for database queries and name lookups; passwords have threads of their own.
const BLOCKING_THREADS_MAX: usize = 8;
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);
/// How often the age of a self-signed certificate is looked at.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(3600);

/// Why the server could not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("{address}: {error}")]
    Listen { address: SocketAddr, error: std::io::Error },
    #[error("{0}")]
    Db(#[from] DbError),
    #[error("{0}")]
    Tls(#[from] TlsError),
    #[error("{0}")]
    Mail(#[from] MailError),
    #[error("{0}")]
    Password(#[from] PasswordError),
    #[error("{0}")]
    Random(#[from] crate::accounts::token::RandomError),
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("{path}: {error}")]
    Folder { path: PathBuf, error: std::io::Error },
}

/// Opens the database, creating it and the data folder if needed.
pub fn open_database(config: &Config) -> Result<Db, DbError> {
    use std::os::unix::fs::DirBuilderExt;
    let folder = &config.portal.data;
    // If this fails, opening the database reports the error.
    drop(std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder));
    Db::open(&folder.join("portal.sqlite"))
}

/// Serves until a shutdown signal.
pub fn run(config: Config) -> Result<(), ServeError> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.max_blocking_threads(BLOCKING_THREADS_MAX).enable_all().build()?;
    let done = runtime.block_on(serve_until_stopped(config));
    // Requests to the recorder that still wait do not delay the shutdown.
    runtime.shutdown_timeout(Duration::from_secs(1));
    done
}

async fn serve_until_stopped(mut config: Config) -> Result<(), ServeError> {
    config.find_exposed_files().iter().for_each(|warning| log::warn!("{warning}"));
    let db = open_database(&config)?;
    let listen = |error| ServeError::Listen { address: config.portal.address, error };
    let listener = TcpListener::bind(config.portal.address).map_err(listen)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    config.set_port(address.port());
    let tls = match config.portal.tls {
        TlsMode::Own => Some(crate::tls::server_config(&config, clock::unix_seconds())?),
        TlsMode::Proxy | TlsMode::None => None,
    };
    let portal = Arc::new(AppState::new(config, db)?);
    let service = web::build_router(Arc::clone(&portal));
    let service = service.into_make_service_with_connect_info::<SocketAddr>();
    let handle = axum_server::Handle::new();
    tokio::spawn(stop_on_signal(handle.clone(), Arc::clone(&portal)));
    portal.spawn_background_tasks();
    tokio::spawn(sweep_periodically(Arc::clone(&portal)));
    let ready = format!("ready listen={address} url={}\n", portal.config.portal.url);
    // The reader of stdout may be stuck or gone.
    std::thread::spawn(move || drop(std::io::stdout().write_all(ready.as_bytes())));
    log::info!("serving {} on {address}", portal.config.portal.url);
    match tls {
        Some(tls) => {
            let tls = RustlsConfig::from_config(tls);
            tokio::spawn(renew_certificate(Arc::clone(&portal), tls.clone()));
            let server = axum_server::from_tcp_rustls(listener, tls)?.handle(handle);
            limit_connections(server).serve(service).await?;
        }
        None => {
            let server = axum_server::from_tcp(listener)?.handle(handle);
            limit_connections(server).serve(service).await?;
        }
    }
    Ok(())
}

/// Bounds what one connection can hold, and for how long.
fn limit_connections<A>(mut server: Server<SocketAddr, A>) -> Server<SocketAddr, A> {
    let http = server.http_builder();
    http.http1().header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_BYTES_MAX);
    http.http2()
        .max_concurrent_streams(CONCURRENT_REQUESTS_MAX)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(HEAD_TIMEOUT);
    server.first_request_timeout(HEAD_TIMEOUT)
}

/// Replaces a self-signed certificate before it expires.
async fn renew_certificate(portal: Arc<AppState>, tls: RustlsConfig) {
    loop {
        tokio::time::sleep(RENEWAL_INTERVAL).await;
        match crate::tls::renew_if_due(&portal.config, clock::unix_seconds()) {
            Ok(Some(renewed)) => tls.reload_from_config(renewed),
            Ok(None) => {}
            Err(error) => log::error!("the certificate was not renewed: {error}"),
        }
    }
}

async fn stop_on_signal(handle: axum_server::Handle<SocketAddr>, portal: Arc<AppState>) {
    let (Ok(mut term), Ok(mut int)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return log::error!("signals cannot be awaited: only SIGKILL stops the portal");
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    log::info!("stopping");
    portal.close_streams();
    handle.graceful_shutdown(Some(SHUTDOWN_TIMEOUT));
}

async fn sweep_periodically(portal: Arc<AppState>) {
    loop {
        tokio::time::sleep(SWEEP_INTERVAL).await;
        portal.agent_sessions.drop_unused();
        let (now, rule) = (clock::unix_seconds(), portal.session_policy());
        let swept = portal.db.call(move |db| {
            sessions::delete_expired(db, now, rule)?;
            sessions::list_sessions(db, now, rule)
        });
        match swept.await {
            Ok(alive) => {
                portal.decode_service.retain_sessions(|key| alive.iter().any(|one| one.key == key))
            }
            Err(error) => log::error!("{error}"),
        }
    }
}
