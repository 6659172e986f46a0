//! Audit log of the portal: logins, lockouts, password and account changes.
//!
//! Administrators read it. Plays and exports are in the recorder's journal, which no user can edit.
//! An event never holds a password, a token or the name of an unknown user.

use rusqlite::{Connection, Result, params};

const EVENTS_MAX: i64 = 10_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEvent {
    pub at: i64,
    pub user: String,
    pub action: String,
    pub address: String,
}

pub fn append_event(db: &Connection, event: &AuditEvent) -> Result<()> {
    let sql = "insert into events (at, user, what, address) values (?1, ?2, ?3, ?4)";
    db.execute(sql, params![event.at, event.user, event.action, event.address])?;
    let sql = "delete from events where number <= (select max(number) from events) - ?1";
    db.execute(sql, [EVENTS_MAX]).map(drop)
}

/// Returns the newest `count` events.
pub fn newest_events(db: &Connection, count: u32) -> Result<Vec<AuditEvent>> {
    let sql = "select at, user, what, address from events order by number desc limit ?1";
    let mut all = db.prepare(sql)?;
    let rows = all.query_map([count], |row| {
        let (at, user, what) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(AuditEvent { at, user, action: what, address: row.get(3)? })
    })?;
    rows.collect()
}
