//! Finding and reading the box's configuration.
//!
//! `--config FILE`, else `./config.toml`, else `/etc/hushbox/config.toml`. Nothing is guessed from
//! a file that has errors.

use crate::error::Failure;
use hushbox::config::{self, Config, ConfigError};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// Where it is looked for.
const PLACES: [&str; 2] = ["./config.toml", "/etc/hushbox/config.toml"];

/// A configuration and the file it came from.
pub struct Found {
    pub path: PathBuf,
    /// Paths in it are relative to the working directory, or absolute.
    pub config: Config,
}

/// The configuration given, or the one that lies where it should.
pub fn load(given: Option<&Path>) -> Result<Found, Failure> {
    match find(given)? {
        Some(found) => Ok(found),
        None => Err(Failure::NoConfig { tried: PLACES.map(str::to_owned).to_vec() }),
    }
}

/// The same, but it is no failure if none is given and none lies there.
pub fn find(given: Option<&Path>) -> Result<Option<Found>, Failure> {
    let bad = |path: &Path, errors| Failure::BadConfig { path: path.to_owned(), errors };
    let take = |path: &Path, text: &str| match config::parse(text) {
        Ok((config, _)) => {
            Ok(Found { path: path.to_owned(), config: config.resolve(folder(path)) })
        }
        Err(errors) => Err(bad(path, errors)),
    };
    if let Some(path) = given {
        return take(path, &read(path)?).map(Some);
    }
    for place in PLACES.map(Path::new) {
        match read(place) {
            Ok(text) => return take(place, &text).map(Some),
            Err(Failure::Read { error, .. }) if error.kind() == ErrorKind::NotFound => {}
            Err(other) => return Err(other),
        }
    }
    Ok(None)
}

/// Reads and judges one file: the configuration and its warnings, or its errors.
pub type Judged = Result<(Config, Vec<ConfigError>), Vec<ConfigError>>;

/// Reads and judges one file.
pub fn judge(path: &Path) -> Result<Judged, Failure> {
    Ok(config::parse(&read(path)?))
}

/// The text of a file, no more of it than the parser takes and a byte.
fn read(path: &Path) -> Result<String, Failure> {
    let failed = |error| Failure::Read { path: path.to_owned(), error };
    let limit = u64::try_from(config::bounds::TEXT_BYTES_MAX).unwrap_or(u64::MAX);
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        failed(std::io::Error::new(ErrorKind::InvalidData, format!("byte {at} is not UTF-8")))
    })
}

fn folder(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}
