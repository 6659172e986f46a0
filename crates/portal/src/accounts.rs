//! Accounts: who may log in at the portal, with which password.
//!
//! A name is the box's username, whatever its case. What the person may do is not here: the box
//! says, each time. Nothing here hashes, or knows a password.

pub mod audit_log;
pub mod lockout;
pub mod password;
pub mod resets;
pub mod sessions;
pub mod throttle;
pub mod token;
pub mod users;

use rusqlite::{Connection, OptionalExtension, Result, params};

/// One account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub name: String,
    pub hash: String,
    pub email: String,
    pub is_disabled: bool,
    pub created_at: i64,
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

/// The account of this name.
pub fn find_account(db: &Connection, name: &str) -> Result<Option<Account>> {
    let question = format!("select {COLUMNS} from users where name = ?1");
    db.query_row(&question, [name], account_from_row).optional()
}

/// All, by name.
pub fn list_accounts(db: &Connection) -> Result<Vec<Account>> {
    let mut all = db.prepare(&format!("select {COLUMNS} from users order by name"))?;
    all.query_map([], account_from_row)?.collect()
}

/// Makes one; false: there is one of this name.
pub fn add_account(db: &Connection, new: &Account) -> Result<bool> {
    let said = "insert or ignore into users (name, hash, email, disabled, made)
        values (?1, ?2, ?3, ?4, ?5)";
    let made = params![new.name, new.hash, new.email, new.is_disabled, new.created_at];
    Ok(db.execute(said, made)? == 1)
}

/// Gives it another password; false: there is none of this name. Every session of it ends, links
/// that were sent are worth nothing any more, and a lock is taken off.
pub fn set_hash(db: &Connection, name: &str, hash: &str) -> Result<bool> {
    let all = db.unchecked_transaction()?;
    let found = all.execute("update users set hash = ?2 where name = ?1", [name, hash])? == 1;
    all.execute("delete from sessions where user = ?1", [name])?;
    all.execute("delete from resets where user = ?1", [name])?;
    all.execute("delete from tries where name = ?1", [name])?;
    all.commit()?;
    Ok(found)
}

/// Lets it in no more, or again; false: there is none of this name. Its sessions end.
pub fn set_disabled(db: &Connection, name: &str, disabled: bool) -> Result<bool> {
    let said = "update users set disabled = ?2 where name = ?1";
    let found = db.execute(said, params![name, disabled])? == 1;
    if disabled {
        db.execute("delete from sessions where user = ?1", [name])?;
        db.execute("delete from resets where user = ?1", [name])?;
    }
    Ok(found)
}

/// Where its letters go; false: there is none of this name.
pub fn set_email(db: &Connection, name: &str, email: &str) -> Result<bool> {
    Ok(db.execute("update users set email = ?2 where name = ?1", [name, email])? == 1)
}
