//! Changes of the configuration file, in a helper's thread.
//!
//! The new text is written beside the file, synced, and renamed over it: there is the old file or
//! the new one. Mode and group stay, and the owner where the box may give a file away. PINs are
//! hashed here. Nothing here judges what is written (see `config::edit`).

use crate::config::edit::{ConfigChange, apply_change};
use argon2::Argon2;
use argon2::password_hash::PasswordHasher;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::Path;

/// Fewer characters are guessed.
const PIN_CHARS_MIN: usize = 4;

/// Changes the file; the error is for people, and nothing is changed then.
pub fn edit_config_file(path: &Path, edit: &ConfigChange) -> Result<(), String> {
    // A link stays one.
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

/// Only root gives files away. A service in a folder of its own becomes the owner instead; whoever
/// reads the file by its group still does. Of a file that is its own already nothing is asked: the
/// unit's filter knows no `fchown` at all.
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
