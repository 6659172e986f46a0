//! `hushbox-desktop`: the resident client, or a word to it.
//!
//! Exit codes: 0 done; 1 refused, or not done; 2 wrong usage.

#![allow(clippy::print_stdout, reason = "a program for scripts, too")]

use clap::Parser;
use client::{Address, Keyring};
use desktop::cli::Cli;
use desktop::ipc::{Ask, Tell};
use desktop::shell::instance::{InstanceError, Place, Visit};
use desktop::shell::log_file;
use desktop::shell::paths::{self, PathError};
use desktop::shell::resident::{self, ResidentError};
use std::process::ExitCode;
use std::time::Duration;

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Path(#[from] PathError),
    #[error("{0}")]
    Instance(#[from] InstanceError),
    #[error("{0}")]
    Resident(#[from] ResidentError),
    #[error("{0}")]
    Window(#[from] desktop::windows::WindowError),
    #[error("the log cannot be written: {0}")]
    Log(std::io::Error),
    #[error("{0}")]
    Enrol(#[from] client::EnrolError),
    #[error("{0}")]
    Keyring(#[from] client::KeyringError),
    #[error("no server is set; say --to ADDRESS")]
    NoServer,
    #[error("{0}")]
    Refused(String),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hushbox-desktop: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    if let Some(code) = cli.enrol {
        return enrol(&code, cli.to);
    }
    if let Some(text) = cli.command {
        return ask(Ask::Command { text });
    }
    if let Some(window) = cli.open {
        return ask(Ask::Open { window });
    }
    if let Some(window) = cli.window {
        return Ok(desktop::windows::show(&window)?);
    }
    if cli.quit {
        return ask(Ask::Quit);
    }
    if cli.status {
        return status(cli.json);
    }
    stay()
}

fn stay() -> Result<(), Failure> {
    let Some(place) = Place::take()? else {
        // Whoever starts it again wants to see it.
        return ask(Ask::Open { window: "status".to_owned() });
    };
    let settings = paths::read_settings()?;
    let path = paths::state_home()?.join("desktop.log");
    log_file::start(&path, false).map_err(Failure::Log)?;
    log::info!("hushbox-desktop {} begins", env!("CARGO_PKG_VERSION"));
    Ok(resident::run(&place, settings)?)
}

fn ask(ask: Ask) -> Result<(), Failure> {
    match Visit::begin()?.ask(ask)? {
        Tell::Answer { ok: true, text, .. } => {
            println!("{text}");
            Ok(())
        }
        Tell::Answer { text, .. } => Err(Failure::Refused(text)),
        Tell::Snapshot(_) | Tell::Present => Err(InstanceError::Silent.into()),
    }
}

fn status(json: bool) -> Result<(), Failure> {
    let Tell::Snapshot(snapshot) = Visit::begin()?.ask(Ask::Status)? else {
        return Err(InstanceError::Silent.into());
    };
    if json {
        let text = serde_json::to_string(&snapshot).map_err(|e| Failure::Refused(e.to_string()))?;
        println!("{text}");
        return Ok(());
    }
    for (heading, words) in &snapshot.status {
        println!("{heading}: {words}");
    }
    Ok(())
}

/// Gets a certificate, and keeps the machine's name that it is for.
fn enrol(code: &str, to: Option<Address>) -> Result<(), Failure> {
    let settings = paths::read_settings()?;
    let address = to.or_else(|| settings.addresses().into_iter().next());
    let address = address.ok_or(Failure::NoServer)?;
    let enrolled = client::enrol(&address, code, Duration::from_secs(20))?;
    let path = Keyring::of_user().store(&address, &enrolled.pem)?;
    let mut own = paths::read_own()?;
    own.machine = Some(enrolled.machine.clone());
    if !settings.addresses().contains(&address) && !settings.is_locked("servers") {
        own.servers = Some(vec![address.to_string()]);
    }
    paths::write_own(&own)?;
    println!(
        "enrolled at {address} as {} for {}; the key is in {}",
        enrolled.machine,
        enrolled.kinds,
        path.display()
    );
    Ok(())
}
