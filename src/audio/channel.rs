//! Channel: one audio source of a board, with its ring, mask, meter and detector.
//!
//! It captures periods and applies the mask: the meter and the detector never receive masked
//! audio (G6). The recorder tracks which calls use the channel and which streams read its ring.
//!
//! A channel of a card has its device for ever. A channel of a board whose calls bring their
//! devices is *seized* for a call and *released* after it; in between it is blank.

use crate::audio::detect::ActivityDetector;
use crate::audio::mask::Mask;
use crate::audio::meter::Meter;
use crate::audio::ring::Ring;
use crate::audio::span::{LossReason, Run};
use crate::limits;
use crate::time::{Position, frames_of_ms};

/// Index of a channel in the recorder's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelIndex(pub usize);

pub struct Channel {
    /// Its number in the configuration and in the protocol.
    pub id: u16,
    /// The device whose calls it records; empty while no call has seized the channel.
    pub device: String,
    /// Whether calls bring the device: the configuration names none.
    pub follows_calls: bool,
    pub board: usize,
    pub rate: u32,
    pub sides: u8,
    pub ring: Ring,
    pub mask: Mask,
    pub meter: Meter,
    /// Detector of line activity; the call feed by default.
    pub detector: ActivityDetector,
    /// Frames lost since startup on all sides, for any reason.
    pub lost_frames: u64,
    /// Frames lost since startup on one side; late audio is not subtracted.
    pub side_lost_frames: u64,
    /// Start of audio that must not leave yet, because the stop of a blackout is not durable.
    pub unreleased_from: Option<Position>,
    /// Number of open blackouts on the channel; the mask is open while it is above 0.
    mask_count: u32,
}

impl Channel {
    /// Creates a channel whose ring holds `holdback_ms` plus slack for a slow disk.
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
            follows_calls: model.device.is_empty(),
            board,
            rate,
            sides: model.sides,
            ring: Ring::new(usize::from(model.sides), ring_frames, stretch),
            mask: Mask::default(),
            meter: Meter::new(rate, model.sides),
            detector: ActivityDetector::Cti,
            lost_frames: 0,
            side_lost_frames: 0,
            unreleased_from: None,
            mask_count: 0,
        }
    }

    #[must_use]
    pub fn head(&self) -> Position {
        self.ring.head()
    }

    /// Captures a period. New audio that would overwrite `oldest_unread` is counted as lost
    /// instead.
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

    /// Notes that one side has no audio for `frames` frames from `at` on. The frames follow; a
    /// mono channel has only one side, so they are lost.
    pub fn mark_side_lost(&mut self, side: usize, at: Position, frames: u64, reason: LossReason) {
        self.side_lost_frames += frames;
        self.ring.mark_side_lost(side, at, frames, reason);
    }

    /// Writes late audio of one side to its place, unless it is masked or gone. Returns the
    /// frames that are lost no more.
    pub fn write_late(&mut self, side: usize, at: Position, samples: &[i16]) -> u64 {
        self.ring.write_late(side, at, samples, &self.mask)
    }

    /// Makes the channel blank for its next call: audio wiped, mask, meter and detector new.
    /// Positions go on, so what is known of earlier ones stays true.
    pub fn clear(&mut self) {
        assert!(!self.is_hidden(), "channel {} is under a blackout", self.id);
        self.ring.wipe_all();
        self.mask = Mask::default();
        self.meter = Meter::new(self.rate, self.sides);
        self.detector = ActivityDetector::Cti;
        self.device.clear();
    }

    /// Advances by frames that were lost before capture.
    pub fn skip_lost(&mut self, frames: u64, reason: LossReason) {
        self.lost_frames += frames;
        self.ring.skip_lost(frames, reason);
        self.detector.skip_lost(frames);
    }

    /// Adds a blackout from `from` on and wipes audio that still waits. Returns the first masked
    /// position.
    pub fn start_mask(&mut self, from: Position) -> Position {
        self.mask_count += 1;
        self.extend_mask(from)
    }

    /// Masks from `from` on and wipes audio that still waits; the blackout is already counted.
    /// Returns the first masked position.
    pub fn extend_mask(&mut self, from: Position) -> Position {
        assert!(self.mask_count > 0, "channel {} is not covered", self.id);
        // A full mask joins ranges; the gap between them is then masked too and must be wiped.
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

    /// Removes a blackout; the last one closes the mask at the head.
    pub fn stop_mask(&mut self) {
        assert!(self.mask_count > 0, "channel {} was not covered", self.id);
        self.mask_count -= 1;
        if self.mask_count == 0 {
            let closed = self.mask.close_at(self.ring.head());
            assert!(closed || !self.mask.is_open());
        }
    }

    /// Removes masked ranges before the ring's tail and before `oldest_unread`.
    pub fn prune_masks(&mut self, oldest_unread: Position) {
        self.mask.prune_before(self.ring.tail().min(oldest_unread));
    }

    #[must_use]
    pub fn is_masked(&self) -> bool {
        self.mask_count > 0
    }

    /// Whether the channel's audio must stay hidden: it is masked, or its blackout's stop is not
    /// durable.
    #[must_use]
    pub fn is_hidden(&self) -> bool {
        self.is_masked() || self.unreleased_from.is_some()
    }

    /// Appends `run` to `runs`, joined with the last run where possible. Returns false if `runs`
    /// is full.
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
