//! Screen commands of agents and capture clients: start, stop, and video segments.
//!
//! Commands and `can` ask the same target functions. A segment is a line and a data block, and its
//! reply waits for the block.

use super::capture::{SegmentError, SegmentWindow};
use super::screen_ms;
use crate::calls::directory::AgentIndex;
use crate::calls::schedule;
use crate::id::{RecordingId, SessionId};
use crate::limits;
use crate::recorder::Recorder;
use crate::recorder::screen::writer::ScreenWriter;
use crate::recorder::session::response::Response;
use crate::store::fact::{RecordReasons, RecordingEnd};
use crate::time::{Now, Position, WallTime};
use protocol::{Code, Hello, Refusal, reply};
use std::borrow::Cow;

/// An announced segment whose block has not arrived.
#[derive(Clone, Copy, Debug)]
pub struct SegmentHeader {
    recording: RecordingId,
    from: WallTime,
    duration_ms: u32,
}

/// What `screen start` would do.
enum ScreenStartPlan {
    /// It runs already, or the call's recording includes the screen (E4).
    Runs(RecordingId),
    /// A screen-only recording starts under this schedule.
    Begins(usize),
}

impl Recorder {
    fn screen_start_at(
        &self,
        now: WallTime,
        agent: AgentIndex,
    ) -> Result<ScreenStartPlan, Refusal> {
        self.need_on_demand()?;
        if self.screen_client(agent).is_none() {
            return Err(Refusal::new(Code::DesktopDisabled, self.screen_disabled_reason(agent)));
        }
        let capture = self.screens.captures.get(&agent);
        let call =
            self.call_in_hand(agent).and_then(|call| self.visible_running(agent, call.number));
        let with_call = call.and_then(|recording| capture?.writer(recording.id));
        let runs = with_call.filter(|writer| writer.is_active());
        let runs = runs.or_else(|| capture.and_then(super::ScreenCapture::running_alone));
        if let Some(writer) = runs {
            return self.require_disk().map(|()| ScreenStartPlan::Runs(writer.id));
        }
        let user = &self.directory.agent_at(agent).username;
        let schedule = schedule::match_user_schedule(&self.config.schedules, user, now);
        let schedule = schedule.ok_or_else(|| Refusal::from(Code::NoSchedule))?;
        self.can_begin().and_then(|()| self.require_disk_space())?;
        Ok(ScreenStartPlan::Begins(schedule))
    }

    /// Whether `screen start` would do something.
    pub(in crate::recorder) fn screen_start_target(
        &self,
        agent: AgentIndex,
    ) -> Result<(), Refusal> {
        self.screen_start_at(self.wall_at(screen_ms(self.now)), agent).map(|_| ())
    }

    /// The screen-only recording that `screen stop` would stop, or has already stopped.
    pub(in crate::recorder) fn screen_stop_target(
        &self,
        agent: AgentIndex,
    ) -> Result<RecordingId, Refusal> {
        self.need_on_demand()?;
        let last = self.screens.captures.get(&agent).and_then(|capture| capture.alone);
        if last.is_none() && self.screen_client(agent).is_none() {
            return Err(Refusal::new(Code::DesktopDisabled, self.screen_disabled_reason(agent)));
        }
        let last = last.ok_or_else(|| Refusal::from(Code::NotRecording))?;
        self.require_disk().map(|()| last)
    }

    pub(in crate::recorder) fn screen_start(
        &mut self,
        now: Now,
        agent: AgentIndex,
    ) -> Result<Response, Refusal> {
        let (id, ticket, new) = match self.screen_start_at(now.wall, agent)? {
            ScreenStartPlan::Runs(id) => (id, self.journal.storage.last_fact_ticket(), false),
            ScreenStartPlan::Begins(schedule) => {
                let (id, ticket) = self.begin_screen_recording(now, agent, schedule)?;
                self.screens.captures.entry(agent).or_default().alone = Some(id);
                (id, ticket, true)
            }
        };
        let mut bytes = Vec::new();
        reply::begin_ok(&mut bytes).pair("recording", id).pair("state", "on").end();
        let reasons = if new {
            RecordReasons::from_reason(crate::store::fact::RecordReason::Agent)
        } else {
            RecordReasons(0)
        };
        Ok(Response::after_sync(ticket, bytes).depends_on(id, reasons))
    }

    pub(in crate::recorder) fn screen_stop(
        &mut self,
        now: Now,
        agent: AgentIndex,
    ) -> Result<Response, Refusal> {
        let id = self.screen_stop_target(agent)?;
        let writers = self.screens.captures.get_mut(&agent).map(|capture| &mut capture.writers);
        let writer = writers.and_then(|writers| writers.iter_mut().find(|writer| writer.id == id));
        let mut ticket = self.journal.storage.last_fact_ticket();
        if let Some(writer) = writer.filter(|writer| writer.end.is_none()) {
            writer.set_end(screen_ms(now.mono), RecordingEnd::Stop);
            let by = self.directory.agent_at(agent).username.clone();
            let fact = crate::store::fact::Fact::RecordingReasons {
                id,
                reasons: RecordReasons::default(),
                by,
            };
            ticket = self.journal.append(now, fact);
            self.stale_agents.insert(agent);
        }
        let mut bytes = Vec::new();
        reply::begin_ok(&mut bytes).pair("recording", id).pair("state", "off").end();
        Ok(Response::after_sync(ticket, bytes))
    }

    /// Why this agent's screen is not recorded, as text for people.
    pub(in crate::recorder) fn screen_disabled_reason(&self, agent: AgentIndex) -> Cow<'_, str> {
        match self.screens.refused.get(&agent) {
            _ if !self.directory.agent_at(agent).screen => {
                "your account is not set for screen recording; ask your administrator".into()
            }
            Some(why) => format!("the box refused the screen capture client: {why}").into(),
            None => "no screen capture client is connected from your workstation".into(),
        }
    }

    /// Remembers why an agent's screen client was refused, for the agent's state.
    pub(in crate::recorder) fn note_screen_hello(
        &mut self,
        user: Option<&str>,
        refusal: Option<&Refusal>,
    ) {
        let Some(agent) = user.and_then(|user| self.directory.find_by_username(user)) else {
            return;
        };
        match refusal {
            Some(refusal) => self.screens.refused.insert(agent, refusal.text.clone()),
            None => self.screens.refused.remove(&agent),
        };
        self.stale_agents.insert(agent);
    }

    /// Accepts a screen capture client for its user, on a machine where that user may work.
    pub(in crate::recorder) fn authenticate_screen(
        &mut self,
        now: Now,
        hello: &Hello<'_>,
    ) -> Result<AgentIndex, Refusal> {
        if !self.config.on_demand.enabled {
            let text = "on-demand recording is switched off here";
            return Err(Refusal::new(Code::OnDemandOff, text));
        }
        let agent = self.log_in(now, hello)?;
        if !self.directory.may_log_in_from(agent, hello.machine.as_deref()) {
            return Err(Refusal::new(Code::Denied, "this user may not work at this machine"));
        }
        if !self.directory.agent_at(agent).screen {
            return Err(Refusal::new(Code::DesktopDisabled, self.screen_disabled_reason(agent)));
        }
        Ok(agent)
    }

    /// Checks a segment's line before its block arrives.
    pub(in crate::recorder) fn announce_segment(
        &mut self,
        id: SessionId,
        recording: &str,
        start: &str,
        duration_ms: u32,
    ) -> Result<Response, Refusal> {
        let named = RecordingId::parse(recording);
        let recording = named.ok_or_else(|| {
            let text = format!("no record is called {recording}");
            Refusal::new(Code::NoSuchRecord, text)
        })?;
        let bad = |text: String| Refusal::new(Code::BadArgument, text);
        let from = WallTime::parse(start)
            .ok_or_else(|| bad(format!("start={start}: a time as 2026-11-22T12:00:00.000Z")))?;
        if !(1..=limits::SCREEN_SEGMENT_MS_MAX).contains(&duration_ms) {
            let most = limits::SCREEN_SEGMENT_MS_MAX;
            return Err(bad(format!("duration_ms={duration_ms}: allowed 1 to {most}")));
        }
        if let Some(session) = self.sessions.get_mut(id) {
            session.piece = Some(SegmentHeader { recording, from, duration_ms });
        }
        Ok(Response::immediate(Vec::new()))
    }

    /// Accepts a segment's block into memory, or refuses it.
    pub(in crate::recorder) fn accept_segment(
        &mut self,
        now: Now,
        id: SessionId,
        (piece, video): (SegmentHeader, &[u8]),
    ) -> Result<(), Refusal> {
        let SegmentHeader { recording, from, duration_ms } = piece;
        let all = self.screens.held_bytes();
        let oldest = screen_ms(now.mono).saturating_sub(self.screen_late_ms());
        let offset =
            now.wall.0.saturating_sub(i64::try_from(now.mono.0 / 1000).unwrap_or(i64::MAX));
        let agent = self.principal_of(id).and_then(|who| who.agent);
        let capture = agent.and_then(|agent| self.screens.captures.get_mut(&agent));
        let capture = capture.filter(|capture| capture.session == Some(id));
        let capture = capture.filter(|capture| capture.writer(recording).is_some());
        let Some(capture) = capture else { return Err(Code::NotRecording.into()) };
        if video.is_empty() {
            return Err(Refusal::new(Code::BadArgument, "a piece without video"));
        }
        // Convert to the recorder's clock with the offset that the client measured. Refuse video
        // from before this start or before the recording, whose masks are gone.
        let from = u64::try_from(from.0.saturating_sub(offset)).map(Position);
        let began = capture.writer(recording).map_or(Position(0), ScreenWriter::start);
        let oldest = oldest.max(began.saturating_sub(limits::SCREEN_AHEAD_MS));
        let from = from.map_err(|_| segment_refusal(SegmentError::Late))?;
        let to = Position(from.0.saturating_add(u64::from(duration_ms)));
        let room = limits::SCREENS_QUEUE_BYTES_MAX.saturating_sub(all - capture.held_bytes);
        let window = SegmentWindow { now: screen_ms(now.mono), oldest, room };
        let said = capture.accept_segment(&window, from, to, video);
        self.admin.counters.screen_pieces += 1;
        self.admin.counters.screen_bytes += video.len() as u64;
        said.map_err(|why| {
            self.admin.counters.screen_refused += 1;
            segment_refusal(why)
        })
    }
}

fn segment_refusal(why: SegmentError) -> Refusal {
    match why {
        SegmentError::Ahead(ms) => {
            let text = format!("it ends {ms} ms ahead of the box's clock; measure it with ping");
            Refusal::new(Code::BadArgument, text)
        }
        SegmentError::Late => {
            let text = "that time is over, or was told already; measure the clock with ping";
            Refusal::new(Code::BadArgument, text)
        }
        SegmentError::Full => {
            let text = "too much video waits for the disk; send fewer pictures";
            Refusal::new(Code::Busy, text)
        }
    }
}
