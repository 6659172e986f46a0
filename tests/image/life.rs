//! A box's life: its first boot, a call, a card that is pulled, a box that hangs, an upgrade.

use std::process::Command;
use std::time::Duration;
use testkit::daemon::audio::Needles;
use testkit::vm::qemu::{Kind, Machine, let_pass, run};
use testkit::vm::{RATE, Vm, await_alarm, change_profile, client, log_in, pin, play, report, show};
use testkit::vm::{until_closed, verify};

/// The first boot: what the serial line tells, and a workstation that enrols with it.
fn first_boot(bed: &Vm, machine: &mut Machine) {
    let told = machine.on_serial(0, "User:");
    assert!(told.contains("CA fingerprint: "), "{told}");
    assert!(told.contains("addresses: 10.0.2.15"), "{told}");
    // The line is written before the card has had its first period.
    assert!(told.contains("recording 0, calls 0; no alarm"), "{told}");
    log_in(machine, &pin(&told));
    let from = machine.serial_length();
    machine.type_on_serial("enrol WS-042 kinds=agent,cti,monitor");
    let code = machine.code_on_serial(from);
    let home = bed.folder.path().join("home");
    let enrolled = run(Command::new(testkit::program("hushbox-cli", "hushbox"))
        .args(["enrol", "--to", &format!("127.0.0.1:{}", machine.tls_port), "--code", &code])
        .env("XDG_CONFIG_HOME", &home));
    println!("enrolled: {}", enrolled.trim());
    let to = format!("tls:127.0.0.1:{}", machine.tls_port);
    let said = run(Command::new(testkit::program("hushbox-cli", "hushbox"))
        .args(["send", "--to", &to, "--kind", "monitor", "--machine", "WS-042", "channels"])
        .env("XDG_CONFIG_HOME", &home));
    assert!(said.contains("device=1001"), "{said}");
    machine.type_on_serial("quit");
}

/// A call: 20 s of sound, 3 s of it blacked out. Its recording.
pub fn call(bed: &Vm, machine: &mut Machine) -> String {
    let mut feed = client(machine, "hello cti");
    let mut agent = client(machine, "hello agent user=jdoe");
    feed.ok("call start device=1001 call=c1 ani=5551234");
    let recording = agent.ok("record start").get("recording").to_owned();
    machine.inside("timeout 4 aplay -q -D hw:Loopback,0,0 /run/bed/open0.wav; true");
    // Silence, as long as the lead: what was played before is not masked.
    let_pass(Duration::from_millis(1500));
    let receipt = agent.ok("blackout start");
    play(machine, "secret0.wav");
    let_pass(Duration::from_millis(500));
    agent.ok("blackout stop");
    agent.ok("update 1 \"Mr. Miller\"");
    machine.inside("timeout 4 aplay -q -D hw:Loopback,0,0 /run/bed/open0.wav; true");
    feed.ok("call stop device=1001 call=c1");
    until_closed(machine, &recording);
    let record = show(machine, &recording);
    assert_eq!(record["blackouts"][0]["from"].as_u64(), Some(receipt.number("from")), "{record}");
    assert_eq!(record["ledger"]["lost"].as_u64(), Some(0), "{record}");
    machine.inside(&format!("hushbox export {recording} --to /tmp/call.wav"));
    let wav = machine.inside("base64 -w 0 /tmp/call.wav");
    let wav = data_encoding::BASE64.decode(wav.trim().as_bytes()).unwrap();
    let heard = Needles::of(&bed.open[0][..16_000], 2).found_in(&wav);
    assert!(heard > 0, "what was played is in the export, bit by bit");
    assert_eq!(Needles::of(&bed.secret[0], 2).found_in(&wav), 0, "the export is masked");
    verify(machine);
    recording
}

/// The card is pulled out of a recorded call, and comes back.
fn unplug(machine: &mut Machine) {
    let mut feed = client(machine, "hello cti");
    let mut agent = client(machine, "hello agent user=jdoe");
    feed.ok("call start device=1001 call=u1");
    let recording = agent.ok("record start").get("recording").to_owned();
    let restarts = machine.inside("systemctl show -P NRestarts hushboxd");
    machine.inside("echo snd_aloop.0 >/sys/bus/platform/drivers/snd_aloop/unbind");
    await_alarm(machine, "101 board-down", true);
    let_pass(Duration::from_secs(3));
    machine.inside("echo snd_aloop.0 >/sys/bus/platform/drivers/snd_aloop/bind");
    await_alarm(machine, "101 board-down", false);
    let_pass(Duration::from_secs(3));
    feed.ok("call stop device=1001 call=u1");
    until_closed(machine, &recording);
    let record = show(machine, &recording);
    let lost = record["ledger"]["lost"].as_u64().unwrap();
    assert!(lost >= 2 * RATE, "what the card missed is lost, and says so: {record}");
    let now = machine.inside("systemctl show -P NRestarts hushboxd");
    assert_eq!(now, restarts, "no restart for a card that was pulled");
    verify(machine);
}

/// The process is held up: an overrun, counted and said.
fn overrun(machine: &mut Machine) {
    machine.inside(
        "kill -STOP $(systemctl show -P MainPID hushboxd); sleep 3; \
                    kill -CONT $(systemctl show -P MainPID hushboxd)",
    );
    await_alarm(machine, "102 overrun", true);
}

/// The box hangs: its watchdog ends it, and the next run says so.
fn wedged(machine: &mut Machine) {
    let pid = machine.inside("systemctl show -P MainPID hushboxd");
    machine.inside(&format!("kill -STOP {}", pid.trim()));
    testkit::vm::qemu::until("another process", || {
        let (now, _) = machine.try_inside("systemctl show -P MainPID hushboxd");
        (now.trim() != "0" && now != pid).then_some(())
    });
    machine.await_ready();
    let log = machine.inside("journalctl -u hushboxd --no-pager -o cat");
    assert!(log.contains("Watchdog timeout"), "{log}");
    assert!(log.contains("the watchdog ended the run before"), "{log}");
    verify(machine);
}

/// It hangs a second time since the machine started: the machine is reset, and says why.
fn wedged_again(machine: &mut Machine) {
    let starts = machine.starts();
    let pid = machine.inside("systemctl show -P MainPID hushboxd");
    machine.inside(&format!("kill -STOP {}", pid.trim()));
    testkit::vm::qemu::until("another start of the machine", || {
        (machine.starts() > starts).then_some(())
    });
    let log = machine.inside("journalctl -u hushbox-data --no-pager -o cat");
    assert!(log.contains("reset by the box's watchdog: watchdog, twice"), "{log}");
}

/// A new package is put in while a call is recorded: the configuration stays, and the call goes on.
fn upgrade(machine: &mut Machine) {
    let mut feed = client(machine, "hello cti");
    let recording = {
        let mut agent = client(machine, "hello agent user=jdoe");
        feed.ok("call start device=1001 call=up1");
        agent.ok("record start").get("recording").to_owned()
    };
    let before = machine.inside("md5sum /etc/hushbox/config.toml");
    let old = machine.inside("dpkg-query -W hushbox");
    machine.inside("hushbox-upgrade /run/bed/new.deb 2>&1");
    machine.await_ready();
    assert_ne!(machine.inside("dpkg-query -W hushbox"), old);
    assert!(!machine.try_inside("touch /usr/x").1, "the root is read-only again");
    assert_eq!(machine.inside("md5sum /etc/hushbox/config.toml"), before);
    assert_eq!(show(machine, &recording)["end"], "shutdown");
    let calls = client(machine, "hello monitor").ask("calls").rows;
    let after = calls[0].get("recording").to_owned();
    assert_ne!(after, recording, "the call goes on, in a recording of its own");
    let monotonic = |which: &str| format!("systemctl show -P {which}TimestampMonotonic hushboxd");
    let mut at = |which: &str| -> u64 { machine.inside(&monotonic(which)).trim().parse().unwrap() };
    let (gone, back) = (at("ActiveExit"), at("ActiveEnter"));
    report(&format!(
        "- upgrade under a recorded call: {} ms without the box",
        (back - gone) / 1000
    ));
    let mut feed = client(machine, "hello cti");
    feed.ok("call stop device=1001 call=up1");
    until_closed(machine, &after);
    verify(machine);
}

#[test]
#[ignore = "an emulated machine, for many minutes: make test-image"]
fn h1_h3_image_survives_its_life_cycle() {
    let bed = Vm::new(Kind::Pc);
    let mut machine = bed.boot();
    first_boot(&bed, &mut machine);
    report("- first boot, log-in on the serial line, enrolment from outside: passed");
    machine.await_ready();
    change_profile(&mut machine);
    machine.await_ready();
    call(&bed, &mut machine);
    report(
        "- a call through snd-aloop: recorded, blacked out, exported bit by bit, verified: passed",
    );
    overrun(&mut machine);
    unplug(&mut machine);
    report("- overrun (102); card unbound and bound again (101, lost span, no restart): passed");
    wedged(&mut machine);
    report("- the box held still: ended by its watchdog, started again, and said why: passed");
    upgrade(&mut machine);
    wedged_again(&mut machine);
    report("- held still again: the machine was reset, and the next start said why: passed");
    machine.power_off();
}
