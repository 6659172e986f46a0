//! Calls whose end is not reported as it should be: a lost `call stop`, an id used again.

use hushbox::store::fact::Fact;
use testkit::sim::SimBox;
use testkit::sim::site::{Site, answer, pair};

fn office(audio: &str) -> (SimBox, u32, u32) {
    let site = Site::new().store("seal = false").audio(audio).full_time();
    let site = site.role("agent", "record.start").agent("jdoe", "1001", "agent");
    let mut sim = SimBox::new(&site.toml(), 7);
    let (feed, watcher) = (sim.hello("cti user=pbx"), sim.hello("monitor"));
    sim.say(watcher, "watch");
    (sim, feed, watcher)
}

/// White noise of this level in dBFS.
fn hiss(db: f64) -> impl Fn(usize, u64) -> i16 {
    let top = 32768.0 * 10_f64.powf(db / 20.0) * 3_f64.sqrt();
    move |channel, at| {
        let bits = testkit::rng::Rng::new(at ^ (channel as u64) << 48).next_u64();
        let unit = (bits >> 11) as f64 / (1_u64 << 52) as f64 - 1.0;
        #[expect(clippy::cast_possible_truncation, reason = "noise of the tests is soft")]
        let sample = (unit * top).round() as i16;
        sample
    }
}

/// Lets time pass; these clients send `ping` now and then.
fn wait_s(sim: &mut SimBox, clients: &[u32], seconds: u64) {
    for second in 0..seconds {
        sim.run_ms(1000);
        if second % 30 == 0 {
            clients.iter().for_each(|client| sim.ping(*client));
        }
    }
}

fn is_live(sim: &mut SimBox, feed: u32, call: &str) -> bool {
    sim.say(feed, "calls").iter().any(|row| row.contains(&format!("call={call} ")))
}

fn ends(sim: &SimBox) -> Vec<&'static str> {
    let ends = sim.facts().into_iter().filter_map(|fact| match fact {
        Fact::RecordingEnded(ended) => Some(ended.end.as_str()),
        _ => None,
    });
    ends.collect()
}

/// Hiss above -60 dBFS used to keep a call for ever.
#[test]
fn h4_lost_stop_on_a_line_with_hiss_ends_as_stale() {
    for db in [-55.0, -45.0, -90.0] {
        let (mut sim, feed, watcher) = office("stale_call_s = 60");
        sim.wave = Some(Box::new(hiss(db)));
        sim.run_ms(8000);
        sim.say(feed, "call start device=1001 call=c1");
        wait_s(&mut sim, &[feed, watcher], 59);
        assert!(is_live(&mut sim, feed, "c1"), "{db} dB");
        wait_s(&mut sim, &[feed, watcher], 3);
        assert!(!is_live(&mut sim, feed, "c1"), "{db} dB");
        assert_eq!((sim.alarms(watcher), ends(&sim)), (vec![203], vec!["stale"]));
    }
}

#[test]
fn h4_soft_speech_over_hiss_keeps_a_call() {
    let (mut sim, feed, watcher) = office("stale_call_s = 60");
    let (noise, speech) = (hiss(-52.0), hiss(-42.0));
    // A word of 0.4 s every 20 s.
    let wave = move |channel, at| {
        if at % 160_000 < 3200 { speech(channel, at) } else { noise(channel, at) }
    };
    sim.wave = Some(Box::new(wave));
    sim.say(feed, "call start device=1001 call=c1");
    wait_s(&mut sim, &[feed, watcher], 200);
    assert!(is_live(&mut sim, feed, "c1"));
    assert_eq!(sim.alarms(watcher), [] as [i32; 0]);
}

/// Nothing is heard of a call on hold, for as long as it takes.
#[test]
fn h4_long_hold_ends_no_call() {
    let (mut sim, feed, watcher) = office("stale_call_s = 60");
    sim.silent = true;
    sim.say(feed, "call start device=1001 call=c1");
    sim.say(feed, "call hold device=1001 call=c1");
    wait_s(&mut sim, &[feed, watcher], 150);
    assert!(answer(&sim.say(feed, "call resume device=1001 call=c1")).starts_with("ok"));
    assert_eq!(sim.alarms(watcher), [] as [i32; 0]);
    wait_s(&mut sim, &[feed, watcher], 62);
    assert!(!is_live(&mut sim, feed, "c1"), "resumed, it has to be heard");
}

#[test]
fn h4_call_ends_at_max_call_s_whatever_is_heard() {
    let (mut sim, feed, watcher) = office("max_call_s = 20");
    sim.say(feed, "call start device=1001 call=c1");
    sim.say(feed, "call start device=1002 call=c2");
    sim.say(feed, "call hold device=1002 call=c2");
    sim.run_ms(19_000);
    assert!(is_live(&mut sim, feed, "c1") && is_live(&mut sim, feed, "c2"));
    sim.run_ms(2000);
    assert!(!is_live(&mut sim, feed, "c1") && !is_live(&mut sim, feed, "c2"));
    assert_eq!(sim.alarms(watcher), [206, 206]);
    assert_eq!(ends(&sim), ["ceiling"; 2]);
    assert!(answer(&sim.say(feed, "call start device=1001 call=c3")).starts_with("ok"));
    assert!(is_live(&mut sim, feed, "c3"));
}

#[test]
fn h4_call_of_twelve_hours_raises_an_alarm_and_goes_on() {
    let (mut sim, feed, _) = office("stale_call_s = 86400");
    sim.say(feed, "call start device=1001 call=c1");
    sim.run_ms(1000);
    sim.pass_ms(12 * 3_600_000);
    sim.run_ms(1000);
    let (feed, watcher) = (sim.hello("cti user=pbx"), sim.hello("monitor"));
    let told = sim.say(watcher, "watch from=1").join("\n");
    assert!(told.contains("alarm=206"), "{told}");
    assert!(is_live(&mut sim, feed, "c1"));
}

/// The PBX restarted and counts its calls from 1 again.
#[test]
fn h4_start_with_a_known_id_and_another_number_is_another_call() {
    for other in ["ani=222 dnis=800", "ani=111 dnis=900", "ani=111 dnis=800 direction=out"] {
        let (mut sim, feed, _) = office("");
        let first = "call start device=1001 call=7 ani=111 dnis=800 direction=in";
        let one = pair(&sim.say(feed, first), "recording");
        sim.run_ms(1000);
        assert_eq!(pair(&sim.say(feed, first), "recording"), one, "told again");
        let same = sim.say(feed, "call start device=1001 call=7 group=sales");
        assert_eq!(pair(&same, "recording"), one, "more details");
        let two =
            pair(&sim.say(feed, &format!("call start device=1001 call=7 {other}")), "recording");
        assert_ne!(one, two, "{other}");
        sim.run_ms(1000);
        assert!(answer(&sim.say(feed, "call stop device=1001 call=7")).starts_with("ok"));
        sim.run_ms(200);
        assert_eq!(sim.say(feed, "calls").len(), 1, "none is left over");
        for id in [&one, &two] {
            let stored = sim.stored(id);
            stored.check(&sim);
            assert!(
                stored.complete && stored.ledger.stored == 8000,
                "{other}: {:?}",
                stored.ledger
            );
        }
        assert_eq!(ends(&sim), ["call-end"; 2]);
    }
}

#[test]
fn h4_held_call_whose_id_is_used_again_does_not_mute_the_new_one() {
    let (mut sim, feed, _) = office("");
    sim.say(feed, "call start device=1001 call=7 ani=111");
    sim.say(feed, "call hold device=1001 call=7");
    let two = pair(&sim.say(feed, "call start device=1001 call=7 ani=222"), "recording");
    sim.run_ms(1000);
    sim.say(feed, "call stop device=1001 call=7");
    sim.run_ms(200);
    assert_eq!(sim.stored(&two).ledger.stored, 8000);
}

/// Eight calls on hold whose stops were lost used to cost every later call of the device.
#[test]
fn h4_lost_stops_of_held_calls_cost_no_later_call() {
    let (mut sim, feed, watcher) = office("");
    for call in 1..=12 {
        let said = sim.say(feed, &format!("call start device=1001 call=c{call}"));
        assert!(answer(&said).starts_with("ok"), "{said:?}");
        sim.run_ms(100);
        sim.say(feed, &format!("call hold device=1001 call=c{call}"));
    }
    assert!(!is_live(&mut sim, feed, "c4") && is_live(&mut sim, feed, "c5"));
    assert!(sim.alarms(watcher).contains(&203));
}
