//! A headless Chromium, told over the WebDriver protocol what to open and what to look for.
//!
//! Just enough for a page or two; the portal's own stories have a whole browser. It ends when
//! dropped.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longer than anything takes on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(60);

pub struct Chromium {
    driver: Child,
    port: u16,
    session: String,
    _profile: tempfile::TempDir,
}

impl Chromium {
    pub fn start() -> Chromium {
        let mut command = Command::new("chromedriver");
        command.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut driver = command.spawn().expect("chromedriver: run `make setup`");
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = lines.by_ref().map(Result::unwrap).find_map(|line| {
            let port = line.split("started successfully on port ").nth(1)?;
            port.trim_end_matches('.').parse().ok()
        });
        std::thread::spawn(move || lines.for_each(drop));
        let profile = tempfile::tempdir().unwrap();
        let (session, port) = (String::new(), port.expect("its port"));
        let mut browser = Chromium { driver, port, session, _profile: profile };
        let folder = format!("--user-data-dir={}", browser._profile.path().display());
        let autoplay = "--autoplay-policy=no-user-gesture-required";
        let args = ["--headless=new", "--no-sandbox", "--disable-gpu", autoplay, &folder];
        let options = json!({ "browserName": "chrome", "goog:chromeOptions": { "args": args } });
        let asked = json!({ "capabilities": { "alwaysMatch": options } });
        let made = browser.ask("/session", &asked);
        browser.session = format!("/session/{}", made["sessionId"].as_str().unwrap());
        browser
    }

    fn ask(&self, path: &str, what: &Value) -> Value {
        let path = format!("{}{path}", self.session);
        let answer = request(self.port, ("POST", &path), &what.to_string()).unwrap();
        let mut answer: Value = serde_json::from_str(&answer).unwrap();
        answer["value"].take()
    }

    pub fn open(&self, url: &str) {
        self.ask("/url", &json!({ "url": url }));
    }

    /// What a script returns.
    pub fn js(&self, script: &str) -> Value {
        self.ask("/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Waits until an expression is true.
    #[allow(clippy::disallowed_methods, reason = "a real browser lives in real time")]
    pub fn sees(&self, expression: &str) {
        let script = format!("try {{ return !!({expression}); }} catch {{ return false; }}");
        let end = Instant::now() + TIMEOUT;
        while self.js(&script) != Value::Bool(true) {
            assert!(Instant::now() < end, "not within {TIMEOUT:?}: {expression}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // The driver takes its browser with it only when it is asked.
        drop(request(self.port, ("DELETE", &self.session), ""));
        drop(self.driver.kill());
        drop(self.driver.wait());
    }
}

/// The body of an answer. The driver keeps the connection, whatever is asked.
fn request(port: u16, (verb, path): (&str, &str), body: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let length = body.len();
    let head = format!(
        "{verb} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all((head + body).as_bytes())?;
    let (mut reader, mut line, mut size) = (BufReader::new(stream), String::new(), 0);
    while line != "\r\n" {
        line.clear();
        reader.read_line(&mut line)?;
        let lower = line.to_ascii_lowercase();
        if let Some(text) = lower.strip_prefix("content-length:") {
            size = text.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; size];
    reader.read_exact(&mut body)?;
    Ok(String::from_utf8_lossy(&body).into_owned())
}
