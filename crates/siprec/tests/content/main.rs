//! What the messages of recording clients carry: bodies, offers and answers, metadata.

mod bodies;
mod calls;
mod documents;
mod random_input;
mod sdp;
mod stored;
