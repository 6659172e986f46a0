//! The capture client of screens, on an X server in memory.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod display;
mod recording;
mod workstations;
