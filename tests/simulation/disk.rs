//! A disk that is slow: each rung of the ladder, from the first buffer that is missing to audio
//! that is lost, and back.

use hushbox::audio::span::LossReason;
use testkit::sim::SimBox;
use testkit::sim::site::{Site, pair};

fn config() -> String {
    let site = Site::new().audio("wrapup_s = 5");
    let site = site.role("agent", "record.start record.stop blackout update.1");
    let site = site.role("chief", "records.all play admin").agent("jdoe", "1001 1002", "agent");
    site.agent("chief", "", "agent chief").toml()
}

/// Buffers of a box of two channels, each for half a second.
const BUFFERS_MS: u64 = (2 * 2 + 16) * 500;

/// A box with an agent whose call is recorded, a call feed and somebody who watches.
struct Story {
    sim: SimBox,
    agent: u32,
    feed: u32,
    watcher: u32,
}

impl Story {
    fn new() -> Story {
        let mut sim = SimBox::new(&config(), 11);
        let agent = sim.hello("agent user=jdoe");
        let feed = sim.hello("cti");
        let watcher = sim.hello("monitor");
        sim.say(watcher, "watch");
        Story { sim, agent, feed, watcher }
    }

    fn record(&mut self) -> String {
        self.sim.say(self.feed, "call start device=1001 call=c1");
        pair(&self.sim.say(self.agent, "record start"), "recording")
    }

    fn alarms(&mut self) -> Vec<i32> {
        self.sim.alarms(self.watcher)
    }
}

#[test]
fn h4_a_slow_disk_costs_buffers_then_slack_then_new_audio_and_says_so() {
    let mut story = Story::new();
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
    assert!((1..=16_000).contains(&lost[LossReason::Ring as usize]), "{lost:?}");
    assert_eq!(stored.ledger.total_lost(), lost[LossReason::Ring as usize]);
    assert_eq!(stored.ledger.total_captured(), 8000 * (5 + 10 + 4 + 4));
    story.sim.assert_clean();
}

#[test]
fn h4_reads_wait_for_a_slow_disk() {
    let mut story = Story::new();
    let old = story.record();
    story.sim.run_ms(4000);
    story.sim.say(story.feed, "call stop device=1001 call=c1");
    story.sim.run_ms(6000);
    story.record();
    story.sim.run_ms(4000);
    let chief = story.sim.hello("supervisor user=chief");
    story.sim.disk.stuck = true;
    story.sim.run_ms(BUFFERS_MS + 2000);
    assert_eq!(story.alarms(), [104]);
    let reads = story.sim.disk.reads;
    story.sim.say(chief, &format!("media {old}"));
    let other = story.sim.hello("supervisor user=chief");
    story.sim.say(other, &format!("delete {old}"));
    story.sim.run_ms(400);
    assert_eq!(story.sim.disk.reads, reads, "nobody reads");
    story.sim.disk.stuck = false;
    story.sim.run_ms(4000);
    assert!(story.sim.disk.reads > reads);
    assert!(story.sim.news(other).contains(&format!("ok recording={old}")));
    assert!(!story.sim.recordings().iter().any(|id| id.to_string() == old));
    story.sim.assert_clean();
}
