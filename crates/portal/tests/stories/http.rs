//! Raw HTTP: requests that a browser would never send.

use super::stack::{PASSWORD, Stack, TIMEOUT};
use std::io::{Read, Write};
use std::net::TcpStream;

#[derive(Clone, Debug)]
pub struct HttpResponse {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl HttpResponse {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let named = |line: &&str| {
            line.split_once(':').is_some_and(|(found, _)| found.eq_ignore_ascii_case(name))
        };
        self.head.lines().find(named).and_then(|line| line.split_once(": ")).map(|(_, v)| v)
    }

    /// The value of a cookie that the response sets.
    pub fn cookie(&self, name: &str) -> Option<String> {
        let lines = self.head.lines().filter_map(|line| line.strip_prefix("set-cookie: "));
        let mut pairs = lines.filter_map(|line| line.split(';').next()?.split_once('='));
        pairs.find(|(found, _)| *found == name).map(|(_, value)| value.to_owned())
    }

    /// The CSRF token of the page's forms.
    pub fn csrf_token(&self) -> String {
        let text = self.text();
        let after = text.split("name=\"csrf\" value=\"").nth(1).expect("a form");
        after.split('"').next().unwrap().to_owned()
    }
}

/// Sends raw bytes and reads until the server closes.
pub fn send_raw(port: u16, bytes: &[u8]) -> HttpResponse {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    // A server that rejects early may not read everything.
    drop(stream.write_all(bytes));
    read_response(stream)
}

/// Reads until the server closes.
pub fn read_response(mut stream: TcpStream) -> HttpResponse {
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    let mut all = Vec::new();
    drop(stream.read_to_end(&mut all));
    let split = all.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(all.len());
    let head = String::from_utf8_lossy(&all[..split]).into_owned();
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    let body = all.get(split + 4..).unwrap_or_default().to_vec();
    HttpResponse { status, head, body }
}

/// An HTTP client without a browser.
#[derive(Clone, Default)]
pub struct HttpClient {
    port: u16,
    pub origin: String,
    pub cookies: Vec<(String, String)>,
    pub headers: Vec<String>,
}

impl HttpClient {
    pub fn new(stack: &Stack) -> HttpClient {
        HttpClient { port: stack.port, origin: stack.url.clone(), ..HttpClient::default() }
    }

    fn request_head(&self, first: &str) -> String {
        let cookies: Vec<String> = self.cookies.iter().map(|(n, v)| format!("{n}={v}")).collect();
        let mut head = format!("{first} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n", self.port);
        head += "Connection: close\r\n";
        if !cookies.is_empty() {
            head += &format!("Cookie: {}\r\n", cookies.join("; "));
        }
        for header in &self.headers {
            head += &format!("{header}\r\n");
        }
        head
    }

    fn store_cookies(&mut self, answer: &HttpResponse) {
        for name in ["hushbox", "hushbox-form", "hushbox-name"] {
            for name in [name.to_owned(), format!("__Host-{name}")] {
                if let Some(value) = answer.cookie(&name) {
                    self.cookies.retain(|(known, _)| *known != name);
                    self.cookies.push((name, value));
                }
            }
        }
    }

    pub fn get(&mut self, path: &str) -> HttpResponse {
        let answer = send_raw(
            self.port,
            format!("{}\r\n", self.request_head(&format!("GET {path}"))).as_bytes(),
        );
        self.store_cookies(&answer);
        answer
    }

    /// Opens a stream that the caller reads.
    pub fn open_stream(&self, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        let head = format!("{}\r\n", self.request_head(&format!("GET {path}")));
        stream.write_all(head.as_bytes()).unwrap();
        stream
    }

    pub fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> HttpResponse {
        let answer = send_raw(self.port, self.form_request(path, fields).as_bytes());
        self.store_cookies(&answer);
        answer
    }

    /// The bytes of a form.
    pub fn form_request(&self, path: &str, fields: &[(&str, &str)]) -> String {
        let pairs: Vec<String> =
            fields.iter().map(|(name, value)| format!("{name}={}", form_encode(value))).collect();
        let body = pairs.join("&");
        let mut head = self.request_head(&format!("POST {path}"));
        if !self.origin.is_empty() {
            head += &format!("Origin: {}\r\n", self.origin);
        }
        head += "Content-Type: application/x-www-form-urlencoded\r\n";
        head += &format!("Content-Length: {}\r\n\r\n{body}", body.len());
        head
    }

    /// Another client, which a proxy reports with this address.
    pub fn with_address(&self, address: &str) -> HttpClient {
        let (port, origin) = (self.port, self.origin.clone());
        let headers = vec![format!("X-Forwarded-For: {address}")];
        HttpClient { port, origin, headers, ..HttpClient::default() }
    }

    /// Submits the login form.
    pub fn log_in(&mut self, name: &str, password: &str) -> HttpResponse {
        let csrf = self.get("/login").csrf_token();
        self.post("/login", &[("csrf", &csrf), ("username", name), ("password", password)])
    }

    /// Creates a logged-in client.
    pub fn logged_in(stack: &Stack, name: &str) -> HttpClient {
        let mut hand = HttpClient::new(stack);
        let answer = hand.log_in(name, PASSWORD);
        assert_eq!(answer.status, 303, "{}", answer.text());
        hand
    }

    pub fn cookie(&self, name: &str) -> &str {
        self.cookies.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

/// Encodes a form value.
pub fn form_encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let one = |byte: u8| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}
