//! One client for each agent: the lock that says so, and the socket for windows and scripts.
//!
//! Socket and lock are in the agent's runtime folder. A socket that a crash left behind has no
//! locked file beside it, and is replaced. `ipc` defines the messages.

use super::event::Event;
use super::ipc_peer::{IpcPeer, read_message};
use super::paths::{self, PathError};
use nix::fcntl::{Flock, FlockArg};
use std::fs::File;
use std::io::BufReader;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::mpsc::Sender;

const SOCKET: &str = "hushbox-desktop.sock";
const LOCK: &str = "hushbox-desktop.lock";

/// Why the client cannot become the one of its agent.
#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    #[error("{0}")]
    Path(#[from] PathError),
    #[error("cannot open {}: {error}", path.display())]
    Io { path: PathBuf, error: std::io::Error },
}

/// The path of the socket.
pub fn socket_path() -> Result<PathBuf, PathError> {
    Ok(paths::runtime_dir()?.join(SOCKET))
}

/// The lock of the only client, and its socket.
pub struct InstanceLock {
    listener: UnixListener,
    path: PathBuf,
    _lock: Flock<File>,
}

impl InstanceLock {
    /// Takes the lock; `None` if another client has it.
    pub fn try_acquire() -> Result<Option<InstanceLock>, InstanceError> {
        let folder = paths::runtime_dir()?;
        let io_error = |path: &PathBuf, error| InstanceError::Io { path: path.clone(), error };
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(&folder).map_err(|e| io_error(&folder, e))?;
        let lock = folder.join(LOCK);
        let mut options = std::fs::OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o600);
        let file = options.open(&lock).map_err(|error| io_error(&lock, error))?;
        let Ok(lock) = Flock::lock(file, FlockArg::LockExclusiveNonblock) else { return Ok(None) };
        let path = socket_path()?;
        // The holder of the lock may remove a socket that a crash left behind.
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).map_err(|error| io_error(&path, error))?;
        Ok(Some(InstanceLock { listener, path, _lock: lock }))
    }

    /// Accepts windows and scripts. A thread for each reads its requests.
    pub fn serve_peers(&self, events: Sender<Event>) -> Result<(), std::io::Error> {
        let listener = self.listener.try_clone()?;
        let serve = move || {
            for (number, stream) in (1..).zip(listener.incoming().map_while(Result::ok)) {
                if let Err(error) = start_peer(number, stream, &events) {
                    log::warn!("cannot accept a window or script: {error}");
                }
            }
        };
        std::thread::Builder::new().name("socket".to_owned()).spawn(serve)?;
        Ok(())
    }
}

impl Drop for InstanceLock {
    fn drop(&mut self) {
        // A socket that stays does no harm: see `try_acquire`.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn start_peer(
    number: u64,
    stream: UnixStream,
    events: &Sender<Event>,
) -> Result<(), std::io::Error> {
    let peer = IpcPeer::start(stream.try_clone()?)?;
    let events = events.clone();
    let read = move || {
        let mut lines = BufReader::new(stream);
        // The resident thread may have ended: then no event is needed any more.
        let _ = events.send(Event::PeerConnected(number, peer));
        while let Some(request) = read_message(&mut lines) {
            let _ = events.send(Event::PeerRequest(number, request));
        }
        let _ = events.send(Event::PeerDisconnected(number));
    };
    std::thread::Builder::new().name("peer-reader".to_owned()).spawn(read)?;
    Ok(())
}
