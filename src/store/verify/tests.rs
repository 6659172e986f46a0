//! A small store in memory, and what is found when somebody was at it.

use super::*;
use crate::audio::span::{Fate, Run};
use crate::config::CodecKind;
use crate::store::damage::Damage;
use crate::store::fact::{
    CallFacts, Entry, Fact, Reason, Reasons, RecordingBegan, RecordingEnd, RecordingEnded, Sealed,
};
use crate::store::journal::JournalWriter;
use crate::store::media::{MediaHeader, MediaWriter, scan};
use crate::store::sign::BoxKey;
use crate::time::{Position, Wall};

const AT: Wall = Wall(1_795_348_800_000);

/// Path and bytes.
type File = (String, Vec<u8>);

#[derive(Clone)]
struct Store {
    journals: Vec<File>,
    media: Vec<File>,
    writer: JournalWriter,
    witness: Vec<Witnessed>,
}

fn id(n: u8) -> RecordingId {
    RecordingId::from_random([n; 10])
}

fn key() -> BoxKey {
    BoxKey::from_seed(&[3; 32], "box-01")
}

impl Store {
    /// Two days: recordings 1 and 2 on the first, 3 (deleted) on the second.
    fn new() -> Store {
        let (journals, media, witness) = (Vec::new(), Vec::new(), Vec::new());
        let mut store = Store { journals, media, writer: JournalWriter::new(), witness };
        store.day("2026-11-22");
        let _ = store.record(1);
        let _ = store.record(2);
        store.checkpoint();
        store.day("2026-11-23");
        let _ = store.record(3);
        store.tell(Fact::Deleted { id: id(3), why: "request".into(), by: "boss".into() });
        store.media.pop();
        store.checkpoint();
        store
    }

    fn day(&mut self, day: &str) {
        let mut bytes = Vec::new();
        self.writer.roll(day, &mut bytes);
        self.journals.push((layout::journal_path(day), bytes));
    }

    fn journal(&mut self) -> &mut Vec<u8> {
        &mut self.journals.last_mut().expect("a day has begun").1
    }

    fn tell(&mut self, fact: Fact) {
        let mut bytes = Vec::new();
        let _ = self.writer.append(&Entry { at: AT, fact }, &mut bytes);
        self.journal().extend_from_slice(&bytes);
    }

    fn checkpoint(&mut self) {
        let mut bytes = Vec::new();
        let _ = self.writer.checkpoint(&key(), AT, &mut bytes);
        self.journal().extend_from_slice(&bytes);
    }

    fn begin(&mut self, n: u8) -> (MediaWriter, Vec<u8>) {
        self.tell(Fact::RecordingBegan(RecordingBegan {
            id: id(n),
            call: CallFacts::default(),
            numbers: Sealed::default(),
            channel: 1,
            rate: 8000,
            sides: 1,
            codec: CodecKind::Pcm,
            from: Position(0),
            reasons: Reasons::only(Reason::Agent),
            schedule: None,
            why: String::new(),
            retain_until: AT,
            continues: None,
        }));
        let header = MediaHeader {
            id: id(n),
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
        let mut writer = MediaWriter::begin(&header, None, &mut bytes);
        let run = Run { fate: Fate::Stored, frames: 100 };
        writer.chunk(&[run], &mut vec![n; 200], &mut bytes);
        (writer, bytes)
    }

    fn record(&mut self, n: u8) -> RecordingEnded {
        let (mut writer, mut bytes) = self.begin(n);
        let finished = writer.finish(RecordingEnd::Stop, &mut bytes);
        self.media.push((layout::media_path(AT, id(n)), bytes));
        let ended = RecordingEnded {
            id: id(n),
            end: finished.end,
            to: finished.to,
            ledger: finished.ledger,
            spans: vec![],
            digest: finished.digest,
            size: finished.size,
        };
        self.tell(Fact::RecordingEnded(ended.clone()));
        ended
    }

    fn verify(&self, running: bool) -> Report {
        let witness = self.witness.clone();
        let mut verifier = Verifier::new(Basis { key: Some(key().public()), running, witness });
        for (path, bytes) in &self.journals {
            verifier.journal(path, &bytes[..]);
        }
        for (path, bytes) in &self.media {
            verifier.media(path, scan(&bytes[..]).as_ref());
        }
        verifier.finish()
    }

    fn findings(&self) -> Vec<Finding> {
        let report = self.verify(false);
        assert_eq!(report.is_clean(), report.findings.is_empty());
        report.findings
    }

    fn checkpoints(&self) -> Vec<Witnessed> {
        let mut all = Vec::new();
        for (_, bytes) in &self.journals {
            let mut reader = JournalReader::open(&bytes[..]).expect("opens");
            while let Some(item) = reader.next_item().expect("reads") {
                if let Item::Checkpoint { checkpoint, .. } = item {
                    all.push(checkpoint.into());
                }
            }
        }
        all
    }
}

#[test]
fn an_untouched_store_is_clean() {
    let mut store = Store::new();
    store.witness = store.checkpoints();
    let report = store.verify(false);
    assert_eq!((&report.findings, &report.notes), (&vec![], &vec![]));
    let counts = (report.journals, report.entries, report.checkpoints, report.media);
    assert_eq!(counts, (2, 7, 2, 2));
    store.tell(Fact::BoxStopped);
    assert_eq!(store.verify(false).notes, [Note::Unsigned { entries: 1 }]);
}

#[test]
fn h5_edits_gaps_and_deletions_in_the_journal_are_found() {
    let store = Store::new();
    let path = |n: usize| store.journals[n].0.clone();

    let mut missing = store.clone();
    missing.journals.remove(0);
    let gap = Finding::JournalGap { path: path(1), expected: 1, found: 6 };
    assert_eq!(missing.findings()[0], gap);

    let mut flipped = store.clone();
    flipped.journals[0].1[100] ^= 1;
    let damaged = Finding::JournalDamaged { path: path(0), at: 72, why: Damage::Checksum };
    assert_eq!(flipped.findings()[0], damaged);

    let mut short = store.clone();
    short.witness = store.checkpoints();
    let rest = short.journals[1].1.split_off(72);
    let beyond = Finding::WitnessBeyond { last: 5, newest: 9, common: 5 };
    assert_eq!(short.findings(), [beyond]);
    short.journals[1].1.extend_from_slice(&rest[..rest.len() - 1]);
    let torn = short.findings();
    assert!(matches!(torn[0], Finding::JournalTorn { .. }), "{torn:?}");
    let running = short.verify(true).findings;
    assert_eq!(running, [Finding::WitnessBeyond { last: 8, newest: 9, common: 5 }]);

    let mut renamed = store.clone();
    renamed.journals[1].0 = "journal/2026-11-24.hbj".into();
    assert!(matches!(renamed.findings()[0], Finding::JournalMisnamed { .. }));
}

#[test]
fn h5_a_journal_written_anew_is_found_by_its_signatures() {
    let store = Store::new();
    let mut forged = store.clone();
    forged.writer = JournalWriter::new();
    (forged.journals, forged.media) = (Vec::new(), Vec::new());
    forged.day("2026-11-22");
    let _ = forged.record(1);
    let mut bytes = Vec::new();
    let other = BoxKey::from_seed(&[4; 32], "box-01");
    let _ = forged.writer.checkpoint(&other, AT, &mut bytes);
    forged.journal().extend_from_slice(&bytes);
    let found = forged.findings();
    assert!(matches!(found[..], [Finding::BadSignature { sequence: 3, .. }]), "{found:?}");

    let mut again = store.clone();
    again.writer = JournalWriter::new();
    (again.journals, again.media) = (Vec::new(), Vec::new());
    again.day("2026-11-22");
    let _ = again.record(2);
    let _ = again.record(1);
    again.checkpoint();
    again.witness = store.checkpoints();
    let differs = Finding::WitnessDiffers { sequence: 5, newest: 9, common: 0 };
    let plain = again.findings();
    assert_eq!(plain, vec![differs.clone()]);
    for one in &mut again.witness {
        one.at = None;
    }
    assert_eq!(again.findings(), [differs], "without a time it is compared all the same");
    again.witness = store.checkpoints();
    again.witness[0].signature[0] ^= 1;
    assert_eq!(again.findings()[0], Finding::WitnessForged { sequence: 5 });

    let mut unchained = store.clone();
    unchained.journals[0] = again.journals[0].clone();
    let path = store.journals[1].0.clone();
    assert_eq!(unchained.findings()[0], Finding::JournalUnchained { path });
}

#[test]
fn h5_media_files_must_be_what_the_journal_says() {
    let store = Store::new();
    let path = store.media[0].0.clone();
    let found = |change: &dyn Fn(&mut Store)| {
        let mut store = store.clone();
        change(&mut store);
        store.findings()
    };
    let missing = Finding::MediaMissing { path: path.clone(), id: id(1) };
    assert_eq!(found(&|store| drop(store.media.remove(0))), [missing]);
    let swapped = found(&|store| store.media[0].1 = store.media[1].1.clone());
    let differs = |what| Finding::MediaDiffers { path: path.clone(), what };
    assert_eq!(swapped, [differs(Differs::Id), differs(Differs::Digest)]);
    let flipped = found(&|store| store.media[0].1[80] ^= 1);
    assert!(matches!(flipped[0], Finding::MediaDamaged { .. }), "{flipped:?}");
    let cut = found(&|store| store.media[0].1.truncate(300));
    assert!(matches!(cut[0], Finding::MediaTorn { .. }), "{cut:?}");
    assert!(matches!(cut[1], Finding::MediaDiffers { what: Differs::Size { .. }, .. }));
    let empty = found(&|store| store.media[0].1.clear());
    let why = MediaError::HeaderTorn { have: 0 };
    assert_eq!(empty, [Finding::MediaUnreadable { path: path.clone(), why }]);
    let elsewhere = found(&|store| store.media[0].0 = path.replace("/22/", "/21/"));
    assert!(matches!(elsewhere[0], Finding::MediaMisplaced { .. }), "{elsewhere:?}");
    let unknown = |store: &mut Store| {
        store.media.push((layout::media_path(AT, id(9)), vec![]));
        store.media.push(("media/notes.txt".into(), vec![]));
    };
    assert_eq!(found(&unknown).len(), 2);
    let kept = layout::media_path(AT, id(3));
    let undeleted = found(&|store| store.media.push((kept.clone(), vec![])));
    assert_eq!(undeleted, [Finding::MediaNotDeleted { path: kept.clone(), id: id(3) }]);
}

#[test]
fn h3_what_a_cut_left_is_told_apart_from_what_runs() {
    let mut store = Store::new();
    let (_, bytes) = store.begin(5);
    let path = layout::media_path(AT, id(5));
    store.media.push((path.clone(), bytes[..bytes.len() - 1].to_vec()));
    let torn = &store.findings()[..];
    assert!(matches!(torn[0], Finding::MediaTorn { .. }), "{torn:?}");
    assert_eq!(torn[1..], [Finding::NotRecovered { path, id: id(5) }]);
    let report = store.verify(true);
    assert_eq!((report.findings, &report.notes[0]), (vec![], &Note::Running { id: id(5) }));

    let scanned = scan(&store.media[2].1[..]).expect("scans");
    let closing = scanned.close_cut(RecordingEnd::Power).expect("was cut");
    let good = usize::try_from(scanned.good_bytes).expect("small");
    store.media[2].1.truncate(good);
    store.media[2].1.extend_from_slice(&closing.bytes);
    let Finished { digest, size, ledger, end, to } = closing.finished;
    let spans = closing.spans;
    let ended = RecordingEnded { id: id(5), end, to, ledger, spans, digest, size };
    store.tell(Fact::RecordingEnded(ended.clone()));
    assert_eq!(store.findings(), []);

    let _ = store.begin(6);
    let nothing = RecordingEnded { id: id(6), size: 0, digest: [0; 32], ..ended };
    store.tell(Fact::RecordingEnded(nothing));
    let report = store.verify(false);
    assert_eq!((report.findings, &report.notes[0]), (vec![], &Note::NeverDurable { id: id(6) }));
    store.media.push((layout::media_path(AT, id(6)), vec![0; 9]));
    assert_eq!(store.findings(), []);
}

#[test]
fn findings_are_sentences_that_name_the_place() {
    let store = Store::new();
    let mut flipped = store.clone();
    flipped.journals[0].1[100] ^= 1;
    let said = flipped.findings()[0].to_string();
    let expected = "journal/2026-11-22.hbj: at byte 72: the bytes do not match their checksum";
    assert!(said.starts_with(expected), "{said}");
    let differs = Differs::Size { expected: 10, found: 9 };
    let said = Finding::MediaDiffers { path: "x".into(), what: differs }.to_string();
    assert_eq!(said, "x: its size (9 bytes, not 10) is not what the journal says");
}
