//! The pulse: whether the box does what it is there for, so that its watchdog may be fed.
//!
//! A loop that turns proves nothing; audio that moves does. Three rules:
//!
//! 1. A board that is not out moves on within `BOARD_STALL_MS`.
//! 2. A board that is out is alarm 101, tried again by itself, and not waited for: a card that was
//!    pulled must not restart the box for ever. But when every board is out, and one of them is
//!    *mute* (it is there, is opened, gives nothing, and gave audio in this run) for `ALL_SILENT_MS`, a
//!    restart costs nothing and may mend it. After that start it has given nothing yet, so the
//!    same card does not restart the box again.
//! 3. What is recorded is durable within `STORE_LAG_MS` after it left the holdback, unless the storage
//!    is down or full: those are alarms 402 and 401, with rules of their own.
//!
//! Nothing here tells anybody (see `shell::notify`), and nothing here mends anything.

use crate::time::{MonoTime, Now};

/// A board sees for itself within 3 s that its card is silent, and is out then; longer than that
/// means that nobody looks any more.
pub const BOARD_STALL_MS: u64 = 10_000;

/// The board tries again and again meanwhile, up to every 30 s.
pub const ALL_SILENT_MS: u64 = 60_000;

/// Far longer than any disk should take, and than the rings last.
pub const STORE_LAG_MS: u64 = 30_000;

/// How a board is, for this purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoardHealth {
    /// It gives audio, or has just been opened.
    Running,
    /// It is out: not there, or not to be opened.
    Down,
    /// It is out, because nothing comes from it, although it is there.
    Silent,
}

/// What can be seen of a board now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoardProgress {
    pub health: BoardHealth,
    /// Frames it gave or lost since the start.
    pub position: u64,
}

/// Why the watchdog is not fed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StallError {
    #[error("board {number} says that it runs, but has not moved for {ms} ms", number = board + 1)]
    Board { board: usize, ms: u64 },
    #[error("no board gives audio for {ms} ms, and a card that gave some is there, but mute")]
    AllSilent { ms: u64 },
    #[error("audio that left the holdback {ms} ms ago is not on the disk")]
    Store { ms: u64 },
}

/// What is remembered of a board.
#[derive(Clone, Copy, Debug)]
struct BoardHistory {
    position: u64,
    /// When it moved last, or the start.
    last_progress: MonoTime,
    /// It has given audio in this run.
    has_run: bool,
    is_down: bool,
    is_silent: bool,
}

/// Looks at the box again and again.
#[derive(Clone, Debug)]
pub struct ProgressWatchdog {
    boards: Vec<BoardHistory>,
    /// Since when every board is out.
    all_down_since: Option<MonoTime>,
}

impl ProgressWatchdog {
    /// Of a box with so many boards, that starts now.
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

    /// Looks. `behind_ms`: how much later than it should audio becomes durable, see
    /// `Recorder::behind_ms`.
    ///
    /// # Errors
    /// What stands still.
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

    /// The second rule.
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
            // One that was opened again is out until something comes from it.
            BoardHealth::Running => {}
            BoardHealth::Down => (self.is_down, self.is_silent) = (true, false),
            BoardHealth::Silent => (self.is_down, self.is_silent) = (true, true),
        }
    }
}

#[cfg(test)]
mod tests;
