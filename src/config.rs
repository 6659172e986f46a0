//! The configuration as validated types: parsed, bounded and cross-checked.
//!
//! `parse` takes the text of a file and returns either a `Config` or *all* its errors, each with
//! line and column. Paths in a `Config` are as written; `Config::resolve_paths` makes them
//! relative to the file's directory. An unknown key is an error.

mod board;
pub mod bounds;
mod check;
pub mod difference;
pub mod edit;
mod error;
mod listen;
pub mod machine;
pub mod parse;
mod people;
pub mod script;
mod sip;
mod table;

pub use error::{ConfigError, spelling_hint};
pub use parse::{parse, parse_for};
pub use script::ScriptStep;
pub use sip::{
    AddressBlock, FIRST_SLOT_ID, RtpCodecKind, SipListen, SipSettings, SipTransport, SrtpMode,
    WhenDown,
};

use crate::calls::permission::Permissions;
use crate::time::WallTime;
use core::net::SocketAddr;
use std::path::{Path, PathBuf};

/// A complete configuration. Every number is within its bounds, and every reference resolves.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Name of the box, 1 to 32 letters, digits and `.-_`.
    pub name: String,
    /// Time zone of the site, for display; the box keeps UTC.
    pub time_zone: jiff::tz::TimeZone,
    pub data: PathBuf,
    /// Which clients may record on demand.
    pub on_demand: OnDemandSettings,
    /// Listeners, in file order.
    pub listen: Vec<ListenSettings>,
    /// Client kinds that may connect without TLS.
    pub local: LocalSettings,
    pub limits: SessionLimits,
    /// Holdback and encoding of audio.
    pub audio: AudioSettings,
    /// Lead, maximum length and scope of blackouts.
    pub blackout: BlackoutSettings,
    /// How recordings are stored.
    pub store: StoreSettings,
    /// The voice boards; channel ids and devices are unique over all of them.
    pub boards: Vec<BoardSettings>,
    /// Agents in file order. Phones are unique, but usernames may clash (D2).
    pub agents: Vec<Agent>,
    /// PCs with a known phone, unique by machine name.
    pub workstations: Vec<Workstation>,
    /// Schedules in file order, which decides between equal priorities (D6).
    pub schedules: Vec<Schedule>,
    /// Labels of the user-defined fields; index 0 is `user1`. `None` for unlabelled fields.
    pub fields: [Option<String>; 15],
    /// How screens are recorded.
    pub screen: ScreenSettings,
    /// Technicians who may log in at the console, unique by name.
    pub technicians: Vec<Technician>,
}

impl Config {
    /// Resolves relative paths against `folder`, the directory of the file.
    #[must_use]
    pub fn resolve_paths(mut self, folder: &Path) -> Config {
        let resolve = |path: &mut PathBuf| *path = folder.join(&path);
        resolve(&mut self.data);
        for listen in &mut self.listen {
            match listen {
                ListenSettings::Unix { path } | ListenSettings::Serial { path, .. } => {
                    resolve(path)
                }
                ListenSettings::Tcp { .. } => {}
            }
        }
        let channels = self.boards.iter_mut().flat_map(|board| &mut board.channels);
        channels.filter_map(|channel| channel.source.as_mut()).for_each(resolve);
        self
    }
}

/// Settings for on-demand recording (D7, C6).
#[derive(Clone, Debug, PartialEq)]
pub struct OnDemandSettings {
    /// If false, `hello agent` is refused.
    pub enabled: bool,
    /// Whether the desktop client may record on demand.
    pub desktop: bool,
    /// Whether the portal may record on demand.
    pub web: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ListenSettings {
    /// TCP; plain text only on loopback or with `insecure`.
    Tcp {
        /// Address to bind; port 0 is any free port.
        address: SocketAddr,
        /// Whether clients must use TLS; excludes `insecure`.
        tls: bool,
        /// Allows plain text off loopback, and raises an alarm.
        insecure: bool,
    },
    /// A unix socket; peers are identified by uid and gid.
    Unix {
        /// Path of the socket.
        path: PathBuf,
    },
    /// A technician's serial console.
    Serial {
        path: PathBuf,
        /// Speed in bit/s, one of `bounds::BAUDS`.
        baud: u32,
        /// Seconds without input after which a session is logged out.
        idle_s: u32,
    },
}

/// What a listener occupies on the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenPlace<'a> {
    Tcp(SocketAddr),
    /// A socket or a serial port.
    File(&'a Path),
}

impl std::fmt::Display for ListenPlace<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ListenPlace::Tcp(address) => address.fmt(out),
            ListenPlace::File(path) => path.display().fmt(out),
        }
    }
}

impl ListenSettings {
    #[must_use]
    pub fn place(&self) -> ListenPlace<'_> {
        match self {
            ListenSettings::Tcp { address, .. } => ListenPlace::Tcp(*address),
            ListenSettings::Unix { path } | ListenSettings::Serial { path, .. } => {
                ListenPlace::File(path)
            }
        }
    }
}

/// Client kinds that may connect without TLS.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LocalSettings {
    /// Kinds allowed over plain loopback TCP, as protocol words (`agent`, `cti`, …).
    pub kinds: Vec<String>,
    /// System user of the web portal, identified by the unix socket's peer uid.
    pub portal_user: Option<String>,
    /// System user of the call feed, identified likewise.
    pub cti_user: Option<String>,
    /// System group of technicians, identified by gid.
    pub technician_group: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SessionLimits {
    /// Maximum concurrent sessions.
    pub sessions: u32,
    /// Maximum concurrent sessions from one address, except loopback; at most `sessions`.
    pub sessions_per_address: u32,
    /// New TLS connections per second.
    pub handshakes_per_s: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum CodecKind {
    /// Opus, for speech.
    Opus,
    /// G.711 µ-law, 8 bits per sample.
    Ulaw,
    /// 16-bit little-endian samples, bit-exact.
    Pcm,
    /// Screen video, with milliseconds as frames; not configurable.
    Screen,
}

impl CodecKind {
    /// Name of the codec in files and configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            CodecKind::Opus => "opus",
            CodecKind::Ulaw => "ulaw",
            CodecKind::Pcm => "pcm",
            CodecKind::Screen => "screen",
        }
    }
}

/// Holdback and encoding of audio.
#[derive(Clone, Debug, PartialEq)]
pub struct AudioSettings {
    /// Time that audio waits in RAM before it may leave, in milliseconds.
    pub holdback_ms: u32,
    /// Codec for all boards.
    pub codec: CodecKind,
    /// Bitrate for Opus, in bit/s per side.
    pub bitrate: u32,
    /// Audio kept from before the press, in milliseconds, at most the holdback.
    pub preroll_ms: u32,
    /// Audio of a running call kept in RAM for a later press, in milliseconds; `None` disables
    /// it.
    pub recall_ms: Option<u32>,
    /// Time after a call in which an update or a press still applies to it, in seconds.
    pub wrapup_s: u32,
    /// Time without audio after which a call without stop is ended, in seconds.
    pub stale_call_s: u32,
    /// Time after which a call is ended whatever happens, in seconds; `None` disables it.
    pub max_call_s: Option<u32>,
}

/// Scope of a blackout (G3, G4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlackoutScope {
    /// The blackout belongs to the agent and continues across calls.
    Agent,
    /// The blackout ends with its call.
    Call,
}

/// Lead, maximum length and scope of blackouts.
#[derive(Clone, Debug, PartialEq)]
pub struct BlackoutSettings {
    /// How far before the press a blackout starts, in milliseconds, at most the holdback.
    pub lead_ms: u32,
    /// Maximum length of a blackout, in seconds of captured audio.
    pub max_s: u32,
    /// Time without a call after which an agent's blackout ends by itself, in seconds; 0: never.
    pub end_without_call_s: u32,
    pub scope: BlackoutScope,
}

/// How recordings are stored.
#[derive(Clone, Debug, PartialEq)]
pub struct StoreSettings {
    /// Whether media is sealed; disabled in test profiles only.
    pub seal: bool,
    /// age X25519 public keys, `age1…`.
    pub recipients: Vec<String>,
    /// Disk space to keep free, in MB.
    pub reserve_mb: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub struct BoardSettings {
    /// Unique name, 1 to 32 bytes.
    pub name: String,
    /// Source of its audio.
    pub kind: BoardKind,
    /// Sample rate in frames per second.
    pub rate: u32,
    /// Capture buffer, in milliseconds.
    pub buffer_ms: u32,
    /// What begins and ends its calls.
    pub activity: ActivitySource,
    /// Voice detection settings (`activity = "voice"`); the defaults otherwise.
    pub voice: VoiceSettings,
    /// Whether digits that the board reports mask their call (I4).
    pub mask_digits: bool,
    pub channels: Vec<ChannelSettings>,
}

impl BoardSettings {
    /// The keys of a board of kind `sip`.
    #[must_use]
    pub fn sip(&self) -> Option<&SipSettings> {
        match &self.kind {
            BoardKind::Sip(sip) => Some(sip),
            BoardKind::Alsa { .. } | BoardKind::Sim => None,
        }
    }
}

/// Audio source of a board.
#[derive(Clone, Debug, PartialEq)]
pub enum BoardKind {
    /// A sound card.
    Alsa {
        /// ALSA device name, such as `hw:1,0`.
        pcm: String,
        /// Period in milliseconds, at most half the buffer.
        period_ms: u32,
    },
    /// WAV files, played in a loop in real time.
    Sim,
    /// Calls that recording clients bring by SIPREC; `channels` are its slots.
    Sip(Box<SipSettings>),
}

/// What begins and ends calls on a board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActivitySource {
    /// The call feed (`call start`, `call stop`).
    Cti,
    /// Speech and silence on the line: see `VoiceSettings`.
    Voice,
    /// A script per channel: see `ScriptStep`.
    Script,
}

/// Voice detection: when speech begins and ends a call on a line without signalling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VoiceSettings {
    /// Speech of this length begins a call, in milliseconds.
    pub attack_ms: u32,
    /// Silence of this length ends the call, in milliseconds.
    pub release_ms: u32,
    /// Minimum level of speech above the line's noise, in dB.
    pub margin_db: u32,
}

impl Default for VoiceSettings {
    fn default() -> VoiceSettings {
        VoiceSettings { attack_ms: 200, release_ms: 4000, margin_db: 9 }
    }
}

/// One audio source of a board.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelSettings {
    /// Channel number, unique over all boards.
    pub id: u16,
    /// Phone extension assigned to this channel only.
    pub device: String,
    /// 1 (mono) or 2 (agent left, customer right).
    pub sides: u8,
    /// The card's slots, one per side (`alsa`).
    pub slots: Vec<u16>,
    /// WAV file to play (`sim`).
    pub source: Option<PathBuf>,
    /// Script to play in a loop (`activity = "script"`); empty otherwise.
    pub script: Vec<ScriptStep>,
}

/// An agent who can be recorded (D1).
#[derive(Clone, Debug, PartialEq)]
pub struct Agent {
    /// Network user name, unqualified, compared without case.
    pub username: String,
    /// If set, a session that names another domain is an unknown user.
    pub domain: Option<String>,
    /// Display name; defaults to the username.
    pub name: String,
    /// Extensions and agent numbers, unique to this agent.
    pub phones: Vec<String>,
    /// Union of the agent's roles.
    pub permissions: Permissions,
    /// Whether the screen may be recorded (E1).
    pub screen: bool,
    /// Workstations the agent may use; empty: any.
    pub workstations: Vec<String>,
    /// Line of the entry in the file, for the log (D2).
    pub line: u32,
    /// Removed from the configuration since startup.
    pub is_removed: bool,
}

/// A PC and the phone beside it (the fallback of D1).
#[derive(Clone, Debug, PartialEq)]
pub struct Workstation {
    /// Machine name, compared without case.
    pub machine: String,
    /// Phone used at this workstation.
    pub device: String,
}

/// Effect of a schedule on a matching call (D4, D6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScheduleKind {
    /// Allows agents to record the call.
    OnDemand,
    /// Records a share of the calls.
    Percentage,
    /// Allows programs to record the call.
    Api,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Direction {
    /// Incoming: the customer called.
    In,
    /// Outgoing: the agent called.
    Out,
}

impl From<protocol::Direction> for Direction {
    fn from(word: protocol::Direction) -> Direction {
        match word {
            protocol::Direction::In => Direction::In,
            protocol::Direction::Out => Direction::Out,
        }
    }
}

/// A business rule (D4 to D6). An empty requirement list matches every call.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// Unique name, stored in call records.
    pub name: String,
    /// Effect on matching calls.
    pub kind: ScheduleKind,
    /// Share of calls recorded, 0 to 100; ignored for on-demand.
    pub percent: u8,
    /// The highest priority wins among percentage schedules.
    pub priority: i32,
    /// Retention of its recordings, in days.
    pub retention_days: u32,
    /// Start of validity; `None`: no start.
    pub from: Option<WallTime>,
    /// End of validity (exclusive); `None`: no end.
    pub until: Option<WallTime>,
    /// Required usernames, compared without case.
    pub users: Vec<String>,
    pub devices: Vec<String>,
    pub groups: Vec<String>,
    pub gates: Vec<String>,
    pub directions: Vec<Direction>,
}

/// How screens are recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct ScreenSettings {
    /// Pictures per second.
    pub fps: u32,
    /// Size in percent of the screen's.
    pub scale: u32,
    /// Bitrate of the video, in kbit/s.
    pub kbps: u32,
}

/// A technician who may log in at the console.
#[derive(Clone, Debug, PartialEq)]
pub struct Technician {
    /// Login name.
    pub name: String,
    /// PIN as an argon2id PHC string.
    pub pin: String,
}
