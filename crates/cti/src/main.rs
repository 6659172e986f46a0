//! The program `hushbox-cti`.
//!
//! Exit status 78 means that the configuration cannot be used.

use clap::Parser;
use cti::config::Config;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// `sysexits.h`: configuration error.
const EX_CONFIG: u8 = 78;

/// Tells a Hushbox about the calls of a telephone exchange
#[derive(Debug, Parser)]
#[command(name = "hushbox-cti", version, max_term_width = 100, after_help = GUIDE)]
struct Args {
    /// Configuration file; only its owner may write it, and others may not read it
    #[arg(long, default_value = "/etc/hushbox-cti/cti.toml")]
    config: PathBuf,
    /// Check the configuration, print every error, and exit
    #[arg(long)]
    check: bool,
    /// Print the lines to stdout instead of sending them to a box. They hold telephone numbers
    #[arg(long)]
    dry_run: bool,
}

const GUIDE: &str = r#"First steps:
  1. Write cti.toml. For Asterisk, with a user of manager.conf
     (read = call,agent and write = reporting):
       [exchange]
       kind = "asterisk"             # or "freeswitch", or "csv" for a call log (SMDR)
       address = "127.0.0.1:5038"
       user = "hushbox"
       secret = "the secret of manager.conf"
  2. hushbox-cti --config cti.toml --check      says what is wrong in it.
  3. hushbox-cti --config cti.toml --dry-run    prints what the box would be told. Make a call.
  4. Let the user of this program be the call feed: [local] cti_user in the box's config.toml.
  5. systemctl enable --now hushbox-cti

docs/cti.md explains every key, and which event of the exchange becomes which line."#;

fn main() -> ExitCode {
    let args = Args::parse();
    if client::start_stderr_log(log::LevelFilter::Info).is_err() {
        return ExitCode::FAILURE;
    }
    let exit = run(&args);
    client::flush_stderr_log();
    exit
}

fn run(args: &Args) -> ExitCode {
    let config = match Config::read(&args.config) {
        Ok(config) => config,
        Err(error) => {
            client::print_to_stderr(format!("hushbox-cti: {error}"));
            return ExitCode::from(EX_CONFIG);
        }
    };
    if args.check {
        let line = format!("ok: {}\n", args.config.display());
        return match std::io::stdout().write_all(line.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    let done = if args.dry_run { cti::shell::run_dry(config) } else { cti::shell::run(config) };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            client::print_to_stderr(format!("hushbox-cti: {error}"));
            ExitCode::FAILURE
        }
    }
}
