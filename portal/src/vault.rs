//! Opened recordings, in memory only.
//!
//! A media file is fetched from the box in the supervisor's name (which the box journals before the
//! first byte) and handed to `hushbox decode` through a pipe; what comes out of its pipe is kept
//! for a while, wiped when it goes, and never written anywhere. What opens it is the identity that
//! the site left on this machine, or one that the supervisor brought along: that is kept with his
//! session, reaches the tool through a file that exists in memory only, and is wiped at log-out.
//! The portal itself parses no media.

use crate::clock;
use crate::config::Unseal;
use crate::desk::Desk;
use crate::talk::TalkError;
use nix::sys::memfd::{MFdFlags, memfd_create};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

/// Recordings that are opened at a time.
const AT_ONCE: usize = 2;
/// How long an opened one that nobody listens to is kept.
const KEPT: Duration = Duration::from_secs(600);
/// Opening takes so long at most.
const PATIENCE: Duration = Duration::from_secs(120);
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
    #[error("This recording cannot be opened: {0}")]
    Closed(String),
    #[error("What the tool said is not understood.")]
    Nonsense,
    #[error("This took too long.")]
    Slow,
    #[error("This recording is too large to be opened here: {mb} MB. Export it on the box.")]
    Large { mb: u64 },
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
pub struct Opened {
    /// WAV.
    pub sound: Zeroizing<Vec<u8>>,
    pub shape: Shape,
}

/// Who opens.
#[derive(Clone, Debug)]
pub struct Opener {
    /// Of the session.
    pub key: Vec<u8>,
    pub user: String,
}

/// Session and recording.
type Name = (Vec<u8>, String);

#[derive(Default)]
struct Shelf {
    opened: BTreeMap<Name, (Arc<Opened>, Instant)>,
    /// Identities that supervisors brought along, by session.
    identities: BTreeMap<Vec<u8>, Zeroizing<String>>,
}

/// All that is open.
pub struct Vault {
    desk: Desk,
    unseal: Unseal,
    turns: Semaphore,
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
    Shape,
}

impl Kind {
    /// The tool's word, and the end of a file's name.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Opus => "opus",
            Kind::Wav => "wav",
            Kind::Shape => "shape",
        }
    }
}

impl Vault {
    #[must_use]
    pub fn new(desk: Desk, unseal: Unseal) -> Vault {
        Vault { desk, unseal, turns: Semaphore::new(AT_ONCE), shelf: Mutex::default() }
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
        self.shelf().identities.contains_key(session)
    }

    /// Keeps an identity with a session; false: it is none.
    pub fn give(&self, session: &[u8], text: &str) -> bool {
        let line = text.split_whitespace().find(|word| word.starts_with("AGE-SECRET-KEY-1"));
        let formed = |line: &&str| {
            line.len() < 200 && line.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        let Some(line) = line.filter(formed) else { return false };
        let kept = Zeroizing::new(format!("{line}\n"));
        self.shelf().identities.insert(session.to_vec(), kept);
        true
    }

    /// Forgets everything of the sessions that are over.
    pub fn keep_only(&self, alive: impl Fn(&[u8]) -> bool) {
        let mut shelf = self.shelf();
        shelf.identities.retain(|session, _| alive(session));
        shelf.opened.retain(|(session, _), (_, used)| alive(session) && used.elapsed() < KEPT);
    }

    /// Forgets everything of one session.
    pub fn forget(&self, session: &[u8]) {
        self.keep_only(|other| other != session);
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
        let media = self.fetch(who, id, "play").await?;
        let shape = self.decode(who, &media, Kind::Shape).await?;
        let shape = serde_json::from_slice(&shape).map_err(|_| VaultError::Nonsense)?;
        let sound = self.decode(who, &media, Kind::Wav).await?;
        let opened = Arc::new(Opened { sound, shape });
        self.keep((who.key.clone(), id.to_owned()), &opened)?;
        Ok(opened)
    }

    fn known(&self, who: &Opener, id: &str) -> Option<Arc<Opened>> {
        let mut shelf = self.shelf();
        let (opened, used) = shelf.opened.get_mut(&(who.key.clone(), id.to_owned()))?;
        *used = clock::now();
        Some(Arc::clone(opened))
    }

    /// Puts it on the shelf; what was not used for longest makes room.
    fn keep(&self, name: Name, opened: &Arc<Opened>) -> Result<(), VaultError> {
        let most = usize::try_from(self.unseal.memory_mb).unwrap_or(usize::MAX);
        let most = most.saturating_mul(1 << 20);
        if opened.sound.len() > most {
            let mb = u64::try_from(opened.sound.len() >> 20).unwrap_or(u64::MAX);
            return Err(VaultError::Large { mb });
        }
        let mut shelf = self.shelf();
        shelf.opened.insert(name, (Arc::clone(opened), clock::now()));
        let held = |shelf: &Shelf| shelf.opened.values().map(|(o, _)| o.sound.len()).sum::<usize>();
        while held(&shelf) > most {
            let oldest = shelf.opened.iter().min_by_key(|(_, (_, used))| *used);
            let Some(oldest) = oldest.map(|(name, _)| name.clone()) else { break };
            shelf.opened.remove(&oldest);
        }
        Ok(())
    }

    /// A recording as a file for somebody to keep.
    pub async fn export(
        &self,
        who: &Opener,
        id: &str,
        kind: Kind,
    ) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let _turn = self.turns.acquire().await.map_err(|_| VaultError::Slow)?;
        let media = self.fetch(who, id, "export").await?;
        self.decode(who, &media, kind).await
    }

    /// The sealed file, as the box keeps it.
    async fn fetch(&self, who: &Opener, id: &str, purpose: &str) -> Result<Vec<u8>, VaultError> {
        let mut line = Vec::new();
        protocol::reply::line(&mut line, "media").word(id).pair("for", purpose).end();
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        let mut talk = self.desk.supervisor(&who.user).await?;
        let reply = talk.ask(&line).await?;
        reply.outcome.map_err(TalkError::Refused)?;
        Ok(reply.data)
    }

    /// The identity as a file in memory, which the tool inherits.
    fn brought(&self, who: &Opener) -> Result<Option<OwnedFd>, std::io::Error> {
        let shelf = self.shelf();
        let Some(text) = shelf.identities.get(&who.key) else { return Ok(None) };
        let file = memfd_create("identity", MFdFlags::empty())?;
        let mut file = std::fs::File::from(file);
        file.write_all(text.as_bytes())?;
        Ok(Some(OwnedFd::from(file)))
    }

    async fn decode(
        &self,
        who: &Opener,
        media: &[u8],
        kind: Kind,
    ) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let tool = self.unseal.tool.display().to_string();
        let failed = |error| VaultError::Tool { tool: tool.clone(), error };
        let mut command = Command::new(&self.unseal.tool);
        command.args(["decode", "--as", kind.word()]).env_clear();
        if kind == Kind::Shape {
            command.args(["--peaks", PEAKS]);
        }
        let brought = self.brought(who).map_err(failed)?;
        if let Some(file) = &brought {
            // Its path is opened anew, so it is read from its beginning.
            command.arg("--identity").arg(format!("/proc/self/fd/{}", file.as_raw_fd()));
        } else if let Some(path) = &self.unseal.identity {
            command.arg("--identity").arg(path);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().map_err(failed)?;
        drop(brought);
        let stdin = child.stdin.take();
        let give = async move {
            if let Some(mut stdin) = stdin {
                // A tool that refuses early says why on its stderr.
                drop(stdin.write_all(media).await);
            }
        };
        let both = async { tokio::join!(give, child.wait_with_output()).1 };
        let output = tokio::time::timeout(PATIENCE, both).await;
        let output = output.map_err(|_| VaultError::Slow)?.map_err(failed)?;
        let out = Zeroizing::new(output.stdout);
        if output.status.success() {
            return Ok(out);
        }
        let words = String::from_utf8_lossy(&output.stderr);
        let words = words.trim().trim_start_matches("hushbox: ").chars();
        Err(VaultError::Closed(words.take(WORDS_CHARS).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_the_sessions_and_goes_with_it() {
        let vault = Vault::new(Desk::new("/nowhere".into()), Unseal::default());
        let text = "# made by hushbox keygen\nAGE-SECRET-KEY-1QQQQ\n";
        assert!(vault.give(b"one", text) && vault.give(b"two", "AGE-SECRET-KEY-1PPPP"));
        for bad in ["", "age1public", "AGE-SECRET-KEY-1Q\u{e9}"] {
            assert!(!vault.give(b"bad", bad) && !vault.is_given(b"bad"), "{bad}");
        }
        vault.forget(b"one");
        assert!(!vault.is_given(b"one") && vault.is_given(b"two"));
        vault.keep_only(|_| false);
        assert!(!vault.is_given(b"two"));
    }
}
