//! What touches the system: sockets, the serial line, signals, and the thread that talks to the
//! box.

mod box_link;
mod clock;
mod exchange_link;
mod run;

pub use run::{RunError, run, run_dry};
