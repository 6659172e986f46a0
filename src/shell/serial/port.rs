//! Serial consoles: ports that may appear and disappear, each with at most one session.
//!
//! A port is opened raw and non-blocking. It sends a greeting when opened; after a session it
//! stays silent until input arrives. A port that is missing or unplugged raises an alarm and is
//! retried; it never stops the daemon. A serial peer is unauthenticated, so it may only log in as
//! a technician with a PIN.

use crate::shell::net::listener::Listener;
use crate::time::{MonoTime, Now};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{
    self, BaudRate, ControlFlags, InputFlags, SetArg, SpecialCharacterIndices,
};
use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::mpsc::channel;
use std::time::Duration;

/// Retry interval for a missing port.
const REOPEN_MS: u64 = 1000;
/// Pause after a session, so that bytes in flight do not start a new one. It also keeps two
/// connected boxes from greeting each other at full speed.
const COOLDOWN_MS: u64 = 200;
/// Time allowed for the last output at shutdown.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Debug, thiserror::Error)]
pub enum SerialPortError {
    #[error("{path} is not there; is the cable or the adapter plugged in?")]
    NotFound { path: PathBuf },
    #[error("{path} is in use by another program; stop it (a getty, perhaps)")]
    InUse { path: PathBuf },
    #[error("{path} is no serial port; see [[listen]] serial")]
    NotATty { path: PathBuf },
    #[error("{path} does not do {baud} bit/s")]
    UnsupportedBaud { path: PathBuf, baud: u32 },
    #[error("{path}: {error}")]
    System { path: PathBuf, error: io::Error },
}

pub struct SerialPort {
    file: Flock<File>,
    /// The peer hung up.
    is_hung_up: Cell<bool>,
    /// All output has been sent, and no more will follow.
    is_drained: Cell<bool>,
}

impl SerialPort {
    /// Opens a port, raw and non-blocking.
    ///
    /// # Errors
    /// See `SerialPortError`.
    pub fn open(path: &Path, baud: u32) -> Result<SerialPort, SerialPortError> {
        let system = |error: io::Error| {
            let path = path.to_path_buf();
            let gone = [Errno::ENOENT, Errno::ENXIO, Errno::ENODEV, Errno::EIO];
            match error.raw_os_error().map(Errno::from_raw) {
                Some(errno) if gone.contains(&errno) => SerialPortError::NotFound { path },
                Some(Errno::EBUSY | Errno::EWOULDBLOCK) => SerialPortError::InUse { path },
                Some(Errno::ENOTTY) => SerialPortError::NotATty { path },
                _ => SerialPortError::System { path, error },
            }
        };
        let flags = OFlag::O_NOCTTY | OFlag::O_NONBLOCK;
        let file = OpenOptions::new().read(true).write(true).custom_flags(flags.bits()).open(path);
        let file = file.map_err(system)?;
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock);
        let file = lock.map_err(|(_, errno)| system(errno.into()))?;
        let speed = to_baud_rate(baud)
            .ok_or(SerialPortError::UnsupportedBaud { path: path.to_path_buf(), baud })?;
        let mut modes = termios::tcgetattr(&*file).map_err(|errno| system(errno.into()))?;
        termios::cfmakeraw(&mut modes);
        // Ignore breaks and damaged bytes. Three-wire cables have no modem lines.
        modes.input_flags.insert(InputFlags::IGNBRK | InputFlags::IGNPAR);
        modes.control_flags.insert(ControlFlags::CLOCAL | ControlFlags::CREAD);
        modes.control_flags.remove(ControlFlags::CSTOPB | ControlFlags::CRTSCTS);
        modes.control_chars[SpecialCharacterIndices::VMIN as usize] = 1;
        modes.control_chars[SpecialCharacterIndices::VTIME as usize] = 0;
        let set = termios::cfsetspeed(&mut modes, speed);
        set.and_then(|()| termios::tcsetattr(&*file, SetArg::TCSANOW, &modes))
            .map_err(|errno| system(errno.into()))?;
        Ok(SerialPort { file, is_hung_up: Cell::new(false), is_drained: Cell::new(false) })
    }

    /// Reads available bytes.
    ///
    /// # Errors
    /// `WouldBlock`, or the peer hung up.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.note_hang_up((&*self.file).read(buffer))
    }

    /// Writes as many bytes as fit.
    ///
    /// # Errors
    /// As `read`.
    pub fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.note_hang_up((&*self.file).write(bytes))
    }

    fn note_hang_up(&self, result: io::Result<usize>) -> io::Result<usize> {
        let passes = [ErrorKind::WouldBlock, ErrorKind::Interrupted];
        match &result {
            Ok(0) => self.is_hung_up.set(true),
            Err(error) if !passes.contains(&error.kind()) => self.is_hung_up.set(true),
            Ok(_) | Err(_) => {}
        }
        result
    }

    /// Whether input is available; also detects a hang-up.
    fn has_input(&self) -> bool {
        let mut wanted = [PollFd::new(self.file.as_fd(), PollFlags::POLLIN)];
        if poll(&mut wanted, PollTimeout::ZERO).is_err() {
            return false;
        }
        let found = wanted[0].revents().unwrap_or(PollFlags::empty());
        if found.intersects(PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL) {
            self.is_hung_up.set(true);
        }
        found.contains(PollFlags::POLLIN) && !self.is_hung_up.get()
    }

    /// Discards bytes in flight.
    fn discard_pending(&self, what: termios::FlushArg) {
        if let Err(errno) = termios::tcflush(&*self.file, what) {
            log::debug!("a serial port could not be flushed: {errno}");
        }
    }

    /// Waits briefly until the last output has been sent. A stuck line must not block the exit.
    /// Call it only at shutdown, because it blocks the loop.
    fn drain(&self) {
        let Ok(copy) = self.file.as_fd().try_clone_to_owned() else { return };
        let (tell, told) = channel();
        let drain = move || {
            let _loop_waits = tell.send(termios::tcdrain(copy).is_ok());
        };
        if let Err(error) = std::thread::Builder::new().spawn(drain) {
            return log::warn!("what was said last on a serial port may be lost: {error}");
        }
        self.is_drained.set(told.recv_timeout(DRAIN_TIMEOUT) == Ok(true));
    }

    #[must_use]
    pub fn descriptor(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

impl Drop for SerialPort {
    /// Discards pending output, because closing a port would wait for it.
    fn drop(&mut self) {
        if !self.is_drained.get() {
            self.discard_pending(termios::FlushArg::TCIOFLUSH);
        }
    }
}

impl AsFd for SerialPort {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn to_baud_rate(baud: u32) -> Option<BaudRate> {
    Some(match baud {
        1200 => BaudRate::B1200,
        2400 => BaudRate::B2400,
        4800 => BaudRate::B4800,
        9600 => BaudRate::B9600,
        19_200 => BaudRate::B19200,
        38_400 => BaudRate::B38400,
        57_600 => BaudRate::B57600,
        115_200 => BaudRate::B115200,
        230_400 => BaudRate::B230400,
        460_800 => BaudRate::B460800,
        _ => return None,
    })
}

enum PortState {
    /// Not open; the next attempt is at `again`.
    Closed { again: MonoTime },
    /// No session; the port wakes the listener's token.
    Idle { port: Rc<SerialPort> },
    /// A session uses the port while it holds its `Rc`.
    Busy { port: Rc<SerialPort> },
    /// A session has just ended.
    Cooldown { port: Rc<SerialPort>, until: MonoTime },
}

pub struct SerialConsole {
    path: PathBuf,
    baud: u32,
    /// A session without input for this long is closed.
    pub idle_timeout_ms: u64,
    token: Token,
    state: PortState,
    /// The port was just opened, and its greeting is not sent yet.
    is_greeting_due: bool,
}

#[derive(Debug)]
pub enum PortChange {
    /// No change.
    Unchanged,
    /// The port was opened.
    Opened,
    /// The port is missing.
    Lost(SerialPortError),
}

impl SerialConsole {
    /// Creates a console; the first `poll_port` opens it.
    #[must_use]
    pub fn new((path, baud): (&Path, u32), silent_ms: u64, token: Token) -> SerialConsole {
        let state = PortState::Closed { again: MonoTime(0) };
        SerialConsole {
            path: path.to_path_buf(),
            baud,
            idle_timeout_ms: silent_ms,
            token,
            state,
            is_greeting_due: false,
        }
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Time at which `poll_port` has work.
    #[must_use]
    pub fn deadline(&self) -> Option<MonoTime> {
        match &self.state {
            PortState::Closed { again } => Some(*again),
            PortState::Cooldown { until, .. } => Some(*until),
            PortState::Idle { .. } | PortState::Busy { .. } => None,
        }
    }

    /// Reclaims a port from an ended session, or opens a closed one.
    pub fn poll_port(&mut self, now: MonoTime, registry: &Registry) -> PortChange {
        match &self.state {
            PortState::Closed { again } if now >= *again => self.open_port(now, registry),
            PortState::Busy { port } if Rc::strong_count(port) == 1 => {
                let port = port.clone();
                self.state = match port.is_hung_up.get() {
                    true => return self.mark_closed(now),
                    false => PortState::Cooldown { port, until: now.after_ms(COOLDOWN_MS) },
                };
                PortChange::Unchanged
            }
            PortState::Cooldown { port, until } if now >= *until => {
                port.discard_pending(termios::FlushArg::TCIFLUSH);
                let port = port.clone();
                self.wait_for_input(now, port, registry)
            }
            PortState::Closed { .. } | PortState::Busy { .. } | PortState::Cooldown { .. } => {
                PortChange::Unchanged
            }
            PortState::Idle { port } if port.is_hung_up.get() => self.mark_closed(now),
            PortState::Idle { .. } => PortChange::Unchanged,
        }
    }

    fn open_port(&mut self, now: MonoTime, registry: &Registry) -> PortChange {
        match SerialPort::open(&self.path, self.baud) {
            Ok(port) => match self.wait_for_input(now, Rc::new(port), registry) {
                PortChange::Unchanged => {
                    self.is_greeting_due = true;
                    PortChange::Opened
                }
                mark_closed => mark_closed,
            },
            Err(error) => {
                self.state = PortState::Closed { again: now.after_ms(REOPEN_MS) };
                PortChange::Lost(error)
            }
        }
    }

    fn wait_for_input(
        &mut self,
        now: MonoTime,
        port: Rc<SerialPort>,
        registry: &Registry,
    ) -> PortChange {
        let interest = Interest::READABLE;
        if let Err(error) =
            registry.register(&mut SourceFd(&port.descriptor()), self.token, interest)
        {
            self.state = PortState::Closed { again: now.after_ms(REOPEN_MS) };
            return PortChange::Lost(SerialPortError::System { path: self.path.clone(), error });
        }
        self.state = PortState::Idle { port };
        PortChange::Unchanged
    }

    fn mark_closed(&mut self, now: MonoTime) -> PortChange {
        self.state = PortState::Closed { again: now.after_ms(REOPEN_MS) };
        PortChange::Lost(SerialPortError::NotFound { path: self.path.clone() })
    }

    /// Waits for the last output at shutdown.
    pub fn drain_on_exit(&self) {
        match &self.state {
            PortState::Idle { port }
            | PortState::Busy { port }
            | PortState::Cooldown { port, .. } => {
                port.drain();
            }
            PortState::Closed { .. } => {}
        }
    }

    /// Returns the port if a session should start on it.
    pub fn accept(&mut self, registry: &Registry) -> Option<Rc<SerialPort>> {
        let PortState::Idle { port } = &self.state else { return None };
        if !port.has_input() && (!self.is_greeting_due || port.is_hung_up.get()) {
            return None;
        }
        self.is_greeting_due = false;
        let port = port.clone();
        if let Err(error) = registry.deregister(&mut SourceFd(&port.descriptor())) {
            log::debug!("a serial port could not be deregistered: {error}");
        }
        self.state = PortState::Busy { port: port.clone() };
        Some(port)
    }
}

impl crate::shell::event_loop::Daemon {
    /// Polls the serial consoles, and raises or clears their alarms.
    pub(in crate::shell) fn poll_serial_ports(&mut self, now: Now) {
        for (index, listener) in self.listeners.iter_mut().enumerate() {
            let Listener::Serial(console) = listener else { continue };
            let trouble = match console.poll_port(now.mono, self.poll.registry()) {
                PortChange::Unchanged => continue,
                PortChange::Opened => None,
                PortChange::Lost(error) => Some(error.to_string()),
            };
            self.accept_ready[index] |= trouble.is_none();
            let place = console.path().display().to_string();
            self.recorder.handle(now, crate::recorder::Input::ConsoleState { place, trouble });
        }
    }
}
