//! The story of a box with a past: days that somebody else closed, or nobody.
//!
//! The journals of three days were written long ago, by the store's own writer. The real box closes
//! them when it starts, lists them like the present, and makes anew what is damaged meanwhile.

use hushbox::audio::span::Ledger;
use hushbox::config::CodecKind;
use hushbox::id::RecordingId;
use hushbox::store::day::Day;
use hushbox::store::fact::{
    CallFacts, CallNumber, Fact, JournalEntry, RecordReason, RecordReasons, RecordingBegan,
    RecordingEnd, RecordingEnded, SealedBytes,
};
use hushbox::store::journal::JournalWriter;
use hushbox::store::{archive, layout};
use hushbox::time::{Position, WallTime};
use std::path::PathBuf;
use testkit::daemon::site::Site;
use testkit::daemon::{Daemon, is_there, until};

const DAYS: [&str; 3] = ["2026-01-05", "2026-01-06", "2026-01-09"];

/// Call `n` and its recording, of which no media file was left.
fn call(n: u8, at: WallTime) -> [Fact; 3] {
    let id = RecordingId::from_random([n; 10]);
    let call = CallFacts {
        number: CallNumber(u64::from(n)),
        call: format!("c{n}"),
        device: "1001".to_owned(),
        agent: Some("a1".to_owned()),
        began: at,
        ..CallFacts::default()
    };
    let (number, from) = (call.number, Position(u64::from(n) * 80_000));
    let began = RecordingBegan {
        id,
        call: call.clone(),
        numbers: SealedBytes::default(),
        channel: 1,
        rate: 8000,
        sides: 1,
        codec: CodecKind::Pcm,
        from,
        reasons: RecordReasons::from_reason(RecordReason::Agent),
        schedule: None,
        why: String::new(),
        retain_until: WallTime::parse("2126-01-01T00:00:00Z").unwrap(),
        continues: None,
    };
    let ended = RecordingEnded {
        id,
        end: RecordingEnd::CallEnd,
        to: from,
        ledger: Ledger::default(),
        blackout_spans: Vec::new(),
        digest: [0; 32],
        size: 0,
    };
    [
        Fact::RecordingBegan(began),
        Fact::RecordingEnded(ended),
        Fact::CallEnded { number, why: "stop".to_owned() },
    ]
}

/// Ten calls a day; gives the ids, newest first.
fn write_past(story: &Daemon) -> Vec<String> {
    std::fs::create_dir_all(story.data().join(layout::JOURNAL)).unwrap();
    let (mut writer, mut ids) = (JournalWriter::new(), Vec::new());
    for (place, day) in (0..).zip(DAYS) {
        let mut bytes = Vec::new();
        writer.begin_day(day, &mut bytes);
        let mut at = WallTime::parse(&format!("{day}T12:00:00Z")).unwrap();
        if place == 0 {
            let fact = Fact::BoxStarted { boot: 1, version: "0".to_owned(), rates: vec![8000] };
            writer.append(&JournalEntry { at, fact }, &mut bytes);
        }
        for n in place * 10 + 1..=place * 10 + 10 {
            at = WallTime(at.0 + 60_000);
            for fact in call(n, at) {
                writer.append(&JournalEntry { at, fact }, &mut bytes);
            }
            ids.push(RecordingId::from_random([n; 10]).to_string());
        }
        std::fs::write(story.data().join(layout::journal_path(day)), bytes).unwrap();
    }
    ids.reverse();
    ids
}

fn summary_path(story: &Daemon, day: &str) -> PathBuf {
    story.data().join(layout::summary_path(Day::parse(day).unwrap()))
}

/// What the tool says, with or without a box.
fn told(story: &Daemon) -> Vec<String> {
    let ended = story.tool(&["records", "--json"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let list: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    let id = |one: &serde_json::Value| one["recording"].as_str().unwrap().to_owned();
    list.as_array().unwrap().iter().map(id).collect()
}

fn listed(story: &Daemon, words: &str) -> Vec<String> {
    let mut boss = story.client_over_unix("hello supervisor user=boss");
    let reply = boss.ask(&format!("records {words}"));
    assert_eq!(reply.end.verb(), "ok", "{}", reply.end.text);
    reply.rows.iter().map(|row| row.get("recording").to_owned()).collect()
}

#[test]
fn h3_unclosed_days_are_summarised_at_start() {
    let mut story = Daemon::new(Site::sim(&[1]));
    let ids = write_past(&story);
    assert_eq!(told(&story), ids, "without a box, the journals tell");
    story.start();
    for day in &DAYS[..2] {
        assert!(is_there(&summary_path(&story, day)), "closed before the box was ready");
    }
    // The last day went on until this start; it is closed when the new day is on the disk.
    until("the last day closed", || is_there(&summary_path(&story, DAYS[2])).then_some(()));
    assert_eq!(listed(&story, ""), ids);
    assert_eq!(listed(&story, "from=2026-01-06T00:00:00Z to=2026-01-07T00:00:00Z"), ids[10..20]);
    assert_eq!(listed(&story, "call=c3"), ids[27..28]);
    assert_eq!(story.show(&ids[29]).text("/call/id"), "c1");
    assert_eq!(told(&story), ids);
    story.assert_verified();

    let all: Vec<Vec<u8>> =
        DAYS.iter().map(|day| std::fs::read(summary_path(&story, day)).unwrap()).collect();
    let (path, good) = (summary_path(&story, DAYS[0]), all[0].clone());
    let pages = archive::SummaryHeader::from_bytes(&good).unwrap().offsets().pages;
    let mut bad = good.clone();
    bad[usize::try_from(pages).unwrap()] ^= 1;
    std::fs::write(&path, bad).unwrap();
    assert_eq!(told(&story), ids, "the tool goes on with the journals");
    let mut boss = story.client_over_unix("hello supervisor user=boss");
    let reply = boss.ask("records");
    assert_eq!(reply.end.code(), "storage", "{}", reply.end.text);
    let mended = || std::fs::read(&path).is_ok_and(|now| now == good).then_some(());
    until("the damaged summary made anew", mended);
    until("the listing whole again", || (boss.ask("records").rows.len() == 30).then_some(()));
    story.stop();

    // All of them gone: a start makes them again.
    let journal = std::fs::read_dir(story.data().join(layout::JOURNAL)).unwrap();
    for file in journal.map(|file| file.unwrap().path()) {
        if file.extension().is_some_and(|end| end == "hbs") {
            std::fs::remove_file(file).unwrap();
        }
    }
    story.start();
    let now = DAYS.iter().map(|day| std::fs::read(summary_path(&story, day)).unwrap());
    assert!(now.eq(all), "the same bytes");
    assert_eq!(listed(&story, ""), ids);
    story.assert_verified();
    story.stop();
}
