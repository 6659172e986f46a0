//! Deletion of records: expired, empty, or on request (H6).
//!
//! A deletion is a fact first. When that is durable, the media file is removed, and with it the
//! only copy of the data key for audio, numbers and fields. The call's numbers are also in the
//! journal, under the recorder's call key. That key is therefore replaced: live calls are noted
//! under a new key, then the old key is deleted. The next start finishes an interrupted deletion.
//!
//! Records expire by the proven time, not by the wall clock (see `clock`). A record without audio
//! that only a schedule wanted is deleted after its call's wrap-up.
//!
//! Protected records, running recordings, and records of calls still in memory are never deleted.

use crate::alarm;
use crate::id::{RecordingId, SessionId};
use crate::job::{DiskError, Job, Ticket};
use crate::limits;
use crate::recorder::session::library::ActorName;
use crate::recorder::session::response::Response;
use crate::recorder::{Output, Recorder};
use crate::store::fact::{CallNumber, Fact};
use crate::store::index::Record;
use crate::store::seal::DataKey;
use crate::time::{MonoTime, Now};
use protocol::{Code, Refusal, reply};
use std::collections::VecDeque;

/// Progress of the replacement of the call key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum CallKeyRotation {
    #[default]
    Idle,
    /// A new key was requested.
    Asked,
    /// Live calls are noted under the new key; the old ones are deleted once this is durable.
    Noted(Ticket),
}

/// Deletions in progress.
#[derive(Debug, Default)]
pub(in crate::recorder) struct Retention {
    /// Files to remove, and the sync to wait for.
    waiting: VecDeque<(Ticket, String)>,
    /// Removals in flight.
    asked: usize,
    /// When to look for expired recordings next (`next`) and when to retry refused removals
    /// (`again`).
    next: MonoTime,
    again: MonoTime,
    rotation: CallKeyRotation,
    /// Whether a deleted recording's numbers are still under the call key.
    rotate: bool,
    /// Calls with lower numbers have nothing under the present call key.
    key_from: CallNumber,
    /// Whether the alarm about an unconfirmed clock is active.
    pub waits_for_clock: bool,
}

impl Retention {
    /// State after a start. `files` may still exist although they were deleted. `noted` is the
    /// ticket of the live calls under a new call key.
    pub fn new(files: Vec<String>, noted: Ticket, key_from: CallNumber) -> Retention {
        Retention {
            waiting: files.into_iter().map(|path| (Ticket(0), path)).collect(),
            rotation: CallKeyRotation::Noted(noted),
            key_from,
            ..Retention::default()
        }
    }

    /// When records may expire, or refused removals are retried.
    pub fn next_deadline(&self) -> Option<MonoTime> {
        let retries = self.rotate || !self.waiting.is_empty();
        Some(if retries { self.next.min(self.again) } else { self.next })
    }

    /// Whether all deleted files are removed.
    fn on_all_removed(&self) -> bool {
        self.waiting.is_empty() && self.asked == 0
    }

    /// Jobs that remove the files whose deletion is durable.
    fn next_removals(&mut self, now: MonoTime, durable: Ticket) -> Vec<Job> {
        let mut jobs = Vec::new();
        while now >= self.again && jobs.len() < limits::DELETIONS_PER_TURN {
            let ready = self.waiting.front().is_some_and(|(after, _)| *after <= durable);
            let next = if ready { self.waiting.pop_front() } else { None };
            let Some((_, path)) = next else { break };
            self.asked += 1;
            jobs.push(Job::Remove { path });
        }
        jobs
    }
}

impl Recorder {
    /// Continues deletions in progress, and looks for expired records.
    pub(in crate::recorder) fn delete_due_records(&mut self, now: Now) {
        if self.journal.storage.is_down() {
            return;
        }
        for job in self.retention.next_removals(now.mono, self.journal.storage.durable_ticket()) {
            self.journal.storage.submit(now.mono, job);
            self.journal.storage.request_sync();
        }
        if self.retention.on_all_removed() {
            self.journal.index.forget_deletions();
        }
        self.rotate_call_key(now);
        let may = !self.journal.storage.slow && !self.admin.is_stopping();
        if !may {
            return self.forget_reader(super::expiry::EXPIRY_READER);
        }
        self.seek_expired(now);
        if self.is_expiry_due(now) {
            self.delete_expired(now);
        }
    }

    /// Deletes some of the expired records, and some of the empty ones.
    fn delete_expired(&mut self, now: Now) {
        let (index, proven) = (&self.journal.index, self.journal.proven_time(now));
        let is_unused = |record: &&Record| !self.is_record_in_use(record);
        let empty = index.empty_records().filter(is_unused).map(|record| (record.id(), None));
        let due = index.expired_records(proven).filter(|record| !record.is_empty());
        let due = due.filter(is_unused).map(|record| (record.id(), Some(record.retention_end())));
        let due: Vec<_> = empty.chain(due).take(limits::DELETIONS_PER_TURN).collect();
        let more = due.len() == limits::DELETIONS_PER_TURN;
        let pause = if more { limits::RETENTION_BACKLOG_MS } else { limits::RETENTION_INTERVAL_MS };
        self.retention.next = now.mono.after_ms(pause);
        for (id, until) in due {
            let why = match until {
                Some(until) => {
                    log::info!("recording {id} is deleted: it was to be kept until {until}");
                    "retention"
                }
                None => {
                    log::info!("recording {id} is deleted: it ended before its first sample");
                    "empty"
                }
            };
            self.erase_record(now, id, why, "box");
        }
    }

    /// Whether this turn looks for expired records.
    pub(in crate::recorder) fn is_expiry_due(&self, now: Now) -> bool {
        now.mono >= self.retention.next
    }

    /// Schedules deletion soon, because the search found an expired record.
    pub(in crate::recorder) fn schedule_expiry(&mut self, now: Now) {
        let soon = now.mono.after_ms(limits::RETENTION_BACKLOG_MS);
        self.retention.next = self.retention.next.min(soon);
    }

    /// Appends a deletion; file and key follow after its sync.
    fn erase_record(&mut self, now: Now, id: RecordingId, why: &str, by: &str) -> Ticket {
        let Some(record) = self.journal.index.record(id) else {
            return self.journal.storage.last_fact_ticket();
        };
        let (path, call) = (record.media_path(), record.began.call.number);
        let screen = record.screen.as_ref().map(|_| record.screen_path());
        let (why, by) = (why.to_string(), by.to_string());
        let ticket = self.journal.append(now, Fact::Deleted { id, why, by });
        // The media file holds the key of everything sealed in the record.
        let files = [Some(path), screen].into_iter().flatten();
        self.retention.waiting.extend(files.map(|path| (ticket, path)));
        self.retention.rotate |= self.call_key.is_some() && call >= self.retention.key_from;
        ticket
    }

    /// Whether a record is still in memory, or its call continues.
    pub(super) fn is_record_in_use(&self, record: &Record) -> bool {
        let known = self.calls.get(record.began.call.number).is_some();
        let held = self.recordings.get(record.id()).is_some()
            || self.screens.has_open_file_of(record.id())
            || self.redactions.is_active_for(record.id());
        known || record.is_running() || held
    }

    /// `delete ID`: on request of a supervisor.
    pub(in crate::recorder) fn delete_record(
        &mut self,
        now: Now,
        id: SessionId,
        word: &str,
    ) -> Result<Response, Refusal> {
        let (record, ActorName(by)) = self.record_and_user(id, word)?;
        let (recording, protected) = (record.id(), record.is_protected);
        if protected {
            let text = "it is under legal hold; `protect ID off` ends that";
            return Err(Refusal::new(Code::Denied, text));
        }
        if self.is_record_in_use(record) {
            let text = "its call is not over, or a range of it is being removed; ask again later";
            return Err(Refusal::new(Code::Busy, text));
        }
        self.require_disk()?;
        log::info!("recording {recording} is deleted on request of {by}");
        let ticket = self.erase_record(now, recording, "request", &by);
        let mut bytes = Vec::new();
        reply::begin_ok(&mut bytes).pair("recording", recording).end();
        // The file is removed after the fact is durable; the next sync covers the removal.
        Ok(Response::after_sync(Ticket(ticket.0 + 1), bytes))
    }

    /// Handles the result of a file's removal.
    pub(in crate::recorder) fn handle_removal(
        &mut self,
        now: Now,
        path: String,
        result: Result<(), DiskError>,
    ) {
        self.retention.asked = self.retention.asked.saturating_sub(1);
        match result {
            Ok(()) => {
                self.journal.storage.request_space();
                self.journal.clear_alarm(now, alarm::AlarmCode::EraseFailed, "");
            }
            Err(error) => {
                let text = format!(
                    "{path} of a deleted recording cannot be removed: {error}; the box tries again"
                );
                self.journal.raise_alarm(now, alarm::AlarmCode::EraseFailed, "", text);
                self.retention.waiting.push_back((Ticket(0), path));
                self.retention.again = now.mono.after_ms(limits::REMOVE_RETRY_MS);
            }
        }
    }

    /// Handles the free space. Below the reserve, deletion speeds up. With nothing left to delete,
    /// new recordings are refused.
    pub(in crate::recorder) fn check_disk_space(&mut self, now: Now) {
        let reserve = u64::from(self.config.store.reserve_mb) << 20;
        let low = self.journal.storage.total_bytes > 0 && self.journal.storage.free_bytes < reserve;
        let proven = self.journal.proven_time(now);
        let mut due = self
            .journal
            .index
            .expired_records(proven)
            .filter(|record| !self.is_record_in_use(record));
        let hope = low && !self.journal.storage.slow;
        let found = due.next().is_some();
        drop(due);
        let hope =
            hope && (!self.retention.on_all_removed() || found || self.may_have_expired(now));
        if hope {
            self.retention.next = now.mono;
        }
        let full = low && !hope;
        if full && !self.journal.storage.full {
            let text = format!(
                "less than {} MB are free: new recordings are refused",
                self.config.store.reserve_mb
            );
            self.journal.raise_alarm(now, alarm::AlarmCode::DiskFull, "", text);
        } else if !full && self.journal.storage.full {
            self.journal.clear_alarm(now, alarm::AlarmCode::DiskFull, "");
        }
        let freed = self.journal.storage.full && !full;
        self.journal.storage.full = full;
        if freed {
            self.resume_interrupted(now);
        }
    }

    /// Replaces the call key after a recording with numbers under it was deleted.
    fn rotate_call_key(&mut self, now: Now) {
        match self.retention.rotation {
            CallKeyRotation::Noted(ticket) if ticket <= self.journal.storage.durable_ticket() => {
                self.outputs.push_back(Output::ForgetCallKeys);
                self.retention.rotation = CallKeyRotation::Idle;
            }
            CallKeyRotation::Idle if self.retention.rotate && now.mono >= self.retention.again => {
                self.retention.rotate = false;
                self.retention.rotation = CallKeyRotation::Asked;
                self.outputs.push_back(Output::NewCallKey);
            }
            CallKeyRotation::Idle | CallKeyRotation::Asked | CallKeyRotation::Noted(_) => {}
        }
    }

    /// Installs the new call key, stored beside the old ones; `None` if it could not be written.
    pub(in crate::recorder) fn install_call_key(&mut self, now: Now, key: Option<DataKey>) {
        let Some(key) = key else {
            self.retention.rotation = CallKeyRotation::Idle;
            self.retention.rotate = true;
            self.retention.again = now.mono.after_ms(limits::REMOVE_RETRY_MS);
            return;
        };
        self.call_key = Some(key);
        let live: Vec<CallNumber> = self.calls.live_calls().map(|call| call.number).collect();
        self.retention.key_from = self.calls.first_live_number();
        for number in live {
            self.append_call_fact(now, number, false);
        }
        self.note_all_dialogs(now);
        self.retention.rotation = CallKeyRotation::Noted(self.journal.storage.last_fact_ticket());
    }
}
