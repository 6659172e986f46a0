//! `meters`: live levels of all channels on one screen, repainted incrementally.
//!
//! As many columns as needed are used; keys change the page. The refresh rate adapts to the slower
//! of the recorder's line and the terminal's line, at most four times per second. After 15 minutes
//! without a key the page closes, so that the recorder can log the session out.

use crate::error::Error;
use crate::output::event_format;
use crate::output::reply_format;
use crate::output::table::Table;
use crate::terminal::meter_bar;
use crate::terminal::meter_bar::MeterBaseline;
use crate::terminal::raw_mode;
use crate::terminal::raw_mode::{AlternateScreen, KeyAction};
use crate::terminal::screen_buffer::{ScreenBuffer, Style};
use client::{Connection, ConnectionError, Notification};
use protocol::client::Reply;
use std::time::Duration;

/// Minimum pause between two refreshes.
const PAUSE_MS_MIN: u64 = 250;
/// Time without a key after which the page closes.
const IDLE_TIMEOUT_MS: u64 = 900_000;
/// Bits per byte on a serial line.
const BITS_PER_BYTE: u64 = 10;
const LEGEND: &str = "R recorded  | peak  ! clips  ~ silent  x lost";
const KEY_HELP: &str = "n p page  q quits";

/// The reason why the page was closed.
#[derive(Debug)]
pub enum MetersExit {
    /// The user closed it.
    Stopped,
    /// No key was pressed for 15 minutes.
    TimedOut,
    /// The recorder rejected the command.
    Refused(Reply),
}

/// The reason why a session failed.
#[derive(Debug)]
pub enum SessionError {
    Local(Error),
    Connection(ConnectionError),
}

impl From<Error> for SessionError {
    fn from(failure: Error) -> SessionError {
        SessionError::Local(failure)
    }
}

impl From<ConnectionError> for SessionError {
    fn from(error: ConnectionError) -> SessionError {
        SessionError::Connection(error)
    }
}

/// The grid of bars on a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PageLayout {
    columns: usize,
    rows: usize,
    width: usize,
}

impl PageLayout {
    /// Chooses as few columns as possible to show all channels.
    fn for_count(count: usize, (width, height): (usize, usize)) -> PageLayout {
        let rows = height.saturating_sub(2).max(1);
        let most = (width / meter_bar::BAR_WIDTH_MIN).max(1);
        let columns = count.div_ceil(rows).clamp(1, most);
        PageLayout { columns, rows, width: width / columns }
    }

    fn page_size(&self) -> usize {
        self.columns * self.rows
    }
}

/// Reads the levels once and formats a table.
pub fn query_table(connection: &mut Connection) -> Result<Result<String, Reply>, ConnectionError> {
    let channels = connection.request("channels")?;
    let meters = connection.request("meters")?;
    if meters.outcome.is_err() {
        return Ok(Err(meters));
    }
    let mut table = Table::new(meter_bar::HEADINGS.map(str::to_owned).to_vec());
    let bars = MeterBaseline::from_channels(&channels.rows).meter_bars(&meters.rows);
    bars.iter().for_each(|bar| table.push_row(bar.table_cells()));
    Ok(Ok(table.to_string()))
}

/// Shows live levels until the user stops. `link_rate`: bit/s to the recorder.
pub fn run_live(connection: &mut Connection, link_rate: u64) -> Result<MetersExit, SessionError> {
    let size = raw_mode::screen_size();
    let channels = connection.request("channels")?;
    if channels.outcome.is_err() {
        return Ok(MetersExit::Refused(channels));
    }
    let mut view = MetersView {
        baseline: MeterBaseline::from_channels(&channels.rows),
        ids: channel_ids(&channels),
        first_index: 0,
        size,
        canvas: ScreenBuffer::new(size, may_use_colour()),
        last_event: String::new(),
        recorder: connection.greeting().name.clone(),
    };
    let page = AlternateScreen::enter()?;
    let mut idle_ms = 0;
    while idle_ms < IDLE_TIMEOUT_MS {
        let layout = view.resize(&page)?;
        let from = view.ids.get(view.first_index).copied().unwrap_or(0);
        let reply =
            connection.request(&format!("meters from={from} limit={}", layout.page_size()))?;
        if reply.outcome.is_err() {
            return Ok(MetersExit::Refused(reply));
        }
        view.read_events(connection)?;
        view.draw_page(&reply, layout);
        let painted = view.canvas.render_changes();
        page.write_text(&painted)?;
        let pause_ms =
            pause_ms((painted.len(), raw_mode::line_rate()), (reply_bytes(&reply), link_rate));
        let key = page.read_key(Duration::from_millis(pause_ms))?;
        match key {
            None => idle_ms += pause_ms,
            Some(KeyAction::Stop) => return Ok(MetersExit::Stopped),
            Some(key) => {
                idle_ms = 0;
                view.turn_page(key, layout);
            }
        }
    }
    Ok(MetersExit::TimedOut)
}

fn channel_ids(channels: &Reply) -> Vec<u32> {
    let id = |row: &protocol::client::Pairs| {
        let found = row.0.iter().find(|(key, _)| key == "channel");
        found.and_then(|(_, value)| value.parse().ok())
    };
    let mut ids: Vec<u32> = channels.rows.iter().filter_map(id).collect();
    ids.sort_unstable();
    ids
}

fn may_use_colour() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Returns the size of a reply on the line, in bytes.
fn reply_bytes(reply: &Reply) -> usize {
    reply_format::format_rows(reply).len() + reply_format::format_outcome(&reply.outcome).len()
}

/// Returns the pause after which both lines are at most 80 % busy, so that keys and commands get
/// through.
fn pause_ms((painted, screen_rate): (usize, u64), (received, link_rate): (usize, u64)) -> u64 {
    let bits =
        |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(BITS_PER_BYTE);
    let takes_ms = |bytes, rate: u64| bits(bytes).saturating_mul(1250) / rate.max(1);
    let pause = takes_ms(painted, screen_rate).max(takes_ms(received, link_rate));
    pause.max(PAUSE_MS_MIN)
}

struct MetersView {
    baseline: MeterBaseline,
    ids: Vec<u32>,
    /// Index in `ids` of the page's first channel.
    first_index: usize,
    size: (usize, usize),
    canvas: ScreenBuffer,
    /// The last event.
    last_event: String,
    recorder: String,
}

impl MetersView {
    /// Adapts to the current window size.
    fn resize(&mut self, page: &AlternateScreen) -> Result<PageLayout, Error> {
        let size = raw_mode::screen_size();
        if size != self.size {
            self.size = size;
            self.canvas = ScreenBuffer::new(size, may_use_colour());
            page.write_text("\u{1b}[2J")?;
        }
        Ok(PageLayout::for_count(self.ids.len(), size))
    }

    fn read_events(&mut self, connection: &mut Connection) -> Result<(), ConnectionError> {
        while let Some(news) = connection.next_notification(Duration::ZERO)? {
            if let Notification::Event(pairs) = news
                && event_format::is_shown(&pairs)
            {
                self.last_event = event_format::format_event(&pairs).trim_end().to_owned();
            }
        }
        Ok(())
    }

    fn turn_page(&mut self, key: KeyAction, layout: PageLayout) {
        let page = layout.page_size();
        match key {
            KeyAction::Next if self.first_index + page < self.ids.len() => self.first_index += page,
            KeyAction::Back => self.first_index = self.first_index.saturating_sub(page),
            _ => {}
        }
    }

    fn draw_page(&mut self, reply: &Reply, layout: PageLayout) {
        let bars = self.baseline.meter_bars(&reply.rows);
        let (_, height) = self.size;
        self.canvas.reset();
        let last = (self.first_index + bars.len()).min(self.ids.len());
        let (first, count) = ((self.first_index + 1).min(last), self.ids.len());
        let head = format!("{}  levels in dB  {first}-{last} of {count} channels", self.recorder);
        self.canvas.write_text((0, 0), &head, Style::Plain);
        for (nth, bar) in bars.iter().take(layout.page_size()).enumerate() {
            let column = nth / layout.rows * layout.width;
            let place = (1 + nth % layout.rows, column);
            bar.draw_into(&mut self.canvas, place, layout.width - 1);
        }
        let foot = height.saturating_sub(1);
        let text = if self.last_event.is_empty() { LEGEND } else { self.last_event.as_str() };
        let keys = KEY_HELP.len().min(self.size.0);
        let room = self.size.0.saturating_sub(keys + 2);
        let text: String = text.chars().take(room).collect();
        self.canvas.write_text((foot, 0), &text, Style::Dim);
        self.canvas.write_text(
            (foot, self.size.0.saturating_sub(keys + 1)),
            KEY_HELP,
            Style::Plain,
        );
    }
}

impl MetersExit {
    pub fn is_refused(&self) -> bool {
        matches!(self, MetersExit::Refused(_))
    }

    /// Returns the message to print after closing.
    pub fn message(&self) -> Option<String> {
        match self {
            MetersExit::Stopped => None,
            MetersExit::TimedOut => {
                Some("meters stopped: no key was pressed for 15 minutes\n".to_owned())
            }
            MetersExit::Refused(reply) => Some(reply_format::format_outcome(&reply.outcome)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h2_64_channels_fit_80_by_24_and_more_are_paged() {
        let at = |count| PageLayout::for_count(count, (80, 24));
        assert_eq!(at(8), PageLayout { columns: 1, rows: 22, width: 80 });
        assert_eq!(at(23), PageLayout { columns: 2, rows: 22, width: 40 });
        assert_eq!(at(64), PageLayout { columns: 3, rows: 22, width: 26 });
        assert_eq!(at(256).page_size(), 66);
        assert_eq!(
            PageLayout::for_count(64, (20, 4)),
            PageLayout { columns: 1, rows: 2, width: 20 }
        );
    }

    #[test]
    fn h2_slow_line_is_polled_less_often() {
        assert_eq!(pause_ms((0, 115_200), (300, 115_200)), PAUSE_MS_MIN);
        // 9600 baud carries 960 bytes/s, of which 80 % are used.
        assert_eq!(pause_ms((960, 9600), (0, 115_200)), 1250);
        assert_eq!(pause_ms((0, 115_200), (1920, 9600)), 2500);
    }
}
