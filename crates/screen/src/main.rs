//! `hushbox-screen`: captures a workstation's screen while the box requests it.
//!
//! One thread captures the screen and talks to the box (`session`), another encodes
//! (`encoder_thread`). Frames wait in memory, unencoded, for the lead of a blackout, so that a
//! blackout can still remove them one by one (`segment_builder`). The client writes no file and
//! logs nothing of what it captures. The box decides when it captures, at which rate and size.

mod capture;
mod clock;
mod encoder_thread;
mod picture;
mod segment_builder;
mod session;
mod shutdown;
mod vpx;
mod x11;

use clap::Parser;
use client::Address;
use std::process::ExitCode;

/// Captures the screen of this workstation for Hushbox
#[derive(Debug, Parser)]
#[command(name = "hushbox-screen", version)]
pub struct Args {
    /// Address of a box; repeat the option to name several, tried in this order
    #[arg(long = "to", required = true)]
    pub servers: Vec<Address>,
    /// User whose screen this is [default: the logged-in user]
    #[arg(long)]
    pub user: Option<String>,
    /// Domain of the user
    #[arg(long)]
    pub domain: Option<String>,
    /// Name of this workstation [default: its host name; over TLS the certificate's]
    #[arg(long)]
    pub machine: Option<String>,
    /// X display to capture [default: $DISPLAY]
    #[arg(long)]
    pub display: Option<String>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if client::start_stderr_log(log::LevelFilter::Info).is_err() {
        return ExitCode::FAILURE;
    }
    if let Err(error) = protect_memory() {
        log::warn!("captured frames may reach a core dump or a swap device: {error}");
    }
    let exit = match session::run_client(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            client::print_to_stderr(format!("hushbox-screen: {error}"));
            ExitCode::FAILURE
        }
    };
    client::flush_stderr_log();
    exit
}

/// Keeps captured frames in memory: no core dumps, no debugger, and no swap where permitted.
fn protect_memory() -> Result<(), nix::Error> {
    nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_CORE, 0, 0)?;
    nix::sys::prctl::set_dumpable(false)?;
    let (soft, _) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_MEMLOCK)?;
    if soft != nix::sys::resource::RLIM_INFINITY {
        // With a limit, later allocations would fail once it is reached.
        return Err(nix::Error::EPERM);
    }
    nix::sys::mman::mlockall(nix::sys::mman::MlockAllFlags::all())
}
