//! The stock of data keys, each in its envelope, that a worker makes in advance.

use crate::limits;
use crate::store::seal::Envelope;
use crate::time::MonoTime;
use std::collections::VecDeque;

/// The envelopes in stock, and those that were requested.
#[derive(Default)]
pub(in crate::recorder) struct KeyStock {
    envelopes: VecDeque<Envelope>,
    /// Envelopes requested but not yet received.
    asked: usize,
    /// Target size of the stock.
    wanted: usize,
    /// When the stock ran empty.
    empty_since: Option<MonoTime>,
    /// Whether the `NoDataKey` alarm is raised.
    told: bool,
}

/// What became of the alarm about an empty stock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::recorder) enum StockAlarm {
    Unchanged,
    Raised,
    Over,
}

impl KeyStock {
    pub fn new(wanted: usize) -> KeyStock {
        KeyStock { wanted, ..KeyStock::default() }
    }

    /// Target size of the stock.
    pub fn wanted(&self) -> usize {
        self.wanted
    }

    pub fn len(&self) -> usize {
        self.envelopes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.envelopes.is_empty()
    }

    pub fn take(&mut self) -> Option<Envelope> {
        self.envelopes.pop_front()
    }

    /// Adds a requested envelope.
    pub fn add(&mut self, envelope: Envelope) {
        self.asked = self.asked.saturating_sub(1);
        self.envelopes.push_back(envelope);
    }

    /// Replaces the stock after a change of the public keys.
    pub fn replace(&mut self, envelopes: Vec<Envelope>) {
        self.envelopes = envelopes.into();
    }

    /// Number of envelopes to request now.
    pub fn request_missing(&mut self) -> usize {
        let missing = self.wanted.saturating_sub(self.envelopes.len() + self.asked);
        self.asked += missing;
        missing
    }

    /// Follows how long the stock is empty. `quiet`: an empty stock does not matter now.
    pub fn check_alarm(&mut self, now: MonoTime, quiet: bool) -> StockAlarm {
        if !self.envelopes.is_empty() || quiet {
            self.empty_since = None;
            let over = std::mem::take(&mut self.told);
            return if over { StockAlarm::Over } else { StockAlarm::Unchanged };
        }
        let since = *self.empty_since.get_or_insert(now);
        if self.told || now.since_ms(since) < limits::NO_KEY_MS {
            return StockAlarm::Unchanged;
        }
        self.told = true;
        StockAlarm::Raised
    }

    /// When an empty stock raises its alarm.
    pub fn next_deadline(&self) -> Option<MonoTime> {
        self.empty_since.filter(|_| !self.told).map(|since| since.after_ms(limits::NO_KEY_MS))
    }
}
