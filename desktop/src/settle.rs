//! When the tray's icon is told of once more.
//!
//! A panel asks for an icon when it is told that there is a new one. One that is told several times
//! in a moment may keep what it asked for first (Xfce's did, for half a minute), so the last of a
//! burst is told again when things have settled. A burst without an end is told of now and then.
//!
//! Nothing here tells anybody, or knows a clock.

/// So long after the last change.
pub const SETTLE_MS: u64 = 1000;
/// So long after the first at the latest.
pub const LATEST_MS: u64 = 5000;

/// Whether something is still to be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settle {
    /// When the first change came that was not told again, and when the last.
    burst: Option<(u64, u64)>,
}

impl Settle {
    /// The icon was changed.
    pub fn changed(&mut self, now_ms: u64) {
        let first = self.burst.map_or(now_ms, |(first, _)| first);
        self.burst = Some((first, now_ms));
    }

    /// When `due` is.
    #[must_use]
    pub fn deadline_ms(&self) -> Option<u64> {
        self.burst.map(|(first, last)| (last + SETTLE_MS).min(first + LATEST_MS))
    }

    /// Whether it is to be told again now; once for each burst.
    pub fn due(&mut self, now_ms: u64) -> bool {
        let due = self.deadline_ms().is_some_and(|deadline| now_ms >= deadline);
        if due {
            self.burst = None;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_told_again_once_when_it_is_over() {
        let mut settle = Settle::default();
        assert_eq!((settle.deadline_ms(), settle.due(0)), (None, false));
        settle.changed(100);
        settle.changed(700);
        assert_eq!(settle.deadline_ms(), Some(1700));
        assert!(!settle.due(1699) && settle.due(1700));
        assert_eq!((settle.deadline_ms(), settle.due(9000)), (None, false), "once");
    }

    #[test]
    fn a_burst_without_an_end_is_told_of_now_and_then() {
        let mut settle = Settle::default();
        let mut told = Vec::new();
        for now_ms in (0..20_000).step_by(500) {
            if settle.due(now_ms) {
                told.push(now_ms);
            }
            settle.changed(now_ms);
        }
        assert_eq!(told, [5000, 10_000, 15_000]);
    }
}
