//! The shell: everything that touches the system, thin, around the pure recorder.
//!
//! `daemon` is the loop; `disk` the one thread that waits; `data_dir` and `recover` what happens
//! before the first turn. Nothing here decides what the box does; nothing outside imports it but
//! the two programs.

pub mod admission;
mod answers;
pub mod arrivals;
pub mod authority;
pub mod board_model;
pub mod clock;
pub mod daemon;
pub mod data_dir;
pub mod disk;
pub mod helper;
pub mod listener;
pub mod notify;
pub mod peer;
pub mod printer;
pub mod recover;
pub mod secure;
pub mod serial;
pub mod session;
mod setup;
pub mod signal;
pub mod start;
mod time_sync;
pub mod tls;
mod trial;
pub mod typist;
