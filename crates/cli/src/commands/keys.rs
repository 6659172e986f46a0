//! `hushbox pin` and `hushbox keygen`: secrets for the configuration.
//!
//! Secrets are read without echo or from a pipe, never from an argument, and wiped after use.

use crate::Outcome;
use crate::cli::KeygenArgs;
use crate::error::Error;
use crate::output::escape::print_message;
use crate::terminal::stdin::StdinReader;
use argon2::Argon2;
use argon2::password_hash::PasswordHasher;
use hushbox::store::seal::generate_identity;
use std::fs::OpenOptions;
use std::io::{ErrorKind, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;

/// Bounds of a PIN: shorter ones are guessable, longer ones exceed `protocol::arg::WORD_BYTES`.
const PIN_CHARS_MIN: usize = 4;
const PIN_BYTES_MAX: usize = protocol::arg::WORD_BYTES;

/// Runs `hushbox pin`.
pub fn run_pin() -> Result<Outcome, Error> {
    let mut input = StdinReader::default();
    let pin = if std::io::stdin().is_terminal() {
        let first = input.read_secret("PIN: ")?;
        check_pin(&first)?;
        let second = input.read_secret("Repeat PIN: ")?;
        if first != second {
            return Err(Error::PinsDiffer);
        }
        first
    } else {
        input.read_secret("")?
    };
    check_pin(&pin)?;
    let hash = Argon2::default().hash_password(pin.as_bytes());
    let hash = hash.map_err(|why| Error::PinHash { why: why.to_string() })?;
    writeln!(std::io::stdout(), "{hash}").map_err(Error::Stdout)?;
    Ok(Outcome::Done)
}

fn check_pin(pin: &str) -> Result<(), Error> {
    let control = pin.chars().any(char::is_control);
    if pin.chars().count() >= PIN_CHARS_MIN && pin.len() <= PIN_BYTES_MAX && !control {
        return Ok(());
    }
    Err(Error::PinLength { min: PIN_CHARS_MIN, max: PIN_BYTES_MAX })
}

/// Runs `hushbox keygen`.
pub fn run_keygen(args: &KeygenArgs) -> Result<Outcome, Error> {
    let (identity, public) = generate_identity();
    let Some(path) = &args.out else {
        std::io::stdout().write_all(identity.as_bytes()).map_err(Error::Stdout)?;
        print_message(&format!("public key: {public}\n"));
        return Ok(Outcome::Done);
    };
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::AlreadyExists => Error::Exists { path: path.clone() },
        _ => Error::Write { path: path.clone(), error },
    };
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.map_err(failed)?;
    file.write_all(identity.as_bytes()).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    writeln!(std::io::stdout(), "{public}").map_err(Error::Stdout)?;
    print_message(&format!(
        "The private key is in {}. Add the public key to the configuration:\n  [store]\n  \
         recipients = [\"{public}\"]\n",
        path.display()
    ));
    Ok(Outcome::Done)
}
