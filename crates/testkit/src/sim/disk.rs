//! A disk in memory that delays jobs, refuses them on request, and loses what was not synced.
//!
//! Each file has two images: what was written, and what a sync has made durable. A power cut leaves
//! the durable one and, if the random numbers say so, some of the bytes after it.

use crate::rng::Rng;
use hushbox::job::{Completion, DiskError, FileId, Job};
use hushbox::store::recover::StoreFs;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, Cursor};

/// Decides which jobs fail; the path is that of the file, where the job has one.
pub type Refuse = Box<dyn FnMut(&Job, &str) -> Option<DiskError>>;

/// Paths and contents.
pub type Image = BTreeMap<String, Vec<u8>>;

/// What a cut left of a file's unsynced bytes: so many as they were, then so many zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tail {
    pub whole: usize,
    pub zeros: usize,
}

pub struct SimDisk {
    pub live: Image,
    pub durable: Image,
    open: BTreeMap<FileId, String>,
    /// Files of which a failed sync has lost pages.
    suspect: BTreeSet<String>,
    waiting: VecDeque<(u64, Job)>,
    /// How long a job takes.
    pub delay_us: u64,
    /// Nothing is done while this is set.
    pub stuck: bool,
    pub refuse: Option<Refuse>,
    /// Jobs done since the disk was made.
    pub jobs: u64,
    /// The plug is pulled when so many are done: the next one is never done, nor any after it.
    pub cut_at: Option<u64>,
    /// A recovery mends or removes so many more files; the next mend is cut in its middle.
    pub mends_left: Option<u32>,
    /// Reads it was asked for.
    pub reads: usize,
    /// Free and total bytes.
    pub space: (u64, u64),
}

impl Default for SimDisk {
    fn default() -> SimDisk {
        SimDisk {
            live: Image::new(),
            durable: Image::new(),
            open: BTreeMap::new(),
            suspect: BTreeSet::new(),
            waiting: VecDeque::new(),
            delay_us: 0,
            stuck: false,
            refuse: None,
            jobs: 0,
            cut_at: None,
            mends_left: None,
            reads: 0,
            space: (900 << 30, 1000 << 30),
        }
    }
}

impl SimDisk {
    /// Another disk with the same files.
    pub fn copy(&self) -> SimDisk {
        SimDisk { live: self.live.clone(), durable: self.durable.clone(), ..SimDisk::default() }
    }

    /// Takes a job, to be done after the delay and after every job before it.
    pub fn ask(&mut self, now_us: u64, job: Job) {
        self.reads += usize::from(matches!(job, Job::Read { .. }));
        let before = self.waiting.back().map_or(0, |(due, _)| *due);
        self.waiting.push_back((before.max(now_us + self.delay_us), job));
    }

    /// Does the next job that is due; the inner `None` is an answer that needs no words.
    pub fn work(&mut self, now_us: u64) -> Option<Option<Completion>> {
        if self.stuck || self.is_dead() || self.waiting.front().is_none_or(|(due, _)| *due > now_us)
        {
            return None;
        }
        self.jobs += 1;
        self.waiting.pop_front().map(|(_, job)| self.execute(job))
    }

    /// The plug is out.
    pub fn is_dead(&self) -> bool {
        self.cut_at.is_some_and(|at| self.jobs >= at)
    }

    /// The job that the cut caught begins all the same, as it may: of an append all is written.
    pub fn begin_last(&mut self) {
        if let Some((_, job)) = self.waiting.pop_front()
            && !matches!(job, Job::Sync { .. })
        {
            self.execute(job);
        }
    }

    fn refused(&mut self, job: &Job) -> Result<(), DiskError> {
        let path = match job {
            Job::Create { path, .. } | Job::Reopen { path, .. } | Job::Read { path, .. } => path,
            Job::Append { file, .. } | Job::Close { file } => &self.open[file],
            Job::Remove { path } => path,
            Job::Sync { .. } | Job::QueryFreeSpace => "",
        };
        let refuse = self.refuse.as_mut().and_then(|refuse| refuse(job, path));
        refuse.map_or(Ok(()), Err)
    }

    fn execute(&mut self, job: Job) -> Option<Completion> {
        let result = self.refused(&job);
        Some(match job {
            Job::Create { file, path } => {
                self.open.insert(file, path.clone());
                if result.is_ok() {
                    let old = self.live.insert(path, Vec::new());
                    assert!(old.is_none(), "a new file replaces one");
                }
                Completion::Opened { file, result }
            }
            Job::Reopen { file, path } => {
                assert!(self.live.contains_key(&path), "{path} is not there");
                self.open.insert(file, path);
                Completion::Opened { file, result }
            }
            Job::Append { file, mut bytes } => {
                let result = result.and_then(|()| self.append(file, &bytes));
                if let (Err(_), Some(contents)) = (result, self.live.get_mut(&self.open[&file])) {
                    // As the disk thread does: what failed, half written, is not touched again.
                    if self.suspect.insert(self.open[&file].clone()) {
                        contents.extend_from_slice(&bytes[..bytes.len() / 2]);
                    }
                }
                bytes.clear();
                Completion::Appended { file, bytes, result }
            }
            Job::Close { file } => {
                self.open.remove(&file);
                return None;
            }
            Job::Sync { ticket } => {
                if result.is_ok() {
                    self.make_durable();
                } else {
                    self.lose_pages();
                }
                Completion::Synced { ticket, result }
            }
            Job::Read { tag, path, offset, mut bytes } => {
                let contents = self.live.get(&path);
                let from = usize::try_from(offset).unwrap();
                if let Some(rest) = contents.and_then(|contents| contents.get(from..)) {
                    bytes.extend_from_slice(&rest[..rest.len().min(bytes.capacity())]);
                }
                let found = contents.map(|_| ()).ok_or(DiskError::Failed(2));
                Completion::Read { tag, bytes, result: result.and(found) }
            }
            Job::Remove { path } => {
                if result.is_ok() {
                    self.live.remove(&path);
                }
                Completion::Removed { path, result }
            }
            Job::QueryFreeSpace => {
                Completion::FreeSpace { free: self.space.0, total: self.space.1 }
            }
        })
    }

    fn append(&mut self, file: FileId, bytes: &[u8]) -> Result<(), DiskError> {
        let path = &self.open[&file];
        let contents = self.live.get_mut(path).filter(|_| !self.suspect.contains(path));
        contents.ok_or(DiskError::Failed(9))?.extend_from_slice(bytes);
        Ok(())
    }

    /// A sync reaches every file but those that nobody syncs any more.
    fn make_durable(&mut self) {
        let before = std::mem::replace(&mut self.durable, self.live.clone());
        for path in &self.suspect {
            match before.get(path).filter(|_| self.live.contains_key(path)) {
                Some(contents) => self.durable.insert(path.clone(), contents.clone()),
                None => self.durable.remove(path),
            };
        }
    }

    /// What a failed sync does: pages that were to be written are clean, and gone. The file keeps
    /// its length; nobody may write to it again.
    fn lose_pages(&mut self) {
        for (path, contents) in &mut self.live {
            let durable = self.durable.get(path).map_or(0, Vec::len);
            if contents.len() > durable {
                let middle = durable + (contents.len() - durable) / 2;
                contents[durable..middle].fill(0);
                self.suspect.insert(path.clone());
            }
        }
    }

    /// The plug is pulled. With `tails`, some of what was written after the last sync is there all
    /// the same, as it can be on a real disk.
    pub fn cut(&mut self, tails: Option<&mut Rng>) {
        if let Some(rng) = tails {
            for (path, contents) in &self.live {
                let durable = self.durable.get(path).map_or(0, Vec::len);
                // Holes look like damage, which is told and stays (see the format's assumptions);
                // the simulated disk keeps them out of what a cut leaves.
                let whole = !self.suspect.contains(path);
                if contents.len() > durable && whole && !rng.one_in(3) {
                    let kept = durable + rng.below(contents.len() - durable + 1);
                    self.durable.insert(path.clone(), contents[..kept].to_vec());
                }
            }
        }
        self.live.clone_from(&self.durable);
        self.cut_at = None;
        self.stop();
    }

    /// Files that hold, or are, more than what was synced.
    pub fn unsynced(&self) -> Vec<String> {
        let changed = |path: &&String| self.durable.get(*path) != self.live.get(*path);
        self.live.keys().filter(changed).cloned().collect()
    }

    /// The plug is pulled, and for every file with unsynced bytes `tail` says what of them is there
    /// all the same, of how many; `None`: not even the file's name, if that is new.
    pub fn cut_as(&mut self, mut tail: impl FnMut(&str, usize) -> Option<Tail>) {
        for path in self.unsynced() {
            if self.suspect.contains(&path) {
                continue;
            }
            let old = self.durable.get(&path).map_or(0, Vec::len);
            let bytes = &self.live[&path][old..];
            let Some(kept) = tail(&path, bytes.len()) else { continue };
            let mut more = bytes[..kept.whole].to_vec();
            more.resize(kept.whole + kept.zeros, 0);
            self.durable.entry(path).or_default().extend_from_slice(&more);
        }
        self.live.clone_from(&self.durable);
        self.cut_at = None;
        self.stop();
    }

    /// Nobody asks any more.
    pub fn stop(&mut self) {
        self.waiting.clear();
        self.open.clear();
        self.suspect.clear();
    }
}

impl SimDisk {
    /// Whether the plug is pulled in this step of a recovery.
    fn cut_in_recovery(&mut self) -> bool {
        let over = self.mends_left == Some(0);
        self.mends_left = self.mends_left.map(|left| left.saturating_sub(1));
        over
    }
}

impl StoreFs for SimDisk {
    type File = Cursor<Vec<u8>>;

    fn list_folder(&self, folder: &str) -> io::Result<Vec<String>> {
        let inside = |path: &String| {
            let name = path.strip_prefix(folder)?.strip_prefix('/')?;
            (!name.contains('/')).then(|| name.to_string())
        };
        Ok(self.live.keys().filter_map(inside).collect())
    }

    fn open_file(&self, path: &str) -> io::Result<Cursor<Vec<u8>>> {
        let found = self.live.get(path).cloned().map(Cursor::new);
        found.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    fn replace_file(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.live.insert(path.to_string(), bytes.to_vec());
        self.durable.insert(path.to_string(), bytes.to_vec());
        Ok(())
    }

    fn truncate_and_append(&mut self, path: &str, good: u64, more: &[u8]) -> io::Result<()> {
        let good = usize::try_from(good).unwrap();
        let contents = self.live.get_mut(path).ok_or(io::ErrorKind::NotFound)?;
        let torn = self.mends_left == Some(0);
        contents.truncate(good);
        contents.extend_from_slice(&more[..if torn { more.len() / 2 } else { more.len() }]);
        self.durable.insert(path.to_string(), contents.clone());
        if self.cut_in_recovery() { Err(io::ErrorKind::Other.into()) } else { Ok(()) }
    }

    fn remove_file(&mut self, path: &str) -> io::Result<()> {
        if self.cut_in_recovery() {
            return Err(io::ErrorKind::Other.into());
        }
        self.live.remove(path);
        self.durable.remove(path);
        Ok(())
    }
}
