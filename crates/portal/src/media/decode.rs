//! Opened recordings, in memory only.
//!
//! A recording's files are fetched from the box in the supervisor's name (which the box journals
//! before the first byte) and handed to `hushbox decode` as files that exist in memory only; what
//! it makes of them is one more, kept for a while, and wiped when it goes. All of them together
//! have a bound. What opens recordings is the identity that the site left on this machine, or one
//! that the supervisor brought along: that is kept with his session, reaches the tool the same way,
//! and is wiped at log-out. The portal itself parses no media.

use crate::box_client::client::Desk;
use crate::box_client::connection::TalkError;
use crate::clock;
use crate::config::Unseal;
use crate::media::cache::{Kept, Shelf};
use crate::media::facts::{Envelope, EnvelopeError, Letter};
use crate::media::fetch;
use crate::media::fetch::{Order, Reels};
use crate::media::memfile::Memory;
use serde::Deserialize;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::process::Command;
use tokio::sync::{OnceCell, Semaphore};

/// Recordings that are opened at a time.
const AT_ONCE: usize = 2;
/// Opening takes so long at most.
const PATIENCE: Duration = Duration::from_secs(300);
/// Columns of a picture.
const PEAKS: &str = "1000";
/// What is repeated of the tool's words.
const WORDS_CHARS: usize = 300;

/// Why a recording was not opened.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    #[error("{0}")]
    Box(#[from] TalkError),
    #[error("the tool {tool} cannot be run: {error}")]
    Tool { tool: String, error: std::io::Error },
    #[error("there is no memory for it: {0}")]
    Memory(#[from] std::io::Error),
    #[error("This recording cannot be opened: {0}")]
    Closed(String),
    #[error("{0}")]
    Envelope(#[from] EnvelopeError),
    #[error("What the tool said is not understood.")]
    Nonsense,
    #[error("This took too long.")]
    Slow,
    #[error(
        "This recording is too large to be opened here: it takes {mb} MB of memory. Export it on \
         the box, or raise memory_mb."
    )]
    Large { mb: u64 },
    #[error("Too much is being opened at this moment. Try again in a minute.")]
    Full,
}

/// A stretch that is silent on purpose.
#[derive(Clone, Debug, Deserialize)]
pub struct Stretch {
    pub fate: String,
    pub from: u64,
    pub to: u64,
}

/// What there is to draw, as the tool says it.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Shape {
    pub rate: u32,
    pub frames: u64,
    pub peaks: Vec<Vec<u16>>,
    pub spans: Vec<Stretch>,
}

/// An opened recording.
#[derive(Debug)]
pub struct Opened {
    pub file: Memory,
    pub kind: Kind,
    /// It has a screen.
    pub film: bool,
    /// Why the screen is not there, although there is one.
    pub dark: Option<String>,
    /// Of a long one not before somebody asks for it.
    shape: OnceCell<Shape>,
    /// What it is drawn from until then.
    reels: Mutex<Option<Arc<Reels>>>,
}

impl Opened {
    /// Opened, with all there is to draw; or with what that will be drawn from.
    #[must_use]
    pub fn new((file, kind): (Memory, Kind), drawn: Result<Shape, Reels>) -> Opened {
        let (shape, reels) = match drawn {
            Ok(shape) => (OnceCell::new_with(Some(shape)), None),
            Err(reels) => (OnceCell::new(), Some(Arc::new(reels))),
        };
        let reels = Mutex::new(reels);
        Opened { file, kind, film: false, dark: None, shape, reels }
    }

    /// What there is to draw, if that is known.
    #[must_use]
    pub fn shape(&self) -> Option<&Shape> {
        self.shape.get()
    }

    fn reels(&self) -> MutexGuard<'_, Option<Arc<Reels>>> {
        self.reels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes of memory.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.file.size() + self.reels().as_ref().map_or(0, |reels| reels.bytes())
    }
}

/// Who opens.
#[derive(Clone, Debug)]
pub struct Opener {
    /// Of the session.
    pub key: Vec<u8>,
    pub user: String,
}

/// All that is open.
pub struct Vault {
    desk: Desk,
    unseal: Unseal,
    turns: Semaphore,
    /// Numbers and fields take milliseconds, and wait for no sound.
    letters: Semaphore,
    /// Of what is long.
    pictures: Semaphore,
    shelf: Mutex<Shelf>,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Vault")
    }
}

/// What the tool makes of a media file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Opus,
    Wav,
    Webm,
    Shape,
    Facts,
}

impl Kind {
    /// The tool's word, and the end of a file's name.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Kind::Opus => "opus",
            Kind::Wav => "wav",
            Kind::Webm => "webm",
            Kind::Shape => "shape",
            Kind::Facts => "facts",
        }
    }
}

impl Vault {
    #[must_use]
    pub fn new(desk: Desk, unseal: Unseal) -> Vault {
        let shelf = Mutex::new(Shelf::new(u64::from(unseal.memory_mb) << 20));
        let [turns, letters, pictures] = [AT_ONCE, AT_ONCE, 1].map(Semaphore::new);
        Vault { desk, unseal, turns, letters, pictures, shelf }
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this machine holds what opens recordings.
    #[must_use]
    pub fn has_identity(&self) -> bool {
        self.unseal.identity.is_some()
    }

    /// Whether this session brought what opens recordings.
    #[must_use]
    pub fn is_given(&self, session: &[u8]) -> bool {
        self.shelf().identity(session).is_some()
    }

    /// Keeps an identity with a session; false: it is none.
    pub fn give(&self, session: &[u8], text: &str) -> bool {
        self.shelf().give(session, text)
    }

    /// Forgets everything of the sessions that are over.
    pub fn keep_only(&self, alive: impl Fn(&[u8]) -> bool) {
        self.shelf().keep_only(clock::now(), alive);
    }

    /// Forgets everything of one session.
    pub fn forget(&self, session: &[u8]) {
        self.keep_only(|other| other != session);
    }

    /// Whether there is something to try to open it with.
    #[must_use]
    pub fn can_open(&self, session: &[u8]) -> bool {
        self.has_identity() || self.is_given(session)
    }

    /// Numbers and fields that the box cannot open.
    pub async fn letter(&self, who: &Opener, envelope: &Envelope) -> Result<Letter, VaultError> {
        let _turn = self.letters.acquire().await.map_err(|_| VaultError::Slow)?;
        let mut asked = Memory::new()?;
        asked.append(&serde_json::to_vec(envelope).map_err(|_| VaultError::Nonsense)?)?;
        let told = self.run(who, (&asked, None), Kind::Facts).await?;
        let size = usize::try_from(told.size()).map_err(|_| VaultError::Nonsense)?;
        serde_json::from_slice(&told.read(0, size)?).map_err(|_| VaultError::Nonsense)
    }

    /// A recording to be heard; what was opened a while ago is still open.
    pub async fn open(&self, who: &Opener, id: &str) -> Result<Arc<Opened>, VaultError> {
        if let Some(opened) = self.known(who, id) {
            return Ok(opened);
        }
        let _turn = self.turns.acquire().await.map_err(|_| VaultError::Slow)?;
        // Picture and sound are asked for at once: who waited finds it open.
        if let Some(opened) = self.known(who, id) {
            return Ok(opened);
        }
        let order = Order::ask(&self.desk, &who.user, id).await?;
        let (kind, long) = (order.player(), order.is_long());
        let kept = self.reserve(order.bytes(kind))?;
        let (reels, dark) = order.fetch(fetch::PLAY).await?;
        let (file, film, closed, shape) = if long {
            let (file, film, closed) = self.film(who, &reels, kind).await?;
            (file, film, closed, None)
        } else {
            let (film, shape) = (self.film(who, &reels, kind), self.draw(who, &reels));
            let ((file, film, closed), shape) = tokio::try_join!(film, shape)?;
            (file, film, closed, Some(shape))
        };
        let dark = dark.or(closed);
        let opened = Opened::new((file, kind), shape.ok_or(reels));
        let opened = Arc::new(Opened { film, dark, ..opened });
        self.shelf().put((who.key.clone(), id.to_owned()), &opened, (kept, clock::now()));
        Ok(opened)
    }

    /// The file for the player. A screen that cannot be shown takes no sound away.
    async fn film(
        &self,
        who: &Opener,
        reels: &Reels,
        kind: Kind,
    ) -> Result<(Memory, bool, Option<String>), VaultError> {
        let film = reels.is_film();
        match self.decode(who, reels, kind).await {
            Err(VaultError::Closed(why)) if reels.screen.is_some() => {
                let file = self.run(who, (&reels.main, None), kind).await?;
                Ok((file, false, Some(why)))
            }
            file => Ok((file?, film, None)),
        }
    }

    fn known(&self, who: &Opener, id: &str) -> Option<Arc<Opened>> {
        self.shelf().known(&(who.key.clone(), id.to_owned()), clock::now())
    }

    /// Room for what is about to be opened; what was not used for longest makes it.
    fn reserve(&self, bytes: u64) -> Result<Kept, VaultError> {
        let mut shelf = self.shelf();
        if !shelf.can_ever(bytes) {
            return Err(VaultError::Large { mb: (bytes >> 20) + 1 });
        }
        shelf.reserve(bytes).ok_or(VaultError::Full)
    }

    /// A recording as a file for somebody to keep.
    pub async fn export(
        &self,
        who: &Opener,
        id: &str,
        kind: Kind,
    ) -> Result<(Memory, Kept), VaultError> {
        let _turn = self.turns.acquire().await.map_err(|_| VaultError::Slow)?;
        let mut order = Order::ask(&self.desk, &who.user, id).await?;
        if kind != Kind::Webm {
            order.leave_screen();
        }
        let kept = self.reserve(order.bytes(kind))?;
        let (reels, dark) = order.fetch(fetch::EXPORT).await?;
        if let Some(why) = dark {
            return Err(VaultError::Closed(why));
        }
        Ok((self.decode(who, &reels, kind).await?, kept))
    }

    /// The identity as a file in memory, which the tool inherits.
    fn brought(&self, who: &Opener) -> Result<Option<Memory>, std::io::Error> {
        let shelf = self.shelf();
        let Some(text) = shelf.identity(&who.key) else { return Ok(None) };
        let mut file = Memory::to_inherit()?;
        file.append(text.as_bytes())?;
        Ok(Some(file))
    }

    /// All there is to draw of an opened recording; `None`: it is not open.
    pub async fn shape(&self, who: &Opener, id: &str) -> Result<Option<Shape>, VaultError> {
        let Some(opened) = self.known(who, id) else { return Ok(None) };
        let shape = opened.shape.get_or_try_init(|| self.draw_later(who, &opened)).await?;
        self.shelf().shrink(&(who.key.clone(), id.to_owned()));
        Ok(Some(shape.clone()))
    }

    async fn draw_later(&self, who: &Opener, opened: &Opened) -> Result<Shape, VaultError> {
        // One after the other: nobody's sound waits for a picture.
        let _turn = self.pictures.acquire().await.map_err(|_| VaultError::Slow)?;
        let reels = opened.reels().clone().ok_or(VaultError::Nonsense)?;
        let shape = self.draw(who, &reels).await?;
        *opened.reels() = None;
        Ok(shape)
    }

    async fn draw(&self, who: &Opener, reels: &Reels) -> Result<Shape, VaultError> {
        let shape = self.decode(who, reels, Kind::Shape).await?;
        let size = usize::try_from(shape.size()).map_err(|_| VaultError::Nonsense)?;
        serde_json::from_slice(&shape.read(0, size)?).map_err(|_| VaultError::Nonsense)
    }

    async fn decode(&self, who: &Opener, reels: &Reels, kind: Kind) -> Result<Memory, VaultError> {
        let screen = reels.screen.as_ref().filter(|_| kind == Kind::Webm);
        self.run(who, (&reels.main, screen), kind).await
    }

    /// Runs the tool on the media file, and the screen's beside it.
    async fn run(
        &self,
        who: &Opener,
        (main, screen): (&Memory, Option<&Memory>),
        kind: Kind,
    ) -> Result<Memory, VaultError> {
        let tool = self.unseal.tool.display().to_string();
        let failed = |error| VaultError::Tool { tool: tool.clone(), error };
        let mut command = Command::new(&self.unseal.tool);
        command.args(["decode", "--as", kind.word()]).env_clear();
        if kind == Kind::Shape {
            command.args(["--peaks", PEAKS]);
        }
        if let Some(screen) = screen {
            command.arg("--screen").arg(screen.path());
        }
        let brought = self.brought(who)?;
        let key = brought.as_ref().map(Memory::path);
        if let Some(path) = key.as_deref().or(self.unseal.identity.as_deref()) {
            command.arg("--identity").arg::<&Path>(path);
        }
        let out = Memory::new()?;
        command.stdin(Stdio::from(main.handle()?)).stdout(Stdio::from(out.handle()?));
        let child = command.stderr(Stdio::piped()).kill_on_drop(true).spawn().map_err(failed)?;
        let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await;
        let output = output.map_err(|_| VaultError::Slow)?.map_err(failed)?;
        drop(brought);
        if output.status.success() {
            return Ok(out);
        }
        // The first line says why; the second is for people at a shell.
        let words = String::from_utf8_lossy(&output.stderr);
        let words = words.lines().next().unwrap_or_default().trim_start_matches("hushbox: ");
        Err(VaultError::Closed(words.chars().take(WORDS_CHARS).collect()))
    }
}
