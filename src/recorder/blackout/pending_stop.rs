//! Blackout stops that are not durable yet (G5).
//!
//! A stop closes the masks at the press, so its positions are exact. Later audio stays in the ring
//! and out of the meters until the stop is durable. If no sync comes in time, the stop is refused
//! and rolled back. The waiting audio is wiped, and the blackout continues for its holders. Until
//! the stop is durable, all clients see the blackout as on.

use crate::audio::channel::ChannelIndex;
use crate::calls::directory::AgentIndex;
use crate::job::Ticket;
use crate::limits;
use crate::recorder::blackout::ActiveBlackout;
use crate::recorder::{Recorder, Timer};
use crate::store::fact::{BlackoutEnd, BlackoutHolder, BlackoutNumber, ChannelPosition, Fact};
use crate::time::{MonoTime, Now, Position};
use crate::trace::TraceEvent;

/// A stop that waits for its sync.
#[derive(Clone, Debug)]
pub struct PendingStop {
    /// The blackout before the stop.
    pub before: ActiveBlackout,
    /// The holders that release the blackout: bits of `BlackoutHolder`.
    pub released: u8,
    /// Whether no other holder is left.
    pub over: bool,
    /// Where the blackout ends on the agent's own channel.
    pub to: Position,
    /// Where the blackout ends on each covered channel; empty if it continues.
    pub places: Vec<(ChannelIndex, Position)>,
    pub ticket: Ticket,
    /// When the stop is rolled back.
    pub until: MonoTime,
}

impl Recorder {
    /// Releases one holder of the blackout of `agent`, which ends with its last holder. A stop that
    /// is already pending is returned again.
    pub(in crate::recorder) fn release_blackout(
        &mut self,
        now: Now,
        agent: AgentIndex,
        holder: BlackoutHolder,
        by: &str,
    ) -> Option<PendingStop> {
        let Some(index) = self.blackouts.open.iter().position(|open| open.agent == Some(agent))
        else {
            let same = |stop: &&PendingStop| stop.before.agent == Some(agent) && stop.over;
            return self.blackouts.stops.iter().find(same).cloned();
        };
        Some(self.release_holders(now, index, 1 << holder as u8, by))
    }

    /// Releases holders of an open blackout, given as bits of `BlackoutHolder`.
    pub(in crate::recorder) fn release_holders(
        &mut self,
        now: Now,
        index: usize,
        released: u8,
        by: &str,
    ) -> PendingStop {
        let before = self.blackouts.open[index].clone();
        // A blackout restored at start without a call has no own channel yet.
        let own = self.channels.iter().find(|channel| channel.id == before.make_receipt.channel);
        let own = own.or(before.covered.first().map(|first| &self.channels[first.0]));
        let to = own.map_or(Position(0), crate::audio::channel::Channel::head);
        let released = before.holders & released;
        let holders = before.holders & !released;
        let over = holders == 0;
        let (mut places, number) = (Vec::new(), before.number);
        let ticket = if over {
            let head = |channel: &ChannelIndex| (*channel, self.channels[channel.0].head());
            places.extend(before.covered.iter().map(head));
            self.close_blackout(now, index, BlackoutEnd::Stop, by)
        } else {
            self.blackouts.open[index].holders = holders;
            self.stale_agents.extend(before.agent);
            let fact = Fact::BlackoutHolders { number, holders, by: by.to_string() };
            self.journal.append(now, fact)
        };
        let until = now.mono.after_ms(limits::RECEIPT_TIMEOUT_MS);
        let stop = PendingStop { before, released, over, to, places, ticket, until };
        self.blackouts.stops.push(stop.clone());
        self.timers.advance(Timer::PendingStops, until);
        self.limit_release_to_stops();
        stop
    }

    /// Completes stops that are durable.
    pub(in crate::recorder) fn settle_durable_stops(&mut self) {
        let durable = self.journal.storage.durable_ticket();
        let mut settled = false;
        while let Some(index) = self.blackouts.stops.iter().position(|stop| stop.ticket <= durable)
        {
            let stop = self.blackouts.stops.remove(index);
            self.stale_agents.extend(stop.before.agent);
            settled = true;
        }
        if settled {
            self.limit_release_to_stops();
        }
    }

    /// Rolls back stops that were not durable in time.
    pub(in crate::recorder) fn roll_back_late_stops(&mut self, now: Now) {
        while let Some(index) = self.blackouts.stops.iter().position(|s| s.until <= now.mono) {
            self.roll_back_stop(now, index);
        }
        let next = self.blackouts.stops.iter().map(|stop| stop.until).min();
        self.timers.rearm(Timer::PendingStops, now.mono, next);
    }

    /// Rolls back a pending stop because the agent pressed again.
    pub(in crate::recorder) fn roll_back_stop_of(&mut self, now: Now, agent: AgentIndex) {
        let stops = &self.blackouts.stops;
        let own = stops.iter().position(|stop| stop.before.agent == Some(agent) && stop.over);
        if let Some(index) = own {
            self.roll_back_stop(now, index);
        }
    }

    pub(super) fn roll_back_stop(&mut self, now: Now, index: usize) {
        let stop = self.blackouts.stops.remove(index);
        self.stale_agents.extend(stop.before.agent);
        if stop.over {
            self.reopen_blackout(now, stop);
        } else {
            self.restore_holder(now, &stop);
        }
        self.limit_release_to_stops();
    }

    /// Restores a holder whose release was rolled back.
    fn restore_holder(&mut self, now: Now, stop: &PendingStop) {
        let (number, released) = (stop.before.number, stop.released);
        for later in self.blackouts.stops.iter_mut().filter(|s| s.before.number == number) {
            later.before.holders |= released;
        }
        let Some(open) = self.blackouts.open.iter_mut().find(|open| open.number == number) else {
            return;
        };
        open.holders |= released;
        let fact = Fact::BlackoutHolders { number, holders: open.holders, by: "box".to_string() };
        self.journal.append(now, fact);
    }

    /// Reopens a blackout from its end under a new number, because the end may be in the journal.
    fn reopen_blackout(&mut self, now: Now, stop: PendingStop) {
        let PendingStop { before: mut open, released, places, .. } = stop;
        let first = BlackoutHolder::ALL.into_iter().find(|h| released & (1 << *h as u8) != 0);
        let holder = first.unwrap_or(BlackoutHolder::Agent);
        self.blackouts.last += 1;
        open.number = BlackoutNumber(self.blackouts.last);
        let mut facts = Vec::with_capacity(places.len());
        for (index, at) in places {
            let channel = &mut self.channels[index.0];
            if open.covered.first() == Some(&index) {
                let frames = channel.head().frames_since(at);
                open.captured_us += frames * 1_000_000 / u64::from(channel.rate);
            }
            channel.start_mask(at);
            facts.push(ChannelPosition { channel: channel.id, at });
        }
        log::warn!("the blackout of {} goes on: its stop is not on record", open.agent_name);
        let agent = open.agent_name.clone();
        let event = TraceEvent::Blackout { agent: agent.clone(), on: true, why: holder.as_str() };
        self.journal.trace.push_event(now.wall, event);
        let (number, call, holders) = (open.number, open.call, open.holders);
        let by = "box".to_string();
        self.blackouts.open.push(open);
        let fact = Fact::BlackoutOpened { number, agent, call, holder, by, places: facts };
        self.journal.append(now, fact);
        if holders != 1 << holder as u8 {
            let fact = Fact::BlackoutHolders { number, holders, by: "box".to_string() };
            self.journal.append(now, fact);
        }
        if let Some(call) = call.filter(|call| self.calls.get(*call).is_none_or(|c| !c.is_live())) {
            self.end_blackouts_of(now, call);
        }
        self.update_coverage(now);
    }

    /// Keeps audio after a pending stop in its ring.
    fn limit_release_to_stops(&mut self) {
        self.recordings.wake_all();
        self.channels.iter_mut().for_each(|channel| channel.unreleased_from = None);
        for (index, at) in self.blackouts.stops.iter().flat_map(|stop| &stop.places) {
            let waits = &mut self.channels[index.0].unreleased_from;
            *waits = Some(waits.map_or(*at, |before| before.min(*at)));
        }
    }
}
