//! TLS 1.3 at the doors: rustls as a layer without I/O, between a socket and a connection's bytes.
//!
//! A client without a certificate is let through the handshake, because that is how it enrols; what
//! it may be is decided by its certificate's digest, by the recorder. There is no resumption and no
//! early data: every session shows its certificate anew, so that what was revoked stays out. The
//! configuration is replaced when the box's certificate is renewed; sessions that are open stay.
//!
//! Nothing here polls, waits, or knows a line.

use crate::shell::net::ca::{
    CaError, CertificateAuthority, ServerCertificate, Validity, certificate_digest,
};
use crate::time::WallTime;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, ServerConnection};
use std::io::{self, Read, Write};
use std::sync::Arc;

/// Why TLS cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error(transparent)]
    Authority(#[from] CaError),
    #[error("the certificates in data/tls cannot be used: {0}")]
    Config(String),
}

/// What every TLS session begins with.
pub struct TlsServer {
    authority: Arc<CertificateAuthority>,
    config: Arc<ServerConfig>,
    validity: Validity,
    /// A new certificate is being made.
    is_renewing: bool,
    /// The last attempt failed: not before this moment again.
    retry_at: WallTime,
}

/// A renewal that failed is tried again after this long.
const RENEWAL_RETRY_MS: i64 = 60_000;

impl TlsServer {
    /// # Errors
    /// See `TlsError`.
    pub fn open(authority: CertificateAuthority, now: WallTime) -> Result<TlsServer, TlsError> {
        let shown = authority.server_certificate(now)?;
        let life = shown.validity;
        let config = Arc::new(server_config(&authority, shown)?);
        let authority = Arc::new(authority);
        Ok(TlsServer {
            authority,
            config,
            validity: life,
            is_renewing: false,
            retry_at: WallTime(0),
        })
    }

    #[must_use]
    pub fn authority(&self) -> &Arc<CertificateAuthority> {
        &self.authority
    }

    /// Whether a new certificate is to be asked for; says so once.
    pub fn begin_renewal_if_due(&mut self, now: WallTime) -> bool {
        let again = now >= self.retry_at || now.0 < self.retry_at.0 - RENEWAL_RETRY_MS;
        let due = !self.is_renewing && again && self.validity.is_due(now);
        self.is_renewing |= due;
        due
    }

    /// A new certificate came, or none.
    ///
    /// # Errors
    /// In words.
    pub fn finish_renewal(
        &mut self,
        now: WallTime,
        made: Result<ServerCertificate, String>,
    ) -> Result<(), String> {
        self.is_renewing = false;
        let life = made.as_ref().map_or(self.validity, |shown| shown.validity);
        let fresh = made.and_then(|shown| {
            server_config(&self.authority, shown).map_err(|error| error.to_string())
        });
        match fresh {
            Ok(config) => {
                (self.config, self.validity) = (Arc::new(config), life);
                Ok(())
            }
            Err(text) => {
                self.retry_at = WallTime(now.0.saturating_add(RENEWAL_RETRY_MS));
                Err(text)
            }
        }
    }

    /// The box's side of a new session.
    ///
    /// # Errors
    /// What rustls says.
    pub fn new_session(&self) -> Result<TlsSession, rustls::Error> {
        Ok(TlsSession {
            tls: Box::new(ServerConnection::new(self.config.clone())?),
            is_close_notify_sent: false,
        })
    }
}

fn server_config(
    authority: &CertificateAuthority,
    shown: ServerCertificate,
) -> Result<ServerConfig, TlsError> {
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
pub struct TlsSession {
    tls: Box<ServerConnection>,
    is_close_notify_sent: bool,
}

/// The most plaintext that is sealed at once: a record.
const RECORD_BYTES_MAX: usize = 16 * 1024;

impl TlsSession {
    #[must_use]
    pub fn is_handshaking(&self) -> bool {
        self.tls.is_handshaking()
    }

    /// What the client's certificate is known by, if it showed one.
    #[must_use]
    pub fn client_certificate_digest(&self) -> Option<[u8; 32]> {
        self.tls.peer_certificates()?.first().map(|certificate| certificate_digest(certificate))
    }

    /// Plaintext that has come already. `WouldBlock`: none; 0: the client took its leave.
    ///
    /// # Errors
    /// As `Read`; the end without a leave is `UnexpectedEof`.
    pub fn read_plain(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.tls.reader().read(buffer)
    }

    /// Takes once what the socket has, at most some kilobytes; false: it has ended.
    ///
    /// # Errors
    /// What the socket says, or what is wrong with what came; then an alert waits to be sent.
    pub fn read_tls(&mut self, socket: &mut dyn Read) -> io::Result<bool> {
        let count = self.tls.read_tls(socket)?;
        self.tls
            .process_new_packets()
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok(count > 0)
    }

    #[must_use]
    pub fn wants_write(&self) -> bool {
        self.tls.wants_write()
    }

    /// Gives the socket once what waits.
    ///
    /// # Errors
    /// What the socket says.
    pub fn write_tls(&mut self, socket: &mut dyn Write) -> io::Result<usize> {
        self.tls.write_tls(socket)
    }

    /// Seals the beginning of `bytes`, one record at most, and says how many. To be called only
    /// when nothing waits, so that what waits is one record at most.
    ///
    /// # Errors
    /// Never, says rustls.
    pub fn write_plain(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(RECORD_BYTES_MAX);
        self.tls.writer().write(&bytes[..count])
    }

    /// Takes leave, once.
    pub fn send_close_notify(&mut self) {
        if !self.is_close_notify_sent {
            self.is_close_notify_sent = true;
            self.tls.send_close_notify();
        }
    }
}
