//! ALSA boards: any capture PCM as a source of periods, with every lost frame accounted for.
//!
//! Position 0 is the first frame that ever comes. When the card had to be started again, for an
//! overrun, a suspension or after it was away, what was due and did not come is told as lost with
//! the next frames, or at once where the card's own stamps tell (see `account`).
//!
//! A card that is gone, or silent for too long, is closed and tried again with back-off. One that
//! falls behind without saying so (virtual ones do after a stall) is made to throw away the old
//! audio, because a blackout pressed now must not meet speech of long ago.
//!
//! No unsafe code, no waiting in `read`, and no allocation there while the card runs well.

mod account;
mod card;
mod setup;
mod slots;

use crate::backoff::Backoff;
use crate::error::BoardError;
use crate::model::{Kind, Model};
use crate::{LostWhy, Period, Reading, State, index};
use account::{Account, Loss};
use card::{Card, Trouble};
use slots::Slots;
use std::io;
use std::ops::Range;
use zeroize::Zeroize;

/// A card that gives nothing for this long is taken for dead, or four buffers if that is more.
const SILENCE_US: u64 = 1_000_000;

/// The same for a card that has just been started: virtual ones take up to 2 s.
const FIRST_SILENCE_US: u64 = 3_000_000;

/// A board with an ALSA PCM.
pub struct Alsa {
    model: Model,
    pcm: String,
    channels: Vec<Channel>,
    card: Option<Card>,
    /// A period of the card's frames.
    bytes: Vec<u8>,
    account: Account,
    state: State,
    backoff: Backoff,
    retry_us: u64,
    /// When frames last came, or the card was started.
    heard_us: u64,
    /// When the card was last looked at.
    looked_us: u64,
    poll: Option<(mio::Registry, Range<usize>)>,
    marked: bool,
    more: bool,
}

struct Channel {
    slots: Slots,
    /// A period of this channel's samples.
    scratch: Vec<i16>,
}

impl Alsa {
    /// Opens and starts the PCM.
    pub(crate) fn open(model: &Model, now_us: u64) -> Result<Alsa, BoardError> {
        let mut alsa = Alsa::closed(model, now_us);
        let card = Card::open(model, &alsa.pcm)?;
        alsa.take_card(card, now_us);
        Ok(alsa)
    }

    /// A board whose card could not be opened for this reason, and is tried again.
    pub(crate) fn away(model: &Model, error: &BoardError, now_us: u64) -> Alsa {
        let mut alsa = Alsa::closed(model, now_us);
        alsa.await_retry(now_us, error.to_string());
        alsa
    }

    fn closed(model: &Model, now_us: u64) -> Alsa {
        let pcm = match &model.kind {
            Kind::Alsa { pcm, .. } => pcm.clone(),
            Kind::Sim => "default".to_owned(),
        };
        let channel = |slots: &Vec<u16>| Channel { slots: Slots::new(slots), scratch: Vec::new() };
        Alsa {
            model: model.clone(),
            pcm,
            channels: model.channels.iter().map(|one| channel(&one.slots)).collect(),
            card: None,
            bytes: Vec::new(),
            account: Account::new(model.rate, model.buffer_ms),
            state: State::Waiting,
            backoff: Backoff::new(),
            retry_us: now_us,
            heard_us: now_us,
            looked_us: now_us,
            poll: None,
            marked: false,
            more: false,
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

    pub(crate) fn ready(&mut self, token: usize) {
        if self.poll.as_ref().is_some_and(|(_, tokens)| tokens.contains(&token)) {
            self.marked = true;
        }
    }

    pub(crate) fn read(
        &mut self,
        now_us: u64,
        budget_frames: u32,
        visit: &mut dyn FnMut(Reading<'_>),
    ) -> bool {
        let late = self.deadline_us().is_some_and(|deadline_us| now_us >= deadline_us);
        if !(std::mem::take(&mut self.marked) || self.more || late) {
            return false;
        }
        if self.card.is_none() {
            if now_us < self.retry_us {
                return false;
            }
            self.reopen(now_us);
        }
        if let Some(card) = &mut self.card {
            card.acknowledge();
            self.looked_us = now_us;
            self.more = self.drain(now_us, u64::from(budget_frames), visit);
        }
        self.more
    }

    pub(crate) fn deadline_us(&self) -> Option<u64> {
        if self.card.is_none() {
            return Some(self.retry_us);
        }
        // Looking twice a buffer costs nothing and survives an event that never came.
        let look_us = self.looked_us.saturating_add(u64::from(self.model.buffer_ms) * 500);
        Some(look_us.min(self.silence_us().saturating_add(self.heard_us)))
    }

    pub(crate) fn position(&self) -> u64 {
        self.account.position()
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    pub(crate) fn lost(&self) -> u64 {
        self.account.lost()
    }

    pub(crate) fn rate(&self) -> u32 {
        self.model.rate
    }

    /// How long nothing may come, in microseconds.
    fn silence_us(&self) -> u64 {
        let least_us = match self.state {
            State::Running => SILENCE_US,
            State::Waiting | State::Failed { .. } => FIRST_SILENCE_US,
        };
        least_us.max(u64::from(self.model.buffer_ms) * 4000)
    }

    fn drain(&mut self, now_us: u64, mut budget: u64, visit: &mut dyn FnMut(Reading<'_>)) -> bool {
        let before = self.account.position();
        while budget > 0 {
            match self.give(now_us, budget, visit) {
                Ok(frames) => {
                    self.heard_us = now_us;
                    budget -= frames;
                }
                Err(Trouble::Empty) => {
                    self.emptied(now_us, self.account.position() > before);
                    return false;
                }
                Err(Trouble::Overrun) => {
                    self.overrun(now_us, visit);
                    return false;
                }
                Err(Trouble::Suspended) => {
                    let woken = self.card.as_ref().map_or(Ok(()), Card::resume);
                    self.restarted(now_us, LostWhy::Board, woken);
                    return false;
                }
                Err(Trouble::Gone { text }) => {
                    self.fail(now_us, text);
                    return false;
                }
            }
        }
        true
    }

    /// Reads a period at most and hands it to each channel's visitor. Gives the frames read.
    fn give(
        &mut self,
        now_us: u64,
        budget: u64,
        visit: &mut dyn FnMut(Reading<'_>),
    ) -> Result<u64, Trouble> {
        let Some(card) = &self.card else { return Err(Trouble::Empty) };
        let (setup, frame_bytes) = (card.setup(), card.setup().slots * 2);
        let room = index(setup.period_frames.min(budget)) * frame_bytes;
        let frames = card.read(&mut self.bytes[..room])?;
        if self.account.waits() {
            // The first frames after a start: what was due before them is told before them.
            tell(self.account.place(now_us, frames + card.unread()), visit);
            self.state = State::Running;
            self.backoff = Backoff::new();
        }
        let read = &mut self.bytes[..index(frames) * frame_bytes];
        let position = self.account.position();
        for (at, channel) in self.channels.iter_mut().enumerate() {
            let samples = channel.slots.pick(read, frame_bytes, &mut channel.scratch);
            visit(Reading::Period(Period { channel: at, position, samples }));
            channel.scratch.as_mut_slice().zeroize();
        }
        read.zeroize();
        self.account.give(frames);
        Ok(frames)
    }

    /// All is read. Learns the pace; sees a card that is silent or lags behind.
    fn emptied(&mut self, now_us: u64, came: bool) {
        let Some(card) = self.card.as_ref().filter(|_| came) else {
            return self.mind_silence(now_us);
        };
        let late = self.account.emptied(now_us);
        let setup = card.setup();
        if late > setup.buffer_frames.max(setup.period_frames * 4) {
            let again = card.refresh();
            self.restarted(now_us, LostWhy::Overrun, again);
        }
    }

    fn mind_silence(&mut self, now_us: u64) {
        let silent_us = now_us.saturating_sub(self.heard_us);
        if silent_us >= self.silence_us() {
            self.close(format!("no audio for {} ms", silent_us / 1000), now_us, true);
        }
    }

    fn overrun(&mut self, now_us: u64, visit: &mut dyn FnMut(Reading<'_>)) {
        match self.card.as_ref().map_or(Ok(None), Card::restart) {
            Ok(stamped) => {
                tell(self.account.overran(now_us, stamped), visit);
                self.heard_us = now_us;
                if self.account.waits() {
                    self.state = State::Waiting;
                }
            }
            Err(text) => self.fail(now_us, text),
        }
    }

    /// The card runs again (or not); what is missing will be known when the next frames come.
    fn restarted(&mut self, now_us: u64, why: LostWhy, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => {
                self.account.owe(why);
                self.state = State::Waiting;
                self.heard_us = now_us;
            }
            Err(text) => self.fail(now_us, text),
        }
    }

    fn fail(&mut self, now_us: u64, text: String) {
        self.close(text, now_us, false);
    }

    fn close(&mut self, text: String, now_us: u64, mute: bool) {
        if let Some(card) = self.card.take()
            && let Some((registry, _)) = &self.poll
        {
            card.deregister(registry);
        }
        let text = format!("board `{}`: PCM `{}`: {text}", self.model.name, self.pcm);
        self.await_retry(now_us, text);
        if let State::Failed { mute: is_mute, .. } = &mut self.state {
            *is_mute = mute;
        }
    }

    fn await_retry(&mut self, now_us: u64, text: String) {
        assert!(self.card.is_none(), "a failed board holds no card");
        self.account.owe(LostWhy::Board);
        self.state = State::Failed { text, mute: false };
        self.retry_us = self.backoff.after(now_us);
        self.more = false;
    }

    fn reopen(&mut self, now_us: u64) {
        let card = match Card::open(&self.model, &self.pcm) {
            Ok(card) => card,
            Err(error) => return self.await_retry(now_us, error.to_string()),
        };
        if let Some((registry, tokens)) = &self.poll
            && let Err(error) = card.register(registry, tokens.clone())
        {
            card.deregister(registry);
            let text = format!("board `{}`: PCM `{}`: {error}", self.model.name, self.pcm);
            return self.await_retry(now_us, text);
        }
        self.state = State::Waiting;
        self.take_card(card, now_us);
    }

    fn take_card(&mut self, card: Card, now_us: u64) {
        let setup = card.setup();
        let frames = index(setup.period_frames);
        self.bytes.resize(frames * setup.slots * 2, 0);
        for channel in &mut self.channels {
            channel.scratch.resize(frames * channel.slots.sides(), 0);
        }
        self.card = Some(card);
        self.heard_us = now_us;
        self.looked_us = now_us;
    }
}

fn tell(loss: Option<Loss>, visit: &mut dyn FnMut(Reading<'_>)) {
    if let Some(Loss { frames, position, why }) = loss {
        visit(Reading::Lost { frames, position, why });
    }
}
