//! Media files of recordings: create, write, close, and replace after a failure.
//!
//! A file is certain up to its last `Watermark`, the last chunk that a sync covered. Later chunks
//! stay in memory until then. A failed file is never written again: its record ends at the
//! watermark. Everything after it, masks and held spans included, moves to a new recording of the
//! call under a new data key. A recording's end is therefore noted only when its trailer is
//! durable. `journal` decides when the disk has failed.

use crate::alarm::{self, Alarm};
use crate::audio::channel::Channel;
use crate::audio::span::LossReason;
use crate::id::RecordingId;
use crate::job::{Completion, DiskError, FileId, Job, Ticket};
use crate::limits;
use crate::recorder::journal::{Journal, StorageEvent};
use crate::recorder::recording::interrupted::InterruptedRecording;
use crate::recorder::recording::lifecycle::{RecordingParts, RecordingRequest};
use crate::recorder::recording::table::{RecordingKey, Recordings};
use crate::recorder::recording::{PendingCreate, Watermark};
use crate::recorder::{Chunk, Recorder, Recording, RecordingWriter};
use crate::store::fact::{Fact, RecordReason, RecordReasons, RecordingEnd, RecordingEnded};
use crate::store::layout;
use crate::store::media::SpanAccumulator;
use crate::store::seal::{self, DataKey};
use crate::time::{Now, Position, ms_of_frames};
use crate::trace::TraceEvent;
use protocol::{Code, Refusal, reply};

/// Subject of alarms about writing, as opposed to free space.
const WRITING: &str = "write";

/// The result of a job on a file that may be a recording's.
#[derive(Clone, Copy)]
struct FileResult {
    file: FileId,
    result: Result<(), DiskError>,
    /// Whether the file was created, or else written.
    is_creation: bool,
}

impl FileResult {
    fn from_completion(done: &Completion) -> Option<FileResult> {
        match done {
            Completion::Opened { file, result } => {
                Some(FileResult { file: *file, result: *result, is_creation: true })
            }
            Completion::Appended { file, result, .. } => {
                Some(FileResult { file: *file, result: *result, is_creation: false })
            }
            _ => None,
        }
    }
}

/// What the recorder decides on after a file's job failed.
enum FileFailure {
    Create(RecordingKey, DiskError),
    Write(RecordingKey, DiskError),
}

impl Recordings {
    /// Handles the result of a job on a recording's file; a failure is for the recorder.
    fn handle_file_result(&mut self, done: FileResult) -> Option<FileFailure> {
        let key = self.key_of_file(done.file)?;
        match (done.result, done.is_creation) {
            (Err(error), true) => Some(FileFailure::Create(key, error)),
            (Err(error), false) => Some(FileFailure::Write(key, error)),
            (Ok(()), true) => {
                self.writer_mut(key)?.opening = None;
                None
            }
            (Ok(()), false) => None,
        }
    }

    /// Creates a file again after a pause: nothing was written to it yet.
    fn retry_file(&mut self, now: Now, key: RecordingKey, file: FileId) {
        let Some(writer) = self.writer_mut(key) else { return };
        writer.unsynced.clear();
        if let Some(opening) = writer.opening.as_mut() {
            opening.asked = false;
            opening.at = now.mono.after_ms(limits::DISK_RETRY_MS);
        }
        self.assign_file(key, file);
    }

    /// Advances watermarks after a sync; `begins` gets each recording whose first part is durable
    /// now. Returns the recordings whose whole file is durable.
    fn advance_watermarks(
        &mut self,
        durable: Ticket,
        mut begins: impl FnMut(RecordingId),
    ) -> Vec<RecordingKey> {
        let mut complete = Vec::new();
        for (key, recording) in &mut self.all {
            let Some(writer) = recording.writer.as_mut() else { continue };
            while writer.unsynced.front().is_some_and(|written| written.after <= durable) {
                let Some(written) = writer.unsynced.pop_front() else { break };
                if writer.durable.size == 0 {
                    begins(recording.id);
                }
                writer.durable = written.mark;
                let runs = written.chunk.iter().flat_map(|chunk| &chunk.runs);
                runs.for_each(|run| writer.durable_spans.add_run(*run));
                if self.spare_chunks.len() < self.spare_chunks.capacity() {
                    self.spare_chunks.extend(written.chunk.map(Chunk::into_cleared));
                }
            }
            if writer.finished.is_some() && writer.unsynced.is_empty() {
                complete.push(*key);
            }
        }
        complete
    }

    /// Notes the end of a recording whose whole file is durable.
    fn append_end(
        &mut self,
        now: Now,
        key: RecordingKey,
        journal: &mut Journal,
        channels: &[Channel],
    ) {
        let Some(writer) = self.take_writer(key) else { return };
        let Some(recording) = self.all.get_mut(&key) else { return };
        let Some(finished) = writer.finished else { return };
        let ended = RecordingEnded {
            id: recording.id,
            end: finished.end,
            to: finished.to,
            ledger: finished.ledger,
            blackout_spans: writer.durable_spans.spans().to_vec(),
            digest: finished.digest,
            size: finished.size,
        };
        assert_eq!(writer.durable.size, finished.size, "the trailer is durable");
        assert_eq!(writer.durable_spans.ledger(), finished.ledger, "every run is in the file");
        recording.closed = true;
        let (id, why) = (recording.id, finished.end.as_str());
        let rate = channels[recording.channel.0].rate;
        let stored_ms = ms_of_frames(finished.ledger.stored, rate);
        log::info!("recording {id} closed ({why}), {stored_ms} ms stored");
        journal.trace.push_event(now.wall, TraceEvent::RecordingEnded { recording: id, why });
        journal.append(now, Fact::RecordingEnded(ended));
        self.encoders.recycle(channels, writer.stream);
    }
}

impl Recorder {
    /// Handles a completion from the disk thread.
    pub(in crate::recorder) fn handle_completion(&mut self, now: Now, done: Completion) {
        if self.handle_redaction_job(now, &done) {
            return;
        }
        match done {
            Completion::Read { tag, bytes, result } => {
                return self.finish_read(tag, result.is_ok().then_some(bytes));
            }
            Completion::Removed { path, .. } if layout::parse_journal_day(&path).is_some() => {
                return;
            }
            Completion::Removed { path, result } => return self.handle_removal(now, path, result),
            Completion::TrialCreated { result } => return self.handle_trial_file(now, result),
            _ => {}
        }
        let media = FileResult::from_completion(&done);
        let space = matches!(done, Completion::FreeSpace { .. });
        if space && self.journal.storage.no_room {
            self.mark_all_agents();
        }
        match self.journal.storage.handle_completion(now, done) {
            StorageEvent::Nothing => {}
            StorageEvent::Durable => self.handle_sync(now),
            StorageEvent::Failed(error, text) => self.handle_store_failure(now, error, text),
            StorageEvent::Back => self.resume_after_outage(now),
        }
        if let Some(done) = media {
            match done.result {
                Ok(()) if done.is_creation => self.note_file_creation(now, Ok(())),
                Ok(()) => {}
                Err(error) => self.handle_screen_failure(now, done.file, error, done.is_creation),
            }
            if let Some(failure) = self.recordings.handle_file_result(done) {
                self.handle_file_failure(now, &failure);
            }
        }
        if space {
            self.check_disk_space(now);
        }
    }

    /// Creates a recording's file again, or moves the recording to a new file.
    fn handle_file_failure(&mut self, now: Now, failure: &FileFailure) {
        let (key, error) = match *failure {
            FileFailure::Create(key, error) => {
                log::warn!("the file of a recording cannot be created: {error}");
                self.note_file_creation(now, Err(error));
                (key, error)
            }
            FileFailure::Write(key, error) => {
                self.raise_write_alarm(now, error, "the file of a recording cannot be written");
                let Some(recording) = self.recordings.all.get(&key) else { return };
                let (tries, writer) = (recording.tries, recording.writer.as_ref());
                if writer.is_some_and(|writer| writer.durable.size == 0) {
                    self.withdraw_reasons(now, key, error);
                }
                return self.abandon_file(now, key, limits::DISK_RETRY_MS << tries.min(5));
            }
        };
        if self.withdraw_reasons(now, key, error) {
            return self.abandon_file(now, key, 0);
        }
        let Some(id) = self.recordings.all.get(&key).map(|recording| recording.id) else { return };
        self.sessions.iter_mut().for_each(|session| session.rebind(id, id, true));
        let file = self.journal.storage.next_file();
        self.recordings.retry_file(now, key, file);
    }

    /// Removes the reasons of commands that were not confirmed, and refuses those commands. True:
    /// no reason is left.
    fn withdraw_reasons(&mut self, now: Now, key: RecordingKey, error: DiskError) -> bool {
        let Some(recording) = self.recordings.all.get(&key) else { return false };
        let (id, call) = (recording.id, recording.call);
        let gone = self.fail_pending_replies(id, error, false);
        let Some(recording) = self.recordings.all.get_mut(&key).filter(|_| !gone.is_empty()) else {
            return false;
        };
        if gone.contains(RecordReason::Agent) {
            recording.pressed = None;
        }
        recording.reasons.0 &= !gone.0;
        recording.reasons_ever.0 &= !gone.0;
        let reasons = recording.reasons;
        if reasons.is_empty() {
            recording.end_recording = Some((recording.from, RecordingEnd::Storage));
            self.fail_pending_replies(id, error, true);
        }
        let fact = Fact::RecordingReasons { id, reasons, by: "box".to_string() };
        self.journal.append(now, fact);
        self.mark_call_owner(call);
        reasons.is_empty()
    }

    /// Refuses the pending replies that promise a recording.
    pub(in crate::recorder) fn fail_pending_replies(
        &mut self,
        id: RecordingId,
        error: DiskError,
        all: bool,
    ) -> RecordReasons {
        let code = if error == DiskError::Full { Code::DiskFull } else { Code::Storage };
        let text = format!("nothing is recorded: {error}; tell a technician");
        let (mut bytes, mut gone) = (Vec::new(), RecordReasons::default());
        reply::begin_err(&mut bytes, &Refusal::new(code, text)).end();
        for session in self.sessions.iter_mut() {
            gone.0 |= session.fail_dependent_replies(id, &bytes, all).0;
        }
        gone
    }

    /// Abandons every open file after a failed journal write or sync: unsynced data is not trusted.
    fn handle_store_failure(&mut self, now: Now, error: DiskError, text: &str) {
        self.raise_write_alarm(now, error, text);
        self.handle_screens_failure(now, error);
        for key in self.recordings.open_keys() {
            self.abandon_file(now, key, 0);
        }
        self.mark_all_agents();
    }

    /// Resumes after an outage: a new journal file holds everything that waited.
    fn resume_after_outage(&mut self, now: Now) {
        log::warn!("the disk is back; what waited in memory is durable");
        self.journal.index.relocate_entries(self.journal.storage.take_relocated());
        self.handle_sync(now);
        self.journal.storage.request_space();
        self.mark_all_agents();
        // The new journal file shows that the disk takes new files.
        self.note_file_creation(now, Ok(()));
        self.resume_interrupted(now);
    }

    /// Marks all agents for a new state, because their available commands changed.
    pub(in crate::recorder) fn mark_all_agents(&mut self) {
        let agents: Vec<_> = self.sessions.logged_in_agents().collect();
        self.stale_agents.extend(agents);
    }

    pub(in crate::recorder) fn raise_write_alarm(
        &mut self,
        now: Now,
        error: DiskError,
        text: &str,
    ) {
        let code = match error {
            DiskError::Full => alarm::AlarmCode::DiskFull,
            DiskError::Failed(_) => alarm::AlarmCode::DiskFailed,
        };
        if error == DiskError::Full && !self.journal.storage.no_room {
            self.journal.storage.no_room = true;
            self.mark_all_agents();
        }
        let text = format!("{text}: {error}");
        let other =
            |a: &Alarm| a.code == code && a.subject == WRITING && a.is_active && a.text != text;
        if self.journal.alarms.iter().any(other) {
            // An alarm is logged once; a different cause helps the administrator.
            log::warn!("{text}");
        }
        self.journal.raise_alarm(now, code, WRITING, text);
    }

    /// Advances watermarks after a sync, and notes the ends of completed recordings.
    fn handle_sync(&mut self, now: Now) {
        let durable = self.journal.storage.durable_ticket();
        let Recorder { recordings, sessions, journal, channels, .. } = self;
        let begins = |id| sessions.iter_mut().for_each(|s| s.mark_recording_durable(id, durable));
        for key in recordings.advance_watermarks(durable, begins) {
            recordings.append_end(now, key, journal, channels);
        }
        let opening = recordings.writers().any(|writer| writer.opening.is_some());
        self.last_screen_ticket(now, durable);
        if !opening && !self.journal.storage.is_down() {
            self.journal.clear_alarm(now, alarm::AlarmCode::DiskFull, WRITING);
            self.journal.clear_alarm(now, alarm::AlarmCode::DiskFailed, WRITING);
        }
    }

    /// Ends the record at its watermark. The rest moves to a new recording, whose file is created
    /// after `wait_ms`.
    fn abandon_file(&mut self, now: Now, key: RecordingKey, wait_ms: u64) {
        let Some(writer) = self.recordings.writer_mut(key) else { return };
        if let Some(opening) = writer.opening.as_mut().filter(|opening| !opening.asked) {
            opening.at = opening.at.max(now.mono.after_ms(wait_ms));
            return;
        }
        let Some(writer) = self.recordings.take_writer(key) else { return };
        let Some(recording) = self.recordings.all.get_mut(&key) else { return };
        if writer.finished.is_none() {
            self.journal.storage.submit(now.mono, Job::Close { file: recording.file });
        }
        let durable = writer.durable;
        let more = recording.end_recording.is_none_or(|(to, _)| durable.to < to);
        let ended = truncated_summary(recording, durable, writer.durable_spans.clone());
        let id = recording.id;
        log::error!("recording {id}: its file failed; {} bytes of it are certain", durable.size);
        let old = ContinuedRecording {
            id,
            end: recording.end_recording.take(),
            key: recording.key.clone(),
            from: durable.to,
            never_durable: durable.size == 0,
            wait_ms,
        };
        recording.end_recording = Some((durable.to, RecordingEnd::Storage));
        recording.closed = true;
        let why = RecordingEnd::Storage.as_str();
        self.journal.trace.push_event(now.wall, TraceEvent::RecordingEnded { recording: id, why });
        self.journal.append(now, Fact::RecordingEnded(ended));
        if more {
            self.continue_in_new_file(now, key, &old, writer);
        } else {
            self.recordings.encoders.recycle(&self.channels, writer.stream);
        }
        // Without a durable key, the old recording has nothing to show.
        if durable.size == 0 {
            self.recordings.remove(key);
        }
    }

    /// Moves the unsynced part of a recording to a new one, exact to the sample.
    fn continue_in_new_file(
        &mut self,
        now: Now,
        key: RecordingKey,
        old: &ContinuedRecording,
        mut writer: RecordingWriter,
    ) {
        let Some(was) = self.recordings.all.get(&key) else { return };
        let (tries, reasons_ever, pressed) = (was.tries, was.reasons_ever, was.pressed);
        let retain_until = was.retain_until;
        let name = was.schedule.clone();
        let same = |s: &crate::config::Schedule| Some(&s.name) == name.as_ref();
        let schedule = self.config.schedules.iter().position(same);
        let want = RecordingRequest {
            call: was.call,
            from: old.from,
            reasons: was.reasons,
            pressed,
            schedule,
            continues: Some(old.id),
        };
        let call = self.calls.get(want.call).cloned();
        let room = !self.recordings.is_full();
        let envelope = if room { self.recordings.keys.take() } else { None };
        let (Some(call), Some(envelope)) = (call, envelope) else {
            log::error!("recording {}: no new one can take over; its audio is lost", old.id);
            let refused = self.fail_pending_replies(old.id, DiskError::Failed(0), true);
            let reasons = RecordReasons(want.reasons.0 & !refused.0);
            if old.end.is_none() && !reasons.is_empty() {
                let (id, agent) = (Some(old.id), pressed.map(|(agent, _)| agent));
                let agent = agent.filter(|_| reasons.contains(RecordReason::Agent));
                let waiting = InterruptedRecording { id, reasons, agent, schedule: name };
                self.recordings.to_resume.add(want.call, waiting);
            }
            return self.recordings.encoders.recycle(&self.channels, writer.stream);
        };
        let mut backlog: std::collections::VecDeque<_> =
            writer.unsynced.drain(..).filter_map(|written| written.chunk).collect();
        backlog.append(&mut writer.backlog);
        let mut stream = writer.stream;
        stream.from = old.from;
        let why = "goes on from a recording whose file failed".to_string();
        let parts = RecordingParts { stream, backlog, envelope, why };
        let (mut new, _) = self.create_recording(now, &call, want, parts);
        (new.reasons_ever, new.end_recording) = (reasons_ever, old.end);
        new.tries = if old.never_durable { tries + 1 } else { 0 };
        if let Some(opening) = new.writer.as_mut().and_then(|writer| writer.opening.as_mut()) {
            opening.at = now.mono.after_ms(old.wait_ms);
        }
        let id = new.id;
        let retain_until = self.translate_retention(retain_until, Some(old.id), id);
        if retain_until > new.retain_until {
            new.retain_until = retain_until;
            let fact = Fact::RecordingRetention { id, retain_until };
            self.journal.append(now, fact);
        }
        let key = new.key.clone();
        for session in self.sessions.iter_mut() {
            session.rebind(old.id, id, old.never_durable);
        }
        log::warn!("recording {id} goes on from {} at {}", old.id, old.from);
        let event = TraceEvent::RecordingBegan { recording: id, device: call.device.clone() };
        self.journal.trace.push_event(now.wall, event);
        let place = self.recordings.insert(new);
        self.carry_over_facts(now, old, id, key.as_ref());
        self.mark_call_owner(call.number);
        self.recordings.open_file(now, place, &mut self.journal.storage);
    }

    /// Copies facts that only the old record holds: its protection and, if its key is not durable,
    /// its fields.
    fn carry_over_facts(
        &mut self,
        now: Now,
        old: &ContinuedRecording,
        id: RecordingId,
        key: Option<&DataKey>,
    ) {
        let Some(record) = self.journal.index.record(old.id) else { return };
        let protected = record.is_protected;
        let mut fields = Vec::new();
        for change in record.history.iter().filter(|_| old.never_durable) {
            if let Ok(value) = seal::open_field(old.key.as_ref(), &change.value) {
                fields.push((change.field, change.by.clone(), zeroize::Zeroizing::new(value)));
            }
        }
        if protected {
            let fact = Fact::Protected { id, on: true, by: "box".to_string() };
            self.journal.append(now, fact);
        }
        for (field, by, value) in fields {
            let sequence = self.journal.storage.next_sequence();
            let value = seal::seal_field(key, sequence, &value);
            self.journal.append(now, Fact::FieldSet { id, field, by, value });
        }
    }
}

/// A recording that continues in a new one.
struct ContinuedRecording {
    id: RecordingId,
    /// Where and why it ends, if known.
    end: Option<(Position, RecordingEnd)>,
    key: Option<DataKey>,
    /// First position that belongs to the new recording.
    from: Position,
    /// Whether nothing of the recording is durable, its key included.
    never_durable: bool,
    /// Pause before the new file is created, in milliseconds.
    wait_ms: u64,
}

/// The end fact of a file without a trailer, as a reader of the file would derive it.
fn truncated_summary(
    recording: &Recording,
    durable: Watermark,
    mut spans: SpanAccumulator,
) -> RecordingEnded {
    assert_eq!(spans.to(), durable.to);
    spans.mark_tail_lost(LossReason::Disk);
    RecordingEnded {
        id: recording.id,
        end: RecordingEnd::Storage,
        to: durable.to,
        ledger: spans.ledger(),
        blackout_spans: spans.spans().to_vec(),
        digest: durable.digest,
        size: durable.size,
    }
}

impl PendingCreate {
    #[must_use]
    pub fn new(path: String, header: Vec<u8>, now: Now) -> PendingCreate {
        PendingCreate { path, header, at: now.mono, asked: false }
    }
}
