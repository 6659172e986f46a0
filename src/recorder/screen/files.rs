//! Screen files: create, sync, complete, and abandon after a failure.
//!
//! A call's screen is stored beside its audio under a key derived from the audio's. A screen-only
//! recording is an ordinary media file. A failed file is never written again: its record ends at
//! the last durable point, later video is lost, and the audio continues.

use super::screen_ms;
use crate::calls::directory::AgentIndex;
use crate::config::CodecKind;
use crate::id::RecordingId;
use crate::job::{DiskError, FileId, Job, Ticket};
use crate::recorder::Recorder;
use crate::recorder::recording::Watermark;
use crate::recorder::screen::writer::ScreenWriter;
use crate::store::fact::{
    CallFacts, CallNumber, Fact, PhoneNumbers, RecordReason, RecordReasons, RecordingBegan,
    RecordingEnd,
};
use crate::store::media::{DERIVED_KEY_MARKER, MediaHeader, MediaWriter};
use crate::store::seal::DataKey;
use crate::store::{layout, seal};
use crate::time::Now;
use crate::trace::TraceEvent;
use protocol::{Code, Refusal};

/// Positions per second in a screen's record.
const RATE: u32 = 1000;
/// Channel number of a recording without audio.
const NO_CHANNEL: u16 = 0;

impl Recorder {
    fn screen_header(&self, now: Now, id: RecordingId, wrapped: Vec<u8>) -> MediaHeader {
        MediaHeader {
            id,
            codec: CodecKind::Screen,
            rate: RATE,
            sides: 1,
            bitrate: self.config.screen.kbps * 1000,
            channel: NO_CHANNEL,
            from: screen_ms(now.mono),
            began: now.wall,
            boot: self.boot,
            delay: 0,
            wrapped,
        }
    }

    /// Adds the agent's screen to the call's recording.
    pub(super) fn begin_screen(&mut self, now: Now, agent: AgentIndex, id: RecordingId) {
        let served = self.screens.captures.get(&agent).is_some_and(|c| c.session.is_some());
        let full = self.journal.storage.full
            || self.journal.storage.no_room
            || self.journal.storage.is_down()
            || self.require_new_files().is_err();
        if !served || full || self.admin.is_stopping() {
            return;
        }
        let Some(recording) = self.recordings.get(id) else { return };
        let (key, channel) =
            (recording.key.as_ref().map(DataKey::derive_screen_key), recording.channel);
        let Some(began) = self.journal.index.record(id).map(|record| record.at) else { return };
        let wrapped = if key.is_some() { DERIVED_KEY_MARKER.to_vec() } else { Vec::new() };
        let header = self.screen_header(now, id, wrapped);
        let mut first = Vec::new();
        let media_writer = MediaWriter::create(&header, key, &mut first);
        let opening = (layout::screen_path(began, id), first);
        self.journal.append(now, Fact::ScreenBegan { id });
        let (audio, screen) = (self.channels[channel.0].head(), screen_ms(now.mono));
        self.journal.append(now, Fact::ScreenAligned { id, audio, screen });
        self.create_screen_file(
            now,
            agent,
            ScreenWriter::new(id, Some(channel), media_writer, opening),
        );
    }

    /// Starts a screen-only recording.
    pub(super) fn begin_screen_recording(
        &mut self,
        now: Now,
        agent: AgentIndex,
        schedule: usize,
    ) -> Result<(RecordingId, Ticket), Refusal> {
        let Some(envelope) = self.recordings.keys.take() else { return Err(Code::Busy.into()) };
        let (id, key) = (envelope.id, envelope.key);
        let header = self.screen_header(now, id, envelope.wrapped);
        let person = self.directory.agent_at(agent);
        let (name, phone) = (person.username.clone(), person.phones.first().cloned());
        let sequence = self.journal.storage.next_sequence();
        let numbers = seal::seal_numbers(key.as_ref(), sequence, &PhoneNumbers::default());
        let mut first = Vec::new();
        let media_writer = MediaWriter::create(&header, key, &mut first);
        let (schedule, retain_until) = self.schedule_retention(now.wall, Some(schedule));
        let began = RecordingBegan {
            id,
            call: CallFacts {
                number: CallNumber(0),
                call: "-".to_string(),
                device: phone.unwrap_or_else(|| "-".to_string()),
                consult_of: None,
                agent: Some(name),
                direction: None,
                group: None,
                gate: None,
                began: now.wall,
            },
            numbers,
            channel: NO_CHANNEL,
            rate: RATE,
            sides: 1,
            codec: CodecKind::Screen,
            from: header.from,
            reasons: RecordReasons::from_reason(RecordReason::Agent),
            schedule,
            why: "the screen by itself".to_string(),
            retain_until,
            continues: None,
        };
        let device = began.call.device.clone();
        let ticket = self.journal.append(now, Fact::RecordingBegan(began));
        let opening = (layout::media_path(now.wall, id), first);
        let mut writer = ScreenWriter::new(id, None, media_writer, opening);
        writer.alone = true;
        self.journal
            .trace
            .push_event(now.wall, TraceEvent::RecordingBegan { recording: id, device });
        self.create_screen_file(now, agent, writer);
        Ok((id, ticket))
    }

    fn create_screen_file(&mut self, now: Now, agent: AgentIndex, mut writer: ScreenWriter) {
        log::info!("recording {}: the screen is recorded", writer.id);
        let file = self.journal.storage.next_file();
        writer.file = file;
        if let Some((path, bytes)) = writer.opening.take() {
            self.journal.storage.submit(now.mono, Job::Create { file, path });
            self.journal.storage.submit(now.mono, Job::Append { file, bytes });
        }
        writer.unsynced.push_back((self.journal.storage.next_ticket(), writer.written_end()));
        self.screens.captures.entry(agent).or_default().writers.push(writer);
        self.stale_agents.insert(agent);
    }

    /// Advances watermarks after a sync, and notes the ends of completed files.
    pub(super) fn handle_screen_sync(&mut self, now: Now, agent: AgentIndex, durable: Ticket) {
        let Some(capture) = self.screens.captures.get_mut(&agent) else { return };
        for writer in &mut capture.writers {
            while writer.unsynced.front().is_some_and(|(after, _)| *after <= durable) {
                let Some((_, mark)) = writer.unsynced.pop_front() else { break };
                let (first, id) = (writer.durable.size == 0, writer.id);
                if first && writer.alone {
                    self.sessions
                        .iter_mut()
                        .for_each(|session| session.mark_recording_durable(id, durable));
                }
                writer.durable = mark;
            }
        }
        let done =
            |writer: &mut ScreenWriter| writer.finished.is_some() && writer.unsynced.is_empty();
        for mut writer in capture.writers.extract_if(.., done).collect::<Vec<_>>() {
            let Some(finished) = writer.finished else { continue };
            let ended = writer.complete_summary(finished);
            let (id, why) = (writer.id, finished.end.as_str());
            log::info!("screen of recording {id} closed, {} ms stored", finished.ledger.stored);
            self.append_screen_end(now, &writer, ended, why);
        }
        self.stale_agents.insert(agent);
    }

    fn append_screen_end(
        &mut self,
        now: Now,
        writer: &ScreenWriter,
        ended: crate::store::fact::RecordingEnded,
        why: &'static str,
    ) {
        let fact = if writer.alone {
            self.journal
                .trace
                .push_event(now.wall, TraceEvent::RecordingEnded { recording: writer.id, why });
            Fact::RecordingEnded(ended)
        } else {
            Fact::ScreenEnded(ended)
        };
        self.journal.append(now, fact);
    }

    /// Abandons a screen file after a create or write error.
    pub(in crate::recorder) fn handle_screen_failure(
        &mut self,
        now: Now,
        file: FileId,
        error: DiskError,
        is_creation: bool,
    ) {
        let has = |writer: &ScreenWriter| writer.file == file;
        let place = self.screens.captures.iter().find(|(_, c)| c.writers.iter().any(has));
        let Some(agent) = place.map(|(agent, _)| *agent) else { return };
        match is_creation {
            false => self.raise_write_alarm(now, error, "the file of a screen cannot be written"),
            true => self.note_file_creation(now, Err(error)),
        }
        self.abandon_screens(now, agent, error, has);
    }

    /// Abandons every open screen file after a failed sync: unsynced data is not trusted.
    pub(in crate::recorder) fn handle_screens_failure(&mut self, now: Now, error: DiskError) {
        let agents: Vec<AgentIndex> = self.screens.captures.keys().copied().collect();
        agents.into_iter().for_each(|agent| self.abandon_screens(now, agent, error, |_| true));
    }

    fn abandon_screens(
        &mut self,
        now: Now,
        agent: AgentIndex,
        error: DiskError,
        mut which: impl FnMut(&ScreenWriter) -> bool,
    ) {
        let Some(capture) = self.screens.captures.get_mut(&agent) else { return };
        let gone: Vec<ScreenWriter> =
            capture.writers.extract_if(.., |writer| which(writer)).collect();
        for writer in gone {
            let (id, durable): (RecordingId, Watermark) = (writer.id, writer.durable);
            log::error!(
                "screen of recording {id}: its file failed; {} bytes are kept",
                durable.size
            );
            if writer.finished.is_none() {
                self.journal.storage.submit(now.mono, Job::Close { file: writer.file });
            }
            if writer.alone && durable.size == 0 {
                self.fail_pending_replies(id, error, true);
            }
            let ended = writer.truncated_summary();
            self.append_screen_end(now, &writer, ended, RecordingEnd::Storage.as_str());
        }
        self.stale_agents.insert(agent);
    }
}
