//! The line protocol to the recorder: connections, agent sessions, single requests, events.

pub mod agent_session;
pub mod agent_sessions;
pub mod client;
pub mod connection;
pub mod events;
#[cfg(test)]
pub mod fake_box;
pub mod keep_alive;
