//! Reads a journal file with bounded memory, whatever its bytes are.
//!
//! After a bad entry the reader searches byte by byte for the next entry with a valid checksum. If
//! it finds one, the bad bytes were damage and reading continues; otherwise they are a torn tail.
//! After damage the chain and the sequence are unknown until the next checkpoint, because entries
//! carry only half the chain.

use super::format::{
    self, Checkpoint, EntryBody, JournalHeader, MAX_ENTRY_BYTES, RawEntry, TAG_BYTES,
};
use super::{FIRST_SEQUENCE, HEADER_BYTES, JournalError, JournalState};
use crate::store::damage::{Damage, Tail};
use crate::store::fact::JournalEntry;
use crate::store::sliding_buffer::SlidingBuffer;
use std::io::Read;

/// One item of a journal file. `at` is its offset in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "nearly all are entries, and one exists at a time")]
pub enum JournalItem {
    /// A fact.
    Entry { sequence: u64, at: u64, entry: JournalEntry },
    /// A signed checkpoint.
    Checkpoint { sequence: u64, at: u64, checkpoint: Checkpoint },
    /// What follows may have been edited, or entries before it are missing.
    Damage { at: u64, why: Damage },
}

/// The end of a journal file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalEnd {
    pub tail: Tail,
    /// Bytes up to the end of the last valid entry. A torn tail starts here.
    pub good_bytes: u64,
    /// State to continue from. If `is_linked` is false, the chain is derived from the last entry's
    /// tag and the sequence may be too low: append a checkpoint first, which anchors both. If
    /// `good_bytes` is 0, continue from the file before instead.
    pub state: JournalState,
    /// Whether the chain is known: no damage since the last checkpoint.
    pub is_linked: bool,
}

/// A journal file being read.
pub struct JournalReader<R> {
    window: SlidingBuffer<R>,
    header: Option<JournalHeader>,
    /// Sequence of the next entry.
    sequence: u64,
    chain: Option<[u8; 32]>,
    last_tag: [u8; TAG_BYTES],
    good_bytes: u64,
    tail: Tail,
    /// Start of the bad bytes before the window.
    bad_from: Option<u64>,
    /// An item found together with damage, to be returned after it.
    queued: Option<JournalItem>,
    /// Entries from this sequence on are superseded by another file.
    until: u64,
}

fn read_failed(kind: std::io::ErrorKind) -> JournalError {
    JournalError::Read { kind }
}

impl<R: Read> JournalReader<R> {
    /// Opens a file and reads its header.
    pub fn open(source: R) -> Result<JournalReader<R>, JournalError> {
        let mut window = SlidingBuffer::new(source, MAX_ENTRY_BYTES);
        window.fill_buffer().map_err(read_failed)?;
        let header = format::take_header(window.buffered()).transpose()?;
        let (bad_from, good_bytes) = match header {
            Some(_) => {
                window.consume(HEADER_BYTES);
                (None, window.offset())
            }
            None => (Some(0), 0),
        };
        Ok(JournalReader {
            window,
            sequence: header.as_ref().map_or(FIRST_SEQUENCE, |header| header.start.sequence),
            chain: header.as_ref().map(|header| header.start.chain),
            header,
            last_tag: [0; TAG_BYTES],
            good_bytes,
            tail: Tail::Clean,
            bad_from,
            queued: None,
            until: u64::MAX,
        })
    }

    /// Limits reading to entries before `until`: see `superseded_limits`. A file without a valid
    /// header is assumed to continue at `next`, where the file before it ended.
    #[must_use]
    pub fn with_limits(mut self, next: u64, until: u64) -> JournalReader<R> {
        if self.header.is_none() {
            self.sequence = next;
        }
        self.until = until;
        self
    }

    /// Returns the file's header; `None` if it is torn or damaged.
    #[must_use]
    pub fn header(&self) -> Option<&JournalHeader> {
        self.header.as_ref()
    }

    /// Returns the next entry, checkpoint or damage; `None` at the end.
    pub fn next_item(&mut self) -> Result<Option<JournalItem>, JournalError> {
        if let Some(item) = self.queued.take() {
            return Ok(Some(item));
        }
        if self.sequence >= self.until {
            return Ok(None);
        }
        loop {
            self.window.fill_buffer().map_err(read_failed)?;
            let at = self.window.offset();
            if self.window.buffered().is_empty() {
                if let (Some(at), Tail::Clean) = (self.bad_from, self.tail) {
                    self.tail = Tail::Torn { at };
                }
                return Ok(None);
            }
            let Some(raw) = format::take_entry(self.window.buffered()) else {
                self.bad_from = self.bad_from.or(Some(at));
                self.window.consume(1);
                continue;
            };
            let found = CheckedEntry::from_raw(&raw, self.chain.as_ref());
            return Ok(Some(self.accept_entry(at, found)));
        }
    }

    /// Advances past a whole entry and returns its item, or the damage before it.
    fn accept_entry(&mut self, at: u64, found: CheckedEntry) -> JournalItem {
        let lost = self.bad_from.take();
        if lost.is_some() {
            self.chain = None;
            // The number of entries in the bad bytes is unknown; a bad header held none.
            self.sequence = self.sequence.saturating_add(u64::from(lost != Some(0)));
        }
        let damage = match (lost, self.chain, &found.body) {
            (Some(0), ..) => Some((0, Damage::Header)),
            (Some(from), ..) => Some((from, Damage::Checksum)),
            (None, Some(_), _) if !found.is_linked => Some((at, Damage::Chain)),
            (None, Some(chain), Some(EntryBody::Checkpoint(checkpoint))) => {
                self.check_checkpoint(&chain, checkpoint).map(|why| (at, why))
            }
            (None, _, None) => Some((at, Damage::Unknown)),
            (None, ..) => None,
        };
        let item = self.advance_past(at, found);
        let Some((from, why)) = damage else {
            return item.unwrap_or(JournalItem::Damage { at, why: Damage::Unknown });
        };
        if self.tail == Tail::Clean {
            self.tail = Tail::Damaged { at: from, why };
        }
        self.queued = item;
        JournalItem::Damage { at: from, why }
    }

    /// Returns what is wrong with a checkpoint.
    fn check_checkpoint(&self, chain: &[u8; 32], checkpoint: &Checkpoint) -> Option<Damage> {
        let (expected, found) = (self.sequence, checkpoint.sequence);
        if checkpoint.chain != *chain {
            return Some(Damage::Chain);
        }
        (expected != found).then_some(Damage::Sequence { expected, found })
    }

    /// Advances past an entry and updates chain and sequence.
    fn advance_past(&mut self, at: u64, found: CheckedEntry) -> Option<JournalItem> {
        let CheckedEntry { body, chain, anchor, tag, entry_bytes, is_linked } = found;
        self.chain = match anchor {
            // After damage a checkpoint restores the sequence and the chain.
            Some((sequence, chain)) if self.chain.is_none() => {
                self.sequence = self.sequence.max(sequence);
                chain
            }
            _ if is_linked => chain,
            _ => None,
        };
        self.last_tag = tag;
        self.window.consume(entry_bytes);
        self.good_bytes = self.window.offset();
        let sequence = self.sequence;
        self.sequence = sequence.saturating_add(1);
        body.map(|body| match body {
            EntryBody::Entry(entry) => JournalItem::Entry { sequence, at, entry },
            EntryBody::Checkpoint(checkpoint) => {
                JournalItem::Checkpoint { sequence, at, checkpoint }
            }
        })
    }

    /// Returns the end state, once `next_item` has returned `None`.
    #[must_use]
    pub fn finish(self) -> JournalEnd {
        let mut derived = [0; 32];
        derived[..TAG_BYTES].copy_from_slice(&self.last_tag);
        JournalEnd {
            tail: self.tail,
            good_bytes: self.good_bytes,
            state: JournalState { sequence: self.sequence, chain: self.chain.unwrap_or(derived) },
            is_linked: self.chain.is_some(),
        }
    }
}

/// A whole entry, independent of the read window.
struct CheckedEntry {
    body: Option<EntryBody>,
    /// The chain after it, if the chain before is known.
    chain: Option<[u8; 32]>,
    /// Sequence of a checkpoint, and the chain after it if its tag confirms it.
    anchor: Option<(u64, Option<[u8; 32]>)>,
    tag: [u8; TAG_BYTES],
    entry_bytes: usize,
    /// Whether the tag matches `chain`.
    is_linked: bool,
}

impl CheckedEntry {
    fn from_raw(raw: &RawEntry, before: Option<&[u8; 32]>) -> CheckedEntry {
        let body = format::take_body(raw.body);
        let chain = before.map(|before| format::next_chain(before, raw.body));
        let matches = |chain: &[u8; 32]| chain[..TAG_BYTES] == *raw.tag;
        let anchor = match &body {
            Some(EntryBody::Checkpoint(checkpoint)) => {
                let after = format::next_chain(&checkpoint.chain, raw.body);
                Some((checkpoint.sequence, Some(after).filter(matches)))
            }
            _ => None,
        };
        let mut tag = [0; TAG_BYTES];
        tag.copy_from_slice(raw.tag);
        let is_linked = chain.as_ref().is_some_and(matches);
        CheckedEntry { body, chain, anchor, tag, entry_bytes: raw.entry_bytes(), is_linked }
    }
}
