//! A whole box on the bench: the recorder, a disk that always obeys, and a clock made of audio.
//!
//! Every period of 20 ms comes in on all channels at once, and a turn follows. What was appended is
//! kept by path, so that a box can be started again on what another left.

use hushbox::audio::channel::ChannelIndex;
use hushbox::audio::span::Run;
use hushbox::config;
use hushbox::id::SessionId;
use hushbox::job::{Completion, FileId, Job};
use hushbox::recorder::{Input, Output, Peer, Recorder, RecoveredState};
use hushbox::store::archive::Catalogue;
use hushbox::store::fact::Fact;
use hushbox::store::index::Index;
use hushbox::store::journal::{JournalItem, JournalReader, JournalWriter};
use hushbox::store::media;
use hushbox::store::seal::Envelope;
use hushbox::store::sign::BoxSigningKey;
use hushbox::time::{MonoTime, Now, WallTime};
use protocol::Kind;
use std::collections::BTreeMap;

pub const SECOND: u64 = 8000;
const PERIOD: u64 = 160;

pub const CTI: SessionId = SessionId(1);
pub const AGENT: SessionId = SessionId(2);

/// Contents by path.
pub type Files = BTreeMap<String, Vec<u8>>;

pub struct BenchBox {
    pub recorder: Recorder,
    pub files: Files,
    open: BTreeMap<FileId, String>,
    said: BTreeMap<SessionId, String>,
    channels: usize,
    /// Frames since this start.
    pub at: u64,
    began: WallTime,
    envelopes: u8,
    pub stopped: bool,
}

/// A recording as the store gives it back.
pub struct Stored {
    pub from: u64,
    pub runs: Vec<Run>,
    /// Stored frames only.
    pub samples: Vec<i16>,
}

impl BenchBox {
    pub fn start(text: &str, files: Files) -> BenchBox {
        let (config, _) = config::parse(text).unwrap();
        let (mut index, mut journal, mut day) = (Index::default(), JournalWriter::new(), None);
        for (path, bytes) in files.range("journal/".to_string()..).take_while(|f| f.0 < &"k".into())
        {
            let mut reader = JournalReader::open(bytes.as_slice()).unwrap();
            while let Some(item) = reader.next_item().unwrap() {
                if let JournalItem::Entry { sequence, entry, .. } = item {
                    index.apply(sequence, &entry);
                }
            }
            journal = JournalWriter::from_state(reader.finish().state);
            day = hushbox::store::layout::parse_journal_day(path).map(str::to_owned);
        }
        let channels = config.boards.iter().map(|board| board.channels.len()).sum();
        let began = WallTime(1_795_348_800_000 + i64::from(index.boot()) * 600_000);
        let boot = RecoveredState {
            config,
            index,
            catalogue: Catalogue::default(),
            journal,
            journal_bytes: 0,
            day,
            box_key: BoxSigningKey::from_seed(&[7; 32], "bench"),
            old_call_keys: Vec::new(),
            call_key: None,
            identities: Vec::new(),
            anchor: false,
            closed: Vec::new(),
            screens: Vec::new(),
        };
        let envelopes = u8::try_from(files.len()).unwrap() * 20;
        let recorder = Recorder::new(Now { mono: MonoTime(0), wall: began }, boot).unwrap();
        let mut bench = BenchBox {
            recorder,
            files,
            open: BTreeMap::new(),
            said: BTreeMap::new(),
            channels,
            at: 0,
            began,
            envelopes,
            stopped: false,
        };
        bench.settle();
        for (session, kind, hello) in [
            (CTI, Kind::Cti, "hello cti user=pbx machine=pbx"),
            (AGENT, Kind::Agent, "hello agent user=jdoe machine=WS-1"),
        ] {
            let peer = Peer { kinds: vec![kind], from: "bench".into(), portal: false };
            bench.recorder.handle(bench.now(), Input::Connected { session, peer });
            bench.recorder.handle(bench.now(), Input::SendCapacity { session, bytes: 64 * 1024 });
            bench.say(session, hello);
        }
        bench
    }

    pub fn now(&self) -> Now {
        let ms = i64::try_from(self.at / 8).unwrap();
        Now { mono: MonoTime(self.at * 125), wall: WallTime(self.began.0 + ms) }
    }

    /// One line; gives back everything that was said to the session since the last one.
    pub fn say(&mut self, session: SessionId, line: &str) -> String {
        let (now, woke) = (self.now(), self.now().mono);
        self.recorder.handle(now, Input::Line { session, line: Ok(line), woke });
        self.settle();
        self.heard(session)
    }

    pub fn heard(&mut self, session: SessionId) -> String {
        self.said.remove(&session).unwrap_or_default()
    }

    pub fn stop(mut self) -> Files {
        self.recorder.handle(self.now(), Input::Stop);
        self.settle();
        assert!(self.stopped);
        self.files
    }

    /// `frames` more on every channel; `wave` says the sample of a position, `None`: silence.
    pub fn play(&mut self, frames: u64, wave: impl Fn(usize, u64) -> i16) {
        assert_eq!(frames % PERIOD, 0);
        let end = self.at + frames;
        while self.at < end {
            let from = self.at;
            self.at += PERIOD;
            for channel in 0..self.channels {
                let period: Vec<i16> = (from..self.at).map(|at| wave(channel, at)).collect();
                self.recorder.capture(self.now(), ChannelIndex(channel), &period);
            }
            self.settle();
        }
    }

    /// Turns until nothing more follows.
    fn settle(&mut self) {
        loop {
            let now = self.now();
            self.recorder.turn(now);
            let mut quiet = true;
            while let Some(output) = self.recorder.poll() {
                quiet = false;
                self.obey(output);
            }
            if quiet {
                return;
            }
        }
    }

    fn obey(&mut self, output: Output) {
        let now = self.now();
        match output {
            Output::Send { session, bytes } => {
                self.said.entry(session).or_default().push_str(&String::from_utf8(bytes).unwrap());
            }
            Output::Job(job) => {
                if let Some(done) = self.job(job) {
                    self.recorder.handle(now, Input::JobDone(done));
                }
            }
            Output::MakeEnvelopes(count) => {
                for _ in 0..count {
                    self.envelopes += 1;
                    let envelope = Box::new(Envelope::without_key([self.envelopes; 42]));
                    self.recorder.handle(now, Input::Envelope(envelope));
                }
            }
            // Nobody deletes anything on the bench: the key of calls stays.
            Output::NewCallKey | Output::ForgetCallKeys => {}
            Output::MakeSelfTestKeys | Output::SelfTest(_) | Output::LoopBack { .. } => {}
            Output::EditConfig { .. } => {}
            Output::Stopped => self.stopped = true,
            other => panic!("not asked on the bench: {other:?}"),
        }
    }

    fn job(&mut self, job: Job) -> Option<Completion> {
        Some(match job {
            Job::Create { file, path } | Job::Reopen { file, path } => {
                self.files.entry(path.clone()).or_default();
                self.open.insert(file, path);
                Completion::Opened { file, result: Ok(()) }
            }
            Job::Append { file, mut bytes } => {
                self.files.get_mut(&self.open[&file]).unwrap().append(&mut bytes);
                Completion::Appended { file, bytes, result: Ok(()) }
            }
            Job::Close { .. } => return None,
            Job::Sync { ticket } => Completion::Synced { ticket, result: Ok(()) },
            Job::QueryFreeSpace => Completion::FreeSpace { free: 1 << 40, total: 1 << 41 },
            job @ (Job::Read { .. } | Job::Remove { .. }) => panic!("not on the bench: {job:?}"),
        })
    }

    /// Every recording there is, in the order in which they began.
    pub fn stored(&self) -> Vec<Stored> {
        let media = self.files.iter().filter(|(path, _)| path.starts_with("media/"));
        let mut all: Vec<Stored> = media.map(|(_, bytes)| stored(bytes)).collect();
        all.sort_by_key(|stored| stored.from);
        all
    }

    /// Everything the journal says, in order.
    pub fn facts(&self) -> Vec<Fact> {
        let mut facts = Vec::new();
        for (_, bytes) in self.files.iter().filter(|(path, _)| path.starts_with("journal/")) {
            let mut reader = JournalReader::open(bytes.as_slice()).unwrap();
            while let Some(item) = reader.next_item().unwrap() {
                if let JournalItem::Entry { entry, .. } = item {
                    facts.push(entry.fact);
                }
            }
        }
        facts
    }

    /// Begins and ends of calls, `+id` and `-id why`.
    pub fn calls(&self) -> Vec<String> {
        let mut names = BTreeMap::new();
        let mut out = Vec::new();
        for fact in self.facts() {
            match fact {
                Fact::CallBegan { call, .. } => {
                    out.push(format!("+{}", call.call));
                    names.insert(call.number, call.call);
                }
                Fact::CallEnded { number, why } => out.push(format!("-{} {why}", names[&number])),
                _ => {}
            }
        }
        out
    }
}

/// Reads a media file of `codec = "pcm"`, `seal = false`.
fn stored(bytes: &[u8]) -> Stored {
    let from = media::MediaReader::open(bytes).unwrap().header().from.0;
    let (mut runs, mut samples) = (Vec::new(), Vec::new());
    let each = |chunk: &[Run], payload: &[u8]| {
        runs.extend_from_slice(chunk);
        let pairs = payload.chunks_exact(2);
        samples.extend(pairs.map(|pair| i16::from_le_bytes([pair[0], pair[1]])));
    };
    media::chunks(bytes, None, each).unwrap();
    Stored { from, runs, samples }
}
