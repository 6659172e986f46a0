//! Worker threads of a simulated box: each finishes at once, or all of them fail.

use super::SimBox;
use hushbox::id::SessionId;
use hushbox::recorder::{Input, Output};
use hushbox::store::archive::{self, Catalogue};
use hushbox::store::day::Day;

impl SimBox {
    /// Worker threads fail from now on, or work again.
    pub fn workers_fail(&mut self, fail: bool) {
        self.workers_fail = fail;
        self.make_envelopes();
        self.settle();
    }

    /// Ends `no_envelopes`, and makes the envelopes that the recorder waits for.
    pub fn release_envelopes(&mut self) {
        self.no_envelopes = false;
        self.make_envelopes();
    }

    pub(super) fn close_days(
        &mut self,
        today: Day,
        damaged: Option<Day>,
    ) -> Result<(Catalogue, u64), String> {
        self.summaries += 1;
        if self.workers_fail {
            return Err("no memory".to_owned());
        }
        archive::repair_summaries(&mut self.disk, today, damaged).map_err(|error| error.to_string())
    }

    pub(super) fn make_envelopes(&mut self) {
        while self.envelopes_asked > 0 && !self.workers_fail && !self.no_envelopes {
            self.envelopes_asked -= 1;
            let envelope = Box::new(self.envelope());
            self.recorder.handle(self.now, Input::Envelope(envelope));
        }
    }
}

/// The session that waits for a worker thread to answer this request.
pub(super) fn waiting_session(output: &Output) -> Option<SessionId> {
    match output {
        Output::CheckPin { session, .. }
        | Output::NewCode { session }
        | Output::Sign { session, .. }
        | Output::EditConfig { session, .. }
        | Output::ReadConfig { session: Some(session), .. } => Some(*session),
        _ => None,
    }
}
