//! A data directory in memory, and a simulated recorder that fills its journal over some days.

use crate::audio::span::Ledger;
use crate::config::{CodecKind, Direction};
use crate::id::RecordingId;
use crate::store::day::Day;
use crate::store::fact::*;
use crate::store::journal::{JournalState, JournalWriter};
use crate::store::layout;
use crate::store::recover::StoreFs;
use crate::store::sign::BoxSigningKey;
use crate::time::{Position, WallTime};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Cursor};

/// Files in memory. After `left` changes every further one fails, as with a power failure.
#[derive(Clone, Default)]
pub struct MemoryFs {
    pub files: BTreeMap<String, Vec<u8>>,
    pub changes_left: Option<u32>,
    pub changes: u32,
}

impl MemoryFs {
    fn count_change(&mut self) -> io::Result<()> {
        self.changes += 1;
        match &mut self.changes_left {
            Some(0) => Err(io::ErrorKind::StorageFull.into()),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl StoreFs for MemoryFs {
    type File = Cursor<Vec<u8>>;

    fn list_folder(&self, folder: &str) -> io::Result<Vec<String>> {
        let inside =
            |path: &String| path.strip_prefix(folder)?.strip_prefix('/').map(str::to_owned);
        Ok(self.files.keys().filter_map(inside).collect())
    }

    fn open_file(&self, path: &str) -> io::Result<Cursor<Vec<u8>>> {
        self.files.get(path).cloned().map(Cursor::new).ok_or(io::ErrorKind::NotFound.into())
    }

    fn replace_file(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.count_change()?;
        self.files.insert(path.to_owned(), bytes.to_vec());
        Ok(())
    }

    fn truncate_and_append(&mut self, path: &str, good: u64, more: &[u8]) -> io::Result<()> {
        self.count_change()?;
        let file = self.files.entry(path.to_owned()).or_default();
        file.truncate(usize::try_from(good).expect("small"));
        file.extend_from_slice(more);
        Ok(())
    }

    fn remove_file(&mut self, path: &str) -> io::Result<()> {
        if !self.files.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.count_change()?;
        self.files.remove(path);
        Ok(())
    }
}

/// The first day.
pub const FIRST: Day = Day(20_779);

/// A recorder with random actions.
pub struct SimulatedBox {
    pub fs: MemoryFs,
    pub today: Day,
    pub ids: Vec<RecordingId>,
    /// An unknown or deleted record was deleted again: counts are wrong until the day is closed.
    pub has_stray_deletion: bool,
    deleted: BTreeSet<RecordingId>,
    writer: JournalWriter,
    /// The journal file, its durable length, the journal state at that length, and the bytes
    /// appended since.
    pub path: String,
    durable: usize,
    base: JournalState,
    unsynced: Vec<u8>,
    key: BoxSigningKey,
    random: u64,
    at: i64,
    boot: u32,
    running: Vec<RecordingId>,
    calls: u64,
    blackouts: u64,
}

impl SimulatedBox {
    pub fn new(seed: u64) -> SimulatedBox {
        let mut world = SimulatedBox {
            fs: MemoryFs::default(),
            today: FIRST,
            ids: Vec::new(),
            has_stray_deletion: false,
            deleted: BTreeSet::new(),
            writer: JournalWriter::new(),
            path: String::new(),
            durable: 0,
            base: JournalState::START,
            unsynced: Vec::new(),
            key: BoxSigningKey::from_seed(&[1; 32], "box"),
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            at: 0,
            boot: 0,
            running: Vec::new(),
            calls: 0,
            blackouts: 0,
        };
        world.begin_day();
        world.restart();
        world
    }

    /// Returns a random number below `limit`.
    pub fn random_below(&mut self, limit: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) % limit.max(1)
    }

    fn random_byte(&mut self, limit: u8) -> u8 {
        u8::try_from(self.random_below(u64::from(limit))).expect("below a byte")
    }

    fn begin_day(&mut self) {
        self.at = i64::from(self.today.0) * 86_400_000;
        let mut bytes = Vec::new();
        self.writer.begin_day(&self.today.to_string(), &mut bytes);
        self.path = layout::journal_path(&self.today.to_string());
        self.fs.files.insert(self.path.clone(), bytes);
    }

    /// Makes all appended entries durable.
    fn sync_journal(&mut self) {
        self.durable = self.fs.files[&self.path].len();
        self.base = self.writer.state();
        self.unsynced.clear();
    }

    /// Fails a sync: entries that are not durable may be present, in part or not at all, and
    /// another file re-logs them.
    pub fn fail_sync(&mut self) {
        let (durable, kept) = (self.durable, self.random_below(1 + self.unsynced.len() as u64));
        let kept = durable + usize::try_from(kept).expect("small");
        let how = self.random_below(4);
        let file = self.fs.files.get_mut(&self.path).expect("there");
        match how {
            0 => file.truncate(kept.min(file.len())),
            1 if kept < file.len() => file[kept..].fill(0),
            2 if kept < file.len() => file[durable..kept].fill(0),
            _ => {}
        }
        while self.random_below(3) == 0 {
            // A file that was tried and could not be removed.
            self.begin_part(None);
        }
        let since = std::mem::take(&mut self.unsynced);
        self.begin_part(Some(&since));
        self.sync_journal();
    }

    fn begin_part(&mut self, since: Option<&[u8]>) {
        let (day, mut bytes) = (self.today.to_string(), Vec::new());
        self.writer.begin_part(&day, self.base, &mut bytes);
        bytes.extend_from_slice(since.unwrap_or_default());
        if since.is_none() {
            let left = self.random_below(1 + bytes.len() as u64);
            bytes.truncate(usize::try_from(left).expect("small"));
        }
        self.path = layout::journal_file(&day, self.writer.part());
        self.fs.files.insert(self.path.clone(), bytes);
    }

    /// Appends a signed checkpoint and begins the next day's journal. Or a sync fails in between,
    /// and the next day's first file re-logs this day's end.
    pub fn next_day(&mut self) {
        self.write_with(|writer, key, at, bytes| {
            writer.append_checkpoint(key, at, bytes);
        });
        let fails = self.random_below(3) == 0;
        if !fails {
            self.sync_journal();
        }
        self.today = Day(self.today.0 + 1 + u32::from(self.random_byte(2)));
        let old = self.path.clone();
        self.begin_day();
        if fails {
            let begun = self.path.clone();
            match self.random_below(3) {
                0 => {}
                1 => self.fs.files.get_mut(&begun).expect("there").truncate(9),
                _ => {
                    self.fs.files.remove(&begun);
                }
            }
            self.path = old;
            self.fail_sync();
        } else {
            self.durable = 0;
            self.sync_journal();
        }
    }

    fn write_with(
        &mut self,
        put: impl FnOnce(&mut JournalWriter, &BoxSigningKey, WallTime, &mut Vec<u8>),
    ) {
        let mut bytes = Vec::new();
        put(&mut self.writer, &self.key, WallTime(self.at), &mut bytes);
        self.fs.files.get_mut(&self.path).expect("there").extend_from_slice(&bytes);
        self.unsynced.extend_from_slice(&bytes);
    }

    pub fn append_fact(&mut self, fact: Fact) {
        self.at += i64::try_from(self.random_below(5000)).expect("small") - 20;
        self.write_with(|writer, _, at, bytes| {
            writer.append(&JournalEntry { at, fact }, bytes);
        });
        match self.random_below(40) {
            0 => self.fail_sync(),
            1..=15 => self.sync_journal(),
            _ => {}
        }
    }

    fn restart(&mut self) {
        self.boot += 1;
        let fact = Fact::BoxStarted { boot: self.boot, version: "1".into(), rates: vec![8000] };
        self.append_fact(fact);
    }

    /// Returns a recording, mostly an early or a late one, sometimes an unknown one.
    pub fn some_id(&mut self) -> RecordingId {
        if self.ids.is_empty() || self.random_below(40) == 0 {
            return RecordingId::from_random([self.random_byte(255); 10]);
        }
        let count = self.ids.len() as u64;
        let place = if self.random_below(2) == 0 {
            self.random_below(count)
        } else {
            count - 1 - self.random_below(count.min(4))
        };
        self.ids[usize::try_from(place).expect("small")]
    }

    fn random_call(&mut self) -> CallFacts {
        let number = if self.random_below(3) == 0 {
            self.random_below(self.calls + 1)
        } else {
            self.calls + 1
        };
        self.calls = self.calls.max(number);
        CallFacts {
            number: CallNumber(number),
            call: format!("c{number}"),
            device: format!("100{}", self.random_below(4)),
            consult_of: None,
            agent: [None, Some("jdoe".to_owned()), Some("MRoe".to_owned())]
                [self.random_byte(3) as usize]
                .clone(),
            direction: [None, Some(Direction::In), Some(Direction::Out)]
                [self.random_byte(3) as usize],
            group: None,
            gate: None,
            began: WallTime(self.at),
        }
    }

    fn random_sealed(&mut self) -> SealedBytes {
        SealedBytes(vec![self.random_byte(255); 5])
    }

    fn begin_recording(&mut self) {
        let mut bits = [0; 10];
        bits.iter_mut().for_each(|byte| *byte = self.random_byte(255));
        // Ids with the same first bytes must be told apart.
        if self.random_below(3) == 0 {
            bits[..4].fill(7);
        }
        let id = RecordingId::from_random(bits);
        let days = i64::try_from(self.random_below(4)).expect("small");
        let odd = i64::from(self.random_byte(2));
        let (call, numbers) = (self.random_call(), self.random_sealed());
        let (from, reasons) =
            (Position(self.random_below(1000)), RecordReasons(self.random_byte(16)));
        let channel = u16::from(self.random_byte(3));
        let schedule = [None, Some("on demand".to_owned())][self.random_byte(2) as usize].clone();
        self.append_fact(Fact::RecordingBegan(RecordingBegan {
            id,
            call,
            numbers,
            channel,
            rate: 8000,
            sides: 1,
            codec: CodecKind::Pcm,
            from,
            reasons,
            schedule,
            why: "because".into(),
            retain_until: WallTime(self.at + days * 86_400_000 + odd),
            continues: None,
        }));
        self.ids.push(id);
        self.running.push(id);
    }

    fn end_recording(&mut self) {
        let id = match self.running.is_empty() {
            true => self.some_id(),
            false => {
                let place = self.random_below(self.running.len() as u64);
                self.running.swap_remove(usize::try_from(place).expect("small"))
            }
        };
        let mut ledger = Ledger::default();
        (ledger.stored, ledger.lost[1]) = (self.random_below(9000), self.random_below(9));
        self.append_fact(Fact::RecordingEnded(RecordingEnded {
            id,
            end: RecordingEnd::CallEnd,
            to: Position(self.random % 10_000),
            ledger,
            blackout_spans: vec![],
            digest: [3; 32],
            size: self.random % 100_000,
        }));
    }

    fn random_places(&mut self) -> Vec<ChannelPosition> {
        let count = self.random_below(3);
        let mut place = |_| ChannelPosition {
            channel: u16::from(self.random_byte(3)),
            at: Position(self.random_below(5000)),
        };
        (0..count).map(&mut place).collect()
    }

    fn black_out(&mut self) {
        let (places, by) = (self.random_places(), "jdoe".to_owned());
        let number = BlackoutNumber(self.blackouts.saturating_sub(self.random_below(3)));
        let fact = match self.random_below(6) {
            0..=2 => {
                self.blackouts += 1;
                let number = BlackoutNumber(self.blackouts);
                let (agent, call) = (by.clone(), Some(CallNumber(self.calls)));
                Fact::BlackoutOpened {
                    number,
                    agent,
                    call,
                    holder: BlackoutHolder::Agent,
                    by,
                    places,
                }
            }
            3 => Fact::BlackoutSpread { number, places },
            4 => Fact::BlackoutShrunk { number, places },
            _ => Fact::BlackoutClosed { number, end: BlackoutEnd::Stop, by, places },
        };
        self.append_fact(fact);
    }

    /// Performs one random action.
    pub fn random_action(&mut self) {
        let (id, by) = (self.some_id(), "boss".to_owned());
        let fact = match self.random_below(25) {
            0..=4 => return self.begin_recording(),
            5..=8 => return self.end_recording(),
            9..=12 => return self.black_out(),
            13 => return self.restart(),
            14 => Fact::BoxStopped,
            15 => Fact::CallBegan { call: self.random_call(), numbers: self.random_sealed() },
            16 => Fact::CallEnded {
                number: CallNumber(self.random_below(self.calls + 1)),
                why: "stop".into(),
            },
            17 => Fact::RecordingChanged {
                id,
                call: self.random_call(),
                numbers: self.random_sealed(),
            },
            18 => Fact::RecordingReasons { id, reasons: RecordReasons(self.random_byte(16)), by },
            19 => {
                let retain_until = WallTime(self.at + i64::from(self.random_byte(9)) * 86_400_000);
                Fact::RecordingRetention { id, retain_until }
            }
            20 | 21 => Fact::FieldSet {
                id,
                field: 1 + self.random_byte(15),
                by,
                value: self.random_sealed(),
            },
            22 => Fact::Protected { id, on: self.random_below(3) > 0, by },
            23 => Fact::Fetched { id, by, why: "play".into() },
            _ => {
                self.has_stray_deletion |= !self.ids.contains(&id) || !self.deleted.insert(id);
                Fact::Deleted { id, why: "retention".into(), by }
            }
        };
        self.append_fact(fact);
    }
}
