//! The portal's SQLite database.
//!
//! It holds accounts, sessions, reset tokens, lockouts and the audit log, and no data of the
//! recorder. SQLite blocks on the disk, so `call` runs each query on a blocking thread.

use nix::fcntl::OFlag;
use rusqlite::{Connection, Transaction, TransactionBehavior};
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

const SCHEMA_VERSION: i64 = 1;

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
            0 => {
                db.execute_batch(SCHEMA).map_err(failed)?;
                db.pragma_update(None, "user_version", SCHEMA_VERSION).map_err(failed)?;
            }
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
}
