//! Three kinds of time with three types that cannot be mixed.
//!
//! `MonoTime` is for durations and deadlines and never decreases. `WallTime` is for people and
//! records; it may step. `Position` counts samples on one channel since startup, lost ones
//! included, and never decreases. Masks use `Position` only.
//!
//! The shell reads the clock once per turn and passes `Now` down.

use serde::{Deserialize, Serialize};

/// Monotonic time in microseconds since startup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct MonoTime(pub u64);

impl MonoTime {
    /// Returns the time `ms` milliseconds later.
    #[must_use]
    pub fn after_ms(self, ms: u64) -> MonoTime {
        MonoTime(self.0.saturating_add(ms.saturating_mul(1000)))
    }

    /// Microseconds since `earlier`, or 0 if that is in the future.
    #[must_use]
    pub fn since_us(self, earlier: MonoTime) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Whole milliseconds since `earlier`, or 0 if that is in the future.
    #[must_use]
    pub fn since_ms(self, earlier: MonoTime) -> u64 {
        self.since_us(earlier) / 1000
    }
}

/// Wall-clock time in milliseconds since 1970-01-01T00:00:00Z.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Hash,
)]
pub struct WallTime(pub i64);

impl WallTime {
    /// Parses RFC 3339 with any offset. Times on the last day of the calendar, which does not end
    /// in all time zones, become the last moment that does.
    #[must_use]
    pub fn parse(text: &str) -> Option<WallTime> {
        if let Ok(time) = text.parse::<jiff::Timestamp>() {
            return Some(WallTime(time.as_millisecond()));
        }
        let parts = jiff::fmt::temporal::Pieces::parse(text).ok()?;
        let is_last = parts.date().year() == jiff::civil::Date::MAX.year();
        (is_last && parts.time().is_some() && parts.offset().is_some())
            .then_some(WallTime(jiff::Timestamp::MAX.as_millisecond()))
    }

    /// Returns the UTC day, `2026-11-22`, which names a journal file.
    #[must_use]
    pub fn utc_day(self) -> String {
        self.to_timestamp().strftime("%Y-%m-%d").to_string()
    }

    /// Beyond the calendar it is the first or last moment of the calendar.
    fn to_timestamp(self) -> jiff::Timestamp {
        let limit = if self.0 < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
        jiff::Timestamp::from_millisecond(self.0).unwrap_or(limit)
    }
}

impl std::fmt::Display for WallTime {
    /// Formats RFC 3339 in UTC with milliseconds, `2026-11-22T12:00:00.000Z`.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{:.3}", self.to_timestamp())
    }
}

impl WallTime {
    /// Formats the time in a time zone, `2026-11-22T13:00:00+01:00`.
    #[must_use]
    pub fn to_local(self, zone: &jiff::tz::TimeZone) -> String {
        let local = self.to_timestamp().to_zoned(zone.clone());
        local.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
    }

    /// Returns the date in a time zone.
    #[must_use]
    pub fn to_site_date(self, zone: &jiff::tz::TimeZone) -> jiff::civil::Date {
        zone.to_datetime(self.to_timestamp()).date()
    }

    /// Returns the first moment of a day in a time zone, where midnight may be skipped.
    #[must_use]
    pub fn start_of_day(day: jiff::civil::Date, zone: &jiff::tz::TimeZone) -> WallTime {
        let limit = if day.year() < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
        let start = day.to_zoned(zone.clone()).map_or(limit, |start| start.timestamp());
        WallTime(start.as_millisecond())
    }

    /// Formats the time of day in a time zone, `14:02:11`.
    #[must_use]
    pub fn to_local_clock(self, zone: &jiff::tz::TimeZone) -> String {
        self.to_timestamp().to_zoned(zone.clone()).strftime("%H:%M:%S").to_string()
    }
}

/// Both times, read once per turn.
#[derive(Clone, Copy, Debug, Default)]
pub struct Now {
    pub mono: MonoTime,
    pub wall: WallTime,
}

/// Samples (frames) on a channel since startup.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Hash,
)]
pub struct Position(pub u64);

impl Position {
    #[must_use]
    pub fn plus(self, frames: u64) -> Position {
        Position(self.0 + frames)
    }

    /// Returns the position `frames` earlier, at least 0.
    #[must_use]
    pub fn saturating_sub(self, frames: u64) -> Position {
        Position(self.0.saturating_sub(frames))
    }

    /// Frames from `earlier` to here; `earlier` must not be later.
    #[must_use]
    pub fn frames_since(self, earlier: Position) -> u64 {
        assert!(earlier <= self, "position {} lies after {}", earlier.0, self.0);
        self.0 - earlier.0
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}", self.0)
    }
}

/// Frames in `ms` milliseconds at `rate` frames per second.
#[must_use]
pub fn frames_of_ms(ms: u64, rate: u32) -> u64 {
    ms * u64::from(rate) / 1000
}

/// Milliseconds in `frames` frames at `rate` frames per second, rounded down.
#[must_use]
pub fn ms_of_frames(frames: u64, rate: u32) -> u64 {
    assert!(rate > 0);
    frames * 1000 / u64::from(rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_prints_and_parses_rfc_3339() {
        let wall = WallTime(1_795_348_800_123);
        assert_eq!(wall.to_string(), "2026-11-22T12:00:00.123Z");
        assert_eq!(WallTime::parse("2026-11-22T13:00:00.123+01:00"), Some(wall));
        assert_eq!(wall.utc_day(), "2026-11-22");
        assert_eq!(WallTime::parse("yesterday"), None);
        // The calendar's end, and what lies beyond it, never reads as 1970.
        let last = "9999-12-30T22:00:00.999Z";
        for text in ["9999-12-31T23:59:59Z", "9999-12-31T00:00:00-05:00"] {
            assert_eq!(WallTime::parse(text).unwrap().to_string(), last, "{text}");
        }
        assert_eq!(WallTime(i64::MAX).to_string(), last);
        assert!(WallTime(i64::MIN).to_string().starts_with("-009999-"));
        for bad in ["9999-12-31", "9999-12-31T00:00:00", "9999-13-31T00:00:00Z"] {
            assert_eq!(WallTime::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn going_back_stops_at_the_start() {
        assert_eq!(Position(5).saturating_sub(8), Position(0));
        assert_eq!(Position(5).plus(3).frames_since(Position(2)), 6);
        assert_eq!(frames_of_ms(500, 8000), 4000);
        assert_eq!(ms_of_frames(4001, 8000), 500);
    }
}
