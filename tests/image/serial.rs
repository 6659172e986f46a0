//! The appliance at a serial line alone: first settings, and a reboot.
//!
//! The configuration is the shipped one, with its simulated telephone.

use testkit::vm::qemu::{Kind, Machine};
use testkit::vm::{Vm, log_in, pin, report, show, verify};

/// One line to the box, from inside.
fn send(machine: &mut Machine, who: &str, line: &str) -> String {
    machine.inside(&format!("hushbox send {who} '{line}'"))
}

/// Answers what the console asks.
fn answer(machine: &mut Machine, from: usize, asked: &str, answer: &str) -> usize {
    let told = machine.on_serial(from, asked);
    machine.type_on_serial(answer);
    from + told.len()
}

/// The first settings, without a network: written, with the comments kept.
fn set_up(machine: &mut Machine) {
    let comments = |text: &str| text.lines().filter(|line| line.contains('#')).count();
    let before = comments(&machine.inside("cat /etc/hushbox/config.toml"));
    let from = machine.serial_length();
    machine.type_on_serial("setup");
    let at = answer(machine, from, "Recorder name [hushbox]: ", "cabinet-7");
    let at = answer(machine, at, "Time zone [UTC]: ", "Europe/Berlin");
    let at = answer(machine, at, "TLS address for workstations", "");
    let at = answer(machine, at, "Technician to set a new PIN for: ", "");
    machine.on_serial(at, "take effect after a restart");
    let file = machine.inside("cat /etc/hushbox/config.toml");
    assert!(file.contains("name = \"cabinet-7\""), "{file}");
    assert!(file.contains("time_zone = \"Europe/Berlin\""), "{file}");
    assert_eq!(comments(&file), before, "{file}");
}

/// `reboot` on the serial line while a call is recorded; what was set up counts after it.
fn rebooted(machine: &mut Machine, pin: &str) {
    send(machine, "--kind cti", "call start device=1001 call=r1");
    let said = send(machine, "--kind agent --user jdoe", "record start");
    let recording = said.split("recording=").nth(1).expect("a recording");
    let recording = recording.split_whitespace().next().unwrap().to_owned();
    let (starts, from) = (machine.starts(), machine.serial_length());
    machine.type_on_serial("reboot");
    testkit::vm::qemu::until("another start of the machine", || {
        (machine.starts() > starts).then_some(())
    });
    let ended = machine.on_serial(from, "reboot: Restarting system");
    machine.await_ready();
    machine.on_serial(from + ended.len(), "Hushbox cabinet-7");
    machine.on_serial(from + ended.len(), "User:");
    log_in(machine, pin);
    assert_eq!(show(machine, &recording)["end"], "shutdown", "it ended in order");
    let status = send(machine, "--kind monitor", "status");
    assert!(status.contains("boot_reason=shutdown"), "{status}");
    assert!(status.contains("name=cabinet-7"), "{status}");
    assert!(status.contains("time_zone=Europe/Berlin"), "{status}");
    verify(machine);
}

#[test]
#[ignore = "an emulated machine, for many minutes: make test-image"]
fn h1_h2_image_is_set_up_and_rebooted_over_serial() {
    let bed = Vm::new(Kind::Pc);
    let mut machine = bed.boot();
    let pin = pin(&machine.on_serial(0, "User:"));
    machine.await_ready();
    log_in(&mut machine, &pin);
    set_up(&mut machine);
    report("- `setup` on the serial line: name and time zone, comments kept: passed");
    rebooted(&mut machine, &pin);
    report("- `reboot` on the serial line: an orderly end, and a start that says so: passed");
    machine.power_off();
}
