//! One module for each subcommand of `hushbox`.

pub mod agent;
pub mod boards;
pub mod check_config;
pub mod console;
pub mod decode;
pub mod enrol;
pub mod export;
pub mod export_screen;
pub mod keys;
pub mod records;
pub mod redact;
pub mod report;
pub mod selftest;
pub mod send;
pub mod setup;
pub mod show;
pub mod verify;
