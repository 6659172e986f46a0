//! A daemon under its unit's filter of system calls, without privileges.
//!
//! `packaging/systemd/hushboxd.service` names the sets of system calls that are allowed; systemd
//! says what is in them. The same filter is applied to a real daemon, which then does what it does
//! in a day. Otherwise a forbidden call is found in the field: once, `setup` was refused on the
//! appliance because of an `fchown` that changed nothing. As on the appliance, there are no time
//! zones but those that the program contains.

#![allow(clippy::disallowed_methods, reason = "real boxes live in real time")]

use seccompiler::{BpfMap, apply_filter, compile_from_json};
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::CommandExt;
use std::process::Command;
use testkit::daemon::site::Site;
use testkit::daemon::{Daemon, RATE, await_ended, await_position};

const UNIT: &str = include_str!("../../packaging/systemd/hushboxd.service");
/// What the wrapped process is asked to run.
const ASKED: &str = "STORY_UNDER_FILTER";
const NOBODY: u32 = 65534;
const TECHNICIAN: &str = "[[technician]]\nname = \"field\"\npin = \
    \"$argon2id$v=19$m=19456,t=2,p=1$BtIvqaj9XY7ZBxJ22c5iVw$\
    TyjQ7ygFTOcEHsXrsnq57JJbStAteqOOA0/cG+bNoiU\"\n";

/// systemd's sets of system calls, by name.
fn sets() -> BTreeMap<String, Vec<String>> {
    let said = Command::new("systemd-analyze").args(["--no-pager", "syscall-filter"]).output();
    let said = said.expect("systemd-analyze: run `make setup`").stdout;
    let mut sets: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut name = String::new();
    for line in String::from_utf8(said).unwrap().lines() {
        let word = line.trim();
        if line.starts_with('@') {
            word.clone_into(&mut name);
        } else if !word.is_empty() && !word.starts_with('#') {
            sets.entry(name.clone()).or_default().push(word.to_owned());
        }
    }
    sets
}

/// The system calls of a set, with those of the sets in it.
fn calls_of(word: &str, sets: &BTreeMap<String, Vec<String>>) -> BTreeSet<String> {
    match sets.get(word) {
        Some(words) => words.iter().flat_map(|word| calls_of(word, sets)).collect(),
        None => BTreeSet::from([word.to_owned()]),
    }
}

/// What the unit leaves.
fn allowed() -> BTreeSet<String> {
    let sets = sets();
    let mut allowed = calls_of("@default", &sets);
    for line in UNIT.lines() {
        let Some(words) = line.strip_prefix("SystemCallFilter=") else { continue };
        let (less, words) = match words.strip_prefix('~') {
            Some(words) => (true, words),
            None => (false, words),
        };
        for call in words.split_whitespace().flat_map(|word| calls_of(word, &sets)) {
            let _ = if less { allowed.remove(&call) } else { allowed.insert(call) };
        }
    }
    allowed
}

fn compiled(calls: &[&String]) -> Option<BpfMap> {
    let rules: Vec<String> =
        calls.iter().map(|call| format!("{{\"syscall\":\"{call}\"}}")).collect();
    let text = format!(
        "{{\"box\":{{\"mismatch_action\":{{\"errno\":1}},\"match_action\":\"allow\",\
         \"filter\":[{}]}}}}",
        rules.join(",")
    );
    compile_from_json(text.as_bytes(), std::env::consts::ARCH.try_into().unwrap()).ok()
}

/// Becomes the daemon, under the filter. Calls that this machine's kind has not are left out.
#[test]
#[ignore = "the story starts it, in a process of its own"]
fn under_the_filter() {
    let asked = std::env::var(ASKED).expect("the story says what to run");
    let allowed = allowed();
    assert!(allowed.contains("read") && !allowed.contains("fchown"), "{allowed:?}");
    let known: Vec<&String> = allowed.iter().filter(|call| compiled(&[call]).is_some()).collect();
    assert!(known.len() > 200, "{known:?}");
    let filters = compiled(&known).unwrap();
    // The harness has begun a line.
    println!();
    apply_filter(&filters["box"]).unwrap();
    let mut words = asked.split_whitespace();
    let error = Command::new(words.next().unwrap()).args(words).exec();
    panic!("{asked}: {error}");
}

/// As on the appliance the system knows no time zones: the box brings them. A user who may not
/// mount runs the inner command as it is.
const OUTER: &str = r#"
if unshare --mount true 2>/dev/null; then
    exec unshare --mount sh -ec "
        for zones in /usr/share/zoneinfo /usr/lib/zoneinfo /etc/zoneinfo; do
            [ ! -d \$zones ] || mount -t tmpfs none \$zones
        done
        $0" sh "$@"
fi
exec sh -ec "$0" sh "$@""#;

/// The words that start a daemon that way.
fn wrapped() -> &'static [&'static str] {
    let myself = std::env::current_exe().unwrap();
    let inner = format!(
        "{ASKED}=\"$*\" exec setpriv --bounding-set=-all --groups={NOBODY} --regid=0 {} \
         --exact syscall_filter::under_the_filter --ignored --nocapture",
        myself.display()
    );
    Vec::leak(vec!["sh", "-c", OUTER, String::leak(inner)])
}

/// A call, recorded and blacked out.
fn call(story: &Daemon) {
    let mut pbx = story.client("hello cti user=pbx");
    let mut watcher = story.client("hello monitor");
    watcher.ok("watch");
    let mut agent = story.client_over_unix("hello agent user=a1");
    pbx.ok("call start device=1001 call=c1 ani=5551234");
    let began = agent.ok("record start");
    let (recording, from) = (began.get("recording").to_owned(), began.number("from"));
    await_position(&mut watcher, 1, from + RATE);
    agent.ok("blackout start");
    await_position(&mut watcher, 1, from + RATE * 2);
    agent.ok("blackout stop");
    agent.ok("update 1 \"Jane Roe\"");
    pbx.ok("call stop device=1001 call=c1");
    await_ended(&mut watcher, &[&recording]);
    story.show(&recording).assert_ledger();
}

/// What a technician does in a visit.
fn visit(story: &Daemon) {
    let mut technician = story.client_over_unix("hello technician user=field pin=2468");
    for line in ["status", "channels", "alarms", "keys", "log level info", "stats", "config check"]
    {
        technician.ok(line);
    }
    technician.ok("enrol WS-042 kinds=agent");
    assert!(technician.ok("config set box.name cabinet-7").is("restart", "no"));
    technician.ok("config set box.time_zone Europe/Berlin");
    technician.ok("config pin field pin=97531");
    technician.ok("config reload");
    technician.ok("selftest");
    technician.ok("shutdown");
}

#[test]
fn h1_h2_daemon_needs_no_system_call_its_unit_forbids() {
    let mut site = Site::sim(&[2]);
    site.codec = "opus";
    site.more.push_str("[[listen]]\naddress = \"127.0.0.1:0\"\ntls = true\n");
    site.more.push_str(TECHNICIAN);
    site.under = wrapped();
    let mut story = Daemon::start_new(site);
    call(&story);
    visit(&story);
    assert_eq!(story.ends().code(), Some(0), "{}", story.log());
    story.assert_verified();
}
