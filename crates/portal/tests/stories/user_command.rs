//! Account commands on a terminal: the password is asked for twice and never shown.

use super::http::HttpClient;
use super::stack::{PASSWORD, Stack, StackOptions, wait_for};
use nix::pty::openpty;
use nix::sys::termios::{LocalFlags, tcgetattr};
use std::fs::File;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

/// Reads until `wanted` appears.
fn read_until(from: &mut impl Read, wanted: &str) {
    let mut said = String::new();
    let mut byte = [0];
    while !said.ends_with(wanted) {
        assert_eq!(from.read(&mut byte).unwrap(), 1, "{wanted:?} was awaited, but: {said}");
        said.push(char::from(byte[0]));
    }
}

/// Types two lines at the prompts. Returns success, the output after them, and the terminal's
/// content.
fn type_passwords(stack: &Stack, words: &[&str], lines: [&str; 2]) -> (bool, String, String) {
    let pty = openpty(None, None).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_hushbox-portal"));
    command.arg("--config").arg(stack.path("portal.toml")).arg("user").args(words);
    command.stdin(Stdio::from(pty.slave)).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(command);
    let (mut screen, mut said) = (File::from(pty.master), child.stderr.take().unwrap());
    for (prompt, line) in [": ", ": "].into_iter().zip(lines) {
        read_until(&mut said, prompt);
        writeln!(screen, "{line}").unwrap();
    }
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    let well = child.wait().unwrap().success();
    let mut shown = Vec::new();
    // A terminal without a program reports an error.
    drop(screen.read_to_end(&mut shown));
    (well, rest, String::from_utf8_lossy(&shown).into_owned())
}

#[test]
fn c3_terminal_password_is_asked_twice_and_hidden() {
    let stack = Stack::new(&StackOptions::default());
    let other = "another horse battery";
    let (well, said, shown) = type_passwords(&stack, &["passwd", "boss"], [other, "another horse"]);
    assert!(!well && said.contains("the two passwords are not the same"), "{said}");
    assert!(!shown.contains("horse"), "{shown}");
    assert_eq!(
        HttpClient::logged_in(&stack, "boss").get("/records").status,
        200,
        "{PASSWORD} is still good"
    );
    let (well, said, shown) = type_passwords(&stack, &["passwd", "boss"], [other, other]);
    assert!(well && !shown.contains("horse"), "{said} {shown}");
    assert_eq!(HttpClient::new(&stack).log_in("boss", other).status, 303);
}

#[test]
fn c3_terminal_password_is_read_when_no_prompt_can_be_shown() {
    let stack = Stack::new(&StackOptions::default());
    let pty = openpty(None, None).unwrap();
    let (reader, closed) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_hushbox-portal"));
    command.arg("--config").arg(stack.path("portal.toml")).args(["user", "passwd", "boss"]);
    command.stdin(Stdio::from(pty.slave.try_clone().unwrap())).stdout(Stdio::null());
    let mut child = command.stderr(closed).spawn().unwrap();
    wait_for("a terminal without echo", || {
        let flags = tcgetattr(&pty.slave).unwrap().local_flags;
        let has_ended = child.try_wait().unwrap().is_some();
        (has_ended || !flags.contains(LocalFlags::ECHO)).then_some(())
    });
    let other = "another horse battery";
    write!(File::from(pty.master), "{other}\n{other}\n").unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(HttpClient::new(&stack).log_in("boss", other).status, 303);
}

#[test]
fn c3_ctrl_c_at_password_restores_echo_and_exits() {
    let stack = Stack::new(&StackOptions::default());
    let pty = openpty(None, None).unwrap();
    let mut command = Command::new("setsid");
    command.args(["--ctty", "--wait", env!("CARGO_BIN_EXE_hushbox-portal")]);
    command.arg("--config").arg(stack.path("portal.toml")).args(["user", "passwd", "boss"]);
    let keyboard = pty.slave.try_clone().unwrap();
    command.stdin(Stdio::from(keyboard)).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (mut screen, mut said) = (File::from(pty.master), child.stderr.take().unwrap());
    let echoes = || tcgetattr(&pty.slave).unwrap().local_flags.contains(LocalFlags::ECHO);
    assert!(echoes());
    read_until(&mut said, ": ");
    assert!(!echoes());
    screen.write_all(b"half a pass\x03").unwrap();
    assert!(!child.wait().unwrap().success());
    assert!(echoes(), "the shell that comes back shows what is typed");
    assert_eq!(
        HttpClient::logged_in(&stack, "boss").get("/records").status,
        200,
        "{PASSWORD} is still good"
    );
}

#[test]
fn c3_unknown_user_is_not_asked_for_a_password() {
    let stack = Stack::new(&StackOptions::default());
    let said = run_refused(&stack, &["user", "passwd", "unknownx"]);
    assert!(said.contains("there is no account unknownx") && !said.contains("Password"), "{said}");
}

/// Error message of a refused command; nothing is typed.
fn run_refused(stack: &Stack, words: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hushbox-portal"));
    command.arg("--config").arg(stack.path("portal.toml")).args(words).stdin(Stdio::null());
    let output = command.output().unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

/// Exit code and output of `--check-config` with this `[unseal]`.
fn check_config(unseal: &str) -> (Option<i32>, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("portal.toml");
    let text = "[portal]\naddress = \"127.0.0.1:0\"\nurl = \"https://p:8443\"\n\
        data = \"data\"\nbox = \"no.sock\"\n[unseal]\n";
    std::fs::write(&path, format!("{text}{unseal}")).unwrap();
    std::fs::write(folder.path().join("plain.txt"), "").unwrap();
    let mut keygen = Command::new(testkit::program("hushbox-cli", "hushbox"));
    assert!(
        keygen
            .args(["keygen", "--out"])
            .arg(folder.path().join("identity.txt"))
            .output()
            .unwrap()
            .status
            .success()
    );
    let mut command = Command::new(env!("CARGO_BIN_EXE_hushbox-portal"));
    let output = command.arg("--check-config").arg("--config").arg(&path).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn config_errors_are_reported_at_start() {
    let (code, out, said) = check_config("tool = \"/bin/true\"\nidentity = \"identity.txt\"\n");
    assert_eq!((code, out.as_str()), (Some(0), "ok: https://p:8443, 1 warning\n"), "{said}");
    assert!(said.contains("warning: portal.box: ") && said.contains("no.sock"), "{said}");
    for (unseal, key) in [
        ("tool = \"/no/such/tool\"\n", "unseal.tool: "),
        ("tool = \"plain.txt\"\n", "unseal.tool: "),
        ("tool = \"/bin\"\n", "unseal.tool: "),
        ("tool = \"/bin/true\"\nidentity = \"gone.txt\"\n", "unseal.identity: "),
        ("tool = \"/bin/true\"\nidentity = \"plain.txt\"\n", "holds no identity"),
    ] {
        let (code, out, said) = check_config(unseal);
        assert_eq!((code, out.as_str()), (Some(78), ""), "{unseal}: {said}");
        assert!(said.contains(key), "{unseal}: {said}");
    }
}
