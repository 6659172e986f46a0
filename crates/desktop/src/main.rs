//! `hushbox-desktop`: the resident client, or a request to it.
//!
//! Exit status: 0 done; 1 failed or refused; 2 wrong usage.

use clap::Parser;
use client::{Address, Keyring};
use desktop::agent_request::{AgentRequest, AgentRequestError};
use desktop::cli::Cli;
use desktop::ipc::{Message, RequestKind};
use desktop::shell::instance::{InstanceError, InstanceLock};
use desktop::shell::ipc_client::{IpcClient, IpcClientError};
use desktop::shell::log_file;
use desktop::shell::paths::{self, PathError};
use desktop::shell::resident::{self, ResidentError};
use nix::sys::stat::{Mode, umask};
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

/// The time to wait for a certificate.
const ENROL_TIMEOUT: Duration = Duration::from_secs(20);

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error("{0}")]
    Path(#[from] PathError),
    #[error("{0}")]
    Instance(#[from] InstanceError),
    #[error("{0}")]
    Client(#[from] IpcClientError),
    #[error("{0}")]
    Resident(#[from] ResidentError),
    #[error("{0}")]
    Window(#[from] desktop::windows::WindowError),
    #[error("cannot write the log: {0}")]
    Log(std::io::Error),
    #[error("{0}")]
    Request(#[from] AgentRequestError),
    #[error("{0}")]
    Enrol(#[from] client::EnrolError),
    #[error("{0}")]
    Keyring(#[from] client::KeyringError),
    #[error("the settings name no server; give one with --to ADDRESS")]
    NoServer,
    #[error("{0}")]
    Refused(String),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    // Its log and its settings are for this user only.
    umask(Mode::S_IRWXG | Mode::S_IRWXO);
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(std::io::stderr(), "hushbox-desktop: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<(), RunError> {
    if let Some(code) = cli.enrol {
        return enrol_workstation(&code, cli.to);
    }
    if let Some(text) = cli.command {
        return send_request(RequestKind::Agent(AgentRequest::parse(&text)?));
    }
    if let Some(window) = cli.open {
        return send_request(RequestKind::Open { window });
    }
    if let Some(window) = cli.window {
        return Ok(desktop::windows::run_window(&window)?);
    }
    if cli.quit {
        return send_request(RequestKind::Quit);
    }
    if cli.status {
        return print_status(cli.json);
    }
    run_resident()
}

fn run_resident() -> Result<(), RunError> {
    let Some(lock) = InstanceLock::try_acquire()? else {
        // The client runs already: a second start shows its status.
        return send_request(RequestKind::Open { window: "status".to_owned() });
    };
    let settings = paths::read_settings()?;
    let path = paths::state_home()?.join("desktop.log");
    log_file::start_logging(&path).map_err(RunError::Log)?;
    log::info!("hushbox-desktop {} starts", env!("CARGO_PKG_VERSION"));
    Ok(resident::run_resident(&lock, settings)?)
}

fn send_request(kind: RequestKind) -> Result<(), RunError> {
    match IpcClient::connect()?.request(kind)? {
        Message::Reply { ok: true, text, .. } => {
            print_line(&text);
            Ok(())
        }
        Message::Reply { text, .. } => Err(RunError::Refused(text)),
        Message::Snapshot(_) | Message::Present => Err(IpcClientError::NoReply.into()),
    }
}

fn print_status(json: bool) -> Result<(), RunError> {
    let Message::Snapshot(snapshot) = IpcClient::connect()?.request(RequestKind::Status)? else {
        return Err(IpcClientError::NoReply.into());
    };
    if json {
        let text =
            serde_json::to_string(&snapshot).map_err(|e| RunError::Refused(e.to_string()))?;
        print_line(&text);
        return Ok(());
    }
    for (heading, text) in &snapshot.status {
        print_line(&format!("{heading}: {text}"));
    }
    Ok(())
}

/// Prints a line on stdout, whose reader may have gone (`| head`).
fn print_line(text: &str) {
    drop(writeln!(std::io::stdout(), "{text}"));
}

/// Gets a certificate, and saves the machine name that it is for.
fn enrol_workstation(code: &str, to: Option<Address>) -> Result<(), RunError> {
    let settings = paths::read_settings()?;
    let address = to.or_else(|| settings.server_addresses().into_iter().next());
    let address = address.ok_or(RunError::NoServer)?;
    let enrolled = client::enrol(&address, code, ENROL_TIMEOUT)?;
    let path = Keyring::for_current_user().store(&address, &enrolled.pem)?;
    let mut own = paths::read_own_settings()?;
    own.machine = Some(enrolled.machine.clone());
    if !settings.server_addresses().contains(&address) && !settings.is_locked("servers") {
        own.servers = Some(vec![address.to_string()]);
    }
    paths::write_own_settings(&own)?;
    print_line(&format!(
        "enrolled at {address} as {} for {}; the key is in {}",
        enrolled.machine,
        enrolled.kinds,
        path.display()
    ));
    Ok(())
}
