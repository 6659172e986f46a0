//! FreeSWITCH's event socket: header lines up to an empty line, then a body of `Content-Length`
//! bytes. The body of an event is header lines whose values are percent-encoded.

use super::line_buffer::LineBuffer;
use super::{Headers, ParseError};
use serde::Deserialize;

/// The most bytes of a header line.
pub const LINE_BYTES_MAX: usize = 64 << 10;

/// The most header lines of a message.
pub const MESSAGE_LINES_MAX: usize = 256;

/// The most bytes of a body: a list of some 10,000 channels.
pub const BODY_BYTES_MAX: usize = 16 << 20;

/// A message of the event socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EslMessage {
    pub headers: Headers,
    pub body: EslBody,
}

/// The body of a message.
#[derive(Clone, PartialEq, Eq)]
pub enum EslBody {
    None,
    /// Headers of an event, decoded.
    Event(Headers),
    /// The answer to an `api` command.
    Text(String),
}

/// Bodies hold telephone numbers, so only their kind is shown.
impl std::fmt::Debug for EslBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            EslBody::None => f.write_str("None"),
            EslBody::Event(headers) => write!(f, "Event({headers:?})"),
            EslBody::Text(text) => write!(f, "Text({} bytes)", text.len()),
        }
    }
}

/// Parses the bytes of one connection.
#[derive(Clone, Default)]
pub struct EslParser {
    buffer: LineBuffer,
    headers: Headers,
    lines: usize,
    /// Bytes of the body that the headers announced, once those are complete.
    body_bytes: Option<usize>,
}

impl EslParser {
    /// Adds bytes from the connection.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.buffer.extend(bytes);
    }

    /// Takes the next complete message.
    ///
    /// # Errors
    ///
    /// When a line, a message or a body exceeds its limit.
    pub fn next_message(&mut self) -> Result<Option<EslMessage>, ParseError> {
        while self.body_bytes.is_none() {
            let Some(line) = self.buffer.next_line(LINE_BYTES_MAX)? else { return Ok(None) };
            if !line.is_empty() {
                self.lines += 1;
                if self.lines > MESSAGE_LINES_MAX {
                    return Err(ParseError::TooManyLines { most: MESSAGE_LINES_MAX });
                }
                self.headers.push_line(&line);
            } else if !self.headers.is_empty() {
                self.body_bytes = Some(announced_bytes(&self.headers)?);
            }
        }
        let Some(block) = self.body_bytes.and_then(|count| self.buffer.next_block(count)) else {
            return Ok(None);
        };
        (self.body_bytes, self.lines) = (None, 0);
        let headers = std::mem::take(&mut self.headers);
        let text = String::from_utf8_lossy(&block).into_owned();
        let body = match headers.get("Content-Type") {
            _ if block.is_empty() => EslBody::None,
            "text/event-plain" => EslBody::Event(decode_event(&text)),
            _ => EslBody::Text(text),
        };
        Ok(Some(EslMessage { headers, body }))
    }

    /// Bytes and header lines held, for tests of the bound.
    #[must_use]
    pub fn held(&self) -> (usize, usize) {
        (self.buffer.held_bytes(), self.headers.count())
    }
}

fn announced_bytes(headers: &Headers) -> Result<usize, ParseError> {
    let text = headers.get("Content-Length");
    if text.is_empty() {
        return Ok(0);
    }
    let count: usize = text.parse().map_err(|_| ParseError::BadLength)?;
    if count > BODY_BYTES_MAX {
        return Err(ParseError::BodyTooLong { most: BODY_BYTES_MAX });
    }
    Ok(count)
}

/// Decodes the lines of an event up to the first empty line; a body inside the event is not read.
fn decode_event(text: &str) -> Headers {
    let mut headers = Headers::default();
    for line in text.lines().take_while(|line| !line.is_empty()).take(MESSAGE_LINES_MAX * 4) {
        if let Some((name, value)) = line.split_once(':') {
            headers.push(name.trim().to_owned(), decode_percent(value.trim()));
        }
    }
    headers
}

/// Decodes `%41` as `A`. What is not two hexadecimal digits stays as it is.
fn decode_percent(text: &str) -> String {
    let hex = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let (bytes, mut at) = (text.as_bytes(), 0);
    let mut decoded = Vec::with_capacity(bytes.len());
    while let Some(byte) = bytes.get(at) {
        let digits = (hex(bytes.get(at + 1)), hex(bytes.get(at + 2)));
        match digits {
            (Some(high), Some(low)) if *byte == b'%' => {
                decoded.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
                at += 3;
            }
            _ => {
                decoded.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// One row of `show channels as json`. Absent values are empty.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ChannelRow {
    pub uuid: String,
    /// `inbound`: from a phone or trunk to FreeSWITCH; `outbound`: the other way.
    pub direction: String,
    pub name: String,
    pub cid_num: String,
    pub dest: String,
    pub presence_id: String,
    /// `ACTIVE`, `HELD`, `RINGING`, `EARLY`, `DOWN` and others.
    pub callstate: String,
    /// The UUID of the leg that began the call.
    pub call_uuid: String,
}

/// Rows hold telephone numbers, so only the id is shown.
impl std::fmt::Debug for ChannelRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ChannelRow({})", self.uuid)
    }
}

#[derive(Deserialize)]
struct ChannelList {
    #[serde(default)]
    rows: Vec<ChannelRow>,
}

/// Parses the answer to `api show channels as json`.
///
/// # Errors
///
/// When it is not the expected JSON.
pub fn parse_channel_list(text: &str) -> Result<Vec<ChannelRow>, ParseError> {
    let list: ChannelList = serde_json::from_str(text)
        .map_err(|error| ParseError::BadJson { line: error.line(), column: error.column() })?;
    Ok(list.rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = "Event-Name: CHANNEL_ANSWER\nCaller-Caller-ID-Number: %2B495551234\n\
                         variable_note: 100%25 %zz%4\n\n";

    fn stream() -> String {
        let length = EVENT.len();
        format!(
            "Content-Type: auth/request\n\n\
             Content-Length: {length}\nContent-Type: text/event-plain\n\n{EVENT}\
             Content-Type: api/response\nContent-Length: 3\n\nabc"
        )
    }

    #[test]
    fn messages_come_out_whole_however_the_bytes_are_cut() {
        let text = stream();
        for size in 1..text.len() {
            let mut parser = EslParser::default();
            let mut found = Vec::new();
            for piece in text.as_bytes().chunks(size) {
                parser.receive(piece);
                while let Some(message) = parser.next_message().unwrap() {
                    found.push(message);
                }
            }
            assert_eq!(found.len(), 3, "pieces of {size}");
            assert_eq!(found[0].headers.get("Content-Type"), "auth/request");
            let EslBody::Event(event) = &found[1].body else { panic!("{:?}", found[1]) };
            assert_eq!(event.get("Event-Name"), "CHANNEL_ANSWER");
            assert_eq!(event.get("Caller-Caller-ID-Number"), "+495551234");
            assert_eq!(event.get("variable_note"), "100% %zz%4");
            assert_eq!(found[2].body, EslBody::Text("abc".to_owned()));
        }
    }

    #[test]
    fn a_body_beyond_the_limit_is_refused_before_it_comes() {
        for (length, error) in [
            ((BODY_BYTES_MAX + 1).to_string(), ParseError::BodyTooLong { most: BODY_BYTES_MAX }),
            ("-1".to_owned(), ParseError::BadLength),
        ] {
            let mut parser = EslParser::default();
            parser.receive(format!("Content-Length: {length}\n\n").as_bytes());
            assert_eq!(parser.next_message(), Err(error));
        }
    }

    #[test]
    fn the_list_of_channels_is_parsed_and_an_empty_one_has_no_rows() {
        let text = r#"{"row_count":1,"rows":[{"uuid":"u1","direction":"outbound","dest":"1001",
            "callstate":"HELD","more":"x"}]}"#;
        let rows = parse_channel_list(text).unwrap();
        assert_eq!(
            (rows.len(), rows[0].uuid.as_str(), rows[0].callstate.as_str()),
            (1, "u1", "HELD")
        );
        assert_eq!(parse_channel_list(r#"{"row_count":0}"#), Ok(Vec::new()));
        assert_eq!(parse_channel_list("-ERR"), Err(ParseError::BadJson { line: 1, column: 2 }));
    }
}
