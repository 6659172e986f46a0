//! Calls: the state of every telephone call and their order.
//!
//! A call lives from its `call start` until its wrap-up ends. An agent's current call is the one
//! with the highest `start_order` (last started or resumed) that is not on hold. The recorder
//! decides which agent a call belongs to and what is recorded.

use crate::audio::channel::ChannelIndex;
use crate::calls::directory::AgentIndex;
use crate::calls::schedule::ScheduleMatch;
use crate::config::Direction;
use crate::limits;
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

    #[must_use]
    pub fn is_live(&self) -> bool {
        self.ended.is_none()
    }
}

#[derive(Debug, Default)]
pub struct Calls {
    calls: Vec<Call>,
    last_start_order: u64,
    last_number: u64,
}

impl Calls {
    /// Creates an empty table; `last` is the highest call number in the journal.
    #[must_use]
    pub fn new(last: u64) -> Calls {
        Calls { calls: Vec::with_capacity(64), last_start_order: 0, last_number: last }
    }

    /// Allocates the next call number.
    pub fn next_number(&mut self) -> CallNumber {
        self.last_number += 1;
        CallNumber(self.last_number)
    }

    /// Returns the lowest number still in use by a live call, or else the next number.
    #[must_use]
    pub fn first_live_number(&self) -> CallNumber {
        let live = self.live_calls().map(|call| call.number).min();
        live.unwrap_or(CallNumber(self.last_number + 1))
    }

    /// Allocates the next start-order number.
    pub fn next_start_order(&mut self) -> u64 {
        self.last_start_order += 1;
        self.last_start_order
    }

    #[must_use]
    pub fn is_full(&self) -> bool {
        self.calls.len() >= limits::CALLS_MAX
    }

    pub fn push(&mut self, call: Call) {
        assert!(!self.is_full() && self.get(call.number).is_none());
        self.calls.push(call);
    }

    #[must_use]
    pub fn get(&self, number: CallNumber) -> Option<&Call> {
        self.calls.iter().find(|call| call.number == number)
    }

    #[must_use]
    pub fn get_mut(&mut self, number: CallNumber) -> Option<&mut Call> {
        self.calls.iter_mut().find(|call| call.number == number)
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Call> + Clone {
        self.calls.iter()
    }

    pub fn live_calls(&self) -> impl DoubleEndedIterator<Item = &Call> + Clone {
        self.calls.iter().filter(|call| call.is_live())
    }

    /// Returns the live call with this id on this device.
    #[must_use]
    pub fn find_live(&self, device: &str, id: &str) -> Option<&Call> {
        self.live_calls().find(|call| call.device == device && call.id == id)
    }

    /// Removes calls whose wrap-up has ended.
    pub fn retain(&mut self, keep: impl FnMut(&Call) -> bool) {
        self.calls.retain(keep);
    }

    /// Returns the call that owns a channel's audio: the last started or resumed call not on
    /// hold.
    #[must_use]
    pub fn active_call(&self, channel: ChannelIndex) -> Option<&Call> {
        let here = self.live_calls().filter(|call| call.channel == channel && !call.is_held);
        here.max_by_key(|call| call.start_order)
    }
}
