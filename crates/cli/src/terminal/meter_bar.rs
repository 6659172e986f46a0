//! The level bar of one channel: level, peak hold, marks and faults.
//!
//! The data comes from `meters` and `channels`. Of a masked channel the recorder sends only that it
//! is masked, and only that is drawn (G6).

use crate::terminal::screen_buffer::{ScreenBuffer, Style};
use protocol::client::Pairs;
use std::collections::BTreeMap;

/// Lowest level of a bar, in dB.
const FLOOR_DB: i32 = -60;
/// Levels from which a bar is yellow, and red.
const LOUD_DB: i32 = -12;
const HOT_DB: i32 = -3;
/// Level that the recorder sends for digital silence.
const SILENCE_DB: i32 = -96;
/// Minimum width of a useful bar.
pub const BAR_WIDTH_MIN: usize = 26;
/// Width from which there is room for words.
const WIDE_COLUMNS: usize = 50;

/// The state of a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MeterBar {
    pub channel: String,
    pub device: String,
    pub level_db: Option<i32>,
    pub hold_db: Option<i32>,
    /// Frames lost since the meters were opened.
    pub lost: u64,
    pub is_masked: bool,
    pub is_recorded: bool,
    pub is_failed: bool,
}

fn value_of<'a>(row: &'a Pairs, wanted: &str) -> &'a str {
    let found = row.0.iter().find(|(key, _)| key == wanted);
    found.map_or("", |(_, value)| value.as_str())
}

/// Devices, and loss counts when the meters were opened.
#[derive(Default)]
pub struct MeterBaseline {
    devices: BTreeMap<String, String>,
    lost: BTreeMap<String, u64>,
}

impl MeterBaseline {
    pub fn from_channels(channels: &[Pairs]) -> MeterBaseline {
        let device =
            |row: &Pairs| (value_of(row, "channel").to_owned(), value_of(row, "device").to_owned());
        MeterBaseline { devices: channels.iter().map(device).collect(), lost: BTreeMap::new() }
    }

    /// Parses the rows of `meters` into one bar per channel.
    pub fn meter_bars(&mut self, rows: &[Pairs]) -> Vec<MeterBar> {
        rows.iter().flat_map(|row| self.parse_row(row)).collect()
    }

    fn parse_row(&mut self, row: &Pairs) -> Vec<MeterBar> {
        let list = |key: &str| value_of(row, key).split(',').map(str::to_owned).collect::<Vec<_>>();
        let (levels, holds) = (list("level_db"), list("hold_db"));
        let (lost, marks) = (list("lost"), list("marks"));
        let mut bars = Vec::new();
        for (nth, channel) in list("channels").into_iter().enumerate() {
            let number = |all: &[String]| all.get(nth).and_then(|text| text.parse::<i32>().ok());
            let marks = marks.get(nth).map_or("", String::as_str);
            let count = lost.get(nth).and_then(|text| text.parse::<u64>().ok());
            let before = self.lost.entry(channel.clone()).or_insert(count.unwrap_or(0));
            bars.push(MeterBar {
                device: self.devices.get(&channel).cloned().unwrap_or_default(),
                level_db: number(&levels),
                hold_db: number(&holds),
                lost: count.map_or(0, |count| count.saturating_sub(*before)),
                is_masked: marks.contains('b'),
                is_recorded: marks.contains('r'),
                is_failed: marks.contains('f'),
                channel,
            });
        }
        bars
    }
}

impl MeterBar {
    /// Draws the bar into `width` columns.
    pub fn draw_into(
        &self,
        canvas: &mut ScreenBuffer,
        (row, column): (usize, usize),
        width: usize,
    ) {
        let wide = width >= WIDE_COLUMNS;
        let name = if wide { 8 } else { 5 };
        let head = format!("{:>3} {:<name$.name$} ", self.channel, self.device);
        canvas.write_text((row, column), &head, Style::Plain);
        let (recorded, end) = if wide { ("REC ", 16) } else { ("R ", 6) };
        let mut at = column + head.len();
        if self.is_recorded {
            canvas.write_text((row, at), recorded, Style::Red);
        }
        at += recorded.len();
        let room = (column + width).saturating_sub(at + end);
        if self.is_failed {
            canvas.write_text((row, at), "BOARD FAILED", Style::Red);
        } else if self.is_masked {
            canvas.write_text((row, at), &format!("{:^room$.room$}", "MASKED"), Style::Inverse);
        } else {
            self.draw_bar(canvas, (row, at), room);
            self.draw_figures(canvas, (row, at + room), wide);
        }
    }

    fn draw_bar(&self, canvas: &mut ScreenBuffer, (row, column): (usize, usize), room: usize) {
        let level = self.level_db.map_or(0, |db| filled_cells(db, room));
        for cell in 0..level {
            canvas.write_text((row, column + cell), "#", cell_style(cell, room));
        }
        let hold = self.hold_db.map_or(0, |db| filled_cells(db, room));
        if hold > level {
            canvas.write_text((row, column + hold - 1), "|", cell_style(hold - 1, room));
        }
        if level == 0 && hold == 0 {
            canvas.write_text((row, column), "-", Style::Dim);
        }
    }

    /// Draws the level in dB, and a fault.
    fn draw_figures(&self, canvas: &mut ScreenBuffer, (row, column): (usize, usize), wide: bool) {
        let silent = self.level_db.is_none_or(|db| db <= SILENCE_DB);
        let level = match self.level_db {
            Some(db) if !silent => db.to_string(),
            _ => "-".to_owned(),
        };
        canvas.write_text((row, column), &format!("{level:>4}"), Style::Plain);
        let clips = self.hold_db == Some(0);
        let (text, style) = match (self.lost > 0, clips, silent) {
            (true, _, _) if wide => (format!("LOST {}", self.lost), Style::Red),
            (true, _, _) => ("x".to_owned(), Style::Red),
            (_, true, _) => (if wide { "CLIPPING" } else { "!" }.to_owned(), Style::Red),
            (_, _, true) => (if wide { "silent" } else { "~" }.to_owned(), Style::Yellow),
            _ => return,
        };
        canvas.write_text((row, column + 5), &text, style);
    }

    /// Formats the bar as table cells, for output without a terminal.
    pub fn table_cells(&self) -> Vec<String> {
        let db = |db: Option<i32>| db.map_or("-".to_owned(), |db| db.to_string());
        let yes = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
        let state = match (self.is_failed, self.is_masked) {
            (true, _) => "board failed",
            (false, true) => "blackout",
            (false, false) if self.hold_db == Some(0) => "clipping",
            (false, false) if self.level_db == Some(SILENCE_DB) => "silent",
            (false, false) => "ok",
        };
        let (channel, device) = (self.channel.clone(), self.device.clone());
        let (level, hold) = (db(self.level_db), db(self.hold_db));
        vec![channel, device, yes(self.is_recorded), state.to_owned(), level, hold]
    }
}

/// Headings of `table_cells`.
pub const HEADINGS: [&str; 6] = ["channel", "device", "recorded", "state", "level_db", "hold_db"];

/// Returns how many cells a level fills; any level above the floor fills at least one.
fn filled_cells(db: i32, room: usize) -> usize {
    if db <= FLOOR_DB {
        return 0;
    }
    let above = usize::try_from(db - FLOOR_DB).unwrap_or(0);
    let range = usize::try_from(-FLOOR_DB).unwrap_or(1);
    (above * room).div_ceil(range).min(room)
}

fn cell_style(cell: usize, room: usize) -> Style {
    if cell + 1 >= filled_cells(HOT_DB, room) {
        Style::Red
    } else if cell + 1 >= filled_cells(LOUD_DB, room) {
        Style::Yellow
    } else {
        Style::Green
    }
}
