//! The program under test as a process, and a made-up exchange.

use nix::sys::signal::Signal;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use testkit::daemon::client::{Client, Line};
use testkit::daemon::{Daemon, TIMEOUT, wait_for};

/// A running `hushbox-cti`, killed on drop.
pub struct Feed {
    child: Child,
    log: PathBuf,
}

/// Writes `cti.toml` into the folder, for its owner only.
pub fn write_config(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("cti.toml");
    let mut file = std::fs::OpenOptions::new();
    let file = file.write(true).create(true).truncate(true).mode(0o600).open(&path);
    file.unwrap().write_all(text.as_bytes()).unwrap();
    path
}

/// The program with this configuration.
pub fn command(config: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hushbox-cti"));
    command.arg("--config").arg(config);
    command
}

impl Feed {
    /// Starts the program for a box.
    pub fn start(daemon: &Daemon, exchange: &str) -> Feed {
        let text = format!("[box]\nservers = [{:?}]\n{exchange}", daemon.socket());
        let config = write_config(daemon.folder.path(), &text);
        let log = daemon.path("cti.log");
        let stderr = std::fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let mut command = command(&config);
        let child = command.stdin(Stdio::piped()).stderr(stderr).spawn().unwrap();
        Feed { child, log }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    pub fn await_log(&self, text: &str) {
        wait_for(text, || self.log().contains(text).then_some(()));
    }

    /// Writes to the program's stdin, and closes it.
    pub fn write_stdin(&mut self, text: &str) {
        let mut stdin = self.child.stdin.take().unwrap();
        stdin.write_all(text.as_bytes()).unwrap();
    }

    /// Waits for the end of the program, which must be in order.
    pub fn await_end(&mut self) {
        let status = wait_for("its end", || self.child.try_wait().unwrap());
        assert_eq!(status.code(), Some(0), "{}", self.log());
    }

    /// Sends SIGTERM and waits for the end.
    pub fn terminate(&mut self) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        nix::sys::signal::kill(pid, Signal::SIGTERM).unwrap();
        self.await_end();
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            eprintln!("the log of hushbox-cti:\n{}", self.log());
        }
    }
}

/// A made-up exchange: one connection at a time, as a script of the test.
pub struct Exchange {
    listener: TcpListener,
    stream: Option<TcpStream>,
    received: String,
}

impl Exchange {
    pub fn new() -> Exchange {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Exchange { listener, stream: None, received: String::new() }
    }

    pub fn address(&self) -> String {
        self.listener.local_addr().unwrap().to_string()
    }

    /// Takes the next connection.
    pub fn accept(&mut self) {
        let (stream, _) = self.listener.accept().unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        (self.stream, self.received) = (Some(stream), String::new());
    }

    /// Closes the connection.
    pub fn hang_up(&mut self) {
        self.stream = None;
    }

    pub fn send(&mut self, text: &str) {
        self.stream.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// Waits until the program has sent this text.
    pub fn await_text(&mut self, text: &str) {
        let mut buffer = [0; 4096];
        while !self.received.contains(text) {
            let count = self.stream.as_mut().unwrap().read(&mut buffer).unwrap();
            assert!(count > 0, "closed before {text:?}: {}", self.received);
            self.received.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
        }
    }
}

/// The calls of a device, as a monitor sees them.
pub fn calls_of(monitor: &mut Client, device: &str) -> Vec<Line> {
    let rows = monitor.ask("calls").rows;
    rows.into_iter().filter(|row| row.is("device", device)).collect()
}

/// Waits until the device has exactly the call with this id, held or not; `None`: no call.
pub fn await_call(monitor: &mut Client, device: &str, wanted: Option<(&str, &str)>) {
    wait_for("the box knows the call", || {
        let calls = calls_of(monitor, device);
        let found: Vec<_> = calls.iter().map(|row| (row.get("call"), row.get("held"))).collect();
        (found == wanted.into_iter().collect::<Vec<_>>()).then_some(())
    });
}
