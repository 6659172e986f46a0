//! The recording server: messages in, messages and events out.

use crate::answer::Acceptance;
use crate::codec::Codec;
use crate::dialog::DialogSnapshot;
use crate::event::{AnswerError, Availability, Event, Refusal, SessionKey};
use crate::offer::SrtpPolicy;
use crate::peer::{Peer, Transmit};
use crate::random::RandomSource;
use crate::statistics::Statistics;
use std::collections::VecDeque;
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
    /// What `Server` and `Warning` say: a token such as `hushbox/0.1`.
    pub server_name: String,
    /// The address in `Contact`. `None`: the one that the request came to.
    pub contact_address: Option<IpAddr>,
}

/// A SIPREC recording server without I/O.
pub struct Server {
    settings: Settings,
    random: RandomSource,
    availability: Availability,
    transmits: VecDeque<Transmit>,
    events: VecDeque<Event>,
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
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            statistics: Statistics::default(),
        }
    }

    /// Takes one whole message: a datagram, or what `StreamFramer` gave. Times count from any
    /// fixed point and never go back.
    pub fn handle_message(&mut self, now: Duration, peer: &Peer, bytes: &[u8]) {
        let _ = (now, peer, bytes);
    }

    /// A connection is closed. Its dialogs go on: the client opens another one.
    pub fn handle_closed(&mut self, now: Duration, connection: u64) {
        let _ = (now, connection);
    }

    /// Does what is due. Call it at the time of `poll_timeout`.
    pub fn handle_timeout(&mut self, now: Duration) {
        let _ = now;
    }

    /// When `handle_timeout` has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        None
    }

    /// The next message to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Answers the offer that waits in the session with 200.
    ///
    /// # Errors
    ///
    /// There is no such offer, or the answer has another number of streams. Nothing is sent.
    pub fn accept(
        &mut self,
        now: Duration,
        session: SessionKey,
        acceptance: &Acceptance,
    ) -> Result<(), AnswerError> {
        let _ = (now, acceptance);
        Err(AnswerError::UnknownSession(session.number()))
    }

    /// Refuses the offer that waits in the session. A new session ends; a session that exists goes
    /// on as it was.
    ///
    /// # Errors
    ///
    /// There is no such offer.
    pub fn refuse(
        &mut self,
        now: Duration,
        session: SessionKey,
        refusal: Refusal,
    ) -> Result<(), AnswerError> {
        let _ = (now, refusal);
        Err(AnswerError::UnknownSession(session.number()))
    }

    /// Sets what OPTIONS and new INVITEs get without asking the host.
    pub fn set_availability(&mut self, availability: Availability) {
        self.availability = availability;
    }

    /// Ends a session with BYE. `Ended` follows at once.
    pub fn end_session(&mut self, now: Duration, session: SessionKey) {
        let _ = (now, session);
    }

    /// Goes on with a dialog after a restart.
    pub fn restore(&mut self, now: Duration, snapshot: DialogSnapshot) -> SessionKey {
        let _ = (now, snapshot);
        SessionKey(0)
    }

    /// The counters.
    #[must_use]
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }
}
