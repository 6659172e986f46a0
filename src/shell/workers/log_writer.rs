//! The log: the loop formats each line and the disk thread prints it.
//!
//! A line that does not fit into the queue is dropped and counted; the next line that fits
//! reports the count. Lines go to stderr through `simple_logger`. Startup errors and panics are
//! printed at once.

use crate::shell::workers::disk::DiskTask;
use log::{Level, Log, Metadata, Record};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Message to the log writer.
pub enum LogMessage {
    Text {
        level: Level,
        target: String,
        text: String,
    },
    /// Flush request, answered once everything before it has been printed.
    Flush(SyncSender<()>),
    /// Last message.
    End,
}

/// The `log` backend while the loop runs.
struct QueueLogger {
    tasks: SyncSender<DiskTask>,
    dropped: AtomicU64,
}

/// The printer, on the disk thread.
pub struct LogWriter {
    logger: simple_logger::SimpleLogger,
}

impl LogWriter {
    /// Creates a printer with UTC timestamps and no colours.
    #[must_use]
    pub fn new() -> LogWriter {
        let logger = simple_logger::SimpleLogger::new().with_utc_timestamps();
        LogWriter { logger: logger.with_level(log::LevelFilter::Trace) }
    }

    /// Prints one message. Returns false after the last.
    #[must_use]
    pub fn write_message(&self, line: &LogMessage) -> bool {
        match line {
            LogMessage::Text { level, target, text } => {
                let mut record = Record::builder();
                record.level(*level).target(target);
                self.logger.log(&record.args(format_args!("{text}")).build());
                true
            }
            LogMessage::Flush(done) => {
                let _ = done.try_send(());
                true
            }
            LogMessage::End => false,
        }
    }
}

impl Default for LogWriter {
    fn default() -> LogWriter {
        LogWriter::new()
    }
}

/// Routes the `log` macros through the disk thread's queue.
pub fn install_logger(tasks: SyncSender<DiskTask>, level: log::LevelFilter) {
    let queue = QueueLogger { tasks, dropped: AtomicU64::new(0) };
    if log::set_boxed_logger(Box::new(queue)).is_ok() {
        log::set_max_level(level);
    }
}

impl Log for QueueLogger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let mut text = record.args().to_string();
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            text.push_str(&format!(" ({dropped} lines before it were dropped)"));
        }
        let target = record.target().to_string();
        let line = LogMessage::Text { level: record.level(), target, text };
        if self.tasks.try_send(DiskTask::Log(line)).is_err() {
            self.dropped.fetch_add(dropped + 1, Ordering::Relaxed);
        }
    }

    /// Waits until all lines are printed and ends the disk thread, as the daemon's last act.
    fn flush(&self) {
        let (sender, done): (SyncSender<()>, Receiver<()>) = sync_channel(1);
        if self.tasks.send(DiskTask::Log(LogMessage::Flush(sender))).is_ok() {
            let _ = done.recv();
        }
        drop(self.tasks.send(DiskTask::Log(LogMessage::End)));
    }
}
