//! Starts that are refused, and reloads of the configuration.
//!
//! A daemon that cannot run reports what is wrong, where, and what to do, on stderr, with an exit
//! code from sysexits.h, and prints nothing on stdout. Stale files of another daemon (a socket, a
//! lock) are no obstacle; live ones are left alone. A valid configuration that is reloaded changes
//! permissions; an invalid one changes nothing.

use nix::sys::signal::Signal;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use testkit::daemon::site::Site;
use testkit::daemon::{Daemon, is_there, wait_for};

/// A box that does not start: its exit code, and what stderr must tell.
fn assert_refused(story: &Daemon, code: i32, words: &[&str]) {
    let ended = story.run_to_end();
    assert_eq!(ended.code, Some(code), "{}", ended.err);
    assert_eq!(ended.out, "", "stdout is for `ready` alone");
    for word in words {
        assert!(ended.err.contains(word), "no {word:?} in: {}", ended.err);
    }
    assert!(!ended.err.contains("panicked"), "{}", ended.err);
}

fn sim() -> Daemon {
    Daemon::new(Site::sim(&[1]))
}

/// As `assert_refused`, for the manual page: the exit code tells, even if nobody reads stderr.
#[test]
fn h4_manual_that_cannot_be_written_ends_with_its_code_when_stderr_is_closed() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(testkit::program("hushbox", "hushboxd"));
    command.arg("--manual").arg(file.path()).stderr(writer);
    assert_eq!(command.status().unwrap().code(), Some(73));
}

#[test]
fn second_daemon_on_a_data_directory_is_refused() {
    let mut story = sim();
    story.start();
    let pid = story.pid().to_string();
    assert_refused(&story, 74, &["another hushboxd", &pid, "stop it first", "[box] data"]);
    // The first one noticed nothing, and its socket is where it was.
    story.client_over_unix("hello monitor").ok("ping");
    story.client("hello monitor").ok("ping");
    // Killed, it leaves lock and socket behind: the next start takes both over.
    story.kill();
    assert!(is_there(&story.socket()) && is_there(&story.data().join("lock")));
    story.start();
    story.client_over_unix("hello monitor").ok("ping");
    story.stop();
    assert!(!is_there(&story.socket()), "an orderly stop leaves no socket");
}

/// Paths of all files and folders below a folder, without sockets.
fn list_all(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![folder.to_owned()];
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => found.extend(list_all(&entry.path())),
            kind if kind.is_file() => found.push(entry.path()),
            _ => {}
        }
    }
    found
}

#[test]
fn h4_files_of_the_box_are_closed_to_others_whatever_the_umask() {
    let under = &["sh", "-c", "umask 000; exec \"$0\" \"$@\""];
    let mut story = Daemon::new(Site { under, ..Site::sim(&[1]) });
    story.start();
    let mut feed = story.client("hello cti");
    feed.ok("call start device=1001 call=c1");
    feed.ok("record start device=1001");
    feed.ok("call stop device=1001 call=c1");
    story.stop();
    for path in list_all(&story.data()) {
        let mode = std::fs::metadata(&path).unwrap().mode() & 0o777;
        assert_eq!(mode & 0o027, 0, "{} has mode {mode:o}", path.display());
    }
}

#[test]
fn unusable_data_directory_is_named() {
    let story = sim();
    std::fs::write(story.data(), "a file").unwrap();
    assert_refused(&story, 78, &["[box] data", "which is not a folder, allowed a folder"]);
    let story = sim();
    std::fs::create_dir_all(story.data().join("keys")).unwrap();
    std::fs::write(story.data().join("keys/box.key"), "short").unwrap();
    assert_refused(&story, 74, &["keys/box.key", "5 bytes", "backup"]);
    let story = sim();
    std::fs::create_dir_all(story.data().join("keys")).unwrap();
    std::fs::write(story.data().join("keys/recipients.txt"), "age1nonsense\n").unwrap();
    assert_refused(&story, 74, &["keys/recipients.txt"]);
}

#[test]
fn invalid_config_reports_every_error() {
    let story = sim();
    let text = std::fs::read_to_string(story.config()).unwrap();
    let bad = text
        .replace("codec = \"pcm\"", "codec = \"mp3\"")
        .replace("holdback_ms = 600", "holdback_ms = 6\nhold_back = 1")
        .replace("percent", "per_cent");
    std::fs::write(story.config(), bad).unwrap();
    let words =
        ["config.toml", "found \"mp3\", allowed \"opus\"", "hold_back", "per_cent", "line 14"];
    assert_refused(&story, 78, &words);
    std::fs::write(story.config(), "[box\n").unwrap();
    assert_refused(&story, 78, &["config.toml", "line 1"]);
    std::fs::remove_file(story.config()).unwrap();
    assert_refused(&story, 78, &["config.toml", "No such file", "--config"]);
}

#[test]
fn usage_and_help_exit_codes() {
    let run = |word| Command::new(env!("CARGO_BIN_EXE_hushboxd")).arg(word).output().unwrap();
    let help = run("--help");
    assert!(help.status.success());
    let text = String::from_utf8(help.stdout).unwrap();
    for word in ["--config", "SIGTERM", "SIGHUP", "Try it:"] {
        assert!(text.contains(word), "no {word} in: {text}");
    }
    assert!(run("--version").status.success());
    let wrong = run("--nonesuch");
    assert!(!wrong.status.success() && wrong.stdout.is_empty() && !wrong.stderr.is_empty());
}

#[test]
fn reload_of_invalid_config_changes_nothing() {
    let mut story = sim();
    story.start();
    let mut agent = story.client("hello agent user=a1");
    story.client("hello cti").ok("call start device=1001 call=c1");
    agent.err("update 2 \"x\"", "denied");
    let recording = agent.ok("record start").get("recording").to_owned();
    let good = std::fs::read_to_string(story.config()).unwrap();
    let more = good.replace("\"update.1\"", "\"update.1\", \"update.2\"");

    std::fs::write(story.config(), more.replace("[audio]", "[audoi]")).unwrap();
    story.signal(Signal::SIGHUP);
    wait_for("the complaint", || story.log().contains("audoi").then_some(()));
    agent.err("update 2 \"x\"", "denied");

    std::fs::write(story.config(), &more).unwrap();
    story.signal(Signal::SIGHUP);
    agent.await_news("update.2", |line| line.text.contains(",update.2"));
    let update = agent.ok("update 2 \"x\"");
    assert_eq!(update.get("recording"), recording, "what runs goes on");

    // Without on-demand recording (D7) agents' sessions end; what runs goes on.
    std::fs::write(story.config(), good.replace("enabled = true", "enabled = false")).unwrap();
    story.signal(Signal::SIGHUP);
    let lines = agent.until_closed();
    assert_eq!(lines.last().map(|line| line.code()), Some("on-demand-off"), "{lines:?}");
    let mut late = testkit::daemon::client::Client::tcp(story.port);
    late.err("hello agent user=a1", "on-demand-off");
    let calls = story.client("hello monitor").ask("calls").rows;
    assert_eq!(calls[0].get("recording"), recording);
    story.stop();
}
