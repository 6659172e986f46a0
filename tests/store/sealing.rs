//! Who can open recordings: the real daemon with the private key elsewhere, and with several
//! recipients.

use protocol::client::Pairs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use testkit::ProgramOutput;
use testkit::daemon::session::ok;
use testkit::daemon::site::Site;
use testkit::daemon::{Daemon, RATE};

/// Makes a pair with the tool, its private half as a file beside the box; the public half.
fn keygen(live: &Daemon, file: &str) -> String {
    let said = live.tool_at("home", &["keygen", "--out", file]);
    assert_eq!(said.status(), 0, "{said:?}");
    said.out.trim().to_owned()
}

/// A box that seals to what the tool made, and holds no private key.
fn sealed_box(readers: &[&str]) -> Daemon {
    let mut live = Daemon::new(Site::short());
    live.site.recipients = readers.iter().map(|file| keygen(&live, file)).collect();
    live.write_config();
    live.start();
    live
}

/// Records a moment of a call, with a number and a field; the recording's ID.
fn record(live: &Daemon) -> String {
    let mut cti = live.session("hello cti user=pbx");
    let mut agent = live.session("hello agent user=a1");
    ok(cti.request("call start device=1001 call=c1 ani=5551234567").unwrap());
    let id = ok(agent.request("record start").unwrap()).get("recording").unwrap().to_owned();
    ok(agent.request("update 1 \"Jane Doe-Roe\"").unwrap());
    live.await_frames(RATE / 2);
    ok(cti.request("call stop device=1001 call=c1").unwrap());
    ok(cti.request("quit").unwrap());
    id
}

fn export(live: &Daemon, id: &str, key: &[&str]) -> ProgramOutput {
    live.tool(&[&["export", id, "--force", "--to", "x.wav"], key].concat())
}

/// Whether an export succeeds, and is the noise that was played.
fn opens(live: &Daemon, id: &str, key: &str) -> bool {
    let said = export(live, id, &["--identity", key]);
    if said.status() == 77 {
        assert!(said.err.contains("wrong key"), "{said:?}");
        return false;
    }
    assert_eq!(said.status(), 0, "{said:?}");
    let path = live.path("x.wav");
    let samples: Vec<i16> =
        hound::WavReader::open(path).unwrap().samples::<i16>().map(Result::unwrap).collect();
    let played = &live.sounds[&1];
    let here = played.windows(8).position(|window| window == &samples[..8]);
    let here = here.expect("what was played");
    assert_eq!(samples, played[here..here + samples.len()]);
    true
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// The data directory holds this stretch of bytes somewhere.
fn lies_open(live: &Daemon, wanted: &[u8]) -> bool {
    files(&live.data()).iter().any(|path| {
        std::fs::read(path).is_ok_and(|bytes| bytes.windows(wanted.len()).any(|w| w == wanted))
    })
}

#[test]
fn h5_box_without_identity_records_and_cannot_open() {
    let mut live = sealed_box(&["reader.txt"]);
    assert!(!live.data().join("keys/identity.txt").exists());
    let id = record(&live);
    // Until the wrap-up is over the box has the key in memory, to seal updates; then it is gone.
    live.stop();
    live.start();
    let mut boss = live.session("hello supervisor user=boss");
    let listed = boss.request("records").unwrap().rows;
    assert_eq!(listed[0].get("recording"), Some(id.as_str()));
    let shown = boss.request(&format!("show {id}")).unwrap();
    let said: Vec<&str> = shown.rows.iter().flat_map(|row| &row.0).map(|(_, v)| &**v).collect();
    assert!(!said.iter().any(|value| value.contains("Doe-Roe") || value.contains("5551234567")));
    ok(boss.request(&format!("protect {id} on")).unwrap());
    live.stop();
    live.assert_verified();
    let listed = live.tool(&["records"]);
    assert!(listed.out.contains(&id) && listed.out.contains("sealed"), "{listed:?}");
    let refused = export(&live, &id, &[]);
    assert!(refused.status() == 77 && refused.err.contains("--identity"), "{refused:?}");
    let public = &live.site.recipients[0];
    assert!(refused.err.contains(public), "it says to whom it is sealed: {refused:?}");
    for secret in [&b"Doe-Roe"[..], b"5551234567"] {
        assert!(!lies_open(&live, secret));
    }
    let played: Vec<u8> = live.sounds[&1].iter().flat_map(|s| s.to_le_bytes()).collect();
    let starts = (0..played.len() - 8).step_by(2);
    let all: std::collections::BTreeSet<&[u8]> = starts.map(|n| &played[n..n + 8]).collect();
    for path in files(&live.data()) {
        let bytes = std::fs::read(&path).unwrap();
        assert!(!bytes.windows(8).any(|window| all.contains(window)), "{}", path.display());
    }
    assert!(opens(&live, &id, "reader.txt"));
    let _ = keygen(&live, "stranger.txt");
    assert!(!opens(&live, &id, "stranger.txt"));
    let shown = live.tool(&["show", &id, "--identity", "reader.txt"]);
    assert!(shown.out.contains("Doe-Roe") && shown.out.contains("5551234567"), "{shown:?}");
}

#[test]
fn h5_added_recipient_opens_later_recordings() {
    let mut live = sealed_box(&["one.txt"]);
    let first = record(&live);
    let two = keygen(&live, "two.txt");
    live.site.recipients.push(two);
    live.write_config();
    let mut watcher = live.session("hello monitor");
    live.signal(nix::sys::signal::Signal::SIGHUP);
    // The reload is said in the log, and only there: the box answers a signal with nothing.
    while !live.log().contains("recordings are sealed to 2 keys now") {
        ok(watcher.request("ping").unwrap());
    }
    let second = record(&live);
    live.stop();
    let three = keygen(&live, "three.txt");
    live.site.recipients = vec![live.site.recipients[1].clone(), three];
    live.write_config();
    live.start();
    let third = record(&live);
    live.stop();
    live.assert_verified();
    let who = |id: &str| ["one.txt", "two.txt", "three.txt"].map(|key| opens(&live, id, key));
    assert_eq!(who(&first), [true, false, false]);
    assert_eq!(who(&second), [true, true, false]);
    assert_eq!(who(&third), [false, true, true]);
}

#[test]
fn h5_first_identity_can_be_moved_off_the_box() {
    let mut live = Daemon::new(Site::short());
    live.start();
    let first = record(&live);
    let (inside, outside) = (live.data().join("keys/identity.txt"), live.path("mine.txt"));
    std::fs::copy(&inside, &outside).unwrap();
    std::fs::remove_file(&inside).unwrap();
    live.stop();
    live.start();
    let second = record(&live);
    assert!(!inside.exists(), "a restart does not make another");
    live.stop();
    live.assert_verified();
    for id in [first, second] {
        assert_eq!(export(&live, &id, &[]).status(), 77);
        assert!(opens(&live, &id, "mine.txt"));
    }
}

/// What `hushbox decode --as facts` makes of rows of `show ID sealed=on`.
fn facts(live: &Daemon, rows: &[Pairs], key: &str) -> (Option<i32>, String) {
    let all = |what: &'static str| rows.iter().filter(move |row| row.get("what") == Some(what));
    let quoted = |row: &Pairs| format!("{:?}", row.get("sealed").unwrap());
    let joined = |what| all(what).map(quoted).collect::<Vec<_>>().join(",");
    let fields: Vec<String> =
        all("field").map(|row| format!("{:?}:{}", row.get("n").unwrap(), quoted(row))).collect();
    let (key_row, numbers) = (joined("key"), joined("numbers"));
    let asked = format!(
        "{{\"recording\":\"x\",\"key\":{key_row},\"numbers\":{numbers},\
         \"fields\":{{{}}},\"history\":[{}]}}",
        fields.join(","),
        joined("history")
    );
    let mut command = Command::new(testkit::program("hushbox-cli", "hushbox"));
    command.args(["decode", "--as", "facts", "--identity", key]);
    command.current_dir(live.folder.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(asked.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn f2_h5_sealed_facts_reach_supervisors_and_are_journalled() {
    let mut live = sealed_box(&["reader.txt"]);
    let id = record(&live);
    live.stop();
    live.site.roles = ", \"supervisor\"";
    live.write_config();
    live.start();
    let _ = keygen(&live, "stranger.txt");
    let mut boss = live.session("hello supervisor user=boss");
    let plain = boss.request(&format!("show {id} sealed=off")).unwrap();
    assert!(plain.rows.iter().all(|row| row.get("what") != Some("key")));
    let shown = boss.request(&format!("show {id} sealed=on")).unwrap();
    let what: Vec<&str> = shown.rows.iter().filter_map(|row| row.get("what")).collect();
    let wanted = ["record", "fetched", "key", "numbers", "field", "history", "ledger"];
    assert_eq!(what, wanted, "{:?}", shown.rows);
    let noted = &shown.rows[1];
    assert_eq!((noted.get("by"), noted.get("for")), (Some("boss"), Some("facts")));
    assert_eq!(facts(&live, &shown.rows, "stranger.txt"), (Some(77), String::new()));
    let (status, told) = facts(&live, &shown.rows, "reader.txt");
    let wanted = "{\"numbers\":{\"ani\":\"5551234567\",\"dnis\":null},\
                  \"fields\":{\"1\":\"Jane Doe-Roe\"},\"history\":[\"Jane Doe-Roe\"]}\n";
    assert_eq!((status, &*told), (Some(0), wanted));
    // An agent gets none of it, whatever he may else; and what is refused is not noted.
    let mut agent = live.session("hello agent user=a1");
    for line in [format!("show {id} sealed=on"), "show none sealed=on".to_owned()] {
        let refused = agent.request(&line).unwrap();
        let word = refused.outcome.map_err(|failure| failure.word).unwrap_err();
        assert_eq!((word.as_str(), refused.rows.len()), ("denied", 0), "{line}");
    }
    assert!(boss.request("show none sealed=on").unwrap().outcome.is_err());
    // Who has it has it: that is noted once, and shown on the box.
    let again = boss.request(&format!("show {id} sealed=on")).unwrap();
    assert!(again.rows.iter().any(|row| row.get("what") == Some("key")), "{:?}", again.rows);
    assert_eq!(again.rows.iter().filter(|row| row.get("what") == Some("fetched")).count(), 1);
    let told: serde_json::Value =
        serde_json::from_str(&live.tool(&["show", &id, "--json"]).out).unwrap();
    let [fetch] = &told["fetched"].as_array().unwrap()[..] else { panic!("{told}") };
    assert_eq!((fetch["by"].as_str(), fetch["for"].as_str()), (Some("boss"), Some("facts")));
    assert!(live.tool(&["show", &id]).out.contains("by boss for facts"));
    live.stop();
    live.assert_verified();
    // With the identity on the box there is nothing sealed to hand out.
    let identity = live.path("reader.txt");
    std::fs::copy(identity, live.data().join("keys/identity.txt")).unwrap();
    live.start();
    let mut boss = live.session("hello supervisor user=boss");
    let shown = boss.request(&format!("show {id} sealed=on")).unwrap();
    assert!(shown.rows.iter().all(|row| row.get("what") != Some("key")));
    let open = |row: &Pairs| row.get("what") == Some("field") && row.get("sealed").is_none();
    assert!(shown.rows.iter().any(open), "{:?}", shown.rows);
}
