//! `hushbox decode`: a media file that a program fetched, decoded without a store.

use hushbox::audio::span::{Fate, LossReason};
use hushbox::config::CodecKind;
use hushbox::store::layout;
use serde_json::Value;
use std::fs::File;
use std::io::Cursor;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use testkit::store_fixture::{RecordingPlan, StoreFixture, Taken, run};

/// A recording of each kind of fate.
fn taken(made: &mut StoreFixture, codec: CodecKind, sides: u8) -> Taken {
    let runs = vec![
        run(Fate::Stored, 3000),
        run(Fate::Masked, 2000),
        run(Fate::Held, 777),
        run(Fate::Lost(LossReason::Overrun), 23),
        run(Fate::Stored, 6300),
    ];
    let taken = made.record(&RecordingPlan { n: 9, codec, sides, sealed: true, runs, ended: true });
    made.save();
    taken
}

fn media(folder: &Path) -> std::path::PathBuf {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "hbm") {
                return path;
            }
        }
    }
    panic!("no media file in {}", folder.display());
}

/// In an empty folder, with nothing but the file on stdin.
fn decode(input: &Path, words: &[&str]) -> Output {
    let empty = tempfile::tempdir().unwrap();
    let mut command = Command::new(testkit::program("hushbox-cli", "hushbox"));
    command.arg("decode").args(words).current_dir(empty.path());
    command.stdin(Stdio::from(File::open(input).unwrap())).output().unwrap()
}

#[test]
fn h7_g1_decode_of_fetched_file_is_bit_exact() {
    let mut made = StoreFixture::new();
    let taken = taken(&mut made, CodecKind::Pcm, 2);
    let (input, key) = (media(&made.path("media")), made.path(layout::IDENTITY));
    let key = key.to_str().unwrap();
    let said = decode(&input, &["--as", "wav", "--identity", key]);
    assert_eq!((said.status.code(), &said.stderr[..]), (Some(0), &b""[..]));
    let mut wav = hound::WavReader::new(Cursor::new(said.stdout)).unwrap();
    let samples: Vec<i16> = wav.samples().map(Result::unwrap).collect();
    assert_eq!(samples, taken.samples);

    let said = decode(&input, &["--as", "shape", "--peaks", "121", "--identity", key]);
    let shape: Value = serde_json::from_slice(&said.stdout).unwrap();
    assert_eq!((&shape["frames"], &shape["frames_per_peak"]), (&12_100.into(), &100.into()));
    let expected: Value = serde_json::from_str(
        r#"[{"fate":"masked","from":3000,"to":5000},
            {"fate":"held","from":5000,"to":5777},
            {"fate":"lost","from":5777,"to":5800,"why":"overrun"}]"#,
    )
    .unwrap();
    assert_eq!(shape["spans"], expected);
    for side in 0..2 {
        let peaks = shape["peaks"][side].as_array().unwrap();
        assert_eq!(peaks.len(), 121);
        for (nth, peak) in peaks.iter().enumerate() {
            let stretch = taken.samples[nth * 200..(nth + 1) * 200].iter().skip(side).step_by(2);
            let loudest = stretch.map(|sample| sample.unsigned_abs()).max().unwrap();
            assert_eq!(peak.as_u64(), Some(u64::from(loudest)), "side {side}, peak {nth}");
            assert_eq!(loudest == 0, (30..58).contains(&nth), "peak {nth}");
        }
    }
}

#[test]
fn h5_decode_of_sealed_or_damaged_file_is_refused() {
    let mut made = StoreFixture::new();
    taken(&mut made, CodecKind::Opus, 1);
    let (input, key) = (media(&made.path("media")), made.path(layout::IDENTITY));
    let key = key.to_str().unwrap();
    let opus = decode(&input, &["--identity", key]);
    assert_eq!((opus.status.code(), &opus.stdout[..4]), (Some(0), &b"OggS"[..]));
    let closed = decode(&input, &[]);
    assert_eq!((closed.status.code(), closed.stdout.len()), (Some(77), 0));
    let mut bytes = std::fs::read(&input).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&input, &bytes).unwrap();
    let damaged = decode(&input, &["--identity", key]);
    assert_eq!((damaged.status.code(), damaged.stdout.len()), (Some(65), 0));
    let forced = decode(&input, &["--identity", key, "--force"]);
    assert_eq!((forced.status.code(), &forced.stdout[..4]), (Some(0), &b"OggS"[..]));
    std::fs::write(&input, b"no media file").unwrap();
    let other = decode(&input, &["--identity", key]);
    assert_eq!((other.status.code(), other.stdout.len()), (Some(65), 0));
}

/// Replaces a recording's file by each thing that could lie in its place.
const REPLACEMENTS: [&str; 5] = ["other", "cut", "endless", "pipe", "missing"];

fn replace_media(taken: &Taken, other: &Path, what: &str) {
    let bytes = std::fs::read(&taken.path).unwrap_or_default();
    std::fs::remove_file(&taken.path).unwrap();
    match what {
        "other" => drop(std::fs::copy(other, &taken.path).unwrap()),
        "cut" => std::fs::write(&taken.path, &bytes[..bytes.len() - 500]).unwrap(),
        "endless" => std::os::unix::fs::symlink("/dev/zero", &taken.path).unwrap(),
        "pipe" => nix::unistd::mkfifo(&taken.path, nix::sys::stat::Mode::S_IRWXU).unwrap(),
        _ => {}
    }
}

#[test]
fn h5_swapped_cut_special_and_missing_files_are_told_alike() {
    for what in REPLACEMENTS {
        let mut made = StoreFixture::new();
        let other = taken(&mut made, CodecKind::Pcm, 1);
        let runs = vec![run(Fate::Stored, 20_000)];
        let plan = RecordingPlan {
            n: 8,
            codec: CodecKind::Pcm,
            sides: 1,
            sealed: true,
            runs,
            ended: true,
        };
        let mine = made.record(&plan);
        made.save();
        replace_media(&mine, &other.path, what);
        let why = match what {
            "other" => format!("this is the file of recording {}, not of {}", other.id, mine.id),
            "cut" => "cut short after byte".to_owned(),
            "missing" => "No such file".to_owned(),
            _ => "not a regular file".to_owned(),
        };
        for name in ["x.wav", "x.opus", "x.webm"] {
            let said = made.tool(&["export", &mine.id, "--to", name]);
            let text = format!("{} cannot be used: {why}", mine.path.display());
            let text = text.replace(&*made.folder.path().to_string_lossy(), "");
            assert!(said.err.contains(text.trim_start_matches('/')), "{what}: {}", said.err);
            assert!(said.err.contains("hushbox verify"), "{what}: {}", said.err);
            assert!([65, 66].contains(&said.status()), "{what}: {said:?}");
            assert!(!made.folder.path().join(name).exists(), "{what}");
        }
        // The audio of another recording is never this recording's, whatever the user wants.
        if what != "cut" {
            let forced = made.tool(&["export", &mine.id, "--force", "--to", "x.wav"]);
            assert_ne!(forced.status(), 0, "{what}: {forced:?}");
        }
        let shown = made.tool(&["show", &mine.id]);
        let sealed = what != "cut";
        assert_eq!(shown.out.contains("not shown: "), sealed, "{what}: {}", shown.out);
        assert_eq!(made.tool(&["verify"]).status(), 1, "{what}");
    }
}

#[test]
fn h5_decode_refuses_any_file_but_the_expected_one() {
    let mut made = StoreFixture::new();
    let mine = taken(&mut made, CodecKind::Pcm, 1);
    let key = made.path(layout::IDENTITY);
    let key = ["--identity", key.to_str().unwrap()];
    let digest = blake3::hash(&std::fs::read(&mine.path).unwrap()).to_hex().to_string();
    let said = |words: &[&str]| {
        let said = decode(&mine.path, &[&key[..], words].concat());
        let text = String::from_utf8(said.stderr).unwrap();
        assert_eq!(said.stdout.is_empty(), !said.status.success(), "{text}");
        (said.status.code().unwrap(), text)
    };
    let upper = mine.id.to_uppercase();
    assert_eq!(said(&["--recording", &upper, "--digest", &digest]), (0, String::new()));
    for force in [&[][..], &["--force"]] {
        let words = [&["--recording", "aaaaaaaaaaaaaaaa"], force].concat();
        let (status, text) = said(&words);
        assert!(status == 65 && text.contains("this is the file of recording"), "{text}");
    }
    let (status, text) = said(&["--digest", &"0".repeat(64)]);
    assert!(status == 65 && text.contains("stdin cannot be used: changed since"), "{text}");
    assert_eq!(said(&["--digest", "xyz"]).0, 2);
    // Without the journal, a cut file is still told, also when it is decoded all the same.
    let bytes = std::fs::read(&mine.path).unwrap();
    std::fs::write(&mine.path, &bytes[..bytes.len() - 300]).unwrap();
    let (status, text) = said(&[]);
    assert!(status == 65 && text.contains("cut short after byte"), "{text}");
    let (status, text) = said(&["--force"]);
    assert!(status == 0 && text.contains("cut short after byte"), "{text}");
    let (status, text) = said(&["--as", "webm", "--force", "--screen", "/dev/zero"]);
    assert!(status == 66 && text.contains("/dev/zero cannot be used: neither"), "{text}");
    let devices = decode(Path::new("/dev/zero"), &key);
    assert_eq!(devices.status.code(), Some(66), "{devices:?}");
}
