//! Facts: what the journal says, in order. Everything else about records follows from them.
//!
//! A fact is appended, never changed. Personal facts (numbers, field values) stand in it only as
//! `SealedBytes` bytes, under the data key of the recording they belong to, or under the box's call key
//! while a call has no recording; deleting those keys erases them while the chain stays whole (H6).
//! Encoded with postcard; the variants' order is the format: append new ones at the end.
//!
//! Nothing here writes, folds (see `index`) or seals (see `seal`).

use crate::audio::span::{Fate, Ledger};
use crate::config::{CodecKind, Direction};
use crate::id::RecordingId;
use crate::time::{Position, WallTime};
use serde::{Deserialize, Serialize};

/// Ciphertext of a personal fact: see `seal::seal_fact`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedBytes(pub Vec<u8>);

/// The box's own number of a call; unique in its journal, while a call id is only the PBX's.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct CallNumber(pub u64);

/// The box's own number of a blackout.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct BlackoutNumber(pub u64);

/// Why a recording is kept running (B1). Bits of `RecordReasons`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecordReason {
    Agent,
    Schedule,
    Supervisor,
    Api,
}

impl RecordReason {
    pub const ALL: [RecordReason; 4] =
        [RecordReason::Agent, RecordReason::Schedule, RecordReason::Supervisor, RecordReason::Api];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            RecordReason::Agent => "agent",
            RecordReason::Schedule => "schedule",
            RecordReason::Supervisor => "supervisor",
            RecordReason::Api => "api",
        }
    }
}

/// A set of reasons; the recording runs while it is not empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordReasons(pub u8);

impl RecordReasons {
    #[must_use]
    pub fn from_reason(reason: RecordReason) -> RecordReasons {
        RecordReasons(1 << reason as u8)
    }

    /// Every reason there is.
    #[must_use]
    pub fn all() -> RecordReasons {
        RecordReason::ALL.into_iter().fold(RecordReasons::default(), |all, reason| {
            RecordReasons(all.0 | RecordReasons::from_reason(reason).0)
        })
    }

    #[must_use]
    pub fn contains(self, reason: RecordReason) -> bool {
        self.0 & (1 << reason as u8) != 0
    }

    /// This reason, if it is not in here.
    #[must_use]
    pub fn only_if_missing(self, reason: RecordReason) -> RecordReasons {
        RecordReasons(RecordReasons::from_reason(reason).0 & !self.0)
    }

    pub fn insert(&mut self, reason: RecordReason) {
        self.0 |= 1 << reason as u8;
    }

    pub fn remove(&mut self, reason: RecordReason) {
        self.0 &= !(1 << reason as u8);
    }

    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl std::fmt::Display for RecordReasons {
    /// Comma separated words, `-` when there are none.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut separator = "";
        for reason in RecordReason::ALL.into_iter().filter(|reason| self.contains(*reason)) {
            write!(out, "{separator}{}", reason.as_str())?;
            separator = ",";
        }
        if self.is_empty() { out.write_str("-") } else { Ok(()) }
    }
}

/// Who holds a blackout (G4). Bits of `Holders`, as in `RecordReasons`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BlackoutHolder {
    Agent,
    Supervisor,
    Cti,
}

impl BlackoutHolder {
    pub const ALL: [BlackoutHolder; 3] =
        [BlackoutHolder::Agent, BlackoutHolder::Supervisor, BlackoutHolder::Cti];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            BlackoutHolder::Agent => "agent",
            BlackoutHolder::Supervisor => "supervisor",
            BlackoutHolder::Cti => "cti",
        }
    }
}

/// Why a blackout ended (G4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BlackoutEnd {
    /// The last holder stopped it.
    Stop,
    /// The call ended (scope call).
    CallEnd,
    /// `max_s` of captured audio.
    Ceiling,
}

impl BlackoutEnd {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            BlackoutEnd::Stop => "stop",
            BlackoutEnd::CallEnd => "call-end",
            BlackoutEnd::Ceiling => "ceiling",
        }
    }
}

/// Why a recording ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecordingEnd {
    /// Its last reason was taken away.
    Stop,
    /// Its call ended.
    CallEnd,
    /// The box was shut down in order.
    Shutdown,
    /// The box lost its power or died; closed at the next start.
    Power,
    /// The store refused its audio.
    Storage,
    /// Its call was given up: no stop and no audio for `stale_call_s`.
    Stale,
}

impl RecordingEnd {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            RecordingEnd::Stop => "stop",
            RecordingEnd::CallEnd => "call-end",
            RecordingEnd::Shutdown => "shutdown",
            RecordingEnd::Power => "power",
            RecordingEnd::Storage => "storage",
            RecordingEnd::Stale => "stale",
        }
    }
}

/// What is known of a call, but for the numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallFacts {
    pub number: CallNumber,
    /// The PBX's word for it.
    pub call: String,
    pub device: String,
    /// PBX id of the call this one is a consult leg of.
    pub consult_of: Option<String>,
    /// Username.
    pub agent: Option<String>,
    pub direction: Option<Direction>,
    pub group: Option<String>,
    pub gate: Option<String>,
    /// When it began.
    pub began: WallTime,
}

/// What is sealed of a call: its numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhoneNumbers {
    pub ani: Option<String>,
    pub dnis: Option<String>,
}

/// A stretch of a recording that is not stored audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FactSpan {
    pub fate: Fate,
    pub from: Position,
    pub to: Position,
}

/// A channel and a position on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelPosition {
    pub channel: u16,
    pub at: Position,
}

/// How a recording began. Its media file is `media/YYYY/MM/DD/ID.hbm`, by the UTC day of
/// `Entry::at`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingBegan {
    pub id: RecordingId,
    pub call: CallFacts,
    /// `PhoneNumbers`, under the recording's data key.
    pub numbers: SealedBytes,
    pub channel: u16,
    pub rate: u32,
    pub sides: u8,
    pub codec: CodecKind,
    pub from: Position,
    pub reasons: RecordReasons,
    /// Name of the schedule that allows or causes it.
    pub schedule: Option<String>,
    /// What else matched, and why this one won; for people.
    pub why: String,
    pub retain_until: WallTime,
    /// The recording that the last start of the daemon cut, which this one goes on from.
    pub continues: Option<RecordingId>,
}

/// How a recording ended, with its exact account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingEnded {
    pub id: RecordingId,
    pub end: RecordingEnd,
    pub to: Position,
    pub ledger: Ledger,
    /// Masked, held and lost stretches, in order, without gaps between runs of one fate.
    pub blackout_spans: Vec<FactSpan>,
    /// BLAKE3 of the whole media file; zeros when there is no file.
    pub digest: [u8; 32],
    pub size: u64,
}

/// A workstation that may come in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolledWorkstation {
    /// As the technician wrote it; compared without case.
    pub machine: String,
    /// What it may say hello as: words of the protocol.
    pub kinds: Vec<String>,
    /// BLAKE3 of its certificate (DER).
    pub certificate: [u8; 32],
    /// When the certificate runs out.
    pub until: WallTime,
    /// The technician who gave the code.
    pub by: String,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fact {
    BoxStarted {
        boot: u32,
        version: String,
        rates: Vec<u32>,
    },
    /// An orderly stop; without it the next start is after a cut.
    BoxStopped,
    /// `numbers`: `PhoneNumbers` under the box's call key.
    CallBegan {
        call: CallFacts,
        numbers: SealedBytes,
    },
    CallChanged {
        call: CallFacts,
        numbers: SealedBytes,
    },
    CallHeld {
        number: CallNumber,
        held: bool,
    },
    /// `why`: one of our words (`stop`, `replaced`, `stale`, …).
    CallEnded {
        number: CallNumber,
        why: String,
    },
    RecordingBegan(RecordingBegan),
    /// New facts of the call for a running recording; `numbers` under its data key.
    RecordingChanged {
        id: RecordingId,
        call: CallFacts,
        numbers: SealedBytes,
    },
    /// `by`: username or kind of who changed them.
    RecordingReasons {
        id: RecordingId,
        reasons: RecordReasons,
        by: String,
    },
    /// The longest retention of all reasons that held it (D6).
    RecordingRetention {
        id: RecordingId,
        retain_until: WallTime,
    },
    RecordingEnded(RecordingEnded),
    /// From where on which channels. `agent`: whose blackout it is.
    BlackoutOpened {
        number: BlackoutNumber,
        agent: String,
        call: Option<CallNumber>,
        holder: BlackoutHolder,
        by: String,
        places: Vec<ChannelPosition>,
    },
    /// More channels came under it (a later call, a consult leg).
    BlackoutSpread {
        number: BlackoutNumber,
        places: Vec<ChannelPosition>,
    },
    /// Fewer channels are under it (a call of the agent ended).
    BlackoutShrunk {
        number: BlackoutNumber,
        places: Vec<ChannelPosition>,
    },
    /// Bits of `BlackoutHolder` that hold it now.
    BlackoutHolders {
        number: BlackoutNumber,
        holders: u8,
        by: String,
    },
    BlackoutClosed {
        number: BlackoutNumber,
        end: BlackoutEnd,
        by: String,
        places: Vec<ChannelPosition>,
    },
    /// `value`: UTF-8 text under the recording's data key.
    FieldSet {
        id: RecordingId,
        field: u8,
        by: String,
        value: SealedBytes,
    },
    Protected {
        id: RecordingId,
        on: bool,
        by: String,
    },
    /// Gone, with its key. `why`: `retention`, `request`.
    Deleted {
        id: RecordingId,
        why: String,
        by: String,
    },
    /// A workstation got a certificate, which replaces any it had.
    Enrolled(EnrolledWorkstation),
    /// A workstation's certificate is worth nothing any more.
    Revoked {
        machine: String,
        by: String,
    },
    /// A call's recording has a screen beside its audio, in `ID.hbv`.
    ScreenBegan {
        id: RecordingId,
    },
    /// Its account, in milliseconds.
    ScreenEnded(RecordingEnded),
    /// The configuration file was changed from a console; `what` holds no secret.
    ConfigChanged {
        what: String,
        by: String,
    },
    /// Somebody was given a recording's media file. `why`: `play`, `export`, and of
    /// its screen `play-screen`, `export-screen`; or, once, what is sealed of its numbers and
    /// fields: `facts`.
    Fetched {
        id: RecordingId,
        by: String,
        why: String,
    },
}

/// A fact and when it was noted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalEntry {
    pub at: WallTime,
    pub fact: Fact,
}
