//! A channel: one audio source of a board, its ring, its mask, its meter and its detector.
//!
//! It takes periods in and knows what is hidden: neither meter nor detector is given that (G6).
//! Which calls it carries and who reads its ring is the recorder's business.

use crate::audio::detect::ActivityDetector;
use crate::audio::mask::Mask;
use crate::audio::meter::Meter;
use crate::audio::ring::Ring;
use crate::audio::span::{LossReason, Run};
use crate::limits;
use crate::time::{Position, frames_of_ms};

/// Place of a channel in the recorder's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelIndex(pub usize);

/// One channel.
pub struct Channel {
    /// Its number in the configuration and on the wire.
    pub id: u16,
    pub device: String,
    pub board: usize,
    pub rate: u32,
    pub sides: u8,
    pub ring: Ring,
    pub mask: Mask,
    pub meter: Meter,
    /// What finds out about its line; the PBX's feed, until something else is put here.
    pub detector: ActivityDetector,
    /// Frames lost since the daemon started, for any reason.
    pub lost_frames: u64,
    /// Nothing from here on may leave yet: a blackout's stop there is not durable.
    pub unreleased_from: Option<Position>,
    /// Blackouts that cover it now; the mask is open while it is not 0.
    mask_count: u32,
}

impl Channel {
    /// A channel whose ring holds `holdback_ms` and the slack for a slow disk.
    #[must_use]
    pub fn new(
        board: usize,
        rate: u32,
        model: &crate::config::ChannelSettings,
        holdback_ms: u32,
    ) -> Self {
        let ring_ms = u64::from(holdback_ms) + limits::RING_SLACK_MS;
        let ring_frames = usize::try_from(frames_of_ms(ring_ms, rate)).unwrap_or(usize::MAX);
        let stretch = usize::try_from(limits::grid_frames(rate)).unwrap_or(1);
        Channel {
            id: model.id,
            device: model.device.clone(),
            board,
            rate,
            sides: model.sides,
            ring: Ring::new(usize::from(model.sides), ring_frames, stretch),
            mask: Mask::default(),
            meter: Meter::new(rate, model.sides),
            detector: ActivityDetector::Cti,
            lost_frames: 0,
            unreleased_from: None,
            mask_count: 0,
        }
    }

    #[must_use]
    pub fn head(&self) -> Position {
        self.ring.head()
    }

    /// Takes a period in. `needed`: the oldest position somebody still has to read; new audio that
    /// would overwrite it is lost instead, and counted.
    pub fn capture(&mut self, samples: &[i16], oldest_unread: Position) {
        let frames = (samples.len() / usize::from(self.sides)) as u64;
        if self.ring.free_frames(oldest_unread) < frames {
            self.skip_lost(frames, LossReason::Ring);
            return;
        }
        let masked = self.mask.is_open();
        self.ring.write(samples, masked);
        if masked {
            self.detector.skip_masked(frames);
        } else {
            if self.unreleased_from.is_none() {
                self.meter.push_samples(samples);
            }
            self.detector.push_samples(samples);
        }
    }

    /// Goes on by frames that were never had.
    pub fn skip_lost(&mut self, frames: u64, reason: LossReason) {
        self.lost_frames += frames;
        self.ring.skip_lost(frames, reason);
        self.detector.skip_lost(frames);
    }

    /// One more blackout covers it, from `from` on; what already waits is wiped. Returns where the
    /// channel is hidden from now.
    pub fn start_mask(&mut self, from: Position) -> Position {
        self.mask_count += 1;
        // A full mask joins ranges: what lies between them is hidden too, and must be wiped.
        let joins = self.mask.is_full();
        self.mask.open_at(from);
        let wiped_from = if joins { self.ring.tail() } else { from };
        for (from, to) in self.mask.ranges_within(wiped_from, self.ring.head()) {
            self.ring.wipe_range(from, to);
        }
        self.meter.reset();
        self.detector.skip_masked(0);
        let open = self.mask.open_from();
        assert!(open.is_some_and(|open| open <= from), "the mask is open");
        open.unwrap_or(from)
    }

    /// One blackout fewer; the mask closes at the head with the last.
    pub fn stop_mask(&mut self) {
        assert!(self.mask_count > 0, "channel {} was not covered", self.id);
        self.mask_count -= 1;
        if self.mask_count == 0 {
            let closed = self.mask.close_at(self.ring.head());
            assert!(closed || !self.mask.is_open());
        }
    }

    /// Forgets masks that lie before everything the ring holds and `needed`.
    pub fn prune_masks(&mut self, oldest_unread: Position) {
        self.mask.prune_before(self.ring.tail().min(oldest_unread));
    }

    #[must_use]
    pub fn is_masked(&self) -> bool {
        self.mask_count > 0
    }

    /// Whether nothing of what it hears may be shown: it is masked, or the stop of its blackout is
    /// not durable yet.
    #[must_use]
    pub fn is_hidden(&self) -> bool {
        self.is_masked() || self.unreleased_from.is_some()
    }

    /// Fates of `frames` frames from `from` on, added to `runs` (joined with its last).
    pub fn append_run(runs: &mut heapless::Vec<Run, { limits::CHUNK_RUNS_MAX }>, run: Run) -> bool {
        match runs.last_mut() {
            Some(last) if last.fate == run.fate => {
                last.frames += run.frames;
                true
            }
            _ => runs.push(run).is_ok(),
        }
    }
}
