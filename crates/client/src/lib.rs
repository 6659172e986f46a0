//! What every program that talks to a box shares: addresses, one connection, and when to try again.
//!
//! `Connection` is blocking and small: it carries bytes between a socket and `protocol::client`,
//! which understands them. `Retry` decides when a lost box is tried again (requirements A7 to A9).
//!
//! `Keyring` holds the certificates of this workstation, `enrol` gets one; over TLS nothing is
//! trusted but what was pinned then.
//!
//! Nothing here decides what a person may do (the box says so in every `state`), draws a menu, or
//! imports anything of the box.

mod address;
mod connection;
mod enrol;
mod keyring;
mod login;
mod retry;
mod stream;
mod tls;

pub use address::{Address, AddressError, DEFAULT_PORT, DEFAULT_TLS_PORT};
pub use connection::{Attempt, Connection, Heard, LinkError, NEWS_MAX, News, OpenError};
pub use enrol::{EnrolError, Enrolled, enrol};
pub use keyring::{Credentials, Keyring, KeyringError};
pub use login::Login;
pub use retry::{Next, RETRIES, RETRY_MS, Retry, RetryMode};
