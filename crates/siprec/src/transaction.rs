//! Transactions: repetition and its end, over transports that lose messages and over others.
//!
//! Server transactions follow RFC 3261 §17.2.1 and §17.2.2 with the state Accepted of RFC 6026.
//! A 2xx is repeated until its ACK (RFC 3261 §13.3.1.4), also over TCP. The client transaction is
//! that of §17.1.2; its timer K is not needed, because a response without transaction is dropped.

use crate::event::SessionKey;
use crate::header::Via;
use crate::limits::{T1, T2, T4, TRANSACTION_TIMEOUT};
use crate::message::{Method, Request};
use crate::peer::{Peer, Transmit};
use crate::response::Status;
use std::time::Duration;
use zeroize::Zeroizing;

/// Names a transaction (RFC 3261 §17.2.3). It is a hash, so that its size does not depend on what
/// a peer sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TransactionKey(pub [u8; 16]);

impl TransactionKey {
    /// The transaction of a request. An ACK has the key of its INVITE.
    pub fn of(request: &Request<'_>) -> TransactionKey {
        let method = if request.method == Method::Ack { Method::Invite } else { request.method };
        TransactionKey::of_method(request, method)
    }

    /// The INVITE that a CANCEL is about.
    pub fn of_cancelled(request: &Request<'_>) -> TransactionKey {
        TransactionKey::of_method(request, Method::Invite)
    }

    fn of_method(request: &Request<'_>, method: Method) -> TransactionKey {
        let Via { sent_by, branch, .. } = &request.via;
        let sent_by = sent_by.to_ascii_lowercase();
        if request.via.is_branch_unique() {
            return TransactionKey(hash(&[method.name(), &sent_by, branch]));
        }
        let cseq = request.cseq.to_string();
        // RFC 2543: the To tag is left out, so that the ACK of an error finds its INVITE.
        TransactionKey(hash(&[
            method.name(),
            &sent_by,
            branch,
            request.uri,
            &request.from_tag,
            &request.call_id,
            &cseq,
        ]))
    }

    /// The same request by another way has the same merge key (RFC 3261 §8.2.2.2).
    pub fn merge_key(request: &Request<'_>) -> TransactionKey {
        let cseq = request.cseq.to_string();
        TransactionKey(hash(&[&request.from_tag, &request.call_id, &cseq]))
    }

    /// The transaction of a request of ours.
    pub fn of_branch(branch: &str) -> TransactionKey {
        TransactionKey(hash(&[branch]))
    }
}

/// 16 bytes of the hash over parts that cannot run into each other.
pub(crate) fn hash(parts: &[&str]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
        hasher.update(&length.to_le_bytes());
        hasher.update(part.as_bytes());
    }
    let mut short = [0; 16];
    hasher.finalize_xof().fill(&mut short);
    short
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No final response yet.
    Proceeding,
    /// An INVITE got a 2xx.
    Accepted { acknowledged: bool },
    /// A final response other than that.
    Completed,
    /// The error to an INVITE is acknowledged; late repetitions are absorbed.
    Confirmed,
}

/// What a transaction asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Nothing.
    Wait,
    /// Send the last response, or the request, again.
    Send,
    /// The transaction is over.
    Over,
    /// It is over, and the 2xx was never acknowledged.
    NotAcknowledged,
    /// It is over, and the host never answered.
    NotAnswered,
}

/// A request that was received, and its response.
#[derive(Debug)]
pub(crate) struct ServerTransaction {
    pub session: Option<SessionKey>,
    pub merge_key: Option<TransactionKey>,
    /// The tag of our responses.
    pub tag: String,
    invite: bool,
    state: State,
    peer: Peer,
    /// It may hold an SRTP key.
    response: Zeroizing<Vec<u8>>,
    interval: Duration,
    repeats_at: Option<Duration>,
    ends_at: Duration,
}

impl ServerTransaction {
    pub fn new(now: Duration, method: Method, peer: Peer, tag: &str) -> ServerTransaction {
        ServerTransaction {
            session: None,
            merge_key: None,
            tag: tag.to_owned(),
            invite: method == Method::Invite,
            state: State::Proceeding,
            peer,
            response: Zeroizing::new(Vec::new()),
            interval: T1,
            repeats_at: None,
            ends_at: now + TRANSACTION_TIMEOUT,
        }
    }

    /// Whether the final response is out.
    pub fn is_answered(&self) -> bool {
        self.state != State::Proceeding
    }

    /// Whether the final response is an error that waits for its ACK, or had it.
    pub fn is_refused(&self) -> bool {
        self.invite && matches!(self.state, State::Completed | State::Confirmed)
    }

    /// How much is lost if the transaction is forgotten now; 0: nothing but the protection against
    /// repetition. `None`: it is still needed.
    pub fn expendability(&self) -> Option<u8> {
        match (self.state, self.invite) {
            (State::Proceeding | State::Accepted { acknowledged: false }, _) => None,
            (State::Completed, true) => Some(1),
            (State::Accepted { .. } | State::Completed | State::Confirmed, _) => Some(0),
        }
    }

    /// Sends a response. `Over`: the transaction needs no memory (reliable transport).
    pub fn respond(&mut self, now: Duration, status: Status, response: Vec<u8>) -> Outcome {
        debug_assert!(!self.is_answered(), "a request has one final response");
        self.response = Zeroizing::new(response);
        if status.0 < 200 {
            return Outcome::Wait;
        }
        let reliable = self.peer.transport.is_reliable();
        self.ends_at = now + TRANSACTION_TIMEOUT;
        if self.invite && status.is_success() {
            self.state = State::Accepted { acknowledged: false };
            self.repeats_at = Some(now + self.interval);
        } else {
            self.state = State::Completed;
            self.repeats_at = (self.invite && !reliable).then_some(now + self.interval);
            if !self.invite && reliable {
                return Outcome::Over; // Timer J is 0.
            }
        }
        Outcome::Wait
    }

    /// The request came again.
    pub fn repeat(&self) -> Outcome {
        match self.state {
            State::Proceeding | State::Completed if !self.response.is_empty() => Outcome::Send,
            State::Proceeding | State::Completed => Outcome::Wait,
            State::Accepted { .. } | State::Confirmed => Outcome::Wait,
        }
    }

    /// The ACK came.
    pub fn acknowledge(&mut self, now: Duration) -> Outcome {
        match self.state {
            State::Completed if self.invite => {
                self.state = State::Confirmed;
                self.repeats_at = None;
                self.ends_at = now + T4;
                if self.peer.transport.is_reliable() { Outcome::Over } else { Outcome::Wait }
            }
            State::Accepted { .. } => {
                self.state = State::Accepted { acknowledged: true };
                self.repeats_at = None;
                Outcome::Wait
            }
            State::Proceeding | State::Completed | State::Confirmed => Outcome::Wait,
        }
    }

    /// When `handle_timeout` has something to do.
    pub fn deadline(&self) -> Duration {
        self.repeats_at.map_or(self.ends_at, |at| at.min(self.ends_at))
    }

    pub fn handle_timeout(&mut self, now: Duration) -> Outcome {
        if now >= self.ends_at {
            return match self.state {
                State::Proceeding => Outcome::NotAnswered,
                State::Accepted { acknowledged: false } => Outcome::NotAcknowledged,
                State::Accepted { .. } | State::Completed | State::Confirmed => Outcome::Over,
            };
        }
        if self.repeats_at.is_none_or(|at| now < at) {
            return Outcome::Wait;
        }
        self.interval = (self.interval * 2).min(T2);
        self.repeats_at = Some(now + self.interval);
        Outcome::Send
    }

    /// The connection is closed: what is still to send needs a new one.
    pub fn forget_connection(&mut self, connection: u64) {
        if self.peer.connection == connection {
            self.peer.connection = 0;
        }
    }

    pub fn transmit(&self) -> Transmit {
        Transmit { peer: self.peer, bytes: self.response.to_vec() }
    }
}

/// A request of ours, which is a BYE: it is repeated until a final response.
#[derive(Debug)]
pub(crate) struct ClientTransaction {
    request: Transmit,
    interval: Duration,
    repeats_at: Option<Duration>,
    ends_at: Duration,
}

impl ClientTransaction {
    pub fn new(now: Duration, request: Transmit) -> ClientTransaction {
        let repeats = !request.peer.transport.is_reliable();
        ClientTransaction {
            request,
            interval: T1,
            repeats_at: repeats.then_some(now + T1),
            ends_at: now + TRANSACTION_TIMEOUT,
        }
    }

    pub fn transmit(&self) -> Transmit {
        self.request.clone()
    }

    /// A response came. `Over`: it is the final one.
    pub fn respond(&mut self, status: u16) -> Outcome {
        if status >= 200 {
            return Outcome::Over;
        }
        self.interval = T2;
        Outcome::Wait
    }

    /// When `handle_timeout` has something to do.
    pub fn deadline(&self) -> Duration {
        self.repeats_at.map_or(self.ends_at, |at| at.min(self.ends_at))
    }

    pub fn handle_timeout(&mut self, now: Duration) -> Outcome {
        if now >= self.ends_at {
            return Outcome::Over;
        }
        if self.repeats_at.is_none_or(|at| now < at) {
            return Outcome::Wait;
        }
        self.interval = (self.interval * 2).min(T2);
        self.repeats_at = Some(now + self.interval);
        Outcome::Send
    }
}
