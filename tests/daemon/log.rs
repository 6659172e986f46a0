//! What the daemon writes to others must never stop it or delay it: the log on stderr, `ready` on
//! stdout, notifications to the service manager. Recordings are complete whatever happens there.

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{PipeReader, PipeWriter, Write};
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;
use testkit::daemon::client::Client;
use testkit::daemon::site::Site;
use testkit::daemon::{Daemon, RATE, await_ended, await_position, wait_for};

const AGENT: &str = "hello agent user=a1 machine=WS-1";

/// A pipe whose buffer is full. No process reads it.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    fcntl(&writer, FcntlArg::F_SETPIPE_SZ(4096)).unwrap();
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    while writer.write(&[b'x'; 512]).is_ok() {}
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
    (reader, writer)
}

/// A call that is being recorded.
struct Call {
    feed: Client,
    agent: Client,
    watcher: Client,
    recording: String,
}

impl Call {
    fn begin(story: &Daemon) -> Call {
        let mut watcher = story.client_over_unix("hello monitor");
        watcher.ok("watch");
        let mut feed = story.client_over_unix("hello cti");
        feed.ok("call start device=1001 call=c1");
        let mut agent = story.client_over_unix(AGENT);
        let recording = agent.ok("record start").get("recording").to_owned();
        await_position(&mut watcher, 1, 2 * RATE);
        Call { feed, agent, watcher, recording }
    }

    /// Ends the call, and checks that its recording is whole.
    fn finish(mut self, story: &Daemon) {
        self.agent.ok("blackout start");
        self.agent.ok("blackout stop");
        self.feed.ok("call stop device=1001 call=c1");
        await_ended(&mut self.watcher, &[&self.recording]);
        let record = story.show(&self.recording);
        record.assert_ledger();
        assert_eq!(record.number("/ledger/lost"), 0);
        story.assert_verified();
    }
}

/// Each log-in and log-out is a log line.
fn cause_log_lines(story: &Daemon, count: usize) {
    for _ in 0..count {
        story.client_over_unix("hello monitor").ok("quit");
    }
}

fn counter(client: &mut Client, name: &str) -> u64 {
    let rows = client.ask("stats").rows;
    rows.iter().find(|row| row.is("name", name)).expect("a counter").number("value")
}

#[test]
fn h4_log_reader_gone_in_mid_call_costs_lines_only() {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut story = Daemon::new(Site::sim(&[1]));
    story.start_logging_to(writer);
    let mut call = Call::begin(&story);
    drop(reader);
    cause_log_lines(&story, 20);
    let alarm = call.watcher.await_news("alarm 507", |line| line.is("alarm", "507"));
    assert!(alarm.get("text").contains("log lines are lost"), "{alarm:?}");
    assert!(counter(&mut call.watcher, "hushbox_log_lines_lost_total") > 0);
    call.finish(&story);
    story.signal(Signal::SIGTERM);
    assert!(story.stdout_line().unwrap().starts_with("ready "));
    assert_eq!(story.ends().code(), Some(0));
}

#[test]
fn h4_log_that_is_never_read_delays_no_disk_job() {
    let (reader, writer) = full_pipe();
    let mut story = Daemon::new(Site::sim(&[1]));
    story.start_logging_to(writer);
    let call = Call::begin(&story);
    cause_log_lines(&story, 100);
    call.finish(&story);
    story.signal(Signal::SIGTERM);
    assert!(story.stdout_line().unwrap().starts_with("ready "));
    assert_eq!(story.ends().code(), Some(0), "the last lines are not waited for long");
    drop(reader);
}

#[test]
fn h4_stdout_closed_or_full_before_ready_delays_nothing() {
    for is_full in [false, true] {
        let story = Daemon::new(Site::sim(&[1]));
        let (reader, writer) = if is_full { full_pipe() } else { std::io::pipe().unwrap() };
        let reader = Some(reader).filter(|_| is_full);
        let log = std::fs::File::create(story.path("log")).unwrap();
        let mut command = story.command(log);
        let mut daemon = command.stdin(Stdio::null()).stdout(writer).spawn().unwrap();
        wait_for("the socket", || std::os::unix::net::UnixStream::connect(story.socket()).ok());
        Call::begin(&story).finish(&story);
        kill(Pid::from_raw(i32::try_from(daemon.id()).unwrap()), Signal::SIGTERM).unwrap();
        assert_eq!(daemon.wait().unwrap().code(), Some(0), "{}", story.log());
        assert_eq!(story.log().contains("`ready` could not be printed"), !is_full);
        drop(reader);
    }
}

#[test]
fn h4_service_manager_that_reads_nothing_delays_nothing() {
    let mut story = Daemon::new(Site::sim(&[1]));
    let path = story.path("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    let filler = UnixDatagram::unbound().unwrap();
    filler.set_nonblocking(true).unwrap();
    while filler.send_to(&[b'x'; 1024], &path).is_ok() {}
    story.site.env.push(("NOTIFY_SOCKET".to_owned(), path.display().to_string()));
    story.start();
    let call = Call::begin(&story);
    // It goes away altogether.
    drop(manager);
    call.finish(&story);
    story.stop();
}
