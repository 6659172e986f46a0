//! The program as people start it: what it says without a display, and without a server.
//!
//! That it captures is told in the box's `tests/story_screen.rs`, which this builds it for.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::process::{Command, Output};

fn run(words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hushbox-screen"));
    command.args(words).env_remove("DISPLAY").output().unwrap()
}

#[test]
fn start_without_display_is_refused() {
    let output = run(&["--to", "127.0.0.1:1", "--display", ":no-such-display"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("hushbox-screen: the display cannot be captured: "), "{said}");
}

#[test]
fn start_without_server_names_the_option() {
    let output = run(&["--user", "jane"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("--to <"), "{said}");
}
