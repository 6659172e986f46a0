//! The box's own certificate authority: made at the first start, signs what the box shows and what
//! workstations bring.
//!
//! The CA lives in `data/tls` for ever; workstations pin it, so it is never replaced by itself. The
//! box's certificate under it lives for 90 days and is due anew when a third of that is left, or
//! when the clock was set to before it began. A workstation's certificate names its machine and its
//! kinds; whether it still opens a door is for the journal to say, not for its date.
//!
//! Everything here waits for the disk or does elliptic curves: it belongs to the start and to the
//! helper, never into the loop. Nothing here knows a code or a session.

use crate::doors::Certificate;
use crate::shell::os::data_dir::{DataError, read_if_there, write_secret};
use crate::store::layout;
use crate::time::Wall;
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

/// The name every box's certificate is for. Which box it is, the pinned CA says.
pub const SERVER_NAME: &str = "hushbox";

const DAY_MS: i64 = 86_400_000;
/// How long the certificate that the box shows is good.
const SERVER_LIFE_MS: i64 = 90 * DAY_MS;
/// Clocks of workstations may be behind by so much.
const BEHIND_MS: i64 = DAY_MS;
/// How long a workstation's certificate is good: it is taken back, it does not run out.
const CLIENT_LIFE_MS: i64 = 3653 * DAY_MS;

/// Why there are no certificates.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    #[error(transparent)]
    Data(#[from] DataError),
    #[error("{path}: {error}")]
    Make { path: PathBuf, error: rcgen::Error },
    #[error(
        "{path} is there without its key {key}; restore the key, or remove both: then every \
             workstation must be enrolled again"
    )]
    NoKey { path: PathBuf, key: PathBuf },
    #[error("{path} is no certificate that can be used; restore it from a backup")]
    Broken { path: PathBuf },
}

/// The CA.
pub struct Authority {
    data: PathBuf,
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// What the box shows, and until when.
#[derive(Debug)]
pub struct Shown {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
    pub life: Life,
}

/// From when to when a certificate is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    pub from: Wall,
    pub until: Wall,
}

impl Life {
    /// Whether it is time for another one.
    #[must_use]
    pub fn is_due(self, now: Wall) -> bool {
        let third = self.until.0.saturating_sub(self.from.0) / 3;
        now < self.from || now.0 >= self.until.0.saturating_sub(third)
    }
}

/// What a certificate is known by in the journal.
#[must_use]
pub fn digest(certificate: &[u8]) -> [u8; 32] {
    *blake3::hash(certificate).as_bytes()
}

impl Authority {
    /// The CA below `data`; made, if there is none.
    ///
    /// # Errors
    /// See `AuthorityError`.
    pub fn open(data: &Path, name: &str) -> Result<Authority, AuthorityError> {
        let folder = data.join(layout::TLS);
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.map_err(|error| DataError::Folder { path: folder, error })?;
        let (path, key_path) = (data.join(layout::CA), data.join(layout::CA_KEY));
        let wrong = |error| AuthorityError::Make { path: path.clone(), error };
        let key = match read_if_there(&key_path)? {
            Some(pem) => parse_key(&pem).ok_or(AuthorityError::Broken { path: key_path })?,
            None if path.exists() => return Err(AuthorityError::NoKey { path, key: key_path }),
            None => {
                let key = KeyPair::generate().map_err(wrong)?;
                let pem = zeroize::Zeroizing::new(key.serialize_pem());
                write_secret(&key_path, pem.as_bytes())?;
                key
            }
        };
        let certificate = match read_if_there(&path)? {
            Some(pem) => CertificateDer::from_pem_slice(&pem)
                .map_err(|_| AuthorityError::Broken { path: path.clone() })?,
            None => {
                let made = authority_params(name).self_signed(&key).map_err(wrong)?;
                write_secret(&path, made.pem().as_bytes())?;
                made.der().clone()
            }
        };
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(wrong)?;
        Ok(Authority { data: data.to_path_buf(), certificate, issuer })
    }

    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// What one-time codes carry of it.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; FINGERPRINT_BYTES] {
        let digest = ring::digest::digest(&ring::digest::SHA256, &self.certificate);
        let mut fingerprint = [0; FINGERPRINT_BYTES];
        fingerprint.copy_from_slice(&digest.as_ref()[..FINGERPRINT_BYTES]);
        fingerprint
    }

    /// The certificate to show: the one in `data/tls`, unless it is due, broken or not there.
    ///
    /// # Errors
    /// When a new one cannot be made or written.
    pub fn shown(&self, now: Wall) -> Result<Shown, AuthorityError> {
        match self.stored()? {
            Some(stored) if !stored.life.is_due(now) => Ok(stored),
            _ => self.renew(now),
        }
    }

    fn stored(&self) -> Result<Option<Shown>, AuthorityError> {
        let certificate = read_if_there(&self.data.join(layout::SERVER))?;
        let key = read_if_there(&self.data.join(layout::SERVER_KEY))?;
        let (Some(certificate), Some(key)) = (certificate, key) else { return Ok(None) };
        let certificate = CertificateDer::from_pem_slice(&certificate).ok();
        let life = certificate.as_ref().and_then(life_of);
        let (Some(certificate), Some(life), Some(key)) = (certificate, life, parse_key(&key))
        else {
            return Ok(None);
        };
        // A power cut between the two files leaves a new key beside an old certificate.
        let fits = public_key(&certificate).is_some_and(|known| known == key.public_key_raw());
        Ok(fits.then(|| self.show(certificate, &key, life)))
    }

    /// Makes a new certificate with a new key, and keeps both.
    ///
    /// # Errors
    /// When it cannot be made or written.
    pub fn renew(&self, now: Wall) -> Result<Shown, AuthorityError> {
        let path = self.data.join(layout::SERVER);
        let wrong = |error| AuthorityError::Make { path: path.clone(), error };
        let life = Life {
            from: Wall(now.0.saturating_sub(BEHIND_MS)),
            until: Wall(now.0.saturating_add(SERVER_LIFE_MS)),
        };
        let key = KeyPair::generate().map_err(wrong)?;
        let mut params = leaf_params(SERVER_NAME, life, ExtendedKeyUsagePurpose::ServerAuth);
        let name = SERVER_NAME.try_into().map_err(wrong)?;
        params.subject_alt_names.push(SanType::DnsName(name));
        let made = params.signed_by(&key, &self.issuer).map_err(wrong)?;
        let pem = zeroize::Zeroizing::new(key.serialize_pem());
        write_secret(&self.data.join(layout::SERVER_KEY), pem.as_bytes())?;
        write_secret(&path, made.pem().as_bytes())?;
        Ok(self.show(made.der().clone(), &key, life))
    }

    fn show(&self, certificate: CertificateDer<'static>, key: &KeyPair, life: Life) -> Shown {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Shown { chain: vec![certificate, self.certificate.clone()], key, life }
    }

    /// Signs a workstation's request (PEM or DER). Of the request only the key counts: who the
    /// workstation is, the code has said.
    ///
    /// # Errors
    /// In words, when the request is none, or not signed by its own key.
    pub fn sign(
        &self,
        now: Wall,
        request: &[u8],
        (machine, kinds): (&str, &[Kind]),
    ) -> Result<Certificate, String> {
        let text = std::str::from_utf8(request).ok().filter(|text| text.contains("-----BEGIN"));
        let parsed = match text {
            Some(pem) => CertificateSigningRequestParams::from_pem(pem),
            None => CertificateSigningRequestParams::from_der(&request.into()),
        };
        let request = parsed.map_err(|error| format!("this is no request that fits: {error}"))?;
        let until = Wall(now.0.saturating_add(CLIENT_LIFE_MS));
        let life = Life { from: Wall(0), until };
        let mut params = leaf_params(machine, life, ExtendedKeyUsagePurpose::ClientAuth);
        let kinds: Vec<&str> = kinds.iter().map(|kind| kind.word()).collect();
        params.distinguished_name.push(DnType::OrganizationalUnitName, kinds.join(","));
        let made = params.signed_by(&request.public_key, &self.issuer);
        let made = made.map_err(|error| format!("the certificate cannot be made: {error}"))?;
        let authority = pem(&self.certificate);
        let chain = format!("{}{authority}", made.pem());
        Ok(Certificate { chain, digest: digest(made.der()), until })
    }
}

fn pem(certificate: &CertificateDer<'_>) -> String {
    let text = data_encoding::BASE64.encode(certificate);
    let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
    for line in text.as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem + "-----END CERTIFICATE-----\n"
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("Hushbox {name}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    params
}

fn leaf_params(name: &str, life: Life, usage: ExtendedKeyUsagePurpose) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    (params.not_before, params.not_after) = (moment(life.from), moment(life.until));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    params
}

/// Whole seconds; what a certificate cannot say is as near as can be.
fn moment(at: Wall) -> OffsetDateTime {
    let seconds = at.0.div_euclid(1000).clamp(0, 4_102_444_800);
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn parse_key(pem: &[u8]) -> Option<KeyPair> {
    KeyPair::from_pem(std::str::from_utf8(pem).ok()?).ok()
}

fn life_of(certificate: &CertificateDer<'static>) -> Option<Life> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let validity = parsed.validity();
    let wall = |at: i64| Wall(at.saturating_mul(1000));
    let (from, until) = (validity.not_before.timestamp(), validity.not_after.timestamp());
    Some(Life { from: wall(from), until: wall(until) })
}

fn public_key(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Some(parsed.public_key().subject_public_key.data.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const NOW: Wall = Wall(1_795_348_800_000);

    fn days(days: i64) -> Wall {
        Wall(NOW.0 + days * DAY_MS)
    }

    #[test]
    fn a_first_start_makes_everything_and_later_ones_find_it() {
        let data = tempfile::tempdir().unwrap();
        let first = Authority::open(data.path(), "box-01").unwrap();
        let shown = first.shown(NOW).unwrap();
        for file in [layout::CA, layout::CA_KEY, layout::SERVER, layout::SERVER_KEY] {
            let mode = fs::metadata(data.path().join(file)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
        let again = Authority::open(data.path(), "box-01").unwrap();
        assert_eq!(again.fingerprint(), first.fingerprint());
        assert_eq!(again.shown(days(59)).unwrap().chain, shown.chain);
        assert_ne!(again.shown(days(60)).unwrap().chain, shown.chain, "a third is left");
        assert_eq!(again.shown(days(61)).unwrap().life.until, days(150));
        let set_back = again.shown(days(-10)).unwrap();
        assert_eq!(set_back.life.from, days(-11), "the clock was set back");
    }

    #[test]
    fn what_a_power_cut_leaves_is_made_whole() {
        let data = tempfile::tempdir().unwrap();
        let first = Authority::open(data.path(), "box-01").unwrap();
        let before = first.shown(NOW).unwrap();
        let other = KeyPair::generate().unwrap().serialize_pem();
        write_secret(&data.path().join(layout::SERVER_KEY), other.as_bytes()).unwrap();
        assert_ne!(first.shown(NOW).unwrap().chain, before.chain, "a key without certificate");
        fs::remove_file(data.path().join(layout::CA)).unwrap();
        assert!(Authority::open(data.path(), "box-01").is_ok(), "the key came first");
        fs::remove_file(data.path().join(layout::CA_KEY)).unwrap();
        let lost = Authority::open(data.path(), "box-01");
        assert!(matches!(lost, Err(AuthorityError::NoKey { .. })), "never a new CA by itself");
    }

    #[test]
    fn a_request_gets_what_the_code_says_and_nothing_it_asks_for() {
        let data = tempfile::tempdir().unwrap();
        let authority = Authority::open(data.path(), "box-01").unwrap();
        let key = KeyPair::generate().unwrap();
        let mut wish = CertificateParams::new(["boss".to_owned()]).unwrap();
        wish.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        wish.insert_extended_key_usage(ExtendedKeyUsagePurpose::ServerAuth);
        let request = wish.serialize_request(&key).unwrap();
        let who = ("WS-042", [Kind::Agent, Kind::Screen]);
        let issued = authority.sign(NOW, request.der(), (who.0, &who.1)).unwrap();
        let by_pem = authority.sign(NOW, request.pem().unwrap().as_bytes(), (who.0, &who.1));
        assert!(by_pem.is_ok());
        let mut chain = CertificateDer::pem_slice_iter(issued.chain.as_bytes());
        let made = chain.next().unwrap().unwrap();
        assert_eq!(chain.next().unwrap().unwrap(), *authority.certificate());
        assert_eq!(issued.digest, digest(&made));
        let (_, parsed) = x509_parser::parse_x509_certificate(&made).unwrap();
        assert_eq!(parsed.subject().to_string(), "CN=WS-042, OU=agent,screen");
        assert!(!parsed.is_ca() && parsed.subject_alternative_name().unwrap().is_none());
        let usage = parsed.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.client_auth && !usage.server_auth);
        assert_eq!(public_key(&made).unwrap(), key.public_key_raw());
        for bad in [&b"garbage"[..], b"", b"-----BEGIN CERTIFICATE REQUEST-----\nx"] {
            assert!(authority.sign(NOW, bad, ("WS-042", &[])).is_err());
        }
        let mut forged = request.der().to_vec();
        let at = forged.windows(4).position(|four| four == b"boss").unwrap();
        forged[at] = b'm';
        assert!(authority.sign(NOW, &forged, ("WS-042", &[])).is_err(), "not signed by its key");
    }
}
