//! Output formats: tables, event lines, escaped texts, progress bars, video and files.

pub mod atomic_file;
pub mod escape;
pub mod event_format;
pub mod progress;
pub mod reply_format;
pub mod table;
pub mod video;
