//! `hushbox-portal user add|passwd|email|disable|enable|list`: account management from a shell.
//!
//! Passwords are read from stdin, one line, never from arguments. On a terminal the command asks
//! twice and does not echo. The commands work while the portal runs. The recorder's configuration
//! holds the user's permissions under the same username.
//!
//! Root acts as the owner of the data folder: links that the portal's user put there then lead no
//! further than that user could go.

use crate::accounts::audit_log;
use crate::accounts::password;
use crate::accounts::password::{HashMemory, PasswordError};
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
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use std::io::{BufRead, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// Longest line accepted from stdin, in bytes.
const LINE_BYTES_MAX: usize = 4096;

/// What to do with an account.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Create an account; its password is typed twice, or is one line of stdin
    Add {
        /// Username in the box's configuration
        name: String,
        /// Address for links with which the user sets a new password
        #[arg(long, default_value = "")]
        email: String,
    },
    /// Set the password of an account, unlock it and log it out everywhere
    Passwd {
        /// Username of the account
        name: String,
    },
    /// Change the e-mail address of an account, or remove it
    Email {
        /// Username of the account
        name: String,
        /// The new address; without one the account gets no links
        #[arg(default_value = "")]
        email: String,
    },
    /// Disable an account and log it out everywhere
    Disable {
        /// Username of the account
        name: String,
    },
    /// Enable a disabled account
    Enable {
        /// Username of the account
        name: String,
    },
    /// List the accounts with their state and e-mail address
    List,
}

#[derive(Debug, thiserror::Error)]
pub enum UserError {
    #[error("{0}")]
    Db(#[from] DbError),
    #[error("{0}")]
    Password(#[from] PasswordError),
    #[error("the two passwords are not the same; nothing was changed")]
    PasswordMismatch,
    #[error("the password is not UTF-8; nothing was changed")]
    NotUtf8,
    #[error("interrupted; nothing was changed")]
    Interrupted,
    #[error("cannot act as the owner of {path}: {error}")]
    DropPrivileges { path: PathBuf, error: Errno },
    #[error("stdin or stdout: {0}")]
    Io(#[from] std::io::Error),
    #[error("there is an account {0} already")]
    AccountExists(String),
    #[error("there is no account {0}")]
    UnknownAccount(String),
    #[error(
        "{0:?} is not a username of the box: it has 1 to 32 bytes, all of them visible characters"
    )]
    InvalidName(String),
    #[error("{0:?} is no e-mail address")]
    InvalidEmail(String),
}

/// Turns terminal echo off until dropped. Terminating signals are blocked meanwhile, so that the
/// terminal is not left without echo.
struct EchoGuard {
    saved_modes: Termios,
    blocked_signals: SigSet,
    signals: SignalFd,
}

impl EchoGuard {
    fn disable_echo() -> Result<EchoGuard, std::io::Error> {
        let stdin = std::io::stdin();
        let before = tcgetattr(&stdin)?;
        let mask = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]);
        let signals = SignalFd::new(&mask)?;
        mask.thread_block()?;
        let hidden = EchoGuard { saved_modes: before.clone(), blocked_signals: mask, signals };
        let mut changed = before;
        changed.local_flags.remove(LocalFlags::ECHO);
        changed.local_flags.insert(LocalFlags::ECHONL);
        tcsetattr(&stdin, SetArg::TCSAFLUSH, &changed)?;
        Ok(hidden)
    }

    /// Prints a prompt and reads a line, without its line end.
    fn read_stdin_line(&self, question: &str) -> Result<Zeroizing<String>, UserError> {
        // A closed stderr shows no prompt, but the line can still be read.
        drop(std::io::stderr().write_all(question.as_bytes()));
        let mut line = Zeroizing::new(Vec::with_capacity(2 * LINE_BYTES_MAX));
        while !line.ends_with(b"\n") && line.len() < LINE_BYTES_MAX {
            self.wait_for_input()?;
            let mut bytes = Zeroizing::new([0; LINE_BYTES_MAX]);
            match nix::unistd::read(std::io::stdin(), &mut *bytes) {
                Ok(0) => break,
                Ok(count) => line.extend_from_slice(&bytes[..count]),
                Err(Errno::EINTR | Errno::EAGAIN) => {}
                Err(error) => return Err(UserError::Io(error.into())),
            }
        }
        let text = str::from_utf8(&line).map_err(|_| UserError::NotUtf8)?;
        Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
    }

    fn wait_for_input(&self) -> Result<(), UserError> {
        let stdin = std::io::stdin();
        let wanted = [stdin.as_fd(), self.signals.as_fd()];
        let mut wanted = wanted.map(|from| PollFd::new(from, PollFlags::POLLIN));
        match poll(&mut wanted, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(UserError::Io(error.into())),
        }
        let asked = wanted[1].revents().is_some_and(|events| !events.is_empty());
        if asked { Err(UserError::Interrupted) } else { Ok(()) }
    }
}

impl Drop for EchoGuard {
    fn drop(&mut self) {
        // A failure cannot be reported here. A blocked signal is delivered now.
        let _ = tcsetattr(std::io::stdin(), SetArg::TCSANOW, &self.saved_modes);
        let _ = self.blocked_signals.thread_unblock();
    }
}

/// Reads a line from stdin, without its line end.
fn line() -> Result<Zeroizing<String>, UserError> {
    let mut line = Zeroizing::new(String::new());
    std::io::stdin().lock().read_line(&mut line)?;
    let length = line.trim_end_matches(['\r', '\n']).len();
    line.truncate(length);
    Ok(line)
}

fn read_password_hash(name: &str) -> Result<String, UserError> {
    if !std::io::stdin().is_terminal() {
        let password = line()?;
        password::check_policy(&password, name)?;
        return Ok(HashMemory::default().hash_password(&password)?);
    }
    let hidden = EchoGuard::disable_echo()?;
    let password = hidden.read_stdin_line(&format!("Password of {name}: "))?;
    password::check_policy(&password, name)?;
    let again = hidden.read_stdin_line("The same password again: ")?;
    if password == again {
        Ok(HashMemory::default().hash_password(&password)?)
    } else {
        Err(UserError::PasswordMismatch)
    }
}

/// As root, becomes the owner of the data folder for good.
fn become_data_owner(config: &Config) -> Result<(), UserError> {
    let folder = &config.portal.data;
    // A folder that does not exist yet is created as this user.
    let Ok(metadata) = std::fs::metadata(folder) else { return Ok(()) };
    if !nix::unistd::geteuid().is_root() || metadata.uid() == 0 {
        return Ok(());
    }
    let (user, group) = (Uid::from_raw(metadata.uid()), Gid::from_raw(metadata.gid()));
    let failed = |error| UserError::DropPrivileges { path: folder.clone(), error };
    setgroups(&[]).map_err(failed)?;
    setresgid(group, group, group).map_err(failed)?;
    setresuid(user, user, user).map_err(failed)
}

pub fn run_user_command(config: &Config, word: &UserCommand) -> Result<(), UserError> {
    become_data_owner(config)?;
    let db = crate::serve::open_database(config)?;
    match word {
        UserCommand::List => return print_users(&db),
        UserCommand::Add { name, email } => add_user(&db, name, email)?,
        UserCommand::Passwd { name } => {
            // Check the account before asking for a password twice.
            require_account(
                name,
                db.call_blocking(|db| accounts::find_account(db, name))?.is_some(),
            )?;
            let hash = read_password_hash(name)?;
            require_account(name, db.transact_blocking(|db| accounts::set_hash(db, name, &hash))?)?;
        }
        UserCommand::Email { name, email } => {
            if !accounts::is_valid_email(email) {
                return Err(UserError::InvalidEmail(email.clone()));
            }
            require_account(name, db.call_blocking(|db| accounts::set_email(db, name, email))?)?;
        }
        UserCommand::Disable { name } => {
            require_account(name, db.call_blocking(|db| accounts::set_disabled(db, name, true))?)?;
        }
        UserCommand::Enable { name } => {
            require_account(name, db.call_blocking(|db| accounts::set_disabled(db, name, false))?)?;
        }
    }
    let (what, name) = match word {
        UserCommand::Add { name, .. } => ("account made", name),
        UserCommand::Passwd { name } => ("password set", name),
        UserCommand::Email { name, .. } => ("e-mail changed", name),
        UserCommand::Disable { name } => ("account disabled", name),
        UserCommand::Enable { name } => ("account enabled", name),
        UserCommand::List => return Ok(()),
    };
    let (user, what, address) = (name.clone(), what.to_owned(), "shell".to_owned());
    let event = audit_log::AuditEvent { at: clock::unix_seconds(), user, action: what, address };
    Ok(db.call_blocking(|db| audit_log::append_event(db, &event))?)
}

fn require_account(name: &str, found: bool) -> Result<(), UserError> {
    if found { Ok(()) } else { Err(UserError::UnknownAccount(name.to_owned())) }
}

fn add_user(db: &Db, name: &str, email: &str) -> Result<(), UserError> {
    if !accounts::is_valid_username(name) {
        return Err(UserError::InvalidName(name.to_owned()));
    }
    if !accounts::is_valid_email(email) {
        return Err(UserError::InvalidEmail(email.to_owned()));
    }
    if db.call_blocking(|db| accounts::find_account(db, name))?.is_some() {
        return Err(UserError::AccountExists(name.to_owned()));
    }
    let (hash, made) = (read_password_hash(name)?, clock::unix_seconds());
    let (name, email) = (name.to_owned(), email.to_owned());
    let account = Account { name: name.clone(), hash, email, is_disabled: false, created_at: made };
    if db.call_blocking(|db| accounts::add_account(db, &account))? {
        Ok(())
    } else {
        Err(UserError::AccountExists(name))
    }
}

fn print_users(db: &Db) -> Result<(), UserError> {
    let mut out = std::io::stdout().lock();
    for account in db.call_blocking(accounts::list_accounts)? {
        let state = if account.is_disabled { "disabled" } else { "enabled" };
        let email = if account.email.is_empty() { "-" } else { &account.email };
        writeln!(out, "{}\t{state}\t{email}", account.name)?;
    }
    Ok(())
}
