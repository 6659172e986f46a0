//! The log file: bounded in size, with the previous file beside it.
//!
//! Lines carry the time in UTC. A file that exceeds `FILE_BYTES_MAX` is renamed to `.1` and
//! replaces the previous one. The log holds no field's value.

use log::{Level, LevelFilter, Log, Metadata, Record};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The size in bytes at which a new file is started.
pub const FILE_BYTES_MAX: u64 = 512 << 10;

struct FileLog {
    path: PathBuf,
    /// The open file and its size.
    file: Mutex<Option<(File, u64)>>,
}

/// Starts logging into this file.
pub fn start_logging(path: &Path) -> Result<(), std::io::Error> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let file = Mutex::new(Some(open_log(path)?));
    let log = FileLog { path: path.to_owned(), file };
    if log::set_boxed_logger(Box::new(log)).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
    Ok(())
}

fn open_log(path: &Path) -> Result<(File, u64), std::io::Error> {
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    let bytes = file.metadata()?.len();
    Ok((file, bytes))
}

impl Log for FileLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // Libraries log warnings and errors only.
        let own = metadata.target().starts_with("desktop");
        metadata.level() <= if own { Level::Info } else { Level::Warn }
    }

    #[allow(clippy::disallowed_methods, reason = "a log line has the time of day")]
    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let time = jiff::Timestamp::now();
        let line = format!("{time:.3} {:<5} {}\n", record.level(), record.args());
        let mut open = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if open.as_ref().is_some_and(|(_, bytes)| *bytes >= FILE_BYTES_MAX) {
            // If the rename fails, the log continues in the same file.
            let _ = std::fs::rename(&self.path, self.path.with_extension("log.1"));
            *open = open_log(&self.path).ok();
        }
        if let Some((file, bytes)) = open.as_mut() {
            *bytes += u64::try_from(line.len()).unwrap_or(0);
            // There is no place to report that the log cannot be written.
            let _ = file.write_all(line.as_bytes());
        }
    }

    fn flush(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_rotated_and_stays_bounded() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("desktop.log");
        let file = Mutex::new(Some(open_log(&path).expect("a file")));
        let log = FileLog { path: path.clone(), file };
        let text = "x".repeat(10_000);
        for _ in 0..200 {
            let args = format_args!("{text}");
            log.log(&Record::builder().level(Level::Info).target("desktop").args(args).build());
        }
        let bytes = |path: &Path| std::fs::metadata(path).map_or(0, |data| data.len());
        assert!(bytes(&path) < FILE_BYTES_MAX + 20_000);
        let old = bytes(&folder.path().join("desktop.log.1"));
        assert!((FILE_BYTES_MAX..FILE_BYTES_MAX + 20_000).contains(&old), "{old}");
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 2);
    }
}
