//! `hushbox-screen`: captures a workstation's screen while the box says so, and never otherwise.
//!
//! One thread looks at the screen and talks to the box (`station`), another codes (`coder`). What
//! is seen waits in memory for the lead of a blackout, uncoded, so that a blackout can still take
//! it out picture by picture (`film`). No file is ever made, nothing seen is logged, and the box
//! decides everything: when, how many pictures, how large.

mod capture;
mod clock;
mod encoder_thread;
mod picture;
mod segment_builder;
mod session;
mod shutdown;
mod vpx;
mod webm;
mod x11;

use clap::Parser;
use client::Address;
use std::process::ExitCode;

/// Captures this workstation's screen for Hushbox.
#[derive(Debug, Parser)]
#[command(name = "hushbox-screen", version)]
pub struct Args {
    /// A server; give several to have them tried in order
    #[arg(long = "to", required = true)]
    pub servers: Vec<Address>,
    /// Whose screen it is [default: who is logged in]
    #[arg(long)]
    pub user: Option<String>,
    /// Of the user
    #[arg(long)]
    pub domain: Option<String>,
    /// Name of this workstation [default: its host name]
    #[arg(long)]
    pub machine: Option<String>,
    /// The X display [default: $DISPLAY]
    #[arg(long)]
    pub display: Option<String>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let logger = simple_logger::SimpleLogger::new().with_level(log::LevelFilter::Info);
    if let Err(error) = logger.init() {
        eprintln!("hushbox-screen: no log: {error}");
    }
    if let Err(error) = harden() {
        log::warn!("what is seen might reach a core dump or a swap device: {error}");
    }
    match session::run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hushbox-screen: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What is seen never leaves memory: no core dumps, no debugger, and no swap where that is allowed.
fn harden() -> Result<(), nix::Error> {
    nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_CORE, 0, 0)?;
    nix::sys::prctl::set_dumpable(false)?;
    let (soft, _) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_MEMLOCK)?;
    if soft != nix::sys::resource::RLIM_INFINITY {
        // Where there is a limit, locking what is to come would make it fail.
        return Err(nix::Error::EPERM);
    }
    nix::sys::mman::mlockall(nix::sys::mman::MlockAllFlags::all())
}
