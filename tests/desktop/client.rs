//! The real desktop client with a real daemon, without a display: it connects, executes what
//! scripts request, warns when it cannot, and reconnects.

#![allow(clippy::disallowed_methods, reason = "real programs live in real time")]

use std::io::Write;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};
use testkit::daemon::site::Site;
use testkit::daemon::{Daemon, RATE, await_ended, await_position, position_of};
use testkit::desktop::DesktopHarness;

/// The longest that a key may take here. Each wait for a window that does not read took 1 s.
const KEY_MAX: Duration = Duration::from_secs(5);

fn a_box() -> Daemon {
    Daemon::start_new(Site::sim(&[1]))
}

/// The agent of the story's only phone, at a seat without a display.
fn a_seat(the_box: &Daemon) -> DesktopHarness {
    DesktopHarness::new(&format!(
        "servers = [\"127.0.0.1:{}\"]\nuser = \"a1\"\nretry_ms = 100\n",
        the_box.port
    ))
}

#[test]
fn a1_a3_a4_a7_a11_f2_g1_client_commands_reach_the_recorder() {
    let the_box = a_box();
    let mut seat = a_seat(&the_box);
    seat.start();
    seat.await_icon("idle");
    assert!(seat.status().contains("Connection: connected as Agent 1"), "{}", seat.status());
    let mut cti = the_box.client("hello cti");
    let mut watcher = the_box.client("hello monitor");
    watcher.ok("watch");
    cti.ok("call start device=1001 call=c1");
    seat.await_icon("call");
    let started = seat.command("record start");
    assert_eq!(started.code, Some(0), "{started:?}");
    let recording = started.out.split("recording=").nth(1).unwrap();
    let recording = recording.split_whitespace().next().unwrap().to_owned();
    seat.await_icon("recording");
    let calls = cti.ask("calls");
    assert!(calls.rows[0].is("recording", &recording), "another client sees it: {calls:?}");
    // Past its beginning, or there would be nothing in it to be masked.
    let begun = position_of(&mut watcher, 1);
    await_position(&mut watcher, 1, begun + RATE / 2);
    let receipt = seat.command("blackout start");
    assert!(receipt.out.contains(" from=") && receipt.out.contains("channels=1"), "{receipt:?}");
    seat.await_icon("blackout");
    assert!(cti.ask("calls").rows[0].is("blackout", "on"));
    assert_eq!(seat.command("toggle blackout").code, Some(0), "the key's word");
    seat.await_icon("recording");
    assert_eq!(seat.command("update 1 \"Mr. Miller\"").code, Some(0));
    let refused = seat.command("update 1 \"50%\"");
    assert!(refused.code == Some(1) && refused.err.contains("not allowed"), "{refused:?}");
    let refused = seat.command("update 2 \"x\"");
    assert!(refused.code == Some(1) && refused.err.contains("denied"), "{refused:?}");
    assert_eq!(seat.command("record stop").code, Some(0));
    cti.ok("call stop device=1001 call=c1");
    seat.await_icon("idle");
    await_ended(&mut watcher, &[recording.as_str()]);
    let record = the_box.show(&recording);
    assert_eq!(record.blackouts().len(), 1);
    record.assert_ledger();
    assert!(the_box.show_text(&recording).contains("Mr. Miller"));
    for told in [seat.log(), seat.status_json().to_string()] {
        assert!(!told.contains("Miller"), "no field's value is kept or shown: {told}");
    }
}

#[test]
fn a8_a9_a10_g5_lost_connection_warns_then_masks() {
    let mut the_box = a_box();
    let mut seat = a_seat(&the_box);
    seat.start();
    seat.await_icon("idle");
    let mut cti = the_box.client("hello cti");
    cti.ok("call start device=1001 call=c1");
    assert_eq!(seat.command("record start").code, Some(0));
    // Its port must stay the same for it to be found again.
    the_box.site.address = format!("127.0.0.1:{}", the_box.port);
    the_box.write_config();
    the_box.kill();
    seat.await_icon("standby");
    seat.await_log("Connection lost");
    seat.await_log("Standby");
    let shouted = seat.command("blackout start");
    assert!(shouted.code == Some(1) && shouted.err.contains("NOT MASKED"), "{shouted:?}");
    seat.await_icon("attention");
    assert!(seat.status().contains("NOT MASKED"), "{}", seat.status());
    the_box.start();
    // The call went on; the box knows it, and the client asks again by itself.
    seat.await_icon("blackout");
    let mut cti = the_box.client("hello cti");
    assert!(cti.ask("calls").rows[0].is("blackout", "on"));
    seat.await_log("Blackout on, but late");
    assert_eq!(seat.command("blackout stop").code, Some(0));
    // The agent must see that it was late.
    seat.await_icon("attention");
    assert_eq!(seat.command("acknowledge").code, Some(0));
    seat.await_icon("recording");
}

#[test]
fn g1_blackout_is_not_delayed_by_a_window_that_does_not_read() {
    let the_box = a_box();
    let mut seat = a_seat(&the_box);
    seat.start();
    seat.await_icon("idle");
    let mut cti = the_box.client("hello cti");
    cti.ok("call start device=1001 call=c1");
    seat.await_icon("call");
    assert_eq!(seat.command("record start").code, Some(0));
    // As a window that was stopped: its socket takes far less than what it is told.
    let mut window = UnixStream::connect(seat.socket()).unwrap();
    let ask = |ask: serde_json::Value| format!("{}\n", serde_json::json!({ "id": 1, "kind": ask }));
    let watch = ask(serde_json::json!({ "watch": { "window": "status" } }));
    window.write_all(watch.as_bytes()).unwrap();
    window.write_all(ask("status".into()).repeat(1000).as_bytes()).unwrap();
    let pressed = Instant::now();
    let receipt = seat.command("toggle blackout");
    let took = pressed.elapsed();
    assert_eq!(receipt.code, Some(0), "{receipt:?}");
    assert!(took < KEY_MAX, "{took:?}");
    assert!(cti.ask("calls").rows[0].is("blackout", "on"));
    seat.await_log("a window or script is disconnected");
}

#[test]
fn g1_blackout_is_not_delayed_by_a_silent_message_bus() {
    let the_box = a_box();
    let mut seat = a_seat(&the_box);
    let bus = seat.path("bus");
    let _silent = UnixListener::bind(&bus).unwrap();
    seat.env.push(("DBUS_SESSION_BUS_ADDRESS".to_owned(), format!("unix:path={}", bus.display())));
    seat.start();
    seat.await_icon("idle");
    let mut cti = the_box.client("hello cti");
    cti.ok("call start device=1001 call=c1");
    seat.await_icon("call");
    assert_eq!(seat.command("record start").code, Some(0));
    let receipt = seat.command("toggle blackout");
    assert_eq!(receipt.code, Some(0), "{receipt:?}");
    assert_eq!(seat.run(&["--quit"]).code, Some(0));
    seat.ends();
}

#[test]
fn a9_strict_standby_reconnects_only_on_request() {
    let mut the_box = a_box();
    let mut seat = a_seat(&the_box);
    seat.add_settings("mode = \"strict\"\n");
    the_box.site.address = format!("127.0.0.1:{}", the_box.port);
    the_box.write_config();
    the_box.kill();
    seat.start();
    seat.await_icon("standby");
    the_box.start();
    assert!(seat.status().contains("choose Reconnect to retry"), "{}", seat.status());
    assert_eq!(seat.command("reconnect").code, Some(0));
    seat.await_icon("idle");
}

#[test]
fn one_client_per_agent_answers_scripts() {
    let the_box = a_box();
    let mut seat = a_seat(&the_box);
    let refused = seat.run(&["--status"]);
    assert!(refused.code == Some(1) && refused.err.contains("start it first"), "{refused:?}");
    seat.start();
    seat.await_icon("idle");
    for foreign in ["shutdown", "hello agent user=boss", "record start device=1001"] {
        let refused = seat.command(foreign);
        assert!(refused.code == Some(1) && refused.err.contains("use one of"), "{refused:?}");
    }
    seat.kill();
    // What a crash leaves behind is no obstacle.
    assert!(seat.socket().exists());
    seat.start();
    seat.await_icon("idle");
    assert_eq!(seat.run(&["--quit"]).code, Some(0));
    seat.ends();
    assert!(!seat.socket().exists());
}

#[test]
fn invalid_setting_is_reported_with_its_place() {
    let seat = DesktopHarness::new("servers = [\"box-01\"]\nmodus = \"strict\"\n");
    let ended = seat.run(&[]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("desktop.toml") && ended.err.contains("modus"), "{ended:?}");
}

#[test]
fn a6_administrator_presets_and_locks_servers() {
    let the_box = a_box();
    let mut seat = a_seat(&the_box);
    seat.seed(&format!("servers = [\"127.0.0.1:{}\"]\nlocked = [\"servers\"]\n", the_box.port));
    seat.set_settings("servers = [\"127.0.0.1:1\"]\nuser = \"a1\"\n");
    seat.start();
    seat.await_icon("idle");
}

#[test]
fn a9_of_two_servers_the_reachable_one_is_used() {
    let start = || {
        let mut the_box = a_box();
        // Its port must stay the same for it to be found again.
        the_box.site.address = format!("127.0.0.1:{}", the_box.port);
        the_box.write_config();
        the_box
    };
    let (mut first, mut second) = (start(), start());
    let servers = format!("servers = [\"{}\", \"{}\"]\n", first.site.address, second.site.address);
    let mut seat = DesktopHarness::new(&format!("{servers}user = \"a1\"\nretry_ms = 100\n"));
    seat.start();
    let at = |seat: &DesktopHarness, the_box: &Daemon| {
        let mut cti = the_box.client("hello cti");
        seat.await_icon("idle");
        cti.ok("call start device=1001 call=c1");
        seat.await_icon("call");
        cti.ok("call stop device=1001 call=c1");
        seat.await_icon("idle");
    };
    at(&seat, &first);
    first.kill();
    at(&seat, &second);
    // The first is back: a client that has a box stays there.
    first.start();
    at(&seat, &second);
    second.kill();
    at(&seat, &first);
    second.start();
    at(&seat, &first);
}

#[test]
fn settings_that_cannot_be_saved_change_nothing() {
    use std::os::unix::fs::PermissionsExt;
    let mut seat =
        DesktopHarness::new("servers = [\"127.0.0.1:1\"]\nuser = \"a1\"\nretry_ms = 100\n");
    let path = seat.path("config/hushbox/desktop.toml");
    seat.start();
    let strict = |settings: &mut serde_json::Value| settings["mode"] = "strict".into();
    let before = std::fs::read_to_string(&path).unwrap();
    let mode = |bits| std::fs::set_permissions(&path, PermissionsExt::from_mode(bits)).unwrap();
    mode(0o444);
    let (saved, told) = seat.save(strict);
    assert!(!saved && told.contains("desktop.toml is read-only, nothing was saved"), "{told}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), before);
    assert_eq!(seat.status_json()["settings"]["mode"], "self-healing");
    // A link stays one.
    mode(0o644);
    let real = seat.path("real.toml");
    std::fs::rename(&path, &real).unwrap();
    std::os::unix::fs::symlink(&real, &path).unwrap();
    assert_eq!(seat.save(strict), (true, "Saved.".to_owned()));
    assert!(std::fs::read_to_string(&real).unwrap().contains("mode = \"strict\""));
    assert!(path.is_symlink());
    assert_eq!(seat.status_json()["settings"]["mode"], "strict");
    // What is said of starting at log-in takes nothing back.
    std::fs::write(seat.path("config/autostart"), "a file where a folder belongs").unwrap();
    seat.seed("");
    std::fs::create_dir_all(seat.path("site/autostart")).unwrap();
    std::fs::write(seat.path("site/autostart/hushbox-desktop.desktop"), "[Desktop Entry]\n")
        .unwrap();
    let (saved, told) = seat.save(|settings| settings["mode"] = "self-healing".into());
    assert!(!saved && told.contains("autostart"), "{told}");
    assert_eq!(seat.status_json()["settings"]["mode"], "self-healing");
}

#[test]
fn reconnection_needs_no_user_action() {
    let mut the_box = a_box();
    let mut seat = a_seat(&the_box);
    seat.start();
    seat.await_icon("idle");
    the_box.site.address = format!("127.0.0.1:{}", the_box.port);
    the_box.write_config();
    the_box.stop();
    seat.await_log("Connection lost");
    the_box.start();
    seat.await_icon("idle");
}

#[test]
fn a6_a11_workstation_enrols_and_works_over_tls() {
    let more = "[[listen]]\naddress = \"127.0.0.1:0\"\ntls = true\n\
         [[technician]]\nname = \"field\"\npin = \"$argon2id$v=19$m=19456,t=2,p=1$\
         BtIvqaj9XY7ZBxJ22c5iVw$TyjQ7ygFTOcEHsXrsnq57JJbStAteqOOA0/cG+bNoiU\"\n";
    let the_box = Daemon::start_new(Site { more: more.to_owned(), ..Site::sim(&[1]) });
    let mut technician = the_box.client_over_unix("hello technician user=field pin=2468");
    let code = technician.ok("enrol WS-042").get("code").to_owned();
    let mut seat = DesktopHarness::new("user = \"a1\"\nretry_ms = 100\n");
    let address = format!("tls:127.0.0.1:{}", the_box.tls_port);
    let wrong = seat.run(&["--enrol", "AAAA-BBBB", "--to", &address]);
    assert!(wrong.code == Some(1) && wrong.err.contains("invalid enrolment code"), "{wrong:?}");
    let enrolled = seat.run(&["--enrol", &code, "--to", &address]);
    assert!(enrolled.code == Some(0) && enrolled.out.contains("as WS-042 for"), "{enrolled:?}");
    seat.start();
    seat.await_icon("idle");
    let clients = technician.ask("clients");
    let agent = clients.rows.iter().find(|row| row.is("kind", "agent")).expect("the agent");
    assert_eq!((agent.get("user"), agent.get("machine")), ("a1", "WS-042"));
}
