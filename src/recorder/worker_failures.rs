//! What becomes of the recorder when a worker thread fails: alarms, refusals, and patience.
//!
//! A worker makes data keys, compares PINs, closes days. The shell tries its failures again; here
//! they are told. Without data keys nothing new is recorded, but what is being recorded goes on:
//! so the recorder never ends for want of one. What should be recorded meanwhile waits, and begins
//! with the first key that comes (see `resume_cut`).
//!
//! Nothing here starts anything again: that is for the shell (see `shell::workers::queue`).

use super::{Output, Recorder};
use crate::alarm;
use crate::id::SessionId;
use crate::limits;
use crate::store::seal::Envelope;
use crate::time::{MonoTime, Now};
use protocol::{Code, Refusal};

/// The stock of data keys, each in its envelope.
#[derive(Debug, Default)]
pub(super) struct KeyStock {
    /// Envelopes that were asked for and did not come yet.
    asked: usize,
    /// How many are kept in stock.
    wanted: usize,
    /// Since when there is none.
    empty_since: Option<MonoTime>,
    /// That is an alarm already.
    told: bool,
}

impl KeyStock {
    pub fn new(wanted: usize) -> KeyStock {
        KeyStock { wanted, ..KeyStock::default() }
    }
}

impl Recorder {
    /// What a worker thread keeps failing at; `None`: it fails no more.
    pub fn worker_state(&mut self, now: Now, trouble: Option<&str>) {
        match trouble {
            Some(text) => {
                let text = format!("{text}; tried again");
                self.raise_alarm(now, alarm::AlarmCode::WorkerFailed, "", text);
            }
            None => self.clear_alarm(now, alarm::AlarmCode::WorkerFailed, ""),
        }
    }

    /// What the shell was asked for on behalf of a session could not be done in time. Nothing has
    /// changed: the client may ask again.
    pub(super) fn given_up(&mut self, now: Now, id: SessionId, why: &str) {
        self.take_back_enrolment(now, id);
        let Some(session) = self.sessions.get_mut(id) else { return };
        session.claims = None;
        let text = format!("the box cannot do this now ({why}); try again");
        self.send_refusal(id, &Refusal::new(Code::Busy, text));
    }

    /// How many envelopes are kept in stock.
    #[must_use]
    pub fn envelopes_wanted(&self) -> usize {
        self.key_stock.wanted
    }

    pub(super) fn envelope_came(&mut self, now: Now, envelope: Envelope) {
        self.key_stock.asked = self.key_stock.asked.saturating_sub(1);
        self.envelopes.push_back(envelope);
        self.resume_interrupted(now);
    }

    /// The public keys changed: the stock is wrapped for the ones before, and makes place for this.
    pub fn replace_envelopes(&mut self, now: Now, envelopes: Vec<Envelope>) {
        self.envelopes = envelopes.into();
        self.resume_interrupted(now);
    }

    /// Asks for what is missing of the stock, and tells when there has been none for long.
    pub(super) fn ask_for_envelopes(&mut self, now: Now) {
        let have = self.envelopes.len() + self.key_stock.asked;
        if have < self.key_stock.wanted && !self.stopping {
            let missing = self.key_stock.wanted - have;
            self.key_stock.asked += missing;
            self.outputs.push_back(Output::MakeEnvelopes(missing));
        }
        if !self.envelopes.is_empty() || self.stopping {
            self.key_stock.empty_since = None;
            if std::mem::take(&mut self.key_stock.told) {
                self.clear_alarm(now, alarm::AlarmCode::NoDataKey, "");
            }
            return;
        }
        let since = *self.key_stock.empty_since.get_or_insert(now.mono);
        if !self.key_stock.told && now.mono.since_ms(since) >= limits::NO_KEY_MS {
            self.key_stock.told = true;
            let text = "there is no data key: no recording can begin until one is made";
            self.raise_alarm(now, alarm::AlarmCode::NoDataKey, "", text.to_string());
        }
    }
}
