//! Enrolment: how a workstation gets its certificate from a box, with a technician's code.
//!
//! The key is made here and never leaves. The code's secret is told only to a box that shows the CA
//! the code names, so that a man in the middle learns nothing; that CA is pinned from then on.
//!
//! Nothing here keeps anything: see `Keyring`.

use crate::address::Address;
use crate::connection::{Connection, LinkError};
use protocol::OneTimeCode;
use protocol::client::Failure;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::time::Duration;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// Not a code at all.
    #[error("this is no code; it has seven groups of four letters and digits: XXXX-XXXX-…")]
    NoCode,
    /// The key or the request could not be made.
    #[error("no key can be made: {0}")]
    Key(rcgen::Error),
    /// The connection failed; with a certificate of another CA it may be a man in the middle.
    #[error("{0}")]
    Link(#[from] LinkError),
    /// The box refused.
    #[error("{}: {}", .0.word, .0.text)]
    Refused(Failure),
    /// What the box sent is no certificate of its CA.
    #[error("the box sent no certificate that can be used")]
    Unusable,
}

/// What came of it.
pub struct Enrolled {
    /// The machine that the technician named.
    pub machine: String,
    /// What this workstation may say hello as, comma separated.
    pub kinds: String,
    /// For `Keyring::store`: the private key, the certificate, and the CA's.
    pub pem: String,
}

/// Turns a code into a certificate.
pub fn enrol(address: &Address, code: &str, timeout: Duration) -> Result<Enrolled, EnrolError> {
    let code = OneTimeCode::parse(code).ok_or(EnrolError::NoCode)?;
    let key = KeyPair::generate().map_err(EnrolError::Key)?;
    let request = CertificateParams::default().serialize_request(&key).map_err(EnrolError::Key)?;
    let request = request.pem().map_err(EnrolError::Key)?;
    let mut connection = Connection::open_enrolling(address, code.fingerprint(), timeout)?;
    let authority = connection.authority().ok_or(EnrolError::Unusable)?;
    let line = format!("enrol code={code}");
    let reply = connection.ask_with_data(&line, request.as_bytes())?;
    let pairs = reply.outcome.map_err(EnrolError::Refused)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&reply.data).collect();
    let chain = chain.map_err(|_| EnrolError::Unusable)?;
    if chain.len() < 2 || chain.last() != Some(&authority) {
        return Err(EnrolError::Unusable);
    }
    let chain = String::from_utf8(reply.data).map_err(|_| EnrolError::Unusable)?;
    let word = |key| pairs.get(key).unwrap_or("-").to_owned();
    let pem = format!("{}{chain}", key.serialize_pem());
    Ok(Enrolled { machine: word("machine"), kinds: word("kinds"), pem })
}
