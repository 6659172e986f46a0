//! Hushbox: an open, embedded on-demand call recorder.
//!
//! Pure but for `shell`: see `docs/architecture.md` for the map.

pub mod codec;
pub mod config;
pub mod export;
pub mod id;
pub mod permission;
pub mod ring;
pub mod span;
pub mod store;
pub mod time;
