//! How loud one side of a line is, and how loud its noise.
//!
//! Audio goes through a band filter first: below it lie DC, mains hum and rumble, above it mostly
//! hiss. What is left is measured in blocks of 20 ms, in dB of full scale. The noise is what the
//! line falls back to: the lowest level, over 60 ms, of the last 4 s. It sinks fast and rises
//! slowly, so that speech is not taken for noise, but a line that hums on is, after a while.
//!
//! It keeps levels, no audio, but for the filter's memory, and `forget` clears that. Nothing here
//! decides what is speech.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

/// The band that is listened to, in Hz: where voices are strong, and above the mains. It keeps a
/// fifth of white noise's power.
const BAND_HZ: [f64; 2] = [300.0, 1000.0];

/// Length of one block, in milliseconds.
pub const BLOCK_MS: u64 = 20;

/// A line's noise is taken for at least this, in dB of full scale, so that a digital line which is
/// truly silent does not take its own rounding for speech.
const FLOOR_DB_MIN: f64 = -65.0;

/// Until a line was heard for all slots its noise is taken for at most this, in dB of full scale.
const FLOOR_DB_START: f64 = -40.0;

/// How fast the noise level sinks and rises, in dB per block: 100 dB and 3 dB per second.
const FALL_DB: f64 = 2.0;
const RISE_DB: f64 = 0.06;

/// The noise is the lowest level of 8 slots of 0.5 s: nobody talks for 4 s without a breath.
const SLOTS: usize = 8;
const SLOT_BLOCKS: u32 = 25;

/// Blocks over which the noise is measured: one silent packet is no silent line.
const MEAN_BLOCKS: usize = 3;

/// Below this a filter's memory counts as zero: arithmetic on numbers next to nothing is slow.
const DENORMAL_LIMIT: f64 = 1e-9;

/// Square of full scale, in dB.
const FULL_SCALE_DB: f64 = 90.308_998_699_194_36;

/// One filter section of second order, in the transposed direct form II.
#[derive(Clone, Copy, Debug)]
struct BiquadFilter {
    b: [f64; 3],
    a: [f64; 2],
    state: [f64; 2],
}

impl BiquadFilter {
    /// Lets pass what lies above (`high`) or below `cut_hz`.
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

    /// As if the input had been `x` for ever (for a section that gives 0 then).
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

/// One side's level and noise.
#[derive(Clone, Debug)]
pub struct LevelTracker {
    sections: [BiquadFilter; 3],
    /// The next sample is the first the filter sees.
    fresh: bool,
    sum: f64,
    count: u32,
    /// Mean squares of the last blocks.
    recent: heapless::Deque<f64, MEAN_BLOCKS>,
    level_db: f64,
    /// `None` until the first blocks were heard.
    floor_db: Option<f64>,
    minima_db: [f64; SLOTS],
    slot: usize,
    slot_blocks: u32,
}

impl LevelTracker {
    #[must_use]
    pub fn new(rate: u32) -> LevelTracker {
        let high = |q| BiquadFilter::new(true, BAND_HZ[0], q, rate);
        LevelTracker {
            // Butterworth, fourth order: 50 Hz is 62 dB down, 150 Hz 24 dB.
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
            floor_db: None,
            minima_db: [FLOOR_DB_START; SLOTS],
            slot: 0,
            slot_blocks: 0,
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

    /// A block is full.
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
            self.update_noise_floor(mean_square_to_db(mean));
        }
    }

    fn update_noise_floor(&mut self, now_db: f64) {
        self.minima_db[self.slot] = self.minima_db[self.slot].min(now_db);
        self.slot_blocks += 1;
        if self.slot_blocks == SLOT_BLOCKS {
            self.slot = (self.slot + 1) % SLOTS;
            (self.slot_blocks, self.minima_db[self.slot]) = (0, now_db);
        }
        let floor_db = self.floor_db.unwrap_or(now_db.min(FLOOR_DB_START));
        let lowest_db = self.minima_db.iter().copied().fold(now_db, f64::min);
        let floor_db = if lowest_db < floor_db {
            lowest_db.max(floor_db - FALL_DB)
        } else {
            lowest_db.min(floor_db + RISE_DB)
        };
        self.floor_db = Some(floor_db.max(FLOOR_DB_MIN));
    }

    /// How far the last block lies above the noise, in dB; nothing is known at the start.
    #[must_use]
    pub fn above_noise_db(&self) -> f64 {
        self.floor_db.map_or(0.0, |floor_db| self.level_db - floor_db)
    }

    /// Forgets what was heard just now; what the line's noise is stays known.
    pub fn clear_recent(&mut self) {
        self.sections.iter_mut().for_each(|section| section.state = [0.0; 2]);
        self.fresh = true;
        (self.sum, self.count) = (0.0, 0);
        self.recent.clear();
        self.level_db = FLOOR_DB_MIN;
    }
}

/// Of a mean square, in dB of full scale.
fn mean_square_to_db(mean: f64) -> f64 {
    10.0 * (mean + 1e-3).log10() - FULL_SCALE_DB
}
