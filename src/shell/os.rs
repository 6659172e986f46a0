//! The operating system: clock, signals, memory, the service manager and the data directory.

pub mod clock;
pub mod data_dir;
pub mod hardening;
pub mod recover;
pub mod regular_file;
pub mod service_manager;
pub mod signal;
pub(super) mod time_sync;
