//! The disk thread: the only thread that waits for the disk.
//!
//! DESIGN: the thread takes jobs in order from a bounded queue and executes them with plain
//! system calls. Completions return through a second queue, and a `mio::Waker` wakes the loop.
//! Writes run here too, because a `write` can block behind an `fsync` of the same file on any
//! thread. Order is the only guarantee: a `Sync` covers every append before it, including the
//! names of new files.
//!
//! Its only state is the open files. It makes no decisions and returns errors as completions. A
//! file that failed to write or sync is never used again, because the kernel's later reports on
//! it are unreliable.

use crate::job::{Completion, DiskError, FileId, Job};
use crate::shell::os::regular_file::{open_regular_file, overwrite_with_zeros};
use crate::store::layout;
use mio::Waker;
use nix::errno::Errno;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::thread::JoinHandle;

/// Jobs in the queue; further jobs wait in the loop.
const QUEUE_JOBS_MAX: usize = 1024;

/// Above this number of dirty files the whole file system is synced instead.
const SYNC_EACH_MAX: usize = 8;

/// The disk thread exited, which only a violated invariant in it can cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerExited;

/// The loop's handle on the disk thread.
pub struct DiskThread {
    jobs: SyncSender<Job>,
    completions: Receiver<Completion>,
    waiting_jobs: VecDeque<Job>,
    thread: Option<JoinHandle<()>>,
}

impl DiskThread {
    /// Starts the thread on a data directory.
    ///
    /// # Errors
    /// The directory cannot be opened or the thread cannot be started.
    pub fn start(data: &Path, waker: Arc<Waker>) -> io::Result<DiskThread> {
        let (jobs, inbox) = sync_channel(QUEUE_JOBS_MAX);
        let (completion_sender, completions) = sync_channel(QUEUE_JOBS_MAX);
        let root = File::open(data)?;
        let worker = DiskWorker {
            data: data.to_path_buf(),
            root,
            files: HashMap::new(),
            dirty_files: BTreeSet::new(),
            dirty_folders: BTreeSet::new(),
        };
        let work = move || run_disk_thread(worker, &inbox, &completion_sender, &waker);
        let thread = std::thread::Builder::new().name("disk".to_string()).spawn(work)?;
        Ok(DiskThread { jobs, completions, waiting_jobs: VecDeque::new(), thread: Some(thread) })
    }

    /// Submits a job without blocking.
    pub fn submit(&mut self, job: Job) {
        self.waiting_jobs.push_back(job);
        self.submit_waiting();
    }

    /// Submits waiting jobs until the queue is full.
    pub fn submit_waiting(&mut self) {
        while let Some(job) = self.waiting_jobs.pop_front() {
            match self.jobs.try_send(job) {
                Ok(()) => {}
                Err(TrySendError::Full(job)) => return self.waiting_jobs.push_front(job),
                Err(TrySendError::Disconnected(_)) => return,
            }
        }
    }

    /// Returns the next completion, if any.
    ///
    /// # Errors
    /// The disk thread exited.
    pub fn next_completion(&mut self) -> Result<Option<Completion>, WorkerExited> {
        match self.completions.try_recv() {
            Ok(completion) => Ok(Some(completion)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(WorkerExited),
        }
    }

    /// Waits until the thread has finished all jobs.
    pub fn finish(mut self) {
        self.submit_waiting();
        let DiskThread { jobs, completions, thread, .. } = self;
        drop(jobs);
        while completions.recv().is_ok() {}
        if let Some(thread) = thread {
            drop(thread.join());
        }
    }
}

fn run_disk_thread(
    mut worker: DiskWorker,
    inbox: &Receiver<Job>,
    completions: &SyncSender<Completion>,
    waker: &Waker,
) {
    while let Ok(job) = inbox.recv() {
        if let Some(completion) = worker.execute_job(job) {
            if completions.send(completion).is_err() {
                return;
            }
            if let Err(error) = waker.wake() {
                log::error!("the loop cannot be woken: {error}");
            }
        }
    }
}

struct DiskWorker {
    data: PathBuf,
    root: File,
    files: HashMap<FileId, File>,
    /// Files written since the last sync.
    dirty_files: BTreeSet<FileId>,
    /// Directories with new names since the last sync.
    dirty_folders: BTreeSet<PathBuf>,
}

fn to_disk_error(error: &io::Error) -> DiskError {
    match error.raw_os_error() {
        Some(code) if code == Errno::ENOSPC as i32 || code == Errno::EDQUOT as i32 => {
            DiskError::Full
        }
        code => DiskError::Failed(code.unwrap_or(0)),
    }
}

impl DiskWorker {
    fn execute_job(&mut self, job: Job) -> Option<Completion> {
        let told = |result: io::Result<()>| result.map_err(|error| to_disk_error(&error));
        Some(match job {
            Job::Create { file, path } => {
                Completion::Opened { file, result: told(self.create_file(file, &path)) }
            }
            Job::Reopen { file, path } => {
                Completion::Opened { file, result: told(self.reopen_file(file, &path)) }
            }
            Job::Append { file, mut bytes } => {
                let result = told(self.append_to_file(file, &bytes));
                zeroize::Zeroize::zeroize(&mut bytes);
                Completion::Appended { file, bytes, result }
            }
            Job::Close { file } => {
                self.close_file(file);
                return None;
            }
            Job::Sync { ticket } => Completion::Synced { ticket, result: told(self.sync_dirty()) },
            Job::Read { tag, path, offset, mut bytes } => {
                let result = told(self.read_file(&path, offset, &mut bytes));
                Completion::Read { tag, bytes, result }
            }
            Job::Remove { path } => {
                let result = told(self.remove_file(&path));
                Completion::Removed { path, result }
            }
            Job::Overwrite { path, offset, length } => {
                let path = self.data.join(path);
                Completion::Overwritten {
                    result: told(overwrite_with_zeros(&path, offset, length)),
                }
            }
            Job::Replace { new, path } => {
                Completion::Replaced { result: told(self.replace_file(&new, &path)) }
            }
            Job::TryCreate { path } => {
                Completion::TrialCreated { result: told(self.try_create(&path)) }
            }
            Job::QueryFreeSpace => {
                let (free, total) = disk_space(&self.data);
                Completion::FreeSpace { free, total }
            }
        })
    }

    fn create_file(&mut self, file: FileId, path: &str) -> io::Result<()> {
        self.reopen_moved_root()?;
        let path = self.data.join(path);
        if let Some(folder) = path.parent() {
            self.create_folder(folder)?;
        }
        let made = OpenOptions::new().append(true).create_new(true).mode(0o640).open(&path)?;
        self.files.insert(file, made);
        self.dirty_files.insert(file);
        Ok(())
    }

    /// Creates a folder and its parents. Those that a full disk leaves without their last part are
    /// synced like any other; a folder that does not exist must not be.
    fn create_folder(&mut self, folder: &Path) -> io::Result<()> {
        let missing = folder.ancestors().take_while(|folder| !folder.exists());
        let changed: Vec<PathBuf> =
            missing.filter_map(Path::parent).map(Path::to_path_buf).collect();
        let created = std::fs::create_dir_all(folder);
        let changed = changed.into_iter().chain([folder.to_path_buf()]);
        self.dirty_folders.extend(changed.filter(|folder| folder.is_dir()));
        created
    }

    /// Creates a file and removes it again. It first removes a file that a power cut left behind.
    fn try_create(&mut self, path: &str) -> io::Result<()> {
        self.reopen_moved_root()?;
        let path = self.data.join(path);
        if let Some(folder) = path.parent() {
            self.create_folder(folder)?;
        }
        drop(std::fs::remove_file(&path));
        OpenOptions::new().append(true).create_new(true).mode(0o640).open(&path)?;
        std::fs::remove_file(&path)
    }

    fn reopen_file(&mut self, file: FileId, path: &str) -> io::Result<()> {
        let opened = OpenOptions::new().append(true).open(self.data.join(path))?;
        self.files.insert(file, opened);
        Ok(())
    }

    fn append_to_file(&mut self, file: FileId, bytes: &[u8]) -> io::Result<()> {
        let Some(open) = self.files.get_mut(&file) else {
            return Err(Errno::EBADF.into());
        };
        self.dirty_files.insert(file);
        let written = open.write_all(bytes);
        if written.is_err() {
            self.abandon_file(file);
        }
        written
    }

    /// Drops a failed file; it is never written or synced again.
    fn abandon_file(&mut self, file: FileId) {
        self.files.remove(&file);
        self.dirty_files.remove(&file);
    }

    /// Closes a file once a sync covers it.
    fn close_file(&mut self, file: FileId) {
        // An unsynced file stays open until the next sync.
        if !self.dirty_files.contains(&file) {
            self.files.remove(&file);
        } else if let Some(open) = self.files.remove(&file) {
            self.files.insert(closed_file_id(file), open);
            self.dirty_files.remove(&file);
            self.dirty_files.insert(closed_file_id(file));
        }
    }

    fn sync_dirty(&mut self) -> io::Result<()> {
        let dirty = std::mem::take(&mut self.dirty_files);
        let folders = std::mem::take(&mut self.dirty_folders);
        let synced = self.sync_files(&dirty, &folders);
        if synced.is_err() {
            dirty.into_iter().for_each(|file| self.abandon_file(file));
        }
        self.files.retain(|file, _| file.0 < CLOSED_FILE_BIT);
        synced
    }

    fn sync_files(
        &mut self,
        dirty: &BTreeSet<FileId>,
        folders: &BTreeSet<PathBuf>,
    ) -> io::Result<()> {
        self.reopen_moved_root()?;
        if dirty.len() > SYNC_EACH_MAX {
            nix::unistd::syncfs(&self.root)?;
            return Ok(());
        }
        for file in dirty.iter().filter_map(|file| self.files.get(file)) {
            file.sync_data()?;
        }
        folders.iter().try_for_each(|folder| File::open(folder)?.sync_all())
    }

    /// Reopens the data directory if it was remounted. A directory without `keys` is a bare mount
    /// point, which is an error.
    fn reopen_moved_root(&mut self) -> io::Result<()> {
        let (now, known) = (std::fs::metadata(&self.data)?, self.root.metadata()?);
        if (now.dev(), now.ino()) != (known.dev(), known.ino()) {
            if !self.data.join(layout::KEYS).is_dir() {
                return Err(Errno::ENODEV.into());
            }
            self.root = File::open(&self.data)?;
        }
        Ok(())
    }

    fn read_file(&self, path: &str, offset: u64, bytes: &mut Vec<u8>) -> io::Result<()> {
        let mut file = open_regular_file(&self.data.join(path))?;
        file.seek(SeekFrom::Start(offset))?;
        let limit = bytes.capacity() as u64;
        file.take(limit).read_to_end(bytes)?;
        Ok(())
    }

    /// Renames a file over another one; the next sync covers both folders.
    fn replace_file(&mut self, new: &str, path: &str) -> io::Result<()> {
        self.reopen_moved_root()?;
        let (new, path) = (self.data.join(new), self.data.join(path));
        match std::fs::rename(&new, &path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && path.is_file() => {}
            renamed => renamed?,
        }
        let folders = [new.parent(), path.parent()].into_iter().flatten();
        self.dirty_folders.extend(folders.map(Path::to_path_buf));
        Ok(())
    }

    fn remove_file(&mut self, path: &str) -> io::Result<()> {
        // On a bare mount point a missing file is not a deleted file.
        self.reopen_moved_root()?;
        let path = self.data.join(path);
        match std::fs::remove_file(&path) {
            // A removal that a power cut interrupted is submitted again.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            removed => removed?,
        }
        self.dirty_folders.extend(path.parent().map(Path::to_path_buf));
        Ok(())
    }
}

/// Returns free and total bytes of the file system at a path; zeros if unknown.
#[must_use]
pub fn disk_space(at: &Path) -> (u64, u64) {
    match nix::sys::statvfs::statvfs(at) {
        Ok(space) => {
            let block = space.fragment_size();
            (space.blocks_available() * block, space.blocks() * block)
        }
        Err(_) => (0, 0),
    }
}

/// Ids with this bit are files that are closed but not synced yet.
const CLOSED_FILE_BIT: u64 = 1 << 63;

fn closed_file_id(file: FileId) -> FileId {
    assert!(file.0 < CLOSED_FILE_BIT);
    FileId(file.0 + CLOSED_FILE_BIT)
}
