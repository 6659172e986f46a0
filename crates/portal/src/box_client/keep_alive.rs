//! When a connection to the box is kept alive, and when it is given up.
//!
//! The box closes a session that says nothing for 90 s, however much it says itself: so only what
//! is sent counts, and news put nothing off. A ping that is not answered before the next one is due
//! is a box that is lost. This is arithmetic over the time it is given.

use std::time::{Duration, Instant};

/// Something is said at least so often.
const PING_INTERVAL: Duration = Duration::from_secs(30);

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepAliveAction {
    SendPing,
    /// The last one was not answered.
    TimedOut,
}

/// The keeping alive of one connection.
#[derive(Clone, Copy, Debug)]
pub struct KeepAlive {
    deadline: Instant,
    is_ping_pending: bool,
}

impl KeepAlive {
    #[must_use]
    pub fn new(now: Instant) -> KeepAlive {
        KeepAlive { deadline: now + PING_INTERVAL, is_ping_pending: false }
    }

    /// When `beat` is to be asked.
    #[must_use]
    pub fn poll_timeout(&self) -> Instant {
        self.deadline
    }

    /// Something was sent. While a ping waits for its answer that changes nothing.
    pub fn on_sent(&mut self, now: Instant) {
        if !self.is_ping_pending {
            self.deadline = now + PING_INTERVAL;
        }
    }

    /// The ping was answered.
    pub fn on_pong(&mut self) {
        self.is_ping_pending = false;
    }

    /// What to do now that it is due.
    pub fn handle_timeout(&mut self, now: Instant) -> KeepAliveAction {
        if self.is_ping_pending {
            return KeepAliveAction::TimedOut;
        }
        self.is_ping_pending = true;
        self.deadline = now + PING_INTERVAL;
        KeepAliveAction::SendPing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_put_no_ping_off_and_a_ping_without_an_answer_is_a_lost_box() {
        let start = crate::clock::now();
        let at = |s: u64| start + Duration::from_secs(s);
        let mut pulse = KeepAlive::new(start);
        // Nothing is said but by the box, all the time: a ping goes out every 30 s all the same.
        for n in 1..=10 {
            assert_eq!(pulse.poll_timeout(), at(30 * n));
            assert_eq!(pulse.handle_timeout(at(30 * n)), KeepAliveAction::SendPing);
            pulse.on_pong();
        }
        // What is sent puts it off.
        pulse.on_sent(at(310));
        assert_eq!(pulse.poll_timeout(), at(340));
        assert_eq!(pulse.handle_timeout(at(340)), KeepAliveAction::SendPing);
        // An agent who presses again and again does not hide that the box is gone.
        pulse.on_sent(at(360));
        assert_eq!(pulse.poll_timeout(), at(370));
        assert_eq!(pulse.handle_timeout(at(370)), KeepAliveAction::TimedOut);
    }
}
