//! A box, the portal beside it, and a mail server, as processes in a folder of their own.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use testkit::process::Process;
use testkit::program;
pub use testkit::wait::{TIMEOUT, until};

/// Everybody's.
pub const PASSWORD: &str = "correct horse battery";

/// How a house differs from the usual one.
#[derive(Clone)]
pub struct Plan {
    /// TLS, as browsers come; without, for requests by hand.
    pub tls: bool,
    /// More of `[login]`.
    pub login: &'static str,
    pub mail: bool,
    /// `[on_demand] web`.
    pub web: bool,
    /// More of `[audio]`.
    pub audio: &'static str,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan { tls: false, login: "", mail: false, web: true, audio: "" }
    }
}

/// All of it.
pub struct Stack {
    pub folder: tempfile::TempDir,
    hushboxd: Option<Process>,
    portal: Option<Process>,
    mail: Option<Process>,
    pub port: u16,
    /// Of the box's loopback listener.
    box_port: u16,
    pub url: String,
}

const PEOPLE: [&str; 5] = ["jdoe", "asmith", "quiet", "boss", "nomail"];

impl Stack {
    pub fn new(plan: &Plan) -> Stack {
        let folder = tempfile::Builder::new().prefix("hushbox-portal-").tempdir().unwrap();
        let mut house = Stack {
            folder,
            hushboxd: None,
            portal: None,
            mail: None,
            port: 0,
            box_port: 0,
            url: String::new(),
        };
        house.write("config.toml", &box_config(plan));
        house.start_box();
        let mail_port = if plan.mail { house.start_mail() } else { 0 };
        house.write("portal.toml", &portal_config(plan, mail_port));
        for name in PEOPLE {
            let email = if name == "nomail" { "" } else { &format!("{name}@example.org") };
            house.user(&["add", name, "--email", email], PASSWORD);
        }
        house.start_portal();
        house
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn log(&self, name: &str) -> std::fs::File {
        let mut file = std::fs::OpenOptions::new();
        file.create(true).append(true).open(self.path(name)).unwrap()
    }

    pub fn start_box(&mut self) {
        let mut command = Command::new(program("hushbox", "hushboxd"));
        command.arg("--config").arg(self.path("config.toml")).stderr(self.log("box.log"));
        let process = Process::start(&mut command);
        let ready = process.line();
        let port = ready.split("127.0.0.1:").nth(1).and_then(|rest| rest.split(',').next());
        self.box_port = port.and_then(|port| port.parse().ok()).expect(&ready);
        self.hushboxd = Some(process);
    }

    pub fn kill_box(&mut self) {
        self.hushboxd = None;
    }

    pub fn start_portal(&mut self) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hushbox-portal"));
        command.arg("--config").arg(self.path("portal.toml")).stderr(self.log("portal.log"));
        let process = Process::start(&mut command);
        let ready = process.line();
        self.url = ready.split("url=").nth(1).expect(&ready).to_owned();
        self.port = self.url.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap();
        // A portal that is started again keeps its address, as a real one does.
        let toml = std::fs::read_to_string(self.path("portal.toml")).unwrap();
        let toml = toml.replace("127.0.0.1:0", &format!("127.0.0.1:{}", self.port));
        self.write("portal.toml", &toml);
        self.portal = Some(process);
    }

    pub fn stop_portal(&mut self) {
        self.portal.take().unwrap().terminate();
    }

    fn start_mail(&mut self) -> u16 {
        let mut command = Command::new("/usr/bin/python3");
        command.args(["-u", "-c", MAIL_SERVER]).stderr(self.log("mail.log"));
        let process = Process::start(&mut command);
        let port = process.line().parse().unwrap();
        self.mail = Some(process);
        port
    }

    /// The next letter, and to whom it went.
    pub fn letter(&self) -> (String, String) {
        let line = self.mail.as_ref().unwrap().line();
        let letter: BTreeMap<String, String> = serde_json::from_str(&line).unwrap();
        (letter["to"].clone(), letter["text"].clone())
    }

    /// Runs `hushbox-portal user …`.
    pub fn user(&self, words: &[&str], input: &str) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hushbox-portal"));
        command.arg("--config").arg(self.path("portal.toml")).arg("user").args(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // One that reads no password may have ended already.
        drop(writeln!(child.stdin.take().unwrap(), "{input}"));
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "user {words:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The PBX says something.
    pub fn pbx(&self, line: &str) -> String {
        self.ask("cti", line)
    }

    /// A client over loopback says hello as `kind`, then one line.
    pub fn ask(&self, kind: &str, line: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.box_port)).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream.write_all(format!("hello {kind}\n{line}\nquit\n").as_bytes()).unwrap();
        let lines = BufReader::new(stream).lines().map_while(Result::ok);
        let lines = lines.filter(|line| !line.starts_with("event") && !line.starts_with("state"));
        let lines: Vec<String> = lines.collect();
        assert!(lines[1].starts_with("ok session="), "{lines:?}");
        lines[2..lines.len() - 1].join("\n")
    }

    /// A supervisor says one line to the box itself.
    pub fn supervise(&self, user: &str, line: &str) -> String {
        let mut stream = UnixStream::connect(self.path("hushbox.sock")).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        let lines = format!("hello supervisor user={user}\n{line}\nquit\n");
        stream.write_all(lines.as_bytes()).unwrap();
        let lines = BufReader::new(stream).lines().map_while(Result::ok);
        let lines: Vec<String> = lines.filter(|line| !line.starts_with("event")).collect();
        assert!(lines[1].starts_with("ok session="), "{lines:?}");
        lines[2..lines.len() - 1].join("\n")
    }

    /// How often something stands in a log.
    pub fn logged(&self, log: &str, text: &str) -> usize {
        let log = std::fs::read_to_string(self.path(log)).unwrap_or_default();
        log.matches(text).count()
    }

    /// Changes the box's configuration while it runs.
    pub fn reconfigure(&self, from: &str, to: &str) {
        let toml = std::fs::read_to_string(self.path("config.toml")).unwrap();
        assert!(toml.contains(from), "{from}");
        self.write("config.toml", &toml.replace(from, to));
        let read = "the configuration was read again";
        let before = self.logged("box.log", read);
        self.hushboxd.as_ref().unwrap().signal(nix::sys::signal::Signal::SIGHUP);
        until("the new configuration", || (self.logged("box.log", read) > before).then_some(()));
    }

    /// A connection over loopback that has said hello, for whoever needs more than a line.
    pub fn connect(&self, hello: &str) -> TcpStream {
        let mut stream = TcpStream::connect(("127.0.0.1", self.box_port)).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream.write_all(format!("{hello}\n").as_bytes()).unwrap();
        stream
    }

    /// Runs `hushbox` on the box's configuration.
    pub fn tool(&self, words: &[&str]) -> String {
        let mut command = Command::new(program("hushbox-cli", "hushbox"));
        command.args(words).arg("--config").arg(self.path("config.toml"));
        let output = command.output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "hushbox {words:?}: {err}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// All about a recording.
    pub fn show(&self, recording: &str) -> serde_json::Value {
        serde_json::from_str(&self.tool(&["show", recording, "--json"])).unwrap()
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for name in ["portal.log", "box.log", "mail.log"] {
                let text = std::fs::read_to_string(self.path(name)).unwrap_or_default();
                eprintln!("---- {name}\n{text}");
            }
        }
    }
}

/// A mail server that takes every letter and tells of it, one line of JSON each.
const MAIL_SERVER: &str = r#"
import asyncio, json
from email import message_from_bytes, policy
from aiosmtpd.smtp import SMTP, Envelope
class Box:
    async def handle_DATA(self, server, session, envelope: Envelope):
        letter = message_from_bytes(envelope.content, policy=policy.default)
        head = "".join(f"{name}: {value}\n" for name, value in letter.items())
        text = head + "\n" + letter.get_content()
        print(json.dumps({"to": ",".join(envelope.rcpt_tos), "text": text}))
        return "250 taken"
async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(Box()), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1])
    await server.serve_forever()
asyncio.run(main())
"#;

fn box_config(plan: &Plan) -> String {
    let mut text = format!(
        r#"
[box]
name = "box-01"
data = "data"
[on_demand]
enabled = true
web = {}
desktop = true
[[listen]]
address = "127.0.0.1:0"
[[listen]]
unix = "hushbox.sock"
[local]
kinds = ["cti", "monitor", "screen"]
[audio]
codec = "pcm"
holdback_ms = 1000
{}
[blackout]
lead_ms = 500
[store]
reserve_mb = 1
[[board]]
name = "demo"
kind = "sim"
rate = 8000
buffer_ms = 2000
activity = "cti"
channels = [
"#,
        plan.web, plan.audio
    );
    let demo = testkit::root().join("board/models/demo");
    for (id, sides) in [(1, "mono"), (2, "stereo")] {
        let source = demo.join(format!("100{id}.wav"));
        let channel = format!("id = {id}, device = \"100{id}\", sides = \"{sides}\"");
        writeln!(text, "  {{ {channel}, source = {source:?} }},").unwrap();
    }
    text + PEOPLE_OF_THE_BOX
}

/// Roles, agents, and what may be recorded.
const PEOPLE_OF_THE_BOX: &str = r#"]
[[role]]
name = "agent"
permissions = [
  "record.start", "record.stop", "blackout", "screen", "update.1", "update.3", "password",
]
[[role]]
name = "supervisor"
permissions = ["records.all", "play", "export", "protect", "monitor", "admin", "password"]
[[role]]
name = "own"
permissions = ["record.start", "records.own", "play"]
[[agent]]
username = "jdoe"
name = "Jane Doe"
phones = ["1001"]
roles = ["agent"]
[[agent]]
username = "asmith"
name = "Ann Smith"
phones = ["1002"]
roles = ["agent"]
screen = true
[[agent]]
username = "quiet"
phones = ["1003"]
roles = ["own"]
[[agent]]
username = "boss"
name = "The Boss"
phones = ["1009"]
roles = ["supervisor"]
[[agent]]
username = "nomail"
phones = ["1008"]
roles = ["agent"]
[[schedule]]
name = "on demand"
type = "on-demand"
retention_days = 90
[fields]
1 = "Caller name"
3 = "Subject"
"#;

fn portal_config(plan: &Plan, mail_port: u16) -> String {
    let (scheme, tls) = if plan.tls { ("https", "own") } else { ("http", "none") };
    let tool = program("hushbox-cli", "hushbox");
    let mut text = format!(
        "[portal]\naddress = \"127.0.0.1:0\"\nurl = \"{scheme}://127.0.0.1:0\"\n\
         data = \"portal\"\nbox = \"hushbox.sock\"\ntls = \"{tls}\"\n\
         [login]\n{}\n[unseal]\ntool = {tool:?}\nidentity = \"data/keys/identity.txt\"\n",
        plan.login
    );
    if plan.mail {
        writeln!(
            text,
            "[mail]\nserver = \"127.0.0.1\"\nport = {mail_port}\ntls = \"none\"\n\
             from = \"Hushbox <hushbox@example.org>\""
        )
        .unwrap();
    }
    text
}
