//! Tests of the real portal with a real recorder, a real browser and a mail server.
//!
//! `stack` starts and stops them; `http` sends raw HTTP that a browser would not send. No wait
//! exceeds `stack::TIMEOUT`. Each test has its own folders and ports and ends all its processes.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod agent;
mod browser;
mod hostile;
mod http;
mod login;
mod pages;
mod playback;
mod removal;
mod scanner;
mod screen;
mod sealed;
mod security;
mod stack;
mod supervisor;
mod user_command;
