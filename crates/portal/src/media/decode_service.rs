//! Opens recordings in memory.
//!
//! The portal fetches a recording's files in the supervisor's name, which the recorder journals
//! before the first byte. `hushbox decode` turns these memory files into one playable memory file,
//! which is cached for a while and wiped when dropped. All opened recordings share one memory
//! bound.
//!
//! An opened recording is served only while the recorder permits it. The recorder is asked before
//! each play, which it journals, and every few seconds during a play (see `playback`). A refusal
//! drops the recording from the cache.
//!
//! The identity is the site's, on this machine, or one that the supervisor supplied. A supplied
//! identity stays with the session and is wiped at logout.

use crate::box_client::client::BoxClient;
use crate::box_client::connection::ConnectionError;
use crate::clock;
use crate::config::UnsealConfig;
use crate::media::cache::{CacheKey, MemoryReservation, RecordingCache};
use crate::media::decoder::{DecodeInput, Decoder};
use crate::media::fetch;
use crate::media::fetch::{MediaRequest, SealedFile, SealedMedia};
use crate::media::memfile::MemFile;
use crate::media::playback::{PlaybackRequest, PlaybackState, RequiredAction};
use crate::media::sealed_facts::{FactsError, OpenedFacts, SealedFacts};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OnceCell, Semaphore};

/// Maximum number of recordings decoded at a time.
const CONCURRENT_DECODES_MAX: usize = 2;

/// Why a recording was not opened.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    #[error("{0}")]
    Connection(#[from] ConnectionError),
    #[error("the tool {tool} cannot be run: {error}")]
    Spawn { tool: String, error: std::io::Error },
    #[error("there is no memory for it: {0}")]
    MemFile(#[from] std::io::Error),
    #[error("This recording cannot be opened: {0}")]
    DecodeFailed(String),
    #[error("{0}")]
    Facts(#[from] FactsError),
    #[error("Unexpected output from `hushbox decode` (see the log).")]
    UnexpectedOutput,
    #[error("Opening the recording took too long. Try again.")]
    TimedOut,
    #[error(
        "This recording is too large to be opened here: it takes {mb} MB of memory. Export it on \
         the box, or raise memory_mb."
    )]
    TooLarge { mb: u64 },
    #[error("Too much is being opened at this moment. Try again in a minute.")]
    MemoryFull,
}

impl MediaError {
    /// Whether the recorder refused the user, or the recording is gone.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, MediaError::Connection(error) if error.is_refusal())
    }
}

/// A masked, held or lost span.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Span {
    pub fate: String,
    /// The side that was lost, if the other is stored: `agent` or `customer`.
    #[serde(default)]
    pub side: Option<String>,
    pub from: u64,
    pub to: u64,
}

/// Waveform data, as the tool prints it.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Waveform {
    pub rate: u32,
    pub frames: u64,
    pub peaks: Vec<Vec<u16>>,
    pub spans: Vec<Span>,
}

#[derive(Debug)]
pub struct DecodedRecording {
    pub file: MemFile,
    pub format: DecodeFormat,
    /// User for whom it was fetched.
    pub fetched_for: String,
    /// Number of ranges that were removed from it before.
    pub removed: usize,
    /// Whether it has a screen recording.
    pub has_video: bool,
    /// Why the screen recording cannot be shown.
    pub screen_error: Option<String>,
    /// Waveform; for a long recording computed on the first request.
    waveform: OnceCell<Waveform>,
    /// Source of the waveform until it is computed.
    sealed_media: Mutex<Option<Arc<SealedMedia>>>,
    /// Held while the recorder is asked, so that concurrent requests ask once.
    playback: tokio::sync::Mutex<PlaybackState>,
}

impl DecodedRecording {
    /// Builds an opened recording with its waveform, or with the media to compute it from.
    #[must_use]
    pub fn new(
        (file, kind): (MemFile, DecodeFormat),
        drawn: Result<Waveform, SealedMedia>,
        playback: PlaybackState,
    ) -> DecodedRecording {
        let (shape, reels) = match drawn {
            Ok(shape) => (OnceCell::new_with(Some(shape)), None),
            Err(reels) => (OnceCell::new(), Some(Arc::new(reels))),
        };
        let (reels, playback) = (Mutex::new(reels), tokio::sync::Mutex::new(playback));
        let user = String::new();
        DecodedRecording {
            file,
            format: kind,
            fetched_for: user,
            removed: 0,
            has_video: false,
            screen_error: None,
            waveform: shape,
            sealed_media: reels,
            playback,
        }
    }

    /// The waveform, if it is computed.
    #[must_use]
    pub fn known_waveform(&self) -> Option<&Waveform> {
        self.waveform.get()
    }

    fn lock_sealed_media(&self) -> MutexGuard<'_, Option<Arc<SealedMedia>>> {
        self.sealed_media.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Memory used, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        self.file.size() + self.lock_sealed_media().as_ref().map_or(0, |reels| reels.memory_bytes())
    }
}

/// User and session that request a recording.
#[derive(Clone, Debug)]
pub struct Requester {
    /// Hash of the session token.
    pub session_key: Vec<u8>,
    pub user: String,
}

impl Requester {
    fn cache_key(&self, id: &str) -> CacheKey {
        (self.session_key.clone(), id.to_owned())
    }
}

/// Opens, caches and exports recordings.
pub struct DecodeService {
    box_client: BoxClient,
    decoder: Decoder,
    decode_permits: Semaphore,
    /// Limits decoding of numbers and fields, separately from audio, because it takes milliseconds.
    facts_permits: Semaphore,
    /// Limits waveform rendering of long recordings to one at a time.
    waveform_permits: Semaphore,
    cache: Mutex<RecordingCache>,
}

impl std::fmt::Debug for DecodeService {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Vault")
    }
}

/// Output format of `hushbox decode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeFormat {
    Opus,
    Wav,
    Webm,
    Waveform,
    Facts,
}

impl DecodeFormat {
    /// Format argument of the tool, and file name extension.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            DecodeFormat::Opus => "opus",
            DecodeFormat::Wav => "wav",
            DecodeFormat::Webm => "webm",
            DecodeFormat::Waveform => "shape",
            DecodeFormat::Facts => "facts",
        }
    }
}

impl DecodeService {
    #[must_use]
    pub fn new(box_client: BoxClient, unseal: UnsealConfig) -> DecodeService {
        let shelf = Mutex::new(RecordingCache::new(u64::from(unseal.memory_mb) << 20));
        let [turns, letters, pictures] =
            [CONCURRENT_DECODES_MAX, CONCURRENT_DECODES_MAX, 1].map(Semaphore::new);
        DecodeService {
            box_client,
            decoder: Decoder::new(unseal),
            decode_permits: turns,
            facts_permits: letters,
            waveform_permits: pictures,
            cache: shelf,
        }
    }

    fn lock_cache(&self) -> MutexGuard<'_, RecordingCache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this machine holds an identity.
    #[must_use]
    pub fn has_identity(&self) -> bool {
        self.decoder.has_identity()
    }

    /// Whether this session supplied an identity.
    #[must_use]
    pub fn has_session_identity(&self, session: &[u8]) -> bool {
        self.lock_cache().identity(session).is_some()
    }

    /// Stores a session's identity. Returns false if the text is not an identity.
    pub fn add_session_identity(&self, session: &[u8], text: &str) -> bool {
        self.lock_cache().add_identity(session, text)
    }

    /// Drops all entries of ended sessions.
    pub fn retain_sessions(&self, alive: impl Fn(&[u8]) -> bool) {
        self.lock_cache().retain_sessions(clock::now(), alive);
    }

    /// Drops a recording from every session, because a part of it was removed.
    pub fn forget_recording(&self, id: &str) {
        let mut cache = self.lock_cache();
        let same = |name: &CacheKey| name.1 == id;
        cache.keys().iter().filter(|name| same(name)).for_each(|name| cache.remove(name));
    }

    pub fn forget_session(&self, session: &[u8]) {
        self.retain_sessions(|other| other != session);
    }

    /// Whether an identity is available to this requester.
    #[must_use]
    pub fn can_open(&self, session: &[u8]) -> bool {
        self.has_identity() || self.has_session_identity(session)
    }

    /// Opens numbers and fields that the recorder has no key to.
    pub async fn open_facts(
        &self,
        who: &Requester,
        envelope: &SealedFacts,
    ) -> Result<OpenedFacts, MediaError> {
        let _turn = self.facts_permits.acquire().await.map_err(|_| MediaError::TimedOut)?;
        let mut input = MemFile::new()?;
        input.append(&serde_json::to_vec(envelope).map_err(|_| MediaError::UnexpectedOutput)?)?;
        let identity = self.session_identity_file(who)?;
        let facts = self.decoder.open_facts(&input, identity.as_ref()).await?;
        let size = usize::try_from(facts.size()).map_err(|_| MediaError::UnexpectedOutput)?;
        serde_json::from_slice(&facts.read(0, size)?).map_err(|_| MediaError::UnexpectedOutput)
    }

    /// Opens a recording for playback. A cached one is reused, but the recorder decides on and
    /// journals each play. `request` maps a file size to what the browser asks for.
    pub async fn open_recording(
        &self,
        who: &Requester,
        id: &str,
        request: impl Fn(u64) -> PlaybackRequest,
    ) -> Result<Arc<DecodedRecording>, MediaError> {
        let again = |opened: Arc<DecodedRecording>| {
            let request = request(opened.file.size());
            self.check_playback(who, id, (opened, request))
        };
        if let Some(opened) = self.cached_recording(who, id) {
            return again(opened).await;
        }
        let _turn = self.decode_permits.acquire().await.map_err(|_| MediaError::TimedOut)?;
        // Concurrent requests for video and audio: the second finds the recording open.
        if let Some(opened) = self.cached_recording(who, id) {
            return again(opened).await;
        }
        let order = MediaRequest::query(&self.box_client, &who.user, id).await?;
        let (kind, long, removed) = (order.player_format(), order.is_long(), order.removed);
        let kept = self.reserve_memory(order.memory_bytes(kind))?;
        let fetched = clock::now();
        let (reels, dark) = order.fetch_media(fetch::PURPOSE_PLAY).await?;
        let (file, film, closed, shape) = if long {
            let (file, film, closed) = self.decode_for_player(who, &reels, kind).await?;
            (file, film, closed, None)
        } else {
            let (film, shape) =
                (self.decode_for_player(who, &reels, kind), self.compute_waveform(who, &reels));
            let ((file, film, closed), shape) = tokio::try_join!(film, shape)?;
            (file, film, closed, Some(shape))
        };
        let (dark, user) = (dark.or(closed), who.user.clone());
        let opened =
            DecodedRecording::new((file, kind), shape.ok_or(reels), PlaybackState::new(fetched));
        let opened = Arc::new(DecodedRecording {
            fetched_for: user,
            removed,
            has_video: film,
            screen_error: dark,
            ..opened
        });
        self.lock_cache().insert(who.cache_key(id), &opened, (kept, clock::now()));
        // The fetch was journalled as the play, but the recording may have been deleted during
        // decoding.
        let request = match request(opened.file.size()) {
            PlaybackRequest::Listen => PlaybackRequest::Continue,
            request => request,
        };
        self.check_playback(who, id, (opened, request)).await
    }

    /// Asks the recorder as far as `request` requires. A refusal drops the recording.
    async fn check_playback(
        &self,
        who: &Requester,
        id: &str,
        (opened, request): (Arc<DecodedRecording>, PlaybackRequest),
    ) -> Result<Arc<DecodedRecording>, MediaError> {
        let mut playback = opened.playback.lock().await;
        let action = playback.required_action(request, clock::now());
        let asked = if action == RequiredAction::NoAction {
            None
        } else {
            let file = (id, Some(opened.removed));
            let asked = self.box_client.check_access(&who.user, fetch::PURPOSE_PLAY, file).await;
            match asked {
                Ok(()) if action == RequiredAction::JournalPlay => {
                    Some(self.journal_play(who, id, opened.has_video).await)
                }
                asked => Some(asked.map_err(MediaError::from)),
            }
        };
        match asked {
            Some(Ok(())) => playback.on_permitted(clock::now()),
            Some(Err(error)) => {
                if error.is_refusal() {
                    log::info!("recording {id} is not played to {} any more: {error}", who.user);
                    self.lock_cache().remove(&who.cache_key(id));
                }
                return Err(error);
            }
            None => {}
        }
        playback.on_served(request, clock::now());
        drop(playback);
        Ok(opened)
    }

    async fn journal_play(&self, who: &Requester, id: &str, film: bool) -> Result<(), MediaError> {
        Ok(MediaRequest::query(&self.box_client, &who.user, id).await?.journal_play(film).await?)
    }

    /// Whether a transfer may continue. Only a refusal ends it; a failed query does not.
    pub async fn may_continue(
        &self,
        who: &Requester,
        id: &str,
        opened: &Arc<DecodedRecording>,
    ) -> bool {
        let asked =
            self.check_playback(who, id, (Arc::clone(opened), PlaybackRequest::Continue)).await;
        !asked.is_err_and(|error| error.is_refusal())
    }

    pub async fn may_export(&self, who: &Requester, id: &str) -> bool {
        let asked =
            self.box_client.check_access(&who.user, fetch::PURPOSE_EXPORT, (id, None)).await;
        !asked.is_err_and(|error| error.is_refusal())
    }

    /// Asks the recorder about every opened recording and drops what it refuses.
    pub async fn recheck_access(&self) {
        let mut users: BTreeMap<String, Vec<CacheKey>> = BTreeMap::new();
        // A separate statement, so that the loop does not hold the lock.
        let names = self.lock_cache().keys();
        for name in names {
            let Some(opened) = self.lock_cache().peek(&name) else { continue };
            users.entry(opened.fetched_for.clone()).or_default().push(name);
        }
        for (user, names) in users {
            match self.recheck_access_of(&user, &names).await {
                Err(error) if error.is_refusal() => {
                    log::info!("recordings are not played to {user} any more: {error}");
                    names.iter().for_each(|name| self.lock_cache().remove(name));
                }
                Err(error) => log::warn!("what {user} has open was not asked about: {error}"),
                Ok(()) => {}
            }
        }
    }

    async fn recheck_access_of(
        &self,
        user: &str,
        names: &[CacheKey],
    ) -> Result<(), ConnectionError> {
        let mut permit = self.box_client.connect_authorised(user, fetch::PURPOSE_PLAY).await?;
        for name in names {
            let Some(opened) = self.lock_cache().peek(name) else { continue };
            match permit.check_visible(&name.1, Some(opened.removed)).await {
                Err(error) if error.is_refusal() => {
                    log::info!("recording {} is not played to {user} any more: {error}", name.1);
                    self.lock_cache().remove(name);
                }
                asked => asked?,
            }
        }
        Ok(())
    }

    /// Decodes the file for the player. If the screen recording fails, the audio is still played.
    async fn decode_for_player(
        &self,
        who: &Requester,
        reels: &SealedMedia,
        kind: DecodeFormat,
    ) -> Result<(MemFile, bool, Option<String>), MediaError> {
        let film = reels.has_video();
        match self.decode_media(who, reels, kind).await {
            Err(MediaError::DecodeFailed(why)) if reels.screen.is_some() => {
                let file = self.run_tool(who, (reels, None), kind).await?;
                Ok((file, false, Some(why)))
            }
            file => Ok((file?, film, None)),
        }
    }

    fn cached_recording(&self, who: &Requester, id: &str) -> Option<Arc<DecodedRecording>> {
        self.lock_cache().get(&who.cache_key(id), clock::now())
    }

    /// Reserves memory for a recording, evicting the least recently used ones.
    fn reserve_memory(&self, bytes: u64) -> Result<MemoryReservation, MediaError> {
        let mut shelf = self.lock_cache();
        if !shelf.can_fit(bytes) {
            return Err(MediaError::TooLarge { mb: (bytes >> 20) + 1 });
        }
        shelf.reserve_bytes(bytes).ok_or(MediaError::MemoryFull)
    }

    /// Decodes a recording into a file for download.
    pub async fn export_recording(
        &self,
        who: &Requester,
        id: &str,
        kind: DecodeFormat,
    ) -> Result<(MemFile, MemoryReservation), MediaError> {
        let _turn = self.decode_permits.acquire().await.map_err(|_| MediaError::TimedOut)?;
        let mut order = MediaRequest::query(&self.box_client, &who.user, id).await?;
        if kind != DecodeFormat::Webm {
            order.skip_screen();
        }
        let kept = self.reserve_memory(order.memory_bytes(kind))?;
        let (reels, dark) = order.fetch_media(fetch::PURPOSE_EXPORT).await?;
        if let Some(why) = dark {
            return Err(MediaError::DecodeFailed(why));
        }
        let made = self.decode_media(who, &reels, kind).await?;
        // The recording may have been deleted during decoding.
        self.box_client.check_access(&who.user, fetch::PURPOSE_EXPORT, (id, None)).await?;
        Ok((made, kept))
    }

    /// The supplied identity as a memory file.
    fn session_identity_file(&self, who: &Requester) -> Result<Option<MemFile>, std::io::Error> {
        let shelf = self.lock_cache();
        let Some(text) = shelf.identity(&who.session_key) else { return Ok(None) };
        let mut file = MemFile::new()?;
        file.append(text.as_bytes())?;
        Ok(Some(file))
    }

    /// Computes the waveform of an opened recording; `None` if it is not open.
    pub async fn load_waveform(
        &self,
        who: &Requester,
        id: &str,
    ) -> Result<Option<Waveform>, MediaError> {
        let Some(opened) = self.cached_recording(who, id) else { return Ok(None) };
        let opened = self.check_playback(who, id, (opened, PlaybackRequest::Continue)).await?;
        let shape = opened
            .waveform
            .get_or_try_init(|| self.compute_deferred_waveform(who, &opened))
            .await?;
        self.lock_cache().shrink_entry(&who.cache_key(id));
        Ok(Some(shape.clone()))
    }

    async fn compute_deferred_waveform(
        &self,
        who: &Requester,
        opened: &DecodedRecording,
    ) -> Result<Waveform, MediaError> {
        // One at a time, so that waveforms do not delay playback.
        let _turn = self.waveform_permits.acquire().await.map_err(|_| MediaError::TimedOut)?;
        let reels = opened.lock_sealed_media().clone().ok_or(MediaError::UnexpectedOutput)?;
        let shape = self.compute_waveform(who, &reels).await?;
        *opened.lock_sealed_media() = None;
        Ok(shape)
    }

    async fn compute_waveform(
        &self,
        who: &Requester,
        reels: &SealedMedia,
    ) -> Result<Waveform, MediaError> {
        let shape = self.decode_media(who, reels, DecodeFormat::Waveform).await?;
        let size = usize::try_from(shape.size()).map_err(|_| MediaError::UnexpectedOutput)?;
        serde_json::from_slice(&shape.read(0, size)?).map_err(|_| MediaError::UnexpectedOutput)
    }

    async fn decode_media(
        &self,
        who: &Requester,
        reels: &SealedMedia,
        kind: DecodeFormat,
    ) -> Result<MemFile, MediaError> {
        let screen = reels.screen.as_ref().filter(|_| kind == DecodeFormat::Webm);
        self.run_tool(who, (reels, screen), kind).await
    }

    /// Runs the tool on the media file and the screen file.
    async fn run_tool(
        &self,
        who: &Requester,
        (media, screen): (&SealedMedia, Option<&SealedFile>),
        kind: DecodeFormat,
    ) -> Result<MemFile, MediaError> {
        let identity = self.session_identity_file(who)?;
        let (recording, main) = (&*media.recording, &media.main);
        let input = DecodeInput { recording, main, screen, identity: identity.as_ref() };
        self.decoder.decode(input, kind).await
    }
}
