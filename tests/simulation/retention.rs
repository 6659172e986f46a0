//! Deletion: expired recordings, requested deletions, and what remains of them: nothing.

use hushbox::id::RecordingId;
use hushbox::store::fact::{Fact, SealedBytes};
use hushbox::store::index::RecordFilter;
use hushbox::store::journal::{JournalItem, JournalReader};
use hushbox::store::seal::{self, DataKey};
use hushbox::store::{layout, media};
use std::ops::RangeInclusive;
use testkit::sim::SimBox;
use testkit::sim::audio::sample;
use testkit::sim::site::{Site, pair};

fn site() -> Site {
    let site = Site::new().audio("wrapup_s = 5").store("reserve_mb = 512");
    let site = site.role("agent", "record.start record.stop blackout update.1");
    let site = site.role("chief", "records.all protect admin record.start");
    let site = site.role("lead", "records.all protect record.start");
    let site = site.agent("jdoe", "1001 1002", "agent").agent("chief", "", "chief");
    site.agent("lead", "", "lead").schedule("retention_days = 2")
}

const DAY_MS: u64 = 86_400_000;
/// Answers that no client reads.
const ASKED: usize = 200;
const CHIEF: &str = "supervisor user=chief";

/// A box with an agent, a call feed and a supervisor.
struct Story {
    sim: SimBox,
    agent: u32,
    feed: u32,
    chief: u32,
    calls: u32,
}

/// What was answered, after the news.
fn last(lines: &[String]) -> &str {
    lines.last().expect("an answer")
}

impl Story {
    fn new(site: &Site) -> Story {
        let sim = SimBox::new(&site.toml(), 7);
        let mut story = Story { sim, agent: 0, feed: 0, chief: 0, calls: 0 };
        story.log_in();
        story
    }

    fn log_in(&mut self) {
        self.agent = self.sim.hello("agent user=jdoe");
        self.feed = self.sim.hello("cti");
        self.chief = self.sim.hello(CHIEF);
    }

    /// A recorded call with a number and a field; its wrap-up is over.
    fn record(&mut self, ani: &str, name: &str) -> String {
        self.calls += 1;
        let call = format!("device=1001 call=c{}", self.calls);
        self.sim.say(self.feed, &format!("call start {call} ani={ani}"));
        let id = pair(&self.sim.say(self.agent, "record start"), "recording");
        self.sim.run_ms(4000);
        let said = self.sim.say(self.agent, &format!("update 1 \"{name}\""));
        assert_eq!(pair(&said, "recording"), id);
        self.sim.say(self.feed, &format!("call stop {call}"));
        self.sim.run_ms(6000);
        id
    }

    fn delete(&mut self, id: &str) -> Vec<String> {
        let mut said = self.sim.say(self.chief, &format!("delete {id}"));
        said.retain(|line| !line.starts_with("event what=checkpoint "));
        said
    }

    /// Lets days pass, a little audio at the end; links do not last that long.
    fn days(&mut self, days: u64) {
        self.sim.pass_ms(days * DAY_MS);
        self.sim.run_ms(2000);
        self.log_in();
    }

    fn has_file(&self, id: &str) -> bool {
        let id = RecordingId::parse(id).unwrap();
        self.sim.recordings().contains(&id)
    }

    /// Why it was deleted, if it was.
    fn deleted(&self, id: &str) -> Option<String> {
        let journal = self.sim.journal();
        let record = journal.record(RecordingId::parse(id).unwrap()).expect("a record");
        record.deleted.as_ref().map(|deletion| deletion.why.clone())
    }

    fn ids(&mut self) -> Vec<String> {
        let rows = self.sim.say(self.chief, "records");
        let rows = rows.iter().filter_map(|row| row.strip_prefix("row recording="));
        rows.map(|row| row.split(' ').next().unwrap().to_string()).collect()
    }

    /// Every personal fact on the disk that some key on the disk, or of its owner, opens.
    fn readable(&self) -> Vec<String> {
        let mut keys: Vec<DataKey> =
            self.sim.call_keys.iter().map(|key| DataKey::from_random(*key)).collect();
        for (_, bytes) in self.sim.disk.live.iter().filter(|(path, _)| path.ends_with(".hbm")) {
            let header = media::MediaReader::open(bytes.as_slice()).unwrap().header().clone();
            keys.push(seal::unwrap_key(&header.wrapped, &self.sim.identities).unwrap());
        }
        let mut found = Vec::new();
        for sealed in self.sealed() {
            for key in &keys {
                if let Ok(numbers) = seal::open_numbers(Some(key), &sealed) {
                    found.extend(numbers.ani.into_iter().chain(numbers.dnis));
                }
                found.extend(seal::open_field(Some(key), &sealed));
            }
        }
        found
    }

    /// Every personal fact in the journal.
    fn sealed(&self) -> Vec<SealedBytes> {
        let mut found = Vec::new();
        for (path, bytes) in &self.sim.disk.live {
            if layout::parse_journal_day(path).is_none() {
                continue;
            }
            let mut reader = JournalReader::open(bytes.as_slice()).unwrap();
            while let Some(item) = reader.next_item().unwrap() {
                let JournalItem::Entry { entry, .. } = item else { continue };
                match entry.fact {
                    Fact::CallBegan { numbers, .. }
                    | Fact::CallChanged { numbers, .. }
                    | Fact::RecordingChanged { numbers, .. } => found.push(numbers),
                    Fact::RecordingBegan(began) => found.push(began.numbers),
                    Fact::FieldSet { value, .. } => found.push(value),
                    _ => {}
                }
            }
        }
        found
    }

    /// Stretches of 16 samples of a channel that lie on the disk as they are.
    fn audible(&self, channel: u16, range: RangeInclusive<u64>) -> usize {
        let on_disk = |start: &u64| {
            let stretch = (*start..start + 16).map(|at| sample(1, channel, at, 0));
            let stretch: Vec<u8> = stretch.flat_map(i16::to_le_bytes).collect();
            let mut files = self.sim.disk.live.values();
            files.any(|file| file.windows(32).any(|window| window == stretch))
        };
        range.step_by(500).filter(on_disk).count()
    }
}

#[test]
fn h6_deleted_recording_cannot_be_read() {
    let mut story = Story::new(&site());
    let kept = story.record("555100", "Kept Name");
    let gone = story.record("555200", "Gone Name");
    // A call that goes on meanwhile keeps its numbers.
    story.sim.say(story.feed, "call start device=1002 call=x ani=555300");
    let before = story.readable();
    for known in ["555100", "Kept Name", "555200", "Gone Name", "555300"] {
        assert!(before.iter().any(|fact| fact == known), "{known}: {before:?}");
    }
    let said = story.delete(&gone);
    assert_eq!(last(&said), format!("ok recording={gone}"));
    assert!(!story.has_file(&gone), "when the ok has left, the file is gone");
    story.sim.run_ms(1000);
    let after = story.readable();
    assert!(!after.iter().any(|fact| fact == "555200" || fact == "Gone Name"), "{after:?}");
    // Of the other call the recording keeps the number.
    for known in ["555100", "Kept Name", "555300"] {
        assert!(after.iter().any(|fact| fact == known), "{known}: {after:?}");
    }
    assert_eq!(story.sim.call_keys.len(), 1, "the old call key is forgotten");
    assert_eq!(story.deleted(&gone).as_deref(), Some("request"));
    assert_eq!(story.ids(), [kept]);
    let said = story.delete(&gone);
    assert!(last(&said).starts_with("err no-such-record"), "{said:?}");
    story.sim.assert_clean();
    story.sim.restart(true);
    story.sim.assert_clean();
    let after = story.readable();
    assert!(after.iter().any(|fact| fact == "555300"), "the call's numbers outlive a cut");
    assert!(!after.iter().any(|fact| fact == "555200" || fact == "Gone Name"), "{after:?}");
}

#[test]
fn h6_deleted_audio_is_not_on_the_disk() {
    let mut story = Story::new(&site().store("seal = false\nreserve_mb = 512"));
    story.sim.run_ms(1000);
    let id = story.record("555100", "Name");
    assert!(story.audible(1, 8500..=30_000) > 30, "it is there as it was heard");
    story.delete(&id);
    story.sim.run_ms(1000);
    assert_eq!(story.audible(1, 0..=90_000), 0);
    story.sim.assert_clean();
}

/// Ids of the recordings of a call, from the journal.
fn recordings_of_call(story: &Story, call: &str) -> Vec<String> {
    let (journal, all) = (story.sim.journal(), RecordFilter::default());
    let records = journal.list_records(&all);
    let of_call = records.filter(|record| record.began.call.call == call);
    of_call.map(|record| record.id().to_string()).collect()
}

/// A call that starts and stops before any audio comes. Returns its recordings.
fn empty_call(story: &mut Story, call: &str, commands: &[(bool, &str)]) -> Vec<String> {
    let start = format!("call start device=1001 call={call} ani=555400");
    story.sim.say(story.feed, &start);
    for (is_agent, line) in commands {
        let client = if *is_agent { story.agent } else { story.feed };
        let said = story.sim.say(client, line);
        assert!(last(&said).starts_with("ok"), "{line}: {said:?}");
    }
    story.sim.say(story.feed, &format!("call stop device=1001 call={call}"));
    recordings_of_call(story, call)
}

#[test]
fn h6_recording_without_audio_is_kept_only_if_it_was_asked_for() {
    let mut story = Story::new(&site().full_time());
    story.sim.run_ms(1000);
    let unwanted = empty_call(&mut story, "e1", &[]);
    assert_eq!(unwanted.len(), 1, "the schedule began it");
    // Nothing is deleted while the agent can still add to the record.
    story.sim.run_ms(2000);
    assert_eq!(story.deleted(&unwanted[0]), None);
    let agents = empty_call(&mut story, "e2", &[(true, "record start")]);
    let others = empty_call(&mut story, "e3", &[(false, "record start device=1001")]);
    let noted = empty_call(&mut story, "e4", &[(true, "update 1 \"wrong number\"")]);
    // The power fails before the deletion; the next start has to find the record.
    assert_eq!(story.deleted(&unwanted[0]), None);
    story.sim.restart(true);
    story.log_in();
    story.sim.run_ms(130_000);
    assert_eq!(story.deleted(&unwanted[0]).as_deref(), Some("empty"));
    assert!(!story.has_file(&unwanted[0]) && !story.ids().contains(&unwanted[0]));
    for kept in [&agents, &others, &noted] {
        assert!(!kept.is_empty());
        assert!(
            kept.iter().all(|id| story.deleted(id).is_none() && story.has_file(id)),
            "{kept:?}"
        );
    }
    story.sim.assert_clean();
    // One frame of audio is enough to keep a recording.
    story.log_in();
    story.sim.say(story.feed, "call start device=1001 call=short");
    story.sim.run_ms(20);
    story.sim.say(story.feed, "call stop device=1001 call=short");
    story.sim.run_ms(130_000);
    let short = recordings_of_call(&story, "short");
    assert!(short.len() == 1 && story.deleted(&short[0]).is_none() && story.has_file(&short[0]));
}

#[test]
fn h6_expired_goes_within_an_hour_unless_protected() {
    let mut story = Story::new(&site());
    let first = story.record("555100", "One");
    let held = story.record("555200", "Two");
    story.sim.say(story.chief, &format!("protect {held} on"));
    story.days(1);
    let later = story.record("555300", "Three");
    assert!(story.has_file(&first) && story.has_file(&held));
    // 59 minutes after the end of the first one's retention.
    story.sim.pass_ms(DAY_MS + 3_540_000);
    story.sim.run_ms(1000);
    story.log_in();
    assert_eq!(story.deleted(&first).as_deref(), Some("retention"));
    assert!(!story.has_file(&first));
    assert_eq!(story.ids(), [later.clone(), held.clone()]);
    story.days(300);
    assert_eq!(story.ids(), [held.as_str()], "a legal hold lasts until it is ended");
    story.sim.say(story.chief, &format!("protect {held} off"));
    story.sim.run_ms(1000);
    story.days(1);
    assert!(story.ids().is_empty() && !story.has_file(&held) && !story.has_file(&later));
    story.sim.assert_clean();
}

#[test]
fn h6_delete_needs_admin_and_a_finished_unprotected_one() {
    let mut story = Story::new(&site());
    let id = story.record("555100", "One");
    let lead = story.sim.hello("supervisor user=lead");
    let said = story.sim.say(lead, &format!("delete {id}"));
    assert!(last(&said).starts_with("err denied"), "{said:?}");
    let said = story.sim.say(story.agent, &format!("delete {id}"));
    assert!(last(&said).starts_with("err denied"), "{said:?}");
    story.sim.say(lead, &format!("protect {id} on"));
    let said = story.delete(&id);
    assert!(
        last(&said).starts_with("err denied") && last(&said).contains("legal hold"),
        "{said:?}"
    );
    story.sim.say(story.feed, "call start device=1001 call=live ani=555900");
    let live = pair(&story.sim.say(story.agent, "record start"), "recording");
    for _ in 0..2 {
        let said = story.delete(&live);
        assert!(last(&said).starts_with("err busy"), "{said:?}");
        // Ended, but a field may still be set.
        story.sim.say(story.feed, "call stop device=1001 call=live");
        story.sim.run_ms(1000);
    }
    story.sim.run_ms(5000);
    assert_eq!(last(&story.delete(&live)), format!("ok recording={live}"));
    assert!(story.has_file(&id) && !story.has_file(&live));
    let readable = story.readable();
    assert!(!readable.iter().any(|fact| fact == "555900"), "{readable:?}");
    story.sim.assert_clean();
}

#[test]
fn h6_cut_before_removal_is_finished_at_next_start() {
    let mut story = Story::new(&site());
    let id = story.record("555100", "One");
    // The disk stands still just before it would remove the file.
    story.sim.disk.refuse = Some(Box::new(|job, _| {
        matches!(job, hushbox::job::Job::Remove { .. })
            .then_some(hushbox::job::DiskError::Failed(5))
    }));
    story.delete(&id);
    story.sim.run_ms(1000);
    assert_eq!(story.deleted(&id).as_deref(), Some("request"), "the fact is durable");
    assert!(story.has_file(&id));
    story.sim.disk.refuse = None;
    story.sim.restart(true);
    story.sim.run_ms(1000);
    assert!(!story.has_file(&id));
    story.sim.assert_clean();
}

#[test]
fn h4_failed_removal_raises_an_alarm_and_is_retried() {
    let mut story = Story::new(&site());
    let id = story.record("555100", "One");
    story.sim.disk.refuse = Some(Box::new(|job, _| {
        matches!(job, hushbox::job::Job::Remove { .. })
            .then_some(hushbox::job::DiskError::Failed(5))
    }));
    story.delete(&id);
    story.sim.run_ms(1000);
    let technician = story.sim.hello("monitor");
    let active = |story: &mut Story| {
        let rows = story.sim.say(technician, "status");
        rows.iter().find_map(|row| row.strip_prefix("row what=alarms active=")).unwrap() == "1"
    };
    assert!(active(&mut story) && story.has_file(&id));
    story.sim.disk.refuse = None;
    story.sim.run_ms(6000);
    assert!(!active(&mut story) && !story.has_file(&id));
}

#[test]
fn h4_below_reserve_deletes_before_refusing() {
    let mut story = Story::new(&site());
    let old = story.record("555100", "One");
    story.sim.pass_ms(2 * DAY_MS - 100_000);
    story.sim.run_ms(1000);
    story.log_in();
    let new = story.record("555200", "Two");
    assert!(story.has_file(&old));
    // Its retention ends, and the minute in which the box looks is not over.
    story.sim.run_ms(88_000);
    assert!(story.has_file(&old), "it is not looked for all the time");
    story.sim.disk.space = (100 << 20, 1000 << 30);
    story.sim.run_ms(6000);
    assert!(!story.has_file(&old), "now it is in the way");
    // That was all there was to delete.
    story.sim.run_ms(6000);
    story.log_in();
    story.sim.say(story.feed, "call start device=1001 call=full");
    let said = story.sim.say(story.agent, "record start");
    assert!(last(&said).starts_with("err disk-full"), "{said:?}");
    assert!(story.has_file(&new), "what is to be kept is kept");
    story.sim.disk.space = (900 << 30, 1000 << 30);
    story.sim.run_ms(6000);
    story.log_in();
    assert!(last(&story.sim.say(story.agent, "record start")).starts_with("ok "));
}

#[test]
fn h6_record_deleted_during_show_is_gone() {
    let mut story = Story::new(&site());
    let id = story.record("5551234", "Mr. Miller");
    let lead = story.sim.hello("supervisor user=lead");
    // More answers than there is room for: one of them waits half-way.
    story.sim.reads(lead, false);
    for _ in 0..ASKED {
        story.sim.send(lead, format!("show {id}\n").as_bytes());
    }
    story.delete(&id);
    story.sim.reads(lead, true);
    let said = story.sim.news(lead);
    let shown: Vec<_> = said.iter().filter(|line| line.starts_with("row what=record ")).collect();
    let gone = said.iter().filter(|line| line.starts_with("err no-such-record ")).count();
    assert!(gone > 0 && shown.len() + gone == ASKED, "{} shown, {gone} gone", shown.len());
    assert!(shown.iter().all(|line| line.contains(" ani=5551234 ")), "{:?}", shown.last());
}
