//! `selftest`: tests the whole recording path during normal operation.
//!
//! For four seconds the test listens to every channel. On a board that can loop back, it feeds a
//! tone into one idle channel. The tone passes through ring, mask, encode stream and seal into a
//! media file in memory, with a blackout of another tone in the middle. The shell writes, reads and
//! opens that file. A call on the channel takes it back within the turn. The report rows are
//! signed.
//!
//! One test runs at a time. It leaves no recording and no journal entry.

mod drift;
mod rows;

pub use drift::ClockDrift;

use crate::audio::channel::ChannelIndex;
use crate::audio::codec::Encoder;
use crate::audio::encode_stream::{EncodeStream, Progress};
use crate::config::{ActivitySource, CodecKind};
use crate::id::SessionId;
use crate::job::Ticket;
use crate::recorder::session::response::Response;
use crate::recorder::{Input, Output, Recorder, Timer};
use crate::selftest::probe::{ChannelProbe, ProbeResult};
use crate::selftest::{CLEAR_TONE_HZ, DiskResult, MASKED_TONE_HZ, SelfTestKeys, SelfTestRecording};
use crate::store::fact::RecordingEnd;
use crate::store::media::{MediaHeader, MediaWriter};
use crate::time::{Now, Position, frames_of_ms};
use protocol::{Code, Refusal};

/// Length of each part of the test, in milliseconds.
const PART_MS: u64 = 1000;
/// Lead of the test's blackout in milliseconds, if the holdback allows.
const LEAD_MS: u64 = 300;
/// Time after which keys or disk count as failed, in milliseconds. Clients wait 60 s.
const GIVE_UP_MS: u64 = 30_000;

/// Stage of a self-test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum SelfTestStage {
    /// The shell is making keys.
    Keys,
    /// The test only listens.
    Listen,
    /// The recorded tone plays.
    Open,
    /// A blackout covers another tone.
    Dark,
    OpenAgain,
    /// The shell is testing the disk.
    Disk,
}

/// The tone's recording in progress.
struct ToneRecording {
    index: usize,
    stream: EncodeStream,
    writer: MediaWriter,
    keys: SelfTestKeys,
    media: Vec<u8>,
    payload: Vec<u8>,
    dark: (Position, Position),
}

/// State of the tone's recording.
enum ToneResult {
    /// No channel takes part, for this reason.
    None(String),
    /// The channel at this index takes part.
    Chosen(usize),
    Making(Box<ToneRecording>),
    /// The recording is complete and passes through the disk.
    Made {
        index: usize,
        masked: u64,
    },
}

/// The self-test's settings and the running test.
pub struct SelfTests {
    /// Whether each board can loop a tone back.
    loops_back: Vec<bool>,
    /// Clock drift of each board.
    pub(in crate::recorder) drift: Vec<ClockDrift>,
    running: Option<Box<RunningSelfTest>>,
}

impl SelfTests {
    pub fn new(boards: usize) -> SelfTests {
        let (loops_back, drift) = (vec![false; boards], vec![ClockDrift::default(); boards]);
        SelfTests { loops_back, drift, running: None }
    }
}

/// A running self-test.
struct RunningSelfTest {
    session: SessionId,
    stage: SelfTestStage,
    keys: Option<SelfTestKeys>,
    round_trip: Result<(), String>,
    probes: Vec<ChannelProbe>,
    lost_before: Vec<u64>,
    heads_before: Vec<Position>,
    tone: ToneResult,
}

impl Recorder {
    /// Sets whether a board can feed a tone into its own inputs.
    pub fn set_board_loopback(&mut self, board: usize, loops_back: bool) {
        if let Some(place) = self.admin.selftests.loops_back.get_mut(board) {
            *place = loops_back;
        }
    }

    pub(in crate::recorder) fn begin_selftest(
        &mut self,
        now: Now,
        id: SessionId,
    ) -> Result<Response, Refusal> {
        if self.admin.selftests.running.is_some() {
            return Err(Refusal::new(Code::Busy, "a self-test runs already; it takes seconds"));
        }
        if let Some(session) = self.sessions.get_mut(id) {
            session.checking = true;
        }
        let channels = self.channels.iter();
        self.admin.selftests.running = Some(Box::new(RunningSelfTest {
            session: id,
            stage: SelfTestStage::Keys,
            keys: None,
            round_trip: Err("it took too long".to_string()),
            probes: Vec::new(),
            lost_before: channels.clone().map(|channel| channel.lost_frames).collect(),
            heads_before: Vec::new(),
            tone: ToneResult::None("there was no key".to_string()),
        }));
        self.timers.set(Timer::SelfTest, Some(now.mono.after_ms(GIVE_UP_MS)));
        self.outputs.push_back(Output::MakeSelfTestKeys);
        log::info!("a self-test begins");
        Ok(Response::immediate(Vec::new()))
    }

    /// Starts listening once the keys are made.
    pub(in crate::recorder) fn begin_listening(
        &mut self,
        now: Now,
        result: Result<Box<SelfTestKeys>, String>,
    ) {
        let tone = self.tone_channel();
        let Some(trial) = self
            .admin
            .selftests
            .running
            .as_mut()
            .filter(|trial| trial.stage == SelfTestStage::Keys)
        else {
            return;
        };
        match result {
            Ok(keys) => {
                (trial.round_trip, trial.tone) = (keys.round_trip.clone(), tone);
                trial.keys = Some(*keys);
            }
            Err(text) => trial.round_trip = Err(text),
        }
        let channels = self.channels.iter();
        trial.probes = channels.clone().map(|c| ChannelProbe::new(c.rate, c.sides)).collect();
        trial.lost_before = channels.clone().map(|channel| channel.lost_frames).collect();
        trial.heads_before = channels.map(|channel| channel.head()).collect();
        trial.stage = SelfTestStage::Listen;
        self.timers.set(Timer::SelfTest, Some(now.mono.after_ms(PART_MS)));
    }

    /// An idle channel that a tone can be fed into, or why there is none.
    fn tone_channel(&self) -> ToneResult {
        let mut why = "no board can loop back";
        for (index, channel) in self.channels.iter().enumerate() {
            if !self.admin.selftests.loops_back[channel.board]
                || self.boards[channel.board].is_some()
            {
                continue;
            }
            let activity = self.config.boards.get(channel.board).map(|board| board.activity);
            why = match activity {
                Some(ActivitySource::Voice) => "a tone would be a call, where voice begins one",
                _ if self.is_in_use(index) => "no channel of a board that loops back is idle",
                _ => return ToneResult::Chosen(index),
            };
        }
        ToneResult::None(why.to_string())
    }

    fn is_in_use(&self, index: usize) -> bool {
        self.calls.live_on(ChannelIndex(index)).next().is_some()
            || self.channels[index].is_hidden()
            || self.recordings.streams_on(ChannelIndex(index)).next().is_some()
    }

    /// Feeds a channel's captured audio to the test.
    pub(in crate::recorder) fn selftest_feed(&mut self, index: usize, samples: &[i16]) {
        let Some(trial) = self.admin.selftests.running.as_mut() else { return };
        let own = match &trial.tone {
            ToneResult::Making(making) => making.index == index,
            _ => false,
        };
        let hidden = self.channels[index].is_hidden();
        let Some(probe) = trial.probes.get_mut(index) else { return };
        match trial.stage {
            SelfTestStage::Keys | SelfTestStage::Disk => {}
            _ if own => {}
            _ if hidden => probe.set_masked(),
            _ => probe.push_samples(samples),
        }
    }

    /// Runs the self-test: its channel is given back when needed, and its parts follow each other.
    pub(in crate::recorder) fn run_selftest(&mut self, now: Now) {
        let due = self.timers.take_due(Timer::SelfTest, now.mono);
        let Some(mut trial) = self.admin.selftests.running.take() else { return };
        let in_use = match &trial.tone {
            ToneResult::Chosen(index) => self.is_in_use(*index),
            // The test's own blackout hides the channel.
            ToneResult::Making(making) => {
                let index = making.index;
                let dark = trial.stage == SelfTestStage::Dark;
                self.calls.live_on(ChannelIndex(index)).next().is_some()
                    || self.channels[index].is_hidden() && !dark
                    || self.boards[self.channels[index].board].is_some()
            }
            ToneResult::None(_) | ToneResult::Made { .. } => false,
        };
        if in_use || self.admin.is_stopping() {
            self.release_tone_channel(&mut trial, "its channel was needed for a call");
        }
        self.drain_tone_recording(&mut trial);
        if due {
            self.end_selftest_part(now, trial);
        } else {
            self.admin.selftests.running = Some(trial);
        }
    }

    /// Begins the next part of the self-test, or gives up what did not come in time.
    fn end_selftest_part(&mut self, now: Now, mut trial: Box<RunningSelfTest>) {
        trial.stage = match trial.stage {
            SelfTestStage::Keys => {
                self.admin.selftests.running = Some(trial);
                return self.begin_listening(now, Err("no key was made in time".to_string()));
            }
            SelfTestStage::Disk => {
                let text = "the disk does not answer".to_string();
                let proof =
                    matches!(trial.tone, ToneResult::Made { .. }).then(|| Err(text.clone()));
                self.admin.selftests.running = Some(trial);
                let found = DiskResult { syncs_us: Err(text), read_back: proof };
                return self.finish_selftest(now, found);
            }
            SelfTestStage::Listen => {
                self.begin_tone(now, &mut trial);
                SelfTestStage::Open
            }
            SelfTestStage::Open => {
                self.begin_test_blackout(&mut trial);
                SelfTestStage::Dark
            }
            SelfTestStage::Dark => {
                self.end_test_blackout(&mut trial);
                SelfTestStage::OpenAgain
            }
            SelfTestStage::OpenAgain => {
                self.end_tone(&mut trial);
                SelfTestStage::Disk
            }
        };
        let wait_ms = if trial.stage == SelfTestStage::Disk { GIVE_UP_MS } else { PART_MS };
        self.timers.set(Timer::SelfTest, Some(now.mono.after_ms(wait_ms)));
        self.admin.selftests.running = Some(trial);
    }

    fn feed_tone(&mut self, index: usize, hz: Option<u32>) {
        let board = self.channels[index].board;
        let first = self.first_channel(board).map_or(0, |first| first.0);
        self.outputs.push_back(Output::LoopBack { board, channel: index - first, hz });
    }

    fn begin_tone(&mut self, now: Now, trial: &mut RunningSelfTest) {
        let ToneResult::Chosen(index) = trial.tone else { return };
        let Some(keys) = trial.keys.take() else { return };
        let channel = &self.channels[index];
        let encoder = match Encoder::new(CodecKind::Pcm, channel.rate, channel.sides, 0) {
            Ok(encoder) => encoder,
            Err(error) => {
                trial.tone = ToneResult::None(error.to_string());
                return;
            }
        };
        let header = MediaHeader {
            id: keys.envelope.id,
            codec: CodecKind::Pcm,
            rate: channel.rate,
            sides: channel.sides,
            bitrate: 0,
            channel: channel.id,
            from: channel.head(),
            began: now.wall,
            boot: self.boot,
            delay: 0,
            wrapped: keys.envelope.wrapped.clone(),
        };
        let mut media = Vec::new();
        let writer = MediaWriter::create(&header, keys.envelope.key.clone(), &mut media);
        let stream = EncodeStream::new(ChannelIndex(index), channel.head(), encoder);
        let (dark, payload) = ((Position(0), Position(0)), Vec::new());
        let making = ToneRecording { index, stream, writer, keys, media, payload, dark };
        trial.tone = ToneResult::Making(Box::new(making));
        trial.probes.iter_mut().for_each(|probe| probe.set_tone(true));
        self.feed_tone(index, Some(CLEAR_TONE_HZ));
    }

    fn begin_test_blackout(&mut self, trial: &mut RunningSelfTest) {
        let ToneResult::Making(making) = &mut trial.tone else { return };
        let channel = &mut self.channels[making.index];
        let lead = frames_of_ms(LEAD_MS, channel.rate);
        making.dark.0 =
            channel.start_mask(channel.head().saturating_sub(lead).max(making.stream.cursor));
        let index = making.index;
        self.feed_tone(index, Some(MASKED_TONE_HZ));
    }

    fn end_test_blackout(&mut self, trial: &mut RunningSelfTest) {
        let ToneResult::Making(making) = &mut trial.tone else { return };
        let channel = &mut self.channels[making.index];
        making.dark.1 = channel.head();
        channel.stop_mask();
        let index = making.index;
        self.feed_tone(index, Some(CLEAR_TONE_HZ));
    }

    fn end_tone(&mut self, trial: &mut RunningSelfTest) {
        let tone = std::mem::replace(&mut trial.tone, ToneResult::None(String::new()));
        trial.probes.iter_mut().for_each(|probe| probe.set_tone(false));
        let mut recording = None;
        trial.tone = match tone {
            ToneResult::Making(mut making) => {
                self.feed_tone(making.index, None);
                making.stream.end = Some(self.channels[making.index].head());
                making.stream.is_flushing = true;
                while making.encode_next(&mut self.channels, 0) {}
                making.stream.finish();
                making.flush_chunk();
                let finished = making.writer.finish(RecordingEnd::Stop, &mut making.media);
                let (index, masked) = (making.index, finished.ledger.masked);
                recording = Some(making.into_recording(&self.channels[index], finished.to));
                ToneResult::Made { index, masked }
            }
            other => other,
        };
        self.outputs.push_back(Output::SelfTest(recording));
    }

    /// Gives the channel back before any more of its audio is captured.
    fn release_tone_channel(&mut self, trial: &mut RunningSelfTest, why: &str) {
        match std::mem::replace(&mut trial.tone, ToneResult::None(why.to_string())) {
            ToneResult::Making(making) => {
                if trial.stage == SelfTestStage::Dark {
                    self.channels[making.index].stop_mask();
                }
                trial.probes.iter_mut().for_each(|probe| probe.set_tone(false));
                self.feed_tone(making.index, None);
            }
            made @ ToneResult::Made { .. } => trial.tone = made,
            ToneResult::None(why) => trial.tone = ToneResult::None(why),
            ToneResult::Chosen(_) => {}
        }
    }

    /// Encodes audio older than the holdback, as a recording does.
    fn drain_tone_recording(&mut self, trial: &mut RunningSelfTest) {
        let ToneResult::Making(making) = &mut trial.tone else { return };
        let holdback = self.holdback_frames(ChannelIndex(making.index));
        if making.stream.cursor < self.channels[making.index].ring.tail() {
            self.release_tone_channel(trial, "the box is too busy for it");
            return;
        }
        let ToneResult::Making(making) = &mut trial.tone else { return };
        while making.encode_next(&mut self.channels, holdback) {}
    }

    /// Completes the test and sends the report.
    pub(in crate::recorder) fn finish_selftest(&mut self, now: Now, found: DiskResult) {
        let Some(trial) =
            self.admin.selftests.running.take_if(|trial| trial.stage == SelfTestStage::Disk)
        else {
            return;
        };
        self.timers.set(Timer::SelfTest, None);
        let bytes = self.signed_report(now, &trial, &found);
        let Some(session) = self.sessions.get_mut(trial.session) else { return };
        session.checking = false;
        session.last_line = now.mono;
        if bytes.len() > crate::limits::REPLY_RESERVE_BYTES {
            session.stream =
                Some(crate::recorder::session::library::ReplyStream::Lines { bytes, said: 0 });
        } else {
            session.queue_reply(Ticket(0), bytes, None);
        }
    }

    /// Handles the shell's replies for a self-test.
    pub(in crate::recorder) fn handle_selftest_input(&mut self, now: Now, input: Input<'_>) {
        match input {
            Input::SelfTestKeys(result) => self.begin_listening(now, result),
            Input::SelfTestDone(found) => self.finish_selftest(now, found),
            _ => {}
        }
    }
}

impl ToneRecording {
    /// Runs one step of the encode stream; false: nothing to do now.
    fn encode_next(
        &mut self,
        channels: &mut [crate::audio::channel::Channel],
        holdback: u64,
    ) -> bool {
        match self.stream.encode_next(&mut channels[self.index], holdback) {
            Progress::Advanced => true,
            Progress::ChunkFull => {
                self.flush_chunk();
                true
            }
            Progress::Ended | Progress::Waiting => false,
        }
    }

    fn flush_chunk(&mut self) {
        let ToneRecording { stream, writer, media, payload, .. } = self;
        if !stream.is_empty() {
            stream.flush_chunk(|runs, bytes| {
                payload.extend_from_slice(bytes);
                writer.append_chunk(runs, payload, media);
            });
        }
    }

    fn into_recording(
        self,
        channel: &crate::audio::channel::Channel,
        to: Position,
    ) -> SelfTestRecording {
        SelfTestRecording {
            identity: self.keys.identity,
            media: self.media,
            from: self.stream.from,
            masked: self.dark,
            to,
            rate: channel.rate,
            sides: channel.sides,
        }
    }
}

impl RunningSelfTest {
    fn heard_on(&self, index: usize) -> Option<ProbeResult> {
        self.probes.get(index).and_then(ChannelProbe::result)
    }
}
