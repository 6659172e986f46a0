//! Fetches a recording's encrypted files from the recorder into memory files.
//!
//! A first query returns the file sizes, so that memory can be reserved. The fetch itself is
//! journalled in the user's name.

use crate::box_client::client::{BoxClient, count_removed};
use crate::box_client::connection::{BoxConnection, ConnectionError};
use crate::media::decode_service::{DecodeFormat, MediaError};
use crate::media::memfile::MemFile;
use protocol::client::Pairs;

/// Largest audio in bytes that is played as WAV; larger audio is played encoded.
const WAV_BYTES_MAX: u64 = 64 << 20;
/// Allowance in bytes for headers.
const OVERHEAD_BYTES: u64 = 64 << 10;
/// Largest WAV frame in bytes: two 16-bit channels.
const FRAME_BYTES: u64 = 4;

/// Purpose `play` of a fetch.
pub const PURPOSE_PLAY: &str = "play";
pub const PURPOSE_EXPORT: &str = "export";

/// A recording that is about to be fetched.
#[derive(Debug)]
pub struct MediaRequest {
    connection: BoxConnection,
    id: String,
    /// Bytes of the media file and of the screen recording.
    sizes: (u64, u64),
    frames: u64,
    /// Number of ranges that were removed from the recording.
    pub removed: usize,
    /// Whether only a screen was recorded.
    is_screen_only: bool,
}

/// An encrypted file, and the digest that the recorder's journal has for it.
#[derive(Debug)]
pub struct SealedFile {
    pub file: MemFile,
    pub digest: String,
}

/// The encrypted files of a recording.
#[derive(Debug)]
pub struct SealedMedia {
    pub recording: String,
    pub main: SealedFile,
    pub screen: Option<SealedFile>,
    is_screen_only: bool,
}

fn number_or_zero(row: &Pairs, key: &str) -> u64 {
    row.get(key).and_then(|value| value.parse().ok()).unwrap_or(0)
}

/// Builds a command about one of the files.
fn media_command(id: &str, purpose: &str, part: &str) -> String {
    let mut line = Vec::new();
    let command = protocol::reply::begin_line(&mut line, "media").word(id);
    command.pair("for", purpose).pair("part", part).end();
    String::from_utf8_lossy(&line).trim_end().to_owned()
}

impl MediaRequest {
    /// Queries the sizes and format of a recording's files.
    pub async fn query(
        box_client: &BoxClient,
        user: &str,
        id: &str,
    ) -> Result<MediaRequest, MediaError> {
        let mut connection = box_client.connect_supervisor(user).await?;
        let mut line = Vec::new();
        protocol::reply::begin_line(&mut line, "show").word(id).end();
        let (rows, _) = connection.request_ok(String::from_utf8_lossy(&line).trim_end()).await?;
        let row = |what: &str| rows.iter().find(|row| row.get("what") == Some(what));
        let record = row("record").ok_or(MediaError::UnexpectedOutput)?;
        Ok(MediaRequest {
            connection,
            id: id.to_owned(),
            removed: count_removed(&rows),
            sizes: (
                number_or_zero(record, "size"),
                row("screen").map_or(0, |row| number_or_zero(row, "size")),
            ),
            frames: number_or_zero(record, "to").saturating_sub(number_or_zero(record, "from")),
            is_screen_only: record.get("codec") == Some("screen"),
        })
    }

    /// Format that the player gets.
    #[must_use]
    pub fn player_format(&self) -> DecodeFormat {
        let film = self.is_screen_only || self.sizes.1 > 0;
        if film || self.is_long() { DecodeFormat::Webm } else { DecodeFormat::Wav }
    }

    /// Whether computing the waveform takes seconds.
    #[must_use]
    pub fn is_long(&self) -> bool {
        self.frames.saturating_mul(FRAME_BYTES) > WAV_BYTES_MAX
    }

    /// Excludes the screen recording.
    pub fn skip_screen(&mut self) {
        self.sizes.1 = 0;
    }

    /// Upper bound of memory in bytes: the encrypted files and the output of this kind.
    #[must_use]
    pub fn memory_bytes(&self, kind: DecodeFormat) -> u64 {
        let sealed = self.sizes.0.saturating_add(self.sizes.1);
        let made = match kind {
            DecodeFormat::Wav => self.frames.saturating_mul(FRAME_BYTES),
            // Each 20 ms packet gets about 10 bytes of container overhead.
            DecodeFormat::Opus | DecodeFormat::Webm => sealed.saturating_add(sealed / 2),
            DecodeFormat::Waveform | DecodeFormat::Facts => 0,
        };
        sealed.saturating_add(made).saturating_add(OVERHEAD_BYTES)
    }

    /// Has the recorder journal another play of a fetched recording, `film` with its screen. The
    /// recorder refuses if the user may not play it, and sends no data.
    pub async fn journal_play(mut self, film: bool) -> Result<(), ConnectionError> {
        let mut parts = vec![("sound", self.sizes.0)];
        if film && self.sizes.1 > 0 && !self.is_screen_only {
            parts.push(("screen", self.sizes.1));
        }
        for (part, size) in parts {
            // An offset at the end of the file requests no data.
            self.connection
                .request_ok(&format!("{} from={size}", media_command(&self.id, PURPOSE_PLAY, part)))
                .await?;
        }
        Ok(())
    }

    /// Fetches the files. Also returns why the screen recording is missing, if it is.
    pub async fn fetch_media(
        mut self,
        purpose: &str,
    ) -> Result<(SealedMedia, Option<String>), MediaError> {
        let wanted = media_command(&self.id, purpose, "sound");
        let (file, digest) = self.connection.fetch_file(&wanted, MemFile::new()?).await?;
        let main = SealedFile { file, digest };
        let (mut screen, mut dark) = (None, None);
        if self.sizes.1 > 0 && !self.is_screen_only {
            let wanted = media_command(&self.id, purpose, "screen");
            match self.connection.fetch_file(&wanted, MemFile::new()?).await {
                Ok((file, digest)) => screen = Some(SealedFile { file, digest }),
                Err(ConnectionError::Refused(failure)) => dark = Some(failure.text),
                Err(error) => return Err(error.into()),
            }
        }
        let (recording, is_screen_only) = (self.id, self.is_screen_only);
        Ok((SealedMedia { recording, main, screen, is_screen_only }, dark))
    }
}

impl SealedMedia {
    /// Size of the files in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        self.main.file.size() + self.screen.as_ref().map_or(0, |screen| screen.file.size())
    }

    /// Whether there is a picture to show.
    #[must_use]
    pub fn has_video(&self) -> bool {
        self.is_screen_only || self.screen.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_asked_for_in_one_line() {
        assert_eq!(media_command("abc", PURPOSE_PLAY, "screen"), "media abc for=play part=screen");
        assert_eq!(
            media_command("a\nquit", PURPOSE_PLAY, "sound"),
            "media \"a quit\" for=play part=sound"
        );
    }
}
