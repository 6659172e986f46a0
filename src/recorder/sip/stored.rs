//! A session in the form in which the journal keeps it, sealed, for the next start.
//!
//! It has all that `siprec` needs to go on with the dialog, the legs with the keys of their media,
//! and the metadata document. It is written with postcard, so the order of the fields is part of
//! the format; `StoredSession::VERSION` goes up with every change.

use super::legs::{LEGS_MAX, Leg, LegSettings, Legs};
use serde::{Deserialize, Serialize};
use siprec::answer::AnswerWriter;
use siprec::codec::{Codec, Encoding, Payload};
use siprec::crypto::{OfferedCrypto, SrtpKey, SrtpSuite};
use siprec::offer::StreamSelection;
use siprec::{DialogSnapshot, Peer, Transport};
use std::net::SocketAddr;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Maximum size of the sealed form, so that its fact fits the journal with room to spare.
const STATE_BYTES_MAX: usize = 48 << 10;
const _: () = assert!(STATE_BYTES_MAX + 4096 < crate::store::journal::MAX_BODY_BYTES);

/// Why the state of a session cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum StoredError {
    #[error("the state of the session has more than {STATE_BYTES_MAX} bytes")]
    TooLong,
    #[error("the state of the session is damaged, or of another version")]
    Damaged,
}

/// A session between two starts.
pub(super) struct SessionState {
    pub snapshot: DialogSnapshot,
    pub legs: Legs,
    pub document: Option<Zeroizing<Vec<u8>>>,
}

#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
struct StoredSession {
    version: u8,
    dialog: StoredDialog,
    legs: [Option<StoredLeg>; LEGS_MAX],
    document: Option<Vec<u8>>,
}

#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
struct StoredDialog {
    call_id: String,
    local_tag: String,
    remote_tag: String,
    local_address: String,
    remote_address: String,
    remote_target: String,
    routes: Vec<String>,
    local_cseq: u32,
    remote_cseq: u32,
    transport: u8,
    #[zeroize(skip)]
    remote: SocketAddrText,
    #[zeroize(skip)]
    local: SocketAddrText,
    interval_s: Option<u32>,
    answer_session: u64,
    answer_version: u64,
    answer_secret: [u8; 32],
    answer_digest: Option<[u8; 32]>,
    local_description: Vec<u8>,
}

/// An address as text, which needs no format of its own.
#[derive(Serialize, Deserialize)]
struct SocketAddrText(String);

impl SocketAddrText {
    fn of(address: SocketAddr) -> SocketAddrText {
        SocketAddrText(address.to_string())
    }

    fn parse(&self) -> Result<SocketAddr, StoredError> {
        self.0.parse().map_err(|_| StoredError::Damaged)
    }
}

#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
struct StoredLeg {
    stream: u8,
    label: Option<String>,
    settings: Option<StoredSettings>,
}

#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
struct StoredSettings {
    payloads: Vec<StoredPayload>,
    crypto: Option<StoredCrypto>,
    is_sending: bool,
    #[zeroize(skip)]
    sender: Option<SocketAddrText>,
}

#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
struct StoredPayload {
    number: u8,
    /// Index in `Codec::ALL`, or one of `OTHER_ENCODINGS` after it.
    encoding: u8,
    name: String,
    clock_hz: u32,
    channels: u8,
    parameters: Option<String>,
}

#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
struct StoredCrypto {
    tag: u32,
    /// Index in `SrtpSuite::ALL`.
    suite: u8,
    inline: String,
}

/// Encodings without a codec; their code is the index here, after those of `Codec::ALL`.
const OTHER_ENCODINGS: [Encoding; 3] =
    [Encoding::ComfortNoise, Encoding::TelephoneEvent, Encoding::Unknown];

const TRANSPORTS: [Transport; 3] = [Transport::Udp, Transport::Tcp, Transport::Tls];

fn position_of<T: PartialEq>(all: &[T], wanted: &T) -> u8 {
    let found = all.iter().position(|one| one == wanted).unwrap_or(usize::from(u8::MAX));
    u8::try_from(found).unwrap_or(u8::MAX)
}

impl SessionState {
    const VERSION: u8 = 1;

    /// Encodes the state. A document that makes it too long is left out.
    pub fn to_bytes(&self) -> Result<Zeroizing<Vec<u8>>, StoredError> {
        let mut stored = StoredSession {
            version: SessionState::VERSION,
            dialog: StoredDialog::of(&self.snapshot),
            legs: [0, 1].map(|leg| self.legs[leg].as_ref().map(StoredLeg::of)),
            document: self.document.as_ref().map(|document| document.to_vec()),
        };
        // A buffer that grew would leave copies of keys in memory.
        let mut buffer = Zeroizing::new(vec![0; STATE_BYTES_MAX]);
        let mut used = postcard::to_slice(&stored, &mut buffer).map(|used| used.len());
        if used.is_err() {
            stored.document = None;
            used = postcard::to_slice(&stored, &mut buffer).map(|used| used.len());
        }
        buffer.truncate(used.map_err(|_| StoredError::TooLong)?);
        Ok(buffer)
    }

    pub fn from_bytes(bytes: &[u8]) -> Result<SessionState, StoredError> {
        let (mut stored, rest): (StoredSession, _) =
            postcard::take_from_bytes(bytes).map_err(|_| StoredError::Damaged)?;
        if stored.version != SessionState::VERSION || !rest.is_empty() {
            return Err(StoredError::Damaged);
        }
        let [first, second] = &stored.legs;
        let leg = |leg: &Option<StoredLeg>| leg.as_ref().map(StoredLeg::to_leg).transpose();
        let legs = [leg(first)?, leg(second)?];
        let document = stored.document.take().map(Zeroizing::new);
        Ok(SessionState { snapshot: stored.dialog.to_snapshot()?, legs, document })
    }
}

impl StoredDialog {
    fn of(snapshot: &DialogSnapshot) -> StoredDialog {
        StoredDialog {
            call_id: snapshot.call_id.clone(),
            local_tag: snapshot.local_tag.clone(),
            remote_tag: snapshot.remote_tag.clone(),
            local_address: snapshot.local_address.clone(),
            remote_address: snapshot.remote_address.clone(),
            remote_target: snapshot.remote_target.clone(),
            routes: snapshot.routes.clone(),
            local_cseq: snapshot.local_cseq,
            remote_cseq: snapshot.remote_cseq,
            transport: position_of(&TRANSPORTS, &snapshot.peer.transport),
            remote: SocketAddrText::of(snapshot.peer.remote),
            local: SocketAddrText::of(snapshot.peer.local),
            interval_s: snapshot.interval_s,
            answer_session: snapshot.answers.session_id,
            answer_version: snapshot.answers.version,
            answer_secret: *snapshot.answers.secret,
            answer_digest: snapshot.answers.digest,
            local_description: snapshot.local_description.to_vec(),
        }
    }

    fn to_snapshot(&self) -> Result<DialogSnapshot, StoredError> {
        let transport = TRANSPORTS.get(usize::from(self.transport)).copied();
        Ok(DialogSnapshot {
            call_id: self.call_id.clone(),
            local_tag: self.local_tag.clone(),
            remote_tag: self.remote_tag.clone(),
            local_address: self.local_address.clone(),
            remote_address: self.remote_address.clone(),
            remote_target: self.remote_target.clone(),
            routes: self.routes.clone(),
            local_cseq: self.local_cseq,
            remote_cseq: self.remote_cseq,
            peer: Peer {
                transport: transport.ok_or(StoredError::Damaged)?,
                remote: self.remote.parse()?,
                local: self.local.parse()?,
                connection: 0,
            },
            interval_s: self.interval_s,
            answers: AnswerWriter {
                session_id: self.answer_session,
                version: self.answer_version,
                secret: Zeroizing::new(self.answer_secret),
                digest: self.answer_digest,
            },
            local_description: Zeroizing::new(self.local_description.clone()),
        })
    }
}

impl StoredLeg {
    fn of(leg: &Leg) -> StoredLeg {
        StoredLeg {
            stream: u8::try_from(leg.stream).unwrap_or(u8::MAX),
            label: leg.label.clone(),
            settings: leg.settings.as_ref().map(StoredSettings::of),
        }
    }

    fn to_leg(&self) -> Result<Leg, StoredError> {
        let settings = self.settings.as_ref().map(StoredSettings::to_settings).transpose()?;
        Ok(Leg { stream: usize::from(self.stream), label: self.label.clone(), settings })
    }
}

impl StoredSettings {
    fn of(settings: &LegSettings) -> StoredSettings {
        let crypto = settings.selection.crypto.as_ref().map(|crypto| StoredCrypto {
            tag: crypto.tag,
            suite: position_of(&SrtpSuite::ALL, &crypto.key.suite()),
            inline: crypto.key.to_base64().to_string(),
        });
        StoredSettings {
            payloads: settings.selection.payloads.iter().map(StoredPayload::of).collect(),
            crypto,
            is_sending: settings.is_sending,
            sender: settings.sender.map(SocketAddrText::of),
        }
    }

    fn to_settings(&self) -> Result<LegSettings, StoredError> {
        let payloads: Result<Vec<Payload>, StoredError> =
            self.payloads.iter().map(StoredPayload::to_payload).collect();
        let crypto = self.crypto.as_ref().map(StoredCrypto::to_crypto).transpose()?;
        let sender = self.sender.as_ref().map(SocketAddrText::parse).transpose()?;
        let selection = StreamSelection { payloads: payloads?, crypto };
        Ok(LegSettings { selection, is_sending: self.is_sending, sender })
    }
}

impl StoredPayload {
    fn of(payload: &Payload) -> StoredPayload {
        let codecs = u8::try_from(Codec::ALL.len()).unwrap_or(u8::MAX);
        let encoding = match payload.encoding {
            Encoding::Audio(codec) => position_of(&Codec::ALL, &codec),
            other => position_of(&OTHER_ENCODINGS, &other).saturating_add(codecs),
        };
        StoredPayload {
            number: payload.number,
            encoding,
            name: payload.name.clone(),
            clock_hz: payload.clock_hz,
            channels: payload.channels,
            parameters: payload.parameters.clone(),
        }
    }

    fn to_payload(&self) -> Result<Payload, StoredError> {
        let code = usize::from(self.encoding);
        let audio = Codec::ALL.get(code).map(|codec| Encoding::Audio(*codec));
        let other = || OTHER_ENCODINGS.get(code.checked_sub(Codec::ALL.len())?).copied();
        Ok(Payload {
            number: self.number,
            encoding: audio.or_else(other).ok_or(StoredError::Damaged)?,
            name: self.name.clone(),
            clock_hz: self.clock_hz,
            channels: self.channels,
            parameters: self.parameters.clone(),
        })
    }
}

impl StoredCrypto {
    fn to_crypto(&self) -> Result<OfferedCrypto, StoredError> {
        let suite = SrtpSuite::ALL.get(usize::from(self.suite)).copied();
        let key = suite.and_then(|suite| SrtpKey::from_base64(suite, &self.inline));
        Ok(OfferedCrypto { tag: self.tag, key: key.ok_or(StoredError::Damaged)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(document_bytes: usize) -> SessionState {
        let address: SocketAddr = "[2001:db8::1]:5060".parse().unwrap();
        let key = SrtpKey::generate(SrtpSuite::AeadAes256Gcm, |bytes| bytes.fill(7));
        let payload = |number, encoding| Payload {
            number,
            encoding,
            name: "n".into(),
            clock_hz: 8000,
            channels: 1,
            parameters: Some("0-15".into()),
        };
        let payloads = vec![
            payload(0, Encoding::Audio(Codec::Pcmu)),
            payload(96, Encoding::Audio(Codec::Opus)),
            payload(101, Encoding::TelephoneEvent),
            payload(13, Encoding::ComfortNoise),
        ];
        let crypto = Some(OfferedCrypto { tag: 3, key });
        let settings = LegSettings {
            selection: StreamSelection { payloads, crypto },
            is_sending: true,
            sender: Some(address),
        };
        let leg = Leg { stream: 1, label: Some("2".into()), settings: Some(settings) };
        SessionState {
            snapshot: DialogSnapshot {
                call_id: "c".into(),
                local_tag: "l".into(),
                remote_tag: "r".into(),
                local_address: "<sip:srs@box>".into(),
                remote_address: "<sip:src@sbc>;tag=r".into(),
                remote_target: "sip:src@192.0.2.1".into(),
                routes: vec!["<sip:proxy;lr>".into()],
                local_cseq: 1,
                remote_cseq: 2,
                peer: Peer {
                    transport: Transport::Tls,
                    remote: address,
                    local: "192.0.2.2:5061".parse().unwrap(),
                    connection: 0,
                },
                interval_s: Some(1800),
                answers: AnswerWriter {
                    session_id: 5,
                    version: 6,
                    secret: Zeroizing::new([9; 32]),
                    digest: Some([8; 32]),
                },
                local_description: Zeroizing::new(b"v=0".to_vec()),
            },
            legs: [None, Some(leg)],
            document: Some(Zeroizing::new(vec![b'x'; document_bytes])),
        }
    }

    #[test]
    fn a_session_survives_its_stored_form() {
        let before = state(100);
        let bytes = before.to_bytes().unwrap();
        let after = SessionState::from_bytes(&bytes).unwrap_or_else(|error| panic!("{error}"));
        assert!(after.snapshot == before.snapshot && after.legs == before.legs);
        assert_eq!(after.document.as_deref(), before.document.as_deref());
        for end in 0..bytes.len() {
            assert!(SessionState::from_bytes(&bytes[..end]).is_err(), "cut at {end}");
        }
        let mut other = bytes.to_vec();
        other[0] = 2;
        assert_eq!(SessionState::from_bytes(&other).err(), Some(StoredError::Damaged));
    }

    #[test]
    fn a_state_that_is_too_long_loses_its_document_first() {
        let bytes = state(STATE_BYTES_MAX).to_bytes().unwrap();
        assert!(SessionState::from_bytes(&bytes).is_ok_and(|state| state.document.is_none()));
        let mut huge = state(1);
        huge.snapshot.call_id = "c".repeat(STATE_BYTES_MAX);
        assert_eq!(huge.to_bytes().err(), Some(StoredError::TooLong));
    }
}
