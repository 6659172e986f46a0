//! Recordings that cannot begin, or cannot go on, while the box has no room for them: each begins
//! once, as soon as there is room, however often the call is told of meanwhile.

use hushbox::id::RecordingId;
use hushbox::job::{DiskError, Job};
use hushbox::limits;
use hushbox::store::fact::RecordingEnd;
use hushbox::store::index::Record;
use testkit::sim::SimBox;
use testkit::sim::site::{Site, answer, pair, value};

fn site() -> Site {
    let site = Site::new().role("agent", "record.start record.stop blackout");
    site.agent("jdoe", "1001", "agent").agent("mary", "1002", "agent")
}

const EIO: DiskError = DiskError::Failed(5);

/// A box with an agent and a call feed.
struct Story {
    sim: SimBox,
    agent: u32,
    feed: u32,
}

impl Story {
    fn new(site: &Site) -> Story {
        let mut story = Story { sim: SimBox::new(&site.toml(), 7), agent: 0, feed: 0 };
        story.log_in();
        story
    }

    fn log_in(&mut self) {
        self.agent = self.sim.hello("agent user=jdoe");
        self.feed = self.sim.hello("cti");
    }

    fn feed(&mut self, line: &str) -> Vec<String> {
        self.sim.say(self.feed, line)
    }

    /// More is told of the call, three times.
    fn update_three_times(&mut self) {
        for group in 1..=3 {
            self.feed(&format!("call update device=1001 call=c1 group=g{group}"));
            self.sim.run_ms(20);
        }
    }

    fn recordings_that_wait(&self) -> usize {
        self.sim.recorder().state_fingerprint().matches("InterruptedRecording").count()
    }

    /// The call ends; how many recordings of it there are.
    fn hang_up(&mut self) -> String {
        // What waited for the disk is answered by now.
        self.sim.news(self.feed);
        let said = self.feed("call stop device=1001 call=c1");
        self.sim.run_ms(1000);
        self.sim.assert_clean();
        pair(&said, "recordings")
    }

    /// No data key is left, and none is made.
    fn use_up_envelopes(&mut self) {
        self.sim.no_envelopes = true;
        for call in 0..self.sim.recorder().envelopes_wanted() {
            self.feed(&format!("call start device=1002 call=x{call}"));
            self.feed(&format!("call stop device=1002 call=x{call}"));
        }
        self.sim.run_ms(1000);
        let said = self.feed("call start device=1002 call=last");
        assert_eq!(pair(&said, "recording"), "-", "there was an envelope left");
        self.feed("call stop device=1002 call=last");
        self.sim.run_ms(20);
    }

    /// The file of the call's recording cannot be written any more.
    fn break_file(&mut self, recording: &str) {
        let name = recording.to_owned();
        self.sim.disk.refuse = Some(Box::new(move |job, path| {
            (matches!(job, Job::Append { .. }) && path.contains(&name)).then_some(EIO)
        }));
        self.sim.run_ms(1000);
        self.sim.disk.refuse = None;
    }

    /// The records of a call, the oldest first.
    fn records(&self, call: &str) -> Vec<Record> {
        let (journal, filter) = (self.sim.journal(), Default::default());
        let all = journal.list_records(&filter).filter(|record| record.began.call.call == call);
        let mut all: Vec<Record> = all.cloned().collect();
        all.reverse();
        all
    }
}

#[test]
fn b1_call_updated_while_the_disk_is_away_is_recorded_once() {
    let mut story = Story::new(&site().full_time());
    story.sim.run_ms(500);
    story.sim.disk.refuse = Some(Box::new(|job, _| {
        (!matches!(job, Job::Read { .. } | Job::QueryFreeSpace)).then_some(EIO)
    }));
    story.feed("call start device=1002 call=c0");
    story.feed("call stop device=1002 call=c0");
    story.sim.run_ms(300);
    story.feed("call start device=1001 call=c1");
    story.sim.run_ms(60);
    story.update_three_times();
    assert_eq!(story.recordings_that_wait(), 1, "one for each call");
    story.sim.disk.refuse = None;
    story.sim.run_ms(8000);
    assert_eq!(story.hang_up(), "1");
    assert_eq!((story.records("c1").len(), story.recordings_that_wait()), (1, 0));
}

#[test]
fn b1_call_updated_while_the_disk_is_full_is_recorded_once() {
    let mut story = Story::new(&site().full_time());
    story.sim.disk.space.0 = 1 << 20;
    story.sim.run_ms(6000);
    let said = story.feed("call start device=1001 call=c1");
    assert_eq!(pair(&said, "recording"), "-");
    story.update_three_times();
    assert_eq!(story.recordings_that_wait(), 1);
    story.sim.disk.space.0 = 900 << 30;
    story.sim.run_ms(6000);
    assert_eq!(story.hang_up(), "1");
}

#[test]
fn b1_call_updated_while_no_key_is_in_stock_is_recorded_once() {
    let mut story = Story::new(&site().full_time());
    story.use_up_envelopes();
    story.feed("call start device=1001 call=c1");
    story.update_three_times();
    assert_eq!(story.recordings_that_wait(), 1);
    story.sim.release_envelopes();
    story.sim.run_ms(1000);
    assert_eq!(story.hang_up(), "1");
}

#[test]
fn b1_call_updated_right_after_a_start_is_recorded_once() {
    let mut story = Story::new(&site().full_time());
    story.feed("call start device=1001 call=c1");
    story.sim.run_ms(2000);
    story.sim.no_envelopes = true;
    story.sim.restart(false);
    story.log_in();
    story.update_three_times();
    assert_eq!(story.recordings_that_wait(), 1);
    story.sim.release_envelopes();
    story.sim.run_ms(1000);
    assert_eq!(story.hang_up(), "1", "since the start");
    let records = story.records("c1");
    assert_eq!(records.len(), 2);
    assert_eq!(records[1].began.continues, Some(records[0].id()));
}

#[test]
fn b1_call_beyond_what_is_kept_is_recorded_when_room_is_made() {
    let mut story = Story::new(&site().full_time());
    for call in 0..limits::RECORDINGS_MAX {
        story.feed(&format!("call start device=1002 call=x{call}"));
        story.feed(&format!("call stop device=1002 call=x{call}"));
    }
    let said = story.feed("call start device=1001 call=c1");
    assert_eq!(pair(&said, "recording"), "-");
    story.sim.run_ms(1000);
    assert_eq!(story.recordings_that_wait(), 0);
    assert_eq!(story.hang_up(), "1");
}

#[test]
fn b1_recording_without_a_successor_goes_on_when_a_key_comes() {
    let mut story = Story::new(&site().full_time());
    let said = story.feed("call start device=1001 call=c1");
    let first = pair(&said, "recording");
    story.sim.run_ms(2000);
    story.use_up_envelopes();
    story.break_file(&first);
    story.update_three_times();
    assert_eq!(story.recordings_that_wait(), 1);
    story.sim.release_envelopes();
    story.sim.run_ms(1000);
    assert_eq!(story.hang_up(), "2");
    let records = story.records("c1");
    let ended = records[0].ended.as_ref().expect("an end");
    assert_eq!(ended.end, RecordingEnd::Storage);
    assert_eq!(records[1].began.continues, RecordingId::parse(&first));
    assert!(records[1].began.from >= ended.to, "no sample is in both");
}

#[test]
fn b1_recording_stopped_while_it_waits_does_not_go_on() {
    let mut story = Story::new(&site().more(
        "[[schedule]]\nname = \"all of 1002\"\ntype = \"percentage\"\npercent = 100\n\
         devices = [\"1002\"]",
    ));
    story.feed("call start device=1001 call=c1");
    let said = story.sim.say(story.agent, "record start");
    let id = pair(&said, "recording");
    story.sim.run_ms(2000);
    story.use_up_envelopes();
    story.break_file(&id);
    assert_eq!(story.recordings_that_wait(), 1);
    let said = story.sim.say(story.agent, "record stop");
    assert_eq!(value(answer(&said), "state"), "off");
    assert_eq!(story.recordings_that_wait(), 0);
    story.sim.release_envelopes();
    story.sim.run_ms(1000);
    assert_eq!(story.hang_up(), "1");
}

#[test]
fn h4_calls_are_refused_when_a_stuck_disk_leaves_no_memory() {
    let site = site().more(
        "[[board]]\nname = \"life\"\nkind = \"sim\"\nrate = 8000\nactivity = \"script\"\n\
         [[board.channels]]\nid = 3\ndevice = \"1003\"\nsides = \"mono\"\nsource = \"x.wav\"\n\
         script = \"idle 1s, call in 1s\"",
    );
    let mut story = Story::new(&site);
    let watcher = story.sim.hello("monitor");
    story.sim.say(watcher, "watch");
    story.feed("call start device=1001 call=c1");
    story.sim.disk.stuck = true;
    let long = "g".repeat(32);
    let mut refused = false;
    // Answers wait for the disk, 64 for each session; a feed that connects anew is a new session.
    for session in 0..600 {
        let feed = story.sim.hello("cti");
        for update in 0..50 {
            let line = format!(
                "call update device=1001 call=c1 group={long} gate={long} ani={long} \
                 dnis={session}.{update}"
            );
            let said = story.sim.say(feed, &line);
            refused |= said.iter().any(|line| line.starts_with("err storage "));
        }
        story.sim.gone(feed);
        if refused {
            break;
        }
    }
    assert!(refused, "memory has a bound");
    story.sim.news(watcher);
    story.sim.run_ms(6000);
    let news = story.sim.news(watcher);
    let began = news.iter().filter(|line| line.contains("what=call-began")).count();
    assert_eq!(began, 0, "a line that is seized needs memory too");
    story.sim.disk.stuck = false;
    story.sim.run_ms(6000);
    let news = story.sim.news(watcher);
    let began = news.iter().filter(|line| line.contains("what=call-began")).count();
    assert!(began >= 2, "calls are seen again");
    assert_eq!(story.hang_up(), "0");
}
