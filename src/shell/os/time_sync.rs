//! Checks whether the system clock is synchronised, usually by a time server.
//!
//! systemd-timesyncd touches a file whenever it sets the clock. For other programs `timedatectl`
//! asks the kernel: the unit's filter denies the daemon that system call, because it can also set
//! the clock. Both may block, so the check runs in a worker thread.

use crate::recorder::TimeSync;
use crate::shell::event_loop::Daemon;
use crate::shell::workers::worker::WorkerRequest;
use crate::time::{Now, WallTime};
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

/// State directory of systemd-timesyncd, present while it runs.
const TIMESYNCD_DIR: &str = "/run/systemd/timesync";
/// File in that directory; its modification time is that of the last server reply.
const SYNCHRONIZED_FILE: &str = "synchronized";
const QUERY_INTERVAL_MS: u64 = 60_000;
/// The kernel considers the clock unsynchronised after this time: 16 s at 500 ppm.
const SYNC_VALID_MS: i64 = 32_000_000;

impl Daemon {
    /// Starts a query at startup and once a minute, unless one is running.
    pub(in crate::shell) fn poll_time_sync(&mut self, now: Now) {
        if self.next_time_sync.is_some_and(|at| at <= now.mono) {
            self.next_time_sync = None;
            self.external_worker.submit(now.mono, WorkerRequest::QueryTimeSync { now: now.wall });
        }
    }

    pub(in crate::shell) fn handle_time_sync(&mut self, now: Now, found: TimeSync) {
        self.next_time_sync = Some(now.mono.after_ms(QUERY_INTERVAL_MS));
        self.recorder.set_time_sync(found);
    }
}

/// Queries timesyncd if it runs, otherwise `timedatectl`.
#[must_use]
pub fn query_time_sync(now: WallTime) -> TimeSync {
    query_time_sync_in(Path::new(TIMESYNCD_DIR), now, run_timedatectl)
}

fn query_time_sync_in(
    timesyncd: &Path,
    now: WallTime,
    ask: impl FnOnce() -> io::Result<Vec<u8>>,
) -> TimeSync {
    if !timesyncd.is_dir() {
        return match ask().as_ref().map(|said| said.trim_ascii()) {
            Ok(b"yes") => TimeSync::Yes,
            Ok(b"no") => TimeSync::No,
            _ => TimeSync::Unknown,
        };
    }
    let touched = timesyncd.join(SYNCHRONIZED_FILE).metadata().and_then(|file| file.modified());
    let age_ms = |touched: SystemTime| {
        let ms = touched.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        now.0.saturating_sub(i64::try_from(ms).unwrap_or(i64::MAX))
    };
    match touched {
        Ok(touched) if age_ms(touched) <= SYNC_VALID_MS => TimeSync::Yes,
        _ => TimeSync::No,
    }
}

/// Runs `timedatectl`: `yes`, `no`, or empty if it cannot reach its service.
fn run_timedatectl() -> io::Result<Vec<u8>> {
    let mut command = Command::new("timedatectl");
    command.args(["show", "--property=NTPSynchronized", "--value"]);
    Ok(command.stdin(Stdio::null()).stderr(Stdio::null()).output()?.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{File, create_dir};
    use std::time::Duration;

    const NOW: WallTime = WallTime(1_700_000_000_000);

    #[test]
    fn timesyncd_tells_by_the_age_of_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let timesyncd = folder.path().join("timesync");
        create_dir(&timesyncd).unwrap();
        let look = || query_time_sync_in(&timesyncd, NOW, || panic!("no other program is asked"));
        assert_eq!(look(), TimeSync::No, "it runs, and no server has answered");
        let file = File::create(timesyncd.join(SYNCHRONIZED_FILE)).unwrap();
        let now = u64::try_from(NOW.0).unwrap();
        let good_for = u64::try_from(SYNC_VALID_MS).unwrap();
        for (touched, said) in [
            (now, TimeSync::Yes),
            (now - good_for, TimeSync::Yes),
            (now - good_for - 1, TimeSync::No),
            // The clock was set back since.
            (now + 3_600_000, TimeSync::Yes),
        ] {
            file.set_modified(UNIX_EPOCH + Duration::from_millis(touched)).unwrap();
            assert_eq!(look(), said, "{touched}");
        }
    }

    #[test]
    fn without_timesyncd_the_kernel_is_asked() {
        let folder = tempfile::tempdir().unwrap();
        let look =
            |said: io::Result<Vec<u8>>| query_time_sync_in(&folder.path().join("no"), NOW, || said);
        assert_eq!(look(Ok(b"yes\n".to_vec())), TimeSync::Yes);
        assert_eq!(look(Ok(b"no\n".to_vec())), TimeSync::No);
        assert_eq!(look(Ok(Vec::new())), TimeSync::Unknown, "it has no bus");
        assert_eq!(look(Err(io::ErrorKind::NotFound.into())), TimeSync::Unknown);
    }
}
