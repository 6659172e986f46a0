//! The self-test of a real daemon, its report, and the report's signature.
//!
//! The tone takes the whole path of a recording while others record; the daemon signs the report,
//! and a changed byte is detected. A call takes the tone's channel back.

#![allow(clippy::disallowed_methods, reason = "real boxes live in real time")]

use std::process::{Command, Stdio};
use testkit::daemon::client::{Client, Line, Reply};
use testkit::daemon::site::Site;
use testkit::daemon::{Daemon, await_ended, wait_for};

const TECHNICIAN: &str = "[[technician]]\nname = \"field\"\npin = \"$argon2id$v=19$m=19456,t=2,p=1$\
    BtIvqaj9XY7ZBxJ22c5iVw$TyjQ7ygFTOcEHsXrsnq57JJbStAteqOOA0/cG+bNoiU\"\n";
const HELLO: &str = "hello technician user=field pin=2468";

/// Quiet noise on all lines, so that levels are those of telephones.
fn started(mut site: Site) -> Daemon {
    site.more.push_str(TECHNICIAN);
    let mut story = Daemon::new(site);
    for (id, sound) in &story.sounds {
        let sides = story.site.channels.iter().find(|channel| channel.id == *id).unwrap().sides;
        let sound: Vec<i16> = sound.iter().map(|sample| sample / 16).collect();
        testkit::daemon::audio::write_wav(&story.path(&format!("{id}.wav")), sides, &sound);
    }
    story.start();
    story
}

fn row<'a>(reply: &'a Reply, test: &str) -> &'a Line {
    reply.rows.iter().find(|row| row.is("test", test)).unwrap_or_else(|| panic!("no {test}"))
}

fn results(reply: &Reply) -> String {
    reply.rows.iter().map(|row| row.text.clone() + "\n").collect()
}

/// Nothing of a test stays, whatever it was.
fn assert_nothing_stays(story: &Daemon) {
    let known = [
        "config.last-good.toml",
        "hushbox.sock",
        "journal",
        "keys",
        "lock",
        "media",
        "summary",
        "tls",
    ];
    for entry in std::fs::read_dir(story.data()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(known.contains(&name.as_str()), "{name}");
    }
}

#[test]
fn g1_h2_selftest_proves_blackout_and_spares_recordings() {
    for seal in [true, false] {
        let mut site = Site::sim(&[1, 2, 1, 1]);
        site.seal = seal;
        let mut story = started(site);
        let mut technician = story.client_over_unix(HELLO);
        let mut feed = story.client("hello cti");
        let mut recordings = Vec::new();
        for device in [1002, 1003] {
            feed.ok(&format!("call start device={device} call=c{device}"));
            let answer = feed.ok(&format!("record start device={device}"));
            recordings.push(answer.get("recording").to_owned());
        }
        let reply = technician.ask("selftest");
        let all = results(&reply);
        assert!(reply.end.text.starts_with("ok passed="), "{}", reply.end.text);
        for test in ["box", "clock", "channel", "tone", "crosstalk", "blackout", "seal", "space"] {
            assert!(row(&reply, test).is("result", "pass"), "{test}:\n{all}");
        }
        assert_eq!(reply.rows.iter().filter(|row| row.is("test", "channel")).count(), 4);
        // A blackout reaches back 300 ms and lasts a second; the turn adds its own.
        let blackout = row(&reply, "blackout");
        assert!(blackout.is("channel", "1"), "the first idle one: {}", blackout.text);
        assert!((9000..16_000).contains(&blackout.number("masked_frames")), "{}", blackout.text);
        assert!(row(&reply, "tone").is("level_db", "-12"), "{all}");
        let disk = row(&reply, "disk");
        assert!(disk.number("syncs") > 0 && disk.get("histogram").contains("ms:"), "{all}");
        // Who was recorded meanwhile lost nothing, and hears no tone.
        feed.ok("call stop device=1002 call=c1002");
        feed.ok("call stop device=1003 call=c1003");
        wait_for("the ends", || {
            let ended = |id: &String| !story.show(id).0["end"].is_null();
            recordings.iter().all(ended).then_some(())
        });
        for recording in &recordings {
            let record = story.show(recording);
            record.assert_ledger();
            assert_eq!((record.number("/ledger/lost"), record.number("/ledger/masked")), (0, 0));
        }
        assert_nothing_stays(&story);
        story.assert_verified();
        story.stop();
    }
}

#[test]
fn h2_selftest_second_is_busy_and_call_takes_channel() {
    let story = started(Site::sim(&[1]));
    let mut first = story.client_over_unix(HELLO);
    let mut second = story.client_over_unix(HELLO);
    let mut feed = story.client("hello cti");
    first.send("selftest");
    wait_for("the tone", || {
        // The meters tell when the tone is on: it is louder than the line.
        let row = &second.ask("meters").rows[0];
        (row.get("level_db") == "-15").then_some(())
    });
    second.err("selftest", "busy");
    feed.ok("call start device=1001 call=c1");
    let recording = feed.ok("record start device=1001").get("recording").to_owned();
    let reply = first.reply();
    for test in ["tone", "crosstalk", "blackout"] {
        let row = row(&reply, test);
        assert!(row.is("result", "skip") && row.get("text").contains("call"), "{}", row.text);
    }
    second.ok("watch");
    feed.ok("call stop device=1001 call=c1");
    await_ended(&mut second, &[&recording]);
    let record = story.show(&recording);
    record.assert_ledger();
    assert_eq!(record.number("/ledger/masked"), 0);
    // What was kept is the line, not the tone: no louder than the line is.
    let (path, _) = story.export(&recording, "wav");
    let (samples, _, _) = testkit::daemon::audio::read_wav(&path);
    let top = samples.iter().map(|sample| sample.unsigned_abs()).max().unwrap();
    assert!(!samples.is_empty() && top <= 2048, "{top}");
    assert_nothing_stays(&story);
}

fn tool(story: &Daemon, words: &[&str], typed: &str) -> (Option<i32>, String) {
    let mut command = Command::new(testkit::program("hushbox-cli", "hushbox"));
    command.args(words).current_dir(story.folder.path());
    let streams = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = streams.spawn().unwrap();
    // It may end without having asked.
    drop(std::io::Write::write_all(&mut child.stdin.take().unwrap(), typed.as_bytes()));
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

#[test]
fn h2_h5_selftest_report_signature_detects_changes() {
    let story = started(Site::sim(&[1, 1]));
    let words = ["selftest", "--user", "field", "--report", "report.txt"];
    let (code, said) = tool(&story, &words, "2468\n");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("verdict  PASSED") && said.contains("report: report.txt"), "{said}");
    assert!(said.lines().all(|line| line.chars().count() <= 80), "{said}");
    let check = |words: &[&str]| tool(&story, &[&["verify-report"], words].concat(), "");
    let (code, said) = check(&["report.txt"]);
    assert!(code == Some(0) && said.contains("authentic") && said.contains("passed"), "{said}");
    let key = story.path("data/keys/box.pub");
    let key = key.to_str().unwrap();
    assert_eq!(check(&["report.txt", "--key", key]).0, Some(0));
    // Any byte, on the page or in the rows.
    let report = std::fs::read(story.path("report.txt")).unwrap();
    for at in (0..report.len()).step_by(97).chain([report.len() - 2]) {
        let mut bytes = report.clone();
        bytes[at] = if bytes[at] == b'7' { b'8' } else { b'7' };
        std::fs::write(story.path("edited.txt"), &bytes).unwrap();
        let (code, said) = check(&["edited.txt", "--key", key]);
        assert_eq!(code, Some(1), "byte {at}: {said}");
    }
    std::fs::write(story.path("short.txt"), &report[..report.len() - 1]).unwrap();
    assert_eq!(check(&["short.txt"]).0, Some(1));
    // Another box did not sign it.
    let other = started(Site::sim(&[1]));
    let key = other.path("data/keys/box.pub");
    let (code, said) = check(&["report.txt", "--key", key.to_str().unwrap()]);
    assert!(code == Some(1) && said.contains("another key"), "{said}");
    // What is there is not overwritten; what is not there is said.
    assert_eq!(tool(&story, &words, "2468\n").0, Some(73));
    assert_eq!(check(&["nothing.txt"]).0, Some(66));
}

#[test]
fn h2_selftest_that_skipped_the_blackout_does_not_say_passed() {
    let story = started(Site::sim(&[1]));
    let mut feed = story.client("hello cti");
    feed.ok("call start device=1001 call=c1");
    feed.ok("record start device=1001");
    let words = ["selftest", "--user", "field", "--report", "report.txt"];
    let (code, said) = tool(&story, &words, "2468\n");
    assert_eq!(code, Some(0), "{said}");
    let verdict = "verdict  passed, but NOT TESTED: tone, crosstalk, blackout (";
    assert!(said.contains(verdict) && !said.contains("PASSED"), "{said}");
    assert!(said.lines().all(|line| line.chars().count() <= 80), "{said}");
    let check = || tool(&story, &["verify-report", "report.txt"], "");
    let (code, said) = check();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.ends_with("passed, but NOT TESTED: tone, crosstalk, blackout\n"), "{said}");
    // A report with the verdict that version 0.1 wrote is still authentic.
    let report = std::fs::read_to_string(story.path("report.txt")).unwrap();
    let line = report.lines().find(|line| line.starts_with("  verdict")).unwrap();
    let passed = line.split(['(', ' ']).filter_map(|word| word.parse::<u32>().ok()).next();
    let passed = passed.unwrap();
    let old = format!("  verdict  PASSED: {passed} passed, 0 failed, 3 could not be tried");
    std::fs::write(story.path("report.txt"), report.replace(line, &old)).unwrap();
    let (code, said) = check();
    assert!(code == Some(0) && said.contains("NOT TESTED"), "{said}");
}

#[test]
fn g6_h2_selftest_reports_nothing_of_masked_channel() {
    let story = started(Site::sim(&[1, 1]));
    let mut technician = story.client_over_unix(HELLO);
    let mut feed = story.client("hello cti");
    feed.ok("call start device=1001 call=c1");
    feed.ok("record start device=1001");
    feed.ok("blackout start agent=a1");
    let reply = technician.ask("selftest");
    let of = |channel: &str| {
        let mut rows = reply.rows.iter().filter(|row| row.is("test", "channel"));
        rows.find(|row| row.is("channel", channel)).unwrap()
    };
    let masked = of("1");
    assert!(masked.is("result", "skip") && !masked.text.contains("_db"), "{}", masked.text);
    assert!(of("2").text.contains("level_db="));
    // Its own line was dead for the whole time.
    let client: &mut Client = &mut feed;
    client.ok("blackout stop agent=a1");
}
