//! A store that was tampered with: what `hushbox verify` reports, with and without an outside
//! witness.
//!
//! A real daemon records a few calls while a client keeps the checkpoints it is sent; then the data
//! directory is tampered with, in one way per test, and the report is compared word for word.

use client::{Connection, Notification};
use hushbox::store::fact::{Fact, JournalEntry};
use hushbox::store::journal::{JournalItem, JournalReader, JournalWriter};
use hushbox::store::sign::BoxSigningKey;
use hushbox::time::WallTime;
use nix::sys::signal::Signal;
use protocol::client::Pairs;
use std::path::{Path, PathBuf};
use testkit::ProgramOutput;
use testkit::daemon::session::ok;
use testkit::daemon::site::Site;
use testkit::daemon::{Daemon, TIMEOUT};

/// An event as the line it was.
fn line_of(pairs: &Pairs) -> String {
    let words = pairs.0.iter().map(|(key, value)| format!(" {key}={value}"));
    format!("event{}\n", words.collect::<String>())
}

fn number_of(checkpoint: &Pairs) -> u64 {
    checkpoint.get("seq").unwrap().parse().unwrap()
}

/// The next checkpoint a client is told, as the line it was.
fn next_checkpoint(connection: &mut Connection) -> (u64, String) {
    loop {
        let news = connection.next_notification(TIMEOUT).unwrap().expect("a checkpoint");
        let Notification::Event(pairs) = news else { continue };
        assert_eq!(pairs.get("what"), Some("checkpoint"), "{pairs:?}");
        return (number_of(&pairs), line_of(&pairs));
    }
}

/// A call on the first device, recorded for a moment; the recording's ID.
fn record(live: &Daemon, call: &str) -> String {
    let mut cti = live.session("hello cti user=pbx");
    let mut agent = live.session("hello agent user=a1");
    ok(cti.request(&format!("call start device=1001 call={call} ani=5551234")).unwrap());
    let id = ok(agent.request("record start").unwrap()).get("recording").unwrap().to_owned();
    ok(agent.request("update 1 \"Jane Doe\"").unwrap());
    live.await_frames(4000);
    ok(cti.request(&format!("call stop device=1001 call={call}")).unwrap());
    ok(cti.request("quit").unwrap());
    id
}

/// A box that has recorded two calls over two starts, stopped in order; its files lie still.
struct Stage {
    live: Daemon,
    /// Numbers of the checkpoints the client was told, the last of each start.
    told: Vec<u64>,
    ids: Vec<String>,
}

impl Stage {
    fn new() -> Stage {
        let live = Daemon::new(Site::short());
        let mut stage = Stage { live, told: Vec::new(), ids: Vec::new() };
        for call in ["c1", "c2"] {
            stage.run(call);
        }
        let kept = stage.witness();
        assert!(kept.lines().count() >= 2, "{kept}");
        stage.live.assert_verified_with(&["--witness", "witness.txt"]);
        stage
    }

    /// One start: a call, and an orderly stop whose checkpoint reaches the client.
    fn run(&mut self, call: &str) {
        self.live.start();
        let mut client = self.live.session("hello monitor");
        let (mut last, mut kept) = next_checkpoint(&mut client);
        self.ids.push(record(&self.live, call));
        self.live.signal(Signal::SIGTERM);
        while let Ok(Some(Notification::Event(pairs))) = client.next_notification(TIMEOUT) {
            last = number_of(&pairs);
            kept += &line_of(&pairs);
        }
        assert_eq!(self.live.ends().code(), Some(0), "{}", self.live.log());
        self.told.push(last);
        let path = self.live.path("witness.txt");
        let before = std::fs::read_to_string(&path).unwrap_or_default();
        std::fs::write(path, before + kept.as_str()).unwrap();
    }

    fn witness(&self) -> String {
        std::fs::read_to_string(self.live.path("witness.txt")).unwrap()
    }

    fn verify(&self) -> ProgramOutput {
        let said = self.live.tool(&["verify"]);
        assert!(said.status() <= 1, "{said:?}");
        said
    }

    fn verify_with_witness(&self) -> ProgramOutput {
        let said = self.live.tool(&["verify", "--witness", "witness.txt"]);
        assert!(said.status() <= 1, "{said:?}");
        said
    }

    /// The only journal file; a test that runs over midnight has two and takes the last.
    fn journal(&self) -> PathBuf {
        let folder = std::fs::read_dir(self.live.data().join("journal")).unwrap();
        folder.map(|entry| entry.unwrap().path()).max().unwrap()
    }

    fn media(&self, n: usize) -> PathBuf {
        find(&self.live.data().join("media"), &format!("{}.hbm", self.ids[n])).expect("is there")
    }

    fn key(&self) -> BoxSigningKey {
        let seed = std::fs::read(self.live.data().join("keys/box.key")).unwrap();
        BoxSigningKey::from_seed(&seed.try_into().unwrap(), "story")
    }
}

fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).find_map(
        |path| match path.is_dir() {
            true => find(&path, name),
            false => path.ends_with(name).then_some(path),
        },
    )
}

/// Name of a file within the data directory, as findings name it.
fn inside(stage: &Stage, path: &Path) -> String {
    path.strip_prefix(stage.live.data()).unwrap().to_str().unwrap().to_owned()
}

/// All items of a journal file with their offsets.
fn items(path: &Path) -> Vec<JournalItem> {
    let bytes = std::fs::read(path).unwrap();
    let mut reader = JournalReader::open(&bytes[..]).unwrap();
    std::iter::from_fn(|| reader.next_item().unwrap()).collect()
}

/// Writes a journal file anew with the facts that `keep` leaves, signed with the key.
fn forge(stage: &Stage, keep: impl Fn(&Fact) -> bool) {
    let (path, key) = (stage.journal(), stage.key());
    let day = path.file_stem().unwrap().to_str().unwrap().to_owned();
    let (mut writer, mut bytes) = (JournalWriter::new(), Vec::new());
    writer.begin_day(&day, &mut bytes);
    let mut at = WallTime(0);
    for item in items(&path) {
        let JournalItem::Entry { entry, .. } = item else { continue };
        at = entry.at;
        if keep(&entry.fact) {
            writer.append(&JournalEntry { at, fact: entry.fact }, &mut bytes);
        }
    }
    writer.append_checkpoint(&key, at, &mut bytes);
    std::fs::write(&path, bytes).unwrap();
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy(&path, &to),
            false => drop(std::fs::copy(path, to).unwrap()),
        }
    }
}

/// Where the entry with this number begins.
fn offset_of(path: &Path, wanted: u64) -> usize {
    let found = items(path).into_iter().find_map(|item| match item {
        JournalItem::Entry { sequence, at, .. } | JournalItem::Checkpoint { sequence, at, .. } => {
            (sequence == wanted).then_some(at)
        }
        JournalItem::Damage { .. } => None,
    });
    usize::try_from(found.expect("has it")).unwrap()
}

#[test]
fn h5_truncated_end_is_found_by_witness_only() {
    let stage = Stage::new();
    let [first, last] = stage.told[..] else { panic!("{:?}", stage.told) };
    let path = stage.journal();
    let good = std::fs::read(&path).unwrap();
    // Cut right after the first start's last checkpoint, with what it recorded later.
    std::fs::write(&path, &good[..offset_of(&path, first + 1)]).unwrap();
    std::fs::remove_file(stage.media(1)).unwrap();
    assert_eq!(stage.verify().status(), 0, "without a witness it is a shorter story, and whole");
    let said = stage.verify_with_witness();
    let wanted = format!(
        "the journal ends with entry {first}, but the witness holds checkpoint {last}: the end was \
         cut off, or the data directory was replaced by an older copy. Up to checkpoint {first} \
         the journal is unchanged\n"
    );
    assert_eq!((said.out.as_str(), said.status()), (wanted.as_str(), 1));
}

#[test]
fn h5_history_resigned_with_own_key_is_found_by_witness() {
    let stage = Stage::new();
    let hidden = stage.ids[0].clone();
    let of = |fact: &Fact| match fact {
        Fact::RecordingBegan(began) => began.id.to_string() == hidden,
        Fact::RecordingEnded(ended) => ended.id.to_string() == hidden,
        Fact::FieldSet { id, .. } => id.to_string() == hidden,
        _ => false,
    };
    forge(&stage, |fact| !of(fact));
    std::fs::remove_file(stage.media(0)).unwrap();
    assert_eq!(stage.verify().status(), 0, "a person with the key can sign another story");
    let said = stage.verify_with_witness();
    let witness = stage.witness();
    let first = witness.strip_prefix("event what=checkpoint seq=").unwrap();
    let (first, _) = first.split_once(' ').unwrap();
    let [_, newest] = stage.told[..] else { panic!("{:?}", stage.told) };
    let wanted = format!(
        "entry {first} is not the checkpoint that the witness holds (up to {newest}): the journal \
         was rewritten, or continued from an older copy. The journal contains no checkpoint of the \
         witness\n"
    );
    assert_eq!((said.out.as_str(), said.status()), (wanted.as_str(), 1));
}

#[test]
fn h5_rollback_is_found_by_witness_after_continuing() {
    let mut stage = Stage::new();
    let old = stage.live.path("old");
    copy(&stage.live.data(), &old);
    stage.run("c3");
    let [.., common, newest] = stage.told[..] else { panic!("{:?}", stage.told) };
    stage.live.assert_verified_with(&["--witness", "witness.txt"]);
    std::fs::remove_dir_all(stage.live.data()).unwrap();
    copy(&old, &stage.live.data());
    assert_eq!(stage.verify().status(), 0);
    let said = stage.verify_with_witness();
    let wanted = format!(
        "the journal ends with entry {common}, but the witness holds checkpoint {newest}: the end \
         was cut off, or the data directory was replaced by an older copy. Up to checkpoint \
         {common} the journal is unchanged\n"
    );
    assert_eq!((said.out.as_str(), said.status()), (wanted.as_str(), 1));
    // The box goes on from the old copy, until its journal is longer than it ever was.
    let kept = stage.witness();
    stage.run("c4");
    stage.run("c5");
    std::fs::write(stage.live.path("witness.txt"), kept).unwrap();
    let said = stage.verify_with_witness();
    let start = "is not the checkpoint that the witness holds";
    let end = format!(
        "(up to {newest}): the journal was rewritten, or continued from an older copy. Up to \
         checkpoint {common} the journal is unchanged\n"
    );
    assert!(said.out.contains(start) && said.out.ends_with(&end), "{said:?}");
    assert_eq!((said.out.lines().count(), said.status()), (1, 1), "{said:?}");
}

#[test]
fn h5_exchanged_box_key_is_found_by_witness() {
    let mut stage = Stage::new();
    let (kept, first) = (stage.witness(), stage.witness().lines().count());
    std::fs::remove_dir_all(stage.live.data()).unwrap();
    stage.run("c6");
    std::fs::write(stage.live.path("witness.txt"), kept).unwrap();
    assert_eq!(stage.verify().status(), 0, "another box, and a whole story");
    let said = stage.verify_with_witness();
    assert_eq!(said.out.matches("is not signed by this recorder's key").count(), first, "{said:?}");
    assert_eq!(said.status(), 1);
}

#[test]
fn h5_edits_gaps_and_deletions_are_found() {
    let stage = Stage::new();
    let path = stage.journal();
    let name = inside(&stage, &path);
    let good = std::fs::read(&path).unwrap();
    let says = |bytes: &[u8], wanted: &str| {
        std::fs::write(&path, bytes).unwrap();
        let said = stage.verify();
        std::fs::write(&path, &good).unwrap();
        assert!(said.out.starts_with(wanted) && said.status() == 1, "{wanted}\n{said:?}");
    };
    let (third, fourth) = (offset_of(&path, 3), offset_of(&path, 4));
    let mut edited = good.clone();
    edited[third + 8] ^= 1;
    says(&edited, &format!("{name}: at byte {third}: the bytes do not match their checksum"));
    let deleted = [&good[..third], &good[fourth..]].concat();
    let broken = "the entry does not follow from the one before it: the hash chain is broken";
    says(&deleted, &format!("{name}: at byte {third}: {broken}"));
    let doubled = [&good[..fourth], &good[third..]].concat();
    says(&doubled, &format!("{name}: at byte {fourth}: {broken}"));
    says(&good[..good.len() - 5], &format!("{name}: nothing is valid from byte "));
    std::fs::remove_file(&path).unwrap();
    let said = stage.verify();
    assert_eq!(said.out.matches("this recording is not in the journal").count(), 2, "{said:?}");
    std::fs::write(&path, &good).unwrap();
    assert_eq!(stage.verify().status(), 0);
}

#[test]
fn h5_missing_swapped_or_edited_media_is_found() {
    let stage = Stage::new();
    let (one, two) = (stage.media(0), stage.media(1));
    let name = inside(&stage, &one);
    let good = std::fs::read(&one).unwrap();
    let says = |change: &dyn Fn(), wanted: &[String]| {
        change();
        let said = stage.verify();
        std::fs::write(&one, &good).unwrap();
        for wanted in wanted {
            assert!(said.out.contains(wanted) && said.status() == 1, "{wanted}\n{said:?}");
        }
    };
    let id = &stage.ids[0];
    let gone = format!("{name}: is missing, but recording {id} is not deleted");
    says(&|| std::fs::remove_file(&one).unwrap(), &[gone]);
    let header = format!("{name}: the recording named in its header does not match the journal");
    let digest = format!("{name}: its digest does not match the journal");
    says(&|| std::fs::write(&one, std::fs::read(&two).unwrap()).unwrap(), &[header]);
    // A trailer that says the audio ended otherwise, with a checksum made for it.
    let mut edited = good.clone();
    let trailer = edited.len() - 280;
    edited[trailer + 8] ^= 1;
    let end = edited.len() - 8;
    let sum = blake3::hash(&edited[trailer..end]);
    edited[end..].copy_from_slice(&sum.as_bytes()[..8]);
    let ended = format!("{name}: its end does not match the journal");
    says(&|| std::fs::write(&one, &edited).unwrap(), &[digest, ended]);
    let mut flipped = good.clone();
    flipped[trailer - 20] ^= 1;
    let damaged = format!("{name}: at byte ");
    says(&|| std::fs::write(&one, &flipped).unwrap(), &[damaged]);
    let cut = format!("{name}: its size ({} bytes, not {})", good.len() - 280, good.len());
    says(&|| std::fs::write(&one, &good[..trailer]).unwrap(), &[cut]);
    assert_eq!(stage.verify().status(), 0);
    let foreign = one.with_file_name("aaaaaaaaaaaaaaaa.hbm");
    std::fs::copy(&one, &foreign).unwrap();
    let said = stage.verify();
    let wanted = format!("{}: this recording is not in the journal\n", inside(&stage, &foreign));
    assert_eq!(said.out, wanted);
}

#[test]
fn h5_checkpoints_reach_all_but_own_only_sessions() {
    let mut live = Daemon::new(Site { roles: ", \"own\"", ..Site::short() });
    live.start();
    let mut early = live.session("hello monitor");
    let (started, _) = next_checkpoint(&mut early);
    let mut blind = live.session("hello agent user=a1");
    let id = record(&live, "c1");
    // The recording's end is signed, ten seconds after the one of the start at the earliest.
    let (closed, line) = next_checkpoint(&mut early);
    assert!(closed > started, "{line}");
    let mut late = live.session("hello supervisor user=boss");
    assert_eq!(next_checkpoint(&mut late), (closed, line), "who comes late is told it too");
    let shown = late.request(&format!("show {id}")).unwrap();
    assert!(shown.rows.iter().any(|row| row.get("what") == Some("ledger")), "it has ended");
    let mut waits = || blind.next_notification(std::time::Duration::ZERO).unwrap();
    while let Some(news) = waits() {
        assert!(matches!(news, Notification::State(_)), "{news:?}");
    }
    live.stop();
}
