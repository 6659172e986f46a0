//! Output formats: tables, event lines, progress bars, video and files.

pub mod atomic_file;
pub mod event_format;
pub mod progress;
pub mod reply_format;
pub mod table;
pub mod video;
