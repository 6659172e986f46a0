//! Cache of opened recordings and identities, by session, with a memory bound.
//!
//! A caller reserves bytes before it opens a recording and releases them by dropping the
//! reservation. Entries expire when unused; when memory is short, the least recently used entry is
//! evicted. The caller passes the time and fetches and decodes.

use crate::media::decode_service::DecodedRecording;
use crate::media::identity::find_identity;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// How long an unused opened recording stays cached.
const IDLE_TIMEOUT: Duration = Duration::from_secs(600);

/// Session key and recording id.
pub type CacheKey = (Vec<u8>, String);

/// Reserved part of the memory bound, released on drop.
#[derive(Debug)]
pub struct MemoryReservation {
    reserved_total: Arc<AtomicU64>,
    bytes: u64,
}

impl Drop for MemoryReservation {
    fn drop(&mut self) {
        self.reserved_total.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl MemoryReservation {
    /// Shrinks the reservation to the actual size.
    fn shrink_to(&mut self, bytes: u64) {
        let less = self.bytes.saturating_sub(bytes);
        self.reserved_total.fetch_sub(less, Ordering::Relaxed);
        self.bytes -= less;
    }
}

struct CacheEntry {
    recording: Arc<DecodedRecording>,
    last_used: Instant,
    reservation: MemoryReservation,
}

/// Opened recordings and the identities of sessions.
pub struct RecordingCache {
    capacity_bytes: u64,
    reserved_bytes: Arc<AtomicU64>,
    entries: BTreeMap<CacheKey, CacheEntry>,
    /// Identities that supervisors supplied, by session.
    identities: BTreeMap<Vec<u8>, Zeroizing<String>>,
}

impl RecordingCache {
    #[must_use]
    pub fn new(most: u64) -> RecordingCache {
        RecordingCache {
            capacity_bytes: most,
            reserved_bytes: Arc::default(),
            entries: BTreeMap::new(),
            identities: BTreeMap::new(),
        }
    }

    /// Stores a session's identity. Returns false if the text is not an identity.
    pub fn add_identity(&mut self, session: &[u8], text: &str) -> bool {
        let Some(line) = find_identity(text) else { return false };
        let kept = Zeroizing::new(format!("{line}\n"));
        self.identities.insert(session.to_vec(), kept);
        true
    }

    /// The identity that a session supplied.
    #[must_use]
    pub fn identity(&self, session: &[u8]) -> Option<&str> {
        self.identities.get(session).map(|text| text.as_str())
    }

    /// Drops the entries of ended sessions and entries that expired.
    pub fn retain_sessions(&mut self, now: Instant, alive: impl Fn(&[u8]) -> bool) {
        self.identities.retain(|session, _| alive(session));
        let used = |lying: &CacheEntry| now.duration_since(lying.last_used) < IDLE_TIMEOUT;
        self.entries.retain(|(session, _), lying| alive(session) && used(lying));
    }

    /// Returns an opened recording and marks it used.
    pub fn get(&mut self, name: &CacheKey, now: Instant) -> Option<Arc<DecodedRecording>> {
        let lying = self.entries.get_mut(name)?;
        lying.last_used = now;
        Some(Arc::clone(&lying.recording))
    }

    /// Returns an opened recording without marking it used.
    #[must_use]
    pub fn peek(&self, name: &CacheKey) -> Option<Arc<DecodedRecording>> {
        self.entries.get(name).map(|lying| Arc::clone(&lying.recording))
    }

    /// Keys of all opened recordings.
    #[must_use]
    pub fn keys(&self) -> Vec<CacheKey> {
        self.entries.keys().cloned().collect()
    }

    /// Removes an opened recording. A transfer in progress keeps it alive until it stops.
    pub fn remove(&mut self, name: &CacheKey) {
        self.entries.remove(name);
    }

    /// Whether `bytes` would fit into an empty cache.
    #[must_use]
    pub fn can_fit(&self, bytes: u64) -> bool {
        bytes <= self.capacity_bytes
    }

    /// Reserves `bytes`, evicting entries if needed. An entry in transfer releases its memory
    /// later.
    pub fn reserve_bytes(&mut self, bytes: u64) -> Option<MemoryReservation> {
        while self.reserved_bytes.load(Ordering::Relaxed).saturating_add(bytes)
            > self.capacity_bytes
        {
            let oldest = self.entries.iter().min_by_key(|(_, lying)| lying.last_used);
            let oldest = oldest.map(|(name, _)| name.clone())?;
            self.entries.remove(&oldest);
        }
        self.reserved_bytes.fetch_add(bytes, Ordering::Relaxed);
        Some(MemoryReservation { reserved_total: Arc::clone(&self.reserved_bytes), bytes })
    }

    /// Releases memory that an opened recording no longer needs.
    pub fn shrink_entry(&mut self, name: &CacheKey) {
        if let Some(lying) = self.entries.get_mut(name) {
            lying.reservation.shrink_to(lying.recording.memory_bytes());
        }
    }

    /// Inserts an opened recording and shrinks its reservation to its size.
    pub fn insert(
        &mut self,
        name: CacheKey,
        opened: &Arc<DecodedRecording>,
        (mut kept, used): (MemoryReservation, Instant),
    ) {
        kept.shrink_to(opened.memory_bytes());
        let opened = Arc::clone(opened);
        self.entries
            .insert(name, CacheEntry { recording: opened, last_used: used, reservation: kept });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::decode_service::{DecodeFormat, Waveform};
    use crate::media::identity::tests::make_identity;
    use crate::media::memfile::MemFile;
    use crate::media::playback::PlaybackState;

    fn make_recording(bytes: usize) -> Arc<DecodedRecording> {
        let mut file = MemFile::new().unwrap();
        file.append(&vec![1; bytes]).unwrap();
        let playback = PlaybackState::new(crate::clock::now());
        Arc::new(DecodedRecording::new(
            (file, DecodeFormat::Wav),
            Ok(Waveform::default()),
            playback,
        ))
    }

    fn cache_key(id: &str) -> CacheKey {
        (b"one".to_vec(), id.to_owned())
    }

    #[test]
    fn an_identity_is_the_sessions_and_goes_with_it() {
        let mut shelf = RecordingCache::new(0);
        let keys = [make_identity(&[1; 32]), make_identity(&[2; 32]), make_identity(&[3; 32])];
        let text = format!("# made by hushbox keygen\n{}\n", keys[0]);
        assert!(shelf.add_identity(b"one", &text) && shelf.add_identity(b"two", &keys[1]));
        for bad in ["", "age1public", "AGE-SECRET-KEY-1QQQQ"] {
            assert!(!shelf.add_identity(b"bad", bad) && shelf.identity(b"bad").is_none(), "{bad}");
        }
        let now = crate::clock::now();
        shelf.retain_sessions(now, |session| session != b"one");
        assert!(shelf.identity(b"one").is_none());
        assert_eq!(shelf.identity(b"two"), Some(&*format!("{}\n", keys[1])));
        shelf.add_identity(b"two", &keys[2]);
        assert_eq!(shelf.identity(b"two"), Some(&*format!("{}\n", keys[2])), "another one");
        shelf.retain_sessions(now, |_| false);
        assert!(shelf.identity(b"two").is_none());
    }

    #[test]
    fn what_was_not_used_for_longest_makes_room_and_what_is_being_opened_does_not() {
        let now = crate::clock::now();
        let at = |s| now + Duration::from_secs(s);
        let mut shelf = RecordingCache::new(1000);
        assert!(!shelf.can_fit(1001) && shelf.can_fit(1000));
        for (id, s) in [("a", 1), ("b", 2)] {
            let kept = shelf.reserve_bytes(500).unwrap();
            shelf.insert(cache_key(id), &make_recording(300), (kept, at(s)));
        }
        assert!(shelf.get(&cache_key("a"), at(3)).is_some());
        let opening = shelf.reserve_bytes(600).unwrap();
        assert!(shelf.get(&cache_key("b"), at(4)).is_none(), "b was not used for longest");
        assert!(shelf.get(&cache_key("a"), at(4)).is_some());
        assert!(shelf.reserve_bytes(500).is_none(), "600 of 1000 are being opened");
        drop(opening);
        assert!(shelf.reserve_bytes(1000).is_some());
        let kept = shelf.reserve_bytes(10).unwrap();
        shelf.insert(cache_key("c"), &make_recording(10), (kept, at(5)));
        shelf.retain_sessions(at(605), |_| true);
        assert!(shelf.get(&cache_key("c"), at(605)).is_none(), "unused");
        assert_eq!(shelf.reserved_bytes.load(Ordering::Relaxed), 0);
    }
}
