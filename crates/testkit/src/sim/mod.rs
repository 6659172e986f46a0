//! The whole box without its hardware: the real `Recorder` between simulated boards and a
//! simulated disk, people as lines of text, and a clock that stands still until it is told to go.
//!
//! Pure and deterministic: no thread, no real time, and one seed for every random bit. A test says
//! a line (`say`), lets time pass (`run_ms`), pulls the plug (`restart`), and reads back what the
//! disk holds (`stored`). While a line is answered no time passes: with a disk that takes its time
//! the answer comes with `run_ms`, and `news` gives it.

pub mod audio;
pub mod disk;
pub mod site;
pub mod stored;

use crate::rng::Rng;
use audio::sample;
use disk::SimDisk;
use hushbox::audio::channel::ChannelIndex;
use hushbox::audio::span::LossReason;
use hushbox::config::{self, Config};
use hushbox::doors::IssuedCertificate;
use hushbox::id::{RecordingId, SessionId};
use hushbox::job::Job;
use hushbox::limits;
use hushbox::recorder::{Input, Output, Peer, Recorder, RecoveredState};
use hushbox::store::seal::{DataKey, Envelope, Identity};
use hushbox::store::sign::BoxSigningKey;
use hushbox::store::{archive, layout, recover};
use hushbox::time::{MonoTime, Now, WallTime};
use protocol::{Assembler, Kind, Piece, Refusal};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// 2026-11-22T12:00:00Z.
const BEGAN: WallTime = WallTime(1_795_348_800_000);
/// The PIN of every technician.
pub const PIN: &str = "2468";
const PERIOD_MS: u64 = 20;

/// The sample of a channel, by its index, at a position.
type Wave = Box<dyn Fn(usize, u64) -> i16>;

/// One client, as the shell sees it.
struct Client {
    assembler: Assembler,
    /// Lines that the recorder has not taken yet.
    lines: VecDeque<Result<String, Refusal>>,
    /// What it was sent and nobody has read.
    inbox: Vec<u8>,
    /// It takes what it is sent.
    reads: bool,
    /// Bytes it was sent and has not taken.
    behind: usize,
    closed: bool,
}

/// A box.
pub struct SimBox {
    pub config: Config,
    recorder: Recorder,
    pub now: Now,
    pub disk: SimDisk,
    pub rng: Rng,
    pub identities: Vec<Identity>,
    clients: BTreeMap<u32, Client>,
    next_session: u32,
    /// Starts of the daemon. Not the number in the journal: a start that was cut before it was
    /// durable gives its number to the next one, but heard other audio.
    pub boot: u32,
    /// In which start a recording's file was made.
    pub born: BTreeMap<RecordingId, u32>,
    /// Frames the boards have given since the start, by channel.
    heads: Vec<u64>,
    /// What `keys/calls.key` holds, the newest first.
    pub call_keys: Vec<[u8; 32]>,
    /// The boards hear silence.
    pub silent: bool,
    /// What the boards hear instead of the pattern.
    pub wave: Option<Wave>,
    /// When they did: start of the daemon, and position on every channel.
    silences: BTreeSet<(u32, u64)>,
    /// What `config reload` finds; `None`: the file as it was.
    pub config_file: Option<String>,
    /// Everything that was ever sent: when, to whom, what.
    pub sent: Vec<(MonoTime, u32, Vec<u8>)>,
    /// Worker threads fail at everything.
    workers_fail: bool,
    /// Envelopes that are still to be made.
    envelopes_asked: usize,
    /// How often days were to be closed.
    pub summaries: u32,
    pub stopped: bool,
    /// Why the daemon had to end.
    pub fatal: Option<String>,
}

impl SimBox {
    /// A box that has just started for the first time.
    pub fn new(config: &str, seed: u64) -> SimBox {
        let (config, _) = config::parse(config).unwrap_or_else(|errors| panic!("{errors:#?}"));
        let identities = vec![Identity::generate()];
        let mut disk = SimDisk::default();
        let now = Now { mono: MonoTime(0), wall: BEGAN };
        let call_keys = vec![[5; 32]];
        let recorder = start(&config, &mut disk, (&identities, &call_keys), now);
        let mut this = SimBox {
            heads: vec![0; recorder.channel_count()],
            recorder,
            now,
            disk,
            rng: Rng::new(seed),
            identities,
            clients: BTreeMap::new(),
            next_session: 0,
            boot: 1,
            born: BTreeMap::new(),
            call_keys,
            silent: false,
            wave: None,
            silences: BTreeSet::new(),
            config_file: None,
            sent: Vec::new(),
            workers_fail: false,
            envelopes_asked: 0,
            summaries: 0,
            stopped: false,
            fatal: None,
            config,
        };
        this.settle();
        this
    }

    pub fn box_key(&self) -> BoxSigningKey {
        box_key(&self.config)
    }

    /// Everything of the recorder's state that decides anything.
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// Connects a client that may say hello as these; it has read the greeting.
    pub fn client(&mut self, kinds: &[Kind]) -> u32 {
        self.client_of(Peer { kinds: kinds.to_vec(), from: "127.0.0.1".into(), portal: false })
    }

    pub fn client_of(&mut self, peer: Peer) -> u32 {
        self.connect(|session| Input::Connected { session, peer })
    }

    /// Connects a client over TLS that shows this certificate.
    pub fn knock(&mut self, certificate: Option<[u8; 32]>) -> u32 {
        self.knock_from("10.0.0.1", certificate)
    }

    /// The same, from this address.
    pub fn knock_from(&mut self, from: &str, certificate: Option<[u8; 32]>) -> u32 {
        let from = from.to_owned();
        self.connect(|session| Input::TlsAccepted { session, from, certificate })
    }

    /// There is a TLS listener; to be said again after every start.
    pub fn serve_enrolment(&mut self) {
        self.recorder.enable_enrolment([7; 10]);
    }

    fn connect(&mut self, input: impl FnOnce(SessionId) -> Input<'static>) -> u32 {
        self.next_session += 1;
        let client = Client {
            assembler: Assembler::new(),
            lines: VecDeque::new(),
            inbox: Vec::new(),
            reads: true,
            behind: 0,
            closed: false,
        };
        self.clients.insert(self.next_session, client);
        let session = SessionId(self.next_session.into());
        self.recorder.handle(self.now, input(session));
        self.settle();
        self.next_session
    }

    /// The client's link is gone.
    pub fn gone(&mut self, client: u32) {
        if self.clients.remove(&client).is_some_and(|client| !client.closed) {
            self.recorder
                .handle(self.now, Input::Disconnected { session: SessionId(client.into()) });
        }
        self.settle();
    }

    /// The box has closed the link, or it is gone.
    pub fn is_closed(&self, client: u32) -> bool {
        self.clients.get(&client).is_none_or(|client| client.closed)
    }

    /// Whether the client takes what it is sent.
    pub fn reads(&mut self, client: u32, reads: bool) {
        self.client_mut(client).reads = reads;
        self.settle();
    }

    fn client_mut(&mut self, client: u32) -> &mut Client {
        self.clients.get_mut(&client).expect("a client that is there")
    }

    /// Sends one line and gives everything that the client is sent until all is quiet.
    pub fn say(&mut self, client: u32, line: &str) -> Vec<String> {
        self.send(client, format!("{line}\n").as_bytes());
        self.news(client)
    }

    /// Sends raw bytes.
    pub fn send(&mut self, client: u32, mut bytes: &[u8]) {
        let place = self.client_mut(client);
        while let Some(piece) = place.assembler.take(&mut bytes) {
            match piece {
                Piece::Line(line) => place.lines.push_back(Ok(line.to_string())),
                Piece::Refused(refusal) => place.lines.push_back(Err(refusal)),
                _ => {}
            }
        }
        self.settle();
    }

    /// Sends a line and the data block that belongs to it, and gives the answer.
    pub fn say_with(&mut self, client: u32, line: &str, block: &[u8]) -> Vec<String> {
        self.send(client, format!("{line}\n").as_bytes());
        let before = self.news(client);
        assert!(!before.iter().any(|line| line.starts_with("ok")), "{before:?}");
        self.input(Input::Data { session: SessionId(client.into()), block: Ok(block) });
        before.into_iter().chain(self.news(client)).collect()
    }

    /// Says `ping` and takes the answer, but nothing else, off what the client was sent.
    pub fn ping(&mut self, client: u32) {
        let before = self.client_mut(client).inbox.len();
        self.send(client, b"ping\n");
        let inbox = &mut self.client_mut(client).inbox;
        let said = inbox.split_off(before);
        assert!(said.starts_with(b"ok time="), "{}", String::from_utf8_lossy(&said));
        let rest = said.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        inbox.extend_from_slice(&said[rest..]);
    }

    /// The lines a client was sent since it last looked; a data block is one line of its size.
    pub fn news(&mut self, client: u32) -> Vec<String> {
        let bytes = self.take(client);
        let mut rest = bytes.as_slice();
        let mut lines = Vec::new();
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line = std::str::from_utf8(&rest[..end]).unwrap().to_string();
            rest = &rest[end + 1..];
            if let Some(size) = line.strip_prefix("data ") {
                rest = &rest[size.parse::<usize>().unwrap() + 1..];
            }
            lines.push(line);
        }
        assert!(rest.is_empty(), "half a line was sent");
        lines
    }

    /// The bytes a client was sent since it last looked.
    pub fn take(&mut self, client: u32) -> Vec<u8> {
        std::mem::take(&mut self.client_mut(client).inbox)
    }

    /// Lets time pass and audio come in, in periods of 20 ms.
    pub fn run_ms(&mut self, ms: u64) {
        assert_eq!(ms % PERIOD_MS, 0, "whole periods");
        for _ in 0..ms / PERIOD_MS {
            self.pass_ms(PERIOD_MS);
            self.hear(PERIOD_MS);
            self.settle();
        }
    }

    /// Lets time pass without audio.
    pub fn pass_ms(&mut self, ms: u64) {
        self.now.mono = self.now.mono.after_ms(ms);
        self.now.wall = WallTime(self.now.wall.0 + i64::try_from(ms).unwrap());
    }

    /// A board gives nothing for so long, and says so; the others go on.
    pub fn unplug_ms(&mut self, board: usize, ms: u64, why: LossReason) {
        for _ in 0..ms / PERIOD_MS {
            self.pass_ms(PERIOD_MS);
            self.hear_but(PERIOD_MS, Some(board));
            let rate = u64::from(self.config.boards[board].rate);
            self.lose(board, rate * PERIOD_MS / 1000, why);
            self.settle();
        }
    }

    /// Where the channels of a board are.
    pub fn head(&self, board: usize) -> u64 {
        self.heads[self.recorder.first_channel(board).unwrap().0]
    }

    fn hear(&mut self, ms: u64) {
        self.hear_but(ms, None);
    }

    fn hear_but(&mut self, ms: u64, unplugged: Option<usize>) {
        // Wiped, as a board wipes its scratch, and with room, so that growing leaves no copy: tests
        // search the memory for what was heard.
        let room = usize::try_from(2 * 96 * ms).unwrap();
        let mut samples = zeroize::Zeroizing::new(Vec::with_capacity(room));
        for (board, model) in self.config.boards.iter().enumerate() {
            if unplugged == Some(board) {
                continue;
            }
            let first = self.recorder.first_channel(board).unwrap().0;
            let frames = u64::from(model.rate) * ms / 1000;
            for (index, channel) in (first..).zip(&model.channels) {
                let head = self.heads[index];
                samples.clear();
                if self.silent {
                    self.silences.extend((head..head + frames).map(|at| (self.boot, at)));
                }
                for position in head..head + frames {
                    let sound = |side| match &self.wave {
                        Some(wave) => wave(index, position),
                        None => self.heard(self.boot, channel.id, position, side),
                    };
                    samples.extend((0..usize::from(channel.sides)).map(sound));
                }
                assert!(samples.len() <= room);
                self.recorder.capture(self.now, ChannelIndex(index), &samples);
                self.heads[index] += frames;
            }
        }
    }

    /// What a board gave, or gives.
    pub fn heard(&self, boot: u32, channel: u16, position: u64, side: usize) -> i16 {
        let silent = self.silences.contains(&(boot, position));
        if silent { 0 } else { sample(boot, channel, position, side) }
    }

    /// Frames of a board were never had.
    pub fn lose(&mut self, board: usize, frames: u64, why: LossReason) {
        self.recorder.skip_lost_on_board(self.now, board, frames, why);
        let first = self.recorder.first_channel(board).unwrap().0;
        let count = self.config.boards[board].channels.len();
        self.heads[first..first + count].iter_mut().for_each(|head| *head += frames);
    }

    pub fn input(&mut self, input: Input<'_>) {
        self.recorder.handle(self.now, input);
        self.settle();
    }

    /// Turns until nothing is left to do at this moment.
    pub fn settle(&mut self) {
        loop {
            self.recorder.turn(self.now);
            let mut busy = false;
            while let Some(output) = self.recorder.poll() {
                self.serve(output);
                busy = true;
            }
            while let Some(done) = self.disk.work(self.now.mono.0) {
                busy = true;
                if let Some(done) = done {
                    self.recorder.handle(self.now, Input::JobDone(done));
                }
            }
            let more = self.recorder.next_deadline(self.now) <= self.now.mono;
            if self.disk.is_dead() || self.fatal.is_some() || !self.deliver() && !busy && !more {
                return;
            }
        }
    }

    /// Hands waiting lines in, as far as the recorder takes them.
    fn deliver(&mut self) -> bool {
        let mut any = false;
        for (id, client) in &mut self.clients {
            let session = SessionId((*id).into());
            if client.reads && client.behind > 0 {
                (client.behind, any) = (0, true);
                let bytes = limits::OUTPUT_BYTES_MAX;
                self.recorder.handle(self.now, Input::SendCapacity { session, bytes });
            }
            while !client.closed && self.recorder.accepts_lines(session) {
                let Some(line) = client.lines.pop_front() else { break };
                let line = line.as_deref().map_err(Clone::clone);
                let woke = self.now.mono;
                self.recorder.handle(self.now, Input::Line { session, line, woke });
                any = true;
            }
        }
        any
    }

    fn serve(&mut self, output: Output) {
        match output {
            Output::Send { session, bytes } => {
                self.sent.push((self.now.mono, number(session), bytes.clone()));
                if let Some(client) = self.clients.get_mut(&number(session)) {
                    assert!(!client.closed, "something is sent after the end");
                    client.inbox.extend_from_slice(&bytes);
                    client.behind += bytes.len();
                    assert!(
                        client.behind <= limits::OUTPUT_BYTES_MAX,
                        "more than there is room for"
                    );
                }
            }
            Output::Close { session } | Output::Abort { session } => {
                if let Some(client) = self.clients.get_mut(&number(session)) {
                    client.closed = true;
                }
            }
            Output::Job(job) => {
                if let Job::Create { path, .. } = &job
                    && let Some((_, id)) = layout::parse_media(path)
                {
                    self.born.insert(id, self.boot);
                }
                self.disk.ask(self.now.mono.0, job);
            }
            Output::MakeEnvelopes(count) => {
                self.envelopes_asked += count;
                self.make_envelopes();
            }
            Output::CheckPin { session, .. }
            | Output::NewCode { session }
            | Output::Sign { session, .. }
            | Output::EditConfig { session, .. }
            | Output::ReadConfig { session: Some(session), .. }
                if self.workers_fail =>
            {
                let why = "no thread can be started".to_owned();
                self.recorder.handle(self.now, Input::GivenUp { session, why });
            }
            Output::CheckPin { session, pin, .. } => {
                let right = *pin == PIN;
                self.recorder.handle(self.now, Input::PinChecked { session, right });
            }
            Output::ReadConfig { session, apply } => self.read_config(session, apply),
            Output::LogLevel(_) | Output::LoopBack { .. } | Output::EditConfig { .. } => {}
            Output::Summarise { today, damaged } => {
                self.summaries += 1;
                let done = match self.workers_fail {
                    true => Err("no memory".to_owned()),
                    false => archive::repair_summaries(&mut self.disk, today, damaged)
                        .map_err(|error| error.to_string()),
                };
                self.recorder.handle(self.now, Input::Summarised(done));
            }
            Output::NewCode { session } => {
                let random = zeroize::Zeroizing::new(self.random());
                self.recorder.handle(self.now, Input::CodeRandom { session, random });
            }
            Output::Sign { session, request, .. } => {
                let (digest, until) = (*blake3::hash(&request).as_bytes(), WallTime(i64::MAX));
                let certificate =
                    IssuedCertificate { chain: "PEM".to_owned(), digest, not_after: until };
                self.recorder.handle(self.now, Input::Signed { session, result: Ok(certificate) });
            }
            Output::NewCallKey => {
                let random = self.random();
                self.call_keys.insert(0, random);
                let key = DataKey::from_random(random);
                self.recorder.handle(self.now, Input::CallKey(Some(key)));
            }
            Output::ForgetCallKeys => self.call_keys.truncate(1),
            Output::MakeSelfTestKeys => {
                let keys = Input::SelfTestKeys(Err("not simulated".to_owned()));
                self.recorder.handle(self.now, keys);
            }
            Output::SelfTest(_) => {
                let syncs_us = Err("not simulated".to_owned());
                let found = Input::SelfTestDone(hushbox::selftest::DiskResult {
                    syncs_us,
                    read_back: None,
                });
                self.recorder.handle(self.now, found);
            }
            Output::Stopped => self.stopped = true,
            Output::Fatal(text) => self.fatal = Some(text),
        }
    }

    /// Worker threads fail at everything from now on, or do their work again.
    pub fn workers_fail(&mut self, fail: bool) {
        self.workers_fail = fail;
        self.make_envelopes();
        self.settle();
    }

    fn make_envelopes(&mut self) {
        while self.envelopes_asked > 0 && !self.workers_fail {
            self.envelopes_asked -= 1;
            let envelope = Box::new(self.envelope());
            self.recorder.handle(self.now, Input::Envelope(envelope));
        }
    }

    fn random<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.rng.byte())
    }

    fn envelope(&mut self) -> Envelope {
        let random = self.random();
        if !self.config.store.seal {
            return Envelope::without_key(random);
        }
        let recipients: Vec<_> = self.identities.iter().map(Identity::to_public).collect();
        Envelope::for_recipients(random, &recipients).unwrap()
    }

    fn read_config(&mut self, session: Option<SessionId>, apply: bool) {
        let found = self.config_file.as_deref().map(config::parse);
        let result = match found {
            Some(Err(errors)) => Err(errors[0].to_string()),
            Some(Ok((config, _))) => {
                if apply {
                    self.recorder.handle(self.now, Input::Reload(Box::new(config.clone())));
                    self.config = config;
                }
                Ok(())
            }
            None => Ok(()),
        };
        if let Some(session) = session {
            self.recorder.handle(self.now, Input::ConfigRead { session, result });
        }
    }

    /// Stops the box in order, or pulls its plug, and starts it again; every link is gone.
    pub fn restart(&mut self, cut: bool) {
        if cut {
            self.disk.cut(None);
        } else {
            self.input(Input::Stop);
            for _ in 0..1000 {
                if self.stopped {
                    break;
                }
                self.run_ms(PERIOD_MS);
            }
            assert!(self.stopped, "the box does not stop");
            self.disk.cut(None);
        }
        self.start_again();
    }

    /// The next start, from what the disk holds.
    pub fn start_again(&mut self) {
        self.disk.stop();
        self.now.mono = MonoTime(0);
        let random = self.random();
        self.call_keys.insert(0, random);
        let keys = (self.identities.as_slice(), self.call_keys.as_slice());
        self.recorder = start(&self.config, &mut self.disk, keys, self.now);
        self.heads.fill(0);
        self.clients.clear();
        // A start that never became durable is not counted.
        self.boot = self.journal().boot() + 1;
        (self.stopped, self.fatal) = (false, None);
        self.envelopes_asked = 0;
        self.settle();
    }
}

/// The number of a client.
fn number(session: SessionId) -> u32 {
    u32::try_from(session.0).unwrap()
}

fn box_key(config: &Config) -> BoxSigningKey {
    BoxSigningKey::from_seed(&[7; 32], &config.name)
}

/// What the shell does before the first turn.
fn start(
    config: &Config,
    disk: &mut SimDisk,
    (identities, call_keys): (&[Identity], &[[u8; 32]]),
    now: Now,
) -> Recorder {
    let found = recover::recover_store(disk).unwrap();
    let (newest, older) = call_keys.split_first().expect("a call key");
    let call_key = config.store.seal.then(|| DataKey::from_random(*newest));
    let boot = RecoveredState {
        config: config.clone(),
        index: found.index,
        catalogue: found.catalogue,
        journal_bytes: found.journal_bytes,
        journal: found.journal,
        day: found.day,
        box_key: box_key(config),
        old_call_keys: older.iter().map(|key| DataKey::from_random(*key)).collect(),
        call_key,
        identities: identities.to_vec(),
        anchor: found.needs_checkpoint,
        closed: found.completed,
        screens: found.completed_screens,
    };
    Recorder::new(now, boot).unwrap()
}
