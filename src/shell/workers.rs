//! Threads beside the loop: the disk thread, short-lived workers, and their completions.

pub(super) mod completions;
pub mod disk;
pub mod queue;
pub(super) mod selftest;
pub mod system;
pub mod worker;
