//! A recorder, the portal and a mail server, as processes in their own folder.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use testkit::process::Process;
use testkit::program;
pub use testkit::wait::{TIMEOUT, wait_for};

/// Password of every account.
pub const PASSWORD: &str = "correct horse battery";

/// Options of a stack.
#[derive(Clone)]
pub struct StackOptions {
    /// TLS, as browsers use; off for requests by hand.
    pub has_tls: bool,
    /// The portal believes the address in `X-Forwarded-For`.
    pub is_behind_proxy: bool,
    /// More of `[login]`.
    pub login_toml: &'static str,
    pub has_mail: bool,
    /// `[on_demand] web`.
    pub has_web: bool,
    /// More of `[audio]`.
    pub audio: &'static str,
    /// More of `[box]`.
    pub site: &'static str,
}

impl Default for StackOptions {
    fn default() -> StackOptions {
        StackOptions {
            has_tls: false,
            is_behind_proxy: false,
            login_toml: "",
            has_mail: false,
            has_web: true,
            audio: "",
            site: "",
        }
    }
}

/// All processes and their folder.
pub struct Stack {
    pub folder: tempfile::TempDir,
    hushboxd: Option<Process>,
    portal: Option<Process>,
    mail: Option<Process>,
    pub port: u16,
    /// Port of the recorder's loopback listener.
    box_port: u16,
    pub url: String,
}

const USERNAMES: [&str; 5] = ["jdoe", "asmith", "quiet", "boss", "nomail"];

impl Stack {
    pub fn new(plan: &StackOptions) -> Stack {
        let folder = tempfile::Builder::new().prefix("hushbox-portal-").tempdir().unwrap();
        let mut stack = Stack {
            folder,
            hushboxd: None,
            portal: None,
            mail: None,
            port: 0,
            box_port: 0,
            url: String::new(),
        };
        stack.write_file("config.toml", &box_config(plan));
        stack.start_box();
        let mail_port = if plan.has_mail { stack.start_mail() } else { 0 };
        stack.write_file("portal.toml", &portal_config(plan, mail_port));
        for name in USERNAMES {
            let email = if name == "nomail" { "" } else { &format!("{name}@example.org") };
            stack.run_user_command(&["add", name, "--email", email], PASSWORD);
        }
        stack.start_portal();
        stack
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write_file(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn open_log(&self, name: &str) -> std::fs::File {
        let mut file = std::fs::OpenOptions::new();
        file.create(true).append(true).open(self.path(name)).unwrap()
    }

    pub fn start_box(&mut self) {
        let mut command = Command::new(program("hushbox", "hushboxd"));
        command.arg("--config").arg(self.path("config.toml")).stderr(self.open_log("box.log"));
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
        command.arg("--config").arg(self.path("portal.toml")).stderr(self.open_log("portal.log"));
        let process = Process::start(&mut command);
        let ready = process.line();
        self.url = ready.split("url=").nth(1).expect(&ready).to_owned();
        self.port = self.url.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap();
        // A restarted portal keeps its address, as in production.
        let toml = std::fs::read_to_string(self.path("portal.toml")).unwrap();
        let toml = toml.replace("127.0.0.1:0", &format!("127.0.0.1:{}", self.port));
        self.write_file("portal.toml", &toml);
        self.portal = Some(process);
    }

    pub fn portal_pid(&self) -> u32 {
        self.portal.as_ref().unwrap().pid()
    }

    pub fn stop_portal(&mut self) {
        self.portal.take().unwrap().terminate();
    }

    fn start_mail(&mut self) -> u16 {
        let mut command = Command::new("/usr/bin/python3");
        command.args(["-u", "-c", MAIL_SERVER]).stderr(self.open_log("mail.log"));
        let process = Process::start(&mut command);
        let port = process.line().parse().unwrap();
        self.mail = Some(process);
        port
    }

    /// Waits for the next e-mail and returns its recipient too.
    pub fn next_mail(&self) -> (String, String) {
        let line = self.mail.as_ref().unwrap().line();
        let letter: BTreeMap<String, String> = serde_json::from_str(&line).unwrap();
        (letter["to"].clone(), letter["text"].clone())
    }

    /// Runs `hushbox-portal user …`.
    pub fn run_user_command(&self, words: &[&str], input: &str) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hushbox-portal"));
        command.arg("--config").arg(self.path("portal.toml")).arg("user").args(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A command that reads no password may have ended already.
        drop(writeln!(child.stdin.take().unwrap(), "{input}"));
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "user {words:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Sends a line as the PBX.
    pub fn send_cti(&self, line: &str) -> String {
        self.send_command("cti", line)
    }

    /// Says hello as `kind` over loopback and sends one line.
    pub fn send_command(&self, kind: &str, line: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.box_port)).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream.write_all(format!("hello {kind}\n{line}\nquit\n").as_bytes()).unwrap();
        let lines = BufReader::new(stream).lines().map_while(Result::ok);
        let lines = lines.filter(|line| !line.starts_with("event") && !line.starts_with("state"));
        let lines: Vec<String> = lines.collect();
        assert!(lines[1].starts_with("ok session="), "{lines:?}");
        lines[2..lines.len() - 1].join("\n")
    }

    /// Sends one line to the recorder as a supervisor.
    pub fn send_as_supervisor(&self, user: &str, line: &str) -> String {
        let mut stream = UnixStream::connect(self.path("hushbox.sock")).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        let lines = format!("hello supervisor user={user}\n{line}\nquit\n");
        stream.write_all(lines.as_bytes()).unwrap();
        let lines = BufReader::new(stream).lines().map_while(Result::ok);
        let lines: Vec<String> = lines.filter(|line| !line.starts_with("event")).collect();
        assert!(lines[1].starts_with("ok session="), "{lines:?}");
        lines[2..lines.len() - 1].join("\n")
    }

    /// Number of occurrences of a text in a log.
    pub fn count_in_log(&self, log: &str, text: &str) -> usize {
        let log = std::fs::read_to_string(self.path(log)).unwrap_or_default();
        log.matches(text).count()
    }

    /// Changes the recorder's configuration while it runs.
    pub fn change_box_config(&self, from: &str, to: &str) {
        let toml = std::fs::read_to_string(self.path("config.toml")).unwrap();
        assert!(toml.contains(from), "{from}");
        self.write_file("config.toml", &toml.replace(from, to));
        let read = "the configuration was loaded";
        let before = self.count_in_log("box.log", read);
        self.hushboxd.as_ref().unwrap().signal(nix::sys::signal::Signal::SIGHUP);
        wait_for("the new configuration", || {
            (self.count_in_log("box.log", read) > before).then_some(())
        });
    }

    /// Connects over loopback and says hello, for tests that send several lines.
    pub fn connect_with_hello(&self, hello: &str) -> TcpStream {
        let mut stream = TcpStream::connect(("127.0.0.1", self.box_port)).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream.write_all(format!("{hello}\n").as_bytes()).unwrap();
        stream
    }

    /// Runs `hushbox` with the recorder's configuration.
    pub fn run_tool(&self, words: &[&str]) -> String {
        let mut command = Command::new(program("hushbox-cli", "hushbox"));
        command.args(words).arg("--config").arg(self.path("config.toml"));
        let output = command.output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "hushbox {words:?}: {err}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs `hushbox show` on a recording.
    pub fn show_recording(&self, recording: &str) -> serde_json::Value {
        serde_json::from_str(&self.run_tool(&["show", recording, "--json"])).unwrap()
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

/// A mail server that accepts every e-mail and prints it as one line of JSON.
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

fn box_config(plan: &StackOptions) -> String {
    let mut text = format!(
        r#"
[box]
name = "box-01"
data = "data"
{}
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
        plan.site, plan.has_web, plan.audio
    );
    let demo = testkit::root().join("board/models/demo");
    for (id, sides) in [(1, "mono"), (2, "stereo")] {
        let source = demo.join(format!("100{id}.wav"));
        let channel = format!("id = {id}, device = \"100{id}\", sides = \"{sides}\"");
        writeln!(text, "  {{ {channel}, source = {source:?} }},").unwrap();
    }
    text + BOX_CONFIG_TAIL
}

/// Roles, agents and recording rules.
const BOX_CONFIG_TAIL: &str = r#"]
[[role]]
name = "agent"
permissions = [
  "record.start", "record.stop", "blackout", "screen", "update.1", "update.3", "password",
]
[[role]]
name = "supervisor"
permissions = ["records.all", "play", "export", "protect", "monitor", "admin", "password"]
[[role]]
name = "redactor"
permissions = ["redact"]
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
roles = ["supervisor", "redactor"]
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

fn portal_config(plan: &StackOptions, mail_port: u16) -> String {
    let (scheme, tls) = match (plan.has_tls, plan.is_behind_proxy) {
        (true, _) => ("https", "own"),
        (false, true) => ("https", "proxy"),
        (false, false) => ("http", "none"),
    };
    let tool = program("hushbox-cli", "hushbox");
    let mut text = format!(
        "[portal]\naddress = \"127.0.0.1:0\"\nurl = \"{scheme}://127.0.0.1:0\"\n\
         data = \"portal\"\nbox = \"hushbox.sock\"\ntls = \"{tls}\"\n\
         [login]\n{}\n[unseal]\ntool = {tool:?}\nidentity = \"data/keys/identity.txt\"\n",
        plan.login_toml
    );
    if plan.has_mail {
        writeln!(
            text,
            "[mail]\nserver = \"127.0.0.1\"\nport = {mail_port}\ntls = \"none\"\n\
             from = \"Hushbox <hushbox@example.org>\""
        )
        .unwrap();
    }
    text
}
