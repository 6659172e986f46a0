//! A daemon on an existing store, the portal, and a supervisor without a browser.

#![allow(clippy::disallowed_methods, reason = "a bench measures how long a page takes")]

use crate::programs::{program, root};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub const PASSWORD: &str = "correct horse battery";
/// Audio of the channel.
pub fn wav() -> PathBuf {
    root().join("board/models/demo/1001.wav")
}

/// The daemon and the portal.
pub struct PortalStack {
    pub portal: Running,
    _hushboxd: Running,
    /// The portal's `ready` line.
    pub ready: String,
    pub box_took: Duration,
}

impl PortalStack {
    /// Starts both in a folder that holds the recorder's `data`.
    pub fn start(at: &Path) -> PortalStack {
        write_configs(at);
        let config = |name: &str| ["--config".into(), at.join(name).into_os_string()];
        let portal = program("portal", "hushbox-portal");
        let began = Instant::now();
        let hushboxd = program("hushbox", "hushboxd");
        let (hushboxd, _) = start(Command::new(hushboxd).args(config("config.toml")));
        let box_took = began.elapsed();
        let mut add = Command::new(&portal);
        add.args(config("portal.toml")).args(["user", "add", "boss"]).stdin(Stdio::piped());
        let mut add = add.stdout(Stdio::null()).spawn().unwrap();
        writeln!(add.stdin.take().unwrap(), "{PASSWORD}").unwrap();
        assert!(add.wait().unwrap().success());
        let (portal, ready) = start(Command::new(portal).args(config("portal.toml")));
        PortalStack { portal, _hushboxd: hushboxd, ready, box_took }
    }

    pub fn supervisor(&self) -> PortalUser {
        let port = self.ready.rsplit(':').next().unwrap().parse().unwrap();
        let mut user = PortalUser { port, cookies: String::new() };
        user.log_in();
        user
    }
}

/// A child process, killed on drop.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Starts a program and returns its first line.
fn start(command: &mut Command) -> (Running, String) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (Running(child), line.trim().to_owned())
}

fn write_configs(at: &Path) {
    let text = format!(
        "[box]\nname = \"library\"\ndata = \"data\"\n[on_demand]\nenabled = true\nweb = true\n\
         [[listen]]\nunix = \"s.sock\"\n[store]\nreserve_mb = 1\n\
         [[board]]\nname = \"b\"\nkind = \"sim\"\nrate = 8000\nbuffer_ms = 200\n\
         activity = \"cti\"\n\
         channels = [{{ id = 1, device = \"1001\", sides = \"mono\", source = {:?} }}]\n\
         [[role]]\nname = \"all\"\npermissions = [\"records.all\", \"play\", \"export\"]\n\
         [[agent]]\nusername = \"boss\"\nroles = [\"all\"]\n\
         [[schedule]]\nname = \"on demand\"\ntype = \"on-demand\"\nretention_days = 3650
",
        wav()
    );
    std::fs::write(at.join("config.toml"), text).unwrap();
    let tool = program("hushbox-cli", "hushbox");
    let text = format!(
        "[portal]\nurl = \"http://127.0.0.1:0\"\naddress = \"127.0.0.1:0\"\ntls = \"none\"\n\
         data = \"portal\"\nbox = \"s.sock\"\n\
         [unseal]\ntool = {tool:?}\nidentity = \"data/keys/identity.txt\"\n"
    );
    std::fs::write(at.join("portal.toml"), text).unwrap();
}

/// HTTP client of a supervisor.
pub struct PortalUser {
    pub port: u16,
    pub cookies: String,
}

pub struct Answer {
    pub head: String,
    pub body: Vec<u8>,
    pub took: Duration,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// The text between two texts.
pub fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    text.split_once(before)?.1.split_once(after).map(|(found, _)| found)
}

impl PortalUser {
    pub fn ask(&self, first: &str, more: &str, body: &str) -> Answer {
        let began = Instant::now();
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let (port, cookies) = (self.port, &self.cookies);
        let head = format!(
            "{first} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: http://127.0.0.1:{port}\r\n\
             Cookie: {cookies}\r\n{more}Connection: close\r\n\r\n{body}"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        let took = began.elapsed();
        let end = all.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let body = all.split_off(end + 4);
        Answer { head: String::from_utf8_lossy(&all).into_owned(), body, took }
    }

    pub fn get(&self, path: &str) -> Answer {
        let answer = self.ask(&format!("GET {path}"), "", "");
        assert!(answer.head.starts_with("HTTP/1.1 2"), "{path}: {}", answer.head);
        answer
    }

    fn log_in(&mut self) {
        let form = self.get("/login");
        self.cookies = between(&form.head, "set-cookie: ", ";").unwrap().to_owned();
        let text = form.text();
        let csrf = between(&text, "name=\"csrf\" value=\"", "\"").unwrap();
        let body = format!("csrf={csrf}&username=boss&password={}", PASSWORD.replace(' ', "+"));
        let kind = "Content-Type: application/x-www-form-urlencoded";
        let more = format!("{kind}\r\nContent-Length: {}\r\n", body.len());
        let done = self.ask("POST /login", &more, &body);
        let cookie = between(&done.head, "set-cookie: hushbox=", ";");
        self.cookies = format!("hushbox={}", cookie.expect("a session"));
    }
}

/// Link behind the page's *Older*.
pub fn older(page: &str) -> Option<String> {
    let before = between(page, "name=\"before\" value=\"", "\"")?;
    Some(format!("/records?before={}", before.replace(':', "%3A")))
}

/// Recordings of a page, in order.
pub fn listed(page: &str) -> Vec<String> {
    let links = page.split("<a href=\"/records/").skip(1);
    links.filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect()
}
