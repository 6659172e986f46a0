//! Journals told as stories, and what the index makes of them.

use super::*;
use crate::audio::span::Ledger;
use crate::config::CodecKind;
use crate::store::fact::{Holder, Reason, Reasons, RecordingEnd};
use crate::time::Position;

/// An index and the number of its next entry.
struct Story(Index, u64);

fn id(n: u8) -> RecordingId {
    RecordingId::from_random([n; 10])
}

fn place(channel: u16, at: u64) -> Place {
    Place { channel, at: Position(at) }
}

const ONE: BlackoutNumber = BlackoutNumber(1);

impl Story {
    fn new() -> Story {
        let mut story = Story(Index::default(), 1);
        story.start(1);
        story
    }

    fn tell(&mut self, fact: Fact) {
        let at = Wall(i64::try_from(self.1).expect("small") * 1000);
        self.0.apply(self.1, &Entry { at, fact });
        self.1 += 1;
    }

    fn start(&mut self, boot: u32) {
        self.tell(Fact::BoxStarted { boot, version: "1".into(), rates: vec![8000] });
    }

    fn begin(&mut self, n: u8, channel: u16, from: u64) {
        let call = CallFacts {
            number: CallNumber(u64::from(n)),
            device: format!("100{channel}"),
            agent: Some("jdoe".into()),
            ..CallFacts::default()
        };
        self.tell(Fact::RecordingBegan(RecordingBegan {
            id: id(n),
            call,
            numbers: Sealed(vec![1]),
            channel,
            rate: 8000,
            sides: 1,
            codec: CodecKind::Pcm,
            from: Position(from),
            reasons: Reasons::only(Reason::Schedule),
            schedule: None,
            why: String::new(),
            retain_until: Wall(100_000),
            continues: None,
        }));
    }

    fn end(&mut self, n: u8, to: u64) {
        self.tell(Fact::RecordingEnded(RecordingEnded {
            id: id(n),
            end: RecordingEnd::Stop,
            to: Position(to),
            ledger: Ledger::default(),
            spans: vec![],
            digest: [0; 32],
            size: 0,
        }));
    }

    fn open(&mut self, places: &[Place]) {
        self.tell(Fact::BlackoutOpened {
            number: ONE,
            agent: "jdoe".into(),
            call: None,
            holder: Holder::Agent,
            by: "jdoe".into(),
            places: places.to_vec(),
        });
    }

    fn close(&mut self, places: &[Place]) {
        let (end, by) = (BlackoutEnd::Stop, "jdoe".to_owned());
        self.tell(Fact::BlackoutClosed { number: ONE, end, by, places: places.to_vec() });
    }

    /// From, to and end of a recording's blackouts.
    fn spans(&self, n: u8) -> Vec<(u64, Option<u64>, Option<BlackoutEnd>)> {
        let record = self.0.record(id(n)).expect("known");
        let spans = record.blackouts.iter();
        spans.map(|span| (span.from.0, span.to.map(|to| to.0), span.end)).collect()
    }
}

#[test]
fn g3_a_blackout_reaches_what_runs_on_its_channels() {
    let mut story = Story::new();
    story.begin(1, 1, 500);
    story.begin(2, 2, 0);
    story.open(&[place(1, 100), place(3, 100)]);
    story.begin(3, 3, 800);
    assert_eq!(story.spans(1), [(500, None, None)]);
    assert_eq!(story.spans(2), []);
    story.tell(Fact::BlackoutSpread { number: ONE, places: vec![place(2, 900), place(1, 5)] });
    story.tell(Fact::BlackoutShrunk { number: ONE, places: vec![place(3, 950)] });
    story.end(1, 960);
    story.close(&[place(1, 970), place(2, 970)]);
    assert_eq!(story.spans(1), [(500, Some(960), Some(BlackoutEnd::Stop))]);
    assert_eq!(story.spans(2), [(900, Some(970), Some(BlackoutEnd::Stop))]);
    assert_eq!(story.spans(3), [(800, Some(950), Some(BlackoutEnd::CallEnd))]);
    assert_eq!((story.0.blackouts().count(), story.0.last_blackout()), (0, ONE));
    assert_eq!(story.0.strays(), 0);
}

#[test]
fn a_recording_that_reaches_back_gets_what_was_blacked_out_then() {
    let mut story = Story::new();
    story.open(&[place(1, 100)]);
    story.close(&[place(1, 200)]);
    story.begin(1, 1, 150);
    story.begin(2, 1, 200);
    story.begin(3, 2, 150);
    assert_eq!(story.spans(1), [(150, Some(200), Some(BlackoutEnd::Stop))]);
    assert_eq!((story.spans(2), story.spans(3)), (vec![], vec![]));
}

#[test]
fn a_blackout_after_the_last_frame_is_not_in_the_record() {
    let mut story = Story::new();
    story.begin(1, 1, 0);
    story.open(&[place(1, 700)]);
    story.end(1, 600);
    assert_eq!(story.spans(1), []);
}

#[test]
fn g5_an_open_blackout_outlives_the_box() {
    let mut story = Story::new();
    story.begin(1, 1, 0);
    story.open(&[place(1, 8000)]);
    story.start(2);
    assert_eq!(story.0.running().map(|record| record.boot).collect::<Vec<_>>(), [1]);
    story.begin(2, 1, 0);
    story.end(1, 32_000);
    let open = story.0.blackouts().next().expect("still open");
    assert_eq!((open.places.as_slice(), open.earlier_ms()), (&[place(1, 0)][..], 3000));
    assert!(open.is_held_by(Holder::Agent) && !open.is_held_by(Holder::Cti));
    story.tell(Fact::BlackoutHolders { number: ONE, holders: 4, by: "pbx".into() });
    assert_eq!(story.0.blackouts().next().map(|open| open.holders), Some(4));
    story.close(&[place(1, 4000)]);
    assert_eq!(story.spans(1), [(8000, Some(32_000), Some(BlackoutEnd::Stop))]);
    assert_eq!(story.spans(2), [(0, Some(4000), Some(BlackoutEnd::Stop))]);
    assert!(!story.0.stopped_in_order() && story.0.boot() == 2);
}

#[test]
fn records_show_their_newest_facts_and_keep_their_history() {
    let mut story = Story::new();
    story.begin(1, 1, 0);
    let value = |n: u8| Sealed(vec![n]);
    let set = |n, by: &str| Fact::FieldSet { id: id(1), field: 3, by: by.into(), value: value(n) };
    story.tell(set(7, "jdoe"));
    story.tell(set(8, "boss"));
    let both = Reasons(Reasons::only(Reason::Agent).0 | Reasons::only(Reason::Schedule).0);
    for reasons in [both, Reasons::only(Reason::Agent)] {
        story.tell(Fact::RecordingReasons { id: id(1), reasons, by: "jdoe".into() });
    }
    let call = CallFacts { gate: Some("sales".into()), ..CallFacts::default() };
    story.tell(Fact::RecordingChanged { id: id(1), call, numbers: value(9) });
    let record = story.0.record(id(1)).expect("known");
    assert_eq!((record.fields.get(&3), record.history.len()), (Some(&value(8)), 2));
    assert_eq!((record.history[0].by.as_str(), record.history[0].at), ("jdoe", Wall(3000)));
    assert_eq!((record.reasons, record.reasons_ever), (Reasons::only(Reason::Agent), both));
    assert!(!record.agent_initiated() && record.is_running());
    assert_eq!(record.began.call.gate.as_deref(), Some("sales"));
    assert_eq!(record.media_path(), format!("media/1970/01/01/{}.hbm", id(1)));

    story.end(1, 10);
    let reasons = story.0.record(id(1)).map(|record| record.reasons);
    assert_eq!(reasons, Some(Reasons::only(Reason::Agent)), "what a restart goes on with");
    let expired = |story: &Story, now| story.0.expired(Wall(now)).count();
    assert_eq!((expired(&story, 99_999), expired(&story, 100_000)), (0, 1));
    story.tell(Fact::RecordingRetention { id: id(1), retain_until: Wall(200_000) });
    assert_eq!(expired(&story, 100_000), 0);
    story.tell(Fact::Protected { id: id(1), on: true, by: "boss".into() });
    assert_eq!(expired(&story, 300_000), 0);
    story.tell(Fact::Deleted { id: id(1), why: "request".into(), by: "boss".into() });
    let record = story.0.record(id(1)).expect("known");
    assert_eq!(record.deleted.as_ref().map(|deletion| deletion.by.as_str()), Some("boss"));
    assert!(record.fields.is_empty() && record.history[1].value.0.is_empty());
    assert_eq!(record.began.numbers, Sealed::default());
    story.tell(set(1, "late"));
    story.end(1, 10);
    story.begin(1, 1, 0);
    assert_eq!(story.0.strays(), 3);
}

#[test]
fn calls_and_lists() {
    let mut story = Story::new();
    let facts = CallFacts { number: CallNumber(5), ..CallFacts::default() };
    story.tell(Fact::CallBegan { call: facts.clone(), numbers: Sealed::default() });
    story.tell(Fact::CallHeld { number: CallNumber(5), held: true });
    story.tell(Fact::CallChanged { call: facts, numbers: Sealed(vec![1]) });
    story.start(2);
    let call = story.0.calls().next().expect("lives on");
    assert_eq!((call.held, &call.numbers), (true, &Sealed(vec![1])));
    story.tell(Fact::CallEnded { number: CallNumber(5), why: "stop".into() });
    assert_eq!((story.0.calls().count(), story.0.last_call()), (0, CallNumber(5)));

    (1..=4).for_each(|n| story.begin(n, u16::from(n % 2), 0));
    story.end(2, 5);
    story.tell(Fact::Deleted { id: id(2), why: "request".into(), by: "boss".into() });
    let list = |filter: Filter| -> Vec<u8> {
        story.0.list(&filter).map(|record| record.id().bytes()[0]).collect()
    };
    assert_eq!(list(Filter::default()), [4, 3, 1]);
    assert_eq!(list(Filter { deleted: true, ..Filter::default() }), [4, 3, 2, 1]);
    assert_eq!(list(Filter { device: Some("1001".into()), ..Filter::default() }), [3, 1]);
    assert_eq!(list(Filter { agent: Some("JDoe".into()), ..Filter::default() }), [4, 3, 1]);
    assert_eq!(list(Filter { agent: Some("other".into()), ..Filter::default() }), [0; 0]);
    let third = story.0.record(id(3)).expect("known");
    let before = Filter { before: Some(third.sequence), ..Filter::default() };
    assert_eq!(list(before), [1]);
    let since =
        Filter { from: Some(third.at), until: Some(Wall(third.at.0 + 1)), ..Filter::default() };
    assert_eq!(list(since), [3]);
    assert_eq!(list(Filter { running: Some(false), ..Filter::default() }), [0; 0]);
}
