//! A real browser, headless, that plays a file and tells what there was to see and to hear.
//!
//! The page and the film come from a small server of ours, which gives any range that is asked for
//! as a portal would; the page leaves what it saw in `window.told`. Nothing of it is kept.

use crate::browser::Browser;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const PAGE: &str = include_str!("page.html");

/// A slow machine has started a browser and played the film by then.
const PLAYED: Duration = Duration::from_secs(90);

/// Plays a file and stops at these moments, in seconds.
pub fn watch(film: &Path, moments: &[f64]) -> Value {
    let film = Arc::new(std::fs::read(film).unwrap());
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in server.incoming().flatten() {
            let film = Arc::clone(&film);
            // Whoever hangs up has what it wanted.
            std::thread::spawn(move || drop(serve(stream, &film)));
        }
    });
    let moments: Vec<String> = moments.iter().map(ToString::to_string).collect();
    let browser = Browser::new(&format!("http://127.0.0.1:{port}"));
    browser.open(&format!("/#{}", moments.join(",")));
    browser.sees_within(PLAYED, "window.told");
    browser.js("return window.told")
}

/// Answers one request.
fn serve(mut stream: TcpStream, film: &[u8]) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut range = None;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim().to_lowercase();
        if let Some(from) = line.strip_prefix("range: bytes=") {
            range = from.split('-').next().and_then(|from| from.parse::<usize>().ok());
        }
        if line.is_empty() {
            break;
        }
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
