//! Links that set a new password: sent by e-mail, good once and not for long (requirement C4).
//!
//! Looking at a link does not use it up, since mail programs look at links; setting the password
//! does. A new link leaves the earlier ones as they are: the user may be reading one, and who asks
//! is not known. A password that is set ends them all. Only the hash of a token is kept. Nothing
//! here sends anything.

use crate::accounts::token;
use rusqlite::{Connection, OptionalExtension, Result, params};

/// A new link for an account.
pub fn make(db: &Connection, user: &str, secret: &str, until: i64) -> Result<()> {
    let said = "insert into resets (token, user, until) values (?1, ?2, ?3)";
    db.execute(said, params![token::hash(secret), user, until]).map(drop)
}

/// Whose password it may set, if it is still good.
pub fn find(db: &Connection, secret: &str, now: i64) -> Result<Option<String>> {
    db.execute("delete from resets where until <= ?1", [now])?;
    let said = "select user from resets where token = ?1
        and user in (select name from users where disabled = 0)";
    db.query_row(said, [token::hash(secret)], |row| row.get(0)).optional()
}

/// Uses it up; true: it was still there, and nobody else has used it.
pub fn take(db: &Connection, secret: &str, now: i64) -> Result<bool> {
    let said = "delete from resets where token = ?1 and until > ?2";
    Ok(db.execute(said, params![token::hash(secret), now])? == 1)
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
        let jdoe = Account { name: "jdoe".into(), hash, email, disabled: false, made: 0 };
        db.ask(|db| accounts::add(db, &jdoe)).expect("added");
        let whose = |secret: &str, now| db.ask(|db| find(db, secret, now)).expect("answered");
        db.ask(|db| make(db, "jdoe", "one", 1800)).expect("made");
        assert_eq!(whose("one", 1799).as_deref(), Some("jdoe"));
        assert_eq!(whose("one", 1799).as_deref(), Some("jdoe"), "looking does not use it up");
        db.ask(|db| make(db, "jdoe", "two", 1800)).expect("made");
        assert_eq!(whose("other", 1000), None);
        assert!(db.ask(|db| take(db, "two", 1799)).expect("taken"));
        assert!(!db.ask(|db| take(db, "two", 1799)).expect("answered"), "once");
        db.ask(|db| make(db, "jdoe", "three", 1800)).expect("made");
        assert_eq!(whose("three", 1800), None);
        assert!(!db.ask(|db| take(db, "three", 1800)).expect("answered"));
    }

    #[test]
    fn c4_a_new_link_leaves_the_one_before_good_until_one_is_used() {
        let folder = tempfile::tempdir().expect("a folder");
        let db = Db::open(&folder.path().join("db")).expect("a database");
        let (hash, email) = ("x".to_owned(), String::new());
        let jdoe = Account { name: "jdoe".into(), hash, email, disabled: false, made: 0 };
        db.ask(|db| accounts::add(db, &jdoe)).expect("added");
        let whose = |secret: &str| db.ask(|db| find(db, secret, 1000)).expect("answered");
        for secret in ["one", "two", "three"] {
            db.ask(|db| make(db, "jdoe", secret, 1800)).expect("made");
        }
        assert_eq!(whose("one").as_deref(), Some("jdoe"), "it may just be read");
        assert!(db.ask(|db| take(db, "two", 1000)).expect("taken"));
        db.ask(|db| accounts::set_hash(db, "jdoe", "y")).expect("set");
        assert_eq!((whose("one"), whose("three")), (None, None));
    }
}
