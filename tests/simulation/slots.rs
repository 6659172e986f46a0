//! Channels whose device follows the call.

use hushbox::audio::channel::ChannelIndex;
use hushbox::recorder::SeizeError;
use testkit::sim::SimBox;
use testkit::sim::site::{Site, pair};

/// A board with two slots, and an agent with two phones.
fn slots() -> SimBox {
    let site = Site::new().store("seal = false").audio("preroll_ms = 3000");
    let site = site.role("agent", "record.start record.stop blackout");
    let site = site.agent("jdoe", "1001 1002", "agent");
    SimBox::new_changed(&site.toml(), 5, |config| {
        let channels = config.boards.iter_mut().flat_map(|board| &mut board.channels);
        channels.for_each(|channel| channel.device.clear());
    })
}

#[test]
fn i1_call_brings_its_device_and_the_next_hears_nothing_of_it() {
    let mut sim = slots();
    let (agent, feed) = (sim.hello("agent user=jdoe"), sim.hello("cti"));
    let said = sim.say(feed, "call start device=1001 call=c1");
    assert!(said[0].starts_with("err no-channel"), "{said:?}");
    let slot = sim.recorder_mut().seize_channel(0, 0, "1001").unwrap();
    sim.say(feed, "call start device=1001 call=c1");
    let first = pair(&sim.say(agent, "record start"), "recording");
    sim.run_ms(5000);
    sim.say(agent, "blackout start lead_ms=0");
    sim.run_ms(1000);
    sim.say(agent, "blackout stop");
    sim.run_ms(1000);
    sim.say(feed, "call stop device=1001 call=c1");
    sim.recorder_mut().release_channel(slot);
    assert!(!sim.recorder().is_channel_free(slot), "its ring is not written yet");
    sim.run_ms(500);
    assert!(sim.recorder().is_channel_free(slot));
    let head = sim.head(0);
    assert_eq!(sim.recorder_mut().seize_channel(0, 0, "1002"), Ok(slot));
    sim.say(feed, "call start device=1002 call=c2");
    let second = pair(&sim.say(agent, "record start"), "recording");
    sim.run_ms(5000);
    sim.say(feed, "call stop device=1002 call=c2");
    sim.run_ms(500);
    for (id, masked) in [(&first, 8000), (&second, 0)] {
        let stored = sim.stored(id);
        stored.check(&sim);
        assert_eq!(stored.ledger.masked, masked, "{}", stored.stretches());
    }
    let stored = sim.stored(&second);
    assert!(stored.header.from.0 >= head, "{} is before {head}", stored.header.from);
    assert_eq!(stored.ledger.stored, stored.to.0 - stored.header.from.0);
    assert!(sim.verify().is_clean());
}

#[test]
fn i1_slot_that_is_not_free_is_refused_and_stays_as_it_was() {
    let mut sim = slots();
    let feed = sim.hello("cti");
    let slot = sim.recorder_mut().seize_channel(0, 1, "1001").unwrap();
    assert_eq!(slot, ChannelIndex(1));
    sim.say(feed, "call start device=1001 call=c1");
    sim.run_ms(1000);
    let (board, device) = (0, "1001".to_owned());
    let no_slot = SeizeError::NoSuchSlot { board: 7, slot: 0, slots: 0 };
    let refused = [
        ((0, 1, "1002"), SeizeError::Taken { board, slot: 1, device }),
        ((0, 2, "1002"), SeizeError::NoSuchSlot { board, slot: 2, slots: 2 }),
        ((7, 0, "1002"), no_slot),
        ((0, 0, ""), SeizeError::NoDevice { board, slot: 0 }),
    ];
    for ((board, slot, device), wanted) in refused {
        let before = sim.recorder().state_fingerprint();
        let found = sim.recorder_mut().seize_channel(board, slot, device);
        assert_eq!(found, Err(wanted));
        assert_eq!(sim.recorder().state_fingerprint(), before);
    }
    // A live call keeps its slot.
    sim.recorder_mut().release_channel(slot);
    sim.run_ms(1000);
    let draining = SeizeError::Draining { board, slot: 1 };
    assert_eq!(sim.recorder_mut().seize_channel(0, 1, "1002"), Err(draining));
    let said = sim.say(feed, "call start device=1001 call=c3");
    assert!(said[0].starts_with("err no-channel"), "its device has left: {said:?}");
}

#[test]
fn i1_two_calls_of_one_device_have_a_slot_each() {
    let mut sim = slots();
    let one = sim.recorder_mut().seize_channel(0, 0, "1001").unwrap();
    let two = sim.recorder_mut().seize_channel(0, 1, "1001").unwrap();
    let feed = sim.hello("cti");
    let said = sim.say(feed, "call start device=1001 call=c1");
    assert!(said[0].starts_with("ok "), "{said:?}");
    sim.recorder_mut().release_channel(two);
    sim.run_ms(100);
    assert!(sim.recorder().is_channel_free(two) && !sim.recorder().is_channel_free(one));
}
