//! Clients that press too fast or send too much: the recorder keeps running, and keeps its
//! promises.

use hushbox::job::{DiskError, Job};
use protocol::Kind;
use testkit::sim::SimBox;

/// A value of the `ok` among these lines.
fn pair(lines: &[String], key: &str) -> String {
    let line = lines.iter().find(|line| line.starts_with("ok ")).expect("an ok");
    let at = line.find(&format!(" {key}=")).expect(key) + key.len() + 2;
    line[at..].split(' ').next().unwrap().to_string()
}

/// A box with Jane, who records her call, and the PBX.
fn recording(seed: u64) -> (SimBox, u32, u32, String) {
    let mut sim = SimBox::new(include_str!("transcripts/box.toml"), seed);
    let (jane, pbx) = (sim.client(&[Kind::Agent]), sim.client(&[Kind::Cti]));
    sim.say(jane, "hello agent user=jdoe");
    sim.say(pbx, "hello cti");
    sim.say(pbx, "call start device=1001 call=c1");
    let id = pair(&sim.say(jane, "record start"), "recording");
    (sim, jane, pbx, id)
}

#[test]
fn g1_presses_beyond_mask_capacity_mask_more_not_less() {
    let (mut sim, jane, pbx, id) = recording(1);
    for _ in 0..150 {
        sim.say(jane, "blackout start lead_ms=0");
        sim.run_ms(20);
        sim.say(jane, "blackout stop");
        sim.run_ms(20);
    }
    sim.run_ms(10_000);
    sim.say(pbx, "call stop device=1001 call=c1");
    let stored = sim.stored(&id);
    stored.check(&sim);
    assert!(stored.ledger.masked >= 150 * 160, "{:?}", stored.ledger);
    assert!(stored.ledger.stored >= 8000 * 10, "{:?}", stored.ledger);
    assert!(sim.verify().is_clean(), "{:?}", sim.verify());
}

#[test]
fn repeated_holds_lose_no_audio() {
    let (mut sim, _, pbx, id) = recording(2);
    for turn in 0..100 {
        sim.run_ms(if turn == 90 { 20 } else { 400 });
        sim.say(pbx, "call hold device=1001 call=c1");
        sim.run_ms(100);
        sim.say(pbx, "call resume device=1001 call=c1");
    }
    sim.say(pbx, "call stop device=1001 call=c1");
    let stored = sim.stored(&id);
    stored.check(&sim);
    assert_eq!(stored.ledger.held, 100 * 800);
    assert_eq!(stored.ledger.stored, 99 * 3200 + 160);
}

#[test]
fn h4_long_wrapup_and_many_calls_cost_no_recording() {
    let config = include_str!("transcripts/box.toml")
        .replace("codec = \"pcm\"", "codec = \"pcm\"\nwrapup_s = 3600");
    let all = "\n[[schedule]]\nname = \"all\"\ntype = \"percentage\"\n";
    let mut sim = SimBox::new(&(config + all), 3);
    let pbx = sim.client(&[Kind::Cti]);
    sim.say(pbx, "hello cti");
    for call in 0..1200 {
        let said = sim.say(pbx, &format!("call start device=1001 call=c{call}"));
        assert_ne!(pair(&said, "recording"), "-", "call {call}");
        sim.run_ms(100);
        sim.say(pbx, &format!("call stop device=1001 call=c{call}"));
    }
}

#[test]
fn h4_recording_without_file_is_never_acknowledged() {
    let (mut sim, jane, pbx, _) = recording(4);
    sim.say(pbx, "call stop device=1001 call=c1");
    sim.say(pbx, "call start device=1001 call=c2");
    sim.disk.refuse = Some(Box::new(|job: &Job, path: &str| {
        let media = matches!(job, Job::Create { .. }) && path.starts_with("media/");
        media.then_some(DiskError::Full)
    }));
    let said = sim.say(jane, "record start");
    assert!(said.iter().any(|line| line.starts_with("err disk-full ")), "{said:?}");
    assert!(!said.iter().any(|line| line.starts_with("ok ")), "{said:?}");
    let said = sim.say(jane, "status").join(" ");
    assert!(said.contains("recording=off") && !said.contains("record.start"), "{said}");
    sim.disk.refuse = None;
    sim.run_ms(6000);
    let id = pair(&sim.say(jane, "record start"), "recording");
    sim.run_ms(1000);
    sim.say(pbx, "call stop device=1001 call=c2");
    sim.stored(&id).check(&sim);
}

#[test]
fn session_gets_nothing_after_quit() {
    let (mut sim, jane, _, _) = recording(5);
    sim.send(jane, b"blackout start\nblackout stop\nrecord stop\nquit\nstatus\n");
    let said = sim.news(jane);
    assert_eq!(said.last().map(String::as_str), Some("ok"), "{said:?}");
    assert_eq!(said.iter().filter(|line| line.starts_with("ok")).count(), 4, "{said:?}");
    assert!(sim.is_closed(jane));
}

#[test]
fn show_of_a_thousand_blackouts_fits_the_output() {
    let (mut sim, jane, pbx, id) = recording(6);
    for turn in 0..1000 {
        if turn % 200 == 0 {
            sim.say(pbx, "ping");
        }
        sim.say(jane, "blackout start lead_ms=0");
        sim.run_ms(20);
        sim.say(jane, "blackout stop");
        sim.run_ms(200);
    }
    sim.say(pbx, "call stop device=1001 call=c1");
    let eve = sim.client(&[Kind::Supervisor]);
    sim.say(eve, "hello supervisor user=eve");
    let said = sim.say(eve, &format!("show {id}"));
    assert!(
        said.iter().any(|line| line.starts_with("row what=more ")),
        "it says that there is more"
    );
    assert!(said.iter().any(|line| line.contains("masked=160000 ")), "the ledger is there");
    assert_eq!(said.last().map(String::as_str), Some("ok"));
}

#[test]
fn half_closed_client_gets_replies_that_wait_for_the_disk() {
    let (mut sim, jane, pbx, id) = recording(9);
    let watcher = sim.hello("monitor");
    sim.say(watcher, "watch");
    sim.disk.delay_us = 400_000;
    sim.send(pbx, b"call start device=1002 call=c2\nping\ncall stop device=1002 call=c2\n");
    sim.end_input(pbx);
    sim.send(jane, b"blackout start\nrecord stop\nupdate 1 x\n");
    sim.end_input(jane);
    assert!(!sim.is_closed(pbx) && !sim.is_closed(jane), "the disk has not answered");
    sim.run_ms(6000);
    let (fed, told) = (sim.news(pbx), sim.news(jane));
    let oks = |lines: &[String]| lines.iter().filter(|line| line.starts_with("ok")).count();
    assert_eq!(oks(&fed), 3, "{fed:?}");
    assert_eq!(oks(&told), 3, "{told:?}");
    assert!(told.iter().any(|line| line.contains(&id)), "{told:?}");
    assert!(sim.is_closed(pbx) && sim.is_closed(jane));
    // The feed said no `quit`, so its loss is told.
    assert_eq!(sim.alarms(watcher), [202]);
}
