//! The loop: one thread, one poll.
//!
//! Events only mark what is ready. Then each turn does its work in its own order, bounded: boards,
//! answers of the disk, lines, deadlines, outputs. mio is edge-triggered, so readiness that is left
//! over is remembered and the next turn comes at once. Time is read here and passed down.
//!
//! Nothing here decides what a line means or what becomes of audio.

use crate::audio::channel::ChannelIndex;
use crate::audio::span::Loss;
use crate::config::Config;
use crate::id::SessionId;
use crate::limits;
use crate::recorder::{Input, Output, Recorder, TurnedAway};
use crate::selftest::TONE_PEAK;
use crate::shell::net::accept::Newcomer;
use crate::shell::net::admission::Admission;
use crate::shell::net::connection::{Connection, Heard, Took};
use crate::shell::net::listener::Listener;
use crate::shell::net::peer::LocalIds;
use crate::shell::net::tls::Tls;
use crate::shell::os::clock::Clock;
use crate::shell::os::data_dir::DataDir;
use crate::shell::os::service_manager::BootService;
use crate::shell::os::signal::{Signals, Wish};
use crate::shell::workers::disk::Disk;
use crate::shell::workers::worker::{Helper, Request};
use crate::time::{Mono, Now};
use board::{Board, LostWhy, Reading, State, Tone};
use mio::{Events, Poll};
use std::collections::BTreeMap;
use std::io::Write;
use std::ops::RangeBounds;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(super) const WAKER: usize = 0;
pub(super) const SIGNALS: usize = 1;
pub(super) const LISTENERS: usize = 2;
pub(super) const BOARDS: usize = 64;
pub(super) const SESSIONS: usize = 1 << 16;

/// Lines of one session that are taken before anybody has more.
const FIRST_LINES: usize = 2;

/// Lines that one session with a backlog may have taken in one turn.
const LINES_PER_TURN: usize = 16;

/// Lines of one turn, of those who say little and of those with a backlog, over all sessions that
/// may not black out: 256 × 20 µs are 5 ms.
const CALM_LINES: usize = 192;
const BUSY_LINES: usize = 64;

/// In which order lines are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rank {
    Calm,
    Busy,
    /// It may black out, and has no backlog.
    Masks,
}

/// Frames one board may give in one turn: half a second at 48 kHz.
const BOARD_FRAMES: u32 = 24_000;

/// Why the daemon could not start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    #[error("{0}")]
    Config(String),
    #[error(transparent)]
    Data(#[from] crate::shell::os::data_dir::DataError),
    #[error(transparent)]
    Recover(#[from] crate::store::recover::RecoverError),
    #[error(transparent)]
    Tls(#[from] crate::shell::net::tls::TlsError),
    #[error(transparent)]
    Listen(#[from] crate::shell::net::listener::ListenError),
    #[error(transparent)]
    Board(#[from] board::BoardError),
    #[error(transparent)]
    Codec(#[from] crate::audio::codec::CodecError),
    #[error("{what}: {error}")]
    System { what: &'static str, error: std::io::Error },
    /// The store cannot be trusted any more.
    #[error("{0}; stopping, so that the next start recovers from what the disk really holds")]
    Fatal(String),
}

impl DaemonError {
    /// The exit code, after sysexits.h.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            DaemonError::Config(_) | DaemonError::Codec(_) => 78,
            DaemonError::Data(_) | DaemonError::Recover(_) | DaemonError::Fatal(_) => 74,
            DaemonError::Tls(_) => 74,
            DaemonError::Listen(_) | DaemonError::Board(_) => 69,
            DaemonError::System { .. } => 71,
        }
    }
}

pub(super) fn system(what: &'static str) -> impl FnOnce(std::io::Error) -> DaemonError {
    move |error| DaemonError::System { what, error }
}

/// Reads and checks a configuration file; the error lists everything that is wrong with it.
///
/// # Errors
/// In words, one line per error.
pub fn read_config(path: &Path) -> Result<Config, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("{}: {error}; give one with --config FILE", path.display()))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    match crate::config::parse(&text) {
        Ok((config, warnings)) => {
            for warning in warnings {
                log::warn!("{}: {warning}", path.display());
            }
            Ok(config.resolve(folder))
        }
        Err(errors) => {
            let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
            Err(lines.join("\n"))
        }
    }
}

/// The running daemon.
pub struct Daemon {
    pub(super) poll: Poll,
    pub(super) clock: Clock,
    pub(super) config: Config,
    pub(super) config_path: PathBuf,
    pub(super) recorder: Recorder,
    pub(super) boards: Vec<BoardPlace>,
    pub(super) disk: Disk,
    pub(super) helper: Helper,
    /// Another one, for closing days: that may take long, and nobody's key or PIN waits for it.
    pub(super) scribe: Helper,
    /// And one for self-tests, which wait for the disk.
    pub(super) tester: Helper,
    /// And one that looks at what others tell of the system, and may hang with them.
    pub(super) looker: Helper,
    /// When it is to look again; `None`: it is looking.
    pub(super) time_sync_at: Option<Mono>,
    pub(super) signals: Signals,
    pub(super) listeners: Vec<Listener>,
    /// Listeners on which somebody may wait.
    pub(super) knocking: Vec<bool>,
    /// Connections that are no sessions yet.
    pub(super) newcomers: BTreeMap<u32, Newcomer>,
    /// Whose handshake went on last.
    pub(super) last_shaken: u32,
    pub(super) connections: BTreeMap<u32, Connection>,
    /// Who of each rank that takes turns had the last one.
    pub(super) last_heard: [u32; 2],
    pub(super) admission: Admission,
    pub(super) local_ids: LocalIds,
    /// Nothing can be accepted before this moment.
    pub(super) rest_until: Mono,
    /// With a TLS listener.
    pub(super) tls: Option<Tls>,
    pub(super) boot_service: BootService,
    pub(super) next_session: u32,
    pub(super) data: DataDir,
    /// `ready` was said.
    pub(super) announced: bool,
    pub(super) stopped: bool,
}

pub(super) struct BoardPlace {
    pub(super) board: Board,
    pub(super) first: ChannelIndex,
    /// More audio is waiting, although no event will come.
    pub(super) more: bool,
}

/// Runs a box until it is stopped.
///
/// # Errors
/// See `DaemonError`.
pub fn run(config_path: &Path) -> Result<Ended, DaemonError> {
    let config = read_config(config_path)
        .map_err(|text| DaemonError::Config(format!("{}:\n{text}", config_path.display())))?;
    let signals = Signals::open().map_err(|e| system("signals")(e.into()))?;
    let not_locked =
        crate::shell::os::secure::harden().map_err(|e| system("hardening")(e.into()))?;
    let mut daemon = Daemon::start(config, config_path.to_path_buf(), signals)?;
    if let Some(text) = not_locked {
        let now = daemon.clock.now();
        daemon.recorder.memory_not_locked(now, text);
    }
    let result = daemon.turns();
    let exit = reboot_exit().filter(|_| daemon.recorder.reboots());
    let Daemon { disk, listeners, .. } = daemon;
    listeners.iter().for_each(Listener::last_words);
    drop(listeners);
    disk.finish();
    result.map(|()| exit.map_or(Ended::Stopped, Ended::Reboot))
}

/// How an orderly end is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Stopped,
    /// The machine is to start anew: whoever started the daemon knows it by this exit code.
    Reboot(u8),
}

/// The exit code by which whoever started the daemon is told to start the machine anew.
pub(super) fn reboot_exit() -> Option<u8> {
    let code = std::env::var("HUSHBOX_REBOOT_EXIT").ok()?.parse().ok()?;
    Some(code).filter(|code| *code > 0)
}

impl Daemon {
    fn turns(&mut self) -> Result<(), DaemonError> {
        let mut events = Events::with_capacity(1024);
        while !self.stopped {
            let timeout = self.timeout();
            match self.poll.poll(&mut events, Some(timeout)) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(system("poll")(error)),
            }
            let woke = self.clock.now().mono;
            self.mark(&events);
            let now = self.clock.now();
            self.read_boards(now);
            self.take_answers(now)?;
            self.take_signals(now);
            self.accept(now);
            self.take_lines(woke);
            self.shake_hands(now);
            self.renew_certificate(now);
            self.tend_time_sync(now);
            let now = self.clock.now();
            self.recorder.turn(now);
            self.hand_out()?;
            self.flush(now);
            self.tend_consoles();
            self.announce();
            self.tell_boot_service(now);
        }
        Ok(())
    }

    /// How long to sleep: not at all when anything is left over.
    fn timeout(&self) -> Duration {
        let takes = |(id, connection): (&u32, &Connection)| {
            connection.has_input() && self.recorder.takes_lines(SessionId(*id))
        };
        let left_over = self.boards.iter().any(|place| place.more)
            || self.newcomers.values().any(|newcomer| newcomer.connection.has_input())
            || self.connections.iter().any(takes);
        if left_over {
            return Duration::ZERO;
        }
        let now = self.clock.now();
        let mut next = self.recorder.next_deadline(now);
        next = next.min(self.accepts_at(now.mono).unwrap_or(next));
        next = next.min(self.consoles_at().unwrap_or(next));
        for place in &self.boards {
            next = next.min(place.board.deadline_us().map_or(next, Mono));
        }
        Duration::from_micros(next.since_us(now.mono))
    }

    fn mark(&mut self, events: &Events) {
        for event in events {
            match event.token().0 {
                WAKER | SIGNALS => {}
                token if token >= SESSIONS => {
                    let id = u32::try_from(token - SESSIONS).unwrap_or(0);
                    let newcomer = self.newcomers.get_mut(&id).map(|new| &mut new.connection);
                    if let Some(connection) = self.connections.get_mut(&id).or(newcomer) {
                        let over = event.is_read_closed() || event.is_error();
                        connection.ready(event.is_readable() || over, event.is_writable());
                    }
                }
                token if token >= BOARDS => {
                    self.boards.iter_mut().for_each(|place| place.board.ready(token));
                }
                token => {
                    if let Some(knocking) = self.knocking.get_mut(token - LISTENERS) {
                        *knocking = true;
                    }
                }
            }
        }
    }

    fn read_boards(&mut self, now: Now) {
        let Daemon { boards, recorder, .. } = self;
        for (index, place) in boards.iter_mut().enumerate() {
            let first = place.first.0;
            let was = place.board.state().clone();
            let mut visit = |reading: Reading<'_>| match reading {
                Reading::Period(period) => {
                    recorder.capture(now, ChannelIndex(first + period.channel), period.samples);
                }
                Reading::Lost { frames, why, .. } => {
                    let why = match why {
                        LostWhy::Overrun => Loss::Overrun,
                        LostWhy::Board => Loss::Board,
                    };
                    recorder.lose(now, index, frames, why);
                }
            };
            place.more = place.board.read(now.mono.0, BOARD_FRAMES, &mut visit);
            if *place.board.state() != was {
                // One that was opened again is in trouble until something comes from it.
                let trouble = match place.board.state() {
                    State::Failed { text, .. } => Some(text.clone()),
                    State::Waiting => continue,
                    State::Running => None,
                };
                recorder.handle(now, Input::Board { board: index, trouble });
            }
        }
    }

    fn take_signals(&mut self, now: Now) {
        while let Some(wish) = self.signals.next() {
            match wish {
                Wish::Stop => {
                    self.boot_service.stopping();
                    self.recorder.handle(now, Input::Stop);
                }
                Wish::Reload => {
                    self.read_config_again(None, true);
                }
            }
        }
    }

    /// First a line or two of everybody who may black out, so that no blackout waits for a crowd;
    /// then of the others, so many in all; then more of those with a backlog. Who is not reached
    /// comes first in the next turn.
    fn take_lines(&mut self, woke: Mono) {
        let mut gone = Vec::new();
        for id in self.who_speaks(0.., Rank::Masks) {
            self.take_lines_of(id, FIRST_LINES, (woke, &mut gone));
        }
        for (rank, most, all) in
            [(Rank::Calm, FIRST_LINES, CALM_LINES), (Rank::Busy, LINES_PER_TURN, BUSY_LINES)]
        {
            let last = self.last_heard[rank as usize];
            let mut order = self.who_speaks(last.saturating_add(1).., rank);
            order.extend(self.who_speaks(..=last, rank));
            let mut left = all;
            for id in order {
                if left == 0 {
                    break;
                }
                self.last_heard[rank as usize] = id;
                left -= self.take_lines_of(id, most.min(left), (woke, &mut gone));
            }
        }
        let now = self.clock.now();
        gone.into_iter().for_each(|id| self.drop_connection(now, id));
    }

    /// Whose lines there are to take, of this rank.
    fn who_speaks(&self, range: impl RangeBounds<u32>, wanted: Rank) -> Vec<u32> {
        let speaks = |(id, connection): (&u32, &Connection)| {
            let rank = match connection.busy {
                true => Rank::Busy,
                false if self.recorder.may_mask(SessionId(*id)) => Rank::Masks,
                false => Rank::Calm,
            };
            (connection.has_input() && rank == wanted).then_some(*id)
        };
        self.connections.range(range).filter_map(speaks).collect()
    }

    /// Takes at most `most` lines of one client, and says how many it took.
    fn take_lines_of(
        &mut self,
        id: u32,
        most: usize,
        (woke, gone): (Mono, &mut Vec<u32>),
    ) -> usize {
        let Daemon { connections, recorder, clock, .. } = self;
        let Some(connection) = connections.get_mut(&id) else { return 0 };
        let session = SessionId(id);
        connection.block_bytes = recorder.block_bytes(session);
        let mut taken = 0;
        while taken < most && connection.has_input() && recorder.takes_lines(session) {
            let mut deliver = |heard: Heard<'_>| {
                let input = match heard {
                    Heard::Line(line) => Input::Line { session, line, woke },
                    Heard::Data(block) => Input::Data { session, block },
                };
                recorder.handle(clock.now(), input);
            };
            match connection.take(&mut deliver) {
                Took::Line => taken += 1,
                Took::Nothing => break,
                Took::Gone => {
                    gone.push(id);
                    break;
                }
            }
        }
        connection.busy = taken == most && connection.has_input();
        taken
    }

    fn drop_connection(&mut self, now: Now, id: u32) {
        if let Some(mut connection) = self.connections.remove(&id) {
            connection.deregister(self.poll.registry());
            self.admission.leave(connection.address);
            self.recorder.handle(now, Input::Gone { session: SessionId(id) });
        }
    }

    fn hand_out(&mut self) -> Result<(), DaemonError> {
        while let Some(output) = self.recorder.poll() {
            match output {
                Output::Send { session, bytes } => {
                    if let Some(connection) = self.connections.get_mut(&session.0) {
                        connection.queue(&bytes);
                    }
                }
                Output::Close { session } => {
                    if let Some(connection) = self.connections.get_mut(&session.0) {
                        connection.closing = true;
                    }
                }
                Output::Cut { session } => {
                    if let Some(connection) = self.connections.get_mut(&session.0) {
                        connection.cut = true;
                    }
                }
                Output::Job(job) => self.disk.ask(job),
                Output::Envelopes(count) => self.helper.ask(Request::Envelopes { count }),
                Output::CheckPin { session, hash, pin } => {
                    self.helper.ask(Request::CheckPin { session, hash, pin });
                }
                Output::NewCode { session } => self.helper.ask(Request::NewCode { session }),
                Output::Sign { session, request, machine, kinds } => {
                    self.sign(session, request, (machine, kinds));
                }
                Output::LogLevel(level) => log::set_max_level(level),
                Output::ReadConfig { session, apply } => {
                    self.read_config_again(session, apply);
                }
                Output::Summarise { today, damaged } => {
                    let data = self.data.path.clone();
                    self.scribe.ask(Request::Summarise { data, today, damaged });
                }
                Output::NewCallKey => {
                    self.helper.ask(Request::NewCallKey { data: self.data.path.clone() });
                }
                Output::ForgetCallKeys => {
                    self.helper.ask(Request::ForgetCallKeys { data: self.data.path.clone() });
                }
                Output::EditConfig { session, edit, by } => self.edit_config(session, edit, by),
                Output::TrialKeys => self.helper.ask(Request::TrialKeys),
                Output::Trial(tape) => {
                    let data = self.data.path.clone();
                    self.tester.ask(Request::Trial { data, tape });
                }
                Output::LoopBack { board, channel, hz } => self.loop_back(board, channel, hz),
                Output::Stopped => self.stopped = true,
                Output::Fatal(text) => return Err(DaemonError::Fatal(text)),
            }
        }
        Ok(())
    }

    fn loop_back(&mut self, board: usize, channel: usize, hz: Option<u32>) {
        let tone = hz.map(|hz| Tone { hz, peak: TONE_PEAK });
        if let Some(place) = self.boards.get_mut(board) {
            place.board.loop_back(channel, tone);
        }
    }

    fn flush(&mut self, now: Now) {
        self.flush_newcomers(now.mono);
        let mut gone = Vec::new();
        for (id, connection) in &mut self.connections {
            let drained = connection.flush(now.mono);
            if !drained && !connection.is_over() {
                self.recorder.turned_away(TurnedAway::Slow);
            }
            let mut alive = !connection.cut && drained;
            if alive && connection.closing {
                connection.say_bye();
                alive = connection.flush(now.mono);
            }
            if !alive || connection.closing && connection.flushed() {
                gone.push(*id);
                continue;
            }
            let bytes = connection.room();
            if bytes == limits::OUTPUT_BYTES || bytes > limits::OUTPUT_BYTES / 2 {
                let session = SessionId(*id);
                self.recorder.handle(now, Input::Room { session, bytes });
            }
        }
        gone.into_iter().for_each(|id| self.drop_connection(now, id));
    }

    /// Says `ready` once every board gives audio and the start is durable.
    fn announce(&mut self) {
        let running = |place: &BoardPlace| *place.board.state() == State::Running;
        if self.announced || !self.boards.iter().all(running) || !self.recorder.durable() {
            return;
        }
        self.announced = true;
        let places: Vec<String> = self.listeners.iter().map(Listener::place).collect();
        let mut out = std::io::stdout().lock();
        let line = format!("ready box={} listen={}\n", self.config.name, places.join(","));
        if let Err(error) = out.write_all(line.as_bytes()).and_then(|()| out.flush()) {
            log::error!("`ready` could not be printed: {error}");
        }
        self.boot_service.ready();
    }
}
