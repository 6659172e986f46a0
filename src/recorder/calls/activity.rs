//! What the lines tell of calls: a seized line starts a call, a released or silent line ends it.
//!
//! Each turn reads the newest seizure of every channel's line (see `crate::audio::detect`) and acts
//! as the PBX's feed would. Such a call is named `voice-17` or `script-17`, where 17 is the
//! recorder's call number, unique across restarts. It starts at the seizure, but never before the
//! end of the previous call or of a blackout of its agent.
//!
//! The feed has priority. Its `call start` ends a detected call. No call is detected during a call
//! of the feed, or after it until the line is released. A `call stop` may be lost: the box ends a
//! call that was silent for `stale_call_s`, or that reached `max_call_s`.

use crate::alarm::AlarmCode;
use crate::audio::channel::ChannelIndex;
use crate::audio::detect::NoiseFloor;
use crate::calls::call::Call;
use crate::calls::directory::AgentIndex;
use crate::limits;
use crate::recorder::Recorder;
use crate::store::fact::{CallNumber, RecordingEnd};
use crate::time::{Now, Position, WallTime, ms_of_frames};

/// Interval at which the levels of the lines are looked at, in milliseconds.
const LEVEL_INTERVAL_MS: u32 = crate::audio::meter::WINDOW_MS;
const _: () = assert!(LEVEL_INTERVAL_MS as u64 == limits::CALLS_CHECK_MS);

/// A level up to this counts as silence, in dBFS.
const SILENT_DB: i32 = -60;
/// A level above this counts as sound even if it is steady, in dBFS: hiss is softer.
const LOUD_DB: i32 = -40;
/// Between the two, sound is this much louder than the noise of the line.
const SOUND_MARGIN_DB: f64 = 6.0;

/// The line state of one channel.
#[derive(Clone, Debug)]
struct LineState {
    /// Number of the newest seizure that was handled or ignored.
    followed: u64,
    /// The detected call, while it is live.
    call: Option<CallNumber>,
    /// Earliest start of the next call: the end of the last call or of a blackout of its agent.
    floor: Position,
    noise: NoiseFloor,
}

impl Default for LineState {
    fn default() -> LineState {
        let noise = NoiseFloor::new(LEVEL_INTERVAL_MS);
        LineState { followed: 0, call: None, floor: Position(0), noise }
    }
}

/// The line states of all channels.
#[derive(Debug)]
pub(in crate::recorder) struct LineStates(Vec<LineState>);

impl LineStates {
    pub fn new(channels: usize) -> LineStates {
        LineStates(vec![LineState::default(); channels])
    }

    /// Whether a line carries more than its own noise, by its newest level.
    fn is_heard(&mut self, channel: ChannelIndex, level_db: i32) -> bool {
        let (noise, level) = (&mut self.0[channel.0].noise, f64::from(level_db));
        noise.update(level);
        level_db > LOUD_DB || level_db > SILENT_DB && noise.above_db(level) >= SOUND_MARGIN_DB
    }

    /// Learns the noise of a line anew, because a call begins.
    pub fn on_call_begin(&mut self, channel: ChannelIndex) {
        self.0[channel.0].noise = NoiseFloor::new(LEVEL_INTERVAL_MS);
    }

    /// Records that a call ended at `to`, whether detected or from the feed.
    pub fn on_call_end(&mut self, channel: ChannelIndex, number: CallNumber, to: Position) {
        let line = &mut self.0[channel.0];
        line.floor = to;
        if line.call == Some(number) {
            line.call = None;
        }
    }
}

impl Recorder {
    /// Starts and ends calls according to the lines.
    pub(in crate::recorder) fn update_lines(&mut self, now: Now) {
        for index in 0..self.channels.len() {
            if self.admin.is_stopping() {
                return;
            }
            self.update_line(now, ChannelIndex(index));
        }
    }

    fn update_line(&mut self, now: Now, channel: ChannelIndex) {
        let place = &self.channels[channel.0];
        let line = &self.calls.lines.0[channel.0];
        let seizure = place.detector.latest_seizure(place.head());
        let newest = seizure.map_or(0, |seizure| seizure.number);
        let released = seizure.is_none_or(|seizure| seizure.to.is_some());
        let new = newest != line.followed;
        if let Some(number) = line.call.filter(|_| new || released) {
            log::info!("device {}: the line was released", place.device);
            self.call_end(now, number, RecordingEnd::CallEnd, "released");
        }
        if new && self.need_memory().is_ok() {
            self.calls.lines.0[channel.0].followed = newest;
            if self.calls.live_on(channel).next().is_none() {
                self.begin_detected_call(now, channel);
            }
        }
    }

    /// Starts a call on a seized line that the feed reported no call for.
    fn begin_detected_call(&mut self, now: Now, channel: ChannelIndex) {
        let place = &self.channels[channel.0];
        let Some(seizure) = place.detector.latest_seizure(place.head()) else { return };
        let (device, rate, word) = (place.device.clone(), place.rate, place.detector.as_str());
        if self.calls.is_full() {
            let most = limits::CALLS_MAX;
            log::error!("device {device}: seized, but {most} calls are already known");
            return;
        }
        let from = seizure.from.max(self.calls.lines.0[channel.0].floor);
        let direction = seizure.direction;
        let (ani, dnis) = (seizure.ani.map(str::to_owned), seizure.dnis.map(str::to_owned));
        let mut call = self.new_call(now, channel);
        call.id = detected_call_id(word, call.number);
        call.direction = direction;
        (call.numbers.ani, call.numbers.dnis) = (ani, dnis);
        let since_ms = ms_of_frames(call.from.frames_since(from), rate);
        call.began = WallTime(now.wall.0.saturating_sub(i64::try_from(since_ms).unwrap_or(0)));
        call.from = from;
        log::info!("device {device}: the line was seized, call {}", call.id);
        self.calls.lines.0[channel.0].call = Some(call.number);
        self.call_begin(now, call);
    }

    /// Ends a detected call because the feed reports one on its channel.
    pub(in crate::recorder) fn end_detected_call(&mut self, now: Now, channel: ChannelIndex) {
        if let Some(number) = self.calls.lines.0[channel.0].call {
            self.call_end(now, number, RecordingEnd::CallEnd, "replaced");
        }
    }

    /// Keeps calls detected from now on from starting before the end of a blackout of `agent`.
    pub(in crate::recorder) fn forget_before(&mut self, agent: AgentIndex) {
        for index in 0..self.channels.len() {
            let place = &self.channels[index];
            if self.device_owner(&place.device) == Some(agent) {
                self.calls.lines.0[index].floor = place.head();
            }
        }
    }

    /// After a start, continues detected calls until their line is released.
    pub(in crate::recorder) fn restore_line_states(&mut self) {
        let found = |call: &&Call| {
            ["voice", "script"].iter().any(|word| call.id == detected_call_id(word, call.number))
        };
        let known: Vec<_> =
            self.calls.live_calls().filter(found).map(|c| (c.channel, c.number)).collect();
        for (channel, number) in known {
            let place = &mut self.channels[channel.0];
            place.detector.mark_seized();
            let followed =
                place.detector.latest_seizure(place.head()).map_or(0, |seizure| seizure.number);
            self.calls.lines.0[channel.0] =
                LineState { followed, call: Some(number), ..LineState::default() };
        }
    }

    /// Ends calls that had no stop and no audio for `stale_call_s`, or that reached `max_call_s`;
    /// raises an alarm about each, and about calls that run for unusually long.
    pub(super) fn end_overdue_calls(&mut self, now: Now) {
        for index in (0..self.channels.len()).map(ChannelIndex) {
            let channel = &self.channels[index.0];
            // What comes by RTP is heard, however soft it is: see `sip::watch`.
            if channel.follows_calls {
                continue;
            }
            let masked = channel.is_masked();
            let heard = masked || self.calls.lines.is_heard(index, channel.meter.level_db());
            let active = self.calls.active_call(index).map(|call| call.number);
            if let Some(number) = active.filter(|_| heard) {
                self.calls.mark_heard(number, now.mono);
            }
        }
        let overdue = |call: &Call| self.overdue_reason(now, call).map(|why| (call.number, why));
        for (number, why) in self.calls.live_calls().filter_map(overdue).collect::<Vec<_>>() {
            self.end_overdue_call(now, number, why);
        }
    }

    fn overdue_reason(&self, now: Now, call: &Call) -> Option<Overdue> {
        let (audio, age_ms) = (&self.config.audio, now.mono.since_ms(call.since));
        // Nothing is expected to be heard of a call on hold.
        let stale_s = audio.stale_call_s;
        let stale_s = if call.is_held { stale_s.max(limits::HELD_CALL_S) } else { stale_s };
        if audio.max_call_s.is_some_and(|max_s| age_ms >= u64::from(max_s) * 1000) {
            Some(Overdue::TooLong)
        } else if now.mono.since_ms(call.last_audio) >= u64::from(stale_s) * 1000 {
            Some(Overdue::Silent { s: stale_s })
        } else {
            (age_ms >= limits::LONG_CALL_MS && !call.is_long).then_some(Overdue::Long)
        }
    }

    fn end_overdue_call(&mut self, now: Now, number: CallNumber, why: Overdue) {
        let Some(call) = self.calls.get(number) else { return };
        let (device, name) = (call.device.clone(), format!("call {} on {}", call.id, call.device));
        match why {
            Overdue::Silent { s } => {
                let text = format!("the box ended {name}: no stop and no audio for {s} s");
                self.journal.raise_alarm(now, AlarmCode::StaleCall, &device, text);
                self.call_end(now, number, RecordingEnd::Stale, "stale");
            }
            Overdue::TooLong => {
                let s = self.config.audio.max_call_s.unwrap_or(0);
                let text = format!("the box ended {name}: it reached {s} s (max_call_s)");
                self.journal.raise_alarm(now, AlarmCode::LongCall, &device, text);
                self.call_end(now, number, RecordingEnd::Ceiling, "ceiling");
            }
            Overdue::Long => {
                self.calls.update(number, |call| call.is_long = true);
                let hours = limits::LONG_CALL_MS / 3_600_000;
                let text = format!("{name} has run for {hours} h; was its `call stop` lost?");
                self.journal.raise_alarm(now, AlarmCode::LongCall, &device, text);
            }
        }
    }
}

/// Why a call is overdue.
#[derive(Clone, Copy, Debug)]
enum Overdue {
    Silent {
        s: u32,
    },
    TooLong,
    /// It runs for unusually long, but is not ended.
    Long,
}

/// The id of a detected call.
fn detected_call_id(word: &str, number: CallNumber) -> String {
    format!("{word}-{}", number.0)
}
