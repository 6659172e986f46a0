//! The portal's SQLite database.
//!
//! It holds accounts, sessions, reset tokens, lockouts and the audit log, and no data of the
//! recorder. SQLite blocks on the disk, so `call` runs each query on a blocking thread.

use crate::accounts::audit_log::{self, AuditEvent};
use crate::clock;
use nix::fcntl::OFlag;
use protocol::name::fold_name;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::collections::BTreeSet;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Why a database call failed.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    #[error("{path}: {error}")]
    Open { path: PathBuf, error: rusqlite::Error },
    #[error("{path}: {error}; it must be a file, not a link")]
    File { path: PathBuf, error: std::io::Error },
    #[error(
        "{path} was written by a newer portal (version {found}, this one knows {SCHEMA_VERSION})"
    )]
    NewerVersion { path: PathBuf, found: i64 },
    #[error("the database: {0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error("the database's thread is gone: {0}")]
    ThreadFailed(String),
}

const SCHEMA_VERSION: i64 = 2;

/// Tables of the first version; `update_schema` makes those of this version from them.
const SCHEMA: &str = "
create table users (
  name text primary key collate nocase,
  hash text not null,
  email text not null default '',
  disabled integer not null default 0,
  made integer not null
) strict;
create table sessions (
  token blob primary key,
  user text not null collate nocase references users(name) on delete cascade,
  csrf text not null,
  began integer not null,
  seen integer not null,
  address text not null,
  browser text not null
) strict;
create index sessions_user on sessions(user);
create table tries (
  name text primary key collate nocase,
  failed integer not null,
  locked_until integer not null,
  last integer not null
) strict;
create table resets (
  token blob primary key,
  user text not null collate nocase references users(name) on delete cascade,
  until integer not null
) strict;
create table events (
  number integer primary key,
  at integer not null,
  user text not null,
  what text not null,
  address text not null
) strict;
";

/// Handle of the open database.
#[derive(Clone, Debug)]
pub struct Db(Arc<Mutex<Connection>>);

impl Db {
    /// Opens or creates the file with access for this user only.
    pub fn open(path: &Path) -> Result<Db, DbError> {
        let failed = |error| DbError::Open { path: path.to_owned(), error };
        create_private_file(path)
            .map_err(|error| DbError::File { path: path.to_owned(), error })?;
        let db = Connection::open(path).map_err(failed)?;
        db.pragma_update(None, "journal_mode", "wal").map_err(failed)?;
        db.pragma_update(None, "synchronous", "full").map_err(failed)?;
        db.pragma_update(None, "foreign_keys", "on").map_err(failed)?;
        db.busy_timeout(std::time::Duration::from_secs(10)).map_err(failed)?;
        let found: i64 =
            db.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
        match found {
            SCHEMA_VERSION => {}
            0..SCHEMA_VERSION => update_schema(&db).map_err(failed)?,
            found => return Err(DbError::NewerVersion { path: path.to_owned(), found }),
        }
        Ok(Db(Arc::new(Mutex::new(db))))
    }

    /// Runs a query on the calling thread, which blocks.
    pub fn call_blocking<T>(
        &self,
        question: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, DbError> {
        let db = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        question(&db).map_err(DbError::Sqlite)
    }

    /// Runs queries as one transaction on the calling thread. An error undoes all of them.
    pub fn transact_blocking<T>(
        &self,
        queries: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, DbError> {
        self.call_blocking(|db| {
            let all = Transaction::new_unchecked(db, TransactionBehavior::Immediate)?;
            let answer = queries(&all)?;
            all.commit()?;
            Ok(answer)
        })
    }

    /// Runs queries as one transaction on a blocking thread.
    pub async fn transact<T: Send + 'static>(
        &self,
        queries: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, DbError> {
        let db = self.clone();
        let answer = tokio::task::spawn_blocking(move || db.transact_blocking(queries)).await;
        answer.map_err(|error| DbError::ThreadFailed(error.to_string()))?
    }

    /// Runs a query on a blocking thread.
    pub async fn call<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, DbError> {
        let db = self.clone();
        let answer = tokio::task::spawn_blocking(move || db.call_blocking(question)).await;
        answer.map_err(|error| DbError::ThreadFailed(error.to_string()))?
    }
}

/// Makes the tables of this version, in one transaction. Another process may have been faster.
fn update_schema(db: &Connection) -> rusqlite::Result<()> {
    let all = Transaction::new_unchecked(db, TransactionBehavior::Immediate)?;
    let found: i64 = all.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found < 1 {
        all.execute_batch(SCHEMA)?;
    }
    if found < 2 {
        fold_names(&all)?;
        all.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    }
    all.commit()
}

/// Version 2 compares names as the box does; version 1 ignored the case of ASCII letters only. Of
/// several accounts that the box takes for one user, the oldest remains.
fn fold_names(db: &Connection) -> rusqlite::Result<()> {
    db.execute_batch("alter table users add column folded text not null default ''")?;
    let mut known = BTreeSet::new();
    for name in read_texts(db, "select name from users order by made, rowid")? {
        let folded = fold_name(&name);
        if known.insert(folded.clone()) {
            db.execute("update users set folded = ?2 where name = ?1", [name, folded])?;
            continue;
        }
        db.execute("delete from users where name = ?1", [&name])?;
        let action = "account removed: the same name as an older account".to_owned();
        log::warn!("{name}: {action}");
        let (at, address) = (clock::unix_seconds(), "update".to_owned());
        audit_log::append_event(db, &AuditEvent { at, user: name, action, address })?;
    }
    db.execute_batch("create unique index users_folded on users(folded)")?;
    // Where counters meet, the longest lock remains.
    for name in read_texts(db, "select name from tries order by locked_until, failed")? {
        let sql = "update or replace tries set name = ?2 where name = ?1";
        let folded = fold_name(&name);
        db.execute(sql, [name, folded])?;
    }
    Ok(())
}

fn read_texts(db: &Connection, question: &str) -> rusqlite::Result<Vec<String>> {
    db.prepare(question)?.query_map([], |row| row.get(0))?.collect()
}

/// Creates the file if there is none, and removes access for other users, because it holds password
/// hashes. The mode is set by descriptor and no link is followed, so only this file is changed. A
/// failure to change the mode is left to the administrator.
fn create_private_file(path: &Path) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new();
    file.read(true).write(true).create(true).mode(0o600);
    let file = file.custom_flags(OFlag::O_NOFOLLOW.bits()).open(path)?;
    drop(file.set_permissions(std::fs::Permissions::from_mode(0o600)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts;

    #[test]
    fn a_database_opens_again_and_one_of_tomorrow_does_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("portal.sqlite");
        drop(Db::open(&path).expect("made"));
        let db = Db::open(&path).expect("opened again");
        let mode = std::os::unix::fs::MetadataExt::mode(&path.metadata().expect("there"));
        assert_eq!(mode & 0o777, 0o600);
        let other = folder.path().join("other");
        std::fs::write(&other, "").expect("written");
        std::fs::set_permissions(&other, PermissionsExt::from_mode(0o644)).expect("set");
        let link = folder.path().join("link.sqlite");
        std::os::unix::fs::symlink(&other, &link).expect("laid");
        assert!(matches!(Db::open(&link), Err(DbError::File { .. })), "links are not followed");
        let mode = std::os::unix::fs::MetadataExt::mode(&other.metadata().expect("there"));
        assert_eq!((mode & 0o777, other.metadata().expect("there").len()), (0o644, 0));
        db.call_blocking(|db| db.pragma_update(None, "user_version", 99)).expect("set");
        drop(db);
        assert!(matches!(Db::open(&path), Err(DbError::NewerVersion { found: 99, .. })));
    }

    #[test]
    fn accounts_of_the_first_version_get_one_name_for_all_spellings() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("portal.sqlite");
        let old = Connection::open(&path).expect("made");
        old.execute_batch(SCHEMA).expect("the first version's tables");
        let rows = "pragma user_version = 1;
            insert into users (name, hash, made) values ('JÖRG', 'later', 20);
            insert into users (name, hash, made) values ('jörg', 'first', 10);
            insert into users (name, hash, made) values ('Asmith', 'other', 30);
            insert into sessions values (x'01', 'jörg', 'c', 50, 50, '::1', 'x');
            insert into sessions values (x'02', 'JÖRG', 'c', 50, 50, '::1', 'x');
            insert into tries values ('jörg', 0, 900, 50);
            insert into tries values ('jo\u{308}rg', 1, 0, 60);";
        old.execute_batch(rows).expect("filled");
        drop(old);
        for _ in 0..2 {
            let db = Db::open(&path).expect("updated");
            let read = |question| {
                let all = |db: &Connection| read_texts(db, question);
                db.call_blocking(all).expect("read")
            };
            assert_eq!(read("select name from users order by made"), ["jörg", "Asmith"]);
            assert_eq!(read("select folded from users order by made"), ["jo\u{308}rg", "asmith"]);
            assert_eq!(read("select hex(token) from sessions"), ["01"]);
            assert_eq!(read("select name || locked_until from tries"), ["jo\u{308}rg900"]);
            assert_eq!(
                read("select user || ': ' || what from events"),
                ["JÖRG: account removed: the same name as an older account"]
            );
            let locked = |db: &Connection| {
                accounts::find_account(db, "JO\u{308}RG").map(|found| found.map(|one| one.hash))
            };
            assert_eq!(db.call_blocking(locked).expect("found").as_deref(), Some("first"));
        }
    }
}
