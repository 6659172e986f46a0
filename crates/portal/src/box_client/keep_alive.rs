//! Keep-alive of a connection to the recorder.
//!
//! The recorder closes a session that sends nothing for 90 s, so only sent data postpones a ping.
//! If a ping is unanswered when the next one is due, the recorder is considered lost. The caller
//! passes the time.

use std::time::{Duration, Instant};

/// Longest pause between two sent lines.
const PING_INTERVAL: Duration = Duration::from_secs(30);

/// Action to take when the timer fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepAliveAction {
    SendPing,
    /// The last ping was not answered.
    TimedOut,
}

/// Keep-alive state of one connection.
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

    /// When to call `handle_timeout`.
    #[must_use]
    pub fn poll_timeout(&self) -> Instant {
        self.deadline
    }

    /// Postpones the next ping after data was sent, unless a ping is unanswered.
    pub fn on_sent(&mut self, now: Instant) {
        if !self.is_ping_pending {
            self.deadline = now + PING_INTERVAL;
        }
    }

    /// Records the reply to a ping.
    pub fn on_pong(&mut self) {
        self.is_ping_pending = false;
    }

    /// Returns the action that is due.
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
        // Only the recorder sends: a ping still goes out every 30 s.
        for n in 1..=10 {
            assert_eq!(pulse.poll_timeout(), at(30 * n));
            assert_eq!(pulse.handle_timeout(at(30 * n)), KeepAliveAction::SendPing);
            pulse.on_pong();
        }
        // Sent data postpones the ping.
        pulse.on_sent(at(310));
        assert_eq!(pulse.poll_timeout(), at(340));
        assert_eq!(pulse.handle_timeout(at(340)), KeepAliveAction::SendPing);
        // Repeated commands do not hide that the recorder is gone.
        pulse.on_sent(at(360));
        assert_eq!(pulse.poll_timeout(), at(370));
        assert_eq!(pulse.handle_timeout(at(370)), KeepAliveAction::TimedOut);
    }
}
