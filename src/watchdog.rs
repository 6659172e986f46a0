//! The pulse: whether the box does what it is there for, so that its watchdog may be fed.
//!
//! A loop that turns proves nothing; audio that moves does. Three rules:
//!
//! 1. A board that is not out moves on within `BOARD_MS`.
//! 2. A board that is out is alarm 101, tried again by itself, and not waited for: a card that was
//!    pulled must not restart the box for ever. But when every board is out, and one of them is
//!    *mute* (it is there, is opened, gives nothing, and gave audio in this run) for `MUTE_MS`, a
//!    restart costs nothing and may mend it. After that start it has given nothing yet, so the
//!    same card does not restart the box again.
//! 3. What is recorded is durable within `STORE_MS` after it left the holdback, unless the storage
//!    is down or full: those are alarms 402 and 401, with rules of their own.
//!
//! Nothing here tells anybody (see `shell::notify`), and nothing here mends anything.

use crate::time::{Mono, Now};

/// A board sees for itself within 3 s that its card is silent, and is out then; longer than that
/// means that nobody looks any more.
pub const BOARD_MS: u64 = 10_000;

/// The board tries again and again meanwhile, up to every 30 s.
pub const MUTE_MS: u64 = 60_000;

/// Far longer than any disk should take, and than the rings last.
pub const STORE_MS: u64 = 30_000;

/// How a board is, for this purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It gives audio, or has just been opened.
    In,
    /// It is out: not there, or not to be opened.
    Out,
    /// It is out, because nothing comes from it, although it is there.
    Mute,
}

/// What can be seen of a board now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sight {
    pub health: Health,
    /// Frames it gave or lost since the start.
    pub position: u64,
}

/// Why the watchdog is not fed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stall {
    #[error("board {number} says that it runs, but has not moved for {ms} ms", number = board + 1)]
    Board { board: usize, ms: u64 },
    #[error("no board gives audio for {ms} ms, and a card that gave some is there, but mute")]
    Mute { ms: u64 },
    #[error("audio that left the holdback {ms} ms ago is not on the disk")]
    Store { ms: u64 },
}

/// What is remembered of a board.
#[derive(Clone, Copy, Debug)]
struct Seen {
    position: u64,
    /// When it moved last, or the start.
    moved: Mono,
    /// It has given audio in this run.
    ran: bool,
    out: bool,
    mute: bool,
}

/// Looks at the box again and again.
#[derive(Clone, Debug)]
pub struct Pulse {
    boards: Vec<Seen>,
    /// Since when every board is out.
    all_out: Option<Mono>,
}

impl Pulse {
    /// Of a box with so many boards, that starts now.
    #[must_use]
    pub fn new(now: Now, boards: usize) -> Pulse {
        let seen = Seen { position: 0, moved: now.mono, ran: false, out: false, mute: false };
        Pulse { boards: vec![seen; boards], all_out: None }
    }

    /// Looks. `behind_ms`: how much later than it should audio becomes durable, see
    /// `Recorder::behind_ms`.
    ///
    /// # Errors
    /// What stands still.
    pub fn look(
        &mut self,
        now: Now,
        boards: impl Iterator<Item = Sight>,
        behind_ms: u64,
    ) -> Result<(), Stall> {
        for (seen, sight) in self.boards.iter_mut().zip(boards) {
            seen.see(now.mono, sight);
        }
        if behind_ms > STORE_MS {
            return Err(Stall::Store { ms: behind_ms });
        }
        for (board, seen) in self.boards.iter().enumerate() {
            let ms = now.mono.since_ms(seen.moved);
            if !seen.out && ms > BOARD_MS {
                return Err(Stall::Board { board, ms });
            }
        }
        self.look_at_all(now.mono)
    }

    /// The second rule.
    fn look_at_all(&mut self, now: Mono) -> Result<(), Stall> {
        if self.boards.iter().any(|seen| !seen.out) {
            self.all_out = None;
            return Ok(());
        }
        let since = *self.all_out.get_or_insert(now);
        let ms = now.since_ms(since);
        let mute = self.boards.iter().any(|seen| seen.mute && seen.ran);
        if mute && ms > MUTE_MS { Err(Stall::Mute { ms }) } else { Ok(()) }
    }
}

impl Seen {
    fn see(&mut self, now: Mono, sight: Sight) {
        if sight.position != self.position {
            let Seen { position, moved, ran, out, mute } = self;
            (*position, *moved, *ran) = (sight.position, now, true);
            (*out, *mute) = (false, false);
        }
        match sight.health {
            // One that was opened again is out until something comes from it.
            Health::In => {}
            Health::Out => (self.out, self.mute) = (true, false),
            Health::Mute => (self.out, self.mute) = (true, true),
        }
    }
}

#[cfg(test)]
mod tests;
