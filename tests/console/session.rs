//! A technician at a serial line, over a pseudo-terminal, with a running daemon.
//!
//! The port is set as configured and speaks the protocol; a program is served as over any socket, a
//! person also gets an echo. Lines are unplugged and plugged in again, lines are noisy, and only a
//! technician with the right PIN gets in.

use nix::sys::termios::{BaudRate, ControlFlags, cfgetospeed};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Duration;
use testkit::daemon::site::Site;
use testkit::daemon::{Daemon, wait_for};
use testkit::pty::{PtyLink, Terminal};

const HELLO: &str = "hello technician user=field pin=2468";

/// A box with consoles at these ports, of its folder, that is not started yet.
fn with_consoles(ports: &[&str]) -> Daemon {
    let mut site = Site::sim(&[1]);
    for port in ports {
        let listen = format!("[[listen]]\nserial = \"{port}\"\nbaud = 9600\nidle_s = 3600\n");
        site.more.push_str(&listen);
    }
    site.more.push_str(
        "[[technician]]\nname = \"field\"\npin = \"$argon2id$v=19$m=19456,t=2,p=1$\
         BtIvqaj9XY7ZBxJ22c5iVw$\
         TyjQ7ygFTOcEHsXrsnq57JJbStAteqOOA0/cG+bNoiU\"\n",
    );
    Daemon::new(site)
}

/// A box with one console, and a cable plugged into it that has been greeted.
fn plugged_in() -> (Daemon, PtyLink) {
    let mut story = with_consoles(&["tty0"]);
    let mut cable = PtyLink::plug(&story.path("tty0"));
    story.start();
    assert!(cable.line().starts_with("hushbox 1 box=story boot="));
    (story, cable)
}

#[test]
fn h2_technician_logs_in_over_serial() {
    let (mut story, mut cable) = plugged_in();
    let modes = cable.modes();
    assert_eq!(cfgetospeed(&modes), BaudRate::B9600);
    assert!(cable.is_raw() && modes.control_flags.contains(ControlFlags::CLOCAL));
    let (_, end) = cable.ask(HELLO);
    assert!(end.starts_with("ok session=") && end.ends_with(" technician=field"), "{end}");
    let (rows, end) = cable.ask("channels");
    assert!(rows[0].starts_with("row channel=1 board=board device=1001 ") && end == "ok");
    let (rows, _) = cable.ask("clients");
    assert!(rows[0].contains("from=\"") || rows[0].contains("/tty0 "), "{rows:?}");
    // Half lines and single bytes are as good as whole ones.
    for byte in b"disk\r\n" {
        cable.send(&[*byte]);
    }
    assert!(cable.answer().1.starts_with("ok free="));
    // After leaving, the line is quiet until a person types; then it greets again.
    assert_eq!(cable.ask("quit").1, "ok");
    assert!(wake(&mut cable).starts_with("hushbox 1 "));
    assert!(cable.ask(HELLO).1.starts_with("ok session="));
    // The last words arrive, although their sender is gone before they are read.
    cable.send(b"shutdown\n");
    assert_eq!(story.ends().code(), Some(0));
    assert_eq!(cable.answer().1, "ok");
}

/// Enter, again and again, until the box greets: what comes while a line rests is dropped.
fn wake(cable: &mut PtyLink) -> String {
    wait_for("a greeting", || {
        cable.send(b"\n");
        cable.line_within(Duration::from_millis(200))
    })
}

#[test]
fn h2_serial_login_needs_a_technician() {
    let (story, mut cable) = plugged_in();
    for kind in ["agent user=a1", "monitor", "cti", "supervisor user=boss"] {
        let (_, end) = cable.ask(&format!("hello {kind}"));
        assert!(end.starts_with("err denied "), "{end}");
        if kind == "cti" {
            // Three refusals close the session.
            assert!(wake(&mut cable).starts_with("hushbox 1 "));
        }
    }
    assert!(cable.ask("hello technician user=field pin=0000").1.starts_with("err denied "));
    // Commands before hello close it too.
    assert!(cable.ask("channels").1.starts_with("err hello-first "));
    assert!(wake(&mut cable).starts_with("hushbox 1 "));
    // Wrong PINs lock the cable out, and no client at the socket.
    for _ in 0..2 {
        for _ in 0..2 {
            cable.ask("hello technician user=field pin=1111");
        }
        cable.ask("quit");
        wake(&mut cable);
    }
    assert!(cable.ask(HELLO).1.starts_with("err locked "));
    story.client_over_unix(HELLO);
}

#[test]
fn h2_serial_port_removed_and_back_is_reopened() {
    let (mut story, mut cable) = plugged_in();
    assert!(cable.ask(HELLO).1.starts_with("ok session="));
    let mut watcher = story.client_over_unix(HELLO);
    watcher.ok("watch");
    cable.pull();
    let alarm = watcher.await_news("an alarm", |line| line.is("code", "console-down"));
    assert!(alarm.is("what", "alarm") && alarm.get("text").contains("tty0"), "{}", alarm.text);
    let row =
        |row: &testkit::daemon::client::Line| row.is("alarm", "505") && row.is("state", "active");
    assert!(watcher.ask("alarms").rows.iter().any(row));
    let clients = watcher.ask("clients").rows;
    assert_eq!(clients.len(), 1, "the session went with the cable: {clients:?}");
    // A person who plugs in is not logged in.
    let mut cable = PtyLink::plug(&story.path("tty0"));
    assert!(cable.line().starts_with("hushbox 1 "));
    watcher.await_news("its end", |line| line.is("what", "alarm-over"));
    assert!(!watcher.ask("alarms").rows.iter().any(row));
    assert!(cable.ask("channels").1.starts_with("err hello-first "));
    story.stop();
}

#[test]
fn h2_missing_serial_port_does_not_prevent_start() {
    let mut story = with_consoles(&["tty0", "tty1", "tty2"]);
    let mut second = PtyLink::plug(&story.path("tty1"));
    std::fs::write(story.path("tty2"), "a file").unwrap();
    story.start();
    assert!(second.line().starts_with("hushbox 1 "));
    let mut client = story.client_over_unix(HELLO);
    let alarms = client.ask("alarms").rows;
    let says = |path: &str, text: &str| {
        alarms.iter().any(|row| row.get("text").contains(path) && row.get("text").contains(text))
    };
    assert!(says("tty0", "plugged in") && says("tty2", "no serial port"), "{alarms:?}");
    // Several consoles, each with a session of its own.
    let mut first = PtyLink::plug(&story.path("tty0"));
    assert!(first.line().starts_with("hushbox 1 "));
    assert!(first.ask(HELLO).1.starts_with("ok session="));
    assert!(second.ask(HELLO).1.starts_with("ok session="));
    assert_eq!(client.ask("clients").rows.len(), 3);
    assert_eq!(first.ask("ping").1.split('=').next(), Some("ok time"));
    assert_eq!(second.ask("ping").1.split('=').next(), Some("ok time"));
}

#[test]
fn h2_line_noise_is_refused() {
    let (story, mut cable) = plugged_in();
    cable.send(b"\xff\xfe\0\x80\x1b");
    assert!(cable.ask(HELLO).1.starts_with("ok session="), "noise before the first word");
    cable.send(b"chan\xff\xfenels\n");
    assert!(cable.answer().1.starts_with("err not-utf8 "));
    cable.send(&[b'x'; 3000]);
    cable.send(b"\n");
    assert!(cable.answer().1.starts_with("err too-long "));
    assert_eq!(cable.ask("channels").1, "ok", "the session lives on");
    drop(story);
}

#[test]
fn h2_bare_terminal_echoes_all_but_the_pin() {
    let (story, mut cable) = plugged_in();
    cable.send(b"\rhello tecc\x7fhnician user=field pin=2468\r");
    let shown = cable.until("technician=field\r\n");
    assert!(
        shown.contains("hello tecc\x08 \x08hnician user=field pin=****\r\nok session="),
        "{shown:?}"
    );
    cable.send(b"disk\r");
    cable.until("disk\r\nok free=");
    cable.until("days_left=-\r\n");
    cable.send(b"\x1b[A\r");
    // The line before comes back.
    cable.until("disk\r\nok free=");
    drop(story);
}

fn console(story: &Daemon, words: &[&str]) -> Command {
    let mut command = Command::new(testkit::program("hushbox-cli", "hushbox"));
    command.arg("console").args(words).current_dir(story.folder.path());
    command
}

#[test]
fn h2_console_completes_explains_and_shows_events() {
    let mut story = with_consoles(&["tty0"]);
    story.start();
    let mut terminal = Terminal::run(&mut console(&story, &["--config", "config.toml"]));
    terminal.when("User: ", "field\n");
    let shown = terminal.when("PIN: ", "2468\n");
    assert!(!shown.contains("2468"));
    terminal.when("connected to story at ", "");
    terminal.when("hushbox> ", "chan\t\r");
    terminal.when("channel  board  device", "");
    terminal.when("hushbox> ", "alarms\r");
    let shown = terminal.when("505: A port for the serial console is missing", "");
    assert!(shown.contains("console-down") && shown.contains("tty0"), "{shown}");
    terminal.when("hushbox> ", "help\r");
    let page = terminal.when("more lines: space or Enter; q quits -- ", "q");
    assert!(page.lines().count() <= 26, "{page}");
    terminal.when("hushbox> ", "watch\r");
    terminal.when("ok", "");
    story.client_over_unix("hello monitor");
    terminal.when("log in           monitor", "");
    terminal.when("hushbox> ", "log level nonsense\r");
    terminal.when("\u{1b}[31merr bad-argument", "");
    terminal.when("hushbox> ", "exit\r");
    assert_eq!(terminal.ends(), Some(0));
}

#[test]
fn h2_console_takes_over_a_port_with_leftovers() {
    let (story, mut cable) = plugged_in();
    let laptop = PtyLink::plug(&story.path("ttyUSB0"));
    // Another person's session, and half a line.
    assert!(cable.ask(HELLO).1.starts_with("ok session="));
    cable.send(b"chan");
    cable.join(&laptop);
    let mut command = console(&story, &["ttyUSB0", "--rate", "9600"]);
    let streams = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = streams.spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"field\n2468\nchannels\nexit\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{out}{err}");
    let lines: Vec<&str> = out.lines().filter(|line| !line.starts_with("event ")).collect();
    assert!(lines[0].starts_with("ok session=") && lines[0].ends_with("technician=field"), "{out}");
    assert!(lines[1].starts_with("row channel=1 ") && lines[2..] == ["ok", "ok"], "{out}");
}

#[test]
fn h2_console_script_exits_nonzero_on_refusal() {
    let mut story = with_consoles(&[]);
    story.start();
    for (script, status) in [("channels\n", 0), ("nonsense\nchannels\n", 1)] {
        let mut command = console(&story, &["--config", "config.toml"]);
        let streams = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = streams.spawn().unwrap();
        let said = format!("field\n2468\n{script}");
        child.stdin.take().unwrap().write_all(said.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(out.contains("row channel=1 "), "the rest is done all the same: {out}");
        assert_eq!(output.status.code(), Some(status), "{script}: {out}");
    }
}

/// A program that answers as a recorder, with texts that a terminal would obey.
fn hostile_box() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let name = "\"evil\u{1b}]0;title\u{7}\u{202e}\"";
            stream.write_all(format!("hushbox 1 box={name} boot=1\n").as_bytes()).unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let hello = lines.next().unwrap().unwrap();
            let ok = if hello.contains("user=bad") { "err denied" } else { "ok session=1" };
            let text = "\"\u{1b}[2J\u{202e}x\"";
            let answer = match ok {
                "err denied" => format!("{ok} {text}\n"),
                _ => format!("{ok} agent={text} field.1={text}\n"),
            };
            stream.write_all(answer.as_bytes()).unwrap();
            drop(lines.next());
        }
    });
    address
}

#[test]
fn names_and_texts_of_a_false_box_are_escaped() {
    let address = hostile_box();
    let tool = testkit::program("hushbox-cli", "hushbox");
    let run = |words: &[&str]| {
        let mut command = Command::new(&tool);
        Terminal::run(command.args(words).args(["--to", &address]))
    };
    let assert_escaped = |shown: &str| {
        // The control character of a refusal is a space: it is shown as a protocol line.
        assert!(shown.contains("[2J\\u{202e}"), "{shown:?}");
        assert!(!shown.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{shown:?}");
    };
    let mut agent = run(&["agent", "--user", "jdoe"]);
    assert_escaped(&agent.when("> ", "quit\n"));
    let mut agent = run(&["agent", "--user", "bad"]);
    assert_escaped(&agent.when("\n", ""));
    let mut console = run(&["console", "--user", "bad"]);
    console.when("PIN: ", "1234\n");
    assert_escaped(&console.when("x\"", ""));
    let mut console = run(&["console", "--user", "field"]);
    console.when("PIN: ", "1234\n");
    let shown = console.when("Type help", "");
    assert!(shown.contains("evil\\u{1b}]0;title\\u{7}\\u{202e}"), "{shown:?}");
    assert!(!shown.contains(['\u{7}', '\u{202e}']), "{shown:?}");
}
