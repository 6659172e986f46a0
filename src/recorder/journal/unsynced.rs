//! What of the journal is not durable yet, kept to be told again in another file.
//!
//! A sync covers what was there when it was asked for; what is noted meanwhile waits for the next.
//! When a sync fails nothing is known of the journal's file any more, so everything after the last
//! good one is written anew, byte by byte the same, behind a header that says where it begins.

use crate::store::day::Locator;
use crate::store::journal::JournalState;
use std::collections::VecDeque;

/// Bytes of entries, and where in the journal they begin.
#[derive(Debug)]
pub struct UnsyncedJournal {
    bytes: Vec<u8>,
    /// Before the first of them.
    base: JournalState,
    /// How many bytes the sync under way covers, and the state behind them.
    covered: usize,
    next: JournalState,
    /// How many bytes were durable before the first of them, since the start.
    durable: u64,
    /// Facts among the bytes, by how many bytes came before since the start, and where they stood.
    positions: VecDeque<(u64, Locator)>,
}

impl UnsyncedJournal {
    /// Nothing yet.
    #[must_use]
    pub fn new(base: JournalState) -> UnsyncedJournal {
        let (bytes, places) = (Vec::with_capacity(64 * 1024), VecDeque::new());
        UnsyncedJournal { bytes, base, covered: 0, next: base, durable: 0, positions: places }
    }

    /// Entries were appended.
    pub fn append(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// A sync is asked for that covers everything so far.
    pub fn on_sync_requested(&mut self, state: JournalState) {
        (self.covered, self.next) = (self.bytes.len(), state);
    }

    /// It succeeded.
    pub fn on_sync(&mut self) {
        self.bytes.drain(..self.covered);
        self.durable += self.covered as u64;
        let durable = self.durable;
        let told = self.positions.partition_point(|(before, _)| *before < durable);
        self.positions.drain(..told);
        (self.covered, self.base) = (0, self.next);
    }

    /// How many bytes there were since the start, and so many more that are still to be appended.
    #[must_use]
    pub fn end_offset(&self, pending: usize) -> u64 {
        self.durable + (self.bytes.len() + pending) as u64
    }

    /// A fact stands at `place`, behind so many bytes that are still to be appended.
    pub fn record_position(&mut self, pending: usize, place: Locator) {
        self.positions.push_back((self.end_offset(pending), place));
    }

    /// Where the facts stood when they were noted, and how far behind the first byte they stand.
    pub fn positions(&self) -> impl Iterator<Item = (Locator, u64)> {
        self.positions.iter().map(|(before, place)| (*place, before - self.durable))
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
        let mut undurable = UnsyncedJournal::new(state(1));
        undurable.append(b"one");
        undurable.on_sync_requested(state(2));
        undurable.append(b"two");
        assert_eq!((undurable.bytes(), undurable.base()), (&b"onetwo"[..], state(1)));
        undurable.on_sync();
        assert_eq!((undurable.bytes(), undurable.base()), (&b"two"[..], state(2)));
        // A sync that fails changes nothing; the next covers more.
        undurable.on_sync_requested(state(3));
        undurable.append(b"three");
        undurable.on_sync_requested(state(4));
        undurable.on_sync();
        assert_eq!((undurable.bytes(), undurable.base()), (&b""[..], state(4)));
    }

    #[test]
    fn it_knows_where_facts_stood_that_are_not_durable() {
        let mut undurable = UnsyncedJournal::new(state(1));
        let place = |at| Locator { at, ..Locator::default() };
        undurable.record_position(0, place(72));
        undurable.append(b"one");
        undurable.on_sync_requested(state(2));
        undurable.record_position(0, place(75));
        undurable.record_position(4, place(79));
        undurable.append(b"four+five");
        let all: Vec<_> = undurable.positions().collect();
        assert_eq!(all, [(place(72), 0), (place(75), 3), (place(79), 7)]);
        undurable.on_sync();
        let all: Vec<_> = undurable.positions().collect();
        assert_eq!((all, undurable.end_offset(2)), (vec![(place(75), 0), (place(79), 4)], 14));
    }
}
