//! Steps of a transcript: clients, clock, phone lines and disk.

use super::{Block, ClientLines, Script, is_client};
use crate::sim::SimBox;
use hushbox::recorder::Peer;
use protocol::Kind;

/// Interval of `ping`s from connected clients, in ms.
const PING_MS: u64 = 80_000;

impl Script {
    /// Runs a step and returns the lines of all clients.
    pub(super) fn take_step(&mut self, block: &Block) -> ClientLines {
        let line = block.step;
        let place = format!("{}.txt:{}: {line}", self.name, block.number);
        if line.starts_with('#') || line.trim().is_empty() {
            return ClientLines::new();
        }
        if let Some(more) = line.strip_prefix("config: ") {
            self.merge(more, false);
        } else if let Some(more) = line.strip_prefix("config+: ") {
            self.merge(more, true);
        } else if let Some((client, said)) = spoken(line) {
            return self.send_line(client, said);
        } else if let Some(client) = line.strip_suffix('!').filter(|word| is_client(word)) {
            let session = self.clients.remove(client).unwrap_or_else(|| panic!("{place}"));
            self.patterns.forget(client);
            self.sim().gone(session);
        } else if let Some((client, kinds)) = line.split_once(" may be ") {
            self.connects(client, kinds);
        } else if let Some((client, "is closed")) = line.split_once(' ') {
            let session = self.clients.remove(client).unwrap();
            self.patterns.forget(client);
            assert!(self.sim().is_closed(session), "{}: it is not", self.name);
        } else if let Some((id, wanted)) = line.split_once(" holds ") {
            self.holds(id, wanted, block.number);
        } else {
            self.happens(line).unwrap_or_else(|| panic!("not a step: {place}"));
        }
        self.lines_of_all("")
    }

    fn sim(&mut self) -> &mut SimBox {
        let (config, seed) = (&self.config, self.seed);
        self.sim.get_or_insert_with(|| SimBox::new(&toml::to_string(config).unwrap(), seed))
    }

    /// The lines of all clients, starting with the sender.
    fn lines_of_all(&mut self, first: &str) -> ClientLines {
        let Some(sim) = &mut self.sim else { return ClientLines::new() };
        let mut said: ClientLines = Vec::new();
        for (client, session) in &self.clients {
            let mut lines = sim.news(*session);
            // Checkpoints arrive at arbitrary points: leave them out of the manual.
            lines.retain(|line| !line.starts_with("event what=checkpoint "));
            let at = if client == first { 0 } else { said.len() };
            said.insert(at, (client.clone(), lines));
        }
        said
    }

    fn connect(&mut self, client: &str, peer: Peer) {
        let session = self.sim().client_of(peer);
        let greeting = self.sim().news(session);
        assert!(greeting.len() == 1 && greeting[0].starts_with("hushbox 1 box="), "{greeting:?}");
        self.clients.insert(client.to_string(), session);
    }

    fn connects(&mut self, client: &str, kinds: &str) {
        let portal = kinds.contains("portal");
        let words = kinds.split([',', ' ']).filter_map(Kind::parse);
        self.connect(client, Peer { kinds: words.collect(), from: "unix:1000".into(), portal });
    }

    fn send_line(&mut self, client: &str, said: &str) -> ClientLines {
        if !self.clients.contains_key(client) {
            let (kinds, from) = (Kind::ALL.to_vec(), "127.0.0.1".to_string());
            self.connect(client, Peer { kinds, from, portal: false });
        }
        let session = self.clients[client];
        let bytes = unescaped(&self.patterns.spelled(said));
        self.sim().send(session, &bytes);
        self.lines_of_all(client)
    }

    /// Runs a step of time, power, phone lines or the disk.
    fn happens(&mut self, line: &str) -> Option<()> {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["wait", time] => self.waits(milliseconds(time)?, true),
            ["silence", time] => self.waits(milliseconds(time)?, false),
            ["restart"] | ["cut"] => {
                self.sim().restart(line == "cut");
                self.clients.clear();
                self.patterns.forget_all();
            }
            ["stop"] => self.sim().input(hushbox::recorder::Input::Stop),
            ["disk", "stuck"] => self.sim().disk.stuck = true,
            ["disk", "works"] => {
                self.sim().disk.stuck = false;
                self.sim().settle();
            }
            ["disk", "slow", time] => self.sim().disk.delay_us = milliseconds(time)? * 1000,
            ["disk", "full"] => self.sim().disk.space = (1 << 20, 1000 << 30),
            ["disk", "free"] => self.sim().disk.space = (900 << 30, 1000 << 30),
            ["lines", "silent"] => self.sim().silent = true,
            ["lines", "speak"] => self.sim().silent = false,
            _ => return None,
        }
        Some(())
    }

    fn waits(&mut self, mut ms: u64, ping: bool) {
        while ms > PING_MS && ping {
            self.sim().run_ms(PING_MS);
            ms -= PING_MS;
            for session in self.clients.values() {
                let sim = self.sim.as_mut().unwrap();
                if !sim.is_closed(*session) {
                    sim.ping(*session);
                }
            }
        }
        self.sim().run_ms(ms);
    }

    /// Compares a recording's spans: `$one holds 8000 stored, 16000 masked`.
    fn holds(&mut self, id: &str, wanted: &str, number: usize) {
        let id = self.patterns.spelled(id);
        let stored = self.sim().stored(&id);
        stored.check(self.sim());
        let found = stored.stretches();
        assert_eq!(found, wanted, "{}.txt:{number}", self.name);
    }

    /// Merges configuration; lists are replaced, or extended with `add`.
    pub(super) fn merge(&mut self, text: &str, add: bool) {
        let more: toml::Table = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        merge(&mut self.config, more, add);
        let text = toml::to_string(&self.config).unwrap();
        if let Some(sim) = &mut self.sim {
            sim.config_file = Some(text);
        }
    }
}

fn merge(into: &mut toml::Table, more: toml::Table, add: bool) {
    for (key, value) in more {
        match (into.get_mut(&key), value) {
            (Some(toml::Value::Table(old)), toml::Value::Table(new)) => merge(old, new, add),
            (Some(toml::Value::Array(old)), toml::Value::Array(mut new)) if add => {
                old.append(&mut new);
            }
            (_, value) => drop(into.insert(key, value)),
        }
    }
}

/// Splits `a> …`.
fn spoken(line: &str) -> Option<(&str, &str)> {
    let (client, said) = line.split_once('>')?;
    is_client(client).then_some((client, said.strip_prefix(' ').unwrap_or(said)))
}

/// Parses `20ms`, `5s`, `2m`.
fn milliseconds(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let factor = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        _ => return None,
    };
    Some(number.parse::<u64>().ok()? * factor)
}

/// Bytes of a line: `{x*1100}` repeats x, `{ff}` is a byte, `{}` omits the line end.
fn unescaped(said: &str) -> Vec<u8> {
    let (mut bytes, mut rest, mut end) = (Vec::new(), said, true);
    while let Some((before, after)) = rest.split_once('{') {
        bytes.extend_from_slice(before.as_bytes());
        let (what, after) = after.split_once('}').expect("a closing brace");
        match what.split_once('*') {
            Some((text, count)) => bytes.extend(text.repeat(count.parse().unwrap()).bytes()),
            None if what.is_empty() => end = false,
            None => bytes.push(u8::from_str_radix(what, 16).unwrap()),
        }
        rest = after;
    }
    bytes.extend_from_slice(rest.as_bytes());
    if end {
        bytes.push(b'\n');
    }
    bytes
}

/// Asserts the invariants at the end of every transcript: stored audio is as captured, masked
/// samples are nowhere, ledgers add up, the chain verifies.
pub fn check_everything(sim: &SimBox, name: &str) {
    for id in sim.recordings() {
        sim.stored(&id.to_string()).check(sim);
    }
    let report = sim.verify();
    assert!(report.is_clean(), "{name}: {report:#?}");
    assert_eq!(sim.journal().stray_count(), 0, "{name}: a fact that makes no sense");
}
