//! One connection: bytes in, lines out, and a fixed amount of either; with TLS in between, or a
//! typist on a serial line, or nothing.
//!
//! Lines are put together by the protocol's assembler. What the recorder does not take yet stays in
//! the input buffer, and nothing more is read: back-pressure without a queue. A client that does
//! not take what is sent is dropped. One call does a bounded amount of work, whatever is sent: what
//! is left waits for the next turn. Nothing here knows what a line means.

use super::tls::Layer;
use crate::limits;
use crate::shell::serial::line_discipline::{Ends, Typist};
use crate::shell::serial::port::Port;
use crate::time::Mono;
use mio::net::{TcpStream, UnixStream};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use protocol::{Assembler, Code, Piece, Refusal};
use std::io::{self, ErrorKind, Read, Write};
use std::rc::Rc;
use zeroize::{Zeroize, Zeroizing};

/// Bytes read at once.
const READ_BYTES: usize = 4096;

/// Times the socket is read for one line: two, since a line may begin in one read and end in the
/// next.
const READS: usize = 2;

/// Bytes read at once of what a person types: each may bring a line back, some 1 KiB in and out.
const TYPED_BYTES: usize = 16;

/// A plain stream of either kind.
pub enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Serial(Rc<Port>),
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(tcp) => tcp.read(buffer),
            Stream::Unix(unix) => unix.read(buffer),
            Stream::Serial(port) => port.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(tcp) => tcp.write(bytes),
            Stream::Unix(unix) => unix.write(bytes),
            Stream::Serial(port) => port.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One connection.
pub struct Connection {
    stream: Stream,
    tls: Option<Layer>,
    typist: Option<Typist>,
    /// What came out of the typist, and is still to be looked at.
    typed: Zeroizing<Vec<u8>>,
    assembler: Assembler,
    input: Box<Zeroizing<[u8; READ_BYTES]>>,
    /// What of `input` is still to be looked at.
    input_from: usize,
    input_to: usize,
    /// The data block that is coming; `None`: none is, or it is too large to be kept. It may be a
    /// piece of a screen, so it is wiped however it ends. It never grows: nothing is left behind.
    block: Option<Zeroizing<Vec<u8>>>,
    /// No larger one is kept.
    pub block_bytes: usize,
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
    /// Closed now, whatever waits.
    pub cut: bool,
    /// It had more to say in the last turn than its share: others come first.
    pub busy: bool,
    /// Where it counts; none for loopback and the unix socket.
    pub address: Option<std::net::IpAddr>,
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

/// What a client said.
#[derive(Debug)]
pub enum Heard<'a> {
    /// A line without its end, or why it was none.
    Line(Result<&'a str, Refusal>),
    /// The data block that belongs to the line before, or why it is none.
    Data(Result<&'a [u8], Refusal>),
}

impl Connection {
    /// A connection that wakes `token`.
    ///
    /// # Errors
    /// When it cannot be registered.
    pub fn new(
        mut stream: Stream,
        tls: Option<Layer>,
        (registry, token): (&Registry, Token),
    ) -> io::Result<Connection> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        match &mut stream {
            Stream::Tcp(tcp) => {
                tcp.set_nodelay(true)?;
                registry.register(tcp, token, interest)?;
            }
            Stream::Unix(unix) => registry.register(unix, token, interest)?,
            Stream::Serial(port) => {
                registry.register(&mut SourceFd(&port.descriptor()), token, interest)?;
            }
        }
        let typist = matches!(stream, Stream::Serial(_)).then(Typist::default);
        Ok(Connection {
            stream,
            tls,
            typist,
            typed: Zeroizing::new(Vec::new()),
            assembler: Assembler::new(),
            input: Box::new(Zeroizing::new([0; READ_BYTES])),
            input_from: 0,
            input_to: 0,
            block: None,
            block_bytes: limits::REQUEST_BYTES,
            output: Vec::new(),
            output_from: 0,
            readable: true,
            writable: true,
            ended: false,
            stuck: None,
            closing: false,
            cut: false,
            busy: false,
            address: None,
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
        let waits = !self.typed.is_empty() || self.readable && !self.ended;
        self.input_from < self.input_to || waits && self.may_be_typed()
    }

    /// Whoever types has an echo, which needs room: half of it at least.
    fn may_be_typed(&self) -> bool {
        self.typist.is_none() || self.room() > limits::OUTPUT_BYTES / 2
    }

    /// Whether its TLS handshake is not over.
    #[must_use]
    pub fn is_handshaking(&self) -> bool {
        self.tls.as_ref().is_some_and(Layer::is_handshaking)
    }

    /// The digest of the certificate that its client showed.
    #[must_use]
    pub fn certificate(&self) -> Option<[u8; 32]> {
        self.tls.as_ref().and_then(Layer::certificate)
    }

    #[must_use]
    pub fn is_unix(&self) -> bool {
        matches!(self.stream, Stream::Unix(_))
    }

    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Carries the handshake on, as far as one read goes. False: it failed, or the client is gone.
    pub fn shake(&mut self) -> bool {
        self.take_tls();
        !self.ended
    }

    /// Hands the next line or data block to `deliver`, reading when it has to.
    pub fn take(&mut self, deliver: &mut dyn FnMut(Heard<'_>)) -> Took {
        let mut reads = READS;
        loop {
            if self.input_from == self.input_to {
                if reads == 0 {
                    return Took::Nothing;
                }
                reads -= 1;
                if !self.fill() {
                    return if self.ended { Took::Gone } else { Took::Nothing };
                }
            }
            if self.next_piece(deliver) {
                return Took::Line;
            }
        }
    }

    /// Looks at one piece of the input; whether there was something to deliver.
    fn next_piece(&mut self, deliver: &mut dyn FnMut(Heard<'_>)) -> bool {
        let mut rest = &self.input[self.input_from..self.input_to];
        let before = rest.len();
        let piece = self.assembler.take(&mut rest);
        self.input_from += before - rest.len();
        match piece {
            None => return false,
            Some(Piece::Line(line)) => deliver(Heard::Line(Ok(line))),
            Some(Piece::Refused(refusal)) => deliver(Heard::Line(Err(refusal))),
            Some(Piece::DataBegin(bytes)) => {
                let fits = bytes <= self.block_bytes;
                self.block = fits.then(|| Zeroizing::new(Vec::with_capacity(bytes)));
                return false;
            }
            Some(Piece::Data(bytes)) => {
                if let Some(block) = &mut self.block {
                    assert!(block.len() + bytes.len() <= block.capacity(), "a block never grows");
                    block.extend_from_slice(bytes);
                }
                return false;
            }
            Some(Piece::DataEnd) => match self.block.take() {
                Some(block) => deliver(Heard::Data(Ok(&block))),
                None => deliver(Heard::Data(Err(too_large(self.block_bytes)))),
            },
            Some(Piece::DataRefused(refusal)) => {
                self.block = None;
                deliver(Heard::Data(Err(refusal)));
            }
        }
        true
    }

    /// Reads; false when nothing came.
    fn fill(&mut self) -> bool {
        self.input.zeroize();
        (self.input_from, self.input_to) = (0, 0);
        if self.tls.is_some() {
            return self.fill_tls();
        }
        if self.typist.is_some() {
            return self.fill_typed();
        }
        while self.readable && !self.ended {
            match self.stream.read(&mut self.input[..]) {
                Ok(0) => self.ended = true,
                Ok(count) => {
                    self.input_to = count;
                    return true;
                }
                Err(error) => self.read_failed(&error),
            }
        }
        false
    }

    /// As `fill`: what the typist has left, or what it makes of one more read.
    fn fill_typed(&mut self) -> bool {
        let may = self.may_be_typed();
        let Some(typist) = self.typist.as_mut().filter(|_| may) else { return false };
        if self.typed.is_empty() && self.readable && !self.ended {
            let most = if typist.is_program() { READ_BYTES } else { TYPED_BYTES };
            match self.stream.read(&mut self.input[..most]) {
                Ok(0) => self.ended = true,
                Ok(count) => {
                    let mut ends = Ends { input: &mut self.typed, echo: &mut self.output };
                    typist.take(&self.input[..count], &mut ends);
                }
                Err(error) => self.read_failed(&error),
            }
        }
        let count = self.typed.len().min(READ_BYTES);
        self.input[..count].copy_from_slice(&self.typed[..count]);
        self.typed[..count].zeroize();
        self.typed.drain(..count);
        self.input_to = count;
        count > 0
    }

    /// As `fill`: what was opened already, or what one more read of the socket brings.
    fn fill_tls(&mut self) -> bool {
        for _ in 0..READS {
            let Some(tls) = &mut self.tls else { return false };
            match tls.plaintext(&mut self.input[..]) {
                Ok(0) => self.ended = true,
                Ok(count) => {
                    self.input_to = count;
                    return true;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => self.ended = true,
            }
            if !self.take_tls() {
                return false;
            }
        }
        false
    }

    /// Reads the socket once into the TLS layer; whether something came.
    fn take_tls(&mut self) -> bool {
        let Some(tls) = self.tls.as_mut().filter(|_| self.readable && !self.ended) else {
            return false;
        };
        match tls.take(&mut self.stream) {
            Ok(true) => return true,
            Ok(false) => self.ended = true,
            Err(error) => {
                if error.kind() == ErrorKind::InvalidData {
                    log::debug!("a TLS session failed: {error}");
                    // The alert says why; nobody waits for it to arrive.
                    drop(tls.give(&mut self.stream));
                }
                self.read_failed(&error);
            }
        }
        false
    }

    fn read_failed(&mut self, error: &io::Error) {
        match error.kind() {
            ErrorKind::WouldBlock => self.readable = false,
            ErrorKind::Interrupted => {}
            _ => self.ended = true,
        }
    }

    /// Takes bytes to be sent.
    pub fn queue(&mut self, bytes: &[u8]) {
        match &self.typist {
            Some(typist) => typist.send(bytes, &mut self.output),
            None => self.output.extend_from_slice(bytes),
        }
    }

    /// Sends what it can. False: the other end is gone, or has not taken anything for too long.
    pub fn flush(&mut self, now: Mono) -> bool {
        while self.writable && !self.flushed() {
            let result = match &mut self.tls {
                None => self.stream.write(&self.output[self.output_from..]),
                Some(tls) if tls.has_output() => tls.give(&mut self.stream),
                Some(tls) => {
                    match tls.seal(&self.output[self.output_from..]) {
                        Ok(count) => self.output_from += count,
                        Err(_) => return self.lost(),
                    }
                    continue;
                }
            };
            match result {
                Ok(0) => return self.lost(),
                Ok(count) => {
                    if self.tls.is_none() {
                        self.output_from += count;
                    }
                    self.stuck = None;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.writable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return self.lost(),
            }
        }
        if self.output_from == self.output.len() {
            self.output.clear();
            self.output_from = 0;
        }
        if self.flushed() {
            self.stuck = None;
            return true;
        }
        let since = *self.stuck.get_or_insert(now);
        now.since_ms(since) < limits::DRAIN_MS
    }

    fn lost(&mut self) -> bool {
        self.ended = true;
        false
    }

    /// Whether the other end is gone; a client that only does not read is still there.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.ended
    }

    /// Everything has been sent.
    #[must_use]
    pub fn flushed(&self) -> bool {
        self.output_from == self.output.len() && !self.tls.as_ref().is_some_and(Layer::has_output)
    }

    /// Takes leave of the client, once everything has been said; nothing more can be said then.
    pub fn say_bye(&mut self) {
        if let Some(tls) = self.tls.as_mut().filter(|_| self.output_from == self.output.len()) {
            tls.say_bye();
        }
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
            Stream::Serial(port) => registry.deregister(&mut SourceFd(&port.descriptor())),
        };
        if let Err(error) = result {
            log::debug!("a connection could not be deregistered: {error}");
        }
    }
}

fn too_large(most: usize) -> Refusal {
    let text = format!("a data block of more than {most} bytes here");
    Refusal::new(Code::BadArgument, text)
}
