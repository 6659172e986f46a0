//! A data directory in memory, and a box of random habits that fills its journal over some days.

use crate::audio::span::Ledger;
use crate::config::{CodecKind, Direction};
use crate::id::RecordingId;
use crate::store::day::Day;
use crate::store::fact::*;
use crate::store::journal::{JournalState, JournalWriter};
use crate::store::layout;
use crate::store::recover::Files;
use crate::store::sign::BoxKey;
use crate::time::{Position, Wall};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Cursor};

/// Files in memory. After `left` changes every further one fails, as with a power cut.
#[derive(Clone, Default)]
pub struct Shop {
    pub files: BTreeMap<String, Vec<u8>>,
    pub left: Option<u32>,
    pub changes: u32,
}

impl Shop {
    fn change(&mut self) -> io::Result<()> {
        self.changes += 1;
        match &mut self.left {
            Some(0) => Err(io::ErrorKind::StorageFull.into()),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl Files for Shop {
    type File = Cursor<Vec<u8>>;

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let inside =
            |path: &String| path.strip_prefix(folder)?.strip_prefix('/').map(str::to_owned);
        Ok(self.files.keys().filter_map(inside).collect())
    }

    fn open(&self, path: &str) -> io::Result<Cursor<Vec<u8>>> {
        self.files.get(path).cloned().map(Cursor::new).ok_or(io::ErrorKind::NotFound.into())
    }

    fn replace(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.change()?;
        self.files.insert(path.to_owned(), bytes.to_vec());
        Ok(())
    }

    fn mend(&mut self, path: &str, good: u64, more: &[u8]) -> io::Result<()> {
        self.change()?;
        let file = self.files.entry(path.to_owned()).or_default();
        file.truncate(usize::try_from(good).expect("small"));
        file.extend_from_slice(more);
        Ok(())
    }

    fn remove(&mut self, path: &str) -> io::Result<()> {
        if !self.files.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.change()?;
        self.files.remove(path);
        Ok(())
    }
}

/// The first day.
pub const FIRST: Day = Day(20_779);

/// A box that does this and that.
pub struct World {
    pub shop: Shop,
    pub today: Day,
    pub ids: Vec<RecordingId>,
    /// What never was or was gone already was deleted: counts are off, until the day is closed.
    pub odd: bool,
    gone: BTreeSet<RecordingId>,
    writer: JournalWriter,
    /// The file of the journal, how much of it is durable, where the journal stood then, and what
    /// was told since.
    pub path: String,
    durable: usize,
    base: JournalState,
    since: Vec<u8>,
    key: BoxKey,
    random: u64,
    at: i64,
    boot: u32,
    running: Vec<RecordingId>,
    calls: u64,
    blackouts: u64,
}

impl World {
    pub fn new(seed: u64) -> World {
        let mut world = World {
            shop: Shop::default(),
            today: FIRST,
            ids: Vec::new(),
            odd: false,
            gone: BTreeSet::new(),
            writer: JournalWriter::new(),
            path: String::new(),
            durable: 0,
            base: JournalState::START,
            since: Vec::new(),
            key: BoxKey::from_seed(&[1; 32], "box"),
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

    /// Below `limit`.
    pub fn pick(&mut self, limit: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) % limit.max(1)
    }

    fn small(&mut self, limit: u8) -> u8 {
        u8::try_from(self.pick(u64::from(limit))).expect("below a byte")
    }

    fn begin_day(&mut self) {
        self.at = i64::from(self.today.0) * 86_400_000;
        let mut bytes = Vec::new();
        self.writer.roll(&self.today.to_string(), &mut bytes);
        self.path = layout::journal_path(&self.today.to_string());
        self.shop.files.insert(self.path.clone(), bytes);
    }

    /// What was told is durable.
    fn sync(&mut self) {
        self.durable = self.shop.files[&self.path].len();
        self.base = self.writer.state();
        self.since.clear();
    }

    /// A sync fails: what is not durable may be there, in part, or not at all, and another file
    /// tells it again.
    pub fn fail(&mut self) {
        let (durable, kept) = (self.durable, self.pick(1 + self.since.len() as u64));
        let kept = durable + usize::try_from(kept).expect("small");
        let how = self.pick(4);
        let file = self.shop.files.get_mut(&self.path).expect("there");
        match how {
            0 => file.truncate(kept.min(file.len())),
            1 if kept < file.len() => file[kept..].fill(0),
            2 if kept < file.len() => file[durable..kept].fill(0),
            _ => {}
        }
        while self.pick(3) == 0 {
            // One that was tried in vain, and could not be removed.
            self.fork(None);
        }
        let since = std::mem::take(&mut self.since);
        self.fork(Some(&since));
        self.sync();
    }

    fn fork(&mut self, since: Option<&[u8]>) {
        let (day, mut bytes) = (self.today.to_string(), Vec::new());
        self.writer.fork(&day, self.base, &mut bytes);
        bytes.extend_from_slice(since.unwrap_or_default());
        if since.is_none() {
            let left = self.pick(1 + bytes.len() as u64);
            bytes.truncate(usize::try_from(left).expect("small"));
        }
        self.path = layout::journal_file(&day, self.writer.part());
        self.shop.files.insert(self.path.clone(), bytes);
    }

    /// A signed end, and the first of the next day's journal; or a sync fails between them, and
    /// the next day's first file tells the end of this one again.
    pub fn next_day(&mut self) {
        self.write(|writer, key, at, bytes| {
            writer.checkpoint(key, at, bytes);
        });
        let fails = self.pick(3) == 0;
        if !fails {
            self.sync();
        }
        self.today = Day(self.today.0 + 1 + u32::from(self.small(2)));
        let old = self.path.clone();
        self.begin_day();
        if fails {
            let begun = self.path.clone();
            match self.pick(3) {
                0 => {}
                1 => self.shop.files.get_mut(&begun).expect("there").truncate(9),
                _ => {
                    self.shop.files.remove(&begun);
                }
            }
            self.path = old;
            self.fail();
        } else {
            self.durable = 0;
            self.sync();
        }
    }

    fn write(&mut self, put: impl FnOnce(&mut JournalWriter, &BoxKey, Wall, &mut Vec<u8>)) {
        let mut bytes = Vec::new();
        put(&mut self.writer, &self.key, Wall(self.at), &mut bytes);
        self.shop.files.get_mut(&self.path).expect("there").extend_from_slice(&bytes);
        self.since.extend_from_slice(&bytes);
    }

    pub fn tell(&mut self, fact: Fact) {
        self.at += i64::try_from(self.pick(5000)).expect("small") - 20;
        self.write(|writer, _, at, bytes| {
            writer.append(&Entry { at, fact }, bytes);
        });
        match self.pick(40) {
            0 => self.fail(),
            1..=15 => self.sync(),
            _ => {}
        }
    }

    fn restart(&mut self) {
        self.boot += 1;
        let fact = Fact::BoxStarted { boot: self.boot, version: "1".into(), rates: vec![8000] };
        self.tell(fact);
    }

    /// A recording, mostly an early or a late one, now and then one that nobody began.
    pub fn some_id(&mut self) -> RecordingId {
        if self.ids.is_empty() || self.pick(40) == 0 {
            return RecordingId::from_random([self.small(255); 10]);
        }
        let count = self.ids.len() as u64;
        let place =
            if self.pick(2) == 0 { self.pick(count) } else { count - 1 - self.pick(count.min(4)) };
        self.ids[usize::try_from(place).expect("small")]
    }

    fn call(&mut self) -> CallFacts {
        let number = if self.pick(3) == 0 { self.pick(self.calls + 1) } else { self.calls + 1 };
        self.calls = self.calls.max(number);
        CallFacts {
            number: CallNumber(number),
            call: format!("c{number}"),
            device: format!("100{}", self.pick(4)),
            of: None,
            agent: [None, Some("jdoe".to_owned()), Some("MRoe".to_owned())][self.small(3) as usize]
                .clone(),
            direction: [None, Some(Direction::In), Some(Direction::Out)][self.small(3) as usize],
            group: None,
            gate: None,
            began: Wall(self.at),
        }
    }

    fn sealed(&mut self) -> Sealed {
        Sealed(vec![self.small(255); 5])
    }

    fn begin(&mut self) {
        let mut bits = [0; 10];
        bits.iter_mut().for_each(|byte| *byte = self.small(255));
        // Ids whose first letters are the same must be told apart.
        if self.pick(3) == 0 {
            bits[..4].fill(7);
        }
        let id = RecordingId::from_random(bits);
        let days = i64::try_from(self.pick(4)).expect("small");
        let odd = i64::from(self.small(2));
        let (call, numbers) = (self.call(), self.sealed());
        let (from, reasons) = (Position(self.pick(1000)), Reasons(self.small(16)));
        let channel = u16::from(self.small(3));
        let schedule = [None, Some("on demand".to_owned())][self.small(2) as usize].clone();
        self.tell(Fact::RecordingBegan(RecordingBegan {
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
            retain_until: Wall(self.at + days * 86_400_000 + odd),
            continues: None,
        }));
        self.ids.push(id);
        self.running.push(id);
    }

    fn end(&mut self) {
        let id = match self.running.is_empty() {
            true => self.some_id(),
            false => {
                let place = self.pick(self.running.len() as u64);
                self.running.swap_remove(usize::try_from(place).expect("small"))
            }
        };
        let mut ledger = Ledger::default();
        (ledger.stored, ledger.lost[1]) = (self.pick(9000), self.pick(9));
        self.tell(Fact::RecordingEnded(RecordingEnded {
            id,
            end: RecordingEnd::CallEnd,
            to: Position(self.random % 10_000),
            ledger,
            spans: vec![],
            digest: [3; 32],
            size: self.random % 100_000,
        }));
    }

    fn places(&mut self) -> Vec<Place> {
        let count = self.pick(3);
        let mut place =
            |_| Place { channel: u16::from(self.small(3)), at: Position(self.pick(5000)) };
        (0..count).map(&mut place).collect()
    }

    fn black_out(&mut self) {
        let (places, by) = (self.places(), "jdoe".to_owned());
        let number = BlackoutNumber(self.blackouts.saturating_sub(self.pick(3)));
        let fact = match self.pick(6) {
            0..=2 => {
                self.blackouts += 1;
                let number = BlackoutNumber(self.blackouts);
                let (agent, call) = (by.clone(), Some(CallNumber(self.calls)));
                Fact::BlackoutOpened { number, agent, call, holder: Holder::Agent, by, places }
            }
            3 => Fact::BlackoutSpread { number, places },
            4 => Fact::BlackoutShrunk { number, places },
            _ => Fact::BlackoutClosed { number, end: BlackoutEnd::Stop, by, places },
        };
        self.tell(fact);
    }

    /// One thing happens.
    pub fn act(&mut self) {
        let (id, by) = (self.some_id(), "boss".to_owned());
        let fact = match self.pick(25) {
            0..=4 => return self.begin(),
            5..=8 => return self.end(),
            9..=12 => return self.black_out(),
            13 => return self.restart(),
            14 => Fact::BoxStopped,
            15 => Fact::CallBegan { call: self.call(), numbers: self.sealed() },
            16 => Fact::CallEnded {
                number: CallNumber(self.pick(self.calls + 1)),
                why: "stop".into(),
            },
            17 => Fact::RecordingChanged { id, call: self.call(), numbers: self.sealed() },
            18 => Fact::RecordingReasons { id, reasons: Reasons(self.small(16)), by },
            19 => {
                let retain_until = Wall(self.at + i64::from(self.small(9)) * 86_400_000);
                Fact::RecordingRetention { id, retain_until }
            }
            20 | 21 => Fact::FieldSet { id, field: 1 + self.small(15), by, value: self.sealed() },
            22 => Fact::Protected { id, on: self.pick(3) > 0, by },
            23 => Fact::Fetched { id, by, why: "play".into() },
            _ => {
                self.odd |= !self.ids.contains(&id) || !self.gone.insert(id);
                Fact::Deleted { id, why: "retention".into(), by }
            }
        };
        self.tell(fact);
    }
}
