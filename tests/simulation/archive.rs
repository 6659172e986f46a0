//! A box over several midnights: archived records are listed, shown and changed like today's, and
//! cost neither memory nor start-up time.

use hushbox::id::RecordingId;
use hushbox::job::{DiskError, Job};
use hushbox::store::archive::{
    ArchiveError, RecordRow, Summary, SummaryHeader, SummaryReader, repair_summaries,
};
use hushbox::store::day::Day;
use hushbox::store::index::RecordFilter;
use hushbox::store::journal::{JournalItem, JournalReader};
use hushbox::store::layout;
use hushbox::time::WallTime;
use testkit::sim::SimBox;
use testkit::sim::disk::{Refuse, SimDisk};
use testkit::sim::site::{Site, pair};

fn config() -> String {
    let site = Site::new().audio("wrapup_s = 30");
    let site = site.role("agent", "record.start record.stop blackout update.1 records.own");
    let site = site.role("boss", "records.all play protect admin");
    let site = site.agent("jdoe", "1001", "agent").agent("mroe", "1002", "agent");
    let site = site.agent("boss", "", "boss").schedule("retention_days = 4");
    site.more("[fields]\n1 = \"Caller name\"").toml()
}

const DAY_MS: i64 = 86_400_000;

/// So many syncs fail.
fn failing(mut syncs: u32) -> Refuse {
    Box::new(move |job, _| {
        let fails = matches!(job, Job::Sync { .. }) && syncs > 0;
        syncs -= u32::from(fails);
        fails.then_some(DiskError::Failed(5))
    })
}

/// 2026-11-22.
const FIRST: Day = Day(20_779);

struct Story {
    sim: SimBox,
    jdoe: u32,
    mroe: u32,
    cti: u32,
    boss: u32,
    calls: u32,
}

impl Story {
    fn new() -> Story {
        let sim = SimBox::new(&config(), 7);
        let mut story = Story { sim, jdoe: 0, mroe: 0, cti: 0, boss: 0, calls: 0 };
        story.connect();
        story
    }

    fn connect(&mut self) {
        self.jdoe = self.sim.hello("agent user=jdoe");
        self.mroe = self.sim.hello("agent user=mroe");
        self.cti = self.sim.hello("cti");
        self.boss = self.sim.hello("supervisor user=boss");
        self.sim.run_ms(200);
    }

    /// What is answered, without the news.
    fn ask(&mut self, client: u32, line: &str) -> Vec<String> {
        let said = self.sim.say(client, line).into_iter();
        said.filter(|line| !line.starts_with("event ") && !line.starts_with("state ")).collect()
    }

    fn begin(&mut self, device: &str, ani: &str) -> String {
        self.calls += 1;
        let call =
            format!("call start device={device} call=c{} ani={ani} direction=in", self.calls);
        self.ask(self.cti, &call);
        self.sim.run_ms(100);
        let agent = if device == "1001" { self.jdoe } else { self.mroe };
        pair(&self.ask(agent, "record start"), "recording")
    }

    fn end(&mut self, device: &str) {
        let call = format!("call stop device={device} call=c{}", self.calls);
        self.ask(self.cti, &call);
        self.sim.run_ms(200);
    }

    /// A call of `jdoe`, recorded, with a blackout and a field, and one of `mroe`.
    fn two_calls(&mut self) -> [String; 2] {
        let first = self.begin("1001", "5551");
        self.sim.run_ms(400);
        self.ask(self.jdoe, "blackout start lead_ms=100");
        self.sim.run_ms(200);
        self.ask(self.jdoe, "blackout stop");
        assert!(self.ask(self.jdoe, "update 1 \"Jane Roe\"")[0].starts_with("ok "));
        self.end("1001");
        let second = self.begin("1002", "5552");
        self.sim.run_ms(300);
        self.end("1002");
        [first, second]
    }

    /// So many days later, at the same time.
    fn days_later(&mut self, days: i64) {
        self.sim.synchronise_clock();
        self.sim.now.wall = WallTime(self.sim.now.wall.0 + days * DAY_MS);
        self.sim.synchronise_clock();
    }

    fn ids(&mut self, client: u32, words: &str) -> Vec<String> {
        let said = self.ask(client, &format!("records {words}"));
        let (ok, rows) = said.split_last().expect("an ok");
        assert_eq!(ok, "ok", "{said:?}");
        let id = |row: &String| row.strip_prefix("row recording=").map(|row| row[..16].to_string());
        rows.iter().map(|row| id(row).unwrap_or_else(|| panic!("{row}"))).collect()
    }

    /// Listings by any filter say what the journal says.
    fn check_listings(&mut self) {
        let journal = self.sim.journal();
        let at = |text: &str| WallTime::parse(text);
        let filters = [
            ("", RecordFilter::default()),
            ("agent=JDOE", RecordFilter { agent: Some("jdoe".into()), ..RecordFilter::default() }),
            (
                "device=1002",
                RecordFilter { device: Some("1002".into()), ..RecordFilter::default() },
            ),
            ("call=c3", RecordFilter { call: Some("c3".into()), ..RecordFilter::default() }),
            (
                "from=2026-11-23T00:00:00Z to=2026-11-24T00:00:00Z",
                RecordFilter {
                    from: at("2026-11-23T00:00:00Z"),
                    until: at("2026-11-24T00:00:00Z"),
                    ..RecordFilter::default()
                },
            ),
        ];
        for (words, filter) in filters {
            let wanted = journal.list_records(&filter).map(|record| record.id().to_string());
            assert_eq!(self.ids(self.boss, words), wanted.collect::<Vec<_>>(), "{words}");
        }
        let count = journal.list_records(&RecordFilter::default()).count();
        let said = self.ask(self.cti, "status");
        assert!(said.iter().any(|row| row.contains(&format!(" records={count}"))), "{said:?}");
    }

    /// A call of `jdoe` during which syncs fail: another file takes over.
    fn failing_call(&mut self, syncs: u32) -> String {
        let id = self.begin("1001", "5553");
        self.sim.run_ms(400);
        self.sim.disk.refuse = Some(failing(syncs));
        self.sim.send(self.jdoe, b"update 1 \"Jane Roe\"\n");
        self.sim.run_ms(5000);
        assert!(self.sim.news(self.jdoe).iter().any(|said| said.starts_with("ok recording=")));
        self.end("1001");
        id
    }

    /// Summaries, and what is in memory, say what the journals' files say without them, to the
    /// place of every entry.
    fn check_summaries(&mut self) {
        self.sim.run_ms(1000);
        let plain = SummaryReader::from_journals(self.sim.disk.copy()).unwrap();
        let summed = SummaryReader::open(self.sim.disk.copy()).unwrap();
        assert!(plain.damages().is_empty(), "{:?}", plain.damages());
        let all = RecordFilter { include_deleted: true, ..RecordFilter::default() };
        let rows = |shelf: &SummaryReader<SimDisk>| -> Vec<RecordRow> {
            shelf.scan_rows(all.clone()).collect::<Result<_, ArchiveError>>().unwrap()
        };
        assert_eq!(rows(&summed), rows(&plain));
        for row in rows(&summed) {
            let wanted = plain.index().record(row.id).unwrap();
            assert_eq!(&summed.fetch_record(row.clone()).unwrap(), wanted);
            let held = self.sim.recorder().record_in_memory(row.id);
            assert_eq!(held.unwrap_or(wanted), wanted, "in memory");
        }
        let mut anew = self.sim.disk.copy();
        let today = anew.live.keys().filter_map(|path| layout::parse_journal_day(path)).max();
        let today = Day::parse(today.unwrap()).unwrap();
        anew.live.retain(|path, _| layout::parse_summary(path).is_none());
        repair_summaries(&mut anew, today, None).unwrap();
        assert!(anew.live == self.sim.disk.live, "made anew, summaries are the same");
        self.check_listings();
        self.sim.assert_clean();
    }

    fn summary(&self, day: Day) -> Option<Summary> {
        self.sim
            .disk
            .live
            .get(&layout::summary_path(day))
            .and_then(|bytes| Summary::from_bytes(bytes))
    }

    fn records_in_memory(&self) -> usize {
        self.sim.recorder().records_in_memory()
    }
}

#[test]
fn withheld_numbers_are_found_and_ids_in_any_case() {
    let mut story = Story::new();
    let told = story.two_calls();
    let mut withheld = Vec::new();
    for (device, ani) in [("1001", "-"), ("1002", "")] {
        withheld.insert(0, story.begin(device, ani));
        story.sim.run_ms(300);
        story.end(device);
    }
    // From memory, and from the summary of a closed day.
    for days in [0, 1] {
        story.days_later(days);
        story.sim.run_ms(2000);
        for word in ["withheld", "-", ""] {
            assert_eq!(story.ids(story.boss, &format!("ani={word}")), withheld, "{word:?}");
        }
        let all: Vec<String> = withheld.iter().chain(told.iter().rev()).cloned().collect();
        assert_eq!(story.ids(story.boss, "dnis=withheld"), all);
        let shown = story.ask(story.boss, &format!("show {}", told[0].to_uppercase()));
        assert!(shown[0].contains(&told[0]), "{shown:?}");
    }
}

#[test]
fn archived_records_are_listed_and_shown_like_todays() {
    let mut story = Story::new();
    let mut all: Vec<String> = story.two_calls().into();
    let shown = |story: &mut Story, id: &str| story.ask(story.boss, &format!("show {id}"));
    let before: Vec<_> = all.iter().map(|id| shown(&mut story, id)).collect();
    assert!(before[0].iter().any(|row| row.contains("Jane Roe")), "{before:?}");
    story.check_listings();
    assert!(story.summary(FIRST).is_none());
    for _ in 0..3 {
        story.days_later(1);
        all.extend(story.two_calls());
        story.check_listings();
    }
    let rows = story.summary(FIRST).expect("closed").rows;
    assert_eq!(rows.iter().map(|row| row.id.to_string()).collect::<Vec<_>>(), all[..2]);
    assert_eq!(story.records_in_memory(), 2, "only what today began");
    for (id, before) in all.iter().zip(&before) {
        assert_eq!(&shown(&mut story, id), before, "{id}");
    }
    assert_eq!(story.ids(story.jdoe, "").len(), 4, "the own ones");
    assert_eq!(story.ids(story.boss, "limit=3"), [&all[7], &all[6], &all[5]].map(String::clone));
    let mine: Vec<&String> = all.iter().rev().skip(1).step_by(2).collect();
    assert_eq!(story.ids(story.boss, "ani=5551").iter().collect::<Vec<_>>(), mine);
    let unknown = RecordingId::from_random([9; 10]);
    assert!(shown(&mut story, &unknown.to_string())[0].starts_with("err no-such-record"));
    assert!(story.ask(story.mroe, &format!("show {}", all[0]))[0].starts_with("err no-such"));
    let said = story.ask(story.boss, &format!("media {}", all[0]));
    let path = format!("media/2026/11/22/{}.hbm", all[0]);
    let digest = blake3::hash(&story.sim.disk.live[&path]).to_hex();
    assert!(said.last().unwrap().contains(digest.as_str()), "{said:?}");
    for restarts in [0, 1] {
        if restarts > 0 {
            story.sim.restart(true);
            story.connect();
            story.check_listings();
        }
        for (id, before) in all.iter().zip(&before) {
            let told = shown(&mut story, id);
            let (fetched, rest): (Vec<_>, Vec<_>) =
                told.into_iter().partition(|line| line.starts_with("row what=fetched "));
            assert_eq!(&rest, before, "{id}");
            assert_eq!(fetched.len(), usize::from(*id == all[0]), "{fetched:?}");
            assert!(fetched.iter().all(|line| line.ends_with(" by=boss for=play")), "{fetched:?}");
        }
    }
}

#[test]
fn facts_on_old_records_last_until_summary_is_repaired() {
    let mut story = Story::new();
    let [old, _] = story.two_calls();
    let spanning = story.begin("1002", "5553");
    story.days_later(1);
    story.end("1002");
    story.two_calls();
    let protected = |story: &mut Story| -> Vec<bool> {
        let said = story.ask(story.boss, "records device=1001");
        let rows = said.iter().filter(|row| row.contains(&old));
        rows.map(|row| row.contains(" protected=on ")).collect()
    };
    assert_eq!(protected(&mut story), [false]);
    let said = story.ask(story.boss, &format!("protect {old} on"));
    assert_eq!(said, [format!("ok recording={old} protected=on")]);
    assert_eq!(protected(&mut story), [true]);
    assert!(!story.summary(FIRST).expect("closed").rows[0].is_protected, "that day is over");
    assert!(story.summary(FIRST).unwrap().rows[2].is_running, "it went on past midnight");
    story.check_listings();
    story.sim.restart(true);
    story.connect();
    assert_eq!(protected(&mut story), [true]);
    story.days_later(1);
    story.two_calls();
    let rows = story.summary(FIRST).expect("mended").rows;
    assert!(rows[0].is_protected && !rows[2].is_running, "{rows:?}");
    assert_eq!(rows[2].id.to_string(), spanning);
    assert_eq!(protected(&mut story), [true]);
    story.check_listings();
    assert!(story.sim.verify().is_clean());
}

#[test]
fn damaged_summary_is_reported_and_rebuilt() {
    let mut story = Story::new();
    let [old, _] = story.two_calls();
    story.days_later(1);
    story.two_calls();
    let path = layout::summary_path(FIRST);
    let good = story.sim.disk.live[&path].clone();
    let header = SummaryHeader::from_bytes(&good).expect("whole");
    let parts = header.offsets();
    for place in [0, parts.directory, parts.pages] {
        let place = usize::try_from(place).unwrap();
        story.sim.disk.live.get_mut(&path).unwrap()[place] ^= 1;
        let said = story.ask(story.boss, "records");
        assert!(said.last().unwrap().starts_with("err storage"), "byte {place}: {said:?}");
        assert_eq!(story.sim.disk.live[&path], good);
        story.check_listings();
    }
    story.sim.disk.live.get_mut(&path).unwrap()[usize::try_from(parts.ids).unwrap()] ^= 1;
    let said = story.ask(story.boss, &format!("show {old}"));
    assert!(said[0].starts_with("err storage"), "{said:?}");
    assert!(story.ask(story.boss, &format!("show {old}"))[0].starts_with("row what=record"));
}

#[test]
fn clock_behind_at_start_changes_no_day() {
    let mut story = Story::new();
    story.two_calls();
    story.days_later(1);
    story.two_calls();
    story.days_later(-1);
    story.sim.restart(true);
    assert_eq!(story.sim.fatal, None);
    story.connect();
    story.two_calls();
    story.check_listings();
    assert!(story.sim.verify().is_clean(), "{:?}", story.sim.verify());
}

#[test]
fn h6_expired_records_of_closed_days_are_erased() {
    let mut story = Story::new();
    let mut all: Vec<String> = story.two_calls().into();
    for _ in 0..3 {
        story.days_later(1);
        all.extend(story.two_calls());
    }
    assert_eq!(story.ask(story.boss, &format!("protect {} on", all[1])).len(), 1);
    // The clock that jumped is doubted until the next start.
    story.days_later(2);
    story.sim.restart(true);
    story.connect();
    story.sim.run_ms(70_000);
    let kept: Vec<String> = [&all[7], &all[6], &all[5], &all[4], &all[1]].map(String::clone).into();
    assert_eq!(story.ids(story.boss, ""), kept, "days 1 and 2 but for what is protected");
    story.check_listings();
    for (place, id) in all.iter().enumerate() {
        let days = place / 2 + 22;
        let path = format!("media/2026/11/{days}/{id}.hbm");
        assert_eq!(story.sim.disk.live.contains_key(&path), kept.contains(id), "{path}");
    }
    let said = story.ask(story.boss, &format!("show {}", all[0]));
    assert!(said[0].starts_with("err no-such-record"), "{said:?}");
    assert!(story.sim.verify().is_clean(), "{:?}", story.sim.verify());
    story.days_later(1);
    story.sim.restart(true);
    story.connect();
    let deleted = |story: &Story, day: u32| -> Vec<bool> {
        let rows = story.summary(Day(FIRST.0 + day)).expect("closed").rows;
        rows.iter().map(|row| row.is_deleted).collect()
    };
    assert_eq!(deleted(&story, 0), [true, false]);
    assert_eq!(deleted(&story, 1), [true, true]);
    assert_eq!(deleted(&story, 2), [false, false], "no scan has run yet");
    story.check_listings();
}

#[test]
fn h6_old_record_is_deleted_on_request() {
    let mut story = Story::new();
    let [old, other] = story.two_calls();
    story.days_later(1);
    story.two_calls();
    let said = story.ask(story.boss, &format!("delete {old}"));
    assert!(said[0].starts_with("err busy"), "its wrap-up goes on: {said:?}");
    story.sim.run_ms(30_000);
    assert!(story.ask(story.mroe, &format!("delete {old}"))[0].starts_with("err denied"));
    assert_eq!(story.ask(story.boss, &format!("delete {old}")), [format!("ok recording={old}")]);
    story.sim.run_ms(100);
    assert!(story.ask(story.boss, &format!("delete {old}"))[0].starts_with("err no-such-record"));
    let there = |story: &Story, id: &str| {
        story.sim.disk.live.contains_key(&format!("media/2026/11/22/{id}.hbm"))
    };
    assert!(!there(&story, &old) && there(&story, &other));
    story.check_listings();
    story.sim.restart(true);
    story.connect();
    story.check_listings();
    assert!(story.sim.verify().is_clean(), "{:?}", story.sim.verify());
}

#[test]
fn f5_field_set_after_midnight_is_in_the_old_record() {
    let mut story = Story::new();
    let midnight = (story.sim.now.wall.0 / DAY_MS + 1) * DAY_MS;
    story.sim.now.wall = WallTime(midnight - 3000);
    let old = story.begin("1001", "5551");
    story.sim.run_ms(300);
    story.end("1001");
    story.sim.run_ms(4000);
    assert!(story.summary(FIRST).is_none(), "nothing was said since: the new day has no journal");
    let said = story.ask(story.jdoe, "update 1 \"Jane Roe\"");
    assert!(said[0].starts_with("ok "), "{said:?}");
    story.sim.run_ms(1100);
    assert!(story.summary(FIRST).is_some(), "closed");
    let said = story.ask(story.jdoe, "update 1 \"John Roe\"");
    assert!(said[0].starts_with("ok "), "{said:?}");
    let field = |story: &mut Story| {
        let said = story.ask(story.boss, &format!("show {old}"));
        said.iter().any(|row| row.contains("John Roe"))
    };
    assert!(field(&mut story));
    story.days_later(1);
    story.two_calls();
    assert!(field(&mut story), "the first day was mended");
    story.sim.restart(true);
    story.connect();
    assert!(field(&mut story));
}

#[test]
fn h4_day_of_several_files_is_summarised_once() {
    let mut story = Story::new();
    let [old, _] = story.two_calls();
    story.failing_call(1);
    story.two_calls();
    let failed = story.failing_call(3);
    let there = |story: &Story, name: &str| {
        story.sim.disk.live.contains_key(&format!("journal/2026-11-{name}.hbj"))
    };
    assert!(there(&story, "22.1") && there(&story, "22.4"), "a part for each failure");
    story.check_summaries();
    // One fact is durable at midnight; the next is under way, and its sync fails behind it.
    let spanning = story.begin("1001", "5554");
    story.sim.run_ms(400);
    let midnight = (story.sim.now.wall.0 / DAY_MS + 1) * DAY_MS;
    story.sim.now.wall = WallTime(midnight - 100);
    story.sim.disk.delay_us = 100_000;
    story.sim.send(story.jdoe, b"update 1 \"One\"\n");
    story.sim.run_ms(40);
    story.sim.send(story.jdoe, b"update 1 \"Two\"\n");
    story.sim.run_ms(80);
    story.sim.disk.refuse = Some(failing(1));
    story.sim.send(story.jdoe, b"update 1 \"Three\"\n");
    story.sim.run_ms(1000);
    story.sim.disk.delay_us = 0;
    story.end("1001");
    let bytes = story.sim.disk.live["journal/2026-11-23.1.hbj"].as_slice();
    let first = JournalReader::open(bytes).unwrap().next_item().unwrap();
    let Some(JournalItem::Entry { entry, .. }) = first else { panic!("{first:?}") };
    assert!(entry.at.0 < midnight, "the end of the old day is told again: {entry:?}");
    assert!(!there(&story, "23") && story.summary(FIRST).is_some(), "closed all the same");
    story.check_summaries();
    // What is said of an old record while the disk is away.
    story.sim.disk.refuse = Some(failing(3));
    story.sim.send(story.boss, format!("protect {old} on\n").as_bytes());
    story.sim.run_ms(5000);
    assert!(story.sim.news(story.boss).iter().any(|said| said.starts_with("ok recording=")));
    assert!(there(&story, "23.4"));
    story.check_summaries();
    for _ in 0..2 {
        story.days_later(1);
        story.two_calls();
        story.check_summaries();
    }
    let rows = story.summary(FIRST).expect("closed").rows;
    assert!(rows[0].is_protected && rows.len() > 6, "{rows:?}");
    let parts = |id: &str| -> Vec<(u32, u32)> {
        let row = rows.iter().find(|row| row.id.to_string() == id).expect("a row");
        row.entries.iter().map(|place| (place.day.0 - FIRST.0, place.part)).collect()
    };
    assert!(parts(&failed).contains(&(0, 4)), "{:?}", parts(&failed));
    assert!(parts(&spanning).contains(&(1, 1)), "{:?}", parts(&spanning));
    for cut in [true, false] {
        story.sim.restart(cut);
        story.connect();
        story.check_summaries();
    }
}
