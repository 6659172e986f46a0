//! A screen that is painted over and over, and of which only what changed is sent.
//!
//! Letters are one column each, so that a place is a number. What is unchanged costs nothing, and a
//! short unchanged stretch is sent again where jumping over it would cost more: a screen behind a
//! serial line of 9600 baud takes 960 bytes a second. Nothing here reads or writes a terminal.

use crate::output::table::replace_controls;

/// Between two changes, so many unchanged letters are cheaper than a jump.
const REPAINT_GAP_MAX: usize = 6;

/// How letters look; without colour all of them are plain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    #[default]
    Plain,
    Dim,
    Green,
    Yellow,
    Red,
    Inverse,
}

impl Style {
    fn escape_sequence(self) -> &'static str {
        match self {
            Style::Plain => "\u{1b}[m",
            Style::Dim => "\u{1b}[;2m",
            Style::Green => "\u{1b}[;32m",
            Style::Yellow => "\u{1b}[;33m",
            Style::Red => "\u{1b}[;31m",
            Style::Inverse => "\u{1b}[;7m",
        }
    }
}

type Cell = (char, Style);

/// What is on the screen, and what is to be.
pub struct ScreenBuffer {
    columns: usize,
    has_colour: bool,
    current: Vec<Cell>,
    next: Vec<Cell>,
}

impl ScreenBuffer {
    /// A blank one; the terminal must be blank too.
    pub fn new((columns, rows): (usize, usize), colour: bool) -> ScreenBuffer {
        let blank = vec![(' ', Style::Plain); columns * rows];
        ScreenBuffer { columns, has_colour: colour, current: blank.clone(), next: blank }
    }

    /// Begins a new picture.
    pub fn reset(&mut self) {
        self.next.fill((' ', Style::Plain));
    }

    /// Writes a text; what does not fit the line is left out.
    pub fn write_text(&mut self, (row, column): (usize, usize), text: &str, ink: Style) {
        let ink = if self.has_colour { ink } else { Style::Plain };
        let line = self.next.chunks_mut(self.columns).nth(row).unwrap_or_default();
        for (cell, letter) in line.iter_mut().skip(column).zip(replace_controls(text).chars()) {
            *cell = (letter, ink);
        }
    }

    /// What makes the terminal show the new picture.
    pub fn render_changes(&mut self) -> String {
        let mut out = String::new();
        let mut ink = Style::Plain;
        // Where the terminal's cursor is.
        let mut at = None;
        // The last place of all is never written: terminals scroll there.
        let last = self.next.len().saturating_sub(1);
        for place in 0..last {
            if self.current[place] == self.next[place] {
                continue;
            }
            let (row, column) = (place / self.columns, place % self.columns);
            let near = |at: &usize| at / self.columns == row && place - at <= REPAINT_GAP_MAX;
            let from = at.filter(near).unwrap_or_else(|| {
                out.push_str(&format!("\u{1b}[{};{}H", row + 1, column + 1));
                place
            });
            for (letter, wanted) in &self.next[from..=place] {
                if *wanted != ink {
                    out.push_str(wanted.escape_sequence());
                    ink = *wanted;
                }
                out.push(*letter);
            }
            self.current[place] = self.next[place];
            at = Some(place + 1);
        }
        if ink != Style::Plain {
            out.push_str(Style::Plain.escape_sequence());
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h2_only_what_changed_is_painted() {
        let mut canvas = ScreenBuffer::new((20, 3), true);
        canvas.write_text((1, 2), "level ###", Style::Plain);
        assert_eq!(canvas.render_changes(), "\u{1b}[2;3Hlevel ###");
        assert_eq!(canvas.render_changes(), "");
        canvas.reset();
        canvas.write_text((1, 2), "level ##", Style::Plain);
        canvas.write_text((1, 10), "|", Style::Red);
        assert_eq!(canvas.render_changes(), "\u{1b}[2;11H\u{1b}[;31m|\u{1b}[m");
        // What does not fit is left out, control characters too.
        canvas.write_text((0, 18), "abc", Style::Plain);
        canvas.write_text((9, 0), "nowhere", Style::Plain);
        canvas.write_text((2, 0), "\u{7}x", Style::Plain);
        assert_eq!(canvas.render_changes(), "\u{1b}[1;19Hab\u{1b}[3;2Hx");
        let mut plain = ScreenBuffer::new((20, 3), false);
        plain.write_text((0, 0), "x", Style::Red);
        assert_eq!(plain.render_changes(), "\u{1b}[1;1Hx");
    }
}
