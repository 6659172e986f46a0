//! Disks that fail: a write that is refused, a sync that fails and loses pages, a data directory
//! that is read-only or gone. The recorder continues in memory, raises alarms, acknowledges nothing
//! it cannot keep, and when the disk is back nothing is missing that the ring could hold.

use hushbox::audio::span::{Fate, LossReason};
use hushbox::id::RecordingId;
use hushbox::job::{DiskError, Job};
use hushbox::store::fact::RecordingEnd;
use hushbox::store::index::Record;
use hushbox::store::seal;
use testkit::rng::Rng;
use testkit::sim::SimBox;
use testkit::sim::disk::Refuse;
use testkit::sim::site::{Site, answer, value};

fn site() -> Site {
    let site = Site::new().audio("wrapup_s = 5");
    let site = site.role("agent", "record.start record.stop blackout update.1");
    let site = site.role("chief", "records.all play admin protect");
    let site = site.agent("jdoe", "1001", "agent").agent("mary", "1002", "agent");
    site.agent("chief", "", "agent chief")
}

const EIO: DiskError = DiskError::Failed(5);
const EROFS: DiskError = DiskError::Failed(30);

/// A box with two agents, a call feed and a watcher.
struct Story {
    sim: SimBox,
    agent: u32,
    feed: u32,
    watcher: u32,
}

/// Refuses every job that writes.
fn writes(error: DiskError) -> Refuse {
    Box::new(move |job, _| {
        (!matches!(job, Job::Read { .. } | Job::QueryFreeSpace)).then_some(error)
    })
}

/// Refuses the first sync.
fn one_sync() -> Refuse {
    let mut failed = false;
    Box::new(move |job, _| {
        let fails = matches!(job, Job::Sync { .. }) && !failed;
        failed |= fails;
        fails.then_some(EIO)
    })
}

impl Story {
    fn new(site: &Site) -> Story {
        let sim = SimBox::new(&site.toml(), 3);
        let mut story = Story { sim, agent: 0, feed: 0, watcher: 0 };
        story.log_in();
        story
    }

    fn log_in(&mut self) {
        let sim = &mut self.sim;
        self.agent = sim.hello("agent user=jdoe");
        self.feed = sim.hello("cti");
        self.watcher = sim.hello("monitor");
        sim.say(self.watcher, "watch");
    }

    /// A call on the first channel, recorded from its beginning.
    fn record(&mut self) -> String {
        self.sim.say(self.feed, "call start device=1001 call=c1 ani=555100");
        let said = self.sim.say(self.agent, "record start");
        value(answer(&said), "recording")
    }

    /// The clock is set so that a new day begins in so many milliseconds.
    fn before_midnight(&mut self, left_ms: i64) {
        const DAY_MS: i64 = 86_400_000;
        self.sim.now.wall.0 += DAY_MS - self.sim.now.wall.0 % DAY_MS - left_ms;
    }

    fn hang_up(&mut self) {
        self.sim.say(self.feed, "call stop device=1001 call=c1");
        self.sim.run_ms(1000);
    }

    fn ask(&mut self, line: &str) -> String {
        let lines = self.sim.say(self.agent, line);
        answer(&lines).to_string()
    }

    fn alarms(&mut self) -> Vec<i32> {
        self.sim.alarms(self.watcher)
    }

    /// The records that go on from this one, in order, with it.
    fn chain(&self, first: &str) -> Vec<Record> {
        let journal = self.sim.journal();
        let mut chain = vec![journal.record(RecordingId::parse(first).unwrap()).unwrap().clone()];
        let all: Vec<&Record> = journal.list_records(&Default::default()).collect();
        loop {
            let last = chain.last().unwrap().id();
            let next = all.iter().find(|record| record.began.continues == Some(last));
            match next {
                Some(next) => chain.push((*next).clone()),
                None => return chain,
            }
        }
    }

    /// Every part of the recording is what was heard, and between them nothing is missing. Returns
    /// the frames per part.
    fn check_chain(&self, first: &str) -> Vec<u64> {
        let chain = self.chain(first);
        for pair in chain.windows(2) {
            let ended = pair[0].ended.as_ref().expect("an end");
            assert_eq!(ended.end, RecordingEnd::Storage);
            assert_eq!(ended.to, pair[1].began.from, "one begins where the other ends");
        }
        for record in chain.iter().filter(|record| record.ended.as_ref().unwrap().size > 0) {
            self.sim.stored(&record.id().to_string()).check(&self.sim);
        }
        chain.iter().map(|r| r.ended.as_ref().unwrap().ledger.total_captured()).collect()
    }

    fn lost(&self, first: &str) -> u64 {
        let chain = self.chain(first);
        chain.iter().map(|record| record.ended.as_ref().unwrap().ledger.total_lost()).sum()
    }

    fn parts(&self) -> usize {
        self.sim.disk.live.keys().filter(|path| path.starts_with("journal/")).count()
    }
}

#[test]
fn h4_failed_write_continues_in_a_new_file() {
    for (error, number) in [(EIO, 402), (DiskError::Full, 401)] {
        let mut story = Story::new(&site());
        let id = story.record();
        story.sim.run_ms(6000);
        let path = format!("{id}.hbm");
        let mut refused = false;
        story.sim.disk.refuse = Some(Box::new(move |job, place| {
            let hit = matches!(job, Job::Append { .. }) && place.ends_with(&path) && !refused;
            refused |= hit;
            hit.then_some(error)
        }));
        story.sim.run_ms(4000);
        story.hang_up();
        assert_eq!(story.alarms(), [number, -number]);
        let frames = story.check_chain(&id);
        assert_eq!(frames.len(), 2);
        assert_eq!(frames.iter().sum::<u64>(), 8000 * 10);
        assert_eq!(story.lost(&id), 0);
        assert_eq!(story.parts(), 1, "the journal is well");
        story.sim.assert_clean();
    }
}

#[test]
fn h4_failed_sync_rewrites_all_in_new_files() {
    for codec in ["pcm", "ulaw", "opus"] {
        let mut story = Story::new(&site().codec(codec));
        let id = story.record();
        story.sim.run_ms(6000);
        // The fact of the field is under way when the sync fails, and its page is lost.
        story.sim.disk.refuse = Some(one_sync());
        let said = story.ask("update 1 \"Jane Doe\"");
        assert!(said.starts_with("ok recording="), "{said}");
        assert_eq!(story.parts(), 2);
        story.sim.run_ms(4000);
        story.hang_up();
        assert_eq!(story.alarms(), [402, -402]);
        let chain = story.chain(&id);
        assert_eq!(chain.len(), 2, "{codec}");
        if codec == "pcm" {
            assert_eq!(story.check_chain(&id).iter().sum::<u64>(), 8000 * 10);
            assert_eq!(story.lost(&id), 0);
        }
        // What Opus had not given yet when it was cut.
        assert!(story.lost(&id) < 160, "{}", story.lost(&id));
        assert_eq!(chain[0].fields.len(), 1, "what was acknowledged is there");
        story.sim.assert_clean();
        story.sim.restart(true);
        story.sim.run_ms(1000);
        story.sim.assert_clean();
        story.sim.restart(false);
        story.sim.assert_clean();
        assert_eq!(story.chain(&id).len(), 2);
    }
}

#[test]
fn h4_failed_first_sync_keeps_fields_readable() {
    let mut story = Story::new(&site().store("seal = true"));
    story.sim.say(story.feed, "call start device=1001 call=c1 ani=555100");
    story.sim.run_ms(2000);
    story.sim.disk.delay_us = 100_000;
    story.sim.disk.refuse = Some(one_sync());
    story.sim.send(story.agent, b"record start\nupdate 1 \"Jane Doe\"\n");
    story.sim.run_ms(3000);
    story.sim.disk.delay_us = 0;
    story.sim.run_ms(1000);
    let lines = story.sim.news(story.agent);
    let oks: Vec<&String> = lines.iter().filter(|line| line.starts_with("ok ")).collect();
    assert_eq!(oks.len(), 2, "{lines:?}");
    let id = value(oks[0], "recording");
    story.hang_up();
    let last = story.chain(&id).pop().unwrap();
    assert_ne!(last.id().to_string(), id);
    let path = last.media_path();
    let header = hushbox::store::media::scan(story.sim.disk.live[&path].as_slice()).unwrap().header;
    let key = seal::unwrap_key(&header.wrapped, &story.sim.identities).unwrap();
    assert_eq!(seal::open_field(Some(&key), &last.fields[&1]).as_deref(), Ok("Jane Doe"));
    let numbers = seal::open_numbers(Some(&key), &last.began.numbers).unwrap();
    assert_eq!(numbers.ani.as_deref(), Some("555100"));
    story.check_chain(&id);
    story.sim.assert_clean();
}

#[test]
fn h4_g5_disk_away_is_bridged_from_memory() {
    for error in [EIO, EROFS, DiskError::Full] {
        let mut story = Story::new(&site());
        let id = story.record();
        story.sim.run_ms(6000);
        story.sim.disk.refuse = Some(writes(error));
        story.sim.run_ms(600);
        let code = if error == DiskError::Full { 401 } else { 402 };
        assert_eq!(story.alarms(), [code]);
        // Nothing is promised that cannot be kept.
        for line in ["update 1 \"x\"", "record stop", "record start"] {
            let said = story.ask(line);
            assert!(said.starts_with("err storage"), "{line}: {said}");
        }
        // A blackout acts; its end could not be stored, so it stays on.
        let said = story.ask("blackout start lead_ms=0");
        assert!(said.starts_with("err storage") && said.ends_with("masked=yes"), "{said}");
        story.sim.run_ms(400);
        let said = story.ask("blackout stop");
        assert!(said.starts_with("err storage") && said.ends_with("masked=yes"), "{said}");
        // A call that comes meanwhile is known; its answer waits.
        assert_eq!(answer(&story.sim.say(story.feed, "call start device=1002 call=c2")), "");
        story.sim.run_ms(500);
        story.sim.disk.refuse = None;
        story.sim.run_ms(1500);
        assert!(answer(&story.sim.news(story.feed)).starts_with("ok call=c2"));
        assert_eq!(story.alarms(), [-code]);
        let said = story.ask("blackout stop");
        assert!(said.starts_with("ok blackout=off"), "{said}");
        story.sim.run_ms(2000);
        story.hang_up();
        assert_eq!(story.check_chain(&id).iter().sum::<u64>(), 8000 * 11);
        assert_eq!(story.lost(&id), 0, "the ring held it all");
        let last = story.chain(&id).pop().unwrap();
        let masked: Vec<_> = last.spans().iter().filter(|s| s.fate == Fate::Masked).collect();
        assert_eq!(masked.len(), 1);
        assert_eq!((masked[0].from.0, masked[0].to.0), (52_800, 72_000));
        story.sim.assert_clean();
    }
}

#[test]
fn h4_full_rings_lose_and_count_new_audio() {
    let mut story = Story::new(&site());
    let id = story.record();
    story.sim.run_ms(6000);
    story.sim.disk.refuse = Some(writes(EIO));
    story.sim.run_ms(12_000);
    assert_eq!(story.alarms(), [402, 103]);
    story.sim.disk.refuse = None;
    story.sim.run_ms(6000);
    story.hang_up();
    assert_eq!(story.alarms(), [-402]);
    let frames = story.check_chain(&id);
    assert_eq!(frames.iter().sum::<u64>(), 8000 * 24);
    let last = story.chain(&id).pop().unwrap();
    let lost = last.ended.as_ref().unwrap().ledger.lost;
    assert_eq!(lost[LossReason::Ring as usize], story.lost(&id), "it is said why");
    assert!((8000 * 7..8000 * 12).contains(&story.lost(&id)), "{}", story.lost(&id));
    story.sim.assert_clean();
}

#[test]
fn h3_cut_while_disk_is_away_keeps_acknowledged() {
    let mut story = Story::new(&site());
    let id = story.record();
    story.sim.run_ms(6000);
    story.ask("update 1 \"Jane Doe\"");
    story.sim.disk.refuse = Some(writes(EIO));
    story.sim.run_ms(3000);
    story.sim.disk.refuse = None;
    story.sim.restart(true);
    story.log_in();
    story.sim.run_ms(5000);
    story.hang_up();
    let chain = story.chain(&id);
    assert_eq!(chain[0].ended.as_ref().unwrap().end, RecordingEnd::Power);
    assert_eq!((chain.len(), chain[0].fields.len()), (2, 1));
    story.sim.assert_clean();
}

#[test]
fn h4_stop_with_failed_disk_still_ends() {
    let mut story = Story::new(&site());
    story.record();
    story.sim.run_ms(6000);
    story.sim.disk.refuse = Some(writes(EIO));
    story.sim.run_ms(1000);
    story.sim.input(hushbox::recorder::Input::Stop);
    story.sim.run_ms(2000);
    assert!(story.sim.fatal.is_none());
    story.sim.run_ms(2000);
    assert!(story.sim.fatal.as_ref().is_some_and(|why| why.contains("the disk has failed")));
}

#[test]
fn h4_day_file_that_fails_continues_in_the_next_part() {
    let create = |job: &Job| matches!(job, Job::Create { .. });
    let append = |job: &Job| matches!(job, Job::Append { .. });
    let sync = |job: &Job| matches!(job, Job::Sync { .. });
    let kinds: [fn(&Job) -> bool; 3] = [create, append, sync];
    for kind in kinds {
        let mut story = Story::new(&site());
        let id = story.record();
        story.before_midnight(1000);
        story.sim.run_ms(800);
        let (mut begun, mut refused) = (false, false);
        story.sim.disk.refuse = Some(Box::new(move |job, path| {
            begun |= path == "journal/2026-11-23.hbj";
            let hit = begun && kind(job) && !refused;
            refused |= hit;
            hit.then_some(EIO)
        }));
        story.sim.run_ms(400);
        assert!(story.ask("update 1 \"Jane Doe\"").starts_with("ok recording="));
        story.sim.run_ms(2000);
        story.hang_up();
        assert!(story.sim.disk.live.contains_key("journal/2026-11-23.1.hbj"));
        assert_eq!(story.check_chain(&id).len(), 2);
        assert_eq!(story.lost(&id), 0);
        story.sim.assert_clean();
        story.sim.restart(true);
        story.sim.assert_clean();
        assert_eq!(story.chain(&id)[0].fields.len(), 1, "what was acknowledged is there");
    }
}

/// Refuses to make files of recordings, or to write them.
fn media(making: bool, error: DiskError) -> Refuse {
    Box::new(move |job, path| {
        let hit = if making {
            matches!(job, Job::Create { .. })
        } else {
            matches!(job, Job::Append { .. })
        };
        (hit && path.starts_with("media/")).then_some(error)
    })
}

#[test]
fn h4_failed_create_is_retried_until_it_succeeds() {
    for making in [true, false] {
        let mut story = Story::new(&site().full_time());
        story.sim.disk.refuse = Some(media(making, DiskError::Failed(2)));
        story.sim.say(story.feed, "call start device=1001 call=c1 ani=555100");
        let first =
            story.sim.journal().list_records(&Default::default()).next().unwrap().id().to_string();
        story.sim.run_ms(4000);
        for line in ["update 1 \"x\"", "record start"] {
            let said = story.ask(line);
            assert!(said.starts_with("err storage"), "no file is there for it: {said}");
        }
        let number = if making { 406 } else { 402 };
        assert_eq!(story.alarms(), [number]);
        story.sim.disk.refuse = None;
        // Writing is tried at ever longer intervals, because each try is a record.
        story.sim.run_ms(if making { 2000 } else { 9000 });
        assert!(story.ask("update 1 \"x\"").starts_with("ok "));
        assert!(story.ask("record start").starts_with("ok "));
        story.hang_up();
        let frames = story.check_chain(&first);
        assert!(frames.len() <= 4, "{frames:?}");
        assert_eq!(frames.iter().sum::<u64>(), if making { 8000 * 6 } else { 8000 * 13 });
        assert!(story.alarms().contains(&-number));
        assert_eq!(story.lost(&first) > 0, !making, "the ring holds some seconds");
        story.sim.assert_clean();
    }
}

#[test]
fn h4_record_start_fails_when_no_file_can_be_created() {
    for making in [true, false] {
        let mut story = Story::new(&site());
        story.sim.say(story.feed, "call start device=1001 call=c1 ani=555100");
        story.sim.run_ms(1000);
        story.sim.disk.refuse = Some(media(making, EIO));
        story.sim.send(story.agent, b"record start\nrecord start\nupdate 1 \"x\"\nrecord stop\n");
        story.sim.run_ms(100);
        let said = story.sim.news(story.agent);
        let answers = said.iter().filter(|l| l.starts_with("ok") || l.starts_with("err"));
        let answers: Vec<_> = answers.map(|line| line.split_once(' ').unwrap()).collect();
        assert_eq!(answers.len(), 4, "{said:?}");
        assert!(answers.iter().all(|(word, _)| *word == "err"), "{said:?}");
        let status = story.sim.say(story.agent, "status").join(" ");
        assert!(status.contains("recording=off"), "{status}");
        story.sim.disk.refuse = None;
        // Whether the disk takes new files is tried every five seconds.
        story.sim.run_ms(if making { 6000 } else { 1000 });
        let number = if making { 406 } else { 402 };
        assert_eq!(story.alarms(), [number, -number]);
        let said = story.ask("record start");
        let id = value(&said, "recording");
        story.sim.run_ms(1000);
        story.hang_up();
        story.sim.stored(&id).check(&story.sim);
        story.sim.assert_clean();
    }
}

#[test]
fn h4_refused_press_is_not_resumed_by_a_restart() {
    for making in [true, false] {
        let mut story = Story::new(&site());
        story.sim.say(story.feed, "call start device=1001 call=c1 ani=555100");
        story.sim.disk.refuse = Some(media(making, EIO));
        assert!(story.ask("record start").starts_with("err storage"));
        story.sim.run_ms(1000);
        story.sim.disk.refuse = None;
        story.sim.restart(true);
        story.log_in();
        story.sim.run_ms(1000);
        let status = story.sim.say(story.agent, "status").join(" ");
        assert!(status.contains("call=c1") && status.contains("recording=off"), "{status}");
        story.hang_up();
        story.sim.assert_clean();
    }
}

#[test]
fn h4_schedule_keeps_retrying_a_refused_recording() {
    for making in [true, false] {
        let mut story = Story::new(&site().full_time());
        story.sim.disk.delay_us = 100_000;
        story.sim.disk.refuse = Some(media(making, EIO));
        story.sim.send(story.feed, b"call start device=1001 call=c1\n");
        story.sim.send(story.agent, b"record start\nrecord start\n");
        story.sim.run_ms(1500);
        let said = story.sim.news(story.agent);
        let answers = said.iter().filter(|l| l.starts_with("ok") || l.starts_with("err"));
        let answers: Vec<_> = answers.collect();
        assert!(answers.iter().all(|line| line.starts_with("err storage")), "{said:?}");
        assert_eq!(answers.len(), 2, "{said:?}");
        let status = story.sim.say(story.agent, "status").join(" ");
        assert!(status.contains("recording=on") && status.contains("reasons=schedule"), "{status}");
        story.sim.disk.refuse = None;
        story.sim.disk.delay_us = 0;
        story.sim.run_ms(9000);
        let said = story.ask("record start");
        assert_eq!(value(&said, "reasons"), "agent,schedule");
        story.hang_up();
        story.sim.assert_clean();
    }
}

/// One story on a disk that refuses one job in so many, and loses power in the middle of it.
fn mischief(seed: u64) {
    let mut story = Story::new(&site());
    let mut rng = Rng::new(seed);
    let mut odds = Rng::new(seed + 1000);
    story.sim.disk.delay_us = [0, 5000, 90_000][rng.below(3)];
    story.sim.disk.refuse = Some(Box::new(move |job, _| {
        let error = *odds.pick(&[EIO, EROFS, DiskError::Full]);
        let counts = !matches!(job, Job::QueryFreeSpace | Job::Reopen { .. } | Job::Close { .. });
        (counts && odds.one_in(25)).then_some(error)
    }));
    let (mut known, mut began) = (Vec::new(), Vec::new());
    if seed % 2 == 1 {
        story.before_midnight(10_000);
    }
    story.sim.say(story.feed, "call start device=1001 call=c1 ani=555100");
    for step in 0..40 {
        let line = match rng.below(5) {
            0 => "record start".to_string(),
            1 => "record stop".to_string(),
            2 => "blackout start".to_string(),
            3 => "blackout stop".to_string(),
            _ => format!("update 1 \"v{step}\""),
        };
        story.sim.send(story.agent, format!("{line}\n").as_bytes());
        story.sim.run_ms(20 * (1 + rng.next_u64() % 60));
        for said in story.sim.news(story.agent) {
            if said.starts_with("ok recording=") {
                let update = !said.contains("state=");
                known.push((value(&said, "recording"), update));
                began.extend(said.contains("state=on").then(|| value(&said, "recording")));
            }
        }
        if rng.one_in(12) {
            story.sim.disk.cut(Some(&mut rng));
            story.sim.start_again();
            assert!(story.sim.fatal.is_none());
            // The reasons of the refusals are of the disk, not of a start.
            story.log_in();
        }
    }
    story.sim.disk.refuse = None;
    story.sim.disk.delay_us = 0;
    story.sim.run_ms(3000);
    story.sim.say(story.feed, "call stop device=1001 call=c1");
    story.sim.run_ms(2000);
    story.sim.assert_clean();
    let journal = story.sim.journal();
    for id in &began {
        let kept = story.chain(id).iter().any(|part| part.ended.as_ref().unwrap().size > 0);
        assert!(kept, "{id}: acknowledged, and nothing of it was ever on the disk");
    }
    for (id, _) in &known {
        let record = journal.record(RecordingId::parse(id).unwrap());
        let updates = known.iter().filter(|(of, update)| of == id && *update).count();
        let kept = record.expect("what was acknowledged is there").history.len();
        assert!(kept >= updates, "{id}: {kept} of {updates} updates");
    }
    for record in journal.list_records(&Default::default()) {
        if record.ended.as_ref().is_some_and(|ended| ended.size > 0) {
            story.sim.stored(&record.id().to_string()).check(&story.sim);
        }
    }
}

#[test]
fn h3_h4_random_disk_failures_and_cuts_leave_store_clean() {
    let more = std::env::var("SEEDS").ok().and_then(|n| n.parse().ok());
    for seed in 0..more.unwrap_or(150) {
        let done = std::panic::catch_unwind(|| mischief(seed));
        assert!(done.is_ok(), "seed {seed}");
    }
}
