//! A real browser, headless, that plays a file and tells what there was to see and to hear.
//!
//! The page and the film come from a small server of ours, which gives any range that is asked for
//! as a portal would; the page answers by a POST. Nothing of it is kept.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

const PAGE: &str = include_str!("page.html");

/// A slow machine starts a browser in so long.
const TIMEOUT: Duration = Duration::from_secs(90);

/// The browser, ended with the test.
struct Browser(Child);

impl Drop for Browser {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Plays a file and stops at these moments, in seconds.
pub fn watch(film: &Path, moments: &[f64]) -> Value {
    let film = Arc::new(std::fs::read(film).unwrap());
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let (telling, told) = channel();
    std::thread::spawn(move || {
        for stream in server.incoming().flatten() {
            let (film, telling) = (Arc::clone(&film), telling.clone());
            // Whoever hangs up has what it wanted.
            std::thread::spawn(move || drop(serve(stream, &film, &telling)));
        }
    });
    let profile = tempfile::Builder::new().prefix("hushbox-browser-").tempdir().unwrap();
    let moments: Vec<String> = moments.iter().map(ToString::to_string).collect();
    let mut command = Command::new("chromium");
    command.args(["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"]);
    command.args(["--disable-dev-shm-usage", "--disable-background-networking"]);
    command.args(["--autoplay-policy=no-user-gesture-required", "--remote-debugging-port=0"]);
    command.arg(format!("--user-data-dir={}", profile.path().display()));
    command.arg(format!("http://127.0.0.1:{port}/#{}", moments.join(",")));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let browser = Browser(command.spawn().expect("chromium is there after make setup"));
    let said = told.recv_timeout(TIMEOUT).expect("the browser says what it saw");
    drop(browser);
    said
}

/// Answers one request.
fn serve(mut stream: TcpStream, film: &[u8], telling: &Sender<Value>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let (mut range, mut length) = (None, 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim().to_lowercase();
        if let Some(from) = line.strip_prefix("range: bytes=") {
            range = from.split('-').next().and_then(|from| from.parse::<usize>().ok());
        }
        if let Some(count) = line.strip_prefix("content-length: ") {
            length = count.parse().unwrap_or(0);
        }
        if line.is_empty() {
            break;
        }
    }
    if first.starts_with("POST /told") {
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        drop(telling.send(serde_json::from_slice(&body).unwrap_or(Value::Null)));
        return stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
    }
    if first.starts_with("GET /film.webm") {
        let (from, all) = (range.unwrap_or(0).min(film.len()), film.len());
        let status = if range.is_some() { "206 Partial Content" } else { "200 OK" };
        let last = all.saturating_sub(1);
        write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Type: video/webm\r\nAccept-Ranges: bytes\r\n\
             Content-Range: bytes {from}-{last}/{all}\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n",
            all - from
        )?;
        return stream.write_all(&film[from..]);
    }
    let found = if first.starts_with("GET / ") { PAGE } else { "" };
    let status = if found.is_empty() { "404 Not Found" } else { "200 OK" };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{found}",
        found.len()
    )
}
