//! Listeners: TCP in plain text or TLS, unix sockets, and serial consoles (see `serial`).
//!
//! A stale socket file, on which no process listens, is replaced; a live one is an error. Error
//! messages state the remedy. The configuration already restricts what each listener may serve.
//! `listener_set` opens the listeners, and retries those that cannot be opened.

use crate::backoff::Backoff;
use crate::config::{ListenSettings, SipListen, SipTransport};
use crate::shell::net::connection::Transport;
use crate::shell::net::tls::{self, TlsServer};
use crate::shell::serial::port::SerialConsole;
use crate::time::WallTime;
use mio::net::{TcpListener, UdpSocket, UnixListener};
use mio::{Interest, Registry, Token};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Pauses between attempts to open a listener.
const RETRY_FIRST_MS: u64 = 1000;
const RETRY_LONGEST_MS: u64 = 30_000;

#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("{address} is taken by another program; stop it, or choose another port")]
    AddressInUse { address: SocketAddr },
    #[error("cannot listen on {address}: {error}")]
    Tcp { address: SocketAddr, error: io::Error },
    #[error("{path}: another program listens on this socket; is a hushboxd running already?")]
    SocketInUse { path: PathBuf },
    #[error("{path} is in the way and is not a socket; move it, or change [[listen]] unix")]
    NotASocket { path: PathBuf },
    #[error("cannot listen on {path}: {error}; is the folder there and writable?")]
    Unix { path: PathBuf, error: io::Error },
    #[error("cannot listen on {address} with TLS: {error}; restore data/tls from a backup")]
    Tls { address: SocketAddr, error: tls::TlsError },
}

pub enum Listener {
    Tcp {
        listener: TcpListener,
        address: SocketAddr,
        tls: bool,
    },
    Unix {
        listener: UnixListener,
        path: PathBuf,
    },
    Serial(SerialConsole),
    Closed(ClosedListener),
    /// A reload removed the listener; the next new one takes its place.
    Vacant,
}

/// A listener that could not be opened yet.
pub struct ClosedListener {
    pub(super) settings: ListenSettings,
    pub(super) token: Token,
    pub(super) backoff: Backoff,
    /// A worker is trying to open it.
    pub(super) is_opening: bool,
    /// A reload removed it while a worker was trying.
    pub(super) is_removed: bool,
}

/// What a worker needs to open a listener.
pub struct OpenListenerRequest {
    pub token: Token,
    pub(super) target: ListenTarget,
    /// Where TLS keys are, and the name of the box, if TLS does not work yet.
    pub(super) tls: Option<(PathBuf, String, WallTime)>,
}

/// An open socket that the loop does not poll yet.
pub struct OpenedSocket {
    pub(super) socket: Socket,
    /// TLS, if it did not work before.
    pub(super) tls: Option<TlsServer>,
}

/// What a listener is for.
pub(super) enum ListenTarget {
    Clients(ListenSettings),
    /// SIP of a `sip` board.
    Sip(SipListen),
}

impl ListenTarget {
    /// The address of TCP and TLS, for errors.
    fn address(&self) -> Option<SocketAddr> {
        match self {
            ListenTarget::Clients(ListenSettings::Tcp { address, .. }) => Some(*address),
            ListenTarget::Clients(ListenSettings::Unix { .. } | ListenSettings::Serial { .. }) => {
                None
            }
            ListenTarget::Sip(listen) => Some(listen.address),
        }
    }
}

pub(super) enum Socket {
    Udp { socket: UdpSocket, address: SocketAddr },
    Tcp { listener: TcpListener, address: SocketAddr, tls: bool },
    Unix { listener: UnixListener, path: PathBuf },
}

impl OpenListenerRequest {
    /// Opens the socket. It may wait for a disk or another program, so the loop leaves it to a
    /// worker.
    ///
    /// # Errors
    /// See `ListenError`.
    pub fn open(&self) -> Result<OpenedSocket, ListenError> {
        let tls = match (self.target.address(), &self.tls) {
            (Some(address), Some((data, name, now))) => {
                let opened = tls::open_tls_server(data, name, *now);
                Some(opened.map_err(|error| ListenError::Tls { address, error })?)
            }
            _ => None,
        };
        let socket = match &self.target {
            ListenTarget::Clients(settings) => Socket::bind(settings)?,
            ListenTarget::Sip(listen) => Socket::bind_sip(*listen)?,
        };
        Ok(OpenedSocket { socket, tls })
    }
}

impl Socket {
    fn bind(settings: &ListenSettings) -> Result<Socket, ListenError> {
        match settings {
            ListenSettings::Tcp { address, tls, .. } => bind_tcp(*address, *tls),
            ListenSettings::Unix { path } => bind_unix(path),
            ListenSettings::Serial { path, .. } => {
                Err(ListenError::NotASocket { path: path.clone() })
            }
        }
    }

    fn bind_sip(listen: SipListen) -> Result<Socket, ListenError> {
        match listen.transport {
            SipTransport::Udp => bind_udp(listen.address),
            SipTransport::Tcp => bind_tcp(listen.address, false),
            SipTransport::Tls => bind_tcp(listen.address, true),
        }
    }

    pub(super) fn register(self, registry: &Registry, token: Token) -> io::Result<Listener> {
        Ok(match self {
            Socket::Tcp { mut listener, address, tls } => {
                registry.register(&mut listener, token, Interest::READABLE)?;
                Listener::Tcp { listener, address, tls }
            }
            // SIP sockets are not clients' listeners: see `sip`.
            Socket::Udp { .. } => return Err(ErrorKind::Unsupported.into()),
            Socket::Unix { mut listener, path } => {
                registry.register(&mut listener, token, Interest::READABLE)?;
                Listener::Unix { listener, path }
            }
        })
    }
}

impl Listener {
    /// Creates a configured listener. `poll_listeners` opens it.
    #[must_use]
    pub fn new(settings: &ListenSettings, token: Token) -> Listener {
        match settings {
            ListenSettings::Serial { path, baud, idle_s } => {
                let silent_ms = u64::from(*idle_s) * 1000;
                Listener::Serial(SerialConsole::new((path, *baud), silent_ms, token))
            }
            ListenSettings::Tcp { .. } | ListenSettings::Unix { .. } => {
                let backoff = Backoff::new(RETRY_FIRST_MS, RETRY_LONGEST_MS);
                let settings = settings.clone();
                Listener::Closed(ClosedListener {
                    settings,
                    token,
                    backoff,
                    is_opening: false,
                    is_removed: false,
                })
            }
        }
    }

    /// Returns the address as shown in the `ready` log line.
    #[must_use]
    pub fn address_text(&self) -> String {
        match self {
            Listener::Tcp { address, .. } => address.to_string(),
            Listener::Unix { path, .. } => path.display().to_string(),
            Listener::Serial(console) => console.path().display().to_string(),
            Listener::Closed(closed) => closed.settings.place().to_string(),
            Listener::Vacant => String::new(),
        }
    }

    #[must_use]
    pub fn is_open(&self) -> bool {
        !matches!(self, Listener::Closed(_) | Listener::Vacant)
    }

    #[must_use]
    pub fn is_tls(&self) -> bool {
        matches!(self, Listener::Tcp { tls: true, .. })
    }

    /// Waits for the last output of serial lines at shutdown. Sockets do so by themselves.
    pub fn drain_on_exit(&self) {
        if let Listener::Serial(console) = self {
            console.drain_on_exit();
        }
    }

    /// Accepts the next waiting connection.
    ///
    /// # Errors
    /// The system call failed.
    pub fn accept(
        &mut self,
        registry: &Registry,
    ) -> io::Result<Option<(Transport, Option<SocketAddr>)>> {
        let result = match self {
            Listener::Tcp { listener, .. } => {
                listener.accept().map(|(stream, from)| (Transport::Tcp(stream), Some(from)))
            }
            Listener::Unix { listener, .. } => {
                listener.accept().map(|(stream, _)| (Transport::Unix(stream), None))
            }
            Listener::Serial(console) => {
                return Ok(console.accept(registry).map(|port| (Transport::Serial(port), None)));
            }
            Listener::Closed(_) | Listener::Vacant => return Ok(None),
        };
        match result {
            Ok(accepted) => Ok(Some(accepted)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Listener::Unix { path, .. } = self {
            drop(std::fs::remove_file(path));
        }
    }
}

fn bind_tcp(address: SocketAddr, tls: bool) -> Result<Socket, ListenError> {
    let listener = TcpListener::bind(address).map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => ListenError::AddressInUse { address },
        _ => ListenError::Tcp { address, error },
    })?;
    let address = listener.local_addr().unwrap_or(address);
    Ok(Socket::Tcp { listener, address, tls })
}

fn bind_udp(address: SocketAddr) -> Result<Socket, ListenError> {
    let socket = UdpSocket::bind(address).map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => ListenError::AddressInUse { address },
        _ => ListenError::Tcp { address, error },
    })?;
    let address = socket.local_addr().unwrap_or(address);
    Ok(Socket::Udp { socket, address })
}

fn bind_unix(path: &Path) -> Result<Socket, ListenError> {
    let wrong = |error: io::Error| ListenError::Unix { path: path.to_path_buf(), error };
    if let Ok(found) = std::fs::symlink_metadata(path) {
        let is_socket = std::os::unix::fs::FileTypeExt::is_socket(&found.file_type());
        if !is_socket {
            return Err(ListenError::NotASocket { path: path.to_path_buf() });
        }
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(ListenError::SocketInUse { path: path.to_path_buf() });
        }
        std::fs::remove_file(path).map_err(wrong)?;
    }
    let listener = UnixListener::bind(path).map_err(wrong)?;
    // Any user may connect; the peer's uid decides what it may say hello as.
    let mode = std::fs::Permissions::from_mode(0o666);
    std::fs::set_permissions(path, mode).map_err(wrong)?;
    Ok(Socket::Unix { listener, path: path.to_path_buf() })
}
