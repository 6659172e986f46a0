//! The directory of a summary's pages, and the day's texts that rows share.
//!
//! It says which pages can hold what is asked for: an agent or device that is not among the day's
//! texts is on none of them, and each page has a small Bloom filter over its calls, which are all
//! different. So most days and pages are passed over unread.

use super::page::{self, Page};
use super::{Header, Sum};
use crate::store::archive::Row;
use crate::store::bytes::{checksum, narrow, wide};
use crate::store::day::Day;
use crate::store::index::Filter;
use crate::time::Wall;
use serde::{Deserialize, Serialize};

/// Pages of one day; an id's page is two bytes.
const PAGES_MAX: usize = 1 << 16;

/// Bits per call and bits set for one: of a hundred pages without it, one is read in vain.
const BLOOM_BITS: usize = 10;
const BLOOM_HASHES: usize = 6;

/// Directory and texts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Front {
    pub(super) day: Day,
    /// Agents, devices, names of schedules; a row's number 0 is none of them, 1 the first.
    texts: Vec<String>,
    pub pages: Vec<PageInfo>,
}

/// What is known of a page before it is read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PageInfo {
    pub rows: u32,
    pub bytes: u32,
    pub first_sequence: u64,
    first_at: Wall,
    last_at: Wall,
    sum: Sum,
    calls: Vec<u8>,
}

impl Front {
    /// Directory and pages of a day's rows.
    pub(super) fn put(day: Day, rows: &[Row]) -> (Front, Vec<page::Put>) {
        let mut front = Front { day, texts: Vec::new(), pages: Vec::new() };
        let mut texts = page::Texts::default();
        let mut pages: Vec<page::Put> = Vec::new();
        let mut left = rows;
        while !left.is_empty() {
            let page = page::put(day, left, &mut texts);
            let (here, rest) = left.split_at(page.rows);
            front.pages.push(PageInfo::of(here, &page));
            pages.push(page);
            left = rest;
        }
        assert!(pages.len() <= PAGES_MAX, "{} pages in a day", pages.len());
        front.texts = texts.finish();
        (front, pages)
    }

    /// From the bytes of that part.
    #[must_use]
    pub fn take(header: &Header, bytes: &[u8]) -> Option<Front> {
        let whole = wide(bytes.len()) == header.entry.front_bytes;
        if !whole || header.front_sum != checksum::<8>(&[bytes]) {
            return None;
        }
        let (front, after): (Front, _) = postcard::take_from_bytes(bytes).ok()?;
        let rows: u64 = front.pages.iter().map(|page| u64::from(page.rows)).sum();
        let pages: u64 = front.pages.iter().map(|page| u64::from(page.bytes)).sum();
        let fits = rows == u64::from(header.entry.rows) && pages == header.pages_bytes;
        (after.is_empty() && fits && front.day == header.entry.day).then_some(front)
    }

    /// From where to where a page stands in the file.
    #[must_use]
    pub fn place(&self, header: &Header, number: usize) -> Option<(u64, u64)> {
        let before = self.pages.get(..number)?.iter().map(|page| u64::from(page.bytes)).sum();
        let from = header.parts().pages.checked_add(before)?;
        Some((from, from.checked_add(u64::from(self.pages.get(number)?.bytes))?))
    }

    /// A page, from its bytes.
    #[must_use]
    pub fn page(&self, number: usize, bytes: &[u8]) -> Option<Page> {
        let info = self.pages.get(number)?;
        if info.sum != checksum::<8>(&[bytes]) {
            return None;
        }
        page::take(self.day, narrow(u64::from(info.rows)), bytes, &self.texts)
    }

    /// The newest page that may hold rows that `filter` admits, `Filter::before` included.
    #[must_use]
    pub fn newest(&self, filter: &Filter) -> Option<usize> {
        let knows = |wanted: &String| self.texts.iter().any(|t| t.eq_ignore_ascii_case(wanted));
        if !filter.agent.as_ref().is_none_or(knows) || !filter.device.as_ref().is_none_or(knows) {
            return None;
        }
        let before = filter.before.unwrap_or(u64::MAX);
        self.pages.iter().rposition(|page| {
            page.first_sequence < before
                && filter.meets(page.first_at, page.last_at)
                && filter.call.as_ref().is_none_or(|call| has(&page.calls, call))
        })
    }
}

impl PageInfo {
    fn of(rows: &[Row], page: &page::Put) -> PageInfo {
        let ats = || rows.iter().map(|row| row.at);
        let mut calls = vec![0; (rows.len() * BLOOM_BITS).div_ceil(8)];
        for row in rows {
            bits(&row.call, calls.len()).for_each(|bit| calls[bit / 8] |= 1 << (bit % 8));
        }
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        PageInfo {
            rows: count(rows.len()),
            bytes: count(page.bytes.len()),
            first_sequence: rows.first().map_or(0, |row| row.sequence),
            first_at: ats().min().unwrap_or_default(),
            last_at: ats().max().unwrap_or_default(),
            sum: checksum(&[&page.bytes]),
            calls,
        }
    }
}

/// The bits of a call in a filter of so many bytes.
fn bits(call: &str, bytes: usize) -> impl Iterator<Item = usize> {
    let [first, second] = [0, 8].map(|from| {
        let hash: [u8; 16] = checksum(&[call.as_bytes()]);
        let mut half = [0; 8];
        half.copy_from_slice(&hash[from..from + 8]);
        u64::from_le_bytes(half)
    });
    let all = wide(bytes * 8).max(1);
    (0..wide(BLOOM_HASHES)).map(move |n| narrow(first.wrapping_add(n.wrapping_mul(second)) % all))
}

fn has(calls: &[u8], call: &str) -> bool {
    let set = |bit: usize| calls.get(bit / 8).is_some_and(|byte| byte & 1 << (bit % 8) != 0);
    bits(call, calls.len()).all(set)
}
