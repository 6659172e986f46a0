//! Sockets: accepting, admitting and serving connections, over TLS or the unix socket.

pub mod accept;
pub mod admission;
pub mod ca;
pub mod connection;
pub mod handshake;
pub mod listener;
mod listener_set;
pub mod peer;
pub mod sip;
pub mod tls;
