//! Presses that come late, in the wrong call, or while the call is held.
//!
//! A late press reaches back as far as the ring holds; what it cannot reach is in the reply, the
//! record and an alarm. A press made in a call that has ended acts on no other call. The agent
//! whose call is masked learns of a blackout that outlives its call or its agent.

use testkit::sim::SimBox;
use testkit::sim::site::{Site, answer, pair, value};

const AGENT: &str = "record.start record.stop blackout update.1";

/// Two agents on 1001 and 1002, a supervisor; a holdback of 3 s and a lead of 2 s.
fn site() -> Site {
    let site = Site::new().store("seal = false").role("agent", AGENT);
    let site = site.role("own", &format!("{AGENT} notify-on-demand-only"));
    let site = site.role("boss", "records.all record.others blackout.others");
    site.agent("jdoe", "1001", "agent").agent("eve", "", "boss")
}

/// A box with this site, and sessions of jdoe, the call feed and the supervisor.
struct Desk {
    sim: SimBox,
    jane: u32,
    feed: u32,
    boss: u32,
}

impl Desk {
    fn new(site: &Site) -> Desk {
        let mut sim = SimBox::new(&site.toml(), 3);
        let (jane, feed) = (sim.hello("agent user=jdoe"), sim.hello("cti"));
        let boss = sim.hello("supervisor user=eve");
        sim.run_ms(1000);
        Desk { sim, jane, feed, boss }
    }

    /// Runs a recorded call `c1` on 1001 for a while. Returns the recording.
    fn record(&mut self, ms: u64) -> String {
        self.feed("call start device=1001 call=c1");
        let said = self.jane("record start");
        self.sim.run_ms(ms);
        pair(&said, "recording")
    }

    /// Passes time; the sessions stay open.
    fn wait_s(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.sim.run_ms(1000);
            for client in [self.jane, self.boss, self.feed] {
                self.sim.ping(client);
            }
        }
    }

    fn jane(&mut self, line: &str) -> Vec<String> {
        self.sim.say(self.jane, line)
    }

    fn feed(&mut self, line: &str) -> Vec<String> {
        let said = self.sim.say(self.feed, line);
        assert!(answer(&said).starts_with("ok"), "{line}: {said:?}");
        said
    }

    /// Ends the call, and returns what its recording holds.
    fn stored(&mut self, call: &str, id: &str) -> testkit::sim::stored::Stored {
        self.feed(&format!("call stop device=1001 call={call}"));
        self.sim.run_ms(200);
        let stored = self.sim.stored(id);
        stored.check(&self.sim);
        self.sim.assert_clean();
        stored
    }

    /// The rows of `show` with this `what`.
    fn shown(&mut self, id: &str, what: &str) -> Vec<String> {
        let said = self.sim.say(self.boss, &format!("show {id}"));
        said.into_iter().filter(|row| row.contains(&format!("what={what} "))).collect()
    }

    /// The newest state that an agent's session gets on request.
    fn status(&mut self, session: u32) -> String {
        self.sim.say(session, "status").into_iter().find(|row| row.starts_with("row")).unwrap()
    }
}

fn second(position: &str) -> u64 {
    position.parse::<u64>().unwrap() / 8000
}

#[test]
fn g2_press_that_waited_for_the_link_is_masked_from_before_it() {
    let mut desk = Desk::new(&site());
    let id = desk.record(6000);
    let said = desk.jane("blackout start pressed_ms=800");
    assert_eq!((pair(&said, "at"), pair(&said, "from")), ("56000".into(), "33600".into()));
    assert_eq!((pair(&said, "late_ms"), pair(&said, "rate")), ("0".into(), "8000".into()));
    desk.sim.run_ms(1000);
    assert_eq!(pair(&desk.jane("blackout stop"), "to"), "64000");
    desk.sim.run_ms(2000);
    let stored = desk.stored("c1", &id);
    assert_eq!(stored.ledger.masked, 64_000 - 33_600);
    assert!(desk.shown(&id, "unmasked").is_empty());
}

#[test]
fn g2_what_a_late_press_misses_is_in_reply_record_and_alarm() {
    let mut desk = Desk::new(&site());
    let id = desk.record(12_000);
    let said = desk.jane("blackout start pressed_ms=8000");
    let (at, from) = (pair(&said, "at"), pair(&said, "from"));
    assert_eq!((second(&at), second(&from)), (13, 10), "as far as the holdback");
    assert_eq!(pair(&said, "late_ms"), "7000");
    let rows = desk.shown(&id, "unmasked");
    assert_eq!(rows.len(), 1, "{rows:?}");
    let range = (value(&rows[0], "from"), value(&rows[0], "to"), value(&rows[0], "by"));
    assert_eq!(range, ("24000".into(), "80000".into(), "jdoe".into()));
    let stored = desk.stored("c1", &id);
    assert_eq!(stored.ledger.masked, 3 * 8000);
    // The fact survives a power cut.
    desk.sim.restart(true);
    desk.boss = desk.sim.hello("supervisor user=eve");
    assert_eq!(desk.shown(&id, "unmasked"), rows);
}

#[test]
fn g2_late_blackout_raises_an_alarm_with_local_times() {
    let zoned = site().toml().replace("[on_demand]", "time_zone = \"Europe/Berlin\"\n[on_demand]");
    let mut sim = SimBox::new(&zoned, 3);
    let (jane, feed) = (sim.hello("agent user=jdoe"), sim.hello("cti"));
    let boss = sim.hello("supervisor user=eve");
    let mut desk = Desk { sim, jane, feed, boss };
    desk.record(12_000);
    desk.sim.say(desk.boss, "watch");
    desk.jane("blackout start pressed_ms=8000");
    let news = desk.sim.news(desk.boss);
    let alarm = news.iter().find(|line| line.contains("alarm=305")).expect("the alarm");
    let clock = |ago_ms: i64| {
        let wall = hushbox::time::WallTime(desk.sim.now.wall.0 - ago_ms);
        let zone = jiff::tz::TimeZone::get("Europe/Berlin").unwrap();
        wall.to_local(&zone)[11..19].to_owned()
    };
    let expected = format!(
        "Blackout of jdoe began 7 s late: {} to {} may hold card data",
        clock(10_000),
        clock(3_000)
    );
    assert!(alarm.contains(&expected), "{alarm}\n{expected}");
}

#[test]
fn g2_audio_that_no_recording_keeps_is_not_missed() {
    let mut desk = Desk::new(&site());
    desk.feed("call start device=1001 call=c1");
    desk.sim.run_ms(10_000);
    let id = pair(&desk.jane("record start"), "recording");
    desk.sim.run_ms(2000);
    let said = desk.jane("blackout start pressed_ms=9000");
    assert_eq!((pair(&said, "from"), pair(&said, "late_ms")), ("88000".into(), "0".into()));
    assert!(desk.shown(&id, "unmasked").is_empty());
    let stored = desk.stored("c1", &id);
    assert_eq!(stored.ledger.stored, 0);
}

#[test]
fn g2_repeated_press_reaches_further_back_and_is_noted_once() {
    let mut desk = Desk::new(&site());
    let id = desk.record(12_000);
    assert_eq!(second(&pair(&desk.jane("blackout start lead_ms=0"), "from")), 13);
    let again = desk.jane("blackout start lead_ms=0 pressed_ms=2000");
    assert_eq!((second(&pair(&again, "at")), second(&pair(&again, "from"))), (13, 11));
    let late = desk.jane("blackout start lead_ms=0 pressed_ms=7000");
    assert_eq!((second(&pair(&late, "from")), pair(&late, "late_ms")), (10, "4000".into()));
    desk.sim.run_ms(1000);
    // The same press, a second later, and a younger one.
    for line in ["blackout start lead_ms=0 pressed_ms=8000", "blackout start pressed_ms=500"] {
        let said = desk.jane(line);
        assert_eq!(pair(&said, "late_ms"), "4000", "{line}");
    }
    let rows = desk.shown(&id, "unmasked");
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!((value(&rows[0], "from"), value(&rows[0], "to")), ("48000".into(), "80000".into()));
    let spans = desk.shown(&id, "blackout");
    assert_eq!(value(&spans[0], "from"), "80000", "the record says how far it reached: {spans:?}");
    assert_eq!(desk.stored("c1", &id).ledger.masked, 4 * 8000);
}

#[test]
fn g2_press_in_an_ended_call_masks_no_other_and_is_noted_in_its_own() {
    let mut desk = Desk::new(&site());
    let first = desk.record(6000);
    desk.feed("call stop device=1001 call=c1");
    desk.sim.run_ms(500);
    desk.feed("call start device=1001 call=c2");
    let second = pair(&desk.jane("record start"), "recording");
    desk.sim.run_ms(1000);
    let said = desk.jane("blackout start pressed_ms=4000");
    assert!(answer(&said).starts_with("err no-call"), "{said:?}");
    assert!(desk.status(desk.jane).contains("blackout=off"));
    let rows = desk.shown(&first, "unmasked");
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!((value(&rows[0], "from"), value(&rows[0], "to")), ("20000".into(), "56000".into()));
    assert!(desk.shown(&second, "unmasked").is_empty());
    // An ordinary press right after a call's start is no late one, though its lead is longer.
    let said = desk.jane("blackout start");
    assert_eq!(pair(&said, "late_ms"), "0");
    desk.sim.run_ms(1000);
    let stored = desk.stored("c2", &second);
    assert_eq!((stored.ledger.stored, stored.ledger.masked), (0, 2 * 8000));
}

#[test]
fn g2_blackout_reaches_into_no_call_before() {
    let site = site().agent("asmith", "1002", "agent");
    let mut desk = Desk::new(&site);
    let first = desk.record(6000);
    // The next call on the line belongs to another agent; the ring still holds the first.
    desk.feed("call start device=1001 call=c2 agent=asmith");
    let ann = desk.sim.hello("agent user=asmith");
    let second = pair(&desk.sim.say(ann, "record start"), "recording");
    let said = desk.sim.say(ann, "blackout start");
    assert_eq!(pair(&said, "from"), "56000", "the call's beginning");
    desk.sim.run_ms(1000);
    let stored = desk.stored("c2", &second);
    assert_eq!(stored.ledger.stored, 0);
    let stored = desk.sim.stored(&first);
    assert_eq!((stored.ledger.stored, stored.ledger.masked), (6 * 8000, 0));
}

#[test]
fn a1_record_press_in_an_ended_call_records_no_other() {
    let mut desk = Desk::new(&site());
    desk.record(2000);
    desk.feed("call stop device=1001 call=c1");
    desk.feed("call start device=1001 call=c2");
    desk.sim.run_ms(500);
    let before = desk.sim.recordings().len();
    let said = desk.jane("record start call=c1");
    assert!(answer(&said).starts_with("err no-call"), "{said:?}");
    assert_eq!(desk.sim.recordings().len(), before);
    assert_eq!(pair(&desk.jane("record start call=c2"), "state"), "on");
    let said = desk.jane("record stop call=c1");
    assert!(answer(&said).starts_with("err no-call"), "{said:?}");
    assert_eq!(pair(&desk.jane("record stop call=c2"), "state"), "off");
}

#[test]
fn g2_late_press_is_noted_in_a_recall_that_is_kept_later() {
    let site = site().audio("recall = \"60m\"\nwrapup_s = 10");
    let mut desk = Desk::new(&site);
    desk.feed("call start device=1001 call=c1");
    desk.sim.run_ms(12_000);
    let said = desk.jane("blackout start pressed_ms=8000");
    assert_eq!((pair(&said, "recording"), pair(&said, "late_ms")), ("-".into(), "7000".into()));
    desk.sim.run_ms(1000);
    desk.jane("blackout stop");
    let id = pair(&desk.jane("record start"), "recording");
    let rows = desk.shown(&id, "unmasked");
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!((value(&rows[0], "from"), value(&rows[0], "to")), ("24000".into(), "80000".into()));
    desk.stored("c1", &id);
}

#[test]
fn b2_late_ms_says_nothing_of_recordings_that_the_agent_does_not_see() {
    let answer_of = |hidden: bool| {
        let site = site().agent("owen", "1002", "own");
        let mut sim = SimBox::new(&if hidden { site.full_time() } else { site }.toml(), 3);
        let (owen, feed) = (sim.hello("agent user=owen"), sim.hello("cti"));
        sim.say(feed, "call start device=1002 call=c1");
        sim.run_ms(12_000);
        sim.say(owen, "record start");
        sim.run_ms(1000);
        let said = sim.say(owen, "blackout start pressed_ms=8000");
        (pair(&said, "from"), pair(&said, "late_ms"))
    };
    assert_eq!(answer_of(true), answer_of(false));
}

#[test]
fn a3_held_call_can_be_masked_stopped_and_updated() {
    let mut desk = Desk::new(&site());
    let id = desk.record(4000);
    desk.feed("call hold device=1001 call=c1");
    let state = desk.status(desk.jane);
    for word in ["call=c1", "recording=on", "held=yes", "blackout.start", "record.stop", "update.1"]
    {
        assert!(state.contains(word), "{word}: {state}");
    }
    assert!(!state.contains("record.start,"), "{state}");
    let said = desk.jane("blackout start");
    assert_eq!(pair(&said, "recording"), id);
    assert!(answer(&desk.jane("update 1 \"while held\"")).contains(&id));
    desk.sim.run_ms(1000);
    // What the customer says first is masked already.
    desk.feed("call resume device=1001 call=c1");
    desk.sim.run_ms(1000);
    let state = desk.status(desk.jane);
    assert!(state.contains("masked=yes") && !state.contains("held="), "{state}");
    desk.jane("blackout stop");
    desk.sim.run_ms(1000);
    desk.feed("call hold device=1001 call=c1");
    assert_eq!(pair(&desk.jane("record stop"), "state"), "off");
    let stored = desk.stored("c1", &id);
    // Held audio is not kept either way; the second after the resume is masked.
    assert_eq!(stored.ledger.stored, 2 * 8000 + 8000, "{:?}", stored.ledger);
}

#[test]
fn a3_active_call_comes_before_a_held_one() {
    let mut desk = Desk::new(&site());
    let held = desk.record(4000);
    desk.feed("call hold device=1001 call=c1");
    desk.feed("call start device=1001 call=c2 of=c1");
    assert!(desk.status(desk.jane).contains("call=c2"));
    let active = pair(&desk.jane("record start"), "recording");
    assert_ne!(active, held);
    assert_eq!(pair(&desk.jane("record stop"), "recording"), active);
    desk.feed("call stop device=1001 call=c2");
    assert!(desk.status(desk.jane).contains("call=c1"));
    assert_eq!(pair(&desk.jane("record stop"), "recording"), held);
}

#[test]
fn g4_blackout_carried_into_the_next_call_is_told_until_it_is_confirmed() {
    let mut desk = Desk::new(&site());
    desk.record(3000);
    desk.jane("blackout start");
    assert!(!desk.status(desk.jane).contains("carried"));
    // A consult leg is part of the call.
    desk.feed("call hold device=1001 call=c1");
    desk.feed("call start device=1001 call=c2 of=c1");
    assert!(!desk.status(desk.jane).contains("carried"));
    desk.feed("call stop device=1001 call=c2");
    desk.feed("call stop device=1001 call=c1");
    let state = desk.status(desk.jane);
    assert!(state.contains("blackout=on") && !state.contains("masked"), "{state}");
    desk.sim.run_ms(500);
    desk.sim.news(desk.jane);
    let news = desk.sim.say(desk.feed, "call start device=1001 call=c3");
    assert!(answer(&news).starts_with("ok"));
    let news = desk.sim.news(desk.jane);
    assert!(news.iter().any(|line| line.ends_with("masked=yes carried=yes")), "{news:?}");
    // Over a restart, too.
    desk.sim.restart(true);
    desk.jane = desk.sim.hello("agent user=jdoe");
    assert!(desk.status(desk.jane).contains("carried=yes"));
    assert_eq!(pair(&desk.jane("blackout start"), "blackout"), "on");
    assert!(!desk.status(desk.jane).contains("carried"), "kept for this call");
    let feed = desk.sim.hello("cti");
    desk.sim.say(feed, "call stop device=1001 call=c3");
    desk.sim.say(feed, "call start device=1001 call=c4");
    assert!(desk.status(desk.jane).contains("carried=yes"), "told again in the next");
    desk.jane("blackout stop");
    let state = desk.status(desk.jane);
    assert!(state.contains("blackout=off") && !state.contains("carried"), "{state}");
}

#[test]
fn g4_agents_blackout_ends_after_a_minute_without_a_call() {
    let mut desk = Desk::new(&site().more("[blackout]\nmax_s = 1000"));
    let id = desk.record(3000);
    desk.jane("blackout start");
    desk.feed("call hold device=1001 call=c1");
    desk.wait_s(70);
    assert!(desk.status(desk.jane).contains("blackout=on"), "a held call is a call");
    desk.feed("call stop device=1001 call=c1");
    desk.wait_s(50);
    desk.feed("call start device=1001 call=c2");
    desk.sim.run_ms(1000);
    desk.feed("call stop device=1001 call=c2");
    desk.wait_s(59);
    assert!(desk.status(desk.jane).contains("blackout=on"), "the minute began again");
    desk.sim.run_ms(2000);
    assert!(desk.status(desk.jane).contains("blackout=off"));
    let rows = desk.shown(&id, "blackout");
    assert!(rows[0].contains("ended="), "{rows:?}");
    // It is off for the next call, and the record says what it masked.
    desk.feed("call start device=1001 call=c3");
    assert!(!desk.status(desk.jane).contains("masked"));
    desk.sim.assert_clean();
}

#[test]
fn g4_blackout_without_a_call_stays_where_it_must() {
    // Switched off.
    let mut desk = Desk::new(&site().more("[blackout]\nend_without_call_s = 0"));
    desk.record(3000);
    desk.jane("blackout start");
    desk.feed("call stop device=1001 call=c1");
    desk.wait_s(200);
    assert!(desk.status(desk.jane).contains("blackout=on"));
    // Held by a supervisor.
    let mut desk = Desk::new(&site());
    desk.record(3000);
    desk.jane("blackout start");
    desk.sim.say(desk.boss, "blackout start agent=jdoe");
    desk.feed("call stop device=1001 call=c1");
    desk.wait_s(70);
    assert!(desk.status(desk.jane).contains("blackout=on"));
    desk.sim.say(desk.boss, "blackout stop agent=jdoe");
    desk.sim.run_ms(1000);
    assert!(desk.status(desk.jane).contains("blackout=off"), "the agent alone holds it now");
}

fn site_of_owner(user: &str) -> Site {
    let site = Site::new().store("seal = false").role("agent", AGENT);
    let site = site.role("boss", "records.all record.others blackout.others");
    site.agent(user, "1001", "agent").agent("eve", "", "boss")
}

#[test]
fn g4_blackout_of_a_removed_agent_is_told_to_the_owner_who_can_end_it() {
    for cut in [false, true] {
        let mut desk = Desk::new(&site_of_owner("jdoe"));
        desk.record(4000);
        desk.jane("blackout start");
        desk.sim.run_ms(1000);
        desk.sim.reload(Some(site_of_owner("ann").toml()));
        if cut {
            desk.sim.restart(true);
            desk.boss = desk.sim.hello("supervisor user=eve");
        }
        let ann = desk.sim.hello("agent user=ann");
        let state = desk.status(ann);
        assert!(state.contains("blackout=on") && state.contains("masked=yes"), "{state}");
        let rows = desk.sim.say(desk.boss, "status");
        let row = rows.iter().find(|row| row.contains("what=blackout")).expect("the blackout");
        for pair in ["agent=jdoe", "holders=agent", "owner=ann", "channels=1"] {
            assert!(row.contains(pair), "{pair}: {row}");
        }
        let said = desk.sim.say(ann, "blackout stop");
        assert_eq!(pair(&said, "blackout"), "off");
        desk.sim.run_ms(1000);
        let state = desk.status(ann);
        assert!(state.contains("blackout=off") && !state.contains("masked"), "{state}");
        desk.sim.assert_clean();
    }
}

#[test]
fn g4_supervisor_ends_the_blackout_of_a_removed_agent_by_name() {
    let mut desk = Desk::new(&site_of_owner("jdoe"));
    desk.record(4000);
    desk.jane("blackout start");
    // The phone has no owner: only the record and the supervisor know of it.
    let orphaned = Site::new().store("seal = false");
    let orphaned = orphaned.role("boss", "records.all record.others blackout.others");
    desk.sim.reload(Some(orphaned.agent("eve", "", "boss").toml()));
    let rows = desk.sim.say(desk.boss, "status");
    let row = rows.iter().find(|row| row.contains("what=blackout")).expect("the blackout");
    assert!(row.contains("agent=jdoe") && row.contains("configured=no"), "{row}");
    let said = desk.sim.say(desk.feed, "blackout stop agent=jdoe");
    assert!(answer(&said).starts_with("err unknown-user"), "a feed ends its own only: {said:?}");
    let said = desk.sim.say(desk.boss, "blackout stop agent=jdoe");
    assert_eq!(pair(&said, "blackout"), "off", "{said:?}");
    desk.sim.run_ms(1000);
    let rows = desk.sim.say(desk.feed, "calls");
    assert!(rows[0].contains("blackout=off"), "{rows:?}");
    desk.sim.assert_clean();
}

#[test]
fn g3_agent_whose_channel_another_masks_is_told() {
    let mut desk = Desk::new(&site().agent("asmith", "1002", "agent"));
    let ann = desk.sim.hello("agent user=asmith");
    desk.record(3000);
    desk.feed("call start device=1002 call=c2 of=c1");
    desk.jane("blackout start");
    let state = desk.status(ann);
    assert!(state.contains("blackout=off") && state.contains("masked=yes"), "{state}");
    desk.jane("blackout stop");
    desk.sim.run_ms(1000);
    assert!(!desk.status(ann).contains("masked"));
}

#[test]
fn g3_nonsense_about_the_press_is_refused() {
    let mut desk = Desk::new(&site());
    desk.record(3000);
    for nonsense in ["600001", "-1", "99999999999", "now"] {
        let said = desk.jane(&format!("blackout start pressed_ms={nonsense}"));
        assert!(answer(&said).starts_with("err bad-argument"), "{said:?}");
    }
    let said = desk.sim.say(desk.boss, "blackout start agent=jdoe pressed_ms=100");
    assert!(answer(&said).starts_with("err bad-argument"), "{said:?}");
    assert!(desk.status(desk.jane).contains("blackout=off"));
}
