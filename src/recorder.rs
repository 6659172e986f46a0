//! The recorder: the one owner of every fact about channels, calls, masks, people and records.
//!
//! It is pure: periods, lines, answers of the disk and the time go in; lines to send, jobs for the
//! disk and a few wishes come out. There is no socket, file, clock, thread or random number in it;
//! recording ids and data keys come ready-made in envelopes. A mask acts the moment its line is
//! read; every `ok` leaves after the sync that makes it true.
//!
//! State lives here, in tables that are addressed by ids; the files below hold the verbs:
//! `audio` (in and out of the rings), `tapes` (begin and end recordings), `files` (theirs, also
//! when they fail), `calls`, `activity` (calls that no PBX tells of), `blackouts`, `stops`,
//! `retention` and `expiry` (deleting), `rights` (who may do what right now), `command` (one short
//! function per command), `library` (reading records), `listing`, `past` (what is on the disk
//! only), `doors` (who may come in), `news` (what to tell whom), `storage` (journal and jobs),
//! `undurable` (what is told again), `checkpoints` (when to sign), `screens` (video, beside it),
//! `worker_failures` (what becomes of it when the shell cannot do what it was asked).

mod admin;
mod audio;
mod blackout;
mod boot;
mod calls;
mod journal;
mod recording;
mod screen;
pub mod session;
mod worker_failures;

pub use admin::about::{BoxInfo, TimeSync};
pub use admin::enrolment::RejectReason;
pub use admin::setup::ConfigEditResult;
pub use boot::{InterruptedRecording, RecoveredState};
pub use journal::Storage;
pub use recording::{Chunk, Recording, RecordingWriter};
pub use session::{Peer, Principal, Session};

use crate::alarm::Alarms;
use crate::audio::channel::{Channel, ChannelIndex};
use crate::audio::codec::Encoder;
use crate::calls::call::Calls;
use crate::calls::directory::{AgentIndex, Directory};
use crate::config::Config;
use crate::id::SessionId;
use crate::job::{Completion, Job};
use crate::limits;
use crate::store::archive::Catalogue;
use crate::store::day::Day;
use crate::store::index::Index;
use crate::store::seal::{DataKey, Envelope, Identity};
use crate::time::{MonoTime, Now};
use crate::trace::Trace;
use protocol::Refusal;
use session::Sessions;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What the shell brings besides audio.
#[derive(Debug)]
pub enum Input<'a> {
    Connected {
        session: SessionId,
        peer: Peer,
    },
    /// Somebody is at a serial console; who says nothing for so long is logged out.
    SerialOpened {
        session: SessionId,
        /// The port.
        place: String,
        silent_ms: u64,
    },
    /// How a serial console's port is: `None` while it is open.
    ConsoleState {
        place: String,
        trouble: Option<String>,
    },
    /// Somebody came in over TLS, and showed this certificate.
    TlsAccepted {
        session: SessionId,
        /// For people: an address.
        from: String,
        /// Its digest.
        certificate: Option<[u8; 32]>,
    },
    /// The data block that belongs to the line before, or why it is none.
    Data {
        session: SessionId,
        block: Result<&'a [u8], Refusal>,
    },
    /// The answer to `Output::NewCode`.
    CodeRandom {
        session: SessionId,
        random: zeroize::Zeroizing<[u8; protocol::one_time::SECRET_BYTES]>,
    },
    /// The answer to `Output::SignRequest`; the error is for people.
    Signed {
        session: SessionId,
        result: Result<crate::doors::IssuedCertificate, String>,
    },
    /// One line without its end, or why it was none.
    Line {
        session: SessionId,
        line: Result<&'a str, Refusal>,
        woke: MonoTime,
    },
    Disconnected {
        session: SessionId,
    },
    /// The shell has so many bytes of room for this session.
    SendCapacity {
        session: SessionId,
        bytes: usize,
    },
    JobDone(Completion),
    Envelope(Box<Envelope>),
    /// The answer to `Output::CheckPin`.
    PinChecked {
        session: SessionId,
        right: bool,
    },
    /// What was asked for on behalf of this session (a PIN, a code, a certificate, the
    /// configuration) could not be done in time; `why` is for people.
    GivenUp {
        session: SessionId,
        why: String,
    },
    /// How a board is: `None` while it runs.
    BoardState {
        board: usize,
        trouble: Option<String>,
    },
    /// A new configuration, already checked.
    Reload(Box<Config>),
    /// What came of `Output::ReadConfigRequest`; the error is for people.
    ConfigRead {
        session: SessionId,
        result: Result<(), String>,
    },
    /// The answer to `Output::Summarise`: what is summarised, and through which entry.
    Summarised(Result<(Catalogue, u64), String>),
    /// What came of `Output::NewCallKey`; none if it could not be written.
    CallKey(Option<DataKey>),
    /// The answer to `Output::EditConfig`.
    ConfigEdited(ConfigEditResult),
    /// The answer to `Output::TrialKeys`.
    SelfTestKeys(Result<Box<crate::selftest::SelfTestKeys>, String>),
    /// The answer to `Output::RunningSelfTest`.
    SelfTestDone(crate::selftest::DiskResult),
    /// Stop in order.
    Stop,
}

/// What the shell is asked to do.
#[derive(Debug)]
pub enum Output {
    Send {
        session: SessionId,
        bytes: Vec<u8>,
    },
    Close {
        session: SessionId,
    },
    /// At once, whatever waits to be sent.
    Abort {
        session: SessionId,
    },
    /// Random bytes for a one-time code are wanted.
    NewCode {
        session: SessionId,
    },
    /// Sign a workstation's request, outside the loop.
    Sign {
        session: SessionId,
        request: Vec<u8>,
        machine: String,
        kinds: Vec<protocol::Kind>,
    },
    Job(Job),
    /// So many envelopes are wanted.
    MakeEnvelopes(usize),
    /// Compare a PIN with its hash, outside the loop.
    CheckPin {
        session: SessionId,
        hash: String,
        pin: zeroize::Zeroizing<String>,
    },
    LogLevel(log::LevelFilter),
    /// Read the configuration again; answered by `Reload` or not at all.
    ReadConfig {
        session: Option<SessionId>,
        apply: bool,
    },
    /// Close the days before `today` (`summary::mend`), outside the loop and outside the disk
    /// thread.
    Summarise {
        today: Day,
        damaged: Option<Day>,
    },
    /// Make a new call key, and write it beside the old ones.
    NewCallKey,
    /// Every live call is noted under the newest call key: no other is needed any more.
    ForgetCallKeys,
    /// Change the configuration file, and take it over as far as that goes.
    EditConfig {
        session: SessionId,
        edit: crate::config::edit::ConfigChange,
        by: String,
    },
    /// Keys for a self-test's recording are wanted.
    MakeSelfTestKeys,
    /// Try the disk, and write, read and open this recording, if there is one.
    SelfTest(Option<crate::selftest::SelfTestRecording>),
    /// Feed a tone into a board's channel (its place on the board), or its line again.
    LoopBack {
        board: usize,
        channel: usize,
        hz: Option<u32>,
    },
    /// Everything is closed and durable: the daemon may end.
    Stopped,
    /// The daemon must end with this reason, without an orderly stop.
    Fatal(String),
}

/// The box, without its hardware.
pub struct Recorder {
    config: Config,
    directory: Directory,
    boot: u32,
    channels: Vec<Channel>,
    boards: Vec<Option<String>>,
    selftests: admin::selftest::SelfTests,
    lines: calls::activity::LineStates,
    calls: Calls,
    /// Who sat last at the workstation of a device.
    seats: BTreeMap<String, AgentIndex>,
    recordings: Vec<Recording>,
    /// Room for copies of chunks that are not durable yet.
    spare_chunks: Vec<Chunk>,
    /// The payload that is being sealed.
    payload: Vec<u8>,
    blackouts: blackout::Blackouts,
    sessions: Sessions,
    storage: Storage,
    index: Index,
    archive: session::archive::Archive,
    expiry: journal::expiry::Expiry,
    identities: Vec<Identity>,
    envelopes: VecDeque<Envelope>,
    key_stock: worker_failures::KeyStock,
    encoders: Vec<Vec<Encoder>>,
    alarms: Alarms,
    trace: Trace,
    counters: admin::status::Counters,
    stale_agents: BTreeSet<AgentIndex>,
    outputs: VecDeque<Output>,
    /// Where the round of releases goes on.
    next_release: usize,
    /// Some audio could leave its ring, but the turn's budget was used.
    more_to_release: bool,
    /// Where the round of answers goes on.
    next_answer: usize,
    reader: session::library::ArchiveReader,
    recall: recording::recall::RecallBuffers,
    call_key: Option<DataKey>,
    retention: journal::retention::Retention,
    screens: screen::Screens,
    next_call_tick: MonoTime,
    /// Recordings that have to begin as soon as there is an envelope.
    to_resume: Vec<InterruptedRecording>,
    /// Losses are logged so often at most; every one is counted.
    next_loss_log: MonoTime,
    enrolment: admin::enrolment::Enrolment,
    /// When the last turn was.
    now: MonoTime,
    /// Wall clock minus monotonic time, at the last turn.
    clock_offset_ms: i64,
    stopping: bool,
    /// And the machine starts anew.
    rebooting: bool,
    about: BoxInfo,
    stop_asked: MonoTime,
    stopped: bool,
}

impl Recorder {
    /// One thing that happened. What follows from it comes out of `poll` after the next `turn`.
    pub fn handle(&mut self, now: Now, input: Input<'_>) {
        match input {
            Input::Connected { session, peer } => self.handle_connect(now, session, peer),
            Input::SerialOpened { session, place, silent_ms } => {
                self.handle_serial_open(now, session, (place, silent_ms));
            }
            Input::ConsoleState { place, trouble } => self.set_console_state(now, &place, trouble),
            Input::TlsAccepted { session, from, certificate } => {
                self.accept_tls(now, session, (from, certificate));
            }
            Input::Data { session, block } => self.receive_block(now, session, block),
            Input::CodeRandom { session, random } => {
                self.store_enrolment_code(now, session, &random)
            }
            Input::Signed { session, result } => self.finish_signing(now, session, result),
            Input::Line { session, line, woke } => self.handle_line(now, session, line, woke),
            Input::Disconnected { session } => self.handle_disconnect(now, session),
            Input::SendCapacity { session, bytes } => {
                if let Some(session) = self.sessions.get_mut(session) {
                    session.room = bytes;
                }
            }
            Input::JobDone(done) => self.handle_job_done(now, done),
            Input::Envelope(envelope) => self.envelope_came(now, *envelope),
            Input::PinChecked { session, right } => self.handle_pin_result(now, session, right),
            Input::GivenUp { session, why } => self.given_up(now, session, &why),
            Input::BoardState { board, trouble } => self.set_board_state(now, board, trouble),
            Input::Reload(config) => self.apply_config(now, *config),
            Input::ConfigRead { session, result } => self.finish_config_read(session, result),
            Input::ConfigEdited(edited) => self.finish_config_edit(now, edited),
            Input::Summarised(result) => self.handle_archived_days(now, result),
            Input::CallKey(key) => self.install_call_key(now, key),
            input @ (Input::SelfTestKeys(_) | Input::SelfTestDone(_)) => {
                self.handle_selftest_input(now, input)
            }
            Input::Stop => self.begin_stop(now),
        }
    }

    /// Ends a turn: serves deadlines, lets audio out of the rings, journals, tells the news.
    pub fn turn(&mut self, now: Now) {
        self.now = now.mono;
        self.retry_lines(now);
        self.expire_receipts(now);
        self.tick_sessions(now);
        self.tick_selftest(now);
        if !self.storage.is_closing() {
            self.check_clock_step(now);
            self.update_lines(now);
            self.tick_calls(now);
            self.settle_pending_stops(now);
            self.tick_blackouts(now);
            self.release_audio(now);
            self.tick_screens(now);
            self.tick_retention(now);
        }
        self.tick_archive(now);
        self.tick_stop(now);
        self.storage.end_turn(now, &mut self.outputs);
        self.ask_for_envelopes(now);
        self.flush_replies();
        self.check_invariants();
    }

    /// What the shell has to do now; to be drained after every `turn`.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Whether the next line of a session may be handed in.
    #[must_use]
    pub fn accepts_lines(&self, session: SessionId) -> bool {
        self.sessions.get(session).is_some_and(Session::accepts_lines)
    }

    /// Whether a session is one that may black out: its lines come before those of all others.
    #[must_use]
    pub fn may_mask(&self, session: SessionId) -> bool {
        use protocol::Kind;
        let kind = self.sessions.get(session).and_then(Session::kind);
        matches!(kind, Some(Kind::Agent | Kind::Supervisor | Kind::Cti))
    }

    /// Bytes of the longest data block that a session may send.
    #[must_use]
    pub fn block_bytes(&self, session: SessionId) -> usize {
        let kind = self.sessions.get(session).and_then(Session::kind);
        let screen = kind == Some(protocol::Kind::Screen);
        if screen { protocol::DATA_BYTES } else { limits::CSR_BYTES_MAX }
    }

    /// When `turn` must be called again even if nothing happens.
    #[must_use]
    pub fn next_deadline(&self, now: Now) -> MonoTime {
        if self.more_to_release || self.has_lines_to_retry() {
            return now.mono;
        }
        let mut next = now.mono.after_ms(1000);
        next = next.min(self.storage.next_deadline().unwrap_or(next));
        for session in self.sessions.iter() {
            next = next.min(session.receipt_deadline().unwrap_or(next));
        }
        next.max(now.mono)
    }

    /// Memory could not be locked: keys and audio might reach a swap device.
    pub fn memory_not_locked(&mut self, now: Now, text: String) {
        self.raise_alarm(now, crate::alarm::AlarmCode::NotLocked, "", text);
    }

    /// Whether every fact noted so far is durable.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.storage.durable_ticket() >= self.storage.last_fact_ticket()
    }

    #[must_use]
    pub fn channel_count(&self) -> usize {
        self.channels.len()
    }

    /// The lowest and highest place of a board's channels in the recorder's table.
    #[must_use]
    pub fn first_channel(&self, board: usize) -> Option<ChannelIndex> {
        self.channels.iter().position(|channel| channel.board == board).map(ChannelIndex)
    }

    /// A step of the wall clock is told; nothing but times for people and screens depends on it.
    fn check_clock_step(&mut self, now: Now) {
        let mono_ms = i64::try_from(now.mono.0 / 1000).unwrap_or(i64::MAX);
        let offset_ms = now.wall.0.saturating_sub(mono_ms);
        let step_ms = offset_ms.saturating_sub(self.clock_offset_ms);
        if step_ms.unsigned_abs() >= limits::CLOCK_STEP_MS {
            let text = format!("the clock stepped by {step_ms} ms; positions are not affected");
            self.raise_alarm(now, crate::alarm::AlarmCode::ClockStep, "", text);
        }
        self.clock_offset_ms = offset_ms;
        if step_ms.unsigned_abs() >= limits::SCREEN_STEP_MS {
            self.abort_screen_clients(now);
        }
    }

    /// Stops in order: rings are released through the mask, recordings close, facts are synced.
    fn begin_stop(&mut self, now: Now) {
        if self.stopping {
            return;
        }
        self.stopping = true;
        self.stop_asked = now.mono;
        log::info!("stopping: closing {} recordings", self.running_recordings().count());
        self.discard_all_recall();
        self.end_all_recordings(now, crate::store::fact::RecordingEnd::Shutdown);
        self.stale_agents.extend(self.sessions.iter().filter_map(Session::logged_in_agent));
    }

    fn tick_stop(&mut self, now: Now) {
        if !self.stopping || self.stopped {
            return;
        }
        if self.storage.is_down() {
            if now.mono.since_ms(self.stop_asked) >= limits::PENDING_STOP_TIMEOUT_MS {
                let text = "the disk has failed, and the box was asked to stop";
                self.outputs.push_back(Output::Fatal(text.to_string()));
            }
            return;
        }
        let open = self.recordings.iter().any(|recording| recording.writer.is_some());
        if open
            || self.screens.has_open_files()
            || !self.storage.stopping_done(now, &mut self.index)
        {
            return;
        }
        self.stopped = true;
        self.outputs.push_back(Output::Stopped);
    }

    /// What must hold after every turn, whatever others sent.
    fn check_invariants(&self) {
        assert!(self.recordings.len() <= limits::RECORDINGS_MAX);
        self.screens.check_invariants();
        let tapes = self.recordings.iter().filter_map(|recording| recording.writer.as_ref());
        for reel in tapes.map(|tape| &tape.reel).chain(self.recall.streams()) {
            let ring = &self.channels[reel.channel.0].ring;
            assert!(reel.from <= reel.cursor && reel.cursor <= ring.head());
            assert!(reel.end == Some(reel.cursor) || reel.cursor >= ring.tail(), "overtaken");
        }
    }
}
