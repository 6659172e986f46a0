//! Columns, aligned: what lists look like on a terminal.
//!
//! A cell's control characters become spaces, so that no stored text can play with a terminal.
//! Columns that only hold numbers are set to the right. Nothing here cuts a cell.

use std::fmt;

/// Headings and rows.
pub struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

/// The text without control characters.
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

impl Table {
    /// A table without rows.
    pub fn new(head: Vec<String>) -> Table {
        Table { head, rows: Vec::new() }
    }

    /// Adds a row, one cell a column.
    pub fn row(&mut self, cells: Vec<String>) {
        assert_eq!(cells.len(), self.head.len(), "cells of a row");
        self.rows.push(cells.iter().map(|cell| plain(cell)).collect());
    }

    fn columns(&self) -> Vec<(usize, bool)> {
        let width = |text: &String| text.chars().count();
        let column = |(index, head): (usize, &String)| {
            let cells = || self.rows.iter().filter_map(|row| row.get(index));
            let widest = cells().map(width).max().unwrap_or(0).max(width(head));
            let number =
                |cell: &String| !cell.is_empty() && cell.bytes().all(|byte| byte.is_ascii_digit());
            (widest, cells().all(number))
        };
        self.head.iter().enumerate().map(column).collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.columns();
        for row in std::iter::once(&self.head).chain(&self.rows) {
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
