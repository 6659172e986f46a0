//! Audio processing, in the order in which audio travels.
//!
//! A period from a board enters a `channel` and waits in its `ring`, where the `mask` silences
//! it. It leaves as cleared audio through an `encode_stream` and a `codec`. `span` accounts for
//! every sample, `meter` measures levels, and `detect` detects calls from line activity.

pub mod channel;
pub mod codec;
pub mod detect;
pub mod encode_stream;
pub mod losses;
pub mod mask;
pub mod meter;
pub mod ring;
pub mod span;
