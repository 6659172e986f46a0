//! Handling of failed worker threads: alarms, refusals and the stock of data keys.
//!
//! Workers make data keys, compare PINs and close days; the shell retries their failures (see
//! `shell::workers::queue`). Without data keys no recording can start, but running recordings
//! continue. Calls that should be recorded wait, and start with the next key (see
//! `resume_interrupted`).

use super::{Output, Recorder};
use crate::alarm;
use crate::id::SessionId;
use crate::recorder::recording::key_stock::StockAlarm;
use crate::store::seal::Envelope;
use crate::time::Now;
use protocol::{Code, Refusal};

impl Recorder {
    /// Raises or clears the alarm about a worker that keeps failing; `None`: it works again.
    pub fn worker_state(&mut self, now: Now, trouble: Option<&str>) {
        match trouble {
            Some(text) => {
                let text = format!("{text}; the box tries again");
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
        self.recordings.keys.wanted()
    }

    pub(super) fn envelope_came(&mut self, now: Now, envelope: Envelope) {
        self.recordings.keys.add(envelope);
        self.resume_interrupted(now);
    }

    /// Replaces the stock after a change of the public keys, which the old envelopes do not match.
    pub fn replace_envelopes(&mut self, now: Now, envelopes: Vec<Envelope>) {
        self.recordings.keys.replace(envelopes);
        self.resume_interrupted(now);
    }

    /// Requests missing envelopes; raises an alarm when the stock stays empty too long.
    pub(super) fn ask_for_envelopes(&mut self, now: Now) {
        let missing =
            if self.admin.is_stopping() { 0 } else { self.recordings.keys.request_missing() };
        if missing > 0 {
            self.outputs.push_back(Output::MakeEnvelopes(missing));
        }
        match self.recordings.keys.check_alarm(now.mono, self.admin.is_stopping()) {
            StockAlarm::Unchanged => {}
            StockAlarm::Over => self.journal.clear_alarm(now, alarm::AlarmCode::NoDataKey, ""),
            StockAlarm::Raised => {
                let text = "the box has no data key: recordings begin again when it can make one";
                let text = text.to_string();
                self.journal.raise_alarm(now, alarm::AlarmCode::NoDataKey, "", text);
            }
        }
    }
}
