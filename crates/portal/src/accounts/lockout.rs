//! Lockout after failed logins, by submitted username (requirement C5).
//!
//! An attempt counts as failed before its password is checked, and is taken back when the password
//! was right. So attempts that run at the same time do not pass the limit together.
//!
//! Unknown names are counted and locked like known ones, so a lockout does not reveal which names
//! exist. Lockouts survive a restart.

use protocol::name::fold_name;
use rusqlite::{Connection, OptionalExtension, Result, params};

/// Length limit in characters; longer names share a counter if they begin alike.
const NAME_CHARS_MAX: usize = 64;
/// Number of names remembered; the oldest are dropped first.
const NAMES_MAX: i64 = 10_000;

/// When a name is locked, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct LockoutPolicy {
    /// Failures that lock a name.
    pub failures_max: u32,
    pub lock_s: i64,
}

fn normalise_name(name: &str) -> String {
    fold_name(&name.chars().take(NAME_CHARS_MAX).collect::<String>())
}

/// What is known of an attempt before its password is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// The name is locked: the password is not checked.
    Refused,
    Allowed,
    /// This attempt locks the name, unless its password is right.
    Last,
}

/// Counts an attempt as failed. Call it in a transaction.
pub fn begin_attempt(
    db: &Connection,
    name: &str,
    now: i64,
    rule: LockoutPolicy,
) -> Result<Attempt> {
    if is_locked(db, name, now)? {
        return Ok(Attempt::Refused);
    }
    let is_last = count_failure(db, name, now, rule)?;
    Ok(if is_last { Attempt::Last } else { Attempt::Allowed })
}

/// Whether this name is locked at `now`.
fn is_locked(db: &Connection, name: &str, now: i64) -> Result<bool> {
    let sql = "select locked_until from tries where name = ?1";
    let until: Option<i64> =
        db.query_row(sql, [normalise_name(name)], |row| row.get(0)).optional()?;
    Ok(until.is_some_and(|until| now < until))
}

/// Counts a failed login. Returns true if this failure locks the name.
fn count_failure(db: &Connection, name: &str, now: i64, rule: LockoutPolicy) -> Result<bool> {
    let name = normalise_name(name);
    let forget = now - rule.lock_s.max(3600);
    db.execute("delete from tries where last < ?1 and locked_until < ?2", [forget, now])?;
    let sql = "insert into tries (name, failed, locked_until, last) values (?1, 1, 0, ?2)
        on conflict (name) do update set failed = failed + 1, last = ?2
        returning failed";
    let failed: u32 = db.query_row(sql, params![name, now], |row| row.get(0))?;
    let locks = failed >= rule.failures_max;
    if locks {
        let sql = "update tries set failed = 0, locked_until = ?2 where name = ?1";
        db.execute(sql, params![name, now + rule.lock_s])?;
    }
    let sql = "delete from tries where name in
        (select name from tries order by last desc limit -1 offset ?1)";
    db.execute(sql, [NAMES_MAX])?;
    Ok(locks)
}

/// Takes back an attempt whose password was not checked, and the lock that it set.
pub fn cancel_attempt(
    db: &Connection,
    name: &str,
    attempt: Attempt,
    rule: LockoutPolicy,
) -> Result<()> {
    let name = normalise_name(name);
    match attempt {
        Attempt::Refused => Ok(0),
        Attempt::Allowed => {
            db.execute("update tries set failed = max(failed - 1, 0) where name = ?1", [name])
        }
        Attempt::Last => db.execute(
            "update tries set failed = ?2 - 1, locked_until = 0 where name = ?1",
            params![name, rule.failures_max],
        ),
    }
    .map(drop)
}

/// Takes all failures of a name back after a successful login.
pub fn clear_failures(db: &Connection, name: &str) -> Result<()> {
    db.execute("delete from tries where name = ?1", [normalise_name(name)]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::Db;

    #[test]
    fn c5_five_failures_lock_a_name_for_a_while_whether_it_is_known_or_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let db = Db::open(&folder.path().join("db")).expect("a database");
        let rule = LockoutPolicy { failures_max: 5, lock_s: 900 };
        let fail = |name: &'static str, now| {
            let attempt = move |db: &Connection| begin_attempt(db, name, now, rule);
            db.transact_blocking(attempt).expect("counted") == Attempt::Last
        };
        let locked = |name: &'static str, now| {
            db.call_blocking(move |db| is_locked(db, name, now)).expect("answered")
        };
        let locks: Vec<bool> = (0..5).map(|n| fail(["JDoe", "jdoe"][n % 2], 1000)).collect();
        assert_eq!(locks, [false, false, false, false, true]);
        assert!(locked("JDOE", 1000) && locked("jdoe", 1899) && !locked("jdoe", 1900));
        assert!(!locked("asmith", 1000));
        assert!((0..4).all(|_| !fail("jdoe", 1900)), "the count begins anew");
        db.call_blocking(|db| clear_failures(db, "jdoe")).expect("forgiven");
        assert!((0..4).all(|_| !fail("jdoe", 1901)) && fail("jdoe", 1902));
    }

    #[test]
    fn c5_all_spellings_of_a_name_share_a_counter() {
        let folder = tempfile::tempdir().expect("a folder");
        let db = Db::open(&folder.path().join("db")).expect("a database");
        let rule = LockoutPolicy { failures_max: 3, lock_s: 900 };
        for spellings in [["jörg", "JÖRG", "Jo\u{308}rg"], ["straße", "STRASSE", "Strasse"]] {
            let begin = |name: &str| {
                db.transact_blocking(|db| begin_attempt(db, name, 1000, rule)).expect("counted")
            };
            let attempts = spellings.map(begin);
            assert_eq!(attempts, [Attempt::Allowed, Attempt::Allowed, Attempt::Last]);
            assert_eq!(spellings.map(begin), [Attempt::Refused; 3]);
            let new = |db: &Connection| crate::accounts::set_hash(db, spellings[1], "y");
            db.transact_blocking(new).expect("set");
            assert_eq!(begin(spellings[0]), Attempt::Allowed, "a new password ends the lockout");
        }
    }

    #[test]
    fn c5_attempts_in_flight_count_and_those_never_checked_are_taken_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let db = Db::open(&folder.path().join("db")).expect("a database");
        let rule = LockoutPolicy { failures_max: 5, lock_s: 900 };
        let begin =
            || db.transact_blocking(|db| begin_attempt(db, "jdoe", 1000, rule)).expect("counted");
        let cancel = |attempt| {
            db.transact_blocking(|db| cancel_attempt(db, "jdoe", attempt, rule)).expect("undone");
        };
        // None of them is checked before all have begun.
        let all: Vec<Attempt> = (0..7).map(|_| begin()).collect();
        assert_eq!(all[..4], [Attempt::Allowed; 4]);
        assert_eq!(all[4..], [Attempt::Last, Attempt::Refused, Attempt::Refused]);
        cancel(Attempt::Refused);
        assert_eq!(begin(), Attempt::Refused);
        cancel(Attempt::Last);
        assert_eq!(begin(), Attempt::Last, "four still count");
        cancel(Attempt::Last);
        cancel(Attempt::Allowed);
        assert_eq!([begin(), begin()], [Attempt::Allowed, Attempt::Last]);
    }
}
