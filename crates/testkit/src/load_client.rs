//! A desk under load: one agent and the call feed of one device, and what they may rely on.
//!
//! A desk gives rng commands, one after the other, until its box dies. Every answer goes into a
//! small model; the one command that was under way may have happened or not. After the restart the
//! box must show what the model says. Nothing here starts or kills a box.

use crate::daemon::TIMEOUT;
use crate::daemon::session::{ok, session};
use crate::rng::Rng;
use client::{Address, Connection, News};
use protocol::AgentState;
use protocol::client::{Pairs, Reply};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What a desk does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    CallStart(String),
    CallStop(String),
    RecordStart,
    RecordStop,
    BlackoutStart,
    BlackoutStop,
    Update(u8, String),
}

/// What was acknowledged, and so must be there after any restart.
#[derive(Debug, Default)]
pub struct Acknowledged {
    pub call: Option<String>,
    pub recording: bool,
    /// From which position of this start on everything is hidden.
    pub blackout: Option<u64>,
    /// Every recording that was named.
    pub recordings: BTreeSet<String>,
    /// The values of a field in the order they were set.
    pub fields: BTreeMap<(String, u8), Vec<String>>,
    /// What was hidden in this start, in positions.
    pub hidden: Vec<(u64, u64)>,
    /// The command whose answer did not come.
    pub under_way: Option<Act>,
}

/// Rows of a record's history that are told at most, over all fields.
const HISTORY_ROWS: usize = 64;

pub struct LoadClient {
    /// Of the device, and of the agent.
    pub n: u8,
    pub known: Acknowledged,
    rng: Rng,
    calls: u64,
    values: u64,
    pub commands: u64,
}

/// The number behind a key; anything that is none is `None`.
fn number(pairs: &Pairs, key: &str) -> Option<u64> {
    pairs.get(key)?.parse().ok()
}

impl LoadClient {
    pub fn new(n: u8, seed: u64) -> LoadClient {
        let rng = Rng::new(seed ^ (u64::from(n) << 32));
        let known = Acknowledged::default();
        LoadClient { n, known, rng, calls: 0, values: 0, commands: 0 }
    }

    /// Works until the box is gone.
    pub fn work(&mut self, address: &Address) {
        let Ok((mut agent, mut cti)) = self.sit_down(address) else { return };
        loop {
            let act = self.choose();
            let (line, for_agent) = self.line(&act);
            let connection = if for_agent { &mut agent } else { &mut cti };
            self.known.under_way = Some(act.clone());
            let Ok(reply) = connection.ask(&line) else { return };
            self.known.under_way = None;
            self.commands += 1;
            if let Ok(pairs) = &reply.outcome {
                self.acknowledged(&act, pairs);
            }
        }
    }

    fn sit_down(&self, address: &Address) -> Result<(Connection, Connection), ()> {
        let open = |hello: &str| -> Result<Connection, ()> {
            let servers = std::slice::from_ref(address);
            let mut connection = Connection::open(servers, Duration::from_secs(5)).map_err(drop)?;
            ok(connection.ask(hello).map_err(drop)?);
            Ok(connection)
        };
        Ok((open(&format!("hello agent user=a{}", self.n))?, open("hello cti user=pbx")?))
    }

    fn choose(&mut self) -> Act {
        let call = self.known.call.clone();
        match (self.rng.below(20), call) {
            (0 | 1, Some(call)) => Act::CallStop(call),
            (2, _) | (_, None) => {
                self.calls += 1;
                Act::CallStart(format!("d{}c{}", self.n, self.calls))
            }
            (3..=6, _) => Act::RecordStart,
            (7, _) => Act::RecordStop,
            (8..=10, _) => Act::BlackoutStart,
            (11 | 12, _) => Act::BlackoutStop,
            _ => {
                self.values += 1;
                let field = if self.rng.below(2) == 0 { 1 } else { 3 };
                Act::Update(field, format!("desk {} value {}", self.n, self.values))
            }
        }
    }

    /// The act as a line, and whether it is the agent who says it.
    fn line(&self, act: &Act) -> (String, bool) {
        let device = 1000 + u32::from(self.n);
        match act {
            Act::CallStart(call) => (format!("call start device={device} call={call}"), false),
            Act::CallStop(call) => (format!("call stop device={device} call={call}"), false),
            Act::RecordStart => ("record start".to_owned(), true),
            Act::RecordStop => ("record stop".to_owned(), true),
            Act::BlackoutStart => ("blackout start".to_owned(), true),
            Act::BlackoutStop => ("blackout stop".to_owned(), true),
            Act::Update(field, value) => (format!("update {field} \"{value}\""), true),
        }
    }

    fn acknowledged(&mut self, act: &Act, reply: &Pairs) {
        let known = &mut self.known;
        match act {
            Act::CallStart(call) => {
                known.call = Some(call.clone());
                known.recording = false;
            }
            Act::CallStop(_) => (known.call, known.recording) = (None, false),
            Act::RecordStart | Act::RecordStop => {
                known.recording = reply.get("state") == Some("on");
                assert_eq!(known.recording, *act == Act::RecordStart, "{reply:?}");
                known.recordings.insert(reply.get("recording").unwrap().to_owned());
            }
            Act::BlackoutStart => {
                assert_eq!(reply.get("blackout"), Some("on"), "{reply:?}");
                known.blackout = known.blackout.or(number(reply, "from"));
            }
            Act::BlackoutStop => {
                let to = number(reply, "to");
                if let (Some(from), Some(to)) = (known.blackout.take(), to) {
                    known.hidden.push((from, to));
                }
            }
            Act::Update(field, value) => {
                let id = reply.get("recording").unwrap().to_owned();
                known.recordings.insert(id.clone());
                known.fields.entry((id, *field)).or_default().push(value.clone());
            }
        }
    }

    /// The box died: what of the blackout is certain is hidden.
    pub fn died(&mut self) {
        let known = &mut self.known;
        let stopping = known.under_way == Some(Act::BlackoutStop);
        if let Some(from) = known.blackout.filter(|_| !stopping) {
            known.hidden.push((from, u64::MAX));
        }
    }

    /// After the restart the box must say so. Takes over what the command under way left open.
    pub fn check(&mut self, address: &Address) {
        let mut agent = session(address, &format!("hello agent user=a{}", self.n));
        let known = &mut self.known;
        let under_way = known.under_way.take();
        let open = |acts: &dyn Fn(&Act) -> bool| under_way.as_ref().is_some_and(acts);
        let calls = open(&|act| matches!(act, Act::CallStart(_) | Act::CallStop(_)));
        let records = calls || open(&|act| matches!(act, Act::RecordStart | Act::RecordStop));
        let hides = open(&|act| matches!(act, Act::BlackoutStart | Act::BlackoutStop));
        // A recording that was cut begins anew as soon as it can.
        let waits = known.recording && !records;
        let n = self.n;
        let state = settled(&mut agent, waits);
        if !calls {
            assert_eq!(state.call, known.call, "the call of desk {n}, {under_way:?}: {state:?}");
        }
        if !records {
            assert_eq!(state.recording, known.recording, "desk {n}, {under_way:?}: {state:?}");
        }
        if !hides {
            let on = known.blackout.is_some();
            assert_eq!(state.blackout, on, "the blackout of desk {n}, {under_way:?}: {state:?}");
        }
        known.call = state.call;
        known.recording = state.recording;
        known.blackout = state.blackout.then_some(0);
        known.hidden.clear();
    }

    /// Every field that was acknowledged is in its record, in its order, and the last one counts.
    pub fn check_fields(&self, boss: &mut Connection) {
        for ((id, field), values) in &self.known.fields {
            let reply: Reply = boss.ask(&format!("show {id}")).unwrap();
            let field = field.to_string();
            let of = |what: &str| -> Vec<&str> {
                let rows = reply.rows.iter().filter(|row| {
                    row.get("what") == Some(what) && row.get("n") == Some(field.as_str())
                });
                rows.filter_map(|row| row.get("value")).collect()
            };
            // The history is told from the newest on, and not without end.
            let (now, mut history) = (of("field"), of("history").into_iter());
            assert!(now.first().copied() == history.clone().next(), "{id}: {reply:?}");
            let all = history.len() < HISTORY_ROWS;
            for (n, value) in values.iter().rev().enumerate() {
                let there = history.any(|old| old == value);
                assert!(there || !all && n > 0, "{id}: {value}: {reply:?}");
            }
        }
    }
}

/// The first state, or with `recording` the first that says so.
fn settled(agent: &mut Connection, recording: bool) -> AgentState {
    let mut last = None;
    while let Some(news) = agent.next_event(TIMEOUT).unwrap() {
        let News::State(state) = news else { continue };
        if state.recording || !recording {
            return state;
        }
        last = Some(state);
    }
    panic!("the recording did not go on: {last:?}");
}
