//! Listeners: TCP in plain text or TLS, unix sockets, and serial consoles (see `serial`).
//!
//! A stale socket file, on which no process listens, is replaced; a live one is an error. Error
//! messages state the remedy. The configuration already restricts what each listener may serve.

use crate::config::ListenSettings;
use crate::shell::net::connection::Transport;
use crate::shell::serial::port::SerialConsole;
use mio::net::{TcpListener, UnixListener};
use mio::{Interest, Registry, Token};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("{address} is taken by another program; stop it, or choose another port in [[listen]]")]
    AddressInUse { address: SocketAddr },
    #[error("cannot listen on {address}: {error}")]
    Tcp { address: SocketAddr, error: io::Error },
    #[error("{path}: another program listens on this socket; is a hushboxd running already?")]
    SocketInUse { path: PathBuf },
    #[error("{path} is in the way and is not a socket; move it, or change [[listen]] unix")]
    NotASocket { path: PathBuf },
    #[error("cannot listen on {path}: {error}; is the folder there and writable?")]
    Unix { path: PathBuf, error: io::Error },
}

pub enum Listener {
    Tcp { listener: TcpListener, address: SocketAddr, tls: bool },
    Unix { listener: UnixListener, path: PathBuf },
    Serial(SerialConsole),
}

impl Listener {
    /// Opens a configured listener.
    ///
    /// # Errors
    /// See `ListenError`.
    pub fn open(
        listen: &ListenSettings,
        registry: &Registry,
        token: Token,
    ) -> Result<Self, ListenError> {
        match listen {
            ListenSettings::Serial { path, baud, idle_s } => {
                let silent_ms = u64::from(*idle_s) * 1000;
                Ok(Listener::Serial(SerialConsole::new((path, *baud), silent_ms, token)))
            }
            ListenSettings::Tcp { address, tls, .. } => {
                listen_tcp((*address, *tls), registry, token)
            }
            ListenSettings::Unix { path } => listen_unix(path, registry, token),
        }
    }

    /// Returns the address as shown in the `ready` log line.
    #[must_use]
    pub fn address_text(&self) -> String {
        match self {
            Listener::Tcp { address, .. } => address.to_string(),
            Listener::Unix { path, .. } => path.display().to_string(),
            Listener::Serial(console) => console.path().display().to_string(),
        }
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

fn listen_tcp(
    (address, tls): (SocketAddr, bool),
    registry: &Registry,
    token: Token,
) -> Result<Listener, ListenError> {
    let wrong = |error: io::Error| match error.kind() {
        ErrorKind::AddrInUse => ListenError::AddressInUse { address },
        _ => ListenError::Tcp { address, error },
    };
    let mut listener = TcpListener::bind(address).map_err(wrong)?;
    registry.register(&mut listener, token, Interest::READABLE).map_err(wrong)?;
    let address = listener.local_addr().unwrap_or(address);
    Ok(Listener::Tcp { listener, address, tls })
}

fn listen_unix(path: &Path, registry: &Registry, token: Token) -> Result<Listener, ListenError> {
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
    let mut listener = UnixListener::bind(path).map_err(wrong)?;
    // Any user may connect; the peer's uid decides what it may say hello as.
    let mode = std::fs::Permissions::from_mode(0o666);
    std::fs::set_permissions(path, mode).map_err(wrong)?;
    registry.register(&mut listener, token, Interest::READABLE).map_err(wrong)?;
    Ok(Listener::Unix { listener, path: path.to_path_buf() })
}
