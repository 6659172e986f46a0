//! A client of memory: it writes requests, takes the answers apart and moves the clock.

use siprec::answer::{Acceptance, StreamAcceptance};
use siprec::codec::Codec;
use siprec::offer::{Offer, SrtpPolicy};
use siprec::{Event, Peer, Server, SessionKey, Settings, Transport};
use std::time::Duration;

pub const SERVER_ADDRESS: &str = "192.0.2.1:5060";
pub const CLIENT_ADDRESS: &str = "192.0.2.7:5080";

/// A body with one stream.
pub const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\n\
     t=0 0\r\nm=audio 30000 RTP/AVP 8\r\na=sendonly\r\na=label:1\r\n";

pub fn settings() -> Settings {
    Settings {
        sessions_max: 4,
        invites_per_second: 100,
        codecs: Codec::ALL.to_vec(),
        srtp: SrtpPolicy::Offered,
        server_name: "hushbox/0.1".to_owned(),
        contact_address: None,
    }
}

pub fn peer(transport: Transport) -> Peer {
    Peer {
        transport,
        remote: CLIENT_ADDRESS.parse().unwrap(),
        local: SERVER_ADDRESS.parse().unwrap(),
        connection: u64::from(transport.is_reliable()) * 7,
    }
}

pub fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// A stored message of `tests/messages`.
pub fn stored(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/messages");
    std::fs::read(format!("{folder}/{name}.sip")).unwrap()
}

/// Replaces text in the head of a message.
pub fn replace(message: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(message.to_vec()).unwrap();
    assert!(text.contains(from), "`{from}` is not in the message");
    text.replace(from, to).into_bytes()
}

/// One message of the server, taken apart.
#[derive(Debug, Clone)]
pub struct Sent {
    pub at: Duration,
    pub peer: Peer,
    pub text: String,
}

impl Sent {
    pub fn start(&self) -> &str {
        self.text.lines().next().unwrap()
    }

    /// 0 for a request.
    pub fn status(&self) -> u16 {
        let word = self.start().strip_prefix("SIP/2.0 ").unwrap_or("0");
        word.split(' ').next().unwrap().parse().unwrap()
    }

    pub fn headers(&self, name: &str) -> Vec<&str> {
        let head = self.text.split("\r\n\r\n").next().unwrap();
        head.split("\r\n")
            .skip(1)
            .filter_map(|line| line.split_once(": "))
            .filter(|(key, _)| *key == name)
            .map(|(_, value)| value)
            .collect()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers(name).first().copied().unwrap_or_else(|| panic!("no {name}: {}", self.text))
    }

    pub fn body(&self) -> &str {
        self.text.split_once("\r\n\r\n").unwrap().1
    }

    pub fn to_tag(&self) -> String {
        self.header("To").split_once(";tag=").unwrap().1.to_owned()
    }
}

/// A request of the client.
#[derive(Debug, Clone)]
pub struct Ask<'a> {
    pub method: &'a str,
    pub branch: &'a str,
    pub call_id: &'a str,
    pub cseq: u32,
    pub to_tag: &'a str,
    pub headers: &'a [(&'a str, &'a str)],
    pub body: &'a str,
    pub transport: &'a str,
}

impl<'a> Ask<'a> {
    pub fn invite(branch: &'a str) -> Ask<'a> {
        Ask {
            method: "INVITE",
            branch,
            call_id: "call-1@192.0.2.7",
            cseq: 1,
            to_tag: "",
            headers: &[("Contact", "<sip:src@192.0.2.7:5080>;+sip.src"), SDP],
            body: OFFER,
            transport: "UDP",
        }
    }

    pub fn plain(method: &'a str, branch: &'a str, cseq: u32, to_tag: &'a str) -> Ask<'a> {
        Ask { method, cseq, to_tag, headers: &[], body: "", ..Ask::invite(branch) }
    }

    pub fn write(&self) -> Vec<u8> {
        let Ask { method, branch, call_id, cseq, .. } = self;
        let mut text = format!(
            "{method} sip:srs@{SERVER_ADDRESS} SIP/2.0\r\n\
             Via: SIP/2.0/{} {CLIENT_ADDRESS};branch=z9hG4bK{branch}\r\n\
             From: <sip:src@192.0.2.7>;tag=client\r\n",
            self.transport
        );
        let tag = if self.to_tag.is_empty() { "" } else { ";tag=" };
        text.push_str(&format!("To: <sip:srs@192.0.2.1>{tag}{}\r\n", self.to_tag));
        text.push_str(&format!("Call-ID: {call_id}\r\nCSeq: {cseq} {method}\r\n"));
        text.push_str("Max-Forwards: 70\r\n");
        for (name, value) in self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str(&format!("Content-Length: {}\r\n\r\n{}", self.body.len(), self.body));
        text.into_bytes()
    }
}

pub const SDP: (&str, &str) = ("Content-Type", "application/sdp");

/// A server, a clock and a client.
pub struct Bench {
    pub server: Server,
    pub now: Duration,
    pub peer: Peer,
    /// Whether offers are accepted at once.
    pub accepts: bool,
}

impl Bench {
    pub fn new(transport: Transport) -> Bench {
        Bench::with(settings(), transport)
    }

    pub fn with(settings: Settings, transport: Transport) -> Bench {
        Bench {
            server: Server::new(settings, [3; 32]),
            now: millis(1_000),
            peer: peer(transport),
            accepts: true,
        }
    }

    /// Gives the server a message. Offers are accepted if `accepts`.
    pub fn deliver(&mut self, message: &[u8]) -> (Vec<Sent>, Vec<Event>) {
        self.server.handle_message(self.now, &self.peer, message);
        self.drain()
    }

    pub fn ask(&mut self, ask: &Ask<'_>) -> (Vec<Sent>, Vec<Event>) {
        self.deliver(&ask.write())
    }

    /// Only the final response.
    pub fn status(&mut self, ask: &Ask<'_>) -> u16 {
        let (sent, _) = self.ask(ask);
        sent.last().map_or(0, Sent::status)
    }

    /// Moves the clock from deadline to deadline until `millis` have passed.
    pub fn pass(&mut self, count: u64) -> (Vec<Sent>, Vec<Event>) {
        let end = self.now + millis(count);
        let (mut sent, mut events) = (Vec::new(), Vec::new());
        while let Some(at) = self.server.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.server.handle_timeout(self.now);
            let more = self.drain();
            sent.extend(more.0);
            events.extend(more.1);
        }
        self.now = end;
        (sent, events)
    }

    pub fn drain(&mut self) -> (Vec<Sent>, Vec<Event>) {
        let mut events = Vec::new();
        while let Some(event) = self.server.poll_event() {
            let offered = match &event {
                Event::Offered { session, offer, .. } => Some((*session, offer.clone())),
                Event::Changed { session, offer, .. } => offer.clone().map(|o| (*session, o)),
                _ => None,
            };
            events.push(event);
            if let Some((session, offer)) = offered.filter(|_| self.accepts) {
                let acceptance = acceptance(&offer);
                self.server.accept(self.now, session, &acceptance).unwrap();
            }
        }
        let mut sent = Vec::new();
        while let Some(transmit) = self.server.poll_transmit() {
            let text = String::from_utf8(transmit.bytes).unwrap();
            sent.push(Sent { at: self.now, peer: transmit.peer, text });
        }
        (sent, events)
    }

    /// A confirmed session, and its tag of ours.
    pub fn establish(&mut self) -> (SessionKey, String) {
        let invite = self.invite("first");
        let (sent, events) = self.ask(&invite);
        let Event::Offered { session, .. } = events[0] else { panic!("{events:?}") };
        let tag = sent.last().unwrap().to_tag();
        let ack = self.plain("ACK", "first-ack", 1, &tag);
        let (sent, events) = self.ask(&ack);
        assert!(sent.is_empty() && events == [Event::Confirmed { session }], "{events:?}");
        (session, tag)
    }

    pub fn invite<'a>(&self, branch: &'a str) -> Ask<'a> {
        Ask { transport: self.transport(), ..Ask::invite(branch) }
    }

    pub fn plain<'a>(
        &self,
        method: &'a str,
        branch: &'a str,
        cseq: u32,
        to_tag: &'a str,
    ) -> Ask<'a> {
        Ask { transport: self.transport(), ..Ask::plain(method, branch, cseq, to_tag) }
    }

    fn transport(&self) -> &'static str {
        match self.peer.transport {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
            Transport::Tls => "TLS",
        }
    }
}

/// Takes what can be recorded, on neighbouring ports.
pub fn acceptance(offer: &Offer) -> Acceptance {
    let settings = settings();
    let mut port = 36_000;
    let streams = offer.streams.iter().map(|stream| {
        port += 2;
        match stream.select(&settings.codecs, settings.srtp) {
            Ok(selection) => StreamAcceptance::Accepted { port: port - 2, selection },
            Err(_) => StreamAcceptance::Refused,
        }
    });
    let streams = streams.collect();
    Acceptance { address: "192.0.2.1".parse().unwrap(), streams }
}

/// When the messages were sent, in milliseconds after `from`.
pub fn times(sent: &[Sent], from: Duration) -> Vec<u128> {
    sent.iter().map(|sent| (sent.at - from).as_millis()).collect()
}
