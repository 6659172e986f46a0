//! A disk with free space that takes no new file: no inode is left, a quota is used up, the folder
//! is read-only. It is one state with one alarm. Presses are refused at once, running recordings
//! continue, and recordings that should begin wait for the disk.

use hushbox::job::{DiskError, Job};
use hushbox::store::layout;
use testkit::sim::SimBox;
use testkit::sim::disk::Refuse;
use testkit::sim::site::{Site, answer, value};

const EACCES: DiskError = DiskError::Failed(13);

fn site() -> Site {
    let site = Site::new().role("agent", "record.start record.stop blackout screen");
    site.agent("jdoe", "1001", "agent").agent("mary", "1002", "agent")
}

struct Story {
    sim: SimBox,
    jane: u32,
    mary: u32,
    feed: u32,
    watcher: u32,
}

impl Story {
    fn new(site: &Site) -> Story {
        let mut sim = SimBox::new(&site.toml(), 14);
        let (jane, mary) = (sim.hello("agent user=jdoe"), sim.hello("agent user=mary"));
        let (feed, watcher) = (sim.hello("cti"), sim.hello("monitor"));
        sim.say(watcher, "watch");
        Story { sim, jane, mary, feed, watcher }
    }

    fn ask(&mut self, client: u32, line: &str) -> String {
        answer(&self.sim.say(client, line)).to_string()
    }
}

/// Refuses every new file; open files are written as ever.
fn new_files(error: DiskError) -> Refuse {
    Box::new(move |job, _| {
        matches!(job, Job::Create { .. } | Job::TryCreate { .. }).then_some(error)
    })
}

#[test]
fn h4_disk_without_inodes_is_one_state_until_it_takes_files() {
    for (error, code, reason) in [
        (DiskError::Full, "disk-full", "no inode or no quota is left"),
        (EACCES, "storage", "Permission denied"),
    ] {
        let mut story = Story::new(&site());
        story.ask(story.feed, "call start device=1001 call=c1");
        story.ask(story.feed, "call start device=1002 call=c2");
        let first = value(&story.ask(story.jane, "record start"), "recording");
        story.sim.run_ms(2000);
        story.sim.disk.refuse = Some(new_files(error));
        // The first press finds out; the next ones do not ask the disk.
        let said = story.ask(story.mary, "record start");
        assert!(said.starts_with(&format!("err {code}")), "{said}");
        story.sim.run_ms(1000);
        assert_eq!(story.sim.alarms(story.watcher), [406]);
        let jobs = story.sim.disk.jobs;
        let said = story.ask(story.mary, "record start");
        assert!(said.starts_with(&format!("err {code}")) && said.contains(reason), "{said}");
        assert_eq!(story.sim.disk.jobs, jobs, "the disk was not asked");
        // The running recording and its blackout do not need a file.
        story.ask(story.jane, "blackout start");
        story.sim.run_ms(20_000);
        story.ask(story.jane, "blackout stop");
        assert!(story.sim.alarms(story.watcher).is_empty(), "the alarm stays");
        story.sim.disk.refuse = None;
        story.sim.run_ms(6000);
        assert_eq!(story.sim.alarms(story.watcher), [-406], "without a press");
        let said = story.ask(story.mary, "record start");
        assert!(said.starts_with("ok "), "{said}");
        story.sim.run_ms(1000);
        let said = story.ask(story.jane, "record stop");
        assert_eq!(value(&said, "recording"), first);
        story.ask(story.feed, "call stop device=1001 call=c1");
        story.ask(story.feed, "call stop device=1002 call=c2");
        story.sim.run_ms(2000);
        story.sim.stored(&first).check(&story.sim);
        story.sim.assert_clean();
        let left =
            story.sim.disk.live.keys().any(|path| *path == layout::trial_path(story.sim.now.wall));
        assert!(!left, "the trial leaves nothing");
    }
}

#[test]
fn h4_scheduled_recording_waits_for_a_disk_that_takes_files() {
    let mut story = Story::new(&site().full_time());
    story.sim.disk.refuse = Some(new_files(DiskError::Full));
    story.ask(story.feed, "call start device=1001 call=c1");
    story.sim.run_ms(1000);
    assert_eq!(story.sim.alarms(story.watcher), [406]);
    story.ask(story.feed, "call start device=1002 call=c2");
    story.sim.run_ms(1000);
    story.sim.disk.refuse = None;
    story.sim.run_ms(2000);
    assert_eq!(story.sim.alarms(story.watcher), [-406]);
    story.ask(story.feed, "call stop device=1001 call=c1");
    story.ask(story.feed, "call stop device=1002 call=c2");
    story.sim.run_ms(2000);
    let recordings = story.sim.recordings();
    assert_eq!(recordings.len(), 2);
    for id in recordings {
        story.sim.stored(&id.to_string()).check(&story.sim);
    }
    story.sim.assert_clean();
}

#[test]
fn h4_failed_disk_has_its_own_alarm_only() {
    let mut story = Story::new(&site());
    story.ask(story.feed, "call start device=1001 call=c1");
    story.sim.run_ms(1000);
    story.sim.disk.refuse = Some(Box::new(|job, _| {
        (!matches!(job, Job::Read { .. } | Job::QueryFreeSpace)).then_some(DiskError::Failed(5))
    }));
    let said = story.ask(story.jane, "record start");
    assert!(said.starts_with("err storage"), "{said}");
    story.sim.run_ms(8000);
    assert_eq!(story.sim.alarms(story.watcher), [402]);
    story.sim.disk.refuse = None;
    story.sim.run_ms(7000);
    assert_eq!(story.sim.alarms(story.watcher), [-402]);
    assert!(story.ask(story.jane, "record start").starts_with("ok "));
    story.sim.assert_clean();
}
