//! A disk in memory that does jobs late, refuses them on demand, and loses what was not synced.
//!
//! Every file has two images: what was written, and what a sync has made durable. A cut leaves the
//! durable one and, if chance wants it, some of the bytes that came after.

use super::audio::Chance;
use hushbox::job::{DiskError, Done, FileId, Job};
use hushbox::store::recover::Files;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, Cursor};

/// Decides which jobs fail; the path is that of the file, where the job has one.
pub type Refuse = Box<dyn FnMut(&Job, &str) -> Option<DiskError>>;

/// Paths and contents.
type Image = BTreeMap<String, Vec<u8>>;

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
            reads: 0,
            space: (900 << 30, 1000 << 30),
        }
    }
}

impl SimDisk {
    /// Takes a job, to be done after the delay and after every job before it.
    pub fn ask(&mut self, now_us: u64, job: Job) {
        self.reads += usize::from(matches!(job, Job::Read { .. }));
        let before = self.waiting.back().map_or(0, |(due, _)| *due);
        self.waiting.push_back((before.max(now_us + self.delay_us), job));
    }

    /// Does the next job that is due; the inner `None` is an answer that needs no words.
    pub fn work(&mut self, now_us: u64) -> Option<Option<Done>> {
        if self.stuck || self.waiting.front().is_none_or(|(due, _)| *due > now_us) {
            return None;
        }
        self.waiting.pop_front().map(|(_, job)| self.execute(job))
    }

    fn refused(&mut self, job: &Job) -> Result<(), DiskError> {
        let path = match job {
            Job::Create { path, .. } | Job::Reopen { path, .. } | Job::Read { path, .. } => path,
            Job::Append { file, .. } | Job::Close { file } => &self.open[file],
            Job::Remove { path } => path,
            Job::Sync { .. } | Job::Space => "",
        };
        let refuse = self.refuse.as_mut().and_then(|refuse| refuse(job, path));
        refuse.map_or(Ok(()), Err)
    }

    fn execute(&mut self, job: Job) -> Option<Done> {
        let result = self.refused(&job);
        Some(match job {
            Job::Create { file, path } => {
                self.open.insert(file, path.clone());
                if result.is_ok() {
                    let old = self.live.insert(path, Vec::new());
                    assert!(old.is_none(), "a new file replaces one");
                }
                Done::Opened { file, result }
            }
            Job::Reopen { file, path } => {
                assert!(self.live.contains_key(&path), "{path} is not there");
                self.open.insert(file, path);
                Done::Opened { file, result }
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
                Done::Appended { file, bytes, result }
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
                Done::Synced { ticket, result }
            }
            Job::Read { tag, path, offset, mut bytes } => {
                let contents = self.live.get(&path);
                let from = usize::try_from(offset).unwrap();
                if let Some(rest) = contents.and_then(|contents| contents.get(from..)) {
                    bytes.extend_from_slice(&rest[..rest.len().min(bytes.capacity())]);
                }
                let found = contents.map(|_| ()).ok_or(DiskError::Failed(2));
                Done::Read { tag, bytes, result: result.and(found) }
            }
            Job::Remove { path } => {
                if result.is_ok() {
                    self.live.remove(&path);
                }
                Done::Removed { path, result }
            }
            Job::Space => Done::Space { free: self.space.0, total: self.space.1 },
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
    pub fn cut(&mut self, tails: Option<&mut Chance>) {
        if let Some(chance) = tails {
            for (path, contents) in &self.live {
                let durable = self.durable.get(path).map_or(0, Vec::len);
                // Holes look like damage, which is told and stays (see the format's assumptions);
                // the simulated disk keeps them out of what a cut leaves.
                let whole = !self.suspect.contains(path);
                if contents.len() > durable && whole && !chance.one_in(3) {
                    let kept = durable + chance.below(contents.len() - durable + 1);
                    self.durable.insert(path.clone(), contents[..kept].to_vec());
                }
            }
        }
        self.live.clone_from(&self.durable);
        self.stop();
    }

    /// Nobody asks any more.
    pub fn stop(&mut self) {
        self.waiting.clear();
        self.open.clear();
        self.suspect.clear();
    }
}

impl Files for SimDisk {
    type File = Cursor<Vec<u8>>;

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let inside = |path: &String| {
            let name = path.strip_prefix(folder)?.strip_prefix('/')?;
            (!name.contains('/')).then(|| name.to_string())
        };
        Ok(self.live.keys().filter_map(inside).collect())
    }

    fn open(&self, path: &str) -> io::Result<Cursor<Vec<u8>>> {
        let found = self.live.get(path).cloned().map(Cursor::new);
        found.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    fn mend(&mut self, path: &str, good: u64, more: &[u8]) -> io::Result<()> {
        let good = usize::try_from(good).unwrap();
        let contents = self.live.get_mut(path).ok_or(io::ErrorKind::NotFound)?;
        contents.truncate(good);
        contents.extend_from_slice(more);
        self.durable.insert(path.to_string(), contents.clone());
        Ok(())
    }

    fn remove(&mut self, path: &str) -> io::Result<()> {
        self.live.remove(path);
        self.durable.remove(path);
        Ok(())
    }
}
