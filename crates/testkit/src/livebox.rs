//! The real box in a folder of its own: started, talked to, stopped or killed, looked at with the
//! real tool.
//!
//! Its simulated board plays noise without a zero, other noise in every round, so that any eight
//! samples found on the disk say where they come from. Whatever runs is killed when dropped.

use crate::program;
use client::{Address, Connection};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use protocol::client::{Pairs, Reply};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub const RATE: u32 = 8000;
/// A wait that only a broken box makes long.
pub const TIMEOUT: Duration = Duration::from_secs(20);

/// What differs from box to box.
#[derive(Clone)]
pub struct Model {
    /// Devices 1001 …, agents a1 …
    pub channels: u8,
    pub codec: &'static str,
    pub seal: bool,
    pub recipients: Vec<String>,
    pub holdback_ms: u32,
    pub lead_ms: u32,
    /// Further roles of every agent.
    pub roles: &'static str,
}

impl Default for Model {
    fn default() -> Model {
        Model {
            channels: 1,
            codec: "pcm",
            seal: true,
            recipients: Vec::new(),
            holdback_ms: 200,
            lead_ms: 100,
            roles: "",
        }
    }
}

/// A box's folder, and the daemon while it runs.
pub struct LiveBox {
    pub folder: TempDir,
    pub model: Model,
    running: Option<(Child, Address)>,
}

/// What the tool said.
#[derive(Debug)]
pub struct Said {
    pub status: i32,
    pub out: String,
    pub err: String,
}

/// Noise without a zero byte, so that zeros on a disk are never mistaken for it.
pub fn noise(seed: u64, frames: usize) -> Vec<i16> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (i16::from_le_bytes([state.to_le_bytes()[2], state.to_le_bytes()[5]]) / 4) | 0x0101
    };
    (0..frames).map(|_| next()).collect()
}

impl LiveBox {
    pub fn new(model: Model) -> LiveBox {
        let made = LiveBox { folder: tempfile::tempdir().unwrap(), model, running: None };
        for channel in 1..=made.model.channels {
            made.play(channel, &noise(u64::from(channel), 10 * RATE as usize));
        }
        made.configure();
        made
    }

    /// What a channel plays from the next start on.
    pub fn play(&self, channel: u8, samples: &[i16]) {
        let (channels, sample_rate) = (1, RATE);
        let spec = hound::WavSpec {
            channels,
            sample_rate,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let path = self.folder.path().join(format!("{channel}.wav"));
        let mut writer = hound::WavWriter::create(path, spec).unwrap();
        samples.iter().for_each(|sample| writer.write_sample(*sample).unwrap());
        writer.finalize().unwrap();
    }

    /// Writes the configuration as the model says.
    pub fn configure(&self) {
        let Model { codec, seal, recipients, holdback_ms, lead_ms, roles, .. } = &self.model;
        let mut text = format!(
            "[box]\nname = \"live\"\ndata = \"data\"\n[on_demand]\nenabled = true\n\
             [[listen]]\naddress = \"127.0.0.1:0\"\n\
             [local]\nkinds = [\"agent\", \"cti\", \"supervisor\", \"monitor\"]\n\
             [audio]\nholdback_ms = {holdback_ms}\ncodec = \"{codec}\"\n\
             [blackout]\nlead_ms = {lead_ms}\n\
             [store]\nseal = {seal}\nrecipients = {recipients:?}\nreserve_mb = 1\n\
             [[role]]\nname = \"agent\"\npermissions = [\"record.start\", \"record.stop\", \
             \"blackout\", \"update.1\", \"update.3\"]\n\
             [[role]]\nname = \"own\"\npermissions = [\"notify-on-demand-only\"]\n\
             [[role]]\nname = \"boss\"\npermissions = [\"records.all\", \"play\", \"protect\"]\n\
             [[agent]]\nusername = \"boss\"\nroles = [\"boss\"]\n\
             [[schedule]]\nname = \"on demand\"\ntype = \"on-demand\"\nretention_days = 30\n\
             [fields]\n1 = \"Caller name\"\n\
             [[board]]\nname = \"sim\"\nkind = \"sim\"\nrate = {RATE}\nbuffer_ms = 1000\n\
             activity = \"cti\"\nchannels = [\n"
        );
        for n in 1..=self.model.channels {
            let id = format!("{{ id = {n}, device = \"{}\"", 1000 + u32::from(n));
            writeln!(text, "{id}, sides = \"mono\", source = \"{n}.wav\" }},").unwrap();
        }
        text.push_str("]\n");
        for n in 1..=self.model.channels {
            let phone = 1000 + u32::from(n);
            writeln!(
                text,
                "[[agent]]\nusername = \"a{n}\"\nphones = [\"{phone}\"]\nroles = [\"agent\"{roles}]"
            )
            .unwrap();
        }
        std::fs::write(self.folder.path().join("config.toml"), text).unwrap();
    }

    pub fn path(&self, inside: &str) -> PathBuf {
        self.folder.path().join("data").join(inside)
    }

    fn spawn(&self) -> Child {
        assert!(self.running.is_none(), "it runs already");
        let log = self.folder.path().join("log");
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        Command::new(program("hushbox", "hushboxd"))
            .args(["--config", "config.toml"])
            .current_dir(self.folder.path())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    /// Starts the daemon and kills it after `wait`, ready or not.
    pub fn start_and_kill(&self, wait: impl FnOnce()) {
        let mut child = self.spawn();
        wait();
        child.kill().unwrap();
        let _ = child.wait().unwrap();
    }

    /// Starts the daemon and waits until it says that it is ready.
    pub fn start(&mut self) {
        let mut child = self.spawn();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let Some((_, place)) = line.trim_end().split_once("listen=") else {
            let _ = child.kill();
            panic!("not ready: {line:?}\n{}", self.log());
        };
        self.running = Some((child, place.parse().unwrap()));
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    pub fn address(&self) -> Address {
        self.running.as_ref().expect("it runs").1.clone()
    }

    fn signal(&self, signal: Signal) {
        let (child, _) = self.running.as_ref().expect("it runs");
        kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
    }

    /// Asks the daemon to read its configuration again.
    pub fn hup(&self) {
        self.signal(Signal::SIGHUP);
    }

    /// The plug is pulled, as far as a process can tell.
    pub fn kill(&mut self) {
        let (mut child, _) = self.running.take().expect("it runs");
        child.kill().unwrap();
        let _ = child.wait().unwrap();
    }

    /// Asks the daemon to stop in order, without waiting.
    pub fn ask_to_stop(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// Stops the daemon in order.
    pub fn stop(&mut self) {
        self.ask_to_stop();
        let (mut child, _) = self.running.take().expect("it runs");
        assert!(child.wait().unwrap().success(), "{}", self.log());
    }

    /// A session that has said hello.
    pub fn session(&self, hello: &str) -> Connection {
        session(&self.address(), hello)
    }

    /// Waits until the first channel has heard so many samples more.
    #[allow(clippy::disallowed_methods, reason = "a bounded look at another process")]
    pub fn hear(&self, samples: u64) {
        let mut monitor = self.session("hello monitor");
        let mut position = || -> u64 {
            let rows = monitor.ask("channels").unwrap().rows;
            rows[0].get("position").unwrap().parse().unwrap()
        };
        let (enough, end) = (position() + samples, Instant::now() + TIMEOUT);
        while position() < enough {
            assert!(Instant::now() < end, "no audio: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Runs the tool in the folder.
    pub fn tool(&self, words: &[&str]) -> Said {
        tool_in(self.folder.path(), words)
    }

    /// Verifies, and it must be clean.
    pub fn verify_clean(&self, words: &[&str]) {
        let said = self.tool(&[&["verify"], words].concat());
        assert_eq!(said.status, 0, "{said:?}\n{}", self.log());
    }
}

impl Drop for LiveBox {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let tail = log.char_indices().rev().nth(2600000).map_or(0, |(at, _)| at);
            eprintln!("the box said last:\n{}", &log[tail..]);
        }
        if let Some((mut child, _)) = self.running.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

pub fn session(address: &Address, hello: &str) -> Connection {
    let mut connection = Connection::open(std::slice::from_ref(address), TIMEOUT).unwrap();
    ok(connection.ask(hello).unwrap());
    connection
}

/// The pairs of a reply that must be an `ok`.
pub fn ok(reply: Reply) -> Pairs {
    reply.outcome.expect("refused")
}

pub fn tool_in(folder: &Path, words: &[&str]) -> Said {
    let mut command = Command::new(program("hushbox-cli", "hushbox"));
    let output = command.args(words).current_dir(folder).output().unwrap();
    Said {
        status: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}
