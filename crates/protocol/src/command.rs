//! Commands of a client, as validated types.
//!
//! `parse` makes them from lines. Texts are borrowed from the line where that is possible.
//!
//! A `Request` is a command with its entry in the table, which defines the permissions that it
//! requires. Nothing here knows who has them, or whether the things that a command names exist.

use crate::code::{Code, Refusal};
use crate::kind::{Direction, Kind, Level, MediaPart, Purpose};
use crate::permission::Permission;
use crate::table::{Entry, TABLE};
use crate::tolerant::Alteration;
use std::borrow::Cow;

/// A text of a command, usually borrowed from its line.
pub type Text<'a> = Cow<'a, str>;

/// A command of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    Hello(Hello<'a>),
    /// `verb` is one or two words, as sent.
    Help {
        verb: Option<Text<'a>>,
    },
    Ping,
    Quit,
    Status,
    /// Without a device, the agent's own call. `call`: the call that the agent saw when pressing;
    /// any other call is refused.
    RecordStart {
        device: Option<Text<'a>>,
        call: Option<Text<'a>>,
    },
    RecordStop {
        device: Option<Text<'a>>,
        call: Option<Text<'a>>,
    },
    ScreenStart,
    ScreenStop,
    /// Without an agent, the call of the agent who sent the command. `pressed_ms`: how many
    /// milliseconds ago the agent pressed. `lead_ms`: how many milliseconds before the press the
    /// blackout begins; `None`: as configured.
    BlackoutStart {
        pressed_ms: u32,
        lead_ms: Option<u32>,
        agent: Option<Text<'a>>,
    },
    BlackoutStop {
        agent: Option<Text<'a>>,
    },
    /// `field` is any number; the box checks whether the field exists. `value` has at most
    /// `arg::VALUE_BYTES` bytes; the box checks it with `find_bad_character`. `call` and
    /// `call_number` name the call that the value belongs to: by the call feed's id, or by the
    /// state's `update_call`.
    Update {
        field: u8,
        value: Text<'a>,
        call: Option<Text<'a>>,
        call_number: Option<u64>,
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
    /// At most `limit` channels, beginning with number `from`.
    Meters {
        from: u32,
        limit: Option<u32>,
    },
    Calls,
    Clients,
    Sip,
    Records(RecordsQuery<'a>),
    Show {
        id: Text<'a>,
        /// Whether facts that the box cannot open are sent sealed.
        sealed: bool,
    },
    /// `from`: the first byte of the file to send.
    Media {
        id: Text<'a>,
        from: u64,
        purpose: Purpose,
        part: MediaPart,
    },
    Protect {
        id: Text<'a>,
        on: bool,
    },
    /// Erases a recording.
    Delete {
        id: Text<'a>,
    },
    /// Removes a range of a recording for good: from `from_ms` up to `to_ms` after its start. A
    /// parsed range is not empty, and the reason has a text without control characters.
    Redact {
        id: Text<'a>,
        from_ms: u64,
        to_ms: u64,
        reason: Text<'a>,
    },
    Alarms,
    AlarmClear {
        number: u32,
    },
    ClockShow,
    /// Confirms that the clock is right; the date shows that it was compared.
    ClockConfirm {
        date: Text<'a>,
    },
    Disk,
    /// Public keys and fingerprints.
    Keys,
    /// Shut down the box, then reboot the machine.
    Reboot,
    Stats,
    LogLevel {
        level: Level,
    },
    ConfigCheck,
    /// `confirm`: a changed `recipients` may leave out a key that is in use.
    ConfigReload {
        confirm: bool,
    },
    ConfigEdit(ConfigEdit<'a>),
    Selftest,
    /// `kinds`: the requested kinds without duplicates; empty: the default of the box.
    Enrol {
        machine: Text<'a>,
        kinds: Vec<Kind>,
    },
    /// A data block with the signing request follows.
    EnrolCode {
        code: Text<'a>,
    },
    Revoke {
        machine: Text<'a>,
    },
    /// `from`: the number of the first event to send, if the box still has it.
    Watch {
        from: Option<u64>,
    },
    Shutdown,
    /// A data block with the video follows. `start` is RFC 3339, not yet parsed.
    Segment {
        recording: Text<'a>,
        start: Text<'a>,
        duration_ms: u32,
    },
}

/// The arguments of `hello`. For `agent`, `supervisor` and `technician` the user is never `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello<'a> {
    pub kind: Kind,
    pub user: Option<Text<'a>>,
    pub domain: Option<Text<'a>>,
    pub machine: Option<Text<'a>>,
    /// Name and version of the client program.
    pub client: Option<Text<'a>>,
    pub pin: Option<Text<'a>>,
    /// Whether `via=portal` was sent.
    pub via: bool,
}

/// A change of the configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigEdit<'a> {
    /// `key` is one of `arg::SETTINGS`.
    Set { key: Text<'a>, value: Text<'a> },
    /// `mode` is one of `arg::LISTEN_MODES`.
    Listen { address: Text<'a>, mode: Text<'a> },
    /// The PIN of a technician, not hashed. `is_new`: the command creates the technician.
    Pin { name: Text<'a>, pin: Text<'a>, is_new: bool },
    /// Replace an unusable file by the last one that worked.
    Restore,
}

/// What a PBX reports about a call. `None`: not reported; an empty text: reported as unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallArgs<'a> {
    pub device: Text<'a>,
    pub call: Text<'a>,
    /// The call that this consultation call belongs to.
    pub of: Option<Text<'a>>,
    pub ani: Option<Text<'a>>,
    pub dnis: Option<Text<'a>>,
    pub direction: Option<Direction>,
    pub group: Option<Text<'a>>,
    pub gate: Option<Text<'a>>,
    /// A username, or the number of an agent's phone.
    pub agent: Option<Text<'a>>,
    /// Details that were changed or left out, because they were invalid.
    pub altered: Vec<Alteration>,
}

/// The filter of `records`. Times are RFC 3339, not yet parsed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordsQuery<'a> {
    pub from: Option<Text<'a>>,
    pub to: Option<Text<'a>>,
    pub agent: Option<Text<'a>>,
    pub device: Option<Text<'a>>,
    pub call: Option<Text<'a>>,
    pub ani: Option<Text<'a>>,
    pub dnis: Option<Text<'a>>,
    /// The most recordings to list.
    pub limit: Option<u32>,
}

/// A command of a session, with the entry of the table that defines who may use it.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    pub command: Command<'a>,
    pub entry: &'static Entry,
}

impl<'a> Request<'a> {
    /// The request of a hello, so that it can be judged again later.
    ///
    /// # Errors
    /// Never, because the table has an entry for hello.
    pub fn for_hello(hello: Hello<'a>) -> Result<Request<'a>, Refusal> {
        let entry = TABLE.iter().find(|entry| entry.verb == "hello").ok_or(Code::BadCommand)?;
        Ok(Request { command: Command::Hello(hello), entry })
    }
}

impl Request<'_> {
    /// Refuses with `denied` if a session of this kind may not use the command, or its user lacks a
    /// permission that the entry requires. `has` reports which permissions the user has. Every
    /// command of a session is checked here.
    ///
    /// # Errors
    /// Also `no-such-field` for a field that no permission exists for.
    pub fn check_permissions(
        &self,
        kind: Kind,
        has: &dyn Fn(Permission) -> bool,
    ) -> Result<(), Refusal> {
        self.entry.check_kind(Some(kind))?;
        let requires = self.entry.requires(kind).ok_or_else(|| Refusal::from(Code::Denied))?;
        requires.check(&self.command, has)
    }
}

impl<'a> Command<'a> {
    /// The verb, for logs and counters, which may not contain arguments.
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
            Command::Sip => "sip",
            Command::Records(_) => "records",
            Command::Show { .. } => "show",
            Command::Media { .. } => "media",
            Command::Protect { .. } => "protect",
            Command::Delete { .. } => "delete",
            Command::Redact { .. } => "redact",
            Command::Alarms => "alarms",
            Command::AlarmClear { .. } => "alarm clear",
            Command::ClockShow => "clock show",
            Command::ClockConfirm { .. } => "clock confirm",
            Command::Disk => "disk",
            Command::Keys => "keys",
            Command::Reboot => "reboot",
            Command::Stats => "stats",
            Command::LogLevel { .. } => "log level",
            Command::ConfigCheck => "config check",
            Command::ConfigReload { .. } => "config reload",
            Command::ConfigEdit(ConfigEdit::Set { .. }) => "config set",
            Command::ConfigEdit(ConfigEdit::Listen { .. }) => "config listen",
            Command::ConfigEdit(ConfigEdit::Pin { .. }) => "config pin",
            Command::ConfigEdit(ConfigEdit::Restore) => "config restore",
            Command::Selftest => "selftest",
            Command::Enrol { .. } | Command::EnrolCode { .. } => "enrol",
            Command::Revoke { .. } => "revoke",
            Command::Watch { .. } => "watch",
            Command::Shutdown => "shutdown",
            Command::Segment { .. } => "segment",
        }
    }

    /// Whether a data block follows the line. The reply then comes after the block.
    #[must_use]
    pub fn wants_data(&self) -> bool {
        matches!(self, Command::Segment { .. } | Command::EnrolCode { .. })
    }
}

/// Finds the first character that a field's value may not contain (requirement F4).
#[must_use]
pub fn find_bad_character(value: &str) -> Option<char> {
    value.chars().find(|c| matches!(c, '<' | '>' | '!' | '=' | '+' | '%') || c.is_control())
}
