//! `hushboxd`: the recorder daemon.
//!
//! Reads its configuration, runs until it is stopped, and exits with a code from sysexits.h: 0
//! orderly stop, 71 system error, 74 disk, 78 configuration. A missing device or address is an
//! alarm. stdout carries one line, `ready`; everything else goes to stderr. Neither can stop the
//! daemon or delay it: a closed or full pipe costs lines only (see `client::stderr_log`).
//!
//! A violated invariant aborts: the service manager restarts the daemon, and recovery closes what
//! was open. In a worker thread it only fails that thread's request.

use clap::{CommandFactory, Parser};
use hushbox::shell::event_loop;
use hushbox::shell::event_loop::ExitReason;
use nix::sys::stat::{Mode, umask};
use std::io::Write;
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

/// `sysexits.h`: the system refused a thread.
const NO_THREAD: u8 = 71;

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
    if client::start_stderr_log(log::LevelFilter::Info).is_err() {
        return ExitCode::from(NO_THREAD);
    }
    std::panic::set_hook(Box::new(report_panic));
    let exit = match event_loop::run(&config) {
        Ok(ExitReason::Stopped) => ExitCode::SUCCESS,
        Ok(ExitReason::Reboot(code)) => ExitCode::from(code),
        Err(error) => {
            client::print_to_stderr(format!("hushboxd: {error}"));
            ExitCode::from(error.exit_code())
        }
    };
    client::flush_stderr_log();
    exit
}

/// Logs a panic, and aborts unless only a worker thread fails.
fn report_panic(info: &std::panic::PanicHookInfo<'_>) {
    if client::is_log_thread() {
        return;
    }
    let trace = std::backtrace::Backtrace::capture();
    let name = std::thread::current().name().unwrap_or("?").to_string();
    match trace.status() {
        std::backtrace::BacktraceStatus::Captured => log::error!("thread {name} {info}\n{trace}"),
        _ => log::error!("thread {name} {info}"),
    }
    if !hushbox::shell::workers::system::is_worker_thread() {
        client::flush_stderr_log();
        std::process::abort();
    }
}

fn write_manual(folder: &std::path::Path) -> ExitCode {
    let page = clap_mangen::Man::new(Arguments::command()).section("8");
    let made = std::fs::create_dir_all(folder).and_then(|()| page.generate_to(folder));
    match made {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            let text = format!("hushboxd: {}: {error}\n", folder.display());
            // With a closed stderr, the exit code still tells.
            drop(std::io::stderr().write_all(text.as_bytes()));
            ExitCode::from(73)
        }
    }
}
