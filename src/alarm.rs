//! Numbered alarms: what is wrong with the box, since when, and whether it still is.
//!
//! A *state* alarm is active until what raised it is over; an *event* alarm until somebody clears
//! it.
//! Numbers are never reused for another meaning; `docs/operations.md` says what to do about each.
//! Nothing here decides that something is wrong.

use crate::time::Wall;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Warning,
    Major,
    Critical,
}

impl Severity {
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Severity::Warning => "warning",
            Severity::Major => "major",
            Severity::Critical => "critical",
        }
    }
}

/// What can be wrong. The discriminant is the alarm's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u16)]
pub enum Code {
    BoardDown = 101,
    Overrun = 102,
    RingFull = 103,
    DiskSlow = 104,
    NoChannel = 201,
    CtiLost = 202,
    StaleCall = 203,
    DuplicateUser = 301,
    Guessing = 302,
    DiskFull = 401,
    DiskFailed = 402,
    NotSealed = 403,
    EraseFailed = 404,
    ClockStep = 501,
    NotLocked = 502,
    Insecure = 503,
    Certificate = 504,
}

/// Everything there is to know of a code: its word, severity, and whether it is a state.
const TABLE: [(Code, &str, Severity, bool); 17] = [
    (Code::BoardDown, "board-down", Severity::Critical, true),
    (Code::Overrun, "overrun", Severity::Major, false),
    (Code::RingFull, "ring-full", Severity::Critical, false),
    (Code::DiskSlow, "disk-slow", Severity::Major, true),
    (Code::NoChannel, "no-channel", Severity::Critical, false),
    (Code::CtiLost, "cti-lost", Severity::Major, true),
    (Code::StaleCall, "stale-call", Severity::Warning, false),
    (Code::DuplicateUser, "duplicate-user", Severity::Warning, false),
    (Code::Guessing, "guessing", Severity::Major, false),
    (Code::DiskFull, "disk-full", Severity::Critical, true),
    (Code::DiskFailed, "disk-failed", Severity::Critical, true),
    (Code::NotSealed, "not-sealed", Severity::Warning, true),
    (Code::EraseFailed, "erase-failed", Severity::Major, true),
    (Code::ClockStep, "clock-step", Severity::Warning, false),
    (Code::NotLocked, "not-locked", Severity::Warning, true),
    (Code::Insecure, "insecure", Severity::Major, true),
    (Code::Certificate, "certificate", Severity::Major, true),
];

impl Code {
    #[must_use]
    pub fn number(self) -> u16 {
        self as u16
    }

    fn row(self) -> &'static (Code, &'static str, Severity, bool) {
        let row = TABLE.iter().find(|row| row.0 == self);
        row.unwrap_or(&TABLE[0])
    }

    #[must_use]
    pub fn word(self) -> &'static str {
        self.row().1
    }

    #[must_use]
    pub fn severity(self) -> Severity {
        self.row().2
    }

    /// Whether it ends by itself when its cause does.
    #[must_use]
    pub fn is_state(self) -> bool {
        self.row().3
    }
}

/// One alarm: the newest text of its code and subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    pub code: Code,
    /// What it is about: a board, a device, a user; empty for the box.
    pub subject: String,
    pub since: Wall,
    pub active: bool,
    pub count: u64,
    pub text: String,
}

/// Alarms kept at once; the oldest resolved one makes room.
const ALARMS_MAX: usize = 128;

/// All alarms, active ones and those resolved lately.
#[derive(Debug, Default)]
pub struct Alarms {
    alarms: Vec<Alarm>,
}

impl Alarms {
    /// Raises an alarm, or counts it once more. Returns whether it is new.
    pub fn raise(&mut self, now: Wall, code: Code, subject: &str, text: String) -> bool {
        let same = |alarm: &&mut Alarm| alarm.code == code && alarm.subject == subject;
        if let Some(alarm) = self.alarms.iter_mut().find(same) {
            let new = !alarm.active;
            if new {
                alarm.since = now;
            }
            (alarm.active, alarm.text) = (true, text);
            alarm.count += 1;
            return new;
        }
        if self.alarms.len() >= ALARMS_MAX {
            let oldest = self.alarms.iter().position(|alarm| !alarm.active).unwrap_or(0);
            self.alarms.remove(oldest);
        }
        let subject = subject.to_string();
        self.alarms.push(Alarm { code, subject, since: now, active: true, count: 1, text });
        true
    }

    /// The cause is over. Returns whether it was active.
    pub fn resolve(&mut self, code: Code, subject: &str) -> bool {
        let same = |alarm: &&mut Alarm| alarm.code == code && alarm.subject == subject;
        let Some(alarm) = self.alarms.iter_mut().find(same) else { return false };
        std::mem::take(&mut alarm.active)
    }

    /// Resolves every event alarm of this number; a state alarm ends only with its cause.
    /// Returns how many there were, or `None` when the number has no event alarm.
    pub fn clear(&mut self, number: u16) -> Option<usize> {
        let code = TABLE.iter().find(|row| row.0.number() == number && !row.3)?.0;
        let mut count = 0;
        for alarm in self.alarms.iter_mut().filter(|alarm| alarm.code == code && alarm.active) {
            alarm.active = false;
            count += 1;
        }
        Some(count)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Alarm> {
        self.alarms.iter()
    }

    #[must_use]
    pub fn active(&self) -> usize {
        self.alarms.iter().filter(|alarm| alarm.active).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h4_alarms_have_numbers_and_end_as_they_should() {
        let mut numbers: Vec<u16> = TABLE.iter().map(|row| row.0.number()).collect();
        numbers.dedup();
        assert_eq!(numbers.len(), TABLE.len());
        let mut alarms = Alarms::default();
        assert!(alarms.raise(Wall(1), Code::Overrun, "demo", "lost 5".into()));
        assert!(!alarms.raise(Wall(2), Code::Overrun, "demo", "lost 9".into()));
        assert!(alarms.raise(Wall(3), Code::BoardDown, "demo", "gone".into()));
        assert_eq!(alarms.clear(Code::BoardDown.number()), None, "a state ends with its cause");
        assert_eq!(alarms.clear(Code::Overrun.number()), Some(1));
        assert_eq!(alarms.active(), 1);
        assert!(alarms.resolve(Code::BoardDown, "demo") && alarms.active() == 0);
    }
}
