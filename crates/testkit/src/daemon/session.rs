//! Sessions through the crate `client`.

use super::{Daemon, TIMEOUT, wait_for};
use client::{Address, Connection};
use protocol::client::{Pairs, Reply};

impl Daemon {
    /// TCP address of the daemon.
    pub fn address(&self) -> Address {
        format!("127.0.0.1:{}", self.port).parse().unwrap()
    }

    /// Connects and says hello.
    pub fn session(&self, hello: &str) -> Connection {
        session(&self.address(), hello)
    }

    /// Waits until the first channel has captured `frames` more frames.
    pub fn await_frames(&self, frames: u64) {
        let mut monitor = self.session("hello monitor");
        let mut position = || -> u64 {
            let rows = monitor.request("channels").unwrap().rows;
            rows[0].get("position").unwrap().parse().unwrap()
        };
        let end = position() + frames;
        wait_for("audio", || (position() >= end).then_some(()));
    }
}

/// Connects and says hello.
pub fn session(address: &Address, hello: &str) -> Connection {
    let mut connection = Connection::open(std::slice::from_ref(address), TIMEOUT).unwrap();
    ok(connection.request(hello).unwrap());
    connection
}

/// Pairs of a reply that must be `ok`.
pub fn ok(reply: Reply) -> Pairs {
    reply.outcome.expect("refused")
}
