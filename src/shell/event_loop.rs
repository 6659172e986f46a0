//! The main loop: one thread, one poll.
//!
//! Events only mark sources as ready. Each turn then does bounded work in a fixed order: boards,
//! disk completions, lines, deadlines, outputs. mio is edge-triggered, so leftover readiness is
//! remembered and the next turn starts at once. Each turn reads the clock once and passes the
//! time down.

use crate::audio::channel::ChannelIndex;
use crate::config::Config;
use crate::id::SessionId;
use crate::limits;
use crate::recorder::{Input, Output, ReadMode, Recorder, RejectReason};
use crate::selftest::TONE_PEAK;
use crate::shell::capture;
use crate::shell::config_file;
use crate::shell::net::admission::Admission;
use crate::shell::net::connection::{Connection, Incoming, ReadOutcome};
use crate::shell::net::handshake::{FIRST_SESSION_TOKEN, PendingHandshake, SessionNumbers};
use crate::shell::net::listener::Listener;
use crate::shell::net::peer::LocalIds;
use crate::shell::net::sip::sockets::{FIRST_SIP_TOKEN, SipSockets};
use crate::shell::net::tls::TlsServer;
use crate::shell::os::clock::Clock;
use crate::shell::os::data_dir::DataDir;
use crate::shell::os::service_manager::ServiceManager;
use crate::shell::os::signal::{SIGNALS_PER_TURN, SignalAction, Signals};
use crate::shell::slots::OpenSlots;
use crate::shell::workers::disk::DiskThread;
use crate::shell::workers::worker::{Worker, WorkerRequest};
use crate::time::{MonoTime, Now};
use board::{Board, BoardState, CaptureEvent, TestTone};
use mio::{Events, Poll};
use std::collections::BTreeMap;
use std::io::Write;
use std::ops::RangeBounds;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(super) const WAKER_TOKEN: usize = 0;
pub(super) const SIGNALS_TOKEN: usize = 1;
pub(super) const FIRST_LISTENER_TOKEN: usize = 2;
pub(super) const FIRST_BOARD_TOKEN: usize = 128;
// Listeners that a reload removed keep their tokens while a worker opens them.
const _: () =
    assert!(FIRST_LISTENER_TOKEN + 2 * crate::config::bounds::LISTENERS_MAX <= FIRST_BOARD_TOKEN);

/// Lines read from one session before the next session is served.
const SESSION_LINES_MAX: usize = 2;

/// Lines read per turn from one session with a backlog.
const BACKLOGGED_SESSION_LINES_MAX: usize = 16;

/// Lines read per turn over all sessions that cannot start a blackout: 256 × 20 µs = 5 ms.
const NORMAL_TURN_LINES_MAX: usize = 192;
const BACKLOGGED_TURN_LINES_MAX: usize = 64;

/// Order in which sessions are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Priority {
    Normal,
    Backlogged,
    /// Sessions that can start a blackout and have no backlog.
    Mask,
}

/// Frames read from one board per turn: half a second at 48 kHz.
const BOARD_FRAMES_PER_TURN: u32 = 24_000;

/// Error that prevents the daemon from starting, or stops it.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    #[error("{0}")]
    Config(String),
    #[error(transparent)]
    Data(#[from] crate::shell::os::data_dir::DataDirError),
    #[error(transparent)]
    Recover(#[from] crate::store::recover::RecoverError),
    #[error(transparent)]
    Codec(#[from] crate::audio::codec::CodecError),
    #[error("{what}: {error}")]
    System { what: &'static str, error: std::io::Error },
    /// No data key could be made at startup, so no recording could begin.
    #[error("{0}; recordings need data keys: nothing is started")]
    NoDataKey(String),
    /// The disk thread accepts no more jobs, so an orderly shutdown is impossible.
    #[error("{0}; stopping at once: the next start closes what is still open in the journal")]
    Disk(String),
}

impl DaemonError {
    /// Returns the exit code, from sysexits.h.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            DaemonError::Config(_) | DaemonError::Codec(_) => 78,
            DaemonError::Data(_) | DaemonError::Recover(_) | DaemonError::Disk(_) => 74,
            DaemonError::NoDataKey(_) => 74,
            DaemonError::System { .. } => 71,
        }
    }
}

pub(super) fn system_error(what: &'static str) -> impl FnOnce(std::io::Error) -> DaemonError {
    move |error| DaemonError::System { what, error }
}

pub struct Daemon {
    pub(super) poll: Poll,
    pub(super) clock: Clock,
    pub(super) config: Config,
    pub(super) config_path: PathBuf,
    pub(super) recorder: Recorder,
    pub(super) boards: Vec<PolledBoard>,
    pub(super) disk: DiskThread,
    pub(super) general_worker: Worker,
    /// Worker that summarises finished days. It is separate because that may take long and must
    /// not delay keys or PINs.
    pub(super) summary_worker: Worker,
    /// Worker for self-tests, which wait for the disk.
    pub(super) selftest_worker: Worker,
    /// Worker for what waits for other programs, which may hang: time synchronisation, listeners.
    pub(super) external_worker: Worker,
    /// Worker failure last reported to the recorder.
    pub(super) worker_trouble: Option<String>,
    /// Time of the next time-sync query; `None` while a query is running.
    pub(super) next_time_sync: Option<MonoTime>,
    pub(super) signals: Signals,
    pub(super) sip: SipSockets,
    pub(super) slots: OpenSlots,
    pub(super) listeners: Vec<Listener>,
    /// Per listener: whether connections may be waiting.
    pub(super) accept_ready: Vec<bool>,
    /// Connections that are not sessions yet.
    pub(super) handshakes: BTreeMap<u64, PendingHandshake>,
    /// Handshake that was served last.
    pub(super) last_handshake: u64,
    pub(super) connections: BTreeMap<u64, Connection>,
    /// Session served last, for each priority that rotates.
    pub(super) last_served: [u64; 2],
    pub(super) admission: Admission,
    pub(super) local_ids: LocalIds,
    /// Accepting is paused until this time.
    pub(super) accept_paused_until: MonoTime,
    /// Present if a TLS listener is configured.
    pub(super) tls: Option<TlsServer>,
    pub(super) service_manager: ServiceManager,
    pub(super) session_numbers: SessionNumbers,
    pub(super) data: DataDir,
    /// `ready` has been announced.
    pub(super) is_ready_announced: bool,
    pub(super) is_stopped: bool,
}

pub(super) struct PolledBoard {
    pub(super) board: Board,
    pub(super) first_channel: ChannelIndex,
    /// More audio is waiting, although no event will report it.
    pub(super) has_more: bool,
}

/// Runs the daemon until it is stopped.
///
/// # Errors
/// See `DaemonError`.
pub fn run(config_path: &Path) -> Result<ExitReason, DaemonError> {
    let signals = Signals::open().map_err(|e| system_error("signals")(e.into()))?;
    let file = config_file::read_startup_config(config_path)
        .map_err(|text| DaemonError::Config(format!("{}:\n{text}", config_path.display())))?;
    let not_locked = crate::shell::os::hardening::harden_process()
        .map_err(|e| system_error("hardening")(e.into()))?;
    let mut daemon = Daemon::start(file.config.clone(), config_path.to_path_buf(), signals)?;
    config_file::save_copy(&file, &daemon.data.path);
    daemon.recorder.set_config_trouble(daemon.clock.now(), file.trouble);
    if let Some(text) = not_locked {
        let now = daemon.clock.now();
        daemon.recorder.memory_not_locked(now, text);
    }
    let result = daemon.run_turns();
    let exit = reboot_exit_code().filter(|_| daemon.recorder.reboot_after_stop());
    let Daemon { disk, listeners, .. } = daemon;
    listeners.iter().for_each(Listener::drain_on_exit);
    drop(listeners);
    disk.finish();
    result.map(|()| exit.map_or(ExitReason::Stopped, ExitReason::Reboot))
}

/// Why the daemon exited in an orderly way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitReason {
    Stopped,
    /// Reboot the machine; the service manager recognises this exit code.
    Reboot(u8),
}

/// Returns the exit code that makes the service manager reboot the machine.
pub(super) fn reboot_exit_code() -> Option<u8> {
    let code = std::env::var("HUSHBOX_REBOOT_EXIT").ok()?.parse().ok()?;
    Some(code).filter(|code| *code > 0)
}

impl Daemon {
    fn run_turns(&mut self) -> Result<(), DaemonError> {
        let mut events = Events::with_capacity(1024);
        while !self.is_stopped {
            let timeout = self.poll_timeout();
            match self.poll.poll(&mut events, Some(timeout)) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(system_error("poll")(error)),
            }
            let woke = self.clock.now().mono;
            self.mark_ready(&events);
            let now = self.clock.now();
            self.read_boards(now);
            self.report_slots(now);
            self.drain_completions(now)?;
            self.handle_signals(now);
            self.accept_connections(now);
            self.read_sip_sockets(now);
            self.process_lines(woke);
            self.drive_handshakes(now);
            self.request_certificate_renewal(now);
            self.poll_time_sync(now);
            let (lost, is_failing) = client::lost_log_lines();
            self.recorder.set_log_state(now, lost, is_failing);
            let now = self.clock.now();
            self.recorder.turn(now);
            self.dispatch_outputs(now)?;
            self.flush_connections(now);
            self.flush_sip_connections(now);
            self.poll_sip_sockets(now);
            self.poll_listeners();
            self.announce_ready();
            self.notify_service_manager(now);
        }
        Ok(())
    }

    /// Returns the poll timeout: zero if work is left over.
    fn poll_timeout(&self) -> Duration {
        let takes = |(id, connection): (&u64, &Connection)| {
            connection.has_input() && self.recorder.accepts_lines(SessionId(*id))
        };
        let left_over = self.boards.iter().any(|place| place.has_more)
            || self.sip.has_work()
            || self.handshakes.values().any(|newcomer| newcomer.connection.has_input())
            || self.connections.iter().any(takes);
        if left_over {
            return Duration::ZERO;
        }
        let now = self.clock.now();
        let mut next = self.recorder.next_deadline(now);
        next = next.min(self.next_accept_at(now.mono).unwrap_or(next));
        next = next.min(self.next_listener_poll_at().unwrap_or(next));
        next = next.min(self.sip.next_open_at().unwrap_or(next));
        for worker in self.workers() {
            next = next.min(worker.next_deadline().unwrap_or(next));
        }
        for place in &self.boards {
            next = next.min(place.board.deadline_us().map_or(next, MonoTime));
        }
        Duration::from_micros(next.since_us(now.mono))
    }

    fn mark_ready(&mut self, events: &Events) {
        for event in events {
            match event.token().0 {
                WAKER_TOKEN | SIGNALS_TOKEN => {}
                token if token >= FIRST_SESSION_TOKEN => {
                    let id = SessionNumbers::of(token);
                    let newcomer = self.handshakes.get_mut(&id).map(|new| &mut new.connection);
                    if let Some(connection) = self.connections.get_mut(&id).or(newcomer) {
                        let over = event.is_read_closed() || event.is_error();
                        connection.mark_ready(event.is_readable() || over, event.is_writable());
                        if event.is_error() || event.is_write_closed() {
                            connection.mark_hung_up();
                        }
                    }
                }
                token if token >= FIRST_SIP_TOKEN => {
                    let over = event.is_read_closed() || event.is_error();
                    self.sip.mark_ready(token, event.is_readable() || over, event.is_writable());
                }
                token if token >= FIRST_BOARD_TOKEN => {
                    self.boards.iter_mut().for_each(|place| place.board.mark_ready(token));
                }
                token => {
                    if let Some(knocking) = self.accept_ready.get_mut(token - FIRST_LISTENER_TOKEN)
                    {
                        *knocking = true;
                    }
                }
            }
        }
    }

    fn read_boards(&mut self, now: Now) {
        let Daemon { boards, recorder, .. } = self;
        for (index, place) in boards.iter_mut().enumerate() {
            let first = place.first_channel.0;
            let was = place.board.state().clone();
            let mut visit = |event: CaptureEvent<'_>| {
                capture::pass_event(recorder, now, (index, first), event);
            };
            place.has_more = place.board.read(now.mono.0, BOARD_FRAMES_PER_TURN, &mut visit);
            if *place.board.state() != was {
                // A reopened board stays in trouble until it delivers audio.
                let trouble = match place.board.state() {
                    BoardState::Failed { text, .. } => Some(text.clone()),
                    BoardState::Waiting => continue,
                    BoardState::Running => None,
                };
                recorder.handle(now, Input::BoardState { board: index, trouble });
            }
        }
    }

    fn handle_signals(&mut self, now: Now) {
        for _ in 0..SIGNALS_PER_TURN {
            let Some(action) = self.signals.next() else { return };
            match action {
                SignalAction::Stop => {
                    self.service_manager.notify_stopping();
                    self.recorder.handle(now, Input::Stop);
                }
                SignalAction::Reload => {
                    self.reload_config(now, None, ReadMode::Apply { confirm: false });
                }
                SignalAction::Ignore(name) => log::warn!("{name} has no meaning here: ignored"),
            }
        }
    }

    /// Processes client lines in three passes. First come a few lines from each session that can
    /// start a blackout, so that no load delays a blackout. Then come the other sessions up to
    /// the turn's quota, then sessions with a backlog. Sessions not reached come first in the
    /// next turn.
    fn process_lines(&mut self, woke: MonoTime) {
        let mut gone = Vec::new();
        for id in self.ready_sessions(0.., Priority::Mask) {
            self.process_lines_of(id, SESSION_LINES_MAX, (woke, &mut gone));
        }
        for (rank, most, all) in [
            (Priority::Normal, SESSION_LINES_MAX, NORMAL_TURN_LINES_MAX),
            (Priority::Backlogged, BACKLOGGED_SESSION_LINES_MAX, BACKLOGGED_TURN_LINES_MAX),
        ] {
            let last = self.last_served[rank as usize];
            let mut order = self.ready_sessions(last.saturating_add(1).., rank);
            order.extend(self.ready_sessions(..=last, rank));
            let mut left = all;
            for id in order {
                if left == 0 {
                    break;
                }
                self.last_served[rank as usize] = id;
                left -= self.process_lines_of(id, most.min(left), (woke, &mut gone));
            }
        }
        let now = self.clock.now();
        gone.into_iter().for_each(|id| self.drop_connection(now, id));
    }

    /// Returns the sessions of this priority that have input.
    fn ready_sessions(&self, range: impl RangeBounds<u64>, wanted: Priority) -> Vec<u64> {
        let speaks = |(id, connection): (&u64, &Connection)| {
            let rank = match connection.has_backlog {
                true => Priority::Backlogged,
                false if self.recorder.may_mask(SessionId(*id)) => Priority::Mask,
                false => Priority::Normal,
            };
            (connection.has_input() && rank == wanted).then_some(*id)
        };
        self.connections.range(range).filter_map(speaks).collect()
    }

    /// Processes at most `most` lines of one session and returns how many.
    fn process_lines_of(
        &mut self,
        id: u64,
        most: usize,
        (woke, gone): (MonoTime, &mut Vec<u64>),
    ) -> usize {
        let Daemon { connections, recorder, clock, .. } = self;
        let Some(connection) = connections.get_mut(&id) else { return 0 };
        let session = SessionId(id);
        connection.block_bytes_max = recorder.block_bytes(session);
        let mut taken = 0;
        while taken < most && connection.has_input() && recorder.accepts_lines(session) {
            let mut deliver = |heard: Incoming<'_>| {
                let input = match heard {
                    Incoming::Line(line) => Input::Line { session, line, woke },
                    Incoming::Data(block) => Input::Data { session, block },
                };
                recorder.handle(clock.now(), input);
            };
            match connection.read_next(&mut deliver) {
                ReadOutcome::Line => taken += 1,
                ReadOutcome::WouldBlock => break,
                ReadOutcome::Ended => {
                    recorder.handle(clock.now(), Input::InputEnded { session });
                    break;
                }
                ReadOutcome::Disconnected => {
                    gone.push(id);
                    break;
                }
            }
        }
        connection.has_backlog = taken == most && connection.has_input();
        taken
    }

    fn drop_connection(&mut self, now: Now, id: u64) {
        if let Some(mut connection) = self.connections.remove(&id) {
            connection.deregister(self.poll.registry());
            self.admission.remove_connection(connection.counted_address);
            self.recorder.handle(now, Input::Disconnected { session: SessionId(id) });
        }
    }

    fn dispatch_outputs(&mut self, now: Now) -> Result<(), DaemonError> {
        while let Some(output) = self.recorder.poll() {
            match output {
                Output::Send { session, bytes } => {
                    if let Some(connection) = self.connections.get_mut(&session.0) {
                        connection.queue_output(&bytes);
                    }
                }
                Output::Close { session } => {
                    if let Some(connection) = self.connections.get_mut(&session.0) {
                        connection.is_closing = true;
                    }
                }
                Output::Abort { session } => {
                    if let Some(connection) = self.connections.get_mut(&session.0) {
                        connection.is_aborted = true;
                    }
                }
                Output::Job(job) => self.disk.submit(job),
                Output::MakeEnvelopes(count) => {
                    self.general_worker.submit(now.mono, WorkerRequest::MakeEnvelopes { count });
                }
                Output::CheckPin { session, hash, pin } => {
                    self.general_worker
                        .submit(now.mono, WorkerRequest::CheckPin { session, hash, pin });
                }
                Output::NewCode { session } => {
                    self.general_worker.submit(now.mono, WorkerRequest::NewCode { session });
                }
                Output::Sign { session, request, machine, kinds } => {
                    self.request_workstation_certificate(session, request, (machine, kinds));
                }
                Output::LogLevel(level) => log::set_max_level(level),
                Output::ReadConfig { session, mode } => {
                    self.reload_config(now, Some(session), mode);
                }
                Output::Summarise { today, damaged } => {
                    let data = self.data.path.clone();
                    self.summary_worker
                        .submit(now.mono, WorkerRequest::Summarise { data, today, damaged });
                }
                Output::NewCallKey => {
                    let data = self.data.path.clone();
                    self.general_worker.submit(now.mono, WorkerRequest::NewCallKey { data });
                }
                Output::ForgetCallKeys => {
                    let data = self.data.path.clone();
                    self.general_worker.submit(now.mono, WorkerRequest::ForgetCallKeys { data });
                }
                Output::EditConfig { session, edit, by } => {
                    self.edit_config(now, session, (edit, by));
                }
                Output::MakeSelfTestKeys => {
                    self.general_worker.submit(now.mono, WorkerRequest::MakeSelfTestKeys)
                }
                Output::SelfTest(recording) => {
                    let data = self.data.path.clone();
                    self.selftest_worker
                        .submit(now.mono, WorkerRequest::SelfTest { data, recording });
                }
                Output::LoopBack { board, channel, hz } => self.set_test_tone(board, channel, hz),
                Output::SipSend { board, transmit } => self.send_sip(now, board, &transmit),
                Output::Slot(command) => self.command_slot(now, command),
                Output::Stopped => self.is_stopped = true,
                Output::Fatal(text) => return Err(DaemonError::Disk(text)),
            }
        }
        Ok(())
    }

    fn set_test_tone(&mut self, board: usize, channel: usize, hz: Option<u32>) {
        let tone = hz.map(|hz| TestTone { hz, peak: TONE_PEAK });
        if let Some(place) = self.boards.get_mut(board) {
            place.board.set_test_tone(channel, tone);
        }
    }

    fn flush_connections(&mut self, now: Now) {
        self.flush_handshakes(now.mono);
        let mut gone = Vec::new();
        for (id, connection) in &mut self.connections {
            let drained = connection.flush(now.mono);
            if !drained && !connection.is_disconnected() && !connection.is_abandoned() {
                self.recorder.count_reject(RejectReason::Slow);
            }
            let mut alive = !connection.is_aborted && drained && !connection.is_abandoned();
            if alive && connection.is_closing {
                connection.send_close_notify();
                alive = connection.flush(now.mono);
            }
            if !alive || connection.is_closing && connection.is_flushed() {
                gone.push(*id);
                continue;
            }
            let bytes = connection.send_capacity();
            if bytes == limits::OUTPUT_BYTES_MAX || bytes > limits::OUTPUT_BYTES_MAX / 2 {
                let session = SessionId(*id);
                self.recorder.handle(now, Input::SendCapacity { session, bytes });
            }
        }
        gone.into_iter().for_each(|id| self.drop_connection(now, id));
    }

    /// Announces `ready` once every board delivers audio and the boot entry is durable.
    fn announce_ready(&mut self) {
        let running = |place: &PolledBoard| *place.board.state() == BoardState::Running;
        if self.is_ready_announced
            || !self.boards.iter().all(running)
            || !self.recorder.is_durable()
        {
            return;
        }
        self.is_ready_announced = true;
        let open = self.listeners.iter().filter(|listener| listener.is_open());
        let places: Vec<String> = open.map(Listener::address_text).collect();
        let sip = match self.sip.addresses() {
            none if none.is_empty() => String::new(),
            some => format!(" sip={}", some.join(",")),
        };
        let (name, places) = (&self.config.name, places.join(","));
        print_to_stdout(format!("ready box={name} listen={places}{sip}\n"));
        self.service_manager.notify_ready();
    }
}

/// Prints a line from a thread of its own, because the reader of stdout may be stuck or gone.
fn print_to_stdout(line: String) {
    let print = move || {
        let mut out = std::io::stdout().lock();
        if let Err(error) = out.write_all(line.as_bytes()).and_then(|()| out.flush()) {
            log::error!("`ready` could not be printed on stdout: {error}");
        }
    };
    if let Err(error) = std::thread::Builder::new().name("ready".to_string()).spawn(print) {
        log::error!("`ready` could not be printed: no thread can be started: {error}");
    }
}
