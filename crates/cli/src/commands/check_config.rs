//! `hushbox check-config FILE`: checks a configuration and prints all errors in the format of
//! compilers, on stdout, so that editors can parse them.

use crate::Outcome;
use crate::cli::CheckConfigArgs;
use crate::config_file::check_file;
use crate::error::{Error, format_diagnostic};
use hushbox::config::Config;
use std::io::Write;

pub fn run(args: &CheckConfigArgs) -> Result<Outcome, Error> {
    let mut out = std::io::stdout().lock();
    let mut print = |line: String| writeln!(out, "{line}").map_err(Error::Stdout);
    match check_file(&args.file)? {
        Ok((config, warnings)) => {
            for warning in &warnings {
                print(format_diagnostic(&args.file, warning).replacen(": ", ": warning: ", 1))?;
            }
            print(format_summary(&config, warnings.len()))?;
            Ok(Outcome::Done)
        }
        Err(errors) => {
            for error in &errors {
                print(format_diagnostic(&args.file, error).replacen(": ", ": error: ", 1))?;
            }
            Ok(Outcome::Unclean)
        }
    }
}

/// Formats the summary: `ok: 2 channels, 1 agent, …`.
fn format_summary(config: &Config, warnings: usize) -> String {
    let channels: usize = config.boards.iter().map(|board| board.channels.len()).sum();
    let counts = [
        (channels, "channel"),
        (config.agents.len(), "agent"),
        (config.schedules.len(), "schedule"),
        (config.listen.len(), "listener"),
        (config.technicians.len(), "technician"),
        (warnings, "warning"),
    ];
    let counts = counts.map(|(count, name)| {
        let plural = if count == 1 { "" } else { "s" };
        format!("{count} {name}{plural}")
    });
    format!("ok: {}", counts.join(", "))
}
