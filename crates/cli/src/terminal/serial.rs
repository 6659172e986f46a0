//! Connection to a recorder over a serial cable, as a socket.
//!
//! A previous user may have left a session or half a line: it is ended, and the recorder is woken
//! until it sends its greeting. A thread then forwards bytes in both directions.

use hushbox::shell::serial::port::{SerialPort, SerialPortError};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Timeout for the greeting after a wake-up. The recorder pauses 200 ms after a session.
const GREETING_TIMEOUT_MS: u16 = 700;
/// Maximum number of wake-ups.
const WAKE_ATTEMPTS: usize = 8;
const GREETING: &[u8] = b"hushbox ";

/// The reason why no recorder was found.
#[derive(Debug, thiserror::Error)]
pub enum SerialError {
    #[error(transparent)]
    Port(#[from] SerialPortError),
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("no Hushbox greeting received within 6 s")]
    NoGreeting,
}

/// Returns a socket connected to the recorder. It starts with the greeting, as on any connection.
pub fn connect_serial(path: &Path, rate: u32) -> Result<UnixStream, SerialError> {
    let port = SerialPort::open(path, rate)?;
    let greeting = wait_for_greeting(&port)?;
    let (ours, mut theirs) = UnixStream::pair()?;
    theirs.write_all(&greeting)?;
    theirs.set_nonblocking(true)?;
    let carrier = std::thread::Builder::new().name("serial-forward".to_owned());
    carrier.spawn(move || forward_bytes(&port, &mut theirs))?;
    Ok(ours)
}

/// Ends a previous session and waits for a greeting. Returns the bytes from the greeting on.
fn wait_for_greeting(port: &SerialPort) -> Result<Vec<u8>, SerialError> {
    let mut heard = Vec::new();
    for attempt in 0..WAKE_ATTEMPTS {
        let words: &[u8] = if attempt % 2 == 0 { b"\n" } else { b"\nquit\n" };
        send_bytes(port, words)?;
        while poll_ready(port.as_fd(), PollFlags::POLLIN, GREETING_TIMEOUT_MS) {
            let mut piece = [0; 256];
            let count = port.read(&mut piece)?;
            heard.extend_from_slice(&piece[..count]);
            let begins = heard.windows(GREETING.len()).rposition(|word| word == GREETING);
            let Some(at) = begins else { continue };
            if heard[at..].contains(&b'\n') {
                return Ok(heard.split_off(at));
            }
        }
    }
    Err(SerialError::NoGreeting)
}

fn poll_ready(descriptor: BorrowedFd<'_>, what: PollFlags, timeout_ms: u16) -> bool {
    let mut wanted = [PollFd::new(descriptor, what)];
    poll(&mut wanted, PollTimeout::from(timeout_ms)).is_ok_and(|count| count > 0)
}

fn send_bytes(port: &SerialPort, mut bytes: &[u8]) -> Result<(), std::io::Error> {
    while !bytes.is_empty() {
        match port.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                poll_ready(port.as_fd(), PollFlags::POLLOUT, GREETING_TIMEOUT_MS);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Forwards bytes until either end closes, then closes the socket.
fn forward_bytes(port: &SerialPort, socket: &mut UnixStream) {
    let mut bytes = [0; 1024];
    loop {
        let mut wanted = [
            PollFd::new(port.as_fd(), PollFlags::POLLIN),
            PollFd::new(socket.as_fd(), PollFlags::POLLIN),
        ];
        if poll(&mut wanted, PollTimeout::NONE).is_err_and(|error| error != nix::Error::EINTR) {
            return;
        }
        let came = match port.read(&mut bytes) {
            Ok(count) => socket.set_nonblocking(false).and_then(|()| {
                socket.write_all(&bytes[..count])?;
                socket.set_nonblocking(true)
            }),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        };
        let went = match socket.read(&mut bytes) {
            Ok(0) => return,
            Ok(count) => send_bytes(port, &bytes[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        };
        if came.and(went).is_err() {
            return;
        }
    }
}
