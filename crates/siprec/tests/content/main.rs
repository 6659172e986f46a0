//! What the messages of recording clients carry: bodies, offers and answers, metadata.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bodies;
mod calls;
mod documents;
mod random_input;
mod sdp;
mod stored;
