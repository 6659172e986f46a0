//! Portal accounts: usernames, password hashes and e-mail addresses.
//!
//! An account name is a recorder username, compared without case. The recorder decides on each
//! request what a user may do. This module neither hashes nor verifies passwords.

pub mod audit_log;
pub mod hasher;
pub mod lockout;
pub mod password;
pub mod reset_links;
pub mod sessions;
pub mod throttle;
pub mod token;
pub mod user_command;

use rusqlite::{Connection, OptionalExtension, Result, params};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub name: String,
    pub hash: String,
    pub email: String,
    pub is_disabled: bool,
    pub created_at: i64,
}

/// Whether the name is a valid recorder username that looks like what it is.
#[must_use]
pub fn is_valid_username(name: &str) -> bool {
    (1..=32).contains(&name.len())
        && name != "-"
        && !name.chars().any(|c| c.is_control() || protocol::text::is_invisible(c))
}

/// Whether the text is a valid e-mail address.
#[must_use]
pub fn is_valid_email(email: &str) -> bool {
    email.is_empty() || email.len() <= 254 && email.parse::<lettre::Address>().is_ok()
}

const COLUMNS: &str = "name, hash, email, disabled, made";

fn account_from_row(row: &rusqlite::Row<'_>) -> Result<Account> {
    Ok(Account {
        name: row.get(0)?,
        hash: row.get(1)?,
        email: row.get(2)?,
        is_disabled: row.get(3)?,
        created_at: row.get(4)?,
    })
}

pub fn find_account(db: &Connection, name: &str) -> Result<Option<Account>> {
    let question = format!("select {COLUMNS} from users where name = ?1");
    db.query_row(&question, [name], account_from_row).optional()
}

/// Lists all accounts by name.
pub fn list_accounts(db: &Connection) -> Result<Vec<Account>> {
    let mut all = db.prepare(&format!("select {COLUMNS} from users order by name"))?;
    all.query_map([], account_from_row)?.collect()
}

/// Creates an account. Returns false if the name is taken.
pub fn add_account(db: &Connection, new: &Account) -> Result<bool> {
    let sql = "insert or ignore into users (name, hash, email, disabled, made)
        values (?1, ?2, ?3, ?4, ?5)";
    let made = params![new.name, new.hash, new.email, new.is_disabled, new.created_at];
    Ok(db.execute(sql, made)? == 1)
}

/// Whether the account still lets in the user whose password was verified against `hash`. Verifying
/// takes a while: meanwhile the account may be disabled, or get another password.
pub fn is_current(db: &Connection, name: &str, hash: &str) -> Result<bool> {
    let account = find_account(db, name)?;
    Ok(account.is_some_and(|account| !account.is_disabled && account.hash == hash))
}

/// Sets a password hash, ends the account's sessions, revokes its reset links and clears its
/// lockout. Returns false if the account does not exist. Call it in a transaction.
pub fn set_hash(db: &Connection, name: &str, hash: &str) -> Result<bool> {
    let found = db.execute("update users set hash = ?2 where name = ?1", [name, hash])? == 1;
    db.execute("delete from sessions where user = ?1", [name])?;
    db.execute("delete from resets where user = ?1", [name])?;
    db.execute("delete from tries where name = ?1", [name])?;
    Ok(found)
}

/// Disables or enables an account and ends its sessions. Returns false if it does not exist.
pub fn set_disabled(db: &Connection, name: &str, disabled: bool) -> Result<bool> {
    let sql = "update users set disabled = ?2 where name = ?1";
    let found = db.execute(sql, params![name, disabled])? == 1;
    if disabled {
        db.execute("delete from sessions where user = ?1", [name])?;
        db.execute("delete from resets where user = ?1", [name])?;
    }
    Ok(found)
}

/// Sets the address for reset links. Returns false if the account does not exist.
pub fn set_email(db: &Connection, name: &str, email: &str) -> Result<bool> {
    Ok(db.execute("update users set email = ?2 where name = ?1", [name, email])? == 1)
}
