//! A blocking socket of any kind, with time limits: TCP, TLS on TCP, or a unix socket.
//!
//! A box that this workstation is enrolled at is never spoken to in plain text, whatever the
//! address says. Nothing here knows a line, or tries again.

use crate::address::Address;
use crate::connection::LinkError;
use crate::keyring::Keyring;
use crate::tls::{self, TlsSocket};
use protocol::one_time::FINGERPRINT_BYTES;
use rustls::pki_types::CertificateDer;
use rustls::{AlertDescription, CertificateError, Error};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// The shortest wait; a socket takes zero for "for ever".
pub(crate) const WAIT_MIN: Duration = Duration::from_millis(1);

/// By what a box is known.
pub(crate) enum Trust<'a> {
    /// The CA that was pinned when this workstation was enrolled.
    Keyring(&'a Keyring),
    /// The beginning of its CA's fingerprint, out of a code.
    Code([u8; FINGERPRINT_BYTES]),
}

/// What to do about a TLS session that failed, for people.
pub(crate) fn tls_text(error: &std::io::Error) -> String {
    let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return error.to_string();
    };
    match inner {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "this is not the box that is trusted here: its certificate is of another CA; somebody \
             may be in between"
                .to_owned()
        }
        Error::InvalidCertificate(error) => {
            format!("the box's certificate is not good ({error}); is the clock right here?")
        }
        Error::AlertReceived(AlertDescription::UnknownCA) => {
            "the box does not know this workstation's certificate; enrol it again".to_owned()
        }
        Error::InvalidMessage(_) => format!("this is not TLS ({inner}); is the port right?"),
        other => format!("TLS: {other}"),
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
    /// Nothing came during the last read.
    pub is_silent: bool,
}

impl Stream {
    /// A socket that is connected already.
    pub fn over(socket: UnixStream) -> Stream {
        Stream { socket: Socket::Unix(socket), is_silent: false }
    }

    /// Whether there is TLS in between.
    pub fn is_tls(&self) -> bool {
        matches!(self.socket, Socket::Tls(_))
    }

    /// Tries every address that the name has.
    pub fn connect(
        address: &Address,
        trust: &Trust<'_>,
        deadline: Instant,
    ) -> Result<Stream, LinkError> {
        let (host, port) = match address {
            Address::Unix(path) => {
                let socket = Socket::Unix(UnixStream::connect(path)?);
                return Ok(Stream { socket, is_silent: false });
            }
            Address::Tcp { host, port } | Address::Tls { host, port } => (host.as_str(), *port),
        };
        let config = match (address, trust) {
            (_, Trust::Code(fingerprint)) => Some(tls::enrolling(*fingerprint)),
            (Address::Tcp { .. }, Trust::Keyring(keyring)) if !keyring.knows(address) => None,
            (_, Trust::Keyring(keyring)) => Some(tls::enrolled(keyring.load(address)?)),
        };
        let config = config.transpose().map_err(|error| LinkError::Tls(invalid(error)))?;
        let mut last = LinkError::Name(ErrorKind::NotFound.into());
        for address in (host, port).to_socket_addrs().map_err(LinkError::Name)? {
            match TcpStream::connect_timeout(&address, left(deadline).max(WAIT_MIN)) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    let socket = match config {
                        None => Socket::Tcp(stream),
                        Some(config) => Socket::Tls(shake_hands(stream, config, deadline)?),
                    };
                    return Ok(Stream { socket, is_silent: false });
                }
                Err(error) => last = LinkError::Io(error),
            }
        }
        Err(last)
    }

    /// One read; `None`: nothing came within `timeout`.
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

    /// Whether a read brings something although the socket has nothing.
    pub fn has_opened(&self) -> bool {
        matches!(&self.socket, Socket::Tls(stream) if stream.has_opened())
    }

    /// The CA that the box showed.
    pub fn authority(&self) -> Option<CertificateDer<'static>> {
        match &self.socket {
            Socket::Tls(stream) => stream.authority(),
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

fn shake_hands(
    socket: TcpStream,
    config: rustls::ClientConfig,
    deadline: Instant,
) -> Result<TlsSocket, LinkError> {
    let mut socket = TlsSocket::new(socket, config)?;
    while socket.is_handshaking() {
        if left(deadline).is_zero() {
            return Err(LinkError::Io(ErrorKind::TimedOut.into()));
        }
        match socket.step(left(deadline).max(WAIT_MIN)) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            done => done?,
        }
    }
    socket.flush()?;
    Ok(socket)
}

fn invalid(error: Error) -> std::io::Error {
    std::io::Error::new(ErrorKind::InvalidData, error)
}

#[allow(clippy::disallowed_methods, reason = "a client is outside of the box: it has its clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Until `deadline`, zero if it is past.
pub(crate) fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(now())
}
