//! The agents' client and the keys it takes in every program: changed while it runs, given back,
//! and told where another has them. Two agents' clients share one display, as on a machine where a
//! second session was opened inside the first.

#![allow(clippy::disallowed_methods, reason = "real programs live in real time")]

use testkit::daemon::client::Client;
use testkit::daemon::site::Site;
use testkit::daemon::{Daemon, until};
use testkit::desktop::DesktopHarness;
use testkit::desktop::x11::Screen;

/// A client of this user on a display that may be another's, with folders of its own.
fn seat(the_box: &Daemon, user: &str) -> DesktopHarness {
    let servers = format!("servers = [\"127.0.0.1:{}\"]\n", the_box.port);
    DesktopHarness::new(&format!("{servers}user = \"{user}\"\nretry_ms = 600\n"))
}

/// What the client says of its keys.
fn keys(seat: &DesktopHarness) -> String {
    seat.status_json()["hotkeys"].as_str().unwrap().to_owned()
}

fn set_keys(seat: &DesktopHarness, blackout: &str, recording: &str) -> String {
    let wanted = serde_json::json!({ "blackout": blackout, "recording": recording });
    let saved = seat.save(|settings| settings["hotkeys"] = wanted);
    assert_eq!(saved, (true, "saved".to_owned()));
    keys(seat)
}

/// Whether a call is recorded, once it is so.
fn await_recording(cti: &mut Client, call: usize, on: bool) {
    until("the recording", || {
        let recording = cti.ask("calls").rows[call].get("recording").to_owned();
        ((recording != "-") == on).then_some(())
    });
}

#[test]
fn hotkeys_are_changed_released_and_conflicts_shown() {
    let the_box = Daemon::start_new(Site::sim(&[1, 1]));
    let (mut one, mut other) = (seat(&the_box, "a1"), seat(&the_box, "a2"));
    let screen = Screen::new(one.folder.path());
    one.env = screen.env.clone();
    let own = ["HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"];
    let shared = screen.env.iter().filter(|(name, _)| !own.contains(&name.as_str()));
    other.env = shared.cloned().collect();
    let mut cti = the_box.client("hello cti");
    one.start();
    one.await_icon("idle");
    assert_eq!(keys(&one), "blackout: Ctrl+Alt+B; recording: Ctrl+Alt+R");
    other.start();
    other.await_icon("idle");
    let none = "blackout: Ctrl+Alt+B cannot be had, another program has it; \
                recording: Ctrl+Alt+R cannot be had, another program has it";
    assert_eq!(keys(&other), none);
    cti.ok("call start device=1001 call=c1");
    one.await_icon("call");

    // Another key works at once, and the old one no more: the other agent can have it.
    assert_eq!(
        set_keys(&one, "Ctrl+Alt+B", "Super+F9"),
        "blackout: Ctrl+Alt+B; recording: Super+F9"
    );
    screen.key(&["super+F9"]);
    await_recording(&mut cti, 0, true);
    let told = set_keys(&other, "", "Ctrl+Alt+R");
    assert_eq!(told, "blackout: no key; recording: Ctrl+Alt+R");
    cti.ok("call start device=1002 call=c2");
    other.await_icon("call");
    screen.key(&["ctrl+alt+r"]);
    await_recording(&mut cti, 1, true);
    screen.key(&["super+F9"]);
    await_recording(&mut cti, 0, false);

    // A key is its letter, wherever that lies.
    let letter = "blackout: Ctrl+Alt+B; recording: Ctrl+Alt+A";
    assert_eq!(set_keys(&one, "Ctrl+Alt+B", "Ctrl+Alt+A"), letter);
    let taken = || one.log().matches(letter).count();
    let before = taken();
    screen.layout("fr");
    until("the keys are taken where they lie now", || (taken() > before).then_some(()));
    screen.key(&["ctrl+alt+a"]);
    await_recording(&mut cti, 0, true);
    screen.key(&["ctrl+alt+a"]);
    await_recording(&mut cti, 0, false);
    screen.layout("us");

    // Who wants no keys gives all back.
    assert_eq!(set_keys(&one, "", ""), "blackout: no key; recording: no key");
    let told = set_keys(&other, "Ctrl+Alt+B", "Super+F9");
    assert_eq!(told, "blackout: Ctrl+Alt+B; recording: Super+F9");
    screen.key(&["super+F9"]);
    await_recording(&mut cti, 1, false);
    let told = set_keys(&other, "Super+F9", "Super+F9");
    assert_eq!(told, "blackout: Super+F9; recording: Super+F9 is the other key already");
}
