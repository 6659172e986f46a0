//! A client of the line protocol over TCP, TLS or the unix socket, one line at a time.
//!
//! It has its own parser, so that tests do not rely on the product's parser. Notifications that
//! arrive before a reply are kept. A wait longer than `TIMEOUT` fails the test.

use super::TIMEOUT;
use super::tls::TlsStream;
use rustls::ClientConfig;
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// One line from the recorder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub text: String,
    pub pairs: BTreeMap<String, String>,
}

impl Line {
    /// Parses the words of a line: bare, quoted, or a key with either.
    pub fn parse(text: &str) -> Line {
        let mut pairs = BTreeMap::new();
        let mut chars = text.chars().peekable();
        while chars.peek().is_some() {
            let (mut key, mut word, mut quoted, mut first) = (None, String::new(), false, true);
            while let Some(c) = chars.next() {
                match c {
                    '"' => quoted = !quoted,
                    '\\' if quoted => word.extend(chars.next()),
                    ' ' if !quoted => break,
                    '=' if !quoted && key.is_none() && !first => {
                        key = Some(std::mem::take(&mut word));
                    }
                    c => word.push(c),
                }
                first = false;
            }
            if let Some(key) = key {
                assert!(pairs.insert(key, word).is_none(), "a key twice: {text}");
            }
        }
        Line { text: text.to_owned(), pairs }
    }

    /// The first word.
    pub fn verb(&self) -> &str {
        self.text.split(' ').next().unwrap_or_default()
    }

    /// The code of a refusal.
    pub fn code(&self) -> &str {
        self.text.strip_prefix("err ").and_then(|rest| rest.split(' ').next()).unwrap_or_default()
    }

    pub fn get(&self, key: &str) -> &str {
        self.pairs.get(key).unwrap_or_else(|| panic!("no {key}= in: {}", self.text))
    }

    pub fn is(&self, key: &str, value: &str) -> bool {
        self.pairs.get(key).is_some_and(|found| found == value)
    }

    pub fn number(&self, key: &str) -> u64 {
        self.get(key).parse().unwrap_or_else(|_| panic!("{key}= is no number: {}", self.text))
    }
}

#[derive(Clone, Debug)]
pub struct Reply {
    pub rows: Vec<Line>,
    pub end: Line,
}

enum Stream {
    Tcp(TcpStream),
    Tls(Box<TlsStream>),
    Unix(UnixStream),
}

pub struct Client {
    stream: Stream,
    buffer: Vec<u8>,
    pub greeting: Line,
    /// Unread notifications, oldest first.
    pub news: Vec<Line>,
}

impl Client {
    pub fn tcp(port: u16) -> Client {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client::greet(Stream::Tcp(stream))
    }

    /// Connects over TLS with mutual authentication by `config`.
    pub fn tls(port: u16, config: Arc<ClientConfig>) -> Client {
        Client::greet(Stream::Tls(Box::new(super::tls::connect(port, config))))
    }

    /// Connects over TLS from another local address.
    pub fn tls_from(from: Ipv4Addr, port: u16, config: Arc<ClientConfig>) -> Client {
        Client::greet(Stream::Tls(Box::new(super::tls::connect_from(from, port, config))))
    }

    pub fn unix(path: &Path) -> Client {
        Client::greet(Stream::Unix(UnixStream::connect(path).unwrap()))
    }

    fn greet(stream: Stream) -> Client {
        let (buffer, greeting) = (Vec::new(), Line::parse(""));
        let mut client = Client { stream, buffer, greeting, news: Vec::new() };
        client.set_patience(TIMEOUT);
        client.greeting = client.line().expect("a greeting");
        assert!(client.greeting.text.starts_with("hushbox 1 "), "{:?}", client.greeting);
        client
    }

    fn set_patience(&self, patience: Duration) {
        match &self.stream {
            Stream::Tcp(tcp) => tcp.set_read_timeout(Some(patience)).unwrap(),
            Stream::Tls(tls) => tls.sock.set_read_timeout(Some(patience)).unwrap(),
            Stream::Unix(unix) => unix.set_read_timeout(Some(patience)).unwrap(),
        }
    }

    /// Sets the write timeout.
    pub fn set_write_patience(&self, patience: Duration) {
        match &self.stream {
            Stream::Tcp(tcp) => tcp.set_write_timeout(Some(patience)).unwrap(),
            Stream::Tls(tls) => tls.sock.set_write_timeout(Some(patience)).unwrap(),
            Stream::Unix(unix) => unix.set_write_timeout(Some(patience)).unwrap(),
        }
    }

    fn read_more(&mut self) -> std::io::Result<usize> {
        let mut piece = [0; 4096];
        let count = match &mut self.stream {
            Stream::Tcp(tcp) => tcp.read(&mut piece)?,
            Stream::Tls(tls) => tls.read(&mut piece)?,
            Stream::Unix(unix) => unix.read(&mut piece)?,
        };
        self.buffer.extend_from_slice(&piece[..count]);
        Ok(count)
    }

    /// Reads the next line; `None` when the recorder closed the connection.
    pub fn line(&mut self) -> Option<Line> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                assert!(line.len() <= 1024, "a line of {} bytes", line.len());
                let text = String::from_utf8(line).expect("UTF-8");
                return Some(Line::parse(text.trim_end_matches('\n')));
            }
            match self.read_more() {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof
                    ) =>
                {
                    return None;
                }
                Err(error) => panic!("nothing from the box: {error}"),
            }
        }
    }

    /// Sends raw bytes. Returns false if the recorder has closed the connection.
    pub fn send_raw(&mut self, bytes: &[u8]) -> bool {
        let sent = match &mut self.stream {
            Stream::Tcp(tcp) => tcp.write_all(bytes),
            Stream::Tls(tls) => tls.write_all(bytes),
            Stream::Unix(unix) => unix.write_all(bytes),
        };
        sent.is_ok()
    }

    pub fn send(&mut self, command: &str) {
        assert!(self.send_raw(format!("{command}\n").as_bytes()), "the box is gone: {command}");
    }

    /// Reads the next reply; `None` when the recorder closed the connection.
    pub fn try_reply(&mut self) -> Option<Reply> {
        let mut rows = Vec::new();
        loop {
            let line = self.line()?;
            match line.verb() {
                "row" => rows.push(line),
                "ok" | "err" => return Some(Reply { rows, end: line }),
                "state" | "event" => {
                    assert!(rows.is_empty(), "news between a row and its ok");
                    self.news.push(line);
                }
                _ => panic!("what is this: {}", line.text),
            }
        }
    }

    pub fn reply(&mut self) -> Reply {
        self.try_reply().expect("an answer, not a close")
    }

    pub fn ask(&mut self, command: &str) -> Reply {
        self.send(command);
        self.reply()
    }

    pub fn ok(&mut self, command: &str) -> Line {
        let end = self.ask(command).end;
        assert_eq!(end.verb(), "ok", "{command}: {}", end.text);
        end
    }

    pub fn err(&mut self, command: &str, code: &str) {
        let end = self.ask(command).end;
        assert_eq!(end.code(), code, "{command}: {}", end.text);
    }

    /// Waits for the first matching notification and discards those before it.
    pub fn await_news(&mut self, what: &str, fits: impl Fn(&Line) -> bool) -> Line {
        loop {
            while !self.news.is_empty() {
                let line = self.news.remove(0);
                if fits(&line) {
                    return line;
                }
            }
            let line = self.line().unwrap_or_else(|| panic!("closed before {what}"));
            assert!(["state", "event"].contains(&line.verb()), "{what}: {}", line.text);
            self.news.push(line);
        }
    }

    /// Reads until the recorder closes the connection and returns the lines.
    pub fn until_closed(&mut self) -> Vec<Line> {
        std::iter::from_fn(|| self.line()).collect()
    }

    /// Shuts down the sending side, over TLS with a `close_notify`. The recorder may have closed
    /// already.
    pub fn end_sending(&mut self) {
        let ended = match &mut self.stream {
            Stream::Tcp(tcp) => tcp.shutdown(Shutdown::Write),
            Stream::Tls(tls) => {
                tls.conn.send_close_notify();
                tls.conn.write_tls(&mut tls.sock).map(drop)
            }
            Stream::Unix(unix) => unix.shutdown(Shutdown::Write),
        };
        assert!(ended.is_ok() || ended.is_err_and(|e| e.kind() == ErrorKind::NotConnected));
    }
}
