//! The agents' commands: record, black out, update. One short function each.
//!
//! Whether they may is asked of `rights`, always before anything is changed. A blackout acts first
//! and is noted after; everything else is noted in the same breath. Also here: the same commands
//! given by a supervisor or the CTI feed for somebody else.

use crate::audio::channel::ChannelIndex;
use crate::calls::call::Call;
use crate::calls::directory::AgentIndex;
use crate::id::RecordingId;
use crate::job::Ticket;
use crate::limits;
use crate::recorder::blackout::pending_stop::Stop;
use crate::recorder::blackout::{Press, Receipt};
use crate::recorder::recording::lifecycle::Wanted;
use crate::recorder::recording::recall::Latent;
use crate::recorder::session::command::Said;
use crate::recorder::{Recorder, Recording};
use crate::store::fact::{CallNumber, Fact, Holder, Reason, Reasons};
use crate::store::seal;
use crate::time::{Mono, Now, Position};
use protocol::command::bad_character;
use protocol::{Code, Kind, Refusal, reply};

/// Who commands, on whose behalf.
#[derive(Clone, Debug)]
pub(in crate::recorder) struct By {
    pub kind: Kind,
    /// Username, or the kind's word.
    pub name: String,
}

impl By {
    fn holder(&self) -> Holder {
        match self.kind {
            Kind::Supervisor => Holder::Supervisor,
            Kind::Cti => Holder::Cti,
            Kind::Agent | Kind::Screen | Kind::Technician | Kind::Monitor => Holder::Agent,
        }
    }

    fn reason(&self) -> Reason {
        if self.kind == Kind::Supervisor { Reason::Supervisor } else { Reason::Api }
    }
}

impl Recorder {
    pub(in crate::recorder) fn record_start(
        &mut self,
        now: Now,
        agent: AgentIndex,
    ) -> Result<Said, Refusal> {
        let number = self.may_record_start(agent)?;
        let name = self.directory.agent(agent).username.clone();
        if let Some(seen) = self.seen_running(agent, number) {
            let (id, new) = (seen.id, self.unheard(seen, Reason::Agent));
            let (schedule, from) = self.press_of(number);
            let ticket = self.add_reason(now, id, Reason::Agent, (&name, schedule));
            if let Some(recording) = self.recordings.iter_mut().find(|r| r.id == id) {
                recording.pressed.get_or_insert((agent, from));
            }
            self.stale_news.insert(agent);
            return Ok(self.record_said(agent, id, ticket).keeps(id, new));
        }
        let kept = self.calls.get(number).and_then(|call| self.pressed(agent, call));
        if let Some(id) = kept.map(|kept| kept.id) {
            return Ok(self.record_said(agent, id, self.storage.settled()));
        }
        let (schedule, from) = self.press_of(number);
        let hidden = self.running_of(number);
        let hidden = hidden.map(|hidden| (hidden.id, hidden.reasons, hidden.retain_until));
        let mut reasons = Reasons::only(Reason::Agent);
        reasons.0 |= hidden.map_or(0, |(_, others, _)| others.0);
        let from = from.max(self.press_floor(agent, number));
        let want = Wanted {
            call: number,
            from,
            reasons,
            pressed: Some((agent, from)),
            schedule,
            continues: None,
        };
        let (id, ticket) = match hidden {
            Some((old, _, until)) => {
                let (id, _) = self.split(now, old, from, want)?;
                self.inherit_retention(now, id, until);
                (id, self.storage.settled())
            }
            None => self.begin(now, want)?,
        };
        Ok(self.record_said(agent, id, ticket).keeps(id, Reasons::only(Reason::Agent)))
    }

    /// The reason, if a recording does not have it, or nobody was told yet that it has.
    fn unheard(&self, recording: &Recording, reason: Reason) -> Reasons {
        let promised = self.sessions.iter().any(|s| s.promised(recording.id, reason));
        if promised { Reasons::only(reason) } else { recording.reasons.lacks(reason) }
    }

    /// The on-demand schedule of a call, and where a press on it begins.
    fn press_of(&self, number: CallNumber) -> (Option<usize>, Position) {
        let Some(call) = self.calls.get(number) else { return (None, Position(0)) };
        (call.schedules.on_demand, self.press_from(call))
    }

    /// Where the newest recording of the call ended: a segment never overlaps the one before.
    fn floor(&self, number: CallNumber) -> Position {
        let last = self.last_of(number).and_then(|last| last.end);
        last.map_or(Position(0), |(to, _)| to)
    }

    /// The same as far as this agent may know: others' recordings move no own one (B2).
    fn press_floor(&self, agent: AgentIndex, number: CallNumber) -> Position {
        if !self.only_own(agent) {
            return self.floor(number);
        }
        let own = self.seen_last(agent, number).and_then(|own| own.end);
        own.map_or(Position(0), |(to, _)| to)
    }

    pub(in crate::recorder) fn record_stop(
        &mut self,
        now: Now,
        agent: AgentIndex,
    ) -> Result<Said, Refusal> {
        let target = self.may_record_stop(agent)?;
        let (id, call, running) = (target.id, target.call, target.running());
        let (reasons, pressed) = (target.reasons, target.pressed);
        if !running || !reasons.has(Reason::Agent) && !self.stops_any(agent) {
            return Ok(self.record_said(agent, id, self.storage.settled()));
        }
        let name = self.directory.agent(agent).username.clone();
        let mut gone = Reasons::only(Reason::Agent);
        if self.stops_any(agent) {
            gone = reasons;
        }
        let rest = Reasons(reasons.0 & !gone.0);
        let own = pressed.is_some_and(|(by, _)| by == agent);
        if self.only_own(agent) && own && !rest.is_empty() {
            // Others go on without the agent's notice: their recording begins where this one ends.
            let head =
                self.recording(id).map_or(Position(0), |r| self.channels[r.channel.0].head());
            let schedule = self.calls.get(call).and_then(|call| call.schedules.percentage);
            let want = Wanted {
                call,
                from: head,
                reasons: rest,
                pressed: None,
                schedule: schedule.map(|(index, _)| index),
                continues: None,
            };
            if self.split(now, id, head, want).is_err() {
                // No room for another file: it goes on as theirs.
                let ticket = self.drop_reasons(now, id, gone, &name);
                let mut said = self.record_said(agent, id, ticket);
                said.give_up = None;
                return Ok(said);
            }
            if let Some(old) = self.recordings.iter_mut().find(|r| r.id == id) {
                old.reasons = Reasons::default();
            }
            let fact = Fact::RecordingReasons { id, reasons: Reasons::default(), by: name };
            let ticket = self.storage.note(&mut self.index, now, fact);
            self.stale_news.insert(agent);
            return Ok(self.record_said(agent, id, ticket));
        }
        let ticket = self.drop_reasons(now, id, gone, &name);
        Ok(self.record_said(agent, id, ticket))
    }

    fn stops_any(&self, agent: AgentIndex) -> bool {
        self.agent_has(agent, crate::calls::permission::Permission::RecordStopAny)
    }

    /// The resulting state of a recording, as this agent may see it.
    fn record_said(&self, agent: AgentIndex, id: RecordingId, after: Ticket) -> Said {
        let Some(recording) = self.recording(id) else { return Said::now(Vec::new()) };
        let only_own = self.only_own(agent);
        let mut reasons = recording.reasons;
        if only_own {
            reasons.0 &= Reasons::only(Reason::Agent).0;
        }
        let own_from = recording.pressed.filter(|_| only_own).map(|(_, from)| from);
        let from = own_from.unwrap_or(recording.from);
        Self::recording_said(recording, reasons, from.max(recording.from), after)
    }

    fn recording_said(
        recording: &Recording,
        reasons: Reasons,
        from: Position,
        after: Ticket,
    ) -> Said {
        let mut bytes = Vec::new();
        let on = recording.running() && !reasons.is_empty();
        let reasons = if on { reasons } else { Reasons::default() };
        let line = reply::ok(&mut bytes).pair("recording", recording.id).pair("reasons", reasons);
        line.pair("state", protocol::state::on_off(on)).pair("from", from).end();
        Said::after(after, bytes).keeps(recording.id, Reasons::default())
    }

    /// `record start device=D` of a supervisor or the CTI feed.
    pub(in crate::recorder) fn record_start_for(
        &mut self,
        now: Now,
        device: &str,
        by: &By,
    ) -> Result<Said, Refusal> {
        let number = self.call_on(device)?;
        self.need_disk()?;
        let call = self.calls.get(number).ok_or_else(|| Refusal::from(Code::NoCall))?;
        let from = self.press_from(call);
        let schedule = match by.reason() {
            Reason::Api => call.schedules.api.or(call.schedules.on_demand),
            _ => call.schedules.on_demand.or(call.schedules.api),
        };
        if schedule.is_none() {
            return Err(Code::NoSchedule.into());
        }
        let running = self.running_of(number);
        let running = running.map(|running| (running.id, self.unheard(running, by.reason())));
        let new = running.map_or(Reasons::only(by.reason()), |(_, new)| new);
        let (id, ticket) = match running {
            Some((id, _)) => {
                self.need_file(id)?;
                (id, self.add_reason(now, id, by.reason(), (&by.name, schedule)))
            }
            None => {
                self.need_room()?;
                let want = Wanted {
                    call: number,
                    from: from.max(self.floor(number)),
                    reasons: Reasons::only(by.reason()),
                    pressed: None,
                    schedule,
                    continues: None,
                };
                self.begin(now, want)?
            }
        };
        Ok(self.said_of(id, ticket).keeps(id, new))
    }

    /// `record stop device=D`: the CTI feed takes its own reason away, a supervisor every one.
    pub(in crate::recorder) fn record_stop_for(
        &mut self,
        now: Now,
        device: &str,
        by: &By,
    ) -> Result<Said, Refusal> {
        let number = self.call_on(device)?;
        let api = by.reason() == Reason::Api;
        let newest = self.running_of(number).or_else(|| self.last_of(number));
        let newest = newest.ok_or_else(|| Refusal::from(Code::NotRecording))?;
        // What has been stopped already is answered with the resulting state.
        if api && !newest.reasons_ever.has(Reason::Api) {
            let code = if newest.running() { Code::NotYours } else { Code::NotRecording };
            return Err(code.into());
        }
        let (id, reasons) = (newest.id, newest.reasons);
        let gone = if api { Reasons::only(Reason::Api) } else { reasons };
        self.need_disk()?;
        let ticket = self.drop_reasons(now, id, gone, &by.name);
        Ok(self.said_of(id, ticket))
    }

    fn said_of(&self, id: RecordingId, ticket: Ticket) -> Said {
        match self.recording(id) {
            Some(r) => Self::recording_said(r, r.reasons, r.from, ticket),
            None => Said::now(Vec::new()),
        }
    }

    fn call_on(&self, device: &str) -> Result<CallNumber, Refusal> {
        let channel = self.channel_of(device).ok_or_else(|| {
            Refusal::new(Code::NoSuchDevice, format!("no channel records device {device}"))
        })?;
        let call = self.calls.on_air(channel).ok_or_else(|| Refusal::from(Code::NoCall))?;
        Ok(call.number)
    }

    pub(in crate::recorder) fn agent_named(&self, user: &str) -> Result<AgentIndex, Refusal> {
        let found = self.directory.by_username(user);
        found.ok_or_else(|| Refusal::new(Code::UnknownUser, format!("no agent is called {user}")))
    }

    /// Opens a blackout for `agent`, or adds a holder to the one that is open.
    pub(in crate::recorder) fn blackout_start(
        &mut self,
        now: Now,
        agent: AgentIndex,
        by: &By,
        (lead_ms, woke): (Option<u32>, Mono),
    ) -> Result<Said, Refusal> {
        let holdback_ms = self.config.audio.holdback_ms;
        let lead_ms = lead_ms.unwrap_or(self.config.blackout.lead_ms);
        if lead_ms > holdback_ms {
            let text = format!("lead_ms={lead_ms}: allowed 0 to {holdback_ms} (holdback_ms)");
            return Err(Refusal::new(Code::BadArgument, text));
        }
        let holder = by.holder();
        let (call, recording) = match by.kind {
            Kind::Agent => self.may_blackout_start(agent)?,
            _ => self.blackout_target(agent)?,
        };
        let recording = recording.map(|r| (r.id, self.visible_from(agent, r)));
        // What was heard before the call is not the agent's; it may be another's, and stored.
        let kept_from = self.recall.of(call).map(Latent::from);
        let kept_from = kept_from.or(self.calls.get(call).map(|call| call.from));
        self.take_back_stop_of(now, agent);
        let receipt = match self.blackouts.of(agent) {
            Some(open) => {
                let receipt = open.receipt.clone();
                self.hold_blackout(now, agent, holder, &by.name);
                Receipt { ticket: self.storage.settled(), ..receipt }
            }
            // It ended with its call while its stop was on its way.
            None if self.calls.get(call).is_none() => return Err(Code::NoCall.into()),
            None => {
                let press = Press {
                    agent,
                    call,
                    recording: recording.map(|(id, _)| id),
                    clip: recording.map(|(_, from)| from).or(kept_from).unwrap_or_default(),
                    holder,
                    by: &by.name,
                    lead_ms,
                    woke,
                };
                self.open_blackout(now, &press)
            }
        };
        let mut said = Self::blackout_said(now, &self.receipt_for(agent, by, receipt));
        if self.storage.is_down() {
            said.give_up = Some(now.mono);
        }
        Ok(said)
    }

    /// What may be told of a blackout: an agent who sees own recordings only (B2) may have joined
    /// one that somebody else opened in a recording of others.
    fn receipt_for(&self, agent: AgentIndex, by: &By, receipt: Receipt) -> Receipt {
        let named = receipt.recording.and_then(|id| self.recording(id));
        let own = named.is_some_and(|named| Self::pressed_by(named, agent));
        if by.kind != Kind::Agent || !self.only_own(agent) || own {
            return receipt;
        }
        let here = |call: &&Call| self.channels[call.channel.0].id == receipt.channel;
        let call = self.current_call(agent).filter(here);
        let seen = call.and_then(|call| self.seen_running(agent, call.number));
        let kept = call.and_then(|call| self.recall.of(call.number));
        let from = seen.map(|seen| self.visible_from(agent, seen)).or(kept.map(Latent::from));
        Receipt {
            recording: seen.map(|seen| seen.id),
            from: from.map_or(receipt.from, |from| from.max(receipt.from)),
            ..receipt
        }
    }

    /// From where this agent knows of a recording.
    fn visible_from(&self, agent: AgentIndex, recording: &Recording) -> Position {
        let own = recording.pressed.filter(|(by, _)| *by == agent && self.only_own(agent));
        own.map_or(recording.from, |(_, from)| from.max(recording.from))
    }

    fn blackout_said(now: Now, receipt: &Receipt) -> Said {
        let mut bytes = Vec::new();
        for (channel, from) in &receipt.others {
            let row = reply::row(&mut bytes).pair("channel", channel).pair("from", from);
            row.pair("to", "-").end();
        }
        let mut channels = receipt.channel.to_string();
        for (other, _) in &receipt.others {
            channels.push(',');
            channels.push_str(&other.to_string());
        }
        let id = receipt.recording.map_or("-".to_string(), |id| id.to_string());
        let line = reply::ok(&mut bytes).pair("blackout", "on").pair("recording", id);
        let line = line.pair("at", receipt.at).pair("from", receipt.from);
        line.pair("channels", channels).pair("took_us", receipt.took_us).end();
        let mut said = Said::after(receipt.ticket, bytes);
        said.give_up = Some(now.mono.after_ms(limits::RECEIPT_MS));
        said
    }

    /// A holder lets go of the blackout of `agent`.
    pub(in crate::recorder) fn blackout_stop(
        &mut self,
        now: Now,
        agent: AgentIndex,
        by: &By,
    ) -> Result<Said, Refusal> {
        let hidden = by.kind == Kind::Agent && !self.blackout_seen(agent);
        if !hidden && self.storage.is_down() && self.blackouts.of(agent).is_some() {
            let text = "the disk has failed: the blackout stays on, because its end cannot be kept";
            return Err(Refusal::new(Code::Storage, text).masked());
        }
        let mut bytes = Vec::new();
        let open =
            if hidden { None } else { self.release_blackout(now, agent, by.holder(), &by.name) };
        let Some(Stop { before: was, to, over, places, ticket, until, .. }) = open else {
            let line = reply::ok(&mut bytes).pair("blackout", "off").pair("recording", "-");
            line.pair("from", "-").pair("to", "-").end();
            return Ok(Said::after(self.storage.settled(), bytes));
        };
        let was = self.receipt_for(agent, by, was.receipt);
        let unseen = by.kind == Kind::Agent && self.only_own(agent) && !self.records_own(agent);
        let seen_over = over || unseen;
        let ends = |at: Position| if seen_over { at.to_string() } else { "-".to_string() };
        for (channel, from) in &was.others {
            let index = self.channels.iter().position(|c| c.id == *channel).map(ChannelIndex);
            let ended = places.iter().find(|(place, _)| Some(*place) == index).map(|(_, at)| *at);
            let head = || index.map_or(Position(0), |index| self.channels[index.0].head());
            let at = ended.unwrap_or_else(head);
            let row = reply::row(&mut bytes).pair("channel", channel).pair("from", from);
            row.pair("to", ends(at)).end();
        }
        let id = was.recording.map_or("-".to_string(), |id| id.to_string());
        let state = protocol::state::on_off(!seen_over);
        let line = reply::ok(&mut bytes).pair("blackout", state).pair("recording", id);
        line.pair("from", was.from).pair("to", ends(to)).end();
        let mut said = Said::after(ticket, bytes);
        said.give_up = Some(until);
        Ok(said)
    }

    /// Sets a user-defined field; nobody who sets one ever sees what was there (F2).
    pub(in crate::recorder) fn update(
        &mut self,
        now: Now,
        agent: AgentIndex,
        field: u8,
        value: &str,
    ) -> Result<Said, Refusal> {
        let target = self.may_update(agent, field)?;
        let (id, key) = (target.id, target.key.clone());
        if let Some(bad) = bad_character(value) {
            let text = format!("{bad:?} is not allowed in a field; nothing was changed");
            return Err(Refusal::new(Code::BadCharacters, text));
        }
        let by = self.directory.agent(agent).username.clone();
        let value = seal::seal_field(key.as_ref(), self.storage.next_sequence(), value);
        let fact = Fact::FieldSet { id, field, by, value };
        let ticket = self.storage.note(&mut self.index, now, fact);
        let mut bytes = Vec::new();
        reply::ok(&mut bytes).pair("recording", id).end();
        Ok(Said::after(ticket, bytes).keeps(id, Reasons::default()))
    }
}
