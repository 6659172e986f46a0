//! A call: the state of one telephone call.
//!
//! A call lives from its `call start` until its wrap-up ends. An agent's current call is the one
//! with the highest `start_order` (last started or resumed) that is not on hold. Without one, a
//! late command reaches the call that ended last. The recorder decides which agent a call belongs
//! to and what is recorded.

use crate::audio::channel::ChannelIndex;
use crate::calls::directory::AgentIndex;
use crate::calls::schedule::ScheduleMatch;
use crate::config::Direction;
use crate::store::fact::{CallFacts, CallNumber, PhoneNumbers};
use crate::time::{MonoTime, Position, WallTime};
use protocol::CallArgs;
use std::borrow::Cow;

/// The end of a call.
#[derive(Clone, Copy, Debug, Default)]
pub struct CallEnd {
    pub at: MonoTime,
    /// End position on its channel.
    pub position: Position,
    /// Sequence number, in one order with starts and resumes.
    pub order: u64,
}

#[derive(Clone, Debug)]
pub struct Call {
    pub number: CallNumber,
    /// Id given by the call feed.
    pub id: String,
    pub device: String,
    pub channel: ChannelIndex,
    pub consult_of: Option<String>,
    /// Agent named by the call feed with `agent=`, by username or phone.
    pub named_agent: Option<AgentIndex>,
    /// Agent whose phones include the device.
    pub phone_owner: Option<AgentIndex>,
    /// The agent who logged in last at the device's workstation, before or during the call. The
    /// call keeps this agent if the session disconnects, so that a blackout stays in place (G5).
    pub workstation_agent: Option<AgentIndex>,
    pub direction: Option<Direction>,
    pub group: Option<String>,
    pub gate: Option<String>,
    pub numbers: PhoneNumbers,
    pub began: WallTime,
    /// Start position on its channel.
    pub from: Position,
    pub is_held: bool,
    /// Sequence number of the last start or resume, in one order with ends, over all calls.
    pub start_order: u64,
    pub ended: Option<CallEnd>,
    pub schedule_match: ScheduleMatch,
    /// Whether a schedule has caused a recording of the call. None causes a second one after its
    /// reason was removed.
    pub was_scheduled: bool,
    /// Details of the feed that were shortened or left out, for the record; empty: none.
    pub altered: String,
    /// When it began in this run of the daemon, for `max_call_s`.
    pub since: MonoTime,
    /// Whether an alarm about its length was raised.
    pub is_long: bool,
    /// Last time its channel had audio, for `stale_call_s`.
    pub last_audio: MonoTime,
}

impl Call {
    /// Returns the facts for the journal; `agent` is the call's current agent.
    #[must_use]
    pub fn to_facts(&self, agent: Option<String>) -> CallFacts {
        CallFacts {
            number: self.number,
            call: self.id.clone(),
            device: self.device.clone(),
            consult_of: self.consult_of.clone(),
            agent,
            direction: self.direction,
            group: self.group.clone(),
            gate: self.gate.clone(),
            began: self.began,
        }
    }

    /// The agent who owns the call: named by the PBX, or else by the phone, or else by the
    /// workstation login.
    #[must_use]
    pub fn owner(&self) -> Option<AgentIndex> {
        self.named_agent.or(self.phone_owner).or(self.workstation_agent)
    }

    #[must_use]
    pub fn is_live(&self) -> bool {
        self.ended.is_none()
    }

    /// Whether the two are legs of one call, or one consults for the other.
    #[must_use]
    pub fn is_linked_to(&self, other: &Call) -> bool {
        self.id == other.id
            || self.consult_of.as_deref() == Some(&other.id)
            || other.consult_of.as_deref() == Some(&self.id)
    }

    /// Whether a `call start` with this call's id begins another call, because it states another
    /// number or direction: the PBX has used the id again.
    #[must_use]
    pub fn is_contradicted_by(&self, start: &CallArgs<'_>) -> bool {
        let differs = |known: &Option<String>, stated: &Option<Cow<'_, str>>| {
            let known = known.as_deref().filter(|number| !number.is_empty());
            let stated = stated.as_deref().filter(|number| !number.is_empty());
            known.zip(stated).is_some_and(|(known, stated)| known != stated)
        };
        let direction = start.direction.map(Direction::from);
        differs(&self.numbers.ani, &start.ani)
            || differs(&self.numbers.dnis, &start.dnis)
            || self.direction.zip(direction).is_some_and(|(known, stated)| known != stated)
    }
}
