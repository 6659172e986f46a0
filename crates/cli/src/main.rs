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
use cli::{Cli, Word};
use error::Failure;
use std::process::ExitCode;

/// How a word that did not fail ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    /// Refused by the box, or something was found that is not as it should be; it has been said.
    Unclean,
}

fn main() -> ExitCode {
    match run(Cli::parse().word) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Unclean) => ExitCode::from(1),
        // Whoever reads our answer has read enough: `hushbox records | head`.
        Err(failure) if failure.is_closed_output() => ExitCode::SUCCESS,
        Err(failure) => {
            failure.tell();
            ExitCode::from(failure.exit_status())
        }
    }
}

fn run(word: Word) -> Result<Outcome, Failure> {
    match word {
        Word::Send(args) => commands::send::run(&args),
        Word::Agent(args) => commands::agent::run(&args),
        Word::Console(args) => commands::console::run(&args),
        Word::Meters(args) => commands::console::meters(&args),
        Word::Selftest(args) => commands::report::selftest(&args),
        Word::VerifyReport(args) => commands::report::verify(&args),
        Word::Records(args) => commands::records::run(&args),
        Word::Show(args) => commands::show::run(&args),
        Word::Export(args) => commands::export::run(&args),
        Word::Decode(args) => commands::decode::run(&args),
        Word::Verify(args) => commands::verify::run(&args),
        Word::CheckConfig(args) => commands::check::run(&args),
        Word::Pin => commands::keys::pin(),
        Word::Keygen(args) => commands::keys::keygen(&args),
        Word::Enrol(args) => commands::enrol::run(&args),
        Word::Boards => commands::boards::run(),
        Word::Manual { folder } => manual(&folder),
    }
}

/// One page for the tool, and one for each of its words.
fn manual(folder: &std::path::Path) -> Result<Outcome, Failure> {
    let made = std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), folder));
    let path = folder.to_path_buf();
    made.map(|()| Outcome::Done).map_err(|error| Failure::Write { path, error })
}
