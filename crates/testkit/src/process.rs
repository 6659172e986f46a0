//! A child process whose stdout is read line by line, killed on drop.

use crate::wait::TIMEOUT;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};

pub struct Process {
    child: Child,
    lines: Receiver<String>,
}

impl Process {
    pub fn start(command: &mut Command) -> Process {
        let started = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let started = started.map_err(|error| format!("{command:?}: {error}: run `make setup`"));
        let mut child = started.unwrap();
        let (sender, lines) = channel();
        let out = BufReader::new(child.stdout.take().unwrap()).lines();
        std::thread::spawn(move || out.map_while(Result::ok).all(|line| sender.send(line).is_ok()));
        Process { child, lines }
    }

    /// Reads the next line; `None` at the end of stdout.
    pub fn next_line(&self) -> Option<String> {
        match self.lines.recv_timeout(TIMEOUT) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("nothing on stdout within {TIMEOUT:?}"),
        }
    }

    /// Reads the next line, which must exist.
    pub fn line(&self) -> String {
        self.next_line().expect("the program ended")
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.pid()).unwrap()), signal).unwrap();
    }

    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Sends SIGTERM and asserts an orderly exit.
    pub fn terminate(&mut self) {
        self.signal(Signal::SIGTERM);
        assert_eq!(self.wait().code(), Some(0), "an orderly end");
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
