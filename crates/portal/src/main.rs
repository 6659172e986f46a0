//! The `hushbox-portal` program.
//!
//! Without a subcommand it serves until SIGTERM; `user …` manages accounts. It prints one line to
//! stdout when it is ready and logs to stderr. Exit status 78 means that the configuration cannot
//! be used.

use clap::{Parser, Subcommand};
use nix::sys::stat::{Mode, umask};
use portal::accounts::user_command::{self, UserCommand};
use portal::config::Config;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// The web portal of Hushbox
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    /// Configuration file [default: $XDG_CONFIG_HOME/hushbox/portal.toml, or else
    /// /etc/hushbox-portal/portal.toml]
    #[arg(long, global = true)]
    config: Option<PathBuf>,
    /// Check the configuration, print every error, and exit
    #[arg(long)]
    check_config: bool,
    #[command(subcommand)]
    command: Option<CliCommand>,
}

#[derive(Debug, Subcommand)]
enum CliCommand {
    /// Manage the accounts of the portal
    #[command(subcommand)]
    User(UserCommand),
}

/// `sysexits.h`: configuration error.
const EX_CONFIG: u8 = 78;

/// Where the system's configuration is. The last one is the place of earlier versions, in a folder
/// that the recorder may write.
const SYSTEM_CONFIGS: [&str; 2] = ["/etc/hushbox-portal/portal.toml", "/etc/hushbox/portal.toml"];

/// Path of the user's configuration, or else of the system's.
fn default_config_path() -> PathBuf {
    let base = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
    let base = base.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".config")));
    let own = base.map(|base| base.join("hushbox/portal.toml"));
    let mut known = own.into_iter().chain(SYSTEM_CONFIGS.map(PathBuf::from));
    known.find(|path| path.exists()).unwrap_or_else(|| SYSTEM_CONFIGS[0].into())
}

/// Reports problems of the configuration.
fn check_config(config: &Config) -> ExitCode {
    match config.check_files() {
        Ok(warnings) => {
            for warning in &warnings {
                client::print_to_stderr(format!("hushbox-portal: warning: {warning}"));
            }
            let (count, plural) = (warnings.len(), if warnings.len() == 1 { "" } else { "s" });
            let line = format!("ok: {}, {count} warning{plural}\n", config.portal.url);
            drop(std::io::stdout().write_all(line.as_bytes()));
            ExitCode::SUCCESS
        }
        Err(error) => {
            client::print_to_stderr(format!("hushbox-portal: {error}"));
            ExitCode::from(EX_CONFIG)
        }
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    // Files of the portal are for its user only, also those that SQLite creates.
    umask(Mode::S_IRWXG | Mode::S_IRWXO);
    if client::start_stderr_log(log::LevelFilter::Info).is_err() {
        return ExitCode::FAILURE;
    }
    let exit = run(cli);
    client::flush_stderr_log();
    exit
}

fn run(cli: Cli) -> ExitCode {
    let config = match Config::read_config(&cli.config.unwrap_or_else(default_config_path)) {
        Ok(config) => config,
        Err(error) => {
            client::print_to_stderr(format!("hushbox-portal: {error}"));
            return ExitCode::from(EX_CONFIG);
        }
    };
    if cli.check_config {
        return check_config(&config);
    }
    let done = match cli.command {
        Some(CliCommand::User(word)) => {
            user_command::run_user_command(&config, &word).map_err(|error| error.to_string())
        }
        None => portal::serve::run(config).map_err(|error| error.to_string()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            client::print_to_stderr(format!("hushbox-portal: {error}"));
            ExitCode::FAILURE
        }
    }
}
