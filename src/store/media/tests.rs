//! Media file tests: files that are written, read, truncated, flipped and forged.

use super::*;
use crate::audio::span::{Fate, LossReason, Run, Side};
use crate::store::damage::{Damage, Tail};
use crate::store::fact::RecordingEnded;
use crate::store::seal::DataKey;

const STORED: Fate = Fate::Stored;

fn test_header(delay: u16, wrapped: &[u8]) -> MediaHeader {
    MediaHeader {
        id: RecordingId::from_random([7; 10]),
        codec: CodecKind::Opus,
        rate: 8000,
        sides: 2,
        bitrate: 16_000,
        channel: 2,
        from: Position(1000),
        began: WallTime(1_795_348_800_000),
        boot: 3,
        delay,
        wrapped: wrapped.to_vec(),
    }
}

fn test_key() -> DataKey {
    DataKey::from_random([1; 32])
}

/// Runs, and their codec bytes.
type TestChunk = (&'static [(Fate, u32)], &'static [u8]);

const CHUNKS: [TestChunk; 4] = [
    (&[(STORED, 100), (Fate::Masked, 50)], b"first"),
    (&[(Fate::Masked, 20), (Fate::Held, 5), (STORED, 75)], b"second"),
    (&[(STORED, 30), (Fate::Lost(LossReason::Overrun), 9), (STORED, 40)], b"third"),
    (&[], b"flush"),
];

fn to_runs(of: &[(Fate, u32)]) -> Vec<Run> {
    of.iter().map(|(fate, frames)| Run { fate: *fate, frames: *frames }).collect()
}

/// A small file, the end offsets of its elements, and the result of `finish`.
fn test_file(delay: u16, key: Option<DataKey>) -> (Vec<u8>, Vec<usize>, FinishedFile) {
    let wrapped: &[u8] = if key.is_some() { b"wrapped" } else { b"" };
    let mut out = Vec::new();
    let mut writer = MediaWriter::create(&test_header(delay, wrapped), key, &mut out);
    let mut ends = vec![out.len()];
    for (of, bytes) in CHUNKS {
        writer.append_chunk(&to_runs(of), &mut bytes.to_vec(), &mut out);
        ends.push(out.len());
    }
    let finished = writer.finish(RecordingEnd::Stop, &mut out);
    ends.push(out.len());
    (out, ends, finished)
}

fn to_offset(at: usize) -> u64 {
    crate::store::bytes::len_to_u64(at)
}

#[test]
fn finished_file_scans_clean_and_adds_up() {
    let (bytes, _, finished) = test_file(0, Some(test_key()));
    let scan = scan(&bytes[..]).expect("scans");
    assert_eq!((scan.tail, scan.trailer, scan.chunks), (Tail::Clean, Some(finished), 4));
    assert_eq!(scan.header, test_header(0, b"wrapped"));
    assert_eq!(finished.digest, *blake3::hash(&bytes).as_bytes());
    assert_eq!((finished.size, scan.good_bytes), (to_offset(bytes.len()), to_offset(bytes.len())));
    assert_eq!(scan.ledger, finished.ledger);
    assert_eq!((scan.ledger.stored, scan.ledger.masked, scan.ledger.held), (245, 70, 5));
    assert_eq!(scan.to.frames_since(Position(1000)), scan.ledger.total_captured());
    let spans: Vec<_> = scan.spans.iter().map(|span| (span.from.0, span.to.0)).collect();
    assert_eq!(spans, [(1100, 1170), (1170, 1175), (1280, 1289)]);
    assert_eq!(scan.build_trailer(RecordingEnd::Power), None);
}

#[test]
fn h5_only_the_unchanged_file_of_the_recording_matches() {
    let (bytes, ends, finished) = test_file(0, Some(test_key()));
    let id = test_header(0, b"").id;
    let check = |bytes: &[u8], expected: ExpectedMedia| {
        expected.check_scan(&scan(bytes).expect("scans")).map_err(|why| why.to_string())
    };
    let nothing = ExpectedMedia::default();
    let whole = ExpectedMedia { id: Some(id), digest: Some(finished.digest), is_running: false };
    for expected in [nothing, ExpectedMedia { digest: None, ..whole }, whole] {
        assert_eq!(check(&bytes, expected), Ok(()));
    }
    let other = ExpectedMedia { id: Some(RecordingId::from_random([8; 10])), ..whole };
    let why = check(&bytes, other).unwrap_err();
    assert_eq!(why, "this is the file of recording a4dqobyha4dqobyh, not of baeaqcaibaeaqcai");
    let changed = ExpectedMedia { digest: Some([9; 32]), ..whole };
    assert!(check(&bytes, changed).unwrap_err().starts_with("changed since"));
    // Cut anywhere, it is not whole, unless the disk failed there.
    for end in [ends[2], ends[2] + 1, bytes.len() - 1] {
        let cut = &bytes[..end];
        let good = scan(cut).expect("scans").good_bytes;
        for expected in [nothing, whole] {
            let why = check(cut, expected).unwrap_err();
            assert!(why.starts_with(&format!("cut short after byte {good}")), "{why}");
        }
        let running = ExpectedMedia { digest: None, is_running: true, ..whole };
        assert_eq!(check(cut, running), Ok(()));
    }
    let digest = *blake3::hash(&bytes[..ends[2]]).as_bytes();
    let failed = ExpectedMedia { digest: Some(digest), ..whole };
    assert_eq!(check(&bytes[..ends[2]], failed), Ok(()));
    let mut flipped = bytes.clone();
    flipped[ends[1] + 20] ^= 1;
    assert!(check(&flipped, nothing).unwrap_err().starts_with("damaged at byte"));
}

#[test]
fn only_the_key_opens_the_chunks() {
    for key in [Some(test_key()), None] {
        let (bytes, ..) = test_file(0, key.clone());
        let mut seen = Vec::new();
        let tail = chunks(&bytes[..], key.as_ref(), |runs, payload| {
            seen.push((runs.to_vec(), payload.to_vec()));
        });
        assert_eq!(tail, Ok(Tail::Clean));
        assert_eq!(seen, CHUNKS.map(|(of, bytes)| (to_runs(of), bytes.to_vec())));
    }
    let (bytes, ..) = test_file(0, Some(test_key()));
    assert!(!bytes.windows(5).any(|window| window == b"first"));
    assert_eq!(chunks(&bytes[..], None, |_, _| ()), Err(MediaError::NoKey));
    let wrong = DataKey::from_random([2; 32]);
    let refused = chunks(&bytes[..], Some(&wrong), |_, _| ());
    assert_eq!(refused, Err(MediaError::Seal(SealError::Chunk { sequence: 0 })));
}

#[test]
fn h3_file_truncated_at_any_byte_can_be_completed() {
    for delay in [0, 60] {
        let (bytes, ends, _) = test_file(delay, Some(test_key()));
        for cut in ends[0]..bytes.len() {
            let torn = scan(&bytes[..cut]).expect("scans");
            let good = *ends.iter().rfind(|end| **end <= cut).expect("the header is whole");
            let at = to_offset(good);
            let tail = if good == cut { Tail::Clean } else { Tail::Torn { at } };
            assert_eq!((torn.tail, torn.good_bytes, torn.trailer), (tail, at, None), "{cut}");
            let closing = torn.build_trailer(RecordingEnd::Power).expect("has no trailer");
            let whole = [&bytes[..good], &closing.bytes[..]].concat();
            let scan = scan(&whole[..]).expect("scans");
            assert_eq!((scan.tail, scan.trailer), (Tail::Clean, Some(closing.finished)));
            assert_eq!(scan.spans, closing.spans);
            let ledger = closing.finished.ledger;
            assert_eq!((ledger, ledger.total_captured()), (scan.ledger, scan.to.0 - 1000));
            assert_eq!(closing.finished.digest, *blake3::hash(&whole).as_bytes());
            let moved = torn.ledger.stored - ledger.stored;
            assert_eq!(moved, ledger.lost[4], "lost to the power, and to nothing else");
            assert_eq!(moved > 0, delay > 0 && good > ends[0], "cut at {cut}");
            assert_eq!(closing.finished.end, RecordingEnd::Power);
        }
        for cut in 0..ends[0] {
            let have = to_offset(cut);
            assert_eq!(scan(&bytes[..cut]).err(), Some(MediaError::HeaderTorn { have }));
        }
    }
}

#[test]
fn zeros_and_garbage_at_the_end_are_a_torn_tail() {
    let (bytes, ends, _) = test_file(0, Some(test_key()));
    for filler in [vec![0; 5000], vec![0xff; 9], b"HBMcHBMtHBM".to_vec()] {
        let torn = [&bytes[..ends[2]], &filler[..]].concat();
        let scan = scan(&torn[..]).expect("scans");
        let at = to_offset(ends[2]);
        assert_eq!((scan.tail, scan.good_bytes, scan.chunks), (Tail::Torn { at }, at, 2));
    }
    let zeros = scan(&[0; 5000][..]).expect_err("no header");
    assert_eq!(zeros, MediaError::HeaderTorn { have: 5000 });
}

#[test]
fn every_flipped_bit_is_located() {
    let (bytes, ends, finished) = test_file(60, Some(test_key()));
    for bit in 0..bytes.len() * 8 {
        let mut bad = bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        if bit / 8 < ends[0] {
            assert_eq!(scan(&bad[..]).err(), Some(MediaError::HeaderDamaged), "bit {bit}");
            continue;
        }
        let scan = scan(&bad[..]).expect("scans");
        let element = ends.iter().rposition(|end| *end <= bit / 8).expect("behind the header");
        let at = to_offset(ends[element]);
        if element == 4 {
            assert_eq!((scan.tail, scan.trailer), (Tail::Torn { at }, None), "bit {bit}");
            continue;
        }
        assert_eq!(scan.tail, Tail::Damaged { at, why: Damage::Checksum }, "bit {bit}");
        assert_eq!(scan.trailer.map(|found| found.ledger), Some(finished.ledger));
        assert_eq!(
            (scan.to, scan.ledger.total_captured()),
            (finished.to, finished.ledger.total_captured())
        );
        let mut frames = 0;
        let seen = chunks(&bad[..], Some(&test_key()), |runs, _| {
            frames += runs.iter().map(|run| u64::from(run.frames)).sum::<u64>();
        });
        assert_eq!((seen, frames), (Ok(scan.tail), finished.ledger.total_captured()));
    }
}

/// Replaces the runs of the first chunk and corrects its checksums.
fn forge_chunk(bytes: &mut [u8], start: usize, change: impl Fn(&mut format::ChunkHead)) {
    let mut head = format::take_chunk(&bytes[start..]).expect("a chunk");
    let payload_at = start + format::chunk_head_bytes(head.runs.len());
    let payload = bytes[payload_at..start + head.chunk_bytes()].to_vec();
    change(&mut head);
    let mut forged = Vec::new();
    format::put_chunk_clear(&head, &mut forged);
    format::put_chunk_sums(0, &payload, &mut forged);
    bytes[start..payload_at].copy_from_slice(&forged);
}

#[test]
fn h5_forged_chunk_with_valid_checksums_is_rejected() {
    let (mut bytes, ends, _) = test_file(0, Some(test_key()));
    forge_chunk(&mut bytes, ends[0], |head| head.runs[1].fate = STORED);
    let scan = scan(&bytes[..]).expect("scans");
    let tail = Tail::Damaged { at: to_offset(ends[4]), why: Damage::Digest };
    assert_eq!(scan.tail, tail);
    let refused = chunks(&bytes[..], Some(&test_key()), |_, _| ());
    assert_eq!(refused, Err(MediaError::Seal(SealError::Chunk { sequence: 0 })));
}

#[test]
fn out_of_order_chunks_are_damage_and_never_truncated() {
    let (bytes, ends, _) = test_file(0, Some(test_key()));
    let part = |n: usize| &bytes[ends[n]..ends[n + 1]];
    let start = &bytes[..ends[0]];
    let twice = [start, part(0), part(0)].concat();
    let scanned = scan(&twice[..]).expect("scans");
    let why = Damage::Sequence { expected: 1, found: 0 };
    assert_eq!(scanned.tail, Tail::Damaged { at: to_offset(ends[1]), why });
    assert_eq!((scanned.chunks, scanned.good_bytes), (1, to_offset(twice.len())));

    let skipped = [start, part(1)].concat();
    let scanned = scan(&skipped[..]).expect("scans");
    let why = Damage::Sequence { expected: 0, found: 1 };
    assert_eq!(scanned.tail, Tail::Damaged { at: to_offset(ends[0]), why });
    assert_eq!((scanned.ledger.lost[3], scanned.ledger.total_captured()), (150, 250));
    let closing = scanned.build_trailer(RecordingEnd::Power).expect("no trailer");
    let closed = scan(&[skipped, closing.bytes].concat()[..]).expect("scans");
    assert_eq!((closed.tail, closed.trailer), (scanned.tail, Some(closing.finished)));

    let longer = [&bytes[..], &[0]].concat();
    let scanned = scan(&longer[..]).expect("scans");
    let tail = Tail::Damaged { at: to_offset(bytes.len()), why: Damage::AfterTrailer };
    assert_eq!(scanned.tail, tail);

    let mut far = bytes.clone();
    forge_chunk(&mut far, ends[1], |head| head.from = Position(u64::MAX - 100));
    assert!(matches!(scan(&far[..]).expect("scans").tail, Tail::Damaged { .. }));
}

#[test]
fn append_chunk_with_spare_capacity_does_not_allocate() {
    let mut out = Vec::with_capacity(10_000);
    let mut writer = MediaWriter::create(&test_header(0, b"wrapped"), Some(test_key()), &mut out);
    let mut payload = Vec::with_capacity(2000);
    let (out_at, payload_at) = (out.as_ptr(), payload.as_ptr());
    for _ in 0..3 {
        payload.resize(1000, 0xa5);
        writer.append_chunk(&to_runs(CHUNKS[0].0), &mut payload, &mut out);
    }
    assert_eq!((out.as_ptr(), payload.as_ptr()), (out_at, payload_at));
    assert_eq!((payload.len(), writer.size()), (0, to_offset(out.len())));
}

#[test]
fn unknown_version_or_invalid_header_is_reported() {
    let mut out = Vec::new();
    let _ = MediaWriter::create(&test_header(0, b""), None, &mut out);
    let redo = |out: &mut Vec<u8>| {
        let end = out.len() - 8;
        let sum: [u8; 8] = crate::store::bytes::checksum(&[&out[..end]]);
        out[end..].copy_from_slice(&sum);
    };
    out[4] = 9;
    redo(&mut out);
    assert_eq!(scan(&out[..]).err(), Some(MediaError::Version { found: 9 }));
    out[4] = 2;
    let rate = out.windows(2).position(|two| two == [0xc0, 0x3e]).expect("8000 as a varint");
    out[rate + 2] = 9;
    redo(&mut out);
    assert_eq!(scan(&out[..]).err(), Some(MediaError::InvalidParameters { rate: 8000, sides: 9 }));
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config {
        failure_persistence: Some(Box::new(
            proptest::test_runner::FileFailurePersistence::WithSource("proptest-regressions"),
        )),
        ..Default::default()
    })]

    #[test]
    fn random_bytes_never_panic(garbage: Vec<u8>, keep in 0_usize..2000) {
        let (bytes, ..) = test_file(9, Some(test_key()));
        let _ = scan(&garbage[..]);
        let mixed = [&bytes[..keep.min(bytes.len())], &garbage[..]].concat();
        if let Ok(scan) = scan(&mixed[..]) {
            let frames = scan.to.frames_since(Position(1000));
            proptest::prop_assert_eq!(scan.ledger.total_captured(), frames);
            let _ = scan.build_trailer(RecordingEnd::Power);
        }
        let _ = chunks(&mixed[..], Some(&test_key()), |_, _| ());
    }
}

/// The file of `test_file` as version 1 wrote it, without its trailer.
fn file_of_version_1(delay: u16) -> Vec<u8> {
    let (bytes, ends, _) = test_file(delay, None);
    let mut old = Vec::new();
    format::put_header(&test_header(delay, b""), format::VERSION_1, &mut old);
    assert_eq!(old.len(), ends[0]);
    old.extend_from_slice(&bytes[ends[0]..ends[4]]);
    old
}

#[test]
fn h5_file_of_version_1_is_completed_as_one_of_version_1() {
    let mut bytes = file_of_version_1(0);
    let cut = scan(&bytes[..]).expect("scans");
    assert_eq!((cut.tail, cut.trailer, cut.ledger.stored), (Tail::Clean, None, 245));
    let made = cut.build_trailer(RecordingEnd::Power).expect("it has none");
    assert_eq!((&made.bytes[..4], made.bytes.len()), (&b"HBMt"[..], 128));
    bytes.extend_from_slice(&made.bytes);
    let whole = scan(&bytes[..]).expect("scans");
    assert_eq!((whole.tail, whole.trailer), (Tail::Clean, Some(made.finished)));
}

#[test]
fn h5_trailer_of_the_other_version_is_damage() {
    let mut bytes = file_of_version_1(0);
    let at = to_offset(bytes.len());
    let (new, ends, _) = test_file(0, None);
    bytes.extend_from_slice(&new[ends[4]..]);
    assert_eq!(scan(&bytes[..]).expect("scans").tail, Tail::Damaged { at, why: Damage::Digest });
}

#[test]
fn h5_later_version_is_refused_with_the_versions_that_are_read() {
    let mut bytes = Vec::new();
    format::put_header(&test_header(0, b""), 4, &mut bytes);
    let error = scan(&bytes[..]).unwrap_err();
    assert_eq!(error, MediaError::Version { found: 4 });
    let text = error.to_string();
    assert_eq!(text, "media format version 4; this program reads versions 1 to 3");
}

#[test]
fn i3_lost_sides_are_in_runs_spans_ledger_and_trailer() {
    let lost = |side| Fate::SideLost(side, LossReason::Network);
    let runs = [(STORED, 100), (lost(Side::Customer), 40), (lost(Side::Agent), 60)];
    let mut bytes = Vec::new();
    let mut writer = MediaWriter::create(&test_header(0, b""), None, &mut bytes);
    writer.append_chunk(&to_runs(&runs), &mut b"one".to_vec(), &mut bytes);
    let finished = writer.finish(RecordingEnd::Stop, &mut bytes);
    let found = scan(&bytes[..]).expect("scans");
    assert_eq!((found.tail, found.trailer), (Tail::Clean, Some(finished)));
    assert_eq!((found.ledger.stored, found.ledger.total_lost()), (200, 0));
    assert_eq!(Side::ALL.map(|side| found.ledger.total_side_lost(side)), [60, 40]);
    let spans: Vec<_> = found.spans.iter().map(|span| (span.fate, span.from.0)).collect();
    assert_eq!(spans, [(lost(Side::Customer), 1100), (lost(Side::Agent), 1140)]);
}

/// What the journal says about the small file.
fn test_end(bytes: &[u8], finished: &FinishedFile) -> RecordingEnded {
    RecordingEnded {
        id: test_header(0, b"").id,
        end: finished.end,
        to: finished.to,
        ledger: finished.ledger,
        blackout_spans: scan(bytes).expect("scans").spans,
        digest: finished.digest,
        size: finished.size,
    }
}

/// Removes a range, with the old file in pieces of this many bytes and more.
fn redact(
    bytes: &[u8],
    before: RecordingEnded,
    range: (u64, u64),
    piece: usize,
) -> Result<(Vec<u8>, RedactedFile), RedactError> {
    let mut redactor = MediaRedactor::new(before, (Position(range.0), Position(range.1)));
    let (mut out, mut wanted) = (Vec::new(), piece);
    while !redactor.is_complete() {
        let at = usize::try_from(redactor.offset()).unwrap();
        let end = bytes.len().min(at + wanted);
        redactor.push_bytes(&bytes[at..end], &mut out)?;
        let is_stuck = redactor.offset() == to_offset(at);
        if is_stuck && end == bytes.len() {
            return Err(redactor.cut_short());
        }
        wanted = if is_stuck { wanted + 1 } else { piece };
    }
    redactor.finish().map(|redacted| (out, redacted))
}

#[test]
fn h6_redacted_file_lacks_the_touched_chunks_and_opens_with_the_same_key() {
    // The chunks have the positions 1000 to 1150, to 1250 and to 1329; the last one has none.
    let cases: [(u16, (u64, u64), &[usize]); 7] = [
        (0, (1000, 1001), &[0]),
        (0, (1149, 1151), &[0, 1]),
        (0, (1150, 1250), &[1]),
        (0, (1300, 9999), &[2, 3]),
        (10, (1150, 1241), &[1, 2]),
        (10, (1150, 1240), &[1]),
        (0, (0, u64::MAX), &[0, 1, 2, 3]),
    ];
    for key in [Some(test_key()), None] {
        for (delay, range, gone) in cases {
            let (bytes, ends, finished) = test_file(delay, key.clone());
            let before = test_end(&bytes, &finished);
            for piece in [1, 7, 64, 1 << 16] {
                let (new, redacted) =
                    redact(&bytes, before.clone(), range, piece).expect("removes");
                let found = scan(&new[..]).expect("scans");
                assert_eq!(found.tail, Tail::Clean, "{range:?}");
                assert_eq!(found.digest, redacted.file.digest);
                assert_eq!(found.trailer.map(|t| (t.digest, t.size)), {
                    Some((redacted.file.digest, redacted.file.size))
                });
                assert_eq!((found.ledger, found.to), (redacted.file.ledger, before.to));
                assert_eq!(found.spans, redacted.file.blackout_spans);
                let removed = before.ledger.stored - found.ledger.stored;
                assert_eq!(removed, redacted.removed_frames);
                assert_eq!(found.ledger.masked, before.ledger.masked + removed);
                let mut payloads = Vec::new();
                let open = |_: &[Run], payload: &[u8]| payloads.push(payload.to_vec());
                chunks(&new[..], key.as_ref(), open).expect("opens");
                for (index, (_, payload)) in CHUNKS.into_iter().enumerate() {
                    let wanted = if gone.contains(&index) { b"" } else { payload };
                    assert_eq!(payloads[index], wanted, "{range:?} {index}");
                }
                let (first, last) = (gone[0], gone[gone.len() - 1]);
                let old = (to_offset(ends[first]), to_offset(ends[last + 1] - ends[first]));
                assert_eq!(redacted.old_bytes, old, "{range:?}");
            }
        }
    }
}

#[test]
fn h6_only_the_whole_file_of_the_journal_is_redacted() {
    let (bytes, ends, finished) = test_file(0, Some(test_key()));
    let before = test_end(&bytes, &finished);
    let range = (1150, 1250);
    let refused = |bytes: &[u8], before: RecordingEnded| {
        redact(bytes, before, range, 64).map(|_| ()).unwrap_err().to_string()
    };
    let nothing = redact(&bytes, before.clone(), (2000, 3000), 64).map(|_| ());
    assert_eq!(nothing, Err(RedactError::NothingStored));
    let other = RecordingEnded { id: RecordingId::from_random([8; 10]), ..before.clone() };
    assert!(refused(&bytes, other).contains("this is the file of recording"));
    let changed = RecordingEnded { digest: [9; 32], ..before.clone() };
    assert!(refused(&bytes, changed).contains("changed since"));
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        assert!(redact(&flipped, before.clone(), range, 64).is_err(), "byte {at}");
        assert!(redact(&bytes[..at], before.clone(), range, 64).is_err(), "cut at {at}");
    }
    // A removed chunk that claims stored frames is a forgery.
    let mut forged = bytes[..ends[0]].to_vec();
    let runs = heapless::Vec::from_slice(&[Run { fate: STORED, frames: 9 }]).unwrap();
    let head = format::ChunkHead { sequence: 0, payload_bytes: 0, from: Position(1000), runs };
    let start = forged.len();
    format::put_chunk_clear(&head, &mut forged);
    format::put_chunk_sums(start, &[], &mut forged);
    assert!(chunks(&forged[..], Some(&test_key()), |_, _| {}).is_err());
}

#[test]
fn h6_interrupted_and_failed_files_stay_so_after_a_removal() {
    let (bytes, ends, _) = test_file(10, Some(test_key()));
    let cut = &bytes[..ends[3]];
    let found = scan(cut).expect("scans");
    let closing = found.build_trailer(RecordingEnd::Power).expect("a trailer");
    let whole = [cut, &closing.bytes].concat();
    let before = test_end(&whole, &closing.finished);
    let (new, redacted) = redact(&whole, before.clone(), (1000, 1010), 64).expect("removes");
    let scanned = scan(&new[..]).expect("scans");
    assert_eq!((scanned.tail, redacted.file.end), (Tail::Clean, RecordingEnd::Power));
    assert_eq!(scanned.ledger.lost, before.ledger.lost);
    assert_eq!(scanned.ledger, redacted.file.ledger);
    // The file of a failed disk has no trailer.
    let failed = found.build_trailer(RecordingEnd::Storage).expect("a trailer").finished;
    let before = RecordingEnded {
        end: RecordingEnd::Storage,
        ledger: failed.ledger,
        digest: found.digest,
        size: found.good_bytes,
        ..before
    };
    let garbage = [cut, b"garbage"].concat();
    let (new, redacted) = redact(&garbage, before, (1000, 1010), 64).expect("removes");
    let scanned = scan(&new[..]).expect("scans");
    assert_eq!((scanned.good_bytes, scanned.digest), (redacted.file.size, redacted.file.digest));
    let closing = scanned.build_trailer(RecordingEnd::Storage).expect("a trailer");
    assert_eq!(closing.finished.ledger, redacted.file.ledger);
}

#[test]
fn h6_redacted_file_of_version_1_is_one_of_version_3() {
    let old = file_of_version_1(0);
    let closing = scan(&old[..]).expect("scans").build_trailer(RecordingEnd::Power);
    let closing = closing.expect("a trailer");
    let whole = [&old[..], &closing.bytes].concat();
    let before = test_end(&whole, &closing.finished);
    let (new, redacted) = redact(&whole, before, (1000, 1010), 64).expect("removes");
    let found = scan(&new[..]).expect("scans");
    assert_eq!((found.tail, found.ledger), (Tail::Clean, redacted.file.ledger));
    assert_eq!((whole[4], new[4]), (1, 3));
    // Another range is removed from it like from any other file.
    let (again, redacted) = redact(&new, redacted.file, (1160, 1170), 64).expect("removes");
    let found = scan(&again[..]).expect("scans");
    assert_eq!((found.tail, found.ledger), (Tail::Clean, redacted.file.ledger));
    assert_eq!((found.ledger.stored, again[4]), (70, 3));
}
