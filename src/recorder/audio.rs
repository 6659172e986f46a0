//! Audio capture into the rings, and what follows when the disk is too slow for it.
//!
//! Capture writes each period (zeros under a mask) and advances the counters of open blackouts.
//! When a ring is full, new audio is lost, counted and noted as a span. A board may also lose one
//! channel or one side of it, and bring audio late. `recording::release` takes audio from the
//! rings. This module does not allocate.

use super::recording::release::Release;
use super::{Recorder, Timer};
use crate::audio::channel::ChannelIndex;
use crate::audio::span::LossReason;
use crate::limits;
use crate::time::{Now, Position, frames_of_ms, ms_of_frames};

/// A loss of one side of a channel, told before the period in which it lies.
#[derive(Clone, Copy, Debug)]
pub struct SideLoss {
    /// Index of the side's sample in a frame.
    pub side: usize,
    /// First lost frame.
    pub at: Position,
    pub frames: u64,
    pub reason: LossReason,
}

impl Recorder {
    /// Captures one channel's frames of a period, interleaved.
    pub fn capture(&mut self, now: Now, channel: ChannelIndex, samples: &[i16]) {
        let place = &mut self.channels[channel.0];
        self.recordings.mark_moved(channel);
        let needed = self.recordings.oldest_unread(channel).unwrap_or(place.head());
        let before = place.lost_frames;
        place.capture(samples, needed);
        let frames = (samples.len() / usize::from(place.sides)) as u64;
        let ring_lost = place.lost_frames - before;
        if place.is_masked() {
            let us = frames * 1_000_000 / u64::from(place.rate);
            self.blackouts.count_captured(channel, us);
        }
        let drift = &mut self.admin.selftests.drift[place.board];
        drift.add_reading(now.mono, channel, place.head(), place.rate);
        self.selftest_feed(channel.0, samples);
        self.admin.counters.captured_frames += frames;
        if ring_lost > 0 {
            self.skip_lost(now, channel, ring_lost, LossReason::Ring);
        }
    }

    /// Skips frames that a whole board lost before capture.
    pub fn skip_lost_on_board(&mut self, now: Now, board: usize, frames: u64, why: LossReason) {
        for index in 0..self.channels.len() {
            if self.channels[index].board == board {
                self.channels[index].skip_lost(frames, why);
                self.recordings.mark_moved(ChannelIndex(index));
                self.skip_lost(now, ChannelIndex(index), frames, why);
            }
        }
    }

    /// Skips frames that a board lost on all sides of one channel, before the channel's next
    /// period.
    pub fn skip_lost_on_channel(
        &mut self,
        now: Now,
        channel: ChannelIndex,
        frames: u64,
        why: LossReason,
    ) {
        self.channels[channel.0].skip_lost(frames, why);
        self.recordings.mark_moved(channel);
        self.skip_lost(now, channel, frames, why);
    }

    /// Notes that one side of the channel's next period has no audio from `lost.at` on. A mono
    /// channel has one side: side 0.
    pub fn mark_side_lost(&mut self, now: Now, channel: ChannelIndex, lost: SideLoss) {
        let place = &mut self.channels[channel.0];
        if lost.side >= usize::from(place.sides) {
            let id = place.id;
            log::error!("channel {id} has no side {}: its loss is not noted", lost.side);
            return;
        }
        place.mark_side_lost(lost.side, lost.at, lost.frames, lost.reason);
        self.admin.counters.side_lost_frames += lost.frames;
        self.log_lost_packets(now, channel, lost.reason);
    }

    /// Writes audio of one side that came late, from `at` on, to its place in the ring. Where the
    /// ring has given it away, or a mask hides it, or it was not told as lost, nothing changes:
    /// what a file says is lost stays lost.
    pub fn write_late(
        &mut self,
        channel: ChannelIndex,
        side: usize,
        at: Position,
        samples: &[i16],
    ) {
        let place = &mut self.channels[channel.0];
        if side < usize::from(place.sides) {
            self.admin.counters.late_frames += place.write_late(side, at, samples);
        }
    }

    /// Lost packets may be many: a line in the log at times, and no alarm. Whoever knows the legs
    /// of the call raises one.
    fn log_lost_packets(&mut self, now: Now, channel: ChannelIndex, why: LossReason) {
        if now.mono >= self.next_loss_log && self.recordings.has_writer_on(channel) {
            self.next_loss_log = now.mono.after_ms(limits::LOSS_LOG_MS);
            let (id, counters) = (self.channels[channel.0].id, &self.admin.counters);
            let (all, sides) = (counters.lost_frames, counters.side_lost_frames);
            let late = counters.late_frames;
            log::warn!(
                "channel {id}: packets lost ({}); since the start {all} frames are lost, {sides} \
                 of one side, {late} came late but in time",
                why.as_str()
            );
        }
    }

    fn skip_lost(&mut self, now: Now, channel: ChannelIndex, frames: u64, why: LossReason) {
        if why.is_of_packets() {
            self.admin.counters.lost_frames += frames;
            return self.log_lost_packets(now, channel, why);
        }
        let id = self.channels[channel.0].id;
        let recorded = self.recordings.has_writer_on(channel);
        self.admin.counters.lost_frames += frames;
        let why_word = why.as_str();
        if recorded && now.mono >= self.next_loss_log {
            self.next_loss_log = now.mono.after_ms(limits::LOSS_LOG_MS);
            let all = self.admin.counters.lost_frames;
            log::warn!("channel {id}: {frames} frames lost ({why_word}), {all} since the start");
        }
        self.journal.trace.push_lost(now.wall, id, frames, why_word);
        let code = match why {
            LossReason::Ring => crate::alarm::AlarmCode::RingFull,
            _ => crate::alarm::AlarmCode::Overrun,
        };
        let text =
            format!("channel {id} lost {frames} frames of audio ({why_word}); see `channels`");
        self.journal.raise_alarm(now, code, &id.to_string(), text);
    }

    /// Releases audio from the rings: a bounded amount, channels in turn.
    pub(super) fn release_audio(&mut self, now: Now) {
        if self.timers.take_due(Timer::Release, now.mono) {
            self.recordings.wake_all();
        }
        let (channels, audio) = (&mut self.channels, &self.config.audio);
        let mut release = Release { now, channels, storage: &mut self.journal.storage, audio };
        let next = self.recordings.release_audio(&mut release);
        self.timers.set(Timer::Release, next);
        self.update_backpressure(now);
        if self.recordings.looked_at_all() {
            self.durability_lag_ms = self.measure_durability_lag();
        }
        for (index, channel) in self.channels.iter_mut().enumerate() {
            if !channel.mask.is_empty() {
                let needed = self.recordings.oldest_unread(ChannelIndex(index));
                channel.prune_masks(needed.unwrap_or(channel.head()));
            }
        }
    }

    /// Marks the disk as slow when no buffer is free and half of the slack is used. Reads and
    /// deletion then pause.
    fn update_backpressure(&mut self, now: Now) {
        if self.journal.storage.has_block() && !self.journal.storage.slow {
            return;
        }
        let mut most_ms = 0;
        for writer in self.recordings.writers() {
            let channel = &self.channels[writer.stream.channel.0];
            let until = writer.stream.end.unwrap_or(channel.head());
            let waits = until.frames_since(writer.stream.cursor.min(until));
            let waits_ms = ms_of_frames(waits, channel.rate);
            most_ms = most_ms.max(waits_ms.saturating_sub(self.config.audio.holdback_ms.into()));
        }
        let blocked = !self.journal.storage.has_block();
        let slow = match self.journal.storage.slow {
            true => most_ms > limits::RING_SLACK_MS / 4,
            false => blocked && most_ms >= limits::RING_SLACK_MS / 2,
        };
        if slow && !self.journal.storage.slow {
            let text =
                format!("the disk is too slow: audio waits {most_ms} ms longer than the holdback");
            self.journal.raise_alarm(now, crate::alarm::AlarmCode::DiskSlow, "", text);
        } else if !slow && self.journal.storage.slow {
            self.journal.clear_alarm(now, crate::alarm::AlarmCode::DiskSlow, "");
        }
        self.journal.storage.slow = slow;
    }

    /// The largest durability delay of any recording beyond the holdback, in milliseconds, some
    /// tenths of a second ago at most. It is 0 while the disk is failed or full, which has its own
    /// alarm. The watchdog reads it.
    #[must_use]
    pub fn durability_lag_ms(&self) -> u64 {
        self.durability_lag_ms
    }

    fn measure_durability_lag(&self) -> u64 {
        if self.journal.storage.is_down()
            || self.journal.storage.full
            || self.journal.storage.no_room
        {
            return 0;
        }
        let writers = self.recordings.writers().filter(|writer| !writer.is_waiting_for_file());
        let behind = writers.map(|writer| {
            let channel = &self.channels[writer.stream.channel.0];
            let until = writer.stream.end.unwrap_or(channel.head()).min(channel.head());
            let waits = until.frames_since(writer.durable.to.min(until));
            ms_of_frames(waits, channel.rate)
        });
        behind.max().unwrap_or(0).saturating_sub(self.config.audio.holdback_ms.into())
    }

    /// Memory that audio takes from the start on: rings, encoders, and buffers on their way to the
    /// disk, in bytes.
    pub(super) fn audio_memory_bytes(&self) -> u64 {
        let rings: u64 = self.channels.iter().map(|channel| channel.ring.memory_bytes()).sum();
        rings + self.recordings.memory_bytes() + self.journal.storage.block_bytes()
    }

    pub(super) fn holdback_frames(&self, channel: ChannelIndex) -> u64 {
        let rate = self.channels[channel.0].rate;
        frames_of_ms(u64::from(self.config.audio.holdback_ms), rate)
    }
}
