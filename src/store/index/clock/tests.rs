//! Clock history tests: short journals with wrong clocks, and what becomes of their stamps.

use super::*;

const DAY_MS: i64 = 86_400_000;
/// 2026-11-22.
const REAL: i64 = 1_795_348_800_000;

/// A history, and the sequence of the next entry.
struct History(ClockHistory, u64);

impl History {
    fn new() -> History {
        History(ClockHistory::default(), 1)
    }

    /// Appends a fact at this stamp and returns its sequence.
    fn append(&mut self, at: i64, fact: Fact) -> u64 {
        self.0.apply(self.1, &JournalEntry { at: WallTime(at), fact });
        self.1 += 1;
        self.1 - 1
    }

    /// A start of the daemon, as the recorder notes it.
    fn start(&mut self, boot: u32, at: i64) {
        let last = self.0.last_stamp();
        self.append(at, Fact::BoxStarted { boot, version: "1".into(), rates: vec![8000] });
        if let Some(last) = last.filter(|last| *last != WallTime(at)) {
            self.append(at, Fact::ClockStepped { by_ms: at - last.0 });
        }
    }

    fn step(&mut self, at: i64, by_ms: i64) {
        self.append(at, Fact::ClockStepped { by_ms });
    }

    fn confirm(&mut self, at: i64) {
        self.append(at, Fact::ClockConfirmed { technician: None });
    }

    fn confirm_by_technician(&mut self, at: i64) {
        self.append(at, Fact::ClockConfirmed { technician: Some("field".into()) });
    }

    /// Any other entry.
    fn note(&mut self, at: i64) -> u64 {
        self.append(at, Fact::ConfigChanged { what: String::new(), by: String::new() })
    }

    /// Shift and longer retention of what began with this entry, and the word for its stamps.
    fn correction(&self, sequence: u64) -> (i64, i64, Option<&'static str>) {
        let found = self.0.correction(sequence);
        (found.shift_ms, found.keep_ms, found.as_str())
    }

    fn proven(&self, at: i64) -> i64 {
        self.0.proven_time(WallTime(at)).0
    }
}

#[test]
fn h6_time_between_two_runs_counts_as_passed_once_confirmed() {
    let mut history = History::new();
    history.start(1, REAL);
    let before = history.note(REAL + 1000);
    history.start(2, REAL + DAY_MS / 2);
    assert_eq!(history.proven(REAL + DAY_MS / 2), REAL + 1000);
    assert!(!history.0.needs_confirmation(), "half a day is plausible");
    let after = history.note(REAL + DAY_MS / 2 + 5);
    assert_eq!(history.correction(after), (0, 0, None));
    history.confirm(REAL + DAY_MS / 2 + 10);
    assert_eq!(history.proven(REAL + DAY_MS), REAL + DAY_MS);
    // The box may have been off before the first run, not after it.
    assert_eq!(history.correction(before), (0, DAY_MS / 2 - 1000, None));
    assert_eq!(history.correction(after), (0, 0, None));
    let later = history.note(REAL + DAY_MS);
    assert_eq!(history.correction(later), (0, 0, None));
}

#[test]
fn h6_technician_vouches_for_plausible_runs_unless_the_clock_was_set() {
    let mut steady = History::new();
    steady.start(1, REAL);
    let before = steady.note(REAL + 1000);
    steady.start(2, REAL + 40 * DAY_MS);
    let mut set = History(steady.0.clone(), steady.1);
    steady.confirm_by_technician(REAL + 40 * DAY_MS + 5);
    assert_eq!(steady.correction(before), (0, 0, None));
    set.step(REAL + 50 * DAY_MS, 10 * DAY_MS);
    set.confirm_by_technician(REAL + 50 * DAY_MS + 5);
    assert_eq!(set.correction(before), (0, 50 * DAY_MS - 1000, None));
    // The step is the first thing after a start whose clock had stood still.
    let mut stood_still = History::new();
    stood_still.start(1, REAL);
    let before = stood_still.note(REAL + 1000);
    stood_still.start(2, REAL + 1000);
    stood_still.step(REAL + 50 * DAY_MS, 50 * DAY_MS - 1000);
    stood_still.confirm_by_technician(REAL + 50 * DAY_MS);
    assert_eq!(stood_still.correction(before), (0, 50 * DAY_MS - 1000, None));
}

#[test]
fn h6_confirmed_runs_are_not_changed_by_later_ones() {
    let mut history = History::new();
    history.start(1, REAL);
    history.confirm(REAL + 1);
    let right = history.note(REAL + 2);
    history.step(5000, 5000 - REAL - 2);
    let wrong = history.note(6000);
    assert_eq!(history.correction(wrong), (0, REAL + 2 - 5000, Some("unconfirmed")));
    assert_eq!(history.proven(6000), REAL + 1002);
    history.step(REAL + 1003, REAL - 5000 + 3);
    history.confirm(REAL + 1004);
    assert_eq!(history.correction(right), (0, 0, None));
    let by_ms = REAL + 3 - 5000;
    assert_eq!(history.correction(wrong), (by_ms, by_ms, Some("corrected")));
    let correction = history.0.correction(wrong);
    assert_eq!(correction.correct(WallTime(6000)), WallTime(6000 + by_ms));
    assert_eq!(correction.correct(WallTime(REAL)), WallTime(REAL), "a stamp of another segment");
    assert_eq!(history.0.proven_time_of(WallTime(6000)), WallTime(6000 + by_ms));
    assert_eq!(history.0.proven_time_of(WallTime(REAL)), WallTime(REAL));
    assert!(history.0.has_shifts(wrong, wrong) && !history.0.has_shifts(right, right));
}

#[test]
fn h6_clock_that_stays_wrong_over_restarts_stays_doubtful() {
    let mut history = History::new();
    history.start(1, REAL);
    history.start(2, REAL + 40 * DAY_MS);
    assert!(history.0.needs_confirmation());
    history.start(3, REAL + 40 * DAY_MS + 1000);
    assert!(history.0.needs_confirmation());
    let ahead = history.note(REAL + 40 * DAY_MS + 2000);
    assert_eq!(history.correction(ahead).2, Some("unconfirmed"));
    // With the right clock again there is nothing to confirm.
    history.start(4, REAL + 3000);
    assert!(!history.0.needs_confirmation() && !history.0.is_confirmed());
    history.start(5, 5000);
    assert!(history.0.needs_confirmation(), "1970");
}

#[test]
fn h6_end_of_an_interrupted_recording_has_the_next_runs_stamp() {
    let mut history = History::new();
    history.start(1, REAL);
    let ended = crate::store::fact::RecordingEnded {
        id: crate::id::RecordingId::from_random([1; 10]),
        end: crate::store::fact::RecordingEnd::Power,
        to: crate::time::Position(0),
        ledger: crate::audio::span::Ledger::default(),
        blackout_spans: Vec::new(),
        digest: [0; 32],
        size: 0,
    };
    history.append(REAL + 40 * DAY_MS, Fact::RecordingEnded(ended));
    assert_eq!(history.0.last_stamp(), Some(WallTime(REAL)));
}

#[test]
fn h6_retention_is_translated_between_clocks() {
    let mut history = History::new();
    history.start(1, REAL);
    history.confirm(REAL);
    history.step(5000, 5000 - REAL);
    let wrong = history.note(5000);
    history.step(REAL, REAL - 5000);
    history.confirm(REAL);
    let right = history.note(REAL + 1);
    let translated = history.0.translate(WallTime(REAL + DAY_MS), right, wrong);
    assert_eq!(translated, WallTime(5000 + DAY_MS));
    assert_eq!(history.0.smallest_keep_ms(wrong, wrong), REAL - 5000);
    assert_eq!(history.0.smallest_keep_ms(1, right), 0, "others are not corrected");
}

#[test]
fn h6_history_is_bounded_and_only_ever_keeps_longer() {
    let mut history = History::new();
    let mut noted = Vec::new();
    for boot in 1..2000 {
        let at = REAL + i64::from(boot) * DAY_MS;
        history.start(boot, at);
        noted.push(history.note(at + 5000));
        if boot % 3 == 0 {
            history.confirm(at + 6000);
        }
    }
    assert!(history.0.pending.len() <= SEGMENTS_MAX && history.0.ranges.len() <= SEGMENTS_MAX);
    let keep = |sequence: &u64| history.correction(*sequence).1;
    assert!(noted.iter().all(|sequence| keep(sequence) >= 0));
    let mut unconfirmed = History::new();
    let early = {
        unconfirmed.start(1, REAL);
        unconfirmed.note(REAL + 1)
    };
    (2..2000).for_each(|boot| unconfirmed.start(boot, REAL + i64::from(boot) * DAY_MS));
    assert!(unconfirmed.0.pending.len() <= SEGMENTS_MAX);
    unconfirmed.confirm(REAL + 2000 * DAY_MS);
    assert!(unconfirmed.correction(early).1 >= 1990 * DAY_MS);
}
