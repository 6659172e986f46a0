//! Where things lie in the data directory: paths relative to it, with `/`, made and read back.
//!
//! Nothing here looks whether a file is there.

use crate::id::RecordingId;
use crate::store::day::Day;
use crate::time::WallTime;

/// Folder of the journal files.
pub const JOURNAL: &str = "journal";
/// Folder of the media files.
pub const MEDIA: &str = "media";
/// Folder of the keys.
pub const KEYS: &str = "keys";
/// Public keys that recordings are sealed to, in age's form.
pub const RECIPIENTS: &str = "keys/recipients.txt";
/// The private key, in age's form, if the owner leaves it on the box.
pub const IDENTITY: &str = "keys/identity.txt";
/// Ed25519 seed (32 bytes) that signs checkpoints and exports.
pub const BOX_KEY: &str = "keys/box.key";
/// The public key to it, 32 bytes in hexadecimal, to be copied to where one verifies.
pub const BOX_PUBLIC: &str = "keys/box.pub";
/// The name that stands in what it signs: the box's at its first start, whatever it is called
/// later.
pub const BOX_NAME: &str = "keys/box.name";
/// Data key (32 bytes) of the numbers of calls that have no recording.
pub const CALLS_KEY: &str = "keys/calls.key";
/// Folder of the box's own certificates.
pub const TLS: &str = "tls";
/// The CA's certificate, which workstations pin.
pub const CA: &str = "tls/ca.crt";
/// The CA's private key.
pub const CA_KEY: &str = "tls/ca.key";
/// The certificate that the box shows, and its private key.
pub const SERVER: &str = "tls/server.crt";
pub const SERVER_KEY: &str = "tls/server.key";
/// Held by the daemon that owns the directory.
pub const LOCK: &str = "lock";

/// `journal/2026-11-22.hbj`
#[must_use]
pub fn journal_path(day: &str) -> String {
    format!("{JOURNAL}/{day}.hbj")
}

/// A later file of the same day, begun because the one before failed: `journal/2026-11-22.1.hbj`.
/// Part 0 is the first.
#[must_use]
pub fn journal_file(day: &str, part: u32) -> String {
    if part == 0 { journal_path(day) } else { format!("{JOURNAL}/{day}.{part}.hbj") }
}

/// The day of a journal path; anything else is `None`.
#[must_use]
pub fn parse_journal_day(path: &str) -> Option<&str> {
    parse_journal_part(path).map(|(day, _)| day)
}

/// The day of a journal path, and which file of that day it is: the order in which they are read.
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

/// The day of a summary's path; anything else is `None`.
#[must_use]
pub fn parse_summary(path: &str) -> Option<Day> {
    Day::parse(path.strip_prefix(JOURNAL)?.strip_prefix('/')?.strip_suffix(".hbs")?)
}

/// `media/2026/11/22`: the folder of what began on that UTC day.
#[must_use]
pub fn media_folder(began: WallTime) -> String {
    format!("{MEDIA}/{}", began.utc_day().replace('-', "/"))
}

/// `media/2026/11/22/ID.hbm`; `began` is the `Entry::at` of its `RecordingBegan`.
#[must_use]
pub fn media_path(began: WallTime, id: RecordingId) -> String {
    format!("{}/{id}.hbm", media_folder(began))
}

/// The day (`2026-11-22`) and the recording of a media path; anything else is `None`.
#[must_use]
pub fn parse_media(path: &str) -> Option<(String, RecordingId)> {
    let rest = path.strip_prefix(MEDIA)?.strip_prefix('/')?.strip_suffix(".hbm")?;
    let (folder, name) = rest.rsplit_once('/')?;
    let day = folder.replace('/', "-");
    let plain = !folder.contains('-') && is_day(&day);
    Some((day, RecordingId::parse(name)?)).filter(|_| plain)
}

/// `media/2026/11/22/ID.hbv`: the screen of a call's recording, beside its audio. Its key is only
/// in the media file.
#[must_use]
pub fn screen_path(began: WallTime, id: RecordingId) -> String {
    format!("{}/{id}.hbv", media_folder(began))
}

/// The day and the recording of such a path; anything else is `None`.
#[must_use]
pub fn parse_screen(path: &str) -> Option<(String, RecordingId)> {
    parse_media(&format!("{}.hbm", path.strip_suffix(".hbv")?))
}

/// Whether it is a day as `WallTime::day` writes it.
fn is_day(text: &str) -> bool {
    text.parse::<jiff::civil::Date>().is_ok_and(|date| date.to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_back() {
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
    fn what_we_did_not_name_is_not_ours() {
        for bad in ["2026-13-22", "20261122", "x/2026-11-22", "2026-11-22.0", "2026-11-22.01"] {
            assert_eq!(parse_journal_day(&format!("journal/{bad}.hbj")), None, "{bad}");
        }
        let id = "a4dqobyha4dqobyh";
        for bad in ["2026-11-22", "2026/11", "2026/11/22/x", "../11/22"] {
            assert_eq!(parse_media(&format!("media/{bad}/{id}.hbm")), None, "{bad}");
        }
        assert_eq!(parse_media("media/2026/11/22/short.hbm"), None);
    }
}
