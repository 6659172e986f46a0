//! A recording's files as the box keeps them: sealed, fetched into memory of their own.
//!
//! First it is asked how large they are, so that room can be taken; then they are fetched, which
//! the box journals in the name of who asked. Nothing here opens them.

use crate::box_client::client::Desk;
use crate::box_client::connection::{Talk, TalkError};
use crate::media::decode::{Kind, VaultError};
use crate::media::memfile::Memory;
use protocol::client::Pairs;

/// Up to so many bytes sound is played as WAV; above, coded.
const WAV_MOST: u64 = 64 << 20;
/// A header, and what else is made once.
const ONCE: u64 = 64 << 10;
/// What a frame of WAV takes at most: 16 bits of two sides.
const FRAME_BYTES: u64 = 4;

/// What files are fetched for.
pub const PLAY: &str = "play";
pub const EXPORT: &str = "export";

/// What is about to be fetched.
#[derive(Debug)]
pub struct Order {
    talk: Talk,
    id: String,
    /// Bytes of the media file, and of the screen's beside it.
    sizes: (u64, u64),
    frames: u64,
    /// Nothing but a screen was recorded.
    alone: bool,
}

/// The files, sealed.
#[derive(Debug)]
pub struct Reels {
    pub main: Memory,
    pub screen: Option<Memory>,
    alone: bool,
}

fn number(row: &Pairs, key: &str) -> u64 {
    row.get(key).and_then(|value| value.parse().ok()).unwrap_or(0)
}

/// A command about one of the files.
fn line(id: &str, purpose: &str, part: &str) -> String {
    let mut line = Vec::new();
    let said = protocol::reply::line(&mut line, "media").word(id);
    said.pair("for", purpose).pair("part", part).end();
    String::from_utf8_lossy(&line).trim_end().to_owned()
}

impl Order {
    /// Asks what there is.
    pub async fn ask(desk: &Desk, user: &str, id: &str) -> Result<Order, VaultError> {
        let mut talk = desk.supervisor(user).await?;
        let mut line = Vec::new();
        protocol::reply::line(&mut line, "show").word(id).end();
        let (rows, _) = talk.need(String::from_utf8_lossy(&line).trim_end()).await?;
        let row = |what: &str| rows.iter().find(|row| row.get("what") == Some(what));
        let record = row("record").ok_or(VaultError::Nonsense)?;
        Ok(Order {
            talk,
            id: id.to_owned(),
            sizes: (number(record, "size"), row("screen").map_or(0, |row| number(row, "size"))),
            frames: number(record, "to").saturating_sub(number(record, "from")),
            alone: record.get("codec") == Some("screen"),
        })
    }

    /// What the player gets.
    #[must_use]
    pub fn player(&self) -> Kind {
        let film = self.alone || self.sizes.1 > 0;
        if film || self.is_long() { Kind::Webm } else { Kind::Wav }
    }

    /// Looking at all of its sound takes seconds.
    #[must_use]
    pub fn is_long(&self) -> bool {
        self.frames.saturating_mul(FRAME_BYTES) > WAV_MOST
    }

    /// The screen is not wanted.
    pub fn leave_screen(&mut self) {
        self.sizes.1 = 0;
    }

    /// Bytes that it takes at most, sealed and as this kind.
    #[must_use]
    pub fn bytes(&self, kind: Kind) -> u64 {
        let sealed = self.sizes.0.saturating_add(self.sizes.1);
        let made = match kind {
            Kind::Wav => self.frames.saturating_mul(FRAME_BYTES),
            // Packets of 20 ms get 10 bytes around them.
            Kind::Opus | Kind::Webm => sealed.saturating_add(sealed / 2),
            Kind::Shape | Kind::Facts => 0,
        };
        sealed.saturating_add(made).saturating_add(ONCE)
    }

    /// Has the box journal another play of what was fetched before, `film` with the screen beside
    /// it. The box refuses where the user may not, and sends nothing.
    pub async fn journal(mut self, film: bool) -> Result<(), TalkError> {
        let mut parts = vec![("sound", self.sizes.0)];
        if film && self.sizes.1 > 0 && !self.alone {
            parts.push(("screen", self.sizes.1));
        }
        for (part, size) in parts {
            // From its end on there is nothing to send.
            self.talk.need(&format!("{} from={size}", line(&self.id, PLAY, part))).await?;
        }
        Ok(())
    }

    /// Fetches it; and why the screen stays away, if it does.
    pub async fn fetch(mut self, purpose: &str) -> Result<(Reels, Option<String>), VaultError> {
        let main = self.talk.fetch(&line(&self.id, purpose, "sound"), Memory::new()?).await?;
        let (mut screen, mut dark) = (None, None);
        if self.sizes.1 > 0 && !self.alone {
            let wanted = line(&self.id, purpose, "screen");
            match self.talk.fetch(&wanted, Memory::new()?).await {
                Ok(found) => screen = Some(found),
                Err(TalkError::Refused(failure)) => dark = Some(failure.text),
                Err(error) => return Err(error.into()),
            }
        }
        Ok((Reels { main, screen, alone: self.alone }, dark))
    }
}

impl Reels {
    /// Bytes of them.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.main.size() + self.screen.as_ref().map_or(0, Memory::size)
    }

    /// Something is seen.
    #[must_use]
    pub fn is_film(&self) -> bool {
        self.alone || self.screen.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_asked_for_in_one_line() {
        assert_eq!(line("abc", PLAY, "screen"), "media abc for=play part=screen");
        assert_eq!(line("a\nquit", PLAY, "sound"), "media \"a quit\" for=play part=sound");
    }
}
