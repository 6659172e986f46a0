//! The real recorder, turn by turn, with its surroundings in memory.
//!
//! Ring, mask, codec, sealing and journal are the product's. The disk accepts every job and returns
//! buffers one turn later. The clock advances by one period a turn, and agents' lines arrive as if
//! from sockets. A turn costs the same as in the event loop, except for system calls.

use crate::load::plan::{self, LoadPlan, RATE};
use hushbox::audio::channel::ChannelIndex;
use hushbox::audio::span::LossReason;
use hushbox::config;
use hushbox::id::SessionId;
use hushbox::job::{Completion, FileId, Job};
use hushbox::limits;
use hushbox::recorder::{Input, Output, Peer, Recorder, RecoveredState, SideLoss};
use hushbox::store::archive::Catalogue;
use hushbox::store::index::Index;
use hushbox::store::journal::JournalWriter;
use hushbox::store::seal::{DataKey, Envelope, Identity, Recipient};
use hushbox::store::sign::BoxSigningKey;
use hushbox::time::{MonoTime, Now, Position, WallTime};
use protocol::Kind;
use std::collections::VecDeque;

/// Frames of a period: 20 ms.
pub const PERIOD_FRAMES: usize = 160;
const PERIOD_US: u64 = 20_000;

/// Offset in frames between the speech of two channels.
const APART_FRAMES: usize = 2617;

/// Turns from a press until its audio is released: the default holdback.
pub const HOLDBACK_TURNS: usize = 150;

/// Upper bound of consecutive turns.
const TURNS_AT_ONCE: usize = 1000;

/// Looped speech that yields a period from any offset.
pub struct Speech {
    samples: Vec<i16>,
    frames: usize,
}

impl Speech {
    pub fn load() -> Speech {
        let reader = hound::WavReader::open(plan::speech_path()).expect("demo speech");
        assert_eq!(u64::from(reader.spec().sample_rate), RATE);
        let mut samples: Vec<i16> = reader.into_samples().map(|s| s.expect("a sample")).collect();
        let frames = samples.len();
        samples.extend_from_within(..PERIOD_FRAMES);
        Speech { samples, frames }
    }

    /// The period numbered `turn` of channel `n`.
    pub fn period(&self, n: usize, turn: usize) -> &[i16] {
        let at = (n * APART_FRAMES + turn * PERIOD_FRAMES) % self.frames;
        &self.samples[at..at + PERIOD_FRAMES]
    }
}

/// The recorder and its surroundings.
pub struct Turns {
    pub recorder: Recorder,
    pub speech: Speech,
    plan: LoadPlan,
    now: Now,
    /// Periods captured so far.
    pub turn: usize,
    dones: VecDeque<Completion>,
    recipients: Vec<Recipient>,
    envelopes: u16,
    /// Lines sent to any session since the test last cleared them.
    pub said: String,
    /// Bytes of media appended so far.
    pub media_bytes: u64,
    pub closed: usize,
    pub stalled: bool,
    /// Every turn, one packet in so many is lost on its side, and comes a turn late; none if 0.
    pub loses_one_in: usize,
    /// A frame-interleaved period of a stereo channel.
    stereo: Vec<i16>,
}

const JOURNAL: FileId = FileId(1);

impl Turns {
    /// Session of the call feed; agents have the following numbers.
    pub const FEED: SessionId = SessionId(1);

    /// Starts a recorder without clients.
    pub fn new(plan: LoadPlan) -> Turns {
        let (config, _) = config::parse(&plan.config()).expect("a good configuration");
        let identity = Identity::generate();
        let now = Now { mono: MonoTime(1), wall: WallTime(1_795_348_800_000) };
        let boot = RecoveredState {
            sip_seed: Default::default(),
            config,
            index: Index::default(),
            catalogue: Catalogue::default(),
            journal: JournalWriter::new(),
            journal_bytes: 0,
            day: None,
            box_key: BoxSigningKey::from_seed(&[7; 32], "bench"),
            old_call_keys: Vec::new(),
            call_key: Some(DataKey::from_random([8; 32])),
            identities: Vec::new(),
            anchor: false,
            closed: Vec::new(),
            screens: Vec::new(),
        };
        let recorder = Recorder::new(now, boot).expect("a recorder");
        let mut turns = Turns {
            recorder,
            speech: Speech::load(),
            plan,
            now,
            turn: 0,
            dones: VecDeque::with_capacity(1024),
            recipients: vec![identity.to_public()],
            envelopes: 0,
            said: String::new(),
            media_bytes: 0,
            closed: 0,
            stalled: false,
            loses_one_in: 0,
            stereo: Vec::with_capacity(2 * PERIOD_FRAMES),
        };
        turns.turns(2);
        turns
    }

    /// Starts a recorder that records on every channel. Calls start one turn apart, so that chunks
    /// end in different turns.
    pub fn recording(plan: LoadPlan) -> Turns {
        let mut turns = Turns::new(plan);
        let kinds = vec![Kind::Cti, Kind::Agent];
        for session in 0..=u64::from(plan.channels) {
            let session = SessionId(Turns::FEED.0 + session);
            let peer = Peer { kinds: kinds.clone(), from: "127.0.0.1".to_owned(), portal: false };
            turns.recorder.handle(turns.now, Input::Connected { session, peer });
        }
        turns.line(Turns::FEED, "hello cti");
        for n in 0..plan.channels {
            let (device, agent) = (plan::device(n), Turns::agent(n));
            turns.line(agent, &format!("hello agent user=u{device}"));
            turns.line(Turns::FEED, &format!("call start device={device} call=c{device}"));
            turns.line(agent, "record start");
            turns.turns(1);
        }
        turns.turns(HOLDBACK_TURNS + 50);
        let begun = turns.said.matches("state=on").count();
        assert_eq!(begun, usize::from(plan.channels), "{}", turns.said);
        turns.said.clear();
        turns
    }

    /// Session of the agent at channel `n`.
    pub fn agent(n: u16) -> SessionId {
        SessionId(Turns::FEED.0 + 1 + u64::from(n))
    }

    /// Delivers one line of a session before the next turn.
    pub fn line(&mut self, session: SessionId, line: &str) {
        let woke = self.now.mono;
        self.recorder.handle(self.now, Input::Line { session, line: Ok(line), woke });
    }

    pub fn turns(&mut self, count: usize) {
        for _ in 0..count {
            self.capture();
            self.answer();
            self.end_turn();
            self.hand_out();
        }
    }

    /// Ends the turn, and those that follow at once because more audio can be released.
    pub fn end_turn(&mut self) {
        self.recorder.turn(self.now);
        for _ in 0..TURNS_AT_ONCE {
            if self.recorder.next_deadline(self.now) > self.now.mono {
                return;
            }
            self.recorder.turn(self.now);
        }
    }

    /// Captures one period on every channel.
    pub fn capture(&mut self) {
        self.now.mono = MonoTime(self.now.mono.0 + PERIOD_US);
        self.now.wall = WallTime(self.now.wall.0 + 20);
        for n in 0..usize::from(self.plan.channels) {
            let channel = ChannelIndex(n);
            if self.loses_one_in > 0 && (n + self.turn).is_multiple_of(self.loses_one_in) {
                self.lose_packet(channel);
            }
            let samples = self.speech.period(n, self.turn);
            if self.plan.sides == 1 {
                self.recorder.capture(self.now, channel, samples);
            } else {
                self.stereo.clear();
                self.stereo.extend(samples.iter().flat_map(|sample| [*sample, !*sample]));
                self.recorder.capture(self.now, channel, &self.stereo);
            }
        }
        self.turn += 1;
    }

    /// Loses the next packet of a side, and brings half of the one before.
    fn lose_packet(&mut self, channel: ChannelIndex) {
        let side = self.turn % usize::from(self.plan.sides);
        let position = |turn: usize| Position((turn * PERIOD_FRAMES) as u64);
        let (at, frames) = (position(self.turn), PERIOD_FRAMES as u64);
        let loss = SideLoss { side, at, frames, reason: LossReason::Network };
        self.recorder.mark_side_lost(self.now, channel, loss);
        let before = self.turn.saturating_sub(self.loses_one_in);
        let samples = &self.speech.period(channel.0, before)[..PERIOD_FRAMES / 2];
        self.recorder.write_late(channel, side, position(before), samples);
    }

    /// Reports frames that the board lost.
    pub fn lose(&mut self, frames: u64, why: LossReason) {
        self.recorder.skip_lost_on_board(self.now, 0, frames, why);
    }

    /// Delivers disk completions and frees every session's send capacity.
    pub fn answer(&mut self) {
        while !self.stalled
            && let Some(done) = self.dones.pop_front()
        {
            self.recorder.handle(self.now, Input::JobDone(done));
        }
        for session in 0..=u64::from(self.plan.channels) {
            let session = SessionId(Turns::FEED.0 + session);
            let room = Input::SendCapacity { session, bytes: limits::OUTPUT_BYTES_MAX };
            self.recorder.handle(self.now, room);
        }
    }

    /// Performs the recorder's outputs or passes them to the disk.
    pub fn hand_out(&mut self) {
        while let Some(output) = self.recorder.poll() {
            match output {
                Output::Job(job) => self.job(job),
                Output::Send { bytes, .. } => {
                    self.said.push_str(&String::from_utf8(bytes).expect("lines are text"));
                }
                Output::MakeEnvelopes(count) => (0..count).for_each(|_| self.envelope()),
                Output::Fatal(text) => panic!("the recorder gave up: {text}"),
                _ => {}
            }
        }
    }

    fn job(&mut self, job: Job) {
        let result = Ok(());
        self.dones.extend(match job {
            Job::Create { file, .. } | Job::Reopen { file, .. } => {
                Some(Completion::Opened { file, result })
            }
            Job::Append { file, bytes } => {
                if file != JOURNAL {
                    self.media_bytes += bytes.len() as u64;
                }
                Some(Completion::Appended { file, bytes, result })
            }
            Job::Sync { ticket } => Some(Completion::Synced { ticket, result }),
            Job::QueryFreeSpace => Some(Completion::FreeSpace { free: 1 << 40, total: 1 << 41 }),
            Job::Close { .. } => {
                self.closed += 1;
                None
            }
            Job::Read { .. }
            | Job::Remove { .. }
            | Job::Overwrite { .. }
            | Job::Replace { .. }
            | Job::TryCreate { .. } => None,
        });
    }

    fn envelope(&mut self) {
        self.envelopes = self.envelopes.checked_add(1).expect("enough names for a bench");
        let mut random = [0; 42];
        random[..2].copy_from_slice(&self.envelopes.to_le_bytes());
        let envelope = Envelope::for_recipients(random, &self.recipients).expect("an envelope");
        self.recorder.handle(self.now, Input::Envelope(Box::new(envelope)));
    }
}
