//! The web portal: agents, supervisors and administrators in a browser.
//!
//! The portal is a process under its own user, and an ordinary client of the line protocol over the
//! recorder's unix socket. The recorder never parses HTTP, and a compromised portal is not a
//! compromised recorder. The recorder decides what a user may do, on every request. The portal only
//! authenticates users: it stores accounts, sessions and password hashes in SQLite.
//!
//! | module | is |
//! |---|---|
//! | [`accounts`] | accounts, passwords, sessions, reset links, lockout, rate limits, audit log |
//! | [`box_client`] | line protocol to the recorder: connections, sessions, requests, events |
//! | [`clock`] | the only reader of clocks |
//! | [`config`] | `portal.toml`, parsed into validated types |
//! | [`db`] | SQLite database |
//! | [`mail`] | password reset e-mail |
//! | [`media`] | recordings in memory only: fetched, decoded, cached, wiped |
//! | [`serve`] | HTTP server from start to shutdown |
//! | [`site_time`] | days and times in the time zone of the box |
//! | [`tls`] | TLS certificate |
//! | [`web`] | pages, forms, live state |
//!
//! The portal does not record, mask, decide permissions or write audio to a disk.
//!

pub mod accounts;
pub mod box_client;
pub mod clock;
pub mod config;
pub mod db;
pub mod mail;
pub mod media;
pub mod serve;
pub mod site_time;
pub mod tls;
pub mod web;
