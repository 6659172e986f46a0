//! Calls, agents, permissions and recording schedules.

pub mod call;
pub mod directory;
pub mod permission;
pub mod schedule;
