//! Happy Eyeballs (RFC 8305): connects to the first address of a host name that answers.
//!
//! Address families are interleaved, so that a host whose IPv6 packets are dropped is still reached
//! over IPv4. The next attempt starts `ATTEMPT_DELAY` after the previous one, or at once when an
//! attempt fails. The first connection wins and the other attempts are dropped.
//!
//! `Schedule` decides which attempt starts when; it has no clock and no socket. `connect` runs it
//! on non-blocking sockets in the calling thread. RFC 8305 also connects before all DNS answers are
//! in; `getaddrinfo` returns them together, so this module does not.

use crate::clock::{WAIT_MIN, now};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrStorage};
use std::collections::VecDeque;
use std::io::{Error, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

/// Time between the starts of two attempts (RFC 8305, section 8: "Connection Attempt Delay").
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// No address of a host accepted a connection.
#[derive(Debug, thiserror::Error)]
#[error("{}", describe(.failures))]
pub struct ConnectError {
    /// Each address that was tried, and why it failed.
    pub failures: Vec<(SocketAddr, Error)>,
}

fn describe(failures: &[(SocketAddr, Error)]) -> String {
    match failures {
        [] => "the host has no address".to_owned(),
        [(_, error)] => error.to_string(),
        several => {
            let each = several.iter().map(|(address, error)| format!("{address} {error}"));
            format!("no address answered: {}", each.collect::<Vec<_>>().join(", "))
        }
    }
}

/// Which attempt starts when.
struct Schedule {
    /// Addresses not tried yet, in order.
    waiting: VecDeque<SocketAddr>,
    /// Earliest start of the next attempt; `None`: at once.
    next_start: Option<Instant>,
}

impl Schedule {
    fn new(addresses: &[SocketAddr]) -> Schedule {
        Schedule { waiting: interleave_families(addresses).into(), next_start: None }
    }

    /// Takes the next address, if its attempt is due.
    fn take_due(&mut self, now: Instant) -> Option<SocketAddr> {
        if self.next_start.is_some_and(|start| now < start) {
            return None;
        }
        let address = self.waiting.pop_front()?;
        self.next_start = Some(now + ATTEMPT_DELAY);
        Some(address)
    }

    /// Lets the next attempt start at once, because one has failed.
    fn record_failure(&mut self) {
        self.next_start = None;
    }

    /// When to look for a due attempt again; `None`: every address was tried.
    fn next_start(&self) -> Option<Instant> {
        if self.waiting.is_empty() { None } else { self.next_start }
    }
}

/// Alternates between IPv6 and IPv4, beginning with the family of the first address. Within a
/// family the order stays: the resolver has sorted the addresses by preference (RFC 6724).
fn interleave_families(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let Some(first) = addresses.first() else { return Vec::new() };
    let is_preferred = |address: &&SocketAddr| address.is_ipv6() == first.is_ipv6();
    let (preferred, other): (Vec<&SocketAddr>, Vec<_>) = addresses.iter().partition(is_preferred);
    let (mut preferred, mut other) = (preferred.into_iter(), other.into_iter());
    let mut interleaved = Vec::with_capacity(addresses.len());
    while interleaved.len() < addresses.len() {
        interleaved.extend(preferred.next());
        interleaved.extend(other.next());
    }
    interleaved
}

/// A connection that is being made.
struct Attempt {
    address: SocketAddr,
    /// Non-blocking.
    stream: TcpStream,
}

/// Connects to one of the addresses before `deadline`. The stream is blocking.
pub(crate) fn connect(
    addresses: &[SocketAddr],
    deadline: Instant,
) -> Result<TcpStream, ConnectError> {
    let mut schedule = Schedule::new(addresses);
    let mut attempts: Vec<Attempt> = Vec::new();
    let mut failures = Vec::new();
    loop {
        let started = now();
        while let Some(address) = schedule.take_due(started) {
            match start_attempt(address) {
                Ok(stream) => attempts.push(Attempt { address, stream }),
                Err(error) => {
                    schedule.record_failure();
                    failures.push((address, error));
                }
            }
        }
        if attempts.is_empty() {
            return Err(ConnectError { failures });
        }
        let wake = schedule.next_start().map_or(deadline, |start| start.min(deadline));
        let ready = match poll_outcomes(&attempts, wake.saturating_duration_since(started)) {
            Ok(ready) => ready,
            Err(error) => {
                failures
                    .extend(attempts.into_iter().map(|attempt| (attempt.address, error.into())));
                return Err(ConnectError { failures });
            }
        };
        let mut ready = ready.into_iter();
        for Attempt { address, stream } in attempts.extract_if(.., |_| ready.next() == Some(true)) {
            match finish_attempt(&stream) {
                Ok(()) => return Ok(stream),
                Err(error) => {
                    schedule.record_failure();
                    failures.push((address, error));
                }
            }
        }
        if now() >= deadline {
            let late = |attempt: Attempt| (attempt.address, ErrorKind::TimedOut.into());
            failures.extend(attempts.into_iter().map(late));
            return Err(ConnectError { failures });
        }
    }
}

/// Begins to connect without waiting for the outcome.
fn start_attempt(address: SocketAddr) -> Result<TcpStream, Error> {
    let family = if address.is_ipv6() { AddressFamily::Inet6 } else { AddressFamily::Inet };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = socket::socket(family, SockType::Stream, flags, None)?;
    match socket::connect(socket.as_raw_fd(), &SockaddrStorage::from(address)) {
        // After a signal the kernel continues to connect.
        Ok(()) | Err(Errno::EINPROGRESS | Errno::EINTR) => Ok(TcpStream::from(socket)),
        Err(error) => Err(error.into()),
    }
}

/// Waits until an attempt succeeds or fails, for at most `timeout`; for each attempt, whether it
/// has.
fn poll_outcomes(attempts: &[Attempt], timeout: Duration) -> Result<Vec<bool>, Errno> {
    let sockets = attempts.iter().map(|attempt| attempt.stream.as_fd());
    let mut sockets: Vec<PollFd<'_>> =
        sockets.map(|socket| PollFd::new(socket, PollFlags::POLLOUT)).collect();
    // Poll counts whole milliseconds; one more, so that it does not wake before the deadline.
    let timeout = PollTimeout::try_from(timeout + WAIT_MIN).unwrap_or(PollTimeout::MAX);
    match poll(&mut sockets, timeout) {
        // After a signal the caller looks at the clock and waits again.
        Ok(_) | Err(Errno::EINTR) => {}
        Err(error) => return Err(error),
    }
    Ok(sockets.iter().map(|socket| socket.any().unwrap_or(true)).collect())
}

/// Checks an attempt that has an outcome, and makes its socket blocking.
fn finish_attempt(stream: &TcpStream) -> Result<(), Error> {
    match stream.take_error()? {
        Some(error) => Err(error),
        None => stream.set_nonblocking(false),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};

    /// An address that drops every SYN: its queue of connections not accepted is full.
    pub(crate) struct BlackHole {
        pub address: SocketAddr,
        _listener: TcpListener,
        _queued: Vec<TcpStream>,
    }

    impl BlackHole {
        pub fn new() -> BlackHole {
            let socket =
                socket::socket(AddressFamily::Inet, SockType::Stream, SockFlag::empty(), None);
            let socket = socket.expect("a socket");
            let any = SockaddrStorage::from(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
            socket::bind(socket.as_raw_fd(), &any).expect("a port");
            let backlog = socket::Backlog::new(0).expect("a backlog");
            socket::listen(&socket, backlog).expect("a listener");
            let listener = TcpListener::from(socket);
            let address = listener.local_addr().expect("an address");
            let queued = TcpStream::connect(address).expect("the only place in the queue");
            BlackHole { address, _listener: listener, _queued: vec![queued] }
        }
    }

    fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        (listener, address)
    }

    /// An address where nothing listens.
    fn refusing() -> SocketAddr {
        listener().1
    }

    fn v4(port: u16) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, port).into()
    }

    fn v6(port: u16) -> SocketAddr {
        (Ipv6Addr::LOCALHOST, port).into()
    }

    #[test]
    fn address_families_alternate_from_the_first() {
        let sorted = [v6(1), v6(2), v6(3), v4(1), v4(2)];
        assert_eq!(interleave_families(&sorted), [v6(1), v4(1), v6(2), v4(2), v6(3)]);
        let sorted = [v4(1), v6(1), v6(2)];
        assert_eq!(interleave_families(&sorted), [v4(1), v6(1), v6(2)]);
        assert_eq!(interleave_families(&[v4(1), v4(2)]), [v4(1), v4(2)]);
        assert_eq!(interleave_families(&[]), []);
    }

    #[test]
    fn attempts_start_after_the_delay_or_a_failure() {
        let begin = now();
        let mut schedule = Schedule::new(&[v6(1), v6(2), v4(1), v4(2)]);
        assert_eq!(schedule.take_due(begin), Some(v6(1)));
        assert_eq!(schedule.take_due(begin), None);
        let second = begin + ATTEMPT_DELAY;
        assert_eq!(schedule.next_start(), Some(second));
        assert_eq!(schedule.take_due(second - WAIT_MIN), None);
        assert_eq!(schedule.take_due(second), Some(v4(1)));
        schedule.record_failure();
        assert_eq!(schedule.take_due(second + WAIT_MIN), Some(v6(2)));
        assert_eq!(schedule.next_start(), Some(second + WAIT_MIN + ATTEMPT_DELAY));
        assert_eq!(schedule.take_due(second + ATTEMPT_DELAY * 2), Some(v4(2)));
        assert_eq!(schedule.next_start(), None);
        assert_eq!(schedule.take_due(second + ATTEMPT_DELAY * 9), None);
    }

    #[test]
    fn a_silent_first_address_delays_the_second_by_250_ms() {
        let (silent, (_listener, good)) = (BlackHole::new(), listener());
        let begin = now();
        let stream = connect(&[silent.address, good], begin + Duration::from_secs(60));
        assert_eq!(stream.expect("a connection").peer_addr().ok(), Some(good));
        let took = begin.elapsed();
        assert!(took >= ATTEMPT_DELAY && took < ATTEMPT_DELAY * 8, "{took:?}");
    }

    #[test]
    fn a_refusing_first_address_delays_nothing() {
        let (_listener, good) = listener();
        let begin = now();
        let addresses: Vec<SocketAddr> = (0..20).map(|_| refusing()).chain([good]).collect();
        let stream = connect(&addresses, begin + Duration::from_secs(60)).expect("a connection");
        assert_eq!(stream.peer_addr().ok(), Some(good));
        assert!(begin.elapsed() < ATTEMPT_DELAY, "{:?}", begin.elapsed());
    }

    #[test]
    fn without_an_answer_the_deadline_ends_the_race() {
        let silent = [BlackHole::new(), BlackHole::new()];
        let begin = now();
        let limit = ATTEMPT_DELAY * 2;
        let addresses = [silent[0].address, refusing(), silent[1].address];
        let error = connect(&addresses, begin + limit).expect_err("nothing answers");
        let took = begin.elapsed();
        assert!(took >= limit && took < limit * 8, "{took:?}");
        let kinds: Vec<_> = error.failures.iter().map(|(_, error)| error.kind()).collect();
        let [refused, late] = [ErrorKind::ConnectionRefused, ErrorKind::TimedOut];
        assert_eq!(kinds, [refused, late, late]);
        assert!(error.to_string().contains(&silent[0].address.to_string()), "{error}");
        assert!(connect(&[], begin).is_err());
    }
}
