//! `hushbox-portal user add|passwd|email|disable|enable|list`: accounts, from a shell on the box.
//!
//! A password comes from stdin, one line, never as an argument. Works beside the running portal.
//! What the person may do stands in the box's configuration, under the same username.

use crate::accounts::{self, Account};
use crate::config::Config;
use crate::db::{Db, DbError};
use crate::password::{self, PasswordError};
use crate::{clock, events};
use clap::Subcommand;
use std::io::{BufRead, Write};
use zeroize::Zeroizing;

/// What to do with an account.
#[derive(Debug, Subcommand)]
pub enum UserWord {
    /// Makes an account; its password is the first line of stdin
    Add {
        /// The box's username
        name: String,
        /// Where a link for a new password is sent
        #[arg(long, default_value = "")]
        email: String,
    },
    /// Sets a password, the first line of stdin; every session of the account ends
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

fn secret(name: &str) -> Result<String, UserError> {
    let mut line = Zeroizing::new(String::new());
    std::io::stdin().lock().read_line(&mut line)?;
    let password = line.trim_end_matches(['\r', '\n']);
    password::judge(password, name)?;
    Ok(password::hash(password)?)
}

/// Does it.
pub fn run(config: &Config, word: &UserWord) -> Result<(), UserError> {
    let db = crate::serve::open_data(config)?;
    match word {
        UserWord::List => return list(&db),
        UserWord::Add { name, email } => add(&db, name, email)?,
        UserWord::Passwd { name } => {
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
    let event = events::Event { at: clock::seconds(), user, what, address };
    Ok(db.ask(|db| events::note(db, &event))?)
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
