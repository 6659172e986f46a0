//! Accuracy of voice detection, compared with a fixed threshold.
//!
//! espeak-ng speaks a few dozen sentences, and sox mixes a telephone line for each SNR. A line
//! has sentences 6 to 9 s apart, white noise, and 50 Hz hum with its third harmonic, as loud as
//! the noise. The clean speech gives the start and end of each sentence to 5 ms. Both detectors
//! get the same line and the same attack and release times. sox repeats its noise, so two runs
//! print the same table.

use hushbox::audio::detect::VoiceDetector;
use hushbox::config::VoiceSettings;
use hushbox::time::{Position, ms_of_frames};
use std::ops::Range;
use std::path::Path;
use std::process::{Command, ExitCode};

const RATE: u32 = 8000;
const PERIOD_FRAMES: usize = 160;
const HOLDBACK_MS: u32 = 3000;
const SNRS_DB: [i32; 6] = [30, 20, 10, 6, 3, 0];

/// RMS level of active speech on a good line, in dBFS.
const SPEECH_DB: f64 = -26.0;

/// Threshold that a technician would set for a good line.
const FIXED_DB: f64 = -40.0;

/// Level of clean speech, in dBFS, below which a sentence has not started or has ended.
const EDGE_DB: f64 = -50.0;

/// RMS of sox's white noise, uniform between -1 and 1, and of its sines.
const NOISE_RMS: f64 = 0.577_35;
const SINE_RMS: f64 = std::f64::consts::FRAC_1_SQRT_2;

const VOICES: [&str; 6] = ["en-gb", "en-us", "en-gb+f2", "en-us+f4", "de", "de+f3"];

const SENTENCES: [&str; 12] = [
    "Hello?",
    "Yes.",
    "Good morning, how can I help you?",
    "Jane speaking. One moment please.",
    "She sells sea shells by the sea shore.",
    "Fifty five, five, sixteen.",
    "I would like to cancel my order, please.",
    "No, thank you very much.",
    "Half of the shipment has not arrived, and I have been waiting since Thursday.",
    "Who is calling?",
    "That is fine. I will tell him so.",
    "My number is four, one, one, one.",
];

#[derive(Clone, Copy)]
struct Stretch {
    from: u64,
    to: u64,
}

/// Result of a detector on one line.
struct Score {
    missed: usize,
    /// Calls without speech.
    false_starts: usize,
    /// Sentences that fell into the previous call, because it had not ended.
    joined: usize,
    /// Extra calls within one sentence.
    split: usize,
    /// Delay of the call's start for each other sentence.
    clipped_ms: Vec<u64>,
}

fn main() -> ExitCode {
    let folder = match tempfile::tempdir() {
        Ok(folder) => folder,
        Err(error) => return failed(&error.to_string()),
    };
    match measure(folder.path()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => failed(&why),
    }
}

fn failed(why: &str) -> ExitCode {
    eprintln!("voice: {why} (espeak-ng and sox are needed: make setup)");
    ExitCode::FAILURE
}

fn measure(folder: &Path) -> Result<(), String> {
    let speech = speak(folder)?;
    let seconds = speech.samples.len() / RATE as usize;
    println!(
        "voice: {} sentences in {seconds} s, speech at {SPEECH_DB} dBFS; attack {} ms, \
         release {} ms, margin {} dB; fixed threshold {FIXED_DB} dBFS",
        speech.sentences.len(),
        VoiceSettings::default().attack_ms,
        VoiceSettings::default().release_ms,
        VoiceSettings::default().margin_db,
    );
    println!("                 calls            one with  false   cut in  clipped beginning, ms");
    println!("SNR   detector   found   missed   the last  starts  pieces     p50     max   >50");
    for snr_db in SNRS_DB {
        let line = mix(folder, &speech, snr_db)?;
        print(&format!("{snr_db:2} dB voice"), score(&speech.sentences, &voice_calls(&line)));
        print("      fixed", score(&speech.sentences, &fixed_calls(&line)));
    }
    Ok(())
}

fn print(name: &str, score: Score) {
    let mut clipped = score.clipped_ms;
    clipped.sort_unstable();
    let middle = clipped.get(clipped.len() / 2).copied();
    let of = |ms: Option<u64>| ms.map_or("-".to_string(), |ms| ms.to_string());
    let late = clipped.iter().filter(|ms| **ms > 50).count();
    println!(
        "{name:<14} {:>7} {:>8} {:>10} {:>7} {:>7} {:>7} {:>7} {late:>5}",
        clipped.len(),
        score.missed,
        score.joined,
        score.false_starts,
        score.split,
        of(middle),
        of(clipped.last().copied()),
    );
}

struct Speech {
    samples: Vec<i16>,
    sentences: Vec<Stretch>,
}

/// Speaks every sentence with every third voice, in sequence on a silent line.
fn speak(folder: &Path) -> Result<Speech, String> {
    let mut samples = vec![0; 5 * RATE as usize];
    let mut sentences = Vec::new();
    let (raw, file) = (folder.join("raw.wav"), folder.join("one.raw"));
    for (index, text) in SENTENCES.iter().cycle().take(SENTENCES.len() * 3).enumerate() {
        let voice = VOICES[(index + index / SENTENCES.len()) % VOICES.len()];
        let speed = (140 + index % 4 * 15).to_string();
        run(Command::new("espeak-ng").args(["-v", voice, "-s", &speed, "-w"]).arg(&raw).arg(text))?;
        let format = ["-t", "raw", "-b", "16", "-e", "signed-integer", "-r", "8000", "-c", "1"];
        let band = ["highpass", "200", "lowpass", "3600"];
        run(Command::new("sox").args(["-R", "-D"]).arg(&raw).args(format).arg(&file).args(band))?;
        let mut one = read(&file)?;
        let Some(loud) = speech_in(&one) else { continue };
        to_level(&mut one[loud]);
        let Some(said) = speech_in(&one) else { continue };
        let at = samples.len() as u64;
        sentences.push(Stretch { from: at + said.start as u64, to: at + said.end as u64 });
        samples.extend_from_slice(&one);
        let pause_ms = 6000 + index * 737 % 3000;
        samples.resize(samples.len() + pause_ms * RATE as usize / 1000, 0);
    }
    Ok(Speech { samples, sentences })
}

/// Returns the range from the first to the last 5 ms with speech.
fn speech_in(samples: &[i16]) -> Option<Range<usize>> {
    let step = RATE as usize / 200;
    let loud = |piece: &[i16]| level_db(piece) > EDGE_DB;
    let first = samples.chunks(step).position(loud)?;
    let last = samples.chunks(step).rposition(loud)?;
    Some(first * step..((last + 1) * step).min(samples.len()))
}

#[allow(clippy::cast_possible_truncation, reason = "clamped to the range of i16")]
fn to_level(samples: &mut [i16]) {
    let gain = 10_f64.powf((SPEECH_DB - level_db(samples)) / 20.0);
    let limit = f64::from(i16::MAX);
    for sample in samples {
        *sample = (f64::from(*sample) * gain).round().clamp(-limit, limit) as i16;
    }
}

#[allow(clippy::cast_precision_loss)]
fn level_db(samples: &[i16]) -> f64 {
    let sum: f64 = samples.iter().map(|sample| f64::from(*sample).powi(2)).sum();
    10.0 * (sum / samples.len().max(1) as f64 + 1e-3).log10() - 90.309
}

/// Mixes speech, noise and hum with sox.
fn mix(folder: &Path, speech: &Speech, snr_db: i32) -> Result<Vec<i16>, String> {
    let (clean, mixed) = (folder.join("clean.raw"), folder.join("mixed.raw"));
    let bytes: Vec<u8> = speech.samples.iter().flat_map(|s| s.to_le_bytes()).collect();
    std::fs::write(&clean, bytes).map_err(|error| error.to_string())?;
    let raw = ["-t", "raw", "-b", "16", "-e", "signed-integer", "-r", "8000", "-c", "1"];
    let noise = 10_f64.powf((SPEECH_DB - f64::from(snr_db)) / 20.0);
    let length = format!("{}s", speech.samples.len());
    let parts = [
        ("noise.raw", vec!["whitenoise"], noise / NOISE_RMS),
        ("hum.raw", vec!["sine", "50"], noise / SINE_RMS),
        ("third.raw", vec!["sine", "150"], noise / SINE_RMS / 3.0),
    ];
    let mut mixer = Command::new("sox");
    mixer.args(["-R", "-D", "-m", "-v", "1"]).args(raw).arg(&clean);
    for (name, what, volume) in parts {
        let part = folder.join(name);
        let mut synth = Command::new("sox");
        synth
            .args(["-R", "-D", "-r", "8000", "-n"])
            .args(raw)
            .arg(&part)
            .args(["synth", &length])
            .args(what);
        run(synth.args(["vol", &format!("{volume:.6}")]))?;
        mixer.args(["-v", "1"]).args(raw).arg(part);
    }
    run(mixer.args(raw).arg(&mixed))?;
    read(&mixed)
}

fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{name}: {error}"))?;
    let why = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("{name}: {}", why.trim())) }
}

fn read(path: &Path) -> Result<Vec<i16>, String> {
    let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect())
}

/// Returns the calls found by the box's detector.
fn voice_calls(line: &[i16]) -> Vec<Stretch> {
    let mut detector = VoiceDetector::new(VoiceSettings::default(), RATE, 1, HOLDBACK_MS);
    let (mut calls, mut head): (Vec<Stretch>, u64) = (Vec::new(), 0);
    for period in line.chunks(PERIOD_FRAMES) {
        detector.push_samples(period);
        head += period.len() as u64;
        let Some(seizure) = detector.latest_seizure(Position(head)) else { continue };
        let to = seizure.to.map_or(line.len() as u64, |to| to.0);
        if u64::try_from(calls.len()) == Ok(seizure.number) {
            if let Some(last) = calls.last_mut() {
                last.to = to;
            }
        } else {
            let floor = calls.last().map_or(0, |last| last.to);
            calls.push(Stretch { from: seizure.from.0.max(floor), to });
        }
    }
    calls
}

/// Returns the calls found by a fixed threshold with the same attack and release. A call starts
/// when it is detected, as in a recorder without a holdback.
fn fixed_calls(line: &[i16]) -> Vec<Stretch> {
    let (attack, release) =
        (VoiceSettings::default().attack_ms, VoiceSettings::default().release_ms);
    let frames = |ms: u32| u64::from(ms) * u64::from(RATE) / 1000;
    let (mut calls, mut loud, mut quiet, mut head) = (Vec::new(), 0, None, 0);
    for period in line.chunks(PERIOD_FRAMES) {
        let step = period.len() as u64;
        head += step;
        let is_loud = level_db(period) >= FIXED_DB;
        loud = if is_loud { loud + step } else { u64::saturating_sub(loud, step) };
        match quiet {
            None if loud >= frames(attack) => {
                calls.push(Stretch { from: head, to: line.len() as u64 });
                quiet = Some(0);
            }
            None => {}
            Some(_) if is_loud => quiet = Some(0),
            Some(silent) if silent + step >= frames(release) => {
                if let Some(call) = calls.last_mut() {
                    call.to = head;
                }
                (quiet, loud) = (None, 0);
            }
            Some(silent) => quiet = Some(silent + step),
        }
    }
    calls
}

fn score(sentences: &[Stretch], calls: &[Stretch]) -> Score {
    let meet = |a: &Stretch, b: &Stretch| a.from < b.to && b.from < a.to;
    let empty = |call: &&Stretch| !sentences.iter().any(|sentence| meet(call, sentence));
    let mut score = Score {
        missed: 0,
        false_starts: calls.iter().filter(empty).count(),
        joined: 0,
        split: 0,
        clipped_ms: Vec::new(),
    };
    for (index, sentence) in sentences.iter().enumerate() {
        let mut own = calls.iter().filter(|call| meet(call, sentence));
        let Some(first) = own.next() else {
            score.missed += 1;
            continue;
        };
        score.split += own.count();
        let before = index.checked_sub(1).map(|before| &sentences[before]);
        if before.is_some_and(|before| meet(first, before)) {
            score.joined += 1;
        } else {
            score.clipped_ms.push(ms_of_frames(first.from.saturating_sub(sentence.from), RATE));
        }
    }
    score
}
