//! Mask: the ranges of a channel that must not be recorded.
//!
//! A `Mask` is a short sorted list of position ranges. Positions are audio frames, so a mask is
//! exact to one sample and independent of clocks. Ranges never overlap and never touch: touching
//! ranges are joined. The last range may be open-ended. When the list is full, the two closest
//! ranges are joined, so a full mask hides too much rather than too little.
//!
//! The same list also holds the ranges in which a recording was on hold. `ring` wipes the audio,
//! and the recorder decides which client may black out.

use crate::time::Position;

/// Maximum number of ranges before close ones are joined. A ring holds at most 60 s, so 64 ranges
/// allow more than one press a second.
pub const RANGES_MAX: usize = 64;

/// End of an open range.
const OPEN_END: Position = Position(u64::MAX);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct MaskRange {
    from: Position,
    to: Position,
}

/// The hidden ranges of one channel.
#[derive(Clone, Debug, Default)]
pub struct Mask {
    ranges: heapless::Vec<MaskRange, RANGES_MAX>,
}

impl Mask {
    pub const EMPTY: Mask = Mask { ranges: heapless::Vec::new() };

    /// Hides everything from `from` on, until `close_at`. Has no effect if that is already
    /// hidden.
    pub fn open_at(&mut self, from: Position) {
        self.insert(from, OPEN_END);
    }

    /// Closes the open range at `to`. Returns whether there was one. An empty range is removed.
    pub fn close_at(&mut self, to: Position) -> bool {
        match self.ranges.last_mut() {
            Some(last) if last.to == OPEN_END => {
                last.to = to.max(last.from);
                if last.to == last.from {
                    self.ranges.pop();
                }
                true
            }
            _ => false,
        }
    }

    /// Hides `from` (inclusive) to `to` (exclusive).
    pub fn insert(&mut self, from: Position, to: Position) {
        assert!(from <= to);
        if from == to {
            return;
        }
        let mut range = MaskRange { from, to };
        self.ranges.retain(|old| {
            let apart = old.to < range.from || range.to < old.from;
            if !apart {
                range.from = range.from.min(old.from);
                range.to = range.to.max(old.to);
            }
            apart
        });
        if self.ranges.is_full() {
            self.join_closest();
            return self.insert(range.from, range.to);
        }
        let index = self.ranges.iter().position(|old| old.from > range.from);
        let index = index.unwrap_or(self.ranges.len());
        let placed = self.ranges.insert(index, range).is_ok();
        assert!(placed, "there was room");
        self.assert_sorted();
    }

    /// Also hides the ranges of `other`.
    pub fn merge(&mut self, other: &Mask) {
        for range in &other.ranges {
            self.insert(range.from, range.to);
        }
    }

    fn join_closest(&mut self) {
        let gap = |i: &usize| self.ranges[i + 1].from.frames_since(self.ranges[*i].to);
        let Some(i) = (0..self.ranges.len() - 1).min_by_key(gap) else { return };
        self.ranges[i].to = self.ranges[i + 1].to;
        self.ranges.remove(i + 1);
        self.assert_sorted();
    }

    /// Removes ranges that end at or before `before`.
    pub fn prune_before(&mut self, before: Position) {
        self.ranges.retain(|range| range.to > before);
    }

    /// Whether nothing is hidden.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether the next range may join others.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.ranges.is_full()
    }

    #[must_use]
    pub fn is_open(&self) -> bool {
        self.ranges.last().is_some_and(|last| last.to == OPEN_END)
    }

    /// Start of the open range, if there is one.
    #[must_use]
    pub fn open_from(&self) -> Option<Position> {
        self.ranges.last().filter(|last| last.to == OPEN_END).map(|last| last.from)
    }

    /// Returns whether `at` is hidden, and the next position where that changes, if any.
    #[must_use]
    pub fn state_at(&self, at: Position) -> (bool, Option<Position>) {
        for range in &self.ranges {
            if at < range.from {
                return (false, Some(range.from));
            }
            if at < range.to {
                return (true, Some(range.to).filter(|to| *to != OPEN_END));
            }
        }
        (false, None)
    }

    /// Returns the hidden ranges that intersect `from..to`, clipped to it.
    pub fn ranges_within(
        &self,
        from: Position,
        to: Position,
    ) -> impl Iterator<Item = (Position, Position)> + '_ {
        let clipped = self.ranges.iter().map(move |r| (r.from.max(from), r.to.min(to)));
        clipped.filter(|(from, to)| from < to)
    }

    fn assert_sorted(&self) {
        for pair in self.ranges.windows(2) {
            assert!(pair[0].to < pair[1].from, "ranges overlap or touch");
        }
        assert!(self.ranges.iter().all(|range| range.from < range.to), "an empty range");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(at: u64) -> Position {
        Position(at)
    }

    #[test]
    fn an_open_range_hides_until_it_is_closed() {
        let mut mask = Mask::default();
        mask.open_at(position(10));
        mask.open_at(position(15));
        assert_eq!(mask.state_at(position(9)), (false, Some(position(10))));
        assert_eq!(mask.state_at(position(1 << 60)), (true, None));
        assert!(mask.is_open() && mask.open_from() == Some(position(10)));
        assert!(mask.close_at(position(20)));
        assert!(!mask.close_at(position(30)));
        assert_eq!(mask.state_at(position(19)), (true, Some(position(20))));
        assert_eq!(mask.state_at(position(20)), (false, None));
    }

    #[test]
    fn ranges_that_touch_become_one() {
        let mut mask = Mask::default();
        mask.insert(position(10), position(20));
        mask.insert(position(30), position(40));
        mask.insert(position(20), position(30));
        assert_eq!(mask.ranges.len(), 1);
        mask.open_at(position(35));
        assert_eq!(mask.open_from(), Some(position(10)));
        mask.close_at(position(5));
        assert_eq!(mask.ranges.len(), 0, "closing before it began leaves nothing");
    }

    #[test]
    fn a_full_mask_hides_too_much_never_too_little() {
        let mut mask = Mask::default();
        let wanted: Vec<u64> = (0..200).map(|n| n * 100 + n).collect();
        for from in &wanted {
            mask.insert(position(*from), position(from + 10));
        }
        for from in &wanted {
            assert!(
                mask.state_at(position(*from)).0 && mask.state_at(position(from + 9)).0,
                "{from} is not hidden"
            );
        }
        assert!(mask.ranges.len() <= RANGES_MAX);
    }

    #[test]
    fn pruning_keeps_what_can_still_be_asked_for() {
        let mut mask = Mask::default();
        mask.insert(position(0), position(10));
        mask.insert(position(20), position(30));
        mask.prune_before(position(10));
        assert_eq!(
            mask.ranges_within(position(0), position(100)).collect::<Vec<_>>(),
            [(position(20), position(30))]
        );
        assert_eq!(
            mask.ranges_within(position(25), position(27)).collect::<Vec<_>>(),
            [(position(25), position(27))]
        );
    }
}
