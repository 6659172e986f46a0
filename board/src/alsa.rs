//! ALSA boards: any capture PCM as a source of periods, with every lost frame counted.
//!
//! Position 0 is the first frame received. After a restart of the card (overrun, suspend, unplug)
//! the missing frames are reported as lost before the next frames. If the card's timestamps give
//! the number, they are reported at once (see `timeline`).
//!
//! A card that is gone, or silent for too long, is closed and retried with back-off. A card that
//! falls behind without an overrun, as virtual ones do after a stall, is made to drop old audio.
//! Otherwise a blackout pressed now would mask audio captured long ago.
//!
//! `read` never blocks, and does not allocate while the card runs well. There is no unsafe code.

mod capture_pcm;
mod setup;
mod slots;
mod timeline;

use crate::backoff::Backoff;
use crate::config::{BoardConfig, SourceKind};
use crate::error::BoardError;
use crate::{BoardState, CaptureEvent, GapReason, Period, to_index};
use capture_pcm::{CapturePcm, ReadError};
use slots::SlotMap;
use std::io;
use std::ops::Range;
use timeline::{FrameTimeline, Gap};
use zeroize::Zeroize;

/// A card without frames for this long counts as dead, or for four buffers if that is longer.
const SILENCE_US: u64 = 1_000_000;

/// The same for a card that was just started: virtual ones take up to 2 s.
const FIRST_SILENCE_US: u64 = 3_000_000;

/// A board with an ALSA PCM.
pub struct AlsaBoard {
    config: BoardConfig,
    pcm: String,
    channels: Vec<AlsaChannel>,
    card: Option<CapturePcm>,
    /// One period of the card's frames.
    bytes: Vec<u8>,
    timeline: FrameTimeline,
    state: BoardState,
    backoff: Backoff,
    retry_us: u64,
    /// Time of the last frames, or of the start.
    last_audio_us: u64,
    /// Time of the last read attempt.
    last_read_us: u64,
    poll: Option<(mio::Registry, Range<usize>)>,
    is_ready: bool,
    has_more: bool,
}

struct AlsaChannel {
    slots: SlotMap,
    /// One period of this channel's samples.
    scratch: Vec<i16>,
}

impl AlsaBoard {
    /// Opens and starts the PCM.
    pub(crate) fn open(model: &BoardConfig, now_us: u64) -> Result<AlsaBoard, BoardError> {
        let mut alsa = AlsaBoard::new_closed(model, now_us);
        let card = CapturePcm::open(model, &alsa.pcm)?;
        alsa.attach_card(card, now_us);
        Ok(alsa)
    }

    fn new_closed(model: &BoardConfig, now_us: u64) -> AlsaBoard {
        let pcm = match &model.kind {
            SourceKind::Alsa { pcm, .. } => pcm.clone(),
            SourceKind::Sim | SourceKind::Rtp { .. } | SourceKind::Span { .. } => {
                "default".to_owned()
            }
        };
        let channel =
            |slots: &Vec<u16>| AlsaChannel { slots: SlotMap::new(slots), scratch: Vec::new() };
        AlsaBoard {
            config: model.clone(),
            pcm,
            channels: model.channels.iter().map(|one| channel(&one.slots)).collect(),
            card: None,
            bytes: Vec::new(),
            timeline: FrameTimeline::new(model.rate, model.buffer_ms),
            state: BoardState::Waiting,
            backoff: Backoff::new(),
            retry_us: now_us,
            last_audio_us: now_us,
            last_read_us: now_us,
            poll: None,
            is_ready: false,
            has_more: false,
        }
    }

    pub(crate) fn register(
        &mut self,
        registry: &mio::Registry,
        tokens: Range<usize>,
    ) -> io::Result<()> {
        if let Some(card) = &self.card {
            card.register(registry, tokens.clone())?;
        }
        self.poll = Some((registry.try_clone()?, tokens));
        Ok(())
    }

    pub(crate) fn mark_ready(&mut self, token: usize) {
        if self.poll.as_ref().is_some_and(|(_, tokens)| tokens.contains(&token)) {
            self.is_ready = true;
        }
    }

    pub(crate) fn read(
        &mut self,
        now_us: u64,
        budget_frames: u32,
        visit: &mut dyn FnMut(CaptureEvent<'_>),
    ) -> bool {
        let late = self.deadline_us().is_some_and(|deadline_us| now_us >= deadline_us);
        if !(std::mem::take(&mut self.is_ready) || self.has_more || late) {
            return false;
        }
        if self.card.is_none() {
            if now_us < self.retry_us {
                return false;
            }
            self.reopen_card(now_us);
        }
        if let Some(card) = &mut self.card {
            card.acknowledge_events();
            self.last_read_us = now_us;
            self.has_more = self.drain_card(now_us, u64::from(budget_frames), visit);
        }
        self.has_more
    }

    pub(crate) fn deadline_us(&self) -> Option<u64> {
        if self.card.is_none() {
            return Some(self.retry_us);
        }
        // Polling twice per buffer is cheap and recovers from a missed event.
        let look_us = self.last_read_us.saturating_add(u64::from(self.config.buffer_ms) * 500);
        Some(look_us.min(self.silence_timeout_us().saturating_add(self.last_audio_us)))
    }

    pub(crate) fn position(&self) -> u64 {
        self.timeline.position()
    }

    pub(crate) fn state(&self) -> &BoardState {
        &self.state
    }

    pub(crate) fn lost_frames(&self) -> u64 {
        self.timeline.lost_frames()
    }

    pub(crate) fn rate(&self) -> u32 {
        self.config.rate
    }

    /// Silence timeout in microseconds.
    fn silence_timeout_us(&self) -> u64 {
        let least_us = match self.state {
            BoardState::Running => SILENCE_US,
            BoardState::Waiting | BoardState::Failed { .. } => FIRST_SILENCE_US,
        };
        least_us.max(u64::from(self.config.buffer_ms) * 4000)
    }

    fn drain_card(
        &mut self,
        now_us: u64,
        mut budget: u64,
        visit: &mut dyn FnMut(CaptureEvent<'_>),
    ) -> bool {
        let before = self.timeline.position();
        while budget > 0 {
            match self.read_period(now_us, budget, visit) {
                Ok(frames) => {
                    self.last_audio_us = now_us;
                    budget -= frames;
                }
                Err(ReadError::WouldBlock) => {
                    self.on_drained(now_us, self.timeline.position() > before);
                    return false;
                }
                Err(ReadError::Xrun) => {
                    self.recover_overrun(now_us, visit);
                    return false;
                }
                Err(ReadError::Suspended) => {
                    let woken = self.card.as_ref().map_or(Ok(()), CapturePcm::resume);
                    self.on_restarted(now_us, GapReason::Board, woken);
                    return false;
                }
                Err(ReadError::Disconnected { text }) => {
                    self.close_failed(now_us, text);
                    return false;
                }
            }
        }
        true
    }

    /// Reads at most one period and passes it to the visitor per channel. Returns the frames
    /// read.
    fn read_period(
        &mut self,
        now_us: u64,
        budget: u64,
        visit: &mut dyn FnMut(CaptureEvent<'_>),
    ) -> Result<u64, ReadError> {
        let Some(card) = &self.card else { return Err(ReadError::WouldBlock) };
        let (setup, frame_bytes) = (card.setup(), card.setup().slots * 2);
        let room = to_index(setup.period_frames.min(budget)) * frame_bytes;
        let frames = card.read(&mut self.bytes[..room])?;
        if self.timeline.needs_placement() {
            // First frames after a start: report the gap before them.
            report_gap(self.timeline.place_frames(now_us, frames + card.unread_frames()), visit);
            self.state = BoardState::Running;
            self.backoff = Backoff::new();
        }
        let read = &mut self.bytes[..to_index(frames) * frame_bytes];
        let position = self.timeline.position();
        for (at, channel) in self.channels.iter_mut().enumerate() {
            let samples = channel.slots.extract_samples(read, frame_bytes, &mut channel.scratch);
            visit(CaptureEvent::Period(Period { channel: at, position, samples }));
            channel.scratch.as_mut_slice().zeroize();
        }
        read.zeroize();
        self.timeline.advance_by(frames);
        Ok(frames)
    }

    /// Updates the clock after the card was drained, and detects a silent or lagging card.
    fn on_drained(&mut self, now_us: u64, came: bool) {
        let Some(card) = self.card.as_ref().filter(|_| came) else {
            return self.check_silence_timeout(now_us);
        };
        let late = self.timeline.observe_drained(now_us);
        let setup = card.setup();
        if late > setup.buffer_frames.max(setup.period_frames * 4) {
            let again = card.drop_and_restart();
            self.on_restarted(now_us, GapReason::Overrun, again);
        }
    }

    fn check_silence_timeout(&mut self, now_us: u64) {
        let silent_us = now_us.saturating_sub(self.last_audio_us);
        if silent_us >= self.silence_timeout_us() {
            self.close_card(format!("no audio for {} ms", silent_us / 1000), now_us, true);
        }
    }

    fn recover_overrun(&mut self, now_us: u64, visit: &mut dyn FnMut(CaptureEvent<'_>)) {
        match self.card.as_ref().map_or(Ok(None), CapturePcm::restart) {
            Ok(stamped) => {
                report_gap(self.timeline.record_overrun(now_us, stamped), visit);
                self.last_audio_us = now_us;
                if self.timeline.needs_placement() {
                    self.state = BoardState::Waiting;
                }
            }
            Err(text) => self.close_failed(now_us, text),
        }
    }

    /// Handles the result of a restart; the gap is known when the next frames arrive.
    fn on_restarted(&mut self, now_us: u64, why: GapReason, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => {
                self.timeline.mark_discontinuity(why);
                self.state = BoardState::Waiting;
                self.last_audio_us = now_us;
            }
            Err(text) => self.close_failed(now_us, text),
        }
    }

    fn close_failed(&mut self, now_us: u64, text: String) {
        self.close_card(text, now_us, false);
    }

    fn close_card(&mut self, text: String, now_us: u64, mute: bool) {
        if let Some(card) = self.card.take()
            && let Some((registry, _)) = &self.poll
        {
            card.deregister(registry);
        }
        let text = format!("board `{}`: PCM `{}`: {text}", self.config.name, self.pcm);
        self.schedule_retry(now_us, text);
        if let BoardState::Failed { mute: is_mute, .. } = &mut self.state {
            *is_mute = mute;
        }
    }

    fn schedule_retry(&mut self, now_us: u64, text: String) {
        assert!(self.card.is_none(), "a failed board holds no card");
        self.timeline.mark_discontinuity(GapReason::Board);
        self.state = BoardState::Failed { text, mute: false };
        self.retry_us = self.backoff.next_retry_us(now_us);
        self.has_more = false;
    }

    fn reopen_card(&mut self, now_us: u64) {
        let card = match CapturePcm::open(&self.config, &self.pcm) {
            Ok(card) => card,
            Err(error) => return self.schedule_retry(now_us, error.to_string()),
        };
        if let Some((registry, tokens)) = &self.poll
            && let Err(error) = card.register(registry, tokens.clone())
        {
            card.deregister(registry);
            let text = format!("board `{}`: PCM `{}`: {error}", self.config.name, self.pcm);
            return self.schedule_retry(now_us, text);
        }
        self.state = BoardState::Waiting;
        self.attach_card(card, now_us);
    }

    fn attach_card(&mut self, card: CapturePcm, now_us: u64) {
        let setup = card.setup();
        let frames = to_index(setup.period_frames);
        self.bytes.resize(frames * setup.slots * 2, 0);
        for channel in &mut self.channels {
            channel.scratch.resize(frames * channel.slots.sides(), 0);
        }
        self.card = Some(card);
        self.last_audio_us = now_us;
        self.last_read_us = now_us;
    }
}

fn report_gap(loss: Option<Gap>, visit: &mut dyn FnMut(CaptureEvent<'_>)) {
    if let Some(Gap { frames, position, reason: why }) = loss {
        visit(CaptureEvent::Lost { frames, position, why });
    }
}
