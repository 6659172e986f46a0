//! Transcripts: texts that are both manual pages and tests.
//!
//! ```text
//! # Prose.
//! config: blackout.max_s = 10        `box.toml` with this change; `config+:` adds to a list
//! a> record start                    client a sends; it connects with its first line
//! a< ok recording=$one from=* ...    all that a receives, in order, before the next step
//! wait 500ms                         time passes, audio is captured; connected clients send `ping`
//! a!                                 client a disconnects
//! restart  cut                       the recorder stops and starts; its power is cut
//! ```
//!
//! In an expected line `*` matches any word or value, and `$name` a value that is the same
//! everywhere. A final `...` leaves the other pairs open; in a `state` line they are as before. A
//! recorder starts at the first step. `BLESS=1` writes the actual lines; review them before commit.

pub mod line;
pub mod steps;

use crate::programs::root;
use crate::sim::SimBox;
use line::Patterns;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

pub struct Script {
    name: String,
    config: toml::Table,
    sim: Option<SimBox>,
    /// Sessions by letter.
    clients: BTreeMap<String, u32>,
    patterns: Patterns,
    seed: u64,
}

/// Lines of one run of a transcript, for comparing runs.
pub struct Run {
    pub sim: SimBox,
    pub clients: BTreeMap<String, u32>,
}

/// The line of a step and the lines expected after it.
struct Block<'a> {
    number: usize,
    step: &'a str,
    rest: Vec<&'a str>,
}

pub fn folder() -> PathBuf {
    root().join("tests/simulation/transcripts")
}

/// Runs `tests/simulation/transcripts/NAME.txt`.
pub fn run(name: &str) -> Run {
    run_with(name, "", 1)
}

/// Runs a transcript with more configuration and without comparing its lines.
pub fn run_with(name: &str, config: &str, seed: u64) -> Run {
    let path = folder().join(format!("{name}.txt"));
    let text = std::fs::read_to_string(&path).unwrap();
    let base = std::fs::read_to_string(folder().join("box.toml")).unwrap();
    let mut script = Script {
        name: name.to_string(),
        config: base.parse().unwrap(),
        sim: None,
        clients: BTreeMap::new(),
        patterns: Patterns::default(),
        seed,
    };
    script.merge(config, true);
    let bless = std::env::var_os("BLESS").is_some() && config.is_empty();
    let mut written = String::new();
    for block in blocks(&text) {
        let said = script.take_step(&block);
        let wrong = script.judge(&block, &said, bless.then_some(&mut written));
        assert!(wrong.is_empty() || bless || !config.is_empty(), "{wrong}");
    }
    if bless {
        std::fs::write(&path, written).unwrap();
    }
    let sim = script.sim.expect("a transcript has a step");
    steps::check_everything(&sim, name);
    Run { sim, clients: script.clients }
}

fn is_step(line: &str) -> bool {
    !line.starts_with('#') && !line.trim().is_empty() && !is_expected(line)
}

/// Recognises `a< …`.
fn is_expected(line: &str) -> bool {
    line.split_once('<').is_some_and(|(client, _)| is_client(client))
}

fn is_client(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        match blocks.last_mut() {
            Some(block) if !is_step(line) => block.rest.push(line),
            None if !is_step(line) => blocks.push(Block { number, step: line, rest: Vec::new() }),
            _ => blocks.push(Block { number, step: line, rest: Vec::new() }),
        }
    }
    blocks
}

/// Lines sent to each client, in the order of output.
type ClientLines = Vec<(String, Vec<String>)>;

impl Script {
    /// Compares the lines with the expected ones and rewrites the block if they differ.
    fn judge(&mut self, block: &Block, said: &ClientLines, written: Option<&mut String>) -> String {
        let mut expected: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for line in block.rest.iter().filter(|line| is_expected(line)) {
            let (client, pattern) = line.split_once('<').unwrap();
            expected.entry(client).or_default().push(pattern.trim());
        }
        let mut wrong = String::new();
        let mut blessed = Vec::new();
        for (client, lines) in said {
            let patterns = expected.remove(client.as_str()).unwrap_or_default();
            for (index, line) in lines.iter().enumerate() {
                let pattern = patterns.get(index).copied();
                let before = self.patterns.clone();
                match pattern.filter(|pattern| self.patterns.fits(client, pattern, line)) {
                    Some(pattern) => blessed.push(format!("{client}< {pattern}")),
                    None => {
                        self.patterns = before;
                        let wanted = pattern.unwrap_or("nothing");
                        writeln!(wrong, "  {client}< {line}\n    expected: {wanted}").unwrap();
                        if written.is_some() {
                            let own = self.patterns.describe(client, line);
                            blessed.push(format!("{client}< {own}"));
                        }
                    }
                }
                self.patterns.remember(client, line);
            }
            for missing in patterns.iter().skip(lines.len()) {
                writeln!(wrong, "  {client} was not sent: {missing}").unwrap();
            }
        }
        for (client, patterns) in expected {
            writeln!(wrong, "  {client} was sent nothing, but expected: {patterns:?}").unwrap();
        }
        let place = format!("{}.txt:{}: {}", self.name, block.number, block.step);
        match written {
            None => {}
            Some(out) if wrong.is_empty() => {
                writeln!(out, "{}", block.step).unwrap();
                block.rest.iter().for_each(|line| writeln!(out, "{line}").unwrap());
            }
            Some(out) => {
                eprintln!("blessed: {place}\n{wrong}");
                writeln!(out, "{}", block.step).unwrap();
                blessed.iter().for_each(|line| writeln!(out, "{line}").unwrap());
                let prose = block.rest.iter().filter(|line| !is_expected(line));
                prose.for_each(|line| writeln!(out, "{line}").unwrap());
            }
        }
        if wrong.is_empty() { wrong } else { format!("{place}\n{wrong}") }
    }
}
