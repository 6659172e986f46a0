//! The shell: everything that touches the system, thin, around the pure recorder.
//!
//! `daemon` is the loop; `disk` the one thread that waits; `data_dir` and `recover` what happens
//! before the first turn. Nothing here decides what the box does; nothing outside imports it but
//! the two programs.

pub mod board_config;
mod config_file;
pub mod event_loop;
pub mod net;
pub mod os;
pub mod serial;
pub mod start;
pub mod workers;
