//! Reads a configuration file and checks it against this machine.

use crate::config::machine::Machine;
use crate::config::{self, Config, ConfigError};
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// The machine that the program runs on, with the folder of the configuration file.
pub struct ThisMachine {
    folder: PathBuf,
}

impl ThisMachine {
    /// # Errors
    /// The working directory is unknown.
    pub fn new(config_file: &Path) -> io::Result<ThisMachine> {
        let folder = config_file.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = std::path::absolute(folder.unwrap_or(Path::new(".")))?;
        Ok(ThisMachine { folder })
    }
}

impl Machine for ThisMachine {
    fn folder(&self) -> &Path {
        &self.folder
    }

    fn data_folder_error(&self, data: &Path) -> Option<String> {
        let existing = nearest_existing(data)?;
        let is_folder = existing.metadata().is_ok_and(|found| found.is_dir());
        let found = existing.display();
        (!is_folder).then(|| format!("found {found}, which is not a folder, allowed a folder"))
    }

    fn disk_mib(&self, data: &Path) -> Option<u64> {
        let found = nix::sys::statvfs::statvfs(nearest_existing(data)?).ok()?;
        let bytes = u128::from(found.blocks()) * u128::from(found.fragment_size());
        u64::try_from(bytes >> 20).ok()
    }

    fn socket_error(&self, socket: &Path) -> Option<String> {
        let found = std::fs::symlink_metadata(socket).ok()?;
        let is_socket = found.file_type().is_socket();
        let path = socket.display();
        (!is_socket).then(|| format!("found {path}, which is not a socket; move it"))
    }

    fn wav_error(&self, wav: &Path, rate: u32, sides: u8) -> Option<String> {
        board::check_wav_file(wav, rate, sides).err()
    }
}

/// The path itself, or the nearest folder above it that exists.
fn nearest_existing(path: &Path) -> Option<&Path> {
    path.ancestors().find(|path| path.symlink_metadata().is_ok())
}

/// A configuration with its warnings, or its errors.
pub type CheckedConfig = Result<(Config, Vec<ConfigError>), Vec<ConfigError>>;

/// Checks the text of a configuration file against this machine.
///
/// # Errors
/// The working directory is unknown.
pub fn check_config_text(path: &Path, text: &str) -> io::Result<CheckedConfig> {
    Ok(config::parse_for(text, Some(&ThisMachine::new(path)?)))
}
