//! Screens: which are captured, what is masked, and what may leave memory for the disk.
//!
//! A screen belongs to the recording that its agent started (E2), or is a screen-only recording.
//! One capture feeds both. Screen positions are milliseconds since the daemon started, by the
//! recorder's clock. A blackout of the agent, or of the recorded channel, masks the whole screen
//! from the start of its lead (E3). Waiting video under the mask is wiped at once. A segment leaves
//! memory after the holdback and a margin, and only while no audio waits for the disk.
//!
//! Modules: `capture` (segments in memory), `writer` (one screen file), `files` (creation and
//! failures), `commands` (commands and segments), `show` (rows). Video is never decoded.

mod capture;
mod commands;
mod files;
mod show;
mod writer;

use super::{Recorder, Recording};
use crate::audio::channel::ChannelIndex;
use crate::calls::directory::AgentIndex;
use crate::id::{RecordingId, SessionId};
use crate::job::{Job, Ticket};
use crate::limits;
use crate::store::fact::{RecordReason, RecordingEnd};
use crate::time::{MonoTime, Now, Position, WallTime};
use capture::ScreenCapture;
pub(super) use commands::SegmentHeader;
use protocol::name::is_same_name;
use protocol::{CaptureState, Kind};
use std::collections::{BTreeMap, BTreeSet};

/// All screen captures, by agent.
#[derive(Default)]
pub(super) struct Screens {
    captures: BTreeMap<AgentIndex, ScreenCapture>,
    /// Why the box refused an agent's screen client, until it accepts one.
    refused: BTreeMap<AgentIndex, String>,
}

impl Screens {
    /// Whether a recording has an open screen file.
    pub fn has_open_file_of(&self, id: RecordingId) -> bool {
        self.captures.values().any(|capture| capture.writer(id).is_some())
    }

    /// Whether any screen file is open.
    pub fn has_open_files(&self) -> bool {
        self.captures.values().any(|capture| !capture.writers.is_empty())
    }

    /// Forgets why clients were refused, because the configuration has changed.
    pub fn forget_refusals(&mut self) {
        self.refused.clear();
    }

    /// Whether an agent has a running screen-only recording.
    pub fn is_recorded_alone(&self, agent: AgentIndex) -> bool {
        self.captures.get(&agent).is_some_and(|capture| capture.running_alone().is_some())
    }

    fn held_bytes(&self) -> usize {
        self.captures.values().map(|capture| capture.held_bytes).sum()
    }

    /// Bytes submitted to the disk that are not durable yet.
    fn unsynced_bytes(&self) -> u64 {
        let writers = self.captures.values().flat_map(|capture| &capture.writers);
        writers.map(|writer| writer.media_writer.size() - writer.durable.size).sum()
    }

    /// When captures are looked at again, at rest.
    pub fn next_deadline(&self, now: MonoTime) -> Option<MonoTime> {
        self.captures.first_key_value().map(|_| now.after_ms(limits::SCREENS_CHECK_MS))
    }

    pub fn check_invariants(&self) {
        assert!(self.held_bytes() <= limits::SCREENS_QUEUE_BYTES_MAX);
        self.captures.values().for_each(ScreenCapture::check_invariants);
    }
}

/// A time as a screen position, in milliseconds.
fn screen_ms(at: MonoTime) -> Position {
    Position(at.0 / 1000)
}

impl Recorder {
    /// Updates captures from agents, calls and blackouts; writes segments that waited long enough.
    pub(super) fn update_screens(&mut self, now: Now) {
        let mut agents: BTreeSet<AgentIndex> = self.sessions.captured_agents().collect();
        agents.extend(self.screens.captures.keys());
        for agent in agents {
            let session = self.screen_client(agent);
            let capture = self.screens.captures.entry(agent).or_default();
            if std::mem::replace(&mut capture.session, session) != session {
                self.stale_agents.insert(agent);
            }
            self.update_screen_mask(now, agent);
            self.update_screen_files(now, agent);
            self.write_screen(now, agent);
        }
        self.screens.captures.retain(|_, capture| {
            capture.session.is_some() || !capture.writers.is_empty() || capture.alone.is_some()
        });
    }

    /// Disconnects screen clients after a clock step. Their measured offset is wrong, so a blackout
    /// would hide the wrong moment. Disconnected clients discard all buffered video.
    pub(super) fn abort_screen_clients(&mut self, now: Now) {
        let of = |session: &&super::Session| session.kind() == Some(Kind::Screen);
        let all: Vec<SessionId> = self.sessions.iter().filter(of).map(|s| s.id).collect();
        for id in all {
            self.outputs.push_back(super::Output::Abort { session: id });
            self.handle_disconnect(now, id);
        }
    }

    /// The session that captures an agent's screen (E1). The present one has priority, then one on
    /// a machine where the agent is logged in, then the newest.
    pub(super) fn screen_client(&self, agent: AgentIndex) -> Option<SessionId> {
        if !self.directory.agent_at(agent).screen || !self.config.on_demand.enabled {
            return None;
        }
        let machine = |session: &super::Session| session.who.as_ref()?.machine.clone();
        let machines: Vec<String> = self.sessions.sessions_of(agent).filter_map(machine).collect();
        let before = self.screens.captures.get(&agent).and_then(|capture| capture.session);
        let clients = self.sessions.screens_of(agent).filter(|session| !session.closing);
        let rank = |session: &&super::Session| {
            let here = machine(session);
            let here = here.is_some_and(|m| machines.iter().any(|o| is_same_name(o, &m)));
            (Some(session.id) == before, here, session.id.0)
        };
        clients.max_by_key(rank).map(|session| session.id)
    }

    /// Opens and closes the mask over an agent's screen.
    fn update_screen_mask(&mut self, now: Now, agent: AgentIndex) {
        let Some(capture) = self.screens.captures.get(&agent) else { return };
        let channels: Vec<ChannelIndex> =
            capture.writers.iter().filter_map(|t| t.channel).collect();
        let covers = |channel: &ChannelIndex| channels.contains(channel);
        let reaches = self.blackouts.open.iter().filter(|open| open.covered.iter().any(covers));
        let from = self.blackouts.active_of(agent).into_iter().chain(reaches);
        let from = from.map(|open| open.screen_from).min();
        let masked = channels.iter().any(|channel| self.channels[channel.0].is_masked());
        let from = from.or(masked.then(|| screen_ms(now.mono)));
        let Some(capture) = self.screens.captures.get_mut(&agent) else { return };
        match (from, capture.hidden.mask.is_open()) {
            (Some(from), false) => {
                // Older video has left memory, or was under no blackout.
                let oldest = screen_ms(now.mono).saturating_sub(Self::screen_hold_ms(&self.config));
                capture.start_mask(from.saturating_sub(limits::SCREEN_MARGIN_MS).max(oldest));
            }
            // A late press may move the start back.
            (Some(from), true) => {
                let oldest = screen_ms(now.mono).saturating_sub(Self::screen_hold_ms(&self.config));
                let from = from.saturating_sub(limits::SCREEN_MARGIN_MS).max(oldest);
                if capture.hidden.mask.open_from().is_some_and(|open| from < open) {
                    capture.start_mask(from);
                }
            }
            (None, true) => {
                capture.hidden.mask.close_at(screen_ms(now.mono).plus(limits::SCREEN_MARGIN_MS));
            }
            _ => {}
        }
    }

    /// Time that a segment waits in memory, in milliseconds.
    fn screen_hold_ms(config: &crate::config::Config) -> u64 {
        u64::from(config.audio.holdback_ms) + limits::SCREEN_MARGIN_MS
    }

    /// Maximum age of an arriving segment, in milliseconds.
    fn screen_late_ms(&self) -> u64 {
        2 * u64::from(self.config.audio.holdback_ms) + limits::SCREEN_LATE_MS
    }

    /// Starts and ends screen files with the agent's own recordings.
    fn update_screen_files(&mut self, now: Now, agent: AgentIndex) {
        let own = |r: &&Recording| r.pressed.is_some_and(|(by, _)| by == agent);
        let begin = |r: &&Recording| {
            r.is_running()
                && r.reasons.contains(RecordReason::Agent)
                && !r.writer.as_ref().is_none_or(super::RecordingWriter::is_waiting_for_file)
        };
        let new = self.recordings.iter().filter(own).filter(begin);
        let new = new.filter(|r| {
            self.journal.index.record(r.id).is_some_and(|known| known.screen.is_none())
        });
        let new: Vec<RecordingId> = new.map(|recording| recording.id).collect();
        for id in new {
            self.begin_screen(now, agent, id);
        }
        let Some(capture) = self.screens.captures.get_mut(&agent) else { return };
        let at = screen_ms(now.mono);
        for writer in capture.writers.iter_mut().filter(|writer| !writer.alone) {
            match self
                .recordings
                .get(writer.id)
                .map(|r| (r.end_recording, r.reasons.contains(RecordReason::Agent)))
            {
                Some((None, true)) => {
                    writer.idle.close_at(at);
                }
                Some((None, false)) if !writer.idle.is_open() => writer.idle.open_at(at),
                Some((None, false)) => {}
                Some((Some((_, why)), _)) => writer.set_end(at, why),
                None => writer.set_end(at, RecordingEnd::Stop),
            }
        }
        if self.admin.is_stopping() {
            capture
                .writers
                .iter_mut()
                .for_each(|writer| writer.set_end(at, RecordingEnd::Shutdown));
        }
    }

    /// Writes waiting segments in order, and gives missing time its fate.
    fn write_screen(&mut self, now: Now, agent: AgentIndex) {
        let at = screen_ms(now.mono);
        let (hold, late) =
            (Self::screen_hold_ms(&self.config), at.saturating_sub(self.screen_late_ms()));
        while let Some(piece) = self.next_piece(agent, at.saturating_sub(hold)) {
            let Some(capture) = self.screens.captures.get_mut(&agent) else { return };
            for index in 0..capture.writers.len() {
                let writer = &mut capture.writers[index];
                let audio = writer.channel.map(|channel| {
                    let channel = &self.channels[channel.0];
                    let back = at.frames_since(piece.from.min(at)) * u64::from(channel.rate) / 1000;
                    channel.head().saturating_sub(back)
                });
                let mut out = Vec::new();
                writer.append_segment(&piece, audio, &capture.hidden, &mut out);
                let file = writer.file;
                if !out.is_empty() {
                    writer
                        .unsynced
                        .push_back((self.journal.storage.next_ticket(), writer.written_end()));
                    self.journal.storage.submit(now.mono, Job::Append { file, bytes: out });
                }
            }
        }
        self.account_and_close(now, agent, at, late);
        let Some(capture) = self.screens.captures.get_mut(&agent) else { return };
        capture.prune(late);
    }

    /// The oldest segment, if it waited long enough and the disk is not busy.
    fn next_piece(
        &mut self,
        agent: AgentIndex,
        before: Position,
    ) -> Option<writer::WaitingSegment> {
        let most = limits::SCREENS_UNSYNCED_BYTES_MAX as u64;
        let busy = self.journal.storage.is_down() || self.journal.storage.slow;
        if busy || self.screens.unsynced_bytes() > most {
            return None;
        }
        let capture = self.screens.captures.get_mut(&agent)?;
        let ready =
            capture.oldest_span().is_some_and(|(_, to)| to <= before) || self.admin.is_stopping();
        let opened = capture.writers.iter().all(|writer| writer.opening.is_none());
        if ready && opened { capture.take_oldest() } else { None }
    }

    /// Marks missing time as lost, and closes files that reached their end.
    fn account_and_close(&mut self, now: Now, agent: AgentIndex, at: Position, late: Position) {
        if self.journal.storage.is_down() || self.journal.storage.slow {
            return;
        }
        let Some(capture) = self.screens.captures.get_mut(&agent) else { return };
        let first = capture.oldest_span().map(|(from, _)| from);
        for index in 0..capture.writers.len() {
            // The last segment may be short and arrives after its lead. A disconnected client sends
            // none.
            let heard = |end: Position| {
                let last = end.saturating_sub(limits::SCREEN_MARGIN_MS);
                capture.session.is_none() || capture.has_received_until(last)
            };
            let writer = &capture.writers[index];
            if writer.opening.is_some() || writer.finished.is_some() {
                continue;
            }
            let over = writer.end.filter(|(end, _)| {
                *end <= at
                    && (*end <= late || self.admin.is_stopping() || first.is_none() && heard(*end))
            });
            let to = over.map_or(late, |(end, _)| end);
            let to = first.map_or(to, |first| first.min(to));
            let long = to.0.saturating_sub(writer.cursor().0) >= limits::SCREEN_GAP_FLUSH_MS;
            let writer = &mut capture.writers[index];
            let mut out = Vec::new();
            if long || over.is_some() {
                writer.skip_to(to, &capture.hidden, &mut out);
            }
            let closes = over.is_some_and(|(end, _)| writer.cursor() == end);
            if closes {
                writer.finish(&mut out);
            }
            if out.is_empty() {
                continue;
            }
            writer.unsynced.push_back((self.journal.storage.next_ticket(), writer.written_end()));
            let file = writer.file;
            self.journal.storage.submit(now.mono, Job::Append { file, bytes: out });
            if closes {
                self.journal.storage.submit(now.mono, Job::Close { file });
                self.journal.storage.request_sync();
            }
        }
    }

    /// The state that a screen capture client should be in.
    pub(super) fn capture_state(&self, session: SessionId, agent: AgentIndex) -> CaptureState {
        let capture = self.screens.captures.get(&agent);
        let capture = capture.filter(|capture| capture.session == Some(session));
        let wanted = capture.and_then(ScreenCapture::wanted_by);
        let settings = &self.config.screen;
        let blackout = capture.and_then(|capture| capture.hidden.mask.open_from());
        let was = self.sessions.get(session).and_then(|session| session.sent_capture.as_ref());
        let was_black = was.is_some_and(|was| was.blackout);
        let since = match (blackout, was_black) {
            (Some(from), false) => from,
            (None, true) => screen_ms(self.now).plus(limits::SCREEN_MARGIN_MS),
            _ => screen_ms(self.now),
        };
        CaptureState {
            capture: wanted.is_some(),
            recording: wanted.map(|writer| writer.id.to_string()),
            fps: settings.fps.into(),
            scale: settings.scale.into(),
            kbps: settings.kbps.into(),
            blackout: blackout.is_some(),
            since: self.wall_at(since).to_string(),
            hold_ms: u64::from(self.config.blackout.lead_ms) + limits::SCREEN_MARGIN_MS,
        }
    }

    fn wall_at(&self, at: Position) -> WallTime {
        WallTime(i64::try_from(at.0).unwrap_or(i64::MAX).saturating_add(self.clock_offset_ms))
    }

    /// Whether the agent's screen is in a recording that the agent may see.
    pub(super) fn sees_screen_recording(&self, agent: AgentIndex) -> bool {
        let Some(capture) = self.screens.captures.get(&agent) else { return false };
        capture.wanted_by().is_some()
    }

    /// Advances all screens to the durable sync.
    pub(super) fn last_screen_ticket(&mut self, now: Now, durable: Ticket) {
        let agents: Vec<AgentIndex> = self.screens.captures.keys().copied().collect();
        agents.into_iter().for_each(|agent| self.handle_screen_sync(now, agent, durable));
    }
}
