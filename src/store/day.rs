//! UTC days as numbers, and the location of an entry in a day's journal.

use crate::time::WallTime;
use serde::{Deserialize, Serialize};

const DAY_MS: i64 = 86_400_000;

/// Days since 1970-01-01.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Day(pub u32);

impl Day {
    /// Parses `2026-11-22`. Returns `None` for any other form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Day> {
        let start = WallTime::parse(&format!("{text}T00:00:00Z"))?;
        let day = Day(u32::try_from(start.0 / DAY_MS).ok()?);
        (day.to_string() == text).then_some(day)
    }
}

impl std::fmt::Display for Day {
    /// Writes the date in the form of `WallTime::utc_day`.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&WallTime(i64::from(self.0).saturating_mul(DAY_MS)).utc_day())
    }
}

/// The location of a journal entry: day, file of that day, and byte offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Locator {
    pub day: Day,
    /// File of the day, counted from 0: see `journal_files`.
    pub part: u32,
    pub at: u64,
}

impl Locator {
    /// The `part` of entries that are in no file yet.
    pub const UNWRITTEN_PART: u32 = u32::MAX;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_read_back() {
        for (number, text) in [(0, "1970-01-01"), (20_779, "2026-11-22"), (59_964, "2134-03-06")] {
            assert_eq!(
                (Day(number).to_string().as_str(), Day::parse(text)),
                (text, Some(Day(number)))
            );
        }
        for bad in ["", "2026-13-01", "2026-1-1", "1969-12-31", "20261122", "2026-11-22T00:00:00Z"]
        {
            assert_eq!(Day::parse(bad), None, "{bad}");
        }
        assert_eq!(WallTime(1_795_348_800_123).utc_day(), Day(20_779).to_string());
    }
}
