//! Support for the tests and benches of every Hushbox crate.
//!
//! `Daemon` is the real daemon as a process, `SimBox` the recorder without hardware. `World` and
//! `RandomActors` are clients around a `SimBox`. `pty`, `browser`, `desktop`, `display` and `vm`
//! provide terminals, browsers, desktops, workstations and the appliance. `sip` and `rtp` are
//! recording clients. `store_fixture` and `load` write stores and generate loads.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "support code fails its test by panicking"
)]

pub mod browser;
pub mod daemon;
pub mod desktop;
pub mod display;
pub mod fuzz;
pub mod load;
pub mod load_client;
mod own_process;
pub mod process;
mod programs;
pub mod pty;
pub mod random_actors;
pub mod rng;
pub mod rtp;
pub mod screen_client;
pub mod script;
pub mod sim;
pub mod sip;
pub mod store_fixture;
pub mod svg;
pub mod video_player;
pub mod vm;
pub mod wait;
pub mod world;

pub use own_process::is_alone;
pub use programs::{ProgramOutput, program, root, run_tool};
