//! A blocking socket with timeouts: TCP, TLS over TCP, or a unix socket.
//!
//! A box where this workstation is enrolled is never contacted without TLS, even if the address has
//! no `tls:`. Nothing here parses a line or retries.

use crate::address::Address;
use crate::clock::{WAIT_MIN, remaining};
use crate::error::ConnectionError;
use crate::happy_eyeballs;
use crate::keyring::Keyring;
use crate::tls::{self, TlsSocket};
use nix::errno::Errno;
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, UnixAddr};
use protocol::one_time::FINGERPRINT_BYTES;
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How the client checks that it talks to the right box.
pub(crate) enum Trust<'a> {
    /// By the CA that was pinned at enrolment.
    Keyring(&'a Keyring),
    /// During enrolment: by the beginning of the CA's fingerprint, from the enrolment code.
    Fingerprint([u8; FINGERPRINT_BYTES]),
}

/// By when each phase of opening a connection must be over. No phase can use up the time of the
/// next: a TCP connection that succeeds late still leaves a sixth of the whole for TLS, and a late
/// TLS handshake as much for the greeting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadlines {
    /// The socket is connected.
    pub connected: Instant,
    /// The TLS handshake is complete.
    pub secured: Instant,
    /// The box has sent its greeting.
    pub greeted: Instant,
}

impl Deadlines {
    /// Divides `timeout`. With 5 s, two thirds for TCP cover the SYNs that are sent again after 1 s
    /// and 3 s.
    pub fn new(start: Instant, timeout: Duration) -> Deadlines {
        let sixth = timeout / 6;
        Deadlines {
            connected: start + sixth * 4,
            secured: start + sixth * 5,
            greeted: start + timeout,
        }
    }
}

/// What to connect to, with everything that is looked up beforehand.
pub(crate) enum Target {
    Unix(PathBuf),
    Tcp {
        /// In the resolver's order.
        addresses: Vec<SocketAddr>,
        tls: Option<Box<ClientConfig>>,
    },
}

impl Target {
    /// Looks up the host name and loads the certificates. The name lookup has its own time limits,
    /// those of the system's resolver.
    pub fn resolve(address: &Address, trust: &Trust<'_>) -> Result<Target, ConnectionError> {
        let (host, port) = match address {
            Address::Unix(path) => return Ok(Target::Unix(path.clone())),
            Address::Tcp { host, port } | Address::Tls { host, port } => (host.as_str(), *port),
        };
        let config = match (address, trust) {
            (_, Trust::Fingerprint(prefix)) => Some(tls::build_enrolment_config(*prefix)),
            (Address::Tcp { .. }, Trust::Keyring(keyring)) if !keyring.is_enrolled_at(address) => {
                None
            }
            (_, Trust::Keyring(keyring)) => Some(tls::build_config(keyring.load(address)?)),
        };
        let config =
            config.transpose().map_err(|error| ConnectionError::Tls(tls::invalid_data(error)))?;
        let addresses = (host, port).to_socket_addrs().map_err(ConnectionError::Name)?.collect();
        Ok(Target::Tcp { addresses, tls: config.map(Box::new) })
    }
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpStream),
    Tls(TlsSocket),
    Unix(UnixStream),
}

#[derive(Debug)]
pub(crate) struct Stream {
    socket: Socket,
    /// The last read brought nothing within its timeout.
    pub is_silent: bool,
}

impl Stream {
    /// Wraps a connected socket.
    pub fn from_unix(socket: UnixStream) -> Stream {
        Stream { socket: Socket::Unix(socket), is_silent: false }
    }

    /// Whether the connection uses TLS.
    pub fn is_tls(&self) -> bool {
        matches!(self.socket, Socket::Tls(_))
    }

    /// Connects and, where there is TLS, completes the handshake.
    pub fn connect(target: Target, deadlines: &Deadlines) -> Result<Stream, ConnectionError> {
        let socket = match target {
            Target::Unix(path) => Socket::Unix(connect_unix(&path, deadlines.connected)?),
            Target::Tcp { addresses, tls } => {
                let stream = happy_eyeballs::connect(&addresses, deadlines.connected)?;
                stream.set_nodelay(true)?;
                match tls {
                    None => Socket::Tcp(stream),
                    Some(config) => {
                        Socket::Tls(complete_handshake(stream, *config, deadlines.secured)?)
                    }
                }
            }
        };
        Ok(Stream { socket, is_silent: false })
    }

    /// Reads once; `None`: nothing came within `timeout`.
    pub fn read_within(
        &mut self,
        buffer: &mut [u8],
        timeout: Duration,
    ) -> Result<Option<usize>, std::io::Error> {
        let timeout = timeout.max(WAIT_MIN);
        let read = match &mut self.socket {
            Socket::Tcp(stream) => {
                stream.set_read_timeout(Some(timeout))?;
                stream.read(buffer)
            }
            Socket::Tls(stream) => stream.read(buffer, timeout),
            Socket::Unix(stream) => {
                stream.set_read_timeout(Some(timeout))?;
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

    pub fn set_write_timeout(&self, timeout: Duration) -> Result<(), std::io::Error> {
        match &self.socket {
            Socket::Tcp(stream) => stream.set_write_timeout(Some(timeout)),
            Socket::Tls(stream) => stream.socket.set_write_timeout(Some(timeout)),
            Socket::Unix(stream) => stream.set_write_timeout(Some(timeout)),
        }
    }

    pub fn write_all(&mut self, bytes: &[u8]) -> Result<(), std::io::Error> {
        match &mut self.socket {
            Socket::Tcp(stream) => stream.write_all(bytes),
            Socket::Tls(stream) => stream.write_all(bytes),
            Socket::Unix(stream) => stream.write_all(bytes),
        }
    }

    /// Whether decrypted bytes wait to be read. A poll of the socket does not show them.
    pub fn has_decrypted(&self) -> bool {
        matches!(&self.socket, Socket::Tls(stream) if stream.has_decrypted())
    }

    /// The CA certificate that the box showed.
    pub fn server_ca(&self) -> Option<CertificateDer<'static>> {
        match &self.socket {
            Socket::Tls(stream) => stream.server_ca(),
            Socket::Tcp(_) | Socket::Unix(_) => None,
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Socket::Tcp(stream) => stream.as_fd(),
            Socket::Tls(stream) => stream.socket.as_fd(),
            Socket::Unix(stream) => stream.as_fd(),
        }
    }
}

/// Connects to a unix socket. While the queue of the listener is full, the kernel lets the caller
/// wait as long as a write may take.
fn connect_unix(path: &Path, deadline: Instant) -> Result<UnixStream, ConnectionError> {
    let socket =
        socket::socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None);
    let stream = UnixStream::from(socket.map_err(std::io::Error::from)?);
    let address = UnixAddr::new(path).map_err(std::io::Error::from)?;
    loop {
        stream.set_write_timeout(Some(remaining(deadline).max(WAIT_MIN)))?;
        match socket::connect(stream.as_raw_fd(), &address) {
            Ok(()) => return Ok(stream),
            Err(Errno::EINTR) if !remaining(deadline).is_zero() => {}
            Err(Errno::EINTR | Errno::EAGAIN) => {
                return Err(ConnectionError::Io(ErrorKind::TimedOut.into()));
            }
            Err(error) => return Err(ConnectionError::Io(error.into())),
        }
    }
}

fn complete_handshake(
    socket: TcpStream,
    config: ClientConfig,
    deadline: Instant,
) -> Result<TlsSocket, ConnectionError> {
    let mut socket = TlsSocket::new(socket, config)?;
    socket.socket.set_write_timeout(Some(remaining(deadline).max(WAIT_MIN)))?;
    while socket.is_handshaking() {
        if remaining(deadline).is_zero() {
            return Err(ConnectionError::Io(ErrorKind::TimedOut.into()));
        }
        match socket.receive_records(remaining(deadline).max(WAIT_MIN)) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            done => done?,
        }
    }
    socket.flush()?;
    Ok(socket)
}
