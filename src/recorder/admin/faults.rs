//! Faults of the shell that cost no recording: the log, the listeners, the configuration file.
//!
//! The shell detects each fault and retries. This module raises one alarm for it, and clears the
//! alarm when the cause is over.

use crate::alarm::AlarmCode;
use crate::recorder::Recorder;
use crate::time::{MonoTime, Now};

/// Time between two reports of lost log lines.
const LOG_REPORT_MS: u64 = 1000;

/// A log that lost no line for this long works again.
const LOG_RECOVERY_MS: u64 = 10_000;

/// Lines that the log lost.
#[derive(Debug, Default)]
pub(in crate::recorder) struct LogState {
    lost: u64,
    last_loss: MonoTime,
    is_failing: bool,
}

impl LogState {
    pub fn lost(&self) -> u64 {
        self.lost
    }
}

impl Recorder {
    /// Reports the lines that the log has lost since the start, and whether it still loses lines.
    pub fn set_log_state(&mut self, now: Now, lost: u64, is_failing: bool) {
        let log = &mut self.admin.log;
        let since_ms = now.mono.since_ms(log.last_loss);
        if lost > log.lost && (!log.is_failing || since_ms >= LOG_REPORT_MS) {
            (log.lost, log.last_loss, log.is_failing) = (lost, now.mono, true);
            let text = format!("{lost} log lines are lost, because nothing reads the log");
            self.journal.raise_alarm(now, AlarmCode::LogLost, "", text);
        } else if log.is_failing && !is_failing && since_ms >= LOG_RECOVERY_MS {
            log.is_failing = false;
            log::warn!("the log works again; {lost} lines were lost since the start");
            self.journal.clear_alarm(now, AlarmCode::LogLost, "");
        }
    }

    /// Raises or clears the alarm about a listener; `None`: it is open.
    pub(in crate::recorder) fn set_listener_state(
        &mut self,
        now: Now,
        place: &str,
        trouble: Option<String>,
    ) {
        match trouble {
            Some(text) => self.journal.raise_alarm(now, AlarmCode::ListenerDown, place, text),
            None => self.journal.clear_alarm(now, AlarmCode::ListenerDown, place),
        }
    }

    /// Raises or clears the alarm about the configuration file; `None`: the box runs on it.
    pub fn set_config_trouble(&mut self, now: Now, trouble: Option<String>) {
        match trouble {
            Some(text) => self.journal.raise_alarm(now, AlarmCode::ConfigUnusable, "", text),
            None => self.journal.clear_alarm(now, AlarmCode::ConfigUnusable, ""),
        }
    }

    /// Sets the addresses that the box listens on.
    pub fn set_listen_addresses(&mut self, places: Vec<String>) {
        self.admin.about.places = places;
    }
}
