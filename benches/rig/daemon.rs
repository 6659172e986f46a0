//! The real `hushboxd` in a folder of its own, and a client that talks to it by the line.
//!
//! The process gets a port of its own choosing, logs to a file beside its configuration, and is
//! stopped with SIGTERM when it is dropped. What the kernel knows of it is read from `/proc`.

use hushbox::shell::os::clock::Clock;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use testkit::load::plan::Plan;

/// Nothing that is waited for takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running box.
pub struct Daemon {
    child: Child,
    address: String,
    /// Microseconds from the start of the process to its `ready` line.
    pub ready_us: u64,
}

/// Writes the configuration of a box whose data lies beside it.
pub fn lay_out(folder: &Path, plan: Plan) -> PathBuf {
    let path = folder.join("config.toml");
    std::fs::write(&path, plan.config()).expect("a configuration");
    path
}

impl Daemon {
    /// Starts a box and waits until it is ready.
    pub fn start(config: &Path) -> Daemon {
        let log = std::fs::File::create(config.with_extension("log")).expect("a log");
        let clock = Clock::start();
        let mut child = Command::new(env!("CARGO_BIN_EXE_hushboxd"))
            .arg("--config")
            .arg(config)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("hushboxd starts");
        let mut line = String::new();
        let out = child.stdout.take().expect("its stdout");
        BufReader::new(out).read_line(&mut line).expect("its first line");
        let ready_us = clock.now().mono.0;
        let address = line.trim_end().split_once("listen=").map(|(_, address)| address.to_owned());
        let told = || std::fs::read_to_string(config.with_extension("log")).unwrap_or_default();
        let address = address.unwrap_or_else(|| panic!("{line:?} is not ready:\n{}", told()));
        Daemon { child, address, ready_us }
    }

    pub fn connect(&self, hello: &str) -> Client {
        let stream = TcpStream::connect(&self.address).expect("a connection");
        stream.set_nodelay(true).expect("no delay");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        let reader = BufReader::new(stream.try_clone().expect("another handle"));
        let mut client = Client { stream, reader };
        assert!(client.line().starts_with("hushbox 1"));
        let answer = client.ask(hello);
        assert!(answer.last().is_some_and(|line| line.starts_with("ok")), "{answer:?}");
        client
    }

    /// A number of `/proc/PID/status`, in MB.
    pub fn memory_mb(&self, what: &str) -> f64 {
        let status = self.proc_file("status");
        let line = status.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(':'));
        let kb = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        kb.expect("a number of kB") / 1024.0
    }

    /// Processor time it has used, all threads, in seconds.
    #[allow(dead_code, reason = "not every bench looks at it")]
    pub fn processor_s(&self) -> f64 {
        let stat = self.proc_file("stat");
        let (_, fields) = stat.rsplit_once(')').expect("a name in brackets");
        let ticks = fields.split_whitespace().skip(11).take(2).map(|t| t.parse::<f64>().unwrap());
        let per_s = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok().flatten();
        ticks.sum::<f64>() / per_s.map_or(100.0, |per_s| per_s as f64)
    }

    fn proc_file(&self, name: &str) -> String {
        let path = format!("/proc/{}/{name}", self.child.id());
        std::fs::read_to_string(path).expect("what the kernel knows")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let pid = i32::try_from(self.child.id()).expect("a process number");
        let stopped = kill(Pid::from_raw(pid), Signal::SIGTERM);
        let ended = self.child.wait();
        assert!(stopped.is_ok() && ended.is_ok_and(|code| code.success()), "it stops in order");
    }
}

/// One session.
pub struct Client {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Client {
    pub fn send(&mut self, line: &str) {
        self.stream.write_all(format!("{line}\n").as_bytes()).expect("it takes lines");
    }

    /// The next line, without its end.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        let count = self.reader.read_line(&mut line).expect("a line in time");
        assert!(count > 0, "the box closed the connection");
        line.truncate(line.trim_end().len());
        line
    }

    /// Sends a command and gives its rows and the `ok` or `err`; news is left out.
    pub fn ask(&mut self, command: &str) -> Vec<String> {
        self.send(command);
        let mut lines = Vec::new();
        loop {
            let line = self.line();
            let word = line.split(' ').next().unwrap_or_default().to_owned();
            if word != "state" && word != "event" {
                lines.push(line);
            }
            if word == "ok" || word == "err" {
                return lines;
            }
        }
    }

    /// Asks every 20 ms until the answer is as wanted.
    pub fn ask_until(&mut self, command: &str, wanted: impl Fn(&[String]) -> bool) -> Vec<String> {
        let clock = Clock::start();
        loop {
            let answer = self.ask(command);
            if wanted(&answer) {
                return answer;
            }
            assert!(clock.now().mono.0 < 60_000_000, "{command}: {answer:?}");
            pause_ms(20);
        }
    }

    /// Waits until every channel has given so many frames.
    pub fn wait_for(&mut self, position: u64) {
        let there = |line: &String| value(line, "position").is_some_and(|at| at >= position);
        self.ask_until("channels", |rows| {
            rows.iter().filter(|line| line.starts_with("row")).all(there)
        });
    }
}

/// Lets time pass: another process is measured, and there is nothing to wait for but the clock.
#[allow(clippy::disallowed_methods, reason = "the measured process is another one")]
pub fn pause_ms(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

/// The number behind `key=` in a line.
pub fn value(line: &str, key: &str) -> Option<u64> {
    let words = line.split(' ').filter_map(|word| word.split_once('='));
    words.filter(|(known, _)| *known == key).find_map(|(_, value)| value.parse().ok())
}
