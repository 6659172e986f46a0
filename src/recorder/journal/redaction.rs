//! Removal of a range from a recording, for good: `redact`.
//!
//! The files of the recording are written again without the chunks that the range touches, the
//! screen first, then the audio (see `store::media::MediaRedactor`). Each file takes these steps:
//!
//! 1. The old file is copied piece by piece to a new one. A sync makes the new one durable.
//! 2. The fact `Redacted` is appended. Once it is durable, the range is removed: readers are
//!    refused until the last step, and a start after a power cut finishes the rest.
//! 3. The removed chunks are overwritten in the old file, which the new one then replaces.
//!
//! Before the fact, anything that goes wrong undoes the removal. One removal runs at a time; it has
//! one read or write in flight, so audio never waits for it.

mod file_range;

use crate::alarm::AlarmCode;
use crate::id::{RecordingId, SessionId};
use crate::job::{Completion, DiskError, FileId, Job, Ticket};
use crate::limits;
use crate::recorder::Recorder;
use crate::recorder::session::library::{ActorName, REDACTION_READER, ReplyStream};
use crate::recorder::session::response::Response;
use crate::store::fact::{Fact, Redaction};
use crate::store::layout;
use crate::store::media::{MAX_CHUNK_BYTES, MediaRedactor, RedactError, RedactedFile};
use crate::time::{MonoTime, Now, Position};
use file_range::{FileRange, files_of_range};
use protocol::{Code, Refusal, reply};
use std::collections::VecDeque;

/// The removal in progress, if there is one.
#[derive(Debug, Default)]
pub(in crate::recorder) struct Redactions {
    current: Option<Removal>,
    /// When a replacement that the disk refused is tried again.
    again: MonoTime,
}

/// One `redact` command.
#[derive(Debug)]
struct Removal {
    session: SessionId,
    id: RecordingId,
    by: String,
    reason: String,
    rate: u32,
    /// The files still to be written again, screen before audio.
    waiting: VecDeque<FileRange>,
    file: Option<FileRemoval>,
    /// What was removed from the audio: range and frames.
    removed: Option<(Position, Position, u64)>,
    screen_ms: u64,
    outcome: Option<Result<(), Refusal>>,
}

/// One file that is being written again.
#[derive(Debug)]
struct FileRemoval {
    wanted: FileRange,
    /// Takes the old file in pieces; `None` once the new one is whole.
    redactor: Option<MediaRedactor>,
    result: Option<RedactedFile>,
    file: FileId,
    /// Whether the new file is open.
    is_open: bool,
    step: Step,
    /// Size of the next piece.
    piece_bytes: usize,
    /// Bytes that may not be durable, and the sync that covers them.
    unsynced: (usize, Ticket),
    /// Bytes of the removed chunks that are overwritten in the old file.
    overwritten: u64,
}

/// What happens next to a file, or what it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The new file is created, after the rest of an earlier one is removed.
    Create,
    /// The disk has a job.
    Wait,
    /// The next piece is read.
    Copy,
    /// The new file becomes durable.
    Sync(Ticket),
    /// The fact becomes durable.
    Note(Ticket),
    /// The removed chunks are overwritten from this offset of the old file on.
    Overwrite(u64),
    /// The new file takes the place of the old one.
    Replace,
    /// The replacement becomes durable.
    Settle(Ticket),
}

impl Redactions {
    /// When the disk is asked again.
    pub fn next_deadline(&self) -> Option<MonoTime> {
        self.current.as_ref().map(|_| self.again)
    }

    /// Whether a range of this recording is being removed.
    pub fn is_active_for(&self, id: RecordingId) -> bool {
        let current = self.current.as_ref();
        current.is_some_and(|removal| removal.id == id && removal.outcome.is_none())
    }

    /// Whether a removal is noted whose new file has not replaced the old one.
    pub fn is_replacing(&self, id: RecordingId) -> bool {
        let file = self.current.as_ref().filter(|removal| removal.id == id);
        let file = file.and_then(|removal| removal.file.as_ref());
        file.is_some_and(|file| file.result.is_some())
    }

    /// Whether the old file is being read.
    fn is_copying(&self) -> bool {
        let file = self.current.as_ref().and_then(|removal| removal.file.as_ref());
        file.is_some_and(|file| file.step == Step::Copy)
    }

    fn file_mut(&mut self) -> Option<&mut FileRemoval> {
        self.current.as_mut().and_then(|removal| removal.file.as_mut())
    }
}

fn refusal_of(error: &RedactError) -> Refusal {
    match error {
        RedactError::NothingStored => {
            let text = "nothing is stored in this range; `show ID` lists what is";
            Refusal::new(Code::BadArgument, text)
        }
        RedactError::Mismatch(_) | RedactError::Media(_) => {
            Refusal::new(Code::Storage, error.to_string())
        }
    }
}

fn disk_refusal(error: DiskError) -> Refusal {
    let code = if error == DiskError::Full { Code::DiskFull } else { Code::Storage };
    Refusal::new(code, format!("{error}; tell a technician"))
}

impl Recorder {
    /// `redact ID from_ms=… to_ms=… reason=…`: begins the removal. The reply follows when the new
    /// files are in place.
    pub(in crate::recorder) fn redact_recording(
        &mut self,
        id: SessionId,
        word: &str,
        (from_ms, to_ms): (u64, u64),
        reason: &str,
    ) -> Result<Response, Refusal> {
        let (record, ActorName(by)) = self.record_and_user(id, word)?;
        if record.is_protected {
            let text = "it is under legal hold; `protect ID off` ends that";
            return Err(Refusal::new(Code::Denied, text));
        }
        if self.redactions.current.is_some() || self.is_reading(REDACTION_READER) {
            let text = "a range of a recording is being removed; ask again in a moment";
            return Err(Refusal::new(Code::Busy, text));
        }
        if self.is_record_in_use(record) {
            let text = "its call is not over; ask again when its wrap-up is";
            return Err(Refusal::new(Code::Busy, text));
        }
        self.require_disk()?;
        let (began, rate) = (record.began.from, record.began.rate);
        let capped = |ms: u64| u128::from(ms.min(limits::REDACTION_MS_MAX)) * u128::from(rate);
        let frames = |of: u128| u64::try_from(of).unwrap_or(u64::MAX);
        // The end is rounded up, so that no frame of the range stays.
        let from = began.plus(frames(capped(from_ms) / 1000));
        let range = (from, began.plus(frames(capped(to_ms).div_ceil(1000))));
        let waiting = files_of_range(record, range);
        let bytes: u64 = waiting.iter().map(|file| file.before.size).max().unwrap_or(0);
        let (recording, reason) = (record.id(), reason.to_owned());
        self.require_room_for(bytes)?;
        let removal = Removal {
            session: id,
            id: recording,
            by,
            reason,
            rate,
            waiting,
            file: None,
            removed: None,
            screen_ms: 0,
            outcome: None,
        };
        self.redactions = Redactions { current: Some(removal), again: MonoTime(0) };
        Ok(Response::stream(ReplyStream::Redaction))
    }

    /// Refuses to write a file again that does not fit above the reserve.
    fn require_room_for(&self, bytes: u64) -> Result<(), Refusal> {
        let reserve = u64::from(self.config.store.reserve_mb) << 20;
        let storage = &self.journal.storage;
        if storage.total_bytes == 0 || storage.free_bytes >= reserve.saturating_add(bytes) {
            return Ok(());
        }
        let text = format!(
            "the file is written again without the range, which needs {} MB above the reserve",
            bytes.div_ceil(1 << 20)
        );
        Err(Refusal::new(Code::DiskFull, text))
    }

    /// Takes the removal's next step; called every turn.
    pub(in crate::recorder) fn advance_redaction(&mut self, now: Now) {
        if !self.redactions.is_copying() {
            self.forget_reader(REDACTION_READER);
        }
        if self.journal.storage.is_down() {
            return self.pause_redaction(now);
        }
        let Some(removal) = self.redactions.current.as_mut() else { return };
        let listens = self.sessions.get(removal.session).is_some_and(|s| s.stream.is_some());
        if removal.outcome.is_some() {
            if !listens {
                self.redactions.current = None;
            }
            return;
        }
        if removal.file.is_none() {
            match removal.waiting.pop_front() {
                Some(wanted) => {
                    let file = self.journal.storage.next_file();
                    removal.file = Some(FileRemoval::new(wanted, file));
                }
                None => return self.complete_redaction(),
            }
        }
        self.advance_file(now);
    }

    fn advance_file(&mut self, now: Now) {
        let durable = self.journal.storage.durable_ticket();
        let Some(file) = self.redactions.current.as_mut().and_then(|r| r.file.as_mut()) else {
            return;
        };
        let submit = |journal: &mut super::Journal, job| journal.storage.submit(now.mono, job);
        match file.step {
            Step::Wait => {}
            Step::Create => {
                (file.step, file.is_open) = (Step::Wait, true);
                let path = layout::REDACTED.to_owned();
                submit(&mut self.journal, Job::Remove { path: path.clone() });
                submit(&mut self.journal, Job::Create { file: file.file, path });
            }
            Step::Copy => self.copy_piece(now),
            Step::Sync(ticket) if ticket <= durable => self.note_redaction(now),
            Step::Note(ticket) if ticket <= durable => {
                file.step = Step::Overwrite(file.result.as_ref().map_or(0, |r| r.old_bytes.0));
                self.advance_file(now);
            }
            Step::Overwrite(offset) => {
                let end = file.result.as_ref().map_or(0, |r| r.old_bytes.0 + r.old_bytes.1);
                if offset >= end {
                    file.step = Step::Replace;
                    return self.advance_file(now);
                }
                let length = limits::REDACTION_PIECE_BYTES as u64;
                let (path, length) = (file.wanted.path.clone(), length.min(end - offset));
                file.step = Step::Wait;
                submit(&mut self.journal, Job::Overwrite { path, offset, length });
            }
            Step::Replace if now.mono >= self.redactions.again => {
                let (new, path) = (layout::REDACTED.to_owned(), file.wanted.path.clone());
                file.step = Step::Wait;
                submit(&mut self.journal, Job::Replace { new, path });
            }
            Step::Settle(ticket) if ticket <= durable => self.finish_file(now),
            Step::Sync(_) | Step::Note(_) | Step::Replace | Step::Settle(_) => {}
        }
    }

    /// Reads the next piece of the old file, or writes what is left of it to the new one.
    fn copy_piece(&mut self, now: Now) {
        let durable = self.journal.storage.durable_ticket();
        let next = self.journal.storage.next_ticket();
        let Some(file) = self.redactions.file_mut() else { return };
        let Some(redactor) = file.redactor.as_mut() else { return };
        if redactor.is_complete() {
            file.step = Step::Sync(next);
            self.close_new_file(now);
            return self.journal.storage.request_sync();
        }
        let (bytes, covered_by) = file.unsynced;
        if bytes >= limits::REDACTION_UNSYNCED_BYTES_MAX {
            if covered_by > durable {
                return self.journal.storage.request_sync();
            }
            file.unsynced = (0, Ticket(0));
        }
        let (path, offset, wanted) =
            (file.wanted.path.clone(), redactor.offset(), file.piece_bytes);
        let piece = match self.take_arrived(REDACTION_READER) {
            None => return self.request_read(REDACTION_READER, path, offset, wanted),
            Some(None) => {
                let error = RedactError::Media(crate::store::media::MediaError::Read {
                    kind: std::io::ErrorKind::Other,
                });
                return self.abandon_redaction(now, refusal_of(&error));
            }
            Some(Some(piece)) => piece,
        };
        self.append_piece(now, &piece);
        self.recycle_buffer(piece);
        if self.redactions.is_copying() {
            self.copy_piece(now);
        }
    }

    fn append_piece(&mut self, now: Now, piece: &[u8]) {
        let next = self.journal.storage.next_ticket();
        let Some(file) = self.redactions.file_mut() else { return };
        let Some(redactor) = file.redactor.as_mut() else { return };
        let (before, mut bytes) = (redactor.offset(), Vec::with_capacity(piece.len()));
        let is_cut = piece.is_empty();
        let pushed = redactor.push_bytes(piece, &mut bytes);
        if let Err(error) = pushed {
            return self.abandon_redaction(now, refusal_of(&error));
        }
        if redactor.offset() == before {
            // No element was whole. The longest one is whole in a piece of that size.
            if is_cut || file.piece_bytes >= MAX_CHUNK_BYTES {
                let error = redactor.cut_short();
                return self.abandon_redaction(now, refusal_of(&error));
            }
            file.piece_bytes = MAX_CHUNK_BYTES;
            return;
        }
        file.piece_bytes = limits::REDACTION_PIECE_BYTES;
        file.unsynced = (file.unsynced.0 + bytes.len(), next);
        file.step = Step::Wait;
        let file = file.file;
        self.journal.storage.submit(now.mono, Job::Append { file, bytes });
    }

    /// Appends the fact: the new file is durable.
    fn note_redaction(&mut self, now: Now) {
        let Some(removal) = self.redactions.current.as_mut() else { return };
        let Some(file) = removal.file.as_mut() else { return };
        let Some(redactor) = file.redactor.take() else { return };
        let finished = match redactor.finish() {
            Ok(finished) => finished,
            Err(RedactError::NothingStored) => return self.skip_file(now),
            Err(error) => return self.abandon_redaction(now, refusal_of(&error)),
        };
        let record = self.journal.index.record(removal.id);
        let allowed = record.filter(|record| record.deleted.is_none() && !record.is_protected);
        let Some(record) = allowed else {
            let text = "it was deleted, or put under legal hold, meanwhile";
            return self.abandon_redaction(now, Refusal::new(Code::Denied, text));
        };
        let (range, before) = (file.wanted.range, &file.wanted.before);
        let redaction = Redaction {
            began_at: record.at,
            is_screen: file.wanted.is_screen,
            by: removal.by.clone(),
            reason: removal.reason.clone(),
            from: range.0,
            to: range.1,
            removed_from: finished.removed.0,
            removed_to: finished.removed.1,
            removed_frames: finished.removed_frames,
            digest_before: before.digest,
            size_before: before.size,
            old_bytes: finished.old_bytes,
            file: finished.file.clone(),
        };
        log::info!("{}: a range is removed on request of {}", file.wanted.path, removal.by);
        let (removed, frames) = (finished.removed, finished.removed_frames);
        if file.wanted.is_screen {
            removal.screen_ms += frames;
        } else {
            removal.removed = Some((removed.0, removed.1, frames));
        }
        file.result = Some(finished);
        let ticket = self.journal.append(now, Fact::Redacted(Box::new(redaction)));
        if let Some(file) = self.redactions.file_mut() {
            file.step = Step::Note(ticket);
        }
    }

    /// The new file is in place: continues with the next one.
    fn finish_file(&mut self, now: Now) {
        let Some(removal) = self.redactions.current.as_mut() else { return };
        removal.file = None;
        let id = removal.id;
        let late = self.journal.index.record(id).is_some_and(|record| !record.unmasked.is_empty());
        if !late {
            let code = AlarmCode::LateBlackout;
            self.journal.resolve_event_alarm(now, code, &id.to_string());
        }
        self.journal.storage.request_space();
        self.advance_redaction(now);
    }

    /// Leaves a file as it is, because nothing of the range is stored in it.
    fn skip_file(&mut self, now: Now) {
        self.remove_new_file(now);
        if let Some(removal) = self.redactions.current.as_mut() {
            removal.file = None;
        }
        self.advance_redaction(now);
    }

    /// All files are done: the command is answered.
    fn complete_redaction(&mut self) {
        let Some(removal) = self.redactions.current.as_mut() else { return };
        let is_any = removal.removed.is_some() || removal.screen_ms > 0;
        let nothing = || refusal_of(&RedactError::NothingStored);
        removal.outcome = Some(if is_any { Ok(()) } else { Err(nothing()) });
    }

    /// Undoes the removal from a file before its fact.
    fn abandon_redaction(&mut self, now: Now, refusal: Refusal) {
        self.remove_new_file(now);
        if let Some(removal) = self.redactions.current.as_mut() {
            removal.give_up(refusal);
        }
    }

    fn close_new_file(&mut self, now: Now) {
        if let Some(file) = self.redactions.file_mut().filter(|file| file.is_open) {
            file.is_open = false;
            let file = file.file;
            self.journal.storage.submit(now.mono, Job::Close { file });
        }
    }

    fn remove_new_file(&mut self, now: Now) {
        self.close_new_file(now);
        let path = layout::REDACTED.to_owned();
        self.journal.storage.submit(now.mono, Job::Remove { path });
    }

    /// The disk failed. Before its fact the removal is given up; the next one removes the new file.
    /// After it, the replacement is done again when the disk is back.
    fn pause_redaction(&mut self, now: Now) {
        self.close_new_file(now);
        let Some(removal) = self.redactions.current.as_mut() else { return };
        match removal.file.as_mut() {
            Some(file) if file.result.is_some() => match file.step {
                Step::Note(_) | Step::Overwrite(_) => {}
                _ => file.step = Step::Replace,
            },
            _ if removal.outcome.is_none() => removal.give_up(Code::Storage.into()),
            _ => {}
        }
    }

    /// Handles the results of the removal's jobs; returns false for any other job.
    pub(in crate::recorder) fn handle_redaction_job(
        &mut self,
        now: Now,
        done: &Completion,
    ) -> bool {
        let file = self.redactions.file_mut();
        let is_ours = |found: FileId| file.as_ref().is_some_and(|file| file.file == found);
        let result = match done {
            Completion::Opened { file, result } if is_ours(*file) => *result,
            Completion::Appended { file, result, .. } if is_ours(*file) => *result,
            Completion::Removed { path, .. } => return path == layout::REDACTED,
            Completion::Overwritten { result } => {
                self.after_overwrite(now, *result);
                return true;
            }
            Completion::Replaced { result } => {
                self.after_replacement(now, *result);
                return true;
            }
            _ => return false,
        };
        match result {
            Ok(()) => {
                if let Some(file) = self.redactions.file_mut() {
                    file.step = Step::Copy;
                }
            }
            Err(error) => self.abandon_redaction(now, disk_refusal(error)),
        }
        true
    }

    /// Overwriting is a second safeguard: the range is unlinked with the old file in any case.
    fn after_overwrite(&mut self, now: Now, result: Result<(), DiskError>) {
        let Some(file) = self.redactions.file_mut() else { return };
        let (first, length) = file.result.as_ref().map_or((0, 0), |result| result.old_bytes);
        let Step::Wait = file.step else { return };
        if let Err(error) = result {
            let text = format!(
                "{}: removed chunks cannot be overwritten: {error}; the file is replaced without",
                file.wanted.path
            );
            file.step = Step::Replace;
            return self.journal.raise_alarm(now, AlarmCode::EraseFailed, "", text);
        }
        file.overwritten += limits::REDACTION_PIECE_BYTES as u64;
        file.step = Step::Overwrite(first + file.overwritten.min(length));
    }

    fn after_replacement(&mut self, now: Now, result: Result<(), DiskError>) {
        let next = self.journal.storage.next_ticket();
        let Some(file) = self.redactions.file_mut() else { return };
        match result {
            Ok(()) => {
                file.step = Step::Settle(next);
                self.journal.storage.request_sync();
                self.journal.clear_alarm(now, AlarmCode::EraseFailed, "");
            }
            Err(error) => {
                let text = format!(
                    "{}: the file without the removed range cannot replace it: {error}; the box \
                     tries again",
                    file.wanted.path
                );
                file.step = Step::Replace;
                self.redactions.again = now.mono.after_ms(limits::REMOVE_RETRY_MS);
                self.journal.raise_alarm(now, AlarmCode::EraseFailed, "", text);
            }
        }
    }

    /// Writes the reply to `redact` once the removal is over. Returns whether it is.
    pub(in crate::recorder) fn feed_redaction(&mut self, id: SessionId, out: &mut Vec<u8>) -> bool {
        let current = self
            .redactions
            .current
            .take_if(|removal| removal.session == id && removal.outcome.is_some());
        let Some(removal) = current else {
            let is_ours = |removal: &Removal| removal.session == id;
            return !self.redactions.current.as_ref().is_some_and(is_ours);
        };
        match removal.outcome {
            Some(Err(refusal)) => reply::begin_err(out, &refusal).end(),
            _ => {
                let (from, to, frames) = removal.removed.unwrap_or_default();
                let line = reply::begin_ok(out).pair("recording", removal.id);
                let line = line.pair("removed_from", from).pair("removed_to", to);
                let line = line.pair("removed_frames", frames);
                line.pair("screen_ms", removal.screen_ms).pair("rate", removal.rate).end();
            }
        }
        true
    }
}

impl Removal {
    /// Ends the removal with an error. The screen may be gone already.
    fn give_up(&mut self, refusal: Refusal) {
        let done = match self.screen_ms {
            0 => "nothing was removed",
            _ => "the screen of the range was removed, its sound was not",
        };
        let text = format!("{done}: {}", refusal.text);
        log::warn!("{}: {text}", self.id);
        (self.file, self.outcome) = (None, Some(Err(Refusal::new(refusal.code, text))));
    }
}

impl FileRemoval {
    fn new(wanted: FileRange, file: FileId) -> FileRemoval {
        let redactor = Some(MediaRedactor::new(wanted.before.clone(), wanted.range));
        FileRemoval {
            wanted,
            redactor,
            result: None,
            file,
            is_open: false,
            step: Step::Create,
            piece_bytes: limits::REDACTION_PIECE_BYTES,
            unsynced: (0, Ticket(0)),
            overwritten: 0,
        }
    }
}
