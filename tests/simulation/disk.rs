//! Slow and stalled disks, and a sound card that is away: each step from the first missing buffer
//! to lost audio, and back.

mod failure;

use hushbox::audio::span::LossReason;
use hushbox::time::Position;
use testkit::sim::SimBox;
use testkit::sim::site::{Site, pair, value};

fn config() -> String {
    let site = Site::new().audio("wrapup_s = 5");
    let site = site.role("agent", "record.start record.stop blackout update.1");
    let site = site.role("chief", "records.all play admin").agent("jdoe", "1001 1002", "agent");
    site.agent("chief", "", "agent chief").toml()
}

/// Buffers of a box of two channels, each for half a second.
const BUFFERS_MS: u64 = (2 * 2 + 16) * 500;

/// A box with an agent whose call is recorded, a call feed and a watcher.
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

    /// Records a call on both channels.
    fn record_both(&mut self) -> [String; 2] {
        let first = self.record();
        self.sim.say(self.feed, "call start device=1002 call=c2");
        [first, pair(&self.sim.say(self.agent, "record start"), "recording")]
    }

    fn stop_both(&mut self) {
        for n in [1, 2] {
            self.sim.say(self.feed, &format!("call stop device=100{n} call=c{n}"));
        }
        self.sim.run_ms(1000);
    }

    /// Frames lost on each channel, as the recorder counts them.
    fn lost(&mut self) -> Vec<u64> {
        let rows = self.sim.say(self.watcher, "channels");
        let rows = rows.iter().filter(|line| line.starts_with("row "));
        rows.map(|row| value(row, "lost").parse().unwrap()).collect()
    }

    fn alarms(&mut self) -> Vec<i32> {
        self.sim.alarms(self.watcher)
    }
}

#[test]
fn h4_slow_disk_uses_buffers_then_slack_then_loses_audio() {
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
    assert_eq!(story.sim.disk.reads, reads, "no client reads");
    story.sim.disk.stuck = false;
    story.sim.run_ms(4000);
    assert!(story.sim.disk.reads > reads);
    assert!(story.sim.news(other).contains(&format!("ok recording={old}")));
    assert!(!story.sim.recordings().iter().any(|id| id.to_string() == old));
    story.sim.assert_clean();
}

#[test]
fn stalled_disk_loses_only_new_audio() {
    let mut story = Story::new();
    let ids = story.record_both();
    story.sim.run_ms(5000);
    story.sim.disk.stuck = true;
    story.sim.run_ms(BUFFERS_MS + 10_000);
    story.sim.disk.stuck = false;
    story.sim.run_ms(1000);
    let lost = story.lost();
    assert!(lost.len() == 2 && lost.iter().all(|lost| (1..160_000).contains(lost)), "{lost:?}");
    story.sim.run_ms(4000);
    assert_eq!(story.lost(), lost, "nothing more is lost");
    story.stop_both();
    for (id, lost) in ids.iter().zip(lost) {
        let stored = story.sim.stored(id);
        stored.check(&story.sim);
        assert!(stored.complete);
        assert_eq!(stored.ledger.lost[LossReason::Ring as usize], lost);
        assert_eq!(stored.ledger.stored, stored.ledger.total_captured() - lost);
        let end = stored.to.0;
        assert_eq!(stored.frames_stored(Position(end - 32_000), Position(end)), 32_000);
    }
    story.sim.assert_clean();
}

#[test]
fn board_away_is_a_lost_span_in_the_recording() {
    let mut story = Story::new();
    let ids = story.record_both();
    story.sim.run_ms(5000);
    story.sim.lose(0, 80_000, LossReason::Board);
    story.sim.run_ms(10_000);
    let lost = story.lost();
    assert!(lost.len() == 2 && lost.iter().all(|lost| (80_000..81_000).contains(lost)), "{lost:?}");
    story.sim.run_ms(4000);
    assert_eq!(story.lost(), lost, "nothing more is lost");
    story.stop_both();
    for id in &ids {
        let stored = story.sim.stored(id);
        stored.check(&story.sim);
        assert!(stored.complete);
        assert_eq!(stored.ledger.lost[LossReason::Board as usize], 80_000);
        // What the full ring refuses right after the gap may be a second span.
        assert!((1..=2).contains(&stored.spans.len()), "{:?}", stored.spans);
    }
    story.sim.assert_clean();
}
