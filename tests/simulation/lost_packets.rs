//! Packets that the network loses, and packets that come late: each side of a channel by itself.
//!
//! The simulated network tells what is lost before its period and puts noise in its place. What
//! comes late is stored if the ring still has the place. The file and the journal agree to the
//! frame.

use hushbox::audio::span::{Fate, LossReason, Side};
use testkit::sim::SimBox;
use testkit::sim::site::{Site, pair, value};
use testkit::sim::stored::Stored;

const SIDES: [&str; 2] = ["mono", "stereo"];

fn site() -> Site {
    let site = Site::new().store("seal = false").sides(SIDES);
    let site = site.role("agent", "record.start record.stop blackout records.own");
    site.agent("jdoe", "1001 1002", "agent")
}

/// Runs a recorded call on a device for ten seconds, over a network that loses one packet in
/// `one_in`. Returns the box, the recording and the supervisor's session.
fn record(device: &str, one_in: usize) -> (SimBox, String) {
    let mut sim = SimBox::new(&site().toml(), 11);
    sim.network.loses_one_in = one_in;
    let (agent, feed) = (sim.hello("agent user=jdoe"), sim.hello("cti"));
    sim.run_ms(1000);
    sim.say(feed, &format!("call start device={device} call=c1"));
    let id = pair(&sim.say(agent, "record start"), "recording");
    sim.run_ms(10_000);
    sim.say(feed, &format!("call stop device={device} call=c1"));
    sim.run_ms(1000);
    (sim, id)
}

/// Frames of a recording that were told as lost on a side and did not come late.
fn told_for_good(sim: &SimBox, stored: &Stored, side: usize) -> u64 {
    let (from, to) = (stored.header.from.0, stored.to.0);
    let told = sim.network.told.iter().filter(|told| {
        (told.channel, told.side, told.came) == (stored.header.channel, side, false)
    });
    told.map(|told| told.to.min(to).saturating_sub(told.from.max(from))).sum()
}

/// Frames that a run list says are lost on a side.
fn lost_on(stored: &Stored, side: Side) -> u64 {
    let lost = stored.runs.iter().filter(|run| match run.fate {
        Fate::Lost(_) => true,
        Fate::SideLost(which, _) => which == side,
        _ => false,
    });
    lost.map(|run| u64::from(run.frames)).sum()
}

#[test]
fn i3_each_side_loses_its_own_packets_exact_to_the_frame() {
    let (sim, id) = record("1002", 6);
    let stored = sim.stored(&id);
    stored.check(&sim);
    for side in Side::ALL {
        let (lost, told) = (lost_on(&stored, side), told_for_good(&sim, &stored, side.index()));
        assert!(told > 500 && lost >= told, "{side:?}: {lost} lost, {told} told and never came");
        // What came too late for the holdback of this file is lost as well.
        let came = sim.network.told.iter().filter(|told| told.came && told.side == side.index());
        let came: u64 = came.map(|told| told.to - told.from).sum();
        assert!(lost < told + came, "{side:?}: nothing came in time");
        assert_eq!(stored.ledger.total_side_lost(side) + stored.ledger.total_lost(), lost);
    }
    assert_eq!(stored.ledger.total_captured(), 80_000);
    let record = sim.journal();
    let ended = record.record(stored.header.id).unwrap().ended.clone().unwrap();
    assert_eq!(ended.ledger, stored.ledger);
    assert_eq!(ended.blackout_spans, stored.spans);
    assert!(sim.verify().is_clean(), "{:?}", sim.verify().findings);
}

#[test]
fn i3_mono_channel_loses_all_of_it() {
    let (sim, id) = record("1001", 6);
    let stored = sim.stored(&id);
    stored.check(&sim);
    let lost = stored.ledger.total_lost();
    assert!(lost >= told_for_good(&sim, &stored, 0) && lost > 500, "{lost}");
    assert_eq!(stored.ledger.side_lost, [[0; 8]; 2]);
    assert!(sim.verify().is_clean());
}

#[test]
fn i3_record_says_which_side_lost_what_and_why() {
    let (mut sim, id) = record("1002", 6);
    let stored = sim.stored(&id);
    let agent = sim.hello("agent user=jdoe");
    let said = sim.say(agent, &format!("show {id}"));
    let spans: Vec<&String> = said.iter().filter(|row| row.contains("fate=side-lost")).collect();
    let listed = stored.spans.iter().filter(|span| span.fate.lost_side().is_some()).count();
    assert!(listed > 5 && spans.len() == listed, "{said:#?}");
    let (first, row) = (stored.spans[0], &said[said.iter().position(|r| r == spans[0]).unwrap()]);
    let (side, why) = (first.fate.lost_side().unwrap(), first.fate.loss_reason().unwrap());
    assert_eq!(
        (value(row, "side"), value(row, "why")),
        (side.as_str().into(), why.as_str().into())
    );
    let ledger = said.iter().find(|row| row.contains("what=ledger")).unwrap();
    let network = stored.ledger.side_lost[1][LossReason::Network as usize];
    assert_eq!(value(ledger, "customer_side_lost_network"), network.to_string());
    assert!(network > 0);
}

#[test]
fn i3_h3_interrupted_file_counts_lost_sides_like_a_whole_one() {
    let mut sim = SimBox::new(&site().toml(), 12);
    sim.network.loses_one_in = 6;
    let (agent, feed) = (sim.hello("agent user=jdoe"), sim.hello("cti"));
    sim.say(feed, "call start device=1002 call=c1");
    let id = pair(&sim.say(agent, "record start"), "recording");
    sim.run_ms(10_000);
    sim.restart(true);
    let stored = sim.stored(&id);
    assert!(stored.complete && stored.ledger.total_side_lost(Side::Agent) > 500);
    stored.check(&sim);
    let journal = sim.journal();
    let ended = journal.record(stored.header.id).unwrap().ended.clone().unwrap();
    assert_eq!((ended.ledger, ended.blackout_spans), (stored.ledger, stored.spans.clone()));
    assert!(sim.verify().is_clean(), "{:?}", sim.verify().findings);
}

#[test]
fn i3_g1_late_audio_of_a_blackout_is_never_stored() {
    let mut sim = SimBox::new(&site().toml(), 13);
    sim.network.loses_one_in = 6;
    let (agent, feed) = (sim.hello("agent user=jdoe"), sim.hello("cti"));
    sim.say(feed, "call start device=1002 call=c1");
    let id = pair(&sim.say(agent, "record start"), "recording");
    sim.run_ms(4000);
    sim.say(agent, "blackout start lead_ms=500");
    sim.run_ms(3000);
    sim.say(agent, "blackout stop");
    sim.run_ms(6000);
    sim.say(feed, "call stop device=1002 call=c1");
    sim.run_ms(1000);
    let stored = sim.stored(&id);
    stored.check(&sim);
    assert_eq!(stored.ledger.masked, 8000 * 35 / 10, "{}", stored.stretches());
    let (from, to) = (28_000, 56_000);
    let late = sim.network.told.iter().filter(|told| told.came && told.from > from && told.to < to);
    assert!(late.count() > 10, "audio of the blackout came late");
}
