//! Hushbox: an open, embedded on-demand call recorder.
//!
//! Pure but for `shell`: see `docs/architecture.md` for the map.

pub mod blackout;
pub mod codec;
pub mod config;
pub mod directory;
pub mod export;
pub mod id;
pub mod meter;
pub mod permission;
pub mod ring;
pub mod schedule;
pub mod span;
pub mod store;
pub mod time;
