//! The agents' desktop client, as a process, on an X server in memory.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod client;
mod display;
mod keys;
mod stalled_link;
