//! A screen that is painted over and over, and of which only what changed is sent.
//!
//! Letters are one column each, so that a place is a number. What is unchanged costs nothing, and a
//! short unchanged stretch is sent again where jumping over it would cost more: a screen behind a
//! serial line of 9600 baud takes 960 bytes a second. Nothing here reads or writes a terminal.

use crate::output::table::plain;

/// Between two changes, so many unchanged letters are cheaper than a jump.
const JUMP: usize = 6;

/// How letters look; without colour all of them are plain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ink {
    #[default]
    Plain,
    Dim,
    Green,
    Yellow,
    Red,
    Inverse,
}

impl Ink {
    fn code(self) -> &'static str {
        match self {
            Ink::Plain => "\u{1b}[m",
            Ink::Dim => "\u{1b}[;2m",
            Ink::Green => "\u{1b}[;32m",
            Ink::Yellow => "\u{1b}[;33m",
            Ink::Red => "\u{1b}[;31m",
            Ink::Inverse => "\u{1b}[;7m",
        }
    }
}

type Cell = (char, Ink);

/// What is on the screen, and what is to be.
pub struct Canvas {
    columns: usize,
    colour: bool,
    shown: Vec<Cell>,
    wanted: Vec<Cell>,
}

impl Canvas {
    /// A blank one; the terminal must be blank too.
    pub fn new((columns, rows): (usize, usize), colour: bool) -> Canvas {
        let blank = vec![(' ', Ink::Plain); columns * rows];
        Canvas { columns, colour, shown: blank.clone(), wanted: blank }
    }

    /// Begins a new picture.
    pub fn blank(&mut self) {
        self.wanted.fill((' ', Ink::Plain));
    }

    /// Writes a text; what does not fit the line is left out.
    pub fn put(&mut self, (row, column): (usize, usize), text: &str, ink: Ink) {
        let ink = if self.colour { ink } else { Ink::Plain };
        let line = self.wanted.chunks_mut(self.columns).nth(row).unwrap_or_default();
        for (cell, letter) in line.iter_mut().skip(column).zip(plain(text).chars()) {
            *cell = (letter, ink);
        }
    }

    /// What makes the terminal show the new picture.
    pub fn paint(&mut self) -> String {
        let mut out = String::new();
        let mut ink = Ink::Plain;
        // Where the terminal's cursor is.
        let mut at = None;
        // The last place of all is never written: terminals scroll there.
        let last = self.wanted.len().saturating_sub(1);
        for place in 0..last {
            if self.shown[place] == self.wanted[place] {
                continue;
            }
            let (row, column) = (place / self.columns, place % self.columns);
            let near = |at: &usize| at / self.columns == row && place - at <= JUMP;
            let from = at.filter(near).unwrap_or_else(|| {
                out.push_str(&format!("\u{1b}[{};{}H", row + 1, column + 1));
                place
            });
            for (letter, wanted) in &self.wanted[from..=place] {
                if *wanted != ink {
                    out.push_str(wanted.code());
                    ink = *wanted;
                }
                out.push(*letter);
            }
            self.shown[place] = self.wanted[place];
            at = Some(place + 1);
        }
        if ink != Ink::Plain {
            out.push_str(Ink::Plain.code());
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h2_only_what_changed_is_painted() {
        let mut canvas = Canvas::new((20, 3), true);
        canvas.put((1, 2), "level ###", Ink::Plain);
        assert_eq!(canvas.paint(), "\u{1b}[2;3Hlevel ###");
        assert_eq!(canvas.paint(), "");
        canvas.blank();
        canvas.put((1, 2), "level ##", Ink::Plain);
        canvas.put((1, 10), "|", Ink::Red);
        assert_eq!(canvas.paint(), "\u{1b}[2;11H\u{1b}[;31m|\u{1b}[m");
        // What does not fit is left out, control characters too.
        canvas.put((0, 18), "abc", Ink::Plain);
        canvas.put((9, 0), "nowhere", Ink::Plain);
        canvas.put((2, 0), "\u{7}x", Ink::Plain);
        assert_eq!(canvas.paint(), "\u{1b}[1;19Hab\u{1b}[3;2Hx");
        let mut plain = Canvas::new((20, 3), false);
        plain.put((0, 0), "x", Ink::Red);
        assert_eq!(plain.paint(), "\u{1b}[1;1Hx");
    }
}
