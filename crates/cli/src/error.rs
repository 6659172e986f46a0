//! Why a word failed, what to do about it, and the exit status that scripts see.
//!
//! The statuses are those of `sysexits.h`. A refusal by the box and an unclean store are no
//! failures of the tool: see `Outcome`.

use crate::store::facts::FactsError;
use crate::store::unseal::{IdentityKeyring, UnsealError};
use crate::terminal::serial::SerialError;
use client::{ConnectionError, EnrolError, KeyringError, OpenError};
use hushbox::config::ConfigError;
use hushbox::export::ExportError;
use hushbox::store::index::Record;
use hushbox::store::journal::JournalError;
use hushbox::store::media::MediaError;
use hushbox::store::seal::SealError;
use std::path::PathBuf;

/// What a person is shown of a long list of errors.
const SHOWN_ERRORS_MAX: usize = 20;

/// Why a word failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no configuration: neither {}", .tried.join(" nor "))]
    NoConfig { tried: Vec<String> },
    #[error("{path}: {error}")]
    Read { path: PathBuf, error: std::io::Error },
    #[error("{path}: {error}")]
    Write { path: PathBuf, error: std::io::Error },
    #[error("{path} exists")]
    Exists { path: PathBuf },
    #[error("{}", config_text(.path, .errors))]
    BadConfig { path: PathBuf, errors: Vec<ConfigError> },
    #[error("{path} has no [[listen]] that this tool can use: only TLS or serial ones")]
    NoListen { path: PathBuf },
    #[error("no box answers: {0}")]
    NoBox(#[from] OpenError),
    #[error("the connection to {address} broke: {error}")]
    Connection { address: String, error: ConnectionError },
    #[error("not enrolled at {address}: {error}")]
    Enrol { address: String, error: EnrolError },
    #[error("{0}")]
    Keyring(KeyringError),
    #[error("{command:?} was {error}")]
    NotSent { command: String, error: ConnectionError },
    #[error("no box over the serial port {path}: {error}")]
    Serial { path: PathBuf, error: SerialError },
    #[error("nobody is logged in here by a name: --user is needed")]
    NoUser,
    #[error("the two are not the same")]
    PinsDiffer,
    #[error("a PIN has {min} to {max} characters")]
    PinLength { min: usize, max: usize },
    #[error("the PIN cannot be hashed: {why}")]
    PinHash { why: String },
    #[error("nothing was typed")]
    NoInput,
    #[error("there is no store in {data}, the data directory of {config}")]
    NoStore { data: PathBuf, config: PathBuf },
    #[error("{path}: {error}")]
    Journal { path: PathBuf, error: JournalError },
    #[error("{path}: {error}")]
    Key { path: PathBuf, error: SealError },
    #[error("{path} is not the public key of a box: 64 hexadecimal digits")]
    BadBoxKey { path: PathBuf },
    #[error("there is no keys/box.pub in {data}")]
    NoBoxKey { data: PathBuf },
    #[error("there is no recording {id:?}")]
    NoSuchRecord { id: String },
    #[error("recording {id} was deleted at {at} ({why}), and its key with it")]
    Deleted { id: String, at: String, why: String },
    #[error("recording {id}: {why}{}", sealed_to(.recipients))]
    Unseal { id: String, why: UnsealError, recipients: Vec<String> },
    #[error("there is no audio: {path}: {error}")]
    NoMedia { path: PathBuf, error: std::io::Error },
    #[error("{path}: {error}")]
    Media { path: PathBuf, error: MediaError },
    #[error("{path} is not what the journal tells of")]
    NotIntact { path: PathBuf },
    #[error("{path}: {error}")]
    Export { path: PathBuf, error: ExportError },
    #[error("{path} exists")]
    ExportExists { path: PathBuf },
    #[error("{path} does not end in .wav, .opus, .ogg, .webm or .mkv")]
    UnknownFormat { path: PathBuf },
    #[error("{flag} {text:?} is no time")]
    InvalidTime { flag: &'static str, text: String },
    #[error("{path}:{line}: {why}")]
    InvalidWitness { path: PathBuf, line: usize, why: &'static str },
    #[error("{path} holds no checkpoint")]
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
    format!("; this box seals to {}", recipients.join(", "))
}

fn config_text(path: &std::path::Path, errors: &[ConfigError]) -> String {
    let shown = errors.iter().take(SHOWN_ERRORS_MAX).map(|error| format_diagnostic(path, error));
    let mut text = shown.collect::<Vec<_>>().join("\n");
    if errors.len() > SHOWN_ERRORS_MAX {
        text.push_str(&format!("\nand {} more", errors.len() - SHOWN_ERRORS_MAX));
    }
    text
}

/// `FILE:LINE:COLUMN: KEY: TEXT`, as compilers write it.
pub fn format_diagnostic(path: &std::path::Path, error: &ConfigError) -> String {
    let ConfigError { line, column, key, text } = error;
    let colon = if key.is_empty() { "" } else { ": " };
    format!("{}:{line}:{column}: {key}{colon}{text}", path.display())
}

impl Error {
    /// A recording that does not open.
    pub fn from_unseal(record: &Record, why: UnsealError, keyring: &IdentityKeyring) -> Error {
        let recipients = keyring.recipients().to_vec();
        Error::Unseal { id: record.id().to_string(), why, recipients }
    }

    /// As in `sysexits.h`.
    pub fn exit_status(&self) -> u8 {
        match self {
            Error::NoUser | Error::PinsDiffer | Error::PinLength { .. } => 64,
            Error::UnknownFormat { .. } | Error::InvalidTime { .. } => 64,
            Error::NotSent { .. } | Error::Journal { .. } | Error::Key { .. } => 65,
            Error::BadBoxKey { .. } | Error::Media { .. } | Error::Export { .. } => 65,
            Error::NotIntact { .. } | Error::InvalidWitness { .. } | Error::Facts(_) => 65,
            Error::NoInput | Error::NoConfig { .. } | Error::Read { .. } => 66,
            Error::NoStore { .. } | Error::NoBoxKey { .. } | Error::NoWitness { .. } => 66,
            Error::NoSuchRecord { .. } | Error::Deleted { .. } => 66,
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

    /// What to do next.
    fn advice(&self) -> Option<&'static str> {
        Some(match self {
            Error::NoConfig { .. } => "name the box's configuration with --config FILE",
            Error::BadConfig { .. } => "mend these lines, or name another with --config FILE",
            Error::NoListen { .. } => "name the box with --to HOST:PORT or --to unix:PATH",
            // Each says itself what to do.
            Error::NoBox(OpenError { attempts })
                if !attempts.is_empty()
                    && attempts
                        .iter()
                        .all(|one| matches!(one.error, ConnectionError::Keyring(_))) =>
            {
                return None;
            }
            Error::NoBox(_) => "is hushboxd running? --to HOST:PORT or --to unix:PATH names it",
            Error::Serial { .. } => {
                "is the box on, is the cable in, is --rate what the box's baud is?"
            }
            Error::Exists { .. } => "take another name, or move it away",
            Error::NoStore { .. } => "has hushboxd run with it? --config FILE names another",
            Error::NoSuchRecord { .. } => "hushbox records lists what there is",
            Error::Unseal { .. } => "name the private key that opens it with --identity KEY",
            Error::NotIntact { .. } => "hushbox verify says more; --force exports it all the same",
            Error::ExportExists { .. } => "take another name, or overwrite it with --force",
            Error::UnknownFormat { .. } => "the end of the name says what is made, as in call.wav",
            Error::InvalidTime { .. } => "write 2026-11-22T12:00:00Z, or a day: 2026-11-22",
            Error::InvalidWitness { .. } => {
                "a line is: event what=checkpoint seq=N digest=HEX sig=HEX"
            }
            Error::NoWitness { .. } => "keep the lines event what=checkpoint that clients get",
            Error::BadBoxKey { .. } | Error::NoBoxKey { .. } => {
                "--box-key FILE names a copy of the box's keys/box.pub"
            }
            Error::NotSent { .. } => "a command is one line of at most 1023 bytes",
            Error::Read { error, .. } | Error::Write { error, .. } => match error.kind() {
                std::io::ErrorKind::PermissionDenied => "run as the box's user, or as root",
                _ => return None,
            },
            _ => return None,
        })
    }

    /// Nobody reads stdout any more.
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Error::Stdout(error) if error.kind() == std::io::ErrorKind::BrokenPipe)
    }

    /// Says it on stderr.
    pub fn print_to_stderr(&self) {
        eprintln!("hushbox: {self}");
        if let Some(advice) = self.advice() {
            eprintln!("hushbox: {advice}");
        }
    }
}
