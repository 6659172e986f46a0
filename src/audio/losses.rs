//! Losses of one side of a channel that still waits in its ring.
//!
//! A `LossList` is a sorted list of position ranges without overlaps, allocated once. The ring
//! forgets ranges that it no longer holds. Audio that comes late takes its range out again.

use crate::audio::span::LossReason;
use crate::time::Position;
use std::collections::VecDeque;

/// Fewest ranges that a list holds: for boards, which lose rarely and long.
const RANGES_MIN: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LostRange {
    from: Position,
    to: Position,
    reason: LossReason,
}

/// The lost ranges of one side.
#[derive(Debug)]
pub struct LossList {
    ranges: VecDeque<LostRange>,
    capacity: usize,
}

impl LossList {
    /// Creates a list for a ring of this many grid frames. One packet of 20 ms in four may be lost
    /// by itself: twelve times a loss of 2 % that no packet shares with its neighbour.
    #[must_use]
    pub fn for_grid_frames(count: usize) -> LossList {
        let capacity = RANGES_MIN.max(count / 4);
        LossList { ranges: VecDeque::with_capacity(capacity), capacity }
    }

    /// Memory of the list in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        (self.capacity * size_of::<LostRange>()) as u64
    }

    /// Adds a range behind all others. It replaces what is known from `from` on, and reaches at
    /// least as far. Ranges up to `tail` are forgotten. In a full list the last range grows, so the
    /// audio before the new one counts as lost too.
    pub fn add(&mut self, from: Position, to: Position, reason: LossReason, tail: Position) {
        while self.ranges.front().is_some_and(|first| first.to <= tail) {
            self.ranges.pop_front();
        }
        if from >= to {
            return;
        }
        let known = self.ranges.back().map_or(to, |last| last.to);
        let to = to.max(known);
        while self.ranges.back().is_some_and(|last| last.from >= from) {
            self.ranges.pop_back();
        }
        let full = self.ranges.len() == self.capacity;
        match self.ranges.back_mut() {
            Some(last) if full || (last.to >= from && last.reason == reason) => last.to = to,
            last => {
                last.into_iter().for_each(|last| last.to = last.to.min(from));
                self.ranges.push_back(LostRange { from, to, reason });
            }
        }
    }

    /// Why the frame at `at` is lost, if it is, and the next position where that may change.
    #[must_use]
    pub fn state_at(&self, at: Position) -> (Option<LossReason>, Option<Position>) {
        let next = self.ranges.partition_point(|range| range.to <= at);
        match self.ranges.get(next) {
            Some(range) if range.from <= at => (Some(range.reason), Some(range.to)),
            Some(range) => (None, Some(range.from)),
            None => (None, None),
        }
    }

    /// Takes `from..to`, which lies in one range, out of the list. Returns false, and changes
    /// nothing, if the rest needs a place that a full list does not have.
    pub fn take_out(&mut self, from: Position, to: Position) -> bool {
        let index = self.ranges.partition_point(|range| range.to <= from);
        let full = self.ranges.len() == self.capacity;
        let Some(range) = self.ranges.get_mut(index) else { return false };
        if from < range.from || range.to < to || from >= to {
            return false;
        }
        let (before, after) = (range.from < from, to < range.to);
        match (before, after) {
            (false, false) => {
                self.ranges.remove(index);
            }
            (false, true) => range.from = to,
            (true, false) => range.to = from,
            (true, true) if full => return false,
            (true, true) => {
                let rest = LostRange { from: to, ..*range };
                range.to = from;
                self.ranges.insert(index + 1, rest);
            }
        }
        true
    }

    /// Forgets all ranges.
    pub fn clear(&mut self) {
        self.ranges.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NET: LossReason = LossReason::Network;

    fn list_of(ranges: &[(u64, u64)]) -> LossList {
        let mut list = LossList::for_grid_frames(0);
        for (from, to) in ranges {
            list.add(Position(*from), Position(*to), NET, Position(0));
        }
        list
    }

    fn ranges(list: &LossList) -> Vec<(u64, u64)> {
        list.ranges.iter().map(|range| (range.from.0, range.to.0)).collect()
    }

    #[test]
    fn states_are_found_by_position() {
        let list = list_of(&[(10, 20), (30, 40)]);
        let state = |at| list.state_at(Position(at));
        assert_eq!(state(9), (None, Some(Position(10))));
        assert_eq!(state(10), (Some(NET), Some(Position(20))));
        assert_eq!(state(20), (None, Some(Position(30))));
        assert_eq!(state(39), (Some(NET), Some(Position(40))));
        assert_eq!(state(40), (None, None));
    }

    #[test]
    fn ranges_that_touch_become_one_and_a_later_report_replaces_an_earlier() {
        let mut list = list_of(&[(10, 20), (20, 25)]);
        assert_eq!(ranges(&list), [(10, 25)]);
        list.add(Position(22), Position(50), LossReason::Ring, Position(0));
        assert_eq!(ranges(&list), [(10, 22), (22, 50)]);
        list.add(Position(15), Position(60), LossReason::Board, Position(0));
        assert_eq!(ranges(&list), [(10, 15), (15, 60)]);
        list.add(Position(20), Position(30), NET, Position(0));
        assert_eq!(ranges(&list), [(10, 15), (15, 20), (20, 60)], "never too little");
        list.add(Position(70), Position(80), NET, Position(60));
        assert_eq!(ranges(&list), [(70, 80)], "the ring holds the others no more");
    }

    #[test]
    fn late_audio_takes_a_part_out() {
        let mut list = list_of(&[(10, 50)]);
        assert!(list.take_out(Position(20), Position(30)));
        assert_eq!(ranges(&list), [(10, 20), (30, 50)]);
        assert!(list.take_out(Position(10), Position(20)));
        assert!(list.take_out(Position(45), Position(50)));
        assert!(list.take_out(Position(30), Position(31)));
        assert_eq!(ranges(&list), [(31, 45)]);
        for (from, to) in [(30, 32), (44, 46), (0, 1), (60, 70), (35, 35)] {
            assert!(!list.take_out(Position(from), Position(to)), "{from}..{to}");
        }
        assert_eq!(ranges(&list), [(31, 45)]);
    }

    #[test]
    fn a_full_list_counts_too_much_as_lost_and_never_too_little() {
        let mut list = LossList::for_grid_frames(0);
        let wanted: Vec<u64> = (0..200).map(|n| n * 100).collect();
        for from in &wanted {
            list.add(Position(*from), Position(from + 10), NET, Position(0));
        }
        let lost = |at: u64| list.state_at(Position(at)).0.is_some();
        assert!(wanted.iter().all(|from| lost(*from) && lost(from + 9)));
        assert_eq!(list.ranges.len(), RANGES_MIN);
        assert!(!list.take_out(Position(101), Position(102)), "no place for the rest");
        assert!(list.take_out(Position(100), Position(102)));
        assert_eq!(list.ranges.capacity(), RANGES_MIN, "nothing was allocated");
    }

    #[test]
    fn two_percent_of_single_packets_fit_for_the_longest_holdback() {
        let grid_frames = 63_000 / 20;
        let mut list = LossList::for_grid_frames(grid_frames);
        let singles: Vec<u64> = (0..grid_frames as u64).filter(|n| n % 5 == 0).collect();
        for n in &singles {
            list.add(Position(n * 160), Position((n + 1) * 160), NET, Position(0));
        }
        assert!(singles.len() > 9 * grid_frames / 50);
        assert_eq!(list.ranges.len(), singles.len());
    }
}
