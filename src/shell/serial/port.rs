//! Serial consoles: ports that come and go, each with at most one session.
//!
//! A port is opened raw and never waited for. It greets when it is opened; after a session has
//! ended it is quiet until somebody types. One that cannot be opened, or is unplugged, is an alarm
//! and is tried again; it never ends the box. The other end of a cable is nobody in particular, so
//! it may be a technician, with a PIN, and nothing else. Nothing here understands a line.

use crate::shell::net::listener::Listener;
use crate::time::Mono;
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

/// A port that is not there is looked for so often.
const AGAIN_MS: u64 = 1000;
/// After a session the line rests, so that what was still under way wakes nobody, and two boxes
/// that are plugged into each other do not greet each other all day at full speed.
const REST_MS: u64 = 200;
/// What was said last before the box ends is given so long to leave.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Why a port cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SerialError {
    #[error("{path} is not there; is the cable or the adapter plugged in?")]
    Gone { path: PathBuf },
    #[error("{path} is in use by another program; stop it (a getty, perhaps)")]
    InUse { path: PathBuf },
    #[error("{path} is no serial port; see [[listen]] serial")]
    NoTerminal { path: PathBuf },
    #[error("{path} does not do {baud} bit/s")]
    Baud { path: PathBuf, baud: u32 },
    #[error("{path}: {error}")]
    System { path: PathBuf, error: io::Error },
}

/// An open port.
pub struct Port {
    file: Flock<File>,
    /// The other end went away, for good.
    hung: Cell<bool>,
    /// Nothing is still to be sent, and nothing more will be.
    spent: Cell<bool>,
}

impl Port {
    /// Opens a port, raw and without waiting.
    ///
    /// # Errors
    /// See `SerialError`.
    pub fn open(path: &Path, baud: u32) -> Result<Port, SerialError> {
        let system = |error: io::Error| {
            let path = path.to_path_buf();
            let gone = [Errno::ENOENT, Errno::ENXIO, Errno::ENODEV, Errno::EIO];
            match error.raw_os_error().map(Errno::from_raw) {
                Some(errno) if gone.contains(&errno) => SerialError::Gone { path },
                Some(Errno::EBUSY | Errno::EWOULDBLOCK) => SerialError::InUse { path },
                Some(Errno::ENOTTY) => SerialError::NoTerminal { path },
                _ => SerialError::System { path, error },
            }
        };
        let flags = OFlag::O_NOCTTY | OFlag::O_NONBLOCK;
        let file = OpenOptions::new().read(true).write(true).custom_flags(flags.bits()).open(path);
        let file = file.map_err(system)?;
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock);
        let file = lock.map_err(|(_, errno)| system(errno.into()))?;
        let speed = speed(baud).ok_or(SerialError::Baud { path: path.to_path_buf(), baud })?;
        let mut modes = termios::tcgetattr(&*file).map_err(|errno| system(errno.into()))?;
        termios::cfmakeraw(&mut modes);
        // A break or a damaged byte is no letter. Three wires are enough: no modem lines.
        modes.input_flags.insert(InputFlags::IGNBRK | InputFlags::IGNPAR);
        modes.control_flags.insert(ControlFlags::CLOCAL | ControlFlags::CREAD);
        modes.control_flags.remove(ControlFlags::CSTOPB | ControlFlags::CRTSCTS);
        modes.control_chars[SpecialCharacterIndices::VMIN as usize] = 1;
        modes.control_chars[SpecialCharacterIndices::VTIME as usize] = 0;
        let set = termios::cfsetspeed(&mut modes, speed);
        set.and_then(|()| termios::tcsetattr(&*file, SetArg::TCSANOW, &modes))
            .map_err(|errno| system(errno.into()))?;
        Ok(Port { file, hung: Cell::new(false), spent: Cell::new(false) })
    }

    /// Reads what is there.
    ///
    /// # Errors
    /// `WouldBlock`, or the other end is gone.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.noted((&*self.file).read(buffer))
    }

    /// Writes what there is room for.
    ///
    /// # Errors
    /// As `read`.
    pub fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.noted((&*self.file).write(bytes))
    }

    fn noted(&self, result: io::Result<usize>) -> io::Result<usize> {
        let passes = [ErrorKind::WouldBlock, ErrorKind::Interrupted];
        match &result {
            Ok(0) => self.hung.set(true),
            Err(error) if !passes.contains(&error.kind()) => self.hung.set(true),
            Ok(_) | Err(_) => {}
        }
        result
    }

    /// Whether somebody typed something; learns of a hang-up on the way.
    fn has_input(&self) -> bool {
        let mut wanted = [PollFd::new(self.file.as_fd(), PollFlags::POLLIN)];
        if poll(&mut wanted, PollTimeout::ZERO).is_err() {
            return false;
        }
        let found = wanted[0].revents().unwrap_or(PollFlags::empty());
        if found.intersects(PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL) {
            self.hung.set(true);
        }
        found.contains(PollFlags::POLLIN) && !self.hung.get()
    }

    /// What is under way is not wanted any more.
    fn discard(&self, what: termios::FlushArg) {
        if let Err(errno) = termios::tcflush(&*self.file, what) {
            log::debug!("a serial port could not be flushed: {errno}");
        }
    }

    /// Waits, for a moment at most, until what was said last has left: a line that is stuck keeps
    /// no box from ending. Only for the end: it stops the loop.
    fn spend(&self) {
        let Ok(copy) = self.file.as_fd().try_clone_to_owned() else { return };
        let (tell, told) = channel();
        std::thread::spawn(move || tell.send(termios::tcdrain(copy).is_ok()));
        self.spent.set(told.recv_timeout(LAST_WORDS) == Ok(true));
    }

    #[must_use]
    pub fn descriptor(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

impl Drop for Port {
    /// Closing a port waits for what is still to be sent, which nobody may: it is discarded.
    fn drop(&mut self) {
        if !self.spent.get() {
            self.discard(termios::FlushArg::TCIOFLUSH);
        }
    }
}

impl AsFd for Port {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn speed(baud: u32) -> Option<BaudRate> {
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

enum State {
    /// Tried again then.
    Lost { again: Mono },
    /// Nobody is there; the port wakes the listener's token.
    Quiet { port: Rc<Port> },
    /// A session has it, as long as it keeps its copy.
    Busy { port: Rc<Port> },
    /// A session has just ended.
    Resting { port: Rc<Port>, until: Mono },
}

/// One configured port.
pub struct Console {
    path: PathBuf,
    baud: u32,
    /// A session that says nothing for so long is over.
    pub silent_ms: u64,
    token: Token,
    state: State,
    /// It was opened just now, and nobody has been greeted.
    fresh: bool,
}

/// What became of a port.
#[derive(Debug)]
pub enum Tended {
    /// Nothing new.
    Same,
    /// It is open.
    Open,
    /// It is not there.
    Lost(SerialError),
}

impl Console {
    /// A console that is opened by the first `tend`.
    #[must_use]
    pub fn new((path, baud): (&Path, u32), silent_ms: u64, token: Token) -> Console {
        let state = State::Lost { again: Mono(0) };
        Console { path: path.to_path_buf(), baud, silent_ms, token, state, fresh: false }
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// When `tend` has something to do.
    #[must_use]
    pub fn deadline(&self) -> Option<Mono> {
        match &self.state {
            State::Lost { again } => Some(*again),
            State::Resting { until, .. } => Some(*until),
            State::Quiet { .. } | State::Busy { .. } => None,
        }
    }

    /// Takes a port back from its session, and opens what is not open.
    pub fn tend(&mut self, now: Mono, registry: &Registry) -> Tended {
        match &self.state {
            State::Lost { again } if now >= *again => self.open(now, registry),
            State::Busy { port } if Rc::strong_count(port) == 1 => {
                let port = port.clone();
                self.state = match port.hung.get() {
                    true => return self.lost(now),
                    false => State::Resting { port, until: now.after_ms(REST_MS) },
                };
                Tended::Same
            }
            State::Resting { port, until } if now >= *until => {
                port.discard(termios::FlushArg::TCIFLUSH);
                let port = port.clone();
                self.wait_for_somebody(now, port, registry)
            }
            State::Lost { .. } | State::Busy { .. } | State::Resting { .. } => Tended::Same,
            State::Quiet { port } if port.hung.get() => self.lost(now),
            State::Quiet { .. } => Tended::Same,
        }
    }

    fn open(&mut self, now: Mono, registry: &Registry) -> Tended {
        match Port::open(&self.path, self.baud) {
            Ok(port) => match self.wait_for_somebody(now, Rc::new(port), registry) {
                Tended::Same => {
                    self.fresh = true;
                    Tended::Open
                }
                lost => lost,
            },
            Err(error) => {
                self.state = State::Lost { again: now.after_ms(AGAIN_MS) };
                Tended::Lost(error)
            }
        }
    }

    fn wait_for_somebody(&mut self, now: Mono, port: Rc<Port>, registry: &Registry) -> Tended {
        let interest = Interest::READABLE;
        if let Err(error) =
            registry.register(&mut SourceFd(&port.descriptor()), self.token, interest)
        {
            self.state = State::Lost { again: now.after_ms(AGAIN_MS) };
            return Tended::Lost(SerialError::System { path: self.path.clone(), error });
        }
        self.state = State::Quiet { port };
        Tended::Same
    }

    fn lost(&mut self, now: Mono) -> Tended {
        self.state = State::Lost { again: now.after_ms(AGAIN_MS) };
        Tended::Lost(SerialError::Gone { path: self.path.clone() })
    }

    /// The box ends: what it said last is still to arrive.
    pub fn last_words(&self) {
        match &self.state {
            State::Quiet { port } | State::Busy { port } | State::Resting { port, .. } => {
                port.spend();
            }
            State::Lost { .. } => {}
        }
    }

    /// The port, if somebody is there to be greeted.
    pub fn accept(&mut self, registry: &Registry) -> Option<Rc<Port>> {
        let State::Quiet { port } = &self.state else { return None };
        if !port.has_input() && (!self.fresh || port.hung.get()) {
            return None;
        }
        self.fresh = false;
        let port = port.clone();
        if let Err(error) = registry.deregister(&mut SourceFd(&port.descriptor())) {
            log::debug!("a serial port could not be deregistered: {error}");
        }
        self.state = State::Busy { port: port.clone() };
        Some(port)
    }
}

impl crate::shell::event_loop::Daemon {
    /// Looks after the serial consoles; what became of them is an alarm, or the end of one.
    pub(in crate::shell) fn tend_consoles(&mut self) {
        let now = self.clock.now();
        for (index, listener) in self.listeners.iter_mut().enumerate() {
            let Listener::Serial(console) = listener else { continue };
            let trouble = match console.tend(now.mono, self.poll.registry()) {
                Tended::Same => continue,
                Tended::Open => None,
                Tended::Lost(error) => Some(error.to_string()),
            };
            self.knocking[index] |= trouble.is_none();
            let place = console.path().display().to_string();
            self.recorder.handle(now, crate::recorder::Input::Console { place, trouble });
        }
    }

    /// When a console must be looked after.
    pub(in crate::shell) fn consoles_at(&self) -> Option<Mono> {
        let deadline = |listener: &Listener| match listener {
            Listener::Serial(console) => console.deadline(),
            Listener::Tcp { .. } | Listener::Unix { .. } => None,
        };
        self.listeners.iter().filter_map(deadline).min()
    }
}
