//! Times of metadata: RFC 3339, and what recording clients write instead.

use super::UnixMillis;

/// Reads a time such as `2026-11-30T06:20:11Z`.
///
/// It may have a fraction, an offset without a colon (`+0000`), or no offset at all, which is read
/// as UTC.
pub(super) fn parse_time(text: &str) -> Option<UnixMillis> {
    let (date, rest) = text.trim().split_once(['T', 't', ' '])?;
    let mut date = date.splitn(3, '-');
    let year = number(date.next()?, 4)?;
    let month = number(date.next()?, 2).filter(|month| (1..=12).contains(month))?;
    let day = number(date.next()?, 2).filter(|day| (1..=31).contains(day))?;
    let zone_at = rest.find(['Z', 'z', '+', '-']).unwrap_or(rest.len());
    let (clock, zone) = rest.split_at(zone_at);
    let (clock, fraction) = clock.trim().split_once('.').unwrap_or((clock.trim(), ""));
    let mut clock = clock.splitn(3, ':');
    let hours = number(clock.next()?, 2).filter(|hours| *hours <= 23)?;
    let minutes = number(clock.next()?, 2).filter(|minutes| *minutes <= 59)?;
    // 60 is a leap second.
    let seconds = number(clock.next()?, 2).filter(|seconds| *seconds <= 60)?;
    let seconds = ((days_since_1970(year, month, day) * 24 + hours) * 60 + minutes) * 60 + seconds;
    Some(UnixMillis((seconds - offset_seconds(zone)?) * 1_000 + milliseconds(fraction)?))
}

/// A number of exactly `digits` digits.
fn number(text: &str, digits: usize) -> Option<i64> {
    let is_number = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

/// The offset from UTC: `Z`, `+01:00`, `+0100`, `+01` or nothing.
fn offset_seconds(zone: &str) -> Option<i64> {
    if matches!(zone, "" | "Z" | "z") {
        return Some(0);
    }
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let digits = zone.get(1..)?;
    let (hours, minutes) = digits
        .split_once(':')
        .unwrap_or_else(|| if digits.len() == 4 { digits.split_at(2) } else { (digits, "00") });
    Some(sign * (number(hours, 2)? * 3_600 + number(minutes, 2)? * 60))
}

/// The first three digits of a fraction of a second.
fn milliseconds(fraction: &str) -> Option<i64> {
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = fraction.get(..3).unwrap_or(fraction);
    format!("{digits:0<3}").parse().ok()
}

/// Days since 1970-01-01 in the Gregorian calendar. A day beyond its month counts on into the next.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    // The year begins in March, so that the leap day is its last day.
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let days_before_month = (month * 153 + 2) / 5;
    year * 365 + leap_days + days_before_month + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_recording_clients_write_them() {
        let samples = [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("1969-12-31T23:59:59Z", Some(-1_000)),
            ("2026-11-30T06:20:11+0000", Some(1_796_019_611_000)),
            ("2026-11-30T06:20:11+00:00", Some(1_796_019_611_000)),
            ("2026-11-30T06:20:11", Some(1_796_019_611_000)),
            ("2026-11-30 06:20:11Z", Some(1_796_019_611_000)),
            ("2026-11-30T01:20:11.5-05:00", Some(1_796_019_611_500)),
            ("2026-11-30T07:20:11.040999+01", Some(1_796_019_611_040)),
            ("2024-02-29T12:00:00Z", Some(1_709_208_000_000)),
            ("2000-03-01T00:00:00Z", Some(951_868_800_000)),
            ("", None),
            ("2026-11-30", None),
            ("2026-13-30T06:20:11Z", None),
            ("2026-11-30T24:20:11Z", None),
            ("2026-11-30T06:20:11+1", None),
            ("2026-11-30T06:20:11.x", None),
            ("26-11-30T06:20:11Z", None),
        ];
        for (text, millis) in samples {
            assert_eq!(parse_time(text), millis.map(UnixMillis), "{text}");
        }
    }
}
