//! A page: some rows, packed. What repeats is a number or a difference to the row before.
//!
//! Rows come back exactly as they were put, whatever they hold: differences wrap around.

use crate::config::Direction;
use crate::id::RecordingId;
use crate::store::archive::Row;
use crate::store::day::{Day, Locator};
use crate::store::fact::Reasons;
use crate::store::index::BlackoutSpan;
use crate::time::Wall;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Rows of a page, and the bytes after which no further row is begun.
const ROWS_MAX: usize = 128;
const BYTES_WANTED: usize = 16 * 1024;

const DAY_MS: i64 = 86_400_000;

/// Flags of a row.
const RUNNING: u8 = 1;
const PROTECTED: u8 = 2;
const DELETED: u8 = 4;
const IN: u8 = 8;
const OUT: u8 = 16;
/// The retention is counted in whole days.
const WHOLE_DAYS: u8 = 32;

/// Rows that were read together.
#[derive(Clone, Debug)]
pub struct Page {
    pub rows: Vec<Row>,
}

/// A page's bytes, and how many rows they are.
pub struct Put {
    pub rows: usize,
    pub bytes: Vec<u8>,
}

/// A row as it is packed.
#[derive(Serialize, Deserialize)]
struct Packed {
    sequence: u64,
    id: RecordingId,
    at: i64,
    boot: u32,
    duration_ms: u64,
    flags: u8,
    reasons: u8,
    agent: u32,
    device: u32,
    schedule: u32,
    call: String,
    blackouts: Vec<BlackoutSpan>,
    lost: u64,
    size: u64,
    retention: i64,
    /// Day and part (in the upper half), offset.
    entries: Vec<(u64, i64)>,
}

/// Texts and their numbers, from 1.
#[derive(Default)]
pub struct Texts(BTreeMap<String, u32>);

impl Texts {
    fn number(&mut self, text: Option<&str>) -> u32 {
        let Some(text) = text else { return 0 };
        if let Some(number) = self.0.get(text) {
            return *number;
        }
        let number = u32::try_from(self.0.len() + 1).unwrap_or(u32::MAX);
        self.0.insert(text.to_owned(), number);
        number
    }

    pub fn finish(self) -> Vec<String> {
        let mut texts: Vec<(u32, String)> =
            self.0.into_iter().map(|(text, number)| (number, text)).collect();
        texts.sort_unstable();
        texts.into_iter().map(|(_, text)| text).collect()
    }
}

fn text(texts: &[String], number: u32) -> Option<Option<String>> {
    match usize::try_from(number).ok()?.checked_sub(1) {
        None => Some(None),
        Some(place) => texts.get(place).cloned().map(Some),
    }
}

/// What the next row's differences are to.
#[derive(Clone, Copy)]
struct Base {
    sequence: u64,
    at: i64,
    place: Locator,
}

impl Base {
    fn of(day: Day) -> Base {
        Base { sequence: 0, at: 0, place: Locator { day, part: 0, at: 0 } }
    }

    fn after(row: &Row, day: Day) -> Base {
        let place = row.entries.first().copied().unwrap_or_default();
        let place = Locator { day, ..place };
        Base { sequence: row.sequence, at: row.at.0, place }
    }
}

/// Day and part in one: mostly both are as before, which is one byte.
fn file(place: &Locator) -> u64 {
    u64::from(place.part) << 32 | u64::from(place.day.0)
}

fn in_file(file: u64, at: u64) -> Locator {
    let [d0, d1, d2, d3, part @ ..] = file.to_le_bytes();
    let day = Day(u32::from_le_bytes([d0, d1, d2, d3]));
    Locator { day, part: u32::from_le_bytes(part), at }
}

/// Packs rows from the front of `rows`, at least one.
pub fn put(day: Day, rows: &[Row], texts: &mut Texts) -> Put {
    let mut base = Base::of(day);
    let mut page = Put { rows: 0, bytes: Vec::with_capacity(BYTES_WANTED) };
    for row in rows.iter().take(ROWS_MAX) {
        let packed = pack(row, base, texts);
        // Writing values to memory has no way to fail.
        page.bytes = postcard::to_extend(&packed, page.bytes).unwrap_or_default();
        page.rows += 1;
        base = Base::after(row, day);
        if page.bytes.len() >= BYTES_WANTED {
            break;
        }
    }
    assert!(page.rows > 0 && !page.bytes.is_empty());
    page
}

/// The rows of a page.
pub fn take(day: Day, count: usize, bytes: &[u8], texts: &[String]) -> Option<Page> {
    if count > ROWS_MAX {
        return None;
    }
    let (mut base, mut left) = (Base::of(day), bytes);
    let mut rows = Vec::with_capacity(count);
    for _ in 0..count {
        let (packed, rest): (Packed, _) = postcard::take_from_bytes(left).ok()?;
        let row = unpack(packed, base, texts)?;
        (base, left) = (Base::after(&row, day), rest);
        rows.push(row);
    }
    left.is_empty().then_some(Page { rows })
}

fn pack(row: &Row, base: Base, texts: &mut Texts) -> Packed {
    let retention_ms = row.retain_until.0.wrapping_sub(row.at.0);
    let whole_days = retention_ms % DAY_MS == 0;
    let flag = |is: bool, flag: u8| if is { flag } else { 0 };
    let flags = flag(row.running, RUNNING)
        | flag(row.protected, PROTECTED)
        | flag(row.deleted, DELETED)
        | flag(row.direction == Some(Direction::In), IN)
        | flag(row.direction == Some(Direction::Out), OUT)
        | flag(whole_days, WHOLE_DAYS);
    let mut from = base.place;
    let mut step = |place: &Locator| {
        let file = file(place).wrapping_sub(file(&from));
        let at = place.at.wrapping_sub(from.at).cast_signed();
        from = *place;
        (file, at)
    };
    Packed {
        sequence: row.sequence.wrapping_sub(base.sequence),
        id: row.id,
        at: row.at.0.wrapping_sub(base.at),
        boot: row.boot,
        duration_ms: row.duration_ms,
        flags,
        reasons: row.reasons.0,
        agent: texts.number(row.agent.as_deref()),
        device: texts.number(Some(&row.device)),
        schedule: texts.number(row.schedule.as_deref()),
        call: row.call.clone(),
        blackouts: row.blackouts.clone(),
        lost: row.lost,
        size: row.size,
        retention: if whole_days { retention_ms / DAY_MS } else { retention_ms },
        entries: row.entries.iter().map(&mut step).collect(),
    }
}

fn unpack(packed: Packed, base: Base, texts: &[String]) -> Option<Row> {
    let is = |flag: u8| packed.flags & flag != 0;
    let at = base.at.wrapping_add(packed.at);
    let unit = if is(WHOLE_DAYS) { DAY_MS } else { 1 };
    let mut from = base.place;
    let step = |(step, at): (u64, i64)| {
        from = in_file(file(&from).wrapping_add(step), from.at.wrapping_add(at.cast_unsigned()));
        from
    };
    Some(Row {
        sequence: base.sequence.wrapping_add(packed.sequence),
        id: packed.id,
        at: Wall(at),
        boot: packed.boot,
        duration_ms: packed.duration_ms,
        agent: text(texts, packed.agent)?,
        device: text(texts, packed.device)??,
        call: packed.call,
        direction: match (is(IN), is(OUT)) {
            (true, _) => Some(Direction::In),
            (_, true) => Some(Direction::Out),
            (false, false) => None,
        },
        reasons: Reasons(packed.reasons),
        schedule: text(texts, packed.schedule)?,
        blackouts: packed.blackouts,
        lost: packed.lost,
        size: packed.size,
        retain_until: Wall(at.wrapping_add(packed.retention.wrapping_mul(unit))),
        running: is(RUNNING),
        protected: is(PROTECTED),
        deleted: is(DELETED),
        entries: packed.entries.into_iter().map(step).collect(),
    })
}
