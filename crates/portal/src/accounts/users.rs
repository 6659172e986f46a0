//! `hushbox-portal user add|passwd|email|disable|enable|list`: accounts, from a shell on the box.
//!
//! A password comes from stdin, one line, never as an argument; at a terminal it is asked for twice
//! and not shown. Works beside the running portal.
//! What the person may do stands in the box's configuration, under the same username.

use crate::accounts::audit_log;
use crate::accounts::password;
use crate::accounts::password::PasswordError;
use crate::accounts::{self, Account};
use crate::clock;
use crate::config::Config;
use crate::db::{Db, DbError};
use clap::Subcommand;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::SignalFd;
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use std::io::{BufRead, IsTerminal, Write};
use std::os::fd::AsFd;
use zeroize::Zeroizing;

/// A line at a terminal is at most so long.
const LINE_BYTES: usize = 4096;

/// What to do with an account.
#[derive(Debug, Subcommand)]
pub enum UserWord {
    /// Makes an account; its password is asked for, or is the first line of stdin
    Add {
        /// The box's username
        name: String,
        /// Where a link for a new password is sent
        #[arg(long, default_value = "")]
        email: String,
    },
    /// Sets a password, as `add` does; every session of the account ends
    Passwd { name: String },
    /// Changes where links are sent; without an address, to nowhere
    Email {
        name: String,
        #[arg(default_value = "")]
        email: String,
    },
    /// Lets an account in no more; its sessions end
    Disable { name: String },
    /// Lets it in again
    Enable { name: String },
    /// Lists accounts
    List,
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    #[error("{0}")]
    Db(#[from] DbError),
    #[error("{0}")]
    Password(#[from] PasswordError),
    #[error("the two are not the same; nothing was changed")]
    Differ,
    #[error("what was typed is not UTF-8; nothing was changed")]
    NotText,
    #[error("asked to end; nothing was changed")]
    Asked,
    #[error("stdin or stdout: {0}")]
    Io(#[from] std::io::Error),
    #[error("there is an account {0} already")]
    Exists(String),
    #[error("there is no account {0}")]
    Unknown(String),
    #[error("{0:?} is no username: 1 to 32 bytes without control characters")]
    Name(String),
    #[error("{0:?} is no e-mail address")]
    Email(String),
}

/// Whether it can be a username of the box.
#[must_use]
pub fn is_name(name: &str) -> bool {
    (1..=32).contains(&name.len()) && name != "-" && !name.chars().any(char::is_control)
}

/// Whether letters can be sent there.
#[must_use]
pub fn is_email(email: &str) -> bool {
    email.is_empty() || email.len() <= 254 && email.parse::<lettre::Address>().is_ok()
}

/// A terminal that shows nothing of what is typed, until this goes. Signals that would end us wait
/// meanwhile, so that nobody is left with a terminal that does not echo.
struct Hidden {
    before: Termios,
    mask: SigSet,
    signals: SignalFd,
}

impl Hidden {
    fn begin() -> Result<Hidden, std::io::Error> {
        let stdin = std::io::stdin();
        let before = tcgetattr(&stdin)?;
        let mask = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]);
        let signals = SignalFd::new(&mask)?;
        mask.thread_block()?;
        let hidden = Hidden { before: before.clone(), mask, signals };
        let mut changed = before;
        changed.local_flags.remove(LocalFlags::ECHO);
        changed.local_flags.insert(LocalFlags::ECHONL);
        tcsetattr(&stdin, SetArg::TCSAFLUSH, &changed)?;
        Ok(hidden)
    }

    /// Asks, and reads a line without its end.
    fn line(&self, question: &str) -> Result<Zeroizing<String>, UserError> {
        eprint!("{question}");
        let mut line = Zeroizing::new(Vec::with_capacity(2 * LINE_BYTES));
        while !line.ends_with(b"\n") && line.len() < LINE_BYTES {
            self.wait()?;
            let mut bytes = Zeroizing::new([0; LINE_BYTES]);
            match nix::unistd::read(std::io::stdin(), &mut *bytes) {
                Ok(0) => break,
                Ok(count) => line.extend_from_slice(&bytes[..count]),
                Err(Errno::EINTR | Errno::EAGAIN) => {}
                Err(error) => return Err(UserError::Io(error.into())),
            }
        }
        let text = str::from_utf8(&line).map_err(|_| UserError::NotText)?;
        Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
    }

    /// Until something was typed.
    fn wait(&self) -> Result<(), UserError> {
        let stdin = std::io::stdin();
        let wanted = [stdin.as_fd(), self.signals.as_fd()];
        let mut wanted = wanted.map(|from| PollFd::new(from, PollFlags::POLLIN));
        match poll(&mut wanted, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(UserError::Io(error.into())),
        }
        let asked = wanted[1].revents().is_some_and(|events| !events.is_empty());
        if asked { Err(UserError::Asked) } else { Ok(()) }
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // There is nobody left to tell if it fails. A signal that waits gets us now.
        let _ = tcsetattr(std::io::stdin(), SetArg::TCSANOW, &self.before);
        let _ = self.mask.thread_unblock();
    }
}

/// A line of stdin without its end.
fn line() -> Result<Zeroizing<String>, UserError> {
    let mut line = Zeroizing::new(String::new());
    std::io::stdin().lock().read_line(&mut line)?;
    let length = line.trim_end_matches(['\r', '\n']).len();
    line.truncate(length);
    Ok(line)
}

fn secret(name: &str) -> Result<String, UserError> {
    if !std::io::stdin().is_terminal() {
        let password = line()?;
        password::judge(&password, name)?;
        return Ok(password::hash(&password)?);
    }
    let hidden = Hidden::begin()?;
    let password = hidden.line(&format!("Password of {name}: "))?;
    password::judge(&password, name)?;
    let again = hidden.line("The same again: ")?;
    if password == again { Ok(password::hash(&password)?) } else { Err(UserError::Differ) }
}

/// Does it.
pub fn run(config: &Config, word: &UserWord) -> Result<(), UserError> {
    let db = crate::serve::open_data(config)?;
    match word {
        UserWord::List => return list(&db),
        UserWord::Add { name, email } => add(&db, name, email)?,
        UserWord::Passwd { name } => {
            // Nobody types a password twice for nothing.
            known(name, db.ask(|db| accounts::find(db, name))?.is_some())?;
            let hash = secret(name)?;
            known(name, db.ask(|db| accounts::set_hash(db, name, &hash))?)?;
        }
        UserWord::Email { name, email } => {
            if !is_email(email) {
                return Err(UserError::Email(email.clone()));
            }
            known(name, db.ask(|db| accounts::set_email(db, name, email))?)?;
        }
        UserWord::Disable { name } => {
            known(name, db.ask(|db| accounts::set_disabled(db, name, true))?)?;
        }
        UserWord::Enable { name } => {
            known(name, db.ask(|db| accounts::set_disabled(db, name, false))?)?;
        }
    }
    let (what, name) = match word {
        UserWord::Add { name, .. } => ("account made", name),
        UserWord::Passwd { name } => ("password set", name),
        UserWord::Email { name, .. } => ("e-mail changed", name),
        UserWord::Disable { name } => ("account disabled", name),
        UserWord::Enable { name } => ("account enabled", name),
        UserWord::List => return Ok(()),
    };
    let (user, what, address) = (name.clone(), what.to_owned(), "shell".to_owned());
    let event = audit_log::Event { at: clock::seconds(), user, what, address };
    Ok(db.ask(|db| audit_log::note(db, &event))?)
}

fn known(name: &str, found: bool) -> Result<(), UserError> {
    if found { Ok(()) } else { Err(UserError::Unknown(name.to_owned())) }
}

fn add(db: &Db, name: &str, email: &str) -> Result<(), UserError> {
    if !is_name(name) {
        return Err(UserError::Name(name.to_owned()));
    }
    if !is_email(email) {
        return Err(UserError::Email(email.to_owned()));
    }
    if db.ask(|db| accounts::find(db, name))?.is_some() {
        return Err(UserError::Exists(name.to_owned()));
    }
    let (hash, made) = (secret(name)?, clock::seconds());
    let (name, email) = (name.to_owned(), email.to_owned());
    let account = Account { name: name.clone(), hash, email, disabled: false, made };
    if db.ask(|db| accounts::add(db, &account))? { Ok(()) } else { Err(UserError::Exists(name)) }
}

fn list(db: &Db) -> Result<(), UserError> {
    let mut out = std::io::stdout().lock();
    for account in db.ask(accounts::list)? {
        let state = if account.disabled { "disabled" } else { "enabled" };
        let email = if account.email.is_empty() { "-" } else { &account.email };
        writeln!(out, "{}\t{state}\t{email}", account.name)?;
    }
    Ok(())
}
