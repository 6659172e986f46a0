//! `hushboxd`: the recorder daemon.
//!
//! Reads its configuration, runs until it is stopped, and exits with a code from sysexits.h: 0
//! orderly stop, 69 a device or address is missing, 71 system error, 74 disk, 78 configuration.
//! stdout carries one line, `ready`; everything else goes to stderr. A violated invariant aborts:
//! the service manager restarts the daemon, and recovery closes what was open. In a worker thread
//! it only fails that thread's request.

use clap::{CommandFactory, Parser};
use hushbox::shell::event_loop;
use hushbox::shell::event_loop::ExitReason;
use nix::sys::stat::{Mode, umask};
use std::path::PathBuf;
use std::process::ExitCode;

/// The Hushbox daemon: records calls from voice boards and serves the line protocol.
///
/// Prints one line on stdout when it is ready; logs to stderr. SIGTERM stops it, SIGHUP reloads the
/// configuration.
#[derive(Parser)]
#[command(name = "hushboxd", version, after_help = "Try it: hushboxd --config config.toml")]
struct Arguments {
    /// Configuration file; default: ./config.toml, then /etc/hushbox/config.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Write the manual page to a directory and exit
    #[arg(long, value_name = "FOLDER", hide = true)]
    manual: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Files of the box are closed to other users, whatever started it; a stricter mask stays.
    let closed = Mode::S_IWGRP | Mode::S_IRWXO;
    umask(closed | umask(closed));
    if let Some(folder) = arguments.manual {
        return write_manual(&folder);
    }
    let config = arguments.config.unwrap_or_else(|| {
        let here = PathBuf::from("config.toml");
        if here.exists() { here } else { PathBuf::from("/etc/hushbox/config.toml") }
    });
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        print(info);
        if !hushbox::shell::workers::worker::is_worker_thread() {
            std::process::abort();
        }
    }));
    match event_loop::run(&config) {
        Ok(ExitReason::Stopped) => ExitCode::SUCCESS,
        Ok(ExitReason::Reboot(code)) => ExitCode::from(code),
        Err(error) => {
            eprintln!("hushboxd: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn write_manual(folder: &std::path::Path) -> ExitCode {
    let page = clap_mangen::Man::new(Arguments::command()).section("8");
    let made = std::fs::create_dir_all(folder).and_then(|()| page.generate_to(folder));
    match made {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hushboxd: {}: {error}", folder.display());
            ExitCode::from(73)
        }
    }
}
