//! What happened at the box lately: its events, as it tells them to a read-only session.
//!
//! One connection listens all the time and keeps the newest, those from before it came included, as
//! far as the box remembers them. The portal's own questions, which come and go all the time, are
//! left out. Events name devices, people and recordings, never a number or a field.

use crate::box_client::client::Desk;
use crate::box_client::connection::{Talk, TalkError};
use crate::box_client::keep_alive::{Beat, Pulse};
use crate::clock;
use protocol::client::{ClientEvent, Pairs};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// So many are kept.
const KEPT: usize = 200;
/// Before the box is tried again.
const AGAIN: Duration = Duration::from_secs(2);

#[derive(Debug, Default)]
struct Told {
    events: VecDeque<Pairs>,
    /// The start of the box that tells, and the number of its next event.
    boot: u32,
    next: u64,
    /// Why nothing is heard just now.
    lost: Option<String>,
}

/// What is known of them.
#[derive(Debug, Default)]
pub struct Happened(Mutex<Told>);

/// Whether somebody wants to know.
fn matters(event: &Pairs) -> bool {
    let what = event.get("what").unwrap_or_default();
    let questions = matches!(event.get("kind"), Some("supervisor" | "monitor"));
    !(what.is_empty() || what == "checkpoint" || what.starts_with("log-") && questions)
}

impl Told {
    fn take(&mut self, event: Pairs) {
        let number = event.get("seq").and_then(|seq| seq.parse::<u64>().ok());
        let checkpoint = event.get("what") == Some("checkpoint");
        if let Some(number) = number.filter(|_| !checkpoint) {
            self.next = number.saturating_add(1);
        }
        if matters(&event) {
            self.events.truncate(KEPT - 1);
            self.events.push_front(event);
        }
    }

    /// From which event on a box that has started so often is asked.
    fn greet(&mut self, boot: u32) -> u64 {
        if self.boot != boot {
            (self.boot, self.next) = (boot, 1);
        }
        self.lost = None;
        self.next.max(1)
    }
}

impl Happened {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest first, and why there is nothing newer.
    #[must_use]
    pub fn newest(&self, count: usize) -> (Vec<Pairs>, Option<String>) {
        let told = self.told();
        (told.events.iter().take(count).cloned().collect(), told.lost.clone())
    }

    /// Listens, for ever.
    pub async fn listen(&self, desk: &Desk) {
        loop {
            if let Err(error) = self.hear(desk).await {
                self.told().lost = Some(error.to_string());
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn hear(&self, desk: &Desk) -> Result<(), TalkError> {
        let mut talk = desk.monitor().await?;
        let from = self.told().greet(talk.greeting().boot);
        talk.need(&format!("watch from={from}")).await?;
        let mut pulse = Pulse::new(clock::now());
        loop {
            let due = tokio::time::Instant::from_std(pulse.due());
            match tokio::time::timeout_at(due, talk.event()).await {
                Ok(event) => self.heard(event?, &mut pulse),
                Err(_) => beat(&mut talk, &mut pulse).await?,
            }
        }
    }

    fn heard(&self, event: ClientEvent, pulse: &mut Pulse) {
        match event {
            ClientEvent::Event(event) => self.told().take(event),
            ClientEvent::Reply(_) => pulse.answered(),
            _ => {}
        }
    }
}

async fn beat(talk: &mut Talk, pulse: &mut Pulse) -> Result<(), TalkError> {
    match pulse.beat(clock::now()) {
        Beat::Ping => talk.send("ping").await,
        Beat::Lost => Err(TalkError::Silent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(seq: u64, what: &str, kind: &str) -> Pairs {
        let pairs = [("seq", seq.to_string()), ("what", what.into()), ("kind", kind.into())];
        Pairs(pairs.map(|(key, value)| (key.to_owned(), value)).into())
    }

    #[test]
    fn the_newest_are_kept_and_a_box_that_starts_anew_counts_anew() {
        let happened = Happened::default();
        assert_eq!(happened.told().greet(4), 1);
        for seq in 1..=300 {
            happened.told().take(event(seq, "call-began", "-"));
        }
        // The portal's own questions and checkpoints, which have numbers of their own.
        happened.told().take(event(301, "log-in", "supervisor"));
        happened.told().take(event(9000, "checkpoint", "-"));
        happened.told().take(event(302, "log-in", "technician"));
        let (newest, lost) = happened.newest(1000);
        assert_eq!((newest.len(), lost), (KEPT, None));
        assert_eq!([newest[0].get("seq"), newest[1].get("seq")], [Some("302"), Some("300")]);
        assert_eq!(happened.told().greet(4), 303, "what was missed is asked for");
        assert_eq!(happened.told().greet(5), 1);
        assert_eq!(happened.newest(1000).0.len(), KEPT, "what happened before did happen");
    }
}
