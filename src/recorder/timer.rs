//! Deadlines: one table of the times at which the recorder must act without an event.
//!
//! A turn serves each deadline that is due in the turn's own order, either with `take_due` before
//! its handler, or with `rearm` by a part that keeps the time itself. A deadline that is due and
//! not served is a programming error: `assert_served` finds it.

use crate::time::MonoTime;

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// The clock is compared, at least once a second.
    Clock,
    /// Lines that waited for an archived record are executed again.
    RetriedLines,
    /// Blackout receipts that wait too long for their sync are replaced.
    Receipts,
    /// Silent sessions and sessions without hello are closed, and those that sent everything.
    Sessions,
    /// The self-test's next part begins, or it is given up.
    SelfTest,
    /// Stale calls end, wrap-ups end, interrupted recordings resume.
    Calls,
    /// Blackout stops that are not durable in time are rolled back.
    PendingStops,
    /// The last typed digit is long enough ago, so that its blackout ends.
    Digits,
    /// More audio is released, or a recording's file is created again.
    Release,
    /// Waiting screen segments are written.
    Screens,
    /// Records expire, and refused removals are retried.
    Retention,
    /// A file without a removed range is put in its place again.
    Redaction,
    /// Closing days is retried.
    Archive,
    /// An orderly stop is given up because the disk has failed.
    Stop,
    /// A deadline of a SIP server: a transaction or a session timer.
    Sip,
    /// A trial shows whether the disk takes new files again.
    NewFiles,
    /// The alarm about missing data keys is raised.
    KeyStock,
    /// Written audio and facts become durable.
    Sync,
    /// Facts are signed.
    Checkpoint,
    /// The free space is read.
    FreeSpace,
    /// A new journal file is tried after a disk failure.
    DiskRetry,
}

const COUNT: usize = Timer::DiskRetry as usize + 1;

/// The deadlines that are set, by timer.
#[derive(Debug, Default)]
pub(super) struct Timers {
    at: [Option<MonoTime>; COUNT],
    /// The timers that were due when the turn began and are not served yet.
    unserved: [bool; COUNT],
}

impl Timers {
    /// Begins a turn: all that is due must be served before `assert_served`. Returns whether
    /// anything is.
    pub fn begin_turn(&mut self, now: MonoTime) -> bool {
        self.unserved = self.at.map(|at| at.is_some_and(|at| at <= now));
        self.unserved.contains(&true)
    }

    /// Sets a deadline, unless an earlier one is set.
    pub fn advance(&mut self, timer: Timer, at: MonoTime) {
        let place = &mut self.at[timer as usize];
        *place = Some(place.map_or(at, |earlier| earlier.min(at)));
    }

    /// Replaces a deadline; `None` stops the timer.
    pub fn set(&mut self, timer: Timer, at: Option<MonoTime>) {
        self.at[timer as usize] = at;
    }

    /// Takes a deadline that is due, to be served at once.
    pub fn take_due(&mut self, timer: Timer, now: MonoTime) -> bool {
        self.unserved[timer as usize] = false;
        self.at[timer as usize].take_if(|at| *at <= now).is_some()
    }

    /// Replaces a deadline after its part did all that was due: the next one is later than `now`.
    pub fn rearm(&mut self, timer: Timer, now: MonoTime, next: Option<MonoTime>) {
        assert!(next.is_none_or(|next| next > now), "{timer:?} is still due");
        self.unserved[timer as usize] = false;
        self.at[timer as usize] = next;
    }

    /// The earliest deadline.
    #[must_use]
    pub fn next_deadline(&self) -> Option<MonoTime> {
        self.at.iter().flatten().min().copied()
    }

    /// Asserts that the turn served what was due when it began.
    pub fn assert_served(&self) {
        assert!(!self.unserved.contains(&true), "not served: {:?} of {:?}", self.unserved, self.at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> MonoTime {
        MonoTime(0).after_ms(ms)
    }

    #[test]
    fn the_earliest_deadline_is_next_and_is_taken_once_when_it_is_due() {
        let mut timers = Timers::default();
        assert_eq!(timers.next_deadline(), None);
        timers.advance(Timer::Receipts, ms(20));
        timers.advance(Timer::Receipts, ms(30));
        timers.advance(Timer::DiskRetry, ms(10));
        assert_eq!(timers.next_deadline(), Some(ms(10)));
        timers.set(Timer::DiskRetry, None);
        timers.begin_turn(ms(19));
        assert!(!timers.take_due(Timer::Receipts, ms(19)));
        timers.assert_served();
        timers.begin_turn(ms(20));
        assert!(timers.take_due(Timer::Receipts, ms(20)));
        assert!(!timers.take_due(Timer::Receipts, ms(20)), "served once");
        timers.assert_served();
        assert_eq!(timers.next_deadline(), None);
    }

    #[test]
    #[should_panic(expected = "not served")]
    fn a_deadline_that_no_part_of_the_turn_serves_is_found() {
        let mut timers = Timers::default();
        timers.advance(Timer::Calls, ms(5));
        timers.begin_turn(ms(5));
        timers.assert_served();
    }

    #[test]
    #[should_panic(expected = "still due")]
    fn a_part_that_would_wake_the_loop_for_ever_is_found() {
        Timers::default().rearm(Timer::Retention, ms(5), Some(ms(5)));
    }
}
