//! Handling of failed worker threads: alarms, refusals and the stock of data keys.
//!
//! Workers make data keys, compare PINs and close days; the shell retries their failures (see
//! `shell::workers::queue`). Without data keys no recording can start, but running recordings
//! continue. Calls that should be recorded wait, and start with the next key (see
//! `resume_interrupted`).

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
    /// Envelopes requested but not yet received.
    asked: usize,
    /// Target size of the stock.
    wanted: usize,
    /// When the stock ran empty.
    empty_since: Option<MonoTime>,
    /// Whether the `NoDataKey` alarm is raised.
    told: bool,
}

impl KeyStock {
    pub fn new(wanted: usize) -> KeyStock {
        KeyStock { wanted, ..KeyStock::default() }
    }

    /// When an empty stock raises its alarm.
    pub fn next_deadline(&self) -> Option<MonoTime> {
        self.empty_since.filter(|_| !self.told).map(|since| since.after_ms(limits::NO_KEY_MS))
    }
}

impl Recorder {
    /// Raises or clears the alarm about a worker that keeps failing; `None`: it works again.
    pub fn worker_state(&mut self, now: Now, trouble: Option<&str>) {
        match trouble {
            Some(text) => {
                let text = format!("{text}; tried again");
                self.journal.raise_alarm(now, alarm::AlarmCode::WorkerFailed, "", text);
            }
            None => self.journal.clear_alarm(now, alarm::AlarmCode::WorkerFailed, ""),
        }
    }

    /// Refuses a session's request that a worker could not complete in time. Nothing has changed,
    /// so the client may retry.
    pub(super) fn given_up(&mut self, now: Now, id: SessionId, why: &str) {
        self.take_back_enrolment(now, id);
        let Some(session) = self.sessions.get_mut(id) else { return };
        session.claims = None;
        let text = format!("the box cannot do this now ({why}); try again");
        self.send_refusal(id, &Refusal::new(Code::Busy, text));
    }

    /// Target number of envelopes in stock.
    #[must_use]
    pub fn envelopes_wanted(&self) -> usize {
        self.key_stock.wanted
    }

    pub(super) fn envelope_came(&mut self, now: Now, envelope: Envelope) {
        self.key_stock.asked = self.key_stock.asked.saturating_sub(1);
        self.envelopes.push_back(envelope);
        self.resume_interrupted(now);
    }

    /// Replaces the stock after a change of the public keys, which the old envelopes do not match.
    pub fn replace_envelopes(&mut self, now: Now, envelopes: Vec<Envelope>) {
        self.envelopes = envelopes.into();
        self.resume_interrupted(now);
    }

    /// Requests missing envelopes; raises an alarm when the stock stays empty too long.
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
                self.journal.clear_alarm(now, alarm::AlarmCode::NoDataKey, "");
            }
            return;
        }
        let since = *self.key_stock.empty_since.get_or_insert(now.mono);
        if !self.key_stock.told && now.mono.since_ms(since) >= limits::NO_KEY_MS {
            self.key_stock.told = true;
            let text = "there is no data key: no recording can begin until one is made";
            self.journal.raise_alarm(now, alarm::AlarmCode::NoDataKey, "", text.to_string());
        }
    }
}
