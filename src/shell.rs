//! The shell: all system calls, as a thin layer around the pure recorder.
//!
//! `event_loop` is the main loop, `workers` the threads beside it, and `start` the startup
//! sequence. The shell makes no recording decisions. Only the binaries import it.

pub mod board_config;
mod capture;
pub mod config_check;
mod config_file;
pub mod event_loop;
pub mod net;
pub mod os;
mod periodic;
pub mod serial;
mod slots;
pub mod start;
pub mod workers;
