//! Digits that somebody types during a call: their mask, its end, and who may end it.

use testkit::sim::SimBox;
use testkit::sim::site::{Site, answer, pair, value};

const MS: u64 = 8;

/// Two agents, each with a phone; 1002 has no agent unless `owned`. The board masks digits.
fn site(owned: bool) -> Site {
    let site = Site::new().store("seal = false").audio("holdback_ms = 1500");
    let site = site.role("agent", "record.start record.stop blackout records.own");
    let site = site.role("boss", "records.all record.others blackout.others");
    let phones = if owned { "1001 1002" } else { "1001" };
    site.agent("jdoe", phones, "agent").agent("eve", "", "boss")
}

struct Desk {
    sim: SimBox,
    agent: u32,
    boss: u32,
    feed: u32,
}

impl Desk {
    fn new(site: &Site, masks: bool) -> Desk {
        let mut sim = SimBox::new_changed(&site.toml(), 3, |config| {
            config.boards.iter_mut().for_each(|board| board.mask_digits = masks);
        });
        let (agent, boss) = (sim.hello("agent user=jdoe"), sim.hello("supervisor user=eve"));
        let feed = sim.hello("cti");
        Desk { sim, agent, boss, feed }
    }

    /// Runs a recorded call on a device for three seconds.
    fn record(&mut self, device: &str) -> String {
        self.sim.say(self.feed, &format!("call start device={device} call=c1"));
        let said = self.sim.say(self.boss, &format!("record start device={device}"));
        self.sim.run_ms(3000);
        pair(&said, "recording")
    }

    fn state(&mut self) -> String {
        let said = self.sim.say(self.agent, "status");
        let row = said.iter().find(|line| line.starts_with("row "));
        value(row.unwrap_or_else(|| panic!("{said:?}")), "blackout")
    }
}

#[test]
fn i4_digit_masks_from_before_it_until_after_the_last() {
    let mut desk = Desk::new(&site(true), true);
    let id = desk.record("1001");
    let first = desk.sim.head(0) - 60 * MS;
    desk.sim.digit(0, first, 100 * MS);
    assert_eq!(desk.state(), "on", "the agent sees it");
    desk.sim.run_ms(1000);
    let last = desk.sim.head(0);
    desk.sim.digit(0, last, 100 * MS);
    desk.sim.run_ms(3000);
    assert_eq!(desk.state(), "on");
    desk.sim.run_ms(200);
    assert_eq!(desk.state(), "off");
    desk.sim.run_ms(3000);
    desk.sim.say(desk.feed, "call stop device=1001 call=c1");
    desk.sim.run_ms(500);
    let stored = desk.sim.stored(&id);
    stored.check(&desk.sim);
    let index = desk.sim.journal();
    let record = index.record(stored.header.id).unwrap();
    let [blackout] = &record.blackouts[..] else { panic!("{:?}", record.blackouts) };
    assert_eq!((blackout.holder.as_str(), blackout.by.as_str()), ("digits", "digits"));
    let (from, to) = (blackout.from.0, blackout.to.unwrap().0);
    assert!((first - 302 * MS..=first - 300 * MS).contains(&from), "{from}, digit at {first}");
    let wanted = last + 3100 * MS;
    assert!((wanted..=wanted + 41 * MS).contains(&to), "{to}, wanted {wanted}");
    assert_eq!(stored.ledger.masked, to - from);
    let said = desk.sim.say(desk.boss, &format!("show {id}"));
    assert!(said.iter().any(|row| row.contains("holder=digits")), "{said:?}");
}

#[test]
fn i4_digit_of_a_call_without_an_agent_masks_it_and_ends_with_it() {
    let mut desk = Desk::new(&site(false), true);
    let id = desk.record("1002");
    let first = desk.sim.head(0);
    desk.sim.digit(1, first, 160);
    desk.sim.run_ms(1000);
    assert_eq!(desk.state(), "off", "it is not a blackout of the agent");
    let rows = desk.sim.say(desk.boss, "status");
    assert!(rows.iter().any(|row| row.contains("digits")), "{rows:?}");
    desk.sim.run_ms(4000);
    let stored_to = desk.sim.head(0);
    desk.sim.digit(1, stored_to, 160);
    desk.sim.run_ms(500);
    desk.sim.say(desk.feed, "call stop device=1002 call=c1");
    desk.sim.run_ms(500);
    let rows = desk.sim.say(desk.boss, "status");
    assert!(!rows.iter().any(|row| row.contains("digits")), "{rows:?}");
    let stored = desk.sim.stored(&id);
    stored.check(&desk.sim);
    let index = desk.sim.journal();
    let ends: Vec<_> = index
        .record(stored.header.id)
        .unwrap()
        .blackouts
        .iter()
        .map(|blackout| (blackout.agent.clone(), blackout.end.unwrap().as_str()))
        .collect();
    assert_eq!(ends, [("-".to_owned(), "stop"), ("-".to_owned(), "call-end")]);
    assert!(stored.ledger.masked >= 3300 * MS + 800 * MS, "{}", stored.stretches());
}

#[test]
fn i4_agent_who_stops_does_not_end_the_mask_of_the_digits() {
    let mut desk = Desk::new(&site(true), true);
    desk.record("1001");
    let head = desk.sim.head(0);
    desk.sim.digit(0, head, 160);
    let said = desk.sim.say(desk.agent, "blackout start");
    assert_eq!(pair(&said, "blackout"), "on");
    let said = desk.sim.say(desk.agent, "blackout stop");
    assert_eq!((answer(&said).starts_with("ok "), pair(&said, "blackout")), (true, "on".into()));
    desk.sim.run_ms(2900);
    assert_eq!(desk.state(), "on");
    desk.sim.run_ms(300);
    assert_eq!(desk.state(), "off");
    // And the digits do not end the agent's.
    desk.sim.say(desk.agent, "blackout start");
    let head = desk.sim.head(0);
    desk.sim.digit(0, head, 160);
    desk.sim.run_ms(5000);
    assert_eq!(desk.state(), "on");
}

#[test]
fn i4_restart_among_digits_starts_masked_and_unmasks_by_itself() {
    let mut desk = Desk::new(&site(true), true);
    desk.record("1001");
    let head = desk.sim.head(0);
    desk.sim.digit(0, head, 160);
    desk.sim.run_ms(1500);
    desk.sim.restart(true);
    desk.agent = desk.sim.hello("agent user=jdoe");
    assert_eq!(desk.state(), "on");
    desk.sim.run_ms(2800);
    assert_eq!(desk.state(), "on", "nothing is known of the last digit");
    desk.sim.run_ms(500);
    assert_eq!(desk.state(), "off");
}

#[test]
fn i4_board_that_does_not_mask_digits_ignores_them() {
    let mut desk = Desk::new(&site(true), false);
    desk.record("1001");
    let head = desk.sim.head(0);
    desk.sim.digit(0, head, 160);
    assert_eq!(desk.state(), "off");
}
