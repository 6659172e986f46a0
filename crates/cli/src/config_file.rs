//! Finding and reading the box's configuration.
//!
//! `--config FILE`, else `./config.toml`, else `/etc/hushbox/config.toml`. Nothing is guessed from
//! a file that has errors.

use crate::error::Error;
use hushbox::config::{self, Config, ConfigError};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// Where it is looked for.
const DEFAULT_PATHS: [&str; 2] = ["./config.toml", "/etc/hushbox/config.toml"];

/// A configuration and the file it came from.
pub struct LoadedConfig {
    pub path: PathBuf,
    /// Paths in it are relative to the working directory, or absolute.
    pub config: Config,
}

/// The configuration given, or the one that lies where it should.
pub fn load_config(given: Option<&Path>) -> Result<LoadedConfig, Error> {
    match find_config(given)? {
        Some(found) => Ok(found),
        None => Err(Error::NoConfig { tried: DEFAULT_PATHS.map(str::to_owned).to_vec() }),
    }
}

/// The same, but it is no failure if none is given and none lies there.
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

/// Reads and judges one file: the configuration and its warnings, or its errors.
pub type CheckResult = Result<(Config, Vec<ConfigError>), Vec<ConfigError>>;

/// Reads and judges one file.
pub fn check_file(path: &Path) -> Result<CheckResult, Error> {
    Ok(config::parse(&read_text(path)?))
}

/// The text of a file, no more of it than the parser takes and a byte.
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
