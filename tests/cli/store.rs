//! The tool on a store: what it lists, shows, exports and finds.
//!
//! The store is made with the library's own writers (`StoreFixture`); the tool is the real program.

use hushbox::audio::span::{Fate, LossReason};
use hushbox::config::CodecKind;
use hushbox::store::fact::{
    CallFacts, Fact, RecordReason, RecordReasons, RecordingBegan, SealedBytes,
};
use hushbox::store::layout;
use hushbox::time::Position;
use serde_json::Value;
use std::path::Path;
use testkit::store_fixture::{NOON, RecordingPlan, StoreFixture, run};

const RUNS: [(Fate, u32); 5] = [
    (Fate::Stored, 3000),
    (Fate::Masked, 2000),
    (Fate::Held, 777),
    (Fate::Lost(LossReason::Overrun), 23),
    (Fate::Stored, 6300),
];

fn plan(n: u8, codec: CodecKind, sides: u8, sealed: bool) -> RecordingPlan {
    let runs = RUNS.map(|(fate, frames)| run(fate, frames)).to_vec();
    RecordingPlan { n, codec, sides, sealed, runs, ended: true }
}

/// The samples of a WAV file.
fn wav(path: &Path) -> (hound::WavSpec, Vec<i16>) {
    let mut reader = hound::WavReader::open(path).unwrap();
    let samples = reader.samples::<i16>().map(Result::unwrap).collect();
    (reader.spec(), samples)
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or_else(|| panic!("no {pointer} in {value:#}"))
}

#[test]
fn h7_exported_wav_equals_the_recording() {
    for sealed in [true, false] {
        let mut made = StoreFixture::new();
        let taken = made.record(&plan(7, CodecKind::Pcm, 1, sealed));
        made.checkpoint();
        made.save();
        let said = made.tool(&["export", &taken.id, "--to", "x.wav"]);
        assert_eq!((said.status(), said.err.as_str()), (0, ""), "{}", said.out);
        let file = made.folder.path().join("x.wav");
        let (spec, samples) = wav(&file);
        assert_eq!((spec.channels, spec.sample_rate, spec.bits_per_sample), (1, 8000, 16));
        assert_eq!(samples, taken.samples, "bit for bit, sealed {sealed}");
        assert_eq!(samples.len(), 12_100);
        assert!(samples[3000..5800].iter().all(|sample| *sample == 0), "digital silence");
        assert!(samples[..3000].iter().chain(&samples[5800..]).all(|sample| *sample != 0));
        let manifest = json(&made.folder.path().join("x.wav.json"));
        assert_eq!(at(&manifest, "/recording"), taken.id.as_str());
        assert_eq!(at(&manifest, "/complete"), true);
        assert_eq!(at(&manifest, "/ani"), "5551234");
        assert_eq!(at(&manifest, "/fields/1/value"), "Jane Roe");
        assert_eq!(at(&manifest, "/fields/1/label"), "Caller name");
        assert_eq!(at(&manifest, "/history/0/value"), "Jane Doe");
        assert_eq!(at(&manifest, "/blackouts/0/from"), 4000);
        assert_eq!(at(&manifest, "/blackouts/0/to"), 6000);
        assert_eq!(at(&manifest, "/spans/0/fate"), "masked");
        assert_eq!(at(&manifest, "/spans/2/reason"), "overrun");
        let count = |name: &str| at(&manifest, &format!("/ledger/{name}")).as_u64().unwrap();
        let parts = ["stored", "masked", "held", "lost"].map(count);
        assert_eq!(parts, [9300, 2000, 777, 23]);
        assert_eq!(count("captured"), parts.iter().sum::<u64>());
        assert_eq!(at(&manifest, "/ledger/lost_by/overrun"), 23);
        assert_eq!(at(&manifest, "/signature/box"), "box-01");
        assert_eq!(at(&manifest, "/checkpoint/sequence").as_u64(), Some(8));
        let digest = blake3::hash(&std::fs::read(&file).unwrap()).to_hex().to_string();
        assert_eq!(at(&manifest, "/export/blake3"), digest.as_str());
    }
}

#[test]
fn h7_manifest_is_verified_against_file_and_key() {
    let mut made = StoreFixture::new();
    let taken = made.record(&plan(7, CodecKind::Ulaw, 2, true));
    made.save();
    let out = made.folder.path().join("x.wav");
    assert_eq!(made.tool(&["export", &taken.id, "--to", "x.wav"]).status(), 0);
    let good = made.tool(&["verify", "--export", "x.wav"]);
    assert_eq!((good.status(), good.out.as_str()), (0, "clean: x.wav\n"), "{}", good.err);
    let manifest = made.folder.path().join("x.wav.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text.replace("Jane Roe", "Jane Poe")).unwrap();
    let edited = made.tool(&["verify", "--export", "x.wav"]);
    assert!(edited.status() == 1 && edited.out.contains("signature"), "{}", edited.out);
    std::fs::write(&manifest, text).unwrap();
    let mut bytes = std::fs::read(&out).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&out, bytes).unwrap();
    let changed = made.tool(&["verify", "--export", "x.wav"]);
    assert!(changed.status() == 1 && changed.out.contains("digest"), "{}", changed.out);
    let again = made.tool(&["export", &taken.id, "--to", "x.wav"]);
    assert!(again.status() == 73 && again.err.contains("--force"), "{}", again.err);
    std::fs::remove_file(made.path(layout::BOX_KEY)).unwrap();
    let unsigned = made.tool(&["export", &taken.id, "--to", "x.wav", "--force"]);
    assert!(unsigned.status() == 0 && unsigned.err.contains("not signed"), "{}", unsigned.err);
    assert_eq!(at(&json(&manifest), "/signature"), &Value::Null);
    assert!(at(&json(&manifest), "/unsigned").as_str().unwrap().contains("box.key"));
    let names = std::fs::read_dir(made.folder.path()).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let hidden = names.filter(|name| name.starts_with('.'));
    assert_eq!(hidden.count(), 0, "nothing is left behind");
}

#[test]
fn h7_opus_is_remuxed_and_other_suffixes_refused() {
    let mut made = StoreFixture::new();
    let taken = made.record(&plan(7, CodecKind::Opus, 2, true));
    made.save();
    let said = made.tool(&["export", &taken.id, "--to", "x.opus"]);
    assert_eq!(said.status(), 0, "{}", said.err);
    let bytes = std::fs::read(made.folder.path().join("x.opus")).unwrap();
    assert_eq!((&bytes[..4], &bytes[28..36]), (&b"OggS"[..], &b"OpusHead"[..]));
    assert_eq!(at(&json(&made.folder.path().join("x.opus.json")), "/export/format"), "opus");
    let said = made.tool(&["export", &taken.id, "--to", "y.wav"]);
    assert_eq!(said.status(), 0, "{}", said.err);
    let (spec, samples) = wav(&made.folder.path().join("y.wav"));
    assert_eq!((spec.channels, samples.len()), (2, 2 * 12_100));
    assert!(samples[6000..11_600].iter().all(|sample| *sample == 0), "digital silence");
    let said = made.tool(&["export", &taken.id, "--to", "x.mp3"]);
    assert!(said.status() == 64 && said.err.contains(".opus"), "{}", said.err);
}

#[test]
fn h7_forced_export_of_damage_is_silent_there() {
    for codec in [CodecKind::Opus, CodecKind::Pcm, CodecKind::Ulaw] {
        let mut made = StoreFixture::new();
        let runs = vec![run(Fate::Stored, 16_000)];
        let taken = made.record(&RecordingPlan { runs, ..plan(7, codec, 1, true) });
        made.save();
        let mut bytes = std::fs::read(&taken.path).unwrap();
        let chunks = bytes.windows(4).enumerate().filter(|(_, window)| window == b"HBMc");
        let second = chunks.map(|(at, _)| at).nth(1).unwrap();
        bytes[second + 60] ^= 1;
        std::fs::write(&taken.path, bytes).unwrap();
        for name in ["x.wav", "x.opus"] {
            let refused = made.tool(&["export", &taken.id, "--to", name]);
            assert_eq!(refused.status(), 65, "{}", refused.err);
            let said = made.tool(&["export", &taken.id, "--force", "--to", name]);
            assert_eq!(said.status(), 0, "{codec:?} {name}: {}", said.err);
        }
        let (_, samples) = wav(&made.folder.path().join("x.wav"));
        assert_eq!(samples.len(), 16_000, "the length is exact all the same");
        assert!(samples[4000..8000].iter().all(|sample| *sample == 0), "{codec:?}: half a second");
        assert!(samples[8400..].iter().any(|sample| *sample != 0), "and sound after it");
    }
}

#[test]
fn h5_wrong_identity_opens_nothing() {
    let mut made = StoreFixture::new();
    let taken = made.record(&plan(7, CodecKind::Pcm, 1, true));
    made.save();
    assert_eq!(made.tool(&["keygen", "--out", "other.txt"]).status(), 0);
    let wrong = ["export", &taken.id, "--to", "x.wav", "--identity", "other.txt"];
    let said = made.tool(&wrong);
    assert_eq!(said.status(), 77, "{}", said.err);
    assert!(said.err.contains("wrong key") && said.err.contains(&made.public), "{}", said.err);
    assert!(!made.folder.path().join("x.wav").exists());
    let shown = made.tool(&["show", &taken.id, "--identity", "other.txt"]);
    assert!(shown.status() == 0 && shown.out.contains("not shown: sealed"), "{}", shown.out);
    assert!(!shown.out.contains("Jane Roe") && !shown.out.contains("5551234"));
    let kept = made.folder.path().join("kept.txt");
    std::fs::rename(made.path(layout::IDENTITY), &kept).unwrap();
    let said = made.tool(&["export", &taken.id, "--to", "x.wav"]);
    assert!(said.status() == 77 && said.err.contains("--identity"), "{}", said.err);
    let listed = made.tool(&["records", "--ani", "5551234"]);
    assert!(listed.out.is_empty() && listed.err.contains("could not be compared"));
    assert!(made.tool(&["records"]).out.contains("sealed"));
    let listed = made.tool(&["records", "--ani", "5551234", "--identity", "kept.txt"]);
    assert!(listed.out.contains(&taken.id), "{}", listed.err);
    let said = made.tool(&["export", &taken.id, "--to", "x.wav", "--identity", "kept.txt"]);
    assert_eq!(said.status(), 0, "{}", said.err);
}

#[test]
fn records_are_filtered_and_listed_newest_first() {
    let mut made = StoreFixture::new();
    let first = made.record(&plan(1, CodecKind::Pcm, 1, true)).id;
    let second = made.record(&plan(2, CodecKind::Pcm, 1, false)).id;
    made.save();
    let all = made.tool(&["records"]).out;
    let lines: Vec<&str> = all.lines().collect();
    assert_eq!(lines.len(), 3, "{all}");
    assert!(lines[0].starts_with("RECORDING"));
    assert!(lines[1].starts_with(&second) && lines[2].starts_with(&first), "{all}");
    assert!(lines[1].contains(" 0:01 ") && lines[1].contains("5551234"), "{all}");
    let with = |words: &[&str]| -> Vec<String> {
        let words = [&["records", "--json"], words].concat();
        let said = made.tool(&words);
        assert_eq!(said.status(), 0, "{}", said.err);
        let list: Value = serde_json::from_str(&said.out).unwrap();
        let list = list.as_array().unwrap();
        list.iter().map(|one| at(one, "/recording").as_str().unwrap().to_owned()).collect()
    };
    let (both, none) = (vec![second.clone(), first.clone()], Vec::<String>::new());
    assert_eq!(with(&[]), both);
    assert_eq!(with(&["--agent", "JDOE", "--device", "1001"]), both);
    assert_eq!(with(&["--limit", "1"]), [second]);
    assert_eq!(with(&["--call", "c1"]), [first]);
    assert_eq!(with(&["--from", "2026-11-22", "--to", "2026-11-23", "--dnis", "800"]), both);
    for words in [["--to", "2026-11-22"], ["--ani", "1"], ["--ani", "withheld"], ["--call", "x"]] {
        assert_eq!(with(&words), none, "{words:?}");
    }
    let bad = made.tool(&["records", "--from", "tomorrow"]);
    assert!(bad.status() == 64 && bad.err.contains("2026-11-22"), "{}", bad.err);
}

#[test]
fn records_of_a_day_are_those_of_the_day_at_the_site() {
    let made = StoreFixture::new();
    let config = made.folder.path().join("config.toml");
    let toml = std::fs::read_to_string(&config).unwrap();
    // 12:00 UTC is 01:00 on the next day in Auckland, where the offset is +13:00.
    let toml = toml.replace("[fields]", "time_zone = \"Pacific/Auckland\"\n[fields]");
    std::fs::write(config, toml).unwrap();
    let mut made = made;
    let id = made.record(&plan(7, CodecKind::Pcm, 1, false)).id;
    made.save();
    let lists = |words: &[&str]| {
        let said = made.tool(&[&["records"], words].concat());
        assert_eq!(said.status(), 0, "{words:?}: {}", said.err);
        said.out.contains(&id)
    };
    for words in [
        &["2026-11-23"][..],
        &["--from", "2026-11-23", "--to", "2026-11-24"],
        &["--from", "2026-11-23T01:00", "--to", "2026-11-23T01:00:01"],
        &["--from", "2026-11-22T12:00:00Z", "--to", "2026-11-22T12:00:00.001Z"],
        &["--to", "9999-12-31"],
        &["--last", "1"],
    ] {
        assert!(lists(words), "{words:?}");
    }
    for words in [
        &["2026-11-22"][..],
        &["today"],
        &["yesterday"],
        &["9999-12-31"],
        &["--to", "2026-11-23"],
        &["--from", "2026-11-24"],
        &["--from", "today"],
        &["--last", "0"],
    ] {
        assert!(!lists(words), "{words:?}");
    }
    assert!(made.tool(&["records"]).out.contains("2026-11-23T01:00:00+13:00"));
    let shown = made.tool(&["show", &id]).out;
    assert!(shown.contains("started      2026-11-23T01:00:00+13:00"), "{shown}");
    let shown = made.tool(&["show", &id, "--json"]).out;
    assert!(shown.contains("\"started\": \"2026-11-22T12:00:00.000Z\""), "{shown}");
    // The clock was put back at 03:00 on 2026-04-05, and forward at 02:00 on 2026-09-27.
    let twice = made.tool(&["records", "--from", "2026-04-05T02:30"]);
    assert_eq!(twice.status(), 64, "{}", twice.err);
    assert!(twice.err.contains("2026-04-05T02:30:00+12:00"), "{}", twice.err);
    let never = made.tool(&["records", "--to", "2026-09-27T02:30"]);
    assert!(never.status() == 64 && never.err.contains("does not exist"), "{}", never.err);
}

#[test]
fn ids_are_found_by_their_beginning_in_any_case() {
    let mut made = StoreFixture::new();
    let first = made.record(&plan(7, CodecKind::Pcm, 1, false)).id;
    let second = made.record(&plan(8, CodecKind::Pcm, 1, false)).id;
    made.save();
    let shows = |word: &str| made.tool(&["show", word]);
    for word in
        [&first[..4], &first[..9], &first, &first.to_uppercase(), &first[..5].to_uppercase()]
    {
        let said = shows(word);
        assert!(said.out.contains(&format!("recording    {first}")), "{word}: {}", said.err);
        let listed = made.tool(&["records", word]).out;
        assert!(listed.contains(&first) && !listed.contains(&second), "{word}: {listed}");
    }
    let said = made.tool(&["export", &second[..6], "--to", "x.wav"]);
    assert_eq!(said.status(), 0, "{}", said.err);
    for word in ["aaaa", "a4d", "a4d!", "a4dqobyha4dqobyha4"] {
        assert_eq!(shows(word).status(), 66, "{word}");
    }
    let bad = made.tool(&["records", "a4d"]);
    assert!(bad.status() == 64 && bad.err.contains("4 characters"), "{}", bad.err);
}

#[test]
fn a_beginning_that_fits_several_ids_lists_them() {
    let mut made = StoreFixture::new();
    let ids: Vec<String> = (0..3).map(|n| begin_recording(&mut made, n)).collect();
    made.save();
    assert_eq!(ids[0][..12], ids[1][..12]);
    let said = made.tool(&["show", &ids[0][..12]]);
    assert_eq!((said.status(), said.out.as_str()), (64, ""), "{}", said.err);
    assert!(ids.iter().all(|id| said.err.contains(id)), "{}", said.err);
    assert!(said.err.contains("type more characters"), "{}", said.err);
    assert_eq!(made.tool(&["records", &ids[0][..12]]).out.lines().count(), 4);
}

/// A recording that only began; `n` is the end of its ID.
fn begin_recording(made: &mut StoreFixture, n: u8) -> String {
    let id = hushbox::id::RecordingId::from_random([1, 2, 3, 4, 5, 6, 7, 8, 9, n]);
    made.tell(Fact::RecordingBegan(RecordingBegan {
        id,
        call: CallFacts { device: "1001".to_owned(), ..CallFacts::default() },
        numbers: SealedBytes::default(),
        channel: 2,
        rate: 8000,
        sides: 1,
        codec: CodecKind::Pcm,
        from: Position(0),
        reasons: RecordReasons::from_reason(RecordReason::Agent),
        schedule: None,
        why: String::new(),
        retain_until: NOON,
        continues: None,
    }));
    id.to_string()
}

#[test]
fn a_misspelt_agent_or_device_is_an_error_and_no_empty_list() {
    let mut made = StoreFixture::new();
    let config = made.folder.path().join("config.toml");
    let mut toml = std::fs::read_to_string(&config).unwrap();
    toml.push_str("[[agent]]\nusername = \"asmith\"\nphones = [\"1002\"]\n");
    std::fs::write(&config, toml).unwrap();
    made.record(&plan(7, CodecKind::Pcm, 1, false));
    made.save();
    let said = made.tool(&["records", "--agent", "asmiht"]);
    assert_eq!((said.status(), said.out.as_str()), (66, ""), "{}", said.err);
    assert!(said.err.contains("no agent named \"asmiht\" (did you mean asmith?)"), "{}", said.err);
    let said = made.tool(&["records", "--json", "--device", "10002"]);
    assert_eq!((said.status(), said.out.as_str()), (66, ""), "{}", said.err);
    assert!(said.err.contains("no device named \"10002\" (did you mean 1002?)"), "{}", said.err);
    // A name without a recording, or without an entry in the configuration, is known.
    for words in [["--agent", "ASmith"], ["--device", "1002"]] {
        let said = made.tool(&[&["records"][..], &words].concat());
        assert_eq!((said.status(), said.out.as_str()), (0, ""), "{}", said.err);
    }
    assert_eq!(made.tool(&["records", "--agent", "jdoe"]).out.lines().count(), 2);
}

#[test]
fn texts_of_others_are_escaped_in_listings() {
    let mut made = StoreFixture::new();
    let taken = made.record(&plan(7, CodecKind::Pcm, 1, false));
    let id = hushbox::id::RecordingId::parse(&taken.id).unwrap();
    let text = "\u{1b}[2J\u{202e}evil\u{200b}";
    let value = hushbox::store::seal::seal_field(None, 0, text);
    made.tell(Fact::FieldSet { id, field: 1, by: text.to_owned(), value });
    made.tell(Fact::Protected { id, on: true, by: text.to_owned() });
    made.save();
    let shown = made.tool(&["show", &taken.id]).out;
    assert!(shown.contains("\\u{1b}[2J\\u{202e}evil\\u{200b}"), "{shown}");
    assert!(!shown.contains(['\u{1b}', '\u{202e}', '\u{200b}']), "{shown}");
}

#[test]
fn f5_show_prints_fields_history_blackouts_ledger() {
    let mut made = StoreFixture::new();
    let taken = made.record(&plan(7, CodecKind::Pcm, 1, true));
    made.save();
    let text = made.tool(&["show", &taken.id]).out;
    for line in [
        "state        ended (call-end)",
        "ani          5551234",
        "  user1 (Caller name): Jane Roe",
        "user1 by jdoe: Jane Doe",
        "  4000 to 6000 (375 to 625 ms), of jdoe, by jdoe as agent, ended by stop (jdoe)",
        "  masked: 4000 to 6000 (375 to 625 ms)",
        "  lost (overrun): 6777 to 6800",
        "  captured 12100 = stored 9300 + masked 2000 + held 777 + lost 23",
        "  lost 23: overrun",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    let json: Value = serde_json::from_str(&made.tool(&["show", &taken.id, "--json"]).out).unwrap();
    assert_eq!(at(&json, "/ledger/stored"), taken.ledger.stored);
    for id in ["aaaaaaaaaaaaaaaa", "nonsense"] {
        let said = made.tool(&["show", id]);
        assert!(said.status() == 66 && said.err.contains("hushbox records"), "{}", said.err);
    }
}

#[test]
fn running_recording_is_exported_up_to_durable_end() {
    for codec in [CodecKind::Pcm, CodecKind::Opus] {
        let mut made = StoreFixture::new();
        let taken = made.record(&RecordingPlan { ended: false, ..plan(7, codec, 1, true) });
        made.save();
        let said = made.tool(&["export", &taken.id, "--to", "x.wav"]);
        assert!(said.status() == 0 && said.out.contains("still running"), "{}", said.err);
        let manifest = json(&made.folder.path().join("x.wav.json"));
        assert_eq!(at(&manifest, "/complete"), false);
        assert_eq!(at(&manifest, "/ledger/captured"), 12_100);
        assert_eq!(at(&manifest, "/spans/0/from"), 4000);
        assert_eq!(wav(&made.folder.path().join("x.wav")).1.len(), 12_100);
        assert!(made.tool(&["records"]).out.contains("0:01+"));
        let found = made.tool(&["verify"]);
        assert!(
            found.status() == 1 && found.out.contains("the daemon completes it"),
            "{}",
            found.out
        );
        made.put(layout::LOCK, b"");
        let lock = std::fs::File::open(made.path(layout::LOCK)).unwrap();
        lock.lock().unwrap();
        let clean = made.tool(&["verify"]);
        assert!(clean.status() == 0 && clean.err.contains("is running"), "{}", clean.out);
    }
}

#[test]
fn h5_verify_finds_one_changed_bit() {
    let mut made = StoreFixture::new();
    let taken = made.record(&plan(7, CodecKind::Pcm, 1, true));
    made.record(&plan(8, CodecKind::Opus, 2, false));
    made.checkpoint();
    made.save();
    let said = made.tool(&["verify"]);
    assert_eq!(said.out, "clean: 2 records, 13 facts, 1 checkpoints\n", "{}", said.err);
    assert_eq!((said.status(), said.err.as_str()), (0, ""));
    let journal = made.path(&layout::journal_path(testkit::store_fixture::DAY));
    for path in [&taken.path, &journal] {
        let good = std::fs::read(path).unwrap();
        let mut bad = good.clone();
        bad[good.len() / 2] ^= 1;
        std::fs::write(path, bad).unwrap();
        let said = made.tool(&["verify"]);
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(said.status() == 1 && said.out.contains(name), "{}", said.out);
        std::fs::write(path, good).unwrap();
    }
    let mut bad = std::fs::read(&taken.path).unwrap();
    bad[2000] ^= 1;
    std::fs::write(&taken.path, bad).unwrap();
    let refused = made.tool(&["export", &taken.id, "--to", "x.wav"]);
    assert!(refused.status() == 65 && refused.err.contains("hushbox verify"), "{}", refused.err);
    std::fs::remove_file(&taken.path).unwrap();
    let said = made.tool(&["verify"]);
    assert!(said.status() == 1 && said.out.contains("is missing"), "{}", said.out);
}

#[test]
fn h5_witness_proves_truncated_or_rewritten_journal() {
    let mut made = StoreFixture::new();
    made.record(&plan(7, CodecKind::Pcm, 1, false));
    made.save();
    let (sequence, chain, signature) = made.checkpoint();
    let line = format!("event what=checkpoint seq={sequence} digest={chain} sig={signature}\n");
    let witness = made.folder.path().join("witness.txt");
    std::fs::write(&witness, format!("ok session=1\n{line}")).unwrap();
    let cut = made.tool(&["verify", "--witness", "witness.txt"]);
    assert!(cut.status() == 1 && cut.out.contains("the end was cut off"), "{}", cut.out);
    made.save();
    let good = made.tool(&["verify", "--witness", "witness.txt"]);
    assert_eq!(good.status(), 0, "{}", good.out);
    let timed = line.replace('\n', " at=2026-11-22T12:00:00.000Z\n");
    std::fs::write(&witness, timed).unwrap();
    assert_eq!(made.tool(&["verify", "--witness", "witness.txt"]).status(), 0);
    std::fs::write(&witness, line.replace(&chain[..4], "0000")).unwrap();
    let other = made.tool(&["verify", "--witness", "witness.txt"]);
    assert!(other.status() == 1 && other.out.contains("rewritten"), "{}", other.out);
    std::fs::write(&witness, "ok\n").unwrap();
    assert_eq!(made.tool(&["verify", "--witness", "witness.txt"]).status(), 66);
}

#[test]
fn h6_deleted_recording_is_reported_as_deleted() {
    let mut made = StoreFixture::new();
    let taken = made.record(&plan(7, CodecKind::Pcm, 1, true));
    let id = hushbox::id::RecordingId::parse(&taken.id).unwrap();
    made.tell(Fact::Deleted { id, why: "request".to_owned(), by: "boss".to_owned() });
    made.save();
    std::fs::remove_file(&taken.path).unwrap();
    assert!(!made.tool(&["records"]).out.contains(&taken.id));
    let shown = made.tool(&["show", &taken.id]).out;
    assert!(shown.contains("request, by boss") && !shown.contains("Jane Roe"), "{shown}");
    let said = made.tool(&["export", &taken.id, "--to", "x.wav"]);
    assert!(said.status() == 66 && said.err.contains("was deleted"), "{}", said.err);
    assert_eq!(made.tool(&["verify"]).status(), 0);
}

#[test]
fn missing_store_names_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let said = testkit::run_tool(folder.path(), &["records", "--config", "none.toml"]);
    assert!(said.status() == 66 && said.err.contains("none.toml"), "{}", said.err);
    std::fs::write(folder.path().join("config.toml"), "[box]\nname = \"b\"\n").unwrap();
    for words in [vec!["records"], vec!["verify"], vec!["show", "x"]] {
        let said = testkit::run_tool(folder.path(), &words);
        assert!(said.status() == 66 && said.err.contains("no store in"), "{}", said.err);
    }
}
