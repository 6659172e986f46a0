//! The progress watchdog, with simulated boards and disk: what is recorded must become durable; a
//! disk that reports an error raises an alarm and causes no restart.

use hushbox::job::{DiskError, Job};
use hushbox::watchdog::{BoardHealth, BoardProgress, ProgressWatchdog, STORE_LAG_MS, StallError};
use protocol::Kind;
use testkit::sim::SimBox;

const CONFIG: &str = r#"
[box]
name = "box-01"
data = "data"
[on_demand]
enabled = true
[audio]
codec = "pcm"
holdback_ms = 1500
[[board]]
name = "demo"
kind = "sim"
rate = 8000
activity = "cti"
channels = [{ id = 1, device = "1001", sides = "mono", source = "x.wav" }]
[[role]]
name = "agent"
permissions = ["record.start", "record.stop", "blackout"]
[[agent]]
username = "jdoe"
phones = ["1001"]
roles = ["agent"]
[[schedule]]
name = "on demand"
type = "on-demand"
"#;

/// A box that records, and its watchdog.
struct Story {
    sim: SimBox,
    pulse: ProgressWatchdog,
    agent: u32,
    feed: u32,
}

impl Story {
    fn new() -> Story {
        let mut sim = SimBox::new(CONFIG, 7);
        let (agent, feed) = (sim.client(&[Kind::Agent]), sim.client(&[Kind::Cti]));
        sim.say(feed, "hello cti");
        sim.say(agent, "hello agent user=jdoe");
        sim.say(feed, "call start device=1001 call=c1");
        sim.say(agent, "record start");
        let pulse = ProgressWatchdog::new(sim.now, 1);
        Story { sim, pulse, agent, feed }
    }

    /// Seconds pass; the first stall.
    fn seconds(&mut self, count: u64) -> Option<StallError> {
        (0..count).find_map(|_| {
            self.sim.run_ms(1000);
            self.sim.ping(self.agent);
            self.sim.ping(self.feed);
            let sight = BoardProgress { health: BoardHealth::Running, position: self.sim.head(0) };
            let behind_ms = self.sim.recorder().durability_lag_ms();
            self.pulse.check_progress(self.sim.now, std::iter::once(sight), behind_ms).err()
        })
    }
}

#[test]
fn h1_recorded_masked_and_held_audio_becomes_durable() {
    let mut story = Story::new();
    for line in ["", "blackout start", "blackout stop", "record stop", "record start"] {
        if !line.is_empty() {
            story.sim.say(story.agent, line);
        }
        for _ in 0..8 {
            assert_eq!(story.seconds(1), None);
            let behind_ms = story.sim.recorder().durability_lag_ms();
            assert!(behind_ms <= 1000, "{behind_ms} ms after {line:?}: more than a cut may cost");
        }
    }
    story.sim.say(story.feed, "call hold device=1001 call=c1");
    assert_eq!(story.seconds(STORE_LAG_MS / 1000 + 20), None);
}

#[test]
fn h1_disk_that_never_answers_stops_the_watchdog() {
    let mut story = Story::new();
    assert_eq!(story.seconds(5), None);
    story.sim.disk.stuck = true;
    let stall = story.seconds(STORE_LAG_MS / 1000 + 10).expect("nothing becomes durable");
    assert!(matches!(stall, StallError::Store { ms } if ms > STORE_LAG_MS), "{stall}");
    story.sim.disk.stuck = false;
    story.sim.run_ms(1000);
    assert_eq!(story.seconds(5), None, "it answers again");
}

#[test]
fn h1_disk_errors_raise_an_alarm_not_a_restart() {
    let mut story = Story::new();
    assert_eq!(story.seconds(5), None);
    story.sim.disk.refuse = Some(Box::new(|job, _| {
        let writes = !matches!(job, Job::Read { .. } | Job::QueryFreeSpace);
        writes.then_some(DiskError::Failed(5))
    }));
    assert_eq!(story.seconds(3 * STORE_LAG_MS / 1000), None);
    story.sim.disk.refuse = None;
    assert_eq!(story.seconds(10), None);
}
