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
//! `undurable` (what is told again), `checkpoints` (when to sign), `screens` (video, beside it).

mod admin;
mod audio;
mod blackout;
mod boot;
mod calls;
mod journal;
mod recording;
mod screen;
pub mod session;

pub use admin::about::{About, TimeSync};
pub use admin::enrolment::TurnedAway;
pub use admin::setup::Edited;
pub use boot::{Boot, Cut};
pub use journal::Storage;
pub use recording::{Chunk, Recording, Tape};
pub use session::{Peer, Session, Who};

use crate::alarm::Alarms;
use crate::audio::channel::{Channel, ChannelIndex};
use crate::audio::codec::Encoder;
use crate::calls::call::Calls;
use crate::calls::directory::{AgentIndex, Directory};
use crate::config::Config;
use crate::id::SessionId;
use crate::job::{Done, Job};
use crate::limits;
use crate::store::archive::Catalogue;
use crate::store::day::Day;
use crate::store::index::Index;
use crate::store::seal::{DataKey, Envelope, Identity};
use crate::time::{Mono, Now};
use crate::trace::Trace;
use protocol::Refusal;
use session::Sessions;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What the shell brings besides audio.
#[derive(Debug)]
pub enum Input<'a> {
    Opened {
        session: SessionId,
        peer: Peer,
    },
    /// Somebody is at a serial console; who says nothing for so long is logged out.
    Plugged {
        session: SessionId,
        /// The port.
        place: String,
        silent_ms: u64,
    },
    /// How a serial console's port is: `None` while it is open.
    Console {
        place: String,
        trouble: Option<String>,
    },
    /// Somebody came in over TLS, and showed this certificate.
    Knocked {
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
    CodeMade {
        session: SessionId,
        random: zeroize::Zeroizing<[u8; protocol::one_time::SECRET_BYTES]>,
    },
    /// The answer to `Output::Sign`; the error is for people.
    Signed {
        session: SessionId,
        result: Result<crate::doors::Certificate, String>,
    },
    /// One line without its end, or why it was none.
    Line {
        session: SessionId,
        line: Result<&'a str, Refusal>,
        woke: Mono,
    },
    Gone {
        session: SessionId,
    },
    /// The shell has so many bytes of room for this session.
    Room {
        session: SessionId,
        bytes: usize,
    },
    Done(Done),
    Envelope(Box<Envelope>),
    /// The answer to `Output::CheckPin`.
    Pin {
        session: SessionId,
        right: bool,
    },
    /// How a board is: `None` while it runs.
    Board {
        board: usize,
        trouble: Option<String>,
    },
    /// A new configuration, already checked.
    Reload(Box<Config>),
    /// What came of `Output::ReadConfig`; the error is for people.
    ConfigRead {
        session: SessionId,
        result: Result<(), String>,
    },
    /// The answer to `Output::Summarise`: what is summarised, and through which entry.
    Summarised(Result<(Catalogue, u64), String>),
    /// What came of `Output::NewCallKey`; none if it could not be written.
    CallKey(Option<DataKey>),
    /// The answer to `Output::EditConfig`.
    ConfigEdited(Edited),
    /// The answer to `Output::TrialKeys`.
    TrialKeys(Result<Box<crate::selftest::Keys>, String>),
    /// The answer to `Output::Trial`.
    TrialFound(crate::selftest::Found),
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
    Cut {
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
    Envelopes(usize),
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
        edit: crate::config::edit::Edit,
        by: String,
    },
    /// Keys for a self-test's recording are wanted.
    TrialKeys,
    /// Try the disk, and write, read and open this recording, if there is one.
    Trial(Option<crate::selftest::Tape>),
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
    trials: admin::selftest::Trials,
    lines: calls::activity::Lines,
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
    past: session::archive::Past,
    expiry: journal::expiry::Expiry,
    identities: Vec<Identity>,
    envelopes: VecDeque<Envelope>,
    envelopes_asked: usize,
    envelopes_wanted: usize,
    encoders: Vec<Vec<Encoder>>,
    alarms: Alarms,
    trace: Trace,
    counters: admin::status::Counters,
    stale_news: BTreeSet<AgentIndex>,
    outputs: VecDeque<Output>,
    /// Where the round of releases goes on.
    next_release: usize,
    /// Some audio could leave its ring, but the turn's budget was used.
    more_to_release: bool,
    /// Where the round of answers goes on.
    next_answer: usize,
    reader: session::library::Reader,
    recall: recording::recall::Recall,
    call_key: Option<DataKey>,
    retention: journal::retention::Retention,
    screens: screen::Screens,
    next_call_tick: Mono,
    /// Recordings that have to begin as soon as there is an envelope.
    cut: Vec<Cut>,
    /// Losses are logged so often at most; every one is counted.
    next_loss_log: Mono,
    doors: admin::enrolment::Doors,
    /// When the last turn was.
    now: Mono,
    /// Wall clock minus monotonic time, at the last turn.
    clock_offset_ms: i64,
    stopping: bool,
    /// And the machine starts anew.
    rebooting: bool,
    about: About,
    stop_asked: Mono,
    stopped: bool,
}

impl Recorder {
    /// One thing that happened. What follows from it comes out of `poll` after the next `turn`.
    pub fn handle(&mut self, now: Now, input: Input<'_>) {
        match input {
            Input::Opened { session, peer } => self.opened(now, session, peer),
            Input::Plugged { session, place, silent_ms } => {
                self.plugged(now, session, (place, silent_ms));
            }
            Input::Console { place, trouble } => self.console_state(now, &place, trouble),
            Input::Knocked { session, from, certificate } => {
                self.knocked(now, session, (from, certificate));
            }
            Input::Data { session, block } => self.data(now, session, block),
            Input::CodeMade { session, random } => self.code_made(now, session, &random),
            Input::Signed { session, result } => self.signed(now, session, result),
            Input::Line { session, line, woke } => self.line(now, session, line, woke),
            Input::Gone { session } => self.gone(now, session),
            Input::Room { session, bytes } => {
                if let Some(session) = self.sessions.get_mut(session) {
                    session.room = bytes;
                }
            }
            Input::Done(done) => self.done(now, done),
            Input::Envelope(envelope) => {
                self.envelopes_asked = self.envelopes_asked.saturating_sub(1);
                self.envelopes.push_back(*envelope);
                self.resume_cut(now);
            }
            Input::Pin { session, right } => self.pin_checked(now, session, right),
            Input::Board { board, trouble } => self.board_state(now, board, trouble),
            Input::Reload(config) => self.reload(now, *config),
            Input::ConfigRead { session, result } => self.config_read(session, result),
            Input::ConfigEdited(edited) => self.config_edited(now, edited),
            Input::Summarised(result) => self.summarised(result),
            Input::CallKey(key) => self.new_call_key(now, key),
            input @ (Input::TrialKeys(_) | Input::TrialFound(_)) => self.trial_came(now, input),
            Input::Stop => self.stop(now),
        }
    }

    /// Ends a turn: serves deadlines, lets audio out of the rings, journals, tells the news.
    pub fn turn(&mut self, now: Now) {
        self.now = now.mono;
        self.take_lines_again(now);
        self.give_up_receipts(now);
        self.tick_sessions(now);
        self.tick_trial(now);
        if !self.storage.closing() {
            self.watch_clock(now);
            self.follow_lines(now);
            self.tick_calls(now);
            self.settle_stops(now);
            self.tick_blackouts(now);
            self.release(now);
            self.tick_screens(now);
            self.tick_retention(now);
        }
        self.tick_past();
        self.tick_stop(now);
        self.storage.end_turn(now, &mut self.outputs);
        self.ask_for_envelopes();
        self.say();
        self.check_invariants();
    }

    /// What the shell has to do now; to be drained after every `turn`.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Whether the next line of a session may be handed in.
    #[must_use]
    pub fn takes_lines(&self, session: SessionId) -> bool {
        self.sessions.get(session).is_some_and(Session::takes_lines)
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
        if screen { protocol::DATA_BYTES } else { limits::REQUEST_BYTES }
    }

    /// When `turn` must be called again even if nothing happens.
    #[must_use]
    pub fn next_deadline(&self, now: Now) -> Mono {
        if self.more_to_release || self.has_lines_again() {
            return now.mono;
        }
        let mut next = now.mono.after_ms(1000);
        next = next.min(self.storage.next_deadline().unwrap_or(next));
        for session in self.sessions.iter() {
            next = next.min(session.gives_up_at().unwrap_or(next));
        }
        next.max(now.mono)
    }

    /// Memory could not be locked: keys and audio might reach a swap device.
    pub fn memory_not_locked(&mut self, now: Now, text: String) {
        self.raise(now, crate::alarm::Code::NotLocked, "", text);
    }

    /// Whether every fact noted so far is durable.
    #[must_use]
    pub fn durable(&self) -> bool {
        self.storage.durable() >= self.storage.settled()
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
    fn watch_clock(&mut self, now: Now) {
        let mono_ms = i64::try_from(now.mono.0 / 1000).unwrap_or(i64::MAX);
        let offset_ms = now.wall.0.saturating_sub(mono_ms);
        let step_ms = offset_ms.saturating_sub(self.clock_offset_ms);
        if step_ms.unsigned_abs() >= limits::CLOCK_STEP_MS {
            let text = format!("the clock stepped by {step_ms} ms; positions are not affected");
            self.raise(now, crate::alarm::Code::ClockStep, "", text);
        }
        self.clock_offset_ms = offset_ms;
        if step_ms.unsigned_abs() >= limits::SCREEN_STEP_MS {
            self.cut_screen_clients(now);
        }
    }

    /// How many envelopes are kept in stock.
    #[must_use]
    pub fn envelopes_wanted(&self) -> usize {
        self.envelopes_wanted
    }

    /// The public keys changed: the stock is wrapped for the ones before, and makes place for this.
    pub fn replace_envelopes(&mut self, envelopes: Vec<Envelope>) {
        self.envelopes = envelopes.into();
    }

    fn ask_for_envelopes(&mut self) {
        let have = self.envelopes.len() + self.envelopes_asked;
        if have < self.envelopes_wanted && !self.stopping {
            let missing = self.envelopes_wanted - have;
            self.envelopes_asked += missing;
            self.outputs.push_back(Output::Envelopes(missing));
        }
    }

    /// Stops in order: rings are released through the mask, recordings close, facts are synced.
    fn stop(&mut self, now: Now) {
        if self.stopping {
            return;
        }
        self.stopping = true;
        self.stop_asked = now.mono;
        log::info!("stopping: closing {} recordings", self.running().count());
        self.forget_all_recall();
        self.end_all(now, crate::store::fact::RecordingEnd::Shutdown);
        self.stale_news.extend(self.sessions.iter().filter_map(Session::on_duty));
    }

    fn tick_stop(&mut self, now: Now) {
        if !self.stopping || self.stopped {
            return;
        }
        if self.storage.is_down() {
            if now.mono.since_ms(self.stop_asked) >= limits::STOP_DOWN_MS {
                let text = "the disk has failed, and the box was asked to stop";
                self.outputs.push_back(Output::Fatal(text.to_string()));
            }
            return;
        }
        let open = self.recordings.iter().any(|recording| recording.tape.is_some());
        if open || self.screens.at_work() || !self.storage.stopping_done(now, &mut self.index) {
            return;
        }
        self.stopped = true;
        self.outputs.push_back(Output::Stopped);
    }

    /// What must hold after every turn, whatever others sent.
    fn check_invariants(&self) {
        assert!(self.recordings.len() <= limits::RECORDINGS_MAX);
        self.screens.check();
        let tapes = self.recordings.iter().filter_map(|recording| recording.tape.as_ref());
        for reel in tapes.map(|tape| &tape.reel).chain(self.recall.reels()) {
            let ring = &self.channels[reel.channel.0].ring;
            assert!(reel.from <= reel.cursor && reel.cursor <= ring.head());
            assert!(reel.end == Some(reel.cursor) || reel.cursor >= ring.tail(), "overtaken");
        }
    }
}
