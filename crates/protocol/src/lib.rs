//! The line protocol, version 1: what the box and everybody who talks to it say to each other.
//!
//! Bytes become lines (`assembler`), lines become words (`line`), words become a typed `Command`
//! (`command`, by way of the one `table`); answers are written by `reply` and `state`, and read by
//! the `client` state machine. `code` and `kind` hold the frozen vocabularies.
//! `docs/protocol.md` is the manual; its list of commands is made from `table`.
//!
//! Nothing here does I/O, reads a clock, starts a thread or imports anything of Hushbox.

pub mod arg;
pub mod assembler;
pub mod client;
pub mod code;
pub mod command;
pub mod kind;
pub mod line;
pub mod one_time;
pub mod reply;
pub mod state;
pub mod table;

pub use assembler::{Assembler, DATA_BYTES, Piece};
pub use client::{Client, ClientEvent};
pub use code::{Code, Refusal};
pub use command::{CallArgs, Command, ConfigEdit, Hello, RecordsQuery};
pub use kind::{Direction, Kind, Level, Part, Purpose};
pub use line::{Line, Word};
pub use one_time::OneTimeCode;
pub use state::{Ability, AgentState, Can, CaptureState, ScreenMode};

/// The version of the protocol, the second word of the greeting.
pub const VERSION: u32 = 1;
