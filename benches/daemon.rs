//! The real `hushboxd` with 64 simulated channels: how long it takes to be ready, what memory and
//! processor it needs, and how quickly a blackout acts.
//!
//! Here time is that of the clock on the wall: starting and syncing wait for the disk. A busy
//! machine or a slow disk shows. No number is judged here.

#[path = "rig/daemon.rs"]
mod daemon;
#[path = "rig/facts.rs"]
mod facts;
#[path = "rig/numbers.rs"]
mod numbers;

use daemon::{Client, Daemon, lay_out, pause_ms, value};
use hushbox::shell::os::clock::Clock;
use numbers::{Series, head, percentiles, row};
use std::path::Path;
use testkit::load::plan::{Plan, RATE, device};

const PLAN: Plan = Plan { channels: 64, codec: "opus" };
const STARTS: usize = 7;
const FACTS: usize = 10_000;
const PRESSES: usize = 200;

fn main() {
    println!("hushboxd, {} simulated channels of 8 kHz mono speech, opus, sealed", PLAN.channels);
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    starts(folder.path());
    let config = lay_out(folder.path(), PLAN);
    let (mut idle, mut recording, mut processor) = Default::default();
    for _ in 0..3 {
        running(&config, &mut idle, &mut recording, &mut processor);
    }
    head("memory that is resident, MB", &["median", "min", "max"]);
    row("idle", &idle);
    row("64 recordings running", &recording);
    head("processor time for each second, percent", &["median", "min", "max"]);
    row("64 recordings running, all threads", &processor);
    blackouts(&config);
}

fn starts(folder: &Path) {
    head("from process start to `ready`, ms", &["median", "min", "max"]);
    let (mut first, mut again, mut full) =
        (Series::default(), Series::default(), Series::default());
    for n in 0..STARTS {
        let place = folder.join(format!("start-{n}"));
        std::fs::create_dir(&place).expect("a folder");
        let config = lay_out(&place, PLAN);
        first.push(ready_ms(&config));
        again.push(ready_ms(&config));
        std::fs::remove_dir_all(place.join("data")).expect("an old store");
        facts::write(&place.join("data"), Clock::start().now().wall, FACTS);
        ready_ms(&config);
        full.push(ready_ms(&config));
    }
    row("first start: folders and keys are made", &first);
    row("empty store", &again);
    row("store of 10 000 facts", &full);
}

fn ready_ms(config: &Path) -> f64 {
    Daemon::start(config).ready_us as f64 / 1000.0
}

/// A recording on every channel, and everybody's session.
fn record_all(daemon: &Daemon) -> (Client, Vec<Client>) {
    let mut feed = daemon.connect("hello cti");
    let mut agents = Vec::new();
    for n in 0..PLAN.channels {
        let device = device(n);
        let mut agent = daemon.connect(&format!("hello agent user=u{device}"));
        feed.ask_until(&format!("call start device={device} call=c{device}"), good);
        // Busy, until the data keys of the first recordings are made.
        agent.ask_until("record start", good);
        agents.push(agent);
    }
    (feed, agents)
}

fn good(answer: &[String]) -> bool {
    answer.last().is_some_and(|line| line.starts_with("ok"))
}

fn running(config: &Path, idle: &mut Series, recording: &mut Series, processor: &mut Series) {
    let daemon = Daemon::start(config);
    let mut feed = daemon.connect("hello cti");
    // The ring has gone round once and the data keys are made.
    feed.wait_for(7 * RATE);
    idle.push(daemon.memory_mb("VmRSS"));
    let (mut feed, _agents) = record_all(&daemon);
    let began = position(&mut feed) + 4 * RATE;
    feed.wait_for(began);
    let (before, from) = (daemon.processor_s(), position(&mut feed));
    feed.wait_for(from + 5 * RATE);
    let seconds = (position(&mut feed) - from) as f64 / RATE as f64;
    processor.push((daemon.processor_s() - before) / seconds * 100.0);
    recording.push(daemon.memory_mb("VmRSS"));
}

fn position(feed: &mut Client) -> u64 {
    let rows = feed.ask("channels");
    rows.iter().filter_map(|line| value(line, "position")).min().expect("a channel")
}

/// What the client sees of a press.
#[derive(Default)]
struct Seen {
    took_us: Series,
    /// Until the `state` line, which waits for nobody.
    state_us: Series,
    /// Until the receipt, which waits for the disk.
    receipt_us: Series,
}

fn blackouts(config: &Path) {
    let daemon = Daemon::start(config);
    let (mut feed, mut agents) = record_all(&daemon);
    let began = position(&mut feed) + 4 * RATE;
    feed.wait_for(began);
    let agent = &mut agents[0];
    agent.ask("ping");
    let (mut start, mut stop) = (Seen::default(), Seen::default());
    for n in 0..PRESSES {
        // So that presses fall into any part of the 20 ms between two periods.
        pause_ms(n as u64 * 7 % 23);
        press(agent, ("blackout start", "blackout=on"), &mut start);
        press(agent, ("blackout stop", "blackout=off"), &mut stop);
    }
    let which = [50, 90, 99, 100];
    let title = format!("a blackout, {PRESSES} times, microseconds");
    head(&title, &["p50", "p90", "p99", "worst"]);
    percentiles("start: took_us of the receipt", &start.took_us, &which);
    percentiles("start: until `state`, without the disk", &start.state_us, &which);
    percentiles("start: until the receipt, with the disk", &start.receipt_us, &which);
    percentiles("stop: until `state`, without the disk", &stop.state_us, &which);
    percentiles("stop: until the receipt, with the disk", &stop.receipt_us, &which);
}

fn press(agent: &mut Client, (command, state): (&str, &str), seen: &mut Seen) {
    let clock = Clock::start();
    agent.send(command);
    let (mut told, mut answered) = (false, false);
    while !(told && answered) {
        let line = agent.line();
        let us = clock.now().mono.0 as f64;
        if line.starts_with("state") && line.contains(state) {
            seen.state_us.push(us);
            told = true;
        }
        if line.starts_with("ok") {
            seen.receipt_us.push(us);
            value(&line, "took_us").into_iter().for_each(|us| seen.took_us.push(us as f64));
            answered = true;
        }
        assert!(!line.starts_with("err"), "{line}");
    }
}
