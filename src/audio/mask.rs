//! Blackout: which stretches of a channel must not be kept.
//!
//! A `Mask` is a short sorted list of position ranges. Positions are audio frames, so a mask is
//! exact to one sample and knows nothing of clocks. Ranges never overlap and never touch: two that
//! touch are one. The last range may be open, "until told otherwise". When the list is full the two
//! ranges that lie closest are joined: a full mask hides too much, never too little.
//!
//! The same list says which stretches of a recording were held. This module does not wipe audio
//! (see `ring`) and does not decide who may ask (see `recorder`).

use crate::time::Position;

/// Ranges a mask can hold before close ones are joined. A ring holds at most a minute (60 s); 64
/// ranges are more than one press a second.
pub const RANGES_MAX: usize = 64;

/// Stands for "until told otherwise".
const OPEN_END: Position = Position(u64::MAX);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct MaskRange {
    from: Position,
    to: Position,
}

/// What is hidden of one channel.
#[derive(Clone, Debug, Default)]
pub struct Mask {
    ranges: heapless::Vec<MaskRange, RANGES_MAX>,
}

impl Mask {
    /// Hides nothing.
    pub const EMPTY: Mask = Mask { ranges: heapless::Vec::new() };

    /// Hides everything from `from` on, until `close`. Asking again for what is hidden changes
    /// nothing.
    pub fn open_at(&mut self, from: Position) {
        self.insert(from, OPEN_END);
    }

    /// Ends the open range at `to`; returns whether there was one. An empty range vanishes.
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

    /// Hides what `other` hides, too.
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

    /// Forgets what ends at or before `before`: nobody will ask again.
    pub fn prune_before(&mut self, before: Position) {
        self.ranges.retain(|range| range.to > before);
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

    /// Where the open range begins.
    #[must_use]
    pub fn open_from(&self) -> Option<Position> {
        self.ranges.last().filter(|last| last.to == OPEN_END).map(|last| last.from)
    }

    /// Whether `at` is hidden, and the first position after it where that changes (none: never).
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

    /// The hidden ranges that meet `from..to`, clipped to it.
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
