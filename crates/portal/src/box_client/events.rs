//! Recent events of the recorder, as a read-only session receives them.
//!
//! One permanent connection keeps the newest events, including earlier ones that the recorder still
//! remembers. Log-ins of the portal's own short connections are filtered out. Events name devices,
//! users and recordings, never a number or a field.

use crate::box_client::client::BoxClient;
use crate::box_client::connection::{BoxConnection, ConnectionError};
use crate::box_client::keep_alive::{KeepAlive, KeepAliveAction};
use crate::clock;
use protocol::client::{ClientEvent, Pairs};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const EVENTS_MAX: usize = 200;
/// Pause before a reconnect.
const RETRY_INTERVAL: Duration = Duration::from_secs(2);

#[derive(Debug, Default)]
struct EventBuffer {
    events: VecDeque<Pairs>,
    /// Boot number of the recorder, and the number of its next event.
    boot: u32,
    next_seq: u64,
    /// Why no events arrive at present.
    connection_error: Option<String>,
}

/// Shared buffer of recent events.
#[derive(Debug, Default)]
pub struct BoxEvents(Mutex<EventBuffer>);

/// Whether an event is worth showing.
fn is_relevant(event: &Pairs) -> bool {
    let what = event.get("what").unwrap_or_default();
    let questions = matches!(event.get("kind"), Some("supervisor" | "monitor"));
    !(what.is_empty() || what == "checkpoint" || what.starts_with("log-") && questions)
}

impl EventBuffer {
    fn add_event(&mut self, event: Pairs) {
        let number = event.get("seq").and_then(|seq| seq.parse::<u64>().ok());
        let checkpoint = event.get("what") == Some("checkpoint");
        if let Some(number) = number.filter(|_| !checkpoint) {
            self.next_seq = number.saturating_add(1);
        }
        if is_relevant(&event) {
            self.events.truncate(EVENTS_MAX - 1);
            self.events.push_front(event);
        }
    }

    /// Returns the first event number to request from this boot of the recorder.
    fn start_watch(&mut self, boot: u32) -> u64 {
        if self.boot != boot {
            (self.boot, self.next_seq) = (boot, 1);
        }
        self.connection_error = None;
        self.next_seq.max(1)
    }
}

impl BoxEvents {
    fn lock_buffer(&self) -> MutexGuard<'_, EventBuffer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the events, newest first, and the connection error if there is one.
    #[must_use]
    pub fn newest_events(&self, count: usize) -> (Vec<Pairs>, Option<String>) {
        let buffer = self.lock_buffer();
        (buffer.events.iter().take(count).cloned().collect(), buffer.connection_error.clone())
    }

    /// Watches the recorder's events forever.
    pub async fn watch_forever(&self, box_client: &BoxClient) {
        loop {
            if let Err(error) = self.watch_once(box_client).await {
                self.lock_buffer().connection_error = Some(error.to_string());
            }
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
    }

    async fn watch_once(&self, box_client: &BoxClient) -> Result<(), ConnectionError> {
        let mut connection = box_client.connect_monitor().await?;
        let from = self.lock_buffer().start_watch(connection.greeting().boot);
        connection.request_ok(&format!("watch from={from}")).await?;
        let mut pulse = KeepAlive::new(clock::now());
        loop {
            let due = tokio::time::Instant::from_std(pulse.poll_timeout());
            match tokio::time::timeout_at(due, connection.next_event()).await {
                Ok(event) => self.handle_event(event?, &mut pulse),
                Err(_) => send_keep_alive(&mut connection, &mut pulse).await?,
            }
        }
    }

    fn handle_event(&self, event: ClientEvent, pulse: &mut KeepAlive) {
        match event {
            ClientEvent::Event(event) => self.lock_buffer().add_event(event),
            ClientEvent::Reply(_) => pulse.on_pong(),
            _ => {}
        }
    }
}

async fn send_keep_alive(
    connection: &mut BoxConnection,
    pulse: &mut KeepAlive,
) -> Result<(), ConnectionError> {
    match pulse.handle_timeout(clock::now()) {
        KeepAliveAction::SendPing => connection.send("ping").await,
        KeepAliveAction::TimedOut => Err(ConnectionError::TimedOut),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make_event(seq: u64, what: &str, kind: &str) -> Pairs {
        let pairs = [("seq", seq.to_string()), ("what", what.into()), ("kind", kind.into())];
        Pairs(pairs.map(|(key, value)| (key.to_owned(), value)).into())
    }

    #[test]
    fn the_newest_are_kept_and_a_box_that_starts_anew_counts_anew() {
        let happened = BoxEvents::default();
        assert_eq!(happened.lock_buffer().start_watch(4), 1);
        for seq in 1..=300 {
            happened.lock_buffer().add_event(make_event(seq, "call-began", "-"));
        }
        // The portal's own log-ins and checkpoints use up event numbers too.
        happened.lock_buffer().add_event(make_event(301, "log-in", "supervisor"));
        happened.lock_buffer().add_event(make_event(9000, "checkpoint", "-"));
        happened.lock_buffer().add_event(make_event(302, "log-in", "technician"));
        let (newest, lost) = happened.newest_events(1000);
        assert_eq!((newest.len(), lost), (EVENTS_MAX, None));
        assert_eq!([newest[0].get("seq"), newest[1].get("seq")], [Some("302"), Some("300")]);
        assert_eq!(happened.lock_buffer().start_watch(4), 303, "what was missed is asked for");
        assert_eq!(happened.lock_buffer().start_watch(5), 1);
        assert_eq!(
            happened.newest_events(1000).0.len(),
            EVENTS_MAX,
            "what happened before did happen"
        );
    }
}
