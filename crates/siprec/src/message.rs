//! Reads SIP messages (RFC 3261 §7): start line, header fields, body.
//!
//! The reader is lenient where vendors differ (line ends, compact names, unknown schemes, hosts
//! with underscores, bytes that are not UTF-8) and strict where a mistake would mix up calls:
//! Call-ID, CSeq, tags, branch and length. A message borrows from the bytes it was read from.
//!
//! This module does not look into bodies, and its `Debug` output shows none.

use crate::header::{Via, parameter, parse_address, split_list};
use crate::limits::{HEAD_BYTES_MAX, HEADERS_MAX, IDENTIFIER_BYTES_MAX, MESSAGE_BYTES_MAX};
use crate::peer::Peer;
use ezk_sip_types::Name;
use std::borrow::Cow;
use std::fmt;

/// Why a message cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    #[error("a message of {0} bytes is too long: {MESSAGE_BYTES_MAX} are allowed")]
    TooLong(usize),
    #[error("the head of the message has no empty line at its end: the message was cut")]
    NoHeadEnd,
    #[error("the head of the message has {0} bytes: {HEAD_BYTES_MAX} are allowed")]
    HeadTooLong(usize),
    #[error("the first line is neither a SIP request nor a SIP response")]
    StartLine,
    #[error("the message is not of SIP version 2.0")]
    Version,
    #[error("the message has more than {HEADERS_MAX} header fields")]
    TooManyHeaders,
    #[error("line {0} of the message is not a header field, `Name: value`")]
    HeaderField(usize),
    #[error("the header field {0} is missing")]
    Missing(&'static str),
    #[error("the header field {0} cannot be read")]
    Malformed(&'static str),
    #[error("the header field {0} stands there twice with different values")]
    Contradiction(&'static str),
    #[error(
        "Content-Length says {stated} bytes, the message carries {present}: large messages need \
         TCP or TLS"
    )]
    BodyCut { stated: usize, present: usize },
}

/// The methods that have counters of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    Invite,
    Ack,
    Bye,
    Cancel,
    Options,
    Update,
    Info,
    Other,
}

impl Method {
    pub const ALL: [Method; 8] = [
        Method::Invite,
        Method::Ack,
        Method::Bye,
        Method::Cancel,
        Method::Options,
        Method::Update,
        Method::Info,
        Method::Other,
    ];

    /// As RFC 3261 writes it; `OTHER` for the rest.
    pub fn name(self) -> &'static str {
        match self {
            Method::Invite => "INVITE",
            Method::Ack => "ACK",
            Method::Bye => "BYE",
            Method::Cancel => "CANCEL",
            Method::Options => "OPTIONS",
            Method::Update => "UPDATE",
            Method::Info => "INFO",
            Method::Other => "OTHER",
        }
    }

    /// Methods are compared with their case (RFC 3261 §7.1).
    fn from_name(name: &str) -> Method {
        let known = Method::ALL[..7].iter().find(|method| method.name() == name);
        known.copied().unwrap_or(Method::Other)
    }
}

/// The first line of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StartLine<'a> {
    Request { method: &'a str, uri: &'a str },
    Response { status: u16 },
}

/// The first line and the header fields, in their order.
pub(crate) struct Head<'a> {
    pub start: StartLine<'a>,
    fields: Vec<(Name, Cow<'a, str>)>,
    /// Where the body begins.
    pub bytes: usize,
}

impl<'a> Head<'a> {
    /// Reads the head. Nothing of the body is looked at.
    pub fn parse(message: &'a [u8]) -> Result<Head<'a>, MessageError> {
        if message.len() > MESSAGE_BYTES_MAX {
            return Err(MessageError::TooLong(message.len()));
        }
        let bytes = find_head_end(message, 0).ok_or(MessageError::NoHeadEnd)?;
        if bytes > HEAD_BYTES_MAX {
            return Err(MessageError::HeadTooLong(bytes));
        }
        let mut lines = message[..bytes].split(|byte| *byte == b'\n').map(strip_return);
        let start = std::str::from_utf8(lines.next().unwrap_or_default())
            .map_err(|_| MessageError::StartLine)?;
        if has_line_control(start.as_bytes()) {
            return Err(MessageError::StartLine);
        }
        let start = parse_start_line(start)?;
        let mut fields: Vec<(Name, Cow<'a, str>)> = Vec::new();
        for (number, line) in lines.enumerate() {
            if line.is_empty() {
                break;
            }
            // What is copied into a response must stay one line.
            if has_line_control(line) {
                return Err(MessageError::HeaderField(number + 2));
            }
            let text = String::from_utf8_lossy(line);
            if line.starts_with(b" ") || line.starts_with(b"\t") {
                let last = fields.last_mut().ok_or(MessageError::HeaderField(number + 2))?;
                let joined = last.1.to_mut();
                joined.push(' ');
                joined.push_str(text.trim());
                continue;
            }
            if fields.len() == HEADERS_MAX {
                return Err(MessageError::TooManyHeaders);
            }
            fields.push(parse_field(text).ok_or(MessageError::HeaderField(number + 2))?);
        }
        Ok(Head { start, fields, bytes })
    }

    /// All values of a header field, one for each line.
    pub fn values<'s>(&'s self, name: &'s Name) -> impl Iterator<Item = &'s str> + 's {
        self.fields.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_ref())
    }

    /// The first value of a header field.
    pub fn value(&self, name: &Name) -> Option<&str> {
        self.fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_ref())
    }

    /// Whether the list in a header field (`Supported`, `Require`) has the item.
    pub fn lists(&self, name: &Name, item: &str) -> bool {
        self.values(name).flat_map(split_list).any(|listed| listed.eq_ignore_ascii_case(item))
    }

    /// The value of a field that a message must have once.
    fn required(&self, name: &Name, label: &'static str) -> Result<&str, MessageError> {
        let first = self.value(name).ok_or(MessageError::Missing(label))?;
        if self.values(name).any(|value| value != first) {
            return Err(MessageError::Contradiction(label));
        }
        Ok(first)
    }
}

/// A request with all that the server needs of it.
pub(crate) struct Request<'a> {
    /// Where it came from.
    pub peer: Peer,
    pub head: Head<'a>,
    pub method: Method,
    pub uri: &'a str,
    pub body: &'a [u8],
    pub via: Via,
    pub call_id: String,
    pub cseq: u32,
    pub from_tag: String,
    /// Empty outside of a dialog.
    pub to_tag: String,
}

/// Bodies may carry names, keys and digits.
impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("cseq", &self.cseq)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl<'a> Request<'a> {
    /// Reads the rest of a request. `Err` gives the head back, so that it can be refused.
    pub fn from_head(
        peer: &Peer,
        head: Head<'a>,
        message: &'a [u8],
    ) -> Result<Request<'a>, (Head<'a>, MessageError)> {
        match RequestFields::read(&head, message) {
            Err(error) => Err((head, error)),
            Ok(fields) => Ok(Request {
                peer: *peer,
                head,
                method: fields.method,
                uri: fields.uri,
                body: fields.body,
                via: fields.via,
                call_id: fields.call_id,
                cseq: fields.cseq,
                from_tag: fields.from_tag,
                to_tag: fields.to_tag,
            }),
        }
    }

    /// The type of the body in lower case, without its parameters.
    pub fn content_type(&self) -> Option<String> {
        let value = self.head.value(&Name::CONTENT_TYPE)?;
        Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
    }
}

struct RequestFields<'a> {
    method: Method,
    uri: &'a str,
    body: &'a [u8],
    via: Via,
    call_id: String,
    cseq: u32,
    from_tag: String,
    to_tag: String,
}

impl<'a> RequestFields<'a> {
    fn read(head: &Head<'a>, message: &'a [u8]) -> Result<RequestFields<'a>, MessageError> {
        let StartLine::Request { method, uri } = head.start else {
            return Err(MessageError::StartLine);
        };
        let (cseq, cseq_method) = parse_cseq(head)?;
        if cseq_method != method {
            return Err(MessageError::Malformed("CSeq"));
        }
        let from_tag = read_tag(head, &Name::FROM, "From")?;
        let to_tag = read_tag(head, &Name::TO, "To")?;
        let call_id = head.required(&Name::CALL_ID, "Call-ID")?;
        if call_id.is_empty() || call_id.len() > IDENTIFIER_BYTES_MAX {
            return Err(MessageError::Malformed("Call-ID"));
        }
        Ok(RequestFields {
            method: Method::from_name(method),
            uri,
            body: read_body(head, message)?,
            via: read_via(head)?,
            call_id: call_id.to_owned(),
            cseq,
            from_tag,
            to_tag,
        })
    }
}

/// A response to a request of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Response {
    pub status: u16,
    pub branch: String,
    pub cseq_method: String,
}

impl Response {
    pub fn from_head(head: &Head<'_>) -> Result<Response, MessageError> {
        let StartLine::Response { status } = head.start else {
            return Err(MessageError::StartLine);
        };
        let (_, method) = parse_cseq(head)?;
        Ok(Response { status, branch: read_via(head)?.branch, cseq_method: method.to_owned() })
    }
}

/// Where the head of a message ends, behind its empty line. The search begins at `from`.
pub(crate) fn find_head_end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += bytes.get(at..)?.iter().position(|byte| *byte == b'\n')? + 1;
        match bytes.get(at..) {
            Some([b'\n', ..]) => return Some(at + 1),
            Some([b'\r', b'\n', ..]) => return Some(at + 2),
            _ => {}
        }
    }
}

/// Whether a line has a carriage return of its own, or a zero byte (RFC 3261 §25.1 allows neither).
fn has_line_control(line: &[u8]) -> bool {
    line.iter().any(|byte| matches!(byte, b'\r' | 0))
}

/// What `Content-Length` says. `None`: it is not there.
pub(crate) fn content_length(head: &[u8]) -> Result<Option<usize>, MessageError> {
    let mut found = None;
    for line in head.split(|byte| *byte == b'\n').skip(1).map(strip_return) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = line[..colon].trim_ascii();
        if !name.eq_ignore_ascii_case(b"content-length") && !name.eq_ignore_ascii_case(b"l") {
            continue;
        }
        let value = line[colon + 1..].trim_ascii();
        let digits = std::str::from_utf8(value)
            .ok()
            .filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
        let length = digits
            .and_then(|text| text.parse::<usize>().ok())
            .ok_or(MessageError::Malformed("Content-Length"))?;
        if found.is_some_and(|earlier| earlier != length) {
            return Err(MessageError::Contradiction("Content-Length"));
        }
        found = Some(length);
    }
    Ok(found)
}

fn read_body<'a>(head: &Head<'_>, message: &'a [u8]) -> Result<&'a [u8], MessageError> {
    let rest = &message[head.bytes..];
    match content_length(&message[..head.bytes])? {
        None => Ok(rest),
        Some(stated) => {
            rest.get(..stated).ok_or(MessageError::BodyCut { stated, present: rest.len() })
        }
    }
}

fn read_via(head: &Head<'_>) -> Result<Via, MessageError> {
    let value = head.value(&Name::VIA).ok_or(MessageError::Missing("Via"))?;
    let top = split_list(value).next().ok_or(MessageError::Malformed("Via"))?;
    Via::parse(top).ok_or(MessageError::Malformed("Via"))
}

fn read_tag(head: &Head<'_>, name: &Name, label: &'static str) -> Result<String, MessageError> {
    let address = parse_address(head.required(name, label)?);
    let address = address.ok_or(MessageError::Malformed(label))?;
    let tag = parameter(address.parameters, "tag").unwrap_or_default();
    if tag.len() > IDENTIFIER_BYTES_MAX {
        return Err(MessageError::Malformed(label));
    }
    Ok(tag.to_owned())
}

/// Number and method. The number is below 2³¹ (RFC 3261 §8.1.1.5).
fn parse_cseq<'s>(head: &'s Head<'_>) -> Result<(u32, &'s str), MessageError> {
    let value = head.required(&Name::CSEQ, "CSeq")?;
    let mut words = value.split_ascii_whitespace();
    let number = words.next().and_then(|word| word.parse::<u32>().ok());
    match (number, words.next(), words.next()) {
        (Some(number), Some(method), None) if number < 1 << 31 => Ok((number, method)),
        _ => Err(MessageError::Malformed("CSeq")),
    }
}

fn parse_start_line(line: &str) -> Result<StartLine<'_>, MessageError> {
    let mut words = line.split(' ').filter(|word| !word.is_empty());
    let (Some(first), Some(second)) = (words.next(), words.next()) else {
        return Err(MessageError::StartLine);
    };
    if first.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("SIP/")) {
        if !first.eq_ignore_ascii_case("SIP/2.0") {
            return Err(MessageError::Version);
        }
        let status = second.parse::<u16>().ok().filter(|status| (100..700).contains(status));
        return Ok(StartLine::Response { status: status.ok_or(MessageError::StartLine)? });
    }
    let version = words.next().ok_or(MessageError::StartLine)?;
    if words.next().is_some() || !first.bytes().all(is_token) {
        return Err(MessageError::StartLine);
    }
    if version.eq_ignore_ascii_case("SIP/2.0") {
        Ok(StartLine::Request { method: first, uri: second })
    } else if version.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("SIP/")) {
        Err(MessageError::Version)
    } else {
        Err(MessageError::StartLine)
    }
}

fn parse_field(line: Cow<'_, str>) -> Option<(Name, Cow<'_, str>)> {
    let colon = line.find(':')?;
    let name = line[..colon].trim();
    if name.is_empty() || !name.bytes().all(is_token) {
        return None;
    }
    let name = Name::from(name);
    let value = match line {
        Cow::Borrowed(text) => Cow::Borrowed(text[colon + 1..].trim()),
        Cow::Owned(text) => Cow::Owned(text[colon + 1..].trim().to_owned()),
    };
    Some((name, value))
}

/// `token` of RFC 3261 §25.1.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte)
}

fn strip_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}
