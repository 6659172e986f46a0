//! Checks whether the system clock is synchronised, usually by a time server.
//!
//! systemd-timesyncd touches a file whenever it sets the clock. For other programs `timedatectl`
//! asks the kernel: the unit's filter denies the daemon that system call, because it can also set
//! the clock. Both may block, so the check runs in a worker thread.

use crate::recorder::{TimeSync, TimeSyncReport};
use crate::time::{MonoTime, Now};
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::UNIX_EPOCH;

/// State directory of systemd-timesyncd, present while it runs.
const TIMESYNCD_DIR: &str = "/run/systemd/timesync";
/// File in that directory; its modification time is that of the last server reply.
const SYNCHRONIZED_FILE: &str = "synchronized";
/// The kernel considers the clock unsynchronised after this time: 16 s at 500 ppm.
const SYNC_VALID_MS: i64 = 32_000_000;
/// How much later than a server's reply the daemon may notice the step that followed it.
const STEP_NOTICED_MS: i64 = 2000;

/// Queries timesyncd if it runs, otherwise `timedatectl`.
#[must_use]
pub fn query_time_sync(now: Now) -> TimeSyncReport {
    query_time_sync_in(Path::new(TIMESYNCD_DIR), now, run_timedatectl)
}

fn query_time_sync_in(
    timesyncd: &Path,
    now: Now,
    ask: impl FnOnce() -> io::Result<Vec<u8>>,
) -> TimeSyncReport {
    if !timesyncd.is_dir() {
        // Setting the clock by hand resets the kernel's answer.
        let state = match ask().as_ref().map(|said| said.trim_ascii()) {
            Ok(b"yes") => TimeSync::Yes,
            Ok(b"no") => TimeSync::No,
            _ => TimeSync::Unknown,
        };
        return TimeSyncReport { state, at: now.mono };
    }
    let touched = timesyncd.join(SYNCHRONIZED_FILE).metadata().and_then(|file| file.modified());
    let touched = touched.map(|at| at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis());
    let touched_ms = touched.map_or(i64::MIN, |ms| i64::try_from(ms).unwrap_or(i64::MAX));
    let age_ms = now.wall.0.saturating_sub(touched_ms);
    // A reply from the future came before the clock was set back.
    let is_valid = (-STEP_NOTICED_MS..=SYNC_VALID_MS).contains(&age_ms);
    let state = if is_valid { TimeSync::Yes } else { TimeSync::No };
    let age_ms = u64::try_from(age_ms.saturating_sub(STEP_NOTICED_MS)).unwrap_or(0);
    let at = MonoTime(now.mono.0.saturating_sub(age_ms.saturating_mul(1000)));
    TimeSyncReport { state, at }
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
    use crate::time::WallTime;
    use std::fs::{File, create_dir};
    use std::time::Duration;

    const NOW: Now = Now { mono: MonoTime(3_600_000_000), wall: WallTime(1_700_000_000_000) };

    #[test]
    fn timesyncd_tells_by_the_age_of_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let timesyncd = folder.path().join("timesync");
        create_dir(&timesyncd).unwrap();
        let look = || {
            let report =
                query_time_sync_in(&timesyncd, NOW, || panic!("no other program is asked"));
            (report.state, report.at)
        };
        assert_eq!(look().0, TimeSync::No, "it runs, and no server has answered");
        let file = File::create(timesyncd.join(SYNCHRONIZED_FILE)).unwrap();
        let now = u64::try_from(NOW.wall.0).unwrap();
        let good_for = u64::try_from(SYNC_VALID_MS).unwrap();
        for (touched, state, at) in [
            (now, TimeSync::Yes, NOW.mono),
            (now - 62_000, TimeSync::Yes, MonoTime(3_540_000_000)),
            // Before the daemon started.
            (now - good_for, TimeSync::Yes, MonoTime(0)),
            (now - good_for - 1, TimeSync::No, MonoTime(0)),
            // The clock was set back since, so the reply does not confirm it.
            (now + 3_600_000, TimeSync::No, NOW.mono),
        ] {
            file.set_modified(UNIX_EPOCH + Duration::from_millis(touched)).unwrap();
            assert_eq!(look(), (state, at), "{touched}");
        }
    }

    #[test]
    fn without_timesyncd_the_kernel_is_asked() {
        let folder = tempfile::tempdir().unwrap();
        let look = |said: io::Result<Vec<u8>>| {
            query_time_sync_in(&folder.path().join("no"), NOW, || said).state
        };
        assert_eq!(look(Ok(b"yes\n".to_vec())), TimeSync::Yes);
        assert_eq!(look(Ok(b"no\n".to_vec())), TimeSync::No);
        assert_eq!(look(Ok(Vec::new())), TimeSync::Unknown, "it has no bus");
        assert_eq!(look(Err(io::ErrorKind::NotFound.into())), TimeSync::Unknown);
    }
}
