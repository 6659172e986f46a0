//! One connection to the recorder: bytes between its unix socket and `protocol::client`.
//!
//! Every wait has a timeout. `next_event` is cancel-safe, so a task can wait for an event and for
//! something else at once. Callers send hello and retry themselves.

use crate::clock;
use crate::media::memfile::MemFile;
use protocol::Code;
use protocol::client::{
    Client, ClientEvent, Failure, Greeting, Pairs, ProtocolError, Reply, SendError,
};
use std::collections::VecDeque;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// Time limit for connecting and the greeting.
const GREETING_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest silence while a reply is due.
const REPLY_TIMEOUT: Duration = Duration::from_secs(30);
const READ_BYTES: usize = 16 << 10;
/// News kept while a reply is awaited; the oldest are dropped.
const PENDING_EVENTS_MAX: usize = 256;

/// Why connecting failed or a connection ended.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    #[error("the box cannot be reached: {0}")]
    Io(#[from] std::io::Error),
    #[error("the box closed the connection")]
    Closed,
    #[error("the box closed the connection: {}", .0.text)]
    ClosedByBox(Failure),
    #[error("the file did not come whole; try again")]
    Truncated,
    #[error("the box says nothing")]
    TimedOut,
    #[error("{0}")]
    Protocol(#[from] ProtocolError),
    #[error("not sent: {0}")]
    Send(#[from] SendError),
    #[error("{}", .0.text)]
    Refused(Failure),
}

/// Refusals that are a decision about the user and the request. Any other refusal describes the
/// recorder's condition.
const ACCESS_DECISIONS: [Code; 6] = [
    Code::Denied,
    Code::UnknownUser,
    Code::DuplicateUser,
    Code::NotEnrolled,
    Code::OnDemandOff,
    Code::NoSuchRecord,
];

/// Whether the recorder decided against the user, rather than being busy or stopping.
#[must_use]
pub fn is_access_decision(failure: &Failure) -> bool {
    failure.code().is_some_and(|code| ACCESS_DECISIONS.contains(&code))
}

impl ConnectionError {
    /// Whether the recorder decided against the user: a retry gets the same reply.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, ConnectionError::Refused(failure) if is_access_decision(failure))
    }
}

/// A connection after the greeting.
#[derive(Debug)]
pub struct BoxConnection {
    stream: UnixStream,
    client: Client,
    buffer: Vec<u8>,
    greeting: Greeting,
    /// Events received while waiting for a reply.
    pending_events: VecDeque<ClientEvent>,
    /// Target of the data while a file is fetched.
    download: Option<MemFile>,
    /// Time of the last received byte.
    last_received: Instant,
}

impl BoxConnection {
    pub async fn connect(socket: &Path) -> Result<BoxConnection, ConnectionError> {
        let opened = timeout(GREETING_TIMEOUT, BoxConnection::connect_and_greet(socket)).await;
        opened.map_err(|_| ConnectionError::TimedOut)?
    }

    async fn connect_and_greet(socket: &Path) -> Result<BoxConnection, ConnectionError> {
        let stream = UnixStream::connect(socket).await?;
        let greeting = Greeting { version: protocol::VERSION, name: String::new(), boot: 0 };
        let (client, buffer, news) = (Client::new(), vec![0; READ_BYTES], VecDeque::new());
        let mut connection = BoxConnection {
            stream,
            client,
            buffer,
            greeting,
            pending_events: news,
            download: None,
            last_received: clock::now(),
        };
        match connection.read_event().await? {
            ClientEvent::Greeting(greeting) => {
                connection.greeting = greeting;
                Ok(connection)
            }
            _ => Err(ConnectionError::Closed),
        }
    }

    #[must_use]
    pub fn greeting(&self) -> &Greeting {
        &self.greeting
    }

    /// Number of commands without a reply.
    #[must_use]
    pub fn unanswered_commands(&self) -> usize {
        self.client.count_unanswered()
    }

    /// Sends a command line; the line end is added. Its reply arrives as an event.
    pub async fn send(&mut self, line: &str) -> Result<(), ConnectionError> {
        self.client.queue_command(line)?;
        while !self.client.bytes_to_send().is_empty() {
            let sent = timeout(REPLY_TIMEOUT, self.stream.write(self.client.bytes_to_send())).await;
            let sent = sent.map_err(|_| ConnectionError::TimedOut)??;
            self.client.mark_sent(sent);
        }
        Ok(())
    }

    pub async fn next_event(&mut self) -> Result<ClientEvent, ConnectionError> {
        match self.pending_events.pop_front() {
            Some(news) => Ok(news),
            None => self.read_event().await,
        }
    }

    async fn read_event(&mut self) -> Result<ClientEvent, ConnectionError> {
        loop {
            match self.client.poll_event() {
                Some(ClientEvent::CloseReason(failure)) => {
                    return Err(ConnectionError::ClosedByBox(failure));
                }
                Some(ClientEvent::ProtocolError(why)) => {
                    return Err(ConnectionError::Protocol(why));
                }
                Some(event) => return Ok(event),
                None => {}
            }
            let count = self.stream.read(&mut self.buffer).await?;
            self.last_received = clock::now();
            if count == 0 {
                return Err(ConnectionError::Closed);
            }
            self.client.receive(&self.buffer[..count]);
            if let Some(store) = &mut self.download {
                store.append(&self.client.take_data())?;
            }
        }
    }

    /// Sends a command whose reply is a file, and streams the file into a memory file. Also returns
    /// the digest that the recorder's journal has for it.
    pub async fn fetch_file(
        &mut self,
        line: &str,
        store: MemFile,
    ) -> Result<(MemFile, String), ConnectionError> {
        self.download = Some(store);
        let reply = self.request(line).await;
        let store = self.download.take();
        let (reply, mut store) = (reply?, store.ok_or(ConnectionError::Closed)?);
        let pairs = reply.outcome.map_err(ConnectionError::Refused)?;
        // The reply holds the data that arrived together with the `ok`.
        store.append(&reply.data)?;
        let size = pairs.get("size").and_then(|size| size.parse::<u64>().ok());
        match (size, pairs.get("digest")) {
            (Some(size), Some(digest)) if store.size() == size => Ok((store, digest.to_owned())),
            _ => Err(ConnectionError::Truncated),
        }
    }

    /// Sends a command and waits for its reply.
    pub async fn request(&mut self, line: &str) -> Result<Reply, ConnectionError> {
        self.request_within(line, REPLY_TIMEOUT).await
    }

    /// Like `request`, with the longest silence that is allowed before the reply.
    pub async fn request_within(
        &mut self,
        line: &str,
        silent: Duration,
    ) -> Result<Reply, ConnectionError> {
        self.send(line).await?;
        self.last_received = clock::now();
        loop {
            match timeout(silent, self.read_event()).await {
                Ok(event) => match event? {
                    ClientEvent::Reply(reply) => return Ok(reply),
                    news => self.keep_event(news),
                },
                // A long reply may take its time while data keeps arriving.
                Err(_) if self.last_received.elapsed() < silent => {}
                Err(_) => return Err(ConnectionError::TimedOut),
            }
        }
    }

    /// Keeps news for `next_event`. A state replaces an older one.
    fn keep_event(&mut self, news: ClientEvent) {
        if matches!(news, ClientEvent::State(_)) {
            self.pending_events.retain(|older| !matches!(older, ClientEvent::State(_)));
        }
        if self.pending_events.len() == PENDING_EVENTS_MAX {
            self.pending_events.pop_front();
        }
        self.pending_events.push_back(news);
    }

    /// Like `request`, but a refusal is an error.
    pub async fn request_ok(&mut self, line: &str) -> Result<(Vec<Pairs>, Pairs), ConnectionError> {
        let reply = self.request(line).await?;
        let pairs = reply.outcome.map_err(ConnectionError::Refused)?;
        Ok((reply.rows, pairs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::box_client::fake_box::FakeBox;
    use std::fmt::Write;

    #[tokio::test]
    async fn h4_news_while_a_reply_is_awaited_are_bounded_and_the_newest_state_stays() {
        let fake = FakeBox::listen();
        let socket = fake.socket.clone();
        let hostile = tokio::spawn(async move {
            let mut peer = fake.accept().await;
            peer.read_line().await.unwrap();
            let mut news = String::new();
            for n in 0..10_000 {
                writeln!(news, "event seq={n} what=call-began call=c{n}").unwrap();
                writeln!(
                    news,
                    "state call=c{n} direction=in recording=off recording_id=- reasons=- \
                     blackout=off blackout_ms=0 screen=disabled can=- note=-"
                )
                .unwrap();
            }
            peer.send_lines(&news).await;
            peer.send_lines("ok\n").await;
            peer
        });
        let mut connection = BoxConnection::connect(&socket).await.unwrap();
        assert!(connection.request("hello agent").await.unwrap().outcome.is_ok());
        assert!(connection.pending_events.len() <= PENDING_EVENTS_MAX);
        let states = connection.pending_events.iter().filter_map(|news| match news {
            ClientEvent::State(state) => state.call.as_deref(),
            _ => None,
        });
        assert_eq!(states.collect::<Vec<_>>(), ["c9999"]);
        drop(hostile.await.unwrap());
    }
}
