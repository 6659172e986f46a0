//! The table of calls, with the lines, seats and schedules that calls depend on.
//!
//! A call is found by its number, its channel, its owner, or its id. `update` is the only way to
//! change a call, so that no key is left behind. All orders are those of the call numbers.

use super::activity::LineStates;
use crate::audio::channel::{Channel, ChannelIndex};
use crate::calls::call::Call;
use crate::calls::directory::AgentIndex;
use crate::limits;
use crate::store::fact::CallNumber;
use crate::time::MonoTime;
use std::collections::{BTreeMap, BTreeSet};

/// All calls that are known.
#[derive(Debug)]
pub(in crate::recorder) struct CallTable {
    calls: BTreeMap<CallNumber, Call>,
    live: BTreeSet<(ChannelIndex, CallNumber)>,
    by_owner: BTreeSet<(AgentIndex, CallNumber)>,
    /// Live calls by their id, and by the id of the call that they consult for.
    by_id: BTreeSet<(String, CallNumber)>,
    by_consulted: BTreeSet<(String, CallNumber)>,
    /// The channels that record each device.
    devices: BTreeSet<(String, ChannelIndex)>,
    pub lines: LineStates,
    /// The agent who last logged in at each workstation's device.
    pub seats: BTreeMap<String, AgentIndex>,
    /// Which schedules were active when the calls were matched last; `None`: match them again.
    pub active_schedules: Option<Vec<bool>>,
    last_order: u64,
    last_number: u64,
}

/// The numbers in a set of keys with this first part.
fn numbers_of<'a, K: Ord + Clone>(
    keys: &'a BTreeSet<(K, CallNumber)>,
    key: &K,
) -> impl DoubleEndedIterator<Item = CallNumber> + use<'a, K> {
    let all = (key.clone(), CallNumber(0))..=(key.clone(), CallNumber(u64::MAX));
    keys.range(all).map(|(_, number)| *number)
}

impl CallTable {
    /// An empty table; `last` is the highest call number in the journal.
    pub fn new(last: CallNumber, channels: &[Channel]) -> CallTable {
        let named = channels.iter().enumerate().filter(|(_, channel)| !channel.device.is_empty());
        let devices = named.map(|(index, channel)| (channel.device.clone(), ChannelIndex(index)));
        let devices = devices.collect();
        CallTable {
            calls: BTreeMap::new(),
            live: BTreeSet::new(),
            by_owner: BTreeSet::new(),
            by_id: BTreeSet::new(),
            by_consulted: BTreeSet::new(),
            devices,
            lines: LineStates::new(channels.len()),
            seats: BTreeMap::new(),
            active_schedules: None,
            last_order: 0,
            last_number: last.0,
        }
    }

    /// Allocates the next call number.
    pub fn next_number(&mut self) -> CallNumber {
        self.last_number += 1;
        CallNumber(self.last_number)
    }

    /// Allocates the next sequence number of starts, resumes and ends.
    pub fn next_order(&mut self) -> u64 {
        self.last_order += 1;
        self.last_order
    }

    /// The lowest number still in use by a live call, or else the next number.
    pub fn first_live_number(&self) -> CallNumber {
        let live = self.live_calls().next().map(|call| call.number);
        live.unwrap_or(CallNumber(self.last_number + 1))
    }

    pub fn is_full(&self) -> bool {
        self.calls.len() >= limits::CALLS_MAX
    }

    pub fn len(&self) -> usize {
        self.calls.len()
    }

    pub fn insert(&mut self, call: Call) {
        assert!(!self.is_full());
        self.add_keys(&call);
        let previous = self.calls.insert(call.number, call);
        assert!(previous.is_none(), "each call has its own number");
    }

    pub fn remove(&mut self, number: CallNumber) -> Option<Call> {
        let call = self.calls.remove(&number)?;
        self.remove_keys(&call);
        Some(call)
    }

    /// Changes a call. Returns false if it is not known.
    pub fn update(&mut self, number: CallNumber, change: impl FnOnce(&mut Call)) -> bool {
        let Some(mut call) = self.remove(number) else { return false };
        change(&mut call);
        assert_eq!(call.number, number);
        self.add_keys(&call);
        self.calls.insert(number, call);
        true
    }

    /// Notes that the call's channel has audio.
    pub fn mark_heard(&mut self, number: CallNumber, now: MonoTime) {
        if let Some(call) = self.calls.get_mut(&number) {
            call.last_audio = now;
        }
    }

    fn add_keys(&mut self, call: &Call) {
        let number = call.number;
        self.by_owner.extend(call.owner().map(|owner| (owner, number)));
        if call.is_live() {
            self.live.insert((call.channel, number));
            self.by_id.insert((call.id.clone(), number));
            self.by_consulted.extend(call.consult_of.clone().map(|id| (id, number)));
        }
    }

    fn remove_keys(&mut self, call: &Call) {
        let number = call.number;
        call.owner().map(|owner| self.by_owner.remove(&(owner, number)));
        self.live.remove(&(call.channel, number));
        self.by_id.remove(&(call.id.clone(), number));
        call.consult_of.clone().map(|id| self.by_consulted.remove(&(id, number)));
    }

    pub fn get(&self, number: CallNumber) -> Option<&Call> {
        self.calls.get(&number)
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Call> + Clone {
        self.calls.values()
    }

    pub fn live_calls(&self) -> impl DoubleEndedIterator<Item = &Call> + Clone {
        self.iter().filter(|call| call.is_live())
    }

    pub fn live_count(&self) -> usize {
        self.live.len()
    }

    /// Notes that a channel records a device from now on.
    pub fn add_device(&mut self, device: &str, channel: ChannelIndex) {
        self.devices.insert((device.to_string(), channel));
    }

    /// Notes that a channel records a device no more.
    pub fn remove_device(&mut self, device: &str, channel: ChannelIndex) {
        self.devices.remove(&(device.to_string(), channel));
    }

    /// The channel that records a device; the first, if its calls have several.
    pub fn channel_of(&self, device: &str) -> Option<ChannelIndex> {
        self.channels_of(device).next()
    }

    fn channels_of(&self, device: &str) -> impl Iterator<Item = ChannelIndex> {
        let device = device.to_string();
        let all = (device.clone(), ChannelIndex(0))..=(device, ChannelIndex(usize::MAX));
        self.devices.range(all).map(|(_, channel)| *channel)
    }

    /// The live calls of a channel.
    pub fn live_on(&self, channel: ChannelIndex) -> impl DoubleEndedIterator<Item = &Call> {
        numbers_of(&self.live, &channel).filter_map(|number| self.get(number))
    }

    /// The calls of an agent, live or in wrap-up.
    pub fn calls_of(&self, agent: AgentIndex) -> impl DoubleEndedIterator<Item = &Call> {
        numbers_of(&self.by_owner, &agent).filter_map(|number| self.get(number))
    }

    /// The live calls of an agent.
    pub fn live_of(&self, agent: AgentIndex) -> impl DoubleEndedIterator<Item = &Call> {
        self.calls_of(agent).filter(|call| call.is_live())
    }

    /// The live call with this id on this device.
    pub fn find_live(&self, device: &str, id: &str) -> Option<&Call> {
        let all = self.channels_of(device).flat_map(|channel| self.live_on(channel));
        all.into_iter().find(|call| call.id == id)
    }

    /// The live calls with a leg in common with this call: the same id, or one consults for the
    /// other.
    pub fn live_legs_of(&self, call: &Call) -> impl Iterator<Item = &Call> {
        let same = numbers_of(&self.by_id, &call.id);
        let consults = numbers_of(&self.by_consulted, &call.id);
        let consulted = call.consult_of.as_ref().map(|id| numbers_of(&self.by_id, id));
        let all = same.chain(consults).chain(consulted.into_iter().flatten());
        all.filter_map(|number| self.get(number))
    }

    /// The call that owns a channel's audio: the last started or resumed call not on hold.
    pub fn active_call(&self, channel: ChannelIndex) -> Option<&Call> {
        let here = self.live_on(channel).filter(|call| !call.is_held);
        here.max_by_key(|call| call.start_order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calls::schedule::ScheduleMatch;
    use crate::store::fact::PhoneNumbers;
    use crate::time::{Position, WallTime};

    fn call(number: u64, channel: usize, id: &str) -> Call {
        Call {
            number: CallNumber(number),
            id: id.into(),
            device: String::new(),
            channel: ChannelIndex(channel),
            consult_of: None,
            named_agent: None,
            phone_owner: Some(AgentIndex(1)),
            workstation_agent: None,
            direction: None,
            group: None,
            gate: None,
            numbers: PhoneNumbers::default(),
            began: WallTime(0),
            from: Position(0),
            is_held: false,
            start_order: number,
            ended: None,
            schedule_match: ScheduleMatch::default(),
            was_scheduled: false,
            altered: String::new(),
            since: MonoTime(0),
            is_long: false,
            last_audio: MonoTime(0),
        }
    }

    fn numbers<'a>(calls: impl Iterator<Item = &'a Call>) -> Vec<u64> {
        calls.map(|call| call.number.0).collect()
    }

    #[test]
    fn a_call_that_changes_is_found_by_its_new_keys_only() {
        let mut calls = CallTable::new(CallNumber(0), &[]);
        calls.insert(call(1, 7, "a"));
        calls.insert(call(2, 7, "b"));
        calls.insert(Call { consult_of: Some("a".into()), ..call(3, 8, "c") });
        assert_eq!(numbers(calls.live_on(ChannelIndex(7))), [1, 2]);
        assert_eq!(numbers(calls.live_of(AgentIndex(1))), [1, 2, 3]);
        let legs = |calls: &CallTable, number| {
            numbers(calls.live_legs_of(calls.get(CallNumber(number)).unwrap()))
        };
        assert_eq!((legs(&calls, 1), legs(&calls, 3)), (vec![1, 3], vec![3, 1]));
        assert!(calls.update(CallNumber(1), |call| call.named_agent = Some(AgentIndex(2))));
        assert!(calls.update(CallNumber(2), |call| call.ended = Some(Default::default())));
        assert_eq!(numbers(calls.live_on(ChannelIndex(7))), [1]);
        assert_eq!(numbers(calls.calls_of(AgentIndex(1))), [2, 3]);
        assert_eq!(numbers(calls.live_of(AgentIndex(1))), [3]);
        assert_eq!(numbers(calls.live_of(AgentIndex(2))), [1]);
        calls.remove(CallNumber(1));
        assert_eq!((legs(&calls, 3), calls.live_count()), (vec![3], 1));
        assert!(!calls.update(CallNumber(1), |_| {}), "it is gone");
        calls.remove(CallNumber(2));
        calls.remove(CallNumber(3));
        assert_eq!(numbers(calls.calls_of(AgentIndex(1))), [0_u64; 0]);
    }
}
