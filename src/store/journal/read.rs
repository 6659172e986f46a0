//! Reading a journal file, with bounded memory, whatever its bytes are.
//!
//! A bad entry starts a search, byte by byte, for the next one whose checksum holds: if there is
//! one, that was damage, and reading goes on there; if not, a torn tail. After damage the chain is
//! unknown (entries carry only half of it) until the next checkpoint, and so is the count.

use super::format::{
    self, Checkpoint, EntryBody, JournalHeader, MAX_ENTRY_BYTES, RawEntry, TAG_BYTES,
};
use super::{FIRST_SEQUENCE, HEADER_BYTES, JournalError, JournalState};
use crate::store::damage::{Damage, Tail};
use crate::store::fact::JournalEntry;
use crate::store::sliding_buffer::SlidingBuffer;
use std::io::Read;

/// One thing that a journal file gives. `at` is its offset in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JournalItem {
    Entry {
        sequence: u64,
        at: u64,
        entry: JournalEntry,
    },
    Checkpoint {
        sequence: u64,
        at: u64,
        checkpoint: Checkpoint,
    },
    /// What follows may have been edited, or lacks something before it.
    Damage {
        at: u64,
        why: Damage,
    },
}

/// How a journal file ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalEnd {
    pub tail: Tail,
    /// Bytes up to the end of the last valid entry; a torn tail starts here.
    pub good_bytes: u64,
    /// To go on from. Without `linked` its chain is made up from the last entry's tag, and its
    /// number may be too low: append a checkpoint first, which anchors both anew. Without good
    /// bytes go on from the file before instead.
    pub state: JournalState,
    /// The chain is known: nothing was damaged since the last checkpoint.
    pub is_linked: bool,
}

/// A journal file that is being read.
pub struct JournalReader<R> {
    window: SlidingBuffer<R>,
    header: Option<JournalHeader>,
    /// Number of the next entry.
    sequence: u64,
    chain: Option<[u8; 32]>,
    last_tag: [u8; TAG_BYTES],
    good_bytes: u64,
    tail: Tail,
    /// Where the bad bytes before the window start.
    bad_from: Option<u64>,
    /// Found together with a damage, and to be given after it.
    queued: Option<JournalItem>,
    /// Entries from this number on are told in another file.
    until: u64,
}

fn read_failed(kind: std::io::ErrorKind) -> JournalError {
    JournalError::Read { kind }
}

impl<R: Read> JournalReader<R> {
    /// Reads the header.
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

    /// Reads only entries before `until`: see `superseded`. A file whose header does not hold is
    /// taken to go on at `next`, where the one before it ended.
    #[must_use]
    pub fn with_limits(mut self, next: u64, until: u64) -> JournalReader<R> {
        if self.header.is_none() {
            self.sequence = next;
        }
        self.until = until;
        self
    }

    /// What the file says of itself; `None` if that is torn or damaged.
    #[must_use]
    pub fn header(&self) -> Option<&JournalHeader> {
        self.header.as_ref()
    }

    /// The next entry, checkpoint or damage; `None` at the end.
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

    /// Takes a whole entry in and says what to give for it.
    fn accept_entry(&mut self, at: u64, found: CheckedEntry) -> JournalItem {
        let lost = self.bad_from.take();
        if lost.is_some() {
            self.chain = None;
            // How many entries the bad bytes held is unknown; a bad header held none.
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

    /// What a checkpoint says that is not so.
    fn check_checkpoint(&self, chain: &[u8; 32], checkpoint: &Checkpoint) -> Option<Damage> {
        let (expected, found) = (self.sequence, checkpoint.sequence);
        if checkpoint.chain != *chain {
            return Some(Damage::Chain);
        }
        (expected != found).then_some(Damage::Sequence { expected, found })
    }

    /// Goes past the entry, with the chain and the count that follow from it.
    fn advance_past(&mut self, at: u64, found: CheckedEntry) -> Option<JournalItem> {
        let CheckedEntry { body, chain, anchor, tag, entry_bytes, is_linked: links } = found;
        self.chain = match anchor {
            // After damage a checkpoint says where we are.
            Some((sequence, chain)) if self.chain.is_none() => {
                self.sequence = self.sequence.max(sequence);
                chain
            }
            _ if links => chain,
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

    /// How the file ended, once `next_item` has given everything.
    #[must_use]
    pub fn finish(self) -> JournalEnd {
        let mut made_up = [0; 32];
        made_up[..TAG_BYTES].copy_from_slice(&self.last_tag);
        JournalEnd {
            tail: self.tail,
            good_bytes: self.good_bytes,
            state: JournalState { sequence: self.sequence, chain: self.chain.unwrap_or(made_up) },
            is_linked: self.chain.is_some(),
        }
    }
}

/// A whole entry, apart from the window it was found in.
struct CheckedEntry {
    body: Option<EntryBody>,
    /// The chain after it, if the one before is known.
    chain: Option<[u8; 32]>,
    /// Of a checkpoint: its number, and the chain after it if its tag bears that out.
    anchor: Option<(u64, Option<[u8; 32]>)>,
    tag: [u8; TAG_BYTES],
    entry_bytes: usize,
    /// The tag is that of `chain`.
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
        let links = chain.as_ref().is_some_and(matches);
        CheckedEntry { body, chain, anchor, tag, entry_bytes: raw.entry_bytes(), is_linked: links }
    }
}
