//! What every client of a box shares: addresses, connections, certificates and the retry policy.
//!
//! `Connection` is blocking. It carries bytes between a socket and `protocol::client`, which parses
//! them. `RetryPolicy` decides when a client connects again (requirements A7 to A9). `Keyring`
//! holds the certificates of this workstation, and `enrol` obtains one. Over TLS a client trusts
//! only the CA that was pinned at enrolment. `stderr_log` is the log of every program that runs
//! unattended, the box included.
//!
//! Nothing here decides what a user may do (the box says so in every `state`), draws a menu, or
//! imports a crate of the box.

mod address;
mod clock;
mod connection;
mod enrol;
mod error;
mod happy_eyeballs;
mod keyring;
mod login;
mod press;
mod retry;
mod stderr_log;
mod stream;
mod tls;

pub use address::{Address, AddressError, DEFAULT_PORT, DEFAULT_TLS_PORT};
pub use connection::{
    Connection, FailedAttempt, Incoming, NOTIFICATIONS_MAX, Notification, OpenError,
};
pub use enrol::{EnrolError, Enrolment, enrol};
pub use error::ConnectionError;
pub use happy_eyeballs::ConnectError;
pub use keyring::{Credentials, Keyring, KeyringError};
pub use login::Login;
pub use press::add_press_age;
pub use retry::{RETRIES_MAX, RETRY_INTERVAL_MS, RetryAction, RetryMode, RetryPolicy};
pub use stderr_log::{
    flush_stderr_log, is_log_thread, lost_log_lines, print_to_stderr, start_stderr_log,
};
