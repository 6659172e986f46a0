//! The web portal: agents, supervisors and administrators in a browser.
//!
//! A process of its own under a user of its own, and to the box just another client of the line
//! protocol, over its unix socket. So the recorder never parses HTTP, and whoever breaks the portal
//! has not broken the recorder. What a person may do is decided by the box, every time; the portal
//! only knows who is at the browser: accounts, sessions and passwords are its own (SQLite).
//!
//! | module | is |
//! |---|---|
//! | `config` | `portal.toml`, read into values that cannot be nonsense |
//! | `db` `accounts` `sessions` `tries` `resets` `events` | what the portal remembers |
//! | `password` `token` `throttle` | hashes; random words; what guessing costs |
//! | `talk` `link` `pulse` `hub` `desk` | a conversation with the box; one each agent; questions |
//! | `envelope` | numbers and fields that the box cannot open |
//! | `memory` `reels` `decoder` `vault` `shelf` | recordings in memory only: fetched, opened, kept |
//! | `playback` | when an opened recording is a new play, and when the box is asked again |
//! | `happened` | what the box tells of itself |
//! | `mail` | the one letter it writes |
//! | `web` | pages, forms, live state |
//!
//! Nothing here records, masks, decides a right, or keeps audio on a disk.

pub mod accounts;
pub mod box_client;
pub mod clock;
pub mod config;
pub mod db;
pub mod mail;
pub mod media;
pub mod serve;
pub mod tls;
pub mod web;
