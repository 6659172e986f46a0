//! The screen capture client of a workstation, run as a session manager would.

use crate::program;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A running capture client, ended on drop.
pub struct CaptureClient {
    child: Child,
    log: PathBuf,
}

impl CaptureClient {
    /// Starts Jane's client on this display, connected to the recorder at `port`.
    pub fn start(folder: &Path, port: u16, display: &str) -> CaptureClient {
        let log = folder.join("station.log");
        let mut command = Command::new(program("screen", "hushbox-screen"));
        command.current_dir(folder).stdin(Stdio::null()).stderr(File::create(&log).unwrap());
        command.args(["--to", &format!("127.0.0.1:{port}"), "--user", "jane"]);
        command.args(["--machine", "WS-1", "--display", display]);
        CaptureClient { child: command.spawn().unwrap(), log }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Sends SIGTERM, as the end of a session does.
    pub fn ask_to_go(&self) {
        let id = i32::try_from(self.child.id()).unwrap();
        kill(Pid::from_raw(id), Signal::SIGTERM).unwrap();
    }

    /// Exit code, once the client has ended by itself.
    pub fn ended(&mut self) -> Option<Option<i32>> {
        self.child.try_wait().unwrap().map(|status| status.code())
    }
}

impl Drop for CaptureClient {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            eprintln!("the workstation's log:\n{}", self.log());
        }
    }
}
