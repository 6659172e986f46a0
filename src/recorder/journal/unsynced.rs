//! Journal entries that are not durable yet, kept to be replayed into another file.
//!
//! A sync covers the entries appended before it was requested; later ones wait for the next. After
//! a failed sync the state of the journal's file is unknown. All entries since the last good sync
//! are then written again unchanged, after a header with their start.

use crate::store::day::Locator;
use crate::store::journal::JournalState;
use std::collections::VecDeque;

/// Encoded entries, and their place in the journal.
#[derive(Debug)]
pub struct UnsyncedJournal {
    bytes: Vec<u8>,
    /// Journal state before the first entry.
    base: JournalState,
    /// Bytes that the sync in flight covers, and the journal state after them.
    covered: usize,
    next: JournalState,
    /// Bytes that were durable before the first entry, since the start.
    durable: u64,
    /// Facts among the entries: bytes before each since the start, and its original location.
    positions: VecDeque<(u64, Locator)>,
}

impl UnsyncedJournal {
    /// An empty journal tail at `base`.
    #[must_use]
    pub fn new(base: JournalState) -> UnsyncedJournal {
        let (bytes, places) = (Vec::with_capacity(64 * 1024), VecDeque::new());
        UnsyncedJournal { bytes, base, covered: 0, next: base, durable: 0, positions: places }
    }

    /// Adds appended entries.
    pub fn append(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Records that a sync of all entries so far was requested.
    pub fn on_sync_requested(&mut self, state: JournalState) {
        (self.covered, self.next) = (self.bytes.len(), state);
    }

    /// Drops the entries that a successful sync covered.
    pub fn on_sync(&mut self) {
        self.bytes.drain(..self.covered);
        self.durable += self.covered as u64;
        let durable = self.durable;
        let told = self.positions.partition_point(|(before, _)| *before < durable);
        self.positions.drain(..told);
        (self.covered, self.base) = (0, self.next);
    }

    /// Bytes since the start, including `pending` bytes that are not appended yet.
    #[must_use]
    pub fn end_offset(&self, pending: usize) -> u64 {
        self.durable + (self.bytes.len() + pending) as u64
    }

    /// Records the location of a fact that follows `pending` bytes not appended yet.
    pub fn record_position(&mut self, pending: usize, place: Locator) {
        self.positions.push_back((self.end_offset(pending), place));
    }

    /// Original locations of the facts, and their offsets from the first byte.
    pub fn positions(&self) -> impl Iterator<Item = (Locator, u64)> {
        self.positions.iter().map(|(before, place)| (*place, before - self.durable))
    }

    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Journal state before the first byte.
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
        // A failed sync changes nothing; the next one covers more.
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
