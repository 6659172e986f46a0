//! Who comes in: connections are accepted, shake hands, and become sessions, or are turned away.
//!
//! A TLS connection becomes a session only when its handshake is done, and then the recorder hears
//! which certificate it showed. Handshakes come last in a turn and few at a time, since each is a
//! millisecond of arithmetic; when there are too many the oldest makes room. Whoever can be told
//! why is told. Nothing here reads a line.

use super::admission::counted;
use super::listener::Listener;
use super::peer;
use crate::id::SessionId;
use crate::limits;
use crate::recorder::{Input, TurnedAway};
use crate::shell::event_loop::{Daemon, SESSIONS};
use crate::shell::net::ca::Shown;
use crate::shell::net::connection::{Connection, Stream};
use crate::shell::workers::worker::{Request, Sign};
use crate::time::{Mono, Now};
use mio::Token;
use protocol::Kind;
use std::net::SocketAddr;

/// Connections that are accepted in one turn, from each listener.
const ACCEPTS_PER_TURN: usize = 64;
/// When nothing can be accepted, for want of descriptors most of all, it is tried again.
const ACCEPT_AGAIN_MS: u64 = 100;

/// A connection that is no session yet.
pub(in crate::shell) struct Newcomer {
    pub connection: Connection,
    since: Mono,
    from: String,
}

impl Daemon {
    pub(in crate::shell) fn accept(&mut self, now: Now) {
        for index in 0..self.listeners.len() {
            for _ in 0..ACCEPTS_PER_TURN {
                if !self.knocking[index] || self.rests(index, now.mono) {
                    break;
                }
                match self.listeners[index].accept(self.poll.registry()) {
                    Ok(Some((stream, from))) => self.welcome(now, index, (stream, from)),
                    Ok(None) => self.knocking[index] = false,
                    Err(error) => {
                        log::warn!("a connection could not be accepted: {error}");
                        self.rest_until = now.mono.after_ms(ACCEPT_AGAIN_MS);
                    }
                }
            }
        }
    }

    /// Whether a listener's newcomers wait in the kernel's queue for now.
    fn rests(&self, index: usize, now: Mono) -> bool {
        let rate = || self.admission.wait(&self.config.limits, now).is_some();
        now < self.rest_until || self.listeners[index].is_tls() && rate()
    }

    /// When somebody who knocks may be let in: at once, later, or nobody knocks.
    pub(in crate::shell) fn accepts_at(&self, now: Mono) -> Option<Mono> {
        let knocks = |index: &usize| self.knocking[*index];
        let waits = (0..self.listeners.len()).filter(knocks).map(|index| {
            let rate = self.admission.wait(&self.config.limits, now);
            let rate = rate.filter(|_| self.listeners[index].is_tls()).unwrap_or(now);
            rate.max(self.rest_until).max(now)
        });
        waits.min()
    }

    fn welcome(&mut self, now: Now, index: usize, (stream, from): (Stream, Option<SocketAddr>)) {
        let address = from.and_then(|from| counted(from.ip()));
        let layer = match &self.tls {
            Some(tls) if self.listeners[index].is_tls() => {
                if let Err(why) = self.admission.begin(&self.config.limits, now.mono, address) {
                    return self.recorder.turned_away(why);
                }
                match tls.session() {
                    Ok(layer) => Some(layer),
                    Err(error) => return log::warn!("no TLS session: {error}"),
                }
            }
            _ => None,
        };
        let peer = match (&stream, from) {
            (Stream::Unix(unix), _) => peer::over_unix(&self.local_ids, unix),
            (Stream::Tcp(_), Some(from)) => peer::over_tcp(&self.config.local, from),
            (Stream::Tcp(_) | Stream::Serial(_), _) => crate::recorder::Peer::default(),
        };
        self.next_session += 1;
        let id = self.next_session;
        let token = Token(SESSIONS + id as usize);
        let connection = Connection::new(stream, layer, (self.poll.registry(), token));
        let mut connection = match connection {
            Ok(connection) => connection,
            Err(error) => return log::warn!("a connection could not be watched: {error}"),
        };
        connection.address = address;
        self.admission.enter(address);
        if connection.is_tls() {
            self.make_room(now.mono);
            let newcomer = Newcomer { connection, since: now.mono, from: peer.from };
            self.newcomers.insert(id, newcomer);
            return;
        }
        let session = SessionId(id);
        let input = match &self.listeners[index] {
            Listener::Serial(console) => {
                let (place, silent_ms) = (console.path().display().to_string(), console.silent_ms);
                Input::Plugged { session, place, silent_ms }
            }
            Listener::Tcp { .. } | Listener::Unix { .. } => Input::Opened { session, peer },
        };
        self.let_in(now, id, (connection, input));
    }

    /// Of too many handshakes the oldest ends: an honest client is done in milliseconds.
    fn make_room(&mut self, now: Mono) {
        while self.newcomers.len() >= limits::HANDSHAKES_MAX {
            let Some((_, oldest)) = self.newcomers.pop_first() else { return };
            self.turn_away(now, oldest.connection, TurnedAway::Unfinished);
        }
    }

    fn let_in(&mut self, now: Now, id: u32, (mut connection, input): (Connection, Input<'_>)) {
        let (limits, sessions) = (&self.config.limits, self.connections.len());
        let whence = (connection.address, connection.is_unix());
        if let Err(why) = self.admission.admit(limits, sessions, whence) {
            let mut bytes = Vec::new();
            let refusal = protocol::Refusal::from(protocol::Code::TooMany);
            protocol::reply::err(&mut bytes, &refusal).end();
            connection.queue(&bytes);
            return self.turn_away(now.mono, connection, why);
        }
        self.connections.insert(id, connection);
        self.recorder.handle(now, input);
    }

    /// Closes what never became a session; what it is told is sent once, or lost.
    fn turn_away(&mut self, now: Mono, mut connection: Connection, why: TurnedAway) {
        self.recorder.turned_away(why);
        connection.flush(now);
        connection.say_bye();
        connection.flush(now);
        connection.deregister(self.poll.registry());
        self.admission.leave(connection.address);
    }

    /// Carries some handshakes on, the longest waiting first, and ends those that take too long.
    pub(in crate::shell) fn shake_hands(&mut self, now: Now) {
        let mut left = limits::HANDSHAKES_PER_TURN;
        let after = self.last_shaken;
        let ready =
            |(id, newcomer): (&u32, &Newcomer)| newcomer.connection.has_input().then_some(*id);
        let later = self.newcomers.range(after.saturating_add(1)..).filter_map(ready);
        let order: Vec<u32> =
            later.chain(self.newcomers.range(..=after).filter_map(ready)).collect();
        for id in order {
            if left == 0 {
                break;
            }
            left -= 1;
            self.last_shaken = id;
            self.shake(now, id);
        }
        let over = |newcomer: &Newcomer| now.mono.since_ms(newcomer.since) >= limits::HANDSHAKE_MS;
        while self.newcomers.first_key_value().is_some_and(|(_, first)| over(first)) {
            let Some((_, late)) = self.newcomers.pop_first() else { return };
            self.turn_away(now.mono, late.connection, TurnedAway::Unfinished);
        }
    }

    fn shake(&mut self, now: Now, id: u32) {
        let Some(newcomer) = self.newcomers.get_mut(&id) else { return };
        let connection = &mut newcomer.connection;
        let alive = connection.shake() && connection.flush(now.mono);
        if alive && connection.is_handshaking() {
            return;
        }
        let Some(newcomer) = self.newcomers.remove(&id) else { return };
        let Newcomer { connection, from, .. } = newcomer;
        if !alive {
            return self.turn_away(now.mono, connection, TurnedAway::Handshake);
        }
        let (session, certificate) = (SessionId(id), connection.certificate());
        self.let_in(now, id, (connection, Input::Knocked { session, from, certificate }));
    }

    /// What waits to be sent in handshakes.
    pub(in crate::shell) fn flush_newcomers(&mut self, now: Mono) {
        let mut gone = Vec::new();
        for (id, newcomer) in &mut self.newcomers {
            if !newcomer.connection.flushed() && !newcomer.connection.flush(now) {
                gone.push(*id);
            }
        }
        for id in gone {
            if let Some(newcomer) = self.newcomers.remove(&id) {
                self.turn_away(now, newcomer.connection, TurnedAway::Handshake);
            }
        }
    }

    /// Asks for a new certificate when the one that is shown is due.
    pub(in crate::shell) fn renew_certificate(&mut self, now: Now) {
        let Some(tls) = &mut self.tls else { return };
        if tls.take_due(now.wall) {
            let authority = tls.authority().clone();
            self.helper.ask(Request::Renew { authority, now: now.wall });
        }
    }

    pub(in crate::shell) fn certificate_renewed(&mut self, now: Now, made: Result<Shown, String>) {
        let Some(tls) = &mut self.tls else { return };
        let trouble = tls.renewed(now.wall, made).err();
        if trouble.is_none() {
            log::info!("the box shows a new certificate");
        }
        self.recorder.certificate_state(now, trouble);
    }

    /// Has a workstation's request signed.
    pub(in crate::shell) fn sign(
        &mut self,
        session: SessionId,
        request: Vec<u8>,
        (machine, kinds): (String, Vec<Kind>),
    ) {
        let Some(tls) = &self.tls else { return };
        let (authority, now) = (tls.authority().clone(), self.clock.now().wall);
        let sign = Sign { session, authority, now, request, machine, kinds };
        self.helper.ask(Request::Sign(sign));
    }
}
