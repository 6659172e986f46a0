//! The recorder without hardware: the real `Recorder` between simulated boards and a simulated
//! disk, with clients as lines of text and a manual clock.
//!
//! Deterministic: no threads, no real time, and one seed for all random bits. A test sends a line
//! (`say`), lets time pass (`run_ms`), cuts the power (`restart`) and reads the disk (`stored`). No
//! time passes while a line is answered. With a slow disk the reply arrives during `run_ms`, and
//! `news` returns it.

pub mod audio;
mod capture;
pub mod disk;
pub mod network;
mod restart;
pub mod site;
pub mod stored;
pub mod telephony;
mod workers;

use crate::rng::Rng;
use disk::SimDisk;
use hushbox::audio::channel::ChannelIndex;
use hushbox::audio::span::LossReason;
use hushbox::config::{self, Config};
use hushbox::enrolment_code::IssuedCertificate;
use hushbox::id::{RecordingId, SessionId};
use hushbox::job::Job;
use hushbox::limits;
use hushbox::recorder::{
    ConfigReadResult, Input, Output, Peer, ReadMode, Recorder, TimeSync, TimeSyncReport,
};
use hushbox::store::layout;
use hushbox::store::seal::{DataKey, Envelope, Identity};
use hushbox::store::sign::BoxSigningKey;
use hushbox::time::{MonoTime, Now, WallTime};
use network::Network;
use protocol::{Assembler, InvalidLine, Kind, Piece, Refusal};
use restart::start;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use telephony::Telephony;

/// 2026-11-22T12:00:00Z.
const BEGAN: WallTime = WallTime(1_795_348_800_000);
/// PIN of every technician.
pub const PIN: &str = "2468";
const PERIOD_MS: u64 = 20;

fn parse_config(text: &str) -> Config {
    config::parse(text).unwrap_or_else(|errors| panic!("{errors:#?}")).0
}

/// Sample of a channel, by its index, at a position.
type Wave = Box<dyn Fn(usize, u64) -> i16>;

struct SimClient {
    assembler: Assembler,
    /// Lines that the recorder has not accepted yet.
    lines: VecDeque<Result<String, (Refusal, Vec<u8>)>>,
    /// Received bytes that the test has not read.
    inbox: Vec<u8>,
    /// Whether the client reads what it is sent.
    reads: bool,
    /// Bytes sent but not yet read.
    behind: usize,
    /// Whether the client has sent its last line, and whether the recorder knows.
    ended: bool,
    end_told: bool,
    closed: bool,
}

pub struct SimBox {
    pub config: Config,
    recorder: Recorder,
    pub now: Now,
    /// Time that has passed in all runs, whatever the wall clock says.
    pub passed_ms: i64,
    pub disk: SimDisk,
    pub rng: Rng,
    pub identities: Vec<Identity>,
    clients: BTreeMap<u32, SimClient>,
    next_session: u32,
    /// Starts of the daemon. Differs from the number in the journal: a start that was cut before it
    /// was durable leaves its number to the next one, but captured other audio.
    pub boot: u32,
    /// Start in which a recording's file was created.
    pub born: BTreeMap<RecordingId, u32>,
    /// Frames captured since the start, by channel.
    heads: Vec<u64>,
    /// Content of `keys/calls.key`, newest first.
    pub call_keys: Vec<[u8; 32]>,
    /// Holds envelope requests back until `release_envelopes`.
    pub no_envelopes: bool,
    /// Whether the boards capture silence.
    pub silent: bool,
    /// Audio of the boards instead of the pattern.
    pub wave: Option<Wave>,
    /// What loses packets between the lines and the boards; nothing at first.
    pub network: Network,
    /// SIP messages, and slots of RTP boards.
    pub telephony: Telephony,
    /// Start and position of every silent frame.
    silences: BTreeSet<(u32, u64)>,
    /// File that `config reload` reads; `None` for the unchanged one.
    pub config_file: Option<String>,
    /// Everything sent: time, client and bytes.
    pub sent: Vec<(MonoTime, u32, Vec<u8>)>,
    /// Whether worker threads fail at every job.
    workers_fail: bool,
    /// Envelopes held back.
    envelopes_asked: usize,
    /// Number of summary jobs so far.
    pub summaries: u32,
    pub stopped: bool,
    /// Why the daemon had to exit.
    pub fatal: Option<String>,
}

impl SimBox {
    /// Creates a recorder that has just started for the first time.
    pub fn new(config: &str, seed: u64) -> SimBox {
        SimBox::new_at(config, seed, BEGAN)
    }

    /// Creates a recorder that has just started for the first time, at this wall time.
    pub fn new_at(config: &str, seed: u64, wall: WallTime) -> SimBox {
        SimBox::with_config(parse_config(config), seed, wall)
    }

    /// Creates a recorder that has just started for the first time, after `change` of its
    /// configuration: for what only a board of another kind can be given in a file.
    pub fn new_changed(config: &str, seed: u64, change: impl FnOnce(&mut Config)) -> SimBox {
        let mut config = parse_config(config);
        change(&mut config);
        SimBox::with_config(config, seed, BEGAN)
    }

    fn with_config(config: Config, seed: u64, wall: WallTime) -> SimBox {
        let identities = vec![Identity::generate()];
        let mut disk = SimDisk::default();
        let now = Now { mono: MonoTime(0), wall };
        let call_keys = vec![[5; 32]];
        let recorder = start(&config, &mut disk, (&identities, &call_keys), now);
        let mut this = SimBox {
            heads: vec![0; recorder.channel_count()],
            recorder,
            now,
            passed_ms: 0,
            disk,
            rng: Rng::new(seed),
            identities,
            clients: BTreeMap::new(),
            next_session: 0,
            boot: 1,
            born: BTreeMap::new(),
            call_keys,
            no_envelopes: false,
            silent: false,
            wave: None,
            network: Network::new(!seed),
            telephony: Telephony::default(),
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
        box_key()
    }

    /// The recorder, for what a board or the shell does with it.
    pub fn recorder_mut(&mut self) -> &mut Recorder {
        &mut self.recorder
    }

    /// Reports that a digit sounds on a channel from a position on.
    pub fn digit(&mut self, index: usize, from: u64, frames: u64) {
        let (channel, from) = (ChannelIndex(index), hushbox::time::Position(from));
        self.recorder.note_digit(self.now, channel, from, frames);
        self.settle();
    }

    /// The recorder, with all state that affects its decisions.
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// Connects a client that may say hello as these kinds and has read the greeting.
    pub fn client(&mut self, kinds: &[Kind]) -> u32 {
        self.client_of(Peer { kinds: kinds.to_vec(), from: "127.0.0.1".into(), portal: false })
    }

    pub fn client_of(&mut self, peer: Peer) -> u32 {
        self.connect(|session| Input::Connected { session, peer })
    }

    /// Connects a client over TLS with this certificate.
    pub fn connect_tls(&mut self, certificate: Option<[u8; 32]>) -> u32 {
        self.connect_tls_from("10.0.0.1", certificate)
    }

    /// Connects a client over TLS from this address.
    pub fn connect_tls_from(&mut self, from: &str, certificate: Option<[u8; 32]>) -> u32 {
        let from = from.to_owned();
        self.connect(|session| Input::TlsAccepted { session, from, certificate })
    }

    /// Announces a TLS listener; needed again after every start.
    pub fn serve_enrolment(&mut self) {
        self.recorder.enable_enrolment([7; 10]);
    }

    fn connect(&mut self, input: impl FnOnce(SessionId) -> Input<'static>) -> u32 {
        self.next_session += 1;
        let client = SimClient {
            assembler: Assembler::new(),
            lines: VecDeque::new(),
            inbox: Vec::new(),
            reads: true,
            behind: 0,
            ended: false,
            end_told: false,
            closed: false,
        };
        self.clients.insert(self.next_session, client);
        let session = SessionId(self.next_session.into());
        self.recorder.handle(self.now, input(session));
        self.settle();
        self.next_session
    }

    /// Ends a client's input, as `shutdown(SHUT_WR)` does; it still reads.
    pub fn end_input(&mut self, client: u32) {
        self.client_mut(client).ended = true;
        self.settle();
    }

    /// Disconnects a client.
    pub fn gone(&mut self, client: u32) {
        if self.clients.remove(&client).is_some_and(|client| !client.closed) {
            self.recorder
                .handle(self.now, Input::Disconnected { session: SessionId(client.into()) });
        }
        self.settle();
    }

    /// Whether the connection is closed.
    pub fn is_closed(&self, client: u32) -> bool {
        self.clients.get(&client).is_none_or(|client| client.closed)
    }

    /// Sets whether the client reads what it is sent.
    pub fn reads(&mut self, client: u32, reads: bool) {
        self.client_mut(client).reads = reads;
        self.settle();
    }

    fn client_mut(&mut self, client: u32) -> &mut SimClient {
        self.clients.get_mut(&client).expect("a client that is there")
    }

    /// Sends one line and returns everything the client receives until the recorder is idle.
    pub fn say(&mut self, client: u32, line: &str) -> Vec<String> {
        self.send(client, format!("{line}\n").as_bytes());
        self.news(client)
    }

    pub fn send(&mut self, client: u32, mut bytes: &[u8]) {
        let place = self.client_mut(client);
        while let Some(piece) = place.assembler.next_piece(&mut bytes) {
            match piece {
                Piece::Line(line) => place.lines.push_back(Ok(line.to_string())),
                Piece::Refused(InvalidLine { refusal, bytes }) => {
                    place.lines.push_back(Err((refusal, bytes.to_vec())));
                }
                _ => {}
            }
        }
        self.settle();
    }

    /// Sends a line with its data block and returns the reply.
    pub fn say_with(&mut self, client: u32, line: &str, block: &[u8]) -> Vec<String> {
        self.send(client, format!("{line}\n").as_bytes());
        let before = self.news(client);
        assert!(!before.iter().any(|line| line.starts_with("ok")), "{before:?}");
        self.input(Input::Data { session: SessionId(client.into()), block: Ok(block) });
        before.into_iter().chain(self.news(client)).collect()
    }

    /// Sends `ping` and removes only its reply from the inbox.
    pub fn ping(&mut self, client: u32) {
        let before = self.client_mut(client).inbox.len();
        self.send(client, b"ping\n");
        let inbox = &mut self.client_mut(client).inbox;
        let said = inbox.split_off(before);
        assert!(said.starts_with(b"ok time="), "{}", String::from_utf8_lossy(&said));
        let rest = said.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        inbox.extend_from_slice(&said[rest..]);
    }

    /// Takes the received lines; a data block is one line that states its size.
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

    /// Takes the received bytes.
    pub fn take(&mut self, client: u32) -> Vec<u8> {
        std::mem::take(&mut self.client_mut(client).inbox)
    }

    /// Lets time pass and captures audio, in periods of 20 ms.
    pub fn run_ms(&mut self, ms: u64) {
        assert_eq!(ms % PERIOD_MS, 0, "whole periods");
        for _ in 0..ms / PERIOD_MS {
            self.pass_ms(PERIOD_MS);
            self.capture_audio(PERIOD_MS);
            self.report_slots();
            self.settle();
        }
    }

    /// Lets time pass without audio.
    pub fn pass_ms(&mut self, ms: u64) {
        self.now.mono = self.now.mono.after_ms(ms);
        let ms = i64::try_from(ms).unwrap();
        self.now.wall = WallTime(self.now.wall.0 + ms);
        self.passed_ms += ms;
    }

    /// Moves the wall clock; the monotonic clock does not notice.
    pub fn step_clock(&mut self, ms: i64) {
        self.now.wall = WallTime(self.now.wall.0 + ms);
        self.settle();
    }

    /// Reports that the system has just synchronised its clock.
    pub fn synchronise_clock(&mut self) {
        self.report_synchronised_at(self.now.mono);
    }

    /// Reports that the system synchronised its clock at this time.
    pub fn report_synchronised_at(&mut self, at: MonoTime) {
        let report = TimeSyncReport { state: TimeSync::Yes, at };
        self.recorder.handle_time_sync(self.now, report);
        self.settle();
    }

    /// Lets a board report lost frames for this time; the others capture.
    pub fn unplug_ms(&mut self, board: usize, ms: u64, why: LossReason) {
        for _ in 0..ms / PERIOD_MS {
            self.pass_ms(PERIOD_MS);
            self.capture_audio_except(PERIOD_MS, Some(board));
            let rate = u64::from(self.config.boards[board].rate);
            self.lose(board, rate * PERIOD_MS / 1000, why);
            self.settle();
        }
    }

    /// Position of a board's channels.
    pub fn head(&self, board: usize) -> u64 {
        self.heads[self.recorder.first_channel(board).unwrap().0]
    }

    /// Reloads the configuration as a signal does; `None`: the file is unchanged.
    pub fn reload(&mut self, file: Option<String>) {
        self.config_file = file.or(self.config_file.take());
        self.read_config(None, ReadMode::Apply { confirm: false });
        self.settle();
    }

    pub fn input(&mut self, input: Input<'_>) {
        self.recorder.handle(self.now, input);
        self.settle();
    }

    /// Runs turns until nothing is left to do now.
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

    /// Delivers waiting lines as far as the recorder accepts them.
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
                let line = line.as_deref().map_err(|(refusal, bytes)| {
                    let refusal = refusal.clone();
                    InvalidLine { refusal, bytes }
                });
                let woke = self.now.mono;
                self.recorder.handle(self.now, Input::Line { session, line, woke });
                any = true;
            }
            let over = client.ended && client.lines.is_empty() && !client.closed;
            if over && !client.end_told && self.recorder.accepts_lines(session) {
                client.end_told = true;
                self.recorder.handle(self.now, Input::InputEnded { session });
                any = true;
            }
        }
        any
    }

    fn send_to_client(&mut self, session: SessionId, bytes: &[u8]) {
        self.sent.push((self.now.mono, number(session), bytes.to_vec()));
        if let Some(client) = self.clients.get_mut(&number(session)) {
            assert!(!client.closed, "something is sent after the end");
            client.inbox.extend_from_slice(bytes);
            client.behind += bytes.len();
            assert!(client.behind <= limits::OUTPUT_BYTES_MAX, "more than there is room for");
        }
    }

    fn serve(&mut self, output: Output) {
        if let Some(session) = workers::waiting_session(&output).filter(|_| self.workers_fail) {
            let why = "no thread can be started".to_owned();
            return self.recorder.handle(self.now, Input::GivenUp { session, why });
        }
        match output {
            Output::Send { session, bytes } => self.send_to_client(session, &bytes),
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
            Output::CheckPin { session, pin, .. } => {
                let right = *pin == PIN;
                self.recorder.handle(self.now, Input::PinChecked { session, right });
            }
            Output::ReadConfig { session, mode } => self.read_config(Some(session), mode),
            Output::LogLevel(_) | Output::LoopBack { .. } | Output::EditConfig { .. } => {}
            Output::Summarise { today, damaged } => {
                let done = self.close_days(today, damaged);
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
            output @ (Output::SipSend { .. } | Output::Slot(_)) => self.serve_telephony(output),
            Output::Stopped => self.stopped = true,
            Output::Fatal(text) => self.fatal = Some(text),
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

    fn read_config(&mut self, session: Option<SessionId>, mode: ReadMode) {
        let result = match self.config_file.as_deref().map(config::parse) {
            Some(Err(errors)) => Err(errors[0].to_string()),
            Some(Ok((config, _))) => Ok(Box::new(config)),
            None => Ok(Box::new(self.config.clone())),
        };
        let read = ConfigReadResult { session, mode, result };
        self.recorder.handle(self.now, Input::ConfigRead(read));
        self.config = self.recorder.config().clone();
    }
}

fn number(session: SessionId) -> u32 {
    u32::try_from(session.0).unwrap()
}

/// Signatures keep the name of the first start, whatever the box is called later.
fn box_key() -> BoxSigningKey {
    BoxSigningKey::from_seed(&[7; 32], "box-01")
}
