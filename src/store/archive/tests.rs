//! Random boxes over some days: what summaries say must be what the journal says.

mod world;

use super::*;
use crate::id::RecordingId;
use crate::store::fact::{Fact, Sealed};
use crate::store::index::{Filter, Record};
use crate::store::layout;
use crate::store::recover::Files;
use proptest::prelude::*;
use world::{FIRST, Shop, World};

/// The same store, by its journals alone and by its summaries.
fn both(shop: &Shop) -> (Shelf<Shop>, Shelf<Shop>) {
    let plain = Shelf::from_journals(shop.clone()).expect("readable");
    (plain, Shelf::open(shop.clone()).expect("readable"))
}

fn rows(shelf: &Shelf<Shop>, filter: &Filter) -> Vec<Row> {
    shelf.rows(filter.clone()).collect::<Result<_, _>>().expect("whole")
}

fn filters(world: &mut World) -> Vec<Filter> {
    let at = |day: u32| Some(Wall(i64::from(FIRST.0 + day) * 86_400_000));
    let all = Filter { deleted: true, ..Filter::default() };
    let call = Some(format!("c{}", world.pick(30)));
    vec![
        all.clone(),
        Filter::default(),
        Filter { agent: Some("mroe".into()), ..Filter::default() },
        Filter { device: Some("1001".into()), agent: Some("JDOE".into()), ..Filter::default() },
        Filter { device: Some("none".into()), ..all.clone() },
        Filter { call, ..all.clone() },
        Filter { from: at(1), ..all.clone() },
        Filter { until: at(2), ..Filter::default() },
        Filter { from: at(1), until: at(3), running: Some(false), ..Filter::default() },
        Filter { running: Some(true), ..all.clone() },
        Filter { before: Some(1 + world.pick(200)), ..all },
    ]
}

/// Everything that can be asked must be answered the same.
fn assert_same(world: &mut World) {
    let (plain, summed) = both(&world.shop);
    for filter in filters(world) {
        assert_eq!(rows(&summed, &filter), rows(&plain, &filter), "{filter:?}");
    }
    for id in world.ids.clone() {
        let row = summed.find(id).expect("whole").expect("there");
        let record = plain.index().record(id).expect("there");
        assert_eq!(row, Row::of(record));
        assert_eq!(&summed.record(row).expect("whole"), record);
    }
    assert_eq!(summed.find(RecordingId::from_random([255; 10])).expect("whole"), None);
    let (fresh, gone) = summed.index().unsummarised();
    let count = summed.catalogue().kept() + fresh - gone;
    assert!(world.odd || count == plain.index().len(), "{count}");
    let (a, b) = (summed.index(), plain.index());
    assert_eq!((a.boot(), a.stopped_in_order()), (b.boot(), b.stopped_in_order()));
    assert_eq!((a.last_call(), a.last_blackout()), (b.last_call(), b.last_blackout()));
    assert_eq!(a.last_sequence(), b.last_sequence());
    assert!(a.calls().eq(b.calls()) && a.blackouts().eq(b.blackouts()));
    assert!(a.running().map(Record::id).eq(b.running().map(Record::id)));
}

/// Days of random doings; summaries are made at some of the midnights.
fn lived(seed: u64) -> World {
    let mut world = World::new(seed);
    for _ in 0..2 + world.pick(4) {
        for _ in 0..world.pick(120) {
            world.act();
        }
        world.next_day();
        if world.pick(3) > 0 {
            mend(&mut world.shop, world.today, None).expect("mends");
        }
    }
    for _ in 0..world.pick(60) {
        world.act();
    }
    world
}

#[test]
fn what_is_in_memory_is_not_read_from_a_disk_that_may_not_have_it_yet() {
    // Not in every life there is a record of which summaries alone know.
    let with_old = |seed| {
        let mut world = lived(seed);
        mend(&mut world.shop, world.today, None).expect("mends");
        let (plain, summed) = both(&world.shop);
        let is_old = |record: &&Record| {
            record.deleted.is_none() && summed.index().record(record.id()).is_none()
        };
        let id = plain.index().records().find(is_old)?.id();
        Some((world, id))
    };
    let (mut world, id) = (3..100).find_map(with_old).expect("one that is kept");
    let (field, by, value) = (1, "boss".to_owned(), Sealed(vec![7; 5]));
    world.tell(Fact::FieldSet { id, field, by, value });
    let (plain, summed) = both(&world.shop);
    let wanted = plain.index().record(id).expect("there");
    assert_eq!(summed.index().late(id).len(), 1, "nothing but that is new");
    let known = Known { index: summed.index(), catalogue: summed.catalogue() };
    let mut fetch = Fetch::new(summed.find(id).expect("whole").expect("there"));
    let today = world.path.clone();
    let found = loop {
        match fetch.step(known).expect("whole") {
            Step::Found(record) => break record,
            Step::End => panic!("it is there"),
            Step::Need(need) => {
                assert_ne!(need.path, today);
                let from = usize::try_from(need.offset).expect("small");
                let bytes = &world.shop.files[&need.path][from..];
                fetch.give(&bytes[..need.bytes.min(bytes.len())]).expect("whole");
            }
        }
    };
    assert_eq!(&found, wanted);
}

fn summaries(shop: &Shop) -> Vec<String> {
    shop.files.keys().filter(|path| path.ends_with(".hbs")).cloned().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn summaries_say_what_the_journal_says(seed: u64) {
        let mut world = lived(seed);
        assert_same(&mut world);
        mend(&mut world.shop, world.today, None).expect("mends");
        assert_same(&mut world);
        let (_, shelf) = both(&world.shop);
        for path in summaries(&world.shop) {
            let bytes = &world.shop.files[&path];
            let summary = Summary::take(bytes).expect("whole");
            prop_assert_eq!(&summary.put().0, bytes, "put and taken, {}", path);
            let header = Header::take(bytes).expect("whole");
            prop_assert_eq!(shelf.catalogue().get(summary.day), Some(&header.entry));
            let kept = summary.rows.iter().filter(|row| !row.deleted);
            let mortal = kept.filter(|row| !row.protected && !row.running);
            let expires = mortal.map(|row| row.retain_until).min().unwrap_or(NEVER);
            prop_assert_eq!(header.entry.expires, expires);
        }
    }

    #[test]
    fn a_box_that_runs_on_forgets_only_what_summaries_know(seed: u64) {
        let mut world = lived(seed);
        let plain = Shelf::from_journals(world.shop.clone()).expect("reads");
        let mut index = plain.into_index();
        let (catalogue, through) = mend(&mut world.shop, world.today, None).expect("mends");
        index.retire(through);
        let running = Shelf::of(world.shop.clone(), index, catalogue);
        let (plain, _) = both(&world.shop);
        for filter in filters(&mut world) {
            prop_assert_eq!(rows(&running, &filter), rows(&plain, &filter), "{:?}", filter);
        }
        for id in world.ids.clone() {
            let row = running.find(id).expect("whole").expect("there");
            let record = plain.index().record(id).expect("there");
            prop_assert_eq!(&running.record(row).expect("whole"), record);
        }
        let (fresh, gone) = running.index().unsummarised();
        let count = running.catalogue().kept() + fresh - gone;
        prop_assert!(world.odd || count == plain.index().len(), "{}", count);
    }

    #[test]
    fn h3_closing_that_is_cut_anywhere_is_finished_later(seed: u64) {
        let mut world = lived(seed);
        world.shop.changes = 0;
        let mut whole = world.shop.clone();
        mend(&mut whole, world.today, None).expect("mends");
        let all = Filter { deleted: true, ..Filter::default() };
        let (plain, _) = both(&whole);
        for cut in 0..whole.changes {
            let mut shop = world.shop.clone();
            shop.left = Some(cut);
            prop_assert!(mend(&mut shop, world.today, None).is_err(), "said, not swallowed");
            let cut = Shelf::open(shop.clone()).expect("readable");
            prop_assert_eq!(rows(&cut, &all), rows(&plain, &all), "what is missing is folded");
            shop.left = None;
            mend(&mut shop, world.today, None).expect("mends");
            prop_assert!(shop.files == whole.files, "not the same");
        }
        world.shop = whole;
        assert_same(&mut world);
    }

    #[test]
    fn a_damaged_or_missing_summary_is_made_anew(seed: u64, which: usize, bit: usize) {
        let mut world = lived(seed);
        mend(&mut world.shop, world.today, None).expect("mends");
        let good = world.shop.clone();
        let paths = summaries(&good);
        let path = &paths[which % paths.len()];
        let day = layout::parse_summary(path).expect("a summary");
        let bytes = world.shop.files.get_mut(path).expect("there");
        let bit = bit % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(Summary::take(bytes).is_none(), "bit {} of {}", bit, path);
        let tried = Shelf::open(world.shop.clone()).expect("readable");
        // Whatever is asked, the answer is right or that it is damaged.
        let all = Filter { deleted: true, ..Filter::default() };
        let (plain, _) = both(&good);
        match tried.rows(all.clone()).collect::<Result<Vec<Row>, _>>() {
            Ok(found) => prop_assert_eq!(found, rows(&plain, &all)),
            Err(damaged) => prop_assert_eq!(damaged, Damaged::Summary(day)),
        }
        for id in world.ids.clone() {
            match tried.find(id) {
                Ok(found) => prop_assert_eq!(found, plain.index().record(id).map(Row::of)),
                Err(damaged) => prop_assert_eq!(damaged, Damaged::Summary(day)),
            }
        }
        let known = Shelf::open(good.clone()).expect("readable");
        let (mended, _) = mend(&mut world.shop, world.today, Some(day)).expect("mends");
        prop_assert_eq!(&mended, known.catalogue());
        assert_same(&mut world);
        world.shop.remove(path).expect("there");
        let (mended, _) = mend(&mut world.shop, world.today, None).expect("mends");
        prop_assert_eq!(&mended, known.catalogue());
        assert_same(&mut world);
    }

    #[test]
    fn any_bytes_are_refused_or_read(bytes: Vec<u8>) {
        prop_assert!(Summary::take(&bytes).is_none());
        let mut header = bytes.clone();
        header.resize(HEADER_BYTES, 0xa5);
        prop_assert!(Header::take(&header).is_none());
    }
}
