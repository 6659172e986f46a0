//! Texts for people: shortened, durations, and characters that a person cannot see.

use std::borrow::Cow;

/// Ends a shortened text.
pub const ELLIPSIS: char = '…';

/// Characters of an excerpt.
const EXCERPT_CHARS: usize = 40;

/// The start of a text from outside, short enough to repeat it in a message.
#[must_use]
pub fn excerpt(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(EXCERPT_CHARS) {
        Some((end, _)) => Cow::Owned(format!("{}{ELLIPSIS}", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

/// Shortens a text to at most `most` bytes, between characters and with a mark.
#[must_use]
pub fn shorten_text(text: &str, most: usize) -> Cow<'_, str> {
    if text.len() <= most {
        return Cow::Borrowed(text);
    }
    let is_boundary = |end: &usize| text.is_char_boundary(*end);
    let end = (0..=most.saturating_sub(ELLIPSIS.len_utf8())).rev().find(is_boundary).unwrap_or(0);
    Cow::Owned(format!("{}{ELLIPSIS}", &text[..end]))
}

/// Formats a duration in milliseconds as `1:02:03` or `2:03`.
#[must_use]
pub fn format_duration(ms: u64) -> String {
    let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    if hours > 0 {
        return format!("{hours}:{minutes:02}:{seconds:02}");
    }
    format!("{minutes}:{seconds:02}")
}

/// Whether the character has no glyph, or reorders the text around it. Two names that differ only
/// in such characters look alike, and a name with them can look like another.
#[must_use]
pub fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_has_40_characters_and_a_mark() {
        assert_eq!(excerpt("abc"), "abc");
        assert_eq!(excerpt(&"é".repeat(40)), "é".repeat(40));
        assert_eq!(excerpt(&"é".repeat(41)), "é".repeat(40) + "…");
    }

    #[test]
    fn a_shortened_text_ends_between_characters_with_a_mark() {
        assert_eq!(shorten_text("abcdef", 6), "abcdef");
        assert_eq!(shorten_text("abcdefg", 6), "abc…");
        assert_eq!(shorten_text("aééé", 6), "aé…");
    }

    #[test]
    fn a_duration_has_hours_only_from_one_hour() {
        let texts = [0, 61_999, 3_599_999, 3_723_000].map(format_duration);
        assert_eq!(texts, ["0:00", "1:01", "59:59", "1:02:03"]);
    }

    #[test]
    fn bidi_and_zero_width_characters_are_invisible_and_letters_are_not() {
        for c in ['\u{202e}', '\u{2066}', '\u{200b}', '\u{200d}', '\u{feff}', '\u{e0041}'] {
            assert!(is_invisible(c), "{c:?}");
        }
        assert!(!"Jörg Ñandú-Ó'Neil 山田 יוסף".chars().any(is_invisible));
    }
}
