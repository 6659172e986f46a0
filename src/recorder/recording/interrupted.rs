//! Recordings that wait: their call goes on, but they could not begin, or could not go on.
//!
//! A schedule asks for a recording while the disk is away or full, or while no data key is in
//! stock; a file fails and no other can take over; a stop of the daemon ended a recording. Each
//! such call has one entry, however often it is asked for, so there are never more entries than
//! live calls. When there is room again, the recording begins; if one of that call runs by then, it
//! gets the reasons instead. Nothing here decides that a call is to be recorded.

use crate::calls::directory::AgentIndex;
use crate::id::RecordingId;
use crate::recorder::Recorder;
use crate::recorder::recording::lifecycle::RecordingRequest;
use crate::store::fact::{CallNumber, RecordReason, RecordReasons};
use crate::time::Now;
use std::collections::BTreeMap;

/// What a recording is to be once it can begin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterruptedRecording {
    /// The one it goes on from.
    pub id: Option<RecordingId>,
    pub reasons: RecordReasons,
    /// Who pressed, if an agent did.
    pub agent: Option<AgentIndex>,
    /// Name of the schedule.
    pub schedule: Option<String>,
}

/// All recordings that wait, by call.
#[derive(Debug, Default)]
pub(in crate::recorder) struct ToResume(BTreeMap<CallNumber, InterruptedRecording>);

impl ToResume {
    /// Adds a recording. Where one of that call waits already, it gets the reasons too, and what
    /// is not known of it yet. Returns whether anything is new.
    pub fn add(&mut self, call: CallNumber, new: InterruptedRecording) -> bool {
        let waiting = self.0.entry(call).or_default();
        let before = waiting.clone();
        waiting.reasons.0 |= new.reasons.0;
        waiting.id = waiting.id.or(new.id);
        waiting.agent = waiting.agent.or(new.agent);
        waiting.schedule = waiting.schedule.take().or(new.schedule);
        *waiting != before
    }

    /// These reasons are given up; without any the recording is not wanted any more.
    pub fn drop_reasons(&mut self, call: CallNumber, gone: RecordReasons) {
        if let Some(waiting) = self.0.get_mut(&call) {
            waiting.reasons.0 &= !gone.0;
            if waiting.reasons.is_empty() {
                self.0.remove(&call);
            }
        }
    }

    pub fn remove(&mut self, call: CallNumber) {
        self.0.remove(&call);
    }

    pub fn contains(&self, call: CallNumber) -> bool {
        self.0.contains_key(&call)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl Recorder {
    /// Begins the recordings that wait, the oldest call first, as far as there is room.
    pub(in crate::recorder) fn resume_interrupted(&mut self, now: Now) {
        let waiting: Vec<CallNumber> = self.to_resume.0.keys().copied().collect();
        for call in waiting {
            if self.can_begin().is_err() {
                return;
            }
            let Some(wanted) = self.to_resume.0.get(&call).cloned() else { continue };
            if self.resume(now, call, &wanted) {
                self.to_resume.remove(call);
            }
        }
    }

    /// Begins one recording that waits, or adds its reasons to the one that runs. False: it still
    /// has to wait.
    fn resume(&mut self, now: Now, number: CallNumber, wanted: &InterruptedRecording) -> bool {
        let Some(call) = self.calls.get(number).filter(|call| call.is_live()) else { return true };
        let only_own = self.call_owner(call).is_some_and(|agent| self.sees_only_own(agent));
        let channel = &self.channels[call.channel.0];
        // It may have waited for room on the disk longer than the ring remembers.
        let from = call.from.max(channel.ring.tail()).max(self.release_floor(number));
        let channel = channel.id;
        let same = |s: &crate::config::Schedule| Some(&s.name) == wanted.schedule.as_ref();
        let want = RecordingRequest {
            call: number,
            from,
            reasons: wanted.reasons,
            pressed: wanted.agent.map(|agent| (agent, from)),
            schedule: self.config.schedules.iter().position(same),
            continues: wanted.id,
        };
        if let Some(running) = self.running_of(number) {
            let (id, missing) = (running.id, RecordReasons(want.reasons.0 & !running.reasons.0));
            // An agent must not see what others began (B2): the own recording waits until it ends.
            let hidden = only_own && missing.contains(RecordReason::Agent);
            if !hidden {
                self.add_reasons(now, (id, missing), &want);
            }
            return !hidden;
        }
        match self.begin_recording(now, want) {
            Ok((id, _)) if wanted.agent.is_some() || !only_own => {
                self.blackouts.set_continued_recording(channel, id);
            }
            Ok(_) => {}
            Err(refusal) => {
                log::error!("a recording that should go on has to wait: {refusal}");
                return false;
            }
        }
        true
    }

    /// The recording of a call runs already: it only gets the reasons that it lacks.
    fn add_reasons(
        &mut self,
        now: Now,
        (id, missing): (RecordingId, RecordReasons),
        want: &RecordingRequest,
    ) {
        for reason in RecordReason::ALL.into_iter().filter(|reason| missing.contains(*reason)) {
            self.add_reason(now, id, reason, ("box", want.schedule));
        }
        let running = self.recordings.iter_mut().find(|recording| recording.id == id);
        if let Some(running) = running.filter(|_| missing.contains(RecordReason::Agent)) {
            running.pressed = running.pressed.or(want.pressed);
        }
    }
}
