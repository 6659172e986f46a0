//! Everything that decides anything, as one text: a test compares it before and after a refusal.
//!
//! What only counts (refusals, lines), what is only told (events, news) and alarms are not in it: a
//! refusal may leave a trace there. No program looks at it.

use crate::recorder::Recorder;
use std::fmt::Write;

impl Recorder {
    /// See the module.
    #[doc(hidden)]
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut out = String::new();
        let mut put = |what: &str, value: &dyn std::fmt::Debug| {
            // Writing to a string does not fail.
            let _ = writeln!(out, "{what} {value:?}");
        };
        put("journal", &(self.storage.next_sequence(), self.storage.settled(), self.storage.full));
        put("calls", &self.calls);
        put("seats", &self.seats);
        for r in &self.recordings {
            let reel = r.tape.as_ref().map(|tape| (tape.reel.cursor, tape.reel.flush));
            let held = r.tape.as_ref().map(|tape| &tape.reel.held);
            let reasons = (r.reasons, r.reasons_ever, &r.pressed, &r.schedule, r.retain_until);
            put("recording", &(r.id, r.call, r.channel, r.from, r.end, reasons, reel, held));
        }
        for reel in self.recall.reels() {
            put("recall", &(reel.channel, reel.from, reel.cursor, reel.end, &reel.held));
        }
        for channel in &self.channels {
            let masked = (&channel.mask, channel.masked(), channel.waits_from);
            put("channel", &(channel.id, channel.head(), masked, channel.ring.fingerprint()));
        }
        put("blackouts", &self.blackouts);
        put("stock", &(self.envelopes.len(), &self.cut, self.stopping));
        for session in self.sessions.iter() {
            put("session", &(session.id, &session.who));
        }
        out
    }
}
