//! Worker threads of a simulated recorder: each job completes at once, or all jobs fail.

use super::SimBox;
use hushbox::id::SessionId;
use hushbox::recorder::{Input, Output};
use hushbox::store::archive::{self, Catalogue};
use hushbox::store::day::Day;

impl SimBox {
    /// Makes worker jobs fail or succeed from now on.
    pub fn workers_fail(&mut self, fail: bool) {
        self.workers_fail = fail;
        self.make_envelopes();
        self.settle();
    }

    /// Completes the envelopes that `no_envelopes` held back, and clears it.
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

/// The session that waits for a worker to complete this output.
pub(super) fn waiting_session(output: &Output) -> Option<SessionId> {
    match output {
        Output::CheckPin { session, .. }
        | Output::NewCode { session }
        | Output::Sign { session, .. }
        | Output::EditConfig { session, .. }
        | Output::ReadConfig { session, .. } => Some(*session),
        _ => None,
    }
}
