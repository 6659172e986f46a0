//! TLS 1.3: rustls as a layer without I/O between a socket and a connection's bytes.
//!
//! A client without a certificate passes the handshake, because it needs a connection to enrol.
//! The recorder decides from the certificate digest what a client may do. There is no resumption
//! and no early data: every session presents its certificate, so revocation takes effect.
//! Renewing the server certificate replaces the TLS configuration; open sessions continue.

use crate::shell::net::ca::{
    CaError, CertificateAuthority, ServerCertificate, Validity, certificate_digest,
};
use crate::time::WallTime;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, ServerConnection};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

/// Error that prevents serving TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error(transparent)]
    Authority(#[from] CaError),
    #[error("the certificates in data/tls cannot be used: {0}")]
    Config(String),
}

/// Shared state for new TLS sessions.
pub struct TlsServer {
    authority: Arc<CertificateAuthority>,
    config: Arc<ServerConfig>,
    validity: Validity,
    /// A new certificate is being made.
    is_renewing: bool,
    /// Earliest next attempt after a failed renewal.
    retry_at: WallTime,
}

/// Retry interval after a failed renewal.
const RENEWAL_RETRY_MS: i64 = 60_000;

impl TlsServer {
    /// Loads or makes the server certificate and builds the TLS configuration.
    ///
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

    /// Whether to request a new certificate now. Returns true once per renewal.
    pub fn begin_renewal_if_due(&mut self, now: WallTime) -> bool {
        let again = now >= self.retry_at || now.0 < self.retry_at.0 - RENEWAL_RETRY_MS;
        let due = !self.is_renewing && again && self.validity.is_due(now);
        self.is_renewing |= due;
        due
    }

    /// Installs a renewed certificate, or schedules a retry.
    ///
    /// # Errors
    /// Why the renewal failed, as text.
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

    /// Creates the server side of a new TLS session.
    ///
    /// # Errors
    /// The error from rustls.
    pub fn new_session(&self) -> Result<TlsSession, rustls::Error> {
        Ok(TlsSession {
            tls: Box::new(ServerConnection::new(self.config.clone())?),
            is_close_notify_sent: false,
        })
    }
}

/// Opens the CA and the server certificate, and makes what is missing.
///
/// # Errors
/// See `TlsError`.
pub fn open_tls_server(data: &Path, name: &str, now: WallTime) -> Result<TlsServer, TlsError> {
    TlsServer::open(CertificateAuthority::open(data, name)?, now)
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

/// TLS state of one connection.
pub struct TlsSession {
    tls: Box<ServerConnection>,
    is_close_notify_sent: bool,
}

/// Maximum plaintext encrypted per call: one TLS record.
const RECORD_BYTES_MAX: usize = 16 * 1024;

impl TlsSession {
    #[must_use]
    pub fn is_handshaking(&self) -> bool {
        self.tls.is_handshaking()
    }

    /// Returns the digest of the client's certificate, if it presented one.
    #[must_use]
    pub fn client_certificate_digest(&self) -> Option<[u8; 32]> {
        self.tls.peer_certificates()?.first().map(|certificate| certificate_digest(certificate))
    }

    /// Reads decrypted data. `WouldBlock` means none is available, 0 that the client sent
    /// `close_notify`.
    ///
    /// # Errors
    /// As `Read`. An end without `close_notify` is `UnexpectedEof`.
    pub fn read_plain(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.tls.reader().read(buffer)
    }

    /// Reads from the socket once, at most a few kilobytes. Returns false at end of stream.
    ///
    /// # Errors
    /// The socket error, or a TLS error, after which an alert is pending.
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

    /// Writes pending TLS data to the socket once.
    ///
    /// # Errors
    /// The socket error.
    pub fn write_tls(&mut self, socket: &mut dyn Write) -> io::Result<usize> {
        self.tls.write_tls(socket)
    }

    /// Encrypts the start of `bytes`, at most one record, and returns its length. Call it only
    /// when no output is pending, so that at most one record is buffered.
    ///
    /// # Errors
    /// None in practice, according to rustls.
    pub fn write_plain(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(RECORD_BYTES_MAX);
        self.tls.writer().write(&bytes[..count])
    }

    /// Queues the `close_notify` alert, once.
    pub fn send_close_notify(&mut self) {
        if !self.is_close_notify_sent {
            self.is_close_notify_sent = true;
            self.tls.send_close_notify();
        }
    }
}
