//! A call: the state of one telephone call.
//!
//! A call lives from its `call start` until its wrap-up ends. An agent's current call is the one
//! with the highest `start_order` (last started or resumed) that is not on hold. The recorder
//! decides which agent a call belongs to and what is recorded.

use crate::audio::channel::ChannelIndex;
use crate::calls::directory::AgentIndex;
use crate::calls::schedule::ScheduleMatch;
use crate::config::Direction;
use crate::store::fact::{CallFacts, CallNumber, PhoneNumbers};
use crate::time::{MonoTime, Position, WallTime};

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
    /// First agent at the device's workstation during the call. The call keeps this agent if the
    /// session disconnects, so that a blackout stays in place (G5).
    pub workstation_agent: Option<AgentIndex>,
    pub direction: Option<Direction>,
    pub group: Option<String>,
    pub gate: Option<String>,
    pub numbers: PhoneNumbers,
    pub began: WallTime,
    /// Start position on its channel.
    pub from: Position,
    pub is_held: bool,
    /// Sequence number of the last start or resume, over all calls.
    pub start_order: u64,
    /// Time and position of its end, if it has ended.
    pub ended: Option<(MonoTime, Position)>,
    pub schedule_match: ScheduleMatch,
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
}
