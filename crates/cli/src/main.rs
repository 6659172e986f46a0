//! `hushbox`: the command-line tool for a recorder and its store.
//!
//! Each subcommand has its module. Results go to stdout, messages for people to stderr. Exit
//! status: 0 success; 1 request rejected or store not clean; 2 wrong usage; otherwise as in
//! `sysexits.h` (see `error`). The tool never changes a store; it writes only exports and keys.

// `println!` and `eprintln!` panic when the reader of the output has gone.
#![deny(clippy::print_stderr, clippy::print_stdout)]

mod cli;
mod clock;
mod commands;
mod config_file;
mod error;
mod output;
mod server;
mod site_time;
mod store;
mod terminal;

use clap::{CommandFactory, Parser};
use cli::{Cli, Command};
use error::Error;
use std::process::ExitCode;

/// The result of a command that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    /// The recorder rejected a request, or a check found a problem. The command has printed it.
    Unclean,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Unclean) => ExitCode::from(1),
        // The reader of stdout has closed it, as in `hushbox records | head`.
        Err(failure) if failure.is_broken_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print_to_stderr();
            ExitCode::from(failure.exit_status())
        }
    }
}

fn run(command: Command) -> Result<Outcome, Error> {
    match command {
        Command::Send(args) => commands::send::run(&args),
        Command::Agent(args) => commands::agent::run(&args),
        Command::Console(args) => commands::console::run(&args),
        Command::Meters(args) => commands::console::run_meters(&args),
        Command::Selftest(args) => commands::selftest::run(&args),
        Command::VerifyReport(args) => commands::report::run_verify(&args),
        Command::Records(args) => commands::records::run(&args),
        Command::Show(args) => commands::show::run(&args),
        Command::Export(args) => commands::export::run(&args),
        Command::Decode(args) => commands::decode::run(&args),
        Command::Redact(args) => commands::redact::run(&args),
        Command::Verify(args) => commands::verify::run(&args),
        Command::CheckConfig(args) => commands::check_config::run(&args),
        Command::Pin => commands::keys::run_pin(),
        Command::Keygen(args) => commands::keys::run_keygen(&args),
        Command::Enrol(args) => commands::enrol::run(&args),
        Command::Boards => commands::boards::run(),
        Command::Manual { folder } => write_manuals(&folder),
    }
}

/// Writes the manual page of the tool and one of each subcommand.
fn write_manuals(folder: &std::path::Path) -> Result<Outcome, Error> {
    let result = std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), folder));
    let path = folder.to_path_buf();
    result.map(|()| Outcome::Done).map_err(|error| Error::Write { path, error })
}
