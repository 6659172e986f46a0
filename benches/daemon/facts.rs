//! A store with history: yesterday's journal, written by the store's own writer.
//!
//! Every call in it was recorded, blacked out once, and has ended. The media files are missing,
//! as after retention; startup reads the journal only.

use hushbox::audio::span::{Fate, Ledger};
use hushbox::config::CodecKind;
use hushbox::id::RecordingId;
use hushbox::store::fact::{
    BlackoutEnd, BlackoutHolder, BlackoutNumber, CallFacts, CallNumber, ChannelPosition, Fact,
    FactSpan, JournalEntry, RecordReason, RecordReasons, RecordingBegan, RecordingEnd,
    RecordingEnded, SealedBytes,
};
use hushbox::store::journal::JournalWriter;
use hushbox::store::layout;
use hushbox::store::sign::BoxSigningKey;
use hushbox::time::{Position, WallTime};
use std::path::Path;

const SEED: [u8; 32] = [7; 32];
const DAY_MS: i64 = 86_400_000;

/// Facts between two checkpoints: a busy minute.
const CHECKPOINT_FACTS: usize = 60;

/// Writes a journal of `count` facts for a box of 64 channels into `data`.
pub fn write(data: &Path, now: WallTime, count: usize) {
    for folder in [layout::JOURNAL, layout::KEYS] {
        std::fs::create_dir_all(data.join(folder)).expect("a folder");
    }
    std::fs::write(data.join(layout::BOX_KEY), SEED).expect("a key");
    let key = BoxSigningKey::from_seed(&SEED, "bench");
    let at = WallTime(now.0 - DAY_MS);
    let (mut writer, mut bytes) = (JournalWriter::new(), Vec::new());
    writer.begin_day(&at.utc_day(), &mut bytes);
    let started = Fact::BoxStarted { boot: 1, version: "0".to_owned(), rates: vec![8000] };
    let facts = [started].into_iter().chain((1..).flat_map(call)).take(count);
    for (place, fact) in facts.enumerate() {
        writer.append(&JournalEntry { at, fact }, &mut bytes);
        if place % CHECKPOINT_FACTS == 0 {
            writer.append_checkpoint(&key, at, &mut bytes);
        }
    }
    std::fs::write(data.join(layout::journal_path(&at.utc_day())), bytes).expect("a journal");
}

/// Returns the six facts of one call.
fn call(number: u64) -> [Fact; 6] {
    let channel = u16::try_from(number % 64).expect("a channel");
    let agent = format!("u{}", 1001 + channel);
    let facts = CallFacts {
        number: CallNumber(number),
        call: format!("c{number}"),
        device: (1001 + channel).to_string(),
        agent: Some(agent.clone()),
        ..CallFacts::default()
    };
    let sealed = SealedBytes(vec![5; 48]);
    let place = |at| vec![ChannelPosition { channel, at: Position(at) }];
    let blackout = BlackoutNumber(number);
    [
        Fact::CallBegan { call: facts.clone(), numbers: sealed.clone() },
        Fact::RecordingBegan(began(number, facts, sealed)),
        Fact::BlackoutOpened {
            number: blackout,
            agent: agent.clone(),
            call: None,
            holder: BlackoutHolder::Agent,
            by: agent.clone(),
            places: place(160_000),
        },
        Fact::BlackoutClosed {
            number: blackout,
            end: BlackoutEnd::Stop,
            by: agent,
            places: place(320_000),
        },
        Fact::RecordingEnded(ended(number)),
        Fact::CallEnded { number: CallNumber(number), why: "stop".to_owned() },
    ]
}

fn id(number: u64) -> RecordingId {
    let mut bits = [0; 10];
    bits[..8].copy_from_slice(&number.to_le_bytes());
    RecordingId::from_random(bits)
}

fn began(number: u64, call: CallFacts, numbers: SealedBytes) -> RecordingBegan {
    RecordingBegan {
        id: id(number),
        channel: u16::try_from(number % 64).expect("a channel"),
        call,
        numbers,
        rate: 8000,
        sides: 1,
        codec: CodecKind::Opus,
        from: Position(0),
        reasons: RecordReasons::from_reason(RecordReason::Agent),
        schedule: Some("on demand".to_owned()),
        why: String::new(),
        retain_until: WallTime(i64::MAX),
        continues: None,
    }
}

fn ended(number: u64) -> RecordingEnded {
    let (from, to) = (Position(160_000), Position(320_000));
    RecordingEnded {
        id: id(number),
        end: RecordingEnd::CallEnd,
        to: Position(1_440_000),
        ledger: Ledger { stored: 1_280_000, masked: 160_000, ..Ledger::default() },
        blackout_spans: vec![FactSpan { fate: Fate::Masked, from, to }],
        digest: [9; 32],
        size: 300_000,
    }
}
