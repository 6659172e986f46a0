//! Answers to offers (RFC 3264): plain `application/sdp` that mirrors every `m=` line.

use std::net::IpAddr;

use crate::offer::StreamSelection;

/// What the recorder decided about an offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acceptance {
    /// The address that the recording client shall send to.
    pub address: IpAddr,
    /// One for each stream of the offer, in its order.
    pub streams: Vec<StreamAcceptance>,
}

/// What the recorder decided about one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamAcceptance {
    /// The stream is answered with port 0.
    Refused,
    /// The stream is recorded.
    Accepted {
        /// The RTP port of the recorder, not 0. RTCP is one above.
        port: u16,
        /// What the recorder takes of the stream.
        selection: StreamSelection,
    },
}
