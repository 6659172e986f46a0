//! A terminal's screen as an SVG picture, which browsers show and git can diff.

use std::fmt::Write;
use vt100::{Cell, Color, Screen};

/// Width of a character in pixels.
const WIDTH: usize = 9;
const HEIGHT: usize = 18;
const MARGIN: usize = 12;
const PAPER: &str = "#10151c";
const INK: &str = "#d6dde6";

pub fn svg(screen: &Screen) -> String {
    let (rows, columns) = screen.size();
    let (wide, high) = (usize::from(columns) * WIDTH, usize::from(rows) * HEIGHT);
    let (wide, high) = (wide + 2 * MARGIN, high + 2 * MARGIN);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{wide}\" height=\"{high}\" \
         viewBox=\"0 0 {wide} {high}\" font-size=\"15\" \
         font-family=\"DejaVu Sans Mono, Menlo, Consolas, monospace\">\n\
         <rect width=\"{wide}\" height=\"{high}\" rx=\"8\" fill=\"{PAPER}\"/>\n"
    );
    for row in 0..rows {
        let cells = (0..columns).filter_map(|column| screen.cell(row, column));
        let cells: Vec<(usize, &Cell)> = cells.enumerate().collect();
        for run in cells.chunk_by(|(_, a), (_, b)| look(a) == look(b)) {
            paint(&mut text, usize::from(row), run);
        }
    }
    text + "</svg>\n"
}

fn look(cell: &Cell) -> (&'static str, bool, bool) {
    let colour = match cell.fgcolor() {
        Color::Idx(1) => "#ff6b6b",
        Color::Idx(2) => "#5fd38d",
        Color::Idx(3) => "#f2c94c",
        _ => INK,
    };
    (colour, cell.inverse(), cell.dim())
}

fn paint(text: &mut String, row: usize, run: &[(usize, &Cell)]) {
    let letters: String = run.iter().map(|(_, cell)| letter(cell)).collect();
    let (colour, inverse, dim) = look(run[0].1);
    let (x, y) = (MARGIN + run[0].0 * WIDTH, MARGIN + row * HEIGHT);
    let wide = run.len() * WIDTH;
    if inverse {
        writeln!(
            text,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{wide}\" height=\"{HEIGHT}\" fill=\"{INK}\"/>"
        )
        .unwrap();
    }
    if letters.trim().is_empty() {
        return;
    }
    let colour = if inverse { PAPER } else { colour };
    let opacity = if dim { " opacity=\"0.6\"" } else { "" };
    let y = y + HEIGHT - 5;
    let letters = letters.replace('&', "&amp;").replace('<', "&lt;");
    writeln!(
        text,
        "<text x=\"{x}\" y=\"{y}\" textLength=\"{wide}\" fill=\"{colour}\"{opacity} \
         xml:space=\"preserve\">{letters}</text>"
    )
    .unwrap();
}

fn letter(cell: &Cell) -> String {
    let letter = cell.contents();
    if letter.is_empty() { " ".to_owned() } else { letter.to_owned() }
}
