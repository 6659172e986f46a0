//! The audio codecs that an offer may name, and the payload types that stand for them (RFC 3551).

/// An audio codec that a recorder may be able to decode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Codec {
    /// G.711 µ-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
    /// G.722 at 64 kbit/s. It samples at 16,000 Hz; its RTP clock is 8,000 Hz (RFC 3551 4.5.2).
    G722,
    /// G.729, with or without Annex B.
    G729,
    /// Opus (RFC 7587).
    Opus,
}

impl Codec {
    /// Every codec.
    pub const ALL: [Codec; 5] = [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::G729, Codec::Opus];

    /// The encoding name of `a=rtpmap`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Codec::Pcmu => "PCMU",
            Codec::Pcma => "PCMA",
            Codec::G722 => "G722",
            Codec::G729 => "G729",
            Codec::Opus => "opus",
        }
    }

    /// The rate of the RTP time stamps in Hz.
    #[must_use]
    pub fn clock_hz(self) -> u32 {
        match self {
            Codec::Pcmu | Codec::Pcma | Codec::G722 | Codec::G729 => 8_000,
            Codec::Opus => 48_000,
        }
    }
}

/// What the packets of a payload type carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Audio.
    Audio(Codec),
    /// The level of background noise in a pause (RFC 3389).
    ComfortNoise,
    /// Digits and other signals (RFC 4733).
    TelephoneEvent,
    /// Anything that a recorder does not use.
    Unknown,
}

/// A payload type of one `m=` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// The payload type, 0 to 127.
    pub number: u8,
    /// What its packets carry.
    pub encoding: Encoding,
    /// The encoding name as the offer spells it.
    pub name: String,
    /// The rate of its RTP time stamps in Hz.
    pub clock_hz: u32,
    /// Audio channels: 1 unless the offer says otherwise.
    pub channels: u8,
    /// The value of `a=fmtp`.
    pub parameters: Option<String>,
}

impl Payload {
    /// The payload type with the meaning that RFC 3551 gives it without an `a=rtpmap`.
    #[must_use]
    pub fn of_static(number: u8) -> Option<Payload> {
        let (encoding, name) = match number {
            0 => (Encoding::Audio(Codec::Pcmu), "PCMU"),
            8 => (Encoding::Audio(Codec::Pcma), "PCMA"),
            9 => (Encoding::Audio(Codec::G722), "G722"),
            13 => (Encoding::ComfortNoise, "CN"),
            18 => (Encoding::Audio(Codec::G729), "G729"),
            _ => return None,
        };
        let (clock_hz, channels) = (8_000, 1);
        Some(Payload {
            number,
            encoding,
            name: name.to_owned(),
            clock_hz,
            channels,
            parameters: None,
        })
    }

    /// The payload type that the value of an `a=rtpmap` describes, such as `8 PCMA/8000`.
    #[must_use]
    pub fn from_rtpmap(value: &str) -> Option<Payload> {
        let (number, rest) = value.trim().split_once(char::is_whitespace)?;
        let number = number.parse().ok().filter(|number| *number <= 127)?;
        let mut parts = rest.trim().split('/');
        let name = parts.next()?.trim();
        let clock_hz: u32 = parts.next()?.trim().parse().ok()?;
        let channels = parts.next().map_or(Some(1), |count| count.trim().parse().ok())?;
        let encoding = encoding_of(name, clock_hz, channels);
        Some(Payload {
            number,
            encoding,
            name: name.to_owned(),
            clock_hz,
            channels,
            parameters: None,
        })
    }

    /// The codec, if the packets carry audio.
    #[must_use]
    pub fn codec(&self) -> Option<Codec> {
        match self.encoding {
            Encoding::Audio(codec) => Some(codec),
            Encoding::ComfortNoise | Encoding::TelephoneEvent | Encoding::Unknown => None,
        }
    }
}

/// What an encoding name means. A known name with another clock or more channels is not known:
/// 16 kHz G.711 and stereo G.711 would be decoded wrongly.
fn encoding_of(name: &str, clock_hz: u32, channels: u8) -> Encoding {
    if name.eq_ignore_ascii_case("telephone-event") {
        return Encoding::TelephoneEvent;
    }
    if name.eq_ignore_ascii_case("CN") && channels == 1 {
        return Encoding::ComfortNoise;
    }
    let channels_max = |codec| if codec == Codec::Opus { 2 } else { 1 };
    Codec::ALL
        .into_iter()
        .find(|codec| name.eq_ignore_ascii_case(codec.name()))
        .filter(|codec| clock_hz == codec.clock_hz() && channels <= channels_max(*codec))
        .map_or(Encoding::Unknown, Encoding::Audio)
}
