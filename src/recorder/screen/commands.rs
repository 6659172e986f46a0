//! What agents and screen capture clients say of screens: start, stop, and the pieces themselves.
//!
//! Whether an agent may is asked of the same functions by the command and by `can`. A piece comes
//! as a line and a data block; its answer waits for the block.

use super::capture::NotTaken;
use super::ms;
use crate::calls::directory::AgentIndex;
use crate::calls::permission::Permission;
use crate::calls::schedule;
use crate::id::{RecordingId, SessionId};
use crate::limits;
use crate::recorder::Recorder;
use crate::recorder::screen::writer::ScreenTape;
use crate::recorder::session::command::Said;
use crate::store::fact::{Reasons, RecordingEnd};
use crate::time::{Now, Position, Wall};
use protocol::{Code, Hello, Refusal, reply};

/// A piece that a line announced; its block is to follow.
#[derive(Clone, Copy, Debug)]
pub struct Announced {
    recording: RecordingId,
    from: Wall,
    duration_ms: u32,
}

/// What `screen start` would do.
enum Start {
    /// It runs, or the call's recording has it already (E4).
    Runs(RecordingId),
    /// A recording by itself, under this schedule.
    Begins(usize),
}

impl Recorder {
    fn may_start(&self, now: Wall, agent: AgentIndex) -> Result<Start, Refusal> {
        self.need(agent, Permission::Screen)?;
        if self.screen_client(agent).is_none() {
            return Err(Refusal::new(Code::DesktopDisabled, self.screen_disabled(agent)));
        }
        let capture = self.screens.captures.get(&agent);
        let call = self.current_call(agent).and_then(|call| self.seen_running(agent, call.number));
        let with_call = call.and_then(|recording| capture?.tape(recording.id));
        let runs = with_call.filter(|tape| tape.wanted());
        let runs = runs.or_else(|| capture.and_then(super::Capture::running_alone));
        if let Some(tape) = runs {
            return self.need_disk().map(|()| Start::Runs(tape.id));
        }
        let user = &self.directory.agent(agent).username;
        let schedule = schedule::matching_user(&self.config.schedules, user, now);
        let schedule = schedule.ok_or_else(|| Refusal::from(Code::NoSchedule))?;
        self.can_begin().and_then(|()| self.need_room())?;
        Ok(Start::Begins(schedule))
    }

    pub(in crate::recorder) fn may_screen_start(&self, agent: AgentIndex) -> Result<(), Refusal> {
        self.may_start(self.wall_of(ms(self.now)), agent).map(|_| ())
    }

    /// The recording by itself that `screen stop` would stop, or has stopped already.
    pub(in crate::recorder) fn may_screen_stop(
        &self,
        agent: AgentIndex,
    ) -> Result<RecordingId, Refusal> {
        self.need(agent, Permission::Screen)?;
        let last = self.screens.captures.get(&agent).and_then(|capture| capture.alone);
        if last.is_none() && self.screen_client(agent).is_none() {
            return Err(Refusal::new(Code::DesktopDisabled, self.screen_disabled(agent)));
        }
        let last = last.ok_or_else(|| Refusal::from(Code::NotRecording))?;
        self.need_disk().map(|()| last)
    }

    pub(in crate::recorder) fn screen_start(
        &mut self,
        now: Now,
        agent: AgentIndex,
    ) -> Result<Said, Refusal> {
        let (id, ticket, new) = match self.may_start(now.wall, agent)? {
            Start::Runs(id) => (id, self.storage.settled(), false),
            Start::Begins(schedule) => {
                let (id, ticket) = self.begin_alone(now, agent, schedule)?;
                self.screens.captures.entry(agent).or_default().alone = Some(id);
                (id, ticket, true)
            }
        };
        let mut bytes = Vec::new();
        reply::ok(&mut bytes).pair("recording", id).pair("state", "on").end();
        let reasons =
            if new { Reasons::only(crate::store::fact::Reason::Agent) } else { Reasons(0) };
        Ok(Said::after(ticket, bytes).keeps(id, reasons))
    }

    pub(in crate::recorder) fn screen_stop(
        &mut self,
        now: Now,
        agent: AgentIndex,
    ) -> Result<Said, Refusal> {
        let id = self.may_screen_stop(agent)?;
        let tapes = self.screens.captures.get_mut(&agent).map(|capture| &mut capture.tapes);
        let tape = tapes.and_then(|tapes| tapes.iter_mut().find(|tape| tape.id == id));
        let mut ticket = self.storage.settled();
        if let Some(tape) = tape.filter(|tape| tape.end.is_none()) {
            tape.set_end(ms(now.mono), RecordingEnd::Stop);
            let by = self.directory.agent(agent).username.clone();
            let fact =
                crate::store::fact::Fact::RecordingReasons { id, reasons: Reasons::default(), by };
            ticket = self.storage.note(&mut self.index, now, fact);
            self.stale_news.insert(agent);
        }
        let mut bytes = Vec::new();
        reply::ok(&mut bytes).pair("recording", id).pair("state", "off").end();
        Ok(Said::after(ticket, bytes))
    }

    /// Why this agent's screen is not recorded, for people.
    pub(in crate::recorder) fn screen_disabled(&self, agent: AgentIndex) -> &'static str {
        if self.directory.agent(agent).screen {
            "no screen capture client is connected from your workstation"
        } else {
            "your account is not set for screen recording; ask your administrator"
        }
    }

    /// A screen capture client is its user's, at a machine where that user may work.
    pub(in crate::recorder) fn screen_hello(
        &mut self,
        now: Now,
        id: SessionId,
        hello: &Hello<'_>,
    ) -> Result<Said, Refusal> {
        if !self.config.on_demand.enabled {
            let text = "on-demand recording is switched off here";
            return Err(Refusal::new(Code::OnDemandOff, text));
        }
        let agent = self.log_in(now, hello)?;
        if !self.directory.may_sit_at(agent, hello.machine.as_deref()) {
            return Err(Refusal::new(Code::Denied, "this user may not work at this machine"));
        }
        if !self.directory.agent(agent).screen {
            return Err(Refusal::new(Code::DesktopDisabled, self.screen_disabled(agent)));
        }
        self.stale_news.insert(agent);
        Ok(self.welcome(now, id, hello, Some(agent)))
    }

    /// The line of a piece: what can be said of it before its block is there.
    pub(in crate::recorder) fn segment(
        &mut self,
        id: SessionId,
        (recording, start): (&str, &str),
        duration_ms: u32,
    ) -> Result<Said, Refusal> {
        let named = RecordingId::parse(recording);
        let recording = named.ok_or_else(|| {
            let text = format!("no record is called {recording}");
            Refusal::new(Code::NoSuchRecord, text)
        })?;
        let bad = |text: String| Refusal::new(Code::BadArgument, text);
        let from = Wall::parse(start)
            .ok_or_else(|| bad(format!("start={start}: a time as 2026-11-22T12:00:00.000Z")))?;
        if !(1..=limits::SCREEN_PIECE_MS).contains(&duration_ms) {
            let most = limits::SCREEN_PIECE_MS;
            return Err(bad(format!("duration_ms={duration_ms}: allowed 1 to {most}")));
        }
        if let Some(session) = self.sessions.get_mut(id) {
            session.piece = Some(Announced { recording, from, duration_ms });
        }
        Ok(Said::now(Vec::new()))
    }

    /// The block of a piece: it waits in memory, or is refused.
    pub(in crate::recorder) fn take_piece(
        &mut self,
        now: Now,
        id: SessionId,
        (piece, video): (Announced, &[u8]),
    ) -> Result<(), Refusal> {
        let Announced { recording, from, duration_ms } = piece;
        let all = self.screens.held_bytes();
        let oldest = ms(now.mono).back(self.screen_late_ms());
        let offset =
            now.wall.0.saturating_sub(i64::try_from(now.mono.0 / 1000).unwrap_or(i64::MAX));
        let agent = self.who(id).and_then(|who| who.agent);
        let capture = agent.and_then(|agent| self.screens.captures.get_mut(&agent));
        let capture = capture.filter(|capture| capture.session == Some(id));
        let capture = capture.filter(|capture| capture.tape(recording).is_some());
        let Some(capture) = capture else { return Err(Code::NotRecording.into()) };
        if video.is_empty() {
            return Err(Refusal::new(Code::BadArgument, "a piece without video"));
        }
        // By the box's clock: the client has measured how far its own is off. Nothing is taken from
        // before this start of the box or before the recording: what was hidden then is forgotten.
        let from = u64::try_from(from.0.saturating_sub(offset)).map(Position);
        let began = capture.tape(recording).map_or(Position(0), ScreenTape::from);
        let oldest = oldest.max(began.back(limits::SCREEN_AHEAD_MS));
        let from = from.map_err(|_| refusal(NotTaken::Late))?;
        let to = Position(from.0.saturating_add(u64::from(duration_ms)));
        let room = limits::SCREENS_HELD_BYTES.saturating_sub(all - capture.held_bytes);
        let said = capture.hear((ms(now.mono), oldest), (from, to), video, room);
        self.counters.screen_pieces += 1;
        self.counters.screen_bytes += video.len() as u64;
        said.map_err(|why| {
            self.counters.screen_refused += 1;
            refusal(why)
        })
    }
}

fn refusal(why: NotTaken) -> Refusal {
    match why {
        NotTaken::Ahead(ms) => {
            let text = format!("it ends {ms} ms ahead of the box's clock; measure it with ping");
            Refusal::new(Code::BadArgument, text)
        }
        NotTaken::Late => {
            let text = "that time is over, or was told already; measure the clock with ping";
            Refusal::new(Code::BadArgument, text)
        }
        NotTaken::Full => {
            let text = "too much video waits for the disk; send fewer pictures";
            Refusal::new(Code::Busy, text)
        }
    }
}
