//! The real console at a terminal of 80 × 24, compared with committed screens.
//!
//! A daemon with steady sounds runs, the tool runs at a terminal in memory, and the screen is
//! compared with `tests/console/screens`; figures that differ from run to run are replaced. With
//! `BLESS=1` the screens are written again, and so are the pictures of `docs/operations.md`.

#![allow(clippy::disallowed_methods, reason = "real boxes live in real time")]

use std::path::{Path, PathBuf};
use std::process::Command;
use testkit::daemon::site::Site;
use testkit::daemon::{Daemon, await_position};
use testkit::pty::Terminal;

const TECHNICIAN: &str = "[[technician]]\nname = \"field\"\npin = \"$argon2id$v=19$m=19456,t=2,p=1$\
    BtIvqaj9XY7ZBxJ22c5iVw$TyjQ7ygFTOcEHsXrsnq57JJbStAteqOOA0/cG+bNoiU\"\n";

/// Channels of a steady level each: -12, -18, -24 dB and so on; the last one is silent.
fn steady() -> Daemon {
    let mut site = Site::sim(&[1; 8]);
    (site.seal, site.seconds) = (false, 10);
    site.more.push_str(TECHNICIAN);
    let mut story = Daemon::new(site);
    for (id, sound) in &story.sounds {
        let peak = if *id == 8 { 0 } else { 16384_i16 >> id };
        let square = |nth: usize| if nth % 8 < 4 { peak } else { -peak };
        let sound: Vec<i16> = (0..sound.len()).map(square).collect();
        testkit::daemon::audio::write_wav(&story.path(&format!("{id}.wav")), 1, &sound);
    }
    story.start();
    story
}

fn console(story: &Daemon) -> Terminal {
    let mut command = Command::new(testkit::program("hushbox-cli", "hushbox"));
    command.args(["console", "--user", "field", "--config", "config.toml"]);
    let mut terminal = Terminal::run(command.current_dir(story.folder.path()));
    terminal.on_seeing("PIN: ", "2468\n");
    terminal.on_seeing("hushbox> ", "");
    terminal
}

/// Clears the screen and says something.
fn say(terminal: &mut Terminal, command: &str) {
    terminal.types("\x0c");
    terminal.sees("a clear screen", |screen| screen.contents().trim() == "hushbox>");
    terminal.types(&format!("{command}\r"));
}

/// The answer is there, and the prompt after it.
fn answered(terminal: &mut Terminal, text: &str) {
    terminal.sees(text, |screen| {
        let seen = screen.contents();
        seen.contains(text) && seen.trim_end().ends_with("\nhushbox>")
    });
}

/// Times, sizes and measurements are another each time; how wide they are, too.
fn masked(screen: &str) -> String {
    let (mut text, mut measured) = (String::new(), false);
    for line in screen.lines() {
        let goes_on = measured && line.starts_with("                   ");
        let words: Vec<&str> = line.split_whitespace().take(2).collect();
        let of = |test: &str| words == [test, "pass"];
        measured = goes_on || ["clock", "disk", "space"].into_iter().any(of);
        if words == ["boot", "number"] {
            continue;
        }
        let line: String = match (measured, goes_on) {
            (_, true) => continue,
            (true, false) => line.chars().take(17).collect::<String>() + " …",
            (false, false) => line.to_owned(),
        };
        // How many are left is how well the rows of measurements fit.
        if let Some((_, how)) = line.split_once(" more lines") {
            text += &format!("-- … more lines{}\n", how.trim_end());
            continue;
        }
        let words =
            line.split(' ').map(|word| match word.bytes().filter(u8::is_ascii_digit).count() {
                0..=4 => word.to_owned(),
                _ => "…".to_owned(),
            });
        let words: Vec<String> = words.collect();
        let line = words.join(" ");
        let line = line.trim_end();
        // A column as wide as a figure is another each time as well.
        let figures = line.contains('…') || line.contains("position");
        let parts: Vec<&str> = line.split(' ').filter(|part| !part.is_empty()).collect();
        text += &(if figures { parts.join("  ") } else { line.to_owned() } + "\n");
    }
    text
}

fn root(of: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(of)
}

/// Holds a screen against the committed one.
fn compare(name: &str, terminal: &Terminal) {
    let screen = terminal.emulated();
    let (seen, path) =
        (masked(&screen.contents()), root(&format!("tests/console/screens/{name}.txt")));
    let picture = root(&format!("docs/pictures/console-{name}.svg"));
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &seen).unwrap();
        std::fs::write(&picture, testkit::svg::svg(screen)).unwrap();
    }
    let known = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(known, seen, "{name} looks otherwise; BLESS=1 cargo test --test console");
    assert!(picture.exists(), "{picture:?}");
    let text = std::fs::read_to_string(root("docs/operations.md")).unwrap();
    assert!(text.contains(&format!("pictures/console-{name}.svg")), "{name} is not shown");
}

#[test]
fn h2_console_screens_equal_the_committed_ones() {
    let story = steady();
    let mut feed = story.client("hello cti");
    let mut terminal = console(&story);
    say(&mut terminal, "help");
    terminal.on_seeing("more lines", "");
    compare("help", &terminal);
    terminal.types("q");
    for channel in [2, 3] {
        feed.ok(&format!("call start device={} call=c{channel}", 1000 + channel));
        feed.ok(&format!("record start device={}", 1000 + channel));
    }
    feed.ok("blackout start agent=a3");
    // Until every level is known, and positions have digits enough to be masked.
    await_position(&mut feed, 1, 12_000);
    say(&mut terminal, "channels");
    answered(&mut terminal, "1008");
    compare("channels", &terminal);
    say(&mut terminal, "alarms");
    answered(&mut terminal, "403: ");
    compare("alarms", &terminal);
    say(&mut terminal, "meters");
    terminal.sees("all meters", |screen| {
        let seen = screen.contents();
        ["MASKED", "silent", "-18", "-48", "REC"].iter().all(|text| seen.contains(text))
    });
    compare("meters", &terminal);
    terminal.types("q");
    terminal.sees("the prompt", |screen| screen.contents().trim_end().ends_with("hushbox>"));
    say(&mut terminal, "selftest");
    terminal.sees("the report's end", |screen| screen.contents().contains("more lines"));
    compare("selftest", &terminal);
    terminal.types("q");
    terminal.on_seeing("hushbox> ", "exit\r");
    assert_eq!(terminal.ends(), Some(0));
}
