//! Fuzz entry point of SIP: a stream of messages to a recording server.

use siprec::answer::{Acceptance, StreamAcceptance};
use siprec::codec::Codec;
use siprec::offer::{Offer, SrtpPolicy};
use siprec::{Event, Peer, Server, Settings, StreamFramer, Transport};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// Sessions of the server.
const SESSIONS_MAX: usize = 3;
/// What a corpus file writes where a client writes the server's tag.
const OUR_TAG: &[u8] = b";tag=ours";
/// Bytes that come at once.
const PIECE_BYTES: usize = 1_000;

/// A TCP stream of messages, and the same bytes as one datagram. Every offer is accepted, time
/// passes, and in the end no transaction is left.
pub fn sip_stream(data: &[u8]) {
    let mut host = Host::new();
    let mut framer = StreamFramer::new();
    'stream: for piece in data.chunks(PIECE_BYTES) {
        framer.push(piece).expect("all messages were taken");
        loop {
            match framer.next_message() {
                Ok(Some(message)) => host.deliver(Transport::Tcp, message),
                Ok(None) => break,
                Err(_) => break 'stream,
            }
        }
    }
    host.deliver(Transport::Udp, data);
    host.server.handle_closed(1);
    host.pass(Duration::from_secs(100));
    assert_eq!(host.server.statistics().transactions, 0);
}

/// A recorder that takes everything it can.
struct Host {
    server: Server,
    now: Duration,
    tag: Vec<u8>,
}

impl Host {
    fn new() -> Host {
        let settings = Settings {
            sessions_max: SESSIONS_MAX,
            invites_per_second: 5,
            codecs: Codec::ALL.to_vec(),
            srtp: SrtpPolicy::Offered,
            server_name: "fuzz".to_owned(),
            contact_address: None,
        };
        Host { server: Server::new(settings, [1; 32]), now: Duration::ZERO, tag: Vec::new() }
    }

    fn deliver(&mut self, transport: Transport, message: &[u8]) {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 5_060));
        let connection = u64::from(transport.is_reliable());
        let peer = Peer { transport, remote: address, local: address, connection };
        let place = message.windows(OUR_TAG.len()).position(|window| window == OUR_TAG);
        match place.filter(|_| !self.tag.is_empty()) {
            None => self.server.handle_message(self.now, &peer, message),
            Some(at) => {
                let rest = &message[at + OUR_TAG.len()..];
                let message = [&message[..at], b";tag=", &self.tag, rest].concat();
                self.server.handle_message(self.now, &peer, &message);
            }
        }
        self.drain();
        self.pass(Duration::from_millis(200));
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.server.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.server.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }

    fn drain(&mut self) {
        while let Some(event) = self.server.poll_event() {
            if let Event::Offered { session, offer, .. }
            | Event::Changed { session, offer: Some(offer), .. } = event
            {
                let acceptance = accept_all(&offer);
                self.server.accept(self.now, session, &acceptance).expect("it waits");
            }
        }
        while let Some(transmit) = self.server.poll_transmit() {
            let text = String::from_utf8_lossy(&transmit.bytes);
            let to = text.split("\r\n").find(|line| line.starts_with("To: "));
            if let Some((_, tag)) = to.and_then(|to| to.split_once(";tag=")) {
                self.tag = tag.as_bytes().to_vec();
            }
        }
        let statistics = self.server.statistics();
        assert!(statistics.sessions <= SESSIONS_MAX);
        assert!(statistics.transactions <= 4 * SESSIONS_MAX);
    }
}

/// Takes every stream that a recorder can take.
pub(super) fn accept_all(offer: &Offer) -> Acceptance {
    let streams =
        offer.streams.iter().map(|stream| match stream.select(&Codec::ALL, SrtpPolicy::Offered) {
            Ok(selection) => StreamAcceptance::Accepted { port: 4_000, selection },
            Err(_) => StreamAcceptance::Refused,
        });
    let streams = streams.collect();
    Acceptance { address: Ipv4Addr::LOCALHOST.into(), streams }
}
