//! Shared parts of the appliance tests: the test profile, the audio, and checks inside the machine.
//!
//! The test profile disables sealing and uses the codec `pcm`, so that the raw disk can be
//! searched. It also serves the plain-text protocol beyond loopback.

pub mod qemu;

use crate::daemon::audio::{Needles, noise, write_wav};
use crate::daemon::client::Client;
use crate::vm::qemu::{Kind, Machine, drive, let_pass, prepare};
use std::path::PathBuf;
use std::time::Duration;

pub const RATE: u64 = 8000;

const CONFIG: &str = r#"
[box]
name = "hushbox"
data = "/var/lib/hushbox"
[on_demand]
enabled = true
[[listen]]
unix = "/run/hushbox/hushbox.sock"
[[listen]]
address = "0.0.0.0:7440"
insecure = true
[[listen]]
address = "0.0.0.0:7441"
tls = true
[local]
kinds = ["agent", "cti", "supervisor", "monitor"]
technician_group = "hushbox"
[audio]
codec = "pcm"
holdback_ms = 1500
[blackout]
lead_ms = 1000
[store]
seal = false
reserve_mb = 16
[[board]]
name = "loop"
kind = "alsa"
pcm = "hw:Loopback,1,0"
rate = 8000
period_ms = 20
buffer_ms = 500
activity = "cti"
channels = [{ id = 1, device = "1001", sides = "stereo", slots = [0, 1] }]
[[role]]
name = "agent"
permissions = ["record.start", "record.stop", "blackout", "screen", "update.1"]
[[agent]]
username = "jdoe"
phones = ["1001"]
roles = ["agent"]
[[schedule]]
name = "on demand"
type = "on-demand"
[fields]
1 = "Caller name"
"#;

/// The folder, the disk and the audio; no sound is played twice.
pub struct Vm {
    kind: Kind,
    pub folder: tempfile::TempDir,
    disk: PathBuf,
    drive: PathBuf,
    /// Sounds played while nothing is masked.
    pub open: Vec<Vec<i16>>,
    /// Sounds played only inside blackouts.
    pub secret: Vec<Vec<i16>>,
}

impl Vm {
    pub fn new(kind: Kind) -> Vm {
        let place = std::env::var("HUSHBOX_BED").unwrap_or_else(|_| "/var/tmp".to_owned());
        let folder = tempfile::Builder::new().prefix("hushbox-bed-").tempdir_in(place).unwrap();
        let sounds = |seconds: u64| (0..2).map(|_| noise(seconds * RATE * 2)).collect();
        let (open, secret): (Vec<Vec<i16>>, Vec<Vec<i16>>) = (sounds(60), sounds(3));
        let mut files = vec![("config.toml", CONFIG.as_bytes().to_vec())];
        let names = ["open0.wav", "open1.wav", "secret0.wav", "secret1.wav"];
        for (name, sound) in names.into_iter().zip(open.iter().chain(&secret)) {
            let path = folder.path().join(name);
            write_wav(&path, 2, sound);
            files.push((name, std::fs::read(path).unwrap()));
        }
        // Upgrade image; not every test needs one.
        let given = |word: &str| std::env::var(word).ok().filter(|path| !path.is_empty());
        if let Some(package) = given("HUSHBOX_PACKAGE") {
            files.push(("new.deb", std::fs::read(package).unwrap()));
        }
        let (disk, drive_path) = (folder.path().join("disk"), folder.path().join("bed"));
        prepare(kind, &disk, 1024);
        drive(kind, folder.path(), &drive_path, &files);
        Vm { kind, folder, disk, drive: drive_path, open, secret }
    }

    pub fn boot(&self) -> Machine {
        Machine::boot(self.kind, &self.disk, &self.drive, self.folder.path())
    }

    /// Number of runs of these sounds found on the raw disk.
    pub fn on_disk(&self, sounds: &[Vec<i16>]) -> usize {
        let mut needles = Needles::of(&sounds[0], 2);
        sounds[1..].iter().for_each(|sound| needles.add(sound, 2));
        needles.found_in(&std::fs::read(&self.disk).unwrap())
    }
}

/// Switches to the test profile: the kernel's loopback card, and the configuration for the search.
pub fn change_profile(machine: &mut Machine) {
    machine.inside("modprobe snd-aloop pcm_substreams=2");
    machine.inside("cat /run/bed/config.toml >/data/etc/config.toml && sync");
    machine.inside("systemctl restart hushboxd");
}

/// Creates the card after a start of the machine, because no shipped image has one.
pub fn start_card(machine: &mut Machine) {
    machine.await_bed();
    machine.inside("modprobe snd-aloop pcm_substreams=2");
    machine.await_ready();
}

pub fn client(machine: &Machine, hello: &str) -> Client {
    let mut client = Client::tcp(machine.plain_port);
    client.ok(hello);
    client
}

pub fn play(machine: &mut Machine, name: &str) {
    machine.inside(&format!("aplay -q -D hw:Loopback,0,0 /run/bed/{name}"));
}

/// Plays a sound in a loop.
pub fn play_on(machine: &mut Machine, name: &str) {
    machine.inside(&format!(
        "setsid sh -c 'while :; do aplay -q -D hw:Loopback,0,0 /run/bed/{name}; done' >/dev/null \
         2>&1 &"
    ));
}

pub fn stop_playing(machine: &mut Machine) {
    // Kill the shells first, or they start another player.
    let kill = "for p in $(grep -las Loopback /proc/[0-9]*/cmdline | tr -dc '0-9\\n'); do \
                [ $p = $$ ] || kill $p; done";
    machine.try_inside(kill);
}

pub fn position(monitor: &mut Client) -> u64 {
    monitor.ask("channels").rows[0].number("position")
}

pub fn verify(machine: &mut Machine) {
    machine.inside("hushbox verify");
}

pub fn show(machine: &mut Machine, recording: &str) -> serde_json::Value {
    let text = machine.inside(&format!("hushbox show {recording} --json"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

pub fn until_closed(machine: &mut Machine, recording: &str) {
    for _ in 0..100 {
        if !show(machine, recording)["end"].is_null() {
            return;
        }
        let_pass(Duration::from_millis(200));
    }
    panic!("{recording} does not end");
}

/// Waits until the service's status line shows or no longer shows an alarm.
pub fn await_alarm(machine: &mut Machine, alarm: &str, active: bool) {
    qemu::until(&format!("{alarm}: {active}"), || {
        let line = machine.inside("systemctl show -P StatusText hushboxd");
        (line.contains(alarm) == active).then_some(())
    });
}

pub fn report(text: &str) {
    use std::io::Write;
    println!("{text}");
    if let Some(path) = std::env::var_os("HUSHBOX_REPORT") {
        let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
        writeln!(file.unwrap(), "{text}").unwrap();
    }
}

/// The PIN printed by the first boot.
pub fn pin(told: &str) -> String {
    told.split("PIN ").nth(1).expect("a PIN").split(':').next().unwrap().to_owned()
}

/// Logs a technician in on the serial line.
pub fn log_in(machine: &mut Machine, pin: &str) {
    let from = machine.serial_length();
    machine.type_on_serial("field");
    machine.on_serial(from, "PIN");
    machine.type_on_serial(pin);
    machine.on_serial(from, "connected to");
}
