//! What the SIP sockets of a box are: listeners and connections, and which of them have work.

use super::connection::SipConnection;
use crate::backoff::Backoff;
use crate::config::{Config, SipListen};
use crate::time::MonoTime;
use mio::Token;
use mio::net::{TcpListener, UdpSocket};
use std::net::SocketAddr;
use zeroize::Zeroizing;

/// Tokens of the listeners, and of the connections after them.
pub(in crate::shell) const FIRST_SIP_TOKEN: usize = 512;
pub(super) const FIRST_CONNECTION_TOKEN: usize = 1024;

/// Connections of recording clients; at this number the one that was idle for longest is closed.
pub(super) const CONNECTIONS_MAX: usize = 64;

const _: () = assert!(
    FIRST_SIP_TOKEN + crate::config::bounds::BOARDS_MAX * crate::config::bounds::SIP_LISTENERS_MAX
        <= FIRST_CONNECTION_TOKEN
);
const _: () = assert!(
    FIRST_CONNECTION_TOKEN + CONNECTIONS_MAX < crate::shell::net::handshake::FIRST_SESSION_TOKEN
);

/// Bytes of one datagram or one read, the longest message that exists.
pub(super) const READ_BYTES: usize = 64 << 10;

/// Pauses between attempts to open a listener.
const RETRY_FIRST_MS: u64 = 1000;
const RETRY_LONGEST_MS: u64 = 30_000;

/// The sockets of all `sip` boards.
pub(in crate::shell) struct SipSockets {
    pub(super) listeners: Vec<SipListener>,
    pub(super) connections: Vec<Option<SipConnection>>,
    pub(super) last_number: u64,
    /// What is read. It may hold keys of media.
    pub(super) buffer: Zeroizing<Vec<u8>>,
}

pub(super) struct SipListener {
    /// Index of its board in the configuration.
    pub(super) board: usize,
    pub(super) settings: SipListen,
    pub(super) token: Token,
    pub(super) socket: SocketState,
}

pub(super) enum SocketState {
    Closed { backoff: Backoff, is_opening: bool },
    Udp { socket: UdpSocket, address: SocketAddr, is_readable: bool },
    Stream { listener: TcpListener, address: SocketAddr, is_readable: bool },
}

impl SipSockets {
    /// The listeners of a configuration, closed.
    pub fn new(config: &Config) -> SipSockets {
        let boards = config.boards.iter().enumerate();
        let all = boards.filter_map(|(board, settings)| Some((board, settings.sip()?)));
        let all =
            all.flat_map(|(board, sip)| sip.listen.iter().map(move |listen| (board, *listen)));
        let listener = |(index, (board, settings)): (usize, (usize, SipListen))| SipListener {
            board,
            settings,
            token: Token(FIRST_SIP_TOKEN + index),
            socket: SocketState::Closed {
                backoff: Backoff::new(RETRY_FIRST_MS, RETRY_LONGEST_MS),
                is_opening: false,
            },
        };
        let listeners: Vec<SipListener> = all.enumerate().map(listener).collect();
        let bytes = if listeners.is_empty() { 0 } else { READ_BYTES };
        SipSockets {
            listeners,
            connections: Vec::new(),
            last_number: 0,
            buffer: Zeroizing::new(vec![0; bytes]),
        }
    }

    /// Records an event.
    pub fn mark_ready(&mut self, token: usize, readable: bool, writable: bool) {
        if token >= FIRST_CONNECTION_TOKEN {
            let connection = self.connections.get_mut(token - FIRST_CONNECTION_TOKEN);
            if let Some(connection) = connection.and_then(Option::as_mut) {
                connection.mark_ready(readable, writable);
            }
            return;
        }
        let listener = token.checked_sub(FIRST_SIP_TOKEN);
        let Some(listener) = listener.and_then(|index| self.listeners.get_mut(index)) else {
            return;
        };
        match &mut listener.socket {
            SocketState::Closed { .. } => {}
            SocketState::Udp { is_readable, .. } | SocketState::Stream { is_readable, .. } => {
                *is_readable = true;
            }
        }
    }

    /// Whether messages wait although no event will say so.
    pub fn has_work(&self) -> bool {
        let listens = |listener: &SipListener| match &listener.socket {
            SocketState::Closed { .. } => false,
            SocketState::Udp { is_readable, .. } | SocketState::Stream { is_readable, .. } => {
                *is_readable
            }
        };
        self.listeners.iter().any(listens)
            || self.connections.iter().flatten().any(SipConnection::has_work)
    }

    /// Time at which a listener is opened again.
    pub fn next_open_at(&self) -> Option<MonoTime> {
        let due = |listener: &SipListener| match &listener.socket {
            SocketState::Closed { backoff, is_opening: false } => Some(backoff.again()),
            SocketState::Closed { .. } | SocketState::Udp { .. } | SocketState::Stream { .. } => {
                None
            }
        };
        self.listeners.iter().filter_map(due).min()
    }

    /// The addresses that are open, with their transports.
    pub fn addresses(&self) -> Vec<String> {
        let open = |listener: &SipListener| match &listener.socket {
            SocketState::Closed { .. } => None,
            SocketState::Udp { address, .. } | SocketState::Stream { address, .. } => {
                Some(format!("{}:{address}", listener.settings.transport.as_str()))
            }
        };
        self.listeners.iter().filter_map(open).collect()
    }

    pub(super) fn find_connection(&mut self, number: u64) -> Option<&mut SipConnection> {
        let mut all = self.connections.iter_mut().flatten();
        all.find(|connection| connection.peer.connection == number)
    }
}
