//! The store: format, signatures, sealing, and damaged input.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod fuzz;
mod golden;
mod sealing;
mod swapped_media;
mod tamper;
