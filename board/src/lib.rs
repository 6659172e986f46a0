//! Voice boards: how audio comes into the box, behind one closed enum of mio poll sources.
//!
//! A `BoardSettings` gives periods of interleaved 16-bit frames with their positions. Positions count
//! frames since the board's first one and never go back; what a card lost is told as
//! `Reading::LostRange` before the next period and counted in. An event only marks a board as ready;
//! the work is done in `read`, which never waits and wipes its scratch after every visit.
//!
//! Time comes in as `now_us`: monotonic microseconds from any start, the same for every call. What
//! libraries below hold (the kernel's buffer, alsa-lib's plugins) is not wiped by this crate.
//! Nothing here knows of calls, masks or disks, and nothing here writes audio anywhere.

mod alsa;
mod backoff;
mod cards;
mod config;
mod error;
mod profile;
mod sample_clock;
mod sim;
mod tone;

pub use crate::alsa::AlsaBoard;
pub use crate::cards::{CardInfo, list_cards};
pub use crate::config::{BoardConfig, ChannelConfig, SourceKind};
pub use crate::error::{BoardConfigError, BoardError, ExpectedFormat, WavError};
pub use crate::profile::Profile;
pub use crate::sim::SimBoard;
pub use crate::tone::TestTone;

use std::ops::Range;

/// How many tokens (poll descriptors) one board may use.
pub const TOKENS_MAX: usize = 4;

/// One channel's audio of one period. Wiped as soon as the visitor returns.
///
/// Deliberately without `Debug`: samples are not for logs.
#[derive(Clone, Copy)]
pub struct Period<'a> {
    /// Index in `BoardConfig::channels`.
    pub channel: usize,
    /// Position of the first frame, in frames since the board's start, lost ones counted in.
    pub position: u64,
    /// Interleaved samples, the channel's `sides` per frame.
    pub samples: &'a [i16],
}

/// Why a board has no audio for a stretch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapReason {
    /// It was not read in time.
    Overrun,
    /// The board was unplugged, suspended or silent.
    Board,
}

/// What `BoardSettings::read` tells its visitor.
#[derive(Clone, Copy)]
pub enum CaptureEvent<'a> {
    /// Audio. Every channel gets its period of the same position before the next one.
    Period(Period<'a>),
    /// No channel has the `frames` frames from `position` on. Comes before the next period.
    Lost { frames: u64, position: u64, why: GapReason },
}

/// How a board is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BoardState {
    /// It gives audio.
    Running,
    /// It is open, but nothing has come yet.
    Waiting,
    /// It is closed and will be tried again (see `BoardSettings::deadline_us`); `text` says why. `mute`:
    /// the card is there and was open, but nothing came.
    Failed { text: String, mute: bool },
}

/// Any voice board.
pub enum Board {
    /// A sound card, or anything else with an ALSA PCM name.
    Alsa(Box<AlsaBoard>),
    /// WAV files played in real time.
    Sim(SimBoard),
}

macro_rules! each {
    ($self:expr, $board:ident => $body:expr) => {
        match $self {
            Board::Alsa($board) => $body,
            Board::Sim($board) => $body,
        }
    };
}

impl Board {
    /// Opens and starts the board. The error says what to do about it.
    pub fn open(model: &BoardConfig, now_us: u64) -> Result<Board, BoardError> {
        model.validate()?;
        match &model.kind {
            SourceKind::Alsa { .. } => {
                AlsaBoard::open(model, now_us).map(|alsa| Board::Alsa(Box::new(alsa)))
            }
            SourceKind::Sim => SimBoard::open(model, now_us).map(Board::Sim),
        }
    }

    /// A board that did not open, for a reason that may pass: it begins as failed, and is tried
    /// again. `None`: waiting would not help.
    #[must_use]
    pub fn new_unavailable(model: &BoardConfig, error: &BoardError, now_us: u64) -> Option<Board> {
        error
            .is_transient()
            .then(|| Board::Alsa(Box::new(AlsaBoard::new_unavailable(model, error, now_us))))
    }

    /// Makes the board wake `registry`'s poll with tokens out of `tokens` (give `TOKENS_MAX`).
    pub fn register(
        &mut self,
        registry: &mio::Registry,
        tokens: Range<usize>,
    ) -> std::io::Result<()> {
        each!(self, board => board.register(registry, tokens))
    }

    /// Notes that an event with `token` came. Tokens of others are ignored.
    pub fn mark_ready(&mut self, token: usize) {
        each!(self, board => board.mark_ready(token));
    }

    /// Hands what has come to `visit`, at most `budget_frames` frames (of the board, not of each
    /// channel). True: more is waiting, and since events come once only, read again without one.
    /// Cheap when there is nothing to do, so call it every turn.
    pub fn read(
        &mut self,
        now_us: u64,
        budget_frames: u32,
        visit: &mut dyn FnMut(CaptureEvent<'_>),
    ) -> bool {
        each!(self, board => board.read(now_us, budget_frames, visit))
    }

    /// When `read` must be called again even if no event comes, in microseconds. After a `read`
    /// at this time or later it is either `None` or lies ahead.
    #[must_use]
    pub fn deadline_us(&self) -> Option<u64> {
        each!(self, board => board.deadline_us())
    }

    /// Whether a tone can be fed into its inputs (`loop_back`).
    #[must_use]
    pub fn can_loop_back(&self) -> bool {
        matches!(self, Board::Sim(_))
    }

    /// Feeds a tone into a channel (its index in `BoardConfig::channels`) in place of its line, or the
    /// line again. False: this board cannot, and nothing changed.
    pub fn set_test_tone(&mut self, channel: usize, tone: Option<TestTone>) -> bool {
        match self {
            Board::Alsa(_) => false,
            Board::Sim(sim) => sim.set_test_tone(channel, tone),
        }
    }

    /// Position of the next frame: frames given plus frames lost.
    #[must_use]
    pub fn position(&self) -> u64 {
        each!(self, board => board.position())
    }

    /// How the board is.
    #[must_use]
    pub fn state(&self) -> &BoardState {
        each!(self, board => board.state())
    }

    /// Frames lost since the start, for any reason.
    #[must_use]
    pub fn lost_frames(&self) -> u64 {
        each!(self, board => board.lost_frames())
    }

    /// Frames per second, exactly as the model asks.
    #[must_use]
    pub fn rate(&self) -> u32 {
        each!(self, board => board.rate())
    }
}

/// A frame count as an index into scratch, whose size was bounded when it was made.
fn to_index(frames: u64) -> usize {
    usize::try_from(frames).unwrap_or(usize::MAX)
}

/// The other way round.
fn to_count(items: usize) -> u64 {
    u64::try_from(items).unwrap_or(u64::MAX)
}
