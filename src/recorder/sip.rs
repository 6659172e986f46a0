//! Calls that recording clients bring by SIPREC: servers, sessions, slots.
//!
//! Each board of kind `sip` has a `siprec::Server`, which speaks SIP and knows nothing of calls. A
//! session that it offers gets a free slot of the board, and thereby a channel. The session then is
//! a call like any other: schedules, masks and records need not know where it came from.
//!
//! The shell passes messages in, sends what comes out, and does to the slots of the RTP board what
//! `SlotCommand`s say. When a session ends, the slot is closed first, so that audio that has
//! arrived is still part of the call; then the call ends. `offers` answers the clients, `restore`
//! goes on after a restart, `watch` looks for silent legs, `listing` serves technicians.

pub(super) mod facts;
pub(super) mod legs;
pub(super) mod listing;
mod offers;
pub(super) mod restore;
mod stored;
mod watch;

pub use legs::{LegSettings, leg_port};
pub use watch::LegReport;

use super::{Input, Output, Recorder, Timer};
use crate::alarm::AlarmCode;
use crate::audio::channel::ChannelIndex;
use crate::config::{Config, RtpCodecKind, SipSettings, SrtpMode, WhenDown};
use crate::store::fact::{CallNumber, RecordingEnd};
use crate::time::{MonoTime, Now, WallTime};
use facts::SessionFacts;
use legs::{LEGS_MAX, Legs, MediaPolicy};
use siprec::codec::Codec;
use siprec::metadata::{Document, Metadata};
use siprec::offer::{Offer, SrtpPolicy};
use siprec::{Availability, DialogSnapshot, EndReason, Event, Peer, Server, SessionKey, Settings};
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;
use watch::LegWatch;

/// What a recording client is asked to wait before it tries a full board again, in seconds. Calls
/// end all the time.
const FULL_RETRY_S: u32 = 5;

/// The same while the box stops, or cannot store.
const DOWN_RETRY_S: u32 = 30;

/// New sessions that one recording client may bring in a second: what the largest site of 2,048
/// calls of 20 s each needs.
const INVITES_PER_SECOND: u32 = 100;

/// Without a refresh of the session and without RTP for this time, a session is over, in ms.
const INTERVAL_SILENCE_MS: u64 = 30_000;

/// What the shell does to a slot of an RTP board.
pub enum SlotCommand {
    /// Open the slot with these legs.
    Open { board: usize, slot: usize, legs: [Option<LegSettings>; LEGS_MAX] },
    /// Change the legs of an open slot.
    Change { board: usize, slot: usize, legs: [Option<LegSettings>; LEGS_MAX] },
    /// Close the slot, pass in the audio that has arrived, then `Input::SlotClosed`.
    Close { board: usize, slot: usize },
}

/// Legs name addresses and keys, so they are not shown.
impl std::fmt::Debug for SlotCommand {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (word, board, slot) = match self {
            SlotCommand::Open { board, slot, .. } => ("open", board, slot),
            SlotCommand::Change { board, slot, .. } => ("change", board, slot),
            SlotCommand::Close { board, slot } => ("close", board, slot),
        };
        write!(out, "SlotCommand({word} slot {slot} of board {board})")
    }
}

/// A recording session that is recorded, or a copy of one.
pub(super) struct SipSession {
    pub slot: usize,
    /// The call; `None` for the copy of a session that is recorded already.
    pub call: Option<CallNumber>,
    pub peer: Peer,
    pub since: WallTime,
    pub legs: Legs,
    pub offer: Offer,
    pub metadata: Option<Metadata>,
    pub facts: SessionFacts,
    /// The newest metadata document.
    pub document: Option<Document>,
    pub snapshot: Option<Box<DialogSnapshot>>,
    pub watch: LegWatch,
}

/// A call whose slot the shell is asked to close.
struct ClosingCall {
    call: CallNumber,
    end: RecordingEnd,
    why: &'static str,
}

/// The SIPREC server of one board.
pub(super) struct SipBoard {
    /// Index in the configuration.
    pub board: usize,
    pub server: Server,
    codecs: Vec<Codec>,
    srtp: SrtpPolicy,
    first_port: u16,
    /// Slots without a session, the one that is free for longest first: packets of a call that has
    /// just ended may still come.
    free: VecDeque<usize>,
    closing: BTreeMap<usize, ClosingCall>,
    /// Slots whose channel still has audio of the last call.
    draining: Vec<usize>,
    pub sessions: BTreeMap<SessionKey, SipSession>,
    by_slot: BTreeMap<usize, SessionKey>,
    by_call: BTreeMap<CallNumber, SessionKey>,
    availability: Availability,
    pub counters: SipCounters,
    next_problem_log: MonoTime,
    /// The sums over the legs of sessions that have ended.
    pub ended_legs: LegReport,
}

/// What happened since the start.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SipCounters {
    pub sessions: u64,
    pub copies: u64,
    pub refused: u64,
    pub digits: u64,
    pub problems: u64,
    /// Messages and connections of addresses that may not send.
    pub strangers: u64,
}

impl SipBoard {
    fn new(index: usize, sip: &SipSettings, seed: &[u8; 32]) -> SipBoard {
        let codecs: Vec<Codec> = sip.codecs.iter().map(|codec| to_codec(*codec)).collect();
        let srtp = match sip.srtp {
            SrtpMode::Off => SrtpPolicy::Off,
            SrtpMode::Offered => SrtpPolicy::Offered,
            SrtpMode::Required => SrtpPolicy::Required,
        };
        let settings = Settings {
            sessions_max: usize::from(sip.calls),
            invites_per_second: INVITES_PER_SECOND,
            codecs: codecs.clone(),
            srtp,
            server_name: concat!("hushbox/", env!("CARGO_PKG_VERSION")).to_string(),
            contact_address: sip.address,
        };
        // One seed for all boards: what they derive from it must differ.
        let mut hasher = blake3::Hasher::new_keyed(seed);
        hasher.update(&(index as u64).to_le_bytes());
        SipBoard {
            board: index,
            server: Server::new(settings, *hasher.finalize().as_bytes()),
            codecs,
            srtp,
            first_port: sip.ports.0,
            free: (0..usize::from(sip.calls)).collect(),
            closing: BTreeMap::new(),
            draining: Vec::new(),
            sessions: BTreeMap::new(),
            by_slot: BTreeMap::new(),
            by_call: BTreeMap::new(),
            availability: Availability::Ready,
            counters: SipCounters::default(),
            next_problem_log: MonoTime(0),
            ended_legs: LegReport::default(),
        }
    }

    fn policy(&self) -> MediaPolicy<'_> {
        MediaPolicy { codecs: &self.codecs, srtp: self.srtp }
    }

    fn insert_session(&mut self, key: SessionKey, session: SipSession) {
        self.by_slot.insert(session.slot, key);
        self.by_call.extend(session.call.map(|call| (call, key)));
        self.sessions.insert(key, session);
    }

    fn remove_session(&mut self, key: SessionKey) -> Option<SipSession> {
        let session = self.sessions.remove(&key)?;
        self.by_slot.remove(&session.slot);
        session.call.map(|call| self.by_call.remove(&call));
        Some(session)
    }

    /// The session of a call.
    pub fn session_of_call(&self, call: CallNumber) -> Option<&SipSession> {
        self.sessions.get(self.by_call.get(&call)?)
    }

    pub fn slots_free(&self) -> usize {
        self.free.len()
    }
}

fn to_codec(kind: RtpCodecKind) -> Codec {
    match kind {
        RtpCodecKind::Pcmu => Codec::Pcmu,
        RtpCodecKind::Pcma => Codec::Pcma,
        RtpCodecKind::Opus => Codec::Opus,
        RtpCodecKind::G722 => Codec::G722,
        RtpCodecKind::G729 => Codec::G729,
    }
}

/// The servers of all `sip` boards. The seed must be fresh at each start.
pub(super) fn make_boards(config: &Config, seed: &[u8; 32]) -> Vec<SipBoard> {
    let boards = config.boards.iter().enumerate();
    let sip = boards.filter_map(|(index, board)| Some((index, board.sip()?)));
    sip.map(|(index, sip)| SipBoard::new(index, sip, seed)).collect()
}

/// The time as the server counts it.
fn server_time(now: MonoTime) -> Duration {
    Duration::from_micros(now.0)
}

impl Recorder {
    /// Handles what the shell reports about SIP and slots.
    pub(super) fn handle_sip_input(&mut self, now: Now, input: Input<'_>) {
        match input {
            Input::SipMessage { board, peer, bytes } => {
                self.handle_sip_message(now, board, &peer, bytes);
            }
            Input::SipConnectionClosed { board, connection } => {
                self.handle_sip_connection_closed(board, connection);
            }
            Input::SipStranger { board, from } => self.report_stranger(now, board, from),
            Input::SlotClosed { board, slot } => self.handle_slot_closed(now, board, slot),
            Input::SlotFailed { board, slot, why } => {
                self.handle_slot_failed(now, board, slot, &why);
            }
            Input::SlotReport { board, slot, legs } => {
                self.handle_slot_report(now, (board, slot), legs);
            }
            _ => {}
        }
    }

    /// One alarm for each board: strangers may be many, and their addresses forged.
    fn report_stranger(&mut self, now: Now, board: usize, from: IpAddr) {
        let Some(index) = self.sip_index(board) else { return };
        self.sip[index].counters.strangers += 1;
        let name = self.config.boards[board].name.clone();
        let text = format!("{from} sent SIP to board {name}, but is not in its `peers`");
        self.journal.raise_alarm(now, AlarmCode::SipStranger, &name, text);
    }

    /// Whether a recording client with this certificate may bring calls over TLS: a machine that is
    /// enrolled as a call feed, and not revoked.
    #[must_use]
    pub fn admits_recording_client(&self, certificate: &[u8; 32]) -> bool {
        let machine = self.journal.index.enrolments().for_certificate(certificate);
        let cti = protocol::Kind::Cti.as_str();
        machine.is_some_and(|machine| machine.kinds.iter().any(|kind| kind == cti))
    }

    fn sip_index(&self, board: usize) -> Option<usize> {
        self.sip.iter().position(|sip| sip.board == board)
    }

    /// Takes one SIP message. After the last fact none is taken: the client repeats it, and the
    /// next start answers.
    pub(super) fn handle_sip_message(&mut self, now: Now, board: usize, peer: &Peer, bytes: &[u8]) {
        let Some(index) = self.sip_index(board) else { return };
        if self.journal.storage.is_closing() {
            return;
        }
        self.update_availability(now, index);
        self.sip[index].server.handle_message(server_time(now.mono), peer, bytes);
        self.handle_sip_events(now, index);
    }

    pub(super) fn handle_sip_connection_closed(&mut self, board: usize, connection: u64) {
        if let Some(index) = self.sip_index(board) {
            self.sip[index].server.handle_closed(connection);
        }
    }

    /// Serves the deadlines of the servers, frees slots, and sends what waits.
    pub(super) fn update_sip(&mut self, now: Now) {
        self.timers.take_due(Timer::Sip, now.mono);
        let mut next: Option<MonoTime> = None;
        for index in 0..self.sip.len() {
            if !self.journal.storage.is_closing() {
                self.update_availability(now, index);
                let time = server_time(now.mono);
                if self.sip[index].server.poll_timeout().is_some_and(|at| at <= time) {
                    self.sip[index].server.handle_timeout(time);
                    self.handle_sip_events(now, index);
                }
                self.collect_free_slots(index);
            }
            let sip = &mut self.sip[index];
            while let Some(transmit) = sip.server.poll_transmit() {
                self.outputs.push_back(Output::SipSend { board: sip.board, transmit });
            }
            let at = sip.server.poll_timeout();
            let at = at.map(|at| MonoTime(u64::try_from(at.as_micros()).unwrap_or(u64::MAX)));
            next = [next, at].into_iter().flatten().min();
        }
        let next = next.filter(|_| !self.journal.storage.is_closing());
        self.timers.set(Timer::Sip, next.map(|at| at.max(now.mono.after_ms(1))));
    }

    /// Why the board takes no new session, and how long a client should wait.
    fn sip_unavailability(&self, index: usize) -> Option<(String, u32)> {
        let sip = &self.sip[index];
        let board = self.config.boards.get(sip.board)?;
        let storage = &self.journal.storage;
        let refuses = board.sip().is_some_and(|sip| sip.when_down == WhenDown::Refuse);
        if self.admin.is_stopping() {
            Some(("the box stops".to_string(), DOWN_RETRY_S))
        } else if let Some(trouble) = &self.boards[sip.board] {
            Some((format!("its RTP ports do not work: {trouble}"), DOWN_RETRY_S))
        } else if sip.free.is_empty() {
            let slots = board.channels.len();
            Some((format!("all its {slots} calls are in use (`calls`)"), FULL_RETRY_S))
        } else if self.calls.is_full() {
            let most = crate::limits::CALLS_MAX;
            Some((format!("the box knows {most} calls"), FULL_RETRY_S))
        } else if self.need_memory().is_err() {
            let text = "the disk is down, and the memory for what waits is full";
            Some((text.to_string(), DOWN_RETRY_S))
        } else if refuses && (storage.is_down() || storage.full || storage.no_room) {
            let text = "the disk is down or full (`when_down = \"refuse\"`)";
            Some((text.to_string(), DOWN_RETRY_S))
        } else {
            None
        }
    }

    /// Tells the server what a new session would get.
    fn update_availability(&mut self, now: Now, index: usize) {
        let why = self.sip_unavailability(index);
        let wanted = match &why {
            Some((_, retry_after_s)) => Availability::Unavailable { retry_after_s: *retry_after_s },
            None => Availability::Ready,
        };
        let sip = &mut self.sip[index];
        if sip.availability == wanted {
            return;
        }
        sip.availability = wanted;
        sip.server.set_availability(wanted);
        let name = self.config.boards[sip.board].name.clone();
        match why.filter(|_| !self.admin.is_stopping()) {
            Some((why, _)) => {
                let text = format!("board {name} refuses new calls (503): {why}");
                self.journal.raise_alarm(now, AlarmCode::SipRefused, &name, text);
            }
            None => self.journal.clear_alarm(now, AlarmCode::SipRefused, &name),
        }
    }

    fn handle_sip_events(&mut self, now: Now, index: usize) {
        while let Some(event) = self.sip[index].server.poll_event() {
            match event {
                Event::Offered { session, peer, offer, metadata } => {
                    self.take_offer(now, (index, session), peer, (offer, metadata));
                }
                Event::Changed { session, offer, metadata } => {
                    self.change_sip_session(now, (index, session), offer, metadata);
                }
                Event::Confirmed { .. } => {}
                Event::SnapshotChanged { session, snapshot } => {
                    self.note_dialog(now, (index, session), snapshot);
                }
                Event::Digit { session } => self.note_signalled_digit(now, (index, session)),
                Event::IntervalExpired { session } => {
                    self.check_expired_session(now, (index, session));
                }
                Event::Ended { session, reason } => {
                    self.finish_sip_session(now, (index, session), reason);
                }
                Event::Problem { peer, problem, .. } => {
                    let text = format!("SIP from {}: {problem}", peer.remote.ip());
                    self.raise_sip_problem(now, index, text);
                }
            }
        }
        self.timers.advance(Timer::Sip, now.mono);
    }

    /// Raises one alarm for each board, and writes at most one line a second to the log.
    fn raise_sip_problem(&mut self, now: Now, index: usize, text: String) {
        let sip = &mut self.sip[index];
        sip.counters.problems += 1;
        if now.mono >= sip.next_problem_log {
            sip.next_problem_log = now.mono.after_ms(crate::limits::FEED_LOG_MS);
            log::warn!("{text}");
        }
        let name = self.config.boards[sip.board].name.clone();
        self.journal.raise_alarm(now, AlarmCode::SipProblem, &name, text);
    }

    /// A digit that the client told by INFO, somewhere in what the call has just heard.
    fn note_signalled_digit(&mut self, now: Now, (index, key): (usize, SessionKey)) {
        self.sip[index].counters.digits += 1;
        let sip = &self.sip[index];
        let Some(session) = sip.sessions.get(&key).filter(|session| session.call.is_some()) else {
            return;
        };
        let Some(channel) = self.slot_channel(sip.board, session.slot) else { return };
        let head = self.channels[channel.0].head();
        self.note_digit(now, channel, head, 0);
    }

    fn slot_channel(&self, board: usize, slot: usize) -> Option<ChannelIndex> {
        self.first_channel(board).map(|first| ChannelIndex(first.0 + slot))
    }

    /// The session interval ran out. RTP shows that the session goes on.
    fn check_expired_session(&mut self, now: Now, (index, key): (usize, SessionKey)) {
        let Some(session) = self.sip[index].sessions.get(&key) else { return };
        if session.watch.was_heard_within(now.mono, INTERVAL_SILENCE_MS) {
            return;
        }
        log::warn!(
            "a recording session of {} was not refreshed and is silent",
            session.peer.remote
        );
        self.sip[index].server.end_session(server_time(now.mono), key);
    }

    /// Ends a session: its slot is closed first, then its call ends.
    fn finish_sip_session(
        &mut self,
        now: Now,
        (index, key): (usize, SessionKey),
        reason: EndReason,
    ) {
        let sip = &mut self.sip[index];
        let Some(session) = sip.remove_session(key) else { return };
        for report in session.watch.reports.iter().flatten() {
            sip.ended_legs.add(report);
        }
        let (board, slot) = (sip.board, session.slot);
        let Some(call) = session.call else {
            sip.free.push_back(slot);
            return;
        };
        let (end, why) = match reason {
            EndReason::Bye | EndReason::Cancelled => (RecordingEnd::CallEnd, "stop"),
            EndReason::NotAcknowledged | EndReason::NotAnswered => {
                (RecordingEnd::CallEnd, "not-acknowledged")
            }
            EndReason::Refused => (RecordingEnd::CallEnd, "refused"),
            EndReason::EndedHere => (RecordingEnd::Stale, "stale"),
        };
        sip.closing.insert(slot, ClosingCall { call, end, why });
        self.clear_leg_alarms(now, call);
        self.outputs.push_back(Output::Slot(SlotCommand::Close { board, slot }));
    }

    /// The shell has closed a slot; all of its audio is in the ring.
    pub(super) fn handle_slot_closed(&mut self, now: Now, board: usize, slot: usize) {
        let Some(index) = self.sip_index(board) else { return };
        let Some(closing) = self.sip[index].closing.remove(&slot) else { return };
        let is_live = self.calls.get(closing.call).is_some_and(|call| call.is_live());
        if is_live && !self.journal.storage.is_closing() {
            self.call_end(now, closing.call, closing.end, closing.why);
        }
        if let Some(channel) = self.slot_channel(board, slot) {
            self.release_channel(channel);
        }
        self.sip[index].draining.push(slot);
        self.record_copies(now, index);
        self.timers.advance(Timer::Sip, now.mono);
    }

    /// The board could not open or change a slot: the session cannot be recorded.
    pub(super) fn handle_slot_failed(&mut self, now: Now, board: usize, slot: usize, why: &str) {
        let Some(index) = self.sip_index(board) else { return };
        let Some(key) = self.sip[index].by_slot.get(&slot).copied() else { return };
        let Some(session) = self.sip[index].sessions.get(&key) else { return };
        let (peer, name) = (session.peer, &self.config.boards[board].name);
        let text = format!("board {name} cannot record a call of {}: {why}", peer.remote.ip());
        self.raise_sip_problem(now, index, text);
        self.sip[index].server.end_session(server_time(now.mono), key);
        self.handle_sip_events(now, index);
    }

    fn collect_free_slots(&mut self, index: usize) {
        let Some(first) = self.first_channel(self.sip[index].board) else { return };
        let mut position = 0;
        while let Some(slot) = self.sip[index].draining.get(position).copied() {
            if self.is_channel_free(ChannelIndex(first.0 + slot)) {
                self.sip[index].draining.swap_remove(position);
                self.sip[index].free.push_back(slot);
            } else {
                position += 1;
            }
        }
    }

    /// Ends the sessions whose calls the recorder has ended: stale, too long, or by the feed.
    pub(super) fn end_orphaned_sessions(&mut self, now: Now) {
        for index in 0..self.sip.len() {
            let calls = &self.calls;
            let is_over = |call: &CallNumber| !calls.get(*call).is_some_and(|c| c.is_live());
            let sip = &self.sip[index];
            let over = sip.by_call.iter().filter(|(call, _)| is_over(call)).map(|(_, key)| *key);
            for key in over.collect::<Vec<_>>() {
                self.sip[index].server.end_session(server_time(now.mono), key);
                self.handle_sip_events(now, index);
            }
        }
    }
}
