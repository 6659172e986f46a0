//! The keys and certificates of this workstation: one file `HOST_PORT.pem`, mode 0600, per box.
//!
//! A file holds the workstation's private key, its certificate, and the box's CA certificate, the
//! only CA trusted for that box. The folder is `hushbox/boxes` in the user's configuration folder
//! (XDG). A file is replaced atomically.
//!
//! Nothing here connects or makes a key.

use crate::address::Address;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Why the keys for a box cannot be loaded or stored.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// The user has no configuration folder.
    #[error("there is no folder for keys; set HOME or XDG_CONFIG_HOME")]
    NoFolder,
    /// This workstation has no certificate for the box.
    #[error(
        "this workstation is not enrolled at {address}; get a code from a technician and run: \
         hushbox enrol --to {address} --code CODE"
    )]
    NotEnrolled {
        /// The address of the box.
        address: Address,
    },
    /// A key file cannot be read or written.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system reports.
        error: std::io::Error,
    },
    /// A key file has other contents than `store` writes.
    #[error("{path} does not contain a key, a certificate and a CA certificate; enrol again")]
    Broken {
        /// The file.
        path: PathBuf,
    },
}

/// What a TLS session with a box needs.
#[derive(Debug)]
pub struct Credentials {
    /// The certificates of this workstation; the last one is the CA's.
    pub chain: Vec<CertificateDer<'static>>,
    /// The private key of this workstation.
    pub key: PrivateKeyDer<'static>,
}

/// The folder of key files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyring {
    folder: Option<PathBuf>,
}

impl Keyring {
    /// The keyring of the user who runs this program.
    #[must_use]
    pub fn for_current_user() -> Keyring {
        let named = |name| std::env::var_os(name).filter(|path| !path.is_empty());
        let xdg = named("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let home = || named("HOME").map(|home| Path::new(&home).join(".config"));
        Keyring { folder: xdg.or_else(home).map(|folder| folder.join("hushbox/boxes")) }
    }

    /// A keyring in another folder.
    #[must_use]
    pub fn in_folder(folder: &Path) -> Keyring {
        Keyring { folder: Some(folder.to_path_buf()) }
    }

    /// The key file of a box, whether it exists or not.
    pub fn key_file(&self, address: &Address) -> Result<PathBuf, KeyringError> {
        let folder = self.folder.as_ref().ok_or(KeyringError::NoFolder)?;
        let (Address::Tcp { host, port } | Address::Tls { host, port }) = address else {
            return Err(KeyringError::NotEnrolled { address: address.clone() });
        };
        // A host contains no `/`; `Address` parses such a text as a path.
        Ok(folder.join(format!("{}_{port}.pem", host.to_ascii_lowercase().replace(':', "."))))
    }

    /// Whether this workstation is enrolled at a box. Such a box is never contacted without TLS.
    #[must_use]
    pub fn is_enrolled_at(&self, address: &Address) -> bool {
        self.key_file(address).is_ok_and(|path| path.exists())
    }

    /// Loads the credentials for a box.
    pub fn load(&self, address: &Address) -> Result<Credentials, KeyringError> {
        let path = self.key_file(address)?;
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

    /// Stores the outcome of an enrolment and replaces an earlier one. Returns the key file.
    pub fn store(&self, address: &Address, pem: &str) -> Result<PathBuf, KeyringError> {
        let path = self.key_file(address)?;
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
