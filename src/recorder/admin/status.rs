//! Status replies: channels, calls, clients, alarms, disk, counters, events.
//!
//! Levels and events never contain masked audio, numbers or field values (G6). Only `alarm clear`
//! changes anything.

use crate::audio::channel::ChannelIndex;
use crate::calls::permission::Permission;
use crate::id::SessionId;
use crate::job::Ticket;
use crate::recorder::Recorder;
use crate::recorder::session::response::Response;
use crate::store::fact::{BlackoutHolder, Fact};
use crate::time::{MonoTime, Now};
use crate::trace::{TraceEntry, TraceEvent};
use protocol::{Code, Kind, Refusal, reply};
use std::collections::BTreeSet;

/// Counters since the daemon started.
#[derive(Debug, Default)]
pub struct Counters {
    pub captured_frames: u64,
    /// Frames lost on all sides.
    pub lost_frames: u64,
    /// Frames lost on one side, late ones included.
    pub side_lost_frames: u64,
    /// Frames of one side that came late, and in time to be stored.
    pub late_frames: u64,
    pub lines: u64,
    pub sessions: u64,
    pub calls_without_channel: u64,
    /// Video segments received, their bytes, and segments refused.
    pub screen_pieces: u64,
    pub screen_bytes: u64,
    pub screen_refused: u64,
    refused: Vec<(Code, u64)>,
}

impl Counters {
    pub fn count_refusal(&mut self, code: Code) {
        match self.refused.iter_mut().find(|(known, _)| *known == code) {
            Some((_, count)) => *count += 1,
            None => self.refused.push((code, 1)),
        }
    }
}

/// Converts the protocol's log level to the `log` crate's.
pub(in crate::recorder) fn log_level(level: protocol::Level) -> log::LevelFilter {
    match level {
        protocol::Level::Error => log::LevelFilter::Error,
        protocol::Level::Warn => log::LevelFilter::Warn,
        protocol::Level::Info => log::LevelFilter::Info,
        protocol::Level::Debug => log::LevelFilter::Debug,
        protocol::Level::Trace => log::LevelFilter::Trace,
    }
}

/// Writes one `event` line of `watch`.
pub(in crate::recorder) fn write_event(traced: &TraceEntry, out: &mut Vec<u8>) {
    let line = reply::begin_event(out).pair("seq", traced.sequence);
    let line = |what: &str| line.pair("what", what).pair("time", traced.at);
    match &traced.event {
        TraceEvent::LogIn { user, kind } => {
            line("log-in").pair("kind", kind).pair("user", user).end()
        }
        TraceEvent::LogOut { user, kind } => {
            line("log-out").pair("kind", kind).pair("user", user).end()
        }
        TraceEvent::CallBegan { device, call } => {
            line("call-began").pair("device", device).pair("call", call).end();
        }
        TraceEvent::CallEnded { device, call } => {
            line("call-ended").pair("device", device).pair("call", call).end();
        }
        TraceEvent::RecordingBegan { recording, device } => {
            line("recording-began").pair("recording", recording).pair("device", device).end();
        }
        TraceEvent::RecordingEnded { recording, why } => {
            line("recording-ended").pair("recording", recording).pair("why", why).end();
        }
        TraceEvent::Fetched { recording, by, why } => {
            line("fetched").pair("recording", recording).pair("by", by).pair("why", why).end();
        }
        TraceEvent::Blackout { agent, on, why } => {
            let on = protocol::state::format_on_off(*on);
            line("blackout").pair("agent", agent).pair("state", on).pair("why", why).end();
        }
        TraceEvent::AlarmRaised { number, word, text } => {
            line("alarm").pair("alarm", number).pair("code", word).pair("text", text).end();
        }
        TraceEvent::AlarmResolved { number, word } => {
            line("alarm-over").pair("alarm", number).pair("code", word).end();
        }
        TraceEvent::Lost { channel, frames, why } => {
            line("lost").pair("channel", channel).pair("frames", frames).pair("why", why).end();
        }
    }
}

fn as_yes_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

impl Recorder {
    /// Raises or clears the alarm about a serial console's port.
    pub(in crate::recorder) fn set_console_state(
        &mut self,
        now: Now,
        place: &str,
        trouble: Option<String>,
    ) {
        match trouble {
            Some(text) => {
                self.journal.raise_alarm(now, crate::alarm::AlarmCode::ConsoleDown, place, text);
            }
            None => self.journal.clear_alarm(now, crate::alarm::AlarmCode::ConsoleDown, place),
        }
    }

    /// Raises or clears the alarm about a board.
    pub(in crate::recorder) fn set_board_state(
        &mut self,
        now: Now,
        board: usize,
        trouble: Option<String>,
    ) {
        let Some(name) = self.config.boards.get(board).map(|board| board.name.clone()) else {
            return;
        };
        if self.boards[board] == trouble {
            return;
        }
        match &trouble {
            Some(text) => {
                // A board's own errors name it already.
                let text = match text.strip_prefix(&format!("board `{name}`")) {
                    Some(rest) => format!("board {name}{rest}"),
                    None => format!("board {name}: {text}"),
                };
                self.journal.raise_alarm(now, crate::alarm::AlarmCode::BoardDown, &name, text);
            }
            None => self.journal.clear_alarm(now, crate::alarm::AlarmCode::BoardDown, &name),
        }
        self.boards[board] = trouble;
    }

    /// The recorder's state in one line, for the service manager.
    #[must_use]
    pub fn status_line(&self) -> String {
        let running = self.recordings.running().count();
        let calls = self.calls.live_count();
        let mut line = match self.admin.is_stopping() {
            true => format!("stopping: closing {running} recordings"),
            false => format!("recording {running}, calls {calls}"),
        };
        if !self.blackouts.open.is_empty() {
            line.push_str(&format!(", blackouts {}", self.blackouts.open.len()));
        }
        let active =
            self.journal.alarms.iter().filter(|alarm| alarm.is_active).map(|alarm| alarm.code);
        let active: BTreeSet<_> = active.collect();
        let words: Vec<String> =
            active.iter().map(|code| format!("{} {}", code.number(), code.as_str())).collect();
        match words.is_empty() {
            true => line + "; no alarm",
            false => format!("{line}; alarms: {}", words.join(", ")),
        }
    }

    pub(in crate::recorder) fn list_channels(&self) -> Response {
        let mut bytes = Vec::new();
        for (index, channel) in self.channels.iter().enumerate() {
            let recording = self.recordings.is_recorded(ChannelIndex(index));
            let state = match (&self.boards[channel.board], channel.is_hidden(), recording) {
                (Some(_), _, _) => "failed",
                (None, true, _) => "masked",
                (None, false, true) => "recording",
                (None, false, false) => "idle",
            };
            let board = self.config.boards.get(channel.board).map_or("-", |b| b.name.as_str());
            let row = reply::begin_row(&mut bytes).pair("channel", channel.id).pair("board", board);
            let row = row.pair("device", &channel.device).pair("state", state);
            let row = row.pair("level_db", channel.meter.level_db());
            let row = row.pair("peak_db", channel.meter.peak_db());
            let row = row.pair("lost", channel.lost_frames).pair("position", channel.head());
            row.pair("recording", as_yes_no(recording)).end();
        }
        reply::begin_ok(&mut bytes).end();
        Response::immediate(bytes)
    }

    pub(in crate::recorder) fn list_calls(&self) -> Response {
        let mut bytes = Vec::new();
        for call in self.calls.live_calls() {
            let running = self.recordings.running_of(call.number);
            let id = running.map_or("-".to_string(), |r| r.id.to_string());
            let reasons = running.map(|r| r.reasons).unwrap_or_default();
            let masked = self.channels[call.channel.0].is_masked();
            let agent = self.owner_name(call);
            let row =
                reply::begin_row(&mut bytes).pair("device", &call.device).pair("call", &call.id);
            let row = row.pair("agent", agent.as_deref().unwrap_or("-")).pair("since", call.began);
            let row = row.pair("recording", id).pair("reasons", reasons);
            let row = row.pair("blackout", protocol::state::format_on_off(masked));
            row.pair("held", as_yes_no(call.is_held)).end();
        }
        reply::begin_ok(&mut bytes).end();
        Response::immediate(bytes)
    }

    pub(in crate::recorder) fn list_clients(&self) -> Response {
        let mut bytes = Vec::new();
        for session in self.sessions.iter() {
            let who = session.who.as_ref();
            let kind = who.map_or("-", |who| who.kind.as_str());
            let user = who.map_or("-", |who| who.user.as_str());
            let machine = who.and_then(|who| who.machine.as_deref()).unwrap_or("-");
            let row = reply::begin_row(&mut bytes).pair("session", session.id.0).pair("kind", kind);
            let row = row.pair("user", user).pair("machine", machine);
            row.pair("from", &session.peer.from).pair("since", session.since).end();
        }
        reply::begin_ok(&mut bytes).end();
        Response::immediate(bytes)
    }

    pub(in crate::recorder) fn list_alarms(&self) -> Response {
        let mut bytes = Vec::new();
        let mut all: Vec<_> = self.journal.alarms.iter().collect();
        all.sort_by_key(|alarm| std::cmp::Reverse(alarm.since));
        for alarm in all {
            let state = if alarm.is_active { "active" } else { "resolved" };
            let row = reply::begin_row(&mut bytes).pair("alarm", alarm.code.number());
            let row = row.pair("code", alarm.code.as_str());
            let row = row.pair("severity", alarm.code.severity().as_str());
            let row = row.pair("since", alarm.since).pair("state", state);
            row.pair("text", &alarm.text).end();
        }
        reply::begin_ok(&mut bytes).end();
        Response::immediate(bytes)
    }

    pub(in crate::recorder) fn acknowledge_alarm(
        &mut self,
        now: Now,
        number: u32,
        by: String,
    ) -> Result<Response, Refusal> {
        let number = u16::try_from(number).unwrap_or(0);
        if self.journal.alarms.clear(number).is_none() {
            let text = format!("alarm {number} is none that can be cleared; see `alarms`");
            return Err(Refusal::new(Code::BadArgument, text));
        }
        log::info!("alarm {number} was cleared by {by} at {}", now.wall);
        if !self.journal.index.alarms().contains(number) {
            return Ok(Response::ok(Ticket(0)));
        }
        let fact = Fact::AlarmCleared { number, by };
        Ok(Response::ok(self.journal.append(now, fact)))
    }

    pub(in crate::recorder) fn report_disk(&self) -> Response {
        let mut bytes = Vec::new();
        let (free, total) = (self.journal.storage.free_bytes, self.journal.storage.total_bytes);
        let (records, oldest) = self.count_records();
        let oldest = oldest.map_or("-".to_string(), |at| at.to_string());
        let line =
            reply::begin_ok(&mut bytes).pair("free", free).pair("used", total.saturating_sub(free));
        let line = line.pair("records", records).pair("oldest", oldest);
        match self.days_left() {
            Some(days) => line.pair("days_left", days).end(),
            None => line.pair("days_left", "-").end(),
        }
        Response::immediate(bytes)
    }

    /// Days until the disk is full at the rate of this run; `None` in the first minute.
    pub(in crate::recorder) fn days_left(&self) -> Option<u64> {
        let ran_ms = self.now.since_ms(MonoTime(0));
        if ran_ms < 60_000 || self.journal.storage.appended_bytes == 0 {
            return None;
        }
        let a_day = self.journal.storage.appended_bytes.saturating_mul(86_400_000) / ran_ms;
        Some(self.journal.storage.free_bytes / a_day.max(1))
    }

    pub(in crate::recorder) fn box_rows(&self, now: Now, bytes: &mut Vec<u8>) {
        let row = reply::begin_row(bytes).pair("what", "box").pair("name", &self.config.name);
        let row = row.pair("version", env!("CARGO_PKG_VERSION")).pair("boot", self.boot);
        let row = row.pair("time", now.wall).pair("uptime_s", now.mono.0 / 1_000_000);
        let row = self.add_box_info(now, row);
        let row = row.pair("calls", self.calls.live_count());
        let row = row.pair("recordings", self.recordings.running().count());
        row.pair("blackouts", self.blackouts.open.len())
            .pair("sessions", self.sessions.count())
            .end();
        for (index, board) in self.config.boards.iter().enumerate() {
            let trouble = self.boards[index].as_deref();
            let channels = self.channels.iter().filter(|c| c.board == index);
            let position = channels.clone().map(|c| c.head().0).max().unwrap_or(0);
            let row = reply::begin_row(bytes).pair("what", "board").pair("name", &board.name);
            let row = row.pair("state", if trouble.is_some() { "failed" } else { "running" });
            let row = row.pair("channels", channels.count()).pair("rate", board.rate);
            row.pair("position", position).pair("trouble", trouble.unwrap_or("-")).end();
        }
        let row = reply::begin_row(bytes)
            .pair("what", "disk")
            .pair("free", self.journal.storage.free_bytes);
        row.pair("total", self.journal.storage.total_bytes)
            .pair("records", self.count_records().0)
            .end();
        reply::begin_row(bytes)
            .pair("what", "alarms")
            .pair("active", self.journal.alarms.active_count())
            .end();
    }

    /// Lists the open blackouts, for technicians and for sessions that may end all of them.
    pub(in crate::recorder) fn blackout_rows(&self, id: SessionId, bytes: &mut Vec<u8>) {
        let Some(who) = self.sessions.get(id).and_then(|session| session.who.as_ref()) else {
            return;
        };
        let others = |agent| self.agent_has(agent, Permission::BlackoutOthers);
        if who.kind == Kind::Supervisor && !who.agent.is_some_and(others) {
            return;
        }
        for open in &self.blackouts.open {
            let holders = BlackoutHolder::ALL.into_iter().filter(|holder| open.held_by(*holder));
            let holders: Vec<&str> = holders.map(BlackoutHolder::as_str).collect();
            let channels = open.covered.iter().map(|index| self.channels[index.0].id.to_string());
            let channels: Vec<String> = channels.collect();
            let owner = open.agent.map(|agent| self.directory.agent_at(agent).username.as_str());
            let row = reply::begin_row(bytes).pair("what", "blackout");
            let row = row.pair("agent", &open.agent_name).pair("holders", holders.join(","));
            let row = row.pair("channels", channels.join(",")).pair("owner", owner.unwrap_or("-"));
            let row = row.pair("masked_ms", open.captured_us / 1000);
            let known = self.directory.find_by_username(&open.agent_name).is_some();
            row.pair("configured", as_yes_no(known)).end();
        }
    }

    pub(in crate::recorder) fn report_stats(&self, now: Now) -> Response {
        let mut bytes = Vec::new();
        let counters = &self.admin.counters;
        let ring_bytes: u64 = self.channels.iter().map(|c| c.ring.memory_bytes()).sum();
        let sessions = self.sessions.iter();
        let agents = sessions.filter(|s| s.kind() == Some(Kind::Agent)).count();
        let rows: [(&str, u64); 28] = [
            ("hushbox_uptime_seconds", now.mono.0 / 1_000_000),
            ("hushbox_captured_frames_total", counters.captured_frames),
            ("hushbox_screen_pieces_total", counters.screen_pieces),
            ("hushbox_screen_bytes_total", counters.screen_bytes),
            ("hushbox_screen_pieces_refused_total", counters.screen_refused),
            ("hushbox_lost_frames_total", counters.lost_frames),
            ("hushbox_side_lost_frames_total", counters.side_lost_frames),
            ("hushbox_late_frames_total", counters.late_frames),
            ("hushbox_lines_total", counters.lines),
            ("hushbox_log_lines_lost_total", self.admin.log.lost()),
            ("hushbox_sessions_total", counters.sessions),
            ("hushbox_sessions", self.sessions.count() as u64),
            ("hushbox_agents", agents as u64),
            ("hushbox_calls", self.calls.live_count() as u64),
            ("hushbox_calls_without_channel_total", counters.calls_without_channel),
            ("hushbox_recordings", self.recordings.running().count() as u64),
            ("hushbox_blackouts", self.blackouts.open.len() as u64),
            ("hushbox_ring_bytes", ring_bytes),
            ("hushbox_audio_memory_bytes", self.audio_memory_bytes()),
            ("hushbox_recall_calls", self.recordings.recall.len() as u64),
            ("hushbox_recall_bytes", self.recordings.recall.bytes() as u64),
            ("hushbox_recall_dropped_chunks_total", self.recordings.recall.dropped),
            ("hushbox_block_waits_total", self.recordings.block_waits),
            ("hushbox_syncs_total", self.journal.storage.syncs),
            ("hushbox_sync_seconds_max_us", self.journal.storage.sync_us_max),
            ("hushbox_appended_bytes_total", self.journal.storage.appended_bytes),
            ("hushbox_disk_free_bytes", self.journal.storage.free_bytes),
            ("hushbox_alarms_active", self.journal.alarms.active_count() as u64),
        ];
        for (name, value) in rows {
            reply::begin_row(&mut bytes).pair("name", name).pair("value", value).end();
        }
        if let Some(synced) = self.is_time_synced() {
            let row = reply::begin_row(&mut bytes).pair("name", "hushbox_time_synchronised");
            row.pair("value", u8::from(synced)).end();
        }
        for (why, count) in self.admin.enrolment.reject_counters() {
            let name = format!("hushbox_turned_away_total{{why=\"{why}\"}}");
            reply::begin_row(&mut bytes).pair("name", name).pair("value", count).end();
        }
        for (code, count) in &counters.refused {
            let name = format!("hushbox_refused_total{{code=\"{}\"}}", code.as_str());
            reply::begin_row(&mut bytes).pair("name", name).pair("value", count).end();
        }
        for (name, count) in self.admin.feeds.metrics().chain(self.sip_metrics()) {
            reply::begin_row(&mut bytes).pair("name", name).pair("value", count).end();
        }
        reply::begin_ok(&mut bytes).end();
        Response::immediate(bytes)
    }
}
