//! The story of the live level meters: real box, real tool, terminals made of air.
//!
//! Sixty-four channels are recorded while two technicians look, and nothing is lost. A slow line is
//! not flooded. Of a channel that is blacked out only that is seen.

#![allow(clippy::disallowed_methods, reason = "real boxes live in real time")]

use nix::sys::termios::BaudRate;
use std::process::Command;
use std::time::{Duration, Instant};
use testkit::daemon::site::Site;
use testkit::daemon::{Daemon, await_ended, until};
use testkit::pty::Terminal;

const TECHNICIAN: &str = "[[technician]]\nname = \"field\"\npin = \"$argon2id$v=19$m=19456,t=2,p=1$\
    BtIvqaj9XY7ZBxJ22c5iVw$TyjQ7ygFTOcEHsXrsnq57JJbStAteqOOA0/cG+bNoiU\"\n";

fn with_channels(count: usize) -> Daemon {
    let mut site = Site::sim(&vec![1; count]);
    site.seconds = 10;
    site.more.push_str(TECHNICIAN);
    Daemon::start_new(site)
}

/// The same, but how loud a channel is changes five times a second, from -60 to 0 dB.
fn with_restless_channels(count: usize) -> Daemon {
    let mut site = Site::sim(&vec![1; count]);
    site.seconds = 10;
    site.more.push_str(TECHNICIAN);
    let mut story = Daemon::new(site);
    for (id, sound) in &story.sounds {
        let loud = |nth: usize| 1 << ((nth / 1600 * 7 + usize::from(*id) * 3) % 11);
        let sound: Vec<i16> =
            sound.iter().enumerate().map(|(nth, sample)| sample / loud(nth)).collect();
        testkit::daemon::audio::write_wav(&story.path(&format!("{id}.wav")), 1, &sound);
    }
    story.start();
    story
}

fn meters(story: &Daemon, speed: BaudRate) -> Terminal {
    let mut command = Command::new(testkit::program("hushbox-cli", "hushbox"));
    command.args(["meters", "--user", "field", "--config", "config.toml"]);
    command.current_dir(story.folder.path());
    let mut terminal = Terminal::run_at(&mut command, (80, 24), speed);
    terminal.on_seeing("PIN: ", "2468\n");
    terminal
}

#[test]
fn g6_h2_meters_on_two_consoles_cost_64_channels_nothing() {
    let story = with_channels(64);
    let mut feed = story.client("hello cti");
    let mut watcher = story.client_over_unix("hello technician user=field pin=2468");
    watcher.ok("watch");
    let mut recordings = Vec::new();
    let mut two = [meters(&story, BaudRate::B38400), meters(&story, BaudRate::B9600)];
    for terminal in &mut two {
        terminal.on_seeing("1-64 of 64 channels", "");
    }
    for channel in 1..=64 {
        feed.ok(&format!("call start device={} call=c{channel}", 1000 + channel));
        let answer = feed.ok(&format!("record start device={}", 1000 + channel));
        recordings.push(answer.get("recording").to_owned());
    }
    for terminal in &mut two {
        terminal.sees("64 recordings", |screen| marks(screen, "R") == 64);
        // Noise is loud: every bar is seen.
        terminal.sees("64 bars", |screen| marks(screen, "#") >= 64);
    }
    // A blackout, as both see it.
    feed.ok("blackout start agent=a7");
    for terminal in &mut two {
        let seen = terminal.on_seeing("MASKED", "");
        let line = seen.lines().find(|line| line.contains("MASKED")).unwrap();
        let cell: String = line.chars().take(25).collect();
        assert!(cell.starts_with("  7 1007  R MASKED"), "{line}");
        assert!(!cell.contains(['#', '|', '!', '~', 'x']) && !cell.contains("-"), "{line}");
    }
    feed.ok("blackout stop agent=a7");
    for terminal in &mut two {
        terminal.sees("no mask", |screen| !screen.contents().contains("MASKED"));
        terminal.types("q");
        assert_eq!(terminal.ends(), Some(0));
    }
    for channel in 1..=64 {
        feed.ok(&format!("call stop device={} call=c{channel}", 1000 + channel));
    }
    let names: Vec<&str> = recordings.iter().map(String::as_str).collect();
    await_ended(&mut watcher, &names);
    for recording in &recordings {
        let record = story.show(recording);
        record.assert_ledger();
        assert_eq!(record.number("/ledger/lost"), 0, "{recording}");
    }
    story.assert_verified();
}

/// How often a mark is seen among the channels.
fn marks(screen: &vt100::Screen, mark: &str) -> usize {
    let text = screen.contents();
    let lines: Vec<&str> = text.lines().collect();
    lines.iter().skip(1).take(22).map(|line| line.matches(mark).count()).sum()
}

#[test]
fn h2_meters_of_64_channels_are_usable_at_9600_baud() {
    let story = with_restless_channels(64);
    let mut terminal = meters(&story, BaudRate::B9600);
    terminal.sees("bars", |screen| marks(screen, "#") >= 64);
    let (began, before) = (Instant::now(), terminal.shown);
    // Ten pictures that differ.
    let mut last = String::new();
    for _ in 0..10 {
        last = terminal.sees("another picture", |screen| screen.contents() != last);
    }
    let bytes = terminal.shown - before;
    let ms = u64::try_from(began.elapsed().as_millis()).unwrap();
    println!("{bytes} bytes in {ms} ms, {} a second", bytes * 1000 / ms.max(1));
    // What waited in the terminal before counts too.
    let line = 960 * ms / 1000 + 2000;
    assert!(bytes <= line, "{bytes} bytes in {ms} ms are too much for 9600 baud");
    terminal.types("q");
    assert_eq!(terminal.ends(), Some(0));
}

#[test]
fn g6_masked_channel_reports_no_level() {
    let story = with_channels(2);
    let mut watcher = story.client_over_unix("hello technician user=field pin=2468");
    let mut feed = story.client("hello cti");
    feed.ok("call start device=1001 call=c1");
    feed.ok("record start device=1001");
    let heard = |row: &str| row.split(',').next().is_some_and(|level| level != "-96");
    until("a level", || heard(watcher.ask("meters").rows[0].get("level_db")).then_some(()));
    feed.ok("blackout start agent=a1");
    let end = Instant::now() + Duration::from_secs(1);
    while Instant::now() < end {
        let rows = watcher.ask("meters").rows;
        assert_eq!((rows.len(), rows[0].get("channels")), (1, "1,2"));
        assert_eq!(rows[0].get("marks"), "rb,-");
        for key in ["level_db", "hold_db", "lost"] {
            assert!(rows[0].get(key).starts_with("-,"), "{}", rows[0].text);
        }
        let rows = watcher.ask("channels").rows;
        let levels = [rows[0].get("level_db"), rows[0].get("peak_db"), rows[0].get("recording")];
        assert_eq!((rows[0].get("state"), levels), ("masked", ["-96", "-96", "yes"]));
    }
    feed.ok("blackout stop agent=a1");
    until("a level again", || heard(watcher.ask("meters").rows[0].get("hold_db")).then_some(()));
    let row = &watcher.ask("meters from=2 limit=5").rows[0];
    assert_eq!((row.get("channels"), row.get("marks")), ("2", "-"));
    // Without a terminal the levels are told once.
    let mut command = Command::new(testkit::program("hushbox-cli", "hushbox"));
    command.args(["meters", "--user", "field", "--config", "config.toml"]);
    command.current_dir(story.folder.path()).stdin(std::process::Stdio::piped());
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"2468\n").unwrap();
    let out = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    assert!(out.starts_with("channel  device  recorded  state"), "{out}");
    assert!(out.contains("      1    1001  yes       "), "{out}");
}
