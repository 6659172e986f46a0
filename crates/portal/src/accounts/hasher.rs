//! The threads that hash passwords.
//!
//! Each thread owns its working memory and uses it again, so many log-ins at once need no more
//! memory. The queue is bounded too: when it is full, the portal asks the caller to try again.
//! Verifying for an unknown user takes as long as for a known one, so response time does not reveal
//! which names exist.

use crate::accounts::password::{BYTES_MAX, HashMemory, PasswordError};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

/// Number of threads, and so of hashes at a time.
const THREADS: usize = 2;
/// Passwords that may wait. At some 20 ms each, the last one waits a third of a second.
const QUEUE_MAX: usize = 32;

enum HashJob {
    Verify { hash: String, password: Zeroizing<String>, reply: oneshot::Sender<bool> },
    Hash { password: Zeroizing<String>, reply: oneshot::Sender<Result<String, PasswordError>> },
}

/// Handle of the threads. They end when the last handle is dropped.
#[derive(Clone, Debug)]
pub struct Hasher {
    jobs: SyncSender<HashJob>,
    /// Hash to verify against when the account does not exist.
    dummy_hash: Arc<str>,
}

impl Hasher {
    pub fn start() -> Result<Hasher, PasswordError> {
        let dummy_hash =
            HashMemory::default().hash_password("no account has this password")?.into();
        let (jobs, queue) = sync_channel(QUEUE_MAX);
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..THREADS {
            let queue = Arc::clone(&queue);
            let thread = std::thread::Builder::new().name("hasher".to_owned());
            let started = thread.spawn(move || run_jobs(&queue));
            started.map_err(|error| PasswordError::Hash(error.to_string()))?;
        }
        Ok(Hasher { jobs, dummy_hash })
    }

    /// Verifies `password` against the hash `known`. Without a hash it takes as long and returns
    /// false.
    pub async fn verify(
        &self,
        known: Option<String>,
        password: Zeroizing<String>,
    ) -> Result<bool, PasswordError> {
        let (reply, answered) = oneshot::channel();
        let is_known = known.is_some();
        let hash = known.unwrap_or_else(|| self.dummy_hash.to_string());
        self.queue_job(HashJob::Verify { hash, password, reply })?;
        let is_right = answered.await.map_err(|_| thread_failed())?;
        Ok(is_right && is_known)
    }

    pub async fn hash(&self, password: Zeroizing<String>) -> Result<String, PasswordError> {
        let (reply, answered) = oneshot::channel();
        self.queue_job(HashJob::Hash { password, reply })?;
        answered.await.map_err(|_| thread_failed())?
    }

    fn queue_job(&self, job: HashJob) -> Result<(), PasswordError> {
        self.jobs.try_send(job).map_err(|_| PasswordError::Busy)
    }
}

fn thread_failed() -> PasswordError {
    PasswordError::Hash("the hashing thread ended".to_owned())
}

fn run_jobs(queue: &Mutex<Receiver<HashJob>>) {
    let mut memory = HashMemory::default();
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        // A request whose caller no longer waits is not hashed.
        match next {
            Ok(HashJob::Verify { hash, password, reply }) if !reply.is_closed() => {
                let is_right = password.len() <= BYTES_MAX && memory.is_match(&hash, &password);
                let _ = reply.send(is_right);
            }
            Ok(HashJob::Hash { password, reply }) if !reply.is_closed() => {
                let _ = reply.send(memory.hash_password(&password));
            }
            Ok(_) => {}
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn c5_too_many_passwords_at_once_are_refused_and_the_others_still_checked() {
        let hasher = Hasher::start().expect("threads");
        let hash = hasher.hash("correct horse battery".to_owned().into()).await.expect("a hash");
        let ask = |password: &str| {
            let (hasher, hash) = (hasher.clone(), hash.clone());
            let password = Zeroizing::new(password.to_owned());
            tokio::spawn(async move { hasher.verify(Some(hash), password).await })
        };
        let mut asked = vec![ask("correct horse battery")];
        asked.extend((0..4 * QUEUE_MAX).map(|_| ask("wrong horse")));
        let mut answers = Vec::new();
        for ask in asked {
            answers.push(ask.await.expect("a task"));
        }
        assert_eq!(answers[0], Ok(true));
        let busy = answers.iter().filter(|answer| **answer == Err(PasswordError::Busy)).count();
        let wrong = answers.iter().filter(|answer| **answer == Ok(false)).count();
        assert!(busy >= QUEUE_MAX && wrong + 1 >= QUEUE_MAX, "{busy} busy, {wrong} wrong");
        assert_eq!(hasher.verify(None, "x".to_owned().into()).await, Ok(false));
    }
}
