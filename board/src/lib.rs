//! Voice boards: audio capture behind one closed enum of mio poll sources.
//!
//! A `Board` delivers periods of interleaved 16-bit frames with their positions. Positions count
//! frames since the board's first one and never decrease. Lost frames are reported as
//! `CaptureEvent::Lost` before the next period and are counted. An event only marks a board as
//! ready; `read` does the work, never blocks, and wipes its scratch buffer after every visit.
//!
//! Time is passed in as `now_us`: monotonic microseconds with the same origin for every call.
//! Buffers in the kernel and in alsa-lib's plugins are not wiped by this crate. It knows nothing
//! of calls, masks or disks.

mod alsa;
mod backoff;
mod cards;
mod closed;
mod config;
mod error;
mod profile;
mod rtp;
mod sample_clock;
mod sim;
mod span;
mod tone;

pub use crate::alsa::AlsaBoard;
pub use crate::cards::{CardInfo, list_cards};
pub use crate::closed::ClosedBoard;
pub use crate::config::{BoardConfig, ChannelConfig, PORTS_PER_SLOT, SourceKind};
pub use crate::error::{BoardConfigError, BoardError, ExpectedFormat, WavError};
pub use crate::profile::Profile;
pub use crate::rtp::{
    LEGS_MAX, LegConfig, LegConfigError, LegStatistics, PAYLOADS_MAX, RtpBoard, RtpCodec, SrtpKey,
    SrtpSuite, rtp_port,
};
pub use crate::sim::{SimBoard, check_wav_file};
pub use crate::span::{MirrorStatistics, MirroredLeg, Signalling, SpanBoard};
pub use crate::tone::TestTone;

use std::ops::Range;

/// Tokens (poll descriptors) that one board may use.
pub const TOKENS_MAX: usize = 4;

/// One channel's audio of one period. Wiped when the visitor returns.
///
/// Deliberately without `Debug`, so that samples cannot be logged.
#[derive(Clone, Copy)]
pub struct Period<'a> {
    /// Index in `BoardConfig::channels`.
    pub channel: usize,
    /// Position of the first frame, in frames since the board's start, including lost frames.
    pub position: u64,
    /// Interleaved samples, the channel's `sides` per frame.
    pub samples: &'a [i16],
}

/// Why a board has no audio for a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapReason {
    /// The audio was not read in time.
    Overrun,
    /// The board was unplugged, suspended or silent.
    Board,
    /// Packets of the network never came.
    Network,
    /// Packets came after their place in time had passed.
    Late,
    /// The mirror port of a switch, or the receiver behind it, dropped packets.
    Mirror,
}

/// Event that `Board::read` passes to its visitor.
#[derive(Clone, Copy)]
pub enum CaptureEvent<'a> {
    /// Audio. On a board whose channels share a clock, every channel gets its period of one
    /// position before the next. On a board whose channels open and close (`SourceKind::Rtp`),
    /// each channel has positions of its own, and only open channels get periods.
    Period(Period<'a>),
    /// The frames from `position` on are lost on all channels. Precedes the next period.
    Lost { frames: u64, position: u64, why: GapReason },
    /// The frames from `position` on are lost on all sides of one channel. Precedes the
    /// channel's next period, which begins behind them.
    ChannelLost { channel: usize, frames: u64, position: u64, why: GapReason },
    /// One side has no audio for a range of the channel's next period, in which its samples are
    /// zero or concealment. Precedes that period.
    SideLost { channel: usize, side: usize, position: u64, frames: u64, why: GapReason },
    /// Audio of one side that came late, for a range that `SideLost` reported. The samples are
    /// of that side only.
    Late { channel: usize, side: usize, position: u64, samples: &'a [i16] },
    /// A digit (DTMF) sounds on the channel from `position` on. No event has its value.
    Digit { channel: usize, position: u64, frames: u64 },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BoardState {
    /// Delivers audio.
    Running,
    /// Open, but no audio has arrived yet.
    Waiting,
    /// Closed until a retry (see `Board::deadline_us`); `text` says why. `mute`: the card is
    /// present and was open, but delivered nothing.
    Failed { text: String, mute: bool },
}

/// Any voice board.
pub enum Board {
    /// A sound card, or any other ALSA PCM.
    Alsa(Box<AlsaBoard>),
    /// WAV files played in real time.
    Sim(SimBoard),
    /// Calls from the network.
    Rtp(Box<RtpBoard>),
    /// Calls that a mirror port shows.
    Span(Box<SpanBoard>),
    /// A board that could not be opened yet; it is retried.
    Closed(Box<ClosedBoard>),
}

macro_rules! each {
    ($self:expr, $board:ident => $body:expr) => {
        match $self {
            Board::Alsa($board) => $body,
            Board::Sim($board) => $body,
            Board::Rtp($board) => $body,
            Board::Span($board) => $body,
            Board::Closed($board) => $body,
        }
    };
}

impl Board {
    /// Opens and starts the board. The error states the remedy.
    pub fn open(model: &BoardConfig, now_us: u64) -> Result<Board, BoardError> {
        model.validate()?;
        match &model.kind {
            SourceKind::Alsa { .. } => {
                AlsaBoard::open(model, now_us).map(|alsa| Board::Alsa(Box::new(alsa)))
            }
            SourceKind::Sim => SimBoard::open(model, now_us).map(Board::Sim),
            SourceKind::Rtp { .. } => {
                RtpBoard::open(model, now_us).map(|rtp| Board::Rtp(Box::new(rtp)))
            }
            SourceKind::Span { .. } => {
                SpanBoard::open(model, now_us).map(|span| Board::Span(Box::new(span)))
            }
        }
    }

    /// Opens the board and registers it under `tokens` (pass `TOKENS_MAX`). A board that cannot be
    /// opened or polled starts as failed and is retried: whatever is wrong may be mended while the
    /// other boards run. The error is one of the registry itself.
    pub fn start(
        model: BoardConfig,
        now_us: u64,
        registry: &mio::Registry,
        tokens: Range<usize>,
    ) -> std::io::Result<Board> {
        let mut closed = ClosedBoard::new(model, registry.try_clone()?, tokens);
        let open = closed.reopen_if_due(now_us);
        Ok(open.unwrap_or_else(|| Board::Closed(Box::new(closed))))
    }

    /// Registers the board with `registry` under tokens from `tokens` (pass `TOKENS_MAX`).
    pub fn register(
        &mut self,
        registry: &mio::Registry,
        tokens: Range<usize>,
    ) -> std::io::Result<()> {
        match self {
            Board::Alsa(alsa) => alsa.register(registry, tokens),
            Board::Sim(sim) => sim.register(registry, tokens),
            // It is read by the clock.
            Board::Rtp(_) | Board::Span(_) | Board::Closed(_) => Ok(()),
        }
    }

    /// Records an event. Tokens of other sources are ignored.
    pub fn mark_ready(&mut self, token: usize) {
        match self {
            Board::Alsa(alsa) => alsa.mark_ready(token),
            Board::Sim(sim) => sim.mark_ready(token),
            Board::Rtp(_) | Board::Span(_) | Board::Closed(_) => {}
        }
    }

    /// Passes captured audio to `visit`, at most `budget_frames` frames of the board (not of each
    /// channel). Returns true if more is waiting: read again then, because no event will follow.
    /// Cheap when idle, so call it every turn.
    pub fn read(
        &mut self,
        now_us: u64,
        budget_frames: u32,
        visit: &mut dyn FnMut(CaptureEvent<'_>),
    ) -> bool {
        if let Board::Closed(closed) = self
            && let Some(open) = closed.reopen_if_due(now_us)
        {
            *self = open;
        }
        match self {
            Board::Alsa(alsa) => alsa.read(now_us, budget_frames, visit),
            Board::Sim(sim) => sim.read(now_us, budget_frames, visit),
            Board::Rtp(rtp) => rtp.read(now_us, budget_frames, visit),
            Board::Span(span) => span.read(now_us, budget_frames, visit),
            Board::Closed(_) => false,
        }
    }

    /// Time in microseconds at which `read` must be called even without an event. After a `read`
    /// at or after this time it is `None` or later.
    #[must_use]
    pub fn deadline_us(&self) -> Option<u64> {
        each!(self, board => board.deadline_us())
    }

    /// Whether the board supports `set_test_tone`.
    #[must_use]
    pub fn can_loop_back(&self) -> bool {
        match self {
            Board::Alsa(_) | Board::Rtp(_) | Board::Span(_) => false,
            Board::Sim(_) => true,
            Board::Closed(closed) => closed.is_sim(),
        }
    }

    /// Feeds a tone into a channel (index in `BoardConfig::channels`) in place of its line;
    /// `None` restores the line. Returns false if the board does not support it.
    pub fn set_test_tone(&mut self, channel: usize, tone: Option<TestTone>) -> bool {
        match self {
            Board::Alsa(_) | Board::Rtp(_) | Board::Span(_) | Board::Closed(_) => false,
            Board::Sim(sim) => sim.set_test_tone(channel, tone),
        }
    }

    /// The board for calls from the network, whose slots the recorder opens and closes. None if
    /// the board is of another kind, or not open yet.
    pub fn as_rtp_mut(&mut self) -> Option<&mut RtpBoard> {
        match self {
            Board::Rtp(rtp) => Some(rtp),
            Board::Alsa(_) | Board::Sim(_) | Board::Span(_) | Board::Closed(_) => None,
        }
    }

    /// The mirror port, whose slots the recorder opens and closes. None if the board is of another
    /// kind, or not open yet.
    pub fn as_span_mut(&mut self) -> Option<&mut SpanBoard> {
        match self {
            Board::Span(span) => Some(span),
            Board::Alsa(_) | Board::Sim(_) | Board::Rtp(_) | Board::Closed(_) => None,
        }
    }

    /// Position of the next frame: delivered plus lost frames. The positions of a board whose
    /// channels open and close are its clock's; see `RtpBoard::slot_position` for a channel's.
    #[must_use]
    pub fn position(&self) -> u64 {
        each!(self, board => board.position())
    }

    #[must_use]
    pub fn state(&self) -> &BoardState {
        each!(self, board => board.state())
    }

    /// Frames lost since the start, for any reason.
    #[must_use]
    pub fn lost_frames(&self) -> u64 {
        each!(self, board => board.lost_frames())
    }

    /// Sample rate in frames per second, exactly as configured.
    #[must_use]
    pub fn rate(&self) -> u32 {
        each!(self, board => board.rate())
    }
}

/// Converts a frame count to an index into scratch, whose size is bounded at creation.
fn to_index(frames: u64) -> usize {
    usize::try_from(frames).unwrap_or(usize::MAX)
}

/// Converts an index to a frame count.
fn to_count(items: usize) -> u64 {
    u64::try_from(items).unwrap_or(u64::MAX)
}
