//! The recording server as a recording client sees it: messages in, messages and events out.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod dialogs;
mod framing;
mod limits;
mod properties;
mod refusals;
mod restart;
mod stored;
mod support;
mod timers;
