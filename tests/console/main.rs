//! The technician's console: serial lines and terminals, as pseudo-terminals.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod meters;
mod screens;
mod session;
mod setup;
