//! Sessions through the crate `client`, as the clients of the product have them.

use super::{Daemon, TIMEOUT, until};
use client::{Address, Connection};
use protocol::client::{Pairs, Reply};

impl Daemon {
    /// Where it serves plain TCP.
    pub fn address(&self) -> Address {
        format!("127.0.0.1:{}", self.port).parse().unwrap()
    }

    /// A session that has said hello.
    pub fn session(&self, hello: &str) -> Connection {
        session(&self.address(), hello)
    }

    /// Waits until the first channel has captured so many more frames.
    pub fn await_frames(&self, frames: u64) {
        let mut monitor = self.session("hello monitor");
        let mut position = || -> u64 {
            let rows = monitor.ask("channels").unwrap().rows;
            rows[0].get("position").unwrap().parse().unwrap()
        };
        let end = position() + frames;
        until("audio", || (position() >= end).then_some(()));
    }
}

/// A session that has said hello.
pub fn session(address: &Address, hello: &str) -> Connection {
    let mut connection = Connection::open(std::slice::from_ref(address), TIMEOUT).unwrap();
    ok(connection.ask(hello).unwrap());
    connection
}

/// The pairs of a reply that must be an `ok`.
pub fn ok(reply: Reply) -> Pairs {
    reply.outcome.expect("refused")
}
