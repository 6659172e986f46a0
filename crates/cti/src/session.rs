//! One connection to an exchange: log-in, subscription, the list of running calls, and events.
//!
//! Pure: the shell passes bytes in and sends `take_output`. After an error the shell closes the
//! connection and begins another with `begin`, which keeps what is known of the calls.

use crate::parse::ami::{AmiParser, format_action};
use crate::parse::csv::{Columns, CsvParser};
use crate::parse::esl::{EslBody, EslMessage, EslParser, parse_channel_list};
use crate::parse::{Headers, ParseError};
use crate::translate::ami::AmiTranslator;
use crate::translate::call::CallChange;
use crate::translate::csv::{CsvTranslator, RowError};
use crate::translate::esl::{EVENTS, EslTranslator};
use crate::translate::reporter::BoxCall;
use std::collections::BTreeSet;
use zeroize::Zeroizing;

/// Ends a connection that cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The bytes are not those of such an exchange.
    #[error("{0}")]
    Parse(#[from] ParseError),
    /// The exchange refuses the user or the secret.
    #[error("the exchange refuses the log-in; check user and secret, and its list of addresses")]
    LoginRefused,
    /// The exchange refuses to list calls or to send events.
    #[error("the exchange refuses \"{command}\"; give the user the right to it")]
    CommandRefused {
        /// The command.
        command: &'static str,
    },
    /// The exchange says that it closes the connection.
    #[error("the exchange closes the connection")]
    Disconnected,
}

/// A line of a call log that was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultyRow {
    /// Number of the line since the start of the program.
    pub line: u64,
    pub error: RowError,
}

/// A secret of the exchange, wiped from memory at the end.
pub type Secret = Zeroizing<String>;

/// The session with one kind of exchange.
#[derive(Clone)]
pub enum ExchangeSession {
    Ami(AmiSession),
    Esl(EslSession),
    Csv(CsvSession),
}

impl ExchangeSession {
    /// Begins a connection.
    pub fn begin(&mut self) {
        match self {
            ExchangeSession::Ami(session) => session.begin(),
            ExchangeSession::Esl(session) => session.begin(),
            ExchangeSession::Csv(session) => session.begin(),
        }
    }

    /// Takes bytes from the exchange. Call `take_next` until no message is left.
    pub fn receive(&mut self, bytes: &[u8]) {
        match self {
            ExchangeSession::Ami(session) => session.parser.receive(bytes),
            ExchangeSession::Esl(session) => session.parser.receive(bytes),
            ExchangeSession::Csv(session) => session.parser.receive(bytes),
        }
    }

    /// Handles the next complete message. Returns whether there was one. Report its changes before
    /// the next: a call that begins and ends in between would not be seen. `now_s` is the time in
    /// seconds since 1970.
    ///
    /// # Errors
    ///
    /// When the connection cannot go on.
    pub fn take_next(&mut self, now_s: u64) -> Result<bool, SessionError> {
        match self {
            ExchangeSession::Ami(session) => session.take_next(),
            ExchangeSession::Esl(session) => session.take_next(),
            ExchangeSession::Csv(session) => session.take_next(now_s),
        }
    }

    /// The source has ended; a last line may lack its end.
    pub fn finish(&mut self, now_s: u64) {
        if let ExchangeSession::Csv(session) = self {
            let row = session.parser.take_rest();
            session.take_row(&row, now_s);
        }
    }

    /// A command to which the exchange has to reply, to find a dead connection. Empty if there is
    /// none.
    pub fn queue_keep_alive(&mut self) {
        match self {
            ExchangeSession::Ami(session) => session.send(&[("Action", "Ping")]),
            ExchangeSession::Esl(session) if session.stage == EslStage::Running => {
                session.output.extend_from_slice(b"api uptime\n\n");
            }
            ExchangeSession::Esl(_) | ExchangeSession::Csv(_) => {}
        }
    }

    /// Whether a silent connection is a dead one.
    #[must_use]
    pub fn has_keep_alive(&self) -> bool {
        !matches!(self, ExchangeSession::Csv(_))
    }

    /// Bytes for the exchange.
    pub fn take_output(&mut self) -> Vec<u8> {
        match self {
            ExchangeSession::Ami(session) => std::mem::take(&mut session.output),
            ExchangeSession::Esl(session) => std::mem::take(&mut session.output),
            ExchangeSession::Csv(_) => Vec::new(),
        }
    }

    /// Calls that began, changed or ended.
    pub fn take_changes(&mut self) -> Vec<CallChange> {
        match self {
            ExchangeSession::Ami(session) => std::mem::take(&mut session.changes),
            ExchangeSession::Esl(session) => std::mem::take(&mut session.changes),
            ExchangeSession::Csv(session) => std::mem::take(&mut session.changes),
        }
    }

    /// Lines that were left out since the last time.
    pub fn take_faulty_rows(&mut self) -> Vec<FaultyRow> {
        match self {
            ExchangeSession::Csv(session) => std::mem::take(&mut session.faulty),
            ExchangeSession::Ami(_) | ExchangeSession::Esl(_) => Vec::new(),
        }
    }

    /// Channels beyond the limit, which were left out.
    #[must_use]
    pub fn ignored_channels(&self) -> u64 {
        match self {
            ExchangeSession::Ami(session) => session.translator.ignored,
            ExchangeSession::Esl(session) => session.translator.ignored,
            ExchangeSession::Csv(_) => 0,
        }
    }

    /// Whether the exchange has listed its calls, or cannot list them.
    #[must_use]
    pub fn knows_calls(&self) -> bool {
        match self {
            ExchangeSession::Ami(session) => session.listed,
            ExchangeSession::Esl(session) => session.stage == EslStage::Running,
            ExchangeSession::Csv(_) => true,
        }
    }

    /// Takes the devices of the box.
    pub fn set_devices(&mut self, known: BTreeSet<String>) {
        match self {
            ExchangeSession::Ami(session) => {
                session.translator.set_devices(known);
                session.collect_changes();
            }
            ExchangeSession::Esl(session) => {
                session.translator.set_devices(known);
                session.collect_changes();
            }
            ExchangeSession::Csv(session) => session.translator.set_devices(known),
        }
    }

    /// Takes over calls of the box that the exchange cannot list. Returns whether it cannot.
    pub fn adopt(&mut self, calls: &[BoxCall]) -> bool {
        match self {
            ExchangeSession::Csv(session) => {
                session.translator.adopt(calls);
                true
            }
            ExchangeSession::Ami(_) | ExchangeSession::Esl(_) => false,
        }
    }
}

/// The action id of the log-in, of the list and of the subscription.
const LOGIN_ID: &str = "hushbox-login";
const LIST_ID: &str = "hushbox-list";

/// Asterisk.
#[derive(Clone)]
pub struct AmiSession {
    parser: AmiParser,
    translator: AmiTranslator,
    user: String,
    secret: Secret,
    output: Vec<u8>,
    changes: Vec<CallChange>,
    listed: bool,
}

impl AmiSession {
    /// Logs in with this user and secret.
    #[must_use]
    pub fn new(translator: AmiTranslator, user: String, secret: Secret) -> AmiSession {
        let (parser, output, changes) = (AmiParser::default(), Vec::new(), Vec::new());
        AmiSession { parser, translator, user, secret, output, changes, listed: false }
    }

    fn begin(&mut self) {
        (self.parser, self.listed) = (AmiParser::default(), false);
        self.output.clear();
        let action = Zeroizing::new(format_action(&[
            ("Action", "Login"),
            ("ActionID", LOGIN_ID),
            ("Username", &self.user),
            ("Secret", &self.secret),
            ("Events", "call,agent"),
        ]));
        self.output.extend_from_slice(action.as_bytes());
    }

    fn send(&mut self, pairs: &[(&str, &str)]) {
        self.output.extend_from_slice(format_action(pairs).as_bytes());
    }

    fn take_next(&mut self) -> Result<bool, SessionError> {
        let Some(message) = self.parser.next_message()? else { return Ok(false) };
        self.take_message(&message)?;
        self.collect_changes();
        Ok(true)
    }

    fn take_message(&mut self, message: &Headers) -> Result<(), SessionError> {
        let id = message.get("ActionID");
        match (message.get("Response"), message.get("Event")) {
            ("Error", _) if id == LOGIN_ID => return Err(SessionError::LoginRefused),
            ("Error", _) if id == LIST_ID => {
                return Err(SessionError::CommandRefused { command: "CoreShowChannels" });
            }
            ("Success", _) if id == LOGIN_ID => {
                self.translator.begin_list();
                self.send(&[("Action", "CoreShowChannels"), ("ActionID", LIST_ID)]);
            }
            (_, "CoreShowChannelsComplete") if id == LIST_ID => {
                self.translator.end_list();
                self.listed = true;
            }
            (_, "Shutdown") => return Err(SessionError::Disconnected),
            _ => self.translator.take_event(message),
        }
        Ok(())
    }

    fn collect_changes(&mut self) {
        self.changes.extend(self.translator.take_changes());
    }
}

/// Where the conversation with FreeSWITCH stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EslStage {
    /// Waits for the request to log in.
    Greeting,
    /// Waits for the reply to the password.
    Authentication,
    /// Waits for the reply to the subscription.
    Subscription,
    /// Waits for the list of channels.
    List,
    Running,
}

/// FreeSWITCH.
#[derive(Clone)]
pub struct EslSession {
    parser: EslParser,
    translator: EslTranslator,
    secret: Secret,
    stage: EslStage,
    output: Vec<u8>,
    changes: Vec<CallChange>,
}

impl EslSession {
    /// Logs in with this password.
    #[must_use]
    pub fn new(translator: EslTranslator, secret: Secret) -> EslSession {
        let (parser, output, changes) = (EslParser::default(), Vec::new(), Vec::new());
        EslSession { parser, translator, secret, stage: EslStage::Greeting, output, changes }
    }

    fn begin(&mut self) {
        (self.parser, self.stage) = (EslParser::default(), EslStage::Greeting);
        self.output.clear();
    }

    fn take_next(&mut self) -> Result<bool, SessionError> {
        let Some(message) = self.parser.next_message()? else { return Ok(false) };
        self.take_message(message)?;
        self.collect_changes();
        Ok(true)
    }

    fn take_message(&mut self, message: EslMessage) -> Result<(), SessionError> {
        let accepted = message.headers.get("Reply-Text").starts_with("+OK");
        match (message.headers.get("Content-Type"), message.body) {
            ("auth/request", _) => {
                // A line end in the password would begin another command.
                let password = Zeroizing::new(self.secret.replace(['\r', '\n'], ""));
                self.output.extend_from_slice(b"auth ");
                self.output.extend_from_slice(password.as_bytes());
                self.output.extend_from_slice(b"\n\n");
                self.stage = EslStage::Authentication;
            }
            ("command/reply", _) => self.take_reply(accepted)?,
            ("api/response", EslBody::Text(text)) if self.stage == EslStage::List => {
                self.translator.take_list(parse_channel_list(&text)?);
                self.stage = EslStage::Running;
            }
            ("text/event-plain", EslBody::Event(event)) => self.translator.take_event(&event),
            ("text/rude-rejection", _) => return Err(SessionError::LoginRefused),
            ("text/disconnect-notice", _) => return Err(SessionError::Disconnected),
            _ => {}
        }
        Ok(())
    }

    fn take_reply(&mut self, accepted: bool) -> Result<(), SessionError> {
        match self.stage {
            EslStage::Authentication if !accepted => Err(SessionError::LoginRefused),
            EslStage::Authentication => {
                self.output.extend_from_slice(format!("event plain {EVENTS}\n\n").as_bytes());
                self.stage = EslStage::Subscription;
                Ok(())
            }
            EslStage::Subscription if !accepted => {
                Err(SessionError::CommandRefused { command: "event plain" })
            }
            EslStage::Subscription => {
                self.translator.begin_list();
                self.output.extend_from_slice(b"api show channels as json\n\n");
                self.stage = EslStage::List;
                Ok(())
            }
            EslStage::Greeting | EslStage::List | EslStage::Running => Ok(()),
        }
    }

    fn collect_changes(&mut self) {
        self.changes.extend(self.translator.take_changes());
    }
}

/// A call log.
#[derive(Clone)]
pub struct CsvSession {
    parser: CsvParser,
    columns: Columns,
    translator: CsvTranslator,
    changes: Vec<CallChange>,
    faulty: Vec<FaultyRow>,
    lines: u64,
}

/// Faulty lines that are kept until they are taken.
const FAULTY_MAX: usize = 64;

impl CsvSession {
    /// Splits lines by `columns`.
    #[must_use]
    pub fn new(columns: Columns, translator: CsvTranslator) -> CsvSession {
        let parser = CsvParser::new(columns.clone());
        CsvSession { parser, columns, translator, changes: vec![], faulty: vec![], lines: 0 }
    }

    /// Half a line of the connection before is none.
    fn begin(&mut self) {
        self.parser = CsvParser::new(self.columns.clone());
    }

    fn take_next(&mut self, now_s: u64) -> Result<bool, SessionError> {
        let Some(row) = self.parser.next_row()? else { return Ok(false) };
        self.take_row(&row, now_s);
        Ok(true)
    }

    fn take_row(&mut self, row: &[String], now_s: u64) {
        self.lines += 1;
        let result = self.translator.take_row(row, now_s);
        if let Some(error) = result.err().filter(|_| self.faulty.len() < FAULTY_MAX) {
            self.faulty.push(FaultyRow { line: self.lines, error });
        }
        self.changes.extend(self.translator.take_changes());
    }
}

#[cfg(test)]
mod tests;
