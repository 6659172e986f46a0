//! Screens on the simulated box: what starts them, what is stored, what a blackout masks, and what
//! happens when a client, the disk or the power fails.

use hushbox::job::{DiskError, Job};
use testkit::screen_client::{ScreenClient, site};
use testkit::sim::site::{pair, value};

/// The answer among these lines.
fn told(lines: &[String]) -> String {
    let line = lines.iter().find(|line| line.starts_with("ok") || line.starts_with("err "));
    line.unwrap_or_else(|| panic!("{lines:?}")).clone()
}

#[test]
fn e2_on_demand_audio_records_the_screen_too() {
    for seal in [false, true] {
        let mut desk = ScreenClient::new(&site().store(&format!("seal = {seal}")));
        assert_eq!(desk.told("capture"), "off");
        assert_eq!((desk.told("fps"), desk.told("hold_ms")), ("5".into(), "2250".into()));
        desk.call("call start device=1001 call=c1");
        desk.sim.run_ms(1000);
        let id = pair(&desk.say("record start"), "recording");
        let state = desk.sim.say(desk.agent, "status").join("\n");
        assert!(state.contains("screen=on"), "{state}");
        assert_eq!((desk.told("capture"), desk.told("recording")), ("on".into(), id.clone()));
        desk.watch(6);
        desk.call("call stop device=1001 call=c1");
        assert_eq!(desk.told("capture"), "off");
        desk.sim.run_ms(10_000);
        desk.sim.stored(&id).check(&desk.sim);
        let seen = desk.screen_of(&id);
        assert_eq!(seen.stretches(), "6000 stored");
        assert_eq!(seen.numbers(), [1, 2, 3, 4, 5, 6]);
        // The recording began a second after the box, and so did the first piece.
        let began: Vec<_> = seen.pieces.iter().map(|(from, at, _)| (*from, at.unwrap())).collect();
        assert_eq!(began[..2], [(1000, 8000), (2000, 16_000)]);
        assert!(seen.scan.trailer.is_some());
        assert!(desk.sim.verify().is_clean(), "{:?}", desk.sim.verify());
        desk.sim.restart(false);
        let report = desk.sim.verify();
        assert!(report.is_clean() && report.media == 2, "{report:?}");
        assert_eq!(desk.on_disk().is_empty(), seal);
    }
}

#[test]
fn last_segment_may_be_short() {
    let mut desk = ScreenClient::new(&site());
    desk.call("call start device=1001 call=c1");
    let id = pair(&desk.say("record start"), "recording");
    desk.watch(3);
    desk.sim.run_ms(700);
    desk.say("record stop");
    // The client holds it back, as it does all, and meanwhile the others have gone to the disk.
    desk.sim.run_ms(2300);
    let said = desk.piece_from(&id, 3000, 700);
    assert!(told(&said).starts_with("ok"), "{said:?}");
    desk.sim.run_ms(10_000);
    assert_eq!(desk.screen_of(&id).stretches(), "3700 stored");
    // Of a client that is gone nothing is waited for.
    let id = pair(&desk.say("record start"), "recording");
    desk.watch(3);
    let screen = desk.screen;
    desk.sim.gone(screen);
    desk.sim.run_ms(4000);
    desk.say("record stop");
    desk.sim.run_ms(1000);
    let seen = desk.screen_of(&id);
    assert_eq!(
        (seen.stretches().as_str(), seen.scan.trailer.is_some()),
        ("3000 stored, 4000 lost", true)
    );
}

#[test]
fn g1_blackout_masks_the_screen_from_its_lead() {
    let mut found = Vec::new();
    for hides in [true, false] {
        let mut desk = ScreenClient::new(&site());
        desk.call("call start device=1001 call=c1");
        let id = pair(&desk.say("record start"), "recording");
        desk.watch(6);
        if hides {
            desk.say("blackout start lead_ms=1500");
            assert_eq!(desk.told("blackout"), "on");
            // The press was at 6 s: lead and margin go back to 4.25 s.
            assert_eq!(desk.told("since"), "2026-11-22T12:00:04.250Z");
        }
        desk.watch(3);
        desk.say("blackout stop");
        assert_eq!(desk.told("blackout"), "off");
        desk.watch(4);
        desk.say("record stop");
        desk.sim.run_ms(10_000);
        let seen = desk.screen_of(&id);
        found.push((desk.on_disk(), seen.numbers(), seen.stretches()));
        assert!(desk.sim.verify().is_clean(), "{:?}", desk.sim.verify());
    }
    let all: Vec<u64> = (1..=13).collect();
    assert_eq!(
        found[1],
        (all.clone(), all, "13000 stored".into()),
        "the search finds what is there"
    );
    // The fifth began at 4 s, the tenth within the margin after the stop.
    let (on_disk, numbers, stretches) = &found[0];
    assert_eq!(on_disk[..], [1, 2, 3, 4, 11, 12, 13]);
    assert_eq!((numbers, stretches.as_str()), (on_disk, "4000 stored, 6000 masked, 3000 stored"));
}

#[test]
fn g1_blackout_within_holdback_masks_all_in_memory() {
    // Whatever the lead, up to the holdback: nothing that it reaches has left memory.
    for lead_ms in [0, 500, 2000, 3000] {
        let mut desk = ScreenClient::new(&site());
        desk.call("call start device=1001 call=c1");
        let id = pair(&desk.say("record start"), "recording");
        desk.watch(8);
        let from = 8000 - lead_ms - 250;
        assert!(desk.on_disk().iter().all(|n| *n * 1000 <= from), "{:?}", desk.on_disk());
        desk.say(&format!("blackout start lead_ms={lead_ms}"));
        desk.watch(8);
        desk.say("record stop");
        desk.sim.run_ms(10_000);
        let kept: Vec<u64> = (1..).take_while(|n| n * 1000 <= from).collect();
        assert_eq!(desk.on_disk(), kept);
        assert_eq!(desk.screen_of(&id).numbers(), kept);
    }
}

#[test]
fn a2_e3_screen_only_recording_is_masked_by_a_call() {
    let mut desk = ScreenClient::new(&site());
    assert!(told(&desk.say("blackout start")).starts_with("err no-call"));
    let said = desk.say("screen start");
    let id = pair(&said, "recording");
    assert!(said.iter().any(|line| line.contains(" screen=on can=")), "{said:?}");
    assert!(said.iter().any(|line| line.contains("screen.start,screen.stop")), "{said:?}");
    assert_eq!(pair(&desk.say("screen start"), "recording"), id, "it runs already");
    let refused = told(&desk.say("blackout start"));
    assert!(refused.starts_with("err no-call \"a blackout begins in a recorded call"), "{refused}");
    desk.watch(5);
    desk.call("call start device=1001 call=c1");
    let refused = told(&desk.say("blackout start"));
    assert!(refused.starts_with("err not-recording \"a blackout begins in"), "{refused}");
    let call = pair(&desk.say("record start"), "recording");
    assert_ne!(call, id);
    desk.watch(4);
    desk.say("blackout start lead_ms=0");
    desk.watch(3);
    desk.say("blackout stop");
    desk.watch(4);
    desk.call("call stop device=1001 call=c1");
    desk.watch(3);
    let stopped = desk.say("screen stop");
    assert_eq!((pair(&stopped, "recording"), pair(&stopped, "state")), (id.clone(), "off".into()));
    assert_eq!(pair(&desk.say("screen stop"), "state"), "off", "once more");
    desk.sim.run_ms(10_000);
    // The mask is 250 ms longer at either end; pieces are dropped whole.
    assert_eq!(desk.screen_of(&id).stretches(), "8000 stored, 5000 masked, 6000 stored");
    assert_eq!(desk.screen_of(&call).stretches(), "3000 stored, 5000 masked, 3000 stored");
    let on_disk = desk.on_disk();
    assert!(!on_disk.iter().any(|n| (9..=13).contains(n)), "{on_disk:?}");
    assert!(desk.sim.verify().is_clean(), "{:?}", desk.sim.verify());
    let record = desk.sim.journal();
    let record = record.record(hushbox::id::RecordingId::parse(&id).unwrap()).unwrap();
    assert_eq!(record.began.schedule.as_deref(), Some("on demand"));
    assert_eq!(record.ended.as_ref().unwrap().ledger.total_captured(), 19_000, "milliseconds");
}

#[test]
fn e4_call_that_records_the_screen_answers_screen_start() {
    let mut desk = ScreenClient::new(&site());
    desk.call("call start device=1001 call=c1");
    let call = pair(&desk.say("record start"), "recording");
    assert_eq!(pair(&desk.say("screen start"), "recording"), call);
    let refused = told(&desk.say("screen stop"));
    assert!(refused.starts_with("err not-recording"), "{refused}");
    // The agent's reason goes, another holds it: the screen pauses.
    desk.watch(3);
    desk.say("record stop");
    assert_eq!(desk.told("capture"), "off");
}

#[test]
fn e1_screen_without_client_is_disabled_with_reason() {
    let mut desk = ScreenClient::new(&site());
    let bob = desk.sim.client(&[protocol::Kind::Agent]);
    let said = desk.sim.say(bob, "hello agent user=bob");
    let said = said.join("\n");
    assert!(said.contains("screen=disabled") && said.contains("your account is not"), "{said}");
    let refused = told(&desk.sim.say(bob, "screen start"));
    assert!(refused.starts_with("err desktop-disabled \"your account"), "{refused}");
    let screen = desk.sim.client(&[protocol::Kind::Screen]);
    let refused = told(&desk.sim.say(screen, "hello screen user=bob"));
    assert!(refused.starts_with("err desktop-disabled"), "{refused}");
    let gone = desk.screen;
    desk.sim.gone(gone);
    let said = desk.sim.news(desk.agent).pop().unwrap();
    assert!(
        said.contains("screen=disabled") && said.contains("no screen capture client"),
        "{said}"
    );
    assert!(!said.contains("screen.start"), "{said}");
    desk.connect_screen();
    let said = desk.sim.news(desk.agent).pop().unwrap();
    assert!(said.contains("screen=off") && said.contains("note=-"), "{said}");
    assert!(said.contains("screen.start"), "{said}");
}

#[test]
fn g4_ceiling_warning_reaches_agent_with_other_notes() {
    let mut desk = ScreenClient::new(&site().more("[blackout]\nmax_s = 10"));
    let gone = desk.screen;
    desk.sim.gone(gone);
    let said = desk.sim.news(desk.agent).join("\n");
    assert!(said.contains("no screen capture client"), "{said}");
    desk.call("call start device=1001 call=c1");
    desk.say("record start");
    desk.sim.run_ms(5000);
    desk.say("blackout start");
    desk.sim.run_ms(9000);
    let warnings = desk.sim.news(desk.agent);
    let warned = |line: &&String| line.contains("the blackout ends by itself");
    assert_eq!(warnings.iter().filter(warned).count(), 1, "{warnings:?}");
}

#[test]
fn d4_screen_only_needs_a_schedule_by_user() {
    for (requires, allowed) in [("users = [\"jdoe\"]", true), ("devices = [\"1001\"]", false)] {
        let said = told(&ScreenClient::new(&site().schedule(requires)).say("screen start"));
        assert_eq!(said.starts_with("ok "), allowed, "{said}");
        assert!(allowed || said.starts_with("err no-schedule"), "{said}");
    }
}

#[test]
fn screen_client_that_dies_leaves_a_lost_span() {
    let mut desk = ScreenClient::new(&site());
    desk.call("call start device=1001 call=c1");
    let id = pair(&desk.say("record start"), "recording");
    desk.watch(4);
    let gone = desk.screen;
    desk.sim.gone(gone);
    desk.sim.run_ms(30_000);
    desk.connect_screen();
    assert_eq!(desk.told("capture"), "on", "another one goes on");
    desk.watch(4);
    desk.say("record stop");
    desk.sim.run_ms(10_000);
    assert_eq!(desk.screen_of(&id).stretches(), "4000 stored, 30000 lost, 4000 stored");
    assert_eq!(desk.sim.stored(&id).ledger.total_lost(), 0, "audio loses nothing");
    desk.sim.restart(false);
    assert!(desk.sim.verify().is_clean(), "{:?}", desk.sim.verify());
}

#[test]
fn segments_that_do_not_fit_are_refused_by_name() {
    let mut desk = ScreenClient::new(&site());
    let (screen, wall) = (desk.screen, desk.sim.now.wall);
    let line = format!("segment recording=aaaaaaaaaaaaaaaa start={wall} duration_ms=10");
    let said = desk.sim.say_with(screen, &line, b"x");
    assert!(said[0].starts_with("err not-recording"), "{said:?}");
    desk.call("call start device=1001 call=c1");
    let id = pair(&desk.say("record start"), "recording");
    desk.state();
    desk.sim.run_ms(2000);
    let ahead = hushbox::time::WallTime(desk.sim.now.wall.0 + 600);
    let line = format!("segment recording={id} start={ahead} duration_ms=10");
    let said = desk.sim.say_with(screen, &line, b"x");
    assert!(said[0].contains("ms ahead of the box's clock"), "{said:?}");
    assert_eq!(desk.piece(), ["ok"]);
    let twice = desk.piece();
    assert!(twice[0].starts_with("err bad-argument"), "{twice:?}");
    let line = format!("segment recording={id} start={wall} duration_ms=99999");
    assert!(desk.sim.say(screen, &line)[0].starts_with("err bad-argument"));
    let line = format!("segment recording={id} start=noon duration_ms=10");
    assert!(desk.sim.say(screen, &line)[0].starts_with("err bad-argument"));
    let line = format!("segment recording={id} start={wall} duration_ms=10");
    desk.sim.say(screen, &line);
    let said = desk.sim.say(screen, "ping");
    assert!(said[0].starts_with("err bad-argument") && said[1].starts_with("ok time="), "{said:?}");
}

#[test]
fn g1_segment_before_its_recording_is_refused() {
    let mut desk = ScreenClient::new(&site());
    desk.call("call start device=1001 call=c1");
    let id = pair(&desk.say("record start"), "recording");
    desk.watch(3);
    desk.say("blackout start lead_ms=0");
    desk.sim.run_ms(3000);
    desk.say("blackout stop");
    desk.say("record stop");
    desk.sim.run_ms(1000);
    let next = pair(&desk.say("record start"), "recording");
    assert_ne!(id, next);
    desk.state();
    desk.sim.run_ms(1000);
    // It would show what was hidden in the recording before.
    let said = desk.piece_of(&next, 4000);
    assert!(said[0].starts_with("err bad-argument"), "{said:?}");
    let last = desk.last();
    desk.say("record stop");
    desk.sim.run_ms(60_000);
    assert!(!desk.on_disk().contains(&last));
}

#[test]
fn video_memory_is_bounded_and_costs_no_audio() {
    let mut desk = ScreenClient::new(&site());
    desk.call("call start device=1001 call=c1");
    let id = pair(&desk.say("record start"), "recording");
    let mut refused = 0;
    for _ in 0..40 {
        desk.sim.run_ms(200);
        let from = hushbox::time::WallTime(desk.sim.now.wall.0 - 200);
        let line = format!("segment recording={id} start={from} duration_ms=200");
        let screen = desk.screen;
        let said = desk.sim.say_with(screen, &line, &vec![7; 1 << 20]);
        refused += usize::from(said.iter().any(|line| line.starts_with("err busy")));
    }
    assert!(refused > 10, "{refused}");
    desk.say("record stop");
    desk.sim.run_ms(30_000);
    let stretches = desk.screen_of(&id).stretches();
    assert!(stretches.contains("lost"), "{stretches}");
    assert_eq!(desk.sim.stored(&id).ledger.total_lost(), 0);
    assert!(desk.sim.verify().is_clean(), "{:?}", desk.sim.verify());
}

#[test]
fn h4_disk_failure_ends_the_screen_and_audio_continues() {
    let mut desk = ScreenClient::new(&site());
    desk.call("call start device=1001 call=c1");
    let first = pair(&desk.say("record start"), "recording");
    desk.watch(8);
    // A screen's file refuses: only that screen ends.
    desk.sim.disk.refuse = Some(Box::new(|job, path| {
        (matches!(job, Job::Append { .. }) && path.ends_with(".hbv"))
            .then_some(DiskError::Failed(5))
    }));
    desk.watch(6);
    desk.sim.disk.refuse = None;
    desk.watch(3);
    desk.say("record stop");
    desk.sim.run_ms(10_000);
    assert_eq!(desk.sim.stored(&first).ledger.total_lost(), 0);
    assert!(desk.sim.verify().is_clean(), "{:?}", desk.sim.verify());
    // A sync fails: what goes on has its screen again.
    desk.say("record start");
    desk.watch(6);
    let mut once = true;
    desk.sim.disk.refuse = Some(Box::new(move |job, _| {
        let fails = matches!(job, Job::Sync { .. }) && std::mem::take(&mut once);
        fails.then_some(DiskError::Failed(5))
    }));
    desk.watch(10);
    let second = desk.told("recording");
    desk.say("record stop");
    desk.sim.run_ms(20_000);
    assert!(desk.screen_of(&second).numbers().len() > 4);
    desk.sim.restart(false);
    assert!(desk.sim.verify().is_clean(), "{:?}", desk.sim.verify());
}

#[test]
fn h6_delete_removes_the_screen_too() {
    let mut desk = ScreenClient::new(&site());
    desk.call("call start device=1001 call=c1");
    let id = pair(&desk.say("record start"), "recording");
    desk.watch(8);
    desk.call("call stop device=1001 call=c1");
    desk.sim.run_ms(20_000);
    let chief = desk.sim.client(&[protocol::Kind::Supervisor]);
    desk.sim.say(chief, "hello supervisor user=chief");
    let listed = desk.sim.say(chief, "records").join("\n");
    let row = listed.lines().find(|line| line.starts_with("row ")).unwrap();
    let size: u64 = value(row, "size").parse().unwrap();
    let files = |desk: &ScreenClient| -> Vec<usize> {
        let media = desk.sim.disk.live.iter().filter(|(path, _)| path.starts_with("media/"));
        media.map(|(_, bytes)| bytes.len()).collect()
    };
    assert_eq!(files(&desk).iter().sum::<usize>() as u64, size);
    let shown = desk.sim.say(chief, &format!("show {id}")).join("\n");
    assert!(shown.contains("what=screen") && shown.contains("stored_ms=8000"), "{shown}");
    let said = desk.sim.say(chief, &format!("delete {id}"));
    assert!(said[0].starts_with("ok"), "{said:?}");
    desk.sim.run_ms(1000);
    assert_eq!(files(&desk), [0usize; 0]);
    assert!(desk.on_disk().is_empty());
    assert!(desk.sim.verify().is_clean(), "{:?}", desk.sim.verify());
}

/// A call with a screen and a blackout, and a screen by itself.
fn script(desk: &mut ScreenClient) {
    desk.call("call start device=1001 call=c1");
    desk.say("record start");
    desk.watch(5);
    desk.say("blackout start lead_ms=1000");
    desk.watch(2);
    desk.say("blackout stop");
    desk.watch(2);
    desk.call("call stop device=1001 call=c1");
    desk.say("screen start");
    desk.watch(6);
    desk.say("screen stop");
    desk.watch(5);
}

#[test]
fn h3_g1_screen_cut_at_every_disk_job_keeps_promises() {
    let mut whole = ScreenClient::new(&site());
    script(&mut whole);
    let jobs = whole.sim.disk.jobs;
    assert!(jobs > 50, "{jobs}");
    for at in 1..=jobs {
        let mut desk = ScreenClient::new(&site());
        desk.sim.disk.cut_at = Some(at);
        script(&mut desk);
        desk.sim.disk.cut_at = None;
        desk.sim.restart(true);
        let report = desk.sim.verify();
        assert!(report.is_clean(), "cut at job {at}: {report:?}");
        // Pressed at 5 s, from 3.75 s on; the stop hides a little of the eighth.
        let hidden = desk.on_disk().iter().any(|n| (4..=8).contains(n));
        assert!(!hidden, "cut at job {at}: {:?}", desk.on_disk());
        let open = desk.sim.journal().running_screens().count();
        assert_eq!(open, 0, "cut at job {at}: a screen without an end");
    }
}

#[test]
fn e1_agent_reads_why_the_box_refused_the_screen_client() {
    let mut desk = ScreenClient::new(&site());
    let note = |desk: &mut ScreenClient| desk.sim.say(desk.agent, "status").join("\n");
    desk.sim.gone(desk.screen);
    assert!(note(&mut desk).contains("no screen capture client is connected"));
    // A peer that [local] does not allow as a screen client.
    let stranger = desk.sim.client(&[protocol::Kind::Agent]);
    let said = told(&desk.sim.say(stranger, "hello screen user=jdoe machine=WS-1"));
    assert!(said.starts_with("err denied"), "{said}");
    let state = note(&mut desk);
    let why = "the box refused the screen capture client: screen may not say hello from here";
    assert!(state.contains(why), "{state}");
    desk.connect_screen();
    assert!(!note(&mut desk).contains("refused"), "accepted at last");
}
