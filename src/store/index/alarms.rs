//! Event alarms that no technician has cleared: they outlive a restart.

use crate::time::WallTime;
use serde::{Deserialize, Serialize};

/// Noted alarms at most; further ones are not noted until a technician clears some.
pub const NOTED_ALARMS_MAX: usize = 64;

/// An active event alarm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotedAlarm {
    pub number: u16,
    /// What it is about; empty for the box as a whole.
    pub subject: String,
    pub since: WallTime,
    pub text: String,
}

/// The active event alarms, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotedAlarms(Vec<NotedAlarm>);

impl NotedAlarms {
    pub(super) fn raise(&mut self, since: WallTime, number: u16, subject: &str, text: &str) {
        let is_known = |alarm: &NotedAlarm| (alarm.number, &*alarm.subject) == (number, subject);
        if !self.is_full() && !self.0.iter().any(is_known) {
            let (subject, text) = (subject.to_owned(), text.to_owned());
            self.0.push(NotedAlarm { number, subject, since, text });
        }
    }

    /// Clears the alarm about one subject.
    pub(super) fn resolve(&mut self, number: u16, subject: &str) {
        self.0.retain(|alarm| (alarm.number, &*alarm.subject) != (number, subject));
    }

    pub(super) fn clear(&mut self, number: u16) {
        self.0.retain(|alarm| alarm.number != number);
    }

    /// Whether no further alarm can be noted.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.0.len() >= NOTED_ALARMS_MAX
    }

    /// Whether any alarm of this number is noted.
    #[must_use]
    pub fn contains(&self, number: u16) -> bool {
        self.0.iter().any(|alarm| alarm.number == number)
    }

    pub fn iter(&self) -> impl Iterator<Item = &NotedAlarm> {
        self.0.iter()
    }
}
