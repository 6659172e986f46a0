//! Days and times as people write and read them: in the site's time zone.
//!
//! A day of the site may have 23 or 25 hours. Times are shown as RFC 3339 with their offset,
//! because an hour happens twice when summer time ends.

use hushbox::time::WallTime;
use jiff::ToSpan;
use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};

/// Why a text is not a moment.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    #[error("is not a time")]
    Malformed,
    #[error("happens twice at this site: write {first} or {second}")]
    Twice { first: String, second: String },
    #[error("does not exist at this site: the clock was put forward")]
    Skipped,
}

/// The day that a text names: `today`, `yesterday` or `2026-11-22`.
pub fn parse_day(text: &str, zone: &TimeZone, now: WallTime) -> Option<Date> {
    let today = now.to_site_date(zone);
    match text {
        "today" => Some(today),
        "yesterday" => today.yesterday().ok(),
        day => day.parse::<Date>().ok().filter(|date| date.to_string() == day),
    }
}

/// Returns the first moment of a day, and that of the next day.
pub fn day_bounds(day: Date, zone: &TimeZone) -> (WallTime, WallTime) {
    let start = |day: Date| WallTime::start_of_day(day, zone);
    // The last day of the calendar has no next day.
    let end = day.checked_add(1.day()).map_or(WallTime(i64::MAX), start);
    (start(day), end)
}

/// Parses a day as its first moment, a time of the site, or RFC 3339 with an offset.
pub fn parse_time(text: &str, zone: &TimeZone, now: WallTime) -> Result<WallTime, TimeError> {
    if let Some(day) = parse_day(text, zone, now) {
        return Ok(day_bounds(day, zone).0);
    }
    if let Some(time) = WallTime::parse(text) {
        return Ok(time);
    }
    // `DateTime` would ignore an offset.
    let has_offset = text.contains(['Z', 'z', '+', '[']) || text.matches('-').count() > 2;
    let local = text.parse::<DateTime>().ok().filter(|_| text.contains(':') && !has_offset);
    let local = local.ok_or(TimeError::Malformed)?;
    let found = zone.to_ambiguous_timestamp(local);
    match found.offset() {
        AmbiguousOffset::Unambiguous { offset } => {
            let time = offset.to_timestamp(local).map_err(|_| TimeError::Malformed)?;
            Ok(WallTime(time.as_millisecond()))
        }
        AmbiguousOffset::Gap { .. } => Err(TimeError::Skipped),
        AmbiguousOffset::Fold { before, after } => {
            let with = |offset: jiff::tz::Offset| {
                let time = offset.to_timestamp(local).unwrap_or_default();
                WallTime(time.as_millisecond()).to_local(&offset.to_time_zone())
            };
            Err(TimeError::Twice { first: with(before), second: with(after) })
        }
    }
}

/// Formats a time of a record document for people at the site.
pub fn to_site_text(time: &str, zone: &TimeZone) -> String {
    WallTime::parse(time).map_or_else(|| time.to_owned(), |time| time.to_local(zone))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-11-22T23:30:00Z";

    fn parse(text: &str) -> Result<String, TimeError> {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let now = WallTime::parse(NOW).unwrap();
        parse_time(text, &zone, now).map(|time| time.to_string())
    }

    fn hours(day: &str) -> i64 {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let day = parse_day(day, &zone, WallTime::parse(NOW).unwrap()).unwrap();
        let (from, to) = day_bounds(day, &zone);
        (to.0 - from.0) / 3_600_000
    }

    #[test]
    fn days_begin_and_end_with_the_days_of_the_site() {
        // At 23:30 UTC the site is a day ahead.
        assert_eq!(parse("today"), Ok("2026-11-22T23:00:00.000Z".to_owned()));
        assert_eq!(parse("yesterday"), Ok("2026-11-21T23:00:00.000Z".to_owned()));
        assert_eq!(parse("2026-07-01"), Ok("2026-06-30T22:00:00.000Z".to_owned()));
        assert_eq!([hours("today"), hours("2026-03-29"), hours("2026-10-25")], [24, 23, 25]);
        // Midnight itself does not exist on the first day of summer time in Beirut.
        let beirut = TimeZone::get("Asia/Beirut").unwrap();
        let day = parse_day("2021-03-28", &beirut, WallTime(0)).unwrap();
        assert_eq!(day_bounds(day, &beirut).0.to_string(), "2021-03-27T22:00:00.000Z");
    }

    #[test]
    fn times_that_happen_twice_or_never_are_refused() {
        assert_eq!(parse("2026-11-22T14:00"), Ok("2026-11-22T13:00:00.000Z".to_owned()));
        assert_eq!(parse("2026-11-22 14:00:05"), Ok("2026-11-22T13:00:05.000Z".to_owned()));
        let twice = parse("2026-10-25T02:30").unwrap_err();
        let (first, second) = ("2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00");
        assert_eq!(twice, TimeError::Twice { first: first.to_owned(), second: second.to_owned() });
        assert_eq!(parse(first), Ok("2026-10-25T00:30:00.000Z".to_owned()));
        assert_eq!(parse(second), Ok("2026-10-25T01:30:00.000Z".to_owned()));
        assert_eq!(parse("2026-03-29T02:30"), Err(TimeError::Skipped));
        for bad in ["", "tomorrow", "20261122", "2026-13-01", "14:00", "2026-11-22T25:00"] {
            assert_eq!(parse(bad), Err(TimeError::Malformed), "{bad}");
        }
    }

    #[test]
    fn the_last_day_of_the_calendar_is_a_day() {
        for last in ["9999-12-31", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59+01:00"] {
            assert!(parse(last).is_ok_and(|time| time.starts_with("9999-12-30")), "{last}");
        }
        let (from, to) = day_bounds(Date::MAX, &TimeZone::UTC);
        assert!(from < to);
        assert_eq!(
            to_site_text("9999-12-30T22:00:00Z", &TimeZone::UTC),
            "9999-12-30T22:00:00+00:00"
        );
        assert_eq!(to_site_text("-", &TimeZone::UTC), "-");
    }
}
