//! The box's certificate authority: created at the first start, it signs the server certificate
//! and workstation certificates.
//!
//! The CA in `data/tls` is permanent, because workstations pin it. The server certificate is
//! valid for 90 days. It is renewed when a third of that is left, or when the clock is set to
//! before its start. A workstation certificate names the machine and its client kinds; the
//! journal, not the expiry date, decides whether it is still accepted.
//!
//! These functions wait for the disk or do elliptic-curve arithmetic, so they run at startup or
//! in a worker thread, never in the loop.

use crate::enrolment_code::IssuedCertificate;
use crate::shell::os::data_dir::{DataDirError, read_optional, write_secret};
use crate::store::layout;
use crate::time::WallTime;
use protocol::Kind;
use protocol::one_time::FINGERPRINT_BYTES;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use time::OffsetDateTime;

/// Name in every server certificate. The pinned CA identifies the box.
pub const SERVER_NAME: &str = "hushbox";

const DAY_MS: i64 = 86_400_000;
const SERVER_VALIDITY_MS: i64 = 90 * DAY_MS;
/// Maximum time by which a workstation's clock may be behind.
const CLOCK_SKEW_MS_MAX: i64 = DAY_MS;
/// Validity of a workstation certificate: about ten years, since it is revoked rather than left
/// to expire.
const CLIENT_VALIDITY_MS: i64 = 3653 * DAY_MS;

/// Error that leaves the box without certificates.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    #[error(transparent)]
    Data(#[from] DataDirError),
    #[error("{path}: {error}")]
    Generate { path: PathBuf, error: rcgen::Error },
    #[error(
        "{path} is there without its key {key}; restore the key, or remove both: then every \
             workstation must be enrolled again"
    )]
    NoKey { path: PathBuf, key: PathBuf },
    #[error("{path} is no certificate that can be used; restore it from a backup")]
    InvalidFile { path: PathBuf },
}

/// Error from signing a certificate request.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The request is malformed or not signed by its own key.
    #[error("this is no request that fits: {0}")]
    Request(rcgen::Error),
    /// The request is valid, but signing failed.
    #[error("the certificate cannot be made: {0}")]
    Make(rcgen::Error),
}

pub struct CertificateAuthority {
    data: PathBuf,
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// The server certificate, its key and its validity.
#[derive(Debug)]
pub struct ServerCertificate {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
    pub validity: Validity,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    pub not_before: WallTime,
    pub not_after: WallTime,
}

impl Validity {
    /// Whether the certificate is due for renewal.
    #[must_use]
    pub fn is_due(self, now: WallTime) -> bool {
        let third = self.not_after.0.saturating_sub(self.not_before.0) / 3;
        now < self.not_before || now.0 >= self.not_after.0.saturating_sub(third)
    }
}

/// Returns the digest that identifies a certificate in the journal.
#[must_use]
pub fn certificate_digest(certificate: &[u8]) -> [u8; 32] {
    *blake3::hash(certificate).as_bytes()
}

impl CertificateAuthority {
    /// Opens the CA below `data`, and creates it at the first start.
    ///
    /// # Errors
    /// See `CaError`.
    pub fn open(data: &Path, name: &str) -> Result<CertificateAuthority, CaError> {
        let folder = data.join(layout::TLS);
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.map_err(|error| DataDirError::Folder { path: folder, error })?;
        let (path, key_path) = (data.join(layout::CA), data.join(layout::CA_KEY));
        let wrong = |error| CaError::Generate { path: path.clone(), error };
        let key = match read_optional(&key_path)? {
            Some(pem) => parse_key(&pem).ok_or(CaError::InvalidFile { path: key_path })?,
            None if path.exists() => return Err(CaError::NoKey { path, key: key_path }),
            None => {
                let key = KeyPair::generate().map_err(wrong)?;
                let pem = zeroize::Zeroizing::new(key.serialize_pem());
                write_secret(&key_path, pem.as_bytes())?;
                key
            }
        };
        let certificate = match read_optional(&path)? {
            Some(pem) => CertificateDer::from_pem_slice(&pem)
                .map_err(|_| CaError::InvalidFile { path: path.clone() })?,
            None => {
                let made = ca_params(name).self_signed(&key).map_err(wrong)?;
                write_secret(&path, made.pem().as_bytes())?;
                made.der().clone()
            }
        };
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(wrong)?;
        Ok(CertificateAuthority { data: data.to_path_buf(), certificate, issuer })
    }

    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Returns the fingerprint that one-time codes carry.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; FINGERPRINT_BYTES] {
        let digest = ring::digest::digest(&ring::digest::SHA256, &self.certificate);
        let mut fingerprint = [0; FINGERPRINT_BYTES];
        fingerprint.copy_from_slice(&digest.as_ref()[..FINGERPRINT_BYTES]);
        fingerprint
    }

    /// Returns the certificate in `data/tls`, or a new one if that is due, damaged or missing.
    ///
    /// # Errors
    /// A new certificate cannot be made or written.
    pub fn server_certificate(&self, now: WallTime) -> Result<ServerCertificate, CaError> {
        match self.load_server_certificate()? {
            Some(stored) if !stored.validity.is_due(now) => Ok(stored),
            _ => self.issue_server_certificate(now),
        }
    }

    fn load_server_certificate(&self) -> Result<Option<ServerCertificate>, CaError> {
        let certificate = read_optional(&self.data.join(layout::SERVER))?;
        let key = read_optional(&self.data.join(layout::SERVER_KEY))?;
        let (Some(certificate), Some(key)) = (certificate, key) else { return Ok(None) };
        let certificate = CertificateDer::from_pem_slice(&certificate).ok();
        let life = certificate.as_ref().and_then(parse_validity);
        let (Some(certificate), Some(life), Some(key)) = (certificate, life, parse_key(&key))
        else {
            return Ok(None);
        };
        // A power cut between the two writes leaves a new key beside an old certificate.
        let fits =
            parse_public_key(&certificate).is_some_and(|known| known == key.public_key_raw());
        Ok(fits.then(|| self.build_server_certificate(certificate, &key, life)))
    }

    /// Makes and stores a new server certificate with a new key.
    ///
    /// # Errors
    /// It cannot be made or written.
    pub fn issue_server_certificate(&self, now: WallTime) -> Result<ServerCertificate, CaError> {
        let path = self.data.join(layout::SERVER);
        let wrong = |error| CaError::Generate { path: path.clone(), error };
        let life = Validity {
            not_before: WallTime(now.0.saturating_sub(CLOCK_SKEW_MS_MAX)),
            not_after: WallTime(now.0.saturating_add(SERVER_VALIDITY_MS)),
        };
        let key = KeyPair::generate().map_err(wrong)?;
        let mut params = leaf_params(SERVER_NAME, life, ExtendedKeyUsagePurpose::ServerAuth);
        let name = SERVER_NAME.try_into().map_err(wrong)?;
        params.subject_alt_names.push(SanType::DnsName(name));
        let made = params.signed_by(&key, &self.issuer).map_err(wrong)?;
        let pem = zeroize::Zeroizing::new(key.serialize_pem());
        write_secret(&self.data.join(layout::SERVER_KEY), pem.as_bytes())?;
        write_secret(&path, made.pem().as_bytes())?;
        Ok(self.build_server_certificate(made.der().clone(), &key, life))
    }

    fn build_server_certificate(
        &self,
        certificate: CertificateDer<'static>,
        key: &KeyPair,
        life: Validity,
    ) -> ServerCertificate {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        ServerCertificate {
            chain: vec![certificate, self.certificate.clone()],
            key,
            validity: life,
        }
    }

    /// Signs a workstation's request (PEM or DER). Only its public key is used; the one-time code
    /// determines the identity.
    ///
    /// # Errors
    /// See `SignError`.
    pub fn sign_request(
        &self,
        now: WallTime,
        request: &[u8],
        (machine, kinds): (&str, &[Kind]),
    ) -> Result<IssuedCertificate, SignError> {
        let text = std::str::from_utf8(request).ok().filter(|text| text.contains("-----BEGIN"));
        let parsed = match text {
            Some(pem) => CertificateSigningRequestParams::from_pem(pem),
            None => CertificateSigningRequestParams::from_der(&request.into()),
        };
        let request = parsed.map_err(SignError::Request)?;
        let until = WallTime(now.0.saturating_add(CLIENT_VALIDITY_MS));
        let life = Validity { not_before: WallTime(0), not_after: until };
        let mut params = leaf_params(machine, life, ExtendedKeyUsagePurpose::ClientAuth);
        let kinds: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
        params.distinguished_name.push(DnType::OrganizationalUnitName, kinds.join(","));
        let made = params.signed_by(&request.public_key, &self.issuer).map_err(SignError::Make)?;
        let authority = to_pem(&self.certificate);
        let chain = format!("{}{authority}", made.pem());
        Ok(IssuedCertificate { chain, digest: certificate_digest(made.der()), not_after: until })
    }
}

fn to_pem(certificate: &CertificateDer<'_>) -> String {
    let text = data_encoding::BASE64.encode(certificate);
    let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
    for line in text.as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem + "-----END CERTIFICATE-----\n"
}

fn ca_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("Hushbox {name}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    params
}

fn leaf_params(name: &str, life: Validity, usage: ExtendedKeyUsagePurpose) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    (params.not_before, params.not_after) =
        (to_offset_date_time(life.not_before), to_offset_date_time(life.not_after));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    params
}

/// Converts to whole seconds, clamped to what a certificate can express.
fn to_offset_date_time(at: WallTime) -> OffsetDateTime {
    let seconds = at.0.div_euclid(1000).clamp(0, 4_102_444_800);
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn parse_key(pem: &[u8]) -> Option<KeyPair> {
    KeyPair::from_pem(std::str::from_utf8(pem).ok()?).ok()
}

fn parse_validity(certificate: &CertificateDer<'static>) -> Option<Validity> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let validity = parsed.validity();
    let wall = |at: i64| WallTime(at.saturating_mul(1000));
    let (from, until) = (validity.not_before.timestamp(), validity.not_after.timestamp());
    Some(Validity { not_before: wall(from), not_after: wall(until) })
}

fn parse_public_key(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Some(parsed.public_key().subject_public_key.data.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const NOW: WallTime = WallTime(1_795_348_800_000);

    fn after_days(days: i64) -> WallTime {
        WallTime(NOW.0 + days * DAY_MS)
    }

    #[test]
    fn a_first_start_makes_everything_and_later_ones_find_it() {
        let data = tempfile::tempdir().unwrap();
        let first = CertificateAuthority::open(data.path(), "box-01").unwrap();
        let shown = first.server_certificate(NOW).unwrap();
        for file in [layout::CA, layout::CA_KEY, layout::SERVER, layout::SERVER_KEY] {
            let mode = fs::metadata(data.path().join(file)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
        let again = CertificateAuthority::open(data.path(), "box-01").unwrap();
        assert_eq!(again.fingerprint(), first.fingerprint());
        assert_eq!(again.server_certificate(after_days(59)).unwrap().chain, shown.chain);
        assert_ne!(
            again.server_certificate(after_days(60)).unwrap().chain,
            shown.chain,
            "a third is left"
        );
        assert_eq!(
            again.server_certificate(after_days(61)).unwrap().validity.not_after,
            after_days(150)
        );
        let set_back = again.server_certificate(after_days(-10)).unwrap();
        assert_eq!(set_back.validity.not_before, after_days(-11), "the clock was set back");
    }

    #[test]
    fn what_a_power_cut_leaves_is_made_whole() {
        let data = tempfile::tempdir().unwrap();
        let first = CertificateAuthority::open(data.path(), "box-01").unwrap();
        let before = first.server_certificate(NOW).unwrap();
        let other = KeyPair::generate().unwrap().serialize_pem();
        write_secret(&data.path().join(layout::SERVER_KEY), other.as_bytes()).unwrap();
        assert_ne!(
            first.server_certificate(NOW).unwrap().chain,
            before.chain,
            "a key without certificate"
        );
        fs::remove_file(data.path().join(layout::CA)).unwrap();
        assert!(CertificateAuthority::open(data.path(), "box-01").is_ok(), "the key came first");
        fs::remove_file(data.path().join(layout::CA_KEY)).unwrap();
        let lost = CertificateAuthority::open(data.path(), "box-01");
        assert!(matches!(lost, Err(CaError::NoKey { .. })), "never a new CA by itself");
    }

    #[test]
    fn a_request_gets_what_the_code_says_and_nothing_it_asks_for() {
        let data = tempfile::tempdir().unwrap();
        let authority = CertificateAuthority::open(data.path(), "box-01").unwrap();
        let key = KeyPair::generate().unwrap();
        let mut wish = CertificateParams::new(["boss".to_owned()]).unwrap();
        wish.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        wish.insert_extended_key_usage(ExtendedKeyUsagePurpose::ServerAuth);
        let request = wish.serialize_request(&key).unwrap();
        let who = ("WS-042", [Kind::Agent, Kind::Screen]);
        let issued = authority.sign_request(NOW, request.der(), (who.0, &who.1)).unwrap();
        let by_pem =
            authority.sign_request(NOW, request.pem().unwrap().as_bytes(), (who.0, &who.1));
        assert!(by_pem.is_ok());
        let mut chain = CertificateDer::pem_slice_iter(issued.chain.as_bytes());
        let made = chain.next().unwrap().unwrap();
        assert_eq!(chain.next().unwrap().unwrap(), *authority.certificate());
        assert_eq!(issued.digest, certificate_digest(&made));
        let (_, parsed) = x509_parser::parse_x509_certificate(&made).unwrap();
        assert_eq!(parsed.subject().to_string(), "CN=WS-042, OU=agent,screen");
        assert!(!parsed.is_ca() && parsed.subject_alternative_name().unwrap().is_none());
        let usage = parsed.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.client_auth && !usage.server_auth);
        assert_eq!(parse_public_key(&made).unwrap(), key.public_key_raw());
        for bad in [&b"garbage"[..], b"", b"-----BEGIN CERTIFICATE REQUEST-----\nx"] {
            assert!(authority.sign_request(NOW, bad, ("WS-042", &[])).is_err());
        }
        let mut forged = request.der().to_vec();
        let at = forged.windows(4).position(|four| four == b"boss").unwrap();
        forged[at] = b'm';
        assert!(
            authority.sign_request(NOW, &forged, ("WS-042", &[])).is_err(),
            "not signed by its key"
        );
    }
}
