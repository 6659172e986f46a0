//! A session and a reporter without sockets, for tests: events go in, lines come out.

use crate::config::Config;
use crate::session::{ExchangeSession, SessionError};
use crate::translate::reporter::{BoxCall, Reporter};
use std::path::Path;

pub struct Feed {
    pub session: ExchangeSession,
    pub reporter: Reporter,
    pub now_s: u64,
    sent: Vec<String>,
}

impl Feed {
    /// A feed with this configuration, and a box without calls.
    pub fn new(config: &str) -> Feed {
        let config = Config::parse(config, Path::new("cti.toml")).unwrap_or_else(|e| panic!("{e}"));
        let mut reporter = Reporter::new(&config.prefix);
        reporter.connect(Vec::new());
        let mut session = config.session;
        session.begin();
        Feed { session, reporter, now_s: 1_700_000_000, sent: Vec::new() }
    }

    /// Passes bytes of the exchange in.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<(), SessionError> {
        self.session.receive(bytes);
        while self.session.take_next(self.now_s)? {
            if self.session.knows_calls() {
                self.reporter.mark_exchange_known();
            }
            self.session.take_changes().into_iter().for_each(|change| self.reporter.apply(change));
            self.confirm_lines();
        }
        Ok(())
    }

    fn confirm_lines(&mut self) {
        while let Some(line) = self.reporter.next_line(0) {
            self.sent.push(line);
            self.reporter.take_reply(0, None);
        }
    }

    /// Passes text in; the lines that the box is sent, each of which it confirms.
    pub fn lines_after(&mut self, text: &str) -> Vec<String> {
        self.receive(text.as_bytes()).unwrap();
        self.lines()
    }

    /// The lines that are due, each confirmed.
    pub fn lines(&mut self) -> Vec<String> {
        self.confirm_lines();
        std::mem::take(&mut self.sent)
    }

    /// The box connects anew and lists these calls.
    pub fn reconnect_box(&mut self, calls: &[BoxCall]) -> Vec<String> {
        if self.session.adopt(calls) {
            self.reporter.adopt(calls);
        }
        self.reporter.connect(calls.to_vec());
        self.lines()
    }

    /// What the exchange is sent.
    pub fn output(&mut self) -> String {
        String::from_utf8(self.session.take_output()).unwrap()
    }
}

/// A call as the box lists it.
pub fn box_call(device: &str, call: &str, held: bool) -> BoxCall {
    let key = crate::translate::call::CallKey { device: device.to_owned(), call: call.to_owned() };
    BoxCall { key, held }
}
