//! Hushbox: an open, embedded on-demand call recorder.
//!
//! Pure but for `shell`: see `docs/architecture.md` for the map.

// Tests count in small numbers; a cast that cuts one shows itself there.
#![cfg_attr(
    test,
    allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss)
)]

pub mod alarm;
pub mod audio;
pub mod backoff;
pub mod calls;
pub mod config;
pub mod doors;
pub mod export;
pub mod id;
pub mod job;
pub mod limits;
pub mod recorder;
pub mod selftest;
pub mod shell;
pub mod store;
pub mod time;
pub mod trace;
pub mod watchdog;
