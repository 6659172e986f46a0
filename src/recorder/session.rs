//! Sessions: who is connected, what they may be, and which answers still wait.
//!
//! Answers leave in the order of the commands, each when the sync that makes it true is done and
//! the client has room. News is never queued: a session remembers *that* something changed. Which
//! words are said is decided elsewhere (`command`, `news`); nothing here touches a socket.

pub(super) mod archive;
pub(super) mod command;
pub(super) mod fetch;
pub(super) mod fingerprint;
pub(super) mod hello;
pub mod library;
pub(super) mod listing;
pub(super) mod notify;

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

/// What the shell knows of a peer when it connects.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    /// What it may say hello as.
    pub kinds: Vec<Kind>,
    /// For people: an address, or `unix:UID`.
    pub from: String,
    /// May say hello for any user (`via=portal`).
    pub portal: bool,
}

/// Who said hello.
#[derive(Clone, Debug)]
pub struct Principal {
    pub kind: Kind,
    /// Username, or the name a machine gave itself.
    pub user: String,
    pub agent: Option<AgentIndex>,
    pub machine: Option<String>,
}

/// That a recording is kept, and for what new reasons.
pub type DurabilityDependency = (RecordingId, RecordReasons);

/// No sync comes so late: the answer waits for something else.
const NO_SYNC: Ticket = Ticket(u64::MAX);

/// One answer, waiting.
#[derive(Debug)]
struct PendingReply {
    after: Ticket,
    bytes: Vec<u8>,
    /// When a blackout's receipt is given up for `masked=yes`.
    give_up: Option<MonoTime>,
    /// It promises this recording.
    keeps: Option<DurabilityDependency>,
}

/// One connection.
#[derive(Debug)]
pub struct Session {
    pub id: SessionId,
    pub peer: Peer,
    /// Its address; none over the unix socket and a serial console.
    pub address: Option<IpAddr>,
    /// It came in over TLS.
    pub secure: bool,
    /// The machine that its certificate is for.
    pub enrolled: Option<String>,
    /// The code it wants a certificate for; the request is still to come.
    pub enrols_with: Option<zeroize::Zeroizing<String>>,
    /// The piece of video whose block is to come.
    pub piece: Option<crate::recorder::screen::SegmentHeader>,
    pub who: Option<Principal>,
    pub since: WallTime,
    pub opened: MonoTime,
    pub last_line: MonoTime,
    /// Silent for so long, it is closed.
    pub silent_ms: u64,
    pub refused_hellos: u8,
    /// Its last line was one of those that may come before hello.
    pub trying: bool,
    /// Who it will be when the PIN is right.
    pub claims: Option<Principal>,
    /// A PIN is being checked; no line is taken meanwhile.
    pub checking: bool,
    /// Bytes that may still be handed to the shell.
    pub room: usize,
    pub sent_state: Option<AgentState>,
    /// The same, of a screen capture client.
    pub sent_capture: Option<CaptureState>,
    /// Number of the checkpoint it was told last.
    pub sent_checkpoint: u64,
    /// Something about its agent changed since.
    pub stale: bool,
    pub stream: Option<ReplyStream>,
    /// The record that was looked for on behalf of the line to come.
    pub searched: Option<RecordingId>,
    /// Next event to be told, for `watch`.
    pub watch: Option<u64>,
    /// Closed as soon as everything has been said.
    pub closing: bool,
    /// It took its leave: nobody has to be told that it is gone.
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
            stale: false,
            stream: None,
            searched: None,
            watch: None,
            closing: false,
            quit: false,
            answers: VecDeque::new(),
        }
    }

    #[must_use]
    pub fn kind(&self) -> Option<Kind> {
        self.who.as_ref().map(|who| who.kind)
    }

    /// The agent who is logged in here, as an agent.
    #[must_use]
    pub fn logged_in_agent(&self) -> Option<AgentIndex> {
        self.who.as_ref().filter(|who| who.kind == Kind::Agent).and_then(|who| who.agent)
    }

    /// The agent whose screen it captures.
    #[must_use]
    pub fn captured_agent(&self) -> Option<AgentIndex> {
        self.who.as_ref().filter(|who| who.kind == Kind::Screen).and_then(|who| who.agent)
    }

    /// Whether its next line may be taken.
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

    /// The newest answer is only true if this recording is.
    pub fn bind_last(&mut self, promise: Option<DurabilityDependency>) {
        if let Some(last) = self.answers.back_mut() {
            last.keeps = promise;
        }
    }

    fn dependencies(&mut self, recording: RecordingId) -> impl Iterator<Item = &mut PendingReply> {
        let answers = self.answers.iter_mut();
        answers.filter(move |answer| answer.keeps.is_some_and(|(id, _)| id == recording))
    }

    /// A recording could not be kept: what promised it and has not left yet becomes `refusal`;
    /// unless `all`, only what began it. Returns for which reasons it was promised.
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

    /// A recording goes on in another, or in the same: what promised the one waits until something
    /// of the other is durable; unless `all`, only what gave it a reason.
    pub fn rebind(&mut self, (old, new): (RecordingId, RecordingId), all: bool) {
        for answer in self.dependencies(old) {
            let reasons = answer.keeps.map_or(RecordReasons::default(), |(_, reasons)| reasons);
            if all || !reasons.is_empty() {
                answer.keeps = Some((new, reasons));
                answer.after = NO_SYNC;
            }
        }
    }

    /// Whether a recording is promised for this reason, and nobody has heard it yet.
    #[must_use]
    pub fn has_unannounced(&self, recording: RecordingId, reason: RecordReason) -> bool {
        let promises = self.answers.iter().filter_map(|answer| answer.keeps);
        promises.into_iter().any(|(id, reasons)| id == recording && reasons.contains(reason))
    }

    /// Something of this recording is durable now: its key, at least.
    pub fn mark_recording_durable(&mut self, recording: RecordingId, durable: Ticket) {
        for answer in self.dependencies(recording).filter(|answer| answer.after == NO_SYNC) {
            answer.after = durable;
        }
    }

    /// The next answer that may leave.
    pub fn next_reply(&mut self, durable: Ticket) -> Option<Vec<u8>> {
        let first = self.answers.front()?;
        if first.after > durable || first.bytes.len() > self.room {
            return None;
        }
        let bytes = self.answers.pop_front()?.bytes;
        self.room -= bytes.len();
        Some(bytes)
    }

    /// Whether something was said that has not left yet.
    #[must_use]
    pub fn has_replies(&self) -> bool {
        !self.answers.is_empty()
    }

    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.answers.is_empty() && self.stream.is_none() && !self.checking
    }

    /// Earliest moment at which a receipt is given up.
    #[must_use]
    pub fn receipt_deadline(&self) -> Option<MonoTime> {
        self.answers.iter().filter_map(|answer| answer.give_up).min()
    }

    /// Replaces receipts that waited too long by `refusal`; they no longer wait for a sync.
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

/// All connections, by id: each is looked up several times a line.
#[derive(Debug, Default)]
pub struct Sessions {
    sessions: Vec<Session>,
}

impl Sessions {
    pub fn push(&mut self, session: Session) {
        // Mostly the last: who shook hands for longer than others came before them.
        assert!(self.get(session.id).is_none(), "an id is given once");
        let place = self.sessions.partition_point(|other| other.id.0 < session.id.0);
        self.sessions.insert(place, session);
    }

    #[must_use]
    pub fn get(&self, id: SessionId) -> Option<&Session> {
        self.index_of(id).map(|index| &self.sessions[index])
    }

    #[must_use]
    pub fn get_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.index_of(id).map(|index| &mut self.sessions[index])
    }

    pub fn remove(&mut self, id: SessionId) -> Option<Session> {
        let index = self.index_of(id)?;
        Some(self.sessions.remove(index))
    }

    fn index_of(&self, id: SessionId) -> Option<usize> {
        self.sessions.binary_search_by_key(&id.0, |session| session.id.0).ok()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Session> {
        self.sessions.iter()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Session> {
        self.sessions.iter_mut()
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// The `index`-th of them.
    #[must_use]
    pub fn id_at(&self, index: usize) -> SessionId {
        self.sessions[index].id
    }
}
