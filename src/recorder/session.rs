//! Sessions: the connected clients, their principals and their pending replies.
//!
//! Replies leave in command order, each once its sync is done and the client has room.
//! Notifications are never queued: a session only remembers *that* something changed. `command` and
//! `notify` write the texts.

pub(super) mod archive;
pub(super) mod command;
pub(super) mod fetch;
pub(super) mod fingerprint;
pub(super) mod hello;
pub mod library;
pub(super) mod listing;
pub(super) mod notify;
mod recheck;
mod removed_rows;
pub(super) mod response;
pub(super) mod sealed_facts;
pub(super) mod table;

use crate::calls::directory::AgentIndex;
use crate::id::{RecordingId, SessionId};
use crate::job::Ticket;
use crate::limits;
use crate::recorder::session::library::ReplyStream;
use crate::store::fact::{RecordReason, RecordReasons};
use crate::time::{MonoTime, WallTime};
use protocol::{AgentState, CaptureState, Kind};
use std::collections::VecDeque;
use std::net::IpAddr;

/// What the shell knows of a peer at connect.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    /// Kinds that the peer may claim in `hello`.
    pub kinds: Vec<Kind>,
    /// Address or `unix:UID`, for messages.
    pub from: String,
    /// Whether the peer may say hello for any user (`via=portal`).
    pub portal: bool,
}

/// The authenticated identity of a session.
#[derive(Clone, Debug)]
pub struct Principal {
    pub kind: Kind,
    /// Username, or the name that a machine client gave itself.
    pub user: String,
    pub agent: Option<AgentIndex>,
    pub machine: Option<String>,
    /// The domain that hello named.
    pub domain: Option<String>,
    /// The program's own name, with its start if it told one.
    pub client: Option<String>,
    /// Whether hello said `via=portal`.
    pub via: bool,
    /// A technician's PIN hash at hello.
    pub pin_hash: Option<String>,
}

/// A recording that a reply depends on, and the reasons that the command added to it.
pub type DurabilityDependency = (RecordingId, RecordReasons);

/// Ticket of a reply that waits for something other than a sync.
const NO_SYNC: Ticket = Ticket(u64::MAX);

/// A reply that waits for its sync.
#[derive(Debug)]
struct PendingReply {
    after: Ticket,
    bytes: Vec<u8>,
    /// When a blackout's receipt is replaced by `masked=yes`, if no sync came.
    give_up: Option<MonoTime>,
    /// The recording that the reply promises.
    keeps: Option<DurabilityDependency>,
}

/// One connection.
#[derive(Debug)]
pub struct Session {
    pub id: SessionId,
    pub peer: Peer,
    /// Client address; `None` for the unix socket and serial consoles.
    pub address: Option<IpAddr>,
    /// Whether the client connected over TLS.
    pub secure: bool,
    /// The machine named in the client's certificate.
    pub enrolled: Option<String>,
    /// The enrolment code of an announced request whose data block has not arrived.
    pub enrols_with: Option<zeroize::Zeroizing<String>>,
    /// The announced video segment whose data block has not arrived.
    pub piece: Option<crate::recorder::screen::SegmentHeader>,
    pub who: Option<Principal>,
    /// When its program started, or else said hello; then the number of its `hello`, over all
    /// sessions.
    pub started: (WallTime, u64),
    pub since: WallTime,
    pub opened: MonoTime,
    pub last_line: MonoTime,
    /// Silence after which the session is closed, in milliseconds.
    pub silent_ms: u64,
    pub refused_hellos: u8,
    /// Whether the last line was one that is allowed before hello.
    pub trying: bool,
    /// The principal that the session gets if the PIN is correct.
    pub claims: Option<Principal>,
    /// Whether a worker handles a request of the session, which accepts no line meanwhile.
    pub checking: bool,
    /// Bytes that the shell can still accept.
    pub room: usize,
    pub sent_state: Option<AgentState>,
    /// The last state sent to a screen capture client.
    pub sent_capture: Option<CaptureState>,
    /// Number of the last checkpoint sent.
    pub sent_checkpoint: u64,
    /// Whether the agent's state changed since the last one sent.
    pub state_changed: bool,
    pub stream: Option<ReplyStream>,
    /// The archived record that was looked up for the line to be retried.
    pub searched: Option<RecordingId>,
    /// Sequence of the next event to send, for `watch`.
    pub watch: Option<u64>,
    /// Whether to close the session once all replies are sent.
    pub closing: bool,
    /// Why the recorder closes the session: its last line.
    pub close_reason: Option<protocol::Refusal>,
    /// Whether the client sent `quit`: its departure raises no alarm.
    pub quit: bool,
    answers: VecDeque<PendingReply>,
}

impl Session {
    #[must_use]
    pub fn new(id: SessionId, peer: Peer, now: crate::time::Now) -> Session {
        let address = peer.from.parse().ok();
        Session {
            id,
            peer,
            address,
            secure: false,
            enrolled: None,
            enrols_with: None,
            piece: None,
            who: None,
            started: (now.wall, 0),
            since: now.wall,
            opened: now.mono,
            last_line: now.mono,
            silent_ms: limits::SESSION_IDLE_MS,
            refused_hellos: 0,
            trying: false,
            claims: None,
            checking: false,
            room: limits::OUTPUT_BYTES_MAX,
            sent_state: None,
            sent_capture: None,
            sent_checkpoint: 0,
            state_changed: false,
            stream: None,
            searched: None,
            watch: None,
            closing: false,
            close_reason: None,
            quit: false,
            answers: VecDeque::new(),
        }
    }

    #[must_use]
    pub fn kind(&self) -> Option<Kind> {
        self.who.as_ref().map(|who| who.kind)
    }

    /// The agent logged in by a session of kind agent.
    #[must_use]
    pub fn logged_in_agent(&self) -> Option<AgentIndex> {
        self.who.as_ref().filter(|who| who.kind == Kind::Agent).and_then(|who| who.agent)
    }

    /// The agent whose screen this session captures.
    #[must_use]
    pub fn captured_agent(&self) -> Option<AgentIndex> {
        self.who.as_ref().filter(|who| who.kind == Kind::Screen).and_then(|who| who.agent)
    }

    /// Whether the session accepts its next line.
    #[must_use]
    pub fn accepts_lines(&self) -> bool {
        !self.closing
            && !self.checking
            && self.stream.is_none()
            && self.answers.len() < limits::PENDING_REPLIES_MAX
            && self.room >= limits::REPLY_RESERVE_BYTES + self.has_waiting_reply()
    }

    fn has_waiting_reply(&self) -> usize {
        self.answers.iter().map(|answer| answer.bytes.len()).sum()
    }

    pub fn queue_reply(&mut self, after: Ticket, bytes: Vec<u8>, give_up: Option<MonoTime>) {
        assert!(self.answers.len() <= limits::PENDING_REPLIES_MAX, "more answers than commands");
        self.answers.push_back(PendingReply { after, bytes, give_up, keeps: None });
    }

    /// Makes the newest reply depend on this recording.
    pub fn bind_last(&mut self, promise: Option<DurabilityDependency>) {
        if let Some(last) = self.answers.back_mut() {
            last.keeps = promise;
        }
    }

    fn dependencies(&mut self, recording: RecordingId) -> impl Iterator<Item = &mut PendingReply> {
        let answers = self.answers.iter_mut();
        answers.filter(move |answer| answer.keeps.is_some_and(|(id, _)| id == recording))
    }

    /// Replaces pending replies that promise a failed recording by `refusal`. Unless `all`, only
    /// those that added a reason. Returns the reasons they promised.
    pub fn fail_dependent_replies(
        &mut self,
        recording: RecordingId,
        refusal: &[u8],
        all: bool,
    ) -> RecordReasons {
        let mut gone = RecordReasons::default();
        for answer in self.dependencies(recording) {
            let reasons = answer.keeps.map_or(RecordReasons::default(), |(_, reasons)| reasons);
            if all || !reasons.is_empty() {
                answer.bytes.clear();
                answer.bytes.extend_from_slice(refusal);
                (answer.after, answer.keeps) = (Ticket(0), None);
                gone.0 |= reasons.0;
            }
        }
        gone
    }

    /// Makes replies that promise recording `old` wait until part of `new` is durable. Unless
    /// `all`, only those that added a reason.
    pub fn rebind(&mut self, old: RecordingId, new: RecordingId, all: bool) {
        for answer in self.dependencies(old) {
            let reasons = answer.keeps.map_or(RecordReasons::default(), |(_, reasons)| reasons);
            if all || !reasons.is_empty() {
                answer.keeps = Some((new, reasons));
                answer.after = NO_SYNC;
            }
        }
    }

    /// Whether a pending reply promises this recording for this reason.
    #[must_use]
    pub fn has_unannounced(&self, recording: RecordingId, reason: RecordReason) -> bool {
        let promises = self.answers.iter().filter_map(|answer| answer.keeps);
        promises.into_iter().any(|(id, reasons)| id == recording && reasons.contains(reason))
    }

    /// Releases the replies that wait for this recording: its key is durable.
    pub fn mark_recording_durable(&mut self, recording: RecordingId, durable: Ticket) {
        for answer in self.dependencies(recording).filter(|answer| answer.after == NO_SYNC) {
            answer.after = durable;
        }
    }

    /// The next reply that may leave.
    pub fn next_reply(&mut self, durable: Ticket) -> Option<Vec<u8>> {
        let first = self.answers.front_mut()?;
        if first.after > durable {
            return None;
        }
        if first.bytes.len() > self.room {
            // A listing of many channels or calls is longer than what may wait for a client.
            if first.bytes.len() <= limits::REPLY_RESERVE_BYTES || self.room == 0 {
                return None;
            }
            let rest = first.bytes.split_off(std::mem::take(&mut self.room));
            return Some(std::mem::replace(&mut first.bytes, rest));
        }
        let bytes = self.answers.pop_front()?.bytes;
        self.room -= bytes.len();
        Some(bytes)
    }

    /// Whether any reply is pending.
    #[must_use]
    pub fn has_replies(&self) -> bool {
        !self.answers.is_empty()
    }

    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.answers.is_empty()
            && self.stream.is_none()
            && !self.checking
            && self.close_reason.is_none()
    }

    /// When the session is closed if no line comes. Hello is not awaited while a worker handles a
    /// request of the session; that is looked at again.
    #[must_use]
    pub fn next_deadline(&self, now: MonoTime) -> MonoTime {
        let silent = self.last_line.after_ms(self.silent_ms);
        let mute = self.opened.after_ms(limits::HELLO_TIMEOUT_MS);
        match (self.who.is_some() || self.closing, self.checking) {
            (true, _) => silent,
            (false, false) => silent.min(mute),
            (false, true) => silent.min(mute.max(now.after_ms(limits::CLOCK_CHECK_MS))),
        }
    }

    /// Earliest time at which a receipt times out.
    #[must_use]
    pub fn receipt_deadline(&self) -> Option<MonoTime> {
        self.answers.iter().filter_map(|answer| answer.give_up).min()
    }

    /// Replaces receipts that timed out by `refusal`; they no longer wait for a sync.
    pub fn expire_receipts(&mut self, now: MonoTime, durable: Ticket, refusal: &[u8]) {
        for answer in &mut self.answers {
            if answer.give_up.is_some_and(|at| at <= now) && answer.after > durable {
                answer.bytes.clear();
                answer.bytes.extend_from_slice(refusal);
                answer.after = durable;
            }
            answer.give_up = answer.give_up.filter(|at| *at > now);
        }
    }
}
