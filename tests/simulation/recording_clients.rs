//! Recording clients of memory and the SIPREC server, over a network that loses, delays and doubles
//! datagrams.
//!
//! The seed chooses the dialect of the metadata, the order of parts and streams, and what happens:
//! hold, another agent, digits, a restart of the box, BYE. Whatever the network does, each request
//! gets one final answer, each answer mirrors the streams, the facts of the call are those that the
//! client meant (I1, I2), and no session is left.

use siprec::answer::{Acceptance, StreamAcceptance};
use siprec::call_facts::{CallFacts, Side};
use siprec::codec::Codec;
use siprec::metadata::Metadata;
use siprec::offer::{Offer, SrtpPolicy};
use siprec::{DialogSnapshot, EndReason, Event, Peer, Server, SessionKey, Settings, Transport};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use testkit::rng::Rng;
use testkit::sip::{Dialect, RecordingClient, Reply};

const MS: Duration = Duration::from_millis(1);
/// Retransmissions of a request stop long before the transaction is forgotten (32 s).
const TRIES_MAX: u32 = 9;

/// What the recorder keeps of a session.
#[derive(Default)]
struct Session {
    offer: Option<Offer>,
    metadata: Option<Metadata>,
    snapshot: Option<DialogSnapshot>,
    confirmations: usize,
}

struct Story {
    rng: Rng,
    now: Duration,
    server: Server,
    peer: Peer,
    client: RecordingClient,
    sessions: BTreeMap<SessionKey, Session>,
    /// When a datagram arrives, and whether at the server.
    network: Vec<(Duration, bool, Vec<u8>)>,
    /// Final replies, by number of the request.
    replies: BTreeMap<u32, Reply>,
    digits: usize,
    ends: Vec<EndReason>,
    /// A hash of everything sent, to compare two runs.
    trace: blake3::Hasher,
}

fn server(rng: &mut Rng) -> Server {
    let settings = Settings {
        sessions_max: 4,
        invites_per_second: 100,
        codecs: Codec::ALL.to_vec(),
        srtp: SrtpPolicy::Offered,
        server_name: "hushbox".to_owned(),
        contact_address: None,
    };
    Server::new(settings, std::array::from_fn(|_| rng.byte()))
}

impl Story {
    fn new(seed: u64) -> Story {
        let mut rng = Rng::new(seed);
        let local: SocketAddr = "192.0.2.1:5060".parse().unwrap();
        let remote: SocketAddr = "192.0.2.2:5080".parse().unwrap();
        let peer = Peer { transport: Transport::Udp, remote, local, connection: 0 };
        let users = ["+12025550123", "2001"];
        let client = RecordingClient::new(&mut rng, "UDP", remote, local, users);
        Story {
            server: server(&mut rng),
            rng,
            now: Duration::from_secs(5),
            peer,
            client,
            sessions: BTreeMap::new(),
            network: Vec::new(),
            replies: BTreeMap::new(),
            digits: 0,
            ends: Vec::new(),
            trace: blake3::Hasher::new(),
        }
    }

    /// Puts a datagram on the network: lost, delayed or doubled.
    fn transmit(&mut self, to_server: bool, bytes: &[u8]) {
        self.trace.update(bytes);
        let copies = if self.rng.one_in(6) { 0 } else { 1 + usize::from(self.rng.one_in(10)) };
        for _ in 0..copies {
            let delay = MS * self.rng.below(60_u32);
            self.network.push((self.now + delay, to_server, bytes.to_vec()));
        }
    }

    /// Lets time pass in steps of a millisecond.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += MS;
            let now = self.now;
            let (due, later) = self.network.drain(..).partition(|datagram| datagram.0 <= now);
            self.network = later;
            let due: Vec<(Duration, bool, Vec<u8>)> = due;
            for (_, to_server, bytes) in due {
                if to_server {
                    self.server.handle_message(now, &self.peer, &bytes);
                    self.take_events();
                } else {
                    self.receive(&bytes);
                }
            }
            if self.server.poll_timeout().is_some_and(|due| due <= now) {
                self.server.handle_timeout(now);
                self.take_events();
            }
            while let Some(transmit) = self.server.poll_transmit() {
                self.transmit(false, &transmit.bytes);
            }
        }
    }

    /// A datagram reaches the client. Each 200 of an INVITE is acknowledged, also a doubled one.
    fn receive(&mut self, bytes: &[u8]) {
        let Some(reply) = self.client.receive(bytes).filter(|reply| reply.status >= 200) else {
            return;
        };
        if reply.method == "INVITE" {
            let ack = self.client.ack();
            self.transmit(true, &ack);
        }
        let first = self.replies.entry(reply.sequence).or_insert_with(|| reply.clone());
        assert_eq!(*first, reply, "a repeated reply says the same");
    }

    fn take_events(&mut self) {
        while let Some(event) = self.server.poll_event() {
            match event {
                Event::Offered { session, offer, metadata, .. } => {
                    let kept = self.sessions.entry(session).or_default();
                    assert!(kept.offer.is_none(), "a session is offered once");
                    kept.metadata = metadata.metadata.ok();
                    self.accept(session, offer);
                }
                Event::Changed { session, offer, metadata } => {
                    let kept = self.sessions.get_mut(&session).unwrap();
                    match metadata.and_then(|report| report.metadata.ok()) {
                        Some(update) if kept.metadata.is_none() => kept.metadata = Some(update),
                        Some(update) => kept.metadata.as_mut().unwrap().apply(update),
                        None => {}
                    }
                    if let Some(offer) = offer {
                        self.accept(session, offer);
                    }
                }
                Event::Confirmed { session } => {
                    self.sessions.get_mut(&session).unwrap().confirmations += 1;
                }
                Event::SnapshotChanged { session, snapshot } => {
                    self.sessions.get_mut(&session).unwrap().snapshot = Some(*snapshot);
                }
                Event::Digit { .. } => self.digits += 1,
                Event::Ended { session, reason } => {
                    assert!(self.sessions.remove(&session).is_some(), "a session ends once");
                    self.ends.push(reason);
                }
                Event::IntervalExpired { .. } => panic!("no interval was agreed"),
                Event::Problem { problem, .. } => {
                    assert!(!self.client.dialect.names_people(), "{problem}");
                }
            }
        }
    }

    fn accept(&mut self, session: SessionKey, offer: Offer) {
        let streams = offer.streams.iter().zip([4_000, 4_002]).map(|(stream, port)| {
            let selection = stream.select(&Codec::ALL, SrtpPolicy::Offered).unwrap();
            StreamAcceptance::Accepted { port, selection }
        });
        let acceptance = Acceptance { address: self.peer.local.ip(), streams: streams.collect() };
        self.server.accept(self.now, session, &acceptance).unwrap();
        self.sessions.get_mut(&session).unwrap().offer = Some(offer);
    }

    /// Sends a request until its final reply is there, and lets the network become quiet.
    fn ask(&mut self, request: impl FnOnce(&mut RecordingClient) -> Vec<u8>) -> Reply {
        let before: Vec<u32> = self.replies.keys().copied().collect();
        let message = request(&mut self.client);
        let mut wait = MS * 500;
        for _ in 0..TRIES_MAX {
            self.transmit(true, &message);
            self.pass(wait);
            wait = (wait * 2).min(MS * 4_000);
            let newest = self.replies.iter().find(|(number, _)| !before.contains(number));
            if let Some(reply) = newest.map(|(_, reply)| reply.clone()) {
                self.pass(MS * 1_500);
                return reply;
            }
        }
        panic!("no reply to {}", String::from_utf8_lossy(&message).lines().next().unwrap());
    }

    /// Offers the streams and checks the answer and what the recorder knows now.
    fn offer(&mut self) {
        let reply = self.ask(RecordingClient::invite);
        assert_eq!(reply.status, 200);
        let ports: Vec<u16> = reply.streams.iter().map(|stream| stream.0).collect();
        assert_eq!(ports, [4_000, 4_002]);
        for person in 0..2 {
            let (_, direction, _) = &reply.streams[self.client.line_of(person)];
            let expected = if self.client.sends[person] { "recvonly" } else { "inactive" };
            assert_eq!(direction, expected);
        }
        self.check_facts();
    }

    fn check_facts(&self) {
        let session = self.sessions.values().next().expect("the session is alive");
        let Some(metadata) = &session.metadata else {
            assert!(!self.client.dialect.names_people());
            return;
        };
        let offer = session.offer.as_ref().unwrap();
        let facts = CallFacts::derive(metadata, offer, &|user| user.starts_with("20"));
        // A partial update without earlier metadata names one person only.
        let knows_both = self.client.dialect.names_people();
        for person in 0..2 {
            let stream = &facts.streams[self.client.line_of(person)];
            assert_eq!(stream.on_hold, !self.client.sends[person]);
            let sides = [Side::Theirs, Side::Ours];
            let known = knows_both && self.client.dialect != Dialect::WithoutStreams;
            assert_eq!(stream.side, if known { sides[person] } else { Side::Unknown });
        }
        let ours = facts.our_party.and_then(|party| party.user).expect("one of our users");
        assert_eq!(ours.as_str(), self.client.users[1]);
        if knows_both {
            assert_eq!(facts.ani.expect("a caller").as_str(), self.client.users[0]);
            assert_eq!(facts.group_id.expect("a group").as_str(), self.client.group);
        }
    }

    /// The box starts anew and goes on with the stored dialog.
    fn restart(&mut self) {
        self.server = server(&mut self.rng);
        let old = std::mem::take(&mut self.sessions);
        for session in old.into_values() {
            let snapshot = session.snapshot.clone().expect("a stored dialog");
            let key = self.server.restore(self.now, snapshot);
            self.sessions.insert(key, session);
        }
        self.take_events();
    }

    fn run(mut self) -> [u8; 32] {
        self.offer();
        let mut digits = 0;
        for _ in 0..self.rng.below(8) {
            match self.rng.below(6) {
                0 | 1 => {
                    let person = self.rng.below(2_usize);
                    self.client.sends[person] = !self.client.sends[person];
                    self.offer();
                }
                2 => {
                    let user = *self.rng.pick(&["2001", "2002", "2003"]);
                    let reply = self.ask(|client| client.replace_called(user));
                    assert_eq!(reply.status, 200);
                    self.check_facts();
                }
                3 => {
                    assert_eq!(self.ask(|client| client.digit('7')).status, 200);
                    digits += 1;
                }
                4 => assert_eq!(self.ask(RecordingClient::options).status, 200),
                _ => self.restart(),
            }
        }
        assert_eq!(self.digits, digits, "each digit is told once");
        assert!(self.sessions.values().all(|session| session.confirmations > 0));
        assert_eq!(self.ask(RecordingClient::bye).status, 200);
        self.pass(MS * 40_000);
        assert_eq!(self.ends, [EndReason::Bye]);
        assert!(self.sessions.is_empty() && self.server.poll_timeout().is_none());
        *self.trace.finalize().as_bytes()
    }
}

#[test]
fn i1_i2_random_clients_over_a_bad_network_are_served() {
    for seed in 0..120 {
        let result = std::panic::catch_unwind(|| Story::new(seed).run());
        assert!(result.is_ok(), "seed {seed}");
    }
}

#[test]
fn a_seed_replays_a_recording_client() {
    assert_eq!(Story::new(3).run(), Story::new(3).run());
    assert_ne!(Story::new(3).run(), Story::new(4).run());
}
