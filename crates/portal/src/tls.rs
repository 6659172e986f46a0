//! The portal's TLS certificate: configured, or self-signed.
//!
//! A self-signed pair is created on the first start and kept. Browsers warn about it until the
//! administrator replaces it. TLS 1.3 only, with `rustls`.

use crate::config::Config;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why the certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{path}: {error}")]
    File { path: PathBuf, error: std::io::Error },
    #[error("{path}: {why}")]
    Pem { path: PathBuf, why: String },
    #[error("a certificate cannot be made: {0}")]
    Generate(#[from] rcgen::Error),
    #[error("the certificate cannot be used: {0}")]
    Rustls(#[from] rustls::Error),
}

/// Builds the TLS configuration; creates a self-signed certificate if none is configured.
pub fn server_config(config: &Config) -> Result<Arc<ServerConfig>, TlsError> {
    let data = &config.portal.data;
    let own = || (data.join("portal.crt"), data.join("portal.key"));
    let given = config.portal.certificate.clone().zip(config.portal.key.clone());
    let is_given = given.is_some();
    let (certificate, key) = given.unwrap_or_else(own);
    if !is_given && !certificate.exists() {
        create_self_signed(config.host(), &certificate, &key)?;
    }
    let bad = |path: &Path, why: String| TlsError::Pem { path: path.to_owned(), why };
    let read = CertificateDer::pem_file_iter(&certificate).and_then(Iterator::collect);
    let chain: Vec<CertificateDer<'_>> = read.map_err(|e| bad(&certificate, e.to_string()))?;
    if chain.is_empty() {
        return Err(bad(&certificate, "no certificate is in it".to_owned()));
    }
    let secret = PrivateKeyDer::from_pem_file(&key).map_err(|e| bad(&key, e.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider);
    let server = server.with_protocol_versions(&[&rustls::version::TLS13])?;
    let mut server = server.with_no_client_auth().with_single_cert(chain, secret)?;
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(server))
}

fn create_self_signed(host: &str, certificate: &Path, key: &Path) -> Result<(), TlsError> {
    let bare = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let name = bare.trim_matches(['[', ']']).to_owned();
    let made = rcgen::generate_simple_self_signed([name])?;
    write_private_file(key, made.signing_key.serialize_pem().as_bytes())?;
    write_private_file(certificate, made.cert.pem().as_bytes())
}

fn write_private_file(path: &Path, bytes: &[u8]) -> Result<(), TlsError> {
    let failed = |error| TlsError::File { path: path.to_owned(), error };
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    let mut file = file.map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)
}
