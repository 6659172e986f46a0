//! The recording server: messages in, messages and events out.
//!
//! The server has no socket and no clock. The host passes whole messages with `now`, sends what
//! `poll_transmit` gives, answers the offers that `poll_event` tells, and calls `handle_timeout`
//! at `poll_timeout`. All memory is bounded by `Settings` and `limits`.
//!
//! `requests` takes requests apart, `sessions` holds what happens within a dialog, `replies` sends
//! responses and keeps the transactions.

mod decisions;
mod replies;
mod requests;
mod sessions;

use crate::codec::Codec;
use crate::dialog::{Dialog, DialogId};
use crate::event::{Availability, Event, Problem, SessionKey};
use crate::limits::{PROBLEMS_WAITING_MAX, TRANSACTIONS_PER_SESSION};
use crate::message::{Head, MessageError, Request, Response, StartLine};
use crate::offer::SrtpPolicy;
use crate::peer::{Peer, Transmit};
use crate::random::RandomSource;
use crate::statistics::Statistics;
use crate::timer_queue::TimerQueue;
use crate::transaction::{ClientTransaction, Outcome, ServerTransaction, TransactionKey};
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

/// What the host decides once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Sessions at a time. Server transactions are bounded by four times as many.
    pub sessions_max: usize,
    /// New sessions that one peer may ask for in a second.
    pub invites_per_second: u32,
    /// The codecs that are accepted.
    pub codecs: Vec<Codec>,
    pub srtp: SrtpPolicy,
    /// What `Server` says, such as `hushbox/0.1`.
    pub server_name: String,
    /// The address in `Contact`. `None`: the one that the request came to.
    pub contact_address: Option<IpAddr>,
}

/// What a deadline is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum TimerKey {
    Server(TransactionKey),
    Client(TransactionKey),
    Session(SessionKey),
}

/// A SIPREC recording server without I/O.
pub struct Server {
    settings: Settings,
    random: RandomSource,
    availability: Availability,
    last_session: u64,
    dialogs: BTreeMap<SessionKey, Dialog>,
    dialog_index: BTreeMap<DialogId, SessionKey>,
    transactions: BTreeMap<TransactionKey, ServerTransaction>,
    /// New INVITEs by what a merged request has in common with them.
    merge_index: BTreeMap<TransactionKey, TransactionKey>,
    clients: BTreeMap<TransactionKey, ClientTransaction>,
    timers: TimerQueue<TimerKey>,
    transmits: VecDeque<Transmit>,
    events: VecDeque<Event>,
    problems_waiting: usize,
    statistics: Statistics,
}

impl Server {
    /// A server without sessions. The seed must be fresh at each start: tags, branches and SRTP
    /// keys come from it.
    #[must_use]
    pub fn new(settings: Settings, seed: [u8; 32]) -> Server {
        Server {
            settings,
            random: RandomSource::new(seed),
            availability: Availability::Ready,
            last_session: 0,
            dialogs: BTreeMap::new(),
            dialog_index: BTreeMap::new(),
            transactions: BTreeMap::new(),
            merge_index: BTreeMap::new(),
            clients: BTreeMap::new(),
            timers: TimerQueue::new(),
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            problems_waiting: 0,
            statistics: Statistics::default(),
        }
    }

    /// Takes one whole message: a datagram, or what `StreamFramer` gave. Times count from any
    /// fixed point and never go back.
    pub fn handle_message(&mut self, now: Duration, peer: &Peer, bytes: &[u8]) {
        if bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
            if peer.transport.is_reliable() && bytes == b"\r\n\r\n" {
                // The answer to a keep-alive (RFC 5626 §4.4.1).
                self.transmits.push_back(Transmit { peer: *peer, bytes: b"\r\n".to_vec() });
            }
            return;
        }
        match Head::parse(bytes) {
            Err(error) => self.note_unreadable(now, peer, error),
            Ok(head) => self.handle_head(now, peer, head, bytes),
        }
        self.check_invariants();
    }

    fn handle_head<'a>(&mut self, now: Duration, peer: &Peer, head: Head<'a>, bytes: &'a [u8]) {
        if matches!(head.start, StartLine::Response { .. }) {
            match Response::from_head(&head) {
                Ok(response) => self.handle_response(&response),
                Err(error) => self.note_unreadable(now, peer, error),
            }
            return;
        }
        match Request::from_head(peer, head, bytes) {
            Ok(request) => self.handle_request(now, &request),
            Err((head, error)) => {
                self.note_unreadable(now, peer, error);
                self.refuse_unreadable(now, peer, &head, error);
            }
        }
    }

    fn note_unreadable(&mut self, now: Duration, peer: &Peer, error: MessageError) {
        self.statistics.unreadable += 1;
        self.statistics.peer_mut(peer.remote.ip(), now).unreadable += 1;
        self.push_problem(peer, None, Problem::Message(error));
    }

    fn handle_response(&mut self, response: &Response) {
        let key = TransactionKey::of_branch(&response.branch);
        let Some(client) = self.clients.get_mut(&key) else { return };
        if response.cseq_method == "BYE" && client.respond(response.status) == Outcome::Over {
            self.clients.remove(&key);
            self.timers.set(TimerKey::Client(key), None);
        }
    }

    /// A connection is closed. Its dialogs go on: the client opens another one.
    pub fn handle_closed(&mut self, connection: u64) {
        for transaction in self.transactions.values_mut() {
            transaction.forget_connection(connection);
        }
        for dialog in self.dialogs.values_mut() {
            dialog.forget_connection(connection);
        }
    }

    /// Does what is due. Call it at the time of `poll_timeout`.
    pub fn handle_timeout(&mut self, now: Duration) {
        while let Some(key) = self.timers.pop_due(now) {
            match key {
                TimerKey::Server(key) => self.handle_server_timeout(now, key),
                TimerKey::Client(key) => self.handle_client_timeout(now, key),
                TimerKey::Session(session) => {
                    self.events.push_back(Event::IntervalExpired { session });
                }
            }
        }
        self.check_invariants();
        debug_assert!(self.timers.next().is_none_or(|at| at > now), "what was due is done");
    }

    fn handle_client_timeout(&mut self, now: Duration, key: TransactionKey) {
        let Some(client) = self.clients.get_mut(&key) else { return };
        match client.handle_timeout(now) {
            Outcome::Send => self.transmits.push_back(client.transmit()),
            Outcome::Over => {
                self.clients.remove(&key);
                return;
            }
            Outcome::Wait | Outcome::NotAcknowledged | Outcome::NotAnswered => {}
        }
        self.timers.set(TimerKey::Client(key), Some(client.deadline()));
    }

    /// When `handle_timeout` has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.timers.next()
    }

    /// The next message to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front()?;
        if matches!(event, Event::Problem { .. }) {
            self.problems_waiting -= 1;
        }
        Some(event)
    }

    /// Sets what OPTIONS and new INVITEs get without asking the host.
    pub fn set_availability(&mut self, availability: Availability) {
        self.availability = availability;
    }

    /// The counters.
    #[must_use]
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    fn push_problem(&mut self, peer: &Peer, session: Option<SessionKey>, problem: Problem) {
        if self.problems_waiting >= PROBLEMS_WAITING_MAX {
            self.statistics.problems_untold += 1;
            return;
        }
        self.problems_waiting += 1;
        self.events.push_back(Event::Problem { peer: *peer, session, problem });
    }

    fn transactions_max(&self) -> usize {
        self.settings.sessions_max.max(1) * TRANSACTIONS_PER_SESSION
    }

    /// What must hold after each call; and counts what exists.
    fn check_invariants(&mut self) {
        self.statistics.sessions = self.dialogs.len();
        self.statistics.transactions = self.transactions.len();
        debug_assert_eq!(self.dialogs.len(), self.dialog_index.len(), "each dialog is found");
        debug_assert!(self.transactions.len() <= self.transactions_max());
        debug_assert!(self.merge_index.len() <= self.transactions.len());
        debug_assert!(self.clients.len() <= self.transactions_max());
        debug_assert!(self.problems_waiting <= PROBLEMS_WAITING_MAX);
    }
}
