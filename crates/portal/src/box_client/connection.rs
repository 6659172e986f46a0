//! One conversation with the box: bytes between its unix socket and `protocol::client`.
//!
//! Every wait has an end. `event` may be given up at any point without losing anything, so that a
//! task can wait for news and for something else at once. Nothing here says hello by itself, or
//! tries again.

use crate::clock;
use crate::media::memfile::Memory;
use protocol::Code;
use protocol::client::{
    Client, ClientEvent, Failure, Greeting, Pairs, Reply, SendError, Violation,
};
use std::collections::VecDeque;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// Connecting and the greeting take so long at most.
const GREETING: Duration = Duration::from_secs(5);
/// An answer that is due may be silent for so long.
const ANSWER: Duration = Duration::from_secs(30);
const READ_BYTES: usize = 16 << 10;

/// Why there is no conversation, or none any more.
#[derive(Debug, thiserror::Error)]
pub enum TalkError {
    #[error("the box cannot be reached: {0}")]
    Io(#[from] std::io::Error),
    #[error("the box closed the connection")]
    Closed,
    #[error("the box closed the connection: {}", .0.text)]
    Farewell(Failure),
    #[error("the file did not come whole; try again")]
    Torn,
    #[error("the box says nothing")]
    Silent,
    #[error("{0}")]
    Violation(#[from] Violation),
    #[error("not sent: {0}")]
    Send(#[from] SendError),
    #[error("{}", .0.text)]
    Refused(Failure),
}

/// Refusals that are a decision about this user and what was asked for. Any other refusal says
/// something about the box at this moment.
const DECISIONS: [Code; 6] = [
    Code::Denied,
    Code::UnknownUser,
    Code::DuplicateUser,
    Code::NotEnrolled,
    Code::OnDemandOff,
    Code::NoSuchRecord,
];

/// Whether the box has decided against the user, rather than being busy or about to stop.
#[must_use]
pub fn is_decision(failure: &Failure) -> bool {
    failure.code().is_some_and(|code| DECISIONS.contains(&code))
}

impl TalkError {
    /// Whether the box has decided against the user: asking again soon gives the same answer.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, TalkError::Refused(failure) if is_decision(failure))
    }
}

/// Past the greeting.
#[derive(Debug)]
pub struct Talk {
    stream: UnixStream,
    client: Client,
    buffer: Vec<u8>,
    greeting: Greeting,
    /// What came while an answer was awaited.
    news: VecDeque<ClientEvent>,
    /// Where data goes while a file is fetched.
    store: Option<Memory>,
    /// When the box said something last.
    heard: Instant,
}

impl Talk {
    pub async fn open(socket: &Path) -> Result<Talk, TalkError> {
        let opened = timeout(GREETING, Talk::greeted(socket)).await;
        opened.map_err(|_| TalkError::Silent)?
    }

    async fn greeted(socket: &Path) -> Result<Talk, TalkError> {
        let stream = UnixStream::connect(socket).await?;
        let greeting = Greeting { version: protocol::VERSION, name: String::new(), boot: 0 };
        let (client, buffer, news) = (Client::new(), vec![0; READ_BYTES], VecDeque::new());
        let mut talk =
            Talk { stream, client, buffer, greeting, news, store: None, heard: clock::now() };
        match talk.next().await? {
            ClientEvent::Greeting(greeting) => {
                talk.greeting = greeting;
                Ok(talk)
            }
            _ => Err(TalkError::Closed),
        }
    }

    /// What the box said first.
    #[must_use]
    pub fn greeting(&self) -> &Greeting {
        &self.greeting
    }

    /// How many commands wait for their reply.
    #[must_use]
    pub fn unanswered(&self) -> usize {
        self.client.unanswered()
    }

    /// Sends a command, a line without its end; its reply is an event.
    pub async fn send(&mut self, line: &str) -> Result<(), TalkError> {
        self.client.send(line)?;
        while !self.client.to_send().is_empty() {
            let sent = timeout(ANSWER, self.stream.write(self.client.to_send())).await;
            let sent = sent.map_err(|_| TalkError::Silent)??;
            self.client.sent(sent);
        }
        Ok(())
    }

    /// What the box says next.
    pub async fn event(&mut self) -> Result<ClientEvent, TalkError> {
        match self.news.pop_front() {
            Some(news) => Ok(news),
            None => self.next().await,
        }
    }

    async fn next(&mut self) -> Result<ClientEvent, TalkError> {
        loop {
            match self.client.poll() {
                Some(ClientEvent::Farewell(failure)) => return Err(TalkError::Farewell(failure)),
                Some(ClientEvent::Violation(why)) => return Err(TalkError::Violation(why)),
                Some(event) => return Ok(event),
                None => {}
            }
            let count = self.stream.read(&mut self.buffer).await?;
            self.heard = clock::now();
            if count == 0 {
                return Err(TalkError::Closed);
            }
            self.client.receive(&self.buffer[..count]);
            if let Some(store) = &mut self.store {
                store.append(&self.client.take_data())?;
            }
        }
    }

    /// Sends a command whose reply is a file, which goes to memory of its own as it comes.
    pub async fn fetch(&mut self, line: &str, store: Memory) -> Result<Memory, TalkError> {
        self.store = Some(store);
        let reply = self.ask(line).await;
        let store = self.store.take();
        let (reply, mut store) = (reply?, store.ok_or(TalkError::Closed)?);
        let said = reply.outcome.map_err(TalkError::Refused)?;
        // What came together with the `ok` is in the reply.
        store.append(&reply.data)?;
        match said.get("size").and_then(|size| size.parse::<u64>().ok()) {
            Some(size) if store.size() == size => Ok(store),
            _ => Err(TalkError::Torn),
        }
    }

    /// Sends a command and waits for its reply.
    pub async fn ask(&mut self, line: &str) -> Result<Reply, TalkError> {
        self.ask_within(line, ANSWER).await
    }

    /// The same, where the box may have to think for so long before it says anything.
    pub async fn ask_within(&mut self, line: &str, silent: Duration) -> Result<Reply, TalkError> {
        self.send(line).await?;
        self.heard = clock::now();
        loop {
            match timeout(silent, self.next()).await {
                Ok(event) => match event? {
                    ClientEvent::Reply(reply) => return Ok(reply),
                    news => self.news.push_back(news),
                },
                // A long answer may take its time, as long as more of it comes.
                Err(_) if self.heard.elapsed() < silent => {}
                Err(_) => return Err(TalkError::Silent),
            }
        }
    }

    /// The same, where only a good answer is of use.
    pub async fn need(&mut self, line: &str) -> Result<(Vec<Pairs>, Pairs), TalkError> {
        let reply = self.ask(line).await?;
        let said = reply.outcome.map_err(TalkError::Refused)?;
        Ok((reply.rows, said))
    }
}
