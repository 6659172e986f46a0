//! Balloons: what is said to the agent in passing, one per topic, never a flood.
//!
//! A balloon replaces the last one of its topic, it is not stacked on it. Urgent ones, and all
//! about the blackout, are always shown at once; of the others at most `BURST` come in a row and
//! then one per `PAUSE_MS`, and what is held back is replaced by what is newer.
//!
//! Nothing here shows anything, or knows a clock: the time is an argument, milliseconds.

use std::collections::BTreeMap;

/// So many may come in a row.
pub const BURST: u32 = 4;
/// Then one comes after so many milliseconds.
pub const PAUSE_MS: u64 = 1500;

/// What a balloon is about; each topic has one place on the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// The connection to the box.
    Link,
    Recording,
    Blackout,
    Screen,
    /// Field updates, and commands that were refused.
    Answer,
}

impl Topic {
    /// Each of them.
    pub const ALL: [Topic; 5] =
        [Topic::Link, Topic::Recording, Topic::Blackout, Topic::Screen, Topic::Answer];
}

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    Low,
    Normal,
    /// It stays until it is replaced or clicked away, and is never held back.
    Urgent,
}

/// One balloon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balloon {
    pub topic: Topic,
    pub urgency: Urgency,
    pub title: String,
    pub body: String,
}

impl Balloon {
    /// A usual one.
    #[must_use]
    pub fn new(topic: Topic, title: impl Into<String>, body: impl Into<String>) -> Balloon {
        let (title, body) = (title.into(), body.into());
        Balloon { topic, urgency: Urgency::Normal, title, body }
    }

    /// The same, that may go by unseen.
    #[must_use]
    pub fn low(self) -> Balloon {
        Balloon { urgency: Urgency::Low, ..self }
    }

    /// The same, that must be seen.
    #[must_use]
    pub fn urgent(self) -> Balloon {
        Balloon { urgency: Urgency::Urgent, ..self }
    }
}

/// What was shown and what waits.
#[derive(Clone, Debug)]
pub struct Balloons {
    /// How many may still come in a row.
    left: u32,
    /// When the last of `left` was given back.
    since_ms: u64,
    held: BTreeMap<Topic, Balloon>,
}

impl Default for Balloons {
    fn default() -> Balloons {
        Balloons { left: BURST, since_ms: 0, held: BTreeMap::new() }
    }
}

impl Balloons {
    /// Takes one; gives it back if it is to be shown now, else keeps it for `due`.
    pub fn offer(&mut self, now_ms: u64, balloon: Balloon) -> Option<Balloon> {
        self.refill(now_ms);
        self.held.remove(&balloon.topic);
        if balloon.urgency == Urgency::Urgent || balloon.topic == Topic::Blackout {
            return Some(balloon);
        }
        if self.left == 0 {
            self.held.insert(balloon.topic, balloon);
            return None;
        }
        self.left -= 1;
        Some(balloon)
    }

    /// One that was held back and may be shown now.
    pub fn due(&mut self, now_ms: u64) -> Option<Balloon> {
        self.refill(now_ms);
        if self.left == 0 {
            return None;
        }
        let (_, balloon) = self.held.pop_first()?;
        self.left -= 1;
        Some(balloon)
    }

    /// When `due` has something.
    #[must_use]
    pub fn deadline_ms(&self) -> Option<u64> {
        (!self.held.is_empty()).then(|| self.since_ms + PAUSE_MS)
    }

    fn refill(&mut self, now_ms: u64) {
        if self.left == BURST {
            self.since_ms = now_ms;
            return;
        }
        let back = now_ms.saturating_sub(self.since_ms) / PAUSE_MS;
        let taken = u64::from(BURST - self.left);
        if back >= taken {
            (self.left, self.since_ms) = (BURST, now_ms);
        } else {
            self.left += u32::try_from(back).unwrap_or(BURST);
            self.since_ms += back * PAUSE_MS;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(topic: Topic, n: u32) -> Balloon {
        Balloon::new(topic, n.to_string(), "")
    }

    #[test]
    fn a_flood_is_held_back_and_only_the_newest_of_a_topic_comes() {
        let mut balloons = Balloons::default();
        let shown = (0..100).filter(|n| balloons.offer(1000, one(Topic::Link, *n)).is_some());
        assert_eq!(shown.count(), 4);
        assert_eq!(balloons.due(1000), None);
        let next = balloons.deadline_ms().expect("something waits");
        assert_eq!(next, 2500);
        assert_eq!(balloons.due(next - 1), None);
        assert_eq!(balloons.due(next), Some(one(Topic::Link, 99)));
        assert_eq!((balloons.due(next), balloons.deadline_ms()), (None, None));
    }

    #[test]
    fn urgent_ones_are_never_held_back() {
        let mut balloons = Balloons::default();
        for n in 0..100 {
            let urgent = one(Topic::Blackout, n).urgent();
            assert_eq!(balloons.offer(5, urgent.clone()), Some(urgent));
        }
        for n in 0..5 {
            balloons.offer(5, one(Topic::Recording, n));
        }
        assert!(balloons.deadline_ms().is_some());
        assert!(balloons.offer(5, one(Topic::Recording, 9).urgent()).is_some());
        assert_eq!(balloons.deadline_ms(), None, "what is older than what was shown is dropped");
    }

    #[test]
    fn after_a_pause_a_burst_is_allowed_again() {
        let mut balloons = Balloons::default();
        for n in 0..4 {
            assert!(balloons.offer(0, one(Topic::Link, n)).is_some());
        }
        assert!(balloons.offer(PAUSE_MS, one(Topic::Link, 5)).is_some());
        assert!(balloons.offer(PAUSE_MS, one(Topic::Link, 6)).is_none());
        let later = PAUSE_MS * 100;
        let shown = (0..9).filter(|n| balloons.offer(later, one(Topic::Screen, *n)).is_some());
        assert_eq!(shown.count(), 4);
    }
}
