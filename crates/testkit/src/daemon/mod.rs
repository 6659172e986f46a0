//! The real daemon as a process in its own folder, and the command-line tool.
//!
//! A test builds a `Site`, starts a daemon on it, acts as its clients, stops or kills it, and
//! examines the files. No wait exceeds `TIMEOUT`. The folder is removed on drop.

pub mod audio;
pub mod client;
pub mod session;
pub mod site;
pub mod tls;
mod usage;

use crate::process::Process;
pub use crate::wait::{TIMEOUT, let_pass, wait_for};
use crate::{ProgramOutput, program};
use client::{Client, Line};
use nix::sys::signal::Signal;
use site::Site;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Sample rate of all tests, in frames per second.
pub const RATE: u64 = 8000;

/// A recorder process and its folder.
pub struct Daemon {
    pub folder: tempfile::TempDir,
    pub site: Site,
    /// Audio of each sim channel, interleaved.
    pub sounds: BTreeMap<u16, Vec<i16>>,
    /// TCP port from the `ready` line.
    pub port: u16,
    /// TLS port from the `ready` line, if there is a TLS listener.
    pub tls_port: u16,
    /// Time from the last start to its `ready` line.
    pub ready_in: Duration,
    process: Option<Process>,
}

impl Daemon {
    /// Creates the folder without starting the daemon.
    pub fn new(site: Site) -> Daemon {
        Daemon::new_in(&std::env::temp_dir(), site)
    }

    /// Creates the folder below `parent`.
    pub fn new_in(parent: &Path, site: Site) -> Daemon {
        let folder = tempfile::Builder::new().prefix("hushbox-story-").tempdir_in(parent).unwrap();
        let mut new = Daemon {
            folder,
            site,
            sounds: BTreeMap::new(),
            port: 0,
            tls_port: 0,
            ready_in: Duration::ZERO,
            process: None,
        };
        new.play_new_sounds();
        new.write_config();
        new
    }

    /// Creates and starts a daemon.
    pub fn start_new(site: Site) -> Daemon {
        let mut new = Daemon::new(site);
        new.start();
        new
    }

    /// Writes new noise for every sim channel.
    pub fn play_new_sounds(&mut self) {
        for channel in self.site.channels.iter().filter(|_| self.site.alsa.is_none()) {
            let count = self.site.seconds * RATE * u64::from(channel.sides);
            let sound = audio::noise(count);
            audio::write_wav(&self.path(&format!("{}.wav", channel.id)), channel.sides, &sound);
            self.sounds.insert(channel.id, sound);
        }
    }

    /// Sets the audio of a sim channel from the next start on.
    pub fn play(&mut self, channel: u16, sound: Vec<i16>) {
        audio::write_wav(&self.path(&format!("{channel}.wav")), 1, &sound);
        self.sounds.insert(channel, sound);
    }

    pub fn write_config(&self) {
        std::fs::write(self.config(), self.site.toml(self.folder.path())).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn data(&self) -> PathBuf {
        self.path("data")
    }

    pub fn config(&self) -> PathBuf {
        self.path("config.toml")
    }

    /// The log since the first start.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// The daemon's command, with this stderr.
    pub fn command(&self, stderr: impl Into<Stdio>) -> Command {
        let program = program("hushbox", "hushboxd");
        let words = [self.site.under, &[program.to_str().unwrap()]].concat();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]);
        command.arg("--config").arg(self.config()).current_dir(self.folder.path());
        command.envs(self.site.env.iter().cloned());
        command.stdin(Stdio::null()).stderr(stderr);
        command
    }

    /// Starts the daemon and waits for `ready`.
    #[allow(clippy::disallowed_methods, reason = "real programs live in real time")]
    pub fn start(&mut self) {
        let began = Instant::now();
        self.spawn_daemon();
        let mut line = self.stdout_line().expect("it ended before it was ready");
        // The wrapper program may print lines first.
        while !self.site.under.is_empty() && !line.starts_with("ready ") {
            line = self.stdout_line().expect("it ended before it was ready");
        }
        let ready = format!("ready box={} listen=127.0.0.1:", self.site.name);
        assert!(line.starts_with(&ready), "{line}");
        self.ready_in = began.elapsed();
        let ready = Line::parse(&line);
        let places: Vec<&str> = ready.get("listen").split(',').collect();
        let port =
            |place: &str| place.rsplit_once(':').map_or(0, |(_, port)| port.parse().unwrap());
        self.port = port(places[0]);
        self.tls_port = places.get(2).map_or(0, |place| port(place));
    }

    /// Starts the daemon without waiting for `ready`, and waits for its socket.
    pub fn start_unready(&mut self) {
        self.spawn_daemon();
        self.await_socket();
    }

    /// As `start_unready`, with this stderr in place of the log file.
    pub fn start_logging_to(&mut self, stderr: impl Into<Stdio>) {
        assert!(self.process.is_none(), "it runs already");
        self.process = Some(Process::start(&mut self.command(stderr)));
        self.await_socket();
    }

    fn await_socket(&self) {
        let connects = || std::os::unix::net::UnixStream::connect(self.socket()).ok().map(drop);
        wait_for("its socket", connects);
    }

    fn spawn_daemon(&mut self) {
        assert!(self.process.is_none(), "it runs already");
        let log = OpenOptions::new().create(true).append(true).open(self.path("log")).unwrap();
        self.process = Some(Process::start(&mut self.command(log)));
    }

    /// Starts the daemon and kills it after `wait`, ready or not.
    pub fn start_and_kill(&mut self, wait: impl FnOnce()) {
        self.spawn_daemon();
        wait();
        let mut process = self.process.take().unwrap();
        process.kill();
    }

    /// Reads the next line of stdout; `None` at its end.
    pub fn stdout_line(&self) -> Option<String> {
        self.running().next_line()
    }

    fn running(&self) -> &Process {
        self.process.as_ref().expect("it does not run")
    }

    /// Runs the daemon to its end, for a start that it refuses.
    pub fn run_to_end(&self) -> ProgramOutput {
        let name = format!("end-{}", audio::unique());
        let output = self.command(File::create(self.path(&name)).unwrap()).output().unwrap();
        let err = std::fs::read_to_string(self.path(&name)).unwrap();
        let out = String::from_utf8(output.stdout).unwrap();
        ProgramOutput { code: output.status.code(), out, err }
    }

    pub fn pid(&self) -> u32 {
        self.running().pid()
    }

    pub fn signal(&self, signal: Signal) {
        self.running().signal(signal);
    }

    pub fn is_alive(&mut self) -> bool {
        self.process.as_mut().expect("it does not run").is_alive()
    }

    /// Waits for the daemon to exit without further output on stdout.
    pub fn ends(&mut self) -> ExitStatus {
        assert_eq!(self.stdout_line(), None, "stdout is for `ready` alone");
        self.process.take().unwrap().wait()
    }

    /// Kills the daemon with SIGKILL.
    pub fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        assert_eq!(self.ends().code(), None);
    }

    /// Stops the daemon with SIGTERM.
    pub fn stop(&mut self) {
        self.signal(Signal::SIGTERM);
        let status = self.ends();
        assert_eq!(status.code(), Some(0), "{}", self.log());
    }

    pub fn socket(&self) -> PathBuf {
        self.data().join("hushbox.sock")
    }

    /// Connects over TCP and says hello.
    pub fn client(&self, hello: &str) -> Client {
        let mut client = Client::tcp(self.port);
        client.ok(hello);
        client
    }

    /// Connects over the unix socket, which admits every kind of session, and says hello.
    pub fn client_over_unix(&self, hello: &str) -> Client {
        let mut client = Client::unix(&self.socket());
        client.ok(hello);
        client
    }

    /// Runs `hushbox` with this recorder's configuration.
    pub fn tool(&self, words: &[&str]) -> ProgramOutput {
        let config = self.config();
        self.tool_at("home", &[words, &["--config", config.to_str().unwrap()]].concat())
    }

    /// Runs `hushbox` as a workstation user with this home folder.
    pub fn tool_at(&self, home: &str, words: &[&str]) -> ProgramOutput {
        let mut command = Command::new(program("hushbox-cli", "hushbox"));
        command.args(words).env("XDG_CONFIG_HOME", self.path(home));
        command.current_dir(self.folder.path());
        command.stdin(Stdio::null()).output().unwrap().into()
    }

    fn tool_ok(&self, words: &[&str]) -> String {
        let ended = self.tool(words);
        assert_eq!(ended.code, Some(0), "hushbox {words:?}: {}{}", ended.out, ended.err);
        ended.out
    }

    /// Runs `hushbox show --json`.
    pub fn show(&self, recording: &str) -> Record {
        Record(serde_json::from_str(&self.tool_ok(&["show", recording, "--json"])).unwrap())
    }

    /// Runs `hushbox show`.
    pub fn show_text(&self, recording: &str) -> String {
        self.tool_ok(&["show", recording])
    }

    pub fn assert_verified(&self) {
        self.assert_verified_with(&[]);
    }

    /// Runs `hushbox verify` with more arguments, such as a witness, and asserts success.
    pub fn assert_verified_with(&self, words: &[&str]) {
        let ended = self.tool(&[&["verify"], words].concat());
        assert_eq!(ended.code, Some(0), "{}{}\nlog:\n{}", ended.out, ended.err, self.log());
    }

    /// Exports a recording into the folder and returns the file and its manifest.
    pub fn export(&self, recording: &str, end: &str) -> (PathBuf, Record) {
        let path = self.path(&format!("{recording}.{end}"));
        self.tool_ok(&["export", recording, "--to", path.to_str().unwrap()]);
        let manifest = std::fs::read(self.path(&format!("{recording}.{end}.json"))).unwrap();
        (path, Record(serde_json::from_slice(&manifest).unwrap()))
    }

    /// Reads every file of the data directory.
    pub fn data_files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        let mut folders = vec![self.data()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap();
                let kind = entry.file_type().unwrap();
                if kind.is_dir() {
                    folders.push(entry.path());
                } else if kind.is_file() {
                    files.push((entry.path(), std::fs::read(entry.path()).unwrap()));
                }
            }
        }
        files
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.process = None;
        if std::thread::panicking() {
            eprintln!("the box's log:\n{}", self.log());
        }
    }
}

/// Output of `hushbox show --json`, or a manifest.
#[derive(Clone, Debug)]
pub struct Record(pub serde_json::Value);

impl Record {
    /// The text at a JSON pointer such as `/end`.
    pub fn text(&self, at: &str) -> &str {
        self.0.pointer(at).and_then(|v| v.as_str()).unwrap_or_else(|| panic!("{at}: {self:?}"))
    }

    pub fn number(&self, at: &str) -> u64 {
        self.0.pointer(at).and_then(|v| v.as_u64()).unwrap_or_else(|| panic!("{at}: {self:?}"))
    }

    fn stretches(&self, list: &str, of: impl Fn(&serde_json::Value) -> bool) -> Vec<(u64, u64)> {
        let all = self.0[list].as_array().unwrap().iter().filter(|one| of(one));
        all.map(|one| (one["from"].as_u64().unwrap(), one["to"].as_u64().unwrap_or(u64::MAX)))
            .collect()
    }

    /// `(from, to)` of each blackout; an open one has no end.
    pub fn blackouts(&self) -> Vec<(u64, u64)> {
        self.stretches("blackouts", |_| true)
    }

    /// `(from, to)` of each span with this fate: `masked`, `held`, `lost`.
    pub fn spans(&self, fate: &str) -> Vec<(u64, u64)> {
        self.stretches("spans", |span| span["fate"] == fate)
    }

    pub fn from(&self) -> u64 {
        self.number("/audio/from")
    }

    pub fn to(&self) -> u64 {
        self.number("/audio/to")
    }

    /// Asserts that the ledger adds up to the sample and agrees with the spans.
    pub fn assert_ledger(&self) {
        let of = |word: &str| self.number(&format!("/ledger/{word}"));
        assert_eq!(of("captured"), self.to() - self.from(), "{self:?}");
        let sum = of("stored") + of("masked") + of("held") + of("lost");
        assert_eq!(of("captured"), sum, "{self:?}");
        for fate in ["masked", "held", "lost"] {
            let spans = self.spans(fate);
            let frames: u64 = spans.iter().map(|(from, to)| to - from).sum();
            assert_eq!(of(fate), frames, "{fate}: {self:?}");
            assert!(spans.iter().all(|(from, to)| *from >= self.from() && *to <= self.to()));
        }
    }
}

/// Waits until a channel has captured everything before `position`.
pub fn await_position(client: &mut Client, channel: u16, position: u64) {
    wait_for("the position", || (position_of(client, channel) >= position).then_some(()));
}

/// Waits until these recordings are closed, as reported to the watching client.
pub fn await_ended(watcher: &mut Client, recordings: &[&str]) {
    let mut left = recordings.to_vec();
    while !left.is_empty() {
        let ended =
            watcher.await_news("the recordings' end", |line| line.is("what", "recording-ended"));
        left.retain(|recording| *recording != ended.get("recording"));
    }
}

pub fn position_of(client: &mut Client, channel: u16) -> u64 {
    let reply = client.ask("channels");
    let row = reply.rows.iter().find(|row| row.get("channel") == channel.to_string());
    row.expect("the channel is listed").number("position")
}

/// Whether the path exists.
pub fn is_there(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}
