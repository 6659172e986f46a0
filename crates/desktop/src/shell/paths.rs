//! Where the files are, as the XDG base directory specification says.
//!
//! The administrator's `hushbox/desktop.toml` is the first of that name in `XDG_CONFIG_DIRS`; the
//! agent's own lies in `XDG_CONFIG_HOME`. Files are replaced whole or not at all; one that somebody
//! made read-only stays, and where a link leads the file behind it is replaced.
//!
//! Nothing here knows what is in a file but for settings and the autostart entry.

use crate::settings::{File, Settings, SettingsError};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

const SETTINGS: &str = "hushbox/desktop.toml";
const AUTOSTART: &str = "autostart/hushbox-desktop.desktop";

/// What the packaged autostart entry says; the agent's own has `Hidden` besides.
const ENTRY: &str = include_str!("../../../../packaging/desktop/hushbox-desktop.desktop");

/// Why settings or an entry could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum PathError {
    #[error("neither {0} nor HOME says where files belong")]
    NoFolder(&'static str),
    #[error("{path}: {error}")]
    Io { path: PathBuf, error: std::io::Error },
    #[error("{} is read-only, nothing is saved; ask whoever made it so", path.display())]
    ReadOnly { path: PathBuf },
    #[error("{path}: {error}")]
    Settings { path: PathBuf, error: SettingsError },
}

fn named(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
    path.filter(|path| path.is_absolute())
}

fn of_home(name: &'static str, default: &str) -> Result<PathBuf, PathError> {
    let home = || std::env::home_dir().filter(|home| home.is_absolute());
    named(name).or_else(|| Some(home()?.join(default))).ok_or(PathError::NoFolder(name))
}

/// Of the agent's configuration.
pub fn config_home() -> Result<PathBuf, PathError> {
    of_home("XDG_CONFIG_HOME", ".config")
}

/// A path for people: `~` stands for their home.
#[must_use]
pub fn shown(path: &Path) -> String {
    let home = std::env::home_dir().filter(|home| home.is_absolute());
    let below = home.and_then(|home| path.strip_prefix(home).ok().map(Path::to_path_buf));
    below.map_or_else(|| path.display().to_string(), |below| format!("~/{}", below.display()))
}

/// Of logs.
pub fn state_home() -> Result<PathBuf, PathError> {
    Ok(of_home("XDG_STATE_HOME", ".local/state")?.join("hushbox"))
}

/// Of the socket: gone when the agent logs out, if the desktop has such a folder.
pub fn runtime() -> Result<PathBuf, PathError> {
    named("XDG_RUNTIME_DIR").map_or_else(state_home, Ok)
}

fn config_dirs() -> Vec<PathBuf> {
    let listed = std::env::var_os("XDG_CONFIG_DIRS").filter(|list| !list.is_empty());
    let list = listed.unwrap_or_else(|| "/etc/xdg".into());
    std::env::split_paths(&list).filter(|path| path.is_absolute()).collect()
}

/// The agent's own settings.
pub fn own_settings() -> Result<PathBuf, PathError> {
    Ok(config_home()?.join(SETTINGS))
}

/// Reads the agent's own file alone.
pub fn read_own() -> Result<File, PathError> {
    read(&own_settings()?)
}

/// What holds, from both files.
pub fn read_settings() -> Result<Settings, PathError> {
    let sites = config_dirs().into_iter().map(|folder| folder.join(SETTINGS));
    let site = match sites.into_iter().find(|path| path.exists()) {
        Some(path) => read(&path)?,
        None => File::default(),
    };
    Ok(Settings::merged(&site, &read_own()?))
}

fn read(path: &Path) -> Result<File, PathError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(File::default()),
        Err(error) => return Err(PathError::Io { path: path.to_owned(), error }),
    };
    File::parse(&text).map_err(|error| PathError::Settings { path: path.to_owned(), error })
}

/// Writes the agent's own file.
pub fn write_own(file: &File) -> Result<(), PathError> {
    let path = own_settings()?;
    let text = file.text();
    let text = text.map_err(|error| PathError::Settings { path: path.clone(), error })?;
    replace(&path, &text)
}

fn replace(path: &Path, text: &str) -> Result<(), PathError> {
    let wrong = |error| PathError::Io { path: path.to_owned(), error };
    let path = &std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if std::fs::metadata(path).is_ok_and(|there| there.permissions().readonly()) {
        return Err(PathError::ReadOnly { path: path.clone() });
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(wrong)?;
    }
    let new = path.with_extension("new");
    let mut file = std::fs::File::create(&new).map_err(wrong)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(wrong)?;
    std::fs::rename(&new, path).map_err(wrong)
}

/// Whether the client starts when the agent logs in.
pub fn autostarts() -> bool {
    let own = config_home().map(|folder| folder.join(AUTOSTART)).ok();
    let site = config_dirs().into_iter().map(|folder| folder.join(AUTOSTART));
    let texts = own.into_iter().chain(site).filter_map(|path| std::fs::read_to_string(path).ok());
    texts.into_iter().next().is_some_and(|text| !text.lines().any(|line| line == "Hidden=true"))
}

/// Makes it so.
pub fn set_autostart(on: bool) -> Result<(), PathError> {
    if autostarts() == on {
        return Ok(());
    }
    let hidden = if on { "" } else { "Hidden=true\n" };
    replace(&config_home()?.join(AUTOSTART), &format!("{ENTRY}{hidden}"))
}
