//! Enrolled workstations, folded from enrolments and revocations.
//!
//! Only certificates listed here are accepted. Revoked and replaced ones are removed.

use crate::store::fact::EnrolledWorkstation;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The enrolled workstations, by machine name in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolments(BTreeMap<String, EnrolledWorkstation>);

impl Enrolments {
    pub(super) fn enrol(&mut self, enrolment: &EnrolledWorkstation) {
        self.0.insert(enrolment.machine.to_ascii_lowercase(), enrolment.clone());
    }

    /// Removes a workstation. Returns whether it was enrolled.
    pub(super) fn revoke(&mut self, machine: &str) -> bool {
        self.0.remove(&machine.to_ascii_lowercase()).is_some()
    }

    #[must_use]
    pub fn for_machine(&self, machine: &str) -> Option<&EnrolledWorkstation> {
        self.0.get(&machine.to_ascii_lowercase())
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
