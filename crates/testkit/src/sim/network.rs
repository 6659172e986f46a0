//! A network in front of the simulated boards: it loses packets of a side, and brings some late.
//!
//! What is lost is told before its period, as a board for IP telephony does. The period then has
//! noise in place of the audio, as if concealed, so that a recorder that stores it is found. A late
//! packet comes some periods later with the true audio. Everything that was told is noted, for
//! comparison with what is stored.

use crate::rng::Rng;
use hushbox::audio::channel::ChannelIndex;
use hushbox::audio::span::LossReason;
use hushbox::recorder::{Recorder, SideLoss};
use hushbox::time::{Now, Position};
use zeroize::Zeroizing;

/// The sample in place of lost audio.
const CONCEALED: i16 = 0x5a5a;

/// Longest delay of a late packet, in periods.
const LATE_PERIODS_MAX: u64 = 100;

/// A range of a side that was told as lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToldLoss {
    pub boot: u32,
    pub channel: u16,
    pub side: usize,
    pub from: u64,
    pub to: u64,
    pub reason: LossReason,
    /// Whether its audio came late, so that it may be stored after all.
    pub came: bool,
}

/// A channel that captures a period.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub boot: u32,
    pub index: ChannelIndex,
    pub channel: u16,
    pub sides: usize,
    pub head: u64,
}

struct LatePacket {
    index: ChannelIndex,
    told: usize,
    /// Position of the channel at which it comes.
    due: u64,
    samples: Zeroizing<Vec<i16>>,
}

/// The network of one simulated box.
pub struct Network {
    rng: Rng,
    /// One packet in so many is lost; none if 0.
    pub loses_one_in: usize,
    pub told: Vec<ToldLoss>,
    late: Vec<LatePacket>,
}

impl Network {
    pub(super) fn new(seed: u64) -> Network {
        Network { rng: Rng::new(seed), loses_one_in: 0, told: Vec::new(), late: Vec::new() }
    }

    /// Forgets packets on their way: the recorder starts anew.
    pub(super) fn restart(&mut self) {
        self.late.clear();
    }

    /// Loses packets of the period in `samples`, and tells the recorder.
    pub(super) fn lose(
        &mut self,
        (recorder, now): (&mut Recorder, Now),
        place: Place,
        samples: &mut [i16],
    ) {
        let frames = samples.len() / place.sides;
        for side in 0..place.sides {
            if self.loses_one_in == 0 || !self.rng.one_in(self.loses_one_in) {
                continue;
            }
            // The grid of packets is not that of periods.
            let first = self.rng.below(frames);
            let count = 1 + self.rng.below(frames - first);
            let reason =
                *self.rng.pick(&[LossReason::Network, LossReason::Late, LossReason::Mirror]);
            let from = place.head + first as u64;
            let (at, frames) = (Position(from), count as u64);
            let loss = SideLoss { side, at, frames, reason };
            recorder.mark_side_lost(now, place.index, loss);
            let mut heard = Zeroizing::new(Vec::with_capacity(count));
            for sample in samples.iter_mut().skip(side).step_by(place.sides).skip(first).take(count)
            {
                heard.push(std::mem::replace(sample, CONCEALED));
            }
            let Place { boot, channel, .. } = place;
            let to = from + frames;
            let told = ToldLoss { boot, channel, side, from, to, reason, came: false };
            self.told.push(told);
            if self.rng.one_in(2) {
                let periods = self.rng.below(LATE_PERIODS_MAX);
                let due = place.head + periods * samples.len() as u64 / place.sides as u64;
                let told = self.told.len() - 1;
                self.late.push(LatePacket { index: place.index, told, due, samples: heard });
            }
        }
    }

    /// Brings the late packets of a channel that are due, in any order.
    pub(super) fn bring_late(&mut self, recorder: &mut Recorder, place: Place) {
        let (index, head) = (place.index, place.head);
        let due = |packet: &mut LatePacket| packet.index == index && packet.due <= head;
        for packet in self.late.extract_if(.., due) {
            let told = &mut self.told[packet.told];
            told.came = true;
            recorder.write_late(index, told.side, Position(told.from), &packet.samples);
        }
    }

    /// How many frames of `from..to` of a side were told as lost, for this reason if one is given.
    pub fn told_lost(
        &self,
        (boot, channel, side): (u32, u16, usize),
        (from, to): (u64, u64),
        reason: Option<LossReason>,
    ) -> u64 {
        let here = self.told.iter().filter(|told| {
            (told.boot, told.channel, told.side) == (boot, channel, side)
                && reason.is_none_or(|reason| reason == told.reason)
        });
        // A range is told once only.
        here.map(|told| told.to.min(to).saturating_sub(told.from.max(from))).sum()
    }
}
