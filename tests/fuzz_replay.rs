//! The bodies of the fuzz targets on the committed corpus, and on what mutation makes of it.
//!
//! No fuzzer is needed: a fixed seed makes the same inputs every time, and the memory that a body
//! takes at its peak is counted against the bound in its row. `FUZZ_SECONDS=N` goes on for longer
//! with a seed of the time (`make fuzz`), and `FUZZ_SEED=N` replays one. An input that fails lies
//! in `fuzz/artifacts` afterwards; put it into the corpus together with the mend.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]

#[path = "../fuzz/src/lib.rs"]
mod bodies;
mod random;

use bodies::{TARGETS, Target};
use random::Random;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Bytes of all inputs that one target is given.
const SPENT_BYTES: usize = 6 << 20;
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
fn mutate(input: &mut Vec<u8>, others: &[Vec<u8>], random: &mut Random) {
    let place = |random: &mut Random, len: usize| {
        usize::try_from(random.below(u64::try_from(len).unwrap() + 1)).unwrap()
    };
    let byte = |random: &mut Random| random.below(256).to_le_bytes()[0];
    let at = place(random, input.len());
    let to = (at + 1 + place(random, 40)).min(input.len());
    match random.below(11) {
        0 | 1 if at < input.len() => input[at] ^= 1 << random.below(8),
        2 if at < input.len() => input[at] = byte(random),
        3 => input.insert(at, byte(random)),
        4 => drop(input.drain(at..to.max(at))),
        5 => {
            let copy = input[at.min(to)..to].to_vec();
            let into = place(random, input.len());
            input.splice(into..into, copy);
        }
        6 => input[at.min(to)..to].fill([0, 0xff, 0x7f, 0x80][place(random, 3)]),
        7 => {
            let other = &others[place(random, others.len() - 1)];
            let from = place(random, other.len());
            let end = (from + place(random, 200)).min(other.len());
            input.splice(at..at, other[from..end].iter().copied());
        }
        8 if random.below(20) == 0 => input.truncate(at),
        9 | 10 if at + 4 <= input.len() => {
            // A length or a count, of any size.
            let number = random.below(u64::MAX) >> (32 + random.below(32));
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
    let mut random = Random(seed);
    let mut peak = corpus.iter().map(|input| must_hold(target, input, seed)).max().unwrap();
    let (mut count, mut spent) = (0, 0);
    while more(spent) {
        let pick = random.below(u64::try_from(corpus.len()).unwrap());
        let mut input = corpus[usize::try_from(pick).unwrap()].clone();
        for _ in 0..=random.below(6) {
            mutate(&mut input, &corpus, &mut random);
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
fn whatever_comes_from_outside_nothing_panics_and_memory_is_bounded() {
    let seconds = from_env("FUZZ_SECONDS");
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let seed = from_env("FUZZ_SEED").unwrap_or(if seconds.is_some() { now } else { 1 });
    // A panic is reported once, with its input.
    std::panic::set_hook(Box::new(|info| eprintln!("{info}")));
    for target in &TARGETS {
        let share = seconds.map(|all| Duration::from_secs(all) / 8);
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
fn a_panic_and_too_much_memory_are_noticed() {
    let target = |body, fixed_bytes| Target { name: "x", body, fixed_bytes, bytes_per_byte: 1 };
    let panics = target(|_| panic!("on purpose"), 1 << 20);
    assert!(feed(&panics, b"x").is_err());
    let eats = target(|input| drop(std::hint::black_box(vec![7_u8; input.len() << 20])), 1 << 20);
    assert!(feed(&eats, b"xxxx").is_err());
    assert!(feed(&eats, b"").is_ok());
}
