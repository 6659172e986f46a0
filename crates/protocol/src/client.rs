//! The client's side of a conversation, without a socket.
//!
//! The caller passes received bytes to `receive` and takes events from `poll_event`.
//! `queue_command` queues commands, and `bytes_to_send` returns the bytes for the socket. Replies
//! come in the order of the commands. Unknown lines and keys are skipped, so that a client can talk
//! to a newer box. A line that breaks the protocol ends the conversation with one `ProtocolError`.
//!
//! Nothing here connects, waits, retries or sends `hello`. What an agent may do is decided by the
//! box, in `AgentState::can`.

use crate::VERSION;
use crate::assembler::{Assembler, DATA_BYTES, InvalidLine, Piece};
use crate::code::Code;
use crate::line::{LINE_BYTES, Line, Word};
use crate::reply;
use crate::state::{AgentState, CaptureState, StateError};
use crate::text::excerpt;
use std::collections::VecDeque;

/// The most commands without a reply.
pub const UNANSWERED: usize = 64;
/// The most rows of one reply.
pub const ROWS: usize = 100_000;
/// The most bytes of data in one reply: many hours of audio.
pub const REPLY_DATA_BYTES: usize = 256 << 20;

/// The keys and values of a line, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pairs(pub Vec<(String, String)>);

impl Pairs {
    /// The first value of a key.
    #[must_use]
    pub fn get(&self, wanted: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == wanted).map(|(_, value)| value.as_str())
    }

    fn from_line(line: &Line<'_>) -> Pairs {
        Pairs(line.pairs().map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
    }
}

/// The first line of a box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// The version of the protocol. Always `VERSION`; another one is a protocol error.
    pub version: u32,
    /// The box's name.
    pub name: String,
    /// How many times the box has started. A new number after reconnecting means a restart.
    pub boot: u32,
}

/// A command that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The code as sent; `code` parses it.
    pub word: String,
    /// The explanation, for users.
    pub text: String,
    pub pairs: Pairs,
}

impl Failure {
    /// The code; `None` for one that this version does not know.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        Code::parse(&self.word)
    }

    /// Whether the call is masked although the command failed.
    #[must_use]
    pub fn is_masked(&self) -> bool {
        self.pairs.get("masked") == Some("yes")
    }
}

/// The reply to one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub rows: Vec<Pairs>,
    /// The data blocks of the reply, joined.
    pub data: Vec<u8>,
    pub outcome: Result<Pairs, Failure>,
}

/// How the server broke the protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    #[error(
        "the server is not a Hushbox: its first line is \"{line}\"; check the address and the port"
    )]
    NoGreeting { line: String },
    #[error(
        "the box speaks version {found} of the protocol, this client version {VERSION}; install \
         matching versions"
    )]
    Version { found: String },
    #[error("the box sent an invalid line: {why}")]
    Malformed { why: String },
    #[error("the box sent a reply without a command")]
    UnexpectedReply,
    #[error("the box sent a reply of more than {ROWS} rows")]
    TooManyRows,
    #[error("the box sent a reply of more than {REPLY_DATA_BYTES} bytes of data")]
    TooMuchData,
    #[error("{0}")]
    State(#[from] StateError),
}

/// A message of the box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientEvent {
    Greeting(Greeting),
    /// The reply to the oldest command without one.
    Reply(Reply),
    /// The newest state of an agent. It replaces a state that was not polled yet.
    State(AgentState),
    /// The newest state of a screen capture client. It replaces one that was not polled yet.
    Capture(CaptureState),
    /// An event that `watch` asked for, or a checkpoint.
    Event(Pairs),
    /// An `err` that is not a reply: the reason why the box closes the connection.
    CloseReason(Failure),
    /// The server broke the protocol. Close the connection.
    ProtocolError(ProtocolError),
}

/// Why a command was not queued.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    #[error("{UNANSWERED} commands have no reply yet; wait for one")]
    TooMany,
    #[error("the line has {bytes} bytes with its end; at most {LINE_BYTES} are allowed")]
    TooLong { bytes: usize },
    #[error("a command must be one line without the characters NUL, CR and LF")]
    NotOneLine,
    #[error("the data block has {bytes} bytes; at most {DATA_BYTES} are allowed")]
    TooMuchData { bytes: usize },
    #[error("the connection has ended; connect again")]
    Ended,
}

/// The client's side of one connection.
#[derive(Debug, Default)]
pub struct Client {
    assembler: Assembler,
    reader: Reader,
    out: Vec<u8>,
}

/// Parses the messages of the box.
#[derive(Debug, Default)]
struct Reader {
    greeted: bool,
    ended: bool,
    unanswered: usize,
    rows: Vec<Pairs>,
    data: Vec<u8>,
    events: VecDeque<ClientEvent>,
}

impl Client {
    /// A client before the greeting.
    #[must_use]
    pub fn new() -> Client {
        Client::default()
    }

    /// Parses bytes of the box, split anywhere. Poll all events before the next call.
    pub fn receive(&mut self, mut bytes: &[u8]) {
        while !self.reader.ended {
            let Some(piece) = self.assembler.next_piece(&mut bytes) else { return };
            if let Err(error) = self.reader.read_piece(piece) {
                self.reader.ended = true;
                self.reader.events.push_back(ClientEvent::ProtocolError(error));
            }
        }
    }

    /// Takes the next message of the box.
    pub fn poll_event(&mut self) -> Option<ClientEvent> {
        self.reader.events.pop_front()
    }

    /// Takes the data of the unfinished reply, which will then not contain it. A caller that
    /// streams data instead of holding it in memory calls this after every `receive`.
    pub fn take_data(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.reader.data)
    }

    /// Queues a command, one line without its end.
    pub fn queue_command(&mut self, line: &str) -> Result<(), SendError> {
        self.check_line(line)?;
        self.out.extend_from_slice(line.as_bytes());
        self.out.push(b'\n');
        self.reader.unanswered += 1;
        Ok(())
    }

    /// Queues a command and the data block that belongs to it (`segment`, `enrol code=`).
    pub fn queue_command_with_data(&mut self, line: &str, data: &[u8]) -> Result<(), SendError> {
        if data.len() > DATA_BYTES {
            return Err(SendError::TooMuchData { bytes: data.len() });
        }
        self.queue_command(line)?;
        reply::write_data(&mut self.out, data);
        Ok(())
    }

    /// The queued bytes for the socket.
    #[must_use]
    pub fn bytes_to_send(&self) -> &[u8] {
        &self.out
    }

    /// Removes bytes of `bytes_to_send` that the socket accepted.
    pub fn mark_sent(&mut self, bytes: usize) {
        assert!(bytes <= self.out.len(), "{bytes} of {} bytes sent", self.out.len());
        self.out.drain(..bytes);
    }

    /// The number of commands without a reply.
    #[must_use]
    pub fn count_unanswered(&self) -> usize {
        self.reader.unanswered
    }

    fn check_line(&self, line: &str) -> Result<(), SendError> {
        if self.reader.ended {
            return Err(SendError::Ended);
        }
        if self.reader.unanswered >= UNANSWERED {
            return Err(SendError::TooMany);
        }
        if line.contains(['\0', '\r', '\n']) {
            return Err(SendError::NotOneLine);
        }
        let bytes = line.len() + 1;
        if bytes > LINE_BYTES { Err(SendError::TooLong { bytes }) } else { Ok(()) }
    }
}

impl Reader {
    fn read_piece(&mut self, piece: Piece<'_>) -> Result<(), ProtocolError> {
        match piece {
            Piece::Line(text) => self.read_line(text),
            Piece::Data(bytes) if self.unanswered > 0 => {
                if self.data.len() + bytes.len() > REPLY_DATA_BYTES {
                    return Err(ProtocolError::TooMuchData);
                }
                self.data.extend_from_slice(bytes);
                Ok(())
            }
            Piece::Data(_) | Piece::DataBegin(_) | Piece::DataEnd => Ok(()),
            Piece::Refused(InvalidLine { refusal: why, .. }) | Piece::DataRefused(why) => {
                Err(ProtocolError::Malformed { why: why.to_string() })
            }
        }
    }

    fn read_line(&mut self, text: &str) -> Result<(), ProtocolError> {
        let first = text.split(' ').find(|word| !word.is_empty()).unwrap_or("");
        let known = matches!(first, "hushbox" | "ok" | "err" | "row" | "state" | "event");
        if !known && self.greeted {
            return Ok(());
        }
        if !self.greeted && !matches!(first, "hushbox" | "err") {
            return Err(ProtocolError::NoGreeting { line: excerpt(text).into_owned() });
        }
        let line = Line::parse(text).map_err(|why| ProtocolError::Malformed { why: why.text })?;
        match first {
            "hushbox" if !self.greeted => self.read_greeting(&line),
            "ok" => self.finish_reply(Ok(Pairs::from_line(&line))),
            "err" => self.read_refusal(&line),
            "row" => self.read_row(&line),
            "state" => self.read_state(&line),
            "event" => {
                self.events.push_back(ClientEvent::Event(Pairs::from_line(&line)));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn read_greeting(&mut self, line: &Line<'_>) -> Result<(), ProtocolError> {
        let version = line.bare(1).unwrap_or("none");
        if version != VERSION.to_string() {
            return Err(ProtocolError::Version { found: excerpt(version).into_owned() });
        }
        let name = line.get("box").unwrap_or_default().to_owned();
        let boot = line.get("boot").and_then(|boot| boot.parse().ok()).unwrap_or(0);
        self.greeted = true;
        let greeting = Greeting { version: VERSION, name, boot };
        self.events.push_back(ClientEvent::Greeting(greeting));
        Ok(())
    }

    fn read_row(&mut self, line: &Line<'_>) -> Result<(), ProtocolError> {
        if self.unanswered == 0 {
            return Err(ProtocolError::UnexpectedReply);
        }
        if self.rows.len() == ROWS {
            return Err(ProtocolError::TooManyRows);
        }
        self.rows.push(Pairs::from_line(line));
        Ok(())
    }

    fn read_refusal(&mut self, line: &Line<'_>) -> Result<(), ProtocolError> {
        let Some(word) = line.bare(1) else {
            return Err(ProtocolError::Malformed { why: "err has no code".to_owned() });
        };
        let text = match line.words().get(2) {
            Some(Word::Quoted(text)) => text.as_ref(),
            Some(Word::Bare(text)) => text,
            Some(Word::Pair { .. }) | None => "",
        };
        let (word, text) = (word.to_owned(), text.to_owned());
        let failure = Failure { word, text, pairs: Pairs::from_line(line) };
        if self.unanswered == 0 {
            self.events.push_back(ClientEvent::CloseReason(failure));
            return Ok(());
        }
        self.finish_reply(Err(failure))
    }

    fn finish_reply(&mut self, outcome: Result<Pairs, Failure>) -> Result<(), ProtocolError> {
        self.unanswered = self.unanswered.checked_sub(1).ok_or(ProtocolError::UnexpectedReply)?;
        let (rows, data) = (std::mem::take(&mut self.rows), std::mem::take(&mut self.data));
        self.events.push_back(ClientEvent::Reply(Reply { rows, data, outcome }));
        Ok(())
    }

    fn read_state(&mut self, line: &Line<'_>) -> Result<(), ProtocolError> {
        let event = if line.get("capture").is_some() {
            ClientEvent::Capture(CaptureState::parse(line)?)
        } else if line.get("can").is_some() {
            ClientEvent::State(AgentState::parse(line)?)
        } else {
            return Ok(());
        };
        let same = std::mem::discriminant(&event);
        self.events.retain(|older| std::mem::discriminant(older) != same);
        self.events.push_back(event);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GREETING: &str = "hushbox 1 box=box-01 boot=37\n";

    fn greeted_client() -> Client {
        let mut client = Client::new();
        client.receive(GREETING.as_bytes());
        assert!(matches!(client.poll_event(), Some(ClientEvent::Greeting(_))));
        client
    }

    fn receive_error(client: &mut Client, text: &str) -> ProtocolError {
        client.receive(text.as_bytes());
        let event = std::iter::from_fn(|| client.poll_event()).last();
        let Some(ClientEvent::ProtocolError(error)) = event else { panic!("{event:?}") };
        client.receive(b"ok\n");
        assert_eq!(client.poll_event(), None, "nothing is read after a protocol error");
        assert_eq!(client.queue_command("ping"), Err(SendError::Ended));
        error
    }

    #[test]
    fn a_protocol_error_ends_the_conversation() {
        let ssh = receive_error(&mut Client::new(), "SSH-2.0-OpenSSH\n");
        assert_eq!(ssh, ProtocolError::NoGreeting { line: "SSH-2.0-OpenSSH".to_owned() });
        let newer = receive_error(&mut Client::new(), "hushbox 2 box=b\n");
        assert_eq!(newer, ProtocolError::Version { found: "2".to_owned() });
        assert_eq!(receive_error(&mut greeted_client(), "ok\n"), ProtocolError::UnexpectedReply);
        assert_eq!(
            receive_error(&mut greeted_client(), "row a=1\n"),
            ProtocolError::UnexpectedReply
        );
        for bad in ["event a=\"\n", "err\n", &"x".repeat(3000)] {
            let found = receive_error(&mut greeted_client(), bad);
            assert!(matches!(found, ProtocolError::Malformed { .. }), "{bad} {found}");
        }
        let state = receive_error(&mut greeted_client(), "state can=-\n");
        assert_eq!(state, ProtocolError::State(StateError::Missing { key: "screen" }));
        let mut client = greeted_client();
        assert_eq!(client.queue_command("records"), Ok(()));
        let rows = receive_error(&mut client, &"row\n".repeat(ROWS + 1));
        assert_eq!(rows, ProtocolError::TooManyRows);
    }

    #[test]
    fn unknown_lines_and_keys_are_skipped() {
        let mut client = greeted_client();
        client.receive(b"later a=\" ((\nstate what=new\nhushbox 9\nevent seq=1 new=key\n");
        assert!(
            matches!(client.poll_event(), Some(ClientEvent::Event(pairs)) if pairs.0.len() == 2)
        );
        assert_eq!(client.poll_event(), None);
        client.receive(b"data 3\nabc\n");
        assert_eq!(client.queue_command("media x"), Ok(()));
        client.receive(b"data 2\nde\nok\n");
        let Some(ClientEvent::Reply(reply)) = client.poll_event() else { panic!("no reply") };
        assert_eq!(reply.data, b"de", "a block without a command is in no reply");
    }

    #[test]
    fn a_new_state_replaces_the_last_one() {
        let mut client = greeted_client();
        let mut out = Vec::new();
        for blackout_ms in 0..5 {
            AgentState { blackout_ms, ..AgentState::default() }.write(&mut out);
            reply::begin_event(&mut out).pair("seq", blackout_ms).end();
        }
        client.receive(&out);
        let events: Vec<ClientEvent> = std::iter::from_fn(|| client.poll_event()).collect();
        assert_eq!(events.len(), 6);
        assert!(matches!(&events[4], ClientEvent::State(state) if state.blackout_ms == 4));
    }

    #[test]
    fn commands_are_limited_in_size_and_number() {
        let mut client = greeted_client();
        assert_eq!(
            client.queue_command(&"x".repeat(1024)),
            Err(SendError::TooLong { bytes: 1025 })
        );
        assert_eq!(client.queue_command("a\nb"), Err(SendError::NotOneLine));
        let much = vec![0; DATA_BYTES + 1];
        let refused = client.queue_command_with_data("segment", &much);
        assert_eq!(refused, Err(SendError::TooMuchData { bytes: DATA_BYTES + 1 }));
        assert!(client.bytes_to_send().is_empty());
        for _ in 0..UNANSWERED {
            assert_eq!(client.queue_command("ping"), Ok(()));
        }
        assert_eq!(client.queue_command("ping"), Err(SendError::TooMany));
        client.receive(b"err later \"an unknown code\"\n");
        assert!(matches!(client.poll_event(), Some(ClientEvent::Reply(reply))
            if reply.outcome.as_ref().is_err_and(|failure| failure.code().is_none())));
        assert_eq!((client.queue_command("ping"), client.count_unanswered()), (Ok(()), UNANSWERED));
        client.mark_sent(5);
        assert_eq!(client.bytes_to_send().len(), 64 * 5);
    }

    #[test]
    fn an_err_without_a_command_is_a_close_reason() {
        let mut client = Client::new();
        client.receive(b"err too-many \"come back later\"\n");
        let Some(ClientEvent::CloseReason(failure)) = client.poll_event() else {
            panic!("no close reason")
        };
        assert_eq!((failure.code(), failure.is_masked()), (Some(Code::TooMany), false));
    }
}
