//! The client's side of TLS 1.3: a pinned CA, a certificate of its own, and nothing else trusted.
//!
//! A box is known by its CA, not by its name: whatever address it has, its certificate must be one
//! of the CA that was pinned when this workstation was enrolled. While it is being enrolled it has
//! no pinned CA yet; then the code says what the CA's fingerprint begins with.
//!
//! Nothing here decides where to connect, or knows a line.

use crate::keyring::Credentials;
use protocol::one_time::FINGERPRINT_BYTES;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore,
    SignatureScheme,
};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

/// The name in every box's certificate.
const SERVER_NAME: &str = "hushbox";

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn trusting(authority: CertificateDer<'static>) -> Result<Arc<WebPkiServerVerifier>, Error> {
    let mut roots = RootCertStore::empty();
    roots.add(authority)?;
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider());
    verifier.build().map_err(|error| Error::General(error.to_string()))
}

/// For a box that this workstation is enrolled at.
pub(crate) fn enrolled(mut credentials: Credentials) -> Result<ClientConfig, Error> {
    let authority = credentials.chain.pop().ok_or(Error::NoCertificatesPresented)?;
    ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_webpki_verifier(trusting(authority)?)
        .with_client_auth_cert(credentials.chain, credentials.key)
}

/// For a box that gives a certificate to whoever has a code; it must be the one the code is of.
pub(crate) fn enrolling(fingerprint: [u8; FINGERPRINT_BYTES]) -> Result<ClientConfig, Error> {
    let verifier = Arc::new(OfCode { fingerprint, provider: provider() });
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    Ok(config.with_no_client_auth())
}

/// Trusts the CA that the box shows, if the code names it.
#[derive(Debug)]
struct OfCode {
    fingerprint: [u8; FINGERPRINT_BYTES],
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for OfCode {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let (authority, rest) =
            intermediates.split_last().ok_or(CertificateError::UnknownIssuer)?;
        let digest = ring::digest::digest(&ring::digest::SHA256, authority);
        if digest.as_ref()[..FINGERPRINT_BYTES] != self.fingerprint {
            return Err(CertificateError::UnknownIssuer.into());
        }
        let verifier = trusting(authority.clone().into_owned())?;
        verifier.verify_server_cert(end_entity, rest, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// A socket with TLS on it.
#[derive(Debug)]
pub(crate) struct TlsSocket {
    pub socket: TcpStream,
    tls: Box<ClientConnection>,
    /// Plaintext that was opened and not read yet.
    opened: usize,
}

impl TlsSocket {
    pub fn new(socket: TcpStream, config: ClientConfig) -> Result<TlsSocket, std::io::Error> {
        let name = ServerName::try_from(SERVER_NAME).map_err(std::io::Error::other)?;
        let tls = ClientConnection::new(Arc::new(config), name).map_err(invalid)?;
        Ok(TlsSocket { socket, tls: Box::new(tls), opened: 0 })
    }

    pub fn is_handshaking(&self) -> bool {
        self.tls.is_handshaking()
    }

    /// The CA that the box showed.
    pub fn authority(&self) -> Option<CertificateDer<'static>> {
        self.tls.peer_certificates()?.last().cloned()
    }

    /// Whether a read brings something without waiting, although the socket has nothing.
    pub fn has_opened(&self) -> bool {
        self.opened > 0
    }

    /// Sends what waits.
    pub fn flush(&mut self) -> Result<(), std::io::Error> {
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.socket)?;
        }
        Ok(())
    }

    /// Waits once for the socket; what it brings is for the next `read`.
    pub fn step(&mut self, timeout: Duration) -> Result<(), std::io::Error> {
        self.flush()?;
        self.socket.set_read_timeout(Some(timeout))?;
        let ended = self.tls.read_tls(&mut self.socket)? == 0;
        match self.tls.process_new_packets() {
            Ok(state) => self.opened = state.plaintext_bytes_to_read(),
            Err(error) => {
                // The alert tells the box why; nobody waits for it to arrive.
                drop(self.flush());
                return Err(invalid(error));
            }
        }
        if ended && self.is_handshaking() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    /// One read; 0: the box is gone.
    pub fn read(&mut self, buffer: &mut [u8], timeout: Duration) -> Result<usize, std::io::Error> {
        loop {
            match self.tls.reader().read(buffer) {
                Ok(count) => {
                    self.opened = self.opened.saturating_sub(count);
                    return Ok(count);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.step(timeout)?,
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(0),
                Err(error) => return Err(error),
            }
        }
    }

    pub fn write_all(&mut self, bytes: &[u8]) -> Result<(), std::io::Error> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let count = self.tls.writer().write(rest)?;
            rest = &rest[count..];
            self.flush()?;
        }
        Ok(())
    }
}

fn invalid(error: Error) -> std::io::Error {
    std::io::Error::new(ErrorKind::InvalidData, error)
}
