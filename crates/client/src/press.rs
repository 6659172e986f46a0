//! The age of a press for a blackout.
//!
//! A line may wait: for a connection, or behind other lines. The box masks from the press on, so a
//! client that sends `blackout start` says how long ago the agent pressed.

use std::borrow::Cow;

/// The longest age that the box accepts, in milliseconds.
const AGE_MAX_MS: u64 = 600_000;
/// Ages below this are not worth a word: the lead covers them.
const AGE_MIN_MS: u64 = 50;

/// Adds `pressed_ms=` to an agent's `blackout start` that the agent pressed `age_ms` ago. Other
/// lines, and those that say it already, stay as they are.
#[must_use]
pub fn add_press_age(line: &str, age_ms: u64) -> Cow<'_, str> {
    let mut words = line.split_ascii_whitespace();
    let is_start = (words.next(), words.next()) == (Some("blackout"), Some("start"));
    let says = words.any(|word| word.starts_with("pressed_ms=") || word.starts_with("agent="));
    if !is_start || says || age_ms < AGE_MIN_MS {
        return Cow::Borrowed(line);
    }
    Cow::Owned(format!("{} pressed_ms={}", line.trim_end(), age_ms.min(AGE_MAX_MS)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g2_only_an_agents_late_press_gets_an_age() {
        assert_eq!(add_press_age("blackout start", 8000), "blackout start pressed_ms=8000");
        let lead = add_press_age("blackout start lead_ms=500", 90);
        assert_eq!(lead, "blackout start lead_ms=500 pressed_ms=90");
        assert_eq!(add_press_age("blackout start", u64::MAX), "blackout start pressed_ms=600000");
        for same in [
            "blackout start pressed_ms=1",
            "blackout start agent=jdoe",
            "blackout stop",
            "record start",
            "",
        ] {
            assert_eq!(add_press_age(same, 8000), same);
        }
        assert_eq!(add_press_age("blackout start", 0), "blackout start");
    }
}
