//! An agent's seat: the real `hushbox-desktop` with a home, settings and a runtime folder of its
//! own.
//!
//! Without a display it has no tray and no balloons; everything else is the same. It is killed with
//! the seat, however the story ends.

pub mod screen_reader;
pub mod settings_portal;
pub mod x11;

use crate::daemon::until;
use crate::{ProgramOutput, program};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// One seat.
pub struct DesktopHarness {
    pub folder: tempfile::TempDir,
    program: PathBuf,
    /// Of its processes.
    pub env: Vec<(String, String)>,
    client: Option<Child>,
}

impl DesktopHarness {
    /// A seat with these settings; nothing runs yet.
    pub fn new(settings: &str) -> DesktopHarness {
        let folder = tempfile::Builder::new().prefix("hushbox-seat-").tempdir().unwrap();
        let program = program("desktop", "hushbox-desktop");
        let seat = DesktopHarness { folder, program, env: Vec::new(), client: None };
        for name in ["run", "config/hushbox", "state", "site/hushbox"] {
            std::fs::create_dir_all(seat.path(name)).unwrap();
        }
        seat.set_settings(settings);
        seat
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The agent's own settings.
    pub fn set_settings(&self, text: &str) {
        std::fs::write(self.path("config/hushbox/desktop.toml"), text).unwrap();
    }

    pub fn add_settings(&self, text: &str) {
        let path = self.path("config/hushbox/desktop.toml");
        let old = std::fs::read_to_string(&path).unwrap();
        std::fs::write(path, format!("{text}{old}")).unwrap();
    }

    /// The administrator's settings.
    pub fn seed(&self, text: &str) {
        std::fs::write(self.path("site/hushbox/desktop.toml"), text).unwrap();
    }

    fn program(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(words).stdin(Stdio::null()).current_dir(self.folder.path());
        let desktop = ["DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "XDG_CURRENT_DESKTOP"];
        for name in desktop.iter().chain(&["DBUS_SESSION_BUS_ADDRESS"]) {
            command.env_remove(name);
        }
        command.env("HOME", self.folder.path());
        for (name, folder) in [
            ("XDG_CONFIG_HOME", "config"),
            ("XDG_CONFIG_DIRS", "site"),
            ("XDG_STATE_HOME", "state"),
            ("XDG_RUNTIME_DIR", "run"),
        ] {
            command.env(name, self.path(folder));
        }
        command.envs(self.env.iter().cloned());
        command
    }

    /// Starts the client and waits until it can be found.
    pub fn start(&mut self) {
        assert!(self.client.is_none(), "it runs already");
        let output = File::create(self.path("output")).unwrap();
        let mut command = self.program(&[]);
        command.stdout(output.try_clone().unwrap()).stderr(output);
        self.client = Some(command.spawn().unwrap());
        until("the client answers", || (self.run(&["--status"]).code == Some(0)).then_some(()));
    }

    /// Runs the program to its end.
    pub fn run(&self, words: &[&str]) -> ProgramOutput {
        self.program(words).output().unwrap().into()
    }

    /// Has the running client do something.
    pub fn command(&self, text: &str) -> ProgramOutput {
        self.run(&["--command", text])
    }

    pub fn status(&self) -> String {
        self.run(&["--status"]).out
    }

    pub fn status_json(&self) -> serde_json::Value {
        serde_json::from_str(&self.run(&["--status", "--json"]).out).unwrap()
    }

    /// Saves settings as the window does, changed in this way; whether they were, and what is said.
    pub fn save(&self, change: impl FnOnce(&mut serde_json::Value)) -> (bool, String) {
        let mut settings = self.status_json()["settings"].clone();
        change(&mut settings);
        let ask = serde_json::json!({ "settings": { "settings": settings, "autostart": false } });
        let mut stream = UnixStream::connect(self.socket()).unwrap();
        writeln!(stream, "{}", serde_json::json!({ "id": 1, "ask": ask })).unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        let told: serde_json::Value = serde_json::from_str(&line).unwrap();
        let answer = &told["answer"];
        (answer["ok"].as_bool().unwrap(), answer["text"].as_str().unwrap().to_owned())
    }

    /// Waits until the icon is this one.
    pub fn await_icon(&self, icon: &str) {
        until(icon, || (self.status_json()["icon"] == icon).then_some(()));
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("state/hushbox/desktop.log")).unwrap_or_default()
    }

    /// Waits until a balloon of this title, or something else that is logged, has come.
    pub fn await_log(&self, text: &str) {
        until(text, || self.log().contains(text).then_some(()));
    }

    pub fn socket(&self) -> PathBuf {
        self.path("run/hushbox-desktop.sock")
    }

    pub fn pid(&self) -> u32 {
        self.client.as_ref().expect("it does not run").id()
    }

    /// It crashes.
    pub fn kill(&mut self) {
        let mut client = self.client.take().expect("it does not run");
        client.kill().unwrap();
        client.wait().unwrap();
    }

    /// Waits for its end.
    pub fn ends(&mut self) {
        let status = self.client.take().expect("it does not run").wait().unwrap();
        assert_eq!(status.code(), Some(0), "{}", self.log());
    }
}

impl Drop for DesktopHarness {
    fn drop(&mut self) {
        if let Some(mut client) = self.client.take() {
            drop(client.kill());
            drop(client.wait());
        }
        if std::thread::panicking() {
            let output = std::fs::read_to_string(self.path("output")).unwrap_or_default();
            eprintln!("the client's log:\n{}{output}", self.log());
        }
    }
}
