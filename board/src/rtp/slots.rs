//! The slots of an RTP board: one or two legs each, and the clock that moves them.
//!
//! A slot is a channel. While it is open, it advances 20 ms each 20 ms by the board's clock,
//! whether packets come or not, so both legs share one time. A closed slot does not move. Its
//! positions go on when it is opened again.
//!
//! This module has no sockets, so tests and other sources of packets can drive it.

use super::codec::PACKET_FRAMES_MAX;
use super::leg::{Arrival, Leg, LegEvent, Sink};
use super::leg_config::{LegConfig, LegConfigError};
use super::statistics::LegStatistics;
use crate::sample_clock::frames_of_us;
use crate::{CaptureEvent, GapReason, Period, to_index};
use zeroize::Zeroize;

/// Length of a period, in milliseconds.
pub(crate) const PERIOD_MS: u32 = 20;

/// Legs of a slot.
pub const LEGS_MAX: usize = 2;

/// How long the board may be not read before frames are lost, in milliseconds. It is what legs
/// believe of a packet's arrival.
const STALL_MAX_MS: u32 = 1000;

/// Receives the board's events.
pub(crate) type Visit<'v> = dyn FnMut(CaptureEvent<'_>) + 'v;

pub(crate) struct Slots {
    rate: u32,
    period_frames: u64,
    slots: Vec<Slot>,
    lost_frames: u64,
    /// One period of one leg.
    mono: Vec<i16>,
    /// One period of both sides.
    interleaved: Vec<i16>,
    /// One decoded packet.
    scratch: Vec<i16>,
}

struct Slot {
    legs: [Leg; LEGS_MAX],
    /// Legs in use; 0: the slot is closed.
    leg_count: usize,
    /// Position at `opened_us`.
    opened_position: u64,
    opened_us: u64,
    /// Position of the next period.
    position: u64,
}

impl Slots {
    /// Allocates all that `slots` slots need, except for decoders.
    pub fn new(rate: u32, slots: usize) -> Slots {
        let period_frames = u64::from(rate) * u64::from(PERIOD_MS) / 1000;
        let create = || Slot {
            legs: [Leg::new(rate), Leg::new(rate)],
            leg_count: 0,
            opened_position: 0,
            opened_us: 0,
            position: 0,
        };
        Slots {
            rate,
            period_frames,
            slots: std::iter::repeat_with(create).take(slots).collect(),
            lost_frames: 0,
            mono: vec![0; to_index(period_frames)],
            interleaved: vec![0; to_index(period_frames) * LEGS_MAX],
            scratch: vec![0; PACKET_FRAMES_MAX],
        }
    }

    /// Opens a slot with one or two legs.
    ///
    /// # Errors
    /// What is wrong; the slot then stays closed.
    pub fn open(
        &mut self,
        now_us: u64,
        slot: usize,
        configs: &[LegConfig],
    ) -> Result<(), LegConfigError> {
        check_legs(configs)?;
        let entry = self.slot_mut(slot)?;
        if entry.leg_count > 0 {
            return Err(LegConfigError::AlreadyOpen { slot });
        }
        for (leg, config) in configs.iter().enumerate() {
            let opened = entry.legs[leg].open(leg, entry.position, config);
            if opened.is_err() {
                entry.legs.iter_mut().for_each(Leg::close);
                return opened;
            }
        }
        entry.leg_count = configs.len();
        (entry.opened_us, entry.opened_position) = (now_us, entry.position);
        Ok(())
    }

    /// Changes the legs of an open slot. A leg that is added begins now.
    ///
    /// # Errors
    /// What is wrong; legs before the wrong one are changed.
    pub fn change(&mut self, slot: usize, configs: &[LegConfig]) -> Result<(), LegConfigError> {
        check_legs(configs)?;
        let entry = self.slot_mut(slot)?;
        if entry.leg_count == 0 {
            return Err(LegConfigError::NotOpen { slot });
        }
        for (leg, config) in configs.iter().enumerate() {
            if leg < entry.leg_count {
                entry.legs[leg].configure(leg, entry.position, config)?;
            } else {
                entry.legs[leg].open(leg, entry.position, config)?;
                entry.leg_count = leg + 1;
            }
        }
        entry.legs[configs.len()..].iter_mut().for_each(Leg::close);
        entry.leg_count = configs.len();
        Ok(())
    }

    /// Closes a slot. `visit` first gets what waits in the jitter buffers, in whole periods.
    pub fn close(&mut self, slot: usize, visit: &mut Visit<'_>) {
        if self.leg_count(slot) == 0 {
            return;
        }
        loop {
            let entry = &mut self.slots[slot];
            let (legs, position) = (&mut entry.legs[..entry.leg_count], entry.position);
            let mut end = position;
            for (leg, side) in legs.iter_mut().zip(0..) {
                let mut report = forward(slot, Side { side, is_mono: entry.leg_count == 1 }, visit);
                let mut sink = Sink { scratch: &mut self.scratch, report: &mut report };
                end = end.max(leg.finish(&mut sink));
            }
            if end <= position {
                break;
            }
            self.emit(slot, visit);
        }
        let entry = &mut self.slots[slot];
        entry.legs.iter_mut().for_each(Leg::close);
        entry.leg_count = 0;
    }

    /// Receives one RTP packet of a leg, decrypted. Packets of closed legs are ignored.
    pub fn receive(
        &mut self,
        now_us: u64,
        place: (usize, usize),
        bytes: &[u8],
        visit: &mut Visit<'_>,
    ) {
        let (slot, leg) = place;
        if leg >= self.leg_count(slot) {
            return;
        }
        self.skip_stall(now_us, slot, visit);
        let arrival = Arrival { now_us, position: self.due(now_us, slot) };
        let entry = &mut self.slots[slot];
        let side = Side { side: leg, is_mono: entry.leg_count == 1 };
        let mut report = forward(slot, side, visit);
        let mut sink = Sink { scratch: &mut self.scratch, report: &mut report };
        entry.legs[leg].receive(arrival, bytes, &mut sink);
    }

    /// Passes the periods that are due to `visit`, at most `budget_frames` of each slot. Returns
    /// true if more is due.
    pub fn advance(&mut self, now_us: u64, budget_frames: u32, visit: &mut Visit<'_>) -> bool {
        let mut has_more = false;
        for slot in 0..self.slots.len() {
            if self.slots[slot].leg_count == 0 {
                continue;
            }
            self.skip_stall(now_us, slot, visit);
            let due = self.due(now_us, slot);
            let mut budget = u64::from(budget_frames);
            while self.slots[slot].position + self.period_frames <= due {
                if budget < self.period_frames {
                    has_more = true;
                    break;
                }
                budget -= self.period_frames;
                self.emit(slot, visit);
            }
        }
        has_more
    }

    pub fn has_open(&self) -> bool {
        self.slots.iter().any(|slot| slot.leg_count > 0)
    }

    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Legs of a slot; 0 if it is closed.
    pub fn leg_count(&self, slot: usize) -> usize {
        self.slots.get(slot).map_or(0, |slot| slot.leg_count)
    }

    /// Position of the slot's next period.
    pub fn position(&self, slot: usize) -> u64 {
        self.slots.get(slot).map_or(0, |slot| slot.position)
    }

    /// Frames lost on any side of any slot, ever.
    pub fn lost_frames(&self) -> u64 {
        self.lost_frames
    }

    /// A leg of an open slot.
    pub fn leg_mut(&mut self, slot: usize, leg: usize) -> Option<&mut Leg> {
        let slot = self.slots.get_mut(slot)?;
        slot.legs[..slot.leg_count].get_mut(leg)
    }

    pub fn statistics(&self, slot: usize, leg: usize) -> Option<LegStatistics> {
        let slot = self.slots.get(slot)?;
        slot.legs.get(leg).map(|leg| leg.statistics)
    }

    /// Passes one period to `visit`, preceded by its losses.
    fn emit(&mut self, slot: usize, visit: &mut Visit<'_>) {
        let entry = &mut self.slots[slot];
        let is_mono = entry.leg_count == 1;
        for (side, leg) in entry.legs[..entry.leg_count].iter_mut().enumerate() {
            let lost = leg.statistics.lost_frames;
            let mut report = forward(slot, Side { side, is_mono }, visit);
            let mut sink = Sink { scratch: &mut self.scratch, report: &mut report };
            leg.take(&mut self.mono, &mut sink);
            self.lost_frames += leg.statistics.lost_frames - lost;
            for (frame, sample) in self.interleaved.chunks_exact_mut(LEGS_MAX).zip(&self.mono) {
                match is_mono {
                    true => frame.fill(*sample),
                    false => frame[side] = *sample,
                }
            }
        }
        let (position, samples) = (entry.position, self.interleaved.as_slice());
        visit(CaptureEvent::Period(Period { channel: slot, position, samples }));
        entry.position += self.period_frames;
        self.mono.as_mut_slice().zeroize();
        self.interleaved.as_mut_slice().zeroize();
    }

    /// Gives up what was due while the board was not read for too long.
    fn skip_stall(&mut self, now_us: u64, slot: usize, visit: &mut Visit<'_>) {
        let due = self.due(now_us, slot);
        let entry = &mut self.slots[slot];
        let stalled = due.saturating_sub(entry.position);
        if stalled <= u64::from(self.rate) * u64::from(STALL_MAX_MS) / 1000 {
            return;
        }
        let frames = stalled - stalled % self.period_frames;
        let (position, why) = (entry.position, GapReason::Overrun);
        visit(CaptureEvent::ChannelLost { channel: slot, frames, position, why });
        entry.position += frames;
        self.lost_frames += frames;
        for leg in &mut entry.legs[..entry.leg_count] {
            leg.begin(entry.position);
            leg.statistics.lost_frames += frames;
        }
    }

    /// Position that the board's clock has reached.
    fn due(&self, now_us: u64, slot: usize) -> u64 {
        let slot = &self.slots[slot];
        let us = now_us.saturating_sub(slot.opened_us);
        slot.position.max(slot.opened_position + frames_of_us(us, self.rate))
    }

    fn slot_mut(&mut self, slot: usize) -> Result<&mut Slot, LegConfigError> {
        let slots = self.slots.len();
        self.slots.get_mut(slot).ok_or(LegConfigError::NoSlot { slot, slots })
    }
}

/// The side of a leg. A single leg is a mono call, and sounds on both sides.
#[derive(Clone, Copy)]
struct Side {
    side: usize,
    is_mono: bool,
}

/// Translates a leg's events to the board's.
fn forward<'v>(
    channel: usize,
    side: Side,
    visit: &'v mut Visit<'_>,
) -> impl FnMut(LegEvent<'_>) + 'v {
    let sides = if side.is_mono { 0..LEGS_MAX } else { side.side..side.side + 1 };
    move |event| match event {
        LegEvent::Lost { position, frames, why } => {
            for side in sides.clone() {
                visit(CaptureEvent::SideLost { channel, side, position, frames, why });
            }
        }
        LegEvent::Late { position, samples } => {
            for side in sides.clone() {
                visit(CaptureEvent::Late { channel, side, position, samples });
            }
        }
        LegEvent::Digit { position, frames } => {
            visit(CaptureEvent::Digit { channel, position, frames });
        }
    }
}

fn check_legs(configs: &[LegConfig]) -> Result<(), LegConfigError> {
    let legs = configs.len();
    if legs == 0 || legs > LEGS_MAX {
        return Err(LegConfigError::Legs { legs });
    }
    configs.iter().enumerate().try_for_each(|(leg, config)| config.validate(leg))
}

#[cfg(test)]
mod tests;
