//! The Debian package, and the appliance in an emulated machine (`make test-image`).

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod arm;
mod life;
mod mute;
mod package;
mod power_cuts;
mod serial;
