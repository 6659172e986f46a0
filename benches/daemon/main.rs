//! The real `hushboxd` with 64 simulated channels: startup time, memory, CPU, and blackout
//! latency.
//!
//! Times are wall-clock, because startup and syncs wait for the disk. A busy machine or a slow
//! disk affects the results. There are no pass or fail limits.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod facts;

use hushbox::shell::os::clock::Clock;
use std::path::Path;
use std::time::Duration;
use testkit::daemon::client::Client;
use testkit::daemon::{Daemon, let_pass};
use testkit::load::numbers::{Series, head, percentiles, row};
use testkit::load::plan::{LoadPlan, RATE, device};
use testkit::load::{ask_until_ok, await_all, position_of_all};

const PLAN: LoadPlan = LoadPlan { channels: 64, codec: "opus", sides: 1 };
const STARTS: usize = 7;
const FACTS: usize = 10_000;
const PRESSES: usize = 200;

fn main() {
    println!("hushboxd, {} simulated channels of 8 kHz mono speech, opus, sealed", PLAN.channels);
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    starts(folder.path());
    let mut daemon = Daemon::new_in(folder.path(), PLAN.site());
    let (mut idle, mut recording, mut processor) = Default::default();
    for _ in 0..3 {
        running(&mut daemon, &mut idle, &mut recording, &mut processor);
    }
    head("memory that is resident, MB", &["median", "min", "max"]);
    row("idle", &idle);
    row("64 recordings running", &recording);
    head("processor time for each second, percent", &["median", "min", "max"]);
    row("64 recordings running, all threads", &processor);
    blackouts(&mut daemon);
}

fn starts(folder: &Path) {
    head("from process start to `ready`, ms", &["median", "min", "max"]);
    let (mut first, mut again, mut full) =
        (Series::default(), Series::default(), Series::default());
    for _ in 0..STARTS {
        let mut daemon = Daemon::new_in(folder, PLAN.site());
        first.push(ready_ms(&mut daemon));
        again.push(ready_ms(&mut daemon));
        std::fs::remove_dir_all(daemon.data()).expect("an old store");
        facts::write(&daemon.data(), Clock::start().now().wall, FACTS);
        ready_ms(&mut daemon);
        full.push(ready_ms(&mut daemon));
    }
    row("first start: folders and keys are made", &first);
    row("empty store", &again);
    row("store of 10 000 facts", &full);
}

fn ready_ms(daemon: &mut Daemon) -> f64 {
    daemon.start();
    daemon.stop();
    daemon.ready_in.as_secs_f64() * 1000.0
}

/// Starts a recording on every channel, and returns the sessions.
fn record_all(daemon: &Daemon) -> (Client, Vec<Client>) {
    let mut feed = daemon.client("hello cti");
    let mut agents = Vec::new();
    for n in 0..PLAN.channels {
        let device = device(n);
        let mut agent = daemon.client(&format!("hello agent user=u{device}"));
        ask_until_ok(&mut feed, &format!("call start device={device} call=c{device}"));
        // Busy until the data keys of the first recordings are made.
        ask_until_ok(&mut agent, "record start");
        agents.push(agent);
    }
    (feed, agents)
}

fn running(daemon: &mut Daemon, idle: &mut Series, recording: &mut Series, processor: &mut Series) {
    daemon.start();
    let mut feed = daemon.client("hello cti");
    // The ring has wrapped once and the data keys are made.
    await_all(&mut feed, 7 * RATE);
    idle.push(daemon.memory_mb("VmRSS"));
    let (mut feed, _agents) = record_all(daemon);
    let began = position_of_all(&mut feed) + 4 * RATE;
    await_all(&mut feed, began);
    let (before, from) = (daemon.processor_s(), position_of_all(&mut feed));
    await_all(&mut feed, from + 5 * RATE);
    let seconds = (position_of_all(&mut feed) - from) as f64 / RATE as f64;
    processor.push((daemon.processor_s() - before) / seconds * 100.0);
    recording.push(daemon.memory_mb("VmRSS"));
    daemon.stop();
}

/// Latencies of a blackout as the client sees them.
#[derive(Default)]
struct Seen {
    took_us: Series,
    /// Until the `state` line, which does not wait for the disk.
    state_us: Series,
    /// Until the receipt, which waits for the disk.
    receipt_us: Series,
}

fn blackouts(daemon: &mut Daemon) {
    daemon.start();
    let (mut feed, mut agents) = record_all(daemon);
    let began = position_of_all(&mut feed) + 4 * RATE;
    await_all(&mut feed, began);
    let agent = &mut agents[0];
    agent.ask("ping");
    let (mut start, mut stop) = (Seen::default(), Seen::default());
    for n in 0..PRESSES {
        // Spreads presses over the 20 ms between two periods.
        let_pass(Duration::from_millis(n as u64 * 7 % 23));
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
    let (mut notified, mut answered) = (false, false);
    while !(notified && answered) {
        let line = agent.line().expect("a line");
        let us = clock.now().mono.0 as f64;
        if line.verb() == "state" && line.text.contains(state) {
            seen.state_us.push(us);
            notified = true;
        }
        if line.verb() == "ok" {
            seen.receipt_us.push(us);
            let took_us = line.pairs.get("took_us").and_then(|us| us.parse().ok());
            took_us.into_iter().for_each(|us| seen.took_us.push(us));
            answered = true;
        }
        assert_ne!(line.verb(), "err", "{}", line.text);
    }
}
