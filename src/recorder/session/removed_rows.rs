//! Rows of `show` about ranges that were removed from a recording for good.

use crate::config::CodecKind;
use crate::store::index::Record;
use protocol::reply;

/// Writes a row for each removed range, up to `room` bytes. Returns the number of rows left out.
pub(super) fn write_removed_rows(record: &Record, room: usize, out: &mut Vec<u8>) -> usize {
    let mut unsaid = 0;
    for removed in &record.removed {
        if out.len() > room {
            unsaid += 1;
            continue;
        }
        let is_screen = removed.is_screen || record.began.codec == CodecKind::Screen;
        let part = if is_screen { "screen" } else { "sound" };
        let row = reply::begin_row(out).pair("what", "removed").pair("part", part);
        let row = row.pair("from", removed.from).pair("to", removed.to);
        let row = row.pair("frames", removed.frames).pair("by", &removed.by);
        row.pair("at", removed.at).pair("reason", &removed.reason).end();
    }
    unsaid
}
