//! Which commands are possible now: permissions, and one target function per action.
//!
//! `check_permissions` is the only place where a user's permissions decide about a command, by the
//! command's row in the table. The `…_target` functions find what an action would act on. Commands
//! and `can` ask the same functions, so `can` lists exactly the commands that succeed. Refusals
//! follow the protocol's order. For an agent with `notify-on-demand-only` (B2), recordings started
//! by others do not exist here.
//!
//! All functions are read-only.

use crate::calls::call::Call;
use crate::calls::directory::AgentIndex;
use crate::calls::permission::Permission;
use crate::id::RecordingId;
use crate::recorder::{Recorder, Recording, RecordingWriter};
use crate::store::fact::{CallNumber, RecordReason};
use protocol::permission::FIELDS;
use protocol::{Ability, AbilitySet, Code, Command, Kind, Refusal, Request, table};

/// The call that a value was typed for, as far as the client says so.
#[derive(Clone, Copy, Default)]
pub(in crate::recorder) struct NamedCall<'a> {
    /// Id given by the call feed.
    pub id: Option<&'a str>,
    pub number: Option<CallNumber>,
}

impl Recorder {
    pub(in crate::recorder) fn agent_has(&self, agent: AgentIndex, permission: Permission) -> bool {
        self.directory.permissions(agent).contains(permission)
    }

    /// Whether the agent sees only own recordings (B2).
    pub(in crate::recorder) fn sees_only_own(&self, agent: AgentIndex) -> bool {
        self.agent_has(agent, Permission::NotifyOnDemandOnly)
    }

    /// Checks what a command requires of this kind of session and its user. A session without a
    /// user has no permissions.
    pub(in crate::recorder) fn check_permissions(
        &self,
        request: &Request<'_>,
        kind: Kind,
        user: Option<AgentIndex>,
    ) -> Result<(), Refusal> {
        let granted = user.map(|agent| self.directory.permissions(agent)).unwrap_or_default();
        request.check_permissions(kind, &|permission| granted.contains(permission))
    }

    /// Refuses on-demand recording if it is disabled in the configuration (D7).
    pub(in crate::recorder) fn need_on_demand(&self) -> Result<(), Refusal> {
        if self.config.on_demand.enabled { Ok(()) } else { Err(Code::OnDemandOff.into()) }
    }

    /// Refuses promises while the disk is failed.
    pub(in crate::recorder) fn require_disk(&self) -> Result<(), Refusal> {
        if self.journal.storage.is_down() { Err(disk_failed()) } else { Ok(()) }
    }

    /// Refuses calls only when memory for unsynced facts runs out. During an outage calls continue
    /// and their replies wait.
    pub(in crate::recorder) fn need_memory(&self) -> Result<(), Refusal> {
        if self.journal.storage.is_overfull() { Err(disk_failed()) } else { Ok(()) }
    }

    /// Refuses promises for a recording whose file could not be created yet.
    pub(in crate::recorder) fn require_file(&self, id: RecordingId) -> Result<(), Refusal> {
        let waits = self
            .recordings
            .get(id)
            .and_then(|r| r.writer.as_ref())
            .is_some_and(RecordingWriter::is_waiting_for_file);
        if waits { Err(disk_failed()) } else { Ok(()) }
    }

    /// Refuses promises after a disk-full error, until the next free-space check.
    pub(in crate::recorder) fn require_disk_space(&self) -> Result<(), Refusal> {
        if self.journal.storage.no_room { Err(Code::DiskFull.into()) } else { Ok(()) }
    }

    fn require_call(&self, agent: AgentIndex) -> Result<&Call, Refusal> {
        self.call_in_hand(agent).ok_or_else(|| Code::NoCall.into())
    }

    /// Whether the agent started or joined this recording.
    pub(in crate::recorder) fn was_started_by(recording: &Recording, agent: AgentIndex) -> bool {
        recording.pressed.is_some_and(|(by, _)| by == agent)
    }

    /// The running recording of a call, if this agent may see it.
    pub(in crate::recorder) fn visible_running(
        &self,
        agent: AgentIndex,
        call: CallNumber,
    ) -> Option<&Recording> {
        let running = self.recordings.running_of(call)?;
        let own =
            Self::was_started_by(running, agent) && running.reasons.contains(RecordReason::Agent);
        (own || !self.sees_only_own(agent)).then_some(running)
    }

    /// The newest recording of a call that this agent may see, running or not.
    pub(in crate::recorder) fn visible_newest(
        &self,
        agent: AgentIndex,
        call: CallNumber,
    ) -> Option<&Recording> {
        let only_own = self.sees_only_own(agent);
        let seen = |r: &&Recording| !only_own || Self::was_started_by(r, agent);
        self.recordings.of_call(call).rev().find(seen)
    }

    /// The call that `record start` would record.
    pub(in crate::recorder) fn record_start_target(
        &self,
        agent: AgentIndex,
    ) -> Result<CallNumber, Refusal> {
        self.need_on_demand()?;
        let late = || self.keepable_calls(agent).first().copied();
        let call = self.current_call(agent).or_else(late);
        let call = call.ok_or_else(|| Refusal::from(Code::NoCall))?;
        if call.schedule_match.on_demand.is_none() {
            return Err(Code::NoSchedule.into());
        }
        match self.visible_running(agent, call.number) {
            Some(seen) => self.require_file(seen.id)?,
            None if !call.is_live() => self.can_keep(agent)?,
            None => self.can_begin().and_then(|()| self.require_disk_space())?,
        }
        self.require_disk()?;
        Ok(call.number)
    }

    /// The calls in wrap-up with a recall buffer, or that a press already kept, last ended first.
    /// Without recall, an ended call cannot be recorded.
    pub(in crate::recorder) fn keepable_calls(&self, agent: AgentIndex) -> Vec<&Call> {
        if self.config.audio.recall_ms.is_none() {
            return Vec::new();
        }
        let mut calls = self.wrapup_calls(agent);
        calls.retain(|call| {
            let buffered = self.recordings.recall.buffer_of(call.number).is_some();
            buffered || self.recording_kept_by(agent, call).is_some()
        });
        calls
    }

    /// Refuses a late press unless all recall that it would keep can become recordings.
    fn can_keep(&self, agent: AgentIndex) -> Result<(), Refusal> {
        let calls = self.keepable_calls(agent);
        let new = calls.iter().filter(|call| self.recording_kept_by(agent, call).is_none()).count();
        if new == 0 {
            return Ok(());
        }
        self.can_begin().and_then(|()| self.require_disk_space())?;
        let recordings = self.recordings.len() + new;
        let fits = recordings <= crate::limits::RECORDINGS_MAX;
        let fits = fits && self.recordings.keys.len() >= new;
        if fits { Ok(()) } else { Err(Code::Busy.into()) }
    }

    /// The recording of an ended call that this agent's press kept.
    pub(in crate::recorder) fn recording_kept_by(
        &self,
        agent: AgentIndex,
        call: &Call,
    ) -> Option<&Recording> {
        let last = self.visible_newest(agent, call.number).filter(|_| !call.is_live());
        last.filter(|last| Self::was_started_by(last, agent))
    }

    /// The recording that `record stop` would stop, or has already stopped.
    pub(in crate::recorder) fn record_stop_target(
        &self,
        agent: AgentIndex,
    ) -> Result<&Recording, Refusal> {
        self.need_on_demand()?;
        let any = self.may_stop_any(agent);
        let call = self.require_call(agent)?.number;
        let Some(running) = self.visible_running(agent, call) else {
            let stopped = self.visible_newest(agent, call);
            let stopped = stopped.filter(|r| any || Self::was_started_by(r, agent));
            let stopped = stopped.ok_or_else(|| Refusal::from(Code::NotRecording))?;
            return self.require_disk().map(|()| stopped);
        };
        let own =
            Self::was_started_by(running, agent) || running.reasons.contains(RecordReason::Agent);
        if !own && !any {
            return Err(Code::NotYours.into());
        }
        self.require_disk().map(|()| running)
    }

    /// The call in which `blackout start` would black out; any call if a blackout is open.
    pub(in crate::recorder) fn blackout_start_target(
        &self,
        agent: AgentIndex,
    ) -> Result<(CallNumber, Option<&Recording>), Refusal> {
        self.need_on_demand()?;
        if self.sees_blackout(agent) {
            let call = self.call_in_hand(agent);
            return Ok((call.map_or(CallNumber(0), |call| call.number), None));
        }
        let call = self
            .require_call(agent)
            .map_err(|_| self.blackout_refusal(agent, Code::NoCall))?
            .number;
        match self.visible_running(agent, call) {
            Some(running) => Ok((call, Some(running))),
            // A recall buffer can be blacked out before the agent presses record.
            None if self.recordings.recall.buffer_of(call).is_some() => Ok((call, None)),
            None => Err(self.blackout_refusal(agent, Code::NotRecording)),
        }
    }

    /// The refusal for a blackout; it must not deny a running screen-only recording (E3).
    fn blackout_refusal(&self, agent: AgentIndex, code: Code) -> Refusal {
        if !self.screens.is_recorded_alone(agent) {
            return code.into();
        }
        let text = "a blackout begins in a recorded call only, not in a recording of the screen by \
                    itself; stop that instead";
        Refusal::new(code, text)
    }

    /// The call that a supervisor or the CTI feed would black out. They need no recording, because
    /// one may start a moment later.
    pub(in crate::recorder) fn blackout_start_target_for(
        &self,
        agent: AgentIndex,
    ) -> Result<(CallNumber, Option<&Recording>), Refusal> {
        if self.blackouts.active_of(agent).is_some() {
            let call = self.call_in_hand(agent);
            return Ok((call.map_or(CallNumber(0), |call| call.number), None));
        }
        let call = self.require_call(agent)?.number;
        Ok((call, self.recordings.running_of(call)))
    }

    /// Whether the agent sees the open blackout. An agent who sees only own recordings (B2) sees
    /// own blackouts, and those that cover an own recording.
    pub(in crate::recorder) fn sees_blackout(&self, agent: AgentIndex) -> bool {
        if self.blackouts.active_of(agent).is_none() {
            return false;
        }
        !self.sees_only_own(agent)
            || self.blackouts.held_by_agent(agent)
            || self.has_visible_recording(agent)
    }

    /// Whether the call in hand has a running recording that the agent may see.
    pub(in crate::recorder) fn has_visible_recording(&self, agent: AgentIndex) -> bool {
        let call = self.call_in_hand(agent);
        call.is_some_and(|call| self.visible_running(agent, call.number).is_some())
    }

    /// The recording whose field `update` would set: of the reachable call, or of the call with the
    /// named number. That may be any of the agent's calls that is on, or in its own wrap-up.
    pub(in crate::recorder) fn update_target(
        &self,
        agent: AgentIndex,
        named: &NamedCall<'_>,
    ) -> Result<&Recording, Refusal> {
        self.need_on_demand()?;
        let own = |number| self.calls.get(number).filter(|call| call.owner() == Some(agent));
        let mut calls = match named.number {
            Some(number) => vec![own(number).ok_or_else(other_call)?],
            None => self.calls_to_update(agent),
        };
        if calls.is_empty() {
            return Err(Code::NoCall.into());
        }
        calls.retain(|call| named.id.is_none_or(|id| id == call.id));
        if calls.is_empty() {
            return Err(other_call());
        }
        let last = calls.iter().find_map(|call| self.visible_newest(agent, call.number));
        let last = last.ok_or_else(|| Refusal::from(Code::NotRecording))?;
        // A field is sealed under a key that must be on the disk first.
        let waits = last.writer.as_ref().is_some_and(RecordingWriter::is_waiting_for_file);
        if waits { Err(disk_failed()) } else { self.require_disk().map(|()| last) }
    }

    /// Whether the agent's stop removes every reason, not only the agent's own (B1).
    pub(in crate::recorder) fn may_stop_any(&self, agent: AgentIndex) -> bool {
        self.agent_has(agent, Permission::RecordStopAny)
    }

    /// The commands that the agent can give now.
    pub(in crate::recorder) fn allowed_commands(&self, agent: AgentIndex) -> AbilitySet {
        let mut can = AbilitySet::default();
        let mut add = |ability, possible: bool| {
            // During shutdown all other commands are refused (`shutting-down`).
            let masks = matches!(ability, Ability::BlackoutStart | Ability::BlackoutStop);
            if possible && (masks || !self.admin.is_stopping()) && self.is_permitted(agent, ability)
            {
                can.insert(ability);
            }
        };
        add(Ability::RecordStart, self.record_start_target(agent).is_ok());
        add(Ability::RecordStop, self.record_stop_target(agent).is_ok());
        add(Ability::BlackoutStart, self.blackout_start_target(agent).is_ok());
        let stop = self.need_on_demand().and_then(|()| self.require_disk());
        add(Ability::BlackoutStop, stop.is_ok());
        add(Ability::ScreenStart, self.screen_start_target(agent).is_ok());
        add(Ability::ScreenStop, self.screen_stop_target(agent).is_ok());
        let update = self.update_target(agent, &NamedCall::default()).is_ok();
        for field in 1..=FIELDS {
            add(Ability::Update(field), update);
        }
        can
    }

    /// Whether the agent has the permissions that the ability's command requires.
    fn is_permitted(&self, agent: AgentIndex, ability: Ability) -> bool {
        let command = command_of(ability);
        let Some(entry) = table::form_for(command.verb(), Kind::Agent) else { return false };
        let request = Request { command, entry };
        self.check_permissions(&request, Kind::Agent, Some(agent)).is_ok()
    }
}

/// The command that an agent gives for this ability.
fn command_of(ability: Ability) -> Command<'static> {
    match ability {
        Ability::RecordStart => Command::RecordStart { device: None, call: None },
        Ability::RecordStop => Command::RecordStop { device: None, call: None },
        Ability::BlackoutStart => {
            Command::BlackoutStart { pressed_ms: 0, lead_ms: None, agent: None }
        }
        Ability::BlackoutStop => Command::BlackoutStop { agent: None },
        Ability::ScreenStart => Command::ScreenStart,
        Ability::ScreenStop => Command::ScreenStop,
        Ability::Update(field) => {
            Command::Update { field, value: "".into(), call: None, call_number: None }
        }
    }
}

/// Refuses a value that was typed for a call which `update` no longer reaches.
fn other_call() -> Refusal {
    let text = "nothing was stored: this was typed for another call, whose wrap-up is over";
    Refusal::new(Code::NotRecording, text)
}

fn disk_failed() -> Refusal {
    Refusal::new(Code::Storage, "the disk has failed; nothing was changed, a technician is told")
}
