//! The tool `hushbox`, as a process, and what it exports.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod closed_output;
mod commands;
mod config;
mod decode;
mod export;
mod store;
