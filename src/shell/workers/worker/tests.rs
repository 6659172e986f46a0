//! Tests of a worker on a system that refuses threads and random bits.

use super::*;
use crate::limits;
use crate::shell::workers::system::{Kernel, is_worker_thread};
use crate::store::seal::Identity;
use mio::{Poll, Token};
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$\
    BtIvqaj9XY7ZBxJ22c5iVw$TyjQ7ygFTOcEHsXrsnq57JJbStAteqOOA0/cG+bNoiU";

/// A system that refuses a limited number of threads.
#[derive(Default)]
struct Refusing {
    threads: AtomicUsize,
    /// Number of random fills that succeed; `None`: all.
    random: Mutex<Option<usize>>,
    panics: AtomicUsize,
}

impl System for Refusing {
    fn spawn(&self, work: Box<dyn FnOnce() + Send>) -> io::Result<()> {
        let left = self.threads.load(Ordering::Relaxed);
        if left > 0 {
            self.threads.store(left - 1, Ordering::Relaxed);
            return Err(nix::errno::Errno::EAGAIN.into());
        }
        Kernel.spawn(work)
    }

    fn fill_random(&self, bytes: &mut [u8]) -> Result<(), String> {
        let left = self.panics.load(Ordering::Relaxed);
        if left > 0 {
            self.panics.store(left - 1, Ordering::Relaxed);
            panic!("a broken invariant of a worker");
        }
        match &mut *self.random.lock().unwrap() {
            Some(0) => Err("no random bits".to_string()),
            Some(left) => {
                *left -= 1;
                Kernel.fill_random(bytes)
            }
            None => Kernel.fill_random(bytes),
        }
    }
}

/// A worker and the loop's side of its waker.
struct Bench {
    system: Arc<Refusing>,
    worker: Worker,
    poll: Poll,
    now: MonoTime,
}

impl Bench {
    fn new(system: Refusing) -> Bench {
        let poll = Poll::new().unwrap();
        let waker = Arc::new(Waker::new(poll.registry(), Token(0)).unwrap());
        let system = Arc::new(system);
        let recipients = vec![Identity::generate().to_public()];
        let worker = Worker::new(system.clone(), (recipients, true), waker);
        Bench { system, worker, poll, now: MonoTime(1) }
    }

    /// Simulates the loop: waits for a deadline or wake-up and collects replies. Time jumps to
    /// the deadline.
    fn answers(&mut self, wanted: usize) -> Vec<WorkerReply> {
        let mut answers = Vec::new();
        while answers.len() < wanted {
            self.worker.tick(self.now);
            let before = answers.len();
            answers.extend(std::iter::from_fn(|| self.worker.next_reply(self.now)));
            if answers.len() > before {
                continue;
            }
            match self.worker.next_deadline() {
                Some(at) => self.now = self.now.max(at),
                None => {
                    let patience = std::time::Duration::from_secs(60);
                    let mut events = mio::Events::with_capacity(8);
                    self.poll.poll(&mut events, Some(patience)).unwrap();
                    assert!(!events.is_empty(), "nothing comes any more");
                }
            }
        }
        answers
    }

    fn count_envelopes(&mut self, wanted: usize) {
        let mut count = 0;
        while count < wanted {
            for answer in self.answers(1) {
                let WorkerReply::Envelopes(made) = answer else { panic!("something else came") };
                count += made.len();
            }
        }
        assert_eq!(count, wanted);
    }
}

fn pin(session: u64, pin: &str) -> WorkerRequest {
    let pin = Zeroizing::new(pin.to_owned());
    WorkerRequest::CheckPin { session: SessionId(session), hash: HASH.to_owned(), pin }
}

#[test]
fn h4_request_is_served_once_when_a_thread_can_be_had_again() {
    let mut bench = Bench::new(Refusing { threads: 20.into(), ..Refusing::default() });
    bench.worker.submit(bench.now, WorkerRequest::MakeEnvelopes { count: 3 });
    for _ in 0..5 {
        bench.now = bench.worker.next_deadline().unwrap();
        bench.worker.tick(bench.now);
    }
    let trouble = bench.worker.trouble().unwrap().to_owned();
    assert!(trouble.starts_with("no thread can be started: "), "{trouble}");
    bench.count_envelopes(3);
    assert!(bench.now >= MonoTime(1).after_ms(60_000), "20 failures take their time");
    bench.worker.submit(bench.now, WorkerRequest::QueryTimeSync { now: Now::default() });
    assert!(matches!(bench.answers(1)[..], [WorkerReply::TimeSync(_)]), "and no envelope besides");
    assert_eq!((bench.worker.trouble(), bench.worker.next_deadline()), (None, None));
}

#[test]
fn h4_session_is_told_when_no_thread_can_be_had() {
    let mut bench = Bench::new(Refusing { threads: usize::MAX.into(), ..Refusing::default() });
    bench.worker.submit(bench.now, pin(7, "2468"));
    bench.worker.submit(bench.now, WorkerRequest::NewCode { session: SessionId(8) });
    bench.worker.submit(bench.now, WorkerRequest::MakeSelfTestKeys);
    bench
        .worker
        .submit(bench.now, WorkerRequest::SelfTest { data: PathBuf::new(), recording: None });
    bench.worker.submit(bench.now, WorkerRequest::MakeEnvelopes { count: 1 });
    let mut told = bench.answers(4);
    assert_eq!(bench.now, MonoTime(1).after_ms(limits::WORKER_WAIT_MS));
    told.retain(|answer| match answer {
        WorkerReply::GivenUp { session, why } => {
            assert!(why.contains("no thread can be started"), "{why}");
            ![7, 8].contains(&session.0)
        }
        WorkerReply::SelfTestKeys(Err(_)) => false,
        WorkerReply::SelfTestDone(found) => found.syncs_us.is_ok(),
        _ => true,
    });
    assert!(told.is_empty());
    // The box's own request does not expire.
    bench.system.threads.store(0, Ordering::Relaxed);
    bench.count_envelopes(1);
}

#[test]
fn h4_keys_come_as_random_bits_do() {
    let mut bench = Bench::new(Refusing { random: Some(2).into(), ..Refusing::default() });
    bench.worker.submit(bench.now, WorkerRequest::MakeEnvelopes { count: 5 });
    bench.count_envelopes(2);
    // Requests that need no random bits are not delayed.
    bench.worker.submit(bench.now, pin(7, "2468"));
    bench.worker.submit(bench.now, pin(8, "1111"));
    let mut right = Vec::new();
    while right.len() < 2 {
        for answer in bench.answers(1) {
            match answer {
                WorkerReply::PinChecked { session, right: is } => right.push((session.0, is)),
                WorkerReply::Envelopes(made) => assert!(made.is_empty()),
                _ => panic!("something else came"),
            }
        }
    }
    assert_eq!(right, [(7, true), (8, false)]);
    *bench.system.random.lock().unwrap() = None;
    bench.count_envelopes(3);
}

#[test]
fn h4_panic_of_a_worker_fails_its_request_only() {
    let mut bench = Bench::new(Refusing { panics: 2.into(), ..Refusing::default() });
    bench.worker.submit(bench.now, WorkerRequest::NewCode { session: SessionId(7) });
    assert!(matches!(
        bench.answers(1)[..],
        [WorkerReply::CodeRandom { session: SessionId(7), .. }]
    ));
    assert_eq!(bench.system.panics.load(Ordering::Relaxed), 0);
    assert!(!is_worker_thread());
}

#[test]
fn a_pin_that_could_not_be_compared_is_not_wrong() {
    use password_hash::Error;
    assert_eq!(pin_result(Ok(())), Ok(true));
    assert_eq!(pin_result(Err(Error::PasswordInvalid)), Ok(false));
    assert!(pin_result(Err(Error::OutOfMemory)).is_err());
    assert_eq!(verify_pin("no hash", "2468"), Ok(false));
}
