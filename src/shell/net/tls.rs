//! TLS 1.3 at the doors: rustls as a layer without I/O, between a socket and a connection's bytes.
//!
//! A client without a certificate is let through the handshake, because that is how it enrols; what
//! it may be is decided by its certificate's digest, by the recorder. There is no resumption and no
//! early data: every session shows its certificate anew, so that what was revoked stays out. The
//! configuration is replaced when the box's certificate is renewed; sessions that are open stay.
//!
//! Nothing here polls, waits, or knows a line.

use crate::shell::net::ca::{Authority, AuthorityError, Life, Shown, digest};
use crate::time::Wall;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, ServerConnection};
use std::io::{self, Read, Write};
use std::sync::Arc;

/// Why TLS cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    #[error("the certificates in data/tls cannot be used: {0}")]
    Config(String),
}

/// What every TLS session begins with.
pub struct Tls {
    authority: Arc<Authority>,
    config: Arc<ServerConfig>,
    life: Life,
    /// A new certificate is being made.
    renewing: bool,
    /// The last attempt failed: not before this moment again.
    again_at: Wall,
}

/// A renewal that failed is tried again after this long.
const AGAIN_MS: i64 = 60_000;

impl Tls {
    /// # Errors
    /// See `TlsError`.
    pub fn open(authority: Authority, now: Wall) -> Result<Tls, TlsError> {
        let shown = authority.shown(now)?;
        let life = shown.life;
        let config = Arc::new(config(&authority, shown)?);
        let authority = Arc::new(authority);
        Ok(Tls { authority, config, life, renewing: false, again_at: Wall(0) })
    }

    #[must_use]
    pub fn authority(&self) -> &Arc<Authority> {
        &self.authority
    }

    /// Whether a new certificate is to be asked for; says so once.
    pub fn take_due(&mut self, now: Wall) -> bool {
        let again = now >= self.again_at || now.0 < self.again_at.0 - AGAIN_MS;
        let due = !self.renewing && again && self.life.is_due(now);
        self.renewing |= due;
        due
    }

    /// A new certificate came, or none.
    ///
    /// # Errors
    /// In words.
    pub fn renewed(&mut self, now: Wall, made: Result<Shown, String>) -> Result<(), String> {
        self.renewing = false;
        let life = made.as_ref().map_or(self.life, |shown| shown.life);
        let fresh = made
            .and_then(|shown| config(&self.authority, shown).map_err(|error| error.to_string()));
        match fresh {
            Ok(config) => {
                (self.config, self.life) = (Arc::new(config), life);
                Ok(())
            }
            Err(text) => {
                self.again_at = Wall(now.0.saturating_add(AGAIN_MS));
                Err(text)
            }
        }
    }

    /// The box's side of a new session.
    ///
    /// # Errors
    /// What rustls says.
    pub fn session(&self) -> Result<Layer, rustls::Error> {
        Ok(Layer { tls: Box::new(ServerConnection::new(self.config.clone())?), said_bye: false })
    }
}

fn config(authority: &Authority, shown: Shown) -> Result<ServerConfig, TlsError> {
    let wrong = |error: &dyn std::fmt::Display| TlsError::Config(error.to_string());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate().clone()).map_err(|error| wrong(&error))?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated()
        .build()
        .map_err(|error| wrong(&error))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| wrong(&error))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(shown.chain, shown.key)
        .map_err(|error| wrong(&error))?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// One session's TLS.
pub struct Layer {
    tls: Box<ServerConnection>,
    said_bye: bool,
}

/// The most plaintext that is sealed at once: a record.
const RECORD_BYTES: usize = 16 * 1024;

impl Layer {
    #[must_use]
    pub fn is_handshaking(&self) -> bool {
        self.tls.is_handshaking()
    }

    /// What the client's certificate is known by, if it showed one.
    #[must_use]
    pub fn certificate(&self) -> Option<[u8; 32]> {
        self.tls.peer_certificates()?.first().map(|certificate| digest(certificate))
    }

    /// Plaintext that has come already. `WouldBlock`: none; 0: the client took its leave.
    ///
    /// # Errors
    /// As `Read`; the end without a leave is `UnexpectedEof`.
    pub fn plaintext(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.tls.reader().read(buffer)
    }

    /// Takes once what the socket has, at most some kilobytes; false: it has ended.
    ///
    /// # Errors
    /// What the socket says, or what is wrong with what came; then an alert waits to be sent.
    pub fn take(&mut self, socket: &mut dyn Read) -> io::Result<bool> {
        let count = self.tls.read_tls(socket)?;
        self.tls
            .process_new_packets()
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok(count > 0)
    }

    #[must_use]
    pub fn has_output(&self) -> bool {
        self.tls.wants_write()
    }

    /// Gives the socket once what waits.
    ///
    /// # Errors
    /// What the socket says.
    pub fn give(&mut self, socket: &mut dyn Write) -> io::Result<usize> {
        self.tls.write_tls(socket)
    }

    /// Seals the beginning of `bytes`, one record at most, and says how many. To be called only
    /// when nothing waits, so that what waits is one record at most.
    ///
    /// # Errors
    /// Never, says rustls.
    pub fn seal(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(RECORD_BYTES);
        self.tls.writer().write(&bytes[..count])
    }

    /// Takes leave, once.
    pub fn say_bye(&mut self) {
        if !self.said_bye {
            self.said_bye = true;
            self.tls.send_close_notify();
        }
    }
}
