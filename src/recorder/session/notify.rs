//! Sending replies, agents' states and events.
//!
//! Notifications are never queued. A session remembers the last state it was sent; when the agent's
//! state changed and the client has room, the session sends the newest. An agent who sees only own
//! recordings (B2) gets a state made from those alone. Hidden changes therefore cause no line.

use crate::calls::call::Call;
use crate::calls::directory::AgentIndex;
use crate::limits;
use crate::recorder::blackout::visibility::NamedCall;
use crate::recorder::{Output, Recorder, Session, Timer};
use crate::store::fact::{CallNumber, RecordReason, RecordReasons};
use crate::time::Now;
use protocol::{
    AgentState, CaptureState, Code, Command, Kind, Refusal, Request, ScreenMode, reply,
};

impl Recorder {
    /// Marks the owner of a call for a new state.
    pub(in crate::recorder) fn mark_call_owner(&mut self, number: CallNumber) {
        let Some(call) = self.calls.get(number) else { return };
        let owner = call.owner();
        self.stale_agents.extend(owner);
    }

    /// An agent's state, as that agent may see it.
    pub(in crate::recorder) fn agent_state(&self, agent: AgentIndex) -> AgentState {
        let call = self.call_in_hand(agent);
        let recording = call.and_then(|call| self.visible_running(agent, call.number));
        let mut reasons = recording.map(|r| r.reasons).unwrap_or_default();
        if self.sees_only_own(agent) {
            reasons.0 &= RecordReasons::from_reason(RecordReason::Agent).0;
        }
        let open = self.blackouts.active_of(agent).filter(|_| self.sees_blackout(agent));
        let left = open.filter(|open| open.warned).map(|open| {
            let ceiling_us = u64::from(self.config.blackout.max_s) * 1_000_000;
            ceiling_us.saturating_sub(open.captured_us).div_ceil(1_000_000)
        });
        let update = self.update_target(agent, &NamedCall::default());
        AgentState {
            call: call.map(|call| call.id.clone()),
            direction: call.and_then(|call| call.direction).map(|direction| match direction {
                crate::config::Direction::In => protocol::Direction::In,
                crate::config::Direction::Out => protocol::Direction::Out,
            }),
            recording: recording.is_some(),
            recording_id: recording.map(|recording| recording.id.to_string()),
            reasons: if reasons.is_empty() { String::new() } else { reasons.to_string() },
            blackout: open.is_some(),
            blackout_ms: open.map_or(0, |open| open.captured_us / 1000),
            screen: self.screen_mode(agent),
            can: self.allowed_commands(agent),
            note: left
                .map(|s| format!("the blackout ends by itself in {s} s; press stop if done"))
                .or_else(|| self.workstation_note(agent))
                .or_else(|| self.screen_note(agent)),
            update_call: update.ok().map(|recording| recording.call.0),
            masked: call.is_some_and(|call| self.sees_mask(agent, call)),
            carried: call.zip(open).is_some_and(|(call, open)| open.carried.contains(&call.number)),
            held: call.is_some_and(|call| call.is_held),
        }
    }

    /// Whether the channel of the call is masked, as far as the agent may know (B2).
    fn sees_mask(&self, agent: AgentIndex, call: &Call) -> bool {
        let known = !self.sees_only_own(agent)
            || self.sees_blackout(agent)
            || self.has_visible_recording(agent);
        known && self.channels[call.channel.0].is_hidden()
    }

    fn screen_mode(&self, agent: AgentIndex) -> ScreenMode {
        match self.screen_client(agent) {
            None => ScreenMode::Disabled,
            Some(_) if self.sees_screen_recording(agent) => ScreenMode::On,
            Some(_) => ScreenMode::Off,
        }
    }

    /// The reason an agent's screen is not recorded, for agents who expect it to be (E1).
    fn screen_note(&self, agent: AgentIndex) -> Option<String> {
        let expects = self.directory.agent_at(agent).screen
            || self.agent_has(agent, crate::calls::permission::Permission::Screen);
        let disabled = self.screen_mode(agent) == ScreenMode::Disabled;
        (expects && disabled).then(|| format!("screen: {}", self.screen_disabled_reason(agent)))
    }

    /// Whether two states differ apart from a blackout's running time and the numbers in a note.
    fn states_differ(old: &AgentState, new: &AgentState) -> bool {
        let mut same_time = new.clone();
        same_time.blackout_ms = old.blackout_ms;
        let words = |note: &str| note.replace(|c: char| c.is_ascii_digit(), "");
        if old.note.as_deref().map(words) == new.note.as_deref().map(words) {
            same_time.note.clone_from(&old.note);
        }
        same_time != *old
    }

    /// Sends every reply and notification that may leave now, session by session.
    pub(in crate::recorder) fn flush_replies(&mut self) {
        let stale = std::mem::take(&mut self.stale_agents);
        self.sessions.mark_state_changed(&stale);
        let count = self.sessions.count();
        for step in 0..count {
            let id = self.sessions.id_at((self.next_answer + step) % count.max(1));
            self.flush_session(id);
        }
        self.next_answer = self.next_answer.wrapping_add(1) % count.max(1);
    }

    fn flush_session(&mut self, id: crate::id::SessionId) {
        self.feed_stream(id);
        let durable = self.journal.storage.durable_ticket();
        let Some(session) = self.sessions.get_mut(id) else { return };
        loop {
            while let Some(bytes) = session.next_reply(durable) {
                self.outputs.push_back(Output::Send { session: id, bytes });
            }
            if !session.queue_close_reason() {
                break;
            }
        }
        if session.closing {
            if session.is_idle() {
                self.timers.advance(Timer::Sessions, self.now);
            }
            return; // nothing follows the last reply
        }
        if session.state_changed
            && session.stream.is_none()
            && session.room > limits::REPLY_RESERVE_BYTES
        {
            session.state_changed = false;
            if let Some(agent) = session.logged_in_agent() {
                self.push_state(id, agent);
            }
        }
        self.push_capture(id);
        self.push_checkpoint(id);
        self.push_events(id);
    }

    /// Sends a screen capture client its new state, if it changed.
    fn push_capture(&mut self, id: crate::id::SessionId) {
        let Some(session) = self.sessions.get(id) else { return };
        let Some(agent) = session.captured_agent() else { return };
        if session.room <= limits::REPLY_RESERVE_BYTES {
            return;
        }
        let state = self.capture_state(id, agent);
        let Some(session) = self.sessions.get_mut(id) else { return };
        let same =
            |old: &CaptureState| CaptureState { since: old.since.clone(), ..state.clone() } == *old;
        if session.sent_capture.as_ref().is_some_and(same) {
            return;
        }
        let mut bytes = Vec::new();
        state.write(&mut bytes);
        session.sent_capture = Some(state);
        session.room = session.room.saturating_sub(bytes.len());
        self.outputs.push_back(Output::Send { session: id, bytes });
    }

    fn push_state(&mut self, id: crate::id::SessionId, agent: AgentIndex) {
        let state = self.agent_state(agent);
        let Some(session) = self.sessions.get_mut(id) else { return };
        if session.sent_state.as_ref().is_some_and(|old| !Self::states_differ(old, &state)) {
            return;
        }
        let mut bytes = Vec::new();
        state.write(&mut bytes);
        session.sent_state = Some(state);
        session.room = session.room.saturating_sub(bytes.len());
        self.outputs.push_back(Output::Send { session: id, bytes });
    }

    /// Sends the newest checkpoint after login. Agents who see only own recordings get none: its
    /// number would reveal others' recordings (B2).
    fn push_checkpoint(&mut self, id: crate::id::SessionId) {
        let Some(newest) = self.journal.storage.newest_checkpoint() else { return };
        let Some(session) = self.sessions.get(id) else { return };
        let hidden = session.logged_in_agent().is_some_and(|agent| self.sees_only_own(agent));
        let room = session.stream.is_none() && session.room > limits::REPLY_RESERVE_BYTES;
        let known = session.who.is_none() || session.sent_checkpoint == newest.sequence;
        if hidden || known || !room {
            return;
        }
        let mut bytes = Vec::new();
        let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
        let line = reply::begin_event(&mut bytes).pair("what", "checkpoint");
        let line = line.pair("seq", newest.sequence).pair("digest", hex(&newest.chain));
        line.pair("sig", hex(&newest.signature)).pair("at", newest.at).end();
        let sequence = newest.sequence;
        if let Some(session) = self.sessions.get_mut(id) {
            session.sent_checkpoint = sequence;
            session.room = session.room.saturating_sub(bytes.len());
            self.outputs.push_back(Output::Send { session: id, bytes });
        }
    }

    fn push_events(&mut self, id: crate::id::SessionId) {
        let Some(session) = self.sessions.get(id).filter(|session| session.stream.is_none()) else {
            return;
        };
        let Some(mut next) = session.watch else { return };
        let user = session.who.as_ref().map(|who| (who.kind, who.agent));
        let may = user.is_some_and(|(kind, agent)| self.may_watch(kind, agent));
        let Some(session) = self.sessions.get_mut(id) else { return };
        if !may {
            // A reload took the right away.
            session.watch = None;
            return;
        }
        while session.room > limits::REPLY_RESERVE_BYTES {
            let Some(traced) = self.journal.trace.first_since(next) else { break };
            let mut bytes = Vec::new();
            if traced.sequence > next {
                reply::begin_event(&mut bytes).pair("lost", traced.sequence - next).end();
            }
            crate::recorder::admin::status::write_event(traced, &mut bytes);
            next = traced.sequence + 1;
            let told = next;
            session.room = session.room.saturating_sub(bytes.len());
            self.outputs.push_back(Output::Send { session: id, bytes });
            self.journal.trace.mark_delivered(told);
        }
        session.watch = Some(next);
    }

    fn may_watch(&self, kind: Kind, agent: Option<AgentIndex>) -> bool {
        let Some(entry) = protocol::table::form_for("watch", kind) else { return false };
        let request = Request { command: Command::Watch { from: None }, entry };
        self.check_permissions(&request, kind, agent).is_ok()
    }

    /// Replaces receipts that waited too long for their sync: the mask is in force regardless.
    pub(in crate::recorder) fn expire_receipts(&mut self, now: Now) {
        let durable = self.journal.storage.durable_ticket();
        let text = "the mask is in force, but the disk is slow: it is not on record yet";
        let mut bytes = Vec::new();
        reply::begin_err(&mut bytes, &Refusal::new(Code::Storage, text).with_masked()).end();
        self.sessions.iter_mut().for_each(|s| s.expire_receipts(now.mono, durable, &bytes));
        let next = self.sessions.iter().filter_map(Session::receipt_deadline).min();
        self.timers.rearm(Timer::Receipts, now.mono, next);
    }

    /// Starts sending events to a session, beginning with event `from`.
    pub(in crate::recorder) fn begin_watch(
        &mut self,
        id: crate::id::SessionId,
        from: Option<u64>,
    ) -> Result<super::response::Response, Refusal> {
        let next = self.journal.trace.next_sequence();
        if let Some(session) = self.sessions.get_mut(id) {
            let first = from.map_or(next, |from| from.clamp(1, next));
            session.watch.get_or_insert(first);
        }
        Ok(super::response::Response::ok(crate::job::Ticket(0)))
    }

    pub(in crate::recorder) fn report_status(
        &mut self,
        now: Now,
        id: crate::id::SessionId,
    ) -> Result<super::response::Response, Refusal> {
        let mut bytes = Vec::new();
        let agent = self.sessions.get(id).and_then(Session::logged_in_agent);
        match agent {
            Some(agent) => self.agent_state(agent).write_to(reply::begin_row(&mut bytes)).end(),
            None => {
                self.box_rows(now, &mut bytes);
                self.blackout_rows(id, &mut bytes);
            }
        }
        reply::begin_ok(&mut bytes).end();
        Ok(super::response::Response::immediate(bytes))
    }
}
