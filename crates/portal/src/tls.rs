//! The portal's TLS certificate: configured, or self-signed.
//!
//! A self-signed pair is created on the first start, and again a month before it expires, also
//! while the portal runs. Browsers warn about it until the administrator replaces it, so the log
//! shows its fingerprint to compare. TLS 1.3 only, with `rustls`.

use crate::clock;
use crate::config::Config;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use time::OffsetDateTime;

const DAY_S: i64 = 86_400;
/// Validity of a self-signed certificate: browsers accept at most 398 days.
const VALID_S: i64 = 397 * DAY_S;
/// A self-signed certificate that expires sooner is replaced.
const RENEW_BEFORE_S: i64 = 30 * DAY_S;

/// Why the certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{path}: {error}")]
    File { path: PathBuf, error: std::io::Error },
    #[error("{path}: {why}")]
    Pem { path: PathBuf, why: String },
    #[error("a certificate cannot be made: {0}")]
    Generate(#[from] rcgen::Error),
    #[error("a certificate cannot be made: the clock shows {0}")]
    Clock(#[from] time::error::ComponentRange),
    #[error("the certificate cannot be used: {0}")]
    Rustls(#[from] rustls::Error),
}

/// A certificate chain with its key, in files.
struct CertificateFiles {
    certificate: PathBuf,
    key: PathBuf,
}

/// Builds the TLS configuration; creates or replaces a self-signed certificate if none is
/// configured.
pub fn server_config(config: &Config, now: i64) -> Result<Arc<ServerConfig>, TlsError> {
    let given = config.portal.certificate.clone().zip(config.portal.key.clone());
    if let Some((certificate, key)) = given {
        return CertificateFiles { certificate, key }.load();
    }
    match renew_if_due(config, now)? {
        Some(renewed) => Ok(renewed),
        None => self_signed_files(config).load(),
    }
}

/// Replaces a self-signed certificate that expires soon, or cannot be used, and returns the new
/// TLS configuration. Leaves a configured certificate alone.
pub fn renew_if_due(config: &Config, now: i64) -> Result<Option<Arc<ServerConfig>>, TlsError> {
    let files = self_signed_files(config);
    if config.portal.certificate.is_some() || files.is_good_self_signed(config, now) {
        return Ok(None);
    }
    create_self_signed(config, &files, now)?;
    log::info!("{}: a new self-signed certificate", files.certificate.display());
    files.load().map(Some)
}

fn self_signed_files(config: &Config) -> CertificateFiles {
    let data = &config.portal.data;
    CertificateFiles { certificate: data.join("portal.crt"), key: data.join("portal.key") }
}

/// The host name of the configured address, without the port.
fn host_name(config: &Config) -> String {
    let host = config.host();
    let host = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => name,
        _ => host,
    };
    host.trim_matches(['[', ']']).to_owned()
}

impl CertificateFiles {
    fn read_chain(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let path = &self.certificate;
        let bad = |why: String| TlsError::Pem { path: path.clone(), why };
        let chain = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
        let chain: Vec<CertificateDer<'_>> = chain.map_err(|error| bad(error.to_string()))?;
        if chain.is_empty() { Err(bad("no certificate is in it".to_owned())) } else { Ok(chain) }
    }

    fn build(&self) -> Result<ServerConfig, TlsError> {
        let key = PrivateKeyDer::from_pem_file(&self.key);
        let bad = |why: String| TlsError::Pem { path: self.key.clone(), why };
        let key = key.map_err(|error| bad(error.to_string()))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server = ServerConfig::builder_with_provider(provider);
        let server = server.with_protocol_versions(&[&rustls::version::TLS13])?;
        let mut server = server.with_no_client_auth().with_single_cert(self.read_chain()?, key)?;
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(server)
    }

    /// Builds the TLS configuration and logs which certificate it uses.
    fn load(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let server = self.build()?;
        let path = self.certificate.display();
        for certificate in self.read_chain()?.iter().take(1) {
            let until = expiry_of(certificate).map_or("?".to_owned(), clock::format_utc);
            let fingerprint = fingerprint_of(certificate);
            log::info!("{path}: valid until {until} UTC, SHA-256 fingerprint {fingerprint}");
        }
        Ok(Arc::new(server))
    }

    /// Whether the pair fits together and the host, is valid now, and is not about to expire.
    /// Earlier versions made certificates that browsers refuse, valid for centuries.
    fn is_good_self_signed(&self, config: &Config, now: i64) -> bool {
        let Ok(chain) = self.read_chain() else { return false };
        let is_due = match chain.first().and_then(expiry_of) {
            Some(until) => until - now < RENEW_BEFORE_S || until - now > VALID_S,
            None => true,
        };
        let host = rustls::pki_types::ServerName::try_from(host_name(config));
        let names_host = chain.first().zip(host.ok()).is_some_and(|(certificate, host)| {
            let parsed = rustls::server::ParsedCertificate::try_from(certificate);
            parsed.is_ok_and(|parsed| rustls::client::verify_server_name(&parsed, &host).is_ok())
        });
        !is_due && names_host && self.build().is_ok()
    }
}

/// End of a certificate's validity, in Unix seconds.
fn expiry_of(certificate: &CertificateDer<'_>) -> Option<i64> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Some(parsed.validity().not_after.timestamp())
}

/// The fingerprint as browsers show it.
fn fingerprint_of(certificate: &CertificateDer<'_>) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, certificate);
    let pairs: Vec<String> = digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    pairs.join(":")
}

fn create_self_signed(config: &Config, files: &CertificateFiles, now: i64) -> Result<(), TlsError> {
    let mut params = CertificateParams::new([host_name(config)])?;
    // Clocks of browsers differ a little.
    params.not_before = OffsetDateTime::from_unix_timestamp(now - DAY_S)?;
    params.not_after = OffsetDateTime::from_unix_timestamp(now + VALID_S - DAY_S)?;
    params.distinguished_name.push(DnType::CommonName, "Hushbox portal");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    write_private_file(&files.key, key.serialize_pem().as_bytes())?;
    write_private_file(&files.certificate, certificate.pem().as_bytes())
}

/// Replaces a file whole, readable for this user only.
fn write_private_file(path: &Path, bytes: &[u8]) -> Result<(), TlsError> {
    let failed = |error| TlsError::File { path: path.to_owned(), error };
    let new = path.with_extension("new");
    drop(std::fs::remove_file(&new));
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new);
    let mut file = file.map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)?;
    std::fs::rename(&new, path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn create_config(folder: &Path, url: &str) -> Config {
        let path = folder.join("portal.toml");
        let text = format!(
            "[portal]\naddress = \"127.0.0.1:0\"\nurl = \"{url}\"\ndata = \".\"\nbox = \"b\"\n"
        );
        std::fs::write(&path, text).unwrap();
        Config::read_config(&path).unwrap()
    }

    #[test]
    fn self_signed_certificate_is_valid_for_13_months_and_renewed_a_month_before() {
        let folder = tempfile::tempdir().unwrap();
        let config = create_config(folder.path(), "https://box.example:8443");
        let read = || std::fs::read(folder.path().join("portal.crt")).unwrap();
        let expiry = || expiry_of(&self_signed_files(&config).read_chain().unwrap()[0]).unwrap();
        server_config(&config, NOW).unwrap();
        let first = read();
        assert!(expiry() - NOW > 395 * DAY_S && expiry() - NOW <= 398 * DAY_S, "{}", expiry());
        assert!(renew_if_due(&config, NOW + 360 * DAY_S).unwrap().is_none());
        assert_eq!(read(), first, "restarts keep it");
        let later = NOW + 370 * DAY_S;
        assert!(renew_if_due(&config, later).unwrap().is_some());
        assert!(read() != first && expiry() - later > 395 * DAY_S);
        let mode = std::os::unix::fs::MetadataExt::mode(
            &std::fs::metadata(folder.path().join("portal.key")).unwrap(),
        );
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn self_signed_certificates_of_centuries_another_host_or_another_key_are_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let config = create_config(folder.path(), "https://[2001:db8::1]:8443");
        assert_eq!(host_name(&config), "2001:db8::1");
        let files = self_signed_files(&config);
        // What earlier versions made.
        let old = rcgen::generate_simple_self_signed([host_name(&config)]).unwrap();
        std::fs::write(&files.key, old.signing_key.serialize_pem()).unwrap();
        std::fs::write(&files.certificate, old.cert.pem()).unwrap();
        assert!(files.load().is_ok(), "it could be used");
        assert!(renew_if_due(&config, NOW).unwrap().is_some());
        assert!(renew_if_due(&config, NOW).unwrap().is_none());
        std::fs::write(&files.key, old.signing_key.serialize_pem()).unwrap();
        assert!(renew_if_due(&config, NOW).unwrap().is_some(), "the key of another");
        std::fs::remove_file(&files.key).unwrap();
        assert!(renew_if_due(&config, NOW).unwrap().is_some(), "no key");
        let moved = create_config(folder.path(), "https://other.example");
        assert!(renew_if_due(&moved, NOW).unwrap().is_some(), "another host");
        assert!(renew_if_due(&moved, NOW).unwrap().is_none());
    }
}
