//! Level and noise floor of one side of a line.
//!
//! Audio first passes a band filter that removes DC, mains hum, rumble and most hiss. The rest is
//! measured in blocks of 20 ms, in dBFS, and averaged over 60 ms for the noise floor. A
//! `NoiseFloor` also follows levels that others measure.
//!
//! Only levels are kept, apart from the filter state, which `clear_recent` clears.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

/// Measured band in Hz, where voices are strong and above the mains. It passes a fifth of the
/// power of white noise.
const BAND_HZ: [f64; 2] = [300.0, 1000.0];

/// Length of one block, in milliseconds.
pub const BLOCK_MS: u32 = 20;

/// Minimum noise floor in dBFS, so that rounding on a silent digital line is not taken for
/// speech.
const FLOOR_DB_MIN: f64 = -65.0;

/// Maximum noise floor in dBFS until all slots have been measured.
const FLOOR_DB_START: f64 = -40.0;

/// Rates at which the noise floor falls and rises, in dB per ms: 100 dB and 3 dB per second.
const FALL_DB: f64 = 0.1;
const RISE_DB: f64 = 0.003;

/// The noise floor is the lowest level of 8 slots of 0.5 s: speech pauses for breath within 4 s.
const SLOTS: usize = 8;
const SLOT_MS: u32 = 500;

/// Blocks averaged for the noise floor, so that one silent packet does not count as a silent
/// line.
const MEAN_BLOCKS: usize = 3;

/// Filter state below this is set to zero, because denormal arithmetic is slow.
const DENORMAL_LIMIT: f64 = 1e-9;

/// Square of full scale, in dB.
const FULL_SCALE_DB: f64 = 90.308_998_699_194_36;

/// Second-order filter section, transposed direct form II.
#[derive(Clone, Copy, Debug)]
struct BiquadFilter {
    b: [f64; 3],
    a: [f64; 2],
    state: [f64; 2],
}

impl BiquadFilter {
    /// Creates a high-pass (`high`) or low-pass section at `cut_hz`.
    fn new(high: bool, cut_hz: f64, q: f64, rate: u32) -> BiquadFilter {
        let turn = 2.0 * PI * cut_hz / f64::from(rate);
        let (cos, alpha) = (turn.cos(), turn.sin() / (2.0 * q));
        let middle = if high { -(1.0 + cos) } else { 1.0 - cos };
        let a0 = 1.0 + alpha;
        let side = middle.abs() / 2.0 / a0;
        BiquadFilter {
            b: [side, middle / a0, side],
            a: [-2.0 * cos / a0, (1.0 - alpha) / a0],
            state: [0.0; 2],
        }
    }

    fn filter_sample(&mut self, x: f64) -> f64 {
        let y = self.b[0] * x + self.state[0];
        self.state[0] = self.b[1] * x - self.a[0] * y + self.state[1];
        self.state[1] = self.b[2] * x - self.a[1] * y;
        y
    }

    /// Sets the state as after a constant input `x`, for a section whose output is then 0.
    fn prime_state(&mut self, x: f64) {
        self.state = [(self.b[1] + self.b[2]) * x, self.b[2] * x];
    }

    fn flush_denormals(&mut self) {
        for value in &mut self.state {
            if value.abs() < DENORMAL_LIMIT {
                *value = 0.0;
            }
        }
    }
}

/// Level and noise floor of one side.
#[derive(Clone, Debug)]
pub struct LevelTracker {
    sections: [BiquadFilter; 3],
    /// The filter has not processed a sample yet.
    fresh: bool,
    sum: f64,
    count: u32,
    /// Mean squares of the last blocks.
    recent: heapless::Deque<f64, MEAN_BLOCKS>,
    level_db: f64,
    floor: NoiseFloor,
}

/// Noise floor of a line: the lowest level of the last 4 s. It falls fast and rises slowly, so
/// speech is not taken for noise, but a steady hum or hiss eventually is.
#[derive(Clone, Debug)]
pub struct NoiseFloor {
    /// Interval between two levels, in milliseconds.
    interval_ms: u32,
    /// Noise floor; `None` until the first level.
    floor_db: Option<f64>,
    minima_db: [f64; SLOTS],
    slot: usize,
    slot_levels: u32,
}

impl NoiseFloor {
    /// Creates the floor of a line whose level is measured every `interval_ms`.
    #[must_use]
    pub fn new(interval_ms: u32) -> NoiseFloor {
        let minima_db = [FLOOR_DB_START; SLOTS];
        NoiseFloor { interval_ms, floor_db: None, minima_db, slot: 0, slot_levels: 0 }
    }

    /// Takes the level of the next interval into account.
    pub fn update(&mut self, now_db: f64) {
        self.minima_db[self.slot] = self.minima_db[self.slot].min(now_db);
        self.slot_levels += 1;
        if self.slot_levels * self.interval_ms >= SLOT_MS {
            self.slot = (self.slot + 1) % SLOTS;
            (self.slot_levels, self.minima_db[self.slot]) = (0, now_db);
        }
        let floor_db = self.floor_db.unwrap_or(now_db.min(FLOOR_DB_START));
        let lowest_db = self.minima_db.iter().copied().fold(now_db, f64::min);
        let interval_ms = f64::from(self.interval_ms);
        let floor_db = if lowest_db < floor_db {
            lowest_db.max(floor_db - FALL_DB * interval_ms)
        } else {
            lowest_db.min(floor_db + RISE_DB * interval_ms)
        };
        self.floor_db = Some(floor_db.max(FLOOR_DB_MIN));
    }

    /// Returns how far a level is above the noise floor, in dB; 0 before the first level.
    #[must_use]
    pub fn above_db(&self, level_db: f64) -> f64 {
        self.floor_db.map_or(0.0, |floor_db| level_db - floor_db)
    }
}

impl LevelTracker {
    #[must_use]
    pub fn new(rate: u32) -> LevelTracker {
        let high = |q| BiquadFilter::new(true, BAND_HZ[0], q, rate);
        LevelTracker {
            // Butterworth, fourth order: −62 dB at 50 Hz, −24 dB at 150 Hz.
            sections: [
                high(0.541_196),
                high(1.306_563),
                BiquadFilter::new(false, BAND_HZ[1], FRAC_1_SQRT_2, rate),
            ],
            fresh: true,
            sum: 0.0,
            count: 0,
            recent: heapless::Deque::new(),
            level_db: FLOOR_DB_MIN,
            floor: NoiseFloor::new(BLOCK_MS),
        }
    }

    pub fn push_sample(&mut self, sample: i16) {
        let mut x = f64::from(sample);
        if std::mem::take(&mut self.fresh) {
            self.sections[0].prime_state(x);
        }
        for section in &mut self.sections {
            x = section.filter_sample(x);
        }
        self.sum += x * x;
        self.count += 1;
    }

    /// Finishes a full block.
    pub fn close_block(&mut self) {
        assert!(self.count > 0, "a block has frames");
        self.sections.iter_mut().for_each(BiquadFilter::flush_denormals);
        let mean = self.sum / f64::from(self.count);
        (self.sum, self.count) = (0.0, 0);
        self.level_db = mean_square_to_db(mean);
        if self.recent.is_full() {
            self.recent.pop_front();
        }
        let kept = self.recent.push_back(mean);
        assert!(kept.is_ok(), "there was room");
        if self.recent.is_full() {
            let mean = self.recent.iter().sum::<f64>() / MEAN_BLOCKS as f64;
            self.floor.update(mean_square_to_db(mean));
        }
    }

    /// Returns how far the last block is above the noise floor, in dB; 0 at the start.
    #[must_use]
    pub fn above_noise_db(&self) -> f64 {
        self.floor.above_db(self.level_db)
    }

    /// Clears the recent levels and keeps the noise floor.
    pub fn clear_recent(&mut self) {
        self.sections.iter_mut().for_each(|section| section.state = [0.0; 2]);
        self.fresh = true;
        (self.sum, self.count) = (0.0, 0);
        self.recent.clear();
        self.level_db = FLOOR_DB_MIN;
    }
}

/// Converts a mean square to dBFS.
fn mean_square_to_db(mean: f64) -> f64 {
    10.0 * (mean + 1e-3).log10() - FULL_SCALE_DB
}
