//! One channel's level as it is drawn: a bar, a held peak, marks and what is wrong.
//!
//! The box says what there is (`meters`, `channels`); of a channel that is blacked out it says only
//! that, and only that is drawn (G6). Nothing here asks the box.

use crate::terminal::canvas::{Canvas, Ink};
use protocol::client::Pairs;
use std::collections::BTreeMap;

/// The quietest level that a bar shows, in dB.
const FLOOR_DB: i32 = -60;
/// From here on a bar is yellow, then red.
const LOUD_DB: i32 = -12;
const HOT_DB: i32 = -3;
/// What the box says of digital silence.
const SILENCE_DB: i32 = -96;
/// In less a bar would say nothing.
pub const NARROWEST: usize = 26;
/// From here on there is room for words.
const WIDE: usize = 50;

/// What is known of a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gauge {
    pub channel: String,
    pub device: String,
    pub level_db: Option<i32>,
    pub hold_db: Option<i32>,
    /// Since the meters were opened.
    pub lost: u64,
    pub masked: bool,
    pub recorded: bool,
    pub failed: bool,
}

fn of<'a>(row: &'a Pairs, wanted: &str) -> &'a str {
    let found = row.0.iter().find(|(key, _)| key == wanted);
    found.map_or("", |(_, value)| value.as_str())
}

/// What is known beforehand: devices, and how much was lost before.
#[derive(Default)]
pub struct Known {
    devices: BTreeMap<String, String>,
    lost: BTreeMap<String, u64>,
}

impl Known {
    pub fn of(channels: &[Pairs]) -> Known {
        let device = |row: &Pairs| (of(row, "channel").to_owned(), of(row, "device").to_owned());
        Known { devices: channels.iter().map(device).collect(), lost: BTreeMap::new() }
    }

    /// The rows of `meters`, a gauge each channel.
    pub fn gauges(&mut self, rows: &[Pairs]) -> Vec<Gauge> {
        rows.iter().flat_map(|row| self.eight(row)).collect()
    }

    fn eight(&mut self, row: &Pairs) -> Vec<Gauge> {
        let list = |key: &str| of(row, key).split(',').map(str::to_owned).collect::<Vec<_>>();
        let (levels, holds) = (list("level_db"), list("hold_db"));
        let (lost, marks) = (list("lost"), list("marks"));
        let mut gauges = Vec::new();
        for (nth, channel) in list("channels").into_iter().enumerate() {
            let number = |all: &[String]| all.get(nth).and_then(|text| text.parse::<i32>().ok());
            let marks = marks.get(nth).map_or("", String::as_str);
            let count = lost.get(nth).and_then(|text| text.parse::<u64>().ok());
            let before = self.lost.entry(channel.clone()).or_insert(count.unwrap_or(0));
            gauges.push(Gauge {
                device: self.devices.get(&channel).cloned().unwrap_or_default(),
                level_db: number(&levels),
                hold_db: number(&holds),
                lost: count.map_or(0, |count| count.saturating_sub(*before)),
                masked: marks.contains('b'),
                recorded: marks.contains('r'),
                failed: marks.contains('f'),
                channel,
            });
        }
        gauges
    }
}

impl Gauge {
    /// Draws it into `width` columns.
    pub fn draw(&self, canvas: &mut Canvas, (row, column): (usize, usize), width: usize) {
        let wide = width >= WIDE;
        let name = if wide { 8 } else { 5 };
        let head = format!("{:>3} {:<name$.name$} ", self.channel, self.device);
        canvas.put((row, column), &head, Ink::Plain);
        let (recorded, end) = if wide { ("REC ", 16) } else { ("R ", 6) };
        let mut at = column + head.len();
        if self.recorded {
            canvas.put((row, at), recorded, Ink::Red);
        }
        at += recorded.len();
        let room = (column + width).saturating_sub(at + end);
        if self.failed {
            canvas.put((row, at), "BOARD FAILS", Ink::Red);
        } else if self.masked {
            canvas.put((row, at), &format!("{:^room$.room$}", "MASKED"), Ink::Inverse);
        } else {
            self.bar(canvas, (row, at), room);
            self.figures(canvas, (row, at + room), wide);
        }
    }

    fn bar(&self, canvas: &mut Canvas, (row, column): (usize, usize), room: usize) {
        let level = self.level_db.map_or(0, |db| cells(db, room));
        for cell in 0..level {
            canvas.put((row, column + cell), "#", ink(cell, room));
        }
        let hold = self.hold_db.map_or(0, |db| cells(db, room));
        if hold > level {
            canvas.put((row, column + hold - 1), "|", ink(hold - 1, room));
        }
        if level == 0 && hold == 0 {
            canvas.put((row, column), "-", Ink::Dim);
        }
    }

    /// The level in dB, and what is wrong.
    fn figures(&self, canvas: &mut Canvas, (row, column): (usize, usize), wide: bool) {
        let silent = self.level_db.is_none_or(|db| db <= SILENCE_DB);
        let level = match self.level_db {
            Some(db) if !silent => db.to_string(),
            _ => "-".to_owned(),
        };
        canvas.put((row, column), &format!("{level:>4}"), Ink::Plain);
        let clips = self.hold_db == Some(0);
        let (text, ink) = match (self.lost > 0, clips, silent) {
            (true, _, _) if wide => (format!("LOST {}", self.lost), Ink::Red),
            (true, _, _) => ("x".to_owned(), Ink::Red),
            (_, true, _) => (if wide { "CLIPS" } else { "!" }.to_owned(), Ink::Red),
            (_, _, true) => (if wide { "silent" } else { "~" }.to_owned(), Ink::Yellow),
            _ => return,
        };
        canvas.put((row, column + 5), &text, ink);
    }

    /// The same as words, where nothing can be drawn.
    pub fn words(&self) -> Vec<String> {
        let db = |db: Option<i32>| db.map_or("-".to_owned(), |db| db.to_string());
        let yes = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
        let state = match (self.failed, self.masked) {
            (true, _) => "board fails",
            (false, true) => "blackout",
            (false, false) if self.hold_db == Some(0) => "clips",
            (false, false) if self.level_db == Some(SILENCE_DB) => "silent",
            (false, false) => "heard",
        };
        let (channel, device) = (self.channel.clone(), self.device.clone());
        let (level, hold) = (db(self.level_db), db(self.hold_db));
        vec![channel, device, yes(self.recorded), state.to_owned(), level, hold]
    }
}

/// What `words` tells.
pub const HEADINGS: [&str; 6] = ["channel", "device", "recorded", "state", "level_db", "hold_db"];

/// How much of a bar a level fills; what is not silent fills something.
fn cells(db: i32, room: usize) -> usize {
    if db <= FLOOR_DB {
        return 0;
    }
    let above = usize::try_from(db - FLOOR_DB).unwrap_or(0);
    let range = usize::try_from(-FLOOR_DB).unwrap_or(1);
    (above * room).div_ceil(range).min(room)
}

fn ink(cell: usize, room: usize) -> Ink {
    if cell + 1 >= cells(HOT_DB, room) {
        Ink::Red
    } else if cell + 1 >= cells(LOUD_DB, room) {
        Ink::Yellow
    } else {
        Ink::Green
    }
}
