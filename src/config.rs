//! The configuration as values that are already sensible: parsed, bounded, cross-checked.
//!
//! `parse` takes the text of a file and gives either a `Config` or *all* its errors, each with line
//! and column. Paths in a `Config` are as written; `Config::resolve` makes them relative to the
//! file's folder. Nothing here reads a file, and an unknown key is an error.

pub mod parse;

use crate::permission::Permissions;
use crate::time::Wall;
use std::net::SocketAddr;
use std::path::PathBuf;

/// One whole configuration. Every number is within its bounds, every name it refers to exists.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub name: String,
    pub data: PathBuf,
    pub on_demand: OnDemand,
    pub listen: Vec<Listen>,
    pub local: Local,
    pub limits: Limits,
    pub audio: Audio,
    pub blackout: Blackout,
    pub store: Store,
    pub boards: Vec<Board>,
    pub agents: Vec<Agent>,
    pub workstations: Vec<Workstation>,
    pub schedules: Vec<Schedule>,
    /// Labels of user-defined fields; index 0 is `user1`. A field without a label has none.
    pub fields: [Option<String>; 15],
    pub screen: Screen,
    pub technicians: Vec<Technician>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct OnDemand {
    pub enabled: bool,
    pub desktop: bool,
    pub web: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Listen {
    Tcp { address: SocketAddr, tls: bool, insecure: bool },
    Unix { path: PathBuf },
    Serial { path: PathBuf, baud: u32 },
}

/// Who may say hello without TLS.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Local {
    /// Kinds allowed over plain loopback TCP, as protocol words (`agent`, `cti`, …).
    pub kinds: Vec<String>,
    pub portal_user: Option<String>,
    pub cti_user: Option<String>,
    pub technician_group: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    pub sessions: u32,
    pub sessions_per_address: u32,
    pub handshakes_per_s: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum CodecKind {
    Opus,
    Ulaw,
    Pcm,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Audio {
    pub holdback_ms: u32,
    pub codec: CodecKind,
    /// Opus only, bit/s per side.
    pub bitrate: u32,
    pub preroll_ms: u32,
    /// `None`: off. Otherwise how much of a running call is kept back in RAM.
    pub recall_ms: Option<u32>,
    pub wrapup_s: u32,
    pub stale_call_s: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    Agent,
    Call,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Blackout {
    pub lead_ms: u32,
    pub max_s: u32,
    pub scope: Scope,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Store {
    pub seal: bool,
    /// age X25519 public keys, `age1…`.
    pub recipients: Vec<String>,
    pub reserve_mb: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Board {
    pub name: String,
    pub kind: BoardKind,
    pub rate: u32,
    pub buffer_ms: u32,
    pub activity: Activity,
    pub channels: Vec<Channel>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum BoardKind {
    Alsa { pcm: String, period_ms: u32 },
    Sim,
}

/// What begins and ends calls on a board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    Cti,
    Voice,
    Script,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Channel {
    pub id: u16,
    pub device: String,
    /// 1 (mono) or 2 (agent left, customer right).
    pub sides: u8,
    /// The card's slots, one per side (`alsa`).
    pub slots: Vec<u16>,
    /// The WAV file that is played (`sim`).
    pub source: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Agent {
    pub username: String,
    pub domain: Option<String>,
    pub name: String,
    pub phones: Vec<String>,
    /// All roles of the agent, added up.
    pub permissions: Permissions,
    pub screen: bool,
    /// Empty: any workstation.
    pub workstations: Vec<String>,
    /// The line of the file it stands on, for the log (D2).
    pub line: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Workstation {
    pub machine: String,
    pub device: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScheduleKind {
    OnDemand,
    Percentage,
    Api,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Direction {
    In,
    Out,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    pub name: String,
    pub kind: ScheduleKind,
    pub percent: u8,
    pub priority: i32,
    pub retention_days: u32,
    pub from: Option<Wall>,
    pub until: Option<Wall>,
    /// Requirements; an empty list asks for nothing.
    pub users: Vec<String>,
    pub devices: Vec<String>,
    pub groups: Vec<String>,
    pub gates: Vec<String>,
    pub directions: Vec<Direction>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Screen {
    pub fps: u32,
    pub scale: u32,
    pub kbps: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Technician {
    pub name: String,
    /// An argon2id PHC string.
    pub pin: String,
}
