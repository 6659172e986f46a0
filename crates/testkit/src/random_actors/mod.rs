//! Random clients around a simulated recorder: three agents with random permissions, a PBX and a
//! supervisor. After each step the invariants are checked.
//!
//! - A refused command leaves the state unchanged, bit for bit.
//! - Commands in `can` are not refused, others are; the last `state` is the newest.
//! - No agent is sent a byte of a call, recording or number that never was theirs. An agent limited
//!   to own recordings is sent no recording that others started, and no field value at all (F2).

pub mod steps;

use crate::rng::Rng;
use crate::sim::SimBox;
use protocol::Kind;
use std::collections::BTreeSet;
use std::fmt::Write;

const RIGHTS: [&str; 9] = [
    "record.start",
    "record.stop",
    "record.stop-any",
    "blackout",
    "screen",
    "update.1",
    "update.3",
    "notify-on-demand-only",
    "records.own",
];

/// An agent, with everything it may know.
#[derive(Default)]
pub struct Agent {
    pub name: String,
    pub client: Option<u32>,
    pub only_own: bool,
    /// Whether the configuration has the agent.
    pub is_known: bool,
    /// Calls, recordings and numbers.
    pub own: BTreeSet<String>,
    /// Recordings that the agent started.
    pub pressed: BTreeSet<String>,
    /// `can` of the last state.
    pub can: String,
}

pub struct RandomActors {
    pub sim: SimBox,
    pub rng: Rng,
    pub agents: Vec<Agent>,
    pub pbx: u32,
    pub supervisor: u32,
    pub technician: u32,
    /// Live calls: device and id.
    pub calls: Vec<(String, String)>,
    /// Every call id, number and recording id that ever existed.
    pub secrets: BTreeSet<String>,
    pub count: u64,
    /// State fingerprint after the last refusal, if nothing happened since.
    pub print: Option<String>,
    /// Log of the steps, for a failing test's output.
    pub story: Vec<String>,
}

/// Random TOML configuration: permissions of three agents, and schedules.
pub fn config(rng: &mut Rng) -> String {
    let mut text = String::from(include_str!("../../../../tests/simulation/transcripts/box.toml"));
    let at = text.find("[[role]]").unwrap();
    text.truncate(at);
    let scope = if rng.one_in(2) { "agent" } else { "call" };
    let max_s = 3 + rng.below(20);
    writeln!(text, "[blackout]\nscope = \"{scope}\"\nmax_s = {max_s}").unwrap();
    let recall = if rng.one_in(2) { "off" } else { "1m" };
    text = text.replace(
        "codec = \"pcm\"",
        &format!("codec = \"pcm\"\nrecall = \"{recall}\"\nwrapup_s = 5"),
    );
    for name in ["a1", "a2", "a3"] {
        let mut rights: Vec<&str> = RIGHTS.into_iter().filter(|_| !rng.one_in(3)).collect();
        if rng.one_in(2) {
            rights.retain(|right| *right != "notify-on-demand-only");
        }
        rights.push("update.15");
        writeln!(text, "[[role]]\nname = \"{name}\"\npermissions = {rights:?}").unwrap();
        if rng.one_in(6) {
            continue; // not in this file
        }
        let phone = &name[1..];
        writeln!(
            text,
            "[[agent]]\nusername = \"{name}\"\nphones = [\"100{phone}\"]\nroles = [\"{name}\"]"
        )
        .unwrap();
    }
    text.push_str(
        "[[role]]\nname = \"sup\"\npermissions = [\"records.all\", \"record.others\", \
         \"blackout.others\"]\n\
         [[agent]]\nusername = \"sup\"\nphones = []\nroles = [\"sup\"]\n\
         [[workstation]]\nmachine = \"desk\"\ndevice = \"1004\"\n\
         [[technician]]\nname = \"field\"\npin = \"$argon2id$v=19$m=19456,t=2,p=1$\
         BtIvqaj9XY7ZBxJ22c5iVw$TyjQ7ygFTOcEHsXrsnq57JJbStAteqOOA0/cG+bNoiU\"\n",
    );
    for n in 0..rng.below(3) + 1 {
        let kinds: &[&str] = if n == 0 { &["on-demand"] } else { &["percentage", "api"] };
        let kind = *rng.pick(kinds);
        let percent = *rng.pick(&[0, 50, 100]);
        writeln!(text, "[[schedule]]\nname = \"s{n}\"\ntype = \"{kind}\"\npercent = {percent}")
            .unwrap();
        if rng.one_in(4) {
            writeln!(text, "directions = [\"in\"]").unwrap();
        }
    }
    text
}

impl RandomActors {
    pub fn new(seed: u64) -> RandomActors {
        let mut rng = Rng::new(seed);
        let mut sim = SimBox::new(&config(&mut rng), seed);
        let pbx = sim.client(&[Kind::Cti]);
        sim.say(pbx, "hello cti");
        let supervisor = sim.client(&[Kind::Supervisor]);
        sim.say(supervisor, "hello supervisor user=sup");
        let technician = sim.client(&[Kind::Technician]);
        sim.say(technician, "hello technician user=field pin=2468");
        let named = |name: &str| Agent { name: name.to_string(), ..Agent::default() };
        let agents = ["a1", "a2", "a3"].map(named).into();
        let mut crowd = RandomActors {
            sim,
            rng,
            agents,
            pbx,
            supervisor,
            technician,
            calls: Vec::new(),
            secrets: BTreeSet::new(),
            count: 0,
            print: None,
            story: Vec::new(),
        };
        crowd.learn_rights();
        (0..3).for_each(|index| crowd.log_in(index));
        crowd
    }

    pub fn learn_rights(&mut self) {
        for agent in &mut self.agents {
            let config = &self.sim.config;
            let known = config.agents.iter().find(|known| known.username == agent.name);
            let right = hushbox::calls::permission::Permission::NotifyOnDemandOnly;
            agent.is_known = known.is_some();
            agent.only_own = known.is_some_and(|known| known.permissions.contains(right));
        }
    }

    /// Connects an agent, if the configuration has it.
    pub fn log_in(&mut self, index: usize) {
        if !self.agents[index].is_known {
            return;
        }
        let client = self.sim.client(&[Kind::Agent]);
        let desk = if self.rng.one_in(3) { " machine=desk" } else { "" };
        let line = format!("hello agent user={}{desk}", self.agents[index].name);
        self.story.push(line.clone());
        self.agents[index].client = Some(client);
        let said = self.sim.say(client, &line);
        assert!(said.iter().any(|line| line.starts_with("ok ")), "{said:?}");
        self.listen_all(Some((index, &said, "")));
    }

    /// Reads every client's lines and asserts that each agent may know them.
    pub fn listen_all(&mut self, first: Option<(usize, &[String], &str)>) {
        self.ask_whose();
        if let Some((index, lines, command)) = first {
            self.listen(index, lines, command);
        }
        for index in 0..self.agents.len() {
            if let Some(client) = self.agents[index].client {
                let lines = self.sim.news(client);
                self.listen(index, &lines, "");
            }
        }
    }

    /// Asks the supervisor and the PBX who owns which calls and recordings.
    fn ask_whose(&mut self) {
        let calls = self.sim.say(self.pbx, "calls");
        let records = self.sim.say(self.supervisor, "records limit=100000");
        for row in calls.iter().chain(&records).filter(|line| line.starts_with("row ")) {
            let words: Vec<String> =
                ["call", "recording"].iter().filter_map(|key| value(row, key)).collect();
            self.secrets.extend(words.iter().cloned());
            let agent = value(row, "agent");
            if let Some(agent) = self.agents.iter_mut().find(|a| Some(&a.name) == agent.as_ref()) {
                // The agent who has the call now may know its recordings.
                let call = value(row, "call");
                let same = records.iter().filter(|record| value(record, "call") == call);
                agent.own.extend(same.filter_map(|record| value(record, "recording")));
                agent.own.extend(words);
            }
        }
    }

    fn listen(&mut self, index: usize, lines: &[String], command: &str) {
        let story = self.story.len();
        let agent = &mut self.agents[index];
        for line in lines {
            if command == "record start" && line.starts_with("ok ") {
                let named = ["recording", "also"].into_iter().filter_map(|key| value(line, key));
                let ids: Vec<String> = named.collect();
                agent.pressed.extend(ids.iter().flat_map(|ids| ids.split(',')).map(str::to_owned));
            }
        }
        for line in lines {
            if line.starts_with("state ") {
                agent.can = value(line, "can").unwrap_or_default();
            }
            assert!(!line.contains("secret"), "{}: a field's value: {line}", agent.name);
            let words = line.split([' ', '=', ',', '"']);
            for word in words.filter(|word| self.secrets.contains(*word)) {
                let own = agent.own.contains(word);
                assert!(own, "{story}: {} is told of {word}: {line}", agent.name);
                let recording = hushbox::id::RecordingId::parse(word).is_some();
                let may = !agent.only_own || !recording || agent.pressed.contains(word);
                assert!(may, "{story}: {} did not begin {word}: {line}", agent.name);
            }
        }
    }
}

/// A value of a line; `None` for `-`.
pub fn value(line: &str, key: &str) -> Option<String> {
    let at = line.find(&format!(" {key}="))? + key.len() + 2;
    let value = line[at..].split(' ').next().unwrap();
    (value != "-").then(|| value.to_string())
}
