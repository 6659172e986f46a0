//! A simulated recorder with a workstation whose screen is captured. Each video segment is unique,
//! so that a search finds it on the disk.

use crate::sim::SimBox;
use crate::sim::site::{Site, value};
use hushbox::audio::span::Run;
use hushbox::id::RecordingId;
use hushbox::store::media::{self, DERIVED_KEY_MARKER, MediaReader, MediaScan, ScreenSegment};
use hushbox::store::{layout, seal};
use hushbox::time::WallTime;
use protocol::Kind;

pub fn site() -> Site {
    let site = Site::new().audio("wrapup_s = 5").store("seal = false");
    let site = site.role("agent", "record.start record.stop blackout screen");
    let site = site.role("chief", "records.all admin").agent("jdoe", "1001", "agent");
    let site = site.more("name = \"Jane Doe\"\nscreen = true").agent("bob", "1002", "agent");
    site.agent("chief", "", "chief")
}

/// A recorder with an agent, a call feed and the agent's workstation.
pub struct ScreenClient {
    pub sim: SimBox,
    pub agent: u32,
    pub feed: u32,
    pub screen: u32,
    /// Last state sent to the workstation.
    pub state: String,
    pieces: u64,
}

/// Length of a video segment in ms.
pub const PIECE_MS: u64 = 1000;

impl ScreenClient {
    pub fn new(site: &Site) -> ScreenClient {
        let mut desk = ScreenClient {
            sim: SimBox::new(&site.toml(), 1),
            agent: 0,
            feed: 0,
            screen: 0,
            state: String::new(),
            pieces: 0,
        };
        desk.connect();
        desk
    }

    /// Connects all clients, as after a start.
    pub fn connect(&mut self) {
        let sim = &mut self.sim;
        self.agent = sim.hello("agent user=jdoe machine=WS-1");
        self.feed = sim.hello("cti");
        self.connect_screen();
    }

    pub fn connect_screen(&mut self) -> Vec<String> {
        self.screen = self.sim.client(&[Kind::Screen]);
        let said = self.sim.say(self.screen, "hello screen user=jdoe machine=WS-1");
        self.note_state(&said);
        said
    }

    fn note_state(&mut self, lines: &[String]) {
        if let Some(line) = lines.iter().rev().find(|line| line.starts_with("state ")) {
            self.state.clone_from(line);
        }
    }

    /// Reads the workstation's current state.
    pub fn state(&mut self) -> String {
        let lines = self.sim.news(self.screen);
        self.note_state(&lines);
        self.state.clone()
    }

    /// A value of the last state.
    pub fn told(&mut self, key: &str) -> String {
        let state = self.state();
        value(&state, key)
    }

    pub fn say(&mut self, line: &str) -> Vec<String> {
        let agent = self.agent;
        self.sim.say(agent, line)
    }

    pub fn call(&mut self, line: &str) {
        let feed = self.feed;
        self.sim.say(feed, line);
    }

    /// Sends the segment that ends now.
    pub fn piece(&mut self) -> Vec<String> {
        let id = self.told("recording");
        self.piece_of(&id, PIECE_MS)
    }

    pub fn piece_of(&mut self, id: &str, length_ms: u64) -> Vec<String> {
        self.piece_from(id, length_ms, length_ms)
    }

    /// Sends a segment that began `ago_ms` ago.
    pub fn piece_from(&mut self, id: &str, ago_ms: u64, length_ms: u64) -> Vec<String> {
        self.pieces += 1;
        let from = WallTime(self.sim.now.wall.0 - i64::try_from(ago_ms).unwrap());
        let line = format!("segment recording={id} start={from} duration_ms={length_ms}");
        let video = video(self.pieces);
        let screen = self.screen;
        let said = self.sim.say_with(screen, &line, &video);
        self.note_state(&said);
        said
    }

    /// Takes the number of a segment that the caller builds.
    pub fn next_number(&mut self) -> u64 {
        self.pieces += 1;
        self.pieces
    }

    /// Every recording with a screen file on the disk.
    pub fn recordings(&self) -> Vec<String> {
        let screens = self.sim.disk.live.keys();
        let found = screens.filter_map(|path| layout::parse_screen(path));
        found.map(|(_, id)| id.to_string()).collect()
    }

    /// Number of the last segment.
    pub fn last(&self) -> u64 {
        self.pieces
    }

    /// Sends `count` segments, each at its end.
    pub fn watch(&mut self, count: u64) {
        for _ in 0..count {
            self.sim.run_ms(PIECE_MS);
            if self.told("capture") == "on" && !self.sim.disk.is_dead() {
                self.piece();
            }
        }
    }

    /// Numbers of segments whose video is anywhere on the disk, synced or not.
    pub fn on_disk(&self) -> Vec<u64> {
        let disk = &self.sim.disk;
        let has = |n: &u64| {
            let wanted = video(*n);
            let within = |bytes: &Vec<u8>| bytes.windows(16).any(|w| w == &wanted[..16]);
            disk.live.values().chain(disk.durable.values()).any(within)
        };
        (1..=self.pieces).filter(has).collect()
    }

    /// The screen file of a recording: its spans and segments.
    pub fn screen_of(&self, id: &str) -> StoredScreen {
        let wanted = RecordingId::parse(id).unwrap();
        let of = |path: &&String, parse: fn(&str) -> Option<(String, RecordingId)>| {
            parse(path).is_some_and(|(_, found)| found == wanted)
        };
        let files = &self.sim.disk.live;
        let audio = files.keys().find(|path| of(path, layout::parse_media)).expect("a media file");
        let path = files.keys().find(|path| of(path, layout::parse_screen)).unwrap_or(audio);
        let header = MediaReader::open(files[audio].as_slice()).unwrap().header().clone();
        let key = (!header.wrapped.is_empty())
            .then(|| seal::unwrap_key(&header.wrapped, &self.sim.identities).unwrap());
        let scan = media::scan(files[path].as_slice()).unwrap();
        let elsewhere = scan.header.wrapped == DERIVED_KEY_MARKER;
        let key = if elsewhere { key.map(|key| key.derive_screen_key()) } else { key };
        let (mut runs, mut pieces) = (Vec::new(), Vec::new());
        media::chunks(files[path].as_slice(), key.as_ref(), |some, payload| {
            runs.extend_from_slice(some);
            if let Some(piece) = ScreenSegment::from_payload(payload) {
                let video = piece.video.to_vec();
                pieces.push((piece.from.0, piece.audio.map(|at| at.0), video));
            }
        })
        .unwrap();
        StoredScreen { scan, runs, pieces }
    }
}

/// Content of a screen file.
pub struct StoredScreen {
    pub scan: MediaScan,
    pub runs: Vec<Run>,
    /// Time, audio position and video of each segment.
    pub pieces: Vec<(u64, Option<u64>, Vec<u8>)>,
}

impl StoredScreen {
    /// The spans as text: `4000 stored, 2000 masked`.
    pub fn stretches(&self) -> String {
        let mut joined: Vec<(&str, u64)> = Vec::new();
        for run in &self.runs {
            let fate = run.fate.as_str();
            match joined.last_mut() {
                Some((last, ms)) if *last == fate => *ms += u64::from(run.frames),
                _ => joined.push((fate, u64::from(run.frames))),
            }
        }
        let words: Vec<String> = joined.iter().map(|(fate, n)| format!("{n} {fate}")).collect();
        words.join(", ")
    }

    pub fn numbers(&self) -> Vec<u64> {
        let number = |video: &[u8]| u64::from_le_bytes(video[16..24].try_into().unwrap());
        self.pieces.iter().map(|(_, _, video)| number(video)).collect()
    }
}

/// The unique video bytes of a segment.
pub fn video(number: u64) -> Vec<u8> {
    let mut bytes = blake3::derive_key("hushbox test video", &number.to_le_bytes()).to_vec();
    bytes[16..24].copy_from_slice(&number.to_le_bytes());
    bytes.resize(4000, 0x5a);
    bytes
}
