//! Facts: the content of the journal, from which all records are derived.
//!
//! A fact is appended and never changed. Personal facts (numbers, field values) are stored only as
//! `SealedBytes`, under the data key of their recording. While a call has no recording, the
//! daemon's call key is used. Deleting those keys erases the facts and leaves the hash chain intact
//! (H6).
//!
//! Facts are encoded with postcard, so the order of the variants is part of the format: append new
//! ones at the end.

use crate::audio::span::{Fate, Ledger};
use crate::config::{CodecKind, Direction};
use crate::id::RecordingId;
use crate::time::{Position, WallTime};
use serde::{Deserialize, Serialize};

/// Ciphertext of a personal fact: see `seal::seal_fact`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedBytes(pub Vec<u8>);

/// The daemon's own number of a call. It is unique in the journal, unlike the PBX's call id.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct CallNumber(pub u64);

/// The daemon's own number of a blackout.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct BlackoutNumber(pub u64);

/// A reason to record (B1). `RecordReasons` has one bit for each.
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

/// A set of reasons. The recording runs while the set is not empty.
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

    /// Returns a set with this reason if `self` lacks it, else an empty set.
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
    /// Writes the reasons separated by commas, or `-` if there are none.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut separator = "";
        for reason in RecordReason::ALL.into_iter().filter(|reason| self.contains(*reason)) {
            write!(out, "{separator}{}", reason.as_str())?;
            separator = ",";
        }
        if self.is_empty() { out.write_str("-") } else { Ok(()) }
    }
}

/// Who holds a blackout: a kind of client (G4), or typed digits. One bit each, as in
/// `RecordReasons`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BlackoutHolder {
    Agent,
    Supervisor,
    Cti,
    /// Digits that are typed in a call; it ends some seconds after the last one.
    Digits,
}

impl BlackoutHolder {
    pub const ALL: [BlackoutHolder; 4] = [
        BlackoutHolder::Agent,
        BlackoutHolder::Supervisor,
        BlackoutHolder::Cti,
        BlackoutHolder::Digits,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            BlackoutHolder::Agent => "agent",
            BlackoutHolder::Supervisor => "supervisor",
            BlackoutHolder::Cti => "cti",
            BlackoutHolder::Digits => "digits",
        }
    }
}

/// The reason why a blackout ended (G4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BlackoutEnd {
    /// The last holder stopped it.
    Stop,
    /// The call ended (scope `call`).
    CallEnd,
    /// The captured audio under the blackout reached `max_s`.
    Ceiling,
    /// The agent had no call for `end_without_call_s`.
    NoCall,
}

impl BlackoutEnd {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            BlackoutEnd::Stop => "stop",
            BlackoutEnd::CallEnd => "call-end",
            BlackoutEnd::Ceiling => "ceiling",
            BlackoutEnd::NoCall => "no-call",
        }
    }
}

/// The reason why a recording ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecordingEnd {
    /// Its last reason was removed.
    Stop,
    /// Its call ended.
    CallEnd,
    /// The daemon was shut down cleanly.
    Shutdown,
    /// The daemon lost power or crashed. The next start ended the recording.
    Power,
    /// The store failed to write its audio.
    Storage,
    /// Its call timed out: no stop and no audio for `stale_call_s`.
    Stale,
    /// Its call reached `max_call_s`.
    Ceiling,
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
            RecordingEnd::Ceiling => "ceiling",
        }
    }
}

/// Call metadata, without the phone numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallFacts {
    pub number: CallNumber,
    /// The PBX's call id.
    pub call: String,
    pub device: String,
    /// PBX id of the call of which this one is a consult leg.
    pub consult_of: Option<String>,
    /// Username.
    pub agent: Option<String>,
    pub direction: Option<Direction>,
    pub group: Option<String>,
    pub gate: Option<String>,
    /// When the call began.
    pub began: WallTime,
}

/// The sealed part of a call: its phone numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhoneNumbers {
    pub ani: Option<String>,
    pub dnis: Option<String>,
}

/// A span of a recording that is not stored audio.
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

/// The start of a recording. Its media file is `media/YYYY/MM/DD/ID.hbm`, by the UTC day of
/// `JournalEntry::at`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingBegan {
    pub id: RecordingId,
    pub call: CallFacts,
    /// `PhoneNumbers`, sealed under the recording's data key.
    pub numbers: SealedBytes,
    pub channel: u16,
    pub rate: u32,
    pub sides: u8,
    pub codec: CodecKind,
    pub from: Position,
    pub reasons: RecordReasons,
    /// Name of the schedule that permits or requires the recording.
    pub schedule: Option<String>,
    /// Human-readable: other matching rules, and why this one applied.
    pub why: String,
    pub retain_until: WallTime,
    /// The interrupted recording that this one continues after a restart.
    pub continues: Option<RecordingId>,
}

/// The end of a recording, with exact frame counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingEnded {
    pub id: RecordingId,
    pub end: RecordingEnd,
    pub to: Position,
    pub ledger: Ledger,
    /// Masked, held and lost spans in order. Adjacent spans of one fate are merged.
    pub blackout_spans: Vec<FactSpan>,
    /// BLAKE3 of the whole media file; zeros if there is no file.
    pub digest: [u8; 32],
    pub size: u64,
}

impl RecordingEnded {
    /// The bytes of its file that a reader needs. After the valid bytes of a failed file there may
    /// be anything; one byte after the end of any other file shows that it was changed.
    #[must_use]
    pub fn read_bytes(&self) -> u64 {
        let extra = u64::from(self.end != RecordingEnd::Storage);
        self.size.saturating_add(extra)
    }
}

/// An enrolled workstation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolledWorkstation {
    /// As the technician wrote it. Compared case-insensitively.
    pub machine: String,
    /// Client kinds that may say `hello` from it, as protocol words.
    pub kinds: Vec<String>,
    /// BLAKE3 of its certificate (DER).
    pub certificate: [u8; 32],
    /// When the certificate expires.
    pub until: WallTime,
    /// The technician who issued the enrolment code.
    pub by: String,
}

/// The SIP dialog of a call that a recording client brought.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SipDialog {
    pub call: CallNumber,
    /// Name of the board in the configuration.
    pub board: String,
    /// Slot of the board, which determines its ports.
    pub slot: u16,
    /// Dialog and legs, sealed under the daemon's call key: they hold the keys of encrypted media.
    pub state: SealedBytes,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fact {
    /// The daemon started.
    BoxStarted { boot: u32, version: String, rates: Vec<u32> },
    /// The daemon stopped cleanly. If this is missing, the next start follows an interruption.
    BoxStopped,
    /// A call began. `numbers`: `PhoneNumbers` under the daemon's call key.
    CallBegan { call: CallFacts, numbers: SealedBytes },
    /// A call's metadata changed.
    CallChanged { call: CallFacts, numbers: SealedBytes },
    /// A call was put on hold or resumed.
    CallHeld { number: CallNumber, held: bool },
    /// A call ended. `why`: the reason (`stop`, `replaced`, `stale`, …).
    CallEnded { number: CallNumber, why: String },
    /// A recording began.
    RecordingBegan(RecordingBegan),
    /// The call of a running recording changed. `numbers` is sealed under its data key.
    RecordingChanged { id: RecordingId, call: CallFacts, numbers: SealedBytes },
    /// The reasons of a recording changed. `by`: username or kind of the client.
    RecordingReasons { id: RecordingId, reasons: RecordReasons, by: String },
    /// A recording's retention was set: the longest of all its reasons (D6).
    RecordingRetention { id: RecordingId, retain_until: WallTime },
    /// A recording ended.
    RecordingEnded(RecordingEnded),
    /// A blackout began at `places`. `agent`: the agent whose calls it masks.
    BlackoutOpened {
        number: BlackoutNumber,
        agent: String,
        call: Option<CallNumber>,
        holder: BlackoutHolder,
        by: String,
        places: Vec<ChannelPosition>,
    },
    /// The blackout was extended to more channels (a later call, a consult leg), or further back on
    /// the channels that it covers (a repeated press).
    BlackoutSpread { number: BlackoutNumber, places: Vec<ChannelPosition> },
    /// The blackout was removed from some channels (a call of the agent ended).
    BlackoutShrunk { number: BlackoutNumber, places: Vec<ChannelPosition> },
    /// The holders of a blackout changed. `holders`: bits of `BlackoutHolder`.
    BlackoutHolders { number: BlackoutNumber, holders: u8, by: String },
    /// A blackout ended.
    BlackoutClosed {
        number: BlackoutNumber,
        end: BlackoutEnd,
        by: String,
        places: Vec<ChannelPosition>,
    },
    /// A field was set. `value`: UTF-8 text sealed under the recording's data key.
    FieldSet { id: RecordingId, field: u8, by: String, value: SealedBytes },
    /// A recording was protected from deletion, or released.
    Protected { id: RecordingId, on: bool, by: String },
    /// A recording was deleted together with its key. `why`: `retention`, `empty`, `request`.
    Deleted { id: RecordingId, why: String, by: String },
    /// A workstation received a certificate, which replaces any earlier one.
    Enrolled(EnrolledWorkstation),
    /// A workstation's certificate was revoked.
    Revoked { machine: String, by: String },
    /// Screen recording of a call began, in `ID.hbv` beside its audio.
    ScreenBegan { id: RecordingId },
    /// A screen recording ended. Counts are in milliseconds.
    ScreenEnded(RecordingEnded),
    /// The configuration file was changed from a console. `what` holds no secret.
    ConfigChanged { what: String, by: String },
    /// A client received a file of a recording. `why`: `play`, `export`, and for its screen
    /// `play-screen`, `export-screen`. `facts` means its unsealed numbers and fields.
    Fetched { id: RecordingId, by: String, why: String },
    /// A press for a blackout came too late to mask this range of a recording. `by`: the agent.
    BlackoutMissed { id: RecordingId, by: String, from: Position, to: Position },
    /// The wall clock moved by this much beside the monotonic clock. Right after `BoxStarted`: the
    /// time between the stamps of two runs, because no clock says how long the box was off.
    ClockStepped { by_ms: i64 },
    /// The wall clock is right, by the word of a technician, or by the system's synchronisation.
    ClockConfirmed { technician: Option<String> },
    /// An event alarm became active. `subject`: what it is about; empty for the box as a whole.
    AlarmRaised { number: u16, subject: String, text: String },
    /// A technician cleared all event alarms of this number.
    AlarmCleared { number: u16, by: String },
    /// The explanation of a recording changed (`RecordingBegan::why`).
    RecordingWhy { id: RecordingId, why: String },
    /// The SIP dialog of a call, so that a start goes on with it. It replaces an earlier one.
    SipDialog(SipDialog),
    /// The metadata document that a recording client sent for the call (SIPREC), as it came,
    /// sealed under the recording's data key.
    CallMetadata { id: RecordingId, document: SealedBytes },
    /// When the screen of a call began: the same moment on its recording's channel, and in
    /// milliseconds since the daemon started.
    ScreenAligned { id: RecordingId, audio: Position, screen: Position },
    /// A range of a recording was removed for good.
    Redacted(Box<Redaction>),
    /// The cause of one event alarm is over.
    AlarmResolved { number: u16, subject: String },
}

/// The removal of a range from one file of a recording. The new file replaces the old one once this
/// fact is durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redaction {
    /// Stamp of the recording's start, which determines the paths of its files.
    pub began_at: WallTime,
    /// Whether this is the file of the call's screen.
    pub is_screen: bool,
    pub by: String,
    pub reason: String,
    /// What was asked for, as positions of the file.
    pub from: Position,
    pub to: Position,
    /// The whole chunks that the range touches, as positions of the file.
    pub removed_from: Position,
    pub removed_to: Position,
    /// Frames that were stored and are masked now.
    pub removed_frames: u64,
    /// Digest and size of the file before.
    pub digest_before: [u8; 32],
    pub size_before: u64,
    /// The bytes of the removed chunks in the old file: offset and length.
    pub old_bytes: (u64, u64),
    /// The file from now on; its end is that of the old file.
    pub file: RecordingEnded,
}

impl Redaction {
    /// The recording.
    #[must_use]
    pub fn id(&self) -> RecordingId {
        self.file.id
    }

    /// The path of the replaced file, relative to the data directory.
    #[must_use]
    pub fn path(&self) -> String {
        match self.is_screen {
            true => crate::store::layout::screen_path(self.began_at, self.id()),
            false => crate::store::layout::media_path(self.began_at, self.id()),
        }
    }
}

/// A fact and the time at which it was appended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalEntry {
    pub at: WallTime,
    pub fact: Fact,
}
