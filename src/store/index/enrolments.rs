//! Enrolled workstations, folded from enrolments and revocations.
//!
//! Only certificates listed here are accepted. Revoked and replaced ones are removed.

use crate::store::fact::EnrolledWorkstation;
use protocol::name::{fold_name, is_same_name};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The enrolled workstations, by folded machine name. Older versions kept a
/// name that is not ASCII under another key, so such names are searched for too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolments(BTreeMap<String, EnrolledWorkstation>);

impl Enrolments {
    pub(super) fn enrol(&mut self, enrolment: &EnrolledWorkstation) {
        self.revoke(&enrolment.machine);
        self.0.insert(fold_name(&enrolment.machine), enrolment.clone());
    }

    /// Removes a workstation. Returns whether it was enrolled.
    pub(super) fn revoke(&mut self, machine: &str) -> bool {
        let Some(key) = self.key_of(machine) else { return false };
        self.0.remove(&key).is_some()
    }

    #[must_use]
    pub fn for_machine(&self, machine: &str) -> Option<&EnrolledWorkstation> {
        self.key_of(machine).and_then(|key| self.0.get(&key))
    }

    fn key_of(&self, machine: &str) -> Option<String> {
        let key = fold_name(machine);
        if self.0.contains_key(&key) || machine.is_ascii() {
            return Some(key);
        }
        self.0
            .iter()
            .find(|(_, known)| is_same_name(&known.machine, machine))
            .map(|(key, _)| key.clone())
    }

    #[must_use]
    pub fn for_certificate(&self, digest: &[u8; 32]) -> Option<&EnrolledWorkstation> {
        self.0.values().find(|enrolment| enrolment.certificate == *digest)
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
