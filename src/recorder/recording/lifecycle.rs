//! Starting and ending recordings, and adding and removing their reasons (B1).
//!
//! A recording runs while it has a reason. An agent who may see only own recordings (B2) starts a
//! separate recording even while another runs. The other one ends at that sample, so the agent's
//! view does not depend on it.

use crate::audio::encode_stream::EncodeStream;
use crate::calls::call::Call;
use crate::calls::directory::AgentIndex;
use crate::id::RecordingId;
use crate::job::Ticket;
use crate::limits;
use crate::recorder::Recorder;
use crate::recorder::recording::{Chunk, PendingCreate, Recording, RecordingWriter};
use crate::store::fact::{
    CallNumber, Fact, RecordReason, RecordReasons, RecordingBegan, RecordingEnd,
};
use crate::store::media::{MediaHeader, MediaWriter};
use crate::store::seal::Envelope;
use crate::store::{layout, seal};
use crate::time::{Now, Position, WallTime, frames_of_ms};
use crate::trace::TraceEvent;
use protocol::{Code, Refusal};
use std::collections::VecDeque;

/// The parameters of a new recording.
pub(in crate::recorder) struct RecordingRequest {
    pub call: CallNumber,
    pub from: Position,
    pub reasons: RecordReasons,
    pub pressed: Option<(AgentIndex, Position)>,
    /// Index of the schedule that allows or causes it.
    pub schedule: Option<usize>,
    pub continues: Option<RecordingId>,
}

/// Who gives a recording a reason.
#[derive(Clone, Copy, Debug)]
pub(in crate::recorder) struct Requester<'a> {
    /// The name that the journal states.
    pub by: &'a str,
    /// Index of the schedule that allows or causes it.
    pub schedule: Option<usize>,
}

/// What a new recording is made of.
pub(in crate::recorder) struct RecordingParts {
    pub stream: EncodeStream,
    /// Audio that is older than the file.
    pub backlog: VecDeque<Chunk>,
    pub envelope: Envelope,
    /// Why and from where it is kept, as text for people.
    pub why: String,
}

const DAY_MS: i64 = 86_400_000;

impl Recorder {
    /// Whether a new recording can start now.
    pub(in crate::recorder) fn can_begin(&self) -> Result<(), Refusal> {
        if self.admin.is_stopping() {
            return Err(Code::ShuttingDown.into());
        }
        self.require_disk()?;
        if self.journal.storage.full {
            return Err(Code::DiskFull.into());
        }
        self.require_new_files()?;
        if self.recordings.is_full() || self.recordings.keys.is_empty() {
            return Err(Code::Busy.into());
        }
        Ok(())
    }

    /// Starts a recording, including the call's recall buffer. The ticket makes it durable.
    pub(in crate::recorder) fn begin_recording(
        &mut self,
        now: Now,
        mut want: RecordingRequest,
    ) -> Result<(RecordingId, Ticket), Refusal> {
        self.can_begin()?;
        let Some(call) = self.calls.get(want.call).cloned() else {
            return Err(Code::NoCall.into());
        };
        let mut why = call.schedule_match.explanation.clone();
        crate::recorder::calls::feed::describe_alterations(&call.altered, &mut why);
        let kept = want.pressed.and_then(|_| self.recordings.recall.take_buffer(want.call));
        let missed = kept.as_ref().and_then(|kept| kept.missed.clone());
        let channel = &self.channels[call.channel.0];
        let (mut stream, backlog) = match kept {
            Some(kept) => {
                kept.describe_reach(call.from, &mut why);
                want.from = kept.start();
                want.pressed = want.pressed.map(|(agent, _)| (agent, kept.start()));
                (kept.stream, kept.chunks)
            }
            None => {
                let encoder = self.recordings.encoders.take(channel, &self.config.audio)?;
                (EncodeStream::new(call.channel, want.from, encoder), VecDeque::new())
            }
        };
        let Some(envelope) = self.recordings.keys.take() else { return Err(Code::Busy.into()) };
        stream.from = want.from;
        let on_air = self.calls.active_call(call.channel).map(|air| air.number);
        if call.is_live() && on_air != Some(want.call) && !stream.held_ranges.is_open() {
            stream.held_ranges.open_at(channel.head());
        }
        let parts = RecordingParts { stream, backlog, envelope, why };
        let (recording, ticket) = self.create_recording(now, &call, want, parts);
        let id = recording.id;
        self.note_call_metadata(now, call.number, (id, recording.key.as_ref()));
        if let Some((from, to, by)) = missed.filter(|(_, to, _)| recording.from < *to) {
            let from = from.max(recording.from);
            self.journal.append(now, Fact::BlackoutMissed { id, by, from, to });
        }
        log::info!("recording {id} began on device {} ({})", call.device, recording.reasons);
        let event = TraceEvent::RecordingBegan { recording: id, device: call.device.clone() };
        self.journal.trace.push_event(now.wall, event);
        let key = self.recordings.insert(recording);
        self.recordings.open_file(now, key, &mut self.journal.storage);
        if let Some(end) = call.ended {
            self.end_recording_at(id, end.position, RecordingEnd::CallEnd);
        }
        self.mark_call_owner(call.number);
        Ok((id, ticket))
    }

    /// Makes a recording and its fact; `files` creates the file.
    pub(in crate::recorder) fn create_recording(
        &mut self,
        now: Now,
        call: &Call,
        want: RecordingRequest,
        parts: RecordingParts,
    ) -> (Recording, Ticket) {
        let RecordingParts { stream, backlog, envelope, why } = parts;
        let file = self.journal.storage.next_file();
        let (id, key) = (envelope.id, envelope.key);
        let place = &self.channels[call.channel.0];
        let header = MediaHeader {
            id,
            codec: stream.encoder().kind(),
            rate: place.rate,
            sides: place.sides,
            bitrate: stream.encoder().bitrate_per_side(),
            channel: place.id,
            from: want.from,
            began: now.wall,
            boot: self.boot,
            delay: stream.delay_frames(),
            wrapped: envelope.wrapped,
        };
        let mut first = Vec::new();
        let media_writer = MediaWriter::create(&header, key.clone(), &mut first);
        let opening = PendingCreate::new(layout::media_path(now.wall, id), first, now);
        let (schedule, retain_until) = self.schedule_retention(now.wall, want.schedule);
        let numbers =
            seal::seal_numbers(key.as_ref(), self.journal.storage.next_sequence(), &call.numbers);
        let began = RecordingBegan {
            id,
            call: call.to_facts(self.owner_name(call)),
            numbers,
            channel: header.channel,
            rate: header.rate,
            sides: header.sides,
            codec: header.codec,
            from: want.from,
            reasons: want.reasons,
            schedule: schedule.clone(),
            why,
            retain_until,
            continues: want.continues,
        };
        let ticket = self.journal.append(now, Fact::RecordingBegan(began));
        let recording = Recording {
            id,
            call: want.call,
            channel: call.channel,
            from: want.from,
            end_recording: None,
            reasons: want.reasons,
            reasons_ever: want.reasons,
            pressed: want.pressed,
            schedule,
            retain_until,
            key,
            file,
            tries: 0,
            writer: Some(RecordingWriter::new(stream, backlog, media_writer, opening)),
            closed: false,
        };
        (recording, ticket)
    }

    /// The name of a schedule, and the retention date of its recordings.
    pub(in crate::recorder) fn schedule_retention(
        &self,
        wall: WallTime,
        schedule: Option<usize>,
    ) -> (Option<String>, WallTime) {
        let schedule = schedule.and_then(|index| self.config.schedules.get(index));
        let days = schedule.map_or(limits::RETENTION_DEFAULT_DAYS, |s| s.retention_days);
        let until = WallTime(wall.0.saturating_add(i64::from(days) * DAY_MS));
        (schedule.map(|s| s.name.clone()), until)
    }

    /// The position where a press starts a recording: the pre-roll, but not before the call.
    pub(in crate::recorder) fn press_start(&self, call: &Call) -> Position {
        let channel = &self.channels[call.channel.0];
        let preroll = u64::from(self.config.audio.preroll_ms);
        let from = channel.head().saturating_sub(frames_of_ms(preroll, channel.rate));
        from.max(call.from).max(channel.ring.tail())
    }

    /// Adds a reason to a running recording, with the longest retention of all its reasons (D6).
    pub(in crate::recorder) fn add_reason(
        &mut self,
        now: Now,
        id: RecordingId,
        reason: RecordReason,
        requester: Requester<'_>,
    ) -> Ticket {
        let Requester { by, schedule } = requester;
        let (_, until) = self.schedule_retention(now.wall, schedule);
        let until = self.translate_retention(until, None, id);
        let Some(recording) = self.recordings.get_mut(id) else {
            return self.journal.storage.durable_ticket();
        };
        let before = recording.reasons;
        recording.reasons.insert(reason);
        recording.reasons_ever.insert(reason);
        let longer = until > recording.retain_until;
        recording.retain_until = recording.retain_until.max(until);
        let (call, reasons) = (recording.call, recording.reasons);
        if longer {
            let fact = Fact::RecordingRetention { id, retain_until: until };
            self.journal.append(now, fact);
        }
        if reasons == before {
            return self.journal.storage.last_fact_ticket();
        }
        self.mark_call_owner(call);
        let fact = Fact::RecordingReasons { id, reasons, by: by.to_string() };
        self.journal.append(now, fact)
    }

    /// Carries the retention of the other reasons over to the new part (D6).
    pub(in crate::recorder) fn inherit_retention(
        &mut self,
        now: Now,
        id: RecordingId,
        until: WallTime,
    ) {
        let new = self.recordings.get_mut(id);
        if let Some(new) = new.filter(|new| new.retain_until < until) {
            new.retain_until = until;
            let fact = Fact::RecordingRetention { id, retain_until: until };
            self.journal.append(now, fact);
        }
    }

    /// Translates the end of a retention into the stamps of recording `to`: from those of recording
    /// `from`, or from the present clock. A step may lie between them.
    pub(in crate::recorder) fn translate_retention(
        &self,
        until: WallTime,
        from: Option<RecordingId>,
        to: RecordingId,
    ) -> WallTime {
        let index = &self.journal.index;
        let sequence = |id| index.record(id).map(|record| record.sequence);
        let from = from.map_or(Some(index.last_sequence()), sequence);
        let (Some(from), Some(to)) = (from, sequence(to)) else { return until };
        index.clock().translate(until, from, to)
    }

    /// Removes reasons; ends the recording with the last one.
    pub(in crate::recorder) fn drop_reasons(
        &mut self,
        now: Now,
        id: RecordingId,
        gone: RecordReasons,
        by: &str,
    ) -> Ticket {
        let Some(recording) = self.recordings.get_mut(id) else {
            return self.journal.storage.durable_ticket();
        };
        let before = recording.reasons;
        recording.reasons.0 &= !gone.0;
        let (reasons, call) = (recording.reasons, recording.call);
        if reasons == before {
            return self.journal.storage.last_fact_ticket();
        }
        self.mark_call_owner(call);
        let fact = Fact::RecordingReasons { id, reasons, by: by.to_string() };
        let ticket = self.journal.append(now, fact);
        if reasons.is_empty() {
            self.end_recording(id, RecordingEnd::Stop, false);
        }
        ticket
    }

    /// Ends a running recording at the head of its channel.
    pub(in crate::recorder) fn end_recording(
        &mut self,
        id: RecordingId,
        why: RecordingEnd,
        flush: bool,
    ) {
        let Some(recording) = self.recordings.get_mut(id) else { return };
        let head = self.channels[recording.channel.0].head();
        recording.set_end(head, why, flush);
        let call = recording.call;
        self.recordings.wake_all();
        self.mark_call_owner(call);
    }

    /// Ends a recording at `at` and releases its remaining audio at once.
    fn end_recording_at(&mut self, id: RecordingId, at: Position, why: RecordingEnd) {
        if let Some(recording) = self.recordings.get_mut(id) {
            recording.set_end(at, why, true);
            self.recordings.wake_all();
        }
    }

    /// Ends all running recordings and releases their remaining audio.
    pub(in crate::recorder) fn end_all_recordings(&mut self, _now: Now, why: RecordingEnd) {
        let open = self.recordings.iter().filter(|recording| recording.writer.is_some());
        let ids: Vec<RecordingId> = open.map(|recording| recording.id).collect();
        ids.into_iter().for_each(|id| self.end_recording(id, why, true));
    }

    /// Ends a recording and starts another of the same call at `at`, without losing a sample (B2).
    pub(in crate::recorder) fn split_recording(
        &mut self,
        now: Now,
        id: RecordingId,
        at: Position,
        next: RecordingRequest,
    ) -> Result<(RecordingId, Ticket), Refusal> {
        self.can_begin()?;
        let held = self.recordings.get(id).and_then(|old| old.writer.as_ref());
        let held = held.map(|writer| writer.stream.held_ranges.clone());
        let (new, ticket) = self.begin_recording(now, next)?;
        if let Some(old) = self.recordings.get_mut(id) {
            old.set_end(at, RecordingEnd::Stop, false);
        }
        let place = self.recordings.get_mut(new);
        let writer = place.and_then(|recording| recording.writer.as_mut());
        if let (Some(writer), Some(held)) = (writer, held) {
            writer.stream.held_ranges.merge(&held);
        }
        Ok((new, ticket))
    }
}
