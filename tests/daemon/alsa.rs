//! One call on a sound card: the real capture, the real codecs, real speech.
//!
//! A virtual card plays speech of espeak-ng; three daemons capture it through ALSA at the same
//! time, one for each codec, mono and stereo. The feed starts the call. The agent records, starts a
//! blackout in the middle of a sentence, names the caller, stops the blackout and, later, the
//! recording. Each export is compared with the speech: before and after the blackout it is the
//! speech, at the same distance, so the timeline kept its length; inside there is digital silence,
//! from the receipt's first sample to its last. opus-tools decodes the Opus file; around the
//! silence it has one packet, 20 ms, to fade.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use testkit::daemon::audio::{best_place, likeness, loudness, read_wav};
use testkit::daemon::client::Client;
use testkit::daemon::site::{Channel, Site};
use testkit::daemon::{Daemon, RATE, Record, await_ended, await_position};

/// What is said, by the agent (left) and by the customer (right).
const LEFT: &str = "Thank you for calling. May I have the number of your card, please? And the \
                    date of expiry? Thank you. Is there anything else that I can do for you today?";
const RIGHT: &str = "Good morning, it is about my invoice. My card number is four five three nine, \
                     one four eight eight, zero three four three, six four six seven. Many thanks.";

/// How far a stock decoder's silence may fade at either end, in frames: one packet of 20 ms and the
/// codec's look-ahead of 6.5 ms.
const EDGE: usize = 160 + 52;

/// A virtual card in a folder of its own; stops with the test.
struct Card(PathBuf);

impl Card {
    fn start(folder: &Path) -> Card {
        let card = Card(folder.join("card"));
        assert!(card.run("start"), "the virtual card does not start");
        card
    }

    fn run(&self, verb: &str) -> bool {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/testkit/virtual-card.sh");
        Command::new(script).arg(verb).arg(&self.0).status().unwrap().success()
    }

    fn env(&self) -> Vec<(String, String)> {
        let text = std::fs::read_to_string(self.0.join("env")).unwrap();
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    fn play(&self, wav: &Path) -> Child {
        let mut aplay = Command::new("aplay");
        aplay.args(["-q", "-D", "play"]).arg(wav).envs(self.env());
        aplay.stdin(Stdio::null()).spawn().unwrap()
    }
}

impl Drop for Card {
    fn drop(&mut self) {
        self.run("stop");
    }
}

fn run(program: &str, words: &[&str]) {
    let ended = Command::new(program).args(words).stdin(Stdio::null()).output();
    let ended = ended.unwrap_or_else(|error| panic!("{program}: {error}; see `make setup`"));
    let error = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{program} {words:?}: {error}");
}

/// Both voices as one WAV file of two sides at 8 kHz. A sink that was idle may swallow the first
/// moments of what is played: these are silence.
fn speak(folder: &Path) -> PathBuf {
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    run("espeak-ng", &["-v", "en", "-s", "165", "-w", &path("left.wav"), LEFT]);
    run("espeak-ng", &["-v", "en+f3", "-s", "165", "-w", &path("right.wav"), RIGHT]);
    let both = [path("left.wav"), path("right.wav"), path("speech.wav")];
    run("sox", &["-M", &both[0], &both[1], "-r", "8000", "-b", "16", &both[2], "pad", "0.5"]);
    folder.join("speech.wav")
}

/// One side of interleaved samples.
fn side(samples: &[i16], side: usize, sides: usize) -> Vec<i16> {
    samples.iter().skip(side).step_by(sides).copied().collect()
}

/// One box at the card, with its codec and what it recorded.
struct Desk {
    story: Daemon,
    agents: Vec<Client>,
    watcher: Client,
    recordings: Vec<String>,
    /// By agent: the receipt of the blackout.
    blackouts: Vec<(u64, u64)>,
}

impl Desk {
    fn open(card: &Card, codec: &'static str, channels: &[(u8, &'static [u16])]) -> Desk {
        let channel = |(id, (sides, slots)): (u16, &(u8, &'static [u16]))| Channel {
            id,
            sides: *sides,
            slots,
        };
        let channels = (1..).zip(channels).map(channel).collect();
        let env = card.env();
        let site = Site { codec, alsa: Some("cap"), channels, env, ..Site::sim(&[]) };
        let story = Daemon::start_new(site);
        let mut watcher = story.client("hello monitor");
        watcher.ok("watch");
        let (agents, recordings, blackouts) = (Vec::new(), Vec::new(), Vec::new());
        Desk { story, agents, watcher, recordings, blackouts }
    }

    /// A call on every channel, recorded by its agent.
    fn record(&mut self) {
        let mut pbx = self.story.client("hello cti");
        for channel in self.story.site.channels.clone() {
            let id = channel.id;
            pbx.ok(&format!("call start device={} call=c{id} ani=5551234", 1000 + id));
            let mut agent = self.story.client(&format!("hello agent user=a{id}"));
            self.recordings.push(agent.ok("record start").get("recording").to_owned());
            self.agents.push(agent);
        }
    }

    fn await_ms(&mut self, ms: u64) {
        let position = testkit::daemon::position_of(&mut self.watcher, 1) + ms * RATE / 1000;
        await_position(&mut self.watcher, 1, position);
    }

    fn black_out(&mut self) {
        for agent in &mut self.agents {
            let on = agent.ok("blackout start");
            assert_eq!(on.number("at") - on.number("from"), 400 * RATE / 1000);
        }
    }

    fn clear(&mut self) {
        for agent in &mut self.agents {
            let off = agent.ok("blackout stop");
            self.blackouts.push((off.number("from"), off.number("to")));
        }
    }

    fn stop(&mut self) {
        for agent in &mut self.agents {
            assert_eq!(agent.ok("record stop").get("state"), "off");
        }
    }

    fn close(&mut self) {
        let recordings: Vec<&str> = self.recordings.iter().map(String::as_str).collect();
        await_ended(&mut self.watcher, &recordings);
        self.story.stop();
    }

    /// Checks one recording, and its export to a WAV file, and to Opus where there is one.
    fn assert_recording(&self, index: usize, speech: &[i16]) {
        let channel = &self.story.site.channels[index];
        let (from, to) = self.blackouts[index];
        let record = self.story.show(&self.recordings[index]);
        record.assert_ledger();
        assert_eq!(record.blackouts(), [(from, to)]);
        assert_eq!(record.spans("masked"), [(from, to)]);
        assert_eq!(record.number("/ledger/lost"), 0, "{record:?}");
        assert_eq!(record.text("/fields/1/value"), "Jane Roe");
        let (wav, manifest) = self.story.export(&self.recordings[index], "wav");
        assert_eq!(manifest.0["ledger"], record.0["ledger"]);
        let opus = self.story.export(&self.recordings[index], "opus").0;
        let decoded = opus.with_extension("decoded.wav");
        let [opus, out] = [&opus, &decoded].map(|path| path.to_str().unwrap());
        run("opusdec", &["--quiet", "--no-dither", "--rate", "48000", opus, out]);
        let (wav, opus) = (read_wav(&wav), read_wav(&decoded));
        let around = (from - record.from(), to - record.from());
        let mut distance = None;
        for (number, slot) in channel.slots.iter().enumerate() {
            let speech = side(speech, usize::from(*slot), 2);
            for (export, edge) in [(&wav, 0), (&opus, EDGE)] {
                let heard = heard(export, (number, usize::from(channel.sides)), &record);
                assert_silent(&heard, around, edge);
                let heard: Vec<i16> = heard.iter().map(|samples| samples[0]).collect();
                assert_speech(&heard, &speech, around, &mut distance);
            }
        }
    }
}

/// One side of an export: for each frame of the recording the samples it has there, one in a WAV
/// file, six in decoded Opus. Its length is that of the recording, exactly.
fn heard(
    (sound, rate, found): &(Vec<i16>, u32, u16),
    (number, sides): (usize, usize),
    record: &Record,
) -> Vec<Vec<i16>> {
    assert_eq!(usize::from(*found), sides);
    let times = usize::try_from(u64::from(*rate) / RATE).unwrap();
    let frames = usize::try_from(record.number("/ledger/captured")).unwrap();
    assert_eq!(sound.len(), frames * times * sides, "the timeline keeps its length");
    side(sound, number, sides).chunks_exact(times).map(<[i16]>::to_vec).collect()
}

fn assert_silent(heard: &[Vec<i16>], (from, to): (u64, u64), edge: usize) {
    let [from, to] = [from, to].map(|at| usize::try_from(at).unwrap());
    let hidden = heard[from + edge..to - edge].iter().flatten();
    let loud = hidden.filter(|sample| **sample != 0).count();
    assert_eq!(loud, 0, "samples that are not silent under the blackout {from} to {to}");
}

/// Before and after the blackout there is speech, and it lies at the same distance from where it
/// lies in the source; all of this card that the box recorded does.
fn assert_speech(
    heard: &[i16],
    speech: &[i16],
    (from, to): (u64, u64),
    distance: &mut Option<i64>,
) {
    let [from, to] = [from, to].map(|at| usize::try_from(at).unwrap());
    let before = loudest_piece(&heard[..from - EDGE], 0);
    let after = loudest_piece(&heard[to + EDGE..], to + EDGE);
    let signed = |at: usize| i64::try_from(at).unwrap();
    let found = || best_place(&heard[before..before + PIECE], speech);
    let distance = *distance.get_or_insert_with(|| signed(before) - signed(found()));
    for at in [before, after] {
        let piece = &heard[at..at + PIECE];
        let place = usize::try_from(signed(at) - distance).unwrap();
        let places = place.saturating_sub(SLACK)..=place + SLACK;
        let pieces = places.filter_map(|place| speech.get(place..place + PIECE));
        let alike = pieces.map(|spoken| likeness(piece, spoken));
        let alike = alike.fold(0.0, f64::max);
        assert!(alike > 0.8, "at {at} only {alike:.2} alike to the speech");
    }
}

/// So many frames may a codec be late, or early.
const SLACK: usize = 4;

/// Half a second.
const PIECE: usize = 4000;

/// Where the loudest half second begins.
fn loudest_piece(heard: &[i16], start: usize) -> usize {
    let places = (0..heard.len() - PIECE).step_by(400);
    let loud = |at: &usize| loudness(&heard[*at..*at + PIECE]);
    let best = places.max_by(|a, b| loud(a).total_cmp(&loud(b))).unwrap();
    assert!(loud(&best) > 300.0, "no voice is heard");
    start + best
}

#[test]
fn a1_a3_a4_g1_g2_h7_alsa_call_equals_speech_except_blackout() {
    let folder = tempfile::Builder::new().prefix("hushbox-card-").tempdir().unwrap();
    let card = Card::start(folder.path());
    let wav = speak(folder.path());
    let mut desks = [
        Desk::open(&card, "opus", &[(1, &[1]), (2, &[0, 1])]),
        Desk::open(&card, "pcm", &[(2, &[1, 0])]),
        Desk::open(&card, "ulaw", &[(1, &[0])]),
    ];
    desks.iter_mut().for_each(Desk::record);
    let mut aplay = card.play(&wav);
    desks[0].await_ms(3500);
    desks.iter_mut().for_each(Desk::black_out);
    desks[0].await_ms(1000);
    for agent in desks.iter_mut().flat_map(|desk| &mut desk.agents) {
        agent.ok("update 1 \"Jane Roe\"");
    }
    desks.iter_mut().for_each(Desk::clear);
    desks[0].await_ms(3000);
    desks.iter_mut().for_each(Desk::stop);
    desks.iter_mut().for_each(Desk::close);
    aplay.kill().unwrap();
    aplay.wait().unwrap();

    let (speech, _, _) = read_wav(&wav);
    for desk in &desks {
        for index in 0..desk.recordings.len() {
            desk.assert_recording(index, &speech);
        }
        desk.story.assert_verified();
    }
}

#[test]
fn likeness_separates_different_speech() {
    let noise = testkit::daemon::audio::noise(8000);
    assert_eq!(best_place(&noise[2000..3000], &noise), 2000);
    assert!(likeness(&noise[..4000], &noise[..4000]) > 0.99);
    assert!(likeness(&noise[..4000], &noise[4000..]) < 0.2);
}
