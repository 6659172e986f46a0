//! Ranges that one leg reported as lost, so that late audio can be matched to them.
//!
//! The list is short and sorted. The oldest range is forgotten when the list is full: its audio
//! stays lost.

use std::ops::Range;

/// Ranges that are remembered.
const RANGES_MAX: usize = 64;

#[derive(Clone, Debug)]
pub(crate) struct LostRanges {
    ranges: Vec<Range<u64>>,
}

impl LostRanges {
    pub fn new() -> LostRanges {
        LostRanges { ranges: Vec::with_capacity(RANGES_MAX) }
    }

    pub fn clear(&mut self) {
        self.ranges.clear();
    }

    /// Remembers a range behind all others. One that begins where the last ends extends it.
    pub fn push(&mut self, range: Range<u64>) {
        match self.ranges.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => self.insert(self.ranges.len(), range),
        }
    }

    /// Forgets what is before `position`.
    pub fn forget_before(&mut self, position: u64) {
        let old = self.ranges.iter().take_while(|range| range.end <= position).count();
        self.ranges.drain(..old);
        if let Some(first) = self.ranges.first_mut() {
            first.start = first.start.max(position);
        }
    }

    /// Removes and returns the first part of `wanted` that is lost.
    pub fn take_first(&mut self, wanted: &Range<u64>) -> Option<Range<u64>> {
        let meets = |range: &Range<u64>| range.start < wanted.end && wanted.start < range.end;
        let index = self.ranges.iter().position(meets)?;
        let whole = self.ranges.remove(index);
        let part = whole.start.max(wanted.start)..whole.end.min(wanted.end);
        if part.end < whole.end {
            self.insert(index, part.end..whole.end);
        }
        if whole.start < part.start {
            self.insert(index, whole.start..part.start);
        }
        Some(part)
    }

    fn insert(&mut self, index: usize, range: Range<u64>) {
        if self.ranges.len() < RANGES_MAX {
            self.ranges.insert(index, range);
        } else if index > 0 {
            self.ranges.remove(0);
            self.ranges.insert(index - 1, range);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_taken_once_and_the_rest_stays() {
        let mut lost = LostRanges::new();
        lost.push(100..160);
        lost.push(160..320);
        lost.push(480..640);
        assert_eq!(lost.take_first(&(150..200)), Some(150..200));
        assert_eq!(lost.take_first(&(150..200)), None);
        assert_eq!(lost.take_first(&(0..1000)), Some(100..150));
        assert_eq!(lost.take_first(&(0..1000)), Some(200..320));
        assert_eq!(lost.take_first(&(0..1000)), Some(480..640));
        assert_eq!(lost.take_first(&(0..1000)), None);
    }

    #[test]
    fn the_oldest_is_forgotten_and_the_list_stays_short() {
        let mut lost = LostRanges::new();
        (0..100).for_each(|n| lost.push(n * 10..n * 10 + 5));
        assert_eq!(lost.ranges.len(), RANGES_MAX);
        assert_eq!(lost.take_first(&(0..100_000)), Some(360..365));
        lost.forget_before(992);
        assert_eq!(lost.take_first(&(0..100_000)), Some(992..995));
        lost.clear();
        assert_eq!(lost.take_first(&(0..100_000)), None);
    }

    #[test]
    fn splitting_a_full_list_forgets_the_oldest_range_only() {
        let mut lost = LostRanges::new();
        (0..64).for_each(|n| lost.push(n * 10..n * 10 + 5));
        assert_eq!(lost.take_first(&(632..633)), Some(632..633));
        assert_eq!(lost.ranges.len(), RANGES_MAX);
        assert_eq!(lost.take_first(&(0..20)), Some(10..15), "the range from 0 is forgotten");
        assert_eq!(lost.take_first(&(630..640)), Some(630..632));
        assert_eq!(lost.take_first(&(630..640)), Some(633..635));
    }
}
