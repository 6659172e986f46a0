//! The connection to the box, in a thread of its own, because `client::Connection` blocks.
//!
//! The thread connects, says hello, reads the devices and the running calls, and then sends lines
//! and passes replies on. After a failure it connects again by `client::RetryPolicy`.

use crate::shell::clock::now;
use crate::translate::call::CallKey;
use crate::translate::reporter::BoxCall;
use client::{Address, Connection, Incoming, Login, RetryAction, RetryMode, RetryPolicy};
use protocol::client::{Pairs, Reply};
use protocol::{Code, Kind};
use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;
use tokio::sync::mpsc::Sender;

/// Time for a server to accept the connection and to greet.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time between two attempts.
const RETRY_INTERVAL_MS: u64 = 1000;
/// The box closes a session that is silent for 90 s.
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// How long an idle thread waits for a line before it looks whether the connection still stands.
const IDLE_INTERVAL: Duration = Duration::from_millis(500);
/// How long the thread waits for a reply before it looks for new lines.
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// A reply that takes longer means a dead connection.
const REPLY_TIMEOUT: Duration = Duration::from_secs(60);
/// Lines and events that wait for the other side.
const QUEUE_LINES: usize = 64;

/// What the box said.
#[derive(Debug)]
pub enum BoxEvent {
    /// The box accepted the hello, and lists its devices and calls.
    Up { connection: u64, devices: BTreeSet<String>, calls: Vec<BoxCall> },
    /// A reply: `None` for `ok`, or the refusal's code.
    Reply(Option<Option<Code>>),
    /// The connection failed or was lost.
    Down { reason: String },
}

/// A line for one connection. Lines for an earlier one are dropped, because they are made anew.
struct LineFor {
    connection: u64,
    line: String,
}

/// The sending side of the thread. Dropping it ends the thread.
pub struct BoxLink {
    lines: SyncSender<LineFor>,
}

impl BoxLink {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// When the system gives no thread.
    pub fn start(
        servers: Vec<Address>,
        user: &str,
        events: Sender<BoxEvent>,
    ) -> std::io::Result<BoxLink> {
        let (lines, inbox) = sync_channel(QUEUE_LINES);
        let client = format!("cti/{}", env!("CARGO_PKG_VERSION"));
        let hello =
            Login { user: Some(user.to_owned()), client: Some(client), ..Login::new(Kind::Cti) };
        let hello = hello.to_line();
        let thread = BoxThread { servers, hello, events, inbox };
        std::thread::Builder::new().name("box".to_owned()).spawn(move || thread.run())?;
        Ok(BoxLink { lines })
    }

    /// Sends a line. At most `reporter::IN_FLIGHT_MAX` lines are without a reply, so the queue has
    /// room.
    pub fn send(&self, connection: u64, line: String) {
        if self.lines.try_send(LineFor { connection, line }).is_err() {
            log::warn!("the thread of the box takes no line; the call is reported again later");
        }
    }
}

struct BoxThread {
    servers: Vec<Address>,
    hello: String,
    events: Sender<BoxEvent>,
    inbox: Receiver<LineFor>,
}

/// The program ends.
struct Ended;

impl BoxThread {
    fn run(self) {
        let mut retry = RetryPolicy::with_interval(RetryMode::SelfHealing, RETRY_INTERVAL_MS);
        let mut number = 0;
        loop {
            number += 1;
            let reason = match self.connect(number) {
                Ok((mut connection, up)) => {
                    retry.record_success();
                    if self.pass(up).is_err() {
                        return;
                    }
                    match self.serve(&mut connection, number) {
                        Ok(Ended) => return,
                        Err(reason) => reason,
                    }
                }
                Err(reason) => reason,
            };
            if self.pass(BoxEvent::Down { reason }).is_err() {
                return;
            }
            let wait = match retry.record_failure(random_bits()) {
                RetryAction::Retry { in_ms, .. } | RetryAction::Probe { in_ms } => in_ms,
                RetryAction::Standby => RETRY_INTERVAL_MS,
            };
            if self.discard_lines(Duration::from_millis(wait)).is_err() {
                return;
            }
        }
    }

    fn connect(&self, number: u64) -> Result<(Connection, BoxEvent), String> {
        let opened = Connection::open(&self.servers, CONNECT_TIMEOUT);
        let mut connection = opened.map_err(|error| error.to_string())?;
        let mut ask = |line: &str| -> Result<Vec<Pairs>, String> {
            let reply = connection.request(line).map_err(|error| error.to_string())?;
            let verb = line.split(' ').next().unwrap_or_default();
            let refused = |failure: protocol::client::Failure| {
                format!("the box refuses {verb}: {}: {}", failure.word, failure.text)
            };
            reply.outcome.map_err(refused)?;
            Ok(reply.rows)
        };
        ask(&self.hello)?;
        let value = |row: &Pairs, key: &str| row.get(key).unwrap_or_default().to_owned();
        let devices = ask("channels")?.iter().map(|row| value(row, "device")).collect();
        let calls = ask("calls")?;
        let calls = calls.iter().map(|row| BoxCall {
            key: CallKey { device: value(row, "device"), call: value(row, "call") },
            held: row.get("held") == Some("yes"),
        });
        let calls = calls.collect();
        Ok((connection, BoxEvent::Up { connection: number, devices, calls }))
    }

    /// Sends lines and passes replies on, until the connection is lost.
    fn serve(&self, connection: &mut Connection, number: u64) -> Result<Ended, String> {
        // For each command without a reply, whether it is a ping.
        let mut unanswered = std::collections::VecDeque::new();
        let mut last_reply = now();
        loop {
            let wait = if unanswered.is_empty() { IDLE_INTERVAL } else { Duration::ZERO };
            match self.inbox.recv_timeout(wait) {
                Ok(LineFor { connection: of, .. }) if of != number => continue,
                Ok(LineFor { line, .. }) => {
                    if unanswered.is_empty() {
                        last_reply = now();
                    }
                    connection.send(&line).map_err(|error| error.to_string())?;
                    unanswered.push_back(false);
                    continue;
                }
                Err(RecvTimeoutError::Timeout)
                    if unanswered.is_empty() && last_reply.elapsed() > PING_INTERVAL =>
                {
                    last_reply = now();
                    connection.send("ping").map_err(|error| error.to_string())?;
                    unanswered.push_back(true);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    drop(connection.request("quit"));
                    return Ok(Ended);
                }
            }
            match connection.recv(POLL_INTERVAL).map_err(|error| error.to_string())? {
                Some(Incoming::Reply(reply)) => {
                    last_reply = now();
                    let is_ping = unanswered.pop_front().unwrap_or(true);
                    if !is_ping && self.pass(BoxEvent::Reply(refusal_of(&reply))).is_err() {
                        return Ok(Ended);
                    }
                }
                Some(Incoming::Notification(_)) | None => {}
            }
            if !unanswered.is_empty() && last_reply.elapsed() > REPLY_TIMEOUT {
                return Err(format!("the box sent no reply within {REPLY_TIMEOUT:?}"));
            }
        }
    }

    fn pass(&self, event: BoxEvent) -> Result<(), Ended> {
        self.events.blocking_send(event).map_err(|_| Ended)
    }

    /// Waits; lines for the lost connection are dropped, because they are made anew.
    fn discard_lines(&self, wait: Duration) -> Result<(), Ended> {
        let until = now() + wait;
        loop {
            match self.inbox.recv_timeout(until.saturating_duration_since(now())) {
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => return Ok(()),
                Err(RecvTimeoutError::Disconnected) => return Err(Ended),
            }
        }
    }
}

fn refusal_of(reply: &Reply) -> Option<Option<Code>> {
    reply.outcome.as_ref().err().map(protocol::client::Failure::code)
}

/// Random bits for the jitter of a retry policy.
pub fn random_bits() -> u32 {
    let [a, b, c, d, ..] = RandomState::new().build_hasher().finish().to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}
