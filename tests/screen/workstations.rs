//! Twenty workstations send their screens to one box that records sixty-four channels: audio pays
//! nothing for it, not one sample, and every screen is stored.

use std::fmt::Write;
use std::time::Duration;
use testkit::daemon::client::Client;
use testkit::daemon::site::Site;
use testkit::daemon::{Daemon, let_pass, until};

const CHANNELS: usize = 64;
const STATIONS: usize = 20;
/// Pieces of each station, and how long one is: 100 kbit/s.
const PIECES: u64 = 8;
const PIECE_MS: u64 = 1000;
const PIECE_BYTES: usize = 12_500;

/// One workstation: its agent, and its screen.
struct CaptureClient {
    agent: Client,
    screen: Client,
    recording: String,
}

impl CaptureClient {
    /// Hands in what was seen until now, by the box's clock.
    fn send(&mut self, number: u64) {
        let time = self.screen.ok("ping").get("time").to_owned();
        let now = hushbox::time::WallTime::parse(&time).unwrap();
        let from = hushbox::time::WallTime(now.0 - i64::try_from(PIECE_MS).unwrap());
        let recording = &self.recording;
        let line = format!("segment recording={recording} start={from} duration_ms={PIECE_MS}");
        let seed = format!("{recording} {number}");
        let mut video = vec![0; PIECE_BYTES];
        blake3::Hasher::new().update(seed.as_bytes()).finalize_xof().fill(&mut video);
        self.screen.send(&format!("{line}\ndata {PIECE_BYTES}"));
        assert!(self.screen.send_raw(&video) && self.screen.send_raw(b"\n"));
        let reply = self.screen.reply().end;
        assert_eq!(reply.verb(), "ok", "{}", reply.text);
    }
}

#[test]
fn h4_twenty_screens_cost_64_channels_no_sample() {
    let mut more = String::new();
    for n in 1..=STATIONS {
        writeln!(more, "[[agent]]\nusername = \"s{n}\"\nroles = [\"agent\"]\nscreen = true")
            .unwrap();
    }
    let sides = [1; CHANNELS];
    let story = Daemon::start_new(Site { more, codec: "opus", ..Site::sim(&sides) });
    let mut pbx = story.client("hello cti user=pbx");
    let mut agents = Vec::new();
    let mut stations = Vec::new();
    for n in 1..=CHANNELS {
        let user = if n <= STATIONS { format!("s{n}") } else { format!("a{n}") };
        pbx.ok(&format!("call start device={} call=c{n} agent={user}", 1000 + n));
        let screen = (n <= STATIONS)
            .then(|| story.client_over_unix(&format!("hello screen user={user} machine=WS-{n}")));
        let mut agent = story.client_over_unix(&format!("hello agent user={user} machine=WS-{n}"));
        let recording = agent.ok("record start").get("recording").to_owned();
        match screen {
            Some(screen) => stations.push(CaptureClient { agent, screen, recording }),
            None => agents.push((agent, recording)),
        }
    }
    for number in 0..PIECES {
        // Time is what a piece is made of.
        let_pass(Duration::from_millis(PIECE_MS));
        stations.iter_mut().for_each(|station| station.send(number));
    }
    for station in &mut stations {
        station.agent.ok("record stop");
    }
    for (agent, _) in &mut agents {
        agent.ok("record stop");
    }
    let screens: Vec<&str> = stations.iter().map(|station| station.recording.as_str()).collect();
    let mut watcher = story.client("hello monitor");
    until("every recording's end", || {
        let running = watcher.ask("status").rows.iter().any(|row| row.is("recordings", "0"));
        let calls = watcher.ask("calls");
        (running || calls.rows.iter().all(|row| row.is("recording", "-"))).then_some(())
    });
    for id in screens {
        let shown = until("a screen's end", || {
            let shown = story.show(id);
            let is = |at: &str| shown.0.pointer(at).and_then(serde_json::Value::as_bool);
            (is("/screen/complete") == Some(true) && is("/complete") == Some(true)).then_some(shown)
        });
        assert_eq!(shown.number("/ledger/lost"), 0, "audio: {shown:?}");
        assert!(shown.number("/screen/ledger/stored") >= (PIECES - 1) * PIECE_MS, "{shown:?}");
    }
    for (_, id) in &agents {
        assert_eq!(story.show(id).number("/ledger/lost"), 0);
    }
    let stats = watcher.ask("channels").rows;
    assert_eq!(stats.len(), CHANNELS);
    assert!(stats.iter().all(|row| row.number("lost") == 0), "samples are lost: {stats:?}");
    story.assert_verified();
}
