//! Storage: the journal's bytes, disk jobs and durability.
//!
//! The facts of a turn go into one append. One sync confirms all waiting replies (group commit),
//! and only one sync is in flight. Audio alone is synced every `SYNC_MS`.
//!
//! A failed sync or journal write takes the storage *down*. The page cache is no longer trusted, so
//! open files are never written again. Facts gather in memory. Once a second the recorder tries a
//! new journal file with all facts since the last good sync. When that file is synced, the storage
//! is up again and the waiting replies leave. See `failover`.

mod failover;

use crate::job::{Completion, DiskError, FileId, Job, Ticket};
use crate::limits;
use crate::recorder::Output;
use crate::recorder::journal::checkpoints::CheckpointSchedule;
use crate::recorder::journal::unsynced::UnsyncedJournal;
use crate::store::day::{Day, Locator};
use crate::store::fact::{Fact, JournalEntry};
use crate::store::index::Index;
use crate::store::journal::{Checkpoint, JournalWriter};
use crate::store::layout;
use crate::store::sign::{BoxSigningKey, SignaturePurpose};
use crate::time::{MonoTime, Now};
use failover::{Outage, RecoveryAttempt};
use std::collections::{BTreeMap, VecDeque};

const SYNC_FAILED: &str = "a sync of the data directory failed";

/// Ticket of the sync between two days; no reply waits for it.
const DAY_END: Ticket = Ticket(0);

/// What a completion means for the storage.
#[derive(Debug, PartialEq, Eq)]
pub enum StorageEvent {
    /// No change.
    Nothing,
    /// A sync finished: more is durable.
    Durable,
    /// The storage went down for this reason, or is still down.
    Failed(DiskError, &'static str),
    /// The storage is up again, and everything noted before its last sync is durable.
    Back,
}

/// Where recovery found the end of the journal.
pub struct JournalEnd {
    pub writer: JournalWriter,
    /// Day of the newest file, and its length in bytes; `None` if the journal has no file.
    pub newest: Option<(String, u64)>,
}

/// The locked memory for chunks and facts.
#[derive(Clone, Copy, Debug)]
pub struct BlockBuffers {
    pub count: usize,
    /// Capacity of each buffer, in bytes.
    pub bytes: usize,
}

/// The journal, the disk jobs and the chunk buffers.
pub struct Storage {
    journal: JournalWriter,
    box_key: BoxSigningKey,
    file: FileId,
    /// The previous day's file, until the `DAY_END` sync has covered its end.
    rolled: Option<FileId>,
    day: String,
    /// Size of the journal file in bytes, without this turn's facts.
    file_bytes: u64,
    /// The sync that makes a new day's journal durable; then earlier days can be closed.
    closes: Option<Ticket>,
    last_file: u64,
    /// Encoded facts of this turn.
    facts: Vec<u8>,
    /// Free buffers; each fits a chunk and a trailer.
    blocks: Vec<Vec<u8>>,
    block_bytes: usize,
    block_count: usize,
    undurable: UnsyncedJournal,
    /// New locations of facts that were replayed into another file.
    moved: BTreeMap<Locator, Locator>,
    down: Option<Outage>,
    jobs: VecDeque<Job>,
    last_ticket: Ticket,
    in_flight: Option<(Ticket, MonoTime)>,
    durable_ticket: Ticket,
    /// Time of the first append that no sync was requested for.
    dirty_since: Option<MonoTime>,
    /// Whether a reply waits for the next sync.
    urgent: bool,
    checkpoints: CheckpointSchedule,
    /// The sync that makes the newest fact durable.
    last_fact_ticket: Ticket,
    is_closing: bool,
    pub full: bool,
    /// Whether a write failed with disk-full since the last free-space check.
    pub no_room: bool,
    /// Whether the disk is slow: half of the slack is used and no buffer is free. Reads and
    /// deletion pause.
    pub slow: bool,
    pub free_bytes: u64,
    pub total_bytes: u64,
    space_asked: Option<MonoTime>,
    /// Longest time from request to durable since the start, in microseconds.
    pub sync_us_max: u64,
    pub syncs: u64,
    pub appended_bytes: u64,
}

impl Storage {
    /// The key name in the recorder's signatures.
    #[must_use]
    pub fn box_name(&self) -> String {
        self.box_key.public_key().name().to_string()
    }

    /// The public key of the recorder's signatures.
    #[must_use]
    pub fn box_public_key(&self) -> [u8; 32] {
        self.box_key.public_key().to_bytes()
    }

    /// Signs with the recorder's key; returns the signature and the public key.
    #[must_use]
    pub fn sign(&self, purpose: SignaturePurpose, message: &[u8]) -> ([u8; 64], [u8; 32]) {
        (self.box_key.sign(purpose, message), self.box_key.public_key().to_bytes())
    }

    /// Opens the storage. The journal continues in its newest file if that is today's or later, or
    /// else in a new file. A clock that is behind does not reopen an earlier day.
    #[must_use]
    pub fn new(
        now: Now,
        journal_end: JournalEnd,
        box_key: BoxSigningKey,
        buffers: BlockBuffers,
    ) -> Storage {
        let JournalEnd { writer: mut journal, newest } = journal_end;
        let BlockBuffers { count: blocks, bytes: block_bytes } = buffers;
        let file = FileId(1);
        let mut jobs = VecDeque::with_capacity(256);
        let today = now.wall.utc_day();
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
                journal.begin_day(&today, &mut bytes);
                let length = bytes.len() as u64;
                let path = layout::journal_file(&today, journal.part());
                jobs.extend([Job::Create { file, path }, Job::Append { file, bytes }]);
                (today, length)
            }
        };
        Storage {
            undurable: UnsyncedJournal::new(journal.state()),
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
            in_flight: None,
            durable_ticket: Ticket(0),
            dirty_since: Some(MonoTime(0)),
            urgent: true,
            checkpoints: CheckpointSchedule::default(),
            last_fact_ticket: Ticket(0),
            is_closing: false,
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

    /// Returns true once after a new day's journal became durable.
    pub fn take_day_change(&mut self) -> bool {
        let durable = self.durable_ticket;
        self.closes.take_if(|ticket| *ticket <= durable).is_some()
    }

    /// Whether earlier days are final: the new day's journal is durable and the disk is up, so no
    /// later file replays their end.
    #[must_use]
    pub fn are_past_days_final(&self) -> bool {
        self.closes.is_none_or(|ticket| ticket <= self.durable_ticket) && self.down.is_none()
    }

    /// Appends a fact. Returns the ticket of the sync that makes it durable.
    pub fn append(&mut self, index: &mut Index, now: Now, fact: Fact) -> Ticket {
        assert!(!self.is_closing, "a fact after the last one");
        self.roll_day(now);
        self.checkpoints.on_append(&fact);
        let entry = JournalEntry { at: now.wall, fact };
        let place = self.next_locator();
        self.undurable.record_position(self.facts.len(), place);
        let sequence = self.journal.append(&entry, &mut self.facts);
        index.apply_at(sequence, place, &entry);
        self.mark_dirty(now.mono);
        self.urgent = true;
        self.last_fact_ticket = self.next_ticket();
        self.last_fact_ticket
    }

    /// The location of the next fact; provisional while the disk is down, see `moved`.
    fn next_locator(&self) -> Locator {
        let (day, pending) = (Day::parse(&self.day).unwrap_or_default(), self.facts.len());
        match self.down {
            None => {
                let at = self.file_bytes + pending as u64;
                Locator { day, part: self.journal.part(), at }
            }
            Some(_) => Locator {
                day,
                part: Locator::UNWRITTEN_PART,
                at: self.undurable.end_offset(pending),
            },
        }
    }

    /// The sync after which all facts so far are durable.
    #[must_use]
    pub fn last_fact_ticket(&self) -> Ticket {
        self.last_fact_ticket
    }

    /// Sequence of the next fact, which is the nonce of data sealed in it.
    #[must_use]
    pub fn next_sequence(&self) -> u64 {
        self.journal.state().sequence
    }

    /// The sync after which all jobs so far are durable.
    #[must_use]
    pub fn next_ticket(&self) -> Ticket {
        Ticket(self.last_ticket.0 + 1)
    }

    #[must_use]
    pub fn durable_ticket(&self) -> Ticket {
        self.durable_ticket
    }

    /// A new file id.
    pub fn next_file(&mut self) -> FileId {
        self.last_file += 1;
        FileId(self.last_file)
    }

    /// An empty buffer. `None`: the disk is slow; try again next turn.
    pub fn take_block(&mut self) -> Option<Vec<u8>> {
        let block = self.blocks.pop()?;
        assert!(block.is_empty());
        Some(block)
    }

    /// Memory of all chunk buffers, in bytes.
    #[must_use]
    pub fn block_bytes(&self) -> u64 {
        (self.block_count * self.block_bytes) as u64
    }

    #[must_use]
    pub fn has_block(&self) -> bool {
        !self.blocks.is_empty()
    }

    pub fn submit(&mut self, now: MonoTime, job: Job) {
        if let Job::Append { bytes, .. } = &job {
            self.appended_bytes += bytes.len() as u64;
        }
        if !matches!(job, Job::Read { .. } | Job::QueryFreeSpace | Job::TryCreate { .. }) {
            self.mark_dirty(now);
        }
        self.jobs.push_back(job);
    }

    /// Requests a sync because a reply waits for it.
    pub fn request_sync(&mut self) {
        self.urgent = true;
    }

    /// Requests the free space in this turn.
    pub fn request_space(&mut self) {
        self.space_asked = None;
    }

    fn mark_dirty(&mut self, now: MonoTime) {
        self.dirty_since.get_or_insert(now);
    }

    /// Starts a new journal file for a new day.
    fn roll_day(&mut self, now: Now) {
        let day = now.wall.utc_day();
        if day <= self.day || self.down.is_some() {
            return;
        }
        if self.checkpoints.has_unsigned() {
            self.append_checkpoint(now);
        }
        self.flush_facts();
        // The old file's end must be durable before the new file, or a power cut would leave a gap.
        self.jobs.push_back(Job::Sync { ticket: DAY_END });
        self.jobs.push_back(Job::Close { file: self.file });
        let (file, mut header) = (self.next_file(), Vec::new());
        self.journal.begin_day(&day, &mut header);
        self.file_bytes = header.len() as u64;
        let path = layout::journal_file(&day, self.journal.part());
        self.jobs.push_back(Job::Create { file, path });
        self.jobs.push_back(Job::Append { file, bytes: header });
        self.rolled = Some(self.file);
        self.closes = Some(self.next_ticket());
        (self.file, self.day) = (file, day);
    }

    /// Anchors a chain broken by damage: a checkpoint comes before anything else.
    pub fn anchor_chain(&mut self, now: Now) {
        self.append_checkpoint(now);
    }

    fn append_checkpoint(&mut self, now: Now) {
        let made = self.journal.append_checkpoint(&self.box_key, now.wall, &mut self.facts);
        self.mark_dirty(now.mono);
        self.checkpoints.on_checkpoint(now.mono, self.next_ticket(), made);
    }

    /// The newest durable checkpoint.
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

    /// Appends the turn's facts, requests a sync if one is due, and outputs all jobs.
    pub fn end_turn(&mut self, now: Now, outputs: &mut VecDeque<Output>) {
        if self.checkpoints.is_due(now.mono) {
            self.append_checkpoint(now);
        }
        self.flush_facts();
        self.submit_space_query(now.mono);
        let due = self.dirty_since.is_some_and(|since| now.mono.since_ms(since) >= limits::SYNC_MS);
        let free = self.in_flight.is_none() && self.rolled.is_none();
        if self.down.is_some() {
            self.attempt_recovery(now.mono);
        } else if free && self.dirty_since.is_some() && (due || self.urgent) {
            self.submit_sync(now.mono);
        }
        // Nothing of a new day starts before the end of the old one is durable.
        let day_end = |job: &Job| matches!(job, Job::Sync { ticket: DAY_END });
        let until = self.jobs.iter().position(day_end).map_or(0, |last| last + 1);
        let count = if self.rolled.is_some() { until } else { self.jobs.len() };
        outputs.extend(self.jobs.drain(..count).map(Output::Job));
    }

    fn submit_space_query(&mut self, now: MonoTime) {
        if self.space_asked.is_none_or(|at| now.since_ms(at) >= limits::SPACE_CHECK_MS) {
            self.space_asked = Some(now);
            // First job: the recorder must know the free space before it is ready.
            self.jobs.push_front(Job::QueryFreeSpace);
        }
    }

    fn submit_sync(&mut self, now: MonoTime) {
        self.last_ticket = self.next_ticket();
        self.in_flight = Some((self.last_ticket, now));
        self.jobs.push_back(Job::Sync { ticket: self.last_ticket });
        self.undurable.on_sync_requested(self.journal.state());
        (self.dirty_since, self.urgent) = (None, false);
    }

    /// Handles a completion that concerns the storage.
    pub fn handle_completion(&mut self, now: Now, done: Completion) -> StorageEvent {
        match done {
            Completion::Synced { ticket, result } => self.handle_sync(now.mono, ticket, result),
            Completion::Appended { file, bytes, result } => {
                self.release_block(bytes);
                self.handle_recovery_answer(now.mono, file, result, "the journal cannot be written")
            }
            Completion::Opened { file, result } => self.handle_recovery_answer(
                now.mono,
                file,
                result,
                "the journal's file cannot be opened",
            ),
            Completion::FreeSpace { free, total } => {
                (self.free_bytes, self.total_bytes) = (free, total);
                self.no_room = false;
                StorageEvent::Nothing
            }
            Completion::Read { .. }
            | Completion::Removed { .. }
            | Completion::Overwritten { .. }
            | Completion::Replaced { .. }
            | Completion::TrialCreated { .. } => StorageEvent::Nothing,
        }
    }

    fn handle_sync(
        &mut self,
        now: MonoTime,
        ticket: Ticket,
        result: Result<(), DiskError>,
    ) -> StorageEvent {
        if ticket == DAY_END {
            let failed = result.err().filter(|_| self.down.is_none());
            let came = failed
                .map_or(StorageEvent::Nothing, |error| self.begin_outage(now, error, SYNC_FAILED));
            self.rolled = None;
            return came;
        }
        let Some((asked, at)) = self.in_flight.take() else { return StorageEvent::Nothing };
        assert_eq!(asked, ticket, "syncs come back in order");
        let probe = match &mut self.down {
            None => None,
            Some(Outage { probe: None, .. }) => return StorageEvent::Nothing,
            Some(Outage { probe, .. }) => probe.take(),
        };
        let refused = probe.as_ref().and_then(|probe| probe.refused);
        match (result.err().or(refused), probe) {
            (None, probe) => {
                self.durable_ticket = ticket;
                self.checkpoints.on_sync(ticket);
                if probe.is_some() {
                    self.relocate_replayed();
                }
                self.undurable.on_sync();
                self.syncs += 1;
                self.sync_us_max = self.sync_us_max.max(now.since_us(at));
                let Some(probe) = probe else { return StorageEvent::Durable };
                self.resume_on(now, probe.file);
                StorageEvent::Back
            }
            (Some(error), None) => self.begin_outage(now, error, SYNC_FAILED),
            (Some(error), Some(RecoveryAttempt { file, path, .. })) => {
                self.jobs.push_back(Job::Close { file });
                self.jobs.push_back(Job::Remove { path });
                self.down = Some(Outage { next: now.after_ms(limits::DISK_RETRY_MS), probe: None });
                StorageEvent::Failed(error, "the disk still fails")
            }
        }
    }

    fn release_block(&mut self, mut bytes: Vec<u8>) {
        bytes.clear();
        if bytes.capacity() >= self.block_bytes && self.blocks.len() < self.block_count {
            self.blocks.push(bytes);
        }
    }

    /// When the next audio sync is due.
    #[must_use]
    pub fn next_sync(&self) -> Option<MonoTime> {
        let waits = self.down.is_some() || self.in_flight.is_some() || self.rolled.is_some();
        self.dirty_since.filter(|_| !waits).map(|since| since.after_ms(limits::SYNC_MS))
    }

    /// When facts are signed next.
    #[must_use]
    pub fn next_checkpoint(&self) -> Option<MonoTime> {
        self.checkpoints.next_deadline()
    }

    /// When the free space is read next.
    #[must_use]
    pub fn next_space_check(&self) -> Option<MonoTime> {
        self.space_asked.map(|at| at.after_ms(limits::SPACE_CHECK_MS))
    }

    /// Age of the sync in flight, in milliseconds.
    #[must_use]
    pub fn sync_age_ms(&self, now: MonoTime) -> u64 {
        self.in_flight.map_or(0, |(_, since)| now.since_ms(since))
    }

    /// Whether the last fact is appended; no fact may follow.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.is_closing
    }

    /// Appends the stop, once all files are closed. Called every turn; returns true when it is
    /// durable.
    pub fn close(&mut self, index: &mut Index, now: Now) -> bool {
        if !self.is_closing {
            self.append(index, now, Fact::BoxStopped);
            self.append_checkpoint(now);
            self.is_closing = true;
            return false;
        }
        let settled = self.in_flight.is_none() && self.dirty_since.is_none();
        self.facts.is_empty() && settled && self.down.is_none()
    }
}
