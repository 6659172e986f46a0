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
    ConsoleDown = 505,
}

/// Everything there is to know of a code.
struct Row {
    code: Code,
    word: &'static str,
    severity: Severity,
    is_state: bool,
    /// What a technician does about it.
    advice: &'static str,
}

const fn state(code: Code, word: &'static str, severity: Severity, advice: &'static str) -> Row {
    Row { code, word, severity, is_state: true, advice }
}

const fn event(code: Code, word: &'static str, severity: Severity, advice: &'static str) -> Row {
    Row { code, word, severity, is_state: false, advice }
}

const TABLE: [Row; 18] = [
    state(
        Code::BoardDown,
        "board-down",
        Severity::Critical,
        "see that the card is plugged in and powered (`arecord -l`); it comes back by itself",
    ),
    event(
        Code::Overrun,
        "overrun",
        Severity::Major,
        "the machine is too slow or too busy: see `stats`; raise `buffer_ms` of the board",
    ),
    event(
        Code::RingFull,
        "ring-full",
        Severity::Critical,
        "audio was lost because the disk did not keep up: see 104, 401, 402",
    ),
    state(
        Code::DiskSlow,
        "disk-slow",
        Severity::Major,
        "look for other programs that write, and at the disk's health (`smartctl`)",
    ),
    event(
        Code::NoChannel,
        "no-channel",
        Severity::Critical,
        "a call has no channel: add its device to a `[[board]]`, or mend the feed",
    ),
    state(
        Code::CtiLost,
        "cti-lost",
        Severity::Major,
        "see that the PBX feed runs and reaches the box; calls go on meanwhile",
    ),
    event(
        Code::StaleCall,
        "stale-call",
        Severity::Warning,
        "the feed forgot to end a call; look at its log",
    ),
    event(
        Code::DuplicateUser,
        "duplicate-user",
        Severity::Warning,
        "give each `[[agent]]` a username of its own; `hushbox check-config` names them",
    ),
    event(
        Code::Guessing,
        "guessing",
        Severity::Major,
        "somebody guesses PINs or codes: see `clients` and the log; the lock ends by itself",
    ),
    state(
        Code::DiskFull,
        "disk-full",
        Severity::Critical,
        "free space, shorten retention, or fit a larger disk; nothing new is recorded",
    ),
    state(
        Code::DiskFailed,
        "disk-failed",
        Severity::Critical,
        "copy the data away and replace the disk; the box records what it still can",
    ),
    state(
        Code::NotSealed,
        "not-sealed",
        Severity::Warning,
        "set `[store] seal = true`; without it recordings lie open on the disk",
    ),
    state(
        Code::EraseFailed,
        "erase-failed",
        Severity::Major,
        "a deleted recording is still on the disk: see the log for why; tried again by itself",
    ),
    event(
        Code::ClockStep,
        "clock-step",
        Severity::Warning,
        "see that time synchronisation runs; if the clock was just set, clear it",
    ),
    state(
        Code::NotLocked,
        "not-locked",
        Severity::Warning,
        "raise the memory lock limit (`LimitMEMLOCK=infinity`), or switch swap off",
    ),
    state(
        Code::Insecure,
        "insecure",
        Severity::Major,
        "use `tls = true` and enrol the workstations",
    ),
    state(
        Code::Certificate,
        "certificate",
        Severity::Major,
        "see that the disk is writable and the clock right; 30 days are left when it begins",
    ),
    state(
        Code::ConsoleDown,
        "console-down",
        Severity::Warning,
        "plug the adapter in, or stop the program that has the port (a getty, perhaps)",
    ),
];

impl Code {
    #[must_use]
    pub fn number(self) -> u16 {
        self as u16
    }

    /// The code with this number.
    #[must_use]
    pub fn of(number: u16) -> Option<Code> {
        TABLE.iter().find(|row| row.code.number() == number).map(|row| row.code)
    }

    /// Every code there is, by number.
    pub fn all() -> impl Iterator<Item = Code> {
        TABLE.iter().map(|row| row.code)
    }

    fn row(self) -> &'static Row {
        let row = TABLE.iter().find(|row| row.code == self);
        row.unwrap_or(&TABLE[0])
    }

    #[must_use]
    pub fn word(self) -> &'static str {
        self.row().word
    }

    #[must_use]
    pub fn severity(self) -> Severity {
        self.row().severity
    }

    /// Whether it ends by itself when its cause does.
    #[must_use]
    pub fn is_state(self) -> bool {
        self.row().is_state
    }

    /// What a technician does about it.
    #[must_use]
    pub fn advice(self) -> &'static str {
        self.row().advice
    }
}

/// All alarms there can be, as the rows of a table in Markdown: `docs/operations.md` has it.
#[must_use]
pub fn markdown() -> String {
    let row = |row: &Row| {
        let kind = if row.is_state { "state" } else { "event" };
        let (number, word, severity) = (row.code.number(), row.word, row.severity.word());
        format!("| {number} | `{word}` | {severity} | {kind} | {} |\n", row.advice)
    };
    TABLE.iter().map(row).collect()
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
        let code = Code::of(number).filter(|code| !code.is_state())?;
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
    fn h2_operations_md_says_what_to_do_about_every_alarm() {
        let document = include_str!("../docs/operations.md");
        let rows = markdown();
        assert!(document.contains(&rows), "docs/operations.md must have these rows:\n{rows}");
    }

    #[test]
    fn h4_alarms_have_numbers_and_end_as_they_should() {
        let mut numbers: Vec<u16> = TABLE.iter().map(|row| row.code.number()).collect();
        numbers.dedup();
        assert_eq!(numbers.len(), TABLE.len());
        assert!(numbers.is_sorted(), "a number twice, or out of order");
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
