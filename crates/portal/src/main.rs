//! `hushbox-portal`: the web portal as a program.
//!
//! Without a word it serves until SIGTERM; with `user …` it changes accounts. It prints one line to
//! stdout when it is ready, everything logged goes to stderr. Exit status 78: the configuration
//! cannot be used. Nothing is decided here.

use clap::{Parser, Subcommand};
use portal::accounts::users::{self, UserWord};
use portal::config::Config;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The web portal of Hushbox
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    /// The configuration [default: $XDG_CONFIG_HOME/hushbox/portal.toml, else
    /// /etc/hushbox/portal.toml]
    #[arg(long, global = true)]
    config: Option<PathBuf>,
    /// Say what is wrong with the configuration, and end
    #[arg(long)]
    check_config: bool,
    #[command(subcommand)]
    word: Option<Word>,
}

#[derive(Debug, Subcommand)]
enum Word {
    /// Accounts
    #[command(subcommand)]
    User(UserWord),
}

/// `sysexits.h`: the configuration is wrong.
const BAD_CONFIG: u8 = 78;

/// The user's own file, else the machine's.
fn usual() -> PathBuf {
    let base = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
    let base = base.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".config")));
    let own = base.map(|base| base.join("hushbox/portal.toml"));
    own.filter(|own| own.exists()).unwrap_or_else(|| Path::new("/etc/hushbox/portal.toml").into())
}

/// Says whether it can work.
fn check(config: &Config) -> ExitCode {
    match config.check() {
        Ok(warnings) => {
            warnings.iter().for_each(|warning| eprintln!("hushbox-portal: warning: {warning}"));
            let (count, plural) = (warnings.len(), if warnings.len() == 1 { "" } else { "s" });
            println!("ok: {}, {count} warning{plural}", config.portal.url);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("hushbox-portal: {error}");
            ExitCode::from(BAD_CONFIG)
        }
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let level = log::LevelFilter::Info;
    let logger = simple_logger::SimpleLogger::new().with_level(level).with_utc_timestamps();
    drop(logger.init());
    let config = match Config::read(&cli.config.unwrap_or_else(usual)) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("hushbox-portal: {error}");
            return ExitCode::from(BAD_CONFIG);
        }
    };
    if cli.check_config {
        return check(&config);
    }
    let done = match cli.word {
        Some(Word::User(word)) => users::run(&config, &word).map_err(|error| error.to_string()),
        None => portal::serve::run(config).map_err(|error| error.to_string()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hushbox-portal: {error}");
            ExitCode::FAILURE
        }
    }
}
