//! Stories about the portal: the real program beside a real box, a real browser, a mail server.
//!
//! `house` starts and stops them, `wire` speaks HTTP by hand where a browser is too polite. Nothing
//! waits longer than `house::TIMEOUT`, each story has folders and ports of its own, and everything
//! that was started ends with it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod agent;
mod browser;
mod house;
mod login;
mod pages;
mod playback;
mod scanner;
mod screen;
mod sealed;
mod security;
mod shell;
mod supervisor;
mod wire;
