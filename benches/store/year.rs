//! A year of calls, the same for every store: 64 agents, every call recorded with one field set,
//! and a blackout in every fourth.
//!
//! `write_journals` passes them to the store's own writer, one file per day. Retention is long
//! and there are no media files; only the records are measured.

use hushbox::audio::span::{Fate, Ledger};
use hushbox::config::{CodecKind, Direction};
use hushbox::id::RecordingId;
use hushbox::store::day::Day;
use hushbox::store::fact::{
    BlackoutEnd, BlackoutHolder, BlackoutNumber, CallFacts, CallNumber, ChannelPosition, Fact,
    FactSpan, JournalEntry, PhoneNumbers, RecordReason, RecordReasons, RecordingBegan,
    RecordingEnd, RecordingEnded, SealedBytes,
};
use hushbox::store::journal::JournalWriter;
use hushbox::store::layout;
use hushbox::store::seal::{self, DataKey};
use hushbox::store::sign::BoxSigningKey;
use hushbox::time::{Position, WallTime};
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::Path;

pub const DAYS: u32 = 365;
const DAY_MS: i64 = 86_400_000;
const CALL_MS: i64 = 180_000;
const SEED: [u8; 32] = [7; 32];

/// A year with a number of calls, ending on a given day.
#[derive(Clone, Copy)]
pub struct Year {
    pub calls: u64,
    pub last: Day,
}

pub struct Call {
    pub number: u64,
    pub at: WallTime,
    pub end: WallTime,
    pub channel: u16,
    pub device: String,
    pub agent: String,
    pub call: String,
    pub id: RecordingId,
    pub digest: [u8; 32],
    pub blackout: bool,
    /// Start position; the box runs all year.
    pub from: u64,
}

/// Sealed facts with realistic lengths.
pub struct SealedFacts {
    pub numbers: SealedBytes,
    pub field: SealedBytes,
}

impl SealedFacts {
    pub fn new() -> SealedFacts {
        let key = DataKey::from_random(SEED);
        let known = |text: &str| Some(text.to_owned());
        let numbers = PhoneNumbers { ani: known("+4369912345678"), dnis: known("0800123456") };
        let field = seal::seal_field(Some(&key), 2, "Jane Roe, about the bill");
        SealedFacts { numbers: seal::seal_numbers(Some(&key), 1, &numbers), field }
    }
}

impl Year {
    /// Returns the calls of the `n`-th day, from 0.
    pub fn of_day(self, n: u32) -> impl Iterator<Item = Call> {
        let from = |n: u32| self.calls * u64::from(n) / u64::from(DAYS);
        let (first, after) = (from(n), from(n + 1));
        let start = i64::from(self.last.0 + 1 - DAYS + n) * DAY_MS;
        let room = DAY_MS - 2 * CALL_MS;
        (first..after).map(move |number| {
            let part = i64::try_from(number - first).expect("few");
            let all = i64::try_from(after - first).expect("few");
            let of_year_ms = i64::from(n) * DAY_MS + room * part / all;
            Call::new(number + 1, (WallTime(start + room * part / all), of_year_ms))
        })
    }

    pub fn day(self, n: u32) -> Day {
        Day(self.last.0 + 1 - DAYS + n)
    }

    /// Writes the journals of some days into `data`; returns their size in bytes.
    pub fn write_journals(self, data: &Path, days: Range<u32>) -> u64 {
        for folder in [layout::JOURNAL, layout::KEYS] {
            std::fs::create_dir_all(data.join(folder)).expect("a folder");
        }
        std::fs::write(data.join(layout::BOX_KEY), SEED).expect("a key");
        let (key, sealed) = (BoxSigningKey::from_seed(&SEED, "bench"), SealedFacts::new());
        let (mut writer, mut written) = (JournalWriter::new(), 0);
        let first = days.start;
        for n in days {
            let path = data.join(layout::journal_path(&self.day(n).to_string()));
            let mut file = BufWriter::new(std::fs::File::create(path).expect("a journal"));
            let mut bytes = Vec::new();
            writer.begin_day(&self.day(n).to_string(), &mut bytes);
            let mut minute = 0;
            for call in self.of_day(n) {
                if n == first && minute == 0 {
                    let (version, rates) = ("0".to_owned(), vec![8000]);
                    let fact = Fact::BoxStarted { boot: 1, version, rates };
                    writer.append(&JournalEntry { at: call.at, fact }, &mut bytes);
                }
                for (at, fact) in call.facts(&sealed) {
                    writer.append(&JournalEntry { at, fact }, &mut bytes);
                }
                if call.at.0 / 60_000 != minute {
                    minute = call.at.0 / 60_000;
                    writer.append_checkpoint(&key, call.at, &mut bytes);
                }
                written += bytes.len() as u64;
                file.write_all(&bytes).expect("room");
                bytes.clear();
            }
            written += bytes.len() as u64;
            file.write_all(&bytes).expect("room");
            file.into_inner().expect("room").sync_all().expect("synced");
        }
        written
    }
}

impl Call {
    fn new(number: u64, (at, of_year_ms): (WallTime, i64)) -> Call {
        let channel = u16::try_from(number % 64).expect("a channel");
        let digest = *blake3::hash(&number.to_le_bytes()).as_bytes();
        let mut bits = [0; 10];
        bits.copy_from_slice(&digest[..10]);
        Call {
            number,
            at,
            end: WallTime(at.0 + CALL_MS),
            channel,
            device: (1001 + channel).to_string(),
            agent: format!("u{}", 1001 + channel),
            call: format!("c{number}"),
            id: RecordingId::from_random(bits),
            digest,
            blackout: number.is_multiple_of(4),
            from: u64::try_from(of_year_ms).expect("not before") * 8,
        }
    }

    /// Returns the call's journal facts with their times.
    pub fn facts(&self, sealed: &SealedFacts) -> Vec<(WallTime, Fact)> {
        let number = CallNumber(self.number);
        let call = CallFacts {
            number,
            call: self.call.clone(),
            device: self.device.clone(),
            agent: Some(self.agent.clone()),
            direction: Some(Direction::In),
            began: self.at,
            ..CallFacts::default()
        };
        let mut facts = vec![
            (self.at, Fact::CallBegan { call: call.clone(), numbers: sealed.numbers.clone() }),
            (self.at, Fact::RecordingBegan(self.began(call, sealed))),
        ];
        if self.blackout {
            facts.extend(self.blackout());
        }
        let (by, value) = (self.agent.clone(), sealed.field.clone());
        facts.push((self.end, Fact::FieldSet { id: self.id, field: 1, by, value }));
        facts.push((self.end, Fact::CallEnded { number, why: "stop".to_owned() }));
        facts.push((self.end, Fact::RecordingEnded(self.ended())));
        facts
    }

    fn began(&self, call: CallFacts, sealed: &SealedFacts) -> RecordingBegan {
        RecordingBegan {
            id: self.id,
            call,
            numbers: sealed.numbers.clone(),
            channel: self.channel,
            rate: 8000,
            sides: 1,
            codec: CodecKind::Opus,
            from: Position(self.from),
            reasons: RecordReasons::from_reason(RecordReason::Agent),
            schedule: Some("on demand".to_owned()),
            why: String::new(),
            retain_until: WallTime(self.at.0 + 3650 * DAY_MS),
            continues: None,
        }
    }

    fn ended(&self) -> RecordingEnded {
        let masked = if self.blackout { 160_000 } else { 0 };
        let (from, to) = (Position(self.from + 160_000), Position(self.from + 320_000));
        let span = FactSpan { fate: Fate::Masked, from, to };
        RecordingEnded {
            id: self.id,
            end: RecordingEnd::CallEnd,
            to: Position(self.from + 1_440_000),
            ledger: Ledger { stored: 1_440_000 - masked, masked, ..Ledger::default() },
            blackout_spans: if self.blackout { vec![span] } else { Vec::new() },
            digest: self.digest,
            size: 360_000,
        }
    }

    fn blackout(&self) -> [(WallTime, Fact); 2] {
        let (number, by) = (BlackoutNumber(self.number), self.agent.clone());
        let place =
            |at| vec![ChannelPosition { channel: self.channel, at: Position(self.from + at) }];
        let opened = Fact::BlackoutOpened {
            number,
            agent: self.agent.clone(),
            call: Some(CallNumber(self.number)),
            holder: BlackoutHolder::Agent,
            by: by.clone(),
            places: place(160_000),
        };
        let end = BlackoutEnd::Stop;
        let closed = Fact::BlackoutClosed { number, end, by, places: place(320_000) };
        [(WallTime(self.at.0 + 20_000), opened), (WallTime(self.at.0 + 40_000), closed)]
    }
}
