//! Opens the data directory at startup: creates it, locks it and loads its keys.
//!
//! One daemon owns the directory through a lock on `lock`, which the kernel releases with the
//! process. The first start generates the box's signing key, and a recipient key pair if the
//! configuration names no recipient. Error messages state the remedy. Records are read by
//! `recover`.

use crate::config::Config;
use crate::store::layout;
use crate::store::seal::{self, DataKey, Identity, Recipient, SealError};
use crate::store::sign::BoxSigningKey;
use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Error that makes the data directory unusable.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    #[error("{path}: {error}; make it writable for this user, or change [box] data")]
    Folder { path: PathBuf, error: io::Error },
    #[error("{path}: {error}")]
    File { path: PathBuf, error: io::Error },
    #[error("another hushboxd ({pid}) runs on {path}; stop it first, or change [box] data")]
    Locked { path: PathBuf, pid: String },
    #[error("{path}: {error}")]
    Key { path: PathBuf, error: SealError },
    #[error("{path} holds {found} bytes, not 32; restore it from a backup")]
    KeyLength { path: PathBuf, found: usize },
    #[error("no random bits: {0}")]
    Random(String),
    #[error("[store] recipients: {0}")]
    Recipients(SealError),
    #[error("[store] recipients: none is named, and no start has made a pair; restart to make one")]
    NoRecipients,
}

/// The locked data directory and the contents of `keys`.
pub struct DataDir {
    pub path: PathBuf,
    pub recipients: Vec<Recipient>,
    /// Empty if the owner keeps the identity elsewhere.
    pub identities: Vec<Identity>,
    /// Previous call keys, newest first. One of them encrypts the numbers of live calls.
    pub old_call_keys: Vec<DataKey>,
    pub call_key: DataKey,
    /// Message for the owner after the first start.
    pub notice: Option<String>,
    /// Recipients of the run before that are not recipients any more.
    pub dropped_recipients: Vec<String>,
    _lock: Flock<File>,
}

impl DataDir {
    /// Opens the directory, creates what is missing and returns it with the signing key.
    ///
    /// # Errors
    /// See `DataDirError`.
    pub fn open(config: &Config) -> Result<(DataDir, BoxSigningKey), DataDirError> {
        let path = config.data.clone();
        for folder in ["", layout::JOURNAL, layout::MEDIA, layout::KEYS] {
            let folder = path.join(folder);
            let made = fs::DirBuilder::new().recursive(true).mode(0o750).create(&folder);
            made.map_err(|error| DataDirError::Folder { path: folder, error })?;
        }
        let lock = lock_data_dir(&path)?;
        let box_key = load_box_key(&path, &config.name)?;
        let mut notice = None;
        let identities = load_identities(&path)?;
        let recipients = load_recipients(config, &path, &mut notice)?;
        let identities = if notice.is_some() { self::load_identities(&path)? } else { identities };
        let calls = rotate_call_keys(&path)?;
        let dropped_recipients =
            if config.store.seal { note_recipients(&path, &recipients)? } else { Vec::new() };
        let data = DataDir {
            path,
            recipients,
            identities,
            old_call_keys: calls.old,
            call_key: calls.key,
            notice,
            dropped_recipients,
            _lock: lock,
        };
        Ok((data, box_key))
    }
}

/// Attempts to take the lock: `hushbox verify` holds it briefly to see whether a daemon runs.
const LOCK_ATTEMPTS: u32 = 10;
const LOCK_RETRY_DELAY: std::time::Duration = std::time::Duration::from_millis(50);

fn lock_data_dir(data: &Path) -> Result<Flock<File>, DataDirError> {
    let path = data.join(layout::LOCK);
    let wrong = |error| DataDirError::Folder { path: path.clone(), error };
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o640);
    let file = options.open(&path).map_err(wrong)?;
    let mut file = file;
    for _ in 0..LOCK_ATTEMPTS {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(mut lock) => {
                let pid = format!("{}\n", std::process::id());
                lock.set_len(0).and_then(|()| lock.write_all(pid.as_bytes())).map_err(wrong)?;
                return Ok(lock);
            }
            Err((unlocked, _)) => file = unlocked,
        }
        std::thread::park_timeout(LOCK_RETRY_DELAY);
    }
    let pid = fs::read_to_string(&path).unwrap_or_default();
    let pid = pid.trim();
    let pid = if pid.is_empty() { "pid unknown".into() } else { format!("pid {pid}") };
    Err(DataDirError::Locked { path: data.to_path_buf(), pid })
}

/// Atomically writes a file that only this user can read.
///
/// # Errors
/// The file cannot be written, synced or renamed.
pub(in crate::shell) fn write_secret(path: &Path, bytes: &[u8]) -> Result<(), DataDirError> {
    let new = path.with_extension("new");
    let wrong = |error| DataDirError::File { path: path.to_path_buf(), error };
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&new).map_err(wrong)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(wrong)?;
    fs::rename(&new, path).map_err(wrong)?;
    let folder = path.parent().unwrap_or(path);
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(wrong)
}

pub(in crate::shell) fn read_optional(
    path: &Path,
) -> Result<Option<Zeroizing<Vec<u8>>>, DataDirError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(Zeroizing::new(bytes))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(DataDirError::File { path: path.to_path_buf(), error }),
    }
}

fn random_seed() -> Result<Zeroizing<[u8; 32]>, DataDirError> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *bytes).map_err(|error| DataDirError::Random(error.to_string()))?;
    Ok(bytes)
}

fn load_box_key(data: &Path, name: &str) -> Result<BoxSigningKey, DataDirError> {
    let path = data.join(layout::BOX_KEY);
    let mut seed = Zeroizing::new([0; 32]);
    match read_optional(&path)? {
        Some(bytes) if bytes.len() == seed.len() => seed.copy_from_slice(&bytes),
        Some(bytes) => return Err(DataDirError::KeyLength { path, found: bytes.len() }),
        None => {
            seed = random_seed()?;
            write_secret(&path, &*seed)?;
        }
    }
    let key = BoxSigningKey::from_seed(&seed, &load_signing_name(data, name)?);
    let public = data_encoding::HEXLOWER.encode(&key.public_key().to_bytes()) + "\n";
    let path = data.join(layout::BOX_PUBLIC);
    let wrong = |error| DataDirError::File { path: path.clone(), error };
    if fs::read(&path).ok().as_deref() != Some(public.as_bytes()) {
        fs::write(&path, public).map_err(wrong)?;
    }
    Ok(key)
}

/// Returns the name for signatures: the box's name at its first start. It does not follow a
/// renaming, so that earlier signatures remain the box's own.
fn load_signing_name(data: &Path, name: &str) -> Result<String, DataDirError> {
    let path = data.join(layout::BOX_NAME);
    if let Some(known) = read_optional(&path)? {
        let known = String::from_utf8_lossy(&known).trim().to_string();
        if !known.is_empty() {
            return Ok(known);
        }
    }
    fs::write(&path, format!("{name}\n")).map_err(|error| DataDirError::File { path, error })?;
    Ok(name.to_string())
}

fn load_identities(data: &Path) -> Result<Vec<Identity>, DataDirError> {
    let path = data.join(layout::IDENTITY);
    let Some(bytes) = read_optional(&path)? else { return Ok(Vec::new()) };
    let text = Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned());
    seal::parse_identities(&text).map_err(|error| DataDirError::Key { path, error })
}

fn load_recipients(
    config: &Config,
    data: &Path,
    notice: &mut Option<String>,
) -> Result<Vec<Recipient>, DataDirError> {
    if !config.store.seal {
        return Ok(Vec::new());
    }
    if !config.store.recipients.is_empty() {
        let text = config.store.recipients.join("\n");
        return seal::parse_recipients(&text).map_err(DataDirError::Recipients);
    }
    let path = data.join(layout::RECIPIENTS);
    if let Some(recipients) = load_generated_recipients(&path)? {
        return Ok(recipients);
    }
    let (secret, public) = seal::generate_identity();
    let identity = data.join(layout::IDENTITY);
    write_secret(&identity, secret.as_bytes())?;
    write_secret(&path, format!("{public}\n").as_bytes())?;
    *notice = Some(format!(
        "recordings are sealed to a new key pair; its secret half is {}: keep a copy elsewhere, \
         and take it off the box if the box shall not be able to open recordings",
        identity.display()
    ));
    seal::parse_recipients(&public).map_err(|error| DataDirError::Key { path, error })
}

/// Loads the recipients that the first start generated; `None` if it generated none.
fn load_generated_recipients(path: &Path) -> Result<Option<Vec<Recipient>>, DataDirError> {
    let Some(bytes) = read_optional(path)? else { return Ok(None) };
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let parsed = seal::parse_recipients(&text);
    parsed.map(Some).map_err(|error| DataDirError::Key { path: path.to_path_buf(), error })
}

/// Notes the recipients of this run. Returns those of the run before that are left out.
fn note_recipients(data: &Path, recipients: &[Recipient]) -> Result<Vec<String>, DataDirError> {
    let now: Vec<String> = recipients.iter().map(ToString::to_string).collect();
    let before = read_optional(&data.join(layout::SEALED_TO))?.unwrap_or_default();
    let before = String::from_utf8_lossy(&before).into_owned();
    if before.lines().ne(now.iter().map(String::as_str)) {
        write_sealed_to(data, &now)?;
    }
    Ok(before.lines().filter(|key| !now.iter().any(|own| own == key)).map(str::to_owned).collect())
}

/// Writes the public keys that new recordings are sealed to, for the comparison at the next start.
///
/// # Errors
/// The file cannot be replaced.
pub fn write_sealed_to(data: &Path, recipients: &[String]) -> Result<(), DataDirError> {
    let text: String = recipients.iter().map(|key| format!("{key}\n")).collect();
    write_secret(&data.join(layout::SEALED_TO), text.as_bytes())
}

/// Loads the recipients named by a reloaded configuration. Unlike startup, it never generates a
/// pair.
///
/// # Errors
/// There are no recipients, or they cannot be read.
pub fn reload_recipients(config: &Config, data: &Path) -> Result<Vec<Recipient>, DataDirError> {
    if !config.store.recipients.is_empty() || !config.store.seal {
        return load_recipients(config, data, &mut None);
    }
    load_generated_recipients(&data.join(layout::RECIPIENTS))?.ok_or(DataDirError::NoRecipients)
}

/// The current call key and the previous keys, newest first.
struct CallKeys {
    key: DataKey,
    old: Vec<DataKey>,
}

/// Maximum number of old call keys: one per power cut before a start is durable, in a row.
const CALL_KEYS_MAX: usize = 8;

/// Reads the keys in the file, newest first.
fn read_call_keys(path: &Path) -> Result<Vec<Zeroizing<[u8; 32]>>, DataDirError> {
    let text = read_optional(path)?.unwrap_or_default();
    let mut keys = Vec::new();
    for line in text.split(|byte| *byte == b'\n').take(CALL_KEYS_MAX) {
        let decoded = data_encoding::HEXLOWER.decode(line.trim_ascii());
        let decoded = Zeroizing::new(decoded.unwrap_or_default());
        if let Ok(key) = <[u8; 32]>::try_from(decoded.as_slice()) {
            keys.push(Zeroizing::new(key));
        }
    }
    Ok(keys)
}

fn write_call_keys(path: &Path, keys: &[Zeroizing<[u8; 32]>]) -> Result<(), DataDirError> {
    let mut text = Zeroizing::new(String::with_capacity(keys.len() * 65));
    for key in keys {
        data_encoding::HEXLOWER.encode_append(&**key, &mut text);
        text.push('\n');
    }
    write_secret(path, text.as_bytes())
}

/// Generates a new call key and returns it with the previous ones.
fn rotate_call_keys(data: &Path) -> Result<CallKeys, DataDirError> {
    let path = data.join(layout::CALLS_KEY);
    let mut keys = read_call_keys(&path)?;
    let old = keys.iter().map(|key| DataKey::from_random(**key)).collect();
    keys.insert(0, random_seed()?);
    write_call_keys(&path, &keys)?;
    Ok(CallKeys { key: DataKey::from_random(*keys[0]), old })
}

/// Generates a call key and adds it to the key file.
///
/// # Errors
/// The key file cannot be replaced.
pub fn create_call_key(data: &Path) -> Result<DataKey, DataDirError> {
    rotate_call_keys(data).map(|keys| keys.key)
}

/// Removes the old call keys once every live call is journalled under the newest. The numbers of
/// unrecorded calls and of deleted recordings become unreadable with them.
///
/// # Errors
/// The key file cannot be replaced.
pub fn remove_old_call_keys(data: &Path) -> Result<(), DataDirError> {
    let path = data.join(layout::CALLS_KEY);
    let keys = read_call_keys(&path)?;
    write_call_keys(&path, &keys[..keys.len().min(1)])
}
