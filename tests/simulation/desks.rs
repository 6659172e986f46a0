//! Shared desks: several agents log in at one workstation, one after the other or at once.
//!
//! The phone of the desk belongs to the newest log-in. A phone that is an agent's own does not.

use hushbox::recorder::Input;
use testkit::rng::Rng;
use testkit::sim::SimBox;
use testkit::sim::site::{Site, answer, pair, value};

fn site() -> Site {
    let site = Site::new().store("seal = false").role("agent", "record.start record.stop blackout");
    let site = site.agent("a1", "", "agent").agent("a2", "", "agent").agent("a3", "", "agent");
    let site = site.agent("owner", "1002", "agent");
    let desk = |machine: &str, device: &str| {
        format!("[[workstation]]\nmachine = \"{machine}\"\ndevice = \"{device}\"")
    };
    site.more(&desk("DESK-1", "1001")).more(&desk("DESK-2", "1002"))
}

fn office() -> (SimBox, u32) {
    let mut sim = SimBox::new(&site().toml(), 5);
    let feed = sim.hello("cti user=pbx");
    (sim, feed)
}

fn log_in(sim: &mut SimBox, agent: &str) -> u32 {
    sim.hello(&format!("agent user={agent} machine=desk-1"))
}

/// The agent whom the box thinks to be on the phone of DESK-1.
fn owner(sim: &mut SimBox, feed: u32) -> String {
    let rows = sim.say(feed, "calls");
    let row = rows.iter().find(|row| row.contains("device=1001 "));
    row.map_or("nothing".to_owned(), |row| value(row, "agent"))
}

fn state(sim: &mut SimBox, client: u32) -> String {
    let said = sim.say(client, "status");
    said.into_iter().find(|line| line.starts_with("row")).unwrap()
}

/// The second agent used to be told `device=1001`, and then `no-call`.
#[test]
fn d1_newest_log_in_at_a_desk_owns_its_phone() {
    let (mut sim, feed) = office();
    let first = log_in(&mut sim, "a1");
    assert_eq!(value(&state(&mut sim, first), "note"), "-");
    let second = sim.client(&[protocol::Kind::Agent]);
    let said = sim.say(second, "hello agent user=a2 machine=DESK-1");
    assert_eq!(pair(&said, "device"), "1001");
    let told = sim.news(first).join("\n");
    assert!(told.contains("phone 1001") && told.contains("a2"), "the first is told: {told}");
    sim.say(feed, "call start device=1001 call=c1");
    assert_eq!(owner(&mut sim, feed), "a2");
    assert!(answer(&sim.say(first, "record start")).starts_with("err no-call"));
    assert!(answer(&sim.say(second, "record start")).starts_with("ok"));
    sim.gone(second);
    assert_eq!(owner(&mut sim, feed), "a2", "a broken link hands no running call over");
    let told = sim.news(first).join("\n");
    assert!(told.contains("note=-"), "the desk is the first agent's again: {told}");
    sim.say(feed, "call start device=1001 call=c2");
    assert_eq!(owner(&mut sim, feed), "a1");
}

#[test]
fn g5_call_that_changes_hands_stays_blacked_out() {
    let (mut sim, feed) = office();
    let first = log_in(&mut sim, "a1");
    sim.say(feed, "call start device=1001 call=c1");
    let id = pair(&sim.say(first, "record start"), "recording");
    sim.run_ms(4000);
    assert!(answer(&sim.say(first, "blackout start")).starts_with("ok"));
    sim.run_ms(1000);
    let second = log_in(&mut sim, "a2");
    assert_eq!(owner(&mut sim, feed), "a2");
    let row = sim.say(feed, "calls").join("\n");
    assert!(row.contains("blackout=on"), "{row}");
    sim.run_ms(2000);
    sim.gone(first);
    sim.run_ms(2000);
    let row = sim.say(feed, "calls").join("\n");
    assert!(row.contains("blackout=on"), "the agent who holds it is gone: {row}");
    let first = log_in(&mut sim, "a1");
    assert!(answer(&sim.say(first, "blackout stop")).starts_with("ok"));
    sim.run_ms(1000);
    sim.say(feed, "call stop device=1001 call=c1");
    sim.run_ms(100);
    let stored = sim.stored(&id);
    stored.check(&sim);
    assert_eq!(stored.ledger.masked, 7 * 8000, "2 s of lead and 5 s of blackout");
    sim.gone(second);
}

/// Between two calls the agent's link dies inside a blackout: the next call is still theirs.
#[test]
fn g5_desk_of_an_agent_who_left_in_a_blackout_is_not_handed_back() {
    let (mut sim, feed) = office();
    let _first = log_in(&mut sim, "a1");
    let second = log_in(&mut sim, "a2");
    sim.say(feed, "call start device=1001 call=c1");
    sim.say(second, "record start");
    sim.say(second, "blackout start");
    sim.say(feed, "call stop device=1001 call=c1");
    sim.gone(second);
    sim.say(feed, "call start device=1001 call=c2");
    let row = sim.say(feed, "calls").join("\n");
    assert!(row.contains("agent=a2") && row.contains("blackout=on"), "{row}");
}

/// An agent who logs in at the phone of another agent is not promised its calls.
#[test]
fn d1_desk_with_a_phone_of_another_agent_promises_nothing() {
    let (mut sim, _) = office();
    let client = sim.client(&[protocol::Kind::Agent]);
    let said = sim.say(client, "hello agent user=a1 machine=DESK-2");
    assert_eq!(pair(&said, "device"), "-");
    let note = said.iter().find(|line| line.starts_with("state")).unwrap();
    assert!(note.contains("phone 1002") && note.contains("owner"), "{note}");
}

/// Three people come and go at one desk; a model says whose each call is.
#[test]
fn d1_three_people_share_a_desk() {
    for seed in 0..20 {
        let (mut sim, feed) = office();
        let mut rng = Rng::new(seed);
        let mut here: Vec<(u32, &str)> = Vec::new();
        let mut call: Option<String> = None;
        let mut steps = Vec::new();
        for step in 0..60 {
            let agent = *rng.pick(&["a1", "a2", "a3"]);
            match rng.below(5) {
                0 | 1 => {
                    here.push((log_in(&mut sim, agent), agent));
                    call = call.map(|_| agent.to_owned());
                    steps.push(format!("{agent} logs in"));
                }
                2 if !here.is_empty() => {
                    let (client, agent) = here.remove(rng.below(here.len()));
                    sim.gone(client);
                    steps.push(format!("{agent} leaves"));
                }
                3 => {
                    sim.say(feed, &format!("call start device=1001 call=c{step}"));
                    call = Some(here.last().map_or("-", |(_, agent)| agent).to_owned());
                    steps.push("a call begins".to_owned());
                }
                _ => {}
            }
            let expected = call.clone().unwrap_or("nothing".to_owned());
            assert_eq!(owner(&mut sim, feed), expected, "seed {seed}: {steps:?}");
        }
    }
}

/// A client of an agent that tells when it started, as the desktop client does.
fn log_in_started(sim: &mut SimBox, agent: &str, started_s: u64) -> u32 {
    let program = protocol::program::format_program("desk", "0.1", started_s * 1000, 7);
    sim.hello(&format!("agent user={agent} machine=DESK-1 client={program}"))
}

/// Whichever client reconnects last after a restart used to own the phone, and whichever link
/// flapped last.
#[test]
fn d1_client_that_connects_again_keeps_its_place_at_the_desk() {
    for order in [["a1", "a2"], ["a2", "a1"]] {
        let (mut sim, feed) = office();
        let start_of = |agent: &str| if agent == "a1" { 1_800_000_000 } else { 1_800_003_600 };
        for agent in ["a1", "a2"] {
            log_in_started(&mut sim, agent, start_of(agent));
        }
        sim.say(feed, "call start device=1001 call=c1");
        assert_eq!(owner(&mut sim, feed), "a2");
        log_in_started(&mut sim, "a1", start_of("a1"));
        assert_eq!(owner(&mut sim, feed), "a2", "the link of the first one flapped");
        sim.restart(true);
        for agent in order {
            log_in_started(&mut sim, agent, start_of(agent));
        }
        let feed = sim.hello("cti user=pbx");
        assert_eq!(owner(&mut sim, feed), "a2", "{order:?}: the call that went on");
        sim.say(feed, "call stop device=1001 call=c1");
        sim.say(feed, "call start device=1001 call=c2");
        assert_eq!(owner(&mut sim, feed), "a2", "{order:?}: a new call");
        // Another start of the first one's client is another log-in.
        log_in_started(&mut sim, "a1", 1_800_007_200);
        assert_eq!(owner(&mut sim, feed), "a1");
    }
}

#[test]
fn d1_desk_goes_by_log_in_when_clients_tell_no_start_and_the_clock_is_set_back() {
    let (mut sim, feed) = office();
    log_in(&mut sim, "a1");
    sim.now.wall.0 -= 3_600_000;
    log_in(&mut sim, "a2");
    sim.say(feed, "call start device=1001 call=c1");
    assert_eq!(owner(&mut sim, feed), "a2");
}

/// What a dead connection still delivers was sent before the agent's newest press.
#[test]
fn g5_late_stop_of_an_earlier_connection_ends_no_newer_blackout() {
    let (mut sim, feed) = office();
    let old = log_in_started(&mut sim, "a1", 1_800_000_000);
    // Other clients of the agent are no earlier connection of this one.
    let others = [
        log_in_started(&mut sim, "a1", 1_800_000_001),
        log_in(&mut sim, "a1"),
        log_in(&mut sim, "a1"),
        sim.hello("agent user=a1 machine=WS-9 client=desk/0.1/1a3185c5000-0007"),
    ];
    let colleague = log_in_started(&mut sim, "a2", 1_800_000_000);
    sim.say(feed, "call start device=1001 call=c1 agent=a1");
    sim.say(old, "record start");
    sim.run_ms(4000);
    assert!(answer(&sim.say(old, "blackout start")).starts_with("ok"));
    let new = log_in_started(&mut sim, "a1", 1_800_000_000);
    assert!(answer(&sim.say(new, "blackout start")).starts_with("ok"));
    assert!(sim.is_closed(old));
    let session = hushbox::id::SessionId(old.into());
    let line = Input::Line { session, line: Ok("blackout stop"), woke: sim.now.mono };
    sim.input(line);
    sim.run_ms(1000);
    assert_eq!(value(&state(&mut sim, new), "blackout"), "on");
    for client in others.into_iter().chain([colleague]) {
        assert!(!sim.is_closed(client));
        sim.ping(client);
    }
    assert!(answer(&sim.say(others[1], "blackout stop")).starts_with("ok blackout=off"));
}
