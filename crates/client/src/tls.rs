//! The client's side of TLS 1.3: it trusts one pinned CA and shows its own certificate.
//!
//! A box is identified by its CA, not by its address: its certificate must be signed by the CA that
//! was pinned at enrolment. During enrolment no CA is pinned yet; the enrolment code then holds the
//! beginning of the CA's fingerprint.
//!
//! Nothing here decides where to connect or parses a line.

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

/// The name in the certificate of every box.
const SERVER_NAME: &str = "hushbox";

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Makes a verifier that trusts only this CA.
fn build_verifier(authority: CertificateDer<'static>) -> Result<Arc<WebPkiServerVerifier>, Error> {
    let mut roots = RootCertStore::empty();
    roots.add(authority)?;
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider());
    verifier.build().map_err(|error| Error::General(error.to_string()))
}

/// Makes the configuration for a box where this workstation is enrolled.
pub(crate) fn build_config(mut credentials: Credentials) -> Result<ClientConfig, Error> {
    let authority = credentials.chain.pop().ok_or(Error::NoCertificatesPresented)?;
    ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_webpki_verifier(build_verifier(authority)?)
        .with_client_auth_cert(credentials.chain, credentials.key)
}

/// Makes the configuration for enrolment at the box whose CA has this fingerprint.
pub(crate) fn build_enrolment_config(
    fingerprint: [u8; FINGERPRINT_BYTES],
) -> Result<ClientConfig, Error> {
    let verifier = Arc::new(FingerprintVerifier { fingerprint, provider: provider() });
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    Ok(config.with_no_client_auth())
}

/// Trusts the CA that the box shows if its fingerprint begins with the one in the code.
#[derive(Debug)]
struct FingerprintVerifier {
    fingerprint: [u8; FINGERPRINT_BYTES],
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for FingerprintVerifier {
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
        let verifier = build_verifier(authority.clone().into_owned())?;
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

/// A TCP socket with a TLS session.
#[derive(Debug)]
pub(crate) struct TlsSocket {
    pub socket: TcpStream,
    tls: Box<ClientConnection>,
    /// Decrypted bytes that were not read yet.
    decrypted: usize,
}

impl TlsSocket {
    pub fn new(socket: TcpStream, config: ClientConfig) -> Result<TlsSocket, std::io::Error> {
        let name = ServerName::try_from(SERVER_NAME).map_err(std::io::Error::other)?;
        let tls = ClientConnection::new(Arc::new(config), name).map_err(invalid_data)?;
        Ok(TlsSocket { socket, tls: Box::new(tls), decrypted: 0 })
    }

    pub fn is_handshaking(&self) -> bool {
        self.tls.is_handshaking()
    }

    /// The CA certificate that the box showed.
    pub fn server_ca(&self) -> Option<CertificateDer<'static>> {
        self.tls.peer_certificates()?.last().cloned()
    }

    /// Whether decrypted bytes wait to be read. A poll of the socket does not show them.
    pub fn has_decrypted(&self) -> bool {
        self.decrypted > 0
    }

    /// Writes pending TLS records to the socket.
    pub fn flush(&mut self) -> Result<(), std::io::Error> {
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.socket)?;
        }
        Ok(())
    }

    /// Reads from the socket once and decrypts what it brings, for the next `read`.
    pub fn receive_records(&mut self, timeout: Duration) -> Result<(), std::io::Error> {
        self.flush()?;
        self.socket.set_read_timeout(Some(timeout))?;
        let ended = self.tls.read_tls(&mut self.socket)? == 0;
        match self.tls.process_new_packets() {
            Ok(state) => self.decrypted = state.plaintext_bytes_to_read(),
            Err(error) => {
                // The alert tells the box why; whether it arrives does not matter.
                drop(self.flush());
                return Err(invalid_data(error));
            }
        }
        if ended && self.is_handshaking() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    /// Reads once; 0: the box closed the connection.
    pub fn read(&mut self, buffer: &mut [u8], timeout: Duration) -> Result<usize, std::io::Error> {
        loop {
            match self.tls.reader().read(buffer) {
                Ok(count) => {
                    self.decrypted = self.decrypted.saturating_sub(count);
                    return Ok(count);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.receive_records(timeout)?
                }
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

/// Wraps an error as `ErrorKind::InvalidData`, from which `ConnectionError` recognises it.
pub(crate) fn invalid_data(error: Error) -> std::io::Error {
    std::io::Error::new(ErrorKind::InvalidData, error)
}
