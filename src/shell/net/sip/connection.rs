//! One connection of a recording client: TCP, or TLS over it, cut into SIP messages.

use crate::shell::net::tls::TlsSession;
use crate::time::MonoTime;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use siprec::{Peer, StreamFramer};
use std::io::{self, ErrorKind, Read, Write};

/// Maximum bytes that wait to be sent; a client that does not read them is disconnected.
const OUTPUT_BYTES_MAX: usize = 256 << 10;

pub(super) struct SipConnection {
    /// Index of the board in the configuration.
    pub board: usize,
    pub peer: Peer,
    stream: TcpStream,
    tls: Option<TlsSession>,
    framer: StreamFramer,
    output: Vec<u8>,
    /// Readiness, remembered because the poll is edge-triggered.
    is_readable: bool,
    is_writable: bool,
    /// Time of the last message, or of the start.
    pub last_used: MonoTime,
    /// Whether the client may send: at once, or after a TLS handshake with a known certificate.
    pub is_admitted: bool,
    is_over: bool,
}

/// Why `SipConnection::read` returned.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ReadStop {
    /// More may be available.
    More,
    WouldBlock,
    /// The connection must be closed; the text says why if the client is at fault.
    Over(Option<String>),
}

impl SipConnection {
    pub fn new(
        now: MonoTime,
        (board, peer): (usize, Peer),
        (stream, tls): (TcpStream, Option<TlsSession>),
    ) -> SipConnection {
        SipConnection {
            board,
            peer,
            stream,
            is_admitted: tls.is_none(),
            tls,
            framer: StreamFramer::new(),
            output: Vec::new(),
            is_readable: true,
            is_writable: true,
            last_used: now,
            is_over: false,
        }
    }

    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        self.stream.set_nodelay(true)?;
        registry.register(&mut self.stream, token, Interest::READABLE | Interest::WRITABLE)
    }

    pub fn close(&mut self, registry: &Registry) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
        }
        self.flush();
        drop(registry.deregister(&mut self.stream));
    }

    pub fn mark_ready(&mut self, readable: bool, writable: bool) {
        self.is_readable |= readable;
        self.is_writable |= writable;
    }

    /// Whether `read` may find something.
    pub fn has_work(&self) -> bool {
        self.is_readable && !self.is_over
    }

    /// The digest of the client's certificate, once the handshake is complete.
    pub fn finished_handshake(&self) -> Option<Option<[u8; 32]>> {
        let tls = self.tls.as_ref().filter(|tls| !tls.is_handshaking())?;
        Some(tls.client_certificate_digest())
    }

    /// Reads once, and passes whole messages to `deliver` if the client may send.
    pub fn read(
        &mut self,
        now: MonoTime,
        buffer: &mut [u8],
        deliver: &mut dyn FnMut(&[u8]),
    ) -> ReadStop {
        let count = match self.read_plain(buffer) {
            Ok(0) => {
                self.is_over = true;
                return ReadStop::Over(None);
            }
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return ReadStop::WouldBlock,
            Err(error) => {
                self.is_over = true;
                return ReadStop::Over(Some(error.to_string()));
            }
        };
        if let Err(error) = self.framer.push(&buffer[..count]) {
            return ReadStop::Over(Some(error.to_string()));
        }
        // What came with the end of the handshake waits until the certificate is known.
        while self.is_admitted {
            match self.framer.next_message() {
                Ok(Some(message)) => {
                    self.last_used = now;
                    deliver(message);
                }
                Ok(None) => break,
                Err(error) => return ReadStop::Over(Some(error.to_string())),
            }
        }
        ReadStop::More
    }

    /// Reads decrypted bytes; 0 at the end of the stream.
    fn read_plain(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else {
            let result = self.stream.read(buffer);
            self.is_readable &= !is_would_block(&result);
            return result;
        };
        if !tls.is_handshaking() {
            match tls.read_plain(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                result => return result,
            }
        }
        match tls.read_tls(&mut self.stream) {
            // Decrypted bytes, if there are any now, come with the next read.
            Ok(true) => Err(ErrorKind::WouldBlock.into()),
            Ok(false) => Ok(0),
            Err(error) => {
                self.is_readable &= error.kind() != ErrorKind::WouldBlock;
                Err(error)
            }
        }
    }

    /// Queues bytes to be sent.
    pub fn queue(&mut self, bytes: &[u8]) {
        if self.output.len() + bytes.len() > OUTPUT_BYTES_MAX {
            self.is_over = true;
            return;
        }
        self.output.extend_from_slice(bytes);
    }

    /// Sends what is queued. Returns false if the connection must be closed.
    pub fn flush(&mut self) -> bool {
        while self.is_writable && !self.is_over {
            let wants_tls = self.tls.as_ref().is_some_and(TlsSession::wants_write);
            let result = match &mut self.tls {
                Some(tls) if wants_tls => tls.write_tls(&mut self.stream).map(|_| 0),
                Some(_) | None if self.output.is_empty() => return true,
                Some(tls) if tls.is_handshaking() => return true,
                Some(tls) => tls.write_plain(&self.output),
                None => self.stream.write(&self.output),
            };
            match result {
                Ok(count) => drop(self.output.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.is_writable = false,
                Err(error) if error.kind() == ErrorKind::NotConnected => self.is_writable = false,
                Err(_) => self.is_over = true,
            }
        }
        !self.is_over
    }
}

fn is_would_block(result: &io::Result<usize>) -> bool {
    result.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}
