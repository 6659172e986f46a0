//! The configuration file: read, edited and restored.
//!
//! A new text replaces the file whole or not at all; mode and group are preserved, and the owner
//! where the daemon may set it. PINs are hashed here; `config::edit` validates the change.
//!
//! The data directory keeps a copy of the last text that the daemon ran on. If the file cannot be
//! used at a start, the daemon runs on that copy, so that a technician reaches it and can type
//! `config restore`. Edits and reloads run in a worker thread.

use crate::config::Config;
use crate::config::edit::{ConfigChange, apply_change};
use crate::shell::config_check::check_config_text;
use crate::shell::os::data_dir::write_secret;
use crate::store::layout;
use argon2::Argon2;
use argon2::password_hash::PasswordHasher;
use atomic_write_file::AtomicWriteFile;
use atomic_write_file::unix::OpenOptionsExt;
use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::{Path, PathBuf};

const PIN_CHARS_MIN: usize = 4;

/// A valid configuration.
pub struct ConfigFile {
    /// With absolute paths.
    pub config: Config,
    pub text: String,
    /// Why the file itself cannot be used, if this is the copy.
    pub trouble: Option<String>,
}

/// Reads and checks a configuration file.
///
/// # Errors
/// One line of text for each problem found.
pub fn read_config(path: &Path) -> Result<ConfigFile, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("{}: {error}; give one with --config FILE", path.display()))?;
    let checked = check_config_text(path, &text);
    match checked.map_err(|error| format!("{}: {error}", path.display()))? {
        Ok((config, warnings)) => {
            for warning in warnings {
                log::warn!("{}: {warning}", path.display());
            }
            let config = config.resolve_paths(folder_of(path));
            Ok(ConfigFile { config, text, trouble: None })
        }
        Err(errors) => {
            let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
            Err(lines.join("\n"))
        }
    }
}

/// Reads the configuration at the start: the file, or else the copy of the last one that worked.
///
/// # Errors
/// As `read_config`, if there is no copy either.
pub fn read_startup_config(path: &Path) -> Result<ConfigFile, String> {
    let trouble = match read_config(path) {
        Ok(file) => return Ok(file),
        Err(text) => text,
    };
    let folders = data_folders(path);
    let mut copies = folders.iter().filter_map(|data| read_copy(path, data));
    let Some((config, text)) = copies.next() else { return Err(trouble) };
    let trouble = Some(format!("{} cannot be used: {trouble}", path.display()));
    Ok(ConfigFile { config, text, trouble })
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Where the data directory may be: as the file says, even if the rest of it is wrong; as the
/// service manager says; or the default.
fn data_folders(path: &Path) -> Vec<PathBuf> {
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let value = |line: &str| {
        let quoted = line.trim().strip_prefix("data")?.trim_start().strip_prefix('=')?;
        Some(quoted.split(['"', '\'']).nth(1)?.to_string())
    };
    let configured = text.lines().filter_map(value);
    let managed = std::env::var("STATE_DIRECTORY").unwrap_or_default();
    let managed = managed.split(':').filter(|path| !path.is_empty()).map(str::to_string);
    let all = configured.chain(managed).chain(["data".to_string()]);
    all.map(|data| folder_of(path).join(data)).collect()
}

/// Returns the copy in this data directory, if it is a copy of the configuration at `path`.
fn read_copy(path: &Path, data: &Path) -> Option<(Config, String)> {
    let text = std::fs::read_to_string(data.join(layout::LAST_CONFIG)).ok()?;
    let (config, _) = crate::config::parse(&text).ok()?;
    let config = config.resolve_paths(folder_of(path));
    let is_own = config.data.canonicalize().ok()? == data.canonicalize().ok()?;
    is_own.then_some((config, text))
}

/// Keeps a copy of a configuration that works.
pub fn save_copy(file: &ConfigFile, data: &Path) {
    let path = data.join(layout::LAST_CONFIG);
    let is_saved = std::fs::read(&path).is_ok_and(|old| old == file.text.as_bytes());
    // A copy for another data directory would not be found.
    if file.trouble.is_some() || is_saved || file.config.data != data {
        return;
    }
    if let Err(error) = write_secret(&path, file.text.as_bytes()) {
        log::warn!("the copy of the configuration that works cannot be written: {error}");
    }
}

/// Replaces the file by the copy of the last one that worked, and keeps the broken one beside it.
pub fn restore_config_file(path: &Path, data: &Path) -> Result<(), String> {
    if read_config(path).is_ok() {
        return Err(format!("{} can be used: there is nothing to restore", path.display()));
    }
    let none = || format!("{}: no copy of a configuration that worked", data.display());
    let (_, text) = read_copy(path, data).ok_or_else(none)?;
    let broken = path.with_extension("toml.broken");
    match std::fs::read(path) {
        Ok(bytes) => replace_file(&broken, &bytes).map_err(|error| to_text(&broken, &error))?,
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => log::warn!("{}: {error}; it is replaced unread", path.display()),
    }
    replace_file(path, text.as_bytes()).map_err(|error| to_text(path, &error))
}

/// Applies a change to the file. On error the file is unchanged, and the message is for people.
pub fn edit_config_file(path: &Path, edit: &ConfigChange) -> Result<(), String> {
    // A symbolic link stays a symbolic link.
    let path = path.canonicalize().map_err(|error| format!("{}: {error}", path.display()))?;
    let text = std::fs::read_to_string(&path).map_err(|error| to_text(&path, &error))?;
    let changed = apply_change(&text, edit, hash_pin).map_err(|error| error.to_string())?;
    replace_file(&path, changed.as_bytes()).map_err(|error| to_text(&path, &error))
}

fn to_text(path: &Path, error: &io::Error) -> String {
    let advice = match error.kind() {
        ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => {
            "; the box may not write there: see docs/operations.md, or edit the file by hand"
        }
        _ => "",
    };
    format!("{}: {error}{advice}", path.display())
}

/// Replaces a file whole. The owner and the group of a new file can read it.
fn replace_file(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut options = AtomicWriteFile::options();
    options.mode(0o640);
    options.preserve_owner(false);
    let mut file = options.open(path)?;
    file.write_all(text)?;
    match std::fs::metadata(path) {
        Ok(before) => preserve_owner(&file, &before)?,
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    file.commit()
}

/// Restores owner and group. Only root may change the owner; otherwise the service's user owns
/// the new file and group readers keep access. Does nothing if the ids already match, because the
/// unit's system-call filter does not allow `fchown`.
fn preserve_owner(file: &File, before: &Metadata) -> io::Result<()> {
    let made = file.metadata()?;
    if (made.uid(), made.gid()) == (before.uid(), before.gid()) {
        return Ok(());
    }
    match fchown(file, Some(before.uid()), Some(before.gid())) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            fchown(file, None, Some(before.gid()))
        }
        kept => kept,
    }
}

fn hash_pin(pin: &str) -> Result<String, String> {
    if pin.chars().count() < PIN_CHARS_MIN {
        return Err(format!("a PIN has at least {PIN_CHARS_MIN} characters"));
    }
    let hash = Argon2::default().hash_password(pin.as_bytes());
    hash.map(|hash| hash.to_string()).map_err(|error| format!("the PIN cannot be hashed: {error}"))
}
