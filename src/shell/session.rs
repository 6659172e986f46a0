//! One connection: bytes in, lines out, and a fixed amount of either.
//!
//! Lines are put together by the protocol's assembler. What the recorder does not take yet stays in
//! the input buffer, and nothing more is read: back-pressure without a queue. A client that does
//! not
//! take what is sent is dropped. Nothing here knows what a line means.

use crate::limits;
use crate::time::Mono;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use protocol::{Assembler, Piece, Refusal};
use std::io::{self, ErrorKind, Read, Write};

/// Bytes read at once.
const READ_BYTES: usize = 4096;

/// A plain stream of either kind.
pub enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// One connection.
pub struct Connection {
    stream: Stream,
    assembler: Assembler,
    input: Box<[u8; READ_BYTES]>,
    /// What of `input` is still to be looked at.
    input_from: usize,
    input_to: usize,
    output: Vec<u8>,
    output_from: usize,
    /// Readiness is told once only, so it is remembered.
    readable: bool,
    writable: bool,
    ended: bool,
    /// Since when the client has not taken anything.
    stuck: Option<Mono>,
    /// Closed when everything has been sent.
    pub closing: bool,
}

/// What a connection gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Took {
    Line,
    /// Nothing for now.
    Nothing,
    /// The other end is gone.
    Gone,
}

impl Connection {
    /// A connection that wakes `token`.
    ///
    /// # Errors
    /// When it cannot be registered.
    pub fn new(mut stream: Stream, registry: &Registry, token: Token) -> io::Result<Connection> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        match &mut stream {
            Stream::Tcp(tcp) => {
                tcp.set_nodelay(true)?;
                registry.register(tcp, token, interest)?;
            }
            Stream::Unix(unix) => registry.register(unix, token, interest)?,
        }
        Ok(Connection {
            stream,
            assembler: Assembler::new(),
            input: Box::new([0; READ_BYTES]),
            input_from: 0,
            input_to: 0,
            output: Vec::new(),
            output_from: 0,
            readable: true,
            writable: true,
            ended: false,
            stuck: None,
            closing: false,
        })
    }

    /// An event came.
    pub fn ready(&mut self, readable: bool, writable: bool) {
        self.readable |= readable;
        self.writable |= writable;
    }

    /// Whether another line may be there without a new event.
    #[must_use]
    pub fn has_input(&self) -> bool {
        self.input_from < self.input_to || self.readable && !self.ended
    }

    /// Hands the next line to `deliver`, reading when it has to. Data blocks are passed over: no
    /// command that is served takes one.
    pub fn take(&mut self, deliver: &mut dyn FnMut(Result<&str, Refusal>)) -> Took {
        loop {
            if self.input_from == self.input_to && !self.fill() {
                return if self.ended { Took::Gone } else { Took::Nothing };
            }
            let mut rest = &self.input[self.input_from..self.input_to];
            let before = rest.len();
            let line = match self.assembler.take(&mut rest) {
                Some(Piece::Line(line)) => Some(Ok(line)),
                Some(Piece::Refused(refusal)) => Some(Err(refusal)),
                Some(_) | None => None,
            };
            self.input_from += before - rest.len();
            if let Some(line) = line {
                deliver(line);
                return Took::Line;
            }
        }
    }

    /// Reads once; false when nothing came.
    fn fill(&mut self) -> bool {
        zeroize::Zeroize::zeroize(&mut self.input[..]);
        (self.input_from, self.input_to) = (0, 0);
        while self.readable && !self.ended {
            let result = match &mut self.stream {
                Stream::Tcp(tcp) => tcp.read(&mut self.input[..]),
                Stream::Unix(unix) => unix.read(&mut self.input[..]),
            };
            match result {
                Ok(0) => self.ended = true,
                Ok(count) => {
                    self.input_to = count;
                    return true;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.readable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => self.ended = true,
            }
        }
        false
    }

    /// Takes bytes to be sent.
    pub fn queue(&mut self, bytes: &[u8]) {
        self.output.extend_from_slice(bytes);
    }

    /// Sends what it can. False: the other end is gone, or has not taken anything for too long.
    pub fn flush(&mut self, now: Mono) -> bool {
        while self.writable && self.output_from < self.output.len() {
            let rest = &self.output[self.output_from..];
            let result = match &mut self.stream {
                Stream::Tcp(tcp) => tcp.write(rest),
                Stream::Unix(unix) => unix.write(rest),
            };
            match result {
                Ok(0) => return false,
                Ok(count) => {
                    self.output_from += count;
                    self.stuck = None;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.writable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        if self.output_from == self.output.len() {
            self.output.clear();
            self.output_from = 0;
            self.stuck = None;
            return true;
        }
        let since = *self.stuck.get_or_insert(now);
        now.since_ms(since) < limits::DRAIN_MS
    }

    /// Everything has been sent.
    #[must_use]
    pub fn flushed(&self) -> bool {
        self.output_from == self.output.len()
    }

    /// Bytes that may still be queued.
    #[must_use]
    pub fn room(&self) -> usize {
        limits::OUTPUT_BYTES.saturating_sub(self.output.len() - self.output_from)
    }

    /// Takes it out of the poll.
    pub fn deregister(&mut self, registry: &Registry) {
        let result = match &mut self.stream {
            Stream::Tcp(tcp) => registry.deregister(tcp),
            Stream::Unix(unix) => registry.deregister(unix),
        };
        if let Err(error) = result {
            log::debug!("a connection could not be deregistered: {error}");
        }
    }
}
