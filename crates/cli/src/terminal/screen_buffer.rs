//! A screen buffer that sends only changed cells.
//!
//! Each character takes one column. A short unchanged span is sent again if moving the cursor would
//! cost more bytes: a terminal at 9600 baud gets 960 bytes per second.

use crate::output::escape::escape_text;

/// Longest unchanged span that is cheaper to resend than to skip.
const REPAINT_GAP_MAX: usize = 6;

/// Text style; without colour all text is plain.
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

/// The current and the next screen content.
pub struct ScreenBuffer {
    columns: usize,
    has_colour: bool,
    current: Vec<Cell>,
    next: Vec<Cell>,
}

impl ScreenBuffer {
    /// Creates a blank buffer; the terminal must be blank too.
    pub fn new((columns, rows): (usize, usize), colour: bool) -> ScreenBuffer {
        let blank = vec![(' ', Style::Plain); columns * rows];
        ScreenBuffer { columns, has_colour: colour, current: blank.clone(), next: blank }
    }

    /// Clears the next content.
    pub fn reset(&mut self) {
        self.next.fill((' ', Style::Plain));
    }

    /// Writes text; what exceeds the line is dropped.
    pub fn write_text(&mut self, (row, column): (usize, usize), text: &str, style: Style) {
        let style = if self.has_colour { style } else { Style::Plain };
        let line = self.next.chunks_mut(self.columns).nth(row).unwrap_or_default();
        for (cell, letter) in line.iter_mut().skip(column).zip(escape_text(text).chars()) {
            *cell = (letter, style);
        }
    }

    /// Returns the output that updates the terminal to the next content.
    pub fn render_changes(&mut self) -> String {
        let mut out = String::new();
        let mut style = Style::Plain;
        // Cursor position of the terminal.
        let mut at = None;
        // The last cell is never written, because terminals scroll there.
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
                if *wanted != style {
                    out.push_str(wanted.escape_sequence());
                    style = *wanted;
                }
                out.push(*letter);
            }
            self.current[place] = self.next[place];
            at = Some(place + 1);
        }
        if style != Style::Plain {
            out.push_str(Style::Plain.escape_sequence());
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h2_only_changed_cells_are_sent() {
        let mut canvas = ScreenBuffer::new((20, 3), true);
        canvas.write_text((1, 2), "level ###", Style::Plain);
        assert_eq!(canvas.render_changes(), "\u{1b}[2;3Hlevel ###");
        assert_eq!(canvas.render_changes(), "");
        canvas.reset();
        canvas.write_text((1, 2), "level ##", Style::Plain);
        canvas.write_text((1, 10), "|", Style::Red);
        assert_eq!(canvas.render_changes(), "\u{1b}[2;11H\u{1b}[;31m|\u{1b}[m");
        // Text beyond the edge is dropped, and control characters are escaped.
        canvas.write_text((0, 18), "abc", Style::Plain);
        canvas.write_text((9, 0), "nowhere", Style::Plain);
        canvas.write_text((2, 0), "\u{7}x", Style::Plain);
        assert_eq!(canvas.render_changes(), "\u{1b}[1;19Hab\u{1b}[3;1H\\u{7}x");
        let mut plain = ScreenBuffer::new((20, 3), false);
        plain.write_text((0, 0), "x", Style::Red);
        assert_eq!(plain.render_changes(), "\u{1b}[1;1Hx");
    }
}
