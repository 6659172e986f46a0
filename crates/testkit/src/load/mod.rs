//! Loads for tests and benches that measure: a planned box, its turns, a library of recordings, and
//! a supervisor at a portal; and the tables that benches print.

pub mod library;
pub mod numbers;
pub mod plan;
pub mod supervisor;
pub mod turns;

use crate::daemon::client::{Client, Line};
use crate::wait::until;

/// Asks again until the box is no longer busy: the `ok`.
pub fn ask_until_ok(client: &mut Client, command: &str) -> Line {
    until(command, || Some(client.ask(command).end).filter(|end| end.verb() == "ok"))
}

/// Where the channel is that has captured least.
pub fn position_of_all(client: &mut Client) -> u64 {
    let rows = client.ask("channels").rows;
    rows.iter().map(|row| row.number("position")).min().expect("a channel")
}

/// Waits until every channel has captured so many frames.
pub fn await_all(client: &mut Client, position: u64) {
    until("the position", || (position_of_all(client) >= position).then_some(()));
}
