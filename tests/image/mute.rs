//! A card that is there, opens, and gives nothing: the kernel's loopback card, driven by the clock
//! of a second card that stops.
//!
//! snd-aloop with `timer_source=` moves its positions only while the other card plays; so a player
//! on snd-dummy is the clock, and to kill it makes the capture device hang without an error.

use testkit::vm::qemu::{Kind, Machine};
use testkit::vm::{RATE, Vm, await_alarm, client, report, show, until_closed, verify};

/// The cards, and the clock that goes.
fn cards(machine: &mut Machine) {
    machine.inside("systemctl stop hushboxd; modprobe snd-dummy");
    machine.inside("modprobe snd-aloop pcm_substreams=2 timer_source=hw:Dummy,0,0");
    machine.inside("cat /run/bed/config.toml >/data/etc/config.toml && sync");
    start_clock(machine);
    machine.inside("systemctl start hushboxd");
    machine.await_ready();
}

/// Periods as long as the box's own: the kernel asks for that.
fn start_clock(machine: &mut Machine) {
    machine.inside(
        "setsid aplay -q -D hw:Dummy,0,0 -f S16_LE -c 2 -r 8000 --period-size=160 \
         --buffer-size=1600 /dev/zero >/dev/null 2>&1 &",
    );
}

fn stop_clock(machine: &mut Machine) {
    machine.inside("kill $(pidof aplay)");
}

#[test]
#[ignore = "an emulated machine, for many minutes: make test-image"]
fn h1_card_without_frames_is_reported_and_reopened() {
    let bed = Vm::new(Kind::Pc);
    let mut machine = bed.boot();
    machine.await_ready();
    cards(&mut machine);
    let mut feed = client(&machine, "hello cti");
    let mut agent = client(&machine, "hello agent user=jdoe");
    feed.ok("call start device=1001 call=m1");
    let recording = agent.ok("record start").get("recording").to_owned();
    stop_clock(&mut machine);
    await_alarm(&mut machine, "101 board-down", true);
    let log = machine.inside("journalctl -u hushboxd --no-pager -o cat");
    assert!(log.contains("no audio for 2"), "it says why: {log}");
    start_clock(&mut machine);
    await_alarm(&mut machine, "101 board-down", false);
    feed.ok("call stop device=1001 call=m1");
    until_closed(&mut machine, &recording);
    let record = show(&mut machine, &recording);
    let lost = record["ledger"]["lost"].as_u64().unwrap();
    assert!(lost >= RATE, "what the mute card did not give is lost, and says so: {record}");
    let restarts = machine.inside("systemctl show -P NRestarts hushboxd");
    assert_eq!(restarts.trim(), "0", "no restart for a card that is mute");
    verify(&mut machine);
    report("- a card that is there but mute (101, why, lost span, no restart, taken up): passed");
    machine.power_off();
}
