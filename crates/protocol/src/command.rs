//! Commands: one line of a client as a typed value that cannot be nonsense.
//!
//! `Command::parse` applies what of the order of refusals concerns the text: `bad-command`, then
//! `bad-argument`. `Command::parse_for` knows who asks and puts `hello-first` and `denied` (by
//! kind) in their places between and after. Texts are borrowed where that is possible.
//!
//! Nothing here decides about permissions, or whether what a command names exists.

pub(crate) mod make;

use crate::arg::Args;
use crate::code::Refusal;
use crate::kind::{Direction, Kind, Level, Part, Purpose};
use crate::line::Line;
use crate::table;
use std::borrow::Cow;

pub use crate::arg::VALUE_BYTES;

/// A text of a command, usually borrowed from its line.
pub type Text<'a> = Cow<'a, str>;

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    Hello(Hello<'a>),
    /// The verb is one or two words, as given.
    Help {
        verb: Option<Text<'a>>,
    },
    Ping,
    Quit,
    Status,
    /// Without a device: the own current call.
    RecordStart {
        device: Option<Text<'a>>,
    },
    RecordStop {
        device: Option<Text<'a>>,
    },
    ScreenStart,
    ScreenStop,
    /// Without an agent: the own. `lead_ms`: milliseconds before the press; `None`: as configured.
    BlackoutStart {
        lead_ms: Option<u32>,
        agent: Option<Text<'a>>,
    },
    BlackoutStop {
        agent: Option<Text<'a>>,
    },
    /// `field` is any number; the box decides whether there is such a field. `value` has at most
    /// `VALUE_BYTES` bytes and is judged with `bad_character`.
    Update {
        field: u8,
        value: Text<'a>,
    },
    CallStart(CallArgs<'a>),
    CallUpdate(CallArgs<'a>),
    CallHold {
        device: Text<'a>,
        call: Text<'a>,
    },
    CallResume {
        device: Text<'a>,
        call: Text<'a>,
    },
    CallStop {
        device: Text<'a>,
        call: Text<'a>,
    },
    Channels,
    /// From channel number `from` on, at most `limit` of them.
    Meters {
        from: u32,
        limit: Option<u32>,
    },
    Calls,
    Clients,
    Records(RecordsQuery<'a>),
    Show {
        id: Text<'a>,
        /// What the box cannot open goes along as it is.
        sealed: bool,
    },
    /// `from`: first byte of the file to send.
    Media {
        id: Text<'a>,
        from: u64,
        purpose: Purpose,
        part: Part,
    },
    Protect {
        id: Text<'a>,
        on: bool,
    },
    /// Erases a recording.
    Delete {
        id: Text<'a>,
    },
    Alarms,
    AlarmClear {
        number: u32,
    },
    Disk,
    /// Public keys and fingerprints.
    Keys,
    /// An orderly stop, then the machine starts anew.
    Reboot,
    Stats,
    LogLevel {
        level: Level,
    },
    ConfigCheck,
    ConfigReload,
    ConfigEdit(ConfigEdit<'a>),
    Selftest,
    /// `kinds`: as asked for, without repetition; empty: the box's default.
    Enrol {
        machine: Text<'a>,
        kinds: Vec<Kind>,
    },
    /// A data block follows.
    EnrolCode {
        code: Text<'a>,
    },
    Revoke {
        machine: Text<'a>,
    },
    /// `from`: the first event to be told, as far as it is remembered.
    Watch {
        from: Option<u64>,
    },
    Shutdown,
    /// A data block follows. `start`: RFC 3339, not yet parsed. `duration_ms`: milliseconds.
    Segment {
        recording: Text<'a>,
        start: Text<'a>,
        duration_ms: u32,
    },
}

/// Who a session says it is. For `agent`, `supervisor` and `technician` the user is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello<'a> {
    pub kind: Kind,
    pub user: Option<Text<'a>>,
    pub domain: Option<Text<'a>>,
    pub machine: Option<Text<'a>>,
    /// Name and version of the program.
    pub client: Option<Text<'a>>,
    pub pin: Option<Text<'a>>,
    /// `via=portal` was said.
    pub via: bool,
}

/// A change of the configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigEdit<'a> {
    /// `key` is one of `arg::SETTINGS`.
    Set { key: Text<'a>, value: Text<'a> },
    /// `door` is one of `arg::DOORS`.
    Listen { address: Text<'a>, door: Text<'a> },
    /// A technician's PIN, in clear.
    Pin { name: Text<'a>, pin: Text<'a> },
}

/// What a PBX knows of a call. `None`: not said; an empty text: said to be unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallArgs<'a> {
    pub device: Text<'a>,
    pub call: Text<'a>,
    /// The call this one is a consult leg of.
    pub of: Option<Text<'a>>,
    pub ani: Option<Text<'a>>,
    pub dnis: Option<Text<'a>>,
    pub direction: Option<Direction>,
    pub group: Option<Text<'a>>,
    pub gate: Option<Text<'a>>,
    /// A username, or one of somebody's phones.
    pub agent: Option<Text<'a>>,
}

/// Which recordings to list. Times are as sent; the caller parses them (RFC 3339).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordsQuery<'a> {
    pub from: Option<Text<'a>>,
    pub to: Option<Text<'a>>,
    pub agent: Option<Text<'a>>,
    pub device: Option<Text<'a>>,
    pub call: Option<Text<'a>>,
    pub ani: Option<Text<'a>>,
    pub dnis: Option<Text<'a>>,
    /// At most so many.
    pub limit: Option<u32>,
}

impl<'a> Command<'a> {
    /// Reads one line without its end: `bad-command` or `bad-argument` where it is none.
    pub fn parse(line: &'a str) -> Result<Command<'a>, Refusal> {
        let line = Line::parse(line)?;
        let (entry, verb_words) = table::find(&line)?;
        let words = line.into_words().into_iter().skip(verb_words);
        (entry.make)(Args::bind(entry, words)?)
    }

    /// Reads one line of a session of this kind (`None`: before `hello`), with the refusals in the
    /// contract's order: `bad-command` `hello-first` `bad-argument` `denied`.
    pub fn parse_for(line: &'a str, kind: Option<Kind>) -> Result<Command<'a>, Refusal> {
        let line = Line::parse(line)?;
        let (entry, verb_words) = table::find(&line)?;
        if kind.is_none() {
            entry.check_kind(kind)?;
        }
        let words = line.into_words().into_iter().skip(verb_words);
        let command = (entry.make)(Args::bind(entry, words)?)?;
        entry.check_kind(kind)?;
        Ok(command)
    }

    /// The verb, for logs and counters, where nothing that was said may appear.
    #[must_use]
    pub fn verb(&self) -> &'static str {
        match self {
            Command::Hello(_) => "hello",
            Command::Help { .. } => "help",
            Command::Ping => "ping",
            Command::Quit => "quit",
            Command::Status => "status",
            Command::RecordStart { .. } => "record start",
            Command::RecordStop { .. } => "record stop",
            Command::ScreenStart => "screen start",
            Command::ScreenStop => "screen stop",
            Command::BlackoutStart { .. } => "blackout start",
            Command::BlackoutStop { .. } => "blackout stop",
            Command::Update { .. } => "update",
            Command::CallStart(_) => "call start",
            Command::CallUpdate(_) => "call update",
            Command::CallHold { .. } => "call hold",
            Command::CallResume { .. } => "call resume",
            Command::CallStop { .. } => "call stop",
            Command::Channels => "channels",
            Command::Meters { .. } => "meters",
            Command::Calls => "calls",
            Command::Clients => "clients",
            Command::Records(_) => "records",
            Command::Show { .. } => "show",
            Command::Media { .. } => "media",
            Command::Protect { .. } => "protect",
            Command::Delete { .. } => "delete",
            Command::Alarms => "alarms",
            Command::AlarmClear { .. } => "alarm clear",
            Command::Disk => "disk",
            Command::Keys => "keys",
            Command::Reboot => "reboot",
            Command::Stats => "stats",
            Command::LogLevel { .. } => "log level",
            Command::ConfigCheck => "config check",
            Command::ConfigReload => "config reload",
            Command::ConfigEdit(ConfigEdit::Set { .. }) => "config set",
            Command::ConfigEdit(ConfigEdit::Listen { .. }) => "config listen",
            Command::ConfigEdit(ConfigEdit::Pin { .. }) => "config pin",
            Command::Selftest => "selftest",
            Command::Enrol { .. } | Command::EnrolCode { .. } => "enrol",
            Command::Revoke { .. } => "revoke",
            Command::Watch { .. } => "watch",
            Command::Shutdown => "shutdown",
            Command::Segment { .. } => "segment",
        }
    }

    /// Whether `data BYTES` and a block follow the line; the reply comes after the block.
    #[must_use]
    pub fn wants_data(&self) -> bool {
        matches!(self, Command::Segment { .. } | Command::EnrolCode { .. })
    }
}

/// The first character of a field's value that is not taken (requirement F4).
#[must_use]
pub fn bad_character(value: &str) -> Option<char> {
    value.chars().find(|c| matches!(c, '<' | '>' | '!' | '=' | '+' | '%') || c.is_control())
}
