//! Opened recordings, in memory only.
//!
//! A recording's files are fetched from the box in the supervisor's name (which the box journals
//! before the first byte) and handed to `hushbox decode` as files that exist in memory only; what
//! it makes of them is one more, kept for a while, and wiped when it goes. All of them together
//! have a bound. What is open is served only while the box permits it: the box is asked before each
//! play, which it journals, and every few seconds meanwhile (see `playback`); what it refuses is
//! forgotten. What opens recordings is the identity that the site left on this machine, or one that
//! the supervisor handed in: that is kept with the session and wiped at log-out.

use crate::box_client::client::Desk;
use crate::box_client::connection::TalkError;
use crate::clock;
use crate::config::Unseal;
use crate::media::cache::{Kept, Name, Shelf};
use crate::media::decoder::{Decoder, Input};
use crate::media::facts::{Envelope, EnvelopeError, Letter};
use crate::media::fetch;
use crate::media::fetch::{Order, Reels};
use crate::media::memfile::Memory;
use crate::media::playback::{Duty, Playback, Request};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OnceCell, Semaphore};

/// Recordings that are opened at a time.
const AT_ONCE: usize = 2;

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

impl VaultError {
    /// Whether the box has decided that the user may not have the recording, or it is gone.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, VaultError::Box(error) if error.is_refusal())
    }
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
    /// In whose name it was fetched.
    pub user: String,
    /// It has a screen.
    pub film: bool,
    /// Why the screen is not there, although there is one.
    pub dark: Option<String>,
    /// Of a long one not before somebody asks for it.
    shape: OnceCell<Shape>,
    /// What it is drawn from until then.
    reels: Mutex<Option<Arc<Reels>>>,
    /// Held while the box is asked, so that requests that come together ask once.
    playback: tokio::sync::Mutex<Playback>,
}

impl Opened {
    /// Opened, with all there is to draw; or with what that will be drawn from.
    #[must_use]
    pub fn new(
        (file, kind): (Memory, Kind),
        drawn: Result<Shape, Reels>,
        playback: Playback,
    ) -> Opened {
        let (shape, reels) = match drawn {
            Ok(shape) => (OnceCell::new_with(Some(shape)), None),
            Err(reels) => (OnceCell::new(), Some(Arc::new(reels))),
        };
        let (reels, playback) = (Mutex::new(reels), tokio::sync::Mutex::new(playback));
        let user = String::new();
        Opened { file, kind, user, film: false, dark: None, shape, reels, playback }
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

impl Opener {
    fn name(&self, id: &str) -> Name {
        (self.key.clone(), id.to_owned())
    }
}

/// All that is open.
pub struct Vault {
    desk: Desk,
    decoder: Decoder,
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
        Vault { desk, decoder: Decoder::new(unseal), turns, letters, pictures, shelf }
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this machine holds what opens recordings.
    #[must_use]
    pub fn has_identity(&self) -> bool {
        self.decoder.has_identity()
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

    /// A recording to be heard. What was opened a while ago is still open, but the box decides,
    /// and journals, each play. `request` says what is asked of a file of so many bytes.
    pub async fn open(
        &self,
        who: &Opener,
        id: &str,
        request: impl Fn(u64) -> Request,
    ) -> Result<Arc<Opened>, VaultError> {
        let again = |opened: Arc<Opened>| {
            let request = request(opened.file.size());
            self.permit(who, id, (opened, request))
        };
        if let Some(opened) = self.known(who, id) {
            return again(opened).await;
        }
        let _turn = self.turns.acquire().await.map_err(|_| VaultError::Slow)?;
        // Picture and sound are asked for at once: who waited finds it open.
        if let Some(opened) = self.known(who, id) {
            return again(opened).await;
        }
        let order = Order::ask(&self.desk, &who.user, id).await?;
        let (kind, long) = (order.player(), order.is_long());
        let kept = self.reserve(order.bytes(kind))?;
        let fetched = clock::now();
        let (reels, dark) = order.fetch(fetch::PLAY).await?;
        let (file, film, closed, shape) = if long {
            let (file, film, closed) = self.film(who, &reels, kind).await?;
            (file, film, closed, None)
        } else {
            let (film, shape) = (self.film(who, &reels, kind), self.draw(who, &reels));
            let ((file, film, closed), shape) = tokio::try_join!(film, shape)?;
            (file, film, closed, Some(shape))
        };
        let (dark, user) = (dark.or(closed), who.user.clone());
        let opened = Opened::new((file, kind), shape.ok_or(reels), Playback::new(fetched));
        let opened = Arc::new(Opened { user, film, dark, ..opened });
        self.shelf().put(who.name(id), &opened, (kept, clock::now()));
        // The fetch was the play; but it may have been deleted while it was decoded.
        let request = match request(opened.file.size()) {
            Request::Listen => Request::Continue,
            request => request,
        };
        self.permit(who, id, (opened, request)).await
    }

    /// Asks the box, as far as `request` takes that. What the box refuses is forgotten.
    async fn permit(
        &self,
        who: &Opener,
        id: &str,
        (opened, request): (Arc<Opened>, Request),
    ) -> Result<Arc<Opened>, VaultError> {
        let mut playback = opened.playback.lock().await;
        let asked = match playback.duty(request, clock::now()) {
            Duty::Nothing => None,
            Duty::Ask => {
                let asked = self.desk.may(&who.user, fetch::PLAY, id).await;
                Some(asked.map_err(VaultError::from))
            }
            Duty::Journal => Some(self.journal(who, id, opened.film).await),
        };
        match asked {
            Some(Ok(())) => playback.permitted(clock::now()),
            Some(Err(error)) => {
                if error.is_refusal() {
                    log::info!("recording {id} is not played to {} any more: {error}", who.user);
                    self.shelf().remove(&who.name(id));
                }
                return Err(error);
            }
            None => {}
        }
        playback.served(request, clock::now());
        drop(playback);
        Ok(opened)
    }

    /// Has the box journal one more play.
    async fn journal(&self, who: &Opener, id: &str, film: bool) -> Result<(), VaultError> {
        Ok(Order::ask(&self.desk, &who.user, id).await?.journal(film).await?)
    }

    /// Whether what is just being sent may still be sent. Only the box's refusal ends that, no
    /// trouble in asking.
    pub async fn may_continue(&self, who: &Opener, id: &str, opened: &Arc<Opened>) -> bool {
        let asked = self.permit(who, id, (Arc::clone(opened), Request::Continue)).await;
        !asked.is_err_and(|error| error.is_refusal())
    }

    /// The same of an export.
    pub async fn may_export(&self, who: &Opener, id: &str) -> bool {
        let asked = self.desk.may(&who.user, fetch::EXPORT, id).await;
        !asked.is_err_and(|error| error.is_refusal())
    }

    /// Asks the box about everything that is open, and forgets what it refuses.
    pub async fn recheck(&self) {
        let mut users: BTreeMap<String, Vec<Name>> = BTreeMap::new();
        for name in self.shelf().names() {
            let Some(opened) = self.shelf().peek(&name) else { continue };
            users.entry(opened.user.clone()).or_default().push(name);
        }
        for (user, names) in users {
            match self.recheck_user(&user, &names).await {
                Err(error) if error.is_refusal() => {
                    log::info!("recordings are not played to {user} any more: {error}");
                    names.iter().for_each(|name| self.shelf().remove(name));
                }
                Err(error) => log::warn!("what {user} has open was not asked about: {error}"),
                Ok(()) => {}
            }
        }
    }

    async fn recheck_user(&self, user: &str, names: &[Name]) -> Result<(), TalkError> {
        let mut permit = self.desk.permit(user, fetch::PLAY).await?;
        for name in names {
            match permit.see(&name.1).await {
                Err(error) if error.is_refusal() => {
                    log::info!("recording {} is not played to {user} any more: {error}", name.1);
                    self.shelf().remove(name);
                }
                asked => asked?,
            }
        }
        Ok(())
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
        self.shelf().known(&who.name(id), clock::now())
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
        let made = self.decode(who, &reels, kind).await?;
        // It may have been deleted while it was decoded.
        self.desk.may(&who.user, fetch::EXPORT, id).await?;
        Ok((made, kept))
    }

    /// The identity that was handed in, as a file in memory.
    fn handed_in(&self, who: &Opener) -> Result<Option<Memory>, std::io::Error> {
        let shelf = self.shelf();
        let Some(text) = shelf.identity(&who.key) else { return Ok(None) };
        let mut file = Memory::new()?;
        file.append(text.as_bytes())?;
        Ok(Some(file))
    }

    /// All there is to draw of an opened recording; `None`: it is not open.
    pub async fn shape(&self, who: &Opener, id: &str) -> Result<Option<Shape>, VaultError> {
        let Some(opened) = self.known(who, id) else { return Ok(None) };
        let opened = self.permit(who, id, (opened, Request::Continue)).await?;
        let shape = opened.shape.get_or_try_init(|| self.draw_later(who, &opened)).await?;
        self.shelf().shrink(&who.name(id));
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
        let identity = self.handed_in(who)?;
        self.decoder.run(Input { main, screen, identity: identity.as_ref() }, kind).await
    }
}
