//! The wall clock: notes its steps, and computes the proven time, by which records are deleted.
//!
//! The monotonic clock shows how far the wall clock should have moved. A difference is a step,
//! which becomes a fact before any other fact gets a stamp of the new clock. After a step and after
//! a start the clock is unconfirmed until the system reports a synchronised clock or a technician
//! confirms it. The index derives everything else from these facts (see `store::index::clock`).

use crate::alarm::AlarmCode;
use crate::limits;
use crate::recorder::journal::Journal;
use crate::recorder::session::response::Response;
use crate::recorder::{Recorder, TimeSync, TimeSyncReport};
use crate::store::fact::Fact;
use crate::store::index::Index;
use crate::time::{MonoTime, Now, WallTime};
use protocol::{Code, Refusal, reply};

/// The time since the last start or step, in which both clocks ran evenly.
#[derive(Clone, Copy, Debug)]
pub(in crate::recorder) struct ClockSegment {
    /// Both clocks at one moment of the segment.
    base: Now,
    since: MonoTime,
}

impl ClockSegment {
    pub fn new(now: Now) -> ClockSegment {
        ClockSegment { base: now, since: MonoTime(0) }
    }

    /// The wall time that the monotonic clock implies.
    fn implied_wall(&self, mono: MonoTime) -> WallTime {
        let passed = i64::try_from(mono.since_ms(self.base.mono)).unwrap_or(i64::MAX);
        WallTime(self.base.wall.0.saturating_add(passed))
    }

    /// Begins a new segment if the wall clock stepped. Returns the size of the step.
    fn take_step(&mut self, now: Now) -> Option<i64> {
        let by_ms = now.wall.0.saturating_sub(self.implied_wall(now.mono).0);
        let is_step = by_ms.unsigned_abs() >= limits::CLOCK_STEP_MS;
        is_step.then(|| {
            *self = ClockSegment { base: now, since: now.mono };
            by_ms
        })
    }
}

/// The fact about the time between the newest entry and a start, unless that is short.
pub(in crate::recorder) fn start_gap(index: &Index, now: Now) -> Option<Fact> {
    let by_ms = now.wall.0.saturating_sub(index.clock().last_stamp()?.0);
    (by_ms.unsigned_abs() >= limits::START_GAP_MS).then_some(Fact::ClockStepped { by_ms })
}

impl Journal {
    /// Notes a step of the clock; call before an entry gets its stamp.
    pub fn note_clock_step(&mut self, now: Now) {
        if let Some(by_ms) = self.clock.take_step(now) {
            log::warn!("the clock stepped by {by_ms} ms");
            self.storage.append(&mut self.index, now, Fact::ClockStepped { by_ms });
        }
    }

    /// The latest time that has certainly passed. Records are deleted by it.
    #[must_use]
    pub fn proven_time(&self, now: Now) -> WallTime {
        self.index.clock().proven_time(self.clock.implied_wall(now.mono))
    }

    /// Notes that the clock is right, unless that is known.
    fn confirm_clock(&mut self, now: Now, technician: Option<String>) {
        self.clock.base = now;
        if self.index.clock().is_confirmed() {
            return;
        }
        let (by, proven) = (technician.as_deref(), self.index.clock().proven_time(now.wall));
        let by = by.unwrap_or("its synchronisation");
        log::warn!("the clock is confirmed by {by}: {}; proven so far: {proven}", now.wall);
        self.append(now, Fact::ClockConfirmed { technician });
    }
}

impl Recorder {
    /// Notes a step of the clock, and raises or clears the alarm about an unconfirmed clock.
    pub(in crate::recorder) fn check_clock(&mut self, now: Now) {
        self.journal.note_clock_step(now);
        let is_needed = self.journal.index.clock().needs_confirmation();
        if is_needed == self.retention.waits_for_clock {
            return;
        }
        self.retention.waits_for_clock = is_needed;
        if !is_needed {
            return self.journal.clear_alarm(now, AlarmCode::ClockUnconfirmed, "");
        }
        let (wall, proven) = (now.wall, self.journal.proven_time(now));
        let text = format!(
            "The clock says {wall}, but by the journal only {proven} has certainly passed. \
             Deletion goes by the latter until a time server sets the clock, or a technician \
             confirms it: `clock confirm DATE` with today's date"
        );
        self.journal.raise_alarm(now, AlarmCode::ClockUnconfirmed, "", text);
    }

    /// Takes in what the system says about its clock; the shell calls this repeatedly.
    pub fn handle_time_sync(&mut self, now: Now, report: TimeSyncReport) {
        self.set_time_sync(report.state);
        if self.journal.storage.is_closing() || report.state != TimeSync::Yes {
            return;
        }
        self.journal.note_clock_step(now);
        // A synchronisation before the step says nothing about the clock after it.
        if report.at >= self.journal.clock.since {
            self.journal.confirm_clock(now, None);
        }
    }

    /// `clock show`: the wall clock, the proven time, and whether the clock is confirmed.
    pub(in crate::recorder) fn report_clock(&self, now: Now) -> Response {
        let clock = self.journal.index.clock();
        let state = match (clock.is_confirmed(), clock.needs_confirmation()) {
            (true, _) => "confirmed",
            (false, false) => "plausible",
            (false, true) => "unconfirmed",
        };
        let mut bytes = Vec::new();
        let row = reply::begin_row(&mut bytes).pair("time", now.wall);
        let row = row.pair("local_time", now.wall.to_local(&self.config.time_zone));
        let row = row.pair("proven", self.journal.proven_time(now)).pair("state", state);
        row.pair("time_sync", self.admin.about.time_sync.as_str()).end();
        reply::begin_ok(&mut bytes).end();
        Response::immediate(bytes)
    }

    /// `clock confirm DATE`: a technician confirms the clock. The date shows that the technician
    /// compared the clock with another one.
    pub(in crate::recorder) fn confirm_clock_by(
        &mut self,
        now: Now,
        date: &str,
        by: String,
    ) -> Result<Response, Refusal> {
        let local = now.wall.to_local(&self.config.time_zone);
        if local.split('T').next() != Some(date) {
            let text = format!(
                "the clock of the box says {local}, not {date}; set the clock first, or give its \
                 date as YYYY-MM-DD"
            );
            return Err(Refusal::new(Code::BadArgument, text));
        }
        self.require_disk()?;
        self.journal.confirm_clock(now, Some(by));
        let mut bytes = Vec::new();
        reply::begin_ok(&mut bytes).pair("time", now.wall).end();
        Ok(Response::after_sync(self.journal.storage.last_fact_ticket(), bytes))
    }
}
