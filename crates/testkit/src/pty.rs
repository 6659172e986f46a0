//! A serial cable made of air: a pseudo-terminal, one end of which is a port's path.
//!
//! The path is a link, so that a cable can be pulled out and another one plugged in under the same
//! name, as USB adapters do. Whatever does not come within `TIMEOUT` fails. Nothing here knows
//! the box.

#![allow(clippy::disallowed_methods, reason = "real boxes live in real time")]

use crate::wait::TIMEOUT;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{Winsize, grantpt, openpty, posix_openpt, ptsname_r, unlockpt};
use nix::sys::termios::{
    BaudRate, OutputFlags, SetArg, Termios, cfmakeraw, cfsetspeed, tcgetattr, tcsetattr,
};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// The technician's end.
pub struct PtyLink {
    file: File,
    port: PathBuf,
    buffer: Vec<u8>,
}

impl PtyLink {
    /// Plugs a cable in; the box finds it at `port`.
    pub fn plug(port: &Path) -> PtyLink {
        // No program that is started meanwhile may hold on to it.
        let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let master = posix_openpt(flags).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname_r(&master).unwrap();
        // Until the box opens it, nothing is echoed, and nothing is sent as a signal.
        let slave = File::options().read(true).write(true).custom_flags(flags.bits()).open(&name);
        let slave = slave.unwrap();
        let mut modes = tcgetattr(&slave).unwrap();
        cfmakeraw(&mut modes);
        tcsetattr(&slave, SetArg::TCSANOW, &modes).unwrap();
        drop(std::fs::remove_file(port));
        std::os::unix::fs::symlink(name, port).unwrap();
        let file = File::from(OwnedFd::from(master));
        PtyLink { file, port: port.to_path_buf(), buffer: Vec::new() }
    }

    /// A null modem: what is sent here comes out at `other`, and the other way round.
    pub fn join(&self, other: &PtyLink) {
        for (from, to) in [(self, other), (other, self)] {
            let (from, to) = (from.file.try_clone().unwrap(), to.file.try_clone().unwrap());
            std::thread::spawn(move || carry(from, to));
        }
    }

    /// How the port is set.
    pub fn modes(&self) -> Termios {
        tcgetattr(&self.file).unwrap()
    }

    pub fn is_raw(&self) -> bool {
        !self.modes().output_flags.contains(OutputFlags::OPOST)
    }

    /// Pulls it out.
    pub fn pull(self) {
        drop(self);
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.file.write_all(bytes).unwrap();
    }

    /// Waits for more; false when nothing came in time.
    fn more(&mut self, end: Instant) -> bool {
        let mut piece = [0; 1024];
        loop {
            let left = end.saturating_duration_since(Instant::now()).as_millis();
            if left == 0 {
                return false;
            }
            let timeout = PollTimeout::try_from(left).unwrap();
            let mut wanted = [PollFd::new(self.file.as_fd(), PollFlags::POLLIN)];
            if poll(&mut wanted, timeout).unwrap() == 0 {
                return false;
            }
            match self.file.read(&mut piece) {
                Ok(0) => {}
                Ok(count) => {
                    self.buffer.extend_from_slice(&piece[..count]);
                    return true;
                }
                // Nobody has opened the other end yet.
                Err(error) if error.raw_os_error() == Some(5) => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => panic!("the cable: {error}"),
            }
        }
    }

    /// The next line, without its LF.
    pub fn line(&mut self) -> String {
        let line = self.line_within(TIMEOUT);
        line.unwrap_or_else(|| panic!("no line within {TIMEOUT:?}, only {:?}", self.buffer))
    }

    /// The same, if it comes so soon.
    pub fn line_within(&mut self, time: Duration) -> Option<String> {
        let end = Instant::now() + time;
        loop {
            if let Some(at) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=at).collect();
                return Some(String::from_utf8(line).unwrap().trim_end_matches('\n').to_owned());
            }
            if !self.more(end) {
                return None;
            }
        }
    }

    /// Everything up to and with `text`.
    pub fn until(&mut self, text: &str) -> String {
        let end = Instant::now() + TIMEOUT;
        loop {
            let said = String::from_utf8_lossy(&self.buffer).into_owned();
            if let Some(at) = said.find(text) {
                self.buffer.drain(..at + text.len());
                return said[..at + text.len()].to_owned();
            }
            assert!(self.more(end), "no {text:?} within {TIMEOUT:?}, only {said:?}");
        }
    }

    /// The rows of an answer and its last line.
    pub fn ask(&mut self, command: &str) -> (Vec<String>, String) {
        self.send(format!("{command}\n").as_bytes());
        self.answer()
    }

    /// The same, of a command that was sent; news is passed over.
    pub fn answer(&mut self) -> (Vec<String>, String) {
        let mut rows = Vec::new();
        loop {
            let line = self.line();
            match line.split(' ').next() {
                Some("row") => rows.push(line),
                Some("event" | "state") => {}
                _ => return (rows, line),
            }
        }
    }
}

/// Byte by byte, until the test is over.
fn carry(mut from: File, mut to: File) {
    let mut byte = [0];
    loop {
        match from.read(&mut byte) {
            Ok(_) if to.write_all(&byte).is_ok() => {}
            // Nobody has opened the other end yet.
            Err(error) if error.raw_os_error() == Some(5) => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Ok(_) | Err(_) => return,
        }
    }
}

/// A program at a terminal.
pub struct Terminal {
    screen: PtyLink,
    child: std::process::Child,
    emulator: vt100::Parser,
    /// Bytes that were shown so far.
    pub shown: u64,
}

impl Terminal {
    /// At one of 80 × 24.
    pub fn run(program: &mut std::process::Command) -> Terminal {
        Terminal::run_at(program, (80, 24), BaudRate::B38400)
    }

    /// At one of so many columns and rows, behind a line of this speed.
    pub fn run_at(
        program: &mut std::process::Command,
        (columns, rows): (u16, u16),
        speed: BaudRate,
    ) -> Terminal {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(Some(&size), None).unwrap();
        let mut modes = tcgetattr(&pty.slave).unwrap();
        cfsetspeed(&mut modes, speed).unwrap();
        tcsetattr(&pty.slave, SetArg::TCSANOW, &modes).unwrap();
        let end = || Stdio::from(pty.slave.try_clone().unwrap());
        let program = program.stdin(end()).stdout(end()).stderr(end());
        let child = program.env("TERM", "xterm").env_remove("NO_COLOR").spawn();
        let (file, port, buffer) = (File::from(pty.master), PathBuf::new(), Vec::new());
        let emulator = vt100::Parser::new(rows, columns, 0);
        let screen = PtyLink { file, port, buffer };
        Terminal { screen, child: child.unwrap(), emulator, shown: 0 }
    }

    /// Looks at the screen, as a person would see it, until there is what is looked for. Not to be
    /// mixed with `when`, which looks at what is sent.
    pub fn sees(&mut self, what: &str, mut look: impl FnMut(&vt100::Screen) -> bool) -> String {
        let end = Instant::now() + TIMEOUT;
        loop {
            let bytes = std::mem::take(&mut self.screen.buffer);
            self.shown += bytes.len() as u64;
            self.emulator.process(&bytes);
            let screen = self.emulator.screen();
            if look(screen) {
                return screen.contents();
            }
            assert!(self.screen.more(end), "{what} is not seen, but:\n{}", screen.contents());
        }
    }

    /// Waits until `text` is on the screen, then types.
    pub fn on_seeing(&mut self, text: &str, typed: &str) -> String {
        let seen = self.sees(text, |screen| screen.contents().contains(text));
        self.screen.send(typed.as_bytes());
        seen
    }

    /// The screen as it is now.
    pub fn emulated(&self) -> &vt100::Screen {
        self.emulator.screen()
    }

    pub fn types(&mut self, typed: &str) {
        self.screen.send(typed.as_bytes());
    }

    /// Waits for `text` on the screen, then types; what was shown up to it.
    pub fn when(&mut self, text: &str, typed: &str) -> String {
        let shown = self.screen.until(text);
        self.screen.send(typed.as_bytes());
        shown
    }

    /// Its exit code; what it still shows is read, so that it can end.
    pub fn ends(&mut self) -> Option<i32> {
        let end = Instant::now() + TIMEOUT;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < end, "it does not end");
            self.screen.more(Instant::now() + Duration::from_millis(20));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for PtyLink {
    /// The port goes first: its number may be somebody else's soon.
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.port));
    }
}
