//! What the signalling agreed about one leg: payload types, codecs, keys and the sender's address.

use std::net::SocketAddr;
use thiserror::Error;
use zeroize::Zeroizing;

/// Payload types that one leg may have.
pub const PAYLOADS_MAX: usize = 16;

/// Codec of an RTP payload type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RtpCodec {
    /// G.711 µ-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
    /// G.722 at 64 kbit/s. Its RTP clock runs at 8 kHz although it samples at 16 kHz
    /// (RFC 3551, 4.5.2).
    G722,
    /// G.729, with or without Annex B.
    G729,
    /// Opus (RFC 7587). A stereo stream is mixed to one channel.
    Opus { channels: u8 },
    /// Comfort noise (RFC 3389): silence until the next audio packet.
    ComfortNoise,
}

impl RtpCodec {
    /// Rate of the RTP timestamps, in Hz.
    #[must_use]
    pub fn clock_rate(self) -> u32 {
        match self {
            RtpCodec::Opus { .. } => 48_000,
            RtpCodec::Pcmu
            | RtpCodec::Pcma
            | RtpCodec::G722
            | RtpCodec::G729
            | RtpCodec::ComfortNoise => 8000,
        }
    }
}

/// Protection profile of SRTP, by its name in `a=crypto` (RFC 4568, RFC 7714).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SrtpSuite {
    AeadAes256Gcm,
    AesCm128HmacSha1_80,
    AesCm128HmacSha1_32,
}

impl SrtpSuite {
    /// Length of the master key and of the master salt behind it, in bytes.
    #[must_use]
    pub fn key_and_salt_bytes(self) -> (usize, usize) {
        match self {
            SrtpSuite::AeadAes256Gcm => (32, 12),
            SrtpSuite::AesCm128HmacSha1_80 | SrtpSuite::AesCm128HmacSha1_32 => (16, 14),
        }
    }
}

/// Key with which the sender protects a leg. Wiped when dropped.
///
/// Deliberately without `Debug`, so that keys cannot be logged.
#[derive(Clone, PartialEq, Eq)]
pub struct SrtpKey {
    pub suite: SrtpSuite,
    /// Master key and master salt, in this order, as `inline:` of `a=crypto` has them decoded.
    pub key_and_salt: Zeroizing<Vec<u8>>,
}

/// Settings of one leg. The sender of a leg is the recording client, which forwards the audio of
/// one participant.
#[derive(Clone)]
pub struct LegConfig {
    /// Payload types of the answer, at most `PAYLOADS_MAX`. Payload type 13 is comfort noise even
    /// if it is not listed (RFC 3551).
    pub payloads: Vec<(u8, RtpCodec)>,
    /// Payload types of telephone events (RFC 4733): an offer may have one for each clock rate.
    pub telephone_events: Vec<u8>,
    /// Key of SRTP; `None`: plain RTP.
    pub crypto: Option<SrtpKey>,
    /// Whether missing audio is lost. `false` for a line on hold (`inactive`): audio that comes
    /// nevertheless is accepted, and silence is silence.
    pub expects_audio: bool,
    /// Address that the sender announced. Its packets are accepted even after another sender came
    /// first. `None`: the first sender is the sender.
    pub sender: Option<SocketAddr>,
    /// Whether digits are also searched in the audio (DTMF tones).
    pub detects_tones: bool,
}

/// Why a leg's settings are refused.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum LegConfigError {
    #[error("slot {slot} does not exist: the board has {slots}")]
    NoSlot { slot: usize, slots: usize },
    #[error("slot {slot} is open: close it first")]
    AlreadyOpen { slot: usize },
    #[error("slot {slot} is not open")]
    NotOpen { slot: usize },
    #[error("a slot has one or two legs, not {legs}")]
    Legs { legs: usize },
    #[error("leg {leg} has {payloads} payload types, allowed are 1 to {PAYLOADS_MAX}")]
    Payloads { leg: usize, payloads: usize },
    #[error("leg {leg} names payload type {payload}, the last possible is 127")]
    PayloadType { leg: usize, payload: u8 },
    #[error("leg {leg} has a key of {found} bytes, its suite needs {expected} (key and salt)")]
    Key { leg: usize, found: usize, expected: usize },
    #[error("leg {leg} gets no decoder: libopus reports {reason}")]
    Decoder { leg: usize, reason: &'static str },
    #[error("leg {leg} gets no socket: {errno}")]
    Socket { leg: usize, errno: nix::errno::Errno },
}

impl LegConfig {
    /// Checks everything that can be checked without a decoder.
    ///
    /// # Errors
    /// What is wrong; `leg` is only named in the message.
    pub fn validate(&self, leg: usize) -> Result<(), LegConfigError> {
        let payloads = self.payloads.len();
        if payloads == 0 || payloads > PAYLOADS_MAX {
            return Err(LegConfigError::Payloads { leg, payloads });
        }
        let audio = self.payloads.iter().map(|(payload, _)| *payload);
        for payload in audio.chain(self.telephone_events.iter().copied()) {
            if payload > 127 {
                return Err(LegConfigError::PayloadType { leg, payload });
            }
        }
        if let Some(crypto) = &self.crypto {
            let (key, salt) = crypto.suite.key_and_salt_bytes();
            let found = crypto.key_and_salt.len();
            if found != key + salt {
                return Err(LegConfigError::Key { leg, found, expected: key + salt });
            }
        }
        Ok(())
    }

    /// Codec of a payload type. 13 is comfort noise unless the leg says otherwise.
    pub(crate) fn codec_of(&self, payload: u8) -> Option<RtpCodec> {
        let listed = self.payloads.iter().find(|(listed, _)| *listed == payload);
        listed.map(|(_, codec)| *codec).or((payload == 13).then_some(RtpCodec::ComfortNoise))
    }
}

#[cfg(test)]
pub(crate) fn test_leg_config(codec: RtpCodec) -> LegConfig {
    LegConfig {
        payloads: vec![(0, codec)],
        telephone_events: vec![101],
        crypto: None,
        expects_audio: true,
        sender: None,
        detects_tones: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_leg_is_refused_with_the_number_that_is_wrong() {
        let good = test_leg_config(RtpCodec::Pcmu);
        assert_eq!(good.validate(0), Ok(()));
        let none = LegConfig { payloads: Vec::new(), ..good.clone() };
        assert_eq!(none.validate(1), Err(LegConfigError::Payloads { leg: 1, payloads: 0 }));
        let many = LegConfig { payloads: vec![(0, RtpCodec::Pcmu); 17], ..good.clone() };
        assert_eq!(many.validate(0), Err(LegConfigError::Payloads { leg: 0, payloads: 17 }));
        let high = LegConfig { telephone_events: vec![101, 128], ..good.clone() };
        assert_eq!(high.validate(0), Err(LegConfigError::PayloadType { leg: 0, payload: 128 }));
        let suite = SrtpSuite::AeadAes256Gcm;
        let crypto = Some(SrtpKey { suite, key_and_salt: Zeroizing::new(vec![0; 30]) });
        let short = LegConfig { crypto, ..good };
        let wrong = LegConfigError::Key { leg: 0, found: 30, expected: 44 };
        assert_eq!(short.validate(0), Err(wrong));
    }

    #[test]
    fn payload_type_13_is_comfort_noise_unless_the_answer_gave_it_away() {
        let mut leg = test_leg_config(RtpCodec::Pcmu);
        assert_eq!(leg.codec_of(13), Some(RtpCodec::ComfortNoise));
        assert_eq!(leg.codec_of(14), None);
        leg.payloads.push((13, RtpCodec::Pcma));
        assert_eq!(leg.codec_of(13), Some(RtpCodec::Pcma));
    }
}
