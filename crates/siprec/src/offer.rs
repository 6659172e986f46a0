//! Offers of a recording client: session descriptions (RFC 8866, RFC 3264) read for a recorder.
//!
//! The parser is lenient where a recorder can be: lines that it does not use are not read, and an
//! attribute that it does not understand costs that attribute. It is strict about what an answer
//! must mirror: the number and the order of the `m=` lines.

use std::net::IpAddr;

use crate::codec::{Codec, Payload};
use crate::crypto::OfferedCrypto;

/// The most `m=` lines of an offer.
pub const STREAMS_MAX: usize = 8;

/// The most payload types of an `m=` line that are looked at.
pub const PAYLOADS_MAX: usize = 32;

/// The most bytes of a label.
pub const LABEL_BYTES_MAX: usize = 64;

/// Why an offer cannot be read. None of the texts repeats what the offer says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OfferError {
    /// The text is not a session description.
    #[error("the session description is not valid: {0}; send one by RFC 8866")]
    Syntax(String),
    /// There is no `m=` line.
    #[error("the session description has no m= line; offer one line for each stream")]
    NoMedia,
    /// There are more `m=` lines than a recorder takes.
    #[error("the session description has {count} m= lines; offer at most {STREAMS_MAX}")]
    TooManyStreams {
        /// How many there are.
        count: usize,
    },
}

/// How a stream is protected, as its `m=` line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `RTP/AVP`: RTP without encryption.
    Avp,
    /// `RTP/SAVP`: SRTP with keys from `a=crypto`.
    Savp,
    /// Any other protocol, as the offer spells it. The recorder refuses the stream.
    Other(String),
}

impl Protocol {
    /// The protocol as an `m=` line spells it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Protocol::Avp => "RTP/AVP",
            Protocol::Savp => "RTP/SAVP",
            Protocol::Other(text) => text,
        }
    }
}

/// Which side may send on a stream (RFC 8866 6.7), seen from who wrote the description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Both sides. It is the default of a line that says nothing.
    SendReceive,
    /// The writer only. It is what a recording client offers.
    SendOnly,
    /// The other side only.
    ReceiveOnly,
    /// No side: the stream is on hold.
    Inactive,
}

impl Direction {
    /// The attribute of a session description.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Direction::SendReceive => "sendrecv",
            Direction::SendOnly => "sendonly",
            Direction::ReceiveOnly => "recvonly",
            Direction::Inactive => "inactive",
        }
    }

    /// Whether the writer of the description sends.
    #[must_use]
    pub fn sends(self) -> bool {
        matches!(self, Direction::SendReceive | Direction::SendOnly)
    }

    /// The direction that a recorder answers. It never sends, and asks for what is offered.
    #[must_use]
    pub fn answered(self) -> Direction {
        if self.sends() { Direction::ReceiveOnly } else { Direction::Inactive }
    }
}

/// An offer: its streams in the order of their `m=` lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// At most [`STREAMS_MAX`].
    pub streams: Vec<OfferedStream>,
}

/// One `m=` line with its attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferedStream {
    /// The media, such as `audio`.
    pub media: String,
    /// The port that the recording client would receive on; 0 if it has disabled the stream.
    pub port: u16,
    /// The port of RTCP at the recording client.
    pub rtcp_port: u16,
    /// The address of the recording client for this stream. `None` if it is missing or a name.
    pub address: Option<IpAddr>,
    /// The transport protocol.
    pub protocol: Protocol,
    /// The formats of the `m=` line as the offer spells them.
    pub formats: String,
    /// The label that the metadata refers to (RFC 4574), at most [`LABEL_BYTES_MAX`].
    pub label: Option<String>,
    /// Which side may send.
    pub direction: Direction,
    /// The payload types in the order of the offer, at most [`PAYLOADS_MAX`].
    pub payloads: Vec<Payload>,
    /// The packet time in milliseconds.
    pub packet_ms: Option<u16>,
    /// The usable `a=crypto` lines, the suite that we prefer first.
    pub crypto: Vec<OfferedCrypto>,
}

/// When a recorder takes part in SRTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SrtpPolicy {
    /// Never: `RTP/SAVP` is refused.
    Off,
    /// Where it is offered.
    Offered,
    /// Always: `RTP/AVP` is refused.
    Required,
}

/// What a recorder takes of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamSelection {
    /// The accepted payload types, in the order of the offer: audio, comfort noise, digits.
    pub payloads: Vec<Payload>,
    /// The accepted `a=crypto` line. `None` for `RTP/AVP`.
    pub crypto: Option<OfferedCrypto>,
}

/// Why a recorder takes nothing of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamRefusal {
    /// The recording client has disabled the stream.
    #[error("the stream is disabled (port 0)")]
    Disabled,
    /// The stream is video or something else.
    #[error("the stream is not audio")]
    NotAudio,
    /// The protocol is neither `RTP/AVP` nor `RTP/SAVP`.
    #[error("the protocol is neither RTP/AVP nor RTP/SAVP")]
    Protocol,
    /// No codec of the stream is among those that the recorder accepts.
    #[error("the recorder accepts no codec of the stream")]
    Codec,
    /// The configuration switches SRTP off.
    #[error("SRTP is offered, but off at the recorder")]
    SrtpOff,
    /// The configuration requires SRTP.
    #[error("SRTP is required at the recorder, but the stream is RTP/AVP")]
    SrtpRequired,
    /// No `a=crypto` line of the stream is usable.
    #[error("no a=crypto line has a suite that the recorder accepts")]
    Crypto,
}

impl OfferedStream {
    /// What a recorder takes of the stream.
    ///
    /// A recording client forks what the call uses, so every offered codec that the recorder can
    /// decode is accepted, in the order of the offer.
    ///
    /// # Errors
    /// If nothing of the stream can be recorded.
    pub fn select(
        &self,
        codecs: &[Codec],
        srtp: SrtpPolicy,
    ) -> Result<StreamSelection, StreamRefusal> {
        use crate::codec::Encoding;
        if self.port == 0 {
            return Err(StreamRefusal::Disabled);
        }
        if !self.media.eq_ignore_ascii_case("audio") {
            return Err(StreamRefusal::NotAudio);
        }
        let crypto = match (&self.protocol, srtp) {
            (Protocol::Other(_), _) => return Err(StreamRefusal::Protocol),
            (Protocol::Avp, SrtpPolicy::Required) => return Err(StreamRefusal::SrtpRequired),
            (Protocol::Avp, SrtpPolicy::Off | SrtpPolicy::Offered) => None,
            (Protocol::Savp, SrtpPolicy::Off) => return Err(StreamRefusal::SrtpOff),
            (Protocol::Savp, SrtpPolicy::Offered | SrtpPolicy::Required) => {
                Some(self.crypto.first().cloned().ok_or(StreamRefusal::Crypto)?)
            }
        };
        let accepts = |payload: &&Payload| match payload.encoding {
            Encoding::Audio(codec) => codecs.contains(&codec),
            Encoding::ComfortNoise | Encoding::TelephoneEvent => true,
            Encoding::Unknown => false,
        };
        let payloads: Vec<Payload> = self.payloads.iter().filter(accepts).cloned().collect();
        if !payloads.iter().any(|payload| payload.codec().is_some()) {
            return Err(StreamRefusal::Codec);
        }
        Ok(StreamSelection { payloads, crypto })
    }
}
