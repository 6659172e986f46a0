//! A recorded screen: a real X display, the real capture client, a real daemon, and a player.
//!
//! A desktop shows a counter, as a row of squares, and, during the blackout, a card number, as
//! another. Afterwards ffmpeg plays the export: the counter agrees with the audio, no picture shows
//! the number, and what was dark was silent. Every file of the daemon is searched for video, by its
//! first bytes, and each video found is played: none shows the number. Without the blackout the
//! same search finds it.

#![allow(clippy::disallowed_methods, reason = "a display and its clock are real")]

use std::path::Path;
use std::process::Command;
use std::time::Duration;
use testkit::daemon::client::Client;
use testkit::daemon::site::Site;
use testkit::daemon::{Daemon, RATE, let_pass, wait_for};
use testkit::display::capture_client::CaptureClient;
use testkit::display::{CARD, Display, ShownPicture, play};

/// Pictures a second.
const FPS: u64 = 10;
/// How long the counter stands still.
const COUNT_MS: u64 = 500;

/// Where the sound is now.
fn position(watcher: &mut Client) -> u64 {
    watcher.ask("channels").rows[0].number("position")
}

/// What one telling left.
struct Told {
    story: Daemon,
    recording: String,
    /// The counter, and where in the recording's sound it began to show, in milliseconds.
    counts: Vec<(u64, u64)>,
    /// When the number showed, at the latest from and at least until.
    card: (u64, u64),
}

fn tell(blackout: bool) -> Told {
    let more = format!(
        "[[agent]]\nusername = \"jane\"\nname = \"Jane\"\nroles = [\"agent\"]\nscreen = true\n\
         [screen]\nfps = {FPS}\nkbps = 400\n"
    );
    let story = Daemon::start_new(Site { more, seal: false, codec: "opus", ..Site::sim(&[1]) });
    let mut desktop = Display::start();
    let station = CaptureClient::start(story.folder.path(), story.port, &desktop.name());
    let mut pbx = story.client("hello cti user=pbx");
    let mut watcher = story.client("hello monitor");
    let mut jane = story.client("hello agent user=jane machine=WS-1");
    wait_for("the screen can be recorded", || {
        let state = jane.ask("status").rows.remove(0);
        state.is("screen", "off").then_some(())
    });
    pbx.ok("call start device=1001 call=c1 agent=jane");
    desktop.count(0);
    let began = jane.ok("record start");
    let (recording, from) = (began.get("recording").to_owned(), began.number("from"));
    let mut counts = Vec::new();
    let mut card = (0, 0);
    for count in 1..=24 {
        desktop.count(count);
        let at = position(&mut watcher).saturating_sub(from) * 1000 / RATE;
        counts.push((count, at));
        if count == 10 {
            if blackout {
                jane.ok("blackout start");
            }
            desktop.card(true);
            card.0 = at;
        }
        if count == 15 {
            desktop.card(false);
            if blackout {
                jane.ok("blackout stop");
            }
            card.1 = at;
        }
        let_pass(Duration::from_millis(COUNT_MS));
    }
    jane.ok("record stop");
    wait_for("the screen's end", || {
        let shown = story.show(&recording);
        shown.0.pointer("/screen/complete").and_then(serde_json::Value::as_bool).filter(|is| *is)
    });
    drop(station);
    Told { story, recording, counts, card }
}

/// All video anywhere in the box's folder, played.
fn search(story: &Daemon) -> Vec<ShownPicture> {
    let mut seen = Vec::new();
    for (path, bytes) in story.data_files() {
        let starts = bytes.windows(4).enumerate();
        let starts = starts.filter(|(_, four)| *four == [0x1a, 0x45, 0xdf, 0xa3]);
        for (start, _) in starts {
            let piece = story.path("piece.webm");
            std::fs::write(&piece, &bytes[start..]).unwrap();
            let found = play(&piece);
            assert!(!found.is_empty(), "video in {} that does not play", path.display());
            seen.extend(found);
            std::fs::remove_file(&piece).unwrap();
        }
    }
    seen
}

#[test]
fn g1_h7_screen_is_in_sync_and_masked_everywhere() {
    let told = tell(true);
    let story = &told.story;
    story.assert_verified();
    let (file, manifest) = story.export(&told.recording, "webm");
    assert_eq!(manifest.text("/export/format"), "webm");
    assert!(manifest.number("/screen/ledger/masked") >= 2000);
    let seen = play(&file);
    println!("{}", manifest.0["screen"]);
    in_step(&told, &seen);
    assert!(seen.iter().all(|picture| picture.card != Some(CARD)), "the number is shown");
    // A player that stands in the middle of it shows black.
    let middle = (told.card.0 + told.card.1) / 2;
    let dark = |picture: &&ShownPicture| picture.ms.abs_diff(middle) < 300;
    assert!(seen.iter().filter(dark).count() > 3);
    assert!(seen.iter().filter(dark).all(|picture| picture.black), "not black under the blackout");
    silent(&file, (told.card.0 + 200, told.card.1 - 200));
    in_a_browser(&told, &file, middle);
    let all = search(story);
    assert!(all.iter().any(|picture| picture.count == Some(5)), "the search finds what is stored");
    assert!(all.iter().all(|picture| picture.card != Some(CARD)), "the number is on the disk");
    let (mkv, _) = story.export(&told.recording, "mkv");
    assert_eq!(play(&mkv).len(), seen.len());

    let open = tell(false);
    let found = search(&open.story);
    assert!(found.iter().any(|picture| picture.card == Some(CARD)), "the search finds the number");
}

/// The counter agrees with the sound within a picture's interval.
fn in_step(told: &Told, seen: &[ShownPicture]) {
    let mut late = Vec::new();
    for (count, at) in &told.counts {
        let Some(first) = seen.iter().find(|picture| picture.count == Some(*count)) else {
            continue;
        };
        assert!(
            first.ms + 1000 / FPS + 20 >= *at,
            "{count} is shown before it was: {first:?}, {at}"
        );
        late.push(first.ms.saturating_sub(*at));
    }
    late.sort_unstable();
    assert!(late.len() >= 12, "{} counts are shown: {late:?}", late.len());
    let middle = late[late.len() / 2];
    // What is drawn is seen at the next look, and ffmpeg shows it at the next twentieth.
    assert!(middle <= 1000 / FPS + 70, "the pictures are {middle} ms late: {late:?}");
}

/// A browser plays it, finds any moment in it, and shows black under the blackout.
fn in_a_browser(told: &Told, file: &Path, dark_ms: u64) {
    let seconds = |ms: u64| f64::from(u32::try_from(ms).unwrap()) / 1000.0;
    let (before, after) = (told.counts[4].1, told.counts[20].1);
    let moments = [seconds(after), seconds(dark_ms), seconds(before)];
    let seen = testkit::video_player::watch(file, &moments);
    println!("{seen}");
    let number = |at: &str| seen.pointer(at).and_then(serde_json::Value::as_f64).unwrap_or(-1.0);
    let played = play(file);
    let length = seconds(played.last().unwrap().ms);
    assert!((number("/duration") - length).abs() < 1.0, "{length}: {seen}");
    assert!(number("/ended") >= number("/duration") - 0.5, "{seen}");
    assert!(number("/width") > 0.0 && number("/height") > 0.0, "{seen}");
    assert!(number("/sound") > 0.5 && number("/sound_bytes") > 100.0, "{seen}");
    for (n, moment) in moments.iter().enumerate() {
        assert!((number(&format!("/moments/{n}/at")) - moment).abs() < 0.1, "{seen}");
    }
    assert!(number("/moments/0/most") > 150.0 && number("/moments/2/most") > 150.0, "{seen}");
    assert!(number("/moments/1/most") < 8.0, "a browser shows something under it: {seen}");
}

/// Nothing is heard between these moments.
fn silent(file: &Path, (from, to): (u64, u64)) {
    let output = Command::new("ffmpeg")
        .args(["-loglevel", "error", "-i"])
        .arg(file)
        .args(["-map", "0:a", "-ar", "8000", "-f", "s16le", "-"])
        .output()
        .unwrap();
    let sound: Vec<i16> =
        output.stdout.chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]])).collect();
    let at = |ms: u64| usize::try_from(ms * RATE / 1000).unwrap();
    assert!(sound[at(from)..at(to)].iter().all(|sample| *sample == 0), "sound under the blackout");
    assert!(sound[..at(1000)].iter().any(|sample| sample.unsigned_abs() > 100), "and none before");
}
