//! Index tests: short journals and the records folded from them.

use super::*;
use crate::audio::span::Ledger;
use crate::config::CodecKind;
use crate::store::fact::{BlackoutHolder, RecordReason, RecordReasons, RecordingEnd};
use crate::time::Position;

/// A journal under construction: the index and the next sequence.
struct JournalStory(Index, u64);

fn test_id(n: u8) -> RecordingId {
    RecordingId::from_random([n; 10])
}

fn test_place(channel: u16, at: u64) -> ChannelPosition {
    ChannelPosition { channel, at: Position(at) }
}

const ONE: BlackoutNumber = BlackoutNumber(1);

impl JournalStory {
    fn new() -> JournalStory {
        let mut story = JournalStory(Index::default(), 1);
        story.start_daemon(1);
        story
    }

    fn append_fact(&mut self, fact: Fact) {
        let at = WallTime(i64::try_from(self.1).expect("small") * 1000);
        self.0.apply(self.1, &JournalEntry { at, fact });
        self.1 += 1;
    }

    fn start_daemon(&mut self, boot: u32) {
        self.append_fact(Fact::BoxStarted { boot, version: "1".into(), rates: vec![8000] });
    }

    fn begin_recording(&mut self, n: u8, channel: u16, from: u64) {
        let call = CallFacts {
            number: CallNumber(u64::from(n)),
            device: format!("100{channel}"),
            agent: Some("jdoe".into()),
            ..CallFacts::default()
        };
        self.append_fact(Fact::RecordingBegan(RecordingBegan {
            id: test_id(n),
            call,
            numbers: SealedBytes(vec![1]),
            channel,
            rate: 8000,
            sides: 1,
            codec: CodecKind::Pcm,
            from: Position(from),
            reasons: RecordReasons::from_reason(RecordReason::Schedule),
            schedule: None,
            why: String::new(),
            retain_until: WallTime(100_000),
            continues: None,
        }));
    }

    fn end_recording(&mut self, n: u8, to: u64) {
        self.append_fact(Fact::RecordingEnded(RecordingEnded {
            id: test_id(n),
            end: RecordingEnd::Stop,
            to: Position(to),
            ledger: Ledger::default(),
            blackout_spans: vec![],
            digest: [0; 32],
            size: 0,
        }));
    }

    fn open_blackout(&mut self, places: &[ChannelPosition]) {
        self.append_fact(Fact::BlackoutOpened {
            number: ONE,
            agent: "jdoe".into(),
            call: None,
            holder: BlackoutHolder::Agent,
            by: "jdoe".into(),
            places: places.to_vec(),
        });
    }

    fn close_blackout(&mut self, places: &[ChannelPosition]) {
        let (end, by) = (BlackoutEnd::Stop, "jdoe".to_owned());
        self.append_fact(Fact::BlackoutClosed { number: ONE, end, by, places: places.to_vec() });
    }

    /// Start, end and reason of a recording's blackouts.
    fn blackout_spans(&self, n: u8) -> Vec<(u64, Option<u64>, Option<BlackoutEnd>)> {
        let record = self.0.record(test_id(n)).expect("known");
        let spans = record.blackouts.iter();
        spans.map(|span| (span.from.0, span.to.map(|to| to.0), span.end)).collect()
    }
}

#[test]
fn g3_blackout_masks_recordings_on_its_channels() {
    let mut story = JournalStory::new();
    story.begin_recording(1, 1, 500);
    story.begin_recording(2, 2, 0);
    story.open_blackout(&[test_place(1, 100), test_place(3, 100)]);
    story.begin_recording(3, 3, 800);
    assert_eq!(story.blackout_spans(1), [(500, None, None)]);
    assert_eq!(story.blackout_spans(2), []);
    story.append_fact(Fact::BlackoutSpread {
        number: ONE,
        places: vec![test_place(2, 900), test_place(1, 5)],
    });
    story.append_fact(Fact::BlackoutShrunk { number: ONE, places: vec![test_place(3, 950)] });
    story.end_recording(1, 960);
    story.close_blackout(&[test_place(1, 970), test_place(2, 970)]);
    assert_eq!(story.blackout_spans(1), [(500, Some(960), Some(BlackoutEnd::Stop))]);
    assert_eq!(story.blackout_spans(2), [(900, Some(970), Some(BlackoutEnd::Stop))]);
    assert_eq!(story.blackout_spans(3), [(800, Some(950), Some(BlackoutEnd::CallEnd))]);
    assert_eq!((story.0.open_blackouts().count(), story.0.last_blackout()), (0, ONE));
    assert_eq!(story.0.stray_count(), 0);
}

#[test]
fn recording_with_preroll_gets_earlier_blackouts() {
    let mut story = JournalStory::new();
    story.open_blackout(&[test_place(1, 100)]);
    story.close_blackout(&[test_place(1, 200)]);
    story.begin_recording(1, 1, 150);
    story.begin_recording(2, 1, 200);
    story.begin_recording(3, 2, 150);
    assert_eq!(story.blackout_spans(1), [(150, Some(200), Some(BlackoutEnd::Stop))]);
    assert_eq!((story.blackout_spans(2), story.blackout_spans(3)), (vec![], vec![]));
}

#[test]
fn blackout_after_last_frame_is_not_in_record() {
    let mut story = JournalStory::new();
    story.begin_recording(1, 1, 0);
    story.open_blackout(&[test_place(1, 700)]);
    story.end_recording(1, 600);
    assert_eq!(story.blackout_spans(1), []);
}

#[test]
fn g5_open_blackout_survives_restart() {
    let mut story = JournalStory::new();
    story.begin_recording(1, 1, 0);
    story.open_blackout(&[test_place(1, 8000)]);
    story.start_daemon(2);
    assert_eq!(story.0.running_records().map(|record| record.boot).collect::<Vec<_>>(), [1]);
    story.begin_recording(2, 1, 0);
    story.end_recording(1, 32_000);
    let open = story.0.open_blackouts().next().expect("still open");
    assert_eq!((open.places.as_slice(), open.earlier_ms()), (&[test_place(1, 0)][..], 3000));
    assert!(open.is_held_by(BlackoutHolder::Agent) && !open.is_held_by(BlackoutHolder::Cti));
    story.append_fact(Fact::BlackoutHolders { number: ONE, holders: 4, by: "pbx".into() });
    assert_eq!(story.0.open_blackouts().next().map(|open| open.holders), Some(4));
    story.close_blackout(&[test_place(1, 4000)]);
    assert_eq!(story.blackout_spans(1), [(8000, Some(32_000), Some(BlackoutEnd::Stop))]);
    assert_eq!(story.blackout_spans(2), [(0, Some(4000), Some(BlackoutEnd::Stop))]);
    assert!(!story.0.has_clean_stop() && story.0.boot() == 2);
}

#[test]
fn record_shows_newest_facts_and_keeps_history() {
    let mut story = JournalStory::new();
    story.begin_recording(1, 1, 0);
    let value = |n: u8| SealedBytes(vec![n]);
    let set =
        |n, by: &str| Fact::FieldSet { id: test_id(1), field: 3, by: by.into(), value: value(n) };
    story.append_fact(set(7, "jdoe"));
    story.append_fact(set(8, "boss"));
    let both = RecordReasons(
        RecordReasons::from_reason(RecordReason::Agent).0
            | RecordReasons::from_reason(RecordReason::Schedule).0,
    );
    for reasons in [both, RecordReasons::from_reason(RecordReason::Agent)] {
        story.append_fact(Fact::RecordingReasons { id: test_id(1), reasons, by: "jdoe".into() });
    }
    let call = CallFacts { gate: Some("sales".into()), ..CallFacts::default() };
    story.append_fact(Fact::RecordingChanged { id: test_id(1), call, numbers: value(9) });
    let record = story.0.record(test_id(1)).expect("known");
    assert_eq!((record.fields.get(&3), record.history.len()), (Some(&value(8)), 2));
    assert_eq!((record.history[0].by.as_str(), record.history[0].at), ("jdoe", WallTime(3000)));
    assert_eq!(
        (record.reasons, record.reasons_ever),
        (RecordReasons::from_reason(RecordReason::Agent), both)
    );
    assert!(!record.is_agent_initiated() && record.is_running());
    assert_eq!(record.began.call.gate.as_deref(), Some("sales"));
    assert_eq!(record.media_path(), format!("media/1970/01/01/{}.hbm", test_id(1)));

    story.end_recording(1, 10);
    let reasons = story.0.record(test_id(1)).map(|record| record.reasons);
    assert_eq!(
        reasons,
        Some(RecordReasons::from_reason(RecordReason::Agent)),
        "what a restart goes on with"
    );
    let expired = |story: &JournalStory, now| story.0.expired_records(WallTime(now)).count();
    assert_eq!((expired(&story, 99_999), expired(&story, 100_000)), (0, 1));
    story.append_fact(Fact::RecordingRetention { id: test_id(1), retain_until: WallTime(200_000) });
    assert_eq!(expired(&story, 100_000), 0);
    story.append_fact(Fact::Protected { id: test_id(1), on: true, by: "boss".into() });
    assert_eq!(expired(&story, 300_000), 0);
    story.append_fact(Fact::Deleted { id: test_id(1), why: "request".into(), by: "boss".into() });
    let record = story.0.record(test_id(1)).expect("known");
    assert_eq!(record.deleted.as_ref().map(|deletion| deletion.by.as_str()), Some("boss"));
    assert!(record.fields.is_empty() && record.history[1].value.0.is_empty());
    assert_eq!(record.began.numbers, SealedBytes::default());
    story.append_fact(set(1, "late"));
    story.end_recording(1, 10);
    story.begin_recording(1, 1, 0);
    assert_eq!(story.0.stray_count(), 3);
}

#[test]
fn index_lists_calls_and_records() {
    let mut story = JournalStory::new();
    let facts = CallFacts { number: CallNumber(5), ..CallFacts::default() };
    story.append_fact(Fact::CallBegan { call: facts.clone(), numbers: SealedBytes::default() });
    story.append_fact(Fact::CallHeld { number: CallNumber(5), held: true });
    story.append_fact(Fact::CallChanged { call: facts, numbers: SealedBytes(vec![1]) });
    story.start_daemon(2);
    let call = story.0.live_calls().next().expect("lives on");
    assert_eq!((call.is_held, &call.numbers), (true, &SealedBytes(vec![1])));
    story.append_fact(Fact::CallEnded { number: CallNumber(5), why: "stop".into() });
    assert_eq!((story.0.live_calls().count(), story.0.last_call()), (0, CallNumber(5)));

    (1..=4).for_each(|n| story.begin_recording(n, u16::from(n % 2), 0));
    story.end_recording(2, 5);
    story.append_fact(Fact::Deleted { id: test_id(2), why: "request".into(), by: "boss".into() });
    let list = |filter: RecordFilter| -> Vec<u8> {
        story.0.list_records(&filter).map(|record| record.id().as_bytes()[0]).collect()
    };
    assert_eq!(list(RecordFilter::default()), [4, 3, 1]);
    assert_eq!(
        list(RecordFilter { include_deleted: true, ..RecordFilter::default() }),
        [4, 3, 2, 1]
    );
    assert_eq!(
        list(RecordFilter { device: Some("1001".into()), ..RecordFilter::default() }),
        [3, 1]
    );
    assert_eq!(
        list(RecordFilter { agent: Some("JDoe".into()), ..RecordFilter::default() }),
        [4, 3, 1]
    );
    assert_eq!(
        list(RecordFilter { agent: Some("other".into()), ..RecordFilter::default() }),
        [0; 0]
    );
    let third = story.0.record(test_id(3)).expect("known");
    let before = RecordFilter { before: Some(third.sequence), ..RecordFilter::default() };
    assert_eq!(list(before), [1]);
    let since = RecordFilter {
        from: Some(third.at),
        until: Some(WallTime(third.at.0 + 1)),
        ..RecordFilter::default()
    };
    assert_eq!(list(since), [3]);
    assert_eq!(list(RecordFilter { is_running: Some(false), ..RecordFilter::default() }), [0; 0]);
}
