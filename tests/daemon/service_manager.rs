//! What the daemon reports to the service manager over a real `NOTIFY_SOCKET`, and when.
//!
//! `READY=1` comes with the first audio and not before; then watchdog pings continue as long as
//! audio moves, and the status line reports health. A stop is reported too. The log says why the
//! last run ended, which the unit leaves in the runtime folder.

use nix::sys::signal::Signal;
use std::collections::VecDeque;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use testkit::daemon::site::Site;
use testkit::daemon::{Daemon, TIMEOUT, let_pass};

/// The boot service's end of the socket.
struct BootService {
    socket: UnixDatagram,
    /// What came, a line each.
    lines: VecDeque<String>,
}

impl BootService {
    fn listen(folder: &Path) -> BootService {
        let socket = UnixDatagram::bind(folder.join("notify")).unwrap();
        socket.set_read_timeout(Some(TIMEOUT)).unwrap();
        BootService { socket, lines: VecDeque::new() }
    }

    fn next(&mut self) -> String {
        while self.lines.is_empty() {
            let mut bytes = [0; 4096];
            let count = self.socket.recv(&mut bytes).expect("nothing is told");
            let text = String::from_utf8(bytes[..count].to_vec()).unwrap();
            self.lines.extend(text.lines().map(str::to_owned));
        }
        self.lines.pop_front().unwrap()
    }

    /// Every line until one that begins so, and that one last.
    fn until(&mut self, what: &str) -> Vec<String> {
        let mut seen = Vec::new();
        for _ in 0..200 {
            seen.push(self.next());
            if seen.last().is_some_and(|line| line.starts_with(what)) {
                return seen;
            }
        }
        panic!("no {what} in {seen:?}");
    }

    /// Forgets what came so far.
    fn forget(&mut self) {
        self.lines.clear();
        self.socket.set_nonblocking(true).unwrap();
        while self.socket.recv(&mut [0; 4096]).is_ok() {}
        self.socket.set_nonblocking(false).unwrap();
    }
}

fn supervised(site: Site) -> (Daemon, BootService) {
    let mut story = Daemon::new(site);
    let boot_service = BootService::listen(story.folder.path());
    let notify = story.path("notify").display().to_string();
    let run = story.path("run").display().to_string();
    std::fs::create_dir(&run).unwrap();
    story.site.env.push(("NOTIFY_SOCKET".to_owned(), notify));
    story.site.env.push(("RUNTIME_DIRECTORY".to_owned(), run));
    (story, boot_service)
}

#[test]
fn h1_service_manager_gets_ready_watchdog_status_stop() {
    let (mut story, mut boot_service) = supervised(Site::sim(&[1]));
    story.start();
    let before = boot_service.until("READY=1");
    assert!(before.iter().any(|line| line.starts_with("EXTEND_TIMEOUT_USEC=")), "{before:?}");
    assert!(before.iter().any(|line| line.starts_with("STATUS=recovering")), "{before:?}");
    assert!(!before.iter().any(|line| line == "WATCHDOG=1"), "{before:?}");
    boot_service.until("WATCHDOG=1");
    boot_service.until("WATCHDOG=1");

    let mut feed = story.client("hello cti");
    feed.ok("call start device=1001 call=c1");
    story.client("hello agent user=a1 domain=ACME").ok("record start");
    boot_service.until("STATUS=recording 1, calls 1; no alarm");
    // What is recorded becomes durable, so it goes on being fed.
    boot_service.until("WATCHDOG=1");
    boot_service.until("WATCHDOG=1");

    story.signal(Signal::SIGTERM);
    let after = boot_service.until("STOPPING=1");
    assert!(!after.iter().any(|line| line == "READY=1"), "once is enough: {after:?}");
    assert_eq!(story.ends().code(), Some(0), "{}", story.log());
}

#[test]
fn h1_stopped_process_sends_no_watchdog_ping() {
    let (mut story, mut boot_service) = supervised(Site::sim(&[1]));
    story.start();
    boot_service.until("WATCHDOG=1");
    story.signal(Signal::SIGSTOP);
    boot_service.forget();
    let_pass(std::time::Duration::from_secs(3));
    boot_service.socket.set_nonblocking(true).unwrap();
    assert!(boot_service.socket.recv(&mut [0; 64]).is_err(), "no program fed it");
    boot_service.socket.set_nonblocking(false).unwrap();
    story.signal(Signal::SIGCONT);
    boot_service.until("WATCHDOG=1");
    story.stop();
}

#[test]
fn h1_missing_card_delays_ready_not_other_boards() {
    let missing = "[[board]]\nname = \"gone\"\nkind = \"alsa\"\npcm = \"hw:9,0\"\nrate = 8000\n\
                   channels = [{ id = 9, device = \"1009\", slots = [0] }]\n";
    let site = Site { more: missing.to_owned(), ..Site::sim(&[1]) };
    let (mut story, mut boot_service) = supervised(site);
    story.start_unready();
    let status = boot_service.until("STATUS=waiting for audio");
    let early = status.iter().any(|line| line == "READY=1" || line == "WATCHDOG=1");
    assert!(!early, "{status:?}");
    // It does what it can, and is not taken for dead.
    let mut feed = story.client_over_unix("hello cti");
    feed.ok("call start device=1001 call=c1");
    story.client_over_unix("hello agent user=a1 domain=ACME").ok("record start");
    let line = boot_service.until("STATUS=waiting for audio; recording 1");
    assert!(line.last().unwrap().contains("101 board-down"), "{line:?}");
    boot_service.until("EXTEND_TIMEOUT_USEC=");
    boot_service.until("EXTEND_TIMEOUT_USEC=");
    story.signal(Signal::SIGTERM);
    assert_eq!(story.ends().code(), Some(0), "{}", story.log());
}

#[test]
fn h1_log_reports_why_the_last_run_ended() {
    let (mut story, _boot_service) = supervised(Site::sim(&[1]));
    for (ended, told) in [
        ("watchdog killed ABRT\n", "watchdog ended the run before"),
        ("signal killed KILL\n", "the run before ended so: signal killed KILL"),
    ] {
        std::fs::write(story.path("run/ended"), ended).unwrap();
        story.start();
        story.stop();
        assert!(story.log().contains(told), "{}", story.log());
    }
    let before = story.log().matches("the run before").count();
    std::fs::write(story.path("run/ended"), "success exited 0\n").unwrap();
    story.start();
    story.stop();
    assert_eq!(story.log().matches("the run before").count(), before);
}
