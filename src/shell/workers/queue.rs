//! Request queue of a worker thread: order, retries and expiry.
//!
//! One request is served at a time. A thread that fails to start, or a request that fails for
//! lack of memory or random bits, is retried with back-off without limit. Only a request that a
//! session waits for expires, so that the client gets a reply. The queue starts no threads and
//! does not interpret requests.

use crate::backoff::Backoff;
use crate::limits;
use crate::time::MonoTime;
use std::collections::VecDeque;

/// Properties of a request that the queue needs.
pub trait Request {
    /// Whether it is served after the box's own requests, because clients without permissions can
    /// cause it.
    fn yields(&self) -> bool;
    /// Whether a session waits for the reply.
    fn is_awaited(&self) -> bool;
}

/// Attempts of a request so far.
#[derive(Clone, Debug)]
struct Course {
    asked: MonoTime,
    backoff: Backoff,
    /// Error of the last attempt; empty if none failed.
    why: String,
}

/// The requests for one worker thread.
#[derive(Debug)]
pub struct WorkerQueue<R> {
    waiting: VecDeque<(R, Course)>,
    /// Attempts of the request being served.
    serving: Option<Course>,
    /// Back-off for thread starts; `no_thread` is the last error.
    threads: Backoff,
    no_thread: String,
}

const fn pauses() -> Backoff {
    Backoff::new(limits::WORKER_AGAIN_MS, limits::WORKER_AGAIN_MS_MAX)
}

impl<R> Default for WorkerQueue<R> {
    fn default() -> WorkerQueue<R> {
        let (waiting, no_thread) = (VecDeque::new(), String::new());
        WorkerQueue { waiting, serving: None, threads: pauses(), no_thread }
    }
}

impl<R: Request> WorkerQueue<R> {
    /// Appends a request behind those of its rank.
    pub fn push(&mut self, now: MonoTime, request: R) {
        let course = Course { asked: now, backoff: pauses(), why: String::new() };
        let first = self.waiting.iter().position(|(other, _)| other.yields());
        let at = first.filter(|_| !request.yields()).unwrap_or(self.waiting.len());
        self.waiting.insert(at, (request, course));
    }

    /// Takes the next request that is due, unless one is being served. The caller must then call
    /// `started` or `not_started`.
    pub fn take_next(&mut self, now: MonoTime) -> Option<R> {
        if self.serving.is_some() || !self.threads.is_due(now) {
            return None;
        }
        let at = self.waiting.iter().position(|(_, course)| course.backoff.is_due(now))?;
        let (request, course) = self.waiting.remove(at)?;
        self.serving = Some(course);
        Some(request)
    }

    /// Records that a thread serves the taken request.
    pub fn started(&mut self) {
        self.threads.succeed();
    }

    /// Records that no thread could be started for the taken request.
    pub fn not_started(&mut self, now: MonoTime, request: R, why: String) {
        self.threads.fail(now);
        self.no_thread = why;
        if let Some(course) = self.serving.take() {
            self.put_back(request, course);
        }
    }

    /// Records that the request was served.
    pub fn finished(&mut self) {
        self.serving = None;
    }

    /// Records a failure; the request, or its remainder, is retried.
    pub fn failed(&mut self, now: MonoTime, request: R, why: String) {
        if let Some(mut course) = self.serving.take() {
            course.backoff.fail(now);
            course.why = why;
            self.put_back(request, course);
        }
    }

    /// Puts a request back in front of its rank.
    fn put_back(&mut self, request: R, course: Course) {
        let first = self.waiting.iter().position(|(other, _)| other.yields());
        let at = if request.yields() { first.unwrap_or(self.waiting.len()) } else { 0 };
        self.waiting.insert(at, (request, course));
    }

    /// Takes a request whose session has waited too long, with its last error.
    pub fn take_expired(&mut self, now: MonoTime) -> Option<(R, String)> {
        let over = |(request, course): &(R, Course)| {
            self.expires_at(request, course).is_some_and(|at| at <= now)
        };
        let at = self.waiting.iter().position(over)?;
        let (request, course) = self.waiting.remove(at)?;
        let why = if course.why.is_empty() { self.no_thread.clone() } else { course.why };
        Some((request, why))
    }

    /// Returns when a request expires. Requests expire only while the queue is stuck.
    fn expires_at(&self, request: &R, course: &Course) -> Option<MonoTime> {
        let fails = course.backoff.failures() > 0 || self.threads.failures() > 0;
        let expires = fails && request.is_awaited();
        expires.then(|| course.asked.after_ms(limits::WORKER_WAIT_MS))
    }

    /// Returns the next retry or expiry; `None` while a request is being served.
    #[must_use]
    pub fn next_deadline(&self) -> Option<MonoTime> {
        if self.serving.is_some() {
            return None;
        }
        let deadline = |(request, course): &(R, Course)| {
            let again = course.backoff.again().max(self.threads.again());
            self.expires_at(request, course).map_or(again, |at| at.min(again))
        };
        self.waiting.iter().map(deadline).min()
    }

    /// Returns the error of a request or thread start that failed repeatedly.
    #[must_use]
    pub fn trouble(&self) -> Option<&str> {
        let fails = |backoff: &Backoff| backoff.failures() >= limits::WORKER_FAILURES;
        if fails(&self.threads) && !self.waiting.is_empty() {
            return Some(&self.no_thread);
        }
        let courses = self.waiting.iter().map(|(_, course)| course).chain(&self.serving);
        courses.into_iter().find(|course| fails(&course.backoff)).map(|course| course.why.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Asked {
        Keys(usize),
        Summary,
        Pin,
        Config,
    }

    impl Request for Asked {
        fn yields(&self) -> bool {
            *self == Asked::Pin
        }

        fn is_awaited(&self) -> bool {
            matches!(self, Asked::Pin | Asked::Config)
        }
    }

    fn queue(all: &[Asked]) -> WorkerQueue<Asked> {
        let mut queue = WorkerQueue::default();
        all.iter().for_each(|asked| queue.push(MonoTime(0), *asked));
        queue
    }

    /// Takes the next request and starts it at once.
    fn serve(queue: &mut WorkerQueue<Asked>, now: MonoTime) -> Option<Asked> {
        let request = queue.take_next(now)?;
        queue.started();
        assert_eq!(queue.take_next(now), None, "one at a time");
        queue.finished();
        Some(request)
    }

    fn ms(ms: u64) -> MonoTime {
        MonoTime(0).after_ms(ms)
    }

    #[test]
    fn pins_are_compared_after_all_that_the_box_needs() {
        let mut queue = queue(&[Asked::Pin, Asked::Keys(1), Asked::Pin, Asked::Summary]);
        let order: Vec<_> = std::iter::from_fn(|| serve(&mut queue, MonoTime(0))).collect();
        assert_eq!(order, [Asked::Keys(1), Asked::Summary, Asked::Pin, Asked::Pin]);
        assert_eq!(queue.next_deadline(), None);
    }

    #[test]
    fn a_request_without_a_thread_waits_at_its_place() {
        let mut queue = queue(&[Asked::Keys(1), Asked::Summary]);
        let (mut now, mut tries) = (MonoTime(0), 0);
        while now < ms(3_600_000) {
            assert_eq!(queue.take_next(now), Some(Asked::Keys(1)));
            queue.not_started(now, Asked::Keys(1), "no thread".to_owned());
            assert_eq!(queue.take_next(now), None, "the whole queue rests");
            assert_eq!(queue.take_expired(now), None, "no session waits for keys");
            now = queue.next_deadline().unwrap();
            tries += 1;
        }
        assert!((300..500).contains(&tries), "{tries} tries in an hour");
        assert_eq!(queue.trouble(), Some("no thread"));
        assert_eq!(serve(&mut queue, now), Some(Asked::Keys(1)));
        assert_eq!(queue.trouble(), None);
        assert_eq!(serve(&mut queue, now), Some(Asked::Summary));
        assert_eq!(queue.next_deadline(), None);
    }

    #[test]
    fn a_request_that_fails_lets_others_pass() {
        let mut queue = queue(&[Asked::Keys(5), Asked::Config]);
        assert_eq!(queue.take_next(MonoTime(0)), Some(Asked::Keys(5)));
        queue.started();
        queue.failed(MonoTime(0), Asked::Keys(3), "no random bits".to_owned());
        assert_eq!(serve(&mut queue, MonoTime(0)), Some(Asked::Config));
        assert_eq!(queue.next_deadline(), Some(ms(limits::WORKER_AGAIN_MS)));
        assert_eq!(serve(&mut queue, MonoTime(0)), None);
        assert_eq!(serve(&mut queue, ms(limits::WORKER_AGAIN_MS)), Some(Asked::Keys(3)));
    }

    #[test]
    fn only_a_session_is_told_that_it_waits_for_nothing() {
        let mut queue = queue(&[Asked::Keys(1), Asked::Pin, Asked::Config]);
        let end = ms(limits::WORKER_WAIT_MS);
        assert_eq!(queue.take_expired(end), None, "nothing has failed yet");
        let mut now = MonoTime(0);
        while now < end {
            assert_eq!(queue.take_expired(now), None);
            if let Some(request) = queue.take_next(now) {
                queue.not_started(now, request, "no thread".to_owned());
            }
            now = queue.next_deadline().unwrap();
        }
        assert_eq!(now, end, "the loop wakes up for it");
        assert_eq!(queue.take_expired(now), Some((Asked::Config, "no thread".to_owned())));
        assert_eq!(queue.take_expired(now), Some((Asked::Pin, "no thread".to_owned())));
        assert_eq!(queue.take_expired(now), None);
        queue.push(now, Asked::Pin);
        assert_eq!(queue.take_expired(ms(2 * limits::WORKER_WAIT_MS - 1)), None, "its own time");
        assert!(queue.take_expired(ms(2 * limits::WORKER_WAIT_MS)).is_some());
    }

    #[test]
    fn trouble_lasts_from_the_third_failure_to_the_success() {
        let mut queue = queue(&[Asked::Summary]);
        let mut now = MonoTime(0);
        for failures in 1..=5 {
            let request = queue.take_next(now).unwrap();
            queue.started();
            let told = failures > limits::WORKER_FAILURES;
            assert_eq!(queue.trouble().is_some(), told, "while it is tried for the {failures}th");
            queue.failed(now, request, "no memory".to_owned());
            assert_eq!(queue.trouble().is_some(), failures >= limits::WORKER_FAILURES);
            now = queue.next_deadline().unwrap();
        }
        assert_eq!(queue.trouble(), Some("no memory"));
        assert_eq!(serve(&mut queue, now), Some(Asked::Summary));
        assert_eq!(queue.trouble(), None);
    }
}
