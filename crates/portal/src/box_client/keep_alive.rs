//! When a connection to the box is kept alive, and when it is given up.
//!
//! The box closes a session that says nothing for 90 s, however much it says itself: so only what
//! is sent counts, and news put nothing off. A ping that is not answered before the next one is due
//! is a box that is lost. This is arithmetic over the time it is given.

use std::time::{Duration, Instant};

/// Something is said at least so often.
const EVERY: Duration = Duration::from_secs(30);

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    Ping,
    /// The last one was not answered.
    Lost,
}

/// The keeping alive of one connection.
#[derive(Clone, Copy, Debug)]
pub struct Pulse {
    due: Instant,
    waiting: bool,
}

impl Pulse {
    #[must_use]
    pub fn new(now: Instant) -> Pulse {
        Pulse { due: now + EVERY, waiting: false }
    }

    /// When `beat` is to be asked.
    #[must_use]
    pub fn due(&self) -> Instant {
        self.due
    }

    /// Something was sent. While a ping waits for its answer that changes nothing.
    pub fn sent(&mut self, now: Instant) {
        if !self.waiting {
            self.due = now + EVERY;
        }
    }

    /// The ping was answered.
    pub fn answered(&mut self) {
        self.waiting = false;
    }

    /// What to do now that it is due.
    pub fn beat(&mut self, now: Instant) -> Beat {
        if self.waiting {
            return Beat::Lost;
        }
        self.waiting = true;
        self.due = now + EVERY;
        Beat::Ping
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_put_no_ping_off_and_a_ping_without_an_answer_is_a_lost_box() {
        let start = crate::clock::now();
        let at = |s: u64| start + Duration::from_secs(s);
        let mut pulse = Pulse::new(start);
        // Nothing is said but by the box, all the time: a ping goes out every 30 s all the same.
        for n in 1..=10 {
            assert_eq!(pulse.due(), at(30 * n));
            assert_eq!(pulse.beat(at(30 * n)), Beat::Ping);
            pulse.answered();
        }
        // What is sent puts it off.
        pulse.sent(at(310));
        assert_eq!(pulse.due(), at(340));
        assert_eq!(pulse.beat(at(340)), Beat::Ping);
        // An agent who presses again and again does not hide that the box is gone.
        pulse.sent(at(360));
        assert_eq!(pulse.due(), at(370));
        assert_eq!(pulse.beat(at(370)), Beat::Lost);
    }
}
