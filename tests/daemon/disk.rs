//! The disk of a running daemon goes away, is full, is read-only, and comes back.
//!
//! The first test only renames the data directory and needs no privileges. The others mount a small
//! file system in a mount namespace that ends with the test; without the right to mount they report
//! that they prove nothing.

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;
use testkit::daemon::audio::{Needles, read_wav};
use testkit::daemon::client::{Client, Line};
use testkit::daemon::site::Site;
use testkit::daemon::{
    Daemon, RATE, Record, await_ended, await_position, let_pass, position_of, wait_for,
};

/// A small file system, and the place where a box looks for it.
struct Volume {
    disk: PathBuf,
    data: PathBuf,
}

const NOTHING: Option<&str> = None;

impl Volume {
    /// Mounted on the box's data directory. `None`: this user may not.
    fn on(story: &Daemon, megabytes: u32) -> Option<Volume> {
        Volume::with(story, &format!("size={megabytes}m"))
    }

    /// As `on`, with these options of tmpfs.
    fn with(story: &Daemon, options: &str) -> Option<Volume> {
        let volume = Volume { disk: story.path("disk"), data: story.data() };
        // Only children of this thread see what is mounted here.
        if let Err(error) = unshare(CloneFlags::CLONE_NEWNS) {
            eprintln!("nothing is proved: this user may not mount ({error})");
            return None;
        }
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(NOTHING, "/", NOTHING, private, NOTHING).unwrap();
        std::fs::create_dir(&volume.disk).unwrap();
        std::fs::create_dir(&volume.data).unwrap();
        let (kind, flags) = (Some("tmpfs"), MsFlags::empty());
        mount(kind, &volume.disk, kind, flags, Some(options)).unwrap();
        volume.plug_in();
        Some(volume)
    }

    fn plug_in(&self) {
        mount(Some(&self.disk), &self.data, NOTHING, MsFlags::MS_BIND, NOTHING).unwrap();
    }

    /// The place is empty then, although processes still hold files of it.
    fn pull_out(&self) {
        umount2(&self.data, MntFlags::MNT_DETACH).unwrap();
    }

    fn read_only(&self, on: bool) {
        let only = if on { MsFlags::MS_RDONLY } else { MsFlags::empty() };
        let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | only;
        mount(NOTHING, &self.data, NOTHING, flags, NOTHING).unwrap();
    }

    /// Takes all the room there is; the file that has it.
    fn fill(&self) -> PathBuf {
        let path = self.disk.join("filler");
        let mut file = File::create(&path).unwrap();
        while file.write_all(&[0xa5; 4096]).is_ok() {}
        path
    }
}

impl Drop for Volume {
    /// Before the story's folder goes.
    fn drop(&mut self) {
        let gone = [&self.data, &self.disk].map(|path| umount2(path, MntFlags::MNT_DETACH));
        assert!(gone.iter().all(Result::is_ok) || std::thread::panicking(), "{gone:?}");
    }
}

const AGENT: &str = "hello agent user=a1 machine=WS-1";

fn watcher(story: &Daemon) -> Client {
    let mut watcher = story.client("hello monitor");
    watcher.ok("watch");
    watcher
}

fn alarm(line: &Line, what: &str, number: &str) -> bool {
    line.is("what", what) && line.is("alarm", number)
}

/// The recording and those that it goes on in.
fn parts(story: &Daemon, last: &str) -> Vec<Record> {
    let mut parts = vec![story.show(last)];
    while let Some(before) = parts[0].0["continues"].as_str().map(str::to_owned) {
        parts.insert(0, story.show(&before));
    }
    for pair in parts.windows(2) {
        assert_eq!(pair[0].text("/end"), "storage");
        assert_eq!(pair[0].to(), pair[1].from(), "one begins where the other ends");
    }
    parts
}

/// Every part is what was played, but for what is masked or lost and says so.
fn assert_sound(story: &Daemon, parts: &[Record]) {
    let index = |position: u64| usize::try_from(position).unwrap();
    for part in parts {
        part.assert_ledger();
        if part.to() == part.from() {
            continue;
        }
        let mut expected = story.sounds[&1][index(part.from())..index(part.to())].to_vec();
        for (from, to) in part.spans("masked").into_iter().chain(part.spans("lost")) {
            expected[index(from - part.from())..index(to - part.from())].fill(0);
        }
        let (path, _) = story.export(part.text("/recording"), "wav");
        assert!(read_wav(&path).0 == expected, "{part:?}");
    }
}

fn assert_nowhere(story: &Daemon, (from, to): (u64, u64)) {
    let index = |position: u64| usize::try_from(position).unwrap();
    let hidden = Needles::of(&story.sounds[&1][index(from)..index(to)], 1);
    assert!(hidden.count() > 1000);
    for (path, bytes) in story.data_files() {
        assert_eq!(hidden.found_in(&bytes), 0, "masked audio in {}", path.display());
    }
}

fn journals(story: &Daemon) -> usize {
    std::fs::read_dir(story.data().join("journal")).unwrap().count()
}

#[test]
fn h4_g5_data_directory_away_and_back_loses_nothing() {
    let story = Daemon::start_new(Site::sim(&[1, 1]));
    let mut pbx = story.client("hello cti");
    let mut watcher = story.client("hello monitor");
    watcher.ok("watch");
    pbx.ok("call start device=1001 call=c1");
    let mut agent = story.client("hello agent user=a1 machine=WS-1");
    let first = agent.ok("record start").get("recording").to_owned();
    agent.ok("update 1 \"Jane Roe\"");
    await_position(&mut watcher, 1, 5 * RATE);
    let (data, away) = (story.data(), story.path("away"));
    std::fs::rename(&data, &away).unwrap();
    // An empty place to mount it on is not the disk.
    std::fs::create_dir(&data).unwrap();
    watcher.await_news("alarm 402", |line| alarm(line, "alarm", "402"));
    agent.err("update 1 \"Jane Doe\"", "storage");
    let refused = agent.ask("blackout start lead_ms=0").end;
    assert_eq!((refused.code(), refused.get("masked")), ("storage", "yes"));
    let_pass(Duration::from_millis(1500));
    assert_eq!(std::fs::read_dir(&data).unwrap().count(), 0, "nothing is written there");
    std::fs::remove_dir(&data).unwrap();
    std::fs::rename(&away, &data).unwrap();
    watcher.await_news("the end of alarm 402", |line| alarm(line, "alarm-over", "402"));
    agent.ok("blackout stop");
    agent.ok("update 3 \"Claim 7\"");
    let second = agent.ok("record stop").get("recording").to_owned();
    assert_ne!(first, second, "it went on in a new file");
    await_ended(&mut watcher, &[&second]);
    let second = story.show(&second);
    let first = story.show(&first);
    assert_eq!(first.text("/end"), "storage");
    assert_eq!(first.to(), second.from(), "and nothing is missing between them");
    pbx.ok("call stop device=1001 call=c1");
    story.assert_verified();
}

#[test]
fn g1_g5_h4_volume_detached_then_read_only_recovers() {
    let mut story = Daemon::new(Site { seal: false, ..Site::sim(&[1, 1]) });
    let Some(volume) = Volume::on(&story, 64) else { return };
    story.start();
    let (mut pbx, mut watcher) = (story.client("hello cti"), watcher(&story));
    pbx.ok("call start device=1001 call=c1 ani=5551234");
    let mut agent = story.client(AGENT);
    let first = agent.ok("record start").get("recording").to_owned();
    agent.ok("update 1 \"Jane Roe\"");
    await_position(&mut watcher, 1, 2 * RATE);
    volume.pull_out();
    watcher.await_news("alarm 402", |line| alarm(line, "alarm", "402"));
    // From here on no client hears anything.
    let before = position_of(&mut watcher, 1);
    let refused = agent.ask("blackout start").end;
    assert_eq!((refused.code(), refused.get("masked")), ("storage", "yes"));
    let after = position_of(&mut watcher, 1);
    agent.err("update 1 \"Jane Doe\"", "storage");
    volume.plug_in();
    volume.read_only(true);
    let refused = "the disk still fails: the disk failed (errno 30)";
    wait_for("a try on the read-only disk", || story.log().contains(refused).then_some(()));
    agent.err("record stop", "storage");
    volume.read_only(false);
    watcher.await_news("the end of 402", |line| alarm(line, "alarm-over", "402"));
    await_position(&mut watcher, 1, before + 2 * RATE);
    let off = agent.ok("blackout stop");
    let pressed = off.number("from") + 400 * RATE / 1000;
    assert!((before..=after).contains(&pressed), "the lead reaches back: {}", off.text);
    agent.ok("update 3 \"Claim 7\"");
    await_position(&mut watcher, 1, off.number("to") + RATE);
    let last = agent.ok("record stop").get("recording").to_owned();
    await_ended(&mut watcher, &[&last]);
    pbx.ok("call stop device=1001 call=c1");
    let parts = parts(&story, &last);
    assert!(parts.len() > 1 && parts[0].text("/recording") == first);
    assert_eq!(parts[0].text("/fields/1/value"), "Jane Roe");
    assert_sound(&story, &parts);
    assert_nowhere(&story, (off.number("from"), off.number("to")));
    assert!(journals(&story) > 1);
    story.assert_verified();
    story.stop();
    story.start();
    story.assert_verified();
}

/// Answers to so many updates that were sent at once: what was acknowledged last, and for which
/// recording.
fn last_kept(agent: &mut Client, count: u64) -> (String, String) {
    let mut last = None;
    for number in 0..count {
        let end = agent.reply().end;
        match end.verb() {
            "ok" => last = Some((end.get("recording").to_owned(), value(number))),
            _ => assert_eq!(end.code(), "storage", "{}", end.text),
        }
    }
    last.expect("there was room for some")
}

fn value(number: u64) -> String {
    format!("{number:0100}")
}

#[test]
fn h4_full_volume_keeps_all_acknowledged_facts() {
    const UPDATES: u64 = 60;
    let mut story = Daemon::new(Site { seal: true, ..Site::sim(&[1, 1]) });
    let Some(volume) = Volume::on(&story, 8) else { return };
    story.start();
    let (mut pbx, mut watcher) = (story.client("hello cti"), watcher(&story));
    pbx.ok("call start device=1001 call=c1 ani=5551234");
    let mut agent = story.client(AGENT);
    agent.ok("record start");
    await_position(&mut watcher, 1, RATE);
    let filler = volume.fill();
    for number in 0..UPDATES {
        agent.send(&format!("update 1 \"{}\"", value(number)));
    }
    watcher.await_news("alarm 401", |line| alarm(line, "alarm", "401"));
    let refused = "the journal cannot be written: the disk is full";
    wait_for("a journal that is refused", || story.log().contains(refused).then_some(()));
    std::fs::remove_file(filler).unwrap();
    let (kept, value) = last_kept(&mut agent, UPDATES);
    watcher.await_news("the end of 401", |line| alarm(line, "alarm-over", "401"));
    let last = wait_for("a recording that can be stopped", || {
        let end = agent.ask("record stop").end;
        (end.verb() == "ok").then(|| end.get("recording").to_owned())
    });
    await_ended(&mut watcher, &[&last]);
    pbx.ok("call stop device=1001 call=c1");
    assert_eq!(story.show(&kept).text("/fields/1/value"), value);
    let parts = parts(&story, &last);
    assert!(parts.len() > 1, "{parts:?}");
    assert_sound(&story, &parts);
    assert!(journals(&story) > 1);
    story.assert_verified();
    story.kill();
    story.start();
    assert_eq!(story.show(&kept).text("/fields/1/value"), value);
    story.assert_verified();
    assert!(!Path::new(&story.data().join("filler")).exists());
}

#[test]
fn h4_volume_without_inodes_refuses_presses_with_an_alarm() {
    let mut story = Daemon::new(Site::sim(&[1, 1]));
    let Some(volume) = Volume::with(&story, "size=64m,nr_inodes=100") else { return };
    story.start();
    let (mut pbx, mut watcher) = (story.client("hello cti"), watcher(&story));
    pbx.ok("call start device=1001 call=c1");
    let mut agent = story.client(AGENT);
    let fillers = (0..).map(|number| volume.disk.join(format!("filler-{number}")));
    let fillers: Vec<PathBuf> = fillers.take_while(|path| File::create(path).is_ok()).collect();
    let refused = agent.ask("record start").end;
    assert_eq!(refused.code(), "disk-full", "{}", refused.text);
    let raised = watcher.await_news("alarm 406", |line| alarm(line, "alarm", "406"));
    assert!(raised.get("text").contains("the box cannot create files: no inode"), "{raised:?}");
    agent.err("record start", "disk-full");
    for path in fillers {
        std::fs::remove_file(path).unwrap();
    }
    watcher.await_news("the end of 406", |line| alarm(line, "alarm-over", "406"));
    let recording = agent.ok("record start").get("recording").to_owned();
    pbx.ok("call stop device=1001 call=c1");
    await_ended(&mut watcher, &[&recording]);
    story.assert_verified();
    story.stop();
}
