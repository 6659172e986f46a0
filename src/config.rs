//! The configuration as values that are already sensible: parsed, bounded, cross-checked.
//!
//! `parse` takes the text of a file and gives either a `Config` or *all* its errors, each with line
//! and column. Paths in a `Config` are as written; `Config::resolve` makes them relative to the
//! file's folder. Nothing here reads a file, and an unknown key is an error.

mod board;
pub mod bounds;
mod check;
pub mod edit;
mod error;
mod listen;
pub mod parse;
mod people;
pub mod script;
mod table;

pub use error::ConfigError;
pub use parse::parse;
pub use script::ScriptStep;

use crate::calls::permission::Permissions;
use crate::time::WallTime;
use core::net::SocketAddr;
use std::path::{Path, PathBuf};

/// One whole configuration. Every number is within its bounds, every name it refers to exists.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The box's name, 1 to 32 letters, digits and `.-_`.
    pub name: String,
    /// The site's, for people; the box itself keeps UTC.
    pub time_zone: jiff::tz::TimeZone,
    /// The folder of everything that is kept.
    pub data: PathBuf,
    /// Whether and for whom on-demand recording is switched on.
    pub on_demand: OnDemandSettings,
    /// Where the box can be reached, in the order of the file.
    pub listen: Vec<ListenSettings>,
    /// Who may say hello without TLS.
    pub local: LocalSettings,
    /// How many clients are served.
    pub limits: SessionLimits,
    /// How audio waits and is encoded.
    pub audio: AudioSettings,
    /// How far and how long a blackout reaches.
    pub blackout: BlackoutSettings,
    /// How recordings are kept.
    pub store: StoreSettings,
    /// The voice boards; channel ids and devices are unique over all of them.
    pub boards: Vec<BoardSettings>,
    /// In the order of the file; no two share a phone, but usernames may clash (D2).
    pub agents: Vec<Agent>,
    /// PCs whose phone is known, unique by machine name.
    pub workstations: Vec<Workstation>,
    /// In the order of the file, which decides between equal priorities (D6).
    pub schedules: Vec<Schedule>,
    /// Labels of user-defined fields; index 0 is `user1`. A field without a label has none.
    pub fields: [Option<String>; 15],
    /// How screens are recorded.
    pub screen: ScreenSettings,
    /// Who may log in at the console, unique by name.
    pub technicians: Vec<Technician>,
}

impl Config {
    /// The same with its paths relative to `folder`, the file's; absolute ones stay as they are.
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

/// Requirements D7 and C6.
#[derive(Clone, Debug, PartialEq)]
pub struct OnDemandSettings {
    /// Off: `hello agent` is refused.
    pub enabled: bool,
    /// The desktop client may be used.
    pub desktop: bool,
    /// The portal may be used.
    pub web: bool,
}

/// One place the box can be reached at.
#[derive(Clone, Debug, PartialEq)]
pub enum ListenSettings {
    /// TCP; plain text only on loopback, or with `insecure`.
    Tcp {
        /// Port 0: any free one.
        address: SocketAddr,
        /// With TLS; never together with `insecure`.
        tls: bool,
        /// Plain text off loopback is wanted, and raises an alarm.
        insecure: bool,
    },
    /// A unix socket, where peers are known by uid and gid.
    Unix {
        /// Of the socket.
        path: PathBuf,
    },
    /// A technician's console.
    Serial {
        /// Of the device.
        path: PathBuf,
        /// bit/s, one of `bounds::BAUDS`.
        baud: u32,
        /// Who says nothing for so long is logged out.
        idle_s: u32,
    },
}

/// Who may say hello without TLS.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LocalSettings {
    /// Kinds allowed over plain loopback TCP, as protocol words (`agent`, `cti`, …).
    pub kinds: Vec<String>,
    /// System user of the web portal, by the unix socket's peer uid.
    pub portal_user: Option<String>,
    /// System user of the PBX feed, likewise.
    pub cti_user: Option<String>,
    /// System group of technicians, likewise by gid.
    pub technician_group: Option<String>,
}

/// How many clients are served.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionLimits {
    /// Sessions at a time.
    pub sessions: u32,
    /// Sessions at a time from one address, at most `sessions`; not for loopback.
    pub sessions_per_address: u32,
    /// New TLS connections per second.
    pub handshakes_per_s: u32,
}

/// How audio is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum CodecKind {
    /// Opus, for speech.
    Opus,
    /// G.711 µ-law, 8 bit a sample.
    Ulaw,
    /// 16 bit little-endian samples, bit-exact.
    Pcm,
    /// Video of a screen; no configuration names it. Its frames are milliseconds.
    Screen,
}

impl CodecKind {
    /// Its name.
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

/// How audio waits and is encoded.
#[derive(Clone, Debug, PartialEq)]
pub struct AudioSettings {
    /// How long audio waits in RAM before it may leave, milliseconds.
    pub holdback_ms: u32,
    /// For all boards.
    pub codec: CodecKind,
    /// Opus only, bit/s per side.
    pub bitrate: u32,
    /// How much of the past a press keeps too, milliseconds, at most the holdback.
    pub preroll_ms: u32,
    /// `None`: off. Otherwise how much of a running call is kept back in RAM, milliseconds.
    pub recall_ms: Option<u32>,
    /// How long after a call an update or a press still reaches it, seconds.
    pub wrapup_s: u32,
    /// A call without stop and audio for so long is ended, seconds.
    pub stale_call_s: u32,
}

/// How long a blackout outlives its call (G3, G4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlackoutScope {
    /// It is the agent's: it goes on over call ends.
    Agent,
    /// It is the call's: it ends with it.
    Call,
}

/// How far and how long a blackout reaches.
#[derive(Clone, Debug, PartialEq)]
pub struct BlackoutSettings {
    /// How far before the press it begins, milliseconds, at most the holdback.
    pub lead_ms: u32,
    /// The ceiling, seconds of captured audio.
    pub max_s: u32,
    /// What it belongs to.
    pub scope: BlackoutScope,
}

/// How recordings are kept.
#[derive(Clone, Debug, PartialEq)]
pub struct StoreSettings {
    /// Whether media is sealed; off in test profiles only.
    pub seal: bool,
    /// age X25519 public keys, `age1…`.
    pub recipients: Vec<String>,
    /// Kept free on the disk, MB.
    pub reserve_mb: u32,
}

/// One voice board.
#[derive(Clone, Debug, PartialEq)]
pub struct BoardSettings {
    /// Unique, 1 to 32 bytes.
    pub name: String,
    /// Where its audio comes from.
    pub kind: BoardKind,
    /// Frames per second.
    pub rate: u32,
    /// The kernel's (or the model's) buffer, milliseconds.
    pub buffer_ms: u32,
    /// What begins and ends its calls.
    pub activity: ActivitySource,
    /// How voice is told from silence (`activity = "voice"`); the defaults otherwise.
    pub voice: VoiceSettings,
    /// At least one.
    pub channels: Vec<ChannelSettings>,
}

/// Where a board's audio comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum BoardKind {
    /// A sound card.
    Alsa {
        /// ALSA's name of it, `hw:1,0`.
        pcm: String,
        /// One period, milliseconds, at most half the buffer.
        period_ms: u32,
    },
    /// WAV files, played in a loop in real time.
    Sim,
}

/// What begins and ends calls on a board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActivitySource {
    /// The PBX's feed (`call start`, `call stop`).
    Cti,
    /// Speech and silence on the line: see `VoiceSettings`.
    Voice,
    /// A script per channel: see `ScriptStep`.
    Script,
}

/// Voice detection: when speech begins and ends a call on a line without signalling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VoiceSettings {
    /// Speech lasting this long begins a call, milliseconds.
    pub attack_ms: u32,
    /// Silence lasting this long ends it, milliseconds.
    pub release_ms: u32,
    /// How far above the noise of the line speech is, dB.
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
    /// Unique over all boards.
    pub id: u16,
    /// The phone extension it is assigned to; no other channel has it.
    pub device: String,
    /// 1 (mono) or 2 (agent left, customer right).
    pub sides: u8,
    /// The card's slots, one per side (`alsa`).
    pub slots: Vec<u16>,
    /// The WAV file that is played (`sim`).
    pub source: Option<PathBuf>,
    /// What happens on it (`activity = "script"`), in a loop; empty otherwise.
    pub script: Vec<ScriptStep>,
}

/// A recorded user (D1).
#[derive(Clone, Debug, PartialEq)]
pub struct Agent {
    /// Network id as written, not fully qualified; compared without case.
    pub username: String,
    /// A session that names another one is an unknown user.
    pub domain: Option<String>,
    /// For people; the username if none is given.
    pub name: String,
    /// Extensions and agent numbers; no other agent has them.
    pub phones: Vec<String>,
    /// All roles of the agent, added up.
    pub permissions: Permissions,
    /// Whether the screen may be recorded (E1).
    pub screen: bool,
    /// Empty: any workstation.
    pub workstations: Vec<String>,
    /// The line of the file it stands on, for the log (D2).
    pub line: u32,
    /// Was in an earlier configuration of this run, and is not any more.
    pub is_removed: bool,
}

/// A PC and the phone beside it (the fallback of D1).
#[derive(Clone, Debug, PartialEq)]
pub struct Workstation {
    /// Machine name, compared without case.
    pub machine: String,
    /// The phone that who sits there uses.
    pub device: String,
}

/// What a schedule does with a call it matches (D4, D6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScheduleKind {
    /// Allows agents to record it.
    OnDemand,
    /// Records a share of them.
    Percentage,
    /// Allows programs to record it.
    Api,
}

/// Which way a call went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Direction {
    /// The customer called.
    In,
    /// The agent called.
    Out,
}

/// A business rule (D4 to D6). Of its requirements, an empty list asks for nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// Unique; records name it.
    pub name: String,
    /// What it does.
    pub kind: ScheduleKind,
    /// 0 to 100; ignored for on-demand.
    pub percent: u8,
    /// The larger wins, among percentage schedules.
    pub priority: i32,
    /// How long its recordings are kept, days.
    pub retention_days: u32,
    /// Active from this moment on; `None`: always was.
    pub from: Option<WallTime>,
    /// Active before this moment; `None`: never expires.
    pub until: Option<WallTime>,
    /// Requirement: usernames, as written, compared without case.
    pub users: Vec<String>,
    /// Requirement: extensions.
    pub devices: Vec<String>,
    /// Requirement: ACD groups.
    pub groups: Vec<String>,
    /// Requirement: ACD gates.
    pub gates: Vec<String>,
    /// Requirement: directions.
    pub directions: Vec<Direction>,
}

/// How screens are recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct ScreenSettings {
    /// Pictures per second.
    pub fps: u32,
    /// Size, percent of the screen's.
    pub scale: u32,
    /// Rate of the video, kbit/s.
    pub kbps: u32,
}

/// Who may log in at the console.
#[derive(Clone, Debug, PartialEq)]
pub struct Technician {
    /// Log-in name.
    pub name: String,
    /// An argon2id PHC string.
    pub pin: String,
}
