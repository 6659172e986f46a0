//! The line protocol between a box and its clients, version 1.
//!
//! `assembler` splits bytes into lines, `line` splits lines into words, and `parse` makes a typed
//! `Command` from them, with the help of `table`. `tolerant` reads invalid lines of a call feed.
//! `reply` and `state` write the answers of a box, and the `client` state machine reads them.
//! `code`, `kind` and `permission` hold the words that never change; `access` defines what an entry
//! of the table requires of a session, `name` which names are the same, and `program` how client
//! programs name themselves. `docs/protocol.md` is
//! the manual; its list of commands is generated from `table`.
//!
//! Nothing here does I/O, reads a clock, starts a thread or imports another crate of Hushbox.

pub mod access;
pub mod arg;
pub mod assembler;
pub mod client;
pub mod code;
pub mod command;
pub mod kind;
pub mod line;
pub mod name;
pub mod one_time;
mod parse;
pub mod permission;
pub mod program;
pub mod reply;
pub mod state;
pub mod table;
pub mod text;
pub mod tolerant;

pub use access::{Access, Requires, Rule};
pub use assembler::{Assembler, DATA_BYTES, InvalidLine, Piece};
pub use client::{Client, ClientEvent};
pub use code::{Code, Refusal};
pub use command::{CallArgs, Command, ConfigEdit, Hello, RecordsQuery, Request};
pub use kind::{Direction, Kind, Level, MediaPart, Purpose};
pub use line::{Line, Word};
pub use one_time::OneTimeCode;
pub use permission::Permission;
pub use state::{Ability, AbilitySet, AgentState, CaptureState, ScreenMode};
pub use tolerant::Alteration;

/// The version of the protocol, the second word of the greeting.
pub const VERSION: u32 = 1;
