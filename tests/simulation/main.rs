//! The whole recorder between simulated boards, disk and clock: deterministic, replayed by a seed.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod activity;
mod allocation;
mod archive;
mod disk;
mod disk_failure;
mod enrolment;
mod harness;
mod hostile;
mod power_cuts;
mod properties;
mod random_screens;
mod random_world;
mod recall;
mod retention;
mod screens;
mod slow_disk;
mod transcripts;
mod watchdog;
