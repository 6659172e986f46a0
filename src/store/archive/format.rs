//! The bytes of a summary: header, directory of pages, ids, pages of rows, how the day closed.
//!
//! Every part has its own checksum, so that each can be read alone, from where the header and the
//! directory say. Taking gives `None` for whatever is not whole, valid and of this version: it can
//! always be made again. Nothing here reads a file.

mod front;
mod page;

pub use front::Front;
pub use page::Page;

use super::{Catalogue, DayEntry, NEVER, Row};
use crate::id::RecordingId;
use crate::store::bytes::{Fields, checksum, narrow, wide};
use crate::store::day::Day;
use crate::store::index::Carried;
use crate::store::journal::JournalState;
use crate::time::Wall;
use serde::{Deserialize, Serialize};

/// To be raised with every change of what is encoded, `Record` and its parts included.
const VERSION: u16 = 3;
const MAGIC: &[u8; 4] = b"HBS1";

/// Bytes of the header.
pub const HEADER_BYTES: usize = 136;

/// First four bytes of an id, and its page.
const ID_BYTES: usize = 6;
const SUM_BYTES: usize = 8;

type Sum = [u8; SUM_BYTES];

/// What a summary says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub entry: DayEntry,
    /// Number of the last entry, of whatever day, that its rows take in.
    pub through: u64,
    pub pages_bytes: u64,
    pub closing_bytes: u64,
    front_sum: Sum,
    ids_sum: Sum,
    closing_sum: Sum,
}

impl Header {
    fn put(&self, out: &mut Vec<u8>) {
        let (start, entry) = (out.len(), &self.entry);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        for value in [entry.day.0, entry.rows, entry.deleted, 0] {
            out.extend_from_slice(&value.to_le_bytes());
        }
        let sequences = [entry.first_sequence, entry.last_sequence];
        for value in [self.through].into_iter().chain(sequences) {
            out.extend_from_slice(&value.to_le_bytes());
        }
        for at in [entry.first_at, entry.last_at, entry.oldest_kept, entry.expires] {
            out.extend_from_slice(&at.0.to_le_bytes());
        }
        for value in [entry.front_bytes, self.pages_bytes, self.closing_bytes] {
            out.extend_from_slice(&value.to_le_bytes());
        }
        for sum in [self.front_sum, self.ids_sum, self.closing_sum] {
            out.extend_from_slice(&sum);
        }
        let sum: Sum = checksum(&[&out[start..]]);
        out.extend_from_slice(&sum);
        assert_eq!(out.len() - start, HEADER_BYTES);
    }

    /// The header at the start of `bytes`.
    #[must_use]
    pub fn take(bytes: &[u8]) -> Option<Header> {
        let bytes = bytes.get(..HEADER_BYTES)?;
        let (before, sum) = bytes.split_at(HEADER_BYTES - SUM_BYTES);
        let mut fields = Fields(before);
        fields.array().filter(|magic| magic == MAGIC)?;
        fields.u16().filter(|version| *version == VERSION)?;
        fields.zeros(2)?;
        let (day, rows, deleted) = (Day(fields.u32()?), fields.u32()?, fields.u32()?);
        fields.zeros(4)?;
        let through = fields.u64()?;
        let (first_sequence, last_sequence) = (fields.u64()?, fields.u64()?);
        let mut at = || fields.array().map(i64::from_le_bytes).map(Wall);
        let (first_at, last_at, oldest_kept, expires) = (at()?, at()?, at()?, at()?);
        let front_bytes = fields.u64()?;
        let entry = DayEntry {
            day,
            rows,
            deleted,
            first_sequence,
            last_sequence,
            first_at,
            last_at,
            oldest_kept,
            expires,
            front_bytes,
        };
        let (pages_bytes, closing_bytes) = (fields.u64()?, fields.u64()?);
        let (front_sum, ids_sum, closing_sum) = (fields.array()?, fields.array()?, fields.array()?);
        let header =
            Header { entry, through, pages_bytes, closing_bytes, front_sum, ids_sum, closing_sum };
        (sum == checksum::<SUM_BYTES>(&[before])).then_some(header)
    }

    /// Where the parts begin.
    #[must_use]
    pub fn parts(&self) -> Parts {
        let front = wide(HEADER_BYTES);
        let ids = front.saturating_add(self.entry.front_bytes);
        let pages = ids.saturating_add(ids_bytes(self.entry.rows));
        let closing = pages.saturating_add(self.pages_bytes);
        Parts { front, ids, pages, closing, end: closing.saturating_add(self.closing_bytes) }
    }
}

fn ids_bytes(rows: u32) -> u64 {
    u64::from(rows) * wide(ID_BYTES)
}

/// Offsets in the file; each part ends where the next begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    pub front: u64,
    pub ids: u64,
    pub pages: u64,
    pub closing: u64,
    pub end: u64,
}

/// Where recordings are, by their ids.
#[derive(Clone, Debug)]
pub struct Ids(Vec<u8>);

impl Ids {
    /// From the bytes of that part.
    #[must_use]
    pub fn take(header: &Header, bytes: Vec<u8>) -> Option<Ids> {
        let whole = wide(bytes.len()) == ids_bytes(header.entry.rows);
        (whole && header.ids_sum == checksum::<SUM_BYTES>(&[&bytes])).then_some(Ids(bytes))
    }

    /// The pages that may hold a recording, few or none.
    pub fn pages(&self, id: RecordingId) -> impl Iterator<Item = usize> {
        let mut prefix = [0; 4];
        prefix.copy_from_slice(&id.bytes()[..4]);
        let entries = self.0.as_chunks::<ID_BYTES>().0;
        let first = entries.partition_point(|entry| entry[..4] < prefix[..]);
        let same = entries[first..].iter().take_while(move |entry| entry[..4] == prefix[..]);
        same.map(|entry| usize::from(u16::from_le_bytes([entry[4], entry[5]])))
    }
}

/// How a day closed: what the next one starts from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Closing {
    /// Where the journal goes on.
    pub journal: JournalState,
    /// The chain is known there.
    pub linked: bool,
    pub carried: Carried,
    /// All earlier days.
    pub catalogue: Catalogue,
}

impl Closing {
    /// From the bytes of that part.
    #[must_use]
    pub fn take(header: &Header, bytes: &[u8]) -> Option<Closing> {
        let whole = wide(bytes.len()) == header.closing_bytes;
        if !whole || header.closing_sum != checksum::<SUM_BYTES>(&[bytes]) {
            return None;
        }
        let (closing, after) = postcard::take_from_bytes(bytes).ok()?;
        after.is_empty().then_some(closing)
    }
}

/// A whole summary. Its rows are in the order the recordings began.
#[derive(Clone, Debug)]
pub struct Summary {
    pub day: Day,
    pub through: u64,
    pub rows: Vec<Row>,
    pub closing: Closing,
}

impl Summary {
    /// Its bytes, and what the catalogue of later days says of it.
    #[must_use]
    pub fn put(&self) -> (Vec<u8>, DayEntry) {
        let (front, pages) = Front::put(self.day, &self.rows);
        let front = encode(&front);
        let closing = encode(&self.closing);
        let ids = self.ids(&pages);
        let all_pages: Vec<u8> = pages.iter().flat_map(|page| page.bytes.iter().copied()).collect();
        let header = Header {
            entry: DayEntry { front_bytes: wide(front.len()), ..self.entry() },
            through: self.through,
            pages_bytes: wide(all_pages.len()),
            closing_bytes: wide(closing.len()),
            front_sum: checksum(&[&front]),
            ids_sum: checksum(&[&ids]),
            closing_sum: checksum(&[&closing]),
        };
        let mut out = Vec::with_capacity(narrow(header.parts().end));
        header.put(&mut out);
        for part in [front, ids, all_pages, closing] {
            out.extend_from_slice(&part);
        }
        assert_eq!(wide(out.len()), header.parts().end);
        (out, header.entry)
    }

    /// The whole of `bytes`, everything checked.
    #[must_use]
    pub fn take(bytes: &[u8]) -> Option<Summary> {
        let header = Header::take(bytes)?;
        let parts = header.parts();
        let part = |from: u64, to: u64| bytes.get(narrow(from)..narrow(to));
        let front = Front::take(&header, part(parts.front, parts.ids)?)?;
        Ids::take(&header, part(parts.ids, parts.pages)?.to_vec())?;
        let closing = Closing::take(&header, part(parts.closing, parts.end)?)?;
        let mut rows = Vec::new();
        for number in 0..front.pages.len() {
            let (from, to) = front.place(&header, number)?;
            rows.extend(front.page(number, part(from, to)?)?.rows);
        }
        let whole = wide(bytes.len()) == parts.end;
        let Header { entry, through, .. } = header;
        let summary = Summary { day: entry.day, through, rows, closing };
        whole.then_some(summary)
    }

    fn entry(&self) -> DayEntry {
        let rows = &self.rows;
        let kept = || rows.iter().filter(|row| !row.deleted);
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let mortal = kept().filter(|row| !row.running && !row.protected);
        DayEntry {
            day: self.day,
            rows: count(rows.len()),
            deleted: count(rows.len() - kept().count()),
            first_sequence: rows.first().map_or(0, |row| row.sequence),
            last_sequence: rows.last().map_or(0, |row| row.sequence),
            first_at: rows.iter().map(|row| row.at).min().unwrap_or(NEVER),
            last_at: rows.iter().map(|row| row.at).max().unwrap_or(NEVER),
            oldest_kept: kept().map(|row| row.at).min().unwrap_or(NEVER),
            expires: mortal.map(|row| row.retain_until).min().unwrap_or(NEVER),
            front_bytes: 0,
        }
    }

    fn ids(&self, pages: &[page::Put]) -> Vec<u8> {
        let numbers = pages.iter().enumerate();
        let numbers = numbers.flat_map(|(number, page)| std::iter::repeat_n(number, page.rows));
        let entry = |(row, number): (&Row, usize)| {
            let mut entry = [0; ID_BYTES];
            entry[..4].copy_from_slice(&row.id.bytes()[..4]);
            let number = u16::try_from(number).unwrap_or(u16::MAX);
            entry[4..].copy_from_slice(&number.to_le_bytes());
            entry
        };
        let mut ids: Vec<[u8; ID_BYTES]> = self.rows.iter().zip(numbers).map(entry).collect();
        ids.sort_unstable();
        ids.concat()
    }
}

fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    // Writing values to memory has no way to fail.
    let bytes = postcard::to_stdvec(value).unwrap_or_default();
    assert!(!bytes.is_empty());
    bytes
}
