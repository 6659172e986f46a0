//! Runs sipp (Debian package `sip-tester`) as recording client.

use crate::root;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};

/// A run of sipp. The scenarios are in `tests/daemon/sip/`; a scenario plays `legs.pcap` of the
/// folder.
pub struct Sipp<'a> {
    pub scenario: &'a str,
    /// Where sipp runs: the folder has the capture, and gets sipp's own files.
    pub folder: &'a Path,
    pub server: SocketAddr,
    pub tcp: bool,
    pub calls: u32,
    /// New calls in a second.
    pub rate: u32,
    /// Words that the scenario replaces: `[agent]` and others.
    pub words: &'a [(&'a str, &'a str)],
}

impl Sipp<'_> {
    /// Runs sipp to its end. Panics with its messages if a call of it failed.
    pub fn run(&self) {
        let output = self.output();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let errors = self.errors();
        assert!(
            output.status.success(),
            "sipp {}: {}\n{errors}\n{}\n{}",
            self.scenario,
            output.status,
            text(&output.stdout),
            text(&output.stderr),
        );
    }

    fn output(&self) -> Output {
        let scenario = root().join("tests/daemon/sip").join(self.scenario);
        let mut command = Command::new("sipp");
        command.current_dir(self.folder).arg(self.server.to_string());
        command.arg("-sf").arg(scenario).args(["-nostdin", "-trace_err", "-i", "127.0.0.1"]);
        command.args(["-t", if self.tcp { "t1" } else { "u1" }]);
        command.args(["-m", &self.calls.to_string(), "-r", &self.rate.to_string()]);
        command.args(["-l", &self.calls.to_string(), "-timeout", "120", "-timeout_error"]);
        for (word, text) in self.words {
            command.args(["-key", word, text]);
        }
        command.output().unwrap_or_else(|error| panic!("sipp: {error}: run `make setup`"))
    }

    /// What sipp wrote into its error files.
    fn errors(&self) -> String {
        let files = std::fs::read_dir(self.folder).unwrap().map(|entry| entry.unwrap().path());
        let errors = files.filter(|path| path.to_string_lossy().ends_with("_errors.log"));
        errors.filter_map(|path| std::fs::read_to_string(path).ok()).collect()
    }
}
