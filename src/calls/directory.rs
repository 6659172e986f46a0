//! Directory of agents by username, phone and workstation.
//!
//! Built from a configuration. Look-ups ignore case (see `protocol::name`); a missing domain
//! matches any, a different one is an unknown user (D1). A username must be unique across domains:
//! a duplicate makes the login fail with an error that names the entries (D2).

use crate::calls::permission::Permissions;
use crate::config::{Agent, Workstation};
use protocol::name::{fold_name, is_same_name};
use std::collections::{BTreeMap, VecDeque};

/// Index of an agent in the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AgentIndex(pub usize);

/// All agents and workstations in the configuration.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    agents: Vec<Agent>,
    workstations: Vec<Workstation>,
    /// Indexes of the agents that are not removed, by folded username.
    by_username: BTreeMap<String, Vec<usize>>,
}

/// Why a login found no agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LookupError {
    /// Unknown username, other domain, or workstation not allowed.
    UnknownUser,
    /// Several agents share the username: their names and lines, for the log (D2).
    DuplicateUser(Vec<(String, u32)>),
}

impl Directory {
    /// Creates a directory. Agents with the same username are all kept.
    #[must_use]
    pub fn new(agents: &[Agent], workstations: &[Workstation]) -> Directory {
        let (agents, workstations) = (agents.to_vec(), workstations.to_vec());
        let mut directory = Directory { agents, workstations, by_username: BTreeMap::new() };
        directory.index_usernames();
        directory
    }

    fn index_usernames(&mut self) {
        self.by_username.clear();
        for (index, agent) in self.agents.iter().enumerate().filter(|(_, a)| !a.is_removed) {
            self.by_username.entry(fold_name(&agent.username)).or_default().push(index);
        }
    }

    /// Applies a new configuration. Known agents keep their index. Removed agents keep it too,
    /// but lose their permissions and phones and cannot log in.
    pub fn update(&mut self, agents: &[Agent], workstations: &[Workstation]) {
        self.workstations = workstations.to_vec();
        let mut new: Vec<Option<Agent>> = agents.iter().cloned().map(Some).collect();
        let mut places: BTreeMap<String, VecDeque<usize>> = BTreeMap::new();
        for (index, agent) in agents.iter().enumerate() {
            places.entry(fold_name(&agent.username)).or_default().push_back(index);
        }
        for old in &mut self.agents {
            let place = places.get_mut(&fold_name(&old.username)).and_then(VecDeque::pop_front);
            match place.and_then(|index| new[index].take()) {
                Some(agent) => *old = agent,
                None => {
                    old.permissions = Permissions::default();
                    old.phones.clear();
                    old.is_removed = true;
                }
            }
        }
        self.agents.extend(new.into_iter().flatten());
        self.index_usernames();
    }

    /// Finds the agent who logs in as `user`, with `domain` if the client knows it.
    ///
    /// # Errors
    /// `LookupError` if no agent, or more than one, matches.
    pub fn find_for_log_in(
        &self,
        user: &str,
        domain: Option<&str>,
    ) -> Result<AgentIndex, LookupError> {
        let found = self.by_username.get(&fold_name(user)).map_or(&[][..], Vec::as_slice);
        let &[index] = found else {
            if found.is_empty() {
                return Err(LookupError::UnknownUser);
            }
            let agents = found.iter().map(|index| &self.agents[*index]);
            let names = agents.map(|agent| (agent.name.clone(), agent.line));
            return Err(LookupError::DuplicateUser(names.collect()));
        };
        match (domain, &self.agents[index].domain) {
            (Some(asked), Some(known)) if !is_same_name(asked, known) => {
                Err(LookupError::UnknownUser)
            }
            _ => Ok(AgentIndex(index)),
        }
    }

    /// Returns the agent with this username, if it is unique.
    #[must_use]
    pub fn find_by_username(&self, user: &str) -> Option<AgentIndex> {
        self.find_for_log_in(user, None).ok()
    }

    /// Returns the agent with this phone (extension or agent number).
    #[must_use]
    pub fn find_by_phone(&self, phone: &str) -> Option<AgentIndex> {
        let has = |agent: &Agent| agent.phones.iter().any(|own| own == phone);
        self.agents.iter().position(has).map(AgentIndex)
    }

    /// Returns the phone at this machine (the fallback of D1).
    #[must_use]
    pub fn workstation_device(&self, machine: &str) -> Option<&str> {
        let same = |w: &&Workstation| is_same_name(&w.machine, machine);
        self.workstations.iter().find(same).map(|w| w.device.as_str())
    }

    /// Returns the agent at an index.
    ///
    /// # Panics
    /// If the index is from another directory.
    #[must_use]
    pub fn agent_at(&self, index: AgentIndex) -> &Agent {
        &self.agents[index.0]
    }

    #[must_use]
    pub fn permissions(&self, index: AgentIndex) -> Permissions {
        self.agent_at(index).permissions
    }

    /// Whether the agent may log in from `machine`; an empty list allows any.
    #[must_use]
    pub fn may_log_in_from(&self, index: AgentIndex, machine: Option<&str>) -> bool {
        let allowed = &self.agent_at(index).workstations;
        let sits = |machine: &str| allowed.iter().any(|own| is_same_name(own, machine));
        allowed.is_empty() || machine.is_some_and(sits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(username: &str, domain: Option<&str>, phone: &str, line: u32) -> Agent {
        Agent {
            username: username.into(),
            domain: domain.map(Into::into),
            name: format!("Agent {username}"),
            phones: vec![phone.into()],
            permissions: Permissions::default(),
            screen: false,
            workstations: Vec::new(),
            line,
            is_removed: false,
        }
    }

    #[test]
    fn d1_look_up_is_by_username_alone_and_a_different_domain_is_unknown() {
        let agents = [agent("jdoe", Some("ACME"), "1001", 3), agent("bob", None, "1002", 9)];
        let directory = Directory::new(&agents, &[]);
        assert_eq!(directory.find_for_log_in("JDoe", Some("acme")), Ok(AgentIndex(0)));
        assert_eq!(directory.find_for_log_in("jdoe", None), Ok(AgentIndex(0)));
        assert_eq!(directory.find_for_log_in("jdoe", Some("OTHER")), Err(LookupError::UnknownUser));
        assert_eq!(directory.find_for_log_in("bob", Some("ANY")), Ok(AgentIndex(1)));
        assert_eq!(directory.find_by_phone("1002"), Some(AgentIndex(1)));
    }

    #[test]
    fn a_reload_keeps_the_place_of_every_agent() {
        let two = [agent("jdoe", None, "1001", 3), agent("bob", None, "1002", 9)];
        let mut directory = Directory::new(&two, &[]);
        directory.update(&[agent("eve", None, "7", 1), agent("Bob", None, "1003", 2)], &[]);
        assert_eq!(directory.find_by_username("bob"), Some(AgentIndex(1)));
        assert_eq!(directory.find_by_phone("1003"), Some(AgentIndex(1)));
        assert_eq!(directory.find_by_username("eve"), Some(AgentIndex(2)));
        assert_eq!(directory.find_for_log_in("jdoe", None), Err(LookupError::UnknownUser));
    }

    #[test]
    fn d2_a_duplicate_username_finds_no_agent_and_names_them_all() {
        let agents = [agent("jdoe", Some("ACME"), "1", 3), agent("JDOE", Some("EMEA"), "2", 9)];
        let directory = Directory::new(&agents, &[]);
        let named = vec![("Agent jdoe".to_string(), 3), ("Agent JDOE".to_string(), 9)];
        assert_eq!(
            directory.find_for_log_in("jdoe", Some("ACME")),
            Err(LookupError::DuplicateUser(named))
        );
        assert_eq!(directory.find_by_username("jdoe"), None);
    }

    #[test]
    fn d2_names_in_any_script_are_compared_as_the_check_compares_them() {
        let agents = [agent("jörg", Some("MÜNCHEN"), "1", 3), agent("Straße", None, "2", 9)];
        let mut directory = Directory::new(&agents, &[]);
        let decomposed = "JO\u{308}RG";
        for user in ["jörg", "JÖRG", decomposed] {
            assert_eq!(
                directory.find_for_log_in(user, Some("münchen")),
                Ok(AgentIndex(0)),
                "{user}"
            );
        }
        assert_eq!(directory.find_by_username("STRASSE"), Some(AgentIndex(1)));
        directory.update(&[agent(decomposed, None, "7", 1)], &[]);
        assert_eq!(directory.find_by_phone("7"), Some(AgentIndex(0)), "the same agent");
        let twins = [agent("jörg", None, "1", 3), agent(decomposed, None, "2", 9)];
        let found = Directory::new(&twins, &[]).find_for_log_in("jörg", None);
        assert!(matches!(found, Err(LookupError::DuplicateUser(both)) if both.len() == 2));
    }
}
