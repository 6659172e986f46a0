//! Days and times as people at the site write and read them: in the time zone of the box.
//!
//! A day of the site may have 23 or 25 hours. A time that happens twice, when summer time ends, is
//! shown with its offset. A search begins with the first such moment and ends with the last one.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use std::fmt;

/// The time zone of the box, as it reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteZone(TimeZone);

impl Default for SiteZone {
    fn default() -> SiteZone {
        SiteZone(TimeZone::UTC)
    }
}

impl fmt::Display for SiteZone {
    /// Writes the zone's name, such as `Europe/Berlin`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.0.iana_name().unwrap_or("UTC"))
    }
}

/// Which moment a time means that happens twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    First,
    Last,
}

impl SiteZone {
    /// Finds a zone by its name; an unknown one is UTC.
    #[must_use]
    pub fn from_name(name: &str) -> SiteZone {
        TimeZone::get(name).map_or_else(|_| SiteZone::default(), SiteZone)
    }

    /// Formats a moment; one of a time that happens twice has its offset.
    #[must_use]
    pub fn format(&self, at: Timestamp) -> String {
        let local = at.to_zoned(self.0.clone());
        let is_twice = self.0.to_ambiguous_timestamp(local.datetime()).is_ambiguous();
        let form = if is_twice { "%Y-%m-%d %H:%M:%S %:z" } else { "%Y-%m-%d %H:%M:%S" };
        local.strftime(form).to_string()
    }

    /// Formats a Unix time in milliseconds.
    #[must_use]
    pub fn format_ms(&self, ms: i64) -> String {
        self.format(Timestamp::from_millisecond(ms).unwrap_or_default())
    }

    /// Formats a Unix time in seconds.
    #[must_use]
    pub fn format_seconds(&self, seconds: i64) -> String {
        self.format(Timestamp::from_second(seconds).unwrap_or_default())
    }

    /// Formats a time of the box (RFC 3339); any other text stays as it is.
    #[must_use]
    pub fn format_text(&self, text: &str) -> String {
        text.parse().map_or_else(|_| text.to_owned(), |at| self.format(at))
    }

    /// Converts a day or time of a form to RFC 3339. A time with an offset, and what is no time,
    /// stays as it is: the box judges it.
    #[must_use]
    pub fn to_rfc3339(&self, text: &str, bound: Bound) -> String {
        let at = match text.parse::<Timestamp>() {
            Ok(at) => Some(at),
            Err(_) if text.len() == 10 => text.parse::<Date>().ok().and_then(|day| self.start(day)),
            Err(_) => text.parse::<DateTime>().ok().and_then(|local| self.moment(local, bound)),
        };
        at.map_or_else(|| text.to_owned(), |at| at.to_string())
    }

    /// The first moment of a day. Where midnight does not exist, it is the moment after the gap.
    fn start(&self, day: Date) -> Option<Timestamp> {
        day.to_zoned(self.0.clone()).ok().map(|local| local.timestamp())
    }

    fn moment(&self, local: DateTime, bound: Bound) -> Option<Timestamp> {
        let found = self.0.to_ambiguous_timestamp(local);
        match bound {
            Bound::First => found.earlier().ok(),
            // The last moment that the clock shows so: the end of the repeated hour counts.
            Bound::Last => found.later().ok(),
        }
    }
}

/// Returns the moment this many milliseconds after `start`.
#[must_use]
pub fn after_ms(start: Timestamp, ms: u64) -> Timestamp {
    let ms = SignedDuration::from_millis(i64::try_from(ms).unwrap_or(i64::MAX));
    start.checked_add(ms).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn berlin() -> SiteZone {
        SiteZone::from_name("Europe/Berlin")
    }

    #[test]
    fn days_of_23_and_25_hours_begin_and_end_with_the_site() {
        let hours = |from: &str, to: &str| {
            let moment = |day: &str| -> Timestamp {
                berlin().to_rfc3339(day, Bound::First).parse().unwrap()
            };
            (moment(to) - moment(from)).total(jiff::Unit::Hour).unwrap()
        };
        assert!((hours("2026-03-29", "2026-03-30") - 23.0).abs() < 1e-9);
        assert!((hours("2026-10-25", "2026-10-26") - 25.0).abs() < 1e-9);
        assert_eq!(berlin().to_rfc3339("2026-07-01", Bound::First), "2026-06-30T22:00:00Z");
        assert_eq!(berlin().to_string(), "Europe/Berlin");
        assert_eq!(SiteZone::from_name("Nowhere/Nix").to_string(), "UTC");
    }

    #[test]
    fn the_repeated_hour_is_searched_whole_and_shown_with_its_offset() {
        let zone = berlin();
        let twice = "2026-10-25T02:30";
        assert_eq!(zone.to_rfc3339(twice, Bound::First), "2026-10-25T00:30:00Z");
        assert_eq!(zone.to_rfc3339(twice, Bound::Last), "2026-10-25T01:30:00Z");
        assert_eq!(zone.format_text("2026-10-25T00:30:00.000Z"), "2026-10-25 02:30:00 +02:00");
        assert_eq!(zone.format_text("2026-10-25T01:30:00.000Z"), "2026-10-25 02:30:00 +01:00");
        assert_eq!(zone.format_text("2026-11-22T13:00:05Z"), "2026-11-22 14:00:05");
        assert_eq!(zone.to_rfc3339("2026-03-29T02:30:00", Bound::First), "2026-03-29T00:30:00Z");
        assert_eq!(zone.to_rfc3339("2026-11-22T14:00", Bound::First), "2026-11-22T13:00:00Z");
    }

    #[test]
    fn texts_with_an_offset_and_nonsense_go_to_the_box_as_they_are() {
        let zone = berlin();
        for (text, wanted) in [
            ("2026-11-22T14:00:00+01:00", "2026-11-22T13:00:00Z"),
            ("2026-11-22T14:00:00Z", "2026-11-22T14:00:00Z"),
            ("tomorrow", "tomorrow"),
            ("2026-13-01", "2026-13-01"),
        ] {
            assert_eq!(zone.to_rfc3339(text, Bound::First), wanted, "{text}");
        }
        assert_eq!(zone.format_text("-"), "-");
        assert_eq!(after_ms(Timestamp::UNIX_EPOCH, 1500).as_millisecond(), 1500);
    }
}
