//! A recording client (RFC 7866) for tests: it writes requests and reads replies, without I/O.
//!
//! A seed chooses what clients differ in: the dialect of the metadata, the order of the parts and
//! of the streams, and the labels. `link` connects it with a real box, `sipp` runs sipp instead.

pub mod link;
pub mod sipp;

use crate::rng::Rng;
use std::fmt::Write;
use std::net::SocketAddr;

/// The dialect of the metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// RFC 7865.
    Rfc7865,
    /// AudioCodes before the RFC.
    Legacy,
    /// BroadWorks.
    BroadWorks,
    /// RFC 7865 as old clients write it: without streams, so that no side is known.
    WithoutStreams,
    /// Metadata that is not XML.
    Broken,
    /// No metadata at all.
    Absent,
}

impl Dialect {
    pub const ALL: [Dialect; 6] = [
        Dialect::Rfc7865,
        Dialect::Legacy,
        Dialect::BroadWorks,
        Dialect::WithoutStreams,
        Dialect::Broken,
        Dialect::Absent,
    ];

    /// Whether the metadata names the participants.
    pub fn names_people(self) -> bool {
        !matches!(self, Dialect::Broken | Dialect::Absent)
    }
}

/// What the box answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    /// Number and method of the request.
    pub sequence: u32,
    pub method: String,
    /// Port, direction and label of each `m=` line.
    pub streams: Vec<(u16, String, String)>,
}

/// A recording client in one dialog.
#[derive(Clone, Debug)]
pub struct RecordingClient {
    pub dialect: Dialect,
    /// Whether the metadata stands before the session description.
    pub metadata_first: bool,
    /// Labels of the streams in the order of the `m=` lines. The caller has the first label of
    /// `labels_by_person`.
    labels: [String; 2],
    labels_by_person: [String; 2],
    /// Whether each stream, by person, is sent.
    pub sends: [bool; 2],
    /// Users of the caller and of the called party.
    pub users: [String; 2],
    pub group: String,
    transport: &'static str,
    local: SocketAddr,
    target: String,
    call_id: String,
    to_tag: String,
    sequence: u32,
    /// Number of the request that the next ACK or CANCEL belongs to.
    invite: u32,
    media_ports: [u16; 2],
}

impl RecordingClient {
    /// A client whose ways the seed chooses. `transport` is `UDP`, `TCP` or `TLS`.
    pub fn new(
        rng: &mut Rng,
        transport: &'static str,
        local: SocketAddr,
        server: SocketAddr,
        users: [&str; 2],
    ) -> RecordingClient {
        let number = rng.next_u64();
        let labels = [["0", "1"], ["1", "2"], ["16777227", "16777228"], ["a", "b"]];
        let labels_by_person = rng.pick(&labels).map(str::to_owned);
        let mut labels = labels_by_person.clone();
        if rng.one_in(2) {
            labels.reverse();
        }
        RecordingClient {
            dialect: *rng.pick(&Dialect::ALL),
            metadata_first: rng.one_in(2),
            labels,
            labels_by_person,
            sends: [true; 2],
            users: users.map(str::to_owned),
            group: format!("group-{number:x}"),
            transport,
            local,
            target: format!("sip:record@{server}"),
            call_id: format!("{number:x}@{}", local.ip()),
            to_tag: String::new(),
            sequence: 0,
            invite: 0,
            media_ports: [40_000, 40_002],
        }
    }

    /// The same client with RFC 7865 in the usual order.
    pub fn plain(mut self) -> RecordingClient {
        self.dialect = Dialect::Rfc7865;
        self.metadata_first = false;
        self.labels = self.labels_by_person.clone();
        self
    }

    /// Where the client receives RTCP, and sends RTP from.
    pub fn set_media_ports(&mut self, ports: [u16; 2]) {
        self.media_ports = ports;
    }

    /// The index of the `m=` line of a person's stream: 0 the caller, 1 the called party.
    pub fn line_of(&self, person: usize) -> usize {
        usize::from(self.labels[0] != self.labels_by_person[person])
    }

    /// The first INVITE, or one that offers the streams anew.
    pub fn invite(&mut self) -> Vec<u8> {
        self.sequence += 1;
        self.invite = self.sequence;
        let (content_type, body) = self.body();
        self.request("INVITE", self.sequence, Some(&content_type), &body)
    }

    pub fn ack(&self) -> Vec<u8> {
        self.request("ACK", self.invite, None, "")
    }

    pub fn cancel(&self) -> Vec<u8> {
        self.request("CANCEL", self.invite, None, "")
    }

    pub fn bye(&mut self) -> Vec<u8> {
        self.sequence += 1;
        self.request("BYE", self.sequence, None, "")
    }

    pub fn options(&mut self) -> Vec<u8> {
        self.sequence += 1;
        self.request("OPTIONS", self.sequence, None, "")
    }

    /// An INFO with a digit, as an exchange sends it that has no telephone events.
    pub fn digit(&mut self, digit: char) -> Vec<u8> {
        self.sequence += 1;
        let body = format!("Signal={digit}\r\nDuration=160\r\n");
        self.request("INFO", self.sequence, Some("application/dtmf-relay"), &body)
    }

    /// An UPDATE with partial metadata: the called party is another user now.
    pub fn replace_called(&mut self, user: &str) -> Vec<u8> {
        self.sequence += 1;
        user.clone_into(&mut self.users[1]);
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n\
             <recording xmlns=\"urn:ietf:params:xml:ns:recording:1\">\
             <datamode>partial</datamode><participant participant_id=\"called\">\
             <nameID aor=\"sip:{user}@example.com\"/></participant></recording>\r\n"
        );
        self.request("UPDATE", self.sequence, Some("application/rs-metadata+xml"), &body)
    }

    /// Reads a message of the box: a reply, or `None` for a request.
    pub fn receive(&mut self, bytes: &[u8]) -> Option<Reply> {
        let text = std::str::from_utf8(bytes).unwrap();
        let status = text.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().unwrap();
        let header = |name: &str| {
            let mut lines = text.lines().take_while(|line| !line.is_empty());
            lines.find_map(|line| line.strip_prefix(name)).map(str::trim)
        };
        let (sequence, method) = header("CSeq:").unwrap().split_once(' ').unwrap();
        if let Some((_, tag)) = header("To:").unwrap().split_once(";tag=")
            && method == "INVITE"
            && status >= 200
        {
            tag.clone_into(&mut self.to_tag);
        }
        if let Some(contact) = header("Contact:").filter(|_| (200..300).contains(&status)) {
            let inside = contact.split(['<', '>']).nth(1).unwrap_or(contact);
            inside.clone_into(&mut self.target);
        }
        let streams = streams_of(text);
        Some(Reply { status, sequence: sequence.parse().unwrap(), method: method.into(), streams })
    }

    fn request(
        &self,
        method: &str,
        sequence: u32,
        content_type: Option<&str>,
        body: &str,
    ) -> Vec<u8> {
        let RecordingClient { transport, local, call_id, target, .. } = self;
        let to_tag = match (method, self.to_tag.as_str()) {
            ("CANCEL", _) | (_, "") => String::new(),
            (_, tag) => format!(";tag={tag}"),
        };
        // An ACK of a 200 and a CANCEL: the one has a branch of its own, the other its INVITE's.
        let branch = if method == "CANCEL" { "INVITE" } else { method };
        let parameter = transport.to_ascii_lowercase();
        let mut text = format!(
            "{method} {target} SIP/2.0\r\n\
             Via: SIP/2.0/{transport} {local};branch=z9hG4bK-{call_id}-{sequence}-{branch}\r\n\
             From: <sip:src@{local}>;tag=src-{call_id}\r\n\
             To: <sip:record@example.com>{to_tag}\r\n\
             Call-ID: {call_id}\r\n\
             CSeq: {sequence} {method}\r\n\
             Contact: <sip:src@{local};transport={parameter}>;+sip.src\r\n\
             Max-Forwards: 70\r\n"
        );
        if method == "INVITE" {
            text += "Require: siprec\r\nSupported: timer\r\n";
        }
        if let Some(content_type) = content_type {
            write!(text, "Content-Type: {content_type}\r\n").unwrap();
        }
        write!(text, "Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        text.into_bytes()
    }

    /// The body of an INVITE and its type.
    fn body(&self) -> (String, String) {
        let sdp = ("application/sdp", self.session_description());
        let kind = "application/rs-metadata+xml";
        let mut parts = match self.metadata() {
            Some(metadata) => vec![sdp, (kind, metadata)],
            None => return (sdp.0.to_owned(), sdp.1),
        };
        if self.metadata_first {
            parts.reverse();
        }
        let mut text = String::new();
        for (kind, part) in parts {
            write!(text, "--part\r\nContent-Type: {kind}\r\n\r\n{part}\r\n").unwrap();
        }
        text += "--part--\r\n";
        ("multipart/mixed;boundary=part".to_owned(), text)
    }

    fn session_description(&self) -> String {
        let (address, version) = (self.local.ip(), self.sequence);
        let family = if address.is_ipv4() { "IP4" } else { "IP6" };
        let mut text = format!(
            "v=0\r\no=src 1 {version} IN {family} {address}\r\ns=-\r\n\
             c=IN {family} {address}\r\nt=0 0\r\n"
        );
        for (label, port) in self.labels.iter().zip(self.media_ports) {
            let person = usize::from(*label != self.labels_by_person[0]);
            let direction = if self.sends[person] { "sendonly" } else { "inactive" };
            write!(
                text,
                "m=audio {port} RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\n\
                 a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\n\
                 a={direction}\r\na=label:{label}\r\n"
            )
            .unwrap();
        }
        text
    }

    fn metadata(&self) -> Option<String> {
        let head = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n";
        let text = match self.dialect {
            Dialect::Absent => return None,
            Dialect::Broken => "<recording><datamode>complete</recording>".to_owned(),
            Dialect::Rfc7865 => self.rfc_metadata(true),
            Dialect::WithoutStreams => self.rfc_metadata(false),
            Dialect::Legacy => self.draft_metadata(
                ["<recording xmlns='urn:ietf:params:xml:ns:recording'>", "</recording>"],
                |user| format!("<nameID aor='{user}@example.com'/>"),
            ),
            Dialect::BroadWorks => self.draft_metadata(
                [
                    "<recording_metadata xmlns='urn:ietf:params:xml:ns:siprec'>",
                    "</recording_metadata>",
                ],
                |user| format!("<aor>sip:{user}@example.com</aor>"),
            ),
        };
        Some(format!("{head}{text}"))
    }

    fn rfc_metadata(&self, with_streams: bool) -> String {
        let (call, group) = (&self.call_id, &self.group);
        let mut text = format!(
            "<recording xmlns='urn:ietf:params:xml:ns:recording:1'><datamode>complete</datamode>\
             <group group_id='{group}'/><session session_id='{call}'>\
             <sipSessionID>{call}</sipSessionID><group-ref>{group}</group-ref></session>"
        );
        let people = ["caller", "called"];
        for (person, user) in people.iter().zip(&self.users) {
            write!(
                text,
                "<participant participant_id='{person}'><nameID aor='sip:{user}@example.com'>\
                 <name>{person}</name></nameID></participant>\
                 <participantsessionassoc participant_id='{person}' session_id='{call}'>\
                 <associate-time>2026-11-30T06:00:00+0000</associate-time>\
                 </participantsessionassoc>"
            )
            .unwrap();
        }
        for (person, label) in people.iter().zip(&self.labels_by_person) {
            if with_streams {
                write!(
                    text,
                    "<stream stream_id='s-{person}' session_id='{call}'><label>{label}</label>\
                     </stream><participantstreamassoc participant_id='{person}'>\
                     <send>s-{person}</send></participantstreamassoc>"
                )
                .unwrap();
            }
        }
        text + "</recording>"
    }

    /// The dialects before the RFC; `name` writes the address of a user.
    fn draft_metadata(&self, [open, close]: [&str; 2], name: impl Fn(&str) -> String) -> String {
        let (call, group) = (&self.call_id, &self.group);
        let mut text = format!(
            "{open}<dataMode>complete</dataMode><group id='{group}'/>\
             <session id='{call}' group='{group}'/>"
        );
        let people = ["caller", "called"];
        for ((person, user), label) in people.iter().zip(&self.users).zip(&self.labels_by_person) {
            let name = name(user);
            write!(
                text,
                "<participant id='{person}' session='{call}'>{name}<send>s-{person}</send>\
                 </participant><stream id='s-{person}' session='{call}'><label>{label}</label>\
                 <mode>separate</mode></stream>"
            )
            .unwrap();
        }
        text + close
    }
}

/// Port, direction and label of each `m=` line of a message.
fn streams_of(text: &str) -> Vec<(u16, String, String)> {
    let mut streams: Vec<(u16, String, String)> = Vec::new();
    for line in text.lines() {
        if let Some(media) = line.strip_prefix("m=") {
            let port = media.split(' ').nth(1).unwrap().parse().unwrap();
            streams.push((port, String::new(), String::new()));
        }
        let Some(stream) = streams.last_mut() else { continue };
        match line.strip_prefix("a=") {
            Some("recvonly" | "inactive") => line[2..].clone_into(&mut stream.1),
            Some(attribute) if attribute.starts_with("label:") => {
                attribute["label:".len()..].clone_into(&mut stream.2);
            }
            _ => {}
        }
    }
    streams
}
