//! Checks that a media file is the file that the journal describes. Every reader that plays,
//! exports or decodes a file makes this check before it opens any audio.

use super::MediaScan;
use crate::id::RecordingId;
use crate::store::damage::{Damage, Tail};
use crate::store::fact::RecordingEnded;
use crate::store::index::Record;

/// What the journal says about a media file, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExpectedMedia {
    pub id: Option<RecordingId>,
    pub digest: Option<[u8; 32]>,
    /// The recording still runs: its file may end anywhere.
    pub is_running: bool,
}

/// Why a file is not the file that the journal describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MediaMismatch {
    #[error("this is the file of recording {found}, not of {expected}")]
    OtherRecording { found: RecordingId, expected: RecordingId },
    #[error("damaged at byte {at}: {why}")]
    Damaged { at: u64, why: Damage },
    #[error("cut short after byte {at}: the end of the recording is missing")]
    CutShort { at: u64 },
    #[error("changed since it was recorded: its digest does not match the journal")]
    Changed,
}

impl ExpectedMedia {
    /// What the journal says about the audio file of a record.
    #[must_use]
    pub fn of_audio(record: &Record) -> ExpectedMedia {
        ExpectedMedia::of_file(record.id(), record.ended.as_ref())
    }

    /// What the journal says about the screen file of a record.
    #[must_use]
    pub fn of_screen(record: &Record) -> ExpectedMedia {
        ExpectedMedia::of_file(record.id(), record.screen_ended())
    }

    fn of_file(id: RecordingId, ended: Option<&RecordingEnded>) -> ExpectedMedia {
        let digest = ended.map(|ended| ended.digest);
        ExpectedMedia { id: Some(id), digest, is_running: ended.is_none() }
    }

    /// Checks a file that was read whole.
    ///
    /// # Errors
    /// The first difference. Nothing in the file of another recording may be shown; the audio of
    /// any other file is that of this recording, as far as it opens.
    pub fn check_scan(&self, scan: &MediaScan) -> Result<(), MediaMismatch> {
        let found = scan.header.id;
        if let Some(expected) = self.id.filter(|expected| *expected != found) {
            return Err(MediaMismatch::OtherRecording { found, expected });
        }
        if let Tail::Damaged { at, why } = scan.tail {
            return Err(MediaMismatch::Damaged { at, why });
        }
        // The file of a failed disk has no trailer. Then the digest shows whether it is whole.
        let is_whole = scan.tail == Tail::Clean
            && match (self.digest, &scan.trailer) {
                (Some(digest), None) => digest == scan.digest,
                (_, trailer) => trailer.is_some(),
            };
        if !is_whole && !self.is_running {
            return Err(MediaMismatch::CutShort { at: scan.good_bytes });
        }
        let digest = scan.trailer.map_or(scan.digest, |found| found.digest);
        if self.digest.is_some_and(|expected| expected != digest) {
            return Err(MediaMismatch::Changed);
        }
        Ok(())
    }
}
