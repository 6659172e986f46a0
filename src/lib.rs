//! Hushbox: an open, embedded on-demand call recorder.
//!
//! All modules except `shell` are pure: see `docs/architecture.md`.

// Tests use small numbers, so a truncating cast would show up.
#![cfg_attr(
    test,
    allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss)
)]

pub mod alarm;
pub mod audio;
pub mod backoff;
pub mod calls;
pub mod config;
pub mod enrolment_code;
pub mod export;
pub mod id;
pub mod job;
pub mod limits;
pub mod lockout;
pub mod recorder;
pub mod selftest;
pub mod shell;
pub mod store;
pub mod time;
pub mod trace;
pub mod watchdog;
