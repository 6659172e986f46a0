//! The image for 64-bit ARM: it boots, and records what its kernel's sound card hears.
//!
//! Short, because an emulated processor of another kind is slow: `life` and `power` have the rest.

use std::time::Duration;
use testkit::daemon::audio::Needles;
use testkit::vm::qemu::{Kind, let_pass};
use testkit::vm::verify;
use testkit::vm::{Vm, change_profile, client, log_in, pin, play, report, show, until_closed};

#[test]
#[ignore = "an emulated machine, for many minutes: make test-image ARCH=arm64"]
fn h1_arm64_image_boots_and_records() {
    let bed = Vm::new(Kind::Arm);
    let mut machine = bed.boot();
    let told = machine.on_serial(0, "User:");
    assert!(told.contains("addresses: 10.0.2.15"), "{told}");
    log_in(&mut machine, &pin(&told));
    machine.type_on_serial("quit");
    assert_eq!(machine.inside("uname -m").trim(), "aarch64");
    report("- arm64: boots by UEFI; a technician logs in on the serial line: passed");
    change_profile(&mut machine);
    machine.await_ready();
    let mut feed = client(&machine, "hello cti");
    let mut agent = client(&machine, "hello agent user=jdoe");
    feed.ok("call start device=1001 call=a1");
    let recording = agent.ok("record start").get("recording").to_owned();
    machine.inside("timeout 6 aplay -q -D hw:Loopback,0,0 /run/bed/open0.wav; true");
    // Silence, as long as the lead: what was played before is not masked.
    let_pass(Duration::from_millis(1500));
    agent.ok("blackout start");
    play(&mut machine, "secret0.wav");
    let_pass(Duration::from_millis(500));
    agent.ok("blackout stop");
    feed.ok("call stop device=1001 call=a1");
    until_closed(&mut machine, &recording);
    let record = show(&mut machine, &recording);
    machine.inside(&format!("hushbox export {recording} --to /tmp/call.wav"));
    let wav = machine.inside("base64 -w 0 /tmp/call.wav");
    let wav = data_encoding::BASE64.decode(wav.trim().as_bytes()).unwrap();
    let heard = Needles::of(&bed.open[0][..16_000], 2).found_in(&wav);
    assert!(heard > 0, "what was played is in the export, bit by bit: {record}");
    assert_eq!(Needles::of(&bed.secret[0], 2).found_in(&wav), 0, "the export is masked");
    verify(&mut machine);
    let lost = &record["ledger"]["lost"];
    report(&format!("- arm64: a call, {lost} frames lost; exported, masked, verified: passed"));
    machine.power_off();
}
