//! The page directory of a summary, and the strings that its rows share.
//!
//! It states which pages can hold a match. Agents and devices are looked up in the day's strings;
//! calls in a small Bloom filter per page. Most days and pages are therefore skipped without
//! reading them.

use super::page::{self, Page};
use super::{Sum, SummaryHeader};
use crate::store::archive::RecordRow;
use crate::store::bytes::{checksum, len_to_u64, u64_to_len};
use crate::store::day::Day;
use crate::store::index::RecordFilter;
use crate::time::WallTime;
use protocol::name::is_same_name;
use serde::{Deserialize, Serialize};

/// Pages of one day; the id index stores a page number in two bytes.
const PAGES_MAX: usize = 1 << 16;

/// Bloom filter bits per call, and bits set for each. About 1 % false positives.
const BLOOM_BITS: usize = 10;
const BLOOM_HASHES: usize = 6;

/// Page directory and string table.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PageDirectory {
    pub(super) day: Day,
    /// Agents, devices and schedule names. In a row, 0 means none and 1 is the first.
    strings: Vec<String>,
    pub pages: Vec<PageInfo>,
}

/// Directory entry of a page.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PageInfo {
    pub rows: u32,
    pub bytes: u32,
    pub first_sequence: u64,
    first_at: WallTime,
    last_at: WallTime,
    sum: Sum,
    call_bloom: Vec<u8>,
}

impl PageDirectory {
    /// Encodes a day's rows into pages and their directory.
    pub(super) fn from_rows(
        day: Day,
        rows: &[RecordRow],
    ) -> (PageDirectory, Vec<page::EncodedPage>) {
        let mut directory = PageDirectory { day, strings: Vec::new(), pages: Vec::new() };
        let mut strings = page::StringTable::default();
        let mut pages: Vec<page::EncodedPage> = Vec::new();
        let mut left = rows;
        while !left.is_empty() {
            let page = page::encode_page(day, left, &mut strings);
            let (here, rest) = left.split_at(page.rows);
            directory.pages.push(PageInfo::from_rows(here, &page));
            pages.push(page);
            left = rest;
        }
        assert!(pages.len() <= PAGES_MAX, "{} pages in a day", pages.len());
        directory.strings = strings.into_strings();
        (directory, pages)
    }

    /// Decodes the part and checks its length, checksum and totals.
    #[must_use]
    pub fn from_bytes(header: &SummaryHeader, bytes: &[u8]) -> Option<PageDirectory> {
        let whole = len_to_u64(bytes.len()) == header.day_entry.directory_bytes;
        if !whole || header.directory_sum != checksum::<8>(&[bytes]) {
            return None;
        }
        let (directory, after): (PageDirectory, _) = postcard::take_from_bytes(bytes).ok()?;
        let rows: u64 = directory.pages.iter().map(|page| u64::from(page.rows)).sum();
        let pages: u64 = directory.pages.iter().map(|page| u64::from(page.bytes)).sum();
        let fits = rows == u64::from(header.day_entry.rows) && pages == header.pages_bytes;
        (after.is_empty() && fits && directory.day == header.day_entry.day).then_some(directory)
    }

    /// Returns the byte range of a page in the file.
    #[must_use]
    pub fn page_range(&self, header: &SummaryHeader, number: usize) -> Option<(u64, u64)> {
        let before = self.pages.get(..number)?.iter().map(|page| u64::from(page.bytes)).sum();
        let from = header.offsets().pages.checked_add(before)?;
        Some((from, from.checked_add(u64::from(self.pages.get(number)?.bytes))?))
    }

    /// Decodes a page after checking its checksum.
    #[must_use]
    pub fn decode_page(&self, number: usize, bytes: &[u8]) -> Option<Page> {
        let info = self.pages.get(number)?;
        if info.sum != checksum::<8>(&[bytes]) {
            return None;
        }
        page::decode_page(self.day, u64_to_len(u64::from(info.rows)), bytes, &self.strings)
    }

    /// Returns the newest page that may hold rows matching `filter`, `RecordFilter::before`
    /// included.
    #[must_use]
    pub fn newest_page(&self, filter: &RecordFilter) -> Option<usize> {
        let knows = |wanted: &String| self.strings.iter().any(|t| is_same_name(t, wanted));
        if !filter.agent.as_ref().is_none_or(knows) || !filter.device.as_ref().is_none_or(knows) {
            return None;
        }
        let before = filter.before.unwrap_or(u64::MAX);
        self.pages.iter().rposition(|page| {
            page.first_sequence < before
                && filter.overlaps_time(page.first_at, page.last_at)
                && filter.call.as_ref().is_none_or(|call| bloom_contains(&page.call_bloom, call))
        })
    }
}

impl PageInfo {
    fn from_rows(rows: &[RecordRow], page: &page::EncodedPage) -> PageInfo {
        let ats = || rows.iter().map(|row| row.at);
        let mut calls = vec![0; (rows.len() * BLOOM_BITS).div_ceil(8)];
        for row in rows {
            bloom_bits(&row.call, calls.len()).for_each(|bit| calls[bit / 8] |= 1 << (bit % 8));
        }
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        PageInfo {
            rows: count(rows.len()),
            bytes: count(page.bytes.len()),
            first_sequence: rows.first().map_or(0, |row| row.sequence),
            first_at: ats().min().unwrap_or_default(),
            last_at: ats().max().unwrap_or_default(),
            sum: checksum(&[&page.bytes]),
            call_bloom: calls,
        }
    }
}

/// Returns the bits that a call sets in a filter of `bytes` bytes.
fn bloom_bits(call: &str, bytes: usize) -> impl Iterator<Item = usize> {
    let [first, second] = [0, 8].map(|from| {
        let hash: [u8; 16] = checksum(&[call.as_bytes()]);
        let mut half = [0; 8];
        half.copy_from_slice(&hash[from..from + 8]);
        u64::from_le_bytes(half)
    });
    let all = len_to_u64(bytes * 8).max(1);
    (0..len_to_u64(BLOOM_HASHES))
        .map(move |n| u64_to_len(first.wrapping_add(n.wrapping_mul(second)) % all))
}

fn bloom_contains(calls: &[u8], call: &str) -> bool {
    let set = |bit: usize| calls.get(bit / 8).is_some_and(|byte| byte & 1 << (bit % 8) != 0);
    bloom_bits(call, calls.len()).all(set)
}
