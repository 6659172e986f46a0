//! Tests of voice detection with synthetic lines: tones as speech, and various kinds of noise.

use super::VoiceDetector;
use crate::config::VoiceSettings;
use crate::time::Position;

const RATE: u32 = 8000;
const SECOND: u64 = 8000;
const HOLDBACK_MS: u32 = 3000;

/// Release time of 4 s, in frames.
const RELEASE: u64 = 4 * SECOND;

/// A simulated line and the seizures found on it.
struct LineSimulator {
    detector: VoiceDetector,
    at: u64,
    play_noise: u64,
    /// Start and end of every seizure.
    found: Vec<(u64, Option<u64>)>,
}

impl LineSimulator {
    fn new() -> LineSimulator {
        LineSimulator::with_settings(VoiceSettings::default(), HOLDBACK_MS)
    }

    fn with_settings(voice: VoiceSettings, holdback_ms: u32) -> LineSimulator {
        let detector = VoiceDetector::new(voice, RATE, 1, holdback_ms);
        LineSimulator { detector, at: 0, play_noise: 1, found: Vec::new() }
    }

    fn update_found(&mut self) {
        let Some(seizure) = self.detector.latest_seizure(Position(self.at)) else { return };
        let (from, to) = (seizure.from.0, seizure.to.map(|to| to.0));
        if seizure.number > self.found.len() as u64 {
            self.found.push((from, to));
        } else {
            *self.found.last_mut().unwrap() = (from, to);
        }
        assert_eq!(self.found.len() as u64, seizure.number);
    }

    /// Plays `frames` frames in periods of 13, so that blocks and periods do not align.
    fn play_wave(&mut self, frames: u64, mut wave: impl FnMut(u64) -> f64) -> &mut LineSimulator {
        let mut left = frames;
        while left > 0 {
            let step = left.min(13);
            let mut period = Vec::new();
            for at in self.at..self.at + step {
                self.play_noise =
                    self.play_noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                #[expect(clippy::cast_possible_truncation, reason = "the test's waves fit")]
                period.push(wave(at).round() as i16);
            }
            self.detector.push_samples(&period);
            (self.at, left) = (self.at + step, left - step);
            self.update_found();
        }
        self
    }

    /// Plays white noise at `db` dBFS.
    fn play_noise(&mut self, frames: u64, db: f64) -> &mut LineSimulator {
        self.play_speech(frames, db, f64::NEG_INFINITY)
    }

    /// Plays speech at `tone_db` over noise.
    fn play_speech(&mut self, frames: u64, noise_db: f64, tone_db: f64) -> &mut LineSimulator {
        let mut seed = self.play_noise;
        let noise = amplitude_of_db(noise_db) * 3_f64.sqrt();
        let tone = amplitude_of_db(tone_db) * 2_f64.sqrt();
        self.play_wave(frames, |at| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
            let even = (seed >> 11) as f64 / (1_u64 << 52) as f64 - 1.0;
            even * noise + sine_at(at, 500.0) * tone
        })
    }
}

fn amplitude_of_db(db: f64) -> f64 {
    32768.0 * 10_f64.powf(db / 20.0)
}

fn sine_at(at: u64, hz: f64) -> f64 {
    (at as f64 / f64::from(RATE) * std::f64::consts::TAU * hz).sin()
}

#[test]
fn a_call_begins_before_its_first_sample_and_ends_after_silence() {
    for noise_db in [-70.0, -50.0, -40.0] {
        let mut line = LineSimulator::new();
        line.play_noise(5 * SECOND, noise_db).play_speech(SECOND, noise_db, -26.0);
        line.play_noise(8 * SECOND, noise_db).play_speech(SECOND, noise_db, -26.0);
        let [(from, Some(to)), (second, None)] = line.found[..] else {
            panic!("{noise_db} dB: {:?}", line.found);
        };
        assert!((4 * SECOND..5 * SECOND).contains(&from), "{noise_db} dB: from {from}");
        let silence = 6 * SECOND + RELEASE;
        assert!((silence..silence + SECOND / 5).contains(&to), "{noise_db} dB: to {to}");
        assert!((13 * SECOND..14 * SECOND).contains(&second), "{noise_db} dB: from {second}");
    }
}

#[test]
fn words_with_pauses_are_one_call() {
    let mut line = LineSimulator::new();
    line.play_noise(4 * SECOND, -50.0);
    for _ in 0..6 {
        line.play_speech(SECOND / 4, -50.0, -26.0).play_noise(3 * SECOND, -50.0);
    }
    assert!(matches!(line.found[..], [(_, None)]), "{:?}", line.found);
}

#[test]
fn hum_and_direct_current_are_no_speech() {
    let mut line = LineSimulator::new();
    line.play_noise(4 * SECOND, -60.0);
    let hum = amplitude_of_db(-20.0);
    line.play_wave(10 * SECOND, |at| 3000.0 + hum * (sine_at(at, 50.0) + 0.2 * sine_at(at, 150.0)));
    assert_eq!(line.found, []);
    line.play_wave(SECOND, |at| {
        3000.0 + hum * sine_at(at, 50.0) + amplitude_of_db(-30.0) * sine_at(at, 400.0)
    });
    assert_eq!(line.found.len(), 1, "speech in loud hum is found");
}

#[test]
fn clicks_and_coughs_neither_begin_nor_keep_a_call() {
    let mut line = LineSimulator::new();
    line.play_noise(4 * SECOND, -55.0);
    for _ in 0..20 {
        line.play_noise(SECOND / 2, -55.0).play_speech(40, -55.0, -3.0);
    }
    line.play_noise(SECOND, -55.0).play_speech(SECOND / 8, -55.0, -20.0).play_noise(SECOND, -55.0);
    assert_eq!(line.found, []);
    line.play_speech(SECOND, -55.0, -20.0);
    let quiet = line.at;
    for _ in 0..12 {
        line.play_noise(SECOND / 2, -55.0).play_speech(40, -55.0, -3.0);
    }
    let [(_, Some(to))] = line.found[..] else { panic!("{:?}", line.found) };
    assert!(to < quiet + RELEASE * 3 / 2, "clicks keep the line: {to}, quiet from {quiet}");
}

#[test]
fn a_line_that_gets_noisier_is_learnt() {
    let mut line = LineSimulator::new();
    line.play_noise(10 * SECOND, -60.0).play_noise(30 * SECOND, -35.0);
    assert!(line.found.len() <= 1 && line.found.iter().all(|(_, to)| to.is_some()));
    let before = line.found.len();
    line.play_speech(SECOND, -35.0, -18.0);
    assert_eq!(line.found.len(), before + 1, "speech over the new noise is found");
    line.play_noise(6 * SECOND, -60.0).play_speech(SECOND, -60.0, -40.0);
    assert_eq!(line.found.len(), before + 2, "and soft speech, once the line is quiet again");
}

#[test]
fn a_line_noisy_from_the_start_is_no_call() {
    let mut line = LineSimulator::new();
    line.play_noise(20 * SECOND, -36.0);
    assert_eq!(line.found, []);
    let mut silent = LineSimulator::new();
    silent.play_wave(10 * SECOND, |_| 0.0).play_noise(10 * SECOND, -72.0);
    assert_eq!(silent.found, [], "the rounding of a digital line");
}

#[test]
fn a_seizure_reaches_back_no_further_than_the_ring() {
    let slow = VoiceSettings { attack_ms: 1000, ..VoiceSettings::default() };
    let mut line = LineSimulator::with_settings(slow, 400);
    line.play_noise(4 * SECOND, -50.0);
    let before = line.at;
    line.play_speech(2 * SECOND, -50.0, -26.0);
    let [(from, None)] = line.found[..] else { panic!("{:?}", line.found) };
    let noticed = before + SECOND;
    assert!(from >= noticed - 400 * SECOND / 1000 - 13 && from < noticed, "{from}");
}

#[test]
fn g6_a_masked_stretch_neither_seizes_nor_releases() {
    let mut line = LineSimulator::new();
    line.play_noise(4 * SECOND, -50.0);
    line.detector.skip_masked(20 * SECOND);
    line.at += 20 * SECOND;
    line.update_found();
    assert_eq!(line.found, []);
    line.play_noise(SECOND, -50.0)
        .play_speech(SECOND, -50.0, -26.0)
        .play_noise(RELEASE - SECOND, -50.0);
    line.detector.skip_masked(60 * SECOND);
    line.at += 60 * SECOND;
    line.update_found();
    assert!(matches!(line.found[..], [(_, None)]), "kept while nothing is known of it");
    let uncovered = line.at;
    line.play_noise(RELEASE * 2, -50.0);
    let [(_, Some(to))] = line.found[..] else { panic!("{:?}", line.found) };
    assert!((uncovered + RELEASE..uncovered + RELEASE + 200).contains(&to), "{to}");
}

#[test]
fn a_card_that_is_gone_for_long_releases() {
    let mut line = LineSimulator::new();
    line.play_noise(4 * SECOND, -50.0).play_speech(SECOND, -50.0, -26.0);
    line.detector.skip_lost(SECOND);
    line.at += SECOND;
    line.play_speech(SECOND, -50.0, -26.0);
    assert!(matches!(line.found[..], [(_, None)]), "a short gap is nothing");
    line.detector.skip_lost(RELEASE);
    line.at += RELEASE;
    line.update_found();
    assert_eq!(line.found.last().and_then(|last| last.1), Some(line.at));
}

#[test]
fn a_line_in_use_at_the_start_is_released_by_silence() {
    let mut line = LineSimulator::new();
    line.detector.mark_seized();
    line.play_noise(RELEASE * 2, -50.0);
    assert_eq!(line.found, [(0, Some(RELEASE))]);
}

#[test]
fn either_side_may_speak() {
    for side in 0..2 {
        let mut detector = VoiceDetector::new(VoiceSettings::default(), RATE, 2, HOLDBACK_MS);
        for at in 0..5 * SECOND {
            let mut frame = [0_i16; 2];
            #[expect(clippy::cast_possible_truncation, reason = "the test's wave fits")]
            if at >= 4 * SECOND {
                frame[side] = (amplitude_of_db(-26.0) * sine_at(at, 500.0)) as i16;
            }
            detector.push_samples(&frame);
        }
        let seizure = detector.latest_seizure(Position(5 * SECOND)).unwrap();
        assert!(seizure.from.0 <= 4 * SECOND, "side {side}: {seizure:?}");
    }
}
