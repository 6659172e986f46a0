//! A simulated recorder with clients that remember what was acknowledged and compare it with the
//! disk.
//!
//! A `World` has three agents with a phone each, the PBX feed and a supervisor. It reads every line
//! they receive and remembers calls, recordings, fields and the masked positions of each channel.
//! After a cut, and on request, it compares the disk image with this model. It never inspects the
//! recorder.

pub mod check;
pub mod cut;

use crate::sim::SimBox;
use protocol::Kind;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

pub const AGENTS: usize = 3;
pub const RATE: u64 = 8000;

#[derive(Clone, Debug)]
pub struct WorldSettings {
    pub seal: bool,
    pub scope: &'static str,
    pub recall: &'static str,
    pub holdback_ms: u64,
    pub lead_ms: u64,
    pub max_s: u64,
}

impl Default for WorldSettings {
    fn default() -> WorldSettings {
        let (seal, scope, recall) = (false, "agent", "off");
        WorldSettings { seal, scope, recall, holdback_ms: 600, lead_ms: 400, max_s: 300 }
    }
}

impl WorldSettings {
    pub fn config(&self) -> String {
        let WorldSettings { seal, scope, recall, holdback_ms, lead_ms, max_s } = self;
        let mut text = format!(
            "[box]\nname = \"box-01\"\ndata = \"data\"\n[on_demand]\nenabled = true\n\
             [audio]\ncodec = \"pcm\"\nholdback_ms = {holdback_ms}\nrecall = \"{recall}\"\n\
             [blackout]\nlead_ms = {lead_ms}\nmax_s = {max_s}\nscope = \"{scope}\"\n\
             [store]\nseal = {seal}\n[[schedule]]\nname = \"all\"\ntype = \"on-demand\"\n\
             [[role]]\nname = \"r\"\npermissions = [\"record.start\", \"record.stop\", \
             \"blackout\", \"update.1\", \"update.3\", \"records.all\", \"protect\", \
             \"blackout.others\"]\n"
        );
        for (board, channels) in [("left", &[1, 2][..]), ("right", &[3])] {
            let channel = |id: &i32| {
                let sides = if *id == 2 { "stereo" } else { "mono" };
                format!(
                    "{{ id = {id}, device = \"100{id}\", sides = \"{sides}\", source = \"x.wav\" }}"
                )
            };
            let channels: Vec<String> = channels.iter().map(channel).collect();
            text += &format!(
                "[[board]]\nname = \"{board}\"\nkind = \"sim\"\nrate = {RATE}\nbuffer_ms = 200\n\
                 activity = \"cti\"\nchannels = [{}]\n",
                channels.join(", ")
            );
        }
        for n in 1..=AGENTS {
            text += &format!(
                "[[agent]]\nusername = \"a{n}\"\nphones = [\"100{n}\"]\nroles = [\"r\"]\n"
            );
        }
        text
    }
}

/// A masked span of a channel; `to` is `None` while the blackout is active.
#[derive(Clone, Debug)]
pub struct Masked {
    pub boot: u32,
    pub channel: usize,
    pub from: u64,
    pub to: Option<u64>,
}

/// A command in flight, and the boards' position when it was sent.
#[derive(Clone, Debug)]
struct Asked {
    line: String,
    head: u64,
    /// The agent it concerns.
    agent: usize,
    /// Order of sending; replies arrive in any order.
    order: u64,
    /// Whether its blackout ended with the call before the reply.
    moot: bool,
}

/// A recording named to a client.
#[derive(Clone, Debug)]
pub struct Told {
    pub boot: u32,
    pub channel: usize,
    /// Position of the boards at that time.
    pub at: u64,
    /// Whether its agent or call ended it.
    pub over: bool,
}

/// The model: everything acknowledged.
#[derive(Clone, Debug, Default)]
pub struct Known {
    pub masked: Vec<Masked>,
    /// Spans that may also be masked: by a lead, before the recording that its receipt names, or by
    /// a blackout whose end is unknown.
    pub leads: Vec<Masked>,
    /// Agents with an active blackout.
    pub dark: BTreeSet<usize>,
    /// The call of each device.
    pub calls: BTreeMap<usize, String>,
    pub recordings: BTreeMap<String, Told>,
    pub fields: BTreeMap<(String, u8), String>,
    pub protected: BTreeMap<String, bool>,
    /// Agents whose last `state` reported no blackout.
    pub off: BTreeSet<usize>,
    /// Position of the press in each agent's newest receipt; each blackout has one.
    pub receipts: BTreeMap<usize, u64>,
    /// Order of each agent's newest acknowledged press.
    pub pressed: BTreeMap<usize, u64>,
    /// Agents whose mask is active but not journalled.
    pub shaky: BTreeSet<usize>,
    /// Start and channel of unanswered presses and stops, where more may be masked than was
    /// acknowledged.
    pub vague: BTreeSet<(u32, usize)>,
    /// Whether the power was cut in the middle of a job.
    pub busy: bool,
    /// Whether the disk was slow or refused a job, so that audio may be lost.
    pub troubled: bool,
    /// Starts with such disk trouble.
    pub troubles: BTreeSet<u32>,
    /// Spans that a board lost: start, channel, from, to.
    pub unplugged: Vec<(u32, usize, u64, u64)>,
}

pub struct World {
    pub sim: SimBox,
    pub site: WorldSettings,
    pub known: Known,
    /// Sessions: for each agent one that only listens (`eyes`) and one that commands (`hands`), the
    /// feed and the supervisor.
    eyes: Vec<u32>,
    hands: Vec<u32>,
    cti: u32,
    boss: u32,
    asked: BTreeMap<u32, VecDeque<Asked>>,
    /// Number of commands sent so far.
    said: u64,
    /// Frames lost per recording and cut.
    pub losses: Vec<u64>,
}

/// A value of a line.
pub fn value<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
}

impl World {
    pub fn new(site: WorldSettings, seed: u64) -> World {
        let sim = SimBox::new(&site.config(), seed);
        let mut world = World {
            sim,
            site,
            known: Known::default(),
            eyes: Vec::new(),
            hands: Vec::new(),
            cti: 0,
            boss: 0,
            asked: BTreeMap::new(),
            said: 0,
            losses: Vec::new(),
        };
        world.arrive();
        world
    }

    /// Connects all clients.
    fn arrive(&mut self) {
        (self.eyes, self.hands) = (Vec::new(), Vec::new());
        (self.cti, self.boss) = (0, 0);
        self.asked.clear();
        self.cti = self.sim.client(&[Kind::Cti]);
        self.ask(self.cti, "hello cti", 0);
        self.boss = self.sim.client(&[Kind::Supervisor]);
        self.ask(self.boss, "hello supervisor user=a1", 0);
        for agent in 1..=AGENTS {
            let eye = self.sim.client(&[Kind::Agent]);
            self.eyes.push(eye);
            self.ask(eye, &format!("hello agent user=a{agent}"), agent);
            let hand = self.sim.client(&[Kind::Agent]);
            self.hands.push(hand);
            self.ask(hand, &format!("hello agent user=a{agent}"), agent);
        }
    }

    /// Replaces an agent's client by a new one.
    pub fn vanish(&mut self, agent: usize) {
        let hand = self.hands[agent - 1];
        if self.asked.get(&hand).is_none_or(VecDeque::is_empty) {
            self.sim.gone(hand);
            let hand = self.sim.client(&[Kind::Agent]);
            self.hands[agent - 1] = hand;
            self.ask(hand, &format!("hello agent user=a{agent}"), agent);
        }
    }

    pub fn agent(&mut self, agent: usize, line: &str) {
        self.ask(self.hands[agent - 1], line, agent);
    }

    pub fn feed(&mut self, agent: usize, line: &str) {
        self.ask(self.cti, line, agent);
    }

    pub fn boss(&mut self, agent: usize, line: &str) {
        self.ask(self.boss, line, agent);
    }

    pub fn dead(&self) -> bool {
        self.sim.disk.is_dead() || self.sim.fatal.is_some()
    }

    fn ask(&mut self, client: u32, line: &str, agent: usize) {
        if self.dead() || self.sim.is_closed(client) {
            return;
        }
        if line.starts_with("blackout start") && self.stops(agent) {
            // The press revokes a stop in flight and masks the audio since then.
            self.known.vague.insert((self.sim.boot, agent));
        }
        let asked = Asked {
            line: line.to_string(),
            head: self.sim.head(0),
            agent,
            order: self.said,
            moot: false,
        };
        self.said += 1;
        self.asked.entry(client).or_default().push_back(asked);
        // Split at a random byte, as a stream may be.
        let bytes = format!("{line}\n").into_bytes();
        let at = self.sim.rng.below(bytes.len());
        self.sim.send(client, &bytes[..at]);
        self.sim.send(client, &bytes[at..]);
        self.listen();
    }

    /// Lets time pass and reads all lines.
    pub fn run_ms(&mut self, ms: u64) {
        for _ in 0..ms / 20 {
            if !self.dead() {
                self.sim.run_ms(20);
                self.listen();
            }
        }
    }

    pub fn unplug_ms(&mut self, board: usize, ms: u64) {
        let from = self.sim.head(board);
        for _ in 0..ms / 20 {
            if !self.dead() {
                let why = hushbox::audio::span::LossReason::Board;
                self.sim.unplug_ms(board, 20, why);
                self.listen();
            }
        }
        let channels = if board == 0 { 1..=2 } else { 3..=3 };
        let to = self.sim.head(board);
        for channel in channels {
            // Two that follow at once are one loss.
            let before = (self.sim.boot, channel, from);
            let unplugged = &mut self.known.unplugged;
            match unplugged.iter_mut().find(|one| (one.0, one.1, one.3) == before) {
                Some(one) => one.3 = to,
                None => unplugged.push((self.sim.boot, channel, from, to)),
            }
        }
    }

    /// Reads every client's lines.
    fn listen(&mut self) {
        let all = [self.cti, self.boss].into_iter().chain(self.hands.clone());
        for client in all.chain(self.eyes.clone()).filter(|client| *client > 0) {
            for line in self.sim.news(client) {
                match line.split(' ').next() {
                    Some("ok" | "err") => {
                        let asked = self.asked.get_mut(&client).and_then(VecDeque::pop_front);
                        let asked = asked.expect("an answer to nothing");
                        self.learn(&asked, &line);
                    }
                    Some("state") => self.see(client, &line),
                    _ => {}
                }
            }
        }
        for agent in 1..=AGENTS {
            // The blackout ended while another command was in flight.
            let off = self.known.off.contains(&agent) && !self.stops(agent);
            if off && self.known.dark.contains(&agent) {
                self.known.shaky.insert(agent);
                self.end_somewhere(agent);
            }
        }
    }

    /// Reads a `state` line; a blackout without a stop in flight has ended.
    fn see(&mut self, client: u32, line: &str) {
        let Some(agent) = self.eyes.iter().position(|eye| *eye == client) else { return };
        let agent = agent + 1;
        match value(line, "blackout") {
            Some("off") => self.known.off.insert(agent),
            _ => self.known.off.remove(&agent),
        };
        if value(line, "blackout") == Some("off") && !self.stops(agent) {
            // Sent before it is journalled: a cut may undo it.
            self.known.shaky.extend(self.known.dark.get(&agent));
            let presses = self.asked.values_mut().flatten().filter(|asked| asked.agent == agent);
            presses.for_each(|asked| asked.moot = true);
            self.lighten(agent, self.sim.head(0));
        }
    }

    /// Whether the end of an agent's blackout or call is in flight.
    fn stops(&self, agent: usize) -> bool {
        let ends = |asked: &Asked| {
            asked.agent == agent
                && ["blackout stop", "call st"].iter().any(|word| asked.line.starts_with(word))
        };
        self.asked.values().flatten().any(ends)
    }

    fn darken(&mut self, channel: usize, from: u64) {
        let boot = self.sim.boot;
        let open = |m: &&mut Masked| m.boot == boot && m.channel == channel && m.to.is_none();
        match self.known.masked.iter_mut().find(open) {
            // A press that waited reaches further back.
            Some(known) => known.from = known.from.min(from),
            None => self.known.masked.push(Masked { boot, channel, from, to: None }),
        }
    }

    fn lighten_channel(&mut self, channel: usize, to: u64) {
        let boot = self.sim.boot;
        for masked in &mut self.known.masked {
            if (masked.boot, masked.channel) == (boot, channel) && masked.to.is_none() {
                masked.to = Some(to);
            }
        }
    }

    fn lighten(&mut self, agent: usize, to: u64) {
        if self.known.dark.remove(&agent) {
            self.lighten_channel(agent, to);
        }
    }

    /// Ends an agent's blackout at an unknown position: what it covered until now may be masked or
    /// stored.
    fn end_somewhere(&mut self, agent: usize) {
        let (boot, head) = (self.sim.boot, self.sim.head(0));
        let here = |m: &&Masked| (m.boot, m.channel, m.to) == (boot, agent, None);
        let open = self.known.masked.iter().filter(here);
        let perhaps = open.map(|m| Masked { to: Some(head.max(m.from)), ..m.clone() });
        self.known.leads.extend(perhaps.collect::<Vec<_>>());
        self.lighten(agent, 0);
    }

    fn learn(&mut self, asked: &Asked, line: &str) {
        let ok = line.starts_with("ok");
        self.tell(&format!("a{} at {}: {} -> {line}", asked.agent, asked.head, asked.line));
        let (agent, head) = (asked.agent, asked.head);
        let words: Vec<&str> = asked.line.split(' ').collect();
        let recording = value(line, "recording").filter(|id| *id != "-").map(str::to_string);
        match (words[0], words.get(1).copied()) {
            ("blackout", Some(word)) if ok || line.ends_with("masked=yes") => {
                self.learn_blackout(asked, word, line);
            }
            ("call", Some("start")) if ok => {
                let call = value(&asked.line, "call").unwrap().to_string();
                let old = self.known.calls.insert(agent, call.clone());
                if old.is_some_and(|old| old != call) {
                    self.call_over(asked);
                }
                if self.known.dark.contains(&agent) {
                    self.darken(agent, head);
                }
            }
            ("call", Some("stop")) if ok => {
                self.known.calls.remove(&agent);
                self.call_over(asked);
            }
            ("record", Some("start")) if ok => {
                let over = value(line, "state") == Some("off");
                let told = Told { boot: self.sim.boot, channel: agent, at: self.sim.head(0), over };
                self.known.recordings.entry(recording.expect("an id")).or_insert(told);
            }
            ("record", Some("stop")) if ok && value(line, "state") == Some("off") => {
                if let Some(told) = recording.and_then(|id| self.known.recordings.get_mut(&id)) {
                    told.over = true;
                }
            }
            ("update", Some(field)) if ok => {
                let field = field.parse().unwrap();
                let value = asked.line.rsplit(' ').next().unwrap().trim_matches('"').to_string();
                let id = recording.expect("an id");
                // The recording may continue one whose file failed, which no client was told about.
                let told = Told { boot: 0, channel: agent, at: 0, over: true };
                self.known.recordings.entry(id.clone()).or_insert(told);
                self.known.fields.insert((id, field), value);
            }
            ("protect", Some(id)) if ok => {
                self.known.protected.insert(id.to_string(), words[2] == "on");
            }
            _ => {}
        }
    }

    fn learn_blackout(&mut self, asked: &Asked, word: &str, line: &str) {
        let (ok, agent) = (line.starts_with("ok"), asked.agent);
        match word {
            "start" if ok && asked.moot => {
                self.known.vague.insert((self.sim.boot, agent));
            }
            "start" if ok => {
                let from: u64 = value(line, "from").unwrap().parse().unwrap();
                let at: u64 = value(line, "at").unwrap().parse().unwrap();
                let before = self.known.receipts.insert(agent, at);
                if before.is_some_and(|before| before < at) && self.known.dark.contains(&agent) {
                    // Another blackout: the one before has ended by itself.
                    self.end_somewhere(agent);
                }
                self.known.dark.insert(agent);
                self.known.shaky.remove(&agent);
                self.known.pressed.insert(agent, asked.order);
                let lead = at.saturating_sub(self.site.holdback_ms * RATE / 1000);
                let (boot, channel) = (self.sim.boot, agent);
                self.known.leads.push(Masked { boot, channel, from: lead, to: Some(from) });
                self.darken(agent, from);
            }
            _ if !ok => {
                if word == "start" && self.known.dark.insert(agent) {
                    self.darken(agent, asked.head);
                }
                self.known.shaky.insert(agent);
                self.known.vague.insert((self.sim.boot, agent));
            }
            // A press after it revoked the stop, or opened another blackout.
            _ if self.known.pressed.get(&agent).is_some_and(|order| *order > asked.order) => {
                self.known.vague.insert((self.sim.boot, agent));
            }
            _ => {
                if let Some(Ok(to)) = value(line, "to").map(str::parse) {
                    self.lighten(agent, to);
                    // The later end of the call may have been answered earlier.
                    let place = (self.sim.boot, agent);
                    let here = |m: &&mut Masked| (m.boot, m.channel) == place && m.from <= to;
                    let ends = self.known.masked.iter_mut().filter(here);
                    ends.for_each(|m| m.to = m.to.map(|end| end.min(to.max(m.from))));
                } else if value(line, "blackout") == Some("off") {
                    // The blackout reached its maximum length while the stop was in flight.
                    self.end_somewhere(agent);
                }
            }
        }
    }

    /// Prints a step when a single seed is replayed.
    fn tell(&self, what: &str) {
        if std::env::var_os("HUSHBOX_SEED").is_some() {
            println!("start {} at {}: {what}", self.sim.boot, self.sim.head(0));
        }
    }

    fn call_over(&mut self, asked: &Asked) {
        let (agent, head) = (asked.agent, asked.head);
        for other in self.asked.values_mut().flatten() {
            let before = (other.agent, other.order < asked.order) == (agent, true);
            other.moot |= self.site.scope == "call" && before;
        }
        self.lighten_channel(agent, head);
        if self.site.scope == "call" {
            self.known.dark.remove(&agent);
        }
        for told in self.known.recordings.values_mut().filter(|told| told.channel == agent) {
            told.over = true;
        }
    }
}
