//! Sounds for the stories, and what finds them again: noise, WAV files, a search, a likeness.
//!
//! Noise has no zero byte, and four samples of it are unlike any others, so that it can be found
//! wherever it lies. The search looks at every byte, aligned or not.

use crate::rng::Rng;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;

/// The shortest stretch of samples that counts as audio.
pub const STRETCH: usize = 16;
const STRETCH_BYTES: usize = STRETCH * 2;
const KEY_BYTES: usize = 8;

/// A number that no other call of this process got.
pub fn unique() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// So many samples of noise, new each time.
pub fn noise(count: u64) -> Vec<i16> {
    seeded_noise(RandomState::new().hash_one(unique()), count)
}

/// The noise of a seed.
pub fn seeded_noise(seed: u64, count: u64) -> Vec<i16> {
    let mut rng = Rng::new(seed);
    let mut next = |_| {
        let [low, high, ..] = rng.next_u64().to_be_bytes();
        i16::from_le_bytes([low | 1, (high & 0x3f) | 0x40]) * if high & 0x80 == 0 { 1 } else { -1 }
    };
    let samples: Vec<i16> = (0..count).map(&mut next).collect();
    assert!(bytes_of(&samples).iter().all(|byte| *byte != 0), "noise has no zero byte");
    samples
}

pub fn bytes_of(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

pub fn write_wav(path: &Path, sides: u8, samples: &[i16]) {
    let spec = hound::WavSpec {
        channels: u16::from(sides),
        sample_rate: 8000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).unwrap();
    samples.iter().for_each(|sample| writer.write_sample(*sample).unwrap());
    writer.finalize().unwrap();
}

/// The samples of a WAV file, interleaved, and its rate and sides.
pub fn read_wav(path: &Path) -> (Vec<i16>, u32, u16) {
    let mut reader = hound::WavReader::open(path).unwrap();
    let spec = reader.spec();
    let samples = reader.samples().map(Result::unwrap).collect();
    (samples, spec.sample_rate, spec.channels)
}

/// Stretches of audio to be searched for.
#[derive(Default)]
pub struct Needles {
    bytes: Vec<u8>,
    /// Where stretches that begin with these bytes begin.
    places: HashMap<[u8; KEY_BYTES], Vec<usize>>,
}

impl Needles {
    /// Every stretch of this audio: as it lies interleaved, and of each side alone.
    pub fn of(samples: &[i16], sides: u8) -> Needles {
        let mut needles = Needles::default();
        needles.add(samples, sides);
        needles
    }

    pub fn add(&mut self, samples: &[i16], sides: u8) {
        self.add_plain(samples);
        let sides = usize::from(sides);
        for side in (0..sides).filter(|_| sides > 1) {
            let alone: Vec<i16> = samples.iter().skip(side).step_by(sides).copied().collect();
            self.add_plain(&alone);
        }
    }

    fn add_plain(&mut self, samples: &[i16]) {
        let (start, bytes) = (self.bytes.len(), bytes_of(samples));
        for at in (0..(bytes.len() + 1).saturating_sub(STRETCH_BYTES)).step_by(2) {
            let key = bytes[at..at + KEY_BYTES].try_into().unwrap();
            self.places.entry(key).or_default().push(start + at);
        }
        self.bytes.extend(bytes);
    }

    pub fn count(&self) -> usize {
        self.places.values().map(Vec::len).sum()
    }

    /// How many bytes of `hay` some stretch begins at.
    pub fn found_in(&self, hay: &[u8]) -> usize {
        let stretches = hay.windows(STRETCH_BYTES);
        stretches.filter(|stretch| self.holds(stretch)).count()
    }

    fn holds(&self, stretch: &[u8]) -> bool {
        let key: [u8; KEY_BYTES] = stretch[..KEY_BYTES].try_into().unwrap();
        let places = self.places.get(&key).map_or(&[][..], Vec::as_slice);
        places.iter().any(|place| self.bytes[*place..*place + STRETCH_BYTES] == *stretch)
    }
}

fn product(a: &[i16], b: &[i16]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(i32::from(*a) * i32::from(*b))).sum()
}

/// How alike two sounds of the same length are: 1 the same, 0 nothing in common.
pub fn likeness(a: &[i16], b: &[i16]) -> f64 {
    assert_eq!(a.len(), b.len());
    let powers = product(a, a) * product(b, b);
    if powers == 0.0 { 0.0 } else { product(a, b) / powers.sqrt() }
}

/// Where in `source` the piece is found best.
pub fn best_place(piece: &[i16], source: &[i16]) -> usize {
    let power = |sample: i16| f64::from(sample).powi(2);
    let mut window_power: f64 = source[..piece.len()].iter().map(|sample| power(*sample)).sum();
    let mut best = (0, 0.0);
    for (at, window) in source.windows(piece.len()).enumerate() {
        if at > 0 {
            window_power += power(source[at + piece.len() - 1]) - power(source[at - 1]);
        }
        let alike = product(piece, window) / window_power.max(1.0).sqrt();
        if alike > best.1 {
            best = (at, alike);
        }
    }
    best.0
}

/// How loud a sound is: the root of its mean square.
pub fn loudness(samples: &[i16]) -> f64 {
    let power: f64 = samples.iter().map(|sample| f64::from(*sample).powi(2)).sum();
    (power / f64::from(u32::try_from(samples.len().max(1)).unwrap())).sqrt()
}
