//! Calls: start, change, hold and end; their owners; and the effects on audio and masks.
//!
//! A channel's audio belongs to its newest started or resumed call that is not held. Recordings of
//! its other calls get a `held` span meanwhile. After every change, blackout masks are updated
//! first, then held spans, then agents' states. `cti` handles the commands.

pub(super) mod activity;
pub(super) mod cti;
pub(super) mod feed;
pub(super) mod table;

use super::{Recorder, Timer};
use crate::alarm;
use crate::audio::channel::ChannelIndex;
use crate::calls::call::{Call, CallEnd};
use crate::calls::directory::AgentIndex;
use crate::calls::schedule;
use crate::id::SessionId;
use crate::job::Ticket;
use crate::limits;
use crate::recorder::recording::interrupted::InterruptedRecording;
use crate::recorder::recording::lifecycle::{RecordingRequest, Requester};
use crate::store::fact::{
    CallNumber, Fact, PhoneNumbers, RecordReason, RecordReasons, RecordingEnd,
};
use crate::store::seal;
use crate::time::{MonoTime, Now, Position};
use crate::trace::TraceEvent;
use protocol::{CallArgs, Code, Refusal};

impl Recorder {
    /// The owner that a call on this device would have without a PBX agent.
    pub(super) fn device_owner(&self, device: &str) -> Option<AgentIndex> {
        self.directory.find_by_phone(device).or_else(|| self.last_agent_at(device))
    }

    /// The agent whose client started last at the device's workstation. The one before gets the
    /// device back when that one logs out. A client that connects again, as after a restart of the
    /// box, keeps its place.
    fn last_agent_at(&self, device: &str) -> Option<AgentIndex> {
        // An agent who logged out during a blackout still owns it (G5).
        let masked = |agent: &&AgentIndex| self.blackouts.active_of(**agent).is_some();
        let sits = |session: &&super::Session| self.workstation_device(session) == Some(device);
        let newest = || self.sessions.iter().filter(sits).max_by_key(|session| session.started);
        let seated = self.calls.seats.get(device).filter(masked).copied();
        seated.or_else(|| newest()?.logged_in_agent())
    }

    /// The device of the workstation where a session's agent is logged in.
    pub(super) fn workstation_device(&self, session: &super::Session) -> Option<&str> {
        session.logged_in_agent()?;
        self.directory.workstation_device(session.who.as_ref()?.machine.as_deref()?)
    }

    /// Assigns the calls of a workstation's device to the agent who just logged in there, unless
    /// the PBX, a phone, or a client that started later has them. Blackouts stay on those calls.
    pub(super) fn agent_at_workstation(
        &mut self,
        now: Now,
        (id, agent): (SessionId, AgentIndex),
        device: &str,
    ) {
        self.mark_agents_at(device);
        let here =
            self.sessions.iter().filter(|session| self.workstation_device(session) == Some(device));
        if here.max_by_key(|session| session.started).is_none_or(|newest| newest.id != id) {
            return;
        }
        self.calls.seats.insert(device.to_string(), agent);
        let others = |call: &&Call| {
            let assigned = call.named_agent.or(call.phone_owner);
            call.device == device && assigned.is_none() && call.workstation_agent != Some(agent)
        };
        let numbers: Vec<_> =
            self.calls.live_calls().filter(others).map(|call| call.number).collect();
        for number in numbers {
            self.mark_call_owner(number);
            self.calls.update(number, |call| call.workstation_agent = Some(agent));
            self.call_changed(now, number);
        }
    }

    /// Marks every agent who is logged in at a device's workstation for a new state.
    pub(super) fn mark_agents_at(&mut self, device: &str) {
        let here =
            self.sessions.iter().filter(|session| self.workstation_device(session) == Some(device));
        let agents: Vec<_> = here.filter_map(super::Session::logged_in_agent).collect();
        self.stale_agents.extend(agents);
    }

    /// The note for an agent without a phone: why calls at the workstation are not this agent's.
    pub(super) fn workstation_note(&self, agent: AgentIndex) -> Option<String> {
        let own = &self.directory.agent_at(agent).phones;
        if own.iter().any(|phone| self.calls.channel_of(phone).is_some()) {
            return None;
        }
        let here = self.sessions.sessions_of(agent);
        let devices: Vec<&str> =
            here.filter_map(|session| self.workstation_device(session)).collect();
        if devices.iter().any(|device| self.device_owner(device) == Some(agent)) {
            return None;
        }
        let device = *devices.first()?;
        let owner = self.device_owner(device)?;
        let name = &self.directory.agent_at(owner).name;
        let later = "who logged in at this workstation later";
        let is_phone = self.directory.find_by_phone(device).is_some();
        let why = if is_phone { "whose phone it is" } else { later };
        Some(format!("calls of phone {device} belong to {name}, {why}"))
    }

    pub(super) fn owner_name(&self, call: &Call) -> Option<String> {
        call.owner().map(|agent| self.directory.agent_at(agent).username.clone())
    }

    /// The agent's newest started or resumed call that is not held, over all devices.
    pub(super) fn current_call(&self, agent: AgentIndex) -> Option<&Call> {
        let own = self.calls.live_of(agent).filter(|call| !call.is_held);
        own.max_by_key(|call| call.start_order)
    }

    /// The current call, or else the newest started or resumed call that is held.
    pub(super) fn call_in_hand(&self, agent: AgentIndex) -> Option<&Call> {
        self.calls.live_of(agent).max_by_key(|call| (!call.is_held, call.start_order))
    }

    /// The calls whose record `update` may set: the current call, or else those in wrap-up, or else
    /// the call on hold.
    pub(super) fn calls_to_update(&self, agent: AgentIndex) -> Vec<&Call> {
        let reachable = self.reachable_calls(agent);
        if !reachable.is_empty() {
            return reachable;
        }
        self.call_in_hand(agent).into_iter().collect()
    }

    /// The current call, or else the calls in wrap-up.
    pub(super) fn reachable_calls(&self, agent: AgentIndex) -> Vec<&Call> {
        match self.current_call(agent) {
            Some(call) => vec![call],
            None => self.wrapup_calls(agent),
        }
    }

    /// The agent's call that ended last, and the agent's ended calls that consultations link to
    /// it, last ended first. A later start or resume of another call ends the wrap-up.
    pub(super) fn wrapup_calls(&self, agent: AgentIndex) -> Vec<&Call> {
        let order = |call: &Call| call.ended.map_or(0, |end| end.order);
        let own = self.calls.calls_of(agent);
        let (live, mut ended): (Vec<&Call>, Vec<&Call>) = own.partition(|call| call.is_live());
        ended.sort_by_key(|call| std::cmp::Reverse(order(call)));
        let Some(last) = ended.first() else { return Vec::new() };
        if live.iter().any(|call| call.start_order > order(last)) {
            return Vec::new();
        }
        let mut linked = vec![ended.remove(0)];
        let mut next = 0;
        while let Some(call) = linked.get(next).copied() {
            linked.extend(ended.extract_if(.., |other| other.is_linked_to(call)));
            next += 1;
        }
        linked.sort_by_key(|call| std::cmp::Reverse(order(call)));
        linked
    }

    /// Starts a call, or updates a known one.
    pub(super) fn call_start(
        &mut self,
        now: Now,
        args: &CallArgs<'_>,
    ) -> Result<(CallNumber, Ticket), Refusal> {
        let Some(channel) = self.calls.channel_of(&args.device) else {
            self.admin.counters.calls_without_channel += 1;
            let text = format!(
                "call {} is not recorded: device {} has no channel",
                args.call, args.device
            );
            self.journal.raise_alarm(now, alarm::AlarmCode::NoChannel, &args.device, text);
            let text = format!("no channel records device {}; see `channels`", args.device);
            return Err(Refusal::new(Code::NoChannel, text));
        };
        if let Some(known) = self.calls.find_live(&args.device, &args.call) {
            let (number, is_other) = (known.number, known.is_contradicted_by(args));
            if !is_other {
                return self.call_update(now, number, args).map(|ticket| (number, ticket));
            }
            self.call_end(now, number, RecordingEnd::CallEnd, "replaced");
        }
        if self.calls.is_full() {
            return Err(Refusal::new(Code::TooMany, "the box knows too many calls"));
        }
        self.make_room_on(now, channel);
        self.end_detected_call(now, channel);
        if args.of.is_none() {
            self.replace_call(now, channel);
        }
        let mut call = self.new_call(now, channel);
        call.id = args.call.to_string();
        self.merge_cti_fields(&mut call, args);
        let number = call.number;
        Ok((number, self.call_begin(now, call)))
    }

    /// Starts a call on a channel that it has seized. `unknowns` says what is not known of it.
    pub(super) fn start_call_on(
        &mut self,
        now: Now,
        channel: ChannelIndex,
        args: &CallArgs<'_>,
        unknowns: String,
    ) -> Result<(CallNumber, Ticket), Refusal> {
        if self.calls.is_full() {
            return Err(Refusal::new(Code::TooMany, "the box knows too many calls"));
        }
        let mut call = self.new_call(now, channel);
        call.id = args.call.to_string();
        self.merge_cti_fields(&mut call, args);
        call.altered = unknowns;
        let number = call.number;
        Ok((number, self.call_begin(now, call)))
    }

    /// Adds a new call and applies all effects.
    pub(super) fn call_begin(&mut self, now: Now, call: Call) -> Ticket {
        let (number, channel) = (call.number, call.channel);
        let (device, id) = (call.device.clone(), call.id.clone());
        self.calls.insert(call);
        self.calls.lines.on_call_begin(channel);
        self.timers.advance(Timer::Calls, now.mono.after_ms(limits::CALLS_CHECK_MS));
        self.journal.trace.push_event(now.wall, TraceEvent::CallBegan { device, call: id });
        let ticket = self.append_call_fact(now, number, true);
        self.match_schedules(now, number);
        self.update_coverage_since(now, Some(number));
        self.update_masks_and_holds(now, channel);
        self.schedule_records(now, number, Position(0));
        self.start_recall(number);
        self.mark_call_owner(number);
        ticket
    }

    /// A call on a channel, with default values and no id.
    pub(super) fn new_call(&mut self, now: Now, channel: ChannelIndex) -> Call {
        let place = &self.channels[channel.0];
        Call {
            number: self.calls.next_number(),
            id: String::new(),
            device: place.device.clone(),
            channel,
            consult_of: None,
            named_agent: None,
            phone_owner: self.directory.find_by_phone(&place.device),
            workstation_agent: self.last_agent_at(&place.device),
            direction: None,
            group: None,
            gate: None,
            numbers: PhoneNumbers::default(),
            began: now.wall,
            from: place.head(),
            is_held: false,
            start_order: self.calls.next_order(),
            ended: None,
            schedule_match: schedule::ScheduleMatch::default(),
            was_scheduled: false,
            altered: String::new(),
            since: now.mono,
            is_long: false,
            last_audio: now.mono,
        }
    }

    /// Replaces the fields that the PBX states; the others stay.
    fn merge_cti_fields(&self, call: &mut Call, args: &CallArgs<'_>) {
        let text =
            |word: &Option<std::borrow::Cow<'_, str>>| word.as_ref().map(ToString::to_string);
        call.consult_of = text(&args.of).or(call.consult_of.take());
        call.group = text(&args.group).or(call.group.take());
        call.gate = text(&args.gate).or(call.gate.take());
        call.numbers.ani = text(&args.ani).or(call.numbers.ani.take());
        call.numbers.dnis = text(&args.dnis).or(call.numbers.dnis.take());
        call.direction = args.direction.map(Into::into).or(call.direction);
        if let Some(word) = &args.agent {
            let named =
                self.directory.find_by_username(word).or(self.directory.find_by_phone(word));
            if named.is_none() {
                log::warn!("call {}: agent={word} is no agent's username or phone", call.id);
            }
            call.named_agent = named;
        }
        feed::add_alterations(&mut call.altered, &args.altered);
    }

    /// Ends the call that has waited on hold for longest, if a device has too many: the `call stop`
    /// of some was probably lost.
    fn make_room_on(&mut self, now: Now, channel: ChannelIndex) {
        if self.calls.live_on(channel).count() < limits::CALLS_PER_DEVICE_MAX {
            return;
        }
        let here = self.calls.live_on(channel);
        let Some(oldest) = here.min_by_key(|call| (!call.is_held, call.start_order)) else {
            return;
        };
        let (number, device) = (oldest.number, oldest.device.clone());
        let text = format!(
            "the box ended call {} on {device}: it knew {} calls of the device, and another began",
            oldest.id,
            limits::CALLS_PER_DEVICE_MAX
        );
        self.journal.raise_alarm(now, alarm::AlarmCode::StaleCall, &device, text);
        self.call_end(now, number, RecordingEnd::Stale, "stale");
    }

    /// Ends the active call of a device when another starts that is not its consult leg.
    fn replace_call(&mut self, now: Now, channel: ChannelIndex) {
        if let Some(old) = self.calls.active_call(channel).map(|call| call.number) {
            self.call_end(now, old, RecordingEnd::CallEnd, "replaced");
        }
    }

    pub(super) fn call_update(
        &mut self,
        now: Now,
        number: CallNumber,
        args: &CallArgs<'_>,
    ) -> Result<Ticket, Refusal> {
        let Some(mut call) = self.calls.get(number).cloned() else {
            return Err(Code::NoSuchCall.into());
        };
        self.mark_call_owner(number);
        self.merge_cti_fields(&mut call, args);
        if args.agent.is_some() && call.named_agent.is_some() {
            self.blackouts.release_call(number, call.named_agent);
        }
        self.calls.update(number, |place| *place = call);
        self.call_changed(now, number);
        Ok(self.journal.storage.last_fact_ticket())
    }

    /// Applies the effects of new information about a call.
    fn call_changed(&mut self, now: Now, number: CallNumber) {
        self.follow_schedules(now);
        self.append_call_fact(now, number, false);
        self.match_schedules(now, number);
        let Some(call) = self.calls.get(number).cloned() else { return };
        let agent = self.owner_name(&call);
        let running = self.recordings.of_call(number).filter(|r| r.is_running());
        let ids: Vec<_> = running.map(|r| (r.id, r.key.clone())).collect();
        for (id, key) in ids {
            self.explain_alterations(now, id, &call.altered);
            let sequence = self.journal.storage.next_sequence();
            let numbers = seal::seal_numbers(key.as_ref(), sequence, &call.numbers);
            let fact = Fact::RecordingChanged { id, call: call.to_facts(agent.clone()), numbers };
            self.journal.append(now, fact);
        }
        self.update_masks_and_holds(now, call.channel);
        self.schedule_records(now, number, Position(0));
        self.start_recall(number);
        self.mark_call_owner(number);
    }

    pub(super) fn append_call_fact(&mut self, now: Now, number: CallNumber, new: bool) -> Ticket {
        let Some(call) = self.calls.get(number) else {
            return self.journal.storage.last_fact_ticket();
        };
        let sequence = self.journal.storage.next_sequence();
        let numbers = seal::seal_numbers(self.call_key.as_ref(), sequence, &call.numbers);
        let call = call.to_facts(self.owner_name(call));
        let fact = if new {
            Fact::CallBegan { call, numbers }
        } else {
            Fact::CallChanged { call, numbers }
        };
        self.journal.append(now, fact)
    }

    pub(super) fn match_schedules(&mut self, now: Now, number: CallNumber) {
        let Some(call) = self.calls.get(number) else { return };
        let owner = call.owner().map(|agent| self.directory.agent_at(agent));
        let facts = schedule::CallAttributes {
            user: owner.map(|agent| agent.username.as_str()),
            phones: owner.map_or(&[], |agent| agent.phones.as_slice()),
            device: &call.device,
            group: call.group.as_deref(),
            gate: call.gate.as_deref(),
            direction: call.direction,
        };
        let found = schedule::match_schedules(&self.config.schedules, facts, now.wall, &call.id);
        self.calls.update(number, |call| call.schedule_match = found);
    }

    /// Matches all live calls again when a schedule has become active or is over, or when the
    /// daemon or its configuration is new. A recording that begins then has no earlier audio; a
    /// running one continues.
    pub(super) fn follow_schedules(&mut self, now: Now) {
        let active = self.config.schedules.iter().map(|schedule| schedule.is_active(now.wall));
        let known = self.calls.active_schedules.as_deref();
        if known.is_some_and(|known| active.clone().eq(known.iter().copied())) {
            return;
        }
        self.calls.active_schedules = Some(active.collect());
        let calls = self.calls.live_calls().map(|call| (call.number, call.channel));
        for (number, channel) in calls.collect::<Vec<_>>() {
            self.match_schedules(now, number);
            self.schedule_records(now, number, self.channels[channel.0].head());
            self.start_recall(number);
            self.mark_call_owner(number);
        }
    }

    /// Starts a recording if a percentage schedule selected the call, with audio from `earliest`
    /// on.
    fn schedule_records(&mut self, now: Now, number: CallNumber, earliest: Position) {
        let Some(call) = self.calls.get(number).filter(|call| !call.was_scheduled) else { return };
        let Some((schedule, true)) = call.schedule_match.percentage else { return };
        let from = call.from.max(self.channels[call.channel.0].ring.tail()).max(earliest);
        self.calls.update(number, |call| call.was_scheduled = true);
        if let Some(running) = self.recordings.running_of(number).map(|running| running.id) {
            let requester = Requester { by: "schedule", schedule: Some(schedule) };
            self.add_reason(now, running, RecordReason::Schedule, requester);
            return;
        }
        let want = RecordingRequest {
            call: number,
            from: from.max(self.release_floor(number)),
            reasons: RecordReasons::from_reason(RecordReason::Schedule),
            pressed: None,
            schedule: Some(schedule),
            continues: None,
        };
        if let Err(refusal) = self.begin_recording(now, want) {
            let name = self.config.schedules[schedule].name.clone();
            let text = format!("schedule {name} could not record yet: {refusal}");
            let (reasons, schedule) =
                (RecordReasons::from_reason(RecordReason::Schedule), Some(name));
            let waiting = InterruptedRecording { reasons, schedule, ..Default::default() };
            if self.recordings.to_resume.add(number, waiting) {
                log::error!("{text}");
            }
        }
    }

    /// The end of the call's previous recording, before which the next one never starts.
    pub(super) fn release_floor(&self, number: CallNumber) -> crate::time::Position {
        let ended = self.recordings.newest_of(number).and_then(|last| last.end_recording);
        ended.map_or_else(crate::time::Position::default, |(to, _)| to)
    }

    /// Holds a call, or resumes it.
    pub(super) fn call_hold(&mut self, now: Now, number: CallNumber, held: bool) -> Ticket {
        let order = self.calls.next_order();
        let changed = self.calls.get(number).filter(|call| call.is_held != held);
        let Some(channel) = changed.map(|call| call.channel) else {
            return self.journal.storage.last_fact_ticket();
        };
        self.calls.update(number, |call| {
            (call.is_held, call.last_audio) = (held, now.mono);
            if !held {
                call.start_order = order;
            }
        });
        let ticket = self.journal.append(now, Fact::CallHeld { number, held });
        self.update_masks_and_holds(now, channel);
        self.mark_call_owner(number);
        ticket
    }

    /// Ends a call; its recorded audio leaves the ring at once, through the mask.
    pub(super) fn call_end(
        &mut self,
        now: Now,
        number: CallNumber,
        end: RecordingEnd,
        why: &str,
    ) -> Ticket {
        let Some(call) = self.calls.get(number) else {
            return self.journal.storage.last_fact_ticket();
        };
        let (channel, device, id) = (call.channel, call.device.clone(), call.id.clone());
        self.mark_call_owner(number);
        let open = self.recordings.of_call(number).filter(|r| r.writer.is_some());
        let ids: Vec<_> = open.map(|recording| recording.id).collect();
        ids.into_iter().for_each(|id| self.end_recording(id, end, true));
        let head = self.channels[channel.0].head();
        let ended = CallEnd { at: now.mono, position: head, order: self.calls.next_order() };
        self.calls.update(number, |call| call.ended = Some(ended));
        self.recordings.to_resume.remove(number);
        self.recordings.recall.end_call(number, head);
        self.calls.lines.on_call_end(channel, number, head);
        self.end_blackouts_of(now, number);
        self.update_masks_and_holds(now, channel);
        self.journal.trace.push_event(now.wall, TraceEvent::CallEnded { device, call: id });
        let fact = Fact::CallEnded { number, why: why.to_string() };
        self.journal.append(now, fact)
    }

    /// Updates masks, then held spans, after a change of a channel's calls.
    fn update_masks_and_holds(&mut self, now: Now, channel: ChannelIndex) {
        self.update_coverage(now);
        let head = self.channels[channel.0].head();
        let on_air = self.calls.active_call(channel).map(|call| call.number);
        self.recordings.update_holds(channel, on_air, head);
    }

    /// Ends stale and too long calls, follows schedules, and removes calls whose wrap-up is over,
    /// with their keys.
    pub(super) fn check_calls(&mut self, now: Now) {
        self.end_overdue_calls(now);
        self.end_orphaned_sessions(now);
        self.follow_schedules(now);
        self.forget_calls(now);
        self.resume_interrupted(now);
        let next = now.mono.after_ms(limits::CALLS_CHECK_MS);
        self.timers.rearm(Timer::Calls, now.mono, (self.calls.len() > 0).then_some(next));
    }

    /// Shortens the oldest wrap-ups when many calls are in memory, to make room for new calls.
    fn forget_calls(&mut self, now: Now) {
        let wrapup_ms = u64::from(self.config.audio.wrapup_s) * 1000;
        let over = |ended: MonoTime| now.mono.since_ms(ended) >= wrapup_ms;
        let crowd = self.calls.len().saturating_sub(limits::CALLS_SOFT_MAX);
        let crowd = crowd.max(self.recordings.len().saturating_sub(limits::RECORDINGS_SOFT_MAX));
        let closed = |call: &Call| self.recordings.of_call(call.number).all(|r| r.closed);
        let ended = self.calls.iter().filter(|call| closed(call));
        let ended = ended.filter_map(|call| call.ended.map(|end| (end.at, call.number)));
        let mut ended: Vec<(MonoTime, CallNumber)> = ended.collect();
        ended.sort_unstable();
        for (index, (at, number)) in ended.into_iter().enumerate() {
            if index >= crowd && !over(at) {
                break;
            }
            let owner = self.calls.get(number).and_then(|call| call.owner());
            self.recordings.remove_call(number);
            self.discard_recall(number);
            self.calls.remove(number);
            self.stale_agents.extend(owner);
        }
    }
}
