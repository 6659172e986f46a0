//! One connection to a box: bytes between a blocking socket and `protocol::client`.
//!
//! Every wait has an end: connecting and the greeting share one time limit per address, and a box
//! that says nothing for `REPLY_SILENCE` while an answer is due is given up. News that come while
//! an answer is awaited are kept for `next_event`: of states the newest, of events the last
//! `NEWS_MAX`. After an error the connection is of no use; open another.
//!
//! Nothing here says hello by itself, or tries again: see `Login` and `Retry`.

use crate::address::Address;
use crate::keyring::{Keyring, KeyringError};
use crate::stream::{Stream, Trust, WAIT_MIN, left, now};
use protocol::client::{
    Client, ClientEvent, Failure, Greeting, Pairs, Reply, SendError, Violation,
};
use protocol::one_time::FINGERPRINT_BYTES;
use protocol::{AgentState, CaptureState};
use rustls::pki_types::CertificateDer;
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// At most so many events wait to be asked for; the oldest go first.
pub const NEWS_MAX: usize = 1024;
/// An answer that is due may be silent for so long.
const REPLY_SILENCE: Duration = Duration::from_secs(60);
/// The box may take so long to read what it is sent.
const WRITE_SILENCE: Duration = Duration::from_secs(20);
const READ_BYTES: usize = 16 << 10;

/// What the box says unasked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// What an agent's client shows.
    State(AgentState),
    /// What a screen capture client is to do.
    Capture(CaptureState),
    /// A checkpoint, or what `watch` asked for.
    Event(Pairs),
}

/// The next thing that the box said, for those who send ahead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Answers the oldest command that is not answered yet.
    Reply(Reply),
    /// Unasked.
    News(News),
}

/// Why a connection is over, or a command could not be sent.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The socket failed.
    #[error("{0}")]
    Io(std::io::Error),
    /// No address has this name.
    #[error("no such host: {0}")]
    Name(std::io::Error),
    /// The box closed the connection.
    #[error("the box closed the connection")]
    Closed,
    /// The box closed the connection and said why.
    #[error("the box closed the connection: {}: {}", .0.word, .0.text)]
    Farewell(Failure),
    /// Nothing came.
    #[error("no answer within {seconds} s")]
    Silent {
        /// How long was waited.
        seconds: u64,
    },
    /// It is not the box that is trusted, or it does not trust us.
    #[error("{}", crate::stream::tls_text(.0))]
    Tls(std::io::Error),
    /// There is no certificate for this box.
    #[error("{0}")]
    Keyring(#[from] KeyringError),
    /// It is no box, or one of another time.
    #[error("{0}")]
    Violation(#[from] Violation),
    /// The command is none that can be sent; the connection is still good.
    #[error("not sent: {0}")]
    Send(#[from] SendError),
}

impl From<std::io::Error> for LinkError {
    fn from(error: std::io::Error) -> LinkError {
        if error.kind() == ErrorKind::InvalidData {
            return LinkError::Tls(error);
        }
        LinkError::Io(error)
    }
}

/// One address that did not do.
#[derive(Debug)]
pub struct Attempt {
    /// Where.
    pub address: Address,
    /// Why not.
    pub error: LinkError,
}

/// No server answered.
#[derive(Debug, thiserror::Error)]
#[error("{}", attempts_text(.attempts))]
pub struct OpenError {
    /// In the order of the list; empty if the list was.
    pub attempts: Vec<Attempt>,
}

fn attempts_text(attempts: &[Attempt]) -> String {
    let all = attempts.iter().map(|Attempt { address, error }| format!("{address}: {error}"));
    let all = all.collect::<Vec<_>>().join("; ");
    if all.is_empty() { "no server is given".to_owned() } else { all }
}

/// A conversation with one box, past the greeting.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    client: Client,
    address: Address,
    greeting: Greeting,
    replies: VecDeque<Reply>,
    news: VecDeque<News>,
    farewell: Option<Failure>,
    violation: Option<Violation>,
}

impl Connection {
    /// Tries the servers in order (requirement A7), each for `timeout` at most (looking up a name
    /// not counted), and gives the first that greets as a box.
    pub fn open(servers: &[Address], timeout: Duration) -> Result<Connection, OpenError> {
        Connection::open_with(&Keyring::of_user(), servers, timeout)
    }

    /// The same, with the keys of another folder.
    pub fn open_with(
        keyring: &Keyring,
        servers: &[Address],
        timeout: Duration,
    ) -> Result<Connection, OpenError> {
        let mut attempts = Vec::new();
        for address in servers {
            match Connection::open_one(address, &Trust::Keyring(keyring), timeout) {
                Ok(connection) => return Ok(connection),
                Err(error) => attempts.push(Attempt { address: address.clone(), error }),
            }
        }
        Err(OpenError { attempts })
    }

    /// A session that can only enrol, with the box whose CA has this fingerprint.
    pub(crate) fn open_enrolling(
        address: &Address,
        fingerprint: [u8; FINGERPRINT_BYTES],
        timeout: Duration,
    ) -> Result<Connection, LinkError> {
        Connection::open_one(address, &Trust::Code(fingerprint), timeout)
    }

    fn open_one(
        address: &Address,
        trust: &Trust<'_>,
        timeout: Duration,
    ) -> Result<Connection, LinkError> {
        let deadline = now() + timeout;
        let stream = Stream::connect(address, trust, deadline)?;
        Connection::greeted(stream, address, (deadline, timeout))
    }

    /// A box at the other end of a socket that somebody else made: a serial cable's, say. `address`
    /// is only a name for it.
    pub fn over(
        socket: UnixStream,
        address: &Address,
        timeout: Duration,
    ) -> Result<Connection, LinkError> {
        let deadline = now() + timeout;
        Connection::greeted(Stream::over(socket), address, (deadline, timeout))
    }

    fn greeted(
        stream: Stream,
        address: &Address,
        (deadline, timeout): (Instant, Duration),
    ) -> Result<Connection, LinkError> {
        stream.set_write_timeout(WRITE_SILENCE)?;
        let mut connection = Connection {
            stream,
            client: Client::new(),
            address: address.clone(),
            greeting: Greeting { version: protocol::VERSION, name: String::new(), boot: 0 },
            replies: VecDeque::new(),
            news: VecDeque::new(),
            farewell: None,
            violation: None,
        };
        let seconds = timeout.as_secs();
        while !connection.read(left(deadline))? {
            if left(deadline).is_zero() {
                return Err(LinkError::Silent { seconds });
            }
        }
        Ok(connection)
    }

    /// The server that answered.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Whether it is over TLS, so that the box knows this machine by its certificate.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.stream.is_tls()
    }

    /// What the box said first.
    #[must_use]
    pub fn greeting(&self) -> &Greeting {
        &self.greeting
    }

    /// Sends one command, a line without its end, and waits for its answer.
    pub fn ask(&mut self, line: &str) -> Result<Reply, LinkError> {
        self.client.send(line)?;
        self.answer()
    }

    /// The same, with the data block that belongs to the command.
    pub fn ask_with_data(&mut self, line: &str, data: &[u8]) -> Result<Reply, LinkError> {
        self.client.send_with_data(line, data)?;
        self.answer()
    }

    /// Sends one command and does not wait: `hear` brings its answer, in the order of the commands.
    /// Who sends so must not `ask` as long as an answer is due.
    pub fn send(&mut self, line: &str) -> Result<(), LinkError> {
        self.client.send(line)?;
        self.flush()
    }

    /// What the box says next, waiting for it for `timeout` at most; `None`: nothing came. Answers
    /// go before news.
    pub fn hear(&mut self, timeout: Duration) -> Result<Option<Heard>, LinkError> {
        let deadline = now() + timeout;
        loop {
            if let Some(reply) = self.replies.pop_front() {
                return Ok(Some(Heard::Reply(reply)));
            }
            if let Some(news) = self.news.pop_front() {
                return Ok(Some(Heard::News(news)));
            }
            self.check()?;
            let wait = left(deadline);
            self.read(wait)?;
            let nothing = self.replies.is_empty() && self.news.is_empty();
            if nothing && wait.is_zero() {
                return self.check().map(|()| None);
            }
        }
    }

    /// The CA that the box showed, over TLS.
    pub(crate) fn authority(&self) -> Option<CertificateDer<'static>> {
        self.stream.authority()
    }

    fn answer(&mut self) -> Result<Reply, LinkError> {
        self.flush()?;
        loop {
            if let Some(reply) = self.replies.pop_front() {
                return Ok(reply);
            }
            self.check()?;
            if !self.read(REPLY_SILENCE)? && self.stream.is_silent {
                return Err(LinkError::Silent { seconds: REPLY_SILENCE.as_secs() });
            }
        }
    }

    /// What the box said unasked, waiting for it for `timeout` at most; `None`: nothing came.
    pub fn next_event(&mut self, timeout: Duration) -> Result<Option<News>, LinkError> {
        let deadline = now() + timeout;
        loop {
            if let Some(news) = self.news.pop_front() {
                return Ok(Some(news));
            }
            self.check()?;
            let wait = left(deadline);
            self.read(wait)?;
            if self.news.is_empty() && wait.is_zero() {
                return self.check().map(|()| None);
            }
        }
    }

    /// Says why the conversation is over, if it is.
    fn check(&mut self) -> Result<(), LinkError> {
        match self.violation.take() {
            Some(violation) => Err(LinkError::Violation(violation)),
            None => Ok(()),
        }
    }

    fn flush(&mut self) -> Result<(), LinkError> {
        let bytes = self.client.to_send().len();
        match self.stream.write_all(self.client.to_send()) {
            Ok(()) => self.client.sent(bytes),
            Err(error) => {
                // What the box said before it closed tells more than a broken pipe.
                while self.read(WAIT_MIN).is_ok_and(|_| !self.stream.is_silent) {}
                return Err(self.end_or(LinkError::Io(error)));
            }
        }
        Ok(())
    }

    /// Reads once, for at most `timeout`, and whatever TLS has opened besides, of which the socket
    /// tells nothing; whether the greeting has been said.
    fn read(&mut self, timeout: Duration) -> Result<bool, LinkError> {
        let mut greeted = self.read_once(timeout)?;
        while self.stream.has_opened() {
            greeted |= self.read_once(WAIT_MIN)?;
        }
        Ok(greeted)
    }

    fn read_once(&mut self, timeout: Duration) -> Result<bool, LinkError> {
        let mut buffer = [0; READ_BYTES];
        let count = match self.stream.read_within(&mut buffer, timeout) {
            Ok(None) => return Ok(false),
            Ok(Some(0)) => return Err(self.end_or(LinkError::Closed)),
            Ok(Some(count)) => count,
            Err(error) => return Err(self.end_or(error.into())),
        };
        self.client.receive(&buffer[..count]);
        let mut greeted = false;
        while let Some(event) = self.client.poll() {
            match event {
                ClientEvent::Greeting(greeting) => {
                    self.greeting = greeting;
                    greeted = true;
                }
                ClientEvent::Reply(reply) => self.replies.push_back(reply),
                ClientEvent::State(state) => self.keep(News::State(state)),
                ClientEvent::Capture(state) => self.keep(News::Capture(state)),
                ClientEvent::Event(pairs) => self.keep(News::Event(pairs)),
                ClientEvent::Farewell(failure) => self.farewell = Some(failure),
                ClientEvent::Violation(violation) => self.violation = Some(violation),
            }
        }
        if greeted { Ok(true) } else { self.check().map(|()| false) }
    }

    fn keep(&mut self, news: News) {
        if !matches!(news, News::Event(_)) {
            let same = std::mem::discriminant(&news);
            self.news.retain(|older| std::mem::discriminant(older) != same);
        }
        if self.news.len() == NEWS_MAX {
            self.news.pop_front();
        }
        self.news.push_back(news);
    }

    fn end_or(&mut self, other: LinkError) -> LinkError {
        self.farewell.take().map_or(other, LinkError::Farewell)
    }
}

impl AsFd for Connection {
    /// To wait for news and for something else at once. Before waiting, take all news there are.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
