//! Call logs over TCP, a serial line and stdin, and the program without a box.

use crate::feed::{Feed, await_call, command, write_config};
use std::io::Write;
use std::net::TcpStream;
use std::process::{Output, Stdio};
use testkit::daemon::site::Site;
use testkit::daemon::{Daemon, wait_for};
use testkit::pty::PtyLink;

const COLUMNS: &str = "[csv]\ncolumns = [\"event\", \"device\", \"call\", \"ani\"]\n\
    [csv.events]\nstart = [\"ANS\"]\nhold = [\"HLD\"]\nstop = [\"REL\"]\n";

fn config(source: &str) -> String {
    format!("[exchange]\nkind = \"csv\"\n{source}\n{COLUMNS}")
}

#[test]
fn log_over_a_serial_line_begins_and_ends_a_call() {
    let daemon = Daemon::start_new(Site::sim(&[1]));
    let port = daemon.path("tty");
    let mut line = PtyLink::plug(&port);
    let mut feed = Feed::start(&daemon, &config(&format!("serial = {port:?}\nbaud = 9600")));
    feed.await_log("connected to the exchange");
    feed.await_log("connected to the box");
    let mut monitor = daemon.client("hello monitor");
    line.send(b"ANS,1001,7,0305551234\r\n");
    await_call(&mut monitor, "1001", Some(("csv-7", "no")));
    line.send(b"REL,1001,7\r\n");
    await_call(&mut monitor, "1001", None);
    feed.terminate();
}

#[test]
fn restarted_program_ends_a_call_that_it_began_before() {
    let daemon = Daemon::start_new(Site::sim(&[1]));
    let source = config("listen = \"127.0.0.1:0\"");
    // Port 0 cannot be known by an exchange, so the test takes a free one.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let source = source.replace("127.0.0.1:0", &free.to_string());
    let mut feed = Feed::start(&daemon, &source);
    let connect = || wait_for("the listener", || TcpStream::connect(free).ok());
    let mut monitor = daemon.client("hello monitor");
    connect().write_all(b"ANS,1001,7,0305551234\n?,1001,8\n").unwrap();
    await_call(&mut monitor, "1001", Some(("csv-7", "no")));
    feed.await_log("line 2 of the call log is left out (1 in all)");
    assert!(!feed.log().contains("5551234"), "{}", feed.log());
    feed.kill();
    let mut feed = Feed::start(&daemon, &source);
    connect().write_all(b"REL,1001,7\n").unwrap();
    await_call(&mut monitor, "1001", None);
    feed.terminate();
}

#[test]
fn log_on_stdin_is_confirmed_before_the_program_ends() {
    let daemon = Daemon::start_new(Site::sim(&[1]));
    let mut feed = Feed::start(&daemon, &config("stdin = true"));
    feed.await_log("connected to the box");
    feed.write_stdin("ANS,1001,7,0305551234\nHLD,1001,7");
    feed.await_end();
    await_call(&mut daemon.client("hello monitor"), "1001", Some(("csv-7", "yes")));
    assert!(!daemon.log().contains("alarm 202"), "it said quit: {}", daemon.log());
}

fn run_without_box(folder: &std::path::Path, text: &str, word: &str, stdin: &str) -> Output {
    let config = write_config(folder, text);
    let mut command = command(&config);
    let pipes = command.arg(word).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = pipes.stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn dry_run_prints_the_lines_and_needs_no_box() {
    let folder = tempfile::tempdir().unwrap();
    let lines = "ANS,1001,7,0305551234\nHLD,1001,7\nREL,1001,7\n";
    let output = run_without_box(folder.path(), &config("stdin = true"), "--dry-run", lines);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "call start device=1001 call=csv-7 ani=0305551234\n\
         call hold device=1001 call=csv-7\ncall stop device=1001 call=csv-7\n"
    );
}

#[test]
fn check_names_every_error_and_ends_with_78() {
    let folder = tempfile::tempdir().unwrap();
    let output = run_without_box(folder.path(), &config("stdin = true"), "--check", "");
    assert_eq!((output.status.code(), output.stdout.starts_with(b"ok: ")), (Some(0), true));
    let text = "[exchange]\nkind = \"csv\"\nstdin = true\nbaud = 1\n[csv]\ncolumns = []\n";
    let output = run_without_box(folder.path(), text, "--check", "");
    let words = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(78), "{words}");
    for word in ["baud is only", "\"event\" is missing", "start and stop need"] {
        assert!(words.contains(word), "{words}");
    }
}
