//! Makes the lines that bring the box up to date.
//!
//! The reporter holds the calls that should run (`wanted`) and the calls that the box has confirmed
//! (`confirmed`). Each call has at most one line without a reply. A refusal that may pass is
//! retried; any other is logged by the shell and not repeated until the box connects again.

use super::call::{CallChange, CallFacts, CallKey, CallState};
use protocol::text::shorten_text;
use protocol::{Code, reply};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The most lines without a reply. The box stops reading at 64.
pub const IN_FLIGHT_MAX: usize = 32;

/// The pause before a refused line is sent again, in milliseconds.
pub const RETRY_MS: u64 = 1000;

/// The most bytes of a number, group or gate in the line protocol.
const DETAIL_BYTES_MAX: usize = 128;

/// The most bytes of a name in the line protocol.
const NAME_BYTES_MAX: usize = 32;

/// A call that the box listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoxCall {
    pub key: CallKey,
    pub held: bool,
}

/// What the box has confirmed of a call.
#[derive(Clone, Debug)]
struct Confirmed {
    /// `None`: the call was listed, and its facts are not known.
    facts: Option<CallFacts>,
    held: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Start(CallFacts),
    Update(CallFacts),
    Hold(bool),
    Stop,
}

/// What became of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineOutcome {
    /// The box has stored it.
    Confirmed,
    /// The line is sent again after `RETRY_MS`.
    Retried { key: CallKey },
    /// The box lost the call; it is reported anew.
    Repeated { key: CallKey },
    /// The line is not sent again.
    Refused { key: CallKey },
    /// No line was sent that this reply could answer.
    Unexpected,
}

/// Compares the calls of the exchange with those of the box.
#[derive(Clone, Debug, Default)]
pub struct Reporter {
    prefix: String,
    wanted: BTreeMap<CallKey, CallState>,
    confirmed: BTreeMap<CallKey, Confirmed>,
    due: VecDeque<CallKey>,
    queued: BTreeSet<CallKey>,
    in_flight: VecDeque<(CallKey, Step)>,
    /// Calls with a line without a reply.
    waiting: BTreeSet<CallKey>,
    refused: BTreeSet<CallKey>,
    /// When to compare a call again, in milliseconds of the caller's clock.
    retries: BTreeMap<CallKey, u64>,
    connected: bool,
    exchange_known: bool,
}

impl Reporter {
    /// `prefix` begins the ids of the calls that this program reports.
    #[must_use]
    pub fn new(prefix: &str) -> Reporter {
        Reporter { prefix: prefix.to_owned(), ..Reporter::default() }
    }

    /// Takes a change from the translator.
    pub fn apply(&mut self, (key, state): CallChange) {
        match state {
            Some(state) => drop(self.wanted.insert(key.clone(), state)),
            None => {
                self.wanted.remove(&key);
                self.refused.remove(&key);
            }
        }
        self.queue(key);
    }

    /// The exchange has listed all its calls. Before that the box keeps its calls.
    pub fn mark_exchange_known(&mut self) {
        self.exchange_known = true;
    }

    /// Keeps the calls that the box lists and the exchange cannot list, until the exchange ends
    /// them.
    pub fn adopt(&mut self, calls: &[BoxCall]) {
        for call in calls.iter().filter(|call| call.key.call.starts_with(&self.prefix)) {
            let state = CallState { held: call.held, ..CallState::default() };
            self.wanted.entry(call.key.clone()).or_insert(state);
        }
    }

    /// Begins a connection to the box, which lists these calls.
    pub fn connect(&mut self, calls: Vec<BoxCall>) {
        self.disconnect();
        self.connected = true;
        for BoxCall { key, held } in calls {
            if key.call.starts_with(&self.prefix) {
                self.confirmed.insert(key, Confirmed { facts: None, held });
            }
        }
        let keys: BTreeSet<_> = self.wanted.keys().chain(self.confirmed.keys()).cloned().collect();
        keys.into_iter().for_each(|key| self.queue(key));
    }

    /// Ends a connection to the box. Lines without a reply are made anew from the comparison.
    pub fn disconnect(&mut self) {
        let wanted = std::mem::take(&mut self.wanted);
        let (prefix, exchange_known) = (std::mem::take(&mut self.prefix), self.exchange_known);
        *self = Reporter { prefix, wanted, exchange_known, ..Reporter::default() };
    }

    /// The next line for the box, without its end.
    pub fn next_line(&mut self, now_ms: u64) -> Option<String> {
        if !self.connected || !self.exchange_known {
            return None;
        }
        while let Some(key) = self.next_retry_due(now_ms) {
            self.queue(key);
        }
        while self.in_flight.len() < IN_FLIGHT_MAX {
            let key = self.due.pop_front()?;
            self.queued.remove(&key);
            if self.waiting.contains(&key) || self.refused.contains(&key) {
                continue; // compared again at the reply
            }
            let Some(step) = self.next_step(&key) else { continue };
            let line = format_line(&key, &step, self.confirmed.get(&key));
            self.waiting.insert(key.clone());
            self.in_flight.push_back((key, step));
            return Some(line);
        }
        None
    }

    /// Takes the reply to the oldest line: `None` for `ok`, or the refusal's code.
    pub fn take_reply(&mut self, now_ms: u64, refusal: Option<Option<Code>>) -> LineOutcome {
        let Some((key, step)) = self.in_flight.pop_front() else { return LineOutcome::Unexpected };
        self.waiting.remove(&key);
        let Some(code) = refusal else {
            self.confirm(&key, step);
            self.queue(key);
            return LineOutcome::Confirmed;
        };
        match code {
            Some(Code::NoSuchCall) => {
                self.confirmed.remove(&key);
                self.queue(key.clone());
                LineOutcome::Repeated { key }
            }
            Some(
                Code::Busy
                | Code::DiskFull
                | Code::Storage
                | Code::TooMany
                | Code::Locked
                | Code::ShuttingDown,
            ) => {
                self.retries.insert(key.clone(), now_ms.saturating_add(RETRY_MS));
                LineOutcome::Retried { key }
            }
            _ => {
                self.refused.insert(key.clone());
                LineOutcome::Refused { key }
            }
        }
    }

    /// When `next_line` should be called again although nothing happened.
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        self.retries.values().min().copied()
    }

    /// Whether every call is confirmed and no line waits.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.in_flight.is_empty() && self.due.is_empty() && self.retries.is_empty()
    }

    /// The number of calls that run.
    #[must_use]
    pub fn call_count(&self) -> usize {
        self.wanted.len()
    }

    fn queue(&mut self, key: CallKey) {
        if self.queued.insert(key.clone()) {
            self.due.push_back(key);
        }
    }

    fn next_retry_due(&mut self, now_ms: u64) -> Option<CallKey> {
        let due = self.retries.iter().find(|(_, at)| **at <= now_ms);
        let key = due.map(|(key, _)| key.clone())?;
        self.retries.remove(&key);
        Some(key)
    }

    /// The step from what the box has confirmed towards what should be.
    fn next_step(&self, key: &CallKey) -> Option<Step> {
        match (self.confirmed.get(key), self.wanted.get(key)) {
            (None, None) => None,
            (None, Some(state)) => Some(Step::Start(state.facts.clone())),
            (Some(_), None) => Some(Step::Stop),
            (Some(known), Some(state)) => {
                let nothing = CallFacts::default();
                if known.facts.as_ref().unwrap_or(&nothing) != &state.facts {
                    return Some(Step::Update(state.facts.clone()));
                }
                (known.held != state.held).then_some(Step::Hold(state.held))
            }
        }
    }

    fn confirm(&mut self, key: &CallKey, step: Step) {
        match step {
            Step::Start(facts) => {
                let confirmed = Confirmed { facts: Some(facts), held: false };
                self.confirmed.insert(key.clone(), confirmed);
            }
            Step::Update(facts) => {
                if let Some(known) = self.confirmed.get_mut(key) {
                    known.facts = Some(facts);
                }
            }
            Step::Hold(held) => {
                if let Some(known) = self.confirmed.get_mut(key) {
                    known.held = held;
                }
            }
            Step::Stop => drop(self.confirmed.remove(key)),
        }
    }
}

fn format_line(key: &CallKey, step: &Step, known: Option<&Confirmed>) -> String {
    let verb = match step {
        Step::Start(_) => "call start",
        Step::Update(_) => "call update",
        Step::Hold(true) => "call hold",
        Step::Hold(false) => "call resume",
        Step::Stop => "call stop",
    };
    let mut bytes = Vec::new();
    let mut line = reply::begin_line(&mut bytes, verb);
    line = line.pair("device", &key.device).pair("call", &key.call);
    if let Step::Start(facts) | Step::Update(facts) = step {
        let before = known.and_then(|known| known.facts.clone()).unwrap_or_default();
        for ((name, value), (_, old)) in facts.pairs().into_iter().zip(before.pairs()) {
            let most = if name == "agent" { NAME_BYTES_MAX } else { DETAIL_BYTES_MAX };
            match value {
                Some(value) if Some(value) != old => {
                    let value = if name == "of" { value.into() } else { shorten_text(value, most) };
                    line = line.pair(name, value);
                }
                // `-` takes a number or a name back; the other values cannot be taken back.
                None if old.is_some() && ["ani", "dnis", "group", "gate"].contains(&name) => {
                    line = line.pair(name, "-");
                }
                _ => {}
            }
        }
    }
    line.end();
    bytes.pop();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests;
