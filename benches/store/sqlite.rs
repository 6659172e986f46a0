//! The same facts in SQLite: WAL, `synchronous=FULL`, compact tables, and an index for every
//! filter of `records`.
//!
//! Times are milliseconds, digests and sealed facts blobs, words numbers. With
//! `Evidence::Chained` every fact is also stored with its hash-chain tag, as in the journal, to
//! prove that no row was edited. State tables cannot be chained, because their rows change.

use crate::year::{Call, SealedFacts, Year};
use hushbox::store::fact::{Fact, JournalEntry};
use hushbox::time::WallTime;
use rusqlite::{Connection, params};
use std::path::Path;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    Nothing,
    Chained,
}

const TABLES: &str = "
CREATE TABLE call(number INTEGER PRIMARY KEY, began INT, ended INT, why INT, numbers BLOB);
CREATE TABLE record(
    sequence INTEGER PRIMARY KEY, id BLOB, at INT, boot INT, number INT, call TEXT, device TEXT,
    agent TEXT, direction INT, channel INT, rate INT, sides INT, codec INT, from_at INT, to_at INT,
    numbers BLOB, reasons INT, schedule INT, retain_until INT, ended INT, end INT, stored INT,
    masked INT, held INT, lost INT, blackouts INT, digest BLOB, size INT, protected INT,
    deleted INT);
CREATE UNIQUE INDEX record_id ON record(id);
CREATE INDEX record_at ON record(at);
CREATE INDEX record_agent ON record(agent, at);
CREATE INDEX record_device ON record(device, at);
CREATE INDEX record_call ON record(call);
CREATE INDEX record_due ON record(retain_until) WHERE protected = 0 AND deleted IS NULL;
CREATE INDEX record_running ON record(sequence) WHERE ended IS NULL;
CREATE TABLE field(record INT, field INT, at INT, by TEXT, value BLOB,
    PRIMARY KEY(record, field, at)) WITHOUT ROWID;
CREATE TABLE span(record INT, from_at INT, to_at INT, fate INT,
    PRIMARY KEY(record, from_at)) WITHOUT ROWID;
CREATE TABLE blackout(record INT, number INT, agent TEXT, holder INT, by TEXT, opened INT,
    closed INT, from_at INT, to_at INT, end INT, PRIMARY KEY(record, number)) WITHOUT ROWID;
CREATE TABLE fact(sequence INTEGER PRIMARY KEY, at INT, body BLOB, tag BLOB);
";

/// Opens a database with the box's durability.
pub fn open(path: &Path) -> Connection {
    let db = Connection::open(path).expect("a database");
    db.busy_timeout(std::time::Duration::from_secs(60)).expect("patience");
    let mode: String =
        db.query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0)).expect("a log");
    assert_eq!(mode, "wal");
    db.execute_batch("PRAGMA synchronous=FULL;").expect("durable");
    db
}

/// Creates a database with the calls of some days; returns its size in bytes.
pub fn fill(path: &Path, year: Year, days: std::ops::Range<u32>, evidence: Evidence) -> u64 {
    let mut db = open(path);
    db.execute_batch(TABLES).expect("tables");
    let sealed = SealedFacts::new();
    for n in days {
        // One transaction per day favours SQLite: live calls would arrive one by one.
        let change = db.transaction().expect("a transaction");
        for call in year.of_day(n) {
            insert(&change, &call, &sealed);
            if evidence == Evidence::Chained {
                call.facts(&sealed).into_iter().for_each(|(at, fact)| chain(&change, at, fact));
            }
        }
        change.commit().expect("durable");
    }
    db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE);").expect("all in one file");
    drop(db);
    std::fs::metadata(path).expect("a file").len()
}

fn insert(db: &Connection, call: &Call, sealed: &SealedFacts) {
    let run = |sql: &str, values: &[&dyn rusqlite::ToSql]| {
        db.prepare_cached(sql).and_then(|mut sql| sql.execute(values)).expect("a row");
    };
    let number = i64::try_from(call.number).expect("small");
    let (at, end) = (call.at.0, call.end.0);
    let from = i64::try_from(call.from).expect("small");
    let numbers = &sealed.numbers.0;
    run("INSERT INTO call VALUES(?,?,?,1,?)", params![number, at, end, numbers]);
    let masked = if call.blackout { 160_000 } else { 0 };
    run(
        "INSERT INTO record VALUES(?1,?2,?3,1,?1,?4,?5,?6,1,?7,8000,1,1,?15,?15+1440000,?8,1,1,\
         ?9,?10,1,?11,?12,0,0,?14,?13,360000,0,NULL)",
        params![
            number,
            &call.id.as_bytes()[..],
            at,
            call.call,
            call.device,
            call.agent,
            call.channel,
            numbers,
            at + 3650 * 86_400_000,
            end,
            1_440_000 - masked,
            masked,
            &call.digest[..],
            i32::from(call.blackout),
            from,
        ],
    );
    let field = &sealed.field.0;
    run("INSERT INTO field VALUES(?,1,?,?,?)", params![number, end, call.agent, field]);
    if call.blackout {
        run("INSERT INTO span VALUES(?1,?2+160000,?2+320000,1)", params![number, from]);
        run(
            "INSERT INTO blackout VALUES(?1,?1,?2,1,?2,?3,?4,?5+160000,?5+320000,1)",
            params![number, call.agent, at + 20_000, at + 40_000, from],
        );
    }
}

fn chain(db: &Connection, at: WallTime, fact: Fact) {
    let body = postcard::to_stdvec(&JournalEntry { at, fact }).expect("in memory");
    let tag = blake3::hash(&body);
    db.prepare_cached("INSERT INTO fact VALUES(NULL,?,?,?)")
        .and_then(|mut sql| sql.execute(params![at.0, body, &tag.as_bytes()[..16]]))
        .expect("a row");
}

#[allow(dead_code, reason = "what every listing has to bring")]
pub struct Listed {
    pub id: Vec<u8>,
    at: i64,
    agent: Option<String>,
    device: String,
    call: String,
    direction: Option<u8>,
    reasons: u8,
    schedule: Option<u32>,
    frames: i64,
    lost: i64,
    protected: bool,
    size: i64,
    blackouts: u32,
}

const LIST: &str = "
SELECT id, at, agent, device, call, direction, reasons, schedule, to_at - from_at, lost, protected,
    size, blackouts
FROM record WHERE at >= ?1 AND at < ?2 AND deleted IS NULL ORDER BY at DESC";

/// Lists the recordings that started in a time range, newest first.
pub fn list(db: &Connection, from: WallTime, until: WallTime) -> Vec<Listed> {
    let mut sql = db.prepare_cached(LIST).expect("SQL");
    let rows = sql.query_map([from.0, until.0], |row| {
        Ok(Listed {
            id: row.get(0)?,
            at: row.get(1)?,
            agent: row.get(2)?,
            device: row.get(3)?,
            call: row.get(4)?,
            direction: row.get(5)?,
            reasons: row.get(6)?,
            schedule: row.get(7)?,
            frames: row.get(8)?,
            lost: row.get(9)?,
            protected: row.get(10)?,
            size: row.get(11)?,
            blackouts: row.get(12)?,
        })
    });
    rows.and_then(Iterator::collect).expect("rows")
}

/// Reads what startup needs: running recordings, live calls and the next numbers.
pub fn wake(path: &Path) -> i64 {
    let db = open(path);
    let one = |sql: &str| -> i64 { db.query_row(sql, [], |row| row.get(0)).expect("a number") };
    one("SELECT count(*) FROM record WHERE ended IS NULL")
        + one("SELECT coalesce(max(number), 0) FROM call")
        + one("SELECT coalesce(max(sequence), 0) FROM record")
}

/// Runs one update as the box does: a field in the history, and its record.
pub fn update(db: &mut Connection, record: i64, at: i64, value: &[u8]) {
    use rusqlite::TransactionBehavior::Immediate;
    let change = db.transaction_with_behavior(Immediate).expect("its turn");
    change
        .prepare_cached("INSERT OR REPLACE INTO field VALUES(?,1,?,'u1001',?)")
        .and_then(|mut sql| sql.execute(params![record, at, value]))
        .expect("a row");
    change
        .prepare_cached("UPDATE record SET reasons = reasons | 1 WHERE sequence = ?")
        .and_then(|mut sql| sql.execute([record]))
        .expect("a row");
    change.commit().expect("durable");
}
