//! One connection to a box: bytes between a blocking socket and `protocol::client`.
//!
//! Every wait has an end: connecting and the greeting share one time limit per address, and a box
//! that says nothing for `REPLY_SILENCE` while an answer is due is given up. News that come while
//! an answer is awaited are kept for `next_event`: of states the newest, of events the last
//! `NEWS_MAX`. After an error the connection is of no use; open another.
//!
//! Nothing here says hello by itself, or tries again: see `Login` and `Retry`.

use crate::address::Address;
use protocol::client::{
    Client, ClientEvent, Failure, Greeting, Pairs, Reply, SendError, Violation,
};
use protocol::{AgentState, CaptureState};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// At most so many events wait to be asked for; the oldest go first.
pub const NEWS_MAX: usize = 1024;
/// An answer that is due may be silent for so long.
const REPLY_SILENCE: Duration = Duration::from_secs(60);
/// The box may take so long to read what it is sent.
const WRITE_SILENCE: Duration = Duration::from_secs(20);
/// The shortest wait; a socket takes zero for "for ever".
const WAIT_MIN: Duration = Duration::from_millis(1);
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

/// Why a connection is over, or a command could not be sent.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The socket failed.
    #[error("{0}")]
    Io(#[from] std::io::Error),
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
    /// It is no box, or one of another time.
    #[error("{0}")]
    Violation(#[from] Violation),
    /// The command is none that can be sent; the connection is still good.
    #[error("not sent: {0}")]
    Send(#[from] SendError),
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
        let mut attempts = Vec::new();
        for address in servers {
            match Connection::open_one(address, timeout) {
                Ok(connection) => return Ok(connection),
                Err(error) => attempts.push(Attempt { address: address.clone(), error }),
            }
        }
        Err(OpenError { attempts })
    }

    fn open_one(address: &Address, timeout: Duration) -> Result<Connection, LinkError> {
        let deadline = now() + timeout;
        let stream = Stream::connect(address, deadline)?;
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

    /// What the box said first.
    #[must_use]
    pub fn greeting(&self) -> &Greeting {
        &self.greeting
    }

    /// Sends one command, a line without its end, and waits for its answer.
    pub fn ask(&mut self, line: &str) -> Result<Reply, LinkError> {
        self.client.send(line)?;
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

    /// Reads once, for at most `timeout`; whether the greeting has been said.
    fn read(&mut self, timeout: Duration) -> Result<bool, LinkError> {
        let mut buffer = [0; READ_BYTES];
        let count = match self.stream.read_within(&mut buffer, timeout) {
            Ok(None) => return Ok(false),
            Ok(Some(0)) => return Err(self.end_or(LinkError::Closed)),
            Ok(Some(count)) => count,
            Err(error) => return Err(self.end_or(LinkError::Io(error))),
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
        match &self.stream.socket {
            Socket::Tcp(stream) => stream.as_fd(),
            Socket::Unix(stream) => stream.as_fd(),
        }
    }
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

#[derive(Debug)]
struct Stream {
    socket: Socket,
    /// Nothing came during the last read.
    is_silent: bool,
}

impl Stream {
    /// Tries every address that the name has.
    fn connect(address: &Address, deadline: Instant) -> Result<Stream, LinkError> {
        let (host, port) = match address {
            Address::Unix(path) => {
                let socket = Socket::Unix(UnixStream::connect(path)?);
                return Ok(Stream { socket, is_silent: false });
            }
            Address::Tcp { host, port } => (host.as_str(), *port),
        };
        let mut last = LinkError::Name(ErrorKind::NotFound.into());
        for address in (host, port).to_socket_addrs().map_err(LinkError::Name)? {
            match TcpStream::connect_timeout(&address, left(deadline).max(WAIT_MIN)) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    return Ok(Stream { socket: Socket::Tcp(stream), is_silent: false });
                }
                Err(error) => last = LinkError::Io(error),
            }
        }
        Err(last)
    }

    /// One read; `None`: nothing came within `timeout`.
    fn read_within(
        &mut self,
        buffer: &mut [u8],
        timeout: Duration,
    ) -> Result<Option<usize>, std::io::Error> {
        let timeout = Some(timeout.max(WAIT_MIN));
        let read = match &mut self.socket {
            Socket::Tcp(stream) => {
                stream.set_read_timeout(timeout)?;
                stream.read(buffer)
            }
            Socket::Unix(stream) => {
                stream.set_read_timeout(timeout)?;
                stream.read(buffer)
            }
        };
        self.is_silent = false;
        match read {
            Ok(count) => Ok(Some(count)),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                self.is_silent = true;
                Ok(None)
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn set_write_timeout(&self, timeout: Duration) -> Result<(), std::io::Error> {
        match &self.socket {
            Socket::Tcp(stream) => stream.set_write_timeout(Some(timeout)),
            Socket::Unix(stream) => stream.set_write_timeout(Some(timeout)),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), std::io::Error> {
        match &mut self.socket {
            Socket::Tcp(stream) => stream.write_all(bytes),
            Socket::Unix(stream) => stream.write_all(bytes),
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "a client is outside of the box: it has its clock")]
fn now() -> Instant {
    Instant::now()
}

/// Until `deadline`, zero if it is past.
fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(now())
}
