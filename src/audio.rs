//! The data plane, in the order in which audio travels.
//!
//! A period of a board enters a `channel`, waits in its `ring`, is silenced there where the `mask`
//! says so, and leaves as cleared audio through an `encode_stream` and a `codec`. `span` accounts
//! for every sample, `meter` measures levels, and `detect` finds calls by listening.

pub mod channel;
pub mod codec;
pub mod detect;
pub mod encode_stream;
pub mod mask;
pub mod meter;
pub mod ring;
pub mod span;
