//! A SIPREC recording server (RFC 7866) without I/O.

mod address;
pub mod answer;
pub mod codec;
pub mod crypto;
mod dialog;
mod event;
mod framer;
pub mod limits;
mod message;
pub mod metadata;
pub mod offer;
mod peer;
pub mod personal;
mod random;
mod server;
mod statistics;

pub use dialog::DialogSnapshot;
pub use event::{AnswerError, Availability, EndReason, Event, Problem, Refusal, SessionKey};
pub use framer::{FramerError, StreamFramer};
pub use message::{MessageError, Method};
pub use peer::{Peer, Transmit, Transport};
pub use server::{Server, Settings};
pub use statistics::{PeerStatistics, Statistics};
