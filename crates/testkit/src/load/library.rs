//! A store with days of recordings and one long recording, written with the store's own writers.
//!
//! Each recording has its own numbers and a field. The demonstration audio is encoded once and
//! repeated: tests measure search and transfer, not sound.

use hushbox::audio::codec::Encoder;
use hushbox::audio::ring::Cleared;
use hushbox::audio::span::{Fate, Run};
use hushbox::config::{CodecKind, Direction};
use hushbox::id::RecordingId;
use hushbox::store::day::Day;
use hushbox::store::fact::{
    CallFacts, CallNumber, Fact, JournalEntry, PhoneNumbers, RecordReason, RecordReasons,
    RecordingBegan, RecordingEnd, RecordingEnded,
};
use hushbox::store::journal::JournalWriter;
use hushbox::store::layout;
use hushbox::store::media::{FinishedFile, MediaHeader, MediaWriter};
use hushbox::store::seal::{
    DataKey, Envelope, Recipient, generate_identity, parse_recipients, seal_field, seal_numbers,
};
use hushbox::store::sign::BoxSigningKey;
use hushbox::time::{Position, WallTime};
use std::path::{Path, PathBuf};

const RATE: u32 = 8000;
const DAY_MS: i64 = 86_400_000;
/// Chunks of half a second per call.
const CALL_CHUNKS: usize = 4;
/// Encoded chunks to repeat: half a minute.
const CODED_CHUNKS: usize = 60;
const CHUNK_FRAMES: u32 = RATE / 2;
const SEED: [u8; 32] = [9; 32];

/// Size of the library.
#[derive(Clone, Copy)]
pub struct LibraryPlan {
    pub days: u32,
    pub a_day: u32,
    pub long_s: usize,
}

impl LibraryPlan {
    pub fn count(&self) -> u32 {
        self.days * self.a_day + 1
    }
}

/// Target folder and prepared audio.
pub struct Library {
    plan: LibraryPlan,
    data: PathBuf,
    recipients: Vec<Recipient>,
    coded: Vec<Vec<u8>>,
    delay: u16,
}

/// Caller number of the `n`-th recording, from 0.
pub fn ani(n: u32) -> String {
    format!("+43699{n:06}")
}

impl Library {
    pub fn new(plan: LibraryPlan, data: &Path, wav: &Path) -> Library {
        let (identity, public) = generate_identity();
        for folder in [layout::JOURNAL, layout::KEYS, layout::MEDIA] {
            std::fs::create_dir_all(data.join(folder)).unwrap();
        }
        std::fs::write(data.join(layout::IDENTITY), &*identity).unwrap();
        std::fs::write(data.join(layout::RECIPIENTS), &public).unwrap();
        std::fs::write(data.join(layout::BOX_KEY), SEED).unwrap();
        let (coded, delay) = code(wav);
        let recipients = parse_recipients(&public).unwrap();
        Library { plan, data: data.to_path_buf(), recipients, coded, delay }
    }

    /// Writes days of recordings that end the day before `today`. Returns the id of the long one,
    /// which starts at that day's midnight.
    pub fn write(&self, today: Day) -> String {
        let (mut writer, mut id) = (JournalWriter::new(), String::new());
        let LibraryPlan { days, a_day, long_s } = self.plan;
        for nth in 0..days {
            let day = Day(today.0 - days + nth);
            let midnight = WallTime(i64::from(day.0) * DAY_MS);
            let mut bytes = Vec::new();
            writer.begin_day(&day.to_string(), &mut bytes);
            if nth == 0 {
                let fact = Fact::BoxStarted { boot: 1, version: "0".into(), rates: vec![RATE] };
                writer.append(&JournalEntry { at: midnight, fact }, &mut bytes);
            }
            if nth == days - 1 {
                let long = (days * a_day, midnight, long_s * 2);
                id = self.record(long, &mut writer, &mut bytes);
            }
            for call in 0..a_day {
                // Every five minutes from 8:00, plus 7 ms per call.
                let at = WallTime(midnight.0 + 28_800_000 + i64::from(call) * 300_007);
                self.record((nth * a_day + call, at, CALL_CHUNKS), &mut writer, &mut bytes);
            }
            let at = WallTime(midnight.0 + DAY_MS - 1000);
            writer.append_checkpoint(&BoxSigningKey::from_seed(&SEED, "library"), at, &mut bytes);
            let path = self.data.join(layout::journal_path(&day.to_string()));
            std::fs::write(path, bytes).unwrap();
        }
        id
    }

    /// Writes one recording with its file and returns its id.
    fn record(
        &self,
        (n, at, chunks): (u32, WallTime, usize),
        writer: &mut JournalWriter,
        journal: &mut Vec<u8>,
    ) -> String {
        let mut random = [0; 42];
        random.copy_from_slice(&[blake3::hash(&n.to_le_bytes()).as_bytes(), &SEED[..10]].concat());
        let Envelope { id, key, wrapped } =
            Envelope::for_recipients(random, &self.recipients).unwrap();
        let phone = 1001 + n % 64;
        let call = CallFacts {
            number: CallNumber(u64::from(n) + 1),
            call: format!("c{n}"),
            device: phone.to_string(),
            agent: Some(format!("u{phone}")),
            direction: Some(Direction::In),
            began: at,
            ..CallFacts::default()
        };
        let mut tell =
            |at: WallTime, fact: Fact| writer.append(&JournalEntry { at, fact }, journal);
        let key = key.as_ref();
        let numbers = PhoneNumbers { ani: Some(ani(n)), dnis: Some("0800123456".to_owned()) };
        let numbers = seal_numbers(key, u64::from(n), &numbers);
        tell(at, Fact::CallBegan { call: call.clone(), numbers: numbers.clone() });
        tell(at, began(id, call, numbers));
        let finished = self.media((id, at, chunks), key, wrapped);
        let end = WallTime(at.0 + i64::try_from(chunks).unwrap() * 500);
        let value = seal_field(key, u64::from(n), &format!("Customer {n}"));
        tell(end, Fact::FieldSet { id, field: 1, by: format!("u{phone}"), value });
        let number = CallNumber(u64::from(n) + 1);
        tell(end, Fact::CallEnded { number, why: "stop".to_owned() });
        tell(
            end,
            Fact::RecordingEnded(RecordingEnded {
                id,
                end: finished.end,
                to: finished.to,
                ledger: finished.ledger,
                blackout_spans: Vec::new(),
                digest: finished.digest,
                size: finished.size,
            }),
        );
        id.to_string()
    }

    fn media(
        &self,
        (id, at, chunks): (RecordingId, WallTime, usize),
        key: Option<&DataKey>,
        wrapped: Vec<u8>,
    ) -> FinishedFile {
        let header = MediaHeader {
            id,
            codec: CodecKind::Opus,
            rate: RATE,
            sides: 1,
            bitrate: 16_000,
            channel: 1,
            from: Position(0),
            began: at,
            boot: 1,
            delay: self.delay,
            wrapped,
        };
        let mut bytes = Vec::new();
        let mut writer = MediaWriter::create(&header, key.cloned(), &mut bytes);
        let run = [Run { fate: Fate::Stored, frames: CHUNK_FRAMES }];
        for payload in self.coded.iter().cycle().take(chunks) {
            writer.append_chunk(&run, &mut payload.clone(), &mut bytes);
        }
        let finished = writer.finish(RecordingEnd::CallEnd, &mut bytes);
        let path = self.data.join(layout::media_path(at, id));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
        finished
    }
}

fn began(id: RecordingId, call: CallFacts, numbers: hushbox::store::fact::SealedBytes) -> Fact {
    Fact::RecordingBegan(RecordingBegan {
        id,
        retain_until: WallTime(call.began.0 + 3650 * DAY_MS),
        call,
        numbers,
        channel: 1,
        rate: RATE,
        sides: 1,
        codec: CodecKind::Opus,
        from: Position(0),
        reasons: RecordReasons::from_reason(RecordReason::Agent),
        schedule: Some("on demand".to_owned()),
        why: String::new(),
        continues: None,
    })
}

/// Encodes the audio in chunks; also returns the encoder's delay.
fn code(wav: &Path) -> (Vec<Vec<u8>>, u16) {
    let mut reader = hound::WavReader::open(wav).unwrap();
    let sound: Vec<i16> = reader.samples::<i16>().map(Result::unwrap).collect();
    let mut sound = sound.into_iter().cycle();
    let mut encoder = Encoder::new(CodecKind::Opus, RATE, 1, 16_000).unwrap();
    let grid = encoder.grid_frames();
    let run = [Run { fate: Fate::Stored, frames: u32::try_from(grid).unwrap() }];
    let mut chunk = || {
        let mut payload = Vec::new();
        for _ in 0..usize::try_from(CHUNK_FRAMES).unwrap() / grid {
            let mut samples: Vec<i16> = sound.by_ref().take(grid).collect();
            encoder.encode_frame(&Cleared::for_tests(&mut samples, 1, &run), &mut payload);
        }
        payload
    };
    let coded = (0..CODED_CHUNKS).map(|_| chunk()).collect();
    (coded, encoder.delay_frames())
}
