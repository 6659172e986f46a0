//! Lines of the call feed that are refused, or whose details are not as the protocol wants them.
//!
//! A feed acts on no `err`, so a call must not be missed for a detail: a refused line is read once
//! more, tolerantly (`protocol::tolerant`). An alarm, the log and the record name what was changed
//! or left out. A line that stays refused is counted and logged; it raises an alarm unless the line
//! is good and only came at the wrong time. The log gets at most one line a second.

use crate::alarm::AlarmCode;
use crate::id::{RecordingId, SessionId};
use crate::limits;
use crate::recorder::session::response::Response;
use crate::recorder::{Recorder, Session};
use crate::store::fact::Fact;
use crate::time::{MonoTime, Now};
use protocol::{Alteration, Code, Command, Kind, Refusal, Request, tolerant};
use std::collections::BTreeMap;

/// Name of the feeds beyond `limits::FEEDS_MAX`, in metrics.
const OTHER_FEEDS: &str = "other";

/// What happened to the lines of the feeds since the daemon started.
#[derive(Debug, Default)]
pub(in crate::recorder) struct FeedCounters {
    /// Refused lines, by feed and code.
    refused: BTreeMap<(String, &'static str), u64>,
    /// Lines that were taken with altered details, by feed.
    altered: BTreeMap<String, u64>,
    next_log: MonoTime,
    /// Events since the last log line.
    unlogged: u64,
}

impl FeedCounters {
    /// The names and values of the counters, as `stats` lists them.
    pub fn metrics(&self) -> impl Iterator<Item = (String, u64)> {
        let refused = self.refused.iter().map(|((feed, code), count)| {
            (format!("hushbox_feed_refused_total{{feed=\"{feed}\",code=\"{code}\"}}"), *count)
        });
        let altered = self.altered.iter().map(|(feed, count)| {
            (format!("hushbox_feed_altered_total{{feed=\"{feed}\"}}"), *count)
        });
        refused.chain(altered)
    }

    /// The name under which a feed is counted. Sessions choose their names, so these are bounded.
    fn counted_name(&self, feed: &str) -> String {
        let known = self.refused.keys().map(|(feed, _)| feed).chain(self.altered.keys());
        let known: std::collections::BTreeSet<&String> = known.collect();
        let fits = known.len() < limits::FEEDS_MAX || known.iter().any(|name| *name == feed);
        let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
        if fits { feed.chars().map(plain).collect() } else { OTHER_FEEDS.to_string() }
    }

    /// Writes at most one line a second to the log.
    fn log(&mut self, now: MonoTime, text: &str) {
        self.unlogged += 1;
        if now < self.next_log {
            return;
        }
        let more = std::mem::take(&mut self.unlogged) - 1;
        let rest = if more > 0 { format!(" ({more} more before)") } else { String::new() };
        log::warn!("{text}{rest}");
        self.next_log = now.after_ms(limits::FEED_LOG_MS);
    }
}

/// Adds to a call's list of altered details what is not in it yet.
pub(super) fn add_alterations(known: &mut String, new: &[Alteration]) {
    for alteration in new {
        let text = alteration.to_string();
        if known.split(", ").any(|other| other == text) || known.len() > limits::ALTERED_BYTES_MAX {
            continue;
        }
        known.push_str(if known.is_empty() { "" } else { ", " });
        known.push_str(&text);
    }
}

/// Appends a call's altered details to the explanation of a recording.
pub(in crate::recorder) fn describe_alterations(altered: &str, why: &mut String) {
    if !altered.is_empty() {
        why.push_str(if why.is_empty() { "from the feed: " } else { "; from the feed: " });
        why.push_str(altered);
    }
}

/// Whether a refusal is about the state of a call, not about a wrong line or a missed call.
fn is_about_state(code: Code) -> bool {
    use Code::{DiskFull, OnDemandOff, ShuttingDown, Storage};
    use Code::{NoCall, NoChannel, NoSchedule, NoSuchCall, NoSuchDevice, NotRecording, NotYours};
    let state = [NoCall, NoSchedule, NoSuchCall, NoSuchDevice, NotRecording, NotYours];
    // These have alarms of their own, or follow from the configuration.
    let known = [DiskFull, NoChannel, OnDemandOff, ShuttingDown, Storage];
    state.contains(&code) || known.contains(&code)
}

impl Recorder {
    /// Reads a refused line of a feed once more, and executes it without the details that are
    /// wrong. Reports what was altered, or that the line stays refused.
    pub(in crate::recorder) fn retry_feed_line(
        &mut self,
        now: Now,
        id: SessionId,
        text: &str,
        refusal: Refusal,
    ) -> Result<Response, Refusal> {
        let Some((request, altered)) = tolerant::parse(text, &refusal, Kind::Cti) else {
            let known = Request::parse(text, Some(Kind::Cti)).ok();
            let what = known.map_or_else(String::new, |known| subject_of(&known.command));
            self.report_feed_refusal(now, id, &what, refusal.code);
            return Err(refusal);
        };
        let what = subject_of(&request.command);
        let result = self.execute_request(now, id, request);
        match &result {
            Err(refusal) => self.report_feed_refusal(now, id, &what, refusal.code),
            Ok(_) if altered.is_empty() => {}
            Ok(_) => self.report_alterations(now, id, &what, &altered),
        }
        let keys: Vec<&str> = altered.iter().map(|detail| detail.key.as_str()).collect();
        result.map(|reply| reply.with_pair("altered", &keys.join(",")))
    }

    /// Reports the code only, because the text of a refusal may repeat personal data.
    fn report_feed_refusal(&mut self, now: Now, id: SessionId, what: &str, code: Code) {
        let feed = self.feed_name(id);
        let name = self.admin.feeds.counted_name(&feed);
        *self.admin.feeds.refused.entry((name, code.as_str())).or_default() += 1;
        let about = if what.is_empty() { String::new() } else { format!(" ({what})") };
        let text =
            format!("a line of the call feed {feed}{about} was refused: {code}, {}", code.advice());
        if !is_about_state(code) {
            self.journal.raise_alarm(now, AlarmCode::FeedRefused, &feed, text.clone());
        }
        self.admin.feeds.log(now.mono, &text);
    }

    fn report_alterations(&mut self, now: Now, id: SessionId, what: &str, altered: &[Alteration]) {
        let feed = self.feed_name(id);
        let name = self.admin.feeds.counted_name(&feed);
        *self.admin.feeds.altered.entry(name).or_default() += 1;
        let details: Vec<String> = altered.iter().map(Alteration::to_string).collect();
        let text = format!("the call feed {feed}, {what}: {}", details.join(", "));
        self.journal.raise_alarm(now, AlarmCode::FeedDetail, &feed, text.clone());
        self.admin.feeds.log(now.mono, &text);
    }

    fn feed_name(&self, id: SessionId) -> String {
        let who = self.sessions.get(id).and_then(|session: &Session| session.who.as_ref());
        who.map_or_else(|| OTHER_FEEDS.to_string(), |who| who.user.clone())
    }

    /// Adds a call's altered details to the explanation of its running recording.
    pub(super) fn explain_alterations(&mut self, now: Now, id: RecordingId, altered: &str) {
        let Some(record) = self.journal.index.record(id) else { return };
        let before = record.began.why.split("; ").filter(|part| !part.starts_with("from the feed"));
        let mut why = before.collect::<Vec<_>>().join("; ");
        describe_alterations(altered, &mut why);
        if !altered.is_empty() && why != record.began.why {
            let fact = Fact::RecordingWhy { id, why };
            self.journal.append(now, fact);
        }
    }
}

/// The call or agent that a command of a feed is about.
fn subject_of(command: &Command<'_>) -> String {
    match command {
        Command::CallStart(args) | Command::CallUpdate(args) => {
            format!("call {} on {}", args.call, args.device)
        }
        Command::CallHold { device, call }
        | Command::CallResume { device, call }
        | Command::CallStop { device, call } => format!("call {call} on {device}"),
        other => other.verb().to_string(),
    }
}
