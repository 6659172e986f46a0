//! The client's side of a conversation, without a socket.
//!
//! Bytes from the box go into `receive`, what they mean comes out of `poll`; `send` queues
//! commands, `to_send` is what the socket should be given. Replies come in the order of the
//! commands. Lines and keys that are not known are skipped, so that a newer box can be talked to;
//! what breaks the protocol ends the conversation with one `Violation`.
//!
//! Nothing here connects, waits, retries or says `hello` by itself, and no decision about what an
//! agent may do is taken: that comes from the box, in `AgentState::can`.

use crate::VERSION;
use crate::assembler::{Assembler, DATA_BYTES, Piece};
use crate::code::{Code, shorten};
use crate::line::{LINE_BYTES, Line, Word};
use crate::reply;
use crate::state::{AgentState, CaptureState, StateError};
use std::collections::VecDeque;

/// The most commands that may be unanswered.
pub const UNANSWERED: usize = 64;
/// The most rows of one reply.
pub const ROWS: usize = 100_000;
/// The most bytes of data of one reply: many hours of audio.
pub const REPLY_DATA_BYTES: usize = 256 << 20;

/// Keys and values of a line, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pairs(pub Vec<(String, String)>);

impl Pairs {
    /// The value of a key.
    #[must_use]
    pub fn get(&self, wanted: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == wanted).map(|(_, value)| value.as_str())
    }

    fn of(line: &Line<'_>) -> Pairs {
        Pairs(line.pairs().map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
    }
}

/// What the box says first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// The version of the protocol; always `VERSION`, another is a violation.
    pub version: u32,
    /// The box's name.
    pub name: String,
    /// How many times the box has started; another number than before: it was restarted.
    pub boot: u32,
}

/// A command that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The word as sent; `code` reads it.
    pub word: String,
    /// For people.
    pub text: String,
    pub pairs: Pairs,
}

impl Failure {
    /// The code; `None` for one that this version does not know.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        Code::parse(&self.word)
    }

    /// Whether the mask is in force although the command failed.
    #[must_use]
    pub fn masked(&self) -> bool {
        self.pairs.get("masked") == Some("yes")
    }
}

/// The answer to one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub rows: Vec<Pairs>,
    /// The data blocks before the `ok`, joined.
    pub data: Vec<u8>,
    pub outcome: Result<Pairs, Failure>,
}

/// How the other side broke the protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    #[error("this is not a Hushbox: it begins with \"{line}\"")]
    NoGreeting { line: String },
    #[error("the box speaks version {found} of the protocol, this client {VERSION}")]
    Version { found: String },
    #[error("the box sent what is no line: {why}")]
    Malformed { why: String },
    #[error("the box answered what was not asked")]
    Unasked,
    #[error("a reply has more than {ROWS} rows")]
    TooManyRows,
    #[error("a reply has more than {REPLY_DATA_BYTES} bytes of data")]
    TooMuchData,
    #[error("{0}")]
    State(#[from] StateError),
}

/// What the box had to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientEvent {
    Greeting(Greeting),
    /// Answers the oldest command that is not answered yet.
    Reply(Reply),
    /// The newest state; older ones that were not polled are gone.
    State(AgentState),
    /// The same, for a screen capture client.
    Capture(CaptureState),
    /// News for those who `watch`, and checkpoints.
    Event(Pairs),
    /// An `err` that answers nothing: why the box closes the connection.
    Farewell(Failure),
    /// The end; close the connection.
    Violation(Violation),
}

/// Why a command was not queued.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    #[error("{UNANSWERED} commands are unanswered; wait for a reply")]
    TooMany,
    #[error("the line has {bytes} bytes with its end; at most {LINE_BYTES}")]
    TooLong { bytes: usize },
    #[error("a command is one line without control characters NUL, CR and LF")]
    NotOneLine,
    #[error("the data block has {bytes} bytes; at most {DATA_BYTES}")]
    TooMuchData { bytes: usize },
    #[error("the conversation is over")]
    Over,
}

/// One conversation with one box.
#[derive(Debug, Default)]
pub struct Client {
    assembler: Assembler,
    reader: Reader,
    out: Vec<u8>,
}

/// What has been understood so far.
#[derive(Debug, Default)]
struct Reader {
    greeted: bool,
    over: bool,
    unanswered: usize,
    rows: Vec<Pairs>,
    data: Vec<u8>,
    events: VecDeque<ClientEvent>,
}

impl Client {
    /// A conversation that has not begun.
    #[must_use]
    pub fn new() -> Client {
        Client::default()
    }

    /// Takes bytes from the box, split anywhere. Poll until `None` before the next.
    pub fn receive(&mut self, mut bytes: &[u8]) {
        while !self.reader.over {
            let Some(piece) = self.assembler.take(&mut bytes) else { return };
            if let Err(violation) = self.reader.piece(piece) {
                self.reader.over = true;
                self.reader.events.push_back(ClientEvent::Violation(violation));
            }
        }
    }

    /// What the box said next.
    pub fn poll(&mut self) -> Option<ClientEvent> {
        self.reader.events.pop_front()
    }

    /// The data that has come so far of the reply under way; it is not in that reply any more. For
    /// who passes on what is too much to be held. Take after every `receive`.
    pub fn take_data(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.reader.data)
    }

    /// Queues a command, one line without its end.
    pub fn send(&mut self, line: &str) -> Result<(), SendError> {
        self.may_send(line)?;
        self.out.extend_from_slice(line.as_bytes());
        self.out.push(b'\n');
        self.reader.unanswered += 1;
        Ok(())
    }

    /// Queues a command and the data block that belongs to it (`segment`, `enrol code=`).
    pub fn send_with_data(&mut self, line: &str, data: &[u8]) -> Result<(), SendError> {
        if data.len() > DATA_BYTES {
            return Err(SendError::TooMuchData { bytes: data.len() });
        }
        self.send(line)?;
        reply::data(&mut self.out, data);
        Ok(())
    }

    /// The bytes for the box.
    #[must_use]
    pub fn to_send(&self) -> &[u8] {
        &self.out
    }

    /// The socket took so many bytes of `to_send`.
    pub fn sent(&mut self, bytes: usize) {
        assert!(bytes <= self.out.len(), "{bytes} of {} bytes sent", self.out.len());
        self.out.drain(..bytes);
    }

    /// How many commands wait for their reply.
    #[must_use]
    pub fn unanswered(&self) -> usize {
        self.reader.unanswered
    }

    fn may_send(&self, line: &str) -> Result<(), SendError> {
        if self.reader.over {
            return Err(SendError::Over);
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
    fn piece(&mut self, piece: Piece<'_>) -> Result<(), Violation> {
        match piece {
            Piece::Line(text) => self.line(text),
            Piece::Data(bytes) if self.unanswered > 0 => {
                if self.data.len() + bytes.len() > REPLY_DATA_BYTES {
                    return Err(Violation::TooMuchData);
                }
                self.data.extend_from_slice(bytes);
                Ok(())
            }
            Piece::Data(_) | Piece::DataBegin(_) | Piece::DataEnd => Ok(()),
            Piece::Refused(why) | Piece::DataRefused(why) => {
                Err(Violation::Malformed { why: why.to_string() })
            }
        }
    }

    fn line(&mut self, text: &str) -> Result<(), Violation> {
        let first = text.split(' ').find(|word| !word.is_empty()).unwrap_or("");
        let known = matches!(first, "hushbox" | "ok" | "err" | "row" | "state" | "event");
        if !known && self.greeted {
            return Ok(());
        }
        if !self.greeted && !matches!(first, "hushbox" | "err") {
            return Err(Violation::NoGreeting { line: shorten(text).to_owned() });
        }
        let line = Line::parse(text).map_err(|why| Violation::Malformed { why: why.text })?;
        match first {
            "hushbox" if !self.greeted => self.greeting(&line),
            "ok" => self.reply(Ok(Pairs::of(&line))),
            "err" => self.refused(&line),
            "row" => self.row(&line),
            "state" => self.state(&line),
            "event" => {
                self.events.push_back(ClientEvent::Event(Pairs::of(&line)));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn greeting(&mut self, line: &Line<'_>) -> Result<(), Violation> {
        let version = line.bare(1).unwrap_or("none");
        if version != VERSION.to_string() {
            return Err(Violation::Version { found: shorten(version).to_owned() });
        }
        let name = line.get("box").unwrap_or_default().to_owned();
        let boot = line.get("boot").and_then(|boot| boot.parse().ok()).unwrap_or(0);
        self.greeted = true;
        let greeting = Greeting { version: VERSION, name, boot };
        self.events.push_back(ClientEvent::Greeting(greeting));
        Ok(())
    }

    fn row(&mut self, line: &Line<'_>) -> Result<(), Violation> {
        if self.unanswered == 0 {
            return Err(Violation::Unasked);
        }
        if self.rows.len() == ROWS {
            return Err(Violation::TooManyRows);
        }
        self.rows.push(Pairs::of(line));
        Ok(())
    }

    fn refused(&mut self, line: &Line<'_>) -> Result<(), Violation> {
        let Some(word) = line.bare(1) else {
            return Err(Violation::Malformed { why: "an err without a code".to_owned() });
        };
        let text = match line.words().get(2) {
            Some(Word::Quoted(text)) => text.as_ref(),
            Some(Word::Bare(text)) => text,
            Some(Word::Pair { .. }) | None => "",
        };
        let (word, text) = (word.to_owned(), text.to_owned());
        let failure = Failure { word, text, pairs: Pairs::of(line) };
        if self.unanswered == 0 {
            self.events.push_back(ClientEvent::Farewell(failure));
            return Ok(());
        }
        self.reply(Err(failure))
    }

    fn reply(&mut self, outcome: Result<Pairs, Failure>) -> Result<(), Violation> {
        self.unanswered = self.unanswered.checked_sub(1).ok_or(Violation::Unasked)?;
        let (rows, data) = (std::mem::take(&mut self.rows), std::mem::take(&mut self.data));
        self.events.push_back(ClientEvent::Reply(Reply { rows, data, outcome }));
        Ok(())
    }

    fn state(&mut self, line: &Line<'_>) -> Result<(), Violation> {
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

    fn greeted() -> Client {
        let mut client = Client::new();
        client.receive(GREETING.as_bytes());
        assert!(matches!(client.poll(), Some(ClientEvent::Greeting(_))));
        client
    }

    fn violation(client: &mut Client, text: &str) -> Violation {
        client.receive(text.as_bytes());
        let event = std::iter::from_fn(|| client.poll()).last();
        let Some(ClientEvent::Violation(violation)) = event else { panic!("{event:?}") };
        client.receive(b"ok\n");
        assert_eq!(client.poll(), None, "nothing is read after a violation");
        assert_eq!(client.send("ping"), Err(SendError::Over));
        violation
    }

    #[test]
    fn what_breaks_the_protocol_ends_the_conversation() {
        let ssh = violation(&mut Client::new(), "SSH-2.0-OpenSSH\n");
        assert_eq!(ssh, Violation::NoGreeting { line: "SSH-2.0-OpenSSH".to_owned() });
        let newer = violation(&mut Client::new(), "hushbox 2 box=b\n");
        assert_eq!(newer, Violation::Version { found: "2".to_owned() });
        assert_eq!(violation(&mut greeted(), "ok\n"), Violation::Unasked);
        assert_eq!(violation(&mut greeted(), "row a=1\n"), Violation::Unasked);
        for bad in ["event a=\"\n", "err\n", &"x".repeat(3000)] {
            let found = violation(&mut greeted(), bad);
            assert!(matches!(found, Violation::Malformed { .. }), "{bad} {found}");
        }
        let state = violation(&mut greeted(), "state can=-\n");
        assert_eq!(state, Violation::State(StateError::Missing { key: "screen" }));
        let mut client = greeted();
        assert_eq!(client.send("records"), Ok(()));
        let rows = violation(&mut client, &"row\n".repeat(ROWS + 1));
        assert_eq!(rows, Violation::TooManyRows);
    }

    #[test]
    fn what_is_not_known_is_skipped() {
        let mut client = greeted();
        client.receive(b"later a=\" ((\nstate what=new\nhushbox 9\nevent seq=1 new=key\n");
        assert!(matches!(client.poll(), Some(ClientEvent::Event(pairs)) if pairs.0.len() == 2));
        assert_eq!(client.poll(), None);
        client.receive(b"data 3\nabc\n");
        assert_eq!(client.send("media x"), Ok(()));
        client.receive(b"data 2\nde\nok\n");
        let Some(ClientEvent::Reply(reply)) = client.poll() else { panic!("no reply") };
        assert_eq!(reply.data, b"de", "a block that nobody asked for is in no reply");
    }

    #[test]
    fn only_the_newest_state_is_kept() {
        let mut client = greeted();
        let mut out = Vec::new();
        for blackout_ms in 0..5 {
            AgentState { blackout_ms, ..AgentState::default() }.write(&mut out);
            reply::event(&mut out).pair("seq", blackout_ms).end();
        }
        client.receive(&out);
        let events: Vec<ClientEvent> = std::iter::from_fn(|| client.poll()).collect();
        assert_eq!(events.len(), 6);
        assert!(matches!(&events[4], ClientEvent::State(state) if state.blackout_ms == 4));
    }

    #[test]
    fn commands_are_bounded() {
        let mut client = greeted();
        assert_eq!(client.send(&"x".repeat(1024)), Err(SendError::TooLong { bytes: 1025 }));
        assert_eq!(client.send("a\nb"), Err(SendError::NotOneLine));
        let much = vec![0; DATA_BYTES + 1];
        let refused = client.send_with_data("segment", &much);
        assert_eq!(refused, Err(SendError::TooMuchData { bytes: DATA_BYTES + 1 }));
        assert!(client.to_send().is_empty());
        for _ in 0..UNANSWERED {
            assert_eq!(client.send("ping"), Ok(()));
        }
        assert_eq!(client.send("ping"), Err(SendError::TooMany));
        client.receive(b"err later \"a code of tomorrow\"\n");
        assert!(matches!(client.poll(), Some(ClientEvent::Reply(reply))
            if reply.outcome.as_ref().is_err_and(|failure| failure.code().is_none())));
        assert_eq!((client.send("ping"), client.unanswered()), (Ok(()), UNANSWERED));
        client.sent(5);
        assert_eq!(client.to_send().len(), 64 * 5);
    }

    #[test]
    fn an_err_that_answers_nothing_says_why_the_box_closes() {
        let mut client = Client::new();
        client.receive(b"err too-many \"come back later\"\n");
        let Some(ClientEvent::Farewell(failure)) = client.poll() else { panic!("no farewell") };
        assert_eq!((failure.code(), failure.masked()), (Some(Code::TooMany), false));
    }
}
