//! Lockout after failed logins, by submitted username (requirement C5).
//!
//! Unknown names are counted and locked like known ones, so a lockout does not reveal which names
//! exist. Lockouts survive a restart.

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
    name.chars().take(NAME_CHARS_MAX).collect::<String>().to_lowercase()
}

/// Whether this name is locked at `now`.
pub fn is_locked(db: &Connection, name: &str, now: i64) -> Result<bool> {
    let said = "select locked_until from tries where name = ?1";
    let until: Option<i64> =
        db.query_row(said, [normalise_name(name)], |row| row.get(0)).optional()?;
    Ok(until.is_some_and(|until| now < until))
}

/// Counts a failed login. Returns true if this failure locks the name.
pub fn count_failure(db: &Connection, name: &str, now: i64, rule: LockoutPolicy) -> Result<bool> {
    let name = normalise_name(name);
    let forget = now - rule.lock_s.max(3600);
    db.execute("delete from tries where last < ?1 and locked_until < ?2", [forget, now])?;
    let said = "insert into tries (name, failed, locked_until, last) values (?1, 1, 0, ?2)
        on conflict (name) do update set failed = failed + 1, last = ?2
        returning failed";
    let failed: u32 = db.query_row(said, params![name, now], |row| row.get(0))?;
    let locks = failed >= rule.failures_max;
    if locks {
        let said = "update tries set failed = 0, locked_until = ?2 where name = ?1";
        db.execute(said, params![name, now + rule.lock_s])?;
    }
    let said = "delete from tries where name in
        (select name from tries order by last desc limit -1 offset ?1)";
    db.execute(said, [NAMES_MAX])?;
    Ok(locks)
}

/// Clears the failures of a name after a successful login.
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
            db.call_blocking(move |db| count_failure(db, name, now, rule)).expect("counted")
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
}
