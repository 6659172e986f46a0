//! The recorder: sole owner of all state about channels, calls, masks, agents and records.
//!
//! The recorder is a pure state machine. The shell passes in audio periods, command lines, disk
//! completions and the time. The recorder returns replies, disk jobs and requests to the shell. It
//! has no socket, file, clock, thread or random number; recording ids and data keys arrive in
//! envelopes. A mask takes effect as soon as its line is read. Every `ok` leaves after the sync
//! that makes it true.
//!
//! Five parts own the state: `journal` (storage, index, events, alarms), `recording` (recordings,
//! data keys, encoders, recall), `calls` (calls, lines, seats), `session` (clients) and `admin`
//! (status, self-test, enrolment, the stop). They find their entries by key. A method of `Recorder`
//! joins several of them. `timer` has every deadline. `boot` restores the state from the journal,
//! `audio` captures into the rings, `blackout` masks, `screen` stores video, and `worker_failures`
//! handles failed workers.

mod admin;
mod audio;
mod blackout;
mod boot;
mod calls;
mod journal;
mod recording;
mod screen;
pub mod session;
mod sip;
mod slots;
mod timer;
mod worker_failures;

pub use admin::about::{BoxInfo, TimeSync, TimeSyncReport};
pub use admin::enrolment::RejectReason;
pub use admin::reload::{ConfigReadResult, ReadMode, ReadResult};
pub use admin::setup::ConfigEditResult;
pub use audio::SideLoss;
pub use boot::RecoveredState;
pub use journal::Storage;
pub use recording::{Chunk, Recording, RecordingWriter};
pub use session::{Peer, Principal, Session};
pub use sip::{LegReport, LegSettings, SlotCommand, leg_port};
pub use slots::SeizeError;

use crate::audio::channel::{Channel, ChannelIndex};
use crate::calls::directory::{AgentIndex, Directory};
use crate::config::Config;
use crate::id::SessionId;
use crate::job::{Completion, Job};
use crate::limits;
use crate::store::archive::Catalogue;
use crate::store::day::Day;
use crate::store::seal::{DataKey, Envelope, Identity};
use crate::time::{MonoTime, Now};
use protocol::{InvalidLine, Refusal};
use session::table::SessionTable;
use std::collections::{BTreeSet, VecDeque};
use timer::{Timer, Timers};

/// An event that the shell reports to the recorder. Audio arrives through [`Recorder::capture`].
#[derive(Debug)]
pub enum Input<'a> {
    /// A client connected over the unix socket or plain TCP.
    Connected {
        session: SessionId,
        peer: Peer,
    },
    /// A terminal opened a serial console; the recorder logs it out after `silent_ms` of silence.
    SerialOpened {
        session: SessionId,
        /// The serial port.
        place: String,
        silent_ms: u64,
    },
    /// State of a serial console's port: `None` while it is open.
    ConsoleState {
        place: String,
        trouble: Option<String>,
    },
    /// State of a TCP or unix listener: `None` while it is open.
    ListenerState {
        place: String,
        trouble: Option<String>,
    },
    /// A client completed a TLS handshake.
    TlsAccepted {
        session: SessionId,
        /// The client's address, for messages.
        from: String,
        /// Digest of the client's certificate, if it presented one.
        certificate: Option<[u8; 32]>,
    },
    /// The data block that follows a line, or the reason it was rejected.
    Data {
        session: SessionId,
        block: Result<&'a [u8], Refusal>,
    },
    /// Reply to `Output::NewCode`.
    CodeRandom {
        session: SessionId,
        random: zeroize::Zeroizing<[u8; protocol::one_time::SECRET_BYTES]>,
    },
    /// Reply to `Output::Sign`; the error is text for people.
    Signed {
        session: SessionId,
        result: Result<crate::enrolment_code::IssuedCertificate, String>,
    },
    /// One line without its terminator, or an invalid one.
    Line {
        session: SessionId,
        line: Result<&'a str, InvalidLine<'a>>,
        woke: MonoTime,
    },
    /// The client sends nothing more, but may still read. It comes after the client's last line.
    InputEnded {
        session: SessionId,
    },
    /// The connection closed.
    Disconnected {
        session: SessionId,
    },
    /// The shell's free send buffer for this session, in bytes.
    SendCapacity {
        session: SessionId,
        bytes: usize,
    },
    JobDone(Completion),
    /// A worker made a data key, wrapped in its envelope.
    Envelope(Box<Envelope>),
    /// Reply to `Output::CheckPin`.
    PinChecked {
        session: SessionId,
        right: bool,
    },
    /// A worker could not complete this session's request in time (a PIN, a code, a certificate,
    /// the configuration). `why` is text for people.
    GivenUp {
        session: SessionId,
        why: String,
    },
    /// State of a board: `None` while it runs.
    BoardState {
        board: usize,
        trouble: Option<String>,
    },
    /// What a connection may say hello as, after `[local]` was read again.
    PeerChanged {
        session: SessionId,
        peer: Peer,
    },
    /// Reply to `Output::ReadConfig`.
    ConfigRead(ConfigReadResult),
    /// Reply to `Output::Summarise`: the catalogue, and the last journal entry that it covers.
    Summarised(Result<(Catalogue, u64), String>),
    /// Reply to `Output::NewCallKey`; `None` if the key could not be written.
    CallKey(Option<DataKey>),
    /// Reply to `Output::EditConfig`.
    ConfigEdited(ConfigEditResult),
    /// Reply to `Output::MakeSelfTestKeys`.
    SelfTestKeys(Result<Box<crate::selftest::SelfTestKeys>, String>),
    /// Reply to `Output::SelfTest`.
    SelfTestDone(crate::selftest::DiskResult),
    /// One SIP message, to the board with this index.
    SipMessage {
        board: usize,
        peer: siprec::Peer,
        bytes: &'a [u8],
    },
    /// A connection of a recording client closed.
    SipConnectionClosed {
        board: usize,
        connection: u64,
    },
    /// SIP from an address that may not send any; it was not answered.
    SipStranger {
        board: usize,
        from: std::net::IpAddr,
    },
    /// Reply to `SlotCommand::Close`, after the slot's last audio.
    SlotClosed {
        board: usize,
        slot: usize,
    },
    /// Reply to a `SlotCommand` that failed. `why` is text for people.
    SlotFailed {
        board: usize,
        slot: usize,
        why: String,
    },
    /// What came on the legs of an open slot so far; about once a second.
    SlotReport {
        board: usize,
        slot: usize,
        legs: [Option<LegReport>; 2],
    },
    /// Shut down in order.
    Stop,
}

/// A request from the recorder to the shell.
#[derive(Debug)]
pub enum Output {
    /// Send bytes to a client.
    Send {
        session: SessionId,
        bytes: Vec<u8>,
    },
    /// Close a session after its pending bytes are sent.
    Close {
        session: SessionId,
    },
    /// Close a session at once and drop its pending bytes.
    Abort {
        session: SessionId,
    },
    /// Make random bytes for a one-time code.
    NewCode {
        session: SessionId,
    },
    /// Sign a workstation's certificate request outside the loop.
    Sign {
        session: SessionId,
        request: Vec<u8>,
        machine: String,
        kinds: Vec<protocol::Kind>,
    },
    Job(Job),
    /// Make this number of envelopes.
    MakeEnvelopes(usize),
    /// Compare a PIN with its hash outside the loop.
    CheckPin {
        session: SessionId,
        hash: String,
        pin: zeroize::Zeroizing<String>,
    },
    /// Change the log level.
    LogLevel(log::LevelFilter),
    /// Read the configuration file again.
    ReadConfig {
        session: SessionId,
        mode: ReadMode,
    },
    /// Summarise the days before `today`, outside the loop and the disk thread.
    Summarise {
        today: Day,
        damaged: Option<Day>,
    },
    /// Make a new call key and write it beside the old ones.
    NewCallKey,
    /// Delete the old call keys: every live call is noted under the newest.
    ForgetCallKeys,
    /// Change the configuration file and apply what can change without a restart.
    EditConfig {
        session: SessionId,
        edit: crate::config::edit::ConfigChange,
        by: String,
    },
    /// Make keys for a self-test's recording.
    MakeSelfTestKeys,
    /// Test the disk; write, read and open this recording, if there is one.
    SelfTest(Option<crate::selftest::SelfTestRecording>),
    /// Feed a tone of `hz` into a board's channel, or restore its line (`None`).
    LoopBack {
        board: usize,
        channel: usize,
        hz: Option<u32>,
    },
    /// Send a SIP message for the board with this index.
    SipSend {
        board: usize,
        transmit: siprec::Transmit,
    },
    /// Open, change or close a slot of an RTP board.
    Slot(SlotCommand),
    /// Everything is closed and durable: the daemon may exit.
    Stopped,
    /// The daemon must exit for this reason, without an orderly stop.
    Fatal(String),
}

/// The recorder's state, without hardware.
pub struct Recorder {
    config: Config,
    directory: Directory,
    boot: u32,
    channels: Vec<Channel>,
    /// Channels that their call has left, until what is in their rings is written.
    released: Vec<ChannelIndex>,
    boards: Vec<Option<String>>,
    calls: calls::table::CallTable,
    recordings: recording::table::Recordings,
    blackouts: blackout::Blackouts,
    sessions: SessionTable,
    journal: journal::Journal,
    archive: session::archive::Archive,
    expiry: journal::expiry::Expiry,
    identities: Vec<Identity>,
    admin: admin::Admin,
    stale_agents: BTreeSet<AgentIndex>,
    outputs: VecDeque<Output>,
    /// Where the next round of replies starts.
    next_answer: usize,
    reader: session::library::ArchiveReader,
    call_key: Option<DataKey>,
    retention: journal::retention::Retention,
    redactions: journal::redaction::Redactions,
    screens: screen::Screens,
    new_files: recording::new_files::NewFiles,
    /// The SIPREC servers, one for each board of kind `sip`.
    sip: Vec<sip::SipBoard>,
    timers: Timers,
    /// When the next loss may be logged; every loss is counted.
    next_loss_log: MonoTime,
    /// See `durability_lag_ms`.
    durability_lag_ms: u64,
    /// Time of the last turn.
    now: MonoTime,
    /// Wall clock minus monotonic time at the last turn.
    clock_offset_ms: i64,
}

/// Whether audio may leave a ring after this input. A written chunk is not worth a look at every
/// stream: who waits for its buffer looks by itself.
fn may_let_audio_go(input: &Input<'_>) -> bool {
    !matches!(
        input,
        Input::SendCapacity { .. } | Input::JobDone(Completion::Appended { result: Ok(()), .. })
    )
}

impl Recorder {
    /// Handles one event. Its effects come out of `poll` after the next `turn`.
    pub fn handle(&mut self, now: Now, input: Input<'_>) {
        if !self.journal.storage.is_closing() {
            self.journal.note_clock_step(now);
        }
        if may_let_audio_go(&input) {
            self.recordings.wake_all();
        }
        match input {
            Input::Connected { session, peer } => self.handle_connect(now, session, peer),
            Input::SerialOpened { session, place, silent_ms } => {
                self.handle_serial_open(now, session, place, silent_ms);
            }
            Input::ConsoleState { place, trouble } => self.set_console_state(now, &place, trouble),
            Input::ListenerState { place, trouble } => {
                self.set_listener_state(now, &place, trouble);
            }
            Input::TlsAccepted { session, from, certificate } => {
                self.accept_tls(now, session, from, certificate);
            }
            Input::Data { session, block } => self.receive_block(now, session, block),
            Input::CodeRandom { session, random } => {
                self.store_enrolment_code(now, session, &random)
            }
            Input::Signed { session, result } => self.finish_signing(now, session, result),
            Input::Line { session, line, woke } => self.handle_line(now, session, line, woke),
            Input::InputEnded { session } => self.handle_input_end(session),
            Input::Disconnected { session } => self.handle_disconnect(now, session),
            Input::SendCapacity { session, bytes } => {
                if let Some(session) = self.sessions.get_mut(session) {
                    session.room = bytes;
                }
            }
            Input::JobDone(done) => self.handle_completion(now, done),
            Input::Envelope(envelope) => self.envelope_came(now, *envelope),
            Input::PinChecked { session, right } => self.handle_pin_result(now, session, right),
            Input::GivenUp { session, why } => self.given_up(now, session, &why),
            Input::BoardState { board, trouble } => self.set_board_state(now, board, trouble),
            Input::PeerChanged { session, peer } => {
                if let Some(session) = self.sessions.get_mut(session) {
                    session.peer = peer;
                }
            }
            Input::ConfigRead(read) => self.finish_config_read(now, read),
            Input::ConfigEdited(edited) => self.finish_config_edit(now, edited),
            Input::Summarised(result) => self.handle_archived_days(now, result),
            Input::CallKey(key) => self.install_call_key(now, key),
            input @ (Input::SelfTestKeys(_) | Input::SelfTestDone(_)) => {
                self.handle_selftest_input(now, input)
            }
            input @ (Input::SipMessage { .. }
            | Input::SipConnectionClosed { .. }
            | Input::SipStranger { .. }
            | Input::SlotClosed { .. }
            | Input::SlotFailed { .. }
            | Input::SlotReport { .. }) => self.handle_sip_input(now, input),
            Input::Stop => self.begin_stop(now),
        }
    }

    /// Ends a turn: serves deadlines, releases audio, appends facts, sends notifications.
    pub fn turn(&mut self, now: Now) {
        self.now = now.mono;
        if self.timers.begin_turn(now.mono) {
            self.recordings.wake_all();
        }
        if self.timers.take_due(Timer::RetriedLines, now.mono) {
            self.retry_lines(now);
        }
        if self.timers.take_due(Timer::Receipts, now.mono) {
            self.expire_receipts(now);
        }
        if self.timers.take_due(Timer::Sessions, now.mono) {
            self.close_silent_sessions(now);
        }
        self.run_selftest(now);
        if self.journal.storage.is_closing() {
            for timer in [Timer::Calls, Timer::PendingStops, Timer::Release] {
                self.timers.rearm(timer, now.mono, None);
            }
        } else {
            self.run_calls_and_audio(now);
        }
        self.update_sip(now);
        self.close_past_days(now);
        self.finish_stop(now);
        self.journal.storage.end_turn(now, &mut self.outputs);
        self.ask_for_envelopes(now);
        self.rearm_timers(now.mono);
        self.timers.assert_served();
        self.flush_replies();
        self.check_invariants();
    }

    /// The part of a turn that may append facts.
    fn run_calls_and_audio(&mut self, now: Now) {
        self.check_clock_step(now);
        self.check_clock(now);
        self.update_lines(now);
        if self.timers.take_due(Timer::Calls, now.mono) {
            self.check_calls(now);
        }
        self.settle_durable_stops();
        if self.timers.take_due(Timer::PendingStops, now.mono) {
            self.roll_back_late_stops(now);
        }
        self.enforce_blackout_limits(now);
        self.release_digit_blackouts(now);
        self.release_audio(now);
        self.clear_released_channels();
        self.update_screens(now);
        self.delete_due_records(now);
        self.advance_redaction(now);
        self.try_new_files(now);
    }

    /// Sets the deadlines of the parts that keep their time themselves.
    fn rearm_timers(&mut self, now: MonoTime) {
        let storage = &self.journal.storage;
        let later = |at: &MonoTime| *at > now;
        let next = [
            (Timer::Clock, Some(now.after_ms(limits::CLOCK_CHECK_MS))),
            (Timer::Screens, self.screens.next_deadline(now)),
            // These may have to wait for an event although their time has come.
            (Timer::Retention, self.retention.next_deadline().filter(later)),
            (Timer::Redaction, self.redactions.next_deadline().filter(later)),
            (Timer::Archive, self.archive.next_deadline().filter(later)),
            (Timer::Stop, self.admin.stop_deadline().filter(later)),
            (Timer::NewFiles, self.new_files.next_trial().filter(later)),
            (Timer::KeyStock, self.recordings.keys.next_deadline().filter(later)),
            (Timer::Digits, self.next_digit_release().filter(later)),
            (Timer::Sync, storage.next_sync()),
            (Timer::Checkpoint, storage.next_checkpoint()),
            (Timer::FreeSpace, storage.next_space_check()),
            (Timer::DiskRetry, storage.next_recovery_attempt()),
        ];
        for (timer, at) in next {
            self.timers.rearm(timer, now, at);
        }
    }

    /// The next request to the shell; drain after every `turn`.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Whether the shell may pass in the session's next line.
    #[must_use]
    pub fn accepts_lines(&self, session: SessionId) -> bool {
        self.sessions.get(session).is_some_and(Session::accepts_lines)
    }

    /// Whether a session may black out: its lines come before those of all others.
    #[must_use]
    pub fn may_mask(&self, session: SessionId) -> bool {
        use protocol::Kind;
        let kind = self.sessions.get(session).and_then(Session::kind);
        matches!(kind, Some(Kind::Agent | Kind::Supervisor | Kind::Cti))
    }

    /// Longest data block that a session may send, in bytes.
    #[must_use]
    pub fn block_bytes(&self, session: SessionId) -> usize {
        let kind = self.sessions.get(session).and_then(Session::kind);
        let screen = kind == Some(protocol::Kind::Screen);
        if screen { protocol::DATA_BYTES } else { limits::CSR_BYTES_MAX }
    }

    /// When the shell must call `turn` again even if nothing happens.
    #[must_use]
    pub fn next_deadline(&self, now: Now) -> MonoTime {
        self.timers.next_deadline().unwrap_or(now.mono).max(now.mono)
    }

    /// Raises an alarm: memory could not be locked, so keys and audio may reach a swap device.
    pub fn memory_not_locked(&mut self, now: Now, text: String) {
        self.journal.raise_alarm(now, crate::alarm::AlarmCode::NotLocked, "", text);
    }

    /// Whether every fact appended so far is durable.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.journal.storage.durable_ticket() >= self.journal.storage.last_fact_ticket()
    }

    #[must_use]
    pub fn channel_count(&self) -> usize {
        self.channels.len()
    }

    /// A board's first channel in the recorder's table.
    #[must_use]
    pub fn first_channel(&self, board: usize) -> Option<ChannelIndex> {
        self.channels.iter().position(|channel| channel.board == board).map(ChannelIndex)
    }

    /// Raises an alarm when the wall clock steps. Only displayed times and screens depend on it.
    fn check_clock_step(&mut self, now: Now) {
        let mono_ms = i64::try_from(now.mono.0 / 1000).unwrap_or(i64::MAX);
        let offset_ms = now.wall.0.saturating_sub(mono_ms);
        let step_ms = offset_ms.saturating_sub(self.clock_offset_ms);
        if step_ms.unsigned_abs() >= limits::CLOCK_STEP_MS {
            let text = format!("the clock stepped by {step_ms} ms; positions are not affected");
            self.journal.raise_alarm(now, crate::alarm::AlarmCode::ClockStep, "", text);
        }
        self.clock_offset_ms = offset_ms;
        if step_ms.unsigned_abs() >= limits::SCREEN_STEP_MS {
            self.abort_screen_clients(now);
        }
    }

    /// Starts an orderly stop: rings drain through the mask, recordings close, facts are synced.
    fn begin_stop(&mut self, now: Now) {
        if self.admin.is_stopping() {
            return;
        }
        self.admin.request_stop(now.mono);
        log::info!("stopping: closing {} recordings", self.recordings.running().count());
        self.discard_all_recall();
        self.end_all_recordings(now, crate::store::fact::RecordingEnd::Shutdown);
        self.stale_agents.extend(self.sessions.logged_in_agents());
    }

    fn finish_stop(&mut self, now: Now) {
        let Some(deadline) = self.admin.stop_deadline().filter(|_| !self.admin.is_stopped) else {
            return;
        };
        if self.journal.storage.is_down() {
            if now.mono >= deadline {
                let text = "the disk has failed, and the box was asked to stop";
                self.outputs.push_back(Output::Fatal(text.to_string()));
            }
            return;
        }
        let open = self.recordings.writers().next().is_some();
        if open || self.screens.has_open_files() || !self.journal.close(now) {
            return;
        }
        self.admin.is_stopped = true;
        self.outputs.push_back(Output::Stopped);
    }

    /// Asserts the invariants that hold after every turn, whatever clients sent.
    fn check_invariants(&self) {
        self.screens.check_invariants();
        self.recordings.check_invariants(&self.channels);
    }
}
