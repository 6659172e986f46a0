//! Enrolment: a workstation obtains a certificate from a box, with a technician's code.
//!
//! The private key is made here and never leaves the workstation. The client sends the secret part
//! of the code only to a box that shows the CA certificate named in the code, so that a man in the
//! middle cannot read it. The workstation pins that CA.
//!
//! Nothing here stores anything; `Keyring` does.

use crate::address::Address;
use crate::connection::Connection;
use crate::error::ConnectionError;
use protocol::OneTimeCode;
use protocol::client::Failure;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::time::Duration;

/// Why enrolment failed.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// The text is not a code.
    #[error("invalid enrolment code; expected seven groups of four: XXXX-XXXX-…")]
    InvalidCode,
    /// The key or the signing request could not be made.
    #[error("a private key cannot be made: {0}")]
    Key(rcgen::Error),
    /// The connection failed. A certificate of another CA may mean a man in the middle.
    #[error("{0}")]
    Connection(#[from] ConnectionError),
    /// The box refused to enrol this workstation.
    #[error("{}: {}", .0.word, .0.text)]
    Refused(Failure),
    /// The box sent something that is not a certificate of its CA.
    #[error("the box sent no usable certificate; ask a technician for a new code")]
    UnusableCertificate,
}

/// The outcome of a successful enrolment.
pub struct Enrolment {
    /// The machine name that the technician gave.
    pub machine: String,
    /// The kinds of session this workstation may use, comma separated.
    pub kinds: String,
    /// The private key, the certificate and the CA certificate, for `Keyring::store`.
    pub pem: String,
}

/// Exchanges a code for a certificate.
pub fn enrol(address: &Address, code: &str, timeout: Duration) -> Result<Enrolment, EnrolError> {
    let code = OneTimeCode::parse(code).ok_or(EnrolError::InvalidCode)?;
    let key = KeyPair::generate().map_err(EnrolError::Key)?;
    let request = CertificateParams::default().serialize_request(&key).map_err(EnrolError::Key)?;
    let request = request.pem().map_err(EnrolError::Key)?;
    let mut connection = Connection::open_for_enrolment(address, code.fingerprint(), timeout)?;
    let authority = connection.server_ca().ok_or(EnrolError::UnusableCertificate)?;
    let line = format!("enrol code={code}");
    let reply = connection.request_with_data(&line, request.as_bytes())?;
    let pairs = reply.outcome.map_err(EnrolError::Refused)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&reply.data).collect();
    let chain = chain.map_err(|_| EnrolError::UnusableCertificate)?;
    if chain.len() < 2 || chain.last() != Some(&authority) {
        return Err(EnrolError::UnusableCertificate);
    }
    let chain = String::from_utf8(reply.data).map_err(|_| EnrolError::UnusableCertificate)?;
    let value = |key| pairs.get(key).unwrap_or("-").to_owned();
    let pem = format!("{}{chain}", key.serialize_pem());
    Ok(Enrolment { machine: value("machine"), kinds: value("kinds"), pem })
}
