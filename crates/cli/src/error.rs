//! Errors of the tool, with advice and exit status.
//!
//! The statuses are those of `sysexits.h`. A request rejected by the recorder and an unclean store
//! are not errors: see `Outcome`.

use crate::output::escape::print_message;
use crate::site_time::TimeError;
use crate::terminal::serial::SerialError;
use client::{ConnectionError, EnrolError, KeyringError, OpenError};
use hushbox::config::ConfigError;
use hushbox::export::ExportError;
use hushbox::store::index::Record;
use hushbox::store::journal::JournalError;
use hushbox::store::media::{MediaError, MediaMismatch};
use hushbox::store::seal::SealError;
use std::path::PathBuf;

/// Maximum number of configuration errors shown at once.
const SHOWN_ERRORS_MAX: usize = 20;

/// The reason why a record cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnsealError {
    #[error("sealed, and no identity to open it")]
    NoIdentity,
    #[error("sealed: {0}")]
    Seal(#[from] SealError),
    #[error("cannot read its media file, which holds the key: {why}")]
    Media { why: String },
    #[error("deleted, together with its key")]
    Deleted,
}

impl From<MediaError> for UnsealError {
    fn from(error: MediaError) -> UnsealError {
        match error {
            MediaError::Seal(error) => UnsealError::Seal(error),
            other => UnsealError::Media { why: other.to_string() },
        }
    }
}

/// The reason why the input of `decode --as facts` cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FactsError {
    #[error("the input is longer than {most} bytes")]
    TooLong { most: u64 },
    #[error("the input is not valid output of `show ID sealed=on`: line {line}, column {column}")]
    Malformed { line: usize, column: usize },
    #[error("{what}: not valid base64; truncated or changed")]
    Base64 { what: &'static str },
}

/// The reason why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no configuration found: neither {}", .tried.join(" nor "))]
    NoConfig { tried: Vec<String> },
    #[error("{path}: {error}")]
    Read { path: PathBuf, error: std::io::Error },
    #[error("{path}: {error}")]
    Write { path: PathBuf, error: std::io::Error },
    #[error("{path} already exists")]
    Exists { path: PathBuf },
    #[error("{}", config_text(.path, .errors))]
    BadConfig { path: PathBuf, errors: Vec<ConfigError> },
    #[error("{path} has no unix or plain TCP [[listen]], which this tool needs")]
    NoListen { path: PathBuf },
    #[error("cannot connect to a recorder: {0}")]
    NoBox(#[from] OpenError),
    #[error("connection to {address} lost: {error}")]
    Connection { address: String, error: ConnectionError },
    #[error("not enrolled at {address}: {error}")]
    Enrol { address: String, error: EnrolError },
    #[error("{0}")]
    Keyring(KeyringError),
    #[error("{command:?} was {error}")]
    NotSent { command: String, error: ConnectionError },
    #[error("no recorder on serial port {path}: {error}")]
    Serial { path: PathBuf, error: SerialError },
    #[error("cannot determine your username: use --user NAME")]
    NoUser,
    #[error("the two PINs differ")]
    PinsDiffer,
    #[error("the PIN must have {min} to {max} characters")]
    PinLength { min: usize, max: usize },
    #[error("cannot hash the PIN: {why}")]
    PinHash { why: String },
    #[error("no input")]
    NoInput,
    #[error("no store in {data}, the data directory of {config}")]
    NoStore { data: PathBuf, config: PathBuf },
    #[error("{path}: {error}")]
    Journal { path: PathBuf, error: JournalError },
    #[error("{path}: {error}")]
    Key { path: PathBuf, error: SealError },
    #[error("{path} is not a public key: expected 64 hexadecimal digits")]
    BadBoxKey { path: PathBuf },
    #[error("no keys/box.pub in {data}")]
    NoBoxKey { data: PathBuf },
    #[error("no recording with ID {id:?}")]
    NoSuchRecord { id: String },
    #[error("{id:?} begins several IDs: {}", .found.join(", "))]
    AmbiguousId { id: String, found: Vec<String> },
    #[error("no {what} named {name:?}{hint}: neither configured nor in any record")]
    UnknownName { what: &'static str, name: String, hint: String },
    #[error("recording {id} was deleted at {at} ({why}), together with its key")]
    Deleted { id: String, at: String, why: String },
    #[error("recording {id}: {why}{}", sealed_to(.recipients))]
    Unseal { id: String, why: UnsealError, recipients: Vec<String> },
    #[error("{path} cannot be used: {error}")]
    NoMedia { path: PathBuf, error: std::io::Error },
    #[error("{path} cannot be used: {error}")]
    Media { path: PathBuf, error: MediaError },
    #[error("{path} cannot be used: {why}")]
    NotIntact { path: PathBuf, why: MediaMismatch },
    #[error("{path} cannot be used: {why}")]
    OtherRecording { path: PathBuf, why: MediaMismatch },
    #[error("{path}: {error}")]
    Export { path: PathBuf, error: ExportError },
    #[error("{path} already exists")]
    ExportExists { path: PathBuf },
    #[error("{path} must end in .wav, .opus, .ogg, .webm or .mkv")]
    UnknownFormat { path: PathBuf },
    #[error("{flag} {text:?} {why}")]
    InvalidTime { flag: &'static str, text: String, why: TimeError },
    #[error("{text:?} is neither a day nor the beginning of an ID")]
    InvalidSelection { text: String },
    #[error("{path}:{line}: {why}")]
    InvalidWitness { path: PathBuf, line: usize, why: &'static str },
    #[error("{path} contains no checkpoint")]
    NoWitness { path: PathBuf },
    #[error("stdin: {0}")]
    Facts(#[from] FactsError),
    #[error("stdin: {0}")]
    Stdin(std::io::Error),
    #[error("stdout: {0}")]
    Stdout(std::io::Error),
}

fn sealed_to(recipients: &[String]) -> String {
    if recipients.is_empty() {
        return String::new();
    }
    format!("; this recorder seals to {}", recipients.join(", "))
}

fn config_text(path: &std::path::Path, errors: &[ConfigError]) -> String {
    let shown = errors.iter().take(SHOWN_ERRORS_MAX).map(|error| format_diagnostic(path, error));
    let mut text = shown.collect::<Vec<_>>().join("\n");
    if errors.len() > SHOWN_ERRORS_MAX {
        text.push_str(&format!("\nand {} more", errors.len() - SHOWN_ERRORS_MAX));
    }
    text
}

/// Formats `FILE:LINE:COLUMN: KEY: TEXT`, the format of compilers.
pub fn format_diagnostic(path: &std::path::Path, error: &ConfigError) -> String {
    let ConfigError { line, column, key, text } = error;
    let colon = if key.is_empty() { "" } else { ": " };
    format!("{}:{line}:{column}: {key}{colon}{text}", path.display())
}

impl Error {
    /// Creates the error for a recording that cannot be opened.
    pub fn from_unseal(record: &Record, why: UnsealError, recipients: &[String]) -> Error {
        let recipients = recipients.to_vec();
        Error::Unseal { id: record.id().to_string(), why, recipients }
    }

    /// Returns the exit status, as in `sysexits.h`.
    pub fn exit_status(&self) -> u8 {
        match self {
            Error::NoUser | Error::PinsDiffer | Error::PinLength { .. } => 64,
            Error::UnknownFormat { .. } | Error::InvalidTime { .. } => 64,
            Error::InvalidSelection { .. } | Error::AmbiguousId { .. } => 64,
            Error::NotSent { .. } | Error::Journal { .. } | Error::Key { .. } => 65,
            Error::BadBoxKey { .. } | Error::Media { .. } | Error::Export { .. } => 65,
            Error::NotIntact { .. } | Error::OtherRecording { .. } => 65,
            Error::InvalidWitness { .. } | Error::Facts(_) => 65,
            Error::NoInput | Error::NoConfig { .. } | Error::Read { .. } => 66,
            Error::NoStore { .. } | Error::NoBoxKey { .. } | Error::NoWitness { .. } => 66,
            Error::NoSuchRecord { .. } | Error::Deleted { .. } => 66,
            Error::UnknownName { .. } => 66,
            Error::NoMedia { .. } => 66,
            Error::NoBox(_) | Error::Connection { .. } | Error::Serial { .. } => 69,
            Error::Enrol { error: EnrolError::InvalidCode, .. } => 64,
            Error::Enrol { .. } => 69,
            Error::Keyring(_) => 73,
            Error::PinHash { .. } => 70,
            Error::Exists { .. } | Error::ExportExists { .. } => 73,
            Error::Write { .. } | Error::Stdin(_) | Error::Stdout(_) => 74,
            Error::Unseal { .. } => 77,
            Error::BadConfig { .. } | Error::NoListen { .. } => 78,
        }
    }

    /// Returns what the user can do next.
    fn advice(&self) -> Option<&'static str> {
        Some(match self {
            Error::NoConfig { .. } => "pass the recorder's configuration with --config FILE",
            Error::BadConfig { .. } => "correct these lines, or pass another --config FILE",
            Error::NoListen { .. } => "pass its address with --to HOST:PORT or --to unix:PATH",
            // These errors contain their own advice.
            Error::NoBox(OpenError { attempts })
                if !attempts.is_empty()
                    && attempts
                        .iter()
                        .all(|one| matches!(one.error, ConnectionError::Keyring(_))) =>
            {
                return None;
            }
            Error::NoBox(_) => "check that hushboxd is running, or pass its address with --to ADDR",
            Error::Serial { .. } => {
                "check power, cable, and that --rate matches `baud` in the recorder's configuration"
            }
            Error::Exists { .. } => "choose another name, or move the existing file",
            Error::NoStore { .. } => {
                "start hushboxd once to create it, or pass another --config FILE"
            }
            Error::NoSuchRecord { .. } => "run `hushbox records` for a list of recordings",
            Error::Unseal { .. } => "pass the private key that opens it with --identity KEY",
            Error::NotIntact { .. } => "run `hushbox verify` for details; --force proceeds anyway",
            Error::NoMedia { error, .. }
                if error.kind() == std::io::ErrorKind::PermissionDenied =>
            {
                "run as the daemon's user or as root"
            }
            Error::NoMedia { .. } | Error::Media { .. } | Error::OtherRecording { .. } => {
                "run `hushbox verify` on the recorder for details"
            }
            Error::ExportExists { .. } => "choose another name, or overwrite it with --force",
            Error::UnknownFormat { .. } => "the extension selects the format, for example call.wav",
            Error::InvalidTime { .. } => {
                "use today, yesterday, 2026-11-22, 2026-11-22T14:00 or 2026-11-22T14:00:00+01:00"
            }
            Error::InvalidSelection { .. } => {
                "use today, yesterday, a day such as 2026-11-22, or at least 4 characters of an ID"
            }
            Error::AmbiguousId { .. } => "type more characters of the ID",
            Error::UnknownName { .. } => "run `hushbox records` without this filter to see names",
            Error::InvalidWitness { .. } => {
                "expected: event what=checkpoint seq=N digest=HEX sig=HEX"
            }
            Error::NoWitness { .. } => "save the `event what=checkpoint …` lines of a client",
            Error::BadBoxKey { .. } | Error::NoBoxKey { .. } => {
                "pass a copy of the recorder's keys/box.pub with --box-key FILE"
            }
            Error::NotSent { .. } => "a command must be one line of at most 1023 bytes",
            Error::Read { error, .. } | Error::Write { error, .. } => match error.kind() {
                std::io::ErrorKind::PermissionDenied => "run as the daemon's user or as root",
                _ => return None,
            },
            _ => return None,
        })
    }

    /// Whether the reader of stdout has closed it.
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Error::Stdout(error) if error.kind() == std::io::ErrorKind::BrokenPipe)
    }

    /// Prints the error and the advice to stderr.
    pub fn print_to_stderr(&self) {
        print_message(&format!("hushbox: {self}\n"));
        if let Some(advice) = self.advice() {
            print_message(&format!("hushbox: {advice}\n"));
        }
    }
}
