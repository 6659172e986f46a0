//! Load generators for tests and benches: a planned recorder, its turns, a library of recordings, a
//! supervisor at the portal, and tables for results.

pub mod library;
pub mod numbers;
pub mod plan;
pub mod supervisor;
pub mod turns;

use crate::daemon::client::{Client, Line};
use crate::wait::wait_for;

/// Repeats a command until the recorder is no longer busy; returns the `ok`.
pub fn ask_until_ok(client: &mut Client, command: &str) -> Line {
    wait_for(command, || Some(client.ask(command).end).filter(|end| end.verb() == "ok"))
}

/// Position of the channel that has captured least.
pub fn position_of_all(client: &mut Client) -> u64 {
    let rows = client.ask("channels").rows;
    rows.iter().map(|row| row.number("position")).min().expect("a channel")
}

/// Waits until every channel has captured up to `position`.
pub fn await_all(client: &mut Client, position: u64) {
    wait_for("the position", || (position_of_all(client) >= position).then_some(()));
}
