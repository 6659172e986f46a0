//! A screen recording next to the audio: sent by a workstation, played in a real browser.

use super::browser::{AtPortal, Browser};
use super::http::HttpClient;
use super::stack::{Stack, StackOptions, wait_for};
use super::supervisor::wait_for_frames;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

/// Colour of one second of video.
const RED: (&str, [u8; 3]) = ("red", [255, 0, 0]);
const LIME: (&str, [u8; 3]) = ("lime", [0, 255, 0]);
const BLUE: (&str, [u8; 3]) = ("blue", [0, 0, 255]);
const BLACK: [u8; 3] = [0, 0, 0];
/// Colour on the screen during the blackout, which must not be recorded.
const MASKED_COLOUR: &str = "yellow";

/// A workstation whose screen is recorded.
struct ScreenClient {
    stream: BufReader<TcpStream>,
    recording: String,
}

/// A value of a line.
fn value_of(line: &str, key: &str) -> String {
    let after = line.split(&format!(" {key}=")).nth(1).expect(line);
    after.split_whitespace().next().unwrap().to_owned()
}

impl ScreenClient {
    fn new(stack: &Stack, user: &str) -> ScreenClient {
        let hello = format!("hello screen user={user} machine=WS-2");
        let stream = BufReader::new(stack.connect_with_hello(&hello));
        let mut station = ScreenClient { stream, recording: String::new() };
        assert!(station.next_line("ok").contains("session="));
        station
    }

    /// Reads the next line with this prefix.
    fn next_line(&mut self, first: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(self.stream.read_line(&mut line).unwrap() > 0, "the box hung up");
            assert!(!line.starts_with("err"), "{line}");
            if line.starts_with(first) {
                return line.trim_end().to_owned();
            }
        }
    }

    fn request(&mut self, bytes: &[u8]) -> String {
        self.stream.get_mut().write_all(bytes).unwrap();
        self.next_line("ok")
    }

    /// Waits until the recorder requests capture; returns the recording.
    fn wait_for_capture(&mut self) -> String {
        while self.recording.is_empty() {
            let state = self.next_line("state");
            if value_of(&state, "capture") == "on" {
                self.recording = value_of(&state, "recording");
            }
        }
        self.recording.clone()
    }

    /// Sends the last second, by the recorder's clock, and returns its start.
    fn send_segment(&mut self, colour: &str) -> jiff::Timestamp {
        let now: jiff::Timestamp = value_of(&self.request(b"ping\n"), "time").parse().unwrap();
        let from = now - jiff::SignedDuration::from_secs(1);
        let (video, id) = (encode_video(colour), &self.recording);
        let line = format!("segment recording={id} start={from} duration_ms=1000\n");
        let mut bytes = format!("{line}data {}\n", video.len()).into_bytes();
        bytes.extend_from_slice(&video);
        bytes.push(b'\n');
        self.request(&bytes);
        from
    }
}

/// Encodes a second of one colour.
fn encode_video(colour: &str) -> Vec<u8> {
    let mut command = Command::new("ffmpeg");
    command.args(["-loglevel", "error", "-f", "lavfi", "-i"]);
    command.arg(format!("color=c={colour}:s=320x180:r=5:d=1"));
    command.args(["-c:v", "libvpx-vp9", "-deadline", "realtime", "-f", "webm", "-"]);
    let output = command.stdin(Stdio::null()).output().expect("ffmpeg: run `make setup`");
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

/// Colour at the centre of the picture at a time.
fn centre_pixel(browser: &Browser, seconds: f64) -> [u8; 3] {
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

/// A recording with the colours on the screen, by seconds of the recording.
struct ScreenRecording {
    id: String,
    shown: Vec<(f64, [u8; 3])>,
    masked: Vec<f64>,
}

/// Records a call of Ann; during her blackout the screen shows a card.
fn record_screen(stack: &Stack) -> ScreenRecording {
    let mut station = ScreenClient::new(stack, "asmith");
    let mut ann = HttpClient::logged_in(stack, "asmith");
    let csrf = ann.get("/agent").csrf_token();
    stack.send_cti("call start device=1002 call=c-9 direction=in");
    let mut act = |act: &str| {
        let answer = ann.post("/agent/do", &[("csrf", &csrf), ("act", act)]);
        assert_eq!(answer.header("location"), Some("/agent?said=done"), "{act}");
    };
    act("record.start");
    let id = station.wait_for_capture();
    let mut send = |colour: &str| {
        wait_for_frames(stack, 8_000);
        station.send_segment(colour)
    };
    let first = [RED, LIME].map(|(name, rgb)| (send(name), rgb));
    // The blackout's lead reaches into this second.
    send(BLUE.0);
    act("blackout.start");
    let card = [MASKED_COLOUR, MASKED_COLOUR, MASKED_COLOUR].map(&mut send);
    act("blackout.stop");
    // The blackout's margin reaches into this second.
    send(BLUE.0);
    let last = [RED, BLUE].map(|(name, rgb)| (send(name), rgb));
    stack.send_cti("call stop device=1002 call=c-9");
    let shown = wait_for("the screen's end", || {
        let shown = stack.show_recording(&id);
        let complete = |at: &str| shown.pointer(at).and_then(serde_json::Value::as_bool);
        (complete("/complete") == Some(true) && complete("/screen/complete") == Some(true))
            .then_some(shown)
    });
    let began: jiff::Timestamp = shown["started"].as_str().unwrap().parse().unwrap();
    // The middle of each second.
    let at = |from: jiff::Timestamp| (from - began).total(jiff::Unit::Second).unwrap() + 0.5;
    let seen = first.into_iter().chain(last).map(|(from, rgb)| (at(from), rgb)).collect();
    ScreenRecording { id, shown: seen, masked: card.into_iter().map(at).collect() }
}

#[test]
fn c1_g1_screen_plays_in_sync_and_black_where_masked() {
    let stack = Stack::new(&StackOptions::default());
    let told = record_screen(&stack);
    let id = &told.id;
    let browser = Browser::new(&stack.url);
    browser.log_in("boss");
    browser.open(&format!("/records/{id}"));
    browser.click("#listen");
    browser.sees("document.querySelector('video#player').readyState >= 2");
    let length = browser.js("return document.getElementById('player').duration").as_f64().unwrap();
    for (at, rgb) in told.shown.iter().rev() {
        let seen = centre_pixel(&browser, *at);
        assert!(is_near(seen, *rgb), "at {at} of {length}: {seen:?}, not {rgb:?}");
    }
    for at in &told.masked {
        let seen = centre_pixel(&browser, *at);
        assert!(is_near(seen, BLACK), "the blackout at {at}: {seen:?}");
    }
    browser.assert_accessible("a film");
    centre_pixel(&browser, told.shown[1].0);
    browser.save_screenshot("film");
    assert_heard(&browser, &told);
    assert_played(&browser, &told);
    let steps = browser.js("return document.querySelector('main').innerText").to_string();
    assert!(steps.contains("Listened to") && steps.contains("Screen watched"), "{steps}");
    assert_fetched(&stack, id);
    // Neither portal, tool nor browser left video on disk: every video file starts with these
    // bytes, and the recorder stores it sealed.
    let mut files = vec![stack.folder.path().to_owned(), browser.profile.path().to_owned()];
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if let Ok(bytes) = std::fs::read(&path) {
            let found = bytes.windows(7).any(|part| part == b"\x42\x82\x84webm");
            assert!(!found, "a film in {}", path.display());
        }
    }
}

/// Asserts that audio and video share one clock: it is silent where the picture is black.
fn assert_heard(browser: &Browser, told: &ScreenRecording) {
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
    let (first, last) = (told.masked[0], told.masked[2]);
    let (open, hidden) = (loud(0.1, 2.0), loud(first, last));
    assert!(open > 0.01 && hidden < 0.001, "open {open}, blacked out {hidden}");
}

/// Asserts that every displayed frame belongs to its time.
fn assert_played(browser: &Browser, told: &ScreenRecording) {
    let script = format!(
        "const v = document.getElementById('player'); v.muted = true; const all = []; \
         const c = document.createElement('canvas'); c.width = 32; c.height = 18; \
         const g = c.getContext('2d', {{ willReadFrequently: true }}); \
         const look = (now, meta) => {{ g.drawImage(v, 0, 0, 32, 18); \
           all.push([meta.mediaTime, ...g.getImageData(16, 9, 1, 1).data]); \
           if (meta.mediaTime > {end} || v.ended) {{ v.pause(); done(all); }} \
           else v.requestVideoFrameCallback(look); }}; \
         v.currentTime = 0; v.requestVideoFrameCallback(look); v.play();",
        end = told.shown[1].0 + 0.2
    );
    let all = browser.js_later(&script);
    let mut found = 0;
    for frame in all.as_array().unwrap() {
        let at = frame[0].as_f64().unwrap();
        let near = |(middle, _): &&(f64, [u8; 3])| (at - middle).abs() < 0.35;
        let Some((_, rgb)) = told.shown.iter().find(near) else { continue };
        let seen = [1, 2, 3].map(|n| u8::try_from(frame[n].as_u64().unwrap()).unwrap());
        assert!(is_near(seen, *rgb), "at {at}: {seen:?}, not {rgb:?}");
        found += 1;
    }
    assert!(found >= 2, "{all}");
}

/// Asserts that byte ranges are exact and that an export equals the tool's output.
fn assert_fetched(stack: &Stack, id: &str) {
    let mut boss = HttpClient::logged_in(stack, "boss");
    let all = boss.get(&format!("/records/{id}/sound"));
    assert_eq!((all.status, all.header("content-type")), (200, Some("video/webm")));
    let mut piece = boss.clone();
    let wanted = all.body.len().min(140_002);
    piece.headers = vec![format!("Range: bytes=1000-{}", wanted - 1)];
    let some = piece.get(&format!("/records/{id}/sound"));
    assert_eq!((some.status, &some.body[..]), (206, &all.body[1000..wanted]));
    let csrf = boss.get(&format!("/records/{id}")).csrf_token();
    let fields = [("csrf", &*csrf), ("kind", "webm")];
    let export = boss.post(&format!("/records/{id}/export"), &fields);
    let path = stack.path("owner.webm");
    stack.run_tool(&["export", id, "--to", path.to_str().unwrap()]);
    let owners = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(export.body == owners && all.body == owners, "{} bytes", export.body.len());
}
