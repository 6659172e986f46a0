//! Paths in the data directory, relative to it and separated by `/`: built and parsed.

use crate::id::RecordingId;
use crate::store::day::Day;
use crate::time::WallTime;

/// Folder of the journal files.
pub const JOURNAL: &str = "journal";
/// Folder of the media files.
pub const MEDIA: &str = "media";
/// Folder of the keys.
pub const KEYS: &str = "keys";
/// Public keys to which recordings are sealed, in age's format.
pub const RECIPIENTS: &str = "keys/recipients.txt";
/// Public keys that new recordings are sealed to, as the last run left them.
pub const SEALED_TO: &str = "keys/sealed-to.txt";
/// The private key in age's format, if the owner keeps it on the recorder.
pub const IDENTITY: &str = "keys/identity.txt";
/// Ed25519 seed (32 bytes) for signing checkpoints and exports.
pub const BOX_KEY: &str = "keys/box.key";
/// The matching public key in hexadecimal, to be copied to the verifying machine.
pub const BOX_PUBLIC: &str = "keys/box.pub";
/// The name in every signature: the recorder's name at its first start, even if it is renamed
/// later.
pub const BOX_NAME: &str = "keys/box.name";
/// Data key (32 bytes) for the phone numbers of calls without a recording.
pub const CALLS_KEY: &str = "keys/calls.key";
/// Folder of the daemon's own certificates.
pub const TLS: &str = "tls";
/// The CA's certificate, which workstations pin.
pub const CA: &str = "tls/ca.crt";
/// The CA's private key.
pub const CA_KEY: &str = "tls/ca.key";
/// The server certificate and its private key.
pub const SERVER: &str = "tls/server.crt";
pub const SERVER_KEY: &str = "tls/server.key";
/// Copy of the last configuration that the daemon ran on.
pub const LAST_CONFIG: &str = "config.last-good.toml";
/// The new file of a recording from which a range is being removed, until it replaces the old one.
pub const REDACTED: &str = "media/redacted.tmp";
/// Lock file, held by the daemon that owns the directory.
pub const LOCK: &str = "lock";

/// `journal/2026-11-22.hbj`
#[must_use]
pub fn journal_path(day: &str) -> String {
    format!("{JOURNAL}/{day}.hbj")
}

/// Returns the path of a later file of the same day, such as `journal/2026-11-22.1.hbj`. Part 0 is
/// the first file.
#[must_use]
pub fn journal_file(day: &str, part: u32) -> String {
    if part == 0 { journal_path(day) } else { format!("{JOURNAL}/{day}.{part}.hbj") }
}

/// Returns the day of a journal path; `None` for any other path.
#[must_use]
pub fn parse_journal_day(path: &str) -> Option<&str> {
    parse_journal_part(path).map(|(day, _)| day)
}

/// Returns day and part number of a journal path. Files are read in this order.
#[must_use]
pub fn parse_journal_part(path: &str) -> Option<(&str, u32)> {
    let name = path.strip_prefix(JOURNAL)?.strip_prefix('/')?.strip_suffix(".hbj")?;
    let (day, part) = match name.split_once('.') {
        None => (name, 0),
        Some((day, part)) => (day, part.parse().ok().filter(|part| *part > 0)?),
    };
    (is_day(day) && journal_file(day, part) == path).then_some((day, part))
}

/// `journal/2026-11-22.hbs`
#[must_use]
pub fn summary_path(day: Day) -> String {
    format!("{JOURNAL}/{day}.hbs")
}

/// Returns the day of a summary path; `None` for any other path.
#[must_use]
pub fn parse_summary(path: &str) -> Option<Day> {
    Day::parse(path.strip_prefix(JOURNAL)?.strip_prefix('/')?.strip_suffix(".hbs")?)
}

/// Returns the folder of the recordings that began on that UTC day: `media/2026/11/22`.
#[must_use]
pub fn media_folder(began: WallTime) -> String {
    format!("{MEDIA}/{}", began.utc_day().replace('-', "/"))
}

/// Returns the path of a file that is created and removed at once, beside new recordings.
#[must_use]
pub fn trial_path(now: WallTime) -> String {
    format!("{}/trial.tmp", media_folder(now))
}

/// Returns `media/2026/11/22/ID.hbm`. `began` is the time of its `RecordingBegan` entry.
#[must_use]
pub fn media_path(began: WallTime, id: RecordingId) -> String {
    format!("{}/{id}.hbm", media_folder(began))
}

/// Returns day (`2026-11-22`) and recording of a media path; `None` for any other path.
#[must_use]
pub fn parse_media(path: &str) -> Option<(String, RecordingId)> {
    let rest = path.strip_prefix(MEDIA)?.strip_prefix('/')?.strip_suffix(".hbm")?;
    let (folder, name) = rest.rsplit_once('/')?;
    let day = folder.replace('/', "-");
    let plain = !folder.contains('-') && is_day(&day);
    let id = RecordingId::parse(name).filter(|id| id.to_string() == name)?;
    plain.then_some((day, id))
}

/// Returns `media/2026/11/22/ID.hbv`: the screen recording of a call. Its key is only in the media
/// file.
#[must_use]
pub fn screen_path(began: WallTime, id: RecordingId) -> String {
    format!("{}/{id}.hbv", media_folder(began))
}

/// Returns day and recording of a screen path; `None` for any other path.
#[must_use]
pub fn parse_screen(path: &str) -> Option<(String, RecordingId)> {
    parse_media(&format!("{}.hbm", path.strip_suffix(".hbv")?))
}

/// Whether `text` is a day in the form of `WallTime::utc_day`.
fn is_day(text: &str) -> bool {
    text.parse::<jiff::civil::Date>().is_ok_and(|date| date.to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_round_trip() {
        let (began, id) = (WallTime(1_795_348_800_123), RecordingId::from_random([7; 10]));
        let path = media_path(began, id);
        assert_eq!(path, "media/2026/11/22/a4dqobyha4dqobyh.hbm");
        assert_eq!(parse_media(&path), Some(("2026-11-22".into(), id)));
        let path = screen_path(began, id);
        assert_eq!(path, "media/2026/11/22/a4dqobyha4dqobyh.hbv");
        assert_eq!(parse_screen(&path), Some(("2026-11-22".into(), id)));
        assert_eq!((parse_media(&path), parse_screen("media/2026/11/22/x.hbm")), (None, None));
        assert_eq!(journal_path(&began.utc_day()), "journal/2026-11-22.hbj");
        assert_eq!(parse_journal_day("journal/2026-11-22.hbj"), Some("2026-11-22"));
        assert_eq!(parse_journal_part("journal/2026-11-22.hbj"), Some(("2026-11-22", 0)));
        assert_eq!(journal_file("2026-11-22", 12), "journal/2026-11-22.12.hbj");
        assert_eq!(parse_journal_part("journal/2026-11-22.12.hbj"), Some(("2026-11-22", 12)));
        assert_eq!(summary_path(Day(20_779)), "journal/2026-11-22.hbs");
        assert_eq!(parse_summary("journal/2026-11-22.hbs"), Some(Day(20_779)));
        assert_eq!(parse_summary("journal/2026-11-22.hbj"), None);
    }

    #[test]
    fn foreign_names_are_rejected() {
        for bad in ["2026-13-22", "20261122", "x/2026-11-22", "2026-11-22.0", "2026-11-22.01"] {
            assert_eq!(parse_journal_day(&format!("journal/{bad}.hbj")), None, "{bad}");
        }
        let id = "a4dqobyha4dqobyh";
        for bad in ["2026-11-22", "2026/11", "2026/11/22/x", "../11/22"] {
            assert_eq!(parse_media(&format!("media/{bad}/{id}.hbm")), None, "{bad}");
        }
        for name in ["short", "A4DQOBYHA4DQOBYH"] {
            assert_eq!(parse_media(&format!("media/2026/11/22/{name}.hbm")), None, "{name}");
        }
    }
}
