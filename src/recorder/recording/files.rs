//! Media files of recordings: create, write, close, and replace after a failure.
//!
//! A file is certain up to its last `Watermark`, the last chunk that a sync covered. Later chunks
//! stay in memory until then. A failed file is never written again: its record ends at the
//! watermark. Everything after it, masks and held spans included, moves to a new recording of the
//! call under a new data key. A recording's end is therefore noted only when its trailer is
//! durable. `journal` decides when the disk has failed.

use crate::alarm::{self, Alarm};
use crate::audio::encode_stream::EncodeStream;
use crate::audio::span::{Fate, LossReason, Run};
use crate::id::RecordingId;
use crate::job::{Completion, DiskError, FileId, Job};
use crate::limits;
use crate::recorder::journal::StorageEvent;
use crate::recorder::recording::interrupted::InterruptedRecording;
use crate::recorder::recording::lifecycle::RecordingRequest;
use crate::recorder::recording::{PendingCreate, UnsyncedChunk, Watermark};
use crate::recorder::{Recorder, Recording};
use crate::store::fact::{
    Fact, FactSpan, RecordReason, RecordReasons, RecordingEnd, RecordingEnded,
};
use crate::store::layout;
use crate::store::media::SpanAccumulator;
use crate::store::seal::{self, DataKey};
use crate::time::{Now, Position, ms_of_frames};
use crate::trace::TraceEvent;
use protocol::{Code, Refusal, reply};

/// Subject of alarms about writing, as opposed to free space.
const WRITING: &str = "write";

impl Recorder {
    /// Creates a recording's file when the disk is up and the retry time has come.
    pub(in crate::recorder) fn open_file(&mut self, now: Now, index: usize) {
        let recording = &mut self.recordings[index];
        let Some(tape) = recording.writer.as_mut() else { return };
        let Some(opening) = tape.opening.as_mut() else { return };
        if opening.asked || opening.at > now.mono || self.journal.storage.is_down() {
            return;
        }
        opening.asked = true;
        let (path, bytes) = (opening.path.clone(), opening.header.clone());
        recording.file = self.journal.storage.next_file();
        let file = recording.file;
        self.journal.storage.submit(now.mono, Job::Create { file, path });
        self.journal.storage.submit(now.mono, Job::Append { file, bytes });
        let mark = tape.written_end();
        tape.unsynced.push_back(UnsyncedChunk {
            after: self.journal.storage.next_ticket(),
            mark,
            chunk: None,
        });
    }

    /// Handles the result of creating a file.
    fn handle_file_created(&mut self, now: Now, file: FileId, result: Result<(), DiskError>) {
        let Some(index) = self.recording_of_file(file) else { return };
        let Err(error) = result else {
            if let Some(tape) = self.recordings[index].writer.as_mut() {
                tape.opening = None;
            }
            return;
        };
        self.raise_write_alarm(now, error, "a file for a recording cannot be made");
        if self.withdraw_reasons(now, index, error) {
            return self.abandon_file(now, index, 0);
        }
        let id = self.recordings[index].id;
        self.sessions.iter_mut().for_each(|session| session.rebind((id, id), true));
        // Nothing was written yet, so the same file is retried.
        let recording = &mut self.recordings[index];
        let Some(tape) = recording.writer.as_mut() else { return };
        tape.unsynced.clear();
        if let Some(opening) = tape.opening.as_mut() {
            opening.asked = false;
            opening.at = now.mono.after_ms(limits::DISK_RETRY_MS);
        }
        recording.file = self.journal.storage.next_file();
    }

    /// Moves the recording to a new file after a write error.
    fn handle_file_failure(&mut self, now: Now, file: FileId, error: DiskError) {
        let Some(index) = self.recording_of_file(file) else { return };
        self.raise_write_alarm(now, error, "the file of a recording cannot be written");
        let recording = &self.recordings[index];
        let tries = recording.tries;
        if recording.writer.as_ref().is_some_and(|tape| tape.durable.size == 0) {
            self.withdraw_reasons(now, index, error);
        }
        self.abandon_file(now, index, limits::DISK_RETRY_MS << tries.min(5));
    }

    /// Removes the reasons of commands that were not confirmed, and refuses those commands. True:
    /// no reason is left.
    fn withdraw_reasons(&mut self, now: Now, index: usize, error: DiskError) -> bool {
        let recording = &self.recordings[index];
        let (id, call) = (recording.id, recording.call);
        let gone = self.fail_pending_replies(id, error, false);
        if gone.is_empty() {
            return false;
        }
        let recording = &mut self.recordings[index];
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

    /// Handles completions other than reads.
    pub(in crate::recorder) fn handle_storage_event(&mut self, now: Now, done: Completion) {
        let media = match &done {
            Completion::Removed { path, .. } if layout::parse_journal_day(path).is_some() => return,
            Completion::Removed { path, result } => {
                return self.handle_removal(now, path.clone(), *result);
            }
            Completion::Opened { file, result } => Some((*file, *result, true)),
            Completion::Appended { file, result, .. } => Some((*file, *result, false)),
            _ => None,
        };
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
        if let Some((file, result, opened)) = media {
            if let Err(error) = result {
                self.handle_screen_failure(now, file, error);
            }
            match result {
                _ if opened => self.handle_file_created(now, file, result),
                Err(error) => self.handle_file_failure(now, file, error),
                Ok(()) => {}
            }
        }
        if space {
            self.check_disk_space(now);
        }
    }

    /// Abandons every open file after a failed journal write or sync: unsynced data is not trusted.
    fn handle_store_failure(&mut self, now: Now, error: DiskError, text: &str) {
        self.raise_write_alarm(now, error, text);
        let open = self.recordings.iter().filter(|recording| recording.writer.is_some());
        let files: Vec<FileId> = open.map(|recording| recording.file).collect();
        self.handle_screens_failure(now, error);
        for file in files {
            if let Some(index) = self.recording_of_file(file) {
                self.abandon_file(now, index, 0);
            }
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
        self.resume_interrupted(now);
    }

    /// Marks all agents for a new state, because their available commands changed.
    fn mark_all_agents(&mut self) {
        let agents: Vec<_> =
            self.sessions.iter().filter_map(crate::recorder::Session::logged_in_agent).collect();
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

    fn recording_of_file(&self, file: FileId) -> Option<usize> {
        self.recordings.iter().position(|r| r.file == file && r.writer.is_some())
    }

    /// Advances watermarks after a sync, and notes the ends of completed recordings.
    fn handle_sync(&mut self, now: Now) {
        let durable = self.journal.storage.durable_ticket();
        let mut opening = false;
        for index in 0..self.recordings.len() {
            let recording = &mut self.recordings[index];
            let Some(tape) = recording.writer.as_mut() else { continue };
            opening |= tape.opening.is_some();
            while tape.unsynced.front().is_some_and(|written| written.after <= durable) {
                let Some(written) = tape.unsynced.pop_front() else { break };
                if tape.durable.size == 0 {
                    let id = recording.id;
                    self.sessions
                        .iter_mut()
                        .for_each(|session| session.mark_recording_durable(id, durable));
                }
                tape.durable = written.mark;
                if self.spare_chunks.len() < self.spare_chunks.capacity() {
                    self.spare_chunks
                        .extend(written.chunk.map(crate::recorder::Chunk::into_cleared));
                }
            }
            if tape.finished.is_some() && tape.unsynced.is_empty() {
                self.append_recording_end(now, index);
            }
        }
        self.last_screen_ticket(now, durable);
        if !opening && !self.journal.storage.is_down() {
            self.journal.clear_alarm(now, alarm::AlarmCode::DiskFull, WRITING);
            self.journal.clear_alarm(now, alarm::AlarmCode::DiskFailed, WRITING);
        }
    }

    /// Notes the end of a recording whose whole file is durable.
    fn append_recording_end(&mut self, now: Now, index: usize) {
        let recording = &mut self.recordings[index];
        let Some(mut tape) = recording.writer.take() else { return };
        let Some(finished) = tape.finished else { return };
        let ended = RecordingEnded {
            id: recording.id,
            end: finished.end,
            to: finished.to,
            ledger: finished.ledger,
            blackout_spans: std::mem::take(&mut tape.reel.spans),
            digest: finished.digest,
            size: finished.size,
        };
        assert_eq!(tape.durable.size, finished.size, "the trailer is durable");
        recording.closed = true;
        let (id, channel, why) = (recording.id, recording.channel, finished.end.as_str());
        let stored_ms = ms_of_frames(finished.ledger.stored, self.channels[channel.0].rate);
        log::info!("recording {id} closed ({why}), {stored_ms} ms stored");
        self.journal.trace.push_event(now.wall, TraceEvent::RecordingEnded { recording: id, why });
        self.journal.append(now, Fact::RecordingEnded(ended));
        self.release_encoder(channel, tape.reel);
    }

    /// Ends the record at its watermark. The rest moves to a new recording, whose file is created
    /// after `wait_ms`.
    fn abandon_file(&mut self, now: Now, index: usize, wait_ms: u64) {
        let recording = &mut self.recordings[index];
        let Some(tape) = recording.writer.as_mut() else { return };
        if let Some(opening) = tape.opening.as_mut().filter(|opening| !opening.asked) {
            opening.at = opening.at.max(now.mono.after_ms(wait_ms));
            return;
        }
        if tape.finished.is_none() {
            self.journal.storage.submit(now.mono, Job::Close { file: recording.file });
        }
        let durable = tape.durable;
        let more = recording.end_recording.is_none_or(|(to, _)| durable.to < to);
        let Some(tape) = recording.writer.take() else { return };
        let ended = truncated_summary(recording, durable, &tape.reel);
        let (id, channel) = (recording.id, recording.channel);
        log::error!("recording {id}: its file failed; {} bytes of it are certain", durable.size);
        let old = ContinuedRecording {
            id,
            end: recording.end_recording.take(),
            key: recording.key.clone(),
            from: durable.to,
            never_durable: durable.size == 0,
        };
        recording.end_recording = Some((durable.to, RecordingEnd::Storage));
        recording.closed = true;
        let why = RecordingEnd::Storage.as_str();
        self.journal.trace.push_event(now.wall, TraceEvent::RecordingEnded { recording: id, why });
        self.journal.append(now, Fact::RecordingEnded(ended));
        if more {
            self.continue_in_new_file(now, index, &old, (tape, wait_ms));
        } else {
            self.release_encoder(channel, tape.reel);
        }
        // Without a durable key, the old recording has nothing to show.
        self.recordings.retain(|recording| recording.id != id || durable.size > 0);
    }

    /// Moves the unsynced part of a recording to a new one, exact to the sample.
    fn continue_in_new_file(
        &mut self,
        now: Now,
        index: usize,
        old: &ContinuedRecording,
        (mut tape, wait_ms): (crate::recorder::RecordingWriter, u64),
    ) {
        let was = &self.recordings[index];
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
        let room = self.recordings.len() < limits::RECORDINGS_MAX;
        let envelope = if room { self.envelopes.pop_front() } else { None };
        let (Some(call), Some(envelope)) = (call, envelope) else {
            log::error!("recording {}: no new one can take over; its audio is lost", old.id);
            let refused = self.fail_pending_replies(old.id, DiskError::Failed(0), true);
            let reasons = RecordReasons(want.reasons.0 & !refused.0);
            if old.end.is_none() && !reasons.is_empty() {
                let (id, agent) = (Some(old.id), pressed.map(|(agent, _)| agent));
                let agent = agent.filter(|_| reasons.contains(RecordReason::Agent));
                let waiting = InterruptedRecording { id, reasons, agent, schedule: name };
                self.to_resume.add(want.call, waiting);
            }
            return self.release_encoder(tape.reel.channel, tape.reel);
        };
        let mut backlog: std::collections::VecDeque<_> =
            tape.unsynced.drain(..).filter_map(|written| written.chunk).collect();
        backlog.append(&mut tape.backlog);
        let mut reel = tape.reel;
        reel.from = old.from;
        reel.spans = ledger_after(&reel.spans, old.from);
        let why = "goes on from a recording whose file failed".to_string();
        let (mut new, _) = self.create_recording(now, &call, want, (reel, backlog, envelope, why));
        (new.reasons_ever, new.end_recording) = (reasons_ever, old.end);
        new.tries = if old.never_durable { tries + 1 } else { 0 };
        if let Some(opening) = new.writer.as_mut().and_then(|tape| tape.opening.as_mut()) {
            opening.at = now.mono.after_ms(wait_ms);
        }
        let id = new.id;
        if retain_until > new.retain_until {
            new.retain_until = retain_until;
            let fact = Fact::RecordingRetention { id, retain_until };
            self.journal.append(now, fact);
        }
        let key = new.key.clone();
        for session in self.sessions.iter_mut() {
            session.rebind((old.id, id), old.never_durable);
        }
        log::warn!("recording {id} goes on from {} at {}", old.id, old.from);
        let event = TraceEvent::RecordingBegan { recording: id, device: call.device.clone() };
        self.journal.trace.push_event(now.wall, event);
        self.recordings.push(new);
        self.carry_over_facts(now, old, (id, key));
        self.mark_call_owner(call.number);
        self.open_file(now, self.recordings.len() - 1);
    }

    /// Copies facts that only the old record holds: its protection and, if its key is not durable,
    /// its fields.
    fn carry_over_facts(
        &mut self,
        now: Now,
        old: &ContinuedRecording,
        (id, key): (RecordingId, Option<DataKey>),
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
            let value = seal::seal_field(key.as_ref(), sequence, &value);
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
}

/// The end fact of a file without a trailer, as a reader of the file would derive it.
fn truncated_summary(
    recording: &Recording,
    durable: Watermark,
    reel: &EncodeStream,
) -> RecordingEnded {
    let mut fold = SpanAccumulator::new(recording.from, reel.delay_frames());
    let mut at = recording.from;
    let mut add = |at: &mut Position, to: Position, fate: Fate| {
        while *at < to {
            let frames = u32::try_from(to.frames_since(*at)).unwrap_or(u32::MAX);
            fold.add_run(Run { fate, frames });
            *at = at.plus(u64::from(frames));
        }
    };
    for span in &reel.spans {
        add(&mut at, span.from.min(durable.to), Fate::Stored);
        add(&mut at, span.to.min(durable.to), span.fate);
    }
    add(&mut at, durable.to, Fate::Stored);
    fold.mark_tail_lost(LossReason::Disk);
    RecordingEnded {
        id: recording.id,
        end: RecordingEnd::Storage,
        to: durable.to,
        ledger: fold.ledger(),
        blackout_spans: fold.spans().to_vec(),
        digest: durable.digest,
        size: durable.size,
    }
}

/// The spans after `from`.
fn ledger_after(spans: &[FactSpan], from: Position) -> Vec<FactSpan> {
    let behind = spans.iter().filter(|span| span.to > from);
    behind.map(|span| FactSpan { from: span.from.max(from), ..*span }).collect()
}

impl PendingCreate {
    #[must_use]
    pub fn new(path: String, header: Vec<u8>, now: Now) -> PendingCreate {
        PendingCreate { path, header, at: now.mono, asked: false }
    }
}
