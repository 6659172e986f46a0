//! `hushbox`: the tool that people use on a box and on its store.
//!
//! One word, one module. Answers go to stdout, whatever is for a person's eyes only to stderr.
//! Exit status: 0 done; 1 refused, or something is not clean; 2 wrong usage; else as `sysexits.h`
//! has it (see `failure`). The tool only reads a store; what it writes are exports and keys.

mod cli;
mod clock;
mod commands;
mod config_file;
mod error;
mod output;
mod server;
mod store;
mod terminal;

use clap::{CommandFactory, Parser};
use cli::{Cli, Command};
use error::Error;
use std::process::ExitCode;

/// How a word that did not fail ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    /// Refused by the box, or something was found that is not as it should be; it has been said.
    Unclean,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Unclean) => ExitCode::from(1),
        // Whoever reads our answer has read enough: `hushbox records | head`.
        Err(failure) if failure.is_broken_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print_to_stderr();
            ExitCode::from(failure.exit_status())
        }
    }
}

fn run(word: Command) -> Result<Outcome, Error> {
    match word {
        Command::Send(args) => commands::send::run(&args),
        Command::Agent(args) => commands::agent::run(&args),
        Command::Console(args) => commands::console::run(&args),
        Command::Meters(args) => commands::console::run_meters(&args),
        Command::Selftest(args) => commands::report::run_selftest(&args),
        Command::VerifyReport(args) => commands::report::run_verify(&args),
        Command::Records(args) => commands::records::run(&args),
        Command::Show(args) => commands::show::run(&args),
        Command::Export(args) => commands::export::run(&args),
        Command::Decode(args) => commands::decode::run(&args),
        Command::Verify(args) => commands::verify::run(&args),
        Command::CheckConfig(args) => commands::check_config::run(&args),
        Command::Pin => commands::keys::run_pin(),
        Command::Keygen(args) => commands::keys::run_keygen(&args),
        Command::Enrol(args) => commands::enrol::run(&args),
        Command::Boards => commands::boards::run(),
        Command::Manual { folder } => write_manuals(&folder),
    }
}

/// One page for the tool, and one for each of its words.
fn write_manuals(folder: &std::path::Path) -> Result<Outcome, Error> {
    let made = std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), folder));
    let path = folder.to_path_buf();
    made.map(|()| Outcome::Done).map_err(|error| Error::Write { path, error })
}
