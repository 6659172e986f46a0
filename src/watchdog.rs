//! Progress watchdog: decides whether the service manager's watchdog is fed.
//!
//! A running loop proves nothing; moving audio does. There are three rules:
//!
//! 1. A running board advances within `BOARD_STALL_MS`.
//! 2. A board that is down raises alarm 101 and is retried; it does not restart the daemon, or an
//!    unplugged card would restart it forever. The exception: all boards are down, and one of
//!    them is *silent* for `ALL_SILENT_MS` although it is present and delivered audio in this
//!    run. A restart then loses nothing and may help. After the restart that card has not
//!    delivered audio, so it causes no second restart.
//! 3. Recorded audio is durable within `STORE_LAG_MS` after its holdback, unless the storage is
//!    down or full (alarms 402 and 401).
//!
//! `shell::os::service_manager` sends the notifications.

use crate::time::{MonoTime, Now};

/// A board detects within 3 s that its card is silent and is then down. A longer stall means that
/// the board is no longer polled.
pub const BOARD_STALL_MS: u64 = 10_000;

/// The board retries meanwhile, at least every 30 s.
pub const ALL_SILENT_MS: u64 = 60_000;

/// Far longer than any disk should take, and than the rings last.
pub const STORE_LAG_MS: u64 = 30_000;

/// State of a board, as far as the watchdog is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoardHealth {
    /// Delivers audio, or was just opened.
    Running,
    /// Down: missing, or cannot be opened.
    Down,
    /// Down because it delivers nothing, although it is present.
    Silent,
}

/// State and progress of a board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoardProgress {
    pub health: BoardHealth,
    /// Frames delivered or lost since startup.
    pub position: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StallError {
    #[error("board {number} says that it runs, but has not moved for {ms} ms", number = board + 1)]
    Board { board: usize, ms: u64 },
    #[error("no board gives audio for {ms} ms, and a card that gave some is there, but mute")]
    AllSilent { ms: u64 },
    #[error("audio that left the holdback {ms} ms ago is not on the disk")]
    Store { ms: u64 },
}

#[derive(Clone, Copy, Debug)]
struct BoardHistory {
    position: u64,
    /// Last time it advanced, or startup.
    last_progress: MonoTime,
    /// It has delivered audio in this run.
    has_run: bool,
    is_down: bool,
    is_silent: bool,
}

/// Checks progress periodically.
#[derive(Clone, Debug)]
pub struct ProgressWatchdog {
    boards: Vec<BoardHistory>,
    /// Time since which every board is down.
    all_down_since: Option<MonoTime>,
}

impl ProgressWatchdog {
    /// Creates a watchdog for this number of boards.
    #[must_use]
    pub fn new(now: Now, boards: usize) -> ProgressWatchdog {
        let seen = BoardHistory {
            position: 0,
            last_progress: now.mono,
            has_run: false,
            is_down: false,
            is_silent: false,
        };
        ProgressWatchdog { boards: vec![seen; boards], all_down_since: None }
    }

    /// Checks progress. `behind_ms`: how late audio becomes durable, see
    /// `Recorder::durability_lag_ms`.
    ///
    /// # Errors
    /// What has stalled.
    pub fn check_progress(
        &mut self,
        now: Now,
        boards: impl Iterator<Item = BoardProgress>,
        lag_ms: u64,
    ) -> Result<(), StallError> {
        for (seen, sight) in self.boards.iter_mut().zip(boards) {
            seen.update_from(now.mono, sight);
        }
        if lag_ms > STORE_LAG_MS {
            return Err(StallError::Store { ms: lag_ms });
        }
        for (board, seen) in self.boards.iter().enumerate() {
            let ms = now.mono.since_ms(seen.last_progress);
            if !seen.is_down && ms > BOARD_STALL_MS {
                return Err(StallError::Board { board, ms });
            }
        }
        self.check_all_down(now.mono)
    }

    fn check_all_down(&mut self, now: MonoTime) -> Result<(), StallError> {
        if self.boards.iter().any(|seen| !seen.is_down) {
            self.all_down_since = None;
            return Ok(());
        }
        let since = *self.all_down_since.get_or_insert(now);
        let ms = now.since_ms(since);
        let mute = self.boards.iter().any(|seen| seen.is_silent && seen.has_run);
        if mute && ms > ALL_SILENT_MS { Err(StallError::AllSilent { ms }) } else { Ok(()) }
    }
}

impl BoardHistory {
    fn update_from(&mut self, now: MonoTime, sight: BoardProgress) {
        if sight.position != self.position {
            let BoardHistory {
                position,
                last_progress: moved,
                has_run: ran,
                is_down: out,
                is_silent: mute,
            } = self;
            (*position, *moved, *ran) = (sight.position, now, true);
            (*out, *mute) = (false, false);
        }
        match sight.health {
            // A reopened board counts as down until it delivers audio.
            BoardHealth::Running => {}
            BoardHealth::Down => (self.is_down, self.is_silent) = (true, false),
            BoardHealth::Silent => (self.is_down, self.is_silent) = (true, true),
        }
    }
}

#[cfg(test)]
mod tests;
