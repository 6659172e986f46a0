//! The program without a display, and without a server.
//!
//! The screen tests of the repository's root show that it captures.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::process::{Command, Output};

fn run(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hushbox-screen"));
    command.args(args).env_remove("DISPLAY").output().unwrap()
}

#[test]
fn start_without_display_is_refused() {
    let output = run(&["--to", "127.0.0.1:1", "--display", ":no-such-display"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("hushbox-screen: cannot capture the display: "), "{said}");
}

#[test]
fn start_without_server_names_the_option() {
    let output = run(&["--user", "jane"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("--to <"), "{said}");
}
