//! The operating system: clock, signals, memory, the service manager, the data directory, the log.

pub mod clock;
pub mod data_dir;
pub mod hardening;
pub mod log_writer;
pub mod recover;
pub mod regular_file;
pub mod service_manager;
pub mod signal;
pub(super) mod time_sync;
