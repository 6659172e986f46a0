//! Boxes without a PBX: lines that are seized and released begin and end calls, and everything
//! else follows as if a feed had said so.
//!
//! The line is silent but for tones, so that every stored sample is known (codec pcm).

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bench_box;

use bench_box::{AGENT, BenchBox, CTI, Files, SECOND};
use hushbox::audio::span::Fate;
use hushbox::store::fact::Fact;

/// A voice board of two phones, both Jane's.
fn voice(more: &str) -> String {
    format!(
        r#"
[box]
name = "bench"
[on_demand]
enabled = true
[audio]
codec = "pcm"
wrapup_s = 5
preroll_ms = 3000
[store]
seal = false
[[board]]
name = "lines"
kind = "sim"
rate = 8000
activity = "voice"
channels = [
  {{ id = 1, device = "1001", source = "a.wav" }},
  {{ id = 2, device = "1002", source = "b.wav" }},
]
[[role]]
name = "agent"
permissions = ["record.start", "record.stop", "blackout"]
[[agent]]
username = "jdoe"
phones = ["1001", "1002"]
roles = ["agent"]
[[schedule]]
name = "on demand"
type = "on-demand"
{more}
"#
    )
}

const EVERYTHING: &str = "[[schedule]]\nname = \"all\"\ntype = \"percentage\"\npercent = 100\n";

/// A voice on `channel`; every sample of it is told from silence.
fn tone(channel: usize) -> impl Fn(usize, u64) -> i16 {
    move |other, at| match (other == channel, at % 16 < 8) {
        (true, true) => 2000,
        (true, false) => -2000,
        (false, _) => 0,
    }
}

/// The same, with a gap of 0.2 s after every word of 0.4 s.
fn words(channel: usize) -> impl Fn(usize, u64) -> i16 {
    move |other, at| if at % 4800 < 3200 { tone(channel)(other, at) } else { 0 }
}

fn silence(_: usize, _: u64) -> i16 {
    0
}

/// The value of `key` in the last line that has it.
fn value(said: &str, key: &str) -> String {
    let key = format!(" {key}=");
    let line = said.lines().rev().find(|line| line.contains(&key)).expect(said);
    let rest = &line[line.find(&key).unwrap() + key.len()..];
    rest.split(' ').next().unwrap().to_string()
}

#[test]
fn a_scheduled_call_is_stored_from_before_its_first_syllable() {
    let mut bench = BenchBox::start(&voice(EVERYTHING), Files::new());
    bench.play(5 * SECOND, silence);
    bench.play(SECOND, tone(0));
    let running = bench.say(CTI, "calls");
    assert_eq!((value(&running, "call"), value(&running, "device")), pair("voice-1", "1001"));
    assert_eq!(value(&running, "reasons"), "schedule");
    bench.play(6 * SECOND, silence);
    assert_eq!(bench.calls(), ["+voice-1", "-voice-1 released"]);
    let [call] = &bench.stored()[..] else { panic!("one recording") };
    // Half a second before the first block that is loud; blocks of 20 ms begin at position 0.
    assert_eq!(call.from, 5 * SECOND - SECOND / 2);
    let first = call.samples.iter().position(|sample| *sample != 0).unwrap();
    assert_eq!(call.from + first as u64, 5 * SECOND, "the first loud sample, and all before it");
    let loud = call.samples.iter().filter(|sample| **sample != 0).count();
    assert_eq!(loud as u64, SECOND, "every sample of the voice");
    assert!(call.runs.iter().all(|run| run.fate == Fate::Stored));
    let began = bench.facts().into_iter().find_map(|fact| match fact {
        Fact::CallBegan { call, .. } => Some(call.began.0 % 600_000),
        _ => None,
    });
    assert_eq!(began, Some(4_500), "the call began when it began, not when it was noticed");
}

fn pair(one: &str, two: &str) -> (String, String) {
    (one.to_string(), two.to_string())
}

#[test]
fn a_press_reaches_back_to_the_calls_beginning_and_no_further() {
    let mut bench = BenchBox::start(&voice(""), Files::new());
    bench.play(5 * SECOND, silence);
    bench.play(SECOND, tone(0));
    let state = bench.heard(AGENT);
    assert_eq!(value(&state, "call"), "voice-1", "news without a command: {state}");
    let said = bench.say(AGENT, "record start");
    assert_eq!(value(&said, "from"), (5 * SECOND - SECOND / 2).to_string(), "preroll is 3 s");
}

#[test]
fn a_call_never_begins_before_the_end_of_the_one_before() {
    let mut bench = BenchBox::start(&voice(EVERYTHING), Files::new());
    bench.play(5 * SECOND, silence);
    bench.play(SECOND, tone(0));
    while bench.calls().len() < 2 {
        bench.play(160, silence);
    }
    let ended = bench.at;
    bench.play(SECOND, tone(0));
    assert_eq!(bench.calls(), ["+voice-1", "-voice-1 released", "+voice-2"]);
    bench.play(6 * SECOND, silence);
    let froms: Vec<u64> = bench.stored().iter().map(|stored| stored.from).collect();
    assert_eq!(froms, [5 * SECOND - SECOND / 2, ended]);
}

#[test]
fn g1_an_open_blackout_covers_a_found_call_from_its_beginning() {
    // It once covered the call only from the moment it was noticed: its first words, which had
    // waited in the ring, were stored.
    let mut bench = BenchBox::start(&voice(EVERYTHING), Files::new());
    bench.play(5 * SECOND, silence);
    bench.play(SECOND, tone(1));
    let said = bench.say(AGENT, "blackout start");
    assert!(said.contains("ok blackout=on"), "{said}");
    bench.play(SECOND, tone(0));
    bench.play(SECOND, silence);
    assert!(bench.calls().contains(&"+voice-2".to_string()), "{:?}", bench.calls());
    let spread = bench.facts().into_iter().find_map(|fact| match fact {
        Fact::BlackoutSpread { places, .. } => Some(places),
        _ => None,
    });
    let places: Vec<_> = spread.unwrap().iter().map(|place| (place.channel, place.at.0)).collect();
    assert_eq!(places, [(1, 6 * SECOND - SECOND / 2)]);
    bench.say(CTI, "call stop device=1001 call=voice-2");
    let call = bench.stored().into_iter().find(|stored| stored.from == places[0].1).unwrap();
    assert!(call.samples.is_empty(), "{} samples left the ring", call.samples.len());
    assert!(call.runs.iter().all(|run| run.fate == Fate::Masked));
}

#[test]
fn g1_a_found_call_does_not_reach_back_into_a_blackout_that_is_over() {
    let mut bench = BenchBox::start(&voice(EVERYTHING), Files::new());
    bench.play(5 * SECOND, silence);
    bench.play(SECOND, tone(1));
    bench.say(AGENT, "blackout start");
    bench.play(SECOND / 10, tone(0));
    bench.say(AGENT, "blackout stop");
    let over = bench.at;
    bench.play(SECOND, tone(0));
    assert_eq!(bench.calls(), ["+voice-1", "+voice-2"]);
    let said = bench.say(AGENT, "status");
    assert!(said.contains("call=voice-2"), "{said}");
    bench.say(CTI, "call stop device=1001 call=voice-2");
    let froms: Vec<u64> = bench.stored().iter().map(|stored| stored.from).collect();
    assert_eq!(froms, [5 * SECOND - SECOND / 2, over]);
}

#[test]
fn g6_what_is_said_under_a_mask_decides_nothing() {
    let run = |under: i16| {
        let mut bench = BenchBox::start(&voice(EVERYTHING), Files::new());
        bench.play(5 * SECOND, silence);
        bench.play(SECOND, tone(0));
        bench.say(AGENT, "blackout start");
        let hidden =
            |channel, at| if channel > 0 { 0 } else { under * (1 - 2 * i16::from(at % 16 < 8)) };
        bench.play(20 * SECOND, hidden);
        assert_eq!(bench.calls(), ["+voice-1"], "silence under a mask ends no call");
        bench.say(AGENT, "blackout stop");
        bench.play(3 * SECOND, silence);
        let still = bench.calls();
        bench.play(2 * SECOND, silence);
        assert_eq!((still.len(), bench.calls().len()), (1, 2), "{:?}", bench.calls());
        bench.files
    };
    assert!(run(0) == run(2000), "two boxes that differ only under the mask");
}

#[test]
fn the_pbx_goes_first() {
    let mut bench = BenchBox::start(&voice(EVERYTHING), Files::new());
    bench.play(5 * SECOND, silence);
    bench.play(SECOND, tone(0));
    let at = bench.at;
    let said = bench.say(CTI, "call start device=1001 call=c1 ani=5551234 direction=in");
    assert!(said.starts_with("ok call=c1"), "{said}");
    bench.play(2 * SECOND, tone(0));
    bench.say(CTI, "call stop device=1001 call=c1");
    bench.play(6 * SECOND, words(0));
    let took_over = ["+voice-1", "-voice-1 replaced", "+c1", "-c1 stop"];
    assert_eq!(bench.calls(), took_over, "until the line is released nothing begins");
    bench.play(5 * SECOND, silence);
    bench.play(SECOND, tone(0));
    assert_eq!(bench.calls()[4..], ["+voice-3"]);
    let froms: Vec<u64> = bench.stored().iter().map(|stored| stored.from).collect();
    assert_eq!(froms, [5 * SECOND - SECOND / 2, at, bench.at - SECOND - SECOND / 2]);
}

#[test]
fn a_consult_leg_and_an_update_of_the_pbx_are_welcome() {
    let mut bench = BenchBox::start(&voice(""), Files::new());
    bench.play(5 * SECOND, silence);
    bench.play(SECOND, tone(0));
    let said = bench.say(CTI, "call start device=1001 call=voice-1 ani=777");
    assert!(said.starts_with("ok call=voice-1"), "the same id is an update: {said}");
    assert_eq!(bench.calls(), ["+voice-1"]);
    bench.say(CTI, "call start device=1001 call=c2 of=c1");
    assert_eq!(bench.calls(), ["+voice-1", "-voice-1 replaced", "+c2"]);
}

#[test]
fn a_found_call_lives_over_a_restart_until_the_line_is_released() {
    let text = voice(EVERYTHING);
    let mut bench = BenchBox::start(&text, Files::new());
    bench.play(5 * SECOND, silence);
    bench.play(SECOND, tone(0));
    let files = bench.stop();

    let mut again = BenchBox::start(&text, files);
    again.play(10 * SECOND, words(0));
    assert_eq!(again.calls(), ["+voice-1"], "it goes on");
    again.play(3 * SECOND, silence);
    let files = again.stop();

    let mut third = BenchBox::start(&text, files.clone());
    third.play(3 * SECOND, silence);
    assert_eq!(third.calls(), ["+voice-1"]);
    third.play(2 * SECOND, silence);
    assert_eq!(third.calls(), ["+voice-1", "-voice-1 released"]);
    third.play(SECOND, tone(1));
    assert_eq!(third.calls()[2..], ["+voice-2"], "ids go on too");

    let cti = text.replace("activity = \"voice\"", "activity = \"cti\"");
    let fourth = BenchBox::start(&cti, files);
    assert_eq!(fourth.calls(), ["+voice-1", "-voice-1 released"], "nobody listens any more");
}

#[test]
fn a_script_makes_calls_by_the_clock() {
    let script = "idle 2s, call in 3s ani=5551234 dnis=800, call out 1s, idle 1s";
    let text = voice(EVERYTHING)
        .replace("activity = \"voice\"", "activity = \"script\"")
        .replace("source = \"a.wav\"", &format!("source = \"a.wav\", script = \"{script}\""))
        .replace("source = \"b.wav\"", "source = \"b.wav\", script = \"idle 1h\"");
    let mut bench = BenchBox::start(&text, Files::new());
    bench.play(SECOND * 6 + SECOND / 2, silence);
    let all = ["+script-1", "-script-1 released", "+script-2", "-script-2 released"];
    assert_eq!(bench.calls(), all);
    bench.play(3 * SECOND, tone(0));
    assert_eq!(bench.calls()[4..], ["+script-3"], "it goes round");
    let began = |fact| match fact {
        Fact::CallBegan { call, numbers } => Some((call.direction, numbers.0.len())),
        _ => None,
    };
    let ways: Vec<_> = bench.facts().into_iter().filter_map(began).collect();
    assert_eq!(ways.len(), 3);
    assert!(ways[0].1 > ways[1].1, "the numbers are those of the step");
    assert_ne!(ways[0].0, ways[1].0);
    let froms: Vec<u64> = bench.stored().iter().map(|stored| stored.from).collect();
    assert_eq!(froms, [2 * SECOND, 5 * SECOND, 9 * SECOND]);
    let files = bench.stop();
    let mut again = BenchBox::start(&text, files);
    again.play(3 * SECOND, silence);
    assert_eq!(again.calls()[5..], ["-script-3 released", "+script-4"], "it begins anew");
}
