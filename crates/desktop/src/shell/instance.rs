//! One client per agent: the socket at which it is found, by windows, scripts and a second start.
//!
//! The socket lies in the agent's own runtime folder; a lock beside it says whether somebody is
//! there, so that a socket left by a crash is no obstacle. What is said is in `wire`. A guest that
//! does not read is let go. Nothing here decides what an answer is.

use super::Event;
use super::paths::{self, PathError};
use crate::ipc::{Ask, Asking, LINE_BYTES, Tell};
use nix::fcntl::{Flock, FlockArg};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::time::Duration;

const SOCKET: &str = "hushbox-desktop.sock";
const LOCK: &str = "hushbox-desktop.lock";
/// A guest may take so long to read.
const WRITE_TIMEOUT: Duration = Duration::from_secs(1);
/// An answer comes from the box; this is longer than the client waits for one.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// Why there is no conversation.
#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    #[error("{0}")]
    Path(#[from] PathError),
    #[error("{path}: {error}")]
    Io { path: PathBuf, error: std::io::Error },
    #[error("hushbox-desktop does not run; start it first")]
    NotRunning,
    #[error("the running hushbox-desktop does not answer")]
    Silent,
}

fn socket_path() -> Result<PathBuf, PathError> {
    Ok(paths::runtime()?.join(SOCKET))
}

/// The right to be the one, and the socket.
pub struct Place {
    listener: UnixListener,
    path: PathBuf,
    _lock: Flock<File>,
}

impl Place {
    /// Takes the place; `None`: somebody has it.
    pub fn take() -> Result<Option<Place>, InstanceError> {
        let folder = paths::runtime()?;
        let wrong = |path: &PathBuf, error| InstanceError::Io { path: path.clone(), error };
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(&folder).map_err(|e| wrong(&folder, e))?;
        let lock = folder.join(LOCK);
        let mut options = std::fs::OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o600);
        let file = options.open(&lock).map_err(|error| wrong(&lock, error))?;
        let Ok(lock) = Flock::lock(file, FlockArg::LockExclusiveNonblock) else { return Ok(None) };
        let path = socket_path()?;
        // Whoever has the lock may clear away what a crash left.
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).map_err(|error| wrong(&path, error))?;
        Ok(Some(Place { listener, path, _lock: lock }))
    }

    /// Lets guests in, each with a thread that listens to it.
    pub fn serve(&self, events: Sender<Event>) -> Result<(), std::io::Error> {
        let listener = self.listener.try_clone()?;
        let serve = move || {
            for (number, stream) in (1..).zip(listener.incoming().map_while(Result::ok)) {
                if let Err(error) = receive(number, stream, &events) {
                    log::warn!("a window or script is not let in: {error}");
                }
            }
        };
        std::thread::Builder::new().name("socket".to_owned()).spawn(serve)?;
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Left over it does no harm: see `take`.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn receive(number: u64, stream: UnixStream, events: &Sender<Event>) -> Result<(), std::io::Error> {
    stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
    let guest = Guest { stream: stream.try_clone()? };
    let events = events.clone();
    let listen = move || {
        let mut lines = BufReader::new(stream);
        // Nobody hears us when the program ends.
        let _ = events.send(Event::Came(number, guest));
        while let Some(asking) = line(&mut lines) {
            let _ = events.send(Event::Asked(number, asking));
        }
        let _ = events.send(Event::Left(number));
    };
    std::thread::Builder::new().name("guest".to_owned()).spawn(listen)?;
    Ok(())
}

/// The next message; `None`: there will be no more that make sense.
fn line<T: serde::de::DeserializeOwned>(lines: &mut impl BufRead) -> Option<T> {
    let mut text = String::new();
    let read = lines.take(LINE_BYTES).read_line(&mut text).ok()?;
    if read == 0 { None } else { serde_json::from_str(&text).ok() }
}

/// The way to a window or a script.
#[derive(Debug)]
pub struct Guest {
    stream: UnixStream,
}

impl Guest {
    /// Tells it; whether it took it.
    pub fn tell(&mut self, tell: &Tell) -> bool {
        write(&mut self.stream, tell).is_ok()
    }

    /// Ends the conversation.
    pub fn dismiss(&self) {
        // It may be gone already.
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }
}

fn write(stream: &mut UnixStream, value: &impl serde::Serialize) -> Result<(), std::io::Error> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    stream.write_all(&line)
}

/// A conversation with the running client, from a window's or a script's side.
pub struct Visit {
    stream: UnixStream,
    lines: BufReader<UnixStream>,
    last: u64,
}

impl Visit {
    /// Begins one.
    pub fn begin() -> Result<Visit, InstanceError> {
        let path = socket_path()?;
        let stream = UnixStream::connect(&path).map_err(|_| InstanceError::NotRunning)?;
        let copy = stream.try_clone();
        let copy = copy.map_err(|error| InstanceError::Io { path: path.clone(), error })?;
        Ok(Visit { stream, lines: BufReader::new(copy), last: 0 })
    }

    /// Sends a wish; the number of its answer.
    pub fn send(&mut self, ask: Ask) -> Result<u64, InstanceError> {
        self.last += 1;
        let asking = Asking { id: self.last, ask };
        write(&mut self.stream, &asking).map_err(|_| InstanceError::NotRunning)?;
        Ok(self.last)
    }

    /// The next that is said; `None`: it is over.
    pub fn hear(&mut self) -> Option<Tell> {
        line(&mut self.lines)
    }

    /// Another way to send, for another thread.
    pub fn twin(&self) -> Result<Visit, InstanceError> {
        let stream = self.stream.try_clone();
        let copy = self.stream.try_clone();
        match (stream, copy) {
            (Ok(stream), Ok(copy)) => {
                Ok(Visit { stream, lines: BufReader::new(copy), last: self.last })
            }
            _ => Err(InstanceError::Silent),
        }
    }

    /// Sends a wish and waits for its answer, or for a snapshot where that is the answer.
    pub fn ask(&mut self, ask: Ask) -> Result<Tell, InstanceError> {
        let timeout = self.stream.set_read_timeout(Some(ANSWER_TIMEOUT));
        timeout.map_err(|_| InstanceError::Silent)?;
        let wanted = self.send(ask)?;
        loop {
            match self.hear().ok_or(InstanceError::Silent)? {
                tell @ Tell::Answer { id, .. } if id == wanted => return Ok(tell),
                tell @ Tell::Snapshot(_) => return Ok(tell),
                Tell::Answer { .. } | Tell::Present => {}
            }
        }
    }
}
