//! Scripts for channels with `activity = "script"`: timed calls in a loop.
//!
//! A script is a list of steps, `idle 5s, call in 20s ani=5551234 dnis=800, idle 5s`. A time is a
//! whole number and a unit: `ms`, `s`, `m` or `h`. Every step lasts at least 100 ms, so that a
//! script cannot overload the box.

use crate::config::Direction;
use crate::config::error::shorten_text;
use std::ops::RangeInclusive;

/// Maximum number of steps in a script.
pub const STEPS_MAX: usize = 64;
/// Length of one step, from 100 ms to a day.
pub const STEP_MS: RangeInclusive<u32> = 100..=86_400_000;
/// Maximum length of ANI and DNIS in bytes.
const NUMBER_BYTES_MAX: usize = 32;

/// One step of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScriptStep {
    /// No call.
    Idle {
        /// Duration in milliseconds.
        ms: u32,
    },
    /// A call.
    Call {
        /// Duration in milliseconds.
        ms: u32,
        /// Direction of the call.
        direction: Direction,
        /// The caller's number.
        ani: Option<String>,
        /// The dialled number.
        dnis: Option<String>,
    },
}

/// Error in a script. Steps are counted from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    /// Too many steps.
    #[error("{found} steps, allowed at most {}", STEPS_MAX)]
    Steps {
        /// Number of steps.
        found: usize,
    },
    /// A step that is neither idle nor call.
    #[error(
        "step {step} {found:?}, allowed \"idle TIME\" or \"call in|out TIME [ani=N] [dnis=N]\""
    )]
    Step {
        /// Number of the step.
        step: usize,
        /// Text of the step.
        found: String,
    },
    /// Invalid time, or outside `STEP_MS`.
    #[error("step {step} lasting {found:?}, allowed 100ms to 24h, like 20s")]
    Time {
        /// Number of the step.
        step: usize,
        /// The invalid time.
        found: String,
    },
    /// Invalid word after the time.
    #[error("step {step} with {found:?}, allowed ani= and dnis= once, 1 to 32 letters or digits")]
    Number {
        /// Number of the step.
        step: usize,
        /// The invalid word.
        found: String,
    },
}

/// Parses a script.
pub fn parse_script(text: &str) -> Result<Vec<ScriptStep>, ScriptError> {
    let found = text.split(',').count();
    if found > STEPS_MAX {
        return Err(ScriptError::Steps { found });
    }
    (1..).zip(text.split(',')).map(|(step, words)| parse_step(step, words)).collect()
}

/// Returns the script for channels without one: a 20 s call every 30 s.
#[must_use]
pub fn default_script() -> Vec<ScriptStep> {
    let idle = ScriptStep::Idle { ms: 5_000 };
    let call = ScriptStep::Call { ms: 20_000, direction: Direction::In, ani: None, dnis: None };
    vec![idle.clone(), call, idle]
}

fn parse_step(step: usize, text: &str) -> Result<ScriptStep, ScriptError> {
    let time = |word: &str| {
        let ms = parse_time_ms(word).filter(|ms| STEP_MS.contains(ms));
        ms.ok_or(ScriptError::Time { step, found: shorten_text(word) })
    };
    let words: Vec<&str> = text.split_whitespace().collect();
    let (direction, length, rest) = match words.as_slice() {
        ["idle", length] => return Ok(ScriptStep::Idle { ms: time(length)? }),
        ["call", "in", length, rest @ ..] => (Direction::In, length, rest),
        ["call", "out", length, rest @ ..] => (Direction::Out, length, rest),
        _ => return Err(ScriptError::Step { step, found: shorten_text(text.trim()) }),
    };
    let (ms, mut ani, mut dnis) = (time(length)?, None, None);
    for word in rest {
        let bad = || ScriptError::Number { step, found: shorten_text(word) };
        let (key, value) = word.split_once('=').ok_or_else(bad)?;
        let number = match key {
            "ani" => &mut ani,
            "dnis" => &mut dnis,
            _ => return Err(bad()),
        };
        let fits = (1..=NUMBER_BYTES_MAX).contains(&value.len())
            && value.bytes().all(|b| b.is_ascii_alphanumeric() || b"+*#-.".contains(&b));
        if !fits || number.is_some() {
            return Err(bad());
        }
        *number = Some(value.to_owned());
    }
    Ok(ScriptStep::Call { ms, direction, ani, dnis })
}

/// Parses `250ms`, `20s`, `60m`, `4h` to milliseconds. `None` if malformed or above 49 days.
#[must_use]
pub fn parse_time_ms(word: &str) -> Option<u32> {
    let digits = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit_ms = match &word[digits.len()..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    let whole = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse::<u32>().ok().filter(|_| whole)?.checked_mul(unit_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_read_step_by_step() {
        let steps =
            parse_script("idle 3s, call in 20s ani=5551234 dnis=800,call out 1m , idle 500ms");
        let call = |ms, direction, ani: Option<&str>, dnis: Option<&str>| {
            let (ani, dnis) = (ani.map(str::to_owned), dnis.map(str::to_owned));
            ScriptStep::Call { ms, direction, ani, dnis }
        };
        let wanted = vec![
            ScriptStep::Idle { ms: 3_000 },
            call(20_000, Direction::In, Some("5551234"), Some("800")),
            call(60_000, Direction::Out, None, None),
            ScriptStep::Idle { ms: 500 },
        ];
        assert_eq!(steps, Ok(wanted));
        assert_eq!(parse_script("idle 5s, call in 20s, idle 5s"), Ok(default_script()));
    }

    #[test]
    fn a_bad_script_names_its_step() {
        let bad = [
            ("", "step 1 \"\", allowed"),
            ("idle 5s,", "step 2 \"\", allowed"),
            ("call 20s", "step 1 \"call 20s\", allowed"),
            ("idle 5s, call in 20", "step 2 lasting \"20\""),
            ("idle 99ms", "step 1 lasting \"99ms\""),
            ("idle 25h", "step 1 lasting \"25h\""),
            ("call in 5s ani=", "step 1 with \"ani=\""),
            ("call in 5s ani=1 ani=2", "step 1 with \"ani=2\""),
            ("call in 5s gate=1", "step 1 with \"gate=1\""),
            ("call in 5s 12", "step 1 with \"12\""),
        ];
        for (text, wanted) in bad {
            let error = parse_script(text).unwrap_err().to_string();
            assert!(error.starts_with(wanted), "{text}: {error}");
        }
        let long = vec!["idle 1s"; STEPS_MAX + 1].join(",");
        assert_eq!(parse_script(&long), Err(ScriptError::Steps { found: 65 }));
    }

    #[test]
    fn a_time_is_a_number_and_a_unit() {
        assert_eq!(parse_time_ms("250ms"), Some(250));
        assert_eq!(parse_time_ms("4h"), Some(4 * 3_600_000));
        for bad in ["", "s", "5", "5 s", "+5s", "-5s", "1.5s", "5d", "5S", "1194h", "ä5s", "5ä"] {
            assert_eq!(parse_time_ms(bad), None, "{bad}");
        }
    }
}
