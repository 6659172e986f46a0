//! All agent sessions, by username.
//!
//! Browser tabs, forms and live state of one agent share one session. Pages come and go, so an
//! unused session stays open for a minute.

use crate::box_client::agent_session::AgentSession;
use crate::clock;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long an unused session stays open.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub struct AgentSessions {
    socket: PathBuf,
    sessions: Mutex<BTreeMap<String, (Arc<AgentSession>, Instant)>>,
}

impl AgentSessions {
    #[must_use]
    pub fn new(socket: PathBuf) -> AgentSessions {
        AgentSessions { socket, sessions: Mutex::default() }
    }

    /// Returns this user's session, and opens it if there is none.
    #[must_use]
    pub fn get_or_start(&self, user: &str) -> Arc<AgentSession> {
        let mut links = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = || Arc::new(AgentSession::start(self.socket.clone(), user.to_owned()));
        let entry =
            links.entry(protocol::name::fold_name(user)).or_insert_with(|| (begin(), clock::now()));
        entry.1 = clock::now();
        Arc::clone(&entry.0)
    }

    /// Closes sessions that were unused for `IDLE_TIMEOUT`.
    pub fn drop_unused(&self) {
        let mut links = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        links
            .retain(|_, (link, used)| Arc::strong_count(link) > 1 || used.elapsed() < IDLE_TIMEOUT);
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
