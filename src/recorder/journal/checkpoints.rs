//! Schedule of checkpoints: when the journal is signed, and which checkpoint may be sent.
//!
//! A checkpoint is due one minute after the last if there are new facts. It is due sooner after a
//! recording closes or the daemon starts, and at once at the end of a journal file. Only durable
//! checkpoints are sent, because a witness must never hold a checkpoint that a power cut removed.
//! Only the newest counts; each session remembers which it was sent (`notify`).

use crate::job::Ticket;
use crate::store::fact::Fact;
use crate::store::journal::Checkpoint;
use crate::time::MonoTime;

/// Interval between checkpoints while there are new facts, in milliseconds.
const ACTIVE_MS: u64 = 60_000;

/// Shortest interval between checkpoints after a recording closed, in milliseconds.
const CLOSED_MS: u64 = 10_000;

const _: () = assert!(CLOSED_MS < ACTIVE_MS);

/// The checkpoints that are due, and the newest one.
#[derive(Debug, Default)]
pub struct CheckpointSchedule {
    /// Whether there are facts since the newest checkpoint.
    on_append: bool,
    /// Whether one of those facts should be signed soon.
    soon: bool,
    /// When the newest checkpoint was made.
    last: Option<MonoTime>,
    /// The newest checkpoint, until its sync is done.
    waiting: Option<(Ticket, Checkpoint)>,
    /// The newest durable checkpoint.
    told: Option<Checkpoint>,
}

impl CheckpointSchedule {
    /// Records that a fact was appended.
    pub fn on_append(&mut self, fact: &Fact) {
        self.on_append = true;
        self.soon |= matches!(fact, Fact::RecordingEnded(_) | Fact::BoxStarted { .. });
    }

    /// Whether there are unsigned facts.
    #[must_use]
    pub fn has_unsigned(&self) -> bool {
        self.on_append
    }

    /// When a checkpoint is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<MonoTime> {
        let pause = if self.soon { CLOSED_MS } else { ACTIVE_MS };
        let due = self.last.map_or(MonoTime(0), |last| last.after_ms(pause));
        self.on_append.then_some(due)
    }

    /// Whether a checkpoint is due.
    #[must_use]
    pub fn is_due(&self, now: MonoTime) -> bool {
        self.next_deadline().is_some_and(|at| at <= now)
    }

    /// Records a checkpoint that becomes durable with `ticket`.
    pub fn on_checkpoint(&mut self, now: MonoTime, ticket: Ticket, checkpoint: Checkpoint) {
        (self.on_append, self.soon, self.last) = (false, false, Some(now));
        self.waiting = Some((ticket, checkpoint));
    }

    /// Records that everything up to `durable` is durable.
    pub fn on_sync(&mut self, durable: Ticket) {
        if let Some((_, checkpoint)) = self.waiting.take_if(|(ticket, _)| *ticket <= durable) {
            self.told = Some(checkpoint);
        }
    }

    /// The newest durable checkpoint.
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
