//! A display that changes: real X servers, the real capture client, a real daemon, and players.
//!
//! The display grows, shrinks, gets a second monitor and loses it, a blackout lasts meanwhile, and
//! the export shows each size as it was. Then a display ends and starts again while it is recorded,
//! and a session ends in order: what was captured before is kept, what was not is reported. Last,
//! the daemon is stopped while a session ends, which delays nothing.

#![allow(clippy::disallowed_methods, reason = "a display and its clock are real")]

use std::path::Path;
use std::time::Duration;
use testkit::daemon::client::Client;
use testkit::daemon::site::Site;
use testkit::daemon::{Daemon, RATE, Record, let_pass, wait_for};
use testkit::display::capture_client::CaptureClient;
use testkit::display::tap::Tap;
use testkit::display::{CARD, Display, Frame, frames};

/// Longer than several looks at the display.
const STANDS: Duration = Duration::from_millis(1200);

/// A box, a display, its workstation, and Jane in a call.
struct Scene {
    desktop: Display,
    station: CaptureClient,
    /// What leaves the workstation.
    tap: Tap,
    jane: Client,
    watcher: Client,
    recording: String,
    from: u64,
    story: Daemon,
}

impl Scene {
    fn new(size: &str) -> Scene {
        let more = "[[agent]]\nusername = \"jane\"\nname = \"Jane\"\nroles = [\"agent\"]\n\
             screen = true\n[screen]\nfps = 10\nkbps = 400\n";
        let more = more.to_owned();
        let site = Site { more, seal: false, codec: "opus", ..Site::sim(&[1]) };
        let story = Daemon::start_new(site);
        let desktop = Display::start_changeable(None, size);
        let tap = Tap::new(story.port);
        let station = CaptureClient::start(story.folder.path(), tap.port, &desktop.name());
        let watcher = story.client("hello monitor");
        let mut jane = story.client("hello agent user=jane machine=WS-1");
        await_screen(&mut jane, "off");
        let mut pbx = story.client("hello cti user=pbx");
        pbx.ok("call start device=1001 call=c1 agent=jane");
        let (recording, from) = (String::new(), 0);
        Scene { desktop, station, tap, jane, watcher, recording, from, story }
    }

    fn record(&mut self) {
        let began = self.jane.ok("record start");
        (self.recording, self.from) = (began.get("recording").to_owned(), began.number("from"));
    }

    /// Where in the recording it is now, in milliseconds.
    fn ms(&mut self) -> u64 {
        let position = testkit::daemon::position_of(&mut self.watcher, 1);
        position.saturating_sub(self.from) * 1000 / RATE
    }

    /// Ends the recording, and exports it once its screen is complete.
    fn export(&mut self) -> (std::path::PathBuf, Record) {
        self.jane.ok("record stop");
        wait_for("the screen's end", || {
            let shown = self.story.show(&self.recording);
            let complete = shown.0.pointer("/screen/complete");
            complete.and_then(serde_json::Value::as_bool).filter(|is| *is)
        });
        self.story.assert_verified();
        self.story.export(&self.recording, "webm")
    }
}

/// Waits until Jane's state says this of her screen.
fn await_screen(jane: &mut Client, is: &str) {
    wait_for("the screen can be recorded", || {
        let state = jane.ask("status").rows.remove(0);
        state.is("screen", is).then_some(())
    });
}

/// What is done to the display, how large it is then, where the window stands, and its count.
struct Stage {
    does: &'static [&'static str],
    size: (usize, usize),
    window: (u16, u16),
    count: u64,
}

const STAGES: [Stage; 6] = [
    Stage { does: &[], size: (1280, 720), window: (0, 0), count: 1 },
    Stage {
        does: &["--output VNC-0 --mode 1920x1080"],
        size: (1920, 1080),
        window: (1280, 720),
        count: 2,
    },
    Stage {
        does: &["--output VNC-0 --mode 1024x768"],
        size: (1024, 768),
        window: (384, 408),
        count: 3,
    },
    Stage {
        does: &[
            "--fb 2048x768",
            "--setmonitor left 1024/300x768/200+0+0 VNC-0",
            "--setmonitor right 1024/300x768/200+1024+0 none",
        ],
        size: (2048, 768),
        window: (1200, 100),
        count: 4,
    },
    Stage {
        does: &["--delmonitor right", "--delmonitor left", "--fb 1024x768"],
        size: (1024, 768),
        window: (100, 200),
        count: 5,
    },
    Stage {
        does: &["--output VNC-0 --mode 1600x1200"],
        size: (1600, 1200),
        window: (900, 800),
        count: 6,
    },
];

/// Under the blackout.
const HIDDEN: (u16, u16) = (1200, 700);

/// Sizes one after the other, as fast as the server takes them.
fn flicker(desktop: &Display) {
    for _ in 0..20 {
        desktop.xrandr("--output VNC-0 --mode 1920x1080");
        desktop.xrandr("--output VNC-0 --mode 1280x720");
    }
}

#[test]
fn g1_resized_display_is_exported_and_blackout_is_black() {
    let mut scene = Scene::new("1280x720");
    scene.record();
    let mut shown = Vec::new();
    for stage in &STAGES {
        stage.does.iter().for_each(|words| scene.desktop.xrandr(words));
        scene.desktop.place(stage.window);
        scene.desktop.count(stage.count);
        let_pass(STANDS);
        shown.push(scene.ms());
    }
    // The blackout reaches back.
    let_pass(STANDS);
    scene.jane.ok("blackout start");
    let dark = scene.ms();
    scene.desktop.card(true);
    let_pass(STANDS);
    flicker(&scene.desktop);
    scene.desktop.xrandr("--output VNC-0 --mode 1920x1080");
    scene.desktop.place(HIDDEN);
    // What was off the display is not drawn again by itself.
    scene.desktop.card(true);
    let_pass(STANDS);
    scene.desktop.card(false);
    let light = scene.ms();
    scene.jane.ok("blackout stop");
    flicker(&scene.desktop);
    scene.desktop.place(STAGES[0].window);
    scene.desktop.count(7);
    let_pass(STANDS);
    assert!(scene.station.is_alive(), "{}", scene.station.log());
    let (file, manifest) = scene.export();
    println!("{}", manifest.0["screen"]);
    let seen = frames(&file);
    as_it_was(&seen);
    let middle = |frame: &&Frame| (dark + 100..light).contains(&frame.ms);
    assert!(seen.iter().filter(middle).all(Frame::is_black), "not black under the blackout");
    let before = seen.iter().rfind(|frame| frame.ms < light).expect("a picture");
    assert!(before.is_black(), "what a player shows at its end");
    assert!(hides_the_card(&seen));
    in_a_browser(&file, (&shown, (dark + light) / 2));
    let files: Vec<_> = scene.story.data_files().into_iter().map(|(_, bytes)| bytes).collect();
    let stored = pieces(&scene.story, &files);
    assert!(stored.len() >= STAGES.len(), "{} pieces: one for each size", stored.len());
    assert!(stored.iter().all(|piece| hides_the_card(piece)), "it is on the disk");
    // The box drops what a mask meets; but it never came so far.
    let sent = pieces(&scene.story, &[scene.tap.heard()]);
    assert!(sent.len() > stored.len(), "the black under the blackout is sent, too");
    assert!(sent.iter().all(|piece| hides_the_card(piece)), "it has left the workstation");
}

/// Every stage is shown in its own size, and in no other.
fn as_it_was(seen: &[Frame]) {
    let sizes: Vec<_> = seen.iter().map(|frame| (frame.ms, frame.width, frame.height)).collect();
    assert_eq!((seen[0].width, seen[0].height), STAGES[0].size, "black before it, too: {sizes:?}");
    for stage in &STAGES {
        let count = |frame: &&Frame| frame.count(stage.window) == Some(stage.count);
        let found: Vec<&Frame> = seen.iter().filter(count).collect();
        assert!(!found.is_empty(), "{} is not shown: {sizes:?}", stage.count);
        for frame in found {
            let (size, at) = ((frame.width, frame.height), frame.ms);
            assert_eq!(size, stage.size, "{} at {at} ms: {sizes:?}", stage.count);
        }
    }
    let last = seen.iter().find(|frame| frame.count(STAGES[0].window) == Some(7));
    let last = last.unwrap_or_else(|| panic!("nothing after it all: {sizes:?}"));
    assert_eq!((last.width, last.height), (1280, 720));
}

fn hides_the_card(seen: &[Frame]) -> bool {
    let places = || STAGES.iter().map(|stage| stage.window).chain([HIDDEN]);
    seen.iter().all(|frame| places().all(|place| frame.card(place) != Some(CARD)))
}

/// All video that is anywhere in these.
fn pieces(story: &Daemon, files: &[Vec<u8>]) -> Vec<Vec<Frame>> {
    let mut pieces = Vec::new();
    for bytes in files {
        let starts = bytes.windows(4).enumerate();
        for (start, _) in starts.filter(|(_, four)| *four == [0x1a, 0x45, 0xdf, 0xa3]) {
            let piece = story.path("piece.webm");
            std::fs::write(&piece, &bytes[start..]).unwrap();
            pieces.push(frames(&piece));
            std::fs::remove_file(&piece).unwrap();
        }
    }
    pieces
}

/// A browser plays it to its end, and shows each moment in the size it had.
fn in_a_browser(file: &Path, (shown, dark): (&[u64], u64)) {
    let seconds = |ms: u64| f64::from(u32::try_from(ms).unwrap()) / 1000.0;
    let moments: Vec<f64> = shown.iter().map(|ms| seconds(*ms)).chain([seconds(dark)]).collect();
    let seen = testkit::video_player::watch(file, &moments);
    println!("{seen}");
    let number = |at: &str| seen.pointer(at).and_then(serde_json::Value::as_u64);
    for (n, stage) in STAGES.iter().enumerate() {
        let value = |what: &str| number(&format!("/moments/{n}/{what}")).unwrap_or_default();
        let size = (value("width"), value("height"));
        assert_eq!(size, (stage.size.0 as u64, stage.size.1 as u64), "{n}: {seen}");
        assert!(value("most") > 150, "{n}: {seen}");
    }
    let most = number(&format!("/moments/{}/most", STAGES.len()));
    assert!(most.is_some_and(|most| most < 8), "not black under the blackout: {seen}");
    let float = |at: &str| seen.pointer(at).and_then(serde_json::Value::as_f64).unwrap_or(-1.0);
    assert!(float("/ended") >= float("/duration") - 0.5, "{seen}");
}

#[test]
fn display_that_ends_keeps_the_past_and_is_resumed() {
    let mut scene = Scene::new("1280x720");
    scene.record();
    scene.desktop.count(1);
    let_pass(STANDS);
    scene.desktop.count(2);
    let_pass(STANDS);
    let name = scene.desktop.name();
    let gone = scene.ms();
    let new = |name: &str| Display::start_changeable(Some(name), "1024x768");
    std::mem::replace(&mut scene.desktop, Display::start()).end();
    // It ends with its display, says so, and the session manager starts it again.
    let code = wait_for("the client's end", || scene.station.ended());
    assert_eq!(code, Some(1), "{}", scene.station.log());
    assert!(scene.station.log().contains("cannot capture"), "{}", scene.station.log());
    await_screen(&mut scene.jane, "disabled");
    let mut early = CaptureClient::start(scene.story.folder.path(), scene.story.port, &name);
    assert_eq!(wait_for("no display, no client", || early.ended()), Some(1));
    scene.desktop = new(&name);
    let back = scene.ms();
    // A blackout is on: the size of black must be known before the first look at the display.
    scene.jane.ok("blackout start");
    scene.station = CaptureClient::start(scene.story.folder.path(), scene.story.port, &name);
    await_screen(&mut scene.jane, "on");
    let_pass(STANDS);
    assert!(scene.station.is_alive(), "{}", scene.station.log());
    scene.jane.ok("blackout stop");
    scene.desktop.count(3);
    let_pass(STANDS);
    // The session ends in order; the call does not.
    let left = scene.ms();
    scene.station.ask_to_go();
    assert_eq!(wait_for("the client goes", || scene.station.ended()), Some(0));
    let (file, manifest) = scene.export();
    println!("{}", manifest.0["screen"]);
    let seen = frames(&file);
    for (count, size) in [(1, (1280, 720)), (2, (1280, 720)), (3, (1024, 768))] {
        let frame = seen.iter().find(|frame| frame.count((0, 0)) == Some(count));
        let frame = frame.unwrap_or_else(|| panic!("{count} was seen, and is not shown"));
        assert_eq!((frame.width, frame.height), size);
    }
    let at = |ms: u64| seen.iter().rfind(|frame| frame.ms <= ms).expect("a picture");
    assert!(at(back).is_black() && back > gone, "nothing is shown of what was not captured");
    assert!(at(left + 2000).is_black(), "and nothing after the session");
    let lost = manifest.number("/screen/ledger/lost");
    assert!(lost + 500 >= back - gone, "{lost} ms are told as lost of {gone} to {back}");
}

#[test]
fn session_end_does_not_wait_for_a_stopped_server() {
    let mut scene = Scene::new("1280x720");
    scene.record();
    scene.desktop.count(1);
    let_pass(STANDS);
    scene.station.ask_to_go();
    wait_for("it hands in", || {
        scene.station.log().contains("sending the captured frames").then_some(())
    });
    scene.story.kill();
    assert_eq!(wait_for("the client goes", || scene.station.ended()), Some(0));
    // The link, and what is lost with it; a second attempt has more to warn of.
    let log = scene.station.log();
    assert!(log.matches("WARN  [hushbox_screen::session]").count() <= 2, "{log}");
}
