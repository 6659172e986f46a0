//! Loads for tests and benches that measure: a planned box, its turns, a library of recordings, and
//! a supervisor at a portal.

pub mod library;
pub mod plan;
pub mod supervisor;
pub mod turns;
