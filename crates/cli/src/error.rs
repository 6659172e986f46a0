//! Why a word failed, what to do about it, and the exit status that scripts see.
//!
//! The statuses are those of `sysexits.h`. A refusal by the box and an unclean store are no
//! failures of the tool: see `Outcome`.

use crate::store::facts::FactsError;
use crate::store::unseal::{Closed, Keyring};
use crate::terminal::serial::CableError;
use client::{EnrolError, KeyringError, LinkError, OpenError};
use hushbox::config::ConfigError;
use hushbox::export::ExportError;
use hushbox::store::index::Record;
use hushbox::store::journal::JournalError;
use hushbox::store::media::MediaError;
use hushbox::store::seal::SealError;
use std::path::PathBuf;

/// What a person is shown of a long list of errors.
const SHOWN: usize = 20;

/// Why a word failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
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
    Link { address: String, error: LinkError },
    #[error("not enrolled at {address}: {error}")]
    Enrol { address: String, error: EnrolError },
    #[error("{0}")]
    Keyring(KeyringError),
    #[error("{command:?} was {error}")]
    NotSent { command: String, error: LinkError },
    #[error("no box over the serial port {path}: {error}")]
    Tty { path: PathBuf, error: CableError },
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
    NoData { data: PathBuf, config: PathBuf },
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
    Closed { id: String, why: Closed, recipients: Vec<String> },
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
    Format { path: PathBuf },
    #[error("{flag} {text:?} is no time")]
    Moment { flag: &'static str, text: String },
    #[error("{path}:{line}: {why}")]
    Witness { path: PathBuf, line: usize, why: &'static str },
    #[error("{path} holds no checkpoint")]
    NoWitness { path: PathBuf },
    #[error("stdin: {0}")]
    Facts(#[from] FactsError),
    #[error("stdin: {0}")]
    Input(std::io::Error),
    #[error("stdout: {0}")]
    Output(std::io::Error),
}

fn sealed_to(recipients: &[String]) -> String {
    if recipients.is_empty() {
        return String::new();
    }
    format!("; this box seals to {}", recipients.join(", "))
}

fn config_text(path: &std::path::Path, errors: &[ConfigError]) -> String {
    let shown = errors.iter().take(SHOWN).map(|error| line_of(path, error));
    let mut text = shown.collect::<Vec<_>>().join("\n");
    if errors.len() > SHOWN {
        text.push_str(&format!("\nand {} more", errors.len() - SHOWN));
    }
    text
}

/// `FILE:LINE:COLUMN: KEY: TEXT`, as compilers write it.
pub fn line_of(path: &std::path::Path, error: &ConfigError) -> String {
    let ConfigError { line, column, key, text } = error;
    let colon = if key.is_empty() { "" } else { ": " };
    format!("{}:{line}:{column}: {key}{colon}{text}", path.display())
}

impl Failure {
    /// A recording that does not open.
    pub fn closed(record: &Record, why: Closed, keyring: &Keyring) -> Failure {
        let recipients = keyring.recipients().to_vec();
        Failure::Closed { id: record.id().to_string(), why, recipients }
    }

    /// As in `sysexits.h`.
    pub fn exit_status(&self) -> u8 {
        match self {
            Failure::NoUser | Failure::PinsDiffer | Failure::PinLength { .. } => 64,
            Failure::Format { .. } | Failure::Moment { .. } => 64,
            Failure::NotSent { .. } | Failure::Journal { .. } | Failure::Key { .. } => 65,
            Failure::BadBoxKey { .. } | Failure::Media { .. } | Failure::Export { .. } => 65,
            Failure::NotIntact { .. } | Failure::Witness { .. } | Failure::Facts(_) => 65,
            Failure::NoInput | Failure::NoConfig { .. } | Failure::Read { .. } => 66,
            Failure::NoData { .. } | Failure::NoBoxKey { .. } | Failure::NoWitness { .. } => 66,
            Failure::NoSuchRecord { .. } | Failure::Deleted { .. } => 66,
            Failure::NoMedia { .. } => 66,
            Failure::NoBox(_) | Failure::Link { .. } | Failure::Tty { .. } => 69,
            Failure::Enrol { error: EnrolError::NoCode, .. } => 64,
            Failure::Enrol { .. } => 69,
            Failure::Keyring(_) => 73,
            Failure::PinHash { .. } => 70,
            Failure::Exists { .. } | Failure::ExportExists { .. } => 73,
            Failure::Write { .. } | Failure::Input(_) | Failure::Output(_) => 74,
            Failure::Closed { .. } => 77,
            Failure::BadConfig { .. } | Failure::NoListen { .. } => 78,
        }
    }

    /// What to do next.
    fn advice(&self) -> Option<&'static str> {
        Some(match self {
            Failure::NoConfig { .. } => "name the box's configuration with --config FILE",
            Failure::BadConfig { .. } => "mend these lines, or name another with --config FILE",
            Failure::NoListen { .. } => "name the box with --to HOST:PORT or --to unix:PATH",
            // Each says itself what to do.
            Failure::NoBox(OpenError { attempts })
                if !attempts.is_empty()
                    && attempts.iter().all(|one| matches!(one.error, LinkError::Keyring(_))) =>
            {
                return None;
            }
            Failure::NoBox(_) => "is hushboxd running? --to HOST:PORT or --to unix:PATH names it",
            Failure::Tty { .. } => {
                "is the box on, is the cable in, is --rate what the box's baud is?"
            }
            Failure::Exists { .. } => "take another name, or move it away",
            Failure::NoData { .. } => "has hushboxd run with it? --config FILE names another",
            Failure::NoSuchRecord { .. } => "hushbox records lists what there is",
            Failure::Closed { .. } => "name the private key that opens it with --identity KEY",
            Failure::NotIntact { .. } => {
                "hushbox verify says more; --force exports it all the same"
            }
            Failure::ExportExists { .. } => "take another name, or overwrite it with --force",
            Failure::Format { .. } => "the end of the name says what is made, as in call.wav",
            Failure::Moment { .. } => "write 2026-11-22T12:00:00Z, or a day: 2026-11-22",
            Failure::Witness { .. } => "a line is: event what=checkpoint seq=N digest=HEX sig=HEX",
            Failure::NoWitness { .. } => "keep the lines event what=checkpoint that clients get",
            Failure::BadBoxKey { .. } | Failure::NoBoxKey { .. } => {
                "--box-key FILE names a copy of the box's keys/box.pub"
            }
            Failure::NotSent { .. } => "a command is one line of at most 1023 bytes",
            Failure::Read { error, .. } | Failure::Write { error, .. } => match error.kind() {
                std::io::ErrorKind::PermissionDenied => "run as the box's user, or as root",
                _ => return None,
            },
            _ => return None,
        })
    }

    /// Nobody reads stdout any more.
    pub fn is_closed_output(&self) -> bool {
        matches!(self, Failure::Output(error) if error.kind() == std::io::ErrorKind::BrokenPipe)
    }

    /// Says it on stderr.
    pub fn tell(&self) {
        eprintln!("hushbox: {self}");
        if let Some(advice) = self.advice() {
            eprintln!("hushbox: {advice}");
        }
    }
}
