//! What is done to the machine under the box: started anew from the console, put to sleep; and a
//! card that is there, and mute.
//!
//! The mute card is the kernel's snd-aloop with the clock of another card, snd-dummy: while nothing
//! plays there, its time stands still, and it says nothing of it.

use crate::bed::{self, Kind, Machine, let_pass};
use crate::site::{Bed, await_alarm, change_profile, client, log_in, pin, report, show};
use crate::site::{until_closed, verify};
use std::time::Duration;

/// One line to the box, from inside.
fn send(machine: &mut Machine, who: &str, line: &str) -> String {
    machine.inside(&format!("hushbox send {who} '{line}'"))
}

/// A technician says `reboot` on the serial line while a call is recorded.
fn rebooted(machine: &mut Machine, pin: &str) {
    send(machine, "--kind cti", "call start device=1001 call=r1");
    let said = send(machine, "--kind agent --user jdoe", "record start");
    let recording = said.split("recording=").nth(1).expect("a recording");
    let recording = recording.split_whitespace().next().unwrap().to_owned();
    let (starts, from) = (machine.starts(), machine.serial_length());
    log_in(machine, pin);
    machine.type_on_serial("reboot");
    bed::until("another start of the machine", || (machine.starts() > starts).then_some(()));
    machine.on_serial(from, "reboot: Restarting system");
    machine.await_ready();
    assert_eq!(show(machine, &recording)["end"], "shutdown", "it ended in order");
    let status = send(machine, "--kind monitor", "status");
    assert!(status.contains("boot_reason=shutdown"), "{status}");
    verify(machine);
}

/// The machine sleeps for some seconds while a call is recorded, and is woken by its clock.
fn asleep(machine: &mut Machine) {
    let mut feed = client(machine, "hello cti");
    let mut agent = client(machine, "hello agent user=jdoe");
    feed.ok("call start device=1001 call=s1");
    let recording = agent.ok("record start").get("recording").to_owned();
    let restarts = machine.inside("systemctl show -P NRestarts hushboxd");
    let slept = machine.inside("rtcwake -m freeze -s 8 2>&1");
    report(&format!("- asleep: {}", slept.trim()));
    let_pass(Duration::from_secs(3));
    feed.ok("call stop device=1001 call=s1");
    until_closed(machine, &recording);
    let record = show(machine, &recording);
    let now = machine.inside("systemctl show -P NRestarts hushboxd");
    assert_eq!(now, restarts, "no restart for a machine that slept");
    verify(machine);
    report(&format!("- asleep: {} frames lost", record["ledger"]["lost"]));
}

/// A card without a clock of its own, and the card whose clock it has.
const CARDS: &str = "systemctl stop hushboxd && modprobe -r snd-aloop && modprobe snd-dummy && \
    modprobe snd-aloop pcm_substreams=2 timer_source=hw:Dummy,0,0";

/// Lets that clock run until it is killed.
const CLOCK: &str = "setsid aplay -q -D hw:Dummy,0,0 -f S16_LE -r 8000 -c 2 --period-time=20000 \
    /dev/zero >/dev/null 2>&1 & echo $! >/run/clock";

/// A card that gave audio is there, and gives none any more.
fn mute(machine: &mut Machine) {
    machine.inside(CARDS);
    machine.inside(CLOCK);
    machine.inside("systemctl start hushboxd");
    machine.await_ready();
    let restarts = |machine: &mut Machine| -> u64 {
        machine.inside("systemctl show -P NRestarts hushboxd").trim().parse().unwrap()
    };
    let before = restarts(machine);
    machine.inside("kill $(cat /run/clock)");
    await_alarm(machine, "101 board-down", true);
    bed::until("a start of the box", || (restarts(machine) > before).then_some(()));
    let log = machine.inside("journalctl -u hushboxd --no-pager -o cat");
    assert!(log.contains("no board gives audio for"), "{log}");
    assert!(log.contains("the watchdog ended the run before"), "{log}");
    // Longer than it was patient with the card at first.
    let_pass(Duration::from_secs(75));
    assert_eq!(restarts(machine), before + 1, "once: the new run has heard nothing of it yet");
    machine.inside(CLOCK);
    machine.await_ready();
    await_alarm(machine, "101 board-down", false);
    verify(machine);
}

#[test]
#[ignore = "an emulated machine, for many minutes: make test-image"]
fn h1_h2_the_appliance_is_rebooted_sleeps_and_has_a_mute_card() {
    let bed = Bed::new(Kind::Pc);
    let mut machine = bed.boot();
    let pin = pin(&machine.on_serial(0, "User:"));
    machine.await_ready();
    rebooted(&mut machine, &pin);
    report("- `reboot` on the serial line: an orderly end, and a start that says so: passed");
    change_profile(&mut machine);
    machine.await_ready();
    asleep(&mut machine);
    mute(&mut machine);
    report("- a card there but mute: alarm 101, one start of the box that says why: passed");
    machine.power_off();
}
