//! The kernel refuses threads to a box that runs: it records on, and answers `busy`.

use nix::sys::resource::{Resource, getrlimit};
use std::process::Command;
use testkit::daemon::client::{Client, Line};
use testkit::daemon::site::Site;
use testkit::daemon::{Daemon, RATE, await_ended, await_position};

const TECHNICIAN: &str = "hello technician user=field pin=2468";
const FIELD: &str = "[[technician]]\nname = \"field\"\npin = \"$argon2id$v=19$m=19456,t=2,p=1$\
     BtIvqaj9XY7ZBxJ22c5iVw$TyjQ7ygFTOcEHsXrsnq57JJbStAteqOOA0/cG+bNoiU\"\n";

/// No limit of processes holds for root, so root starts the box as a user who has none of root's
/// rights but to read and write all files.
const AS_NOBODY: [&str; 6] = [
    "setpriv",
    "--reuid=65534",
    "--regid=65534",
    "--clear-groups",
    "--inh-caps=+dac_override",
    "--ambient-caps=+dac_override",
];

/// How many processes and threads the box's user may have; `None`: as many as before.
fn limit_threads(the_box: &Daemon, most: Option<u64>) {
    let before = getrlimit(Resource::RLIMIT_NPROC).unwrap().0;
    let soft = format!("--nproc={}:", most.unwrap_or(before));
    let status =
        Command::new("prlimit").args(["--pid", &the_box.pid().to_string(), &soft]).status();
    assert!(status.expect("prlimit: run `make setup`").success());
}

/// The kernel itself refuses threads to a box that runs.
#[test]
fn h4_box_without_threads_records_on_and_answers_busy() {
    let under: &'static [&'static str] =
        if nix::unistd::geteuid().is_root() { &AS_NOBODY } else { &[] };
    let site = Site { more: FIELD.to_owned(), under, ..Site::sim(&[1]) };
    let mut the_box = Daemon::start_new(site);
    let mut watcher = the_box.client_over_unix(TECHNICIAN);
    watcher.ok("watch");
    let mut feed = the_box.client("hello cti");
    let mut agent = the_box.client("hello agent user=a1 machine=WS-1");
    feed.ok("call start device=1001 call=c1");
    limit_threads(&the_box, Some(1));
    let recording = agent.ok("record start").get("recording").to_owned();
    Client::unix(&the_box.socket()).err(TECHNICIAN, "busy");
    let alarm = |line: &Line, what: &str| line.get("what") == what && line.get("alarm") == "506";
    watcher.await_news("alarm 506", |line| alarm(line, "alarm"));
    watcher.err("config check", "busy");
    limit_threads(&the_box, None);
    Client::unix(&the_box.socket()).ok(TECHNICIAN);
    watcher.ok("config check");
    watcher.await_news("the end of alarm 506", |line| alarm(line, "alarm-over"));
    await_position(&mut watcher, 1, 2 * RATE);
    agent.ok("record stop");
    await_ended(&mut watcher, &[&recording]);
    the_box.stop();
}
