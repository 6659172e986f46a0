//! Two hundred agents' pages with live state, while 64 channels record.
//!
//! A real box with 64 simulated channels, the real portal, 200 sessions with their streams held
//! open. Measured: how long a page takes, how long a call's beginning takes to reach the agent's
//! page, and, beside it, a static page of the same size from nginx by the same client. Then the box
//! is asked what it lost. `make bench` runs it; it asserts nothing but that nothing was lost.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]

use portal::accounts::sessions;
use portal::accounts::sessions::LoginOrigin;
use portal::accounts::{self, Account};
use portal::db::Db;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const CHANNELS: usize = 64;
const AGENTS: usize = 200;
const PAGES: usize = 2000;

struct ChildGuard(Child);

impl Drop for ChildGuard {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Starts a program and gives its first line.
fn start_program(command: &mut Command) -> (ChildGuard, String) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (ChildGuard(child), line.trim().to_owned())
}

fn box_config() -> String {
    let mut text = String::from(
        "[box]\nname = \"load\"\ndata = \"data\"\n[on_demand]\nenabled = true\nweb = true\n\
         [[listen]]\naddress = \"127.0.0.1:0\"\n[[listen]]\nunix = \"s.sock\"\n\
         [local]\nkinds = [\"cti\", \"monitor\"]\n[store]\nreserve_mb = 1\n\
         [[board]]\nname = \"b\"\nkind = \"sim\"\nrate = 8000\nbuffer_ms = 200\n\
         activity = \"cti\"\nchannels = [\n",
    );
    let demo = concat!(env!("CARGO_MANIFEST_DIR"), "/../../board/models/demo/1001.wav");
    for n in 1..=CHANNELS {
        let _ = writeln!(
            text,
            "{{ id = {n}, device = \"d{n}\", sides = \"mono\", source = {demo:?} }},"
        );
    }
    text.push_str(
        "]\n[[role]]\nname = \"r\"\npermissions = [\"record.start\", \"blackout\"]\n\
         [[schedule]]\nname = \"all\"\ntype = \"percentage\"\nretention_days = 1\n\
         [[schedule]]\nname = \"od\"\ntype = \"on-demand\"\nretention_days = 1\n",
    );
    for n in 1..=AGENTS {
        let _ =
            writeln!(text, "[[agent]]\nusername = \"a{n}\"\nphones = [\"d{n}\"]\nroles = [\"r\"]");
    }
    text
}

/// One session for each agent, made without a log-in: what it costs is not measured here.
fn sessions_for_all(data: &Path) -> Vec<String> {
    std::fs::create_dir_all(data).unwrap();
    let db = Db::open(&data.join("portal.sqlite")).unwrap();
    let now = portal::clock::unix_seconds();
    (1..=AGENTS)
        .map(|n| {
            let (name, secret) = (format!("a{n}"), portal::accounts::token::new().unwrap());
            let (hash, email) = ("-".to_owned(), String::new());
            let account =
                Account { name: name.clone(), hash, email, is_disabled: false, created_at: now };
            db.call_blocking(|db| accounts::add_account(db, &account)).unwrap();
            let origin = LoginOrigin::default();
            db.call_blocking(|db| {
                sessions::create_session(db, &name, (&secret, "c"), &origin, now)
            })
            .unwrap();
            secret
        })
        .collect()
}

fn get_request(port: u16, path: &str, secret: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nCookie: hushbox={secret}\r\n\r\n")
}

/// Reads one good answer with a length.
fn read_response(stream: &mut BufReader<TcpStream>) -> usize {
    let mut length = 0;
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    assert!(line.starts_with("HTTP/1.1 200 "), "{line}");
    loop {
        let mut line = String::new();
        assert!(stream.read_line(&mut line).unwrap() > 0, "it closed");
        let line = line.trim().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse().unwrap();
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    assert!(length > 0, "an answer without a length");
    length
}

/// How long each of many requests took, one after another on a kept connection.
fn measure_requests(port: u16, path: &str, secret: &str) -> (Vec<Duration>, usize) {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut writer = stream.try_clone().unwrap();
    let mut reader = BufReader::new(stream);
    let asked = get_request(port, path, secret);
    let mut size = 0;
    let times = (0..PAGES).map(|_| {
        let began = Instant::now();
        writer.write_all(asked.as_bytes()).unwrap();
        size = read_response(&mut reader);
        began.elapsed()
    });
    (times.collect(), size)
}

/// Holds a stream open and tells when an incoming call is shown.
fn subscribe_to_calls(port: u16, secret: &str) -> Receiver<Instant> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(get_request(port, "/agent/events", secret).as_bytes()).unwrap();
    let (sender, calls) = channel();
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    while !line.starts_with("data:") {
        line.clear();
        reader.read_line(&mut line).unwrap();
    }
    std::thread::spawn(move || {
        loop {
            line.clear();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if line.contains("\"direction\":\"in\"") && sender.send(Instant::now()).is_err() {
                return;
            }
        }
    });
    calls
}

fn print_percentiles(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |part: usize| times[(times.len() - 1) * part / 1000].as_micros();
    println!("{what:<44} p50 {:>7} us  p99 {:>7} us  p99.9 {:>7} us", at(500), at(990), at(999));
}

fn start_nginx(folder: &Path, size: usize) -> (ChildGuard, u16) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    std::fs::write(folder.join("page.html"), "x".repeat(size)).unwrap();
    let at = folder.display();
    let text = format!(
        "daemon off; master_process off; error_log stderr; pid {at}/nginx.pid; user root; \
         events {{}} http {{ \
         access_log off; keepalive_requests 100000; server {{ listen 127.0.0.1:{port}; \
         root {at}; }} }}"
    );
    std::fs::write(folder.join("nginx.conf"), text).unwrap();
    let mut command = Command::new("nginx");
    command.arg("-c").arg(folder.join("nginx.conf")).stderr(Stdio::null());
    let child = ChildGuard(command.spawn().expect("nginx: `make setup-bench` installs it"));
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        std::thread::sleep(Duration::from_millis(20));
    }
    (child, port)
}

fn sibling_program(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_hushbox-portal")).with_file_name(name);
    assert!(path.exists(), "{} is missing: cargo build --bins first", path.display());
    path
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("config.toml"), box_config()).unwrap();
    let url = "url = \"http://127.0.0.1:0\"\naddress = \"127.0.0.1:0\"\ntls = \"none\"";
    let toml = format!("[portal]\n{url}\ndata = \"portal\"\nbox = \"s.sock\"\n");
    std::fs::write(at.join("portal.toml"), toml).unwrap();
    let config = |name: &str| ["--config".into(), at.join(name).into_os_string()];
    let (_box, ready) =
        start_program(Command::new(sibling_program("hushboxd")).args(config("config.toml")));
    let box_port = ready.split("127.0.0.1:").nth(1).unwrap().split(',').next().unwrap();
    let secrets = sessions_for_all(&at.join("portal"));
    let portal = env!("CARGO_BIN_EXE_hushbox-portal");
    let (_portal, ready) = start_program(Command::new(portal).args(config("portal.toml")));
    let port: u16 = ready.rsplit(':').next().unwrap().parse().unwrap();
    let streams: Vec<_> = secrets.iter().map(|secret| subscribe_to_calls(port, secret)).collect();
    println!("{AGENTS} pages with live state are open");

    let mut pbx = TcpStream::connect(format!("127.0.0.1:{box_port}")).unwrap();
    pbx.set_nodelay(true).unwrap();
    let mut replies = BufReader::new(pbx.try_clone().unwrap());
    let mut ask = |line: &str| {
        pbx.write_all(format!("{line}\n").as_bytes()).unwrap();
        let mut reply = String::new();
        loop {
            reply.clear();
            replies.read_line(&mut reply).unwrap();
            if reply.starts_with("ok") || reply.starts_with("err") {
                return reply.clone();
            }
        }
    };
    ask("hello cti");
    let mut shown = Vec::new();
    for n in 1..=CHANNELS {
        let began = Instant::now();
        let reply = ask(&format!("call start device=d{n} call=c{n} direction=in"));
        assert!(reply.contains("recording=") && !reply.contains("recording=-"), "{reply}");
        let seen = streams[n - 1].recv_timeout(Duration::from_secs(30)).unwrap();
        shown.push(seen.saturating_duration_since(began));
    }
    print_percentiles("from the PBX's line to the agent's page", shown);
    let (agent, size) = measure_requests(port, "/agent", &secrets[0]);
    print_percentiles(&format!("the agent's page ({size} bytes)"), agent);
    print_percentiles("the log-in page", measure_requests(port, "/login", "").0);
    print_percentiles("style sheet", measure_requests(port, "/assets/x/style.css", "").0);
    let (_nginx, static_port) = start_nginx(at, size);
    print_percentiles(
        "nginx, a static page of that size",
        measure_requests(static_port, "/page.html", "").0,
    );
    // At least a quarter of a minute of recording, whatever the machine.
    std::thread::sleep(Duration::from_secs(15));
    let lost: u64 = (ask("channels").is_empty()).into();
    let stats = query_stats(box_port);
    let frames = stats.iter().find(|(name, _)| name == "hushbox_lost_frames_total").unwrap();
    println!("{CHANNELS} channels recording: {} frames lost", frames.1);
    assert_eq!((lost, frames.1.as_str()), (0, "0"), "nothing is lost");
}

fn query_stats(port: &str) -> Vec<(String, String)> {
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    stream.write_all(b"hello monitor\nstats\nquit\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let value = |line: &str, key: &str| {
        let after = line.split(&format!("{key}=")).nth(1)?;
        Some(after.trim_matches('"').split(' ').next()?.to_owned())
    };
    text.lines().filter_map(|line| Some((value(line, "name")?, value(line, "value")?))).collect()
}
