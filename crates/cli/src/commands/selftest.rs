//! `hushbox selftest`: runs a self-test, shows its page, and saves the report.

use crate::Outcome;
use crate::cli::SelftestArgs;
use crate::commands::console;
use crate::commands::report::{format_page, format_report, format_verdict};
use crate::error::Error;
use crate::output::atomic_file::AtomicFile;
use crate::output::escape::print_message;
use crate::output::reply_format;
use std::io::Write;

/// Runs `hushbox selftest`.
pub fn run(args: &SelftestArgs) -> Result<Outcome, Error> {
    let place = args.report.clone();
    if let Some(path) = place.as_ref().filter(|path| path.exists()) {
        return Err(Error::Exists { path: path.clone() });
    }
    print_message("The self-test takes about ten seconds; recordings continue.\n");
    let Some(reply) = console::request_once(&args.console, "selftest")? else {
        return Ok(Outcome::Unclean);
    };
    let ended = match &reply.outcome {
        Ok(ended) => ended,
        Err(_) => {
            print_message(&reply_format::format_outcome(&reply.outcome));
            return Ok(Outcome::Unclean);
        }
    };
    let mut out = std::io::stdout();
    let verdict = format_verdict(&reply.rows);
    out.write_all(format_page(&reply.rows, &verdict).as_bytes()).map_err(Error::Stdout)?;
    if let Some(path) = place {
        let part = AtomicFile::create(&path)?;
        let report = format_report(&reply.rows, &verdict);
        let written = part.try_clone_file()?.write_all(report.as_bytes());
        written.map_err(|error| Error::Write { path: path.clone(), error })?;
        part.commit()?;
        writeln!(out, "\nreport: {}", path.display()).map_err(Error::Stdout)?;
    }
    Ok(if ended.get("failed") == Some("0") { Outcome::Done } else { Outcome::Unclean })
}
