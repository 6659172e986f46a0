//! Password reset links: sent by e-mail, valid once and for a limited time (requirement C4).
//!
//! Opening a link does not consume it, because mail scanners open links; setting the password does.
//! A new link does not revoke earlier ones, because anyone can request one. Setting a password
//! revokes all of them. The database stores only the token's hash.

use crate::accounts::token;
use protocol::name::fold_name;
use rusqlite::{Connection, OptionalExtension, Result, params};

/// Stores a new link for an account.
pub fn create_link(db: &Connection, user: &str, secret: &str, until: i64) -> Result<()> {
    let sql = "insert into resets (token, user, until) values (?1, ?2, ?3)";
    db.execute(sql, params![token::hash(secret), user, until]).map(drop)
}

/// Returns the user whose password this link may set, if the link is still valid.
pub fn find_link_user(db: &Connection, secret: &str, now: i64) -> Result<Option<String>> {
    db.execute("delete from resets where until <= ?1", [now])?;
    let sql = "select user from resets where token = ?1
        and user in (select name from users where disabled = 0)";
    db.query_row(sql, [token::hash(secret)], |row| row.get(0)).optional()
}

/// Revokes all links of an account.
pub fn revoke_links_of(db: &Connection, user: &str) -> Result<()> {
    let sql = "delete from resets where user = (select name from users where folded = ?1)";
    db.execute(sql, [fold_name(user)]).map(drop)
}

/// Consumes a link. Returns false if it was already consumed or has expired.
pub fn consume_link(db: &Connection, secret: &str, now: i64) -> Result<bool> {
    let sql = "delete from resets where token = ?1 and until > ?2";
    Ok(db.execute(sql, params![token::hash(secret), now])? == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::{self, Account};
    use crate::db::Db;

    #[test]
    fn c4_a_link_is_good_once_and_only_for_a_while() {
        let folder = tempfile::tempdir().expect("a folder");
        let db = Db::open(&folder.path().join("db")).expect("a database");
        let (hash, email) = ("x".to_owned(), String::new());
        let jdoe = Account { name: "jdoe".into(), hash, email, is_disabled: false, created_at: 0 };
        db.call_blocking(|db| accounts::add_account(db, &jdoe)).expect("added");
        let whose = |secret: &str, now| {
            db.call_blocking(|db| find_link_user(db, secret, now)).expect("answered")
        };
        db.call_blocking(|db| create_link(db, "jdoe", "one", 1800)).expect("made");
        assert_eq!(whose("one", 1799).as_deref(), Some("jdoe"));
        assert_eq!(whose("one", 1799).as_deref(), Some("jdoe"), "looking does not use it up");
        db.call_blocking(|db| create_link(db, "jdoe", "two", 1800)).expect("made");
        assert_eq!(whose("other", 1000), None);
        assert!(db.call_blocking(|db| consume_link(db, "two", 1799)).expect("taken"));
        assert!(!db.call_blocking(|db| consume_link(db, "two", 1799)).expect("answered"), "once");
        db.call_blocking(|db| create_link(db, "jdoe", "three", 1800)).expect("made");
        assert_eq!(whose("three", 1800), None);
        assert!(!db.call_blocking(|db| consume_link(db, "three", 1800)).expect("answered"));
    }

    #[test]
    fn c4_a_new_link_leaves_the_one_before_good_until_one_is_used() {
        let folder = tempfile::tempdir().expect("a folder");
        let db = Db::open(&folder.path().join("db")).expect("a database");
        let (hash, email) = ("x".to_owned(), String::new());
        let jdoe = Account { name: "jdoe".into(), hash, email, is_disabled: false, created_at: 0 };
        db.call_blocking(|db| accounts::add_account(db, &jdoe)).expect("added");
        let whose = |secret: &str| {
            db.call_blocking(|db| find_link_user(db, secret, 1000)).expect("answered")
        };
        for secret in ["one", "two", "three"] {
            db.call_blocking(|db| create_link(db, "jdoe", secret, 1800)).expect("made");
        }
        assert_eq!(whose("one").as_deref(), Some("jdoe"), "it may just be read");
        assert!(db.call_blocking(|db| consume_link(db, "two", 1000)).expect("taken"));
        db.call_blocking(|db| accounts::set_hash(db, "jdoe", "y")).expect("set");
        assert_eq!((whose("one"), whose("three")), (None, None));
    }
}
