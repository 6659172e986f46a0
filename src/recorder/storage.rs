//! Journal and jobs: what the disk thread is asked, and what is durable.
//!
//! Facts of a turn go into one append; one sync answers everybody who waits (group commit), and
//! only one sync is under way. Audio alone is synced every `SYNC_MS`. A failed sync or a refused
//! journal is the end of this run: the page cache cannot be trusted after it, so the daemon
//! stops, and the next start recovers from what the disk really holds.
//!
//! Nothing here decides what is a fact, and nothing touches a disk.

use super::Output;
use super::checkpoints::Checkpoints;
use crate::job::{DiskError, Done, FileId, Job, Ticket};
use crate::limits;
use crate::store::fact::{Entry, Fact};
use crate::store::index::Index;
use crate::store::journal::{Checkpoint, JournalWriter};
use crate::store::layout;
use crate::store::sign::BoxKey;
use crate::time::{Mono, Now};
use std::collections::VecDeque;

/// Journal, jobs and buffers.
pub struct Storage {
    journal: JournalWriter,
    box_key: BoxKey,
    file: FileId,
    day: String,
    last_file: u32,
    /// Facts of this turn.
    facts: Vec<u8>,
    /// Free buffers; each holds a chunk and a trailer.
    blocks: Vec<Vec<u8>>,
    block_bytes: usize,
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
    /// A new day has begun; its file is made after this sync, when all of the old day's is durable.
    /// Otherwise a cut could leave the new file beside an old one without its end: a gap.
    rolls_after: Option<Ticket>,
    closing: bool,
    /// The journal was refused or a sync failed: nothing becomes durable any more.
    failed: bool,
    pub full: bool,
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
    /// `blocks` buffers of `block_bytes` each; the journal goes on as `journal` says. `fresh`: its
    /// file is to be made, `header` being its first bytes.
    #[must_use]
    pub fn new(
        journal: JournalWriter,
        box_key: BoxKey,
        (day, fresh): (String, Option<Vec<u8>>),
        blocks: usize,
        block_bytes: usize,
    ) -> Storage {
        let file = FileId(1);
        let path = layout::journal_path(&day);
        let mut jobs = VecDeque::with_capacity(256);
        match fresh {
            Some(header) => {
                jobs.push_back(Job::Create { file, path });
                jobs.push_back(Job::Append { file, bytes: header });
            }
            None => jobs.push_back(Job::Reopen { file, path }),
        }
        Storage {
            journal,
            box_key,
            file,
            day,
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
            rolls_after: None,
            closing: false,
            failed: false,
            full: false,
            slow: false,
            free_bytes: 0,
            total_bytes: 0,
            space_asked: None,
            sync_us_max: 0,
            syncs: 0,
            appended_bytes: 0,
        }
    }

    /// Notes a fact. The ticket is the sync after which it is durable.
    pub fn note(&mut self, index: &mut Index, now: Now, fact: Fact) -> Ticket {
        assert!(!self.closing, "a fact after the last one");
        self.roll(now);
        self.checkpoints.noted(&fact);
        let entry = Entry { at: now.wall, fact };
        let sequence = self.journal.append(&entry, &mut self.facts);
        index.apply(sequence, &entry);
        self.touch(now.mono);
        self.urgent = true;
        self.settled = self.facts_ticket();
        self.settled
    }

    /// The sync after which the facts at hand are durable.
    fn facts_ticket(&self) -> Ticket {
        self.rolls_after.map_or(self.ticket(), |after| Ticket(after.0 + 1))
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

    /// A new day: the old file is complete; what follows waits for its sync.
    fn roll(&mut self, now: Now) {
        let day = now.wall.day();
        if day <= self.day || self.rolls_after.is_some() {
            return;
        }
        if self.checkpoints.wanted() {
            self.checkpoint(now);
        }
        self.flush_facts(now.mono);
        self.jobs.push_back(Job::Close { file: self.file });
        self.touch(now.mono);
        self.rolls_after = Some(self.ticket());
        self.journal.roll(&day, &mut self.facts);
        self.day = day;
    }

    /// Makes the new day's file, once the old day's is durable. False: not yet.
    fn rolled(&mut self, now: Mono) -> bool {
        let Some(after) = self.rolls_after else { return true };
        if after > self.durable {
            return false;
        }
        self.rolls_after = None;
        self.file = self.new_file();
        let path = layout::journal_path(&self.day);
        self.ask(now, Job::Create { file: self.file, path });
        self.urgent = true;
        true
    }

    /// Anchors a chain that damage broke: a checkpoint before anything else.
    pub fn anchor(&mut self, now: Now) {
        self.checkpoint(now);
    }

    fn checkpoint(&mut self, now: Now) {
        let made = self.journal.checkpoint(&self.box_key, now.wall, &mut self.facts);
        self.touch(now.mono);
        self.checkpoints.made(now.mono, self.facts_ticket(), made);
    }

    /// The newest checkpoint that is durable.
    #[must_use]
    pub fn newest_checkpoint(&self) -> Option<&Checkpoint> {
        self.checkpoints.newest()
    }

    fn flush_facts(&mut self, now: Mono) {
        if self.facts.is_empty() || !self.rolled(now) {
            return;
        }
        let mut bytes = self.blocks.pop().unwrap_or_default();
        bytes.extend_from_slice(&self.facts);
        self.facts.clear();
        self.appended_bytes += bytes.len() as u64;
        self.jobs.push_back(Job::Append { file: self.file, bytes });
    }

    /// Puts the turn's facts into one append, asks for a sync if one is due, and hands all out.
    pub fn end_turn(&mut self, now: Now, outputs: &mut VecDeque<Output>) {
        if self.checkpoints.due(now.mono) {
            self.checkpoint(now);
        }
        self.flush_facts(now.mono);
        let due = self.dirty_since.is_some_and(|since| now.mono.since_ms(since) >= limits::SYNC_MS);
        if self.under_way.is_none() && self.dirty_since.is_some() && (due || self.urgent) {
            self.last_ticket = self.ticket();
            self.under_way = Some((self.last_ticket, now.mono));
            self.jobs.push_back(Job::Sync { ticket: self.last_ticket });
            (self.dirty_since, self.urgent) = (None, false);
        }
        if self.space_asked.is_none_or(|at| now.mono.since_ms(at) >= 5000) {
            self.space_asked = Some(now.mono);
            // Before everything else: a start knows how much is free before it is ready.
            self.jobs.push_front(Job::Space);
        }
        outputs.extend(self.jobs.drain(..).map(Output::Job));
    }

    /// Takes an answer in that concerns the store itself.
    ///
    /// # Errors
    /// Why the store cannot be trusted any more; the daemon has to end.
    pub fn done(&mut self, now: Now, done: Done) -> Result<(), String> {
        match done {
            Done::Synced { ticket, result } => self.synced(now.mono, ticket, result),
            Done::Appended { file, bytes, result } => {
                self.give_back(bytes);
                self.journal_result(file, result)
            }
            Done::Opened { file, result } => self.journal_result(file, result),
            Done::Space { free, total } => {
                (self.free_bytes, self.total_bytes) = (free, total);
                Ok(())
            }
            Done::Read { .. } | Done::Removed { .. } => Ok(()),
        }
    }

    fn synced(
        &mut self,
        now: Mono,
        ticket: Ticket,
        result: Result<(), DiskError>,
    ) -> Result<(), String> {
        let Some((asked, at)) = self.under_way.take() else { return Ok(()) };
        assert_eq!(asked, ticket, "syncs come back in order");
        if let Err(error) = result {
            self.failed = true;
            return Err(format!("the sync of the data directory failed: {error}"));
        }
        if self.failed {
            return Ok(());
        }
        self.durable = ticket;
        self.checkpoints.synced(ticket);
        self.syncs += 1;
        self.sync_us_max = self.sync_us_max.max(now.since_us(at));
        Ok(())
    }

    fn journal_result(
        &mut self,
        file: FileId,
        result: Result<(), DiskError>,
    ) -> Result<(), String> {
        match result {
            Err(error) if file == self.file => {
                self.failed = true;
                Err(format!("the journal {} refused: {error}", layout::journal_path(&self.day)))
            }
            _ => Ok(()),
        }
    }

    fn give_back(&mut self, mut bytes: Vec<u8>) {
        bytes.clear();
        if bytes.capacity() >= self.block_bytes {
            self.blocks.push(bytes);
        }
    }

    /// When the next sync of audio is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Mono> {
        if self.under_way.is_some() {
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
        self.facts.is_empty() && self.under_way.is_none() && self.dirty_since.is_none()
    }
}
