//! The resident process's connection to one window or script.
//!
//! Each peer has a thread that reads and a thread that writes. The resident thread, which also
//! handles the blackout key, puts messages into a bounded queue and never waits for a peer. A peer
//! that does not read is disconnected: when its queue is full, or when one write takes longer than
//! `WRITE_TIMEOUT`.

use super::clock;
use crate::ipc::{LINE_BYTES, Message};
use serde::de::DeserializeOwned;
use std::io::{BufRead, Error, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

/// The most messages that wait to be written; a window that reads has none or one.
const QUEUE_MAX: usize = 32;
/// The time that one write may take.
const WRITE_TIMEOUT: Duration = Duration::from_secs(1);

/// A window or a script at the resident process's socket.
#[derive(Debug)]
pub struct IpcPeer {
    stream: UnixStream,
    /// `None` after the peer was disconnected.
    queue: Option<SyncSender<Message>>,
    /// Disconnected when the writing thread has ended.
    writer: Receiver<()>,
}

impl IpcPeer {
    /// Starts the thread that writes to `stream`.
    pub fn start(stream: UnixStream) -> Result<IpcPeer, Error> {
        let (queue, messages) = sync_channel(QUEUE_MAX);
        let (ended, writer) = sync_channel(0);
        let mut socket = stream.try_clone()?;
        socket.set_write_timeout(Some(WRITE_TIMEOUT))?;
        let write = move || {
            write_messages(&mut socket, &messages);
            // The peer may have closed the socket already.
            let _ = socket.shutdown(Shutdown::Both);
            drop(ended);
        };
        std::thread::Builder::new().name("peer-writer".to_owned()).spawn(write)?;
        Ok(IpcPeer { stream, queue: Some(queue), writer })
    }

    /// Queues a message. Disconnects a peer whose queue is full.
    pub fn send_message(&mut self, message: Message) {
        let Some(queue) = &self.queue else { return };
        match queue.try_send(message) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                log::warn!(
                    "a window or script is disconnected: it has {QUEUE_MAX} unread messages"
                );
                self.disconnect();
            }
            Err(TrySendError::Disconnected(_)) => self.queue = None,
        }
    }

    /// Closes the connection at once. Queued messages are not sent.
    pub fn disconnect(&mut self) {
        self.queue = None;
        // The peer may have closed the socket already.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// Closes several connections, and waits up to `WRITE_TIMEOUT` for queued messages to be sent.
pub fn close_all(peers: impl IntoIterator<Item = IpcPeer>) {
    let close = |IpcPeer { queue, writer, .. }| {
        drop(queue);
        writer
    };
    let writers: Vec<Receiver<()>> = peers.into_iter().map(close).collect();
    let limit_ms = clock::now_ms() + u64::try_from(WRITE_TIMEOUT.as_millis()).unwrap_or(u64::MAX);
    for writer in writers {
        let left_ms = limit_ms.saturating_sub(clock::now_ms());
        // Disconnected: the thread has ended. Otherwise the time has passed.
        let _ = writer.recv_timeout(Duration::from_millis(left_ms));
    }
}

fn write_messages(socket: &mut UnixStream, messages: &Receiver<Message>) {
    for message in messages {
        if let Err(error) = write_line(socket, &message) {
            log::warn!("a window or script is disconnected: it does not read: {error}");
            return;
        }
    }
}

/// Reads the next line of JSON; `None` when the connection is closed, or the line is invalid.
pub(super) fn read_message<T: DeserializeOwned>(lines: &mut impl BufRead) -> Option<T> {
    let mut text = String::new();
    let bytes = lines.take(LINE_BYTES).read_line(&mut text).ok()?;
    if bytes == 0 { None } else { serde_json::from_str(&text).ok() }
}

/// Writes a value as one line of JSON.
pub(super) fn write_line(
    stream: &mut UnixStream,
    value: &impl serde::Serialize,
) -> Result<(), Error> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    stream.write_all(&line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::Snapshot;
    use std::io::BufReader;
    use std::time::Instant;

    fn snapshot() -> Message {
        let headline = "x".repeat(40 << 10);
        Message::Snapshot(Box::new(Snapshot { headline, ..Snapshot::default() }))
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "real sockets live in real time")]
    fn a_peer_that_does_not_read_is_disconnected_at_once() {
        let (near, mut far) = UnixStream::pair().expect("a pair");
        let mut peer = IpcPeer::start(near).expect("a peer");
        let began = Instant::now();
        // More than the socket's buffer and the queue hold.
        for _ in 0..2 * QUEUE_MAX {
            peer.send_message(snapshot());
        }
        let took = began.elapsed();
        assert!(took < WRITE_TIMEOUT / 2, "{took:?}");
        assert!(peer.queue.is_none(), "the peer is disconnected");
        far.read_to_end(&mut Vec::new()).expect("the end of the connection");
    }

    #[test]
    fn queued_messages_are_sent_before_the_end() {
        let (near, far) = UnixStream::pair().expect("a pair");
        let mut peer = IpcPeer::start(near).expect("a peer");
        for _ in 0..QUEUE_MAX / 2 {
            peer.send_message(Message::Present);
        }
        close_all([peer]);
        let lines = BufReader::new(far).lines().map_while(Result::ok);
        assert_eq!(lines.filter(|line| line == "\"present\"").count(), QUEUE_MAX / 2);
    }
}
