//! Answers to offers (RFC 3264): plain `application/sdp` that mirrors every `m=` line.

use std::fmt::{self, Write as _};
use std::net::IpAddr;

use zeroize::Zeroizing;

use crate::crypto::{OfferedCrypto, SrtpKey};
use crate::offer::{Offer, OfferedStream, Protocol, StreamSelection};

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

/// Why an answer cannot be written. It is a mistake of the recorder, not of the recording client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// The decision has another number of streams than the offer.
    #[error("the offer has {offered} streams, but the recorder decided about {decided}")]
    StreamCount {
        /// Streams of the offer.
        offered: usize,
        /// Streams of the decision.
        decided: usize,
    },
    /// A stream is accepted with port 0, without a payload type, or without the key that it needs.
    #[error("the recorder accepted stream {index} without a port, a payload type or its key")]
    Incomplete {
        /// The stream, counted from 0.
        index: usize,
    },
}

/// Writes the answers of one dialog.
///
/// The fields are the whole state, so that a dialog can go on after a restart.
#[derive(Clone, PartialEq, Eq)]
pub struct AnswerWriter {
    /// The session id of the `o=` line.
    pub session_id: u64,
    /// The version of the `o=` line of the last answer, 0 before the first.
    pub version: u64,
    /// What the recorder's own SRTP keys are made from.
    pub secret: Zeroizing<[u8; 32]>,
    /// The hash of the last answer without its `o=` line.
    pub digest: Option<[u8; 32]>,
}

impl fmt::Debug for AnswerWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AnswerWriter({}, version {})", self.session_id, self.version)
    }
}

impl AnswerWriter {
    /// A writer for a new dialog. `session_id` and `secret` are random, and of this dialog only.
    #[must_use]
    pub fn new(session_id: u64, secret: [u8; 32]) -> AnswerWriter {
        AnswerWriter { session_id, version: 0, secret: Zeroizing::new(secret), digest: None }
    }

    /// The answer to `offer`. The version of its `o=` line goes up only if the answer differs from
    /// the last one (RFC 3264 8).
    ///
    /// # Errors
    /// If `acceptance` does not fit `offer`. The state stays as it was.
    pub fn write(
        &mut self,
        offer: &Offer,
        acceptance: &Acceptance,
    ) -> Result<Zeroizing<Vec<u8>>, AnswerError> {
        let (offered, decided) = (offer.streams.len(), acceptance.streams.len());
        if offered != decided {
            return Err(AnswerError::StreamCount { offered, decided });
        }
        let address = address_text(acceptance.address);
        let mut rest = Zeroizing::new(format!("s=-\r\nc={address}\r\nt=0 0\r\n"));
        for (index, (stream, decision)) in offer.streams.iter().zip(&acceptance.streams).enumerate()
        {
            self.write_stream(&mut rest, index, stream, decision)?;
        }
        let digest = *blake3::hash(rest.as_bytes()).as_bytes();
        if self.digest != Some(digest) {
            self.version += 1;
            self.digest = Some(digest);
        }
        let (id, version) = (self.session_id, self.version);
        let head = format!("v=0\r\no=- {id} {version} {address}\r\n");
        Ok(Zeroizing::new([head.as_bytes(), rest.as_bytes()].concat()))
    }

    fn write_stream(
        &self,
        out: &mut String,
        index: usize,
        stream: &OfferedStream,
        decision: &StreamAcceptance,
    ) -> Result<(), AnswerError> {
        let (media, protocol) = (&stream.media, stream.protocol.as_str());
        match decision {
            StreamAcceptance::Refused => {
                push_line(out, format_args!("m={media} 0 {protocol} {}", stream.formats));
            }
            StreamAcceptance::Accepted { port, selection } => {
                let needs_key = stream.protocol == Protocol::Savp;
                if *port == 0
                    || selection.payloads.is_empty()
                    || needs_key != selection.crypto.is_some()
                {
                    return Err(AnswerError::Incomplete { index });
                }
                let _ = write!(out, "m={media} {port} {protocol}");
                for payload in &selection.payloads {
                    let _ = write!(out, " {}", payload.number);
                }
                push_line(out, format_args!(""));
                write_payloads(out, selection);
                if let Some(crypto) = &selection.crypto {
                    let key = self.own_key(index, crypto);
                    let (tag, suite) = (crypto.tag, crypto.key.suite().name());
                    let text = key.to_base64();
                    push_line(out, format_args!("a=crypto:{tag} {suite} inline:{}", *text));
                }
                push_line(out, format_args!("a={}", stream.direction.answered().as_str()));
            }
        }
        if let Some(label) = &stream.label {
            push_line(out, format_args!("a=label:{label}"));
        }
        Ok(())
    }

    /// Our key of a stream. It stays the same while the stream keeps its suite, so that a hold
    /// changes no key.
    fn own_key(&self, index: usize, crypto: &OfferedCrypto) -> SrtpKey {
        SrtpKey::generate(crypto.key.suite(), |bytes| {
            let mut hasher = blake3::Hasher::new_keyed(&self.secret);
            hasher.update(b"siprec answer key");
            // An offer has at most 8 streams.
            hasher.update(&[u8::try_from(index).unwrap_or(u8::MAX)]);
            hasher.update(crypto.key.suite().name().as_bytes());
            hasher.finalize_xof().fill(bytes);
        })
    }
}

fn write_payloads(out: &mut String, selection: &StreamSelection) {
    for payload in &selection.payloads {
        let (number, name, clock) = (payload.number, &payload.name, payload.clock_hz);
        match payload.channels {
            1 => push_line(out, format_args!("a=rtpmap:{number} {name}/{clock}")),
            channels => push_line(out, format_args!("a=rtpmap:{number} {name}/{clock}/{channels}")),
        }
        if let Some(parameters) = &payload.parameters {
            push_line(out, format_args!("a=fmtp:{number} {parameters}"));
        }
    }
}

/// The network type, the address type and the address of `o=` and `c=`.
fn address_text(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => format!("IN IP4 {address}"),
        IpAddr::V6(address) => format!("IN IP6 {address}"),
    }
}

/// Appends a line. Writing to a `String` cannot fail.
fn push_line(out: &mut String, line: fmt::Arguments<'_>) {
    let _ = out.write_fmt(line);
    out.push_str("\r\n");
}
