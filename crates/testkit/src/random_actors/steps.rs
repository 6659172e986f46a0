//! Steps of the random clients, and the checks after each step.

use super::{RandomActors, config, value};

const DEVICES: [&str; 5] = ["1001", "1002", "1003", "1004", "9999"];

/// Commands an agent may try, by their word in `can`.
const TRIES: [(&str, &str); 9] = [
    ("record.start", "record start"),
    ("record.stop", "record stop"),
    ("blackout.start", "blackout start"),
    ("blackout.stop", "blackout stop"),
    ("screen.start", "screen start"),
    ("update.1", "update 1 secret1"),
    ("update.2", "update 2 secret2"),
    ("update.3", "update 3 secret3"),
    ("update.15", "update 15 secret15"),
];

impl RandomActors {
    pub fn step(&mut self) {
        self.print = None;
        match self.rng.below(20) {
            0..=5 => self.pbx_says(),
            6..=7 => self.supervisor_says(),
            8..=13 => self.agent_says(),
            14 => self.agent_leaves(),
            15 if self.rng.one_in(4) => self.rights_change(),
            _ => {
                let ms = 20 * (1 + self.rng.below(150_u64));
                self.story.push(format!("wait {ms}ms"));
                self.sim.run_ms(ms);
            }
        }
        self.listen_all(None);
        (0..self.agents.len()).for_each(|index| self.question(index));
    }

    fn device(&mut self) -> &'static str {
        DEVICES[self.rng.below(DEVICES.len())]
    }

    fn pbx_says(&mut self) {
        let line = self.pbx_line();
        let said = self.checked(self.pbx, &line);
        let ended = line.starts_with("call stop") && said.starts_with("ok ");
        if ended {
            let (device, call) = (value(&line, "device"), value(&line, "call"));
            self.calls.retain(|(d, c)| Some(d) != device.as_ref() || Some(c) != call.as_ref());
        }
    }

    fn pbx_line(&mut self) -> String {
        let (device, word) = (self.device(), self.rng.below(14));
        let known = match self.calls.len() {
            0 => (device.to_string(), "c0".to_string()),
            count => self.calls[self.rng.below(count)].clone(),
        };
        let (at, call) = known;
        match word {
            0..=4 => {
                self.count += 1;
                let (id, number) = (format!("c{}", self.count), format!("555000{}", self.count));
                self.secrets.extend([id.clone(), number.clone()]);
                self.calls.push((device.to_string(), id.clone()));
                let mut line = format!("call start device={device} call={id} ani={number}");
                if self.rng.one_in(3) {
                    line += &format!(" of={call}");
                }
                if self.rng.one_in(4) {
                    line += *self.rng.pick(&[" agent=a1", " agent=1002", " agent=stranger"]);
                }
                line + *self.rng.pick(&["", " direction=in", " direction=out"])
            }
            5 => format!("call update device={at} call={call} direction=in"),
            6 => format!("call update device={at} call={call} agent=a2"),
            7 => format!("call hold device={at} call={call}"),
            8 => format!("call resume device={at} call={call}"),
            9..=10 => format!("call stop device={at} call={call}"),
            11 => format!("record start device={device}"),
            12 => format!("record stop device={device}"),
            _ => self.blackout_line(),
        }
    }

    fn blackout_line(&mut self) -> String {
        let word = *self.rng.pick(&["start", "stop"]);
        format!("blackout {word} agent={}", self.rng.pick(&["a1", "a2", "a3", "stranger"]))
    }

    fn supervisor_says(&mut self) {
        let device = self.device();
        let line = match self.rng.below(3) {
            0 => format!("record start device={device}"),
            1 => format!("record stop device={device}"),
            _ => self.blackout_line(),
        };
        self.checked(self.supervisor, &line);
    }

    /// Sends a line. A refusal must change no state and notify no client.
    fn checked(&mut self, client: u32, line: &str) -> String {
        // Consecutive refusals share one fingerprint.
        let before = self.print.take().unwrap_or_else(|| self.sim.recorder().state_fingerprint());
        let told = self.sim.sent.len();
        let said = self.sim.say(client, line);
        let reply = said.iter().find(|line| line.starts_with("ok") || line.starts_with("err "));
        let reply = reply.unwrap_or_else(|| panic!("{line}: no answer, but {said:?}")).clone();
        self.story.push(format!("{line} -> {reply}"));
        if reply.starts_with("err ") {
            let after = self.sim.recorder().state_fingerprint();
            // An alarm about a refused line of the feed is a fact: the first line.
            let has_fact = client == self.pbx;
            let state = |print: &str| {
                print[if has_fact { print.find('\n') } else { None }.unwrap_or(0)..].to_owned()
            };
            let (was, is) = (state(&before), state(&after));
            assert_eq!(was, is, "{line} was refused ({reply}), but changed something");
            self.print = Some(after);
            let news = self.sim.sent[told..].iter().filter(|(_, to, _)| *to != client).count();
            assert_eq!(news, 0, "{line} was refused ({reply}), but a client was told");
        }
        reply
    }

    fn agent_says(&mut self) {
        let index = self.rng.below(3);
        let Some(client) = self.agents[index].client else { return self.log_in(index) };
        let can: Vec<&str> = self.agents[index].can.split(',').collect();
        let able: Vec<_> = TRIES.iter().filter(|(word, _)| can.contains(word)).collect();
        if able.is_empty() {
            return;
        }
        self.print = None;
        let (word, line) = **self.rng.pick(&able);
        let lead = match (word, self.rng.below(3)) {
            ("blackout.start", 0) => " lead_ms=3000",
            ("blackout.start", 1) => " lead_ms=0",
            _ => "",
        };
        let line = format!("{line}{lead}");
        let said = self.sim.say(client, &line);
        self.story.push(format!("{}> {line} -> {said:?}", self.agents[index].name));
        assert!(said.iter().any(|said| said.starts_with("ok ")), "{word} is in can: {said:?}");
        self.listen_all(Some((index, &said, &line)));
    }

    fn agent_leaves(&mut self) {
        let index = self.rng.below(3);
        let Some(client) = self.agents[index].client.take() else { return };
        self.story.push(format!("{}!", self.agents[index].name));
        if self.story.len().is_multiple_of(3) {
            // The agent only ends its input: what it asked for is answered before the close.
            self.sim.send(client, b"ping\nstatus\n");
            self.sim.end_input(client);
            let said = self.sim.news(client);
            assert!(said.iter().any(|line| line.starts_with("row ")), "{said:?}");
            assert!(self.sim.is_closed(client), "the end of input is taken for quit");
        }
        self.sim.gone(client);
    }

    fn rights_change(&mut self) {
        self.sim.config_file = Some(config(&mut self.rng));
        self.story.push("config reload".to_string());
        let said = self.sim.say(self.technician, "config reload");
        assert!(said.iter().any(|line| line.starts_with("ok applied=")), "{said:?}");
        self.learn_rights();
        for agent in &mut self.agents {
            let Some(client) = agent.client else { continue };
            assert_eq!(
                self.sim.is_closed(client),
                !agent.is_known,
                "{}: a removed agent",
                agent.name
            );
            agent.client = agent.client.filter(|_| agent.is_known);
        }
    }

    /// Asks for an agent's state and tries everything that is not in `can`.
    fn question(&mut self, index: usize) {
        let Some(client) = self.agents[index].client else { return };
        let status = self.sim.say(client, "status");
        let row = status.iter().find(|line| line.starts_with("row ")).unwrap();
        let can = value(row, "can").unwrap_or_default();
        let name = self.agents[index].name.clone();
        assert_eq!(can, self.agents[index].can, "{name} was not told the newest state");
        let known: Vec<&str> = can.split(',').collect();
        for (word, line) in TRIES.iter().filter(|(word, _)| !known.contains(word)) {
            let reply = self.checked(client, line);
            self.story.pop();
            assert!(reply.starts_with("err "), "{name}: {word} is not in can: {reply}");
            assert!(self.sim.news(client).is_empty());
        }
        for line in ["update 1 \"secret<\"", "blackout start lead_ms=9999"] {
            let reply = self.checked(client, line);
            self.story.pop();
            assert!(reply.starts_with("err "), "{name}: {line}: {reply}");
        }
        for line in ["records", "calls", "status"] {
            let said = self.sim.say(client, line);
            self.listen_all(Some((index, &said, line)));
        }
    }

    /// Ends everything. The disk must hold what was captured and nothing that was masked.
    pub fn finish(&mut self) {
        for (device, call) in std::mem::take(&mut self.calls) {
            let line = format!("call stop device={device} call={call}");
            self.sim.say(self.pbx, &line);
        }
        self.sim.run_ms(8000);
        let report = self.sim.verify();
        assert!(report.is_clean(), "{report:#?}");
        let index = self.sim.journal();
        assert_eq!(index.stray_count(), 0, "a fact that makes no sense");
        for id in self.sim.recordings() {
            let stored = self.sim.stored(&id.to_string());
            stored.check(&self.sim);
            for span in &index.record(id).unwrap().blackouts {
                let to = span.to.expect("it has ended");
                let hidden = stored.frames_stored(span.from, to);
                assert_eq!(hidden, 0, "{id}: {hidden} frames of a blackout are stored");
                self.nowhere(&stored, span.from.0, to.0);
            }
        }
    }

    /// Asserts that no file holds 16 consecutive samples of this span.
    fn nowhere(&self, stored: &crate::sim::stored::Stored, from: u64, to: u64) {
        let header = &stored.header;
        if let Some(at) = Some(from.midpoint(to)).filter(|at| at + 16 <= to) {
            let heard = (at..at + 16).flat_map(|at| {
                let sample = move |side| self.sim.heard(header.boot, header.channel, at, side);
                (0..usize::from(header.sides)).flat_map(move |side| sample(side).to_le_bytes())
            });
            let heard: Vec<u8> = heard.collect();
            for (path, bytes) in &self.sim.disk.live {
                let found = bytes.windows(heard.len()).any(|window| window == heard);
                assert!(!found, "{path} holds what was masked at {at}");
            }
        }
    }
}
