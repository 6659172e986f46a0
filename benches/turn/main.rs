//! Cost of one 20 ms turn for 64 recorded channels, compared with bare libopus on the same audio.
//!
//! The recorder is the box's own; `testkit::load::turns` drives it. Recorder and libopus
//! alternate in short blocks on one thread. The thread's CPU time is measured, so a busy machine
//! disturbs both alike and little. There are no pass or fail limits.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bare;

use bare::Bare;
use nix::time::{ClockId, clock_gettime};
use testkit::load::numbers::{Series, head, percentiles, row};
use testkit::load::plan::LoadPlan;
use testkit::load::turns::{HOLDBACK_TURNS, Turns};

const CHANNELS: u16 = 64;
const BLACKOUTS: u16 = 16;

/// Turns per block: every recording flushes one half-second chunk in it.
const BLOCK: usize = 25;

fn main() {
    println!("one turn of 20 ms, {CHANNELS} recorded channels of 8 kHz mono speech, sealed");
    println!("(all times are processor time of the one thread)");
    let mut turns = Series::default();
    opus(0, &mut turns);
    opus(BLACKOUTS, &mut turns);
    head("microseconds of a single turn", &["p50", "p90", "p99", "worst"]);
    percentiles("opus, no blackout and 16 of them", &turns, &[50, 90, 99, 100]);
    head("a turn with the other codecs, microseconds", &["median", "min", "max"]);
    for (codec, channels) in [("ulaw", 64), ("pcm", 64), ("pcm", 16), ("pcm", 256)] {
        plain(LoadPlan { channels, codec, sides: 1 }, 0);
    }
    head("calls with two legs, microseconds a turn", &["median", "min", "max"]);
    for (channels, loses_one_in) in [(250, 0), (1000, 0), (1000, 50), (2000, 0)] {
        plain(LoadPlan { channels, codec: "ulaw", sides: 2 }, loses_one_in);
    }
    allocations();
}

/// CPU time of this thread in microseconds.
fn us() -> f64 {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("the thread's clock");
    time.tv_sec() as f64 * 1e6 + time.tv_nsec() as f64 / 1e3
}

fn open_blackouts(turns: &mut Turns, count: u16) {
    // Uses the last channels, so that the first ones are those that both sides encode.
    for n in CHANNELS - count..CHANNELS {
        turns.line(Turns::agent(n), "blackout start");
    }
    turns.turns(HOLDBACK_TURNS);
    assert_eq!(turns.said.matches("ok blackout=on").count(), usize::from(count));
}

/// Alternates the recorder with Opus and bare libopus; adds the cost of each turn to `each`.
fn opus(blackouts: u16, each: &mut Series) {
    let mut turns = Turns::recording(LoadPlan { channels: CHANNELS, codec: "opus", sides: 1 });
    open_blackouts(&mut turns, blackouts);
    let coded = usize::from(CHANNELS - blackouts);
    let mut bare = Bare::new(coded);
    let (mut box_us, mut bare_us, mut ratio) = Default::default();
    let (mut box_bytes, blocks) = (0, 60);
    for block in 0..blocks {
        let at = turns.turn;
        let before = turns.media_bytes;
        let box_spent = box_block(&mut turns, each);
        box_bytes += turns.media_bytes - before;
        let bare_spent = bare_block(&mut bare, &turns, at, coded);
        if block > 0 {
            note(&mut box_us, &mut bare_us, &mut ratio, (box_spent, bare_spent));
        }
    }
    let title = format!("opus 16 kbit/s, {blackouts} blackouts open");
    head(&title, &["median", "min", "max"]);
    row("recorder, microseconds a turn", &box_us);
    row(&format!("bare libopus on {coded} channels, the same"), &bare_us);
    row("recorder / bare libopus", &ratio);
    let each_turn = (blocks * BLOCK) as u64;
    println!(
        "bytes a turn: {} to the disk, of which some {} are packets",
        box_bytes / each_turn,
        bare.bytes / each_turn
    );
}

fn note(box_us: &mut Series, bare_us: &mut Series, ratio: &mut Series, spent: (f64, f64)) {
    box_us.push(spent.0 / BLOCK as f64);
    bare_us.push(spent.1 / BLOCK as f64);
    ratio.push(spent.0 / spent.1);
}

fn box_block(turns: &mut Turns, each: &mut Series) -> f64 {
    let began = us();
    let mut last = began;
    for _ in 0..BLOCK {
        turns.turns(1);
        let now = us();
        each.push(now - last);
        last = now;
    }
    last - began
}

/// Encodes what the recorder encoded in the turns from `at` on: audio of one holdback earlier.
fn bare_block(bare: &mut Bare, turns: &Turns, at: usize, channels: usize) -> f64 {
    let mut spent = 0.0;
    for turn in at..at + BLOCK {
        bare.lay_out(&turns.speech, turn - HOLDBACK_TURNS);
        let began = us();
        bare.code(channels);
        spent += us() - began;
    }
    spent
}

/// Measures the codecs whose own cost is small, so that the recorder's cost remains.
fn plain(plan: LoadPlan, loses_one_in: usize) {
    let mut turns = Turns::recording(plan);
    turns.loses_one_in = loses_one_in;
    turns.turns(HOLDBACK_TURNS);
    let (mut cost, mut each) = (Series::default(), Series::default());
    (0..60).for_each(|_| cost.push(box_block(&mut turns, &mut each) / BLOCK as f64));
    let lost = if loses_one_in > 0 { ", 2 % of the packets lost" } else { "" };
    row(&format!("{}, {} channels{lost}", plan.codec, plan.channels), &cost);
}

/// Counts heap allocations in steady state, by part of the turn.
fn allocations() {
    type Part = (&'static str, fn(&mut Turns));
    let parts: [Part; 4] = [
        ("periods come in", Turns::capture),
        ("answers of the disk come in", Turns::answer),
        ("turn: deadlines, release, codec, seal, journal", Turns::end_turn),
        ("outputs go out", Turns::hand_out),
    ];
    let mut turns = Turns::recording(LoadPlan { channels: CHANNELS, codec: "opus", sides: 1 });
    open_blackouts(&mut turns, BLACKOUTS);
    let mut counts = [0; 4];
    for _ in 0..500 {
        for (place, (_, part)) in parts.iter().enumerate() {
            counts[place] += allocation_counter::measure(|| part(&mut turns)).count_total;
        }
    }
    println!("\n{:<50}{:>14}", "heap allocations in 500 turns after warm-up", "allocations");
    println!("{}", "-".repeat(64));
    for ((name, _), count) in parts.iter().zip(counts) {
        println!("{name:<50}{count:>14}");
    }
}
