//! Notifications to the agent, which users call balloons: one for each topic, never a flood.
//!
//! A notification replaces the previous one of its topic. Urgent ones, and all about a blackout,
//! are shown at once. Of the others, at most `BURST` are shown in a row and then one for each
//! `PAUSE_MS`; a newer notification replaces one of its topic that waits.
//!
//! This module is pure: `shell::notifier` shows the notifications, and the caller passes the time
//! in milliseconds.

use crate::agent_request::{AgentCommand, AgentRequest};
use std::collections::BTreeMap;

/// The most notifications in a row.
pub const BURST: u32 = 4;
/// The time between two notifications after a burst.
pub const PAUSE_MS: u64 = 1500;

/// The subject of a notification. Each topic shows one notification at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// The connection to the box.
    Link,
    Recording,
    Blackout,
    /// A blackout that came late; nothing else replaces it.
    LateBlackout,
    /// A blackout that was on before the call began.
    CarriedBlackout,
    Screen,
    /// A field update, or a command that was refused.
    Answer,
}

impl Topic {
    /// Every topic.
    pub const ALL: [Topic; 7] = [
        Topic::Link,
        Topic::Recording,
        Topic::Blackout,
        Topic::LateBlackout,
        Topic::CarriedBlackout,
        Topic::Screen,
        Topic::Answer,
    ];
}

/// What the agent can choose in a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotificationAction {
    /// The agent has seen it.
    Acknowledge,
    EndBlackout,
    KeepBlackout,
}

impl NotificationAction {
    /// Every action.
    pub const ALL: [NotificationAction; 3] = [
        NotificationAction::Acknowledge,
        NotificationAction::EndBlackout,
        NotificationAction::KeepBlackout,
    ];

    /// The name for the notification service.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            NotificationAction::Acknowledge => "acknowledge",
            NotificationAction::EndBlackout => "end-blackout",
            NotificationAction::KeepBlackout => "keep-blackout",
        }
    }

    /// The text of its button.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            NotificationAction::Acknowledge => "I have seen this",
            NotificationAction::EndBlackout => "End blackout",
            NotificationAction::KeepBlackout => "Keep it",
        }
    }

    /// The request that it makes. A repeated start confirms the blackout for the present call.
    #[must_use]
    pub fn request(self) -> AgentRequest {
        match self {
            NotificationAction::Acknowledge => AgentRequest::Acknowledge,
            NotificationAction::EndBlackout => AgentRequest::Command(AgentCommand::BlackoutStop),
            NotificationAction::KeepBlackout => AgentRequest::Command(AgentCommand::BlackoutStart),
        }
    }
}

/// The urgency of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    Low,
    Normal,
    /// Stays until it is replaced or closed, and is never held back.
    Urgent,
}

/// A notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    pub topic: Topic,
    pub urgency: Urgency,
    pub title: String,
    pub body: String,
    pub actions: Vec<NotificationAction>,
}

impl Notification {
    /// A notification of normal urgency.
    #[must_use]
    pub fn new(topic: Topic, title: impl Into<String>, body: impl Into<String>) -> Notification {
        let (title, body) = (title.into(), body.into());
        Notification { topic, urgency: Urgency::Normal, title, body, actions: Vec::new() }
    }

    /// The same notification with actions.
    #[must_use]
    pub fn with_actions(self, actions: &[NotificationAction]) -> Notification {
        Notification { actions: actions.to_vec(), ..self }
    }

    /// Whether it stays until the agent closes it.
    #[must_use]
    pub fn is_urgent(&self) -> bool {
        self.urgency == Urgency::Urgent
    }

    /// The same notification with another urgency.
    #[must_use]
    pub fn with_urgency(self, urgency: Urgency) -> Notification {
        Notification { urgency, ..self }
    }
}

/// Limits how often notifications are shown, and stores those that wait.
#[derive(Clone, Debug)]
pub struct NotificationQueue {
    /// How many more may be shown in a row.
    allowance: u32,
    /// When `allowance` last grew.
    refilled_ms: u64,
    waiting: BTreeMap<Topic, Notification>,
}

impl Default for NotificationQueue {
    fn default() -> NotificationQueue {
        NotificationQueue { allowance: BURST, refilled_ms: 0, waiting: BTreeMap::new() }
    }
}

impl NotificationQueue {
    /// Returns the notification if it may be shown now, else stores it for `take_due`.
    pub fn show_or_hold(
        &mut self,
        now_ms: u64,
        notification: Notification,
    ) -> Option<Notification> {
        self.refill_allowance(now_ms);
        self.waiting.remove(&notification.topic);
        if notification.is_urgent() || notification.topic == Topic::Blackout {
            return Some(notification);
        }
        if self.allowance == 0 {
            self.waiting.insert(notification.topic, notification);
            return None;
        }
        self.allowance -= 1;
        Some(notification)
    }

    /// A notification that waited and may be shown now.
    pub fn take_due(&mut self, now_ms: u64) -> Option<Notification> {
        self.refill_allowance(now_ms);
        if self.allowance == 0 {
            return None;
        }
        let (_, notification) = self.waiting.pop_first()?;
        self.allowance -= 1;
        Some(notification)
    }

    /// When `take_due` returns the next notification.
    #[must_use]
    pub fn deadline_ms(&self) -> Option<u64> {
        (!self.waiting.is_empty()).then(|| self.refilled_ms + PAUSE_MS)
    }

    fn refill_allowance(&mut self, now_ms: u64) {
        if self.allowance == BURST {
            self.refilled_ms = now_ms;
            return;
        }
        let earned = now_ms.saturating_sub(self.refilled_ms) / PAUSE_MS;
        let used = u64::from(BURST - self.allowance);
        if earned >= used {
            (self.allowance, self.refilled_ms) = (BURST, now_ms);
        } else {
            self.allowance += u32::try_from(earned).unwrap_or(BURST);
            self.refilled_ms += earned * PAUSE_MS;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(topic: Topic, n: u32) -> Notification {
        Notification::new(topic, n.to_string(), "")
    }

    #[test]
    fn a_flood_is_held_back_and_only_the_newest_of_a_topic_comes() {
        let mut queue = NotificationQueue::default();
        let shown =
            (0..100).filter(|n| queue.show_or_hold(1000, numbered(Topic::Link, *n)).is_some());
        assert_eq!(shown.count(), 4);
        assert_eq!(queue.take_due(1000), None);
        let next = queue.deadline_ms().expect("something waits");
        assert_eq!(next, 2500);
        assert_eq!(queue.take_due(next - 1), None);
        assert_eq!(queue.take_due(next), Some(numbered(Topic::Link, 99)));
        assert_eq!((queue.take_due(next), queue.deadline_ms()), (None, None));
    }

    #[test]
    fn urgent_ones_are_never_held_back() {
        let mut queue = NotificationQueue::default();
        for n in 0..100 {
            let urgent = numbered(Topic::Blackout, n).with_urgency(Urgency::Urgent);
            assert_eq!(queue.show_or_hold(5, urgent.clone()), Some(urgent));
        }
        for n in 0..5 {
            queue.show_or_hold(5, numbered(Topic::Recording, n));
        }
        assert!(queue.deadline_ms().is_some());
        assert!(
            queue
                .show_or_hold(5, numbered(Topic::Recording, 9).with_urgency(Urgency::Urgent))
                .is_some()
        );
        assert_eq!(queue.deadline_ms(), None, "what is older than what was shown is dropped");
    }

    #[test]
    fn after_a_pause_a_burst_is_allowed_again() {
        let mut queue = NotificationQueue::default();
        for n in 0..4 {
            assert!(queue.show_or_hold(0, numbered(Topic::Link, n)).is_some());
        }
        assert!(queue.show_or_hold(PAUSE_MS, numbered(Topic::Link, 5)).is_some());
        assert!(queue.show_or_hold(PAUSE_MS, numbered(Topic::Link, 6)).is_none());
        let later = PAUSE_MS * 100;
        let shown =
            (0..9).filter(|n| queue.show_or_hold(later, numbered(Topic::Screen, *n)).is_some());
        assert_eq!(shown.count(), 4);
    }
}
