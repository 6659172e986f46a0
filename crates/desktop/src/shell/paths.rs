//! The client's files, in the places of the XDG base directory specification.
//!
//! The administrator's `hushbox/desktop.toml` is the first of that name in `XDG_CONFIG_DIRS`; the
//! agent's own file is in `XDG_CONFIG_HOME`. Files are replaced atomically. A read-only file is
//! never replaced; where a path is a symbolic link, its target is replaced.

use crate::settings::{Settings, SettingsError, SettingsFile};
use atomic_write_file::AtomicWriteFile;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

const SETTINGS: &str = "hushbox/desktop.toml";
const AUTOSTART: &str = "autostart/hushbox-desktop.desktop";

/// The packaged autostart entry. The agent's own entry may add `Hidden`.
const AUTOSTART_ENTRY: &str = include_str!("../../../../packaging/desktop/hushbox-desktop.desktop");

/// Why settings or an autostart entry could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum PathError {
    #[error("no folder for the client's files: set {0} or HOME")]
    NoFolder(&'static str),
    #[error("cannot read {}: {error}", path.display())]
    Read { path: PathBuf, error: std::io::Error },
    #[error("cannot write {}: {error}", path.display())]
    Write { path: PathBuf, error: std::io::Error },
    #[error(
        "{} is read-only, nothing was saved; ask your administrator to make it writable",
        path.display()
    )]
    ReadOnly { path: PathBuf },
    #[error("{}: {error}", path.display())]
    Settings { path: PathBuf, error: SettingsError },
}

fn env_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
    path.filter(|path| path.is_absolute())
}

fn env_or_home(name: &'static str, default: &str) -> Result<PathBuf, PathError> {
    let home = || std::env::home_dir().filter(|home| home.is_absolute());
    env_path(name).or_else(|| Some(home()?.join(default))).ok_or(PathError::NoFolder(name))
}

/// The folder of the agent's configuration.
pub fn config_home() -> Result<PathBuf, PathError> {
    env_or_home("XDG_CONFIG_HOME", ".config")
}

/// Formats a path for the agent, with `~` for the home folder.
#[must_use]
pub fn display_path(path: &Path) -> String {
    let home = std::env::home_dir().filter(|home| home.is_absolute());
    let below = home.and_then(|home| path.strip_prefix(home).ok().map(Path::to_path_buf));
    below.map_or_else(|| path.display().to_string(), |below| format!("~/{}", below.display()))
}

/// The folder of the log.
pub fn state_home() -> Result<PathBuf, PathError> {
    Ok(env_or_home("XDG_STATE_HOME", ".local/state")?.join("hushbox"))
}

/// The folder of the socket. `XDG_RUNTIME_DIR` is removed when the agent logs out.
pub fn runtime_dir() -> Result<PathBuf, PathError> {
    env_path("XDG_RUNTIME_DIR").map_or_else(state_home, Ok)
}

fn config_dirs() -> Vec<PathBuf> {
    let listed = std::env::var_os("XDG_CONFIG_DIRS").filter(|list| !list.is_empty());
    let list = listed.unwrap_or_else(|| "/etc/xdg".into());
    std::env::split_paths(&list).filter(|path| path.is_absolute()).collect()
}

/// The path of the agent's own settings.
pub fn own_settings_path() -> Result<PathBuf, PathError> {
    Ok(config_home()?.join(SETTINGS))
}

/// Reads the agent's own settings file.
pub fn read_own_settings() -> Result<SettingsFile, PathError> {
    read_settings_file(&own_settings_path()?)
}

/// Reads the effective settings from both files.
pub fn read_settings() -> Result<Settings, PathError> {
    let sites = config_dirs().into_iter().map(|folder| folder.join(SETTINGS));
    let site = match sites.into_iter().find(|path| path.exists()) {
        Some(path) => read_settings_file(&path)?,
        None => SettingsFile::default(),
    };
    Ok(Settings::merge_files(&site, &read_own_settings()?))
}

fn read_settings_file(path: &Path) -> Result<SettingsFile, PathError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(SettingsFile::default()),
        Err(error) => return Err(PathError::Read { path: path.to_owned(), error }),
    };
    SettingsFile::parse(&text).map_err(|error| PathError::Settings { path: path.to_owned(), error })
}

/// Writes the agent's own settings file.
pub fn write_own_settings(file: &SettingsFile) -> Result<(), PathError> {
    let path = own_settings_path()?;
    let text = file.to_toml();
    let text = text.map_err(|error| PathError::Settings { path: path.clone(), error })?;
    replace_file(&path, &text)
}

fn replace_file(path: &Path, text: &str) -> Result<(), PathError> {
    let path = &std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if std::fs::metadata(path).is_ok_and(|present| present.permissions().readonly()) {
        return Err(PathError::ReadOnly { path: path.clone() });
    }
    let write = || {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut file = AtomicWriteFile::open(path)?;
        file.write_all(text.as_bytes())?;
        file.commit()
    };
    write().map_err(|error| PathError::Write { path: path.clone(), error })
}

/// Whether the client starts when the agent logs in.
pub fn is_autostart_on() -> bool {
    let own = config_home().map(|folder| folder.join(AUTOSTART)).ok();
    let site = config_dirs().into_iter().map(|folder| folder.join(AUTOSTART));
    let texts = own.into_iter().chain(site).filter_map(|path| std::fs::read_to_string(path).ok());
    texts.into_iter().next().is_some_and(|text| !text.lines().any(|line| line == "Hidden=true"))
}

/// Sets whether the client starts when the agent logs in.
pub fn set_autostart(on: bool) -> Result<(), PathError> {
    if is_autostart_on() == on {
        return Ok(());
    }
    let hidden = if on { "" } else { "Hidden=true\n" };
    replace_file(&config_home()?.join(AUTOSTART), &format!("{AUTOSTART_ENTRY}{hidden}"))
}
