//! `cti.toml`, parsed into validated types.
//!
//! Unknown keys are errors with a line number. The file may hold the exchange's secret, so it must
//! not be open to other users. A secret is never taken from an argument or the environment.

use crate::parse::csv::Columns;
use crate::session::{AmiSession, CsvSession, EslSession, ExchangeSession, Secret};
use crate::translate::ami::{AmiTranslator, CallBegin, TranslateSettings};
use crate::translate::csv::{Column, CsvEvent, CsvSettings, CsvTranslator};
use crate::translate::device_filter::DeviceFilter;
use crate::translate::esl::EslTranslator;
use client::Address;
use protocol::Direction;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The most bytes of the file.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Others may not read the file, and nobody but its owner may write it.
const MODE_FORBIDDEN: u32 = 0o027;

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{path}: {error}")]
    Read { path: PathBuf, error: std::io::Error },
    #[error("{path}: mode {mode:03o} opens the secret to others; run: chmod 640 {path}")]
    Mode { path: PathBuf, mode: u32 },
    #[error("{path}: more than {FILE_BYTES_MAX} bytes; this is not a configuration")]
    TooLong { path: PathBuf },
    #[error("{path}: {error}")]
    Toml { path: PathBuf, error: Box<toml::de::Error> },
    #[error("{path}: {}", .faults.join("\n"))]
    Values { path: PathBuf, faults: Vec<String> },
}

/// Where the events come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The program connects to this host and port.
    Connect(String),
    /// The exchange connects to this address.
    Listen(std::net::SocketAddr),
    /// A serial line, 8 data bits, no parity.
    Serial {
        path: PathBuf,
        baud: u32,
    },
    Stdin,
}

/// Everything that the program needs.
pub struct Config {
    /// Servers of the box, tried in order.
    pub servers: Vec<Address>,
    /// Name in `hello cti user=`.
    pub user: String,
    pub source: Source,
    /// Begins the ids of all calls.
    pub prefix: String,
    /// Whether the devices are those of the box.
    pub devices_from_box: bool,
    pub session: ExchangeSession,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    r#box: BoxTable,
    exchange: ExchangeTable,
    #[serde(default)]
    calls: CallsTable,
    csv: Option<CsvTable>,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct BoxTable {
    servers: Vec<String>,
    user: String,
}

impl Default for BoxTable {
    fn default() -> BoxTable {
        BoxTable { servers: vec!["/run/hushbox/hushbox.sock".to_owned()], user: "pbx".to_owned() }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Asterisk,
    Freeswitch,
    Csv,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExchangeTable {
    kind: Kind,
    address: Option<String>,
    listen: Option<std::net::SocketAddr>,
    serial: Option<PathBuf>,
    baud: Option<u32>,
    #[serde(default)]
    stdin: bool,
    user: Option<String>,
    secret: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct CallsTable {
    begin: CallBegin,
    agents: bool,
    devices: Option<BTreeSet<String>>,
    rename: BTreeMap<String, String>,
    prefix: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CsvTable {
    #[serde(default = "comma")]
    separator: String,
    widths: Option<Vec<usize>>,
    columns: Vec<Column>,
    #[serde(default)]
    events: EventsTable,
    #[serde(default)]
    directions: DirectionsTable,
}

fn comma() -> String {
    ",".to_owned()
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct EventsTable {
    start: Vec<String>,
    update: Vec<String>,
    hold: Vec<String>,
    resume: Vec<String>,
    stop: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct DirectionsTable {
    r#in: Vec<String>,
    out: Vec<String>,
}

impl Config {
    /// Reads and checks the file.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, is open to others, or holds a value that cannot be used. All
    /// such values are named at once.
    pub fn read(path: &Path) -> Result<Config, ConfigError> {
        let failed = |error| ConfigError::Read { path: path.to_owned(), error };
        let info = std::fs::metadata(path).map_err(failed)?;
        if info.mode() & MODE_FORBIDDEN != 0 {
            return Err(ConfigError::Mode { path: path.to_owned(), mode: info.mode() & 0o777 });
        }
        if info.len() > FILE_BYTES_MAX {
            return Err(ConfigError::TooLong { path: path.to_owned() });
        }
        let text = Secret::new(std::fs::read_to_string(path).map_err(failed)?);
        Config::parse(&text, path)
    }

    /// Checks the text of the file at `path`.
    ///
    /// # Errors
    ///
    /// As `read`.
    pub fn parse(text: &str, path: &Path) -> Result<Config, ConfigError> {
        let file: File = toml::from_str(text).map_err(|mut error| {
            // The excerpt of the faulty line could be the secret.
            error.set_input(None);
            let at = error.span().map(|span| text[..span.start].matches('\n').count() + 1);
            let place = at.map_or_else(String::new, |line| format!(":{line}"));
            let path = PathBuf::from(format!("{}{place}", path.display()));
            ConfigError::Toml { path, error: Box::new(error) }
        })?;
        let mut faults = Vec::new();
        let config = file.check(&mut faults);
        match config.filter(|_| faults.is_empty()) {
            Some(config) => Ok(config),
            None => Err(ConfigError::Values { path: path.to_owned(), faults }),
        }
    }
}

impl File {
    fn check(self, faults: &mut Vec<String>) -> Option<Config> {
        let mut servers = Vec::new();
        for text in &self.r#box.servers {
            match text.parse() {
                Ok(address) => servers.push(address),
                Err(error) => faults.push(format!("[box] servers: {error}")),
            }
        }
        if self.r#box.servers.is_empty() {
            faults.push("[box] servers is empty; name at least one address of the box".to_owned());
        }
        let kind = self.exchange.kind;
        let prefix = self.calls.prefix.clone().unwrap_or_else(|| default_prefix(kind).to_owned());
        let fits = |c: char| c.is_ascii_alphanumeric() || "._:-".contains(c);
        if prefix.is_empty() || prefix.len() > 16 || !prefix.chars().all(fits) {
            faults.push("[calls] prefix: write 1 to 16 letters, digits, `.`, `_`, `:`, `-`".into());
        }
        let source = self.exchange.check_source(faults)?;
        let devices =
            DeviceFilter { known: self.calls.devices.clone(), renamed: self.calls.rename.clone() };
        let devices_from_box = devices.known.is_none();
        let (servers_user, calls) = (self.r#box.user, self.calls);
        let session = match kind {
            Kind::Csv => check_csv(self.csv, devices, &prefix, faults)?,
            Kind::Asterisk | Kind::Freeswitch => {
                if self.csv.is_some() {
                    faults.push("[csv] is only for kind = \"csv\"; remove it".to_owned());
                }
                let settings =
                    TranslateSettings { begin: calls.begin, agents: calls.agents, devices };
                self.exchange.check_log_in(settings, &prefix, faults)?
            }
        };
        let user = servers_user;
        Some(Config { servers, user, source, prefix, devices_from_box, session })
    }
}

fn default_prefix(kind: Kind) -> &'static str {
    match kind {
        Kind::Asterisk => "ast-",
        Kind::Freeswitch => "fs-",
        Kind::Csv => "csv-",
    }
}

impl ExchangeTable {
    fn check_source(&self, faults: &mut Vec<String>) -> Option<Source> {
        let mut found = Vec::new();
        found.extend(self.address.clone().map(Source::Connect));
        found.extend(self.listen.map(Source::Listen));
        let baud = self.baud.unwrap_or(9600);
        found.extend(self.serial.clone().map(|path| Source::Serial { path, baud }));
        found.extend(self.stdin.then_some(Source::Stdin));
        if self.baud.is_some() && self.serial.is_none() {
            faults.push("[exchange] baud is only for serial; remove it".to_owned());
        }
        let (true, Some(source)) = (found.len() == 1, found.pop()) else {
            let wanted = "exactly one of address, listen, serial, stdin = true";
            faults.push(format!("[exchange]: write {wanted}"));
            return None;
        };
        match &source {
            Source::Connect(address) => check_host_and_port(address, faults),
            _ if self.kind != Kind::Csv => {
                faults.push("[exchange]: this kind needs address = \"HOST:PORT\"".to_owned());
            }
            _ => {}
        }
        Some(source)
    }

    fn check_log_in(
        self,
        settings: TranslateSettings,
        prefix: &str,
        faults: &mut Vec<String>,
    ) -> Option<ExchangeSession> {
        let secret = self.secret.map(Secret::new).filter(|secret| !secret.is_empty());
        let Some(secret) = secret else {
            faults.push("[exchange] secret is missing; the exchange asks for it".to_owned());
            return None;
        };
        match (self.kind, self.user) {
            (Kind::Asterisk, Some(user)) => {
                let translator = AmiTranslator::new(settings, prefix);
                Some(ExchangeSession::Ami(AmiSession::new(translator, user, secret)))
            }
            (Kind::Asterisk, None) => {
                faults.push("[exchange] user is missing; name a section of manager.conf".into());
                None
            }
            (_, None) => {
                let translator = EslTranslator::new(settings, prefix);
                Some(ExchangeSession::Esl(EslSession::new(translator, secret)))
            }
            (_, Some(_)) => {
                faults.push("[exchange] user: FreeSWITCH asks only for a secret; remove it".into());
                None
            }
        }
    }
}

fn check_host_and_port(address: &str, faults: &mut Vec<String>) {
    let parts = address.rsplit_once(':');
    let port = parts.and_then(|(_, port)| port.parse::<u16>().ok()).filter(|port| *port > 0);
    let host = parts.is_some_and(|(host, _)| !host.is_empty());
    if port.is_none() || !host {
        faults.push("[exchange] address: write HOST:PORT, such as 127.0.0.1:5038".to_owned());
    }
}

fn check_csv(
    table: Option<CsvTable>,
    devices: DeviceFilter,
    prefix: &str,
    faults: &mut Vec<String>,
) -> Option<ExchangeSession> {
    let Some(table) = table else {
        faults.push("[csv] is missing; it says what the columns hold".to_owned());
        return None;
    };
    let used: Vec<Column> =
        table.columns.iter().copied().filter(|column| *column != Column::Unused).collect();
    if used.iter().collect::<BTreeSet<_>>().len() < used.len() {
        faults.push("[csv] columns: a name stands twice; write \"-\" for unused ones".to_owned());
    }
    for (column, name) in [(Column::Event, "event"), (Column::Device, "device")] {
        if !used.contains(&column) {
            faults.push(format!("[csv] columns: \"{name}\" is missing; no call begins without it"));
        }
    }
    let columns = match (table.widths, table.separator.as_str()) {
        (Some(widths), _) if widths.iter().all(|width| (1..=1024).contains(width)) => {
            Columns::Widths(widths)
        }
        (Some(_), _) => {
            faults.push("[csv] widths: write the characters of each column, 1 to 1024".to_owned());
            return None;
        }
        (None, "spaces") => Columns::Spaces,
        (None, text) => match text.as_bytes() {
            [byte] if byte.is_ascii() && !b"\"\r\n".contains(byte) => Columns::Delimited(*byte),
            _ => {
                faults.push("[csv] separator: write one character, or \"spaces\"".to_owned());
                return None;
            }
        },
    };
    let events = table.events.check(faults);
    let directions =
        [(table.directions.r#in, Direction::In), (table.directions.out, Direction::Out)];
    let words = directions.into_iter().flat_map(|(words, direction)| {
        words.into_iter().map(move |word| (word.to_lowercase(), direction))
    });
    let directions = words.collect();
    let settings = CsvSettings { columns: table.columns, events, directions, devices };
    Some(ExchangeSession::Csv(CsvSession::new(columns, CsvTranslator::new(settings, prefix))))
}

impl EventsTable {
    fn check(self, faults: &mut Vec<String>) -> BTreeMap<String, CsvEvent> {
        if self.start.is_empty() || self.stop.is_empty() {
            faults.push("[csv.events]: start and stop need at least one word each".to_owned());
        }
        let mut events = BTreeMap::new();
        for (words, event) in [
            (self.start, CsvEvent::Start),
            (self.update, CsvEvent::Update),
            (self.hold, CsvEvent::Hold),
            (self.resume, CsvEvent::Resume),
            (self.stop, CsvEvent::Stop),
        ] {
            for word in words {
                if events.insert(word.to_lowercase(), event).is_some() {
                    faults.push(format!("[csv.events]: the word {word:?} stands twice"));
                }
            }
        }
        events
    }
}

#[cfg(test)]
mod tests;
