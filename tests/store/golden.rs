//! Data directories of each format version, kept for ever: every later version must read them, bit
//! for bit and word for word.
//!
//! Version *n* is in `tests/store/golden/vn`, with its keys (made for it, and of no other use) and
//! what was reported of it when it was made. A later version may report more, never less and
//! nothing else.
//! `make golden` makes the one of a new version; an old one is never made again.

use hushbox::audio::span::{Fate, LossReason, Side};
use hushbox::config::CodecKind;
use hushbox::id::RecordingId;
use hushbox::store::fact::*;
use hushbox::store::journal::{JournalItem, JournalReader};
use hushbox::store::layout;
use hushbox::time::{Position, WallTime};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use testkit::daemon::Daemon;
use testkit::daemon::site::Site;
use testkit::run_tool;
use testkit::store_fixture::{NOON, RecordingPlan, StoreFixture, Taken, run};

/// 2126-11-22: no retention ends before.
const FAR: WallTime = WallTime(NOON.0 + 36_525 * 86_400_000);

/// The version that is written now.
const NEWEST: &str = "v2";

const VERSIONS: [&str; 2] = ["v1", NEWEST];

fn golden(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/store/golden").join(version)
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy(&path, &to),
            false => std::fs::write(to, std::fs::read(path).unwrap()).unwrap(),
        }
    }
}

/// Runs the tool in a folder and gives its answer, which must be good.
fn says(folder: &Path, words: &[&str]) -> String {
    let said = run_tool(folder, words);
    assert_eq!(said.status(), 0, "{words:?}: {said:?}");
    said.out
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Whether all of `old` is in `new`, which may say more.
fn holds(old: &Value, new: &Value) -> bool {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            old.iter().all(|(key, value)| new.get(key).is_some_and(|new| holds(value, new)))
        }
        (Value::Array(old), Value::Array(new)) => {
            old.len() == new.len() && old.iter().zip(new).all(|(old, new)| holds(old, new))
        }
        _ => old == new,
    }
}

/// What is exported of a recording, and the digest of the file. Opus is taken as it is: what a
/// decoder makes of it is the decoder's.
fn exports(folder: &Path, record: &Value) -> Value {
    let id = record["recording"].as_str().unwrap();
    let codec = json(&says(folder, &["show", id, "--json"]))["codec"].clone();
    let name = if codec == "opus" { "x.opus" } else { "x.wav" };
    says(folder, &["export", id, "--force", "--to", name]);
    let digest = blake3::hash(&std::fs::read(folder.join(name)).unwrap());
    Value::from(vec![id.to_owned(), name.to_owned(), digest.to_hex().to_string()])
}

/// Everything that is said of a store.
fn told(folder: &Path) -> Value {
    let records = json(&says(folder, &["records", "--json"]));
    let all = records.as_array().unwrap();
    let show = |record: &Value| {
        json(&says(folder, &["show", record["recording"].as_str().unwrap(), "--json"]))
    };
    serde_json::json!({
        "shown": all.iter().map(show).collect::<Vec<_>>(),
        "exported": all.iter().map(|record| exports(folder, record)).collect::<Vec<_>>(),
        "records": records,
    })
}

fn expected(version: &str) -> Value {
    json(&std::fs::read_to_string(golden(version).join("expected.json")).unwrap())
}

#[test]
fn h5_h7_store_of_each_version_is_readable() {
    for version in VERSIONS {
        let folder = tempfile::tempdir().unwrap();
        copy(&golden(version), folder.path());
        let (expected, told) = (expected(version), told(folder.path()));
        for part in ["records", "shown", "exported"] {
            let (old, new) = (&expected[part], &told[part]);
            assert!(holds(old, new), "{version}: {part}: was\n{old:#}\nis\n{new:#}");
        }
        let verified = says(folder.path(), &["verify", "--witness", "witness.txt"]);
        assert!(verified.starts_with("clean: "), "{version}: {verified}");
        assert_eq!(expected["records"].as_array().unwrap().len(), 6);
    }
}

/// Every media file of a store, with the version in its header.
fn media_versions(version: &str) -> Vec<u16> {
    let mut folders = vec![golden(version).join("data/media")];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = std::fs::read(path).unwrap();
                assert_eq!(&bytes[..4], b"HBM1");
                found.push(u16::from_le_bytes([bytes[4], bytes[5]]));
            }
        }
    }
    found
}

#[test]
fn h5_i3_each_store_is_of_its_version_and_the_newest_has_lost_sides() {
    assert_eq!(media_versions("v1"), [1; 6]);
    assert_eq!(media_versions("v2"), [2; 6]);
    let lost = |version: &str| expected(version).to_string().matches("side-lost").count();
    assert_eq!(lost("v1"), 0);
    assert!(lost("v2") >= 16, "{}", lost("v2"));
}

fn old_records(expected: &Value) -> &[Value] {
    expected["records"].as_array().unwrap()
}

#[test]
fn h5_daemon_continues_a_store_of_each_version() {
    VERSIONS.into_iter().for_each(daemon_continues);
}

fn daemon_continues(version: &str) {
    let golden = || golden(version);
    let mut live = Daemon::new(Site { name: "box-01", ..Site::short() });
    copy(&golden().join("data"), &live.data());
    std::fs::copy(golden().join("witness.txt"), live.path("witness.txt")).unwrap();
    live.start();
    live.assert_verified_with(&["--witness", "witness.txt"]);
    live.stop();
    live.assert_verified_with(&["--witness", "witness.txt"]);
    let expected = expected(version);
    let mut records = json(&live.tool(&["records", "--json"]).out);
    // A time server may confirm the clock here, which lengthens the retention of earlier runs.
    for (new, old) in records.as_array_mut().unwrap().iter_mut().zip(old_records(&expected)) {
        assert!(new["retain_until"].as_str() >= old["retain_until"].as_str());
        new["retain_until"] = old["retain_until"].clone();
    }
    assert!(holds(&expected["records"], &records), "{records:#}");
}

#[test]
fn store_of_each_version_has_every_kind_of_fact() {
    VERSIONS.into_iter().for_each(has_every_kind_of_fact);
}

fn has_every_kind_of_fact(version: &str) {
    let mut kinds = BTreeSet::new();
    for entry in std::fs::read_dir(golden(version).join("data/journal")).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        let mut reader = JournalReader::open(&bytes[..]).unwrap();
        while let Some(item) = reader.next_item().unwrap() {
            if let JournalItem::Entry { entry, .. } = item {
                let name = format!("{:?}", entry.fact);
                kinds.insert(name.split([' ', '(', '{']).next().unwrap().to_owned());
            }
        }
    }
    let wanted = [
        "BlackoutClosed BlackoutHolders BlackoutOpened BlackoutShrunk BlackoutSpread BoxStarted",
        "BoxStopped CallBegan CallChanged CallEnded CallHeld Deleted FieldSet Protected",
        "RecordingBegan RecordingChanged RecordingEnded RecordingReasons RecordingRetention",
    ];
    let wanted: BTreeSet<String> = wanted.join(" ").split(' ').map(str::to_owned).collect();
    assert!(kinds.is_superset(&wanted), "{version}: {kinds:?}");
}

/// Every fate, and every reason of a loss of all and of one side, in two seconds.
fn plan(n: u8, codec: CodecKind, sides: u8, sealed: bool) -> RecordingPlan {
    let mut runs = vec![run(Fate::Stored, 3000), run(Fate::Masked, 2000), run(Fate::Held, 777)];
    for loss in LossReason::ALL {
        runs.extend([run(Fate::Lost(loss), 40), run(Fate::Stored, 200)]);
        for side in Side::ALL.into_iter().filter(|_| sides == 2) {
            runs.extend([run(Fate::SideLost(side, loss), 40), run(Fate::Stored, 20)]);
        }
    }
    runs.push(run(Fate::Stored, 4000));
    RecordingPlan { n, codec, sides, sealed, runs, ended: true }
}

/// A call with everything that can happen to one, and to its recording.
fn tell_the_rest(made: &mut StoreFixture, of: &Taken) {
    let id = RecordingId::parse(&of.id).unwrap();
    let number = CallNumber(90);
    let call = CallFacts {
        number,
        call: "c90".into(),
        device: "1002".into(),
        consult_of: Some("c1".into()),
        group: Some("sales".into()),
        gate: Some("hotline".into()),
        began: NOON,
        ..CallFacts::default()
    };
    let numbers = SealedBytes::default();
    let blackout = BlackoutNumber(90);
    let by = || "boss".to_owned();
    let places = |at| vec![ChannelPosition { channel: 3, at: Position(at) }];
    let told = [
        Fact::CallBegan { call: call.clone(), numbers: numbers.clone() },
        Fact::CallHeld { number, held: true },
        Fact::CallChanged { call: call.clone(), numbers: numbers.clone() },
        Fact::BlackoutOpened {
            number: blackout,
            agent: "asmith".into(),
            call: Some(number),
            holder: BlackoutHolder::Supervisor,
            by: by(),
            places: places(5),
        },
        Fact::BlackoutSpread { number: blackout, places: places(6) },
        Fact::BlackoutHolders { number: blackout, holders: 6, by: by() },
        Fact::BlackoutShrunk { number: blackout, places: places(7) },
        Fact::BlackoutClosed {
            number: blackout,
            end: BlackoutEnd::Ceiling,
            by: by(),
            places: places(8),
        },
        Fact::CallEnded { number, why: "stop".into() },
        Fact::Protected { id, on: true, by: by() },
    ];
    told.into_iter().for_each(|fact| made.tell(fact));
}

#[test]
#[ignore = "make golden runs it, once for every version of the format"]
fn make_the_golden_store() {
    let golden = || golden(NEWEST);
    assert!(!golden().exists(), "it is kept for ever: a new version takes a new folder");
    let mut made = StoreFixture::new();
    let plans = [
        plan(1, CodecKind::Opus, 1, true),
        plan(2, CodecKind::Opus, 2, false),
        plan(3, CodecKind::Pcm, 1, true),
        plan(4, CodecKind::Ulaw, 2, true),
        plan(5, CodecKind::Ulaw, 1, false),
        plan(6, CodecKind::Pcm, 1, true),
        RecordingPlan { ended: false, ..plan(7, CodecKind::Opus, 1, true) },
    ];
    let taken: Vec<Taken> = plans.iter().map(|plan| made.record(plan)).collect();
    for one in &taken {
        let id = RecordingId::parse(&one.id).unwrap();
        made.tell(Fact::RecordingRetention { id, retain_until: FAR });
    }
    tell_the_rest(&mut made, &taken[0]);
    let cut = RecordingId::parse(&taken[6].id).unwrap();
    let call = CallFacts { agent: Some("asmith".into()), ..CallFacts::default() };
    made.tell(Fact::RecordingChanged { id: cut, call, numbers: SealedBytes::default() });
    let reasons = RecordReasons::from_reason(RecordReason::Supervisor);
    made.tell(Fact::RecordingReasons { id: cut, reasons, by: "boss".into() });
    let gone = RecordingId::parse(&taken[5].id).unwrap();
    made.tell(Fact::Deleted { id: gone, why: "request".into(), by: "boss".into() });
    let (sequence, chain, signature) = made.checkpoint();
    let at = NOON;
    let line = format!("event what=checkpoint seq={sequence} digest={chain} sig={signature}");
    made.save();
    std::fs::remove_file(&taken[5].path).unwrap();
    // A real box recovers the cut recording, and stops in order.
    let mut live = Daemon::new(Site { name: "box-01", ..Site::short() });
    copy(&made.path(""), &live.data());
    live.start();
    live.stop();
    for file in [layout::LOCK, layout::CALLS_KEY] {
        let _ = std::fs::remove_file(live.data().join(file));
    }
    copy(&live.data(), &golden().join("data"));
    std::fs::copy(made.folder.path().join("config.toml"), golden().join("config.toml")).unwrap();
    std::fs::write(golden().join("witness.txt"), format!("{line} at={at}\n")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    copy(&golden(), folder.path());
    let text = serde_json::to_string_pretty(&told(folder.path())).unwrap() + "\n";
    std::fs::write(golden().join("expected.json"), text).unwrap();
}
