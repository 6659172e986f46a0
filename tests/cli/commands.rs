//! The tool without a store: its help, configurations, secrets, and its talk with a scripted
//! server.

use argon2::password_hash::PasswordVerifier;
use argon2::password_hash::phc::PasswordHash;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use tempfile::TempDir;
use testkit::{ProgramOutput, run_tool};

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Runs the tool with something on stdin.
fn tool_with(words: &[&str], stdin: &str) -> ProgramOutput {
    let mut child = Command::new(testkit::program("hushbox-cli", "hushbox"))
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .env("USER", "jdoe")
        .spawn()
        .unwrap();
    // It may have ended without reading.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    child.wait_with_output().unwrap().into()
}

/// A box that greets and answers each line of one connection after the other with the next of
/// `answers`; what it heard.
fn scripted_box(
    connections: &'static [&'static [&'static str]],
) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let thread = std::thread::spawn(move || {
        let mut heard = Vec::new();
        for answers in connections {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"hushbox 1 box=box-01 boot=37\n").unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            for answer in *answers {
                heard.push(lines.next().unwrap().unwrap());
                stream.write_all(answer.as_bytes()).unwrap();
            }
            // Until the client has gone.
            heard.extend(lines.map_while(Result::ok));
        }
        heard
    });
    (address, thread)
}

#[test]
fn help_covers_every_subcommand() {
    let said = run_tool(folder().path(), &["--help"]);
    assert_eq!((said.status(), said.err.as_str()), (0, ""));
    let words = ["send", "agent", "console", "records", "show", "export", "decode", "verify"];
    for word in words.into_iter().chain(["check-config", "pin", "keygen", "enrol"]) {
        assert!(said.out.contains(word), "{word}");
        let help = run_tool(folder().path(), &[word, "--help"]).out;
        assert!(help.contains("Example"), "{word}: {help}");
        assert!(help.lines().all(|line| line.chars().count() <= 100), "{word}");
    }
    assert!(!said.out.contains('\u{1b}'));
    let version = run_tool(folder().path(), &["--version"]).out;
    assert_eq!(version, format!("hushbox {}\n", env!("CARGO_PKG_VERSION")));
    for wrong in [vec![], vec!["nonsense"], vec!["show"], vec!["send", "--kind", "x", "ping"]] {
        assert_eq!(run_tool(folder().path(), &wrong).status(), 2, "{wrong:?}");
    }
}

#[test]
fn check_config_reports_file_line_and_column() {
    let folder = folder();
    let check = |text: &str| {
        std::fs::write(folder.path().join("c.toml"), text).unwrap();
        run_tool(folder.path(), &["check-config", "c.toml"])
    };
    let bad = check("[box]\nname = 5\n[audio]\n  holdbak_ms = 7\n");
    assert_eq!(bad.status(), 1);
    let lines: Vec<&str> = bad.out.lines().collect();
    assert_eq!(lines.len(), 2, "{}", bad.out);
    assert!(lines[0].starts_with("c.toml:2:8: error: [box] name: "), "{}", bad.out);
    assert!(lines[1].starts_with("c.toml:4:3: error: [audio] holdbak_ms"), "{}", bad.out);
    let good = check("[box]\nname = \"b\"\n[[agent]]\nusername = \"jdoe\"\n");
    assert_eq!(good.status(), 0, "{}", good.out);
    let last = good.out.lines().last().unwrap();
    assert!(last.starts_with("ok: 0 channels, 1 agent, 0 schedules"), "{last}");
    let none = run_tool(folder.path(), &["check-config", "none.toml"]);
    assert!(none.status() == 66 && none.err.contains("none.toml"), "{}", none.err);
}

/// A file that passes must start on this machine, so the check looks at it.
#[test]
fn h2_check_config_looks_at_data_folder_sockets_and_wav_files() {
    let folder = folder();
    let check = |text: &str| {
        std::fs::write(folder.path().join("c.toml"), text).unwrap();
        run_tool(folder.path(), &["check-config", "c.toml"])
    };
    std::fs::write(folder.path().join("file"), "a file").unwrap();
    let bad = check("[box]\ndata = \"file/data\"\n");
    assert_eq!(bad.status(), 1, "{}", bad.out);
    assert!(bad.out.contains("c.toml:2:8: error: [box] data: found "), "{}", bad.out);
    assert!(bad.out.contains("which is not a folder"), "{}", bad.out);
    let long = "s".repeat(100);
    let bad = check(&format!("[[listen]]\nunix = \"{long}\"\n"));
    assert!(bad.status() == 1 && bad.out.contains("c.toml:2:8: error: [[listen]] unix"));
    let text = "[[listen]]\nunix = \"file\"\n[store]\nreserve_mb = 1048576\n\
                [[board]]\nname = \"b\"\nkind = \"sim\"\n\
                channels = [{ id = 1, device = \"1\", source = \"none.wav\" }]\n";
    let warned = check(text);
    assert_eq!(warned.status(), 0, "{}", warned.out);
    for word in ["none.wav: cannot be read", "not a socket; move it"] {
        assert!(warned.out.contains(word), "{word}: {}", warned.out);
    }
}

#[test]
fn pin_prints_a_hash_that_the_config_accepts() {
    let hashed = tool_with(&["pin"], "4711-field\n");
    assert_eq!((hashed.status(), hashed.err.as_str()), (0, ""));
    let hash = hashed.out.trim_end();
    let parsed = PasswordHash::new(hash).unwrap();
    let verify = |pin: &str| argon2::Argon2::default().verify_password(pin.as_bytes(), &parsed);
    assert!(hash.starts_with("$argon2id$") && verify("4711-field").is_ok());
    assert!(verify("4711-fiele").is_err());
    let config = format!("[[technician]]\nname = \"field\"\npin = \"{hash}\"\n");
    assert!(hushbox::config::parse(&config).is_ok());
    for (pin, status) in [("123\n", 64), ("\n", 64), ("", 66), (&*"9".repeat(65), 64)] {
        let said = tool_with(&["pin"], pin);
        assert_eq!((said.status(), said.out.as_str()), (status, ""), "{pin:?}");
    }
}

#[test]
fn keygen_writes_an_identity_with_owner_mode() {
    let folder = folder();
    let made = run_tool(folder.path(), &["keygen", "--out", "id.txt"]);
    assert_eq!(made.status(), 0, "{}", made.err);
    let path = folder.path().join("id.txt");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(&path).unwrap();
    let identity = &hushbox::store::seal::parse_identities(&text).unwrap()[0];
    assert_eq!(made.out.trim_end(), identity.to_public().to_string());
    assert!(!made.out.contains("SECRET") && !made.err.contains("SECRET"));
    let again = run_tool(folder.path(), &["keygen", "--out", "id.txt"]);
    assert!(again.status() == 73 && again.err.contains("exists"), "{}", again.err);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    let printed = run_tool(folder.path(), &["keygen"]);
    assert!(printed.out.contains("AGE-SECRET-KEY-1") && printed.err.contains("age1"));
}

#[test]
fn send_says_hello_and_prints_raw_replies() {
    let (address, server) = scripted_box(&[&[
        "ok session=1\nstate call=- direction=- recording=off recording_id=- reasons=- \
         blackout=off blackout_ms=0 screen=off can=- note=-\n",
        "row a=1 b=\"x y\"\nrow c=\"\"\nok n=2\n",
        "err denied \"not permitted\" masked=yes\n",
    ]]);
    let words = ["send", "--to", &address, "--machine", "WS-1", "--domain", "ACME"];
    let said = tool_with(&[&words[..], &["status", "shutdown", "ping"]].concat(), "");
    let wanted = "row a=1 b=\"x y\"\nrow c=\"\"\nok n=2\nerr denied \"not permitted\" masked=yes\n";
    assert_eq!((said.out.as_str(), said.status()), (wanted, 1), "{}", said.err);
    let version = env!("CARGO_PKG_VERSION");
    let hello = format!("hello agent user=jdoe domain=ACME machine=WS-1 client=hushbox/{version}");
    assert_eq!(server.join().unwrap(), [&hello, "status", "shutdown"], "nothing after an err");
}

#[test]
fn send_without_hello_keeps_data_blocks() {
    let (address, server) =
        scripted_box(&[&["ok time=T\n"], &["ok\n", "data 3\na\nb\nok size=3\n"]]);
    let ping = tool_with(&["send", "--to", &address, "ping"], "");
    assert_eq!((ping.out.as_str(), ping.status()), ("ok time=T\n", 0));
    let folder = folder();
    let out = folder.path().join("x.hbm");
    let path = out.to_str().unwrap();
    let words = ["send", "--to", &address, "--out", path, "hello cti user=pbx", "media x"];
    let media = tool_with(&words, "");
    assert_eq!((media.out.as_str(), media.status()), ("ok\nok size=3\n", 0), "{}", media.err);
    assert_eq!(std::fs::read(out).unwrap(), b"a\nb");
    assert_eq!(server.join().unwrap(), ["ping", "hello cti user=pbx", "media x"]);
}

#[test]
fn send_tries_the_next_listener_when_denied() {
    let folder = folder();
    let unix = UnixListener::bind(folder.path().join("x.sock")).unwrap();
    let first = std::thread::spawn(move || {
        let (mut stream, _) = unix.accept().unwrap();
        stream.write_all(b"hushbox 1 box=box-01 boot=37\n").unwrap();
        let mut line = String::new();
        BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
        stream.write_all(b"err denied \"not over this socket\"\n").unwrap();
        line
    });
    let (tcp, second) = scripted_box(&[&["ok\n", "ok time=T\n"]]);
    let listen = format!("[[listen]]\naddress = \"{tcp}\"\n[[listen]]\nunix = \"x.sock\"\n");
    std::fs::write(folder.path().join("config.toml"), listen).unwrap();
    let said = run_tool(folder.path(), &["send", "--user", "a1", "ping"]);
    assert_eq!((said.out.as_str(), said.status()), ("ok time=T\n", 0), "{}", said.err);
    let (first, second) = (first.join().unwrap(), second.join().unwrap());
    assert!(first.starts_with("hello agent user=a1 "), "{first}");
    assert_eq!((second[0].as_str(), second[1].as_str()), (first.trim_end(), "ping"));
}

#[test]
fn send_without_server_names_the_remedy() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    for words in [vec!["send", "--to", &closed, "ping"], vec!["console", "--to", &closed]] {
        let said = tool_with(&words, "field\n4711\n");
        assert!(said.status() == 69 && said.err.contains("hushboxd"), "{}", said.err);
        assert!(said.err.contains(&closed), "{}", said.err);
    }
    let stranger = tool_with(&["send", "--to", "tls:box.invalid", "ping"], "");
    assert!(stranger.status() == 69 && stranger.err.contains("not enrolled"), "{}", stranger.err);
    assert!(!stranger.err.contains("hushboxd"), "{}", stranger.err);
    for words in [vec!["console", "--to", "/dev/ttyNONE"], vec!["console", "/dev/ttyNONE"]] {
        let tty = tool_with(&words, "");
        assert!(tty.status() == 69 && tty.err.contains("serial port /dev/ttyNONE"), "{}", tty.err);
    }
}

#[test]
fn a8_agent_shows_state_and_reconnects_on_request() {
    let (address, server) = scripted_box(&[&[
        "ok session=1 agent=\"Jane Doe\" field.1=\"Caller name\"\n",
        "ok recording=abc\nstate call=c1 direction=in recording=on recording_id=abc \
             reasons=agent blackout=off blackout_ms=0 screen=off can=record.stop note=-\n",
        "ok\n",
    ]]);
    let said = tool_with(&["agent", "--to", &address, "--user", "jdoe"], "record start\nstatus\n");
    assert_eq!(said.status(), 0, "{}", said.err);
    for part in [
        "connected to box-01",
        "as Jane Doe",
        "update 1 \"…\" sets Caller name",
        "ok recording=abc\n",
        "call c1 (incoming); recording abc for agent; you may: record.stop",
        "recording> ",
    ] {
        assert!(said.out.contains(part), "{part}\n{}", said.out);
    }
    assert_eq!(server.join().unwrap()[1..], ["record start", "status"]);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let said =
        tool_with(&["agent", "--to", &closed, "--user", "jdoe"], "status\nreconnect\nquit\n");
    assert_eq!(said.out.matches("retry 1 of 10 in 10 s").count(), 2, "{}", said.out);
    assert!(said.status() == 0 && said.out.contains("only reconnect and quit"), "{}", said.out);
}

#[test]
fn console_without_terminal_logs_in_and_prints_lines() {
    let (address, server) =
        scripted_box(&[&["ok session=2\n", "row alarm=1 text=\"a b\"\nok\n", "ok\n"]]);
    let said = tool_with(&["console", "--to", &address], "field\n4711\nalarms\nexit\n");
    let wanted = "ok session=2\nrow alarm=1 text=\"a b\"\nok\nok\n";
    assert_eq!((said.out.as_str(), said.status()), (wanted, 0), "{}", said.err);
    let heard = server.join().unwrap();
    assert!(heard[0].starts_with("hello technician user=field pin=4711 "), "{heard:?}");
    assert_eq!(heard[1..], ["alarms", "quit"]);
}
