//! What serves technicians and administrators: status, self-test, setup, enrolment, and the stop.

pub(super) mod about;
pub(super) mod enrolment;
pub(super) mod faults;
pub(super) mod meters;
pub(super) mod reload;
pub(super) mod selftest;
pub(super) mod setup;
pub(super) mod status;

use crate::limits;
use crate::recorder::calls::feed::FeedCounters;
use crate::time::MonoTime;
use about::BoxInfo;
use enrolment::Enrolment;
use faults::LogState;
use selftest::SelfTests;
use status::Counters;

/// The state of the box's administration.
pub(super) struct Admin {
    pub about: BoxInfo,
    pub selftests: SelfTests,
    pub enrolment: Enrolment,
    pub counters: Counters,
    pub log: LogState,
    pub feeds: FeedCounters,
    /// When an orderly stop was requested.
    stop_asked: Option<MonoTime>,
    /// Whether all files are closed and durable, and the recorder has reported that to the shell.
    pub is_stopped: bool,
    /// Whether the machine restarts after the stop.
    pub reboots: bool,
}

impl Admin {
    pub fn new(boards: usize) -> Admin {
        Admin {
            about: BoxInfo::default(),
            selftests: SelfTests::new(boards),
            enrolment: Enrolment::default(),
            counters: Counters::default(),
            log: LogState::default(),
            feeds: FeedCounters::default(),
            stop_asked: None,
            is_stopped: false,
            reboots: false,
        }
    }

    /// Whether an orderly stop was requested.
    pub fn is_stopping(&self) -> bool {
        self.stop_asked.is_some()
    }

    pub fn request_stop(&mut self, now: MonoTime) {
        self.stop_asked.get_or_insert(now);
    }

    /// When an orderly stop is given up if the disk has failed.
    pub fn stop_deadline(&self) -> Option<MonoTime> {
        self.stop_asked.map(|at| at.after_ms(limits::PENDING_STOP_TIMEOUT_MS))
    }
}
