//! Aligned tables for the terminal.
//!
//! Cells are escaped, so that stored text cannot manipulate the terminal. Numeric columns are
//! right-aligned. With a maximum width, the widest columns are wrapped; a table that still does not
//! fit becomes a list. Cells are never truncated.

use crate::output::escape::escape_text;
use std::fmt;

/// Spaces between two columns.
const COLUMN_GAP: usize = 2;
/// Minimum width to which columns are wrapped.
const COLUMN_WIDTH_MIN: usize = 8;

/// A table of headings and rows.
pub struct Table {
    headings: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Creates a table without rows.
    pub fn new(head: Vec<String>) -> Table {
        Table { headings: head, rows: Vec::new() }
    }

    /// Adds a row with one cell per column.
    pub fn push_row(&mut self, cells: Vec<String>) {
        assert_eq!(cells.len(), self.headings.len(), "cells of a row");
        self.rows.push(cells.iter().map(|cell| escape_text(cell)).collect());
    }

    /// Formats the table, at most `columns` wide.
    pub fn format_within(&self, columns: usize) -> String {
        let mut widths: Vec<usize> =
            self.measure_columns().iter().map(|(width, _)| *width).collect();
        let total = |widths: &[usize]| widths.iter().map(|width| width + COLUMN_GAP).sum::<usize>();
        let fits = |widths: &[usize]| total(widths) <= columns.saturating_add(COLUMN_GAP);
        if fits(&widths) {
            return self.to_string();
        }
        while !fits(&widths) {
            let Some(widest) = widths.iter_mut().max() else { break };
            if *widest <= COLUMN_WIDTH_MIN {
                return self.format_list(columns);
            }
            *widest -= 1;
        }
        let wrapped = |row: &Vec<String>| {
            let cells: Vec<Vec<String>> =
                row.iter().zip(&widths).map(|(cell, width)| wrap_text(cell, *width)).collect();
            let lines = cells.iter().map(Vec::len).max().unwrap_or(0);
            let cell =
                |cell: &Vec<String>, line: usize| cell.get(line).cloned().unwrap_or_default();
            let line = |line: usize| cells.iter().map(|of| cell(of, line)).collect();
            (0..lines).map(line).collect::<Vec<Vec<String>>>()
        };
        let mut narrow = Table { headings: Vec::new(), rows: Vec::new() };
        let mut head = wrapped(&self.headings).into_iter();
        narrow.headings = head.next().unwrap_or_default();
        narrow.rows = head.chain(self.rows.iter().flat_map(wrapped)).collect();
        narrow.to_string()
    }

    /// Formats one cell per line.
    pub fn format_list(&self, columns: usize) -> String {
        let widest = self.headings.iter().map(|head| head.chars().count()).max().unwrap_or(0);
        let room = columns.saturating_sub(widest + COLUMN_GAP).max(COLUMN_WIDTH_MIN);
        let mut text = String::new();
        for row in &self.rows {
            for (head, cell) in self.headings.iter().zip(row) {
                for (nth, part) in wrap_text(cell, room).iter().enumerate() {
                    let head = if nth == 0 { head.as_str() } else { "" };
                    text.push_str(format!("{head:widest$}  {part}").trim_end());
                    text.push('\n');
                }
            }
            text.push('\n');
        }
        text
    }

    fn measure_columns(&self) -> Vec<(usize, bool)> {
        let width = |text: &String| text.chars().count();
        let column = |(index, head): (usize, &String)| {
            let cells = || self.rows.iter().filter_map(|row| row.get(index));
            let widest = cells().map(width).max().unwrap_or(0).max(width(head));
            // Continuation lines have empty cells; `-` stands for a missing number.
            let number = |cell: &String| {
                let digits = cell.strip_prefix('-').unwrap_or(cell);
                digits.bytes().all(|byte| byte.is_ascii_digit())
            };
            let some = cells().any(|cell| cell.bytes().any(|byte| byte.is_ascii_digit()));
            (widest, some && cells().all(number))
        };
        self.headings.iter().enumerate().map(column).collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.measure_columns();
        for row in std::iter::once(&self.headings).chain(&self.rows) {
            let mut line = String::new();
            for (cell, (width, right)) in row.iter().zip(&columns) {
                let space = " ".repeat(width - cell.chars().count());
                let (before, after) = if *right { (&*space, "") } else { ("", &*space) };
                line.push_str(&format!("{before}{cell}{after}  "));
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Wraps a text to lines of at most `width` characters, at spaces where possible.
pub fn wrap_text(text: &str, width: usize) -> Vec<String> {
    let (mut lines, mut line) = (Vec::new(), String::new());
    for word in text.split(' ') {
        let length = line.chars().count();
        if !line.is_empty() && length + 1 + word.chars().count() > width {
            lines.push(std::mem::take(&mut line));
        } else if !line.is_empty() {
            line.push(' ');
        }
        for letter in word.chars() {
            if line.chars().count() == width {
                lines.push(std::mem::take(&mut line));
            }
            line.push(letter);
        }
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h2_table_fits_without_losing_text() {
        let mut table = Table::new(["n", "text", "at"].map(str::to_owned).to_vec());
        let words = "one two three four five six seven eight nine ten eleven twelve";
        table.push_row(["7", words, "2026-11-22T16:19:11.123Z"].map(str::to_owned).to_vec());
        let letters = |text: &str| {
            let mut letters: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
            letters.sort_unstable();
            letters
        };
        let whole = table.to_string();
        assert_eq!(table.format_within(200), whole);
        for columns in [20, 30, 40, 60, 80] {
            let text = table.format_within(columns);
            assert!(text.lines().all(|line| line.chars().count() <= columns), "{columns}:\n{text}");
            assert_eq!(letters(&text), letters(&whole), "{columns}:\n{text}");
        }
        assert_eq!(wrap_text("a  b", 8), ["a  b"]);
    }
}
