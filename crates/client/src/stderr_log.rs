//! A log on stderr that never blocks its callers and never fails them.
//!
//! Each line goes through a bounded queue to a thread that prints it with `simple_logger`. If
//! stderr is closed, full or slow, only that thread fails or waits. Lines that do not fit into the
//! queue, or that cannot be printed, are lost and counted; the next printed line states how many
//! are missing before it. A line that is printed late states by how much.

use log::{Level, LevelFilter, Log, Metadata, Record};
use nix::sys::signal::{SigSet, SigmaskHow};
use protocol::text::shorten_text;
use simple_logger::SimpleLogger;
use std::borrow::Cow;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// Lines that wait for the thread.
const QUEUE_LINES_MAX: usize = 1024;

/// Longer lines are cut, so that the queue takes at most 8 MB.
const LINE_BYTES_MAX: usize = 8 * 1024;

/// How long `flush` waits for a reader of stderr.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// A line that waited at least this long states its delay.
const LATE: Duration = Duration::from_secs(1);

const THREAD_NAME: &str = "log";

static LOG: OnceLock<QueueLog> = OnceLock::new();

enum Message {
    Line(LogLine),
    /// Text to be printed as it is.
    Text(String),
    /// Asks for an answer once everything before it has been printed.
    Flush(SyncSender<()>),
}

struct LogLine {
    logged: Instant,
    level: Level,
    target: String,
    text: String,
}

struct QueueLog {
    queue: SyncSender<Message>,
    counters: &'static Counters,
}

#[derive(Default)]
struct Counters {
    lost: AtomicU64,
    /// Lost lines that no printed line has mentioned yet.
    unmentioned: AtomicU64,
    /// A line was lost, and none has been printed since.
    is_failing: AtomicBool,
}

static COUNTERS: Counters = Counters {
    lost: AtomicU64::new(0),
    unmentioned: AtomicU64::new(0),
    is_failing: AtomicBool::new(false),
};

/// Routes the `log` macros to stderr. Call it once, first of all.
///
/// # Errors
/// The thread cannot be started.
pub fn start_stderr_log(level: LevelFilter) -> io::Result<()> {
    let (queue, inbox) = sync_channel(QUEUE_LINES_MAX);
    // The thread must not take signals that are meant for the program.
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK);
    let thread = std::thread::Builder::new().name(THREAD_NAME.to_owned()).stack_size(128 * 1024);
    let started = thread.spawn(move || {
        let logger = SimpleLogger::new().with_utc_timestamps().with_level(LevelFilter::Trace);
        print_messages(
            &inbox,
            &mut |message, missing| print_with_logger(&logger, message, missing),
            &COUNTERS,
        );
    });
    if let Ok(before) = before {
        before.thread_set_mask()?;
    }
    started?;
    let log = LOG.get_or_init(|| QueueLog { queue, counters: &COUNTERS });
    if log::set_logger(log).is_ok() {
        log::set_max_level(level);
    }
    Ok(())
}

/// Prints a line on stderr as it is, without time and level.
pub fn print_to_stderr(line: String) {
    if let Some(log) = LOG.get() {
        log.push(Message::Text(shorten_line(line)));
    }
}

/// Waits until all lines are printed, but not for ever: a reader may be stuck.
pub fn flush_stderr_log() {
    if let Some(log) = LOG.get() {
        log.flush();
    }
}

/// Lines lost since the start, and whether lines are still being lost.
#[must_use]
pub fn lost_log_lines() -> (u64, bool) {
    (COUNTERS.lost.load(Ordering::Relaxed), COUNTERS.is_failing.load(Ordering::Relaxed))
}

/// Whether the log's thread is running this code. A panic there only means that stderr is closed:
/// the thread counts the line and goes on.
#[must_use]
pub fn is_log_thread() -> bool {
    std::thread::current().name() == Some(THREAD_NAME)
}

impl QueueLog {
    fn push(&self, message: Message) {
        if self.queue.try_send(message).is_err() {
            self.counters.add_lost(1, 1);
        }
    }
}

impl Counters {
    fn add_lost(&self, lost: u64, unmentioned: u64) {
        self.lost.fetch_add(lost, Ordering::Relaxed);
        self.unmentioned.fetch_add(unmentioned, Ordering::Relaxed);
        self.is_failing.store(true, Ordering::Relaxed);
    }
}

impl Log for QueueLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    #[allow(clippy::disallowed_methods, reason = "the delay of a log line is measured")]
    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            self.push(Message::Line(LogLine {
                logged: Instant::now(),
                level: record.level(),
                target: record.target().to_owned(),
                text: shorten_line(record.args().to_string()),
            }));
        }
    }

    fn flush(&self) {
        let (done, printed) = sync_channel(1);
        if self.queue.try_send(Message::Flush(done)).is_ok() {
            let _gave_up = printed.recv_timeout(FLUSH_TIMEOUT).is_err();
        }
    }
}

fn shorten_line(line: String) -> String {
    match shorten_text(&line, LINE_BYTES_MAX) {
        Cow::Owned(short) => short,
        Cow::Borrowed(_) => line,
    }
}

/// Prints a message, and the number of lines that are missing before it. Returns false if stderr
/// did not take it.
type Print<'a> = dyn FnMut(&Message, u64) -> bool + 'a;

/// Prints what the queue holds, until its senders are gone.
fn print_messages(inbox: &Receiver<Message>, print: &mut Print<'_>, counters: &Counters) {
    while let Ok(message) = inbox.recv() {
        match message {
            Message::Flush(done) => drop(done.try_send(())),
            message => print_message(&message, print, counters),
        }
    }
}

fn print_message(message: &Message, print: &mut Print<'_>, counters: &Counters) {
    let missing = counters.unmentioned.swap(0, Ordering::Relaxed);
    match print(message, missing) {
        true => counters.is_failing.store(false, Ordering::Relaxed),
        false => counters.add_lost(1, missing + 1),
    }
}

fn print_with_logger(logger: &SimpleLogger, message: &Message, missing: u64) -> bool {
    let missing = match missing {
        0 => String::new(),
        missing => format!(" ({missing} lines before it were lost)"),
    };
    match message {
        Message::Line(line) => {
            let delay = match line.logged.elapsed() {
                delay if delay < LATE => String::new(),
                delay => format!(" (logged {:.1} s earlier)", delay.as_secs_f64()),
            };
            // The crate prints with `eprintln`, which panics if stderr is closed.
            let print = || {
                let mut record = Record::builder();
                let record = record.level(line.level).target(&line.target);
                logger.log(&record.args(format_args!("{}{delay}{missing}", line.text)).build());
            };
            catch_unwind(AssertUnwindSafe(print)).is_ok()
        }
        Message::Text(text) => writeln!(io::stderr(), "{text}{missing}").is_ok(),
        Message::Flush(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters() -> &'static Counters {
        Box::leak(Box::default())
    }

    fn text(text: &str) -> Message {
        Message::Text(text.to_owned())
    }

    #[test]
    fn h4_lines_that_cannot_be_printed_are_counted_and_mentioned() {
        let counters = counters();
        for _ in 0..3 {
            print_message(&text("unread"), &mut |_, _| false, counters);
        }
        assert_eq!(counters.lost.load(Ordering::Relaxed), 3);
        assert!(counters.is_failing.load(Ordering::Relaxed));
        let mut mentioned = Vec::new();
        for _ in 0..2 {
            let mut print = |_: &Message, missing| {
                mentioned.push(missing);
                true
            };
            print_message(&text("read"), &mut print, counters);
        }
        assert_eq!(mentioned, [3, 0]);
        assert!(!counters.is_failing.load(Ordering::Relaxed));
    }

    #[test]
    fn h4_a_full_queue_takes_no_line_and_no_time() {
        let (queue, inbox) = sync_channel(2);
        let log = QueueLog { queue, counters: counters() };
        for number in 0..5 {
            let line = format!("{number}{}", "ü".repeat(LINE_BYTES_MAX));
            log.push(Message::Text(shorten_line(line)));
        }
        // A flush does not wait either, because its request does not fit.
        log.flush();
        assert_eq!(log.counters.lost.load(Ordering::Relaxed), 3);
        let Ok(Message::Text(line)) = inbox.recv() else { panic!("a line") };
        assert!(line.starts_with("0ü") && line.len() <= LINE_BYTES_MAX);
    }
}
