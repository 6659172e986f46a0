//! The table of sessions: by id, and by the agent who is logged in or whose screen is captured.
//!
//! `log_in` is the only way to give a session its principal, so that no key is left behind.

use crate::calls::directory::AgentIndex;
use crate::id::SessionId;
use crate::recorder::{Principal, Session};
use crate::time::WallTime;
use protocol::{Kind, program};
use std::collections::BTreeSet;

/// All connections, ordered by id for binary search.
#[derive(Debug, Default)]
pub(in crate::recorder) struct SessionTable {
    sessions: Vec<Session>,
    /// Sessions by kind and agent; the kinds are agent and screen.
    by_agent: BTreeSet<(Kind, AgentIndex, SessionId)>,
    last_log_in: u64,
    /// Time of the last log-in of a program that told no start; a clock set back does not lower it.
    last_untold: WallTime,
}

impl SessionTable {
    pub fn insert(&mut self, session: Session) {
        // Usually the last place, except after a handshake longer than a later client's.
        assert!(self.get(session.id).is_none(), "each session has its own id");
        assert!(session.who.is_none(), "a session begins without hello");
        let place = self.sessions.partition_point(|other| other.id < session.id);
        self.sessions.insert(place, session);
    }

    pub fn remove(&mut self, id: SessionId) -> Option<Session> {
        let session = self.sessions.remove(self.index_of(id)?);
        let agent = session.who.as_ref().and_then(|who| Some((who.kind, who.agent?, id)));
        agent.map(|key| self.by_agent.remove(&key));
        Some(session)
    }

    /// Gives a session its principal.
    pub fn log_in(&mut self, now: WallTime, id: SessionId, who: Principal) {
        self.last_log_in += 1;
        let told = who.client.as_deref().and_then(program::started_ms);
        let told = told.and_then(|ms| i64::try_from(ms).ok()).map(WallTime);
        let started = told.unwrap_or_else(|| {
            self.last_untold = self.last_untold.max(now);
            self.last_untold
        });
        let started = (started, self.last_log_in);
        let Some(session) = self.get_mut(id) else { return };
        let key = who.agent.map(|agent| (who.kind, agent, id));
        (session.who, session.started) = (Some(who), started);
        self.by_agent.extend(key);
    }

    fn index_of(&self, id: SessionId) -> Option<usize> {
        self.sessions.binary_search_by_key(&id, |session| session.id).ok()
    }

    pub fn get(&self, id: SessionId) -> Option<&Session> {
        self.index_of(id).map(|index| &self.sessions[index])
    }

    pub fn get_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.index_of(id).map(|index| &mut self.sessions[index])
    }

    pub fn iter(&self) -> impl Iterator<Item = &Session> {
        self.sessions.iter()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Session> {
        self.sessions.iter_mut()
    }

    pub fn count(&self) -> usize {
        self.sessions.len()
    }

    /// The id of the `index`-th session.
    pub fn id_at(&self, index: usize) -> SessionId {
        self.sessions[index].id
    }

    fn ids_of(
        &self,
        kind: Kind,
        agent: AgentIndex,
    ) -> impl DoubleEndedIterator<Item = SessionId> + use<'_> {
        let all = (kind, agent, SessionId(0))..=(kind, agent, SessionId(u64::MAX));
        self.by_agent.range(all).map(|(_, _, id)| *id)
    }

    /// The sessions in which an agent is logged in.
    pub fn sessions_of(&self, agent: AgentIndex) -> impl Iterator<Item = &Session> {
        self.ids_of(Kind::Agent, agent).filter_map(|id| self.get(id))
    }

    /// The sessions that can capture an agent's screen.
    pub fn screens_of(&self, agent: AgentIndex) -> impl Iterator<Item = &Session> {
        self.ids_of(Kind::Screen, agent).filter_map(|id| self.get(id))
    }

    fn agents(&self, kind: Kind) -> impl Iterator<Item = AgentIndex> {
        self.by_agent.iter().filter(move |key| key.0 == kind).map(|key| key.1)
    }

    /// Agents who are logged in.
    pub fn logged_in_agents(&self) -> impl Iterator<Item = AgentIndex> {
        self.agents(Kind::Agent)
    }

    /// Agents whose screen can be captured.
    pub fn captured_agents(&self) -> impl Iterator<Item = AgentIndex> {
        self.agents(Kind::Screen)
    }

    /// Marks the sessions of agents for a new state.
    pub fn mark_state_changed(&mut self, agents: &BTreeSet<AgentIndex>) {
        for agent in agents {
            let ids: Vec<SessionId> = self.ids_of(Kind::Agent, *agent).collect();
            for id in ids {
                if let Some(session) = self.get_mut(id) {
                    session.state_changed = true;
                }
            }
        }
    }
}
