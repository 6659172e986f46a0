//! Support for the tests and benches of every Hushbox crate.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "support code fails its test by panicking"
)]

mod programs;

pub use programs::program;
