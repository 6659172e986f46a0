//! A screen beside the sound: sent by a workstation, watched in a real browser.

use super::browser::{AtPortal, Browser};
use super::house::{Plan, Stack, until};
use super::supervisor::wait_for_frames;
use super::wire::Hand;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

/// What a second of film shows.
const RED: (&str, [u8; 3]) = ("red", [255, 0, 0]);
const LIME: (&str, [u8; 3]) = ("lime", [0, 255, 0]);
const BLUE: (&str, [u8; 3]) = ("blue", [0, 0, 255]);
const BLACK: [u8; 3] = [0, 0, 0];
/// What nobody may see: it shows while the agent has blacked out.
const CARD: &str = "yellow";

/// A workstation whose screen is recorded.
struct Station {
    stream: BufReader<TcpStream>,
    recording: String,
}

/// A value in a line.
fn value(line: &str, key: &str) -> String {
    let after = line.split(&format!(" {key}=")).nth(1).expect(line);
    after.split_whitespace().next().unwrap().to_owned()
}

impl Station {
    fn new(house: &Stack, user: &str) -> Station {
        let hello = format!("hello screen user={user} machine=WS-2");
        let stream = BufReader::new(house.connect(&hello));
        let mut station = Station { stream, recording: String::new() };
        assert!(station.line("ok").contains("session="));
        station
    }

    /// The next line that begins so.
    fn line(&mut self, first: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(self.stream.read_line(&mut line).unwrap() > 0, "the box hung up");
            assert!(!line.starts_with("err"), "{line}");
            if line.starts_with(first) {
                return line.trim_end().to_owned();
            }
        }
    }

    fn say(&mut self, bytes: &[u8]) -> String {
        self.stream.get_mut().write_all(bytes).unwrap();
        self.line("ok")
    }

    /// Waits until it is to record, and for what.
    fn wait(&mut self) -> String {
        while self.recording.is_empty() {
            let state = self.line("state");
            if value(&state, "capture") == "on" {
                self.recording = value(&state, "recording");
            }
        }
        self.recording.clone()
    }

    /// Hands in the last second, by the box's clock; gives when it began.
    fn send(&mut self, colour: &str) -> jiff::Timestamp {
        let now: jiff::Timestamp = value(&self.say(b"ping\n"), "time").parse().unwrap();
        let from = now - jiff::SignedDuration::from_secs(1);
        let (video, id) = (video(colour), &self.recording);
        let line = format!("segment recording={id} start={from} duration_ms=1000\n");
        let mut bytes = format!("{line}data {}\n", video.len()).into_bytes();
        bytes.extend_from_slice(&video);
        bytes.push(b'\n');
        self.say(&bytes);
        from
    }
}

/// A second of one colour.
fn video(colour: &str) -> Vec<u8> {
    let mut command = Command::new("ffmpeg");
    command.args(["-loglevel", "error", "-f", "lavfi", "-i"]);
    command.arg(format!("color=c={colour}:s=320x180:r=5:d=1"));
    command.args(["-c:v", "libvpx-vp9", "-deadline", "realtime", "-f", "webm", "-"]);
    let output = command.stdin(Stdio::null()).output().expect("ffmpeg: run `make setup`");
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

/// The middle of the picture at a moment.
fn pixel(browser: &Browser, seconds: f64) -> [u8; 3] {
    let script = format!(
        "const v = document.getElementById('player'); v.pause(); \
         v.addEventListener('seeked', () => {{ \
           const c = document.createElement('canvas'); c.width = 32; c.height = 18; \
           const g = c.getContext('2d'); g.drawImage(v, 0, 0, 32, 18); \
           done(Array.from(g.getImageData(16, 9, 1, 1).data)); }}, {{ once: true }}); \
         v.currentTime = {seconds};"
    );
    let seen = browser.js_later(&script);
    [0, 1, 2].map(|n| u8::try_from(seen[n].as_u64().unwrap()).unwrap())
}

fn is_near(seen: [u8; 3], wanted: [u8; 3]) -> bool {
    seen.iter().zip(wanted).all(|(seen, wanted)| seen.abs_diff(wanted) < 48)
}

/// What was recorded, and what was on the screen when, in seconds of the recording.
struct Told {
    id: String,
    seen: Vec<(f64, [u8; 3])>,
    hidden: Vec<f64>,
}

/// Ann records a call; while she blacks out, her screen shows a card.
fn tell(house: &Stack) -> Told {
    let mut station = Station::new(house, "asmith");
    let mut ann = Hand::of(house, "asmith");
    let csrf = ann.get("/agent").csrf();
    house.pbx("call start device=1002 call=c-9 direction=in");
    let mut act = |act: &str| {
        let answer = ann.post("/agent/do", &[("csrf", &csrf), ("act", act)]);
        assert_eq!(answer.header("location"), Some("/agent?said=done"), "{act}");
    };
    act("record.start");
    let id = station.wait();
    let mut send = |colour: &str| {
        wait_for_frames(house, 8_000);
        station.send(colour)
    };
    let first = [RED, LIME].map(|(name, rgb)| (send(name), rgb));
    // The lead of the blackout reaches into this second.
    send(BLUE.0);
    act("blackout.start");
    let card = [CARD, CARD, CARD].map(&mut send);
    act("blackout.stop");
    // The blackout's margin reaches into this one.
    send(BLUE.0);
    let last = [RED, BLUE].map(|(name, rgb)| (send(name), rgb));
    house.pbx("call stop device=1002 call=c-9");
    let shown = until("the screen's end", || {
        let shown = house.show(&id);
        let complete = |at: &str| shown.pointer(at).and_then(serde_json::Value::as_bool);
        (complete("/complete") == Some(true) && complete("/screen/complete") == Some(true))
            .then_some(shown)
    });
    let began: jiff::Timestamp = shown["started"].as_str().unwrap().parse().unwrap();
    // The middle of each second.
    let at = |from: jiff::Timestamp| (from - began).total(jiff::Unit::Second).unwrap() + 0.5;
    let seen = first.into_iter().chain(last).map(|(from, rgb)| (at(from), rgb)).collect();
    Told { id, seen, hidden: card.into_iter().map(at).collect() }
}

#[test]
fn c1_g1_screen_plays_in_sync_and_black_where_masked() {
    let house = Stack::new(&Plan::default());
    let told = tell(&house);
    let id = &told.id;
    let browser = Browser::new(&house.url);
    browser.log_in("boss");
    browser.open(&format!("/records/{id}"));
    browser.click("#listen");
    browser.sees("document.querySelector('video#player').readyState >= 2");
    let length = browser.js("return document.getElementById('player').duration").as_f64().unwrap();
    for (at, rgb) in told.seen.iter().rev() {
        let seen = pixel(&browser, *at);
        assert!(is_near(seen, *rgb), "at {at} of {length}: {seen:?}, not {rgb:?}");
    }
    for at in &told.hidden {
        let seen = pixel(&browser, *at);
        assert!(is_near(seen, BLACK), "the blackout at {at}: {seen:?}");
    }
    browser.assert_accessible("a film");
    pixel(&browser, told.seen[1].0);
    browser.picture("film");
    assert_heard(&browser, &told);
    assert_played(&browser, &told);
    let steps = browser.js("return document.querySelector('main').innerText").to_string();
    assert!(steps.contains("Listened to") && steps.contains("Screen watched"), "{steps}");
    assert_fetched(&house, id);
    // Neither the portal nor the tool nor the browser left any of it on a disk: every film begins
    // with these bytes, and the box keeps it sealed.
    let mut files = vec![house.folder.path().to_owned(), browser.profile.path().to_owned()];
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if let Ok(bytes) = std::fs::read(&path) {
            let found = bytes.windows(7).any(|part| part == b"\x42\x82\x84webm");
            assert!(!found, "a film in {}", path.display());
        }
    }
}

/// Sound and picture come from one file, on one clock: it is silent where it is black.
fn assert_heard(browser: &Browser, told: &Told) {
    let loud = |from: f64, to: f64| {
        let script = format!(
            "fetch(document.getElementById('player').src).then((a) => a.arrayBuffer()) \
             .then((b) => new OfflineAudioContext(1, 1, 8000).decodeAudioData(b)) \
             .then((sound) => {{ \
               const part = sound.getChannelData(0).slice({from} * 8000, {to} * 8000); \
               done(part.reduce((most, v) => Math.max(most, Math.abs(v)), 0)); }})"
        );
        browser.js_later(&script).as_f64().unwrap()
    };
    let (first, last) = (told.hidden[0], told.hidden[2]);
    let (open, hidden) = (loud(0.1, 2.0), loud(first, last));
    assert!(open > 0.01 && hidden < 0.001, "open {open}, blacked out {hidden}");
}

/// While it plays, every picture that is shown is the one of its time.
fn assert_played(browser: &Browser, told: &Told) {
    let script = format!(
        "const v = document.getElementById('player'); v.muted = true; const all = []; \
         const c = document.createElement('canvas'); c.width = 32; c.height = 18; \
         const g = c.getContext('2d', {{ willReadFrequently: true }}); \
         const look = (now, meta) => {{ g.drawImage(v, 0, 0, 32, 18); \
           all.push([meta.mediaTime, ...g.getImageData(16, 9, 1, 1).data]); \
           if (meta.mediaTime > {end} || v.ended) {{ v.pause(); done(all); }} \
           else v.requestVideoFrameCallback(look); }}; \
         v.currentTime = 0; v.requestVideoFrameCallback(look); v.play();",
        end = told.seen[1].0 + 0.2
    );
    let all = browser.js_later(&script);
    let mut found = 0;
    for frame in all.as_array().unwrap() {
        let at = frame[0].as_f64().unwrap();
        let near = |(middle, _): &&(f64, [u8; 3])| (at - middle).abs() < 0.35;
        let Some((_, rgb)) = told.seen.iter().find(near) else { continue };
        let seen = [1, 2, 3].map(|n| u8::try_from(frame[n].as_u64().unwrap()).unwrap());
        assert!(is_near(seen, *rgb), "at {at}: {seen:?}, not {rgb:?}");
        found += 1;
    }
    assert!(found >= 2, "{all}");
}

/// By hand: ranges are exact, and an export is what the owner's tool makes.
fn assert_fetched(house: &Stack, id: &str) {
    let mut boss = Hand::of(house, "boss");
    let all = boss.get(&format!("/records/{id}/sound"));
    assert_eq!((all.status, all.header("content-type")), (200, Some("video/webm")));
    let mut piece = boss.clone();
    let wanted = all.body.len().min(140_002);
    piece.headers = vec![format!("Range: bytes=1000-{}", wanted - 1)];
    let some = piece.get(&format!("/records/{id}/sound"));
    assert_eq!((some.status, &some.body[..]), (206, &all.body[1000..wanted]));
    let csrf = boss.get(&format!("/records/{id}")).csrf();
    let fields = [("csrf", &*csrf), ("kind", "webm")];
    let export = boss.post(&format!("/records/{id}/export"), &fields);
    let path = house.path("owner.webm");
    house.tool(&["export", id, "--to", path.to_str().unwrap()]);
    let owners = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(export.body == owners && all.body == owners, "{} bytes", export.body.len());
}
