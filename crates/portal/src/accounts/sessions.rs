//! Browser sessions: the user, the start time and the last activity.
//!
//! A session ends at logout, on idle timeout, at its maximum age, on a password change, or when an
//! administrator ends it. Sessions survive a restart of the portal. The database stores only the
//! token's hash.

use crate::accounts::token;
use protocol::name::fold_name;
use rusqlite::{Connection, OptionalExtension, Result, params};

/// Minimum seconds between two updates of a session's last activity.
const SEEN_UPDATE_S: i64 = 5;
/// Sessions per account; a further login ends the least recently active one.
const SESSIONS_PER_USER_MAX: i64 = 20;
/// Characters of the `User-Agent` header that are stored.
const BROWSER_CHARS_MAX: usize = 120;

/// When a session expires.
#[derive(Clone, Copy, Debug)]
pub struct SessionPolicy {
    pub idle_s: i64,
    pub age_s: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Hash of the session token.
    pub key: Vec<u8>,
    /// Username, spelled as in the account.
    pub user: String,
    /// CSRF token of the session's forms.
    pub csrf: String,
    pub created_at: i64,
    pub seen_at: i64,
    pub address: String,
    pub browser: String,
}

impl Session {
    /// Seconds until the session expires without activity.
    #[must_use]
    pub fn remaining_s(&self, now: i64, rule: SessionPolicy) -> i64 {
        (self.seen_at + rule.idle_s - now).min(self.created_at + rule.age_s - now)
    }
}

/// Origin of a login.
#[derive(Clone, Debug, Default)]
pub struct LoginOrigin {
    pub address: String,
    pub browser: String,
}

const COLUMNS: &str = "token, user, csrf, began, seen, address, browser";

fn session_from_row(row: &rusqlite::Row<'_>) -> Result<Session> {
    Ok(Session {
        key: row.get(0)?,
        user: row.get(1)?,
        csrf: row.get(2)?,
        created_at: row.get(3)?,
        seen_at: row.get(4)?,
        address: row.get(5)?,
        browser: row.get(6)?,
    })
}

/// Creates a session of `user` with token `secret` and CSRF token `csrf`.
pub fn create_session(
    db: &Connection,
    user: &str,
    (secret, csrf): (&str, &str),
    origin: &LoginOrigin,
    now: i64,
) -> Result<()> {
    let sql = format!("insert into sessions ({COLUMNS}) values (?1, ?2, ?3, ?4, ?4, ?5, ?6)");
    let browser: String = origin.browser.chars().take(BROWSER_CHARS_MAX).collect();
    let key = token::hash(secret);
    db.execute(&sql, params![key, user, csrf, now, origin.address, browser])?;
    let sql = "delete from sessions where token in
        (select token from sessions where user = ?1 order by seen desc limit -1 offset ?2)";
    db.execute(sql, params![user, SESSIONS_PER_USER_MAX]).map(drop)
}

/// Finds the live session of a token whose account is enabled.
pub fn find_session(
    db: &Connection,
    secret: &str,
    now: i64,
    rule: SessionPolicy,
) -> Result<Option<Session>> {
    let sql = format!(
        "select {COLUMNS} from sessions where token = ?1
         and user in (select name from users where disabled = 0)"
    );
    let found = db.query_row(&sql, [token::hash(secret)], session_from_row).optional()?;
    Ok(found.filter(|session| session.remaining_s(now, rule) > 0))
}

/// Records user activity in a session.
pub fn mark_seen(db: &Connection, session: &Session, now: i64) -> Result<()> {
    if now - session.seen_at < SEEN_UPDATE_S {
        return Ok(());
    }
    let sql = "update sessions set seen = ?2 where token = ?1";
    db.execute(sql, params![session.key, now]).map(drop)
}

pub fn end_session(db: &Connection, key: &[u8]) -> Result<()> {
    db.execute("delete from sessions where token = ?1", [key]).map(drop)
}

/// Ends all sessions of an account and returns how many there were.
pub fn end_sessions_of(db: &Connection, user: &str) -> Result<usize> {
    let sql = "delete from sessions where user = (select name from users where folded = ?1)";
    db.execute(sql, [fold_name(user)])
}

pub fn delete_expired(db: &Connection, now: i64, rule: SessionPolicy) -> Result<()> {
    let sql = "delete from sessions where seen <= ?1 or began <= ?2";
    db.execute(sql, [now - rule.idle_s, now - rule.age_s]).map(drop)
}

/// Lists live sessions, most recently active first.
pub fn list_sessions(db: &Connection, now: i64, rule: SessionPolicy) -> Result<Vec<Session>> {
    let sql = format!("select {COLUMNS} from sessions order by seen desc");
    let mut all = db.prepare(&sql)?;
    let mut all: Vec<Session> = all.query_map([], session_from_row)?.collect::<Result<_>>()?;
    all.retain(|session| session.remaining_s(now, rule) > 0);
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::{self, Account};
    use crate::db::Db;

    const POLICY: SessionPolicy = SessionPolicy { idle_s: 900, age_s: 3600 };

    fn create_database() -> (tempfile::TempDir, Db) {
        let folder = tempfile::tempdir().expect("a folder");
        let db = Db::open(&folder.path().join("db")).expect("a database");
        let (hash, email) = ("x".to_owned(), String::new());
        let jdoe = Account { name: "jdoe".into(), hash, email, is_disabled: false, created_at: 0 };
        assert!(db.call_blocking(|db| accounts::add_account(db, &jdoe)).expect("added"));
        (folder, db)
    }

    fn session_at(db: &Db, secret: &str, now: i64) -> Option<Session> {
        db.call_blocking(|db| find_session(db, secret, now, POLICY)).expect("answered")
    }

    #[test]
    fn c5_an_idle_session_ends() {
        let (_folder, db) = create_database();
        let begun = |db: &Connection| {
            create_session(db, "JDOE", ("one", "c"), &LoginOrigin::default(), 1000)
        };
        db.call_blocking(begun).expect("begun");
        let alive = session_at(&db, "one", 1899).expect("alive");
        assert_eq!((alive.user.as_str(), alive.remaining_s(1899, POLICY)), ("JDOE", 1));
        assert!(session_at(&db, "one", 1900).is_none() && session_at(&db, "other", 1000).is_none());
        db.call_blocking(|db| mark_seen(db, &alive, 1890)).expect("touched");
        assert!(session_at(&db, "one", 2789).is_some() && session_at(&db, "one", 2790).is_none());
        let seen = session_at(&db, "one", 2700).expect("alive");
        db.call_blocking(|db| mark_seen(db, &seen, 4500)).expect("touched");
        assert!(
            session_at(&db, "one", 4599).is_some() && session_at(&db, "one", 4600).is_none(),
            "its age"
        );
        db.call_blocking(|db| delete_expired(db, 4600, POLICY)).expect("swept");
        assert!(session_at(&db, "one", 1000).is_none());
    }

    #[test]
    fn c5_login_in_flight_fails_after_a_change_of_the_account() {
        let (_folder, db) = create_database();
        let is_current = |hash: &'static str| {
            db.call_blocking(|db| accounts::is_current(db, "JDoe", hash)).expect("answered")
        };
        // The password was verified against "x"; then another transaction was faster.
        assert!(is_current("x"));
        db.transact_blocking(|db| accounts::set_hash(db, "jdoe", "y")).expect("set");
        assert!(!is_current("x") && is_current("y"), "another password");
        db.call_blocking(|db| accounts::set_disabled(db, "jdoe", true)).expect("set");
        assert!(!is_current("y"), "disabled");
    }

    #[test]
    fn c5_a_password_an_administrator_and_a_disabled_account_end_sessions() {
        let (_folder, db) = create_database();
        let begun = |secret: &'static str| {
            let origin = LoginOrigin::default();
            db.call_blocking(|db| create_session(db, "jdoe", (secret, "c"), &origin, 1000))
                .expect("begun");
        };
        begun("one");
        begun("two");
        assert_eq!(db.call_blocking(|db| end_sessions_of(db, "jdoe")).expect("ended"), 2);
        assert!(session_at(&db, "one", 1000).is_none());
        begun("three");
        assert!(db.call_blocking(|db| accounts::set_hash(db, "jdoe", "y")).expect("set"));
        assert!(session_at(&db, "three", 1000).is_none());
        begun("four");
        assert!(db.call_blocking(|db| accounts::set_disabled(db, "jdoe", true)).expect("set"));
        assert!(session_at(&db, "four", 1000).is_none());
    }
}
