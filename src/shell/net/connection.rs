//! One connection: received bytes to lines, with a bounded buffer each way. It may be plain, TLS,
//! or a serial line with a line discipline.
//!
//! The protocol's assembler splits input into lines. Lines that the recorder does not take yet
//! stay in the input buffer and reading stops, so back-pressure needs no queue. A client that
//! does not read its output is dropped. A client that only ends its input still gets the replies to
//! what it sent. Each call does a bounded amount of work; the rest waits for the next turn.

use super::tls::TlsSession;
use crate::limits;
use crate::shell::serial::line_discipline::{LineDiscipline, TtyBuffers};
use crate::shell::serial::port::SerialPort;
use crate::time::MonoTime;
use mio::net::{TcpStream, UnixStream};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use protocol::{Assembler, Code, InvalidLine, Piece, Refusal};
use std::io::{self, ErrorKind, Read, Write};
use std::rc::Rc;
use zeroize::{Zeroize, Zeroizing};

const READ_BYTES: usize = 4096;

/// Socket reads per line: two, since a line may begin in one read and end in the next.
const READS_PER_LINE: usize = 2;

/// Maximum number of sent bytes kept at the front of the output before the rest is moved up.
const SENT_BYTES_MAX: usize = 32 * 1024;

/// Bytes per read from a terminal. Each may recall a history line: about 1 KiB in and out.
const TERMINAL_READ_BYTES: usize = 16;

/// The underlying plain stream.
pub enum Transport {
    Tcp(TcpStream),
    Unix(UnixStream),
    Serial(Rc<SerialPort>),
}

impl Read for Transport {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Transport::Tcp(tcp) => tcp.read(buffer),
            Transport::Unix(unix) => unix.read(buffer),
            Transport::Serial(port) => port.read(buffer),
        }
    }
}

impl Write for Transport {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Transport::Tcp(tcp) => tcp.write(bytes),
            Transport::Unix(unix) => unix.write(bytes),
            Transport::Serial(port) => port.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub struct Connection {
    stream: Transport,
    tls: Option<TlsSession>,
    line_discipline: Option<LineDiscipline>,
    /// Output of the line discipline that is not parsed yet.
    terminal_input: Zeroizing<Vec<u8>>,
    assembler: Assembler,
    input: Box<Zeroizing<[u8; READ_BYTES]>>,
    /// Offset in `input` of the first unparsed byte.
    input_from: usize,
    input_to: usize,
    /// Data block being received; `None` if there is none or it exceeds the limit. It may hold
    /// screen content, so it is wiped on drop. It never reallocates, which would leave copies
    /// behind.
    block: Option<Zeroizing<Vec<u8>>>,
    /// Maximum size of a data block; larger ones are discarded.
    pub block_bytes_max: usize,
    output: Vec<u8>,
    output_from: usize,
    /// Readiness, remembered because the poll is edge-triggered.
    is_readable: bool,
    is_writable: bool,
    is_disconnected: bool,
    input_state: InputState,
    /// Both directions are closed, so nothing can be sent.
    is_hung_up: bool,
    /// Time since which the client has accepted no output.
    stalled_since: Option<MonoTime>,
    /// Close once all output has been sent.
    pub is_closing: bool,
    /// Close now and discard output.
    pub is_aborted: bool,
    /// Hit its per-turn line quota; scheduled after sessions without a backlog.
    pub has_backlog: bool,
    /// Address that the admission limits count; `None` for loopback and the unix socket.
    pub counted_address: Option<std::net::IpAddr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InputState {
    Open,
    /// The client sends nothing more; what it sent is not all delivered.
    Ending,
    /// `ReadOutcome::Ended` was returned.
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadOutcome {
    Line,
    /// No complete input yet.
    WouldBlock,
    /// The client sent its last line, and may still read. Returned once.
    Ended,
    /// The peer closed the connection.
    Disconnected,
}

#[derive(Debug)]
pub enum Incoming<'a> {
    /// A line without its line end, or why it was refused.
    Line(Result<&'a str, InvalidLine<'a>>),
    /// The data block that follows a command line, or why it was refused.
    Data(Result<&'a [u8], Refusal>),
}

impl Connection {
    /// Creates a connection and registers it under `token`.
    ///
    /// # Errors
    /// The registration fails.
    pub fn new(
        mut stream: Transport,
        tls: Option<TlsSession>,
        (registry, token): (&Registry, Token),
    ) -> io::Result<Connection> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        match &mut stream {
            Transport::Tcp(tcp) => {
                tcp.set_nodelay(true)?;
                registry.register(tcp, token, interest)?;
            }
            Transport::Unix(unix) => registry.register(unix, token, interest)?,
            Transport::Serial(port) => {
                registry.register(&mut SourceFd(&port.descriptor()), token, interest)?;
            }
        }
        let typist = matches!(stream, Transport::Serial(_)).then(LineDiscipline::default);
        Ok(Connection {
            stream,
            tls,
            line_discipline: typist,
            terminal_input: Zeroizing::new(Vec::new()),
            assembler: Assembler::new(),
            input: Box::new(Zeroizing::new([0; READ_BYTES])),
            input_from: 0,
            input_to: 0,
            block: None,
            block_bytes_max: limits::CSR_BYTES_MAX,
            output: Vec::new(),
            output_from: 0,
            is_readable: true,
            is_writable: true,
            is_disconnected: false,
            input_state: InputState::Open,
            is_hung_up: false,
            stalled_since: None,
            is_closing: false,
            is_aborted: false,
            has_backlog: false,
            counted_address: None,
        })
    }

    pub fn mark_ready(&mut self, readable: bool, writable: bool) {
        self.is_readable |= readable;
        self.is_writable |= writable;
    }

    /// Marks that both directions are closed, or that the connection failed.
    pub fn mark_hung_up(&mut self) {
        self.is_hung_up = true;
    }

    /// Whether another line may be available without a new event.
    #[must_use]
    pub fn has_input(&self) -> bool {
        let waits = match self.input_state {
            InputState::Open => self.is_readable && !self.is_disconnected,
            InputState::Ending => true,
            InputState::Ended => false,
        };
        let waits = waits || !self.terminal_input.is_empty();
        self.input_from < self.input_to || waits && self.can_echo()
    }

    /// Whether the output has room for a terminal's echo: at least half of it.
    fn can_echo(&self) -> bool {
        self.line_discipline.is_none() || self.send_capacity() > limits::OUTPUT_BYTES_MAX / 2
    }

    /// Whether the TLS handshake is still in progress.
    #[must_use]
    pub fn is_handshaking(&self) -> bool {
        self.tls.as_ref().is_some_and(TlsSession::is_handshaking)
    }

    /// Returns the digest of the client's certificate.
    #[must_use]
    pub fn client_certificate_digest(&self) -> Option<[u8; 32]> {
        self.tls.as_ref().and_then(TlsSession::client_certificate_digest)
    }

    #[must_use]
    pub fn is_unix(&self) -> bool {
        matches!(self.stream, Transport::Unix(_))
    }

    /// The stream of a connection without TLS.
    #[must_use]
    pub fn plain_transport(&self) -> Option<&Transport> {
        self.tls.is_none().then_some(&self.stream)
    }

    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Advances the handshake by at most one read. Returns false if it failed or the client
    /// disconnected.
    pub fn drive_handshake(&mut self) -> bool {
        self.read_tls();
        !self.is_disconnected
    }

    /// Passes the next line or data block to `deliver`, and reads if necessary.
    pub fn read_next(&mut self, deliver: &mut dyn FnMut(Incoming<'_>)) -> ReadOutcome {
        let mut reads = READS_PER_LINE;
        loop {
            if self.input_from == self.input_to {
                if reads == 0 {
                    return ReadOutcome::WouldBlock;
                }
                reads -= 1;
                if !self.fill_input() {
                    return self.outcome_without_input();
                }
            }
            if self.deliver_piece(deliver) {
                return ReadOutcome::Line;
            }
        }
    }

    fn outcome_without_input(&mut self) -> ReadOutcome {
        match self.input_state {
            _ if self.is_disconnected => ReadOutcome::Disconnected,
            InputState::Ending => {
                self.input_state = InputState::Ended;
                ReadOutcome::Ended
            }
            InputState::Open | InputState::Ended => ReadOutcome::WouldBlock,
        }
    }

    /// Whether the client has gone after its last line, so that its replies reach no reader.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.is_hung_up && self.input_state == InputState::Ended
    }

    /// Parses one piece of input. Returns whether it delivered something.
    fn deliver_piece(&mut self, deliver: &mut dyn FnMut(Incoming<'_>)) -> bool {
        let mut rest = &self.input[self.input_from..self.input_to];
        let before = rest.len();
        let piece = self.assembler.next_piece(&mut rest);
        self.input_from += before - rest.len();
        match piece {
            None => return false,
            Some(Piece::Line(line)) => deliver(Incoming::Line(Ok(line))),
            Some(Piece::Refused(line)) => deliver(Incoming::Line(Err(line))),
            Some(Piece::DataBegin(bytes)) => {
                let fits = bytes <= self.block_bytes_max;
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
                Some(block) => deliver(Incoming::Data(Ok(&block))),
                None => deliver(Incoming::Data(Err(block_too_large(self.block_bytes_max)))),
            },
            Some(Piece::DataRefused(refusal)) => {
                self.block = None;
                deliver(Incoming::Data(Err(refusal)));
            }
        }
        true
    }

    /// Reads input. Returns false if none arrived.
    fn fill_input(&mut self) -> bool {
        self.input.zeroize();
        (self.input_from, self.input_to) = (0, 0);
        if self.input_state != InputState::Open {
            return false;
        }
        if self.tls.is_some() {
            return self.fill_from_tls();
        }
        if self.line_discipline.is_some() {
            return self.fill_from_terminal();
        }
        while self.is_readable && !self.is_disconnected && self.input_state == InputState::Open {
            match self.stream.read(&mut self.input[..]) {
                Ok(0) => self.input_state = InputState::Ending,
                Ok(count) => {
                    self.input_to = count;
                    return true;
                }
                Err(error) => self.handle_read_error(&error),
            }
        }
        false
    }

    /// `fill_input` for a terminal: takes pending output of the line discipline, or reads once.
    fn fill_from_terminal(&mut self) -> bool {
        let may = self.can_echo();
        let Some(typist) = self.line_discipline.as_mut().filter(|_| may) else { return false };
        if self.terminal_input.is_empty() && self.is_readable && !self.is_disconnected {
            let most = if typist.is_raw() { READ_BYTES } else { TERMINAL_READ_BYTES };
            match self.stream.read(&mut self.input[..most]) {
                Ok(0) => self.is_disconnected = true,
                Ok(count) => {
                    let mut ends =
                        TtyBuffers { input: &mut self.terminal_input, echo: &mut self.output };
                    typist.process_input(&self.input[..count], &mut ends);
                }
                Err(error) => self.handle_read_error(&error),
            }
        }
        let count = self.terminal_input.len().min(READ_BYTES);
        self.input[..count].copy_from_slice(&self.terminal_input[..count]);
        self.terminal_input[..count].zeroize();
        self.terminal_input.drain(..count);
        self.input_to = count;
        count > 0
    }

    /// `fill_input` for TLS: takes decrypted data, or reads the socket once.
    fn fill_from_tls(&mut self) -> bool {
        for _ in 0..READS_PER_LINE {
            let Some(tls) = &mut self.tls else { return false };
            match tls.read_plain(&mut self.input[..]) {
                // A `close_notify`. Without one, the end may be an attacker's: that is an error.
                Ok(0) => {
                    self.input_state = InputState::Ending;
                    return false;
                }
                Ok(count) => {
                    self.input_to = count;
                    return true;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => self.is_disconnected = true,
            }
            if !self.read_tls() {
                return false;
            }
        }
        false
    }

    /// Reads the socket once into the TLS layer. Returns whether data arrived.
    fn read_tls(&mut self) -> bool {
        let Some(tls) = self.tls.as_mut().filter(|_| self.is_readable && !self.is_disconnected)
        else {
            return false;
        };
        match tls.read_tls(&mut self.stream) {
            Ok(true) => return true,
            Ok(false) => self.is_disconnected = true,
            Err(error) => {
                if error.kind() == ErrorKind::InvalidData {
                    log::debug!("a TLS session failed: {error}");
                    // The alert tells the client why; its delivery is best effort.
                    drop(tls.write_tls(&mut self.stream));
                }
                self.handle_read_error(&error);
            }
        }
        false
    }

    fn handle_read_error(&mut self, error: &io::Error) {
        match error.kind() {
            ErrorKind::WouldBlock => self.is_readable = false,
            ErrorKind::Interrupted => {}
            _ => self.is_disconnected = true,
        }
    }

    pub fn queue_output(&mut self, bytes: &[u8]) {
        match &self.line_discipline {
            Some(typist) => typist.process_output(bytes, &mut self.output),
            None => self.output.extend_from_slice(bytes),
        }
    }

    /// Sends as much as the socket accepts. Returns false if the peer disconnected or stalled for
    /// too long.
    pub fn flush(&mut self, now: MonoTime) -> bool {
        while self.is_writable && !self.is_flushed() {
            let result = match &mut self.tls {
                None => self.stream.write(&self.output[self.output_from..]),
                Some(tls) if tls.wants_write() => tls.write_tls(&mut self.stream),
                Some(tls) => {
                    match tls.write_plain(&self.output[self.output_from..]) {
                        Ok(count) => self.output_from += count,
                        Err(_) => return self.mark_disconnected(),
                    }
                    continue;
                }
            };
            match result {
                Ok(0) => return self.mark_disconnected(),
                Ok(count) => {
                    if self.tls.is_none() {
                        self.output_from += count;
                    }
                    self.stalled_since = None;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.is_writable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return self.mark_disconnected(),
            }
        }
        self.forget_sent();
        if self.is_flushed() {
            self.stalled_since = None;
            return true;
        }
        let since = *self.stalled_since.get_or_insert(now);
        now.since_ms(since) < limits::DRAIN_TIMEOUT_MS
    }

    /// Frees the sent part of the output, even if the client never drains it fully.
    fn forget_sent(&mut self) {
        if self.output_from == self.output.len() || self.output_from >= SENT_BYTES_MAX {
            self.output.drain(..self.output_from);
            self.output_from = 0;
        }
    }

    fn mark_disconnected(&mut self) -> bool {
        self.is_disconnected = true;
        false
    }

    /// Whether the peer disconnected. A client that only stops reading is still connected.
    #[must_use]
    pub fn is_disconnected(&self) -> bool {
        self.is_disconnected
    }

    #[must_use]
    pub fn is_flushed(&self) -> bool {
        self.output_from == self.output.len()
            && !self.tls.as_ref().is_some_and(TlsSession::wants_write)
    }

    /// Sends the TLS `close_notify`, once all output is queued. Nothing can be sent after it.
    pub fn send_close_notify(&mut self) {
        if let Some(tls) = self.tls.as_mut().filter(|_| self.output_from == self.output.len()) {
            tls.send_close_notify();
        }
    }

    /// Bytes that can still be queued.
    #[must_use]
    pub fn send_capacity(&self) -> usize {
        limits::OUTPUT_BYTES_MAX.saturating_sub(self.output.len() - self.output_from)
    }

    /// Removes the connection from the poll.
    pub fn deregister(&mut self, registry: &Registry) {
        let result = match &mut self.stream {
            Transport::Tcp(tcp) => registry.deregister(tcp),
            Transport::Unix(unix) => registry.deregister(unix),
            Transport::Serial(port) => registry.deregister(&mut SourceFd(&port.descriptor())),
        };
        if let Err(error) = result {
            log::debug!("a connection could not be deregistered: {error}");
        }
    }
}

fn block_too_large(most: usize) -> Refusal {
    let text = format!("a data block of more than {most} bytes here");
    Refusal::new(Code::BadArgument, text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// Covers a client that reads more slowly than the box sends: sent bytes must not accumulate.
    #[test]
    fn slow_client_that_is_always_behind_costs_a_bounded_output() {
        let poll = mio::Poll::new().unwrap();
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        // The kernel takes less at once than one turn produces.
        nix::sys::socket::setsockopt(&ours, nix::sys::socket::sockopt::SndBuf, &4096).unwrap();
        let stream = Transport::Unix(ours);
        let mut connection = Connection::new(stream, None, (poll.registry(), Token(1))).unwrap();
        let (line, mut read, mut longest) = ([b'x'; 1024], 0, 0);
        while read < 1 << 20 {
            while connection.send_capacity() >= line.len() {
                connection.queue_output(&line);
            }
            connection.mark_ready(false, true);
            assert!(connection.flush(MonoTime(0)) && !connection.is_flushed());
            longest = longest.max(connection.output.len());
            read += theirs.read(&mut [0; 4096]).unwrap();
        }
        assert!(longest <= limits::OUTPUT_BYTES_MAX + SENT_BYTES_MAX, "{longest} bytes");
    }
}
