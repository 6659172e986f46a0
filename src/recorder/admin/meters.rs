//! `meters`: compact levels of all channels, for clients that poll several times a second.
//!
//! Eight channels share a row, so that a page takes one second at 9600 baud. A hidden channel shows
//! no level (G6).

use crate::audio::channel::{Channel, ChannelIndex};
use crate::recorder::Recorder;
use crate::recorder::session::response::Response;
use protocol::reply;
use std::fmt::Write;

/// Channels per row; a row of eight takes at most 300 bytes.
const ROW: usize = 8;

/// One column of a row: comma-separated values.
fn join_column<T: std::fmt::Display>(
    of: &[&(usize, &Channel)],
    value: impl Fn(usize, &Channel) -> T,
) -> String {
    let mut text = String::new();
    for (nth, (index, channel)) in of.iter().enumerate() {
        let comma = if nth == 0 { "" } else { "," };
        let written = write!(text, "{comma}{}", value(*index, channel));
        assert!(written.is_ok(), "memory takes text");
    }
    text
}

/// A level, or `-` if the channel is hidden.
fn format_level(channel: &Channel, of: impl Fn(&Channel) -> String) -> String {
    if channel.is_hidden() { "-".to_string() } else { of(channel) }
}

impl Recorder {
    pub(in crate::recorder) fn list_meters(&self, from: u32, limit: Option<u32>) -> Response {
        let limit = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let mut wanted: Vec<(usize, &Channel)> = self.channels.iter().enumerate().collect();
        wanted.sort_by_key(|(_, channel)| channel.id);
        let wanted = wanted.iter().filter(|(_, channel)| u32::from(channel.id) >= from);
        let wanted: Vec<&(usize, &Channel)> = wanted.take(limit).collect();
        let mut bytes = Vec::new();
        for eight in wanted.chunks(ROW) {
            let row = reply::begin_row(&mut bytes);
            let row = row.pair("channels", join_column(eight, |_, channel| channel.id));
            let level = |channel: &Channel| channel.meter.level_db().to_string();
            let row =
                row.pair("level_db", join_column(eight, |_, channel| format_level(channel, level)));
            let hold = |channel: &Channel| channel.meter.hold_db().to_string();
            let row =
                row.pair("hold_db", join_column(eight, |_, channel| format_level(channel, hold)));
            let lost = |channel: &Channel| channel.lost_frames.to_string();
            let row =
                row.pair("lost", join_column(eight, |_, channel| format_level(channel, lost)));
            row.pair(
                "marks",
                join_column(eight, |index, channel| self.channel_marks(index, channel)),
            )
            .end();
        }
        reply::begin_ok(&mut bytes).end();
        Response::immediate(bytes)
    }

    /// `f` if the board failed, `r` if recorded, `b` if blacked out, otherwise `-`.
    fn channel_marks(&self, index: usize, channel: &Channel) -> &'static str {
        let failed = self.boards[channel.board].is_some();
        match (failed, self.recordings.is_recorded(ChannelIndex(index)), channel.is_hidden()) {
            (false, false, false) => "-",
            (false, true, false) => "r",
            (false, false, true) => "b",
            (false, true, true) => "rb",
            (true, false, false) => "f",
            (true, true, false) => "fr",
            (true, false, true) => "fb",
            (true, true, true) => "frb",
        }
    }
}
