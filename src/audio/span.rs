//! Fates of audio: every frame of a recording is stored, masked, held or lost, and counted.
//!
//! A `Run` is a range of frames with one fate; runs follow each other without gaps. The `Ledger`
//! sums them per recording: captured = stored + masked + held + lost, exact to the frame. A frame
//! of which only one side is lost is stored; the ledger counts that side beside it.

use serde::de::{Error, SeqAccess, Visitor};
use serde::ser::SerializeTuple;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why audio is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Hash)]
pub enum LossReason {
    /// The capture buffer overran because the kernel or the loop was late.
    Overrun,
    /// The board was unplugged, suspended or silent.
    Board,
    /// The ring was full because the disk was slow.
    Ring,
    /// The disk failed to store the audio.
    Disk,
    /// The power failed before the audio was durable.
    Power,
    /// Packets of the network never came.
    Network,
    /// Packets of the network came after their place in time had passed.
    Late,
    /// The mirror port of a switch, or the receiver behind it, dropped packets.
    Mirror,
}

impl LossReason {
    pub const ALL: [LossReason; 8] = [
        LossReason::Overrun,
        LossReason::Board,
        LossReason::Ring,
        LossReason::Disk,
        LossReason::Power,
        LossReason::Network,
        LossReason::Late,
        LossReason::Mirror,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            LossReason::Overrun => "overrun",
            LossReason::Board => "board",
            LossReason::Ring => "ring",
            LossReason::Disk => "disk",
            LossReason::Power => "power",
            LossReason::Network => "network",
            LossReason::Late => "late",
            LossReason::Mirror => "mirror",
        }
    }

    /// Whether packets are missing. Such losses are short and may be many.
    #[must_use]
    pub fn is_of_packets(self) -> bool {
        matches!(self, LossReason::Network | LossReason::Late | LossReason::Mirror)
    }
}

/// A side of a stereo channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Hash)]
pub enum Side {
    /// The first sample of each frame, on the left: the agent.
    Agent,
    /// The second sample of each frame, on the right: the other party.
    Customer,
}

impl Side {
    pub const ALL: [Side; 2] = [Side::Agent, Side::Customer];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Side::Agent => "agent",
            Side::Customer => "customer",
        }
    }

    /// Index of its sample in a frame.
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Side::Agent => 0,
            Side::Customer => 1,
        }
    }
}

/// The fate of a range of audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Hash)]
pub enum Fate {
    Stored,
    /// Blacked out; the audio was never written.
    Masked,
    /// On hold: the channel's audio belonged to another call.
    Held,
    /// No side of the frames has audio.
    Lost(LossReason),
    /// One of two sides has no audio and is silent; the other is stored.
    SideLost(Side, LossReason),
}

impl Fate {
    /// Whether the audio of at least one side is stored.
    #[must_use]
    pub fn is_stored(self) -> bool {
        matches!(self, Fate::Stored | Fate::SideLost(..))
    }

    /// The side that is lost, if the other is stored.
    #[must_use]
    pub fn lost_side(self) -> Option<Side> {
        match self {
            Fate::SideLost(side, _) => Some(side),
            Fate::Stored | Fate::Masked | Fate::Held | Fate::Lost(_) => None,
        }
    }

    /// The word for it in listings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Fate::Stored => "stored",
            Fate::Masked => "masked",
            Fate::Held => "held",
            Fate::Lost(_) => "lost",
            Fate::SideLost(..) => "side-lost",
        }
    }

    /// Why all or one of its sides are lost.
    #[must_use]
    pub fn loss_reason(self) -> Option<LossReason> {
        match self {
            Fate::Lost(reason) | Fate::SideLost(_, reason) => Some(reason),
            Fate::Stored | Fate::Masked | Fate::Held => None,
        }
    }
}

/// `frames` frames with one fate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    pub fate: Fate,
    pub frames: u32,
}

/// Frame counts by reason of loss, indexed as `LossReason::ALL`.
pub type LossCounts = [u64; LossReason::ALL.len()];

/// Frame counts by fate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Frames of which at least one side is stored.
    pub stored: u64,
    pub masked: u64,
    pub held: u64,
    /// Frames lost on all sides.
    pub lost: LossCounts,
    /// Stored frames that lack one side, by side.
    pub side_lost: [LossCounts; 2],
}

impl Ledger {
    pub fn add_run(&mut self, run: Run) {
        let frames = u64::from(run.frames);
        match run.fate {
            Fate::Stored => self.stored += frames,
            Fate::Masked => self.masked += frames,
            Fate::Held => self.held += frames,
            Fate::Lost(reason) => self.lost[reason as usize] += frames,
            Fate::SideLost(side, reason) => {
                self.stored += frames;
                self.side_lost[side.index()][reason as usize] += frames;
            }
        }
    }

    /// Frames lost on all sides, for any reason.
    #[must_use]
    pub fn total_lost(&self) -> u64 {
        self.lost.iter().sum()
    }

    /// Stored frames that lack this side, for any reason.
    #[must_use]
    pub fn total_side_lost(&self, side: Side) -> u64 {
        self.side_lost[side.index()].iter().sum()
    }

    /// Length of the timeline in frames, including frames that should have been captured.
    #[must_use]
    pub fn total_captured(&self) -> u64 {
        self.stored + self.masked + self.held + self.total_lost()
    }

    /// All counts, in the order of the record format.
    pub fn counts(&self) -> impl Iterator<Item = u64> + use<> {
        let Ledger { stored, masked, held, lost, side_lost } = *self;
        [stored, masked, held].into_iter().chain(lost).chain(side_lost.into_iter().flatten())
    }

    /// All counts, for a reader of the record format.
    pub fn counts_mut(&mut self) -> impl Iterator<Item = &mut u64> {
        let Ledger { stored, masked, held, lost, side_lost } = self;
        [stored, masked, held].into_iter().chain(lost).chain(side_lost.iter_mut().flatten())
    }

    /// Whether version 1 of the record format can hold it.
    #[must_use]
    pub fn fits_version_1(&self) -> bool {
        self.counts().skip(LEDGER_COUNTS_V1).all(|frames| frames == 0)
    }
}

/// Counts of a ledger in version 1 of the record format: stored, masked, held, and five reasons.
pub const LEDGER_COUNTS_V1: usize = 8;

/// Counts of a ledger.
pub const LEDGER_COUNTS: usize = 3 + 3 * LossReason::ALL.len();

/// The number before the counts of a ledger that version 1 cannot hold. A program that reads only
/// version 1 expects a 64-bit count there, and refuses the fact instead of misreading it.
const LEDGER_MARK_V2: u128 = 1 << 64;

/// In facts, a ledger is a list of counts: 8 in version 1; the mark and 27 if it needs them.
impl Serialize for Ledger {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let short = self.fits_version_1();
        let count = if short { LEDGER_COUNTS_V1 } else { LEDGER_COUNTS };
        let mut tuple = serializer.serialize_tuple(count + usize::from(!short))?;
        if !short {
            tuple.serialize_element(&LEDGER_MARK_V2)?;
        }
        for frames in self.counts().take(count) {
            tuple.serialize_element(&frames)?;
        }
        tuple.end()
    }
}

impl<'de> Deserialize<'de> for Ledger {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Ledger, D::Error> {
        deserializer.deserialize_tuple(1 + LEDGER_COUNTS, LedgerVisitor)
    }
}

struct LedgerVisitor;

impl<'de> Visitor<'de> for LedgerVisitor {
    type Value = Ledger;

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("the counts of a ledger")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Ledger, A::Error> {
        let missing = || A::Error::custom("a ledger is too short");
        let mut ledger = Ledger::default();
        let first: u128 = seq.next_element()?.ok_or_else(missing)?;
        let mut counts = ledger.counts_mut();
        let left = if first == LEDGER_MARK_V2 {
            LEDGER_COUNTS
        } else {
            let stored = u64::try_from(first)
                .map_err(|_| A::Error::custom("a ledger of an unknown version"))?;
            counts.next().into_iter().for_each(|count| *count = stored);
            LEDGER_COUNTS_V1 - 1
        };
        for count in counts.take(left) {
            *count = seq.next_element()?.ok_or_else(missing)?;
        }
        Ok(ledger)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered() -> Ledger {
        let mut ledger = Ledger::default();
        (1..).zip(ledger.counts_mut()).for_each(|(n, count)| *count = n * 1000);
        ledger
    }

    #[test]
    fn every_fate_is_counted_once() {
        let mut ledger = Ledger::default();
        for (n, loss) in (1..).zip(LossReason::ALL) {
            ledger.add_run(Run { fate: Fate::Lost(loss), frames: n });
            ledger.add_run(Run { fate: Fate::SideLost(Side::Customer, loss), frames: 10 * n });
        }
        ledger.add_run(Run { fate: Fate::Stored, frames: 100 });
        ledger.add_run(Run { fate: Fate::Masked, frames: 20 });
        ledger.add_run(Run { fate: Fate::Held, frames: 7 });
        assert_eq!(ledger.lost, [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(ledger.side_lost, [[0; 8], [10, 20, 30, 40, 50, 60, 70, 80]]);
        assert_eq!((ledger.stored, ledger.total_side_lost(Side::Customer)), (460, 360));
        assert_eq!(ledger.total_captured(), 460 + 20 + 7 + 36);
    }

    /// The ledger of version 1, as its programs wrote and read it.
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct LedgerV1 {
        stored: u64,
        masked: u64,
        held: u64,
        lost: [u64; 5],
    }

    #[test]
    fn h5_ledgers_of_version_1_are_read_and_written_byte_for_byte() {
        let old = LedgerV1 { stored: u64::MAX, masked: 2, held: 300, lost: [4, 0, 6, 70_000, 8] };
        let bytes = postcard::to_stdvec(&(&old, 77_u8)).unwrap();
        let (ledger, after): (Ledger, u8) = postcard::from_bytes(&bytes).unwrap();
        assert_eq!((ledger.stored, ledger.held, after), (u64::MAX, 300, 77));
        assert_eq!(ledger.lost, [4, 0, 6, 70_000, 8, 0, 0, 0]);
        assert_eq!(postcard::to_stdvec(&(ledger, 77_u8)).unwrap(), bytes);
    }

    #[test]
    fn ledgers_with_new_losses_round_trip_and_version_1_refuses_them() {
        let ledger = numbered();
        assert_eq!(ledger.side_lost[1][7], 27_000);
        let bytes = postcard::to_stdvec(&(ledger, 77_u8)).unwrap();
        assert_eq!(postcard::from_bytes::<(Ledger, u8)>(&bytes).unwrap(), (ledger, 77));
        assert!(postcard::from_bytes::<(LedgerV1, u8)>(&bytes).is_err());
        for length in 0..bytes.len() {
            assert!(postcard::from_bytes::<(Ledger, u8)>(&bytes[..length]).is_err(), "{length}");
        }
        let unknown = postcard::to_stdvec(&(1_u128 << 65, [0_u64; 27])).unwrap();
        assert!(postcard::from_bytes::<Ledger>(&unknown).is_err());
    }
}
