//! Clock history: which stamps in the journal are right, and how the others are put right.
//!
//! Every entry has a stamp: the wall clock at its append. That clock may be wrong, so the box also
//! counts the *proven time*, the latest time that has certainly passed. It advances with the
//! monotonic clock while the box runs, and it jumps to the wall clock when a time server or a
//! technician confirms that clock. Records are deleted by the proven time only.
//!
//! A *segment* is a part of the journal in which the wall clock ran evenly: from a start or a step
//! to the next. `lag_ms` is how far its stamps are ahead of the proven time. A segment is pending
//! until the clock is confirmed. The steps of one run are known, so then the stamps of that run are
//! put right exactly. How long the box was off between two runs is not known. So records of earlier
//! runs keep their stamps, and their retention counts as if the box was off before they began,
//! unless a technician vouches for them.
//!
//! This module does not detect steps and does not decide who may confirm (see
//! `recorder::journal::clock`).

use crate::store::fact::{Fact, JournalEntry};
use crate::time::WallTime;
use serde::{Deserialize, Serialize};

/// Longest plausible time between two runs. Above it a clock needs a confirmation.
pub const PLAUSIBLE_GAP_MS: i64 = 86_400_000;
/// How far a plausible clock may be behind the proven time.
pub const PLAUSIBLE_DELAY_MS: i64 = 60_000;
/// No box existed before 2026-01-01, so an earlier clock is wrong.
pub const EARLIEST: WallTime = WallTime(1_767_225_600_000);

/// Most segments that wait for a confirmation, and most corrections. Beyond that the two oldest
/// become one, with the longer retention.
const SEGMENTS_MAX: usize = 256;

/// How the stamps of one record are put right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockCorrection {
    /// Added to stamps of its segment; 0 if the step that followed is not known.
    pub shift_ms: i64,
    /// Added to the end of its retention, to compare it with the proven time.
    pub keep_ms: i64,
    /// Whether the stamps are wrong or may be, and cannot be put right.
    pub is_doubtful: bool,
    /// The first and the last stamp that are shifted.
    first_at: WallTime,
    last_at: WallTime,
}

impl ClockCorrection {
    /// Corrects a stamp of a record. A stamp of another segment stays.
    #[must_use]
    pub fn correct(&self, at: WallTime) -> WallTime {
        let is_same_segment = self.first_at <= at && at <= self.last_at;
        if is_same_segment { WallTime(at.0.saturating_add(self.shift_ms)) } else { at }
    }

    /// When the retention ends, in the proven time.
    #[must_use]
    pub fn retention_end(&self, stamped: WallTime) -> WallTime {
        WallTime(stamped.0.saturating_add(self.keep_ms))
    }

    /// `corrected` or `unconfirmed`; `None` for stamps that are taken as right.
    #[must_use]
    pub fn as_str(&self) -> Option<&'static str> {
        match (self.is_doubtful, self.shift_ms) {
            (true, _) => Some("unconfirmed"),
            (false, 0) => None,
            (false, _) => Some("corrected"),
        }
    }

    /// A correction for both, with the longer retention.
    fn merge(&self, other: &ClockCorrection) -> ClockCorrection {
        let is_same = self.shift_ms == other.shift_ms;
        ClockCorrection {
            shift_ms: if is_same { self.shift_ms } else { 0 },
            keep_ms: self.keep_ms.max(other.keep_ms),
            is_doubtful: self.is_doubtful || other.is_doubtful || !is_same,
            first_at: self.first_at.min(other.first_at),
            last_at: self.last_at.max(other.last_at),
        }
    }
}

/// The correction for the entries `from` to `to`, `to` excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct CorrectedRange {
    from: u64,
    to: u64,
    correction: ClockCorrection,
}

/// A segment that waits for a confirmation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Segment {
    /// Sequence of its first entry.
    from: u64,
    /// The daemon start to which it belongs; 0 for merged segments.
    boot: u32,
    lag_ms: i64,
    is_doubtful: bool,
    first_at: WallTime,
    last_at: WallTime,
}

impl Segment {
    /// The correction until the clock is confirmed. A plausible segment keeps its stamps: that
    /// only lengthens the retention.
    fn pending_correction(&self) -> ClockCorrection {
        let is_used = self.is_doubtful || self.lag_ms < 0;
        let keep_ms = if is_used { self.lag_ms.saturating_neg() } else { 0 };
        self.correct_stamps(0, keep_ms, self.is_doubtful)
    }

    fn correct_stamps(&self, shift_ms: i64, keep_ms: i64, is_doubtful: bool) -> ClockCorrection {
        let none = (WallTime::default(), WallTime::default());
        let (first_at, last_at) = if shift_ms == 0 { none } else { (self.first_at, self.last_at) };
        ClockCorrection { shift_ms, keep_ms, is_doubtful, first_at, last_at }
    }
}

/// What the journal says about the clock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockHistory {
    boot: u32,
    /// Stamp of the newest entry. An interrupted recording's end has the next run's stamp and does
    /// not count.
    last_at: Option<WallTime>,
    /// How far stamps are ahead of the proven time at present.
    lag_ms: i64,
    /// The newest segment is the last one, unless the clock is confirmed.
    pending: Vec<Segment>,
    /// In ascending order.
    ranges: Vec<CorrectedRange>,
}

/// Whether a clock so far ahead of the proven time is plausible.
fn is_plausible(lag_ms: i64) -> bool {
    (-PLAUSIBLE_DELAY_MS..=PLAUSIBLE_GAP_MS).contains(&lag_ms)
}

impl ClockHistory {
    /// Applies an entry. Returns whether corrections of known records changed.
    pub(super) fn apply(&mut self, sequence: u64, entry: &JournalEntry) -> bool {
        match entry.fact {
            Fact::RecordingEnded(_) | Fact::ScreenEnded(_) => return false,
            Fact::BoxStarted { boot, .. } => self.begin_run(sequence, boot, entry.at),
            Fact::ClockStepped { by_ms } => self.apply_step(sequence, by_ms, entry.at),
            Fact::ClockConfirmed { ref technician } => {
                self.apply_confirmation(sequence, technician.is_some());
            }
            _ => {}
        }
        self.last_at = Some(entry.at);
        if let Some(segment) = self.pending.last_mut() {
            segment.last_at = segment.last_at.max(entry.at);
        }
        matches!(entry.fact, Fact::ClockConfirmed { .. })
    }

    fn begin_run(&mut self, sequence: u64, boot: u32, at: WallTime) {
        let was_doubtful = self.pending.last().is_some_and(|segment| segment.is_doubtful);
        self.boot = boot;
        self.push_segment(sequence, was_doubtful || at < EARLIEST, at);
    }

    fn apply_step(&mut self, sequence: u64, by_ms: i64, at: WallTime) {
        let was_doubtful = self.pending.last().is_some_and(|segment| segment.is_doubtful);
        // The gap before a start has the stamp of the start; a step has another one.
        let is_gap = |start: &Segment| start.from + 1 == sequence && start.first_at == at;
        let is_first = self.pending.last().is_some_and(is_gap);
        self.lag_ms = self.lag_ms.saturating_add(by_ms);
        let is_usual = is_plausible(by_ms) && !was_doubtful;
        let is_doubtful = at < EARLIEST || !(is_usual || is_plausible(self.lag_ms));
        // The gap counts for the whole run.
        let from = self.pending.pop_if(|_| is_first).map_or(sequence, |segment| segment.from);
        self.push_segment(from, is_doubtful, at);
    }

    fn push_segment(&mut self, from: u64, is_doubtful: bool, at: WallTime) {
        let (boot, lag_ms) = (self.boot, self.lag_ms);
        if let [.., one, two] = self.pending.as_slice() {
            let is_past = one.boot != boot && two.boot != boot;
            if is_past && (one.lag_ms, one.is_doubtful) == (two.lag_ms, two.is_doubtful) {
                self.merge_pending(self.pending.len() - 2);
            }
        }
        let (first_at, last_at) = (at, at);
        self.pending.push(Segment { from, boot, lag_ms, is_doubtful, first_at, last_at });
        if self.pending.len() > SEGMENTS_MAX {
            self.merge_pending(0);
        }
    }

    /// Merges the pending segment at `place` with the next one.
    fn merge_pending(&mut self, place: usize) {
        let next = self.pending.remove(place + 1);
        let merged = &mut self.pending[place];
        merged.boot = 0;
        merged.lag_ms = merged.lag_ms.min(next.lag_ms);
        merged.is_doubtful |= next.is_doubtful;
        merged.first_at = merged.first_at.min(next.first_at);
        merged.last_at = merged.last_at.max(next.last_at);
    }

    /// The wall clock is right: puts the pending segments right, as far as that is possible.
    ///
    /// A technician vouches for earlier runs too, if the clock of this run needed no step: then the
    /// same clock was plausible in those runs.
    fn apply_confirmation(&mut self, sequence: u64, by_technician: bool) {
        let start = self.pending.iter().find(|segment| segment.boot == self.boot);
        let is_steady = start.is_some_and(|segment| segment.lag_ms == self.lag_ms);
        let vouches = by_technician && is_steady;
        let segments = std::mem::take(&mut self.pending);
        let ends = segments.iter().skip(1).map(|next| next.from).chain([sequence]);
        for (segment, to) in segments.iter().zip(ends) {
            let same_run = segment.boot == self.boot;
            if vouches && !same_run && !segment.is_doubtful {
                continue;
            }
            let keep_ms = self.lag_ms.saturating_sub(segment.lag_ms);
            let shift_ms = if same_run { keep_ms } else { 0 };
            let is_doubtful = segment.is_doubtful && !same_run;
            let correction = segment.correct_stamps(shift_ms, keep_ms, is_doubtful);
            if keep_ms != 0 || correction.is_doubtful {
                self.ranges.push(CorrectedRange { from: segment.from, to, correction });
            }
        }
        while self.ranges.len() > SEGMENTS_MAX {
            let oldest = self.ranges.remove(0);
            let next = &mut self.ranges[0];
            next.from = oldest.from;
            next.correction = next.correction.merge(&oldest.correction);
        }
        self.lag_ms = 0;
    }
}

// Queries.
impl ClockHistory {
    /// The stamp of the newest entry.
    #[must_use]
    pub fn last_stamp(&self) -> Option<WallTime> {
        self.last_at
    }

    /// The proven time at the stamp `at` of the present segment.
    #[must_use]
    pub fn proven_time(&self, at: WallTime) -> WallTime {
        WallTime(at.0.saturating_sub(self.lag_ms))
    }

    /// The proven time at a recent stamp, of whatever segment has it.
    #[must_use]
    pub fn proven_time_of(&self, stamp: WallTime) -> WallTime {
        let mut segments = self.pending.iter().rev();
        let has = |segment: &&Segment| segment.first_at <= stamp && stamp <= segment.last_at;
        if let Some(segment) = segments.find(has) {
            return WallTime(stamp.0.saturating_sub(segment.lag_ms));
        }
        let mut corrected = self.ranges.iter().rev().map(|range| range.correction.correct(stamp));
        corrected.find(|corrected| *corrected != stamp).unwrap_or(stamp)
    }

    /// Whether a time server or a technician confirmed the clock since its last start or step.
    #[must_use]
    pub fn is_confirmed(&self) -> bool {
        self.pending.is_empty()
    }

    /// Whether the clock needs a confirmation: it is implausible, or deletion lags far behind it.
    #[must_use]
    pub fn needs_confirmation(&self) -> bool {
        let doubtful = self.pending.last().is_some_and(|segment| segment.is_doubtful);
        doubtful || (!self.is_confirmed() && !is_plausible(self.lag_ms))
    }

    /// The correction for a record that began with the entry `sequence`.
    #[must_use]
    pub fn correction(&self, sequence: u64) -> ClockCorrection {
        let later = self.pending.partition_point(|segment| segment.from <= sequence);
        if let Some(segment) = later.checked_sub(1).map(|place| self.pending[place]) {
            return segment.pending_correction();
        }
        let later = self.ranges.partition_point(|range| range.from <= sequence);
        let range = later.checked_sub(1).map(|place| self.ranges[place]);
        range.filter(|range| sequence < range.to).map_or_else(Default::default, |r| r.correction)
    }

    /// Translates the end of a retention between the stamps of two entries' segments.
    #[must_use]
    pub fn translate(&self, until: WallTime, from: u64, to: u64) -> WallTime {
        let (from, to) = (self.correction(from), self.correction(to));
        WallTime(until.0.saturating_add(from.keep_ms).saturating_sub(to.keep_ms))
    }

    /// The corrections for the entries `first` to `last`.
    fn corrections(&self, first: u64, last: u64) -> impl Iterator<Item = ClockCorrection> {
        let overlaps = move |range: &&CorrectedRange| range.from <= last && first < range.to;
        let ranges = self.ranges.iter().filter(overlaps).map(|range| range.correction);
        let ends = self.pending.iter().skip(1).map(|next| next.from).chain([u64::MAX]);
        let pending = self.pending.iter().zip(ends);
        let pending = pending.filter(move |(segment, to)| segment.from <= last && first < *to);
        ranges.chain(pending.map(|(segment, _)| segment.pending_correction()))
    }

    /// The smallest `keep_ms` of any record that began with the entries `first` to `last`.
    #[must_use]
    pub fn smallest_keep_ms(&self, first: u64, last: u64) -> i64 {
        let covers = |range: &&CorrectedRange| range.from <= first && last < range.to;
        if let Some(range) = self.ranges.iter().find(covers) {
            return range.correction.keep_ms;
        }
        let whole = self.pending.first().is_some_and(|oldest| oldest.from <= first);
        let least = self.corrections(first, last).map(|one| one.keep_ms).min().unwrap_or(0);
        if whole { least } else { least.min(0) }
    }

    /// Whether the start of any record that began with the entries `first` to `last` was put right.
    #[must_use]
    pub fn has_shifts(&self, first: u64, last: u64) -> bool {
        self.corrections(first, last).any(|one| one.shift_ms != 0)
    }
}

#[cfg(test)]
mod tests;
