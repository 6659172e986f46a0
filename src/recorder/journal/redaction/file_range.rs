//! The files of a recording from which a range is removed, and the range in each of them.

use crate::limits;
use crate::store::fact::RecordingEnded;
use crate::store::index::Record;
use crate::time::{Position, ms_of_frames};
use std::collections::VecDeque;

/// A range of one file of the recording.
#[derive(Debug)]
pub(super) struct FileRange {
    pub is_screen: bool,
    pub path: String,
    pub before: RecordingEnded,
    pub range: (Position, Position),
}

/// The files of a record that may hold a range of its audio: its screen, then its audio.
pub(super) fn files_of_range(record: &Record, range: (Position, Position)) -> VecDeque<FileRange> {
    let screen = record.screen.as_ref().and_then(|screen| {
        let before = screen.ended.clone()?;
        let range = screen_range(screen.aligned, range, record.began.rate);
        Some(FileRange { is_screen: true, path: record.screen_path(), before, range })
    });
    let audio = record.ended.clone().map(|before| FileRange {
        is_screen: false,
        path: record.media_path(),
        before,
        range,
    });
    screen.into_iter().chain(audio).filter(|file| file.before.size > 0).collect()
}

/// The part of a screen that may show a range of the audio. Card and system have different clocks,
/// so the range is widened. Without a common moment it is the whole screen.
fn screen_range(
    aligned: Option<(Position, Position)>,
    (from, to): (Position, Position),
    rate: u32,
) -> (Position, Position) {
    let Some((audio, screen)) = aligned else { return (Position(0), Position(u64::MAX)) };
    let place = |at: Position, is_end: bool| {
        let before = ms_of_frames(audio.0.saturating_sub(at.0), rate);
        let after = ms_of_frames(at.0.saturating_sub(audio.0), rate);
        let margin = limits::REDACTION_MARGIN_MS + (before + after) / 1000;
        let at = screen.plus(after);
        if is_end {
            at.plus(margin).saturating_sub(before)
        } else {
            at.saturating_sub(before + margin)
        }
    };
    (place(from, false), place(to, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn range_of_the_screen_is_wider_than_that_of_the_audio() {
        let aligned = Some((Position(80_000), Position(5000)));
        let range = (Position(96_000), Position(104_000));
        // 2 s to 3 s after the common moment, a second and a thousandth wider.
        assert_eq!(screen_range(aligned, range, 8000), (Position(5998), Position(9003)));
        // The screen began later than the range.
        let before = (Position(0), Position(8000));
        assert_eq!(screen_range(aligned, before, 8000), (Position(0), Position(0)));
        assert_eq!(screen_range(None, range, 8000), (Position(0), Position(u64::MAX)));
    }
}
