//! Hushbox: an open, embedded on-demand call recorder.
//!
//! Pure but for `shell`: see `docs/architecture.md` for the map.

// Tests count in small numbers; a cast that cuts one shows itself there.
#![cfg_attr(
    test,
    allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss)
)]

pub mod activity;
pub mod alarm;
pub mod blackout;
pub mod call;
pub mod channel;
pub mod codec;
pub mod config;
pub mod directory;
pub mod doors;
pub mod export;
pub mod id;
pub mod job;
pub mod limits;
pub mod meter;
pub mod permission;
pub mod pulse;
pub mod recorder;
pub mod reel;
pub mod ring;
pub mod schedule;
pub mod shell;
pub mod span;
pub mod store;
pub mod time;
pub mod trace;
pub mod trial;
