//! Each play and each export is journalled, with user and purpose, before a byte is sent.

use client::{Address, Connection};
use hushbox::store::fact::Fact;
use hushbox::store::journal::{JournalItem, JournalReader};
use hushbox::time::WallTime;
use std::process::{Command, Stdio};
use testkit::daemon::client::Client;
use testkit::daemon::site::Site;
use testkit::daemon::{Daemon, let_pass, wait_for};

/// Everything that was fetched, as the journal has it.
fn fetched(story: &Daemon) -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    let journal = story.data().join("journal");
    let files = std::fs::read_dir(journal).unwrap().map(|entry| entry.unwrap().path());
    for path in files.filter(|path| path.extension().is_some_and(|end| end == "hbj")) {
        let bytes = std::fs::read(path).unwrap();
        let mut reader = JournalReader::open(&bytes[..]).unwrap();
        while let Some(item) = reader.next_item().unwrap() {
            if let JournalItem::Entry { entry, .. } = item
                && let Fact::Fetched { id, by, why } = entry.fact
            {
                found.push((id.to_string(), by, why));
            }
        }
    }
    found
}

#[test]
fn plays_and_exports_are_journalled_refusals_are_not() {
    let mut story = Daemon::start_new(Site::sim(&[1]));
    let mut pbx = story.client("hello cti");
    let mut agent = story.client("hello agent user=a1");
    pbx.ok("call start device=1001 call=c1");
    let id = agent.ok("record start").get("recording").to_owned();
    let mut watcher = story.client("hello monitor");
    watcher.ok("watch");
    pbx.ok("call stop device=1001 call=c1");
    testkit::daemon::await_ended(&mut watcher, &[&id]);
    let mut boss =
        Connection::open(&[Address::Unix(story.socket())], testkit::daemon::TIMEOUT).unwrap();
    let mut ask = |line: &str| boss.request(line).unwrap();
    assert!(ask("hello supervisor user=boss").outcome.is_ok());
    let play = ask(&format!("media {id}"));
    let export = ask(&format!("media {id} for=export"));
    assert!(play.outcome.is_ok() && !play.data.is_empty() && play.data == export.data);
    assert!(ask(&format!("media {id} from=999999999")).outcome.is_err());
    agent.err(&format!("media {id}"), "denied");
    let wanted = ["play", "export"].map(|why| (id.clone(), "boss".to_owned(), why.to_owned()));
    assert_eq!(fetched(&story), wanted);
    story.stop();
    story.start();
    assert_eq!(story.show(&id).text("/recording"), id, "a start reads such a journal");
    story.assert_verified();
}

/// A second of one colour, as a workstation would send it.
fn video(colour: &str) -> Vec<u8> {
    let mut command = Command::new("ffmpeg");
    command.args(["-loglevel", "error", "-f", "lavfi", "-i"]);
    command.arg(format!("color=c={colour}:s=64x64:r=5:d=1"));
    command.args(["-c:v", "libvpx-vp9", "-deadline", "realtime", "-f", "webm", "-"]);
    let output = command.stdin(Stdio::null()).output().expect("ffmpeg: run `make setup`");
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

/// Hands in what was seen in the last second.
fn send(screen: &mut Client, recording: &str, video: &[u8]) {
    let now = WallTime::parse(screen.ok("ping").get("time")).unwrap();
    let from = WallTime(now.0 - 1000);
    screen.send(&format!("segment recording={recording} start={from} duration_ms=1000"));
    screen.send(&format!("data {}", video.len()));
    assert!(screen.send_raw(video) && screen.send_raw(b"\n"));
    let reply = screen.reply().end;
    assert_eq!(reply.verb(), "ok", "{}", reply.text);
}

#[test]
fn fetched_screen_decodes_to_its_export_and_is_journalled() {
    let more = "[[agent]]\nusername = \"jane\"\nroles = [\"agent\"]\nscreen = true\n".to_owned();
    let story = Daemon::start_new(Site { more, codec: "opus", ..Site::sim(&[1]) });
    let mut pbx = story.client("hello cti");
    let mut screen = story.client("hello screen user=jane machine=WS-1");
    let mut jane = story.client("hello agent user=jane machine=WS-1");
    pbx.ok("call start device=1001 call=c1 agent=jane");
    let id = jane.ok("record start").get("recording").to_owned();
    let mut boss =
        Connection::open(&[Address::Unix(story.socket())], testkit::daemon::TIMEOUT).unwrap();
    let mut ask = |line: &str| boss.request(line).unwrap();
    assert!(ask("hello supervisor user=boss").outcome.is_ok());
    assert_eq!(ask(&format!("media {id} part=screen")).outcome.unwrap_err().word, "busy");
    for colour in ["red", "lime", "blue"] {
        let_pass(std::time::Duration::from_secs(1));
        send(&mut screen, &id, &video(colour));
    }
    jane.ok("record stop");
    let screen_ended = || ask(&format!("media {id} part=screen")).outcome.is_ok().then_some(());
    wait_for("the screen's end", screen_ended);
    let sound = ask(&format!("media {id} for=export")).data;
    let seen = ask(&format!("media {id} for=export part=screen"));
    let (_, size) = seen.outcome.unwrap().0.remove(0);
    assert_eq!((&seen.data[..4], seen.data.len().to_string()), (&b"HBM1"[..], size));
    let wanted = ["play-screen", "export", "export-screen"].map(str::to_owned);
    assert_eq!(fetched(&story).into_iter().map(|(_, _, why)| why).collect::<Vec<_>>(), wanted);
    let rows = ask(&format!("show {id}")).rows;
    let told = rows.iter().filter(|row| row.get("what") == Some("fetched"));
    let told: Vec<_> = told.map(|row| (row.get("by").unwrap(), row.get("for").unwrap())).collect();
    let newest = ["export-screen", "export", "play-screen"].map(|why| ("boss", why));
    assert_eq!(told, newest);
    // A client that asks for them is told the events of before.
    let mut watcher = story.client("hello monitor");
    watcher.ok("watch from=1");
    let before = watcher.await_news("a fetch", |line| line.is("what", "fetched"));
    assert_eq!(before.get("why"), "play-screen");
    // The same bytes as the owner's export, whether they come through pipes or from files.
    let (export, _) = story.export(&id, "webm");
    let export = std::fs::read(export).unwrap();
    let (input, beside) = (story.path("fetched.hbm"), story.path("fetched.hbv"));
    std::fs::write(&input, sound).unwrap();
    std::fs::write(&beside, &seen.data).unwrap();
    let decode = |beside: &str, out: Stdio| {
        let mut command = Command::new(testkit::program("hushbox-cli", "hushbox"));
        command.args(["decode", "--as", "webm", "--screen", beside, "--identity"]);
        command.arg(story.data().join("keys/identity.txt"));
        command.stdin(std::fs::File::open(&input).unwrap()).stdout(out).output().unwrap()
    };
    let beside = beside.to_str().unwrap();
    let piped = decode(beside, Stdio::piped());
    assert!(piped.status.success() && piped.stdout == export, "{piped:?}");
    let out = story.path("decoded.webm");
    let filed = decode(beside, std::fs::File::create(&out).unwrap().into());
    assert!(filed.status.success() && std::fs::read(&out).unwrap() == export, "{filed:?}");
    // The screen of another recording, or a damaged one, is none of it.
    let mut other = seen.data;
    let middle = other.len() / 2;
    other[middle] ^= 1;
    std::fs::write(beside, other).unwrap();
    let refused = decode(beside, std::fs::File::create(&out).unwrap().into());
    assert_eq!((refused.status.code(), std::fs::read(&out).unwrap().len()), (Some(65), 0));
    story.assert_verified();
}
