//! Archive tests: random stores over some days, where summaries must agree with the journal.

mod simulated_box;

use super::*;
use crate::id::RecordingId;
use crate::store::fact::{Fact, SealedBytes};
use crate::store::index::{Record, RecordFilter};
use crate::store::layout;
use crate::store::recover::StoreFs;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use simulated_box::{FIRST, MemoryFs, SimulatedBox};

/// Opens one store twice: from its journals alone and with its summaries.
fn open_both(shop: &MemoryFs) -> (SummaryReader<MemoryFs>, SummaryReader<MemoryFs>) {
    let plain = SummaryReader::from_journals(shop.clone()).expect("readable");
    (plain, SummaryReader::open(shop.clone()).expect("readable"))
}

fn all_rows(shelf: &SummaryReader<MemoryFs>, filter: &RecordFilter) -> Vec<RecordRow> {
    shelf.scan_rows(filter.clone()).collect::<Result<_, _>>().expect("whole")
}

fn some_filters(world: &mut SimulatedBox) -> Vec<RecordFilter> {
    let at = |day: u32| Some(WallTime(i64::from(FIRST.0 + day) * 86_400_000));
    let all = RecordFilter { include_deleted: true, ..RecordFilter::default() };
    let call = Some(format!("c{}", world.random_below(30)));
    vec![
        all.clone(),
        RecordFilter::default(),
        RecordFilter { agent: Some("mroe".into()), ..RecordFilter::default() },
        RecordFilter {
            device: Some("1001".into()),
            agent: Some("JDOE".into()),
            ..RecordFilter::default()
        },
        RecordFilter { device: Some("none".into()), ..all.clone() },
        RecordFilter { call, ..all.clone() },
        RecordFilter { from: at(1), ..all.clone() },
        RecordFilter { until: at(2), ..RecordFilter::default() },
        RecordFilter {
            from: at(1),
            until: at(3),
            is_running: Some(false),
            ..RecordFilter::default()
        },
        RecordFilter { is_running: Some(true), ..all.clone() },
        RecordFilter { before: Some(1 + world.random_below(200)), ..all },
    ]
}

/// Asserts that every query has the same answer.
fn assert_same(world: &mut SimulatedBox) {
    let (plain, summed) = open_both(&world.fs);
    for filter in some_filters(world) {
        assert_eq!(all_rows(&summed, &filter), all_rows(&plain, &filter), "{filter:?}");
    }
    for id in world.ids.clone() {
        let row = summed.find_row(id).expect("whole").expect("there");
        let record = plain.index().record(id).expect("there");
        assert_eq!(row, RecordRow::from_record(record));
        assert_eq!(&summed.fetch_record(row).expect("whole"), record);
    }
    assert_eq!(summed.find_row(RecordingId::from_random([255; 10])).expect("whole"), None);
    let (fresh, gone) = summed.index().unsummarised_counts();
    let count = summed.catalogue().record_count() + fresh - gone;
    assert!(world.has_stray_deletion || count == plain.index().len(), "{count}");
    let (a, b) = (summed.index(), plain.index());
    assert_eq!((a.boot(), a.has_clean_stop()), (b.boot(), b.has_clean_stop()));
    assert_eq!((a.last_call(), a.last_blackout()), (b.last_call(), b.last_blackout()));
    assert_eq!(a.last_sequence(), b.last_sequence());
    assert!(a.live_calls().eq(b.live_calls()) && a.open_blackouts().eq(b.open_blackouts()));
    assert!(a.running_records().map(Record::id).eq(b.running_records().map(Record::id)));
}

/// Simulates days of random actions. Summaries are made at some of the midnights.
fn simulate_days(seed: u64) -> SimulatedBox {
    let mut world = SimulatedBox::new(seed);
    for _ in 0..2 + world.random_below(4) {
        for _ in 0..world.random_below(120) {
            world.random_action();
        }
        world.next_day();
        if world.random_below(3) > 0 {
            repair_summaries(&mut world.fs, world.today, None).expect("ok");
        }
    }
    for _ in 0..world.random_below(60) {
        world.random_action();
    }
    world
}

#[test]
fn what_is_in_memory_is_not_read_from_a_disk_that_may_not_have_it_yet() {
    // Not every seed gives a record that only summaries hold.
    let with_old = |seed| {
        let mut world = simulate_days(seed);
        repair_summaries(&mut world.fs, world.today, None).expect("mends");
        let (plain, summed) = open_both(&world.fs);
        let is_old = |record: &&Record| {
            record.deleted.is_none() && summed.index().record(record.id()).is_none()
        };
        let id = plain.index().records().find(is_old)?.id();
        Some((world, id))
    };
    let (mut world, id) = (3..100).find_map(with_old).expect("one that is kept");
    let (field, by, value) = (1, "boss".to_owned(), SealedBytes(vec![7; 5]));
    world.append_fact(Fact::FieldSet { id, field, by, value });
    let (plain, summed) = open_both(&world.fs);
    let wanted = plain.index().record(id).expect("there");
    assert_eq!(summed.index().late_facts(id).len(), 1, "nothing but that is new");
    let known = ReadView { index: summed.index(), catalogue: summed.catalogue() };
    let mut fetch = RecordFetch::new(summed.find_row(id).expect("whole").expect("there"));
    let today = world.path.clone();
    let found = loop {
        match fetch.poll_record(known).expect("whole") {
            ReadStep::Found(record) => break record,
            ReadStep::End => panic!("it is there"),
            ReadStep::Read(need) => {
                assert_ne!(need.path, today);
                let from = usize::try_from(need.offset).expect("small");
                let bytes = &world.fs.files[&need.path][from..];
                fetch.supply_bytes(&bytes[..need.bytes.min(bytes.len())]).expect("whole");
            }
        }
    };
    assert_eq!(&found, wanted);
}

fn summary_paths(shop: &MemoryFs) -> Vec<String> {
    shop.files.keys().filter(|path| path.ends_with(".hbs")).cloned().collect()
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource(
            "proptest-regressions",
        ))),
        ..ProptestConfig::with_cases(64)
    })]

    #[test]
    fn summaries_say_what_the_journal_says(seed: u64) {
        let mut world = simulate_days(seed);
        assert_same(&mut world);
        repair_summaries(&mut world.fs, world.today, None).expect("mends");
        assert_same(&mut world);
        let (_, shelf) = open_both(&world.fs);
        for path in summary_paths(&world.fs) {
            let bytes = &world.fs.files[&path];
            let summary = Summary::from_bytes(bytes).expect("whole");
            prop_assert_eq!(&summary.to_bytes().0, bytes, "put and taken, {}", path);
            let header = SummaryHeader::from_bytes(bytes).expect("whole");
            prop_assert_eq!(shelf.catalogue().get(summary.day), Some(&header.day_entry));
            let kept = summary.rows.iter().filter(|row| !row.is_deleted);
            let mortal = kept.filter(|row| !row.is_protected && !row.is_running);
            let expires = mortal.map(|row| row.retain_until).min().unwrap_or(FAR_FUTURE);
            prop_assert_eq!(header.day_entry.expires, expires);
        }
    }

    #[test]
    fn a_box_that_runs_on_forgets_only_what_summaries_know(seed: u64) {
        let mut world = simulate_days(seed);
        let plain = SummaryReader::from_journals(world.fs.clone()).expect("reads");
        let mut index = plain.into_index();
        let closed = repair_summaries(&mut world.fs, world.today, None);
        let (catalogue, through) = closed.expect("closed");
        index.retire_through(through);
        let running = SummaryReader::from_memory(world.fs.clone(), index, catalogue);
        let (plain, _) = open_both(&world.fs);
        for filter in some_filters(&mut world) {
            prop_assert_eq!(all_rows(&running, &filter), all_rows(&plain, &filter), "{:?}", filter);
        }
        for id in world.ids.clone() {
            let row = running.find_row(id).expect("whole").expect("there");
            let record = plain.index().record(id).expect("there");
            prop_assert_eq!(&running.fetch_record(row).expect("whole"), record);
        }
        let (fresh, gone) = running.index().unsummarised_counts();
        let count = running.catalogue().record_count() + fresh - gone;
        prop_assert!(world.has_stray_deletion || count == plain.index().len(), "{}", count);
    }

    #[test]
    fn h3_closing_that_is_cut_anywhere_is_finished_later(seed: u64) {
        let mut world = simulate_days(seed);
        world.fs.changes = 0;
        let mut whole = world.fs.clone();
        repair_summaries(&mut whole, world.today, None).expect("mends");
        let all = RecordFilter { include_deleted: true, ..RecordFilter::default() };
        let (plain, _) = open_both(&whole);
        for cut in 0..whole.changes {
            let mut shop = world.fs.clone();
            shop.changes_left = Some(cut);
            prop_assert!(repair_summaries(&mut shop, world.today, None).is_err(), "an error");
            let cut = SummaryReader::open(shop.clone()).expect("readable");
            prop_assert_eq!(all_rows(&cut, &all), all_rows(&plain, &all), "from journals");
            shop.changes_left = None;
            repair_summaries(&mut shop, world.today, None).expect("mends");
            prop_assert!(shop.files == whole.files, "not the same");
        }
        world.fs = whole;
        assert_same(&mut world);
    }

    #[test]
    fn a_damaged_or_missing_summary_is_made_anew(seed: u64, which: usize, bit: usize) {
        let mut world = simulate_days(seed);
        repair_summaries(&mut world.fs, world.today, None).expect("mends");
        let good = world.fs.clone();
        let paths = summary_paths(&good);
        let path = &paths[which % paths.len()];
        let day = layout::parse_summary(path).expect("a summary");
        let bytes = world.fs.files.get_mut(path).expect("there");
        let bit = bit % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(Summary::from_bytes(bytes).is_none(), "bit {} of {}", bit, path);
        let tried = SummaryReader::open(world.fs.clone()).expect("readable");
        // Every answer is right, or reports the damage.
        let all = RecordFilter { include_deleted: true, ..RecordFilter::default() };
        let (plain, _) = open_both(&good);
        match tried.scan_rows(all.clone()).collect::<Result<Vec<RecordRow>, _>>() {
            Ok(found) => prop_assert_eq!(found, all_rows(&plain, &all)),
            Err(damaged) => prop_assert_eq!(damaged, ArchiveError::Summary(day)),
        }
        for id in world.ids.clone() {
            match tried.find_row(id) {
                Ok(found) => {
                    let row = plain.index().record(id).map(RecordRow::from_record);
                    prop_assert_eq!(found, row);
                }
                Err(damaged) => prop_assert_eq!(damaged, ArchiveError::Summary(day)),
            }
        }
        let known = SummaryReader::open(good.clone()).expect("readable");
        let (mended, _) = repair_summaries(&mut world.fs, world.today, Some(day)).expect("mends");
        prop_assert_eq!(&mended, known.catalogue());
        assert_same(&mut world);
        world.fs.remove_file(path).expect("there");
        let (mended, _) = repair_summaries(&mut world.fs, world.today, None).expect("mends");
        prop_assert_eq!(&mended, known.catalogue());
        assert_same(&mut world);
    }

    #[test]
    fn any_bytes_are_refused_or_read(bytes: Vec<u8>) {
        prop_assert!(Summary::from_bytes(&bytes).is_none());
        let mut header = bytes.clone();
        header.resize(HEADER_BYTES, 0xa5);
        prop_assert!(SummaryHeader::from_bytes(&header).is_none());
    }
}
