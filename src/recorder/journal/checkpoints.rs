//! Checkpoints: when the journal is signed, and what of it may be told.
//!
//! One is due a minute after the last if there were facts, soon after a recording closed or the
//! daemon started, and (at once) where a journal file ends. Only what is durable is told: a witness
//! must never hold a checkpoint that a power cut took back. Of those only the newest counts; each
//! session remembers which one it was told (`news`). Nothing here signs or appends.

use crate::job::Ticket;
use crate::store::fact::Fact;
use crate::store::journal::Checkpoint;
use crate::time::MonoTime;

/// After so long with activity one is due.
const ACTIVE_MS: u64 = 60_000;

/// After a recording closed one is due, but not more often than this.
const CLOSED_MS: u64 = 10_000;

const _: () = assert!(CLOSED_MS < ACTIVE_MS);

/// Which are due, and the newest.
#[derive(Debug, Default)]
pub struct CheckpointSchedule {
    /// There are facts since the newest one.
    on_append: bool,
    /// One of them should be signed soon.
    soon: bool,
    /// When the newest one was made.
    last: Option<MonoTime>,
    /// The newest one, until the sync that makes it durable.
    waiting: Option<(Ticket, Checkpoint)>,
    /// The newest durable one.
    told: Option<Checkpoint>,
}

impl CheckpointSchedule {
    /// A fact was noted.
    pub fn on_append(&mut self, fact: &Fact) {
        self.on_append = true;
        self.soon |= matches!(fact, Fact::RecordingEnded(_) | Fact::BoxStarted { .. });
    }

    /// Whether there is anything to sign.
    #[must_use]
    pub fn has_unsigned(&self) -> bool {
        self.on_append
    }

    /// Whether one should be made now.
    #[must_use]
    pub fn is_due(&self, now: MonoTime) -> bool {
        let pause = if self.soon { CLOSED_MS } else { ACTIVE_MS };
        self.on_append && self.last.is_none_or(|last| now.since_ms(last) >= pause)
    }

    /// One was appended; it is durable after `ticket`.
    pub fn on_checkpoint(&mut self, now: MonoTime, ticket: Ticket, checkpoint: Checkpoint) {
        (self.on_append, self.soon, self.last) = (false, false, Some(now));
        self.waiting = Some((ticket, checkpoint));
    }

    /// Everything up to `ticket` is durable.
    pub fn on_sync(&mut self, durable: Ticket) {
        if let Some((_, checkpoint)) = self.waiting.take_if(|(ticket, _)| *ticket <= durable) {
            self.told = Some(checkpoint);
        }
    }

    /// The newest one that may be told.
    #[must_use]
    pub fn newest(&self) -> Option<&Checkpoint> {
        self.told.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::journal::JournalWriter;
    use crate::store::sign::BoxSigningKey;
    use crate::time::WallTime;

    fn checkpoint() -> Checkpoint {
        let key = BoxSigningKey::from_seed(&[7; 32], "box-01");
        JournalWriter::new().append_checkpoint(&key, WallTime(0), &mut Vec::new())
    }

    fn ended() -> Fact {
        Fact::RecordingEnded(crate::store::fact::RecordingEnded {
            id: crate::id::RecordingId::from_random([1; 10]),
            end: crate::store::fact::RecordingEnd::Stop,
            to: crate::time::Position(0),
            ledger: crate::audio::span::Ledger::default(),
            blackout_spans: Vec::new(),
            digest: [0; 32],
            size: 0,
        })
    }

    #[test]
    fn one_is_due_a_minute_after_the_last_or_soon_after_a_recording_closed() {
        let at = |ms: u64| MonoTime(0).after_ms(ms);
        let mut all = CheckpointSchedule::default();
        assert!(!all.is_due(at(0)), "nothing to sign");
        all.on_append(&Fact::BoxStopped);
        assert!(all.is_due(at(0)), "the first");
        all.on_checkpoint(at(0), Ticket(1), checkpoint());
        assert!(!all.is_due(at(600_000)) && !all.has_unsigned(), "no activity");
        all.on_append(&Fact::BoxStopped);
        assert!(!all.is_due(at(59_999)) && all.is_due(at(60_000)));
        all.on_append(&ended());
        assert!(!all.is_due(at(9_999)) && all.is_due(at(10_000)), "coalesced");
        all.on_checkpoint(at(10_000), Ticket(2), checkpoint());
        all.on_append(&Fact::BoxStopped);
        assert!(!all.is_due(at(69_999)) && all.is_due(at(70_000)));
    }

    #[test]
    fn h5_only_a_durable_checkpoint_is_told() {
        let mut all = CheckpointSchedule::default();
        all.on_checkpoint(MonoTime(0), Ticket(3), checkpoint());
        all.on_sync(Ticket(2));
        assert_eq!(all.newest(), None);
        all.on_sync(Ticket(3));
        assert_eq!(all.newest(), Some(&checkpoint()));
    }
}
