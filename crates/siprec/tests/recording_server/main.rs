//! The recording server as a recording client sees it: messages in, messages and events out.

mod dialogs;
mod framing;
mod limits;
mod properties;
mod refusals;
mod restart;
mod stored;
mod support;
mod timers;
