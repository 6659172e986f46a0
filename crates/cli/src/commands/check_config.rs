//! `hushbox check-config FILE`: everything that is wrong with it, as compilers write it.
//!
//! Findings go to stdout, so that an editor can take them. Nothing here applies a configuration.

use crate::Outcome;
use crate::cli::CheckConfigArgs;
use crate::config_file::check_file;
use crate::error::{Error, format_diagnostic};
use hushbox::config::Config;
use std::io::Write;

pub fn run(args: &CheckConfigArgs) -> Result<Outcome, Error> {
    let mut out = std::io::stdout().lock();
    let mut say = |line: String| writeln!(out, "{line}").map_err(Error::Stdout);
    match check_file(&args.file)? {
        Ok((config, warnings)) => {
            for warning in &warnings {
                say(format_diagnostic(&args.file, warning).replacen(": ", ": warning: ", 1))?;
            }
            say(format_summary(&config, warnings.len()))?;
            Ok(Outcome::Done)
        }
        Err(errors) => {
            for error in &errors {
                say(format_diagnostic(&args.file, error).replacen(": ", ": error: ", 1))?;
            }
            Ok(Outcome::Unclean)
        }
    }
}

/// `ok: 2 channels, 1 agent, …`
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
