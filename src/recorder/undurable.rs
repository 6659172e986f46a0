//! What of the journal is not durable yet, kept to be told again in another file.
//!
//! A sync covers what was there when it was asked for; what is noted meanwhile waits for the next.
//! When a sync fails nothing is known of the journal's file any more, so everything after the last
//! good one is written anew, byte by byte the same, behind a header that says where it begins.

use crate::store::journal::JournalState;

/// Bytes of entries, and where in the journal they begin.
#[derive(Debug)]
pub struct Undurable {
    bytes: Vec<u8>,
    /// Before the first of them.
    base: JournalState,
    /// How many bytes the sync under way covers, and the state behind them.
    covered: usize,
    next: JournalState,
}

impl Undurable {
    /// Nothing yet.
    #[must_use]
    pub fn new(base: JournalState) -> Undurable {
        Undurable { bytes: Vec::with_capacity(64 * 1024), base, covered: 0, next: base }
    }

    /// Entries were appended.
    pub fn append(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// A sync is asked for that covers everything so far.
    pub fn asked(&mut self, state: JournalState) {
        (self.covered, self.next) = (self.bytes.len(), state);
    }

    /// It succeeded.
    pub fn synced(&mut self) {
        self.bytes.drain(..self.covered);
        (self.covered, self.base) = (0, self.next);
    }

    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where the journal stands before the first byte.
    #[must_use]
    pub fn base(&self) -> JournalState {
        self.base
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(sequence: u64) -> JournalState {
        JournalState { sequence, chain: [7; 32] }
    }

    #[test]
    fn a_sync_covers_what_was_there_when_it_was_asked_for() {
        let mut undurable = Undurable::new(state(1));
        undurable.append(b"one");
        undurable.asked(state(2));
        undurable.append(b"two");
        assert_eq!((undurable.bytes(), undurable.base()), (&b"onetwo"[..], state(1)));
        undurable.synced();
        assert_eq!((undurable.bytes(), undurable.base()), (&b"two"[..], state(2)));
        // A sync that fails changes nothing; the next covers more.
        undurable.asked(state(3));
        undurable.append(b"three");
        undurable.asked(state(4));
        undurable.synced();
        assert_eq!((undurable.bytes(), undurable.base()), (&b""[..], state(4)));
    }
}
