//! Portal accounts: usernames, password hashes and e-mail addresses.
//!
//! An account name is a recorder username, compared as the recorder compares it: the column
//! `folded` holds the text that all spellings share. The recorder decides on each request what a
//! user may do. This module neither hashes nor verifies passwords.

pub mod audit_log;
pub mod hasher;
pub mod lockout;
pub mod password;
pub mod reset_links;
pub mod sessions;
pub mod throttle;
pub mod token;
pub mod user_command;

use protocol::name::fold_name;
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
    let question = format!("select {COLUMNS} from users where folded = ?1");
    db.query_row(&question, [fold_name(name)], account_from_row).optional()
}

/// Lists all accounts by name.
pub fn list_accounts(db: &Connection) -> Result<Vec<Account>> {
    let mut all = db.prepare(&format!("select {COLUMNS} from users order by folded"))?;
    all.query_map([], account_from_row)?.collect()
}

/// Creates an account. Returns false if the name is taken.
pub fn add_account(db: &Connection, new: &Account) -> Result<bool> {
    let sql = "insert or ignore into users (name, hash, email, disabled, made, folded)
        values (?1, ?2, ?3, ?4, ?5, ?6)";
    let folded = fold_name(&new.name);
    let made = params![new.name, new.hash, new.email, new.is_disabled, new.created_at, folded];
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
    let sql = "update users set hash = ?2 where folded = ?1";
    let found = db.execute(sql, params![fold_name(name), hash])? == 1;
    sessions::end_sessions_of(db, name)?;
    reset_links::revoke_links_of(db, name)?;
    lockout::clear_failures(db, name)?;
    Ok(found)
}

/// Disables or enables an account and ends its sessions. Returns false if it does not exist.
pub fn set_disabled(db: &Connection, name: &str, disabled: bool) -> Result<bool> {
    let sql = "update users set disabled = ?2 where folded = ?1";
    let found = db.execute(sql, params![fold_name(name), disabled])? == 1;
    if disabled {
        sessions::end_sessions_of(db, name)?;
        reset_links::revoke_links_of(db, name)?;
    }
    Ok(found)
}

/// Sets the address for reset links. Returns false if the account does not exist.
pub fn set_email(db: &Connection, name: &str, email: &str) -> Result<bool> {
    let sql = "update users set email = ?2 where folded = ?1";
    Ok(db.execute(sql, params![fold_name(name), email])? == 1)
}

#[cfg(test)]
mod tests {
    use super::sessions::{LoginOrigin, create_session, end_sessions_of};
    use super::*;
    use crate::db::Db;

    fn account(name: &str) -> Account {
        let (hash, email) = ("x".to_owned(), String::new());
        Account { name: name.to_owned(), hash, email, is_disabled: false, created_at: 0 }
    }

    #[test]
    fn an_account_answers_to_every_spelling_that_the_box_takes_for_its_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let db = Db::open(&folder.path().join("db")).expect("a database");
        for (name, others) in
            [("jörg", ["JÖRG", "Jo\u{308}rg"]), ("straße", ["STRASSE", "Strasse"])]
        {
            let add = |name: &str| {
                db.call_blocking(|db| add_account(db, &account(name))).expect("answered")
            };
            assert!(add(name));
            let log_in = |db: &Connection| {
                create_session(db, name, (name, "c"), &LoginOrigin::default(), 1000)
            };
            for other in others {
                assert!(!add(other), "{other} is taken");
                let act = |db: &Connection| {
                    let found = find_account(db, other)?.map(|account| account.name);
                    assert_eq!(found.as_deref(), Some(name));
                    assert!(is_current(db, other, "x")?);
                    assert!(set_email(db, other, "j@example.org")?);
                    log_in(db)?;
                    assert_eq!(end_sessions_of(db, other)?, 1);
                    log_in(db)?;
                    assert!(set_hash(db, other, "x")?);
                    assert_eq!(end_sessions_of(db, name)?, 0, "a new password ends sessions");
                    log_in(db)?;
                    assert!(set_disabled(db, other, true)?);
                    assert_eq!(end_sessions_of(db, name)?, 0, "so does disabling");
                    set_disabled(db, other, false)
                };
                assert!(db.call_blocking(act).expect("answered"), "{other}");
            }
        }
        assert!(db.call_blocking(|db| find_account(db, "jorg")).expect("answered").is_none());
        assert_eq!(db.call_blocking(list_accounts).expect("answered").len(), 2);
    }
}
