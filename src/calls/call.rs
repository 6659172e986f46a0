//! Calls: what the box knows of every telephone call, and in which order they came.
//!
//! A call lives from its `call start` until its wrap-up is over. Which of an agent's calls is the
//! current one follows from `turn`: the newest started or resumed that is not held. Whom a call
//! belongs to and what is recorded of it is decided in `recorder`.

use crate::audio::channel::ChannelIndex;
use crate::calls::directory::AgentIndex;
use crate::calls::schedule::ScheduleMatch;
use crate::config::Direction;
use crate::limits;
use crate::store::fact::{CallFacts, CallNumber, PhoneNumbers};
use crate::time::{MonoTime, Position, WallTime};

/// One call.
#[derive(Clone, Debug)]
pub struct Call {
    pub number: CallNumber,
    /// The PBX's word for it.
    pub id: String,
    pub device: String,
    pub channel: ChannelIndex,
    pub consult_of: Option<String>,
    /// Whom the PBX named with `agent=`: a username, or one of somebody's phones.
    pub named_agent: Option<AgentIndex>,
    /// Whose phones hold the device.
    pub phone_owner: Option<AgentIndex>,
    /// Who sat at the device's workstation first, in the call: it stays theirs when their link is
    /// gone, so that a blackout stays on it (G5).
    pub workstation_agent: Option<AgentIndex>,
    pub direction: Option<Direction>,
    pub group: Option<String>,
    pub gate: Option<String>,
    pub numbers: PhoneNumbers,
    pub began: WallTime,
    /// Where it begins on its channel.
    pub from: Position,
    pub is_held: bool,
    /// Counts up with every start and resume, over all calls.
    pub start_order: u64,
    /// When it ended, and where.
    pub ended: Option<(MonoTime, Position)>,
    pub schedule_match: ScheduleMatch,
    /// When its channel was last heard, for `stale_call_s`.
    pub last_audio: MonoTime,
}

impl Call {
    /// What the journal says of it, `agent` being whom it belongs to now.
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

/// All calls the box knows.
#[derive(Debug, Default)]
pub struct Calls {
    calls: Vec<Call>,
    last_start_order: u64,
    last_number: u64,
}

impl Calls {
    /// `last` is the highest number the journal knows.
    #[must_use]
    pub fn new(last: u64) -> Calls {
        Calls { calls: Vec::with_capacity(64), last_start_order: 0, last_number: last }
    }

    /// The next unused number.
    pub fn next_number(&mut self) -> CallNumber {
        self.last_number += 1;
        CallNumber(self.last_number)
    }

    /// The lowest number that is still noted: of a live call, or else of the next one.
    #[must_use]
    pub fn first_live_number(&self) -> CallNumber {
        let live = self.live_calls().map(|call| call.number).min();
        live.unwrap_or(CallNumber(self.last_number + 1))
    }

    /// The next place in the order of starts and resumes.
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

    /// The live call with this id on this device.
    #[must_use]
    pub fn find_live(&self, device: &str, id: &str) -> Option<&Call> {
        self.live_calls().find(|call| call.device == device && call.id == id)
    }

    /// Forgets calls whose wrap-up is over.
    pub fn retain(&mut self, keep: impl FnMut(&Call) -> bool) {
        self.calls.retain(keep);
    }

    /// Whose call a channel's audio is: its newest started or resumed, not held call.
    #[must_use]
    pub fn active_call(&self, channel: ChannelIndex) -> Option<&Call> {
        let here = self.live_calls().filter(|call| call.channel == channel && !call.is_held);
        here.max_by_key(|call| call.start_order)
    }
}
