//! One connection to a box: bytes between a blocking socket and `protocol::client`.
//!
//! Every wait has a timeout. Connecting, the TLS handshake and the greeting share one per server
//! (`stream::Deadlines`); the lookup of a host name is not part of it. A request fails if the box
//! sends nothing for `REPLY_TIMEOUT`. Notifications that come during a request are queued for
//! `next_notification`: the newest state, and the last `NOTIFICATIONS_MAX` events. After an error
//! the connection cannot be used any more, except after `ConnectionError::Send`.
//!
//! Nothing here sends `hello` or reconnects: see `Login` and `RetryPolicy`.

use crate::address::Address;
use crate::clock::{WAIT_MIN, now, remaining};
use crate::error::ConnectionError;
use crate::keyring::Keyring;
use crate::stream::{Deadlines, Stream, Target, Trust};
use protocol::client::{Client, ClientEvent, Failure, Greeting, Pairs, ProtocolError, Reply};
use protocol::one_time::FINGERPRINT_BYTES;
use protocol::{AgentState, CaptureState};
use rustls::pki_types::CertificateDer;
use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// The most queued notifications. When the queue is full, the oldest is dropped.
pub const NOTIFICATIONS_MAX: usize = 1024;
/// The longest silence of the box during a request.
const REPLY_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest time for the box to read what it is sent.
const WRITE_TIMEOUT: Duration = Duration::from_secs(20);
const READ_BYTES: usize = 16 << 10;

/// What the box sends without a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notification {
    /// The state of an agent's call, for an agent's client.
    State(AgentState),
    /// What a screen capture client has to do.
    Capture(CaptureState),
    /// A checkpoint, or an event that `watch` asked for.
    Event(Pairs),
}

/// The next message of the box, for clients that send several commands at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// The reply to the oldest command without one.
    Reply(Reply),
    /// A message without a request.
    Notification(Notification),
}

/// A server that could not be used.
#[derive(Debug)]
pub struct FailedAttempt {
    /// The server.
    pub address: Address,
    /// Why the connection failed.
    pub error: ConnectionError,
}

/// No server of the list could be used.
#[derive(Debug, thiserror::Error)]
#[error("{}", describe_attempts(.attempts))]
pub struct OpenError {
    /// One per server, in the order of the list.
    pub attempts: Vec<FailedAttempt>,
}

fn describe_attempts(attempts: &[FailedAttempt]) -> String {
    let describe = |FailedAttempt { address, error }: &FailedAttempt| format!("{address}: {error}");
    let all = attempts.iter().map(describe).collect::<Vec<_>>().join("; ");
    if all.is_empty() { "the list of servers is empty; name one".to_owned() } else { all }
}

/// A connection to a box that has sent its greeting.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    client: Client,
    address: Address,
    greeting: Greeting,
    replies: VecDeque<Reply>,
    notifications: VecDeque<Notification>,
    close_reason: Option<Failure>,
    protocol_error: Option<ProtocolError>,
}

impl Connection {
    /// Connects to the first server of the list that sends the greeting of a box (requirement A7).
    /// Each server is tried for at most `timeout`, without the lookup of its name.
    pub fn open(servers: &[Address], timeout: Duration) -> Result<Connection, OpenError> {
        Connection::open_with_keyring(&Keyring::for_current_user(), servers, timeout)
    }

    /// Connects as `open` does, with the keys of another folder.
    pub fn open_with_keyring(
        keyring: &Keyring,
        servers: &[Address],
        timeout: Duration,
    ) -> Result<Connection, OpenError> {
        let mut attempts = Vec::new();
        for address in servers {
            match Connection::open_one(address, &Trust::Keyring(keyring), timeout) {
                Ok(connection) => return Ok(connection),
                Err(error) => attempts.push(FailedAttempt { address: address.clone(), error }),
            }
        }
        Err(OpenError { attempts })
    }

    /// Opens a session that can only enrol, with the box whose CA has this fingerprint.
    pub(crate) fn open_for_enrolment(
        address: &Address,
        fingerprint: [u8; FINGERPRINT_BYTES],
        timeout: Duration,
    ) -> Result<Connection, ConnectionError> {
        Connection::open_one(address, &Trust::Fingerprint(fingerprint), timeout)
    }

    fn open_one(
        address: &Address,
        trust: &Trust<'_>,
        timeout: Duration,
    ) -> Result<Connection, ConnectionError> {
        let target = Target::resolve(address, trust)?;
        Connection::open_target(target, address, timeout)
    }

    fn open_target(
        target: Target,
        address: &Address,
        timeout: Duration,
    ) -> Result<Connection, ConnectionError> {
        let deadlines = Deadlines::new(now(), timeout);
        let stream = Stream::connect(target, &deadlines)?;
        Connection::await_greeting(stream, address, (deadlines.greeted, timeout))
    }

    /// Uses a socket that the caller has connected, for example to a serial port. `address` is only
    /// a name for it.
    pub fn from_stream(
        socket: UnixStream,
        address: &Address,
        timeout: Duration,
    ) -> Result<Connection, ConnectionError> {
        let deadline = now() + timeout;
        let stream = Stream::from_unix(socket);
        Connection::await_greeting(stream, address, (deadline, timeout))
    }

    fn await_greeting(
        stream: Stream,
        address: &Address,
        (deadline, timeout): (Instant, Duration),
    ) -> Result<Connection, ConnectionError> {
        stream.set_write_timeout(WRITE_TIMEOUT)?;
        let mut connection = Connection {
            stream,
            client: Client::new(),
            address: address.clone(),
            greeting: Greeting { version: protocol::VERSION, name: String::new(), boot: 0 },
            replies: VecDeque::new(),
            notifications: VecDeque::new(),
            close_reason: None,
            protocol_error: None,
        };
        while !connection.read(remaining(deadline))? {
            if remaining(deadline).is_zero() {
                return Err(ConnectionError::Silent { timeout });
            }
        }
        Ok(connection)
    }

    /// The server of this connection.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Whether the connection uses TLS. Then the box identifies this machine by its certificate.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.stream.is_tls()
    }

    /// The greeting of the box.
    #[must_use]
    pub fn greeting(&self) -> &Greeting {
        &self.greeting
    }

    /// Sends one command, a line without its end, and waits for the reply.
    pub fn request(&mut self, line: &str) -> Result<Reply, ConnectionError> {
        self.client.queue_command(line)?;
        self.await_reply()
    }

    /// Sends one command with its data block and waits for the reply.
    pub fn request_with_data(&mut self, line: &str, data: &[u8]) -> Result<Reply, ConnectionError> {
        self.client.queue_command_with_data(line, data)?;
        self.await_reply()
    }

    /// Sends one command and does not wait for the reply, which `recv` returns. Replies come in the
    /// order of the commands. Do not call `request` while a reply is due.
    pub fn send(&mut self, line: &str) -> Result<(), ConnectionError> {
        self.client.queue_command(line)?;
        self.flush()
    }

    /// Waits up to `timeout` for the next message of the box; `None`: nothing came. Replies go
    /// before notifications.
    pub fn recv(&mut self, timeout: Duration) -> Result<Option<Incoming>, ConnectionError> {
        let deadline = now() + timeout;
        loop {
            if let Some(reply) = self.replies.pop_front() {
                return Ok(Some(Incoming::Reply(reply)));
            }
            if let Some(notification) = self.notifications.pop_front() {
                return Ok(Some(Incoming::Notification(notification)));
            }
            self.check_protocol()?;
            let wait = remaining(deadline);
            self.read(wait)?;
            let nothing = self.replies.is_empty() && self.notifications.is_empty();
            if nothing && wait.is_zero() {
                return self.check_protocol().map(|()| None);
            }
        }
    }

    /// The CA certificate that the box showed; `None` without TLS.
    pub(crate) fn server_ca(&self) -> Option<CertificateDer<'static>> {
        self.stream.server_ca()
    }

    fn await_reply(&mut self) -> Result<Reply, ConnectionError> {
        self.flush()?;
        loop {
            if let Some(reply) = self.replies.pop_front() {
                return Ok(reply);
            }
            self.check_protocol()?;
            if !self.read(REPLY_TIMEOUT)? && self.stream.is_silent {
                return Err(ConnectionError::Silent { timeout: REPLY_TIMEOUT });
            }
        }
    }

    /// Waits up to `timeout` for the next notification; `None`: nothing came.
    pub fn next_notification(
        &mut self,
        timeout: Duration,
    ) -> Result<Option<Notification>, ConnectionError> {
        let deadline = now() + timeout;
        loop {
            if let Some(notification) = self.notifications.pop_front() {
                return Ok(Some(notification));
            }
            self.check_protocol()?;
            let wait = remaining(deadline);
            self.read(wait)?;
            if self.notifications.is_empty() && wait.is_zero() {
                return self.check_protocol().map(|()| None);
            }
        }
    }

    /// Fails if the box broke the protocol.
    fn check_protocol(&mut self) -> Result<(), ConnectionError> {
        match self.protocol_error.take() {
            Some(error) => Err(ConnectionError::Protocol(error)),
            None => Ok(()),
        }
    }

    fn flush(&mut self) -> Result<(), ConnectionError> {
        let bytes = self.client.bytes_to_send().len();
        match self.stream.write_all(self.client.bytes_to_send()) {
            Ok(()) => self.client.mark_sent(bytes),
            Err(error) => {
                // The box may have sent a reason before it closed the connection.
                while self.read(WAIT_MIN).is_ok_and(|_| !self.stream.is_silent) {}
                return Err(self.close_reason_or(ConnectionError::Io(error)));
            }
        }
        Ok(())
    }

    /// Reads once, for at most `timeout`, and then everything that TLS has decrypted. Returns
    /// whether the greeting came.
    fn read(&mut self, timeout: Duration) -> Result<bool, ConnectionError> {
        let mut greeted = self.read_once(timeout)?;
        while self.stream.has_decrypted() {
            greeted |= self.read_once(WAIT_MIN)?;
        }
        Ok(greeted)
    }

    fn read_once(&mut self, timeout: Duration) -> Result<bool, ConnectionError> {
        let mut buffer = [0; READ_BYTES];
        let count = match self.stream.read_within(&mut buffer, timeout) {
            Ok(None) => return Ok(false),
            Ok(Some(0)) => return Err(self.close_reason_or(ConnectionError::Closed)),
            Ok(Some(count)) => count,
            Err(error) => return Err(self.close_reason_or(error.into())),
        };
        self.client.receive(&buffer[..count]);
        let mut greeted = false;
        while let Some(event) = self.client.poll_event() {
            match event {
                ClientEvent::Greeting(greeting) => {
                    self.greeting = greeting;
                    greeted = true;
                }
                ClientEvent::Reply(reply) => self.replies.push_back(reply),
                ClientEvent::State(state) => self.queue(Notification::State(state)),
                ClientEvent::Capture(state) => self.queue(Notification::Capture(state)),
                ClientEvent::Event(pairs) => self.queue(Notification::Event(pairs)),
                ClientEvent::CloseReason(failure) => self.close_reason = Some(failure),
                ClientEvent::ProtocolError(error) => self.protocol_error = Some(error),
            }
        }
        if greeted { Ok(true) } else { self.check_protocol().map(|()| false) }
    }

    /// Queues a notification; a state replaces the last one of its kind.
    fn queue(&mut self, notification: Notification) {
        if !matches!(notification, Notification::Event(_)) {
            let same = std::mem::discriminant(&notification);
            self.notifications.retain(|older| std::mem::discriminant(older) != same);
        }
        if self.notifications.len() == NOTIFICATIONS_MAX {
            self.notifications.pop_front();
        }
        self.notifications.push_back(notification);
    }

    /// The reason that the box sent before it closed the connection, or else `other`.
    fn close_reason_or(&mut self, other: ConnectionError) -> ConnectionError {
        self.close_reason.take().map_or(other, ConnectionError::ClosedByBox)
    }
}

impl AsFd for Connection {
    /// The socket, to wait for a notification and for other events at once. Take all notifications
    /// before waiting.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ConnectionError;
    use crate::happy_eyeballs::tests::BlackHole;
    use crate::tls;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    use rustls::{ServerConfig, ServerConnection, StreamOwned};
    use std::io::{ErrorKind, Write};
    use std::net::{SocketAddr, TcpListener};
    use std::os::unix::net::UnixListener;
    use std::sync::{Arc, mpsc};
    use std::thread::JoinHandle;

    const GREETING: &[u8] = b"hushbox 1 box=box-01 boot=37\n";
    const TIMEOUT: Duration = Duration::from_millis(1800);

    fn address() -> Address {
        "tls:box-01".parse().expect("an address")
    }

    /// A box with TLS that greets one client; its address, and the client's side of the TLS.
    fn serve_tls() -> (SocketAddr, rustls::ClientConfig, JoinHandle<()>) {
        let key = || KeyPair::generate().expect("a key");
        let (ca_key, server_key) = (key(), key());
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let ca = params.self_signed(&ca_key).expect("a CA").der().clone();
        let issuer = Issuer::new(params, ca_key);
        let params = CertificateParams::new(["hushbox".to_owned()]).expect("a name");
        let server = params.signed_by(&server_key, &issuer).expect("a certificate").der().clone();
        let mut fingerprint = [0; FINGERPRINT_BYTES];
        let digest = ring::digest::digest(&ring::digest::SHA256, &ca);
        fingerprint.copy_from_slice(&digest.as_ref()[..FINGERPRINT_BYTES]);
        let key = server_key.serialize_der().try_into().expect("a private key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .and_then(|config| config.with_no_client_auth().with_single_cert(vec![server, ca], key))
            .expect("a TLS configuration");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let thread = std::thread::spawn(move || {
            let (socket, _) = listener.accept().expect("a client");
            let tls = ServerConnection::new(Arc::new(config)).expect("a TLS session");
            StreamOwned::new(tls, socket).write_all(GREETING).expect("a greeting");
        });
        (address, tls::build_enrolment_config(fingerprint).expect("a TLS configuration"), thread)
    }

    #[test]
    fn a7_silent_first_address_leaves_time_for_tls() {
        let silent = BlackHole::new();
        let (good, config, server) = serve_tls();
        let target =
            Target::Tcp { addresses: vec![silent.address, good], tls: Some(Box::new(config)) };
        let connection = Connection::open_target(target, &address(), TIMEOUT);
        let connection = connection.expect("a connection to the second address");
        assert_eq!((connection.greeting().name.as_str(), connection.is_tls()), ("box-01", true));
        server.join().expect("the server's thread");
    }

    #[test]
    fn no_phase_uses_up_the_time_of_the_next() {
        let start = now();
        let Deadlines { connected, secured, greeted } = Deadlines::new(start, TIMEOUT);
        assert_eq!(greeted, start + TIMEOUT);
        let [tcp, tls, greeting] = [connected - start, secured - connected, greeted - secured];
        assert!(tcp == TIMEOUT * 2 / 3 && tls == TIMEOUT / 6 && greeting == tls);
    }

    #[test]
    fn a7_unix_socket_that_accepts_nothing_times_out() {
        let folder = std::env::temp_dir().join(format!("hushbox-full-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("box.sock");
        let listener = UnixListener::bind(&path).expect("a socket");
        let backlog = nix::sys::socket::Backlog::new(0).expect("a backlog");
        nix::sys::socket::listen(&listener, backlog).expect("a full queue of one");
        let _queued = UnixStream::connect(&path).expect("the only place in the queue");
        let (sender, opened) = mpsc::channel();
        let address = Address::Unix(path);
        std::thread::spawn(move || {
            let opened = Connection::open(&[address], Duration::from_millis(300));
            sender.send(opened.map(|_| ()))
        });
        let opened = opened.recv_timeout(Duration::from_secs(20)).expect("an end of waiting");
        let error = opened.expect_err("nothing accepts").attempts.remove(0).error;
        assert!(
            matches!(&error, ConnectionError::Io(io) if io.kind() == ErrorKind::TimedOut),
            "{error}"
        );
        std::fs::remove_dir_all(&folder).expect("the folder goes");
    }
}
