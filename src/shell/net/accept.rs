//! Accepts connections, drives their TLS handshakes and turns them into sessions, or rejects
//! them.
//!
//! A TLS connection becomes a session once its handshake is complete; the recorder then gets its
//! client certificate. Handshakes come last in a turn and few at a time, because each costs about
//! a millisecond of CPU. When there are too many, the oldest is closed. A rejected client is told
//! the reason where possible.

use super::admission::counted_address;
use super::listener::Listener;
use super::peer;
use crate::id::SessionId;
use crate::limits;
use crate::recorder::{Input, RejectReason};
use crate::shell::event_loop::Daemon;
use crate::shell::net::ca::ServerCertificate;
use crate::shell::net::connection::{Connection, Transport};
use crate::shell::net::handshake::PendingHandshake;
use crate::shell::workers::worker::{SignRequest, WorkerRequest};
use crate::time::{MonoTime, Now};
use protocol::Kind;
use std::net::SocketAddr;

/// Connections accepted per turn from each listener.
const ACCEPTS_PER_TURN: usize = 64;
/// Retry interval after a failed accept, usually for lack of descriptors.
const ACCEPT_RETRY_MS: u64 = 100;

impl Daemon {
    pub(in crate::shell) fn accept_connections(&mut self, now: Now) {
        for index in 0..self.listeners.len() {
            for _ in 0..ACCEPTS_PER_TURN {
                if !self.accept_ready[index] || self.is_accept_paused(index, now.mono) {
                    break;
                }
                match self.listeners[index].accept(self.poll.registry()) {
                    Ok(Some((stream, from))) => self.accept_connection(now, index, (stream, from)),
                    Ok(None) => self.accept_ready[index] = false,
                    Err(error) => {
                        log::warn!("a connection could not be accepted: {error}");
                        self.accept_paused_until = now.mono.after_ms(ACCEPT_RETRY_MS);
                    }
                }
            }
        }
    }

    /// Whether new connections of a listener stay in the kernel's queue for now.
    fn is_accept_paused(&self, index: usize, now: MonoTime) -> bool {
        let rate = || self.admission.next_handshake_at(&self.config.limits, now).is_some();
        now < self.accept_paused_until || self.listeners[index].is_tls() && rate()
    }

    /// Time at which the next waiting connection may be accepted; `None` if none waits.
    pub(in crate::shell) fn next_accept_at(&self, now: MonoTime) -> Option<MonoTime> {
        let knocks = |index: &usize| self.accept_ready[*index];
        let waits = (0..self.listeners.len()).filter(knocks).map(|index| {
            let rate = self.admission.next_handshake_at(&self.config.limits, now);
            let rate = rate.filter(|_| self.listeners[index].is_tls()).unwrap_or(now);
            rate.max(self.accept_paused_until).max(now)
        });
        waits.min()
    }

    fn accept_connection(
        &mut self,
        now: Now,
        index: usize,
        (stream, from): (Transport, Option<SocketAddr>),
    ) {
        let address = from.and_then(|from| counted_address(from.ip()));
        let layer = match (&self.tls, self.listeners[index].is_tls()) {
            (None, true) => return log::error!("a TLS listener is open without TLS"),
            (_, false) => None,
            (Some(tls), true) => {
                if let Err(why) =
                    self.admission.begin_handshake(&self.config.limits, now.mono, address)
                {
                    return self.recorder.count_reject(why);
                }
                match tls.new_session() {
                    Ok(layer) => Some(layer),
                    Err(error) => return log::warn!("no TLS session: {error}"),
                }
            }
        };
        let peer = match (&stream, from) {
            (Transport::Unix(unix), _) => peer::unix_peer(&self.local_ids, unix),
            (Transport::Tcp(_), Some(from)) => peer::tcp_peer(&self.config.local, from),
            (Transport::Tcp(_) | Transport::Serial(_), _) => crate::recorder::Peer::default(),
        };
        let (id, token) = self.session_numbers.allocate();
        let connection = Connection::new(stream, layer, (self.poll.registry(), token));
        let mut connection = match connection {
            Ok(connection) => connection,
            Err(error) => return log::warn!("a connection could not be watched: {error}"),
        };
        connection.counted_address = address;
        self.admission.add_connection(address);
        if connection.is_tls() {
            self.evict_oldest_handshakes(now.mono);
            let newcomer = PendingHandshake { connection, started_at: now.mono, from: peer.from };
            self.handshakes.insert(id, newcomer);
            return;
        }
        let session = SessionId(id);
        let input = match &self.listeners[index] {
            Listener::Serial(console) => {
                let (place, silent_ms) =
                    (console.path().display().to_string(), console.idle_timeout_ms);
                Input::SerialOpened { session, place, silent_ms }
            }
            Listener::Tcp { .. }
            | Listener::Unix { .. }
            | Listener::Closed(_)
            | Listener::Vacant => Input::Connected { session, peer },
        };
        self.admit_session(now, id, (connection, input));
    }

    /// Closes the oldest handshakes when there are too many. An honest client finishes in
    /// milliseconds.
    fn evict_oldest_handshakes(&mut self, now: MonoTime) {
        while self.handshakes.len() >= limits::HANDSHAKES_MAX {
            let Some((_, oldest)) = self.handshakes.pop_first() else { return };
            self.reject_connection(now, oldest.connection, RejectReason::Unfinished);
        }
    }

    fn admit_session(
        &mut self,
        now: Now,
        id: u64,
        (mut connection, input): (Connection, Input<'_>),
    ) {
        let (limits, sessions) = (&self.config.limits, self.connections.len());
        // Peers that may not say hello must not take the place of peers that may.
        let known = match &input {
            Input::Connected { peer, .. } => !peer.kinds.is_empty(),
            _ => true,
        };
        let whence = (connection.counted_address, connection.is_unix() && known);
        if let Err(why) = self.admission.admit_session(limits, sessions, whence) {
            let mut bytes = Vec::new();
            let refusal = protocol::Refusal::from(protocol::Code::TooMany);
            protocol::reply::begin_err(&mut bytes, &refusal).end();
            connection.queue_output(&bytes);
            return self.reject_connection(now.mono, connection, why);
        }
        self.connections.insert(id, connection);
        self.recorder.handle(now, input);
    }

    /// Closes a connection before it became a session. The reason is sent once, without retry.
    fn reject_connection(&mut self, now: MonoTime, mut connection: Connection, why: RejectReason) {
        self.recorder.count_reject(why);
        connection.flush(now);
        connection.send_close_notify();
        connection.flush(now);
        connection.deregister(self.poll.registry());
        self.admission.remove_connection(connection.counted_address);
    }

    /// Advances some handshakes, longest waiting first, and closes those that time out.
    pub(in crate::shell) fn drive_handshakes(&mut self, now: Now) {
        let mut left = limits::HANDSHAKES_PER_TURN;
        let after = self.last_handshake;
        let ready = |(id, newcomer): (&u64, &PendingHandshake)| {
            newcomer.connection.has_input().then_some(*id)
        };
        let later = self.handshakes.range(after.saturating_add(1)..).filter_map(ready);
        let order: Vec<u64> =
            later.chain(self.handshakes.range(..=after).filter_map(ready)).collect();
        for id in order {
            if left == 0 {
                break;
            }
            left -= 1;
            self.last_handshake = id;
            self.drive_handshake(now, id);
        }
        let over = |newcomer: &PendingHandshake| {
            now.mono.since_ms(newcomer.started_at) >= limits::HANDSHAKE_TIMEOUT_MS
        };
        while self.handshakes.first_key_value().is_some_and(|(_, first)| over(first)) {
            let Some((_, late)) = self.handshakes.pop_first() else { return };
            self.reject_connection(now.mono, late.connection, RejectReason::Unfinished);
        }
    }

    fn drive_handshake(&mut self, now: Now, id: u64) {
        let Some(newcomer) = self.handshakes.get_mut(&id) else { return };
        let connection = &mut newcomer.connection;
        let alive = connection.drive_handshake() && connection.flush(now.mono);
        if alive && connection.is_handshaking() {
            return;
        }
        let Some(newcomer) = self.handshakes.remove(&id) else { return };
        let PendingHandshake { connection, from, .. } = newcomer;
        if !alive {
            return self.reject_connection(now.mono, connection, RejectReason::Handshake);
        }
        let (session, certificate) = (SessionId(id), connection.client_certificate_digest());
        self.admit_session(
            now,
            id,
            (connection, Input::TlsAccepted { session, from, certificate }),
        );
    }

    /// Sends pending handshake output.
    pub(in crate::shell) fn flush_handshakes(&mut self, now: MonoTime) {
        let mut gone = Vec::new();
        for (id, newcomer) in &mut self.handshakes {
            if !newcomer.connection.is_flushed() && !newcomer.connection.flush(now) {
                gone.push(*id);
            }
        }
        for id in gone {
            if let Some(newcomer) = self.handshakes.remove(&id) {
                self.reject_connection(now, newcomer.connection, RejectReason::Handshake);
            }
        }
    }

    /// Requests a new server certificate when the current one is due for renewal.
    pub(in crate::shell) fn request_certificate_renewal(&mut self, now: Now) {
        let Some(tls) = &mut self.tls else { return };
        if tls.begin_renewal_if_due(now.wall) {
            let authority = tls.authority().clone();
            self.general_worker
                .submit(now.mono, WorkerRequest::RenewCertificate { authority, now: now.wall });
        }
    }

    pub(in crate::shell) fn handle_renewed_certificate(
        &mut self,
        now: Now,
        made: Result<ServerCertificate, String>,
    ) {
        let Some(tls) = &mut self.tls else { return };
        let trouble = tls.finish_renewal(now.wall, made).err();
        if trouble.is_none() {
            log::info!("the box shows a new certificate");
        }
        self.recorder.certificate_state(now, trouble);
    }

    /// Requests a signature on a workstation's certificate request.
    pub(in crate::shell) fn request_workstation_certificate(
        &mut self,
        session: SessionId,
        request: Vec<u8>,
        (machine, kinds): (String, Vec<Kind>),
    ) {
        let Some(tls) = &self.tls else { return };
        let (authority, now) = (tls.authority().clone(), self.clock.now());
        let sign = SignRequest { session, authority, now: now.wall, request, machine, kinds };
        self.general_worker.submit(now.mono, WorkerRequest::Sign(sign));
    }
}
