//! Writes responses (RFC 3261 §8.2.6): what a request repeats, and what we add.

use crate::header::{Via, mark_received, response_peer, split_list};
use crate::message::{Head, Request};
use crate::peer::Peer;
use ezk_sip_types::Name;
use std::fmt::Write;
use zeroize::Zeroizing;

/// Characters of a warning.
const WARNING_CHARACTERS_MAX: usize = 200;

/// The methods that we take.
pub(crate) const ALLOW: &str = "INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, INFO";
/// The extensions that we know (RFC 7866, RFC 4028).
pub(crate) const SUPPORTED: [&str; 2] = ["siprec", "timer"];
/// The bodies that we read.
pub(crate) const ACCEPT: &str = "application/sdp, application/rs-metadata+xml, \
     application/rs-metadata, multipart/mixed";

/// A status code with its phrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Status(pub u16, pub &'static str);

impl Status {
    pub const TRYING: Status = Status(100, "Trying");
    pub const OK: Status = Status(200, "OK");
    pub const BAD_REQUEST: Status = Status(400, "Bad Request");
    pub const FORBIDDEN: Status = Status(403, "Forbidden");
    pub const METHOD_NOT_ALLOWED: Status = Status(405, "Method Not Allowed");
    pub const UNSUPPORTED_MEDIA_TYPE: Status = Status(415, "Unsupported Media Type");
    pub const BAD_EXTENSION: Status = Status(420, "Bad Extension");
    pub const INTERVAL_TOO_SMALL: Status = Status(422, "Session Interval Too Small");
    pub const NO_SUCH_DIALOG: Status = Status(481, "Call/Transaction Does Not Exist");
    pub const LOOP_DETECTED: Status = Status(482, "Loop Detected");
    pub const TERMINATED: Status = Status(487, "Request Terminated");
    pub const NOT_ACCEPTABLE: Status = Status(488, "Not Acceptable Here");
    pub const PENDING: Status = Status(491, "Request Pending");
    pub const SERVER_ERROR: Status = Status(500, "Server Internal Error");
    pub const UNAVAILABLE: Status = Status(503, "Service Unavailable");

    pub fn is_success(self) -> bool {
        (200..300).contains(&self.0)
    }
}

/// A response without what it repeats of the request.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub status: Status,
    headers: String,
    body: Zeroizing<Vec<u8>>,
}

impl Reply {
    pub fn new(status: Status) -> Reply {
        Reply { status, headers: String::new(), body: Zeroizing::new(Vec::new()) }
    }

    /// Adds a header field. The value has no line ends.
    pub fn with(mut self, name: &str, value: &str) -> Reply {
        debug_assert!(!value.contains(['\r', '\n']), "a header value is one line");
        self.headers.push_str(name);
        self.headers.push_str(": ");
        self.headers.push_str(value);
        self.headers.push_str("\r\n");
        self
    }

    /// Adds a session description. Some clients read no other body (jambonz).
    pub fn with_description(mut self, description: &[u8]) -> Reply {
        self = self.with("Content-Type", "application/sdp");
        self.body = Zeroizing::new(description.to_vec());
        self
    }

    /// Adds what a technician reads at the other end (RFC 3261 §20.43).
    pub fn with_warning(self, text: &str) -> Reply {
        let plain =
            |character: &char| matches!(character, ' '..='~') && !"\"\\".contains(*character);
        let text: String = text.chars().filter(plain).take(WARNING_CHARACTERS_MAX).collect();
        self.with("Warning", &format!("399 siprec \"{text}\""))
    }

    /// 503: the client tries another recorder, or this one later.
    pub fn unavailable(retry_after_s: u32) -> Reply {
        Reply::new(Status::UNAVAILABLE).with("Retry-After", &retry_after_s.to_string())
    }
}

/// What a response repeats of its request, and where it goes.
#[derive(Debug, Clone)]
pub(crate) struct RequestEcho {
    lines: String,
    to: String,
    routes: String,
    timestamp: String,
    pub to_tag: String,
    pub peer: Peer,
}

impl RequestEcho {
    pub fn of(request: &Request<'_>) -> Option<RequestEcho> {
        let mut echo = RequestEcho::of_head(&request.head, &request.peer)?;
        echo.to_tag.clone_from(&request.to_tag);
        Some(echo)
    }

    /// The echo of a request that cannot be read further. `None`: it lacks what a response needs.
    pub fn of_head(head: &Head<'_>, peer: &Peer) -> Option<RequestEcho> {
        let mut lines = String::new();
        let mut response_to = None;
        for value in head.values(&Name::VIA) {
            for item in split_list(value) {
                let item = match &response_to {
                    Some(_) => item.to_owned(),
                    None => {
                        let via = Via::parse(item)?;
                        response_to = Some(response_peer(&via, peer));
                        mark_received(item, &via, peer.remote)
                    }
                };
                write_line(&mut lines, "Via", &item);
            }
        }
        write_line(&mut lines, "From", head.value(&Name::FROM)?);
        write_line(&mut lines, "Call-ID", head.value(&Name::CALL_ID)?);
        write_line(&mut lines, "CSeq", head.value(&Name::CSEQ)?);
        let mut routes = String::new();
        for value in head.values(&Name::RECORD_ROUTE) {
            write_line(&mut routes, "Record-Route", value);
        }
        let mut timestamp = String::new();
        if let Some(value) = head.value(&Name::TIMESTAMP) {
            write_line(&mut timestamp, "Timestamp", value);
        }
        Some(RequestEcho {
            lines,
            to: head.value(&Name::TO)?.to_owned(),
            routes,
            timestamp,
            to_tag: String::new(),
            peer: response_to?,
        })
    }

    /// The whole response. `tag` is added to `To`, unless the request has one.
    pub fn write(&self, reply: &Reply, tag: &str, server_name: &str) -> Vec<u8> {
        let Status(code, phrase) = reply.status;
        let mut text = format!("SIP/2.0 {code} {phrase}\r\n{}", self.lines);
        if code == Status::TRYING.0 {
            text.push_str(&self.timestamp);
        }
        if code == Status::TRYING.0 || !self.to_tag.is_empty() {
            write_line(&mut text, "To", &self.to);
        } else {
            write_line(&mut text, "To", &format!("{};tag={tag}", self.to));
        }
        if reply.status.is_success() {
            text.push_str(&self.routes);
        }
        write_line(&mut text, "Server", server_name);
        text.push_str(&reply.headers);
        write_line(&mut text, "Content-Length", &reply.body.len().to_string());
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(&reply.body);
        bytes
    }
}

/// Appends a header field.
pub(crate) fn write_line(text: &mut String, name: &str, value: &str) {
    // Writing to a string does not fail.
    let _ = write!(text, "{name}: {value}\r\n");
}
