//! A page: packed rows, with shared strings as numbers and most fields as deltas to the row before.
//!
//! Any row round-trips exactly: deltas wrap around.

use crate::config::Direction;
use crate::id::RecordingId;
use crate::store::archive::RecordRow;
use crate::store::day::{Day, Locator};
use crate::store::fact::RecordReasons;
use crate::store::index::{BlackoutSpan, ClockCorrection};
use crate::time::WallTime;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Maximum rows of a page, and the size in bytes after which no further row is added.
const ROWS_MAX: usize = 128;
const BYTES_WANTED: usize = 16 * 1024;

const DAY_MS: i64 = 86_400_000;

/// Flags of a row.
const RUNNING: u8 = 1;
const PROTECTED: u8 = 2;
const DELETED: u8 = 4;
const DIRECTION_IN: u8 = 8;
const DIRECTION_OUT: u8 = 16;
/// The retention is stored in whole days.
const WHOLE_DAYS: u8 = 32;

/// Rows that are read together.
#[derive(Clone, Debug)]
pub struct Page {
    pub rows: Vec<RecordRow>,
}

/// The bytes of a page, and the number of rows in them.
pub struct EncodedPage {
    pub rows: usize,
    pub bytes: Vec<u8>,
}

/// A row as it is encoded.
#[derive(Serialize, Deserialize)]
struct PackedRow {
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
    /// Day and part (upper half), and offset.
    entries: Vec<(u64, i64)>,
}

/// Strings and their numbers, from 1.
#[derive(Default)]
pub struct StringTable(BTreeMap<String, u32>);

impl StringTable {
    fn intern(&mut self, text: Option<&str>) -> u32 {
        let Some(text) = text else { return 0 };
        if let Some(number) = self.0.get(text) {
            return *number;
        }
        let number = u32::try_from(self.0.len() + 1).unwrap_or(u32::MAX);
        self.0.insert(text.to_owned(), number);
        number
    }

    pub fn into_strings(self) -> Vec<String> {
        let mut strings: Vec<(u32, String)> =
            self.0.into_iter().map(|(text, number)| (number, text)).collect();
        strings.sort_unstable();
        strings.into_iter().map(|(_, text)| text).collect()
    }
}

fn lookup_string(strings: &[String], number: u32) -> Option<Option<String>> {
    match usize::try_from(number).ok()?.checked_sub(1) {
        None => Some(None),
        Some(place) => strings.get(place).cloned().map(Some),
    }
}

/// The values to which the next row's deltas refer.
#[derive(Clone, Copy)]
struct DeltaBase {
    sequence: u64,
    at: i64,
    place: Locator,
}

impl DeltaBase {
    fn for_day(day: Day) -> DeltaBase {
        DeltaBase { sequence: 0, at: 0, place: Locator { day, part: 0, at: 0 } }
    }

    fn from_row(row: &RecordRow, day: Day) -> DeltaBase {
        let place = row.entries.first().copied().unwrap_or_default();
        let place = Locator { day, ..place };
        DeltaBase { sequence: row.sequence, at: row.at.0, place }
    }
}

/// Packs day and part into one integer. Their delta is usually 0, which takes one byte.
fn pack_file(place: &Locator) -> u64 {
    u64::from(place.part) << 32 | u64::from(place.day.0)
}

fn unpack_locator(file: u64, at: u64) -> Locator {
    let [d0, d1, d2, d3, part @ ..] = file.to_le_bytes();
    let day = Day(u32::from_le_bytes([d0, d1, d2, d3]));
    Locator { day, part: u32::from_le_bytes(part), at }
}

/// Encodes rows from the front of `rows`, at least one.
pub fn encode_page(day: Day, rows: &[RecordRow], strings: &mut StringTable) -> EncodedPage {
    let mut base = DeltaBase::for_day(day);
    let mut page = EncodedPage { rows: 0, bytes: Vec::with_capacity(BYTES_WANTED) };
    for row in rows.iter().take(ROWS_MAX) {
        let packed = pack_row(row, base, strings);
        // Serializing to memory cannot fail.
        page.bytes = postcard::to_extend(&packed, page.bytes).unwrap_or_default();
        page.rows += 1;
        base = DeltaBase::from_row(row, day);
        if page.bytes.len() >= BYTES_WANTED {
            break;
        }
    }
    assert!(page.rows > 0 && !page.bytes.is_empty());
    page
}

/// Decodes the rows of a page.
pub fn decode_page(day: Day, count: usize, bytes: &[u8], strings: &[String]) -> Option<Page> {
    if count > ROWS_MAX {
        return None;
    }
    let (mut base, mut left) = (DeltaBase::for_day(day), bytes);
    let mut rows = Vec::with_capacity(count);
    for _ in 0..count {
        let (packed, rest): (PackedRow, _) = postcard::take_from_bytes(left).ok()?;
        let row = unpack_row(packed, base, strings)?;
        (base, left) = (DeltaBase::from_row(&row, day), rest);
        rows.push(row);
    }
    left.is_empty().then_some(Page { rows })
}

fn pack_row(row: &RecordRow, base: DeltaBase, strings: &mut StringTable) -> PackedRow {
    let retention_ms = row.retain_until.0.wrapping_sub(row.at.0);
    let whole_days = retention_ms % DAY_MS == 0;
    let flag = |is: bool, flag: u8| if is { flag } else { 0 };
    let flags = flag(row.is_running, RUNNING)
        | flag(row.is_protected, PROTECTED)
        | flag(row.is_deleted, DELETED)
        | flag(row.direction == Some(Direction::In), DIRECTION_IN)
        | flag(row.direction == Some(Direction::Out), DIRECTION_OUT)
        | flag(whole_days, WHOLE_DAYS);
    let mut from = base.place;
    let mut step = |place: &Locator| {
        let file = pack_file(place).wrapping_sub(pack_file(&from));
        let at = place.at.wrapping_sub(from.at).cast_signed();
        from = *place;
        (file, at)
    };
    PackedRow {
        sequence: row.sequence.wrapping_sub(base.sequence),
        id: row.id,
        at: row.at.0.wrapping_sub(base.at),
        boot: row.boot,
        duration_ms: row.duration_ms,
        flags,
        reasons: row.reasons.0,
        agent: strings.intern(row.agent.as_deref()),
        device: strings.intern(Some(&row.device)),
        schedule: strings.intern(row.schedule.as_deref()),
        call: row.call.clone(),
        blackouts: row.blackouts.clone(),
        lost: row.lost,
        size: row.size,
        retention: if whole_days { retention_ms / DAY_MS } else { retention_ms },
        entries: row.entries.iter().map(&mut step).collect(),
    }
}

fn unpack_row(packed: PackedRow, base: DeltaBase, strings: &[String]) -> Option<RecordRow> {
    let is = |flag: u8| packed.flags & flag != 0;
    let at = base.at.wrapping_add(packed.at);
    let unit = if is(WHOLE_DAYS) { DAY_MS } else { 1 };
    let mut from = base.place;
    let step = |(step, at): (u64, i64)| {
        from = unpack_locator(
            pack_file(&from).wrapping_add(step),
            from.at.wrapping_add(at.cast_unsigned()),
        );
        from
    };
    Some(RecordRow {
        clock: ClockCorrection::default(),
        sequence: base.sequence.wrapping_add(packed.sequence),
        id: packed.id,
        at: WallTime(at),
        boot: packed.boot,
        duration_ms: packed.duration_ms,
        agent: lookup_string(strings, packed.agent)?,
        device: lookup_string(strings, packed.device)??,
        call: packed.call,
        direction: match (is(DIRECTION_IN), is(DIRECTION_OUT)) {
            (true, _) => Some(Direction::In),
            (_, true) => Some(Direction::Out),
            (false, false) => None,
        },
        reasons: RecordReasons(packed.reasons),
        schedule: lookup_string(strings, packed.schedule)?,
        blackouts: packed.blackouts,
        lost: packed.lost,
        size: packed.size,
        retain_until: WallTime(at.wrapping_add(packed.retention.wrapping_mul(unit))),
        is_running: is(RUNNING),
        is_protected: is(PROTECTED),
        is_deleted: is(DELETED),
        entries: packed.entries.into_iter().map(step).collect(),
    })
}
