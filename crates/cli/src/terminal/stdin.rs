//! Stdin: lines and secrets, polled together with a connection.
//!
//! Lines are read directly from the descriptor, because `poll` does not see data in another buffer.
//! A terminal stays in line mode; the echo is disabled only for secrets.

use crate::error::Error;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::SignalFd;
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use std::io::{IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;
use zeroize::{Zeroize, Zeroizing};

/// Maximum length of a typed line; longer lines are split.
const LINE_BYTES_MAX: usize = 4096;

/// Text that is wiped when dropped.
pub type SecretText = Zeroizing<String>;

/// An event on stdin.
#[derive(Debug, PartialEq, Eq)]
pub enum StdinEvent {
    Line(String),
    /// The end of the input.
    Eof,
}

/// The sources that are ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadySources {
    pub stdin: bool,
    pub connection: bool,
}

/// Reads lines from stdin.
#[derive(Debug, Default)]
pub struct StdinReader {
    buffer: Vec<u8>,
    is_eof: bool,
}

impl StdinReader {
    /// Waits until stdin or `link` is ready, for `timeout` at most.
    pub fn wait_ready(
        &self,
        link: Option<BorrowedFd<'_>>,
        timeout: Duration,
    ) -> Result<ReadySources, Error> {
        if self.is_eof || self.buffer.contains(&b'\n') {
            return Ok(ReadySources { stdin: true, connection: false });
        }
        let stdin = std::io::stdin();
        let mut fds = vec![PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        fds.extend(link.map(|link| PollFd::new(link, PollFlags::POLLIN)));
        let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
        match poll(&mut fds, timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(Error::Stdin(error.into())),
        }
        let is_ready = |fd: &PollFd| fd.revents().is_some_and(|events| !events.is_empty());
        Ok(ReadySources {
            stdin: fds.first().is_some_and(is_ready),
            connection: fds.get(1).is_some_and(is_ready),
        })
    }

    /// Returns the next line, or `None` if it is incomplete. Call it when stdin is ready.
    pub fn try_read_line(&mut self) -> Result<Option<StdinEvent>, Error> {
        if !self.is_eof && !self.buffer.contains(&b'\n') {
            let mut bytes = [0; LINE_BYTES_MAX];
            match nix::unistd::read(std::io::stdin(), &mut bytes) {
                Ok(0) => self.is_eof = true,
                Ok(count) => self.buffer.extend_from_slice(&bytes[..count]),
                Err(nix::errno::Errno::EINTR | nix::errno::Errno::EAGAIN) => {}
                Err(error) => return Err(Error::Stdin(error.into())),
            }
            bytes.zeroize();
        }
        let end = self.buffer.iter().position(|byte| *byte == b'\n');
        let whole = match end {
            Some(end) => end,
            None if self.buffer.len() >= LINE_BYTES_MAX => self.buffer.len(),
            None if self.is_eof && self.buffer.is_empty() => return Ok(Some(StdinEvent::Eof)),
            None if self.is_eof => self.buffer.len(),
            None => return Ok(None),
        };
        let line = String::from_utf8_lossy(&self.buffer[..whole]).trim_end_matches('\r').to_owned();
        self.buffer.drain(..whole + usize::from(end.is_some()));
        Ok(Some(StdinEvent::Line(line)))
    }

    /// Prompts on stderr and reads a line, without echo if stdin is a terminal.
    pub fn read_secret(&mut self, question: &str) -> Result<SecretText, Error> {
        // The echo is disabled before the prompt, so that early input is neither shown nor lost.
        let mut quiet = EchoGuard::disable_echo();
        print_question(question);
        loop {
            let signals = quiet.as_ref().map(|quiet| quiet.signals.as_fd());
            if self.wait_ready(signals, Duration::from_secs(3600))?.connection {
                // The pending signal is delivered once the echo is restored.
                quiet = None;
            }
            match self.try_read_line()? {
                Some(StdinEvent::Line(line)) => return Ok(SecretText::new(line)),
                Some(StdinEvent::Eof) => return Err(Error::NoInput),
                None => {}
            }
        }
    }

    /// Waits for a complete line.
    pub fn read_line(&mut self) -> Result<StdinEvent, Error> {
        loop {
            self.wait_ready(None, Duration::from_secs(3600))?;
            if let Some(typed) = self.try_read_line()? {
                return Ok(typed);
            }
        }
    }
}

/// Writes a prompt to stderr. If that fails, the answer is read all the same.
pub fn print_question(question: &str) {
    let mut out = std::io::stderr();
    drop(out.write_all(question.as_bytes()).and_then(|()| out.flush()));
}

/// A terminal with echo disabled, restored on drop. Fatal signals are blocked meanwhile, so that
/// the terminal is never left without echo.
struct EchoGuard {
    saved_modes: Termios,
    mask: SigSet,
    signals: SignalFd,
}

impl EchoGuard {
    /// Disables the echo; `None` if stdin is not a terminal.
    fn disable_echo() -> Option<EchoGuard> {
        let stdin = std::io::stdin();
        let before = stdin.is_terminal().then(|| tcgetattr(&stdin).ok()).flatten()?;
        let mask = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]);
        let signals = SignalFd::new(&mask).ok()?;
        mask.thread_block().ok()?;
        let quiet = EchoGuard { saved_modes: before.clone(), mask, signals };
        let mut changed = before;
        changed.local_flags.remove(LocalFlags::ECHO);
        changed.local_flags.insert(LocalFlags::ECHONL);
        tcsetattr(&stdin, SetArg::TCSAFLUSH, &changed).ok()?;
        Some(quiet)
    }
}

impl Drop for EchoGuard {
    fn drop(&mut self) {
        // A failure cannot be reported any more.
        let _ = tcsetattr(std::io::stdin(), SetArg::TCSANOW, &self.saved_modes);
        let _ = self.mask.thread_unblock();
    }
}
