//! The disk thread: it alone waits for the disk.
//!
//! DESIGN: one thread takes jobs in order from a bounded queue and executes them with plain system
//! calls; each answer goes back through a second queue, and a `mio::Waker` tells the loop. A
//! `write` can block behind an `fsync` of the same file on any thread, which is why writing is here
//! too. Order is the only guarantee and the only one needed: a `Sync` covers every append before
//! it, the names of new files included. Log lines come along the same way (see `printer`).
//!
//! Open files are its only state. It decides nothing: an error is an answer. One thing it insists
//! on: a file that could not be written or synced is never touched again, whatever is asked,
//! because what the kernel then says of it is worth nothing.

use crate::job::{Completion, DiskError, FileId, Job};
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

/// Jobs on their way; more wait in the loop.
const QUEUE_TASKS_MAX: usize = 1024;

/// Above so many dirty files the whole file system is synced instead.
const SYNC_EACH_MAX: usize = 8;

/// What the disk thread is sent.
pub enum DiskTask {
    Job(Job),
    Log(crate::shell::os::log_writer::LogMessage),
}

/// The disk thread is gone, which only a broken invariant of its own can bring about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerExited;

/// The loop's end.
pub struct DiskThread {
    tasks: SyncSender<DiskTask>,
    completions: Receiver<Completion>,
    waiting_jobs: VecDeque<Job>,
    thread: Option<JoinHandle<()>>,
}

impl DiskThread {
    /// Starts the thread on a data directory. `print` takes log lines.
    ///
    /// # Errors
    /// When the directory cannot be opened or no thread can be had.
    pub fn start(
        data: &Path,
        waker: Arc<Waker>,
        (tasks, inbox): (SyncSender<DiskTask>, Receiver<DiskTask>),
        print: crate::shell::os::log_writer::LogWriter,
    ) -> io::Result<DiskThread> {
        let (done_sender, dones) = sync_channel(QUEUE_TASKS_MAX);
        let root = File::open(data)?;
        let hands = DiskWorker {
            data: data.to_path_buf(),
            root,
            files: HashMap::new(),
            dirty_files: BTreeSet::new(),
            dirty_folders: BTreeSet::new(),
        };
        let work = move || run_disk_thread(hands, &inbox, &done_sender, &waker, &print);
        let thread = std::thread::Builder::new().name("disk".to_string()).spawn(work)?;
        Ok(DiskThread {
            tasks,
            completions: dones,
            waiting_jobs: VecDeque::new(),
            thread: Some(thread),
        })
    }

    /// The queue of a thread to be started.
    #[must_use]
    pub fn new_queue() -> (SyncSender<DiskTask>, Receiver<DiskTask>) {
        sync_channel(QUEUE_TASKS_MAX)
    }

    /// Hands a job over; it never blocks.
    pub fn submit(&mut self, job: Job) {
        self.waiting_jobs.push_back(job);
        self.submit_waiting();
    }

    /// Hands over what waits, as far as the queue takes it.
    pub fn submit_waiting(&mut self) {
        while let Some(job) = self.waiting_jobs.pop_front() {
            match self.tasks.try_send(DiskTask::Job(job)) {
                Ok(()) => {}
                Err(TrySendError::Full(DiskTask::Job(job))) => {
                    self.waiting_jobs.push_front(job);
                    return;
                }
                Err(_) => return,
            }
        }
    }

    /// The next answer, if there is one.
    ///
    /// # Errors
    /// When the disk thread died.
    pub fn next_completion(&mut self) -> Result<Option<Completion>, WorkerExited> {
        match self.completions.try_recv() {
            Ok(done) => Ok(Some(done)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(WorkerExited),
        }
    }

    /// Lets the thread finish what it was given, log lines included.
    pub fn finish(mut self) {
        self.submit_waiting();
        let DiskThread { tasks, completions: dones, thread, .. } = self;
        drop(tasks);
        log::logger().flush();
        while dones.recv().is_ok() {}
        if let Some(thread) = thread {
            drop(thread.join());
        }
    }
}

fn run_disk_thread(
    mut hands: DiskWorker,
    inbox: &Receiver<DiskTask>,
    dones: &SyncSender<Completion>,
    waker: &Waker,
    print: &crate::shell::os::log_writer::LogWriter,
) {
    while let Ok(task) = inbox.recv() {
        let done = match task {
            DiskTask::Job(job) => hands.execute_job(job),
            DiskTask::Log(line) => {
                if !print.write_message(&line) {
                    return;
                }
                continue;
            }
        };
        if let Some(done) = done {
            if dones.send(done).is_err() {
                return;
            }
            if let Err(error) = waker.wake() {
                log::error!("the loop cannot be woken: {error}");
            }
        }
    }
}

/// What executes jobs.
struct DiskWorker {
    data: PathBuf,
    root: File,
    files: HashMap<FileId, File>,
    /// Files written to since the last sync.
    dirty_files: BTreeSet<FileId>,
    /// Folders with new names since then.
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
            Job::QueryFreeSpace => {
                let (free, total) = disk_space(&self.data);
                Completion::FreeSpace { free, total }
            }
        })
    }

    fn create_file(&mut self, file: FileId, path: &str) -> io::Result<()> {
        self.reopen_moved_root()?;
        let path = self.data.join(path);
        let mut missing = path.parent();
        while let Some(folder) = missing.filter(|folder| !folder.exists()) {
            if let Some(above) = folder.parent() {
                self.dirty_folders.insert(above.to_path_buf());
            }
            missing = folder.parent();
        }
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
            self.dirty_folders.insert(folder.to_path_buf());
        }
        let made = OpenOptions::new().append(true).create_new(true).mode(0o640).open(&path)?;
        self.files.insert(file, made);
        self.dirty_files.insert(file);
        Ok(())
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

    /// The file is suspect: nobody writes or syncs it any more.
    fn abandon_file(&mut self, file: FileId) {
        self.files.remove(&file);
        self.dirty_files.remove(&file);
    }

    /// A file that is closed before its sync is synced now.
    fn close_file(&mut self, file: FileId) {
        // It stays open until the next sync has covered it.
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

    /// The data directory may have gone and come back, mounted anew. An empty place where it is
    /// mounted otherwise is not it.
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
        let mut file = File::open(self.data.join(path))?;
        file.seek(SeekFrom::Start(offset))?;
        let limit = bytes.capacity() as u64;
        file.take(limit).read_to_end(bytes)?;
        Ok(())
    }

    fn remove_file(&mut self, path: &str) -> io::Result<()> {
        // What is not in an empty place is not gone.
        self.reopen_moved_root()?;
        let path = self.data.join(path);
        match std::fs::remove_file(&path) {
            // A removal that a cut interrupted is asked for again.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            removed => removed?,
        }
        self.dirty_folders.extend(path.parent().map(Path::to_path_buf));
        Ok(())
    }
}

/// How much is free where a path is, and how much there is in all, in bytes; zeros: not known.
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

/// Numbers from here on stand for files that are closed but not synced yet.
const CLOSED_FILE_BIT: u64 = 1 << 63;

fn closed_file_id(file: FileId) -> FileId {
    assert!(file.0 < CLOSED_FILE_BIT);
    FileId(file.0 + CLOSED_FILE_BIT)
}
