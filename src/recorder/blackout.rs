//! Open blackouts: their agents, holders, covered channels and ends.
//!
//! A blackout masks at once; its fact follows. It covers every channel that carries a call of its
//! agent (scope agent), or the call it was pressed in (scope call). Other legs of those calls are
//! included (G3). It follows calls as they start and end. It ends when its last holder stops it, at
//! call end (scope call), or at the ceiling of *captured* audio (G4). `visibility` decides who may
//! press. Digits that a caller types hold a blackout like a person (`digits`).

pub(super) mod commands;
pub(super) mod digits;
pub(super) mod fields;
pub(super) mod pending_stop;
pub(super) mod reach;
pub(super) mod visibility;

use super::Recorder;
use crate::audio::channel::ChannelIndex;
use crate::calls::call::Call;
use crate::calls::directory::AgentIndex;
use crate::config::BlackoutScope;
use crate::id::RecordingId;
use crate::job::Ticket;
use crate::recorder::blackout::pending_stop::PendingStop;
use crate::recorder::blackout::reach::{LatePress, PressReach};
use crate::store::fact::{
    BlackoutEnd, BlackoutHolder, BlackoutNumber, CallNumber, ChannelPosition, Fact,
};
use crate::time::{MonoTime, Now, Position};
use crate::trace::TraceEvent;

/// The effect of a press; later presses get the receipt of the first.
#[derive(Clone, Debug, Default)]
pub struct Receipt {
    pub recording: Option<RecordingId>,
    pub at: Position,
    pub from: Position,
    /// Earliest position that `from` may state.
    pub clip: Position,
    pub channel: u16,
    /// Other covered channels, and their first masked positions.
    pub others: Vec<(u16, Position)>,
    pub took_us: u64,
    /// How much of what the press should have masked is kept, in milliseconds.
    pub late_ms: u64,
    /// Frames per second of the agent's own channel.
    pub rate: u32,
    pub ticket: Ticket,
}

impl Receipt {
    /// States an earlier start, and how much the mask still does not reach.
    fn move_back(&mut self, places: &[ChannelPosition], late_ms: u64) {
        self.late_ms = self.late_ms.max(late_ms);
        let begins = |channel: u16| places.iter().find(|place| place.channel == channel);
        if let Some(place) = begins(self.channel) {
            self.from = self.from.min(place.at.max(self.clip));
        }
        for (channel, from) in &mut self.others {
            *from = begins(*channel).map_or(*from, |place| place.at.min(*from));
        }
    }
}

/// One open blackout.
#[derive(Clone, Debug)]
pub struct ActiveBlackout {
    pub number: BlackoutNumber,
    pub agent: Option<AgentIndex>,
    pub agent_name: String,
    /// The call it was pressed in, for scope call.
    pub call: Option<CallNumber>,
    /// The agent's calls that the blackout has covered. It stays on them until they end, even if
    /// the configuration changes their owner (G5). Only the PBX can assign them to another agent.
    pub calls: Vec<CallNumber>,
    /// Bits of `BlackoutHolder`.
    pub holders: u8,
    /// Captured audio under the blackout, in microseconds.
    pub captured_us: u64,
    pub warned: bool,
    /// Calls that began under the blackout, until the agent confirms it for them.
    pub carried: Vec<CallNumber>,
    /// Since when none of `calls` is live.
    pub idle_since: Option<MonoTime>,
    /// The earliest time from which a press wanted the mask.
    pub wanted_from: MonoTime,
    pub covered: Vec<ChannelIndex>,
    /// When typed digits hold it no more.
    pub digits_until: Option<MonoTime>,
    /// Start of the screen mask, in milliseconds since the daemon started.
    pub screen_from: Position,
    pub make_receipt: Receipt,
}

impl ActiveBlackout {
    #[must_use]
    pub fn held_by(&self, holder: BlackoutHolder) -> bool {
        self.holders & (1 << holder as u8) != 0
    }
}

/// All open blackouts.
#[derive(Debug, Default)]
pub struct Blackouts {
    pub open: Vec<ActiveBlackout>,
    /// Stops that are not durable yet.
    pub stops: Vec<PendingStop>,
    pub last: u64,
}

impl Blackouts {
    /// Adds captured audio to every blackout whose first covered channel this is.
    pub fn count_captured(&mut self, channel: ChannelIndex, us: u64) {
        for open in &mut self.open {
            if open.covered.first() == Some(&channel) {
                open.captured_us += us;
            }
        }
    }

    /// Names the recording that resumed under an open blackout in its receipt.
    pub fn set_continued_recording(&mut self, channel: u16, recording: RecordingId) {
        let here = |open: &&mut ActiveBlackout| {
            open.make_receipt.channel == channel && open.make_receipt.ticket == Ticket::default()
        };
        for open in self.open.iter_mut().filter(here) {
            open.make_receipt.recording.get_or_insert(recording);
        }
    }

    /// Removes a call from other agents' blackouts after the PBX assigned it to an agent.
    pub fn release_call(&mut self, call: CallNumber, to: Option<AgentIndex>) {
        let others = self.open.iter_mut().filter(|open| open.agent != to);
        others.for_each(|open| open.calls.retain(|known| *known != call));
    }

    /// The blackout of an agent, until its end is durable.
    #[must_use]
    pub fn active_of(&self, agent: AgentIndex) -> Option<&ActiveBlackout> {
        let stopping = self.stops.iter().filter(|stop| stop.over).map(|stop| &stop.before);
        self.open.iter().chain(stopping).find(|open| open.agent == Some(agent))
    }

    /// The open blackout of an agent.
    #[must_use]
    pub fn open_index(&self, agent: AgentIndex) -> Option<usize> {
        self.open.iter().position(|open| open.agent == Some(agent))
    }

    /// Whether the agent holds the blackout, until the release is durable.
    #[must_use]
    pub fn held_by_agent(&self, agent: AgentIndex) -> bool {
        let stopping = self.stops.iter().map(|stop| &stop.before);
        let mut own = self.open.iter().chain(stopping).filter(|open| open.agent == Some(agent));
        own.any(|open| open.held_by(BlackoutHolder::Agent))
    }
}

/// What stands for the agent of a blackout without one.
const NO_AGENT: &str = "-";

/// A request to open a blackout.
pub(super) struct BlackoutRequest<'a> {
    /// `None`: it is for `call` only, which has no agent.
    pub agent: Option<AgentIndex>,
    pub call: CallNumber,
    pub recording: Option<RecordingId>,
    /// Earliest position that the receipt may state.
    pub clip: Position,
    pub holder: BlackoutHolder,
    pub by: &'a str,
    pub reach: PressReach,
    pub woke: MonoTime,
}

impl Recorder {
    /// Opens a blackout; the mask is in force on return.
    pub(super) fn open_blackout(&mut self, now: Now, press: &BlackoutRequest<'_>) -> Receipt {
        self.blackouts.last += 1;
        let number = BlackoutNumber(self.blackouts.last);
        let by_call = self.config.blackout.scope == BlackoutScope::Call || press.agent.is_none();
        let scope_call = by_call.then_some(press.call);
        let mut calls = self.own_calls(press.agent);
        if press.agent.is_none() {
            calls.push(press.call);
        }
        let channels = self.covered_channels(&calls, scope_call);
        let mut places = Vec::with_capacity(channels.len());
        for index in &channels {
            let from = self.reachable_position(*index, press.reach);
            let channel = &mut self.channels[index.0];
            channel.start_mask(from);
            places.push(ChannelPosition { channel: channel.id, at: from });
        }
        let receipt = self.make_receipt(now, press, &places);
        let name = press.agent.map(|agent| self.directory.agent_at(agent).username.clone());
        let agent = name.unwrap_or_else(|| NO_AGENT.to_string());
        let event =
            TraceEvent::Blackout { agent: agent.clone(), on: true, why: press.holder.as_str() };
        self.journal.trace.push_event(now.wall, event);
        self.blackouts.open.push(ActiveBlackout {
            number,
            agent: press.agent,
            agent_name: agent.clone(),
            call: scope_call,
            calls,
            holders: 1 << press.holder as u8,
            captured_us: 0,
            warned: false,
            carried: Vec::new(),
            idle_since: None,
            wanted_from: press.reach.wanted_at(now),
            covered: channels,
            digits_until: None,
            screen_from: Position(press.reach.wanted_at(now).0 / 1000),
            make_receipt: receipt.clone(),
        });
        let late = LatePress { agent: press.agent, reach: press.reach, noted_ms: 0 };
        let late_ms = self.note_missed(now, late);
        let (holder, by) = (press.holder, press.by.to_string());
        let fact = Fact::BlackoutOpened { number, agent, call: scope_call, holder, by, places };
        let ticket = self.journal.append(now, fact);
        if let Some(open) = self.blackouts.open.last_mut() {
            (open.make_receipt.ticket, open.make_receipt.late_ms) = (ticket, late_ms);
        }
        self.stale_agents.extend(press.agent);
        Receipt { ticket, late_ms, ..receipt }
    }

    fn make_receipt(
        &self,
        now: Now,
        press: &BlackoutRequest<'_>,
        places: &[ChannelPosition],
    ) -> Receipt {
        let own = self.calls.get(press.call).map_or(ChannelIndex(0), |call| call.channel);
        let own_id = self.channels[own.0].id;
        let others = places.iter().filter(|place| place.channel != own_id);
        let from = places.iter().find(|place| place.channel == own_id).map(|place| place.at);
        Receipt {
            recording: press.recording,
            at: self.channels[own.0].head(),
            from: from.unwrap_or_default().max(press.clip),
            clip: press.clip,
            channel: own_id,
            others: others.map(|place| (place.channel, place.at)).collect(),
            took_us: now.mono.since_us(press.woke),
            late_ms: 0,
            rate: self.channels[own.0].rate,
            ticket: Ticket::default(),
        }
    }

    fn own_calls(&self, agent: Option<AgentIndex>) -> Vec<CallNumber> {
        let own = agent.into_iter().flat_map(|agent| self.calls.live_of(agent));
        own.map(|call| call.number).collect()
    }

    /// Channels that a blackout of these calls, or of this call, covers now.
    fn covered_channels(
        &self,
        calls: &[CallNumber],
        call: Option<CallNumber>,
    ) -> Vec<ChannelIndex> {
        let own = call.as_slice();
        let mine = if call.is_some() { own } else { calls }.iter();
        let live = mine.filter_map(|number| self.calls.get(*number)).filter(|c| c.is_live());
        let mut group: Vec<&Call> = live.collect();
        let mut next = 0;
        while next < group.len() {
            for other in self.calls.live_legs_of(group[next]) {
                if !group.iter().any(|known| known.number == other.number) {
                    group.push(other);
                }
            }
            next += 1;
        }
        let mut channels: Vec<ChannelIndex> = group.iter().map(|c| c.channel).collect();
        channels.sort_unstable();
        channels.dedup();
        channels
    }

    /// Updates the covered channels of every open blackout to the current calls.
    pub(super) fn update_coverage(&mut self, now: Now) {
        self.update_coverage_since(now, None);
    }

    /// Updates coverage for a call that just started: its earlier audio may still be in the ring.
    pub(super) fn update_coverage_since(&mut self, now: Now, fresh: Option<CallNumber>) {
        let fresh = fresh.and_then(|number| self.calls.get(number));
        let fresh = fresh.map(|call| (call.channel, call.from));
        for index in 0..self.blackouts.open.len() {
            self.assign_to_owner(index);
            let mut calls = self.own_calls(self.blackouts.open[index].agent);
            self.mark_carried(index, &calls);
            let open = &self.blackouts.open[index];
            let stays = |call: &&CallNumber| {
                self.calls.get(**call).is_some_and(Call::is_live) && !calls.contains(call)
            };
            let stay: Vec<_> = open.calls.iter().filter(stays).copied().collect();
            calls.extend(stay);
            let (number, wanted) = (open.number, self.covered_channels(&calls, open.call));
            self.blackouts.open[index].calls = calls;
            let open = &self.blackouts.open[index];
            if wanted == open.covered {
                continue;
            }
            let old = open.covered.clone();
            let (mut more, mut fewer) = (Vec::new(), Vec::new());
            for channel in wanted.iter().filter(|channel| !old.contains(channel)) {
                let place = &mut self.channels[channel.0];
                let begins = fresh.filter(|(own, _)| own == channel).map(|(_, from)| from);
                let from = begins.unwrap_or(place.head()).min(place.head());
                place.start_mask(from);
                more.push(ChannelPosition { channel: place.id, at: from });
            }
            for channel in old.iter().filter(|channel| !wanted.contains(channel)) {
                let place = &mut self.channels[channel.0];
                place.stop_mask();
                fewer.push(ChannelPosition { channel: place.id, at: place.head() });
            }
            self.blackouts.open[index].covered = wanted;
            if !more.is_empty() {
                let fact = Fact::BlackoutSpread { number, places: more };
                self.journal.append(now, fact);
            }
            if !fewer.is_empty() {
                let fact = Fact::BlackoutShrunk { number, places: fewer };
                self.journal.append(now, fact);
            }
        }
    }

    /// Assigns the blackout of an agent who was removed from the configuration to the owner of a
    /// call that it covers, who then sees it and can end it.
    fn assign_to_owner(&mut self, index: usize) {
        let open = &self.blackouts.open[index];
        if !self.is_orphan(open) {
            return;
        }
        let covered = open.calls.iter().filter_map(|call| self.calls.get(*call));
        let owners = covered.filter(|call| call.is_live()).filter_map(Call::owner);
        let free = |agent: &AgentIndex| {
            !self.directory.agent_at(*agent).is_removed
                && self.blackouts.active_of(*agent).is_none()
        };
        if let Some(owner) = owners.into_iter().find(free) {
            log::warn!("the blackout of {} passes to the owner of its call", open.agent_name);
            self.blackouts.open[index].agent = Some(owner);
            self.stale_agents.insert(owner);
        }
    }

    /// Whether the blackout's agent is not in the configuration.
    pub(super) fn is_orphan(&self, open: &ActiveBlackout) -> bool {
        open.agent.is_none_or(|agent| self.directory.agent_at(agent).is_removed)
    }

    /// Marks calls that come under a blackout after its press. A consult leg belongs to the call
    /// that it was pressed in.
    fn mark_carried(&mut self, index: usize, own: &[CallNumber]) {
        let open = &mut self.blackouts.open[index];
        open.carried.retain(|call| own.contains(call));
        let is_new = |call: &&CallNumber| {
            !open.calls.contains(call)
                && self.calls.get(**call).is_some_and(|call| call.consult_of.is_none())
        };
        let new: Vec<CallNumber> = own.iter().filter(is_new).copied().collect();
        if open.call.is_none() && !new.is_empty() {
            open.carried.extend(new);
            self.stale_agents.extend(open.agent);
        }
    }

    /// Adds a holder to an open blackout.
    pub(super) fn add_blackout_holder(
        &mut self,
        now: Now,
        index: usize,
        holder: BlackoutHolder,
        by: &str,
    ) {
        let open = &mut self.blackouts.open[index];
        if open.held_by(holder) {
            return;
        }
        open.holders |= 1 << holder as u8;
        let (number, holders) = (open.number, open.holders);
        self.stale_agents.extend(open.agent);
        let fact = Fact::BlackoutHolders { number, holders, by: by.to_string() };
        self.journal.append(now, fact);
    }

    pub(super) fn close_blackout(
        &mut self,
        now: Now,
        index: usize,
        end: BlackoutEnd,
        by: &str,
    ) -> Ticket {
        let open = self.blackouts.open.remove(index);
        let mut places = Vec::with_capacity(open.covered.len());
        for channel in &open.covered {
            let place = &mut self.channels[channel.0];
            place.stop_mask();
            places.push(ChannelPosition { channel: place.id, at: place.head() });
        }
        self.stale_agents.extend(open.agent);
        if let Some(agent) = open.agent {
            self.forget_before(agent);
        }
        log::info!("blackout of {} ended ({})", open.agent_name, end.as_str());
        let event = TraceEvent::Blackout { agent: open.agent_name, on: false, why: end.as_str() };
        self.journal.trace.push_event(now.wall, event);
        let fact = Fact::BlackoutClosed { number: open.number, end, by: by.to_string(), places };
        self.journal.append(now, fact)
    }

    /// Ends the blackouts of a call that ended (scope call).
    pub(super) fn end_blackouts_of(&mut self, now: Now, call: CallNumber) {
        while let Some(index) = self.blackouts.open.iter().position(|open| open.call == Some(call))
        {
            self.close_blackout(now, index, BlackoutEnd::CallEnd, "box");
        }
    }

    /// Enforces the ceiling, and warns before it. Ends blackouts that only an agent holds, and
    /// whose agent has had no call for `end_without_call_s`.
    pub(super) fn enforce_blackout_limits(&mut self, now: Now) {
        let ceiling_us = u64::from(self.config.blackout.max_s) * 1_000_000;
        let idle_ms = u64::from(self.config.blackout.end_without_call_s) * 1000;
        let mut index = 0;
        while index < self.blackouts.open.len() {
            let open = &mut self.blackouts.open[index];
            if open.captured_us >= ceiling_us {
                self.close_blackout(now, index, BlackoutEnd::Ceiling, "box");
                continue;
            }
            let live = |call: &CallNumber| self.calls.get(*call).is_some_and(Call::is_live);
            if open.calls.iter().any(live) {
                open.idle_since = None;
            } else {
                let since = *open.idle_since.get_or_insert(now.mono);
                let idle = idle_ms > 0 && now.mono.since_ms(since) >= idle_ms;
                if idle && open.holders == 1 << BlackoutHolder::Agent as u8 {
                    self.close_blackout(now, index, BlackoutEnd::NoCall, "box");
                    continue;
                }
            }
            if !open.warned && open.captured_us >= ceiling_us / 5 * 4 {
                open.warned = true;
                self.stale_agents.extend(open.agent);
            }
            index += 1;
        }
    }
}
