//! A connection to the resident process, for a window or a script.
//!
//! A window watches and sends requests; a script sends one request and waits for its reply.

use super::instance::socket_path;
use super::ipc_peer::{read_message, write_line};
use super::paths::PathError;
use crate::ipc::{Message, Request, RequestKind};
use std::io::BufReader;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// The time to wait for a reply. It exceeds the time that the resident process waits for the box.
const REPLY_TIMEOUT: Duration = Duration::from_secs(20);

/// Why the resident process cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum IpcClientError {
    #[error("{0}")]
    Path(#[from] PathError),
    #[error("cannot use {}: {error}", path.display())]
    Io { path: PathBuf, error: std::io::Error },
    #[error("hushbox-desktop is not running; start it first")]
    NotRunning,
    #[error("the running hushbox-desktop does not reply; quit it and start it again")]
    NoReply,
}

/// A connection to the resident process.
pub struct IpcClient {
    stream: UnixStream,
    lines: BufReader<UnixStream>,
    last_id: u64,
}

impl IpcClient {
    /// Connects to the resident process.
    pub fn connect() -> Result<IpcClient, IpcClientError> {
        let path = socket_path()?;
        let stream = UnixStream::connect(&path).map_err(|_| IpcClientError::NotRunning)?;
        let copy = stream.set_write_timeout(Some(REPLY_TIMEOUT)).and_then(|()| stream.try_clone());
        let copy = copy.map_err(|error| IpcClientError::Io { path: path.clone(), error })?;
        Ok(IpcClient { stream, lines: BufReader::new(copy), last_id: 0 })
    }

    /// Sends a request, and returns the number that its reply will have.
    pub fn send_request(&mut self, kind: RequestKind) -> Result<u64, IpcClientError> {
        self.last_id += 1;
        let request = Request { id: self.last_id, kind };
        write_line(&mut self.stream, &request).map_err(|_| IpcClientError::NotRunning)?;
        Ok(self.last_id)
    }

    /// Receives the next message; `None` when the connection is closed.
    pub fn recv_message(&mut self) -> Option<Message> {
        read_message(&mut self.lines)
    }

    /// A second handle to the same connection, for another thread.
    pub fn try_clone(&self) -> Result<IpcClient, IpcClientError> {
        let clone = || self.stream.try_clone().map_err(|_| IpcClientError::NoReply);
        Ok(IpcClient { stream: clone()?, lines: BufReader::new(clone()?), last_id: self.last_id })
    }

    /// Sends a request and waits for its reply, or for the snapshot that it asks for.
    pub fn request(&mut self, kind: RequestKind) -> Result<Message, IpcClientError> {
        let timeout = self.stream.set_read_timeout(Some(REPLY_TIMEOUT));
        timeout.map_err(|_| IpcClientError::NoReply)?;
        let wanted = self.send_request(kind)?;
        loop {
            match self.recv_message().ok_or(IpcClientError::NoReply)? {
                message @ Message::Reply { id, .. } if id == wanted => return Ok(message),
                message @ Message::Snapshot(_) => return Ok(message),
                Message::Reply { .. } | Message::Present => {}
            }
        }
    }
}
