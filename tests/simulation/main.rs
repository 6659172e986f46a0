//! The whole recorder between simulated boards, disk and clock: deterministic, replayed by a seed.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod accepted_config;
mod activity;
mod alarms;
mod allocation;
mod archive;
mod clock;
mod desks;
mod digits;
mod disk;
mod enrolment;
mod feeds;
mod harness;
mod hostile;
mod interrupted;
mod late_blackout;
mod lost_packets;
mod lost_stops;
mod new_files;
mod permissions;
mod power_cuts;
mod random_actors;
mod random_screens;
mod random_world;
mod recall;
mod recording_clients;
mod reload;
mod retention;
mod schedules;
mod screens;
mod slots;
mod transcripts;
mod watchdog;
mod worker_failure;
mod wrapup;
