//! Connections that are not sessions yet, and the numbers that sessions get.

use crate::shell::net::connection::Connection;
use crate::time::MonoTime;
use mio::Token;

/// The poll token before that of session 1; listeners and boards have lower ones.
pub(in crate::shell) const FIRST_SESSION_TOKEN: usize = 1 << 16;

/// Allocates unique session numbers and the poll tokens of their connections.
#[derive(Debug, Default)]
pub(in crate::shell) struct SessionNumbers {
    last: usize,
}

// 64-bit numbers never run out, however often clients reconnect.
const _: () = assert!(usize::BITS >= 64);

impl SessionNumbers {
    pub fn allocate(&mut self) -> (u64, Token) {
        self.last += 1;
        (self.last as u64, Token(FIRST_SESSION_TOKEN + self.last))
    }

    /// Returns the session number of a token.
    pub fn of(token: usize) -> u64 {
        token.saturating_sub(FIRST_SESSION_TOKEN) as u64
    }
}

/// A connection that is not a session yet.
pub(in crate::shell) struct PendingHandshake {
    pub connection: Connection,
    pub started_at: MonoTime,
    pub from: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h4_session_numbers_go_on_past_32_bits() {
        let mut numbers = SessionNumbers { last: u32::MAX as usize - 1 };
        let allocated: Vec<(u64, Token)> = (0..3).map(|_| numbers.allocate()).collect();
        let wanted = [u64::from(u32::MAX), 1 << 32, (1 << 32) + 1];
        assert_eq!(allocated.iter().map(|(number, _)| *number).collect::<Vec<_>>(), wanted);
        assert!(allocated.iter().all(|(number, token)| SessionNumbers::of(token.0) == *number));
    }
}
