//! What the vault keeps: opened recordings and identities, by session, within a bound.
//!
//! Whoever is about to open something takes a part of the bound first, and gives it back by letting
//! go. What nobody used for a while goes, and what was not used for longest goes first when room is
//! needed. Time is given; nothing here waits, fetches or decodes.

use crate::media::decode::Opened;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// How long an opened recording that nobody listens to is kept.
const KEPT: Duration = Duration::from_secs(600);

/// Session and recording.
pub type Name = (Vec<u8>, String);

/// A part of the bound, taken until it is dropped.
#[derive(Debug)]
pub struct Kept {
    all: Arc<AtomicU64>,
    bytes: u64,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Kept {
    /// It turned out to be less.
    fn shrink(&mut self, bytes: u64) {
        let less = self.bytes.saturating_sub(bytes);
        self.all.fetch_sub(less, Ordering::Relaxed);
        self.bytes -= less;
    }
}

struct Lying {
    opened: Arc<Opened>,
    used: Instant,
    kept: Kept,
}

/// All of it.
pub struct Shelf {
    most: u64,
    taken: Arc<AtomicU64>,
    opened: BTreeMap<Name, Lying>,
    /// Identities that supervisors brought along.
    identities: BTreeMap<Vec<u8>, Zeroizing<String>>,
}

impl Shelf {
    #[must_use]
    pub fn new(most: u64) -> Shelf {
        Shelf { most, taken: Arc::default(), opened: BTreeMap::new(), identities: BTreeMap::new() }
    }

    /// Keeps an identity with a session; false: it is none.
    pub fn give(&mut self, session: &[u8], text: &str) -> bool {
        let line = text.split_whitespace().find(|word| word.starts_with("AGE-SECRET-KEY-1"));
        let formed = |line: &&str| {
            line.len() < 200 && line.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        let Some(line) = line.filter(formed) else { return false };
        let kept = Zeroizing::new(format!("{line}\n"));
        self.identities.insert(session.to_vec(), kept);
        true
    }

    /// What a session brought.
    #[must_use]
    pub fn identity(&self, session: &[u8]) -> Option<&str> {
        self.identities.get(session).map(|text| text.as_str())
    }

    /// Forgets what belongs to sessions that are over, and what nobody uses.
    pub fn keep_only(&mut self, now: Instant, alive: impl Fn(&[u8]) -> bool) {
        self.identities.retain(|session, _| alive(session));
        let used = |lying: &Lying| now.duration_since(lying.used) < KEPT;
        self.opened.retain(|(session, _), lying| alive(session) && used(lying));
    }

    /// What is open already.
    pub fn known(&mut self, name: &Name, now: Instant) -> Option<Arc<Opened>> {
        let lying = self.opened.get_mut(name)?;
        lying.used = now;
        Some(Arc::clone(&lying.opened))
    }

    /// The same, without counting as a use.
    #[must_use]
    pub fn peek(&self, name: &Name) -> Option<Arc<Opened>> {
        self.opened.get(name).map(|lying| Arc::clone(&lying.opened))
    }

    /// Everything that is open.
    #[must_use]
    pub fn names(&self) -> Vec<Name> {
        self.opened.keys().cloned().collect()
    }

    /// Forgets an opened recording; who is just being sent it holds it until that stops.
    pub fn remove(&mut self, name: &Name) {
        self.opened.remove(name);
    }

    /// Whether so much would fit if nothing else were here.
    #[must_use]
    pub fn can_ever(&self, bytes: u64) -> bool {
        bytes <= self.most
    }

    /// Room for so much. What somebody else is just being sent gives its room back later.
    pub fn reserve(&mut self, bytes: u64) -> Option<Kept> {
        while self.taken.load(Ordering::Relaxed).saturating_add(bytes) > self.most {
            let oldest = self.opened.iter().min_by_key(|(_, lying)| lying.used);
            let oldest = oldest.map(|(name, _)| name.clone())?;
            self.opened.remove(&oldest);
        }
        self.taken.fetch_add(bytes, Ordering::Relaxed);
        Some(Kept { all: Arc::clone(&self.taken), bytes })
    }

    /// Gives back what an opened recording does not need any more.
    pub fn shrink(&mut self, name: &Name) {
        if let Some(lying) = self.opened.get_mut(name) {
            lying.kept.shrink(lying.opened.bytes());
        }
    }

    /// Keeps what was opened, of what was reserved for it only as much as it has.
    pub fn put(&mut self, name: Name, opened: &Arc<Opened>, (mut kept, used): (Kept, Instant)) {
        kept.shrink(opened.bytes());
        let opened = Arc::clone(opened);
        self.opened.insert(name, Lying { opened, used, kept });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::decode::{Kind, Shape};
    use crate::media::memfile::Memory;
    use crate::media::playback::Playback;

    fn opened(bytes: usize) -> Arc<Opened> {
        let mut file = Memory::new().unwrap();
        file.append(&vec![1; bytes]).unwrap();
        let playback = Playback::new(crate::clock::now());
        Arc::new(Opened::new((file, Kind::Wav), Ok(Shape::default()), playback))
    }

    fn name(id: &str) -> Name {
        (b"one".to_vec(), id.to_owned())
    }

    #[test]
    fn an_identity_is_the_sessions_and_goes_with_it() {
        let mut shelf = Shelf::new(0);
        let text = "# made by hushbox keygen\nAGE-SECRET-KEY-1QQQQ\n";
        assert!(shelf.give(b"one", text) && shelf.give(b"two", "AGE-SECRET-KEY-1PPPP"));
        for bad in ["", "age1public", "AGE-SECRET-KEY-1Q\u{e9}"] {
            assert!(!shelf.give(b"bad", bad) && shelf.identity(b"bad").is_none(), "{bad}");
        }
        let now = crate::clock::now();
        shelf.keep_only(now, |session| session != b"one");
        assert!(shelf.identity(b"one").is_none());
        assert_eq!(shelf.identity(b"two"), Some("AGE-SECRET-KEY-1PPPP\n"));
        shelf.give(b"two", "AGE-SECRET-KEY-1RRRR");
        assert_eq!(shelf.identity(b"two"), Some("AGE-SECRET-KEY-1RRRR\n"), "another one");
        shelf.keep_only(now, |_| false);
        assert!(shelf.identity(b"two").is_none());
    }

    #[test]
    fn what_was_not_used_for_longest_makes_room_and_what_is_being_opened_does_not() {
        let now = crate::clock::now();
        let at = |s| now + Duration::from_secs(s);
        let mut shelf = Shelf::new(1000);
        assert!(!shelf.can_ever(1001) && shelf.can_ever(1000));
        for (id, s) in [("a", 1), ("b", 2)] {
            let kept = shelf.reserve(500).unwrap();
            shelf.put(name(id), &opened(300), (kept, at(s)));
        }
        assert!(shelf.known(&name("a"), at(3)).is_some());
        let opening = shelf.reserve(600).unwrap();
        assert!(shelf.known(&name("b"), at(4)).is_none(), "b was not used for longest");
        assert!(shelf.known(&name("a"), at(4)).is_some());
        assert!(shelf.reserve(500).is_none(), "600 of 1000 are being opened");
        drop(opening);
        assert!(shelf.reserve(1000).is_some());
        let kept = shelf.reserve(10).unwrap();
        shelf.put(name("c"), &opened(10), (kept, at(5)));
        shelf.keep_only(at(605), |_| true);
        assert!(shelf.known(&name("c"), at(605)).is_none(), "nobody used it");
        assert_eq!(shelf.taken.load(Ordering::Relaxed), 0);
    }
}
