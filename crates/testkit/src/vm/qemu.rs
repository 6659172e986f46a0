//! The bed: the appliance in an emulated machine, seen from where people are: its serial line, its
//! network, its power switch.
//!
//! The image is the shipped one but for one unit, `bed.service`, that takes commands over a second
//! serial line and reads what it needs (a player, sounds, a configuration) from a drive of its own.
//! The machine is pure emulation (no KVM), and killed like a plug is pulled. Nothing here asserts
//! what a story is about.

#![allow(clippy::disallowed_methods, reason = "real machines live in real time")]

use crate::programs::root;
pub use crate::wait::let_pass;
use crate::wait::until_within;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Longer than anything takes on an emulated machine beside a build.
pub const TIMEOUT: Duration = Duration::from_secs(900);

/// Which machine.
#[derive(Clone, Copy)]
pub enum Kind {
    Pc,
    Arm,
}

impl Kind {
    fn debian(self) -> &'static str {
        match self {
            Kind::Pc => "amd64",
            Kind::Arm => "arm64",
        }
    }

    /// The bed's serial line, as the machine inside calls it.
    fn line(self) -> &'static str {
        match self {
            Kind::Pc => "/dev/ttyS1",
            Kind::Arm => "/dev/ttyS0",
        }
    }

    /// QEMU with the machine's parts; the firmware's code, and its variables as they are shipped.
    fn parts(self) -> (&'static str, &'static [&'static str], &'static str, &'static str) {
        match self {
            Kind::Pc => (
                "qemu-system-x86_64",
                &["-M", "q35", "-cpu", "max"],
                "/usr/share/OVMF/OVMF_CODE_4M.fd",
                "/usr/share/OVMF/OVMF_VARS_4M.fd",
            ),
            Kind::Arm => (
                "qemu-system-aarch64",
                &["-M", "virt", "-cpu", "cortex-a72"],
                "/usr/share/AAVMF/AAVMF_CODE.fd",
                "/usr/share/AAVMF/AAVMF_VARS.fd",
            ),
        }
    }

    /// The image under test.
    fn image(self) -> PathBuf {
        let place = format!("target/image/hushbox-{}.img", self.debian());
        let given = std::env::var_os("HUSHBOX_IMAGE").map(PathBuf::from);
        let path = given.unwrap_or_else(|| root().join(place));
        assert!(path.is_file(), "{}: run `make image`", path.display());
        path
    }
}

const UNIT: &str = "[Unit]\nDescription=The bed of the tests\n[Service]\n\
    ExecStart=/bin/sh -c 'mkdir -p /run/bed && mount -o ro LABEL=bed /run/bed && \
    exec bash /run/bed/agent'\n";

/// Reads commands, a line each, and says after each how it ended.
const AGENT: &str = "stty raw -echo <LINE\nexec <LINE >LINE 2>&1\n\
    export PATH=/run/bed/bin:$PATH\necho BED-READY\n\
    while IFS= read -r line; do eval \"$line\"; echo \"BED-DONE $?\"; done\n";

pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| {
        panic!("{command:?}: {error}: run `make setup-image`");
    });
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Looks again and again until there is something to see.
pub fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    until_within(TIMEOUT, what, look)
}

/// Copies an image with so many megabytes of free space behind it, and puts the bed's unit in.
pub fn prepare(kind: Kind, to: &Path, more_mb: u64) {
    run(Command::new("cp").arg("--sparse=always").arg(kind.image()).arg(to));
    let table = run(Command::new("sfdisk").arg("-d").arg(to));
    let root = table.lines().find(|line| line.contains("hushbox-root")).expect("a root");
    let number = |key: &str| -> u64 {
        let rest = &root[root.find(key).unwrap() + key.len()..];
        rest.split(',').next().unwrap().trim().parse().unwrap()
    };
    let (start, size) = (number("start=") * 512, number("size=") * 512);
    let part = to.with_extension("root");
    let mut disk = OpenOptions::new().read(true).write(true).open(to).unwrap();
    let mut bytes = vec![0; usize::try_from(size).unwrap()];
    disk.seek(SeekFrom::Start(start)).unwrap();
    disk.read_exact(&mut bytes).unwrap();
    std::fs::write(&part, &bytes).unwrap();
    let unit = to.with_extension("unit");
    std::fs::write(&unit, UNIT).unwrap();
    let place = "/usr/lib/systemd/system/bed.service";
    let link = "/usr/lib/systemd/system/multi-user.target.wants/bed.service";
    for request in
        [format!("write {} {place}", unit.display()), format!("symlink {link} ../bed.service")]
    {
        run(Command::new("debugfs").args(["-w", "-R", &request]).arg(&part));
    }
    bytes = std::fs::read(&part).unwrap();
    disk.seek(SeekFrom::Start(start)).unwrap();
    disk.write_all(&bytes).unwrap();
    let length = disk.metadata().unwrap().len();
    disk.set_len(length + more_mb * 1024 * 1024).unwrap();
    std::fs::remove_file(&part).unwrap();
}

/// Makes the bed's drive: the agent, a player, and these files.
pub fn drive(kind: Kind, folder: &Path, to: &Path, files: &[(&str, Vec<u8>)]) {
    let root = folder.join("drive");
    std::fs::create_dir_all(root.join("bin")).unwrap();
    std::fs::write(root.join("agent"), AGENT.replace("LINE", kind.line())).unwrap();
    let given = std::env::var("HUSHBOX_PLAYER").ok().filter(|path| !path.is_empty());
    let player = given.unwrap_or_else(|| "/usr/bin/aplay".to_owned());
    std::fs::copy(player, root.join("bin/aplay")).expect("aplay: run `make setup`");
    for (name, bytes) in files {
        std::fs::write(root.join(name), bytes).unwrap();
    }
    let mut made = Command::new("mke2fs");
    made.args(["-q", "-F", "-t", "ext4", "-L", "bed", "-d"]).arg(&root).arg(to).arg("64m");
    run(&mut made);
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A line to the machine, with everything that came over it.
struct Wire {
    stream: UnixStream,
    came: Arc<Mutex<Vec<u8>>>,
}

impl Wire {
    fn connect(path: &Path) -> Wire {
        let stream = until("the machine's line", || UnixStream::connect(path).ok());
        let (mut reader, came) = (stream.try_clone().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let into = came.clone();
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut piece) {
                into.lock().unwrap().extend_from_slice(&piece[..count]);
            }
        });
        Wire { stream, came }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.came.lock().unwrap()).into_owned()
    }

    fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
    }
}

/// A machine that runs.
pub struct Machine {
    child: Child,
    serial: Wire,
    bed: Wire,
    pub plain_port: u16,
    pub tls_port: u16,
}

impl Machine {
    /// Switches it on. `folder` is for sockets; `more` are further words for QEMU.
    pub fn boot(kind: Kind, disk: &Path, drive: &Path, folder: &Path) -> Machine {
        let (plain_port, tls_port) = (free_port(), free_port());
        let (program, parts, code, shipped) = kind.parts();
        let vars = folder.join("vars");
        std::fs::copy(shipped, &vars).expect("the firmware: run `make setup-image`");
        let sockets = [folder.join("s0"), folder.join("s1")];
        sockets.iter().for_each(|socket| drop(std::fs::remove_file(socket)));
        let net = format!(
            "user,id=n0,hostfwd=tcp:127.0.0.1:{plain_port}-:7440,\
             hostfwd=tcp:127.0.0.1:{tls_port}-:7441"
        );
        let mut qemu = Command::new(program);
        qemu.args(parts).args(["-accel", "tcg,thread=multi", "-smp", "2"]);
        qemu.args(["-m", "1024", "-nodefaults", "-display", "none"]);
        qemu.args(["-device", "i6300esb", "-netdev", &net]);
        qemu.args(["-device", "virtio-net-pci,netdev=n0,romfile="]);
        let flash = |file: &str, more: &str| format!("if=pflash,format=raw,file={file}{more}");
        qemu.args(["-drive", &flash(code, ",readonly=on")]);
        qemu.args(["-drive", &flash(&vars.display().to_string(), "")]);
        let disk = format!("if=virtio,format=raw,cache=none,file={}", disk.display());
        qemu.args(["-drive", &disk]);
        let drive = format!("if=virtio,format=raw,readonly=on,file={}", drive.display());
        qemu.args(["-drive", &drive]);
        for (name, socket) in ["tech", "bed"].iter().zip(&sockets) {
            let to = format!("socket,id={name},path={},server=on,wait=off", socket.display());
            qemu.args(["-chardev", &to]);
        }
        qemu.args(["-serial", "chardev:tech"]);
        match kind {
            Kind::Pc => qemu.args(["-serial", "chardev:bed"]),
            Kind::Arm => qemu.args(["-device", "pci-serial,chardev=bed"]),
        };
        let log = File::create(folder.join("qemu.log")).unwrap();
        qemu.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = qemu.spawn().unwrap_or_else(|error| {
            panic!("{program}: {error}: run `make setup-image`");
        });
        let (serial, bed) = (Wire::connect(&sockets[0]), Wire::connect(&sockets[1]));
        Machine { child, serial, bed, plain_port, tls_port }
    }

    /// Waits for a text on the technician's serial line, from `from` on; gives all up to its end.
    pub fn on_serial(&self, from: usize, text: &str) -> String {
        let find = || {
            let all = self.serial.text();
            let at = all.get(from..)?.find(text)?;
            Some(all[from..from + at + text.len()].to_owned())
        };
        let end = Instant::now() + TIMEOUT;
        while Instant::now() < end {
            if let Some(found) = find() {
                return found;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("no {text:?} on the serial line:\n{}", self.serial.text());
    }

    /// The code that stands there, from `from` on: groups of four with hyphens.
    pub fn code_on_serial(&self, from: usize) -> String {
        until("a code on the serial line", || {
            let all = self.serial.text();
            let is_code = |word: &&str| word.len() == 34 && word.matches('-').count() == 6;
            let rest = all.get(from..)?;
            let mut words = rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
            words.find(is_code).map(str::to_owned)
        })
    }

    /// How much came over it so far.
    pub fn serial_length(&self) -> usize {
        self.serial.text().len()
    }

    pub fn type_on_serial(&mut self, line: &str) {
        self.serial.send(&format!("{line}\r"));
    }

    /// Waits until the bed inside takes commands.
    pub fn await_bed(&self) {
        until("the bed inside", || self.bed.text().contains("BED-READY").then_some(()));
    }

    /// How often the machine has started.
    pub fn starts(&self) -> usize {
        self.bed.text().matches("BED-READY").count()
    }

    /// Runs a command inside as root: what it said, and whether it went well.
    pub fn try_inside(&mut self, command: &str) -> (String, bool) {
        let from = self.bed.text().len();
        self.bed.send(&format!("{command}\n"));
        let said = until(command, || {
            let all = self.bed.text();
            let rest = all.get(from..)?;
            let at = rest.find("BED-DONE ")?;
            rest[at..].contains('\n').then(|| rest.to_owned())
        });
        let (said, code) = said.split_once("BED-DONE ").unwrap();
        (said.to_owned(), code.trim() == "0")
    }

    pub fn inside(&mut self, command: &str) -> String {
        let (said, well) = self.try_inside(command);
        assert!(well, "{command}: {said}");
        said
    }

    /// Waits until the box inside is ready.
    pub fn await_ready(&mut self) {
        self.await_bed();
        let end = Instant::now() + TIMEOUT;
        while Instant::now() < end {
            if self.try_inside("systemctl is-active -q hushboxd").1 {
                return;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        panic!("{}", self.inside("systemctl status hushboxd; journalctl -n 60 --no-pager"));
    }

    /// The plug.
    pub fn pull_plug(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// An orderly end.
    pub fn power_off(mut self) {
        self.bed.send("systemctl --no-block poweroff\n");
        until("the end of the machine", || self.child.try_wait().unwrap());
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            eprintln!("the serial line:\n{}\nthe bed:\n{}", self.serial.text(), self.bed.text());
        }
    }
}
