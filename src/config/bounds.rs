//! Bounds of every configuration value, with their arithmetic, and the rules for text values.
//!
//! `parse` enforces them, so later code does not check again and sizes its tables from them.

use crate::limits;
use std::ops::RangeInclusive;

/// Maximum size of a file: 10 000 agents at about 300 bytes are 3 MB.
pub const TEXT_BYTES_MAX: usize = 4 << 20;

/// Maximum length of names and labels in bytes, so that protocol lines never overflow.
pub const NAME_BYTES_MAX: usize = 32;

/// Maximum `[[listen]]` tables; each uses a descriptor permanently.
pub const LISTENERS_MAX: usize = 32;
/// Maximum `[[board]]` tables.
pub const BOARDS_MAX: usize = 32;
/// Maximum channels of all boards together, slots of IP telephony included: the size of the channel
/// table.
pub const CHANNELS_MAX: usize = 2048;
const _: () = assert!(limits::CALLS_MAX >= 4 * CHANNELS_MAX);
const _: () = assert!(limits::RECORDINGS_MAX >= 2 * CHANNELS_MAX);
/// Maximum `[[role]]` tables.
pub const ROLES_MAX: usize = 256;
/// Maximum `[[agent]]` tables.
pub const AGENTS_MAX: usize = 10_000;
/// Maximum `[[workstation]]` tables: one for every agent.
pub const WORKSTATIONS_MAX: usize = 10_000;
/// Maximum `[[schedule]]` tables; every call start evaluates all of them.
pub const SCHEDULES_MAX: usize = 256;
/// Maximum `[[technician]]` tables.
pub const TECHNICIANS_MAX: usize = 100;
/// Maximum recipients; each adds about 200 bytes to the header of every recording.
pub const RECIPIENTS_MAX: usize = 16;
/// Maximum entries of a list of texts (phones of an agent, users of a schedule, …).
pub const LIST_MAX: usize = 10_000;

/// Concurrent sessions; the maximum is what a small box can serve with as many descriptors.
pub const SESSIONS: RangeInclusive<u32> = 1..=10_000;
/// New TLS connections per second.
pub const HANDSHAKES_PER_S: RangeInclusive<u32> = 1..=10_000;

/// Holdback: under 200 ms a blackout lead is useless; 60 s of stereo at 8 kHz is 1.9 MB per
/// channel.
pub const HOLDBACK_MS: RangeInclusive<u32> = 200..=60_000;
/// Opus bitrate for speech in bit/s, from barely intelligible to transparent.
pub const BITRATE: RangeInclusive<u32> = 6_000..=128_000;
/// Recall: 4 h of stereo Opus at 2 × 16 kbit/s is 58 MB of RAM per channel.
pub const RECALL_S: RangeInclusive<u32> = 1..=4 * 3600;
/// Wrap-up time.
pub const WRAPUP_S: RangeInclusive<u32> = 0..=3600;
/// Stale-call timeout: longer than a pause in speech, at most a day.
pub const STALE_CALL_S: RangeInclusive<u32> = 60..=86_400;
/// Maximum length of a call: up to a week; 0 for no maximum.
pub const MAX_CALL_S: RangeInclusive<u32> = 0..=7 * 86_400;
/// Maximum length of a blackout: up to a day.
pub const BLACKOUT_MAX_S: RangeInclusive<u32> = 1..=86_400;
/// Time without a call after which an agent's blackout ends by itself; 0: never.
pub const END_WITHOUT_CALL_S: RangeInclusive<u32> = 0..=86_400;
/// Disk reserve: up to 1 TiB.
pub const RESERVE_MB: RangeInclusive<u32> = 1..=1 << 20;

/// Sample rate in frames per second, for all codecs but Opus.
pub const RATE: RangeInclusive<u32> = 8_000..=96_000;
const _: () = assert!(*RATE.start() >= limits::RATE_MIN && *RATE.end() <= limits::RATE_MAX);
/// Sample rates that Opus encodes without a resampler, in frames per second.
pub const OPUS_RATES: [u32; 5] = [8_000, 12_000, 16_000, 24_000, 48_000];
/// Capture buffer: at least two turns of a busy loop (20 ms each).
pub const BUFFER_MS: RangeInclusive<u32> = 40..=2_000;
/// Period: at most half of the buffer, so that one is filled while another is read.
pub const PERIOD_MS: RangeInclusive<u32> = 5..=200;
/// 20 ms: 50 turns a second.
pub const PERIOD_MS_DEFAULT: u32 = 20;
const _: () = assert!(PERIOD_MS_DEFAULT * 2 <= *BUFFER_MS.start(), "fits the smallest buffer");
/// Channel numbers that fit the record format.
pub const CHANNEL_ID: RangeInclusive<u16> = 0..=u16::MAX;
/// Slots of a card, counted from 0.
pub const SLOT: RangeInclusive<u16> = 0..=255;
/// Total ring memory above which a warning is given: it is locked, and boxes have little RAM.
pub const RINGS_MB_WARN: u64 = 512;
/// Maximum total ring memory: 2,048 stereo channels at 8 kHz with the longest holdback are 4.1 GB,
/// with the default holdback 393 MB.
pub const RINGS_MB_MAX: u64 = 4096;

/// Calls of a `sip` board at a time: each has a channel.
pub const SIP_CALLS: RangeInclusive<u16> = 1..=2048;
const _: () = assert!(*SIP_CALLS.end() as usize == CHANNELS_MAX);
pub const SIP_CALLS_DEFAULT: u16 = 500;
/// RTP ports; below 1024 a port needs privileges.
pub const SIP_PORT_MIN: u16 = 1024;
pub const SIP_PORTS_DEFAULT: (u16, u16) = (20_000, 23_999);
/// Maximum listeners of a `sip` board; each uses a descriptor permanently.
pub const SIP_LISTENERS_MAX: usize = 8;
/// Maximum networks that may send to a `sip` board; every datagram is compared with all of them.
pub const SIP_PEERS_MAX: usize = 256;
/// Sample rates of a `sip` board: those at which its decoders work.
pub const SIP_RATES: [u32; 2] = [8_000, 16_000];

/// Speech that begins a call: from one codec frame to 10 s.
pub const ATTACK_MS: RangeInclusive<u32> = 20..=10_000;
/// Silence that ends a call: less than 200 ms is a pause between words.
pub const RELEASE_MS: RangeInclusive<u32> = 200..=600_000;
/// Below 3 dB noise counts as speech, above 40 dB speech counts as noise.
pub const MARGIN_DB: RangeInclusive<u32> = 3..=40;

/// Percentage of calls.
pub const PERCENT: RangeInclusive<u8> = 0..=100;
/// Priority, with room for values between any two.
pub const PRIORITY: RangeInclusive<i32> = -1_000_000..=1_000_000;
/// Retention: up to 100 years.
pub const RETENTION_DAYS: RangeInclusive<u32> = 1..=36_500;

/// Pictures per second.
pub const SCREEN_FPS: RangeInclusive<u32> = 1..=30;
/// Percent of the screen's size.
pub const SCREEN_SCALE: RangeInclusive<u32> = 10..=100;
/// Bitrate of the video, in kbit/s.
pub const SCREEN_KBPS: RangeInclusive<u32> = 10..=10_000;

/// Serial port speeds in bit/s.
pub const BAUDS: [u32; 10] =
    [1200, 2400, 4800, 9600, 19_200, 38_400, 57_600, 115_200, 230_400, 460_800];

/// Idle timeout of a serial console, so that an open session does not admit the next person.
pub const IDLE_S: RangeInclusive<u32> = 10..=3600;
/// Same as for other sessions (see the protocol).
pub const IDLE_S_DEFAULT: u32 = 90;

/// Maximum cost of a PIN hash: memory in KiB (256 MiB), passes, lanes.
pub const PIN_COST_MAX: (u32, u32, u32) = (256 << 10, 16, 16);

/// Rule for a text value.
pub(super) struct TextRule {
    pub is_valid: fn(&str) -> bool,
    pub allowed: &'static str,
    /// Whether errors must not quote the value.
    pub is_secret: bool,
}

fn is_printable(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(char::is_control)
}

fn is_name(text: &str) -> bool {
    is_printable(text)
        && text.len() <= NAME_BYTES_MAX
        && text.trim() == text
        && !text.chars().any(protocol::text::is_invisible)
}

/// Names, labels, devices and phones.
pub(super) const NAME: TextRule = TextRule {
    is_valid: is_name,
    allowed: "a text of 1 to 32 bytes without control characters, characters that cannot be seen, \
              or outer spaces",
    is_secret: false,
};

/// ACD groups and gates, as long as the call feed may state them.
pub(super) const DETAIL: TextRule = TextRule {
    is_valid: |text| {
        is_printable(text) && text.len() <= protocol::arg::DETAIL_BYTES && text.trim() == text
    },
    allowed: "a text of 1 to 128 bytes without control characters or outer spaces",
    is_secret: false,
};

/// A time zone name; the database lookup comes later.
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
              (the domain has a key of its own), no characters that cannot be seen",
    is_secret: false,
};

/// Files, directories and PCM names: 1023 bytes and a NUL, the limit of most systems.
pub(super) const PATH: TextRule = TextRule {
    is_valid: |text| is_printable(text) && text.len() <= 1023,
    allowed: "a path of 1 to 1023 bytes without control characters",
    is_secret: false,
};

/// Maximum bytes of a unix socket's absolute path: `sun_path` has 108 with a NUL.
pub const SOCKET_PATH_BYTES_MAX: usize = 107;

/// A unix socket's path as written in the file.
pub(super) const SOCKET_PATH: TextRule = TextRule {
    is_valid: |text| is_printable(text) && text.len() <= SOCKET_PATH_BYTES_MAX,
    allowed: "a path of 1 to 107 bytes without control characters",
    is_secret: false,
};

/// Text that is parsed further elsewhere.
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
        let unseen = ["bo\u{200b}ss", "\u{202e}ssob", "bo\u{ad}ss", "boss\u{feff}"];
        for bad in ["", " x", "x ", "a\nb", "\u{7f}"].into_iter().chain(unseen) {
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
