//! Makes texts from other sources safe to show on a terminal.
//!
//! Names, numbers, fields and messages come from telephone systems, recorders and people.
//! Characters that a terminal obeys, or that change the look of the text around them, are shown in
//! the form `\u{1b}`.

use std::io::{self, IsTerminal, Write};

/// Escapes control characters, direction marks (bidi) and characters without a width.
pub fn escape_text(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        match is_harmful(letter) {
            true => shown.extend(letter.escape_default()),
            false => shown.push(letter),
        }
    }
    shown
}

/// Writes lines: as they are to a program, escaped to a terminal.
pub fn write_lines(out: &mut (impl Write + IsTerminal), text: &str) -> io::Result<()> {
    match out.is_terminal() {
        true => out.write_all(escape_lines(text).as_bytes())?,
        false => out.write_all(text.as_bytes())?,
    }
    out.flush()
}

/// Writes lines to stderr. If that fails, there is no place left to say so.
pub fn print_message(text: &str) {
    drop(write_lines(&mut io::stderr(), text));
}

fn escape_lines(text: &str) -> String {
    text.split('\n').map(escape_text).collect::<Vec<_>>().join("\n")
}

/// Joiners (U+200C and U+200D) belong to the spelling of some languages.
fn is_harmful(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_others_cannot_command_the_terminal_or_turn_its_text_around() {
        assert_eq!(escape_text("Zoë 王 😀 a\u{200d}b"), "Zoë 王 😀 a\u{200d}b");
        assert_eq!(escape_text("a\u{1b}[2Jb\tc\r"), "a\\u{1b}[2Jb\\tc\\r");
        assert_eq!(
            escape_text("evil\u{202e}gpj\u{200b}\u{9b}"),
            "evil\\u{202e}gpj\\u{200b}\\u{9b}"
        );
        assert_eq!(escape_lines("a\nb\u{7}\n"), "a\nb\\u{7}\n");
    }
}
