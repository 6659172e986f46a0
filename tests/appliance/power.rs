//! What is done to the machine under the box: a technician starts it anew from the console.
//!
//! The configuration is the shipped one, with its telephone made of air.

use crate::bed::{self, Kind, Machine};
use crate::site::{Bed, log_in, pin, report, show, verify};

/// One line to the box, from inside.
fn send(machine: &mut Machine, who: &str, line: &str) -> String {
    machine.inside(&format!("hushbox send {who} '{line}'"))
}

/// A technician on the serial line says `reboot` while a call is recorded.
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

#[test]
#[ignore = "an emulated machine, for many minutes: make test-image"]
fn h1_h2_the_appliance_is_started_anew_from_the_serial_line() {
    let bed = Bed::new(Kind::Pc);
    let mut machine = bed.boot();
    let pin = pin(&machine.on_serial(0, "User:"));
    machine.await_ready();
    rebooted(&mut machine, &pin);
    report("- `reboot` on the serial line: an orderly end, and a start that says so: passed");
    machine.power_off();
}
