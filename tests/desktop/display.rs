//! The desktop client on a display: an icon in a real tray, a menu, notifications, windows, keys,
//! and a daemon that dies and comes back. `make pictures-desktop` keeps pictures of it.

#![allow(clippy::disallowed_methods, reason = "real programs live in real time")]

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use testkit::daemon::client::Client;
use testkit::daemon::site::Site;
use testkit::daemon::{Daemon, await_ended, wait_for};
use testkit::desktop::DesktopHarness;
use testkit::desktop::x11::{Pixels, Screen, TRAY};

/// Items of the menu while there is a connection, the heading counted.
const ITEMS: u32 = 11;
/// A menu and the balloons beside it.
const CORNER: (u32, u32, u32, u32) = (420, 330, 0, 470);
const BALLOONS: (u32, u32, u32, u32) = (400, 330, 880, 0);

fn red(pixels: &Pixels) -> usize {
    pixels.iter().filter(|[r, g, b]| *r > 150 && *g < 90 && *b < 90).count()
}

fn amber(pixels: &Pixels) -> usize {
    pixels.iter().filter(|[r, g, b]| *r > 200 && (100..200).contains(g) && *b < 90).count()
}

fn white(pixels: &Pixels) -> usize {
    pixels.iter().filter(|pixel| pixel.iter().all(|part| *part > 200)).count()
}

struct Desk {
    the_box: Daemon,
    /// Goes before the seat, in whose folder its programs write.
    screen: Screen,
    seat: DesktopHarness,
    cti: Client,
}

impl Desk {
    fn new() -> Desk {
        Desk::of(Site::sim(&[1]), "a1")
    }

    fn of(site: Site, user: &str) -> Desk {
        let mut the_box = Daemon::start_new(site);
        // Its port must stay the same for it to be found again.
        the_box.site.address = format!("127.0.0.1:{}", the_box.port);
        the_box.write_config();
        // Dark, whatever a settings portal prefers that this machine happens to have.
        let servers = format!("servers = [\"127.0.0.1:{}\"]\n", the_box.port);
        let mut seat = DesktopHarness::new(&format!(
            "{servers}user = \"{user}\"\ntheme = \"dark\"\nretry_ms = 600\n"
        ));
        let screen = Screen::new(seat.folder.path());
        seat.env = screen.env.clone();
        let cti = the_box.client("hello cti");
        seat.start();
        Desk { the_box, screen, seat, cti }
    }

    /// What the box says of the only call.
    fn call_has(&mut self, key: &str, value: &str) {
        let cti = &mut self.cti;
        wait_for(value, || cti.ask("calls").rows[0].is(key, value).then_some(()));
    }

    fn recording(&mut self) -> String {
        let cti = &mut self.cti;
        wait_for("a recording", || {
            let recording = cti.ask("calls").rows[0].get("recording").to_owned();
            (recording != "-").then_some(recording)
        })
    }

    fn icon_is(&self, what: &str, is: fn(&Pixels) -> bool) {
        self.screen.await_look(what, TRAY, is);
        self.screen.picture_of_part(&format!("tray-{what}"), TRAY);
    }

    /// Chooses in the menu by its letter, without the mouse.
    fn by_letter(&self, letter: &str) {
        self.screen.open_menu();
        self.screen.key(&[letter]);
    }
}

#[test]
fn a1_a3_a4_a7_f2_f4_g1_agent_clicks_through_a_call() {
    let mut desk = Desk::new();
    let mut watcher = desk.the_box.client("hello monitor");
    watcher.ok("watch");
    desk.icon_is("idle", |pixels| (20..150).contains(&white(pixels)) && red(pixels) == 0);
    desk.screen.await_balloon("Connected to story");
    desk.cti.ok("call start device=1001 call=c1 ani=5551234 direction=in");
    desk.icon_is("call", |pixels| white(pixels) > 60 && red(pixels) == 0);
    desk.screen.open_menu();
    desk.screen.picture_of_part("menu", CORNER);
    desk.screen.close_menu();

    desk.screen.choose(1, ITEMS);
    let recording = desk.recording();
    desk.screen.await_balloon("Recording started");
    desk.icon_is("recording", |pixels| red(pixels) > 40);

    desk.screen.choose(3, ITEMS);
    desk.call_has("blackout", "on");
    desk.screen.await_balloon("Masked, ");
    desk.icon_is("blackout", |pixels| white(pixels) > 200);
    desk.screen.picture_of_part("balloons", BALLOONS);

    desk.seat.run(&["--open", "bar"]);
    let bar = desk.screen.await_window("Hushbox bar");
    desk.screen.picture_of_window("bar", &bar);
    // The key works wherever the keyboard is.
    desk.screen.key(&["ctrl+alt+b"]);
    desk.call_has("blackout", "off");
    desk.screen.await_balloon("Blackout off");

    update_with_the_keyboard(&mut desk);
    windows(&desk);
    desk.cti.ok("call stop device=1001 call=c1");
    await_ended(&mut watcher, &[recording.as_str()]);
    let record = desk.the_box.show(&recording);
    assert_eq!(record.blackouts().len(), 1);
    record.assert_ledger();
    let shown = desk.the_box.show_text(&recording);
    assert!(shown.contains("Mr. Miller 50"), "{shown}");
    let told = desk.screen.balloons() + desk.seat.log().as_str();
    assert!(!told.contains("Miller"), "no field's value is shown or kept");
    desk.by_letter("q");
    desk.seat.ends();
}

/// A per cent sign is refused while it is typed, the rest is sent with Enter.
fn update_with_the_keyboard(desk: &mut Desk) {
    desk.by_letter("u");
    let update = desk.screen.await_window("Update call record");
    desk.screen.focus(&update);
    desk.screen.type_text("Mr. Miller 50");
    desk.screen.key(&["percent"]);
    desk.screen.picture_of_window("update", &desk.screen.await_window("Update call record"));
    desk.screen.key(&["Return"]);
    desk.seat.await_log("request: update 1");
    desk.screen.key(&["Escape"]);
    desk.screen.await_no_window("Update call record");
}

fn windows(desk: &Desk) {
    for (name, title) in
        [("status", "Hushbox status"), ("settings", "Hushbox settings"), ("about", "About Hushbox")]
    {
        assert_eq!(desk.seat.run(&["--open", name]).code, Some(0));
        let window = desk.screen.await_window(title);
        desk.screen.picture_of_window(name, &window);
        desk.screen.focus(&window);
        desk.screen.key(&["Escape"]);
        desk.screen.await_no_window(title);
    }
}

#[test]
fn a8_a9_a10_g5_restart_of_recorder_is_shown_to_agent() {
    let mut desk = Desk::new();
    desk.cti.ok("call start device=1001 call=c1");
    desk.icon_is("call", |pixels| white(pixels) > 60);
    assert_eq!(desk.seat.command("record start").code, Some(0));
    desk.icon_is("recording", |pixels| red(pixels) > 40);
    desk.the_box.kill();
    desk.screen.await_balloon("Connection lost");
    desk.icon_is("offline", |pixels| red(pixels) == 0 && white(pixels) < 150);
    desk.screen.await_balloon("Standby");
    desk.seat.await_icon("standby");
    desk.icon_is("standby", |pixels| red(pixels) == 0 && white(pixels) > 60);
    let balloons = desk.screen.balloons();
    assert!(balloons.contains("Retry 1 of 10"), "{balloons}");
    desk.screen.open_menu();
    desk.screen.picture_of_part("menu-offline", CORNER);
    desk.screen.close_menu();

    desk.screen.key(&["ctrl+alt+b"]);
    desk.screen.await_balloon("NOT MASKED");
    desk.icon_is("attention", |pixels| amber(pixels) > 40);
    desk.screen.picture_of_part("not-masked", BALLOONS);
    desk.the_box.start();
    desk.cti = desk.the_box.client("hello cti");
    desk.call_has("blackout", "on");
    desk.screen.await_balloon("Blackout on, but late");
    desk.icon_is("blackout", |pixels| white(pixels) > 200);
    desk.by_letter("l");
    desk.call_has("blackout", "off");
    // The agent must see that it was late.
    desk.seat.await_icon("attention");
    assert_eq!(desk.seat.command("acknowledge").code, Some(0));
    desk.seat.await_icon("recording");
}

#[test]
fn windows_follow_dark_mode_and_text_size() {
    let mut seat = DesktopHarness::new("servers = [\"127.0.0.1:1\"]\n");
    let screen = Screen::light(seat.folder.path());
    let portal = testkit::desktop::settings_portal::Portal::start(&screen.env, 2);
    seat.env = screen.env.clone();
    seat.start();
    let inked = |pixels: &Pixels| pixels.iter().filter(|p| p.iter().all(|c| *c < 90)).count();
    screen.await_look("ink on a light panel", TRAY, |pixels| inked(pixels) > 20);
    assert_eq!(seat.run(&["--open", "status"]).code, Some(0));
    let window = screen.await_window("Hushbox status");
    let is_light = || {
        let greys = screen.greys(&window);
        Some(greys.iter().filter(|grey| **grey > 180).count() > greys.len() / 2)
    };
    testkit::daemon::wait_for("a light window", || is_light().filter(|light| *light));
    screen.picture_of_window("status-light", &window);
    portal.set_scheme(1);
    testkit::daemon::wait_for("a dark window", || is_light().filter(|light| !light));
    screen.await_look("paper on a light panel", TRAY, |pixels| inked(pixels) == 0);
    assert_eq!(seat.run(&["--open", "about"]).code, Some(0));
    let usual = screen.width(&screen.await_window("About Hushbox"));
    portal.set_text(1.5);
    seat.await_log("text_percent: 150");
    assert_eq!(seat.run(&["--open", "settings"]).code, Some(0));
    let large = screen.width(&screen.await_window("Hushbox settings"));
    assert_eq!((usual, large), (460, 780), "460, and 520 by half as much again");
}

/// The screen capture client, ended with the story.
struct CaptureClient(Child);

impl CaptureClient {
    fn start(desk: &Desk) -> CaptureClient {
        let mut command = Command::new(testkit::program("screen", "hushbox-screen"));
        command.args(["--to", &format!("127.0.0.1:{}", desk.the_box.port), "--user", "jane"]);
        command.args(["--machine", "WS-1"]).envs(desk.screen.env.iter().cloned());
        command.stdin(Stdio::null()).stderr(Stdio::null());
        CaptureClient(command.current_dir(desk.seat.folder.path()).spawn().unwrap())
    }
}

impl Drop for CaptureClient {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn a2_e1_e3_agent_records_the_screen_from_the_menu() {
    let more = "[[agent]]\nusername = \"jane\"\nname = \"Jane\"\nroles = [\"agent\"]\n\
                screen = true\n";
    let desk = Desk::of(Site { more: more.to_owned(), ..Site::sim(&[1]) }, "jane");
    desk.seat.await_icon("idle");
    let why = "no screen capture client is connected";
    assert!(desk.seat.status().contains(&format!("Screen: cannot be recorded: {why}")));
    let refused = desk.seat.command("screen start");
    assert!(refused.code == Some(1) && refused.err.contains(why), "{refused:?}");
    desk.screen.await_balloon("Could not start the screen recording");
    let station = CaptureClient::start(&desk);
    let says = |text: &str| wait_for(text, || desk.seat.status().contains(text).then_some(()));
    says("Screen: not recording");
    desk.by_letter("n");
    desk.screen.await_look("screen recording", TRAY, |pixels| red(pixels) > 40);
    desk.screen.await_balloon("Screen recording started");
    says("Screen: recording");
    let mut jane = desk.the_box.client("hello agent user=jane machine=WS-2");
    let running = jane.ok("screen start").get("recording").to_owned();
    desk.seat.run(&["--open", "bar"]);
    let bar = desk.screen.await_window("Hushbox bar");
    desk.screen.picture_of_window("bar-screen", &bar);
    let dark = desk.seat.command("blackout start");
    assert!(dark.code == Some(1) && dark.err.contains("in a recorded call only"), "{dark:?}");
    desk.screen.await_balloon("NOT MASKED");
    desk.seat.await_icon("attention");
    desk.by_letter("n");
    desk.screen.await_balloon("Screen recording stopped");
    says("Screen: not recording");
    let ended = wait_for("the screen's end", || {
        Some(desk.the_box.show(&running)).filter(|shown| shown.0["complete"] == true)
    });
    assert_eq!(ended.text("/why"), "the screen by itself");
    assert!(ended.number("/ledger/stored") > 0, "what was on it is there: {:?}", ended.0);
    drop(station);
}

#[test]
fn screen_reader_names_every_control() {
    let mut desk = Desk::new();
    let reader = testkit::desktop::screen_reader::Reader::start(&desk.screen.env);
    desk.cti.ok("call start device=1001 call=c1");
    desk.seat.await_icon("call");
    assert_eq!(desk.seat.command("record start").code, Some(0));
    for (window, wanted) in [
        ("update", &["entry: Caller name", "entry: Subject", "button: Send (Enter)"][..]),
        ("settings", &["entry: Blackout", "radio button: Dark", "check box: Start when I log in"]),
        ("bar", &["button: RECORDING\npress to stop"]),
        ("status", &["label: Recording", "button: Close (Esc)"]),
    ] {
        assert_eq!(desk.seat.run(&["--open", window]).code, Some(0));
        reader.await_all(wanted);
    }
}

#[test]
fn resident_is_small_and_survives_window_crash() {
    let mut desk = Desk::new();
    desk.seat.await_icon("idle");
    assert_eq!(desk.seat.run(&["--open", "status"]).code, Some(0));
    desk.screen.await_window("Hushbox status");
    let resident = desk.seat.pid();
    let resident_kb = resident_kb(resident);
    eprintln!("resident: {resident_kb} KiB in memory");
    assert!(resident_kb < 40 << 10, "{resident_kb} KiB");
    let windows = children(resident);
    assert_eq!(windows.len(), 1, "{windows:?}");
    let pid = nix::unistd::Pid::from_raw(windows[0]);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    desk.screen.await_no_window("Hushbox status");
    desk.seat.await_log("the window status ended with signal");
    desk.cti.ok("call start device=1001 call=c1");
    desk.icon_is("call", |pixels| white(pixels) > 60);
    if std::env::var_os("MEASURE").is_some() {
        measure(&mut desk);
    }
}

/// Prints what idling costs, and how long a press takes.
fn measure(desk: &mut Desk) {
    let before = switches(desk.seat.pid());
    testkit::daemon::let_pass(std::time::Duration::from_secs(90));
    let after = switches(desk.seat.pid());
    // A thread that was idle for long may have ended; a new one began from nothing.
    let since = |name: &String| before.get(name).copied().unwrap_or(0);
    let woken = after.iter().map(|(name, count)| (name, count.saturating_sub(since(name))));
    let woken: Vec<_> = woken.filter(|(_, count)| *count > 0).collect();
    eprintln!("idle: switches by thread in 90 s: {woken:?}");
    for _ in 0..20 {
        desk.screen.key(&["ctrl+alt+r"]);
        desk.seat.await_icon("recording");
        desk.screen.key(&["ctrl+alt+r"]);
        desk.seat.await_icon("call");
    }
    eprintln!("{}", desk.seat.log());
}

fn status_of(pid: u32, key: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    line.trim_matches([':', '\t', ' ', 'k', 'B']).parse().unwrap()
}

fn resident_kb(pid: u32) -> u64 {
    status_of(pid, "VmRSS")
}

/// How often its threads have woken up, by name.
fn switches(pid: u32) -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        let path = task.unwrap().path();
        let name = std::fs::read_to_string(path.join("comm")).unwrap().trim().to_owned();
        let task = path.file_name().unwrap().to_str().unwrap().parse().unwrap();
        *all.entry(name).or_default() += status_of(task, "voluntary_ctxt_switches");
    }
    all
}

fn children(pid: u32) -> Vec<i32> {
    let mut all = Vec::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        let path = task.unwrap().path().join("children");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        all.extend(text.split_whitespace().map(|pid| pid.parse::<i32>().unwrap()));
    }
    all
}
