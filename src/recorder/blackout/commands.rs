//! Agents' commands: record, black out, update; also on their behalf by supervisors and the CTI
//! feed.
//!
//! `visibility` checks whether a command is possible before anything changes. A blackout masks
//! first and is noted after; other commands note their fact as they act.

use crate::audio::channel::ChannelIndex;
use crate::calls::call::Call;
use crate::calls::directory::AgentIndex;
use crate::id::RecordingId;
use crate::job::Ticket;
use crate::limits;
use crate::recorder::blackout::pending_stop::PendingStop;
use crate::recorder::blackout::reach::{BlackoutPress, LatePress, PressReach};
use crate::recorder::blackout::{BlackoutRequest, Receipt};
use crate::recorder::recording::lifecycle::{RecordingRequest, Requester};
use crate::recorder::recording::recall::RecallBuffer;
use crate::recorder::session::response::Response;
use crate::recorder::{Recorder, Recording};
use crate::store::fact::{BlackoutHolder, CallNumber, Fact, RecordReason, RecordReasons};
use crate::time::{Now, Position};
use protocol::{Code, Kind, Refusal, reply};

/// The user who gives a command.
#[derive(Clone, Debug)]
pub(in crate::recorder) struct Actor {
    pub kind: Kind,
    /// Username, or the name of the kind.
    pub name: String,
}

impl Actor {
    fn holder(&self) -> BlackoutHolder {
        match self.kind {
            Kind::Supervisor => BlackoutHolder::Supervisor,
            Kind::Cti => BlackoutHolder::Cti,
            Kind::Agent | Kind::Screen | Kind::Technician | Kind::Monitor => BlackoutHolder::Agent,
        }
    }

    fn reason(&self) -> RecordReason {
        if self.kind == Kind::Supervisor { RecordReason::Supervisor } else { RecordReason::Api }
    }
}

/// Bits of every `BlackoutHolder` that a person can release: digits end by themselves.
const ALL_HOLDERS: u8 = !(1 << BlackoutHolder::Digits as u8);

fn stop_not_kept() -> Refusal {
    let text = "the disk has failed: the blackout stays on, because its end cannot be kept";
    Refusal::new(Code::Storage, text).with_masked()
}

impl Recorder {
    /// `pressed_in`: the call that the agent saw when pressing.
    pub(in crate::recorder) fn record_start(
        &mut self,
        now: Now,
        agent: AgentIndex,
        pressed_in: Option<&str>,
    ) -> Result<Response, Refusal> {
        let number = self.record_start_target(agent)?;
        self.require_same_call(number, pressed_in)?;
        if self.calls.get(number).is_some_and(|call| !call.is_live()) {
            return self.keep_ended_calls(now, agent);
        }
        let name = self.directory.agent_at(agent).username.clone();
        if let Some(seen) = self.visible_running(agent, number) {
            let (id, new) = (seen.id, self.unannounced_reason(seen, RecordReason::Agent));
            let (schedule, from) = self.press_context(number);
            let ticket =
                self.add_reason(now, id, RecordReason::Agent, Requester { by: &name, schedule });
            if let Some(recording) = self.recordings.get_mut(id) {
                recording.pressed.get_or_insert((agent, from));
            }
            self.stale_agents.insert(agent);
            return Ok(self.recording_reply_for(agent, id, ticket).depends_on(id, new));
        }
        let (schedule, from) = self.press_context(number);
        let hidden = self.recordings.running_of(number);
        let hidden = hidden.map(|hidden| (hidden.id, hidden.reasons, hidden.retain_until));
        let mut reasons = RecordReasons::from_reason(RecordReason::Agent);
        reasons.0 |= hidden.map_or(0, |(_, others, _)| others.0);
        let from = from.max(self.earliest_press_start(agent, number));
        let want = RecordingRequest {
            call: number,
            from,
            reasons,
            pressed: Some((agent, from)),
            schedule,
            continues: None,
        };
        let (id, ticket) = match hidden {
            Some((old, _, until)) => {
                let (id, _) = self.split_recording(now, old, from, want)?;
                let until = self.translate_retention(until, Some(old), id);
                self.inherit_retention(now, id, until);
                (id, self.journal.storage.last_fact_ticket())
            }
            None => self.begin_recording(now, want)?,
        };
        Ok(self
            .recording_reply_for(agent, id, ticket)
            .depends_on(id, RecordReasons::from_reason(RecordReason::Agent)))
    }

    /// Keeps the recall of the agent's call in wrap-up and of the calls linked to it. The reply
    /// names the recording of the call that ended last, and the others.
    fn keep_ended_calls(&mut self, now: Now, agent: AgentIndex) -> Result<Response, Refusal> {
        let agents = RecordReasons::from_reason(RecordReason::Agent);
        let keepable = self.keepable_calls(agent).into_iter().map(|call| call.number);
        let mut kept = Vec::new();
        for number in keepable.collect::<Vec<_>>() {
            let known = self.calls.get(number).and_then(|call| self.recording_kept_by(agent, call));
            if let Some(id) = known.map(|known| known.id) {
                kept.push((id, RecordReasons::default()));
                continue;
            }
            let (schedule, from) = self.press_context(number);
            let from = from.max(self.earliest_press_start(agent, number));
            let want = RecordingRequest {
                call: number,
                from,
                reasons: agents,
                pressed: Some((agent, from)),
                schedule,
                continues: None,
            };
            let (id, _) = self.begin_recording(now, want)?;
            kept.push((id, agents));
        }
        let Some((&(id, new), others)) = kept.split_first() else {
            return Err(Code::NoCall.into());
        };
        let others: Vec<String> = others.iter().map(|(other, _)| other.to_string()).collect();
        let reply = self.recording_reply_for(agent, id, self.journal.storage.last_fact_ticket());
        Ok(reply.with_pair("also", &others.join(",")).depends_on(id, new))
    }

    /// The reason, if it is new to the recording or no reply has announced it yet.
    fn unannounced_reason(&self, recording: &Recording, reason: RecordReason) -> RecordReasons {
        let promised = self.sessions.iter().any(|s| s.has_unannounced(recording.id, reason));
        if promised {
            RecordReasons::from_reason(reason)
        } else {
            recording.reasons.only_if_missing(reason)
        }
    }

    /// The on-demand schedule of a call, and where a press on it starts.
    fn press_context(&self, number: CallNumber) -> (Option<usize>, Position) {
        let Some(call) = self.calls.get(number) else { return (None, Position(0)) };
        (call.schedule_match.on_demand, self.press_start(call))
    }

    /// The end of the call's newest recording, since segments never overlap.
    fn earliest_start(&self, number: CallNumber) -> Position {
        let last = self.recordings.newest_of(number).and_then(|last| last.end_recording);
        last.map_or(Position(0), |(to, _)| to)
    }

    /// The earliest start that this agent may know of: recordings by others do not move it (B2).
    fn earliest_press_start(&self, agent: AgentIndex, number: CallNumber) -> Position {
        if !self.sees_only_own(agent) {
            return self.earliest_start(number);
        }
        let own = self.visible_newest(agent, number).and_then(|own| own.end_recording);
        own.map_or(Position(0), |(to, _)| to)
    }

    /// Refuses a press that the agent made in another call than the one it would act on.
    fn require_same_call(
        &self,
        number: CallNumber,
        pressed_in: Option<&str>,
    ) -> Result<(), Refusal> {
        let same = |call: &Call| pressed_in.is_none_or(|id| id == call.id);
        if self.calls.get(number).is_some_and(same) {
            return Ok(());
        }
        let text = "the agent pressed in a call that has ended or changed; nothing was done in the \
                    present call. Press again";
        Err(Refusal::new(Code::NoCall, text))
    }

    pub(in crate::recorder) fn record_stop(
        &mut self,
        now: Now,
        agent: AgentIndex,
        pressed_in: Option<&str>,
    ) -> Result<Response, Refusal> {
        let target = self.record_stop_target(agent)?;
        self.require_same_call(target.call, pressed_in)?;
        let (id, call, running) = (target.id, target.call, target.is_running());
        let (reasons, pressed) = (target.reasons, target.pressed);
        if !running {
            let own = RecordReasons::from_reason(RecordReason::Agent);
            let gone = if self.may_stop_any(agent) { RecordReasons::all() } else { own };
            self.recordings.to_resume.drop_reasons(call, gone);
        }
        if !running || !reasons.contains(RecordReason::Agent) && !self.may_stop_any(agent) {
            return Ok(self.recording_reply_for(
                agent,
                id,
                self.journal.storage.last_fact_ticket(),
            ));
        }
        let name = self.directory.agent_at(agent).username.clone();
        let mut gone = RecordReasons::from_reason(RecordReason::Agent);
        if self.may_stop_any(agent) {
            gone = reasons;
        }
        let rest = RecordReasons(reasons.0 & !gone.0);
        let own = pressed.is_some_and(|(by, _)| by == agent);
        if self.sees_only_own(agent) && own && !rest.is_empty() {
            // For the other reasons, a new recording starts where this one ends, hidden from the
            // agent.
            let head =
                self.recordings.get(id).map_or(Position(0), |r| self.channels[r.channel.0].head());
            let schedule = self.calls.get(call).and_then(|call| call.schedule_match.percentage);
            let want = RecordingRequest {
                call,
                from: head,
                reasons: rest,
                pressed: None,
                schedule: schedule.map(|(index, _)| index),
                continues: None,
            };
            if self.split_recording(now, id, head, want).is_err() {
                // Without room for another file, the recording continues for the other reasons.
                let ticket = self.drop_reasons(now, id, gone, &name);
                let mut said = self.recording_reply_for(agent, id, ticket);
                said.give_up = None;
                return Ok(said);
            }
            if let Some(old) = self.recordings.get_mut(id) {
                old.reasons = RecordReasons::default();
            }
            let fact = Fact::RecordingReasons { id, reasons: RecordReasons::default(), by: name };
            let ticket = self.journal.append(now, fact);
            self.stale_agents.insert(agent);
            return Ok(self.recording_reply_for(agent, id, ticket));
        }
        let ticket = self.drop_reasons(now, id, gone, &name);
        Ok(self.recording_reply_for(agent, id, ticket))
    }

    /// The reply with a recording's state, as this agent may see it.
    fn recording_reply_for(&self, agent: AgentIndex, id: RecordingId, after: Ticket) -> Response {
        let Some(recording) = self.recordings.get(id) else {
            return Response::immediate(Vec::new());
        };
        let only_own = self.sees_only_own(agent);
        let mut reasons = recording.reasons;
        if only_own {
            reasons.0 &= RecordReasons::from_reason(RecordReason::Agent).0;
        }
        let own_from = recording.pressed.filter(|_| only_own).map(|(_, from)| from);
        let from = own_from.unwrap_or(recording.from);
        Self::recording_reply(recording, reasons, from.max(recording.from), after)
    }

    fn recording_reply(
        recording: &Recording,
        reasons: RecordReasons,
        from: Position,
        after: Ticket,
    ) -> Response {
        let mut bytes = Vec::new();
        let on = recording.is_running() && !reasons.is_empty();
        let reasons = if on { reasons } else { RecordReasons::default() };
        let line =
            reply::begin_ok(&mut bytes).pair("recording", recording.id).pair("reasons", reasons);
        line.pair("state", protocol::state::format_on_off(on)).pair("from", from).end();
        Response::after_sync(after, bytes).depends_on(recording.id, RecordReasons::default())
    }

    /// `record start device=D` of a supervisor or the CTI feed.
    pub(in crate::recorder) fn record_start_for(
        &mut self,
        now: Now,
        device: &str,
        by: &Actor,
    ) -> Result<Response, Refusal> {
        let number = self.call_on_device(device)?;
        self.require_disk()?;
        let call = self.calls.get(number).ok_or_else(|| Refusal::from(Code::NoCall))?;
        let from = self.press_start(call);
        let schedule = match by.reason() {
            RecordReason::Api => call.schedule_match.api.or(call.schedule_match.on_demand),
            _ => call.schedule_match.on_demand.or(call.schedule_match.api),
        };
        if schedule.is_none() {
            return Err(Code::NoSchedule.into());
        }
        let running = self.recordings.running_of(number);
        let running =
            running.map(|running| (running.id, self.unannounced_reason(running, by.reason())));
        let new = running.map_or(RecordReasons::from_reason(by.reason()), |(_, new)| new);
        let (id, ticket) = match running {
            Some((id, _)) => {
                self.require_file(id)?;
                (id, self.add_reason(now, id, by.reason(), Requester { by: &by.name, schedule }))
            }
            None => {
                self.require_disk_space()?;
                let want = RecordingRequest {
                    call: number,
                    from: from.max(self.earliest_start(number)),
                    reasons: RecordReasons::from_reason(by.reason()),
                    pressed: None,
                    schedule,
                    continues: None,
                };
                self.begin_recording(now, want)?
            }
        };
        Ok(self.recording_reply_to_actor(id, ticket).depends_on(id, new))
    }

    /// `record stop device=D`: the CTI feed removes its own reason, a supervisor every reason.
    pub(in crate::recorder) fn record_stop_for(
        &mut self,
        now: Now,
        device: &str,
        by: &Actor,
    ) -> Result<Response, Refusal> {
        let number = self.call_on_device(device)?;
        let api = by.reason() == RecordReason::Api;
        let newest =
            self.recordings.running_of(number).or_else(|| self.recordings.newest_of(number));
        let newest = newest.ok_or_else(|| Refusal::from(Code::NotRecording))?;
        // A recording that already stopped gives the resulting state.
        if api && !newest.reasons_ever.contains(RecordReason::Api) {
            let code = if newest.is_running() { Code::NotYours } else { Code::NotRecording };
            return Err(code.into());
        }
        let (id, running) = (newest.id, newest.is_running());
        let gone =
            if api { RecordReasons::from_reason(RecordReason::Api) } else { RecordReasons::all() };
        self.require_disk()?;
        if !running {
            self.recordings.to_resume.drop_reasons(number, gone);
        }
        let ticket = self.drop_reasons(now, id, gone, &by.name);
        Ok(self.recording_reply_to_actor(id, ticket))
    }

    fn recording_reply_to_actor(&self, id: RecordingId, ticket: Ticket) -> Response {
        match self.recordings.get(id) {
            Some(r) => Self::recording_reply(r, r.reasons, r.from, ticket),
            None => Response::immediate(Vec::new()),
        }
    }

    fn call_on_device(&self, device: &str) -> Result<CallNumber, Refusal> {
        let channel = self.calls.channel_of(device).ok_or_else(|| {
            Refusal::new(Code::NoSuchDevice, format!("no channel records device {device}"))
        })?;
        let call = self.calls.active_call(channel).ok_or_else(|| Refusal::from(Code::NoCall))?;
        Ok(call.number)
    }

    pub(in crate::recorder) fn find_agent(&self, user: &str) -> Result<AgentIndex, Refusal> {
        let found = self.directory.find_by_username(user);
        found.ok_or_else(|| Refusal::new(Code::UnknownUser, format!("no agent is called {user}")))
    }

    /// Opens a blackout for `agent`, or adds a holder to the open one.
    pub(in crate::recorder) fn blackout_start(
        &mut self,
        now: Now,
        agent: AgentIndex,
        by: &Actor,
        press: BlackoutPress,
    ) -> Result<Response, Refusal> {
        let BlackoutPress { reach, woke } = press;
        let holder = by.holder();
        let late = LatePress { agent: Some(agent), reach, noted_ms: 0 };
        let target = match by.kind {
            Kind::Agent => self.blackout_start_target(agent),
            _ => self.blackout_start_target_for(agent),
        };
        let (call, recording) = match target {
            Ok(target) => target,
            Err(refusal) => {
                if reach.pressed_ms > 0 && refusal.code != Code::OnDemandOff {
                    self.note_missed(now, late);
                }
                return Err(refusal);
            }
        };
        let recording = recording.map(|r| (r.id, self.visible_start(agent, r)));
        // Audio before the call may belong to another agent, and be stored.
        let kept_from = self.recordings.recall.buffer_of(call).map(RecallBuffer::start);
        let kept_from = kept_from.or(self.calls.get(call).map(|call| call.from));
        if self.blackouts.active_of(agent).is_none() {
            self.require_pressed_call(now, agent, late)?;
        }
        self.roll_back_stop_of(now, agent);
        let receipt = match self.blackouts.active_of(agent) {
            Some(_) => self.join_blackout(now, agent, by, reach),
            // The blackout ended with its call while its stop was pending.
            None if self.calls.get(call).is_none() => return Err(Code::NoCall.into()),
            None => {
                let request = BlackoutRequest {
                    agent: Some(agent),
                    call,
                    recording: recording.map(|(id, _)| id),
                    clip: recording.map(|(_, from)| from).or(kept_from).unwrap_or_default(),
                    holder,
                    by: &by.name,
                    reach,
                    woke,
                };
                self.open_blackout(now, &request)
            }
        };
        let mut said = Self::blackout_reply(now, &self.visible_receipt(agent, by, receipt));
        if self.journal.storage.is_down() {
            said.give_up = Some(now.mono);
        }
        Ok(said)
    }

    /// Adds a holder to the agent's open blackout, and reaches further back if the press is older.
    /// A press of the agent also confirms the blackout for calls that began under it.
    fn join_blackout(
        &mut self,
        now: Now,
        agent: AgentIndex,
        by: &Actor,
        reach: PressReach,
    ) -> Receipt {
        if let Some(index) = self.blackouts.open_index(agent) {
            self.add_blackout_holder(now, index, by.holder(), &by.name);
            self.extend_blackout(now, index, reach);
        }
        let open = self.blackouts.open.iter_mut().find(|open| open.agent == Some(agent));
        if let Some(open) = open.filter(|open| by.kind == Kind::Agent && !open.carried.is_empty()) {
            open.carried.clear();
            self.stale_agents.insert(agent);
        }
        let ticket = self.journal.storage.last_fact_ticket();
        let receipt = self.blackouts.active_of(agent).map(|open| open.make_receipt.clone());
        receipt.map_or_else(Receipt::default, |receipt| Receipt { ticket, ..receipt })
    }

    /// The receipt as this agent may see it. An agent who sees only own recordings (B2) may have
    /// joined a blackout that another user opened.
    fn visible_receipt(&self, agent: AgentIndex, by: &Actor, receipt: Receipt) -> Receipt {
        let named = receipt.recording.and_then(|id| self.recordings.get(id));
        let own = named.is_some_and(|named| Self::was_started_by(named, agent));
        if by.kind != Kind::Agent || !self.sees_only_own(agent) || own {
            return receipt;
        }
        let here = |call: &&Call| self.channels[call.channel.0].id == receipt.channel;
        let call = self.call_in_hand(agent).filter(here);
        let seen = call.and_then(|call| self.visible_running(agent, call.number));
        let kept = call.and_then(|call| self.recordings.recall.buffer_of(call.number));
        let from =
            seen.map(|seen| self.visible_start(agent, seen)).or(kept.map(RecallBuffer::start));
        Receipt {
            recording: seen.map(|seen| seen.id),
            from: from.map_or(receipt.from, |from| from.max(receipt.from)),
            ..receipt
        }
    }

    /// The start of a recording, as this agent may see it.
    fn visible_start(&self, agent: AgentIndex, recording: &Recording) -> Position {
        let own = recording.pressed.filter(|(by, _)| *by == agent && self.sees_only_own(agent));
        own.map_or(recording.from, |(_, from)| from.max(recording.from))
    }

    fn blackout_reply(now: Now, receipt: &Receipt) -> Response {
        let mut bytes = Vec::new();
        for (channel, from) in &receipt.others {
            let row = reply::begin_row(&mut bytes).pair("channel", channel).pair("from", from);
            row.pair("to", "-").end();
        }
        let mut channels = receipt.channel.to_string();
        for (other, _) in &receipt.others {
            channels.push(',');
            channels.push_str(&other.to_string());
        }
        let id = receipt.recording.map_or("-".to_string(), |id| id.to_string());
        let line = reply::begin_ok(&mut bytes).pair("blackout", "on").pair("recording", id);
        let line = line.pair("at", receipt.at).pair("from", receipt.from);
        let line = line.pair("channels", channels).pair("took_us", receipt.took_us);
        line.pair("late_ms", receipt.late_ms).pair("rate", receipt.rate).end();
        let mut said = Response::after_sync(receipt.ticket, bytes);
        said.give_up = Some(now.mono.after_ms(limits::RECEIPT_TIMEOUT_MS));
        said
    }

    /// Ends a blackout for a session that acts for others. `user`: its agent, who may have been
    /// removed from the configuration.
    pub(in crate::recorder) fn blackout_stop_for(
        &mut self,
        now: Now,
        user: &str,
        by: &Actor,
    ) -> Result<Response, Refusal> {
        let orphan = self.blackouts.open.iter().position(|open| {
            open.agent_name.eq_ignore_ascii_case(user)
                && by.kind == Kind::Supervisor
                && self.directory.find_by_username(user).is_none()
        });
        let Some(index) = orphan else {
            let agent = self.find_agent(user)?;
            return self.blackout_stop(now, agent, by);
        };
        if self.journal.storage.is_down() {
            return Err(stop_not_kept());
        }
        let stop = self.release_holders(now, index, ALL_HOLDERS, &by.name);
        Ok(Self::blackout_end_reply(&stop, &stop.before.make_receipt))
    }

    /// The receipt of a blackout that has no holder left.
    fn blackout_end_reply(stop: &PendingStop, was: &Receipt) -> Response {
        let mut bytes = Vec::new();
        let id = was.recording.map_or("-".to_string(), |id| id.to_string());
        let line = reply::begin_ok(&mut bytes).pair("blackout", "off").pair("recording", id);
        line.pair("from", was.from).pair("to", stop.to).end();
        let mut said = Response::after_sync(stop.ticket, bytes);
        said.give_up = Some(stop.until);
        said
    }

    /// Releases one holder of the blackout of `agent`.
    pub(in crate::recorder) fn blackout_stop(
        &mut self,
        now: Now,
        agent: AgentIndex,
        by: &Actor,
    ) -> Result<Response, Refusal> {
        let hidden = by.kind == Kind::Agent && !self.sees_blackout(agent);
        if !hidden && self.journal.storage.is_down() && self.blackouts.active_of(agent).is_some() {
            return Err(stop_not_kept());
        }
        let mut bytes = Vec::new();
        let open =
            if hidden { None } else { self.release_blackout(now, agent, by.holder(), &by.name) };
        let Some(PendingStop { before: was, to, over, places, ticket, until, .. }) = open else {
            let line = reply::begin_ok(&mut bytes).pair("blackout", "off").pair("recording", "-");
            line.pair("from", "-").pair("to", "-").end();
            return Ok(Response::after_sync(self.journal.storage.last_fact_ticket(), bytes));
        };
        let was = self.visible_receipt(agent, by, was.make_receipt);
        let unseen = by.kind == Kind::Agent
            && self.sees_only_own(agent)
            && !self.has_visible_recording(agent);
        let seen_over = over || unseen;
        let ends = |at: Position| if seen_over { at.to_string() } else { "-".to_string() };
        for (channel, from) in &was.others {
            let index = self.channels.iter().position(|c| c.id == *channel).map(ChannelIndex);
            let ended = places.iter().find(|(place, _)| Some(*place) == index).map(|(_, at)| *at);
            let head = || index.map_or(Position(0), |index| self.channels[index.0].head());
            let at = ended.unwrap_or_else(head);
            let row = reply::begin_row(&mut bytes).pair("channel", channel).pair("from", from);
            row.pair("to", ends(at)).end();
        }
        let id = was.recording.map_or("-".to_string(), |id| id.to_string());
        let state = protocol::state::format_on_off(!seen_over);
        let line = reply::begin_ok(&mut bytes).pair("blackout", state).pair("recording", id);
        line.pair("from", was.from).pair("to", ends(to)).end();
        let mut said = Response::after_sync(ticket, bytes);
        said.give_up = Some(until);
        Ok(said)
    }
}
