//! Recordings that wait to start or resume while their call continues.
//!
//! Causes are a failed or full disk, an empty stock of data keys, a failed file without a
//! successor, and a stop of the daemon. Each call has one entry, so there are never more entries
//! than live calls. When there is room, the recording starts. If a recording of that call already
//! runs, it gets the reasons instead.

use crate::calls::directory::AgentIndex;
use crate::id::RecordingId;
use crate::recorder::Recorder;
use crate::recorder::recording::lifecycle::{RecordingRequest, Requester};
use crate::store::fact::{CallNumber, RecordReason, RecordReasons};
use crate::time::Now;
use std::collections::BTreeMap;

/// The parameters of a recording that waits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterruptedRecording {
    /// The recording that it continues.
    pub id: Option<RecordingId>,
    pub reasons: RecordReasons,
    /// The agent who pressed, if any.
    pub agent: Option<AgentIndex>,
    /// Name of the schedule.
    pub schedule: Option<String>,
}

/// All waiting recordings, by call.
#[derive(Debug, Default)]
pub(in crate::recorder) struct ToResume(BTreeMap<CallNumber, InterruptedRecording>);

impl ToResume {
    /// Adds a recording, or merges it into the call's entry. Returns whether the entry changed.
    pub fn add(&mut self, call: CallNumber, new: InterruptedRecording) -> bool {
        let waiting = self.0.entry(call).or_default();
        let before = waiting.clone();
        waiting.reasons.0 |= new.reasons.0;
        waiting.id = waiting.id.or(new.id);
        waiting.agent = waiting.agent.or(new.agent);
        waiting.schedule = waiting.schedule.take().or(new.schedule);
        *waiting != before
    }

    /// Removes reasons; removes the entry with the last one.
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
    /// Starts waiting recordings, oldest call first, while there is room.
    pub(in crate::recorder) fn resume_interrupted(&mut self, now: Now) {
        let waiting: Vec<CallNumber> = self.recordings.to_resume.0.keys().copied().collect();
        for call in waiting {
            if self.can_begin().is_err() {
                return;
            }
            let Some(wanted) = self.recordings.to_resume.0.get(&call).cloned() else { continue };
            if self.resume(now, call, &wanted) {
                self.recordings.to_resume.remove(call);
            }
        }
    }

    /// Starts one waiting recording, or adds its reasons to the running one. False: it must still
    /// wait.
    fn resume(&mut self, now: Now, number: CallNumber, wanted: &InterruptedRecording) -> bool {
        let Some(call) = self.calls.get(number).filter(|call| call.is_live()) else { return true };
        let only_own = call.owner().is_some_and(|agent| self.sees_only_own(agent));
        let channel = &self.channels[call.channel.0];
        // The recording may have waited longer than the ring holds audio.
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
        if let Some(running) = self.recordings.running_of(number) {
            let (id, missing) = (running.id, RecordReasons(want.reasons.0 & !running.reasons.0));
            // An agent must not see others' recordings (B2), so the agent's own one waits for their
            // end.
            let hidden = only_own && missing.contains(RecordReason::Agent);
            if !hidden {
                self.add_reasons(now, id, missing, &want);
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

    /// Adds the missing reasons to the call's running recording.
    fn add_reasons(
        &mut self,
        now: Now,
        id: RecordingId,
        missing: RecordReasons,
        want: &RecordingRequest,
    ) {
        for reason in RecordReason::ALL.into_iter().filter(|reason| missing.contains(*reason)) {
            let requester = Requester { by: "box", schedule: want.schedule };
            self.add_reason(now, id, reason, requester);
        }
        if let Some(running) =
            self.recordings.get_mut(id).filter(|_| missing.contains(RecordReason::Agent))
        {
            running.pressed = running.pressed.or(want.pressed);
        }
    }
}
