//! Offers of a recording client: session descriptions (RFC 8866, RFC 3264) read for a recorder.
//!
//! The parser is lenient where a recorder can be: lines that it does not use are not read, and an
//! attribute that it does not understand costs that attribute. It is strict about what an answer
//! must mirror: the number and the order of the `m=` lines.

use std::net::IpAddr;

use zeroize::{Zeroize, Zeroizing};

use crate::codec::{Codec, Encoding, Payload};
use crate::crypto::{CRYPTO_LINES_MAX, OfferedCrypto};

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

impl Offer {
    /// Reads a session description.
    ///
    /// # Errors
    /// If it is none, or has no `m=` line or too many.
    pub fn parse(bytes: &[u8]) -> Result<Offer, OfferError> {
        let text = used_lines(bytes);
        let count = text.split(|byte| *byte == b'\n').filter(|l| l.starts_with(b"m=")).count();
        if count > STREAMS_MAX {
            return Err(OfferError::TooManyStreams { count });
        }
        let mut session = sdp_types::Session::parse(&text)
            .map_err(|error| OfferError::Syntax(error.to_string()))?;
        let defaults = SessionDefaults {
            address: session.connection.as_ref().and_then(address_of),
            direction: direction_of(&session.attributes).unwrap_or(Direction::SendReceive),
        };
        let streams: Vec<_> = session.medias.iter().map(|m| read_stream(m, defaults)).collect();
        // Some of the values are keys.
        let media_attributes = session.medias.iter_mut().flat_map(|media| &mut media.attributes);
        for attribute in media_attributes.chain(&mut session.attributes) {
            attribute.value.zeroize();
        }
        if streams.is_empty() { Err(OfferError::NoMedia) } else { Ok(Offer { streams }) }
    }
}

/// What holds for every stream that does not say otherwise.
#[derive(Clone, Copy)]
struct SessionDefaults {
    address: Option<IpAddr>,
    direction: Direction,
}

/// The text with every line that the recorder does not read emptied, so that line numbers stay.
///
/// An unusual `o=`, `b=` or `t=` line, or an attribute that is not UTF-8, must not cost the call.
fn used_lines(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut text = Zeroizing::new(Vec::with_capacity(bytes.len() + 1));
    let mut session_address = false;
    let mut in_media = false;
    for line in bytes.split(|byte| *byte == b'\n') {
        let line = line.trim_ascii();
        in_media |= line.starts_with(b"m=");
        let is_text = std::str::from_utf8(line).is_ok();
        let used = match line.get(..2) {
            Some(b"v=" | b"m=") => true,
            Some(b"a=") => is_text && !line.contains(&0) && !line.contains(&b'\r'),
            // The parser takes one address of the session, and three words in it.
            Some(b"c=") => {
                let twice = !in_media && std::mem::replace(&mut session_address, true);
                is_text && !twice && line[2..].split(|byte| *byte == b' ').count() == 3
            }
            _ => false,
        };
        if used {
            text.extend_from_slice(line);
        }
        text.push(b'\n');
    }
    text
}

fn read_stream(media: &sdp_types::Media, defaults: SessionDefaults) -> OfferedStream {
    let attributes = &media.attributes;
    let numeric = |name| value_of(attributes, name).and_then(first_number);
    let label = value_of(attributes, "label").map(str::trim);
    let is_label = |label: &&str| (1..=LABEL_BYTES_MAX).contains(&label.len());
    let protocol = match media.proto.to_ascii_uppercase().as_str() {
        "RTP/AVP" => Protocol::Avp,
        "RTP/SAVP" => Protocol::Savp,
        _ => Protocol::Other(media.proto.clone()),
    };
    let mut crypto: Vec<OfferedCrypto> = values_of(attributes, "crypto")
        .take(CRYPTO_LINES_MAX)
        .filter_map(OfferedCrypto::parse)
        .collect();
    crypto.sort_by_key(|line| line.key.suite());
    OfferedStream {
        media: media.media.clone(),
        port: media.port,
        rtcp_port: numeric("rtcp").unwrap_or(media.port.saturating_add(1)),
        address: media.connections.first().and_then(address_of).or(defaults.address),
        protocol,
        formats: media.fmt.clone(),
        label: label.filter(is_label).map(str::to_owned),
        direction: direction_of(attributes).unwrap_or(defaults.direction),
        payloads: read_payloads(&media.fmt, attributes),
        packet_ms: numeric("ptime"),
        crypto,
    }
}

/// The payload types of an `m=` line, each once, in its order.
fn read_payloads(formats: &str, attributes: &[sdp_types::Attribute]) -> Vec<Payload> {
    let mapped = |number| {
        let payloads = values_of(attributes, "rtpmap").filter_map(Payload::from_rtpmap);
        payloads.into_iter().find(|payload| payload.number == number)
    };
    let parameters = |number: u8| {
        let mut formats = values_of(attributes, "fmtp").filter_map(|v| v.trim().split_once(' '));
        let (_, parameters) = formats.find(|(format, _)| format.parse() == Ok(number))?;
        Some(parameters.trim().to_owned())
    };
    let mut payloads: Vec<Payload> = Vec::new();
    for word in formats.split_ascii_whitespace().take(PAYLOADS_MAX) {
        let Ok(number) = word.parse::<u8>() else { continue };
        if payloads.iter().any(|payload| payload.number == number) {
            continue;
        }
        if let Some(payload) = mapped(number).or_else(|| Payload::of_static(number)) {
            payloads.push(Payload { parameters: parameters(number), ..payload });
        }
    }
    payloads
}

fn values_of<'a>(
    attributes: &'a [sdp_types::Attribute],
    name: &'a str,
) -> impl Iterator<Item = &'a str> {
    let named = move |attribute: &&sdp_types::Attribute| attribute.attribute == name;
    attributes.iter().filter(named).filter_map(|attribute| attribute.value.as_deref())
}

fn value_of<'a>(attributes: &'a [sdp_types::Attribute], name: &'a str) -> Option<&'a str> {
    values_of(attributes, name).next()
}

/// The number that a value begins with, such as that of `30821 IN IP4 192.0.2.1`.
fn first_number(value: &str) -> Option<u16> {
    value.split_ascii_whitespace().next()?.parse().ok()
}

fn direction_of(attributes: &[sdp_types::Attribute]) -> Option<Direction> {
    attributes.iter().rev().find_map(|attribute| match attribute.attribute.trim() {
        "sendrecv" => Some(Direction::SendReceive),
        "sendonly" => Some(Direction::SendOnly),
        "recvonly" => Some(Direction::ReceiveOnly),
        "inactive" => Some(Direction::Inactive),
        _ => None,
    })
}

/// The address of a `c=` line without its time to live.
fn address_of(connection: &sdp_types::Connection) -> Option<IpAddr> {
    let text = connection.connection_address.split('/').next()?;
    text.parse().ok()
}
