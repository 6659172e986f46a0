//! Rules of style and structure.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod law;
mod rules;
mod tidy;
mod tree;
mod words;
