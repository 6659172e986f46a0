//! Wrap-up: which calls a late press and a late update reach.
//!
//! A customer waits on hold while the agent consults. Either may hang up first, and the agent
//! presses or types afterwards.

use hushbox::store::fact::Fact;
use std::collections::BTreeSet;
use testkit::sim::SimBox;
use testkit::sim::site::{Site, answer, pair};

/// A box with an agent on 1001, and a call feed.
fn office(recall: &str) -> (SimBox, u32, u32) {
    let site = Site::new().audio(&format!("wrapup_s = 10\nrecall = \"{recall}\""));
    let site = site.audio("holdback_ms = 1000").store("seal = false");
    let site = site.role("agent", "record.start record.stop blackout update.1");
    let mut sim = SimBox::new(&site.agent("jdoe", "1001", "agent").toml(), 11);
    let (agent, feed) = (sim.hello("agent user=jdoe"), sim.hello("cti user=pbx"));
    sim.run_ms(1000);
    (sim, agent, feed)
}

fn feed(sim: &mut SimBox, feed: u32, line: &str) {
    let said = sim.say(feed, line);
    assert!(answer(&said).starts_with("ok"), "{line}: {said:?}");
}

/// c1 for 2 s, then on hold while c2 consults for 2 s. Then both end, in this order.
fn consultation(sim: &mut SimBox, cti: u32, ends: [&str; 2]) {
    feed(sim, cti, "call hold device=1001 call=c1");
    feed(sim, cti, "call start device=1001 call=c2 of=c1");
    sim.run_ms(2000);
    for call in ends {
        feed(sim, cti, &format!("call stop device=1001 call={call}"));
        sim.run_ms(500);
    }
}

/// The call ids of all recordings.
fn recorded(sim: &SimBox) -> BTreeSet<String> {
    let began = sim.facts().into_iter().filter_map(|fact| match fact {
        Fact::RecordingBegan(began) => Some(began.call.call),
        _ => None,
    });
    began.collect()
}

fn set<const N: usize>(calls: [&str; N]) -> BTreeSet<String> {
    calls.map(str::to_owned).into()
}

/// The wrap-up used to be that of the call that began last: `not-recording`.
#[test]
fn f1_update_after_a_consultation_reaches_the_recorded_call() {
    for ends in [["c2", "c1"], ["c1", "c2"]] {
        let (mut sim, agent, cti) = office("off");
        feed(&mut sim, cti, "call start device=1001 call=c1");
        let id = pair(&sim.say(agent, "record start"), "recording");
        sim.run_ms(2000);
        consultation(&mut sim, cti, ends);
        assert_eq!(pair(&sim.say(agent, "update 1 late"), "recording"), id, "{ends:?}");
        let state = sim.say(agent, "status").join("\n");
        assert!(state.contains("update.1"), "{state}");
    }
}

/// A late press used to keep the consultation and to lose the customer's call.
#[test]
fn a1_late_press_keeps_the_call_and_its_consultation() {
    for ends in [["c2", "c1"], ["c1", "c2"]] {
        let (mut sim, agent, cti) = office("60m");
        feed(&mut sim, cti, "call start device=1001 call=c1");
        sim.run_ms(2000);
        consultation(&mut sim, cti, ends);
        let said = sim.say(agent, "record start");
        let (last, other) = (pair(&said, "recording"), pair(&said, "also"));
        assert_eq!(recorded(&sim), set(["c1", "c2"]), "{ends:?}");
        let again = sim.say(agent, "record start");
        assert_eq!(answer(&again), answer(&said), "pressed twice, kept once");
        sim.run_ms(200);
        let mut stored = [sim.stored(&last), sim.stored(&other)];
        stored.iter().for_each(|stored| stored.check(&sim));
        if ends[1] == "c2" {
            stored.reverse();
        }
        let [customer, consultation] = stored;
        assert_eq!(customer.ledger.stored, 2 * 8000, "the customer's two seconds: {ends:?}");
        assert!(consultation.ledger.stored >= 2 * 8000, "the consultation: {ends:?}");
        sim.assert_clean();
    }
}

#[test]
fn a1_late_press_keeps_a_chain_of_consultations() {
    let (mut sim, agent, cti) = office("60m");
    feed(&mut sim, cti, "call start device=1001 call=c1");
    sim.run_ms(1000);
    for (held, next) in [("c1", "c2"), ("c2", "c3")] {
        feed(&mut sim, cti, &format!("call hold device=1001 call={held}"));
        feed(&mut sim, cti, &format!("call start device=1001 call={next} of={held}"));
        sim.run_ms(1000);
    }
    for call in ["c1", "c3", "c2"] {
        feed(&mut sim, cti, &format!("call stop device=1001 call={call}"));
    }
    let said = sim.say(agent, "record start");
    assert_eq!(pair(&said, "also").split(',').count(), 2, "{said:?}");
    assert_eq!(recorded(&sim), set(["c1", "c2", "c3"]));
}

#[test]
fn a1_new_call_still_ends_the_wrapup_of_the_one_before() {
    let (mut sim, agent, cti) = office("60m");
    for call in ["c1", "c2"] {
        feed(&mut sim, cti, &format!("call start device=1001 call={call}"));
        sim.run_ms(1000);
        feed(&mut sim, cti, &format!("call stop device=1001 call={call}"));
    }
    assert!(answer(&sim.say(agent, "record start")).starts_with("ok"));
    assert_eq!(recorded(&sim), set(["c2"]), "c1 was a call of its own");
    feed(&mut sim, cti, "call start device=1001 call=c3");
    feed(&mut sim, cti, "call hold device=1001 call=c3");
    let said = sim.say(agent, "record start");
    assert!(!recorded(&sim).contains("c1"), "{said:?}");
}

/// Resumed and held again, a call is newer than one that ended before.
#[test]
fn f1_resumed_call_ends_the_wrapup_of_its_consultation() {
    let (mut sim, agent, cti) = office("off");
    feed(&mut sim, cti, "call start device=1001 call=c1");
    feed(&mut sim, cti, "call hold device=1001 call=c1");
    feed(&mut sim, cti, "call start device=1001 call=c2 of=c1");
    let id = pair(&sim.say(agent, "record start"), "recording");
    feed(&mut sim, cti, "call stop device=1001 call=c2");
    assert_eq!(pair(&sim.say(agent, "update 1 first"), "recording"), id);
    feed(&mut sim, cti, "call resume device=1001 call=c1");
    let said = sim.say(agent, "update 1 second");
    assert!(answer(&said).starts_with("err not-recording"), "{said:?}");
}
