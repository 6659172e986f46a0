//! The log: a file of bounded size, and the one before it.
//!
//! Lines carry the time in UTC. When the file has grown over `FILE_BYTES` it becomes `.1`, in place
//! of the last one of that name. Nothing that was typed or said is logged, and never a field's
//! value.

use log::{Level, LevelFilter, Log, Metadata, Record};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The most bytes of a file, about.
pub const FILE_BYTES: u64 = 512 << 10;

struct FileLog {
    path: PathBuf,
    open: Mutex<Option<(File, u64)>>,
    aloud: bool,
}

/// Logs into this file from now on; `aloud`: to stderr too.
pub fn start(path: &Path, aloud: bool) -> Result<(), std::io::Error> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let open = Mutex::new(Some(opened(path)?));
    let log = FileLog { path: path.to_owned(), open, aloud };
    if log::set_boxed_logger(Box::new(log)).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
    Ok(())
}

fn opened(path: &Path) -> Result<(File, u64), std::io::Error> {
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    let bytes = file.metadata()?.len();
    Ok((file, bytes))
}

impl Log for FileLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // Libraries are heard when something is wrong.
        let ours = metadata.target().starts_with("desktop");
        metadata.level() <= if ours { Level::Info } else { Level::Warn }
    }

    #[allow(clippy::disallowed_methods, reason = "a log tells the time of day; only here")]
    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let time = jiff::Timestamp::now();
        let line = format!("{time:.3} {:<5} {}\n", record.level(), record.args());
        if self.aloud {
            eprint!("{line}");
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.as_ref().is_some_and(|(_, bytes)| *bytes >= FILE_BYTES) {
            // A log that cannot be turned over is written on.
            let _ = std::fs::rename(&self.path, self.path.with_extension("log.1"));
            *open = opened(&self.path).ok();
        }
        if let Some((file, bytes)) = open.as_mut() {
            *bytes += u64::try_from(line.len()).unwrap_or(0);
            // There is nowhere to tell that a log cannot be written.
            let _ = file.write_all(line.as_bytes());
        }
    }

    fn flush(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_turns_over_and_stays_bounded() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("desktop.log");
        let open = Mutex::new(Some(opened(&path).expect("a file")));
        let log = FileLog { path: path.clone(), open, aloud: false };
        let text = "x".repeat(10_000);
        for _ in 0..200 {
            let args = format_args!("{text}");
            log.log(&Record::builder().level(Level::Info).target("desktop").args(args).build());
        }
        let bytes = |path: &Path| std::fs::metadata(path).map_or(0, |data| data.len());
        assert!(bytes(&path) < FILE_BYTES + 20_000);
        let old = bytes(&folder.path().join("desktop.log.1"));
        assert!((FILE_BYTES..FILE_BYTES + 20_000).contains(&old), "{old}");
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 2);
    }
}
