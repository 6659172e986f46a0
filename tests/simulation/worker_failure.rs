//! Worker threads that fail: no memory, no thread, no random bits. Calls continue, a waiting
//! session gets a reply, and everything else is retried.

use hushbox::id::SessionId;
use hushbox::limits;
use hushbox::recorder::Input;
use hushbox::store::day::Day;
use hushbox::store::layout;
use protocol::Kind;
use testkit::sim::SimBox;
use testkit::sim::site::{Site, answer, pair};

const DAY_MS: i64 = 86_400_000;
const TECHNICIAN: &str = "hello technician user=field pin=2468";
const FIELD: &str = "[[technician]]\nname = \"field\"\npin = \"$argon2id$v=19$m=19456,t=2,p=1$\
     BtIvqaj9XY7ZBxJ22c5iVw$TyjQ7ygFTOcEHsXrsnq57JJbStAteqOOA0/cG+bNoiU\"\n";

/// A box that records every call, and one who watches its alarms.
fn watched_box() -> (SimBox, u32) {
    let site = Site::new().role("agent", "record.start record.stop").agent("jdoe", "1001", "agent");
    let mut sim = SimBox::new(&site.full_time().more(FIELD).toml(), 3);
    sim.serve_enrolment();
    let watcher = sim.hello("monitor");
    sim.say(watcher, "watch");
    sim.run_ms(500);
    (sim, watcher)
}

#[test]
fn h4_call_without_data_key_is_recorded_once_one_is_made() {
    let (mut sim, watcher) = watched_box();
    let feed = sim.hello("cti");
    sim.say(feed, "call start device=1001 call=long");
    sim.workers_fail(true);
    for number in 1..sim.recorder().envelopes_wanted() {
        sim.say(feed, &format!("call start device=1002 call=c{number}"));
        sim.run_ms(100);
        let said = sim.say(feed, &format!("call stop device=1002 call=c{number}"));
        sim.run_ms(100);
        let said = [said, sim.news(feed)].concat();
        assert_eq!(pair(&said, "recordings"), "1", "the stock still has keys");
    }
    sim.say(feed, "call start device=1002 call=late");
    sim.run_ms(1000);
    assert!(sim.alarms(watcher).is_empty(), "a stock may be empty for a moment");
    for _ in 0..60 {
        sim.run_ms(1000);
        sim.ping(feed);
        sim.ping(watcher);
    }
    assert_eq!(sim.alarms(watcher), [405]);
    assert_eq!(sim.fatal, None);
    sim.workers_fail(false);
    sim.run_ms(500);
    assert_eq!(sim.alarms(watcher), [-405]);
    for (device, call) in [("1002", "late"), ("1001", "long")] {
        let mut said = sim.say(feed, &format!("call stop device={device} call={call}"));
        sim.run_ms(500);
        said.extend(sim.news(feed));
        assert_eq!(pair(&said, "recordings"), "1", "{call}");
    }
    sim.assert_clean();
}

#[test]
fn h4_request_of_failing_worker_is_refused_without_effect() {
    let (mut sim, watcher) = watched_box();
    let field = sim.hello("technician user=field pin=2468");
    let code = pair(&sim.say(field, "enrol WS-001 kinds=monitor"), "code");
    sim.workers_fail(true);
    let late = sim.client(&[Kind::Technician]);
    for _ in 0..2 * limits::LOCKOUT_ATTEMPTS {
        let said = sim.say(late, TECHNICIAN);
        assert!(answer(&said).starts_with("err busy "), "{said:?}");
    }
    for line in ["enrol WS-002", "config reload", "config set box.name box-02"] {
        let said = sim.say(field, line);
        assert!(answer(&said).starts_with("err busy "), "{line}: {said:?}");
    }
    let station = sim.connect_tls(None);
    let said = sim.say_with(station, &format!("enrol code={code}"), b"request");
    assert!(answer(&said).starts_with("err busy "), "{said:?}");
    sim.workers_fail(false);
    let said = sim.say(late, TECHNICIAN);
    assert!(answer(&said).starts_with("ok "), "no PIN was wrong: {said:?}");
    assert_ne!(pair(&sim.say(late, "enrol WS-002"), "code"), "");
    let mut said = sim.say_with(station, &format!("enrol code={code}"), b"request");
    sim.run_ms(500);
    said.extend(sim.news(station));
    assert_eq!(pair(&said, "machine"), "WS-001", "the code was not used up: {said:?}");
    assert!(sim.alarms(watcher).is_empty());
}

#[test]
fn h4_session_that_left_gets_no_refusal_and_its_code_back() {
    let (mut sim, _) = watched_box();
    let field = sim.hello("technician user=field pin=2468");
    let code = pair(&sim.say(field, "enrol WS-001 kinds=monitor"), "code");
    let station = sim.connect_tls(None);
    sim.say(station, &format!("enrol code={code}"));
    sim.workers_fail(true);
    let session = SessionId(station.into());
    sim.input(Input::Data { session, block: Ok(b"request") });
    sim.gone(station);
    sim.input(Input::GivenUp { session, why: "late".to_owned() });
    sim.workers_fail(false);
    let again = sim.connect_tls(None);
    let mut said = sim.say_with(again, &format!("enrol code={code}"), b"request");
    sim.run_ms(500);
    said.extend(sim.news(again));
    assert_eq!(pair(&said, "machine"), "WS-001");
}

#[test]
fn h4_days_that_cannot_be_closed_are_closed_later() {
    let (mut sim, watcher) = watched_box();
    let feed = sim.hello("cti");
    let call = |sim: &mut SimBox, id: &str| {
        sim.say(feed, &format!("call start device=1001 call={id}"));
        sim.run_ms(1000);
        sim.say(feed, &format!("call stop device=1001 call={id}"));
    };
    call(&mut sim, "yesterday");
    let day = Day::parse(&sim.now.wall.utc_day()).unwrap();
    let minute = |sim: &mut SimBox| {
        for _ in 0..60 {
            sim.run_ms(1000);
            sim.ping(feed);
            sim.ping(watcher);
        }
    };
    minute(&mut sim);
    sim.workers_fail(true);
    sim.now.wall.0 += DAY_MS;
    call(&mut sim, "today");
    (0..5).for_each(|_| minute(&mut sim));
    assert!((5..=8).contains(&sim.summaries), "with back-off: {} tries", sim.summaries);
    assert_eq!(sim.alarms(watcher), [501, 506]);
    assert_eq!(sim.recorder().records_in_memory(), 2);
    sim.workers_fail(false);
    (0..5).for_each(|_| minute(&mut sim));
    assert_eq!(sim.alarms(watcher), [-506]);
    assert_eq!(sim.recorder().records_in_memory(), 1);
    assert!(sim.disk.live.contains_key(&layout::summary_path(day)));
    sim.assert_clean();
}
