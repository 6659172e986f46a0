//! The appliance's own stories: `make test-image` boots the image and lives with it.
//!
//! `life` has what happens to a box in its life, `mute` a card that gives nothing, and `power` what
//! a technician does with a serial cable; here the plug is pulled again and again. Last, the raw
//! disk is searched for what was blacked out, and for what was not, so that the search is known to
//! find. `arm` is the image for 64-bit ARM.
//!
//! The test profile is in `site`. Everything else is as shipped (see `bed`).

use std::collections::BTreeMap;
use std::time::Duration;
use testkit::rng::Rng;
use testkit::vm::qemu::{Kind, Machine, let_pass};
use testkit::vm::{RATE, Vm, change_profile, client, play_on, position, report, show, start_card};
use testkit::vm::{stop_playing, verify};

const HOLDBACK_MS: u64 = 1500;
/// H3: what a cut may cost.
const LOSS_MS: u64 = HOLDBACK_MS + 1000;

/// One pull of the plug under load: what was acknowledged, and how far audio had come.
struct Cut {
    recording: String,
    /// On the channel, when it was last seen, in this run of the box.
    position: u64,
    field: bool,
}

fn load_and_cut(mut machine: Machine, rng: &mut Rng) -> Cut {
    play_on(&mut machine, "open1.wav");
    let mut feed = client(&machine, "hello cti");
    let mut agent = client(&machine, "hello agent user=jdoe");
    let mut monitor = client(&machine, "hello monitor");
    let call = format!("k{}", rng.next_u64());
    feed.ok(&format!("call start device=1001 call={call}"));
    let recording = agent.ok("record start").get("recording").to_owned();
    let mut cut = Cut { recording, position: 0, field: false };
    let turns = 5 + rng.below(20);
    for turn in 0..turns {
        if turn == turns / 2 {
            agent.ok("update 1 \"kept\"");
            cut.field = true;
        }
        if rng.below(6) == 0 {
            stop_playing(&mut machine);
            let_pass(Duration::from_millis(1300));
            agent.ok("blackout start");
            machine.inside("timeout 1 aplay -q -D hw:Loopback,0,0 /run/bed/secret1.wav; true");
            if rng.below(3) == 0 {
                cut.position = position(&mut monitor);
                break;
            }
            let_pass(Duration::from_millis(500));
            agent.ok("blackout stop");
            play_on(&mut machine, "open1.wav");
        }
        let_pass(Duration::from_millis(50 + rng.below(300)));
        cut.position = position(&mut monitor);
    }
    machine.pull_plug();
    cut
}

/// After it: the box is back by itself, clean, and has what was promised. Audio lost, in ms.
fn judge(machine: &mut Machine, cut: &Cut) -> u64 {
    verify(machine);
    let record = show(machine, &cut.recording);
    assert_eq!(record["end"], "power", "{record}");
    if cut.field {
        assert!(record.to_string().contains("kept"), "an acknowledged update is gone: {record}");
    }
    let to = record["audio"]["to"].as_u64().unwrap();
    let lost_ms = cut.position.saturating_sub(to) * 1000 / RATE;
    assert!(lost_ms <= LOSS_MS, "{lost_ms} ms lost: {record}");
    lost_ms
}

fn cuts() -> u64 {
    std::env::var("CUTS").map_or(50, |count| count.parse().unwrap())
}

#[test]
#[ignore = "emulated machines, for an hour: make test-image"]
fn h3_image_survives_repeated_power_cuts() {
    let bed = Vm::new(Kind::Pc);
    let mut machine = bed.boot();
    machine.await_ready();
    change_profile(&mut machine);
    machine.await_ready();
    let seed = std::env::var("CUT_SEED").map_or(1, |seed| seed.parse().unwrap());
    let mut rng = Rng::new(seed);
    let mut losses = BTreeMap::new();
    let count = cuts();
    for n in 1..=count {
        let cut = load_and_cut(machine, &mut rng);
        machine = bed.boot();
        start_card(&mut machine);
        let lost_ms = judge(&mut machine, &cut);
        report(&format!("- cut {n}: {lost_ms} ms lost"));
        *losses.entry(lost_ms / 500 * 500).or_insert(0u64) += 1;
    }
    report(&format!("- {count} cuts, seed {seed}; ms lost (from, times): {losses:?}"));
    machine.power_off();
    let (hits, leaks) = (bed.on_disk(&bed.open[1..]), bed.on_disk(&bed.secret));
    report(&format!("- raw disk: {hits} stretches of what was kept, {leaks} of what was masked"));
    assert!(hits > 0, "the search finds what was kept");
    assert_eq!(leaks, 0, "masked audio is on the disk");
}
