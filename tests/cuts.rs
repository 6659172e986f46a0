//! The plug is pulled at every single job of the disk, and what was not synced is gone, whole, or
//! torn.
//!
//! A handful of short scripts. Each is told anew for every job, up to that job, and then the box
//! has to come back from each kind of remains with everything that was promised. `make cuts` pulls
//! the plug a second time, at every job of the start that follows.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod oracle;
mod sim;

use oracle::{House, Site};
use sim::disk::Tail;

type Script = fn(&mut House);

const SCRIPTS: [(&str, Script); 4] = [
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
];

/// What is left of a file's unsynced bytes; several ways.
const WAYS: usize = 6;

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
        _ => Some(Tail { whole: bytes / 2, zeros: bytes - bytes / 2 }),
    }
}

/// Tells a script up to its `at`th job. `None`: it is shorter.
fn told(script: Script, at: u64) -> Option<House> {
    let mut house = House::new(Site::default(), 1);
    house.sim.disk.cut_at = Some(at.max(house.sim.disk.jobs + 1));
    script(&mut house);
    house.dead().then_some(house)
}

fn every_cut(pairs: bool) {
    let (mut losses, mut cuts) = (Vec::new(), 0);
    for (name, script) in SCRIPTS {
        for at in 1.. {
            let Some(_) = told(script, at) else { break };
            for way in 0..WAYS {
                let mut house = told(script, at).expect("it is the same every time");
                let said = format!("{name}: job {at}, way {way}");
                let told = std::panic::AssertUnwindSafe(|| {
                    house.sim.disk.begin_last();
                    house.cut(|path, bytes| tail(way, path, bytes));
                    if pairs {
                        let more = u64::from(house.sim.chance.next() % 40 == 0);
                        house.run_ms(20 * more);
                        house.cut(|path, bytes| tail((way + 1) % WAYS, path, bytes));
                    }
                    house.run_ms(700);
                    house.cut(|_, _| None);
                });
                let result = std::panic::catch_unwind(told);
                assert!(result.is_ok(), "{said}");
                losses.append(&mut house.losses);
                cuts += 1;
            }
        }
    }
    println!("{cuts} cuts");
    oracle::print_losses(&mut losses);
}

#[test]
fn g1_g5_h3_the_plug_is_pulled_at_every_job_of_the_disk() {
    every_cut(false);
}

#[test]
#[ignore = "long; `make cuts` runs it"]
fn g1_g5_h3_the_plug_is_pulled_at_every_job_and_again_right_after() {
    every_cut(true);
}
