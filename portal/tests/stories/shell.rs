//! Accounts at a terminal: a password is asked for twice, and never shown.

use super::house::{House, PASSWORD, Plan};
use super::wire::Hand;
use nix::pty::openpty;
use std::fs::File;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

/// Reads until something was said.
fn hear(from: &mut impl Read, wanted: &str) {
    let mut said = String::new();
    let mut byte = [0];
    while !said.ends_with(wanted) {
        assert_eq!(from.read(&mut byte).unwrap(), 1, "{wanted:?} was awaited, but: {said}");
        said.push(char::from(byte[0]));
    }
}

/// Types two lines at a terminal when it is asked for them; whether that was well, what was said
/// after them, and what the terminal showed.
fn types(house: &House, words: &[&str], lines: [&str; 2]) -> (bool, String, String) {
    let pty = openpty(None, None).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_hushbox-portal"));
    command.arg("--config").arg(house.path("portal.toml")).arg("user").args(words);
    command.stdin(Stdio::from(pty.slave)).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(command);
    let (mut screen, mut said) = (File::from(pty.master), child.stderr.take().unwrap());
    for (prompt, line) in [": ", ": "].into_iter().zip(lines) {
        hear(&mut said, prompt);
        writeln!(screen, "{line}").unwrap();
    }
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    let well = child.wait().unwrap().success();
    let mut shown = Vec::new();
    // With nobody at its other end a terminal ends with an error.
    drop(screen.read_to_end(&mut shown));
    (well, rest, String::from_utf8_lossy(&shown).into_owned())
}

#[test]
fn c3_a_password_that_is_typed_at_a_terminal_is_asked_for_twice_and_never_shown() {
    let house = House::new(&Plan::default());
    let other = "another horse battery";
    let (well, said, shown) = types(&house, &["passwd", "boss"], [other, "another horse"]);
    assert!(!well && said.contains("the two are not the same"), "{said}");
    assert!(!shown.contains("horse"), "{shown}");
    assert_eq!(Hand::of(&house, "boss").get("/records").status, 200, "{PASSWORD} is still good");
    let (well, said, shown) = types(&house, &["passwd", "boss"], [other, other]);
    assert!(well && !shown.contains("horse"), "{said} {shown}");
    assert_eq!(Hand::new(&house).log_in("boss", other).status, 303);
}
