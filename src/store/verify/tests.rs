//! Verification tests: a small store in memory, tampered with in many ways.

use super::*;
use crate::audio::span::{Fate, Run};
use crate::config::CodecKind;
use crate::store::damage::Damage;
use crate::store::fact::{
    CallFacts, Fact, JournalEntry, RecordReason, RecordReasons, RecordingBegan, RecordingEnd,
    RecordingEnded, Redaction, SealedBytes,
};
use crate::store::journal::JournalWriter;
use crate::store::media::{MediaHeader, MediaRedactor, MediaWriter, scan};
use crate::store::sign::BoxSigningKey;
use crate::time::{Position, WallTime};

const AT: WallTime = WallTime(1_795_348_800_000);

/// Path and bytes.
type File = (String, Vec<u8>);

#[derive(Clone)]
struct TestStore {
    journals: Vec<File>,
    media: Vec<File>,
    writer: JournalWriter,
    witness: Vec<WitnessCheckpoint>,
}

fn test_id(n: u8) -> RecordingId {
    RecordingId::from_random([n; 10])
}

fn test_key() -> BoxSigningKey {
    BoxSigningKey::from_seed(&[3; 32], "box-01")
}

impl TestStore {
    /// Two days: recordings 1 and 2 on the first, 3 (deleted) on the second.
    fn new() -> TestStore {
        let (journals, media, witness) = (Vec::new(), Vec::new(), Vec::new());
        let mut store = TestStore { journals, media, writer: JournalWriter::new(), witness };
        store.begin_day("2026-11-22");
        let _ = store.add_recording(1);
        let _ = store.add_recording(2);
        store.append_checkpoint();
        store.begin_day("2026-11-23");
        let _ = store.add_recording(3);
        store.append_fact(Fact::Deleted {
            id: test_id(3),
            why: "request".into(),
            by: "boss".into(),
        });
        store.media.pop();
        store.append_checkpoint();
        store
    }

    fn begin_day(&mut self, day: &str) {
        let mut bytes = Vec::new();
        self.writer.begin_day(day, &mut bytes);
        self.journals.push((layout::journal_path(day), bytes));
    }

    fn last_journal(&mut self) -> &mut Vec<u8> {
        &mut self.journals.last_mut().expect("a day has begun").1
    }

    fn append_fact(&mut self, fact: Fact) {
        let mut bytes = Vec::new();
        let _ = self.writer.append(&JournalEntry { at: AT, fact }, &mut bytes);
        self.last_journal().extend_from_slice(&bytes);
    }

    fn append_checkpoint(&mut self) {
        let mut bytes = Vec::new();
        let _ = self.writer.append_checkpoint(&test_key(), AT, &mut bytes);
        self.last_journal().extend_from_slice(&bytes);
    }

    fn begin_recording(&mut self, n: u8) -> (MediaWriter, Vec<u8>) {
        self.append_fact(Fact::RecordingBegan(RecordingBegan {
            id: test_id(n),
            call: CallFacts::default(),
            numbers: SealedBytes::default(),
            channel: 1,
            rate: 8000,
            sides: 1,
            codec: CodecKind::Pcm,
            from: Position(0),
            reasons: RecordReasons::from_reason(RecordReason::Agent),
            schedule: None,
            why: String::new(),
            retain_until: AT,
            continues: None,
        }));
        let header = MediaHeader {
            id: test_id(n),
            codec: CodecKind::Pcm,
            rate: 8000,
            sides: 1,
            bitrate: 0,
            channel: 1,
            from: Position(0),
            began: AT,
            boot: 1,
            delay: 0,
            wrapped: vec![],
        };
        let mut bytes = Vec::new();
        let mut writer = MediaWriter::create(&header, None, &mut bytes);
        let run = Run { fate: Fate::Stored, frames: 100 };
        writer.append_chunk(&[run], &mut vec![n; 200], &mut bytes);
        (writer, bytes)
    }

    fn add_recording(&mut self, n: u8) -> RecordingEnded {
        let (mut writer, mut bytes) = self.begin_recording(n);
        let finished = writer.finish(RecordingEnd::Stop, &mut bytes);
        self.media.push((layout::media_path(AT, test_id(n)), bytes));
        let ended = RecordingEnded {
            id: test_id(n),
            end: finished.end,
            to: finished.to,
            ledger: finished.ledger,
            blackout_spans: vec![],
            digest: finished.digest,
            size: finished.size,
        };
        self.append_fact(Fact::RecordingEnded(ended.clone()));
        ended
    }

    fn verify_store(&self, running: bool) -> VerifyReport {
        let witness = self.witness.clone();
        let mut verifier = Verifier::new(TrustAnchor {
            key: Some(test_key().public_key()),
            is_running: running,
            witness,
        });
        for (path, bytes) in &self.journals {
            verifier.add_journal(path, &bytes[..]);
        }
        for (path, bytes) in &self.media {
            verifier.add_media(path, scan(&bytes[..]).as_ref());
        }
        verifier.finish()
    }

    fn verify_findings(&self) -> Vec<Finding> {
        let report = self.verify_store(false);
        assert_eq!(report.is_clean(), report.findings.is_empty());
        report.findings
    }

    fn read_checkpoints(&self) -> Vec<WitnessCheckpoint> {
        let mut all = Vec::new();
        for (_, bytes) in &self.journals {
            let mut reader = JournalReader::open(&bytes[..]).expect("opens");
            while let Some(item) = reader.next_item().expect("reads") {
                if let JournalItem::Checkpoint { checkpoint, .. } = item {
                    all.push(checkpoint.into());
                }
            }
        }
        all
    }
}

#[test]
fn untouched_store_is_clean() {
    let mut store = TestStore::new();
    store.witness = store.read_checkpoints();
    let report = store.verify_store(false);
    assert_eq!((&report.findings, &report.notes), (&vec![], &vec![]));
    let counts = (report.journals, report.entries, report.checkpoints, report.media);
    assert_eq!(counts, (2, 7, 2, 2));
    store.append_fact(Fact::BoxStopped);
    assert_eq!(store.verify_store(false).notes, [Note::Unsigned { entries: 1 }]);
}

#[test]
fn h5_journal_edits_gaps_and_deletions_are_found() {
    let store = TestStore::new();
    let path = |n: usize| store.journals[n].0.clone();

    let mut missing = store.clone();
    missing.journals.remove(0);
    let gap = Finding::JournalGap { path: path(1), expected: 1, found: 6 };
    assert_eq!(missing.verify_findings()[0], gap);

    let mut flipped = store.clone();
    flipped.journals[0].1[100] ^= 1;
    let damaged = Finding::JournalDamaged { path: path(0), at: 72, why: Damage::Checksum };
    assert_eq!(flipped.verify_findings()[0], damaged);

    let mut short = store.clone();
    short.witness = store.read_checkpoints();
    let rest = short.journals[1].1.split_off(72);
    let beyond = Finding::WitnessBeyond { last: 5, newest: 9, common: 5 };
    assert_eq!(short.verify_findings(), [beyond]);
    short.journals[1].1.extend_from_slice(&rest[..rest.len() - 1]);
    let torn = short.verify_findings();
    assert!(matches!(torn[0], Finding::JournalTorn { .. }), "{torn:?}");
    let running = short.verify_store(true).findings;
    assert_eq!(running, [Finding::WitnessBeyond { last: 8, newest: 9, common: 5 }]);

    let mut renamed = store.clone();
    renamed.journals[1].0 = "journal/2026-11-24.hbj".into();
    assert!(matches!(renamed.verify_findings()[0], Finding::JournalMisnamed { .. }));
}

#[test]
fn h5_rewritten_journal_is_found_by_signatures() {
    let store = TestStore::new();
    let mut forged = store.clone();
    forged.writer = JournalWriter::new();
    (forged.journals, forged.media) = (Vec::new(), Vec::new());
    forged.begin_day("2026-11-22");
    let _ = forged.add_recording(1);
    let mut bytes = Vec::new();
    let other = BoxSigningKey::from_seed(&[4; 32], "box-01");
    let _ = forged.writer.append_checkpoint(&other, AT, &mut bytes);
    forged.last_journal().extend_from_slice(&bytes);
    let found = forged.verify_findings();
    assert!(matches!(found[..], [Finding::BadSignature { sequence: 3, .. }]), "{found:?}");

    let mut again = store.clone();
    again.writer = JournalWriter::new();
    (again.journals, again.media) = (Vec::new(), Vec::new());
    again.begin_day("2026-11-22");
    let _ = again.add_recording(2);
    let _ = again.add_recording(1);
    again.append_checkpoint();
    again.witness = store.read_checkpoints();
    let differs = Finding::WitnessDiffers { sequence: 5, newest: 9, common: 0 };
    let plain = again.verify_findings();
    assert_eq!(plain, vec![differs.clone()]);
    for one in &mut again.witness {
        one.at = None;
    }
    assert_eq!(again.verify_findings(), [differs], "without a time it is compared all the same");
    again.witness = store.read_checkpoints();
    again.witness[0].signature[0] ^= 1;
    assert_eq!(again.verify_findings()[0], Finding::WitnessForged { sequence: 5 });

    let mut unchained = store.clone();
    unchained.journals[0] = again.journals[0].clone();
    let path = store.journals[1].0.clone();
    assert_eq!(unchained.verify_findings()[0], Finding::JournalUnchained { path });
}

#[test]
fn h5_media_files_must_match_the_journal() {
    let store = TestStore::new();
    let path = store.media[0].0.clone();
    let found = |change: &dyn Fn(&mut TestStore)| {
        let mut store = store.clone();
        change(&mut store);
        store.verify_findings()
    };
    let missing = Finding::MediaMissing { path: path.clone(), id: test_id(1) };
    assert_eq!(found(&|store| drop(store.media.remove(0))), [missing]);
    let swapped = found(&|store| store.media[0].1 = store.media[1].1.clone());
    let differs = |what| Finding::MediaDiffers { path: path.clone(), what };
    assert_eq!(swapped, [differs(MediaDifference::Id), differs(MediaDifference::Digest)]);
    let flipped = found(&|store| store.media[0].1[80] ^= 1);
    assert!(matches!(flipped[0], Finding::MediaDamaged { .. }), "{flipped:?}");
    let cut = found(&|store| store.media[0].1.truncate(300));
    assert!(matches!(cut[0], Finding::MediaTorn { .. }), "{cut:?}");
    assert!(matches!(cut[1], Finding::MediaDiffers { what: MediaDifference::Size { .. }, .. }));
    let empty = found(&|store| store.media[0].1.clear());
    let why = MediaError::HeaderTorn { have: 0 };
    assert_eq!(empty, [Finding::MediaUnreadable { path: path.clone(), why }]);
    let elsewhere = found(&|store| store.media[0].0 = path.replace("/22/", "/21/"));
    assert!(matches!(elsewhere[0], Finding::MediaMisplaced { .. }), "{elsewhere:?}");
    let unknown = |store: &mut TestStore| {
        store.media.push((layout::media_path(AT, test_id(9)), vec![]));
        store.media.push(("media/notes.txt".into(), vec![]));
    };
    assert_eq!(found(&unknown).len(), 2);
    let kept = layout::media_path(AT, test_id(3));
    let undeleted = found(&|store| store.media.push((kept.clone(), vec![])));
    assert_eq!(undeleted, [Finding::MediaNotDeleted { path: kept.clone(), id: test_id(3) }]);
}

#[test]
fn h3_interrupted_recordings_differ_from_running_ones() {
    let mut store = TestStore::new();
    let (_, bytes) = store.begin_recording(5);
    let path = layout::media_path(AT, test_id(5));
    store.media.push((path.clone(), bytes[..bytes.len() - 1].to_vec()));
    let torn = &store.verify_findings()[..];
    assert!(matches!(torn[0], Finding::MediaTorn { .. }), "{torn:?}");
    assert_eq!(torn[1..], [Finding::NotRecovered { path, id: test_id(5) }]);
    let report = store.verify_store(true);
    assert_eq!((report.findings, &report.notes[0]), (vec![], &Note::Running { id: test_id(5) }));

    let scanned = scan(&store.media[2].1[..]).expect("scans");
    let closing = scanned.build_trailer(RecordingEnd::Power).expect("was cut");
    let good = usize::try_from(scanned.good_bytes).expect("small");
    store.media[2].1.truncate(good);
    store.media[2].1.extend_from_slice(&closing.bytes);
    let FinishedFile { digest, size, ledger, end, to } = closing.finished;
    let spans = closing.spans;
    let ended =
        RecordingEnded { id: test_id(5), end, to, ledger, blackout_spans: spans, digest, size };
    store.append_fact(Fact::RecordingEnded(ended.clone()));
    assert_eq!(store.verify_findings(), []);

    let _ = store.begin_recording(6);
    let nothing = RecordingEnded { id: test_id(6), size: 0, digest: [0; 32], ..ended };
    store.append_fact(Fact::RecordingEnded(nothing));
    let report = store.verify_store(false);
    assert_eq!(
        (report.findings, &report.notes[0]),
        (vec![], &Note::NeverDurable { id: test_id(6) })
    );
    store.media.push((layout::media_path(AT, test_id(6)), vec![0; 9]));
    assert_eq!(store.verify_findings(), []);
}

#[test]
fn findings_are_sentences_that_name_the_place() {
    let store = TestStore::new();
    let mut flipped = store.clone();
    flipped.journals[0].1[100] ^= 1;
    let said = flipped.verify_findings()[0].to_string();
    let expected = "journal/2026-11-22.hbj: at byte 72: the bytes do not match their checksum";
    assert!(said.starts_with(expected), "{said}");
    let differs = MediaDifference::Size { expected: 10, found: 9 };
    let said = Finding::MediaDiffers { path: "x".into(), what: differs }.to_string();
    assert_eq!(said, "x: its size (9 bytes, not 10) does not match the journal");
}

#[test]
fn h6_removed_range_is_a_note_and_an_unfinished_removal_a_finding() {
    let mut store = TestStore::new();
    let (path, old) = store.media[0].clone();
    let before = RecordingEnded {
        id: test_id(1),
        end: RecordingEnd::Stop,
        to: Position(100),
        ledger: scan(&old[..]).expect("scans").ledger,
        blackout_spans: vec![],
        digest: *blake3::hash(&old).as_bytes(),
        size: old.len() as u64,
    };
    let (range, mut new) = ((Position(0), Position(50)), Vec::new());
    let mut redactor = MediaRedactor::new(before.clone(), range);
    redactor.push_bytes(&old, &mut new).expect("reads");
    let redacted = redactor.finish().expect("removes");
    store.append_fact(Fact::Redacted(Box::new(Redaction {
        began_at: AT,
        is_screen: false,
        by: "boss".into(),
        reason: "card data".into(),
        from: range.0,
        to: range.1,
        removed_from: redacted.removed.0,
        removed_to: redacted.removed.1,
        removed_frames: redacted.removed_frames,
        digest_before: before.digest,
        size_before: before.size,
        old_bytes: redacted.old_bytes,
        file: redacted.file,
    })));
    let unfinished = Finding::RemovalUnfinished { path: path.clone(), id: test_id(1) };
    assert_eq!(store.verify_findings(), [unfinished]);
    assert!(store.verify_store(true).is_clean(), "the daemon is about to replace it");
    store.media[0].1 = new;
    let report = store.verify_store(false);
    assert_eq!(report.findings, []);
    let text = report.notes[0].to_string();
    let wanted = "100 frames (0 to 100) were removed for good by boss: card data";
    assert_eq!(text, format!("recording {}: {wanted}", test_id(1)));
}
