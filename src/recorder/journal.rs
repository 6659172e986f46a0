//! Journal and jobs: what the disk thread is asked, and what is durable.
//!
//! Facts of a turn go into one append; one sync answers everybody who waits (group commit), and
//! only one sync is under way. Audio alone is synced every `SYNC_MS`.
//!
//! A sync that fails, or a journal that refuses, takes the storage *down*: the page cache cannot be
//! trusted any more, so those files are never touched again. Facts gather in memory, and once a
//! second a new journal file is tried with everything that is not durable yet, told again from the
//! last good sync on. When that file is synced, the storage is up, and everybody is answered.
//!
//! `failover` has the verbs of that. Nothing here decides what is a fact, and nothing touches a
//! disk.

pub(super) mod checkpoints;
pub(super) mod expiry;
pub(super) mod retention;
pub(super) mod unsynced;

mod failover;

use super::Output;
use crate::job::{DiskError, Done, FileId, Job, Ticket};
use crate::limits;
use crate::recorder::journal::checkpoints::Checkpoints;
use crate::recorder::journal::unsynced::Undurable;
use crate::store::day::{Day, Locator};
use crate::store::fact::{Entry, Fact};
use crate::store::index::Index;
use crate::store::journal::{Checkpoint, JournalWriter};
use crate::store::layout;
use crate::store::sign::{BoxKey, Purpose};
use crate::time::{Mono, Now};
use failover::{Down, Probe};
use std::collections::{BTreeMap, VecDeque};

const SYNC_FAILED: &str = "a sync of the data directory failed";

/// The sync between two days, for which nobody waits.
const DAY_END: Ticket = Ticket(0);

/// What an answer of the disk means for the store.
#[derive(Debug, PartialEq, Eq)]
pub enum Came {
    /// Nothing.
    Nothing,
    /// A sync is done: more is durable.
    Durable,
    /// The storage went down, for this reason, or still is.
    Failed(DiskError, &'static str),
    /// It is up again, and everything noted before its last sync is durable.
    Back,
}

/// Journal, jobs and buffers.
pub struct Storage {
    journal: JournalWriter,
    box_key: BoxKey,
    file: FileId,
    /// The file of the day before, until `DAY_END` has covered its end.
    rolled: Option<FileId>,
    day: String,
    /// Bytes of the journal file so far, but for the facts of this turn.
    file_bytes: u64,
    /// The sync that makes a new day's journal durable: then the days before can be closed.
    closes: Option<Ticket>,
    last_file: u32,
    /// Facts of this turn.
    facts: Vec<u8>,
    /// Free buffers; each holds a chunk and a trailer.
    blocks: Vec<Vec<u8>>,
    block_bytes: usize,
    block_count: usize,
    undurable: Undurable,
    /// Facts that stand elsewhere since the disk came back.
    moved: BTreeMap<Locator, Locator>,
    down: Option<Down>,
    jobs: VecDeque<Job>,
    last_ticket: Ticket,
    under_way: Option<(Ticket, Mono)>,
    durable: Ticket,
    /// Something was appended since the last sync was asked, at the earliest then.
    dirty_since: Option<Mono>,
    /// Somebody waits for the next sync.
    urgent: bool,
    checkpoints: Checkpoints,
    /// The sync that makes the newest fact durable.
    settled: Ticket,
    closing: bool,
    pub full: bool,
    /// A write was refused for want of room since the last look at the disk.
    pub no_room: bool,
    /// Half of the slack is gone and no buffer comes back: reads and deletion pause.
    pub slow: bool,
    pub free_bytes: u64,
    pub total_bytes: u64,
    space_asked: Option<Mono>,
    /// The worst time from asking to durable since the start, in microseconds.
    pub sync_us_max: u64,
    pub syncs: u64,
    pub appended_bytes: u64,
}

impl Storage {
    /// The name that stands in the box's signatures.
    #[must_use]
    pub fn box_name(&self) -> String {
        self.box_key.public().name().to_string()
    }

    /// The public key to the box's signatures.
    #[must_use]
    pub fn box_public(&self) -> [u8; 32] {
        self.box_key.public().bytes()
    }

    /// Signs with the box's key; gives the signature and the public key.
    #[must_use]
    pub fn sign(&self, purpose: Purpose, message: &[u8]) -> ([u8; 64], [u8; 32]) {
        (self.box_key.sign(purpose, message), self.box_key.public().bytes())
    }

    /// `blocks` buffers of `block_bytes` each. The journal goes on in its newest file, if that is
    /// today's (its day, and its length), or in a new one; a clock that is behind does not bring
    /// an earlier day back.
    #[must_use]
    pub fn new(
        now: Now,
        (mut journal, newest): (JournalWriter, Option<(String, u64)>),
        box_key: BoxKey,
        blocks: usize,
        block_bytes: usize,
    ) -> Storage {
        let file = FileId(1);
        let mut jobs = VecDeque::with_capacity(256);
        let today = now.wall.day();
        let (before, newest) = (newest.is_some(), newest.filter(|(day, _)| *day >= today));
        let closes = (before && newest.is_none()).then_some(Ticket(1));
        let (day, file_bytes) = match newest {
            Some((day, bytes)) => {
                let path = layout::journal_file(&day, journal.part());
                jobs.push_back(Job::Reopen { file, path });
                (day, bytes)
            }
            None => {
                let mut bytes = Vec::new();
                journal.roll(&today, &mut bytes);
                let length = bytes.len() as u64;
                let path = layout::journal_file(&today, journal.part());
                jobs.extend([Job::Create { file, path }, Job::Append { file, bytes }]);
                (today, length)
            }
        };
        Storage {
            undurable: Undurable::new(journal.state()),
            moved: BTreeMap::new(),
            down: None,
            block_count: blocks,
            journal,
            box_key,
            file,
            rolled: None,
            day,
            file_bytes,
            closes,
            last_file: 1,
            facts: Vec::with_capacity(64 * 1024),
            blocks: (0..blocks).map(|_| Vec::with_capacity(block_bytes)).collect(),
            block_bytes,
            jobs,
            last_ticket: Ticket(0),
            under_way: None,
            durable: Ticket(0),
            dirty_since: Some(Mono(0)),
            urgent: true,
            checkpoints: Checkpoints::default(),
            settled: Ticket(0),
            closing: false,
            full: false,
            no_room: false,
            slow: false,
            free_bytes: 0,
            total_bytes: 0,
            space_asked: None,
            sync_us_max: 0,
            syncs: 0,
            appended_bytes: 0,
        }
    }

    /// The day of the journal file.
    #[must_use]
    pub fn day(&self) -> &str {
        &self.day
    }

    /// Whether a new day's journal has become durable, once.
    pub fn take_closes(&mut self) -> bool {
        let durable = self.durable;
        self.closes.take_if(|ticket| *ticket <= durable).is_some()
    }

    /// Whether nothing of the days before `day` can change any more: the new day's journal is
    /// durable, so no later file will tell the end of the one before again; and the disk is there.
    #[must_use]
    pub fn past_is_settled(&self) -> bool {
        self.closes.is_none_or(|ticket| ticket <= self.durable) && self.down.is_none()
    }

    /// Notes a fact. The ticket is the sync after which it is durable.
    pub fn note(&mut self, index: &mut Index, now: Now, fact: Fact) -> Ticket {
        assert!(!self.closing, "a fact after the last one");
        self.roll(now);
        self.checkpoints.noted(&fact);
        let entry = Entry { at: now.wall, fact };
        let place = self.place();
        self.undurable.placed(self.facts.len(), place);
        let sequence = self.journal.append(&entry, &mut self.facts);
        index.apply_at(sequence, place, &entry);
        self.touch(now.mono);
        self.urgent = true;
        self.settled = self.ticket();
        self.settled
    }

    /// Where the next fact will stand; nobody knows while the disk is down, see `moved`.
    fn place(&self) -> Locator {
        let (day, pending) = (Day::parse(&self.day).unwrap_or_default(), self.facts.len());
        match self.down {
            None => {
                let at = self.file_bytes + pending as u64;
                Locator { day, part: self.journal.part(), at }
            }
            Some(_) => Locator { day, part: Locator::NOWHERE, at: self.undurable.end(pending) },
        }
    }

    /// The sync after which every fact noted so far is durable.
    #[must_use]
    pub fn settled(&self) -> Ticket {
        self.settled
    }

    /// The number the next fact will have: the nonce of what is sealed in it.
    #[must_use]
    pub fn next_sequence(&self) -> u64 {
        self.journal.state().sequence
    }

    /// The sync after which everything asked so far is durable.
    #[must_use]
    pub fn ticket(&self) -> Ticket {
        Ticket(self.last_ticket.0 + 1)
    }

    #[must_use]
    pub fn durable(&self) -> Ticket {
        self.durable
    }

    /// A number for a new file.
    pub fn new_file(&mut self) -> FileId {
        self.last_file += 1;
        FileId(self.last_file)
    }

    /// A free buffer, empty. `None`: the disk is slow; try again next turn.
    pub fn take_block(&mut self) -> Option<Vec<u8>> {
        let block = self.blocks.pop()?;
        assert!(block.is_empty());
        Some(block)
    }

    #[must_use]
    pub fn has_block(&self) -> bool {
        !self.blocks.is_empty()
    }

    pub fn ask(&mut self, now: Mono, job: Job) {
        if let Job::Append { bytes, .. } = &job {
            self.appended_bytes += bytes.len() as u64;
        }
        if !matches!(job, Job::Read { .. } | Job::Space) {
            self.touch(now);
        }
        self.jobs.push_back(job);
    }

    /// Somebody waits for the next sync.
    pub fn urge(&mut self) {
        self.urgent = true;
    }

    /// Asks for the free space in this turn.
    pub fn ask_space(&mut self) {
        self.space_asked = None;
    }

    fn touch(&mut self, now: Mono) {
        self.dirty_since.get_or_insert(now);
    }

    /// A new day, a new file.
    fn roll(&mut self, now: Now) {
        let day = now.wall.day();
        if day <= self.day || self.down.is_some() {
            return;
        }
        if self.checkpoints.wanted() {
            self.checkpoint(now);
        }
        self.flush_facts();
        // A cut must not leave the new file without the end of the old one: that would be a gap.
        self.jobs.push_back(Job::Sync { ticket: DAY_END });
        self.jobs.push_back(Job::Close { file: self.file });
        let (file, mut header) = (self.new_file(), Vec::new());
        self.journal.roll(&day, &mut header);
        self.file_bytes = header.len() as u64;
        let path = layout::journal_file(&day, self.journal.part());
        self.jobs.push_back(Job::Create { file, path });
        self.jobs.push_back(Job::Append { file, bytes: header });
        self.rolled = Some(self.file);
        self.closes = Some(self.ticket());
        (self.file, self.day) = (file, day);
    }

    /// Anchors a chain that damage broke: a checkpoint before anything else.
    pub fn anchor(&mut self, now: Now) {
        self.checkpoint(now);
    }

    fn checkpoint(&mut self, now: Now) {
        let made = self.journal.checkpoint(&self.box_key, now.wall, &mut self.facts);
        self.touch(now.mono);
        self.checkpoints.made(now.mono, self.ticket(), made);
    }

    /// The newest checkpoint that is durable.
    #[must_use]
    pub fn newest_checkpoint(&self) -> Option<&Checkpoint> {
        self.checkpoints.newest()
    }

    fn flush_facts(&mut self) {
        if self.facts.is_empty() {
            return;
        }
        self.undurable.append(&self.facts);
        if self.down.is_some() {
            self.facts.clear();
            return;
        }
        let mut bytes = self.blocks.pop().unwrap_or_default();
        bytes.extend_from_slice(&self.facts);
        self.file_bytes += self.facts.len() as u64;
        self.facts.clear();
        self.appended_bytes += bytes.len() as u64;
        self.jobs.push_back(Job::Append { file: self.file, bytes });
    }

    /// Puts the turn's facts into one append, asks for a sync if one is due, and hands all out.
    pub fn end_turn(&mut self, now: Now, outputs: &mut VecDeque<Output>) {
        if self.checkpoints.due(now.mono) {
            self.checkpoint(now);
        }
        self.flush_facts();
        self.ask_for_space(now.mono);
        let due = self.dirty_since.is_some_and(|since| now.mono.since_ms(since) >= limits::SYNC_MS);
        let free = self.under_way.is_none() && self.rolled.is_none();
        if self.down.is_some() {
            self.probe(now.mono);
        } else if free && self.dirty_since.is_some() && (due || self.urgent) {
            self.sync(now.mono);
        }
        // Nothing of a new day is begun before the end of the old one is durable.
        let day_end = |job: &Job| matches!(job, Job::Sync { ticket: DAY_END });
        let until = self.jobs.iter().position(day_end).map_or(0, |last| last + 1);
        let count = if self.rolled.is_some() { until } else { self.jobs.len() };
        outputs.extend(self.jobs.drain(..count).map(Output::Job));
    }

    fn ask_for_space(&mut self, now: Mono) {
        if self.space_asked.is_none_or(|at| now.since_ms(at) >= 5000) {
            self.space_asked = Some(now);
            // Before everything else: a start knows how much is free before it is ready.
            self.jobs.push_front(Job::Space);
        }
    }

    fn sync(&mut self, now: Mono) {
        self.last_ticket = self.ticket();
        self.under_way = Some((self.last_ticket, now));
        self.jobs.push_back(Job::Sync { ticket: self.last_ticket });
        self.undurable.asked(self.journal.state());
        (self.dirty_since, self.urgent) = (None, false);
    }

    /// Takes an answer in that concerns the store itself.
    pub fn done(&mut self, now: Now, done: Done) -> Came {
        match done {
            Done::Synced { ticket, result } => self.synced(now.mono, ticket, result),
            Done::Appended { file, bytes, result } => {
                self.give_back(bytes);
                self.answered(now.mono, file, result, "the journal cannot be written")
            }
            Done::Opened { file, result } => {
                self.answered(now.mono, file, result, "the journal's file cannot be opened")
            }
            Done::Space { free, total } => {
                (self.free_bytes, self.total_bytes) = (free, total);
                self.no_room = false;
                Came::Nothing
            }
            Done::Read { .. } | Done::Removed { .. } => Came::Nothing,
        }
    }

    fn synced(&mut self, now: Mono, ticket: Ticket, result: Result<(), DiskError>) -> Came {
        if ticket == DAY_END {
            let failed = result.err().filter(|_| self.down.is_none());
            let came = failed.map_or(Came::Nothing, |error| self.fail(now, error, SYNC_FAILED));
            self.rolled = None;
            return came;
        }
        let Some((asked, at)) = self.under_way.take() else { return Came::Nothing };
        assert_eq!(asked, ticket, "syncs come back in order");
        let probe = match &mut self.down {
            None => None,
            Some(Down { probe: None, .. }) => return Came::Nothing,
            Some(Down { probe, .. }) => probe.take(),
        };
        let refused = probe.as_ref().and_then(|probe| probe.refused);
        match (result.err().or(refused), probe) {
            (None, probe) => {
                self.durable = ticket;
                self.checkpoints.synced(ticket);
                if probe.is_some() {
                    self.told_again();
                }
                self.undurable.synced();
                self.syncs += 1;
                self.sync_us_max = self.sync_us_max.max(now.since_us(at));
                let Some(probe) = probe else { return Came::Durable };
                self.come_back(now, probe.file);
                Came::Back
            }
            (Some(error), None) => self.fail(now, error, SYNC_FAILED),
            (Some(error), Some(Probe { file, path, .. })) => {
                self.jobs.push_back(Job::Close { file });
                self.jobs.push_back(Job::Remove { path });
                self.down = Some(Down { next: now.after_ms(limits::PROBE_MS), probe: None });
                Came::Failed(error, "the disk still fails")
            }
        }
    }

    fn give_back(&mut self, mut bytes: Vec<u8>) {
        bytes.clear();
        if bytes.capacity() >= self.block_bytes && self.blocks.len() < self.block_count {
            self.blocks.push(bytes);
        }
    }

    /// When the next sync of audio is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Mono> {
        if let Some(down) = &self.down {
            let idle = down.probe.is_none() && self.under_way.is_none();
            return idle.then_some(down.next);
        }
        if self.under_way.is_some() || self.rolled.is_some() {
            return None;
        }
        self.dirty_since.map(|since| since.after_ms(limits::SYNC_MS))
    }

    /// How long the sync under way has taken already, in milliseconds.
    #[must_use]
    pub fn waiting_ms(&self, now: Mono) -> u64 {
        self.under_way.map_or(0, |(_, since)| now.since_ms(since))
    }

    /// The last fact is noted: nothing may follow.
    #[must_use]
    pub fn closing(&self) -> bool {
        self.closing
    }

    /// Called every turn once everything is closed: notes the stop, and tells when it is durable.
    pub fn stopping_done(&mut self, now: Now, index: &mut Index) -> bool {
        if !self.closing {
            self.note(index, now, Fact::BoxStopped);
            self.checkpoint(now);
            self.closing = true;
            return false;
        }
        let settled = self.under_way.is_none() && self.dirty_since.is_none();
        self.facts.is_empty() && settled && self.down.is_none()
    }
}
