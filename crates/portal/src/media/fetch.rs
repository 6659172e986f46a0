//! A recording's files as the box keeps them: sealed, fetched into memory of their own.
//!
//! First it is asked how large they are, so that room can be taken; then they are fetched, which
//! the box journals in the name of who asked. Nothing here opens them.

use crate::box_client::client::BoxClient;
use crate::box_client::connection::{BoxConnection, ConnectionError};
use crate::media::decode::{DecodeFormat, MediaError};
use crate::media::memfile::MemFile;
use protocol::client::Pairs;

/// Up to so many bytes sound is played as WAV; above, coded.
const WAV_BYTES_MAX: u64 = 64 << 20;
/// A header, and what else is made once.
const OVERHEAD_BYTES: u64 = 64 << 10;
/// What a frame of WAV takes at most: 16 bits of two sides.
const FRAME_BYTES: u64 = 4;

/// What files are fetched for.
pub const PURPOSE_PLAY: &str = "play";
pub const PURPOSE_EXPORT: &str = "export";

/// What is about to be fetched.
#[derive(Debug)]
pub struct MediaRequest {
    connection: BoxConnection,
    id: String,
    /// Bytes of the media file, and of the screen's beside it.
    sizes: (u64, u64),
    frames: u64,
    /// Nothing but a screen was recorded.
    is_screen_only: bool,
}

/// The files, sealed.
#[derive(Debug)]
pub struct SealedMedia {
    pub main: MemFile,
    pub screen: Option<MemFile>,
    is_screen_only: bool,
}

fn number_or_zero(row: &Pairs, key: &str) -> u64 {
    row.get(key).and_then(|value| value.parse().ok()).unwrap_or(0)
}

/// A command about one of the files.
fn media_command(id: &str, purpose: &str, part: &str) -> String {
    let mut line = Vec::new();
    let said = protocol::reply::begin_line(&mut line, "media").word(id);
    said.pair("for", purpose).pair("part", part).end();
    String::from_utf8_lossy(&line).trim_end().to_owned()
}

impl MediaRequest {
    /// Asks what there is.
    pub async fn query(desk: &BoxClient, user: &str, id: &str) -> Result<MediaRequest, MediaError> {
        let mut talk = desk.connect_supervisor(user).await?;
        let mut line = Vec::new();
        protocol::reply::begin_line(&mut line, "show").word(id).end();
        let (rows, _) = talk.request_ok(String::from_utf8_lossy(&line).trim_end()).await?;
        let row = |what: &str| rows.iter().find(|row| row.get("what") == Some(what));
        let record = row("record").ok_or(MediaError::UnexpectedOutput)?;
        Ok(MediaRequest {
            connection: talk,
            id: id.to_owned(),
            sizes: (
                number_or_zero(record, "size"),
                row("screen").map_or(0, |row| number_or_zero(row, "size")),
            ),
            frames: number_or_zero(record, "to").saturating_sub(number_or_zero(record, "from")),
            is_screen_only: record.get("codec") == Some("screen"),
        })
    }

    /// What the player gets.
    #[must_use]
    pub fn player_format(&self) -> DecodeFormat {
        let film = self.is_screen_only || self.sizes.1 > 0;
        if film || self.is_long() { DecodeFormat::Webm } else { DecodeFormat::Wav }
    }

    /// Looking at all of its sound takes seconds.
    #[must_use]
    pub fn is_long(&self) -> bool {
        self.frames.saturating_mul(FRAME_BYTES) > WAV_BYTES_MAX
    }

    /// The screen is not wanted.
    pub fn skip_screen(&mut self) {
        self.sizes.1 = 0;
    }

    /// Bytes that it takes at most, sealed and as this kind.
    #[must_use]
    pub fn memory_bytes(&self, kind: DecodeFormat) -> u64 {
        let sealed = self.sizes.0.saturating_add(self.sizes.1);
        let made = match kind {
            DecodeFormat::Wav => self.frames.saturating_mul(FRAME_BYTES),
            // Packets of 20 ms get 10 bytes around them.
            DecodeFormat::Opus | DecodeFormat::Webm => sealed.saturating_add(sealed / 2),
            DecodeFormat::Waveform | DecodeFormat::Facts => 0,
        };
        sealed.saturating_add(made).saturating_add(OVERHEAD_BYTES)
    }

    /// Has the box journal another play of what was fetched before, `film` with the screen beside
    /// it. The box refuses where the user may not, and sends nothing.
    pub async fn journal_play(mut self, film: bool) -> Result<(), ConnectionError> {
        let mut parts = vec![("sound", self.sizes.0)];
        if film && self.sizes.1 > 0 && !self.is_screen_only {
            parts.push(("screen", self.sizes.1));
        }
        for (part, size) in parts {
            // From its end on there is nothing to send.
            self.connection
                .request_ok(&format!("{} from={size}", media_command(&self.id, PURPOSE_PLAY, part)))
                .await?;
        }
        Ok(())
    }

    /// Fetches it; and why the screen stays away, if it does.
    pub async fn fetch_media(
        mut self,
        purpose: &str,
    ) -> Result<(SealedMedia, Option<String>), MediaError> {
        let main = self
            .connection
            .fetch_file(&media_command(&self.id, purpose, "sound"), MemFile::new()?)
            .await?;
        let (mut screen, mut dark) = (None, None);
        if self.sizes.1 > 0 && !self.is_screen_only {
            let wanted = media_command(&self.id, purpose, "screen");
            match self.connection.fetch_file(&wanted, MemFile::new()?).await {
                Ok(found) => screen = Some(found),
                Err(ConnectionError::Refused(failure)) => dark = Some(failure.text),
                Err(error) => return Err(error.into()),
            }
        }
        Ok((SealedMedia { main, screen, is_screen_only: self.is_screen_only }, dark))
    }
}

impl SealedMedia {
    /// Bytes of them.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        self.main.size() + self.screen.as_ref().map_or(0, MemFile::size)
    }

    /// Something is seen.
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
