//! `hushbox enrol`: obtains this workstation's certificate with a technician's code.
//!
//! An existing certificate for the recorder is replaced only after the new one has arrived.

use crate::Outcome;
use crate::cli::EnrolArgs;
use crate::error::Error;
use crate::output::escape::print_message;
use client::{EnrolError, Keyring};
use std::io::Write;
use std::time::Duration;

/// Timeout for connecting and for the greeting.
const TIMEOUT: Duration = Duration::from_secs(10);

pub fn run(args: &EnrolArgs) -> Result<Outcome, Error> {
    let keyring = Keyring::for_current_user();
    // Checked first, because the recorder accepts the code only once.
    keyring.key_file(&args.server).map_err(Error::Keyring)?;
    let enrolled = match client::enrol(&args.server, &args.code, TIMEOUT) {
        Ok(enrolled) => enrolled,
        Err(EnrolError::Refused(refused)) => {
            print_message(&format!("hushbox: {}: {}\n", refused.word, refused.text));
            return Ok(Outcome::Unclean);
        }
        Err(error) => return Err(Error::Enrol { address: args.server.to_string(), error }),
    };
    let path = keyring.store(&args.server, &enrolled.pem).map_err(Error::Keyring)?;
    let (machine, kinds) = (&enrolled.machine, &enrolled.kinds);
    print_message(&format!("hushbox: key and certificate are in {}\n", path.display()));
    let mut out = std::io::stdout().lock();
    writeln!(out, "enrolled machine={machine} kinds={kinds} box={}", args.server)
        .map_err(Error::Stdout)?;
    Ok(Outcome::Done)
}
