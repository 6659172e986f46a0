//! Deadlines by key. Each key has one deadline at most.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// An ordered set of deadlines.
#[derive(Debug)]
pub(crate) struct TimerQueue<K> {
    by_time: BTreeSet<(Duration, K)>,
    by_key: BTreeMap<K, Duration>,
}

impl<K: Ord + Copy> TimerQueue<K> {
    pub fn new() -> TimerQueue<K> {
        TimerQueue { by_time: BTreeSet::new(), by_key: BTreeMap::new() }
    }

    /// Replaces the deadline of a key; `None` takes it away.
    pub fn set(&mut self, key: K, at: Option<Duration>) {
        let old = match at {
            Some(at) => self.by_key.insert(key, at),
            None => self.by_key.remove(&key),
        };
        if let Some(old) = old {
            self.by_time.remove(&(old, key));
        }
        if let Some(at) = at {
            self.by_time.insert((at, key));
        }
    }

    /// The earliest deadline.
    pub fn next(&self) -> Option<Duration> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes the key of the earliest deadline that is due.
    pub fn pop_due(&mut self, now: Duration) -> Option<K> {
        let (at, key) = *self.by_time.first()?;
        if at > now {
            return None;
        }
        self.set(key, None);
        Some(key)
    }

    /// All keys, the earliest deadline first.
    pub fn keys(&self) -> impl Iterator<Item = K> + '_ {
        self.by_time.iter().map(|(_, key)| *key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_deadline_and_the_earliest_comes_first() {
        let second = Duration::from_secs;
        let mut queue = TimerQueue::new();
        queue.set('a', Some(second(5)));
        queue.set('b', Some(second(3)));
        queue.set('a', Some(second(2)));
        assert_eq!(
            (queue.next(), queue.keys().collect::<String>()),
            (Some(second(2)), "ab".into())
        );
        assert_eq!(queue.pop_due(second(1)), None);
        assert_eq!(queue.pop_due(second(9)), Some('a'));
        queue.set('b', None);
        assert_eq!((queue.next(), queue.pop_due(second(9))), (None, None));
    }
}
