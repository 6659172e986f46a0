//! Boxes without a PBX: lines that are seized and released begin and end calls, and everything
//! else follows as if a feed had said so.
//!
//! The line is silent but for tones, so that every stored sample is known (codec pcm).

#![allow(clippy::unwrap_used, clippy::expect_used)]

use hushbox::audio::span::Fate;
use hushbox::store::fact::Fact;
use std::collections::BTreeMap;
use testkit::sim::SimBox;
use testkit::sim::stored::Stored;

const SECOND: u64 = 8000;
/// Frames of 20 ms.
const PERIOD: u64 = 160;

/// A voice board of two phones, both Jane's.
fn voice(more: &str) -> String {
    format!(
        r#"
[box]
name = "box-01"
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
fn tone(channel: usize) -> impl Fn(usize, u64) -> i16 + 'static {
    move |other, at| match (other == channel, at % 16 < 8) {
        (true, true) => 2000,
        (true, false) => -2000,
        (false, _) => 0,
    }
}

/// The same, with a gap of 0.2 s after every word of 0.4 s.
fn words(channel: usize) -> impl Fn(usize, u64) -> i16 + 'static {
    move |other, at| if at % 4800 < 3200 { tone(channel)(other, at) } else { 0 }
}

fn silence(_: usize, _: u64) -> i16 {
    0
}

/// The simulated box, its phone lines, and the two clients of these tests.
struct PhoneLines {
    sim: SimBox,
    cti: u32,
    agent: u32,
}

impl PhoneLines {
    fn start(config: &str) -> PhoneLines {
        let mut lines = PhoneLines { sim: SimBox::new(config, 1), cti: 0, agent: 0 };
        lines.connect();
        lines
    }

    fn connect(&mut self) {
        self.cti = self.sim.hello("cti user=pbx machine=pbx");
        self.agent = self.sim.hello("agent user=jdoe machine=WS-1");
    }

    fn restart(&mut self) {
        self.sim.restart(false);
        self.connect();
    }

    /// Position of every channel.
    fn at(&self) -> u64 {
        self.sim.head(0)
    }

    /// So many frames more on every channel; `wave` gives the sample of a channel at a position.
    fn play(&mut self, frames: u64, wave: impl Fn(usize, u64) -> i16 + 'static) {
        assert_eq!(frames % PERIOD, 0);
        self.sim.wave = Some(Box::new(wave));
        self.sim.run_ms(frames / 8);
    }

    /// One line of the call feed; everything it was sent since the last one.
    fn cti(&mut self, line: &str) -> String {
        self.sim.say(self.cti, line).join("\n")
    }

    fn agent(&mut self, line: &str) -> String {
        self.sim.say(self.agent, line).join("\n")
    }

    /// Every recording, in the order of their positions.
    fn stored(&self) -> Vec<Stored> {
        let ids = self.sim.recordings().into_iter();
        let mut all: Vec<Stored> = ids.map(|id| self.sim.stored(&id.to_string())).collect();
        all.sort_by_key(|stored| stored.header.from);
        all
    }

    /// Where every recording begins.
    fn froms(&self) -> Vec<u64> {
        self.stored().iter().map(|stored| stored.header.from.0).collect()
    }

    /// Begins and ends of calls, `+id` and `-id why`.
    fn calls(&self) -> Vec<String> {
        let mut names = BTreeMap::new();
        let mut out = Vec::new();
        for fact in self.sim.facts() {
            match fact {
                Fact::CallBegan { call, .. } => {
                    out.push(format!("+{}", call.call));
                    names.insert(call.number, call.call);
                }
                Fact::CallEnded { number, why } => out.push(format!("-{} {why}", names[&number])),
                _ => {}
            }
        }
        out
    }
}

/// The value of `key` in the last line that has it.
fn value(said: &str, key: &str) -> String {
    let key = format!(" {key}=");
    let line = said.lines().rev().find(|line| line.contains(&key)).expect(said);
    let rest = &line[line.find(&key).unwrap() + key.len()..];
    rest.split(' ').next().unwrap().to_string()
}

#[test]
fn scheduled_call_is_stored_from_before_its_first_sound() {
    let mut lines = PhoneLines::start(&voice(EVERYTHING));
    lines.play(5 * SECOND, silence);
    lines.play(SECOND, tone(0));
    let running = lines.cti("calls");
    assert_eq!((value(&running, "call"), value(&running, "device")), pair("voice-1", "1001"));
    assert_eq!(value(&running, "reasons"), "schedule");
    lines.play(6 * SECOND, silence);
    assert_eq!(lines.calls(), ["+voice-1", "-voice-1 released"]);
    let [call] = &lines.stored()[..] else { panic!("one recording") };
    // Half a second before the first block that is loud; blocks of 20 ms begin at position 0.
    assert_eq!(call.header.from.0, 5 * SECOND - SECOND / 2);
    let first = call.samples.iter().position(|sample| *sample != 0).unwrap();
    assert_eq!(
        call.header.from.0 + first as u64,
        5 * SECOND,
        "the first loud sample, and all before it"
    );
    let loud = call.samples.iter().filter(|sample| **sample != 0).count();
    assert_eq!(loud as u64, SECOND, "every sample of the voice");
    assert!(call.runs.iter().all(|run| run.fate == Fate::Stored));
    let began = lines.sim.facts().into_iter().find_map(|fact| match fact {
        Fact::CallBegan { call, .. } => Some(call.began.0 % 600_000),
        _ => None,
    });
    assert_eq!(began, Some(4_500), "the call began when it began, not when it was noticed");
}

fn pair(one: &str, two: &str) -> (String, String) {
    (one.to_string(), two.to_string())
}

#[test]
fn press_reaches_back_to_the_start_of_the_call() {
    let mut lines = PhoneLines::start(&voice(""));
    lines.play(5 * SECOND, silence);
    lines.play(SECOND, tone(0));
    let state = lines.sim.news(lines.agent).join("\n");
    assert_eq!(value(&state, "call"), "voice-1", "news without a command: {state}");
    let said = lines.agent("record start");
    assert_eq!(value(&said, "from"), (5 * SECOND - SECOND / 2).to_string(), "preroll is 3 s");
}

#[test]
fn detected_call_begins_after_the_previous_one() {
    let mut lines = PhoneLines::start(&voice(EVERYTHING));
    lines.play(5 * SECOND, silence);
    lines.play(SECOND, tone(0));
    while lines.calls().len() < 2 {
        lines.play(160, silence);
    }
    let ended = lines.at();
    lines.play(SECOND, tone(0));
    assert_eq!(lines.calls(), ["+voice-1", "-voice-1 released", "+voice-2"]);
    lines.play(6 * SECOND, silence);
    assert_eq!(lines.froms(), [5 * SECOND - SECOND / 2, ended]);
}

#[test]
fn g1_blackout_covers_detected_call_from_its_start() {
    // It once covered the call only from the moment it was noticed: its first words, which had
    // waited in the ring, were stored.
    let mut lines = PhoneLines::start(&voice(EVERYTHING));
    lines.play(5 * SECOND, silence);
    lines.play(SECOND, tone(1));
    let said = lines.agent("blackout start");
    assert!(said.contains("ok blackout=on"), "{said}");
    lines.play(SECOND, tone(0));
    lines.play(SECOND, silence);
    assert!(lines.calls().contains(&"+voice-2".to_string()), "{:?}", lines.calls());
    let spread = lines.sim.facts().into_iter().find_map(|fact| match fact {
        Fact::BlackoutSpread { places, .. } => Some(places),
        _ => None,
    });
    let places: Vec<_> = spread.unwrap().iter().map(|place| (place.channel, place.at.0)).collect();
    assert_eq!(places, [(1, 6 * SECOND - SECOND / 2)]);
    lines.cti("call stop device=1001 call=voice-2");
    let call =
        lines.stored().into_iter().find(|stored| stored.header.from.0 == places[0].1).unwrap();
    assert_eq!(call.ledger.stored, 0, "samples left the ring");
    assert!(call.runs.iter().all(|run| run.fate == Fate::Masked));
}

#[test]
fn g1_detected_call_starts_after_a_closed_blackout() {
    let mut lines = PhoneLines::start(&voice(EVERYTHING));
    lines.play(5 * SECOND, silence);
    lines.play(SECOND, tone(1));
    lines.agent("blackout start");
    lines.play(SECOND / 10, tone(0));
    lines.agent("blackout stop");
    let over = lines.at();
    lines.play(SECOND, tone(0));
    assert_eq!(lines.calls(), ["+voice-1", "+voice-2"]);
    let said = lines.agent("status");
    assert!(said.contains("call=voice-2"), "{said}");
    lines.cti("call stop device=1001 call=voice-2");
    assert_eq!(lines.froms(), [5 * SECOND - SECOND / 2, over]);
}

#[test]
fn g6_masked_audio_decides_no_detection() {
    let run = |under: i16| {
        let mut lines = PhoneLines::start(&voice(EVERYTHING));
        lines.play(5 * SECOND, silence);
        lines.play(SECOND, tone(0));
        lines.agent("blackout start");
        let hidden = move |channel: usize, at: u64| {
            if channel > 0 { 0 } else { under * (1 - 2 * i16::from(at % 16 < 8)) }
        };
        lines.play(20 * SECOND, hidden);
        assert_eq!(lines.calls(), ["+voice-1"], "silence under a mask ends no call");
        lines.agent("blackout stop");
        lines.play(3 * SECOND, silence);
        let still = lines.calls();
        lines.play(2 * SECOND, silence);
        assert_eq!((still.len(), lines.calls().len()), (1, 2), "{:?}", lines.calls());
        lines.sim.disk.live
    };
    assert!(run(0) == run(2000), "two boxes that differ only under the mask");
}

#[test]
fn pbx_call_replaces_detected_call() {
    let mut lines = PhoneLines::start(&voice(EVERYTHING));
    lines.play(5 * SECOND, silence);
    lines.play(SECOND, tone(0));
    let at = lines.at();
    let said = lines.cti("call start device=1001 call=c1 ani=5551234 direction=in");
    assert!(said.starts_with("ok call=c1"), "{said}");
    lines.play(2 * SECOND, tone(0));
    lines.cti("call stop device=1001 call=c1");
    lines.play(6 * SECOND, words(0));
    let took_over = ["+voice-1", "-voice-1 replaced", "+c1", "-c1 stop"];
    assert_eq!(lines.calls(), took_over, "until the line is released nothing begins");
    lines.play(5 * SECOND, silence);
    lines.play(SECOND, tone(0));
    assert_eq!(lines.calls()[4..], ["+voice-3"]);
    assert_eq!(lines.froms(), [5 * SECOND - SECOND / 2, at, lines.at() - SECOND - SECOND / 2]);
}

#[test]
fn pbx_updates_and_consults_a_detected_call() {
    let mut lines = PhoneLines::start(&voice(""));
    lines.play(5 * SECOND, silence);
    lines.play(SECOND, tone(0));
    let said = lines.cti("call start device=1001 call=voice-1 ani=777");
    assert!(said.starts_with("ok call=voice-1"), "the same id is an update: {said}");
    assert_eq!(lines.calls(), ["+voice-1"]);
    lines.cti("call start device=1001 call=c2 of=c1");
    assert_eq!(lines.calls(), ["+voice-1", "-voice-1 replaced", "+c2"]);
}

/// A detected call that is kept over a restart.
fn call_over_a_restart() -> PhoneLines {
    let mut lines = PhoneLines::start(&voice(EVERYTHING));
    lines.play(5 * SECOND, silence);
    lines.play(SECOND, tone(0));
    lines.restart();
    lines.play(10 * SECOND, words(0));
    assert_eq!(lines.calls(), ["+voice-1"], "it goes on");
    lines.play(3 * SECOND, silence);
    lines
}

#[test]
fn detected_call_survives_restart_until_released() {
    let mut lines = call_over_a_restart();
    lines.restart();
    lines.play(3 * SECOND, silence);
    assert_eq!(lines.calls(), ["+voice-1"]);
    lines.play(2 * SECOND, silence);
    assert_eq!(lines.calls(), ["+voice-1", "-voice-1 released"]);
    lines.play(SECOND, tone(1));
    assert_eq!(lines.calls()[2..], ["+voice-2"], "ids go on too");
}

#[test]
fn detected_call_ends_when_detection_is_switched_off() {
    let mut lines = call_over_a_restart();
    let cti = voice(EVERYTHING).replace("activity = \"voice\"", "activity = \"cti\"");
    lines.sim.config = hushbox::config::parse(&cti).unwrap().0;
    lines.restart();
    assert_eq!(lines.calls(), ["+voice-1", "-voice-1 released"]);
}

#[test]
fn scripted_calls_follow_the_clock() {
    let script = "idle 2s, call in 3s ani=5551234 dnis=800, call out 1s, idle 1s";
    let text = voice(EVERYTHING)
        .replace("activity = \"voice\"", "activity = \"script\"")
        .replace("source = \"a.wav\"", &format!("source = \"a.wav\", script = \"{script}\""))
        .replace("source = \"b.wav\"", "source = \"b.wav\", script = \"idle 1h\"");
    let mut lines = PhoneLines::start(&text);
    lines.play(SECOND * 6 + SECOND / 2, silence);
    let all = ["+script-1", "-script-1 released", "+script-2", "-script-2 released"];
    assert_eq!(lines.calls(), all);
    lines.play(3 * SECOND, tone(0));
    assert_eq!(lines.calls()[4..], ["+script-3"], "it goes round");
    let began = |fact| match fact {
        Fact::CallBegan { call, numbers } => Some((call.direction, numbers.0.len())),
        _ => None,
    };
    let ways: Vec<_> = lines.sim.facts().into_iter().filter_map(began).collect();
    assert_eq!(ways.len(), 3);
    assert!(ways[0].1 > ways[1].1, "the numbers are those of the step");
    assert_ne!(ways[0].0, ways[1].0);
    assert_eq!(lines.froms(), [2 * SECOND, 5 * SECOND, 9 * SECOND]);
    lines.restart();
    lines.play(3 * SECOND, silence);
    assert_eq!(lines.calls()[5..], ["-script-3 released", "+script-4"], "it begins anew");
}
