//! A disk that is slow: each rung of the ladder, from the first buffer that is missing to audio
//! that is lost, and back.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod sim;

use hushbox::span::Loss;
use protocol::Kind;
use sim::SimBox;

const CONFIG: &str = r#"
[box]
name = "box-01"
data = "data"
[on_demand]
enabled = true
[audio]
codec = "pcm"
wrapup_s = 5
[[board]]
name = "demo"
kind = "sim"
rate = 8000
buffer_ms = 200
activity = "cti"
channels = [
  { id = 1, device = "1001", sides = "mono", source = "x.wav" },
  { id = 2, device = "1002", sides = "mono", source = "x.wav" },
]
[[role]]
name = "agent"
permissions = ["record.start", "record.stop", "blackout", "update.1"]
[[role]]
name = "chief"
permissions = ["records.all", "play", "admin"]
[[agent]]
username = "jdoe"
phones = ["1001", "1002"]
roles = ["agent"]
[[agent]]
username = "chief"
roles = ["agent", "chief"]
[[schedule]]
name = "on demand"
type = "on-demand"
"#;

/// Buffers of a box of two channels, each for half a second.
const BUFFERS_MS: u64 = (2 * 2 + 16) * 500;

/// A box with an agent whose call is recorded, a call feed and somebody who watches.
struct Story {
    sim: SimBox,
    agent: u32,
    feed: u32,
    watcher: u32,
}

/// A value of the `ok` among these lines.
fn pair(lines: &[String], key: &str) -> String {
    let line = lines.iter().find(|line| line.starts_with("ok ")).expect("an ok");
    let at = line.find(&format!(" {key}=")).expect(key) + key.len() + 2;
    line[at..].split(' ').next().unwrap().to_string()
}

impl Story {
    fn new(config: &str) -> Story {
        let mut sim = SimBox::new(config, 11);
        let agent = sim.client(&[Kind::Agent]);
        let feed = sim.client(&[Kind::Cti]);
        let watcher = sim.client(&[Kind::Monitor]);
        sim.say(agent, "hello agent user=jdoe");
        sim.say(feed, "hello cti");
        sim.say(watcher, "hello monitor");
        sim.say(watcher, "watch");
        Story { sim, agent, feed, watcher }
    }

    fn record(&mut self) -> String {
        self.sim.say(self.feed, "call start device=1001 call=c1");
        pair(&self.sim.say(self.agent, "record start"), "recording")
    }

    /// Numbers of the alarms that were raised since the last look, and those that are over as
    /// negative numbers.
    fn alarms(&mut self) -> Vec<i32> {
        let lines = self.sim.news(self.watcher);
        let told = lines.iter().filter_map(|line| {
            let (_, word) = line.split_once(" what=alarm")?;
            let number = line.split_once(" alarm=")?.1.split(' ').next()?.parse::<i32>().ok()?;
            Some(if word.starts_with("-over") { -number } else { number })
        });
        told.collect()
    }

    fn assert_clean(&self) {
        let report = self.sim.verify();
        assert!(report.is_clean(), "{report:#?}");
    }
}

#[test]
fn h4_a_slow_disk_costs_buffers_then_slack_then_new_audio_and_says_so() {
    let mut story = Story::new(CONFIG);
    let id = story.record();
    story.sim.run_ms(5000);
    assert_eq!(story.alarms(), [0; 0]);
    story.sim.disk.stuck = true;
    // The buffers last, and half of the slack.
    story.sim.run_ms(BUFFERS_MS + 1000);
    assert_eq!(story.alarms(), [0; 0]);
    story.sim.run_ms(1000);
    assert_eq!(story.alarms(), [104]);
    // The other half.
    story.sim.run_ms(1000);
    assert_eq!(story.alarms(), [0; 0]);
    story.sim.run_ms(1000);
    assert_eq!(story.alarms(), [103]);
    story.sim.disk.stuck = false;
    story.sim.run_ms(4000);
    assert_eq!(story.alarms(), [-104], "the ring is free again; what was lost stays an alarm");
    story.sim.say(story.feed, "call stop device=1001 call=c1");
    story.sim.run_ms(1000);
    let stored = story.sim.stored(&id);
    stored.check(&story.sim);
    let lost = stored.ledger.lost;
    assert!((1..=16_000).contains(&lost[Loss::Ring as usize]), "{lost:?}");
    assert_eq!(stored.ledger.lost_all(), lost[Loss::Ring as usize]);
    assert_eq!(stored.ledger.captured(), 8000 * (5 + 10 + 4 + 4));
    story.assert_clean();
}

#[test]
fn h4_reads_wait_for_a_slow_disk() {
    let mut story = Story::new(CONFIG);
    let old = story.record();
    story.sim.run_ms(4000);
    story.sim.say(story.feed, "call stop device=1001 call=c1");
    story.sim.run_ms(6000);
    story.record();
    story.sim.run_ms(4000);
    let chief = story.sim.client(&[Kind::Supervisor]);
    story.sim.say(chief, "hello supervisor user=chief");
    story.sim.disk.stuck = true;
    story.sim.run_ms(BUFFERS_MS + 2000);
    assert_eq!(story.alarms(), [104]);
    let reads = story.sim.disk.reads;
    story.sim.say(chief, &format!("media {old}"));
    let other = story.sim.client(&[Kind::Supervisor]);
    story.sim.say(other, "hello supervisor user=chief");
    story.sim.say(other, &format!("delete {old}"));
    story.sim.run_ms(400);
    assert_eq!(story.sim.disk.reads, reads, "nobody reads");
    story.sim.disk.stuck = false;
    story.sim.run_ms(4000);
    assert!(story.sim.disk.reads > reads);
    assert!(story.sim.news(other).contains(&format!("ok recording={old}")));
    assert!(!story.sim.recordings().iter().any(|id| id.to_string() == old));
    story.assert_clean();
}
