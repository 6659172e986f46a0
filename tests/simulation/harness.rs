//! The simulated box itself: what it stores is what it heard, and it comes back from a cut.

use testkit::sim::SimBox;
use testkit::sim::site::{Site, pair};

fn sealed(seal: bool) -> String {
    let site = Site::new().store(&format!("seal = {seal}")).sides(["mono", "stereo"]);
    let site = site.role("agent", "record.start record.stop blackout");
    site.agent("jdoe", "1001 1002", "agent").toml()
}

#[test]
fn g1_stored_audio_equals_capture_and_blackout_is_silent() {
    for seal in [false, true] {
        let mut sim = SimBox::new(&sealed(seal), 1);
        let (a, b) = (sim.hello("agent user=jdoe"), sim.hello("cti"));
        sim.run_ms(1000);
        sim.say(b, "call start device=1002 call=c1");
        sim.run_ms(1000);
        let said = sim.say(a, "record start");
        let id = pair(&said, "recording");
        sim.run_ms(4000);
        let receipt = sim.say(a, "blackout start lead_ms=1000");
        assert_eq!(pair(&receipt, "from"), "40000", "{receipt:?}");
        sim.run_ms(2000);
        sim.say(a, "blackout stop");
        sim.run_ms(2000);
        sim.say(b, "call stop device=1002 call=c1");
        let stored = sim.stored(&id);
        stored.check(&sim);
        assert!(stored.complete);
        assert_eq!(stored.ledger.masked, 24000);
        assert_eq!(stored.ledger.stored, 8000 * 8 - 24000);
        let report = sim.verify();
        assert!(report.is_clean(), "{report:?}");
    }
}

#[test]
fn h3_cut_box_restarts_with_what_was_durable() {
    let mut sim = SimBox::new(&sealed(false), 2);
    let (a, b) = (sim.hello("agent user=jdoe"), sim.hello("cti"));
    sim.say(b, "call start device=1001 call=c1");
    let id = pair(&sim.say(a, "record start"), "recording");
    sim.run_ms(10_000);
    sim.restart(true);
    let stored = sim.stored(&id);
    stored.check(&sim);
    let kept = stored.ledger.stored;
    assert!((8000 * 6..=8000 * 7).contains(&kept), "{kept} frames");
    assert!(sim.verify().is_clean(), "{:?}", sim.verify());
    sim.run_ms(1000);
    sim.restart(false);
    assert!(sim.verify().is_clean(), "{:?}", sim.verify());
    assert_eq!(sim.journal().boot(), 3);
}
