//! Finding and reading the recorder's configuration.
//!
//! The order is `--config FILE`, `./config.toml`, `/etc/hushbox/config.toml`. A file with errors is
//! never used in part.

use crate::error::Error;
use hushbox::config::{self, Config};
use hushbox::shell::config_check::{CheckedConfig, check_config_text};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// Default locations, in order.
const DEFAULT_PATHS: [&str; 2] = ["./config.toml", "/etc/hushbox/config.toml"];

/// A configuration and the file it came from.
pub struct LoadedConfig {
    pub path: PathBuf,
    /// The configuration, with paths relative to the working directory or absolute.
    pub config: Config,
}

/// Loads the given configuration, or the one at a default location.
pub fn load_config(given: Option<&Path>) -> Result<LoadedConfig, Error> {
    match find_config(given)? {
        Some(found) => Ok(found),
        None => Err(Error::NoConfig { tried: DEFAULT_PATHS.map(str::to_owned).to_vec() }),
    }
}

/// Loads a configuration as `load_config` does; `None` if none was given or found.
pub fn find_config(given: Option<&Path>) -> Result<Option<LoadedConfig>, Error> {
    let bad = |path: &Path, errors| Error::BadConfig { path: path.to_owned(), errors };
    let take = |path: &Path, text: &str| match config::parse(text) {
        Ok((config, _)) => Ok(LoadedConfig {
            path: path.to_owned(),
            config: config.resolve_paths(parent_folder(path)),
        }),
        Err(errors) => Err(bad(path, errors)),
    };
    if let Some(path) = given {
        return take(path, &read_text(path)?).map(Some);
    }
    for place in DEFAULT_PATHS.map(Path::new) {
        match read_text(place) {
            Ok(text) => return take(place, &text).map(Some),
            Err(Error::Read { error, .. }) if error.kind() == ErrorKind::NotFound => {}
            Err(other) => return Err(other),
        }
    }
    Ok(None)
}

/// Reads one file and checks it against this machine.
pub fn check_file(path: &Path) -> Result<CheckedConfig, Error> {
    let checked = check_config_text(path, &read_text(path)?);
    checked.map_err(|error| Error::Read { path: path.to_owned(), error })
}

/// Reads a file up to one byte more than the parser accepts.
fn read_text(path: &Path) -> Result<String, Error> {
    let failed = |error| Error::Read { path: path.to_owned(), error };
    let limit = u64::try_from(config::bounds::TEXT_BYTES_MAX).unwrap_or(u64::MAX);
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        failed(std::io::Error::new(ErrorKind::InvalidData, format!("byte {at} is not UTF-8")))
    })
}

fn parent_folder(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}
