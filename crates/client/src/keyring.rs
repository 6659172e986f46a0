//! The boxes this workstation is enrolled at: for each one file, `HOST_PORT.pem`, mode 0600.
//!
//! It holds the workstation's private key, its certificate, and the certificate of the box's CA,
//! the only one that is trusted for that box. The folder is `hushbox/boxes` in the user's
//! configuration folder (XDG). A file is replaced whole or not at all.
//!
//! Nothing here connects, or makes a key.

use crate::address::Address;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Why the keys for a box cannot be used or kept.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// There is no place for keys.
    #[error("neither XDG_CONFIG_HOME nor HOME says where keys are kept")]
    NoFolder,
    /// This workstation has no certificate for the box.
    #[error("this workstation is not enrolled at {address}: hushbox enrol --to {address} --code …")]
    NotEnrolled {
        /// The box.
        address: Address,
    },
    /// A file cannot be read or written.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A file is not what `store` writes.
    #[error("{path} does not hold a key, a certificate and a CA; enrol again")]
    Broken {
        /// Which.
        path: PathBuf,
    },
}

/// What proves who this workstation is to a box, and the box to it.
#[derive(Debug)]
pub struct Credentials {
    /// Of this workstation; the CA's comes last.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its private key.
    pub key: PrivateKeyDer<'static>,
}

/// The folder of all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyring {
    folder: Option<PathBuf>,
}

impl Keyring {
    /// That of the user who runs this.
    #[must_use]
    pub fn of_user() -> Keyring {
        let named = |name| std::env::var_os(name).filter(|path| !path.is_empty());
        let xdg = named("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let home = || named("HOME").map(|home| Path::new(&home).join(".config"));
        Keyring { folder: xdg.or_else(home).map(|folder| folder.join("hushbox/boxes")) }
    }

    /// The one in this folder.
    #[must_use]
    pub fn at(folder: &Path) -> Keyring {
        Keyring { folder: Some(folder.to_path_buf()) }
    }

    /// Where the keys for a box are, or would be.
    pub fn path(&self, address: &Address) -> Result<PathBuf, KeyringError> {
        let folder = self.folder.as_ref().ok_or(KeyringError::NoFolder)?;
        let (Address::Tcp { host, port } | Address::Tls { host, port }) = address else {
            return Err(KeyringError::NotEnrolled { address: address.clone() });
        };
        // A host has no `/` in it: it would have been a path.
        Ok(folder.join(format!("{}_{port}.pem", host.to_ascii_lowercase().replace(':', "."))))
    }

    /// Whether this workstation is enrolled at a box: then it is never spoken to in plain text.
    #[must_use]
    pub fn knows(&self, address: &Address) -> bool {
        self.path(address).is_ok_and(|path| path.exists())
    }

    /// What there is for a box.
    pub fn load(&self, address: &Address) -> Result<Credentials, KeyringError> {
        let path = self.path(address)?;
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(KeyringError::NotEnrolled { address: address.clone() });
            }
            Err(error) => return Err(KeyringError::File { path, error }),
        };
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
        match (PrivateKeyDer::from_pem_slice(&text), chain) {
            (Ok(key), Ok(chain)) if chain.len() >= 2 => Ok(Credentials { chain, key }),
            _ => Err(KeyringError::Broken { path }),
        }
    }

    /// Keeps what enrolment brought, instead of what there was; says where.
    pub fn store(&self, address: &Address, pem: &str) -> Result<PathBuf, KeyringError> {
        let path = self.path(address)?;
        let wrong = |error| KeyringError::File { path: path.clone(), error };
        let folder = path.parent().unwrap_or(&path);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(wrong)?;
        let new = path.with_extension("new");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&new).map_err(wrong)?;
        file.write_all(pem.as_bytes()).and_then(|()| file.sync_all()).map_err(wrong)?;
        fs::rename(&new, &path).map_err(wrong)?;
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(wrong)?;
        Ok(path)
    }
}
