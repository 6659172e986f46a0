//! `selftest`: proves that the box does what it is there for, beside everything it does.
//!
//! For four seconds it listens to every channel. Where a board can loop back it feeds a tone into
//! one idle channel, takes that through ring, mask, reel and seal into a media file in memory, and
//! blacks another tone out in its middle; the shell writes, reads and opens the file. A call on
//! that channel takes it back at once, within the turn. Rows are signed, and make a report.
//!
//! One test runs at a time. Nothing here is recorded, journaled, or waits.

mod drift;
mod rows;

pub use drift::Drift;

use crate::audio::channel::ChannelIndex;
use crate::audio::codec::Encoder;
use crate::audio::encode_stream::{Reel, Step};
use crate::config::{Activity, CodecKind};
use crate::id::SessionId;
use crate::job::Ticket;
use crate::recorder::session::command::Said;
use crate::recorder::{Input, Output, Recorder};
use crate::selftest::probe::{Heard, Probe};
use crate::selftest::{Found, Keys, OPEN_HZ, SECRET_HZ, Tape};
use crate::store::fact::RecordingEnd;
use crate::store::media::{MediaHeader, MediaWriter};
use crate::time::{Mono, Now, Position, frames_of_ms};
use protocol::{Code, Refusal};

/// How long each part of listening takes.
const PART_MS: u64 = 1000;
/// The blackout reaches back so far, if the holdback allows.
const LEAD_MS: u64 = 300;
/// The keys, or the disk, take no longer, or they are said to have failed. Clients wait for 60 s.
const GIVE_UP_MS: u64 = 30_000;

/// How far it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// The keys are being made.
    Keys,
    /// Only listening.
    Listen,
    /// The tone that is kept.
    Open,
    /// Blacked out, with another tone.
    Dark,
    OpenAgain,
    /// The disk is at work.
    Disk,
}

/// A recording of the tone, while it is made.
struct Making {
    index: usize,
    reel: Reel,
    writer: MediaWriter,
    keys: Keys,
    media: Vec<u8>,
    payload: Vec<u8>,
    dark: (Position, Position),
}

/// What became of the tone.
enum Tone {
    /// No channel takes part, and why not.
    None(String),
    /// This one will.
    Chosen(usize),
    Making(Box<Making>),
    /// It is on its way through the disk.
    Made {
        index: usize,
        masked: u64,
    },
}

/// What self-tests need, and the one that runs.
pub struct Trials {
    /// Boards that a tone can be fed into.
    loops_back: Vec<bool>,
    /// How the boards' clocks go.
    pub(in crate::recorder) drift: Vec<Drift>,
    running: Option<Box<Trial>>,
}

impl Trials {
    pub fn new(boards: usize) -> Trials {
        let (loops_back, drift) = (vec![false; boards], vec![Drift::default(); boards]);
        Trials { loops_back, drift, running: None }
    }
}

/// A self-test under way.
struct Trial {
    session: SessionId,
    stage: Stage,
    since: Mono,
    keys: Option<Keys>,
    round_trip: Result<(), String>,
    probes: Vec<Probe>,
    lost_before: Vec<u64>,
    heads_before: Vec<Position>,
    tone: Tone,
}

impl Recorder {
    /// Whether a board can feed a tone into its own inputs.
    pub fn board_loops_back(&mut self, board: usize, loops_back: bool) {
        if let Some(place) = self.trials.loops_back.get_mut(board) {
            *place = loops_back;
        }
    }

    pub(in crate::recorder) fn selftest(
        &mut self,
        now: Now,
        id: SessionId,
    ) -> Result<Said, Refusal> {
        if self.trials.running.is_some() {
            return Err(Refusal::new(Code::Busy, "a self-test runs already; it takes seconds"));
        }
        if let Some(session) = self.sessions.get_mut(id) {
            session.checking = true;
        }
        let channels = self.channels.iter();
        self.trials.running = Some(Box::new(Trial {
            session: id,
            stage: Stage::Keys,
            since: now.mono,
            keys: None,
            round_trip: Err("it took too long".to_string()),
            probes: Vec::new(),
            lost_before: channels.clone().map(|channel| channel.lost).collect(),
            heads_before: Vec::new(),
            tone: Tone::None("there was no key".to_string()),
        }));
        self.outputs.push_back(Output::TrialKeys);
        log::info!("a self-test begins");
        Ok(Said::now(Vec::new()))
    }

    /// The keys are made: listening begins.
    pub(in crate::recorder) fn trial_keys(&mut self, now: Now, result: Result<Box<Keys>, String>) {
        let tone = self.tone_channel();
        let Some(trial) = self.trials.running.as_mut().filter(|trial| trial.stage == Stage::Keys)
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
        trial.probes = channels.clone().map(|c| Probe::new(c.rate, c.sides)).collect();
        trial.lost_before = channels.clone().map(|channel| channel.lost).collect();
        trial.heads_before = channels.map(|channel| channel.head()).collect();
        (trial.stage, trial.since) = (Stage::Listen, now.mono);
    }

    /// An idle channel that a tone can be fed into, or why there is none.
    fn tone_channel(&self) -> Tone {
        let mut why = "no board can loop back";
        for (index, channel) in self.channels.iter().enumerate() {
            if !self.trials.loops_back[channel.board] || self.boards[channel.board].is_some() {
                continue;
            }
            let activity = self.config.boards.get(channel.board).map(|board| board.activity);
            why = match activity {
                Some(Activity::Voice) => "a tone would be a call, where voice begins one",
                _ if self.is_in_use(index) => "no channel of a board that loops back is idle",
                _ => return Tone::Chosen(index),
            };
        }
        Tone::None(why.to_string())
    }

    fn is_in_use(&self, index: usize) -> bool {
        let reels = self.recordings.iter().filter_map(|recording| recording.tape.as_ref());
        let reels = reels.map(|tape| &tape.reel).chain(self.recall.reels());
        self.calls.live().any(|call| call.channel.0 == index)
            || self.is_recorded(index)
            || self.channels[index].is_hidden()
            || reels.into_iter().any(|reel| reel.channel.0 == index)
    }

    /// Audio of a channel, as it is captured.
    pub(in crate::recorder) fn trial_hears(&mut self, index: usize, samples: &[i16]) {
        let Some(trial) = self.trials.running.as_mut() else { return };
        let own = match &trial.tone {
            Tone::Making(making) => making.index == index,
            _ => false,
        };
        let hidden = self.channels[index].is_hidden();
        let Some(probe) = trial.probes.get_mut(index) else { return };
        match trial.stage {
            Stage::Keys | Stage::Disk => {}
            _ if own => {}
            _ if hidden => probe.hide(),
            _ => probe.hear(samples),
        }
    }

    /// Goes on with a self-test, if one runs.
    pub(in crate::recorder) fn tick_trial(&mut self, now: Now) {
        let Some(mut trial) = self.trials.running.take() else { return };
        let in_use = match &trial.tone {
            Tone::Chosen(index) => self.is_in_use(*index),
            // Its own blackout hides it.
            Tone::Making(making) => {
                let index = making.index;
                let dark = trial.stage == Stage::Dark;
                self.calls.live().any(|call| call.channel.0 == index)
                    || self.channels[index].is_hidden() && !dark
                    || self.boards[self.channels[index].board].is_some()
            }
            Tone::None(_) | Tone::Made { .. } => false,
        };
        if in_use || self.stopping {
            self.give_tone_back(&mut trial, "its channel was needed for a call");
        }
        self.pull(&mut trial);
        let waited = now.mono.since_ms(trial.since);
        match trial.stage {
            Stage::Keys if waited >= GIVE_UP_MS => {
                self.trials.running = Some(trial);
                self.trial_keys(now, Err("no key was made in time".to_string()));
                return;
            }
            Stage::Disk if waited >= GIVE_UP_MS => {
                let text = "the disk does not answer".to_string();
                let proof = matches!(trial.tone, Tone::Made { .. }).then(|| Err(text.clone()));
                self.trials.running = Some(trial);
                self.trial_found(now, Found { syncs_us: Err(text), proof });
                return;
            }
            Stage::Keys | Stage::Disk => {}
            _ if waited < PART_MS => {}
            Stage::Listen => self.begin_tone(now, &mut trial),
            Stage::Open => self.begin_dark(&mut trial),
            Stage::Dark => self.end_dark(&mut trial),
            Stage::OpenAgain => self.end_tone(&mut trial),
        }
        if waited >= PART_MS && !matches!(trial.stage, Stage::Keys | Stage::Disk) {
            trial.since = now.mono;
            trial.stage = match trial.stage {
                Stage::Listen => Stage::Open,
                Stage::Open => Stage::Dark,
                Stage::Dark => Stage::OpenAgain,
                _ => Stage::Disk,
            };
        }
        self.trials.running = Some(trial);
    }

    fn feed_tone(&mut self, index: usize, hz: Option<u32>) {
        let board = self.channels[index].board;
        let first = self.first_channel(board).map_or(0, |first| first.0);
        self.outputs.push_back(Output::LoopBack { board, channel: index - first, hz });
    }

    fn begin_tone(&mut self, now: Now, trial: &mut Trial) {
        let Tone::Chosen(index) = trial.tone else { return };
        let Some(keys) = trial.keys.take() else { return };
        let channel = &self.channels[index];
        let encoder = match Encoder::new(CodecKind::Pcm, channel.rate, channel.sides, 0) {
            Ok(encoder) => encoder,
            Err(error) => {
                trial.tone = Tone::None(error.to_string());
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
        let writer = MediaWriter::begin(&header, keys.envelope.key.clone(), &mut media);
        let reel = Reel::new(ChannelIndex(index), channel.head(), encoder);
        let (dark, payload) = ((Position(0), Position(0)), Vec::new());
        let making = Making { index, reel, writer, keys, media, payload, dark };
        trial.tone = Tone::Making(Box::new(making));
        trial.probes.iter_mut().for_each(|probe| probe.tone(true));
        self.feed_tone(index, Some(OPEN_HZ));
    }

    fn begin_dark(&mut self, trial: &mut Trial) {
        let Tone::Making(making) = &mut trial.tone else { return };
        let channel = &mut self.channels[making.index];
        let lead = frames_of_ms(LEAD_MS, channel.rate);
        making.dark.0 = channel.cover(channel.head().back(lead).max(making.reel.cursor));
        let index = making.index;
        self.feed_tone(index, Some(SECRET_HZ));
    }

    fn end_dark(&mut self, trial: &mut Trial) {
        let Tone::Making(making) = &mut trial.tone else { return };
        let channel = &mut self.channels[making.index];
        making.dark.1 = channel.head();
        channel.uncover();
        let index = making.index;
        self.feed_tone(index, Some(OPEN_HZ));
    }

    fn end_tone(&mut self, trial: &mut Trial) {
        let tone = std::mem::replace(&mut trial.tone, Tone::None(String::new()));
        trial.probes.iter_mut().for_each(|probe| probe.tone(false));
        let mut tape = None;
        trial.tone = match tone {
            Tone::Making(mut making) => {
                self.feed_tone(making.index, None);
                making.reel.end = Some(self.channels[making.index].head());
                making.reel.flush = true;
                while making.step(&mut self.channels, 0) {}
                making.reel.finish();
                making.cut();
                let finished = making.writer.finish(RecordingEnd::Stop, &mut making.media);
                let (index, masked) = (making.index, finished.ledger.masked);
                tape = Some(making.into_tape(&self.channels[index], finished.to));
                Tone::Made { index, masked }
            }
            other => other,
        };
        self.outputs.push_back(Output::Trial(tape));
    }

    /// The channel is wanted: it has its line back before any more of it is captured.
    fn give_tone_back(&mut self, trial: &mut Trial, why: &str) {
        match std::mem::replace(&mut trial.tone, Tone::None(why.to_string())) {
            Tone::Making(making) => {
                if trial.stage == Stage::Dark {
                    self.channels[making.index].uncover();
                }
                trial.probes.iter_mut().for_each(|probe| probe.tone(false));
                self.feed_tone(making.index, None);
            }
            made @ Tone::Made { .. } => trial.tone = made,
            Tone::None(why) => trial.tone = Tone::None(why),
            Tone::Chosen(_) => {}
        }
    }

    /// Takes what has waited for the holdback, as a recording does.
    fn pull(&mut self, trial: &mut Trial) {
        let Tone::Making(making) = &mut trial.tone else { return };
        let holdback = self.holdback_frames(ChannelIndex(making.index));
        if making.reel.cursor < self.channels[making.index].ring.tail() {
            self.give_tone_back(trial, "the box is too busy for it");
            return;
        }
        let Tone::Making(making) = &mut trial.tone else { return };
        while making.step(&mut self.channels, holdback) {}
    }

    /// Everything is known: the answer.
    pub(in crate::recorder) fn trial_found(&mut self, now: Now, found: Found) {
        let Some(trial) = self.trials.running.take_if(|trial| trial.stage == Stage::Disk) else {
            return;
        };
        let bytes = self.trial_rows(now, &trial, &found);
        let Some(session) = self.sessions.get_mut(trial.session) else { return };
        session.checking = false;
        session.last_line = now.mono;
        if bytes.len() > crate::limits::REPLY_ROOM {
            session.stream =
                Some(crate::recorder::session::library::Stream::Lines { bytes, said: 0 });
        } else {
            session.answer(Ticket(0), bytes, None);
        }
    }

    /// Something of a self-test came from the shell.
    pub(in crate::recorder) fn trial_came(&mut self, now: Now, input: Input<'_>) {
        match input {
            Input::TrialKeys(result) => self.trial_keys(now, result),
            Input::TrialFound(found) => self.trial_found(now, found),
            _ => {}
        }
    }
}

impl Making {
    /// One step of the reel; false: there is nothing to do now.
    fn step(&mut self, channels: &mut [crate::audio::channel::Channel], holdback: u64) -> bool {
        match self.reel.step(&mut channels[self.index], holdback) {
            Step::Took => true,
            Step::Full => {
                self.cut();
                true
            }
            Step::Ended | Step::Rest => false,
        }
    }

    fn cut(&mut self) {
        let Making { reel, writer, media, payload, .. } = self;
        if !reel.is_empty() {
            reel.cut(|runs, bytes| {
                payload.extend_from_slice(bytes);
                writer.chunk(runs, payload, media);
            });
        }
    }

    fn into_tape(self, channel: &crate::audio::channel::Channel, to: Position) -> Tape {
        Tape {
            identity: self.keys.identity,
            media: self.media,
            from: self.reel.from,
            dark: self.dark,
            to,
            rate: channel.rate,
            sides: channel.sides,
        }
    }
}

impl Trial {
    fn heard(&self, index: usize) -> Option<Heard> {
        self.probes.get(index).and_then(Probe::heard)
    }
}
