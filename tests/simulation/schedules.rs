//! Schedules that become active or end while a call runs.
//!
//! The simulated box starts at 2026-11-22T12:00:00Z.

use hushbox::store::fact::{Fact, RecordReason, RecordingBegan};
use testkit::sim::SimBox;
use testkit::sim::site::{Site, answer, value};

const RATE: u64 = 8000;

fn site(schedule: &str) -> Site {
    let site = Site::new().store("seal = false").role("agent", "record.start record.stop");
    let site = site.role("boss", "record.others records.all");
    let site = site.agent("jdoe", "1001", "agent").agent("eve", "", "boss");
    site.more(schedule)
}

fn percentage(window: &str) -> String {
    format!("[[schedule]]\nname = \"noon\"\ntype = \"percentage\"\npercent = 100\n{window}")
}

fn office(schedule: &str) -> (SimBox, u32) {
    let mut sim = SimBox::new(&site(schedule).toml(), 3);
    let feed = sim.hello("cti user=pbx");
    (sim, feed)
}

fn began(sim: &SimBox) -> Vec<RecordingBegan> {
    let facts = sim.facts().into_iter().filter_map(|fact| match fact {
        Fact::RecordingBegan(began) => Some(began),
        _ => None,
    });
    facts.collect()
}

/// The recording used to begin at the next `call update`, whatever that told.
#[test]
fn d5_window_that_opens_in_mid_call_begins_the_recording() {
    let (mut sim, feed) = office(&percentage("from = \"2026-11-22T12:00:20Z\""));
    sim.run_ms(10_000);
    sim.say(feed, "call start device=1001 call=c1");
    sim.run_ms(9_980);
    assert!(began(&sim).is_empty(), "not before");
    sim.run_ms(400);
    let [only] = &began(&sim)[..] else { panic!("{:?}", began(&sim)) };
    let opened = 20 * RATE;
    assert!((opened..opened + RATE / 4).contains(&only.from.0), "from {:?}", only.from);
    sim.say(feed, "call update device=1001 call=c1 group=sales");
    sim.run_ms(1000);
    assert_eq!(began(&sim).len(), 1);
    sim.say(feed, "call stop device=1001 call=c1");
    sim.run_ms(200);
    sim.stored(&only.id.to_string()).check(&sim);
}

#[test]
fn d5_window_that_closes_in_mid_call_ends_nothing() {
    let (mut sim, feed) = office(&percentage("until = \"2026-11-22T12:00:20Z\""));
    sim.say(feed, "call start device=1001 call=c1");
    sim.run_ms(30_000);
    sim.say(feed, "call update device=1001 call=c1 group=sales");
    let row = sim.say(feed, "calls").join("\n");
    assert!(row.contains("reasons=schedule"), "what was selected goes on: {row}");
    sim.say(feed, "call start device=1002 call=c2");
    sim.run_ms(1000);
    assert_eq!(began(&sim).len(), 1, "a new call is not selected");
}

#[test]
fn d4_press_becomes_possible_when_its_window_opens() {
    let site = site("").schedule("from = \"2026-11-22T12:00:20Z\"");
    let mut sim = SimBox::new(&site.toml(), 3);
    let (feed, agent) = (sim.hello("cti user=pbx"), sim.hello("agent user=jdoe"));
    sim.say(feed, "call start device=1001 call=c1");
    assert!(answer(&sim.say(agent, "record start")).starts_with("err no-schedule"));
    sim.news(agent);
    sim.run_ms(20_400);
    let told = sim.news(agent);
    let state = told.iter().rfind(|line| line.starts_with("state")).expect("a new state");
    assert!(state.contains("can=record.start"), "{state}");
    assert!(answer(&sim.say(agent, "record start")).starts_with("ok"));
}

#[test]
fn d5_clock_that_is_set_into_the_window_begins_the_recording() {
    let (mut sim, feed) = office(&percentage("from = \"2026-11-22T13:00:00Z\""));
    sim.say(feed, "call start device=1001 call=c1");
    sim.run_ms(1000);
    sim.now.wall.0 += 3_600_000;
    sim.run_ms(1000);
    assert_eq!(began(&sim).len(), 1);
}

#[test]
fn d5_schedule_of_a_new_configuration_takes_running_calls() {
    let (mut sim, feed) = office("");
    sim.say(feed, "call start device=1001 call=c1");
    sim.run_ms(5000);
    sim.reload(Some(site(&percentage("")).toml()));
    sim.run_ms(400);
    let [only] = &began(&sim)[..] else { panic!("{:?}", began(&sim)) };
    assert!(only.from.0 >= 5 * RATE, "from {:?}", only.from);
}

#[test]
fn d5_window_that_opens_while_the_box_is_off_begins_at_the_start() {
    let (mut sim, feed) = office(&percentage("from = \"2026-11-22T12:10:00Z\""));
    sim.say(feed, "call start device=1001 call=c1");
    sim.run_ms(1000);
    sim.restart(true);
    sim.pass_ms(900_000);
    sim.run_ms(1000);
    assert_eq!(began(&sim).len(), 1);
}

/// After a start the box used to forget that the schedule had had its recording.
#[test]
fn b1_schedule_that_a_supervisor_stopped_stays_stopped_after_a_start() {
    let (mut sim, feed) = office(&percentage(""));
    sim.say(feed, "call start device=1001 call=c1");
    sim.run_ms(1000);
    let boss = sim.hello("supervisor user=eve");
    let said = sim.say(boss, "record stop device=1001");
    assert_eq!(value(answer(&said), "state"), "off", "{said:?}");
    sim.run_ms(1000);
    sim.reload(None);
    sim.restart(false);
    let feed = sim.hello("cti user=pbx");
    sim.say(feed, "call update device=1001 call=c1 group=sales");
    sim.reload(None);
    sim.run_ms(1000);
    let scheduled = |began: &RecordingBegan| began.reasons.contains(RecordReason::Schedule);
    assert_eq!(began(&sim).iter().filter(|began| scheduled(began)).count(), 1);
}
