//! Business facts: calls, the people who take them, their rights, and the schedules that decide
//! which calls are recorded.

pub mod call;
pub mod directory;
pub mod permission;
pub mod schedule;
