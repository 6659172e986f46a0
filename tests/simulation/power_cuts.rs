//! A power cut at every single job of the disk; what was not synced is gone, whole, or torn.
//!
//! There are a few short scripts. Each is run again for each job, up to that job; then the box must
//! come back from each kind of remains with everything that was acknowledged. `make power-cuts`
//! cuts a second time, at each job of the start that follows. Each cut also interrupts the recovery
//! in each of its steps (see `testkit::world::check`).

use std::panic::{AssertUnwindSafe, catch_unwind};
use testkit::sim::disk::Tail;
use testkit::world::{World, WorldSettings};

type Script = fn(&mut World);

const SCRIPTS: [(&str, Script); 8] = [
    ("one agent", |house| {
        house.feed(1, "call start device=1001 call=c1 ani=5551234");
        house.agent(1, "record start");
        house.run_ms(1000);
        house.agent(1, "blackout start");
        house.run_ms(400);
        house.agent(1, "update 1 \"Roe\"");
        house.run_ms(400);
        house.agent(1, "blackout stop");
        house.run_ms(800);
        house.agent(1, "record stop");
        house.run_ms(800);
        house.feed(1, "call stop device=1001 call=c1");
    }),
    ("a restart inside a blackout", |house| {
        house.feed(2, "call start device=1002 call=c1");
        house.agent(2, "record start");
        house.run_ms(700);
        house.agent(2, "blackout start");
        house.run_ms(400);
        if !house.dead() {
            house.cut(|_, _| None);
        }
        house.run_ms(700);
        house.agent(2, "blackout stop");
        house.run_ms(700);
    }),
    ("two agents", |house| {
        house.feed(1, "call start device=1001 call=c1");
        house.feed(3, "call start device=1003 call=c2");
        house.agent(1, "record start");
        house.run_ms(300);
        house.agent(3, "record start");
        house.agent(1, "blackout start");
        house.run_ms(500);
        house.agent(3, "update 3 \"x\"");
        house.agent(3, "blackout start lead_ms=100");
        house.agent(1, "blackout stop");
        house.run_ms(900);
        house.feed(1, "call stop device=1001 call=c1");
        house.run_ms(300);
    }),
    ("midnight", |house| {
        house.feed(1, "call start device=1001 call=c1");
        house.agent(1, "record start");
        house.run_ms(600);
        house.agent(1, "blackout start");
        house.sim.now.wall.0 += 12 * 3_600_000;
        house.run_ms(300);
        house.agent(1, "update 1 \"late\"");
        house.agent(1, "blackout stop");
        house.run_ms(900);
    }),
    ("a late press", |house| {
        house.feed(2, "call start device=1002 call=c1");
        house.run_ms(700);
        house.agent(2, "blackout start");
        house.run_ms(500);
        house.agent(2, "blackout stop");
        house.run_ms(900);
        house.agent(2, "record start");
        house.run_ms(300);
        house.agent(2, "update 1 \"late\"");
        house.feed(2, "call stop device=1002 call=c1");
        house.run_ms(300);
    }),
    ("a slow disk", |house| {
        house.sim.disk.delay_us = 30_000;
        house.feed(1, "call start device=1001 call=c1 ani=5551234");
        house.agent(1, "record start");
        house.feed(3, "call start device=1003 call=c2");
        house.run_ms(700);
        house.agent(1, "blackout start");
        house.agent(3, "record start");
        house.run_ms(100);
        house.boss(1, "blackout start agent=a1");
        house.agent(1, "update 1 \"Roe\"");
        house.run_ms(200);
        house.agent(1, "blackout stop");
        house.boss(1, "blackout stop agent=a1");
        house.run_ms(40);
        house.feed(3, "call stop device=1003 call=c2");
        house.agent(1, "record stop");
        house.run_ms(900);
    }),
    ("a stop that is long on its way", |house| {
        house.feed(1, "call start device=1001 call=c1");
        house.agent(1, "record start");
        house.run_ms(700);
        house.agent(1, "blackout start");
        house.run_ms(580);
        // What is heard after the stop is the end of a chunk that is written before the next sync.
        house.sim.disk.delay_us = 500_000;
        house.known.troubled = true;
        house.agent(1, "update 1 \"Roe\"");
        house.run_ms(20);
        house.agent(1, "blackout stop");
        house.run_ms(1600);
    }),
    ("a stop in order", |house| {
        house.feed(1, "call start device=1001 call=c1");
        house.feed(2, "call start device=1002 call=c2");
        house.agent(1, "record start");
        house.agent(2, "record start");
        house.run_ms(700);
        house.agent(2, "blackout start");
        house.run_ms(200);
        house.restart();
        house.run_ms(700);
        house.agent(2, "blackout stop");
    }),
];

fn site(name: &str) -> WorldSettings {
    match name {
        "a late press" => WorldSettings { recall: "10m", ..WorldSettings::default() },
        "two agents" => WorldSettings { scope: "call", ..WorldSettings::default() },
        "a stop that is long on its way" => {
            WorldSettings { holdback_ms: 200, lead_ms: 100, ..WorldSettings::default() }
        }
        _ => WorldSettings::default(),
    }
}

/// What is left of a file's unsynced bytes; several ways.
const WAYS: usize = 7;

fn tail(way: usize, path: &str, bytes: usize) -> Option<Tail> {
    let journal = path.starts_with("journal");
    let whole = |whole: usize| Some(Tail { whole: whole.min(bytes), zeros: 0 });
    match way {
        0 => None,
        1 => whole(bytes),
        2 => whole(if journal { bytes } else { 0 }),
        3 if journal => None,
        3 => whole(bytes),
        4 => whole(bytes.saturating_sub(1)),
        5 => whole(1),
        _ => Some(Tail { whole: bytes / 2, zeros: bytes - bytes / 2 }),
    }
}

/// What happened so far.
#[derive(Default)]
struct Tally {
    cuts: u64,
    losses: Vec<u64>,
}

/// Tells a script up to its `at`th job. `None`: it is shorter.
fn told(name: &str, script: Script, at: u64) -> Option<World> {
    let mut house = World::new(site(name), 1);
    house.sim.disk.cut_at = Some(house.sim.disk.jobs + at);
    script(&mut house);
    house.dead().then_some(house)
}

/// The plug is pulled at the `at`th job, and `soon` jobs later again. False: by then all was quiet.
fn cut(mut house: World, way: usize, soon: Option<u64>, tally: &mut Tally) -> bool {
    house.sim.disk.begin_last();
    house.cut_again(|path, bytes| tail(way, path, bytes), soon);
    house.run_ms(700);
    let again = soon.is_none() || house.sim.disk.cut_at.is_none() || house.dead();
    house.cut(|path, bytes| tail((way + 3) % WAYS, path, bytes));
    tally.cuts += 1;
    tally.losses.append(&mut house.losses);
    again
}

fn every_cut(name: &str, script: Script, pairs: bool) -> Tally {
    let mut tally = Tally::default();
    for at in 1.. {
        if told(name, script, at).is_none() {
            break;
        }
        for way in 0..WAYS {
            for soon in 1.. {
                let house = told(name, script, at).expect("it is the same every time");
                let soon = pairs.then_some(soon);
                let cut = || cut(house, way, soon, &mut tally);
                let more = catch_unwind(AssertUnwindSafe(cut));
                let more = more.unwrap_or_else(|_| panic!("{name}: job {at}, way {way}, {soon:?}"));
                if !pairs || !more {
                    break;
                }
            }
        }
    }
    tally
}

/// All scripts, each in a thread of its own.
fn every_script(pairs: bool) {
    let tallies: Vec<(&str, Tally)> = std::thread::scope(|scope| {
        let start = |(name, script)| (name, scope.spawn(move || every_cut(name, script, pairs)));
        let threads: Vec<_> = SCRIPTS.into_iter().map(start).collect();
        let join = |(name, thread): (_, std::thread::ScopedJoinHandle<Tally>)| {
            (name, thread.join().unwrap_or_else(|_| panic!("{name} failed, see above")))
        };
        threads.into_iter().map(join).collect()
    });
    let mut losses = Vec::new();
    for (name, mut tally) in tallies {
        println!("{name}: {} cuts", tally.cuts);
        assert!(tally.cuts > 50, "{name} has too few jobs");
        losses.append(&mut tally.losses);
    }
    testkit::world::cut::print_losses(&mut losses);
}

#[test]
fn g1_g5_h3_cut_at_every_disk_job_keeps_promises() {
    every_script(false);
}

#[test]
#[ignore = "long; `make power-cuts` runs it"]
fn g1_g5_h3_cut_at_every_job_and_again_during_restart() {
    every_script(true);
}
