//! The fuzz targets on the committed corpus, and on mutations of it.
//!
//! No fuzzer is needed: a fixed seed makes the same inputs each time, and the peak memory of a
//! target is compared with the bound in its row. `FUZZ_SECONDS=N` runs for longer with a seed of
//! the time (`make fuzz`), and `FUZZ_SEED=N` replays one. An input that fails is left in
//! `fuzz/artifacts`; add it to the corpus together with the fix.

#![allow(clippy::disallowed_methods, reason = "the clock ends a longer run")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use testkit::fuzz::{TARGETS, Target};
use testkit::rng::Rng;

/// Bytes of all inputs that one target is given.
const SPENT_BYTES: usize = 6 << 20;
/// That share the time.
const TARGETS_COUNT: u32 = 12;
const _: () = assert!(TARGETS.len() == 12);
/// No input grows beyond.
const INPUT_BYTES_MAX: usize = 64 << 10;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let folder = fuzz().join("corpus").join(target.name);
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// Gives a body an input. `Err`: what it did wrong.
fn feed(target: &Target, input: &[u8]) -> Result<usize, String> {
    let mut result = Ok(());
    let memory = allocation_counter::measure(|| {
        result = catch_unwind(AssertUnwindSafe(|| (target.body)(input)));
    });
    let peak = usize::try_from(memory.bytes_max).unwrap();
    if let Err(panic) = result {
        let text = panic.downcast_ref::<String>().cloned();
        return Err(text.unwrap_or_else(|| "it panicked".to_owned()));
    }
    let allowed = target.fixed_bytes + target.bytes_per_byte * input.len();
    if peak > allowed {
        return Err(format!("{peak} bytes for {} of input, {allowed} allowed", input.len()));
    }
    Ok(peak)
}

fn must_hold(target: &Target, input: &[u8], seed: u64) -> usize {
    feed(target, input).unwrap_or_else(|why| {
        let folder = fuzz().join("artifacts").join(target.name);
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join(&blake3::hash(input).to_hex()[..16]);
        std::fs::write(&path, input).unwrap();
        panic!("{}: {why}; FUZZ_SEED={seed}, the input is {}", target.name, path.display());
    })
}

/// Changes an input in one of the ways that have broken parsers before.
fn mutate(input: &mut Vec<u8>, others: &[Vec<u8>], rng: &mut Rng) {
    let place = |rng: &mut Rng, len: usize| {
        usize::try_from(rng.below(u64::try_from(len).unwrap() + 1)).unwrap()
    };
    let byte = |rng: &mut Rng| rng.byte();
    let at = place(rng, input.len());
    let to = (at + 1 + place(rng, 40)).min(input.len());
    match rng.below(11) {
        0 | 1 if at < input.len() => input[at] ^= 1 << rng.below(8),
        2 if at < input.len() => input[at] = byte(rng),
        3 => input.insert(at, byte(rng)),
        4 => drop(input.drain(at..to.max(at))),
        5 => {
            let copy = input[at.min(to)..to].to_vec();
            let into = place(rng, input.len());
            input.splice(into..into, copy);
        }
        6 => input[at.min(to)..to].fill([0, 0xff, 0x7f, 0x80][place(rng, 3)]),
        7 => {
            let other = &others[place(rng, others.len() - 1)];
            let from = place(rng, other.len());
            let end = (from + place(rng, 200)).min(other.len());
            input.splice(at..at, other[from..end].iter().copied());
        }
        8 if rng.below(20) == 0 => input.truncate(at),
        9 | 10 if at + 4 <= input.len() => {
            // A length or a count, of any size.
            let number = rng.below(u64::MAX) >> (32 + rng.below(32));
            input[at..at + 4].copy_from_slice(&number.to_le_bytes()[..4]);
        }
        _ => {}
    }
    input.truncate(INPUT_BYTES_MAX);
}

/// Mutates until `more` says no; the highest peak of a body, and how many inputs there were.
fn run(target: &Target, seed: u64, mut more: impl FnMut(usize) -> bool) -> (usize, u64) {
    let corpus = corpus(target);
    assert!(!corpus.is_empty(), "{} has no corpus", target.name);
    let mut rng = Rng::new(seed);
    let mut peak = corpus.iter().map(|input| must_hold(target, input, seed)).max().unwrap();
    let (mut count, mut spent) = (0, 0);
    while more(spent) {
        let pick = rng.below(u64::try_from(corpus.len()).unwrap());
        let mut input = corpus[usize::try_from(pick).unwrap()].clone();
        for _ in 0..=rng.below(6) {
            mutate(&mut input, &corpus, &mut rng);
        }
        peak = peak.max(must_hold(target, &input, seed));
        spent += input.len() + 64;
        count += 1;
    }
    (peak, count)
}

fn from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn mutated_input_never_panics_and_memory_is_bounded() {
    let seconds = from_env("FUZZ_SECONDS");
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let seed = from_env("FUZZ_SEED").unwrap_or(if seconds.is_some() { now } else { 1 });
    // A panic is reported once, with its input.
    std::panic::set_hook(Box::new(|info| eprintln!("{info}")));
    for target in &TARGETS {
        let share = seconds.map(|all| Duration::from_secs(all) / TARGETS_COUNT);
        let began = Instant::now();
        let (peak, count) = run(target, seed, |spent| match share {
            Some(share) => began.elapsed() < share,
            None => spent < SPENT_BYTES,
        });
        let ms = began.elapsed().as_millis();
        println!("{}: {count} inputs, at most {peak} bytes, {ms} ms, seed {seed}", target.name);
    }
}

#[test]
fn harness_detects_panics_and_excess_memory() {
    let target = |body, fixed_bytes| Target { name: "x", body, fixed_bytes, bytes_per_byte: 1 };
    let panics = target(|_| panic!("on purpose"), 1 << 20);
    assert!(feed(&panics, b"x").is_err());
    let eats = target(|input| drop(std::hint::black_box(vec![7_u8; input.len() << 20])), 1 << 20);
    assert!(feed(&eats, b"xxxx").is_err());
    assert!(feed(&eats, b"").is_ok());
}
