//! Every bound of the configuration, with its arithmetic, and what a text may look like.
//!
//! A value that `parse` lets through is within these; nobody checks again. The rest of the box
//! sizes its tables from them. Nothing here reads anything.

use std::ops::RangeInclusive;

/// A file is at most so long: 10 000 agents of some 300 bytes each are 3 MB.
pub const TEXT_BYTES_MAX: usize = 4 << 20;

/// Names and labels, bytes: so that a line of the protocol never overflows.
pub const NAME_BYTES_MAX: usize = 32;

/// `[[listen]]`: a descriptor each, all of the time.
pub const LISTENERS_MAX: usize = 32;
/// `[[board]]`.
pub const BOARDS_MAX: usize = 32;
/// Channels of all boards together: the size of the channel table.
pub const CHANNELS_MAX: usize = 256;
/// `[[role]]`.
pub const ROLES_MAX: usize = 256;
/// `[[agent]]`.
pub const AGENTS_MAX: usize = 10_000;
/// `[[workstation]]`: one for every agent.
pub const WORKSTATIONS_MAX: usize = 10_000;
/// `[[schedule]]`: all are looked at when a call begins.
pub const SCHEDULES_MAX: usize = 256;
/// `[[technician]]`.
pub const TECHNICIANS_MAX: usize = 100;
/// Each wraps the key of every recording, some 200 bytes in its header.
pub const RECIPIENTS_MAX: usize = 16;
/// Entries of any one list of texts (phones of an agent, users of a schedule, …).
pub const LIST_MAX: usize = 10_000;

/// Sessions at a time; the most is what a small box serves with as many descriptors.
pub const SESSIONS: RangeInclusive<u32> = 1..=10_000;
/// New TLS connections per second.
pub const HANDSHAKES_PER_S: RangeInclusive<u32> = 1..=10_000;

/// Shorter than 200 ms nobody can reach back; 60 s of stereo at 8 kHz are 1.9 MB a channel.
pub const HOLDBACK_MS: RangeInclusive<u32> = 200..=60_000;
/// What libopus takes for speech, from barely intelligible to transparent; bit/s.
pub const BITRATE: RangeInclusive<u32> = 6_000..=128_000;
/// 4 h of stereo opus at 2 × 16 kbit/s are 58 MB of RAM a channel.
pub const RECALL_S: RangeInclusive<u32> = 1..=4 * 3600;
/// An hour to write down what a call was about.
pub const WRAPUP_S: RangeInclusive<u32> = 0..=3600;
/// A minute of silence is still a call; after a day a stop was surely missed.
pub const STALE_CALL_S: RangeInclusive<u32> = 60..=86_400;
/// The ceiling of a blackout: at most a day.
pub const BLACKOUT_MAX_S: RangeInclusive<u32> = 1..=86_400;
/// 1 TiB at most.
pub const RESERVE_MB: RangeInclusive<u32> = 1..=1 << 20;

/// Frames per second, for all codecs but opus.
pub const RATE: RangeInclusive<u32> = 8_000..=96_000;
/// What opus codes without a resampler, frames per second.
pub const OPUS_RATES: [u32; 5] = [8_000, 12_000, 16_000, 24_000, 48_000];
/// The card's memory: two turns of a busy loop (20 ms each) at least.
pub const BUFFER_MS: RangeInclusive<u32> = 40..=2_000;
/// One period; at most half of the buffer, so that one is filled while another is read.
pub const PERIOD_MS: RangeInclusive<u32> = 5..=200;
/// 20 ms: 50 turns a second.
pub const PERIOD_MS_DEFAULT: u32 = 20;
const _: () = assert!(PERIOD_MS_DEFAULT * 2 <= *BUFFER_MS.start(), "fits the smallest buffer");
/// What fits the record format.
pub const CHANNEL_ID: RangeInclusive<u16> = 0..=u16::MAX;
/// A card has at most so many slots, counted from 0.
pub const SLOT: RangeInclusive<u16> = 0..=255;
/// Above so much RAM for all rings together a warning is due: it is locked, and boxes are small.
pub const RINGS_MB_WARN: u64 = 512;

/// Speech that begins a call: from one frame of a codec to 10 s.
pub const ATTACK_MS: RangeInclusive<u32> = 20..=10_000;
/// Silence that ends it: shorter than 200 ms is a pause between words.
pub const RELEASE_MS: RangeInclusive<u32> = 200..=600_000;
/// Under 3 dB noise is speech, over 40 dB speech is noise.
pub const MARGIN_DB: RangeInclusive<u32> = 3..=40;

/// Of calls.
pub const PERCENT: RangeInclusive<u8> = 0..=100;
/// Room to put one between any two.
pub const PRIORITY: RangeInclusive<i32> = -1_000_000..=1_000_000;
/// 100 years.
pub const RETENTION_DAYS: RangeInclusive<u32> = 1..=36_500;

/// Pictures per second.
pub const SCREEN_FPS: RangeInclusive<u32> = 1..=30;
/// Percent of the screen's size.
pub const SCREEN_SCALE: RangeInclusive<u32> = 10..=100;
/// Rate of the video, kbit/s.
pub const SCREEN_KBPS: RangeInclusive<u32> = 10..=10_000;

/// Speeds that serial ports have, bit/s.
pub const BAUDS: [u32; 10] =
    [1200, 2400, 4800, 9600, 19_200, 38_400, 57_600, 115_200, 230_400, 460_800];

/// A cable that was left plugged in is no way in for the next one who comes by.
pub const IDLE_S: RangeInclusive<u32> = 10..=3600;
/// As for every other session (protocol).
pub const IDLE_S_DEFAULT: u32 = 90;

/// Costs a PIN's hash may ask of the box: memory in KiB, passes, lanes. 256 MiB is a lot already.
pub const PIN_COST_MAX: (u32, u32, u32) = (256 << 10, 16, 16);

/// What a text may be.
pub(super) struct TextRule {
    pub is_valid: fn(&str) -> bool,
    pub allowed: &'static str,
    /// Whether an error must not quote it.
    pub is_secret: bool,
}

fn is_printable(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(char::is_control)
}

fn is_name(text: &str) -> bool {
    is_printable(text) && text.len() <= NAME_BYTES_MAX && text.trim() == text
}

/// Names, labels, devices, phones.
pub(super) const NAME: TextRule = TextRule {
    is_valid: is_name,
    allowed: "a text of 1 to 32 bytes without control characters or outer spaces",
    is_secret: false,
};

/// A name of the time zone database; whether there is such a zone is looked up.
pub(super) const TIME_ZONE: TextRule = TextRule {
    is_valid: |text| is_name(text),
    allowed: "a time zone such as Europe/Berlin, or UTC",
    is_secret: false,
};

pub(super) const BOX_NAME: TextRule = TextRule {
    is_valid: |text| {
        is_name(text) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b))
    },
    allowed: "a text of 1 to 32 letters, digits and .-_",
    is_secret: false,
};

pub(super) const USERNAME: TextRule = TextRule {
    is_valid: |text| is_name(text) && !text.contains(['\\', '@', '/']) && !text.contains(' '),
    allowed: "a network id of 1 to 32 bytes, not fully qualified: no \\ @ / or space \
              (the domain has a key of its own)",
    is_secret: false,
};

/// Files, folders and PCM names. 1023 bytes and a NUL are what most systems take.
pub(super) const PATH: TextRule = TextRule {
    is_valid: |text| is_printable(text) && text.len() <= 1023,
    allowed: "a path of 1 to 1023 bytes without control characters",
    is_secret: false,
};

/// A unix socket's path: `sun_path` has 108 bytes, one of them a NUL.
pub(super) const SOCKET_PATH: TextRule = TextRule {
    is_valid: |text| is_printable(text) && text.len() <= 107,
    allowed: "a path of 1 to 107 bytes without control characters",
    is_secret: false,
};

/// Anything that a reader of its own looks at afterwards.
pub(super) const TEXT: TextRule = TextRule {
    is_valid: |text| text.len() <= 4096,
    allowed: "a text of at most 4096 bytes",
    is_secret: false,
};

pub(super) const SECRET: TextRule = TextRule { is_secret: true, ..TEXT };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_bounded_as_their_rules_say() {
        let long = "x".repeat(NAME_BYTES_MAX);
        assert!((NAME.is_valid)(&long) && !(NAME.is_valid)(&format!("{long}x")));
        assert!(NAME.allowed.contains(&NAME_BYTES_MAX.to_string()));
        for bad in ["", " x", "x ", "a\nb", "\u{7f}"] {
            assert!(!(NAME.is_valid)(bad), "{bad:?}");
        }
        assert!(
            (BOX_NAME.is_valid)("box-01.a_b")
                && !(BOX_NAME.is_valid)("box 1")
                && (NAME.is_valid)("box 1")
        );
        for bad in ["ACME\\jdoe", "jdoe@acme", "a/b", "j doe", ""] {
            assert!(!(USERNAME.is_valid)(bad), "{bad:?}");
        }
        assert!((USERNAME.is_valid)("jane.doe-2") && (USERNAME.is_valid)("jürgen"));
        assert!(
            (SOCKET_PATH.is_valid)(&"s".repeat(107)) && !(SOCKET_PATH.is_valid)(&"s".repeat(108))
        );
    }
}
