//! Numbered alarms: what is wrong with the box, since when, and whether it still is.
//!
//! A *state* alarm is active until its cause is over. An *event* alarm is active until a technician
//! clears it, also over restarts. A number never changes its meaning. `docs/operations.md` lists
//! the remedies.
//!
//! This module does not detect faults; the recorder raises and clears alarms.

use crate::store::index::NotedAlarm;
use crate::time::WallTime;

/// How serious an alarm is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Warning,
    Major,
    Critical,
}

impl Severity {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Warning => "warning",
            Severity::Major => "major",
            Severity::Critical => "critical",
        }
    }
}

/// The kinds of alarm. The discriminant is the alarm's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u16)]
pub enum AlarmCode {
    BoardDown = 101,
    Overrun = 102,
    RingFull = 103,
    DiskSlow = 104,
    NoChannel = 201,
    CtiLost = 202,
    StaleCall = 203,
    FeedDetail = 204,
    FeedRefused = 205,
    LongCall = 206,
    SilentCall = 207,
    OneWayAudio = 208,
    SipProblem = 209,
    SipRefused = 210,
    DuplicateUser = 301,
    Guessing = 302,
    LateBlackout = 305,
    SipStranger = 306,
    DiskFull = 401,
    DiskFailed = 402,
    NotSealed = 403,
    EraseFailed = 404,
    NoDataKey = 405,
    NoNewFiles = 406,
    RecipientsChanged = 407,
    ClockStep = 501,
    NotLocked = 502,
    Insecure = 503,
    Certificate = 504,
    ConsoleDown = 505,
    WorkerFailed = 506,
    LogLost = 507,
    ListenerDown = 508,
    ConfigUnusable = 509,
    ClockUnconfirmed = 510,
    RestartNeeded = 511,
    ConfigRefused = 512,
}

/// The table entry of one code.
struct CodeInfo {
    code: AlarmCode,
    word: &'static str,
    severity: Severity,
    is_state: bool,
    /// What is wrong, and what a technician does about it.
    advice: &'static str,
}

const fn state_alarm(
    code: AlarmCode,
    word: &'static str,
    severity: Severity,
    advice: &'static str,
) -> CodeInfo {
    CodeInfo { code, word, severity, is_state: true, advice }
}

const fn event_alarm(
    code: AlarmCode,
    word: &'static str,
    severity: Severity,
    advice: &'static str,
) -> CodeInfo {
    CodeInfo { code, word, severity, is_state: false, advice }
}

const TABLE: [CodeInfo; 37] = [
    state_alarm(
        AlarmCode::BoardDown,
        "board-down",
        Severity::Critical,
        "A sound card delivers no audio, so its channels are not recorded. Check its cable and \
         power, and that `arecord -l` lists it. Recording resumes automatically",
    ),
    event_alarm(
        AlarmCode::Overrun,
        "overrun",
        Severity::Major,
        "Audio was lost: the machine was too busy to read a card, or the card was away (alarm \
         101). See `stats`; stop other programs, or raise the board's `buffer_ms`",
    ),
    event_alarm(
        AlarmCode::RingFull,
        "ring-full",
        Severity::Critical,
        "The disk was too slow or not available, and audio was lost. Act on alarms 104, 401 and \
         402 first",
    ),
    state_alarm(
        AlarmCode::DiskSlow,
        "disk-slow",
        Severity::Major,
        "The disk is too slow; no audio is lost yet. Stop other programs that write to it, and \
         check its health (`smartctl`)",
    ),
    event_alarm(
        AlarmCode::NoChannel,
        "no-channel",
        Severity::Critical,
        "A call was not recorded, because no channel has its device. Add the device to a \
         `[[board]]`, or correct the PBX feed",
    ),
    state_alarm(
        AlarmCode::CtiLost,
        "cti-lost",
        Severity::Major,
        "The PBX feed is disconnected; calls in progress are still recorded. Check that the feed \
         runs and reaches the box",
    ),
    event_alarm(
        AlarmCode::StaleCall,
        "stale-call",
        Severity::Warning,
        "The box ended a call that had no audio and whose `call stop` never came. Check the log of \
         the PBX feed",
    ),
    event_alarm(
        AlarmCode::FeedDetail,
        "feed-detail",
        Severity::Warning,
        "The box shortened or left out a detail of a call that the PBX feed reported; the call is \
         recorded. Correct the feed; the text and the log name the detail",
    ),
    event_alarm(
        AlarmCode::FeedRefused,
        "feed-refused",
        Severity::Major,
        "The box refused a line of the PBX feed, so a call may be missing. Correct the feed; the \
         log has the refused lines, `stats` counts them",
    ),
    event_alarm(
        AlarmCode::LongCall,
        "long-call",
        Severity::Warning,
        "A call has run for 12 hours, or the box ended it at `max_call_s`: its `call stop` was \
         probably lost. Check the log of the PBX feed",
    ),
    state_alarm(
        AlarmCode::SilentCall,
        "silent-call",
        Severity::Major,
        "A call by SIPREC has no audio: no RTP packet has come for 5 s, although nobody holds the \
         call. Check that the recording client reaches the RTP ports of the board (`ports`, \
         `address`) through every firewall; `sip` lists the call",
    ),
    state_alarm(
        AlarmCode::OneWayAudio,
        "one-way-audio",
        Severity::Major,
        "Only one party of a call by SIPREC is recorded: no RTP packet of the other has come for \
         5 s. Check the fork of the recording client; `sip` lists both legs",
    ),
    event_alarm(
        AlarmCode::SipProblem,
        "sip-problem",
        Severity::Warning,
        "A recording client sent SIP, an offer or metadata that the box cannot use; the text says \
         what. A call with bad metadata is recorded without its facts. Correct the recording \
         client, or the board's `codecs` and `srtp`",
    ),
    state_alarm(
        AlarmCode::SipRefused,
        "sip-refused",
        Severity::Critical,
        "The box refuses new calls by SIPREC (503); the text says why. The recording client may \
         use another recorder meanwhile. Raise `calls`, or act on the alarms about disk and board",
    ),
    event_alarm(
        AlarmCode::DuplicateUser,
        "duplicate-user",
        Severity::Warning,
        "Several agents share a username, and none of them can log in. Give each `[[agent]]` its \
         own; `hushbox check-config` lists the duplicates",
    ),
    event_alarm(
        AlarmCode::Guessing,
        "guessing",
        Severity::Major,
        "Too many wrong PINs or enrolment codes; further attempts are locked out. Find the source \
         in `clients` and the log. The lock ends automatically",
    ),
    event_alarm(
        AlarmCode::LateBlackout,
        "late-blackout",
        Severity::Critical,
        "A press for a blackout reached the box too late, and the recording keeps what was said \
         before. The text names the recording and the times. Check the network of the agent's \
         workstation, and let a supervisor listen to these seconds. Who has the permission \
         `redact` can remove them for good, which clears the alarm",
    ),
    event_alarm(
        AlarmCode::SipStranger,
        "sip-stranger",
        Severity::Warning,
        "An address that is not in `peers` sent SIP, and was not answered. If it is a recording \
         client of yours, add it to the `peers` of its board and reload; over TLS, enrol it as \
         `cti`. If not, close the port to it in the firewall",
    ),
    state_alarm(
        AlarmCode::DiskFull,
        "disk-full",
        Severity::Critical,
        "The disk is full, so new recordings are refused. Free space, shorten `retention_days`, or \
         fit a larger disk",
    ),
    state_alarm(
        AlarmCode::DiskFailed,
        "disk-failed",
        Severity::Critical,
        "The disk refuses to store data; the box retries and records what it can. Copy the data to \
         another disk, then replace this one",
    ),
    state_alarm(
        AlarmCode::NotSealed,
        "not-sealed",
        Severity::Warning,
        "Recordings are not encrypted on the disk. Set `[store] seal = true`",
    ),
    state_alarm(
        AlarmCode::EraseFailed,
        "erase-failed",
        Severity::Major,
        "A deleted recording is still on the disk, because its file cannot be removed. Find the \
         reason in the log; the box retries every 5 s",
    ),
    state_alarm(
        AlarmCode::NoDataKey,
        "no-data-key",
        Severity::Critical,
        "The box cannot make data keys, so no recording can begin; running recordings continue. \
         Act on alarm 506. New recordings begin automatically",
    ),
    state_alarm(
        AlarmCode::NoNewFiles,
        "no-new-files",
        Severity::Critical,
        "The disk takes no new file, so no recording can begin; running recordings continue. Read \
         the reason in the text of the alarm: inodes (`df -i`), a quota, or a read-only folder",
    ),
    event_alarm(
        AlarmCode::RecipientsChanged,
        "recipients-changed",
        Severity::Major,
        "A key that recordings were sealed to is no longer in `[store] recipients`; the text names \
         it. If that was not intended, add the key again and reload. Keep its private key as long \
         as its recordings",
    ),
    event_alarm(
        AlarmCode::ClockStep,
        "clock-step",
        Severity::Warning,
        "The clock jumped. Check that time synchronisation runs. If you have just set the clock, \
         no other action is needed",
    ),
    state_alarm(
        AlarmCode::NotLocked,
        "not-locked",
        Severity::Warning,
        "Memory is not locked, so audio and keys may reach the swap space. Set \
         `LimitMEMLOCK=infinity` in the service unit, or switch swap off",
    ),
    state_alarm(
        AlarmCode::Insecure,
        "insecure",
        Severity::Major,
        "The box accepts unencrypted connections from the network. Set `tls = true` instead of \
         `insecure = true`, and enrol the workstations",
    ),
    state_alarm(
        AlarmCode::Certificate,
        "certificate",
        Severity::Major,
        "The box cannot renew its certificate, which expires 30 days after this alarm began. Check \
         that the disk is writable and the clock is right",
    ),
    state_alarm(
        AlarmCode::ConsoleDown,
        "console-down",
        Severity::Warning,
        "A port for the serial console is missing or in use. Plug its adapter in, or stop the \
         program that holds the port (for example a getty)",
    ),
    state_alarm(
        AlarmCode::WorkerFailed,
        "worker-failed",
        Severity::Major,
        "A worker thread of the box fails; the box retries. Read the reason in the text of the \
         alarm, and correct it: memory, threads (`TasksMax`) or the disk",
    ),
    state_alarm(
        AlarmCode::LogLost,
        "log-lost",
        Severity::Warning,
        "Log lines are lost, because nothing reads the log; recordings are not affected. Check \
         `systemctl status systemd-journald` and the disk that it writes to",
    ),
    state_alarm(
        AlarmCode::ListenerDown,
        "listener-down",
        Severity::Major,
        "The box cannot listen on an address or a socket of `[[listen]]`; the others work. Read \
         the reason in the text of the alarm. The box retries at least every 30 s",
    ),
    state_alarm(
        AlarmCode::ConfigUnusable,
        "config-unusable",
        Severity::Major,
        "The configuration file cannot be used, so the box runs on the last one that worked. \
         Correct the file and type `config reload`, or type `config restore`",
    ),
    state_alarm(
        AlarmCode::ClockUnconfirmed,
        "clock-unconfirmed",
        Severity::Major,
        "The clock may be wrong, so recordings are deleted late, never early. Set up a time \
         server; without one compare the clock (`clock show`), set it, and confirm it: `clock \
         confirm DATE`",
    ),
    state_alarm(
        AlarmCode::RestartNeeded,
        "restart-needed",
        Severity::Warning,
        "The configuration file has values that take effect only at a start; the text names the \
         keys. Restart the box in a quiet hour, or put the old values back and reload",
    ),
    state_alarm(
        AlarmCode::ConfigRefused,
        "config-refused",
        Severity::Major,
        "The configuration file has an error and was not loaded; the box would not start with it. \
         Run `hushbox check-config`, correct the file, and reload",
    ),
];

impl AlarmCode {
    #[must_use]
    pub fn number(self) -> u16 {
        self as u16
    }

    /// The code with this number.
    #[must_use]
    pub fn from_number(number: u16) -> Option<AlarmCode> {
        TABLE.iter().find(|row| row.code.number() == number).map(|row| row.code)
    }

    /// All codes, in the order of their numbers.
    pub fn all() -> impl Iterator<Item = AlarmCode> {
        TABLE.iter().map(|row| row.code)
    }

    fn info(self) -> &'static CodeInfo {
        let row = TABLE.iter().find(|row| row.code == self);
        row.unwrap_or(&TABLE[0])
    }

    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.info().word
    }

    #[must_use]
    pub fn severity(self) -> Severity {
        self.info().severity
    }

    /// Whether the alarm ends when its cause ends; otherwise a technician clears it.
    #[must_use]
    pub fn is_state(self) -> bool {
        self.info().is_state
    }

    /// What is wrong, and what a technician does about it.
    #[must_use]
    pub fn advice(self) -> &'static str {
        self.info().advice
    }
}

/// The rows of the alarm table in `docs/operations.md`, in Markdown.
#[must_use]
pub fn render_markdown_rows() -> String {
    let row = |row: &CodeInfo| {
        let kind = if row.is_state { "state" } else { "event" };
        let (number, word, severity) = (row.code.number(), row.word, row.severity.as_str());
        format!("| {number} | `{word}` | {severity} | {kind} | {} |\n", row.advice)
    };
    TABLE.iter().map(row).collect()
}

/// One alarm, with the newest text for its code and subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    pub code: AlarmCode,
    /// The board, device or user that the alarm is about; empty for the box as a whole.
    pub subject: String,
    pub since: WallTime,
    pub is_active: bool,
    pub count: u64,
    pub text: String,
}

/// Alarms in memory at most; a new alarm replaces the oldest resolved one.
const ALARMS_MAX: usize = 128;

/// The active alarms and the recently resolved ones.
#[derive(Debug, Default)]
pub struct Alarms {
    alarms: Vec<Alarm>,
}

impl Alarms {
    /// Raises an alarm, or counts it again if it is active. Returns whether it was inactive.
    pub fn raise(&mut self, now: WallTime, code: AlarmCode, subject: &str, text: String) -> bool {
        let same = |alarm: &&mut Alarm| alarm.code == code && alarm.subject == subject;
        if let Some(alarm) = self.alarms.iter_mut().find(same) {
            let new = !alarm.is_active;
            if new {
                alarm.since = now;
            }
            (alarm.is_active, alarm.text) = (true, text);
            alarm.count += 1;
            return new;
        }
        if self.alarms.len() >= ALARMS_MAX {
            let oldest = self.alarms.iter().position(|alarm| !alarm.is_active).unwrap_or(0);
            self.alarms.remove(oldest);
        }
        let subject = subject.to_string();
        self.alarms.push(Alarm { code, subject, since: now, is_active: true, count: 1, text });
        true
    }

    /// Restores an event alarm that was active when the daemon stopped.
    pub fn restore(&mut self, noted: &NotedAlarm) {
        let code = AlarmCode::from_number(noted.number).filter(|code| !code.is_state());
        if let Some(code) = code.filter(|_| self.alarms.len() < ALARMS_MAX) {
            let (subject, text) = (noted.subject.clone(), noted.text.clone());
            let (since, is_active, count) = (noted.since, true, 1);
            self.alarms.push(Alarm { code, subject, since, is_active, count, text });
        }
    }

    /// Resolves an alarm because its cause is over. Returns whether it was active.
    pub fn resolve(&mut self, code: AlarmCode, subject: &str) -> bool {
        let same = |alarm: &&mut Alarm| alarm.code == code && alarm.subject == subject;
        let Some(alarm) = self.alarms.iter_mut().find(same) else { return false };
        std::mem::take(&mut alarm.is_active)
    }

    /// Resolves all event alarms of this number; a state alarm ends only with its cause.
    /// Returns how many were active, or `None` if the number is not an event alarm.
    pub fn clear(&mut self, number: u16) -> Option<usize> {
        let code = AlarmCode::from_number(number).filter(|code| !code.is_state())?;
        let mut count = 0;
        for alarm in self.alarms.iter_mut().filter(|alarm| alarm.code == code && alarm.is_active) {
            alarm.is_active = false;
            count += 1;
        }
        Some(count)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Alarm> {
        self.alarms.iter()
    }

    #[must_use]
    pub fn active_count(&self) -> usize {
        self.alarms.iter().filter(|alarm| alarm.is_active).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h2_operations_md_says_what_to_do_about_every_alarm() {
        let document = include_str!("../docs/operations.md");
        let rows = render_markdown_rows();
        assert!(document.contains(&rows), "docs/operations.md must have these rows:\n{rows}");
    }

    #[test]
    fn h4_alarms_have_numbers_and_end_as_they_should() {
        let mut numbers: Vec<u16> = TABLE.iter().map(|row| row.code.number()).collect();
        numbers.dedup();
        assert_eq!(numbers.len(), TABLE.len());
        assert!(numbers.is_sorted(), "a number twice, or out of order");
        let mut alarms = Alarms::default();
        assert!(alarms.raise(WallTime(1), AlarmCode::Overrun, "demo", "lost 5".into()));
        assert!(!alarms.raise(WallTime(2), AlarmCode::Overrun, "demo", "lost 9".into()));
        assert!(alarms.raise(WallTime(3), AlarmCode::BoardDown, "demo", "gone".into()));
        assert_eq!(
            alarms.clear(AlarmCode::BoardDown.number()),
            None,
            "a state ends with its cause"
        );
        assert_eq!(alarms.clear(AlarmCode::Overrun.number()), Some(1));
        assert_eq!(alarms.active_count(), 1);
        assert!(alarms.resolve(AlarmCode::BoardDown, "demo") && alarms.active_count() == 0);
    }
}
