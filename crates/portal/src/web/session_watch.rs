//! The sessions that have open streams or transfers, checked for all of them at once.
//!
//! Every `RECHECK_INTERVAL`, and when sessions may have ended, one query finds the sessions that
//! live. The recorder is asked once for each user with an open live view. So the cost does not grow
//! with the number of tabs, and a session can open a limited number of streams.

use super::{AppError, AppState, RECHECK_INTERVAL};
use crate::accounts::sessions::{self, Session};
use crate::clock;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// Streams and transfers of one session at a time.
pub const STREAMS_PER_SESSION_MAX: usize = 20;
/// Shortest time between two checks, however often sessions end.
const CHECK_PAUSE: Duration = Duration::from_millis(100);

/// What a stream knows of its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionStatus {
    /// It ends after this time without activity.
    Alive {
        remaining_s: i64,
    },
    Ended,
}

/// Receivers of each session's status, and of each user's right `monitor`. The number of receivers
/// is the number of open streams.
#[derive(Debug, Default)]
struct Watched {
    sessions: BTreeMap<Vec<u8>, watch::Sender<SessionStatus>>,
    monitors: BTreeMap<String, watch::Sender<bool>>,
}

#[derive(Debug)]
pub struct SessionWatch {
    watched: Mutex<Watched>,
    /// Changes when sessions may have ended.
    changed: watch::Sender<u64>,
}

impl SessionWatch {
    pub fn new() -> SessionWatch {
        SessionWatch { watched: Mutex::default(), changed: watch::Sender::new(0) }
    }

    fn lock(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the sessions checked soon, because some may have ended.
    pub fn request_check(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    /// Registers a stream of a session that lives now. The first status is there at once.
    pub fn open_stream(
        &self,
        session: &[u8],
        remaining_s: i64,
    ) -> Result<watch::Receiver<SessionStatus>, AppError> {
        let mut watched = self.lock();
        let new = || watch::Sender::new(SessionStatus::Alive { remaining_s });
        let status = watched.sessions.entry(session.to_vec()).or_insert_with(new);
        if status.receiver_count() >= STREAMS_PER_SESSION_MAX {
            return Err(AppError::TooManyStreams);
        }
        let mut status = status.subscribe();
        status.mark_changed();
        Ok(status)
    }

    /// Registers a live view of a user, spelled as in the account, who may see it now.
    pub fn open_live_view(&self, user: &str) -> watch::Receiver<bool> {
        let mut watched = self.lock();
        let new = || watch::Sender::new(true);
        watched.monitors.entry(user.to_owned()).or_insert_with(new).subscribe()
    }

    fn publish_sessions(&self, alive: &BTreeMap<Vec<u8>, i64>) {
        let mut watched = self.lock();
        watched.sessions.retain(|_, status| status.receiver_count() > 0);
        for (key, status) in &watched.sessions {
            status.send_replace(match alive.get(key) {
                Some(&remaining_s) => SessionStatus::Alive { remaining_s },
                None => SessionStatus::Ended,
            });
        }
    }

    fn live_view_users(&self) -> Vec<String> {
        let mut watched = self.lock();
        watched.monitors.retain(|_, may| may.receiver_count() > 0);
        watched.monitors.keys().cloned().collect()
    }

    fn publish_right(&self, user: &str, may_monitor: bool) {
        if let Some(may) = self.lock().monitors.get(user) {
            may.send_replace(may_monitor);
        }
    }
}

/// Checks the sessions and rights of all streams forever.
pub async fn check_forever(portal: Arc<AppState>) {
    let mut changed = portal.session_watch.changed.subscribe();
    loop {
        let is_due = tokio::select! {
            () = tokio::time::sleep(RECHECK_INTERVAL) => true,
            _ = changed.changed() => false,
        };
        check_sessions(&portal).await;
        if is_due {
            check_rights(&portal).await;
        }
        tokio::time::sleep(CHECK_PAUSE).await;
    }
}

async fn check_sessions(portal: &AppState) {
    let (now, rule) = (clock::unix_seconds(), portal.session_policy());
    match portal.db.call(move |db| sessions::list_sessions(db, now, rule)).await {
        Ok(all) => {
            let remaining = |one: Session| {
                let remaining_s = one.remaining_s(now, rule);
                (one.key, remaining_s)
            };
            portal.session_watch.publish_sessions(&all.into_iter().map(remaining).collect());
        }
        Err(error) => log::error!("{error}"),
    }
}

async fn check_rights(portal: &AppState) {
    for user in portal.session_watch.live_view_users() {
        match portal.query_rights(&user).await {
            Ok(rights) => portal.session_watch.publish_right(&user, rights.has("monitor")),
            // The live view itself reports that the recorder is unreachable.
            Err(error) => log::warn!("whether {user} may still watch was not asked: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_one_session_are_limited_and_closed_ones_do_not_count() {
        let watch = SessionWatch::new();
        let open = |session: &[u8]| watch.open_stream(session, 900);
        let mut mine: Vec<_> =
            (0..STREAMS_PER_SESSION_MAX).map(|_| open(b"mine").expect("a stream")).collect();
        assert!(matches!(open(b"mine"), Err(AppError::TooManyStreams)));
        let other = open(b"other").expect("others are not affected");
        mine.pop();
        mine.push(open(b"mine").expect("one was closed"));
        watch.publish_sessions(&BTreeMap::from([(b"other".to_vec(), 5)]));
        assert_eq!(*other.borrow(), SessionStatus::Alive { remaining_s: 5 });
        assert!(mine.iter().all(|one| *one.borrow() == SessionStatus::Ended));
        drop(mine);
        watch.publish_sessions(&BTreeMap::new());
        assert_eq!(watch.lock().sessions.len(), 1, "sessions without streams are forgotten");
    }
}
