//! What the server tells its host, and what the host decides.

use crate::answer::AnswerError;
use crate::dialog::DialogSnapshot;
use crate::metadata::MetadataReport;
use crate::offer::Offer;
use crate::peer::Peer;

/// One recording session: a dialog with a recording client. A key is never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey(pub(crate) u64);

impl SessionKey {
    /// A number for listings. It counts up from 1 at each start.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0
    }
}

/// What happened. Take the events after each call of the server.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A new session asks to be recorded. Answer with `Server::accept` or `Server::refuse` in the
    /// same turn.
    Offered { session: SessionKey, peer: Peer, offer: Offer, metadata: MetadataReport },
    /// A request in the session brought news. With an offer, answer as for `Offered`; a refusal
    /// leaves the session as it was. The metadata is that of the message: apply it to what the
    /// session said before (`Metadata::apply`).
    Changed { session: SessionKey, offer: Option<Offer>, metadata: Option<MetadataReport> },
    /// The client has acknowledged the answer.
    Confirmed { session: SessionKey },
    /// The dialog is different from now on: store it, so that `Server::restore` can go on with it
    /// after a restart. A snapshot may hold SRTP keys.
    SnapshotChanged { session: SessionKey, snapshot: Box<DialogSnapshot> },
    /// The client told a digit by INFO. Its value was not read.
    Digit { session: SessionKey },
    /// The session interval of RFC 4028 ran out without a refresh. The session goes on; the host
    /// decides, by the RTP that still comes (`Server::end_session`).
    IntervalExpired { session: SessionKey },
    /// The session is over, and its key is void.
    Ended { session: SessionKey, reason: EndReason },
    /// Something is wrong that ends no session.
    Problem { peer: Peer, session: Option<SessionKey>, problem: Problem },
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndReason {
    /// The client sent BYE.
    Bye,
    /// The client withdrew its INVITE before the answer.
    Cancelled,
    /// The client never acknowledged the answer to its first INVITE; a BYE was sent.
    NotAcknowledged,
    /// The host never answered the first INVITE.
    NotAnswered,
    /// The host refused it (`Server::refuse`).
    Refused,
    /// The host ended it (`Server::end_session`).
    EndedHere,
}

/// What is wrong. The texts carry no numbers of callers, no names and no digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("a message was dropped or refused: {0}")]
    Message(#[from] crate::message::MessageError),
    #[error("the offer cannot be read, the request was refused: {0}")]
    Offer(#[from] crate::offer::OfferError),
    #[error("new sessions come faster than {per_second} a second, the rest is refused with 503")]
    RateExceeded { per_second: u32 },
    #[error("all {sessions_max} sessions are in use, a new one was refused with 503")]
    SessionsExhausted { sessions_max: usize },
    #[error("the body cannot be taken apart, the request was refused: {0}")]
    Body(#[from] crate::body::BodyError),
    #[error("the client has not acknowledged the answer to a re-INVITE within 32 s")]
    NotAcknowledged,
}

/// How the host refuses an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// 503 with `Retry-After`: full, stopping, or the disk is down.
    Busy { retry_after_s: u32 },
    /// 403: the peer is not allowed.
    Forbidden,
    /// 488: no codec or key exchange of ours.
    NotAcceptable,
    /// 500: a fault of ours.
    ServerError,
}

/// What OPTIONS and new INVITEs get without asking the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    Ready,
    /// 503 with `Retry-After`. Dialogs that exist go on.
    Unavailable {
        retry_after_s: u32,
    },
}

/// Why a decision of the host was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    #[error("session {0} is not known; it may have ended")]
    UnknownSession(u64),
    #[error("session {0} has no offer that waits; answer each offer once")]
    NoOffer(u64),
    #[error("session {0} cannot be answered: {1}")]
    Answer(u64, #[source] AnswerError),
}
