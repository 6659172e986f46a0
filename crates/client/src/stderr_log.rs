//! A log on stderr that never blocks its callers and never fails them.
//!
//! Each line goes through a bounded queue to a thread that writes it. If stderr is closed, full or
//! slow, only that thread fails or waits. Lines that do not fit into the queue, or that cannot be
//! written, are lost and counted; the next written line states how many are missing before it.

use log::{Level, LevelFilter, Log, Metadata, Record};
use nix::sys::signal::{SigSet, SigmaskHow};
use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

/// Lines that wait for the thread.
const QUEUE_LINES_MAX: usize = 1024;

/// Longer lines are cut, so that the queue takes at most 8 MB.
const LINE_BYTES_MAX: usize = 8 * 1024;

/// How long `flush` waits for a reader of stderr.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

static LOG: OnceLock<QueueLog> = OnceLock::new();

enum Message {
    Line(String),
    /// Asks for an answer once everything before it has been written.
    Flush(SyncSender<()>),
}

struct QueueLog {
    queue: SyncSender<Message>,
    counters: &'static Counters,
}

#[derive(Default)]
struct Counters {
    lost: AtomicU64,
    /// Lost lines that no written line has mentioned yet.
    unmentioned: AtomicU64,
    /// A line was lost, and none has been written since.
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
    let thread = std::thread::Builder::new().name("log".to_string()).stack_size(128 * 1024);
    let started = thread.spawn(move || write_lines(&inbox, &mut io::stderr(), &COUNTERS));
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
        log.push(line);
    }
}

/// Waits until all lines are written, but not for ever: a reader may be stuck.
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

impl QueueLog {
    fn push(&self, mut line: String) {
        if line.len() > LINE_BYTES_MAX {
            let fits = |end: &usize| line.is_char_boundary(*end);
            line.truncate((0..=LINE_BYTES_MAX).rev().find(fits).unwrap_or(0));
            line.push('…');
        }
        if self.queue.try_send(Message::Line(line)).is_err() {
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

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            self.push(format_line(record));
        }
    }

    fn flush(&self) {
        let (done, written) = sync_channel(1);
        if self.queue.try_send(Message::Flush(done)).is_ok() {
            let _gave_up = written.recv_timeout(FLUSH_TIMEOUT).is_err();
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "log lines have the time at which they were made")]
fn format_line(record: &Record<'_>) -> String {
    let time = jiff::Timestamp::try_from(std::time::SystemTime::now()).unwrap_or_default();
    let (level, target): (Level, _) = (record.level(), record.target());
    format!("{} {level:<5} [{target}] {}", time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ"), record.args())
}

/// Writes what the queue holds, until its senders are gone.
fn write_lines(inbox: &Receiver<Message>, out: &mut dyn Write, counters: &Counters) {
    while let Ok(message) = inbox.recv() {
        match message {
            Message::Line(line) => write_line(&line, out, counters),
            Message::Flush(done) => drop(done.try_send(())),
        }
    }
}

fn write_line(line: &str, out: &mut dyn Write, counters: &Counters) {
    let missing = counters.unmentioned.swap(0, Ordering::Relaxed);
    let text = match missing {
        0 => format!("{line}\n"),
        missing => format!("{line} ({missing} lines before it were lost)\n"),
    };
    match out.write_all(text.as_bytes()) {
        Ok(()) => counters.is_failing.store(false, Ordering::Relaxed),
        Err(_) => counters.add_lost(1, missing + 1),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// An output that fails while `broken`.
    struct Output {
        broken: bool,
        text: String,
    }

    impl Write for Output {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.broken {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            self.text.push_str(std::str::from_utf8(bytes).unwrap());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn counters() -> &'static Counters {
        Box::leak(Box::default())
    }

    #[test]
    fn h4_lines_that_cannot_be_written_are_counted_and_mentioned() {
        let (counters, mut out) = (counters(), Output { broken: true, text: String::new() });
        for _ in 0..3 {
            write_line("unread", &mut out, counters);
        }
        assert_eq!(counters.lost.load(Ordering::Relaxed), 3);
        assert!(counters.is_failing.load(Ordering::Relaxed));
        out.broken = false;
        write_line("read", &mut out, counters);
        write_line("again", &mut out, counters);
        assert_eq!(out.text, "read (3 lines before it were lost)\nagain\n");
        assert!(!counters.is_failing.load(Ordering::Relaxed));
    }

    #[test]
    fn h4_a_full_queue_takes_no_line_and_no_time() {
        let (queue, inbox) = sync_channel(2);
        let log = QueueLog { queue, counters: counters() };
        for number in 0..5 {
            log.push(format!("{number}{}", "ü".repeat(LINE_BYTES_MAX)));
        }
        // A flush does not wait either, because its request does not fit.
        log.flush();
        assert_eq!(log.counters.lost.load(Ordering::Relaxed), 3);
        let Ok(Message::Line(line)) = inbox.recv() else { panic!("a line") };
        assert!(line.starts_with("0ü") && line.len() <= LINE_BYTES_MAX + '…'.len_utf8());
    }
}
