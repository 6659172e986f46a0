//! Recall: a late press keeps the whole call, and an unrecorded call leaves no trace.
//!
//! With `recall` on, each call that could be recorded on demand is kept in RAM, masked and encoded.
//! These tests press late, in the wrap-up, too late, for calls longer than the recall, and after a
//! blackout; and they search the disk and the memory of the process for a call that was not
//! recorded.

use std::collections::BTreeSet;
use std::os::unix::fs::FileExt;
use testkit::sim::SimBox;
use testkit::sim::audio::sample;
use testkit::sim::site::{Site, pair};

fn site_of(recall: &str) -> Site {
    let site = Site::new().audio("holdback_ms = 1000\nwrapup_s = 10");
    let site = site.audio(&format!("recall = \"{recall}\"")).store("seal = false");
    let site = site.more("[blackout]\nlead_ms = 500").sides(["mono", "stereo"]);
    let site = site.role("agent", "record.start record.stop blackout update.1");
    let site = site.role("own", "record.start record.stop notify-on-demand-only");
    site.agent("jdoe", "1001", "agent").agent("asmith", "1002", "own")
}

fn site() -> Site {
    site_of("60m")
}

/// A box with an agent on 1001, one on 1002 who sees own recordings only, and a call feed.
fn people(site: &Site) -> (SimBox, u32, u32, u32) {
    let mut sim = SimBox::new(&site.toml(), 7);
    let (a, b) = (sim.hello("agent user=jdoe"), sim.hello("agent user=asmith"));
    let feed = sim.hello("cti");
    sim.run_ms(1000);
    (sim, a, b, feed)
}

fn stat(sim: &mut SimBox, name: &str) -> u64 {
    let monitor = sim.hello("monitor");
    let rows = sim.say(monitor, "stats");
    let row = rows.iter().find(|row| row.contains(&format!("name={name} "))).expect(name);
    row.rsplit('=').next().unwrap().parse().unwrap()
}

#[test]
fn a1_late_press_keeps_the_whole_call_bit_exact() {
    let (mut sim, a, _, feed) = people(&site());
    sim.say(feed, "call start device=1001 call=c1");
    sim.run_ms(6000);
    assert!(sim.recordings().is_empty(), "nothing is on the disk before the press");
    let said = sim.say(a, "record start");
    assert_eq!(pair(&said, "from"), "8000", "the call's beginning");
    sim.run_ms(3000);
    sim.say(feed, "call stop device=1001 call=c1");
    sim.run_ms(100);
    let stored = sim.stored(&pair(&said, "recording"));
    stored.check(&sim);
    assert!(stored.complete && stored.ledger.stored == 9 * 8000, "{:?}", stored.ledger);
    assert!(sim.verify().is_clean());
}

#[test]
fn g1_blackout_before_press_covers_the_recall() {
    let (mut sim, a, _, feed) = people(&site());
    sim.say(feed, "call start device=1001 call=c1");
    sim.run_ms(2000);
    let on = sim.say(a, "blackout start");
    assert_eq!((pair(&on, "recording"), pair(&on, "from")), ("-".into(), "20000".into()));
    sim.run_ms(1000);
    assert_eq!(pair(&sim.say(a, "blackout stop"), "to"), "32000");
    sim.run_ms(3000);
    let said = sim.say(a, "record start");
    sim.run_ms(2000);
    sim.say(feed, "call stop device=1001 call=c1");
    sim.run_ms(100);
    let stored = sim.stored(&pair(&said, "recording"));
    stored.check(&sim);
    assert_eq!(stored.ledger.masked, 12000, "lead and blackout");
    let span = stored.spans[0];
    assert_eq!((span.from.0, span.to.0), (20000, 32000));
}

#[test]
fn a1_press_in_wrapup_keeps_the_whole_call() {
    let (mut sim, a, _, feed) = people(&site());
    sim.say(feed, "call start device=1001 call=c1");
    sim.run_ms(3000);
    sim.say(feed, "call stop device=1001 call=c1");
    sim.run_ms(9000);
    let said = sim.say(a, "record start");
    assert_eq!((pair(&said, "state"), pair(&said, "from")), ("off".into(), "8000".into()));
    let again = sim.say(a, "record start");
    let answer = |lines: &[String]| lines.iter().find(|line| line.starts_with("ok")).cloned();
    assert_eq!(answer(&again), answer(&said), "pressed twice, kept once");
    assert!(sim.say(a, "update 1 late")[0].starts_with("ok recording="));
    sim.run_ms(100);
    let stored = sim.stored(&pair(&said, "recording"));
    stored.check(&sim);
    assert_eq!(stored.ledger.stored, 3 * 8000);
    sim.run_ms(11_000);
    let late = sim.say(a, "record start");
    assert!(late.iter().any(|line| line.starts_with("err no-call")), "{late:?}");
}

#[test]
fn new_call_ends_wrapup_and_held_call_keeps_its_recall() {
    let (mut sim, a, _, feed) = people(&site());
    sim.say(feed, "call start device=1001 call=c1");
    sim.run_ms(2000);
    sim.say(feed, "call hold device=1001 call=c1");
    sim.say(feed, "call start device=1001 call=c2 of=c1");
    sim.run_ms(2000);
    sim.say(feed, "call stop device=1001 call=c2");
    sim.say(feed, "call resume device=1001 call=c1");
    sim.run_ms(2000);
    let said = sim.say(a, "record start");
    sim.say(feed, "call stop device=1001 call=c1");
    sim.run_ms(100);
    let stored = sim.stored(&pair(&said, "recording"));
    stored.check(&sim);
    assert_eq!((stored.ledger.held, stored.ledger.stored), (2 * 8000, 4 * 8000));
    sim.say(feed, "call start device=1001 call=c3");
    let fresh = sim.say(a, "record start");
    assert_ne!(pair(&fresh, "recording"), pair(&said, "recording"));
}

#[test]
fn recall_shorter_than_call_reports_its_start() {
    let (mut sim, a, _, feed) = people(&site_of("2s"));
    sim.say(feed, "call start device=1001 call=c1");
    sim.run_ms(10_000);
    let said = sim.say(a, "record start");
    let from: u64 = pair(&said, "from").parse().unwrap();
    assert!((8000 * 8..=8000 * 9).contains(&from), "2 s before what the holdback holds: {from}");
    sim.say(feed, "call stop device=1001 call=c1");
    sim.run_ms(100);
    sim.stored(&pair(&said, "recording")).check(&sim);
    let journal = sim.journal();
    let record =
        journal.list_records(&hushbox::store::index::RecordFilter::default()).next().unwrap();
    let missing_ms = (from - 8000) / 8;
    assert!(record.began.why.contains(&format!("back to {missing_ms} ms after")), "{record:?}");
}

#[test]
fn b2_press_of_own_only_agent_keeps_the_call() {
    let answers = |site: &Site| {
        let (mut sim, _, b, feed) = people(site);
        sim.say(feed, "call start device=1002 call=c1");
        sim.run_ms(4000);
        let mut said = sim.say(b, "record start");
        let id = pair(&said, "recording");
        sim.run_ms(1000);
        said.extend(sim.say(b, "record stop"));
        sim.run_ms(1500);
        sim.say(feed, "call stop device=1002 call=c1");
        sim.run_ms(100);
        let stored = sim.stored(&id);
        stored.check(&sim);
        assert_eq!(stored.header.from.0, 8000);
        assert!(sim.verify().is_clean());
        said.iter().chain(&sim.news(b)).map(|line| line.replace(&id, "ID")).collect::<Vec<_>>()
    };
    assert_eq!(answers(&site()), answers(&site().full_time()));
}

#[test]
fn recall_out_of_room_drops_oldest_and_reload_drops_all() {
    let (mut sim, a, _, feed) = people(&site());
    sim.say(feed, "call start device=1001 call=c1");
    sim.run_ms(5000);
    assert!(stat(&mut sim, "hushbox_recall_bytes") >= 3 * 16000, "memory is shown");
    sim.reload(Some(site_of("off").toml()));
    sim.run_ms(100);
    assert_eq!(stat(&mut sim, "hushbox_recall_bytes"), 0);
    sim.run_ms(10_000);
    assert_eq!(stat(&mut sim, "hushbox_lost_frames_total"), 0, "and its ring flows on");
    assert_eq!(pair(&sim.say(a, "record start"), "from"), "128800", "from the press");
}

/// The 32 bytes of every 16th sample of a call, unrecognisable, so that the needles are not found.
fn needles(from: u64, to: u64) -> BTreeSet<[u8; 32]> {
    let stretch = |at: u64| {
        let mut bytes = [0; 32];
        for (pair, position) in bytes.chunks_mut(2).zip(at..) {
            pair.copy_from_slice(&sample(1, 77, position, 0).to_le_bytes().map(|byte| byte ^ 0xa5));
        }
        bytes
    };
    (from..to - 16).step_by(16).map(stretch).collect()
}

/// How many of the needles are in `bytes`.
fn hits(bytes: &[u8], needles: &BTreeSet<[u8; 32]>) -> usize {
    let first: BTreeSet<[u8; 4]> = needles.iter().map(|n| [n[0], n[1], n[2], n[3]]).collect();
    let mut table = vec![false; 1 << 16];
    needles.iter().for_each(|n| table[usize::from(u16::from_le_bytes([n[0], n[1]]))] = true);
    let mut count = 0;
    for window in bytes.windows(32) {
        let head = u16::from_le_bytes([window[0] ^ 0xa5, window[1] ^ 0xa5]);
        if !table[usize::from(head)] {
            continue;
        }
        let hidden: [u8; 32] = std::array::from_fn(|i| window[i] ^ 0xa5);
        let start = [hidden[0], hidden[1], hidden[2], hidden[3]];
        count += usize::from(first.contains(&start) && needles.contains(&hidden));
    }
    count
}

/// How many of the needles are anywhere in the memory of this process.
fn hits_in_memory(needles: &BTreeSet<[u8; 32]>) -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let memory = std::fs::File::open("/proc/self/mem").unwrap();
    let mut buffer = vec![0; 1 << 16];
    let own = buffer.as_ptr().addr() as u64;
    let mut count = 0;
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let number = |hex| u64::from_str_radix(hex, 16).unwrap();
        let (mut at, to) = (number(from), number(to));
        while at < to {
            let size = usize::try_from((to - at).min(1 << 16)).unwrap();
            // What was read a moment ago is in the buffer, not in the box.
            let overlaps = at < own + (1 << 16) && own < at + size as u64;
            if !overlaps && memory.read_exact_at(&mut buffer[..size], at).is_ok() {
                count += hits(&buffer[..size], needles);
            }
            buffer.fill(0);
            at += size as u64;
        }
    }
    count
}

#[test]
fn g1_unrecorded_call_is_not_on_disk_nor_in_memory() {
    // Other tests leave their audio in the memory of this process.
    let name = "g1_unrecorded_call_is_not_on_disk_nor_in_memory";
    if !testkit::is_alone(module_path!(), name) {
        return;
    }
    let (mut sim, _, _, feed) = people(&site().ids([77, 2]));
    sim.say(feed, "call start device=1001 call=c1");
    sim.run_ms(6000);
    sim.say(feed, "call stop device=1001 call=c1");
    sim.run_ms(1000);
    let needles = needles(8000, 56_000);
    assert!(hits_in_memory(&needles) > 2000, "the search finds what is there");
    // The wrap-up ends, and the ring goes round once more: 1 s of holdback, 3 s of slack.
    sim.run_ms(15_000);
    assert_eq!(hits_in_memory(&needles), 0, "in memory");
    let on_disk = sim.disk.live.values().map(|bytes| hits(bytes, &needles)).sum::<usize>();
    assert_eq!(on_disk, 0, "on the disk");
    assert_eq!(stat(&mut sim, "hushbox_recall_calls"), 0);
}

/// What was kept back, and found no buffer at the press, waited for the next sync of audio.
#[test]
fn h3_recall_is_durable_when_a_late_press_is_answered() {
    let (mut sim, a, _, feed) = people(&site());
    sim.say(feed, "call start device=1001 call=c1");
    sim.run_ms(60_000);
    let said = sim.say(a, "record start");
    sim.restart(true);
    let stored = sim.stored(&pair(&said, "recording"));
    let lost = 61 * 8000 - stored.to.0;
    assert!(lost <= 2 * 8000, "{lost} frames are lost, holdback and 1 s may be");
}
