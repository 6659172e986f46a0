//! `meters`: the levels of all channels, live, on a page that only what changes is painted on.
//!
//! All channels that fit are on one page, in as many columns as that takes; keys turn the page. It
//! asks and paints as often as the slower of both lines takes, the box's and the terminal's, four
//! times a second at most. Who presses no key for a quarter of an hour has gone: the page closes,
//! so that the box can log the session out. Nothing here changes anything on the box.

use crate::error::Failure;
use crate::output::event_format;
use crate::output::lines;
use crate::output::table::Table;
use crate::terminal::canvas::{Canvas, Ink};
use crate::terminal::meter_bar;
use crate::terminal::meter_bar::Known;
use crate::terminal::raw;
use crate::terminal::raw::{Key, Page};
use client::{Connection, LinkError, News};
use protocol::client::Reply;
use std::time::Duration;

/// Nobody sees more than this.
const LEAST_PAUSE_MS: u64 = 250;
/// A technician who pressed nothing for so long is not there.
const AWAY_MS: u64 = 900_000;
/// Bits of a byte on a serial line.
const BITS: u64 = 10;
const LEGEND: &str = "R recorded  | peak  ! clips  ~ silent  x lost";
const KEYS: &str = "n p page  q stops";

/// Why the page was closed.
#[derive(Debug)]
pub enum Closed {
    /// Somebody wanted it.
    Stopped,
    /// Nobody was there.
    Away,
    /// The box would not.
    Refused(Reply),
}

/// What can go wrong.
#[derive(Debug)]
pub enum Trouble {
    Tool(Failure),
    Link(LinkError),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Trouble {
        Trouble::Tool(failure)
    }
}

impl From<LinkError> for Trouble {
    fn from(error: LinkError) -> Trouble {
        Trouble::Link(error)
    }
}

/// Where the channels of a page stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Layout {
    columns: usize,
    rows: usize,
    width: usize,
}

impl Layout {
    /// As few columns as show all, if they can be.
    fn of(count: usize, (width, height): (usize, usize)) -> Layout {
        let rows = height.saturating_sub(2).max(1);
        let most = (width / meter_bar::NARROWEST).max(1);
        let columns = count.div_ceil(rows).clamp(1, most);
        Layout { columns, rows, width: width / columns }
    }

    fn page(&self) -> usize {
        self.columns * self.rows
    }
}

/// One look at the levels, as a table.
pub fn once(connection: &mut Connection) -> Result<Result<String, Reply>, LinkError> {
    let channels = connection.ask("channels")?;
    let meters = connection.ask("meters")?;
    if meters.outcome.is_err() {
        return Ok(Err(meters));
    }
    let mut table = Table::new(meter_bar::HEADINGS.map(str::to_owned).to_vec());
    let gauges = Known::of(&channels.rows).gauges(&meters.rows);
    gauges.iter().for_each(|gauge| table.row(gauge.words()));
    Ok(Ok(table.to_string()))
}

/// Shows them until somebody stops it. `link_rate`: bits a second to the box.
pub fn run(connection: &mut Connection, link_rate: u64) -> Result<Closed, Trouble> {
    let size = raw::size();
    let channels = connection.ask("channels")?;
    if channels.outcome.is_err() {
        return Ok(Closed::Refused(channels));
    }
    let mut view = View {
        known: Known::of(&channels.rows),
        ids: ids(&channels),
        first: 0,
        size,
        canvas: Canvas::new(size, colour()),
        news: String::new(),
        name: connection.greeting().name.clone(),
    };
    let page = Page::open()?;
    let mut quiet_ms = 0;
    while quiet_ms < AWAY_MS {
        let layout = view.resize(&page)?;
        let from = view.ids.get(view.first).copied().unwrap_or(0);
        let reply = connection.ask(&format!("meters from={from} limit={}", layout.page()))?;
        if reply.outcome.is_err() {
            return Ok(Closed::Refused(reply));
        }
        view.hear(connection)?;
        view.draw(&reply, layout);
        let painted = view.canvas.paint();
        page.show(&painted)?;
        let pause_ms = pause_ms((painted.len(), raw::rate()), (carried(&reply), link_rate));
        let key = page.key(Duration::from_millis(pause_ms))?;
        match key {
            None => quiet_ms += pause_ms,
            Some(Key::Stop) => return Ok(Closed::Stopped),
            Some(key) => {
                quiet_ms = 0;
                view.turn(key, layout);
            }
        }
    }
    Ok(Closed::Away)
}

fn ids(channels: &Reply) -> Vec<u32> {
    let id = |row: &protocol::client::Pairs| {
        let found = row.0.iter().find(|(key, _)| key == "channel");
        found.and_then(|(_, value)| value.parse().ok())
    };
    let mut ids: Vec<u32> = channels.rows.iter().filter_map(id).collect();
    ids.sort_unstable();
    ids
}

fn colour() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Bytes of an answer, as they come over the line.
fn carried(reply: &Reply) -> usize {
    lines::rows(reply).len() + lines::outcome(&reply.outcome).len()
}

/// How long both lines want to rest: they are used for four fifths of the time, so that a key or a
/// command comes through.
fn pause_ms((painted, screen_rate): (usize, u64), (carried, link_rate): (usize, u64)) -> u64 {
    let bits = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(BITS);
    let takes_ms = |bytes, rate: u64| bits(bytes).saturating_mul(1250) / rate.max(1);
    let pause = takes_ms(painted, screen_rate).max(takes_ms(carried, link_rate));
    pause.max(LEAST_PAUSE_MS)
}

struct View {
    known: Known,
    ids: Vec<u32>,
    /// The first channel of the page, as a place in `ids`.
    first: usize,
    size: (usize, usize),
    canvas: Canvas,
    /// The last thing that happened.
    news: String,
    name: String,
}

impl View {
    /// The window may have another size than before.
    fn resize(&mut self, page: &Page) -> Result<Layout, Failure> {
        let size = raw::size();
        if size != self.size {
            self.size = size;
            self.canvas = Canvas::new(size, colour());
            page.show("\u{1b}[2J")?;
        }
        Ok(Layout::of(self.ids.len(), size))
    }

    fn hear(&mut self, connection: &mut Connection) -> Result<(), LinkError> {
        while let Some(news) = connection.next_event(Duration::ZERO)? {
            if let News::Event(pairs) = news
                && event_format::is_told(&pairs)
            {
                self.news = event_format::line(&pairs).trim_end().to_owned();
            }
        }
        Ok(())
    }

    fn turn(&mut self, key: Key, layout: Layout) {
        let page = layout.page();
        match key {
            Key::Next if self.first + page < self.ids.len() => self.first += page,
            Key::Back => self.first = self.first.saturating_sub(page),
            _ => {}
        }
    }

    fn draw(&mut self, reply: &Reply, layout: Layout) {
        let gauges = self.known.gauges(&reply.rows);
        let (_, height) = self.size;
        self.canvas.blank();
        let last = (self.first + gauges.len()).min(self.ids.len());
        let (first, count) = ((self.first + 1).min(last), self.ids.len());
        let head = format!("{}  levels in dB  {first}-{last} of {count} channels", self.name);
        self.canvas.put((0, 0), &head, Ink::Plain);
        for (nth, gauge) in gauges.iter().take(layout.page()).enumerate() {
            let column = nth / layout.rows * layout.width;
            let place = (1 + nth % layout.rows, column);
            gauge.draw(&mut self.canvas, place, layout.width - 1);
        }
        let foot = height.saturating_sub(1);
        let text = if self.news.is_empty() { LEGEND } else { self.news.as_str() };
        let keys = KEYS.len().min(self.size.0);
        let room = self.size.0.saturating_sub(keys + 2);
        let text: String = text.chars().take(room).collect();
        self.canvas.put((foot, 0), &text, Ink::Dim);
        self.canvas.put((foot, self.size.0.saturating_sub(keys + 1)), KEYS, Ink::Plain);
    }
}

impl Closed {
    pub fn is_refused(&self) -> bool {
        matches!(self, Closed::Refused(_))
    }

    /// What is to be said of it.
    pub fn text(&self) -> Option<String> {
        match self {
            Closed::Stopped => None,
            Closed::Away => Some("meters stopped: no key was pressed for 15 minutes\n".to_owned()),
            Closed::Refused(reply) => Some(lines::outcome(&reply.outcome)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h2_sixty_four_channels_fit_80_by_24_and_more_are_paged() {
        let at = |count| Layout::of(count, (80, 24));
        assert_eq!(at(8), Layout { columns: 1, rows: 22, width: 80 });
        assert_eq!(at(23), Layout { columns: 2, rows: 22, width: 40 });
        assert_eq!(at(64), Layout { columns: 3, rows: 22, width: 26 });
        assert_eq!(at(256).page(), 66);
        assert_eq!(Layout::of(64, (20, 4)), Layout { columns: 1, rows: 2, width: 20 });
    }

    #[test]
    fn h2_a_slow_line_is_asked_less_often() {
        assert_eq!(pause_ms((0, 115_200), (300, 115_200)), LEAST_PAUSE_MS);
        // 960 bytes a second at 9600 baud, of which four fifths are used.
        assert_eq!(pause_ms((960, 9600), (0, 115_200)), 1250);
        assert_eq!(pause_ms((0, 115_200), (1920, 9600)), 2500);
    }
}
