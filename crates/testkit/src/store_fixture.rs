//! A data directory as a daemon leaves it, written with the store's own writers.
//!
//! Recordings are encoded from a known signal, so that an export can be compared sample by sample.

use crate::{ProgramOutput, run_tool};
use hushbox::audio::codec::Encoder;
use hushbox::audio::ring::Cleared;
use hushbox::audio::span::{Fate, Ledger, Run};
use hushbox::config::{CodecKind, Direction};
use hushbox::id::RecordingId;
use hushbox::store::fact::*;
use hushbox::store::journal::JournalWriter;
use hushbox::store::layout;
use hushbox::store::media::{MediaHeader, MediaWriter, SpanAccumulator};
use hushbox::store::seal::{
    DataKey, Envelope, generate_identity, parse_identities, seal_field, seal_numbers,
};
use hushbox::store::sign::BoxSigningKey;
use hushbox::time::{Position, WallTime};
use std::path::PathBuf;
use tempfile::TempDir;

/// 2026-11-22T12:00:00.000Z
pub const NOON: WallTime = WallTime(1_795_348_800_000);
pub const DAY: &str = "2026-11-22";
pub const FROM: Position = Position(1000);

/// Content of a recording.
pub struct RecordingPlan {
    pub n: u8,
    pub codec: CodecKind,
    pub sides: u8,
    pub sealed: bool,
    pub runs: Vec<Run>,
    /// If false, the recording is interrupted: no end, and a torn chunk.
    pub ended: bool,
}

/// A recorder's folder: `config.toml` and `data`.
pub struct StoreFixture {
    pub folder: TempDir,
    pub public: String,
    writer: JournalWriter,
    journal: Vec<u8>,
    media: Vec<(String, Vec<u8>)>,
}

/// A finished recording and its expected content.
pub struct Taken {
    pub id: String,
    pub path: PathBuf,
    pub ledger: Ledger,
    /// Interleaved; zero where nothing is stored.
    pub samples: Vec<i16>,
}

pub fn run(fate: Fate, frames: u32) -> Run {
    Run { fate, frames }
}

/// Noise without a zero.
pub fn signal(samples: usize, seed: u32) -> Vec<i16> {
    let mut state = seed | 1;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        i16::try_from(state >> 18).unwrap() - 8192
    };
    (0..samples).map(|_| next() | 1).collect()
}

impl Default for StoreFixture {
    fn default() -> StoreFixture {
        StoreFixture::new()
    }
}

impl StoreFixture {
    pub fn new() -> StoreFixture {
        let folder = tempfile::tempdir().unwrap();
        let config = "[box]\nname = \"box-01\"\ndata = \"data\"\n\
            [fields]\n1 = \"Caller name\"\n3 = \"Subject\"\n";
        std::fs::write(folder.path().join("config.toml"), config).unwrap();
        let (identity, public) = generate_identity();
        let made = StoreFixture {
            folder,
            public,
            writer: JournalWriter::new(),
            journal: Vec::new(),
            media: Vec::new(),
        };
        made.put(layout::IDENTITY, identity.as_bytes());
        made.put(layout::RECIPIENTS, made.public.as_bytes());
        made.put(layout::BOX_KEY, &[3; 32]);
        let bytes = made.key().public_key().to_bytes();
        made.put(layout::BOX_PUBLIC, data_encoding::HEXLOWER.encode(&bytes).as_bytes());
        let mut made = made;
        made.writer.begin_day(DAY, &mut made.journal);
        let (boot, version, rates) = (4, "0.1.0".to_owned(), vec![8000]);
        made.tell(Fact::BoxStarted { boot, version, rates });
        made
    }

    pub fn key(&self) -> BoxSigningKey {
        BoxSigningKey::from_seed(&[3; 32], "box-01")
    }

    pub fn path(&self, inside: &str) -> PathBuf {
        self.folder.path().join("data").join(inside)
    }

    pub fn put(&self, inside: &str, bytes: &[u8]) {
        let path = self.path(inside);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    pub fn tell(&mut self, fact: Fact) {
        self.writer.append(&JournalEntry { at: NOON, fact }, &mut self.journal);
    }

    /// Writes a checkpoint and returns its number, chain and signature in hexadecimal.
    pub fn checkpoint(&mut self) -> (u64, String, String) {
        let key = self.key();
        let made = self.writer.append_checkpoint(&key, NOON, &mut self.journal);
        let hex = &data_encoding::HEXLOWER;
        (made.sequence, hex.encode(&made.chain), hex.encode(&made.signature))
    }

    /// Writes all files to the disk.
    pub fn save(&self) {
        self.put(&layout::journal_path(DAY), &self.journal);
        self.media.iter().for_each(|(path, bytes)| self.put(path, bytes));
    }

    fn envelope(&self, plan: &RecordingPlan) -> Envelope {
        let random = [plan.n; 42];
        let text = std::fs::read_to_string(self.path(layout::IDENTITY)).unwrap();
        let identities = parse_identities(&text).unwrap();
        match plan.sealed {
            true => Envelope::for_recipients(random, &[identities[0].to_public()]).unwrap(),
            false => Envelope::without_key(random),
        }
    }

    /// Writes one recording with a blackout, numbers and two updates.
    pub fn record(&mut self, plan: &RecordingPlan) -> Taken {
        let Envelope { id, key, wrapped } = self.envelope(plan);
        self.begin(plan, id, key.as_ref());
        let mut encoder = Encoder::new(plan.codec, 8000, plan.sides, 16_000).unwrap();
        let header = MediaHeader {
            id,
            codec: plan.codec,
            rate: 8000,
            sides: plan.sides,
            bitrate: 16_000,
            channel: 2,
            from: FROM,
            began: NOON,
            boot: 4,
            delay: encoder.delay_frames(),
            wrapped,
        };
        let mut bytes = Vec::new();
        let mut writer = MediaWriter::create(&header, key.clone(), &mut bytes);
        let mut fold = SpanAccumulator::new(FROM, 0);
        plan.runs.iter().for_each(|run| fold.add_run(*run));
        let samples = encode(plan, &mut encoder, &mut writer, &mut bytes);
        let path = layout::media_path(NOON, id);
        if plan.ended {
            self.update(id, key.as_ref());
            let finished = writer.finish(RecordingEnd::CallEnd, &mut bytes);
            let spans = fold.spans().to_vec();
            self.tell(Fact::RecordingEnded(RecordingEnded {
                id,
                end: finished.end,
                to: finished.to,
                ledger: finished.ledger,
                blackout_spans: spans,
                digest: finished.digest,
                size: finished.size,
            }));
        } else {
            bytes.extend([0x55; 100]);
        }
        self.media.push((path.clone(), bytes));
        let path = self.path(&path);
        Taken { id: id.to_string(), path, ledger: writer.ledger(), samples }
    }

    fn begin(&mut self, plan: &RecordingPlan, id: RecordingId, key: Option<&DataKey>) {
        let call = CallFacts {
            number: CallNumber(u64::from(plan.n)),
            call: format!("c{}", plan.n),
            device: "1001".to_owned(),
            agent: Some("jdoe".to_owned()),
            direction: Some(Direction::In),
            began: NOON,
            ..CallFacts::default()
        };
        let numbers =
            PhoneNumbers { ani: Some("5551234".to_owned()), dnis: Some("800".to_owned()) };
        let sequence = self.writer.state().sequence;
        self.tell(Fact::RecordingBegan(RecordingBegan {
            id,
            call,
            numbers: seal_numbers(key, sequence, &numbers),
            channel: 2,
            rate: 8000,
            sides: plan.sides,
            codec: plan.codec,
            from: FROM,
            reasons: RecordReasons::from_reason(RecordReason::Agent),
            schedule: Some("on demand".to_owned()),
            why: "pressed".to_owned(),
            retain_until: WallTime(NOON.0 + 86_400_000),
            continues: None,
        }));
        let number = BlackoutNumber(u64::from(plan.n));
        let (agent, by) = ("jdoe".to_owned(), "jdoe".to_owned());
        let at = |at| vec![ChannelPosition { channel: 2, at: Position(at) }];
        let (call, holder) = (None, BlackoutHolder::Agent);
        let places = at(FROM.0 + 3000);
        self.tell(Fact::BlackoutOpened { number, agent, call, holder, by: by.clone(), places });
        let (end, places) = (BlackoutEnd::Stop, at(FROM.0 + 5000));
        self.tell(Fact::BlackoutClosed { number, end, by, places });
    }

    fn update(&mut self, id: RecordingId, key: Option<&DataKey>) {
        for text in ["Jane Doe", "Jane Roe"] {
            let value = seal_field(key, self.writer.state().sequence, text);
            self.tell(Fact::FieldSet { id, field: 1, by: "jdoe".to_owned(), value });
        }
    }

    pub fn tool(&self, words: &[&str]) -> ProgramOutput {
        run_tool(self.folder.path(), words)
    }
}

/// Encodes the signal in chunks of half a second; also returns the expected export.
fn encode(
    plan: &RecordingPlan,
    encoder: &mut Encoder,
    writer: &mut MediaWriter,
    bytes: &mut Vec<u8>,
) -> Vec<i16> {
    let sides = usize::from(plan.sides);
    let each = |run: &Run| std::iter::repeat_n(run.fate, usize::try_from(run.frames).unwrap());
    let fates: Vec<Fate> = plan.runs.iter().flat_map(each).collect();
    let mut samples = signal(fates.len() * sides, u32::from(plan.n));
    let grid = encoder.grid_frames();
    let mut payload = Vec::new();
    let mut chunk: Vec<Run> = Vec::new();
    for (n, fates) in fates.chunks(grid).enumerate() {
        let same = fates.chunk_by(|a, b| a == b);
        let runs = same.map(|same| run(same[0], u32::try_from(same.len()).unwrap()));
        let runs: Vec<Run> = runs.collect();
        let from = n * grid * sides;
        let piece = &mut samples[from..from + fates.len() * sides];
        encoder.encode_frame(&Cleared::for_tests(piece, sides, &runs), &mut payload);
        chunk.extend(runs);
        if n % 25 == 24 {
            writer.append_chunk(&merged(&chunk), &mut payload, bytes);
            chunk.clear();
        }
    }
    if plan.ended {
        encoder.finish(&mut payload);
    }
    writer.append_chunk(&merged(&chunk), &mut payload, bytes);
    samples
}

/// Merges adjacent runs of equal fate.
fn merged(runs: &[Run]) -> Vec<Run> {
    let same = runs.chunk_by(|a, b| a.fate == b.fate);
    same.map(|same| run(same[0].fate, same.iter().map(|run| run.frames).sum())).collect()
}
