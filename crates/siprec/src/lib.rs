//! A SIPREC recording server (RFC 7866) without I/O.
//!
//! `Server` takes SIP messages and the time, and gives messages and events. `StreamFramer` cuts
//! TCP and TLS streams into messages. `body`, `offer`, `answer` and `metadata` read and write what
//! the messages carry. The crate opens no socket, reads no clock and knows nothing of recorders.

pub mod address;
pub mod answer;
pub mod body;
pub mod call_facts;
pub mod codec;
pub mod crypto;
mod dialog;
mod event;
mod framer;
mod header;
pub mod limits;
mod message;
pub mod metadata;
pub mod offer;
mod peer;
pub mod personal;
mod random;
mod response;
mod server;
mod session_timer;
mod statistics;
mod timer_queue;
mod transaction;

pub use dialog::DialogSnapshot;
pub use event::{Availability, EndReason, Event, Problem, Refusal, ReplyError, SessionKey};
pub use framer::{FramerError, StreamFramer};
pub use message::{MessageError, Method};
pub use peer::{Peer, Transmit, Transport};
pub use server::{Server, Settings};
pub use statistics::{PeerStatistics, Statistics};
