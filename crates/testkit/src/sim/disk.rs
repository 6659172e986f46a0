//! A disk in memory that delays jobs, fails them on request, and loses unsynced data.
//!
//! Each file has two images: the written and the durable one. A power cut leaves the durable image
//! and, at random, some of the bytes after it.

use crate::rng::Rng;
use hushbox::job::{Completion, DiskError, FileId, Job};
use hushbox::store::recover::StoreFs;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, Cursor};

/// Decides which jobs fail; the argument is the file's path, if the job has one.
pub type Refuse = Box<dyn FnMut(&Job, &str) -> Option<DiskError>>;

/// Paths and contents.
pub type Image = BTreeMap<String, Vec<u8>>;

/// Unsynced bytes of a file after a power cut: some intact ones, then zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tail {
    pub whole: usize,
    pub zeros: usize,
}

pub struct SimDisk {
    pub live: Image,
    pub durable: Image,
    open: BTreeMap<FileId, String>,
    /// Files that lost pages in a failed sync.
    suspect: BTreeSet<String>,
    waiting: VecDeque<(u64, Job)>,
    /// Duration of a job, in microseconds.
    pub delay_us: u64,
    /// While set, no job completes.
    pub stuck: bool,
    pub refuse: Option<Refuse>,
    /// Jobs completed since the disk was created.
    pub jobs: u64,
    /// Power is cut after this many jobs: no later job completes.
    pub cut_at: Option<u64>,
    /// Repairs left before a cut during recovery; the next repair is torn.
    pub mends_left: Option<u32>,
    /// Read jobs so far.
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
    /// Creates another disk with the same files.
    pub fn copy(&self) -> SimDisk {
        SimDisk { live: self.live.clone(), durable: self.durable.clone(), ..SimDisk::default() }
    }

    /// Queues a job, which completes after the delay and after every earlier job.
    pub fn ask(&mut self, now_us: u64, job: Job) {
        self.reads += usize::from(matches!(job, Job::Read { .. }));
        let before = self.waiting.back().map_or(0, |(due, _)| *due);
        self.waiting.push_back((before.max(now_us + self.delay_us), job));
    }

    /// Completes the next due job. The inner `None` is a completion without a report.
    pub fn work(&mut self, now_us: u64) -> Option<Option<Completion>> {
        if self.stuck || self.is_dead() || self.waiting.front().is_none_or(|(due, _)| *due > now_us)
        {
            return None;
        }
        self.jobs += 1;
        self.waiting.pop_front().map(|(_, job)| self.execute(job))
    }

    /// Whether the power is cut.
    pub fn is_dead(&self) -> bool {
        self.cut_at.is_some_and(|at| self.jobs >= at)
    }

    /// Starts the job that the cut interrupted; an append is written completely.
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
            Job::Remove { path } | Job::TryCreate { path } => path,
            Job::Overwrite { path, .. } | Job::Replace { path, .. } => path,
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
                    // Like the disk thread: a file with a failed, partial write is not touched
                    // again.
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
                    self.suspect.remove(&path);
                }
                Completion::Removed { path, result }
            }
            Job::Overwrite { path, offset, length } => {
                let result = result.and_then(|()| self.overwrite(&path, offset, length));
                Completion::Overwritten { result }
            }
            Job::Replace { new, path } => {
                if result.is_ok() {
                    let contents = self.live.remove(&new);
                    self.live.extend(contents.map(|contents| (path, contents)));
                }
                Completion::Replaced { result }
            }
            Job::TryCreate { .. } => Completion::TrialCreated { result },
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

    /// Writes zeros into a file, durably.
    fn overwrite(&mut self, path: &str, offset: u64, length: u64) -> Result<(), DiskError> {
        let end = usize::try_from(offset + length).unwrap();
        for image in [&mut self.live, &mut self.durable] {
            let contents = image.get_mut(path).ok_or(DiskError::Failed(2))?;
            let end = end.min(contents.len());
            contents[usize::try_from(offset).unwrap().min(end)..end].fill(0);
        }
        Ok(())
    }

    /// Makes written data durable, except in files that lost pages.
    fn make_durable(&mut self) {
        let before = std::mem::replace(&mut self.durable, self.live.clone());
        for path in &self.suspect {
            match before.get(path).filter(|_| self.live.contains_key(path)) {
                Some(contents) => self.durable.insert(path.clone(), contents.clone()),
                None => self.durable.remove(path),
            };
        }
    }

    /// Models a failed sync: dirty pages are marked clean and lost. The file keeps its length and
    /// must not be written again.
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

    /// Cuts the power. With `tails`, some unsynced bytes survive, as on a real disk.
    pub fn cut(&mut self, tails: Option<&mut Rng>) {
        if let Some(rng) = tails {
            for (path, contents) in &self.live {
                let durable = self.durable.get(path).map_or(0, Vec::len);
                // A hole looks like damage, which is reported and stays (see the format's
                // assumptions), so the simulated cut leaves none.
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

    /// Whether a failed write or sync left the file with a hole or half a chunk.
    pub fn is_suspect(&self, path: &str) -> bool {
        self.suspect.contains(path)
    }

    /// Files with unsynced bytes or an unsynced name.
    pub fn unsynced(&self) -> Vec<String> {
        let changed = |path: &&String| self.durable.get(*path) != self.live.get(*path);
        self.live.keys().filter(changed).cloned().collect()
    }

    /// Cuts the power. For every file with unsynced bytes `tail` receives their number and returns
    /// what survives; `None` also drops the name of a new file.
    pub fn cut_as(&mut self, mut tail: impl FnMut(&str, usize) -> Option<Tail>) {
        for path in self.unsynced() {
            if self.suspect.contains(&path) {
                continue;
            }
            let durable = self.durable.get(&path).map_or(&[][..], Vec::as_slice);
            // A file that took the place of another one without a sync has not done so.
            let more = self.live[&path].strip_prefix(durable);
            let Some(bytes) = more.filter(|bytes| !bytes.is_empty()) else { continue };
            let Some(kept) = tail(&path, bytes.len()) else { continue };
            let mut more = bytes[..kept.whole].to_vec();
            more.resize(kept.whole + kept.zeros, 0);
            self.durable.entry(path).or_default().extend_from_slice(&more);
        }
        self.live.clone_from(&self.durable);
        self.cut_at = None;
        self.stop();
    }

    /// Drops all queued jobs.
    pub fn stop(&mut self) {
        self.waiting.clear();
        self.open.clear();
        self.suspect.clear();
    }
}

impl SimDisk {
    /// Whether the power is cut in this step of a recovery.
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

    fn replace_with(&mut self, path: &str, new: &str, old: (u64, u64)) -> io::Result<()> {
        let _ = self.overwrite(path, old.0, old.1);
        if self.cut_in_recovery() {
            return Err(io::ErrorKind::Other.into());
        }
        let contents = self.live.remove(new).ok_or(io::ErrorKind::NotFound)?;
        self.durable.remove(new);
        self.live.insert(path.to_string(), contents.clone());
        self.durable.insert(path.to_string(), contents);
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
