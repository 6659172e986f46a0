//! The story of two calls, on a box whose lines play noise that is known to the last bit.
//!
//! Two phones are in a call each, one recorded mono, one with two sides. Both agents record. The
//! first blacks out, names the caller, blacks out again only for a moment, and stops recording; the
//! second blacks out with a short reach back, and her caller hangs up. Then the exports are
//! compared with what was played, sample by sample: the same outside of the blackouts, zeros
//! inside, where the receipts said. And every byte the box left on its disk is searched: of what
//! was said under a blackout there is no stretch of 16 samples anywhere. What was said outside is
//! found there, so the search can find; unless recordings are sealed, then not even that.

use std::path::PathBuf;
use testkit::daemon::audio::{self, Needles, STRETCH, bytes_of, noise};
use testkit::daemon::client::Client;
use testkit::daemon::site::Site;
use testkit::daemon::{Daemon, RATE, Record, await_ended, await_position};

/// What a receipt said of a blackout: from, to.
type Stretch = (u64, u64);

/// One recording, as its agent was told of it.
struct Told {
    channel: u16,
    sides: u8,
    recording: String,
    from: u64,
    /// Receipts, in order.
    blackouts: Vec<Stretch>,
}

/// Both recordings of the story.
fn tell(story: &Daemon) -> [Told; 2] {
    let mut pbx = story.client("hello cti user=pbx");
    let mut watcher = story.client("hello monitor");
    watcher.ok("watch");
    let mut first = story.client("hello agent user=a1 domain=ACME machine=WS-1");
    let mut second = story.client_over_unix("hello agent user=A2 machine=WS-2");
    first.err("record start", "no-call");
    pbx.ok("call start device=1001 call=c1 ani=5551234 dnis=800 direction=in");
    pbx.ok("call start device=1002 call=c2 direction=out");
    let began = [first.ok("record start"), second.ok("record start")];
    let [one, two] = began.each_ref().map(|ok| (ok.get("recording").to_owned(), ok.number("from")));
    assert_eq!(first.ok("record start").get("recording"), one.0, "a second press changes nothing");

    await_position(&mut watcher, 1, one.1 + RATE);
    let long = black_out(&mut first, &mut watcher, 1, ("", 400));
    await_position(&mut watcher, 2, two.1 + RATE * 2);
    let short = black_out(&mut second, &mut watcher, 2, ("lead_ms=50", 50));
    assert_eq!(first.ok("update 1 \"Jane Roe\"").get("recording"), one.0);
    first.err("update 1 \"a<b\"", "bad-characters");
    first.err("update 2 \"x\"", "denied");
    let brief = press_twice(&mut first);
    await_position(&mut watcher, 1, brief.1 + RATE / 2);
    let off = first.ok("record stop");
    assert_eq!((off.get("state"), off.get("reasons")), ("off", "-"));
    assert_eq!(pbx.ok("call stop device=1002 call=c2").get("recordings"), "1");
    await_ended(&mut watcher, &[&one.0, &two.0]);
    pbx.ok("call stop device=1001 call=c1");
    let blackouts = vec![long, brief];
    [
        Told { channel: 1, sides: 1, recording: one.0, from: one.1, blackouts },
        Told { channel: 2, sides: 2, recording: two.0, from: two.1, blackouts: vec![short] },
    ]
}

/// Blacks out for half a second and a bit; `lead` as it is asked for, and what it must be.
fn black_out(
    agent: &mut Client,
    watcher: &mut Client,
    channel: u16,
    (lead, lead_ms): (&str, u64),
) -> Stretch {
    let on = agent.ok(&format!("blackout start {lead}"));
    assert_eq!(on.get("channels"), channel.to_string());
    assert_eq!(on.number("at") - on.number("from"), lead_ms * RATE / 1000, "the lead, exactly");
    await_position(watcher, channel, on.number("at") + RATE / 2);
    let again = agent.ok("blackout start");
    assert_eq!(again.pairs, on.pairs, "a second press gets the first one's receipt");
    let off = agent.ok("blackout stop");
    assert_eq!(off.get("recording"), on.get("recording"));
    assert_eq!(off.get("from"), on.get("from"), "both receipts say the same");
    assert!(off.number("to") >= on.number("at") + RATE / 2);
    (off.number("from"), off.number("to"))
}

/// A blackout that ends at once still hides what was said before the press.
fn press_twice(agent: &mut Client) -> Stretch {
    let on = agent.ok("blackout start");
    let off = agent.ok("blackout stop");
    assert!(off.number("to") >= on.number("at"));
    assert_eq!(agent.ok("blackout stop").get("from"), "-", "there is none to stop any more");
    (on.number("from"), off.number("to"))
}

impl Told {
    /// What was played between two positions.
    fn played(&self, story: &Daemon, (from, to): Stretch) -> Vec<i16> {
        let sides = u64::from(self.sides);
        let index = |position: u64| usize::try_from(position * sides).unwrap();
        story.sounds[&self.channel][index(from)..index(to)].to_vec()
    }

    /// What must be in the export: zeros under blackouts, the source elsewhere.
    fn expected(&self, story: &Daemon, to: u64) -> Vec<i16> {
        let mut sound = self.played(story, (self.from, to));
        for (from, to) in &self.blackouts {
            let sides = u64::from(self.sides);
            let index = |position| usize::try_from((position - self.from) * sides).unwrap();
            sound[index(*from)..index(*to)].fill(0);
        }
        sound
    }

    /// Stretches of the recording that may be kept.
    fn open(&self, to: u64) -> Vec<Stretch> {
        let mut open = Vec::new();
        let mut at = self.from;
        for blackout in &self.blackouts {
            open.push((at, blackout.0));
            at = blackout.1;
        }
        open.push((at, to));
        open
    }

    /// Record, receipts and export agree with each other and with what was played.
    fn assert_record(&self, story: &Daemon, end: &str) -> (PathBuf, Record) {
        let shown = story.show(&self.recording);
        shown.assert_ledger();
        assert_eq!(shown.from(), self.from);
        assert_eq!(shown.text("/end"), end);
        assert_eq!(shown.blackouts(), self.blackouts);
        assert_eq!(shown.spans("masked"), self.blackouts);
        assert_eq!((shown.number("/ledger/held"), shown.number("/ledger/lost")), (0, 0));
        let (path, manifest) = story.export(&self.recording, "wav");
        assert_eq!(manifest.blackouts(), self.blackouts);
        assert_eq!(manifest.0["ledger"], shown.0["ledger"]);
        let (sound, rate, sides) = audio::read_wav(&path);
        assert_eq!((u64::from(rate), sides), (RATE, u16::from(self.sides)));
        let expected = self.expected(story, shown.to());
        assert_eq!(sound.len(), expected.len(), "the timeline keeps its length");
        assert!(sound == expected, "the export is not what was played, or not masked");
        (path, manifest)
    }
}

/// Searches the data directory and the exports for what was said under and outside of blackouts.
struct Search {
    hidden: Needles,
    open: Needles,
}

impl Search {
    fn new(story: &Daemon, told: &[Told; 2], records: &[Record; 2]) -> Search {
        let mut search = Search { hidden: Needles::default(), open: Needles::default() };
        for (one, record) in told.iter().zip(records) {
            for blackout in &one.blackouts {
                search.hidden.add(&one.played(story, *blackout), one.sides);
            }
            for open in one.open(record.to()) {
                search.open.add(&one.played(story, open), one.sides);
            }
        }
        assert!(search.hidden.count() > 8000, "{} stretches", search.hidden.count());
        search
    }

    fn assert_nothing_hidden(&self, path: &std::path::Path, bytes: &[u8]) {
        assert_eq!(self.hidden.found_in(bytes), 0, "masked audio in {}", path.display());
    }
}

/// Tells the story and checks everything that does not depend on sealing; returns the number of
/// open stretches found in the data directory, and how many there are.
fn one_session(seal: bool) -> (Daemon, [Told; 2], usize, usize) {
    let mut story = Daemon::start_new(Site { seal, ..Site::sim(&[1, 2]) });
    let told = tell(&story);
    story.assert_verified();
    story.stop();
    let first = told[0].assert_record(&story, "stop");
    let second = told[1].assert_record(&story, "call-end");
    let (paths, records) = ([first.0, second.0], [first.1, second.1]);
    let search = Search::new(&story, &told, &records);
    let mut found = 0;
    for (path, bytes) in story.data_files() {
        search.assert_nothing_hidden(&path, &bytes);
        found += search.open.found_in(&bytes);
    }
    for path in paths {
        let bytes = std::fs::read(&path).unwrap();
        search.assert_nothing_hidden(&path, &bytes);
        assert!(search.open.found_in(&bytes) > 8000, "the search is blind");
    }
    let text = story.show_text(&told[0].recording);
    assert!(text.contains("Jane Roe") && text.contains("5551234"), "{text}");
    assert_eq!(records[0].text("/fields/1/value"), "Jane Roe");
    assert_eq!(records[0].0["history"].as_array().unwrap().len(), 1, "refused ones change nothing");
    story.assert_verified();
    let count = search.open.count();
    (story, told, found, count)
}

/// Where `text` stands in the data directory.
fn files_with(story: &Daemon, text: &str) -> Vec<PathBuf> {
    let has = |bytes: &[u8]| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    let files = story.data_files().into_iter().filter(|(_, bytes)| has(bytes));
    files.map(|(path, _)| path).collect()
}

#[test]
fn a1_a3_a4_f1_f4_g1_g2_h7_calls_are_bit_exact_except_blackouts() {
    let (story, _, found, count) = one_session(false);
    // A stretch over the seam of two chunks lies apart; the sides of stereo lie interleaved.
    assert!(found * 2 > count, "{found} of {count} open stretches found: the search is blind");
    assert_ne!(files_with(&story, "Jane Roe"), [""; 0].map(PathBuf::from));
}

#[test]
fn g1_h5_h6_sealed_store_shows_no_audio() {
    let (story, told, found, _) = one_session(true);
    assert_eq!(found, 0, "open audio lies on the disk of a sealed box");
    for personal in ["Jane Roe", "5551234"] {
        assert_eq!(files_with(&story, personal), [""; 0].map(PathBuf::from), "{personal}");
    }
    // Without the identity nothing opens; the record itself still lists.
    std::fs::remove_file(story.data().join("keys/identity.txt")).unwrap();
    let (id, to) = (&told[0].recording, story.path("closed.wav"));
    let refused = story.tool(&["export", id, "--to", to.to_str().unwrap()]);
    assert_eq!(refused.code, Some(77), "{}", refused.err);
    assert!(!testkit::daemon::is_there(&to));
    assert!(!story.show_text(id).contains("Jane Roe"));
}

#[test]
fn search_finds_only_what_is_there() {
    let sound = noise(4000);
    let needles = Needles::of(&sound[..2000], 2);
    let mut hay = vec![7];
    hay.extend(bytes_of(&sound[100..100 + STRETCH]));
    assert_eq!(needles.found_in(&hay), 1, "at an odd byte, interleaved");
    let left: Vec<i16> = sound.iter().skip(200).step_by(2).take(STRETCH).copied().collect();
    assert_eq!(needles.found_in(&bytes_of(&left)), 1, "one side alone");
    assert_eq!(needles.found_in(&bytes_of(&left[1..])), 0, "too short");
    assert_eq!(needles.found_in(&bytes_of(&sound[2000..])), 0, "other audio");
    assert_eq!(Needles::of(&sound[..STRETCH], 1).count(), 1);
}
