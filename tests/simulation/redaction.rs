//! Removing a range of a recording for good: what is gone, what stays, who may, and power cuts.

use hushbox::audio::span::Fate;
use hushbox::id::RecordingId;
use hushbox::job::{DiskError, Job};
use hushbox::store::index::Record;
use hushbox::store::recover;
use testkit::screen_client::{self, ScreenClient};
use testkit::sim::SimBox;
use testkit::sim::audio::sample;
use testkit::sim::disk::{Image, SimDisk, Tail};
use testkit::sim::site::{Site, answer, pair, value};

const CHIEF: &str = "records.all play protect admin redact record.start blackout.others";

fn site(keys: &str) -> Site {
    let site = Site::new().audio("wrapup_s = 5").store(keys);
    let site = site.role("agent", "record.start record.stop blackout update.1");
    let site = site.role("chief", CHIEF);
    let site = site.role("lead", "records.all play protect admin record.others");
    let site = site.agent("jdoe", "1001", "agent").agent("chief", "", "chief");
    let pin = "$argon2id$v=19$m=19456,t=2,p=1$BtIvqaj9XY7ZBxJ22c5iVw$\
               TyjQ7ygFTOcEHsXrsnq57JJbStAteqOOA0/cG+bNoiU";
    let site = site.agent("lead", "", "lead");
    site.more(&format!("[[technician]]\nname = \"field\"\npin = \"{pin}\""))
}

/// A box with an agent, a call feed, and a supervisor who may remove ranges.
struct Story {
    sim: SimBox,
    jane: u32,
    feed: u32,
    chief: u32,
}

impl Story {
    fn new(site: &Site) -> Story {
        let sim = SimBox::new(&site.toml(), 5);
        let mut story = Story { sim, jane: 0, feed: 0, chief: 0 };
        story.log_in();
        story.sim.run_ms(1000);
        story
    }

    fn log_in(&mut self) {
        self.jane = self.sim.hello("agent user=jdoe");
        self.feed = self.sim.hello("cti");
        self.chief = self.sim.hello("supervisor user=chief");
    }

    /// Records a call from second 1 on, with a blackout pressed at second 5 that comes 8 s later.
    /// Returns the recording; its wrap-up is over.
    fn record_with_late_blackout(&mut self) -> String {
        self.sim.say(self.feed, "call start device=1001 call=c1");
        let id = pair(&self.sim.say(self.jane, "record start"), "recording");
        self.sim.run_ms(12_000);
        let said = self.sim.say(self.jane, "blackout start pressed_ms=8000");
        assert_eq!(pair(&said, "late_ms"), "7000");
        self.sim.run_ms(1000);
        self.sim.say(self.jane, "blackout stop");
        self.sim.say(self.jane, "update 1 \"Jane Roe\"");
        self.sim.run_ms(2000);
        self.sim.say(self.feed, "call stop device=1001 call=c1");
        self.sim.run_ms(6000);
        id
    }

    /// Lets a day pass. A call on the next one closes it.
    fn begin_next_day(&mut self) {
        self.sim.pass_ms(86_400_000);
        self.sim.run_ms(2000);
        self.log_in();
        self.sim.say(self.feed, "call start device=1002 call=later");
        self.sim.say(self.feed, "call stop device=1002 call=later");
        self.sim.run_ms(2000);
    }

    fn redact(&mut self, id: &str, from_ms: u64, to_ms: u64) -> Vec<String> {
        let line = format!("redact {id} from_ms={from_ms} to_ms={to_ms} reason=\"card data\"");
        self.sim.say(self.chief, &line)
    }

    fn rows(&mut self, id: &str, what: &str) -> Vec<String> {
        let said = self.sim.say(self.chief, &format!("show {id}"));
        said.into_iter().filter(|row| row.contains(&format!("what={what} "))).collect()
    }

    fn record(&self, id: &str) -> Record {
        let journal = self.sim.journal();
        journal.record(RecordingId::parse(id).unwrap()).expect("a record").clone()
    }

    /// Whether four neighbouring samples of channel 1 from this range are anywhere on the disk.
    fn is_on_disk(&self, from: u64, to: u64) -> bool {
        let bytes = |at: u64| sample(1, 1, at, 0).to_le_bytes();
        let found = |at: u64| {
            let four: Vec<u8> = (at..at + 4).flat_map(bytes).collect();
            let images = [&self.sim.disk.live, &self.sim.disk.durable];
            let has = |file: &Vec<u8>| file.windows(8).any(|window| window == four);
            images.into_iter().any(|image| image.values().any(has))
        };
        (from..to).step_by(500).any(found)
    }
}

/// Asserts that a recovery of this image gives the same when it is repeated or interrupted.
fn assert_recovers(image: &Image) {
    let once = |image: &Image, mends_left: Option<u32>| {
        let mut disk = SimDisk::default();
        disk.mends_left = mends_left;
        (disk.live, disk.durable) = (image.clone(), image.clone());
        let found = recover::recover_store(&mut disk).ok();
        (disk.live, found.map(|found| format!("{:?}", found.index)))
    };
    let (whole, found) = once(image, None);
    assert!(found.is_some() && once(&whole, None) == (whole.clone(), found.clone()));
    for mends in 0.. {
        let (torn, ended) = once(image, Some(mends));
        if ended.is_some() {
            break;
        }
        assert!(once(&torn, None) == (whole.clone(), found.clone()), "cut in step {mends}");
    }
}

#[test]
fn g2_h6_late_seconds_are_removed_from_disk_record_and_alarm() {
    for keys in ["seal = false", ""] {
        let mut story = Story::new(&site(keys));
        let monitor = story.sim.hello("monitor");
        story.sim.say(monitor, "watch");
        let id = story.record_with_late_blackout();
        assert!(story.sim.alarms(monitor).contains(&305));
        let before = story.record(&id);
        assert_eq!(story.rows(&id, "unmasked").len(), 1);
        assert_eq!(story.is_on_disk(24_000, 80_000), keys == "seal = false");
        // The recording begins at 8000; the missed range is 24000 to 80000.
        let said = story.redact(&id, 2000, 9000);
        let range = (pair(&said, "removed_from"), pair(&said, "removed_to"));
        assert_eq!(range, ("24000".into(), "80000".into()), "{said:?}");
        assert_eq!(pair(&said, "removed_frames"), "56000");
        assert!(!story.is_on_disk(24_000, 80_000), "the samples are still on the disk");
        assert!(story.sim.alarms(monitor).contains(&-305));
        assert!(story.rows(&id, "unmasked").is_empty());
        let removed = story.rows(&id, "removed");
        assert_eq!(removed.len(), 1, "{removed:?}");
        let row = (value(&removed[0], "from"), value(&removed[0], "by"));
        assert_eq!(row, ("24000".into(), "chief".into()));
        assert!(removed[0].ends_with("reason=\"card data\""), "{removed:?}");
        let stored = story.sim.stored(&id);
        stored.check(&story.sim);
        assert_eq!(stored.stretches(), "16000 stored, 88000 masked, 16000 stored");
        story.sim.assert_clean();
        let after = story.record(&id);
        let (old, new) = (before.ended.unwrap(), after.ended.clone().unwrap());
        assert_eq!(
            (old.to, old.end, old.ledger.stored),
            (new.to, new.end, new.ledger.stored + 56_000)
        );
        assert!(new.size < old.size && new.digest != old.digest);
        // Numbers and fields stay readable, and everything outlives a power cut.
        assert!(story.rows(&id, "field")[0].contains("Jane Roe"));
        story.sim.restart(true);
        story.log_in();
        assert_eq!(story.rows(&id, "removed"), removed);
        assert_eq!(story.record(&id).ended, after.ended);
        let technician = story.sim.hello("technician user=field pin=2468");
        let alarms = story.sim.say(technician, "alarms").join("\n");
        assert!(!alarms.contains("alarm=305"), "{alarms}");
        story.sim.assert_clean();
    }
}

#[test]
fn h6_whole_chunks_are_removed_and_reply_says_which() {
    let mut story = Story::new(&site("seal = false"));
    let id = story.record_with_late_blackout();
    let said = story.redact(&id, 2600, 2700);
    let range = (pair(&said, "removed_from"), pair(&said, "removed_to"));
    assert_eq!(range, ("28000".into(), "32000".into()), "half a second around it");
    assert_eq!((pair(&said, "rate"), pair(&said, "screen_ms")), ("8000".into(), "0".into()));
    assert!(!story.is_on_disk(28_000, 32_000));
    assert!(story.is_on_disk(27_000, 27_900) && story.is_on_disk(32_000, 33_000));
    let rows = story.rows(&id, "unmasked");
    let left: Vec<_> = rows.iter().map(|row| (value(row, "from"), value(row, "to"))).collect();
    let text = |from: &str, to: &str| (from.to_owned(), to.to_owned());
    assert_eq!(left, [text("24000", "28000"), text("32000", "80000")]);
    // The same again finds nothing, and changes nothing.
    let again = story.redact(&id, 2600, 2700);
    assert!(answer(&again).starts_with("err bad-argument"), "{again:?}");
    assert_eq!(story.rows(&id, "removed").len(), 1);
    story.sim.stored(&id).check(&story.sim);
    story.sim.assert_clean();
}

#[test]
fn h6_opus_plays_on_after_a_removed_range() {
    let mut story = Story::new(&site("").codec("opus"));
    story.sim.wave = Some(Box::new(|_, at| if at % 16 < 8 { 9000 } else { -9000 }));
    let id = story.record_with_late_blackout();
    let said = story.redact(&id, 2000, 9000);
    let (from, to) = (pair(&said, "removed_from"), pair(&said, "removed_to"));
    // The chunk after the range begins with the audio that the codec still had.
    assert_eq!((from.as_str(), to.as_str()), ("24000", "80000"), "{said:?}");
    let stored = story.sim.stored(&id);
    assert_eq!(stored.stretches(), "16000 stored, 88000 masked, 16000 stored");
    let start = 8000;
    let loudest = |from: usize, to: usize| {
        stored.samples[from - start..to - start].iter().map(|s| s.unsigned_abs()).max()
    };
    assert_eq!(loudest(24_000, 80_000), Some(0));
    assert!(loudest(10_000, 20_000) > Some(3000) && loudest(114_000, 120_000) > Some(3000));
    story.sim.assert_clean();
}

#[test]
fn d3_h6_removal_needs_its_permission_a_range_and_no_legal_hold() {
    let mut story = Story::new(&site("seal = false"));
    let id = story.record_with_late_blackout();
    let before = story.sim.disk.live.clone();
    let lead = story.sim.hello("supervisor user=lead");
    let ask = format!("redact {id} from_ms=2000 to_ms=9000 reason=\"card data\"");
    let said = story.sim.say(lead, &ask);
    assert!(answer(&said).starts_with("err denied"), "{said:?}");
    assert!(answer(&said).contains("redact"), "{said:?}");
    for (from_ms, to_ms) in [(60_000, 70_000), (u64::MAX - 1, u64::MAX)] {
        let said = story.redact(&id, from_ms, to_ms);
        assert!(answer(&said).starts_with("err bad-argument"), "{said:?}");
    }
    let said = story.redact("aaaaaaaaaaaaaaaa", 0, 10);
    assert!(answer(&said).starts_with("err no-such-record"), "{said:?}");
    story.sim.say(story.chief, &format!("protect {id} on"));
    let said = story.redact(&id, 2000, 9000);
    assert!(answer(&said).starts_with("err denied"), "{said:?}");
    assert!(answer(&said).contains("legal hold"), "{said:?}");
    let path = |path: &&String| path.ends_with(".hbm");
    for file in before.keys().filter(path) {
        assert!(story.sim.disk.live[file] == before[file], "{file} changed");
    }
    story.sim.say(story.chief, &format!("protect {id} off"));
    assert!(answer(&story.redact(&id, 2000, 9000)).starts_with("ok"));
    // A call that goes on, and one in wrap-up.
    story.sim.say(story.feed, "call start device=1001 call=c2");
    let running = pair(&story.sim.say(story.jane, "record start"), "recording");
    story.sim.run_ms(2000);
    let said = story.redact(&running, 0, 1000);
    assert!(answer(&said).starts_with("err busy"), "{said:?}");
    story.sim.say(story.feed, "call stop device=1001 call=c2");
    story.sim.run_ms(1000);
    let said = story.redact(&running, 0, 1000);
    assert!(answer(&said).starts_with("err busy"), "{said:?}");
    story.sim.assert_clean();
}

#[test]
fn h6_file_that_is_being_sent_ends_with_an_error_and_next_one_is_the_new_one() {
    let mut story = Story::new(&site("seal = false"));
    let id = story.record_with_late_blackout();
    let player = story.sim.hello("supervisor user=chief");
    story.sim.reads(player, false);
    story.sim.send(player, format!("media {id}\n").as_bytes());
    assert!(answer(&story.redact(&id, 2000, 9000)).starts_with("ok"));
    story.sim.reads(player, true);
    story.sim.run_ms(100);
    let said = story.sim.news(player);
    assert!(answer(&said).starts_with("err busy"), "{:?}", said.last());
    let said = story.sim.say(player, &format!("media {id}"));
    let size = story.record(&id).ended.unwrap().size;
    assert_eq!(pair(&said, "size"), size.to_string());
}

#[test]
fn h3_h6_power_cut_at_every_job_removes_all_or_nothing() {
    let (mut done, mut undone) = (0, 0);
    for at in 1.. {
        let mut story = Story::new(&site("seal = false"));
        let id = story.record_with_late_blackout();
        let before = story.record(&id).ended.unwrap();
        // A reply leaves only when everything is durable, so no cut may come between.
        story.sim.disk.delay_us = 1000;
        let first = story.sim.disk.jobs;
        story.sim.disk.cut_at = Some(first + at);
        let mut said = story.redact(&id, 2000, 9000);
        for _ in 0..100 {
            if story.sim.disk.is_dead() || answer(&said).starts_with("ok") {
                break;
            }
            story.sim.run_ms(20);
            said.extend(story.sim.news(story.chief));
        }
        let replied = answer(&said).starts_with("ok");
        let cut = story.sim.disk.is_dead();
        if cut && at % 2 == 0 {
            story.sim.disk.begin_last();
        }
        let keep = at % 3 == 0;
        let tail = |bytes: usize| Some(Tail { whole: bytes, zeros: 0 }).filter(|_| keep);
        story.sim.disk.cut_as(|_, bytes| tail(bytes));
        assert_recovers(&story.sim.disk.live);
        story.sim.disk.delay_us = 0;
        story.sim.start_again();
        story.log_in();
        story.sim.run_ms(1000);
        let ended = story.record(&id).ended.unwrap();
        let removed = ended.digest != before.digest;
        assert!(removed || !replied, "job {at}: the reply promised it");
        assert_eq!(story.is_on_disk(24_000, 80_000), !removed, "job {at}");
        let left = story.sim.disk.live.keys().find(|path| path.ends_with(".tmp"));
        assert_eq!(left, None, "job {at}: the new file is left over");
        let stored = story.sim.stored(&id);
        stored.check(&story.sim);
        let masked = stored.runs.iter().filter(|run| run.fate == Fate::Masked);
        let masked: u64 = masked.map(|run| u64::from(run.frames)).sum();
        assert_eq!(masked, if removed { 88_000 } else { 32_000 }, "job {at}");
        story.sim.assert_clean();
        assert_eq!(story.rows(&id, "unmasked").is_empty(), removed, "job {at}");
        (done, undone) = (done + u32::from(removed), undone + u32::from(!removed));
        if !removed {
            assert!(answer(&story.redact(&id, 2000, 9000)).starts_with("ok"), "job {at}");
        }
        if !cut {
            break;
        }
    }
    println!("{done} cuts after the fact, {undone} before it");
    assert!(done > 3 && undone > 5, "{done} after the fact, {undone} before it");
}

#[test]
fn h2_h6_disk_that_refuses_a_step_leaves_the_old_file_or_tries_again() {
    type IsRefused = fn(&Job, &str) -> bool;
    let kinds: [(&str, IsRefused); 5] = [
        ("create", |job, path| matches!(job, Job::Create { .. }) && path.ends_with(".tmp")),
        ("append", |job, path| matches!(job, Job::Append { .. }) && path.ends_with(".tmp")),
        ("read", |job, _| matches!(job, Job::Read { .. })),
        ("overwrite", |job, _| matches!(job, Job::Overwrite { .. })),
        ("replace", |job, _| matches!(job, Job::Replace { .. })),
    ];
    for (kind, is_refused) in kinds {
        let mut story = Story::new(&site("seal = false"));
        let id = story.record_with_late_blackout();
        let refuse =
            move |job: &Job, path: &str| is_refused(job, path).then_some(DiskError::Failed(5));
        story.sim.disk.refuse = Some(Box::new(refuse));
        let mut said = story.redact(&id, 2000, 9000);
        story.sim.run_ms(200);
        said.extend(story.sim.news(story.chief));
        let waits = kind == "replace";
        let answered = answer(&said).to_owned();
        match kind {
            "overwrite" => assert!(answered.starts_with("ok"), "{kind}: {answered}"),
            "replace" => assert_eq!(answered, "", "{kind}"),
            _ => assert!(answered.starts_with("err storage"), "{kind}: {answered}"),
        }
        story.sim.disk.refuse = None;
        story.sim.run_ms(8000);
        if waits {
            let said = story.sim.news(story.chief);
            assert!(answer(&said).starts_with("ok"), "{kind}: {said:?}");
        } else if kind != "overwrite" {
            assert!(story.is_on_disk(24_000, 80_000), "{kind}");
            assert!(answer(&story.redact(&id, 2000, 9000)).starts_with("ok"), "{kind}");
        }
        assert!(!story.is_on_disk(24_000, 80_000), "{kind}");
        story.sim.stored(&id).check(&story.sim);
        story.sim.assert_clean();
    }
}

#[test]
fn h2_h6_disk_that_fails_and_comes_back_finishes_a_noted_removal() {
    for jobs in 1..24 {
        let mut story = Story::new(&site("seal = false"));
        let id = story.record_with_late_blackout();
        story.sim.disk.delay_us = 500;
        let before = story.sim.disk.jobs;
        story.sim.send(
            story.chief,
            format!("redact {id} from_ms=2000 to_ms=9000 reason=x\n").as_bytes(),
        );
        while story.sim.disk.jobs < before + jobs
            && !story.sim.news(story.chief).iter().any(|line| line.starts_with("ok rec"))
        {
            story.sim.run_ms(20);
        }
        story.sim.disk.refuse = Some(Box::new(|job, _| {
            matches!(job, Job::Sync { .. }).then_some(DiskError::Failed(5))
        }));
        story.sim.run_ms(2000);
        story.sim.disk.refuse = None;
        story.sim.run_ms(4000);
        story.sim.disk.delay_us = 0;
        story.sim.run_ms(1000);
        let removed = story.record(&id).removed.len();
        if removed == 0 {
            assert!(answer(&story.redact(&id, 2000, 9000)).starts_with("ok"), "job {jobs}");
        }
        assert!(!story.is_on_disk(24_000, 80_000), "job {jobs}");
        story.sim.stored(&id).check(&story.sim);
        story.sim.restart(true);
        story.sim.assert_clean();
        assert!(!story.is_on_disk(24_000, 80_000), "job {jobs}");
    }
}

#[test]
fn h6_range_of_an_old_recording_is_removed_and_its_day_says_so() {
    let mut story = Story::new(&site("seal = false"));
    let id = story.record_with_late_blackout();
    let size = |story: &mut Story| {
        let rows = story.sim.say(story.chief, "records");
        let row = rows.iter().find(|row| row.contains(&id)).expect("a row").clone();
        value(&row, "size").parse::<u64>().unwrap()
    };
    let before = size(&mut story);
    story.begin_next_day();
    assert!(story.sim.disk.live.keys().any(|path| path.ends_with(".hbs")), "the day is closed");
    assert!(answer(&story.redact(&id, 2000, 9000)).starts_with("ok"));
    let after = size(&mut story);
    assert!(after < before);
    story.begin_next_day();
    assert_eq!(size(&mut story), after);
    assert_eq!(story.rows(&id, "removed").len(), 1);
    story.sim.restart(true);
    story.log_in();
    assert_eq!((size(&mut story), story.rows(&id, "removed").len()), (after, 1));
    assert!(!story.is_on_disk(24_000, 80_000));
    story.sim.assert_clean();
}

#[test]
fn e2_h6_screen_of_the_removed_range_is_gone_too() {
    for seal in [false, true] {
        let site = screen_client::site().store(&format!("seal = {seal}"));
        let site = site.role("redactor", "redact records.all").agent("eve", "", "redactor");
        let mut desk = ScreenClient::new(&site);
        desk.call("call start device=1001 call=c1");
        desk.sim.run_ms(1000);
        let id = pair(&desk.say("record start"), "recording");
        desk.watch(10);
        desk.call("call stop device=1001 call=c1");
        desk.sim.run_ms(16_000);
        assert_eq!(desk.screen_of(&id).numbers(), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        let eve = desk.sim.hello("supervisor user=eve");
        // Second 4 to 5 of the recording is on the screen from 5 to 6 s; a second more on each side
        // touches the pieces that begin at 3 to 7 s.
        let said = desk.sim.say(eve, &format!("redact {id} from_ms=4000 to_ms=5000 reason=x"));
        let gone = (pair(&said, "screen_ms"), pair(&said, "removed_frames"));
        assert_eq!(gone, ("5000".into(), "8000".into()), "{said:?}");
        let seen = desk.screen_of(&id);
        assert_eq!(seen.numbers(), [1, 2, 8, 9, 10]);
        assert_eq!(seen.stretches(), "2000 stored, 5000 masked, 3000 stored");
        let wanted: &[u64] = if seal { &[] } else { &[1, 2, 8, 9, 10] };
        assert_eq!(desk.on_disk(), wanted);
        let said = desk.sim.say(eve, &format!("show {id}"));
        let parts: Vec<String> = said
            .iter()
            .filter(|row| row.contains("what=removed "))
            .map(|row| value(row, "part"))
            .collect();
        assert_eq!(parts, ["screen", "sound"], "{said:?}");
        desk.sim.stored(&id).check(&desk.sim);
        desk.sim.assert_clean();
        desk.sim.restart(true);
        desk.sim.assert_clean();
        assert_eq!(desk.screen_of(&id).numbers(), [1, 2, 8, 9, 10]);
    }
}

#[test]
fn e2_h6_removal_that_stops_after_the_screen_says_what_is_gone() {
    let site = screen_client::site().role("redactor", "redact records.all");
    let mut desk = ScreenClient::new(&site.agent("eve", "", "redactor"));
    desk.call("call start device=1001 call=c1");
    desk.sim.run_ms(1000);
    let id = pair(&desk.say("record start"), "recording");
    desk.watch(10);
    desk.call("call stop device=1001 call=c1");
    desk.sim.run_ms(16_000);
    let eve = desk.sim.hello("supervisor user=eve");
    // The new file of the screen is created, that of the sound is not.
    let mut created = 0;
    desk.sim.disk.refuse = Some(Box::new(move |job, path| {
        let is_new_file = matches!(job, Job::Create { .. }) && path.ends_with(".tmp");
        created += u32::from(is_new_file);
        (is_new_file && created == 2).then_some(DiskError::Failed(5))
    }));
    let mut said = desk.sim.say(eve, &format!("redact {id} from_ms=4000 to_ms=5000 reason=x"));
    desk.sim.run_ms(500);
    said.extend(desk.sim.news(eve));
    let refused = answer(&said).to_owned();
    assert!(refused.starts_with("err storage"), "{refused}");
    assert!(
        refused.contains("the screen of the range was removed, its sound was not"),
        "{refused}"
    );
    assert_eq!(desk.screen_of(&id).numbers(), [1, 2, 8, 9, 10]);
    // Asked again, the rest is removed.
    desk.sim.disk.refuse = None;
    desk.sim.run_ms(10_000);
    let said = desk.sim.say(eve, &format!("redact {id} from_ms=4000 to_ms=5000 reason=x"));
    assert_eq!(pair(&said, "removed_frames"), "8000", "{said:?}");
}
