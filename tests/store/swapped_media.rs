//! Media files that lie in each other's place, or are no files, at a start after a power cut.

use hushbox::audio::span::Fate;
use hushbox::config::CodecKind;
use hushbox::shell::os::recover::recover_data_dir;
use testkit::store_fixture::{RecordingPlan, StoreFixture, Taken, run};

fn interrupted(made: &mut StoreFixture, n: u8) -> Taken {
    let runs = vec![run(Fate::Stored, 12_000)];
    made.record(&RecordingPlan {
        n,
        codec: CodecKind::Pcm,
        sides: 1,
        sealed: true,
        runs,
        ended: false,
    })
}

#[test]
fn h3_start_completes_no_recording_from_the_file_of_another() {
    for what in ["other", "endless", "pipe"] {
        let mut made = StoreFixture::new();
        let (first, second) = (interrupted(&mut made, 7), interrupted(&mut made, 8));
        made.save();
        std::fs::remove_file(&first.path).unwrap();
        match what {
            "other" => drop(std::fs::copy(&second.path, &first.path).unwrap()),
            "endless" => std::os::unix::fs::symlink("/dev/zero", &first.path).unwrap(),
            _ => nix::unistd::mkfifo(&first.path, nix::sys::stat::Mode::S_IRWXU).unwrap(),
        }
        let found = recover_data_dir(&made.path("")).unwrap_or_else(|error| panic!("{error}"));
        let stored = |id: &str| {
            let ended = found.completed.iter().find(|ended| ended.id.to_string() == id);
            ended.expect("completed").ledger.stored
        };
        assert_eq!((stored(&first.id), stored(&second.id)), (0, 12_000), "{what}");
        if what == "other" {
            let bytes = std::fs::read(&first.path).unwrap();
            assert!(bytes.ends_with(&[0x55; 100]), "nothing was written to it");
        }
    }
}
