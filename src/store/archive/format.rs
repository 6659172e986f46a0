//! The bytes of a summary: header, page directory, id index, pages of rows, footer.
//!
//! Each part has its own checksum and can be read alone, at the offsets from the header and the
//! directory. Decoding returns `None` for bytes that are truncated, invalid or of another version:
//! a summary can always be rebuilt.

mod directory;
mod page;

pub use directory::PageDirectory;
pub use page::Page;

use super::{Catalogue, DayEntry, FAR_FUTURE, RecordRow};
use crate::id::RecordingId;
use crate::store::bytes::{LeReader, checksum, len_to_u64, u64_to_len};
use crate::store::day::Day;
use crate::store::index::RetainedState;
use crate::store::journal::JournalState;
use crate::time::WallTime;
use serde::{Deserialize, Serialize};

/// Increment on every change of the encoding, including `Record` and its parts.
const VERSION: u16 = 5;
const MAGIC: &[u8; 4] = b"HBS1";

/// Bytes of the header.
pub const HEADER_BYTES: usize = 136;

/// The first four bytes of a recording id, and its page number.
const ID_BYTES: usize = 6;
const SUM_BYTES: usize = 8;

type Sum = [u8; SUM_BYTES];

/// Header of a summary file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SummaryHeader {
    pub day_entry: DayEntry,
    /// Sequence of the last journal entry, of any day, that its rows include.
    pub through_sequence: u64,
    pub pages_bytes: u64,
    pub footer_bytes: u64,
    directory_sum: Sum,
    ids_sum: Sum,
    footer_sum: Sum,
}

impl SummaryHeader {
    fn append_to(&self, out: &mut Vec<u8>) {
        let (start, entry) = (out.len(), &self.day_entry);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        for value in [entry.day.0, entry.rows, entry.deleted, 0] {
            out.extend_from_slice(&value.to_le_bytes());
        }
        let sequences = [entry.first_sequence, entry.last_sequence];
        for value in [self.through_sequence].into_iter().chain(sequences) {
            out.extend_from_slice(&value.to_le_bytes());
        }
        for at in [entry.first_at, entry.last_at, entry.oldest_kept, entry.expires] {
            out.extend_from_slice(&at.0.to_le_bytes());
        }
        for value in [entry.directory_bytes, self.pages_bytes, self.footer_bytes] {
            out.extend_from_slice(&value.to_le_bytes());
        }
        for sum in [self.directory_sum, self.ids_sum, self.footer_sum] {
            out.extend_from_slice(&sum);
        }
        let sum: Sum = checksum(&[&out[start..]]);
        out.extend_from_slice(&sum);
        assert_eq!(out.len() - start, HEADER_BYTES);
    }

    /// Decodes the header at the start of `bytes`.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<SummaryHeader> {
        let bytes = bytes.get(..HEADER_BYTES)?;
        let (before, sum) = bytes.split_at(HEADER_BYTES - SUM_BYTES);
        let mut fields = LeReader(before);
        fields.read_array().filter(|magic| magic == MAGIC)?;
        fields.read_u16().filter(|version| *version == VERSION)?;
        fields.expect_zeros(2)?;
        let (day, rows, deleted) =
            (Day(fields.read_u32()?), fields.read_u32()?, fields.read_u32()?);
        fields.expect_zeros(4)?;
        let through = fields.read_u64()?;
        let (first_sequence, last_sequence) = (fields.read_u64()?, fields.read_u64()?);
        let mut at = || fields.read_array().map(i64::from_le_bytes).map(WallTime);
        let (first_at, last_at, oldest_kept, expires) = (at()?, at()?, at()?, at()?);
        let directory_bytes = fields.read_u64()?;
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
            directory_bytes,
        };
        let (pages_bytes, footer_bytes) = (fields.read_u64()?, fields.read_u64()?);
        let (directory_sum, ids_sum, footer_sum) =
            (fields.read_array()?, fields.read_array()?, fields.read_array()?);
        let header = SummaryHeader {
            day_entry: entry,
            through_sequence: through,
            pages_bytes,
            footer_bytes,
            directory_sum,
            ids_sum,
            footer_sum,
        };
        (sum == checksum::<SUM_BYTES>(&[before])).then_some(header)
    }

    /// Returns the offset of each part.
    #[must_use]
    pub fn offsets(&self) -> SummaryOffsets {
        let directory = len_to_u64(HEADER_BYTES);
        let ids = directory.saturating_add(self.day_entry.directory_bytes);
        let pages = ids.saturating_add(ids_bytes(self.day_entry.rows));
        let footer = pages.saturating_add(self.pages_bytes);
        SummaryOffsets {
            directory,
            ids,
            pages,
            footer,
            end: footer.saturating_add(self.footer_bytes),
        }
    }
}

fn ids_bytes(rows: u32) -> u64 {
    u64::from(rows) * len_to_u64(ID_BYTES)
}

/// Offsets of the parts in the file. Each part ends where the next begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SummaryOffsets {
    pub directory: u64,
    pub ids: u64,
    pub pages: u64,
    pub footer: u64,
    pub end: u64,
}

/// Index from recording ids to pages.
#[derive(Clone, Debug)]
pub struct IdIndex(Vec<u8>);

impl IdIndex {
    /// Decodes the part and checks its length and checksum.
    #[must_use]
    pub fn from_bytes(header: &SummaryHeader, bytes: Vec<u8>) -> Option<IdIndex> {
        let whole = len_to_u64(bytes.len()) == ids_bytes(header.day_entry.rows);
        (whole && header.ids_sum == checksum::<SUM_BYTES>(&[&bytes])).then_some(IdIndex(bytes))
    }

    /// Returns the pages that may hold the recording; usually none or one.
    pub fn candidate_pages(&self, id: RecordingId) -> impl Iterator<Item = usize> {
        let mut prefix = [0; 4];
        prefix.copy_from_slice(&id.as_bytes()[..4]);
        let entries = self.0.as_chunks::<ID_BYTES>().0;
        let first = entries.partition_point(|entry| entry[..4] < prefix[..]);
        let same = entries[first..].iter().take_while(move |entry| entry[..4] == prefix[..]);
        same.map(|entry| usize::from(u16::from_le_bytes([entry[4], entry[5]])))
    }
}

/// State at the end of a day, from which the next day starts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DayFooter {
    /// Position at which the journal continues.
    pub journal: JournalState,
    /// Whether the hash chain is unbroken up to `journal`.
    pub is_linked: bool,
    pub retained: RetainedState,
    /// All earlier days.
    pub catalogue: Catalogue,
}

impl DayFooter {
    /// Decodes the part and checks its length and checksum.
    #[must_use]
    pub fn from_bytes(header: &SummaryHeader, bytes: &[u8]) -> Option<DayFooter> {
        let whole = len_to_u64(bytes.len()) == header.footer_bytes;
        if !whole || header.footer_sum != checksum::<SUM_BYTES>(&[bytes]) {
            return None;
        }
        let (footer, after) = postcard::take_from_bytes(bytes).ok()?;
        after.is_empty().then_some(footer)
    }
}

/// A whole summary, with its rows in the order in which the recordings began.
#[derive(Clone, Debug)]
pub struct Summary {
    pub day: Day,
    pub through_sequence: u64,
    pub rows: Vec<RecordRow>,
    pub footer: DayFooter,
}

impl Summary {
    /// Returns the encoded summary and its catalogue entry.
    #[must_use]
    pub fn to_bytes(&self) -> (Vec<u8>, DayEntry) {
        let (directory, pages) = PageDirectory::from_rows(self.day, &self.rows);
        let directory = to_postcard(&directory);
        let footer = to_postcard(&self.footer);
        let ids = self.id_index_bytes(&pages);
        let all_pages: Vec<u8> = pages.iter().flat_map(|page| page.bytes.iter().copied()).collect();
        let header = SummaryHeader {
            day_entry: DayEntry {
                directory_bytes: len_to_u64(directory.len()),
                ..self.day_entry()
            },
            through_sequence: self.through_sequence,
            pages_bytes: len_to_u64(all_pages.len()),
            footer_bytes: len_to_u64(footer.len()),
            directory_sum: checksum(&[&directory]),
            ids_sum: checksum(&[&ids]),
            footer_sum: checksum(&[&footer]),
        };
        let mut out = Vec::with_capacity(u64_to_len(header.offsets().end));
        header.append_to(&mut out);
        for part in [directory, ids, all_pages, footer] {
            out.extend_from_slice(&part);
        }
        assert_eq!(len_to_u64(out.len()), header.offsets().end);
        (out, header.day_entry)
    }

    /// Decodes a whole file and checks every part.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Summary> {
        let header = SummaryHeader::from_bytes(bytes)?;
        let parts = header.offsets();
        let part = |from: u64, to: u64| bytes.get(u64_to_len(from)..u64_to_len(to));
        let directory = PageDirectory::from_bytes(&header, part(parts.directory, parts.ids)?)?;
        IdIndex::from_bytes(&header, part(parts.ids, parts.pages)?.to_vec())?;
        let footer = DayFooter::from_bytes(&header, part(parts.footer, parts.end)?)?;
        let mut rows = Vec::new();
        for number in 0..directory.pages.len() {
            let (from, to) = directory.page_range(&header, number)?;
            rows.extend(directory.decode_page(number, part(from, to)?)?.rows);
        }
        let whole = len_to_u64(bytes.len()) == parts.end;
        let SummaryHeader { day_entry: entry, through_sequence: through, .. } = header;
        let summary = Summary { day: entry.day, through_sequence: through, rows, footer };
        whole.then_some(summary)
    }

    fn day_entry(&self) -> DayEntry {
        let rows = &self.rows;
        let kept = || rows.iter().filter(|row| !row.is_deleted);
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let deletable = kept().filter(|row| !row.is_running && !row.is_protected);
        DayEntry {
            day: self.day,
            rows: count(rows.len()),
            deleted: count(rows.len() - kept().count()),
            first_sequence: rows.first().map_or(0, |row| row.sequence),
            last_sequence: rows.last().map_or(0, |row| row.sequence),
            first_at: rows.iter().map(|row| row.at).min().unwrap_or(FAR_FUTURE),
            last_at: rows.iter().map(|row| row.at).max().unwrap_or(FAR_FUTURE),
            oldest_kept: kept().map(|row| row.at).min().unwrap_or(FAR_FUTURE),
            expires: deletable.map(|row| row.retain_until).min().unwrap_or(FAR_FUTURE),
            directory_bytes: 0,
        }
    }

    fn id_index_bytes(&self, pages: &[page::EncodedPage]) -> Vec<u8> {
        let numbers = pages.iter().enumerate();
        let numbers = numbers.flat_map(|(number, page)| std::iter::repeat_n(number, page.rows));
        let entry = |(row, number): (&RecordRow, usize)| {
            let mut entry = [0; ID_BYTES];
            entry[..4].copy_from_slice(&row.id.as_bytes()[..4]);
            let number = u16::try_from(number).unwrap_or(u16::MAX);
            entry[4..].copy_from_slice(&number.to_le_bytes());
            entry
        };
        let mut ids: Vec<[u8; ID_BYTES]> = self.rows.iter().zip(numbers).map(entry).collect();
        ids.sort_unstable();
        ids.concat()
    }
}

fn to_postcard<T: Serialize>(value: &T) -> Vec<u8> {
    // Serializing to memory cannot fail.
    let bytes = postcard::to_stdvec(value).unwrap_or_default();
    assert!(!bytes.is_empty());
    bytes
}
