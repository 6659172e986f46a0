//! Journal tests: files that are written, read, truncated, flipped and edited.

use super::*;
use crate::store::bytes::len_to_u64;
use crate::store::damage::{Damage, Tail};
use crate::store::fact::{CallNumber, Fact, JournalEntry, RecordingEnd, RecordingEnded};
use crate::store::sign::BoxSigningKey;
use crate::time::{Position, WallTime};

const DAY: &str = "2026-11-22";

fn test_key() -> BoxSigningKey {
    BoxSigningKey::from_seed(&[3; 32], "box-01")
}

fn test_entry(n: u64) -> JournalEntry {
    let fact = Fact::CallEnded { number: CallNumber(n), why: "stop".into() };
    JournalEntry { at: WallTime(1_795_348_800_000), fact }
}

/// Header, two facts, a checkpoint, two facts; and the end offset of each.
fn test_file() -> (Vec<u8>, Vec<usize>, JournalState) {
    let mut writer = JournalWriter::from_state(JournalState { sequence: 40, chain: [9; 32] });
    let mut out = Vec::new();
    writer.begin_day(DAY, &mut out);
    let mut ends = vec![out.len()];
    for n in 40..45 {
        let sequence = match n {
            42 => writer.append_checkpoint(&test_key(), WallTime(5), &mut out).sequence,
            _ => writer.append(&test_entry(n), &mut out),
        };
        assert_eq!(sequence, n);
        ends.push(out.len());
    }
    (out, ends, writer.state())
}

fn read_all(bytes: &[u8]) -> (Vec<JournalItem>, JournalEnd) {
    let mut reader = JournalReader::open(bytes).expect("opens");
    let mut items = Vec::new();
    while let Some(item) = reader.next_item().expect("reads") {
        items.push(item);
    }
    (items, reader.finish())
}

/// The sequences of the items read, with 0 for damage.
fn sequence_numbers(items: &[JournalItem]) -> Vec<u64> {
    let number = |item: &JournalItem| match item {
        JournalItem::Entry { sequence, entry: found, .. } => {
            assert_eq!(*found, test_entry(*sequence));
            *sequence
        }
        JournalItem::Checkpoint { sequence, checkpoint, .. } => {
            assert_eq!(*sequence, checkpoint.sequence);
            *sequence
        }
        JournalItem::Damage { .. } => 0,
    };
    items.iter().map(number).collect()
}

#[test]
fn journal_round_trips_and_continues() {
    let (mut bytes, ends, state) = test_file();
    let (items, ending) = read_all(&bytes);
    assert_eq!(sequence_numbers(&items), [40, 41, 42, 43, 44]);
    let good_bytes = len_to_u64(bytes.len());
    assert_eq!(ending, JournalEnd { tail: Tail::Clean, good_bytes, state, is_linked: true });
    let JournalItem::Checkpoint { checkpoint, at, .. } = &items[2] else {
        panic!("{:?}", items[2])
    };
    assert_eq!(*at, len_to_u64(ends[2]));
    assert!(checkpoint.is_signed_by(&test_key().public_key()));
    assert!(!checkpoint.is_signed_by(&BoxSigningKey::from_seed(&[3; 32], "box-02").public_key()));
    assert_eq!(Checkpoint::parse_line(&checkpoint.to_line()).as_ref(), Some(checkpoint));
    assert_eq!(Checkpoint::parse_line(&checkpoint.to_line()[1..]), None);

    JournalWriter::from_state(ending.state).append(&test_entry(45), &mut bytes);
    let (items, ending) = read_all(&bytes);
    assert_eq!((items.len(), ending.tail), (6, Tail::Clean));
    let header = JournalReader::open(&bytes[..]).expect("opens").header().cloned();
    let start = JournalState { sequence: 40, chain: [9; 32] };
    assert_eq!(header, Some(JournalHeader { day: DAY.into(), start }));
}

#[test]
fn h3_journal_truncated_at_any_byte_continues() {
    let (bytes, ends, _) = test_file();
    for cut in ends[0]..bytes.len() {
        let (items, ending) = read_all(&bytes[..cut]);
        let whole = ends.iter().rposition(|end| *end <= cut).expect("the header is whole");
        let at = len_to_u64(ends[whole]);
        let tail = if ends[whole] == cut { Tail::Clean } else { Tail::Torn { at } };
        assert_eq!((ending.tail, ending.good_bytes, items.len()), (tail, at, whole), "{cut}");
        let mut mended = bytes[..ends[whole]].to_vec();
        let mut writer = JournalWriter::from_state(ending.state);
        let sequence = writer.append(&test_entry(ending.state.sequence), &mut mended);
        let (items, ending) = read_all(&mended);
        assert_eq!((ending.tail, ending.is_linked), (Tail::Clean, true));
        assert_eq!(sequence_numbers(&items).last(), Some(&sequence));
    }
    for cut in 0..ends[0] {
        let (items, ending) = read_all(&bytes[..cut]);
        let tail = Tail::Torn { at: 0 };
        assert_eq!((items, ending.tail, ending.good_bytes), (vec![], tail, 0), "cut at {cut}");
    }
    let zeros = [&bytes[..ends[2]], &[0; 100_000]].concat();
    assert_eq!(read_all(&zeros).1.tail, Tail::Torn { at: len_to_u64(ends[2]) });
}

#[test]
fn every_flipped_bit_is_located() {
    let (bytes, ends, state) = test_file();
    for bit in 0..bytes.len() * 8 {
        let mut bad = bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let (items, ending) = read_all(&bad);
        let Some(hit) = ends.iter().rposition(|end| *end <= bit / 8) else {
            let tail = Tail::Damaged { at: 0, why: Damage::Header };
            assert_eq!((ending.tail, items.len()), (tail, 6), "bit {bit}");
            assert_eq!((ending.state, ending.is_linked), (state, true));
            continue;
        };
        let at = len_to_u64(ends[hit]);
        if hit == 4 {
            assert_eq!((ending.tail, items.len()), (Tail::Torn { at }, 4), "bit {bit}");
            continue;
        }
        let tail = Tail::Damaged { at, why: Damage::Checksum };
        assert_eq!(ending.tail, tail, "bit {bit}");
        let expected: Vec<u64> =
            (0..5).map(|n| if n == hit { 0 } else { 40 + len_to_u64(n) }).collect();
        assert_eq!(sequence_numbers(&items), expected, "bit {bit}");
        // The checkpoint bridges the damage before it.
        assert_eq!((ending.is_linked, ending.state.sequence), (hit < 2, 45));
        if ending.is_linked {
            assert_eq!(ending.state, state);
        }
        let mut writer = JournalWriter::from_state(ending.state);
        let _ = writer.append_checkpoint(&test_key(), WallTime(6), &mut bad);
        let _ = writer.append(&test_entry(46), &mut bad);
        assert!(read_all(&bad).1.is_linked);
    }
}

/// Changes one byte of an entry's body and corrects its checksum.
fn edit_entry(bytes: &mut [u8], start: usize, offset: usize) {
    let raw = format::take_entry(&bytes[start..]).expect("an entry");
    let (mut body, tag) = (raw.body.to_vec(), raw.tag.to_vec());
    body[offset] ^= 1;
    let mut chain = [0; 32];
    chain[..16].copy_from_slice(&tag);
    let mut edited = Vec::new();
    format::put_entry(&body, &chain, &mut edited);
    bytes[start..start + edited.len()].copy_from_slice(&edited);
}

#[test]
fn h5_edit_with_valid_checksum_breaks_chain() {
    let (mut bytes, ends, state) = test_file();
    edit_entry(&mut bytes, ends[1], 8);
    let (items, ending) = read_all(&bytes);
    let at = len_to_u64(ends[1]);
    assert_eq!(ending.tail, Tail::Damaged { at, why: Damage::Chain });
    assert_eq!((items.len(), ending.is_linked, ending.state), (6, true, state));
    assert_eq!(items[1], JournalItem::Damage { at, why: Damage::Chain });
    assert!(matches!(items[2], JournalItem::Entry { sequence: 41, .. }));
}

#[test]
fn h5_rebuilt_chain_contradicts_signed_checkpoint() {
    let (bytes, ends, _) = test_file();
    let mut writer = JournalWriter::from_state(JournalState { sequence: 40, chain: [9; 32] });
    let mut out = Vec::new();
    writer.begin_day(DAY, &mut out);
    let _ = writer.append(&test_entry(40), &mut out);
    let _ = writer.append(&test_entry(99), &mut out);
    let signed = format::take_entry(&bytes[ends[2]..]).expect("the checkpoint").body;
    let chain = format::next_chain(&writer.state().chain, signed);
    format::put_entry(signed, &chain, &mut out);
    let tail = read_all(&out).1.tail;
    assert_eq!(tail, Tail::Damaged { at: len_to_u64(ends[2]), why: Damage::Chain });
}

#[test]
fn removed_swapped_or_unknown_entry_is_damage() {
    let (bytes, ends, _) = test_file();
    let part = |n: usize| &bytes[ends[n]..ends[n + 1]];
    let removed = [&bytes[..ends[0]], part(1), part(2)].concat();
    let why = Damage::Chain;
    assert_eq!(read_all(&removed).1.tail, Tail::Damaged { at: len_to_u64(ends[0]), why });
    let swapped = [&bytes[..ends[0]], part(1), part(0), part(2)].concat();
    assert_eq!(read_all(&swapped).1.tail, Tail::Damaged { at: len_to_u64(ends[0]), why });

    let mut unknown = bytes[..ends[0]].to_vec();
    let chain = format::next_chain(&[9; 32], &[0, 1, 200]);
    format::put_entry(&[0, 1, 200], &chain, &mut unknown);
    let (items, ending) = read_all(&unknown);
    let why = Damage::Unknown;
    assert_eq!(items, [JournalItem::Damage { at: len_to_u64(ends[0]), why }]);
    assert_eq!((ending.is_linked, ending.good_bytes), (true, len_to_u64(unknown.len())));
    let mut other = bytes.clone();
    other[4] = 2;
    let sum: [u8; 8] = crate::store::bytes::checksum(&[&other[..64]]);
    other[64..72].copy_from_slice(&sum);
    let refused = JournalReader::open(&other[..]).err();
    assert_eq!(refused, Some(JournalError::Version { found: 2 }));
}

#[test]
fn header_ignores_buffer_and_long_lists_are_truncated() {
    let mut out = vec![0xa5; 3];
    let mut writer = JournalWriter::new();
    writer.begin_day(DAY, &mut out);
    assert_eq!((&out[..3], out.len()), (&[0xa5; 3][..], 3 + HEADER_BYTES));
    assert_eq!((&out[9..11], &out[29..35]), (&[0; 2][..], &[0; 6][..]));
    let span = crate::store::fact::FactSpan {
        fate: crate::audio::span::Fate::Lost(crate::audio::span::LossReason::Power),
        from: Position(u64::MAX),
        to: Position(u64::MAX),
    };
    let ended = RecordingEnded {
        id: crate::id::RecordingId::from_random([255; 10]),
        end: RecordingEnd::Power,
        to: Position(u64::MAX),
        ledger: crate::audio::span::Ledger {
            lost: [u64::MAX; 8],
            side_lost: [[u64::MAX; 8]; 2],
            ..Default::default()
        },
        blackout_spans: vec![span; 10_000],
        digest: [255; 32],
        size: u64::MAX,
    };
    let fact = Fact::RecordingEnded(ended);
    let _ = writer.append(&JournalEntry { at: WallTime(i64::MIN), fact }, &mut out);
    let (items, ending) = read_all(&out[3..]);
    assert_eq!(ending.tail, Tail::Clean);
    let [JournalItem::Entry { entry: JournalEntry { fact: Fact::RecordingEnded(read), .. }, .. }] =
        &items[..]
    else {
        panic!("{items:?}");
    };
    assert_eq!(read.blackout_spans, vec![span; crate::store::media::MAX_SPANS]);
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config {
        failure_persistence: Some(Box::new(
            proptest::test_runner::FileFailurePersistence::WithSource("proptest-regressions"),
        )),
        ..Default::default()
    })]

    #[test]
    fn random_bytes_never_panic(garbage: Vec<u8>, keep in 0_usize..500) {
        let (bytes, ..) = test_file();
        let _ = read_all(&garbage);
        let mixed = [&bytes[..keep.min(bytes.len())], &garbage[..], &bytes[72..]].concat();
        let ending = read_all(&mixed).1;
        proptest::prop_assert_eq!(ending.good_bytes, len_to_u64(mixed.len()));
    }
}

#[test]
fn h4_relogged_entries_supersede_earlier_files() {
    let none = u64::MAX;
    // One intact day after another: no file supersedes another.
    assert_eq!(superseded_limits(&[(0, Some(1)), (0, Some(100))]), [none, none]);
    // The first file failed at 100, and so did the two parts after it.
    let parts = [(0, Some(1)), (1, Some(100)), (2, Some(100)), (3, Some(100)), (0, Some(200))];
    assert_eq!(superseded_limits(&parts), [100, 100, 100, none, none]);
    // The failed disk lost the day change together with a part's header.
    let parts = [(0, Some(1)), (0, Some(105)), (1, None), (2, Some(100))];
    assert_eq!(superseded_limits(&parts), [100, 100, 0, none]);
    // Two failures in one day.
    let parts = [(0, Some(1)), (1, Some(50)), (2, Some(90))];
    assert_eq!(superseded_limits(&parts), [50, 90, none]);
}
