//! Reads the configuration file, and edits it in a worker thread.
//!
//! The new text is written to a temporary file, synced and renamed over the old file. A power cut
//! leaves one of the two intact. Mode and group are preserved, and the owner where the daemon may
//! set it. PINs are hashed here; `config::edit` validates the change.

use crate::config::Config;
use crate::config::edit::{ConfigChange, apply_change};
use argon2::Argon2;
use argon2::password_hash::PasswordHasher;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::Path;

const PIN_CHARS_MIN: usize = 4;

/// Applies a change to the file. On error the file is unchanged, and the message is for people.
pub fn edit_config_file(path: &Path, edit: &ConfigChange) -> Result<(), String> {
    // A symbolic link stays a symbolic link.
    let path = path.canonicalize().map_err(|error| format!("{}: {error}", path.display()))?;
    let failed = |error: io::Error| {
        let may = match error.kind() {
            ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => {
                "; the box may not write there: see docs/operations.md, or edit the file by hand"
            }
            _ => "",
        };
        format!("{}: {error}{may}", path.display())
    };
    let text = std::fs::read_to_string(&path).map_err(failed)?;
    let changed = apply_change(&text, edit, hash_pin).map_err(|error| error.to_string())?;
    replace_config_file(&path, &changed).map_err(failed)
}

fn replace_config_file(path: &Path, text: &str) -> io::Result<()> {
    let before = std::fs::metadata(path)?;
    let new = path.with_extension("toml.new");
    drop(std::fs::remove_file(&new));
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(&new)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| {
        preserve_owner(&file, &before)?;
        file.set_permissions(before.permissions())?;
        file.sync_all()?;
        std::fs::rename(&new, path)
    });
    if written.is_err() {
        drop(std::fs::remove_file(&new));
    }
    written?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    File::open(folder)?.sync_all()
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

/// Reads and checks a configuration file.
///
/// # Errors
/// One line of text for each problem found.
pub fn read_config(path: &Path) -> Result<Config, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("{}: {error}; give one with --config FILE", path.display()))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let checked = crate::shell::config_check::check_config_text(path, &text);
    match checked.map_err(|error| format!("{}: {error}", path.display()))? {
        Ok((config, warnings)) => {
            for warning in warnings {
                log::warn!("{}: {warning}", path.display());
            }
            Ok(config.resolve_paths(folder))
        }
        Err(errors) => {
            let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
            Err(lines.join("\n"))
        }
    }
}
