//! SIP sockets: UDP, TCP and TLS listeners of `sip` boards, and the connections of recording
//! clients.
//!
//! The sockets know SIP only as far as they cut streams into messages. Messages of addresses that
//! `peers` does not name are dropped before anything is kept of them. A TLS client must show the
//! certificate of a machine that is enrolled as a call feed. Each turn does bounded work: what is
//! not read waits for the next turn. A listener that cannot be opened is an alarm and is retried;
//! everything else goes on.

mod connection;
pub(in crate::shell) mod sockets;

use self::connection::{ReadStop, SipConnection};
use self::sockets::{
    CONNECTIONS_MAX, FIRST_CONNECTION_TOKEN, SipListener, SipSockets, SocketState,
};
use super::listener::{ListenTarget, OpenListenerRequest, OpenedSocket, Socket};
use crate::config::{BoardSettings, SipSettings, SipTransport};
use crate::recorder::Input;
use crate::shell::event_loop::Daemon;
use crate::shell::workers::worker::WorkerRequest;
use crate::time::Now;
use mio::net::{TcpStream, UdpSocket};
use mio::{Interest, Token};
use siprec::{Peer, Transmit, Transport};
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};

/// Work of one turn: 128 × 30 µs = 4 ms.
const DATAGRAMS_PER_TURN: usize = 64;
const ACCEPTS_PER_TURN: usize = 8;
/// Reads from one connection in one turn.
const READS_PER_TURN: usize = 4;
/// A connection without a message for this time is closed, in ms. Recording clients open a new one
/// when they need it.
const IDLE_MS: u64 = 30 * 60_000;
/// Time for a TLS handshake, in ms.
const HANDSHAKE_MS: u64 = 5000;

/// The address that a client of this listener talks to.
fn local_address(sip: &SipSettings, bound: SocketAddr) -> SocketAddr {
    match sip.address {
        Some(named) if bound.ip().is_unspecified() => SocketAddr::new(named, bound.port()),
        _ => bound,
    }
}

impl Daemon {
    /// Opens the SIP listeners at the start, which may wait.
    pub(in crate::shell) fn open_sip_listeners(&mut self) {
        let now = self.clock.now();
        for index in 0..self.sip.listeners.len() {
            if let Some(request) = self.begin_opening_sip(index, now) {
                let result = request.open().map_err(|error| error.to_string());
                self.finish_opening_sip(now, index, result);
            }
        }
    }

    /// Retries the SIP listeners that are closed, and closes idle connections.
    pub(in crate::shell) fn poll_sip_sockets(&mut self, now: Now) {
        for index in 0..self.sip.listeners.len() {
            if let Some(request) = self.begin_opening_sip(index, now) {
                self.external_worker.submit(now.mono, WorkerRequest::OpenListener(request));
            }
        }
        for place in 0..self.sip.connections.len() {
            let is_over = |connection: &SipConnection| {
                let idle_ms = now.mono.since_ms(connection.last_used);
                idle_ms >= if connection.is_admitted { IDLE_MS } else { HANDSHAKE_MS }
            };
            if self.sip.connections[place].as_ref().is_some_and(is_over) {
                self.close_sip_connection(now, place);
            }
        }
    }

    fn begin_opening_sip(&mut self, index: usize, now: Now) -> Option<OpenListenerRequest> {
        let listener = &mut self.sip.listeners[index];
        let SocketState::Closed { backoff, is_opening } = &mut listener.socket else { return None };
        if *is_opening || !backoff.is_due(now.mono) {
            return None;
        }
        *is_opening = true;
        let (token, settings) = (listener.token, listener.settings);
        let secure = settings.transport == SipTransport::Tls;
        Some(self.open_listener_request(token, ListenTarget::Sip(settings), (secure, now)))
    }

    /// The place of the SIP listener with this token.
    pub(in crate::shell) fn sip_listener_of(&self, token: Token) -> Option<usize> {
        self.sip.listeners.iter().position(|listener| listener.token == token)
    }

    pub(in crate::shell) fn finish_opening_sip(
        &mut self,
        now: Now,
        index: usize,
        result: Result<OpenedSocket, String>,
    ) {
        let token = self.sip.listeners[index].token;
        let result = result.and_then(|opened| {
            let socket = self.install_tls(opened);
            let registry = self.poll.registry();
            match socket {
                Socket::Udp { mut socket, address } => {
                    let done = registry.register(&mut socket, token, Interest::READABLE);
                    let udp = SocketState::Udp { socket, address, is_readable: true };
                    done.map(|()| udp).map_err(|error| error.to_string())
                }
                Socket::Tcp { mut listener, address, .. } => {
                    let done = registry.register(&mut listener, token, Interest::READABLE);
                    let stream = SocketState::Stream { listener, address, is_readable: true };
                    done.map(|()| stream).map_err(|error| error.to_string())
                }
                Socket::Unix { path, .. } => Err(format!("{} is no SIP socket", path.display())),
            }
        });
        let listener = &mut self.sip.listeners[index];
        let place = listener.settings.to_string();
        let trouble = match result {
            Ok(open) => {
                listener.socket = open;
                None
            }
            Err(text) => {
                if let SocketState::Closed { backoff, is_opening } = &mut listener.socket {
                    *is_opening = false;
                    backoff.fail(now.mono);
                }
                Some(text)
            }
        };
        self.recorder.handle(now, Input::ListenerState { place, trouble });
    }

    /// Reads messages and accepts connections, a bounded number of each.
    pub(in crate::shell) fn read_sip_sockets(&mut self, now: Now) {
        for index in 0..self.sip.listeners.len() {
            match &self.sip.listeners[index].socket {
                SocketState::Udp { is_readable: true, .. } => self.read_datagrams(now, index),
                SocketState::Stream { is_readable: true, .. } => self.accept_sip(now, index),
                SocketState::Closed { .. }
                | SocketState::Udp { .. }
                | SocketState::Stream { .. } => {}
            }
        }
        for place in 0..self.sip.connections.len() {
            self.read_sip_connection(now, place);
        }
    }

    fn read_datagrams(&mut self, now: Now, index: usize) {
        let Daemon { sip, recorder, config, .. } = self;
        let SipSockets { listeners, buffer, .. } = sip;
        let SipListener {
            board, socket: SocketState::Udp { socket, address, is_readable }, ..
        } = &mut listeners[index]
        else {
            return;
        };
        let board = *board;
        let Some(settings) = config.boards.get(board).and_then(BoardSettings::sip) else { return };
        for _ in 0..DATAGRAMS_PER_TURN {
            let (count, from) = match socket.recv_from(buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    *is_readable = false;
                    return;
                }
                // An ICMP error about an earlier answer; the next datagram may be good.
                Err(_) => continue,
            };
            let remote = SocketAddr::new(from.ip().to_canonical(), from.port());
            if !settings.admits(remote.ip()) {
                recorder.handle(now, Input::SipStranger { board, from: remote.ip() });
                continue;
            }
            let local = local_address(settings, *address);
            let peer = Peer { transport: Transport::Udp, remote, local, connection: 0 };
            let bytes = &buffer[..count];
            recorder.handle(now, Input::SipMessage { board, peer, bytes });
        }
    }

    fn accept_sip(&mut self, now: Now, index: usize) {
        for _ in 0..ACCEPTS_PER_TURN {
            let listener = &mut self.sip.listeners[index];
            let SocketState::Stream { listener: socket, is_readable, .. } = &mut listener.socket
            else {
                return;
            };
            match socket.accept() {
                Ok((stream, from)) => self.admit_sip_connection(now, index, (stream, from)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    *is_readable = false;
                    return;
                }
                Err(error) => {
                    log::warn!("a SIP connection could not be accepted: {error}");
                    return;
                }
            }
        }
    }

    fn admit_sip_connection(
        &mut self,
        now: Now,
        index: usize,
        (stream, from): (TcpStream, SocketAddr),
    ) {
        let SipListener { board, settings, .. } = self.sip.listeners[index];
        let remote = SocketAddr::new(from.ip().to_canonical(), from.port());
        if !self.admits_sip(board, remote.ip()) {
            return self.recorder.handle(now, Input::SipStranger { board, from: remote.ip() });
        }
        let tls = match (settings.transport, &self.tls) {
            (SipTransport::Tls, Some(tls)) => match tls.new_session() {
                Ok(session) => Some(session),
                Err(error) => return log::warn!("no TLS session: {error}"),
            },
            (SipTransport::Tls, None) => return log::error!("a TLS listener is open without TLS"),
            (SipTransport::Udp | SipTransport::Tcp, _) => None,
        };
        let transport = if tls.is_some() { Transport::Tls } else { Transport::Tcp };
        let Ok(local) = stream.local_addr() else { return };
        let local = SocketAddr::new(local.ip().to_canonical(), local.port());
        self.sip.last_number += 1;
        let peer = Peer { transport, remote, local, connection: self.sip.last_number };
        self.add_sip_connection(now, SipConnection::new(now.mono, (board, peer), (stream, tls)));
    }

    fn admits_sip(&self, board: usize, address: IpAddr) -> bool {
        let settings = self.config.boards.get(board).and_then(BoardSettings::sip);
        settings.is_some_and(|sip| sip.admits(address))
    }

    /// Adds a connection; it may take the place of the one that was idle for longest.
    fn add_sip_connection(&mut self, now: Now, mut connection: SipConnection) {
        let vacant = self.sip.connections.iter().position(Option::is_none);
        let place = match vacant {
            Some(place) => place,
            None if self.sip.connections.len() < CONNECTIONS_MAX => {
                self.sip.connections.push(None);
                self.sip.connections.len() - 1
            }
            None => {
                let idle = |place: &usize| {
                    self.sip.connections[*place].as_ref().map(|connection| connection.last_used)
                };
                let Some(place) = (0..CONNECTIONS_MAX).min_by_key(idle) else { return };
                self.close_sip_connection(now, place);
                place
            }
        };
        let token = Token(FIRST_CONNECTION_TOKEN + place);
        match connection.register(self.poll.registry(), token) {
            Ok(()) => self.sip.connections[place] = Some(connection),
            Err(error) => log::warn!("a SIP connection could not be watched: {error}"),
        }
    }

    fn close_sip_connection(&mut self, now: Now, place: usize) {
        let Some(mut connection) = self.sip.connections[place].take() else { return };
        connection.close(self.poll.registry());
        let (board, connection) = (connection.board, connection.peer.connection);
        self.recorder.handle(now, Input::SipConnectionClosed { board, connection });
    }

    fn read_sip_connection(&mut self, now: Now, place: usize) {
        let Daemon { sip, recorder, .. } = self;
        let SipSockets { connections, buffer, .. } = sip;
        let Some(connection) = connections[place].as_mut() else { return };
        let (board, mut peer) = (connection.board, connection.peer);
        for _ in 0..READS_PER_TURN {
            if !connection.has_work() {
                return;
            }
            let was_admitted = connection.is_admitted;
            let mut deliver = |bytes: &[u8]| {
                recorder.handle(now, Input::SipMessage { board, peer, bytes });
            };
            let stop = connection.read(now.mono, buffer, &mut deliver);
            peer = connection.peer;
            if !was_admitted && let Some(certificate) = connection.finished_handshake() {
                let is_known = certificate.is_some_and(|it| recorder.admits_recording_client(&it));
                if !is_known {
                    recorder.handle(now, Input::SipStranger { board, from: peer.remote.ip() });
                    return self.close_sip_connection(now, place);
                }
                connection.is_admitted = true;
            }
            match stop {
                ReadStop::More | ReadStop::WouldBlock => {}
                ReadStop::Over(why) => {
                    if let Some(why) = why {
                        log::warn!("the SIP connection of {} is closed: {why}", peer.remote);
                    }
                    return self.close_sip_connection(now, place);
                }
            }
        }
    }

    /// Sends a message: a datagram, or bytes of a connection. A connection that is gone is opened
    /// again for a request of ours; an answer then has nowhere to go, and the client asks again.
    pub(in crate::shell) fn send_sip(&mut self, now: Now, board: usize, transmit: &Transmit) {
        let Transmit { peer, bytes } = transmit;
        if peer.transport == Transport::Udp {
            return self.send_datagram(board, peer, bytes);
        }
        if let Some(connection) = self.sip.find_connection(peer.connection) {
            return connection.queue(bytes);
        }
        if peer.transport == Transport::Tls || peer.connection != 0 {
            return log::debug!("a SIP message for {} has no connection any more", peer.remote);
        }
        let Ok(stream) = TcpStream::connect(peer.remote) else { return };
        self.sip.last_number += 1;
        let peer = Peer { connection: self.sip.last_number, ..*peer };
        let mut connection = SipConnection::new(now.mono, (board, peer), (stream, None));
        connection.queue(bytes);
        self.add_sip_connection(now, connection);
    }

    fn send_datagram(&self, board: usize, peer: &Peer, bytes: &[u8]) {
        let sockets = self.sip.listeners.iter().filter(|listener| listener.board == board);
        let sockets = sockets.filter_map(|listener| match &listener.socket {
            SocketState::Udp { socket, address, .. } => Some((socket, *address)),
            SocketState::Closed { .. } | SocketState::Stream { .. } => None,
        });
        let fits = |(_, address): &(&UdpSocket, SocketAddr)| {
            address.port() == peer.local.port()
                && (address.ip() == peer.local.ip() || address.ip().is_unspecified())
        };
        let Some((socket, address)) = sockets.clone().find(fits).or_else(|| sockets.clone().next())
        else {
            return;
        };
        let remote = match (peer.remote.ip(), address.ip()) {
            (IpAddr::V4(v4), IpAddr::V6(_)) => {
                SocketAddr::new(IpAddr::V6(v4.to_ipv6_mapped()), peer.remote.port())
            }
            _ => peer.remote,
        };
        // What does not fit the kernel's buffer is lost like any datagram: SIP repeats it.
        if let Err(error) = socket.send_to(bytes, remote) {
            log::debug!("a SIP message for {remote} was not sent: {error}");
        }
    }

    /// Sends what connections have queued.
    pub(in crate::shell) fn flush_sip_connections(&mut self, now: Now) {
        for place in 0..self.sip.connections.len() {
            let flushed = self.sip.connections[place].as_mut().map(SipConnection::flush);
            if flushed == Some(false) {
                self.close_sip_connection(now, place);
            }
        }
    }
}
