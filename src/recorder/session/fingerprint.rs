//! The recorder's deciding state as one text, for a test that a refusal changes nothing.
//!
//! Counters, events, notifications and alarms are left out, because a refusal may change them.

use crate::recorder::Recorder;
use std::fmt::Write;

impl Recorder {
    /// The state as text, one line per item.
    #[doc(hidden)]
    #[must_use]
    pub fn state_fingerprint(&self) -> String {
        let mut out = String::new();
        let mut put = |what: &str, value: &dyn std::fmt::Debug| {
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{what} {value:?}");
        };
        put(
            "journal",
            &(
                self.journal.storage.next_sequence(),
                self.journal.storage.last_fact_ticket(),
                self.journal.storage.full,
            ),
        );
        put("calls", &self.calls);
        for r in self.recordings.iter() {
            let stream =
                r.writer.as_ref().map(|writer| (writer.stream.cursor, writer.stream.is_flushing));
            let held = r.writer.as_ref().map(|writer| &writer.stream.held_ranges);
            let reasons = (r.reasons, r.reasons_ever, &r.pressed, &r.schedule, r.retain_until);
            put(
                "recording",
                &(r.id, r.call, r.channel, r.from, r.end_recording, reasons, stream, held),
            );
        }
        for stream in self.recordings.recall.streams() {
            put(
                "recall",
                &(stream.channel, stream.from, stream.cursor, stream.end, &stream.held_ranges),
            );
        }
        for channel in &self.channels {
            let masked = (&channel.mask, channel.is_masked(), channel.unreleased_from);
            put("channel", &(channel.id, channel.head(), masked, channel.ring.content_hash()));
        }
        put("blackouts", &self.blackouts);
        put(
            "stock",
            &(self.recordings.keys.len(), &self.recordings.to_resume, self.admin.is_stopping()),
        );
        for session in self.sessions.iter() {
            put("session", &(session.id, &session.who));
        }
        out
    }
}
